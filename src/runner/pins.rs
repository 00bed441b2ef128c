//! Pins: refs of ours on what a brain made in its own git, so that a gc does not take it.
//!
//! A brain may make any number of refs, and each ref of the repository costs every git of the user's a little. So a
//! commit gets a pin only where nothing else keeps it, and one however many names it has; [`MOST`] at most, and what is
//! left of a larger number stands in the last one, a commit whose parents they are. Names are a brain's words: of them
//! only letters, digits and a few signs go into the name of a ref, and no secret does.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use git2::{ObjectType, Repository, Sort};

use super::{RunnerError, claim::Claim};
use crate::{
    guard::secrets::redact::Redactor,
    refs::{Kind, Ledger, LedgerError, ObjectSink, Oid, Pack, TreeEntry, encode_tree, pin_ref, update_ref},
    task::{Effects, RefChange},
};

/// So many pins an attempt has, besides those of where HEAD stood.
const MOST: usize = 64;
/// So many bytes of a name go into that of its pin: with the rest, a file's name has 255.
const NAME: usize = 120;
/// So many refs are told by name.
const TOLD: usize = 100;
/// The pin of all that have none of their own.
const REST: &str = "rest";

/// Keeps a commit that the task needs.
pub(super) fn pin(ledger: &Ledger<'_>, name: &str, commit: Oid) -> Result<(), RunnerError> {
    let old = ledger.repo().ref_target(name)?;
    if old != Some(commit) {
        update_ref(ledger.repo(), name, old, commit).map_err(LedgerError::from)?;
    }
    Ok(())
}

impl Claim {
    /// The name of a pin of this attempt.
    pub(super) fn pin(&self, what: &str) -> String {
        pin_ref(&self.task().id, self.n, what)
    }
}

/// Which of `made`, each with the name that it goes by, needs a pin, if `kept` are kept anyway.
///
/// # Errors
/// If git cannot read.
pub(super) fn needed(
    repo: &Repository,
    made: Vec<(String, Oid)>,
    kept: &[Oid],
) -> Result<Vec<(String, Oid)>, git2::Error> {
    let mut seen = HashSet::new();
    let mut made: Vec<_> = made.into_iter().filter(|(_, oid)| seen.insert(*oid)).collect();
    let held = refs_on(repo, &seen)?;
    made.retain(|(_, oid)| !held.contains(oid));
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::NONE)?;
    for oid in kept {
        walk.hide(*oid)?;
    }
    let is_commit = |oid: Oid| repo.find_commit(oid).is_ok();
    let commits: BTreeSet<Oid> = made
        .iter()
        .map(|(_, oid)| *oid)
        .filter(|oid| is_commit(*oid))
        .collect();
    for oid in &commits {
        walk.push(*oid)?;
    }
    // All that they reach and nothing else keeps.
    let (mut new, mut parents) = (HashSet::new(), HashSet::new());
    for oid in walk {
        let oid = oid?;
        new.insert(oid);
        parents.extend(repo.find_commit(oid)?.parent_ids());
    }
    made.retain(|(_, oid)| !commits.contains(oid) || new.contains(oid));
    // What another one reaches goes without, but for refs, as long as they are few: a person finds them by their names.
    let few = made.len() <= MOST;
    made.retain(|(name, oid)| !parents.contains(oid) || few && name.starts_with("refs/"));
    Ok(made)
}

/// Those of `oids` on which a branch or tag of the repository stands.
fn refs_on(repo: &Repository, oids: &HashSet<Oid>) -> Result<HashSet<Oid>, git2::Error> {
    let mut held = HashSet::new();
    for kind in ["refs/heads/*", "refs/tags/*", "refs/remotes/*"] {
        if oids.is_empty() {
            break;
        }
        for reference in repo.references_glob(kind)? {
            held.extend(reference?.target().filter(|oid| oids.contains(oid)));
        }
    }
    Ok(held)
}

/// Names the first of the refs that a brain made in what its attempt changed; the rest is counted.
pub(super) fn tell(effects: &mut Effects, mut refs: Vec<RefChange>, clean: &dyn Fn(&str) -> String) {
    effects.more_refs += refs.len().saturating_sub(TOLD) as u64;
    refs.truncate(TOLD);
    for change in &mut refs {
        change.name = clean(&change.name);
    }
    effects.refs.append(&mut refs);
}

/// Pins them.
///
/// # Errors
/// If the disk refuses, or git cannot read.
pub(super) fn set(ledger: &Ledger<'_>, claim: &Claim, pins: &[(String, Oid)]) -> Result<(), RunnerError> {
    let own = if pins.len() > MOST { MOST - 1 } else { pins.len() };
    for (name, oid) in named(&pins[..own]) {
        pin(ledger, &claim.pin(&name), oid)?;
    }
    if own < pins.len() {
        let rest: Vec<Oid> = pins[own..].iter().map(|(_, oid)| *oid).collect();
        let joined = join(ledger, claim, &rest).map_err(LedgerError::from)?;
        pin(ledger, &claim.pin(REST), joined)?;
    }
    Ok(())
}

