//! The built-in brain: the prompt is a POSIX shell script.
//!
//! No key, no network, no model; for plain commands, for demonstrations, and for tests. It runs only when it is
//! named. What the script prints is the answer; exit code 0 is success. An `ask` is held back by the sandbox or
//! the receipts alone, since a script has no read-only mode.

use super::{
    contract::{Account, Brain, Capabilities, Job, Launch, ToolStart},
    event::{Event, Role},
    model::SignedIn,
    model::{Dialect, Session, Vars},
    provider::Provider,
    translate::Translator,
};

/// See the module.
pub(super) struct Shell;

impl Brain for Shell {
    fn name(&self) -> &'static str {
        "shell"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: false,
            own_session: false,
            tool_start: ToolStart::None,
            usage: false,
            cost: false,
        }
    }

    fn account(&self) -> Account {
        Account {
            program: None,
            version: &[],
            install: "",
            login: "",
        }
    }

    fn signed_in(&self, _vars: Vars<'_>) -> SignedIn {
        SignedIn::Yes
    }

    fn env_names(&self, _vars: Vars<'_>) -> Vec<String> {
        Vec::new()
    }

    fn provider(&self, _model: Option<&str>, _vars: Vars<'_>) -> Option<Provider> {
        None
    }

    fn remark(&self, remark: &str, prompt: &str) -> String {
        let comments: String = remark.lines().map(|line| format!("# {line}\n")).collect();
        comments + prompt
    }

    fn launch(&self, job: &Job<'_>) -> std::io::Result<Launch> {
        let mut launch = Launch::new::<&str>(job.program.unwrap_or("sh".as_ref()), &[]);
        launch.arg(job.prompt_file);
        Ok(launch)
    }

    fn translator(&self, session: &Session) -> Translator {
        Translator::new(Script, session)
    }
}

/// What it prints is text.
struct Script;

impl Dialect for Script {
    fn is_text(&self) -> bool {
        true
    }

    fn line(&mut self, piece: &[u8], events: &mut Vec<Event>) -> bool {
        events.push(Event::Message {
            role: Role::Assistant,
            text: String::from_utf8_lossy(piece).into_owned(),
            delta: true,
        });
        true
    }

    fn end(&mut self, code: Option<i32>, events: &mut Vec<Event>) {
        events.push(Event::Result {
            ok: code == Some(0),
            text: None,
            reason: match code {
                Some(0) => String::new(),
                Some(code) => format!("the script ended with exit code {code}"),
                None => "the script was killed".to_owned(),
            },
        });
    }
}
