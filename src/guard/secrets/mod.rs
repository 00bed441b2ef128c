//! What a brain or a command prints, made safe to keep and show: no secrets, no terminal commands.

pub mod cleaner;
pub mod credentials;
pub mod redact;
pub mod sanitise;
mod shapes;
