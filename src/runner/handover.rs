//! What a brain is told when it goes on with a task: what is done, what is in doubt, what others changed; and, for
//! one that has lost its session, what happened so far, within a budget.

use std::fmt::Write;

use super::{Run, RunnerError, claim::Claim};
use crate::{
    brain::{Event, Record, Role},
    refs::Stored,
    task::{Attempt, Effects, Outcome, Task},
};

/// So many lines of one kind are told.
const LINES: usize = 40;
/// How much of a lost session is told, in bytes.
const BUDGET: usize = 24 << 10;
/// So many tasks of a clone are looked through for those of a lost session.
const TASKS: usize = 100;
/// How much of one event.
const EVENT: usize = 1200;

/// What an attempt that resumes is told before the prompt.
pub(super) fn told(run: &Run<'_>, claim: &Claim) -> Result<String, RunnerError> {
    let task = claim.task();
    let before = claim.n.saturating_sub(1);
    let mut text = format!("{}\n", opening(task, claim.n));
    let (mut files, mut commits) = (Vec::new(), Vec::new());
    let mut last = Effects::default();
    for n in task.first_of_last()..=before {
        let bytes = run
            .ledger
            .file(&claim.stored, &format!("attempts/{n}/effects.json"))?;
        // One that died before its brain began has none; what was in doubt before it still is.
        let Some(effects) = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) else {
            continue;
        };
        last = effects;
        let subject = |oid: &String| {
            let commit = run.ledger.repo().git().find_commit(oid.parse().ok()?).ok()?;
            let subject = commit.summary().ok().flatten().unwrap_or_default().to_owned();
            Some(format!("{} {subject}", &oid[..10.min(oid.len())]))
        };
        commits.extend(last.commits.iter().rev().filter_map(subject));
        files.extend(last.files.iter().map(|file| file.path.clone()));
    }
    list(&mut text, "Commits that are made:", &commits);
    list(&mut text, "Files that were changed:", &files);
    list(
        &mut text,
        "In doubt: these may be half done. Look at each before you rely on it:",
        &last.in_doubt,
    );
    list(
        &mut text,
        "Commits since the last checkpoint, to be looked at too:",
        &last.late_commits,
    );
    list(
        &mut text,
        "Tools that may have been running when it stopped; do not take them for done, nor run them again unseen:",
        &last.running,
    );
    list(&mut text, "Changed by somebody else meanwhile:", &last.external);
    text.push_str("\nGo on from here and do not repeat what is done.");
    Ok(text)
}

fn opening(task: &Task, n: u32) -> String {
    let before = task.attempts.iter().rev().nth(1);
    let how = match before.and_then(|attempt| attempt.died.as_ref()) {
        Some(_) => "was interrupted: its process was killed before it had ended".to_owned(),
        None => {
            let exit = before
                .and_then(|attempt| attempt.exit.clone())
                .unwrap_or_default();
            format!("ended without success (exit {exit})")
        }
    };
    format!(
        "Attempt {} of this task {how}. This is attempt {n}, in the same worktree.",
        n.saturating_sub(1)
    )
}

fn list(text: &mut String, head: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{head}");
    for item in items.iter().take(LINES) {
        let _ = writeln!(text, "- {item}");
    }
    if items.len() > LINES {
        let _ = writeln!(text, "- … and {} more", items.len() - LINES);
    }
}

/// What was done in a session of the clone's that is gone: its tasks, the newest last. `None` if there were none.
pub(super) fn digest(run: &Run<'_>, claim: &Claim, session: &str) -> Result<Option<String>, RunnerError> {
    let own = claim.task();
    let mut heads = run.ledger.heads()?;
    heads.retain(|head| head.zone == own.zone && head.clone == own.clone && head.id != own.id);
    heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
    let (mut lines, mut room) = (Vec::new(), BUDGET / 2);
    for head in heads.iter().take(TASKS) {
        let stored = run.ledger.task(&head.id)?;
        let theirs = |attempt: &Attempt| attempt.session.as_deref() == Some(session);
        if !stored.task.attempts.iter().any(theirs) {
            continue;
        }
        let line = summary(run, &stored)?;
        match room.checked_sub(line.len()) {
            Some(rest) => room = rest,
            None => break,
        }
        lines.push(line);
    }
    lines.reverse();
    let head = "Your session before this one cannot go on, so this is a new one. You did these tasks in it, the newest last:";
    Ok((!lines.is_empty()).then(|| format!("{head}\n{}", lines.concat())))
}

/// A task in a few lines: what was asked, how it ended, and what was said at its end.
fn summary(run: &Run<'_>, stored: &Stored) -> Result<String, RunnerError> {
    let task = &stored.task;
    let said = match run.ledger.file(stored, "artifacts/answer")? {
        Some(said) => said,
        None => run.ledger.file(stored, "artifacts/summary")?.unwrap_or_default(),
    };
    let said: String = String::from_utf8_lossy(&said)
        .trim()
        .chars()
        .take(EVENT)
        .collect();
    let how = task.outcome.map_or(task.status.as_str(), Outcome::as_str);
    let said = if said.is_empty() {
        String::new()
    } else {
        format!("\n  {}", said.replace('\n', "\n  "))
    };
    Ok(format!("- {} {}: {how}{said}\n", task.mode.as_str(), task.title))
}

/// What happened in the attempt before, the newest within the budget.
pub(super) fn history(run: &Run<'_>, claim: &Claim) -> Result<String, RunnerError> {
    let before = claim.n.saturating_sub(1);
    let path = format!("attempts/{before}/transcript/0001.jsonl");
    let transcript = run.ledger.file(&claim.stored, &path)?.unwrap_or_default();
    Ok(shortened(&transcript, BUDGET))
}

fn shortened(transcript: &[u8], budget: usize) -> String {
    let records = transcript
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Record>(line).ok());
    let lines: Vec<String> = records.filter_map(|record| line(&record.event)).collect();
    let mut room = budget;
    let mut kept = 0;
    for line in lines.iter().rev() {
        match room.checked_sub(line.len()) {
            Some(rest) => room = rest,
            None => break,
        }
        kept += 1;
    }
    let cut = lines.len() - kept;
    let mut text = if cut > 0 {
        format!("(the first {cut} steps are left out)\n")
    } else {
        String::new()
    };
    text.extend(lines.into_iter().skip(cut));
    text
}

fn line(event: &Event) -> Option<String> {
    let short = |text: &str| text.chars().take(EVENT).collect::<String>();
    Some(match event {
        Event::Message {
            role: Role::Assistant,
            text,
            delta,
        } => format!("{}{}", short(text), if *delta { "" } else { "\n" }),
        Event::ToolCall { tool, input, .. } => format!("[tool {tool}: {}]\n", short(input)),
        Event::ToolResult { tool, ok, output, .. } => {
            let word = if *ok { "ended well" } else { "failed" };
            format!("[{tool} {word}: {}]\n", short(output))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_steps_are_kept_within_the_budget() {
        let step = |n: u32| {
            let event = Event::Message {
                role: Role::Assistant,
                text: format!("step {n}"),
                delta: false,
            };
            serde_json::to_string(&Record {
                seq: Some(1),
                time: 0,
                event,
            })
            .unwrap()
                + "\n"
        };
        let transcript: String = (0..100).map(step).collect();
        let text = shortened(transcript.as_bytes(), 80);
        assert_eq!(text.lines().next(), Some("(the first 90 steps are left out)"));
        assert!(text.ends_with("step 98\nstep 99\n") && text.len() < 160, "{text}");
    }
}
