//! The Codex CLI of `OpenAI`, `codex exec --json`.
//!
//! Measured with 0.169.0. It names a session itself and, when asked for one that it cannot read, silently opens
//! a new one with exit code 0: the runner must compare ([`super::Verdict::wrong_session`]). Tokens are counted
//! for the whole thread. A refused write has no event, only a line on stderr. Its own sandbox does not start
//! inside ours, so in ours it runs without.

use std::{borrow::Cow, path::PathBuf};

use serde::Deserialize;

use super::{
    contract::{
        Account, Brain, Capabilities, Dialect, Job, Launch, Permissions, Session, Stdin, ToolStart, Total,
        Vars,
    },
    event::{Event, Trouble},
    preflight::{SignedIn, has_any, is_filled, says},
    provider::Provider,
    text::{INPUT, OUTPUT, Text, clip, trouble},
    translate::{Translator, before, grown},
};
use crate::task::Mode;

/// See the module.
pub(super) struct Codex;

impl Brain for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: true,
            own_session: false,
            tool_start: ToolStart::Async,
            usage: true,
            cost: false,
        }
    }

    fn account(&self) -> Account {
        Account {
            program: Some("codex"),
            version: &["--version"],
            install: "npm install -g @openai/codex",
            login: "codex login",
        }
    }

    fn provider(&self, _model: Option<&str>, vars: Vars<'_>) -> Option<Provider> {
        let login = home(vars).unwrap_or_default();
        let config = std::fs::read_to_string(login.join("config.toml")).unwrap_or_default();
        let named = value_of(&config, "model_provider").unwrap_or_else(|| "openai".to_owned());
        let own: Vec<String> = keys_named_in(&config).collect();
        let mut keys: Vec<&str> = own.iter().map(String::as_str).collect();
        keys.push("CODEX_API_KEY");
        Some(Provider::of(vars, &named, (&keys, "OPENAI_BASE_URL"), &login))
    }

    fn signed_in(&self, vars: Vars<'_>) -> SignedIn {
        let Some(home) = home(vars) else {
            return SignedIn::Unknown;
        };
        let config = home.join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap_or_default();
        let key_set = keys_named_in(&text).any(|name| has_any(vars, &[&name]));
        if key_set || has_any(vars, &["CODEX_API_KEY"]) || is_filled(&home.join("auth.json")) {
            SignedIn::Yes
        } else if has_any(vars, &["OPENAI_API_KEY"]) || says(&config, &["model_provider", "keyring"]) {
            SignedIn::Unknown
        } else {
            SignedIn::No
        }
    }

    fn env_names(&self, vars: Vars<'_>) -> Vec<String> {
        let mut names: Vec<String> = ["CODEX_*", "OPENAI_*", "AZURE_OPENAI_*"]
            .map(str::to_owned)
            .into();
        // A provider of the user's own names the variable that holds its key.
        let config = home(vars).map(|home| home.join("config.toml"));
        let config = config.and_then(|path| std::fs::read_to_string(path).ok());
        names.extend(config.iter().flat_map(|text| keys_named_in(text)));
        names
    }

    fn launch(&self, job: &Job<'_>) -> std::io::Result<Launch> {
        let program = job.program.unwrap_or("codex".as_ref());
        // Plugins look up a host of their own at every start.
        let mut launch = Launch::new(
            program,
            &["exec", "--json", "--disable", "plugins", "--skip-git-repo-check"],
        );
        match reach(job) {
            Some(sandbox) => launch.arg("-s").arg(sandbox),
            None => launch.arg("--dangerously-bypass-approvals-and-sandbox"),
        };
        if let Some(model) = job.model {
            launch.option("--model", model);
        }
        launch.args.extend(job.allow.iter().map(Into::into));
        if let Session::Resume { id, .. } = job.session {
            launch.arg("resume").arg(id.as_str());
        }
        launch.arg("-").stdin = Stdin::Prompt;
        if let Some(home) = home(job.vars) {
            // Its sandbox does not start from a home below the temporary folder: it gets another such folder.
            let temp = (job.vars)("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
            if reach(job).is_some() && home.starts_with(temp) {
                let own = job.state_dir.join("tmp");
                launch.keeps(own.clone())?.env("TMPDIR", own);
            }
            for name in [
                "config.toml",
                "AGENTS.md",
                "AGENTS.override.md",
                "prompts",
                "skills",
                "rules",
                "models_cache.json",
            ] {
                launch.reads(home.join(name));
            }
            launch.writes(home.join("auth.json"));
            launch.keeps(home.join("sessions"))?;
        }
        Ok(launch)
    }

    fn translator(&self, session: &Session) -> Translator {
        let dialect = Thread {
            asked: session.id().to_owned(),
            before: before(session),
            refused: 0,
        };
        Translator::new(dialect, session)
    }
}

