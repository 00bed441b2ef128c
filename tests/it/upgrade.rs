//! A site that a program of an earlier version left in the middle of work, and this one on it, as after an upgrade in
//! place: `tests/fixtures/upgrade/make` says what is in it.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, net::UnixListener},
    path::Path,
};

use git_khlone::process::{Cmd, Finished, ProcessId};
use serde_json::{Value, json};

use crate::{
    scratch::Work,
    stage::{BOUND, Stage},
    tools,
};

/// Enters the namespace in which the site was made and unpacks it; the folder that is `.git` now is the one it is bound
/// to, as if it had never been anywhere else. `$K` is the program, `id NAME` the task that has this name.
const ENTER: &str = r#"
    fixture=$1 scratch=$2 K=$3
    mount -t tmpfs tmpfs /mnt && mount --bind "$scratch/machine-id" /etc/machine-id || exit 77
    tar -C /mnt -xzf "$fixture"
    mkdir -m 700 /mnt/run
    export HOME=/mnt/home XDG_RUNTIME_DIR=/mnt/run CODEX_API_KEY=sk-stand-in KHLONE_IDLE=5
    cd /mnt/repo
    for file in .git/khlone/site.json .git/khlone-site.json; do
        sed -i "s/\"dev\": [0-9]*/\"dev\": $(stat -c %d .git)/; s/\"ino\": [0-9]*/\"ino\": $(stat -c %i .git)/" $file
    done
    id() { sed -n "s/^$1 //p" /mnt/tasks; }
    states() {
        while read -r name id; do
            git for-each-ref --format="state $1 $name %(contents:subject)" "refs/khlone/tasks/$id"
        done < /mnt/tasks
    }
"#;

/// Runs a script in it; `None` where there are no namespaces to be had.
fn in_the_site(script: &str) -> Option<Finished> {
    if !tools::has("util-linux") {
        return None;
    }
    let scratch = tempfile::tempdir().unwrap();
    fs::write(
        scratch.path().join("machine-id"),
        "6b686c6f6e6575706772616465303031\n",
    )
    .unwrap();
    // As pid 1 its end is that of every process in there.
    let done = Cmd::new("unshare")
        .args(["-rmpf", "--mount-proc", "--kill-child", "setsid"])
        .args(["sh", "-uc", &format!("{ENTER}\n{script}"), "sh"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/upgrade/site.tar.gz"
        ))
        .arg(scratch.path())
        .arg(env!("CARGO_BIN_EXE_git-khlone"))
        .only_env([("PATH".into(), std::env::var_os("PATH").unwrap())])
        .dir("/")
        .patience(BOUND)
        .finish()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    if done.status.code() == Some(77) || told.starts_with("unshare") {
        tools::skip(&format!("there are no namespaces to be had: {told}"));
        return None;
    }
    Some(done)
}

/// What `states` printed at one time: each task by its name here, with the word of its state.
fn states<'a>(said: &'a str, when: &str) -> BTreeMap<&'a str, &'a str> {
    let prefix = format!("state {when} ");
    let lines = said.lines().filter_map(|line| line.strip_prefix(&prefix));
    let words = lines.filter_map(|line| line.split_once(' '));
    words
        .map(|(name, subject)| (name, subject.split(':').next().unwrap()))
        .collect()
}

