//! A work tree with the git folder that describes it: the main checkout or a linked worktree.
//!
//! Everything here names the git folder explicitly, and it is always one that the host owns: the common folder,
//! or `<common>/worktrees/<id>`. Nothing is discovered from inside a work tree, where a brain may have written.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use bstr::ByteSlice;

use super::place::normal;
use crate::{
    process::{Cmd, file::read_no_link},
    refs::{Layout, Repo, Sharing},
};

/// The first words of every lock reason of ours; another reason is the user's and stays.
pub const LOCK_WORDS: &str = "git-khlone:";
/// The reason while a worktree is being made: what stands there is half made and of no worth.
const MAKING: &str = "git-khlone: being made";

/// A work tree and its git folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The common folder for the main checkout, `<common>/worktrees/<id>` for a linked one.
    pub git_dir: PathBuf,
    /// The top of the work tree. It need not exist.
    pub path: PathBuf,
}

/// A linked worktree that git neither prunes nor moves for as long as this lives.
#[must_use = "the lock goes when this is dropped"]
#[derive(Debug)]
pub struct Locked(Checkout);

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.0.unlock());
    }
}

impl Checkout {
    /// The main checkout, unless the repository is bare.
    pub fn main(repo: &Repo) -> Option<Self> {
        Some(Self {
            git_dir: repo.common_dir().to_owned(),
            path: repo.main_work_dir()?,
        })
    }

    /// Every checkout of the repository, the main one first.
    ///
    /// # Errors
    /// If the folder of linked worktrees cannot be read.
    pub fn all(repo: &Repo) -> io::Result<Vec<Self>> {
        let linked = Self::linked(repo.common_dir())?;
        Ok(Self::main(repo).into_iter().chain(linked).collect())
    }

    /// Every linked worktree, present or not. What stands at a recorded place and is another repository's is none: in
    /// a copy of the repository, the places are those of the original. Nor is a link of another user's, who could lead
    /// us anywhere by it.
    ///
    /// # Errors
    /// If the folder of linked worktrees cannot be read.
    pub fn linked(common: &Path) -> io::Result<Vec<Self>> {
        let mut found = Self::recorded(common)?;
        found.retain(|checkout| {
            !is_others(&checkout.path, &checkout.git_dir) && !is_anothers_link(&checkout.path, common)
        });
        Ok(found)
    }

    /// Every linked worktree where it is recorded, whatever stands there.
    ///
    /// # Errors
    /// If the folder of linked worktrees cannot be read.
    pub fn recorded(common: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(common.join("worktrees")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let git_dir = entry?.path();
            // One that is just being made, or removed, has no such file; it is nobody's checkout then.
            let Ok(text) = fs::read(git_dir.join("gitdir")) else {
                continue;
            };
            let dot_git = git_dir.join(OsStr::from_bytes(text.trim_end()));
            if let Some(path) = normal(&dot_git).parent() {
                found.push(Self {
                    path: path.to_owned(),
                    git_dir,
                });
            }
        }
        found.sort_by(|a, b| a.git_dir.cmp(&b.git_dir));
        Ok(found)
    }

    /// The linked worktree that is recorded at `place`.
    pub fn linked_at(common: &Path, place: &Path) -> Option<Self> {
        let linked = Self::linked(common).ok()?;
        linked.into_iter().find(|checkout| checkout.path == place)
    }

    /// The git folder that all worktrees of its repository share.
    pub fn common_dir(&self) -> &Path {
        let is_linked = self.git_dir.join("commondir").exists();
        let above = self.git_dir.parent().and_then(Path::parent);
        above.filter(|_| is_linked).unwrap_or(&self.git_dir)
    }

    /// The full ref name that its HEAD points to; none when detached.
    pub fn head_ref(&self) -> Option<String> {
        let text = fs::read_to_string(self.git_dir.join("HEAD")).ok()?;
        text.strip_prefix("ref:").map(|name| name.trim().to_owned())
    }

    /// The commit that its HEAD names, if that is on no branch.
    pub fn detached_head(&self) -> Option<git2::Oid> {
        let text = fs::read_to_string(self.git_dir.join("HEAD")).ok()?;
        text.trim().parse().ok()
    }

    /// The full ref name that it holds: HEAD's, or that of a branch being rebased or bisected there.
    pub fn held_ref(&self) -> Option<String> {
        let mut rebased = ["rebase-merge/head-name", "rebase-apply/head-name"].into_iter();
        let rebased = rebased.find_map(|name| fs::read_to_string(self.git_dir.join(name)).ok());
        let bisected = || fs::read_to_string(self.git_dir.join("BISECT_START")).ok();
        self.head_ref()
            .or_else(|| rebased.map(|name| name.trim().to_owned()))
            .or_else(|| bisected().map(|name| format!("refs/heads/{}", name.trim())))
    }

