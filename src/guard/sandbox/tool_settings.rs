//! The settings of package managers that a brain may read: an allow-list of keys, and no credentials in their values.
//!
//! What a tool keeps in the same file besides (tokens, passwords, variables, commands that give credentials) is not
//! known by its looks, so that only what is known to be none is taken over. A file that cannot be read as what it should
//! be gives nothing.

use toml::{Table, Value};

/// Keys of cargo's `config.toml`; `*` stands for any name.
const CARGO: [&str; 21] = [
    "build.jobs",
    "build.rustflags",
    "build.target",
    "http.cainfo",
    "http.check-revoke",
    "http.multiplexing",
    "http.proxy",
    "http.ssl-version",
    "http.timeout",
    "net.git-fetch-with-cli",
    "net.offline",
    "net.retry",
    "registries.*.index",
    "registries.*.protocol",
    "registry.default",
    "registry.index",
    "source.*.branch",
    "source.*.git",
    "source.*.registry",
    "source.*.replace-with",
    "target.*.linker",
];
/// Keys of `.npmrc`; a scope's registry besides.
const NPM: [&str; 18] = [
    "audit",
    "cafile",
    "engine-strict",
    "fund",
    "https-proxy",
    "legacy-peer-deps",
    "loglevel",
    "noproxy",
    "omit",
    "optional",
    "package-lock",
    "prefer-offline",
    "progress",
    "proxy",
    "registry",
    "save-exact",
    "strict-peer-deps",
    "strict-ssl",
];
/// Keys of `pip.conf`.
const PIP: [&str; 14] = [
    "cert",
    "default-timeout",
    "disable-pip-version-check",
    "extra-index-url",
    "find-links",
    "index-url",
    "no-index",
    "only-binary",
    "prefer-binary",
    "proxy",
    "require-virtualenv",
    "retries",
    "timeout",
    "trusted-host",
];

/// What of cargo's settings a brain may read.
pub(super) fn cargo(text: &str) -> String {
    let Ok(table) = text.parse::<Table>() else {
        return String::new();
    };
    toml::to_string(&allowed(&table, &mut Vec::new())).unwrap_or_default()
}

fn allowed(table: &Table, path: &mut Vec<String>) -> Table {
    let mut kept = Table::new();
    for (key, value) in table {
        path.push(key.clone());
        match value {
            Value::Table(inner) => {
                let inner = allowed(inner, path);
                if !inner.is_empty() {
                    kept.insert(key.clone(), Value::Table(inner));
                }
            }
            other if CARGO.iter().any(|known| matches(known, path)) => {
                kept.insert(key.clone(), without_logins(other));
            }
            _ => {}
        }
        path.pop();
    }
    kept
}

fn matches(known: &str, path: &[String]) -> bool {
    let known: Vec<_> = known.split('.').collect();
    known.len() == path.len()
        && known
            .iter()
            .zip(path)
            .all(|(word, part)| *word == "*" || word == part)
}

fn without_logins(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(text)),
        Value::Array(list) => Value::Array(list.iter().map(without_logins).collect()),
        other => other.clone(),
    }
}

/// What of npm's settings a brain may read.
pub(super) fn npm(text: &str) -> String {
    lines(text, |key| {
        NPM.contains(&key) || (key.starts_with('@') && key.ends_with(":registry"))
    })
}

/// What of pip's settings a brain may read. A value may go on in indented lines.
pub(super) fn pip(text: &str) -> String {
    lines(text, |key| PIP.contains(&key))
}

/// The lines of an ini file whose keys are `known`, and the headings between them.
fn lines(text: &str, known: impl Fn(&str) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut goes_on = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let is_heading = trimmed.starts_with('[') && trimmed.ends_with(']') && !trimmed.contains('=');
        if is_heading {
            goes_on = false;
            kept.push_str(trimmed);
        } else if line.starts_with([' ', '\t']) && goes_on {
            kept.push_str(&format!("    {}", plain(trimmed)));
        } else if let Some((key, value)) = setting(trimmed)
            && known(&key.to_ascii_lowercase().replace('_', "-"))
        {
            goes_on = true;
            kept.push_str(&format!("{key}={}", plain(value)));
        } else {
            goes_on = false;
            continue;
        }
        kept.push('\n');
    }
    kept
}

/// The key and the value of a line. A scope of npm's has a colon in its name.
fn setting(line: &str) -> Option<(&str, &str)> {
    let by = if line.contains('=') { '=' } else { ':' };
    line.split_once(by).map(|(key, value)| (key.trim(), value.trim()))
}

/// A value without user and password in its addresses, with a scheme or without one.
fn plain(value: &str) -> String {
    let words = value.split(' ').map(|word| {
        let (scheme, rest) = match word.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), word),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let is_ssh = scheme.starts_with("ssh") || scheme.starts_with("git+ssh");
        match host.rsplit_once('@') {
            // ssh needs its user, which is no secret; a password is.
            Some((login, host)) if is_ssh => {
                let user = login.split(':').next().unwrap_or_default();
                format!("{scheme}{user}@{host}{path}")
            }
            Some((_, host)) => format!("{scheme}{host}{path}"),
            None => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_keys_of_cargo_and_no_logins() {
        let text = r#"
[registries.x]
index = "sparse+https://me:s3cret@r.example/i/"
token = "s3cret"
[registries]
y = { index = "https://r.example/git", token = "s3cret", credential-provider = ["s3cret"] }
[http]
proxy = "user:s3cret@host:3128"
cainfo = "/etc/ca.pem"
[env]
X_API_KEY = "s3cret"
[source.m]
registry = "socks5://u:s3cret@h"
[target.x86_64-unknown-linux-gnu]
linker = "clang"
runner = "s3cret"
[alias]
b = "s3cret"
"#;
        let kept = cargo(text);
        assert!(!kept.contains("s3cret"), "{kept}");
        for line in [
            "index = \"sparse+https://r.example/i/\"",
            "proxy = \"host:3128\"",
            "linker = \"clang\"",
        ] {
            assert!(kept.contains(line), "{kept}");
        }
        assert_eq!(cargo("[env]\nbroken = \"s3cret"), "");
    }

    #[test]
    fn only_known_keys_of_npm_and_pip_and_no_logins() {
        let npmrc = "registry=https://u:s3cret@r.example/npm/\n//r.example/:_authToken=s3cret\nfund=false\n\
            @org:registry=https://s3cret@o.example/\n_auth=s3cret\nemail=s3cret\n; s3cret\nproxy = u:s3cret@p:1\nca[]=s3cret\n\
            //o.example/:_password = s3cret\n";
        assert_eq!(
            npm(npmrc),
            "registry=https://r.example/npm/\nfund=false\n@org:registry=https://o.example/\nproxy=p:1\n"
        );
        let conf = "[global]\nindex-url = https://u:s3cret@p.example/simple\nextra_index_url =\n  https://s3cret@a.example/s\n\
            \thttps://b.example/s\nclient-cert = s3cret\n  s3cret\n# s3cret\n[install]\nkeyring = s3cret\ntimeout: 7\n";
        assert_eq!(
            pip(conf),
            "[global]\nindex-url=https://p.example/simple\nextra_index_url=\n    https://a.example/s\n    https://b.example/s\n\
             [install]\ntimeout=7\n"
        );
    }
}
