//! Days that pass: the whole program with a clock that is ahead (libfaketime).

use std::{fs, path::PathBuf};

use git_khlone::task::TaskId;

use super::{
    limits::{Desk, KEY, WELL},
    site::{BOUND, Site, until},
};
use crate::tools;

/// What puts a clock ahead, where the distribution has put it.
fn library() -> Option<PathBuf> {
    if !tools::has("faketime") {
        return None;
    }
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.is_file())
}

impl Site {
    /// Runs the program, and all that it starts, with a clock that is ahead by so much: `61s`, `3d`.
    fn later(&self, span: &str, args: &[&str]) -> String {
        let done = self
            .cmd(args)
            .env("CODEX_API_KEY", KEY)
            .env("LD_PRELOAD", library().unwrap())
            .env("FAKETIME", format!("+{span}"))
            .patience(BOUND)
            .finish()
            .unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{args:?}: {stderr}\n{}", self.log());
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }
}

#[test]
fn a_month_later_what_has_landed_goes_and_what_has_not_stays() {
    let Some(_) = library() else { return };
    let site = Site::new();
    let done = |script: &str| {
        let task = site.act("@shell", script);
        site.run(&["await", task.as_str()]);
        task
    };
    let landed = done("echo landed > landed.txt");
    site.run(&["land", landed.as_str()]);
    let unlanded = done("echo not > not.txt");
    site.run(&["daemon", "stop"]);
    let tasks = || -> Vec<TaskId> {
        site.with_ledger(|ledger| ledger.heads().unwrap().into_iter().map(|head| head.id).collect())
    };
    site.later("29d", &["daemon", "start"]);
    // It looks through what is finished before it is idle enough to answer that nothing is under way.
    site.later("29d", &["act", "--who", "@shell++", "--await", "true"]);
    assert_eq!(tasks().len(), 3);
    site.run(&["daemon", "stop"]);
    site.later("31d", &["daemon", "start"]);
    until("the landed task to go", || {
        (!tasks().contains(&landed)).then_some(())
    });
    assert!(tasks().contains(&unlanded));
    assert!(!site.run(&["log", "--json", unlanded.as_str()]).is_empty());
    site.run(&["daemon", "stop"]);
    site.run(&["fsck"]);
}

#[test]
fn a_limit_of_days_ends_by_the_clock() {
    let Some(_) = library() else { return };
    let limited = r#"[ -e once ] || { touch once; echo '{"type":"turn.failed","error":{"message":"Usage limit. Try again in 3 days 4 hours."}}'; exit 1; }"#;
    let desk = Desk::new(&format!("{limited}\n{WELL}"), "");
    let first = desk.run(&["ask", "--who", "@codex", "are you well?"]);
    let id: TaskId = first.parse().unwrap();
    until("the limit", || {
        (desk.site.task(&id).status.as_str() == "parked").then_some(())
    });
    let status = desk.run(&["status"]);
    assert!(status.contains("parked until"), "{status}");
    desk.run(&["daemon", "stop"]);
    desk.site.later("3d", &["daemon", "start"]);
    desk.site.later("3d", &["daemon", "status"]);
    assert_eq!(desk.site.task(&id).status.as_str(), "parked");
    desk.run(&["daemon", "stop"]);
    desk.site.later("4d", &["await", &first]);
    assert_eq!(desk.site.task(&id).attempts.len(), 2);
}

#[test]
fn a_providers_minute_is_kept_over_a_restart_and_then_over() {
    let Some(_) = library() else { return };
    let config = "providers: {openai: {per_minute: 2}}\nlimits: {running: 8}";
    let desk = Desk::new(&format!("echo in >> log\n{WELL}"), config);
    for _ in 0..2 {
        desk.run(&["ask", "--who", "@codex", "--await", "go"]);
    }
    let third = desk.run(&["ask", "--who", "@codex++", "go"]);
    let status = until("the reason to wait", || {
        let status = desk.run(&["status"]);
        // The first look may come before the daemon has started the second task of this minute.
        status.contains("waits for openai until").then_some(status)
    });
    assert!(status.contains("queued"), "{status}");
    assert_eq!(desk.log(), "in\nin\n");
    desk.run(&["daemon", "stop"]);
    desk.site.later("61s", &["await", &third]);
    assert_eq!(desk.log(), "in\nin\nin\n");
}
