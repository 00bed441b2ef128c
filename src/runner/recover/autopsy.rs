//! What an attempt that died had done: everything that is known of it, written to its task.

use std::fs;

use crate::{
    brain::Record,
    guard::{
        gitdir::PrivateGit,
        sandbox::{Confinement, Network},
        secrets::redact::Redactor,
    },
    process::{file::replace_durably, run_dir},
    refs::{Oid, Pack, Update, forget_record},
    runner::{
        Run, RunnerError, around,
        checkpoint::{self, Progress, Store},
        claim::Claim,
        compare::new_commits,
        doubt,
        files::{bring_changes, checkout_of, put_back, shot},
        ground::{Ground, Left, folder, host_head},
        lost,
        pins::{self, pin},
        sparse, spool,
    },
    task::{BranchMove, Checkpoint, Death, Effects, Import, Mode, Move, Task, a},
    worktree::{
        checkout::Checkout,
        create::{self, Want},
        receipt::Receipt,
    },
};

/// What is known of a dead attempt.
struct Found {
    effects: Effects,
    after: Receipt,
    import: Option<Import>,
    checkpoints: Vec<Checkpoint>,
    session: Option<String>,
    death: Death,
    transcript: Vec<u8>,
    errors: Vec<u8>,
}

/// Finds out, and writes it down.
pub(super) fn write(run: &Run<'_>, claim: &mut Claim) -> Result<(), RunnerError> {
    let begun = match spool::begun(&claim.dir) {
        None if lost::is_lost(run, claim)? => {
            let tier = claim.task().last_attempt().and_then(|last| last.tier.clone());
            Some((tier.unwrap_or_default(), None))
        }
        begun => begun,
    };
    let Some((tier, known)) = begun else {
        return write_unborn(run, claim);
    };
    let mut pack = Pack::begin(run.ledger.site())?;
    let mut found = examine(run, claim, &tier, &mut pack)?;
    replace_durably(&claim.dir.join("receipt-after"), &found.after.to_bytes())?;
    // Who read the ledger before us has put it right.
    let record = around::record(run.ledger.site(), claim.task());
    found.effects.foreign.extend(forget_record(&record));
    let redactor = Redactor::new(&[], &run.config.redact.allow)?;
    found
        .effects
        .reword(|name| *name = redactor.redact(name).0.into_owned());
    let claimed = &*claim;
    let id = claimed.task().id.clone();
    let stored = run
        .ledger
        .update_with(&mut pack, &id, "runner", |update: &mut Update<'_>| {
            claimed.check(update.task)?;
            let (death, import) = (found.death.clone(), found.import.clone());
            update
                .transition(Move::Examined { death, import }, "")
                .map_err(|source| RunnerError::illegal(&id, source))?;
            if let Some(attempt) = update.task.attempts.last_mut() {
                attempt.session = found.session.clone().or_else(|| known.clone());
                attempt.tier = Some(tier.clone());
            }
            let edit = &mut *update.edit;
            edit.graft(claimed.path("after"), found.after.snapshot.tree);
            edit.json(claimed.path("receipt-after.json"), &found.after.document())?;
            edit.json(claimed.path("effects.json"), &found.effects)?;
            edit.file(claimed.path("transcript/0001.jsonl"), found.transcript.clone());
            if !found.errors.is_empty() {
                edit.file(claimed.path("stderr.log"), found.errors.clone());
            }
            checkpoint::record(edit, &claimed.path("checkpoints"), &found.checkpoints)?;
            Ok::<_, RunnerError>(())
        })?;
    claim.stored = stored;
    Store::at(&claim.dir).clear();
    take_back(run, claim, &tier, &found)
}

