//! Commands that come with a repository run only after someone has agreed to exactly them.
//!
//! Agreement is to content: the repository's folder, the bytes of its `khlone.yml`, and those of each script that a
//! command names. Change any of it and the agreement is void. It is kept outside every repository, so that nothing
//! in one can grant it. A copied repository, another folder, asks again.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    process::file::replace_durably,
    refs::{Kind, Oid},
    task::{FORMAT, FormatError, explain, parse_versioned},
};

/// What a repository wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The repository's own git folder.
    pub repository: PathBuf,
    /// The bytes of `khlone.yml`, from the commit or checkout that is obeyed.
    pub config: Vec<u8>,
    /// Each thing that is asked for, word by word: the setting and a colon, then the command as it would run.
    pub commands: Vec<Vec<String>>,
    /// The scripts that the commands name: path in the repository and content.
    pub scripts: Vec<(String, Vec<u8>)>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Exactly this was agreed to, or there is nothing to run.
    Trusted,
    /// It was not, or not in this form.
    Untrusted {
        /// What would run.
        commands: Vec<Vec<String>>,
        /// Something else was agreed to before in this repository.
        changed: bool,
    },
}

/// One agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Grant {
    /// Version of the document.
    pub format: u32,
    /// The repository's own git folder.
    pub repository: String,
    /// The git blob id of `khlone.yml`.
    pub config: String,
    /// The git blob ids of the scripts, by path.
    #[serde(default)]
    pub scripts: Vec<(String, String)>,
    /// What was shown when it was agreed to.
    #[serde(default)]
    pub commands: Vec<Vec<String>>,
    /// Seconds since the epoch.
    pub granted: i64,
}

/// Trust that cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Commands that nobody agreed to.
    #[error("this repository's khlone.yml runs commands that are not trusted: {}", .commands.join("; "))]
    Untrusted {
        /// What would run, one line each.
        commands: Vec<String>,
    },
    /// No repository is trusted here.
    #[error("this repository's khlone.yml needs trust, which trust: never rules out")]
    Never,
    /// The store of a later version, or a damaged one.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The disk did not let us.
    #[error("cannot keep what is trusted: {0}")]
    Disk(#[from] io::Error),
}

explain! {
    TrustError {
        transparent { Format }
        Refused {
            Untrusted => "git khlone trust",
            Never => "git khlone config",
        }
        Failed { Disk }
    }
}

impl Verdict {
    /// Passes, or the error that headless callers end with.
    ///
    /// # Errors
    /// [`TrustError::Untrusted`].
    pub fn require(self) -> Result<(), TrustError> {
        match self {
            Self::Trusted => Ok(()),
            Self::Untrusted { commands, .. } => Err(TrustError::Untrusted {
                commands: commands.iter().map(|words| in_shell(words)).collect(),
            }),
        }
    }
}

/// Words as one line to read and to paste: exact, and without what a terminal would act upon or nobody would see.
pub fn in_shell(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

fn quoted(word: &str) -> Cow<'_, str> {
    let tame =
        |c: char| !c.is_control() && !super::secrets::sanitise::strip(c.to_string().as_bytes()).is_empty();
    if word.chars().all(tame) {
        return shlex::try_quote(word).unwrap_or_default();
    }
    let escaped = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        _ if tame(c) => c.to_string(),
        _ => c
            .encode_utf8(&mut [0; 4])
            .bytes()
            .map(|byte| format!("\\x{byte:02x}"))
            .collect(),
    };
    format!("$'{}'", word.chars().map(escaped).collect::<String>()).into()
}

/// What was agreed to on this machine by this user, one file an agreement.
#[derive(Debug)]
pub struct TrustStore {
    folder: PathBuf,
}

