//! What the model does in each scenario.

use serde_json::{Value, json};

use super::refusals::Refusal;

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
    Write {
        path: String,
        content: String,
    },
    Run(String),
    /// In the background, where the client can.
    Later(String),
    /// By a tool of the client's, if it has one.
    Ask(String),
    /// So far, and no further.
    Stop(String, Stop),
}

/// Why a model stops before it has said all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stop {
    /// It has come to its limit of output.
    Length,
    /// The provider withholds the rest.
    Withheld,
}

/// What goes wrong instead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Status(u16),
    Refused(Refusal),
    Hang,
    Cut,
}

const MARK: &str = "SCENARIO=";

/// A day's work with git, a package manager and a compiler, each short enough for the patience of every CLI, without
/// what some refuse to run (command substitution, a forced removal).
const WORK: [&str; 3] = [
    "set -e; git config user.name m; git config user.email m@x
echo 1 > one; git add one; git commit -qm one; git switch -qc topic; echo t > t; git add t; git commit -qm topic
git switch -q -; echo 2 > two; git add two; git commit -qm two; git merge -q --no-edit topic
echo s >> one; git stash -q; git stash pop -q; git commit -qam stashed
git switch -qc side HEAD~1; echo 3 > three; git add three; git commit -qm three; git rebase -q khlone/main/foreman.1
git switch -q khlone/main/foreman.1; git merge -q --ff-only side; echo worked > with-git",
    "set -e; mkdir -p p q; printf '{\"name\":\"p\",\"version\":\"1.0.0\"}' > p/package.json
printf '{\"name\":\"q\",\"version\":\"1.0.0\"}' > q/package.json; cd p; npm pack --silent >/dev/null; cd ../q
npm install --silent --no-audit --no-fund --offline ../p/p-1.0.0.tgz; rm -r node_modules
npm ci --silent --no-audit --no-fund --offline; test -d node_modules/p; cd ..; rm -r p q; echo worked > with-npm",
    "set -e; cargo init -q --lib --name dep dep; git init -q dep; git -C dep add -A
git -C dep -c user.name=x -c user.email=x@x commit -qm dep; cargo init -q --vcs none --name app app
echo \"dep = { git = \\\"file://$PWD/dep\\\" }\" >> app/Cargo.toml; cd app; cargo build -q --offline 2>/dev/null || cargo build -q
test -x target/debug/app; cd ..; chmod -R u+w dep; rm -r dep app; echo worked > with-cargo",
];

/// Steps that do not do again what is done, and write down each time that they are asked to.
const STEPS: [&str; 4] = [
    "echo $KHLONE_ATTEMPT 1 >> calls; test -e one || echo one > one",
    "echo $KHLONE_ATTEMPT 2 >> calls; git log --format=%s | grep -qx 'step 2' || { echo two > two; git add one two; \
     git -c user.name=m -c user.email=m@x commit --allow-empty -qm 'step 2'; }",
    "echo $KHLONE_ATTEMPT 3 >> calls; for n in 1 2 3 4 5; do echo $n >> three; sleep 0.1; done",
    "echo $KHLONE_ATTEMPT 4 >> calls; mkdir -p four; echo four > four/four; sleep 0.3; test ! -e README.md || rm README.md",
];

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

    /// The questions of a [`Turn::Ask`], as every client takes them.
    pub(super) fn questions(text: &str) -> Value {
        let options =
            ["Postgres", "SQLite"].map(|label| json!({"label": label, "description": "A database"}));
        json!({"questions": [{"id": "db", "question": text, "header": "Database", "type": "choice", "multiSelect": false,
            "multiple": false, "options": options}]})
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
        ("write" | "429x2-write" | "refused-then", 0) | ("steps", 4) => write(),
        ("write" | "429x2-write", _) => say("All done: hello.txt is written."),
        ("shell", 0) => Turn::Run("echo hi > sh.txt; echo out; echo err >&2".to_owned()),
        ("shell", _) => say("Ran it."),
        ("false", 0) => Turn::Run("exit 3".to_owned()),
        ("false", _) => say("It failed."),
        ("commit", 0) => Turn::Run(
            "echo made > made.txt && git add made.txt && git -c user.name=m -c user.email=m@x commit -qm made".to_owned(),
        ),
        ("commit", _) => say("Committed."),
        ("work", done) => match WORK.get(done) {
            Some(script) => Turn::Run((*script).to_owned()),
            None => say("All of it."),
        },
        ("steps", done) => match STEPS.get(done) {
            Some(step) => Turn::Run((*step).to_owned()),
            None => say("Every step is done."),
        },
        ("background", 0) => Turn::Later("sleep 1; echo late > late.txt".to_owned()),
        ("background", _) => say("It runs in the background."),
        ("slow", 0) => Turn::Run("sleep 90; echo late > late.txt".to_owned()),
        ("slow", _) => say("It goes on."),
        ("long", 0) => Turn::Run("echo started > marker; sleep 25; echo finished > marker2".to_owned()),
        ("once", 0) => Turn::Run("test -e marker && exit; echo started > marker; sleep 60".to_owned()),
        ("half", 0) => Turn::Run(
            "test -e made.txt && exit; echo made > made.txt && git add made.txt && \
             git -c user.name=m -c user.email=m@x commit -qm 'a step'"
                .to_owned(),
        ),
        ("half", 1) => {
            Turn::Run("test -e marker && exit; : > half.txt; echo started > marker; sleep 60".to_owned())
        }
        ("length", _) => Turn::Stop("I will now write the whole file and then".to_owned(), Stop::Length),
        ("withheld", _) => Turn::Stop("I can".to_owned(), Stop::Withheld),
        ("empty", _) => say(""),
        ("big", _) => Turn::Say((0..200_000).map(|n| format!("{n} ")).collect()),
        ("bytes", 0) => Turn::Run(
            r"printf 'a\377\376b\033[31m\r\n\000c\n'; head -c 300000 /dev/zero | tr '\000' x; echo; printf '\303\050'".to_owned(),
        ),
        ("bytes", _) => say("Odd bytes."),
        ("refused-then", 1) => Turn::Run("ls".to_owned()),
        ("refused-then", _) => say("I tried to write."),
        ("question", 0) => Turn::Ask("Which database?".to_owned()),
        ("question", _) => say("I cannot go on without an answer."),
        ("count", _) => Turn::Say(format!("I have seen {} prompts.", seen.prompts)),
        _ => say("The answer is 42."),
    }
}

/// What goes wrong in a scenario, and how often.
pub(super) fn fault(seen: &Seen) -> Option<(Fault, u32)> {
    let always = u32::MAX;
    let refused = |why| Some((Fault::Refused(why), always));
    match seen.scenario.as_str() {
        "usage-limit" => refused(Refusal::UsageLimit),
        "no-credit" => refused(Refusal::NoCredit),
        "forbidden" => refused(Refusal::Forbidden),
        // A session has room for one prompt.
        "crowded" if seen.prompts > 1 => refused(Refusal::Full),
        "401" => Some((Fault::Status(401), always)),
        "429" => Some((Fault::Status(429), always)),
        "429x2" | "429x2-write" => Some((Fault::Status(429), 2)),
        "404" => Some((Fault::Status(404), always)),
        "500" => Some((Fault::Status(500), always)),
        "500x2" => Some((Fault::Status(500), 2)),
        "503x2" => Some((Fault::Status(503), 2)),
        "529x2" => Some((Fault::Status(529), 2)),
        "cut1" => Some((Fault::Cut, 1)),
        "cut" => Some((Fault::Cut, always)),
        "hang" => Some((Fault::Hang, always)),
        _ => None,
    }
}
