//! The site's own folder, `<common>/khlone/`: local state that nobody else shares, its identity and its locks.
//!
//! Losing the folder loses no acknowledged task: the `site_uuid` stands beside it, too, else its tasks would be
//! another's. It is bound to the common folder's device and inode, so a copied repository is another site and never
//! runs its original's tasks. A repository that was moved to another disk looks the same as a copy; so the file keeps
//! which site it was before and where that stood, and a person tells which it is (`git khlone sites adopt`).

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Layout, Repo, Sharing, mend_by_records, repo::quoted, reshare};
use crate::{
    process::{
        FileLock,
        file::{is_shared, read, read_text, replace_durably, unshare_all},
        is_same_machine,
    },
    task::{FORMAT, FormatError, Owner, explain, parse_versioned},
};

/// The copy of `site.json` that stands beside the folder.
const BESIDE: &str = "khlone-site.json";
/// So many moves are remembered.
const MOVES: usize = 16;

/// This repository on this machine.
#[derive(Debug, Clone)]
pub struct Site {
    common: PathBuf,
    layout: Layout,
    owner: Owner,
    /// Its ids before it was copied or moved to another disk, the newest first.
    formers: Vec<String>,
    /// Where it stood when it got them.
    stood: Vec<PathBuf>,
    sharing: Sharing,
}

/// `site.json`.
#[derive(Debug, Serialize, Deserialize)]
struct SiteFile {
    format: u32,
    site_uuid: String,
    dev: u64,
    ino: u64,
    /// The id before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<String>,
    /// The ids before that, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<String>,
    /// The common folder's path when the id was made, and those of the ids before, where they are text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stood: Vec<String>,
    /// The main work tree, where the common folder does not say where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    main: Option<String>,
}

/// Whose a task is, as seen from a site.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// This site's: it schedules and recovers it.
    Here,
    /// This site's before it was copied, moved to another disk, or got another machine around it.
    Former,
    /// Another site's.
    Other,
}

/// A site whose folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The disk refuses.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
    /// Someone else's.
    #[error("{path} belongs to user {uid}; git-khlone keeps private state there and will not share it", path = .path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// It stands elsewhere, by a link.
    #[error("{path} is a symbolic link to {to}; a copy of the repository would share what git-khlone keeps there", path = .path.display(), to = .to.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        to: PathBuf,
    },
    /// `site.json` is newer or broken.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl SiteError {
    /// Whether nothing is wrong but that the site's folder is not for us to write.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ),
            Self::Foreign { .. } => true,
            Self::Format(_) | Self::Link { .. } => false,
        }
    }
}

explain! {
    SiteError {
        transparent { Format }
        Failed {
            Io { path, .. } => {
                let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
                format!("ls -ld {}", quoted(there))
            },
        }
        Refused {
            Foreign { path, .. } => format!("sudo chown -R \"$USER\" {}", path.display()),
            Link { path, to } => {
                let link = quoted(path);
                if to.exists() {
                    let to = quoted(to);
                    format!("rm {link} && mv {to} {link}    # another disk can be mounted there")
                } else {
                    format!("rm {link}")
                }
            },
        }
    }
}

