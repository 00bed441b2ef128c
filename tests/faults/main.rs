//! Faults injected over the whole life of a task, and one oracle that looks at what is left.
//!
//! Three layers: named points in the program (`KHLONE_FAULT`), system calls (`strace --inject`), and processes killed
//! at random. The short form runs in `cargo test`; the long one injects at least so many faults:
//!
//!     KHLONE_FAULTS=2000 KHLONE_SEED=7 cargo test --locked --test faults -- --nocapture wherever_the_fault

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod again;
mod churn;
mod copies;
mod full;
mod inject;
mod long_day;
mod oracle;
mod power;
mod resources;
mod rig;
#[allow(dead_code, reason = "shared with the other tests, which use more of it")]
#[path = "../it/scratch.rs"]
mod scratch;
mod sweep;
#[allow(dead_code, reason = "shared with the other tests, which use more of it")]
#[path = "../it/tools.rs"]
mod tools;
mod transitions;
mod twice;
mod verbs;
