//! Notices that the ref of a task or a zone moved, whoever moved it.
//!
//! Best effort: where the kernel gives no watch, or refs are packed away, the engine's tick finds out.

use std::{io, path::PathBuf};

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// A watch on the folders of the refs of tasks and of zones.
#[derive(Debug)]
pub(crate) struct RefWatch {
    folders: [PathBuf; 2],
    /// An inotify descriptor; it is read as a pipe is.
    inotify: Option<Receiver>,
}

impl RefWatch {
    /// Watches `folders`, which need not be there yet.
    pub(crate) fn new(folders: [PathBuf; 2]) -> Self {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(io::Error::from);
        let inotify = inotify.and_then(Receiver::from_owned_fd_unchecked);
        if let Err(error) = &inotify {
            tracing::warn!(%error, "refs are not watched");
        }
        Self {
            folders,
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
        let mut events = [0_u8; 4096];
        if inotify.read(&mut events).await.is_err() {
            self.inotify = None;
        }
    }
}
