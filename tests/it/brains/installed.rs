//! Where the coding CLIs are: `tests/brains/install` brings them on first need and prints the folders.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use git_khlone::process::{Cmd, Finished};

use crate::tools;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/brains/install");

/// A slow registry, and waiting for another process that installs.
const PATIENCE: Duration = Duration::from_mins(20);

/// The folder of a CLI's program. Only for tests that have asked `is_ready`.
pub(crate) fn bin(name: &str) -> PathBuf {
    let lines = found().as_ref().unwrap_or_else(|why| panic!("{why}"));
    let mut folders = lines.lines().filter_map(|line| line.split_once(' '));
    let (_, folder) = folders.find(|(of, _)| *of == name).unwrap();
    folder.into()
}

/// Whether the CLIs are here; where they cannot be brought, the test says that it is skipped.
pub(crate) fn is_ready() -> bool {
    match found() {
        Ok(_) => true,
        Err(why) => tools::skip(why),
    }
}

/// What the script printed, or why there is nothing. Asked once a process; processes ask one after the other.
fn found() -> &'static Result<String, String> {
    static FOUND: OnceLock<Result<String, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        // With the whole environment: npm's settings may be there.
        let install = Cmd::new(SCRIPT)
            .arg("--once")
            .env("CARGO_TARGET_DIR", target)
            .patience(PATIENCE)
            .finish()
            .map_err(|error| format!("tests/brains/install: {error}"))?;
        if install.status.success() {
            return Ok(String::from_utf8(install.stdout).unwrap());
        }
        let told = String::from_utf8_lossy(&install.stderr);
        Err(told
            .lines()
            .last()
            .unwrap_or("tests/brains/install failed")
            .to_owned())
    })
}

/// The script with an `npm` that writes down each call, and makes what it is to install.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// `then` is what this npm does before it is done.
    fn new(then: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let npm = format!(
            "#!/bin/sh\necho \"$npm_config_userconfig $*\" >> \"$CALLS\"
             while [ \"$1\" != --prefix ]; do shift; done; bin=$2/node_modules/.bin; mkdir -p \"$bin\"
             {then}
             for name in claude codex gemini opencode; do
                printf '#!/bin/sh\\n' > \"$bin/$name\"; chmod +x \"$bin/$name\"
             done\n"
        );
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("npm"), npm).unwrap();
        fs::set_permissions(bin.join("npm"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn cmd(&self, home: &str) -> Cmd {
        let path = format!(
            "{}:{}",
            self.dir.path().join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let vars = [
            ("PATH", path.into()),
            ("HOME", home.into()),
            ("CALLS", self.dir.path().join("calls").into_os_string()),
            ("CARGO_TARGET_DIR", self.dir.path().join("target").into()),
        ];
        Cmd::new(SCRIPT)
            .arg("--once")
            .only_env(vars.map(|(name, value): (&str, std::ffi::OsString)| (name.into(), value)))
    }

    fn home(&self) -> String {
        self.dir.path().join("home").display().to_string()
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

/// Every program that the script printed is there.
fn assert_complete(done: &Finished, below: &str) {
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(printed.lines().count(), 4, "{printed}");
    for line in printed.lines() {
        let (name, folder) = line.split_once(' ').unwrap();
        assert!(folder.contains(below), "{line}");
        assert!(Path::new(folder).join(name).is_file(), "{line}");
    }
}

#[test]
fn two_at_once_install_once_and_npm_keeps_its_settings() {
    let desk = Desk::new("");
    let home = desk.home();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_complete(&desk.cmd(&home).finish().unwrap(), "home/.cache/git-khlone"));
        }
    });
    let calls = desk.calls();
    assert_eq!(calls.len(), 4, "{calls:?}");
    let npmrc = format!("{home}/.npmrc ");
    assert!(calls.iter().all(|call| call.starts_with(&npmrc)), "{calls:?}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "no more than the cache");
}

#[test]
fn an_installation_that_is_killed_is_begun_anew() {
    // At the third call it kills the script, and then itself.
    let desk = Desk::new("[ $(wc -l < \"$CALLS\") -ne 3 ] || kill -9 0");
    let killed = desk.cmd(&desk.home()).finish().unwrap();
    assert!(!killed.status.success());
    assert_complete(&desk.cmd(&desk.home()).finish().unwrap(), "home/.cache");
    assert_eq!(desk.calls().len(), 5, "what was complete is not installed again");
}

#[test]
fn without_a_home_the_target_folder_has_them() {
    for home in ["", "/dev/null"] {
        assert_complete(&Desk::new("").cmd(home).finish().unwrap(), "/target/test-brains/");
    }
}

#[test]
fn what_failed_is_not_tried_by_every_test() {
    let desk = Desk::new("exit 1");
    for _ in 0..2 {
        let done = desk.cmd(&desk.home()).finish().unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            !done.status.success() && told.contains("npm could not install @anthropic-ai/claude-code"),
            "{told}"
        );
    }
    assert_eq!(desk.calls().len(), 1);
}
