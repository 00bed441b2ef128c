//! No two modules need each other: what one can be read without the other can be changed without it.
//!
//! A folder and the modules in it are one thing here: what a module takes from its own folder's `mod.rs`, as the folder's
//! error, is no edge. Names are followed through re-exports to the module that has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

use regex::Regex;

use crate::layers::{sources, without_tests};

/// Circles that are there, each the halves of one thing, or one not yet taken apart; `x::*` is all of a folder. None
/// may grow, none may come, and one that is gone goes from here.
const KNOWN: [&[&str]; 15] = [
    &["cli::config", "cli::schemas"],
    &["daemon::*"],
    &["delivery::landing::options", "delivery::landing::policy"],
    &["delivery::landing::propose", "delivery::landing::seal"],
    &["guard::gitdir::commit", "guard::gitdir::uncommitted"],
    &["guard::gitdir::import", "guard::gitdir::nest"],
    &["guard::sandbox::environment", "guard::sandbox::homes"],
    &["guard::sandbox::running", "guard::sandbox::survivors"],
    &["refs::by_git", "refs::cas"],
    &["refs::damaged", "refs::ledger", "refs::zones"],
    &[
        "refs::locks",
        "refs::main_tree",
        "refs::meant",
        "refs::pack",
        "refs::packed",
        "refs::packs::record",
        "refs::repo",
        "refs::site",
    ],
    &["upkeep::removal::error", "upkeep::removal::stake"],
    &["worktree::checkout", "worktree::place", "worktree::place::vet"],
    &["worktree::snapshot::build", "worktree::snapshot::placeholder"],
    &["worktree::snapshot::codec", "worktree::snapshot::manifest"],
];

static IMPORTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^(?:pub(?:\([^)]*\))? )?use ([^;]+);").unwrap());
static PATHS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\w+(?:::\w+)+").unwrap());

type Module = Vec<String>;

/// The modules of the crate, with their code.
fn modules() -> BTreeMap<Module, String> {
    let named = sources("src").into_iter().filter_map(|source| {
        let below = source.path.strip_prefix("src").unwrap().with_extension("");
        let mut parts: Module = below
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        parts.pop_if(|last| last == "mod");
        let is_code = !parts.iter().any(|part| part.ends_with("tests")) && below != Path::new("lib");
        is_code.then(|| (parts, without_comments(without_tests(&source.text))))
    });
    named.collect()
}

fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that `text` names: what it imports, taken apart, and what it names in its code.
fn paths(text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for import in IMPORTS.captures_iter(text) {
        expand(&import[1], &[], &mut found);
    }
    let code = IMPORTS.replace_all(text, "");
    found.extend(PATHS.find_iter(&code).map(|path| split(path.as_str())));
    found
}

fn split(path: &str) -> Module {
    let name = path.split(" as ").next().unwrap();
    name.split("::")
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[String], found: &mut Vec<Module>) {
    let Some((head, group)) = tree.split_once('{') else {
        let path = [before, &split(tree)].concat();
        found.extend((path.len() > before.len()).then_some(path));
        return;
    };
    let before = [before, &split(head)].concat();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                expand(&group[start..at], &before, found);
                start = at + 1;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

/// The module that `path` leads to from within `from`, and the name that follows there.
fn resolve(
    modules: &BTreeMap<Module, String>,
    from: &Module,
    path: &[String],
) -> Option<(Module, Option<String>)> {
    let mut rest = path.iter().peekable();
    let mut at = match rest.peek()?.as_str() {
        "crate" => Module::new(),
        _ => from.clone(),
    };
    rest.next_if(|part| *part == "crate");
    while let Some(part) = rest.next_if(|part| ["super", "self"].contains(&part.as_str())) {
        if part == "super" {
            at.pop();
        }
    }
    let is_relative = !["crate", "super", "self"].contains(&path[0].as_str());
    let start = at.clone();
    while let Some(part) =
        rest.next_if(|part| modules.contains_key(&[at.clone(), vec![(*part).clone()]].concat()))
    {
        at.push(part.clone());
    }
    // `std::x`, a crate's name.
    (!is_relative || at != start).then(|| (at, rest.next().cloned()))
}

/// What each module needs: those of its own folder's `mod.rs` left out.
fn edges(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut passed_on = BTreeMap::new();
    let mut needs = Vec::new();
    for (module, text) in modules {
        for path in paths(text) {
            let Some((target, name)) = resolve(modules, module, &path) else {
                continue;
            };
            if target != *module {
                let told = path.last().unwrap().clone();
                passed_on.insert((module.clone(), told), target.clone());
            }
            needs.push((module, target, name));
        }
    }
    let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, mut target, name) in needs {
        for _ in 0..5 {
            let next = name
                .as_ref()
                .and_then(|name| passed_on.get(&(target.clone(), name.clone())));
            target = next.unwrap_or(&target).clone();
        }
        if !module.starts_with(&target) && modules.contains_key(&target) {
            edges.entry(module.clone()).or_default().insert(target);
        }
    }
    edges
}

