//! `core.sharedRepository`: what git's mode is for a file or folder in a repository that others use, too.
//!
//! A `git gc` of another user takes refs that it cannot read for none, and deletes what only they name. So what is made in
//! the git folder gets the mode that git gives it there, whatever the umask. The site's own folder stays private.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use git2::Config;

/// What the group may, and what everybody may.
const GROUP: u32 = 0o660;
const ALL: u32 = 0o664;
const SETGID: u32 = 0o2000;

/// Who may use what is made in a git folder, besides its maker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Whom the umask lets.
    #[default]
    Umask,
    /// Those as well whom these bits let.
    AtLeast(u32),
    /// Only those whom these bits let.
    Exactly(u32),
}

impl Sharing {
    /// That of the repository whose common git folder is `common`.
    pub fn of(common: &Path) -> Self {
        let config = Config::open_default().and_then(|mut config| {
            config.add_file(&common.join("config"), git2::ConfigLevel::Local, false)?;
            Ok(config)
        });
        config.map_or(Self::Umask, |config| Self::in_config(&config))
    }

    pub(super) fn in_config(config: &Config) -> Self {
        let Ok(entry) = config.get_entry("core.sharedRepository") else {
            return Self::Umask;
        };
        Self::parse(entry.has_value().then(|| entry.value().ok()).flatten())
    }

    /// git's reading of the value; none where the key stands alone. git itself does not work where it is invalid.
    fn parse(value: Option<&str>) -> Self {
        let group = Self::AtLeast(GROUP);
        match value {
            None | Some("group") => group,
            Some("umask" | "") => Self::Umask,
            Some("all" | "world" | "everybody") => Self::AtLeast(ALL),
            Some(text) => match u32::from_str_radix(text, 8) {
                Ok(0) => Self::Umask,
                Ok(1) => group,
                Ok(2) => Self::AtLeast(ALL),
                Ok(bits) => Self::Exactly(bits & 0o666),
                Err(_) if Config::parse_bool(text).unwrap_or(false) => group,
                Err(_) => Self::Umask,
            },
        }
    }

    /// Whether the umask alone does not say it.
    pub fn is_set(self) -> bool {
        self != Self::Umask
    }

    /// The mode for what has `mode` now.
    fn mode(self, mode: u32, is_dir: bool) -> u32 {
        let (mut bits, kept) = match self {
            Self::Umask => return mode,
            Self::AtLeast(bits) => (bits, mode),
            Self::Exactly(bits) => (bits, mode & !0o777),
        };
        if mode & 0o200 == 0 {
            bits &= !0o222;
        }
        if mode & 0o100 != 0 {
            bits |= (bits & 0o444) >> 2;
        }
        let mut new = kept | bits;
        if is_dir {
            new |= (new & 0o444) >> 2;
            if new & 0o060 != 0 {
                new |= SETGID;
            }
        }
        new
    }

    /// Gives what was just made at `path` its mode.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn adjust(self, path: &Path) -> io::Result<()> {
        if !self.is_set() {
            return Ok(());
        }
        let data = fs::symlink_metadata(path)?;
        let old = data.permissions().mode() & 0o7777;
        let new = self.mode(old, data.is_dir());
        if new == old {
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(new))
    }

    /// Makes the folder `dir`, whose parent is there, with its mode.
    ///
    /// # Errors
    /// If the disk refuses, or it is there.
    pub fn make_dir(self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)?;
        self.adjust(dir)
    }

    /// Makes the folder `dir` and those above it that are missing, each with its mode.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn make_dirs(self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.make_dirs(parent)?;
        }
        match self.make_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Cmd;

    const VALUES: [&str; 13] = [
        "umask",
        "group",
        "all",
        "world",
        "everybody",
        "true",
        "false",
        "0",
        "1",
        "2",
        "0640",
        "0600",
        "0666",
    ];

    /// git makes a branch's folder, its file and its reflog; we make folders and files of the same kind.
    #[test]
    fn modes_are_those_that_git_gives() {
        for value in VALUES {
            let dir = tempfile::tempdir().unwrap();
            let git = |args: &[&str]| Cmd::git(dir.path()).args(args).output().unwrap();
            Cmd::new("git")
                .args(["init", "-q", "--bare"])
                .arg(dir.path())
                .output()
                .unwrap();
            git(&["config", "core.sharedRepository", value]);
            let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
            let commit = git(&[
                "-c",
                "user.name=a",
                "-c",
                "user.email=b",
                "commit-tree",
                "-m",
                "x",
                tree,
            ]);
            let commit = String::from_utf8(commit).unwrap();
            git(&["update-ref", "refs/heads/of/git", commit.trim()]);
            let ours = Sharing::of(dir.path());
            ours.make_dirs(&dir.path().join("refs/heads/by/us")).unwrap();
            let file = dir.path().join("refs/heads/by/us/x");
            fs::write(&file, "").unwrap();
            ours.adjust(&file).unwrap();
            let mode = |name: &str| {
                fs::metadata(dir.path().join("refs/heads").join(name))
                    .unwrap()
                    .permissions()
                    .mode()
            };
            assert_eq!(mode("by"), mode("of"), "{value}");
            assert_eq!(mode("by/us"), mode("of"), "{value}");
            assert_eq!(mode("by/us/x"), mode("of/git"), "{value}");
        }
    }

    #[test]
    fn a_file_that_is_not_to_be_written_stays_so() {
        assert_eq!(Sharing::AtLeast(ALL).mode(0o400, false), 0o444);
        assert_eq!(Sharing::Exactly(0o640).mode(0o444, false), 0o440);
        assert_eq!(Sharing::parse(None), Sharing::AtLeast(GROUP));
    }
}
