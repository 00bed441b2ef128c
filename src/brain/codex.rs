//! The Codex CLI of `OpenAI`, `codex exec --json`.
//!
//! Measured with 0.169.0. It names a session itself and, when asked for one that it cannot read, silently opens
//! a new one with exit code 0: the runner must compare ([`super::Verdict::wrong_session`]). Tokens are counted
//! for the whole thread. A refused write has no event, only a line on stderr. Its own sandbox does not start
//! inside ours, so in ours it runs without.

mod line;
mod settings;

use std::{borrow::Cow, path::PathBuf};

use line::{Item, Line, Tokens};
use settings::Settings;

use super::{
    contract::{Account, Brain, Capabilities, Job, Launch, Permissions, Stdin, ToolStart},
    event::{Event, Trouble},
    model::{Dialect, Session, SignedIn, Vars},
    preflight::{has_any, is_filled},
    provider::Provider,
    text::{INPUT, OUTPUT, Text, clip},
    translate::{Translator, before, grown},
    trouble::trouble,
};
use crate::task::{Mode, Usage};

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
        let settings = Settings::at(&login);
        let mut keys = settings.keys();
        keys.push("CODEX_API_KEY");
        let named = settings.provider().unwrap_or("openai");
        Some(Provider::of(vars, named, (&keys, "OPENAI_BASE_URL"), &login))
    }

    fn signed_in(&self, vars: Vars<'_>) -> SignedIn {
        let Some(home) = home(vars) else {
            return SignedIn::Unknown;
        };
        let settings = Settings::at(&home);
        let keys = settings.keys();
        if has_any(vars, &keys) || has_any(vars, &["CODEX_API_KEY"]) || is_filled(&home.join("auth.json")) {
            SignedIn::Yes
        } else if has_any(vars, &["OPENAI_API_KEY"]) || settings.may_be_signed_in() {
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
        let settings = home(vars).map(|home| Settings::at(&home));
        names.extend(settings.iter().flat_map(Settings::keys).map(str::to_owned));
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
            before: before(session).usage,
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

/// The events of one thread.
struct Thread {
    asked: String,
    /// What was counted when it last told.
    before: Usage,
    /// Requests that the provider refused for want of a good key.
    refused: u32,
}

impl Dialect for Thread {
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> bool {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return false;
        };
        match (line.kind.as_str(), &line.item, &line.usage) {
            ("thread.started", ..) => {
                if line.thread_id.as_str() != self.asked {
                    self.before = Usage::default();
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
        true
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
        // Why it cannot is not said: a full disk, or a worktree that an ask may only read.
        if line.starts_with("Failed to write file") {
            events.push(Event::error(Trouble::Other, clip(line.trim(), INPUT)));
        }
        if line.contains("no rollout found for thread id") {
            events.push(Event::fatal(Trouble::Session, clip(line, INPUT)));
        }
    }
}

impl Thread {
    fn usage(&mut self, now: &Tokens) -> Event {
        let cached = now.cached.unwrap_or(0);
        let fresh = now.input.map(|input| input.saturating_sub(cached));
        let counted = Usage {
            input: fresh,
            output: now.output,
            cached: now.cached,
        };
        let before = std::mem::replace(&mut self.before, counted);
        Event::Usage {
            input: grown(fresh, before.input),
            output: grown(now.output, before.output),
            cached: grown(now.cached, before.cached),
            cost: None,
        }
    }

    /// It tries five times, whatever the matter is, and without end where nothing answers. A refused key stays refused:
    /// the first time it may be renewing its login, the second time it is hopeless.
    fn error(&mut self, message: &Text<'_>) -> Event {
        let whole = message.clip(OUTPUT);
        // Each try has the model say the same again, at its price, and what it says is told each time.
        if let Some(reason) = incomplete(&whole) {
            return Event::fatal(Trouble::Other, reason);
        }
        let retrying = whole.starts_with("Reconnecting");
        let cause = whole
            .split_once(" (")
            .and_then(|(_, cause)| cause.strip_suffix(')'));
        let message = cause.filter(|_| retrying).unwrap_or(&whole).to_owned();
        let kind = trouble(&message);
        self.refused += u32::from(kind == Trouble::Auth);
        match kind {
            Trouble::Auth if !retrying || self.refused > 1 => Event::fatal(kind, message),
            Trouble::Credit | Trouble::Full => Event::fatal(kind, message),
            Trouble::Limit if retrying => Event::RateLimit {
                message: whole,
                until: None,
            },
            Trouble::Network if retrying => Event::error(kind, message),
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

/// Why the provider ended an answer before its end, where a message says that it did.
fn incomplete(message: &str) -> Option<String> {
    let (_, reason) = message.split_once("Incomplete response returned, reason: ")?;
    let reason = reason.trim_end_matches(')').trim();
    Some(match reason {
        "max_output_tokens" => {
            format!("the answer was cut off: the model came to its limit of output ({reason})")
        }
        "content_filter" => format!("the provider withheld the answer ({reason})"),
        _ => format!("the provider ended the answer before its end ({reason})"),
    })
}

/// What a stderr line says was refused by its own rules.
fn refusal(line: &str) -> Option<String> {
    let rules = [
        "rejected by user approval settings",
        "writing outside of the project",
        "writing is blocked by read-only sandbox",
    ];
    let refused = rules.iter().any(|words| line.contains(words));
    refused.then(|| line.trim().to_owned())
}
