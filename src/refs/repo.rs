//! The one gate by which a repository is opened.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use bstr::ByteSlice;
use git2::{ErrorClass, ErrorCode, Odb, Repository, RepositoryOpenFlags};

use super::{
    Sharing,
    listing::{self, Written},
    main_tree::MainTree,
    meant::way_out,
    trusted,
};
use crate::task::explain;

/// An open repository. It is opened without a look at `GIT_*`, so a hook's environment cannot redirect it; only whether
/// another user's is trusted may be said there. What a command's environment says of it, [`Repo::meant`] obeys or refuses.
pub struct Repo {
    git: Repository,
    common: PathBuf,
    /// The top of the linked worktree in which it was found.
    linked: Option<PathBuf>,
    main: MainTree,
    sharing: Sharing,
    /// When the folder of packs had changed last and was read.
    packs: Cell<(Option<SystemTime>, Instant)>,
}

/// Packs are let go of no more often than this.
const RENEWAL: Duration = Duration::from_secs(1);
/// Refs that all worktrees share.
const SHARED: [&str; 4] = ["refs/heads/", "refs/tags/", "refs/khlone/", "refs/notes/"];

/// Where HEAD stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// On a branch with commits.
    Branch(String),
    /// On no branch.
    Detached,
    /// On a branch without commits.
    Unborn(String),
    /// On a branch whose name is not UTF-8.
    NotText(Vec<u8>),
}

/// A repository that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// None here.
    #[error("{0} is not in a git repository")]
    None(PathBuf),
    /// A storage that our libraries cannot read; gix would silently list nothing.
    #[error("this repository uses {0}, which git-khlone cannot read yet")]
    Unsupported(&'static str),
    /// `GIT_DIR` names one, and the folder is in another.
    #[error("GIT_DIR names the repository {}, and this folder is in another one, {}", .named.display(), .found.display())]
    Elsewhere {
        /// What the variable names.
        named: PathBuf,
        /// What is around.
        found: PathBuf,
    },
    /// git would not look that far up.
    #[error("{0} is not in a git repository below GIT_CEILING_DIRECTORIES")]
    Ceiling(PathBuf),
    /// A variable names another part of it than the one that is used, for whoever comes later, too.
    #[error("{variable} names {}, and git-khlone uses {}", .named.display(), .used.display())]
    Other {
        /// The variable.
        variable: &'static str,
        /// What it names.
        named: PathBuf,
        /// What is used.
        used: PathBuf,
    },
    /// Another user's.
    #[error("{0} belongs to another user, and git does not trust it (safe.directory)")]
    Owner(PathBuf),
    /// Anything else that git says.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// Anything that the disk says.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: std::io::Error,
    },
}

explain! {
    RepoError {
        Usage {
            None => "git init    # or cd into a repository",
            Ceiling => "env -u GIT_CEILING_DIRECTORIES git khlone",
        }
        Refused {
            Unsupported("reftable") => "git refs migrate --ref-format=files",
            Elsewhere => "env -u GIT_DIR git khlone    # works in the one around this folder",
            Other { variable, named, used } => way_out(variable, named, used),
            Owner(path) => format!("git config --global --add safe.directory {}", quoted(path)),
            Unsupported,
        }
        Failed { Git, Io }
    }
}

impl std::fmt::Debug for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repo")
            .field("common", &self.common)
            .finish_non_exhaustive()
    }
}

impl Repo {
    /// Finds the repository around `start`.
    ///
    /// # Errors
    /// [`RepoError`] if there is none, or none that we can read.
    pub fn discover(start: &Path) -> Result<Self, RepoError> {
        Self::discover_below(start, RepositoryOpenFlags::empty(), &[])
    }

    /// The same, looking into none of `ceilings` nor above one.
    pub(super) fn discover_below(
        start: &Path,
        flags: RepositoryOpenFlags,
        ceilings: &[PathBuf],
    ) -> Result<Self, RepoError> {
        Self::open_with(start, flags, (Some(start), ceilings))
    }

    /// Opens the repository whose git folder is `git_dir`, without any search.
    ///
    /// # Errors
    /// As [`Repo::discover`].
    pub fn open(git_dir: &Path) -> Result<Self, RepoError> {
        Self::open_with(
            git_dir,
            RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT,
            (None, &[]),
        )
    }

