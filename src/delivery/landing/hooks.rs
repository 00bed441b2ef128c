//! The user's hooks, as they are before a landing.
//!
//! They are the repository's own, or those that `core.hooksPath` names, which may lie in the work tree. What lies there
//! is taken from the zone's commit before the landing, never from the landed one, together with untracked files of the
//! checkout beside it (husky makes such); and a landing that changes it is not made unless the user says so. A hook in
//! the git folder that is a link into the work tree counts as lying there.

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Component, Path, PathBuf},
};

use bstr::{BString, ByteSlice};
use git2::{ObjectType, Oid, TreeWalkMode, TreeWalkResult};

use super::LandError;
use crate::{process::Cmd, refs::Repo, worktree::checkout::Checkout};

/// Untracked files beside hooks are copied up to this size.
const LARGEST: u64 = 1 << 20;

/// Where hooks are, and what of it is in the work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hooks {
    /// The folder.
    pub(super) dir: PathBuf,
    /// Whether git would not look there of itself.
    pub(super) is_elsewhere: bool,
    /// Paths of the work tree, files or folders, of which the hooks are.
    pub(super) watched: Vec<PathBuf>,
    /// The hooks for which git's configuration names commands, too.
    configured: Vec<Vec<u8>>,
}

impl Hooks {
    /// The hooks that count where `checkout` stands at commit `old`, or in a repository without a checkout. `scratch` is a
    /// folder of ours.
    ///
    /// # Errors
    /// If they cannot be read or copied.
    pub(super) fn find(
        repo: &Repo,
        checkout: Option<&Checkout>,
        old: Oid,
        scratch: &Path,
    ) -> Result<Self, LandError> {
        let common = repo.common_dir();
        let top = checkout.map_or(common, |checkout| checkout.path.as_path());
        let setting = |args: &[&str]| {
            // Our own way to call git would answer for itself.
            let git = Cmd::new("git").dir(top);
            let git = git.env("GIT_DIR", checkout.map_or(common, |checkout| &checkout.git_dir));
            let done = git.arg("config").args(args).finish()?;
            Ok::<_, LandError>(done.status.success().then(|| done.stdout.trim_end().to_vec()))
        };
        let named = setting(&["--type=path", "--get", "core.hooksPath"])?;
        let events = setting(&["-z", "--get-regexp", r"^hook\..*\.event$"])?.unwrap_or_default();
        let events = events
            .split_str(b"\0")
            .filter_map(|line| line.split_once_str(b"\n"));
        let configured = events.map(|(_, event)| event.to_vec()).collect();
        let named = named.filter(|named| !named.is_empty());
        let path = named
            .as_ref()
            .map(|named| plain(&top.join(named.to_path_lossy())));
        let dir = path.clone().unwrap_or_else(|| common.join("hooks"));
        let mut hooks = Self {
            is_elsewhere: path
                .is_some_and(|path| named.is_none_or(|named| path.as_os_str().as_bytes() != named)),
            dir,
            watched: Vec::new(),
            configured,
        };
        let tops: Vec<PathBuf> = checkout
            .into_iter()
            .map(|checkout| checkout.path.clone())
            .collect();
        let frozen = scratch.join("hooks");
        if let Some((top, inside)) = inside(common, &tops, &hooks.dir) {
            // Husky's own folder has starters for the scripts beside it.
            let whole = match inside.parent() {
                Some(parent) if inside.ends_with("_") => parent.to_owned(),
                _ => inside.clone(),
            };
            copy_untracked(&top.join(&whole), &frozen.join(&whole), 4)?;
            write_tracked(repo, old, &whole, &frozen)?;
            hooks.dir = frozen.join(&inside);
            hooks.watched = vec![whole];
            hooks.is_elsewhere = true;
        } else {
            hooks.follow_links(repo, (common, &tops), old, &frozen)?;
        }
        Ok(hooks)
    }

