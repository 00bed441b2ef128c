//! Where the main work tree of a repository is.
//!
//! git knows it only from inside: it finds `.git` above the folder it runs in, whether that is the git folder, a link
//! to it, or a file that names it. From a linked worktree, or for a daemon, only the git folder is known; unless it is
//! called `.git`, or `core.worktree` says so, nothing leads back. So the place in which the repository was found is
//! remembered in `site.json`, and believed for as long as its `.git` still leads to the git folder.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bstr::ByteSlice;
use git2::{Config, ConfigLevel};

use super::Site;

/// The main work tree of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MainTree {
    /// It is here.
    At(PathBuf),
    /// The repository has none.
    None,
    /// It has one, by its settings and its index, and nothing says where.
    Unknown,
    /// It is bare by its settings, and has an index: it may be worked in by `--work-tree`, as dotfiles are.
    Perhaps,
}

impl MainTree {
    /// Finds the main work tree of the repository at `common`. `start` is the folder in which the repository was found,
    /// unless that was through a linked worktree.
    pub(super) fn find(common: &Path, start: Option<&Path>) -> Self {
        let config = settings(common);
        let bare = config
            .as_ref()
            .and_then(|config| config.get_bool("core.bare").ok());
        if bare == Some(true) {
            let is_worked_in = common.join("index").exists();
            return if is_worked_in { Self::Perhaps } else { Self::None };
        }
        let set = config.and_then(|config| config.get_string("core.worktree").ok());
        if let Some(tree) = set {
            return common.join(tree).canonicalize().map_or(Self::None, Self::At);
        }
        // Inside the git folder, what stands around it need not be where it is worked in.
        let start = start.and_then(|start| start.canonicalize().ok());
        let start = start.filter(|start| !start.starts_with(common));
        let around = start.iter().flat_map(|start| start.ancestors());
        let around = around.map(Path::to_owned).find(|tree| leads_to(tree, common));
        let remembered = || Site::main_at(common).filter(|tree| leads_to(tree, common));
        let above = || Some(common.parent().filter(|_| common.ends_with(".git"))?.to_owned());
        match around.or_else(remembered).or_else(above) {
            Some(tree) => Self::At(tree),
            None if bare == Some(false) && common.join("index").exists() => Self::Unknown,
            None => Self::None,
        }
    }

    /// The main work tree, where nothing but the folder in which a command ran says where it is.
    pub(super) fn to_remember(&self, common: &Path) -> Option<&Path> {
        let Self::At(tree) = self else { return None };
        let is_plain = common.ends_with(".git") && common.parent() == Some(tree);
        Some(tree.as_path()).filter(|tree| !is_plain && leads_to(tree, common))
    }
}

/// The settings of the main work tree: those of the repository and its own, not those of a linked worktree.
fn settings(common: &Path) -> Option<Config> {
    let mut config = Config::open(&common.join("config")).ok()?;
    let own = common.join("config.worktree");
    if config.get_bool("extensions.worktreeConfig").unwrap_or(false) && own.is_file() {
        config.add_file(&own, ConfigLevel::Worktree, false).ok()?;
    }
    Some(config)
}

/// Whether `.git` in `tree` is `common`, a link to it, or a file that names it.
fn leads_to(tree: &Path, common: &Path) -> bool {
    let dot_git = tree.join(".git");
    let named = || {
        let text = fs::read(&dot_git).ok()?;
        let target = text.strip_prefix(b"gitdir:")?.trim();
        Some(tree.join(OsStr::from_bytes(target)))
    };
    let git_dir = if dot_git.is_file() { named() } else { Some(dot_git) };
    git_dir.is_some_and(|git_dir| git_dir.canonicalize().is_ok_and(|git_dir| git_dir == common))
}
