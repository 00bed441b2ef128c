//! The address grammar: `--who [role][.n|.any][@brain][++]` and `--zone [[org/]repo]@branch`.

use std::{fmt, str::FromStr};

use super::{BrainName, NameError, RoleName, explain};

/// Whom a task is for, as given: every part may be missing and comes from the hero then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Who {
    /// What it does.
    pub role: Option<RoleName>,
    /// Which one; without it, one is found or enrolled.
    pub number: Option<u32>,
    /// What it runs on.
    pub brain: Option<BrainName>,
    /// `++`: always enrol the next number.
    pub enrol: bool,
    /// `any`: a free one, else the next number.
    pub any: bool,
}

/// An address that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// A part of it is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The number is missing or zero.
    #[error("`{0}`: the number after the dot must be 1 or more")]
    Number(String),
    /// `any++` contradicts itself.
    #[error("`{0}`: `any` takes a free clone or enrols one; leave the `++` out")]
    AnyAndEnrol(String),
    /// `.3++` contradicts itself.
    #[error("`{0}`: a number names one clone, `++` enrols a new one; give one of the two")]
    NumberAndEnrol(String),
    /// A model behind the brain, or capitals in its name.
    #[error("`{given}` is not an address: {why}")]
    Brain {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: &'static str,
        /// How it is written.
        meant: String,
    },
    /// Nothing in it.
    #[error(
        "the address is empty: give a role, a role and number, or a brain, such as mechanic, mechanic.2 or @codex"
    )]
    Empty,
    /// A zone without a branch.
    #[error("`{0}` names no branch: zones look like @feat/auth or repo@main")]
    NoBranch(String),
}

explain! {
    AddressError {
        Usage {
            Brain { meant, .. } => format!("git khlone act {meant} \"what is to be done\""),
            Name, Number, AnyAndEnrol, NumberAndEnrol, Empty, NoBranch,
        }
    }
}

impl FromStr for Who {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (rest, enrol) = text.strip_suffix("++").map_or((text, false), |rest| (rest, true));
        let (rest, brain) = match rest.split_once('@') {
            Some((rest, brain)) => (rest, Some(read_brain(rest, brain)?)),
            None => (rest, None),
        };
        let (rest, any) = match rest.strip_suffix("any") {
            Some("") => ("", true),
            Some(before) if before.ends_with('.') => (&before[..before.len() - 1], true),
            _ => (rest, false),
        };
        let (role, number) = match rest.rsplit_once('.') {
            Some((role, number)) => {
                let number: u32 = number
                    .parse()
                    .map_err(|_| AddressError::Number(text.to_owned()))?;
                if number == 0 {
                    return Err(AddressError::Number(text.to_owned()));
                }
                (role, Some(number))
            }
            None => (rest, None),
        };
        let role = if role.is_empty() {
            None
        } else {
            Some(role.parse()?)
        };
        if number.is_some() && enrol {
            return Err(AddressError::NumberAndEnrol(text.to_owned()));
        }
        if any && enrol {
            return Err(AddressError::AnyAndEnrol(text.to_owned()));
        }
        let who = Self {
            role,
            number,
            brain,
            enrol,
            any,
        };
        if who == Self::default() {
            Err(AddressError::Empty)
        } else {
            Ok(who)
        }
    }
}

/// The brain of `role@brain`; where it is none, what was meant by it.
fn read_brain(role: &str, word: &str) -> Result<BrainName, AddressError> {
    let error = match word.parse() {
        Ok(brain) => return Ok(brain),
        Err(error) => error,
    };
    let (name, model) = match word.split_once([':', '/']) {
        Some((name, model)) if !model.is_empty() => (name, Some(model)),
        _ => (word, None),
    };
    let Ok(brain) = name.to_ascii_lowercase().parse::<BrainName>() else {
        return Err(error.into());
    };
    Err(AddressError::Brain {
        given: format!("{role}@{word}"),
        why: match model {
            Some(_) => "it names a model, which has an option of its own",
            None => "brains are written in lower case",
        },
        meant: match model {
            Some(model) => format!("--who {role}@{brain} --model {model}"),
            None => format!("--who {role}@{brain}"),
        },
    })
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(role) = &self.role {
            write!(f, "{role}")?;
        }
        if let Some(number) = self.number {
            write!(f, ".{number}")?;
        }
        if self.any {
            f.write_str(if self.role.is_some() { ".any" } else { "any" })?;
        }
        if let Some(brain) = &self.brain {
            write!(f, "@{brain}")?;
        }
        f.write_str(if self.enrol { "++" } else { "" })
    }
}

