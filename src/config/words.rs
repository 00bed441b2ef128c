//! The words of a config file that have rules of their own, checked as they are read.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData, path::Path};

use camino::{Utf8Component, Utf8Path};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::task::{AddressError, Who};

/// A word that breaks its rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WordError {
    /// No address at all.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An address that would enrol a clone at every task.
    #[error("`{0}`: the hero is one clone, role or brain; `++` belongs on the command line")]
    Enrol(String),
    /// Not a plain variable name.
    #[error("`{0}` is no variable name: use letters, digits and underscores")]
    EnvName(String),
    /// Leads out of the repository, or is the whole of it.
    #[error("`{0}` is no path inside the repository: give a relative one without `..`")]
    Outside(String),
    /// Cannot begin a branch name.
    #[error("`{0}` cannot begin a branch name: use letters, digits, dashes and single slashes")]
    Prefix(String),
}

macro_rules! checked_word {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $error:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(regex(pattern = $pattern))] String);

        impl $name {
            /// The word as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = WordError;

            fn try_from(text: String) -> Result<Self, WordError> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(WordError::$error(text)) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                word(deserializer)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_word!(
    /// The name of an environment variable.
    EnvName,
    r"^[A-Za-z_][A-Za-z0-9_]*$",
    EnvName,
    |text| {
        !text.starts_with(|c: char| c.is_ascii_digit())
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    }
);
checked_word!(
    /// A path inside the repository, with `/` between its parts.
    InTree,
    r"^[^/]",
    Outside,
    |text| {
        let path = Utf8Path::new(text);
        path.components().all(|part| matches!(part, Utf8Component::Normal(name) if !name.eq_ignore_ascii_case(".git")))
            && path.components().next().is_some()
            && !text.contains('\0')
    }
);
checked_word!(
    /// What stands before the zone in the branch names of clones: `khlone` in `khlone/main/foreman.1`.
    BranchPrefix,
    r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
    Prefix,
    |text| {
        !text.starts_with('-')
            && text.split('/').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            })
    }
);

impl BranchPrefix {
    /// The prefix unless another is wanted.
    pub fn khlone() -> Self {
        Self("khlone".to_owned())
    }
}

impl AsRef<Path> for InTree {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Who gets the tasks that name nobody: `foreman`, `@codex`, `mechanic.2`, `foreman@claude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hero(Who);

impl Hero {
    /// As an address.
    pub fn who(&self) -> &Who {
        &self.0
    }
}

impl TryFrom<String> for Hero {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, WordError> {
        let who: Who = text.parse()?;
        if who.enrol {
            Err(WordError::Enrol(text))
        } else {
            Ok(Self(who))
        }
    }
}

impl<'de> Deserialize<'de> for Hero {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

impl Serialize for Hero {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Hero {
    fn schema_name() -> Cow<'static, str> {
        "Hero".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An address: [role][.number][@brain].",
            "type": "string",
            "pattern": r"^(?=.)([a-z0-9][a-z0-9-]*)?(\.[1-9][0-9]*)?(@[a-z0-9][a-z0-9-]*)?$",
            "examples": ["foreman", "@codex", "foreman@claude"],
        })
    }
}

/// A word that is checked while the parser still stands on it, so that an error has the word's own place
/// (`try_from` would give the place of the mapping around it).
struct Word<T>(T);

struct WordVisitor<T>(PhantomData<T>);

impl<T: TryFrom<String, Error: fmt::Display>> de::Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::try_from(text.to_owned()).map_err(E::custom)
    }
}

impl<'de, T: TryFrom<String, Error: fmt::Display>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WordVisitor(PhantomData)).map(Self)
    }
}

/// For `deserialize_with`: a checked word.
pub(super) fn word<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<String, Error: fmt::Display>,
    D: Deserializer<'de>,
{
    Word::deserialize(deserializer).map(|word| word.0)
}

/// For `deserialize_with`: a checked word or nothing.
pub(super) fn maybe_word<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<String, Error: fmt::Display>,
    D: Deserializer<'de>,
{
    Ok(Option::<Word<T>>::deserialize(deserializer)?.map(|word| word.0))
}

/// For `deserialize_with`: a mapping by checked words.
pub(super) fn by_word<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: TryFrom<String, Error: fmt::Display> + Ord,
    V: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    struct Visitor<K, V>(PhantomData<(K, V)>);
    impl<'de, K, V> de::Visitor<'de> for Visitor<K, V>
    where
        K: TryFrom<String, Error: fmt::Display> + Ord,
        V: Deserialize<'de> + Default,
    {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names with settings")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut named = BTreeMap::new();
            while let Some(Word(key)) = map.next_key()? {
                // `codex:` with nothing behind it is null, and means no settings.
                named.insert(key, map.next_value::<Option<V>>()?.unwrap_or_default());
            }
            Ok(named)
        }
    }
    deserializer.deserialize_map(Visitor(PhantomData))
}

/// The candidate that `word` is most likely a slip of, if any is near enough to name.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &str| strsim::damerau_levenshtein(word, candidate);
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (near(candidate), candidate.len().abs_diff(word.len()), candidate))
        .filter(|(distance, ..)| *distance <= limit)
        .min()
        .map(|(.., candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_rules() {
        let rel = |text: &str| InTree::try_from(text.to_owned());
        assert!(rel("node_modules").is_ok() && rel("a/b").is_ok() && rel("修正").is_ok());
        for bad in ["", ".", "/etc", "../x", "a/../b", ".git/hooks", "sub/.GIT"] {
            assert!(rel(bad).is_err(), "{bad}");
        }
        let prefix = |text: &str| BranchPrefix::try_from(text.to_owned());
        assert!(prefix("khlone").is_ok() && prefix("me/ai").is_ok());
        for bad in ["", "-x", "a//b", "a/", "a.lock", "a b", "refs/\u{202e}x", "a..b"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
        let env = |text: &str| EnvName::try_from(text.to_owned());
        assert!(env("AWS_REGION").is_ok() && env("_x1").is_ok());
        assert!(env("").is_err() && env("1X").is_err() && env("A=B").is_err());
    }

    #[test]
    fn the_nearest_is_named_only_when_near() {
        assert_eq!(nearest("modle", ["model", "mode", "env"]), Some("model"));
        assert_eq!(nearest("zzz", ["model", "env"]), None);
        assert_eq!(nearest("", []), None);
    }
}
