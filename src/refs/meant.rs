//! What a command's environment says of its repository, as `git --git-dir` and its like put it there. Each variable is
//! obeyed, or refused where it names something that only this command would see: a task runs later, in another process.
//!
//! | variable | |
//! |---|---|
//! | `GIT_DIR` | obeyed, refused where another repository is around; one that is not there is a hook's |
//! | `GIT_CEILING_DIRECTORIES`, `GIT_DISCOVERY_ACROSS_FILESYSTEM` | obeyed |
//! | `GIT_COMMON_DIR`, `GIT_OBJECT_DIRECTORY`, `GIT_ALTERNATE_OBJECT_DIRECTORIES` | refused, but for what the repository has anyway and the quarantine of a push |
//! | `GIT_WORK_TREE`, `GIT_INDEX_FILE` | refused by what reads or moves the user's checkout |
//! | `GIT_CONFIG_*`, `git -c` | obeyed by what the command itself does ([`Repo::config`]) |
//! | `GIT_NAMESPACE` | has no say, as with git itself but for what serves a remote |

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use git2::RepositoryOpenFlags;

use super::{Repo, RepoError, repo::quoted};

const COMMON: &str = "GIT_COMMON_DIR";
const OBJECTS: &str = "GIT_OBJECT_DIRECTORY";
const ALTERNATES: &str = "GIT_ALTERNATE_OBJECT_DIRECTORIES";
/// So deep may repositories borrow from each other, as for git.
const DEEPEST: usize = 5;

impl Repo {
    /// The repository that a command means: the one around `start`, or, where there is none, the one that `GIT_DIR` names.
    /// `env` gives the variables.
    ///
    /// # Errors
    /// As [`Repo::discover`], and where the environment names another one, or other parts of this one.
    pub fn meant(start: &Path, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, RepoError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let found = around(start, &env);
        let named = env("GIT_DIR").and_then(|named| Path::new(&named).canonicalize().ok());
        let meant = match (found, named.map(|named| Self::open(&named))) {
            (Ok(found), Some(Ok(named))) if found.common_dir() != named.common_dir() => {
                return Err(RepoError::Elsewhere {
                    named: named.common_dir().to_owned(),
                    found: found.common_dir().to_owned(),
                });
            }
            (Err(RepoError::None(_) | RepoError::Ceiling(_)), Some(Ok(named))) => named,
            (found, _) => found?,
        };
        let common = meant.common_dir();
        if let Some(named) = env(COMMON).filter(|named| !is_same(named, common)) {
            return Err(other(COMMON, &named, common));
        }
        refuse_objects(common, &env)?;
        Ok(meant)
    }

    /// Refuses another work tree or index than those of the checkout in which the command runs. A file beside its index is
    /// one that git gave to a hook.
    ///
    /// # Errors
    /// [`RepoError::Other`].
    pub fn refuse_other_checkout(&self, env: impl Fn(&str) -> Option<OsString>) -> Result<(), RepoError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let Some(top) = self.work_dir() else { return Ok(()) };
        if let Some(tree) = env("GIT_WORK_TREE").filter(|tree| !is_same(tree, top)) {
            return Err(other("GIT_WORK_TREE", &tree, top));
        }
        let is_beside = |index: &OsString| {
            let folder = Path::new(index).parent();
            folder.is_some_and(|folder| is_same(folder.as_os_str(), self.git_dir()))
        };
        match env("GIT_INDEX_FILE").filter(|index| !is_beside(index)) {
            Some(index) => Err(other("GIT_INDEX_FILE", &index, &self.git_dir().join("index"))),
            None => Ok(()),
        }
    }
}

