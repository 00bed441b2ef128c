//! What a clone's work tree holds that its last commit does not, as git itself sees it from inside.
//!
//! `git status` passes over what the index marks as not to be looked at (`assume-unchanged`, `skip-worktree`) and, asked
//! by us, over submodules. Both are listed apart, so that whoever commits can look for himself.

use std::{ffi::OsString, os::unix::fs::MetadataExt, path::Path, time::Duration};

use super::commit::{CommitError, LENIENT};
use crate::{
    guard::{beneath::Beneath, sandbox::Confinement},
    refs::Oid,
    task::{Change, FileChange},
    worktree::effects::path_text,
};

/// How long git may take to look.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the index says of its own, of files that `git status` does not look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `assume-unchanged`.
    Assumed,
    /// `skip-worktree`.
    Skipped,
}

/// What differs from the last commit, or may.
#[derive(Debug, Default)]
pub struct Uncommitted {
    /// Files that differ or are new and not ignored.
    pub files: Vec<FileChange>,
    /// Those of them that are new in the index: whoever added one wanted it, ignored or not.
    pub added: Vec<String>,
    /// Files that git was told not to look at.
    pub marked: Vec<(Vec<u8>, Mark)>,
    /// Submodules of the index.
    pub links: Vec<(Vec<u8>, Oid)>,
    /// Submodules of the last commit, if they were asked for.
    pub committed: Vec<(Vec<u8>, Oid)>,
}

/// `$1` is what `core.ignoreCase` shall be, `$2` is `links` where submodules of the commit are wanted. Newlines and NULs
/// change places for grep. Of the index only what is unusual is printed.
const SCRIPT: &str = r#"
git() { command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.ignoreCase="$case" "$@"; }
unusual() { tr '\000\012' '\012\000' | LC_ALL=C grep -a "$@" | tr '\012\000' '\000\012'; }
looked() { git status --porcelain=v1 -z --no-renames --untracked-files=all --ignore-submodules=all; }
case=$1
looked || { lenient && looked; } || exit
printf '\0'
git ls-files -s -v -z | unusual -v '^H 1[02]0'
printf '\0'
test "$2" != links || git ls-tree -r -z HEAD 2>/dev/null | unusual '^160000'
exit 0
"#;

/// The files that differ from the last commit or are new and not ignored. Asked inside the sandbox: the clone's
/// settings have a say, and a lie only keeps a file from being committed. With `links` the submodules of the last commit
/// are told, too.
///
/// # Errors
/// If git fails.
pub fn uncommitted(
    confinement: &Confinement,
    git_dir: &Path,
    links: bool,
) -> Result<Uncommitted, CommitError> {
    if confinement.bwrap.is_some() {
        super::unblock(&Beneath::open(git_dir)?)?;
    }
    let mut inside = confinement.for_git(true);
    for (name, value) in [("GIT_DIR", git_dir), ("GIT_WORK_TREE", &confinement.work_dir)] {
        inside.env.push((name.into(), value.into()));
    }
    let case = ignores_case(&confinement.work_dir).to_string();
    let links = if links { "links" } else { "" };
    let script = [LENIENT, SCRIPT].concat();
    let argv = ["sh", "-c", &script, "uncommitted", &case, links].map(OsString::from);
    let done = inside.run(&argv, PATIENCE)?;
    if !done.status.success() {
        return Err(CommitError::of(&done));
    }
    Ok(parse(&done.stdout))
}

/// Whether the file system takes names for the same that differ in case only. A repository that came from another
/// machine may say otherwise, and git would pass over such a rename then.
pub(super) fn ignores_case(work_dir: &Path) -> bool {
    let id = |name: &str| {
        let data = work_dir.join(name).symlink_metadata().ok()?;
        Some((data.dev(), data.ino()))
    };
    // A brain may make either.
    id(".git").is_some() && id(".git") == id(".GIT")
}

fn parse(said: &[u8]) -> Uncommitted {
    let mut found = Uncommitted::default();
    let mut part = 0;
    for record in said.split(|byte| *byte == 0) {
        match part {
            _ if record.is_empty() => part += 1,
            0 => found.changed(record),
            1 => found.indexed(record),
            _ => found.committed.extend(link(record)),
        }
    }
    found
}

impl Uncommitted {
    /// A record of `git status`.
    fn changed(&mut self, record: &[u8]) {
        let (Some(state), Some(path)) = (record.get(..2), record.get(3..)) else {
            return;
        };
        let path = path_text(path);
        if state.starts_with(b"A") {
            self.added.push(path.clone());
        }
        self.files.push(FileChange {
            path,
            change: match state {
                b"??" => Change::Added,
                state if state.contains(&b'D') => Change::Deleted,
                _ => Change::Modified,
            },
            from: None,
            truncated: false,
        });
    }

    /// A record of `git ls-files -s -v`: what is in conflict is told by `git status`.
    fn indexed(&mut self, record: &[u8]) {
        let (Some(tag), Some(entry)) = (record.first(), record.get(2..)) else {
            return;
        };
        if let Some(link) = link(entry) {
            self.links.push(link);
            return;
        }
        let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else {
            return;
        };
        let mark = match tag {
            b'S' | b's' => Mark::Skipped,
            tag if tag.is_ascii_lowercase() => Mark::Assumed,
            _ => return,
        };
        self.marked.push((entry[tab + 1..].to_vec(), mark));
    }
}

/// A submodule, as `git ls-files --stage` and `git ls-tree` print it.
fn link(entry: &[u8]) -> Option<(Vec<u8>, Oid)> {
    let rest = entry.strip_prefix(b"160000 ")?;
    let rest = rest.strip_prefix(b"commit ").unwrap_or(rest);
    let oid = std::str::from_utf8(rest.get(..40)?).ok()?.parse().ok()?;
    let tab = rest.iter().position(|byte| *byte == b'\t')?;
    Some((rest[tab + 1..].to_vec(), oid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_sorted() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let said = format!(
            "?? new\nline\0 D gone\0A  x.log\0\0h 100644 {a} 0\tassumed\0S 100644 {a} 0\tskipped\0\
             S 160000 {a} 0\tsub\0M 100644 {a} 2\tboth\0\x00160000 commit {b}\tsub\0"
        );
        let found = parse(said.as_bytes());
        let files: Vec<_> = found
            .files
            .iter()
            .map(|it| (it.path.as_str(), it.change))
            .collect();
        assert_eq!(
            files,
            [
                ("new\nline", Change::Added),
                ("gone", Change::Deleted),
                ("x.log", Change::Modified)
            ]
        );
        assert_eq!(found.added, ["x.log"]);
        let marked = [
            (b"assumed".to_vec(), Mark::Assumed),
            (b"skipped".to_vec(), Mark::Skipped),
        ];
        assert_eq!(found.marked, marked);
        let link = |oid: &str| vec![(b"sub".to_vec(), oid.parse().unwrap())];
        assert_eq!((found.links, found.committed), (link(&a), link(&b)));
        assert!(parse(b"\0\0").files.is_empty());
    }
}
