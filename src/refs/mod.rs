//! The ledger: git objects and refs, typed and durable. Only this module, `worktree` and the private gitdir of
//! `guard` touch git.
//!
//! Acknowledged means fsynced: objects reach the repository as one kept pack (pack, index, folder), then one ref
//! moves by compare-and-swap (file, folder). Neither git, git2 nor gix syncs by itself.

mod beside;
mod by_git;
mod cas;
mod damaged;
mod delta;
mod heads;
mod kept;
mod layout;
mod ledger;
mod listing;
mod locks;
mod main_tree;
mod meant;
mod names;
mod notes;
mod objects;
mod over;
mod pack;
mod pack_refs;
mod packed;
mod packs;
mod quarantine;
mod reflogs;
mod repo;
mod reshare;
mod settings;
mod shared;
mod site;
mod tag;
mod tree;
mod trusted;
mod undo;
mod unfinished;
mod zones;

pub use beside::Beside;
pub use by_git::{Standing, move_by_git};
pub use cas::{RefError, delete_ref, has_room, move_branch, update_ref};
pub use damaged::Damaged;
pub use git2::Oid;
pub use kept::forget_record;
pub use layout::Layout;
pub use ledger::{ADOPT, Ledger, LedgerError, NewTask, Stored, Update, now};
pub use locks::{Stuck, settle_announced, sweep_announced, sweep_locks, with_locks};
pub use main_tree::MainTree;
pub use names::{NOTES, PINS, TASKS, UNDO, ZONES, branch_ref, clone_branch, pin_ref, task_ref, zone_ref};
pub use notes::{annotate, drop_notes, forget_notes, note_of, notes};
pub use objects::{Kind, MemorySink, ObjectSink, TreeEntry, encode_tree};
pub use pack::Pack;
pub(crate) use pack::new_stem;
pub use pack_refs::pack_refs;
pub use packed::{PackedRefs, mend_by_records};
pub use packs::{
    KeptPack, Purged, adopt_packs, amid_gc, bound_open_packs, compact, compact_all, every_object,
    keep_no_packs, kept_size, packed_objects, purge, reached,
};
pub use quarantine::Quarantine;
pub use repo::{Head, Repo, RepoError};
pub use shared::Sharing;

pub use site::{Site, SiteError, Whose};
pub use tag::TaskHead;
pub use tree::TreeEdit;
pub use undo::{KEPT, KeptApart, KeptClone, KeptFile, KeptLanding, LANDED, Origin, Saving, Undo};
pub use zones::{Base, Crew, StoredZone, Zone};

#[cfg(test)]
mod tests {
    use super::{Repo, Site};
    use crate::process::Cmd;

    /// A repository with one commit, for tests.
    pub(super) fn scratch() -> (tempfile::TempDir, Repo, Site) {
        let dir = tempfile::tempdir().unwrap();
        let git = || {
            Cmd::new("git")
                .dir(dir.path())
                .env("HOME", dir.path())
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
        };
        git().args(["init", "-q", "-b", "main"]).output().unwrap();
        let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
        git()
            .args(who)
            .args(["commit", "-q", "--allow-empty", "-m", "first"])
            .output()
            .unwrap();
        let repo = Repo::discover(dir.path()).unwrap();
        let site = Site::open(&repo, "test-machine").unwrap();
        (dir, repo, site)
    }
}
