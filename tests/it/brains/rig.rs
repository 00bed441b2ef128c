//! A CLI, a HOME of its own that points it at the model server, and a repository.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use git_khlone::{
    brain::{self, Brain, Event, Job, Launch, Permissions, Session, Stdin, Total, Trouble, Verdict},
    process::Cmd,
    task::Mode,
};
use serde_json::json;

use super::installed;
use crate::{
    model_server::ModelServer,
    scratch::{Scratch, Work},
};

const PATIENCE: Duration = Duration::from_secs(100);

/// See the module.
pub(crate) struct Rig {
    pub(crate) name: &'static str,
    pub(crate) server: ModelServer,
    pub(crate) vars: BTreeMap<String, String>,
    brain: &'static dyn Brain,
    scratch: Scratch,
    tree: Work,
}

/// What to run.
pub(crate) struct Run {
    pub(crate) prompt: String,
    pub(crate) mode: Mode,
    pub(crate) session: Option<Session>,
    pub(crate) permissions: Permissions,
    pub(crate) sandboxed: bool,
    pub(crate) allow: Vec<String>,
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) launch: Launch,
    pub(crate) events: Vec<Event>,
    pub(crate) verdict: Verdict,
    pub(crate) hopeless: Option<Trouble>,
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    /// How much it had written beside its streams.
    pub(crate) aside: u64,
    stderr: String,
}

impl Rig {
    pub(crate) fn new(name: &'static str) -> Self {
        let (scratch, server) = (Scratch::new(), ModelServer::start());
        let tree = scratch.repo("tree", &[("README.md", "A project.\n")]);
        let home = scratch.path().join("home");
        fs::create_dir_all(&home).unwrap();
        let vars = environment(name, &home, &server.url());
        Self {
            name,
            server,
            vars,
            brain: brain::find(&name.parse().unwrap()).unwrap(),
            scratch,
            tree,
        }
    }

    /// The same with nobody signed in.
    pub(crate) fn without_key(mut self) -> Self {
        self.vars.retain(|name, _| !name.ends_with("_API_KEY"));
        self
    }

    /// What git says has changed.
    pub(crate) fn changes(&self) -> String {
        self.tree.status()
    }

    /// How many commits there are.
    pub(crate) fn commits(&self) -> usize {
        self.tree.git(&["rev-list", "HEAD"]).lines().count()
    }

    pub(crate) fn run(&self, run: &Run) -> Ran {
        let prompt_file = self.scratch.path().join("prompt.md");
        fs::write(&prompt_file, self.brain.frame(&run.prompt).as_bytes()).unwrap();
        let fresh = Session::New(uuid());
        let session = run.session.as_ref().unwrap_or(&fresh);
        let vars = |name: &str| self.vars.get(name).map(OsString::from);
        let launch = self.brain.launch(&Job {
            mode: run.mode,
            model: (self.name == "gemini").then_some("gemini-2.5-flash"),
            session,
            permissions: run.permissions,
            sandboxed: run.sandboxed,
            allow: &run.allow,
            state_dir: &self.scratch.path().join("state"),
            work_dir: &self.tree.0,
            prompt_file: &prompt_file,
            program: None,
            vars: &vars,
        });
        let launch = launch.unwrap();
        assert!(
            !launch
                .args
                .iter()
                .any(|arg| arg.to_string_lossy().contains("SCENARIO"))
        );
        let child = self.spawn(&launch, &prompt_file);
        self.follow(child, launch, session)
    }

    fn spawn(&self, launch: &Launch, prompt_file: &Path) -> Child {
        let names = self
            .brain
            .env_names(&|name| self.vars.get(name).map(OsString::from));
        let wanted = |name: &str| {
            let common = ["PATH", "HOME", "LANG", "TERM"].contains(&name);
            common
                || names.iter().any(|want| match want.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == want,
                })
        };
        let vars = self.vars.iter().filter(|(name, _)| wanted(name));
        let vars = vars.map(|(name, value)| (name.into(), value.into()));
        let mut command = Cmd::new(&launch.program)
            .only_env(vars.chain(launch.env.iter().cloned()))
            .args(&launch.args)
            .dir(&self.tree.0)
            .into_inner();
        let stdin = match launch.stdin {
            Stdin::Prompt => Stdio::from(fs::File::open(prompt_file).unwrap()),
            Stdin::Nothing => Stdio::null(),
        };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn follow(&self, mut child: Child, launch: Launch, session: &Session) -> Ran {
        let start = Instant::now();
        let (sender, chunks) = mpsc::channel();
        pump(child.stdout.take().unwrap(), true, sender.clone());
        pump(child.stderr.take().unwrap(), false, sender);
        let mut translator = self.brain.translator(session).beside(launch.aside.clone());
        let (mut events, mut stderr, mut hopeless) = (Vec::new(), String::new(), None);
        // Ends when both streams are closed: the child and all that hold them are gone.
        while let Ok((out, bytes)) = chunks.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
            if out {
                events.extend(translator.stdout(&bytes));
            } else {
                stderr.push_str(&String::from_utf8_lossy(&bytes));
                events.extend(translator.stderr(&bytes));
            }
            hopeless = hopeless.or(translator.hopeless());
            if hopeless.is_some() {
                break;
            }
        }
        let ended = hopeless.is_none() && start.elapsed() < PATIENCE;
        let group = rustix::process::Pid::from_child(&child);
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let status = child.wait().unwrap();
        let code = status.code().filter(|_| ended && status.signal().is_none());
        let aside = launch.aside.as_ref().and_then(|file| fs::metadata(file).ok());
        events.extend(translator.finish(code));
        Ran {
            launch,
            events,
            verdict: translator.verdict(),
            hopeless,
            code,
            took: start.elapsed(),
            aside: aside.map_or(0, |meta| meta.len()),
            stderr,
        }
    }
}

