//! Git steps that look at files, also where a filter fails that git requires (`filter.NAME.required`).
//!
//! git reads a tracked file anew, through its filter, whose time has changed and whose size has not, and before it writes an
//! index each file that is as young as the index. Where that fails it gives up as a whole. Not required, a filter that fails
//! leaves the file as it stands, which counts as modified. So a step that fails is tried again with no filter required.
//!
//! Only for steps that put no file's content into an object or onto the disk: there a required filter has its reason.

use bstr::{ByteSlice, ByteVec};

use super::checkout::Checkout;
use crate::process::{Cmd, ProcessError};

/// The settings that say which filters git requires.
const REQUIRED: &str = r"^filter\..*\.required$";
/// What turns such a setting off, by `--config-env`: the name of a filter may have a `=`.
const OFF: (&str, &str) = ("KHLONE_NOT_REQUIRED", "false");

/// Takes a step with a git that `git` prepares.
///
/// # Errors
/// What the step says, if it fails for another reason.
pub fn leniently<T>(
    git: impl Fn() -> Cmd,
    step: impl Fn(Cmd) -> Result<T, ProcessError>,
) -> Result<T, ProcessError> {
    let failed = match step(git()) {
        Err(error) if has_given_up(&error) => error,
        done => return done,
    };
    let config = ["config", "-z", "--name-only", "--get-regexp", REQUIRED];
    let required = git().args(config).finish()?.stdout;
    if required.is_empty() {
        return Err(failed);
    }
    let mut lenient = git().env(OFF.0, OFF.1);
    for name in required.split_str(b"\0").filter(|name| !name.is_empty()) {
        let mut setting = b"--config-env=".to_vec();
        setting.push_str(name);
        setting.push_str(format!("={}", OFF.0));
        lenient = lenient.arg(setting.to_os_str_lossy());
    }
    step(lenient)
}

/// Whether git has ended as it does of any error, not with an answer of its own.
fn has_given_up(error: &ProcessError) -> bool {
    matches!(error, ProcessError::Failed { status, .. } if status.code() == Some(128))
}

/// What `git status` with `args` prints of a checkout, within `bounds`.
///
/// # Errors
/// If git fails for another reason, or is stopped.
pub fn status(
    checkout: &Checkout,
    args: &[&str],
    bounds: impl Fn(Cmd) -> Cmd,
) -> Result<Vec<u8>, ProcessError> {
    leniently(
        || bounds(checkout.git()),
        |git| git.arg("status").args(args).output(),
    )
}
