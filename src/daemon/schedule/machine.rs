//! What all daemons of a user on this machine share: places to run, and providers that are at their limit.
//!
//! Two small documents under `KHLONE_HOME/limits`, changed under one flock. A place is leased to a process by pid
//! and start time, so the kernel itself ends the lease of a killed holder: whoever counts next drops it. It is written
//! down before anything starts, for the daemon itself, and handed on to the runner then: nothing runs of which it is
//! not known. Losing the folder loses no task; at worst a few more run at once, or ask a provider too early. For the
//! same reason a holder of the flock that does not go on (a stopped daemon) is not waited for without bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::providers::{Providers, Rates, Room};
use crate::{
    brain::Provider,
    process::{FileLock, ProcessId, file::replace},
    task::{FORMAT, TaskId, parse_versioned},
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
    /// Whose limits it counts against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Provider>,
}

/// Who wants a place.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) site: PathBuf,
    pub(crate) task: TaskId,
    pub(crate) provider: Option<Provider>,
}

/// How many places there are.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// On the machine.
    pub(crate) most: usize,
    /// At each provider.
    pub(crate) rates: Rates,
    /// Seconds since the epoch.
    pub(crate) now: i64,
}

/// How long the flock is waited for; it is held for moments.
const PATIENCE: Duration = Duration::from_secs(1);

impl Machine {
    /// The limits under `khlone_home`, made if need be.
    pub(crate) fn new(khlone_home: &Path) -> io::Result<Self> {
        let dir = khlone_home.join("limits");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// The limits under `khlone_home`, if there ever were any.
    pub(crate) fn existing(khlone_home: &Path) -> Option<Self> {
        let dir = khlone_home.join("limits");
        dir.is_dir().then_some(Self { dir })
    }

    /// How many places on the machine are taken.
    pub(crate) fn taken(&self) -> io::Result<usize> {
        Ok(self.places()?.leases.len())
    }

    /// Takes a place for this process, to be handed on; false if all are taken, on the machine or at the provider.
    pub(crate) fn take(&self, wish: &Wish, bounds: &Bounds) -> io::Result<bool> {
        let _lock = self.lock()?;
        let (mut places, mut providers) = (self.places()?, self.providers()?);
        let process = ProcessId::current()?;
        // One that was taken and neither handed on nor given back: a start that broke off.
        places
            .leases
            .retain(|lease| lease.process != process || lease.site != wish.site);
        if places.leases.len() >= bounds.most {
            return Ok(false);
        }
        if let Some(provider) = &wish.provider {
            let room = places.room(&providers, provider, bounds);
            if room.starts == 0 || room.parked_until.is_some() {
                return Ok(false);
            }
        }
        places.leases.push(Lease {
            process,
            site: wish.site.clone(),
            task: wish.task.clone(),
            provider: wish.provider.clone(),
        });
        self.write("running.json", &places)?;
        if let Some(provider) = &wish.provider {
            providers.started(provider, bounds.now);
            self.write("providers.json", &providers)?;
        }
        Ok(true)
    }

    /// Hands the place that this process took for `wish` on to the process `to`, or gives it back if there is none.
    pub(crate) fn hand_on(&self, wish: &Wish, to: Option<u32>) -> io::Result<()> {
        let _lock = self.lock()?;
        let (mut places, own) = (self.places()?, ProcessId::current()?);
        // One that is gone already needs no place.
        let to = to.and_then(|pid| ProcessId::of(pid).ok());
        let taken =
            |lease: &Lease| lease.process == own && lease.site == wish.site && lease.task == wish.task;
        if let Some(at) = places.leases.iter().position(taken) {
            match to {
                Some(process) => places.leases[at].process = process,
                None => drop(places.leases.remove(at)),
            }
        }
        self.write("running.json", &places)
    }

    /// What may be asked of each of `wanted` now.
    pub(crate) fn rooms(
        &self,
        wanted: &BTreeSet<Provider>,
        bounds: &Bounds,
    ) -> io::Result<BTreeMap<Provider, Room>> {
        let (places, providers) = (self.places()?, self.providers()?);
        let room = |provider: &Provider| (provider.clone(), places.room(&providers, provider, bounds));
        Ok(wanted.iter().map(room).collect())
    }

    /// Leaves `provider` alone until `until`; an earlier end never shortens a later one.
    pub(crate) fn park(&self, provider: &Provider, until: i64, now: i64) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut providers = self.providers()?;
        providers.park(provider, until, now);
        self.write("providers.json", &providers)
    }

    /// Lets `provider` be asked again at once: a person says that its limit is over.
    pub(crate) fn lift(&self, provider: &Provider, until: i64) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut providers = self.providers()?;
        providers.lift(provider, until);
        self.write("providers.json", &providers)
    }

    /// An attempt ran into a limit of `provider` of which nobody said when it ends: gives until when to wait.
    pub(crate) fn back_off(&self, provider: &Provider, now: i64) -> io::Result<i64> {
        let _lock = self.lock()?;
        let mut providers = self.providers()?;
        let until = providers.back_off(provider, now);
        self.write("providers.json", &providers)?;
        Ok(until)
    }

    /// The places of the living.
    fn places(&self) -> io::Result<Places> {
        let mut places = self.read("running.json")?.unwrap_or(Places {
            format: FORMAT,
            leases: Vec::new(),
        });
        places.leases.retain(|lease| lease.process.is_alive());
        Ok(places)
    }

    fn providers(&self) -> io::Result<Providers> {
        Ok(self.read("providers.json")?.unwrap_or_default())
    }

    /// Without the lock a place too many may be given, which is better than to stand still.
    fn lock(&self) -> io::Result<Option<FileLock>> {
        let turn = FileLock::wait_for(&self.dir.join("limits.lock"), PATIENCE)?;
        if turn.is_none() {
            tracing::warn!("another daemon holds the machine's limits and does not go on; gone on without");
        }
        Ok(turn)
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
        replace(&self.dir.join(name), &serde_json::to_vec(document)?)
    }
}

