//! Zones are made, removed with everything saved, brought back, mended and pruned.

use std::{fs, path::Path};

use git_khlone::{
    refs::{Crew, Ledger, Repo, Site, StoredZone},
    task::{Class, CloneName, Explain, ZoneId},
    upkeep::{
        prune::{disk_use, prune},
        removal::{RemovalError, remove},
        repair::{MendError, Mended, locks, repair},
        undo::{UndoError, undo},
    },
    worktree::{
        create::{Made, Want, ensure},
        place::{Rules, choose},
    },
    zone::{
        hold::hold,
        open::{OpenError, open},
    },
};

/// How long hooks may take.
const HOOK: std::time::Duration = std::time::Duration::from_secs(60);

use crate::scratch::{Scratch, Work};

const FILES: &[(&str, &str)] = &[
    ("a", "a\n"),
    ("b", "b\n"),
    (".gitignore", ".env\nnode_modules/\n*.big\n"),
];

struct Zoned {
    main: Work,
    repo: Repo,
    site: Site,
    scratch: Scratch,
}

impl Zoned {
    fn new() -> Self {
        let scratch = Scratch::new();
        let main = scratch.repo("app", FILES);
        let repo = main.open();
        let site = Site::open(&repo, "machine").unwrap();
        Self {
            main,
            repo,
            site,
            scratch,
        }
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.repo, &self.site)
    }

    /// A clone of a zone, with its worktree, as the first task leaves it.
    fn clone_of(&self, branch: &str, name: &str) -> Work {
        let opened = open(&self.ledger(), branch, None).unwrap();
        let clone: CloneName = name.parse().unwrap();
        let rules = Rules {
            root: None,
            data_home: Path::new("/nonexistent"),
        };
        let place = choose(&self.repo, &rules, &opened.id, &clone).unwrap().place;
        let own = format!("khlone/{}/{clone}", opened.id);
        let document = serde_json::json!({
            "format": 1, "name": clone, "role": clone.role, "brain": "shell", "branch": own,
            "path": place, "created": 7,
        });
        let crew: Crew = serde_json::from_value(document).unwrap();
        let entered = self
            .ledger()
            .update_zone(&opened.id, None, |zone: &mut StoredZone| {
                zone.crew.insert(clone.clone(), crew.clone());
                Ok::<_, git_khlone::refs::LedgerError>(())
            });
        entered.unwrap();
        ensure(
            &self.repo,
            &Want {
                place: &place,
                branch: &own,
                start: opened.tip,
                folders: &[],
            },
        )
        .unwrap();
        Work(place)
    }
}

fn main_zone() -> ZoneId {
    ZoneId::of_branch("main")
}

#[test]
fn a_new_zone_has_a_branch_and_a_place_in_the_ledger() {
    let z = Zoned::new();
    let ledger = z.ledger();
    let first = open(&ledger, "feat/auth", Some("main")).unwrap();
    assert_eq!(
        (first.is_new_branch, first.is_new_zone, first.tip),
        (true, true, z.main.tip("main"))
    );
    let again = open(&ledger, "feat/auth", None).unwrap();
    assert_eq!(
        (again.is_new_branch, again.is_new_zone, &again.id),
        (false, false, &first.id)
    );
    assert_eq!(
        ledger.zone(&first.id).unwrap().unwrap().zone.base.unwrap().name,
        "main"
    );
    z.main.commit(&[("a", "2\n")], "two");
    assert!(matches!(
        open(&ledger, "feat/auth", Some("main")),
        Err(OpenError::Exists(..))
    ));
    assert_eq!(open(&ledger, "a..b", None).unwrap_err().class(), Class::Usage);
    assert_eq!(
        open(&ledger, "new", Some("nowhere")).unwrap_err().class(),
        Class::NotFound
    );
    assert_eq!(
        open(&ledger, "feat", None).unwrap_err().class(),
        Class::Refused,
        "feat/auth is in the way"
    );
    assert_eq!(z.main.git(&["fsck", "--strict", "--no-dangling"]), "");
}

