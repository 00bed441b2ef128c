//! Tests that drive the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod bounds;
mod brains;
mod circles;
mod completions;
mod config_page;
mod confinement;
mod daemon;
mod deb;
mod disk;
mod docs;
mod documents;
mod elsewhere;
mod first_hour;
mod fsck;
mod gc;
mod gc_beside;
mod guard;
mod hostile_config;
mod io_told;
mod land_often;
mod land_words;
mod landed;
mod landing;
mod layers;
mod licences;
mod machine_config;
mod main_job;
mod model_server;
mod needs;
mod packs;
mod pipeline;
mod places;
mod planted;
mod policy;
mod queries;
mod reading;
mod readme;
mod recovery;
mod schema;
mod scratch;
mod secrets;
mod security;
mod shapes;
mod sites;
mod stage;
mod status;
mod terminal;
mod tier;
mod tools;
mod trust;
mod uninstall;
mod upgrade;
mod watch;
mod watched;
mod worktree_life;
mod zone_life;
