//! Tests that drive the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod brains;
mod guard;
mod landing;
mod layers;
mod model_server;
mod scratch;
mod worktree_life;
