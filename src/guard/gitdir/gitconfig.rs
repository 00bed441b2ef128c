//! The configuration of a private git folder: what of the user's own is safe and needed, and what we set.
//!
//! Taken are identity, line endings, filters, LFS, sparse checkout, branch tracking, remotes without their
//! credentials. Filters and aliases are commands, and may be: they run inside the sandbox. Left out is whatever can
//! hold a token (`http.*`, `credential.*`, `url.*`), opens another door (`include`, `extensions`), or runs
//! programs that the sandbox does not have (`gpg`, hooks, editors).

use std::{os::unix::ffi::OsStringExt, path::Path};

use bstr::ByteSlice;

use crate::process::{Cmd, ProcessError};

/// The settings of a repository as git itself resolves them, in order; later ones win.
#[derive(Debug, Clone, Default)]
pub struct Settings(Vec<(String, Option<String>)>);

/// Sections taken whole.
const SECTIONS: [&str; 24] = [
    "advice",
    "alias",
    "apply",
    "author",
    "branch",
    "color",
    "column",
    "committer",
    "diff",
    "fetch",
    "filter",
    "i18n",
    "init",
    "lfs",
    "log",
    "merge",
    "notes",
    "pull",
    "push",
    "rebase",
    "rerere",
    "stash",
    "status",
    "submodule",
];

/// Of those, keys that run or name something outside.
const NOT_THESE: [&str; 7] = [
    "lfs.storage",
    "diff.external",
    "merge.tool",
    "diff.tool",
    "push.gpgsign",
    "branch.autosetupmerge",
    "init.templatedir",
];

/// Single keys of other sections.
const KEYS: [&str; 24] = [
    "core.abbrev",
    "core.autocrlf",
    "core.bigfilethreshold",
    "core.checkroundtripencoding",
    "core.commentchar",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.longpaths",
    "core.precomposeunicode",
    "core.protecthfs",
    "core.protectntfs",
    "core.quotepath",
    "core.safecrlf",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.symlinks",
    "core.whitespace",
    "commit.cleanup",
    "commit.verbose",
    "index.sparse",
    "index.version",
    "user.email",
    "user.name",
];

/// What every private git folder has. No daemon of git's, no signing (its keys are out of reach), no hooks.
const OURS: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tlogAllRefUpdates = true\n\tfsmonitor = false\n\
    [commit]\n\tgpgSign = false\n[tag]\n\tgpgSign = false\n[push]\n\tgpgSign = false\n[gc]\n\tauto = 0\n\
    [maintenance]\n\tauto = false\n[credential]\n\thelper =\n";

impl Settings {
    /// Reads the settings that hold in `git_dir`, a folder of the host's: the user's, the machine's, its own.
    ///
    /// # Errors
    /// [`ProcessError`] if git cannot read them.
    pub fn read(git_dir: &Path) -> Result<Self, ProcessError> {
        let out = Cmd::git(git_dir)
            .args(["config", "--list", "--includes", "-z"])
            .output()?;
        Ok(Self::parse(&out))
    }

    fn parse(listing: &[u8]) -> Self {
        let entries = listing.split(|byte| *byte == 0).filter_map(|entry| {
            let entry = std::str::from_utf8(entry)
                .ok()
                .filter(|entry| !entry.is_empty())?;
            Some(match entry.split_once('\n') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (entry.to_owned(), None),
            })
        });
        Self(entries.collect())
    }

    /// The value that counts of `key`, which is written as git lists it: section and name in lower case.
    pub fn get(&self, key: &str) -> Option<&str> {
        let entry = self.0.iter().rev().find(|(name, _)| name == key)?;
        Some(entry.1.as_deref().unwrap_or("true"))
    }

    /// True if `key` is set to something true.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key).is_some_and(is_true)
    }

    /// The remote whose missing objects git would fetch on demand.
    pub fn promisor(&self) -> Option<&str> {
        if let Some(name) = self.get("extensions.partialclone") {
            return Some(name);
        }
        self.0.iter().find_map(|(key, value)| {
            let name = key.strip_prefix("remote.")?.strip_suffix(".promisor")?;
            value.as_deref().is_none_or(is_true).then_some(name)
        })
    }

    /// The text of the private configuration. `info` is the private git folder's own `info`.
    pub(super) fn private(&self, info: &Path) -> Vec<u8> {
        let mut text = String::from("# Written by git-khlone before every task.\n");
        for (key, value) in &self.0 {
            if let Some(value) = allowed(key, value.as_deref()) {
                push(&mut text, key, value.as_deref());
            }
        }
        text.push_str(OURS);
        let mut text = text.into_bytes();
        for (name, file) in [
            ("excludesfile", "user-exclude"),
            ("attributesfile", "user-attributes"),
        ] {
            // A path need not be text.
            let path = info.join(file).into_os_string().into_vec();
            let path = path.replace(b"\\", b"\\\\").replace(b"\"", b"\\\"");
            text.extend_from_slice(format!("[core]\n\t{name} = \"").as_bytes());
            text.extend_from_slice(&path.replace(b"\n", b"\\n").replace(b"\t", b"\\t"));
            text.extend_from_slice(b"\"\n");
        }
        text
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1")
}