/// All that can be reached from `start`.
fn reached(edges: &BTreeMap<Module, BTreeSet<Module>>, start: &Module) -> BTreeSet<Module> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(module) = open.pop() {
        for next in edges.get(module).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    seen
}

/// The circles, each as the names of its modules.
fn circles(edges: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<BTreeSet<String>> {
    let reach: BTreeMap<_, _> = edges
        .keys()
        .map(|module| (module, reached(edges, module)))
        .collect();
    let circle = |module: &&Module| {
        let meets = reach[*module]
            .iter()
            .filter(|other| reach.get(other).is_some_and(|back| back.contains(*module)));
        meets.map(|module| module.join("::")).collect::<BTreeSet<_>>()
    };
    let all = edges.keys().collect::<Vec<_>>();
    all.iter().map(circle).filter(|circle| circle.len() > 1).collect()
}

#[test]
fn no_modules_need_each_other() {
    let modules = modules();
    assert!(modules.len() > 300, "only {} modules read", modules.len());
    let edges = edges(&modules);
    let found = circles(&edges);
    let is_of = |module: &String, known: &&str| match known.strip_suffix('*') {
        Some(folder) => module.starts_with(folder),
        None => module == known,
    };
    let has = |known: &[&str], circle: &BTreeSet<String>| {
        circle
            .iter()
            .all(|module| known.iter().any(|known| is_of(module, known)))
    };
    let new: Vec<_> = found
        .iter()
        .filter(|circle| !KNOWN.iter().any(|known| has(known, circle)))
        .collect();
    assert!(new.is_empty(), "these need each other: {new:#?}");
    let gone: Vec<_> = KNOWN
        .iter()
        .filter(|known| !found.iter().any(|circle| has(known, circle)))
        .collect();
    assert!(
        gone.is_empty(),
        "no circle any more, take it from the list: {gone:?}"
    );
    // The step that records and the one that concludes, the contract and what reads a brain's lines.
    for room in ["runner", "brain"] {
        let known = KNOWN.iter().flat_map(|known| known.iter());
        assert!(
            !known.into_iter().any(|module| module.starts_with(room)),
            "no circle in {room}"
        );
    }
}

/// The look itself, on a crate in which two pairs need each other: one by a re-export, one in its code.
#[test]
fn a_circle_is_seen() {
    let text = [
        ("a", "mod b;\nmod c;\npub(super) use c::C;"),
        ("a::b", "use super::{C, Own};\nuse std::fs;"),
        ("a::c", "fn c() { super::b::b(); }"),
        ("d", "use crate::{a::{self, b::B}, e::E};"),
        ("e", "fn e() { crate::d::d() }"),
        ("f", "use crate::{d::D, e};"),
    ];
    let modules = text.map(|(name, text)| (split(name), text.to_owned())).into();
    let found: Vec<_> = circles(&edges(&modules))
        .into_iter()
        .map(|circle| Vec::from_iter(circle).join(" "))
        .collect();
    assert_eq!(found, ["a::b a::c", "d e"]);
}
