//! What is struck: a state of the site, a command on it, and what must hold once the command has been run again.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use git_khlone::task::{Status, TaskId};

use crate::{
    inject::{Fault, Place, Struck, end, strike},
    oracle::{Journal, Untouched, locks},
    rig::Rig,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Enqueue,
    Run,
    Cancel,
    CancelRunning,
    Land,
    Remove,
    Undo,
    Mend,
    Fsck,
    Gc,
}

impl Verb {
    pub(crate) const ALL: [Self; 10] = [
        Self::Enqueue,
        Self::Run,
        Self::Cancel,
        Self::CancelRunning,
        Self::Land,
        Self::Remove,
        Self::Undo,
        Self::Mend,
        Self::Fsck,
        Self::Gc,
    ];

    /// The faults that make sense for it.
    pub(crate) fn faults(self) -> &'static [Fault] {
        match self {
            // Not for `land`: a git that is killed over the user's own index leaves its lock to the user.
            Self::Run | Self::CancelRunning | Self::Remove => &[
                Fault::Point,
                Fault::Kill,
                Fault::KillAny,
                Fault::Full,
                Fault::Broken,
            ],
            _ => &[Fault::Point, Fault::Kill, Fault::Full, Fault::Broken],
        }
    }
}

/// A verb on a site that is ready for it.
pub(crate) struct Scene {
    pub(crate) verb: Verb,
    /// The task that it is about.
    task: Option<TaskId>,
    /// What has been acknowledged before the fault.
    pub(crate) journal: Journal,
    /// What must stay as it is, where the verb is not to touch it.
    pub(crate) untouched: Option<Untouched>,
}

/// A file that is nowhere but in the clone's worktree.
const OWN: &str = "only here\n";

impl Scene {
    /// Brings the site into the state that the verb is for, and saves it.
    pub(crate) fn set(rig: &Rig, verb: Verb) -> Self {
        let mut scene = Self {
            verb,
            task: None,
            journal: Journal::default(),
            untouched: None,
        };
        match verb {
            Verb::Enqueue => {}
            Verb::Run | Verb::Cancel => scene.queue(
                rig,
                "echo work > work.txt; git add -A; git commit -qm work; sleep 0.2; echo more > more.txt",
            ),
            Verb::CancelRunning => {
                scene.queue(
                    rig,
                    "echo half > half.txt; trap 'exit 3' INT TERM; while :; do sleep 0.02; done",
                );
            }
            Verb::Land | Verb::Remove | Verb::Undo | Verb::Mend | Verb::Fsck | Verb::Gc => {
                scene.queue(rig, "echo work > work.txt");
                rig.recover();
            }
        }
        let tree = rig.clone_tree("main");
        match verb {
            Verb::Remove => fs::write(tree.join("own.txt"), OWN).unwrap(),
            Verb::Undo => {
                fs::write(tree.join("own.txt"), OWN).unwrap();
                rig.ok(&["zone", "remove", "main", "--force"]);
            }
            Verb::Mend => fs::remove_dir_all(tree).unwrap(),
            // The first task has landed, and is one too many.
            Verb::Gc => fs::write(
                rig.work.0.join("khlone.yml"),
                "limits: {checkpoint: 0s, keep: 1}\n",
            )
            .unwrap(),
            Verb::Fsck => {
                rig.work.git(&["update-ref", "-d", "refs/notes/khlone"]);
                let pin = format!("refs/khlone/pins/{}/1-head-after", scene.task.as_ref().unwrap());
                rig.work.git(&["update-ref", "-d", &pin]);
                fs::remove_file(rig.common().join("khlone/seq")).unwrap();
            }
            _ => {}
        }
        if verb != Verb::Land {
            scene.untouched = Some(Untouched::of(rig));
        }
        rig.save();
        scene
    }

    fn queue(&mut self, rig: &Rig, then: &str) {
        let id = rig.queue("prepared", then);
        self.journal.ack(id.clone(), "prepared");
        self.task = Some(id);
    }

    fn id(&self) -> &str {
        self.task.as_ref().unwrap().as_str()
    }

    /// Runs the verb under a fault; gives what became of it and in which transition the fault struck.
    pub(crate) fn strike(
        &self,
        rig: &Rig,
        place: Option<&Place>,
        journal: &mut Journal,
    ) -> (Struck, &'static str) {
        let site = rig.common().display().to_string();
        let key = format!(
            "asked-{}",
            place
                .map(ToString::to_string)
                .unwrap_or_default()
                .replace(' ', "-")
        );
        let prompt = crate::rig::script(&key, "echo asked > asked.txt");
        let args: Vec<&str> = match self.verb {
            Verb::Enqueue => vec!["act", "--who", "@shell++", "-m", &prompt],
            Verb::Run | Verb::CancelRunning => vec!["runner", "--site", &site, "--task", self.id()],
            Verb::Cancel => vec!["cancel", self.id()],
            Verb::Land => vec!["land"],
            Verb::Remove => vec!["zone", "remove", "main", "--force"],
            Verb::Undo => vec!["undo"],
            Verb::Mend => vec!["zone", "repair"],
            Verb::Fsck => vec!["fsck", "--repair"],
            Verb::Gc => vec!["gc"],
        };
        let mut struck = match self.verb {
            Verb::CancelRunning => self.cancelled_meanwhile(rig, &args, place),
            // Once it has answered, the rest is waking a daemon.
            Verb::Enqueue => strike(rig, &args, place, end),
            _ => strike(rig, &args, place, |_| {}),
        };
        if self.verb == Verb::Enqueue {
            journal.intent(&key);
            if let Some(id) = struck.answer.take() {
                journal.ack(id.parse().unwrap(), &key);
            }
        }
        let at = self.transition(&struck);
        (struck, at)
    }

