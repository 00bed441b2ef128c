//! A branch of the user's moves as git itself moves it: with the hook `reference-transaction`, which may refuse, and with
//! the reflogs of the branch and of the checkout that has it. Durable when this returns, like [`super::cas`].

use std::{path::Path, time::Duration};

use bstr::ByteSlice;
use git2::Oid;

use super::{
    Repo,
    cas::{RefError, settle},
    locks::{Stuck, with_locks},
};
use crate::process::{Cmd, Finished, ProcessError, fault::point};

/// Where git stands as it moves a branch.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The git folder of a checkout that has the branch, else the common one.
    pub git_dir: &'a Path,
    /// The top of that checkout, if there is one.
    pub work_dir: Option<&'a Path>,
    /// Where hooks are, if elsewhere than git would look now.
    pub hooks: Option<&'a Path>,
    /// How long hooks may take.
    pub patience: Duration,
}

impl Standing<'_> {
    /// git with the user's own settings and hooks.
    pub fn git(&self) -> Cmd {
        let git = self.around(Cmd::new("git"));
        let Some(hooks) = self.hooks else { return git };
        let mut setting = std::ffi::OsString::from("core.hooksPath=");
        setting.push(hooks);
        git.arg("-c").arg(setting)
    }

    /// A program that finds this repository as a hook of the user's does.
    pub fn around(&self, program: Cmd) -> Cmd {
        let program = program
            .as_user()
            .on_leash()
            .env("GIT_DIR", self.git_dir)
            .patience(self.patience);
        match self.work_dir {
            Some(work) => program.env("GIT_WORK_TREE", work).dir(work),
            None => program.dir(self.git_dir),
        }
    }
}

/// Moves a branch (full ref name) from `old` (`None`: it must not exist) to `new`.
///
/// # Errors
/// [`RefError::Rejected`] by a hook, [`RefError::Moved`] if it stands elsewhere; nothing has changed then.
pub fn move_by_git(
    repo: &Repo,
    standing: &Standing<'_>,
    (name, old, new): (&str, Option<Oid>, Oid),
    log: &str,
) -> Result<(), RefError> {
    let common = repo.common_dir();
    let locks = [
        common.join(format!("{name}.lock")),
        standing.git_dir.join("HEAD.lock"),
    ];
    let before = old.unwrap_or(Oid::ZERO_SHA1);
    point("branch", name);
    let done = with_locks(common, &locks, Stuck::was_killed, || {
        let git = standing.git().args(["-c", "core.fsync=reference", "update-ref"]);
        let git = git.args(["-m", log, name, &new.to_string(), &before.to_string()]);
        let done = git.finish().map_err(Stuck::Git)?;
        if done.status.success() || is_rejected(&done) {
            return Ok(done);
        }
        Err(Stuck::Git(failed(&done)))
    });
    let at = || repo.ref_target(name).ok().flatten();
    let name_of = || name.to_owned();
    match done {
        Ok(done) if is_rejected(&done) => {
            return Err(RefError::Rejected {
                name: name_of(),
                said: said(&done),
            });
        }
        Ok(_) => {}
        // A git that was killed once it had moved it.
        Err(Stuck::Git(error)) if error.was_killed() && at() == Some(new) => {}
        Err(_) if at() != old => return Err(RefError::Moved { name: name_of() }),
        Err(Stuck::Io(source)) => {
            return Err(RefError::Io {
                name: name_of(),
                source,
            });
        }
        Err(Stuck::Git(source)) => {
            super::cas::has_room(repo, name)?;
            return Err(match locks.into_iter().find(|lock| lock.exists()) {
                Some(lock) => RefError::Locked { lock },
                None => RefError::Process {
                    name: name_of(),
                    source,
                },
            });
        }
    }
    settle(repo, (name, old, new), log)
}

fn is_rejected(done: &Finished) -> bool {
    // git before 2.48 says `ref updates aborted by hook`.
    !done.status.success()
        && (done.stderr.contains_str("aborted by hook")
            || done
                .stderr
                .contains_str("aborted by the reference-transaction hook"))
}

fn failed(done: &Finished) -> ProcessError {
    ProcessError::Failed {
        program: "git update-ref".to_owned(),
        status: done.status,
        stderr: said(done),
    }
}

fn said(done: &Finished) -> String {
    let lines = [done.stdout.as_slice(), done.stderr.as_slice()].concat();
    lines.to_str_lossy().trim().to_owned()
}