    fn open_with(
        path: &Path,
        flags: RepositoryOpenFlags,
        (start, ceilings): (Option<&Path>, &[PathBuf]),
    ) -> Result<Self, RepoError> {
        let git = open(path, flags, ceilings).map_err(|error| explain(path, error))?;
        // Whatever needs the user's index asks git: what it may have (sparse, split) is more than the library reads,
        // which looks into it for attributes, too.
        git.set_index(&mut git2::Index::new()?)?;
        let common = git.commondir();
        let common = common.canonicalize().map_err(|source| RepoError::Io {
            path: common.into(),
            source,
        })?;
        let linked = linked(&git, &common);
        let main = MainTree::find(&common, start.filter(|_| linked.is_none()));
        let packs = Cell::new((changed(&common), Instant::now()));
        #[expect(clippy::disallowed_methods, reason = "it holds for all commands")]
        let sharing = Sharing::in_config(&git.config()?);
        Ok(Self {
            git,
            common,
            linked,
            main,
            sharing,
            packs,
        })
    }

    /// Lets go of the packs that libgit2 has open, if their folder has changed: it keeps one that it has read from open
    /// for good, also after it is gone. For those who live long, between two looks; objects at hand stay good.
    ///
    /// # Errors
    /// If the repository cannot be opened anew; nothing has changed then.
    pub fn renew(&self) -> Result<(), git2::Error> {
        let (seen, at) = self.packs.get();
        let now = changed(&self.common);
        if seen == now || at.elapsed() < RENEWAL {
            return Ok(());
        }
        self.let_go_of_packs()
    }

    /// The same at once: no pack is open after it but those of an object database that is in use elsewhere.
    ///
    /// # Errors
    /// If the packs cannot be looked for again. No object is found then, until a later call succeeds.
    pub fn let_go_of_packs(&self) -> Result<(), git2::Error> {
        let now = changed(&self.common);
        let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
        // All that is open in this process is shared, and there may be no files left: the old one goes first.
        self.packs.set((None, self.packs.get().1));
        self.git.set_odb(&Odb::new()?)?;
        let fresh = match open(self.git.path(), flags, &[]) {
            // git trusts the worktree, and not its git folder.
            Err(error) if is_anothers(&error) => Repository::open_bare(self.git.path())?,
            opened => opened?,
        };
        self.git.set_odb(&fresh.odb()?)?;
        self.packs.set((now, Instant::now()));
        Ok(())
    }

    /// The libgit2 handle.
    pub fn git(&self) -> &Repository {
        &self.git
    }

