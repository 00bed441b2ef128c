//! Why a checkout cannot be brought to another commit.

use std::{
    io,
    path::{Path, PathBuf},
};

use bstr::{BString, ByteSlice};
use git2::Oid;

use crate::{
    process::ProcessError,
    task::{a, explain},
};

/// How many names an error spells out.
const NAMED: usize = 10;

/// A checkout whose files cannot be moved.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// Tracked files are changed or staged.
    #[error("{path} has uncommitted changes: {names}", path = .path.display(), names = listed(.files))]
    Dirty {
        /// The checkout.
        path: PathBuf,
        /// The files.
        files: Vec<BString>,
    },
    /// Untracked or ignored files stand where new ones would go.
    #[error("{path} has untracked files where new ones would go: {names}", path = .path.display(), names = listed(.files))]
    InTheWay {
        /// The checkout.
        path: PathBuf,
        /// The files.
        files: Vec<BString>,
    },
    /// A merge, rebase or the like stands half done.
    #[error("{} is in progress in {path}", a(.what), path = .path.display())]
    Unfinished {
        /// The checkout.
        path: PathBuf,
        /// git's word for it.
        what: &'static str,
    },
    /// git was told to look away from files that would change, and they differ.
    #[error("{path} has changes that git was told not to see (assume-unchanged or skip-worktree): {names}", path = .path.display(), names = listed(.files))]
    Hidden {
        /// The checkout.
        path: PathBuf,
        /// The files.
        files: Vec<BString>,
    },
    /// git refused or failed; the files are as they were.
    #[error("{path} cannot be brought to {to:.10}: {source}", path = .path.display())]
    Refused {
        /// The checkout.
        path: PathBuf,
        /// The commit.
        to: Oid,
        /// What git says.
        source: ProcessError,
    },
    /// git failed, and so did putting the old files back.
    #[error("{path} is left between two commits: {source}; and then: {then}", path = .path.display())]
    Half {
        /// The checkout.
        path: PathBuf,
        /// What failed first.
        source: ProcessError,
        /// What failed next.
        then: Box<CarryError>,
    },
    /// git could not be asked.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The repository could not be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The disk refuses.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
}

explain! {
    CarryError {
        transparent { Process }
        Refused {
            Dirty { path, .. } => format!("git -C {} stash", quoted(path)),
            InTheWay { path, files } => files.first().map(|file| {
                let file = quoted(&path.join(file.to_path_lossy()));
                format!("mv {file} {file}.aside")
            }),
            Hidden { path, files } => {
                let names = files.iter().map(|file| quoted(&file.to_path_lossy()));
                let (path, names) = (quoted(path), names.collect::<Vec<_>>().join(" "));
                // git does one of the two a call.
                format!(
                    "git -C {path} update-index --no-assume-unchanged -- {names} && git -C {path} update-index \
                     --no-skip-worktree -- {names}    # then commit them, or put them aside"
                )
            },
            Unfinished { path, what } => match *what {
                "bisect" => format!("git -C {} bisect reset", quoted(path)),
                what => format!("git -C {} {what} --continue", quoted(path)),
            },
            Refused,
        }
        Failed {
            Half { path, .. } => format!("git -C {} reset --hard", quoted(path)),
            Git, Io,
        }
    }
}

/// A path as a word for the shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), std::borrow::Cow::into_owned)
}

/// File names for a message: the first few, escaped.
pub(crate) fn listed(files: &[BString]) -> String {
    let mut names: Vec<_> = files
        .iter()
        .take(NAMED)
        .map(|file| file.to_str_lossy().escape_debug().to_string())
        .collect();
    if files.len() > NAMED {
        names.push(format!("and {} more", files.len() - NAMED));
    }
    names.join(", ")
}
