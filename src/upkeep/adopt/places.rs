//! What is stale once a repository stands elsewhere: where its worktrees are, by the ledger and by git, and the paths
//! in the clones' private git folders.
//!
//! A worktree that came along is looked for where it would stand if it was made now, under its own name, and where it
//! stood in relation to the repository. One that is nowhere keeps its branch, and gets a place under this repository,
//! where its next task makes it. The ledger is told first, then git: killed in between, the next look finds both again.

use std::path::{Path, PathBuf};

use super::AdoptError;
use crate::{
    guard::gitdir::PrivateGit,
    refs::{Crew, Ledger, LedgerError, StoredZone, branch_ref},
    task::{CloneName, ZoneId},
    worktree::{
        checkout::Checkout,
        moved::{is_anothers, is_here, is_linked, relink, whereabouts},
        place::{self, Ground, Rules},
    },
    zone::hold::{HoldError, hold},
};

/// A worktree that is not where it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// Its clone; none for a worktree of the user's.
    pub clone: Option<(ZoneId, CloneName)>,
    /// Where it is recorded.
    pub from: PathBuf,
    /// Where it stands, or shall stand.
    pub to: PathBuf,
    /// Whether it is there.
    pub found: bool,
    /// A task of the clone is under way: it stays as it is.
    pub busy: bool,
    /// What git has of it.
    checkout: Option<Checkout>,
}

/// How places are reckoned.
#[derive(Debug)]
pub struct Surveyor<'a> {
    /// What the user and the machine say about places.
    pub rules: Rules<'a>,
    /// Where the common git folder may have stood before.
    pub stood: Vec<PathBuf>,
}

impl Surveyor<'_> {
    /// Every worktree that is not where it is recorded, or whose links lead elsewhere. Changes nothing.
    ///
    /// # Errors
    /// If the ledger or git's folder of worktrees cannot be read, or there is no place for a worktree.
    pub fn misplaced(&self, ledger: &Ledger<'_>) -> Result<Vec<Misplaced>, AdoptError> {
        let mut recorded = Checkout::recorded(ledger.repo().common_dir())?;
        let mut found = Vec::new();
        for zone in ledger.zones()? {
            for member in zone.crew.values() {
                let Some(path) = member.path.as_ref().map(PathBuf::from) else {
                    continue;
                };
                let checkout = taken(&mut recorded, &path, member);
                found.extend(self.of_clone(ledger, &zone, member, (path, checkout))?);
            }
        }
        for checkout in recorded {
            let candidates = self.shifted(ledger, &checkout.path);
            let stands = whereabouts(&checkout, &candidates);
            found.extend(
                stands
                    .filter(|place| !is_linked(&checkout, place))
                    .map(|to| Misplaced {
                        clone: None,
                        from: checkout.path.clone(),
                        to,
                        found: true,
                        busy: false,
                        checkout: Some(checkout),
                    }),
            );
        }
        Ok(found)
    }

    fn of_clone(
        &self,
        ledger: &Ledger<'_>,
        zone: &StoredZone,
        member: &Crew,
        (path, checkout): (PathBuf, Option<Checkout>),
    ) -> Result<Option<Misplaced>, AdoptError> {
        let holders = place::holders(ledger.repo(), &self.rules);
        let mut candidates: Vec<PathBuf> = vec![path.clone()];
        if let Some(name) = path.file_name() {
            candidates.extend(holders.iter().map(|holder| holder.join(name)));
        }
        candidates.extend(self.shifted(ledger, &path));
        let stands = checkout
            .as_ref()
            .and_then(|checkout| whereabouts(checkout, &candidates));
        let to = match (&stands, &checkout) {
            (Some(place), _) => place.clone(),
            // Made again where it was, as ever.
            (None, _)
                if path.parent().is_some_and(|parent| is_one_of(parent, &holders)) && is_free(&path) =>
            {
                path.clone()
            }
            // A mirror has the zones of its original, and the places of the worktrees there with them.
            (None, None) if path.exists() && !is_anothers(&path, ledger.repo().common_dir()) => path.clone(),
            (None, _) => place::choose(ledger.repo(), &self.rules, &zone.zone.id, &member.name)?.place,
        };
        let is_told = checkout.as_ref().is_none_or(|checkout| is_linked(checkout, &to));
        Ok((to != path || !is_told).then(|| Misplaced {
            clone: Some((zone.zone.id.clone(), member.name.clone())),
            from: path,
            to,
            found: stands.is_some(),
            busy: false,
            checkout,
        }))
    }

    /// Where `path` would be, had it moved with the repository.
    fn shifted(&self, ledger: &Ledger<'_>, path: &Path) -> Vec<PathBuf> {
        let repo = ledger.repo();
        let now = Ground::of(repo.common_dir(), repo.main_work_dir().as_deref());
        let mut places = Vec::new();
        for common in &self.stood {
            let main = common.ends_with(".git").then(|| common.parent()).flatten();
            let then = Ground::of(common, main);
            let pairs = [
                (Some(&then.top), Some(&now.top)),
                (then.parent.as_ref(), now.parent.as_ref()),
            ];
            for (old, new) in pairs {
                let rest = old.and_then(|old| path.strip_prefix(old).ok());
                places.extend(rest.zip(new).map(|(rest, new)| new.join(rest)));
            }
        }
        // Its folder came along under its own name, whatever the repository is called.
        let (holder, name) = (path.parent().and_then(Path::file_name), path.file_name());
        if let (Some(parent), Some(holder), Some(name)) = (&now.parent, holder, name) {
            places.push(parent.join(holder).join(name));
        }
        places.retain(|place| place != path);
        places
    }
}

