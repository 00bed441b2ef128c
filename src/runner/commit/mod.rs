//! The automatic commit: the last step inside the sandbox. It takes what the brain left uncommitted, and never what
//! was copied in, what the main repository ignores, or more and larger files than configured.
//!
//! Whatever differs after a task is in a commit of it or named as left, with the reason; [`mod@account`] holds that against
//! what was committed, by the files themselves.

mod account;
mod before;
mod submodules;

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{Run, RunnerError, claim::Claim, compare::NAMED, ground::host_head, prepare::Prepared};
use crate::{
    config::{Attribution, AutoCommit, Party},
    guard::{
        gitdir::{
            PrivateGit,
            commit::{CommitError, CommitPlan, Committed, Identity, commit, refused},
            selection::{LeftOut, Selection, is_refused_name, obstacle, raw_path, select},
            uncommitted::{Mark, uncommitted},
        },
        sandbox::Confinement,
    },
    process::ProcessError,
    refs::{Kind, ObjectSink, Oid, Repo},
    task::{Change, FileChange, Task, a, few},
    worktree::{
        checkout::Checkout,
        effects::path_text,
        include,
        snapshot::{Limits, Manifest, Source, StatKey, snapshot},
    },
};
pub(super) use account::{Books, account};
pub(super) use before::away;
use submodules::Submodules;

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
    let host_index = prepared.checkout.git_dir.join("index");
    if let Some(private) = private
        && !is_same_file(&host_index, &private.git_dir().join("index"))
    {
        // Something may be staged that no file shows.
        return false;
    }
    let source = Source {
        work_dir: &prepared.checkout.path,
        index: &host_index,
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

fn is_same_file(one: &Path, other: &Path) -> bool {
    let read = |path: &Path| std::fs::read(path).ok();
    let length = |path: &Path| path.symlink_metadata().ok().map(|data| data.len());
    length(one) == length(other) && read(one) == read(other)
}

/// Takes nothing: what would have to be stored is a change, and one is enough.
struct Unchanged;

impl ObjectSink for Unchanged {
    fn put(&mut self, _kind: Kind, _bytes: &[u8]) -> std::io::Result<Oid> {
        Err(std::io::Error::other("changed"))
    }
}

/// Whose doing it is that something stays uncommitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// It is the brain's work, and should have been committed.
    Brains,
    /// Others', or by a rule.
    Others,
    /// Nothing is committed; why is said once.
    All,
}

/// What is in no commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    /// As documents have it.
    pub(super) path: String,
    pub(super) why: String,
    pub(super) whose: Whose,
}

/// What the automatic commit left.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    pub(super) left: Vec<Left>,
    /// Why nothing was committed, if something went wrong.
    pub(super) failed: Option<String>,
    /// Why nothing was to be committed.
    pub(super) untried: Option<String>,
    /// Submodules, and those of them with changes that are in none of their commits.
    links: BTreeSet<Vec<u8>>,
    dirty: BTreeSet<Vec<u8>>,
}

impl Uncommitted {
    /// Where nothing is to be committed.
    pub(super) fn untried(why: impl Into<String>) -> Self {
        Self {
            untried: Some(why.into()),
            ..Self::default()
        }
    }

    fn failed(mut self, why: impl Into<String>) -> Self {
        self.failed = Some(why.into());
        self
    }

    /// Whether work of the brain's stays uncommitted.
    pub(super) fn is_partial(&self) -> bool {
        self.failed.is_some() || self.left.iter().any(|left| left.whose == Whose::Brains)
    }

    /// In words: each kind of them apart, and the first of each.
    pub(super) fn words(&self) -> Vec<String> {
        let of = |whose: Whose, head: &str| {
            let left = self.left.iter().filter(|left| left.whose == whose);
            let words = left.map(|left| format!("{head}: {} ({})", left.path, left.why));
            few(words.collect(), NAMED)
        };
        let failed = self.failed.iter().map(|why| format!("left uncommitted: {why}"));
        let mut words: Vec<_> = failed.collect();
        words.extend(of(Whose::Brains, "left uncommitted"));
        words.extend(of(Whose::Others, "not committed"));
        words
    }
}