    /// Who may use what is made in the git folder.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// The git folder that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common
    }

    /// The git folder of the worktree in which the repository was found.
    pub fn git_dir(&self) -> &Path {
        self.git.path()
    }

    /// The top of the worktree in which the repository was found; none in a bare one.
    pub fn work_dir(&self) -> Option<&Path> {
        match &self.main {
            _ if self.linked.is_some() => self.linked.as_deref(),
            MainTree::At(tree) => Some(tree),
            MainTree::None | MainTree::Unknown | MainTree::Perhaps => None,
        }
    }

    /// Whether it was found in a linked worktree.
    pub fn is_linked(&self) -> bool {
        self.linked.is_some()
    }

    /// The main work tree.
    pub fn main_tree(&self) -> &MainTree {
        &self.main
    }

    /// The top of the main work tree; none for a bare repository.
    pub fn main_work_dir(&self) -> Option<PathBuf> {
        match &self.main {
            MainTree::At(tree) => Some(tree.clone()),
            MainTree::None | MainTree::Unknown | MainTree::Perhaps => None,
        }
    }

    /// Where HEAD stands in the worktree in which the repository was found.
    ///
    /// # Errors
    /// If git cannot read HEAD.
    pub fn head(&self) -> Result<Head, RepoError> {
        let head = self.git.find_reference("HEAD")?;
        let Some(target) = head.symbolic_target_bytes() else {
            return Ok(Head::Detached);
        };
        let Ok(target) = std::str::from_utf8(target) else {
            let name = target.strip_prefix(b"refs/heads/").unwrap_or(target);
            return Ok(Head::NotText(name.to_vec()));
        };
        let branch = target.strip_prefix("refs/heads/").unwrap_or(target).to_owned();
        Ok(match self.ref_target(target)? {
            Some(_) => Head::Branch(branch),
            None => Head::Unborn(branch),
        })
    }

    /// The names of all branches.
    ///
    /// # Errors
    /// If refs cannot be read.
    pub fn branches(&self) -> Result<Vec<String>, RepoError> {
        const BRANCHES: &str = "refs/heads/";
        let found = self.refs_below(BRANCHES)?;
        let short = |(name, _): (String, _)| name.strip_prefix(BRANCHES).map(str::to_owned);
        Ok(found.into_iter().filter_map(short).collect())
    }

    /// Every shared ref whose full name begins with `prefix`, in the order of names, with the object that it stands
    /// at. One that names another ref or is damaged is left out, with a warning in the log.
    ///
    /// # Errors
    /// If refs cannot be read.
    pub fn refs_below(&self, prefix: &str) -> Result<Vec<(String, git2::Oid)>, RepoError> {
        listing::below(&self.common, prefix).map_err(|source| RepoError::Io {
            path: self.common.clone(),
            source,
        })
    }

    /// The object that a full ref name stands for, peeled of nothing; `None` if there is no such ref.
    ///
    /// # Errors
    /// If git cannot read refs.
    pub fn ref_target(&self, name: &str) -> Result<Option<git2::Oid>, git2::Error> {
        if SHARED.iter().any(|folder| name.starts_with(folder)) {
            match listing::find(&self.common, name) {
                Ok(Some(Written::At(oid))) => return Ok(Some(oid)),
                Ok(None) => return Ok(None),
                Ok(Some(Written::Otherwise)) | Err(_) => {}
            }
        }
        match self.git.refname_to_id(name) {
            Ok(oid) => Ok(Some(oid)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn open(path: &Path, flags: RepositoryOpenFlags, ceilings: &[PathBuf]) -> Result<Repository, git2::Error> {
    match Repository::open_ext(path, flags, ceilings) {
        Err(error) if is_anothers(&error) => match trusted::git_dir(path) {
            Some(git_dir) => Repository::open_bare(git_dir),
            None => Err(error),
        },
        opened => opened,
    }
}

/// The top of the linked worktree whose git folder was opened.
fn linked(git: &Repository, common: &Path) -> Option<PathBuf> {
    if git.is_worktree() {
        return git.workdir().map(Path::to_owned);
    }
    // Opened as git found it, which the library takes for a bare one.
    let own = git.path().canonicalize().ok()?;
    if own == common {
        return None;
    }
    let text = std::fs::read(own.join("gitdir")).ok()?;
    let dot_git = own.join(text.trim_end().to_path_lossy());
    dot_git.parent()?.canonicalize().ok()
}

/// Whether a repository was not opened since it is another user's.
fn is_anothers(error: &git2::Error) -> bool {
    let words = error.message().to_ascii_lowercase();
    error.code() == ErrorCode::Owner || (error.class() == ErrorClass::Config && words.contains("owned"))
}

/// The folder of a repository that git names in `safe.directory`.
fn top_of(path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let top = path.ancestors().find(|above| above.join(".git").exists());
    top.map(Path::to_owned).unwrap_or(path)
}

/// A path as a word for the shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), std::borrow::Cow::into_owned)
}

fn changed(common: &Path) -> Option<SystemTime> {
    let packs = std::fs::metadata(common.join("objects/pack"));
    packs.and_then(|packs| packs.modified()).ok()
}

fn explain(path: &Path, error: git2::Error) -> RepoError {
    let message = error.message().to_ascii_lowercase();
    if error.code() == ErrorCode::NotFound {
        // `.` says little in a script's output.
        RepoError::None(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    } else if message.contains("refstorage") {
        RepoError::Unsupported("reftable")
    } else if message.contains("objectformat") || message.contains("object format") {
        RepoError::Unsupported("sha256 objects")
    } else if is_anothers(&error) {
        RepoError::Owner(top_of(path))
    } else {
        RepoError::Git(error)
    }
}
