//! `uninstall`: what git-khlone has in a repository goes, and plain git is left. All that was stored goes into one bundle
//! first, from which it can be fetched again.
//!
//! Killed at any point, the same command finishes it: worktrees go by the removal of their zones, which saves each; the
//! bundle stands, checked and synced, before the first ref goes; the site's folder goes last.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use git2::Oid;

use crate::{
    process::{Cmd, ProcessError, fault::point},
    refs::{Ledger, LedgerError, NOTES, StoredZone, delete_ref, keep_no_packs, update_ref},
    task::{TaskId, explain},
    upkeep::removal::{RemovalError, Stake, remove_for, stakes},
    worktree::{carry::quoted, erase::erase},
};

/// Where branches that are to stay are noted while their zones go.
const STAYING: &str = "refs/khlone/staying/";
/// Under which verb the zones are saved that go.
const VERB: &str = "uninstall";
const OURS: &str = "refs/khlone/";
const HEADS: &str = "refs/heads/";

/// How long packing everything may take.
const LONG: Duration = Duration::from_secs(3600);

/// What is wanted.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The file that gets everything that was stored.
    pub bundle: &'a Path,
    /// Whether the user named it.
    pub named: bool,
    /// Whether the branches of clones stay.
    pub keep_branches: bool,
    /// Whether also what is not landed, not committed or not over goes, into the bundle.
    pub force: bool,
}

impl Wish<'_> {
    /// The same command again, with the bundle at `bundle`, where one is to be named.
    fn again(&self, bundle: Option<&Path>) -> String {
        let mut again = "git khlone uninstall".to_owned();
        if self.keep_branches {
            again += " --keep-branches";
        }
        if self.force {
            again += " --force";
        }
        bundle.map_or(again.clone(), |path| format!("{again} --bundle {}", quoted(path)))
    }

    /// The same command again.
    fn same(&self) -> String {
        self.again(self.named.then_some(self.bundle))
    }

    /// That something would be lost.
    fn at_stake(&self, what: &RemovalError) -> UninstallError {
        UninstallError::AtStake {
            what: what.to_string(),
            again: self.same(),
        }
    }

    /// That `path` is taken; another one is free.
    fn exists(&self, path: PathBuf) -> UninstallError {
        let mut other = self.bundle.as_os_str().to_owned();
        other.push(".2");
        let again = self.again(Some(Path::new(&other)));
        UninstallError::Exists { path, again }
    }
}

/// What went.
#[derive(Debug)]
pub struct Uninstalled {
    /// The bundle, if there was anything to put into it.
    pub bundle: Option<PathBuf>,
    /// Folders that no bundle can hold, put beside it: repositories inside of worktrees and the like.
    pub apart: Option<PathBuf>,
    /// How many tasks were stored.
    pub tasks: usize,
    /// Branches of clones that are there now.
    pub branches: Vec<String>,
    /// The commands that bring everything back, in their order.
    pub back: Vec<String>,
}

/// A repository from which nothing or not everything went.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// Work would be called off.
    #[error("{count} {tasks} not over, {first} for one", tasks = if *.count == 1 { "task is" } else { "tasks are" })]
    Open {
        /// How many.
        count: usize,
        /// One of them.
        first: TaskId,
        /// The command.
        again: String,
    },
    /// Something would go that is nowhere else.
    #[error("{what}")]
    AtStake {
        /// What.
        what: String,
        /// The command.
        again: String,
    },
    /// The bundle would replace something.
    #[error("{path} is there already", path = .path.display())]
    Exists {
        /// What.
        path: PathBuf,
        /// The command, with another bundle.
        again: String,
    },
    /// A command that ran meanwhile stored something.
    #[error("{name} came meanwhile")]
    News {
        /// Its ref.
        name: String,
        /// The command.
        again: String,
    },
    /// A zone's clones stay.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// git refuses.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The disk refuses.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

explain! {
    UninstallError {
        transparent { Removal, Ledger, Process }
        Refused {
            Open { again, .. } | AtStake { again, .. } =>
                format!("{again} --force    # all of it goes into the bundle"),
            Exists { again, .. } | News { again, .. } => again.clone(),
        }
        Failed { Io }
    }
}

/// Looks at what would refuse it; nothing has changed yet.
///
/// # Errors
/// [`UninstallError::Open`], [`UninstallError::Exists`], [`UninstallError::AtStake`].
pub fn check(ledger: &Ledger<'_>, wish: &Wish<'_>) -> Result<(), UninstallError> {
    let mut open = ledger.open_heads()?;
    let site = &ledger.site().owner().site_uuid;
    open.retain(|head| head.site_uuid == *site && (!wish.force || head.status.is_active()));
    if let Some(active) = open.iter().find(|head| head.status.is_active()) {
        return Err(RemovalError::Active(active.id.clone(), active.status).into());
    }
    if let Some(first) = open.first() {
        return Err(UninstallError::Open {
            count: open.len(),
            first: first.id.clone(),
            again: wish.same(),
        });
    }
    let stored = refs(ledger, &[OURS, NOTES])?;
    let is_there = fs::symlink_metadata(wish.bundle).is_ok();
    if is_there && !stored.is_empty() && !is_of(ledger, wish.bundle, &stored)? {
        return Err(wish.exists(wish.bundle.to_owned()));
    }
    for zone in ledger.readable_zones()?.into_iter().filter(|_| !wish.force) {
        let mut stakes = stakes(ledger, &zone)?;
        stakes.retain(Stake::is_something);
        if !stakes.is_empty() {
            let (zone, only) = (zone.zone.branch, None);
            return Err(wish.at_stake(&RemovalError::AtStake { stakes, zone, only }));
        }
    }
    Ok(())
}

