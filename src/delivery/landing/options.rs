//! What `git merge` would do by the user's settings besides, and a landing does as well: `branch.<zone>.mergeOptions`.
//!
//! | option | in a landing |
//! |---|---|
//! | `--ff`, `--no-ff`, `--ff-only`, `--squash` | the style, where the command line gives none |
//! | `-S`, `--signoff`, `--verify-signatures`, `--no-verify`, `--cleanup`, `-X`, and their `--no-` | done |
//! | `-s ort`, `-s recursive`, `--commit`, `--no-edit`, `--allow-unrelated-histories` | what a landing does anyway |
//! | `--stat`, `--log`, `--progress`, `-q`, `-v`, `--rerere-autoupdate` and the like | have no say: a landing has its own words, and leaves no conflict |
//! | `--autostash`, `--overwrite-ignore` | have no say: a file in the way is never moved, the landing is refused and names it |
//! | all others | refused: another strategy, `--no-commit`, `--edit`, `-m`, `-F`, `--into-name`, what git does not know |
//!
//! Words are parsed as git parses them: quotes as in a shell, long options by their beginning, short ones together.

use super::FastForward;

/// What the options ask for; the last word counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct MergeOptions {
    pub(super) fast_forward: Option<FastForward>,
    pub(super) squash: bool,
    pub(super) sign: Option<Sign>,
    pub(super) signs_off: bool,
    pub(super) verifies: Option<bool>,
    pub(super) skips_hooks: bool,
    pub(super) cleanup: Option<String>,
    /// `-X`.
    pub(super) strategy: Vec<String>,
}

/// Whether the commit of a merge is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    No,
    /// By this key, else the user's.
    By(Option<String>),
}

/// An option that no landing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit(pub(super) String);

/// How an option takes its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    /// In the same word only.
    Attached,
    Needed,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Nothing that a landing would do otherwise.
    Nothing,
    /// The same, and its `--no-` is unfit.
    Done,
    Ff,
    FfOnly,
    Squash,
    Sign,
    SignOff,
    Signatures,
    Hooks,
    Cleanup,
    Strategy,
    StrategyOption,
    Unfit,
}

/// The options of `git merge`.
const OPTIONS: [Known; 31] = {
    use self::{About as A, Value as V};
    [
        ("stat", None, V::None, A::Nothing),
        ("summary", None, V::None, A::Nothing),
        ("compact-summary", None, V::None, A::Nothing),
        ("log", None, V::Attached, A::Nothing),
        ("verbose", Some('v'), V::None, A::Nothing),
        ("quiet", Some('q'), V::None, A::Nothing),
        ("progress", None, V::None, A::Nothing),
        ("rerere-autoupdate", None, V::None, A::Nothing),
        ("autostash", None, V::None, A::Nothing),
        ("overwrite-ignore", None, V::None, A::Nothing),
        ("allow-unrelated-histories", None, V::None, A::Nothing),
        ("commit", None, V::None, A::Done),
        ("edit", Some('e'), V::None, A::Unfit),
        ("ff", None, V::None, A::Ff),
        ("ff-only", None, V::None, A::FfOnly),
        ("squash", None, V::None, A::Squash),
        ("gpg-sign", Some('S'), V::Attached, A::Sign),
        ("signoff", None, V::None, A::SignOff),
        ("verify-signatures", None, V::None, A::Signatures),
        ("verify", None, V::None, A::Hooks),
        ("cleanup", None, V::Needed, A::Cleanup),
        ("strategy", Some('s'), V::Needed, A::Strategy),
        ("strategy-option", Some('X'), V::Needed, A::StrategyOption),
        ("message", Some('m'), V::Needed, A::Unfit),
        ("file", Some('F'), V::Needed, A::Unfit),
        ("into-name", None, V::Needed, A::Unfit),
        ("abort", None, V::None, A::Unfit),
        ("quit", None, V::None, A::Unfit),
        ("continue", None, V::None, A::Unfit),
        // `-n` is `--no-stat`.
        ("n", Some('n'), V::None, A::Nothing),
        ("help", Some('h'), V::None, A::Unfit),
    ]
};

