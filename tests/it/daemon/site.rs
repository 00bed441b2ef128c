//! A repository with a home, a run folder and a daemon of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use git_khlone::{
    process::{Cmd, Finished, ProcessId},
    refs::{Ledger, Repo, Site as RefsSite},
    task::{Task, TaskId},
};
use serde_json::{Value, json};

use crate::scratch::{Scratch, Work};

/// How long anything may take here; the machine may be busy.
pub(crate) const BOUND: Duration = Duration::from_secs(120);

pub(crate) struct Site {
    scratch: Scratch,
    pub(crate) work: Work,
}

impl Site {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let work = scratch.repo("repo", &[("a.txt", "a\n")]);
        for folder in ["home", "run"] {
            fs::create_dir(scratch.path().join(folder)).unwrap();
        }
        Self { scratch, work }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path()
    }

    pub(crate) fn common(&self) -> PathBuf {
        self.work.0.join(".git")
    }

    /// Another repository of the same user.
    pub(crate) fn repo(&self, name: &str) -> PathBuf {
        self.scratch.repo(name, &[("a.txt", "a\n")]).0
    }

    /// The program, in the repository, with nothing of the surroundings but `PATH`.
    pub(crate) fn cmd(&self, args: &[&str]) -> Cmd {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let (home, run) = (self.path().join("home"), self.path().join("run"));
        let env = [
            ("PATH", path),
            ("HOME", home.into()),
            ("XDG_RUNTIME_DIR", run.into()),
        ];
        Cmd::new(env!("CARGO_BIN_EXE_git-khlone"))
            .only_env(env.map(|(name, value)| (name.into(), value)))
            .dir(&self.work.0)
            .args(args)
    }

    /// Runs the program to a good end and gives its stdout.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let done = self.finish(args);
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{args:?}: {stderr}\n{}", self.log());
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    pub(crate) fn finish(&self, args: &[&str]) -> Finished {
        self.cmd(args).patience(BOUND).finish().unwrap()
    }

    /// Queues a shell script, waits for its end, and gives the task's id.
    pub(crate) fn done(&self, who: &str, script: &str) -> TaskId {
        let id = self.act(who, script);
        self.run(&["await", id.as_str()]);
        id
    }

    /// Queues a shell script and gives the task's id.
    pub(crate) fn act(&self, who: &str, script: &str) -> TaskId {
        self.run(&["act", "--who", who, script]).parse().unwrap()
    }

    /// The worktree of a clone, once it is there.
    pub(crate) fn tree(&self, clone: &str) -> String {
        until("the worktree", || {
            let path = String::from_utf8(self.finish(&["path", clone]).stdout).unwrap();
            let path = path.trim().to_owned();
            (!path.is_empty() && fs::exists(&path).unwrap()).then_some(path)
        })
    }

    pub(crate) fn task(&self, id: &TaskId) -> Task {
        self.with_ledger(|ledger| ledger.task(id).unwrap().task)
    }

    pub(crate) fn with_ledger<T>(&self, read: impl FnOnce(&Ledger<'_>) -> T) -> T {
        let repo = Repo::open(&self.common()).unwrap();
        let site = RefsSite::open(&repo, &git_khlone::process::machine_id()).unwrap();
        read(&Ledger::new(&repo, &site))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.common().join("khlone/daemon.log")).unwrap_or_default()
    }

    /// What the daemon's record says, if there is one.
    pub(crate) fn record(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.common().join("khlone/daemon.json")).ok()?).ok()
    }

    /// Kills the daemon and waits for its death; false if none was there.
    pub(crate) fn kill(&self) -> bool {
        let Some(record) = self.record() else { return false };
        let process: ProcessId = serde_json::from_value(record["process"].clone()).unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
        let hit =
            process.is_alive() && rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
        // A killed process still accepts connections for a moment.
        until("the daemon's death", || (!process.is_alive()).then_some(()));
        hit
    }

    /// A raw connection to the daemon, nothing said yet.
    pub(crate) fn raw(&self) -> UnixStream {
        let record = self.record().unwrap();
        let stream = UnixStream::connect(record["socket"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream
    }

    /// A connection that has shaken hands, if there is a daemon and it lives long enough.
    pub(crate) fn try_greeted(&self) -> Option<Talk> {
        let record = self.record()?;
        let stream = UnixStream::connect(record["socket"].as_str()?).ok()?;
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut talk = Talk(BufReader::new(stream));
        let answer = talk.try_ask("hello", &json!({ "protocol": 1, "token": record["token"] }))?;
        answer["result"]["pid"].is_number().then_some(talk)
    }

    /// A connection that has shaken hands.
    pub(crate) fn greeted(&self) -> Talk {
        let token = self.record().unwrap()["token"].clone();
        let mut talk = Talk(BufReader::new(self.raw()));
        let answer = talk.ask("hello", &json!({ "protocol": 1, "token": token }));
        assert!(answer["result"]["pid"].is_number(), "{answer}");
        talk
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A test leaves no process behind, however it ends.
        drop(self.cmd(&["daemon", "stop"]).patience(BOUND).finish());
        self.kill();
    }
}

/// A conversation in frames.
pub(crate) struct Talk(pub(crate) BufReader<UnixStream>);

impl Talk {
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next frame; `None` once the daemon has hung up.
    pub(crate) fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// As [`Talk::ask`]; `None` if the daemon goes away.
    pub(crate) fn try_ask(&mut self, method: &str, params: &Value) -> Option<Value> {
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.0.get_mut().write_all(format!("{call}\n").as_bytes()).ok()?;
        self.hear()
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.say(format!("{call}\n").as_bytes());
        self.hear().unwrap()
    }
}

/// Waits until `there` gives something, looking again and again within a bound.
pub(crate) fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let bound = Instant::now() + BOUND;
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < bound, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
