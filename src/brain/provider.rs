//! Whose limits a brain runs into: the provider of its model, and the account there.
//!
//! Two brains with one key share one limit, so what counts is the provider and a fingerprint of the key (never the
//! key), or of the place where a login is kept. Only the adapters know which variable or file that is. A base URL of
//! the user's own names the provider by its host: what answers there has limits of its own.

use std::{ffi::OsStr, fmt, path::Path};

use serde::{Deserialize, Serialize};

use super::model::Vars;
use crate::refs::Kind;

/// An account at a provider: `anthropic/1f2e3d4c5b6a`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Provider(String);

impl Provider {
    /// The account at `name` that a secret, or the place of a login, opens.
    pub(super) fn new(name: &str, account: &OsStr) -> Self {
        let told = [b"git-khlone account ", account.as_encoded_bytes()].concat();
        let print = Kind::Blob
            .hash(&told)
            .map_or_else(|_| String::new(), |oid| oid.to_string());
        let short = print.get(..12).unwrap_or_default();
        Self(format!("{}/{short}", name.to_ascii_lowercase()))
    }

    /// The account that the first of `keys` opens, else the login kept at `login`; at the host of `base`, where that
    /// variable names one.
    pub(super) fn of(vars: Vars<'_>, name: &str, (keys, base): (&[&str], &str), login: &Path) -> Self {
        let set = |name: &&str| vars(name).filter(|value| !value.is_empty());
        let host = set(&base).and_then(|url| host(url.to_str()?).map(str::to_owned));
        let key = keys.iter().find_map(set);
        Self::new(
            host.as_deref().unwrap_or(name),
            key.as_deref().unwrap_or(login.as_os_str()),
        )
    }

    /// The provider's name, as in `providers` of the configuration.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(name, _)| name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host of a URL, with its port.
fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn one_key_is_one_account_whatever_the_brain_and_is_never_shown() {
        let vars = |name: &str| (name == "KEY" || name == "SAME").then(|| OsString::from("sk-secret-1"));
        let login = Path::new("/home/u/.x");
        let one = Provider::of(&vars, "anthropic", (&["NONE", "KEY"], "BASE"), login);
        let same = Provider::of(&vars, "anthropic", (&["SAME"], "BASE"), login);
        let other = Provider::of(&vars, "anthropic", (&["NONE"], "BASE"), login);
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(one.name(), "anthropic");
        assert!(!one.to_string().contains("secret"), "{one}");
    }

    #[test]
    fn a_base_url_names_the_provider_by_its_host() {
        let base = |url: &'static str| move |name: &str| (name == "BASE").then(|| OsString::from(url));
        let at = |url| Provider::of(&base(url), "openai", (&[], "BASE"), Path::new("/x"));
        assert_eq!(at("http://127.0.0.1:8080/v1").name(), "127.0.0.1:8080");
        assert_eq!(
            at("https://me:sk-secret@proxy.example/v1?key=k").name(),
            "proxy.example"
        );
        assert_eq!(at("nonsense").name(), "openai");
    }
}
