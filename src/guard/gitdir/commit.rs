//! The commit of what a brain left uncommitted, the last thing that happens inside the sandbox.
//!
//! Exactly the given paths go into one commit on HEAD, with the repository's filters applied, without hooks and
//! signatures, whatever else the brain may have staged. On T0 the same commands run in the worktree on the host's
//! own git folder for it.

use std::{
    ffi::OsString,
    io,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    guard::{beneath::Beneath, sandbox::Confinement},
    process::{Finished, ProcessError, is_shortage, was_killed},
    refs::Oid,
    task::explain,
};

/// A name and an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

impl Identity {
    /// Who commits for a brain.
    pub fn ours() -> Self {
        Self {
            name: "git-khlone".to_owned(),
            email: "git-khlone@localhost".to_owned(),
        }
    }
}

/// What to commit.
#[derive(Debug, Clone)]
pub struct CommitPlan {
    /// Paths from the top of the work tree, as raw bytes; deleted ones too.
    pub paths: Vec<Vec<u8>>,
    /// Submodules with the commits that they shall stand at; none removes one.
    pub links: Vec<(Vec<u8>, Option<Oid>)>,
    /// The whole message.
    pub message: String,
    /// The author.
    pub author: Identity,
    /// The committer.
    pub committer: Identity,
}

/// How a commit came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// A commit was made.
    Made,
    /// The paths hold nothing that the last commit has not.
    Nothing,
    /// Files of the index are in conflict: nothing was committed.
    Conflicted,
}

