//! Why a worktree cannot be had.

use std::{io, path::PathBuf};

use crate::{
    process::ProcessError,
    refs::RefError,
    task::{a, explain},
    worktree::{
        carry::{CarryError, quoted},
        include::IncludeError,
        place::PlaceError,
    },
};

/// A worktree that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Something else stands there.
    #[error("{place} exists and is not a worktree of this repository", place = .place.display())]
    Foreign {
        /// Where.
        place: PathBuf,
    },
    /// Its branch is checked out elsewhere.
    #[error("branch {branch} is checked out in {path}; a clone works on its own", path = .path.display())]
    BranchInUse {
        /// The branch.
        branch: String,
        /// Where.
        path: PathBuf,
    },
    /// It is on another branch.
    #[error("{place} is on {found}, not on its branch {branch}", place = .place.display())]
    WrongBranch {
        /// Where.
        place: PathBuf,
        /// Its branch.
        branch: String,
        /// What HEAD says.
        found: String,
    },
    /// An operation of git's stands half done there.
    #[error("{} is in progress in {place}", a(.operation), place = .place.display())]
    HalfDone {
        /// Where.
        place: PathBuf,
        /// git's word for it.
        operation: &'static str,
    },
    /// Somebody else rules the place, or a link stands there.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The branch cannot be made.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// git failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It cannot be filled.
    #[error(transparent)]
    Files(#[from] CarryError),
    /// The repository could not be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// A copy failed.
    #[error(transparent)]
    Include(#[from] IncludeError),
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
    CreateError {
        transparent { Place, Ref, Process, Files, Include }
        Refused {
            Foreign { place } => format!("mv {0} {0}.aside", quoted(place)),
            BranchInUse { path, .. } => format!("git -C {} switch -", quoted(path)),
            WrongBranch { place, branch, .. } => format!("git -C {} switch {branch}", quoted(place)),
            HalfDone { place, operation } => match *operation {
                "bisect" => format!("git -C {} bisect reset", quoted(place)),
                other => format!("git -C {} {other} --abort    # or --continue", quoted(place)),
            },
        }
        Failed { Git, Io }
    }
}
