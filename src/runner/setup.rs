//! The worktree's setup commands, run in the brain's own confinement before it, and told in the transcript.

use std::ffi::OsString;

use super::{Run, RunnerError, launch::Plan, prepare::Prepared, spool::Spool};
use crate::{
    brain::{Event, Role},
    process::exit_word,
    worktree::setup::{self, Rules, SetupError},
};

/// Runs what is due. `Some` is a command that failed.
pub(super) fn run(
    run: &Run<'_>,
    prepared: &Prepared,
    plan: &Plan,
    spool: &mut Spool,
) -> Result<Option<SetupError>, RunnerError> {
    let rules = Rules {
        commands: &run.config.worktree.setup,
        when: &run.config.worktree.setup_when,
    };
    let Some(due) = setup::due(&prepared.checkout, &rules)? else {
        return Ok(None);
    };
    // Setup belongs to the worktree, not to the task: it may write there before an ask, too.
    let mut confinement = plan.confinement.clone();
    confinement.writes = true;
    let ended = setup::run(due, |line| {
        spool.event(say(format!("$ {line}")))?;
        let argv: [OsString; 3] = ["sh".into(), "-c".into(), line.into()];
        let done = confinement.run(&argv, run.config.limits.task.duration())?;
        for bytes in [&done.stdout, &done.stderr] {
            if !bytes.is_empty() {
                spool.event(say(String::from_utf8_lossy(bytes).into_owned()))?;
            }
        }
        spool.event(say(format!("exit {}", exit_word(done.status))))?;
        Ok::<_, RunnerError>(done.status.code().unwrap_or(128))
    });
    match ended {
        Ok(()) => Ok(None),
        Err(RunnerError::Setup(failed @ SetupError::Command { .. })) => Ok(Some(failed)),
        Err(error) => Err(error),
    }
}

pub(super) fn say(text: String) -> Event {
    Event::Message {
        role: Role::System,
        text,
        delta: false,
    }
}
