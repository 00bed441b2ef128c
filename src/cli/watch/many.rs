//! Following all tasks of a zone or of the repository, those that begin meanwhile too, until ctrl-c.

use std::{
    collections::{BTreeMap, HashSet},
    process::ExitCode,
    time::Duration,
};

use super::super::error::CmdError;
use super::Watch;
use crate::{
    daemon::{ChangeFeed, Feed, Line, Place},
    refs::{RepoError, Stored, TaskHead},
    render::{Reporter, ShortIds},
    task::{TaskId, ZoneId},
};

/// How often the events are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// One task that is followed.
struct Followed {
    feed: Feed,
    report: Reporter,
}

/// Follows everything in the zone `only`, or everywhere.
pub(super) fn follow(watch: &mut Watch<'_>, only: Option<&ZoneId>) -> Result<ExitCode, CmdError> {
    let cx = watch.cx;
    let mut changes = ChangeFeed::new(Line::new(Place::new(cx.site.common_dir())?, false));
    let mut heads = cx.ledger().heads()?;
    // What was over before is of no interest.
    let mut done: HashSet<TaskId> = over(&heads);
    let mut under_way: BTreeMap<TaskId, Followed> = BTreeMap::new();
    loop {
        let new = |head: &&TaskHead| {
            let begun = !head.status.is_waiting() && !done.contains(&head.id);
            begun && !under_way.contains_key(&head.id) && only.is_none_or(|zone| head.zone == *zone)
        };
        let begun: Vec<_> = heads.iter().filter(new).map(|head| head.id.clone()).collect();
        for id in begun {
            let stored = cx.ledger().task(&id)?;
            let short = ShortIds::of(heads.iter().map(|head| &head.id)).short(&id);
            let mut followed = begin(watch, &stored, &short, only.is_none());
            watch.print(&followed.report.begin(&stored.task.title))?;
            under_way.insert(id, followed);
        }
        let mut ended = Vec::new();
        for (id, followed) in &mut under_way {
            if round(watch, followed)? {
                ended.push(id.clone());
            }
        }
        under_way.retain(|id, _| !ended.contains(id));
        done.extend(ended);
        let waiting = heads.iter().filter(|head| head.status.is_waiting()).count();
        watch
            .pulse
            .say(format!("{} under way, {waiting} waiting", under_way.len()));
        if !changes.next(&cx.ledger(), LOOK)?.is_empty() {
            heads = cx.ledger().heads()?;
            cx.repo.renew().map_err(RepoError::from)?;
        }
    }
}

fn over(heads: &[TaskHead]) -> HashSet<TaskId> {
    let over = heads.iter().filter(|head| head.status.is_over());
    over.map(|head| head.id.clone()).collect()
}

fn begin(watch: &Watch<'_>, stored: &Stored, short: &str, everywhere: bool) -> Followed {
    let task = &stored.task;
    let who = if everywhere {
        format!("{short} {}@{}", task.clone, task.branch)
    } else {
        format!("{short} {}", task.clone)
    };
    Followed {
        feed: Feed::of(stored, None),
        report: Reporter::new(task, who, watch.form, watch.stream.width()),
    }
}

/// Shows what one task has done since; true once it is over.
fn round(watch: &Watch<'_>, followed: &mut Followed) -> Result<bool, CmdError> {
    let Followed { feed, report } = followed;
    let attempt = feed.at().attempt;
    let news = feed.look(&watch.cx.ledger(), Duration::ZERO)?;
    let mut text = report.events(&news.events);
    if feed.at().attempt > attempt {
        text.push_str(&report.attempt(feed.at().attempt));
    }
    if news.over {
        text.push_str(&report.end(news.status, news.outcome));
    }
    watch.print(&text)?;
    Ok(news.over)
}
