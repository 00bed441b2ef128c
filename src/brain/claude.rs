//! Anthropic's Claude Code, `claude -p --output-format stream-json`.
//!
//! Measured with 2.1.330. Failures come as a `result` line with `subtype: "success"` and `is_error: true`, often
//! with exit code 0; the first key of a line need not be `type`. A session takes the UUID that we give it, once;
//! after that only `--resume` opens it. On resume the tokens are this run's, the cost is the whole session's.

mod line;

use std::{borrow::Cow, path::PathBuf};

use line::{Block, Blocks, Line};

use super::{
    contract::{Account, Brain, Capabilities, Job, Launch, Permissions, Stdin, ToolStart},
    event::{Event, Role, Trouble},
    model::{Dialect, Session, SignedIn, Vars},
    preflight::{has_any, is_filled, says},
    provider::Provider,
    text::{INPUT, OUTPUT, framed},
    translate::{Translator, before},
    trouble::sort,
};
use crate::task::Mode;

/// How often it may run into a limit before we stop waiting, some seventeen seconds in. By itself it goes on for
/// minutes.
const LIMITED: u64 = 5;
/// How long it waits for a limit before its next try, in milliseconds, where that is not its own patience (half a
/// minute at most) but what the provider has told it.
const TOLD: u64 = 60_000;
/// How its own account of having been interrupted begins.
const INTERRUPTED: &str = "[ede_diagnostic]";
/// The tools that write files; an ask goes without.
const WRITING_TOOLS: &str = "Edit,Write,NotebookEdit";

/// What opens an account by itself, in its own order.
const KEYS: [&str; 3] = [
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// See the module.
pub(super) struct Claude;

impl Brain for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: true,
            own_session: true,
            tool_start: ToolStart::Async,
            usage: true,
            cost: true,
        }
    }

    fn account(&self) -> Account {
        Account {
            program: Some("claude"),
            version: &["--version"],
            install: "npm install -g @anthropic-ai/claude-code",
            login: "claude auth login",
        }
    }

    fn provider(&self, _model: Option<&str>, vars: Vars<'_>) -> Option<Provider> {
        let (name, keys): (_, &[&str]) = if vars("CLAUDE_CODE_USE_BEDROCK").is_some() {
            (
                "bedrock",
                &["AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"],
            )
        } else if vars("CLAUDE_CODE_USE_VERTEX").is_some() {
            ("vertex", &["ANTHROPIC_VERTEX_PROJECT_ID"])
        } else {
            ("anthropic", &KEYS)
        };
        let login = home(vars).map(|(folder, _)| folder).unwrap_or_default();
        Some(Provider::of(vars, name, (keys, "ANTHROPIC_BASE_URL"), &login))
    }

    fn signed_in(&self, vars: Vars<'_>) -> SignedIn {
        if has_any(vars, &KEYS) {
            return SignedIn::Yes;
        }
        let elsewhere = [
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
            "CLAUDE_CODE_USE_FOUNDRY",
        ];
        let (Some((folder, config)), false) = (home(vars), has_any(vars, &elsewhere)) else {
            return SignedIn::Unknown;
        };
        if is_filled(&folder.join(".credentials.json")) || says(&config, &["primaryApiKey"]) {
            SignedIn::Yes
        } else if cfg!(target_os = "macos")
            || says(&folder.join("settings.json"), &["apiKeyHelper", "\"env\""])
        {
            // In the keychain, or wherever its settings say.
            SignedIn::Unknown
        } else {
            SignedIn::No
        }
    }

    fn env_names(&self, vars: Vars<'_>) -> Vec<String> {
        let mut names = vec!["ANTHROPIC_*", "CLAUDE_*", "DISABLE_*", "MAX_THINKING_TOKENS"];
        // Keys of a cloud reach it only where the user pointed it to that cloud.
        if vars("CLAUDE_CODE_USE_BEDROCK").is_some() {
            names.push("AWS_*");
        }
        if vars("CLAUDE_CODE_USE_VERTEX").is_some() {
            names.extend(["GOOGLE_*", "CLOUD_ML_REGION", "VERTEX_*"]);
        }
        names.into_iter().map(str::to_owned).collect()
    }

    fn frame<'p>(&self, prompt: &'p str) -> Cow<'p, str> {
        framed(prompt)
    }

    fn launch(&self, job: &Job<'_>) -> std::io::Result<Launch> {
        let program = job.program.unwrap_or("claude".as_ref());
        let mut launch = Launch::new(program, &["-p", "--output-format", "stream-json", "--verbose"]);
        permit(job, &mut launch);
        // A session that goes on would keep the model of its last run.
        let goes_on = matches!(job.session, Session::Resume { .. });
        let usual = || goes_on.then(|| usual_model(job));
        if let Some(model) = job.model.map(str::to_owned).or_else(usual) {
            launch.option("--model", model);
        }
        match job.session {
            Session::New(id) => launch.option("--session-id", id),
            Session::Resume { id, .. } => launch.option("--resume", id),
        };
        launch.env("DISABLE_AUTOUPDATER", "1").stdin = Stdin::Prompt;
        state(job.vars, &mut launch)?;
        Ok(launch)
    }

    fn translator(&self, session: &Session) -> Translator {
        let dialect = Conversation {
            counted: before(session).cost,
            denials: 0,
        };
        Translator::new(dialect, session).with_own_id()
    }
}

