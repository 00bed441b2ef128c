//! Words of a brain on their way into an event: borrowed where possible, forgiving about types, bounded.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// How much of a tool's input is kept.
pub(super) const INPUT: usize = 400;
/// How much of a tool's output, a reason or an error is kept.
pub(super) const OUTPUT: usize = 4 << 10;
/// How much of a line that means nothing is kept; all of it is in the raw log.
pub(super) const RAW: usize = 16 << 10;
/// How much of an answer is kept.
pub(super) const ANSWER: usize = 1 << 20;

/// At most `limit` bytes of `text`, with the cut marked. The cut is between words, where they are not longer than half
/// of it all: half a secret would not be known for one.
pub(super) fn clip(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let word = text[..end].rfind([' ', '\t', '\n', '"', '\'', ',', ';']);
    end = word.map(|at| at + 1).filter(|at| *at > end / 2).unwrap_or(end);
    format!("{}… [{} bytes cut]", &text[..end], text.len() - end)
}

/// A prompt that no CLI takes for one of its slash commands.
pub(super) fn framed(prompt: &str) -> Cow<'_, str> {
    if prompt.trim_start().starts_with('/') {
        Cow::Owned(format!("The task:\n\n{prompt}"))
    } else {
        Cow::Borrowed(prompt)
    }
}

/// A string of a JSON line. Numbers and booleans become words; a text block or a list of them is
/// its text; anything else is empty rather than an error, since a field that changed its type must not make the
/// line unreadable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clip(&self, limit: usize) -> String {
        clip(&self.0, limit)
    }

    /// `None` where it is empty.
    pub(super) fn filled(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.0.clone().into_owned())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// Reads a field that is not needed to understand its line: one of an unexpected type is as if it were absent, and a
/// number may stand in quotes.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    let quoted = || serde_json::from_str(text.strip_prefix('"')?.strip_suffix('"')?).ok();
    Ok(serde_json::from_str(text)
        .ok()
        .or_else(quoted)
        .unwrap_or_default())
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text)))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
        // A list of text blocks, as several brains write a tool's output.
        let mut whole = String::new();
        while let Some(block) = seq.next_element::<Text<'de>>()? {
            if !whole.is_empty() && !block.is_empty() {
                whole.push('\n');
            }
            whole.push_str(block.as_str());
        }
        Ok(Text(Cow::Owned(whole)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        // A text block. Of any other object nothing is text.
        let mut text = Text::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.as_str() == "text" {
                text = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text)
    }
}

/// A tool's arguments, whatever they are: the files they name and a short form for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) paths: Vec<String>,
    pub(super) brief: String,
}

/// A question to the user: every brain's tool for that takes a list of them in this shape.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked<'a> {
    #[serde(borrow)]
    question: Text<'a>,
    #[serde(borrow, deserialize_with = "lenient")]
    options: Vec<Choice<'a>>,
}

/// One of the answers on offer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice<'a> {
    #[serde(borrow)]
    label: Text<'a>,
}

/// A value that stands for its default where it is of another type.
#[derive(Deserialize)]
#[serde(transparent, bound(deserialize = "T: Default + Deserialize<'de>"))]
struct Lenient<T>(#[serde(deserialize_with = "lenient")] T);

/// Questions on one line, with the answers on offer.
fn together(asked: &[Asked<'_>]) -> String {
    let line = |asked: &Asked<'_>| {
        let labels: Vec<_> = asked.options.iter().map(|choice| choice.label.as_str()).collect();
        let offer = if labels.is_empty() {
            String::new()
        } else {
            format!(" ({})", labels.join(" | "))
        };
        format!("{}{offer}", asked.question.as_str())
    };
    let lines: Vec<_> = asked
        .iter()
        .filter(|asked| !asked.question.is_empty())
        .map(line)
        .collect();
    lines.join(" ")
}

/// Argument names that hold a path, in the spellings seen.
const PATHS: [&str; 8] = [
    "file_path",
    "filePath",
    "filepath",
    "path",
    "absolute_path",
    "notebook_path",
    "dir_path",
    "file",
];
/// Argument names that say best what a call does, best first.
const TELLING: [&str; 6] = ["command", "cmd", "pattern", "query", "url", "description"];

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputVisitor;
        impl<'de> Visitor<'de> for InputVisitor {
            type Value = Input;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tool's arguments")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Input, A::Error> {
                let mut input = Input::default();
                let (mut best, mut rest) = (TELLING.len(), String::new());
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let key = key.as_str();
                    if key == "questions" {
                        let asked: Vec<Asked<'de>> = map.next_value::<Lenient<_>>()?.0;
                        (best, input.brief) = (0, clip(&together(&asked), INPUT));
                        continue;
                    }
                    let value = map.next_value::<Text<'de>>()?;
                    if PATHS.contains(&key) && !value.is_empty() {
                        input.paths.push(value.as_str().to_owned());
                    } else if let Some(rank) = TELLING.iter().position(|name| *name == key) {
                        if rank < best && !value.is_empty() {
                            best = rank;
                            input.brief = value.clip(INPUT);
                        }
                    } else if rest.len() < INPUT && !value.is_empty() && value.0.len() < INPUT {
                        let gap = if rest.is_empty() { "" } else { " " };
                        rest.extend([gap, key, "=", value.as_str()]);
                    }
                }
                if input.brief.is_empty() && input.paths.is_empty() {
                    input.brief = clip(&rest, INPUT);
                }
                Ok(input)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Input, E> {
                Ok(Input {
                    paths: Vec::new(),
                    brief: clip(text, INPUT),
                })
            }

            fn visit_unit<E: Error>(self) -> Result<Input, E> {
                Ok(Input::default())
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Input, E> {
                Ok(Input::default())
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Input, E> {
                Ok(Input::default())
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Input, E> {
                Ok(Input::default())
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Input, E> {
                Ok(Input::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Input, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Input::default())
            }
        }
        deserializer.deserialize_any(InputVisitor)
    }
}
