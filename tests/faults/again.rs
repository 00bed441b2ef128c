//! What a person does after a crash: the same again. Then what the verb is for must have come about.

use std::fs;

use git_khlone::{process::Finished, task::Status};

use crate::{
    rig::{BOUND, Rig},
    verbs::{OWN, Scene, Verb},
};

impl Scene {
    /// Runs the verb again and brings everything to an end; gives what is not as it must be.
    pub(crate) fn again(&self, rig: &Rig) -> Vec<String> {
        rig.pass_time();
        let wrong = match self.verb {
            Verb::Enqueue | Verb::Run | Verb::Watched => {
                rig.recover();
                None
            }
            Verb::Cancel | Verb::CancelRunning | Verb::CancelDead => self.cancelled(rig),
            Verb::Recover | Verb::Complete => self.recovered(rig),
            Verb::Resume | Verb::Retry | Verb::RetryFresh => self.tried_again(rig),
            Verb::Rollback | Verb::UndoRollback => self.rolled(rig),
            Verb::Update => self.updated(rig),
            Verb::Land => self.landed(rig),
            Verb::UndoLand => self.taken_back(rig),
            Verb::Remove => removed(rig),
            Verb::Undo => {
                // One that has come about is not typed again: the next in line is the landing.
                let is_due = !saved_by(rig, "zone remove").is_empty();
                let told = if is_due { self.typed(rig) } else { String::new() };
                must(own(rig) == OWN, || format!("not undone: {told}"))
            }
            Verb::Mend => {
                let told = self.typed(rig);
                let there = rig.clone_tree("main").join("work.txt").exists();
                must(there, || format!("not mended: {told}"))
            }
            Verb::Gc => {
                let told = self.typed(rig);
                must(rig.tasks().len() == 2, || format!("not collected: {told}"))
            }
            Verb::Fsck => {
                let told = rig.finish(&["fsck", "--repair"]);
                must(told.status.success(), || said(&told))
            }
        };
        rig.stop();
        wrong
            .into_iter()
            .map(|what| format!("{what}\n{}", rig.log()))
            .collect()
    }

    /// An undoing that has come about is not typed again: that would land it again.
    fn taken_back(&self, rig: &Rig) -> Option<String> {
        let has = || {
            rig.work
                .git(&["ls-tree", "--name-only", "main"])
                .contains("work.txt")
        };
        let told = if has() { self.typed(rig) } else { String::new() };
        let (status, file) = (rig.work.status(), rig.work.read("work.txt"));
        must(!has() && file.is_none() && !status.contains("work.txt"), || {
            format!("not taken back: {told} {status} {file:?}")
        })
    }

    /// Types the verb; gives all that it said.
    fn typed(&self, rig: &Rig) -> String {
        said(&rig.finish(&self.command()))
    }