/// Its own sandbox for the job; `None` is none at all.
fn reach(job: &Job<'_>) -> Option<&'static str> {
    match (job.mode, job.permissions) {
        // Inside our sandbox its own would refuse every command.
        _ if job.sandboxed => None,
        (Mode::Ask, _) => Some("read-only"),
        (Mode::Act, Permissions::All) => None,
        (Mode::Act, Permissions::Auto | Permissions::Edits) => Some("workspace-write"),
    }
}

fn home(vars: Vars<'_>) -> Option<PathBuf> {
    match vars("CODEX_HOME") {
        Some(home) => Some(PathBuf::from(home)),
        None => vars("HOME").map(|home| PathBuf::from(home).join(".codex")),
    }
}

/// The names that `env_key = "NAME"` lines give.
fn keys_named_in(config: &str) -> impl Iterator<Item = String> {
    config.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let name = value.trim().trim_matches(['"', '\'']);
        let sound = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (key.trim() == "env_key" && sound).then(|| name.to_owned())
    })
}

/// What a `key = "value"` line before the first table gives.
fn value_of(config: &str, key: &str) -> Option<String> {
    let top = config
        .lines()
        .take_while(|line| !line.trim_start().starts_with('['));
    let mut pairs = top.filter_map(|line| line.split_once('='));
    let value = pairs.find(|(name, _)| name.trim() == key)?.1.trim();
    Some(value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
}

/// One line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    thread_id: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    usage: Option<Tokens>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow, default)]
    message: Text<'a>,
}

/// Something that the model did.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow, default)]
    command: Text<'a>,
    #[serde(borrow, default)]
    aggregated_output: Text<'a>,
    exit_code: Option<i64>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    changes: Vec<Changed<'a>>,
    #[serde(borrow, default)]
    server: Text<'a>,
    #[serde(borrow, default)]
    tool: Text<'a>,
    #[serde(borrow, default)]
    query: Text<'a>,
}

#[derive(Deserialize)]
struct Changed<'a> {
    #[serde(borrow, default)]
    path: Text<'a>,
}

/// Counted over the whole thread; cached tokens are part of the input.
#[derive(Deserialize)]
struct Tokens {
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "cached_input_tokens")]
    cached: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
}

/// The events of one thread.
struct Thread {
    asked: String,
    before: Total,
    /// Requests that the provider refused for want of a good key.
    refused: u32,
}

impl Dialect for Thread {
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return;
        };
        match (line.kind.as_str(), &line.item, &line.usage) {
            ("thread.started", ..) => {
                if line.thread_id.as_str() != self.asked {
                    self.before = Total::default();
                }
                events.push(Event::Session {
                    id: line.thread_id.0.into_owned(),
                    model: None,
                    version: None,
                });
            }
            ("item.started", Some(item), _) => start(item, events),
            ("item.completed", Some(item), _) => complete(item, events),
            ("turn.completed", _, usage) => {
                if let Some(usage) = usage {
                    events.push(self.usage(usage));
                }
                events.push(Event::Result {
                    ok: true,
                    text: None,
                    reason: "turn completed".to_owned(),
                });
            }
            ("turn.failed", ..) => {
                let message = line.error.map_or(line.message, |error| error.message);
                let message = message.clip(OUTPUT);
                events.push(Event::fatal(trouble(&message), message.clone()));
                events.push(Event::Result {
                    ok: false,
                    text: None,
                    reason: message,
                });
            }
            ("error", ..) => events.push(self.error(&line.message)),
            _ => {}
        }
    }

    fn stderr(&mut self, line: &str, events: &mut Vec<Event>) {
        if let Some(reason) = refusal(line) {
            events.push(Event::Permission {
                id: String::new(),
                tool: "apply_patch".to_owned(),
                granted: false,
                reason: clip(&reason, INPUT),
            });
        }
        if line.contains("no rollout found for thread id") {
            events.push(Event::fatal(Trouble::Session, clip(line, INPUT)));
        }
    }
}

