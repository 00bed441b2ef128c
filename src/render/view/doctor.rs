//! Brains, and what `doctor` found.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{Table, View},
    indent_by,
    task::sandbox_word,
};
use crate::{
    brain::{Readiness, State},
    config::Sandbox,
    query::BrainList,
};

impl View for BrainList {
    fn plain(&self) -> String {
        brain_table(&self.brains)
    }
}

pub(super) fn brain_table(brains: &[Readiness]) -> String {
    let mut table = Table::default();
    for brain in brains {
        let state = match brain.state {
            State::Ready => "ready",
            State::Unknown => "installed, sign-in unknown",
            State::Missing => "not installed",
            State::SignedOut => "not signed in",
            State::Broken => "does not run",
        };
        let version = brain.version.clone().unwrap_or_default();
        table.row([
            format!("@{}", brain.name),
            state.to_owned(),
            version,
            brain.hint.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

/// What `doctor` found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DoctorView {
    /// The best sandbox tier here.
    pub tier: String,
    /// Whether it is wanted: `auto`, `require` or `off`.
    pub sandbox: Sandbox,
    /// What brains reach of the network: `open`, `none` or `allow`.
    pub network: String,
    /// Why not a better one, and what to know of this one.
    pub tier_notes: Vec<String>,
    /// The version of git; `null` if none runs.
    pub git: Option<String>,
    /// The daemon's pid; `null` if none runs.
    pub daemon: Option<u32>,
    /// The site's id; absent outside of a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The brains.
    pub brains: Vec<Readiness>,
    /// What stands in the way.
    pub findings: Vec<Finding>,
}

/// Something that stands in the way, and what to do about it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// The next step.
    pub next: String,
}

impl View for DoctorView {
    fn plain(&self) -> String {
        let (sandbox, network) = (self.sandbox.as_str(), &self.network);
        let mut text = format!(
            "sandbox  {} (sandbox: {sandbox}, network: {network})\n",
            sandbox_word(&self.tier)
        );
        for note in &self.tier_notes {
            text.push_str(&format!("         {note}\n"));
        }
        let git = self.git.as_deref().unwrap_or("does not run");
        text.push_str(&format!("git      {git}\n"));
        let daemon = self
            .daemon
            .map_or("not running; starts by itself".to_owned(), |pid| {
                format!("pid {pid}")
            });
        if let Some(site) = &self.site {
            text.push_str(&format!("daemon   {daemon}\nsite     {site}\n"));
        }
        text.push_str("brains\n");
        text.push_str(&indent_by(&brain_table(&self.brains), "  "));
        for finding in &self.findings {
            text.push_str(&format!("✗ {}\n  next: {}\n", finding.what, finding.next));
        }
        text
    }
}
