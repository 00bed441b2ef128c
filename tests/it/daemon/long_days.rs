//! Days without end: packs and refs that come and go, few files to be had, and parts of a daemon that die or stand
//! still. Each daemon stays as it began, and takes no other along.

use std::{fs, path::PathBuf};

use git_khlone::process::{Cmd, FileLock, Finished, ProcessId};
use serde_json::json;

use super::site::{BOUND, Site, until};
use crate::tools;

impl Site {
    fn process(&self) -> ProcessId {
        serde_json::from_value(self.record().unwrap()["process"].clone()).unwrap()
    }

    /// Runs a command of the program in a shell that was given `limit` files.
    fn run_with_files(&self, limit: &str, args: &[&str]) -> String {
        let done = self.run_by(&format!("ulimit {limit}; exec \"$0\" \"$@\""), args);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Runs a command of the program by a shell's script, which has its words as `"$0" "$@"`.
    fn run_by(&self, script: &str, args: &[&str]) -> Finished {
        let (home, run) = (self.path().join("home"), self.path().join("run"));
        let env = [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", home.into()),
            ("XDG_RUNTIME_DIR", run.into()),
        ];
        let cmd = Cmd::new("sh")
            .only_env(env.map(|(name, value)| (name.into(), value)))
            .dir(&self.work.0)
            .args(["-c", script, env!("CARGO_BIN_EXE_git-khlone")])
            .args(args)
            .patience(BOUND);
        cmd.finish().unwrap()
    }

    /// The files of the repository that the daemon has open.
    fn open_packs(&self) -> Vec<PathBuf> {
        let fds = fs::read_dir(format!("/proc/{}/fd", self.process().pid)).unwrap();
        let links = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        links
            .filter(|path| path.to_string_lossy().contains(".pack"))
            .collect()
    }

    fn loose_refs(&self) -> usize {
        let refs = self.common().join("refs/khlone");
        let find = Cmd::new("find").arg(refs).args(["-type", "f"]);
        // Folders may go meanwhile.
        let found = find.finish().unwrap().stdout;
        String::from_utf8(found).unwrap().lines().count()
    }

    fn soft_limit(&self) -> String {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.process().pid)).unwrap();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    }
}

/// More packs than the daemon may have files: all are read, none stays open.
#[test]
fn more_packs_than_files_are_no_matter() {
    let site = Site::new();
    // Each in a pack of its own, whose task is another repository's: it is listed and not run.
    let first = site.done("@shell", "true").to_string();
    let tag = site
        .work
        .git(&["cat-file", "tag", &format!("refs/khlone/tasks/{first}")]);
    for n in 0..100 {
        let id = format!("t-{n:0>10}");
        let text = tag
            .replace(&first, &id)
            .replace("Khlone-Site: ", "Khlone-Site: x");
        fs::write(site.path().join("tag"), format!("{text}\n")).unwrap();
        let script = format!(
            "o=$(git hash-object -t tag -w ../tag) && echo $o | git pack-objects -q .git/objects/pack/pack \
             >/dev/null && git prune-packed && git update-ref refs/khlone/tasks/{id} $o"
        );
        let sh = Cmd::new("sh").dir(&site.work.0).args(["-c", &script]);
        sh.output().unwrap();
    }
    site.run(&["daemon", "stop"]);
    // What was read cannot be kept, so that each listing reads every pack again.
    fs::create_dir_all(site.common().join("khlone/heads/in the way")).unwrap();
    // How many files are left once all packs have been read is another number each time.
    for files in 61..67 {
        site.run_with_files(&format!("-n {files}"), &["daemon", "start"]);
        assert_eq!(site.soft_limit(), files.to_string());
        let last = site.done("@shell", "date +%N > x");
        assert_eq!(site.task(&last).outcome.unwrap().as_str(), "done");
        assert!(!site.log().contains("cannot be read"), "{}", site.log());
        site.run(&["daemon", "stop"]);
    }
    site.run_with_files("-n 64", &["daemon", "start"]);
    // What it let go of is closed with the next look.
    until("closed packs", || {
        site.run(&["daemon", "start"]);
        (site.open_packs().len() < 16).then_some(())
    });
}

#[test]
fn packs_that_are_gone_are_closed() {
    let site = Site::new();
    for _ in 0..3 {
        site.run(&["act", "--who", "@shell", "--await", "true"]);
    }
    site.run(&["gc"]);
    until("closed packs", || {
        site.run(&["gc"]);
        site.run(&["daemon", "start"]);
        let gone = |path: &PathBuf| path.to_string_lossy().ends_with("(deleted)");
        (!site.open_packs().iter().any(gone)).then_some(())
    });
}

