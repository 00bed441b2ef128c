//! Does a wrapper run in the sandbox? Asked before anything is queued, and only of programs that are shell scripts: what
//! they start may lie where the sandbox shows nothing, and nobody can tell that from outside. One that ran is not asked
//! again until it is changed.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    brain::{Brain, BrainError},
    guard::sandbox::{
        Confinement, Network,
        environment::{Environment, Wanted},
    },
    process::{file::replace, temp},
};

/// How long a wrapper may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the sandbox is, and what the user shows in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) bwrap: &'a Path,
    pub(super) home: &'a Path,
    /// `readable` of the configuration.
    pub(super) readable: &'a [PathBuf],
    /// `KHLONE_HOME/cache`.
    pub(super) cache: &'a Path,
    /// The user's own configuration.
    pub(super) config: &'a Path,
}

impl Trial<'_> {
    /// Refuses a wrapper around what the sandbox does not show.
    ///
    /// # Errors
    /// [`BrainError::Hidden`]. A trial that cannot be held refuses nothing.
    pub(super) fn require(&self, brain: &dyn Brain, program: &Path) -> Result<(), BrainError> {
        if !is_wrapper(program) {
            return Ok(());
        }
        let (known, stamp) = (
            self.cache.join(format!("{}-wrapper", brain.name())),
            self.stamp(program),
        );
        if fs::read_to_string(&known).ok() == stamp && stamp.is_some() {
            return Ok(());
        }
        let Ok(missing) = self.hold(brain, program) else {
            return Ok(());
        };
        if let Some(said) = missing {
            let shown = said.split(['\'', '"', ' ', ':']).map(Path::new);
            let mut hidden = shown.filter(|path| path.is_absolute() && *path != program && path.exists());
            return Err(BrainError::Hidden {
                name: brain.name(),
                program: program.to_owned(),
                add: hidden.next_back().map(folder_of),
                config: self.config.to_owned(),
                said,
            });
        }
        if let Some(stamp) = stamp
            && let Err(error) =
                fs::create_dir_all(self.cache).and_then(|()| replace(&known, stamp.as_bytes()))
        {
            tracing::debug!(%error, "the wrapper is asked again next time");
        }
        Ok(())
    }

    /// Runs it in the sandbox; what it says where it finds no program.
    fn hold(&self, brain: &dyn Brain, program: &Path) -> std::io::Result<Option<String>> {
        let work_dir = temp::dir()?;
        let names = brain.env_names(&|name| std::env::var_os(name));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let wanted = Wanted {
            brain: &names,
            configured: &[],
            caches: None,
            set: &[],
        };
        let confinement = Confinement {
            bwrap: Some(self.bwrap.to_owned()),
            work_dir: work_dir.path().to_owned(),
            folder: None,
            writes: false,
            git: None,
            home: self.home.to_owned(),
            tmp: None,
            writable: Vec::new(),
            read_only: self.readable.to_vec(),
            hidden: Vec::new(),
            env: Environment::build(std::env::vars_os(), &wanted).vars,
            network: Network::None,
            profile: None,
            own_program: None,
        };
        let mut argv = vec![program.as_os_str().to_owned()];
        argv.extend(brain.account().version.iter().map(Into::into));
        let done = confinement.run(&argv, PATIENCE);
        let done = done.map_err(std::io::Error::other)?;
        // So a shell tells that there is no such program, or that it may not be run.
        if !matches!(done.status.code(), Some(126 | 127)) {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        Ok(Some(last.unwrap_or("it finds no program").trim().to_owned()))
    }

    /// What tells that nothing has changed since it ran.
    fn stamp(&self, program: &Path) -> Option<String> {
        let text = fs::read_to_string(program).ok()?;
        Some(format!("{}\n{:?}\n{text}", program.display(), self.readable))
    }
}

/// Whether a program is a shell script.
fn is_wrapper(program: &Path) -> bool {
    let mut head = [0; 64];
    let read = fs::File::open(program).and_then(|mut file| file.read(&mut head));
    let head = String::from_utf8_lossy(&head[..read.unwrap_or(0)]).into_owned();
    let first = head.lines().next().and_then(|line| line.strip_prefix("#!"));
    first.is_some_and(|line| line.trim_end().ends_with("sh") || line.contains("sh -"))
}

/// What to show of a program: the folder around its `bin`, else the one it lies in.
fn folder_of(program: &Path) -> PathBuf {
    let folder = program.parent().unwrap_or(program);
    let above = folder.parent().filter(|_| folder.ends_with("bin"));
    above.unwrap_or(folder).to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{brain, guard::sandbox::tier::Probe, task::Explain};

    #[test]
    fn a_wrapper_around_what_is_not_shown_is_refused_until_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let cache = root.join("cache");
        let Some(bwrap) = Probe::run(&cache).bwrap else {
            return;
        };
        // The temporary folder is covered, as a home is.
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let inner = write("tools/npm/bin/codex", "#!/bin/sh\necho 1.2.3\n");
        let wrapper = write(
            "wrap/codex",
            &format!("#!/bin/sh\nexec {} \"$@\"\n", inner.display()),
        );
        let config = root.join("config.yml");
        let codex = brain::find(&"codex".parse().unwrap()).unwrap();
        let trial = |readable: &[PathBuf]| {
            let trial = Trial {
                bwrap: &bwrap,
                home: &root,
                readable,
                cache: &cache,
                config: &config,
            };
            trial.require(codex, &wrapper)
        };
        let refused = trial(&[]).unwrap_err();
        let hint = refused.hint().unwrap();
        assert!(
            hint.contains(&format!("readable: [{}]", root.join("tools/npm").display())),
            "{hint}"
        );
        assert_eq!(refused.class().exit_code(), 5, "{refused}");
        assert_eq!(trial(&[root.join("tools/npm")]), Ok(()));
        fs::remove_file(&inner).unwrap();
        assert_eq!(trial(&[root.join("tools/npm")]), Ok(()), "it is not asked again");
        assert!(!is_wrapper(&write("node", "#!/usr/bin/env node\n")));
        assert!(is_wrapper(&write("bash", "#!/usr/bin/env bash\n")));
    }
}
