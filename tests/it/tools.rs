//! What a test needs besides git. Where it is missing, the test is skipped and says so; in CI it must be there.

use std::{io::Write, path::Path};

/// Whether `program` is on `PATH`.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) || missing(program)
}

/// Whether the file `path` is there.
pub(crate) fn has_file(path: &str) -> bool {
    Path::new(path).is_file() || missing(path)
}

fn missing(what: &str) -> bool {
    assert!(
        std::env::var_os("CI").is_none(),
        "{what} is missing; .ci/run installs it"
    );
    // Not through a macro: those are captured, and a skipped test must be seen to be skipped.
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    drop(writeln!(std::io::stderr(), "{name}: skipped, there is no {what}"));
    false
}
