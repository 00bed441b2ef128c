//! Effects: what lies between two receipts, sorted by whose doing it can be.
//!
//! Files are compared entry by entry, so that what git's view hides (ignored files, special files, nested
//! repositories) differs too. Around the work tree, a change is the clone's own branch, the attempt's own ref,
//! explained by something else that khlone did, or nobody's: then it is `external` where the sandbox proves that
//! the brain cannot have done it, else `foreign`.

mod around;
mod files;
#[cfg(test)]
mod tests;

use bstr::BString;

pub use files::{Differences, differences};

use super::receipt::Receipt;
use crate::{
    refs::Repo,
    task::{Effects, FileChange},
};

/// So many ignored files are named.
const IGNORED: usize = 100;

/// Something outside the work tree that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside<'a> {
    /// A ref, by its full name.
    Ref(&'a str),
    /// The HEAD of a worktree, by its id; the main one's is empty.
    Head(&'a str),
    /// A file of the common folder.
    Config(&'a str),
}

/// What the caller knows of the time between the receipts.
pub struct Context<'a> {
    /// The full name of the clone's branch.
    pub branch: &'a str,
    /// The id of the clone's worktree.
    pub worktree: &'a str,
    /// Whether a ref is the attempt's own: made in its private git folder and brought in by us.
    pub own: &'a dyn Fn(&str) -> bool,
    /// Whether something else that khlone did explains a change: another task's branch or worktree.
    pub explained: &'a dyn Fn(Outside<'_>) -> bool,
    /// The sandbox proves that the brain could write nothing outside its worktree.
    pub confined: bool,
    /// The attempt died: what it changed since the first receipt may be half done.
    pub died: bool,
}

/// What changed from `before` to `after`.
///
/// `repo` serves to list commits and to tell a cut-off file from a rewritten one; both receipts' objects should
/// be published.
pub fn effects(before: &Receipt, after: &Receipt, repo: &Repo, context: &Context<'_>) -> Effects {
    let differences = differences(&before.snapshot.manifest, &after.snapshot.manifest, repo);
    let mut effects = Effects {
        format: 1,
        in_doubt: if context.died {
            in_doubt(&differences.files)
        } else {
            Vec::new()
        },
        files: differences.files,
        ignored: differences.ignored.into_iter().take(IGNORED).collect(),
        ..Effects::default()
    };
    around::compare(before, after, context, &mut effects);
    if let Some(moved) = &effects.branch {
        effects.commits = around::commits(repo, moved);
    }
    effects
}

/// The files that a dead attempt may have left half-written, each with what speaks for it.
pub fn in_doubt(files: &[FileChange]) -> Vec<String> {
    let mark = |it: &FileChange| if it.truncated { " (cut off or empty)" } else { "" };
    files
        .iter()
        .map(|it| format!("{}{}", it.path, mark(it)))
        .collect()
}

/// A path as documents have it: bytes that are no UTF-8 as `\xNN`, a backslash as `\\`.
pub fn path_text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

/// The path of a document as bytes again.
pub fn path_bytes(text: &str) -> BString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail
            .strip_prefix(b"x")
            .and_then(|it| it.get(..2))
            .and_then(|it| std::str::from_utf8(it).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (byte, length) = match (first, byte) {
            (b'\\', Some(byte)) => (byte, 4),
            (b'\\', None) if tail.starts_with(b"\\") => (b'\\', 2),
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes.into()
}
