//! The files before and after a task, as trees to compare.
//!
//! They are its snapshots, but for what its commits have otherwise, since that is what lands. A file that git ignores is
//! in no snapshot, and may be committed all the same (`git add -f`). A file that held edits in no commit when the task
//! began goes into its commit with them: it is shown from the commit before to the commit after.

use bstr::{BString, ByteSlice};
use git2::{Repository, Tree};

use crate::{
    refs::{Beside, Ledger, LedgerError, Oid, Repo, Stored, pin_ref},
    task::{Change, Effects},
    worktree::{
        effects::path_bytes,
        snapshot::{Marker, encode},
    },
};

const GITLINK: i32 = 0o160_000;

/// The two trees.
pub struct Sides {
    /// Before.
    pub before: Oid,
    /// After.
    pub after: Oid,
    /// What has them, where the repository has not.
    pub beside: Option<Beside>,
}

/// Both sides of a task: of its last attempt, and of those that it went on with. None where nothing was written down yet.
///
/// # Errors
/// If the ledger cannot be read.
pub fn sides(ledger: &Ledger<'_>, stored: &Stored) -> Result<Option<Sides>, LedgerError> {
    let last = stored.task.last_attempt().map_or(0, |attempt| attempt.n);
    let Some(after) = ledger.folder(stored, &format!("attempts/{last}/after"))? else {
        return Ok(None);
    };
    for n in stored.task.first_of_last()..=last {
        // One that died early has none.
        let Some(before) = ledger.folder(stored, &format!("attempts/{n}/before"))? else {
            continue;
        };
        let mut sides = Sides {
            before,
            after,
            beside: None,
        };
        let mut end = None;
        for n in n..=last {
            if let Some(made) = made(ledger, stored, n)? {
                add_ignored(ledger, &made, &mut sides)?;
                end = Some(made);
            }
        }
        if let Some(end) = &end {
            let start = pin_ref(&stored.task.id, n, "head-before");
            from_commits(ledger, (&start, end), &mut sides)?;
        }
        return Ok(Some(sides));
    }
    Ok(None)
}

/// What an attempt has committed.
struct Made {
    effects: Effects,
    /// The tree of its last commit.
    tree: Oid,
}

/// What attempt `n` has committed, if anything. A commit that has gone since tells nothing any more.
fn made(ledger: &Ledger<'_>, stored: &Stored, n: u32) -> Result<Option<Made>, LedgerError> {
    let bytes = ledger.file(stored, &format!("attempts/{n}/effects.json"))?;
    let effects = bytes.and_then(|bytes| serde_json::from_slice::<Effects>(&bytes).ok());
    Ok(effects.and_then(|effects| {
        let tip = effects.commits.first()?.parse().ok()?;
        let tree = ledger.repo().git().find_commit(tip).ok()?.tree_id();
        Some(Made { effects, tree })
    }))
}

/// Adds the files that an attempt has committed and its snapshot left out.
fn add_ignored(ledger: &Ledger<'_>, made: &Made, sides: &mut Sides) -> Result<(), LedgerError> {
    let there = made.effects.files.iter();
    let there = there.filter(|file| file.change != Change::Deleted);
    let mut paths: Vec<BString> = there.map(|file| path_bytes(&file.path)).collect();
    {
        let after = sides.git(ledger.repo()).find_tree(sides.after)?;
        let has = |path: &[u8]| after.get_path(path.to_path_lossy().as_ref()).is_ok();
        paths.retain(|path| !has(path) && !has(&spelled(path)));
    }
    if !paths.is_empty() {
        let after = sides.after;
        sides.after = sides.beside(ledger.repo())?.with(after, made.tree, &paths)?;
    }
    Ok(())
}

/// Takes the files from the commits that were not, before the task, as in the commit on which it began.
fn from_commits(
    ledger: &Ledger<'_>,
    (start, end): (&str, &Made),
    sides: &mut Sides,
) -> Result<(), LedgerError> {
    let repo = ledger.repo();
    let start = repo.ref_target(start)?;
    let Some(start) = start.and_then(|start| repo.git().find_commit(start).ok()) else {
        return Ok(());
    };
    let (start, tip) = (start.tree()?, repo.git().find_tree(end.tree)?);
    let changed = repo.git().diff_tree_to_tree(Some(&start), Some(&tip), None)?;
    let mut edited: Vec<BString> = {
        let before = sides.git(repo).find_tree(sides.before)?;
        let is_edited = |path: &&[u8]| {
            let of = |tree: &Tree<'_>, path: &[u8]| {
                let entry = tree.get_path(path.to_path_lossy().as_ref()).ok()?;
                Some((entry.id(), entry.filemode()))
            };
            let (then, now) = (of(&start, path), of(&before, path));
            let is_link = |entry: Option<(Oid, i32)>| entry.is_some_and(|(_, mode)| mode == GITLINK);
            // What stands under another name in a snapshot cannot be put beside itself.
            then != now && of(&before, &spelled(path)).is_none() && !is_link(then) && !is_link(of(&tip, path))
        };
        let paths = changed
            .deltas()
            .filter_map(|delta| Some(delta.new_file().path_bytes()?.to_vec()));
        paths
            .filter(|path| is_edited(&path.as_slice()))
            .map(BString::from)
            .collect()
    };
    if edited.is_empty() {
        return Ok(());
    }
    let (before, after) = (sides.before, sides.after);
    sides.before = sides.beside(repo)?.with(before, start.id(), &edited)?;
    // What differs from the commit after it, too, is shown as it stands.
    edited.retain(|path| {
        !end.effects
            .left
            .iter()
            .any(|left| path_bytes(&left.path) == *path)
    });
    sides.after = sides.beside(repo)?.with(after, end.tree, &edited)?;
    Ok(())
}

impl Sides {
    /// The repository that has both.
    fn git<'a>(&'a self, repo: &'a Repo) -> &'a Repository {
        self.beside.as_ref().map_or(repo.git(), Beside::git)
    }

    /// Where another tree can be made.
    fn beside(&mut self, repo: &Repo) -> Result<&Beside, LedgerError> {
        let beside = match self.beside.take() {
            Some(beside) => beside,
            None => Beside::new(repo)?,
        };
        Ok(self.beside.insert(beside))
    }
}

/// A path whose last name stands in a snapshot as one that git would refuse.
fn spelled(path: &[u8]) -> Vec<u8> {
    let at = path.rfind_byte(b'/').map_or(0, |at| at + 1);
    [&path[..at], encode(&path[at..], Marker::Name).as_slice()].concat()
}
