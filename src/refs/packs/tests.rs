use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use git2::Oid;

use super::*;
use crate::{
    process::Cmd,
    refs::{Kind, ObjectSink, Pack, tests::scratch, update_ref},
};

/// Packs `text` as a blob that the ref `name` names.
fn put(repo: &Repo, site: &Site, name: &str, old: Option<Oid>, text: &str) -> Oid {
    let mut pack = Pack::begin(site).unwrap();
    let blob = pack.put(Kind::Blob, text.as_bytes()).unwrap();
    pack.publish().unwrap();
    update_ref(repo, name, old, blob).unwrap();
    blob
}

/// `count` states of one task, one after the other; gives all of them, the last one named.
fn states(repo: &Repo, site: &Site, count: usize) -> Vec<Oid> {
    let mut all: Vec<Oid> = Vec::new();
    for i in 0..count {
        let text = format!("state {i}\n");
        all.push(put(
            repo,
            site,
            "refs/khlone/tasks/t-x",
            all.last().copied(),
            &text,
        ));
    }
    all
}

fn git(repo: &Repo) -> Cmd {
    Cmd::git(repo.common_dir())
}

fn has(repo: &Repo, oid: Oid) -> bool {
    git(repo)
        .args(["cat-file", "-e", &oid.to_string()])
        .output()
        .is_ok()
}

fn is_whole(repo: &Repo) {
    git(repo).args(["fsck", "--strict", "--full"]).output().unwrap();
}

/// The packs of a repository by name, each with whether it is kept.
fn packs(repo: &Repo) -> Vec<(String, bool)> {
    let dir = repo.common_dir().join("objects/pack");
    let mut found: Vec<_> = files(&dir)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "pack"))
        .map(|path| {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            (stem, path.with_extension("keep").exists())
        })
        .collect();
    found.sort();
    found
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// Content and time of each file below `dir`.
fn bytes(dir: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let mut found = Vec::new();
    for path in files(dir) {
        if path.is_dir() {
            found.extend(bytes(&path));
        } else {
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            found.push((path.clone(), fs::read(&path).unwrap(), time));
        }
    }
    found.sort();
    found
}

fn link_copy(from: &Path, to: &Path) {
    Cmd::new("cp").args(["-al"]).arg(from).arg(to).output().unwrap();
}

#[test]
fn packs_become_one_and_the_rest_is_gits() {
    let (_dir, repo, site) = scratch();
    let states = states(&repo, &site, 5);
    assert_eq!(packs(&repo).len(), 5);
    assert!(!compact(&repo, &site, 5).unwrap());
    assert!(compact(&repo, &site, 4).unwrap());
    let kept: Vec<bool> = packs(&repo).into_iter().map(|(_, kept)| kept).collect();
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 1);
    assert_eq!(kept.len(), 2);
    assert!(states.iter().all(|oid| has(&repo, *oid)), "nothing was deleted");
    git(&repo).args(["gc", "-q", "--prune=now"]).output().unwrap();
    let there: Vec<bool> = states.iter().map(|oid| has(&repo, *oid)).collect();
    assert_eq!(there, [false, false, false, false, true]);
    is_whole(&repo);
    assert!(!compact(&repo, &site, 1).unwrap(), "git took the rest");
    let before = packs(&repo);
    compact_all(&repo, &site).unwrap();
    assert_eq!(packs(&repo), before);
}

#[test]
fn what_only_the_users_history_needs_outlives_every_gc() {
    let (_dir, repo, site) = scratch();
    let ours = put(&repo, &site, "refs/khlone/tasks/t-x", None, "ours\n");
    // The content of a file of the user's, too, and nothing of ours names it any more.
    let theirs = put(&repo, &site, "refs/tags/theirs", None, "theirs\n");
    for round in 0..3 {
        put(
            &repo,
            &site,
            &format!("refs/khlone/tasks/t-{round}"),
            None,
            &format!("{round}\n"),
        );
        compact(&repo, &site, 1).unwrap();
        git(&repo).args(["gc", "-q", "--prune=now"]).output().unwrap();
        assert!(has(&repo, ours) && has(&repo, theirs));
    }
    is_whole(&repo);
}