impl MergeOptions {
    /// Reads the value of `branch.<name>.mergeOptions`.
    ///
    /// # Errors
    /// [`Unfit`] for the first option that no landing does.
    pub(super) fn parse(text: &str) -> Result<Self, Unfit> {
        let words = shlex::split(text).ok_or_else(|| Unfit(text.to_owned()))?;
        let (mut found, mut words) = (Self::default(), words.into_iter());
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                found.long(&word, long, &mut words)?;
            } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
                found.short(short, &mut words)?;
            }
        }
        Ok(found)
    }

    fn long(
        &mut self,
        word: &str,
        long: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<(), Unfit> {
        let unfit = || Unfit(word.to_owned());
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let (is_no, (_, _, takes, about)) = named(name).ok_or_else(unfit)?;
        let value = match takes {
            _ if is_no => None,
            Value::None if value.is_some() => return Err(unfit()),
            Value::Needed if value.is_none() => Some(words.next().ok_or_else(unfit)?),
            _ => value,
        };
        self.take(word, about, is_no, value)
    }

    fn short(&mut self, letters: &str, words: &mut impl Iterator<Item = String>) -> Result<(), Unfit> {
        for (at, letter) in letters.char_indices() {
            let word = format!("-{letter}");
            let rest = letters.get(at + letter.len_utf8()..).unwrap_or_default();
            let mut options = OPTIONS.into_iter();
            let found = options.find(|(_, short, ..)| *short == Some(letter));
            let (_, _, takes, about) = found.ok_or_else(|| Unfit(word.clone()))?;
            if takes == Value::None {
                self.take(&word, about, false, None)?;
                continue;
            }
            let value = match rest {
                "" if takes == Value::Attached => None,
                "" => Some(words.next().ok_or_else(|| Unfit(word.clone()))?),
                rest => Some(rest.to_owned()),
            };
            return self.take(&word, about, false, value);
        }
        Ok(())
    }

    fn take(&mut self, word: &str, about: About, is_no: bool, value: Option<String>) -> Result<(), Unfit> {
        let unfit = || Err(Unfit(word.to_owned()));
        match about {
            About::Done | About::FfOnly if is_no => return unfit(),
            About::Unfit | About::Strategy if is_no => {}
            About::Nothing | About::Done => {}
            About::Unfit => return unfit(),
            About::Ff if is_no => self.fast_forward = Some(FastForward::Never),
            About::Ff => self.fast_forward = Some(FastForward::Auto),
            About::FfOnly => self.fast_forward = Some(FastForward::Only),
            About::Squash => self.squash = !is_no,
            About::Sign if is_no => self.sign = Some(Sign::No),
            About::Sign => self.sign = Some(Sign::By(value)),
            About::SignOff => self.signs_off = !is_no,
            About::Signatures => self.verifies = Some(!is_no),
            About::Hooks => self.skips_hooks = is_no,
            About::Cleanup => self.cleanup = value,
            About::StrategyOption if is_no => self.strategy.clear(),
            About::StrategyOption => self.strategy.extend(value),
            About::Strategy => match value {
                Some(name) if !is_ours(&name) => return Err(Unfit(format!("-s {name}"))),
                _ => {}
            },
        }
        Ok(())
    }
}

/// Whether a landing merges by this strategy.
pub(super) fn is_ours(strategy: &str) -> bool {
    ["ort", "recursive"].contains(&strategy)
}

/// Its long name and its letter, how it takes a value, and what it is about.
type Known = (&'static str, Option<char>, Value, About);

/// The option of a long name, or of its beginning if it is no other's; and whether it is a `--no-`.
fn named(name: &str) -> Option<(bool, Known)> {
    let find = |name: &str| {
        let by_name = |(long, ..): &Known| long.len() > 1 && long.starts_with(name);
        let mut found = OPTIONS.into_iter().filter(by_name);
        let exact = OPTIONS.into_iter().find(|(long, ..)| *long == name);
        let first = found.next();
        exact.or_else(|| first.filter(|_| found.next().is_none()))
    };
    let negated = name.strip_prefix("no-").filter(|rest| !rest.is_empty());
    match negated {
        Some(rest) => Some((true, find(rest)?)),
        None => Some((false, find(name)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_git_reads_them() {
        let parse = |text: &str| MergeOptions::parse(text).unwrap();
        assert_eq!(
            parse("--stat -nq --log=5 --no-edit --commit -s ort"),
            MergeOptions::default()
        );
        let all = parse(
            "--no-ff -S'A B' --sign --cleanup strip -Xours -X 'find-renames=9' --verify-sig --no-verify",
        );
        assert_eq!(
            all,
            MergeOptions {
                fast_forward: Some(FastForward::Never),
                squash: false,
                sign: Some(Sign::By(Some("A B".to_owned()))),
                signs_off: true,
                verifies: Some(true),
                skips_hooks: true,
                cleanup: Some("strip".to_owned()),
                strategy: vec!["ours".to_owned(), "find-renames=9".to_owned()],
            }
        );
        let last = parse(
            "--ff-only --ff --squash --no-squash -S --no-gpg-sign --signoff --no-signoff --no-verify --verify",
        );
        assert_eq!(
            (last.fast_forward, last.sign),
            (Some(FastForward::Auto), Some(Sign::No))
        );
        assert!(!last.squash && !last.signs_off && !last.skips_hooks);
    }

    #[test]
    fn what_no_landing_does_is_named() {
        for (text, option) in [
            ("--no-commit", "--no-commit"),
            ("-q -m text", "-m"),
            ("--log -s ours", "-s ours"),
            ("--strategy=octopus", "-s octopus"),
            ("--edit", "--edit"),
            ("--into-name x", "--into-name"),
            ("--unheard-of", "--unheard-of"),
            ("-qZ", "-Z"),
            ("--ff=1", "--ff=1"),
            ("-X", "-X"),
            ("--s", "--s"),
            ("'open", "'open"),
        ] {
            assert_eq!(MergeOptions::parse(text), Err(Unfit(option.to_owned())), "{text}");
        }
    }
}
