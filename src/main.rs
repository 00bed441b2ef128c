//! The `git-khlone` binary; `git khlone VERB` is the same program.

fn main() -> std::process::ExitCode {
    git_khlone::cli::main()
}