/// A commit that failed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Git or a filter failed.
    #[error("cannot commit what the brain left: {0}")]
    Git(String),
    /// It took too long.
    #[error("cannot commit what the brain left: {0}")]
    Process(#[from] ProcessError),
    /// The disk did not let us.
    #[error("cannot commit what the brain left: {0}")]
    Disk(#[from] io::Error),
}

impl CommitError {
    /// From how git ended, and the end of what it said.
    pub(super) fn of(finished: &Finished) -> Self {
        let said = String::from_utf8_lossy(&finished.stderr);
        let start = said.len().saturating_sub(2000);
        let said = said.get(start..).unwrap_or(&said).trim().to_owned();
        if was_killed(finished.status) {
            return Self::Process(ProcessError::Failed {
                program: "git in the clone".to_owned(),
                status: finished.status,
                stderr: said,
            });
        }
        Self::Git(said)
    }

    /// Whether it is the doing of whoever left the files and the git folder so: trying again would end the same way.
    pub fn is_the_brains(&self) -> bool {
        matches!(self, Self::Git(said) if !is_shortage(said))
    }
}

explain!(CommitError: Failed);

/// How long filters may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// From there on no filter is required ([`crate::worktree::lenient`]).
pub(super) const LENIENT: &str = r#"
lenient() {
  n=${GIT_CONFIG_COUNT:-0}
  while IFS= read -r key; do
    test -n "$key" || return
    export "GIT_CONFIG_KEY_$n=$key" "GIT_CONFIG_VALUE_$n=false" GIT_CONFIG_COUNT=$((n + 1))
    n=$GIT_CONFIG_COUNT
  done <<EOF
$(git config --name-only --get-regexp '^filter\..*\.required$')
EOF
}
"#;

/// What both scripts begin with. `$1` has the paths, `$2` is a writable folder, `$3` is what `core.ignoreCase` shall be.
const BEGIN: &str = r#"
set -e
paths=$1 case=$3
git() { command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.ignoreCase="$case" -c commit.gpgSign=false -c gc.auto=0 -c maintenance.auto=false -c advice.addEmbeddedRepo=false "$@"; }
new_index=$2/khlone-index-$$
trap 'rm -f "$new_index" "$new_index.lock"' EXIT
"#;

/// Works on an index of its own, so that what the brain staged stays out; then brings the real one up to date for the
/// committed paths. `$4` is the message, `$5` has the submodules. Exit 8: nothing; 9: conflict.
const COMMIT: &str = r#"
links=$5
take() {
  if test -s "$links"; then git update-index --add --replace -z --index-info < "$links"; fi
  git update-index --add --remove --replace -z --stdin < "$paths"
}
test -z "$(git ls-files -u)" || exit 9
head=$(git rev-list -1 --no-commit-header --encoding=UTF-8 --format='%H %T' HEAD -- 2>/dev/null || true)
old=${head% *}
if test -n "$old"; then GIT_INDEX_FILE=$new_index git read-tree "$old"; fi
export GIT_INDEX_FILE="$new_index"
take
unset GIT_INDEX_FILE
tree=$(GIT_INDEX_FILE=$new_index git write-tree)
if test -n "$old"; then
  test "$tree" != "${head#* }" || exit 8
  commit=$(git commit-tree "$tree" -p "$old" -F "$4")
  git update-ref -m "commit: git-khlone" HEAD "$commit" "$old"
else
  commit=$(git commit-tree "$tree" -F "$4")
  git update-ref -m "commit (initial): git-khlone" HEAD "$commit"
fi
take || { lenient && take; }
"#;

/// Which parts of the paths cannot be taken, and what git says of each. `$4` has a line for each part: where it begins, and
/// how long it is. A git folder that takes nothing at all fails before.
const PROBE: &str = r#"
parts=$4
export GIT_INDEX_FILE="$new_index"
take() { git update-index --add --remove --replace -z --stdin 2>&1; }
if git rev-parse -q --verify HEAD >/dev/null; then git read-tree HEAD; else git read-tree --empty; fi
take < /dev/null >&2
n=0
while read -r from length; do
  if ! said=$(tail -c +"$from" "$paths" | head -c "$length" | take); then
    printf '%s\t%s\n' "$n" "$(printf '%s' "$said" | tr '\n' ' ')"
  fi
  n=$((n + 1))
done < "$parts"
"#;
/// Into so many parts a list is split that cannot be taken as a whole.
const PARTS: usize = 16;

/// Writes files of the index that are not there.
const CHECK_OUT: &str = r#"
git update-index --no-skip-worktree -z --stdin < "$paths" || { lenient && git update-index --no-skip-worktree -z --stdin < "$paths"; }
git checkout-index -q -u -z --stdin < "$paths"
"#;

/// The paths of which the last commit has something else than the work tree.
const COMPARE: &str = r#"
export GIT_INDEX_FILE="$new_index"
git read-tree HEAD
git update-index --add --remove --replace -z --stdin < "$paths"
git diff-index --cached --name-only --no-renames -z HEAD
"#;

/// Commits `plan`. `git_dir` is the private git folder on T2 and the host's worktree folder on T0; `scratch` is a
/// folder of ours for the paths and the message.
///
/// # Errors
/// [`CommitError`]; then nothing was committed.
pub fn commit(
    confinement: &Confinement,
    git_dir: &Path,
    scratch: &Path,
    plan: &CommitPlan,
) -> Result<Committed, CommitError> {
    let (message, links) = (scratch.join("commit-message"), scratch.join("commit-links"));
    std::fs::write(&message, &plan.message)?;
    std::fs::write(&links, index_info(&plan.links))?;
    let (author, committer) = (plan.author.clone(), plan.committer.clone());
    let env = [
        ("GIT_AUTHOR_NAME", author.name),
        ("GIT_AUTHOR_EMAIL", author.email),
        ("GIT_COMMITTER_NAME", committer.name),
        ("GIT_COMMITTER_EMAIL", committer.email),
    ];
    let inside = inside(confinement, git_dir)?;
    let finished = run(inside, scratch, COMMIT, &plan.paths, (&env, &[message, links]))?;
    match finished.status.code() {
        Some(0) => Ok(Committed::Made),
        Some(8) => Ok(Committed::Nothing),
        Some(9) => Ok(Committed::Conflicted),
        _ => Err(CommitError::of(&finished)),
    }
}

/// Those of `paths` that git cannot take into a commit, with its words: a filter fails, the content does not fit its
/// encoding, the file cannot be read.
///
/// # Errors
/// [`CommitError`], also where git takes nothing at all.
pub fn refused(
    confinement: &Confinement,
    git_dir: &Path,
    scratch: &Path,
    paths: &[Vec<u8>],
) -> Result<Vec<(Vec<u8>, String)>, CommitError> {
    let list = scratch.join("commit-parts");
    let whole = 0..paths.len();
    let (mut refused, mut waiting) = (Vec::new(), Vec::from([whole]));
    while !waiting.is_empty() {
        let parts: Vec<Range<usize>> = waiting.drain(..).flat_map(split).collect();
        std::fs::write(&list, spans(paths, &parts))?;
        let inside = inside(confinement, git_dir)?;
        let finished = run(inside, scratch, PROBE, paths, (&[], std::slice::from_ref(&list)))?;
        if !finished.status.success() {
            return Err(CommitError::of(&finished));
        }
        for line in String::from_utf8_lossy(&finished.stdout).lines() {
            let part = line.split_once('\t').and_then(|(n, said)| {
                let part: &Range<usize> = parts.get(n.parse::<usize>().ok()?)?;
                Some((part.clone(), said))
            });
            match part {
                Some((part, said)) if part.len() == 1 => {
                    refused.push((paths[part.start].clone(), said.to_owned()));
                }
                Some((part, _)) => waiting.push(part),
                None => {}
            }
        }
    }
    Ok(refused)
}

fn split(part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let size = part.len().div_ceil(PARTS).max(1);
    part.clone()
        .step_by(size)
        .map(move |at| at..(at + size).min(part.end))
}

/// Where parts of a list of paths begin, counted from 1, and how long they are.
fn spans(paths: &[Vec<u8>], parts: &[Range<usize>]) -> String {
    let length = |paths: &[Vec<u8>]| paths.iter().map(|path| path.len() + 1).sum::<usize>();
    let spans = parts.iter().map(|part| {
        let from = length(&paths[..part.start]) + 1;
        format!("{from} {}\n", length(&paths[part.clone()]))
    });
    spans.collect()
}

/// Writes those files of the index that are not there, and are not to be looked for, and looks for them from now on.
///
/// # Errors
/// [`CommitError`]; some of them may be there.
pub fn check_out(
    confinement: &Confinement,
    git_dir: &Path,
    scratch: &Path,
    paths: &[Vec<u8>],
) -> Result<(), CommitError> {
    let inside = inside(confinement, git_dir)?;
    let finished = run(inside, scratch, CHECK_OUT, paths, (&[], &[]))?;
    if finished.status.success() {
        Ok(())
    } else {
        Err(CommitError::of(&finished))
    }
}

/// Those of `paths` of which the last commit has something else than the work tree, with the repository's filters
/// applied. For what a file's bytes alone do not tell.
///
/// # Errors
/// [`CommitError`].
pub fn differing(
    confinement: &Confinement,
    git_dir: &Path,
    scratch: &Path,
    paths: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, CommitError> {
    let inside = inside(confinement, git_dir)?;
    let finished = run(inside, scratch, COMPARE, paths, (&[], &[]))?;
    if !finished.status.success() {
        return Err(CommitError::of(&finished));
    }
    let names = finished.stdout.split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

fn inside(confinement: &Confinement, git_dir: &Path) -> Result<Confinement, CommitError> {
    if confinement.bwrap.is_some() {
        super::unblock(&Beneath::open(git_dir)?)?;
    }
    let mut inside = confinement.for_git(true);
    for (name, value) in [("GIT_DIR", git_dir), ("GIT_WORK_TREE", &confinement.work_dir)] {
        inside.env.push((name.into(), value.into()));
    }
    Ok(inside)
}

/// Runs a script on `paths`.
fn run(
    mut inside: Confinement,
    scratch: &Path,
    script: &str,
    paths: &[Vec<u8>],
    (env, more): (&[(&str, String)], &[PathBuf]),
) -> Result<Finished, CommitError> {
    let list = scratch.join("commit-paths");
    let bytes: Vec<u8> = paths
        .iter()
        .flat_map(|path| [path.as_slice(), b"\0"].concat())
        .collect();
    std::fs::write(&list, bytes)?;
    inside.read_only.push(list.clone());
    inside.read_only.extend(more.iter().cloned());
    for (name, value) in env {
        inside.env.push(((*name).into(), value.into()));
    }
    let own_tmp = inside.bwrap.is_some();
    let folder = if own_tmp { Path::new("/tmp") } else { scratch };
    let case = super::uncommitted::ignores_case(&inside.work_dir).to_string();
    let mut argv: Vec<OsString> = ["sh", "-c"].map(OsString::from).to_vec();
    argv.push([LENIENT, BEGIN, script].concat().into());
    argv.extend(["commit".into(), list.into(), folder.into(), case.into()]);
    argv.extend(more.iter().map(OsString::from));
    Ok(inside.run(&argv, PATIENCE)?)
}

/// Submodules as `git update-index -z --index-info` reads them.
fn index_info(links: &[(Vec<u8>, Option<Oid>)]) -> Vec<u8> {
    let mut info = Vec::new();
    for (path, commit) in links {
        let entry = match commit {
            Some(commit) => format!("160000 {commit} 0\t"),
            None => format!("0 {}\t", Oid::ZERO_SHA1),
        };
        info.extend([entry.as_bytes(), path, b"\0"].concat());
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_without_gaps() {
        for length in [1, 2, 15, 16, 17, 1000] {
            let parts: Vec<_> = split(0..length).collect();
            assert!(parts.len() <= PARTS);
            assert!(parts.iter().all(|part| !part.is_empty()));
            assert!(length == 1 || parts.iter().all(|part| part.len() < length));
            assert_eq!(
                parts.into_iter().flatten().collect::<Vec<_>>(),
                (0..length).collect::<Vec<_>>()
            );
        }
        let paths = ["a", "bcd", "ef"].map(|path| path.as_bytes().to_vec());
        assert_eq!(spans(&paths, &[0..1, 1..3]), "1 2\n3 7\n");
    }
}
