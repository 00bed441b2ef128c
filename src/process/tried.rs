//! Errors of the disk that say what was tried, and where.

use std::{io, path::Path};

/// Says it of a result.
pub trait Tried<T> {
    /// `cannot VERB PATH: …`, of the same kind.
    ///
    /// # Errors
    /// The one that there is.
    fn tried(self, verb: &str, path: &Path) -> io::Result<T>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, verb: &str, path: &Path) -> Self {
        self.map_err(|source| {
            let told = format!("cannot {verb} {}: {source}", path.display());
            io::Error::new(source.kind(), told)
        })
    }
}
