//! A task or a clone, as given on the command line.

use super::{cx::Cx, error::CmdError};
pub(super) use crate::query::Target;
use crate::{
    query,
    refs::{Crew, Stored},
    task::ZoneAddress,
};

fn branch(zone: Option<&ZoneAddress>) -> Option<&str> {
    zone.map(|zone| zone.branch.as_str())
}

/// The task or clone that `word` names.
pub(super) fn target(cx: &Cx, word: Option<&str>, zone: Option<&ZoneAddress>) -> Result<Target, CmdError> {
    Ok(query::target(&cx.ground(), word, branch(zone))?)
}

/// The task that `word` names, else the newest of the zone.
pub(super) fn task(cx: &Cx, word: Option<&str>, zone: Option<&ZoneAddress>) -> Result<Stored, CmdError> {
    Ok(query::task(&cx.ground(), word, branch(zone))?)
}

/// The clone of a task.
pub(super) fn crew_of(cx: &Cx, stored: &Stored) -> Result<Crew, CmdError> {
    Ok(query::crew_of(&cx.ground(), stored)?)
}
