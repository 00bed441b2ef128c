//! Whether the user's checkout has changes that a clone does not see.

use std::{sync::mpsc, time::Duration};

use crate::{
    refs::Repo,
    worktree::{checkout::Checkout, lenient::status},
};

/// How long the look may take.
const LOOK: Duration = Duration::from_secs(2);
/// And where the index is larger than this (bytes, some ten thousand files): no longer than the dispatch itself takes,
/// whose time must not depend on the repository's size.
const LARGE: u64 = 1 << 20;
const GLANCE: Duration = Duration::from_millis(8);

/// A look at the user's checkout, meanwhile: its time depends on the repository's size, the command's must not.
pub(super) struct Uncommitted(mpsc::Receiver<bool>);

impl Uncommitted {
    /// Begins to look; nothing to look at without a checkout.
    pub(super) fn look(repo: &Repo) -> Option<Self> {
        let (git_dir, path) = (repo.git_dir().to_owned(), repo.work_dir()?.to_owned());
        let (checkout, (sender, receiver)) = (Checkout { git_dir, path }, mpsc::channel());
        let index = std::fs::metadata(checkout.git_dir.join("index"));
        let patience = if index.is_ok_and(|index| index.len() > LARGE) {
            GLANCE
        } else {
            LOOK
        };
        std::thread::spawn(move || {
            // Not `diff-index`: by that, a file whose times alone have changed differs.
            let args = ["--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"];
            let found = status(&checkout, &args, |git| git.patience(patience));
            let _nobody_waits = sender.send(found.is_ok_and(|found| !found.is_empty()));
        });
        Some(Self(receiver))
    }

    /// Whether it has found any by now.
    pub(super) fn found(self) -> bool {
        self.0.recv_timeout(Duration::from_millis(20)).unwrap_or(false)
    }
}
