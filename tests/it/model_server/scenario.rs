//! What the model does in each scenario.

use serde_json::Value;

/// What a request says, in any protocol.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// The word after `SCENARIO=` in the newest prompt that has one.
    pub(super) scenario: String,
    /// That prompt.
    pub(super) prompt: String,
    /// How many prompts with a scenario there are: more than one proves that a session went on.
    pub(super) prompts: usize,
    /// Tool results since that prompt.
    pub(super) rounds: usize,
    /// The names of the tools on offer.
    pub(super) tools: Vec<String>,
    /// The client wants a JSON document, to choose a model by.
    pub(super) wants_json: bool,
    /// Where the client works, as it says itself.
    pub(super) folder: String,
}

/// One entry of a conversation.
pub(super) enum Entry<'a> {
    Prompt(&'a str),
    ToolResult,
}

/// What the model does next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    Say(String),
    Write { path: String, content: String },
    Run(String),
}

/// What goes wrong instead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Status(u16),
    Hang,
    Cut,
}

const MARK: &str = "SCENARIO=";

impl Seen {
    pub(super) fn of<'a>(entries: impl Iterator<Item = Entry<'a>>, tools: Vec<String>, body: &Value) -> Self {
        let mut seen = Self {
            tools,
            folder: folder(&body.to_string()),
            ..Self::default()
        };
        for entry in entries {
            match entry {
                Entry::Prompt(text) => {
                    if let Some((_, rest)) = text.rsplit_once(MARK) {
                        let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
                        seen.scenario = rest.chars().take_while(|c| word(*c)).collect();
                        text.clone_into(&mut seen.prompt);
                        seen.prompts += 1;
                        seen.rounds = 0;
                    }
                }
                Entry::ToolResult => seen.rounds += 1,
            }
        }
        seen
    }

    /// The first of `names` that is on offer.
    pub(super) fn tool(&self, names: &[&'static str]) -> Option<&'static str> {
        names
            .iter()
            .copied()
            .find(|name| self.tools.iter().any(|tool| tool == name))
    }
}

/// The folder that the client names as its own.
fn folder(body: &str) -> String {
    let marks = [
        "<cwd>",
        "orking directory: ",
        "workspace: ",
        "Workspace Directories:**\\n  - ",
    ];
    let found = marks.iter().find_map(|mark| {
        let rest = body.split_once(mark)?.1;
        let end = rest.find(['<', '\\', '"', '\n']).unwrap_or(rest.len());
        rest.starts_with('/')
            .then(|| rest[..end].trim_end_matches('.').to_owned())
    });
    found.unwrap_or_default()
}

/// What the model does, by scenario and turn. Requests that offer no tools are the client's own (titles,
/// summaries).
pub(super) fn turn(seen: &Seen) -> Turn {
    let say = |text: &str| Turn::Say(text.to_owned());
    let write = || Turn::Write {
        path: format!("{}/hello.txt", seen.folder),
        content: "hello from the model\n".to_owned(),
    };
    match (seen.scenario.as_str(), seen.rounds) {
        _ if seen.wants_json => say(r#"{"reasoning": "scripted", "model_choice": "flash", "complexity_reasoning": "scripted", "complexity_score": 1}"#),
        _ if seen.tools.is_empty() => say("A title"),
        ("write" | "429x2-write", 0) => write(),
        ("write" | "429x2-write", _) => say("All done: hello.txt is written."),
        ("shell", 0) => Turn::Run("echo hi > sh.txt; echo out; echo err >&2".to_owned()),
        ("shell", _) => say("Ran it."),
        ("false", 0) => Turn::Run("exit 3".to_owned()),
        ("false", _) => say("It failed."),
        ("commit", 0) => Turn::Run(
            "echo made > made.txt && git add made.txt && git -c user.name=m -c user.email=m@x commit -qm made".to_owned(),
        ),
        ("commit", _) => say("Committed."),
        ("long", 0) => Turn::Run("echo started > marker; sleep 25; echo finished > marker2".to_owned()),
        ("once", 0) => Turn::Run("test -e marker && exit; echo started > marker; sleep 60".to_owned()),
        ("count", _) => Turn::Say(format!("I have seen {} prompts.", seen.prompts)),
        _ => say("The answer is 42."),
    }
}

/// What goes wrong in a scenario, and how often.
pub(super) fn fault(scenario: &str) -> Option<(Fault, u32)> {
    let always = u32::MAX;
    match scenario {
        "401" => Some((Fault::Status(401), always)),
        "429" => Some((Fault::Status(429), always)),
        "429x2" | "429x2-write" => Some((Fault::Status(429), 2)),
        "500" => Some((Fault::Status(500), always)),
        "cut1" => Some((Fault::Cut, 1)),
        "cut" => Some((Fault::Cut, always)),
        "hang" => Some((Fault::Hang, always)),
        _ => None,
    }
}
