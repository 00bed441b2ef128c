//! Our signs that are no ASCII, on a terminal whose locale cannot show them (`LANG=C`). In a pipe everything stays as
//! it is: what reads there may be a program, and a path or an answer its data.

use std::{borrow::Cow, env, io::IsTerminal};

/// Each with what stands for it.
const SIGNS: [(char, &str); 8] = [
    ('✓', "+"),
    ('✗', "x"),
    ('−', "-"),
    ('…', "..."),
    ('·', "-"),
    ('→', "->"),
    ('▶', ">"),
    ('’', "'"),
];
/// The spinner, its last frame being that of the end.
pub(super) const SPINNER: &str = "|/-\\ ";

/// `text` as `stream` can show it.
pub(super) fn shown<'t>(text: &'t str, stream: &impl IsTerminal) -> Cow<'t, str> {
    if text.is_ascii() || !stream.is_terminal() || !is_plain() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(in_ascii(text))
}

/// Whether the locale has no such signs.
pub(super) fn is_plain() -> bool {
    is_ascii_only(|name| env::var(name).ok())
}

/// The first of these that is set counts, as for every program. Where none is, as in a container, most terminals can.
fn is_ascii_only(var: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(var)
        .find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        !locale.contains("utf-8") && !locale.contains("utf8")
    })
}

fn in_ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match SIGNS.iter().find(|(sign, _)| *sign == c) {
            Some((_, instead)) => plain.push_str(instead),
            None => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_counts() {
        let of = |set: &[(&str, &str)]| {
            is_ascii_only(|name| {
                let found = set.iter().find(|(of, _)| *of == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(!of(&[]) && !of(&[("LANG", "")]));
        assert!(of(&[("LANG", "C")]) && of(&[("LANG", "de_DE")]) && of(&[("LC_ALL", "POSIX")]));
        assert!(!of(&[("LANG", "C.UTF-8")]) && !of(&[("LANG", "en_US.utf8")]));
        assert!(of(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]));
        assert!(!of(&[("LC_ALL", ""), ("LC_CTYPE", "en_US.UTF-8"), ("LANG", "C")]));
        assert_eq!(in_ascii("✓ a… +1 −0 · é"), "+ a... +1 -0 - é");
    }
}
