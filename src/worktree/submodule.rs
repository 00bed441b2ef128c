//! Submodules of a new worktree, from objects that are on this machine.
//!
//! A submodule whose commit the main checkout has is set up as a repository of its own in the worktree: it
//! borrows the objects (alternates) and keeps branches and commits to itself, so that a brain can commit in it
//! while the main repository stays untouched. Nothing is fetched. One whose commit is not here is named as
//! missing, with its folder left empty as git leaves it.
//!
//! A submodule that is set up is never touched again from outside: its git folder is the clone's then, and no
//! git of ours runs in it.

use std::{
    collections::HashMap,
    fs,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use bstr::ByteSlice;

use super::{checkout::Checkout, erase::erase};
use crate::process::{Cmd, ProcessError};

/// How deep submodules of submodules are followed.
const DEPTH: usize = 8;
/// How long setting up one may take.
const PATIENCE: Duration = Duration::from_mins(30);
/// The mode of a submodule in `git ls-files --stage`.
const GITLINK: &[u8] = b"160000";

/// What became of a worktree's submodules; paths are relative to its top.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Submodules {
    /// Set up now.
    pub ready: Vec<PathBuf>,
    /// Not set up, with the reason.
    pub missing: Vec<(PathBuf, String)>,
}

/// A submodule as the superproject's index and `.gitmodules` have it.
struct Wanted {
    path: PathBuf,
    name: Option<String>,
    commit: String,
}

/// Sets up the submodules of `checkout` that are not set up yet.
///
/// `common` is the repository's common folder, whose `modules/` has the main checkout's submodules; `main` is the
/// main work tree, for submodules that keep their git folder inside.
///
/// # Errors
/// If git cannot list them. One that cannot be set up is no error but named in the result.
pub fn set_up(checkout: &Checkout, common: &Path, main: Option<&Path>) -> Result<Submodules, ProcessError> {
    let mut done = Submodules::default();
    let top = Level {
        checkout,
        common,
        main,
        above: Path::new(""),
        depth: DEPTH,
    };
    descend(&top, &mut done)?;
    Ok(done)
}

/// The submodules of `checkout` that stand at another commit than its index says: their new commits are nowhere
/// else. No git runs in them; what their HEAD says is read as text.
///
/// # Errors
/// If git cannot list the submodules.
pub fn moved(checkout: &Checkout) -> Result<Vec<PathBuf>, ProcessError> {
    if !is_plain_file(&checkout.path.join(".gitmodules")) {
        return Ok(Vec::new());
    }
    let mut all = wanted(checkout)?;
    all.retain(|wanted| {
        let head = head_text(&checkout.path.join(&wanted.path).join(".git"));
        head.is_some_and(|head| head != wanted.commit)
    });
    Ok(all.into_iter().map(|wanted| wanted.path).collect())
}

/// The commit at HEAD of a git folder that is not ours, or the name of what it says instead.
fn head_text(git_dir: &Path) -> Option<String> {
    let read = |name: &str| {
        let path = git_dir.join(name);
        let text = is_plain_file(&path).then(|| fs::read_to_string(path).ok())??;
        Some(text.trim().to_owned())
    };
    let head = read("HEAD")?;
    match head.strip_prefix("ref: ") {
        Some(name)
            if Path::new(name)
                .components()
                .all(|part| matches!(part, Component::Normal(_))) =>
        {
            Some(read(name).unwrap_or(head))
        }
        _ => Some(head),
    }
}

/// A repository whose submodules are looked at.
struct Level<'a> {
    checkout: &'a Checkout,
    /// Its common folder.
    common: &'a Path,
    /// The same in the main work tree.
    main: Option<&'a Path>,
    /// Its path from the top.
    above: &'a Path,
    /// So many levels may follow.
    depth: usize,
}

fn descend(level: &Level<'_>, done: &mut Submodules) -> Result<(), ProcessError> {
    let &Level {
        checkout,
        common,
        main,
        above,
        depth,
    } = level;
    if depth == 0 || !is_plain_file(&checkout.path.join(".gitmodules")) {
        return Ok(());
    }
    for wanted in wanted(checkout)? {
        let shown = above.join(&wanted.path);
        let top = checkout.path.join(&wanted.path);
        if top.join(".git").symlink_metadata().is_ok() {
            continue;
        }
        match local_source(&wanted, common, main) {
            Err(why) => done.missing.push((shown, why)),
            Ok(source) => match borrow(&source, &top, &wanted.commit) {
                Err(error) => done.missing.push((shown, error.to_string())),
                Ok(inner) => {
                    done.ready.push(shown.clone());
                    let inner_main = main.map(|main| main.join(&wanted.path));
                    let below = Level {
                        checkout: &inner,
                        common: &source,
                        main: inner_main.as_deref(),
                        above: &shown,
                        depth: depth - 1,
                    };
                    descend(&below, done)?;
                }
            },
        }
    }
    Ok(())
}

fn is_plain_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

