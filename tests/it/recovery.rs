//! What happens to a task when something dies, and the verbs by which a person has a say in it.

mod between;
mod checkpoints;
mod copies;
pub(crate) mod deaths;
mod locks;
mod lost;
mod states;
mod verbs;
