//! `git khlone config`: which settings count here.

use std::{path::Path, process::ExitCode};

use serde::Serialize;

use super::{
    cx::Cx,
    error::{CmdError, printed},
};
use crate::{
    config::{Config, Loaded, Paths, json_schema},
    guard::trust::in_shell,
    render::{Out, View},
    task::FORMAT,
    zone::user_settings,
};

/// Print the settings that count here
///
/// They come from khlone.yml at the top of the repository, your own config.yml and the defaults, in this order,
/// and are printed as one such file.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Print the path of your own config file
    #[arg(long, conflicts_with = "schema")]
    path: bool,
    /// Print the JSON Schema of both files
    #[arg(long)]
    schema: bool,
}

/// The settings, and what of them waits for trust.
#[derive(Debug, Serialize)]
struct ConfigView {
    format: u32,
    config: Config,
    asks: Vec<String>,
}

impl View for ConfigView {
    fn plain(&self) -> String {
        self.config.to_yaml()
    }
}

/// Prints settings, path or schema.
pub(super) fn run(dir: &Path, out: Out, args: &ConfigArgs) -> Result<ExitCode, CmdError> {
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    if args.path {
        printed(out.text(&format!("{}\n", paths.config.display())))?;
    } else if args.schema {
        printed(out.text(&format!("{:#}\n", json_schema())))?;
    } else {
        let Loaded { config, asks, .. } = here(dir, out, &paths)?;
        let asks: Vec<_> = asks.iter().map(|words| in_shell(words)).collect();
        for ask in &asks {
            out.note(&format!("khlone.yml asks for {ask}"));
        }
        printed(out.answer(&ConfigView {
            format: FORMAT,
            config,
            asks,
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Outside a repository, or where no zone can be told, the user's own file counts alone.
fn here(dir: &Path, out: Out, paths: &Paths) -> Result<Loaded, CmdError> {
    if let Ok(cx) = Cx::open(dir, out)
        && let Ok(place) = cx.place(None)
    {
        return cx.config(&place);
    }
    Ok(user_settings(paths)?)
}