/// Puts right what [`Surveyor::misplaced`] found, and the private git folders. What is at work is left, and marked.
///
/// # Errors
/// If the ledger or the disk refuses; what was put right stays so.
pub(super) fn settle(ledger: &Ledger<'_>, mut found: Vec<Misplaced>) -> Result<Vec<Misplaced>, AdoptError> {
    for misplaced in &mut found {
        let Some((zone, clone)) = &misplaced.clone else {
            relink_at(misplaced)?;
            continue;
        };
        let _held = match hold(ledger.site(), zone, clone) {
            Ok(held) => held,
            Err(HoldError::Busy(_)) => {
                misplaced.busy = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        put(ledger, (zone, clone), misplaced)?;
    }
    for zone in ledger.zones()? {
        for clone in zone.crew.keys() {
            private(ledger, &zone.zone.id, clone)?;
        }
    }
    Ok(found)
}

/// Finds the worktree of a clone again before a task of it works there, and puts it right. The caller holds the clone.
/// Nearly always it is where it shall be; `surveyor` is asked for where it is not.
///
/// # Errors
/// As [`Surveyor::misplaced`].
pub fn settle_clone<'a>(
    ledger: &Ledger<'_>,
    (zone, clone): (&ZoneId, &CloneName),
    surveyor: impl FnOnce() -> std::io::Result<Surveyor<'a>>,
) -> Result<(), AdoptError> {
    let common = ledger.repo().common_dir();
    let Some(stored) = ledger.zone(zone)? else {
        return Ok(());
    };
    let Some((member, path)) = stored
        .crew
        .get(clone)
        .and_then(|member| Some((member, PathBuf::from(member.path.as_ref()?))))
        .filter(|(_, path)| !is_here(path, common))
    else {
        return Ok(());
    };
    let checkout = taken(&mut Checkout::recorded(common)?, &path, member);
    if let Some(misplaced) = surveyor()?.of_clone(ledger, &stored, member, (path, checkout))? {
        put(ledger, (zone, clone), &misplaced)?;
    }
    Ok(private_git(ledger, zone, clone).relocate(common)?)
}

fn put(
    ledger: &Ledger<'_>,
    (zone, clone): (&ZoneId, &CloneName),
    misplaced: &Misplaced,
) -> Result<(), AdoptError> {
    let path = misplaced.to.to_string_lossy().into_owned();
    ledger.update_zone(zone, None, |stored: &mut StoredZone| {
        if let Some(member) = stored.crew.get_mut(clone) {
            member.path = Some(path.clone());
        }
        Ok::<_, LedgerError>(())
    })?;
    Ok(relink_at(misplaced)?)
}

fn relink_at(misplaced: &Misplaced) -> std::io::Result<()> {
    match &misplaced.checkout {
        Some(checkout) => relink(checkout, misplaced.to.clone()),
        None => Ok(()),
    }
}

/// The clone's private git folder borrows from this repository, and is where it says.
fn private(ledger: &Ledger<'_>, zone: &ZoneId, clone: &CloneName) -> Result<(), AdoptError> {
    let _held = match hold(ledger.site(), zone, clone) {
        Err(HoldError::Busy(_)) => return Ok(()),
        other => other?,
    };
    Ok(private_git(ledger, zone, clone).relocate(ledger.repo().common_dir())?)
}

fn private_git(ledger: &Ledger<'_>, zone: &ZoneId, clone: &CloneName) -> PrivateGit {
    PrivateGit::at(ledger.site().layout().private_git(zone, clone))
}

/// Takes the worktree of a clone out of those that git has: by its place, or by its name and branch.
fn taken(recorded: &mut Vec<Checkout>, path: &Path, member: &Crew) -> Option<Checkout> {
    let branch = branch_ref(&member.branch);
    let by_place = recorded.iter().position(|checkout| checkout.path == path);
    // One that stands where git has it was moved by the user, and goes back when a task needs it.
    let was_cut_short = |it: &Checkout| {
        let is_named_so = it.path.file_name() == path.file_name();
        is_named_so && it.held_ref().as_ref() == Some(&branch) && !is_here(&it.path, it.common_dir())
    };
    let at = by_place.or_else(|| recorded.iter().position(was_cut_short));
    at.map(|at| recorded.remove(at))
}

fn is_one_of(folder: &Path, holders: &[PathBuf]) -> bool {
    holders.iter().any(|holder| holder == folder)
}

fn is_free(path: &Path) -> bool {
    path.symlink_metadata().is_err()
}