impl Run {
    pub(crate) fn ask(prompt: &str) -> Self {
        Self {
            prompt: prompt.to_owned(),
            mode: Mode::Ask,
            session: None,
            permissions: Permissions::Auto,
            sandboxed: false,
            allow: Vec::new(),
        }
    }

    pub(crate) fn act(prompt: &str) -> Self {
        Self {
            mode: Mode::Act,
            ..Self::ask(prompt)
        }
    }
}

impl Ran {
    /// The session of this run, to go on with.
    pub(crate) fn resume(&self) -> Session {
        Session::Resume {
            id: self.verdict.session.clone().unwrap_or_else(|| panic!("{self:?}")),
            before: self.verdict.total.clone(),
        }
    }

    /// The files that tools named.
    pub(crate) fn paths(&self) -> Vec<String> {
        let paths = self.events.iter().filter_map(|event| match event {
            Event::ToolCall { paths, .. } => Some(paths.clone()),
            _ => None,
        });
        paths.flatten().collect()
    }

    /// How many tools were called.
    pub(crate) fn tools(&self) -> usize {
        let calls = self
            .events
            .iter()
            .filter(|event| matches!(event, Event::ToolCall { .. }));
        calls.count()
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} {:?}", self.launch.program, self.launch.args)?;
        for event in &self.events {
            writeln!(f, "  {:.600}", serde_json::to_string(event).unwrap())?;
        }
        writeln!(
            f,
            "{:#?}\ncode {:?} after {:?}, hopeless: {:?}",
            self.verdict, self.code, self.took, self.hopeless
        )?;
        writeln!(f, "stderr: {:.3000}", self.stderr)
    }
}

/// A session from before, of which nothing is known but its id.
pub(crate) fn resume(id: &str) -> Session {
    Session::Resume {
        id: id.to_owned(),
        before: Total::default(),
    }
}

fn pump(mut stream: impl Read + Send + 'static, out: bool, sender: mpsc::Sender<(bool, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if sender.send((out, buffer[..n].to_vec())).is_err() {
                return;
            }
        }
    });
}

fn uuid() -> String {
    let mut b = [0; 16];
    getrandom::fill(&mut b).unwrap();
    let n = u128::from_le_bytes(b);
    let hex = format!("{n:032x}");
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

/// The environment of a user who has the CLI installed and signed in, with the model server as provider.
pub(crate) fn environment(name: &str, home: &Path, url: &str) -> BTreeMap<String, String> {
    let path = format!(
        "{}:{}",
        installed::bin(name).display(),
        std::env::var("PATH").unwrap()
    );
    let mut vars = BTreeMap::from([
        ("PATH", path),
        ("HOME", home.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TERM", "dumb".to_owned()),
    ]);
    match name {
        "claude" => {
            vars.insert("ANTHROPIC_BASE_URL", url.to_owned());
            vars.insert("ANTHROPIC_API_KEY", "sk-dummy".to_owned());
            vars.insert("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned());
            vars.insert("DISABLE_TELEMETRY", "1".to_owned());
            vars.insert("DISABLE_ERROR_REPORTING", "1".to_owned());
        }
        "codex" => {
            let config = format!(
                "model = \"gpt-5.5\"\nmodel_provider = \"fake\"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n\
                 [model_providers.fake]\nname = \"fake\"\nbase_url = \"{url}/v1\"\nenv_key = \"FAKE_API_KEY\"\nwire_api = \"responses\"\n"
            );
            write(&home.join(".codex/config.toml"), &config);
            vars.insert("FAKE_API_KEY", "sk-dummy".to_owned());
        }
        "opencode" => {
            let model = json!({"name": "fake", "cost": {"input": 1.0, "output": 2.0}, "limit": {"context": 128_000, "output": 4096}});
            let provider = json!({"npm": "@ai-sdk/openai-compatible", "name": "fake",
                "options": {"baseURL": format!("{url}/v1"), "apiKey": "sk-dummy"},
                "models": {"fake-model": model, "second-model": model}});
            let config = json!({"provider": {"fake": provider}, "model": "fake/fake-model", "small_model": "fake/fake-model",
                "enabled_providers": ["fake"], "autoupdate": false, "share": "disabled"});
            write(&home.join(".config/opencode/opencode.json"), &config.to_string());
            for switch in ["MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS"] {
                let name = format!("OPENCODE_DISABLE_{switch}").leak();
                vars.insert(name, "1".to_owned());
            }
        }
        _ => {
            let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}},
                "privacy": {"usageStatisticsEnabled": false},
                "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false, "disableAutoUpdate": true}});
            write(&home.join(".gemini/settings.json"), &settings.to_string());
            vars.insert("GEMINI_API_KEY", "sk-dummy".to_owned());
            vars.insert("GOOGLE_GEMINI_BASE_URL", url.to_owned());
        }
    }
    vars.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
