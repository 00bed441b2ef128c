//! What the file system says of a file: the key by which an unchanged file is known without reading it.

use rustix::fs::{FileType, Stat};

/// How far a file's times may lie behind the clock and still fall into the tick of a later write.
const TICK_NS: i64 = 50_000_000;

/// Device, inode, size, times and mode. A writer cannot restore `ctime`, so equal keys mean equal content
/// except within one clock tick, which [`StatKey::is_recent`] tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct StatKey {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Time of the last write, in nanoseconds since 1970.
    pub mtime: i64,
    /// Time of the last change of content or metadata, in nanoseconds since 1970.
    pub ctime: i64,
    /// Type and permission bits.
    pub mode: u32,
}

impl StatKey {
    /// The key of what `stat` describes.
    #[expect(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "the widths of these fields differ between platforms"
    )]
    pub fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            mode: stat.st_mode as u32,
        }
    }

    /// The type of the file.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether the owner may execute it.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether a write after `now` (nanoseconds since 1970) could leave the key as it is.
    pub fn is_recent(&self, now: i64) -> bool {
        self.mtime.max(self.ctime) >= now.saturating_sub(TICK_NS)
    }
}

/// The clock that the kernel stamps files with, in nanoseconds since 1970.
pub(in crate::worktree) fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    nanoseconds(time.tv_sec, time.tv_nsec)
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