    /// The operation that stands half done there, in git's words.
    pub fn unfinished(&self) -> Option<&'static str> {
        let signs = [
            ("rebase-merge", "rebase"),
            ("rebase-apply/applying", "am"),
            ("rebase-apply", "rebase"),
            ("MERGE_HEAD", "merge"),
            ("CHERRY_PICK_HEAD", "cherry-pick"),
            ("REVERT_HEAD", "revert"),
            ("BISECT_LOG", "bisect"),
        ];
        let mut signs = signs.into_iter();
        signs.find_map(|(file, word)| self.git_dir.join(file).exists().then_some(word))
    }

    /// Prepares git on this checkout: the git folder and the work tree are given, submodules are left alone. The work
    /// tree may be gone.
    pub fn git(&self) -> Cmd {
        // git looks for files from where it stands, not from the work tree that it was given.
        let dir = if self.path.is_dir() {
            &self.path
        } else {
            &self.git_dir
        };
        Cmd::git(&self.git_dir)
            .env("GIT_WORK_TREE", &self.path)
            .dir(dir)
            .args(["-c", "submodule.recurse=false"])
            .args(["-c", "advice.sparseIndexExpanded=false"])
    }

    /// Why git must not prune or move it, if it is locked.
    pub fn lock_reason(&self) -> Option<String> {
        let text = fs::read(self.git_dir.join("locked")).ok()?;
        Some(text.to_str_lossy().trim().to_owned())
    }

    /// Locks it as `git worktree lock` does; a lock of the user's stays as it is.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn lock(&self, why: &str) -> io::Result<()> {
        if self
            .lock_reason()
            .is_some_and(|reason| !reason.starts_with(LOCK_WORDS))
        {
            return Ok(());
        }
        self.write("locked", format!("{LOCK_WORDS} {why}\n"))
    }

    /// Locks it for as long as the answer lives. After a kill the lock stays, and the next run takes it over.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn locked(&self, why: &str) -> io::Result<Locked> {
        self.lock(why)?;
        Ok(Locked(self.clone()))
    }

    /// Takes our lock away; a lock of the user's stays.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn unlock(&self) -> io::Result<()> {
        match self.lock_reason() {
            Some(reason) if reason.starts_with(LOCK_WORDS) => fs::remove_file(self.git_dir.join("locked")),
            _ => Ok(()),
        }
    }

    /// Whether its making was cut short.
    pub fn is_half_made(&self) -> bool {
        self.lock_reason().as_deref() == Some(MAKING)
    }

    /// Writes what makes `place` a linked worktree on `head`: the git folder first, locked against pruning, then
    /// the `.git` file. An empty folder at `place` is used. The lock stays; see [`Checkout::unlock`].
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn link(common: &Path, place: &Path, head: &str) -> io::Result<Self> {
        let checkout = Self {
            git_dir: new_git_dir(common, place)?,
            path: place.to_owned(),
        };
        checkout.appear(common)?;
        checkout.write("commondir", "../..\n")?;
        checkout.write("HEAD", format!("ref: {head}\n"))?;
        checkout.record_place()?;
        fs::create_dir_all(place)?;
        checkout.write_dot_git()?;
        Ok(checkout)
    }

    /// Puts a locked folder in the place of the new, empty one: `git worktree prune`, which `git gc` runs, takes one that
    /// says neither that it is locked nor where its work tree is.
    fn appear(&self, common: &Path) -> io::Result<()> {
        let temp_dir = Layout::of(common).temp();
        fs::create_dir_all(&temp_dir)?;
        let temp = tempfile::tempdir_in(temp_dir)?;
        let locked = Self {
            git_dir: temp.path().join("new"),
            path: self.path.clone(),
        };
        self.sharing().make_dir(&locked.git_dir)?;
        write_whole(
            &locked.git_dir.join("locked"),
            format!("{MAKING}\n"),
            self.sharing(),
        )?;
        let mut again = 0..100;
        loop {
            match fs::rename(&locked.git_dir, &self.git_dir) {
                // Cut short before, and locked since.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    return self.mark_half_made();
                }
                // git removes the folder of all worktrees, too, when it is empty.
                Err(error) if error.kind() == io::ErrorKind::NotFound && again.next().is_some() => {
                    Sharing::of(common).make_dirs(&common.join("worktrees"))?;
                }
                other => return other,
            }
        }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> io::Result<()> {
        write_whole(&self.git_dir.join(name), text, self.sharing())
    }

    /// Who may use what is made in its git folder.
    pub(super) fn sharing(&self) -> Sharing {
        let above = self.git_dir.parent().filter(|above| above.ends_with("worktrees"));
        Sharing::of(above.and_then(Path::parent).unwrap_or(&self.git_dir))
    }

    /// Marks it as being made (again).
    pub(super) fn mark_half_made(&self) -> io::Result<()> {
        self.write("locked", format!("{MAKING}\n"))
    }

    /// Records in the git folder where the work tree stands.
    pub(super) fn record_place(&self) -> io::Result<()> {
        let mut text = self.path.join(".git").into_os_string().as_bytes().to_vec();
        text.push(b'\n');
        self.write("gitdir", text)
    }

    /// Writes the `.git` file of a linked work tree.
    pub(super) fn write_dot_git(&self) -> io::Result<()> {
        let mut text = b"gitdir: ".to_vec();
        text.extend_from_slice(self.git_dir.as_os_str().as_bytes());
        text.push(b'\n');
        write_whole(&self.path.join(".git"), text, Sharing::Umask)
    }
}

