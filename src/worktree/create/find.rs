//! What is there already of a wanted worktree, with its links put right.

use std::{fs, path::Path};

use git2::Oid;

use super::{CreateError, Made, Want, io_at};
use crate::{
    refs::{Repo, branch_ref},
    worktree::{
        carry,
        checkout::{Checkout, LOCK_WORDS, dot_git_target, id_of},
        index, place, remove,
    },
};

/// What is there of a wanted worktree.
pub(super) enum Found {
    /// Files and links, whole now.
    Whole(Checkout, Made),
    /// A git folder without files worth keeping.
    Emptied(Checkout, &'static str),
    /// Nothing of worth.
    Nothing(Made),
}

/// Whether a task could not begin in the worktree at `place` as it stands, before one is queued for it. Nothing is made or
/// changed, and what can be mended is no matter. With `sees_all`, the brain works with the worktree's own git folder and
/// can end a merge that stands half done there; one of its own would not have it.
///
/// # Errors
/// [`CreateError::BranchInUse`], [`CreateError::WrongBranch`], [`CreateError::HalfDone`], [`CreateError::Place`].
pub fn refuse_unfit(repo: &Repo, place: &Path, branch: &str, sees_all: bool) -> Result<(), CreateError> {
    let want = Want {
        place,
        branch,
        start: Oid::ZERO_SHA1,
        folders: &[],
    };
    let name = branch_ref(branch);
    if place.is_symlink() {
        place::refuse_led_astray(repo, place)?;
    }
    if is_anothers(repo, place) {
        // As in a mirror, which has the zone of its original: the clone gets a place of its own here.
        return Ok(());
    }
    let (recorded, elsewhere) = seen(repo, &want, &name)?;
    match (recorded, elsewhere) {
        (_, Some(other)) if other.path.exists() && !other.git_dir.ends_with(id_of(place)) => {
            Err(in_use(&want, &other))
        }
        (Some(checkout), _) if !checkout.is_half_made() => {
            refuse_other_branch(&checkout, &want, &name)?;
            head_of(&checkout)?;
            let left = checkout.unfinished().filter(|_| !sees_all);
            left.map_or(Ok(()), |operation| Err(half_done(&checkout, operation)))
        }
        _ => Ok(()),
    }
}

/// Whether a worktree of another repository stands there.
fn is_anothers(repo: &Repo, place: &Path) -> bool {
    let target = dot_git_target(place).and_then(|target| target.canonicalize().ok());
    let own = repo.common_dir().canonicalize();
    target.is_some_and(|target| own.is_ok_and(|own| !target.starts_with(own)))
}

/// The full name of the branch that HEAD is on in a clone's worktree.
///
/// # Errors
/// [`CreateError::HalfDone`] where an operation of git's has taken it off.
pub fn head_of(checkout: &Checkout) -> Result<String, CreateError> {
    let off = || half_done(checkout, checkout.unfinished().unwrap_or("rebase"));
    checkout.head_ref().ok_or_else(off)
}

fn half_done(checkout: &Checkout, operation: &'static str) -> CreateError {
    CreateError::HalfDone {
        place: checkout.path.clone(),
        operation,
    }
}

/// The worktree that is recorded for the place, and another one that has the branch.
fn seen(
    repo: &Repo,
    want: &Want<'_>,
    name: &str,
) -> Result<(Option<Checkout>, Option<Checkout>), CreateError> {
    let all = Checkout::all(repo).map_err(|source| io_at(want.place, source))?;
    let recorded = all.iter().find(|checkout| checkout.path == want.place).cloned();
    let elsewhere = all
        .into_iter()
        .find(|checkout| checkout.path != want.place && checkout.held_ref().as_deref() == Some(name));
    Ok((recorded, elsewhere))
}

fn in_use(want: &Want<'_>, other: &Checkout) -> CreateError {
    CreateError::BranchInUse {
        branch: want.branch.to_owned(),
        path: other.path.clone(),
    }
}

pub(super) fn find(repo: &Repo, want: &Want<'_>, name: &str) -> Result<Found, CreateError> {
    let io = |source| io_at(want.place, source);
    let (recorded, elsewhere) = seen(repo, want, name)?;
    let is_there = is_filled(want.place);
    match (recorded, elsewhere) {
        (_, Some(other)) if other.path.exists() => moved_back(want, other),
        (Some(checkout), _) if checkout.is_half_made() => {
            remove::discard(&checkout).map_err(io)?.sweep();
            Ok(Found::Nothing(Made::Rebuilt("its making was cut short")))
        }
        (Some(checkout), _) if !is_there => {
            on_branch(checkout, want, name, Found::Emptied, "its folder was gone")
        }
        (Some(checkout), _) => mended(checkout, want, name),
        (None, Some(other)) if !is_there && other.git_dir.ends_with(id_of(want.place)) => {
            let checkout = Checkout {
                path: want.place.to_owned(),
                ..other
            };
            Ok(Found::Emptied(checkout, "its folder was gone"))
        }
        (None, _) if !is_there => Ok(Found::Nothing(Made::New)),
        (None, _) if place::is_ours_to_take(repo, want.place) => {
            let checkout = Checkout::link(repo.common_dir(), want.place, name).map_err(io)?;
            carry::patiently(&checkout, || index::rebuild(&checkout))?;
            checkout.unlock().map_err(io)?;
            Ok(Found::Whole(checkout, Made::Mended("git had forgotten it")))
        }
        (None, _) => Err(CreateError::Foreign {
            place: want.place.to_owned(),
        }),
    }
}

/// A worktree of ours that the user moved comes back; any other one that has the branch is the user's.
fn moved_back(want: &Want<'_>, other: Checkout) -> Result<Found, CreateError> {
    let io = |source| io_at(want.place, source);
    let in_use = in_use(want, &other);
    if !other.git_dir.ends_with(id_of(want.place))
        || is_filled(want.place)
        || other
            .lock_reason()
            .is_some_and(|reason| !reason.starts_with(LOCK_WORDS))
    {
        return Err(in_use);
    }
    if let Some(holder) = want.place.parent() {
        fs::create_dir_all(holder).map_err(io)?;
    }
    if fs::rename(&other.path, want.place).is_err() {
        return Err(in_use);
    }
    let checkout = Checkout {
        path: want.place.to_owned(),
        ..other
    };
    checkout
        .record_place()
        .and_then(|()| checkout.write_dot_git())
        .map_err(io)?;
    Ok(Found::Whole(checkout, Made::Mended("it had been moved")))
}

/// A worktree with files: its `.git` file and index are put right if need be.
fn mended(checkout: Checkout, want: &Want<'_>, name: &str) -> Result<Found, CreateError> {
    let io = |source| io_at(want.place, source);
    let dot_git = want.place.join(".git");
    let mut made = Made::Reused;
    match dot_git_target(want.place) {
        Some(target) if target == checkout.git_dir => {}
        // Another repository's worktree, or one of its own.
        Some(target) if target.exists() => {
            return Err(CreateError::Foreign {
                place: want.place.to_owned(),
            });
        }
        None if dot_git.symlink_metadata().is_ok() => {
            return Err(CreateError::Foreign {
                place: want.place.to_owned(),
            });
        }
        Some(_) | None => {
            checkout.write_dot_git().map_err(io)?;
            made = Made::Mended("its .git file was lost");
        }
    }
    if !checkout.git_dir.join("index").exists() {
        carry::patiently(&checkout, || index::rebuild(&checkout))?;
        made = Made::Mended("its index was lost");
    }
    on_branch(
        checkout,
        want,
        name,
        move |checkout, _| Found::Whole(checkout, made),
        "",
    )
}

fn on_branch(
    checkout: Checkout,
    want: &Want<'_>,
    name: &str,
    then: impl FnOnce(Checkout, &'static str) -> Found,
    why: &'static str,
) -> Result<Found, CreateError> {
    refuse_other_branch(&checkout, want, name)?;
    Ok(then(checkout, why))
}

fn refuse_other_branch(checkout: &Checkout, want: &Want<'_>, name: &str) -> Result<(), CreateError> {
    match checkout.held_ref() {
        Some(found) if found == name => Ok(()),
        found => Err(CreateError::WrongBranch {
            place: want.place.to_owned(),
            branch: want.branch.to_owned(),
            found: found.map_or_else(
                || "no branch".to_owned(),
                |found| found.trim_start_matches("refs/heads/").to_owned(),
            ),
        }),
    }
}

/// Whether something stands at `place` that is not an empty folder.
fn is_filled(place: &Path) -> bool {
    match fs::read_dir(place) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => place.symlink_metadata().is_ok(),
    }
}
