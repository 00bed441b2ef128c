//! Where a clone's worktree stands.
//!
//! Beside the repository, in `<parent>/<repo>.khlone/<repo>-<zone-id>.<clone>`: the same filesystem (so that
//! copies can share blocks), not hidden, not under `.git` and not inside the checkout, because test runners and
//! file watchers skip the first two and find nested work trees in the third. The last component is unique on the
//! machine as far as repository names are, since some brains key their sessions by it.
//!
//! `worktree.root` moves the holder; where the parent cannot be written, it is `<data home>/khlone`. A folder of
//! someone else's at the chosen place is never touched: the next number is taken (`….1-2`), up to nine.
//! Places stand in documents, so they are UTF-8, whatever the repository's path is: of its name what is not becomes a
//! dash, and beside a folder that is not UTF-8 no worktree is put.
//! The place is chosen once and recorded; this module never looks for a place that has been recorded.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::{carry::quoted, checkout::Checkout, holder::hides};
use crate::{
    refs::Repo,
    task::{CloneName, ZoneId, explain},
};

mod vet;

/// The longest repository name that goes into a folder name; the rest of the component is ours.
const MAX_NAME: usize = 120;
/// How many foreign folders of our name are stepped over.
const TRIES: usize = 9;

/// The repository's own ground, from which places are reckoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// What must not contain a worktree: the main work tree, or the bare repository.
    pub top: PathBuf,
    /// The folder beside which worktrees stand; none for a repository at `/`.
    pub parent: Option<PathBuf>,
    /// The repository's name.
    pub name: OsString,
}

/// What the user and the machine say about places.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// `worktree.root`; relative to the main work tree.
    pub root: Option<&'a Path>,
    /// `$XDG_DATA_HOME`, or what stands for it.
    pub data_home: &'a Path,
}

/// No place for a worktree.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// `worktree.root` is inside the repository.
    #[error("worktree.root {root} is inside the repository {top}: tools there would find every clone's files", root = .root.display(), top = .top.display())]
    Inside {
        /// The setting.
        root: PathBuf,
        /// The repository.
        top: PathBuf,
    },
    /// No folder's path can be written in documents.
    #[error("no worktree can be made for {top}: the path is not UTF-8, nor is that of another folder", top = .top.display())]
    NotText {
        /// The repository.
        top: PathBuf,
    },
    /// Nothing there is writable.
    #[error("no worktree can be made below {holder}: it cannot be written", holder = .holder.display())]
    Unwritable {
        /// The folder.
        holder: PathBuf,
    },
    /// Its owner decides what stands there.
    #[error("{path} belongs to user {uid}, who could put anything in the place of a worktree there", path = .path.display())]
    Anothers {
        /// The folder, or what stands in the worktree's place.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// Others may rename what stands there.
    #[error("{path} can be written by other users, who could put anything in the place of a worktree there", path = .path.display())]
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// It leads where git has no worktree.
    #[error("{place} is a link to {target}, where git knows no worktree of this repository", place = .place.display(), target = .target.display())]
    Link {
        /// Where the worktree should stand.
        place: PathBuf,
        /// Where the link leads.
        target: PathBuf,
    },
    /// Others have taken every name.
    #[error("{place} and its numbered neighbours exist and are not git-khlone's", place = .place.display())]
    Taken {
        /// The first choice.
        place: PathBuf,
    },
}

explain! {
    PlaceError {
        Refused {
            Inside | Unwritable | NotText =>
                "git khlone config    # worktree.root in khlone.yml: a writable folder outside the repository",
            Anothers =>
                "git khlone config    # worktree.root in khlone.yml: a folder that only you can write",
            Open { path } => format!(
                "chmod go-w {}    # or set worktree.root in khlone.yml to a folder that only you can write",
                quoted(path)
            ),
            Link { place, .. } => format!("mv {0} {0}.aside", quoted(place)),
            Taken { place } => format!("mv {0} {0}.aside", place.display()),
        }
    }
}

impl Ground {
    /// The ground of a repository with this common folder and main work tree. Pure.
    pub fn of(common: &Path, main: Option<&Path>) -> Self {
        // A submodule stands inside its superproject's checkout; so would its clones. Go to the outermost one.
        let top = superproject(common).or_else(|| main.map(Path::to_owned));
        let own = main.map_or_else(|| bare_top(common), Path::to_owned);
        let name = own.file_name().unwrap_or(OsStr::new("repository")).to_owned();
        let top = top.unwrap_or(own);
        let parent = top.parent().map(Path::to_owned);
        let name = trimmed(&name)
            .to_string_lossy()
            .replace(char::REPLACEMENT_CHARACTER, "-");
        Self {
            parent,
            name: name.into(),
            top,
        }
    }

