//! Google's Gemini CLI, `gemini -o stream-json`.
//!
//! Measured with 0.61.0. A session takes the id that we give it, once. Text comes in pieces. Retries show on
//! stderr only and go on for minutes. It counts no cost. Sessions are found again by the last component of the
//! worktree's path.

mod telemetry;

use std::{borrow::Cow, path::PathBuf};

use serde::Deserialize;

use super::{
    contract::{Account, Brain, Capabilities, Job, Launch, Permissions, Stdin, ToolStart},
    event::{Event, Role, Trouble},
    model::{Dialect, Session, SignedIn, Vars},
    preflight::{has_any, is_filled, says},
    provider::Provider,
    reset::ends,
    text::{INPUT, Input, OUTPUT, Text, clip, framed, lenient},
    translate::Translator,
    trouble::trouble,
};
use crate::{refs::now, task::Mode};

/// How often it may run into a limit before we stop waiting.
const LIMITED: u32 = 4;
/// How long it may sleep till a limit is over, in seconds; the runner waits better than it does.
const PATIENCE: i64 = 60;

/// See the module.
pub(super) struct Gemini;

impl Brain for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: true,
            own_session: true,
            tool_start: ToolStart::Async,
            usage: true,
            cost: false,
        }
    }

    fn account(&self) -> Account {
        Account {
            program: Some("gemini"),
            version: &["--version"],
            install: "npm install -g @google/gemini-cli",
            login: "gemini",
        }
    }

    fn provider(&self, _model: Option<&str>, vars: Vars<'_>) -> Option<Provider> {
        let keys = ["GEMINI_API_KEY", "GOOGLE_API_KEY"];
        let login = vars("HOME")
            .map(|home| PathBuf::from(home).join(".gemini"))
            .unwrap_or_default();
        Some(Provider::of(
            vars,
            "google",
            (&keys, "GOOGLE_GEMINI_BASE_URL"),
            &login,
        ))
    }

    fn signed_in(&self, vars: Vars<'_>) -> SignedIn {
        let keys = [
            "GEMINI_API_KEY",
            "GOOGLE_API_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ];
        let Some(home) = vars("HOME") else {
            return SignedIn::Unknown;
        };
        let folder = PathBuf::from(home).join(".gemini");
        let settings = folder.join("settings.json");
        if has_any(vars, &keys) || is_filled(&folder.join("oauth_creds.json")) {
            SignedIn::Yes
        } else if has_any(
            vars,
            &[
                "GOOGLE_GENAI_USE_VERTEXAI",
                "GOOGLE_GENAI_USE_GCA",
                "GOOGLE_CLOUD_PROJECT",
            ],
        ) || is_filled(&folder.join(".env"))
            || says(&settings, &["selectedType", "selectedAuthType"])
        {
            SignedIn::Unknown
        } else {
            SignedIn::No
        }
    }

    fn env_names(&self, _vars: Vars<'_>) -> Vec<String> {
        ["GEMINI_*", "GOOGLE_*"].map(str::to_owned).into()
    }

    fn frame<'p>(&self, prompt: &'p str) -> Cow<'p, str> {
        plain(prompt)
    }

    fn launch(&self, job: &Job<'_>) -> std::io::Result<Launch> {
        let program = job.program.unwrap_or("gemini".as_ref());
        let mut launch = Launch::new(program, &["-o", "stream-json"]);
        let free =
            job.permissions == Permissions::All || (job.sandboxed && job.permissions == Permissions::Auto);
        match job.mode {
            Mode::Ask => launch.option("--approval-mode", "default"),
            Mode::Act if free => launch.arg("--yolo"),
            Mode::Act => launch.option("--approval-mode", "auto_edit"),
        };
        if job.mode == Mode::Act && !free && !job.allow.is_empty() {
            launch.option("--allowed-tools", job.allow.join(","));
        }
        if let Some(model) = job.model {
            launch.option("--model", model);
        }
        match job.session {
            Session::New(id) => launch.option("--session-id", id),
            Session::Resume { id, .. } => launch.option("--resume", id),
        };
        // Our sandbox or the user's word for this repository stands for its own question.
        launch.env("GEMINI_CLI_TRUST_WORKSPACE", "true").stdin = Stdin::Prompt;
        if let Some(home) = (job.vars)("HOME") {
            let folder = PathBuf::from(home).join(".gemini");
            for name in [
                "settings.json",
                "GEMINI.md",
                "extensions",
                "commands",
                "skills",
                "policies",
                "installation_id",
                ".env",
            ] {
                launch.reads(folder.join(name));
            }
            for name in ["oauth_creds.json", "google_accounts.json", "projects.json"] {
                launch.writes(folder.join(name));
            }
            launch.keeps(folder.join("tmp"))?;
        }
        telemetry::ask_for(job, &mut launch)?;
        Ok(launch)
    }

    fn translator(&self, session: &Session) -> Translator {
        Translator::new(Chat::default(), session).with_own_id()
    }
}

