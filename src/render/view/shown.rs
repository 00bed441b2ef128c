//! An answer with what it takes to show it to people: how tasks are named.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::ShortIds;
use crate::{query::Names, task::TaskId};

/// An answer with the names that its tasks have for people.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Shown<'a, T> {
    pub(super) answer: &'a T,
    #[serde(skip)]
    pub(super) names: &'a Names,
}

impl<'a, T> Shown<'a, T> {
    /// An answer of the site that `names` are of.
    pub fn new(answer: &'a T, names: &'a Names) -> Self {
        Self { answer, names }
    }
}

/// How tasks of a site are shown: by ids that can be typed, and with their zone where there are several.
#[derive(Debug)]
pub(super) struct Naming<'a> {
    ids: ShortIds<'a>,
    names: &'a Names,
}

impl<'a> Naming<'a> {
    pub(super) fn of(names: &'a Names) -> Self {
        Self {
            ids: ShortIds::of(&names.tasks),
            names,
        }
    }

    pub(super) fn short(&self, task: &TaskId) -> String {
        self.ids.short(task)
    }

    /// The branch of a zone, where there are several.
    pub(super) fn branch(&self, zone: &str) -> Option<&'a str> {
        let branches = Some(&self.names.branches).filter(|branches| branches.len() > 1)?;
        let mut named = branches.iter().filter(|(id, _)| id.as_str() == zone);
        named.next().map(|(_, branch)| branch.as_str())
    }
}
