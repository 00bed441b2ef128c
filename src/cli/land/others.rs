//! Clones of a zone that have work its branch lacks: where a landing brings nothing, they are what could land instead.

use super::{CliError, CmdError, Cx, Judge, branch_ref, of_clone, standing};
use crate::task::{CloneName, ZoneId};

/// So many are named in one line.
const NAMED: usize = 3;

/// One of them.
pub(super) struct Other {
    name: CloneName,
    ahead: usize,
}

/// The zone that is meant.
#[derive(Clone, Copy)]
pub(super) struct Zone<'a> {
    pub(super) id: &'a ZoneId,
    pub(super) branch: &'a str,
}

impl Other {
    /// `foreman.2 has 2 commits that main lacks`.
    pub(super) fn what(&self, zone: Zone<'_>) -> String {
        let commits = if self.ahead == 1 { "commit" } else { "commits" };
        format!(
            "{} has {} {commits} that {} lacks",
            self.name, self.ahead, zone.branch
        )
    }

    /// The command that lands it.
    pub(super) fn command(&self, zone: Zone<'_>) -> String {
        of_clone("land", &self.name.to_string(), zone.branch)
    }
}

/// The clones of the zone, but for `except`, that have commits which its branch has in no form.
pub(super) fn others(cx: &Cx, zone: Zone<'_>, except: Option<&CloneName>) -> Result<Vec<Other>, CmdError> {
    let ledger = cx.ledger();
    let tip = |branch: &str| cx.repo.ref_target(&branch_ref(branch)).map_err(CliError::from);
    let (Some(stored), Some(zone_tip)) = (ledger.zone(zone.id)?, tip(zone.branch)?) else {
        return Ok(Vec::new());
    };
    let mut judge = Judge::new(&ledger);
    let mut found = Vec::new();
    for (name, member) in stored.crew.iter().filter(|(name, _)| Some(*name) != except) {
        let Some(tip) = tip(&member.branch)? else { continue };
        if judge.has((zone.id, name), tip, zone_tip)? {
            continue;
        }
        let ahead = standing(&cx.repo, tip, zone_tip).map_err(CliError::from)?.ahead;
        found.push(Other {
            name: name.clone(),
            ahead,
        });
    }
    Ok(found)
}

/// The next step where one thing cannot land: what another clone has, else `otherwise`.
pub(super) fn instead(cx: &Cx, zone: Zone<'_>, otherwise: String) -> Result<String, CmdError> {
    let found = others(cx, zone, None)?;
    let Some((first, rest)) = found.split_first() else {
        return Ok(otherwise);
    };
    Ok(format!(
        "{}    # {}{}",
        first.command(zone),
        first.what(zone),
        also(rest, zone)
    ))
}

/// What else could land besides the command that a next step begins with.
pub(super) fn besides(cx: &Cx, zone: Zone<'_>, except: &CloneName) -> Result<String, CmdError> {
    Ok(also(&others(cx, zone, Some(except))?, zone))
}

fn also(others: &[Other], zone: Zone<'_>) -> String {
    let named = others.iter().take(NAMED);
    let mut text: String = named
        .map(|other| format!("; {}: {}", other.what(zone), other.command(zone)))
        .collect();
    if let Some(more @ 1..) = others.len().checked_sub(NAMED) {
        text.push_str(&format!("; {more} more: git khlone list crew"));
    }
    text
}