/// Takes everything away. No daemon of the site may run.
///
/// # Errors
/// [`UninstallError`]; what has gone until then is in the bundle or in saved states, and the same command goes on.
pub fn uninstall(ledger: &Ledger<'_>, wish: &Wish<'_>) -> Result<Uninstalled, UninstallError> {
    check(ledger, wish)?;
    let tasks = ledger.heads()?.len();
    let zones = ledger.readable_zones()?;
    if wish.keep_branches {
        note_branches(ledger, &zones)?;
    }
    point("staying", "");
    for zone in &zones {
        remove_for(ledger, VERB, &zone.zone.id, wish.force).map_err(|error| match error {
            at_stake @ RemovalError::AtStake { .. } => wish.at_stake(&at_stake),
            other => other.into(),
        })?;
    }
    let branches = back_in_place(ledger)?;
    let stored = refs(ledger, &[OURS, NOTES])?;
    let bundle = (!stored.is_empty()).then(|| wish.bundle.to_owned());
    let back = way_back(ledger, wish)?;
    if !stored.is_empty() {
        // One that was killed here before has made it.
        if !is_of(ledger, wish.bundle, &stored)? {
            let kept = branches.iter().map(|branch| format!("{HEADS}{branch}"));
            let names = stored.iter().map(|(name, _)| name.clone()).chain(kept);
            bundled(ledger, names, wish)?;
        }
        point("bundled", "");
        delete_all(ledger, &stored)?;
        point("refs-deleted", "");
        if let Some((name, _)) = refs(ledger, &[OURS])?.into_iter().next() {
            let again = wish.same();
            return Err(UninstallError::News { name, again });
        }
    }
    let apart = put_aside(ledger, wish)?;
    let dir = ledger.site().dir();
    keep_no_packs(ledger.site()).map_err(|source| io_at(dir, source))?;
    point("emptied", "");
    erase(dir).map_err(|source| io_at(dir, source))?;
    // Last: by it the same command knows whose it was, if it is killed.
    let beside = ledger.site().beside();
    erase(&beside).map_err(|source| io_at(&beside, source))?;
    // Only where it is empty, as git does it.
    drop(fs::remove_dir(ledger.repo().common_dir().join("worktrees")));
    Ok(Uninstalled {
        bundle,
        apart,
        tasks,
        branches,
        back,
    })
}

/// The commands that bring back what goes, by what is stored: empty if nothing is, or if it is in the bundle already.
fn way_back(ledger: &Ledger<'_>, wish: &Wish<'_>) -> Result<Vec<String>, UninstallError> {
    let stored = refs(ledger, &[OURS, NOTES])?;
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    // With fetch.prune, git would delete every other ref.
    let fetch = format!("git fetch --no-prune {} 'refs/*:refs/*'", quoted(wish.bundle));
    let mut back = vec![fetch];
    let site = &ledger.site().owner().site_uuid;
    if ledger.heads()?.iter().any(|head| head.site_uuid == *site) {
        // The repository is another site from now on.
        back.push(format!("git khlone sites adopt {site} --force"));
    }
    if has_apart(ledger) {
        let apart = ledger.site().layout().apart();
        let folder = quoted(ledger.site().dir());
        back.push(format!(
            "mkdir -p {folder} && mv {} {}",
            quoted(&aside(wish)),
            quoted(&apart)
        ));
    }
    let saved = ledger.undos()?.into_iter().map(|(undo, _)| undo);
    let ours = saved.filter(|undo| undo.verb == VERB);
    back.extend(ours.map(|undo| format!("git khlone undo {}", undo.n)));
    Ok(back)
}

/// Notes where the branches of clones stand, which go with their zones.
fn note_branches(ledger: &Ledger<'_>, zones: &[StoredZone]) -> Result<(), UninstallError> {
    let repo = ledger.repo();
    for member in zones.iter().flat_map(|zone| zone.crew.values()) {
        let tip = repo
            .ref_target(&format!("{HEADS}{}", member.branch))
            .map_err(LedgerError::from)?;
        let note = format!("{STAYING}{}", member.branch);
        let noted = repo.ref_target(&note).map_err(LedgerError::from)?;
        if let Some(tip) = tip.filter(|tip| Some(*tip) != noted) {
            update_ref(repo, &note, noted, tip).map_err(LedgerError::from)?;
        }
    }
    Ok(())
}

