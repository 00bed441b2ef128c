//! The environment of a brain: what it needs by an allow-list, and nothing else of the user's.
//!
//! Passed are the terminal and locale, proxies and certificates, toolchain folders and compiler settings, addresses
//! of package registries (without credentials), the brain's own provider variables, and what configuration names.
//! Everything else stays behind: tokens, agents, buses, clouds, `GIT_*`. A name can only be asked for by the
//! user's own configuration or by the adapter of the chosen brain.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use super::homes::TOOLCHAIN_VARIABLES;
use crate::guard::gitdir::gitconfig::without_credentials;

/// Names and families (`LC_*`) that every brain gets.
const PASSED: [&str; 47] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "ftp_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "FTP_PROXY",
    "RUSTUP_TOOLCHAIN",
    "RUSTFLAGS",
    "CARGO_NET_*",
    "CARGO_HTTP_*",
    "GOFLAGS",
    "GOPRIVATE",
    "GOSUMDB",
    "GONOSUMDB",
    "GOTOOLCHAIN",
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "PKG_CONFIG_PATH",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "NIX_PATH",
    "MAKEFLAGS",
];

/// Files and folders of certificates.
pub(super) const CERTIFICATES: [&str; 10] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "NIX_SSL_CERT_FILE",
    "DENO_CERT",
];

/// Addresses, which may hold credentials that are taken out.
const ADDRESSES: [&str; 11] = [
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "GOPROXY",
    "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
    "CARGO_SOURCE_*",
    "YARN_REGISTRY",
];

/// What is asked for besides the common list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Names that the brain's adapter asks for; a trailing `*` stands for any ending.
    pub brain: &'a [&'a str],
    /// Names that the user's configuration asks for.
    pub configured: &'a [String],
    /// The folder of this site's tool caches; without it tools use the user's own.
    pub caches: Option<&'a Path>,
    /// Variables of the task itself, which win over all others.
    pub set: &'a [(&'a str, &'a OsStr)],
}

/// The environment of one process, and what became of the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The complete environment.
    pub vars: Vec<(OsString, OsString)>,
    /// Names taken from the host or set.
    pub passed: Vec<String>,
    /// Names of the host's that were left behind.
    pub dropped: Vec<String>,
}

impl Environment {
    /// Makes the environment from the host's variables.
    pub fn build(host: impl IntoIterator<Item = (OsString, OsString)>, wanted: &Wanted<'_>) -> Self {
        let mut vars = BTreeMap::new();
        let mut dropped = Vec::new();
        for (name, value) in host {
            let Some(text) = name.to_str() else { continue };
            match wanted.value(text, value) {
                Some(value) => drop(vars.insert(name, value)),
                None => dropped.push(text.to_owned()),
            }
        }
        if let Some(caches) = wanted.caches {
            for (name, place) in super::caches::VARIABLES {
                vars.insert(name.into(), caches.join(place).into());
            }
        }
        for (name, value) in wanted.set {
            vars.insert((*name).into(), (*value).to_owned());
        }
        dropped.sort();
        let passed = vars
            .keys()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        Self {
            vars: vars.into_iter().collect(),
            passed,
            dropped,
        }
    }
}

impl Wanted<'_> {
    /// The value that goes in, if any.
    fn value(&self, name: &str, value: OsString) -> Option<OsString> {
        let asked = matches_any(self.brain, name) || self.configured.iter().any(|asked| matches(asked, name));
        let known =
            matches_any(&PASSED, name) || TOOLCHAIN_VARIABLES.contains(&name) || CERTIFICATES.contains(&name);
        if asked || known {
            return Some(value);
        }
        // Proxies keep theirs, since without them nothing is reached; an index can be read without.
        matches_any(&ADDRESSES, name).then(|| {
            let plain: Vec<String> = value
                .to_string_lossy()
                .split(' ')
                .map(|list| {
                    list.split(',')
                        .map(without_credentials)
                        .collect::<Vec<_>>()
                        .join(",")
                })
                .collect();
            plain.join(" ").into()
        })
    }
}

fn matches_any(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => !start.is_empty() && name.starts_with(start),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(names: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        names
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn fifty_canaries_stay_behind() {
        let canaries = [
            "SSH_AUTH_SOCK",
            "SSH_AGENT_PID",
            "GH_TOKEN",
            "GITHUB_TOKEN",
            "GITLAB_TOKEN",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AZURE_CLIENT_SECRET",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "DBUS_SESSION_BUS_ADDRESS",
            "XDG_RUNTIME_DIR",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "XAUTHORITY",
            "GIT_DIR",
            "GIT_INDEX_FILE",
            "GIT_ASKPASS",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "SSH_ASKPASS",
            "GPG_AGENT_INFO",
            "GNUPGHOME",
            "NPM_TOKEN",
            "NODE_AUTH_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_X_TOKEN",
            "PYPI_TOKEN",
            "TWINE_PASSWORD",
            "DOCKER_HOST",
            "DOCKER_AUTH_CONFIG",
            "KUBECONFIG",
            "VAULT_TOKEN",
            "DATABASE_URL",
            "PGPASSWORD",
            "MYSQL_PWD",
            "REDIS_URL",
            "SLACK_TOKEN",
            "STRIPE_SECRET_KEY",
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY",
            "GEMINI_API_KEY",
            "HF_TOKEN",
            "SENTRY_AUTH_TOKEN",
            "HEROKU_API_KEY",
            "TMUX",
            "SUDO_USER",
            "LD_PRELOAD",
            "BASH_ENV",
            "ENV",
            "PROMPT_COMMAND",
            "NODE_OPTIONS",
            "PYTHONSTARTUP",
        ];
        assert!(canaries.len() > 50);
        let vars: Vec<_> = canaries
            .iter()
            .map(|name| (*name, "x"))
            .chain([("PATH", "/bin"), ("LC_TIME", "C")])
            .collect();
        let got = Environment::build(host(&vars), &Wanted::default());
        assert_eq!(got.passed, ["LC_TIME", "PATH"]);
        assert_eq!(got.dropped.len(), canaries.len());
    }

    #[test]
    fn what_is_asked_for_goes_in_and_addresses_lose_their_credentials() {
        let configured = ["GH_TOKEN".to_owned()];
        let task = OsStr::new("t-1");
        let wanted = Wanted {
            brain: &["ANTHROPIC_*"],
            configured: &configured,
            caches: Some(Path::new("/k/cache/s")),
            set: &[("KHLONE_TASK", task)],
        };
        let vars = host(&[
            ("ANTHROPIC_API_KEY", "a"),
            ("OPENAI_API_KEY", "o"),
            ("GH_TOKEN", "g"),
            ("CARGO_HOME", "/h/.cargo"),
            ("GOPROXY", "https://me:pw@proxy.example/x,direct"),
        ]);
        let got = Environment::build(vars, &wanted);
        let var = |name: &str| {
            got.vars
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!(var("ANTHROPIC_API_KEY"), Some("a"));
        assert_eq!(var("GH_TOKEN"), Some("g"));
        assert_eq!(var("GOPROXY"), Some("https://proxy.example/x,direct"));
        assert_eq!(var("CARGO_HOME"), Some("/k/cache/s/cargo"));
        assert_eq!(var("KHLONE_TASK"), Some("t-1"));
        assert_eq!(got.dropped, ["CARGO_HOME", "OPENAI_API_KEY"]);
    }
}
