//! A dead attempt whose folder in the site's own was taken away: the ledger alone tells that it had begun.
//!
//! Transcript and checkpoints went with the folder, and perhaps the clone's git with what it had committed there. What
//! is left are the files, all of them in doubt, and a person decides.

use super::{Run, RunnerError, claim::Claim};
use crate::worktree::receipt::{Receipt, ReceiptDocument};

/// Whether the ledger has a receipt of before the attempt that the attempt's folder has not. The brain starts after
/// both are written.
pub(super) fn is_lost(run: &Run<'_>, claim: &Claim) -> Result<bool, RunnerError> {
    Ok(!claim.dir.join("receipt-before").exists() && document(run, claim)?.is_some())
}

/// The receipt of before the attempt, as far as the ledger has it.
pub(super) fn receipt_before(run: &Run<'_>, claim: &Claim) -> Result<Receipt, RunnerError> {
    let gone = || RunnerError::from(std::io::Error::other("the ledger has no receipt of before"));
    let document = document(run, claim)?.ok_or_else(gone)?;
    Ok(document.receipt(run.ledger.repo())?)
}

/// What is to be said of it. The receipt of before gets the refs of `after`: which of them moved is not known.
pub(super) fn words(
    run: &Run<'_>,
    claim: &Claim,
    before: &mut Receipt,
    after: &Receipt,
) -> Result<String, RunnerError> {
    let mut words = format!(
        "{}: the attempt's folder was taken away, with its transcript, its checkpoints and the commits in its git",
        claim.dir.display()
    );
    before.refs.clone_from(&after.refs);
    let moved = document(run, claim)?.is_some_and(|document| document.refs != after.refs_digest());
    if moved {
        words.push_str("; refs have moved since it began, which is not known any more");
    }
    Ok(words)
}

fn document(run: &Run<'_>, claim: &Claim) -> Result<Option<ReceiptDocument>, RunnerError> {
    let bytes = run
        .ledger
        .file(&claim.stored, &claim.path("receipt-before.json"))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