/// The value to write, if the key is one that goes in. The outer `None` is "leave out".
#[expect(
    clippy::option_option,
    reason = "a key without a value is a value of its own in git"
)]
fn allowed(key: &str, value: Option<&str>) -> Option<Option<String>> {
    let (section, rest) = key.split_once('.')?;
    let own = value.map(str::to_owned);
    if KEYS.contains(&key) {
        return Some(own);
    }
    if section == "remote" {
        let name = rest.rsplit_once('.')?.1;
        return match name {
            "url" | "pushurl" => Some(value.map(without_credentials)),
            "fetch" | "push" | "tagopt" | "prune" | "mirror" => Some(own),
            _ => None,
        };
    }
    if !SECTIONS.contains(&section) || NOT_THESE.contains(&key) {
        return None;
    }
    if rest.ends_with("url") {
        return Some(value.map(without_credentials));
    }
    Some(own)
}

/// An address without `user:password@`, and none that names a program.
pub(in crate::guard) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.contains("::") {
            String::new()
        } else {
            url.to_owned()
        };
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // ssh needs its user, which is no secret; a password is.
    let host = match host.rsplit_once('@') {
        Some((user, host)) if scheme.contains("ssh") => {
            format!("{}@{host}", user.split(':').next().unwrap_or_default())
        }
        Some((_, host)) => host.to_owned(),
        None => host.to_owned(),
    };
    let slash = if rest.contains('/') { "/" } else { "" };
    format!("{scheme}://{host}{slash}{path}")
}

/// Appends one setting. A key that cannot be written down is left out.
fn push(text: &mut String, key: &str, value: Option<&str>) {
    let (Some((section, rest)), false) = (key.split_once('.'), key.contains(['\n', '\0'])) else {
        return;
    };
    let (subsection, name) = match rest.rsplit_once('.') {
        Some((subsection, name)) => (Some(subsection), name),
        None => (None, rest),
    };
    match subsection {
        Some(subsection) => {
            let quoted = subsection.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!("[{section} \"{quoted}\"]\n"));
        }
        None => text.push_str(&format!("[{section}]\n")),
    }
    match value {
        Some(value) => {
            let quoted = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
                .replace('\t', "\\t");
            text.push_str(&format!("\t{name} = \"{quoted}\"\n"));
        }
        None => text.push_str(&format!("\t{name}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_and_what_does_not() {
        let listing = b"user.name\nAnn \"A\" \\ B\0user.signingkey\nK\0http.extraheader\nAuthorization: x\0filter.lfs.clean\ngit-lfs clean -- %f\0\
            remote.origin.url\nhttps://me:tok@h.example/r.git\0remote.up.url\next::sh -c x\0remote.s.url\nssh://git:pw@h/r\0\
            core.hookspath\n/x\0core.fsmonitor\n/x\0core.autocrlf\ninput\0include.path\n/x\0url.https://t@h/.insteadof\nh:\0\
            branch.a\"b.merge\nrefs/heads/a\0alias.ci\0extensions.worktreeconfig\ntrue\0";
        let text = Settings::parse(listing).private(Path::new("/p/info"));
        let text = String::from_utf8(text).unwrap();
        for wanted in [
            "name = \"Ann \\\"A\\\" \\\\ B\"",
            "[filter \"lfs\"]\n\tclean = \"git-lfs clean -- %f\"",
            "url = \"https://h.example/r.git\"",
            "url = \"ssh://git@h/r\"",
            "autocrlf = \"input\"",
            "[branch \"a\\\"b\"]",
            "[alias]\n\tci\n",
            "excludesfile = \"/p/info/user-exclude\"",
        ] {
            assert!(text.contains(wanted), "{wanted} not in\n{text}");
        }
        for gone in [
            "signingkey",
            "Authorization",
            "tok",
            "ext::",
            "hookspath",
            "/x",
            "insteadof",
            "worktreeconfig",
            "pw",
        ] {
            assert!(!text.contains(gone), "{gone} in\n{text}");
        }
    }

    #[test]
    fn git_reads_it_as_it_was_meant() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        let value = "a \\ \"b\"\n;c # d\t ";
        let mut text = String::new();
        push(&mut text, "alias.x", Some(value));
        std::fs::write(&file, text).unwrap();
        let out = Cmd::new("git")
            .args(["config", "-z", "--file"])
            .arg(&file)
            .args(["--get", "alias.x"])
            .output()
            .unwrap();
        assert_eq!(out, format!("{value}\0").as_bytes());
    }

    #[test]
    fn a_partial_clone_is_seen() {
        let settings = Settings::parse(b"remote.origin.promisor\ntrue\0");
        assert_eq!(settings.promisor(), Some("origin"));
        assert_eq!(
            Settings::parse(b"remote.origin.promisor\nfalse\0").promisor(),
            None
        );
    }
}