/// What it may do. Inside our sandbox everything; an ask goes without the tools that write, and its worktree is
/// read-only there.
fn permit(job: &Job<'_>, launch: &mut Launch) {
    let free = match job.mode {
        Mode::Ask => job.sandboxed,
        Mode::Act => {
            job.permissions == Permissions::All || (job.sandboxed && job.permissions == Permissions::Auto)
        }
    };
    if free {
        // As root it refuses to skip permissions unless it is told that it is contained.
        launch
            .arg("--dangerously-skip-permissions")
            .env("IS_SANDBOX", "1");
    } else {
        let mode = if job.mode == Mode::Ask {
            "dontAsk"
        } else {
            "acceptEdits"
        };
        launch.option("--permission-mode", mode);
        if job.mode == Mode::Act && !job.allow.is_empty() {
            launch.option("--allowedTools", job.allow.join(","));
        }
    }
    if job.mode == Mode::Ask {
        launch.option("--disallowedTools", WRITING_TOOLS);
    }
}

/// The model that it would begin a session with, in its own order.
fn usual_model(job: &Job<'_>) -> String {
    let set = (job.vars)("ANTHROPIC_MODEL").and_then(|model| model.into_string().ok());
    let own = home(job.vars).map(|(folder, _)| folder.join("settings.json"));
    let project =
        ["settings.local.json", "settings.json"].map(|name| job.work_dir.join(".claude").join(name));
    let named = || {
        project.into_iter().chain(own).find_map(|path| {
            let settings: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            Some(settings.get("model")?.as_str()?.to_owned())
        })
    };
    let model = set.filter(|model| !model.is_empty()).or_else(named);
    model.unwrap_or_else(|| "default".to_owned())
}

/// Its folder, and the file beside it.
fn home(vars: Vars<'_>) -> Option<(PathBuf, PathBuf)> {
    if let Some(own) = vars("CLAUDE_CONFIG_DIR").map(PathBuf::from) {
        return Some((own.clone(), own.join(".claude.json")));
    }
    let home = PathBuf::from(vars("HOME")?);
    Some((home.join(".claude"), home.join(".claude.json")))
}

/// Sessions and credentials are its to write, settings are not: hooks in them would run outside the sandbox.
fn state(vars: Vars<'_>, launch: &mut Launch) -> std::io::Result<()> {
    let Some((folder, config)) = home(vars) else {
        return Ok(());
    };
    // Servers and trusted folders, beside counters that it would rewrite at every start and does without.
    launch.reads(config);
    for name in [
        "settings.json",
        "settings.local.json",
        "CLAUDE.md",
        "agents",
        "commands",
        "skills",
        "plugins",
        "output-styles",
        "rules",
    ] {
        launch.reads(folder.join(name));
    }
    launch.writes(folder.join(".credentials.json"));
    launch.keeps(folder.join("projects"))?;
    Ok(())
}

/// The events of one run.
struct Conversation {
    /// What it had counted for the session when it last told. A run can have several results: one each time that
    /// something in the background gives it another turn.
    counted: Option<f64>,
    denials: usize,
}

impl Dialect for Conversation {
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> bool {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return false;
        };
        match (line.kind.as_str(), line.subtype.as_str()) {
            ("system", "init") => events.push(Event::Session {
                id: line.session_id.0.into_owned(),
                model: line.model.filled(),
                version: line.claude_code_version.filled(),
            }),
            ("system", "api_retry") => events.push(retry(&line)),
            ("system", "permission_denied") => {
                self.denials += 1;
                events.push(Event::Permission {
                    id: line.tool_use_id.0.into_owned(),
                    tool: line.tool_name.0.into_owned(),
                    granted: false,
                    reason: line.message.text().clip(INPUT),
                });
            }
            ("assistant", _) if !line.error.is_empty() => {
                let text = line.message.text().clip(OUTPUT);
                events.push(Event::error(sort(line.api_error_status, &text), text));
            }
            ("assistant", _) => say(&line.message, Role::Assistant, events),
            ("user", _) => say(&line.message, Role::User, events),
            ("rate_limit_event", _) => {
                if let Some(info) = line.rate_limit_info {
                    // It also tells when a limit that is far away will be reset.
                    let in_force = !info.status.as_str().starts_with("allowed");
                    let message = info.status.0.into_owned();
                    events.push(if in_force {
                        Event::RateLimit {
                            message,
                            until: info.resets_at,
                        }
                    } else {
                        Event::error(Trouble::Warning, message)
                    });
                }
            }
            ("result", _) => self.result(&line, events),
            _ => {}
        }
        true
    }
}

