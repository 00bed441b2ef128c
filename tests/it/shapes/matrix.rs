//! Every kind of repository through the whole round: act, ask, diff, land, undo, zone remove, undo, gc, fsck. What is the
//! user's is read from the disk before and after each step, without git-khlone, and is the same to the byte but for what
//! a landing is there to change.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use crate::{
    scratch::Work,
    stage::{Said, Stage, said},
};

/// A kind of repository: its name, and how the stage's becomes one. Gives the checkout in which one works.
type Shape = (&'static str, fn(&Stage) -> Work);

const SHAPES: [Shape; 28] = [
    ("plain", |stage| stage.work.clone()),
    ("separate git folder", |stage| {
        let store = stage.path().join("store");
        git(
            &stage.work,
            &["init", "-q", "--separate-git-dir", store.to_str().unwrap()],
        )
    }),
    ("linked git folder", |stage| {
        let (dot_git, store) = (stage.work.0.join(".git"), stage.path().join("store"));
        fs::rename(&dot_git, &store).unwrap();
        symlink(&store, &dot_git).unwrap();
        stage.work.clone()
    }),
    ("git folder in packs", |stage| {
        git(&stage.work, &["pack-refs", "--all"]);
        git(&stage.work, &["repack", "-adq", "--write-midx"])
    }),
    ("sparse cone", |stage| {
        git(&stage.work, &["sparse-checkout", "set", "in"])
    }),
    ("sparse patterns", |stage| {
        git(
            &stage.work,
            &["sparse-checkout", "set", "--no-cone", "/in/", "/*.txt"],
        )
    }),
    ("sparse index", |stage| {
        git(&stage.work, &["sparse-checkout", "set", "--sparse-index", "in"])
    }),
    ("split index", |stage| {
        git(&stage.work, &["config", "core.splitIndex", "true"]);
        git(&stage.work, &["update-index", "--split-index"])
    }),
    ("index of many files", |stage| {
        git(&stage.work, &["config", "feature.manyFiles", "true"]);
        git(
            &stage.work,
            &["update-index", "--index-version", "4", "--untracked-cache"],
        )
    }),
    ("index flags", |stage| {
        git(&stage.work, &["update-index", "--assume-unchanged", "out/y"]);
        git(&stage.work, &["update-index", "--skip-worktree", "out/z"])
    }),
    ("linked worktree", |stage| {
        let tree = stage.path().join("tree");
        git(
            &stage.work,
            &["worktree", "add", "-q", "-b", "side", tree.to_str().unwrap()],
        );
        Work(tree)
    }),
    ("bare with a worktree", |stage| {
        let bare = Work(stage.path().join("proj/.bare"));
        git(
            &stage.work,
            &["clone", "-q", "--bare", ".", bare.0.to_str().unwrap()],
        );
        let tree = stage.path().join("proj/tree");
        named(&bare);
        // As in a git folder that became a bare one.
        git(&bare, &["read-tree", "HEAD"]);
        git(&bare, &["worktree", "add", "-q", tree.to_str().unwrap(), "main"]);
        Work(tree)
    }),
    ("borrowed objects", |stage| clone(stage, &["--shared"])),
    ("shallow", |stage| {
        stage.work.commit(&[], "two");
        clone(stage, &["--no-local", "--depth=1"])
    }),
    ("mirror", |stage| {
        let work = Work(stage.path().join("copy"));
        let git_dir = work.0.join(".git");
        git(
            &stage.work,
            &["clone", "-q", "--mirror", ".", git_dir.to_str().unwrap()],
        );
        git(&named(&work), &["config", "core.bare", "false"]);
        git(&work, &["reset", "-q", "--hard"])
    }),
    ("odd path", |stage| {
        let work = Work(stage.path().join("it's \"odd\"\n-x"));
        fs::rename(&stage.work.0, &work.0).unwrap();
        work
    }),
    ("submodule", |stage| {
        let dep = Work(stage.path().join("dep"));
        git(&stage.work, &["clone", "-q", ".", dep.0.to_str().unwrap()]);
        git(
            &stage.work,
            &["submodule", "add", "-q", dep.0.to_str().unwrap(), "dep"],
        );
        git(&stage.work, &["commit", "-qm", "with a submodule"])
    }),
    ("tags named as branches", |stage| {
        for name in ["main", "khlone/main/foreman.1"] {
            git(&stage.work, &["tag", name]);
        }
        stage.work.clone()
    }),
    ("packs with old indexes", |stage| {
        git(&stage.work, &["config", "pack.indexVersion", "1"]);
        git(&stage.work, &["repack", "-adq"])
    }),
    ("line ends", |stage| {
        git(&stage.work, &["config", "core.autocrlf", "true"]);
        stage
            .work
            .commit(
                &[
                    (".gitattributes", "*.txt text eol=crlf\n*.id ident\n"),
                    ("i.id", "$Id$\n"),
                ],
                "attributes",
            )
            .to_string();
        git(&stage.work, &["rm", "-rq", "--cached", "."]);
        git(&stage.work, &["reset", "-q", "--hard"])
    }),
    ("hooks", |stage| {
        let hooks = stage.path().join("hooks");
        fs::create_dir(&hooks).unwrap();
        for name in ["pre-commit", "post-merge", "reference-transaction"] {
            fs::write(hooks.join(name), "#!/bin/sh\nexit 0\n").unwrap();
            fs::set_permissions(hooks.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        git(
            &stage.work,
            &["config", "core.hooksPath", hooks.to_str().unwrap()],
        )
    }),
    ("settings of a worktree", |stage| {
        git(&stage.work, &["config", "extensions.worktreeConfig", "true"]);
        let excludes = stage.path().join("excludes");
        fs::write(&excludes, "*.mine\n").unwrap();
        stage.work.write("a.mine", "ignored\n");
        let excludes = excludes.to_str().unwrap();
        git(
            &stage.work,
            &["config", "--worktree", "core.excludesFile", excludes],
        );
        stage.work.write(".git/info/exclude", "*.own\n");
        stage.work.write("mine.own", "ignored\n");
        stage.work.clone()
    }),
    ("files that git does not know", |stage| {
        stage.work.write("out/untracked", "u\n");
        stage.work.write("ignored.log", "i\n");
        symlink("not-there", stage.work.0.join("dangling")).unwrap();
        stage.work.clone()
    }),
    ("notes, stash, replaced", |stage| {
        git(&stage.work, &["notes", "add", "-m", "noted"]);
        stage.work.write("a.txt", "stashed\n");
        git(&stage.work, &["stash", "-q"]);
        stage.work.commit(&[], "two");
        git(&stage.work, &["replace", "HEAD", "HEAD~1"]);
        git(&stage.work, &["replace", "-d", "HEAD"])
    }),
    (NAMED, |stage| stage.work.clone()),
    (NAMED_APART, |stage| {
        let store = stage.path().join("store");
        git(
            &stage.work,
            &["init", "-q", "--separate-git-dir", store.to_str().unwrap()],
        )
    }),
    (NAMED_FROM_ELSEWHERE, |stage| stage.work.clone()),
    ("no sandbox", |stage| {
        let own = stage.path().join("home/.config/khlone");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("config.yml"), "sandbox: off\n").unwrap();
        stage.work.clone()
    }),
];

/// With `GIT_DIR` set, as `git --git-dir=DIR khlone` does.
const NAMED: &str = "named git folder";
const NAMED_APART: &str = "named git folder that lies apart";
const NAMED_FROM_ELSEWHERE: &str = "named from another folder";

/// Runs git in a work tree, and gives it back.
fn git(work: &Work, args: &[&str]) -> Work {
    work.git(args);
    work.clone()
}

/// A repository with a name for its commits.
fn named(work: &Work) -> Work {
    git(work, &["config", "user.name", "Ann"]);
    git(work, &["config", "user.email", "ann@example.com"])
}

fn clone(stage: &Stage, how: &[&str]) -> Work {
    let work = Work(stage.path().join("copy"));
    let places = [".", work.0.to_str().unwrap()];
    stage.work.git(&[&["clone", "-q"], how, &places].concat());
    named(&work)
}

/// Everything of the user's, by name.
#[derive(Clone, PartialEq)]
struct Seen(BTreeMap<String, Vec<u8>>);

impl Seen {
    fn of(work: &Work) -> Self {
        let mut seen = BTreeMap::new();
        files("checkout", &work.0, &mut seen, &|path| path == ".git");
        let common = work.git(&["rev-parse", "--path-format=absolute", "--git-common-dir"]);
        // Objects and what is git-khlone's own are judged by fsck; refs by their names, loose or packed.
        let ours = |path: &str| {
            let own = [
                "objects",
                "khlone",
                "refs",
                "packed-refs",
                "logs/refs/heads/khlone",
                "logs/refs/notes/khlone",
            ];
            let of_ours = ["worktrees/", "modules/"];
            own.iter()
                .any(|own| path == *own || path.starts_with(&format!("{own}/")))
                || path.starts_with("khlone")
                || of_ours[..1]
                    .iter()
                    .any(|folder| path.strip_prefix(folder).is_some_and(is_clones))
                || path
                    .strip_prefix(of_ours[1])
                    .is_some_and(|rest| rest.contains("/objects/"))
        };
        files("git", Path::new(&common), &mut seen, &ours);
        for line in work
            .git(&["for-each-ref", "--format=%(refname) %(objectname)"])
            .lines()
        {
            let (name, oid) = line.split_once(' ').unwrap();
            let ours = ["refs/khlone/", "refs/notes/khlone", "refs/heads/khlone/"];
            if !ours.iter().any(|ours| name.starts_with(ours)) {
                seen.insert(format!("ref {name}"), oid.into());
            }
        }
        Self(seen)
    }

    /// What differs, but for what `may`.
    fn differs(&self, other: &Self, may: impl Fn(&str) -> bool) -> Vec<String> {
        let names = self
            .0
            .keys()
            .chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        let differ = names.filter(|name| self.0.get(*name) != other.0.get(*name));
        differ.filter(|name| !may(name)).cloned().collect()
    }
}

/// Whether a worktree's folder in git is that of a clone.
fn is_clones(rest: &str) -> bool {
    rest.contains(".foreman.1")
}

fn files(what: &str, top: &Path, seen: &mut BTreeMap<String, Vec<u8>>, is_out: &impl Fn(&str) -> bool) {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(top.join(&folder)) else {
            continue;
        };
        for entry in entries {
            let path = folder.join(entry.unwrap().file_name());
            let name = path.to_string_lossy().into_owned();
            let Ok(data) = fs::symlink_metadata(top.join(&path)) else {
                continue;
            };
            if is_out(&name) {
                continue;
            }
            let mut bytes = format!("{:o} ", data.mode()).into_bytes();
            if data.is_dir() {
                folders.push(path);
                continue;
            } else if data.is_symlink() {
                bytes.extend(
                    fs::read_link(top.join(&path))
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes(),
                );
            } else {
                bytes.extend(fs::read(top.join(&path)).unwrap());
            }
            seen.insert(format!("{what} {name}"), bytes);
        }
    }
}

/// One shape on its way round.
pub(super) struct Round<'a> {
    pub(super) name: &'a str,
    pub(super) stage: &'a Stage,
    pub(super) work: Work,
    pub(super) zone: String,
}

