//! The files of a home that run, or say what is run, when their user next works: of shells, git, ssh, the session,
//! editors, programs on the user's own `PATH`. And those that the user, or a program of theirs, changes as a matter of
//! course: settings of brains, what is trusted.
//!
//! Only the file system's own words are kept. So many entries are looked at, each folder so deep: what lies beyond is
//! not watched, and that is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rustix::fs::AtFlags;

use super::snapshot::StatKey;

/// Files and folders below a home.
const STARTERS: [&str; 56] = [
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".bashrc.d",
    ".cargo/config",
    ".cargo/config.toml",
    ".cargo/env",
    ".config/autostart",
    ".config/environment.d",
    ".config/fish/conf.d",
    ".config/fish/config.fish",
    ".config/fish/functions",
    ".config/git/attributes",
    ".config/git/config",
    ".config/git/ignore",
    ".config/khlone/config.yml",
    ".config/nvim",
    ".config/pip/pip.conf",
    ".config/systemd/user",
    ".config/tmux/tmux.conf",
    ".config/zsh",
    ".emacs",
    ".emacs.d/early-init.el",
    ".emacs.d/init.el",
    ".gitconfig",
    ".inputrc",
    ".local/bin",
    ".local/share/applications",
    ".local/share/systemd/user",
    ".npmrc",
    ".pam_environment",
    ".profile",
    ".pythonrc.py",
    ".ssh/authorized_keys",
    ".ssh/config",
    ".ssh/rc",
    ".tmux.conf",
    ".vim/after",
    ".vim/autoload",
    ".vim/ftplugin",
    ".vim/plugin",
    ".vim/vimrc",
    ".vimrc",
    ".xinitrc",
    ".xprofile",
    ".xsession",
    ".xsessionrc",
    ".zlogin",
    ".zlogout",
    ".zprofile",
    ".zshenv",
    ".zshrc",
    ".zshrc.d",
    "bin",
];
/// Those that are named, and fail nothing.
const CHANGEABLE: [&str; 17] = [
    ".claude/CLAUDE.md",
    ".claude/agents",
    ".claude/commands",
    ".claude/hooks",
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".claude/skills",
    ".codex/AGENTS.md",
    ".codex/config.toml",
    ".codex/prompts",
    ".config/Code/User/settings.json",
    ".config/Code/User/tasks.json",
    ".config/opencode",
    ".gemini/GEMINI.md",
    ".gemini/commands",
    ".gemini/extensions",
    ".gemini/settings.json",
];
/// So many entries are looked at, of each of the two kinds.
const MOST: usize = 4000;
/// So deep is a folder looked into.
const DEPTH: usize = 4;

/// How the files stood at one moment.
#[derive(Debug, Default)]
pub(super) struct Starters {
    fixed: Seen,
    changeable: Seen,
}

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differing {
    /// What nobody but a brain will have changed.
    pub(super) fixed: Vec<String>,
    /// What the user, or a program of theirs, may have changed.
    pub(super) changeable: Vec<String>,
    /// There was more than is looked at.
    pub(super) cut: bool,
}

#[derive(Debug, Default)]
struct Seen {
    files: BTreeMap<String, Entry>,
    cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// As it is reached, by whatever links; none for one that leads nowhere.
    stat: Option<StatKey>,
    is_link: bool,
}

impl Starters {
    /// Looks at `home`, and at what is trusted in `trust`.
    pub(super) fn look(home: &Path, trust: &Path) -> Self {
        let (mut fixed, mut changeable) = (Seen::default(), Seen::default());
        for name in STARTERS {
            fixed.look(&home.join(name), format!("~/{name}"), DEPTH);
        }
        for name in CHANGEABLE {
            changeable.look(&home.join(name), format!("~/{name}"), DEPTH);
        }
        changeable.look(trust, "what is trusted (git khlone trust --list)".to_owned(), 1);
        Self { fixed, changeable }
    }

    /// What differs from `before`.
    pub(super) fn since(&self, before: &Self) -> Differing {
        let mut differing = Differing {
            changeable: self
                .changeable
                .since(&before.changeable)
                .map(|(told, _)| told)
                .collect(),
            cut: [&self.fixed, &self.changeable, &before.fixed, &before.changeable]
                .iter()
                .any(|seen| seen.cut),
            ..Differing::default()
        };
        for (told, is_moved_link) in self.fixed.since(&before.fixed) {
            // A program that updates itself leads its link elsewhere.
            let list = if is_moved_link {
                &mut differing.changeable
            } else {
                &mut differing.fixed
            };
            list.push(told);
        }
        differing
    }
}

impl Seen {
    fn look(&mut self, path: &Path, name: String, depth: usize) {
        let Some(own) = stat(path, AtFlags::SYMLINK_NOFOLLOW) else {
            return;
        };
        if self.files.len() >= MOST {
            self.cut = true;
            return;
        }
        let is_link = own.file_type().is_symlink();
        // The user may keep it elsewhere and link it here.
        let stat = if is_link {
            stat(path, AtFlags::empty())
        } else {
            Some(own)
        };
        if stat.is_some_and(|stat| stat.file_type().is_dir()) {
            if depth == 0 {
                self.cut = true;
                return;
            }
            for child in children(path) {
                let shown = child
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                self.look(&child, format!("{name}/{shown}"), depth - 1);
            }
            return;
        }
        self.files.insert(name, Entry { stat, is_link });
    }

    /// Each that differs, in words, and whether it was and is a link.
    fn since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (String, bool)> + 'a {
        let names: BTreeSet<&String> = self.files.keys().chain(before.files.keys()).collect();
        names.into_iter().filter_map(|name| {
            let (now, then) = (self.files.get(name), before.files.get(name));
            let became = if now.is_some() { "written" } else { "removed" };
            let is_link = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.is_link);
            (now != then).then(|| (format!("{name}: {became}"), is_link(now) && is_link(then)))
        })
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut children: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .take(MOST)
        .collect();
    children.sort();
    children
}

fn stat(path: &Path, flags: AtFlags) -> Option<StatKey> {
    let stat = rustix::fs::statat(rustix::fs::CWD, path, flags).ok()?;
    Some(StatKey::of(&stat))
}
