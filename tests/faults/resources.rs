//! What runs out: the disk, processes, file descriptors; and a clock that was wrong.

use std::{cell::RefCell, fs, os::unix::net::UnixStream, process::Stdio};

use git_khlone::{
    process::Cmd,
    task::{Outcome, Status},
};
use serde_json::Value;

use crate::{
    inject::{Fault, Place, record, strike},
    oracle::{Journal, gather, judge},
    rig::{BOUND, Rig, program},
    tools::{has, skip},
};

/// A task that was cancelled while its runner was on its way does not run (found by the sweep).
#[test]
fn a_runner_that_comes_too_late_for_a_cancel_runs_nothing() {
    let rig = Rig::new();
    let id = rig.queue("cancelled", "echo ran > ran.txt");
    rig.ok(&["cancel", id.as_str()]);
    let site = rig.common().display().to_string();
    let late = rig.finish(&["runner", "--site", &site, "--task", id.as_str()]);
    assert!(!late.status.success());
    let task = rig.task(&id);
    assert_eq!(
        (task.status, task.attempts.len()),
        (Status::Cancelled, 0),
        "{task:?}"
    );
    assert!(!rig.clone_tree("main").join("ran.txt").exists());
}

/// A brain can leave so much in its temporary folder that removing it takes minutes.
#[test]
fn a_clone_is_free_before_its_runner_has_tidied_up() {
    if !has("strace") {
        return;
    }
    let rig = Rig::new();
    let id = rig.queue("tidy", "echo x > /tmp/left-behind");
    let site = rig.common().display().to_string();
    let (_, log) = record(&rig, &["runner", "--site", &site, "--task", id.as_str()]);
    assert_eq!(rig.task(&id).outcome, Some(Outcome::Done), "{log}");
    let first = |words: [&str; 3]| {
        let mut lines = log.lines();
        lines.position(|line| words.iter().all(|word| line.contains(word)))
    };
    let freed = first(["flock", "clones/main.foreman.1.lock", "LOCK_UN"]);
    let tidied = first(["unlinkat", "/tmp", "left-behind"]);
    assert!(freed.is_some() && freed < tidied, "{log}");
}

/// Killed after all is written down: nothing runs again, and the work comes home.
#[test]
fn an_attempt_that_was_written_down_is_completed_once_the_disk_allows_it() {
    if !has("strace") {
        return;
    }
    let rig = Rig::new();
    let id = rig.queue("home", "echo home > home.txt");
    let site = rig.common().display().to_string();
    let args = ["runner", "--site", &site, "--task", id.as_str()];
    // Where the branch is about to move, however many checkpoints came before.
    let place = Place {
        fault: Fault::Point,
        call: "branch refs/heads/khlone/".to_owned(),
        n: 1,
    };
    assert!(strike(&rig, &args, Some(&place), |_| {}).hit);
    assert_eq!(rig.task(&id).status, Status::Finishing);
    rig.recover();
    let task = rig.task(&id);
    assert_eq!(
        (task.outcome, task.attempts.len()),
        (Some(Outcome::Done), 1),
        "{task:?}"
    );
    assert_eq!(rig.work.git(&["show", "khlone/main/foreman.1:home.txt"]), "home");
}

/// An undo that could not put a file back keeps what it was made from (found by the sweep: ENOSPC).
#[test]
fn an_undo_that_could_not_put_all_back_keeps_what_was_saved() {
    if !has("strace") {
        return;
    }
    let rig = Rig::new();
    let tree = rig.clone_tree("other");
    rig.ok(&["zone", "remove", "other", "--force"]);
    assert!(!tree.exists());
    let saved = || rig.work.git(&["for-each-ref", "refs/khlone/undo/*/state"]);
    assert!(!saved().is_empty());
    // A disk that is full for every rename of the restore, and for none of what comes before.
    rig.save();
    let all = strike(&rig, &["undo"], None, |_| {}).count("renameat");
    rig.restore();
    let mut kept = false;
    for n in (1..=all).rev() {
        let place = Place {
            fault: if n % 2 == 0 { Fault::Full } else { Fault::Quota },
            call: "renameat".to_owned(),
            n,
        };
        strike(&rig, &["undo"], Some(&place), |_| {});
        let is_back = tree.join("own.txt").exists();
        assert!(
            is_back || !saved().is_empty(),
            "renameat {n}: neither saved nor brought back"
        );
        kept |= !is_back;
        rig.pass_time();
        drop(rig.finish(&["undo"]));
        assert!(tree.join("own.txt").exists(), "renameat {n}");
        rig.restore();
    }
    assert!(kept, "no fault kept it from coming back");
}

/// No process can be started for a while: the task keeps its place, and no attempt is burnt.
#[test]
fn a_runner_that_cannot_be_forked_burns_no_attempt() {
    if !has("strace") {
        return;
    }
    let rig = Rig::new();
    let id = rig.queue("forked", "echo forked > forked.txt");
    let log = rig.path().join("strace");
    let daemon = Cmd::new("strace")
        .args(["-q", "-o"])
        .arg(&log)
        .args([
            "-e",
            "trace=clone,clone3,fork,vfork",
            "-e",
            "inject=clone,clone3,fork,vfork:error=EAGAIN:when=2..4",
        ])
        .arg("--")
        .arg(program())
        .args(["daemon", "run", "--site"])
        .arg(rig.common())
        .only_env(rig.env())
        .dir("/")
        .into_inner()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = RefCell::new(daemon);
    // The daemon itself may not come up without its threads: then it is started again, as any command does.
    rig.until("its end", || {
        if daemon.borrow_mut().try_wait().is_ok_and(|ended| ended.is_some()) {
            drop(rig.finish(&["daemon", "start"]));
        }
        rig.task(&id).status.is_over().then_some(())
    });
    let task = rig.task(&id);
    assert_eq!(
        (task.outcome, task.attempts.len()),
        (Some(Outcome::Done), 1),
        "{task:?}\n{}",
        rig.log()
    );
    assert!(
        fs::read_to_string(&log).unwrap().contains("EAGAIN"),
        "the fault did not come about"
    );
    rig.stop();
    drop(daemon.borrow_mut().wait());
}