    /// Takes hooks that are links into the work tree from commit `old`.
    fn follow_links(
        &mut self,
        repo: &Repo,
        (common, tops): (&Path, &[PathBuf]),
        old: Oid,
        frozen: &Path,
    ) -> Result<(), LandError> {
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        let target = |name: &std::ffi::OsString| self.dir.join(name).canonicalize().ok();
        let links: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name.clone(), inside(common, tops, &target(name)?)?.1)))
            .collect();
        if links.is_empty() {
            return Ok(());
        }
        let folder = frozen.join("linked");
        fs::create_dir_all(&folder)?;
        for name in &names {
            match links.iter().find(|(link, _)| link == name) {
                Some((_, path)) => {
                    write_tracked(repo, old, path, frozen)?;
                    let file = frozen.join(path);
                    if file.exists() {
                        symlink(file, folder.join(name))?;
                    }
                }
                None => symlink(self.dir.join(name), folder.join(name))?,
            }
        }
        self.dir = folder;
        self.is_elsewhere = true;
        self.watched = links.into_iter().map(|(_, path)| path).collect();
        Ok(())
    }

    /// Whether there may be a hook of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        let meta = fs::metadata(self.dir.join(name));
        let is_configured = self.configured.iter().any(|event| event == name.as_bytes());
        is_configured || meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }

    /// The files of hooks that differ between two trees.
    ///
    /// # Errors
    /// If git fails.
    pub(super) fn changed(&self, repo: &Repo, old: Oid, new: Oid) -> Result<Vec<BString>, LandError> {
        if self.watched.is_empty() {
            return Ok(Vec::new());
        }
        let git = Cmd::git(repo.common_dir()).dir(repo.common_dir());
        let git = git.args(["--literal-pathspecs", "diff-tree", "-r", "-z", "--name-only"]);
        let git = git.args([old.to_string(), new.to_string(), "--".to_owned()]);
        let out = git.args(&self.watched).output()?;
        let names = out.split_str(b"\0").filter(|name| !name.is_empty());
        Ok(names.map(BString::from).collect())
    }
}

/// The checkout that has `path`, and where in it; none for what is in the git folder.
fn inside(common: &Path, tops: &[PathBuf], path: &Path) -> Option<(PathBuf, PathBuf)> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if path.starts_with(common) {
        return None;
    }
    tops.iter().find_map(|top| {
        let real = top.canonicalize().unwrap_or_else(|_| top.clone());
        let rest = path.strip_prefix(&real).ok()?;
        (!rest.as_os_str().is_empty()).then(|| (real.clone(), rest.to_owned()))
    })
}

/// Without `.` and `..`, by its text.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// Copies the regular files of a folder, `depth` folders deep.
fn copy_untracked(from: &Path, to: &Path, depth: u32) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let (meta, target) = (fs::symlink_metadata(entry.path())?, to.join(entry.file_name()));
        if meta.is_dir() && depth > 0 {
            copy_untracked(&entry.path(), &target, depth - 1)?;
        } else if meta.is_file() && meta.len() <= LARGEST {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Writes what a commit has at `path`, over what stands there.
fn write_tracked(repo: &Repo, commit: Oid, path: &Path, top: &Path) -> Result<(), LandError> {
    let git = repo.git();
    let tree = git.find_commit(commit)?.tree()?;
    let Ok(entry) = tree.get_path(path) else {
        return Ok(());
    };
    let mut files = Vec::new();
    match entry.kind() {
        Some(ObjectType::Tree) => {
            git.find_tree(entry.id())?
                .walk(TreeWalkMode::PreOrder, |folder, entry| {
                    if entry.kind() == Some(ObjectType::Blob) {
                        let below = path.join(folder).join(entry.name_bytes().to_path_lossy());
                        files.push((below, entry.id(), entry.filemode()));
                    }
                    TreeWalkResult::Ok
                })?
        }
        _ => files.push((path.to_owned(), entry.id(), entry.filemode())),
    }
    for (name, blob, mode) in files {
        let (file, blob) = (top.join(name), git.find_blob(blob)?);
        fs::create_dir_all(file.parent().unwrap_or(top))?;
        drop(fs::remove_file(&file));
        if mode == i32::from(git2::FileMode::Link) {
            symlink(blob.content().to_path_lossy(), &file)?;
            continue;
        }
        fs::write(&file, blob.content())?;
        let bits = if mode == i32::from(git2::FileMode::BlobExecutable) {
            0o755
        } else {
            0o644
        };
        fs::set_permissions(&file, fs::Permissions::from_mode(bits))?;
    }
    Ok(())
}
