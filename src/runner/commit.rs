//! The automatic commit: the last step inside the sandbox. It takes what the brain left uncommitted, and never what
//! was copied in, what the main repository ignores, or more and larger files than configured.

use std::{cell::OnceCell, collections::HashSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use rustix::fs::FileType;

use super::{Run, RunnerError, claim::Claim, ground::host_head, prepare::Prepared};
use crate::{
    config::AutoCommit,
    guard::{
        gitdir::{
            PrivateGit,
            commit::{CommitError, CommitPlan, Committed, Identity, commit},
            selection::{LeftOut, is_refused_name, obstacle, raw_path, select},
            uncommitted::uncommitted,
        },
        sandbox::Confinement,
    },
    refs::{Kind, ObjectSink, Oid, Repo},
    task::{FileChange, Task},
    worktree::{
        checkout::Checkout,
        include,
        receipt::Receipt,
        snapshot::{Entry, EntryKind, Limits, Manifest, Source, StatKey, snapshot},
    },
};

/// Whether HEAD and all files still stand as in the commit that the attempt began on, so that there is nothing to
/// commit, and no sandbox is needed to find that out. It says no where it is not sure: where filters are at work, the
/// bytes of a clean file are not those of its blob.
pub(super) fn is_untouched(run: &Run<'_>, prepared: &Prepared) -> bool {
    let (repo, start) = (run.ledger.repo(), prepared.head);
    let private = prepared.ground.private.as_ref();
    let head = match private.map(PrivateGit::standing) {
        Some(standing) => standing.ok().and_then(|standing| standing.head?.oid()),
        None => host_head(repo, &prepared.checkout).ok().flatten(),
    };
    let tree = repo.git().find_commit(start).map(|commit| commit.tree_id());
    let before = &prepared.before.snapshot;
    if head != Some(start) || !tree.is_ok_and(|tree| tree == before.tree) {
        return false;
    }
    let source = Source {
        work_dir: &prepared.checkout.path,
        index: &prepared.checkout.git_dir.join("index"),
        repo,
        pinned: Some(start),
    };
    let limits = Limits {
        max_blob: run.config.limits.blob.as_u64(),
        ..Limits::default()
    };
    let now = snapshot(&source, &limits, Some(&before.manifest), &mut Unchanged);
    now.is_ok_and(|now| now.tree == before.tree)
}

/// Takes nothing: what would have to be stored is a change, and one is enough.
struct Unchanged;

impl ObjectSink for Unchanged {
    fn put(&mut self, _kind: Kind, _bytes: &[u8]) -> std::io::Result<Oid> {
        Err(std::io::Error::other("changed"))
    }
}

/// What the automatic commit left, in words.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    /// What the brain made.
    pub(super) left: Vec<String>,
    /// What somebody else had put there before.
    pub(super) before: Vec<String>,
}

/// So many files of others are named.
const NAMED: usize = 20;

