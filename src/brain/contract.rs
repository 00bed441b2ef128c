//! What every adapter promises.
//!
//! An adapter is a table of facts about one coding CLI and two functions: from a [`Job`] to a [`Launch`], and
//! from the lines that the CLI prints to canonical events. It starts nothing and stores nothing; the runner
//! does. Prompts travel by file: the runner opens [`Job::prompt_file`] as the brain's stdin ([`Stdin::Prompt`])
//! or the command line names it, and no prompt is ever an argument.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    model::{Session, SignedIn, Vars},
    provider::Provider,
    translate::Translator,
};
use crate::task::Mode;

/// One coding CLI.
pub trait Brain: Sync {
    /// Its name in addresses: `claude`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// How to find, install and sign in to it.
    fn account(&self) -> Account;

    /// Whether somebody is signed in, by files and variables alone.
    fn signed_in(&self, vars: Vars<'_>) -> SignedIn;

    /// The variables it wants from the user's environment, by name; a trailing `*` stands for any ending.
    fn env_names(&self, vars: Vars<'_>) -> Vec<String>;

    /// The account whose limits it runs into with `model` (else its own choice); `None` where there is none.
    fn provider(&self, model: Option<&str>, vars: Vars<'_>) -> Option<Provider>;

    /// The prompt as it must be written down for it: where it would take the first word for a command of its
    /// own, that is prevented.
    fn frame<'p>(&self, prompt: &'p str) -> Cow<'p, str> {
        Cow::Borrowed(prompt)
    }

    /// A prompt with what its reader must know before it.
    fn remark(&self, remark: &str, prompt: &str) -> String {
        format!("{remark}\n\nThe task:\n\n{prompt}")
    }

    /// How to start it for a job.
    ///
    /// # Errors
    /// [`std::io::Error`] where its state folder cannot be prepared.
    fn launch(&self, job: &Job<'_>) -> std::io::Result<Launch>;

    /// Reads what it prints.
    fn translator(&self, session: &Session) -> Translator;
}

/// What a brain can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Capabilities {
    /// An ended session can go on.
    pub resume: bool,
    /// A new session takes the id that we give it.
    pub own_session: bool,
    /// When it says that a tool starts.
    pub tool_start: ToolStart,
    /// It counts tokens.
    pub usage: bool,
    /// It counts money.
    pub cost: bool,
}

/// When a brain says that a tool starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolStart {
    /// Only once it has ended, or not at all.
    None,
    /// About when it starts; the tool does not wait.
    Async,
    /// Before it starts, and it waits for an answer.
    Blocking,
}

/// How to find, install and sign in to a brain.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// The program on `PATH`; `None` for what is built in.
    pub program: Option<&'static str>,
    /// Prints the version.
    pub version: &'static [&'static str],
    /// The command that installs it.
    pub install: &'static str,
    /// The command that signs in.
    pub login: &'static str,
}

/// What a brain is to do.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Whether it may change files.
    pub mode: Mode,
    /// The model, else the brain's own choice.
    pub model: Option<&'a str>,
    /// The session to open or to continue.
    pub session: &'a Session,
    /// What it may do without asking.
    pub permissions: Permissions,
    /// The run is inside our sandbox, which holds it back where the brain itself does not.
    pub sandboxed: bool,
    /// Rules in the brain's own words that the user adds to what it may do (`brains.<name>.allow`).
    pub allow: &'a [String],
    /// A folder of the clone's own, kept from task to task.
    pub state_dir: &'a Path,
    /// The clone's worktree.
    pub work_dir: &'a Path,
    /// The file with the prompt, by the path that the brain sees.
    pub prompt_file: &'a Path,
    /// The program to run, where it is not the usual one on `PATH`.
    pub program: Option<&'a Path>,
    /// The user's environment.
    pub vars: Vars<'a>,
}

/// What a brain may do without asking (`permissions`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permissions {
    /// In the sandbox everything, else only edits and what `allow` names.
    #[default]
    Auto,
    /// Only edits and what `allow` names.
    Edits,
    /// Everything, sandbox or not.
    All,
}

/// How to start a brain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program: a path, or a name to be found on `PATH`.
    pub program: PathBuf,
    /// Its arguments; no prompt is among them.
    pub args: Vec<OsString>,
    /// Variables to set besides those that [`Brain::env_names`] passes on.
    pub env: Vec<(OsString, OsString)>,
    /// What it reads.
    pub stdin: Stdin,
    /// What it needs of the user's home; a sandbox shows nothing else of it.
    pub state: Vec<Mount>,
    /// A file in which it says more than in its streams; read once it has ended, and removed.
    pub aside: Option<PathBuf>,
}

/// What a brain reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Nothing,
    /// The prompt file.
    Prompt,
}

/// A file or folder that a brain needs besides its worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is, inside as outside. It exists when [`Brain::launch`] has returned.
    pub source: PathBuf,
    /// Sessions and credentials are written; settings are not, since they would later act outside the sandbox.
    pub writable: bool,
}

impl Launch {
    /// A command with its first arguments.
    pub(super) fn new<S: AsRef<OsStr>>(program: impl Into<PathBuf>, args: &[S]) -> Self {
        Self {
            program: program.into(),
            args: args.iter().map(|arg| arg.as_ref().to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Adds one argument.
    pub(super) fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Adds `--name=value`: one word, so that no value is taken for an option.
    pub(super) fn option(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        let mut word = OsString::from(format!("{name}="));
        word.push(value);
        self.arg(word)
    }

    /// Sets a variable.
    pub(super) fn env(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Needs `path` if it is there.
    pub(super) fn reads(&mut self, path: PathBuf) -> &mut Self {
        self.mount(path, false)
    }

    /// Needs to write the file `path` if it is there.
    pub(super) fn writes(&mut self, path: PathBuf) -> &mut Self {
        self.mount(path, true)
    }

    /// Needs to write in the folder `path`, which is made.
    pub(super) fn keeps(&mut self, path: PathBuf) -> std::io::Result<&mut Self> {
        std::fs::create_dir_all(&path)?;
        Ok(self.mount(path, true))
    }

    fn mount(&mut self, path: PathBuf, writable: bool) -> &mut Self {
        if path.exists() {
            self.state.push(Mount {
                source: path,
                writable,
            });
        }
        self
    }
}