#[test]
fn a_removal_names_what_is_at_stake_and_undo_brings_all_of_it_back() {
    let z = Zoned::new();
    let clone = z.clone_of("main", "foreman.1");
    clone.commit(&[("a", "committed\n")], "not landed");
    clone.write("b", "staged\n");
    clone.git(&["add", "b"]);
    clone.write("b", "and changed again\n");
    clone.write("new file", "untracked\n");
    clone.write(".env", "KEY=1\n");
    clone.write("node_modules/x/index.js", "small\n");
    clone.write("x.big", &"x".repeat(2 << 20));
    let before = (clone.bytes(), clone.status(), clone.tip("HEAD"));

    let error = remove(&z.ledger(), &main_zone(), false).unwrap_err();
    assert!(matches!(error, RemovalError::AtStake { .. }) && error.class() == Class::Refused);
    let words = error.to_string();
    assert!(
        words.contains("foreman.1 has 1 commit that has not landed"),
        "{words}"
    );
    assert!(words.contains("uncommitted changes in b, new file"), "{words}");
    assert!(before == (clone.bytes(), clone.status(), clone.tip("HEAD")));

    let removed = remove(&z.ledger(), &main_zone(), true).unwrap();
    assert_eq!(removed.lost, ["foreman.1: x.big"]);
    assert!(!clone.0.exists() && !clone.0.parent().unwrap().exists());
    assert_eq!(z.main.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(z.main.git(&["branch", "--list", "khlone/*"]), "");
    assert!(z.ledger().zone(&main_zone()).unwrap().is_none());
    assert_eq!(
        remove(&z.ledger(), &main_zone(), true).unwrap_err().class(),
        Class::NotFound
    );
    z.main.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(z.main.git(&["fsck", "--strict", "--no-dangling"]), "");

    let undone = undo(&z.ledger(), None, HOOK).unwrap();
    assert_eq!((undone.kept.len(), undone.lost.len()), (0, 1));
    fs::remove_file(clone.0.join("x.big")).ok();
    let mut expected = before.0;
    expected.retain(|(path, _)| !path.ends_with("x.big"));
    assert!(expected == clone.bytes(), "the files are not as they were");
    assert_eq!((clone.status(), clone.tip("HEAD")), (before.1, before.2));
    assert!(matches!(
        undo(&z.ledger(), None, HOOK),
        Err(UndoError::Nothing(None))
    ));
}

#[test]
fn what_has_landed_goes_without_force() {
    let z = Zoned::new();
    let clone = z.clone_of("main", "foreman.1");
    clone.commit(&[("a", "1\n")], "one");
    clone.commit(&[("c", "c\n")], "two");
    z.main.git(&["merge", "-q", "--squash", "khlone/main/foreman.1"]);
    z.main.git(&["commit", "-q", "-m", "squashed by hand"]);
    z.main
        .git(&["worktree", "lock", "--reason", "mine", clone.0.to_str().unwrap()]);
    let error = remove(&z.ledger(), &main_zone(), false).unwrap_err();
    assert!(error.to_string().contains("locked worktree (mine)"), "{error}");
    z.main.git(&["worktree", "unlock", clone.0.to_str().unwrap()]);
    let removed = remove(&z.ledger(), &main_zone(), false).unwrap();
    assert_eq!((removed.clones.len(), removed.branch.as_str()), (1, "main"));
    assert_eq!(z.main.status(), "");

    z.clone_of("main", "foreman.1");
    let error = undo(&z.ledger(), None, HOOK).unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error}");
}

#[test]
fn a_branch_that_the_user_stands_on_is_left_to_them() {
    let z = Zoned::new();
    z.clone_of("main", "foreman.1");
    let own = "khlone/main/foreman.1";
    let beside = z.scratch.path().join("be side");
    let places: [(&Path, &[&str]); 2] = [
        (&z.main.0, &["switch", "-q", "--ignore-other-worktrees", own]),
        (
            &beside,
            &["worktree", "add", "-q", "-f", beside.to_str().unwrap(), own],
        ),
    ];
    for (place, args) in places {
        z.main.git(args);
        let error = remove(&z.ledger(), &main_zone(), true).unwrap_err();
        let told = format!("{own} is checked out at {}", place.display());
        assert_eq!((error.to_string(), error.class()), (told, Class::Refused));
        assert!(error.hint().unwrap().ends_with(" switch main"), "{error:?}");
        z.main.git(&["switch", "-q", "main"]);
    }
    z.main.git(&["worktree", "remove", beside.to_str().unwrap()]);
    remove(&z.ledger(), &main_zone(), false).unwrap();
}

#[test]
fn a_clone_at_work_is_left_alone() {
    let z = Zoned::new();
    let clone = z.clone_of("main", "foreman.1");
    let held = hold(&z.site, &main_zone(), &"foreman.1".parse().unwrap()).unwrap();
    assert!(matches!(
        remove(&z.ledger(), &main_zone(), true),
        Err(RemovalError::Hold(_))
    ));
    fs::remove_dir_all(&clone.0).unwrap();
    let mendings = repair(&z.ledger(), None, &[]).unwrap();
    assert!(matches!(mendings[0].result, Err(MendError::Hold(_))));
    drop(held);
    let mendings = repair(&z.ledger(), None, &[]).unwrap();
    assert!(matches!(mendings[0].result, Ok(Mended::Put(Made::Rebuilt(_)))));
    assert_eq!(clone.status(), "");
}

