//! TAB, pressed in real shells on a terminal: options, verbs and values from the ledger complete in `git khlone`
//! as in `git-khlone`.

use std::path::PathBuf;

use crate::{
    scratch::{Scratch, Work},
    terminal::Terminal,
    tools,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-khlone");

/// A repository with a task, and a home whose shells know nothing but what is installed.
struct Desk {
    _scratch: Scratch,
    home: tempfile::TempDir,
    work: Work,
    task: String,
}

impl Desk {
    fn new(shell: &str) -> Self {
        let scratch = Scratch::new();
        let work = scratch.repo("repo", &[("a", "a\n")]);
        work.git(&["branch", "-q", "feat/auth"]);
        // bash-completion 2.11 does not look into a home with a space in its name.
        let home = tempfile::Builder::new().prefix("khlone-home-").tempdir().unwrap();
        let mut desk = Self {
            _scratch: scratch,
            home,
            work,
            task: String::new(),
        };
        desk.khlone(&["completions", shell, "--install"]);
        desk.task = desk.khlone(&["act", "--who", "@shell", "echo b > b"]);
        desk.khlone(&["await"]);
        desk.khlone(&["act", "--who", "@shell", "--await", "true"]);
        desk.khlone(&["daemon", "stop"]);
        desk
    }

    fn env(&self) -> Vec<(String, String)> {
        let bin = PathBuf::from(PROGRAM);
        let path = format!(
            "{}:{}",
            bin.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let home = self.home.path().display().to_string();
        let vars = [
            ("PATH", path),
            ("HOME", home.clone()),
            ("TERM", "xterm".into()),
            ("LANG", "C.UTF-8".into()),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value));
        vars.into_iter()
            .chain([("XDG_RUNTIME_DIR".to_owned(), home)])
            .collect()
    }

    fn khlone(&self, args: &[&str]) -> String {
        let vars = self
            .env()
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let cmd = git_khlone::process::Cmd::new(PROGRAM)
            .only_env(vars)
            .args(args)
            .dir(&self.work.0);
        let out = cmd.output().unwrap_or_else(|error| panic!("{args:?}: {error}"));
        String::from_utf8(out).unwrap().trim().to_owned()
    }

    fn offers(&self, words: &[&str]) -> String {
        self.khlone(&[&["__complete"], words].concat())
    }

    /// The shell at its first prompt.
    fn shell(&self, argv: &[&str], setup: &str) -> Terminal {
        let env = self.env();
        let env: Vec<_> = env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut terminal = Terminal::start(argv, &self.work.0, &env);
        terminal.press(setup);
        terminal.press("echo rea''dy\r");
        terminal.wait_for("ready\n");
        terminal
    }

    /// What every shell must do.
    fn try_everything(&self, terminal: &mut Terminal) {
        let short = &self.task[..5];
        let cases = [
            ("git khlone act --wh".to_owned(), "git khlone act --who"),
            ("git-khlone act --wh".to_owned(), "git-khlone act --who"),
            ("git khlone comple".to_owned(), "git khlone completions"),
            (
                "git khlone act --who @shel".to_owned(),
                "git khlone act --who @shell",
            ),
            ("git khlone path fore".to_owned(), "git khlone path foreman.1"),
            (
                "git khlone act --zone @feat".to_owned(),
                "git khlone act --zone @feat/auth",
            ),
            (
                format!("git khlone show {short}"),
                &*format!("git khlone show {}", self.task),
            ),
        ]
        .map(|(typed, wanted)| (typed, wanted.to_owned()));
        // One of the two tasks has nothing to land, one has.
        let land = (
            "git khlone land t-".to_owned(),
            format!("git khlone land {}", self.task),
        );
        for (typed, wanted) in cases.into_iter().chain([land]) {
            terminal.press(&typed);
            terminal.press("\t");
            terminal.wait_for(&wanted);
            // Drops the line, and moves on to a prompt below it.
            terminal.press("\x15");
            terminal.press("clear\r");
            terminal.wait_until("a clear screen", |screen| !screen.contains(&wanted));
        }
    }
}

#[test]
fn bash_completes() {
    if !tools::has("bash-completion") {
        return;
    }
    let desk = Desk::new("bash");
    let mut bash = desk.shell(
        &["/bin/bash", "--norc", "--noprofile", "-i"],
        "PS1='$ '; . /usr/share/bash-completion/bash_completion\r",
    );
    desk.try_everything(&mut bash);
}

#[test]
fn zsh_completes() {
    if !tools::has("zsh") {
        return;
    }
    let desk = Desk::new("zsh");
    let mut zsh = desk.shell(
        &["/usr/bin/zsh", "-f", "-i"],
        "PS1='$ '; fpath=(~/.local/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D\r",
    );
    desk.try_everything(&mut zsh);
}

#[test]
fn fish_completes() {
    if !tools::has("fish") {
        return;
    }
    let desk = Desk::new("fish");
    let mut fish = desk.shell(
        &["/usr/bin/fish", "-i"],
        "function fish_prompt; echo -n '$ '; end; function fish_greeting; end\r",
    );
    desk.try_everything(&mut fish);
}

#[test]
fn what_is_offered_can_be_done() {
    let desk = Desk::new("bash");
    let noop = desk.khlone(&["list"]);
    let noop = noop.lines().next().unwrap().split(' ').next().unwrap();
    assert!(!desk.offers(&["land", "t-"]).contains(noop));
    assert!(desk.offers(&["land", "t-"]).contains(&desk.task));
    assert!(desk.offers(&["show", "t-"]).contains(noop));
    for verb in ["cancel", "resume", "retry", "reply"] {
        assert_eq!(desk.offers(&[verb, "t-"]), "", "{verb}");
    }
    assert!(desk.offers(&["dismiss", "t-"]).contains(&desk.task));
    // A zone is a branch of the user's.
    assert_eq!(desk.offers(&["act", "--zone", ""]), "feat/auth\nmain");
    desk.khlone(&["land"]);
    assert!(!desk.offers(&["land", "t-"]).contains(&desk.task));
    desk.khlone(&["daemon", "stop"]);
}
