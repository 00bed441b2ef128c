//! `refs/notes/khlone`: a note on every commit that a task produced. Derived: it can be rebuilt from the tasks, so
//! it is one commit without a parent, replaced by compare-and-swap (`git notes add` loses concurrent notes).

use std::collections::BTreeMap;

use git2::{ObjectType, Oid, TreeWalkMode, TreeWalkResult};

use super::{
    Kind, LedgerError, ObjectSink, Pack, RefError, Repo, Site, TreeEdit, delete_ref,
    ledger::{TRIES, now},
    names, update_ref,
};
use crate::task::Task;

/// What the note on a commit of `task` says.
pub fn note_of(task: &Task) -> String {
    format!("Khlone-Task: {}\nKhlone-Clone: {}\n", task.id, task.clone)
}

/// Adds notes to commits; a commit that has one gets the new one instead.
///
/// # Errors
/// If the notes cannot be read or written; no commit depends on them.
pub fn annotate(repo: &Repo, site: &Site, notes: &[(Oid, String)]) -> Result<(), LedgerError> {
    let mut edit = TreeEdit::default();
    for (commit, text) in notes {
        let hex = commit.to_string();
        edit.file(format!("{}/{}", &hex[..2], &hex[2..]), text.as_bytes());
    }
    if notes.is_empty() {
        return Ok(());
    }
    swap(repo, site, &edit)
}

/// Takes notes away, by their paths in the notes' tree.
///
/// # Errors
/// As [`annotate`].
pub fn forget_notes(repo: &Repo, site: &Site, paths: &[String]) -> Result<(), LedgerError> {
    let mut edit = TreeEdit::default();
    for path in paths {
        edit.remove(path);
    }
    swap(repo, site, &edit)
}

/// Takes all notes away, so that they can be written anew.
///
/// # Errors
/// If the ref has moved meanwhile, or git refuses.
pub fn drop_notes(repo: &Repo) -> Result<(), LedgerError> {
    match repo.ref_target(names::NOTES)? {
        Some(old) => Ok(delete_ref(repo, names::NOTES, old)?),
        None => Ok(()),
    }
}

/// Every note, by its path in the notes' tree: `ab/cdef…`.
///
/// # Errors
/// If git cannot read them.
pub fn notes(repo: &Repo) -> Result<BTreeMap<String, Vec<u8>>, git2::Error> {
    let mut found = BTreeMap::new();
    let Some(oid) = repo.ref_target(names::NOTES)? else {
        return Ok(found);
    };
    let tree = repo.git().find_object(oid, None)?.peel_to_tree()?;
    let mut failed = None;
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() != Some(ObjectType::Blob) {
            return TreeWalkResult::Ok;
        }
        let name = String::from_utf8_lossy(entry.name_bytes());
        match repo.git().find_blob(entry.id()) {
            Ok(blob) => drop(found.insert(format!("{folder}{name}"), blob.content().to_vec())),
            Err(error) => failed = Some(error),
        }
        TreeWalkResult::Ok
    })?;
    failed.map_or(Ok(found), Err)
}

fn swap(repo: &Repo, site: &Site, edit: &TreeEdit) -> Result<(), LedgerError> {
    let mut pack = Pack::begin(site)?;
    for round in 0.. {
        let old = repo.ref_target(names::NOTES)?;
        let base = match old {
            Some(oid) => Some(repo.git().find_object(oid, None)?.peel(ObjectType::Tree)?.id()),
            None => None,
        };
        let tree = edit.apply(repo, base, &mut pack)?;
        let who = format!("git-khlone <git-khlone@localhost> {} +0000", now());
        let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nNotes of git-khlone\n");
        let commit = pack.put(Kind::Commit, text.as_bytes())?;
        pack.publish()?;
        match update_ref(repo, names::NOTES, old, commit) {
            Err(RefError::Moved { .. }) if round < TRIES => {}
            other => return Ok(other?),
        }
    }
    unreachable!("the loop returns")
}
