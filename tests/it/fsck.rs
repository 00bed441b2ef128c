//! Ledgers damaged on purpose, one kind of damage at a time: each is named with its ref and a next step, derived
//! parts are built again, and nothing else is touched.

use std::fs;

use git_khlone::{process::Cmd, task::TaskId};
use serde_json::{Value, json};

use crate::daemon::site::Site;

/// A site with an act that committed and an ask, both over, and no daemon.
struct Damaged {
    site: Site,
    act: TaskId,
    ask: TaskId,
}

impl Damaged {
    fn new() -> Self {
        let site = Site::new();
        let act = site.act("@shell", "echo one > one.txt");
        let ask = site
            .run(&["ask", "--who", "@shell", "cat a.txt"])
            .parse()
            .unwrap();
        site.run(&["await", act.as_str(), "--timeout", "110"]);
        let this = Self { site, act, ask };
        this.site.run(&["await", this.ask.as_str(), "--timeout", "110"]);
        this.site.run(&["daemon", "stop"]);
        this
    }

    fn git(&self, args: &[&str]) -> String {
        self.site.work.git(args)
    }

    fn fsck(&self, args: &[&str]) -> (i32, Value) {
        let done = self.site.finish(&[&["--json", "fsck"], args].concat());
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)));
        (done.status.code().unwrap(), report)
    }

    fn task(&self) -> String {
        format!("refs/khlone/tasks/{}", self.act)
    }

    /// Puts `bytes` into the tree behind a ref (nothing: takes the file away), under a tag with the same message.
    fn plant(&self, name: &str, path: &str, bytes: Option<&[u8]>) {
        let index = self.site.path().join("planted-index");
        drop(fs::remove_file(&index));
        let git = |args: &[&str], input: &[u8]| {
            let git = Cmd::new("git")
                .dir(&self.site.work.0)
                .env("GIT_INDEX_FILE", &index);
            let out = git.args(args).input(input).output().unwrap();
            String::from_utf8(out).unwrap().trim_end().to_owned()
        };
        git(&["read-tree", &format!("{name}^{{tree}}")], b"");
        match bytes {
            Some(bytes) => {
                let blob = git(&["hash-object", "-w", "--stdin"], bytes);
                let info = format!("100644,{blob},{path}");
                git(&["update-index", "--add", "--cacheinfo", &info], b"")
            }
            None => git(&["update-index", "--force-remove", path], b""),
        };
        let tree = git(&["write-tree"], b"");
        let tag = git(&["cat-file", "tag", name], b"");
        let rest = tag.split_once('\n').unwrap().1;
        let tag = git(&["mktag"], format!("object {tree}\n{rest}\n").as_bytes());
        git(&["update-ref", name, &tag], b"");
    }

    fn document(&self, path: &str) -> Value {
        serde_json::from_str(&self.git(&["cat-file", "-p", &format!("{}:{path}", self.task())])).unwrap()
    }

    /// The act's task.json, changed.
    fn change(&self, change: impl Fn(&mut Value)) {
        let mut task = self.document("task.json");
        change(&mut task);
        self.plant(&self.task(), "task.json", Some(task.to_string().as_bytes()));
    }

    /// Everything that our refs say, to be compared and brought back.
    fn refs(&self) -> String {
        self.git(&[
            "for-each-ref",
            "--format=%(objectname) %(refname)",
            "refs/khlone",
            "refs/notes",
        ])
    }

    fn bring_back(&self, refs: &str) {
        for line in self.refs().lines() {
            self.git(&["update-ref", "-d", line.split_once(' ').unwrap().1]);
        }
        for line in refs.lines() {
            let (oid, name) = line.split_once(' ').unwrap();
            self.git(&["update-ref", name, oid]);
        }
    }

    /// Damages, and expects exactly one kind of problem, at a ref that ends so; then all is as before.
    fn expect(&self, kind: &str, name: &str, damage: impl FnOnce(&Self)) {
        let before = self.refs();
        damage(self);
        let damaged = self.refs();
        let (code, report) = self.fsck(&[]);
        let problems = report["problems"].as_array().unwrap();
        assert_eq!(code, 1, "{kind}: {report:#}");
        let kinds: Vec<_> = problems
            .iter()
            .map(|problem| problem["kind"].as_str().unwrap())
            .collect();
        assert!(kinds.contains(&kind), "{kind}: {report:#}");
        let found = problems.iter().find(|problem| problem["kind"] == kind).unwrap();
        assert!(
            found["ref"].as_str().unwrap().ends_with(name),
            "{kind}: {report:#}"
        );
        assert!(!found["next"].as_str().unwrap().is_empty());
        if found["derived"] == true {
            let (code, report) = self.fsck(&["--repair"]);
            assert_eq!(code, 0, "{kind}: {report:#}");
            assert!(!report["repaired"].as_array().unwrap().is_empty());
        } else {
            // What is not derived is left as it lies.
            let (code, after) = self.fsck(&["--repair"]);
            let all_of_it = problems.iter().all(|problem| problem["derived"] == false);
            assert_eq!(code, 1);
            assert!(after["problems"].as_array().unwrap().contains(found), "{after:#}");
            assert!(!all_of_it || self.refs() == damaged, "{kind}");
        }
        self.bring_back(&before);
        assert_eq!(self.fsck(&[]), (0, clean(&self.fsck(&[]).1)), "{kind}");
    }
}

