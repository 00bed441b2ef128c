//! opencode, `opencode run --format json`.
//!
//! Measured with 1.18.33. It tells of a tool only once it has ended, has no last line that says how the run came
//! out, and counts tokens and cost a step. Two runs on one data folder fail now and then, so every clone has its
//! own, with the user's credentials linked in. Without any provider it hangs and says nothing.

mod line;
mod settings;

use std::path::{Path, PathBuf};

use line::{Failure, Line, Part};
use settings::Settings;

use super::{
    contract::{Account, Brain, Capabilities, Job, Launch, Permissions, Stdin, ToolStart},
    event::{Event, Trouble},
    model::{Dialect, Session, SignedIn, Vars},
    preflight::{has_any, is_filled},
    provider::Provider,
    reset::ends,
    text::{INPUT, OUTPUT, Text, clip},
    translate::Translator,
    trouble::{sort, trouble},
};
use crate::{refs::now, task::Mode};

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

/// How often it may make room in a session before there is no point in it.
const OVERFLOWS: u32 = 3;
/// How often it may run into a limit before we stop waiting, half a minute in.
const LIMITED: u32 = 5;
/// How long it may sleep till a limit is over, in seconds; the runner waits better than it does.
const PATIENCE: i64 = 60;

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
        let settings = Settings::of(vars);
        let model = model.or_else(|| settings.model()).unwrap_or_default();
        let name = model.split_once('/').map_or("opencode", |(provider, _)| provider);
        let mut keys = vec![format!("{}_API_KEY", name.to_ascii_uppercase().replace('-', "_"))];
        if name == "google" {
            keys.extend(["GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"].map(str::to_owned));
        }
        keys.extend(settings.variables());
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
        let provider = Settings::of(vars).has_provider();
        if provider || has_any(vars, &keys) || login.is_some_and(|path| is_filled(&path)) {
            SignedIn::Yes
        } else {
            // It has models of its own that need no key, and knows a hundred providers.
            SignedIn::Unknown
        }
    }

    fn env_names(&self, vars: Vars<'_>) -> Vec<String> {
        let mut names: Vec<String> = KEYS.map(str::to_owned).into();
        names.extend(Settings::of(vars).variables());
        names
    }

    fn launch(&self, job: &Job<'_>) -> std::io::Result<Launch> {
        let program = job.program.unwrap_or("opencode".as_ref());
        // Of its tries nothing is told but in its log.
        let mut launch = Launch::new(
            program,
            &["run", "--format", "json", "--print-logs", "--log-level", "ERROR"],
        );
        // A session that goes on would keep the model of its last run.
        let settings = Settings::of(job.vars);
        let goes_on = matches!(job.session, Session::Resume { .. });
        if let Some(model) = job.model.or_else(|| settings.model().filter(|_| goes_on)) {
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
        for folder in settings::folders(job.vars) {
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

/// The events of one run.
#[derive(Default)]
struct Steps {
    session: String,
    /// The reason of the last step's end; `stop` is a good one.
    ended: String,
    failed: bool,
    /// How often the session had no room left. It makes room by itself, and does not see where that is in vain.
    overflows: u32,
    /// How often it ran into a limit.
    limited: u32,
    /// Sessions beside this one: of their steps nothing is told.
    subagents: u64,
}

impl Dialect for Steps {
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> bool {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return false;
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
            ("tool_use", Some(part)) => {
                self.subagents += u64::from(part.tool.as_str() == "task");
                tool(part, events);
            }
            ("step_finish", Some(part)) => {
                part.reason.as_str().clone_into(&mut self.ended);
                events.extend(usage(part));
            }
            ("error", _) => {
                let told = line.error.iter().map(|error| failure(error, line.timestamp));
                for event in told {
                    events.push(self.failed(event));
                }
            }
            _ => {}
        }
        true
    }

    fn stderr(&mut self, line: &str, events: &mut Vec<Event>) {
        if line.contains("Session not found") {
            self.failed = true;
            events.push(Event::fatal(Trouble::Session, clip(line.trim(), INPUT)));
        } else if let Some(cause) = failed_try(line) {
            events.extend(match trouble(cause) {
                kind @ Trouble::Network => Some(Event::error(kind, clip(cause, INPUT))),
                kind @ (Trouble::Credit | Trouble::Auth) => {
                    self.failed = true;
                    Some(Event::fatal(kind, clip(cause, INPUT)))
                }
                kind @ Trouble::Limit => Some(self.limited(kind, cause)),
                _ => None,
            });
        }
    }

    fn end(&mut self, code: Option<i32>, events: &mut Vec<Event>) {
        let Some(code) = code else {
            return;
        };
        // Having made room it may have got on, and yet it ends as if it had not.
        if code != 0 && self.overflows > 0 && !self.failed {
            events.push(Event::fatal(Trouble::Full, "the session had no room left"));
        }
        if self.subagents > 0 {
            let whose = if self.subagents == 1 {
                "a subagent"
            } else {
                "subagents"
            };
            let remark =
                format!("tokens and cost of {whose} are not counted: opencode tells nothing of them");
            events.push(Event::error(Trouble::Other, remark));
        }
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

impl Steps {
    fn failed(&mut self, event: Event) -> Event {
        let Event::Error {
            kind: Trouble::Full,
            message,
            ..
        } = event
        else {
            self.failed = true;
            return event;
        };
        self.overflows += 1;
        if self.overflows < OVERFLOWS {
            return Event::error(Trouble::Warning, message);
        }
        self.failed = true;
        Event::fatal(Trouble::Full, message)
    }

    /// It tries again without a word and without an end.
    fn limited(&mut self, kind: Trouble, cause: &str) -> Event {
        self.limited += 1;
        let message = clip(cause, INPUT);
        let far = ends(cause).is_some_and(|until| until > now().saturating_add(PATIENCE));
        if far || self.limited >= LIMITED {
            self.failed = true;
            return Event::fatal(kind, message);
        }
        Event::RateLimit { message, until: None }
    }
}

/// What a line of its log says of a request that failed and is tried again; not one for a title, which nothing waits
/// for.
fn failed_try(line: &str) -> Option<&str> {
    if !line.contains("message=\"stream error\"") || line.contains("agent=title") {
        return None;
    }
    let (_, cause) = line.split_once("error.error=\"")?;
    Some(cause.trim_end().trim_end_matches('"'))
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
            .map(|input| input.saturating_add(written)),
        output: tokens
            .and_then(|tokens| tokens.output)
            .map(|output| output.saturating_add(thought)),
        cached: cache.and_then(|cache| cache.read),
        cost: part.cost,
    })
}

/// It comes after all retries, so nothing follows that could make it good.
fn failure(error: &Failure<'_>, timestamp: Option<i64>) -> Event {
    let data = error.data.as_ref();
    let message = data.map_or_else(Text::default, |data| data.message.clone());
    let message = if message.is_empty() { &error.name } else { &message };
    let told = data.map_or("", |data| data.body.as_str());
    let kind = match error.name.as_str() {
        "ProviderAuthError" => Trouble::Auth,
        "ContextOverflowError" => Trouble::Full,
        // The provider's own code stands in the body only.
        _ => sort(
            data.and_then(|data| data.status),
            &format!("{} {told}", message.as_str()),
        ),
    };
    let wait = data.and_then(|data| data.headers.as_ref());
    let wait = wait.and_then(|headers| headers.retry_after.as_str().parse::<i64>().ok());
    match (kind, wait, timestamp) {
        (Trouble::Limit, Some(wait), Some(now)) => Event::Error {
            kind,
            message: format!("{} (again in {wait} s)", message.clip(OUTPUT)),
            fatal: true,
            until: (now / 1000).checked_add(wait),
        },
        _ => Event::fatal(kind, message.clip(OUTPUT)),
    }
}
