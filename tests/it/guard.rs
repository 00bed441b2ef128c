//! The sandbox, the private git folder and the way home, with real bubblewrap and real git.
//!
//! Where bubblewrap does not work these tests are skipped: T0 has nothing to prove here.

use std::{ffi::OsString, fs, os::fd::AsFd, path::PathBuf, process::Stdio, time::Duration};

use git_khlone::{
    guard::{
        gitdir::{
            HostGit, PrivateGit,
            commit::{CommitPlan, Committed, Identity, commit},
            import::{Imported, import, rebuild_index},
            privaterefs::{HeadState, Sequencer},
        },
        sandbox::{Confinement, Network, Streams, tier::Probe},
    },
    process::Finished,
    refs::{Repo, Site},
};

use crate::{
    scratch::{Scratch, Work},
    tools,
};

pub(crate) mod attacks;
mod caches;

/// A repository, a worktree of it, and all that confines a brain in it.
pub(crate) struct Stage {
    pub(crate) scratch: Scratch,
    pub(crate) main: Work,
    pub(crate) tree: Work,
    pub(crate) private: PrivateGit,
    pub(crate) confinement: Confinement,
}

impl Stage {
    /// `None` where there is no T2.
    pub(crate) fn new() -> Option<Self> {
        let scratch = Scratch::new();
        let root = scratch.path();
        let Some(bwrap) = Probe::run(&root.join("cache")).bwrap else {
            tools::skip("bubblewrap does not work here");
            return None;
        };
        let main = scratch.repo("main repo", &[("a.txt", "one\n"), (".gitignore", "*.log\n")]);
        main.git(&[
            "worktree",
            "add",
            "-q",
            "--no-track",
            "-b",
            "khlone/main/foreman.1",
            "../wt",
        ]);
        let tree = Work(root.join("wt"));
        let common = main.0.join(".git");
        let private = PrivateGit::at(common.join("khlone/gitdirs/main.foreman.1"));
        for folder in ["home", "tmp", "run"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        let home = root.join("home");
        let confinement = Confinement {
            bwrap: Some(bwrap),
            work_dir: tree.0.clone(),
            folder: None,
            writes: true,
            git: Some(private.view(&common)),
            home: home.clone(),
            tmp: Some(root.join("tmp")),
            writable: Vec::new(),
            read_only: Vec::new(),
            hidden: vec![root.join("run")],
            env: vec![("PATH".into(), path), ("HOME".into(), home.into())],
            network: Network::Open,
            profile: None,
            own_program: Some(env!("CARGO_BIN_EXE_git-khlone").into()),
        };
        let stage = Self {
            scratch,
            main,
            tree,
            private,
            confinement,
        };
        stage.prepare();
        Some(stage)
    }

    pub(crate) fn common(&self) -> PathBuf {
        self.main.0.join(".git")
    }

    pub(crate) fn site(&self) -> Site {
        let repo = Repo::open(&self.common()).unwrap();
        Site::open(&repo, "test-machine").unwrap()
    }

    pub(crate) fn admin(&self) -> PathBuf {
        self.common().join("worktrees/wt")
    }

    pub(crate) fn prepare(&self) {
        let host = HostGit {
            common: &self.common(),
            admin: &self.admin(),
            home: &self.scratch.path().join("home"),
        };
        self.private.prepare(host).unwrap();
    }

    /// Runs a script as a brain would and gives what came of it.
    pub(crate) fn inside(&self, script: &str) -> Finished {
        let argv = ["sh", "-c", script].map(OsString::from);
        self.confinement.run(&argv, Duration::from_secs(60)).unwrap()
    }

    /// Runs a script that must succeed and gives its output.
    pub(crate) fn brain(&self, script: &str) -> String {
        let done = self.inside(script);
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    pub(crate) fn import(&self) -> Imported {
        import(&self.private, &self.site(), &self.confinement, None).unwrap()
    }

    /// What the runner does after a run: the branch moves, the index follows, the pack is released.
    pub(crate) fn come_home(&self) -> Imported {
        let mut home = self.import();
        if let HeadState::Branch(name, Some(oid)) = &home.head {
            let old = self.main.tip(name);
            self.main.git(&["update-ref", name, &oid.to_string()]);
            let checkout = git_khlone::worktree::checkout::Checkout {
                git_dir: self.admin(),
                path: self.tree.0.clone(),
            };
            rebuild_index(&self.main.0.join(".git"), &checkout, (old, *oid)).unwrap();
        }
        for (name, change) in &home.refs {
            self.main.git(&[
                "update-ref",
                &format!("refs/khlone/pins/t/{}", name.replace('/', "-")),
                &change.new.to_string(),
            ]);
        }
        for (n, oid) in home.stash.iter().chain(&home.passed).enumerate() {
            self.main.git(&[
                "update-ref",
                &format!("refs/khlone/pins/t/passed-{n}"),
                &oid.to_string(),
            ]);
        }
        if let Some(pack) = home.pack.take() {
            pack.release().unwrap();
        }
        self.main.git(&["fsck", "--strict"]);
        home
    }
}

#[test]
fn everyday_git_works_inside_and_comes_home() {
    let Some(stage) = Stage::new() else { return };
    stage.brain(
        "set -e; git status --porcelain; echo two >> a.txt; git add -A; git commit -qm two
         git switch -qc topic; echo t > t; git add t; git commit -qm t; git switch -q -; git merge -q --no-ff --no-edit topic
         echo s >> a.txt; git stash -q; echo s2 >> a.txt; git stash -q; git tag v1; git tag -a -m ann v2
         git notes add -m note; echo three > three; git add three; git commit -qm three; git commit -q --amend -m amended
         git rebase -q HEAD~1; git gc -q; git log --oneline main.. | wc -l",
    );
    let home = stage.come_home();
    let HeadState::Branch(name, Some(tip)) = &home.head else {
        panic!("{:?}", home.head)
    };
    assert_eq!(name, "refs/heads/khlone/main/foreman.1");
    assert_eq!(stage.tree.git(&["rev-parse", "HEAD"]), tip.to_string());
    assert_eq!(stage.tree.git(&["status", "--porcelain"]), "");
    assert_eq!(stage.tree.git(&["log", "-1", "--format=%s"]), "amended");
    let names: Vec<_> = home.refs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "refs/heads/khlone/main/foreman.1",
            "refs/heads/topic",
            "refs/notes/commits",
            "refs/tags/v1",
            "refs/tags/v2"
        ]
    );
    assert_eq!(home.stash.len(), 2);
    assert_eq!(home.sequencer, None);
    let three = home
        .passed
        .iter()
        .any(|oid| stage.main.git(&["log", "-1", "--format=%s", &oid.to_string()]) == "three");
    assert!(three, "the amended commit came home too");

