//! What differs around the work tree: refs, the HEADs of other worktrees, configuration; and the new commits.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;
use git2::Oid;

use super::{Context, Outside, path_text};
use crate::{
    refs::Repo,
    task::{BranchMove, Effects, RefChange},
    worktree::receipt::Receipt,
};

/// So many commits are named.
const COMMITS: usize = 1000;

/// Fills in everything but files and commits.
pub(super) fn compare(before: &Receipt, after: &Receipt, context: &Context<'_>, effects: &mut Effects) {
    for change in differing(&before.refs, &after.refs) {
        if change.name == context.branch {
            effects.branch = Some(BranchMove {
                before: change.before,
                after: change.after,
            });
        } else if (context.own)(&change.name) {
            effects.refs.push(change);
        } else if !(context.explained)(Outside::Ref(&change.name)) {
            let words = format!("{}: {}", change.name, words(&change));
            if context.confined {
                beside(effects, words);
                continue;
            }
            if !is_harmless(&change) {
                effects.foreign.push(words);
            }
            effects.refs.push(change);
        }
    }
    for change in differing(&before.heads, &after.heads) {
        if change.name == context.worktree || (context.explained)(Outside::Head(&change.name)) {
            continue;
        }
        let place = if change.name.is_empty() {
            "the main work tree".to_owned()
        } else {
            format!("worktree {}", change.name)
        };
        let words = format!("HEAD of {place}: {}", words(&change));
        if context.confined {
            beside(effects, words);
        } else {
            effects.foreign.push(words);
        }
    }
    for change in differing(&before.config, &after.config) {
        if (context.explained)(Outside::Config(&change.name)) {
            continue;
        }
        let verb = match (&change.before, &change.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        if !context.confined {
            effects.config.push(change.name.clone());
        }
        outside(context, effects, format!("{}: {verb}", change.name));
    }
}

/// The user, or another clone, at work beside this one.
fn beside(effects: &mut Effects, words: String) {
    effects.external.push(words.clone());
    effects.beside.push(words);
}

fn outside(context: &Context<'_>, effects: &mut Effects, words: String) {
    let list = if context.confined {
        &mut effects.external
    } else {
        &mut effects.foreign
    };
    list.push(words);
}

/// Without a sandbox the brain shares the refs: what it fetches, new tags among it, and what it stashes is its right.
/// A branch besides its own is not, nor is moving or removing what others made.
fn is_harmless(change: &RefChange) -> bool {
    let is_new_tag = change.before.is_none() && change.name.starts_with("refs/tags/");
    is_new_tag || change.name == "refs/stash" || change.name.starts_with("refs/remotes/")
}

fn words(change: &RefChange) -> String {
    let short = |side: &Option<String>| {
        side.as_deref()
            .map_or("none", |it| match it.get(..10) {
                Some(start) if is_object_id(it) => start,
                _ => it,
            })
            .to_owned()
    };
    format!("{} → {}", short(&change.before), short(&change.after))
}

/// The id of an object, as against the name of a ref that happens to be as long.
fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The names whose values differ, with both.
fn differing(before: &BTreeMap<BString, BString>, after: &BTreeMap<BString, BString>) -> Vec<RefChange> {
    let names: BTreeSet<&BString> = before.keys().chain(after.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    let text = |side: Option<&BString>| side.map(|it| path_text(it));
    differ
        .map(|name| RefChange {
            name: path_text(name),
            before: text(before.get(name)),
            after: text(after.get(name)),
        })
        .collect()
}

/// The commits that a branch has gained, newest first.
pub(super) fn commits(repo: &Repo, moved: &BranchMove) -> Vec<String> {
    let list = || -> Result<Vec<String>, git2::Error> {
        let Some(after) = &moved.after else {
            return Ok(Vec::new());
        };
        let mut walk = repo.git().revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL)?;
        walk.push(Oid::from_str(after)?)?;
        if let Some(before) = &moved.before {
            walk.hide(Oid::from_str(before)?)?;
        }
        walk.take(COMMITS).map(|oid| Ok(oid?.to_string())).collect()
    };
    list().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_cut_short() {
        let told = |before: &str, after: &str| {
            let side = |text: &str| Some(text.to_owned());
            words(&RefChange {
                name: "HEAD".to_owned(),
                before: side(before),
                after: side(after),
            })
        };
        let (a, b) = ("a".repeat(40), "b".repeat(64));
        assert_eq!(told(&a, &b), "aaaaaaaaaa \u{2192} bbbbbbbbbb");
        // As long as an id, and with letters that are longer than a byte.
        let branch = format!("ref: refs/heads/{}", "x".repeat(24));
        assert_eq!(branch.len(), 40);
        let other = format!("ref: refs/heads/{}", "\u{e9}".repeat(12));
        assert_eq!(told(&branch, &other), format!("{branch} \u{2192} {other}"));
    }
}
