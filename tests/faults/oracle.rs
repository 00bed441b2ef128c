//! What must hold after any fault, judged from what the client and the brains wrote down themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use git_khlone::{
    task::{Task, TaskId},
    upkeep::fsck::fsck,
};

use crate::rig::Rig;

/// What the client asked for, and what it was told; kept outside the repository.
#[derive(Debug, Default, Clone)]
pub(crate) struct Journal {
    intents: BTreeSet<String>,
    acks: BTreeMap<TaskId, String>,
    /// How often a person had a task tried again.
    pub(crate) again: usize,
}

impl Journal {
    pub(crate) fn intent(&mut self, key: &str) {
        self.intents.insert(key.to_owned());
    }

    pub(crate) fn ack(&mut self, id: TaskId, key: &str) {
        self.intent(key);
        self.acks.insert(id, key.to_owned());
    }

    pub(crate) fn acks(&self) -> usize {
        self.acks.len()
    }
}

/// What there is now.
#[derive(Debug, Default, Clone)]
pub(crate) struct Evidence {
    /// Every task, with its prompt.
    pub(crate) tasks: Vec<(Task, String)>,
    /// Every run of a brain that its own ledger knows, by task.
    pub(crate) runs: BTreeMap<String, usize>,
    /// What is wrong with the ledger, the repository, and what was nobody's to touch.
    pub(crate) wrong: Vec<String>,
}

/// Files that no fault may change: the main work tree and the other zone's.
pub(crate) struct Untouched(Vec<(PathBuf, Vec<u8>)>);

impl Untouched {
    pub(crate) fn of(rig: &Rig) -> Self {
        Self(look_at(rig))
    }
}

fn look_at(rig: &Rig) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for top in [rig.work.0.clone(), rig.clone_tree("other")] {
        below(&top, &mut files);
    }
    for name in ["HEAD", "config"] {
        let path = rig.common().join(name);
        files.push((path.clone(), fs::read(&path).unwrap_or_default()));
    }
    // Wherever git keeps them.
    for name in [
        "refs/heads/main",
        "refs/heads/other",
        "refs/heads/khlone/other/foreman.1",
    ] {
        files.push((name.into(), rig.work.git(&["rev-parse", name]).into_bytes()));
    }
    files.sort();
    files
}

fn below(dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name() != ".git")
    {
        if entry.file_type().unwrap().is_dir() {
            below(&entry.path(), files);
        } else {
            files.push((entry.path(), fs::read(entry.path()).unwrap_or_default()));
        }
    }
}

/// Looks at everything. Nothing runs any more.
pub(crate) fn gather(rig: &Rig, untouched: Option<&Untouched>) -> Evidence {
    let mut evidence = Evidence::default();
    rig.with_ledger(|ledger| {
        for head in ledger.heads().unwrap() {
            let stored = ledger.task(&head.id).unwrap();
            let prompt = ledger.file(&stored, "prompt.md").unwrap().unwrap_or_default();
            evidence
                .tasks
                .push((stored.task, String::from_utf8_lossy(&prompt).into_owned()));
        }
        let problems = fsck(ledger, &|_, _| {}).unwrap().problems;
        evidence.wrong.extend(
            problems
                .iter()
                .map(|problem| format!("fsck: {} {}", problem.name, problem.what)),
        );
    });
    for (task, _) in &evidence.tasks {
        let tree = rig
            .path()
            .join(format!("repo.khlone/repo-{}.{}", task.zone, task.clone));
        let text = fs::read_to_string(tree.join("runs.txt")).unwrap_or_default();
        let runs = text
            .lines()
            .filter(|line| line.starts_with(task.id.as_str()))
            .count();
        evidence.runs.insert(task.id.to_string(), runs);
    }
    if let Err(error) = rig.work.try_git(&["fsck", "--strict", "--no-dangling"]) {
        evidence.wrong.push(format!("git fsck: {error}"));
    }
    evidence.wrong.extend(
        locks(&rig.common())
            .iter()
            .map(|path| format!("a lock is left: {}", path.display())),
    );
    evidence.wrong.extend(
        rig.processes()
            .iter()
            .map(|(pid, line)| format!("a process is left: {pid} {line}")),
    );
    for socket in fs::read_dir(rig.path().join("run/khlone"))
        .into_iter()
        .flatten()
        .flatten()
    {
        evidence
            .wrong
            .push(format!("a socket is left: {}", socket.path().display()));
    }
    if let Some(untouched) = untouched {
        let now: BTreeMap<_, _> = look_at(rig).into_iter().collect();
        for (path, bytes) in &untouched.0 {
            if now.get(path) != Some(bytes) {
                evidence.wrong.push(format!("{} is another", path.display()));
            }
        }
    }
    evidence
}

/// Git's locks. What bears that name in our own folder is held by flock and stays.
pub(crate) fn locks(common: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![common.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                // What is in a clone's own git folder is cleared before anything of ours works there.
                if path != common.join("khlone") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "lock") {
                found.push(path);
            }
        }
    }
    found
}

/// Everything that is not as it must be.
pub(crate) fn judge(journal: &Journal, evidence: &Evidence) -> Vec<String> {
    let mut wrong = evidence.wrong.clone();
    let ids: BTreeSet<_> = evidence.tasks.iter().map(|(task, _)| &task.id).collect();
    for (id, key) in &journal.acks {
        if !ids.contains(id) {
            wrong.push(format!("{id} ({key}) was acknowledged and is lost"));
        }
    }
    for key in &journal.intents {
        let count = evidence
            .tasks
            .iter()
            .filter(|(_, prompt)| prompt.starts_with(&format!(": {key}\n")))
            .count();
        if count > 1 {
            wrong.push(format!("{key} was asked for once and is there {count} times"));
        }
    }
    for (task, _) in &evidence.tasks {
        let id = &task.id;
        if !task.status.is_over() {
            wrong.push(format!("{id} is {} and nobody is at it", task.status));
        }
        let runs = evidence.runs.get(id.as_str()).copied().unwrap_or_default();
        if runs > task.attempts.len() {
            wrong.push(format!(
                "{id} ran {runs} times in {} attempts",
                task.attempts.len()
            ));
        }
        // An attempt whose end was written down is the last one, unless somebody asked for another, or its brain was killed.
        let ended = task
            .attempts
            .iter()
            .filter(|attempt| attempt.exit.is_some() && attempt.died.is_none())
            .count();
        if ended > 1 + journal.again {
            wrong.push(format!("{id} has {ended} results"));
        }
    }
    wrong
}
