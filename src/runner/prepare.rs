//! Before the brain: the clone's worktree, its base, and the receipt of how everything stood.

use super::{
    Run, RunnerError,
    around::Around,
    between,
    claim::{Claim, remember},
    files::{bring_changes, rules, shot},
    ground::Ground,
    pins::pin,
};
use crate::{
    delivery::advance::{Advance, advance},
    process::{Tried, file::replace_durably},
    refs::{Crew, Oid, Pack, branch_ref},
    task::{Task, of_clone},
    worktree::{
        checkout::{Checkout, Locked},
        create::{self, Want},
        gitlinks,
        place::{self, Chosen},
        port,
        receipt::Receipt,
    },
};

/// A worktree in which the brain may start.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) checkout: Checkout,
    /// The clone's branch, as a full ref name.
    pub(super) branch: String,
    /// Where it stands.
    pub(super) head: Oid,
    /// How everything stood before.
    pub(super) before: Receipt,
    /// What is worth telling the reader.
    pub(super) remarks: Vec<String>,
    /// The first port of the clone's lease.
    pub(super) port: Option<u16>,
    /// The git that the brain works with.
    pub(super) ground: Ground,
    /// How things stood where no sandbox keeps the brain out; a sandbox needs no look.
    pub(super) around: Option<Around>,
    /// Keeps the user's git from pruning or moving the worktree meanwhile.
    _lock: Locked,
}

/// A worktree that is there.
#[derive(Debug)]
pub(super) struct Made {
    checkout: Checkout,
    remarks: Vec<String>,
    /// It was made now.
    fresh: bool,
    port: Option<u16>,
    lock: Locked,
}

/// Makes or finds the worktree and brings it to the zone's tip where nothing is lost by it.
pub(super) fn worktree(run: &Run<'_>, task: &Task, member: &Crew) -> Result<Made, RunnerError> {
    let repo = run.ledger.repo();
    let zone_ref = branch_ref(&task.branch);
    let Some(tip) = repo.ref_target(&zone_ref)? else {
        return Err(RunnerError::NoZoneBranch(task.branch.clone()));
    };
    let chosen = match &member.path {
        Some(path) => Chosen {
            place: path.into(),
            passed: None,
        },
        None => {
            let chosen = place::choose(repo, &rules(run), &task.zone, &task.clone)?;
            remember(run.ledger, task, |member| {
                member.path = Some(chosen.place.to_string_lossy().into_owned())
            })?;
            chosen
        }
    };
    let place = chosen.place;
    let folders: Vec<String> = run.config.worktree.copy.iter().map(ToString::to_string).collect();
    let want = Want {
        place: &place,
        branch: &member.branch,
        start: tip,
        folders: &folders,
    };
    let ready = create::ensure(repo, &want)?;
    let mut at_tip = true;
    let mut remarks: Vec<String> = ready
        .submodules
        .missing
        .iter()
        .map(|(path, why)| format!("submodule {}: {why}", path.display()))
        .collect();
    if let Some(passed) = chosen.passed {
        remarks.push(format!(
            "{} is not a worktree of this repository and stays as it is; the clone's is {}",
            passed.display(),
            place.display()
        ));
    }
    // What was tried before goes on where it stands.
    let standing = match task.attempts.len() {
        0 | 1 => {
            let clone = (&task.zone, &task.clone);
            let to = (member.branch.as_str(), tip);
            advance(run.ledger, clone, Some(&ready.checkout), to)?
        }
        _ => Advance::Current,
    };
    match standing {
        Advance::Current | Advance::Moved { .. } => {}
        Advance::Unlanded(standing) => {
            at_tip = false;
            // Work that is not landed yet is nothing to remark on; a zone that has moved on is.
            if standing.behind > 0 {
                remarks.push(format!(
                    "{} has commits that are not in {} yet, and lacks {} of its: {}",
                    member.name,
                    task.branch,
                    standing.behind,
                    of_clone("update", &member.name.to_string(), &task.branch)
                ));
            }
        }
        Advance::Held(why) => {
            at_tip = false;
            remarks.push(format!("{} stays behind {}: {why}", member.branch, task.branch));
        }
    }
    if let Some(tree) = task.with_changes.as_ref().filter(|_| task.attempts.len() == 1) {
        if !at_tip {
            return Err(RunnerError::WithChanges(member.name.clone()));
        }
        bring_changes(run, &ready.checkout, tip, tree.parse()?)?;
    }
    if gitlinks::expected(&ready.checkout) {
        gitlinks::pass_over(&ready.checkout)?;
    }
    let port = lease(run, task, member)?;
    let lock = ready.checkout.locked(&format!("{} runs here", task.id))?;
    Ok(Made {
        lock,
        fresh: ready.made.is_fresh(),
        checkout: ready.checkout,
        remarks,
        port,
    })
}

