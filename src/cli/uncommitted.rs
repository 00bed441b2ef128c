//! Whether the user's checkout has changes that a clone does not see.

use std::{sync::mpsc, time::Duration};

use crate::{process::Cmd, refs::Repo};

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
        let checkout = repo.work_dir()?.to_owned();
        let (git_dir, (sender, receiver)) = (repo.git_dir().to_owned(), mpsc::channel());
        let is_large = std::fs::metadata(git_dir.join("index")).is_ok_and(|index| index.len() > LARGE);
        std::thread::spawn(move || {
            let git = Cmd::git(&git_dir)
                .env("GIT_WORK_TREE", &checkout)
                .patience(if is_large { GLANCE } else { LOOK })
                .dir(&checkout);
            // Not `diff-index`: by that, a file whose times alone have changed differs.
            let status = [
                "status",
                "--porcelain",
                "--untracked-files=no",
                "--ignore-submodules=dirty",
            ];
            let done = git.args(status).finish();
            let _nobody_waits =
                sender.send(done.is_ok_and(|done| done.status.success() && !done.stdout.is_empty()));
        });
        Some(Self(receiver))
    }

    /// Whether it has found any by now.
    pub(super) fn found(self) -> bool {
        self.0.recv_timeout(Duration::from_millis(20)).unwrap_or(false)
    }
}
