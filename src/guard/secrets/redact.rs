//! Secrets taken out of text before it is stored or shown.
//!
//! Two sources: shapes of well-known secrets ([`super::shapes`]) and the exact values that the brain was given.
//! Text is looked at in whole lines, and in several where a key spans them, so that a secret cut by a chunk border is
//! found. What is found is replaced by `[redacted:NAME]` and counted by name; values are never told.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use regex::{Regex, RegexBuilder};

use super::{
    sanitise::floor,
    shapes::{self, Found},
};
use crate::task::explain;

/// Given values shorter than this are left: they would hit ordinary words.
const SHORTEST_VALUE: usize = 8;
/// The most text that waits for its end of line or end of key.
const HELD_CAP: usize = 64 << 10;
/// What still waits when that much has come without one: longer than any single-line secret.
const OVERLAP: usize = 4 << 10;

/// An entry of `redact.allow`, or a word of the command line, that is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is no pattern: {source}")]
pub struct BadPattern {
    /// The entry.
    pub pattern: String,
    /// Why.
    pub source: regex::Error,
}

explain!(BadPattern: Usage, "git khlone config    # redact.allow: https://docs.rs/regex/latest/regex/#syntax");

/// What to take out, made once for an attempt; a copy shares it.
#[derive(Debug, Clone, Default)]
pub struct Redactor(Arc<Wanted>);

#[derive(Debug, Default)]
struct Wanted {
    values: Option<Regex>,
    longest_lines: usize,
    pattern: Option<Regex>,
    /// Known shapes are left.
    given_only: bool,
    allow: Vec<Regex>,
}

/// A text that comes in chunks.
#[derive(Debug)]
pub struct Redaction {
    redactor: Redactor,
    held: String,
    counts: BTreeMap<String, u64>,
}

impl Redactor {
    /// Takes out known shapes and `values`, but nothing that one of the patterns of `allow` matches.
    ///
    /// # Errors
    /// [`BadPattern`] for an entry that is no pattern.
    pub fn new(values: &[String], allow: &[String]) -> Result<Self, BadPattern> {
        let values = values.iter().map(|value| value.trim());
        let values: Vec<String> = values
            .filter(|value| value.len() >= SHORTEST_VALUE)
            .map(str::to_owned)
            .collect();
        let longest_lines = values
            .iter()
            .filter(|value| value.contains('\n'))
            .map(|value| json_form(value).len())
            .max();
        let values = literals(&values);
        let allow = allow.iter().map(|pattern| {
            compile(pattern).map_err(|source| BadPattern {
                pattern: pattern.clone(),
                source,
            })
        });
        Ok(Self(Arc::new(Wanted {
            values,
            longest_lines: longest_lines.unwrap_or(0),
            pattern: None,
            given_only: false,
            allow: allow.collect::<Result<_, _>>()?,
        })))
    }

