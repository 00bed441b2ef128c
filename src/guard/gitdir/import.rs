//! Bringing home what a brain committed.
//!
//! Refs, HEAD, stash and reflog of the private git folder are read as text. The objects they need come as a pack
//! that git makes *inside the sandbox*, where planted configuration may do what it likes, and that the host's
//! `index-pack --strict` reads as a stream: no git process of the host ever works on the clone's folder. Planted
//! alternates are replaced first and borrowed objects are never packed, so that nothing comes home which the
//! brain could not have written itself. What the repository has counts only if a ref names it: the host packs the rest
//! again, since git may be about to delete it.
//!
//! The pack stays kept until the caller has set refs on what it brought, see [`KeptPack::release`].

use std::{collections::BTreeMap, io, os::fd::BorrowedFd, path::Path};

use super::{
    PrivateGit,
    nest::Nest,
    privaterefs::{self, HeadState, RefMove, Sequencer},
};
use crate::{
    guard::{
        beneath::Beneath,
        sandbox::{Confinement, SandboxError},
    },
    process::{Cmd, ProcessError},
    refs::{KeptPack, Oid, Site, with_locks},
    task::explain,
    worktree::{checkout::Checkout, gitlinks, index},
};

/// What objects are held to.
pub(super) const STRICT: &str = "--strict";
/// The same, but for lines in `.gitattributes` that are too long: git passes over such a line.
const LENIENT: &str = "--strict=gitattributesLineLength=ignore";

/// What a brain left in its git, now in the repository (but for refs, which are the caller's to set).
#[derive(Debug)]
pub struct Imported {
    /// Where HEAD stands.
    pub head: HeadState,
    /// Refs that are new or moved, by full name; the stash is not among them.
    pub refs: BTreeMap<String, RefMove>,
    /// The stashes, newest first.
    pub stash: Vec<Oid>,
    /// Commits that HEAD passed through, newest first: among them what was amended or reset away.
    pub passed: Vec<Oid>,
    /// An operation that the brain did not finish.
    pub sequencer: Option<Sequencer>,
    /// What was not taken, in words.
    pub refused: Vec<String>,
    /// The pack that holds the new objects, if there are any.
    pub pack: Option<KeptPack>,
}

/// What could not be brought home. The clone's folder still has it all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The private git folder is damaged or dishonest.
    #[error("the clone's git folder cannot be read: {0}")]
    Unreadable(io::Error),
    /// The sandbox did not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Git refused the objects: broken, or such that they would poison the repository.
    #[error("the clone's commits were refused: {0}")]
    Refused(String),
    /// HEAD or the clone's branch names what does not exist.
    #[error("the clone's HEAD names {0}, which does not exist")]
    Missing(Oid),
    /// A git process of the host failed.
    #[error(transparent)]
    Git(#[from] ProcessError),
    /// The disk did not let us.
    #[error("cannot import: {0}")]
    Disk(#[from] io::Error),
}

impl ImportError {
    /// Whether it is the doing of whoever made the commits: trying again would end the same way.
    pub fn is_the_brains(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, InvalidData, NotADirectory, NotFound};
        match self {
            Self::Refused(_) | Self::Missing(_) => true,
            Self::Unreadable(error) => {
                matches!(
                    error.kind(),
                    FileTooLarge | InvalidData | NotADirectory | NotFound
                )
            }
            Self::Sandbox(_) | Self::Git(_) | Self::Disk(_) => false,
        }
    }
}

explain! {
    ImportError {
        Failed {
            Unreadable | Refused | Missing =>
                "git khlone path    # the files are there, in the clone's worktree",
            Sandbox, Git, Disk,
        }
    }
}

