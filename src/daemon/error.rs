//! What can go wrong between a caller and the daemon.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{RpcError, life::place::Beat};
use crate::{process::RunDirError, task::explain};

/// Why the daemon could not be reached, started or asked.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The site's folder is another user's.
    #[error("{path} belongs to user {uid}; a daemon of this user has no business there", path = .path.display())]
    NotOurs {
        /// Which folder.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// The disk or the socket refuses.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
    /// No folder for sockets.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// None runs, and none was to be started.
    #[error("no daemon runs for this repository")]
    NotRunning,
    /// One runs already.
    #[error("a daemon runs for this repository already (pid {pid})")]
    Running {
        /// Its pid, 0 where it has not said yet.
        pid: u32,
    },
    /// Something else answers on the daemon's socket.
    #[error("{path} is answered by process {pid} of user {uid}, not by this site's daemon", path = .path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Who answers.
        pid: i32,
        /// Of which user.
        uid: u32,
    },
    /// It was started and did not come up.
    #[error("the daemon did not come up{}{log}", if .log.is_empty() { "" } else { ": " })]
    NotUp {
        /// The last line of its log.
        log: String,
    },
    /// It does not answer.
    #[error("the daemon (pid {pid}) did not answer within {} s{}", .patience.as_secs(), last_sign(.beat.as_ref()))]
    Silent {
        /// Its pid.
        pid: u32,
        /// How long we waited.
        patience: Duration,
        /// Its last sign of life.
        beat: Option<Beat>,
    },
    /// It is stopped, so it will not answer.
    #[error("the daemon (pid {pid}) is stopped, by a signal or a debugger")]
    Stopped {
        /// Its pid.
        pid: u32,
    },
    /// The connection ended before the answer.
    #[error("the daemon hung up before it answered")]
    HungUp,
    /// It answered something that we do not understand.
    #[error("the daemon answered what git-khlone cannot read: {0}")]
    Garbled(#[from] serde_json::Error),
    /// It answered with an error.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

impl DaemonError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

fn last_sign(beat: Option<&Beat>) -> String {
    let Some(Beat { ago, problem }) = beat else {
        return String::new();
    };
    let problem = problem
        .as_ref()
        .map_or_else(String::new, |problem| format!(": {problem}"));
    format!("; its last sign of life was {} s ago{problem}", ago.as_secs())
}

explain! {
    DaemonError {
        transparent { RunDir, Rpc }
        Refused {
            NotOurs { path, .. } => format!("ls -ld {}", path.display()),
            Running => "git khlone daemon status",
            Stranger => "git khlone daemon logs",
        }
        Failed {
            Io { path, .. } => format!("ls -l {}", path.display()),
            NotUp | HungUp | Garbled => "git khlone daemon logs",
        }
        Timeout {
            Silent { pid, .. } => format!("kill {pid}; git khlone daemon start"),
            Stopped { pid } => format!("kill -CONT {pid}"),
        }
        NotFound { NotRunning => "git khlone daemon start" }
    }
}
