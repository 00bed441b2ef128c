//! What a test needs besides git. Where it is missing, the test is skipped and says so; in CI it must be there.
//!
//! `tests/packages` lists it all; the test target `needs` names what is missing in one line, at the end.

use std::io::Write;

use git_khlone::process::Cmd;

/// Debian's name of each package that some test needs, and the shell command that tells whether it is here.
pub(crate) fn packages() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../packages").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (package, check) = line.split_once(' ').unwrap();
        (package, check.trim())
    })
}

/// Whether the package is here; where not, the test says that it is skipped.
pub(crate) fn has(package: &str) -> bool {
    let check = packages().find(|(name, _)| *name == package);
    let (_, check) = check.unwrap_or_else(|| panic!("{package} is not in tests/packages"));
    passes(check) || skip(&format!("{package} is missing"))
}

/// Whether the command that looks for a package finds it.
pub(crate) fn passes(check: &str) -> bool {
    Cmd::new("sh").args(["-c", check]).output().is_ok()
}

/// Says that this test is skipped, and why. In CI that is a failure.
pub(crate) fn skip(why: &str) -> bool {
    assert!(!is_ci(), "{why}; .ci/run sees to it");
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    say(&format!("{test}: skipped, {why}"));
    false
}

/// Whether a skipped test is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// Prints a line for the person who runs the tests. Not through a macro: the harness shows those of failed tests only.
pub(crate) fn say(line: &str) {
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}
