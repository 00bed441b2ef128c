//! What a task or a clone changed.

use serde::{Deserialize, Serialize};

use crate::{
    process::Cmd,
    query::{ChangedFile, DiffView, Ground, Query, QueryError, Target, nothing, sides, target},
    refs::{Beside, branch_ref},
    task::TaskId,
};

/// What `diff` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// A task, by the beginning of its id, or a clone; else the newest task of the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// In which zone, by its branch; else the one that is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether the patch is wanted besides the files.
    #[serde(default)]
    pub patch: bool,
}

/// What is compared, for git itself.
pub struct Range {
    /// Its words on git's command line.
    pub words: Vec<String>,
    beside: Option<Beside>,
}

impl Range {
    /// `git diff` in the repository of `ground`, with the user's settings.
    pub fn git_diff(&self, ground: &Ground<'_>) -> Cmd {
        let git = Cmd::new("git")
            .as_pager()
            .arg("--git-dir")
            .arg(ground.repo.common_dir())
            .arg("diff");
        match &self.beside {
            Some(beside) => git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", beside.objects()),
            None => git,
        }
    }
}

/// What a diff compares.
///
/// # Errors
/// If there is no such task or clone, or nothing was changed yet.
pub fn range(ground: &Ground<'_>, diff: &Diff) -> Result<Range, QueryError> {
    Ok(
        match target(ground, diff.target.as_deref(), diff.zone.as_deref())? {
            Target::Task(stored) => {
                let id = &stored.task.id;
                let sides = sides(&ground.ledger(), &stored)?.ok_or_else(|| not_yet(id))?;
                Range {
                    words: vec![sides.before.to_string(), sides.after.to_string()],
                    beside: sides.beside,
                }
            }
            Target::Clone(place, member) => Range {
                // In full: a tag may have the same name.
                words: vec![format!(
                    "{}...{}",
                    branch_ref(&place.branch),
                    branch_ref(&member.branch)
                )],
                beside: None,
            },
        },
    )
}

impl Query for Diff {
    const METHOD: &'static str = "query.diff";
    type Answer = DiffView;

    /// Each file by its own name, as git would apply it.
    fn answer(&self, ground: &Ground<'_>) -> Result<DiffView, QueryError> {
        let range = range(ground, self)?;
        let git = |form: &[&str]| -> Result<Vec<u8>, QueryError> {
            let plain = ["--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"];
            let git = range.git_diff(ground).args(plain).args(form);
            Ok(git.args(&range.words).arg("--").output()?)
        };
        let patch = self.patch.then(|| git(&["--patch"])).transpose()?;
        Ok(DiffView {
            files: ChangedFile::of_numstat(&git(&["--numstat", "-z"])?),
            patch: patch.map(|patch| String::from_utf8_lossy(&patch).into_owned()),
        })
    }
}

fn not_yet(id: &TaskId) -> QueryError {
    nothing(
        format!("{id} has not changed anything yet"),
        format!("git khlone await {id}"),
    )
}
