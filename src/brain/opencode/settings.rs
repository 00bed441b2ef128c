//! The user's settings, JSON with comments in several files: which model is used, and which variables hold keys.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::model::Vars;

/// What the settings say. A file that cannot be read says nothing; the CLI itself will tell why.
pub(super) struct Settings(Vec<Value>);

impl Settings {
    /// All of the user's, the later ones having the last word.
    pub(super) fn of(vars: Vars<'_>) -> Self {
        let texts = files(vars)
            .into_iter()
            .filter_map(|path| std::fs::read_to_string(path).ok());
        Self(texts.filter_map(|text| parse(&text)).collect())
    }

    /// The model that is used where none is asked for.
    pub(super) fn model(&self) -> Option<&str> {
        let named = self.0.iter().rev();
        named
            .filter_map(|settings| settings.get("model")?.as_str())
            .find(|name| !name.is_empty())
    }

    /// Whether they set up a provider.
    pub(super) fn has_provider(&self) -> bool {
        let tables = self
            .0
            .iter()
            .filter_map(|settings| settings.get("provider")?.as_object());
        tables.flatten().next().is_some()
    }

    /// The variables that they name: `{env:NAME}` in any text.
    pub(super) fn variables(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.0
            .iter()
            .for_each(|settings| find_variables(settings, &mut names));
        names
    }
}

fn parse(text: &str) -> Option<Value> {
    jsonc_parser::parse_to_serde_value::<Option<Value>>(text, &jsonc_parser::ParseOptions::default()).ok()?
}

fn find_variables(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) => names.extend(text.split("{env:").skip(1).filter_map(|rest| {
            let name = rest.split_once('}')?.0;
            let sound = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            sound.then(|| name.to_owned())
        })),
        Value::Array(items) => items.iter().for_each(|item| find_variables(item, names)),
        Value::Object(fields) => fields.values().for_each(|field| find_variables(field, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The folders with the user's settings.
pub(super) fn folders(vars: Vars<'_>) -> Vec<PathBuf> {
    let config = match vars("XDG_CONFIG_HOME") {
        Some(path) => Some(PathBuf::from(path)),
        None => vars("HOME").map(|home| Path::new(&home).join(".config")),
    };
    let own = vars("OPENCODE_CONFIG_DIR").map(PathBuf::from);
    let shared = config.map(|config| config.join("opencode"));
    shared.into_iter().chain(own).collect()
}

fn files(vars: Vars<'_>) -> Vec<PathBuf> {
    let names = ["config.json", "opencode.json", "opencode.jsonc"];
    let folders = folders(vars).into_iter();
    let mut files: Vec<_> = folders
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .collect();
    files.extend(vars("OPENCODE_CONFIG").map(PathBuf::from));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(texts: &[&str]) -> Settings {
        Settings(texts.iter().filter_map(|text| parse(text)).collect())
    }

    #[test]
    fn settings_are_read_as_json_with_comments() {
        let one = settings(&[r#"{
            // "model": "openai/no",
            /* "model": "openai/neither" */
            "agent": {"build": {"model": "openai/of-an-agent"}},
            "model": "anthropic/claude", // the one
            "provider": {"x": {"options": {"apiKey": "{env:MY_KEY}", "list": ["{env:OTHER} {env:bad name}"],}}},
        }"#]);
        assert_eq!(one.model(), Some("anthropic/claude"));
        assert_eq!(one.variables(), ["MY_KEY", "OTHER"]);
        assert!(one.has_provider());
        let later = settings(&[
            r#"{"model": "a/b", "provider": {}}"#,
            "{}",
            r#"{"model": "c/d"}"#,
            "nonsense {",
        ]);
        assert_eq!((later.model(), later.has_provider()), (Some("c/d"), false));
        assert_eq!(settings(&["", "[]", "3", r#"{"model": 3}"#]).model(), None);
    }
}
