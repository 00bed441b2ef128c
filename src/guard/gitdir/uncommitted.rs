//! What a clone's work tree holds that its last commit does not, as git itself sees it from inside.

use std::{ffi::OsString, path::Path, time::Duration};

use super::commit::CommitError;
use crate::{
    guard::{beneath::Beneath, sandbox::Confinement},
    task::{Change, FileChange},
    worktree::effects::path_text,
};

/// How long git may take to look.
const PATIENCE: Duration = Duration::from_mins(10);

/// The files that differ from the last commit or are new and not ignored. Asked inside the sandbox: the clone's
/// settings have a say, and a lie only keeps a file from being committed.
///
/// # Errors
/// If git fails.
pub fn uncommitted(confinement: &Confinement, git_dir: &Path) -> Result<Vec<FileChange>, CommitError> {
    if confinement.bwrap.is_some() {
        super::unblock(&Beneath::open(git_dir)?)?;
    }
    let mut inside = confinement.for_git(true);
    for (name, value) in [("GIT_DIR", git_dir), ("GIT_WORK_TREE", &confinement.work_dir)] {
        inside.env.push((name.into(), value.into()));
    }
    let words = [
        "git",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "status",
        "--porcelain=v1",
        "-z",
    ];
    let more = ["--no-renames", "--untracked-files=all", "--ignore-submodules=all"];
    let argv: Vec<OsString> = words.into_iter().chain(more).map(OsString::from).collect();
    let done = inside.command(&argv).patience(PATIENCE).finish()?;
    if !done.status.success() {
        return Err(CommitError::of(&done));
    }
    let records = done
        .stdout
        .split(|byte| *byte == 0)
        .filter_map(|record| Some((record.get(..2)?, record.get(3..)?)));
    Ok(records
        .map(|(state, path)| FileChange {
            path: path_text(path),
            change: match state {
                b"??" => Change::Added,
                state if state.contains(&b'D') => Change::Deleted,
                _ => Change::Modified,
            },
            from: None,
            truncated: false,
        })
        .collect())
}
