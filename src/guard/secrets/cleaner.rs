//! A stream of bytes that a brain or a command prints, made safe in both ways: no terminal commands, no secrets.

use std::collections::BTreeMap;

use super::{
    redact::{Redaction, Redactor},
    sanitise::Stripper,
};

/// Strips first and redacts then: an escape sequence in the middle of a secret hides nothing.
#[derive(Debug)]
pub struct Cleaner {
    stripper: Stripper,
    redaction: Redaction,
}

impl Cleaner {
    /// Begins a stream.
    pub fn new(redactor: &Redactor) -> Self {
        Self {
            stripper: Stripper::default(),
            redaction: redactor.stream(),
        }
    }

    /// Takes a chunk and gives the text that is settled, in whole lines as a rule.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let text = self.stripper.push(bytes);
        self.redaction.push(&text)
    }

    /// The rest of the text, and how many secrets of which kind there were.
    pub fn finish(mut self) -> (String, BTreeMap<String, u64>) {
        let rest = self.stripper.finish();
        let mut out = self.redaction.push(&rest);
        let (last, counts) = self.redaction.finish();
        out.push_str(&last);
        (out, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_hidden_by_escapes_and_chunks_is_found() {
        let redactor = Redactor::new(&["0123456789abc".to_owned()], &[]).unwrap();
        let bytes = "key 01234\u{1b}[31m56\u{200b}789abc.\n".as_bytes();
        for at in 0..bytes.len() {
            let mut cleaner = Cleaner::new(&redactor);
            let mut text = cleaner.push(&bytes[..at]);
            text.push_str(&cleaner.push(&bytes[at..]));
            let (rest, counts) = cleaner.finish();
            assert_eq!(text + &rest, "key [redacted:given-value].\n", "{at}");
            assert_eq!(counts["given-value"], 1);
        }
    }
}
