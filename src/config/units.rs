//! Sizes (`10MiB`) and spans of time (`1h30m`) as people write them.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Longest first, so that `KiB` is not taken for `B`; the plain letters mean the same as in git.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("B", 1),
];
const SPAN_UNITS: [(char, u64); 4] = [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)];

/// Text that is no size or no span.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnitError {
    /// Not a whole number and a unit of bytes.
    #[error("`{0}` is no size: write a number and KiB, MiB or GiB, such as 10MiB")]
    Size(String),
    /// Not whole numbers with units of time.
    #[error("`{0}` is no time: write a number and s, m, h or d, such as 90s, 1h30m")]
    Span(String),
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A length of time, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Size {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many MiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// As a number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl Span {
    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(secs)
    }

    /// As the standard library's duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Size(text.to_owned());
        let (number, factor) = SIZE_UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .unwrap_or((text, 1));
        let number: u64 = digits(number.trim_end()).ok_or_else(bad)?;
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Span(text.to_owned());
        let (mut rest, mut total, mut last) = (text, 0_u64, u64::MAX);
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(end);
            let unit = tail.chars().next().ok_or_else(bad)?;
            let (_, factor) = SPAN_UNITS
                .iter()
                .find(|(letter, _)| *letter == unit)
                .ok_or_else(bad)?;
            // Each unit once, from large to small: `1m1h` is a slip of the pen.
            if *factor >= last {
                return Err(bad());
            }
            let part = digits(number)
                .and_then(|n| n.checked_mul(*factor))
                .ok_or_else(bad)?;
            total = total.checked_add(part).ok_or_else(bad)?;
            (rest, last) = (tail.get(1..).unwrap_or_default(), *factor);
        }
        if text.is_empty() {
            Err(bad())
        } else {
            Ok(Self(total))
        }
    }
}

fn digits(text: &str) -> Option<u64> {
    // `u64::from_str` takes a plus sign, which is none of ours.
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS
            .iter()
            .take(3)
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in SPAN_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 10MiB")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

struct SpanVisitor;

impl de::Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 90s or 1h30m")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes: a whole number, or one with K, M, G, KiB, MiB or GiB.",
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": "^[0-9]+ ?([KMG](iB)?|B)?$",
            "examples": ["10MiB"],
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time: whole numbers with d, h, m, s, from large to small.",
            "type": "string",
            "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
            "examples": ["90s", "1h30m", "30d"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1KiB", 1024),
            ("10 MiB", 10 << 20),
            ("3G", 3 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in [
            "",
            "MiB",
            "1.5MiB",
            "-1",
            "+1",
            "10MB",
            "99999999999GiB",
            "1 0",
            "１MiB",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert_eq!(Size(1536).to_string(), "1536B");
    }

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, secs) in [
            ("90s", 90),
            ("2h", 7200),
            ("1h30m", 5400),
            ("30d", 2_592_000),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Span(secs)), "{text}");
        }
        for bad in [
            "",
            "90",
            "1m1h",
            "1h1h",
            "1.5h",
            "-1s",
            "h",
            "2 h",
            "99999999999999999999s",
            "1ü",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert_eq!(Span(5400).to_string(), "1h30m");
    }

    proptest! {
        #[test]
        fn units_never_panic_and_round_trip(text in "\\PC{0,12}", number in 0..u64::MAX) {
            let _any = (text.parse::<Size>(), text.parse::<Span>());
            prop_assert_eq!(Size(number).to_string().parse::<Size>(), Ok(Size(number)));
            prop_assert_eq!(Span(number).to_string().parse::<Span>(), Ok(Span(number)));
        }
    }
}
