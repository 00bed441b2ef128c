//! What no receipt covers and a brain without a sandbox can reach: the files of the user's own checkouts, and those by
//! which their shells, git and ssh start.
//!
//! Cheap, and bounded in time. Git says which files of the checkout differ from its index or are new, and of these alone
//! the file system's own words are kept. So what was clean and is clean again, as after a commit or a landing, counts as
//! not written. Who wrote is not known: in the checkout it may well be the user.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use bstr::{BString, ByteSlice};
use rustix::fs::AtFlags;

use super::{
    checkout::Checkout,
    effects::path_text,
    lenient::status,
    place,
    snapshot::{StatKey, now},
    starters::Starters,
};
use crate::{refs::Repo, task::few};

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most bytes of names; a checkout with more is not watched.
const CAPTURE: usize = 4 << 20;
/// So many files are named.
const NAMED: usize = 20;
/// So many linked worktrees of the user's are watched.
const LINKED: usize = 8;

/// How things stood around a worktree at one moment.
#[derive(Debug)]
pub struct Surroundings {
    since: i64,
    /// The main one, if there is one, and the linked ones that are no clones'.
    checkouts: Vec<Watched>,
    /// There are more.
    cut: bool,
    starters: Starters,
}

/// A checkout of the user's.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    is_main: bool,
    /// The files that git calls changed or new; nothing if that took too long.
    dirty: Option<BTreeMap<BString, Option<StatKey>>>,
    /// The files that git was told not to look at.
    unseen: Option<BTreeSet<BString>>,
}

/// What was written between two looks, each file with what became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// In the user's checkouts, by their task or by themselves.
    pub checkout: Vec<String>,
    /// In their home, of what decides what they start next.
    pub home: Vec<String>,
    /// In their home, of what they or a program of theirs may have changed.
    pub settings: Vec<String>,
    /// Nobody can say of every checkout.
    pub unwatched: bool,
    /// Nobody can say of all of the home.
    pub unwatched_home: bool,
}

impl Surroundings {
    /// Looks at the user's checkouts of `repo`, at `home`, and at what is trusted in `trust`.
    pub fn look(repo: &Repo, home: &Path, trust: &Path) -> Self {
        let since = now();
        let main = Checkout::main(repo).map(|main| main.path);
        let mut all = Checkout::all(repo).unwrap_or_default();
        all.retain(|it| it.path.exists() && !place::is_a_clones(repo, &it.path));
        // The main one first.
        all.sort_by_key(|it| main.as_ref() != Some(&it.path));
        let watched = all.iter().take(LINKED + 1).map(|checkout| Watched {
            is_main: main.as_ref() == Some(&checkout.path),
            dirty: dirty(checkout),
            unseen: unseen(checkout),
            path: checkout.path.clone(),
        });
        Self {
            since,
            checkouts: watched.collect(),
            cut: all.len() > LINKED + 1,
            starters: Starters::look(home, trust),
        }
    }

    /// What was written since `before`.
    pub fn written(&self, before: &Self) -> Written {
        let home = self.starters.since(&before.starters);
        let mut written = Written {
            home: home.fixed,
            settings: home.changeable,
            unwatched_home: home.cut,
            unwatched: self.cut || before.cut,
            ..Written::default()
        };
        for now in &self.checkouts {
            let mut then = before.checkouts.iter();
            // One that was made meanwhile is told as a ref, or as the user's.
            if let Some(then) = then.find(|then| then.path == now.path) {
                now.written((then, before.since), &mut written);
            }
        }
        written
    }
}

impl Watched {
    /// Adds what was written here since `before`.
    fn written(&self, (before, since): (&Self, i64), written: &mut Written) {
        let (Some(then), Some(now)) = (&before.dirty, &self.dirty) else {
            written.unwatched = true;
            return;
        };
        let names: BTreeSet<&BString> = then.keys().chain(now.keys()).collect();
        let mut names = names.into_iter().filter_map(|name| {
            let stands = match (then.get(name), now.get(name)) {
                // Removed, or as young as the task; else only the index has moved.
                (None, Some(stat)) => stat.is_none_or(|stat| stat.is_recent(since)).then_some(*stat),
                (Some(then), Some(now)) => (then != now).then_some(*now),
                // Committed, or taken back?
                (Some(then), None) => {
                    let now = stat(&self.path.join(name.to_path_lossy()), AtFlags::SYMLINK_NOFOLLOW);
                    (*then != now).then_some(now)
                }
                (None, None) => None,
            };
            let stands = stands?;
            Some(format!("{}: {}", self.named(name), became(stands.as_ref())))
        });
        let words: Vec<String> = names.by_ref().take(NAMED).collect();
        let more = names.count();
        // What a mark hides, no status shows from now on.
        let marked = |set: &Option<BTreeSet<BString>>| set.clone().unwrap_or_default();
        let hidden: Vec<_> = marked(&self.unseen)
            .difference(&marked(&before.unseen))
            .map(|name| format!("{}: hidden from git status", self.named(name)))
            .collect();
        written.checkout.extend(words);
        written.checkout.extend(few(hidden, NAMED));
        if more > 0 {
            written.checkout.push(format!("and {more} more files"));
        }
    }