/// A prompt in which no `@` stands for a file's contents: this CLI would append the file, and take the word apart. One
/// behind a backslash stays, with the backslash.
fn plain(prompt: &str) -> Cow<'_, str> {
    let names = |(at, _): (usize, &str)| {
        let next = prompt[at + 1..].chars().next();
        next.is_some_and(|next| !next.is_whitespace() && !",;!?()[]{}.".contains(next))
            && !prompt[..at].ends_with('\\')
    };
    let places: Vec<usize> = prompt
        .match_indices('@')
        .filter(|found| names(*found))
        .map(|(at, _)| at)
        .collect();
    if places.is_empty() {
        return framed(prompt);
    }
    let mut text = "In the following, `\\@` stands for a plain at sign.\n\n".to_owned();
    let mut done = 0;
    for at in places {
        text.extend([&prompt[done..at], "\\"]);
        done = at;
    }
    text.push_str(&prompt[done..]);
    Cow::Owned(text)
}

/// One line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    session_id: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    delta: Option<bool>,
    #[serde(borrow, default)]
    tool_name: Text<'a>,
    #[serde(borrow, default)]
    tool_id: Text<'a>,
    #[serde(default)]
    parameters: Input,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    output: Text<'a>,
    #[serde(borrow, default)]
    severity: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    error: Option<Failure<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
}

/// The whole run's; `input` is without what came from the cache, the total has the thoughts.
#[derive(Deserialize)]
struct Stats {
    #[serde(rename = "total_tokens", default, deserialize_with = "lenient")]
    total: Option<u64>,
    #[serde(rename = "input_tokens", default, deserialize_with = "lenient")]
    prompt: Option<u64>,
    #[serde(rename = "output_tokens", default, deserialize_with = "lenient")]
    output: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    cached: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    input: Option<u64>,
}

/// The events of one run.
#[derive(Default)]
struct Chat {
    limited: u32,
    ended: bool,
    /// Why it has stopped itself, which it calls a success.
    stopped: Option<String>,
    /// The last thing on stderr that names a cause.
    cause: String,
}

impl Dialect for Chat {
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> bool {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return false;
        };
        match line.kind.as_str() {
            "init" => events.push(Event::Session {
                id: line.session_id.0.into_owned(),
                model: line.model.filled(),
                version: None,
            }),
            "message" => events.push(Event::Message {
                role: if line.role.as_str() == "user" {
                    Role::User
                } else {
                    Role::Assistant
                },
                text: line.content.0.into_owned(),
                delta: line.delta.unwrap_or(false),
            }),
            "tool_use" => events.push(Event::ToolCall {
                id: line.tool_id.0.into_owned(),
                tool: line.tool_name.0.into_owned(),
                paths: line.parameters.paths,
                input: line.parameters.brief,
            }),
            "tool_result" => result(&line, events),
            "error" => {
                if stops(line.message.as_str()) {
                    self.stopped = Some(line.message.clip(OUTPUT));
                }
                let kind = if line.severity.as_str() == "warning" {
                    Trouble::Warning
                } else {
                    trouble(line.message.as_str())
                };
                events.push(Event::error(kind, line.message.clip(OUTPUT)));
            }
            "result" => {
                self.ended = true;
                if let Some(why) = self.stopped.take() {
                    events.push(Event::fatal(Trouble::Other, why));
                }
                end(&line, events);
            }
            _ => {}
        }
        true
    }

    fn stderr(&mut self, line: &str, events: &mut Vec<Event>) {
        let line = line.trim();
        if line.starts_with("Attempt ") && line.contains(" failed") {
            events.extend(self.failed_try(line));
        } else if line.contains("Error") || line.contains("Please set an Auth method") {
            self.cause = clip(line, INPUT);
        }
    }

    fn aside(&mut self, text: &str, events: &mut Vec<Event>) {
        if let Some(why) = telemetry::cut_short(text) {
            events.push(Event::fatal(Trouble::Other, why));
        }
    }

    fn end(&mut self, code: Option<i32>, events: &mut Vec<Event>) {
        let kind = match code {
            _ if self.ended => return,
            Some(41) => Trouble::Auth,
            Some(42) if self.cause.contains("session") => Trouble::Session,
            Some(52) => Trouble::Config,
            // It leaves before its last words have gone through the pipe.
            Some(0) => {
                let why = "it ended without a result: what it said last is lost";
                events.push(Event::fatal(Trouble::Other, why));
                return;
            }
            None => return,
            Some(_) => trouble(&self.cause),
        };
        let reason = code.map_or_else(String::new, |code| format!("exit code {code}"));
        // Some codes speak for themselves.
        if !self.cause.is_empty() || kind != Trouble::Other {
            let cause = if self.cause.is_empty() {
                reason.clone()
            } else {
                self.cause.clone()
            };
            events.push(Event::fatal(kind, cause));
        }
        events.push(Event::Result {
            ok: false,
            text: None,
            reason,
        });
    }
}

