//! Where a prompt comes from: the words, `-m`, `-` for stdin, a file, or an editor.

use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use clap::Args;

use super::error::{CliError, CmdError};
use crate::process::{Cmd, in_our_group, spawn};

/// The longest prompt.
const MOST: u64 = 16 << 20;

/// The prompt of a task.
#[derive(Args, Debug)]
pub(super) struct PromptArgs {
    /// What is to be done; `-` reads it from stdin
    #[arg(value_name = "PROMPT")]
    words: Option<String>,
    /// The prompt, also when it begins with a dash
    #[arg(
        short = 'm',
        long = "message",
        value_name = "PROMPT",
        conflicts_with = "words",
        allow_hyphen_values = true
    )]
    message: Option<String>,
    /// Read the prompt from FILE; `-` is stdin
    #[arg(short = 'F', long = "file", value_name = "FILE", conflicts_with_all = ["words", "message"])]
    file: Option<PathBuf>,
}

impl PromptArgs {
    /// The prompt; an editor opens if there is none and someone is there to write it.
    pub(super) fn read(self) -> Result<String, CmdError> {
        if self.file.as_deref().is_some_and(|path| path == Path::new("-")) {
            return stdin();
        }
        if let Some(path) = self.file {
            let text = fs::read_to_string(&path);
            return Ok(text.map_err(|source| CliError::Io {
                what: path.display().to_string(),
                source,
            })?);
        }
        match self.message.or(self.words) {
            Some(words) if words == "-" => stdin(),
            Some(words) => Ok(words),
            None if io::stdin().is_terminal() && io::stderr().is_terminal() => edit(),
            None => {
                Err(CliError::usage("there is no prompt", "git khlone act \"what is to be done\"").into())
            }
        }
    }
}

fn stdin() -> Result<String, CmdError> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MOST).read_to_string(&mut text);
    read.map_err(|source| CliError::Io {
        what: "stdin".to_owned(),
        source,
    })?;
    Ok(text)
}

fn edit() -> Result<String, CmdError> {
    let io = |source| CliError::Io {
        what: "the editor".to_owned(),
        source,
    };
    let file = tempfile::Builder::new().suffix(".md").tempfile().map_err(io)?;
    let editor = ["GIT_EDITOR", "VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let mut command = Cmd::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .into_inner();
    // The editor needs the terminal.
    in_our_group(&mut command);
    let status = spawn(command.stdin(std::process::Stdio::inherit()))
        .and_then(|mut editor| editor.wait())
        .map_err(io)?;
    let text = fs::read_to_string(file.path()).map_err(io)?;
    if !status.success() || text.trim().is_empty() {
        return Err(CliError::usage(
            "the prompt is empty; nothing was queued",
            "git khlone act -m PROMPT",
        )
        .into());
    }
    Ok(text)
}
