//! Notices that the ref of a task or a zone moved, whoever moved it, and that the repository itself did.
//!
//! Best effort: where the kernel gives no watch, or refs are packed away, the engine's tick finds out.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// A watch on the folders of the refs of tasks and of zones, which need not be there yet, and on what they stand in.
#[derive(Debug)]
pub(crate) struct RefWatch {
    folders: [PathBuf; 2],
    /// The common folder and the one around it.
    homes: Vec<PathBuf>,
    /// An inotify descriptor; it is read as a pipe is.
    inotify: Option<Receiver>,
}

impl RefWatch {
    /// Watches the repository at `common`.
    pub(crate) fn new(common: &Path) -> Self {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(io::Error::from);
        let inotify = inotify.and_then(Receiver::from_owned_fd_unchecked);
        if let Err(error) = &inotify {
            tracing::warn!(%error, "refs are not watched");
        }
        Self {
            folders: ["tasks", "zones"].map(|kind| common.join("refs/khlone").join(kind)),
            homes: common.ancestors().take(2).map(Path::to_owned).collect(),
            inotify: inotify.ok(),
        }
    }

    /// Returns after a change since the last call. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        let Some(inotify) = &mut self.inotify else {
            return std::future::pending().await;
        };
        // Each time anew: git makes the folder with the first task and removes it when it packs all refs.
        let flags = WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        for folder in &self.folders {
            let _not_there_yet = add_watch(&*inotify, folder, flags);
        }
        for home in &self.homes {
            let _moved_away = add_watch(&*inotify, home, WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR);
        }
        let mut events = [0_u8; 4096];
        if inotify.read(&mut events).await.is_err() {
            self.inotify = None;
        }
    }
}
