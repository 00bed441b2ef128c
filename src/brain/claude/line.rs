//! The shape of a line of Claude Code's stream, as far as it is read.

use std::fmt;

use serde::{
    Deserialize,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::super::text::{Input, Text, lenient};

/// One line.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) subtype: Text<'a>,
    #[serde(borrow, default)]
    pub(super) session_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) model: Text<'a>,
    #[serde(borrow, default)]
    pub(super) claude_code_version: Text<'a>,
    #[serde(borrow, default)]
    pub(super) message: Blocks<'a>,
    #[serde(borrow, default)]
    pub(super) error: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) error_status: Option<u16>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) attempt: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) retry_delay_ms: Option<u64>,
    #[serde(borrow, default)]
    pub(super) tool_name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) result: Text<'a>,
    #[serde(borrow, default)]
    pub(super) errors: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) is_error: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) api_error_status: Option<u16>,
    #[serde(borrow, default)]
    pub(super) terminal_reason: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) usage: Option<Tokens>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) total_cost_usd: Option<f64>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) rate_limit_info: Option<Limits<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) permission_denials: Vec<Denied<'a>>,
}

/// One block of a message.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) text: Text<'a>,
    #[serde(borrow, default)]
    pub(super) thinking: Text<'a>,
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(default)]
    pub(super) input: Input,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) content: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) is_error: Option<bool>,
}

/// This run's; the input is without what came from the cache.
#[derive(Deserialize)]
pub(super) struct Tokens {
    #[serde(rename = "input_tokens", default, deserialize_with = "lenient")]
    pub(super) input: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens", default, deserialize_with = "lenient")]
    pub(super) cache_written: Option<u64>,
    #[serde(rename = "cache_read_input_tokens", default, deserialize_with = "lenient")]
    pub(super) cache_read: Option<u64>,
    #[serde(rename = "output_tokens", default, deserialize_with = "lenient")]
    pub(super) output: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Limits<'a> {
    #[serde(borrow, default)]
    pub(super) status: Text<'a>,
    #[serde(rename = "resetsAt", default, deserialize_with = "lenient")]
    pub(super) resets_at: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Denied<'a> {
    #[serde(borrow, default)]
    pub(super) tool_name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Text<'a>,
}

/// The blocks of a message. It is an object with `content`, which is a list or one text; or one text itself.
#[derive(Default)]
pub(super) struct Blocks<'a>(pub(super) Vec<Block<'a>>);

impl<'a> Blocks<'a> {
    /// The first text.
    pub(super) fn text(&self) -> Text<'a> {
        let text = self.0.iter().find(|block| !block.text.is_empty());
        text.map_or_else(Text::default, |block| block.text.clone())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Blocks<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BlocksVisitor)
    }
}

struct BlocksVisitor;

impl<'de> Visitor<'de> for BlocksVisitor {
    type Value = Blocks<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Blocks<'de>, E> {
        Ok(Blocks(vec![Block::text(Text(text.into()))]))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Blocks<'de>, E> {
        Ok(Blocks(vec![Block::text(Text(text.to_owned().into()))]))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Blocks<'de>, E> {
        Ok(Blocks::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Blocks<'de>, A::Error> {
        let mut blocks = Vec::new();
        while let Some(block) = seq.next_element()? {
            blocks.push(block);
        }
        Ok(Blocks(blocks))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Blocks<'de>, A::Error> {
        let mut blocks = Blocks::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.as_str() == "content" {
                blocks = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(blocks)
    }
}

impl<'a> Block<'a> {
    fn text(text: Text<'a>) -> Self {
        Self {
            kind: Text("text".into()),
            text,
            ..Self::default()
        }
    }
}