#[test]
fn a_repair_clears_our_locks_and_names_others() {
    let z = Zoned::new();
    let clone = z.clone_of("main", "foreman.1");
    let git_dir = z.main.0.join(".git");
    fs::write(
        git_dir.join("worktrees/app-main.foreman.1/locked"),
        "git-khlone: t-1 runs here\n",
    )
    .unwrap();
    let mendings = repair(&z.ledger(), Some(&main_zone()), &[]).unwrap();
    assert!(matches!(mendings[0].result, Ok(Mended::Unlocked)));
    let past = std::time::SystemTime::now() - std::time::Duration::from_mins(60);
    for (name, old) in [
        ("refs/khlone/tasks/t-1.lock", true),
        ("refs/khlone/tasks/t-2.lock", false),
        ("config.lock", true),
    ] {
        fs::create_dir_all(git_dir.join(name).parent().unwrap()).unwrap();
        let file = fs::File::create(git_dir.join(name)).unwrap();
        if old {
            file.set_modified(past).unwrap();
        }
    }
    let mut found: Vec<_> = locks(&z.ledger())
        .unwrap()
        .into_iter()
        .map(|lock| (lock.path, lock.cleared))
        .collect();
    found.sort();
    let expected = [
        ("config.lock", false),
        ("refs/khlone/tasks/t-1.lock", true),
        ("refs/khlone/tasks/t-2.lock", false),
    ];
    assert_eq!(
        found,
        expected.map(|(name, cleared)| (git_dir.join(name), cleared))
    );
    assert!(git_dir.join("config.lock").exists() && !git_dir.join("refs/khlone/tasks/t-1.lock").exists());
    let crew = z
        .ledger()
        .zone(&main_zone())
        .unwrap()
        .unwrap()
        .crew
        .into_values()
        .next()
        .unwrap();
    assert!(disk_use(&crew).unwrap() >= 12 << 10);
    fs::remove_dir_all(&clone.0).unwrap();
    assert_eq!(disk_use(&crew), None);
}

#[test]
fn zones_without_a_branch_are_pruned_unless_they_hold_work() {
    let z = Zoned::new();
    z.clone_of("main", "foreman.1");
    z.clone_of("idle", "foreman.1");
    let busy = z.clone_of("busy", "foreman.1");
    busy.commit(&[("c", "c\n")], "work");
    z.main.git(&["branch", "-q", "-D", "idle", "busy"]);
    let idle = ZoneId::of_branch("idle");
    let dry = prune(&z.ledger(), true).unwrap();
    assert_eq!(
        (dry.removed.as_slice(), dry.kept.len()),
        ([idle.clone()].as_slice(), 1)
    );
    assert!(z.ledger().zone(&idle).unwrap().is_some());
    let pruned = prune(&z.ledger(), false).unwrap();
    assert_eq!(pruned.removed, [idle]);
    assert!(
        pruned.kept[0].1.contains("1 commit that has not landed"),
        "{:?}",
        pruned.kept
    );
    assert_eq!(z.ledger().zones().unwrap().len(), 2);
}

#[test]
fn commits_in_a_submodule_are_at_stake() {
    let z = Zoned::new();
    let inner = z.scratch.repo("inner", &[("i", "i\n")]);
    z.main
        .git(&["submodule", "--quiet", "add", inner.0.to_str().unwrap(), "lib"]);
    z.main.commit(&[], "submodule");
    let clone = z.clone_of("main", "foreman.1");
    let lib = Work(clone.0.join("lib"));
    lib.git(&["switch", "-q", "-c", "work"]);
    lib.git(&[
        "-c",
        "user.name=B",
        "-c",
        "user.email=b@x",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "inside",
    ]);
    let error = remove(&z.ledger(), &main_zone(), false).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("commits of its own in the submodule lib"),
        "{error}"
    );
    let removed = remove(&z.ledger(), &main_zone(), true).unwrap();
    assert_eq!(removed.lost, [""; 0]);
    undo(&z.ledger(), None, HOOK).unwrap();
    assert_eq!(lib.git(&["log", "-1", "--format=%s", "work"]), "inside");
}
