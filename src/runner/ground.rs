//! The ground a brain stands on: in tier T2 a private git folder of the clone, in T0 the host's own.

use std::path::PathBuf;

use super::{Run, RunnerError, claim::Claim, compare::NAMED, pins};
use crate::{
    guard::{
        gitdir::{HostGit, PrivateGit, import, left_locks::clear_left, lfs, privaterefs::HeadState},
        sandbox::{Confinement, tier::Tier},
    },
    process::file::unshare_all,
    refs::{KeptPack, Ledger, Oid, Repo, Site},
    task::{RefChange, Task, few},
    worktree::checkout::Checkout,
};

/// What a brain left in its git.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The commit where HEAD ended.
    pub(super) head: Option<Oid>,
    /// What only a pin keeps, with the name that it goes by.
    pub(super) pins: Vec<(String, Oid)>,
    /// The refs that it made or moved, besides its branch.
    pub(super) refs: Vec<RefChange>,
    /// The operation that is not finished.
    pub(super) sequencer: Option<&'static str>,
    /// What was not taken, in words.
    pub(super) refused: Vec<String>,
    /// Its commits were refused.
    pub(super) rejected: bool,
    /// The new objects' pack, to be released once refs name them.
    pub(super) pack: Option<KeptPack>,
    /// Only its branch names anything that the repository did not have.
    pub(super) only_branch: bool,
}

impl Left {
    /// Pins what came home, and gives its pack to git.
    pub(super) fn keep(&mut self, run: &Run<'_>, claim: &Claim) -> Result<(), RunnerError> {
        pins::set(run.ledger, claim, &self.pins)?;
        if let Some(head) = self.head {
            pins::pin(run.ledger, &claim.pin("head-after"), head)?;
        }
        if let Some(pack) = self.pack.take() {
            pack.release()?;
        }
        Ok(())
    }
}

/// The patterns of a sparse checkout, in a git folder.
pub(super) const PATTERNS: &str = "info/sparse-checkout";

/// The git that the brain works with.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) private: Option<PrivateGit>,
    pub(super) git_dir: PathBuf,
}

/// Clears what a task's last attempt, if it was without a sandbox, has left in the host's git folder of its clone.
/// Nothing of it lives.
pub(super) fn clear_locks(ledger: &Ledger<'_>, task: &Task, checkout: &Checkout) -> std::io::Result<()> {
    let last = task.last_attempt();
    let last = last.filter(|last| last.tier.as_deref() == Some(Tier::T0.as_str()));
    if let Some(since) = last.and_then(|last| last.started) {
        let cleared = clear_left(ledger.repo().common_dir(), checkout, since)?;
        tracing::debug!(task = %task.id, ?cleared, "locks of a git that was killed");
    }
    Ok(())
}

impl Ground {
    /// Prepares the clone's git: in T2 the private folder gets branch, refs, index and settings from the host.
    pub(super) fn prepare(run: &Run<'_>, task: &Task, checkout: &Checkout) -> Result<Self, RunnerError> {
        if run.bwrap.is_none() {
            return Ok(Self {
                private: None,
                git_dir: checkout.git_dir.clone(),
            });
        }
        let folder = folder(run.ledger.site(), task);
        super::spool::make_dir(&folder)?;
        // Of a repository that was copied with links: git writes its logs in place.
        unshare_all(&folder)?;
        let private = PrivateGit::at(folder);
        private.prepare(host(run, checkout))?;
        Ok(Self {
            git_dir: private.git_dir(),
            private: Some(private),
        })
    }

    /// Makes the settings the host's again, before anything is committed by them.
    pub(super) fn mend(&self, run: &Run<'_>, checkout: &Checkout) -> Result<(), RunnerError> {
        match &self.private {
            Some(private) => Ok(private.mend_settings(host(run, checkout))?),
            None => Ok(()),
        }
    }