impl Chat {
    /// A request that failed and that it tries again: ten times, or once it has slept till the quota is there again.
    fn failed_try(&mut self, line: &str) -> Option<Event> {
        let message = clip(line, INPUT);
        let kind = trouble(line);
        if kind == Trouble::Network {
            return Some(Event::error(kind, message));
        }
        if kind != Trouble::Limit {
            return None;
        }
        self.limited += 1;
        let far = ends(line).is_some_and(|until| until > now().saturating_add(PATIENCE));
        Some(if far || self.limited >= LIMITED {
            Event::fatal(kind, message)
        } else {
            Event::RateLimit { message, until: None }
        })
    }
}

fn result(line: &Line<'_>, events: &mut Vec<Event>) {
    let id = line.tool_id.0.clone().into_owned();
    let ok = line.status.as_str() == "success";
    if let Some(error) = line.error.as_ref().filter(|error| !ok && refused(error)) {
        events.push(Event::Permission {
            id: id.clone(),
            tool: String::new(),
            granted: false,
            reason: error.message.clip(INPUT),
        });
    }
    let said = line.error.as_ref().map_or(&line.output, |error| &error.message);
    events.push(Event::ToolResult {
        id,
        tool: String::new(),
        ok,
        exit: None,
        paths: Vec::new(),
        output: said.clip(OUTPUT),
    });
}

/// Whether it gives up by itself, with whatever it has so far.
fn stops(message: &str) -> bool {
    [
        "Loop detected",
        "Maximum session turns exceeded",
        "Agent execution stopped",
    ]
    .iter()
    .any(|words| message.starts_with(words))
}

fn refused(error: &Failure<'_>) -> bool {
    let says = |words: &str| error.message.as_str().contains(words);
    matches!(error.kind.as_str(), "policy_violation" | "tool_not_registered")
        || says("denied")
        || says("requires user confirmation")
        || says("not found in registry")
}

fn end(line: &Line<'_>, events: &mut Vec<Event>) {
    if let Some(stats) = &line.stats {
        let fresh = stats.input.or(stats.prompt);
        let said = stats
            .total
            .zip(stats.prompt)
            .map(|(total, prompt)| total.saturating_sub(prompt));
        events.push(Event::Usage {
            input: fresh,
            output: said.max(stats.output),
            cached: stats.cached,
            cost: None,
        });
    }
    let ok = line.status.as_str() == "success";
    if let Some(error) = line.error.as_ref().filter(|_| !ok) {
        events.push(Event::fatal(
            trouble(error.message.as_str()),
            error.message.clip(OUTPUT),
        ));
    }
    events.push(Event::Result {
        ok,
        text: None,
        reason: line.status.as_str().to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_names_no_file() {
        for kept in ["a @ b", "mail: a@, or @.", "none", "\\@there", "@"] {
            assert_eq!(plain(kept), kept);
        }
        let text = plain("Mail to bob@README.md, see @/etc/x and @\"a b\"; é@é");
        let (head, text) = text.split_once("\n\n").unwrap();
        assert!(head.contains("plain at sign"), "{head}");
        assert_eq!(
            text,
            "Mail to bob\\@README.md, see \\@/etc/x and \\@\"a b\"; é\\@é"
        );
        assert!(plain("/clear").starts_with("The task:"));
        assert!(!plain("/clear @x").starts_with('/'));
    }
}
