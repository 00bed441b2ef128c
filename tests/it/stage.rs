//! A repository with a home and a run folder of its own, and the real binary in it.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use git_khlone::process::Cmd;
use serde_json::Value;

use crate::{
    schema,
    scratch::{Scratch, Work},
};

/// How long anything may take here; the machine may be busy.
pub(crate) const BOUND: Duration = Duration::from_secs(120);

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Its stdout, if it ended well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out.trim_end().to_owned()
    }

    /// The task of an awaited `act` or `ask`, whose id goes to stderr.
    pub(crate) fn id(&self) -> String {
        id_in(&self.err)
    }
}

/// The first task that `text` names.
pub(crate) fn id_in(text: &str) -> String {
    let mut words = text.split_whitespace();
    let id = words.find_map(|word| word.parse::<git_khlone::task::TaskId>().ok());
    id.unwrap_or_else(|| panic!("{text}")).to_string()
}

pub(crate) struct Stage {
    scratch: Scratch,
    pub(crate) work: Work,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(&[("a.txt", "a\n"), (".gitignore", "*.log\n")])
    }

    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new();
        let work = scratch.repo("repo", files);
        for folder in ["home", "run"] {
            fs::create_dir(scratch.path().join(folder)).unwrap();
        }
        Self { scratch, work }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path()
    }

    /// The program in `dir`, with nothing of the surroundings but `PATH`.
    pub(crate) fn cmd(&self, dir: &Path, args: &[&str]) -> Cmd {
        let cmd = Cmd::new(env!("CARGO_BIN_EXE_git-khlone")).args(args);
        self.surrounded(cmd).dir(dir)
    }

    /// A command with nothing of the surroundings but `PATH`, at the top of the repository.
    pub(crate) fn surrounded(&self, cmd: Cmd) -> Cmd {
        let env = [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", self.path().join("home").into()),
            ("XDG_RUNTIME_DIR", self.path().join("run").into()),
            ("KHLONE_IDLE", "5".into()),
        ];
        cmd.only_env(env.map(|(name, value)| (OsString::from(name), value)))
            .dir(&self.work.0)
    }

    /// Runs the program at the top of the repository.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_in(&self.work.0, args)
    }

    pub(crate) fn run_in(&self, dir: &Path, args: &[&str]) -> Said {
        let said = said(self.cmd(dir, args));
        schema::hold(args, &said);
        said
    }

    /// Lets a shell clone act and waits for it; gives what it said and the task.
    pub(crate) fn act(&self, script: &str) -> (Said, Value) {
        let said = self.run(&["act", "--who", "@shell", "--await", "-m", script]);
        let task = self.task(&said.id());
        (said, task)
    }

    /// Lets a shell clone act in the background.
    pub(crate) fn start(&self, script: &str) -> String {
        self.run(&["act", "--who", "@shell", "-m", script]).ok()
    }

    /// The local folder of an attempt.
    pub(crate) fn attempt(&self, id: &str, n: u32) -> PathBuf {
        self.work.0.join(format!(".git/khlone/attempts/{id}/{n}"))
    }

    /// A task's document.
    pub(crate) fn task(&self, id: &str) -> Value {
        serde_json::from_str(&self.run(&["--json", "show", id]).ok()).unwrap()
    }

    /// The clone's worktree.
    pub(crate) fn clone(&self) -> Work {
        Work(PathBuf::from(self.run(&["path"]).ok()))
    }

    /// Waits until `ready` gives something.
    pub(crate) fn until<T>(&self, what: &str, ready: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(value) = ready() {
                return value;
            }
            assert!(Instant::now() < deadline, "{what} did not happen\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Moves the repository with its worktrees to another place, as to another disk: every file is a new one.
    pub(crate) fn relocate(&mut self, to: &str) {
        drop(self.run(&["daemon", "stop"]));
        let to = self.path().join(to);
        fs::create_dir(&to).unwrap();
        for name in ["repo", "repo.khlone"] {
            let from = self.path().join(name);
            copy(&from, &to.join(name));
            fs::remove_dir_all(&from).unwrap();
        }
        self.work = Work(to.join("repo"));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.work.0.join(".git/khlone/daemon.log")).unwrap_or_default()
    }
}

/// Copies a folder with all that belongs to it.
pub(crate) fn copy(from: &Path, to: &Path) {
    Cmd::new("cp").arg("-a").args([from, to]).output().unwrap();
}

pub(crate) fn said(cmd: Cmd) -> Said {
    let done = cmd.patience(BOUND).finish().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said {
        code: done.status.code().unwrap_or(-1),
        out: text(done.stdout),
        err: text(done.stderr),
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A test leaves no process behind, however it ends.
        drop(
            self.cmd(&self.work.0, &["daemon", "stop"])
                .patience(BOUND)
                .finish(),
        );
    }
}
