//! The brains of the machine, and whether they are ready.

use super::Ground;
use crate::{
    brain::{Preflight, Readiness},
    config::{Config, Paths},
    zone::program,
};

/// Every brain, fully checked.
pub(super) fn brains(ground: &Ground<'_>) -> Vec<Readiness> {
    // Settings that cannot be read have their own complaint elsewhere.
    let config = ground.config().map(|loaded| loaded.config).unwrap_or_default();
    brains_by(&config, ground.paths)
}

/// The same under these settings.
pub fn brains_by(config: &Config, paths: &Paths) -> Vec<Readiness> {
    let vars = |name: &str| std::env::var_os(name);
    let program = |name: &str| program(config, name);
    let cache = paths.khlone_home.join("cache");
    Preflight {
        vars: &vars,
        cache: &cache,
        program: &program,
    }
    .list()
}
