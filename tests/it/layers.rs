//! The layers of `docs/architecture.md`, held by reading the sources: imports point downwards only, files stay
//! small, and nothing is offered that nobody takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// From the bottom up; modules of one line know nothing of each other.
const LAYERS: [&[&str]; 14] = [
    &["task"],
    &["config", "process", "rpc"],
    &["refs"],
    &["worktree"],
    &["brain", "guard"],
    &["skill"],
    &["zone"],
    &["delivery"],
    &["upkeep"],
    &["runner"],
    &["daemon"],
    &["query"],
    &["render"],
    &["cli"],
];
const MAX_LINES: usize = 500;

pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// The first folder or file below `src`: its layer.
    fn layer(&self) -> &str {
        let below = self.path.strip_prefix("src").unwrap();
        below
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
    }
}

pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty());
    found
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&layer))
}

/// The modules of the crate that `text` names, with their line: `crate::x`, `crate::{x, y::z}`.
fn imports(text: &str) -> Vec<(usize, String)> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        for name in first_names(rest) {
            found.push((line, name));
        }
    }
    found
}

/// `x` of `x::y`, or every first name in `{x::y, z::{a, b}}`.
fn first_names(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(word(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn imports_point_downwards() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let layer = source.layer();
        if ["lib", "main"].contains(&layer) {
            continue;
        }
        let Some(own) = rank(layer) else {
            wrong.push(format!("{}: `{layer}` is in no layer", source.path.display()));
            continue;
        };
        for (line, name) in imports(&source.text) {
            let Some(other) = rank(&name) else { continue };
            if name != layer && other >= own {
                wrong.push(format!("{}:{line}: {layer} uses {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "upward imports:\n{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_every_spelling() {
    let text = "use crate::{cli::x, task::{A, B},\n render};\n// crate::runner\nlet a = crate::zone::X;";
    let names: Vec<_> = imports(text)
        .into_iter()
        .map(|(line, name)| format!("{line} {name}"))
        .collect();
    assert_eq!(names, ["1 cli", "1 task", "1 render", "4 zone"]);
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = sources("src")
        .into_iter()
        .chain(sources("tests"))
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:?}");
}

/// What follows from a task's state is set with it, by `Task::make` alone.
#[test]
fn the_fields_of_a_state_are_set_in_one_place() {
    const FIELDS: [&str; 11] = [
        "status",
        "outcome",
        "reasons",
        "question",
        "dismissed",
        "hold",
        "cancel",
        "next",
        "parked_until",
        "import",
        "recovery",
    ];
    let changes = |rest: &str| {
        let rest = rest.trim_start();
        let is_set = rest.starts_with('=') && !rest.starts_with("==") && !rest.starts_with("=>");
        let calls = [
            ".push",
            ".clear",
            ".extend",
            ".clone_from",
            ".take()",
            ".insert",
            ".get_or_insert",
        ];
        is_set || calls.iter().any(|call| rest.starts_with(call))
    };
    let mut wrong = Vec::new();
    for source in sources("src") {
        // The ledger gives a new task its first state.
        let owners = ["src/task/moves.rs", "src/refs/ledger.rs"].map(Path::new);
        if owners.contains(&source.path.as_path()) || is_test(&source.path) {
            continue;
        }
        for (at, line) in without_tests(&source.text).lines().enumerate() {
            for owner in ["task.", "last.", "attempt."] {
                let found = line.match_indices(owner).any(|(at, _)| {
                    let rest = &line[at + owner.len()..];
                    FIELDS
                        .iter()
                        .any(|field| rest.strip_prefix(field).is_some_and(changes))
                });
                if found {
                    wrong.push(format!("{}:{}: {}", source.path.display(), at + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "set them by a move:\n{}", wrong.join("\n"));
}

/// Verbs that read ask a source of answers: they would tell only of what is here otherwise.
#[test]
fn verbs_that_read_ask_a_source() {
    const VERBS: [&str; 4] = ["diff", "list", "log", "show"];
    let mut wrong = Vec::new();
    for verb in VERBS {
        let path = format!("src/cli/{verb}.rs");
        let source = sources("src/cli").into_iter();
        let mut source = source.filter(|source| source.path == Path::new(&path));
        let text = source.next().unwrap_or_else(|| panic!("{path} is gone")).text;
        for (at, line) in text.lines().enumerate() {
            if ["ledger", "Ledger", "Stored", "cx.repo", "cx.site", "git2"]
                .iter()
                .any(|word| line.contains(word))
            {
                wrong.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "ask a query::Source:\n{}", wrong.join("\n"));
}

/// Where a thing may be done: whole folders, and files that do it besides, each of them in the list as long as it does.
struct Hands {
    what: &'static str,
    by: &'static str,
    folders: &'static [&'static str],
    besides: &'static [&'static str],
}

/// Who may touch git, start a process, print. The lists of files are to become shorter.
const HANDS: [Hands; 3] = [
    Hands {
        what: "touches git",
        by: r"\b(?:git2|gix)::|\.git\(\)",
        folders: &[
            "refs",
            "worktree",
            "guard/gitdir",
            "zone",
            "delivery",
            "upkeep",
            "runner",
            "query",
        ],
        besides: &[
            "cli/doctor.rs",
            "cli/doctor/machine.rs",
            "cli/error.rs",
            "cli/wait.rs",
            // How much it keeps in memory all day.
            "daemon/life/run.rs",
            "render/view/diffstat.rs",
        ],
    },
    Hands {
        what: "starts a process",
        by: r"\bCmd::(?:new|git)\(",
        folders: &["refs", "worktree", "guard", "delivery", "upkeep", "daemon"],
        besides: &[
            // Asks a coding CLI for its version.
            "brain/preflight.rs",
            "cli/audit.rs",
            "cli/boot.rs",
            "cli/doctor/machine.rs",
            "cli/man.rs",
            // The user's editor.
            "cli/prompt.rs",
            "query/ask/diff.rs",
            "render/pager.rs",
        ],
    },
    Hands {
        what: "prints",
        by: r"\be?println?!|\banstream::std|\bstd(?:out|err)\(\)(?:\.lock\(\)|;|,)|with_writer\(io::std",
        folders: &["render"],
        besides: &[
            // Passes on what the daemon of another machine says.
            "daemon/client/ask.rs",
            // The daemon's log, and that it has begun.
            "daemon/life/run.rs",
            // Holds stdout while it reads keys.
            "cli/status/keys.rs",
            // Says to a test that it is there.
            "process/fault.rs",
        ],
    },
];

#[test]
fn each_thing_is_done_where_it_belongs() {
    let sources = sources("src");
    for Hands {
        what,
        by,
        folders,
        besides,
    } in HANDS
    {
        let by = regex::Regex::new(by).unwrap();
        let does = |source: &&Source| {
            let lines = without_tests(&source.text).lines();
            let mut code = lines.map(|line| line.split("//").next().unwrap_or_default());
            code.any(|line| by.is_match(line))
                && !source
                    .path
                    .iter()
                    .any(|part| part.to_string_lossy().contains("test"))
        };
        let below = |source: &Source| source.path.strip_prefix("src").unwrap().display().to_string();
        let found: BTreeSet<_> = sources.iter().filter(does).map(below).collect();
        let in_a_folder = |path: &&String| folders.iter().any(|folder| Path::new(path).starts_with(folder));
        let idle: Vec<_> = folders
            .iter()
            .filter(|folder| !found.iter().any(|path| Path::new(path).starts_with(folder)))
            .collect();
        assert!(idle.is_empty(), "nothing there {what}: {idle:?}");
        let others: Vec<_> = found
            .iter()
            .filter(|path| !in_a_folder(path))
            .map(String::as_str)
            .collect();
        let listed: BTreeSet<_> = besides.iter().copied().collect();
        let wrong: Vec<_> = others.iter().filter(|path| !listed.contains(*path)).collect();
        assert!(
            wrong.is_empty(),
            "{what}, and is not one of those that may: {wrong:#?}"
        );
        let gone: Vec<_> = listed.iter().filter(|path| !others.contains(path)).collect();
        assert!(gone.is_empty(), "in the list, and no longer {what}: {gone:#?}");
    }
}

/// What is the whole process's cannot be set for a moment: another thread makes a file, or a child, in that moment.
#[test]
fn nothing_sets_the_mask_or_the_folder_of_the_whole_process() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        for (at, line) in without_tests(&source.text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if ["umask(", "set_current_dir(", "env::set_var("]
                .iter()
                .any(|call| code.contains(call))
            {
                wrong.push(format!("{}:{}: {}", source.path.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A name that only its own file and re-exports mention has no caller outside tests.
#[test]
fn every_module_has_a_caller() {
    let sources = sources("src");
    let mut public: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
    for source in &sources {
        let code = without_tests(&source.text);
        let names = code.lines().filter_map(public_name).collect();
        public.insert(&source.path, names);
    }
    let called: Vec<(&Path, BTreeSet<&str>)> = sources
        .iter()
        .filter(|source| !is_test(&source.path))
        .map(|source| (&*source.path, called(without_tests(&source.text))))
        .collect();
    let unused: Vec<_> = public
        .iter()
        .filter(|(path, names)| !names.is_empty() && !is_test(path))
        .filter(|(path, names)| {
            let mut others = called.iter().filter(|(other, _)| other != *path);
            !others.any(|(_, words)| names.iter().any(|name| words.contains(name.as_str())))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(unused.is_empty(), "nobody calls:\n{}", unused.join("\n"));
}

fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

pub(crate) fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

fn public_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    let rest = ["pub ", "pub(crate) ", "pub(super) "]
        .iter()
        .find_map(|vis| line.strip_prefix(vis))?;
    let rest = rest
        .strip_prefix("async ")
        .or_else(|| rest.strip_prefix("const "))
        .unwrap_or(rest);
    let kinds = ["fn ", "struct ", "enum ", "trait ", "type ", "static "];
    let rest = kinds
        .iter()
        .find_map(|kind| rest.strip_prefix(kind))
        .unwrap_or(rest);
    let name: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty() && !["use", "mod", "in"].contains(&name.as_str())).then_some(name)
}

/// The words of all lines that do more than pass a name on.
fn called(code: &str) -> BTreeSet<&str> {
    let passes_on = |line: &str| ["pub use", "//", "mod "].iter().any(|it| line.starts_with(it));
    code.lines()
        .map(str::trim_start)
        .filter(|line| !passes_on(line))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect()
}