/// The submodules of the checkout's index.
fn wanted(checkout: &Checkout) -> Result<Vec<Wanted>, ProcessError> {
    let staged = checkout.git().args(["ls-files", "--stage", "-z"]).output()?;
    let links: Vec<_> = staged
        .split_str(b"\0")
        .filter(|line| line.starts_with(GITLINK))
        .collect();
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let names = names(checkout)?;
    Ok(links
        .into_iter()
        .filter_map(|line| {
            let (head, path) = line.split_once_str(b"\t")?;
            let commit = head.to_str().ok()?.split(' ').nth(1)?.to_owned();
            let name = names.get(path).cloned();
            let path = path.to_path_lossy().into_owned();
            Some(Wanted { path, name, commit })
        })
        .collect())
}

/// Reads `submodule.<name>.path` lines of `git config -z --list`.
fn names_by_path(config: &[u8]) -> HashMap<Vec<u8>, String> {
    let entries = config
        .split_str(b"\0")
        .filter_map(|entry| entry.split_once_str(b"\n"));
    let paths = entries.filter_map(|(key, path)| {
        let name = key.strip_prefix(b"submodule.")?.strip_suffix(b".path")?;
        Some((path.to_vec(), name.to_str().ok()?.to_owned()))
    });
    paths.collect()
}

/// The git folder that the main checkout has of the submodule at `path`, if it is set up there.
///
/// # Errors
/// If git cannot read `.gitmodules`.
pub fn module_of(
    checkout: &Checkout,
    (common, main): (&Path, Option<&Path>),
    path: &[u8],
) -> Result<Option<PathBuf>, ProcessError> {
    if !is_plain_file(&checkout.path.join(".gitmodules")) {
        return Ok(None);
    }
    let name = names(checkout)?.remove(path);
    let known = name.and_then(|name| known(&name, &path.to_path_lossy(), (common, main)).ok());
    Ok(known.and_then(|known| known.into_iter().next()))
}

/// Names by path, as `.gitmodules` has them.
fn names(checkout: &Checkout) -> Result<HashMap<Vec<u8>, String>, ProcessError> {
    let config = checkout
        .git()
        .args(["config", "--no-includes", "--file", ".gitmodules", "-z", "--list"]);
    Ok(names_by_path(&config.finish()?.stdout))
}

/// The git folders that the main checkout has of a submodule.
fn known(name: &str, path: &Path, (common, main): (&Path, Option<&Path>)) -> Result<Vec<PathBuf>, String> {
    let is_inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_inside(Path::new(name)) || !is_inside(path) {
        return Err("its name or path leads outside".to_owned());
    }
    let absorbed = Some(common.join("modules").join(name));
    let inner = main.map(|main| main.join(path).join(".git"));
    let candidates = absorbed.into_iter().chain(inner);
    Ok(candidates.filter(|dir| dir.join("objects").is_dir()).collect())
}

/// The git folder on this machine that has the wanted commit.
fn local_source(wanted: &Wanted, common: &Path, main: Option<&Path>) -> Result<PathBuf, String> {
    let Some(name) = &wanted.name else {
        return Err("not in .gitmodules".to_owned());
    };
    let known = known(name, &wanted.path, (common, main))?;
    if known.is_empty() {
        return Err("not set up in the main checkout; run: git submodule update --init".to_owned());
    }
    let commit = format!("{}^{{commit}}", wanted.commit);
    let has_commit = |dir: &PathBuf| {
        let found = Cmd::git(dir).args(["cat-file", "-e", &commit]).finish();
        found.is_ok_and(|done| done.status.success())
    };
    known
        .into_iter()
        .find(has_commit)
        .ok_or_else(|| format!("commit {:.10} is not on this machine", wanted.commit))
}

/// Makes a repository at `top` that borrows the objects of `source` and stands at `commit`.
fn borrow(source: &Path, top: &Path, commit: &str) -> Result<Checkout, ProcessError> {
    let git = || Cmd::new("git").args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
    git()
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .args([
            "clone",
            "--quiet",
            "--shared",
            "--no-checkout",
            "--template=",
            "--",
        ])
        .args([source, top])
        .patience(PATIENCE)
        .output()?;
    let inner = Checkout {
        git_dir: top.join(".git"),
        path: top.to_owned(),
    };
    let url = Cmd::git(source)
        .args(["config", "--get", "remote.origin.url"])
        .finish()?;
    if url.status.success() {
        let url = url.stdout.trim_end().to_os_str_lossy().into_owned();
        inner
            .git()
            .args(["config", "remote.origin.url"])
            .arg(url)
            .output()?;
    }
    let checkout = inner.git().env("GIT_NO_LAZY_FETCH", "0").patience(PATIENCE);
    if let Err(error) = checkout
        .args(["checkout", "--quiet", "--detach", commit])
        .output()
    {
        // Left empty, as git leaves one that is not set up.
        drop(erase(top).and_then(|()| fs::create_dir(top)));
        return Err(error);
    }
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_path() {
        let config = b"submodule.a b.path\nlib/a\0submodule.a b.url\n../a\0submodule.c.path\nc\nd\0";
        let names = names_by_path(config);
        assert_eq!(names.get(b"lib/a".as_slice()).map(String::as_str), Some("a b"));
        assert_eq!(names.get(b"c\nd".as_slice()).map(String::as_str), Some("c"));
    }
}
