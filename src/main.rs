//! The `git-khlone` binary; `git khlone VERB` is the same program.

fn main() {}
