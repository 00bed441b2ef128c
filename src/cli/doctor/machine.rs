//! What `doctor` finds of this machine, wherever it is asked.

use std::path::Path;

use crate::{
    config::{Config, Notify, Paths},
    process::{Cmd, memory},
    render::view::Finding,
    render::{bytes, counted},
    task::Explain,
    zone::require_khlone_home,
};

/// The oldest git that is supported.
const OLDEST_GIT: (u32, u32) = (2, 40);

/// The version of the git that is used; none where none runs.
pub(super) fn git_version() -> Option<String> {
    let said = Cmd::new("git").arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Some(said.strip_prefix("git version ").unwrap_or(&said).to_owned())
}

/// What stands in the way on this machine.
pub(super) fn findings(
    paths: &Paths,
    config: &Config,
    (git, git_config): (Option<&str>, Option<&git2::Config>),
) -> Vec<Finding> {
    let all = [
        homeless(paths),
        old_git(git),
        crowded(paths, config),
        git_config.and_then(nameless),
        mute(paths, config),
    ];
    all.into_iter().flatten().collect()
}

/// What would refuse every task here, whatever it is.
pub(super) fn homeless(paths: &Paths) -> Option<Finding> {
    let error = require_khlone_home(paths).err()?;
    Some(Finding {
        what: error.to_string(),
        next: error.hint().unwrap_or_default(),
    })
}

fn old_git(version: Option<&str>) -> Option<Finding> {
    let (major, minor) = OLDEST_GIT;
    let what = match version {
        None => "git does not run".to_owned(),
        Some(version) if is_old(version) => format!("git {version} is older than {major}.{minor}"),
        Some(_) => return None,
    };
    let next = "git --version    # a newer one: https://git-scm.com/downloads".to_owned();
    Some(Finding { what, next })
}

/// Whether a version is known to be too old.
fn is_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST_GIT,
        _ => false,
    }
}

/// More tasks at once than the machine's memory is good for.
fn crowded(paths: &Paths, config: &Config) -> Option<Finding> {
    let running = config.limits.running.get();
    let total = memory()?;
    let fitting = fitting(total);
    (running > fitting).then(|| Finding {
        what: format!(
            "limits.running is {running}, and this machine has {} of memory: enough for {} at once",
            bytes(total),
            counted(fitting as usize, "brain")
        ),
        next: format!("limits: {{running: {fitting}}}    in {}", paths.config.display()),
    })
}

/// How many brains `memory` is good for: half of it, at 512 MiB each.
fn fitting(memory: u64) -> u32 {
    u32::try_from(memory >> 30).unwrap_or(u32::MAX).max(1)
}

/// git has nobody to put into commits.
fn nameless(config: &git2::Config) -> Option<Finding> {
    let missing = |key: &&str| config.get_string(key).map_or(true, |value| value.is_empty());
    let lacks: Vec<_> = ["user.name", "user.email"].into_iter().filter(missing).collect();
    let key = lacks.first()?;
    let example = if *key == "user.name" {
        "'Your Name'"
    } else {
        "you@example.com"
    };
    Some(Finding {
        what: format!(
            "git does not know who you are ({}); commits of clones would have no author",
            lacks.join(", ")
        ),
        next: format!("git config --global {key} {example}"),
    })
}

/// Messages that nothing shows.
fn mute(paths: &Paths, config: &Config) -> Option<Finding> {
    let program = match config.notify.as_ref()? {
        Notify::Desktop(_) => "notify-send",
        Notify::Command(words) => words.first()?.as_str(),
    };
    (!is_found(program)).then(|| Finding {
        what: format!("`notify` is set, and {program} is not installed: nothing will tell you"),
        next: match config.notify {
            Some(Notify::Desktop(_)) => "sudo apt-get install libnotify-bin".to_owned(),
            _ => format!("command -v {program}    # `notify` in {}", paths.config.display()),
        },
    })
}

fn is_found(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::{fitting, is_old};

    #[test]
    fn half_of_the_memory_is_for_brains() {
        let all = [1 << 28, 1 << 30, 4 << 30, 64 << 30].map(fitting);
        assert_eq!(all, [1, 1, 4, 64]);
    }

    #[test]
    fn only_a_version_that_is_known_to_be_old_is_old() {
        let old = ["2.39.5", "1.99", "2.40.0", "2.47.1.windows.1", "3.0", "next", ""].map(is_old);
        assert_eq!(old, [true, true, false, false, false, false, false]);
    }
}
