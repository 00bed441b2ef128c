//! The commits of a landing: by git, as the user, signed where `commit.gpgSign` says so.
//!
//! The signer is git's own choice (`gpg.format`, `gpg.program`, …), and runs in the foreground of the terminal, so that it
//! can ask for a passphrase. What it refuses is not made.

use std::{fs, path::PathBuf, time::Duration};

use bstr::{BString, ByteSlice};
use git2::Oid;

use super::{LandError, Voice, bench::Bench};
use crate::{
    delivery::merge::{MergeError, is_nobody},
    refs::Repo,
};

/// How long a person may take to unlock a key.
const PATIENCE: Duration = Duration::from_mins(10);

/// The terminal that a passphrase can be asked at.
fn terminal() -> Option<PathBuf> {
    let mut streams = [0, 2].into_iter();
    let of = |stream: i32| fs::read_link(format!("/proc/self/fd/{stream}")).ok();
    streams.find_map(|stream| {
        of(stream)
            .filter(|path| path.starts_with("/dev/pts") || path.to_string_lossy().starts_with("/dev/tty"))
    })
}

/// Makes commits.
pub(super) struct Maker<'a> {
    pub(super) bench: &'a Bench,
    pub(super) voice: &'a Voice<'a>,
    /// Whether they are signed.
    pub(super) signs: bool,
    /// By which key, if not the user's.
    pub(super) key: Option<&'a str>,
}

/// What a commit is made of besides its message.
pub(super) struct Parts<'a> {
    pub(super) tree: Oid,
    pub(super) parents: &'a [Oid],
    /// The author's line and the message's encoding, of a commit that is made anew.
    pub(super) from: Option<&'a Original>,
}

/// A commit as it was.
pub(super) struct Original {
    name: BString,
    email: BString,
    date: BString,
    encoding: Option<BString>,
    pub(super) message: BString,
}

impl Original {
    /// Reads a commit.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read(repo: &Repo, commit: Oid) -> Result<Self, LandError> {
        let odb = repo.git().odb()?;
        let raw = odb.read(commit)?;
        let (head, message) = raw.data().split_once_str(b"\n\n").unwrap_or((raw.data(), b""));
        let field = |name: &[u8]| head.lines().find_map(|line| line.strip_prefix(name));
        let author = field(b"author ").unwrap_or_default();
        let (who, date) = author.rsplit_once_str(b"> ").unwrap_or((author, b""));
        let (name, email) = who.rsplit_once_str(b"<").unwrap_or((who, b""));
        Ok(Self {
            name: name.trim_end().into(),
            email: email.into(),
            date: [b"@", date].concat().into(),
            encoding: field(b"encoding ").map(BString::from),
            message: message.into(),
        })
    }
}

impl Maker<'_> {
    /// Makes one commit.
    ///
    /// # Errors
    /// [`LandError::Sign`] if it cannot be signed.
    pub(super) fn commit(&self, parts: &Parts<'_>, message: &[u8]) -> Result<Oid, LandError> {
        let mut git = self.bench.git().as_user();
        if let Some(from) = parts.from {
            for (name, value) in [("NAME", &from.name), ("EMAIL", &from.email), ("DATE", &from.date)] {
                git = git.env(format!("GIT_AUTHOR_{name}"), value.to_os_str_lossy());
            }
            if let Some(encoding) = &from.encoding {
                git = git.args(["-c", &format!("i18n.commitEncoding={encoding}")]);
            }
        }
        git = git.args(["commit-tree", "-F", "-"]);
        if self.signs {
            (self.voice.signs)();
            git = git
                .arg(
                    self.key
                        .map_or("--gpg-sign".to_owned(), |key| format!("--gpg-sign={key}")),
                )
                .in_foreground()
                .on_leash()
                .patience(PATIENCE);
            if let Some(terminal) = terminal().filter(|_| std::env::var_os("GPG_TTY").is_none()) {
                git = git.env("GPG_TTY", terminal);
            }
        } else {
            git = git.arg("--no-gpg-sign");
        }
        for parent in parts.parents {
            git = git.args(["-p", &parent.to_string()]);
        }
        let done = git.arg(parts.tree.to_string()).input(message).finish()?;
        if done.status.success() {
            return Ok(done.stdout.trim().to_str_lossy().parse()?);
        }
        let said = done.stderr.to_str_lossy().trim().to_owned();
        if is_nobody(&done.stderr) {
            return Err(MergeError::Nobody.into());
        }
        Err(if self.signs {
            LandError::Sign { said }
        } else {
            LandError::Commit { said }
        })
    }
}
