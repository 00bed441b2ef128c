//! Starting the brain: what it is told, what it gets of the environment, and the confinement it runs in.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Run, RunnerError, claim::Claim, handover, prepare::Prepared};
use crate::{
    brain::{self, Brain, Job, Launch, Session, Stdin, Total, Translator},
    config,
    guard::{
        sandbox::{
            Confinement, Network, Streams, caches,
            environment::{Environment, Wanted},
            proxy::Proxy,
            relay,
            running::Running,
            survivors,
        },
        secrets::credentials,
    },
    process::{Tried, file::unshare_all, run_dir},
    refs::Crew,
    task::{Attempt, How, Mode, Obstacle, Task},
    worktree::{checkout::Checkout, include},
};

/// The brain's `/tmp` in the attempt's folder: on disk, since what a build leaves there may be large.
const TMP: &str = "tmp";
/// The prompt's file in the attempt's folder.
const PROMPT: &str = "prompt.md";

/// A brain that is about to start, and all that is recorded of it.
pub(super) struct Plan {
    pub(super) confinement: Confinement,
    pub(super) argv: Vec<OsString>,
    stdin: Stdin,
    prompt: PathBuf,
    pub(super) translator: Translator,
    pub(super) session: Session,
    own_session: bool,
    environment: Environment,
    /// What leads to the hosts that the brain may reach.
    proxy: Option<Proxy>,
    /// Variables that configuration names.
    asked: Vec<String>,
    /// The command that signs in.
    pub(super) login: &'static str,
    /// The model that was asked for.
    pub(super) model: Option<String>,
    /// Whether its last message says what it did, rather than being what a script printed.
    pub(super) tells: bool,
}

/// What the brain still knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory<'a> {
    /// Its session, where there is one.
    Kept,
    /// Nothing: it has said that this session is gone, or full.
    Gone(&'a str),
}

/// Works out how the brain starts.
pub(super) fn plan(
    run: &Run<'_>,
    claim: &Claim,
    prepared: &Prepared,
    (member, memory): (&Crew, Memory<'_>),
) -> Result<Plan, RunnerError> {
    let task = claim.task();
    let brain = brain::find(&task.brain)?;
    let session = match memory {
        Memory::Kept => session(task, member, brain)?,
        Memory::Gone(_) => Session::New(new_uuid()?),
    };
    let before = match (memory, &session) {
        (_, Session::Resume { .. }) => None,
        (Memory::Gone(id), Session::New(_)) => Some(id),
        (Memory::Kept, Session::New(_)) => member.full.as_deref().filter(|_| !task.new_session),
    };
    let prompt = claim.dir.join(PROMPT);
    let text = prompt_text(run, claim, (brain, &session, before))?;
    fs::write(&prompt, text).tried("write", &prompt)?;
    let settings = run.config.brains.get(&task.brain);
    let state_dir = run.ledger.site().layout().brain(&task.zone, &task.clone);
    super::spool::make_dir(&state_dir)?;
    unshare_all(&state_dir)?;
    let vars = |name: &str| std::env::var_os(name);
    let job = Job {
        mode: task.mode,
        model: task.model.as_deref(),
        session: &session,
        permissions: permissions(run.config.permissions_of(&task.brain)),
        sandboxed: run.bwrap.is_some(),
        allow: settings.map_or(&[], |settings| settings.allow.as_slice()),
        state_dir: &state_dir,
        work_dir: &prepared.checkout.path,
        prompt_file: &prompt,
        program: settings.and_then(|settings| settings.path.as_deref()),
        vars: &vars,
    };
    let launch = brain.launch(&job)?;
    let translator = brain
        .translator(&session)
        .within(job.work_dir)
        .beside(launch.aside.clone());
    let proxy = proxy(run, claim)?;
    let (confinement, environment) = confine(run, claim, (prepared, proxy.as_ref()), brain, &launch)?;
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
        own_session: brain.capabilities().own_session,
        environment,
        proxy,
        asked: asked_for(run, task),
        login: brain.account().login,
        model: task.model.clone(),
        tells: brain.capabilities().usage,
    })
}

