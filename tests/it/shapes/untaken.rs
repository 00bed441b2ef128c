//! Files that git cannot take into a commit.

use super::committed::{balances, left, unconfined};
use crate::stage::Stage;

#[test]
fn what_git_cannot_take_keeps_nothing_else_from_being_committed() {
    let setups: [(&str, &str, &str, &str); 5] = [
        (
            "filter.bad.clean=false filter.bad.required=true",
            "echo b > x.bad",
            "x.bad",
            "clean filter 'bad' failed",
        ),
        ("", "printf odd > x.u16", "x.u16", "git cannot take it"),
        (
            "core.autocrlf=true core.safecrlf=true",
            "printf 'a\r\nb\n' > mixed",
            "mixed",
            "LF would be replaced",
        ),
        (
            "",
            "echo x > closed; chmod 0200 closed",
            "closed",
            "cannot be read",
        ),
        (
            "core.autocrlf=input core.safecrlf=true",
            "printf 'a\r\n' > d/crlf; rm a.txt",
            "d/crlf",
            "CRLF would be replaced",
        ),
    ];
    let attributes = "*.bad filter=bad\n*.u16 working-tree-encoding=UTF-16LE-BOM\n*.n -text\n";
    for sandbox in [true, false] {
        for (settings, script, path, why) in setups {
            // Without a sandbox root reads everything.
            if !sandbox && path == "closed" && rustix::process::geteuid().is_root() {
                continue;
            }
            let stage = Stage::with(&[("a.txt", "a\n"), (".gitattributes", attributes), ("d/f", "f\n")]);
            if !sandbox {
                unconfined(&stage);
            }
            for setting in settings.split_whitespace() {
                let (key, value) = setting.split_once('=').unwrap();
                stage.work.git(&["config", key, value]);
            }
            let many = "for n in $(seq 40); do printf $n > $n.n; done";
            let (task, changed) = balances(&stage, &format!("{script}; {many}"));
            let reasons = task["reasons"].to_string();
            assert!(
                reasons.contains(path) && reasons.contains(why),
                "{script}: {reasons}"
            );
            assert_eq!(left(&task), [path.to_owned()].into(), "{script}: {reasons}");
            assert_eq!(task["outcome"], "partial", "{script}: {reasons}");
            let others = changed.lines().filter(|line| line.contains(".n")).count();
            assert_eq!(others, 40, "{script}: {changed}");
            assert_eq!(
                changed.contains("D\ta.txt"),
                script.contains("rm a.txt"),
                "{changed}"
            );
            // It troubles no later task.
            let (_, task) = stage.act("printf more > more.n");
            let last = ["log", "--name-status", "--format=", "khlone/main/foreman.1^!"];
            assert_eq!(stage.work.git(&last), "A\tmore.n", "{script}");
            assert_eq!(task["outcome"], "done", "{script}: {task:#}");
            assert!(
                task["reasons"].to_string().contains("there before"),
                "{script}: {task:#}"
            );
        }
    }
}