/// Each with a name of its own that is safe anywhere.
fn named(pins: &[(String, Oid)]) -> Vec<(String, Oid)> {
    let mut taken: BTreeMap<String, Oid> = BTreeMap::new();
    let names = pins.iter().map(|(name, oid)| {
        let mut safe = safe_name(name);
        // `a/b` and `a-b` read alike.
        if taken.contains_key(&safe) || safe == REST {
            safe = format!("{safe}-{oid}");
        }
        taken.insert(safe.clone(), *oid);
        (safe, *oid)
    });
    names.collect()
}

/// `refs/heads/a/b` as one component of a ref's name: `heads-a-b`; what may mean something to a shell as `%XX`.
fn safe_name(name: &str) -> String {
    let redactor = Redactor::default();
    let (name, _) = redactor.redact(name.strip_prefix("refs/").unwrap_or(name));
    let mut safe = String::new();
    for byte in name.bytes() {
        if safe.len() >= NAME {
            safe.push_str("-cut");
            break;
        }
        match byte {
            b'/' => safe.push('-'),
            b'.' if safe.ends_with('.') => safe.push_str("%2E"),
            b'-' | b'_' | b'.' | b'+' | b'=' => safe.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => safe.push(byte.into()),
            _ => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    safe
}

/// A commit that keeps all of `oids`: commits are its parents, a tag is a file of its text and a parent of what it
/// names, and what else a ref can stand on lies in its tree.
fn join(ledger: &Ledger<'_>, claim: &Claim, oids: &[Oid]) -> std::io::Result<Oid> {
    let git = ledger.repo().git();
    let odb = git.odb().map_err(std::io::Error::other)?;
    let mut pack = Pack::begin(ledger.site())?;
    let (mut parents, mut entries) = (String::new(), Vec::new());
    for oid in oids {
        let object = odb.read(*oid).map_err(std::io::Error::other)?;
        let mut file = |mode, file| {
            entries.push(TreeEntry {
                mode,
                name: oid.to_string().into_bytes(),
                oid: file,
            });
        };
        match object.kind() {
            ObjectType::Commit | ObjectType::Any => parents.push_str(&format!("parent {oid}\n")),
            ObjectType::Tree => file(0o040_000, *oid),
            ObjectType::Blob => file(0o100_644, *oid),
            ObjectType::Tag => {
                file(0o100_644, pack.put(Kind::Blob, object.data())?);
                let named = git.find_object(*oid, None).and_then(|tag| tag.peel_to_commit());
                if let Ok(named) = named {
                    parents.push_str(&format!("parent {}\n", named.id()));
                }
            }
        }
    }
    let tree = pack.put(Kind::Tree, &encode_tree(&mut entries))?;
    let task = claim.task();
    let who = format!("git-khlone <git-khlone@localhost> {} +0000", task.created);
    let commit = format!(
        "tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{} more of attempt {} of {}\n",
        oids.len(),
        claim.n,
        task.id
    );
    let commit = pack.put(Kind::Commit, commit.as_bytes())?;
    pack.publish()?;
    Ok(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_short_and_apart() {
        let oid = |n: u8| Oid::from_bytes(&[n; 20]).unwrap();
        let long = format!("refs/heads/{}", "é".repeat(200));
        let token = format!("refs/heads/ghp_{}", "aB3dE5gH7jK9".repeat(3));
        let names = [
            "refs/heads/a/b",
            "refs/tags/a-b",
            "refs/heads/a-b",
            "refs/heads/$(touch${IFS}pwn)",
            "refs/heads/zz;x`y`&|<>\"'!#",
            long.as_str(),
            token.as_str(),
            "rest",
        ];
        let pins: Vec<_> = (1..)
            .zip(names)
            .map(|(n, name)| (name.to_owned(), oid(n)))
            .collect();
        let safe = named(&pins);
        let all: BTreeSet<_> = safe.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(all.len(), pins.len());
        for name in &all {
            assert!(
                name.len() < 200 && git2::Reference::is_valid_name(&format!("refs/x/1-{name}")),
                "{name}"
            );
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.+=%".contains(c)),
                "{name}"
            );
        }
        assert_eq!(safe[0].0, "heads-a-b");
        assert_eq!(safe[3].0, "heads-%24%28touch%24%7BIFS%7Dpwn%29");
        assert!(!safe[6].0.contains("aB3d"), "{}", safe[6].0);
    }
}
