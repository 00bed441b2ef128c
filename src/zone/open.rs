//! `zone new`: a branch to work on, and its zone in the ledger.

use std::time::Duration;

use git2::{Branch, ErrorCode, ObjectType, Oid};

use crate::{
    refs::{Base, Ledger, LedgerError, RefError, Standing, StoredZone, Zone, branch_ref, move_by_git},
    task::{FORMAT, ZoneId, explain},
};

/// How long a hook of the user's may take.
const HOOK: Duration = Duration::from_mins(10);

/// A zone that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its id.
    pub id: ZoneId,
    /// Where its branch stands.
    pub tip: Oid,
    /// The branch was made now.
    pub is_new_branch: bool,
    /// The zone was not in the ledger before.
    pub is_new_zone: bool,
}

/// A zone that was not made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// git would not take the name.
    #[error("`{0}` is not a valid branch name")]
    Name(String),
    /// The base names no commit.
    #[error("`{0}` names no commit here")]
    NoBase(String),
    /// There is nothing to start from.
    #[error("this repository has no commits yet, so no branch can start")]
    Empty,
    /// The branch is there and a base was given.
    #[error("branch {0} is there already, at another commit than {1}")]
    Exists(String, String),
    /// Two branch names share an id.
    #[error("branches {0} and {1} have the same short id {2}")]
    Collision(String, String, ZoneId),
    /// The branch could not be made.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The repository could not be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

explain! {
    OpenError {
        transparent { Ref, Ledger }
        Usage { Name => "git check-ref-format --branch NAME" }
        NotFound { NoBase => "git branch --all" }
        Refused {
            Empty => "git commit --allow-empty -m 'First commit'",
            Exists(branch, _) => format!("git khlone zone new {branch}"),
            Collision,
        }
        Failed { Git }
    }
}

/// Makes the zone of `branch`, and the branch itself at `base` (else HEAD) if it is not there yet.
///
/// # Errors
/// [`OpenError`]; at most the branch has been made then.
pub fn open(ledger: &Ledger<'_>, branch: &str, base: Option<&str>) -> Result<Opened, OpenError> {
    let repo = ledger.repo();
    if !Branch::name_is_valid(branch)? {
        return Err(OpenError::Name(branch.to_owned()));
    }
    let name = branch_ref(branch);
    let there = repo.ref_target(&name)?;
    let (tip, made_from) = match (there, base) {
        (Some(tip), None) => (tip, None),
        (Some(tip), Some(base)) if commit(ledger, base)? == tip => (tip, None),
        (Some(_), Some(base)) => return Err(OpenError::Exists(branch.to_owned(), base.to_owned())),
        (None, base) => {
            let base = base.unwrap_or("HEAD");
            let tip = commit(ledger, base)?;
            let main = repo.main_work_dir();
            let standing = Standing {
                // The main checkout's hooks, also where the command runs in a clone's worktree.
                git_dir: repo.common_dir(),
                work_dir: main.as_deref(),
                hooks: None,
                patience: HOOK,
            };
            let log = format!("branch: Created from {base}");
            move_by_git(repo, &standing, (&name, None, tip), &log)?;
            (tip, Some(base))
        }
    };
    let id = ZoneId::of_branch(branch);
    let is_new_zone = enter(ledger, &id, branch, made_from.map(|base| (base, tip)))?;
    Ok(Opened {
        id,
        tip,
        is_new_branch: made_from.is_some(),
        is_new_zone,
    })
}

/// Makes the zone of `branch` only where there is no such branch.
///
/// # Errors
/// As [`open`].
pub fn open_missing(ledger: &Ledger<'_>, branch: &str, base: Option<&str>) -> Result<(), OpenError> {
    if ledger.repo().ref_target(&branch_ref(branch))?.is_none() {
        open(ledger, branch, base)?;
    }
    Ok(())
}

/// The commit that a revision names.
fn commit(ledger: &Ledger<'_>, base: &str) -> Result<Oid, OpenError> {
    let git = ledger.repo().git();
    let found = git
        .revparse_single(base)
        .and_then(|object| object.peel(ObjectType::Commit));
    match found {
        Ok(object) => Ok(object.id()),
        Err(_)
            if base == "HEAD"
                && git
                    .head()
                    .is_err_and(|error| error.code() == ErrorCode::UnbornBranch) =>
        {
            Err(OpenError::Empty)
        }
        Err(_) => Err(OpenError::NoBase(base.to_owned())),
    }
}

fn enter(
    ledger: &Ledger<'_>,
    id: &ZoneId,
    branch: &str,
    base: Option<(&str, Oid)>,
) -> Result<bool, OpenError> {
    let is_new = ledger.zone(id)?.is_none();
    let zone = Zone {
        format: FORMAT,
        id: id.clone(),
        branch: branch.to_owned(),
        base: base.map(|(name, oid)| Base {
            name: name.to_owned(),
            oid: oid.to_string(),
        }),
        created: jiff::Timestamp::now().as_second(),
        unknown: serde_json::Map::new(),
    };
    ledger.update_zone(id, Some(&zone), |stored: &mut StoredZone| {
        if stored.zone.branch == branch {
            Ok(is_new)
        } else {
            Err(OpenError::Collision(
                branch.to_owned(),
                stored.zone.branch.clone(),
                id.clone(),
            ))
        }
    })
}
