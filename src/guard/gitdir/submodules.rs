//! Submodules in a clone's work tree: where they stand, looked at from inside, and what only they have, brought to the
//! git folder that the main checkout has of the submodule.
//!
//! A commit that a superproject names is no part of it. One that is nowhere but in a clone's worktree would be gone with
//! that, and what was landed could not be checked out any more.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::{fd::BorrowedFd, unix::ffi::OsStrExt},
    path::Path,
    time::Duration,
};

use bstr::ByteSlice;

use super::{
    commit::CommitError,
    import::{ImportError, STRICT},
    nest::Nest,
};
use crate::{
    guard::{beneath::Beneath, sandbox::Confinement},
    process::{Cmd, ProcessError},
    refs::{Oid, Site, new_stem},
};

/// How long git may take to look.
const PATIENCE: Duration = Duration::from_mins(10);
/// Where the commits are kept, in the submodule's own git folder.
pub const KEPT: &str = "refs/khlone/kept/";

/// What stands where a submodule is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// Nothing.
    Gone,
    /// A file or a link.
    File,
    /// A folder that is no repository: the submodule is not set up.
    Folder,
    /// A repository.
    Repository {
        /// Where its HEAD stands, if it has a commit.
        head: Option<Oid>,
        /// Whether it has changes that are in none of its commits.
        is_dirty: bool,
        /// Whether a remote-tracking branch has that commit.
        is_pushed: bool,
    },
}

/// Says of each path: what stands there, and for a repository `HEAD dirty pushed`.
const LOOK: &str = r#"
for path; do
  case $path in -*) path=./$path;; esac
  sub() { git -c core.hooksPath=/dev/null -c core.fsmonitor=false --git-dir="$path/.git" --work-tree="$path" "$@"; }
  if test -L "$path" || test -f "$path"; then echo file
  elif test -e "$path/.git"; then
    head=$(sub rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null) || head=
    dirty=$(sub status --porcelain --untracked-files=all --ignore-submodules=none 2>/dev/null | head -c 1)
    pushed=$(test -z "$head" || sub for-each-ref --count=1 --contains "$head" refs/remotes 2>/dev/null)
    echo "repository ${head:--} ${dirty:+dirty}${dirty:-clean} ${pushed:+pushed}" | tr -s ' '
  elif test -d "$path"; then echo folder
  else echo gone
  fi
done
"#;

/// What stands at each of `paths`. Asked inside the sandbox: all of it is the brain's.
///
/// # Errors
/// If git fails.
pub fn look(confinement: &Confinement, git_dir: &Path, paths: &[&[u8]]) -> Result<Vec<Stands>, CommitError> {
    if confinement.bwrap.is_some() {
        super::unblock(&Beneath::open(git_dir)?)?;
    }
    let inside = confinement.for_git(true);
    let mut argv = ["sh", "-c", LOOK, "submodules"].map(OsString::from).to_vec();
    argv.extend(paths.iter().map(|path| OsStr::from_bytes(path).to_owned()));
    let done = inside.run(&argv, PATIENCE)?;
    let said = String::from_utf8_lossy(&done.stdout);
    let stands: Vec<_> = said.lines().filter_map(stands).collect();
    if !done.status.success() || stands.len() != paths.len() {
        return Err(CommitError::of(&done));
    }
    Ok(stands)
}

fn stands(line: &str) -> Option<Stands> {
    let mut words = line.split(' ');
    Some(match words.next()? {
        "gone" => Stands::Gone,
        "file" => Stands::File,
        "folder" => Stands::Folder,
        "repository" => Stands::Repository {
            head: words.next()?.parse().ok(),
            is_dirty: words.next()?.starts_with("dirty"),
            is_pushed: words.next() == Some("pushed"),
        },
        _ => return None,
    })
}

