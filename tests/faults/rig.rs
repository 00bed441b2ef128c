//! A site whose state can be saved and brought back, with the real binary in it and a client that keeps a journal.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use git_khlone::{
    process::{Cmd, Finished, machine_id},
    refs::{Ledger, NewTask, Repo, Site},
    task::{Status, Task, TaskId},
};

use crate::scratch::{Scratch, Work};

/// How long anything may take here; the machine may be busy.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// What every brain of these tests does first: it says in its own ledger that it ran, and for which task.
pub(crate) const RAN: &str = "echo \"$KHLONE_TASK $$\" >> runs.txt";

pub(crate) struct Rig {
    scratch: Scratch,
    pub(crate) work: Work,
    /// Processes that were there before: not ours, and many.
    others: HashSet<i32>,
    /// Git is at work here besides us: its locks are as young as they look.
    pub(crate) busy: AtomicBool,
    /// Why tasks waited for a person since this was last taken.
    pub(crate) held: Mutex<Vec<String>>,
}

impl Rig {
    /// A repository with a clone `foreman.1` that has done one task, and another zone's clone with work of its own.
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let work = scratch.repo(
            "repo",
            &[
                ("a.txt", "a\n"),
                ("b.txt", "b\n"),
                ("khlone.yml", "limits: {checkpoint: 0s}\n"),
            ],
        );
        for folder in ["home", "run", "saved"] {
            fs::create_dir(scratch.path().join(folder)).unwrap();
        }
        let others = pids().collect();
        let rig = Self {
            scratch,
            work,
            others,
            busy: AtomicBool::new(false),
            held: Mutex::default(),
        };
        rig.ok(&[
            "act",
            "--who",
            "@shell",
            "--await",
            "-m",
            &script("first", "echo first > first.txt"),
        ]);
        rig.ok(&["land"]);
        rig.ok(&["zone", "new", "other"]);
        rig.ok(&[
            "act",
            "--zone",
            "other",
            "--who",
            "@shell",
            "--await",
            "-m",
            "echo other > other.txt",
        ]);
        fs::write(rig.clone_tree("other").join("own.txt"), "not committed\n").unwrap();
        rig.stop();
        rig
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path()
    }

    pub(crate) fn common(&self) -> PathBuf {
        self.work.0.join(".git")
    }

    /// The worktree of a zone's `foreman.1`.
    pub(crate) fn clone_tree(&self, zone: &str) -> PathBuf {
        self.path().join(format!("repo.khlone/repo-{zone}.foreman.1"))
    }

    /// The environment of every command: nothing of the surroundings but `PATH`.
    pub(crate) fn env(&self) -> [(std::ffi::OsString, std::ffi::OsString); 4] {
        [
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), self.path().join("home").into()),
            ("XDG_RUNTIME_DIR".into(), self.path().join("run").into()),
            ("KHLONE_IDLE".into(), "3".into()),
        ]
    }

    pub(crate) fn cmd(&self, args: &[&str]) -> Cmd {
        Cmd::new(program())
            .only_env(self.env())
            .dir(&self.work.0)
            .args(args)
    }

    pub(crate) fn finish(&self, args: &[&str]) -> Finished {
        self.cmd(args).patience(BOUND).finish().unwrap()
    }

    /// Runs the program to a good end.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let done = self.finish(args);
        let said = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(
            done.status.success(),
            "{args:?}: {}{}\n{}",
            said[0],
            said[1],
            self.log()
        );
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    /// What the daemon said, and what the unfinished and failed tasks went through.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.common().join("khlone/daemon.log")).unwrap_or_default();
        let mut lines: Vec<_> = log.lines().rev().take(12).map(str::to_owned).collect();
        lines.reverse();
        let bad = self
            .tasks()
            .into_iter()
            .filter(|task| task.status != Status::Done);
        for task in bad {
            let history = format!("refs/khlone/tasks/{}:history.jsonl", task.id);
            lines.push(format!("{} {:?} {:?}", task.id, task.hold, task.reasons));
            lines.extend(self.work.try_git(&["show", &history]));
        }
        let held = self.held.lock().unwrap();
        lines.extend(held.iter().rev().take(2).map(|why| format!("held: {why}")));
        lines.join("\n")
    }

    pub(crate) fn with_ledger<T>(&self, read: impl FnOnce(&Ledger<'_>) -> T) -> T {
        let repo = Repo::open(&self.common()).unwrap();
        let site = Site::open(&repo, &machine_id()).unwrap();
        read(&Ledger::new(&repo, &site))
    }

    pub(crate) fn tasks(&self) -> Vec<Task> {
        self.with_ledger(|ledger| {
            let heads = ledger.heads().unwrap();
            heads
                .iter()
                .map(|head| ledger.task(&head.id).unwrap().task)
                .collect()
        })
    }

    pub(crate) fn task(&self, id: &TaskId) -> Task {
        self.with_ledger(|ledger| ledger.task(id).unwrap().task)
    }

    /// Queues a task for the first clone of `main` without waking anybody.
    pub(crate) fn queue(&self, key: &str, then: &str) -> TaskId {
        self.with_ledger(|ledger| {
            let heads = ledger.heads().unwrap();
            let first = ledger.task(&heads[0].id).unwrap();
            let config = ledger.file(&first, "config.json").unwrap().unwrap();
            let mut task = first.task;
            task.id = TaskId::from_entropy(entropy());
            task.title = key.to_owned();
            task.outcome = None;
            task.generation = 0;
            task.attempts.clear();
            task.landed = None;
            let prompt = script(key, then);
            let config = serde_json::from_slice(&config).unwrap();
            ledger
                .create(NewTask { task, prompt, config }, "cli")
                .unwrap()
                .task
                .id
        })
    }

    /// Waits until `ready` gives something.
    pub(crate) fn until<T>(&self, what: &str, ready: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(value) = ready() {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "never: {what}\n{:?}\n{}",
                self.processes(),
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Lets a minute go by, as far as left locks can tell. A lock that is let go meanwhile must not be made again.
    pub(crate) fn pass_time(&self) {
        if self.busy.load(Ordering::Relaxed) {
            return;
        }
        self.sh(
            "find repo/.git/refs repo/.git/khlone/locks -type f -exec touch -c -d '1 minute ago' {} + 2>/dev/null || :
             find repo/.git -name '*.lock' -not -path '*/khlone/*' -exec touch -c -d '1 minute ago' {} + || :",
        );
    }

    /// What happens after every crash: a daemon comes and brings every task to its end, and a person says `resume`
    /// to a task that waits for him. Then it leaves.
    pub(crate) fn recover(&self) {
        let open = |task: &Task| !(task.status.is_over());
        self.pass_time();
        if self.tasks().iter().any(open) {
            self.until("a daemon", || {
                self.finish(&["daemon", "start"]).status.success().then_some(())
            });
            self.until("all tasks over", || {
                let tasks = self.tasks();
                for task in &tasks {
                    if let Some(why) = &task.hold {
                        self.ask(format!("{why}; {}", self.external(&task.id)));
                        drop(self.finish(&["resume", task.id.as_str()]));
                    }
                }
                (!tasks.iter().any(open)).then_some(())
            });
        }
        self.stop();
    }

    /// Takes note that a person was needed.
    pub(crate) fn ask(&self, why: String) {
        self.held.lock().unwrap().push(why);
    }

    /// What the last attempts of a task found to be others' doing.
    fn external(&self, id: &TaskId) -> String {
        let effects = |n: u32| {
            let path = format!("refs/khlone/tasks/{id}:attempts/{n}/effects.json");
            let text = self.work.try_git(&["show", &path]).unwrap_or_default();
            let effects: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            format!("{n}: {} {}", effects["external"], effects["foreign"])
        };
        (1..4).map(effects).collect()
    }

    /// Stops the daemon and waits until nothing of ours runs.
    pub(crate) fn stop(&self) {
        if self.common().join("khlone/daemon.json").exists() {
            drop(self.finish(&["daemon", "stop"]));
        }
        self.until("the end of every process", || {
            self.processes().is_empty().then_some(())
        });
    }

    /// Every process that has to do with this site: by command line, or by what it says of its home.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let mut found = processes_of(&self.path(), &self.others);
        found.sort_unstable();
        found
    }

    /// Keeps the state of the disk to come back to.
    pub(crate) fn save(&self) {
        self.sh("rm -rf saved; mkdir saved; cp -a repo saved/; cp -a repo.khlone saved/");
    }

    /// Brings it back, in the same folders: a copy would be another site.
    pub(crate) fn restore(&self) {
        self.sh("find repo -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +
             find repo/.git -mindepth 1 -maxdepth 1 -exec rm -rf {} +
             rm -rf repo.khlone; cp -a saved/repo/. repo/; cp -a saved/repo.khlone .");
    }

    pub(crate) fn sh(&self, script: &str) {
        Cmd::new("sh")
            .args(["-ec", script])
            .dir(self.path())
            .output()
            .unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.cmd(&["daemon", "stop"]).patience(BOUND).finish());
        for (pid, _) in self.processes() {
            kill(pid);
        }
    }
}

/// The program: the one built with the tests, or the one named for a long run beside which others build.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("KHLONE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_git-khlone").into(), PathBuf::from)
}

/// A brain's script with a key by which its task can be told from others.
pub(crate) fn script(key: &str, then: &str) -> String {
    format!(": {key}\n{RAN}\n{then}\n")
}

pub(crate) fn kill(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
}

/// Every living process whose command line or environment names `path`.
pub(crate) fn processes_of(path: &Path, others: &HashSet<i32>) -> Vec<(i32, String)> {
    let needle = path.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for pid in pids().filter(|pid| !others.contains(pid)) {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let line = read("cmdline");
        let ours = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        let is_child = pid != i32::try_from(std::process::id()).unwrap();
        if is_child && !line.is_empty() && (ours(&line) || ours(&read("environ"))) {
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
}

fn entropy() -> u64 {
    let mut bytes = [0; 8];
    getrandom(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read;
    fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
}
