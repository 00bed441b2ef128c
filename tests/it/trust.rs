//! The question whether a repository's commands may run, on a real terminal, and without one.

use crate::stage::Stage;

const CONFIG: &str =
    "worktree: {setup: ['sh setup.sh \"a b\"', \"printf '\\e]0;owned\\a\\r\\e[2Kecho harmless'\"]}\n";

const TRUST: [&str; 2] = [env!("CARGO_BIN_EXE_git-khlone"), "trust"];

fn stage() -> Stage {
    let stage = Stage::new();
    stage.work.commit(&[("setup.sh", ": > ran\n")], "setup");
    stage.work.write("khlone.yml", CONFIG);
    stage
}

#[test]
fn the_prompt_shows_each_word_and_each_content_and_only_a_yes_is_one() {
    let stage = stage();
    for (answer, code) in [
        ("\n", Some(4)),
        ("n\n", Some(4)),
        ("\x03", None),
        ("\x04", Some(4)),
        ("perhaps\n", Some(4)),
    ] {
        let mut terminal = stage.terminal(80, &TRUST);
        let screen = terminal.wait_for("[y/N]");
        let lines: Vec<_> = screen.lines().collect();
        assert_eq!(lines[0], "khlone.yml asks for:");
        assert_eq!(
            lines[1], "  worktree.setup: sh -c 'sh setup.sh \"a b\"'",
            "{screen}"
        );
        // Shown as what it is, on a line of its own, and no terminal's title is changed by it.
        let planted = r"  worktree.setup: sh -c $'printf \'\x1b]0;owned\x07\x0d\x1b[2Kecho harmless\''";
        assert_eq!(lines[2], planted, "{screen}");
        for file in ["khlone.yml", "setup.sh"] {
            let id = stage.work.git(&["hash-object", file]);
            assert!(lines.contains(&format!("  {id} {file}").as_str()), "{screen}");
        }
        terminal.press(answer);
        // By ctrl-c it ends as the signal has it.
        assert_eq!(terminal.end(), code, "{answer:?}");
        let refused = stage.run(&["act", "--who", "@shell", "-m", "true"]);
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (4, ""),
            "{answer:?}: {}",
            refused.err
        );
    }
    let mut terminal = stage.terminal(80, &TRUST);
    terminal.wait_for("[y/N]");
    terminal.press("y\n");
    assert_eq!(terminal.end(), Some(0));
    let (done, _) = stage.act("true");
    assert_eq!(done.code, 0, "{}", done.err);
    // A script that changes is asked for again, and what was agreed to is said to have changed.
    stage.work.write("setup.sh", ": > another\n");
    let mut terminal = stage.terminal(80, &TRUST);
    terminal.wait_for("khlone.yml has changed and now asks for:");
    terminal.wait_for("[y/N]");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let stage = stage();
    let headless = stage.run(&["trust"]);
    assert_eq!(
        (headless.code, headless.out.as_str()),
        (4, ""),
        "{}",
        headless.err
    );
    assert!(
        headless.err.contains("git khlone trust --yes"),
        "{}",
        headless.err
    );
    assert!(!headless.err.contains('\x1b'), "{}", headless.err);
    // Words on a pipe are nobody's either.
    let piped = crate::stage::said(stage.cmd(&stage.work.0, &["trust"]).input("y\n"));
    assert_eq!(piped.code, 4, "{}", piped.err);
    stage.run(&["trust", "--yes"]).ok();
    assert!(stage.run(&["trust", "--list"]).ok().contains("setup.sh"));
    stage.run(&["trust", "--revoke"]).ok();
    let refused = stage.run(&["act", "--who", "@shell", "-m", "true"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("git khlone trust"), "{}", refused.err);
}
