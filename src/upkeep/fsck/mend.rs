//! `fsck --repair`: derived parts are built again from the tasks; nothing else is touched.

use super::{Problem, Remedy};
use crate::refs::{Ledger, LedgerError, Update, annotate, drop_notes, forget_notes, update_ref};

/// Applies the remedies of `problems`; gives what was done, in words.
///
/// # Errors
/// If the ledger cannot be written; what was done before stays done, and running it again goes on.
pub fn mend(ledger: &Ledger<'_>, problems: &[Problem]) -> Result<Vec<String>, LedgerError> {
    let (mut done, mut missing, mut stray) = (Vec::new(), Vec::new(), Vec::new());
    for problem in problems {
        let name = &problem.name;
        match &problem.remedy {
            None => {}
            Some(Remedy::Tag(id)) => {
                ledger.update(id, "fsck", |_: &mut Update<'_>| Ok::<_, LedgerError>(()))?;
                done.push(format!("{name}: its tag is written again from its task.json"));
            }
            Some(Remedy::Pin(commit)) => {
                update_ref(ledger.repo(), name, None, *commit)?;
                done.push(format!("{name}: keeps {commit} again"));
            }
            Some(Remedy::Note(commit, text)) => {
                missing.push((*commit, text.clone()));
                done.push(format!("{name}: commit {commit} has its note again"));
            }
            Some(Remedy::NoNote(path)) => {
                stray.push(path.clone());
                done.push(format!("{name}: the note on {} is gone", path.replace('/', "")));
            }
            Some(Remedy::NoNotes) => {
                drop_notes(ledger.repo())?;
                done.push(format!("{name}: all notes are written again"));
            }
            Some(Remedy::Counter(least)) => {
                ledger.site().raise_seq(*least)?;
                done.push(format!("{name}: the counter is at {least}"));
            }
        }
    }
    if !stray.is_empty() {
        forget_notes(ledger.repo(), ledger.site(), &stray)?;
    }
    annotate(ledger.repo(), ledger.site(), &missing)?;
    Ok(done)
}