    // A second task sees all of it, and brings nothing home when it does nothing.
    stage.prepare();
    assert_eq!(
        stage.brain("git status --porcelain; git stash list | wc -l; git branch --list topic"),
        "2\n  topic"
    );
    let again = stage.import();
    assert!(again.pack.is_none() && again.refs.is_empty(), "{again:?}");
}

#[test]
fn the_hosts_own_changes_arrive_before_a_task() {
    let Some(stage) = Stage::new() else { return };
    stage.main.commit(&[("b.txt", "b\n")], "on main");
    stage.main.git(&["tag", "-a", "-m", "x", "from-host"]);
    stage
        .tree
        .commit(&[("c.txt", "c\n")], "by the user in the worktree");
    stage.tree.write("staged", "s");
    stage.tree.git(&["add", "staged"]);
    fs::write(stage.common().join("info/exclude"), "secret.env\n").unwrap();
    fs::create_dir_all(stage.scratch.path().join("home/.config/git")).unwrap();
    fs::write(stage.scratch.path().join("home/.config/git/ignore"), "*.swp\n").unwrap();
    stage.tree.write("secret.env", "k");
    stage.tree.write("x.swp", "k");
    stage.prepare();
    // What a person has staged is there, and theirs to commit.
    assert_eq!(stage.brain("git status --porcelain"), "?? staged");
    assert_eq!(
        stage.brain("git log -1 --format=%s; git log -1 --format=%s main; git describe main"),
        "by the user in the worktree\non main\nfrom-host"
    );
    assert_eq!(stage.brain("git config user.name"), "Ann");
}