/// Brings home everything new of `private`, after its brain and all that it started are gone.
///
/// `confinement` is the brain's own; the packing happens in it, read-only and without a network. `lock` is held by
/// it as by a brain.
///
/// # Errors
/// [`ImportError`]; the repository then has at most a pack that nothing names.
pub fn import(
    private: &PrivateGit,
    site: &Site,
    confinement: &Confinement,
    lock: Option<BorrowedFd<'_>>,
) -> Result<Imported, ImportError> {
    let baseline = private.baseline()?;
    let mut found = look(private, &baseline).map_err(ImportError::Unreadable)?;
    let mut tips = found.tips();
    if tips.is_empty() {
        // Where no ref moved in the end, what was committed and reset away may still be new.
        tips = missing(site.common_dir(), &found.passed)?;
        found.passed.retain(|oid| tips.contains(oid));
        if tips.is_empty() {
            return Ok(found);
        }
    }
    super::unblock(&Beneath::open(&private.git_dir())?)?;
    private.mend_alternates(site.common_dir())?;
    let known = found.known(&baseline);
    let send = |tips: &[Oid], wanted: &str| match transfer(
        (private, site),
        confinement,
        lock,
        (tips, wanted, STRICT),
    ) {
        // A repository that has such a line has it in each new tree.
        Err(ImportError::Refused(why))
            if why.contains("gitattributesLineLength") && has_long_attributes(site.common_dir(), &known) =>
        {
            transfer((private, site), confinement, lock, (tips, wanted, LENIENT))
        }
        sent => sent,
    };
    match send(&tips, &found.wanted(&tips, &baseline)) {
        Err(ImportError::Refused(why)) if found.head.oid().is_some_and(|head| tips != [head]) => {
            // What else the brain made must not cost it the work on its branch.
            let head = found.only_head(&why);
            found.pack = send(&head, &found.wanted(&head, &baseline))?;
        }
        pack => found.pack = pack?,
    }
    found.drop_missing(site.common_dir(), &tips)?;
    Ok(found)
}

/// Reads the state of the private git folder.
fn look(private: &PrivateGit, baseline: &str) -> io::Result<Imported> {
    let git_dir = Beneath::open(&private.git_dir())?;
    let mut refs = privaterefs::changed(&git_dir, baseline)?;
    let head = privaterefs::head(&git_dir, &refs, baseline)?;
    let mut refused = Vec::new();
    refs.retain(|name, _| {
        let replaces = name.starts_with("refs/replace/");
        if replaces {
            refused.push(format!("{name}: replace refs are not taken"));
        }
        !replaces
    });
    let mut stash = Vec::new();
    if let Some(top) = refs.remove("refs/stash") {
        stash.push(top.new);
        stash.extend(privaterefs::logged(&git_dir, "logs/refs/stash"));
        stash.dedup();
    }
    for (planted, what) in [
        ("info/grafts", "grafts"),
        ("objects/info/http-alternates", "alternates"),
        ("commondir", "another common folder"),
        ("config.worktree", "a second configuration"),
    ] {
        if git_dir.entry(planted)?.is_some() {
            refused.push(format!("{planted}: {what} of the clone's own have no effect"));
        }
    }
    Ok(Imported {
        head,
        refs,
        stash,
        passed: privaterefs::logged(&git_dir, "logs/HEAD"),
        sequencer: privaterefs::sequencer(&git_dir)?,
        refused,
        pack: None,
    })
}

impl Imported {
    /// The ids that may be new.
    fn tips(&self) -> Vec<Oid> {
        let mut tips: Vec<Oid> = self.refs.values().map(|change| change.new).collect();
        if let HeadState::Detached(oid) = self.head {
            tips.push(oid);
        }
        tips.extend(&self.stash);
        if !tips.is_empty() {
            tips.extend(&self.passed);
        }
        tips.sort();
        tips.dedup();
        tips
    }

    /// Ids that the repository surely had when the task began, near those that are new.
    fn known(&self, baseline: &str) -> Vec<Oid> {
        let mut known: Vec<Oid> = self.refs.values().filter_map(|change| change.old).collect();
        let own_branch = match &self.head {
            HeadState::Branch(name, _) => Some(name.as_str()),
            HeadState::Detached(_) => None,
        };
        for name in own_branch
            .into_iter()
            .chain(["refs/heads/main", "refs/heads/master"])
        {
            known.extend(super::refnames::find_in(baseline, name).and_then(super::refnames::parse_oid));
        }
        known
    }

