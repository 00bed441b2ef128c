//! What is struck: a state of the site, and a command on it.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use git_khlone::{
    refs::{LedgerError, Update},
    runner::bury,
    task::{Move, Status, TaskId},
};

use crate::{
    inject::{Fault, Place, Struck, end, strike},
    oracle::{Journal, Untouched},
    rig::{BOUND, Rig, kill},
    transitions::transition,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Enqueue,
    Run,
    /// A run long enough for many checkpoints.
    Watched,
    Cancel,
    CancelRunning,
    /// A runner after one that died with its brain at work.
    Recover,
    /// The same, and the task has been cancelled meanwhile.
    CancelDead,
    /// A runner after one that died with all written down but the branch not moved.
    Complete,
    Resume,
    Retry,
    RetryFresh,
    Rollback,
    UndoRollback,
    Update,
    Land,
    UndoLand,
    Remove,
    Undo,
    Mend,
    Fsck,
    Gc,
}

impl Verb {
    pub(crate) const ALL: [Self; 21] = [
        Self::Enqueue,
        Self::Run,
        Self::Watched,
        Self::Cancel,
        Self::CancelRunning,
        Self::Recover,
        Self::CancelDead,
        Self::Complete,
        Self::Resume,
        Self::Retry,
        Self::RetryFresh,
        Self::Rollback,
        Self::UndoRollback,
        Self::Update,
        Self::Land,
        Self::UndoLand,
        Self::Remove,
        Self::Undo,
        Self::Mend,
        Self::Fsck,
        Self::Gc,
    ];

    /// The faults that make sense for it.
    pub(crate) fn faults(self) -> &'static [Fault] {
        match self {
            // Its system calls are those of `Run`; here the thread of the checkpoints is looked for.
            Self::Watched => &[Fault::Point, Fault::KillAny],
            // Where others work for it. Not for those that wake a daemon, whose processes are no part of them.
            Self::Run
            | Self::CancelRunning
            | Self::Recover
            | Self::CancelDead
            | Self::Complete
            | Self::Rollback
            | Self::UndoRollback
            | Self::Update
            | Self::Remove => &[
                Fault::Point,
                Fault::Kill,
                Fault::KillAny,
                Fault::Full,
                Fault::Broken,
            ],
            _ => &[Fault::Point, Fault::Kill, Fault::Full, Fault::Broken],
        }
    }

    /// What the clone's brain does in the task that the verb is about.
    fn script(self) -> &'static str {
        match self {
            Self::Watched => "for n in 1 2 3 4 5 6 7 8; do echo $n > file$n.txt; sleep 0.15; done",
            Self::Run | Self::Cancel => {
                "echo work > work.txt; git add -A; git commit -qm work; sleep 0.2; echo more > more.txt"
            }
            Self::CancelRunning => {
                "echo half > half.txt; trap 'exit 3' INT TERM; while :; do sleep 0.02; done"
            }
            Self::Recover | Self::CancelDead => {
                "if [ $KHLONE_ATTEMPT = 1 ]; then echo work > work.txt; git add -A; git commit -qm work; \
                 echo half > half.txt; touch mark; sleep 600; fi; echo more > more.txt"
            }
            Self::Resume | Self::Retry | Self::RetryFresh | Self::Rollback | Self::UndoRollback => {
                "echo work > work.txt; git add -A; git commit -qm work; echo more > more.txt; \
                 test $KHLONE_ATTEMPT != 1"
            }
            _ => "echo work > work.txt",
        }
    }
}

/// A verb on a site that is ready for it.
pub(crate) struct Scene {
    pub(crate) verb: Verb,
    /// The task that it is about.
    pub(crate) task: Option<TaskId>,
    /// What has been acknowledged before the fault.
    pub(crate) journal: Journal,
    /// What must stay as it is, where the verb is not to touch it.
    pub(crate) untouched: Option<Untouched>,
}

/// A file that is nowhere but in the clone's worktree.
pub(crate) const OWN: &str = "only here\n";

