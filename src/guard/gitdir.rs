//! The private git folder of a clone: what its brain sees as the repository.
//!
//! It borrows the objects of the repository and has everything else of its own: HEAD, refs, index, config, hooks
//! (none), excludes. It stands in `<site>/gitdirs/<zone>.<clone>/git`, is kept between tasks, and is brought up to
//! date before each: branch and index go from the host's worktree to it, never the other way.
//!
//! A brain can write all of it. So nothing in it is believed: before a task everything but objects, reflogs and LFS
//! files is thrown away and written anew, without following a link. What was last written stands beside it in
//! `baseline`, out of the brain's reach, so that an import can tell what is new. Branches that a brain made for
//! itself live on until the host has a branch of that name.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    beneath::{Beneath, Entry},
    gitconfig::Settings,
    mainrefs::MainRefs,
    privaterefs::{self, PACKED_CAP},
    sandbox::GitView,
};
use crate::{
    process::ProcessError,
    refs::Repo,
    task::{Class, Explain},
    worktree::gitlinks,
};

/// What of an earlier task stays: nothing in it decides what a command of ours does.
const KEPT: [&str; 4] = ["objects", "logs", "lfs", "rr-cache"];

/// A private git folder that cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum GitdirError {
    /// Objects are fetched on demand, which a sandbox without credentials cannot do.
    #[error("this is a partial clone of `{0}`: a sandboxed clone cannot fetch what is missing")]
    PartialClone(String),
    /// An object format that this build does not read.
    #[error("this repository's {0} is not supported")]
    Format(&'static str),
    /// Git could not tell the settings.
    #[error(transparent)]
    Git(#[from] ProcessError),
    /// The disk did not let us.
    #[error("cannot prepare the clone's git folder: {0}")]
    Disk(#[from] io::Error),
}

impl Explain for GitdirError {
    fn class(&self) -> Class {
        match self {
            Self::PartialClone(_) | Self::Format(_) => Class::Refused,
            Self::Git(_) | Self::Disk(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::PartialClone(remote) => Some(format!(
                "git config --unset remote.{remote}.partialclonefilter; git config --unset remote.{remote}.promisor; \
                 git fetch --refetch {remote}    or set `sandbox: off`"
            )),
            Self::Format(_) | Self::Git(_) | Self::Disk(_) => None,
        }
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
        let settings = Settings::read(host.admin)?;
        supported(&settings)?;
        let private = Beneath::create(&self.git_dir())?;
        let refs = self.merged_refs(&private, host.common)?;
        for (name, entry) in private.list("", 10_000)? {
            let kept = entry == Entry::Folder && KEPT.contains(&name.as_str()) || name == "packed-refs";
            if !kept {
                private.remove(&name)?;
            }
        }
        self.write_refs(&private, &refs, host)?;
        private.remove("objects/info")?;
        private.write("objects/info/alternates", &alternates(host.common)?)?;
        self.write_settings(&private, host, &settings)?;
        for name in std::iter::once("index".to_owned()).chain(shared_indexes(host.admin)) {
            private.copy(&host.admin.join(&name), &name)?;
        }
        if gitlinks::is_marked(host.admin) {
            gitlinks::look_at(host.admin, &self.git_dir().join("index"))?;
        }
        let dot_git = format!("gitdir: {}\n", self.git_dir().display());
        Beneath::open(&self.folder)?.write("dot-git", dot_git.as_bytes())?;
        Ok(())
    }

    /// Writes settings, excludes and attributes anew, whatever a brain made of them: what is committed for it is what
    /// stands in its files, as the user's filters have it.
    ///
    /// # Errors
    /// [`GitdirError`], as [`prepare`](Self::prepare).
    pub fn mend_settings(&self, host: HostGit<'_>) -> Result<(), GitdirError> {
        let private = Beneath::open(&self.git_dir())?;
        for name in ["config", "config.worktree", "info"] {
            private.remove(name)?;
        }
        self.write_settings(&private, host, &Settings::read(host.admin)?)?;
        Ok(())
    }

    fn write_settings(&self, private: &Beneath, host: HostGit<'_>, settings: &Settings) -> io::Result<()> {
        let info = self.git_dir().join("info");
        private.write("config", settings.private(&info).as_bytes())?;
        write_info(private, host, settings)
    }

    /// What was written by the last [`prepare`](Self::prepare): the packed refs.
    pub(super) fn baseline(&self) -> io::Result<String> {
        let bytes = Beneath::open(&self.folder)?.read("baseline", PACKED_CAP)?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    }

    /// Puts the borrowed objects back in place, whatever a brain made of them.
    pub(super) fn mend_alternates(&self, common: &Path) -> io::Result<()> {
        let private = Beneath::open(&self.git_dir())?;
        private.remove("objects/info")?;
        private.write("objects/info/alternates", &alternates(common)?)
    }

    /// The host's refs, and those of the brain's own making that the host has not.
    fn merged_refs(&self, private: &Beneath, common: &Path) -> Result<MainRefs, GitdirError> {
        let mut refs = MainRefs::read(common)?;
        let baseline = self.baseline()?;
        // One that cannot be read any more loses only its brain's own branches, which were pinned when they came home.
        let own = privaterefs::changed(private, &baseline).unwrap_or_default();
        for (name, change) in own {
            if change.old.is_none() && !name.starts_with("refs/replace/") {
                refs.add(&name, &change.new.to_string());
            }
        }
        Ok(refs)
    }

    fn write_refs(&self, private: &Beneath, refs: &MainRefs, host: HostGit<'_>) -> io::Result<()> {
        let text = refs.packed();
        let ours = Beneath::open(&self.folder)?;
        if private.read("packed-refs", PACKED_CAP).ok().flatten().as_deref() != Some(text.as_bytes()) {
            private.write("packed-refs", text.as_bytes())?;
        }
        if ours.read("baseline", PACKED_CAP).ok().flatten().as_deref() != Some(text.as_bytes()) {
            ours.write("baseline", text.as_bytes())?;
        }
        drop(private.make_folder("refs/heads")?);
        for (name, target) in refs.symbolic() {
            private.write(name, format!("ref: {target}\n").as_bytes())?;
        }
        private.write("HEAD", &std::fs::read(host.admin.join("HEAD"))?)
    }
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
/// [`GitdirError::PartialClone`].
pub fn fits(repo: &Repo) -> Result<(), GitdirError> {
    let Ok(config) = repo.git().config() else {
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

/// The repository's objects and those that it borrows itself.
fn alternates(common: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let objects = common.join("objects").canonicalize()?;
    let mut lines = quoted(objects.as_os_str().as_bytes());
    // Relative ones are relative to the objects folder; git follows further levels by itself.
    let theirs = std::fs::read(objects.join("info/alternates")).unwrap_or_default();
    for line in theirs.split(|byte| *byte == b'\n') {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if line.starts_with(b"/") || line.starts_with(b"\"") {
            lines.extend_from_slice(line);
            lines.push(b'\n');
        } else {
            let path = objects.join(std::ffi::OsStr::from_bytes(line));
            lines.extend(quoted(path.as_os_str().as_bytes()));
        }
    }
    Ok(lines)
}

/// A path as a line of `alternates`; only one that begins with a quote or holds a newline needs quoting.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut line = path.to_vec();
    if path.contains(&b'\n') {
        line = [b"\"", path.escape_ascii().to_string().as_bytes(), b"\""].concat();
    }
    line.push(b'\n');
    line
}

fn write_info(private: &Beneath, host: HostGit<'_>, settings: &Settings) -> io::Result<()> {
    let mut files = BTreeMap::from([
        ("info/exclude", host.common.join("info/exclude")),
        ("info/attributes", host.common.join("info/attributes")),
        ("info/sparse-checkout", host.admin.join("info/sparse-checkout")),
        ("shallow", host.common.join("shallow")),
    ]);
    for (place, key, usual) in [
        ("info/user-exclude", "core.excludesfile", "ignore"),
        ("info/user-attributes", "core.attributesfile", "attributes"),
    ] {
        files.insert(place, user_file(host.home, settings.get(key), usual));
    }
    drop(private.make_folder("info")?);
    for (place, source) in files {
        match std::fs::read(source) {
            Ok(bytes) => private.write(place, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::debug!(%error, place, "not taken into the private git folder"),
        }
    }
    Ok(())
}

/// A file of the user's that git reads: as configured, else in its usual place.
fn user_file(home: &Path, configured: Option<&str>, usual: &str) -> PathBuf {
    match configured {
        Some(path) => match path.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(path),
        },
        None => std::env::var_os("XDG_CONFIG_HOME")
            .filter(|folder| !folder.is_empty())
            .map_or_else(|| home.join(".config"), PathBuf::from)
            .join("git")
            .join(usual),
    }
}

/// The files that a split index needs besides itself.
fn shared_indexes(admin: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(admin).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("sharedindex."))
        .collect()
}