/// Sees to it that `module`, the git folder that the main checkout has of a submodule, keeps `commit`: by a ref that it
/// has anyway, else by one of ours, with the objects brought from the clone's submodule at `from`.
///
/// # Errors
/// [`ImportError`]; what was brought is not kept then.
pub fn keep(
    (module, from): (&Path, &Path),
    commit: Oid,
    (site, confinement): (&Site, &Confinement),
    lock: Option<BorrowedFd<'_>>,
) -> Result<(), ImportError> {
    let name = commit.to_string();
    if !has(module, &name)? {
        let nest = Nest::make(site, module)?;
        let hash = nest.fill(from, confinement, lock, (&format!("{name} \n"), STRICT))?;
        // All that it needs has to be here, not only what its writer says is new.
        let whole = nest
            .git()
            .args(["rev-list", "--objects", "--quiet", &name, "--not", "--all"])
            .patience(PATIENCE)
            .finish()?;
        let Some(hash) = hash.filter(|_| whole.status.success()) else {
            return Err(ImportError::Missing(commit));
        };
        let hash = nest
            .complete(&[commit], Some(hash))?
            .ok_or(ImportError::Missing(commit))?;
        install(&nest.packs(), &module.join("objects/pack"), &hash).map_err(ImportError::Disk)?;
    }
    let kept = Cmd::git(module)
        .args(["for-each-ref", "--count=1", "--contains", &name])
        .output()?;
    if kept.is_empty() {
        let ours = format!("{KEPT}{name}");
        let git = Cmd::git(module).args(["-c", "core.fsync=all", "update-ref", &ours, &name]);
        git.output()?;
    }
    Ok(())
}

/// The submodules that a commit of `module` has.
///
/// # Errors
/// If git cannot read the commit.
pub fn links(module: &Path, commit: Oid) -> Result<Vec<(Vec<u8>, Oid)>, ProcessError> {
    let git = Cmd::git(module).args(["ls-tree", "-r", "-z", "--full-tree", &commit.to_string()]);
    let out = git.output()?;
    let records = out.split(|byte| *byte == 0);
    let links = records.filter_map(|record| {
        let (head, path) = record.split_once_str(b"\t")?;
        let oid = head.strip_prefix(b"160000 commit ")?;
        Some((path.to_vec(), std::str::from_utf8(oid).ok()?.parse().ok()?))
    });
    Ok(links.collect())
}

/// Whether `module` has a commit.
///
/// # Errors
/// If git cannot be run.
pub fn has(module: &Path, commit: &str) -> Result<bool, ProcessError> {
    let found = Cmd::git(module).args(["cat-file", "-e", &format!("{commit}^{{commit}}")]);
    Ok(found.finish()?.status.success())
}

/// Moves a pack; its index, by which git finds it, comes last.
fn install(from: &Path, to: &Path, hash: &str) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    let stem = new_stem()?;
    for end in ["rev", "pack", "idx"] {
        let (from, to) = (
            from.join(format!("pack-{hash}.{end}")),
            to.join(format!("{stem}.{end}")),
        );
        if !from.exists() {
            continue;
        }
        fs::File::open(&from)?.sync_all()?;
        if fs::rename(&from, &to).is_err() {
            // Another file system.
            fs::copy(&from, &to)?;
            fs::File::open(&to)?.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_look_says_is_read() {
        let head = "a".repeat(40);
        let repository = |is_dirty, is_pushed| Stands::Repository {
            head: head.parse().ok(),
            is_dirty,
            is_pushed,
        };
        for (line, expected) in [
            ("gone".to_owned(), Some(Stands::Gone)),
            ("file".to_owned(), Some(Stands::File)),
            ("folder".to_owned(), Some(Stands::Folder)),
            (
                format!("repository {head} clean "),
                Some(repository(false, false)),
            ),
            (
                format!("repository {head} dirty? pushed"),
                Some(repository(true, true)),
            ),
            ("fatal: no".to_owned(), None),
        ] {
            assert_eq!(stands(&line), expected, "{line}");
        }
        let unborn = stands("repository - clean ");
        assert!(matches!(unborn, Some(Stands::Repository { head: None, .. })));
    }
}
