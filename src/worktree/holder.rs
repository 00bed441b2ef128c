//! The folder that worktrees stand in, `<repo>.khlone`, as a repository around it sees it.
//!
//! Inside another repository's work tree (dotfiles in the home, a vendored repository that is ignored) it would be
//! untracked there, and `git add` would take the worktrees as submodules. So a `.gitignore` in it hides all of it, itself
//! included; git reads none from above the top of a worktree. A folder that the user named is the user's.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::process::file::{Links, read_start};

/// What hides everything.
const ALL: &str = "*\n";

/// Hides the folder around `place` where it stands in another repository's work tree.
///
/// # Errors
/// If the disk refuses.
pub fn hide(place: &Path) -> io::Result<()> {
    let Some(holder) = place.parent().filter(|holder| is_ours(holder)) else {
        return Ok(());
    };
    let file = ignore_file(holder);
    let is_inside = || holder.ancestors().any(|above| above.join(".git").exists());
    if file.symlink_metadata().is_ok() || !is_inside() {
        return Ok(());
    }
    fs::create_dir_all(holder)?;
    match fs::File::create_new(&file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => io::Write::write_all(&mut made?, ALL.as_bytes()),
    }
}

/// Removes the folder if it is ours and nothing else stands in it.
pub fn remove_empty(holder: &Path) {
    if !is_ours(holder) {
        return;
    }
    let entries = fs::read_dir(holder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.path());
    if names.all(|path| hides(&path)) {
        drop(fs::remove_file(ignore_file(holder)));
    }
    drop(fs::remove_dir(holder));
}

/// Whether what stands at `path` is the file that hides its folder.
pub fn hides(path: &Path) -> bool {
    let is_named = path.file_name() == Some(OsStr::new(".gitignore"));
    let most = ALL.len() as u64 + 1;
    is_named && read_start(path, Links::Refuse, most).is_ok_and(|text| text == ALL.as_bytes())
}

/// Whether the folder has the name that we give it.
fn is_ours(holder: &Path) -> bool {
    holder.extension() == Some(OsStr::new("khlone"))
}

fn ignore_file(holder: &Path) -> PathBuf {
    holder.join(".gitignore")
}
