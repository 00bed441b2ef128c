//! What a brain got of the user's environment.

use crate::{query::EnvView, render::View};

impl View for EnvView {
    fn plain(&self) -> String {
        let passed = self.env_names.iter().map(|name| format!("passed   {name}\n"));
        let dropped = self.env_dropped.iter().map(|name| format!("dropped  {name}\n"));
        passed.chain(dropped).collect()
    }
}