impl Conversation {
    fn result(&mut self, line: &Line<'_>, events: &mut Vec<Event>) {
        for denied in line.permission_denials.iter().skip(self.denials) {
            events.push(Event::Permission {
                id: denied.tool_use_id.0.clone().into_owned(),
                tool: denied.tool_name.0.clone().into_owned(),
                granted: false,
                reason: format!("{} was not permitted", denied.tool_name.as_str()),
            });
        }
        if line.usage.is_some() || line.total_cost_usd.is_some() {
            events.push(self.usage(line));
        }
        let ok = line.is_error == Some(false) && line.subtype.as_str() == "success";
        let said = if line.result.is_empty() {
            &line.errors
        } else {
            &line.result
        };
        if !ok && !said.as_str().starts_with(INTERRUPTED) {
            let kind = if lost(said.as_str()) {
                Trouble::Session
            } else {
                sort(line.api_error_status, said.as_str())
            };
            events.push(Event::fatal(kind, said.clip(OUTPUT)));
        }
        events.push(Event::Result {
            ok,
            text: if ok { line.result.filled() } else { None },
            reason: line.terminal_reason.clip(INPUT),
        });
    }

    fn usage(&mut self, line: &Line<'_>) -> Event {
        let cost = line.total_cost_usd.map(|now| {
            let before = self.counted.replace(now).unwrap_or(0.0);
            if now >= before { now - before } else { now }
        });
        let usage = line.usage.as_ref();
        Event::Usage {
            input: usage.and_then(|u| Some(u.input?.saturating_add(u.cache_written.unwrap_or(0)))),
            output: usage.and_then(|u| u.output),
            cached: usage.and_then(|u| u.cache_read),
            cost,
        }
    }
}

/// The blocks of a message.
fn say(message: &Blocks<'_>, role: Role, events: &mut Vec<Event>) {
    for block in &message.0 {
        let event = match block.kind.as_str() {
            "text" => Event::Message {
                role,
                text: block.text.0.clone().into_owned(),
                delta: false,
            },
            "thinking" => Event::Thinking {
                text: block.thinking.0.clone().into_owned(),
            },
            "tool_use" => Event::ToolCall {
                id: block.id.0.clone().into_owned(),
                tool: block.name.0.clone().into_owned(),
                paths: block.input.paths.clone(),
                input: block.input.brief.clone(),
            },
            "tool_result" if missing(block.content.as_str()) => {
                events.push(Event::Permission {
                    id: block.tool_use_id.0.clone().into_owned(),
                    tool: String::new(),
                    granted: false,
                    reason: block.content.clip(INPUT),
                });
                result(block)
            }
            "tool_result" => result(block),
            _ => continue,
        };
        events.push(event);
    }
}

fn result(block: &Block<'_>) -> Event {
    Event::ToolResult {
        id: block.tool_use_id.0.clone().into_owned(),
        tool: String::new(),
        ok: block.is_error != Some(true),
        exit: exit_code(block.content.as_str()),
        paths: Vec::new(),
        output: block.content.clip(OUTPUT),
    }
}

/// A tool that was taken away from it.
fn missing(output: &str) -> bool {
    output.contains("No such tool available")
}

/// A failed command's output begins with its exit code.
fn exit_code(output: &str) -> Option<i64> {
    output
        .strip_prefix("Exit code ")?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// A failed request that it tries again. A refused key stays refused; the first time it may be renewing its
/// login. A limit that lasts is the runner's to wait for.
fn retry(line: &Line<'_>) -> Event {
    let attempt = line.attempt.unwrap_or(1);
    // It has no word for a connection that does not come about.
    let unreached = line.error_status.is_none() && line.error.as_str() == "unknown";
    let cause = match line.error_status {
        _ if unreached => "the provider cannot be reached".to_owned(),
        Some(status) => format!("{} ({status})", line.error.as_str()),
        None => line.error.as_str().to_owned(),
    };
    let message = format!("{cause}, trying again: {attempt}");
    let wait = line.retry_delay_ms.filter(|wait| *wait > TOLD);
    match sort(line.error_status, line.error.as_str()) {
        Trouble::Auth if attempt > 1 => Event::fatal(Trouble::Auth, message),
        Trouble::Credit => Event::fatal(Trouble::Credit, cause),
        Trouble::Limit => match wait {
            Some(wait) => Event::fatal(Trouble::Limit, format!("{cause}, retrying after {wait}ms")),
            None if attempt > LIMITED => Event::fatal(Trouble::Limit, message),
            None => Event::RateLimit { message, until: None },
        },
        Trouble::Network => Event::error(Trouble::Network, message),
        _ if unreached => Event::error(Trouble::Network, message),
        _ => Event::error(Trouble::Warning, message),
    }
}

fn lost(said: &str) -> bool {
    said.contains("No conversation found") || said.contains("requires a valid session ID")
}
