//! Repositories of other users that git trusts for one command: `git -c safe.directory=…`, `GIT_CONFIG_COUNT`,
//! `GIT_CONFIG_PARAMETERS`. Our library knows of files only, so git is asked. It looks into nothing that it does not trust.

use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use crate::process::{self, Cmd};

/// The variables by which git is given settings.
const VARIABLES: [&str; 4] = [
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_KEY_",
    "GIT_CONFIG_VALUE_",
    "GIT_CONFIG_PARAMETERS",
];

/// The git folder of the repository around `path`, if git trusts it by what this command was told. Whatever is started
/// from here on is told the same of this repository, and nothing else. Of a linked worktree none is given.
pub(super) fn git_dir(path: &Path) -> Option<PathBuf> {
    let given = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        VARIABLES.iter().any(|known| name.starts_with(known))
    });
    let given: Vec<_> = given.collect();
    if given.is_empty() {
        return None;
    }
    let git = given
        .into_iter()
        .fold(Cmd::new("git"), |git, (name, value)| git.env(name, value));
    let dir = if path.is_dir() { path } else { path.parent()? };
    let asked = git.dir(dir).args([
        "rev-parse",
        "--path-format=absolute",
        "--git-dir",
        "--git-common-dir",
    ]);
    let said = asked.output().ok()?;
    let mut lines = said.lines().map(|line| line.to_path_lossy().into_owned());
    let (own, common) = (lines.next()?, lines.next()?);
    if own != common {
        return None;
    }
    // git looks for the folder around a git folder, and from within it for the folder itself.
    process::trust(&common);
    if let Some(top) = common.parent().filter(|_| common.ends_with(".git")) {
        process::trust(top);
    }
    Some(common)
}