/// It died before its brain was started: there is nothing to be found.
fn write_unborn(run: &Run<'_>, claim: &mut Claim) -> Result<(), RunnerError> {
    let claimed = &*claim;
    let id = claimed.task().id.clone();
    let stored = run.ledger.update(&id, "runner", |update: &mut Update<'_>| {
        claimed.check(update.task)?;
        let death = Death {
            open: true,
            ..Death::default()
        };
        let import = None;
        update
            .transition(Move::Examined { death, import }, "")
            .map_err(|source| RunnerError::illegal(&id, source))
    })?;
    claim.stored = stored;
    Ok(())
}

fn examine(run: &Run<'_>, claim: &Claim, tier: &str, pack: &mut Pack) -> Result<Found, RunnerError> {
    let task = claim.task();
    let store = Store::at(&claim.dir);
    let checkpoints = checkpoint::give(&store, pack);
    // Read back below: a cut-off file is known by what it was.
    pack.publish()?;
    let (checkout, mut external) = worktree(run, task, &checkpoints, claim)?;
    let is_lost = lost::is_lost(run, claim)?;
    let mut before = if is_lost {
        lost::receipt_before(run, claim)?
    } else {
        let before = fs::read(claim.dir.join("receipt-before"))?;
        Receipt::from_bytes(&before).map_err(|error| std::io::Error::other(error.to_string()))?
    };
    let start = run
        .ledger
        .repo()
        .ref_target(&claim.pin("head-before"))?
        .ok_or_else(|| RunnerError::NoPin(claim.pin("head-before")))?;
    let mut left = import(run, claim, &checkout, tier)?;
    let last = store.last().filter(|last| {
        let tree = last.snapshot.tree.to_string();
        checkpoints.iter().any(|checkpoint| checkpoint.tree == tree)
    });
    let manifest = &last.as_ref().unwrap_or(&before).snapshot.manifest;
    let after = shot(run, &checkout, Some(start), Some(manifest), pack)?;
    pack.publish()?;
    if is_lost {
        external.push(lost::words(run, claim, &mut before, &after)?);
    }
    let head = left.head.unwrap_or(start);
    let compared = doubt::Compared {
        before: &before,
        base: last.as_ref().unwrap_or(&before),
        after: &after,
        confined: tier == "T2",
        ask: task.mode == Mode::Ask,
    };
    let mut effects = doubt::effects(run, &checkout, &compared);
    let shapes = Redactor::default();
    pins::tell(&mut effects, std::mem::take(&mut left.refs), &|name| {
        shapes.redact(name).0.into_owned()
    });
    let host = run
        .ledger
        .repo()
        .ref_target(&checkout.head_ref().unwrap_or_default())?;
    if tier != "T2" {
        external.extend(rewritten(run, claim, &checkout, &checkpoints, head)?);
    }
    let import = homecoming(run, &checkout, (start, head, host), &left, &mut effects)?;
    external.append(&mut effects.external);
    effects.external = external;
    let transcript = spool::transcript_of(&claim.dir)?;
    let progress = replay(&transcript);
    effects.late_commits = late(run, &checkpoints, start, head)?;
    effects.running = progress.open.iter().map(doubt::tool).collect();
    let death = Death {
        began: true,
        fresh: !effects.files.is_empty() || !effects.commits.is_empty(),
        last_call: progress.last_call,
        open: true,
    };
    let session = checkpoints.iter().rev().find_map(|it| it.session.clone());
    Ok(Found {
        effects,
        after,
        import,
        session: progress.session.or(session),
        checkpoints,
        death,
        transcript,
        errors: spool::errors_of(&claim.dir)?,
    })
}