impl Site {
    /// Opens the site of a repository, making its folder and id on first use. `machine` is this machine's id.
    ///
    /// # Errors
    /// [`SiteError`] if the folder cannot be made, or is another user's.
    pub fn open(repo: &Repo, machine: &str) -> Result<Self, SiteError> {
        let common = repo.common_dir().to_owned();
        let layout = Layout::of(&common);
        let dir = layout.dir();
        let io = |source| SiteError::Io {
            path: dir.to_owned(),
            source,
        };
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => {}
        }
        refuse_links(dir)?;
        let uid = fs::symlink_metadata(dir).map_err(io)?.uid();
        if uid != rustix::process::geteuid().as_raw() {
            return Err(SiteError::Foreign {
                path: dir.to_owned(),
                uid,
            });
        }
        let main = repo.main_tree().to_remember(&common).and_then(Path::to_str);
        // Before anybody reads a ref: a brain without a sandbox may have died with its runner, and left none readable.
        if let Err(error) = mend_by_records(repo, &layout.kept_packed_refs()) {
            tracing::warn!(%error, "packed-refs cannot be put right");
        }
        let file = identify((&common, repo.sharing()), &layout, main)?;
        reshare::mend(&common, &layout, repo.sharing());
        let formers = file.formers();
        let owner = Owner {
            site_uuid: file.site_uuid,
            machine: machine.to_owned(),
        };
        Ok(Self {
            common,
            layout,
            owner,
            formers,
            stood: file.stood.into_iter().map(PathBuf::from).collect(),
            sharing: repo.sharing(),
        })
    }

    /// The site of a repository in which nothing can be written, for whoever only reads. One that has no id yet, or is
    /// a copy, has none of the tasks.
    pub fn reading(repo: &Repo, machine: &str) -> Self {
        let common = repo.common_dir().to_owned();
        let file = file_at(&common);
        let meta = fs::metadata(&common).ok();
        let is_ours =
            |file: &&SiteFile| meta.is_some_and(|meta| (file.dev, file.ino) == (meta.dev(), meta.ino()));
        let site_uuid = file.as_ref().filter(is_ours).map(|file| file.site_uuid.clone());
        Self {
            layout: Layout::of(&common),
            common,
            owner: Owner {
                site_uuid: site_uuid.unwrap_or_default(),
                machine: machine.to_owned(),
            },
            formers: file.as_ref().map(SiteFile::formers).unwrap_or_default(),
            stood: Vec::new(),
            sharing: repo.sharing(),
        }
    }

    /// The copy of its identity outside of its own folder.
    pub fn beside(&self) -> PathBuf {
        self.common.join(BESIDE)
    }

    /// The git folder that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common
    }

    /// The site's own folder.
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// Where things are in it. Lock files are never removed: unlinking one gave two holders.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A folder for packs that are not in their place yet, on the disk of those that are: `objects` may be another's.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn pack_temp(&self) -> io::Result<PathBuf> {
        let packs = self.common.join("objects/pack");
        self.sharing.make_dirs(&packs)?;
        let disk = |path: &Path| fs::metadata(path).map(|meta| meta.dev());
        let temp = if disk(self.dir())? == disk(&packs)? {
            self.layout.temp()
        } else {
            // By its first letters git's own prune takes it, should we be killed.
            packs.join("tmp_khlone")
        };
        fs::create_dir_all(&temp)?;
        Ok(temp)
    }

    /// Who may use what is made in the git folder, outside of the site's own.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Who we are to the ledger.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The site's ids before the repository was copied or moved to another disk, the newest first.
    pub fn formers(&self) -> &[String] {
        &self.formers
    }

    /// Where the common folder stood when it got its id, and where it stood before, as far as that is known.
    pub fn stood(&self) -> &[PathBuf] {
        &self.stood
    }

    /// Whether a task with this owner is this site's, to run and to change. Owners are not compared by hand: a machine
    /// has had more than one form of its id.
    pub fn owns(&self, owner: &Owner) -> bool {
        self.whose(owner) == Whose::Here
    }

    /// Whose a task with this owner is.
    pub fn whose(&self, owner: &Owner) -> Whose {
        if owner.site_uuid == self.owner.site_uuid && is_same_machine(&owner.machine, &self.owner.machine) {
            Whose::Here
        } else if owner.site_uuid == self.owner.site_uuid || self.formers.contains(&owner.site_uuid) {
            Whose::Former
        } else {
            Whose::Other
        }
    }

    /// The ids that the repository at `common` has or had, by its `site.json`; empty if it has none that can be read.
    /// Nothing is made or changed.
    pub fn ids_at(common: &Path) -> Vec<String> {
        file_at(common).map_or_else(Vec::new, |file| {
            let formers = file.formers();
            [file.site_uuid].into_iter().chain(formers).collect()
        })
    }

    /// The main work tree that was remembered for the repository at `common`.
    pub(super) fn main_at(common: &Path) -> Option<PathBuf> {
        file_at(common)?.main.map(PathBuf::from)
    }

    /// The last number given in the site's order of arrival; `None` if the counter is lost.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn last_seq(&self) -> io::Result<Option<u64>> {
        match read_text(&self.layout.counter()) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Brings the counter up to `floor`, if it is lost or behind.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn raise_seq(&self, floor: u64) -> io::Result<()> {
        let mut turn = FileLock::wait_to_write(&self.layout.counter())?;
        let last = self.last_seq()?;
        if last.is_none_or(|last| last < floor) {
            write_seq(turn.file(), floor)?;
        }
        Ok(())
    }

    /// The next number in the site's order of arrival, above `floor`: a counter that was put back from an older copy
    /// gives no number twice. `highest` finds the largest number in use, and is called only when the counter is lost.
    ///
    /// # Errors
    /// If the disk refuses, or `highest` fails.
    pub fn next_seq<E: From<io::Error>>(
        &self,
        floor: u64,
        highest: impl FnOnce() -> Result<u64, E>,
    ) -> Result<u64, E> {
        let mut turn = FileLock::wait_to_write(&self.layout.counter())?;
        let mut text = String::new();
        turn.file().read_to_string(&mut text)?;
        let last = match text.trim().parse() {
            Ok(last) => last,
            Err(_) => highest()?,
        };
        let next = last.max(floor).saturating_add(1);
        write_seq(turn.file(), next)?;
        Ok(next)
    }
}

