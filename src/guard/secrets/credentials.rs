//! Secrets that this user's tools keep in files and variables: values that must not come out of a brain, whatever
//! shape they have.
//!
//! The files are read as text, whatever their format: JSON, YAML, INI, netrc and dotenv all write a name, a
//! separator and a value. A value counts where its name says so, where it is the password of an address, or, in a
//! file of credentials, where it looks random. One that is missed here may still be known by its shape
//! (`secrets.tsv`).

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::shapes::looks_random;
use crate::guard::beneath::Beneath;

/// Under HOME.
const FILES: [&str; 41] = [
    ".aws/credentials",
    ".azure/accessTokens.json",
    ".azure/msal_token_cache.json",
    ".bundle/config",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".claude/.credentials.json",
    ".codex/auth.json",
    ".composer/auth.json",
    ".config/composer/auth.json",
    ".config/doctl/config.yaml",
    ".config/gcloud/application_default_credentials.json",
    ".config/gh/hosts.yml",
    ".config/git/credentials",
    ".config/github-copilot/apps.json",
    ".config/github-copilot/hosts.json",
    ".config/glab-cli/config.yml",
    ".config/hub",
    ".config/op/config",
    ".config/pip/pip.conf",
    ".docker/config.json",
    ".gem/credentials",
    ".gemini/oauth_creds.json",
    ".git-credentials",
    ".gradle/gradle.properties",
    ".huggingface/token",
    ".cache/huggingface/token",
    ".kube/config",
    ".local/share/opencode/auth.json",
    ".m2/settings.xml",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".s3cfg",
    ".ssh/id_ecdsa",
    ".ssh/id_ed25519",
    ".ssh/id_rsa",
    ".terraform.d/credentials.tfrc.json",
    ".vault-token",
];

/// Folders that a variable names, with the file in them.
const MOVED: [(&str, &str); 8] = [
    ("AWS_SHARED_CREDENTIALS_FILE", ""),
    ("CARGO_HOME", "credentials.toml"),
    ("CLAUDE_CONFIG_DIR", ".credentials.json"),
    ("CODEX_HOME", "auth.json"),
    ("GH_CONFIG_DIR", "hosts.yml"),
    ("GOOGLE_APPLICATION_CREDENTIALS", ""),
    ("NPM_CONFIG_USERCONFIG", ""),
    ("XDG_DATA_HOME", "opencode/auth.json"),
];

/// Words in a name that make its value a secret.
const WORDS: [&str; 12] = [
    "secret",
    "token",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "private_key",
    "_auth",
];

/// The largest file that is read.
const CAP: usize = 256 << 10;
/// The most values that are taken.
const MOST: usize = 1000;
/// Values shorter than this would hit ordinary words.
const SHORTEST: usize = 8;
/// A value without a telling name must be this long.
const SHORTEST_UNNAMED: usize = 20;

/// The values that stand in this user's known credential files.
pub fn in_files(home: &Path, var: &dyn Fn(&str) -> Option<OsString>) -> BTreeSet<String> {
    let moved = MOVED
        .iter()
        .filter_map(|(name, file)| Some(PathBuf::from(var(name)?).join(file)))
        // `join` with nothing ends in a slash.
        .map(|path| path.components().collect());
    let mut values = BTreeSet::new();
    for path in FILES.iter().map(|file| home.join(file)).chain(moved) {
        let small = path
            .metadata()
            .is_ok_and(|data| data.is_file() && data.len() <= CAP as u64);
        if let (true, Ok(bytes)) = (small, std::fs::read(&path)) {
            collect(&String::from_utf8_lossy(&bytes), true, &mut values);
        }
        if values.len() >= MOST {
            break;
        }
    }
    values
}

/// The values in files that a clone got copies of, by path below `folder`, such as `.env`.
pub fn in_copies(folder: &Path, paths: &[PathBuf]) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    let Ok(beneath) = Beneath::open(folder) else {
        return values;
    };
    for path in paths.iter().filter_map(|path| path.to_str()) {
        // What is longer, or a folder, is no file of settings.
        let bytes = beneath.read(path, CAP).ok().flatten().unwrap_or_default();
        collect(&String::from_utf8_lossy(&bytes), false, &mut values);
        if values.len() >= MOST {
            break;
        }
    }
    values
}

/// The secrets among variables: by name, or inside an address. Of the ones in `asked`, which the user named, also
/// what looks random.
pub fn in_variables(vars: &[(OsString, OsString)], asked: &[String]) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for (name, value) in vars {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        let upper = name.to_ascii_uppercase();
        let telling = is_telling(name)
            || ["KEY", "PASS", "CREDENTIAL", "AUTH"]
                .iter()
                .any(|w| upper.ends_with(w));
        let random = asked.iter().any(|asked| asked == name) && looks_random(value);
        if value.len() >= SHORTEST && !value.starts_with('/') && (telling || random) {
            values.insert(value.to_owned());
        }
        values.extend(password_of(value));
    }
    values
}