fn around(start: &Path, env: &impl Fn(&str) -> Option<OsString>) -> Result<Repo, RepoError> {
    let ceilings = env("GIT_CEILING_DIRECTORIES").unwrap_or_default();
    let own = start.canonicalize().ok();
    // The folder in which a command runs is none, as for git.
    let is_above = |ceiling: &PathBuf| ceiling.is_absolute() && ceiling.canonicalize().ok() != own;
    let ceilings: Vec<_> = std::env::split_paths(&ceilings).filter(is_above).collect();
    let crosses = env("GIT_DISCOVERY_ACROSS_FILESYSTEM");
    let crosses = crosses.is_some_and(|value| {
        value
            .to_str()
            .is_some_and(|value| git2::Config::parse_bool(value).unwrap_or(false))
    });
    let flags = if crosses {
        RepositoryOpenFlags::CROSS_FS
    } else {
        RepositoryOpenFlags::empty()
    };
    match Repo::discover_below(start, flags, &ceilings) {
        Err(RepoError::None(place)) if !ceilings.is_empty() && Repo::discover(start).is_ok() => {
            Err(RepoError::Ceiling(place))
        }
        found => found,
    }
}

/// Refuses objects that are found by this command's environment alone.
fn refuse_objects(common: &Path, env: &impl Fn(&str) -> Option<OsString>) -> Result<(), RepoError> {
    let own = common.join("objects");
    let named = env(OBJECTS);
    // What a push brings, and is not accepted yet.
    let is_quarantine = named.is_some() && env("GIT_QUARANTINE_PATH") == named;
    if let Some(named) = named.filter(|named| !is_quarantine && !is_same(named, &own)) {
        return Err(other(OBJECTS, &named, &own));
    }
    let Some(listed) = env(ALTERNATES) else {
        return Ok(());
    };
    let known = known_objects(&own);
    let strange = |folder: &PathBuf| {
        let folder = folder.canonicalize();
        folder.is_ok_and(|folder| folder.is_dir() && !known.contains(&folder))
    };
    match listed_folders(&listed).into_iter().find(strange) {
        Some(folder) => Err(other(ALTERNATES, folder.as_os_str(), &own)),
        None => Ok(()),
    }
}

/// The folders of a list as git reads it: between colons, one that begins with a quote as in C.
fn listed_folders(listed: &OsStr) -> Vec<PathBuf> {
    let mut bytes = listed.as_bytes().iter().copied().peekable();
    let mut folders = Vec::new();
    while bytes.peek().is_some() {
        let mut folder = Vec::new();
        if bytes.next_if_eq(&b'"').is_some() {
            while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                folder.extend(if byte == b'\\' { bytes.next() } else { Some(byte) });
            }
        }
        while let Some(byte) = bytes.next().filter(|byte| *byte != b':') {
            folder.push(byte);
        }
        if !folder.is_empty() {
            folders.push(OsStr::from_bytes(&folder).into());
        }
    }
    folders
}

/// The folders of objects that a repository has without anything in the environment.
fn known_objects(own: &Path) -> Vec<PathBuf> {
    let mut known: Vec<PathBuf> = own.canonicalize().into_iter().collect();
    let mut from = 0;
    for _ in 0..=DEEPEST {
        let level = from..known.len();
        from = level.end;
        for at in level {
            let Some(folder) = known.get(at).cloned() else {
                continue;
            };
            let lines = std::fs::read(folder.join("info/alternates")).unwrap_or_default();
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                known.extend(folder.join(OsStr::from_bytes(line)).canonicalize());
            }
        }
    }
    known
}

fn is_same(named: &OsStr, used: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(Path::new(named)).is_some_and(|named| Some(named) == real(used))
}

fn other(variable: &'static str, named: &OsStr, used: &Path) -> RepoError {
    let named = PathBuf::from(named);
    RepoError::Other {
        variable,
        named: named.canonicalize().unwrap_or(named),
        used: used.to_owned(),
    }
}

/// What helps where a variable names another part.
pub(super) fn way_out(variable: &str, named: &Path, used: &Path) -> String {
    if variable != OBJECTS && variable != ALTERNATES {
        return format!("env -u {variable} git khlone    # works with {}", used.display());
    }
    format!(
        "echo {} >> {} && unset {variable}    # the repository borrows these objects",
        quoted(named),
        quoted(&used.join("info/alternates"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_git_reads_them() {
        let read = |text: &str| listed_folders(OsStr::new(text));
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(read("/a::/b c:"), paths(&["/a", "/b c"]));
        assert_eq!(read(r#""/a:b\"c":/d"#), paths(&[r#"/a:b"c"#, "/d"]));
        assert_eq!(read(""), paths(&[]));
    }
}