/// Commits; gives what stays uncommitted.
pub(super) fn auto_commit(
    run: &Run<'_>,
    claim: &Claim,
    prepared: &Prepared,
    confinement: &Confinement,
    summary: Option<&str>,
) -> Result<Uncommitted, RunnerError> {
    let (checkout, ground) = (&prepared.checkout, &prepared.ground);
    if run.config.commit.mode == AutoCommit::Never {
        return Ok(Uncommitted::untried("commit.mode is never"));
    }
    if let Some(what) = ground.sequencer(checkout)? {
        return Ok(Uncommitted::untried(format!("{} is not finished", a(what))));
    }
    // Without a sandbox it is the host's own git folder that git stumbles over.
    let is_the_brains = |error: &CommitError| ground.private.is_some() && error.is_the_brains();
    let is_sparse = ground.has_patterns();
    // What is committed is what stands in its files, and what is ignored is what the user ignores.
    ground.mend(run, checkout)?;
    let links = submodules::expected(run, prepared);
    let mut found = Uncommitted::default();
    let seen = match uncommitted(confinement, &ground.git_dir, links) {
        Err(error) if is_the_brains(&error) => return Ok(found.failed(error.to_string())),
        seen => seen?,
    };
    let mut settled = Submodules::default();
    if links || !seen.links.is_empty() {
        settled = match submodules::settle((run, claim), prepared, confinement, &seen) {
            Err(RunnerError::Commit(error)) if is_the_brains(&error) => {
                return Ok(found.failed(error.to_string()));
            }
            settled => settled?,
        };
    }
    (found.links, found.dirty) = (settled.paths, settled.dirty);
    found.left.extend(settled.left);
    let mut files = seen.files;
    files.extend(unseen(&seen.marked, prepared, is_sparse, &mut found.left));
    let (mut chosen, stale) = choose((run, claim), prepared, (&files, &found.links))?;
    chosen.paths.extend(settled.files);
    found.left.extend(left(chosen.left));
    if chosen.paths.is_empty() && settled.changes.is_empty() {
        return Ok(found);
    }
    let mut plan = CommitPlan {
        paths: chosen.paths,
        links: settled.changes,
        message: message(claim.task(), summary, run.config.attribution),
        author: identity(run.ledger.repo(), run.config.attribution.author),
        committer: identity(run.ledger.repo(), run.config.attribution.committer),
    };
    let mut done = commit(confinement, &ground.git_dir, &claim.dir, &plan);
    if done.as_ref().is_err_and(CommitError::is_the_brains)
        && let Ok(refused) = refused(confinement, &ground.git_dir, &claim.dir, &plan.paths)
        && !refused.is_empty()
    {
        // What git cannot take keeps nothing else from being committed.
        plan.paths
            .retain(|path| refused.iter().all(|(refused, _)| refused != path));
        found
            .left
            .extend(refused.into_iter().map(|refused| untaken(refused, &stale)));
        done = if plan.paths.is_empty() && plan.links.is_empty() {
            Ok(Committed::Nothing)
        } else {
            commit(confinement, &ground.git_dir, &claim.dir, &plan)
        };
    }
    match done {
        Ok(Committed::Conflicted) => Ok(found.failed("files in conflict")),
        Ok(Committed::Made | Committed::Nothing) => Ok(found),
        Err(error) if is_the_brains(&error) => Ok(found.failed(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// What git cannot take, by its own words. What an earlier task left so troubles no later one.
fn untaken((path, said): (Vec<u8>, String), stale: &HashSet<Vec<u8>>) -> Left {
    let (why, whose) = if stale.contains(&path) {
        (LeftOut::Before.to_string(), Whose::Others)
    } else if said.contains("Permission denied") {
        (LeftOut::Unreadable.to_string(), Whose::Brains)
    } else {
        let said = said.rsplit("fatal: ").next().unwrap_or(&said).trim();
        (format!("git cannot take it: {said}"), Whose::Brains)
    };
    Left {
        path: path_text(&path),
        why,
        whose,
    }
}

/// Of the files that git was told not to look at, those that are not as they were.
fn unseen(
    marked: &[(Vec<u8>, Mark)],
    prepared: &Prepared,
    is_sparse: bool,
    left: &mut Vec<Left>,
) -> Vec<FileChange> {
    let (before, top) = (&prepared.before.snapshot.manifest, &prepared.checkout.path);
    let mut changed = Vec::new();
    for (path, mark) in marked {
        let now = rustix::fs::lstat(top.join(OsStr::from_bytes(path)));
        let now = now.ok().map(|stat| StatKey::of(&stat));
        if before.entry(path).map(|entry| entry.stat) == now {
            continue;
        }
        let path = path_text(path);
        if now.is_none() && *mark == Mark::Skipped && is_sparse {
            left.push(Left {
                path,
                why: LeftOut::Sparse.to_string(),
                whose: Whose::Others,
            });
            continue;
        }
        changed.push(FileChange {
            path,
            change: if now.is_some() {
                Change::Modified
            } else {
                Change::Deleted
            },
            from: None,
            truncated: false,
        });
    }
    changed
}

/// Sorts out what is not the brain's, and what cannot be committed; with it those of the chosen that an earlier task has
/// left.
fn choose(
    (run, claim): (&Run<'_>, &Claim),
    prepared: &Prepared,
    (files, links): (&[FileChange], &BTreeSet<Vec<u8>>),
) -> Result<(Selection, HashSet<Vec<u8>>), RunnerError> {
    let checkout = &prepared.checkout;
    let copied: HashSet<_> = include::copied_paths(checkout).into_iter().collect();
    let ignored = ignored_in_main(run.ledger.repo(), files)?;
    let max_file = run.config.commit.max_file.as_u64();
    // An attempt that goes on with another's work commits that, too; and changes that were brought along are asked for.
    let task = claim.task();
    let before = is_first(task).then_some(&prepared.before.snapshot.manifest);
    let (earlier, away) = (OnceCell::new(), OnceCell::new());
    let start = run.ledger.repo().git().find_commit(prepared.head)?.tree()?;
    // Where patterns keep a file away it proves nothing, since a brain deletes what was never there.
    let was_deleted = |path: &[u8]| {
        let away: &Option<HashSet<_>> = away.get_or_init(|| before::away(checkout));
        let is_away = away.as_ref().is_none_or(|away| away.contains(path));
        !is_away && start.get_path(Path::new(OsStr::from_bytes(path))).is_ok()
    };
    let most = run.config.commit.max_files.get() as usize;
    let mut stale = HashSet::new();
    let chosen = select(files, most, |path| {
        let as_path = Path::new(OsStr::from_bytes(path));
        if as_path.ancestors().any(|part| copied.contains(part)) {
            return Some(LeftOut::Copied);
        }
        if ignored.contains(path) {
            return Some(LeftOut::Ignored);
        }
        let why = obstacle(&checkout.path, path, max_file);
        let is_as_before =
            |before: &&Manifest| before::is_as_before(before, &checkout.path, path, || was_deleted(path));
        // What was a submodule's is part of the work since it is none any more.
        let was_linked = within(path, links).is_some();
        let Some(before) = before.filter(is_as_before).filter(|_| !was_linked) else {
            return why;
        };
        // What an earlier brain left is committed where it can be; what cannot be troubles no later task.
        let earlier = earlier.get_or_init(|| before::left_by_earlier(run, task));
        let is_left_over = earlier
            .as_ref()
            .is_some_and(|left| before::is_left_over(left, before, path));
        if is_left_over && why.is_none() && !is_refused_name(path) {
            stale.insert(path.to_vec());
            None
        } else if before.entry(path.strip_suffix(b"/").unwrap_or(path)).is_none() {
            Some(LeftOut::GoneBefore)
        } else {
            Some(LeftOut::Before)
        }
    });
    Ok((chosen, stale))
}

/// The one of `folders` in which `path` lies.
fn within<'a>(path: &'a [u8], folders: &BTreeSet<Vec<u8>>) -> Option<&'a [u8]> {
    let mut above = (0..path.len())
        .filter(|at| path[*at] == b'/')
        .map(|at| &path[..at]);
    above.find(|folder| folders.contains(*folder))
}

/// Whether what stood in the work tree before is not this task's.
fn is_first(task: &Task) -> bool {
    task.attempts.len() == 1 && task.with_changes.is_none()
}

fn left(left: Vec<(String, LeftOut)>) -> impl Iterator<Item = Left> {
    left.into_iter().map(|(path, why)| Left {
        path,
        why: why.to_string(),
        whose: match why {
            LeftOut::Copied | LeftOut::Ignored | LeftOut::Before | LeftOut::GoneBefore | LeftOut::Sparse => {
                Whose::Others
            }
            LeftOut::TooLarge(_)
            | LeftOut::NotAFile
            | LeftOut::Unreadable
            | LeftOut::Name
            | LeftOut::TooMany => Whose::Brains,
        },
    })
}

/// Those of `files` that the main checkout would ignore.
fn ignored_in_main(repo: &Repo, files: &[FileChange]) -> Result<HashSet<Vec<u8>>, RunnerError> {
    let Some(main) = Checkout::main(repo) else {
        return Ok(HashSet::new());
    };
    if !main.path.is_dir() {
        return Ok(HashSet::new());
    }
    Ok(ignored_in(&main, files.iter().map(|file| file.path.as_str()))?)
}

/// Those of `paths` that a checkout ignores.
fn ignored_in<'a>(
    checkout: &Checkout,
    paths: impl Iterator<Item = &'a str>,
) -> Result<HashSet<Vec<u8>>, ProcessError> {
    let list: Vec<u8> = paths
        .flat_map(|path| [raw_path(path).as_slice(), b"\0"].concat())
        .collect();
    if list.is_empty() {
        return Ok(HashSet::new());
    }
    // It exits with 1 when none of them is ignored.
    let found = checkout
        .git()
        .args(["check-ignore", "-z", "--stdin"])
        .input(list)
        .finish()?;
    let paths = found.stdout.split(|byte| *byte == 0);
    Ok(paths
        .filter(|path| !path.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// The subject is the brain's own summary where that is one short line, else the prompt's first line.
fn message(task: &Task, summary: Option<&str>, attribution: Attribution) -> String {
    const SUBJECT: usize = 72;
    let line = summary.and_then(|text| text.lines().next()).map(str::trim);
    let own = line.filter(|line| !line.is_empty() && line.chars().count() <= SUBJECT);
    let mut text = format!(
        "{}\n\nKhlone-Task: {}\nKhlone-Clone: {}\n",
        own.unwrap_or(&task.title),
        task.id,
        task.clone
    );
    if attribution.co_author {
        let email = Identity::ours().email;
        text.push_str(&format!(
            "Co-authored-by: {} on {} <{email}>\n",
            task.clone, task.brain
        ));
    }
    text
}

/// Who stands in a commit. Where git knows no user, it is git-khlone in any case.
fn identity(repo: &Repo, party: Party) -> Identity {
    let user = || repo.user().map(|(name, email)| Identity { name, email });
    match party {
        Party::You => user().unwrap_or_else(Identity::ours),
        Party::Khlone => Identity::ours(),
    }
}