impl Thread {
    fn usage(&self, now: &Tokens) -> Event {
        let cached = now.cached.unwrap_or(0);
        let fresh = now.input.map(|input| input.saturating_sub(cached));
        let before = &self.before.usage;
        Event::Usage {
            input: grown(fresh, before.input),
            output: grown(now.output, before.output),
            cached: grown(now.cached, before.cached),
            cost: None,
        }
    }

    /// It tries five times, whatever the matter is. A refused key stays refused: the first time it may be
    /// renewing its login, the second time it is hopeless.
    fn error(&mut self, message: &Text<'_>) -> Event {
        let whole = message.clip(OUTPUT);
        let retrying = whole.starts_with("Reconnecting");
        let cause = whole
            .split_once(" (")
            .and_then(|(_, cause)| cause.strip_suffix(')'));
        let message = cause.filter(|_| retrying).unwrap_or(&whole).to_owned();
        let kind = trouble(&message);
        self.refused += u32::from(kind == Trouble::Auth);
        match kind {
            Trouble::Auth if !retrying || self.refused > 1 => Event::fatal(kind, message),
            Trouble::Limit if retrying => Event::RateLimit {
                message: whole,
                until: None,
            },
            _ if retrying => Event::error(Trouble::Warning, whole),
            _ => Event::error(kind, message),
        }
    }
}

fn start(item: &Item<'_>, events: &mut Vec<Event>) {
    let (tool, input): (Cow<'_, str>, _) = match item.kind.as_str() {
        "command_execution" => ("shell".into(), item.command.clip(INPUT)),
        "file_change" => ("apply_patch".into(), String::new()),
        "mcp_tool_call" => (mcp_name(item).into(), String::new()),
        "web_search" => ("web_search".into(), item.query.clip(INPUT)),
        _ => return,
    };
    events.push(Event::ToolCall {
        id: item.id.0.clone().into_owned(),
        tool: tool.into_owned(),
        paths: paths(item),
        input,
    });
}

fn complete(item: &Item<'_>, events: &mut Vec<Event>) {
    let (tool, output) = match item.kind.as_str() {
        "agent_message" => return events.push(Event::message(item.text.0.clone())),
        "reasoning" => {
            return events.push(Event::Thinking {
                text: item.text.0.clone().into_owned(),
            });
        }
        // It says `error` and goes on.
        "error" => {
            return events.push(Event::error(Trouble::Warning, item.message.clip(OUTPUT)));
        }
        "command_execution" => ("shell".to_owned(), item.aggregated_output.clip(OUTPUT)),
        "file_change" => ("apply_patch".to_owned(), String::new()),
        "mcp_tool_call" => (mcp_name(item), String::new()),
        "web_search" => ("web_search".to_owned(), item.query.clip(INPUT)),
        _ => return,
    };
    let id = item.id.0.clone().into_owned();
    if item.status.as_str() == "declined" {
        events.push(Event::Permission {
            id: id.clone(),
            tool: tool.clone(),
            granted: false,
            reason: clip(&format!("{tool} was declined"), INPUT),
        });
    }
    events.push(Event::ToolResult {
        id,
        tool,
        ok: item.status.as_str() == "completed" || item.status.is_empty(),
        exit: item.exit_code,
        paths: paths(item),
        output,
    });
}

fn mcp_name(item: &Item<'_>) -> String {
    format!("{}.{}", item.server.as_str(), item.tool.as_str())
}

fn paths(item: &Item<'_>) -> Vec<String> {
    item.changes
        .iter()
        .map(|change| change.path.0.clone().into_owned())
        .collect()
}

/// What a stderr line says was refused.
fn refusal(line: &str) -> Option<String> {
    [
        "rejected by user approval settings",
        "writing outside of the project",
        "writing is blocked by read-only sandbox",
        "Failed to write file",
    ]
    .iter()
    .any(|words| line.contains(words))
    .then(|| line.trim().to_owned())
}
