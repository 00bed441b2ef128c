//! How a clone's work comes into its zone, and the zone's into the clone.

pub mod advance;
pub mod landing;
pub mod merge;
pub mod merged;
pub mod update;
