//! The last step into the sandbox: what the kernel restricts from within, then the brain itself.
//!
//! With an open network the sandbox shares the machine's abstract sockets (X, buses, container runtimes), which no mount
//! hides. Landlock's scope closes them, and signals to anything outside, on kernels that have it (6.12); on older ones
//! nothing is claimed. It restricts no files: that would forbid mounts, and the brain's own sandboxes with them.

use std::{ffi::OsString, io};

use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated, RulesetError, Scope};

use crate::process;

/// Restricts this process and becomes `argv`. Returns only if that failed, with the reason.
pub fn exec(argv: &[OsString]) -> io::Error {
    if let Err(error) = restrict() {
        tracing::debug!(%error, "no scope for abstract sockets");
    }
    process::replace(argv)
}

/// Whether this kernel can keep a process from the abstract sockets outside.
pub fn has_scope() -> bool {
    scope(CompatLevel::HardRequirement).is_ok()
}

fn restrict() -> Result<(), RulesetError> {
    scope(CompatLevel::BestEffort)?.restrict_self().map(drop)
}

/// The rules, which hold for nobody yet.
fn scope(level: CompatLevel) -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(level)
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()
}
