//! Names that may stand in a git tree, and a reversible spelling for those that may not.
//!
//! A snapshot is pushed and checked (`fsck --strict`, `receive.fsckObjects`) like any other tree, so a name that
//! git refuses on any file system (`.git` in all its HFS and NTFS disguises) or whose content git judges
//! (`.gitmodules`, `.gitattributes`) is spelled `.khlone-name=NAME`. What is no file at all stands as a small
//! text under `.khlone-fifo=NAME` and the like. In the tail, `%` and `\` are written `%25` and `%5C`.
//!
//! Contract: `decode(encode(name))` is the name again, two names never meet, and what `encode` gives is never
//! refused. A name that really begins with `.khlone-` is encoded itself. The test for disguises is wider than
//! git's own: an innocent name too much costs nothing.

use bstr::{BString, ByteSlice};

/// What every encoded name begins with.
const PREFIX: &[u8] = b".khlone-";
/// Lines of attributes from this length on are refused by git.
const ATTRIBUTES_LINE: usize = 2048;
/// Files whose content git reads, and which it wants to be regular.
const JUDGED: [&str; 4] = [".gitmodules", ".gitattributes", ".gitignore", ".mailmap"];

/// What NTFS makes of such names when it shortens them.
const SHORT: [&str; 5] = ["git", "gitmod", "gitatt", "gitign", "mailma"];
/// And when those are taken: some letters, and a hash of the name.
const HASHED: [&str; 4] = ["gi7eba", "gi7d29", "gi250a", "maba30"];

/// Why an entry of a snapshot does not stand under its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Marker {
    /// Git would refuse the name.
    Name,
    /// A named pipe; the blob is empty.
    Fifo,
    /// A socket; the blob is empty.
    Socket,
    /// A device; the blob is empty.
    Device,
    /// A file over the size limit; the blob has its hash and size.
    Large,
    /// The `.git` folder of a nested repository; the blob has its HEAD and refs.
    Repository,
    /// Something that could not be read; the blob is empty.
    Unreadable,
}

impl Marker {
    const ALL: [Self; 7] = [
        Self::Name,
        Self::Fifo,
        Self::Socket,
        Self::Device,
        Self::Large,
        Self::Repository,
        Self::Unreadable,
    ];

    fn word(self) -> &'static [u8] {
        match self {
            Self::Name => b"name=",
            Self::Fifo => b"fifo=",
            Self::Socket => b"socket=",
            Self::Device => b"device=",
            Self::Large => b"large=",
            Self::Repository => b"repository=",
            Self::Unreadable => b"unreadable=",
        }
    }
}

/// The name under which an entry stands in a tree.
pub fn encode(name: &[u8], marker: Marker) -> BString {
    let mut out = [PREFIX, marker.word()].concat();
    for &byte in name {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'\\' => out.extend_from_slice(b"%5C"),
            _ => out.push(byte),
        }
    }
    out.into()
}

/// The name that an entry of a tree had in the work tree, and why it is spelled otherwise.
pub fn decode(name: &[u8]) -> (BString, Option<Marker>) {
    let encoded = name.strip_prefix(PREFIX).and_then(|rest| {
        Marker::ALL
            .into_iter()
            .find_map(|marker| Some((unescape(rest.strip_prefix(marker.word())?), marker)))
    });
    match encoded {
        Some((name, marker)) => (name, Some(marker)),
        None => (name.into(), None),
    }
}

fn unescape(tail: &[u8]) -> BString {
    tail.replace("%5C", "\\").replace("%25", "%").into()
}

/// Whether git, on some file system, refuses an entry of this name; `regular` tells whether it is a plain file.
pub(super) fn refused(name: &[u8], regular: bool) -> bool {
    name.starts_with(PREFIX)
        || name
            .split(|&byte| byte == b'\\')
            .any(|part| is_disguise(part, regular && part == name))
}

/// Whether a name, or what follows a backslash in one, is one of git's own on some file system.
fn is_disguise(name: &[u8], regular: bool) -> bool {
    if is_short_name(name) {
        return true;
    }
    if !matches!(name.first(), Some(b'.' | 0x80..)) {
        return false;
    }
    let folded = fold(name);
    folded == b".git" || (JUDGED.iter().any(|it| folded == it.as_bytes()) && !(regular && folded == name))
}

/// Whether the content of a file of this name makes git refuse the tree.
pub(super) fn hostile(name: &[u8], content: &[u8]) -> bool {
    match name {
        b".gitattributes" => {
            content.contains(&0) || content.lines().any(|line| line.len() >= ATTRIBUTES_LINE)
        }
        b".gitmodules" => !content.lines().all(is_harmless_module_line),
        _ => false,
    }
}

/// DOS short names of `.git…` and `.mailmap`: `GIT~1`, `GITMOD~2`, `gi7eba~1`, and the shorter `gi7~1000`.
fn is_short_name(name: &[u8]) -> bool {
    let Some(tilde) = name.iter().take(7).position(|&byte| byte == b'~') else {
        return false;
    };
    let head = name[..tilde].to_ascii_lowercase();
    name.get(tilde + 1).is_some_and(u8::is_ascii_digit)
        && (SHORT.iter().any(|it| it.as_bytes() == head)
            || HASHED.iter().any(|it| it.as_bytes().starts_with(&head)))
}