impl Round<'_> {
    fn run(&self, args: &[&str]) -> Said {
        let elsewhere = self.stage.path().join("home");
        let dir = match self.name {
            NAMED_FROM_ELSEWHERE => &elsewhere,
            _ => &self.work.0,
        };
        let cmd = self.stage.cmd(dir, args);
        let git_dir = match self.name {
            NAMED | NAMED_FROM_ELSEWHERE => self.work.0.join(".git"),
            NAMED_APART => self.stage.path().join("store"),
            _ => return said(cmd),
        };
        said(cmd.env("GIT_DIR", git_dir))
    }

    fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, 0, "{} {args:?}: {}{}", self.name, said.out, said.err);
        said.out
    }

    /// Nothing of the user's has changed.
    fn same(&self, before: &Seen, when: &str) {
        let differs = before.differs(&Seen::of(&self.work), |_| false);
        assert!(
            differs.is_empty(),
            "{}: {when} has changed {differs:?}",
            self.name
        );
    }

    fn clone_is_clean(&self, when: &str) {
        let clone = Work(self.ok(&["path", "foreman.1"]).trim_end().into());
        assert_eq!(clone.status(), "", "{}: {when}", self.name);
    }

    /// Lands, and holds it against what `git merge --ff-only` does.
    fn land(&self, before: &Seen, dirty: &str) -> Seen {
        let branch = format!("refs/heads/{}", self.zone);
        let tip = self
            .work
            .git(&["rev-parse", &format!("refs/heads/khlone/{}/foreman.1", self.zone)]);
        self.ok(&["land", "foreman.1"]);
        let after = Seen::of(&self.work);
        assert_eq!(self.work.git(&["rev-parse", &branch]), tip, "{}", self.name);
        assert_eq!(self.work.status(), dirty, "{}", self.name);
        assert_eq!(
            self.work.read("in/n").as_deref().map(str::trim_end),
            Some("n"),
            "{}",
            self.name
        );
        let differs = before.differs(&after, |name| {
            let moved = [
                format!("ref {branch}"),
                "checkout in/n".to_owned(),
                "checkout a.txt".to_owned(),
            ];
            let logs = [format!("logs/{branch}"), "logs/HEAD".to_owned()];
            moved.iter().any(|moved| moved == name)
                || name.starts_with("git") && logs.iter().any(|log| name.ends_with(log))
                || name.starts_with("git") && (name.ends_with("index") || name.contains("sharedindex."))
        });
        assert!(differs.is_empty(), "{}: land has changed {differs:?}", self.name);
        let log = self.work.git(&["reflog", "show", "--format=%H", &branch, "--"]);
        assert_eq!(log.lines().next(), Some(tip.as_str()), "{}", self.name);
        after
    }

    pub(super) fn go(&self) {
        let before = Seen::of(&self.work);
        let dirty = self.work.status();
        let script = "mkdir -p in; echo n > in/n; echo more >> a.txt";
        self.ok(&["act", "--who", "@shell", "--await", "-m", script]);
        self.same(&before, "act");
        self.clone_is_clean("after act");
        self.ok(&[
            "ask",
            "--who",
            "foreman.1",
            "--await",
            "-m",
            "git log --format=%s -1; cat a.txt",
        ]);
        self.same(&before, "ask");
        assert_eq!(
            self.ok(&["diff", "--name-only", "foreman.1"]),
            "a.txt\nin/n\n",
            "{}",
            self.name
        );
        for verb in [[].as_slice(), &["show"], &["doctor"]] {
            self.run(verb);
        }
        self.same(&before, "looking");
        let mut landed = self.land(&before, &dirty);
        if self.run(&["undo"]).code == 0 {
            let back = before.differs(&Seen::of(&self.work), |name| {
                name.contains("logs/") || name.ends_with("index") || name.contains("sharedindex.")
            });
            assert!(back.is_empty(), "{}: undo of land left {back:?}", self.name);
            assert_eq!(self.work.status(), dirty, "{}", self.name);
            landed = self.land(&before, &dirty);
        }
        self.same(&landed, "undo");
        self.ok(&["zone", "remove", "--force", &self.zone]);
        self.same(&landed, "zone remove");
        self.ok(&["undo"]);
        self.same(&landed, "undo");
        self.clone_is_clean("after undo");
        self.ok(&["gc"]);
        self.ok(&["fsck"]);
        self.same(&landed, "gc and fsck");
        self.work.git(&["fsck", "--strict", "--no-dangling"]);
        self.ok(&["daemon", "stop"]);
    }
}

/// What each begins with.
pub(super) const FILES: [(&str, &str); 5] = [
    ("a.txt", "a\n"),
    (".gitignore", "*.log\n"),
    ("in/x", "x\n"),
    ("out/y", "y\n"),
    ("out/z", "z\n"),
];

/// Every third shape goes round, from the first that is named.
fn go_round(from: usize) {
    for (name, shape) in SHAPES.iter().skip(from).step_by(3) {
        let stage = Stage::with(&FILES);
        let work = shape(&stage);
        // The first look of git itself may write the index anew.
        work.git(&["status"]);
        let zone = work.git(&["branch", "--show-current"]);
        let round = Round {
            name,
            stage: &stage,
            work,
            zone,
        };
        round.go();
    }
}

#[test]
fn every_kind_of_repository_goes_round_first_part() {
    go_round(0);
}

#[test]
fn every_kind_of_repository_goes_round_second_part() {
    go_round(1);
}

#[test]
fn every_kind_of_repository_goes_round_third_part() {
    go_round(2);
}