/// A zone as given: `@feat/auth`, `feat/auth`, `repo@main`, `org/repo@branch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneAddress {
    /// The site, when not this one.
    pub site: Option<String>,
    /// The full branch name.
    pub branch: String,
}

impl FromStr for ZoneAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (site, branch) = match text.split_once('@') {
            Some(("", branch)) => (None, branch),
            Some((site, branch)) => (Some(site.to_owned()), branch),
            None => (None, text),
        };
        // Git takes no control character in a branch, and a terminal would act upon it.
        if branch.is_empty() || text.contains(char::is_control) {
            return Err(AddressError::NoBranch(text.escape_debug().to_string()));
        }
        Ok(Self {
            site,
            branch: branch.to_owned(),
        })
    }
}

impl fmt::Display for ZoneAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.site.as_deref().unwrap_or_default(), self.branch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::Explain;

    #[test]
    fn who_reads_every_form() {
        let who: Who = "mechanic.2@codex".parse().unwrap();
        assert_eq!((who.role.unwrap().as_str(), who.number), ("mechanic", Some(2)));
        assert!("@codex++".parse::<Who>().unwrap().enrol);
        assert_eq!(".3".parse::<Who>().unwrap().number, Some(3));
        for bad in ["", "@", "mechanic.", "mechanic.0", "a b", "-x", ".2++", "Ünicode"] {
            assert!(bad.parse::<Who>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_model_or_capitals_in_an_address_say_how_it_is_written() {
        for (given, meant) in [
            ("@claude:opus", "--who @claude --model opus"),
            ("@claude/opus", "--who @claude --model opus"),
            (
                "@opencode/anthropic/claude",
                "--who @opencode --model anthropic/claude",
            ),
            ("mechanic.2@Codex:gpt-5", "--who mechanic.2@codex --model gpt-5"),
            ("@Claude", "--who @claude"),
        ] {
            let error = given.parse::<Who>().unwrap_err();
            let hint = format!("git khlone act {meant} \"what is to be done\"");
            assert_eq!(error.hint(), Some(hint), "{given}: {error}");
        }
        for nonsense in ["@claude:", "@a b", "@:x"] {
            let error = nonsense.parse::<Who>().unwrap_err();
            assert!(matches!(error, AddressError::Name(_)), "{nonsense}: {error:?}");
        }
    }

    #[test]
    fn zones_split_at_the_first_at() {
        let zone: ZoneAddress = "org/repo@feat/x@y".parse().unwrap();
        assert_eq!(
            (zone.site.as_deref(), zone.branch.as_str()),
            (Some("org/repo"), "feat/x@y")
        );
        assert!("repo@".parse::<ZoneAddress>().is_err());
    }

    #[test]
    fn no_zone_has_a_control_character_nor_does_its_error() {
        for bad in ["$\n\u{e}", "\u{1b}]0;x\u{7}@main", "main\u{9b}"] {
            let error = bad.parse::<ZoneAddress>().unwrap_err().to_string();
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn a_zone_reads_back_as_itself(text in any::<String>()) {
            if let Ok(zone) = text.parse::<ZoneAddress>() {
                prop_assert_eq!(zone.to_string().parse::<ZoneAddress>().unwrap(), zone);
            }
        }

        #[test]
        fn who_never_panics_and_round_trips(text in "\\PC{0,40}") {
            if let Ok(who) = text.parse::<Who>() {
                prop_assert_eq!(who.to_string().parse::<Who>().unwrap(), who);
            }
        }

        #[test]
        fn who_round_trips(role in proptest::option::of("[a-z][a-z0-9-]{0,8}"), n in proptest::option::of(1u32..99), brain in proptest::option::of("[a-z]{1,8}")) {
            let who = Who { role: role.map(|r| r.parse().unwrap()), number: n, brain: brain.map(|b| b.parse().unwrap()), enrol: false, any: false };
            prop_assume!(who != Who::default());
            prop_assert_eq!(who.to_string().parse::<Who>().unwrap(), who);
        }
    }
}
