//! What brains reach of the network: all of it, nothing, or named hosts.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de, ser::SerializeMap};

/// What brains reach of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// All that the machine reaches.
    #[default]
    Open,
    /// A loopback of their own; where that cannot be enforced, nothing runs.
    None,
    /// The same, and of the world only these hosts, by a proxy of the runner's.
    Allow(Vec<HostRule>),
}

/// A host, or all below one: `example.com`, `*.example.com`, `example.com:8443`. Without a port, 443 and 80 are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    host: String,
    /// All hosts below it, and not itself.
    below: bool,
    port: Option<u16>,
}

impl Network {
    /// The word for it, as in documents.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::None => "none",
            Self::Allow(_) => "allow",
        }
    }

    /// What both let through.
    pub(super) fn meet(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::Open, other) => other,
            (own, Self::Open) => own,
            (Self::Allow(own), Self::Allow(other)) => {
                let within = |rules: &[HostRule], all: &[HostRule]| {
                    let kept = rules
                        .iter()
                        .filter(|rule| all.iter().any(|wide| wide.covers(rule)));
                    kept.cloned().collect::<Vec<_>>()
                };
                let mut both = within(&own, &other);
                both.extend(
                    within(&other, &own)
                        .into_iter()
                        .filter(|rule| !own.contains(rule)),
                );
                Self::Allow(both)
            }
        }
    }
}

impl HostRule {
    /// Whether it lets a connection to `port` of `host` through; the host in lower case.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let is_host = if self.below {
            self.is_above(host)
        } else {
            host == self.host
        };
        is_host && self.port.map_or(matches!(port, 443 | 80), |own| own == port)
    }

    /// Whether it names `host` itself, which may be an address of this machine then.
    pub fn names(&self, host: &str) -> bool {
        !self.below && self.host == host
    }

    fn is_above(&self, host: &str) -> bool {
        host.strip_suffix(&self.host)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// Whether all that `other` lets through, this does, too.
    fn covers(&self, other: &Self) -> bool {
        let host = match (self.below, other.below) {
            (false, false) => self.host == other.host,
            (false, true) => false,
            (true, false) => self.is_above(&other.host),
            (true, true) => self.host == other.host || self.is_above(&other.host),
        };
        host && (self.port == other.port || (self.port.is_none() && matches!(other.port, Some(443 | 80))))
    }
}

impl TryFrom<&str> for HostRule {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "invalid host `{text}`: expected a name such as example.com, *.example.com or example.com:8443"
            )
        };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let (host, below) = host.strip_prefix("*.").map_or((host, false), |host| (host, true));
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let host = host.to_ascii_lowercase();
        // All below one label would be a whole top-level domain.
        let is_narrow = !below || host.contains('.');
        if !host.split('.').all(is_label) || port == Some(0) || !is_narrow {
            return Err(bad());
        }
        Ok(Self { host, below, port })
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        write!(f, "{below}{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Serialize for HostRule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::try_from(text.as_str()).map_err(de::Error::custom)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Open | Self::None => serializer.serialize_str(self.as_str()),
            Self::Allow(rules) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("allow", rules)?;
                map.end()
            }
        }
    }
}

/// Its form as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    allow: Vec<HostRule>,
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Network;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("open, none, or allow with a list of hosts")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Network, E> {
                match word {
                    "open" => Ok(Network::Open),
                    "none" => Ok(Network::None),
                    other => Err(E::unknown_variant(other, &["open", "none"])),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Network, A::Error> {
                let allowed = Allowed::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Network::Allow(allowed.allow))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What brains reach of the network: `open`, all that the machine reaches; `none`, a loopback of their own; or these hosts alone, by a proxy.",
            "anyOf": [
                { "type": "string", "enum": ["open", "none"] },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["allow"],
                    "properties": {
                        "allow": {
                            "description": "The hosts that a brain may reach, each with its ports.",
                            "type": "array",
                            "items": { "type": "string", "pattern": r"^(\*\.)?[A-Za-z0-9_.-]+(:[0-9]+)?$" }
                        }
                    }
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> HostRule {
        text.try_into().unwrap()
    }

    fn allow(rules: &[&str]) -> Network {
        Network::Allow(rules.iter().map(|text| rule(text)).collect())
    }

    #[test]
    fn a_rule_lets_through_what_it_names() {
        for (text, host, port, through) in [
            ("example.com", "example.com", 443, true),
            ("Example.COM", "example.com", 80, true),
            ("example.com", "example.com", 22, false),
            ("example.com", "a.example.com", 443, false),
            ("example.com:8443", "example.com", 8443, true),
            ("example.com:8443", "example.com", 443, false),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "evilexample.com", 443, false),
            ("*.example.com", ".example.com", 443, false),
        ] {
            assert_eq!(rule(text).allows(host, port), through, "{text} {host}:{port}");
        }
        for bad in [
            "",
            "*",
            "*.com",
            "a b",
            "http://x.y",
            "x.y/z",
            "x.y:0",
            "x.y:99999",
            "a..b",
            "x.y:",
            "[::1]:443",
            "u@x.y",
        ] {
            assert!(HostRule::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_files_let_through_what_both_do() {
        let wide = allow(&["*.example.com", "crates.io"]);
        let narrow = allow(&["a.example.com", "*.b.example.com", "npm.org", "crates.io:443"]);
        let both = allow(&["a.example.com", "*.b.example.com", "crates.io:443"]);
        assert_eq!(narrow.clone().meet(wide.clone()), both);
        let Network::Allow(other_way) = wide.clone().meet(narrow) else {
            panic!()
        };
        assert_eq!(other_way.len(), 3);
        assert_eq!(wide.clone().meet(Network::Open), wide);
        assert_eq!(Network::None.meet(wide), Network::None);
    }
}
