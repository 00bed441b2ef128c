//! Before the brain: the clone's worktree, its base, and the receipt of how everything stood.

use std::{fs, path::Path};

use git2::Oid;

use super::{Run, RunnerError, claim::Claim};
use crate::{
    refs::{Crew, Ledger, Pack, branch_ref, pin_ref, update_ref},
    task::Task,
    worktree::{
        checkout::Checkout,
        create::{self, Want},
        place::{self, Rules},
        snapshot::{Limits, Snapshot, Source, snapshot},
    },
    zone::advance::{Advance, advance},
};

/// A worktree in which the brain may start.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) checkout: Checkout,
    /// The clone's branch, as a full ref name.
    pub(super) branch: String,
    /// Where it stands.
    pub(super) head: Oid,
    /// The files before.
    pub(super) before: Snapshot,
    /// What is worth telling the reader.
    pub(super) remarks: Vec<String>,
}

/// Makes or finds the worktree and brings it to the zone's tip where nothing is lost by it.
pub(super) fn worktree(
    run: &Run<'_>,
    task: &Task,
    member: &Crew,
) -> Result<(Checkout, Vec<String>), RunnerError> {
    let repo = run.ledger.repo();
    let zone_ref = branch_ref(&task.branch);
    let Some(tip) = repo.ref_target(&zone_ref)? else {
        return Err(RunnerError::NoZoneBranch(task.branch.clone()));
    };
    let place = match &member.path {
        Some(path) => path.into(),
        None => {
            let rules = Rules {
                root: run.config.worktree.root.as_deref(),
                data_home: &run.paths.data,
            };
            let place = place::choose(repo, &rules, &task.zone, &task.clone)?;
            remember(run.ledger, task, |member| {
                member.path = Some(place.to_string_lossy().into_owned())
            })?;
            place
        }
    };
    let folders: Vec<String> = run.config.worktree.copy.iter().map(ToString::to_string).collect();
    let want = Want {
        place: &place,
        branch: &member.branch,
        start: tip,
        folders: &folders,
    };
    let ready = create::ensure(repo, &want)?;
    let mut remarks: Vec<String> = ready
        .submodules
        .missing
        .iter()
        .map(|(path, why)| format!("submodule {}: {why}", path.display()))
        .collect();
    match advance(repo, Some(&ready.checkout), &member.branch, tip)? {
        Advance::Current | Advance::Moved { .. } => {}
        Advance::Unlanded(standing) => {
            remarks.push(format!(
                "{} stands at +{} −{} {}",
                member.branch, standing.ahead, standing.behind, task.branch
            ));
        }
        Advance::Held(why) => remarks.push(format!("{} stays behind {}: {why}", member.branch, task.branch)),
    }
    Ok((ready.checkout, remarks))
}

/// Takes the receipt before and writes it to the ledger, so that whatever happens next can be compared with it.
pub(super) fn receipt(
    run: &Run<'_>,
    claim: &mut Claim,
    checkout: Checkout,
    remarks: Vec<String>,
) -> Result<Prepared, RunnerError> {
    let repo = run.ledger.repo();
    let branch = checkout
        .head_ref()
        .ok_or_else(|| RunnerError::Detached(checkout.path.clone()))?;
    let head = repo
        .ref_target(&branch)?
        .ok_or_else(|| RunnerError::NoZoneBranch(branch.clone()))?;
    let id = claim.task().id.clone();
    pin(run.ledger, &claim.pin("head-before"), head)?;
    let mut pack = Pack::begin(run.ledger.site())?;
    let before = shot(run, &checkout, head, &mut pack)?;
    let path = claim.path("before");
    let claimed = &*claim;
    let stored = run.ledger.update_with(&mut pack, &id, "runner", |update| {
        claimed.check(update.task)?;
        update.edit.graft(path.clone(), before.tree);
        Ok::<_, RunnerError>(())
    })?;
    claim.stored = stored;
    Ok(Prepared {
        checkout,
        branch,
        head,
        before,
        remarks,
    })
}

/// A snapshot of the clone's work tree.
pub(super) fn shot(
    run: &Run<'_>,
    checkout: &Checkout,
    pinned: Oid,
    pack: &mut Pack,
) -> Result<Snapshot, RunnerError> {
    let source = Source {
        work_dir: &checkout.path,
        index: &checkout.git_dir.join("index"),
        repo: run.ledger.repo(),
        pinned: Some(pinned),
    };
    let limits = Limits {
        max_blob: run.config.limits.blob.as_u64(),
        ..Limits::default()
    };
    Ok(snapshot(&source, &limits, None, pack)?)
}

/// Keeps a commit that the task needs.
pub(super) fn pin(ledger: &Ledger<'_>, name: &str, commit: Oid) -> Result<(), RunnerError> {
    let old = ledger.repo().ref_target(name)?;
    if old != Some(commit) {
        update_ref(ledger.repo(), name, old, commit).map_err(crate::refs::LedgerError::from)?;
    }
    Ok(())
}

impl Claim {
    /// The name of a pin of this attempt.
    pub(super) fn pin(&self, what: &str) -> String {
        pin_ref(&self.task().id, self.n, what)
    }
}

/// Changes what the zone remembers of the task's clone.
pub(super) fn remember(
    ledger: &Ledger<'_>,
    task: &Task,
    change: impl Fn(&mut Crew),
) -> Result<(), RunnerError> {
    ledger.update_zone(&task.zone, None, |zone| {
        let member = zone
            .crew
            .get_mut(&task.clone)
            .ok_or_else(|| RunnerError::NoClone(task.clone.clone()))?;
        change(member);
        Ok(())
    })
}

/// Writes the prompt where the brain finds it.
pub(super) fn prompt_file(dir: &Path, prompt: &[u8]) -> std::io::Result<std::path::PathBuf> {
    let path = dir.join("prompt.md");
    fs::write(&path, prompt)?;
    Ok(path)
}
