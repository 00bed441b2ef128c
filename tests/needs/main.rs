//! Names what this machine lacks for the tests, with the command that installs it. Cargo runs test targets in the order
//! of their names, so that this line is among the last.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the other tests, which use more of it")]
#[path = "../it/tools.rs"]
mod tools;

#[test]
fn what_the_machine_lacks_is_named() {
    let missing = tools::packages().filter(|(_, check)| !tools::passes(check));
    let missing: Vec<_> = missing.map(|(package, _)| package).collect();
    if missing.is_empty() {
        return;
    }
    let line = format!(
        "some tests were skipped; to run them all: apt-get install --no-install-recommends {}",
        missing.join(" ")
    );
    assert!(!tools::is_ci(), "{line}");
    tools::say(&format!("\n{line}"));
}
