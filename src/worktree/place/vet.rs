//! Whether another user of the machine can lead a worktree astray.
//!
//! Whoever may rename in a folder on the way to a worktree can put a link in its place, and brains and verbs would then
//! work wherever it leads. So such a folder belongs to the user, to root, or to the owner of the repository's git
//! folder, and may be written by others only where it is sticky or where they may write the git folder, too. The
//! folders around the repository are not looked at: who can rename there can put another repository in its place.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::PlaceError;
use crate::{
    refs::Repo,
    worktree::checkout::{Checkout, leads_to},
};

const WORLD: u32 = 0o002;
const GROUP: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// Who may lead: what the user trusts already by using the repository.
struct Trusted {
    owners: [u32; 3],
    /// The bits of other users' that the git folder has itself.
    open: u32,
    /// The groups whose writing is as good as the user's own.
    groups: [u32; 2],
}

impl Trusted {
    fn by(common: &Path) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let git = fs::metadata(common).ok();
        let shared = git.as_ref().filter(|git| git.mode() & GROUP != 0);
        Self {
            owners: [uid, 0, git.as_ref().map_or(uid, MetadataExt::uid)],
            open: git.as_ref().map_or(0, |git| git.mode() & WORLD),
            groups: [gid, shared.map_or(gid, MetadataExt::gid)],
        }
    }

    fn refuses(&self, path: &Path) -> Option<PlaceError> {
        let meta = fs::symlink_metadata(path).ok()?;
        let path = path.to_owned();
        if !self.owners.contains(&meta.uid()) {
            return Some(PlaceError::Anothers {
                path,
                uid: meta.uid(),
            });
        }
        let group = if self.groups.contains(&meta.gid()) {
            0
        } else {
            GROUP
        };
        let open = meta.mode() & (group | WORLD) & !self.open;
        let is_open = meta.is_dir() && open != 0 && meta.mode() & STICKY == 0;
        is_open.then_some(PlaceError::Open { path })
    }
}

/// Refuses a folder for worktrees that another user can lead elsewhere. It need not exist.
pub(super) fn holder(common: &Path, top: &Path, holder: &Path) -> Result<(), PlaceError> {
    let trusted = Trusted::by(common);
    let real = super::resolved(holder);
    let real_top = super::resolved(top);
    // By its own name as well: a link on the way may be another's.
    let ways = [(holder, top), (real.as_path(), real_top.as_path())];
    let mut folders = ways
        .iter()
        .flat_map(|(way, top)| way.ancestors().take_while(move |folder| !top.starts_with(folder)));
    folders
        .find_map(|folder| trusted.refuses(folder))
        .map_or(Ok(()), Err)
}

/// Refuses a worktree's place where a link stands, unless it leads to the user's worktree that git has there, or
/// where another user's file or folder does.
pub(super) fn place(repo: &Repo, place: &Path) -> Result<(), PlaceError> {
    let Ok(meta) = place.symlink_metadata() else {
        return Ok(());
    };
    let trusted = Trusted::by(repo.common_dir());
    if !trusted.owners.contains(&meta.uid()) {
        return Err(PlaceError::Anothers {
            path: place.to_owned(),
            uid: meta.uid(),
        });
    }
    if !meta.is_symlink() || is_recorded(repo, &trusted, place) {
        return Ok(());
    }
    Err(PlaceError::Link {
        place: place.to_owned(),
        target: fs::read_link(place).unwrap_or_else(|_| PathBuf::from("?")),
    })
}

/// Whether git's own record leads where the link at `place` does, and what stands there back to it.
fn is_recorded(repo: &Repo, trusted: &Trusted, place: &Path) -> bool {
    let Ok(target) = place.canonicalize() else {
        return false;
    };
    let all = Checkout::linked(repo.common_dir()).unwrap_or_default();
    let mut there = all
        .iter()
        .filter(|checkout| checkout.path == place || checkout.path == target);
    there.any(|checkout| leads_to(&target, &checkout.git_dir))
        && fs::metadata(&target).is_ok_and(|meta| trusted.owners.contains(&meta.uid()))
}