/// Too many callers for its file descriptors: what runs ends, and callers are served once there is room.
#[test]
fn a_daemon_out_of_file_descriptors_recovers() {
    let rig = Rig::new();
    let id = rig.queue("few", "until [ -e go ]; do sleep 0.02; done; echo few > few.txt");
    let mut daemon = Cmd::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$0\" daemon run --site \"$1\""])
        .arg(program())
        .arg(rig.common())
        .only_env(rig.env())
        .dir("/")
        .into_inner()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    rig.until("the start", || {
        (rig.task(&id).status == Status::Running).then_some(())
    });
    let record: Value =
        serde_json::from_slice(&fs::read(rig.common().join("khlone/daemon.json")).unwrap()).unwrap();
    let socket = record["socket"].as_str().unwrap();
    let crowd: Vec<_> = (0..100)
        .filter_map(|_| UnixStream::connect(socket).ok())
        .collect();
    assert!(crowd.len() > 40, "{}", crowd.len());
    fs::write(rig.clone_tree("main").join("go"), "").unwrap();
    rig.until("the end of what runs", || {
        rig.task(&id).status.is_over().then_some(())
    });
    drop(crowd);
    rig.until("an answer", || {
        rig.finish(&["daemon", "status"]).status.success().then_some(())
    });
    rig.stop();
    drop(daemon.wait());
    let mut journal = Journal::default();
    journal.ack(id, "few");
    assert_eq!(judge(&journal, &gather(&rig, None)), Vec::<String>::new());
}

/// A clock that was a day ahead when a task was queued, and is right again: order is by arrival.
#[test]
fn a_clock_that_steps_back_changes_no_order_and_no_history() {
    let rig = Rig::new();
    let ahead = rig.queue("ahead", "echo ahead >> order.txt");
    rig.with_ledger(|ledger| {
        let day = |update: &mut git_khlone::refs::Update<'_>| -> Result<(), git_khlone::refs::LedgerError> {
            update.task.created += 86_400;
            update.task.updated += 86_400;
            Ok(())
        };
        ledger.update(&ahead, "cli", day).unwrap();
    });
    let behind = rig.queue("behind", "echo behind >> order.txt");
    rig.recover();
    let mut journal = Journal::default();
    journal.ack(ahead, "ahead");
    journal.ack(behind, "behind");
    assert_eq!(judge(&journal, &gather(&rig, None)), Vec::<String>::new());
    assert_eq!(
        fs::read_to_string(rig.clone_tree("main").join("order.txt")).unwrap(),
        "ahead\nbehind\n"
    );
}

/// A file system of its own, which only this script sees: full, then read-only, then with room again. What was
/// acknowledged in between is all there, and done.
#[test]
fn a_full_and_a_read_only_disk_lose_nothing_that_was_acknowledged() {
    if !has("util-linux") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs -o size=6m tmpfs "$1" || exit 77
        cd "$1"; export HOME="$2" XDG_RUNTIME_DIR="$2" KHLONE_IDLE=2
        git init -q -b main repo; cd repo
        git config user.name Ann; git config user.email ann@example.com
        echo a > a.txt; git add -A; git commit -qm first
        K="$0"; acks=""
        act() { id=$("$K" act --who @shell "$1" 2>>"$2/told") && acks="$acks $id"; }
        act 'echo before > before.txt' "$2"; "$K" await $acks --timeout 50 2>/dev/null
        head -c 6m /dev/zero > ../ballast 2>/dev/null
        refused=0; for n in 1 2 3; do act "echo $n > full$n.txt" "$2" || refused=$((refused+1)); done
        rm ../ballast
        mount -o remount,ro "$1"; act 'echo never > never.txt' "$2" || refused=$((refused+1)); mount -o remount,rw "$1"
        act 'echo after > after.txt' "$2"
        "$K" daemon start 2>/dev/null; "$K" await $acks --timeout 50 >/dev/null 2>&1
        for id in $acks; do echo "ack $id $(git for-each-ref --format='%(contents:subject)' refs/khlone/tasks/$id)"; done
        echo "refused $refused"
        "$K" daemon stop 2>/dev/null
        "$K" fsck; git fsck --strict 2>&1 || echo broken
    "#;
    let home = tempfile::tempdir().unwrap();
    let run = Cmd::new("unshare")
        .args(["-rm", "sh", "-uc", script])
        .arg(program())
        .arg(dir.path())
        .arg(home.path())
        .dir("/")
        .patience(BOUND * 4)
        .finish()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let told = String::from_utf8_lossy(&run.stderr).into_owned()
        + &fs::read_to_string(home.path().join("told")).unwrap_or_default();
    if run.status.code() == Some(77) || said.is_empty() && told.contains("unshare") {
        skip("no file system can be mounted here");
        return;
    }
    let acks: Vec<_> = said.lines().filter(|line| line.starts_with("ack ")).collect();
    assert!(acks.len() >= 2, "{said}{told}");
    assert!(
        acks.iter().all(|line| line.contains(": act ")),
        "acknowledged and lost: {said}{told}"
    );
    assert!(
        acks[0].contains("done: ") && acks[acks.len() - 1].contains("done: "),
        "{said}{told}"
    );
    assert!(
        !said.contains("refused 0") && said.contains(": whole") && !said.contains("broken"),
        "{said}{told}"
    );
}
