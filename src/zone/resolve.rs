//! Which zone a command means: the one it names, that of the clone whose worktree it runs in, or that of the
//! branch that is checked out.

use git2::BranchType;

use crate::{
    refs::{Crew, Head, Ledger, LedgerError, Repo, RepoError, StoredZone, branch_ref},
    task::{CloneName, ZoneId, explain},
    worktree::effects::path_text,
};

/// Where a command is to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The zone's id.
    pub zone: ZoneId,
    /// Its branch.
    pub branch: String,
    /// The clone in whose worktree the command runs.
    pub inside: Option<CloneName>,
}

/// A zone that cannot be told or found.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// HEAD is on no branch.
    #[error("HEAD is detached here, so no branch says which zone you mean")]
    Detached,
    /// Its name cannot be written in documents.
    #[error("branch `{0}` cannot be a zone: its name is not UTF-8")]
    NotText(String),
    /// No commits yet.
    #[error("branch `{0}` has no commits yet; a clone needs one to start from")]
    Unborn(String),
    /// A bare repository's HEAD is not a choice anyone made for this command.
    #[error("this is a bare repository, so no checkout says which zone you mean")]
    Bare,
    /// No such branch.
    #[error("there is no branch `{branch}` here{}", did_you_mean(.near))]
    NoBranch {
        /// What was given.
        branch: String,
        /// Branches with like names.
        near: Vec<String>,
    },
    /// Another site.
    #[error("there is no site `{0}` on this machine")]
    NoSite(String),
    /// Several sites.
    #[error("`{name}` could be {}", .paths.join(" or "))]
    Sites {
        /// What was given.
        name: String,
        /// Their paths.
        paths: Vec<String>,
    },
    /// No such clone.
    #[error("there is no clone `{name}` in zone {branch}{}", did_you_mean(.near))]
    NoClone {
        /// What was given.
        name: String,
        /// The zone's branch.
        branch: String,
        /// Clones that are there.
        near: Vec<String>,
    },
    /// The repository cannot be read.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

explain! {
    ResolveError {
        transparent { Repo, Ledger }
        Usage {
            Detached => "git switch -c work    # or the same with --zone and one of your branches",
            Bare => "git branch --list    # the same with --zone and one of them",
            Sites => "git khlone list sites",
        }
        Refused {
            NotText => "git branch -m work    # or the same with --zone and another branch",
            Unborn => "git commit --allow-empty -m 'First commit'",
        }
        NotFound {
            NoBranch { branch, .. } => format!("git khlone zone new {branch}"),
            NoSite => "git khlone list sites",
            NoClone => "git khlone list crew",
        }
    }
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; there is {}", near.join(", "))
    }
}

/// The zone of the place where a command runs.
///
/// # Errors
/// [`ResolveError`] where HEAD names no branch with commits.
pub fn here(ledger: &Ledger<'_>) -> Result<Place, ResolveError> {
    let repo = ledger.repo();
    if repo.work_dir().is_none() {
        return Err(ResolveError::Bare);
    }
    let branch = match repo.head()? {
        Head::Detached => return inside(ledger)?.ok_or(ResolveError::Detached),
        Head::NotText(name) => return Err(ResolveError::NotText(path_text(&name))),
        Head::Unborn(branch) => return Err(ResolveError::Unborn(branch)),
        Head::Branch(branch) => branch,
    };
    match inside(ledger)? {
        Some(place) => Ok(place),
        None => Ok(Place {
            zone: ZoneId::of_branch(&branch),
            branch,
            inside: None,
        }),
    }
}

/// The clone in whose worktree the repository was found: by its recorded path, whatever it has checked out.
fn inside(ledger: &Ledger<'_>) -> Result<Option<Place>, ResolveError> {
    let repo = ledger.repo();
    let Some(work_dir) = repo.work_dir().filter(|_| repo.is_linked()) else {
        return Ok(None);
    };
    let work_dir = work_dir.canonicalize().unwrap_or_else(|_| work_dir.to_owned());
    for zone in ledger.readable_zones()? {
        let home = |member: &&Crew| {
            member
                .path
                .as_ref()
                .is_some_and(|path| std::path::Path::new(path) == work_dir)
        };
        if let Some(member) = zone.crew.values().find(home) {
            let inside = Some(member.name.clone());
            return Ok(Some(Place {
                zone: zone.zone.id,
                branch: zone.zone.branch,
                inside,
            }));
        }
    }
    Ok(None)
}

/// The zone of a branch.
///
/// # Errors
/// [`ResolveError::NoBranch`] with the nearest names if there is no such branch.
pub fn zone_named(repo: &Repo, branch: &str) -> Result<Place, ResolveError> {
    let is_there = |branch: &str| Ok::<_, RepoError>(repo.ref_target(&branch_ref(branch))?.is_some());
    if !is_there(branch)? {
        // As git prints it, in full.
        if let Some(short) = branch.strip_prefix("refs/heads/")
            && is_there(short)?
        {
            return zone_named(repo, short);
        }
        let branches = repo
            .git()
            .branches(Some(BranchType::Local))
            .map_err(RepoError::from)?;
        let names = branches.filter_map(|found| found.ok()?.0.name().ok().flatten().map(ToString::to_string));
        return Err(ResolveError::NoBranch {
            branch: branch.to_owned(),
            near: nearest(branch, names),
        });
    }
    Ok(Place {
        zone: ZoneId::of_branch(branch),
        branch: branch.to_owned(),
        inside: None,
    })
}

/// A clone of a place by name, with its zone.
///
/// # Errors
/// [`ResolveError::NoClone`] with those that are there.
pub fn clone_named(
    ledger: &Ledger<'_>,
    place: &Place,
    name: &CloneName,
) -> Result<(StoredZone, Crew), ResolveError> {
    let zone = ledger.zone(&place.zone)?;
    let missing = |near| ResolveError::NoClone {
        name: name.to_string(),
        branch: place.branch.clone(),
        near,
    };
    let Some(zone) = zone else {
        return Err(missing(Vec::new()));
    };
    match zone.crew.get(name).cloned() {
        Some(member) => Ok((zone, member)),
        None => Err(missing(zone.crew.keys().map(ToString::to_string).collect())),
    }
}

/// The names closest to `word`, best first, at most three.
pub fn nearest(word: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut scored: Vec<_> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(word, &name), name))
        .filter(|(score, name)| *score > 0.75 || name.contains(word))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}
