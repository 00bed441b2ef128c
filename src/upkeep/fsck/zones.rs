//! Zones, their crew, and saved states.

use super::{Kind, Problem, Walk};
use crate::{
    refs::{KEPT, LANDED, Ledger, LedgerError, Oid, Undo},
    task::{CloneName, Explain, ZoneId, parse_versioned},
};

/// Checks the zone behind a ref; true if it can be read.
pub(super) fn check_zone(
    ledger: &Ledger<'_>,
    (name, id): (&str, &str),
    oid: Oid,
    walk: &mut Walk<'_>,
    problems: &mut Vec<Problem>,
) -> bool {
    let Some(tree) = tree_of(ledger, name, oid, problems) else {
        return false;
    };
    problems.extend(walk.tree(name, tree));
    let zone = match ZoneId::try_from(id.to_owned()).map(|id| ledger.zone(&id)) {
        Ok(Ok(Some(zone))) => zone,
        // Removed meanwhile.
        Ok(Ok(None)) => return false,
        Ok(Err(error)) => {
            let next = error.hint().unwrap_or_else(|| format!("git show {name}"));
            let what = match error {
                LedgerError::Zone(error) => error.reason(),
                error => error.to_string(),
            };
            problems.push(Problem::new(Kind::Document, name, what, next));
            return false;
        }
        Err(error) => {
            let next = format!("git update-ref -d {name}");
            problems.push(Problem::new(Kind::Stray, name, error.to_string(), next));
            return false;
        }
    };
    let (branch, found) = (&zone.zone.branch, zone.zone.id.as_str());
    if found != id || ZoneId::of_branch(branch).as_str() != id {
        let what = format!("holds the zone {found} of the branch {branch}");
        problems.push(Problem::new(
            Kind::Name,
            name,
            what,
            format!("git show {name}:zone.json"),
        ));
    }
    let files = names_in(ledger, tree).unwrap_or_default();
    let expected: Vec<_> = zone.crew.keys().map(|clone| format!("{clone}.json")).collect();
    for file in files.iter().filter(|file| !expected.contains(file)) {
        let what = format!("crew/{file} holds another clone");
        problems.push(Problem::new(
            Kind::Name,
            name,
            what,
            format!("git show {name}:crew/{file}"),
        ));
    }
    true
}

/// Checks a saved state, or the tip of one.
pub(super) fn check_undo(
    ledger: &Ledger<'_>,
    (name, rest): (&str, &str),
    oid: Oid,
    walk: &mut Walk<'_>,
    problems: &mut Vec<Problem>,
) {
    let stray = |what: &str| Problem::new(Kind::Stray, name, what, format!("git update-ref -d {name}"));
    match rest.split_once('/') {
        Some((n, "state")) if n.parse::<u64>().is_ok() => {
            let Some(tree) = tree_of(ledger, name, oid, problems) else {
                return;
            };
            problems.extend(walk.tree(name, tree));
            let bytes = ledger
                .file_in(tree, "undo.json")
                .ok()
                .flatten()
                .unwrap_or_default();
            if let Err(error) = parse_versioned::<Undo>("undo.json", &bytes) {
                let next = format!("git show {name}:undo.json");
                problems.push(Problem::new(Kind::Document, name, error.to_string(), next));
            }
        }
        Some((n, tip)) if n.parse::<u64>().is_ok() && (tip == LANDED || names_a_clone(tip)) => {
            problems.extend(walk.commits(name, oid));
        }
        _ => problems.push(stray("is no saved state")),
    }
}

/// Whether the last part of a saved state's ref is a clone's, for its tip or for what its worktree had besides.
fn names_a_clone(last: &str) -> bool {
    last.strip_suffix(KEPT)
        .unwrap_or(last)
        .parse::<CloneName>()
        .is_ok()
}

fn tree_of(ledger: &Ledger<'_>, name: &str, oid: Oid, problems: &mut Vec<Problem>) -> Option<Oid> {
    let tag = ledger.repo().git().find_tag(oid).ok();
    let tree = tag.and_then(|tag| tag.target().ok()?.into_tree().ok());
    if tree.is_none() {
        problems.push(Problem::new(
            Kind::Ref,
            name,
            format!("{oid} is no tag of a tree"),
            "git fsck",
        ));
    }
    tree.map(|tree| tree.id())
}

/// The files of a zone's crew.
fn names_in(ledger: &Ledger<'_>, tree: Oid) -> Result<Vec<String>, LedgerError> {
    let Some(crew) = ledger.folder_in(tree, "crew")? else {
        return Ok(Vec::new());
    };
    let crew = ledger.repo().git().find_tree(crew)?;
    Ok(crew
        .iter()
        .map(|entry| String::from_utf8_lossy(entry.name_bytes()).into_owned())
        .collect())
}
