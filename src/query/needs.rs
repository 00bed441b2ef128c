//! The list of what needs a person, in its one order: what is blocked, what failed, questions, work to land; within
//! each, what others wait for first, then the newest. Pure: [`Look`] answers what heads do not tell.
//!
//! What leaves the list:
//! - anything that was dismissed, and what goes on again (retry, resume);
//! - a question, once it is answered (a reply that was not called off) or its clone has got its next task since;
//! - a failure, once its work has landed, or its clone has since done a task that was dispatched after it;
//! - work, once it has landed, here or by a pull request.
//!
//! A task that was dispatched before the failure proves nothing: whoever queued five at once has not seen it yet.

use std::collections::{HashMap, HashSet};

use crate::{
    refs::TaskHead,
    task::{CloneName, Need, Outcome, Status, TaskId, ZoneId},
};

/// What a list needs to know of a task besides its head.
pub trait Look {
    /// A look that failed.
    type Error;

    /// Whether an interrupted task waits for a person.
    ///
    /// # Errors
    /// If it cannot be told.
    fn is_on_hold(&mut self, head: &TaskHead) -> Result<bool, Self::Error>;

    /// Whether a task that is over has work of its own that its zone has not.
    ///
    /// # Errors
    /// If it cannot be told.
    fn is_unlanded(&mut self, head: &TaskHead) -> Result<bool, Self::Error>;

    /// Whether a task that is over made commits of its own.
    ///
    /// # Errors
    /// If it cannot be told.
    fn has_work(&mut self, head: &TaskHead) -> Result<bool, Self::Error>;
}

/// A task that needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed<'a> {
    /// The task.
    pub head: &'a TaskHead,
    /// What for.
    pub need: Need,
    /// So many tasks of its clone wait for it.
    pub blocks: usize,
}

/// What needs a person among all tasks of a site, the most urgent first.
///
/// # Errors
/// What a look returns.
pub fn needs<'a, L: Look>(heads: &'a [TaskHead], look: &mut L) -> Result<Vec<Needed<'a>>, L::Error> {
    let since = Since::of(heads);
    let mut found = Vec::new();
    for head in heads {
        let Some(need) = need(head, &since, look)? else {
            continue;
        };
        let blocks = if head.status.is_over() {
            0
        } else {
            since
                .waiting
                .get(&(&head.zone, &head.clone))
                .copied()
                .unwrap_or(0)
        };
        found.push(Needed { head, need, blocks });
    }
    found.sort_by_key(|it| {
        (
            it.need,
            std::cmp::Reverse(it.blocks),
            std::cmp::Reverse(it.head.updated),
            std::cmp::Reverse(it.head.seq),
        )
    });
    Ok(found)
}

fn need<'a, L: Look>(head: &'a TaskHead, since: &Since<'a>, look: &mut L) -> Result<Option<Need>, L::Error> {
    let on_hold = head.status == Status::Interrupted && look.is_on_hold(head)?;
    let state = (head.status, head.outcome);
    let Some(need) = Need::of(head.mode, state, on_hold, head.question.is_some()) else {
        return Ok(None);
    };
    if !head.status.is_over() {
        return Ok(Some(need));
    }
    let is_settled = head.dismissed
        || match need {
            Need::Question => since.is_answered(head) || since.has_gone_on(head),
            Need::Blocked | Need::Failed => {
                since.has_done_more(head) || look.has_work(head)? && !look.is_unlanded(head)?
            }
            Need::Land => !look.is_unlanded(head)?,
        };
    Ok((!is_settled).then_some(need))
}

type Clone<'a> = (&'a ZoneId, &'a CloneName);

/// What clones have got since.
struct Since<'a> {
    answered: HashSet<&'a TaskId>,
    got: HashMap<Clone<'a>, Vec<&'a TaskHead>>,
    waiting: HashMap<Clone<'a>, usize>,
}

impl<'a> Since<'a> {
    fn of(heads: &'a [TaskHead]) -> Self {
        let mut since = Self {
            answered: HashSet::new(),
            got: HashMap::new(),
            waiting: HashMap::new(),
        };
        let counts = |head: &&TaskHead| !matches!(head.status, Status::Cancelled | Status::Skipped);
        for head in heads.iter().filter(counts) {
            let clone = (&head.zone, &head.clone);
            since.answered.extend(&head.reply_to);
            since.got.entry(clone).or_default().push(head);
            if head.status.is_waiting() {
                *since.waiting.entry(clone).or_default() += 1;
            }
        }
        since
    }

    fn is_answered(&self, head: &TaskHead) -> bool {
        self.answered.contains(&head.id)
    }

    fn has_gone_on(&self, head: &'a TaskHead) -> bool {
        self.after(head).next().is_some()
    }

    fn has_done_more(&self, head: &'a TaskHead) -> bool {
        self.after(head)
            .any(|later| later.status == Status::Done && later.outcome != Some(Outcome::NoOp))
    }

    /// The tasks that its clone got after it had ended; for one that was retried, the last time.
    fn after(&self, head: &'a TaskHead) -> impl Iterator<Item = &'a TaskHead> {
        let (seq, ended) = (head.seq, head.updated);
        let of_clone = self.got.get(&(&head.zone, &head.clone));
        of_clone
            .into_iter()
            .flatten()
            .copied()
            .filter(move |later| seq < later.follows && ended <= later.updated)
    }
}

#[cfg(test)]
mod tests;
