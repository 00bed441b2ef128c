//! Where a brain's own git stands while it runs: read as text, as an import reads it, and nothing is taken.

use std::{collections::BTreeMap, io};

use super::{
    PrivateGit,
    privaterefs::{self, HeadState, RefMove},
};
use crate::guard::beneath::Beneath;

/// HEAD and refs of a private git folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where HEAD stands; none while it is being written or makes no sense.
    pub head: Option<HeadState>,
    /// Refs that are new or moved since the folder was prepared.
    pub moved: BTreeMap<String, RefMove>,
}

impl PrivateGit {
    /// Where it stands now.
    ///
    /// # Errors
    /// If its refs cannot be read.
    pub fn standing(&self) -> io::Result<Standing> {
        let baseline = self.baseline()?;
        let git_dir = Beneath::open(&self.git_dir())?;
        let moved = privaterefs::changed(&git_dir, &baseline)?;
        let head = privaterefs::head(&git_dir, &moved, &baseline).ok();
        Ok(Standing { head, moved })
    }
}
