//! Terminal text made safe to store and to print.
//!
//! Kept are printable characters, newlines and tabs. Dropped is everything a terminal acts upon: escape sequences
//! of every kind, control characters in both encodings, marks that reorder or hide text. A carriage return becomes
//! a new line and a backspace nothing, so that what was to be overwritten is seen. State is kept between chunks: a
//! sequence or character cut in two is one all the same. A sequence that never ends swallows at most its line.

use vte::{Parser, Perform};

/// Cleans a stream of bytes, chunk by chunk.
#[derive(Default)]
pub struct Stripper {
    parser: Parser,
    text: Text,
    /// The line under way began with something else than plain text: the parser may be inside of a sequence.
    inside: bool,
}

impl std::fmt::Debug for Stripper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stripper").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Text {
    out: String,
    /// A carriage return was seen and what follows decides what becomes of it.
    returned: bool,
}

/// Ends any sequence.
const CANCEL: &[u8] = &[0x18];

impl Stripper {
    /// Takes a chunk and gives its safe text.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        // Most output is plain, and the parser is a tenth as fast as this look.
        if !self.inside
            && let Some(text) = plain(bytes)
        {
            return text.to_owned();
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.inside
                && let Some(text) = plain(line)
            {
                self.text.out.push_str(text);
                continue;
            }
            self.inside = !line.ends_with(b"\n");
            match line.split_last() {
                Some((b'\n', text)) => {
                    self.parser.advance(&mut self.text, text);
                    self.parser.advance(&mut self.text, CANCEL);
                    self.parser.advance(&mut self.text, b"\n");
                }
                _ => self.parser.advance(&mut self.text, line),
            }
        }
        std::mem::take(&mut self.text.out)
    }

    /// Ends the stream; what is cut off in the middle of a character shows as a replacement character.
    pub fn finish(mut self) -> String {
        self.parser.advance(&mut self.text, CANCEL);
        self.text.out
    }
}

/// Text that a terminal only shows: lines of printable characters and tabs.
fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    // All of them, whatever the first ones are: that is quicker.
    let ascii = bytes.iter().fold(true, |plain, byte| {
        plain & (matches!(byte, b' '..=b'~') | matches!(byte, b'\t' | b'\n'))
    });
    let shown = |c: char| c == '\n' || !is_unsafe(c) && !is_line_end(c);
    (ascii || text.chars().all(shown)).then_some(text)
}

/// The safe text of a whole piece.
pub fn strip(bytes: &[u8]) -> String {
    let mut stripper = Stripper::default();
    let mut text = stripper.push(bytes);
    text.push_str(&stripper.finish());
    text
}

impl Perform for Text {
    fn print(&mut self, c: char) {
        if is_unsafe(c) {
            return;
        }
        if std::mem::take(&mut self.returned) && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.out.push(if is_line_end(c) { '\n' } else { c });
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.returned = false;
                self.out.push('\n');
            }
            b'\t' => self.print('\t'),
            b'\r' => self.returned = true,
            _ => {}
        }
    }
}

