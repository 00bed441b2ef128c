//! Task ids: `t-` and ten base32 characters, accepted as the shortest unique prefix.

use super::{explain, text::text_type};

/// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`, so an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 10;

text_type!(
    /// The id of one task, unique in its site.
    TaskId,
    whole,
    IdError
);
text_type!(
    /// The beginning of a task id, as people type it: `t-7k3` or a whole id.
    TaskPrefix,
    beginning,
    IdError
);

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

    /// The bits that it is made of.
    pub fn entropy(&self) -> u64 {
        let index = |c: u8| ALPHABET.iter().position(|known| *known == c).unwrap_or(0);
        let letters = self.0.bytes().skip(2).enumerate();
        letters.fold(0, |bits, (position, c)| {
            bits | (index(c) as u64) << (5 * position)
        })
    }
}

impl TaskPrefix {
    /// Whether `id` begins with it.
    pub fn matches(&self, id: &TaskId) -> bool {
        id.0.starts_with(&self.0)
    }
}

fn beginning(text: &str) -> Result<String, IdError> {
    let lower = text.to_ascii_lowercase();
    let is_one = lower
        .strip_prefix("t-")
        .is_some_and(|body| body.len() <= LENGTH && body.bytes().all(|byte| ALPHABET.contains(&byte)));
    if is_one {
        Ok(lower)
    } else {
        Err(IdError::NotAnId(text.to_owned()))
    }
}

fn whole(text: &str) -> Result<String, IdError> {
    let id = beginning(text)?;
    if id.len() == 2 + LENGTH {
        Ok(id)
    } else {
        Err(IdError::NotAnId(text.to_owned()))
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
