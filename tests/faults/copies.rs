//! A second user of the same objects: whatever one repository does, the other's files stay as they are to the byte.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use git_khlone::process::{Cmd, Finished};

use crate::{
    rig::{BOUND, Rig, program},
    tools::has,
};

/// Ways by which a copy shares files or objects with its original.
const WAYS: [&str; 3] = [
    "git clone -q repo copy",
    "git clone -q --shared repo copy",
    "cp -al repo copy",
];

/// Content, rights and time of each file below `dir`.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>, u32, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            found.extend(files(&path));
        } else if data.is_file() {
            let mode = data.permissions().mode();
            found.push((
                path.clone(),
                fs::read(&path).unwrap(),
                mode,
                data.modified().unwrap(),
            ));
        }
    }
    found.sort();
    found
}

/// The program in one of the two repositories.
struct User<'a> {
    rig: &'a Rig,
    dir: PathBuf,
}

impl User<'_> {
    fn run(&self, args: &[&str]) -> Finished {
        let cmd = Cmd::new(program())
            .only_env(self.rig.env())
            .dir(&self.dir)
            .args(args);
        cmd.patience(BOUND).finish().unwrap()
    }

    fn ok(&self, way: &str, args: &[&str]) {
        let done = self.run(args);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.success(),
            "{way}: {args:?}: {said}\n{}",
            self.rig.log()
        );
    }

    /// A day's loop: tasks, landings, a collection.
    fn work(&self, way: &str, key: &str) {
        for n in 0..3 {
            let script = format!("echo {key} {n} >> {key}.txt");
            self.ok(way, &["act", "--who", "@shell", "--await", "-m", &script]);
            self.ok(way, &["land"]);
        }
        self.ok(way, &["gc"]);
        self.ok(way, &["daemon", "stop"]);
    }

    /// The same, with the daemon left as it is, and what is told of a repository on the way.
    fn work_on(&self, way: &str) {
        for n in 0..2 {
            let script =
                format!("echo on {n} >> on.txt; git add on.txt; git commit -qm on; echo more > more{n}.txt");
            self.ok(way, &["act", "--who", "foreman.1", "--await", "-m", &script]);
            self.ok(way, &["status"]);
            self.ok(way, &["land"]);
        }
    }

    fn is_whole(&self, way: &str) {
        for args in [
            &["fsck", "--strict", "--full", "--no-dangling"][..],
            &["rev-list", "--objects", "--all", "--quiet"],
            &["gc", "-q", "--prune=now"],
            &["fsck", "--strict", "--full", "--no-dangling"],
        ] {
            let git = Cmd::new("git").only_env(self.rig.env()).dir(&self.dir).args(args);
            let done = git.patience(BOUND).finish().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(
                done.status.success(),
                "{way}: {}: {args:?}: {said}",
                self.dir.display()
            );
        }
    }
}

#[test]
fn a_copy_and_its_original_leave_each_other_alone() {
    for way in WAYS {
        let rig = Rig::new();
        let user = |name: &str| User {
            rig: &rig,
            dir: rig.path().join(name),
        };
        let (original, copy) = (user("repo"), user("copy"));
        original.work(way, "before");
        rig.sh(way);
        let before = files(&original.dir);
        copy.work(way, "copy");
        let after = files(&original.dir);
        let differs = before.iter().zip(&after).find(|(before, after)| before != after);
        assert!(
            before == after,
            "{way}: the copy's work reached the original: {:?}",
            differs.map(|(before, _)| &before.0)
        );
        let before = files(&copy.dir);
        original.work(way, "original");
        let after = files(&copy.dir);
        let differs = before.iter().zip(&after).find(|(before, after)| before != after);
        assert!(
            before == after,
            "{way}: the original's work reached the copy: {:?}",
            differs.map(|(before, _)| &before.0)
        );
        original.is_whole(way);
        copy.is_whole(way);
        original.work(way, "again");
    }
}

/// How a backup or a copy comes to share inodes, of files that nothing of the product has opened since.
const LINKS: [&str; 2] = [
    "cp -al repo copy",
    "rsync -a --link-dest=\"$PWD/repo\" repo/ copy/",
];

#[test]
fn a_copy_that_is_never_used_stays_as_it_was_made() {
    for way in LINKS {
        for daemon in ["stopped", "running"] {
            if way.starts_with("rsync") && !has("rsync") {
                continue;
            }
            let rig = Rig::new();
            let user = |name: &str| User {
                rig: &rig,
                dir: rig.path().join(name),
            };
            let (original, copy) = (user("repo"), user("copy"));
            original.work(way, "before");
            if daemon == "running" {
                original.work_on(way);
            }
            rig.sh(way);
            let before = files(&copy.dir);
            original.work_on(way);
            original.work(way, "after");
            let after = files(&copy.dir);
            let differs = before.iter().zip(&after).find(|(before, after)| before != after);
            assert!(
                before == after,
                "{way}, {daemon}: the original's work reached the copy: {:?}",
                differs.map(|(before, _)| &before.0)
            );
            original.is_whole(way);
            copy.is_whole(way);
        }
    }
}
