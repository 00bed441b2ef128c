//! Reading the files and laying one over the other. The machine's ([`super::floor`]) lies below the others.
//!
//! A key that is set in `khlone.yml` counts over the user's, the user's over the default; mappings are merged key
//! by key, lists are replaced. Four rules protect the user from the repository: `notify`, `providers`, `readable`,
//! `redact` and `writable` are the user's alone, `sandbox` is the user's where the user set it, `network` is what
//! all files let through, and the smaller `limits.running`, which is the whole machine's. Whatever else widens the reach of a brain, runs
//! something, or takes more than the user's own limits allow is listed in [`Loaded::asks`], for the caller to refuse
//! unless that content is trusted. What depends on the repository around the file is judged by `zone::settings`.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Config, Delegation, Network, Permissions, Sandbox,
    error::{At, ConfigError, explain},
    floor::Floor,
};

/// The name of a repository's config file, at the top of the work tree.
pub const FILE_NAME: &str = "khlone.yml";

/// A config file larger than this is some other file.
pub const MAX_FILE: usize = 1 << 20;
/// Brackets within each other; the parser's own bound is reached long before.
const MAX_DEPTH: usize = 128;
/// Keys that a repository cannot set.
const USER_ONLY: [&str; 6] = ["notify", "providers", "readable", "redact", "trust", "writable"];

/// A config file's content and the name to use in errors.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Where it was read.
    pub path: &'a Path,
    /// What it says.
    pub bytes: &'a [u8],
}

/// The files that are laid over each other; each may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layers<'a> {
    /// The machine's.
    pub system: Option<Source<'a>>,
    /// The user's.
    pub user: Option<Source<'a>>,
    /// The repository's.
    pub repo: Option<Source<'a>>,
}

/// Which file a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// None of them.
    Default,
    /// The machine's.
    System,
    /// The user's.
    User,
    /// The repository's.
    Repository,
}

/// All files, read and merged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// What counts.
    pub config: Config,
    /// What the repository's file asks for that needs `git khlone trust`, word by word: the setting and a colon, then
    /// what it is to be, or the command that would run.
    pub asks: Vec<Vec<String>>,
    /// What would count without the repository's file.
    pub own: Config,
    /// What each file sets, the one that counts most last, and the same in full.
    files: Vec<(Origin, Value, Value)>,
}

impl Loaded {
    /// Where the value that counts at `pointer` comes from: the uppermost file that sets it, and sets it so.
    pub fn origin(&self, pointer: &str) -> Origin {
        let counts = serde_json::to_value(&self.config).unwrap_or_default();
        let counts = counts.pointer(pointer);
        let default = serde_json::to_value(Config::default()).unwrap_or_default();
        let mut setting = self
            .files
            .iter()
            .rev()
            .filter(|(_, sets, _)| sets.pointer(pointer).is_some());
        // Of a path, only what it leads to counts.
        let is_so = |full: &Value| full.pointer(pointer) == counts || pointer == "/worktree/root";
        let found = setting.find(|(.., full)| is_so(full));
        let found = found.filter(|_| counts.is_some() || default.pointer(pointer).is_some());
        found.map_or(Origin::Default, |(origin, ..)| *origin)
    }

    /// Notes that the repository's file sets `key` to what needs trust.
    pub fn ask(&mut self, key: &str, value: &dyn std::fmt::Display) {
        self.asks.push(vec![format!("{key}:"), value.to_string()]);
    }

    /// Asks for what goes beyond what the user's own settings allow.
    fn ask_for_more(&mut self) {
        let (config, own) = (self.config.clone(), self.own.clone());
        for (key, value) in config.limits.beyond(&own.limits) {
            self.ask(&format!("limits.{key}"), &value);
        }
        if config.commit.max_file > own.commit.max_file {
            self.ask("commit.max_file", &config.commit.max_file);
        }
        if config.commit.max_files > own.commit.max_files {
            self.ask("commit.max_files", &config.commit.max_files);
        }
        if config.land.sign.is_looser_than(own.land.sign) {
            self.ask("land.sign", &config.land.sign.as_str());
        }
        // A word of the user's, in the user's name.
        if config.attribution.sign_off && !own.attribution.sign_off {
            self.ask("attribution.sign_off", &true);
        }
        if config.resume.is_looser_than(own.resume) {
            self.ask("resume", &config.resume.as_str());
        }
        // `all` is asked for in any case.
        let loosens = |word: Permissions, than| word.is_looser_than(than) && word != Permissions::All;
        if loosens(config.permissions, own.permissions) {
            self.ask("permissions", &config.permissions.as_str());
        }
        for name in config.brains.keys() {
            let word = config.permissions_of(name);
            if config.brains[name].permissions.is_some() && loosens(word, own.permissions_of(name)) {
                self.ask(&format!("brains.{name}.permissions"), &word.as_str());
            }
        }
    }

