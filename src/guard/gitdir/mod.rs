//! The private git folder of a clone: what its brain sees as the repository.
//!
//! It borrows the objects of the repository and has everything else of its own: HEAD, refs, index, config, hooks
//! (none), excludes. It stands in `<site>/gitdirs/<zone>.<clone>/git`, is kept between tasks, and is brought up to
//! date before each: branch and index go from the host's worktree to it, never the other way.
//!
//! A brain can write all of it. So nothing in it is believed: before a task everything but objects, reflogs, LFS files
//! and the git folders of submodules and worktrees is thrown away, unless it stands there to the byte as it shall, and
//! written anew, without following a link. What was last written stands beside it in `baseline`, out of the brain's
//! reach, so that an import can tell what is new. Branches that a brain made for itself live on until the host has a
//! branch of that name, or their commit is nowhere any more.

pub mod alternates;
mod borrowed;
pub mod commit;
pub mod gitconfig;
mod gitfiles;
pub mod import;
pub mod left_locks;
pub mod lfs;
mod mainrefs;
mod nest;
pub mod privaterefs;
pub mod refnames;
pub mod selection;
pub mod standing;
pub mod submodules;
pub mod uncommitted;

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    beneath::{Beneath, Entry, Fate},
    sandbox::GitView,
};
use crate::{
    process::ProcessError,
    refs::Repo,
    task::explain,
    worktree::{carry::quoted, gitlinks, index},
};
use alternates::{Unreadable, object_folders};
use gitconfig::Settings;
use gitfiles::Files;
use mainrefs::MainRefs;
use privaterefs::PACKED_CAP;

/// What of an earlier task stays: nothing in it decides what a command of ours does. Submodules and worktrees that a
/// brain has made for itself have commits there that are nowhere else.
const KEPT: [&str; 6] = ["objects", "logs", "lfs", "rr-cache", "modules", "worktrees"];

/// The objects that are borrowed.
const ALTERNATES: &str = "objects/info/alternates";
/// Without it git takes the folder for none of its own.
const HEADS: &str = "refs/heads";

