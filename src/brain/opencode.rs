//! opencode, `opencode run --format json`.
//!
//! Measured with 1.18.33. It tells of a tool only once it has ended, has no last line that says how the run came
//! out, and counts tokens and cost a step. Two runs on one data folder fail now and then, so every clone has its
//! own, with the user's credentials linked in. Without any provider it hangs and says nothing.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    contract::{
        Account, Brain, Capabilities, Dialect, Job, Launch, Permissions, Session, Stdin, ToolStart, Vars,
    },
    event::{Event, Trouble},
    preflight::{SignedIn, has_any, is_filled, says},
    provider::Provider,
    text::{INPUT, Input, OUTPUT, Text, clip, trouble},
    translate::Translator,
};
use crate::task::Mode;

/// Where the models come from, as far as their keys do not stand in its settings.
const KEYS: [&str; 18] = [
    "OPENCODE_*",
    "ANTHROPIC_*",
    "OPENAI_*",
    "AZURE_*",
    "OPENROUTER_*",
    "GEMINI_*",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "GROQ_*",
    "MISTRAL_*",
    "DEEPSEEK_*",
    "XAI_*",
    "CEREBRAS_*",
    "TOGETHER_*",
    "FIREWORKS_*",
    "MOONSHOT_*",
    "ZHIPU_*",
    "CLOUDFLARE_*",
    "GITHUB_COPILOT_*",
];
/// The files with the user's credentials.
const CREDENTIALS: [&str; 2] = ["auth.json", "mcp-auth.json"];
/// What an ask may not do; an act on its own may not run commands that nobody allowed.
const NO_EDITS: &str = r#"{"edit":"deny"}"#;
const READ_ONLY: &str = r#"{"edit":"deny","bash":"deny"}"#;

/// See the module.
pub(super) struct Opencode;

impl Brain for Opencode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: true,
            own_session: false,
            tool_start: ToolStart::None,
            usage: true,
            cost: true,
        }
    }

    fn account(&self) -> Account {
        Account {
            program: Some("opencode"),
            version: &["--version"],
            install: "npm install -g opencode-ai",
            login: "opencode auth login",
        }
    }

    fn provider(&self, model: Option<&str>, vars: Vars<'_>) -> Option<Provider> {
        let files = settings(vars);
        let texts: Vec<_> = files
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect();
        let set = || texts.iter().find_map(|text| model_in(text)).map(str::to_owned);
        let model = model.map(str::to_owned).or_else(set).unwrap_or_default();
        let name = model.split_once('/').map_or("opencode", |(provider, _)| provider);
        let mut keys = vec![format!("{}_API_KEY", name.to_ascii_uppercase().replace('-', "_"))];
        if name == "google" {
            keys.extend(["GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"].map(str::to_owned));
        }
        keys.extend(
            texts
                .iter()
                .flat_map(|text| keys_named_in(text))
                .map(str::to_owned),
        );
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let login = data_home(vars)
            .map(|data| data.join("opencode"))
            .unwrap_or_default();
        Some(Provider::of(vars, name, (&keys, ""), &login))
    }

    fn signed_in(&self, vars: Vars<'_>) -> SignedIn {
        let keys = [
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "OPENROUTER_API_KEY",
            "GEMINI_API_KEY",
        ];
        let login = data_home(vars).map(|data| data.join("opencode/auth.json"));
        let provider = settings(vars).iter().any(|path| says(path, &["\"provider\""]));
        if provider || has_any(vars, &keys) || login.is_some_and(|path| is_filled(&path)) {
            SignedIn::Yes
        } else {
            // It has models of its own that need no key, and knows a hundred providers.
            SignedIn::Unknown
        }
    }

    fn env_names(&self, vars: Vars<'_>) -> Vec<String> {
        let mut names: Vec<String> = KEYS.map(str::to_owned).into();
        for path in settings(vars) {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            names.extend(keys_named_in(&text).map(str::to_owned));
        }
        names
    }

    fn launch(&self, job: &Job<'_>) -> std::io::Result<Launch> {
        let program = job.program.unwrap_or("opencode".as_ref());
        let mut launch = Launch::new(program, &["run", "--format", "json"]);
        if let Some(model) = job.model {
            launch.option("--model", model);
        }
        if let Session::Resume { id, .. } = job.session {
            launch.option("--session", id);
        }
        permit(job, &mut launch);
        launch.env("OPENCODE_DISABLE_AUTOUPDATE", "1").stdin = Stdin::Prompt;
        for (name, folder) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            let path = job.state_dir.join(folder);
            launch.keeps(path.clone())?.env(name, path);
        }
        credentials(job, &mut launch)?;
        // Not the folders themselves: it writes a file into each at every start, and gives up where it cannot.
        for folder in settings_folders(job.vars) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                launch.reads(entry.path());
            }
        }
        if let Some(file) = (job.vars)("OPENCODE_CONFIG") {
            launch.reads(file.into());
        }
        Ok(launch)
    }

    fn translator(&self, session: &Session) -> Translator {
        Translator::new(Steps::default(), session)
    }
}

