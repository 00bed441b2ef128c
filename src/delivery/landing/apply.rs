//! A proposed landing is made: saved, then files and branch, then its tasks.

use git2::Oid;

use super::{
    LandError, Landed, Landing, Proposal, bench::Bench, covered::covered, propose::carries, seal::Sealed,
};
use crate::{
    delivery::{advance::swap, merge::committer},
    process::fault::point,
    refs::{KeptLanding, Ledger, LedgerError, Repo, Undo, Update, Zone, branch_ref, now},
    task::{self, FORMAT, Rewritten, ZoneId},
    worktree::carry::Carry,
};

/// Makes a landing.
///
/// # Errors
/// [`LandError`], with everything as it was, a moved branch of the zone included.
pub(super) fn apply(
    ledger: &Ledger<'_>,
    landing: &Landing<'_>,
    (proposal, sealed): (&Proposal, &Sealed),
    bench: &Bench,
) -> Result<Landed, LandError> {
    let repo = ledger.repo();
    let (kind, old, new, tip) = (proposal.kind(), proposal.old, sealed.new, proposal.tip);
    let mut landed = Landed {
        new,
        kind,
        commits: proposal.commits.clone(),
        stat: proposal.stat,
        rewritten: sealed.rewritten.clone(),
        ..Landed::nothing(old)
    };
    let Some(how) = kind.stored() else {
        return Ok(landed);
    };
    let carries = carries(repo, landing.zone, old, new)?;
    let zone = zone(ledger, landing.zone)?;
    landed.tasks = covered(ledger, landing, (old, tip), &landed.commits)?;
    let record = KeptLanding {
        landed: task::Landed {
            branch: landing.zone.to_owned(),
            how,
            old: old.to_string(),
            new: new.to_string(),
            tip: tip.to_string(),
            rewritten: sealed.rewritten.iter().map(rewritten).collect(),
            hooks: sealed.hooks.clone(),
            signer: sealed.signer.clone(),
            by: committer(repo),
            at: now(),
            unknown: serde_json::Map::new(),
        },
        tasks: landed.tasks.clone(),
        taken_back: false,
    };
    let what = landing.what.split(": ").next().unwrap_or(landing.what);
    let saved = ledger.save_landing((&format!("land {what}"), None), &zone, record)?;
    point("land-saved", landing.zone);
    let log = format!("khlone land: {}", landing.what);
    let moved = swap(&carries, || {
        let holder = carries.first().map(Carry::checkout);
        bench.move_zone(repo, holder, (landing.zone, old, new), &log)
    });
    if let Err(error) = moved {
        ledger.forget_undo(&saved)?;
        return Err(error.into());
    }
    point("landed", landing.zone);
    tell(ledger, &saved)?;
    landed.undo = Some(saved.n);
    landed.checkouts = carries
        .iter()
        .map(|carry| carry.checkout().path.clone())
        .collect();
    Ok(landed)
}

fn rewritten((old, new): &(Oid, Oid)) -> Rewritten {
    Rewritten {
        old: old.to_string(),
        new: new.to_string(),
    }
}

/// The zone's document; of one in which nothing was done yet, what it would be.
fn zone(ledger: &Ledger<'_>, branch: &str) -> Result<Zone, LedgerError> {
    let id = ZoneId::of_branch(branch);
    Ok(match ledger.zone(&id)? {
        Some(stored) => stored.zone,
        None => Zone {
            format: FORMAT,
            id,
            branch: branch.to_owned(),
            base: None,
            created: now(),
            unknown: serde_json::Map::new(),
        },
    })
}

/// Writes what became of them into the documents of a landing's tasks.
pub(super) fn tell(ledger: &Ledger<'_>, saved: &Undo) -> Result<(), LedgerError> {
    let Some(record) = &saved.landing else {
        return Ok(());
    };
    let stands = (!record.taken_back).then_some(&record.landed);
    for id in &record.tasks {
        let known = match ledger.task(id) {
            Ok(stored) => stored.task.landed,
            // Dropped meanwhile.
            Err(LedgerError::NoTask(_)) => continue,
            Err(error) => return Err(error),
        };
        // A later landing has its own word.
        let is_ours = known
            .as_ref()
            .is_none_or(|known| known.new == record.landed.new || !record.taken_back);
        if known.as_ref() == stands || !is_ours {
            continue;
        }
        ledger.update(id, "cli", |update: &mut Update<'_>| {
            update.task.landed = stands.cloned();
            update.aside();
            Ok::<_, LedgerError>(())
        })?;
    }
    Ok(())
}

/// Tells the tasks of the last landing, or undoing of one, where it was cut short before it could.
///
/// # Errors
/// If the ledger cannot be read or written.
pub(super) fn tell_of_last(ledger: &Ledger<'_>) -> Result<(), LandError> {
    let saved = ledger.undos()?.into_iter().map(|(undo, _)| undo);
    let Some(saved) = saved.into_iter().find(|undo| undo.landing.is_some()) else {
        return Ok(());
    };
    if has_happened(ledger.repo(), &saved)? {
        tell(ledger, &saved)?;
    }
    Ok(())
}

/// Whether the zone's branch moved as `saved` says it was about to.
pub(super) fn has_happened(repo: &Repo, saved: &Undo) -> Result<bool, LedgerError> {
    let Some(record) = &saved.landing else {
        return Ok(false);
    };
    let Some(tip) = repo.ref_target(&branch_ref(&record.landed.branch))? else {
        return Ok(false);
    };
    let new: Oid = record.landed.new.parse()?;
    let has = tip == new || repo.git().graph_descendant_of(tip, new)?;
    Ok(has != record.taken_back)
}
