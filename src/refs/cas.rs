//! Refs move by compare-and-swap, and are on disk before the caller hears of it.
//!
//! Our own refs are written here: git's lock protocol (`<ref>.lock`, exclusive, renamed over the ref), with the
//! file and its folder synced. git itself deletes them. Branches go through libgit2, which also checks name conflicts
//! and writes the reflog, and are synced afterwards. A writer killed in between leaves the old value or the new one,
//! and perhaps a lock; a lock under `refs/khlone/` that outlives the patience is removed once no writer of ours can
//! hold it.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use git2::{ErrorCode, Oid};

use super::{
    Repo,
    by_git::{Standing, move_by_git},
    kept::note,
    locks::{About, Lock, PATIENCE, Stuck, sweep_locks, with_locks},
    pack::sync_dir,
};
use crate::{
    process::{Cmd, ProcessError, fault::point},
    task::explain,
};

/// A ref that did not move.
#[derive(Debug, thiserror::Error)]
pub enum RefError {
    /// It no longer stands where the caller saw it.
    #[error("{name} has moved meanwhile")]
    Moved {
        /// The ref.
        name: String,
    },
    /// Someone holds its lock.
    #[error("{lock} is held by another git process")]
    Locked {
        /// The lock file.
        lock: PathBuf,
    },
    /// A ref stands where its folder should be.
    #[error("a branch named `{blocker}` is in the way of {name}: git cannot have both")]
    Blocked {
        /// The ref.
        name: String,
        /// The branch in the way.
        blocker: String,
    },
    /// A hook of the user's does not allow it.
    #[error("the hook reference-transaction does not let {name} move: {said}")]
    Rejected {
        /// The ref.
        name: String,
        /// What the hook and git said.
        said: String,
    },
    /// Anything else that git says.
    #[error("{name}: {source}")]
    Git {
        /// The ref.
        name: String,
        /// What.
        source: git2::Error,
    },
    /// Anything that a git process says.
    #[error("{name}: {source}")]
    Process {
        /// The ref.
        name: String,
        /// What.
        source: ProcessError,
    },
    /// Anything that the disk says.
    #[error("{name}: {source}")]
    Io {
        /// The ref.
        name: String,
        /// What.
        source: io::Error,
    },
}

explain! {
    RefError {
        transparent { Process.source }
        Refused {
            // A clone's name holds at least a prefix and a zone; any other branch was named by the person.
            Blocked { name, blocker } => match name.matches('/').count() {
                0..=3 => format!("git branch -m {blocker} {blocker}-old    # or give another name"),
                _ => format!(
                    "git branch -m {blocker} {blocker}-old    # or another word as branch.prefix in khlone.yml"
                ),
            },
            Locked { lock } => format!("rm {}    # if no git runs there", lock.display()),
            Moved, Rejected,
        }
        Failed { Git, Io }
    }
}

