//! `refs/notes/khlone`: a note on every commit that a task produced. Derived: it can be rebuilt from the tasks, so
//! it is one commit without a parent, replaced by compare-and-swap (`git notes add` loses concurrent notes).

use git2::{ObjectType, Oid};

use super::{
    Kind, LedgerError, ObjectSink, Pack, RefError, Repo, Site, TreeEdit, ledger::now, names, update_ref,
};

/// Adds notes to commits; a commit that has one gets the new one instead.
///
/// # Errors
/// If the notes cannot be read or written; no commit depends on them.
pub fn annotate(repo: &Repo, site: &Site, notes: &[(Oid, String)]) -> Result<(), LedgerError> {
    if notes.is_empty() {
        return Ok(());
    }
    let mut edit = TreeEdit::default();
    for (commit, text) in notes {
        let hex = commit.to_string();
        edit.file(format!("{}/{}", &hex[..2], &hex[2..]), text.as_bytes());
    }
    let mut pack = Pack::begin(site)?;
    loop {
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
            Err(RefError::Moved { .. }) => {}
            other => return Ok(other?),
        }
    }
}