/// The clone's range of ports, free on this machine and shared with no other clone of the site.
fn lease(run: &Run<'_>, task: &Task, member: &Crew) -> Result<Option<u16>, RunnerError> {
    let zones = run.ledger.readable_zones()?;
    let all = zones
        .iter()
        .flat_map(|zone| zone.crew.values().map(|other| (&zone.zone.id, other)));
    let others = all.filter(|(zone, other)| (*zone, &other.name) != (&task.zone, &task.clone));
    let others: Vec<u16> = others.filter_map(|(_, other)| other.port).collect();
    let who = format!(
        "{} {} {}",
        run.ledger.site().owner().site_uuid,
        task.zone,
        task.clone
    );
    let port = port::lease(member.port, &others, &who, port::is_free);
    if port != member.port {
        remember(run.ledger, task, |member| member.port = port)?;
    }
    Ok(port)
}

/// Takes the receipt before and writes it to the ledger, so that whatever happens next can be compared with it. What
/// somebody else did since the last attempt stands in that one's effects.
pub(super) fn receipt(run: &Run<'_>, claim: &mut Claim, made: Made) -> Result<Prepared, RunnerError> {
    let Made {
        lock,
        checkout,
        remarks,
        fresh,
        port,
    } = made;
    let repo = run.ledger.repo();
    let branch = create::head_of(&checkout)?;
    let head = repo
        .ref_target(&branch)?
        .ok_or_else(|| RunnerError::NoCloneBranch(branch.clone()))?;
    let last = between::before(run, claim)?;
    let mut external = None;
    if fresh && let Some(last) = &last {
        external = Some(last.bring_back(run, claim, (&checkout, head))?);
    }
    let id = claim.task().id.clone();
    pin(run.ledger, &claim.pin("head-before"), head)?;
    let mut pack = Pack::begin(run.ledger.site())?;
    let before = shot(run, &checkout, Some(head), None, &mut pack)?;
    let receipt = claim.dir.join("receipt-before");
    replace_durably(&receipt, &before.to_bytes()).tried("write", &receipt)?;
    let last = last.map(|last| last.with_external(run, claim, &checkout, (external, &before)));
    let claimed = &*claim;
    let stored = run.ledger.update_with(&mut pack, &id, "runner", |update| {
        claimed.check(update.task)?;
        if let Some(attempt) = update.task.attempts.last_mut() {
            attempt.tier = Some(run.tier().as_str().to_owned());
            attempt.network = Some(run.config.network.as_str().to_owned());
        }
        update.edit.graft(claimed.path("before"), before.snapshot.tree);
        update
            .edit
            .json(claimed.path("receipt-before.json"), &before.document())?;
        if let Some((path, effects)) = &last {
            update.edit.json(path, effects)?;
        }
        Ok::<_, RunnerError>(())
    })?;
    claim.stored = stored;
    let ground = Ground::prepare(run, claim.task(), &checkout)?;
    Ok(Prepared {
        checkout,
        branch,
        head,
        before,
        remarks,
        port,
        ground,
        around: run.bwrap.is_none().then(|| Around::look(run, claim.task())),
        _lock: lock,
    })
}
