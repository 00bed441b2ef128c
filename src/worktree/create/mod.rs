//! Makes a clone's worktree, or finds it as it was left, or puts right what is broken about it.
//!
//! What is made is an ordinary linked worktree: `git worktree list` shows it. It is written by hand, because git's
//! own `worktree add` checks out on one thread and leaves no mark by which a half made one can be told. The order:
//! the branch; then the git folder, locked with our reason; the `.git` file; files, submodules and copies; last
//! the lock goes. Whatever is cut short is still locked, and is thrown away and made again the next time. A
//! worktree that was whole once is never thrown away: its files are somebody's work, and only the links between
//! it and its git folder are mended.
//!
//! One caller at a time per clone; different clones may be made at once.

mod error;
mod find;

use std::{fs, io, path::Path};

use git2::Oid;

pub use error::CreateError;
use find::{Found, find};
pub use find::{head_of, refuse_unfit};

use super::{
    carry,
    checkout::Checkout,
    copy::Copied,
    holder::hide,
    include, index,
    place::refuse_led_astray,
    setup,
    submodule::{self, Submodules},
};
use crate::refs::{Repo, branch_ref, move_branch};

/// What a worktree should be.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// Where it stands.
    pub place: &'a Path,
    /// Its branch, without `refs/heads/`.
    pub branch: &'a str,
    /// Where the branch starts if there is none yet.
    pub start: Oid,
    /// The ignored folders that are copied from the main work tree: `worktree.copy`.
    pub folders: &'a [String],
}

/// A worktree that can be worked in.
#[derive(Debug)]
pub struct Ready {
    /// The worktree.
    pub checkout: Checkout,
    /// How it came about.
    pub made: Made,
    /// What was copied into it now.
    pub copied: Copied,
    /// Its submodules that were set up now or are missing.
    pub submodules: Submodules,
}

/// How a worktree came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// There was none.
    New,
    /// It was there.
    Reused,
    /// It was there, but its links to the repository had to be mended; its files are as they were found.
    Mended(&'static str),
    /// Its files were gone, and have been made again from its branch.
    Rebuilt(&'static str),
}

impl Made {
    /// Whether the files were written now, so that setup has to run.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::New | Self::Rebuilt(_))
    }
}

/// Makes the worktree, or finds or mends it.
///
/// # Errors
/// [`CreateError`]; a worktree that was being made is made again by the next call.
pub fn ensure(repo: &Repo, want: &Want<'_>) -> Result<Ready, CreateError> {
    refuse_led_astray(repo, want.place)?;
    hide(want.place).map_err(|source| io_at(want.place, source))?;
    let name = branch_ref(want.branch);
    let had_branch = repo.ref_target(&name)?.is_some();
    if !had_branch {
        move_branch(repo, &name, None, want.start, "khlone: clone enrolled")?;
    }
    let (checkout, made) = match find(repo, want, &name)? {
        Found::Whole(checkout, made) => (checkout, made),
        Found::Nothing(made) => (link(repo, want, &name)?, made),
        Found::Emptied(checkout, why) => {
            relink(&checkout).map_err(|source| io_at(want.place, source))?;
            (checkout, Made::Rebuilt(why))
        }
    };
    if !had_branch && !made.is_fresh() {
        // The branch was deleted below a worktree: its files stay, and show as changes against the new start.
        carry::patiently(&checkout, || index::reset(&checkout, "HEAD"))?;
    }
    let mut ready = Ready {
        checkout,
        made,
        copied: Copied::default(),
        submodules: Submodules::default(),
    };
    if made.is_fresh() {
        furnish(repo, want, &mut ready)?;
    }
    Ok(ready)
}

/// Files, submodules and copies; then the worktree is whole.
fn furnish(repo: &Repo, want: &Want<'_>, ready: &mut Ready) -> Result<(), CreateError> {
    let main = Checkout::main(repo);
    carry::populate(&ready.checkout)?;
    let main_path = main.as_ref().map(|main| main.path.as_path());
    ready.submodules = submodule::set_up(&ready.checkout, repo.common_dir(), main_path)?;
    if let Some(main) = &main {
        ready.copied = include::copy_into(&ready.checkout, main, want.folders)?;
    }
    ready
        .checkout
        .unlock()
        .map_err(|source| io_at(want.place, source))
}

/// A new worktree without files.
fn link(repo: &Repo, want: &Want<'_>, name: &str) -> Result<Checkout, CreateError> {
    let common = repo.common_dir();
    let io = |source| io_at(want.place, source);
    let checkout = Checkout::link(common, want.place, name).map_err(io)?;
    inherit(common, &checkout.git_dir)?;
    Ok(checkout)
}

/// Puts an emptied worktree's links right; its files come next.
fn relink(checkout: &Checkout) -> io::Result<()> {
    checkout.mark_half_made()?;
    setup::forget(&checkout.git_dir);
    for stale in ["index", "index.lock", "HEAD.lock"] {
        match fs::remove_file(checkout.git_dir.join(stale)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    checkout.record_place()?;
    fs::create_dir_all(&checkout.path)?;
    checkout.write_dot_git()
}

/// What `git worktree add` hands on from the main checkout: its sparse patterns and its own configuration, less
/// what describes the main work tree.
fn inherit(common: &Path, git_dir: &Path) -> Result<(), CreateError> {
    let copy = |from: &Path, to: &Path| match fs::copy(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(to, error)),
        other => Ok(other.is_ok()),
    };
    let sparse = Path::new("info/sparse-checkout");
    if common.join(sparse).is_file() {
        fs::create_dir_all(git_dir.join("info")).map_err(|source| io_at(git_dir, source))?;
        copy(&common.join(sparse), &git_dir.join(sparse))?;
    }
    let own = git_dir.join("config.worktree");
    if copy(&common.join("config.worktree"), &own)? {
        let mut config = git2::Config::open(&own)?;
        for key in ["core.bare", "core.worktree"] {
            if config.get_entry(key).is_ok() {
                config.remove_multivar(key, ".*")?;
            }
        }
    }
    Ok(())
}

fn io_at(path: &Path, source: io::Error) -> CreateError {
    CreateError::Io {
        path: path.to_owned(),
        source,
    }
}