/// What it may do. It allows itself everything unless its settings say `ask`, which `--auto` answers.
fn permit(job: &Job<'_>, launch: &mut Launch) {
    let free = job.permissions == Permissions::All || (job.sandboxed && job.permissions == Permissions::Auto);
    match job.mode {
        Mode::Ask if job.sandboxed => launch.env("OPENCODE_PERMISSION", NO_EDITS).arg("--auto"),
        Mode::Ask => launch.env("OPENCODE_PERMISSION", READ_ONLY),
        Mode::Act if free => launch.arg("--auto"),
        Mode::Act => launch.env("OPENCODE_PERMISSION", edits_and(job.allow)),
    };
}

/// Edits, and the commands that match one of `allow`.
fn edits_and(allow: &[String]) -> String {
    let mut bash = serde_json::Map::new();
    bash.insert("*".to_owned(), "deny".into());
    bash.extend(allow.iter().map(|rule| (rule.clone(), "allow".into())));
    serde_json::json!({"edit": "allow", "bash": bash}).to_string()
}

/// Links the user's credentials into the clone's data folder, so that a renewed login reaches the user's file.
fn credentials(job: &Job<'_>, launch: &mut Launch) -> std::io::Result<()> {
    let Some(data) = data_home(job.vars) else {
        return Ok(());
    };
    let own = job.state_dir.join("data/opencode");
    std::fs::create_dir_all(&own)?;
    for name in CREDENTIALS {
        let (theirs, link) = (data.join("opencode").join(name), own.join(name));
        if theirs.is_file() && std::fs::read_link(&link).ok().as_deref() != Some(&*theirs) {
            if link.symlink_metadata().is_ok() {
                std::fs::remove_file(&link)?;
            }
            std::os::unix::fs::symlink(&theirs, &link)?;
        }
        launch.writes(theirs);
    }
    Ok(())
}

/// Where its data would be without us.
fn data_home(vars: Vars<'_>) -> Option<PathBuf> {
    let set = vars("XDG_DATA_HOME").filter(|path| Path::new(path).is_absolute());
    match set {
        Some(path) => Some(path.into()),
        None => vars("HOME").map(|home| Path::new(&home).join(".local/share")),
    }
}

/// The folders with the user's settings.
fn settings_folders(vars: Vars<'_>) -> Vec<PathBuf> {
    let config = match vars("XDG_CONFIG_HOME") {
        Some(path) => Some(PathBuf::from(path)),
        None => vars("HOME").map(|home| Path::new(&home).join(".config")),
    };
    let own = vars("OPENCODE_CONFIG_DIR").map(PathBuf::from);
    own.into_iter()
        .chain(config.map(|config| config.join("opencode")))
        .collect()
}

/// The files with the user's settings that name providers and keys.
fn settings(vars: Vars<'_>) -> Vec<PathBuf> {
    let names = ["opencode.json", "opencode.jsonc", "config.json"];
    let folders = settings_folders(vars).into_iter();
    let mut files: Vec<_> = folders
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .collect();
    files.extend(vars("OPENCODE_CONFIG").map(PathBuf::from));
    files
}

/// The model that settings name: the value after `"model":`.
fn model_in(settings: &str) -> Option<&str> {
    let value = settings.split_once("\"model\"")?.1.split_once(':')?.1;
    value.trim_start().strip_prefix('"')?.split('"').next()
}

/// The names in `{env:NAME}`.
fn keys_named_in(config: &str) -> impl Iterator<Item = &str> {
    config.split("{env:").skip(1).filter_map(|rest| {
        let name = rest.split_once('}')?.0;
        let sound = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        sound.then_some(name)
    })
}

/// One line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    timestamp: Option<i64>,
    #[serde(borrow, default, rename = "sessionID")]
    session: Text<'a>,
    #[serde(borrow)]
    part: Option<Part<'a>>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    tool: Text<'a>,
    #[serde(borrow, default, rename = "callID")]
    call: Text<'a>,
    #[serde(borrow)]
    state: Option<State<'a>>,
    #[serde(borrow, default)]
    reason: Text<'a>,
    tokens: Option<Tokens>,
    cost: Option<f64>,
}

/// How a tool call ended.
#[derive(Deserialize)]
struct State<'a> {
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(default)]
    input: Input,
    #[serde(borrow, default)]
    output: Text<'a>,
    #[serde(borrow, default)]
    error: Text<'a>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    exit: Option<i64>,
}

/// One step's; `input` is without what came from the cache, `output` without reasoning.
#[derive(Deserialize)]
struct Tokens {
    input: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    cache: Option<Cache>,
}

#[derive(Deserialize)]
struct Cache {
    read: Option<u64>,
    write: Option<u64>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow)]
    data: Option<FailureData<'a>>,
}

#[derive(Deserialize)]
struct FailureData<'a> {
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(rename = "statusCode")]
    status: Option<u16>,
    #[serde(borrow, rename = "responseHeaders")]
    headers: Option<Headers<'a>>,
}

#[derive(Deserialize)]
struct Headers<'a> {
    #[serde(borrow, default, rename = "retry-after")]
    retry_after: Text<'a>,
}

