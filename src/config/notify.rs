//! How the user wants to be told that a task needs them, or has ended.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// How to tell: `desktop`, or a command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Notify {
    /// By a message on the desktop.
    Desktop(Desktop),
    /// By a command and its arguments. The task's facts come in the environment and as JSON on stdin.
    Command(Vec<String>),
}

/// The word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Desktop {
    /// A message on the desktop, by `notify-send`.
    Desktop,
}

impl<'de> Deserialize<'de> for Notify {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Notify;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("desktop, or a list of a command and its arguments")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Notify, E> {
        Desktop::deserialize(de::value::StrDeserializer::new(word)).map(Notify::Desktop)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Notify, A::Error> {
        let words = Vec::deserialize(de::value::SeqAccessDeserializer::new(list))?;
        if words.first().is_none_or(String::is_empty) {
            return Err(de::Error::invalid_length(0, &self));
        }
        Ok(Notify::Command(words))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Source};

    fn load(user: &str, repo: &str) -> Result<Option<Notify>, String> {
        let source = |path: &'static str, text: &'static str| Source {
            path: Path::new(path),
            bytes: text.as_bytes(),
        };
        let (user, repo) = (user.to_owned().leak(), repo.to_owned().leak());
        Config::load(Some(source("config.yml", user)), Some(source("khlone.yml", repo)))
            .map(|loaded| loaded.config.notify)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_or_a_command_of_the_users_own() {
        assert_eq!(
            load("notify: desktop", ""),
            Ok(Some(Notify::Desktop(Desktop::Desktop)))
        );
        let command = Notify::Command(vec!["say".to_owned(), "hello".to_owned()]);
        assert_eq!(load("notify: [say, hello]", ""), Ok(Some(command)));
        for bad in ["notify: email", "notify: []", "notify: 7"] {
            assert!(load(bad, "").is_err(), "{bad}");
        }
        let refused = load("", "notify: [rm, -rf, /]").unwrap_err();
        assert!(refused.contains("cannot be set by a repository"), "{refused}");
    }
}
