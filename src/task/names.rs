//! Names of zones, roles, brains and clones, validated once at the border.

use std::{fmt, str::FromStr};

use super::{explain, text::text_type};

const MAX_SLUG: usize = 41;

/// A name that is no legal role, brain or clone.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Not `[a-z0-9][a-z0-9-]*`.
    #[error("`{0}` is no {1} name: use lower-case letters, digits and dashes, at most 41 characters")]
    Shape(String, &'static str),
    /// Not `role.number`.
    #[error("`{0}` is no clone: clones look like foreman.1")]
    NotAClone(String),
}

explain!(NameError: Usage, "git khlone list crew");

/// `[a-z0-9][a-z0-9-]{0,40}`: safe as a ref component, a folder name and a word in every shell.
fn is_slug(text: &str) -> bool {
    text.len() <= MAX_SLUG
        && !text.starts_with('-')
        && !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Parses a name of the kind `what`.
fn slug(what: &'static str) -> impl Fn(&str) -> Result<String, NameError> {
    move |text| {
        is_slug(text)
            .then(|| text.to_owned())
            .ok_or_else(|| NameError::Shape(text.to_owned(), what))
    }
}

text_type!(
    /// A role: a name with briefs and skills.
    RoleName,
    slug("role"),
    NameError
);
text_type!(
    /// A brain: a coding CLI and a model.
    BrainName,
    slug("brain"),
    NameError
);
text_type!(
    /// The id of a zone, derived from its branch name.
    ZoneId,
    slug("zone"),
    NameError
);

impl ZoneId {
    /// The id of the zone of `branch`: the name itself where it is a slug, else its slug, a dash and six hex
    /// digits of the name's hash, so that `feat`, `feat/auth`, `feat-auth`, `Feat/Auth` and `修正` never collide.
    pub fn of_branch(branch: &str) -> Self {
        // A branch that looks like a derived id of another one gets a derived id itself.
        if is_slug(branch) && !ends_like_a_hash(branch) {
            return Self(branch.to_owned());
        }
        let mut slug = String::new();
        for c in branch.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(MAX_SLUG - 7);
        let slug = slug.trim_matches('-');
        let hash = format!("{:06x}", crc32fast::hash(branch.as_bytes()) & 0x00ff_ffff);
        if slug.is_empty() {
            Self(format!("z-{hash}"))
        } else {
            Self(format!("{slug}-{hash}"))
        }
    }
}

fn ends_like_a_hash(branch: &str) -> bool {
    branch.rsplit_once('-').is_some_and(|(_, tail)| {
        tail.len() == 6
            && tail
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// A clone of a zone: a role and its number, `mechanic.1`.
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
pub struct CloneName {
    /// What it does.
    pub role: RoleName,
    /// Which one of that role, from 1.
    pub number: u32,
}

impl fmt::Display for CloneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.role, self.number)
    }
}

impl FromStr for CloneName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::NotAClone(text.to_owned());
        let (role, number) = text.rsplit_once('.').ok_or_else(bad)?;
        let role = role.parse()?;
        match number.parse() {
            Ok(number) if number > 0 && !text.ends_with(&format!(".0{number}")) => Ok(Self { role, number }),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for CloneName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<CloneName> for String {
    fn from(name: CloneName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_ids_never_collide() {
        let branches = [
            "feat",
            "feat/auth",
            "feat-auth",
            "Feat/Auth",
            "Feat/A",
            "feat/a",
            "修正",
            "feat/",
            "日本",
        ];
        let ids: std::collections::BTreeSet<_> = branches.iter().map(|b| ZoneId::of_branch(b)).collect();
        assert_eq!(ids.len(), branches.len());
        assert_eq!(ZoneId::of_branch("feat-auth").as_str(), "feat-auth");
        let derived = ZoneId::of_branch("feat/auth");
        assert_ne!(ZoneId::of_branch(derived.as_str()), derived);
    }

    #[test]
    fn clone_names_have_one_spelling() {
        assert_eq!(
            "mechanic.1".parse::<CloneName>().unwrap().to_string(),
            "mechanic.1"
        );
        for bad in [
            "mechanic",
            "mechanic.0",
            "mechanic.01",
            "Mechanic.1",
            ".1",
            "a.b.x",
            "-a.1",
        ] {
            assert!(bad.parse::<CloneName>().is_err(), "{bad}");
        }
    }
}