#[test]
fn an_unfinished_rebase_is_told_and_nothing_is_committed() {
    let Some(stage) = Stage::new() else { return };
    stage.brain("echo x > a.txt; git commit -qam x; git switch -qc other HEAD~1; echo y > a.txt; git commit -qam y; ! git rebase -q khlone/main/foreman.1 2>/dev/null");
    let plan = CommitPlan {
        paths: vec![b"a.txt".to_vec()],
        links: Vec::new(),
        message: "m".into(),
        author: Identity::ours(),
        committer: Identity::ours(),
    };
    let scratch = tempfile::tempdir().unwrap();
    let done = commit(
        &stage.confinement,
        &stage.private.git_dir(),
        scratch.path(),
        &plan,
    )
    .unwrap();
    assert_eq!(done, Committed::Conflicted);
    let home = stage.come_home();
    assert_eq!(home.sequencer, Some(Sequencer::Rebase));
    assert!(matches!(home.head, HeadState::Detached(_)));
    assert!(home.refs.contains_key("refs/heads/other"));
    // The next task starts clean of it.
    stage.prepare();
    assert_eq!(
        stage.brain("git status | head -1; git rev-parse --verify -q REBASE_HEAD || echo none"),
        "On branch khlone/main/foreman.1\nnone"
    );
}

#[test]
fn the_commit_takes_what_is_listed_and_filters_apply() {
    let Some(stage) = Stage::new() else { return };
    stage.main.git(&["config", "filter.up.clean", "tr a-z A-Z"]);
    stage.prepare();
    stage.brain(
        "set -e; echo '*.up filter=up' > .gitattributes; echo low > x.up; printf 'n' > 'new
line'; echo no > not; git add not; rm a.txt; mkdir .git2; mkdir hooks; mkdir -p \"$(git rev-parse --git-dir)/hooks\"
         printf '#!/bin/sh\\nexit 1\\n' > \"$(git rev-parse --git-dir)/hooks/pre-commit\"; chmod +x \"$(git rev-parse --git-dir)/hooks/pre-commit\"",
    );
    let paths = [
        &b".gitattributes"[..],
        b"x.up",
        b"new\nline",
        b"a.txt",
        b"never/was",
    ]
    .map(<[u8]>::to_vec);
    let plan = CommitPlan {
        paths: paths.to_vec(),
        links: Vec::new(),
        message: "subject\n\nbody\n".into(),
        author: Identity::ours(),
        committer: Identity::ours(),
    };
    let scratch = tempfile::tempdir().unwrap();
    let go = || {
        commit(
            &stage.confinement,
            &stage.private.git_dir(),
            scratch.path(),
            &plan,
        )
        .unwrap()
    };
    assert_eq!(go(), Committed::Made);
    assert_eq!(go(), Committed::Nothing);
    stage.come_home();
    assert_eq!(stage.tree.git(&["show", "HEAD:x.up"]), "LOW");
    assert_eq!(
        stage.tree.git(&[
            "-c",
            "core.quotepath=on",
            "show",
            "--name-status",
            "--format=%s|%cn|%an",
            "HEAD"
        ]),
        "subject|git-khlone|git-khlone\n\nA\t.gitattributes\nD\ta.txt\nA\t\"new\\nline\"\nA\tx.up"
    );
    assert_eq!(stage.tree.git(&["status", "--porcelain"]), "?? not");
}

#[test]
fn sparse_shallow_and_borrowed_repositories_work() {
    let Some(stage) = Stage::new() else { return };
    stage.tree.commit(&[("in/x", "x"), ("out/y", "y")], "folders");
    stage.tree.git(&["sparse-checkout", "set", "in"]);
    stage.prepare();
    assert_eq!(
        stage.brain("git status --porcelain; echo z > in/z; git add in/z; git commit -qm z; ls"),
        "a.txt\nin"
    );
    stage.come_home();
    assert_eq!(stage.tree.git(&["status", "--porcelain"]), "");
    assert_eq!(
        stage.tree.git(&["ls-tree", "-r", "--name-only", "HEAD"]),
        ".gitignore\na.txt\nin/x\nin/z\nout/y"
    );
}

