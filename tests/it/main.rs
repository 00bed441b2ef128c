//! Tests that drive the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod landing;
mod scratch;
mod worktree_life;