/// The events of one run.
#[derive(Default)]
struct Steps {
    session: String,
    /// The reason of the last step's end; `stop` is a good one.
    ended: String,
    failed: bool,
}

impl Dialect for Steps {
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return;
        };
        if !line.session.is_empty() && line.session.as_str() != self.session {
            line.session.as_str().clone_into(&mut self.session);
            events.push(Event::Session {
                id: self.session.clone(),
                model: None,
                version: None,
            });
        }
        match (line.kind.as_str(), &line.part) {
            ("text", Some(part)) => events.push(Event::message(part.text.as_str())),
            ("reasoning", Some(part)) => events.push(Event::Thinking {
                text: part.text.as_str().to_owned(),
            }),
            ("tool_use", Some(part)) => tool(part, events),
            ("step_finish", Some(part)) => {
                part.reason.as_str().clone_into(&mut self.ended);
                events.extend(usage(part));
            }
            ("error", _) => {
                self.failed = true;
                events.extend(line.error.iter().map(|error| failure(error, line.timestamp)));
            }
            _ => {}
        }
    }

    fn stderr(&mut self, line: &str, events: &mut Vec<Event>) {
        if line.contains("Session not found") {
            self.failed = true;
            events.push(Event::fatal(Trouble::Session, clip(line.trim(), INPUT)));
        }
    }

    fn end(&mut self, code: Option<i32>, events: &mut Vec<Event>) {
        let Some(code) = code else {
            return;
        };
        events.push(Event::Result {
            ok: code == 0 && !self.failed && self.ended == "stop",
            text: None,
            reason: match (code, self.ended.as_str()) {
                (0, "") => "it ended without a step".to_owned(),
                (0, reason) => reason.to_owned(),
                (code, _) => format!("exit code {code}"),
            },
        });
    }
}

/// A tool call, told once it is over.
fn tool(part: &Part<'_>, events: &mut Vec<Event>) {
    let (id, tool) = (part.call.as_str().to_owned(), part.tool.as_str().to_owned());
    let Some(state) = &part.state else {
        return;
    };
    events.push(Event::ToolCall {
        id: id.clone(),
        tool: tool.clone(),
        paths: state.input.paths.clone(),
        input: state.input.brief.clone(),
    });
    // A tool that was taken away from the model ends as the tool `invalid`, and well.
    let failed = state.status.as_str() == "error" || tool == "invalid";
    let output = if state.error.is_empty() {
        &state.output
    } else {
        &state.error
    };
    if failed && refused(output.as_str()) {
        events.push(Event::Permission {
            id: id.clone(),
            tool: tool.clone(),
            granted: false,
            reason: output.clip(INPUT),
        });
    }
    let exit = state.metadata.as_ref().and_then(|metadata| metadata.exit);
    events.push(Event::ToolResult {
        id,
        tool,
        ok: !failed && exit.unwrap_or(0) == 0,
        exit,
        paths: state.input.paths.clone(),
        output: output.clip(OUTPUT),
    });
}

fn refused(error: &str) -> bool {
    [
        "prevents you from using",
        "rejected permission",
        "unavailable tool",
    ]
    .iter()
    .any(|words| error.contains(words))
}

fn usage(part: &Part<'_>) -> Option<Event> {
    let tokens = part.tokens.as_ref();
    let cache = tokens.and_then(|tokens| tokens.cache.as_ref());
    let written = cache.and_then(|cache| cache.write).unwrap_or(0);
    let thought = tokens.and_then(|tokens| tokens.reasoning).unwrap_or(0);
    (tokens.is_some() || part.cost.is_some()).then(|| Event::Usage {
        input: tokens
            .and_then(|tokens| tokens.input)
            .map(|input| input + written),
        output: tokens
            .and_then(|tokens| tokens.output)
            .map(|output| output + thought),
        cached: cache.and_then(|cache| cache.read),
        cost: part.cost,
    })
}

/// It comes after all retries, so nothing follows that could make it good.
fn failure(error: &Failure<'_>, timestamp: Option<i64>) -> Event {
    let data = error.data.as_ref();
    let message = data.map_or_else(Text::default, |data| data.message.clone());
    let message = if message.is_empty() { &error.name } else { &message };
    let kind = match (data.and_then(|data| data.status), error.name.as_str()) {
        (Some(401 | 403), _) | (_, "ProviderAuthError") => Trouble::Auth,
        (Some(429), _) => Trouble::Limit,
        (Some(500..), _) => Trouble::Network,
        _ => trouble(message.as_str()),
    };
    let wait = data.and_then(|data| data.headers.as_ref());
    let wait = wait.and_then(|headers| headers.retry_after.as_str().parse::<i64>().ok());
    match (kind, wait, timestamp) {
        (Trouble::Limit, Some(wait), Some(now)) => Event::Error {
            kind,
            message: format!("{} (again in {wait} s)", message.clip(OUTPUT)),
            fatal: true,
            until: Some(now / 1000 + wait),
        },
        _ => Event::fatal(kind, message.clip(OUTPUT)),
    }
}
