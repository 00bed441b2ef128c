//! Whatever happens between two snapshots, the second is the same with the help of the first as without.

use std::{fs, os::unix::fs::symlink, path::Path};

use proptest::prelude::*;

use crate::worktree::testing::Lab;

#[derive(Debug, Clone)]
enum Act {
    Write(usize, u8),
    Remove(usize),
    Link(usize),
    Rules(usize, bool),
    Move(usize, usize),
    Exec(usize),
}

const PATHS: [&str; 8] = [
    "a",
    "d/a",
    "d/b.log",
    "d/e/a",
    "d/e/f/b.log",
    "g/a",
    "g/h/b.log",
    "d/.gitignore",
];
const FOLDERS: [&str; 6] = ["", "d", "d/e", "d/e/f", "g", "g/h"];

fn act() -> impl Strategy<Value = Act> {
    let (file, folder) = (0..PATHS.len(), 0..FOLDERS.len());
    prop_oneof![
        4 => (file.clone(), any::<u8>()).prop_map(|(file, text)| Act::Write(file, text)),
        2 => file.clone().prop_map(Act::Remove),
        1 => file.clone().prop_map(Act::Link),
        1 => (folder.clone(), any::<bool>()).prop_map(|(folder, on)| Act::Rules(folder, on)),
        1 => (folder.clone(), folder).prop_map(|(from, to)| Act::Move(from, to)),
        1 => file.prop_map(Act::Exec),
    ]
}

/// Does what it can; a path may be blocked by an earlier act.
fn perform(top: &Path, act: &Act) -> Option<()> {
    use std::os::unix::fs::PermissionsExt;
    match *act {
        Act::Write(file, text) => {
            let path = top.join(PATHS[file]);
            fs::create_dir_all(path.parent()?).ok()?;
            fs::write(path, [text]).ok()
        }
        Act::Remove(file) => fs::remove_file(top.join(PATHS[file])).ok(),
        Act::Link(file) => {
            let path = top.join(PATHS[file]);
            fs::remove_file(&path).ok()?;
            symlink("a", path).ok()
        }
        Act::Rules(folder, on) => {
            let rules = if on { "*.log\n/e\n" } else { "!*.log\n" };
            fs::write(top.join(FOLDERS[folder]).join(".gitignore"), rules).ok()
        }
        Act::Move(from, to) => fs::rename(top.join(FOLDERS[from]), top.join(FOLDERS[to]).join("moved")).ok(),
        Act::Exec(file) => {
            let path = top.join(PATHS[file]);
            let mode = fs::symlink_metadata(&path).ok()?.permissions().mode() ^ 0o100;
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).ok()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn the_previous_snapshot_saves_time_and_nothing_else(rounds in proptest::collection::vec(proptest::collection::vec(act(), 0..4), 1..6)) {
        let mut lab = Lab::new(&[("a", "1"), ("d/a", "1"), ("d/e/a", "1"), ("d/e/f/b.log", "1"), ("g/a", "1"), ("d/.gitignore", "/e\n")]);
        let work = lab.work();
        let mut last = lab.snap(None);
        for round in rounds {
            lab.pass_tick();
            last = lab.snap(Some(&last.manifest));
            for act in &round {
                perform(&work, act);
            }
            lab.pass_tick();
            let again = lab.snap(Some(&last.manifest));
            let fresh = lab.snap(None);
            prop_assert_eq!(again.tree, fresh.tree, "after {:?}", round);
            prop_assert_eq!(again.manifest.digest(), fresh.manifest.digest(), "after {:?}", round);
            last = again;
        }
        lab.publish();
        lab.paths(last.tree);
    }
}

#[test]
fn an_untouched_tree_is_handed_on() {
    let mut lab = Lab::new(&[("a", "1"), ("d/a", "1"), ("d/e/a", "1")]);
    lab.pass_tick();
    let first = lab.snap(None);
    let second = lab.snap(Some(&first.manifest));
    let shared = second.manifest.folders().iter().zip(first.manifest.folders());
    assert!(shared.into_iter().all(|(a, b)| std::sync::Arc::ptr_eq(a, b)));
    lab.write("d/e/a", "2");
    let third = lab.snap(Some(&second.manifest));
    assert_ne!(third.tree, second.tree);
    assert!(third.manifest.entry(b"d/a").is_some());
}