impl TrustStore {
    /// The store in `folder`, `trust` of khlone's home.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Whether exactly this was agreed to.
    ///
    /// # Errors
    /// [`TrustError`] if the store cannot be read.
    pub fn check(&self, request: &Request) -> Result<Verdict, TrustError> {
        if request.commands.is_empty() {
            return Ok(Verdict::Trusted);
        }
        let wanted = request.grant(0)?;
        let granted = read(&self.file(&wanted.repository))?;
        let same = |grant: &Grant| {
            grant.repository == wanted.repository
                && grant.config == wanted.config
                && grant.scripts == wanted.scripts
        };
        if granted.as_ref().is_some_and(same) {
            return Ok(Verdict::Trusted);
        }
        Ok(Verdict::Untrusted {
            commands: request.commands.clone(),
            changed: granted.is_some(),
        })
    }

    /// Agrees to exactly this; what was agreed to before in this repository is void. `now` is in seconds.
    ///
    /// # Errors
    /// [`TrustError`] if it cannot be kept.
    pub fn grant(&self, request: &Request, now: i64) -> Result<(), TrustError> {
        let grant = request.grant(now)?;
        make_private(&self.folder)?;
        let bytes = serde_json::to_vec_pretty(&grant).map_err(io::Error::other)?;
        Ok(replace_durably(&self.file(&grant.repository), &bytes)?)
    }

    /// Takes an agreement back; false if there was none.
    ///
    /// # Errors
    /// [`TrustError`] if it cannot be removed.
    pub fn revoke(&self, repository: &Path) -> Result<bool, TrustError> {
        match std::fs::remove_file(self.file(&name_of(repository))) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Every agreement, by repository.
    ///
    /// # Errors
    /// [`TrustError`] if the store cannot be read.
    pub fn list(&self) -> Result<Vec<Grant>, TrustError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut grants = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                grants.extend(read(&path)?);
            }
        }
        grants.sort_by(|a, b| a.repository.cmp(&b.repository));
        Ok(grants)
    }

    fn file(&self, repository: &str) -> PathBuf {
        let name = Kind::Blob.hash(repository.as_bytes()).unwrap_or(Oid::ZERO_SHA1);
        self.folder.join(format!("{name}.json"))
    }
}

impl Request {
    /// What exactly would be agreed to: the files by their path and their git blob id, `khlone.yml` first.
    ///
    /// # Errors
    /// When they cannot be hashed.
    pub fn contents(&self) -> Result<Vec<(String, String)>, TrustError> {
        let grant = self.grant(0)?;
        let config = (crate::config::FILE_NAME.to_owned(), grant.config);
        Ok(std::iter::once(config).chain(grant.scripts).collect())
    }

    fn grant(&self, granted: i64) -> Result<Grant, TrustError> {
        let hash = |bytes: &[u8]| Kind::Blob.hash(bytes).map(|oid| oid.to_string());
        let scripts = self
            .scripts
            .iter()
            .map(|(path, bytes)| Ok((path.clone(), hash(bytes)?)));
        let mut scripts: Vec<_> = scripts.collect::<io::Result<_>>()?;
        scripts.sort();
        Ok(Grant {
            format: FORMAT,
            repository: name_of(&self.repository),
            config: hash(&self.config)?,
            scripts,
            commands: self.commands.clone(),
            granted,
        })
    }
}