#[test]
fn a_pack_whose_ref_has_not_moved_yet_is_left_alone() {
    let (_dir, repo, site) = scratch();
    states(&repo, &site, 4);
    let mut pack = Pack::begin(&site).unwrap();
    let blob = pack.put(Kind::Blob, b"on its way\n").unwrap();
    let stem = pack.publish().unwrap().unwrap();
    assert!(compact(&repo, &site, 1).unwrap());
    git(&repo).args(["gc", "-q", "--prune=now"]).output().unwrap();
    assert!(packs(&repo).contains(&(stem.clone(), true)));
    update_ref(&repo, "refs/khlone/tasks/t-y", None, blob).unwrap();
    drop(pack);
    assert!(compact(&repo, &site, 1).unwrap());
    assert!(!packs(&repo).iter().any(|(name, _)| *name == stem));
    assert!(has(&repo, blob));
}

#[test]
fn the_pack_of_a_killed_writer_is_joined_once_no_writer_is_at_work() {
    let (_dir, repo, site) = scratch();
    states(&repo, &site, 2);
    let mut pack = Pack::begin(&site).unwrap();
    pack.put(Kind::Blob, b"never named\n").unwrap();
    let stem = pack.publish().unwrap().unwrap();
    let record = Record::open(&site).unwrap();
    drop(pack);
    // As it stands after a kill: begun, and never settled.
    record.forget(&stem).unwrap();
    record.begin(&stem).unwrap();
    record.begin(&format!("pack-{}", "0".repeat(40))).unwrap();
    let writer = Pack::begin(&site).unwrap();
    compact(&repo, &site, 1).unwrap();
    assert!(
        packs(&repo).contains(&(stem.clone(), true)),
        "perhaps its writer's"
    );
    drop(writer);
    compact(&repo, &site, 1).unwrap();
    assert!(!packs(&repo).contains(&(stem, true)));
    assert_eq!(files(&site.layout().packs()).len(), packs(&repo).len());
}

#[test]
fn a_hard_linked_copy_and_its_original_leave_each_other_alone() {
    let (dir, repo, site) = scratch();
    states(&repo, &site, 6);
    let place = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    let copy = place.path().join("copy");
    link_copy(dir.path(), &copy);
    let before = bytes(&dir.path().join(".git"));
    let (other, theirs) = {
        let repo = Repo::discover(&copy).unwrap();
        let site = Site::open(&repo, "test-machine").unwrap();
        (repo, site)
    };
    put(&other, &theirs, "refs/khlone/tasks/t-copy", None, "in the copy\n");
    compact_all(&other, &theirs).unwrap();
    assert_eq!(before, bytes(&dir.path().join(".git")));
    let mine = packs(&other).into_iter().filter(|(_, kept)| *kept).count();
    assert_eq!(mine, 7, "what came along stays, and one is the copy's own");
    // The other way round.
    let before = bytes(&copy.join(".git"));
    compact_all(&repo, &site).unwrap();
    assert_eq!(before, bytes(&copy.join(".git")));
    is_whole(&repo);
    is_whole(&other);
}

#[test]
fn a_local_clone_and_its_original_leave_each_other_alone() {
    let (dir, repo, site) = scratch();
    states(&repo, &site, 6);
    let place = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    let copy = place.path().join("copy");
    Cmd::new("git")
        .args(["clone", "-q"])
        .arg(dir.path())
        .arg(&copy)
        .output()
        .unwrap();
    let before = bytes(&dir.path().join(".git/objects"));
    let other = Repo::discover(&copy).unwrap();
    let theirs = Site::open(&other, "test-machine").unwrap();
    for round in 0..3 {
        put(
            &other,
            &theirs,
            &format!("refs/khlone/tasks/t-{round}"),
            None,
            &format!("{round}\n"),
        );
    }
    compact_all(&other, &theirs).unwrap();
    assert_eq!(before, bytes(&dir.path().join(".git/objects")));
    assert_eq!(kept_size(&theirs).unwrap().0, 1);
    let before = bytes(&copy.join(".git/objects"));
    compact_all(&repo, &site).unwrap();
    assert_eq!(before, bytes(&copy.join(".git/objects")));
    is_whole(&repo);
    is_whole(&other);
}

#[test]
fn a_pack_that_the_record_does_not_have_is_nobodys() {
    let (_dir, repo, site) = scratch();
    states(&repo, &site, 3);
    let record = Record::open(&site).unwrap();
    // Brought back by a backup, with our word in its `.keep`.
    let (restored, _) = packs(&repo).remove(0);
    record.forget(&restored).unwrap();
    // Named by our record, but kept by somebody else's word by now.
    let (taken, _) = packs(&repo).remove(1);
    let keep = record.pack_dir().join(&taken).with_extension("keep");
    fs::write(keep, "mine\n").unwrap();
    compact_all(&repo, &site).unwrap();
    let left = packs(&repo);
    assert!(left.contains(&(restored, true)) && left.contains(&(taken, true)));
}

