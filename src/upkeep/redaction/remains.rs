//! What still holds a secret after all that is ours was written anew, and what its owner can do about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::Serialize;

use super::{RedactionError, Redactor};
use crate::{
    process::{Cmd, ProcessError},
    refs::{self, Ledger, Oid, Repo, task_ref},
    task::{Task, TaskId},
};

/// So many commits are named.
const COMMITS: usize = 20;
/// The largest file of a brain's own that is looked into.
const LARGEST: u64 = 64 << 20;

/// Something that still holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Remains {
    /// What it is.
    pub what: String,
    /// What can be done.
    pub next: String,
}

/// Finds what holds the objects that are left, and what the clone's brain keeps for itself.
pub(super) fn look(
    ledger: &Ledger<'_>,
    task: &Task,
    redactor: &Redactor,
    left: &BTreeSet<Oid>,
) -> Result<Vec<Remains>, RedactionError> {
    let mut found = Vec::new();
    let repo = ledger.repo();
    let mut unexplained = left.clone();
    if !left.is_empty() {
        let heads = ledger.heads()?.into_iter();
        let heads: BTreeMap<String, TaskId> = heads.map(|head| (task_ref(&head.id), head.id)).collect();
        let names: Vec<String> = heads.keys().cloned().collect();
        for name in holders(repo, left, &names, &mut unexplained)? {
            found.extend(heads.get(&name).map(|id| other_task(id, task)));
        }
        found.extend(undos(repo, left, &mut unexplained)?);
        found.extend(commits(repo, left, &mut unexplained)?);
    }
    if !unexplained.is_empty() {
        found.push(Remains {
            what: format!("{} objects that no branch names", unexplained.len()),
            next: "git reflog expire --expire=now --all && git gc --prune=now".to_owned(),
        });
    }
    let folder = ledger.site().layout().brain(&task.zone, &task.clone);
    let mut files = Vec::new();
    search(&folder, redactor, &mut files);
    found.extend(files.into_iter().map(|file| Remains {
        what: format!("{file}, the brain's own session"),
        next: format!("rm {}", shlex::try_quote(&file).unwrap_or_default()),
    }));
    Ok(found)
}

/// Which of `names` reach one of `left`; what they reach is explained. Found by halves: most hold none of them, and one
/// git that looks at all is much cheaper than one for each.
fn holders(
    repo: &Repo,
    left: &BTreeSet<Oid>,
    names: &[String],
    unexplained: &mut BTreeSet<Oid>,
) -> Result<Vec<String>, ProcessError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    let held = refs::reached(repo, left, &words)?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    if let [name] = names {
        unexplained.retain(|oid| !held.contains(oid));
        return Ok(vec![name.clone()]);
    }
    let (first, second) = names.split_at(names.len() / 2);
    let mut found = holders(repo, &held, first, unexplained)?;
    found.append(&mut holders(repo, &held, second, unexplained)?);
    Ok(found)
}

fn other_task(id: &TaskId, task: &Task) -> Remains {
    if *id == task.id {
        // A file's name, or a commit that a snapshot names.
        return Remains {
            what: format!("names of files in snapshots of {id}"),
            next: format!("git update-ref -d {}", task_ref(id)),
        };
    }
    Remains {
        what: format!("task {id}"),
        next: format!("git khlone redact {id}"),
    }
}

/// What destructive verbs saved.
fn undos(
    repo: &Repo,
    left: &BTreeSet<Oid>,
    unexplained: &mut BTreeSet<Oid>,
) -> Result<Vec<Remains>, RedactionError> {
    let mut names = Vec::new();
    for name in repo.git().references_glob("refs/khlone/undo/*/state")?.names() {
        names.push(name?.to_owned());
    }
    let holders = holders(repo, left, &names, unexplained)?.into_iter();
    let remains = holders.map(|name| Remains {
        what: format!("{name}, what a verb has saved"),
        next: format!("git update-ref -d {name}"),
    });
    Ok(remains.collect())
}

/// Commits that hold it, with a branch that each is on.
fn commits(
    repo: &Repo,
    left: &BTreeSet<Oid>,
    unexplained: &mut BTreeSet<Oid>,
) -> Result<Vec<Remains>, ProcessError> {
    let everything = [
        "--branches",
        "--tags",
        "--remotes",
        "--glob=refs/stash",
        "--glob=refs/khlone/pins",
    ];
    let held = refs::reached(repo, left, &everything)?;
    unexplained.retain(|oid| !held.contains(oid));
    let git = || Cmd::git(repo.common_dir());
    let mut named = BTreeSet::new();
    for oid in held.iter().take(COMMITS) {
        let listed = git()
            .args(["log", "-m", "--encoding=UTF-8", "--format=%H"])
            .args(everything)
            .arg(format!("--find-object={oid}"))
            .output()?;
        named.extend(String::from_utf8_lossy(&listed).lines().map(str::to_owned));
        // One whose message holds it is itself the object.
        if repo.git().find_commit(*oid).is_ok() {
            named.insert(oid.to_string());
        }
    }
    let mut found = Vec::new();
    for commit in named.iter().take(COMMITS) {
        let on = git()
            .args([
                "for-each-ref",
                "--count=3",
                "--format=%(refname:short)",
                "--contains",
                commit,
            ])
            .args(["refs/heads", "refs/remotes", "refs/tags", "refs/khlone/pins"])
            .output()?;
        let on: Vec<_> = String::from_utf8_lossy(&on).lines().map(str::to_owned).collect();
        found.push(Remains {
            what: format!("commit {} ({})", &commit[..10.min(commit.len())], on.join(", ")),
            next: format!("git show --stat {commit}    # it is yours to rewrite, and to revoke the secret"),
        });
    }
    if named.len() > COMMITS || held.len() > COMMITS {
        found.push(Remains {
            what: "further commits".to_owned(),
            next: "git khlone redact again, when these are gone".to_owned(),
        });
    }
    Ok(found)
}

/// Files below a folder of a brain's that hold it; links are not followed.
fn search(folder: &Path, redactor: &Redactor, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(data)) = (entry.path(), entry.metadata()) else {
            continue;
        };
        if data.is_dir() {
            search(&path, redactor, found);
        } else if data.is_file() && data.len() <= LARGEST {
            let bytes = fs::read(&path).unwrap_or_default();
            if redactor.redact_bytes(&bytes).is_some() {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
}