    /// What a file is called: in a linked worktree by its whole path.
    fn named(&self, name: &BString) -> String {
        if self.is_main {
            return path_text(name);
        }
        let path = self.path.join(name.to_path_lossy());
        path_text(path.as_os_str().as_encoded_bytes())
    }
}

fn became(now: Option<&StatKey>) -> &'static str {
    if now.is_some() { "written" } else { "removed" }
}

fn dirty(main: &Checkout) -> Option<BTreeMap<BString, Option<StatKey>>> {
    let args = [
        "--porcelain",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignore-submodules=all",
    ];
    let status = status(main, &args, |git| git.patience(PATIENCE).capture(CAPTURE));
    let status = status.ok().filter(|said| said.len() < CAPTURE)?;
    let names = status.split(|byte| *byte == 0).filter_map(|line| line.get(3..));
    let stat = |name: &[u8]| stat(&main.path.join(name.to_path_lossy()), AtFlags::SYMLINK_NOFOLLOW);
    Some(names.map(|name| (BString::from(name), stat(name))).collect())
}

/// The files that are marked `assume-unchanged` or `skip-worktree`, in a checkout that is not sparse.
fn unseen(main: &Checkout) -> Option<BTreeSet<BString>> {
    let listed = main.git().args(["ls-files", "-v", "-z"]);
    let listed = listed.patience(PATIENCE).capture(CAPTURE).output().ok()?;
    let records = listed.split(|byte| *byte == 0);
    let is_marked = |record: &&[u8]| {
        record
            .first()
            .is_some_and(|tag| *tag == b'S' || tag.is_ascii_lowercase())
    };
    let paths = records.filter(is_marked).filter_map(|record| record.get(2..));
    Some(paths.map(BString::from).collect())
}

fn stat(path: &Path, flags: AtFlags) -> Option<StatKey> {
    let stat = rustix::fs::statat(rustix::fs::CWD, path, flags).ok()?;
    Some(StatKey::of(&stat))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::worktree::testing::Lab;

    #[test]
    fn what_is_written_is_named_and_what_git_moves_is_not() {
        let lab = Lab::new(&[("a", "1\n"), ("b", "1\n"), ("c", "1\n")]);
        let top = lab.repo.main_work_dir().unwrap();
        let home = tempfile::tempdir().unwrap();
        let main = |args: &[&str]| {
            crate::process::Cmd::new("git")
                .dir(&top)
                .args(args)
                .output()
                .unwrap()
        };
        let look = || Surroundings::look(&lab.repo, home.path(), &home.path().join(".khlone/trust"));
        for name in ["a", "mine", "theirs"] {
            fs::write(top.join(name), "2\n").unwrap();
        }
        let before = look();
        assert_eq!(look().written(&before), Written::default());
        // The user commits: nothing on disk changes.
        main(&["add", "a", "mine"]);
        main(&["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "x"]);
        assert_eq!(look().written(&before), Written::default());
        fs::write(top.join("b"), "2\n").unwrap();
        fs::remove_file(top.join("c")).unwrap();
        fs::remove_file(top.join("theirs")).unwrap();
        fs::write(top.join("new\n\x1b"), "").unwrap();
        fs::write(home.path().join(".bashrc"), "").unwrap();
        let written = look().written(&before);
        assert_eq!(
            written.checkout,
            [
                "b: written",
                "c: removed",
                "new\n\x1b: written",
                "theirs: removed"
            ]
        );
        assert_eq!(written.home, ["~/.bashrc: written"]);
    }

    #[test]
    fn what_starts_programs_and_what_the_user_changes_are_told_apart() {
        let lab = Lab::new(&[("a", "1\n")]);
        let home = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let look = || Surroundings::look(&lab.repo, home.path(), &home.path().join(".khlone/trust"));
        put(".local/share/claude/1", "");
        put(".local/share/claude/2", "");
        put(".vimrc", "");
        fs::create_dir_all(home.path().join(".local/bin")).unwrap();
        let link = home.path().join(".local/bin/claude");
        std::os::unix::fs::symlink("../share/claude/1", &link).unwrap();
        let before = look();
        let breaches = [
            ".config/fish/conf.d/x.fish",
            ".config/systemd/user/x.service",
            ".config/systemd/user/default.target.wants/x.service",
            ".config/autostart/x.desktop",
            ".config/environment.d/x.conf",
            ".config/nvim/lua/x.lua",
            ".local/bin/git",
            ".vim/plugin/x.vim",
            ".ssh/authorized_keys",
            "bin/git",
        ];
        for name in breaches {
            put(name, "x");
        }
        for name in [
            ".claude/settings.json",
            ".codex/config.toml",
            ".khlone/trust/x.json",
        ] {
            put(name, "x");
        }
        fs::remove_file(home.path().join(".vimrc")).unwrap();
        // As an update does.
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("../share/claude/2", &link).unwrap();
        let written = look().written(&before);
        let mut expected: Vec<_> = breaches.iter().map(|name| format!("~/{name}: written")).collect();
        expected.push("~/.vimrc: removed".to_owned());
        expected.sort();
        assert_eq!(written.home, expected);
        assert_eq!(
            written.settings,
            [
                "what is trusted (git khlone trust --list)/x.json: written",
                "~/.claude/settings.json: written",
                "~/.codex/config.toml: written",
                "~/.local/bin/claude: written",
            ]
        );
        assert!(!written.unwatched_home);
    }
}