/// A private git folder that cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum GitdirError {
    /// Objects are fetched on demand, which a sandbox without credentials cannot do.
    #[error("this is a partial clone of `{0}`: a sandboxed clone cannot fetch what is missing")]
    PartialClone(String),
    /// An object format that this build does not read.
    #[error("this repository's {0} is not supported")]
    Format(&'static str),
    /// Objects that the repository borrows cannot be read.
    #[error("the objects that this repository borrows cannot be read: {0}")]
    Lender(#[from] Unreadable),
    /// Git could not tell the settings.
    #[error(transparent)]
    Git(#[from] ProcessError),
    /// The disk did not let us.
    #[error("cannot prepare the clone's git folder: {0}")]
    Disk(#[from] io::Error),
}

explain! {
    GitdirError {
        Refused {
            PartialClone(remote) => format!(
                "git config --unset remote.{remote}.partialclonefilter; git config --unset remote.{remote}.promisor; \
                 git fetch --refetch {remote}    # or set `sandbox: off`"
            ),
            Lender(lender) => format!("ls -ld {}", quoted(&lender.path)),
            Format,
        }
        Failed { Git, Disk }
    }
}

/// Where a clone's git lives on the host.
#[derive(Debug, Clone, Copy)]
pub struct HostGit<'a> {
    /// The repository's own git folder.
    pub common: &'a Path,
    /// The worktree's folder in it, `<common>/worktrees/<id>`.
    pub admin: &'a Path,
    /// The user's home, for their global excludes and attributes.
    pub home: &'a Path,
}

/// A clone's private git folder.
#[derive(Debug, Clone)]
pub struct PrivateGit {
    folder: PathBuf,
}

impl PrivateGit {
    /// The one that stands, or shall stand, in `folder`, which is ours alone.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The git folder itself.
    pub fn git_dir(&self) -> PathBuf {
        self.folder.join("git")
    }

    /// How it looks from inside a sandbox.
    pub fn view(&self, common: &Path) -> GitView {
        GitView {
            private: self.git_dir(),
            dot_git: self.folder.join("dot-git"),
            common: common.to_owned(),
        }
    }

    /// Brings it up to date with the host: HEAD, refs, index, settings, excludes.
    ///
    /// # Errors
    /// [`GitdirError`]; nothing of the host's is changed in any case.
    pub fn prepare(&self, host: HostGit<'_>) -> Result<(), GitdirError> {
        let private = Beneath::create(&self.git_dir())?;
        let ours = Beneath::open(&self.folder)?;
        let (settings, mut refs) = std::thread::scope(|scope| {
            // Git takes as long to tell the settings as we to sort the refs.
            let refs = scope.spawn(|| Refs::read(&private, &ours, host.common));
            let settings = Settings::read(host.admin)?;
            supported(&settings)?;
            let refs = refs
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<_, GitdirError>((settings, refs))
        })?;
        let mut files = gitfiles::settings(&self.git_dir(), host, &settings);
        files.insert("HEAD".to_owned(), std::fs::read(host.admin.join("HEAD"))?);
        files.insert(
            ALTERNATES.to_owned(),
            alternates::lines(object_folders(host.common)?.iter().map(PathBuf::as_path)),
        );
        files.extend(std::mem::take(&mut refs.symbolic));
        let mut indexes = gitfiles::shared_indexes(host.admin);
        indexes.push("index".to_owned());
        let fate = |path: &str, entry| match entry {
            Entry::Folder if KEPT.contains(&path) => Fate::Stays,
            Entry::Folder if path == "refs" || path == HEADS || is_above(path, &files) => Fate::Within,
            Entry::File if path == "packed-refs" || files.contains_key(path) => Fate::Stays,
            Entry::File if indexes.iter().any(|index| index == path) => Fate::Stays,
            Entry::File | Entry::Folder | Entry::Other => Fate::Goes,
        };
        private.weed("", &fate)?;
        private.weed("objects/info", &fate)?;
        drop(private.make_folder(HEADS)?);
        refs.write(&private, &ours)?;
        for (path, bytes) in &files {
            private.write(path, bytes)?;
        }
        for name in &indexes {
            private.copy(&host.admin.join(name), name)?;
        }
        // What a person has staged is theirs to commit.
        index::unstage(host.admin, &self.git_dir().join("index"))?;
        if gitlinks::is_marked(host.admin) {
            gitlinks::look_at(host.admin, &self.git_dir().join("index"))?;
        }
        ours.write("dot-git", &self.dot_git())?;
        Ok(())
    }

    /// Makes it borrow from the repository at `common` and say where it stands, if it is there: both may have moved.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn relocate(&self, common: &Path) -> io::Result<()> {
        if !self.git_dir().is_dir() {
            return Ok(());
        }
        let ours = Beneath::open(&self.folder)?;
        let dot_git = self.dot_git();
        if ours.read("dot-git", PACKED_CAP)?.as_deref() == Some(dot_git.as_slice()) {
            return Ok(());
        }
        self.mend_alternates(common)?;
        ours.write("dot-git", &dot_git)
    }

    /// What stands in the worktree's `.git` file, seen from inside.
    fn dot_git(&self) -> Vec<u8> {
        // git reads the path to the byte, whatever its encoding.
        [b"gitdir: ", self.git_dir().as_os_str().as_bytes(), b"\n"].concat()
    }

    /// Writes settings, excludes and attributes anew, whatever a brain made of them: what is committed for it is what
    /// stands in its files, as the user's filters have it.
    ///
    /// # Errors
    /// [`GitdirError`], as [`prepare`](Self::prepare).
    pub fn mend_settings(&self, host: HostGit<'_>) -> Result<(), GitdirError> {
        let private = Beneath::open(&self.git_dir())?;
        let settings = Settings::read(host.admin)?;
        for name in ["config", "config.worktree", "info"] {
            private.remove(name)?;
        }
        for (path, bytes) in gitfiles::settings(&self.git_dir(), host, &settings) {
            private.write(&path, &bytes)?;
        }
        Ok(())
    }

    /// What was written by the last [`prepare`](Self::prepare): the packed refs.
    pub(super) fn baseline(&self) -> io::Result<String> {
        baseline(&Beneath::open(&self.folder)?)
    }

    /// Puts the borrowed objects back in place, whatever a brain made of them.
    pub(super) fn mend_alternates(&self, common: &Path) -> io::Result<()> {
        let private = Beneath::open(&self.git_dir())?;
        private.remove("objects/info")?;
        // What cannot be read any more is missed where it is needed.
        let folders = object_folders(common).unwrap_or_else(|_| vec![common.join("objects")]);
        private.write(
            ALTERNATES,
            &alternates::lines(folders.iter().map(PathBuf::as_path)),
        )
    }
}

/// What is told of refs: the host's, and those of the brain's own making that the host has not.
struct Refs {
    text: String,
    /// Refs that name another one, as files.
    symbolic: Files,
    /// Whether the brain's `packed-refs` and ours beside them say so already.
    stands: [bool; 2],
}

impl Refs {
    fn read(private: &Beneath, ours: &Beneath, common: &Path) -> io::Result<Self> {
        let mut refs = MainRefs::read(common)?;
        let baseline = baseline(ours)?;
        // One that cannot be read any more loses only its brain's own branches, which were pinned when they came home.
        let standing = private.read("packed-refs", PACKED_CAP);
        let own = standing.as_ref().ok().map(|packed| {
            let packed = packed.as_deref().unwrap_or_default();
            privaterefs::changed_from(private, packed, &baseline).unwrap_or_default()
        });
        let standing = standing.ok().flatten();
        for (name, change) in own.unwrap_or_default() {
            let is_own = change.old.is_none() && !name.starts_with("refs/replace/");
            // git refuses much where a ref names what is not there.
            if is_own && borrowed::may_have(private, common, change.new) {
                refs.add(&name, &change.new.to_string());
            }
        }
        let text = refs.packed();
        let symbolic = refs.symbolic();
        Ok(Self {
            stands: [standing.as_deref() == Some(text.as_bytes()), baseline == text],
            symbolic: symbolic
                .map(|(name, target)| (name.to_owned(), format!("ref: {target}\n").into_bytes()))
                .collect(),
            text,
        })
    }

    fn write(&self, private: &Beneath, ours: &Beneath) -> io::Result<()> {
        let places = [(private, "packed-refs"), (ours, "baseline")];
        for ((folder, name), stands) in places.into_iter().zip(self.stands) {
            if !stands {
                folder.write(name, self.text.as_bytes())?;
            }
        }
        Ok(())
    }
}

fn baseline(ours: &Beneath) -> io::Result<String> {
    Ok(refnames::text(
        ours.read("baseline", PACKED_CAP)?.unwrap_or_default(),
    ))
}

/// Removes pipes and links that stand where git reads a file: it would wait on one for ever. Folders deeper than git
/// makes any, or with more entries, are left to the patience of whoever runs git.
pub(super) fn unblock(git_dir: &Beneath) -> io::Result<()> {
    const DEEPEST: usize = 16;
    const MOST: usize = 200_000;
    let mut folders = vec![(String::new(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = folders.pop() {
        for (name, entry) in git_dir.list(&folder, MOST)? {
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            seen += 1;
            match entry {
                Entry::Other => git_dir.remove(&path)?,
                Entry::Folder if depth < DEEPEST && seen < MOST => folders.push((path, depth + 1)),
                Entry::Folder | Entry::File => {}
            }
        }
    }
    Ok(())
}

/// Whether clones of the repository can work in a sandbox, before a task of one is queued: without a process.
///
/// # Errors
/// [`GitdirError::PartialClone`], [`GitdirError::Lender`].
pub fn fits(repo: &Repo) -> Result<(), GitdirError> {
    object_folders(repo.common_dir())?;
    let Ok(config) = repo.config() else {
        return Ok(());
    };
    if let Ok(remote) = config.get_string("extensions.partialclone") {
        return Err(GitdirError::PartialClone(remote));
    }
    let mut partial = None;
    let note = |entry: &git2::ConfigEntry<'_>| {
        let name = entry
            .name()
            .ok()
            .and_then(|name| name.strip_prefix("remote.")?.strip_suffix(".promisor"));
        if let Some(name) = name.filter(|_| entry.value().is_ok_and(|value| value != "false")) {
            partial = Some(name.to_owned());
        }
    };
    drop(
        config
            .entries(Some(r"remote\..*\.promisor"))
            .and_then(|found| found.for_each(note)),
    );
    partial.map_or(Ok(()), |remote| Err(GitdirError::PartialClone(remote)))
}

/// Whether one of `files` lies in `folder`.
fn is_above(folder: &str, files: &Files) -> bool {
    let below = format!("{folder}/");
    let mut from = files.range(below.clone()..);
    from.next().is_some_and(|(path, _)| path.starts_with(&below))
}

fn supported(settings: &Settings) -> Result<(), GitdirError> {
    if let Some(remote) = settings.promisor() {
        return Err(GitdirError::PartialClone(remote.to_owned()));
    }
    if settings
        .get("extensions.objectformat")
        .is_some_and(|format| format != "sha1")
    {
        return Err(GitdirError::Format("object format (sha256)"));
    }
    if settings
        .get("extensions.refstorage")
        .is_some_and(|format| format != "files")
    {
        return Err(GitdirError::Format("ref storage (reftable)"));
    }
    Ok(())
}