fn read(file: &Path) -> Result<Option<Grant>, TrustError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(parse_versioned("a trust file", &bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn name_of(repository: &Path) -> String {
    let real = repository.canonicalize();
    real.as_deref()
        .unwrap_or(repository)
        .to_string_lossy()
        .into_owned()
}

/// A folder that only its user can look into.
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// The scripts of a checkout that `commands` name: every word that is the path of a file in `root`.
pub fn scripts_of(root: &Path, commands: &[Vec<String>]) -> Vec<(String, Vec<u8>)> {
    let mut scripts = std::collections::BTreeMap::new();
    let Ok(root) = root.canonicalize() else {
        return Vec::new();
    };
    // A command may be one line for a shell.
    let words = commands.iter().flatten().flat_map(|word| {
        let inner = shlex::split(word).unwrap_or_default();
        inner.into_iter().chain(std::iter::once(word.clone()))
    });
    for word in words {
        let word = word
            .trim_end_matches([';', '&', '|', ')'])
            .trim_start_matches('(');
        let Ok(path) = root.join(word).canonicalize() else {
            continue;
        };
        let bytes = || path.is_file().then(|| std::fs::read(&path).ok()).flatten();
        if let (Ok(inside), Some(bytes)) = (path.strip_prefix(&root), bytes()) {
            scripts.insert(inside.to_string_lossy().into_owned(), bytes);
        }
    }
    scripts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Class, Explain};

    fn request(repository: &Path) -> Request {
        Request {
            repository: repository.to_owned(),
            config: b"worktree: {setup: [./setup.sh]}".to_vec(),
            commands: vec![vec![
                "sh".into(),
                "-c".into(),
                "./setup.sh && echo \u{1b}[31mx".into(),
            ]],
            scripts: vec![("setup.sh".into(), b"npm ci".to_vec())],
        }
    }

    #[test]
    fn trust_is_in_exactly_what_was_shown() {
        let dir = tempfile::tempdir().unwrap();
        let store = TrustStore::at(dir.path().join("trust"));
        let first = request(dir.path());
        let verdict = store.check(&first).unwrap();
        assert!(matches!(verdict, Verdict::Untrusted { changed: false, .. }));
        let error = verdict.require().unwrap_err();
        assert_eq!(error.class(), Class::Refused);
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
        store.grant(&first, 7).unwrap();
        assert_eq!(store.check(&first).unwrap(), Verdict::Trusted);
        for change in [
            |request: &mut Request| request.config.push(b' '),
            |request: &mut Request| request.scripts[0].1.push(b' '),
            |request: &mut Request| request.scripts.clear(),
        ] {
            let mut other = first.clone();
            change(&mut other);
            assert!(matches!(
                store.check(&other).unwrap(),
                Verdict::Untrusted { changed: true, .. }
            ));
        }
        let mut elsewhere = first.clone();
        elsewhere.repository = dir.path().join("copy");
        assert!(matches!(
            store.check(&elsewhere).unwrap(),
            Verdict::Untrusted { changed: false, .. }
        ));
        assert_eq!(store.list().unwrap().len(), 1);
        assert!(store.revoke(dir.path()).unwrap() && !store.revoke(dir.path()).unwrap());
        assert!(matches!(store.check(&first).unwrap(), Verdict::Untrusted { .. }));
    }

    #[test]
    fn a_line_shows_every_byte_and_does_nothing_to_a_terminal() {
        let words = ["echo", "a b", "it's", "\u{1b}]0;x\u{7}\r\n\t\u{9b}2J\u{202e}é'\\"].map(String::from);
        let line = in_shell(&words);
        assert_eq!(
            line,
            r#"echo 'a b' "it's" $'\x1b]0;x\x07\x0d\n\t\xc2\x9b2J\xe2\x80\xaeé\'\\'"#
        );
        let bash = crate::process::Cmd::new("bash")
            .args(["-c", &format!("printf '%s|' {line}")])
            .output()
            .unwrap();
        assert_eq!(bash, format!("{}|", words.join("|")).as_bytes());
    }

    #[test]
    fn nothing_to_run_needs_no_trust() {
        let dir = tempfile::tempdir().unwrap();
        let mut harmless = request(dir.path());
        harmless.commands.clear();
        assert_eq!(
            TrustStore::at(dir.path()).check(&harmless).unwrap(),
            Verdict::Trusted
        );
    }

    #[test]
    fn scripts_are_found_in_shell_lines_and_only_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("s")).unwrap();
        std::fs::write(dir.path().join("s/a.sh"), "a").unwrap();
        std::fs::write(dir.path().join("b"), "b").unwrap();
        let commands = [vec![
            "sh".to_owned(),
            "-c".to_owned(),
            "bash s/a.sh; ./b && cat /etc/passwd".to_owned(),
        ]];
        let found = scripts_of(dir.path(), &commands);
        assert_eq!(
            found,
            [
                ("b".to_owned(), b"b".to_vec()),
                ("s/a.sh".to_owned(), b"a".to_vec())
            ]
        );
    }
}
