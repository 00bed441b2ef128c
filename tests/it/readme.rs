//! The README is true: its tour is run as it stands there, and so is the demonstration.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use git_khlone::process::Cmd;
use regex::Regex;

use crate::scratch::{Scratch, Work};

const README: &str = include_str!("../../README.md");
const PROGRAM: &str = env!("CARGO_BIN_EXE_git-khlone");

/// The commands of all console blocks, each with what it prints.
fn tour() -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    for block in README.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for line in block.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => *output += &format!("{line}\n"),
                (None, None) => panic!("output before a command: {line}"),
            }
        }
    }
    assert!(steps.len() > 5);
    steps
}

/// Ids, hashes and times differ from run to run.
fn normalised(text: &str) -> String {
    let rules = [
        (r"\bt-[0-9a-hjkmnp-tv-z]{3,10}\b", "t-ID"),
        (r"\b[0-9a-f]{9,40}\b", "HASH"),
        (r"  \d+s  ", "  0s  "),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, plain)| {
        Regex::new(pattern)
            .unwrap()
            .replace_all(&text, *plain)
            .into_owned()
    })
}

/// A desk of its own: repository, home, runtime folder.
struct Desk {
    scratch: Scratch,
    work: Work,
}

impl Desk {
    fn new() -> Self {
        let scratch = Scratch::new();
        let work = scratch.repo("greeter", &[("README.md", "# greeter\n")]);
        Self { scratch, work }
    }

    fn bash(&self, script: &str) -> String {
        let bin = PathBuf::from(PROGRAM);
        let path = format!(
            "{}:{}",
            bin.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let home = self.scratch.path().join("home");
        let vars = [
            ("PATH", path.into()),
            ("HOME", home.clone().into()),
            ("XDG_RUNTIME_DIR", home.into()),
        ];
        let vars = vars.map(|(name, value): (&str, std::ffi::OsString)| (name.into(), value));
        let bash = Cmd::new("bash")
            .only_env(vars)
            .dir(&self.work.0)
            .args(["-c", script]);
        String::from_utf8(bash.finish().unwrap().stdout).unwrap()
    }
}

#[test]
fn the_tour_is_as_printed() {
    let desk = Desk::new();
    let steps = tour();
    // One shell, so that variables and folders last from step to step; a mark ends the output of each.
    let mut script = String::from("exec 2>&1; mkdir -m 700 ~\n");
    for (command, _) in &steps {
        script += &format!("{command}\nprintf '\\036'\n");
    }
    script += "git khlone daemon stop >/dev/null 2>&1\n";
    let printed = desk.bash(&script);
    let printed: Vec<_> = printed.split('\x1e').collect();
    for ((command, wanted), found) in steps.iter().zip(&printed) {
        assert_eq!(
            normalised(found).trim_end(),
            normalised(wanted).trim_end(),
            "$ {command}"
        );
    }
}

/// Minutes of silence look like a program that hangs.
#[test]
fn the_demonstration_says_that_it_builds() {
    let scratch = Scratch::new();
    let bin = scratch.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let cargo = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" > '{}/asked'\necho '{{\"reason\":\"compiler-artifact\",\"executable\":\"{PROGRAM}\"}}'\n",
        bin.display()
    );
    std::fs::write(bin.join("cargo"), cargo).unwrap();
    std::fs::set_permissions(bin.join("cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let done = Cmd::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("demo"))
        .env("PATH", path)
        .env("TMPDIR", scratch.path())
        .dir(scratch.path());
    let done = done.finish().unwrap();
    let shown = String::from_utf8(done.stdout).unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{shown}{told}");
    assert!(told.starts_with("building git-khlone"), "{told}");
    assert!(
        shown.starts_with("\n$ git khlone act"),
        "stdout is the demonstration's: {shown}"
    );
    let asked = std::fs::read_to_string(bin.join("asked")).unwrap();
    assert!(asked.contains("--quiet"), "not a line for each crate: {asked}");
}

#[test]
fn the_demonstration_shows_the_main_job_and_leaves_nothing() {
    let scratch = Scratch::new();
    let demo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("demo");
    let done = Cmd::new(demo)
        .env("GIT_KHLONE", PROGRAM)
        .env("TMPDIR", scratch.path())
        .dir(scratch.path());
    let done = done.finish().unwrap();
    let shown = String::from_utf8(done.stdout).unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{shown}{told}");
    for part in [
        "foreman.1  @shell",
        "+++ b/greeting.txt",
        "greeting.txt | 1 +",
        "(fast-forward",
    ] {
        assert!(shown.contains(part), "{part} in:\n{shown}{told}");
    }
    assert_eq!(
        std::fs::read_dir(scratch.path()).unwrap().count(),
        0,
        "nothing is left"
    );
}

/// What the picture shows, each a command as it is typed. The second clone works on meanwhile, and is stopped afterwards.
const PICTURE: [&str; 5] = [
    "git khlone act --who @shell --await 'echo hello > greeting.txt'",
    r#"git khlone act --who @shell++ 'echo "looking around"; sleep 600'"#,
    "git khlone",
    "git khlone land foreman.1",
    "git khlone ask --who @shell --await 'wc -l < greeting.txt'",
];

/// The picture of a terminal is what the program prints: `KHLONE_BLESS=1 cargo test --test it readme` draws it anew.
#[test]
fn the_picture_is_what_a_terminal_shows() {
    let desk = Desk::new();
    let mut script = String::from(
        "exec 2>&1; export CLICOLOR_FORCE=1 COLUMNS=100; mkdir -m 700 ~; git khlone config >/dev/null\n",
    );
    for command in PICTURE {
        let typed = command.replace('\'', r"'\''");
        script += &format!("printf '\\033[1;32m$\\033[0m \\033[1m%s\\033[0m\\n' '{typed}'\n{command}\n");
        if command.contains("sleep") {
            script += "until git khlone status --porcelain | grep -q ▶; do sleep 0.05; done\n";
        }
    }
    script += "git khlone cancel foreman.2 >/dev/null 2>&1; git khlone daemon stop >/dev/null 2>&1\n";
    let drawn = anstyle_svg::Term::new().render_svg(&desk.bash(&script));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/terminal.svg");
    if std::env::var_os("KHLONE_BLESS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let words = |svg: &str| {
        let text = svg.split_once("</style>").unwrap().1;
        let text = Regex::new("<[^>]*>").unwrap().replace_all(text, "").into_owned();
        // What is known of a task under way comes when it comes.
        let text = Regex::new(r"\d+ tools · \d+ files")
            .unwrap()
            .replace_all(&text, "");
        let lines = normalised(&text);
        lines
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found.contains("</style>"),
        "no picture: KHLONE_BLESS=1 cargo test --test it readme"
    );
    assert_eq!(words(&found), words(&drawn));
}