/// Neither the site's folder nor a part of it may stand elsewhere: locks there would be shared with whatever has the same
/// link, a copy of the repository first.
fn refuse_links(dir: &Path) -> Result<(), SiteError> {
    let io = |source| SiteError::Io {
        path: dir.to_owned(),
        source,
    };
    let below = fs::read_dir(dir).into_iter().flatten().flatten();
    let below = below.map(|entry| entry.path());
    let mut places = std::iter::once(dir.to_owned()).chain(below);
    let Some(path) = places.find(|path| path.is_symlink()) else {
        return Ok(());
    };
    let to = fs::read_link(&path).map_err(io)?;
    let to = path.parent().unwrap_or(dir).join(to);
    Err(SiteError::Link { path, to })
}

fn write_seq(file: &mut File, seq: u64) -> io::Result<()> {
    file.rewind()?;
    // Fixed width, so that a torn write cannot leave a shorter, smaller number.
    let line = format!("{seq:020}\n");
    file.write_all(line.as_bytes())?;
    file.set_len(line.len() as u64)?;
    file.sync_data()
}

/// The `site.json` of the repository at `common`, if it has one that can be read.
fn file_at(common: &Path) -> Option<SiteFile> {
    let places = [Layout::of(common).site_file(), common.join(BESIDE)];
    let mut read = places.iter().filter_map(|path| read(path).ok());
    read.find_map(|bytes| parse_versioned("site.json", &bytes).ok())
}

fn identify(
    (common, sharing): (&Path, Sharing),
    layout: &Layout,
    main: Option<&str>,
) -> Result<SiteFile, SiteError> {
    let (path, beside) = (layout.site_file(), common.join(BESIDE));
    let io = |source| SiteError::Io {
        path: path.clone(),
        source,
    };
    let meta = fs::metadata(common).map_err(io)?;
    let read = |path: &Path| match read(path) {
        Ok(bytes) => parse_versioned::<SiteFile>("site.json", &bytes)
            .map(Some)
            .map_err(SiteError::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SiteError::Io {
            path: path.to_owned(),
            source,
        }),
    };
    let ours = |file: &SiteFile| (file.dev, file.ino) == (meta.dev(), meta.ino());
    if beside.exists()
        && !is_shared(&path)
        && let Some(file) = read(&path)?.filter(ours)
        && (main.is_none() || file.main.as_deref() == main)
    {
        return Ok(file);
    }
    // Not on a file of the site's: a hard-linked copy would share it with its original.
    let _turn = FileLock::wait_folder(common).map_err(io)?;
    let there = read(&path)?;
    let old = match there {
        Some(there) => Some(there),
        None => read(&beside)?,
    };
    let mut file = match old {
        Some(old) if ours(&old) => {
            // A copy has been made with links. It is not ours to change, whether or not it is ever used.
            if is_shared(&path) {
                unshare_logs(common).map_err(io)?;
            }
            old
        }
        old => {
            make_anew(common, layout).map_err(io)?;
            fresh(common, &meta, old).map_err(io)?
        }
    };
    file.main = main.map(str::to_owned).or(file.main);
    let text = serde_json::to_vec_pretty(&file).map_err(|error| io(error.into()))?;
    for place in [&path, &beside] {
        replace_durably(place, &text).map_err(io)?;
    }
    sharing.adjust(&beside).map_err(io)?;
    Ok(file)
}

/// Makes what came with a copy this site's own: no file that is written in place is shared with the original any more,
/// and no pack is ours.
fn make_anew(common: &Path, layout: &Layout) -> io::Result<()> {
    unshare_all(layout.dir())?;
    unshare_logs(common)?;
    let packs = layout.packs();
    match fs::remove_dir_all(&packs) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir(packs)
}

/// Reflogs, and the files of linked worktrees, are written in place, by git as by us.
fn unshare_logs(common: &Path) -> io::Result<()> {
    for name in ["logs", "worktrees"] {
        match unshare_all(&common.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl SiteFile {
    fn formers(&self) -> Vec<String> {
        self.former.iter().chain(&self.earlier).cloned().collect()
    }
}

/// A new id for the common folder that `meta` describes, which had `old` before.
fn fresh(common: &Path, meta: &fs::Metadata, old: Option<SiteFile>) -> io::Result<SiteFile> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let earlier = old.as_ref().map(SiteFile::formers).unwrap_or_default();
    let (former, stood) = old.map(|old| (old.site_uuid, old.stood)).unzip();
    let stands = common.to_str().map(str::to_owned);
    let stood = stands.into_iter().chain(stood.unwrap_or_default());
    Ok(SiteFile {
        format: FORMAT,
        site_uuid: random.iter().map(|byte| format!("{byte:02x}")).collect(),
        dev: meta.dev(),
        ino: meta.ino(),
        former,
        earlier: earlier.into_iter().take(MOVES).collect(),
        stood: stood.take(MOVES).collect(),
        main: None,
    })
}