fn clean(report: &Value) -> Value {
    let mut report = report.clone();
    report["problems"] = json!([]);
    report["clean"] = json!(true);
    report
}

#[test]
fn every_kind_of_damage_is_named() {
    let ledger = Damaged::new();
    let (code, report) = ledger.fsck(&[]);
    assert_eq!(
        (code, &report["tasks_checked"], &report["zones_checked"]),
        (0, &json!(2), &json!(1)),
        "{report:#}"
    );
    let task = ledger.task();
    let id = ledger.act.as_str();
    let head = ledger.git(&["rev-parse", "HEAD"]);

    ledger.expect("ref", id, |ledger| {
        drop(ledger.git(&["update-ref", &task, &head]))
    });
    ledger.expect("stray", "refs/khlone/what", |ledger| {
        ledger.git(&["update-ref", "refs/khlone/what", &head]);
    });
    ledger.expect("stray", "t-0000000000/1-head-after", |ledger| {
        ledger.git(&["update-ref", "refs/khlone/pins/t-0000000000/1-head-after", &head]);
    });
    ledger.expect("document", id, |ledger| {
        ledger.plant(&task, "task.json", Some(b"{\"format\": 1"))
    });
    ledger.expect("document", id, |ledger| {
        ledger.change(|task| task["format"] = json!(2))
    });
    ledger.expect("document", id, |ledger| {
        ledger.plant(&task, "prompt.md", Some(b"something else"))
    });
    ledger.expect("document", id, |ledger| ledger.plant(&task, "config.json", None));
    ledger.expect("document", id, |ledger| {
        ledger.plant(&task, "attempts/1/effects.json", Some(b"[]"));
    });
    ledger.expect("document", "zones/main", |ledger| {
        ledger.plant("refs/khlone/zones/main", "zone.json", Some(b"{}"));
    });
    ledger.expect("name", "t-0000000000", |ledger| {
        ledger.git(&["update-ref", "refs/khlone/tasks/t-0000000000", &task]);
    });
    ledger.expect("name", "zones/other", |ledger| {
        ledger.git(&["update-ref", "refs/khlone/zones/other", "refs/khlone/zones/main"]);
    });
    ledger.expect("owner", id, |ledger| {
        ledger.change(|task| task["owner"]["machine"] = json!(""))
    });
    ledger.expect("history", id, |ledger| ledger.plant(&task, "history.jsonl", None));
    ledger.expect("history", id, |ledger| {
        let lines = ledger.git(&["cat-file", "-p", &format!("{task}:history.jsonl")]);
        let (kept, _) = lines.rsplit_once('\n').unwrap();
        ledger.plant(&task, "history.jsonl", Some(kept.as_bytes()));
    });
    ledger.expect("history", id, |ledger| {
        let lines = ledger.git(&["cat-file", "-p", &format!("{task}:history.jsonl")]);
        let short = lines.replace("\"to\":\"finishing\"", "\"to\":\"done\"");
        let short = short.replace("\"from\":\"finishing\"", "\"from\":\"done\"");
        ledger.plant(&task, "history.jsonl", Some(short.as_bytes()));
    });
    ledger.expect("state", id, |ledger| {
        ledger.change(|task| task["outcome"] = json!("timeout"))
    });
    ledger.expect("state", id, |ledger| {
        ledger.change(|task| task["attempts"][0]["n"] = json!(7))
    });
    ledger.expect("seq", ledger.ask.as_str().max(id), |ledger| {
        let ask = format!("refs/khlone/tasks/{}", ledger.ask);
        let text = ledger.git(&["cat-file", "-p", &format!("{ask}:task.json")]);
        let mut other: Value = serde_json::from_str(&text).unwrap();
        other["seq"] = ledger.document("task.json")["seq"].clone();
        ledger.plant(&ask, "task.json", Some(other.to_string().as_bytes()));
    });
    ledger.expect("tag", id, |ledger| {
        ledger.change(|task| task["title"] = json!("another title"))
    });
    ledger.expect("pin", "1-head-after", |ledger| {
        ledger.git(&["update-ref", "-d", &format!("refs/khlone/pins/{id}/1-head-after")]);
    });
    ledger.expect("note", "refs/notes/khlone", |ledger| {
        ledger.git(&["update-ref", "-d", "refs/notes/khlone"]);
    });
    ledger.expect("note", "refs/notes/khlone", |ledger| {
        ledger.git(&[
            "notes",
            "--ref=khlone",
            "add",
            "-m",
            "Khlone-Task: t-0000000000",
            &head,
        ]);
    });
    ledger.expect("note", "refs/notes/khlone", |ledger| {
        let blob = ledger.git(&["rev-parse", "HEAD:a.txt"]);
        fs::write(
            ledger.site.common().join("refs/notes/khlone"),
            format!("{blob}\n"),
        )
        .unwrap();
    });
    ledger.expect("counter", "khlone/seq", |ledger| {
        fs::remove_file(ledger.site.common().join("khlone/seq")).unwrap();
    });
}

