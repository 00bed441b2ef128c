//! Refs as text: names and ids that come from a git folder which is not trusted, and lists of them.

use crate::refs::Oid;

/// The longest name that is taken.
const MAX_NAME: usize = 512;

/// True for a full ref name that git accepts and that is one of `refs/`. One pass: there may be many thousands of them.
pub fn is_ref_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut last = b'/';
    for (at, &byte) in bytes.iter().enumerate() {
        let bad = match byte {
            0..=b' ' | 0x7f | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\' => true,
            b'.' => matches!(last, b'/' | b'.'),
            b'/' => last == b'/' || is_lock(&bytes[..at]),
            b'{' => last == b'@',
            _ => false,
        };
        if bad {
            return false;
        }
        last = byte;
    }
    name.starts_with("refs/")
        && name.len() <= MAX_NAME
        && !matches!(last, b'/' | b'.')
        && !is_lock(bytes)
        && (name.is_ascii() || !name.contains(char::is_control))
}

/// Git looks at the letters as they are.
fn is_lock(step: &[u8]) -> bool {
    step.ends_with(b".lock")
}

/// An object id written in full.
pub fn parse_oid(text: &str) -> Option<Oid> {
    if is_hex_oid(text) {
        Oid::from_str(text).ok()
    } else {
        None
    }
}

/// True for forty lower-case hex digits.
pub(super) fn is_hex_oid(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() | matches!(byte, b'a'..=b'f');
    // All of them, whatever the first ones are: that is quicker.
    text.len() == 40 && text.bytes().fold(true, |good, byte| good & digit(byte))
}

/// The text of a file of refs; names that are not UTF-8 lose what is not, and with it the id that they stand for.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The entries of a `packed-refs` file: name, id and, of a tag, the id it peels to. Lines that are no refs are left
/// out; the order is that of the names.
pub(super) fn packed(text: &str) -> Vec<Packed<'_>> {
    let mut entries: Vec<Packed<'_>> = Vec::with_capacity(text.len() / 64);
    let mut last_taken = false;
    for line in text.lines() {
        if let Some(peeled) = line.strip_prefix('^') {
            if let (true, Some(last)) = (last_taken, entries.last_mut()) {
                last.peeled = Some(peeled).filter(|oid| is_hex_oid(oid));
            }
            continue;
        }
        let entry = Packed::of(line);
        last_taken = entry.is_some();
        entries.extend(entry);
    }
    if !entries.is_sorted_by(|a, b| a.name() < b.name()) {
        entries.sort_by_key(Packed::name);
        entries.dedup_by_key(|entry| entry.name());
    }
    entries
}

/// One line of `packed-refs`, with the line that follows a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed<'a> {
    /// Id and name, as they stand in the file.
    line: &'a str,
    /// What a tag peels to, where the file says.
    pub(super) peeled: Option<&'a str>,
}

impl<'a> Packed<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (oid, name) = line.split_at_checked(40)?;
        let known = is_hex_oid(oid) && name.strip_prefix(' ').is_some_and(is_ref_name);
        known.then_some(Self { line, peeled: None })
    }

    /// Forty hex digits, a blank, the full name.
    pub(super) fn line(&self) -> &'a str {
        self.line
    }

    /// Forty hex digits.
    pub(super) fn oid(&self) -> &'a str {
        &self.line[..40]
    }

    /// The full name.
    pub(super) fn name(&self) -> &'a str {
        &self.line[41..]
    }
}

/// The id that the text of a `packed-refs` file has for a name; cheaper than taking it apart when few are asked for.
pub(super) fn find_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = text.find(&format!(" {name}\n"))?;
    text.get(at.checked_sub(40)?..at).filter(|oid| is_hex_oid(oid))
}

/// The id that a sorted list has for a name.
pub(super) fn find<'a>(entries: &[Packed<'a>], name: &str) -> Option<&'a str> {
    let at = entries.binary_search_by(|entry| entry.name().cmp(name)).ok()?;
    Some(entries[at].oid())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_git_refuses_are_refused() {
        for good in [
            "refs/heads/a",
            "refs/heads/修正/x",
            "refs/heads/-x",
            "refs/notes/x",
            "refs/stash",
            "refs/heads/a./b",
            "refs/heads/@/{0}",
        ] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in [
            "HEAD",
            "refs/heads/",
            "refs/heads//a",
            "refs/heads/.a",
            "refs/heads/a..b",
            "refs/heads/a.lock",
            "refs/heads/a.lock/b",
            "refs/heads/a\u{85}",
            "refs/heads/\u{7f}",
            "refs/heads/a b",
            "refs/heads/a\n",
            "refs/heads/a@{0}",
            "refs/heads/a.",
            "refs/../x",
            "refs/heads/a^",
        ] {
            assert!(!is_ref_name(bad), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_is_packed_comes_out_sorted(lines in prop::collection::vec("[0-9a-f]{39,40} refs/[a-c]/.{0,3}", 0..20)) {
            let text = lines.join("\n");
            let entries = packed(&text);
            prop_assert!(entries.is_sorted_by(|a, b| a.name() < b.name()));
            for entry in &entries {
                prop_assert!(is_ref_name(entry.name()));
                prop_assert_eq!(find(&entries, entry.name()), Some(entry.oid()));
            }
        }

        #[test]
        fn git_accepts_what_we_accept(name in "refs/heads/[a-zA-Z0-9./@{}~^: _-]{1,12}") {
            let git = crate::process::Cmd::new("git").args(["check-ref-format", &name]).finish().unwrap();
            prop_assert!(!is_ref_name(&name) || git.status.success(), "{name}");
        }
    }
}
