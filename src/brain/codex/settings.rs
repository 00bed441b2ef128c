//! The user's `config.toml`, as far as it says whose account is used and which variables hold its keys.

use std::path::Path;

use toml::{Table, Value};

/// What the settings say. Where they cannot be read they say nothing; the CLI itself will tell why.
pub(super) struct Settings(Table);

impl Settings {
    pub(super) fn at(home: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(home.join("config.toml")).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }

    /// The provider that is used: the profile's, else the one for all.
    pub(super) fn provider(&self) -> Option<&str> {
        let profile = self
            .word("profile")
            .and_then(|name| self.table("profiles")?.get(name)?.as_table());
        let chosen = profile.and_then(|profile| profile.get("model_provider")?.as_str());
        chosen.or_else(|| self.word("model_provider"))
    }

    /// The variables that hold keys: of the provider that is used first, then of the others.
    pub(super) fn keys(&self) -> Vec<&str> {
        let used = self.provider();
        let all = self.table("model_providers").into_iter().flatten();
        let mut providers: Vec<(&String, &Table)> = all
            .filter_map(|(name, provider)| Some((name, provider.as_table()?)))
            .collect();
        providers.sort_by_key(|(name, _)| Some(name.as_str()) != used);
        let named = providers.into_iter().flat_map(|(_, provider)| {
            let key = provider.get("env_key").and_then(Value::as_str);
            let headers = provider.get("env_http_headers").and_then(Value::as_table);
            let headers = headers
                .into_iter()
                .flat_map(|headers| headers.values().filter_map(Value::as_str));
            key.into_iter().chain(headers)
        });
        named.filter(|name| is_variable(name)).collect()
    }

    /// Whether a login may be kept where only the CLI itself looks.
    pub(super) fn may_be_signed_in(&self) -> bool {
        self.provider().is_some()
            || self
                .word("cli_auth_credentials_store")
                .is_some_and(|store| store != "file")
    }

    fn word(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|word| !word.is_empty())
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.0.get(name)?.as_table()
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_toml() {
        let settings = Settings::parse(
            "model_provider = \"azure\" # work\n[model_providers.other]\nenv_key = 'OTHER'\n\
             [model_providers.azure]\nenv_key = \"K\" # x\nenv_http_headers = { \"X-Team\" = \"TEAM_TOKEN\" }\n",
        );
        assert_eq!(settings.provider(), Some("azure"));
        assert_eq!(settings.keys(), ["K", "TEAM_TOKEN", "OTHER"]);
        let inline = Settings::parse(
            "profile = \"p\"\nmodel_provider = \"openai\"\nprofiles = { p = { model_provider = \"mine\" } }\n\
             model_providers = { mine = { env_key = \"MINE\" }, bad = { env_key = \"a b\" }, worse = 3 }\n",
        );
        assert_eq!((inline.provider(), inline.keys()), (Some("mine"), vec!["MINE"]));
        let quoted = Settings::parse("note = '''\nmodel_provider = \"no\"\n'''\n");
        assert_eq!(quoted.provider(), None);
        for broken in ["model_provider = ", "= = =", "model_provider = 3", "\u{0}"] {
            assert_eq!(Settings::parse(broken).provider(), None, "{broken}");
        }
    }
}
