//! The checkouts that have the zone's branch.

use super::LandError;
use crate::{
    refs::{MainTree, Repo, branch_ref},
    worktree::checkout::Checkout,
};

/// Every checkout that has the zone's branch.
pub(super) fn holders(repo: &Repo, zone: &str) -> Result<Vec<Checkout>, LandError> {
    let name = branch_ref(zone);
    let common = repo.common_dir().to_owned();
    let unplaced = Checkout {
        path: common.clone(),
        git_dir: common,
    };
    let is_unplaced = match repo.main_tree() {
        MainTree::At(_) | MainTree::None => false,
        MainTree::Unknown => true,
        // A git folder that became a bare one still has its index, and its branches are checked out elsewhere.
        MainTree::Perhaps => {
            let linked = Checkout::linked(repo.common_dir())?;
            !linked
                .iter()
                .any(|checkout| checkout.held_ref().as_ref() == Some(&name))
        }
    };
    if is_unplaced && unplaced.held_ref().as_ref() == Some(&name) {
        return Err(LandError::Unplaced {
            zone: zone.to_owned(),
            common: unplaced.git_dir,
        });
    }
    let mut holders = Checkout::all(repo)?;
    holders.retain(|checkout| checkout.held_ref().as_ref() == Some(&name));
    let away = holders
        .iter()
        .find(|checkout| !checkout.path.exists() && checkout.lock_reason().is_some());
    if let Some(away) = away {
        return Err(LandError::Away {
            zone: zone.to_owned(),
            path: away.path.clone(),
        });
    }
    holders.retain(|checkout| checkout.path.exists());
    Ok(holders)
}
