//! Named points before, in and after each durable step, at which a test can kill this very process.
//!
//! `KHLONE_FAULT=7` kills at the seventh point that is passed, after saying which on stderr, `KHLONE_FAULT='branch refs/'`
//! at the first whose text begins so; `KHLONE_FAULT=all` says all that are passed and kills nobody. `KHLONE_PANIC` has
//! the thread panic at the first whose text begins so. Only builds with debug assertions have them, which is what tests
//! drive; in a release build a point is nothing.

#[cfg(debug_assertions)]
use std::{
    io::Write,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

#[cfg(debug_assertions)]
static SET: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("KHLONE_FAULT").ok());
#[cfg(debug_assertions)]
static PANIC: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("KHLONE_PANIC").ok());
#[cfg(debug_assertions)]
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Passes the point `name` of a step on `what`.
#[cfg(debug_assertions)]
pub fn point(name: &str, what: &str) {
    if let Some(begin) = PANIC.as_deref() {
        let text = format!("{name} {what}");
        assert!(!text.starts_with(begin), "as KHLONE_PANIC says, at {text}");
    }
    let Some(set) = SET.as_deref() else { return };
    let (passed, text) = (
        PASSED.fetch_add(1, Ordering::Relaxed) + 1,
        format!("{name} {what}"),
    );
    let is_last = match set.parse::<u64>() {
        Ok(n) => n == passed,
        Err(_) => text.starts_with(set),
    };
    if is_last || set == "all" {
        drop(writeln!(std::io::stderr(), "fault: {text}"));
    }
    if !is_last {
        return;
    }
    let _dead = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Passes the point `name` of a step on `what`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &str, _what: &str) {}