    /// What the packing reads: the ids that may be new, and those that are known.
    fn wanted(&self, tips: &[Oid], baseline: &str) -> String {
        let new = tips.iter().map(|oid| format!("{oid} \n"));
        let known = self.known(baseline).into_iter().map(|oid| format!("{oid} ^\n"));
        new.chain(known).collect()
    }

    /// Leaves everything but HEAD behind; gives HEAD's commit.
    fn only_head(&mut self, why: &str) -> Vec<Oid> {
        let head = self.head.oid();
        let branch = self.head.branch().map(str::to_owned);
        let left = self.refs.keys().filter(|name| Some(*name) != branch.as_ref());
        let words =
            left.map(|name| format!("{name}: not taken, since it or what came with it was refused: {why}"));
        self.refused.extend(words);
        self.refs.retain(|name, _| Some(name) == branch.as_ref());
        if !self.stash.is_empty() {
            self.refused.push(format!("the stash: not taken: {why}"));
        }
        (self.stash, self.passed) = (Vec::new(), Vec::new());
        head.into_iter().collect()
    }

    /// Takes out what the repository has not got after all.
    fn drop_missing(&mut self, common: &Path, tips: &[Oid]) -> Result<(), ImportError> {
        let missing = missing(common, tips)?;
        if let Some(oid) = self.head.oid().filter(|oid| missing.contains(oid)) {
            return Err(ImportError::Missing(oid));
        }
        self.stash.retain(|oid| !missing.contains(oid));
        self.passed.retain(|oid| !missing.contains(oid));
        let refused = &mut self.refused;
        self.refs.retain(|name, change| {
            let there = !missing.contains(&change.new);
            if !there {
                refused.push(format!("{name}: names {}, which does not exist", change.new));
            }
            there
        });
        Ok(())
    }
}

/// Those of `ids` that the repository has not got.
fn missing(common: &Path, ids: &[Oid]) -> Result<Vec<Oid>, ImportError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list: String = ids.iter().map(|oid| format!("{oid}\n")).collect();
    let said = Cmd::git(common)
        .args(["cat-file", "--batch-check"])
        .input(list)
        .output()?;
    let said = String::from_utf8_lossy(&said);
    let missing = said
        .lines()
        .filter_map(|line| super::refnames::parse_oid(line.strip_suffix(" missing")?));
    Ok(missing.collect())
}

/// Whether one of `commits` has lines in `.gitattributes` that are too long for git.
fn has_long_attributes(common: &Path, commits: &[Oid]) -> bool {
    commits.iter().any(|commit| {
        let grep = Cmd::git(common).args(["grep", "-q", "-a", "-E", "^.{2048}"]);
        let found = grep
            .arg(commit.to_string())
            .args(["--", ":(glob)**/.gitattributes"]);
        found.finish().is_ok_and(|done| done.status.success())
    })
}

/// Packs inside, indexes outside.
fn transfer(
    (private, site): (&PrivateGit, &Site),
    confinement: &Confinement,
    lock: Option<BorrowedFd<'_>>,
    (tips, wanted, strict): (&[Oid], &str, &str),
) -> Result<Option<KeptPack>, ImportError> {
    let nest = Nest::make(site, site.common_dir())?;
    let hash = nest.fill(&private.git_dir(), confinement, lock, (wanted, strict))?;
    let Some(hash) = nest.complete(tips, hash)? else {
        return Ok(None);
    };
    let installed = KeptPack::install(site, &nest.packs(), &format!("pack-{hash}"));
    installed.map(Some).map_err(ImportError::Disk)
}

/// Brings the host's index of a worktree of the repository at `common` from one commit to another, keeping what is known of
/// unchanged files and what is staged in them. The work tree is not touched; the git folder is the host's own. Submodules are passed over from
/// now on.
///
/// # Errors
/// [`ImportError::Git`] if git fails, [`ImportError::Disk`].
pub fn rebuild_index(common: &Path, checkout: &Checkout, (old, new): (Oid, Oid)) -> Result<(), ImportError> {
    let was_killed = |error: &ImportError| matches!(error, ImportError::Git(git) if git.was_killed());
    with_locks(common, &[checkout.git_dir.join("index.lock")], was_killed, || {
        index::follow(checkout, old, new)?;
        Ok(gitlinks::pass_over(checkout)?)
    })
}
