//! Whatever git's own maintenance makes of our packs, and we of its files, the repository stays whole.

use git_khlone::process::Cmd;

use crate::daemon::site::{BOUND, Site};

/// What a user, or a timer of git's, does between our collections.
const MAINTENANCE: [&[&str]; 7] = [
    &["multi-pack-index", "write"],
    &["repack", "-adq", "--write-midx", "--write-bitmap-index"],
    &["gc", "-q", "--cruft", "--prune=never"],
    &["repack", "-dq", "--geometric=2", "--write-midx"],
    &["commit-graph", "write", "--reachable", "--split"],
    &["multi-pack-index", "repack", "--batch-size=0"],
    &["gc", "-q", "--prune=now"],
];

impl Site {
    fn act_and_land(&self, n: usize) {
        // One more commit that only a pin keeps, and what is left over of it.
        let script = format!(
            "echo {n} > file{n}; git add .; git commit -qm x; git commit -q --amend -m {n}; echo {n} > more"
        );
        self.done("@shell", &script);
        self.run(&["land", "foreman.1"]);
    }

    /// As if it were tomorrow, as far as files tell.
    fn a_day_passes(&self) {
        let folders = ["objects", "khlone/packs"].map(|name| self.common().join(name));
        let touch = ["-type", "f", "-exec", "touch", "-d", "1 day ago", "{}", "+"];
        Cmd::new("find").args(folders).args(touch).output().unwrap();
    }

    fn is_whole(&self, after: &[&str]) {
        let git = |args: &[&str]| {
            let git = Cmd::new("git").dir(&self.work.0).args(args).patience(BOUND);
            let done = git.finish().unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "{args:?} after {after:?}: {said}");
        };
        git(&["fsck", "--strict", "--no-dangling"]);
        git(&["commit-graph", "verify"]);
        git(&["rev-list", "--all", "--objects", "--use-bitmap-index", "--count"]);
        if self.common().join("objects/pack/multi-pack-index").exists() {
            git(&["multi-pack-index", "verify"]);
        }
        self.run(&["fsck"]);
    }
}

#[test]
fn maintenance_of_gits_and_collections_of_ours_take_nothing_from_each_other() {
    let site = Site::new();
    (0..3).for_each(|n| site.act_and_land(n));
    for (n, maintenance) in (3..).zip(MAINTENANCE) {
        site.work.git(maintenance);
        site.run(&["gc"]);
        site.is_whole(maintenance);
        site.a_day_passes();
        site.act_and_land(n);
        site.run(&["gc"]);
        site.is_whole(maintenance);
    }
    // A copy gets all of it, too.
    let copy = site.path().join("copy");
    site.work.git(&["clone", "-q", ".", copy.to_str().unwrap()]);
    Cmd::new("git")
        .dir(&copy)
        .args(["fsck", "--strict", "--no-dangling"])
        .output()
        .unwrap();
}