#[test]
fn a_multi_pack_index_is_written_again_before_its_packs_go() {
    for bitmap in [false, true] {
        let (_dir, repo, site) = scratch();
        git(&repo).args(["repack", "-adq"]).output().unwrap();
        states(&repo, &site, 4);
        let write = git(&repo).args(["multi-pack-index", "write"]);
        let write = if bitmap { write.arg("--bitmap") } else { write };
        write.output().unwrap();
        compact_all(&repo, &site).unwrap();
        assert_eq!(kept_size(&site).unwrap().0, 1);
        let there = files(&repo.common_dir().join("objects/pack"));
        let named = |name: &str, end: &str| {
            there.iter().any(|path| {
                let file = path.file_name().unwrap().to_string_lossy();
                file.starts_with(name) && file.ends_with(end)
            })
        };
        assert!(named("multi-pack-index", ""), "it is the user's");
        assert_eq!(named("multi-pack-index-", ".bitmap"), bitmap);
        git(&repo).args(["multi-pack-index", "verify"]).output().unwrap();
        is_whole(&repo);
    }
}

#[test]
fn a_multi_pack_index_that_names_packs_that_are_gone_is_mended() {
    let (_dir, repo, site) = scratch();
    git(&repo).args(["repack", "-adq"]).output().unwrap();
    states(&repo, &site, 4);
    git(&repo).args(["multi-pack-index", "write"]).output().unwrap();
    let index = repo.common_dir().join("objects/pack/multi-pack-index");
    let stale = fs::read(&index).unwrap();
    compact_all(&repo, &site).unwrap();
    // What a writer leaves that had listed the packs before they went.
    fs::remove_file(&index).unwrap();
    fs::write(&index, stale).unwrap();
    assert!(git(&repo).args(["multi-pack-index", "verify"]).output().is_err());
    // Too few packs to join, all the same.
    assert!(!compact(&repo, &site, 24).unwrap());
    git(&repo).args(["multi-pack-index", "verify"]).output().unwrap();
    is_whole(&repo);
}

#[test]
fn a_pack_that_has_to_stay_is_handed_to_git() {
    let (_dir, repo, site) = scratch();
    states(&repo, &site, 3);
    put(&repo, &site, "refs/khlone/tasks/t-y", None, "another\n");
    // A chain of indexes, whose layers git does not write again.
    fs::create_dir(repo.common_dir().join("objects/pack/multi-pack-index.d")).unwrap();
    compact_all(&repo, &site).unwrap();
    let kept = packs(&repo).into_iter().filter(|(_, kept)| *kept).count();
    assert_eq!((packs(&repo).len(), kept), (6, 1));
    assert_eq!(kept_size(&site).unwrap().0, 1);
}

#[test]
fn an_index_of_version_1_is_read() {
    let (_dir, repo, site) = scratch();
    let all = states(&repo, &site, 3);
    for (stem, _) in packs(&repo) {
        let pack = repo
            .common_dir()
            .join("objects/pack")
            .join(stem)
            .with_extension("pack");
        fs::remove_file(pack.with_extension("idx")).unwrap();
        git(&repo)
            .args(["index-pack", "--index-version=1"])
            .arg(pack)
            .output()
            .unwrap();
    }
    compact_all(&repo, &site).unwrap();
    assert!(all.iter().all(|oid| has(&repo, *oid)));
    is_whole(&repo);
}

#[test]
fn packs_of_an_earlier_version_are_taken_over_once() {
    let (dir, repo, site) = scratch();
    let all = states(&repo, &site, 5);
    let words = [
        "git-khlone\n",
        "git-remain\n",
        "git-doomed\n",
        "git-khlone import\n",
    ];
    let record = Record::open(&site).unwrap();
    let stems: Vec<String> = packs(&repo).into_iter().map(|(stem, _)| stem).collect();
    for (stem, word) in stems.iter().zip(words) {
        let keep = record.pack_dir().join(stem).with_extension("keep");
        fs::remove_file(&keep).unwrap();
        fs::write(keep, word).unwrap();
    }
    // One that another repository shares.
    let shared = record.pack_dir().join(&stems[0]).with_extension("keep");
    fs::hard_link(shared, dir.path().join("elsewhere")).unwrap();
    // One that was given to git, and is to be joined.
    let given = &stems[4];
    fs::remove_file(record.pack_dir().join(given).with_extension("keep")).unwrap();
    fs::write(site.layout().remainder(), format!("\n{given}\n../../evil\n")).unwrap();
    fs::remove_dir_all(site.layout().packs()).unwrap();
    assert_eq!(kept_size(&site).unwrap().0, 3, "and one that is not kept");
    compact_all(&repo, &site).unwrap();
    assert!(packs(&repo).contains(&(stems[0].clone(), true)));
    assert!(all.iter().all(|oid| has(&repo, *oid)));
    is_whole(&repo);
}

