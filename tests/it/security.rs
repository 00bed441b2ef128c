//! `SECURITY.md` promises nothing that no test holds.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// The names of all tests, by their sources.
fn tests() -> BTreeSet<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.join("src"), root.join("tests")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let mut is_test = false;
                for line in text.lines().map(str::trim) {
                    match line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
                        Some((name, _)) if is_test => {
                            found.insert(name.to_owned());
                            is_test = false;
                        }
                        Some(_) => is_test = false,
                        None => is_test |= line == "#[test]",
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let (_, section) = text.split_once("## What is promised").unwrap();
    let (section, _) = section.split_once("## What is not promised").unwrap();
    let tests = tests();
    let promises: Vec<&str> = section.split("\n- ").skip(1).collect();
    assert!(promises.len() > 20, "{}", promises.len());
    for promise in promises {
        let promise = promise.split("\n\n").next().unwrap();
        let (_, named) = promise
            .split_once("(tests: ")
            .unwrap_or_else(|| panic!("no test: {promise}"));
        let named: Vec<_> = named
            .trim_end()
            .trim_end_matches(')')
            .split(',')
            .map(|name| name.trim().trim_matches('`'))
            .collect();
        for name in named {
            assert!(tests.contains(name), "{name} of: {promise}");
        }
    }
}
