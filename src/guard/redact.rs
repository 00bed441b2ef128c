//! Secrets taken out of text before it is stored or shown.
//!
//! Two sources: shapes of well-known secrets (`secrets.tsv`, data) and the exact values that the brain was given.
//! Text is looked at in whole lines, and in several where a key spans them, so that a secret cut by a chunk border is
//! found; a text without a single keyword costs one scan. What is found is replaced by `[redacted:NAME]` and
//! counted by name; values are never told.

use std::{borrow::Cow, collections::BTreeMap, sync::OnceLock};

use regex::{Regex, RegexBuilder};

use super::sanitise::floor;
use crate::task::{Class, Explain};

const RULES: &str = include_str!("secrets.tsv");
/// Given values shorter than this are left: they would hit ordinary words.
const SHORTEST_VALUE: usize = 8;
/// The most text that waits for its end of line or end of key.
const HELD_CAP: usize = 64 << 10;
/// What still waits when that much has come without one: longer than any single-line secret.
const OVERLAP: usize = 4 << 10;

/// One shape.
struct Rule {
    name: &'static str,
    random: bool,
    pattern: Regex,
}

/// All shapes, with one pattern for all and one for their keywords.
struct Rules {
    list: Vec<Rule>,
    keywords: Regex,
    any: Regex,
}

/// An entry of `redact.allow` that is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("redact.allow: `{pattern}` is no pattern: {source}")]
pub struct BadAllow {
    /// The entry.
    pub pattern: String,
    /// Why.
    pub source: regex::Error,
}

impl Explain for BadAllow {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// What to take out, made once for an attempt.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    values: Option<Regex>,
    longest_lines: usize,
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
    /// [`BadAllow`] for an entry that is no pattern.
    pub fn new(values: &[String], allow: &[String]) -> Result<Self, BadAllow> {
        let mut forms: Vec<String> = Vec::new();
        for value in values
            .iter()
            .map(|value| value.trim())
            .filter(|value| value.len() >= SHORTEST_VALUE)
        {
            forms.push(value.to_owned());
            // As it looks inside a JSON string.
            let quoted = serde_json::Value::from(value).to_string();
            forms.push(quoted.trim_matches('"').to_owned());
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        let longest_lines = forms
            .iter()
            .filter(|form| form.contains('\n'))
            .map(String::len)
            .max();
        let literals: Vec<_> = forms.iter().map(|form| regex::escape(form)).collect();
        let values = if literals.is_empty() {
            None
        } else {
            compile(&literals.join("|")).ok()
        };
        let allow = allow.iter().map(|pattern| {
            compile(pattern).map_err(|source| BadAllow {
                pattern: pattern.clone(),
                source,
            })
        });
        Ok(Self {
            values,
            longest_lines: longest_lines.unwrap_or(0),
            allow: allow.collect::<Result<_, _>>()?,
        })
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

    /// Where secrets stand, in order and apart from each other.
    fn find(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(values) = &self.values {
            found.extend(values.find_iter(text).map(|hit| Found {
                start: hit.start(),
                end: hit.end(),
                name: "given-value",
            }));
        }
        let rules = rules();
        if rules.keywords.is_match(text) {
            found.extend(
                rules
                    .any
                    .find_iter(text)
                    .filter_map(|hit| rules.judge(text, hit.start(), hit.end())),
            );
        }
        found.retain(|hit| {
            let value = &text[hit.start..hit.end];
            !self.allow.iter().any(|allowed| allowed.is_match(value))
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

#[derive(Debug, Clone, Copy)]
struct Found {
    start: usize,
    end: usize,
    name: &'static str,
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
        let held = &self.held;
        let mut cut = held.rfind('\n').map_or(0, |at| at + 1);
        if self.redactor.longest_lines > 0 {
            cut = cut.min(floor(
                held,
                held.len().saturating_sub(self.redactor.longest_lines),
            ));
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

impl Rules {
    /// Which rule it was, and what of the match is the secret.
    fn judge(&self, text: &str, start: usize, end: usize) -> Option<Found> {
        for rule in &self.list {
            let Some(groups) = rule.pattern.captures_at(text, start) else {
                continue;
            };
            let whole = groups.get(0)?;
            if whole.start() != start || whole.end() != end {
                continue;
            }
            let value = groups.get(1).unwrap_or(whole);
            if rule.random && !looks_random(value.as_str()) {
                return None;
            }
            return Some(Found {
                start: value.start(),
                end: value.end(),
                name: rule.name,
            });
        }
        None
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

/// Letters and digits mixed as no word or identifier is.
fn looks_random(value: &str) -> bool {
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

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(64 << 20).build()
}

/// The rules, compiled at their first use.
fn rules() -> &'static Rules {
    static COMPILED: OnceLock<Rules> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let mut list = Vec::new();
        let mut keywords = Vec::new();
        let mut patterns = Vec::new();
        for line in RULES
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let mut fields = line.splitn(3, '\t');
            let (Some(name), Some(words), Some(pattern)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let Ok(compiled) = compile(pattern) else { continue };
            keywords.extend(words.split(',').map(regex::escape));
            patterns.push(format!("(?:{pattern})"));
            list.push(Rule {
                name: name.trim_end_matches('?'),
                random: name.ends_with('?'),
                pattern: compiled,
            });
        }
        // A test holds that every rule compiles; a rule set that did not would have to match everything.
        let all = |patterns: &[String], flags: &str| compile(&format!("{flags}(?:{})", patterns.join("|")));
        let fallback = || Regex::new("").unwrap_or_else(|_| unreachable!("the empty pattern compiles"));
        Rules {
            keywords: all(&keywords, "(?i)").unwrap_or_else(|_| fallback()),
            any: all(&patterns, "").unwrap_or_else(|_| fallback()),
            list,
        }
    })
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
