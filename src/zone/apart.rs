//! What of a clone no saved state can hold, and is moved aside as it is before its worktree goes: repositories inside of
//! the worktree, files too large for an object or unreadable, and git folders of submodules and worktrees that it has.
//!
//! An ignored repository without commits of its own is an ignored folder like others: small files of it are saved.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bstr::{BString, ByteSlice};

use crate::{
    process::ProcessError,
    refs::{Crew, KeptApart, Ledger, Origin},
    task::ZoneId,
    worktree::{
        apart::Places,
        checkout::Checkout,
        effects::path_text,
        include::copied_paths,
        nested::{self, Git, Nested},
        snapshot::{EntryKind, Manifest},
    },
};

/// Git folders of what a brain has made for itself in its private git folder.
const MADE: [&str; 2] = ["git/modules", "git/worktrees"];
/// Those of submodules, in a worktree's own git folder.
const MODULES: &str = "modules";

/// Where the things of a clone are, and where saved state `n` has them.
pub(crate) fn places<'a>(
    ledger: &Ledger<'_>,
    (zone, crew): (&ZoneId, &Crew),
    checkout: &'a Checkout,
    n: u64,
) -> Places<'a> {
    let layout = ledger.site().layout();
    Places {
        checkout,
        private: layout.private_git(zone, &crew.name),
        store: layout.apart_of(n, &crew.name),
    }
}

/// What is to be moved aside.
///
/// # Errors
/// If the worktree cannot be read.
pub(crate) fn apart(
    ledger: &Ledger<'_>,
    (zone, crew): (&ZoneId, &Crew),
    checkout: &Checkout,
    manifest: &Manifest,
) -> Result<Vec<KeptApart>, ProcessError> {
    let private = ledger.site().layout().private_git(zone, &crew.name);
    let mut paths = repositories(checkout, manifest, &private)?;
    let is_no_object =
        |kind: EntryKind| matches!(kind, EntryKind::Large | EntryKind::Unreadable | EntryKind::Fifo);
    let entries = manifest.entries();
    let others = entries.filter(|(_, entry)| !entry.ignored && is_no_object(entry.kind));
    paths.extend(others.map(|(path, _)| path));
    let is_inside = |path: &BString| {
        path.rfind_iter("/")
            .any(|at| paths.contains(path[..at].as_bstr()))
    };
    let outermost = paths.iter().filter(|path| !is_inside(path));
    let mut apart: Vec<_> = outermost
        .map(|path| KeptApart {
            origin: Origin::Worktree,
            path: path_text(path),
        })
        .collect();
    let is_filled = |dir: PathBuf| fs::read_dir(dir).is_ok_and(|mut inside| inside.next().is_some());
    if is_filled(checkout.git_dir.join(MODULES)) {
        apart.push(KeptApart {
            origin: Origin::Git,
            path: MODULES.to_owned(),
        });
    }
    if MADE.iter().any(|name| is_filled(private.join(name))) {
        apart.push(KeptApart {
            origin: Origin::Private,
            path: String::new(),
        });
    }
    Ok(apart)
}

/// The repositories of a worktree that go with it and come with it, each with its folder; where that has files of the
/// clone's branch, its git folder alone.
fn repositories(
    checkout: &Checkout,
    manifest: &Manifest,
    private: &Path,
) -> Result<BTreeSet<BString>, ProcessError> {
    let found = own(checkout)?;
    if found.is_empty() {
        return Ok(BTreeSet::new());
    }
    let tracked = checkout.git().args(["ls-files", "-z"]).output()?;
    let tracked: BTreeSet<&[u8]> = tracked.split_str(b"\0").collect();
    let has_tracked = |path: &BString| {
        let below = [path.as_slice(), b"/"].concat();
        let mut after = tracked.range(below.as_slice()..);
        after.next().is_some_and(|next| next.starts_with(&below))
    };
    let homes = [private, &checkout.git_dir].map(|dir| dir.canonicalize().unwrap_or_else(|_| dir.into()));
    let mut paths = BTreeSet::new();
    for repo in found {
        let goes = match &repo.git {
            Git::Elsewhere(path) => homes.iter().any(|home| path.starts_with(home)),
            Git::Inside | Git::Bare => true,
        };
        let git_dir = repo.git_dir(&checkout.path);
        let is_ignored = is_ignored(manifest, &repo.path);
        if !goes || is_ignored && !nested::has_own_commits(&git_dir, None) {
            continue;
        }
        let is_among = repo.git == Git::Inside && has_tracked(&repo.path);
        paths.insert(if is_among {
            [repo.path.as_slice(), b"/.git"].concat().into()
        } else {
            repo.path
        });
    }
    Ok(paths)
}

/// The repositories in a worktree, less what was copied into it: the main checkout has that.
///
/// # Errors
/// If the worktree cannot be read.
pub(crate) fn own(checkout: &Checkout) -> Result<Vec<Nested>, ProcessError> {
    let found = nested::find(&checkout.path).map_err(|source| ProcessError::Spawn {
        program: checkout.path.display().to_string(),
        source,
    })?;
    let copied: Vec<BString> = copied_paths(checkout)
        .iter()
        .map(|path| path.as_os_str().as_bytes().into())
        .collect();
    let is_copied = |repo: &Nested| {
        let mut rests = copied
            .iter()
            .filter_map(|top| repo.path.strip_prefix(top.as_slice()));
        rests.any(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    Ok(found.into_iter().filter(|repo| !is_copied(repo)).collect())
}

fn is_ignored(manifest: &Manifest, path: &[u8]) -> bool {
    let is_marked = |path: &[u8]| manifest.entry(path).is_some_and(|entry| entry.ignored);
    is_marked(path) || path.rfind_iter("/").any(|at| is_marked(&path[..at]))
}
