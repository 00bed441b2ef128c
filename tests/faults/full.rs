//! A disk that becomes full under a brain: its task waits, says so, and goes on by itself once there is room.

use git_khlone::process::Cmd;

use crate::{
    rig::{BOUND, program},
    tools::has,
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
        assert!(!has("unshare"), "unshare did not run");
        return;
    };
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(77) || said.contains("unshare:") {
        drop(std::io::Write::write_all(
            &mut std::io::stderr(),
            b"full disk: skipped, no file system can be mounted here\n",
        ));
        return;
    }
    assert!(said.contains("full ") && !said.contains("full failed"), "{said}");
    assert!(said.contains("code 0") && said.contains(": whole"), "{said}");
    assert!(!said.contains("broken"), "{said}");
}
