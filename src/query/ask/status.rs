//! The status of the whole site.

use serde::{Deserialize, Serialize};

use crate::query::{Ground, Query, QueryError, StatusView, gather};

/// What `status` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// When the asker's day began, seconds since the epoch: since then costs are summed.
    pub since: i64,
}

impl Query for Status {
    const METHOD: &'static str = "query.status";
    type Answer = StatusView;

    fn answer(&self, ground: &Ground<'_>) -> Result<StatusView, QueryError> {
        gather::status(ground, self.since)
    }
}
