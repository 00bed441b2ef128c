//! What is written down of a landing besides where its branch went: the user's hooks and signer.

use bstr::ByteSlice;
use git2::{ObjectType, Oid};

use super::{HookUse, Kind, LandError, bench::Bench, hooks::Hooks};
use crate::task::{LandingHook, Signer};

/// The hooks that git asks before a landing's commit, and tells after its branch has moved.
pub(super) fn names(kind: Kind) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        Kind::FastForward => (&[], &["post-merge"]),
        Kind::Merge => (
            &["pre-merge-commit", "prepare-commit-msg", "commit-msg"],
            &["post-merge"],
        ),
        Kind::Squash => (
            &["pre-commit", "prepare-commit-msg", "commit-msg"],
            &["post-merge", "post-commit"],
        ),
        Kind::Rebase => (&["pre-rebase"], &["post-rewrite"]),
        Kind::Already => (&[], &[]),
    }
}

/// Whether a hook is one that `--no-verify` passes over.
pub(super) fn is_skipped(name: &str, hooks: HookUse) -> bool {
    hooks == HookUse::Skip && (name.starts_with("pre-") || name == "commit-msg")
}

/// Those of the hooks of a landing that there are.
pub(super) fn hooks(hooks: &Hooks, kind: Kind, by: HookUse) -> Vec<LandingHook> {
    let (before, after) = names(kind);
    let all = before.iter().chain(&["reference-transaction"]).chain(after);
    let those = all.filter(|name| hooks.has(name));
    those
        .map(|name| {
            let bytes = std::fs::read(hooks.dir.join(name)).ok();
            let blob = bytes.and_then(|bytes| Oid::hash_object(ObjectType::Blob, &bytes).ok());
            LandingHook {
                name: (*name).to_owned(),
                blob: blob.map(|oid| oid.to_string()),
                skipped: is_skipped(name, by),
            }
        })
        .collect()
}

/// The signer that git's settings name.
///
/// # Errors
/// If git fails.
pub(super) fn signer(bench: &Bench) -> Result<Signer, LandError> {
    let setting = |name: &str| {
        let done = bench.git().args(["config", "--get", name]).finish()?;
        let value = done.stdout.trim().to_str_lossy().into_owned();
        Ok::<_, LandError>(Some(value).filter(|value| !value.is_empty()))
    };
    let format = setting("gpg.format")?.unwrap_or_else(|| "openpgp".to_owned());
    let mut program = setting(&format!("gpg.{format}.program"))?;
    if program.is_none() && format == "openpgp" {
        program = setting("gpg.program")?;
    }
    let usual = match format.as_str() {
        "ssh" => "ssh-keygen",
        "x509" => "gpgsm",
        _ => "gpg",
    };
    Ok(Signer {
        program: program.unwrap_or_else(|| usual.to_owned()),
        key: setting("user.signingKey")?,
        scheme: format,
    })
}
