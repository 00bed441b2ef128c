//! The automatic commit: the last step inside the sandbox. It takes what the brain left uncommitted, and never what
//! was copied in, what the main repository ignores, or more and larger files than configured.

use std::collections::HashSet;

use super::{
    Run, RunnerError,
    claim::Claim,
    ground::{Ground, host_head},
    prepare::Prepared,
};
use crate::{
    config::AutoCommit,
    guard::{
        commit::{CommitError, CommitPlan, Committed, Identity, commit},
        gitdir::PrivateGit,
        sandbox::Confinement,
        selection::{LeftOut, obstacle, raw_path, select},
        uncommitted::uncommitted,
    },
    refs::{Kind, ObjectSink, Oid, Repo},
    task::{FileChange, Task},
    worktree::{
        checkout::Checkout,
        include,
        snapshot::{Limits, Source, snapshot},
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

/// Commits; gives what stays uncommitted, in words.
pub(super) fn auto_commit(
    run: &Run<'_>,
    claim: &Claim,
    checkout: &Checkout,
    ground: &Ground,
    confinement: &Confinement,
    summary: Option<&str>,
) -> Result<Vec<String>, RunnerError> {
    if run.config.commit.mode == AutoCommit::Never || ground.sequencer(checkout)?.is_some() {
        return Ok(Vec::new());
    }
    // Without a sandbox it is the host's own git folder that git stumbles over.
    let is_the_brains = |error: &CommitError| ground.private.is_some() && error.is_the_brains();
    let files = match uncommitted(confinement, &ground.git_dir) {
        Err(error) if is_the_brains(&error) => return Ok(vec![format!("left uncommitted: {error}")]),
        files => files?,
    };
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let copied: HashSet<_> = include::copied_paths(checkout).into_iter().collect();
    let ignored = ignored_in_main(run.ledger.repo(), &files)?;
    let max_file = run.config.commit.max_file.as_u64();
    let chosen = select(&files, run.config.commit.max_files.get() as usize, |path| {
        let as_path = std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(
            path,
        ));
        if as_path.ancestors().any(|part| copied.contains(part)) {
            return Some(LeftOut::Copied);
        }
        if ignored.contains(path) {
            return Some(LeftOut::Ignored);
        }
        obstacle(&checkout.path, path, max_file)
    });
    let named = chosen
        .left
        .iter()
        .filter(|(_, why)| !matches!(why, LeftOut::Copied | LeftOut::Ignored));
    let mut left: Vec<_> = named
        .map(|(path, why)| format!("left uncommitted: {path} ({why})"))
        .collect();
    if chosen.paths.is_empty() {
        return Ok(left);
    }
    let plan = CommitPlan {
        paths: chosen.paths,
        message: message(claim.task(), summary),
        author: author(run.ledger.repo()),
    };
    ground.mend(run, checkout)?;
    match commit(confinement, &ground.git_dir, &claim.dir, &plan) {
        Ok(Committed::Conflicted) => left.push("left uncommitted: files in conflict".to_owned()),
        Ok(Committed::Made | Committed::Nothing) => {}
        Err(error) if is_the_brains(&error) => left.push(format!("left uncommitted: {error}")),
        Err(error) => return Err(error.into()),
    }
    Ok(left)
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
