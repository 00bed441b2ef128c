//! Task ids: `t-` and ten base32 characters, accepted as the shortest unique prefix.

use std::{fmt, str::FromStr};

use super::explain;

/// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`, so an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 10;

/// The id of one task, unique in its site.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// Makes an id of 50 random bits; the caller owns the randomness, so that tests can fix it.
    pub fn from_entropy(entropy: u64) -> Self {
        let mut id = String::with_capacity(2 + LENGTH);
        id.push_str("t-");
        for position in 0..LENGTH {
            let index = (entropy >> (5 * position)) & 31;
            id.push(char::from(ALPHABET[usize::try_from(index).unwrap_or(0)]));
        }
        Self(id)
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TaskId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let prefix: TaskPrefix = text.parse()?;
        if prefix.0.len() == 2 + LENGTH {
            Ok(Self(prefix.0))
        } else {
            Err(IdError::NotAnId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for TaskId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

/// The beginning of a task id, as people type it: `t-7k3` or a whole id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPrefix(String);

impl TaskPrefix {
    /// The text of the prefix, `t-` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `id` begins with it.
    pub fn matches(&self, id: &TaskId) -> bool {
        id.0.starts_with(&self.0)
    }
}

impl fmt::Display for TaskPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TaskPrefix {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let lower = text.to_ascii_lowercase();
        let body = lower
            .strip_prefix("t-")
            .ok_or_else(|| IdError::NotAnId(text.to_owned()))?;
        if body.len() > LENGTH || !body.bytes().all(|byte| ALPHABET.contains(&byte)) {
            return Err(IdError::NotAnId(text.to_owned()));
        }
        Ok(Self(lower))
    }
}

/// A text that is no task id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    /// Wrong shape.
    #[error("`{0}` is not a task id: ids look like t-7k3q9w2m1x, or the beginning of one")]
    NotAnId(String),
}

explain!(IdError: Usage, "git khlone list tasks");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_prefixes_match() {
        let id = TaskId::from_entropy(0x1234_5678_9abc_def0);
        assert_eq!(id.as_str().len(), 12);
        assert_eq!(id.as_str().parse::<TaskId>().unwrap(), id);
        let prefix: TaskPrefix = id.as_str()[..5].parse().unwrap();
        assert!(prefix.matches(&id));
        assert!("t-il".parse::<TaskPrefix>().is_err());
        assert!("7k3".parse::<TaskPrefix>().is_err());
    }
}