/// Moves a ref of ours from `old` (`None`: it must not exist) to `new`, durably.
///
/// # Errors
/// [`RefError::Moved`] if it stands elsewhere; nothing has changed then.
pub fn update_ref(repo: &Repo, name: &str, old: Option<Oid>, new: Oid) -> Result<(), RefError> {
    let io = |source| RefError::Io {
        name: name.to_owned(),
        source,
    };
    let path = repo.common_dir().join(name);
    let lock = path.with_file_name(format!(
        "{}.lock",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    let mut held = Lock::take(&lock, repo.sharing()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => RefError::Locked { lock: lock.clone() },
        _ => io(error),
    })?;
    point("ref-locked", name);
    let current = repo.ref_target(name).map_err(|source| RefError::Git {
        name: name.to_owned(),
        source,
    })?;
    if current != old {
        return Err(RefError::Moved {
            name: name.to_owned(),
        });
    }
    held.file.write_all(format!("{new}\n").as_bytes()).map_err(io)?;
    held.file.sync_all().map_err(io)?;
    point("ref-written", name);
    // With the lock held, so that what was noted last is what stands.
    note(repo.common_dir(), name, Some(new));
    held.rename_to(&path).map_err(io)?;
    point("ref-moved", name);
    sync_above(&path, repo.common_dir()).map_err(io)?;
    point("ref-synced", name);
    Ok(())
}

/// Makes the name of a ref durable. A ref whose folder is gone was packed meanwhile, and git syncs what it packs; the
/// name of that file is left to do.
fn sync_above(path: &Path, common: &Path) -> io::Result<()> {
    match path.parent().map_or(Ok(()), sync_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => sync_dir(common),
        other => other,
    }
}

/// Deletes a ref that stands at `old`.
///
/// # Errors
/// [`RefError::Moved`] if it stands elsewhere.
pub fn delete_ref(repo: &Repo, name: &str, old: Oid) -> Result<(), RefError> {
    let common = repo.common_dir();
    let locks = [
        common.join(format!("{name}.lock")),
        common.join("packed-refs.lock"),
    ];
    // The ref is gone by a git of ours that was killed before it let its locks go.
    let mut cut_short = false;
    let done = with_locks(common, &locks, Stuck::was_killed, || {
        point("delete", name);
        let Err(source) = delete_once(repo, name, old) else {
            return Ok(Ok(()));
        };
        match repo.ref_target(name) {
            Ok(Some(at)) if at == old => Err(Stuck::Git(source)),
            Ok(None) if source.was_killed() && locks.iter().any(|lock| lock.exists()) => {
                cut_short = true;
                Err(Stuck::Git(source))
            }
            Ok(None) if source.was_killed() || cut_short => Ok(Ok(())),
            Ok(_) => Ok(Err(RefError::Moved {
                name: name.to_owned(),
            })),
            Err(source) => Ok(Err(explain(repo, name, source))),
        }
    });
    let done = done.unwrap_or_else(|error| {
        Err(match (error, locks.into_iter().find(|lock| lock.exists())) {
            (Stuck::Io(source), _) => RefError::Io {
                name: name.to_owned(),
                source,
            },
            (Stuck::Git(_), Some(lock)) => RefError::Locked { lock },
            (Stuck::Git(source), None) => RefError::Process {
                name: name.to_owned(),
                source,
            },
        })
    });
    point("deleted", name);
    // Another may have made it again.
    if done.is_ok() && matches!(repo.ref_target(name), Ok(None)) {
        note(common, name, None);
    }
    done
}

/// By git itself: libgit2 reads `packed-refs` before it locks it, and would write other refs back to where they stood
/// then.
fn delete_once(repo: &Repo, name: &str, old: Oid) -> Result<(), ProcessError> {
    let git = Cmd::git(repo.common_dir()).args(["-c", "core.fsync=reference"]);
    let git = git.args(["update-ref", "--no-deref", "-d", name, &old.to_string()]);
    git.output().map(drop)
}

/// Moves a branch (full ref name) from `old` (`None`: it must not exist) to `new`, with a line in its reflog,
/// durably.
///
/// # Errors
/// [`RefError::Moved`] if it stands elsewhere, [`RefError::Blocked`] if another branch's name is in the way.
pub fn move_branch(repo: &Repo, name: &str, old: Option<Oid>, new: Oid, log: &str) -> Result<(), RefError> {
    if repo.sharing().is_set() {
        // libgit2 knows the umask only.
        let standing = Standing {
            git_dir: repo.common_dir(),
            work_dir: None,
            hooks: Some(Path::new("/dev/null")),
            patience: PATIENCE * 10,
        };
        return move_by_git(repo, &standing, (name, old, new), log);
    }
    let deadline = Instant::now() + PATIENCE * 4 / 3;
    let io = |source| RefError::Io {
        name: name.to_owned(),
        source,
    };
    let lock = repo.common_dir().join(format!("{name}.lock"));
    let _about = About::lock(repo.common_dir(), &lock).map_err(io)?;
    point("branch", name);
    loop {
        let moved = match old {
            Some(old) => repo.git().reference_matching(name, new, true, old, log).map(drop),
            None => repo.git().reference(name, new, false, log).map(drop),
        };
        match moved {
            Ok(()) => {
                note(repo.common_dir(), name, Some(new));
                break;
            }
            Err(error) if error.code() == ErrorCode::Locked && Instant::now() < deadline => {
                sweep_locks(repo.common_dir()).map_err(io)?;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(explain(repo, name, error)),
        }
    }
    settle(repo, (name, old, new), log)
}

/// Brings a branch that has moved to the disk, or back to where it was.
pub(super) fn settle(
    repo: &Repo,
    (name, old, new): (&str, Option<Oid>, Oid),
    log: &str,
) -> Result<(), RefError> {
    let io = |source| RefError::Io {
        name: name.to_owned(),
        source,
    };
    point("branch-moved", name);
    let path = repo.common_dir().join(name);
    let synced = fs::File::open(&path)
        .and_then(|file| file.sync_all())
        .and_then(|()| path.parent().map_or(Ok(()), sync_dir));
    match synced {
        // Packed meanwhile by someone's gc, which is as good.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => {
            // Who hears of an error takes the branch to be where it was.
            let is_back = match old {
                Some(old) => repo.git().reference_matching(name, old, true, new, log).is_ok(),
                None => delete_ref(repo, name, new).is_ok(),
            };
            tracing::warn!(%name, is_back, "a branch did not reach the disk");
            Err(io(source))
        }
        Ok(()) => Ok(()),
    }
}

fn explain(repo: &Repo, name: &str, error: git2::Error) -> RefError {
    match error.code() {
        ErrorCode::Modified | ErrorCode::Exists | ErrorCode::NotFound => RefError::Moved {
            name: name.to_owned(),
        },
        ErrorCode::Locked => RefError::Locked {
            lock: repo.common_dir().join(format!("{name}.lock")),
        },
        _ => match blocker(repo, name) {
            Some(blocker) => RefError::Blocked {
                name: name.to_owned(),
                blocker,
            },
            None => RefError::Git {
                name: name.to_owned(),
                source: error,
            },
        },
    }
}

/// Refuses a branch (full ref name) that is not there and that another one's name is in the way of.
///
/// # Errors
/// [`RefError::Blocked`].
pub fn has_room(repo: &Repo, name: &str) -> Result<(), RefError> {
    if repo.ref_target(name).ok().flatten().is_some() {
        return Ok(());
    }
    match blocker(repo, name) {
        Some(blocker) => Err(RefError::Blocked {
            name: name.to_owned(),
            blocker,
        }),
        None => Ok(()),
    }
}

/// A branch whose name is a folder of `name`, or that has `name` as a folder.
fn blocker(repo: &Repo, name: &str) -> Option<String> {
    let short = |full: &str| full.strip_prefix("refs/heads/").map(str::to_owned);
    let mut parents = name.match_indices('/').map(|(at, _)| &name[..at]).skip(2);
    let parent = parents.find(|parent| repo.ref_target(parent).ok().flatten().is_some());
    parent.and_then(short).or_else(|| {
        let below = repo.refs_below(&format!("{name}/")).ok()?;
        below.first().and_then(|(found, _)| short(found))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{super::locks::clear_stale, *};
    use crate::refs::{Kind, ObjectSink, Pack, tests::scratch};

    #[test]
    fn a_ref_moves_only_from_where_it_was_seen() {
        let (_dir, repo, site) = scratch();
        let mut pack = Pack::begin(&site).unwrap();
        let (a, b) = (
            pack.put(Kind::Blob, b"a").unwrap(),
            pack.put(Kind::Blob, b"b").unwrap(),
        );
        pack.publish().unwrap();
        let name = "refs/khlone/tasks/t-x";
        update_ref(&repo, name, None, a).unwrap();
        assert!(matches!(
            update_ref(&repo, name, None, b),
            Err(RefError::Moved { .. })
        ));
        assert!(matches!(
            update_ref(&repo, name, Some(b), a),
            Err(RefError::Moved { .. })
        ));
        crate::process::Cmd::git(repo.common_dir())
            .args(["pack-refs", "--all"])
            .output()
            .unwrap();
        update_ref(&repo, name, Some(a), b).unwrap();
        assert_eq!(repo.ref_target(name).unwrap(), Some(b));
        delete_ref(&repo, name, b).unwrap();
        assert_eq!(repo.ref_target(name).unwrap(), None);
    }

    /// Seed 7, `Gc kill write 52` while git packed and pruned: a note came back with the ref of its notes.
    #[test]
    fn a_deletion_puts_no_other_ref_back_while_git_packs() {
        let (_dir, repo, site) = scratch();
        let mut pack = Pack::begin(&site).unwrap();
        let blobs = [b"a", b"b"].map(|bytes| pack.put(Kind::Blob, bytes).unwrap());
        pack.publish().unwrap();
        let (other, doomed) = ("refs/khlone/other", |n: usize| format!("refs/khlone/doomed/{n}"));
        update_ref(&repo, other, None, blobs[0]).unwrap();
        for n in 0..60 {
            update_ref(&repo, &doomed(n), None, blobs[0]).unwrap();
        }
        let common = repo.common_dir().to_owned();
        let pack_refs = || {
            let git = crate::process::Cmd::git(&common).args(["pack-refs", "--all"]);
            git.finish().unwrap()
        };
        pack_refs();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..60 {
                    delete_ref(&repo_at(&common), &doomed(n), blobs[0]).unwrap();
                }
                over.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            let repo = repo_at(&common);
            let mut at = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                update_ref(&repo, other, Some(blobs[at]), blobs[1 - at]).unwrap();
                at = 1 - at;
                pack_refs();
            }
        });
        let left = repo
            .git()
            .references_glob("refs/khlone/doomed/*")
            .unwrap()
            .count();
        assert_eq!(left, 0);
    }

    fn repo_at(common: &Path) -> Repo {
        Repo::open(common).unwrap()
    }

    #[test]
    fn a_lock_left_by_a_killed_writer_is_cleared() {
        let (_dir, repo, site) = scratch();
        let mut pack = Pack::begin(&site).unwrap();
        let a = pack.put(Kind::Blob, b"a").unwrap();
        pack.publish().unwrap();
        let lock = repo.common_dir().join("refs/khlone/tasks/t-x.lock");
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        let file = fs::File::create(&lock).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60))
            .unwrap();
        // However old it is, a lock whose writer lives is its writer's.
        fs4::FileExt::lock(&file).unwrap();
        assert!(!clear_stale(&lock).unwrap());
        drop(file);
        update_ref(&repo, "refs/khlone/tasks/t-x", None, a).unwrap();
        assert!(!lock.exists());
    }

    /// Seed 22, `Update kill flock 6` while git packed and pruned.
    #[test]
    fn folders_of_refs_that_git_removes_in_that_moment_are_made_again() {
        let (_dir, repo, site) = scratch();
        let mut pack = Pack::begin(&site).unwrap();
        let a = pack.put(Kind::Blob, b"a").unwrap();
        pack.publish().unwrap();
        let (now, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let khlone = repo.common_dir().join("refs/khlone");
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Each once, in the moment in which it is new and has nothing in it yet.
                let mut gone = 0;
                while let n @ ..usize::MAX = now.load(Ordering::Relaxed) {
                    if gone <= n && fs::remove_dir(khlone.join(n.to_string())).is_ok() {
                        gone = n + 1;
                        hits.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            // Until it has come about often enough to mean something.
            let goes_on =
                |_: &usize| hits.load(Ordering::Relaxed) < 5 && std::time::Instant::now() < deadline;
            let made = (0..).take_while(goes_on).map(|n| {
                now.store(n, Ordering::Relaxed);
                update_ref(&repo, &format!("refs/khlone/{n}/in/state"), None, a)
            });
            let made: Result<Vec<()>, _> = made.collect();
            now.store(usize::MAX, Ordering::Relaxed);
            made.unwrap();
        });
        assert!(hits.into_inner() >= 5, "no folder was removed in its moment");
    }

    /// Seed 7, `Rollback EIO mkdir 4` while git packed and pruned.
    #[test]
    fn a_ref_that_is_packed_before_its_folder_is_synced_is_there() {
        let (_dir, repo, _site) = scratch();
        let common = repo.common_dir();
        sync_above(&common.join("refs/khlone/gone/x"), common).unwrap();
        sync_above(&common.join("refs/heads/x"), common).unwrap();
        assert!(sync_above(Path::new("/nowhere/at/all"), Path::new("/nowhere")).is_err());
    }
}
