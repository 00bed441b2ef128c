//! The machine's own file, `/etc/khlone/config.yml`: a default for every key, and for some a floor that neither the
//! user's file nor a repository's opens: `sandbox`, `permissions`, `delegation`, `trust`, each of `limits`,
//! (`network` is what all files let through); and, where they are set, the folders in which `readable` and `writable` paths may lie.

use std::path::{Component, Path};

use serde_json::Value;

use super::{Config, Delegation, Sandbox, Trust};

/// What the machine's file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Floor {
    /// The keys that it sets.
    pub(super) value: Value,
    /// With the defaults elsewhere.
    pub(super) config: Config,
}

impl Floor {
    fn sets(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    /// Takes back what of `config` would open more.
    pub(super) fn hold(&self, config: &mut Config) {
        let floor = &self.config;
        if self.sets("sandbox") && strictness(config.sandbox) < strictness(floor.sandbox) {
            config.sandbox = floor.sandbox;
        }
        if self.sets("permissions") {
            let own = config
                .brains
                .values_mut()
                .filter_map(|brain| brain.permissions.as_mut());
            for word in own.chain([&mut config.permissions]) {
                if word.is_looser_than(floor.permissions) {
                    *word = floor.permissions;
                }
            }
        }
        if self.sets("delegation") && floor.delegation == Delegation::Refuse {
            config.delegation = Delegation::Refuse;
        }
        if floor.trust == Trust::Never {
            config.trust = Trust::Never;
        }
        let limits = self.value.get("limits").and_then(Value::as_object);
        for key in limits.into_iter().flat_map(|limits| limits.keys()) {
            config.limits.lower(key, &floor.limits);
        }
        for (key, paths, allowed) in [
            ("readable", &mut config.readable, &floor.readable),
            ("writable", &mut config.writable, &floor.writable),
        ] {
            if self.sets(key) {
                paths.retain(|path| allowed.iter().any(|folder| lies_in(path, folder)));
            }
        }
    }
}

fn strictness(sandbox: Sandbox) -> u8 {
    match sandbox {
        Sandbox::Off => 0,
        Sandbox::Auto => 1,
        Sandbox::Require => 2,
    }
}

/// Whether `path` is in `folder` by its text, and by where it leads as far as it is there.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    let real = |path: &Path| path.canonicalize().ok();
    let leads_there = match (real(path), real(folder)) {
        (Some(path), Some(folder)) => path.starts_with(folder),
        (None, _) => true,
        (Some(_), None) => false,
    };
    !climbs && path.starts_with(folder) && leads_there
}
