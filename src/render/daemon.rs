//! How the daemon's own status looks.

use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use crate::daemon::DaemonStatus;

/// The answer of `git khlone daemon status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct DaemonView(pub DaemonStatus);

impl View for DaemonView {
    fn plain(&self) -> String {
        let status = &self.0;
        let running = status
            .running
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ");
        let mut text = format!(
            "pid {}, version {}, up {} s, {} connected\n{} queued, {} parked, {} running{}{running}\n",
            status.greeting.pid,
            status.greeting.version,
            status.uptime,
            status.connections,
            status.queued,
            status.parked,
            status.running.len(),
            if running.is_empty() { "" } else { ": " },
        );
        if let Some(problem) = &status.problem {
            text.push_str(&format!("in trouble: {problem}\n"));
        }
        text
    }
}
