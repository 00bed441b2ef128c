//! Repositories of other users that git trusts: by `safe.directory` of a file, also in the forms that our library does
//! not know (`/srv/*`, `/srv/x/`), or of this command: `git -c safe.directory=…`, `GIT_CONFIG_COUNT`,
//! `GIT_CONFIG_PARAMETERS`. So git is asked. It looks into nothing that it does not trust.

use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use crate::process::{self, Cmd};

/// The git folder of the repository or linked worktree around `path`, if git trusts it. Whatever is started from here on
/// is told the same of this repository, and nothing else.
pub(super) fn git_dir(path: &Path) -> Option<PathBuf> {
    let dir = if path.is_dir() { path } else { path.parent()? };
    // One question at a time, since a path may have line ends.
    let ask = |what: &str| {
        let git = Cmd::new("git").as_told().dir(dir);
        let said = git.args(["rev-parse", "--path-format=absolute", what]).output();
        let said = said.ok()?;
        let line = said.strip_suffix(b"\n").unwrap_or(&said);
        Some(line.to_path_lossy().into_owned())
    };
    let (own, common) = (ask("--git-dir")?, ask("--git-common-dir")?);
    // git looks for the folder around a git folder, and from within it for the folder itself.
    process::trust(&common);
    let around = common.parent().filter(|_| common.ends_with(".git"));
    let top = ask("--show-toplevel");
    for place in around.into_iter().chain(top.as_deref()) {
        process::trust(place);
    }
    Some(own)
}
