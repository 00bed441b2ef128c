//! Real CLIs struck on a seeded schedule: in an act of several steps a process is killed, whichever it is, and before
//! the task goes on somebody else works in the clone. What is reported is then compared with what is there.
//!
//! The short form strikes twice; `KHLONE_STRIKES=40 KHLONE_SEED=14` strikes so often, all four CLIs in turn. The number
//! of a strike stands in every failure, and `KHLONE_SEED=that KHLONE_STRIKES=1` strikes it alone.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{ALL, dispatch::Desk, installed};
use crate::scratch::Work;

const BOUND: Duration = Duration::from_secs(180);
const BRANCH: &str = "khlone/main/foreman.1";

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Runner,
    Brain,
    Sandbox,
    Daemon,
    /// Whichever process is found first.
    Any,
    /// Every one: the machine goes down.
    All,
}

/// What somebody else does in the clone while nothing of it lives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Other {
    Nothing,
    Commits,
    Edits,
    Rewrites,
    TakesAway,
}

/// As often as each is struck.
const VICTIMS: [Victim; 7] = [
    Victim::Runner,
    Victim::All,
    Victim::Runner,
    Victim::Brain,
    Victim::Any,
    Victim::Daemon,
    Victim::Sandbox,
];

#[derive(Debug)]
struct Strike {
    #[allow(dead_code, reason = "stands in every failure")]
    seed: u64,
    brain: &'static str,
    confined: bool,
    victim: Victim,
    other: Other,
    /// So many steps have begun, and so long ago.
    steps: usize,
    after: Duration,
}

impl Strike {
    fn of(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut throw = |sides: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % sides
        };
        let confined = throw(4) > 0;
        let victim = VICTIMS[throw(if confined { 7 } else { 6 })];
        let other = [
            Other::Nothing,
            Other::Commits,
            Other::Edits,
            Other::Rewrites,
            Other::TakesAway,
        ][throw(5)];
        Self {
            seed,
            brain: ALL[usize::try_from(seed).unwrap() % ALL.len()],
            confined,
            victim,
            other,
            steps: 1 + throw(4),
            after: Duration::from_millis(throw(5) as u64 * 60),
        }
    }
}

/// One strike under way.
struct Scene<'a> {
    strike: &'a Strike,
    desk: Desk,
    id: String,
    base: String,
    /// Whether somebody else came, while the attempt was still at work.
    others: bool,
}

