//! What has tasks go on after the machine was started anew: every site of this user with open tasks gets its daemon, by
//! hand or by a unit of the user's systemd.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    error::{CliError, CmdError, printed},
    install::put,
};
use crate::{
    config::Paths,
    daemon::{self, Place, Woken},
    process::{Cmd, machine_id},
    refs::{Ledger, Repo, Site},
    render::{
        Out,
        view::{StartedList, StartedSite, UnitView},
    },
    zone::sites,
};

/// The name of the unit.
const UNIT: &str = "git-khlone.service";

/// Starts the daemon of every site that has open tasks.
pub(super) fn start_all(out: Out) -> Result<(), CmdError> {
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    let folder = paths.khlone_home.join("sites");
    let known = sites::list(&folder).map_err(|source| CliError::Io {
        what: folder.display().to_string(),
        source,
    })?;
    let mut started = Vec::new();
    for site in known {
        let path = site.path.display().to_string();
        // One that cannot be opened keeps no other from its tasks.
        let found = start(&site.path).unwrap_or_else(|error| {
            out.note(&format!("warning: {path}: {error}"));
            None
        });
        let Some(woken) = found else { continue };
        let (Woken::Running { pid } | Woken::Started { pid }) = woken;
        let already_running = matches!(woken, Woken::Running { .. });
        out.done(&if already_running {
            format!("{path}: a daemon runs already, pid {pid}")
        } else {
            format!("{path}: daemon started, pid {pid}")
        });
        started.push(StartedSite {
            path,
            pid,
            already_running,
        });
    }
    if started.is_empty() {
        out.note("no repository of this machine has open tasks");
    }
    printed(out.answer(&StartedList { sites: started }))?;
    Ok(())
}

/// Starts the daemon of the site at `path`, if it has tasks that are not over.
fn start(path: &Path) -> Result<Option<Woken>, CmdError> {
    let repo = Repo::discover(path)?;
    let site = Site::open(&repo, &machine_id())?;
    let open = Ledger::new(&repo, &site).open_heads()?;
    if !open.iter().any(|head| head.site_uuid == site.owner().site_uuid) {
        return Ok(None);
    }
    Ok(Some(daemon::wake(&Place::new(site.common_dir())?)?))
}

/// Puts the unit where the user's systemd looks for it, and has it started with the user's session.
pub(super) fn install(out: Out) -> Result<(), CmdError> {
    let path = unit_path()?;
    let text = unit(&program()?, |name| std::env::var(name).ok())?;
    put(&path, text.as_bytes(), "daemon install")?;
    out.done(&format!("{}", path.display()));
    if systemctl(&["daemon-reload"])
        .and_then(|()| systemctl(&["enable", UNIT]))
        .is_err()
    {
        out.note("  systemd of this user does not answer here; in a session of theirs:");
        out.note(&format!(
            "  systemctl --user daemon-reload && systemctl --user enable {UNIT}"
        ));
    }
    if !is_lingering() {
        out.note("note: it starts when you log in; to start it with the machine: loginctl enable-linger");
    }
    printed(out.answer(&UnitView::of(&path, true)))?;
    Ok(())
}

/// Takes the unit away again.
pub(super) fn uninstall(out: Out) -> Result<(), CmdError> {
    let path = unit_path()?;
    let was_there = path.exists();
    if was_there {
        // Its link goes by this; where systemd does not answer it leads nowhere, which is no harm.
        drop(systemctl(&["disable", UNIT]));
        fs::remove_file(&path).map_err(|source| CliError::Io {
            what: path.display().to_string(),
            source,
        })?;
        drop(systemctl(&["daemon-reload"]));
    }
    out.done(&if was_there {
        format!("{} removed", path.display())
    } else {
        "no unit was installed".to_owned()
    });
    printed(out.answer(&UnitView::of(&path, false)))?;
    Ok(())
}

fn unit_path() -> Result<PathBuf, CmdError> {
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    Ok(paths.config_home.join("systemd/user").join(UNIT))
}

/// This program, as the unit is to find it.
fn program() -> Result<PathBuf, CliError> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize());
    own.map_err(|source| CliError::Io {
        what: "this program's own file".to_owned(),
        source,
    })
}

/// The unit: it starts daemons, which go on without it, each until it has nothing more to do (systemd.service(5)).
fn unit(program: &Path, var: impl Fn(&str) -> Option<String>) -> Result<String, CliError> {
    let program = program.to_str().filter(|path| !path.contains(char::is_control));
    let program = program.ok_or_else(|| {
        CliError::refused(
            "the path of this program has characters that a unit cannot name",
            "cargo install --locked --path .    # to a folder with a plain name",
        )
    })?;
    // A session's own PATH leads to the brains; systemd has a shorter one.
    let kept = ["PATH", "KHLONE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"];
    let settings = kept.into_iter().filter_map(|name| Some((name, var(name)?)));
    let environment: String = settings
        .filter(|(_, value)| !value.contains(char::is_control))
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    let program = quoted(program).replace('$', "$$");
    Ok(format!(
        "[Unit]\n\
         Description=Go on with the tasks of git-khlone\n\
         Documentation=man:git-khlone-daemon(1)\n\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         KillMode=process\n\
         {environment}\
         ExecStart={program} daemon start --all\n\n\
         [Install]\n\
         WantedBy=default.target\n"
    ))
}

/// A word of a unit: in quotes, and without specifiers.
fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{word}\"")
}

fn systemctl(words: &[&str]) -> io::Result<()> {
    let done = Cmd::new("systemctl").arg("--user").args(words).output();
    done.map(drop).map_err(io::Error::other)
}

/// Whether the user's systemd runs without a session of theirs.
fn is_lingering() -> bool {
    let name = std::env::var_os("USER").or_else(|| std::env::var_os("LOGNAME"));
    name.is_some_and(|name| Path::new("/var/lib/systemd/linger").join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_names_the_program_whatever_its_path() {
        let text = unit(Path::new("/home/a b/50% \"x\" $y/git-khlone"), |name| {
            (name == "PATH").then(|| "/bin:/opt/my tools".to_owned())
        });
        let text = text.unwrap();
        assert!(
            text.contains("ExecStart=\"/home/a b/50%% \\\"x\\\" $$y/git-khlone\" daemon start --all\n"),
            "{text}"
        );
        assert!(
            text.contains("Environment=\"PATH=/bin:/opt/my tools\"\n"),
            "{text}"
        );
        assert!(!text.contains("KHLONE_HOME"), "{text}");
        unit(Path::new("/a\nb"), |_| None).unwrap_err();
    }
}
