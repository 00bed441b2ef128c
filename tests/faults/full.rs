//! A disk that becomes full under a brain: its task waits, says so, and goes on by itself once there is room.

use git_khlone::process::Cmd;

use crate::{
    rig::{BOUND, program},
    tools::{has, skip},
};

/// On a file system of its own, which only this script sees.
const SCRIPT: &str = r#"
    mount -t tmpfs -o size=12m tmpfs "$1" || exit 77
    cd "$1"; export HOME="$2" XDG_RUNTIME_DIR="$2" KHLONE_IDLE=5
    git init -q -b main repo; cd repo
    git config user.name Ann; git config user.email ann@example.com
    echo a > a.txt; git add -A; git commit -qm first
    K="$0"
    id=$("$K" act --who @shell 'echo work > work.txt; until [ -e go ]; do sleep 0.1; done; echo more > more.txt')
    until tree=$("$K" path foreman.1 2>/dev/null) && [ -e "$tree/work.txt" ]; do sleep 0.1; done
    touch "$tree/go.not"; head -c 20m /dev/zero > ../ballast 2>/dev/null
    mv "$tree/go.not" "$tree/go"
    sleep 8
    echo "full $(git for-each-ref --format='%(contents:subject)' refs/khlone/tasks/$id)"
    rm ../ballast
    "$K" daemon start 2>/dev/null
    "$K" await $id --timeout 100 2>&1; echo "code $?"
    "$K" show $id
    "$K" daemon stop 2>/dev/null
    "$K" fsck; git fsck --strict 2>&1 || echo broken
"#;

#[test]
fn a_task_on_a_full_disk_goes_on_once_there_is_room() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = Cmd::new("unshare")
        .args(["-rm", "sh", "-uc", SCRIPT])
        .arg(program())
        .arg(dir.path())
        .arg(home.path())
        .dir("/")
        .patience(BOUND * 4)
        .finish();
    let Ok(run) = run else {
        assert!(!has("util-linux"), "unshare did not run");
        return;
    };
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(77) || said.contains("unshare:") {
        skip("no file system can be mounted here");
        return;
    }
    assert!(said.contains("full ") && !said.contains("full failed"), "{said}");
    assert!(said.contains("code 0") && said.contains(": whole"), "{said}");
    assert!(!said.contains("broken"), "{said}");
}

/// The folder in which all daemons of a user share their limits: full, then read-only, then with room again. A runner
/// that could not be written down there runs all the same, and once.
const LIMITS: &str = r#"
    mkdir -p "$2/.khlone/limits"; mount -t tmpfs -o size=16k tmpfs "$2/.khlone/limits" || exit 77
    cd "$1"; export HOME="$2" XDG_RUNTIME_DIR="$2" KHLONE_IDLE=60
    git init -q -b main repo; cd repo
    git config user.name Ann; git config user.email ann@example.com
    echo a > a.txt; git add -A; git commit -qm first
    K="$0"; L="$2/.khlone/limits"; ids=""
    one() { id=$("$K" act --who "$1" "echo $2 >> $2" 2>/dev/null); ids="$ids $id"; "$K" await $id --timeout 60 >/dev/null 2>&1; }
    one @shell before
    head -c 64k /dev/zero > "$L/ballast" 2>/dev/null; one foreman.1 full; one @shell++ full2
    id=$("$K" act --who foreman.1 'echo readonly >> readonly; until [ -e go ]; do sleep 0.1; done' 2>/dev/null); ids="$ids $id"
    ids="$ids $("$K" act --who foreman.1 'echo next >> next' 2>/dev/null)"
    until tree=$("$K" path foreman.1) && [ -e "$tree/readonly" ]; do sleep 0.1; done
    mount -o remount,ro "$L"; touch "$tree/go"; "$K" await $ids --timeout 60 >/dev/null 2>&1
    mount -o remount,rw "$L"; rm "$L/ballast"; one foreman.1 after
    for id in $ids; do echo "$(git for-each-ref --format='%(contents:subject)' refs/khlone/tasks/$id) at $("$K" show $id | grep ^attempt)"; done
    for file in before full readonly next after; do echo "$file $(git show khlone/main/foreman.1:$file | wc -l)"; done
    echo "told $(grep -c 'limits are not shared' .git/khlone/daemon.log)"
    cat "$L/running.json"
    "$K" daemon stop 2>/dev/null
    "$K" fsck
"#;

#[test]
fn a_runner_that_cannot_be_written_down_for_other_sites_runs_once() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = Cmd::new("unshare").args(["-rm", "sh", "-uc", LIMITS]);
    let run = run.arg(program()).arg(dir.path()).arg(home.path());
    let Ok(run) = run.dir("/").patience(BOUND * 4).finish() else {
        assert!(!has("util-linux"), "unshare did not run");
        return;
    };
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(77) || said.contains("unshare:") {
        skip("no file system can be mounted here");
        return;
    }
    assert_eq!(said.matches("done: act").count(), 6, "{said}");
    assert_eq!(said.matches("at attempt  1 ").count(), 6, "{said}");
    for file in ["before", "full", "readonly", "next", "after"] {
        assert!(said.contains(&format!("{file} 1\n")), "{said}");
    }
    assert!(!said.contains("told 0"), "{said}");
    assert!(said.contains("\"leases\":") && said.contains(": whole"), "{said}");
}
