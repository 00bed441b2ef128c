//! What a new worktree gets besides its branch: files that git ignores but work needs.
//!
//! `.worktreeinclude` at the top of the main work tree, in gitignore syntax, names files; those among them that
//! git ignores are copied (tracked files are there already, and other untracked ones are somebody's work).
//! `worktree.copy` names whole folders. What was copied is recorded in the worktree's git folder, so that the
//! commit at the end of a task can leave it out.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bstr::ByteSlice;

use super::{
    checkout::Checkout,
    copy::{Copied, Copier},
};
use crate::{process::ProcessError, task::explain};

/// The file that names what to copy.
pub const INCLUDE_FILE: &str = ".worktreeinclude";
/// Where a worktree's git folder records what was copied: names, each ended by NUL.
const RECORD: &str = "khlone-copied";

/// A copy that failed.
#[derive(Debug, thiserror::Error)]
pub enum IncludeError {
    /// git cannot list the ignored files.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The disk refuses.
    #[error("copying {what} into the worktree: {source}", what = .what.display())]
    Io {
        /// What was being copied.
        what: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

explain! {
    IncludeError {
        transparent { Process }
        Failed { Io }
    }
}

/// Copies what `.worktreeinclude` names, and `folders`, from the main checkout into `to`, and records it.
///
/// # Errors
/// If git cannot list the files, or the disk refuses.
pub fn copy_into(to: &Checkout, main: &Checkout, folders: &[String]) -> Result<Copied, IncludeError> {
    let mut copier = Copier::new(&main.path, &to.path);
    let included = included(main)?;
    for path in included
        .iter()
        .map(PathBuf::as_path)
        .chain(folders.iter().map(Path::new))
    {
        copier.copy(path).map_err(|source| IncludeError::Io {
            what: path.to_owned(),
            source,
        })?;
    }
    let done = copier.finish();
    let mut record = Vec::new();
    for path in &done.paths {
        record.extend_from_slice(path.as_os_str().as_bytes());
        record.push(0);
    }
    let file = to.git_dir.join(RECORD);
    let written = fs::write(&file, record).and_then(|()| to.sharing().adjust(&file));
    written.map_err(|source| IncludeError::Io { what: file, source })?;
    Ok(done)
}

/// What was copied into a worktree when it was made: files, and folders with all that is below them.
pub fn copied_paths(checkout: &Checkout) -> Vec<PathBuf> {
    let record = fs::read(checkout.git_dir.join(RECORD)).unwrap_or_default();
    paths(&record).collect()
}

/// The ignored files of the main work tree that its `.worktreeinclude` names.
fn included(main: &Checkout) -> Result<Vec<PathBuf>, ProcessError> {
    if !main.path.join(INCLUDE_FILE).is_file() {
        return Ok(Vec::new());
    }
    let named = main
        .git()
        .args(["ls-files", "-z", "--others", "--ignored"])
        .arg(format!("--exclude-from={INCLUDE_FILE}"))
        .output()?;
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let ignored = main
        .git()
        .args(["check-ignore", "-z", "--stdin"])
        .input(named)
        .finish()?;
    // It exits with 1 when none of them is ignored.
    Ok(paths(&ignored.stdout).collect())
}

fn paths(list: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    let names = list.split_str(b"\0").filter(|name| !name.is_empty());
    names.map(|name| PathBuf::from(OsStr::from_bytes(name)))
}
