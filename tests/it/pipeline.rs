//! `.ci/run`, with stand-ins for cargo and apt-get: what it runs, in which surroundings, and that no failure gets by.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use git_khlone::process::{Cmd, Finished};

use crate::scratch::{Scratch, Work};

/// Writes down each call with what is around it; fails where it is told to. One test is skipped unless CI is set.
const CARGO: &str = r#"#!/bin/sh
echo "$* | CI=${CI-} HOME=$HOME $(ls -A "$HOME" | wc -l) $PWD" >> "$CALLS"
[ "$FAIL" != "$1 ${CI-}" ] || exit 1
case "$1 ${CI-}" in
"test ") printf 'shells::zsh_2: skipped, zsh is missing\ntest result: ok. 2 passed\n' ;;
"test true") echo 'test result: ok. 1 passed' ;;
esac
"#;

struct Desk {
    scratch: Scratch,
    checkout: Work,
}

impl Desk {
    /// A checkout in which one package is missing.
    fn new() -> Self {
        let scratch = Scratch::new();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
        let bin = scratch.path().join("bin");
        let checkout = scratch.repo(
            "checkout",
            &[
                (".ci/run", &read(".ci/run")),
                ("README.md", &read("README.md")),
                ("demo", "#!/bin/sh\necho demo\n"),
                ("tests/packages", "# A line of words.\nzsh test -e ../zsh\n"),
                (".gitignore", "/target\n"),
            ],
        );
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("cargo"), CARGO).unwrap();
        fs::write(
            bin.join("apt-get"),
            "#!/bin/sh\necho \"apt-get $*\" >> \"$CALLS\"\n",
        )
        .unwrap();
        fs::write(bin.join("sudo"), "#!/bin/sh\nshift\nexec \"$@\"\n").unwrap();
        let programs = ["cargo", "apt-get", "sudo"].map(|name| bin.join(name));
        for program in programs.into_iter().chain([checkout.0.join("demo")]) {
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        checkout.git(&["add", "-A"]);
        checkout.git(&["commit", "-qm", "as programs"]);
        Self { scratch, checkout }
    }

    /// Runs it, with the step failing that `fail` names.
    fn run(&self, fail: &str) -> Finished {
        let path = format!(
            "{}:{}",
            self.scratch.path().join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let home = self.scratch.path().join("home");
        fs::create_dir_all(home.join("of the user")).unwrap();
        let vars = [
            ("PATH", path.into()),
            ("HOME", home.into()),
            ("CI", "true".into()),
            ("FAIL", fail.into()),
            ("CALLS", self.scratch.path().join("calls").into_os_string()),
        ];
        Cmd::new("bash")
            .arg(".ci/run")
            .only_env(vars.map(|(name, value): (&str, std::ffi::OsString)| (name.into(), value)))
            .dir(&self.checkout.0)
            .finish()
            .unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.scratch.path().join("calls")).unwrap();
        calls.lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_pipeline_runs_the_readme_as_a_newcomer_does_and_then_what_was_skipped() {
    let desk = Desk::new();
    let done = desk.run("");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let calls = desk.calls();
    let starts: Vec<_> = calls
        .iter()
        .map(|call| call.split(" | ").next().unwrap())
        .collect();
    let again = "test --locked -- --exact what_the_machine_lacks_is_named shells::zsh_2";
    assert_eq!(starts[1], "test --locked", "{calls:#?}");
    assert_eq!(
        starts[2..4],
        [
            "apt-get -q update",
            "apt-get -qy --no-install-recommends install zsh"
        ]
    );
    assert_eq!(starts[4], again);
    assert!(
        starts[5].starts_with("clippy ") && starts[6].starts_with("doc "),
        "{calls:#?}"
    );
    // The README's commands: no CI, and a HOME with nothing in it.
    assert!(
        calls[1].contains("CI= HOME=")
            && calls[1].contains("/fresh/home 0 ")
            && calls[1].ends_with("/fresh/git-khlone"),
        "{calls:#?}"
    );
    assert!(calls[4].contains("CI=true"), "{calls:#?}");
    assert!(
        said.contains("demo") && said.trim_end().ends_with("test result: ok. 1 passed"),
        "{said}"
    );
    assert!(!desk.checkout.0.join("target/fresh").exists());
}

#[test]
fn the_pipeline_fails_where_any_step_does() {
    let desk = Desk::new();
    for fail in ["fmt true", "test ", "test true", "clippy true", "doc true"] {
        assert!(!desk.run(fail).status.success(), "{fail}");
    }
}
