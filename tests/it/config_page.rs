//! `docs/config.md`: every setting, from the schema, the defaults, and an example that is one.

use std::{collections::BTreeMap, fmt::Write as _};

use git_khlone::config::{Config, json_schema};
use serde_json::{Value, json};

use crate::docs::{hold, in_a_cell, root};

const EXAMPLE: &str = include_str!("../../docs/khlone.example.yml");

const HEAD: &str = "\
# Settings

<!-- Generated: KHLONE_BLESS=1 cargo test --test it config_page -->

`khlone.yml` stands at the top of a repository, `config.yml` is your own (`git khlone config --path`), and
`/etc/khlone/config.yml` the machine's. All have this shape; `git khlone config` prints what counts here, and from which
file. [khlone.example.yml](khlone.example.yml) has every key once. Sizes are written `10MiB`, times `1h30m`.
";

/// A setting: its description, and its values where they are words.
struct Setting {
    means: String,
    words: Vec<(String, String)>,
}

/// What a schema says once references are followed.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix("#/$defs/"))
    {
        Some(name) => &root["$defs"][name],
        None => schema,
    }
}

/// The part of a schema that has fields: itself, or one of its forms.
fn with_fields<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let schema = resolved(root, schema);
    if schema["properties"].is_object() {
        return Some(schema);
    }
    let forms = schema["anyOf"].as_array().into_iter().flatten();
    let mut forms = forms.map(|form| resolved(root, form));
    forms.find(|form| {
        form["properties"].is_object() && form["default"].is_null() && form["required"].is_null()
    })
}

/// All settings below `schema`, by their path.
fn walk(root: &Value, schema: &Value, path: &str, found: &mut Vec<(String, Setting)>) {
    let fields = schema["properties"].as_object().into_iter().flatten();
    for (name, field) in fields {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let each = resolved(root, &field["additionalProperties"]);
        if each["properties"].is_object() {
            walk(root, each, &format!("{path}.NAME"), found);
            continue;
        }
        if let Some(inner) = with_fields(root, field) {
            walk(root, inner, &path, found);
            continue;
        }
        let kind = resolved(root, field);
        let means = field["description"].as_str().or(kind["description"].as_str());
        let words = kind["oneOf"].as_array().into_iter().flatten().filter_map(|word| {
            let means = word["description"].as_str().unwrap_or_default();
            Some((word["const"].as_str()?.to_owned(), means.to_owned()))
        });
        let setting = Setting {
            means: means.unwrap_or_default().to_owned(),
            words: words.collect(),
        };
        found.push((path, setting));
    }
}

/// The value at a path; `NAME` stands for the only key that there is.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, step| match step {
        "NAME" => value.as_object()?.values().next(),
        step => value.get(step),
    })
}

/// A value as YAML on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", inline(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) if text.starts_with(['*', '[', '{', '&']) || text.contains(": ") => {
            format!("{text:?}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn every_setting_has_its_meaning_default_and_an_example() {
    let schema = json_schema();
    let mut settings = Vec::new();
    walk(&schema, &schema, "", &mut settings);
    let whole: Config = serde_yaml::from_str(EXAMPLE).unwrap();
    let example: Value = serde_yaml::from_str(EXAMPLE).unwrap();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let mut text = String::from(HEAD);
    let mut sections: BTreeMap<usize, (String, String)> = BTreeMap::new();
    for (path, setting) in &settings {
        assert!(!setting.means.is_empty(), "{path} is not described");
        let shown = at(&example, path).unwrap_or_else(|| panic!("docs/khlone.example.yml has no {path}"));
        let default = at(&defaults, path).filter(|value| !value.is_null() && **value != json!([]));
        let words = setting
            .words
            .iter()
            .map(|(word, means)| format!("<br>`{word}`: {means}"));
        let section = path.split_once('.').map_or("", |(section, _)| section).to_owned();
        let next = sections.len();
        let known = sections
            .iter()
            .find(|(_, (name, _))| *name == section)
            .map(|(at, _)| *at);
        let (_, rows) = sections
            .entry(known.unwrap_or(next))
            .or_insert((section, String::new()));
        writeln!(
            rows,
            "| `{path}` | {}{} | {} | `{}` |",
            in_a_cell(&setting.means),
            words.collect::<String>(),
            default.map_or(String::new(), |value| format!("`{}`", inline(value))),
            inline(shown).replace('|', "\\|"),
        )
        .unwrap();
    }
    for (section, rows) in sections.values() {
        let title = if section.is_empty() { "General" } else { section };
        write!(
            text,
            "\n## {title}\n\n| key | means | default | example |\n|---|---|---|---|\n{rows}"
        )
        .unwrap();
    }
    hold(&root().join("docs/config.md"), text.as_bytes());
    assert_ne!(whole, Config::default());
}