/// The name as the most forgiving file system compares it: HFS ignores some characters, NTFS what follows a
/// colon and spaces and dots at the end, both ignore case; git stops at the first byte that is no UTF-8.
fn fold(name: &[u8]) -> Vec<u8> {
    let text = name.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut folded: Vec<u8> = Vec::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => {}
            '\u{fffe}' | '\u{ffff}' | ':' => break,
            _ => folded.extend_from_slice(char.to_ascii_lowercase().encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    while let Some(b' ' | b'.') = folded.last() {
        folded.pop();
    }
    folded
}

/// Lines that can be nothing but an honest submodule: everything else may be, and is kept from git's eyes.
fn is_harmless_module_line(line: &[u8]) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with(b"#") {
        return true;
    }
    if let Some(name) = line
        .strip_prefix(b"[submodule \"")
        .and_then(|it| it.strip_suffix(b"\"]"))
    {
        return is_plain_word(name);
    }
    let Some((key, value)) = line.split_once_str("=") else {
        return false;
    };
    let value = value.trim();
    match key.trim().to_ascii_lowercase().as_slice() {
        b"path" | b"branch" | b"shallow" | b"ignore" | b"fetchrecursesubmodules" => is_plain_word(value),
        b"update" => matches!(value, b"checkout" | b"rebase" | b"merge" | b"none"),
        b"url" => is_harmless_url(value),
        _ => false,
    }
}

fn is_harmless_url(mut url: &[u8]) -> bool {
    for scheme in ["https://", "ssh://", "git@"] {
        if let Some(rest) = url.strip_prefix(scheme.as_bytes()) {
            return is_plain_word(&rest.replace(":", "/"));
        }
    }
    let mut relative = false;
    while let Some(rest) = url.strip_prefix(b"../").or_else(|| url.strip_prefix(b"./")) {
        (url, relative) = (rest, true);
    }
    relative && is_plain_word(url)
}

fn is_plain_word(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_alphanumeric)
        && !word.contains_str("..")
        && word
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._/@-+".contains(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(name: &[u8], regular: bool) -> BString {
        if refused(name, regular) {
            encode(name, Marker::Name)
        } else {
            name.into()
        }
    }

    #[test]
    fn names_that_git_refuses_on_some_file_system_are_seen() {
        for name in [
            &b".git"[..],
            b".GIT",
            b".Git. .",
            b"git~1",
            b"GIT~12",
            b"gitmod~1",
            b"GI7EBA~4",
            b"maba30~1",
            b".gi\xe2\x80\x8ct",
            b".git\xff",
            b".git:stream",
            b".gitmodules ",
            b".GITMODULES",
            b"\xef\xbb\xbf.git",
            b"a\\.git",
            b"a\\git~1",
            b"~1000000",
            b"gi7~1000",
            b".khlone-name=x",
        ] {
            assert!(refused(name, true), "{:?}", name.as_bstr());
        }
    }

    #[test]
    fn ordinary_names_keep_their_spelling() {
        for name in [
            &b".gitignore"[..],
            b".gitmodules",
            b".github",
            b".gitkeep",
            b"git",
            b"backup~1",
            b"main~1",
            b"dev\\x2ddisk",
            b"x.git",
            b"\xff\n",
        ] {
            assert!(!refused(name, true), "{:?}", name.as_bstr());
        }
        assert!(refused(b".gitignore", false));
    }

    #[test]
    fn content_decides_over_modules_and_attributes() {
        let honest = b"[submodule \"lib/x\"]\n\tpath = lib/x\n\turl = https://example.org/x.git\n\turl = ../y.git\n\turl = git@host:z.git\n";
        assert!(!hostile(b".gitmodules", honest));
        for bad in [
            "[submodule \"..\"]",
            "url = -oProxy",
            "update = !sh",
            "[include]",
            "\u{0}",
        ] {
            assert!(hostile(b".gitmodules", bad.as_bytes()), "{bad}");
        }
        assert!(hostile(b".gitattributes", &[b'a'; 2048]));
        assert!(!hostile(b".gitattributes", b"* text=auto\n"));
    }

    proptest! {
        #[test]
        fn encoding_is_reversible_and_never_refused(name in proptest::collection::vec(1u8.., 1..30), regular: bool) {
            let name: Vec<u8> = name.into_iter().filter(|&byte| byte != b'/').collect();
            prop_assume!(!name.is_empty());
            let stored = stored(&name, regular);
            prop_assert_eq!(&decode(&stored).0, name.as_bstr());
            prop_assert!(stored.starts_with(PREFIX) || !refused(&stored, regular));
            prop_assert!(stored.split(|&byte| byte == b'\\').all(|it| !is_short_name(it) && fold(it) != b".git"));
        }

        #[test]
        fn the_near_names_too(name in "[.]?[gG][iI][tT~][1-9mM:. %\\\\\u{200c}=]{0,4}|[.]khlone-(name|fifo)=[%25C\\\\]{0,6}") {
            let stored = stored(name.as_bytes(), true);
            prop_assert_eq!(decode(&stored).0, name.as_bytes().as_bstr());
            prop_assert!(fold(&stored) != b".git");
        }
    }
}