#[test]
fn what_an_earlier_version_left_goes_on_and_nothing_is_lost() {
    let Some(done) = in_the_site(
        r#"
        states before
        # The account's limit has passed.
        sed -i '/turn.failed/,$d' /mnt/bin/codex
        cat >> /mnt/bin/codex <<'END'
echo '{"type":"thread.started","thread_id":"s"}
{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"well"}}
{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
END
        "$K" daemon start; "$K" resume "$(id interrupted)"
        "$K" await --timeout 100 $(for name in parked interrupted running queued after; do id $name; done)
        states after
        show() {
            for file in foreman.1:landed foreman.1:after foreman.2:done foreman.2:half foreman.2:whole \
                foreman.4:begun foreman.4:ended foreman.4:queued; do
                echo "$1 $(git show "khlone/main/$file.txt")"
            done
            echo "$1 $(git show khlone/other/foreman.1:elsewhere.txt)"
            echo "$1 $(git show main:landed.txt)"
        }
        show file
        "$K" undo --list --json
        "$K" fsck; echo "code fsck $?"
        git fsck --strict --no-dangling; echo "code git-fsck $?"
        "$K" daemon stop
        # What is doomed has been so for long enough.
        "$K" gc; "$K" gc; echo "code gc $?"
        git gc -q --prune=now; echo "code git-gc $?"
        git fsck --strict --no-dangling; echo "code git-fsck $?"
        "$K" fsck; echo "code fsck $?"
        states at-last
        show again
        "$K" undo 2; echo "code undo $?"
        git show khlone/gone/foreman.1:gone.txt
    "#,
    ) else {
        return;
    };
    let said = String::from_utf8_lossy(&done.stdout);
    let told = String::from_utf8_lossy(&done.stderr);
    let story = format!("{said}\n{told}");
    let (before, after) = (states(&said, "before"), states(&said, "after"));
    assert_eq!(
        before,
        BTreeMap::from([
            ("after", "queued"),
            ("done", "done"),
            ("elsewhere", "done"),
            ("failed", "failed"),
            ("interrupted", "interrupted"),
            ("landed", "done"),
            ("parked", "parked"),
            ("queued", "queued"),
            ("rolled-back", "done"),
            ("running", "running"),
        ]),
        "{story}"
    );
    for (name, state) in &after {
        let wanted = match *name {
            "failed" => "failed",
            // It only answered.
            "parked" => "no-op",
            _ => "done",
        };
        assert_eq!(*state, wanted, "{name}: {story}");
    }
    assert_eq!(after.len(), before.len(), "{story}");
    assert_eq!(states(&said, "at-last"), after, "{story}");
    let codes: Vec<_> = said.lines().filter(|line| line.starts_with("code ")).collect();
    assert!(
        codes.len() == 7 && codes.iter().all(|line| line.ends_with(" 0")),
        "{codes:?} {story}"
    );
    let files = [
        "landed",
        "after",
        "done",
        "half",
        "whole",
        "begun",
        "ended",
        "queued",
        "elsewhere",
        "landed",
    ];
    for time in ["file", "again"] {
        let found = said
            .lines()
            .filter_map(|line| line.strip_prefix(time)?.strip_prefix(' '));
        assert_eq!(found.collect::<Vec<_>>(), files, "{time}: {story}");
    }
    assert!(said.ends_with("gone\n"), "{story}");
}

/// The daemon of an earlier version as far as a caller sees it: its record, its lock, and what it answered.
struct EarlierDaemon {
    _lock: fs::File,
    listener: UnixListener,
    answers: Value,
}

impl EarlierDaemon {
    fn start(stage: &Stage) -> Self {
        let dir = stage.work.0.join(".git/khlone");
        let recorded: Value = serde_json::from_str(include_str!("../fixtures/upgrade/daemon.json")).unwrap();
        let socket = stage.path().join("run/earlier.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let meta = fs::metadata(&dir).unwrap();
        let mut record = recorded["record"].clone();
        record["socket"] = json!(socket);
        record["process"] = json!(ProcessId::current().unwrap());
        record["folder"] = json!((meta.dev(), meta.ino()));
        fs::write(dir.join("daemon.json"), record.to_string()).unwrap();
        let lock = fs::File::options()
            .write(true)
            .open(dir.join("daemon.lock"))
            .unwrap();
        lock.lock().unwrap();
        Self {
            _lock: lock,
            listener,
            answers: recorded["answers"].clone(),
        }
    }

    /// Answers the caller that comes next until it hangs up; gives the methods that it called.
    fn serve_one(&self) -> Vec<String> {
        let (stream, _) = self.listener.accept().unwrap();
        let mut out = stream.try_clone().unwrap();
        let mut called = Vec::new();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let call: Value = serde_json::from_str(&line).unwrap();
            let method = call["method"].as_str().unwrap().to_owned();
            if !call["id"].is_null() {
                let mut answer = self.answers[&method].clone();
                assert!(answer.is_object(), "an earlier daemon knows no {method}");
                answer["jsonrpc"] = json!("2.0");
                answer["id"] = call["id"].clone();
                let _gone = writeln!(out, "{answer}");
            }
            called.push(method);
        }
        called
    }
}