/// Unicode's own ends of lines.
fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Characters that are no text: controls, marks of direction, invisible ones that can carry or split text.
pub fn is_unsafe(c: char) -> bool {
    c != '\t' && c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Keeps the head and the tail of a long text and marks the cut.
#[derive(Debug)]
pub struct Capped {
    head: String,
    tail: std::collections::VecDeque<u8>,
    head_cap: usize,
    tail_cap: usize,
    seen: u64,
}

impl Capped {
    /// Keeps at most `cap` bytes: three quarters from the beginning, the rest from the end.
    pub fn new(cap: usize) -> Self {
        Self {
            head: String::new(),
            tail: std::collections::VecDeque::new(),
            head_cap: cap - cap / 4,
            tail_cap: cap / 4,
            seen: 0,
        }
    }

    /// Takes more text.
    pub fn push(&mut self, text: &str) {
        self.seen += text.len() as u64;
        let mut rest = text;
        if self.tail.is_empty() {
            let room = floor(rest, self.head_cap - self.head.len());
            self.head.push_str(&rest[..room]);
            rest = &rest[room..];
        }
        // Of a piece longer than the tail only its end can stay.
        let start = rest.len().saturating_sub(self.tail_cap);
        self.tail.extend(&rest.as_bytes()[start..]);
        let over = self.tail.len().saturating_sub(self.tail_cap);
        self.tail.drain(..over);
    }

    /// The text, and how many bytes were cut out of it.
    pub fn finish(self) -> (String, u64) {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let tail: Vec<u8> = self.tail.into();
        let mut text = self.head;
        let cut = self.seen - kept;
        if cut == 0 {
            text.push_str(&String::from_utf8_lossy(&tail));
            return (text, 0);
        }
        // The tail begins with a whole character.
        let start = tail.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
        let cut = cut + start as u64;
        text.push_str(&format!("\n[… {cut} bytes cut …]\n"));
        text.push_str(&String::from_utf8_lossy(&tail[start..]));
        (text, cut)
    }
}

/// The largest length up to `at` that ends on a character.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAYLOADS: [(&[u8], &str); 22] = [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07x", "x"),
        (b"\x1b]52;c;aGk=\x1b\\x", "x"),
        (b"\x1b]8;;http://e\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bPq#0\x1b\\x", "x"),
        (b"\x1b_apc\x1b\\x", "x"),
        (b"\x1b^pm\x1b\\x", "x"),
        (b"\x1bXsos\x1b\\x", "x"),
        (b"safe\rEVIL", "safe\nEVIL"),
        (b"a\r\nb", "a\nb"),
        (b"a\r\r\nb", "a\nb"),
        (b"ab\x08\x08cd", "abcd"),
        (b"\x07\x00\x0e\x0fx", "x"),
        ("\u{9b}31mx".as_bytes(), "31mx"),
        ("\u{9d}0;t\u{9c}x".as_bytes(), "0;tx"),
        ("a\u{202e}b\u{2066}c".as_bytes(), "abc"),
        ("a\u{e0041}\u{e0062}b".as_bytes(), "ab"),
        ("a\u{200b}b\u{feff}c".as_bytes(), "abc"),
        (b"\x1b]0;never ends\nnext", "\nnext"),
        (b"\x1bPnever ends\nnext", "\nnext"),
        (b"\x1b[38;5;\nnext", "\nnext"),
        (b"\x7f\x1bcx\ty", "x\ty"),
    ];

    #[test]
    fn payloads_lose_their_sting() {
        for (bytes, safe) in PAYLOADS {
            assert_eq!(strip(bytes), safe, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn chunk_borders_make_no_difference() {
        for (bytes, safe) in PAYLOADS {
            for at in 0..bytes.len() {
                let mut stripper = Stripper::default();
                let text = [
                    stripper.push(&bytes[..at]),
                    stripper.push(&bytes[at..]),
                    stripper.finish(),
                ]
                .concat();
                assert_eq!(text, safe, "{} at {at}", bytes.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_a_terminal_acts_on_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = strip(&bytes);
            prop_assert!(!text.contains(|c: char| c != '\n' && is_unsafe(c)), "{text:?}");
            prop_assert_eq!(strip(text.as_bytes()), text);
        }

        #[test]
        fn what_is_plain_is_what_the_parser_makes_of_it(pieces in prop::collection::vec("[ -~é\t\n\u{2028}\u{9b}\u{7f}]{0,9}", 1..9)) {
            let bytes = pieces.concat().into_bytes();
            let mut text = Text::default();
            Parser::new().advance(&mut text, &bytes);
            let mut stripper = Stripper::default();
            let mut stripped: String = pieces.iter().map(|piece| stripper.push(piece.as_bytes())).collect();
            stripped.push_str(&stripper.finish());
            prop_assert_eq!(stripped, text.out);
        }

        #[test]
        fn head_and_tail_stay(pieces in prop::collection::vec("[a-zé]{0,20}", 0..20), cap in 8_usize..80) {
            let whole = pieces.concat();
            let mut capped = Capped::new(cap);
            for piece in &pieces {
                capped.push(piece);
            }
            let (text, cut) = capped.finish();
            if cut == 0 {
                prop_assert_eq!(text, whole);
            } else {
                let (head, tail) = text.split_once('\n').unwrap();
                let tail = tail.split_once('\n').unwrap().1;
                prop_assert!(whole.starts_with(head) && whole.ends_with(tail));
                prop_assert_eq!((head.len() + tail.len()) as u64 + cut, whole.len() as u64);
                prop_assert!(head.len() + tail.len() <= cap);
            }
        }
    }
}
