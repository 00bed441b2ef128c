//! A diff.

use crate::{query::DiffView, render::View};

impl View for DiffView {
    fn plain(&self) -> String {
        self.patch.clone().unwrap_or_default()
    }
}