    /// Takes back all that needs trust, for a repository that does not have it: what it would run, reveal or open up,
    /// where worktrees stand, which branches are its clones', what lands unsigned, how much of the machine it uses. Verbs
    /// other than act and ask, which are refused altogether, look at these settings, too.
    pub fn withhold(&mut self) {
        let (config, own) = (&mut self.config, &self.own);
        for (name, brain) in &mut config.brains {
            let model = brain.model.take();
            *brain = own.brains.get(name).cloned().unwrap_or_default();
            brain.model = model;
        }
        config.env.clone_from(&own.env);
        config.permissions = own.permissions;
        config.sandbox = own.sandbox;
        config.delegation = own.delegation;
        config.resume = own.resume;
        config.commit.clone_from(&own.commit);
        config.worktree.setup.clone_from(&own.worktree.setup);
        config.worktree.root.clone_from(&own.worktree.root);
        config.branch.clone_from(&own.branch);
        config.land.clone_from(&own.land);
        config.attribution.sign_off &= own.attribution.sign_off;
        config.limits = config.limits.within(&own.limits);
    }
}

impl Config {
    /// Reads and merges the user's file and the repository's; either may be missing.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing wrong in either, with its place.
    pub fn load(user: Option<Source<'_>>, repo: Option<Source<'_>>) -> Result<Loaded, ConfigError> {
        let system = None;
        Self::layered(Layers { system, user, repo })
    }

    /// Reads and merges all files.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing wrong in any, with its place.
    pub fn layered(layers: Layers<'_>) -> Result<Loaded, ConfigError> {
        let mut files = Vec::new();
        let mut file = |origin, source: Option<Source<'_>>| {
            let (value, config) = source.map(read).transpose()?.unwrap_or_default();
            if source.is_some() {
                let full = serde_json::to_value(&config).unwrap_or_default();
                files.push((origin, value.clone(), full));
            }
            Ok::<_, ConfigError>((value, config))
        };
        let (system, config) = file(Origin::System, layers.system)?;
        let floor = Floor {
            value: system.clone(),
            config,
        };
        let (user, users) = file(Origin::User, layers.user)?;
        let (repo, alone) = file(Origin::Repository, layers.repo)?;
        if let Some(source) = layers.repo
            && let Some(key) = USER_ONLY.iter().find(|key| repo.get(**key).is_some())
        {
            let at = Box::new(place_of_top_key(source, key));
            return Err(ConfigError::UserOnly { at, key });
        }
        let said = [(&system, &floor.config), (&user, &users), (&repo, &alone)];
        let said = said.map(|(value, config)| value.get("network").map(|_| config.network.clone()));
        let network = |layers: &[Option<Network>]| {
            layers
                .iter()
                .flatten()
                .cloned()
                .fold(Network::Open, Network::meet)
        };
        let below = overlay(system, user);
        let mut own = settle(below.clone(), Value::default(), None)?;
        let mut config = settle(below, repo, layers.repo)?;
        own.network = network(&said[..2]);
        config.network = network(&said);
        floor.hold(&mut own);
        floor.hold(&mut config);
        let mut loaded = Loaded {
            asks: asks(&alone),
            config,
            own,
            files,
        };
        loaded.ask_for_more();
        Ok(loaded)
    }
}

impl Config {
    /// All settings as a config file would say them.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).unwrap_or_default()
    }
}

/// The schema of both files, as shipped in `schema/khlone.yml.json`.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert(
        "$id".to_owned(),
        "https://git-khlone.dev/schema/khlone.yml.json".into(),
    );
    schema.insert("title".to_owned(), FILE_NAME.into());
    schema.to_value()
}

/// How many brackets stand within each other, strings and comments not told apart: for far more than anybody writes
/// the parser needs the square of the time.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for byte in bytes {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