impl Plan {
    /// Starts the brain; the attempt's lock lives as long as anything of it.
    pub(super) fn start(&self, claim: &Claim) -> Result<Running, RunnerError> {
        let stdin = match self.stdin {
            Stdin::Nothing => Stdio::null(),
            Stdin::Prompt => File::open(&self.prompt).tried("read", &self.prompt)?.into(),
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

    /// The hosts that the brain was refused, in words.
    pub(super) fn refused_hosts(&self) -> Vec<String> {
        let refused = self.proxy.as_ref().map(Proxy::refused).unwrap_or_default();
        let words = |host| format!("network: {host} was refused (network.allow)");
        refused.into_iter().map(words).collect()
    }

    /// The session's id, where it does not depend on what the brain says.
    pub(super) fn known_session(&self) -> Option<&str> {
        (self.resumes() || self.own_session).then(|| self.session.id())
    }

    /// Whether it goes on with a session.
    pub(super) fn resumes(&self) -> bool {
        matches!(self.session, Session::Resume { .. })
    }

    /// The command line for the record.
    fn recorded_argv(&self) -> Vec<String> {
        self.argv
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    /// Writes down what the brain got of the environment and what it did not, by name.
    pub(super) fn describe(&self, attempt: &mut Attempt) {
        attempt.argv = self.recorded_argv();
        attempt.env_names.clone_from(&self.environment.passed);
        attempt.env_dropped.clone_from(&self.environment.dropped);
        if let Some(proxy) = &self.proxy {
            (attempt.hosts, attempt.refused_hosts) = (proxy.reached(), proxy.refused());
        }
    }
}

impl Plan {
    /// Values that must not be kept, whatever their shape: of variables that the brain was given, of files that it got
    /// copies of, of the user's own files of credentials.
    pub(super) fn secrets(&self, run: &Run<'_>, checkout: &Checkout) -> Vec<String> {
        let mut values = credentials::in_files(&run.home, &|name| std::env::var_os(name));
        let copied = include::copied_paths(checkout);
        values.extend(credentials::in_copies(&checkout.path, &copied));
        values.extend(credentials::in_variables(&self.environment.vars, &self.asked));
        values.into_iter().collect()
    }
}

/// The prompt as the brain gets it: what was asked, and before it, where it goes on, what happened.
fn prompt_text(
    run: &Run<'_>,
    claim: &Claim,
    (brain, session, before): (&dyn Brain, &Session, Option<&str>),
) -> Result<Vec<u8>, RunnerError> {
    let text = run.ledger.file(&claim.stored, "prompt.md")?.unwrap_or_default();
    let prompt = String::from_utf8_lossy(&text);
    let how = claim.task().last_attempt().and_then(|attempt| attempt.how);
    let mut told = Vec::new();
    if let Some(before) = before {
        told.extend(handover::digest(run, claim, before)?);
    }
    if how == Some(How::Resume) {
        told.push(handover::told(run, claim)?);
        if matches!(session, Session::New(_)) {
            let history = handover::history(run, claim)?;
            if !history.is_empty() {
                told.push(format!("What happened before, shortened:\n{history}"));
            }
        }
    }
    let text = if told.is_empty() {
        prompt.into_owned()
    } else {
        brain.remark(&told.join("\n\n"), &prompt)
    };
    Ok(brain.frame(&text).as_bytes().to_vec())
}

/// The session to open or to go on with. A clone continues its session from task to task; an attempt that resumes,
/// that of the attempt before.
fn session(task: &Task, member: &Crew, brain: &dyn Brain) -> Result<Session, RunnerError> {
    let how = task.last_attempt().and_then(|attempt| attempt.how);
    // From another folder some brains do not find it.
    let fits = !task.new_session && member.session_folder == task.folder;
    let last = match how {
        Some(How::Resume) => {
            let before = task
                .attempts
                .iter()
                .rev()
                .skip(1)
                .take_while(|attempt| attempt.obstacle != Some(Obstacle::Full))
                .find_map(|attempt| attempt.session.clone());
            before.or_else(|| member.session.clone().filter(|_| fits))
        }
        Some(How::Retry) => None,
        None => member.session.clone().filter(|_| fits),
    };
    match last.filter(|_| brain.capabilities().resume) {
        Some(id) => {
            let before = member.unknown.get("session_total").cloned();
            let known = member.session.as_ref() == Some(&id);
            let before = before
                .filter(|_| known)
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

/// The proxy of an attempt that may reach named hosts alone.
fn proxy(run: &Run<'_>, claim: &Claim) -> Result<Option<Proxy>, RunnerError> {
    /// A new session of the same attempt has a proxy of its own, while the one before is still there.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (config::Network::Allow(rules), Some(_)) = (&run.config.network, &run.bwrap) else {
        return Ok(None);
    };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{}-{count}.net", claim.task().id, claim.n);
    Ok(Some(Proxy::start(run_dir()?.join(name), rules.clone())?))
}

/// Leads programs to the proxy.
fn lead_to_proxy(environment: &mut Environment, network: &config::Network) {
    let variables = match network {
        config::Network::Allow(rules) => relay::variables(rules),
        config::Network::Open | config::Network::None => relay::variables(&[]),
    };
    let is_other = |name: &std::ffi::OsStr| {
        !name.eq_ignore_ascii_case("ALL_PROXY") && !variables.iter().any(|(own, _)| own == name)
    };
    environment.vars.retain(|(name, _)| is_other(name));
    environment.passed.retain(|name| is_other(name.as_ref()));
    for (name, value) in variables {
        environment.passed.push(name.to_string_lossy().into_owned());
        environment.vars.push((name, value));
    }
    environment.passed.sort();
}

/// The variables that configuration names, for all brains and for this one.
fn asked_for(run: &Run<'_>, task: &Task) -> Vec<String> {
    let own = run.config.brains.get(&task.brain).map(|settings| &settings.env);
    let names = run.config.env.iter().chain(own.into_iter().flatten());
    names.map(ToString::to_string).collect()
}

/// A profile that gives a login shell the brain's `PATH` back.
fn profile(dir: &Path, environment: &Environment) -> std::io::Result<PathBuf> {
    let path = environment.vars.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or_else(Cow::default, |(_, path)| path.to_string_lossy());
    let quoted = shlex::try_quote(&path).unwrap_or_default();
    let file = dir.join("profile");
    fs::write(&file, format!("export PATH={quoted}\n")).tried("write", &file)?;
    Ok(file)
}

/// This program, unless it was replaced on disk since it was started.
fn own_program() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|own| own.is_file())
}

/// Everything that the brain, its setup and its commit may see and change.
fn confine(
    run: &Run<'_>,
    claim: &Claim,
    (prepared, proxy): (&Prepared, Option<&Proxy>),
    brain: &dyn Brain,
    launch: &Launch,
) -> Result<(Confinement, Environment), RunnerError> {
    let task = claim.task();
    let site = run.ledger.site();
    let caches = run.paths.khlone_home.join("cache").join(&site.owner().site_uuid);
    let mut read_only = Vec::new();
    let mut writable = Vec::new();
    if run.bwrap.is_some() {
        read_only.extend(caches::prepare(&caches, &run.home)?);
        writable.push(caches.clone());
    }
    let configured = asked_for(run, task);
    let names = brain.env_names(&|name| std::env::var_os(name));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (id, clone) = (task.id.to_string(), task.clone.to_string());
    let port = prepared.port.map(|port| port.to_string());
    let attempt = claim.n.to_string();
    let mut set: Vec<(&str, &OsStr)> = vec![
        (survivors::MARK, id.as_ref()),
        ("KHLONE_CLONE", clone.as_ref()),
        ("KHLONE_ATTEMPT", attempt.as_ref()),
        ("KHLONE_ZONE", task.branch.as_ref()),
    ];
    set.extend(port.as_ref().map(|port| ("KHLONE_PORT", port.as_ref())));
    set.extend(
        launch
            .env
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.as_os_str()))),
    );
    let wanted = Wanted {
        brain: &names,
        configured: &configured,
        caches: run.bwrap.is_some().then_some(caches.as_path()),
        set: &set,
    };
    let mut environment = Environment::build(std::env::vars_os(), &wanted);
    if proxy.is_some() {
        lead_to_proxy(&mut environment, &run.config.network);
    }
    for mount in &launch.state {
        if mount.writable {
            writable.push(mount.source.clone())
        } else {
            read_only.push(mount.source.clone())
        }
    }
    read_only.push(claim.dir.join(PROMPT));
    let expanded = |paths: &[PathBuf]| {
        paths
            .iter()
            .map(|path| config::in_home(path, &run.home))
            .collect::<Vec<_>>()
    };
    read_only.extend(expanded(&run.config.readable));
    writable.extend(expanded(&run.config.writable));
    let tmp = claim.dir.join(TMP);
    super::spool::make_dir(&tmp)?;
    let confinement = Confinement {
        bwrap: run.bwrap.clone(),
        work_dir: prepared.checkout.path.clone(),
        folder: task.folder.clone(),
        writes: task.mode == Mode::Act,
        git: prepared
            .ground
            .private
            .as_ref()
            .map(|private| private.view(run.ledger.repo().common_dir())),
        home: run.home.clone(),
        tmp: Some(tmp),
        writable,
        read_only,
        hidden: vec![site.dir().to_owned(), run.paths.khlone_home.clone(), run_dir()?],
        env: environment.vars.clone(),
        network: match (&run.config.network, proxy) {
            (config::Network::Open, _) => Network::Open,
            (config::Network::Allow(_), Some(proxy)) => Network::Proxy(proxy.path().to_owned()),
            (config::Network::None | config::Network::Allow(_), _) => Network::None,
        },
        profile: Some(profile(&claim.dir, &environment)?),
        own_program: own_program(),
    };
    Ok((confinement, environment))
}
