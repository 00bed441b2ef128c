//! What fifty checkpoints a task cost: the goal is less than 50 MB for 100 tasks in a repository of 15,000 files.
//! `KHLONE_CHECKPOINT_TASKS=100` measures all of it.

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::{fs, path::Path, time::Instant};

use super::{store::Store, worker::Subject, *};
use crate::{
    process::Cmd,
    refs::{Ledger, NewTask, Oid, Repo, Site},
    task::{Task, TaskId},
    worktree::{
        checkout::Checkout,
        receipt::take_receipt,
        snapshot::{Limits, Source},
    },
};

const FILES: usize = 15_000;

fn git(dir: &Path, args: &[&str]) -> String {
    let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
    let out = Cmd::new("git").dir(dir).args(who).args(args).output().unwrap();
    String::from_utf8(out).unwrap().trim().to_owned()
}

fn path_of(number: usize) -> String {
    format!(
        "src/area{:02}/part{:03}/file{number:05}.rs",
        number % 40,
        number / 40 % 25
    )
}

/// The text of a source file, different in each.
fn text_of(number: usize) -> String {
    let line = |n| {
        format!(
            "fn f{n}_{}() {{ call({}); }}\n",
            number * 7919 % 10_007,
            n * number % 977
        )
    };
    (0..20 + number % 120).map(line).collect()
}

struct Lab {
    _dir: tempfile::TempDir,
    repo: Repo,
    site: Site,
    checkout: Checkout,
    head: Oid,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main");
        for number in 0..FILES {
            let path = main.join(path_of(number));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text_of(number).as_bytes()))
                .unwrap();
        }
        git(&main, &["init", "-q", "-b", "main"]);
        git(&main, &["config", "gc.auto", "0"]);
        git(&main, &["add", "-A"]);
        git(&main, &["commit", "-q", "-m", "all"]);
        git(&main, &["worktree", "add", "-q", "-b", "work", "../work"]);
        let repo = Repo::open(&main.join(".git")).unwrap();
        let site = Site::open(&repo, "test-machine").unwrap();
        let checkout = Checkout::linked(repo.common_dir()).unwrap().remove(0);
        let head = repo.ref_target("refs/heads/work").unwrap().unwrap();
        Self {
            _dir: dir,
            repo,
            site,
            checkout,
            head,
        }
    }

    fn subject(&self, n: u64) -> Subject {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/documents/task.json");
        let mut task: Task = serde_json::from_slice(&fs::read(golden).unwrap()).unwrap();
        task.id = TaskId::from_entropy(n);
        task.with_changes = None;
        let ledger = Ledger::new(&self.repo, &self.site);
        let new = NewTask {
            task,
            prompt: "p".to_owned(),
            config: serde_json::json!({}),
        };
        let task = ledger.create(new, "cli").unwrap().task;
        let source = Source {
            work_dir: &self.checkout.path,
            index: &self.checkout.git_dir.join("index"),
            repo: &self.repo,
            pinned: Some(self.head),
        };
        let mut pack = Pack::begin(&self.site).unwrap();
        let last = take_receipt(&source, &Limits::default(), None, &mut pack).unwrap();
        let dir = self.site.layout().attempt(&task.id, 1);
        fs::create_dir_all(&dir).unwrap();
        Subject {
            site: self.site.clone(),
            generation: task.generation,
            task: task.id,
            checkout: self.checkout.clone(),
            pinned: self.head,
            max_blob: 50 << 20,
            private: None,
            dir,
            last,
        }
    }

    fn size(&self) -> u64 {
        let packs = fs::read_dir(self.repo.common_dir().join("objects/pack")).unwrap();
        packs.flatten().map(|entry| entry.metadata().unwrap().len()).sum()
    }
}

#[test]
fn fifty_checkpoints_of_a_large_repository_stay_small() {
    let tasks: u64 = std::env::var("KHLONE_CHECKPOINT_TASKS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    let lab = Lab::new();
    let (mut grown, mut took, mut count) = (0, std::time::Duration::ZERO, 0);
    for n in 0..tasks {
        let mut subject = lab.subject(n + 1);
        let before = lab.size();
        for k in 1..=50 {
            // A brain edits some files over and over.
            let number = usize::try_from(n * 31 + u64::from(k) % 12 * 997).unwrap() % FILES;
            let path = lab.checkout.path.join(path_of(number));
            let text = format!("{}// {k}\n", fs::read_to_string(&path).unwrap());
            fs::File::create(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                .unwrap();
            let moment = Moment {
                k,
                time: i64::from(k),
                position: Position::default(),
                progress: Progress::default(),
            };
            let began = Instant::now();
            subject.take(&lab.repo, moment).unwrap();
            took += began.elapsed();
            count += 1;
        }
        let ledger = Ledger::new(&lab.repo, &lab.site);
        let store = Store::at(&subject.dir);
        let mut pack = Pack::begin(&lab.site).unwrap();
        let all = give(&store, &mut pack);
        assert_eq!(all.len(), 50);
        ledger
            .update_with(&mut pack, &subject.task, "runner", |update| {
                record(update.edit, "attempts/1/checkpoints", &all).map_err(LedgerError::from)
            })
            .unwrap();
        store.clear();
        grown += lab.size() - before;
    }
    let loose = git(lab.repo.common_dir(), &["count-objects", "-v"]);
    println!(
        "{tasks} tasks: {} KiB in all, {} KiB a task, {:?} a checkpoint; {}",
        grown >> 10,
        (grown / tasks) >> 10,
        took / count,
        loose.replace('\n', ", ")
    );
    assert!(
        grown / tasks < (50 << 20) / 100,
        "{grown} bytes for {tasks} tasks"
    );
    // Kept packs do not count: the user's `gc --auto` sees nothing of it.
    let unkept = fs::read_dir(lab.repo.common_dir().join("objects/pack"))
        .unwrap()
        .flatten();
    let unkept = unkept.filter(|entry| entry.path().extension().is_some_and(|it| it == "pack"));
    assert_eq!(
        unkept
            .filter(|pack| !pack.path().with_extension("keep").exists())
            .count(),
        0
    );
    git(lab.repo.common_dir(), &["fsck", "--strict"]);
}