#[test]
fn the_daemon_may_have_all_files_that_there_are_and_its_children_what_it_was_given() {
    let site = Site::new();
    site.run_with_files(
        "-Sn 200",
        &[
            "act",
            "--who",
            "@shell",
            "--await",
            "ulimit -Sn > given; ulimit -Hn > most",
        ],
    );
    let tree = site.tree("foreman.1");
    let read = |name: &str| {
        fs::read_to_string(format!("{tree}/{name}"))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(read("given"), "200");
    assert_eq!(site.soft_limit(), read("most"));
}

#[test]
fn a_daemon_whose_folder_was_taken_away_leaves_the_site_to_the_next() {
    let site = Site::new();
    site.run(&["act", "--who", "@shell", "--await", "true"]);
    let first = site.process();
    // Daemon and runner may still write something there.
    until("the folder's end", || {
        fs::remove_dir_all(site.common().join("khlone")).ok()
    });
    let next = site.done("@shell++", "echo b > b");
    assert_eq!(site.task(&next).outcome.unwrap().as_str(), "done");
    until("the first one's end", || (!first.is_alive()).then_some(()));
    let second = site.process();
    assert!(second.is_alive() && second != first);
    assert!(site.greeted().ask("ping", &json!({}))["result"]["pid"].is_number());
    site.run(&["daemon", "stop"]);
    until("the second one's end", || (!second.is_alive()).then_some(()));
}

#[test]
fn a_dead_thread_ends_the_daemon_and_the_next_act_starts_another() {
    let site = Site::new();
    let start = site.cmd(&["daemon", "start"]).env("KHLONE_PANIC", "ref-locked");
    start.patience(BOUND).output().unwrap();
    let first = site.process();
    let waiting = site.act("@shell", "true");
    let mut talk = site.greeted();
    assert!(talk.try_ask("cancel", &json!({ "task": waiting })).is_none());
    until("the daemon's end", || (!first.is_alive()).then_some(()));
    assert!(
        site.log().contains("a thread of the daemon is dead"),
        "{}",
        site.log()
    );
    let next = site.done("@shell", "date +%N > x");
    assert_eq!(site.task(&next).outcome.unwrap().as_str(), "done");
    assert!(site.task(&waiting).status.is_over());
}

#[test]
fn a_daemon_that_stands_still_with_the_machines_limits_in_its_hands_stops_no_other() {
    let site = Site::new();
    site.run(&["act", "--who", "@shell", "--await", "true"]);
    let lock = site.path().join("home/.khlone/limits/limits.lock");
    let _held = FileLock::wait(&lock).unwrap();
    let next = site.act("@shell", "echo x > x");
    // Callers are answered meanwhile.
    for _ in 0..10 {
        assert!(site.greeted().ask("status", &json!({}))["result"]["uptime"].is_number());
    }
    site.run(&["await", next.as_str()]);
    assert_eq!(site.task(&next).outcome.unwrap().as_str(), "done");
}

#[test]
fn a_daemon_that_has_nothing_to_do_packs_our_refs_before_it_leaves() {
    let site = Site::new();
    let head = site.work.git(&["rev-parse", "HEAD"]);
    let mut refs = String::new();
    for n in 0..200 {
        refs.push_str(&format!("create refs/khlone/other/{n}/head {head}\n"));
    }
    let git = Cmd::new("git").dir(&site.work.0).args(["update-ref", "--stdin"]);
    git.input(refs).output().unwrap();
    site.work.git(&["tag", "theirs"]);
    let start = site.cmd(&["daemon", "start"]).env("KHLONE_IDLE", "0");
    start.patience(BOUND).output().unwrap();
    until("packed refs", || (site.loose_refs() == 0).then_some(()));
    assert!(site.common().join("refs/tags/theirs").exists());
    assert_eq!(
        site.work
            .git(&["for-each-ref", "refs/khlone/other"])
            .lines()
            .count(),
        200
    );
}

/// A runner leaves two dozen packs, with which the user's `git status` takes an eighth longer.
#[test]
fn a_daemon_that_has_nothing_to_do_joins_our_packs_before_it_leaves() {
    let site = Site::new();
    for n in 0..2 {
        site.done("@shell", &format!("echo {n} > {n}"));
    }
    site.run(&["daemon", "stop"]);
    let packs = || {
        let folder = fs::read_dir(site.common().join("objects/pack")).unwrap();
        let names = folder.flatten().map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".pack"))
            .count()
    };
    assert!(packs() > 8, "{}", packs());
    let start = site.cmd(&["daemon", "start"]).env("KHLONE_IDLE", "0");
    start.patience(BOUND).output().unwrap();
    until("few packs", || (packs() <= 8).then_some(()));
    site.run(&["fsck"]);
}

#[test]
fn in_a_pid_namespace_of_its_own_a_daemon_and_its_runners_start() {
    let site = Site::new();
    let inside = "exec unshare --pid --fork --mount-proc \"$0\" \"$@\"";
    if !site.run_by(inside, &["--version"]).status.success() {
        tools::skip("no pid namespace can be made here");
        return;
    }
    // They go with the namespace, which goes with its first process: the command.
    let done = site.run_by(inside, &["act", "--who", "@shell", "--await", "true"]);
    assert!(
        done.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&done.stderr),
        site.log()
    );
}