    /// A runner whose task is cancelled as soon as its brain runs.
    fn cancelled_meanwhile(&self, rig: &Rig, args: &[&str], place: Option<&Place>) -> Struck {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runs = || fs::read_to_string(rig.clone_tree("main").join("runs.txt")).unwrap_or_default();
                while !over.load(Ordering::Relaxed) {
                    if runs().contains(self.id()) && rig.finish(&["cancel", self.id()]).status.success() {
                        return;
                    }
                    std::thread::park_timeout(std::time::Duration::from_millis(20));
                }
            });
            let struck = strike(rig, args, place, |_| {});
            over.store(true, Ordering::Relaxed);
            struck
        })
    }

    /// Where in a task's life the fault struck.
    fn transition(&self, struck: &Struck) -> &'static str {
        match self.verb {
            Verb::Enqueue => "enqueue",
            Verb::Cancel => "cancel",
            Verb::Land => "land",
            Verb::Remove => "remove",
            Verb::Undo => "undo",
            Verb::Mend => "repair",
            Verb::Fsck => "fsck",
            Verb::Gc => "gc",
            Verb::Run | Verb::CancelRunning => self.phase(struck),
        }
    }

    /// How far a runner came, told by the points that it passed.
    fn phase(&self, struck: &Struck) -> &'static str {
        let passed = |what: &str| struck.passed.iter().any(|point| point.starts_with(what));
        let last = struck.passed.last().map_or("", String::as_str);
        let id = self.id();
        let written = struck
            .passed
            .iter()
            .filter(|point| **point == format!("ref-synced refs/khlone/tasks/{id}"))
            .count();
        let home = passed(&format!("ref-locked refs/khlone/pins/{id}/1-head-after"));
        match () {
            () if passed("ref-synced refs/notes") => "last word",
            () if last.contains("refs/notes") || passed("branch-moved refs/heads/khlone") => "note",
            () if home && written >= 3 => "import",
            () if self.verb == Verb::CancelRunning && written >= 2 => "cancel",
            () if home => "finish",
            () if last.starts_with("checkpoint") || (written >= 2 && last.starts_with("pack")) => {
                "checkpoint"
            }
            () if written >= 2 => "run",
            () => "start",
        }
    }

    /// What a person does after a crash: the same again. Then what the verb is for must have come about.
    pub(crate) fn again(&self, rig: &Rig) -> Vec<String> {
        let own = || fs::read_to_string(rig.clone_tree("main").join("own.txt")).unwrap_or_default();
        let mut wrong = Vec::new();
        rig.pass_time();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{what}\n{}", rig.log()));
            }
        };
        match self.verb {
            Verb::Enqueue | Verb::Run => rig.recover(),
            Verb::Cancel | Verb::CancelRunning => {
                let id = self.task.as_ref().unwrap();
                if !rig.task(id).status.is_over() && self.verb == Verb::CancelRunning {
                    rig.until("a daemon", || {
                        rig.finish(&["daemon", "start"]).status.success().then_some(())
                    });
                }
                let began = std::time::Instant::now();
                while !rig.task(id).status.is_over() {
                    let told = rig.finish(&["cancel", self.id()]);
                    let told = said(&told);
                    assert!(
                        began.elapsed() < crate::rig::BOUND,
                        "it cannot be cancelled: {:?} {told} {}",
                        rig.task(id),
                        rig.log()
                    );
                    std::thread::park_timeout(std::time::Duration::from_millis(50));
                }
                rig.recover();
                must(
                    matches!(rig.task(id).status, Status::Cancelled | Status::Failed),
                    "it was not cancelled",
                );
            }
            Verb::Land => {
                let landed = || fs::read_to_string(rig.work.0.join("work.txt")).is_ok();
                let told = rig.finish(&["land"]);
                must(landed(), &format!("it has not landed: {}", said(&told)));
                let status = rig.work.git(&["status", "--porcelain"]);
                must(status.is_empty(), &format!("the checkout is not clean: {status}"));
            }
            Verb::Remove => {
                let told = rig.finish(&["zone", "remove", "main", "--force"]);
                let told = said(&told);
                must(
                    !rig.clone_tree("main").exists(),
                    &format!("the worktree is still there: {told}"),
                );
                let mut undone = String::new();
                for _ in 0..3 {
                    undone.push_str(&said(&rig.finish(&["undo"])));
                }
                must(
                    own() == OWN,
                    &format!("what was not committed is lost: {told}{undone}"),
                );
            }
            Verb::Undo => {
                let told = rig.finish(&["undo"]);
                must(own() == OWN, &format!("not undone: {}", said(&told)));
            }
            Verb::Mend => {
                let told = rig.finish(&["zone", "repair"]);
                must(
                    rig.clone_tree("main").join("work.txt").exists(),
                    &format!("not mended: {}", said(&told)),
                );
            }
            Verb::Gc => {
                let told = rig.finish(&["gc"]);
                must(rig.tasks().len() == 2, &format!("not collected: {}", said(&told)));
            }
            Verb::Fsck => {
                let told = rig.finish(&["fsck", "--repair"]);
                must(told.status.success(), &said(&told));
            }
        }
        // What a killed writer left where nobody writes again.
        if !locks(&rig.common()).is_empty() {
            rig.ok(&["zone", "repair"]);
        }
        rig.stop();
        wrong
    }
}

/// All that a command said.
fn said(told: &git_khlone::process::Finished) -> String {
    [told.stdout.as_slice(), &told.stderr]
        .map(String::from_utf8_lossy)
        .concat()
}
