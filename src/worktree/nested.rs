//! Repositories of their own in a worktree: with a git folder inside, bare, or with one that stands elsewhere.
//!
//! Whoever made them, no git of ours runs in one: it would obey its settings. What their refs say is read as text.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, FileType},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bstr::{BString, ByteSlice};
use git2::Oid;
use rustix::fd::AsFd;

use super::snapshot::{
    beneath::{self, Root},
    gitdir,
    manifest::join,
};

/// Larger `packed-refs` are not read.
const PACKED_LIMIT: u64 = 128 << 20;
/// A `.git` file is never longer.
const FILE_LIMIT: u64 = 8192;

/// A repository in a worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// Its folder, from the top of the worktree.
    pub path: BString,
    /// Where its git folder is.
    pub git: Git,
}

/// Where a repository has its git folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Git {
    /// In it, as `.git`.
    Inside,
    /// It is one itself.
    Bare,
    /// Where its `.git` file or link leads.
    Elsewhere(PathBuf),
}

impl Nested {
    /// The repository's git folder; `top` is the worktree.
    pub fn git_dir(&self, top: &Path) -> PathBuf {
        let folder = top.join(OsStr::from_bytes(&self.path));
        match &self.git {
            Git::Inside => folder.join(".git"),
            Git::Bare => folder,
            Git::Elsewhere(path) => path.clone(),
        }
    }

    /// Whether it is a linked worktree of another repository, which knows it at its place.
    pub fn is_linked(&self, top: &Path) -> bool {
        let Git::Elsewhere(admin) = &self.git else {
            return false;
        };
        let Ok(back) = fs::read(admin.join("gitdir")) else {
            return false;
        };
        let place = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
        let here = top.join(OsStr::from_bytes(&self.path)).join(".git");
        let back = admin.join(OsStr::from_bytes(back.trim_end()));
        place(&back).is_some_and(|back| Some(back) == place(&here))
    }
}

/// All repositories below the top of a worktree, those inside of others, too; none in git folders. Folders that cannot
/// be read are passed over.
///
/// # Errors
/// If the worktree cannot be read.
pub fn find(top: &Path) -> io::Result<Vec<Nested>> {
    let mut found = Vec::new();
    let mut folders = vec![BString::default()];
    while let Some(path) = folders.pop() {
        let folder = top.join(OsStr::from_bytes(&path));
        let entries = match fs::read_dir(&folder) {
            Err(error) if path.is_empty() => return Err(error),
            Err(_) => continue,
            Ok(entries) => entries.flatten(),
        };
        let entries: Vec<(BString, FileType)> = entries
            .filter_map(|entry| Some((entry.file_name().as_bytes().into(), entry.file_type().ok()?)))
            .collect();
        if !path.is_empty()
            && let Some(git) = git_of(&folder, &entries)
        {
            let is_bare = git == Git::Bare;
            found.push(Nested {
                path: path.clone(),
                git,
            });
            if is_bare {
                continue;
            }
        }
        let inner = entries
            .iter()
            .filter(|(name, kind)| kind.is_dir() && name != ".git");
        folders.extend(inner.map(|(name, _)| join(&path, name)));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn git_of(folder: &Path, entries: &[(BString, FileType)]) -> Option<Git> {
    let is_folder = |wanted: &str| entries.iter().any(|(name, kind)| name == wanted && kind.is_dir());
    let dot_git = entries.iter().find(|(name, _)| name == ".git");
    let Some((_, kind)) = dot_git else {
        let is_bare =
            is_folder("objects") && is_folder("refs") && entries.iter().any(|(name, _)| name == "HEAD");
        return is_bare.then_some(Git::Bare);
    };
    let path = folder.join(".git");
    if kind.is_dir() {
        return path
            .join("HEAD")
            .symlink_metadata()
            .is_ok()
            .then_some(Git::Inside);
    }
    if kind.is_symlink() {
        return Some(Git::Elsewhere(path.canonicalize().ok()?));
    }
    let root = Root::open(folder).ok()?;
    let text = beneath::read_small(root.folder(b"").ok()?.as_fd(), b".git", FILE_LIMIT)?;
    let target = folder.join(OsStr::from_bytes(text.strip_prefix(b"gitdir:")?.trim()));
    Some(Git::Elsewhere(target.canonicalize().unwrap_or(target)))
}

/// Whether a git folder names commits that none of its remote-tracking branches and tags does, and that are not `known`.
/// When in doubt it does.
pub fn has_own_commits(git_dir: &Path, known: Option<Oid>) -> bool {
    let Ok(root) = Root::open(git_dir) else {
        return true;
    };
    if git_dir.join("reftable").symlink_metadata().is_ok() {
        return true;
    }
    let refs = gitdir::refs(&root, &[]);
    let is_anothers =
        |name: &BString| name.starts_with_str("refs/remotes/") || name.starts_with_str("refs/tags/");
    let (theirs, own): (Vec<_>, Vec<_>) = refs.into_iter().partition(|(name, _)| is_anothers(name));
    let mut theirs: BTreeSet<BString> = theirs.into_iter().map(|(_, value)| value).collect();
    theirs.extend(known.map(|known| known.to_string().into()));
    let packed = root
        .folder(b"")
        .ok()
        .and_then(|fd| beneath::read_small(fd.as_fd(), b"packed-refs", PACKED_LIMIT));
    let packed = packed.unwrap_or_default();
    // The commits of annotated tags.
    theirs.extend(
        packed
            .lines()
            .filter_map(|line| Some(line.strip_prefix(b"^")?.into())),
    );
    let is_commit = |value: &BString| value.len() >= 40 && value.iter().all(u8::is_ascii_hexdigit);
    let mut own = own
        .into_iter()
        .map(|(_, value)| value)
        .chain([gitdir::head(&root)]);
    own.any(|value| is_commit(&value) && !theirs.contains(&value))
}
