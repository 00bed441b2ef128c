//! Where the daemon of a site is found: its lock, its record, its log, its socket.
//!
//! The record names the socket, so that callers with another environment (cron, `su`) reach the same daemon. It
//! is a hint: the lock alone says whether a daemon lives.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    daemon::{Attendance, DaemonError},
    process::{MAX_SOCKET_PATH, ProcessId, file, run_dir},
    refs::Layout,
    task::{FORMAT, parse_versioned},
};

/// The files of one site's daemon.
#[derive(Debug, Clone)]
pub struct Place {
    common: PathBuf,
    layout: Layout,
    /// What keeps a daemon that is started here, where it must not stay.
    attendance: Option<Attendance>,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// How long ago it was left.
    pub ago: Duration,
    /// What kept the daemon from its work then.
    pub problem: Option<String>,
}

/// `daemon.json`: the living daemon, or the last one. It holds the token, so only its user may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) format: u32,
    /// Where it listens.
    pub(crate) socket: PathBuf,
    /// Which process it is.
    pub(crate) process: ProcessId,
    /// What a caller must show: new for each daemon, hidden from brains.
    pub(crate) token: String,
    /// The build that it runs.
    pub(crate) version: String,
    /// Device and inode of the folder that this was written in: in a copy of the repository it speaks of another's.
    #[serde(default)]
    pub(crate) folder: (u64, u64),
}

impl Place {
    /// The place of the site whose common git folder is `common`; its `khlone` folder must be ours.
    ///
    /// # Errors
    /// [`DaemonError::NotOurs`] for another user's folder, [`DaemonError::Io`] if there is none.
    pub fn new(common: &Path) -> Result<Self, DaemonError> {
        let layout = Layout::of(common);
        let dir = layout.dir();
        let meta = fs::symlink_metadata(dir).map_err(|source| DaemonError::io(dir, source))?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(DaemonError::NotOurs {
                path: dir.to_owned(),
                uid: meta.uid(),
            });
        }
        Ok(Self {
            common: common.to_owned(),
            layout,
            attendance: None,
        })
    }

    /// The same place; a daemon that is started here leaves with the last process that keeps it.
    #[must_use]
    pub fn attended(self, attendance: Attendance) -> Self {
        Self {
            attendance: Some(attendance),
            ..self
        }
    }

    pub(crate) fn attendance(&self) -> Option<&Attendance> {
        self.attendance.as_ref()
    }

    /// The common git folder.
    pub fn common(&self) -> &Path {
        &self.common
    }

    /// Whether the repository was moved away from here, or removed.
    pub(crate) fn is_gone(&self) -> bool {
        fs::metadata(&self.common).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.layout.daemon_lock()
    }

    pub(crate) fn record_path(&self) -> PathBuf {
        self.layout.daemon_record()
    }

    pub(crate) fn attempts(&self) -> PathBuf {
        self.layout.attempts()
    }

    /// Leaves a sign of life: the boot clock, which goes on while the machine sleeps and is set by nobody; and what
    /// keeps the daemon from its work, for those who do not reach it.
    pub(crate) fn beat(&self, problem: Option<&str>) -> io::Result<()> {
        let problem = problem.unwrap_or_default().replace('\n', " ");
        let beat = format!("{}\n{problem}", boot_clock().as_secs());
        file::replace(&self.layout.daemon_beat(), beat.as_bytes())
    }

    /// The last sign of life, if a daemon left one in this boot.
    pub(crate) fn last_beat(&self) -> Option<Beat> {
        let beat = file::read_text(&self.layout.daemon_beat()).ok()?;
        let (at, problem) = beat.split_once('\n').unwrap_or((&beat, ""));
        let ago = boot_clock().checked_sub(Duration::from_secs(at.trim().parse().ok()?))?;
        Some(Beat {
            ago,
            problem: Some(problem.trim().to_owned()).filter(|problem| !problem.is_empty()),
        })
    }

    /// The daemon's log.
    pub fn log_path(&self) -> PathBuf {
        Self::log_of(&self.common)
    }

    pub(crate) fn log_of(common: &Path) -> PathBuf {
        Layout::of(common).daemon_log()
    }

    /// A socket path for a daemon of this site that starts now.
    pub(crate) fn socket_path(&self) -> Result<PathBuf, DaemonError> {
        let meta = fs::metadata(&self.common).map_err(|source| DaemonError::io(&self.common, source))?;
        let mut hasher = DefaultHasher::new();
        (meta.dev(), meta.ino(), &self.common).hash(&mut hasher);
        let path = run_dir()?.join(format!("{:016x}.sock", hasher.finish()));
        debug_assert!(
            path.as_os_str().len() <= MAX_SOCKET_PATH,
            "the run folder leaves room"
        );
        Ok(path)
    }

    /// The record, if there is a readable one of ours.
    pub(crate) fn record(&self) -> Result<Option<Record>, DaemonError> {
        let path = self.record_path();
        match file::read(&path) {
            Ok(bytes) => match parse_versioned::<Record>("daemon.json", &bytes) {
                Ok(record) => {
                    let folder = self.folder().map_err(|source| DaemonError::io(&path, source))?;
                    Ok(Some(record).filter(|record| record.folder == folder))
                }
                // A torn or foreign record is as good as none: the lock decides.
                Err(error) => {
                    tracing::debug!(%error, "unreadable record");
                    Ok(None)
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DaemonError::io(&path, source)),
        }
    }

    fn folder(&self) -> io::Result<(u64, u64)> {
        fs::metadata(self.layout.dir()).map(|meta| (meta.dev(), meta.ino()))
    }

    /// Writes the record of the daemon that listens on `socket`, and gives it. Only under the lock.
    pub(crate) fn write_record(&self, socket: PathBuf) -> Result<Record, DaemonError> {
        let path = self.record_path();
        let io = |source| DaemonError::io(&path, source);
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| io(std::io::Error::other(error.to_string())))?;
        let record = Record {
            format: FORMAT,
            socket,
            process: ProcessId::current().map_err(io)?,
            token: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            folder: self.folder().map_err(io)?,
        };
        let text = serde_json::to_vec(&record).map_err(|error| io(error.into()))?;
        // A rename, so that a reader sees the whole record or the one before.
        let temp = self.record_path().with_extension("json.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temp)
            .map_err(io)?;
        file.write_all(&text).map_err(io)?;
        fs::rename(&temp, &path).map_err(io)?;
        Ok(record)
    }
}