#[test]
fn an_ask_changes_nothing() {
    let Some(mut stage) = Stage::new() else { return };
    stage.confinement.writes = false;
    stage.confinement.network = Network::None;
    let done = stage.inside("git status --porcelain; echo x > a.txt; git commit -q --allow-empty -m x; echo y > y; touch .git/x; cat a.txt; grep -c : /proc/net/dev");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "one\n1\n");
    assert!(stage.import().refs.is_empty());
}

#[test]
fn the_brain_itself_is_signalled_and_nothing_survives() {
    let Some(stage) = Stage::new() else { return };
    let lock_path = stage.scratch.path().join("lock");
    let lock = fs::File::create(&lock_path).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let mark = stage.scratch.path().display().to_string();
    let mut confinement = stage.confinement.clone();
    confinement
        .env
        .push(("KHLONE_TEST_MARK".into(), mark.clone().into()));
    // Nothing is forked once it is up: dash forgets a signal that comes while it does.
    let script = "trap 'echo bye; exit 3' INT; (setsid sh -c 'trap \"\" INT TERM HUP; while :; do sleep 1; done' &) ; sleep 600 & echo up; wait";
    let argv = ["sh", "-c", script].map(OsString::from);
    let streams = Streams {
        stdin: Stdio::null(),
        stdout: Stdio::piped(),
        stderr: Stdio::null(),
        lock: Some(lock.as_fd()),
    };
    let mut running = confinement.start(&argv, streams).unwrap();
    drop(lock);
    let mut out = std::io::BufReader::new(running.child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "up\n");
    let other = fs::File::open(&lock_path).unwrap();
    assert!(
        rustix::fs::flock(&other, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err(),
        "held by the sandbox"
    );
    let brain = running.brain().unwrap();
    assert!(
        fs::read(format!("/proc/{}/cmdline", brain.as_raw_nonzero()))
            .unwrap()
            .starts_with(b"sh\0-c\0trap")
    );
    assert!(running.signal(rustix::process::Signal::INT));
    line.clear();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "bye\n");
    let status = running.wait(Duration::from_secs(10)).unwrap().unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(
        git_khlone::guard::sandbox::survivors::marked("KHLONE_TEST_MARK", &mark),
        []
    );
    assert!(rustix::fs::flock(&other, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok());
}

#[test]
fn without_a_sandbox_daemons_are_found_by_the_tasks_mark() {
    let scratch = Scratch::new();
    let path = std::env::var_os("PATH").unwrap();
    let mark = scratch.path().display().to_string();
    let confinement = Confinement {
        bwrap: None,
        work_dir: scratch.path(),
        folder: None,
        writes: true,
        git: None,
        home: scratch.path(),
        tmp: None,
        writable: Vec::new(),
        read_only: Vec::new(),
        hidden: Vec::new(),
        env: vec![("PATH".into(), path), ("KHLONE_TASK".into(), mark.clone().into())],
        network: Network::Open,
        profile: None,
        own_program: None,
    };
    let script = "mkfifo p; setsid sh -c 'echo up; trap \"\" TERM HUP; sleep 100 & sleep 100' >p 2>&1 </dev/null & head -n1 p";
    let streams = Streams {
        stdin: Stdio::null(),
        stdout: Stdio::null(),
        stderr: Stdio::null(),
        lock: None,
    };
    let argv = ["sh", "-c", script].map(OsString::from);
    let mut running = confinement.start(&argv, streams).unwrap();
    assert_eq!(
        running.brain().map(|pid| pid.as_raw_nonzero().get()),
        i32::try_from(running.child.id()).ok()
    );
    assert!(running.wait(Duration::from_secs(20)).unwrap().unwrap().success());
    assert_eq!(
        git_khlone::guard::sandbox::survivors::marked("KHLONE_TASK", &mark),
        []
    );
}