/// Makes the branches that were noted again.
fn back_in_place(ledger: &Ledger<'_>) -> Result<Vec<String>, UninstallError> {
    let repo = ledger.repo();
    let mut branches = Vec::new();
    for (name, tip) in refs(ledger, &[STAYING])? {
        let branch = name.trim_start_matches(STAYING).to_owned();
        let full = format!("{HEADS}{branch}");
        if repo.ref_target(&full).map_err(LedgerError::from)?.is_none() {
            update_ref(repo, &full, None, tip).map_err(LedgerError::from)?;
        }
        delete_ref(repo, &name, tip).map_err(LedgerError::from)?;
        branches.push(branch);
    }
    Ok(branches)
}

/// The refs below these names, with what they point at.
fn refs(ledger: &Ledger<'_>, below: &[&str]) -> Result<Vec<(String, Oid)>, UninstallError> {
    let form = "--format=%(objectname) %(refname)";
    let git = Cmd::git(ledger.repo().common_dir()).args(["for-each-ref", form]);
    let said = String::from_utf8_lossy(&git.args(below).output()?).into_owned();
    let line = |line: &str| {
        let (oid, name) = line.split_once(' ')?;
        Some((name.to_owned(), oid.parse().ok()?))
    };
    Ok(said.lines().filter_map(line).collect())
}

/// Whether a bundle is there that has these refs as they are now.
fn is_of(ledger: &Ledger<'_>, path: &Path, stored: &[(String, Oid)]) -> Result<bool, UninstallError> {
    let git = || Cmd::git(ledger.repo().common_dir()).patience(LONG).arg("bundle");
    if !path.is_file() {
        return Ok(false);
    }
    let heads = git().arg("list-heads").arg(path).finish()?;
    let heads = String::from_utf8_lossy(&heads.stdout).into_owned();
    let has = |(name, oid): &(String, Oid)| heads.lines().any(|line| line == format!("{oid} {name}"));
    Ok(stored.iter().all(has) && git().args(["verify", "-q"]).arg(path).finish()?.status.success())
}

/// One bundle of these refs, whole and durable, at a path where nothing is.
fn bundled(
    ledger: &Ledger<'_>,
    names: impl Iterator<Item = String>,
    wish: &Wish<'_>,
) -> Result<(), UninstallError> {
    let path = wish.bundle;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let io = |source| io_at(path, source);
    let mut new = path.as_os_str().to_owned();
    new.push(".part");
    let new = PathBuf::from(new);
    // Of one that was killed.
    erase(&new).map_err(io)?;
    let git = || Cmd::git(ledger.repo().common_dir()).patience(LONG);
    let names: String = names.map(|name| name + "\n").collect();
    git()
        .args(["bundle", "create", "-q"])
        .arg(&new)
        .arg("--stdin")
        .input(names)
        .output()?;
    git().args(["bundle", "verify", "-q"]).arg(&new).output()?;
    fs::File::open(&new)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    // A link, not a rename: what came to be there meanwhile stays.
    match fs::hard_link(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(wish.exists(path.to_owned()));
        }
        Ok(()) => fs::remove_file(&new).map_err(io)?,
        // A filesystem without links.
        Err(_) => fs::rename(&new, path).map_err(io)?,
    }
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io)
}

/// Deletes refs as they were read, all or none.
fn delete_all(ledger: &Ledger<'_>, stored: &[(String, Oid)]) -> Result<(), UninstallError> {
    let lines: String = stored
        .iter()
        .map(|(name, oid)| format!("delete {name} {oid}\n"))
        .collect();
    let git = Cmd::git(ledger.repo().common_dir()).args(["update-ref", "--stdin"]);
    git.input(lines).output()?;
    Ok(())
}

/// What saved states have beside objects, next to the bundle.
fn put_aside(ledger: &Ledger<'_>, wish: &Wish<'_>) -> Result<Option<PathBuf>, UninstallError> {
    if !has_apart(ledger) {
        return Ok(None);
    }
    let (apart, to) = (ledger.site().layout().apart(), aside(wish));
    if fs::symlink_metadata(&to).is_ok() {
        return Err(wish.exists(to));
    }
    match fs::rename(&apart, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            Cmd::new("cp")
                .arg("-a")
                .arg(&apart)
                .arg(&to)
                .patience(LONG)
                .output()?;
        }
        Err(source) => return Err(io_at(&to, source)),
    }
    Ok(Some(to))
}

/// Whether saved states have something beside objects.
fn has_apart(ledger: &Ledger<'_>) -> bool {
    fs::read_dir(ledger.site().layout().apart()).is_ok_and(|mut entries| entries.next().is_some())
}

/// Where that goes.
fn aside(wish: &Wish<'_>) -> PathBuf {
    let mut to = wish.bundle.as_os_str().to_owned();
    to.push(".apart");
    to.into()
}

fn io_at(path: &Path, source: io::Error) -> UninstallError {
    UninstallError::Io {
        path: path.to_owned(),
        source,
    }
}
