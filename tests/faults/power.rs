//! A power cut while a task is being queued: what was written and not synced is gone. The order of writes, renames
//! and syncs is strace's record of a real `act`; after each of them the power fails once, and the repository is made
//! as a disk could show it then: files without their unsynced bytes, names that no synced folder holds gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use git_khlone::{
    process::{Cmd, FileLock},
    refs::{Ledger, Repo, Site},
    task::TaskId,
    upkeep::fsck::fsck,
};

use crate::{inject::record, rig::Rig, tools::has};

/// What a disk holds for certain, and what only memory knows.
#[derive(Default, Clone)]
struct Disk {
    /// New names whose folder has not been synced since.
    names: BTreeSet<PathBuf>,
    /// Files with bytes that have not been synced.
    dirty: BTreeSet<PathBuf>,
    /// Everything that is new since the beginning and there now.
    new: BTreeSet<PathBuf>,
}

impl Disk {
    fn made(&mut self, path: &Path) {
        self.names.insert(path.to_owned());
        self.new.insert(path.to_owned());
    }

    fn gone(&mut self, path: &Path) {
        for set in [&mut self.names, &mut self.dirty, &mut self.new] {
            set.remove(path);
        }
    }

    fn synced(&mut self, path: &Path, is_folder: bool) {
        if is_folder {
            self.names.retain(|name| name.parent() != Some(path));
        } else {
            self.dirty.remove(path);
        }
    }

    fn renamed(&mut self, from: &Path, to: &Path) {
        let dirty = self.dirty.contains(from);
        self.gone(from);
        self.made(to);
        if dirty {
            self.dirty.insert(to.to_owned());
        }
    }

    /// New files and folders that a cut would take, also for what stands in a folder that goes.
    fn lost(&self) -> Vec<&PathBuf> {
        let goes =
            |path: &PathBuf| self.dirty.contains(path) || path.ancestors().any(|up| self.names.contains(up));
        self.new.iter().filter(|path| goes(path)).collect()
    }
}

/// One line of strace with paths: the call, its paths in order, and whether it succeeded.
fn parse(line: &str) -> Option<(&str, Vec<PathBuf>, bool)> {
    let (name, rest) = line.split_once('(')?;
    let (args, result) = rest.rsplit_once(" = ")?;
    let mut paths = Vec::new();
    let mut rest = args;
    while let Some(at) = rest.find(['"', '<']) {
        let close = if rest.as_bytes()[at] == b'"' { '"' } else { '>' };
        let (path, after) = rest[at + 1..].split_once(close)?;
        paths.push(PathBuf::from(path));
        rest = after;
    }
    if let Some((_, path)) = result.split_once('<') {
        paths.push(PathBuf::from(path.trim_end_matches('>')));
    }
    Some((name, paths, !result.starts_with('-')))
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    if !has("strace") {
        return;
    }
    let rig = Rig::new();
    // Nothing of ours yet below `refs`, as in a repository's first act, or after `git pack-refs`.
    rig.work.git(&["pack-refs", "--all", "--prune"]);
    drop(fs::remove_dir_all(rig.common().join("refs/khlone")));
    rig.save();
    rig.stop();
    // No daemon starts, whose runner would write on where `act` has written.
    let alone = FileLock::wait(&rig.common().join("khlone/daemon.lock")).unwrap();
    let (id, log) = record(&rig, &["act", "--who", "@shell++", "-m", "true"]);
    let id: TaskId = id.parse().unwrap();
    let (mut disk, mut cuts, mut acknowledged) = (Disk::default(), Vec::new(), false);
    let common = rig.common();
    let content = contents(&log, &common);
    drop(alone);
    for line in log.lines() {
        // Killed once it had answered: strace has not seen the end of it.
        acknowledged |= line.starts_with("write(1<");
        let Some((name, paths, true)) = parse(line) else {
            continue;
        };
        let first = paths.first().cloned().unwrap_or_default();
        match name {
            "openat" if line.contains("O_CREAT") => disk.made(paths.last().unwrap()),
            "write" if line.starts_with("write(1<") => {}
            "write" | "pwrite64" | "ftruncate" => drop(disk.dirty.insert(first)),
            "fsync" | "fdatasync" => disk.synced(&first, first.is_dir()),
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => {
                let named: Vec<_> = paths
                    .iter()
                    .filter(|path| path.is_absolute() && !path.is_dir())
                    .collect();
                disk.renamed(named[0], named[named.len() - 1]);
            }
            "mkdir" | "mkdirat" => disk.made(paths.last().unwrap()),
            "unlink" | "unlinkat" | "rmdir" => disk.gone(paths.last().unwrap()),
            _ => continue,
        }
        cuts.push((disk.clone(), acknowledged, line.to_owned()));
    }
    cuts.push((disk, acknowledged, "the answer".to_owned()));
    assert!(acknowledged && cuts.len() > 20, "{log}");
    // Every third, and the last: between two of them little happens.
    for (disk, acknowledged, line) in cuts.into_iter().rev().step_by(3) {
        rig.restore();
        for path in disk.new.iter().filter(|path| path.starts_with(&common)) {
            match content.get(path) {
                Some(bytes) => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
                None => fs::create_dir_all(path).unwrap(),
            }
        }
        for path in disk.lost().into_iter().filter(|path| path.starts_with(&common)) {
            drop(fs::remove_file(path));
        }
        let repo = Repo::open(&common).unwrap();
        let site = Site::open(&repo, &git_khlone::process::machine_id()).unwrap();
        let ledger = Ledger::new(&repo, &site);
        assert!(
            !acknowledged || ledger.task(&id).is_ok(),
            "{id} was acknowledged and is lost; cut after {line}"
        );
        let problems: Vec<_> = fsck(&ledger, &|_, _| {})
            .unwrap()
            .problems
            .into_iter()
            .filter(|problem| problem.remedy.is_none())
            .collect();
        assert_eq!(problems, [], "cut after {line}");
        Cmd::git(&common).args(["fsck", "--strict"]).output().unwrap();
    }
}

/// What each file that was written held in the end, by every name that it had.
fn contents(log: &str, common: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut names: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for (name, paths, _) in log.lines().filter_map(parse).filter(|(_, _, ok)| *ok) {
        let files: Vec<_> = paths
            .iter()
            .filter(|path| path.starts_with(common) && !path.is_dir())
            .cloned()
            .collect();
        if name.starts_with("rename") && files.len() >= 2 {
            names.insert(files[0].clone(), files[files.len() - 1].clone());
        }
        all.extend(files);
    }
    let read = |path: &PathBuf| {
        let last = std::iter::successors(Some(path), |path| names.get(*path))
            .last()
            .unwrap_or(path);
        fs::read(last).ok()
    };
    all.iter()
        .filter_map(|path| Some((path.clone(), read(path)?)))
        .collect()
}
