//! `git khlone config`: which settings count here.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    schemas::schemas,
};
use crate::{
    config::{Config, FILE_NAME, Loaded, Origin, Paths, json_schema},
    guard::trust::in_shell,
    render::{Out, View, one_line, view::PathView},
    zone::user_settings,
};

/// Show the effective settings
///
/// They come from khlone.yml at the top of the repository, your own config.yml, the machine's /etc/khlone/config.yml
/// and the defaults, in this order, and are printed as one such file, each with where it comes from. What the
/// machine's says of sandbox, network, permissions, delegation, trust and limits, neither of the others opens.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Print the path of your own config file
    #[arg(long, conflicts_with = "schema")]
    path: bool,
    /// Print the JSON Schema of both files, or of what VERB answers with --json
    #[arg(long, value_name = "VERB", num_args = 0..=1, require_equals = true, default_missing_value = FILE_NAME)]
    schema: Option<String>,
}

/// The settings, and what of them waits for trust.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConfigView {
    /// The settings.
    config: Config,
    /// What khlone.yml asks for and is not trusted yet.
    asks: Vec<String>,
    /// Where each setting comes from, by its path.
    origins: BTreeMap<String, Origin>,
}

impl View for ConfigView {
    fn plain(&self) -> String {
        let config = serde_json::to_value(&self.config).unwrap_or_default();
        let mut text = String::new();
        self.write(&mut text, &config, (&mut Vec::new(), 0));
        for (key, what) in unset(&config) {
            text.push_str(&format!("# {key}:  # not set: {what}\n"));
        }
        text
    }
}

/// The settings that have no value here, with what they are for.
fn unset(config: &Value) -> Vec<(String, String)> {
    let schema = json_schema();
    let known = schema["properties"].as_object().into_iter().flatten();
    known
        .filter(|(key, _)| config.get(key.as_str()).is_none())
        .map(|(key, of)| {
            let what = of["description"].as_str().unwrap_or_default();
            let first = what.split_once(". ").map_or(what, |(first, _)| first);
            let words: Vec<_> = first.trim_end_matches('.').split_whitespace().collect();
            (key.clone(), one_line(&words.join(" ")))
        })
        .collect()
}

impl ConfigView {
    /// The mapping `value` as YAML, with a remark on each value.
    fn write(&self, text: &mut String, value: &Value, (path, depth): (&mut Vec<String>, usize)) {
        for (key, value) in value.as_object().into_iter().flatten() {
            path.push(key.clone());
            let is_map = value.as_object().is_some_and(|map| !map.is_empty());
            let entry = Map::from_iter([(key.clone(), if is_map { Value::Null } else { value.clone() })]);
            let yaml = serde_yaml::to_string(&entry).unwrap_or_default();
            for (n, line) in yaml.lines().enumerate() {
                let line = if is_map {
                    line.trim_end_matches(" null")
                } else {
                    line
                };
                let remark = match self.origins.get(&path.join(".")) {
                    Some(origin) if n == 0 && !is_map => format!("  # {}", origin_word(*origin)),
                    _ => String::new(),
                };
                text.push_str(&format!("{}{line}{remark}\n", "  ".repeat(depth)));
            }
            if is_map {
                self.write(text, value, (path, depth + 1));
            }
            path.pop();
        }
    }
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::System => "/etc/khlone/config.yml",
        Origin::User => "config.yml",
        Origin::Repository => "khlone.yml",
    }
}

/// Where each value comes from, by its keys with dots between them.
fn origins(loaded: &Loaded) -> BTreeMap<String, Origin> {
    fn below(loaded: &Loaded, value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<String, Origin>) {
        match value.as_object().filter(|map| !map.is_empty()) {
            Some(map) => {
                for (key, value) in map {
                    path.push(key.clone());
                    below(loaded, value, path, found);
                    path.pop();
                }
            }
            None => {
                let escaped: Vec<_> = path
                    .iter()
                    .map(|key| key.replace('~', "~0").replace('/', "~1"))
                    .collect();
                let origin = loaded.origin(&format!("/{}", escaped.join("/")));
                found.insert(path.join("."), origin);
            }
        }
    }
    let mut found = BTreeMap::new();
    let config = serde_json::to_value(&loaded.config).unwrap_or_default();
    below(loaded, &config, &mut Vec::new(), &mut found);
    found
}

/// Prints settings, path or schema.
pub(super) fn run(dir: &Path, out: Out, args: &ConfigArgs) -> Result<ExitCode, CmdError> {
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    if args.path {
        let path = paths.config.display().to_string();
        printed(out.answer(&PathView { path }))?;
    } else if let Some(of) = &args.schema {
        printed(out.text(&format!("{:#}\n", schema(of)?)))?;
    } else {
        let loaded = here(dir, out, &paths)?;
        let origins = origins(&loaded);
        let Loaded { config, asks, .. } = loaded;
        let asks: Vec<_> = asks.iter().map(|words| in_shell(words)).collect();
        for ask in &asks {
            out.note(&format!("khlone.yml asks for {ask}"));
        }
        printed(out.answer(&ConfigView {
            config,
            asks,
            origins,
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The schema of the files, or of a verb's answer.
fn schema(verb: &str) -> Result<Value, CliError> {
    if verb == FILE_NAME {
        return Ok(json_schema());
    }
    let all = schemas();
    let found = all.iter().find(|(name, _)| *name == verb);
    found.map(|(_, schema)| schema.as_value().clone()).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        CliError::nothing(
            format!("no schema of `{verb}`: expected one of {}", names.join(", ")),
            "git khlone config --schema=act",
        )
    })
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
