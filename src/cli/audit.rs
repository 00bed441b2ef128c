//! `git khlone audit`: what a task was, what it could reach, what it did and who signed it, as one document.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    target,
};
use crate::{
    process::Cmd,
    query::Step,
    refs::{Stored, task_ref},
    render::view::{AuditView, AuditedAttempt, SignedCommit},
    task::Task,
};

/// Print all that is recorded of a task, as one JSON document
///
/// Its prompt, settings and history; of each attempt the tier of its sandbox, the network it could reach, its command
/// line, the names of its variables, and what changed in and around its worktree; its commits, each with its signature;
/// and of its landing the hooks that ran, the signer and the commits that were made.
#[derive(Args, Debug)]
pub(super) struct AuditArgs {
    /// Task to audit, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
}

/// Prints the document.
pub(super) fn run(cx: &Cx, args: &AuditArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, args.task.as_deref(), None)?;
    printed(cx.out.answer(&view(cx, stored)?))?;
    Ok(ExitCode::SUCCESS)
}

fn view(cx: &Cx, stored: Stored) -> Result<AuditView, CmdError> {
    let ledger = cx.ledger();
    let file = |path: &str| ledger.file(&stored, path);
    let history = file("history.jsonl")?.unwrap_or_default();
    let mut attempts = Vec::new();
    for attempt in &stored.task.attempts {
        let effects = file(&format!("attempts/{}/effects.json", attempt.n))?;
        attempts.push(AuditedAttempt {
            attempt: attempt.clone(),
            effects: effects.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        });
    }
    let prompt = file("prompt.md")?.unwrap_or_default();
    let reference = task_ref(&stored.task.id);
    let object = cx.repo.ref_target(&reference).map_err(CliError::from)?;
    Ok(AuditView {
        prompt: String::from_utf8_lossy(&prompt).into_owned(),
        history: Step::all(&history),
        commits: signed(cx, made(&attempts)),
        landed_commits: signed(cx, landed(&stored.task)),
        attempts,
        object: object.map(|oid| oid.to_string()),
        reference,
        task: stored.task.id.clone(),
        document: Task {
            attempts: Vec::new(),
            ..stored.task
        },
    })
}

/// The commits of all attempts.
fn made(attempts: &[AuditedAttempt]) -> Vec<&str> {
    let named = attempts.iter().filter_map(|attempt| attempt.effects.as_ref());
    let named = named
        .filter_map(|effects| effects["commits"].as_array())
        .flatten();
    named.filter_map(|commit| commit.as_str()).collect()
}

/// Where a landing brought the zone's branch, and the commits that it made anew.
fn landed(task: &Task) -> Vec<&str> {
    let Some(landed) = &task.landed else {
        return Vec::new();
    };
    let anew = landed.rewritten.iter().map(|pair| pair.new.as_str());
    let mut commits: Vec<_> = anew.filter(|new| *new != landed.new).collect();
    commits.push(&landed.new);
    commits
}

/// Commits, with what git says of their signatures. One that is not there any more says nothing.
fn signed(cx: &Cx, ids: Vec<&str>) -> Vec<SignedCommit> {
    ids.into_iter()
        .map(|commit| {
            let said = Cmd::git(cx.repo.common_dir())
                .args([
                    "show",
                    "-s",
                    "--encoding=UTF-8",
                    "--format=%G?%x00%GS%x00%GK%x00%an <%ae>",
                    "--end-of-options",
                    commit,
                ])
                .output()
                .unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            let mut words = said.trim_end().split('\0').map(str::to_owned);
            let mut word = || words.next().filter(|word| !word.is_empty());
            SignedCommit {
                commit: commit.to_owned(),
                signature: word(),
                signed_by: word(),
                key: word(),
                author: word(),
            }
        })
        .collect()
}
