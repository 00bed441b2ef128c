//! Where a text has secrets of well-known shapes (`secrets.tsv`, data).
//!
//! One pass finds which shapes can be in it at all, by the words without which they cannot. Only those are looked for,
//! and only those are ever compiled: all of them together would take a runner more memory than everything else it does.
//! They are matched as bytes, without Unicode's classes, for the same reason.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

const LINES: &str = include_str!("secrets.tsv");
/// The longest secret that spans lines.
const SPAN: usize = 20_000;

/// A secret in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) name: &'static str,
}

/// One shape.
struct Shape {
    name: &'static str,
    /// Only what looks random is a secret.
    random: bool,
    /// The words, in any case, of which a text that has one must have at least one.
    words: &'static str,
    pattern: &'static str,
    /// Where a secret that spans lines ends.
    end: Option<&'static str>,
    compiled: OnceLock<Option<Compiled>>,
}

struct Compiled {
    pattern: Regex,
    end: Option<Regex>,
}

/// Adds the secrets in `text`, shape by shape; they may overlap.
pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let (shapes, words) = shapes();
    for at in words.matches(text.as_bytes()) {
        let shape = &shapes[at];
        match shape.compiled() {
            None => {}
            Some(Compiled {
                pattern,
                end: Some(end),
            }) => shape.spans(text, (pattern, end), found),
            Some(Compiled { pattern, end: None }) => shape.values(text, pattern, found),
        }
    }
}

impl Shape {
    fn of(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let name = fields.next()?;
        Some(Self {
            name: name.trim_end_matches('?'),
            random: name.ends_with('?'),
            words: fields.next()?,
            pattern: fields.next()?,
            end: fields.next(),
            compiled: OnceLock::new(),
        })
    }

    /// A test holds that every one compiles.
    fn compiled(&self) -> Option<&Compiled> {
        let compile = || {
            Some(Compiled {
                pattern: bytes(self.pattern).ok()?,
                end: self.end.map(bytes).transpose().ok()?,
            })
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    fn values(&self, text: &str, pattern: &Regex, found: &mut Vec<Found>) {
        let mut add = |start, end| {
            let value = text.get(start..end);
            if value.is_some_and(|value| !self.random || looks_random(value)) {
                found.push(Found {
                    start,
                    end,
                    name: self.name,
                });
            }
        };
        if pattern.captures_len() == 1 {
            let hits = pattern.find_iter(text.as_bytes());
            return hits.for_each(|hit| add(hit.start(), hit.end()));
        }
        for hit in pattern.captures_iter(text.as_bytes()) {
            if let Some(value) = hit.get(1) {
                add(value.start(), value.end());
            }
        }
    }

    /// Each goes from its beginning to the next end, or to that of the text, but is never longer than [`SPAN`].
    fn spans(&self, text: &str, (pattern, end): (&Regex, &Regex), found: &mut Vec<Found>) {
        let bytes = text.as_bytes();
        let mut at = 0;
        // Looked for once, however many begin before it.
        let mut next = end.find(bytes);
        while let Some(begin) = pattern.find_at(bytes, at) {
            at = begin.end();
            while next.is_some_and(|it| it.start() < at) {
                next = end.find_at(bytes, at);
            }
            let (from, to) = next.map_or((bytes.len(), bytes.len()), |it| (it.start(), it.end()));
            if from - at <= SPAN {
                at = to;
                found.push(Found {
                    start: begin.start(),
                    end: to,
                    name: self.name,
                });
            }
        }
    }
}

/// Letters and digits mixed as no word or identifier is.
pub(super) fn looks_random(value: &str) -> bool {
    let has = |test: fn(&u8) -> bool| value.bytes().any(|byte| test(&byte));
    if !has(u8::is_ascii_digit) || !has(u8::is_ascii_alphabetic) {
        return false;
    }
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum();
    entropy > 3.3
}

fn bytes(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).build()
}

/// The shapes, and for each of them the words that it needs, by the same numbers.
fn shapes() -> (&'static [Shape], &'static RegexSet) {
    static SHAPES: OnceLock<(Vec<Shape>, RegexSet)> = OnceLock::new();
    let (shapes, words) = SHAPES.get_or_init(|| {
        let lines = LINES.lines().filter(|line| !line.starts_with('#'));
        let shapes: Vec<_> = lines.filter_map(Shape::of).collect();
        let words = shapes.iter().map(|shape| {
            let words: Vec<_> = shape.words.split(',').map(regex::escape).collect();
            words.join("|")
        });
        let words = RegexSetBuilder::new(words)
            .unicode(false)
            .case_insensitive(true)
            .build();
        // A test holds that they compile.
        (shapes, words.unwrap_or_else(|_| RegexSet::empty()))
    });
    (shapes, words)
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::*,
        strategy::ValueTree,
        test_runner::{Config, TestRunner},
    };

    use super::*;

    #[test]
    fn every_shape_compiles() {
        let (shapes, words) = shapes();
        let lines = LINES
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(
            (shapes.len(), words.len()),
            (lines.clone().count(), lines.count())
        );
        for shape in shapes {
            assert!(shape.compiled().is_some(), "{}", shape.name);
        }
    }

    /// What has none of a shape's words is not even looked at.
    #[test]
    fn a_shape_never_matches_without_one_of_its_words() {
        let (shapes, words) = shapes();
        let mut runner = TestRunner::new(Config::default());
        for (at, shape) in shapes.iter().enumerate() {
            // Looks and flags are none of what a generator can follow.
            let pattern = ["\\b", "|\\z", "(?i)"]
                .iter()
                .fold(shape.pattern.to_owned(), |it, no| it.replace(no, ""));
            let texts = proptest::string::string_regex(&pattern).unwrap();
            for _ in 0..200 {
                let text = texts.new_tree(&mut runner).unwrap().current();
                assert!(
                    words.matches(text.as_bytes()).matched(at),
                    "{}: {text}",
                    shape.name
                );
            }
        }
    }

    #[test]
    fn a_key_goes_to_its_end_or_to_that_of_the_text_where_it_is_near() {
        let ends = |text: &str| {
            let mut found = Vec::new();
            find(text, &mut found);
            found.iter().map(|it| (it.start, it.end)).collect::<Vec<_>>()
        };
        let (begin, end) = (
            "-----BEGIN RSA PRIVATE KEY-----\n",
            "-----END RSA PRIVATE KEY-----\n",
        );
        let key = format!("{begin}abc\n{begin}def\n{end}");
        assert_eq!(ends(&format!("x\n{key}y\n{key}")).len(), 2);
        assert_eq!(ends(&format!("x\n{begin}abc\n")), [(2, 2 + begin.len() + 4)]);
        let far = "z".repeat(SPAN);
        assert_eq!(ends(&format!("{begin}{far}{end}")), []);
        assert_eq!(ends(&format!("{begin}{far}{key}")).len(), 1);
        // However many begin, each place is looked at once.
        assert_eq!(ends(&begin.repeat(40_000)).len(), 1);
    }
}