    fn cancelled(&self, rig: &Rig) -> Option<String> {
        let id = self.task.as_ref().unwrap();
        if !rig.task(id).status.is_over() && self.verb != Verb::Cancel {
            rig.until("a daemon", || {
                rig.finish(&["daemon", "start"]).status.success().then_some(())
            });
        }
        let began = std::time::Instant::now();
        while !rig.task(id).status.is_over() {
            let told = said(&rig.finish(&["cancel", self.id()]));
            assert!(
                began.elapsed() < BOUND,
                "it cannot be cancelled: {:?} {told} {}",
                rig.task(id),
                rig.log()
            );
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
        rig.recover();
        let over = matches!(rig.task(id).status, Status::Cancelled | Status::Failed);
        must(over, || "it was not cancelled".to_owned())
    }

    /// Nothing that the dead attempt had made is lost, and what was left to do is done.
    fn recovered(&self, rig: &Rig) -> Option<String> {
        rig.recover();
        let id = self.task.as_ref().unwrap();
        let mut task = rig.task(id);
        // On a disk that failed, it may have failed too: it says why, and goes on when it is told to.
        if task.status == Status::Failed {
            rig.ask(task.reasons.join("; "));
            rig.ok(&["resume", self.id()]);
            rig.recover();
            task = rig.task(id);
        }
        let files: &[_] = match self.verb {
            Verb::Recover => &["work.txt", "half.txt", "more.txt"],
            _ => &["work.txt"],
        };
        let log = rig.work.git(&["ls-tree", "--name-only", "khlone/main/foreman.1"]);
        let lost: Vec<_> = files
            .iter()
            .filter(|file| !log.lines().any(|line| line == **file))
            .collect();
        let once = self.verb != Verb::Complete || task.attempts.len() == 1;
        must(task.status == Status::Done && lost.is_empty() && once, || {
            format!("not recovered: {lost:?} {task:?}")
        })
    }

    fn tried_again(&self, rig: &Rig) -> Option<String> {
        let id = self.task.as_ref().unwrap();
        let mut told = String::new();
        let began = std::time::Instant::now();
        while rig.task(id).attempts.len() < 2 || !rig.task(id).status.is_over() {
            if rig.task(id).status.is_over() {
                told.push_str(&self.typed(rig));
            }
            rig.recover();
            assert!(
                began.elapsed() < BOUND,
                "it is not tried again: {told} {}",
                rig.log()
            );
        }
        let task = rig.task(id);
        if task.status != Status::Done {
            return Some(format!("tried again in vain: {told} {task:?}"));
        }
        if self.verb != Verb::RetryFresh {
            return None;
        }
        must(saved(rig).iter().any(|files| files == OWN.trim()), || {
            format!("what was not committed is lost: {told}")
        })
    }

    /// Taken back, and the first that was saved brings all of it back.
    fn rolled(&self, rig: &Rig) -> Option<String> {
        let mut told = String::new();
        let tree = rig.clone_tree("main");
        if self.verb == Verb::Rollback {
            told = self.typed(rig);
            let is_back = !tree.join("work.txt").exists() && !tree.join("own.txt").exists();
            let tip = |name: &str| rig.work.git(&["rev-parse", name]);
            let pin = format!("refs/khlone/pins/{}/1-head-before", self.id());
            if !is_back || tip("khlone/main/foreman.1") != tip(&pin) {
                return Some(format!("not taken back: {told}"));
            }
        }
        // The first that was saved; an undo that was cut short goes on by itself.
        if let Some(first) = saved_by(rig, "rollback").first() {
            if self.verb == Verb::Rollback {
                told.push_str(&said(&rig.finish(&["undo", &first.to_string()])));
            } else {
                told.push_str(&self.typed(rig));
            }
        }
        let branch = rig.work.git(&["ls-tree", "--name-only", "khlone/main/foreman.1"]);
        let there = tree.join("work.txt").exists() && branch.contains("work.txt");
        must(own(rig) == OWN && there, || {
            format!("what was not committed is lost: {told}")
        })
    }

    fn landed(&self, rig: &Rig) -> Option<String> {
        let told = self.typed(rig);
        if !rig.work.0.join("work.txt").exists() {
            return Some(format!("it has not landed: {told}"));
        }
        let status = rig.work.git(&["status", "--porcelain"]);
        must(status.is_empty(), || {
            format!("the checkout is not clean: {status} {told}")
        })
    }

    fn updated(&self, rig: &Rig) -> Option<String> {
        let told = self.typed(rig);
        let base = rig
            .work
            .git(&["merge-base", "khlone/main/foreman.1", "refs/heads/main"]);
        let tree = rig.clone_tree("main");
        let files = tree.join("work.txt").exists() && !tree.join("own.txt").exists();
        let status = crate::scratch::Work(tree).status();
        let there = base == rig.work.git(&["rev-parse", "refs/heads/main"]);
        must(there && files && !status.contains("work.txt"), || {
            format!("not updated: {told} {status}")
        })
    }
}

fn removed(rig: &Rig) -> Option<String> {
    let told = said(&rig.finish(&["zone", "remove", "main", "--force"]));
    if rig.clone_tree("main").exists() {
        return Some(format!("the worktree is still there: {told}"));
    }
    let mut undone = String::new();
    for n in saved_by(rig, "zone remove").into_iter().rev() {
        undone.push_str(&said(&rig.finish(&["undo", &n.to_string()])));
    }
    must(own(rig) == OWN, || {
        format!("what was not committed is lost: {told}{undone}")
    })
}

/// What a verb saved, in its order; not what the undoing of one saved.
fn saved_by(rig: &Rig, verb: &str) -> Vec<u64> {
    let undos = rig.with_ledger(|ledger| ledger.undos().unwrap());
    let undos = undos.into_iter().map(|(undo, _)| undo);
    let its = undos.filter(|undo| undo.undoes.is_none() && undo.verb.starts_with(verb));
    let mut numbers: Vec<u64> = its.map(|undo| undo.n).collect();
    numbers.sort_unstable();
    numbers
}

/// The clone's own file in every saved state.
fn saved(rig: &Rig) -> Vec<String> {
    let states = rig
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/undo/*/state"]);
    let read = |name: &str| {
        rig.work
            .try_git(&["show", &format!("{name}:foreman.1/work/own.txt")])
            .ok()
    };
    states.lines().filter_map(read).collect()
}

fn own(rig: &Rig) -> String {
    fs::read_to_string(rig.clone_tree("main").join("own.txt")).unwrap_or_default()
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Option<String> {
    (!holds).then(what)
}

/// All that a command said.
fn said(told: &Finished) -> String {
    [told.stdout.as_slice(), &told.stderr]
        .map(String::from_utf8_lossy)
        .concat()
}
