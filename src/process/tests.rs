//! Children that end, overstay, and say much.

use super::*;

#[test]
fn output_is_bounded_and_a_part_is_never_taken_for_the_whole() {
    let zeros = || Cmd::new("sh").args(["-c", "head -c 100000 /dev/zero"]);
    let part = zeros().capture(10).finish().unwrap();
    assert_eq!((part.stdout.len(), part.is_cut), (10, true));
    let whole = zeros().capture(100_000).finish().unwrap();
    assert_eq!((whole.stdout.len(), whole.is_cut), (100_000, false));
    let error = zeros().capture(10).output().unwrap_err();
    assert!(
        matches!(error, ProcessError::TooLong { capture: 10, .. }),
        "{error}"
    );
}

#[test]
fn late_children_die_whatever_they_do_with_their_streams() {
    for script in [
        "sleep 60",
        "exec >&- 2>&-; sleep 60",
        "exec >/dev/null; sleep 60",
        "exec 2>&-; sleep 60",
    ] {
        let began = Instant::now();
        let late = Cmd::new("sh")
            .args(["-c", script])
            .patience(Duration::from_millis(50));
        assert!(
            matches!(late.finish(), Err(ProcessError::Timeout { .. })),
            "{script}"
        );
        let off = Arc::new(AtomicBool::new(true));
        let called_off = Cmd::new("sh").args(["-c", script]).unless(off);
        assert!(
            matches!(called_off.finish(), Err(ProcessError::Timeout { .. })),
            "{script}"
        );
        assert!(began.elapsed() < Duration::from_secs(30), "{script}");
    }
}

#[test]
fn a_child_that_closes_its_streams_early_is_waited_for() {
    let done = Cmd::new("sh")
        .args(["-c", "exec >&- 2>&-; sleep 0.2; exit 7"])
        .finish()
        .unwrap();
    assert_eq!(done.status.code(), Some(7));
}

#[test]
fn failure_tells_what_the_child_said() {
    let error = Cmd::new("sh")
        .args(["-c", "echo no >&2; exit 3"])
        .output()
        .unwrap_err();
    assert!(error.to_string().contains("no"), "{error}");
}
