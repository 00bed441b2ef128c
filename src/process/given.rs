//! What a child gets of the `GIT_*` variables, which it else goes without.

use super::Cmd;

impl Cmd {
    /// Keeps who makes commits, where the environment of this process says so, as git itself does.
    pub fn as_user(mut self) -> Self {
        for role in ["AUTHOR", "COMMITTER"] {
            for field in ["NAME", "EMAIL", "DATE"] {
                let name = format!("GIT_{role}_{field}");
                if let Some(value) = std::env::var_os(&name) {
                    self.inner.env(name, value);
                }
            }
        }
        self
    }

    /// Keeps the user's pager and what `git -c` has set for this command, as git itself does.
    pub fn as_pager(mut self) -> Self {
        for name in ["GIT_PAGER", "GIT_PAGER_IN_USE", "GIT_CONFIG_PARAMETERS"] {
            if let Some(value) = std::env::var_os(name) {
                self.inner.env(name, value);
            }
        }
        self
    }
}