    /// The folders that may hold this repository's worktrees, best first. Pure.
    pub fn holders(&self, rules: &Rules<'_>) -> Vec<PathBuf> {
        if let Some(root) = rules.root {
            return vec![normal(&self.top.join(root))];
        }
        let mut holder = self.name.clone();
        holder.push(".khlone");
        let beside = self.parent.iter().map(|parent| parent.join(&holder));
        let away = rules.data_home.join("khlone").join(&holder);
        beside.chain([away.clone()]).collect()
    }

    /// The last component of a clone's worktree. Pure.
    pub fn folder(&self, zone: &ZoneId, clone: &CloneName) -> OsString {
        let mut folder = self.name.clone();
        folder.push(format!("-{zone}.{clone}"));
        folder
    }

    /// Whether a clone's worktree can be called `folder`. Pure.
    fn gives(&self, folder: &OsStr) -> bool {
        let parts = || {
            let rest = folder.to_str()?.strip_prefix(self.name.to_str()?)?;
            let (zone, clone) = rest.strip_prefix('-')?.split_once('.')?;
            // Another try, where the first name was taken.
            let numbered = clone.rsplit_once('-');
            let numbered = numbered.filter(|(_, n)| n.parse::<u32>().is_ok());
            let clone = numbered.map_or(clone, |(first, _)| first);
            Some((ZoneId::try_from(zone.to_owned()), clone.parse::<CloneName>()))
        };
        matches!(parts(), Some((Ok(_), Ok(_))))
    }
}

/// The place of a new clone's worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The place.
    pub place: PathBuf,
    /// What it would have been, had nothing of another's stood there.
    pub passed: Option<PathBuf>,
}

/// Chooses the place of a new clone's worktree. Nothing is made. What git does not know as a worktree of this repository
/// is not one, even where its `.git` file says so: a repository that was deleted and made anew under the same name finds
/// the folders of the first.
///
/// # Errors
/// [`PlaceError`] if no folder may or can hold it.
pub fn choose(
    repo: &Repo,
    rules: &Rules<'_>,
    zone: &ZoneId,
    clone: &CloneName,
) -> Result<Chosen, PlaceError> {
    let main = repo.main_work_dir();
    let ground = Ground::of(repo.common_dir(), main.as_deref());
    let mut holders = ground.holders(rules);
    holders.retain(|holder| holder.to_str().is_some());
    if holders.is_empty() {
        return Err(PlaceError::NotText { top: ground.top });
    }
    if let (Some(_), Some(root)) = (rules.root, holders.first()) {
        let inside = [
            Some(ground.top.as_path()),
            main.as_deref(),
            Some(repo.common_dir()),
        ];
        let real = resolved(root);
        let holds = |top: &&Path| root.starts_with(top) || real.starts_with(resolved(top));
        if let Some(top) = inside.into_iter().flatten().find(holds) {
            return Err(PlaceError::Inside {
                root: root.clone(),
                top: top.to_owned(),
            });
        }
    }
    let Some(holder) = holders.iter().find(|holder| is_writable(holder)) else {
        return Err(PlaceError::Unwritable {
            holder: holders.into_iter().next().unwrap_or_default(),
        });
    };
    vet::holder(repo.common_dir(), &ground.top, holder)?;
    let holder = resolved(holder);
    let place = holder.join(ground.folder(zone, clone));
    if place.to_str().is_none() {
        return Err(PlaceError::NotText { top: ground.top });
    }
    let numbered = (2..=TRIES).map(|n| {
        let mut name = place.clone().into_os_string();
        name.push(format!("-{n}"));
        PathBuf::from(name)
    });
    let free = std::iter::once(place.clone())
        .chain(numbered)
        .find(|place| is_free(place) || Checkout::linked_at(repo.common_dir(), place).is_some());
    match free {
        Some(free) => Ok(Chosen {
            passed: (free != place).then_some(place),
            place: free,
        }),
        None => Err(PlaceError::Taken { place }),
    }
}

/// Refuses the folder in which the next worktree would be made, if another user can lead it elsewhere.
///
/// # Errors
/// [`PlaceError::Anothers`], [`PlaceError::Open`].
pub fn refuse_exposed(repo: &Repo, rules: &Rules<'_>) -> Result<(), PlaceError> {
    let ground = Ground::of(repo.common_dir(), repo.main_work_dir().as_deref());
    let holders = ground.holders(rules);
    let mut usable = holders.iter().filter(|holder| holder.to_str().is_some());
    match usable.find(|holder| is_writable(holder)) {
        Some(holder) => vet::holder(repo.common_dir(), &ground.top, holder),
        None => Ok(()),
    }
}

/// Refuses the recorded place of a worktree if another user can lead it elsewhere, or has.
///
/// # Errors
/// [`PlaceError::Anothers`], [`PlaceError::Open`], [`PlaceError::Link`].
pub fn refuse_led_astray(repo: &Repo, place: &Path) -> Result<(), PlaceError> {
    let ground = Ground::of(repo.common_dir(), repo.main_work_dir().as_deref());
    if let Some(holder) = place.parent() {
        vet::holder(repo.common_dir(), &ground.top, holder)?;
    }
    vet::place(repo, place)
}

