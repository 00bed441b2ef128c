//! A repository to take snapshots of.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use git2::Oid;
use tempfile::TempDir;

use super::{
    receipt::{Receipt, take_receipt},
    snapshot::{Limits, Manifest, Snapshot, Source, decode, snapshot},
};
use crate::{
    process::Cmd,
    refs::{Kind, MemorySink, ObjectSink, Repo},
};

/// A repository with a linked worktree, and the objects of the snapshots taken of it.
pub(crate) struct Lab {
    dir: TempDir,
    pub(crate) repo: Repo,
    pub(crate) sink: MemorySink,
}

impl Lab {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main");
        fs::create_dir(&main).unwrap();
        git_in(&main, &["init", "-q", "-b", "main"]);
        for (name, text) in files {
            write(&main, name, text);
        }
        git_in(&main, &["add", "-A", "-f"]);
        git_in(&main, &["commit", "-q", "--allow-empty", "-m", "first"]);
        git_in(&main, &["worktree", "add", "-q", "-b", "work", "../work"]);
        let repo = Repo::open(&main.join(".git")).unwrap();
        let lab = Self {
            dir,
            repo,
            sink: MemorySink::default(),
        };
        lab.settle();
        lab
    }

    /// The linked worktree.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.repo.common_dir().join("worktrees/work/index")
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(&self.work(), args)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        write(&self.work(), name, text);
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.work().join(name)).unwrap();
    }

    pub(crate) fn head(&self) -> Oid {
        Oid::from_str(&self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    /// Waits until the clock has left the tick in which the files were written.
    pub(crate) fn pass_tick(&self) {
        let probe = self.dir.path().join("probe");
        let stamp = || {
            fs::write(&probe, "").unwrap();
            fs::metadata(&probe).unwrap().modified().unwrap()
        };
        let first = stamp();
        while stamp() <= first + std::time::Duration::from_millis(60) {}
    }

    /// Passes a tick and has git look at the files again.
    pub(crate) fn settle(&self) {
        self.pass_tick();
        self.git(&["update-index", "-q", "--refresh"]);
        self.git(&["read-tree", "HEAD"]);
        self.git(&["update-index", "-q", "--refresh"]);
    }

    pub(crate) fn snap(&mut self, previous: Option<&Manifest>) -> Snapshot {
        self.snap_within(&Limits::default(), previous)
    }

    pub(crate) fn snap_within(&mut self, limits: &Limits, previous: Option<&Manifest>) -> Snapshot {
        let (work, index) = (self.work(), self.index());
        let source = Source {
            work_dir: &work,
            index: &index,
            repo: &self.repo,
            pinned: Some(self.head()),
        };
        snapshot(&source, limits, previous, &mut self.sink).unwrap()
    }

    pub(crate) fn receipt(&mut self, previous: Option<&Manifest>) -> Receipt {
        let (work, index) = (self.work(), self.index());
        let source = Source {
            work_dir: &work,
            index: &index,
            repo: &self.repo,
            pinned: Some(self.head()),
        };
        take_receipt(&source, &Limits::default(), previous, &mut self.sink).unwrap()
    }

    /// The objects put so far, which are then forgotten.
    pub(crate) fn taken(&mut self) -> usize {
        std::mem::take(&mut self.sink.objects).len()
    }

    /// Puts the objects into the repository, as the owner of a sink would.
    pub(crate) fn publish(&self) {
        let odb = self.repo.git().odb().unwrap();
        for (kind, bytes) in self.sink.objects.values() {
            let kind = match kind {
                Kind::Blob => git2::ObjectType::Blob,
                Kind::Tree => git2::ObjectType::Tree,
                Kind::Commit => git2::ObjectType::Commit,
                Kind::Tag => git2::ObjectType::Tag,
            };
            odb.write(kind, bytes).unwrap();
        }
    }

    /// The paths of a tree, decoded, with their content; published objects only.
    pub(crate) fn files(&self, tree: Oid) -> Vec<(String, String)> {
        let mut files = Vec::new();
        self.collect(tree, "", &mut files);
        files
    }

    pub(crate) fn paths(&self, tree: Oid) -> Vec<String> {
        self.files(tree).into_iter().map(|(path, _)| path).collect()
    }

    fn collect(&self, tree: Oid, prefix: &str, files: &mut Vec<(String, String)>) {
        for entry in &self.repo.git().find_tree(tree).unwrap() {
            let (name, marker) = decode(entry.name_bytes());
            let mark = marker.map(|it| format!("<{it:?}>")).unwrap_or_default();
            let path = format!("{prefix}{name}{mark}");
            if entry.kind() == Some(git2::ObjectType::Tree) {
                self.collect(entry.id(), &format!("{path}/"), files);
            } else {
                let blob = self.repo.git().find_blob(entry.id()).unwrap();
                files.push((path, String::from_utf8_lossy(blob.content()).into_owned()));
            }
        }
    }

    /// Makes a commit of a tree and pushes it to a repository that checks everything it gets.
    pub(crate) fn push_checked(&mut self, tree: Oid) {
        let commit = format!(
            "tree {tree}\nauthor A <a@example.org> 1 +0000\ncommitter A <a@example.org> 1 +0000\n\nx\n"
        );
        let commit = self.sink.put(Kind::Commit, commit.as_bytes()).unwrap();
        self.publish();
        let bare = self.dir.path().join("checked.git");
        fs::create_dir_all(&bare).unwrap();
        git_in(&bare, &["init", "-q", "--bare"]);
        git_in(&bare, &["config", "receive.fsckObjects", "true"]);
        let target = bare.to_str().unwrap();
        self.git(&["push", "-q", target, &format!("{commit}:refs/heads/snapshot")]);
        git_in(&bare, &["fsck", "--strict"]);
        self.git(&["fsck", "--strict", &commit.to_string()]);
    }
}

fn write(top: &Path, name: &str, text: &str) {
    let path = top.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn git_in(dir: &Path, args: &[&str]) -> String {
    let git = Cmd::new("git")
        .dir(dir)
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let who = [
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@example.org",
        "-c",
        "commit.gpgsign=false",
    ];
    let out = git
        .args(who)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("git {args:?}: {error}"));
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

/// A name of any bytes below a folder.
pub(crate) fn raw(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(name))
}

/// Runs `work` as a user who is not root would: rights that folders do not give are not had.
pub(crate) fn without_power<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let powerless = scope.spawn(|| {
            // Of this thread alone. Whoever is not root has none, and may have fewer.
            let mut sets = rustix::thread::capabilities(None).unwrap();
            sets.effective = rustix::thread::CapabilitySet::empty();
            rustix::thread::set_capabilities(None, sets).unwrap();
            work()
        });
        let ended = powerless.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