/// The clone's worktree. One that was taken away is made again, with the files that the attempt last had.
fn worktree(
    run: &Run<'_>,
    task: &Task,
    checkpoints: &[Checkpoint],
    claim: &Claim,
) -> Result<(Checkout, Vec<String>), RunnerError> {
    let repo = run.ledger.repo();
    if let Some(checkout) = checkout_of(run, task)? {
        return Ok((checkout, Vec::new()));
    }
    let gone = || RunnerError::NoClone(task.clone.clone());
    let zone = run.ledger.zone(&task.zone)?.ok_or_else(gone)?;
    let member = zone.crew.get(&task.clone).ok_or_else(gone)?;
    let start = repo
        .ref_target(&claim.pin("head-before"))?
        .ok_or_else(|| RunnerError::NoZoneBranch(task.branch.clone()))?;
    let folders: Vec<String> = run.config.worktree.copy.iter().map(ToString::to_string).collect();
    let want = Want {
        place: member.path.as_deref().ok_or_else(gone)?.as_ref(),
        branch: &member.branch,
        start,
        folders: &folders,
    };
    let ready = create::ensure(repo, &want)?;
    let mut words = vec![format!(
        "the worktree {} was not in its place",
        want.place.display()
    )];
    if ready.made.is_fresh() {
        let last = checkpoints.last().and_then(|it| it.tree.parse().ok());
        let tree = match last {
            Some(tree) => Some(tree),
            None => run.ledger.folder(&claim.stored, &claim.path("before"))?,
        };
        if let Some(tree) = tree {
            bring_changes(run, &ready.checkout, start, tree)?;
            words.push("it has been made again with the files of the last checkpoint".to_owned());
        }
    }
    Ok((ready.checkout, words))
}

/// What the dead brain's git holds comes home and is pinned.
fn import(run: &Run<'_>, claim: &Claim, checkout: &Checkout, tier: &str) -> Result<Left, RunnerError> {
    let Some(ground) = ground_of_dead(run, claim.task(), checkout, tier)? else {
        return Ok(Left::default());
    };
    let confinement = confinement(run, checkout, &ground)?;
    sparse::fill(run, (checkout, &ground), &confinement, &claim.dir)?;
    let mut left = ground.bring_home(run, claim, checkout, &confinement)?;
    left.keep(run, claim)?;
    Ok(left)
}

/// The git that the dead brain worked with; none where it could write none, or where that is gone with all that it held,
/// which is said then.
fn ground_of_dead(
    run: &Run<'_>,
    task: &Task,
    checkout: &Checkout,
    tier: &str,
) -> Result<Option<Ground>, RunnerError> {
    if task.mode == Mode::Ask {
        return Ok(None);
    }
    if tier != "T2" {
        return Ok(Some(Ground {
            git_dir: checkout.git_dir.clone(),
            private: None,
        }));
    }
    let private = PrivateGit::at(folder(run.ledger.site(), task));
    if !private.git_dir().exists() {
        return Ok(None);
    }
    if run.bwrap.is_none() {
        return Err(RunnerError::SandboxGone(run.probe.reason()));
    }
    Ok(Some(Ground {
        git_dir: private.git_dir(),
        private: Some(private),
    }))
}

/// Enough for git to pack what is new; nothing can be written.
fn confinement(run: &Run<'_>, checkout: &Checkout, ground: &Ground) -> Result<Confinement, RunnerError> {
    let common = run.ledger.repo().common_dir();
    let vars = ["PATH", "HOME", "LANG"].into_iter();
    Ok(Confinement {
        bwrap: run.bwrap.clone(),
        work_dir: checkout.path.clone(),
        folder: None,
        writes: false,
        git: ground.private.as_ref().map(|private| private.view(common)),
        home: run.home.clone(),
        tmp: None,
        writable: Vec::new(),
        read_only: Vec::new(),
        hidden: vec![
            run.ledger.site().dir().to_owned(),
            run.paths.khlone_home.clone(),
            run_dir()?,
        ],
        env: vars
            .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
            .collect(),
        network: Network::None,
        profile: None,
        own_program: None,
    })
}