/// What a disk does: a ref's file emptied, an object gone.
#[test]
fn what_a_disk_lost_is_named() {
    let ledger = Damaged::new();
    let file = ledger.site.common().join(ledger.task());
    let text = fs::read(&file).unwrap();
    fs::write(&file, "").unwrap();
    let (code, report) = ledger.fsck(&[]);
    assert_eq!(
        (code, &report["problems"][0]["kind"]),
        (1, &json!("ref")),
        "{report:#}"
    );
    fs::write(&file, text).unwrap();
    assert_eq!(ledger.fsck(&[]).0, 0);

    // All objects loose, so that one of them can go.
    let packs = ledger.site.common().join("objects/pack");
    let aside = ledger.site.path().join("aside");
    fs::rename(&packs, &aside).unwrap();
    fs::create_dir(&packs).unwrap();
    for entry in fs::read_dir(&aside).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            let unpack = Cmd::new("git")
                .dir(&ledger.site.work.0)
                .args(["unpack-objects", "-q"]);
            unpack.input(fs::read(path).unwrap()).output().unwrap();
        }
    }
    assert_eq!(ledger.fsck(&[]).0, 0);
    let snapshot = ledger.git(&[
        "rev-parse",
        &format!("{}:attempts/1/after/one.txt", ledger.task()),
    ]);
    let (folder, name) = snapshot.split_at(2);
    fs::remove_file(ledger.site.common().join("objects").join(folder).join(name)).unwrap();
    let (code, report) = ledger.fsck(&[]);
    assert_eq!(code, 1);
    let missing: Vec<_> = report["problems"].as_array().unwrap().iter().collect();
    assert!(
        missing.iter().any(|problem| problem["kind"] == "missing"
            && problem["what"].as_str().unwrap().contains(&snapshot)
            && problem["ref"] == ledger.task().as_str()),
        "{report:#}"
    );
}

#[test]
fn ids_that_are_none_are_named() {
    let damaged = Damaged::new();
    for id in ["a", "", "\u{e9}t\u{e9}", &"z".repeat(40), &"A".repeat(40)] {
        damaged.expect("document", damaged.act.as_str(), |it| {
            let mut effects = it.document("attempts/1/effects.json");
            effects["commits"] = json!([id]);
            it.plant(
                &it.task(),
                "attempts/1/effects.json",
                Some(effects.to_string().as_bytes()),
            );
        });
    }
}