/// Writes a small file whole or not at all: half a link would make git forget the worktree.
pub(super) fn write_whole(path: &Path, text: impl AsRef<[u8]>, sharing: Sharing) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(dir)?;
    file.write_all(text.as_ref())?;
    sharing.adjust(file.path())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The git folder that the `.git` file at `place` names, if it is such a file. It need not exist.
pub(super) fn dot_git_target(place: &Path) -> Option<PathBuf> {
    let text = read_no_link(&place.join(".git")).ok()?;
    let target = text.strip_prefix(b"gitdir:")?.trim();
    Some(normal(&place.join(OsStr::from_bytes(target))))
}

/// Whether the `.git` file at `place` leads to `git_dir`, by whatever path.
pub(super) fn leads_to(place: &Path, git_dir: &Path) -> bool {
    dot_git_target(place).is_some_and(|target| target.exists()) && !is_others(place, git_dir)
}

/// Whether the `.git` file at `place` names a git folder that is there, and is not `git_dir`.
pub(super) fn is_others(place: &Path, git_dir: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let Some(Ok(there)) = dot_git_target(place).map(|target| id(&target)) else {
        return false;
    };
    id(git_dir).is_ok_and(|ours| ours != there)
}

/// Whether `place` is a link that was made by another user than this one, root, or the owner of the repository.
fn is_anothers_link(place: &Path, common: &Path) -> bool {
    let Ok(link) = fs::symlink_metadata(place) else {
        return false;
    };
    let own = rustix::process::geteuid().as_raw();
    let is_trusted = || {
        let owner = fs::metadata(common).map(|meta| meta.uid());
        [own, 0].contains(&link.uid()) || owner.is_ok_and(|owner| owner == link.uid())
    };
    link.is_symlink() && !is_trusted()
}

/// Whether the `.git` file at `place` names a worktree of the repository at `common`.
pub(super) fn points_into(place: &Path, common: &Path) -> bool {
    dot_git_target(place).is_some_and(|target| target.starts_with(common.join("worktrees")))
}

/// Whether a worktree's git folder was given up before it had a place.
fn is_scrap(git_dir: &Path) -> bool {
    let locked = fs::read_to_string(git_dir.join("locked")).unwrap_or_default();
    !git_dir.join("gitdir").exists() && (locked.is_empty() || locked.trim() == MAKING)
}

/// Makes the git folder of a new linked worktree, named after its place as git does it.
fn new_git_dir(common: &Path, place: &Path) -> io::Result<PathBuf> {
    let all = common.join("worktrees");
    let sharing = Sharing::of(common);
    sharing.make_dirs(&all)?;
    let name = id_of(place);
    let mut number = 0;
    loop {
        let id = if number == 0 {
            name.clone()
        } else {
            format!("{name}{number}")
        };
        match sharing.make_dir(&all.join(&id)) {
            Ok(()) => return Ok(all.join(id)),
            // Cut short before it said whose it was to be: nobody else's.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_scrap(&all.join(&id)) => {
                return Ok(all.join(id));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => number += 1,
            // `git worktree prune` removes the folder of all worktrees when it is empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound && number < 100 => {
                number += 1;
                sharing.make_dirs(&all)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The worktree's id: the last component of its place, safe as a part of a ref name.
pub(super) fn id_of(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || ".-_".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = name.replace("..", "--");
    let name = name.trim_start_matches('.').to_owned();
    if name.is_empty() {
        "worktree".to_owned()
    } else {
        name
    }
}