/// Without a sandbox the brain's branch is the host's, and who rewrote it nobody knows: the commit that it had stays
/// pinned, and a person looks.
fn rewritten(
    run: &Run<'_>,
    claim: &Claim,
    checkout: &Checkout,
    checkpoints: &[Checkpoint],
    head: Oid,
) -> Result<Option<String>, RunnerError> {
    let repo = run.ledger.repo();
    let start = repo.ref_target(&claim.pin("head-before"))?;
    let seen = checkpoints.iter().filter_map(|it| it.head.as_ref()?.parse().ok());
    // The newest that is still there.
    let Some(old) = start
        .into_iter()
        .chain(seen)
        .rfind(|oid| repo.git().find_commit(*oid).is_ok())
    else {
        return Ok(None);
    };
    if head == old || repo.git().graph_descendant_of(head, old)? {
        return Ok(None);
    }
    pin(run.ledger, &claim.pin("passed-0"), old)?;
    let branch = checkout.head_ref().unwrap_or_else(|| "HEAD".to_owned());
    Ok(Some(format!(
        "{branch} was rewritten: {old} is not on it any more, {head} is; both are pinned"
    )))
}

/// The branch follows the dead brain's commits where it can; else they stay pinned, and that is said.
fn homecoming(
    run: &Run<'_>,
    checkout: &Checkout,
    (start, head, host): (Oid, Oid, Option<Oid>),
    left: &Left,
    effects: &mut Effects,
) -> Result<Option<Import>, RunnerError> {
    effects.in_doubt.extend(left.sequencer.map(|what| {
        format!(
            "{} was under way and is not any more; its commits are pinned",
            a(what)
        )
    }));
    effects.in_doubt.extend(left.refused.iter().cloned());
    let repo = run.ledger.repo();
    let branch = checkout.head_ref().unwrap_or_default();
    if host != Some(start) && host != Some(head) {
        let at = host.map_or("no commit".to_owned(), |oid| oid.to_string());
        effects
            .external
            .push(format!("{branch} was moved on the host, from {start} to {at}"));
    }
    if head == start {
        return Ok(None);
    }
    effects.commits = new_commits(repo, start, head)?;
    let follows = repo.git().graph_descendant_of(head, start)?;
    if !follows || host != Some(start) && host != Some(head) {
        if host != Some(head) {
            effects.in_doubt.push(format!(
                "the commits up to {head} are pinned, {branch} does not have them"
            ));
        }
        return Ok(None);
    }
    effects.branch = Some(BranchMove {
        before: Some(start.to_string()),
        after: Some(head.to_string()),
    });
    Ok(Some(Import {
        name: branch,
        old: start.to_string(),
        new: head.to_string(),
    }))
}

/// The commits since the last checkpoint.
fn late(
    run: &Run<'_>,
    checkpoints: &[Checkpoint],
    start: Oid,
    head: Oid,
) -> Result<Vec<String>, RunnerError> {
    let seen = checkpoints
        .iter()
        .rev()
        .find_map(|it| it.head.as_ref()?.parse().ok());
    let seen: Oid = seen.unwrap_or(start);
    if seen == head || !run.ledger.repo().git().odb()?.exists(seen) {
        return Ok(Vec::new());
    }
    new_commits(run.ledger.repo(), seen, head)
}

/// How far the dead run had come, by its transcript.
fn replay(transcript: &[u8]) -> Progress {
    let mut progress = Progress::default();
    for line in transcript.split(|byte| *byte == b'\n') {
        if let Ok(record) = serde_json::from_slice::<Record>(line) {
            progress.note(&record.event, &str::to_owned);
        }
    }
    progress
}

/// Without a sandbox an ask can write after all; what it wrote is in the ledger now, and is taken back.
fn take_back(run: &Run<'_>, claim: &Claim, tier: &str, found: &Found) -> Result<(), RunnerError> {
    if claim.task().mode != Mode::Ask || tier == "T2" || found.effects.files.is_empty() {
        return Ok(());
    }
    let Some(checkout) = checkout_of(run, claim.task())? else {
        return Ok(());
    };
    let Some(before) = run.ledger.folder(&claim.stored, &claim.path("before"))? else {
        return Ok(());
    };
    let head = host_head(run.ledger.repo(), &checkout)?;
    put_back(run, &checkout, (before, head), &found.after)
}