impl Places {
    fn room(&self, providers: &Providers, provider: &Provider, bounds: &Bounds) -> Room {
        let ours = |lease: &&Lease| lease.provider.as_ref() == Some(provider);
        let running = self.leases.iter().filter(ours).count();
        let limits = bounds.rates.get(provider.name()).copied().unwrap_or_default();
        providers.room(provider, limits, (running, bounds.now))
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, process::Child};

    use super::*;
    use crate::{config::ProviderLimits, process::Cmd};

    fn machine() -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::new(dir.path()).unwrap();
        (dir, machine)
    }

    fn sleeper(machine: &Machine, most: usize) -> Option<Child> {
        sleeper_at(machine, most, None, &Rates::new())
    }

    fn wish(provider: Option<&Provider>) -> Wish {
        Wish {
            site: "/site".into(),
            task: TaskId::from_entropy(1),
            provider: provider.cloned(),
        }
    }

    fn bounds(most: usize, rates: &Rates, now: i64) -> Bounds {
        let rates = rates.clone();
        Bounds { most, rates, now }
    }

    fn sleeper_at(
        machine: &Machine,
        most: usize,
        provider: Option<&Provider>,
        rates: &Rates,
    ) -> Option<Child> {
        let wish = wish(provider);
        if !machine.take(&wish, &bounds(most, rates, 1000)).unwrap() {
            return None;
        }
        let child = Cmd::new("sleep").arg("60").into_inner().spawn().unwrap();
        machine.hand_on(&wish, Some(child.id())).unwrap();
        Some(child)
    }

    fn end(child: &mut Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn places_are_counted_and_the_dead_give_theirs_back() {
        let (_dir, machine) = machine();
        let mut first = sleeper(&machine, 2).unwrap();
        let mut second = sleeper(&machine, 2).unwrap();
        assert!(sleeper(&machine, 2).is_none());
        end(&mut first);
        let mut third = sleeper(&machine, 2).unwrap();
        assert!(sleeper(&machine, 2).is_none());
        end(&mut second);
        end(&mut third);
    }

    #[test]
    fn a_providers_places_are_counted_over_sites_and_freed_by_a_kill() {
        let (dir, machine) = machine();
        let openai: Provider = serde_json::from_str("\"openai/0123\"").unwrap();
        let limits = ProviderLimits {
            max_concurrent: NonZeroU32::new(1),
            per_minute: None,
        };
        let rates = Rates::from([("openai".to_owned(), limits)]);
        let mut first = sleeper_at(&machine, 9, Some(&openai), &rates).unwrap();
        // Another daemon of the same user.
        let other = Machine::new(dir.path()).unwrap();
        assert!(sleeper_at(&other, 9, Some(&openai), &rates).is_none());
        let mut without = sleeper_at(&other, 9, None, &rates).unwrap();
        end(&mut first);
        let mut second = sleeper_at(&other, 9, Some(&openai), &rates).unwrap();
        end(&mut second);
        end(&mut without);
        let text = fs::read_to_string(dir.path().join("limits/providers.json")).unwrap();
        assert!(text.starts_with("{\"format\":1,"), "{text}");
    }

    #[test]
    fn a_parked_provider_starts_nothing_of_any_daemon_until_its_reset() {
        let (dir, machine) = machine();
        let openai: Provider = serde_json::from_str("\"openai/0123\"").unwrap();
        let rates = Rates::new();
        machine.park(&openai, 1001, 1000).unwrap();
        let again = Machine::new(dir.path()).unwrap();
        assert!(sleeper_at(&again, 9, Some(&openai), &rates).is_none());
        let wanted = BTreeSet::from([openai.clone()]);
        let at = |now| again.rooms(&wanted, &bounds(9, &rates, now)).unwrap()[&openai].parked_until;
        assert_eq!((at(1000), at(1001)), (Some(1001), None));
        let until = again.back_off(&openai, 2000).unwrap();
        assert_eq!(machine.back_off(&openai, 2001).unwrap(), until);
    }

    #[test]
    fn torn_documents_are_begun_anew() {
        let (_dir, machine) = machine();
        fs::write(machine.dir.join("running.json"), b"{\"format\":1,").unwrap();
        let mut child = sleeper(&machine, 1).unwrap();
        assert!(sleeper(&machine, 1).is_none());
        end(&mut child);
    }

    #[test]
    fn a_place_that_was_taken_for_a_start_that_broke_off_is_given_back() {
        let (_dir, machine) = machine();
        let (wish, one) = (wish(None), bounds(1, &Rates::new(), 1000));
        assert!(machine.take(&wish, &one).unwrap());
        machine.hand_on(&wish, None).unwrap();
        assert_eq!(machine.taken().unwrap(), 0);
        assert!(machine.take(&wish, &one).unwrap());
        // Another site of the same process has to wait, this one begins anew.
        let other = Wish {
            site: "/other".into(),
            ..wish.clone()
        };
        assert!(!machine.take(&other, &one).unwrap());
        assert!(machine.take(&wish, &one).unwrap());
    }

    #[test]
    fn a_holder_of_the_lock_that_does_not_go_on_holds_nobody_up() {
        let (dir, machine) = machine();
        let _held = FileLock::wait(&dir.path().join("limits/limits.lock")).unwrap();
        let mut child = sleeper(&machine, 1).unwrap();
        assert!(sleeper(&machine, 1).is_none());
        end(&mut child);
    }
}