    /// Takes out `values`, however short, and what `pattern` matches, and leaves known shapes alone.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn only(values: &[String], pattern: Option<&str>) -> Result<Self, BadPattern> {
        let values: Vec<String> = values.iter().filter(|value| !value.is_empty()).cloned().collect();
        let pattern = pattern.map(|pattern| {
            compile(pattern).map_err(|source| BadPattern {
                pattern: pattern.to_owned(),
                source,
            })
        });
        Ok(Self(Arc::new(Wanted {
            values: literals(&values),
            longest_lines: 0,
            pattern: pattern.transpose()?,
            given_only: true,
            allow: Vec::new(),
        })))
    }

    /// Begins a text that comes in chunks.
    pub fn stream(&self) -> Redaction {
        Redaction {
            redactor: self.clone(),
            held: String::new(),
            counts: BTreeMap::new(),
        }
    }

    /// A whole text without its secrets, and how many of which kind there were.
    pub fn redact<'a>(&self, text: &'a str) -> (Cow<'a, str>, BTreeMap<String, u64>) {
        let mut counts = BTreeMap::new();
        let found = self.find(text);
        if found.is_empty() {
            return (Cow::Borrowed(text), counts);
        }
        (Cow::Owned(replace(text, text.len(), &found, &mut counts)), counts)
    }

    /// As [`redact`](Self::redact), of a file whose content may be anything; `None` where there is nothing to take out.
    pub fn redact_bytes(&self, bytes: &[u8]) -> Option<(Vec<u8>, BTreeMap<String, u64>)> {
        let (mut out, mut counts) = (Vec::new(), BTreeMap::new());
        for chunk in bytes.utf8_chunks() {
            let (text, found) = self.redact(chunk.valid());
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(chunk.invalid());
            for (name, count) in found {
                *counts.entry(name).or_default() += count;
            }
        }
        (!counts.is_empty()).then_some((out, counts))
    }

    /// Where secrets stand, in order and apart from each other.
    fn find(&self, text: &str) -> Vec<Found> {
        let wanted = &*self.0;
        let mut found = Vec::new();
        if let Some(values) = &wanted.values {
            found.extend(values.find_iter(text).map(|hit| Found {
                start: hit.start(),
                end: hit.end(),
                name: "given-value",
            }));
        }
        if let Some(pattern) = &wanted.pattern {
            let hits = pattern.find_iter(text).filter(|hit| !hit.is_empty());
            found.extend(hits.map(|hit| Found {
                start: hit.start(),
                end: hit.end(),
                name: "pattern",
            }));
        }
        if !wanted.given_only {
            shapes::find(text, &mut found);
        }
        found.retain(|hit| {
            let value = &text[hit.start..hit.end];
            !wanted.allow.iter().any(|allowed| allowed.is_match(value))
        });
        found.sort_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
        let mut apart: Vec<Found> = Vec::with_capacity(found.len());
        for hit in found {
            match apart.last_mut() {
                Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
                _ => apart.push(hit),
            }
        }
        apart
    }
}

/// One pattern for values, as they are and as they look inside a JSON string.
fn literals(values: &[String]) -> Option<Regex> {
    let mut forms: Vec<String> = values
        .iter()
        .flat_map(|value| [value.clone(), json_form(value)])
        .collect();
    // The first that matches counts, so a longer one must come before its own beginning.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    if forms.is_empty() {
        return None;
    }
    let forms: Vec<_> = forms.iter().map(|form| regex::escape(form)).collect();
    compile(&forms.join("|")).ok()
}

fn json_form(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(&quoted)
        .to_owned()
}

impl Redaction {
    /// Takes a chunk and gives the text that is settled.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let mut cut = self.settled();
        if cut == 0 {
            return String::new();
        }
        let found = self.redactor.find(&self.held);
        for hit in &found {
            if hit.start < cut && cut < hit.end {
                cut = hit.start;
            }
        }
        let out = replace(&self.held, cut, &found, &mut self.counts);
        self.held.drain(..cut);
        out
    }

    /// The rest of the text, and how many secrets of which kind there were.
    pub fn finish(mut self) -> (String, BTreeMap<String, u64>) {
        let found = self.redactor.find(&self.held);
        let out = replace(&self.held, self.held.len(), &found, &mut self.counts);
        (out, self.counts)
    }

    /// Up to where no secret can be cut.
    fn settled(&self) -> usize {
        let (held, longest_lines) = (&self.held, self.redactor.0.longest_lines);
        let mut cut = held.rfind('\n').map_or(0, |at| at + 1);
        if longest_lines > 0 {
            cut = cut.min(floor(held, held.len().saturating_sub(longest_lines)));
        }
        if cut == 0 && held.len() <= HELD_CAP {
            return 0;
        }
        let key = held
            .rfind("-----BEGIN")
            .filter(|begin| !held[*begin..].contains("-----END"));
        cut = cut.min(key.unwrap_or(cut));
        if held.len() - cut > HELD_CAP {
            cut = floor(held, held.len() - OVERLAP);
        }
        cut
    }
}

/// Text up to `cut`, with each find replaced by its name. No find lies across the cut.
fn replace(text: &str, cut: usize, found: &[Found], counts: &mut BTreeMap<String, u64>) -> String {
    let mut out = String::with_capacity(cut);
    let mut at = 0;
    for hit in found.iter().take_while(|hit| hit.end <= cut) {
        out.push_str(&text[at..hit.start]);
        out.push_str(&format!("[redacted:{}]", hit.name));
        *counts.entry(hit.name.to_owned()).or_default() += 1;
        at = hit.end;
    }
    out.push_str(&text[at..cut]);
    out
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(64 << 20).build()
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