/// Commits; gives what stays uncommitted.
pub(super) fn auto_commit(
    run: &Run<'_>,
    claim: &Claim,
    prepared: &Prepared,
    confinement: &Confinement,
    summary: Option<&str>,
) -> Result<Uncommitted, RunnerError> {
    let (checkout, ground) = (&prepared.checkout, &prepared.ground);
    let mut found = Uncommitted::default();
    if run.config.commit.mode == AutoCommit::Never || ground.sequencer(checkout)?.is_some() {
        return Ok(found);
    }
    // Without a sandbox it is the host's own git folder that git stumbles over.
    let is_the_brains = |error: &CommitError| ground.private.is_some() && error.is_the_brains();
    let files = match uncommitted(confinement, &ground.git_dir) {
        Err(error) if is_the_brains(&error) => {
            found.left.push(format!("left uncommitted: {error}"));
            return Ok(found);
        }
        files => files?,
    };
    if files.is_empty() {
        return Ok(found);
    }
    let copied: HashSet<_> = include::copied_paths(checkout).into_iter().collect();
    let ignored = ignored_in_main(run.ledger.repo(), &files)?;
    let max_file = run.config.commit.max_file.as_u64();
    // An attempt that goes on with another's work commits that, too; and changes that were brought along are asked for.
    let task = claim.task();
    let is_first = task.attempts.len() == 1 && task.with_changes.is_none();
    let before = is_first.then_some(&prepared.before.snapshot.manifest);
    let earlier = OnceCell::new();
    let chosen = select(&files, run.config.commit.max_files.get() as usize, |path| {
        let as_path = Path::new(OsStr::from_bytes(path));
        if as_path.ancestors().any(|part| copied.contains(part)) {
            return Some(LeftOut::Copied);
        }
        if ignored.contains(path) {
            return Some(LeftOut::Ignored);
        }
        let why = obstacle(&checkout.path, path, max_file);
        let Some(before) = before.filter(|before| is_as_before(before, &checkout.path, path)) else {
            return why;
        };
        // What an earlier brain left is committed where it can be; what cannot be troubles no later task.
        let earlier = earlier.get_or_init(|| left_by_earlier(run, task));
        let is_left_over = earlier
            .as_ref()
            .is_some_and(|left| is_left_over(left, before, path));
        let can_be = why.is_none() && !is_refused_name(path);
        if is_left_over && can_be {
            None
        } else {
            Some(LeftOut::Before)
        }
    });
    for (path, why) in &chosen.left {
        match why {
            LeftOut::Copied | LeftOut::Ignored => {}
            LeftOut::Before => found.before.push(format!("not committed: {path} ({why})")),
            _ => found.left.push(format!("left uncommitted: {path} ({why})")),
        }
    }
    let more = found.before.len().saturating_sub(NAMED);
    if more > 0 {
        found.before.truncate(NAMED);
        let words = format!("not committed: {more} more files that were there before the task");
        found.before.push(words);
    }
    if chosen.paths.is_empty() {
        return Ok(found);
    }
    let plan = CommitPlan {
        paths: chosen.paths,
        message: message(claim.task(), summary),
        author: author(run.ledger.repo()),
    };
    ground.mend(run, checkout)?;
    match commit(confinement, &ground.git_dir, &claim.dir, &plan) {
        Ok(Committed::Conflicted) => {
            let words = "left uncommitted: files in conflict".to_owned();
            found.left.push(words);
        }
        Ok(Committed::Made | Committed::Nothing) => {}
        Err(error) if is_the_brains(&error) => {
            found.left.push(format!("left uncommitted: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(found)
}

/// What the task of this clone before found and left, if its receipts are still there.
fn left_by_earlier(run: &Run<'_>, task: &Task) -> Option<(Manifest, Manifest)> {
    let heads = run.ledger.heads().ok()?.into_iter();
    let same =
        heads.filter(|head| (&head.zone, &head.clone) == (&task.zone, &task.clone) && head.id != task.id);
    let ended: Vec<Task> = same
        .filter(|head| head.status.is_over())
        .filter_map(|head| Some(run.ledger.task(&head.id).ok()?.task))
        .collect();
    let ends = |task: &Task| task.last_attempt().and_then(|attempt| attempt.ended);
    let last = ended.iter().max_by_key(|task| (ends(task), task.seq))?;
    let dir = run.ledger.site().attempt_dir(&last.id, last.last_attempt()?.n);
    let manifest = |name: &str| {
        let bytes = std::fs::read(dir.join(name)).ok()?;
        Some(Receipt::from_bytes(&bytes).ok()?.snapshot.manifest)
    };
    Some((manifest("receipt-before")?, manifest("receipt-after")?))
}

/// Whether an earlier brain changed `path` to what it is: it is its work then, which could not be committed. A
/// repository of its own never can.
fn is_left_over((found, left): &(Manifest, Manifest), before: &Manifest, path: &[u8]) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let is_nested = |entry: &Entry| matches!(entry.kind, EntryKind::Folder | EntryKind::Repository);
    let stat = |manifest: &Manifest| manifest.entry(path).map(|entry| entry.stat);
    let now = before.entry(path);
    now.is_none_or(|entry| !is_nested(entry)) && stat(left) == stat(before) && stat(found) != stat(left)
}

/// Whether `path` is what it was before the brain began. What was not and is not on the disk proves nothing: outside of
/// the sparse patterns a brain deletes what was never there.
fn is_as_before(before: &Manifest, top: &Path, path: &[u8]) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let now = top.join(OsStr::from_bytes(path));
    match (before.entry(path), rustix::fs::lstat(&now)) {
        // A nested repository, of which git says no more.
        (Some(entry), Ok(stat)) if matches!(entry.kind, EntryKind::Folder | EntryKind::Repository) => {
            FileType::from_raw_mode(stat.st_mode).is_dir()
        }
        (Some(entry), Ok(stat)) => entry.stat == StatKey::of(&stat),
        _ => false,
    }
}

/// Those of `files` that the main checkout would ignore.
fn ignored_in_main(repo: &Repo, files: &[FileChange]) -> Result<HashSet<Vec<u8>>, RunnerError> {
    let Some(main) = Checkout::main(repo) else {
        return Ok(HashSet::new());
    };
    if !main.path.is_dir() {
        return Ok(HashSet::new());
    }
    let mut list = Vec::new();
    for file in files {
        list.extend(raw_path(&file.path));
        list.push(0);
    }
    // It exits with 1 when none of them is ignored.
    let found = main
        .git()
        .args(["check-ignore", "-z", "--stdin"])
        .input(list)
        .finish()?;
    Ok(found
        .stdout
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// The subject is the brain's own summary where that is one short line, else the prompt's first line.
fn message(task: &Task, summary: Option<&str>) -> String {
    const SUBJECT: usize = 72;
    let line = summary.and_then(|text| text.lines().next()).map(str::trim);
    let own = line.filter(|line| !line.is_empty() && line.chars().count() <= SUBJECT);
    format!(
        "{}\n\nKhlone-Task: {}\nKhlone-Clone: {}\n",
        own.unwrap_or(&task.title),
        task.id,
        task.clone
    )
}

/// The repository's user; without one git-khlone is the author too.
fn author(repo: &Repo) -> Option<Identity> {
    let config = repo.git().config().ok()?.snapshot().ok()?;
    let value = |key: &str| {
        config
            .get_string(key)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    Some(Identity {
        name: value("user.name")?,
        email: value("user.email")?,
    })
}