#[test]
fn a_purged_object_is_gone_from_every_pack_of_ours() {
    let (_dir, repo, site) = scratch();
    let all = states(&repo, &site, 4);
    git(&repo).args(["multi-pack-index", "write"]).output().unwrap();
    let doomed: BTreeSet<Oid> = all.iter().copied().collect();
    let purged = purge(&repo, &site, &doomed, &BTreeSet::new()).unwrap();
    assert_eq!((purged.gone, purged.left), (3, BTreeSet::from([all[3]])));
    assert!(!has(&repo, all[0]) && has(&repo, all[3]));
    is_whole(&repo);
}

#[test]
fn a_repository_that_was_moved_takes_its_packs_over() {
    let (dir, repo, site) = scratch();
    let all = states(&repo, &site, 3);
    let place = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    let moved = place.path().join("moved");
    Cmd::new("cp")
        .arg("-a")
        .arg(dir.path())
        .arg(&moved)
        .output()
        .unwrap();
    let repo = Repo::discover(&moved).unwrap();
    let site = Site::open(&repo, "test-machine").unwrap();
    assert_eq!(kept_size(&site).unwrap().0, 0);
    adopt_packs(&site).unwrap();
    assert_eq!(kept_size(&site).unwrap().0, 3);
    compact_all(&repo, &site).unwrap();
    assert!(all.iter().all(|oid| has(&repo, *oid)));
    is_whole(&repo);
}

/// What `git repack -a -d` does: it lists the packs without a `.keep`, and deletes those, whatever has come since.
fn listed_by_git(repo: &Repo) -> impl FnOnce() + use<> {
    let dir = repo.common_dir().join("objects/pack");
    let listed: Vec<_> = packs(repo).into_iter().filter(|(_, kept)| !kept).collect();
    assert!(!listed.is_empty());
    move || {
        for (stem, _) in listed {
            for end in ["pack", "idx", "rev"] {
                drop(fs::remove_file(dir.join(&stem).with_extension(end)));
            }
        }
    }
}

#[test]
fn a_pack_that_git_is_about_to_delete_never_comes_back_under_its_name() {
    let (dir, repo, site) = scratch();
    let import = || {
        let from = tempfile::tempdir_in(dir.path()).unwrap();
        let mut pack = Pack::unkept(from.path().to_owned(), from.path().to_owned()).unwrap();
        let blob = pack.put(Kind::Blob, b"the same\n").unwrap();
        let made = pack.publish().unwrap().unwrap();
        let kept = KeptPack::install(&site, from.path(), &made).unwrap();
        (blob, kept)
    };
    import().1.release().unwrap();
    let delete = listed_by_git(&repo);
    let (blob, kept) = import();
    update_ref(&repo, "refs/khlone/pins/x", None, blob).unwrap();
    kept.release().unwrap();
    delete();
    assert!(has(&repo, blob), "imported");

    // A ledger's, that was forgotten and is written again.
    put(&repo, &site, "refs/khlone/undo/1", None, "the same again\n");
    let of_git = |stem: &str| {
        let keep = repo.common_dir().join("objects/pack").join(stem);
        fs::remove_file(keep.with_extension("keep")).unwrap();
    };
    packs(&repo)
        .iter()
        .filter(|(_, kept)| *kept)
        .for_each(|(stem, _)| of_git(stem));
    let delete = listed_by_git(&repo);
    let blob = put(&repo, &site, "refs/khlone/undo/2", None, "the same again\n");
    delete();
    assert!(has(&repo, blob), "written");
}

#[test]
fn what_a_join_hands_to_git_is_not_what_git_is_about_to_delete() {
    let (_dir, repo, site) = scratch();
    let all = states(&repo, &site, 4);
    compact_all(&repo, &site).unwrap();
    let delete = listed_by_git(&repo);
    compact_all(&repo, &site).unwrap();
    delete();
    assert!(all.iter().all(|oid| has(&repo, *oid)));
    is_whole(&repo);
}
