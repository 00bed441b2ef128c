//! What all daemons of a user on this machine share: places to run, and providers that are at their limit.
//!
//! Two small documents under `KHLONE_HOME/limits`, changed under one flock. A place is leased to a process by pid
//! and start time, so the kernel itself ends the lease of a killed holder: whoever counts next drops it. Losing
//! the folder loses no task; at worst a few more run at once, or ask a provider too early.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use fs4::FileExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    process::ProcessId,
    task::{BrainName, FORMAT, TaskId, parse_versioned},
};

/// The machine's shared limits.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    dir: PathBuf,
}

/// `running.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Places {
    format: u32,
    leases: Vec<Lease>,
}

/// One attempt under way on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    process: ProcessId,
    site: PathBuf,
    task: TaskId,
}

/// `providers.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Providers {
    format: u32,
    /// Until when a brain's provider is left alone, seconds since the epoch.
    parked: BTreeMap<BrainName, i64>,
}

impl Machine {
    /// The limits under `khlone_home`, made if need be.
    pub(crate) fn new(khlone_home: &Path) -> io::Result<Self> {
        let dir = khlone_home.join("limits");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// Starts a process in one of `most` places: `start` gives it and its pid. `None` if all are taken.
    pub(crate) fn start<T>(
        &self,
        most: usize,
        (site, task): (&Path, &TaskId),
        start: impl FnOnce() -> io::Result<(T, u32)>,
    ) -> io::Result<Option<T>> {
        let _lock = self.lock()?;
        let mut places = self.read("running.json")?.unwrap_or(Places {
            format: FORMAT,
            leases: Vec::new(),
        });
        places.leases.retain(|lease| lease.process.is_alive());
        if places.leases.len() >= most {
            return Ok(None);
        }
        let (started, pid) = start()?;
        // One that is gone already needs no place.
        if let Ok(process) = ProcessId::of(pid) {
            places.leases.push(Lease {
                process,
                site: site.to_owned(),
                task: task.clone(),
            });
        }
        self.write("running.json", &places)?;
        Ok(Some(started))
    }

    /// Leaves the provider of `brain` alone until `until`; an earlier end never shortens a later one.
    pub(crate) fn park(&self, brain: &BrainName, until: i64) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut providers = self.providers()?;
        let entry = providers.parked.entry(brain.clone()).or_insert(until);
        *entry = until.max(*entry);
        self.write("providers.json", &providers)
    }

    /// The brains whose providers are to be left alone at `now`, and until when.
    pub(crate) fn parked(&self, now: i64) -> io::Result<BTreeMap<BrainName, i64>> {
        let mut parked = self.providers()?.parked;
        parked.retain(|_, until| *until > now);
        Ok(parked)
    }

    fn providers(&self) -> io::Result<Providers> {
        let none = Providers {
            format: FORMAT,
            parked: BTreeMap::new(),
        };
        Ok(self.read("providers.json")?.unwrap_or(none))
    }

    fn lock(&self) -> io::Result<File> {
        let path = self.dir.join("limits.lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        FileExt::lock(&file)?;
        Ok(file)
    }

    fn read<T: DeserializeOwned>(&self, name: &'static str) -> io::Result<Option<T>> {
        match fs::read(self.dir.join(name)) {
            Ok(bytes) => match parse_versioned(name, &bytes) {
                Ok(document) => Ok(Some(document)),
                // It holds nothing that cannot be found out again.
                Err(error) => {
                    tracing::warn!(%error, "begun anew");
                    Ok(None)
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, document: &impl Serialize) -> io::Result<()> {
        let mut temp = tempfile::NamedTempFile::new_in(&self.dir)?;
        serde_json::to_writer(&mut temp, document)?;
        temp.persist(self.dir.join(name)).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Child;

    use super::*;
    use crate::process::Cmd;

    fn machine() -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::new(dir.path()).unwrap();
        (dir, machine)
    }

    fn sleeper(machine: &Machine, most: usize) -> Option<Child> {
        let task = TaskId::from_entropy(1);
        let start = || {
            let child = Cmd::new("sleep").arg("60").into_inner().spawn()?;
            let pid = child.id();
            Ok((child, pid))
        };
        machine.start(most, (Path::new("/site"), &task), start).unwrap()
    }

    #[test]
    fn places_are_counted_and_the_dead_give_theirs_back() {
        let (_dir, machine) = machine();
        let mut first = sleeper(&machine, 2).unwrap();
        let mut second = sleeper(&machine, 2).unwrap();
        assert!(sleeper(&machine, 2).is_none());
        first.kill().unwrap();
        first.wait().unwrap();
        let mut third = sleeper(&machine, 2).unwrap();
        assert!(sleeper(&machine, 2).is_none());
        for child in [&mut second, &mut third] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn providers_stay_parked_until_the_latest_reset() {
        let (dir, machine) = machine();
        let codex: BrainName = "codex".parse().unwrap();
        machine.park(&codex, 100).unwrap();
        machine.park(&codex, 50).unwrap();
        let again = Machine::new(dir.path()).unwrap();
        assert_eq!(again.parked(99).unwrap().get(&codex), Some(&100));
        assert!(again.parked(100).unwrap().is_empty());
    }

    #[test]
    fn torn_documents_are_begun_anew() {
        let (_dir, machine) = machine();
        fs::write(machine.dir.join("running.json"), b"{\"format\":1,").unwrap();
        let mut child = sleeper(&machine, 1).unwrap();
        assert!(sleeper(&machine, 1).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
