//! How tasks are named for people: by beginnings of ids that can be typed, and with their zone where there are several.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::task::{TaskId, ZoneId};

/// All tasks and zones of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Every task.
    pub tasks: Vec<TaskId>,
    /// The branch of every zone.
    pub branches: BTreeMap<ZoneId, String>,
}