/// The folders that may hold this repository's worktrees, best first, as paths are recorded.
pub fn holders(repo: &Repo, rules: &Rules<'_>) -> Vec<PathBuf> {
    let ground = Ground::of(repo.common_dir(), repo.main_work_dir().as_deref());
    ground
        .holders(rules)
        .iter()
        .map(|holder| resolved(holder))
        .collect()
}

/// Whether a repository may choose `root` for its worktrees by itself: below `named`, a root of the user's own choice,
/// or a folder directly beside the repository that is not hidden and holds nothing but linked worktrees. A folder of
/// anything else may be one that programs load what stands in it from.
pub fn is_own_ground(repo: &Repo, root: &Path, named: Option<&Path>) -> bool {
    let ground = Ground::of(repo.common_dir(), repo.main_work_dir().as_deref());
    let holder = normal(&ground.top.join(root));
    let real = resolved(&holder);
    // A link that leads nowhere yet may lead anywhere later.
    let dangles = |path: &Path| path.ancestors().any(|part| part.is_symlink() && !part.exists());
    if dangles(&holder) {
        return false;
    }
    if let Some(named) = named.map(|named| resolved(&normal(&ground.top.join(named)))) {
        return real.starts_with(named);
    }
    let beside = ground
        .parent
        .as_deref()
        .is_some_and(|parent| real.parent() == Some(resolved(parent).as_path()));
    let name = real.file_name().unwrap_or_default().as_bytes();
    let plain = !name.starts_with(b".") && !name.iter().any(u8::is_ascii_control);
    beside && plain && !holder.is_symlink() && holds_only_worktrees(&real)
}

/// Whether nothing stands in `folder` but linked worktrees, whose `.git` is a file.
fn holds_only_worktrees(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.all(|entry| {
            entry.is_ok_and(|entry| entry.path().join(".git").is_file() || hides(&entry.path()))
        }),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Whether `place` has a name that clones' worktrees get here. The user may keep others in the same folder.
pub fn is_a_clones(repo: &Repo, place: &Path) -> bool {
    let ground = Ground::of(repo.common_dir(), repo.main_work_dir().as_deref());
    place.file_name().is_some_and(|name| ground.gives(name))
}

/// Whether nothing stands at `place`.
fn is_free(place: &Path) -> bool {
    let is_empty = || std::fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
    !place.is_symlink() && (!place.exists() || is_empty())
}

/// Whether nothing stands at `place`, or nothing but a worktree of this repository. Of one that was recorded for it its
/// `.git` file is proof, since git forgets worktrees (`git worktree prune`).
pub fn is_ours_to_take(repo: &Repo, place: &Path) -> bool {
    is_free(place)
        || Checkout::linked_at(repo.common_dir(), place).is_some()
        || super::checkout::points_into(place, repo.common_dir())
}

/// The top of the outermost checkout around a submodule's git folder, `<top>/.git/modules/<name>`.
fn superproject(common: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = common.components().collect();
    let at = parts
        .windows(2)
        .position(|pair| pair[0].as_os_str() == ".git" && pair[1].as_os_str() == "modules")?;
    Some(parts[..at].iter().collect())
}

/// What stands for a bare repository: `x.git` as `x`, and the folder around a `.git` or `.bare`.
fn bare_top(common: &Path) -> PathBuf {
    let name = common.file_name().unwrap_or_default().as_bytes();
    match name.strip_suffix(b".git") {
        Some(stem) if !stem.is_empty() => common.with_file_name(OsStr::from_bytes(stem)),
        _ if name.starts_with(b".") => common.parent().unwrap_or(common).to_owned(),
        _ => common.to_owned(),
    }
}

/// A repository name that leaves room for ours in a component of 255 bytes, and hides nothing.
fn trimmed(name: &OsStr) -> OsString {
    let name = name.as_bytes();
    let name = &name[name.iter().take_while(|byte| **byte == b'.').count()..];
    let end = (0..=name.len().min(MAX_NAME))
        .rev()
        .find(|&at| at == name.len() || !matches!(name[at], 0x80..=0xbf));
    let name = &name[..end.unwrap_or(0)];
    OsString::from_vec(if name.is_empty() {
        b"repository".to_vec()
    } else {
        name.to_vec()
    })
}

/// A path without `.` and `..`, as text: it need not exist.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// A path whose existing part is canonical, so that it compares equal with what git records.
fn resolved(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|a| Some((a, a.canonicalize().ok()?)));
    match known {
        Some((ancestor, real)) => path.strip_prefix(ancestor).map_or(real.clone(), |rest| {
            if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            }
        }),
        None => path.to_owned(),
    }
}

fn is_writable(holder: &Path) -> bool {
    let nearest = holder.ancestors().find(|a| a.exists());
    nearest.is_some_and(|a| a.is_dir() && access(a, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

#[cfg(test)]
mod tests;