/// Adds the secrets of one text; `dense`, what looks random counts, whatever its name.
fn collect(text: &str, dense: bool, values: &mut BTreeSet<String>) {
    for line in text.lines() {
        values.extend(
            line.split([' ', '\t', '"', '\'', '<', '>'])
                .filter_map(password_of),
        );
        values.extend(assigned(line));
        let mut telling = false;
        for word in line.split(|c: char| c.is_whitespace() || "\"'=:,;<>(){}[]".contains(c)) {
            if word.is_empty() {
                continue;
            }
            let unnamed = dense && word.len() >= SHORTEST_UNNAMED && looks_random(word) && !is_uuid(word);
            if (telling && is_value(word) || unnamed) && !word.starts_with('/') {
                values.insert(word.to_owned());
            }
            telling = is_telling(word);
        }
    }
}

/// All that stands behind `name=` or `name:`, where the name is telling: a passphrase may hold any character.
fn assigned(line: &str) -> Option<String> {
    let (name, value) = line.split_once(['=', ':'])?;
    if !is_telling(name) {
        return None;
    }
    let value = value.trim().trim_end_matches([',', ';']).trim();
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .or_else(|| {
            value
                .strip_prefix('\'')
                .and_then(|value| value.strip_suffix('\''))
        })
        .unwrap_or(value);
    (is_value(value) && !value.contains("://")).then(|| value.to_owned())
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Long enough, and no brackets, paths or numbers, which stand behind telling names too.
fn is_value(text: &str) -> bool {
    (SHORTEST..=4096).contains(&text.len())
        && !text.starts_with(['{', '[', '/', '$', '~'])
        && !text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Ids of sessions and accounts, which are no secrets.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// The password in `scheme://user:password@host`, or the user where that is all there is, as in token addresses.
fn password_of(word: &str) -> Option<String> {
    let (_, rest) = word.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (who, _) = authority.rsplit_once('@')?;
    let secret = match who.split_once(':') {
        Some((_, password)) if !password.is_empty() => password,
        _ => who.trim_end_matches(':'),
    };
    (secret.len() >= SHORTEST).then(|| secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_every_format() {
        let home = tempfile::tempdir().unwrap();
        for (file, text) in [
            (
                ".aws/credentials",
                "[default]\naws_access_key_id = AKIAX\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCY\nregion = eu-central-1\n",
            ),
            (".netrc", "machine h login me password hunter2hunter2\n"),
            (
                ".config/gh/hosts.yml",
                "github.com:\n    oauth_token: plain_words_here\n    user: someone\n",
            ),
            (
                ".codex/auth.json",
                "{\"auth_mode\": \"chatgpt\", \"tokens\": {\"refresh_token\": \"rt.1.Abc-9\", \"account_id\": \"0b1c2d3e-0b1c-0b1c-0b1c-0b1c2d3e4f50\"}}",
            ),
            (".git-credentials", "https://me:ghost_of_a_token@h.example\n"),
            (
                ".docker/config.json",
                "{\"auths\":{\"r\":{\"auth\":\"dXNlcjpodW50ZXIyaHVudGVyMg\"}}}",
            ),
        ] {
            let path = home.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = in_files(home.path(), &|_| None);
        for secret in [
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCY",
            "hunter2hunter2",
            "plain_words_here",
            "rt.1.Abc-9",
            "ghost_of_a_token",
            "dXNlcjpodW50ZXIyaHVudGVyMg",
        ] {
            assert!(found.contains(secret), "{secret} not in {found:?}");
        }
        assert!(
            !found
                .iter()
                .any(|value| value.contains("eu-central") || value.contains("someone") || is_uuid(value)),
            "{found:?}"
        );
    }

    #[test]
    fn a_dotenv_file_gives_what_its_names_call_secret() {
        let folder = tempfile::tempdir().unwrap();
        let text = "PORT=3000\nexport DB_PASSWORD='correct horse; battery'\nURL=postgres://u:s3cr3t-pw@h/d\nNAME=0123456789abcdefghij4567\n";
        std::fs::write(folder.path().join(".env"), text).unwrap();
        let found = in_copies(folder.path(), &[".env".into(), "gone".into()]);
        assert_eq!(
            Vec::from_iter(&found),
            ["correct horse; battery", "s3cr3t-pw"],
            "{found:?}"
        );
    }

    #[test]
    fn variables_count_by_name_or_by_what_they_hold() {
        let vars = [
            ("GH_TOKEN", "abcdefgh1"),
            ("AWS_REGION", "eu-central-1"),
            ("MINE", "x8K2mQ7rT4vW1yZ6bN3c"),
            ("SSH_AUTH_SOCK", "/run/user/1/agent"),
            ("DATABASE_URL", "postgres://u:pw-of-db@h/d"),
        ];
        let vars = vars.map(|(name, value)| (name.into(), value.into()));
        let found = in_variables(&vars, &["AWS_REGION".to_owned(), "MINE".to_owned()]);
        assert_eq!(
            Vec::from_iter(&found),
            ["abcdefgh1", "pw-of-db", "x8K2mQ7rT4vW1yZ6bN3c"]
        );
    }
}
