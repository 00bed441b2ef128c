//! Starting the brain: what it is told, what it gets of the environment, and the confinement it runs in.

use std::{ffi::OsString, fs::File, os::fd::AsFd, path::Path, process::Stdio};

use super::{Run, RunnerError, claim::Claim, prepare::prompt_file};
use crate::{
    brain::{self, Brain, Job, Launch, Session, Stdin, Total, Translator},
    config,
    guard::{
        running::Running,
        sandbox::{Confinement, Network, Streams},
    },
    refs::Crew,
    task::{Mode, Task},
    worktree::checkout::Checkout,
};

/// A brain that is about to start, and all that is recorded of it.
pub(super) struct Plan {
    pub(super) confinement: Confinement,
    pub(super) argv: Vec<OsString>,
    stdin: Stdin,
    prompt: std::path::PathBuf,
    pub(super) translator: Translator,
    pub(super) session: Session,
}

/// Works out how the brain starts.
pub(super) fn plan(
    run: &Run<'_>,
    claim: &Claim,
    checkout: &Checkout,
    member: &Crew,
) -> Result<Plan, RunnerError> {
    let task = claim.task();
    let brain = brain::find(&task.brain)?;
    let session = session(task, member, brain)?;
    let text = run.ledger.file(&claim.stored, "prompt.md")?.unwrap_or_default();
    let prompt = prompt_file(&claim.dir, &text)?;
    let settings = run.config.brains.get(&task.brain);
    let state_dir = run
        .ledger
        .site()
        .dir()
        .join("brains")
        .join(format!("{}.{}", task.zone, task.clone));
    super::spool::make_dir(&state_dir)?;
    let vars = |name: &str| std::env::var_os(name);
    let job = Job {
        mode: task.mode,
        model: task.model.as_deref(),
        session: &session,
        permissions: permissions(run.config.permissions_of(&task.brain)),
        sandboxed: run.bwrap.is_some(),
        allow: settings.map_or(&[], |settings| settings.allow.as_slice()),
        state_dir: &state_dir,
        work_dir: &checkout.path,
        prompt_file: &prompt,
        program: settings.and_then(|settings| settings.path.as_deref()),
        vars: &vars,
    };
    let launch = brain.launch(&job)?;
    let translator = brain.translator(&session);
    let confinement = confine(run, task, checkout, brain, &launch, &prompt);
    let argv = std::iter::once(launch.program.clone().into_os_string())
        .chain(launch.args)
        .collect();
    Ok(Plan {
        confinement,
        argv,
        stdin: launch.stdin,
        prompt,
        translator,
        session,
    })
}

impl Plan {
    /// Starts the brain; the attempt's lock lives as long as anything of it.
    pub(super) fn start(&self, claim: &Claim) -> Result<Running, RunnerError> {
        let stdin = match self.stdin {
            Stdin::Nothing => Stdio::null(),
            Stdin::Prompt => File::open(&self.prompt)?.into(),
        };
        let lock = Some(claim.attempt_lock.as_fd());
        let streams = Streams {
            stdin,
            stdout: Stdio::piped(),
            stderr: Stdio::piped(),
            lock,
        };
        Ok(self.confinement.start(&self.argv, streams)?)
    }

    /// The command line for the record.
    pub(super) fn recorded_argv(&self) -> Vec<String> {
        self.argv
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    /// The names of what the brain got of the environment.
    pub(super) fn env_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .confinement
            .env
            .iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// The session to open or to go on with. A clone continues its session from task to task.
fn session(task: &Task, member: &Crew, brain: &dyn Brain) -> Result<Session, RunnerError> {
    let last = member
        .session
        .clone()
        .filter(|_| !task.new_session && brain.capabilities().resume);
    match last {
        Some(id) => {
            let before = member.unknown.get("session_total").cloned();
            let before = before
                .and_then(|total| serde_json::from_value::<Total>(total).ok())
                .unwrap_or_default();
            Ok(Session::Resume { id, before })
        }
        None => Ok(Session::New(new_uuid()?)),
    }
}

fn permissions(configured: config::Permissions) -> brain::Permissions {
    match configured {
        config::Permissions::Auto => brain::Permissions::Auto,
        config::Permissions::Edits => brain::Permissions::Edits,
        config::Permissions::All => brain::Permissions::All,
    }
}

/// A random (version 4) UUID.
fn new_uuid() -> Result<String, RunnerError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

fn confine(
    run: &Run<'_>,
    task: &Task,
    checkout: &Checkout,
    brain: &dyn Brain,
    launch: &Launch,
    prompt: &Path,
) -> Confinement {
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    env.extend(launch.env.iter().cloned());
    let ours = [
        ("KHLONE_TASK", task.id.to_string()),
        ("KHLONE_CLONE", task.clone.to_string()),
        ("KHLONE_ZONE", task.branch.clone()),
    ];
    env.extend(ours.map(|(name, value)| (name.into(), value.into())));
    let _ = brain;
    let mounts = |writable| {
        launch
            .state
            .iter()
            .filter(move |mount| mount.writable == writable)
            .map(|mount| mount.source.clone())
    };
    Confinement {
        bwrap: run.bwrap.clone(),
        work_dir: checkout.path.clone(),
        writes: task.mode == Mode::Act,
        git: None,
        home: run.home.clone(),
        tmp: None,
        writable: mounts(true).collect(),
        read_only: mounts(false).chain([prompt.to_owned()]).collect(),
        hidden: vec![run.ledger.site().dir().to_owned(), run.paths.khlone_home.clone()],
        env,
        network: Network::Open,
    }
}