    /// The operation that stands half done, in git's words.
    pub(super) fn sequencer(&self, checkout: &Checkout) -> Result<Option<&'static str>, RunnerError> {
        if self.private.is_none() {
            return Ok(checkout.unfinished());
        }
        let folder = crate::guard::beneath::Beneath::open(&self.git_dir)?;
        Ok(crate::guard::gitdir::privaterefs::sequencer(&folder)?
            .map(crate::guard::gitdir::privaterefs::Sequencer::as_str))
    }

    /// Whether there are patterns of a sparse checkout.
    pub(super) fn has_patterns(&self) -> bool {
        let patterns = self.git_dir.join(PATTERNS).symlink_metadata();
        patterns.is_ok_and(|data| data.len() > 0)
    }

    /// Lets the clone borrow what the repository has, rather than keep it as well.
    pub(super) fn let_go(&self, repo: &Repo) {
        if let Some(private) = &self.private
            && let Err(error) = private.let_go(repo)
        {
            tracing::debug!(%error, "objects that came home stay in the clone's git, too");
        }
    }

    /// Brings home what the brain committed. In T0 it is there already.
    pub(super) fn bring_home(
        &self,
        run: &Run<'_>,
        claim: &Claim,
        checkout: &Checkout,
        confinement: &Confinement,
    ) -> Result<Left, RunnerError> {
        let repo = run.ledger.repo();
        let Some(private) = &self.private else {
            return Ok(Left {
                head: host_head(repo, checkout)?,
                sequencer: checkout.unfinished(),
                ..Left::default()
            });
        };
        let lock = Some(std::os::fd::AsFd::as_fd(&claim.attempt_lock));
        let mut found = match import::import(private, run.ledger.site(), confinement, lock) {
            Err(error) if error.is_the_brains() => {
                // Its files are compared all the same, and the next task begins with a git folder as it should be.
                return Ok(Left {
                    refused: vec![error.to_string()],
                    rejected: true,
                    ..Left::default()
                });
            }
            found => found?,
        };
        // Before any ref names them.
        let lfs = lfs::bring_home(&private.git_dir(), &lfs_store(repo))?;
        found.refused.extend(lfs);
        let branch = checkout.head_ref();
        let on_its_branch =
            matches!(&found.head, HeadState::Branch(name, _) if Some(name) == branch.as_ref());
        let mut made = Vec::new();
        let mut refs = Vec::new();
        for (name, moved) in &found.refs {
            if Some(name) != branch.as_ref() || !on_its_branch {
                made.push((name.clone(), moved.new));
                refs.push(RefChange {
                    name: name.clone(),
                    before: moved.old.map(|oid| oid.to_string()),
                    after: Some(moved.new.to_string()),
                });
            }
        }
        let numbered = |word: &'static str, oids: Vec<Oid>| {
            let names = (0..).map(move |n: u32| format!("{word}-{n}"));
            names.zip(oids)
        };
        made.extend(numbered("stash", found.stash));
        made.extend(numbered("passed", found.passed));
        let head = found
            .head
            .oid()
            .filter(|head| repo.git().find_commit(*head).is_ok());
        let rejected = head != found.head.oid();
        if rejected {
            found.refused.push("HEAD ended on what is no commit".to_owned());
        }
        let before = repo.ref_target(&claim.pin("head-before"))?;
        let kept: Vec<Oid> = head.into_iter().chain(before).collect();
        let pins = pins::needed(repo.git(), made, &kept)?;
        let only_branch = on_its_branch && !rejected && pins.is_empty() && refs.is_empty();
        Ok(Left {
            head,
            pins,
            refs,
            only_branch,
            sequencer: found
                .sequencer
                .map(crate::guard::gitdir::privaterefs::Sequencer::as_str),
            refused: few(found.refused, NAMED),
            rejected,
            pack: found.pack,
        })
    }
}

fn host<'a>(run: &'a Run<'_>, checkout: &'a Checkout) -> HostGit<'a> {
    HostGit {
        common: run.ledger.repo().common_dir(),
        admin: &checkout.git_dir,
        home: &run.home,
    }
}

/// Where the private git of a task's clone stands.
pub(super) fn folder(site: &Site, task: &Task) -> PathBuf {
    site.layout().private_git(&task.zone, &task.clone)
}

/// Where the repository keeps files under Git LFS; a relative `lfs.storage` counts from the git folder.
fn lfs_store(repo: &Repo) -> PathBuf {
    let configured = repo.config().and_then(|config| config.get_path("lfs.storage"));
    let store = configured.unwrap_or_else(|_| "lfs".into());
    repo.common_dir().join(store).join("objects")
}

pub(super) fn host_head(repo: &Repo, checkout: &Checkout) -> Result<Option<Oid>, RunnerError> {
    if let Some(name) = checkout.head_ref() {
        return Ok(repo.ref_target(&name)?);
    }
    let text = std::fs::read_to_string(checkout.git_dir.join("HEAD"))?;
    Ok(text.trim().parse().ok())
}