#[test]
fn a_daemon_of_an_earlier_version_is_asked_in_words_that_it_knows() {
    let stage = Stage::new();
    stage.act("true");
    stage.run(&["daemon", "stop"]).ok();
    let daemon = EarlierDaemon::start(&stage);
    for (args, method) in [
        (&["daemon", "status"][..], "status"),
        (&["act", "--who", "@shell", "true"][..], "wake"),
    ] {
        std::thread::scope(|scope| {
            let served = scope.spawn(|| daemon.serve_one());
            let said = stage.run(args);
            assert_eq!(said.code, 0, "{args:?}: {}", said.err);
            assert_eq!(served.join().unwrap(), ["hello", method], "{args:?}");
        });
    }
    drop(daemon);
    fs::remove_file(stage.work.0.join(".git/khlone/daemon.json")).unwrap();
    stage.run(&["await"]).ok();
}

/// Writes a document of a ref again with a format that no program knows yet.
fn make_newer(work: &Work, name: &str, path: &str) {
    let text = work.git(&["show", &format!("{name}:{path}")]);
    let newer = text.replacen("\"format\": 1", "\"format\": 999", 1);
    assert_ne!(text, newer, "{path}");
    let store = |kind: &str, text: &str| {
        let file = work.0.join(".git/newer");
        fs::write(&file, text).unwrap();
        work.git(&["hash-object", "-w", "-t", kind, file.to_str().unwrap()])
    };
    let blob = store("blob", &newer);
    let index = format!("GIT_INDEX_FILE={}", work.0.join(".git/newer-index").display());
    let script = format!(
        "set -e; git read-tree '{name}^{{tree}}'; git update-index --add --cacheinfo 100644,{blob},{path}; git write-tree"
    );
    let tree = Cmd::new("env")
        .args([&index, "sh", "-c", &script])
        .dir(&work.0)
        .output()
        .unwrap();
    let tag = work.git(&["cat-file", "tag", name]);
    let (_, rest) = tag.split_once('\n').unwrap();
    let tag = store(
        "tag",
        &format!("object {}\n{rest}\n", String::from_utf8_lossy(&tree).trim_end()),
    );
    work.git(&["update-ref", name, &tag]);
}

/// Each verb refuses the document by its name, and whatever may come by changes no ref.
fn assert_refused(stage: &Stage, document: &str, verbs: &[&[&str]]) {
    let refs = || stage.work.git(&["for-each-ref"]);
    let before = refs();
    for verb in verbs {
        let said = stage.run(verb);
        assert!(
            said.code != 0 && said.err.contains(&format!("{document} has format 999")),
            "{verb:?}: {} {}",
            said.out,
            said.err
        );
    }
    for verb in [
        &["daemon", "start"][..],
        &["gc"],
        &["fsck", "--repair"],
        &["daemon", "stop"],
    ] {
        drop(stage.run(verb));
    }
    assert_eq!(refs(), before, "{document}");
}

#[test]
fn a_document_of_a_later_version_is_refused_by_name_and_left_as_it_is() {
    let stage = Stage::new();
    let (_, task) = stage.act("exit 3");
    stage.run(&["daemon", "stop"]).ok();
    let id = task["task"].as_str().unwrap();
    let name = format!("refs/khlone/tasks/{id}");
    let whole = stage.work.git(&["rev-parse", &name]);
    make_newer(&stage.work, &name, "task.json");
    let of_task: Vec<_> = [
        "show", "await", "resume", "retry", "cancel", "rollback", "land", "log",
    ]
    .map(|verb| vec![verb, id])
    .into();
    let of_task: Vec<&[&str]> = of_task.iter().map(Vec::as_slice).collect();
    assert_refused(&stage, "task.json", &of_task);
    stage.work.git(&["update-ref", &name, &whole]);

    let zone = "refs/khlone/zones/main";
    let whole = stage.work.git(&["rev-parse", zone]);
    let of_zone: [&[&str]; 4] = [
        &["act", "--who", "@shell", "true"],
        &["path", "foreman.1"],
        &["land", id],
        &["zone", "remove", "main", "--force"],
    ];
    for (path, document) in [("zone.json", "zone.json"), ("crew/foreman.1.json", "crew.json")] {
        make_newer(&stage.work, zone, path);
        assert_refused(&stage, document, &of_zone);
        stage.work.git(&["update-ref", zone, &whole]);
    }

    let file = stage.work.0.join(".git/khlone/site.json");
    let text = fs::read_to_string(&file).unwrap();
    let newer = text.replacen("\"format\": 1", "\"format\": 999", 1);
    fs::write(&file, &newer).unwrap();
    assert_refused(&stage, "site.json", &of_zone[..1]);
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
    fs::write(Path::new(&file), text).unwrap();
    stage.run(&["fsck"]).ok();
}