/// One file as a plain value (what it sets) and as a config (whether it is right).
fn read(source: Source<'_>) -> Result<(Value, Config), ConfigError> {
    if source.bytes.len() > MAX_FILE {
        let (path, size) = (source.path.to_owned(), source.bytes.len());
        return Err(ConfigError::TooLarge { path, size });
    }
    if depth(source.bytes) > MAX_DEPTH {
        return Err(wrong(
            source,
            format!("more than {MAX_DEPTH} brackets within each other"),
        ));
    }
    // The dynamic value refuses keys that stand twice, which the typed one would not notice in `brains`.
    let value: serde_yaml::Value =
        serde_yaml::from_slice(source.bytes).map_err(|error| misread(source, &error))?;
    if value.is_null() {
        return Ok(Default::default());
    }
    let config: Config = serde_yaml::from_slice(source.bytes).map_err(|error| misread(source, &error))?;
    let mut value = serde_json::to_value(value).map_err(|error| wrong(source, error.to_string()))?;
    if let Some(commit) = value.get_mut("commit").filter(|commit| commit.is_string()) {
        *commit = Map::from_iter([("mode".to_owned(), commit.take())]).into();
    }
    drop_nulls(&mut value);
    Ok((value, config))
}

/// A key with nothing behind it (`limits:` above lines that are all commented out) sets nothing.
fn drop_nulls(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

fn settle(user: Value, mut repo: Value, source: Option<Source<'_>>) -> Result<Config, ConfigError> {
    if user.get("sandbox").is_some()
        && let Some(repo) = repo.as_object_mut()
    {
        repo.remove("sandbox");
    }
    let running = |file: &Value| file.pointer("/limits/running").and_then(Value::as_u64);
    if let (Some(most), Some(asked)) = (running(&user), running(&repo))
        && asked > most
    {
        repo["limits"]["running"] = most.into();
    }
    let merged = overlay(user, repo);
    if merged.is_null() {
        return Ok(Config::default());
    }
    // Each file was right by itself, so only a slip in this module can end here.
    let here = source.unwrap_or(Source {
        path: Path::new(FILE_NAME),
        bytes: &[],
    });
    serde_json::from_value(merged).map_err(|error| wrong(here, error.to_string()))
}

/// `above` where it says something, `below` elsewhere.
fn overlay(below: Value, above: Value) -> Value {
    match (below, above) {
        (below, Value::Null) => below,
        (Value::Object(mut below), Value::Object(above)) => {
            for (key, value) in above {
                let old = below.remove(&key).unwrap_or_default();
                below.insert(key, overlay(old, value));
            }
            Value::Object(below)
        }
        (_, above) => above,
    }
}

/// What `repo` would run, reveal or open up.
fn asks(repo: &Config) -> Vec<Vec<String>> {
    let setup = repo.worktree.setup.iter();
    let mut asks: Vec<_> = setup
        .map(|cmd| {
            ["worktree.setup:", "sh", "-c", cmd.as_str()]
                .map(String::from)
                .to_vec()
        })
        .collect();
    let mut ask =
        |key: &str, value: &dyn std::fmt::Display| asks.push(vec![format!("{key}:"), value.to_string()]);
    for name in &repo.env {
        ask("env", name);
    }
    if repo.permissions == Permissions::All {
        ask("permissions", &"all");
    }
    if repo.sandbox == Sandbox::Off {
        ask("sandbox", &"off");
    }
    if repo.delegation == Delegation::Allow {
        ask("delegation", &"allow");
    }
    for (name, brain) in &repo.brains {
        if let Some(path) = &brain.path {
            ask(&format!("brains.{name}.path"), &path.display());
        }
        if brain.permissions == Some(Permissions::All) {
            ask(&format!("brains.{name}.permissions"), &"all");
        }
        for rule in &brain.allow {
            ask(&format!("brains.{name}.allow"), rule);
        }
        for variable in &brain.env {
            ask(&format!("brains.{name}.env"), variable);
        }
    }
    asks
}

fn misread(source: Source<'_>, error: &serde_yaml::Error) -> ConfigError {
    let (line, column) = error
        .location()
        .map_or((1, 1), |place| (place.line(), place.column()));
    explain(
        At {
            path: source.path.to_owned(),
            line,
            column,
        },
        &error.to_string(),
    )
}

fn wrong(source: Source<'_>, message: String) -> ConfigError {
    let at = At {
        path: source.path.to_owned(),
        line: 1,
        column: 1,
    };
    ConfigError::Value {
        at: Box::new(at),
        key: String::new(),
        message,
        nearest: None,
    }
}

fn place_of_top_key(source: Source<'_>, key: &str) -> At {
    let lines = source.bytes.split(|byte| *byte == b'\n');
    let line = lines.take_while(|line| !line.starts_with(key.as_bytes())).count() + 1;
    At {
        path: source.path.to_owned(),
        line,
        column: 1,
    }
}

#[cfg(test)]
mod tests;