impl Scene {
    /// Brings the site into the state that the verb is for, and saves it.
    pub(crate) fn set(rig: &Rig, verb: Verb) -> Self {
        let mut scene = Self {
            verb,
            task: None,
            journal: Journal::default(),
            untouched: None,
        };
        if verb != Verb::Enqueue {
            scene.queue(rig, verb.script());
        }
        match verb {
            Verb::Enqueue | Verb::Run | Verb::Watched | Verb::Cancel | Verb::CancelRunning => {}
            Verb::Recover | Verb::CancelDead => scene.die_at_work(rig),
            Verb::Complete => scene.die_at_the_end(rig),
            _ => rig.recover(),
        }
        let tree = rig.clone_tree("main");
        scene.journal.again = usize::from(matches!(verb, Verb::Resume | Verb::Retry | Verb::RetryFresh));
        match verb {
            Verb::CancelDead => drop(rig.ok(&["cancel", scene.id()])),
            Verb::Remove | Verb::RetryFresh | Verb::Rollback => fs::write(tree.join("own.txt"), OWN).unwrap(),
            Verb::UndoRollback => {
                fs::write(tree.join("own.txt"), OWN).unwrap();
                rig.ok(&["rollback", scene.id()]);
            }
            Verb::UndoLand => drop(rig.ok(&["land"])),
            Verb::Update => drop(rig.work.commit(&[("b.txt", "gone on\n")], "the zone goes on")),
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
                let pin = format!("refs/khlone/pins/{}/1-head-after", scene.id());
                rig.work.git(&["update-ref", "-d", &pin]);
                fs::remove_file(rig.common().join("khlone/seq")).unwrap();
            }
            _ => {}
        }
        rig.stop();
        if !matches!(verb, Verb::Land | Verb::UndoLand) {
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

    pub(crate) fn id(&self) -> &str {
        self.task.as_ref().unwrap().as_str()
    }

    fn runner<'a>(&'a self, site: &'a str) -> Vec<&'a str> {
        vec!["runner", "--site", site, "--task", self.id()]
    }

    /// The first attempt has made a commit and a file that is in none, and died.
    fn die_at_work(&self, rig: &Rig) {
        let site = rig.common().display().to_string();
        let mut runner = rig.cmd(&self.runner(&site)).into_inner().spawn().unwrap();
        rig.until("the mark", || {
            rig.clone_tree("main").join("mark").exists().then_some(())
        });
        kill(i32::try_from(runner.id()).unwrap());
        runner.wait().unwrap();
        self.found_dead(rig);
    }

    /// The first attempt is over and written down; its runner dies before the branch has moved.
    fn die_at_the_end(&self, rig: &Rig) {
        let site = rig.common().display().to_string();
        let args = self.runner(&site);
        let runner = rig.cmd(&args).env("KHLONE_FAULT", "branch refs/heads/khlone/");
        let died = runner.patience(BOUND).finish().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&died.status),
            Some(9)
        );
        assert_eq!(rig.task(self.task.as_ref().unwrap()).status, Status::Finishing);
        self.found_dead(rig);
    }

    /// What a daemon does first when it finds an attempt whose locks are free.
    fn found_dead(&self, rig: &Rig) {
        rig.stop();
        rig.with_ledger(|ledger| {
            let die = |update: &mut Update<'_>| {
                update.transition(Move::Die, "its runner is gone").unwrap();
                Ok::<_, LedgerError>(())
            };
            ledger.update(self.task.as_ref().unwrap(), "daemon", die).unwrap();
        });
        bury(&rig.common().join(format!("khlone/attempts/{}/1", self.id())));
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
            Verb::Run
            | Verb::Watched
            | Verb::CancelRunning
            | Verb::Recover
            | Verb::CancelDead
            | Verb::Complete => self.runner(&site),
            _ => self.command(),
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
        let at = transition(self.verb, self.task.as_ref(), &struck.passed);
        (struck, at)
    }

    /// What a person types.
    pub(crate) fn command(&self) -> Vec<&str> {
        match self.verb {
            Verb::Cancel => vec!["cancel", self.id()],
            Verb::Resume => vec!["resume", self.id()],
            Verb::Retry => vec!["retry", self.id()],
            Verb::RetryFresh => vec!["retry", "--fresh", self.id()],
            Verb::Rollback => vec!["rollback", self.id()],
            Verb::Update => vec!["update", "foreman.1"],
            Verb::Land => vec!["land"],
            Verb::Remove => vec!["zone", "remove", "main", "--force"],
            Verb::Undo | Verb::UndoRollback | Verb::UndoLand => vec!["undo"],
            Verb::Mend => vec!["zone", "repair"],
            Verb::Fsck => vec!["fsck", "--repair"],
            Verb::Gc => vec!["gc"],
            Verb::Enqueue
            | Verb::Run
            | Verb::Watched
            | Verb::CancelRunning
            | Verb::Recover
            | Verb::CancelDead
            | Verb::Complete => vec!["daemon", "start"],
        }
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
}
