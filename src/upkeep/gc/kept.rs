//! Commits of submodules that tasks have made: pinned in the submodule's git folder of the main checkout, as long as
//! something of the repository names them and no remote has them.
//!
//! What names one is a commit of any ref or reflog. A task under way has not committed yet, so that only what is old goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bstr::ByteSlice;

use super::{Collected, GcError};
use crate::{
    guard::gitdir::submodules::KEPT,
    process::Cmd,
    refs::{Ledger, Oid},
};

/// How long git may look for what names them.
const PATIENCE: Duration = Duration::from_mins(10);
/// How deep submodules of submodules are looked at.
const DEPTH: usize = 8;

/// Drops the pins of commits that nothing needs any more, of before `before`.
pub(super) fn kept(
    ledger: &Ledger<'_>,
    before: SystemTime,
    dry_run: bool,
    collected: &mut Collected,
) -> Result<(), GcError> {
    let common = ledger.repo().common_dir();
    let mut modules = Vec::new();
    find(&common.join("modules"), DEPTH, &mut modules)?;
    let mut old: BTreeMap<PathBuf, Vec<Oid>> = BTreeMap::new();
    for module in &modules {
        let pins = pins(module, before)?;
        if !pins.is_empty() {
            old.insert(module.clone(), pins);
        }
    }
    if old.is_empty() {
        return Ok(());
    }
    // What a submodule's own commits name is kept with these.
    let mut named = named(common)?;
    for module in &modules {
        named.extend(self::named(module)?);
    }
    for (module, pins) in old {
        for commit in pins {
            let id = commit.to_string();
            let remote = ["for-each-ref", "--count=1", "--contains", &id, "refs/remotes"];
            let is_pushed = !Cmd::git(&module).args(remote).output()?.is_empty();
            if named.contains(&commit) && !is_pushed {
                continue;
            }
            if !dry_run {
                let name = format!("{KEPT}{id}");
                Cmd::git(&module)
                    .args(["update-ref", "-d", &name, &id])
                    .output()?;
            }
            collected.submodules.push(commit);
        }
    }
    Ok(())
}

/// The git folders of submodules below `dir`; a name may have slashes.
fn find(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        let is_git_dir = path.join("HEAD").is_file() && path.join("objects").is_dir();
        let deeper = if is_git_dir {
            path.join("modules")
        } else {
            path.clone()
        };
        if is_git_dir {
            found.push(path);
        }
        if depth > 0 {
            find(&deeper, depth - 1, found)?;
        }
    }
    Ok(())
}

/// The commits that are pinned in `module` since before `before`. A pin that git has packed counts as old.
fn pins(module: &Path, before: SystemTime) -> Result<Vec<Oid>, GcError> {
    let git = Cmd::git(module).args(["for-each-ref", "--format=%(objectname)", KEPT]);
    let out = git.output()?;
    let all = out.lines().filter_map(|line| line.to_str().ok()?.parse().ok());
    let is_young = |commit: &Oid| {
        let meta = fs::metadata(module.join(format!("{KEPT}{commit}")));
        meta.and_then(|meta| meta.modified()).is_ok_and(|at| at >= before)
    };
    Ok(all.filter(|commit| !is_young(commit)).collect())
}

/// All commits of submodules that any commit of the repository at `git_dir` names.
fn named(git_dir: &Path) -> Result<BTreeSet<Oid>, GcError> {
    let git = Cmd::git(git_dir).args(["-c", "log.showRoot=true", "-c", "log.showSignature=false"]);
    let git = git.args([
        "log",
        "--all",
        "--reflog",
        "-m",
        "--raw",
        "--no-abbrev",
        "--no-renames",
    ]);
    let git = git.args(["--ignore-submodules=none", "--no-color", "--format="]);
    let out = git.patience(PATIENCE).capture(1 << 30).output()?;
    let links = out.lines().filter_map(|line| {
        let mut words = line.strip_prefix(b":")?.split_str(b" ");
        let (_, mode, _, oid) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let is_link = mode == b"160000";
        is_link.then(|| std::str::from_utf8(oid).ok()?.parse().ok())?
    });
    Ok(links.collect())
}