impl Scene<'_> {
    fn tree(&self) -> Work {
        let repo = self.desk.repo.0.clone();
        Work(repo.with_extension("khlone").join("repo-main.foreman.1"))
    }

    fn until<T>(&self, what: &str, mut there: impl FnMut() -> Option<T>) -> T {
        let bound = Instant::now() + BOUND;
        loop {
            if let Some(found) = there() {
                return found;
            }
            assert!(
                Instant::now() < bound,
                "{:?}: never: {what}\n{}",
                self.strike,
                self.desk.story()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn document(&self, name: &str) -> Option<Value> {
        let name = format!("refs/khlone/tasks/{}:{name}", self.id);
        serde_json::from_str(&self.desk.repo.try_git(&["show", &name]).ok()?).ok()
    }

    fn task(&self) -> Value {
        self.until("the task", || self.document("task.json"))
    }

    fn is_over(&self) -> bool {
        ["done", "failed"].contains(&self.task()["status"].as_str().unwrap_or_default())
    }

    /// Every process of this desk, with its command line.
    fn processes(&self) -> Vec<(Pid, String)> {
        let home = self.desk.vars["HOME"].clone().into_bytes();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        let of_it = pids.filter_map(|pid| {
            let read = |name: &str| fs::read(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
            let (line, env) = (read("cmdline").ok()?, read("environ").ok()?);
            let ours = env.windows(home.len()).any(|part| part == home);
            (ours && !line.is_empty()).then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        });
        of_it.collect()
    }

    fn kill(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let mut killed = false;
        for (pid, line) in self.processes() {
            if is_it(&line) {
                killed |= kill_process(pid, Signal::KILL).is_ok();
            }
        }
        killed
    }

    fn kill_all(&self) {
        self.until("the end of all", || (!self.kill(|_| true)).then_some(()));
    }

    /// Kills whoever it is to be, as soon as there is one, or the task is over.
    fn strike(&self) {
        let calls = self.tree().0.join("calls");
        self.until("the step", || {
            let begun = fs::read_to_string(&calls).unwrap_or_default().lines().count();
            (begun >= self.strike.steps || self.is_over()).then_some(())
        });
        std::thread::park_timeout(self.strike.after);
        let own = |line: &str, verb: &str| line.contains("git-khlone") && line.contains(verb);
        let brain = format!("/{}", self.strike.brain);
        self.until("a victim", || {
            let killed = match self.strike.victim {
                Victim::Runner => self.kill(|line| own(line, " runner ")),
                Victim::Daemon => self.kill(|line| own(line, " daemon ")),
                Victim::Sandbox => self.kill(|line| line.starts_with("bwrap") || line.contains("/bwrap ")),
                Victim::Brain => {
                    self.kill(|line| !own(line, " ") && !line.contains("bwrap") && line.contains(&brain))
                }
                Victim::Any => self
                    .processes()
                    .first()
                    .is_some_and(|(pid, _)| kill_process(*pid, Signal::KILL).is_ok()),
                Victim::All => true,
            };
            (killed || self.is_over()).then_some(())
        });
    }

    /// Nothing lives, and somebody else comes.
    fn visit(&mut self) {
        if self.is_over() || self.strike.other == Other::Nothing && self.strike.victim != Victim::All {
            return;
        }
        self.kill_all();
        let tree = self.tree();
        self.others = self.task()["status"] == "running" && tree.0.exists();
        if !self.others {
            return;
        }
        let who = ["-c", "user.name=Bo", "-c", "user.email=b@x"];
        match self.strike.other {
            Other::Nothing => {}
            Other::Commits => {
                tree.write("theirs.txt", "theirs\n");
                let lock = PathBuf::from(tree.git(&["rev-parse", "--absolute-git-dir"])).join("index.lock");
                drop(fs::remove_file(lock));
                tree.git(&["add", "theirs.txt"]);
                tree.git(&[&who[..], &["commit", "-qm", "theirs"]].concat());
            }
            Other::Edits => {
                tree.write("README.md", "theirs\n");
                tree.write("theirs.txt", "theirs\n");
            }
            Other::Rewrites => {
                let files = format!("{}^{{tree}}", self.base);
                let theirs = tree.git(&[&who[..], &["commit-tree", "-m", "theirs", &files]].concat());
                tree.git(&["update-ref", &format!("refs/heads/{BRANCH}"), &theirs]);
            }
            Other::TakesAway => fs::rename(&tree.0, tree.0.with_extension("away")).unwrap(),
        }
    }

    /// A daemon brings it to its end; a person says `resume` where one is asked.
    fn settle(&self) -> Value {
        for _ in 0..4 {
            let task = self.until("the end", || {
                drop(self.desk.khlone(&["daemon", "start"]));
                let task = self.task();
                (self.is_over() || task["hold"].is_string()).then_some(task)
            });
            if task["status"] == "done" {
                return task;
            }
            self.desk.khlone(&["resume", &self.id]);
        }
        panic!("{:?}: never done: {:#}", self.strike, self.task());
    }

    /// What is told against what is there.
    fn judge(&self, task: &Value) {
        let strike = self.strike;
        let attempts = task["attempts"].as_array().unwrap();
        let effects: Vec<Value> = (1..=attempts.len())
            .filter_map(|n| self.document(&format!("attempts/{n}/effects.json")))
            .collect();
        let told = effects.iter().map(Value::to_string).collect::<String>();
        let external = effects.iter().map(|effects| effects["external"].to_string());
        let external = external.collect::<String>();
        let tree = self.tree();
        let calls = fs::read_to_string(tree.0.join("calls")).unwrap_or_default();
        let once: BTreeSet<&str> = calls.lines().collect();
        assert_eq!(
            once.len(),
            calls.lines().count(),
            "{strike:?}: a call ran twice: {calls}"
        );
        let changed = tree.git(&["diff", "--name-only", &self.base])
            + "\n"
            + &tree.git(&["ls-files", "--others", "--exclude-standard"]);
        for path in changed.lines().filter(|path| !path.is_empty()) {
            assert!(
                told.contains(path),
                "{strike:?}: {path} changed, and in no receipt: {told}"
            );
        }
        let wanted = match strike.other {
            Other::Commits if strike.confined => BRANCH,
            Other::Rewrites => BRANCH,
            Other::TakesAway => "was not in its place",
            _ => "",
        };
        assert!(
            !self.others || external.contains(wanted),
            "{strike:?}: {wanted} is not external: {told}"
        );
        let subjects = self.desk.repo.git(&["log", "--all", "--format=%s"]);
        assert!(
            subjects.lines().any(|subject| subject == "step 2"),
            "{strike:?}: {subjects}\n{told}"
        );
        assert_eq!(self.desk.repo.status(), "", "{strike:?}");
        assert_eq!(
            self.desk.repo.git(&["rev-parse", "HEAD"]),
            self.base,
            "{strike:?}"
        );
        self.desk.repo.git(&["fsck", "--strict"]);
        let said = self.desk.khlone(&["fsck"]);
        assert_eq!(said.code, Some(0), "{strike:?}: {said:?}");
        self.desk.khlone(&["daemon", "stop"]);
        self.until("the end of every process", || {
            self.processes().is_empty().then_some(())
        });
    }
}

fn run(strike: &Strike) {
    let mut desk = Desk::new(strike.brain);
    // What lets the CLIs do anything for root.
    desk.vars.insert("IS_SANDBOX".to_owned(), "1".to_owned());
    let sandbox = if strike.confined { "auto" } else { "off" };
    let config = format!("sandbox: {sandbox}\npermissions: all\nlimits: {{checkpoint: 0s}}\n");
    let folder = PathBuf::from(&desk.vars["HOME"]).join(".config/khlone");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.yml"), config).unwrap();
    let base = desk.repo.git(&["rev-parse", "HEAD"]);
    let who = format!("@{}", strike.brain);
    let said = desk.khlone(&["act", "--who", &who, "SCENARIO=steps"]);
    assert_eq!(said.code, Some(0), "{strike:?}: {said:?}");
    let mut scene = Scene {
        strike,
        desk,
        id: said.out.trim().to_owned(),
        base,
        others: false,
    };
    scene.strike();
    scene.visit();
    let task = scene.settle();
    scene.judge(&task);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_is_told_of_a_struck_task_is_what_is_there() {
    if !installed::is_ready() {
        return;
    }
    let first = setting("KHLONE_SEED").unwrap_or(7);
    let strikes: Vec<Strike> = match setting("KHLONE_STRIKES") {
        Some(many) => (first..first + many).map(Strike::of).collect(),
        None => [12, 13].map(Strike::of).into(),
    };
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(strike) = strikes.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    run(strike);
                }
            });
        }
    });
}
