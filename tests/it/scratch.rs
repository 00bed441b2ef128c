//! Repositories to try things in, away from the user's configuration.

use std::{
    fs,
    path::{Path, PathBuf},
};

use git_khlone::{process::Cmd, refs::Repo};

/// A temporary folder with repositories in it.
pub(crate) struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// A folder whose name has a space in it.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("khlone it ").tempdir().unwrap();
        Self { dir }
    }

    /// The folder, as git records paths.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    /// A new repository with one commit of `files` on branch `main`.
    pub(crate) fn repo(&self, name: &str, files: &[(&str, &str)]) -> Work {
        let work = Work(self.path().join(name));
        fs::create_dir_all(&work.0).unwrap();
        work.git(&["init", "-q", "-b", "main"]);
        work.git(&["config", "user.name", "Ann"]);
        work.git(&["config", "user.email", "ann@example.com"]);
        work.git(&["config", "commit.gpgsign", "false"]);
        work.commit(files, "first");
        work
    }
}

/// A work tree.
#[derive(Clone, Debug)]
pub(crate) struct Work(pub(crate) PathBuf);

impl Work {
    /// Runs git in it, by discovery as a user would, and gives its output without the last newline.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let out = self.try_git(args);
        out.unwrap_or_else(|error| panic!("git {args:?} in {}: {error}", self.0.display()))
    }

    /// Runs git in it; it may fail.
    pub(crate) fn try_git(&self, args: &[&str]) -> Result<String, git_khlone::process::ProcessError> {
        let git = Cmd::new("git")
            .dir(&self.0)
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let out = git
            .args(["-c", "protocol.file.allow=always"])
            .args(args)
            .output()?;
        Ok(String::from_utf8_lossy(&out).trim_end().to_owned())
    }

    /// Writes files and commits everything.
    pub(crate) fn commit(&self, files: &[(&str, &str)], subject: &str) -> git2::Oid {
        for (name, text) in files {
            self.write(name, text);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.tip("HEAD")
    }

    /// Writes a file, making its folders.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A file's text, or nothing if there is none.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }

    /// The commit that a name stands for.
    pub(crate) fn tip(&self, name: &str) -> git2::Oid {
        self.git(&["rev-parse", name]).parse().unwrap()
    }

    /// What `git status` says of it, untracked files included.
    pub(crate) fn status(&self) -> String {
        self.git(&["status", "--porcelain", "-uall"])
    }

    /// Opens it as the program does.
    pub(crate) fn open(&self) -> Repo {
        Repo::discover(&self.0).unwrap()
    }

    /// Every file below it with its bytes and mode, git's own folder included but for what a mere look may touch.
    pub(crate) fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        collect(&self.0, &mut all);
        all.retain(|(path, _)| !path.ends_with("index"));
        all.sort();
        all
    }
}

fn collect(dir: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        // Unreachable objects harm nobody (a refused merge may leave some), and our own folder is ours.
        if path.ends_with(".git/objects") || path.ends_with(".git/khlone") {
            continue;
        }
        if meta.is_dir() {
            collect(&path, all);
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap().into_os_string();
            all.push((path, target.into_encoded_bytes()));
        } else {
            let bytes = fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
}