fn boot_clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("khlone")).unwrap();
        let place = Place::new(dir.path()).unwrap();
        (dir, place)
    }

    #[test]
    fn the_record_comes_back_private_and_torn_ones_are_none() {
        let (_dir, place) = place();
        assert_eq!(place.record().unwrap(), None);
        let written = place.write_record("/run/x.sock".into()).unwrap();
        assert_eq!(place.record().unwrap(), Some(written));
        assert_eq!(fs::metadata(place.record_path()).unwrap().mode() & 0o777, 0o600);
        fs::write(place.record_path(), b"{\"format\":1,").unwrap();
        assert_eq!(place.record().unwrap(), None);
    }

    #[test]
    fn a_sign_of_life_is_told_by_the_boot_clock() {
        let (_dir, place) = place();
        assert_eq!(place.last_beat(), None);
        place.beat(None).unwrap();
        let beat = place.last_beat().unwrap();
        assert!(beat.ago < Duration::from_secs(60) && beat.problem.is_none());
        place.beat(Some("out of\nfiles")).unwrap();
        assert_eq!(
            place.last_beat().unwrap().problem.as_deref(),
            Some("out of files")
        );
        // As earlier daemons wrote it.
        fs::write(place.layout.daemon_beat(), "0").unwrap();
        assert!(place.last_beat().unwrap().ago.as_secs() >= boot_clock().as_secs() - 1);
        // Of another boot.
        fs::write(place.layout.daemon_beat(), "99999999999").unwrap();
        assert_eq!(place.last_beat(), None);
    }

    #[test]
    fn sockets_fit_however_deep_the_repository_is() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(deep.join("khlone")).unwrap();
        let path = Place::new(&deep).unwrap().socket_path().unwrap();
        assert!(path.as_os_str().len() <= MAX_SOCKET_PATH);
    }
}
