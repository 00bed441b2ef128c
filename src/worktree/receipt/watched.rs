//! What is watched around a work tree: refs, the HEADs of all worktrees, and the files that decide what git runs.

use std::{collections::BTreeMap, path::Path};

use bstr::{BString, ByteSlice};
use rustix::fs::FileType;

use crate::{
    refs::Kind,
    worktree::snapshot::{
        beneath::{self, Root},
        gitdir,
        manifest::join,
        scan::list,
    },
};

/// Our own refs, which change all the time.
const OURS: [&str; 2] = ["refs/khlone", "refs/notes/khlone"];
/// Single files of the common folder.
const FILES: [&[u8]; 4] = [
    b"config",
    b"config.worktree",
    b"commondir",
    b"objects/info/alternates",
];
/// Folders of the common folder of which every file counts.
const FOLDERS: [&[u8]; 2] = [b"hooks", b"info"];
/// Written by `git gc` for dumb servers, under a temporary name first; it says nothing that the refs do not.
const NOISE: &[u8] = b"info/refs";
/// Files of a worktree's own git folder.
const PER_WORKTREE: [&[u8]; 3] = [b"config.worktree", b"commondir", b"gitdir"];
/// So many files of submodules' git folders are looked at.
const MODULE_FILES: usize = 2000;
/// More of a file than this is not hashed.
const LIMIT: u64 = 32 << 20;
const DEPTH: usize = 8;
/// Folders of a git folder that hold many files and say nothing of what git runs.
const NO_SETTINGS: [&[u8]; 4] = [b"objects", b"refs", b"logs", b"lfs"];

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) refs: BTreeMap<BString, BString>,
    pub(super) heads: BTreeMap<BString, BString>,
    pub(super) config: BTreeMap<BString, BString>,
}

/// Looks at the common folder, and at the `.git` file by which the work tree belongs to it.
pub(super) fn look(common: &Path, work_dir: &Path) -> Around {
    let mut around = Around::default();
    if let Ok(top) = Root::open(work_dir)
        && let Ok(fd) = top.folder(b"")
        && let Some(state) = state(&fd, b".git")
    {
        around.config.insert(".git".into(), state);
    }
    let Ok(common) = Root::open(common) else {
        return around;
    };
    around.refs = gitdir::refs(&common, &OURS);
    around.heads.insert(BString::default(), gitdir::head(&common));
    for file in FILES {
        around.file(&common, file);
    }
    for folder in FOLDERS {
        around.folder(&common, folder, DEPTH);
    }
    around.config.retain(|path, _| !is_noise(path));
    let mut most = MODULE_FILES;
    around.modules(&common, b"modules", (DEPTH, &mut most));
    let worktrees = common.folder(b"worktrees").and_then(list);
    for id in worktrees.map(|(_, names)| names).unwrap_or_default() {
        let folder = join(b"worktrees", &id);
        if let Some(head) = gitdir::read_line(&common, &folder, b"HEAD") {
            around.heads.insert(id, head);
        }
        for name in PER_WORKTREE {
            around.file(&common, &join(&folder, name));
        }
    }
    around
}

fn is_noise(path: &[u8]) -> bool {
    let rest = path.strip_prefix(NOISE);
    rest.is_some_and(|rest| rest.is_empty() || (rest.len() == 7 && rest[0] == b'_'))
}

impl Around {
    fn file(&mut self, common: &Root, path: &[u8]) {
        let (folder, name) = path.rsplit_once_str("/").unwrap_or((b"", path));
        if let Ok(fd) = common.folder(folder)
            && let Some(state) = state(&fd, name)
        {
            self.config.insert(path.into(), state);
        }
    }

    /// Settings and hooks of the git folders of submodules, which may stand at any depth.
    fn modules(&mut self, common: &Root, path: &[u8], (depth, most): (usize, &mut usize)) {
        let Ok((dir, names)) = common.folder(path).and_then(list) else {
            return;
        };
        let Ok(fd) = dir.fd() else {
            return;
        };
        let is_hooks = path.ends_with(b"/hooks");
        for name in names {
            if *most == 0 || name.ends_with(b".sample") || NO_SETTINGS.contains(&name.as_slice()) {
                continue;
            }
            let full = join(path, &name);
            let is_folder =
                beneath::stat(fd, &name).is_ok_and(|stat| stat.file_type() == FileType::Directory);
            if is_folder && depth > 0 {
                self.modules(common, &full, (depth - 1, most));
            } else if is_hooks || name.starts_with(b"config") {
                *most -= 1;
                if let Some(state) = state(fd, &name) {
                    self.config.insert(full, state);
                }
            }
        }
    }

    fn folder(&mut self, common: &Root, path: &[u8], depth: usize) {
        let Ok((dir, names)) = common.folder(path).and_then(list) else {
            return;
        };
        let Ok(fd) = dir.fd() else {
            return;
        };
        for name in names {
            let full = join(path, &name);
            match beneath::stat(fd, &name).map(|stat| stat.file_type()) {
                Ok(FileType::Directory) if depth > 0 => self.folder(common, &full, depth - 1),
                _ => {
                    if let Some(state) = state(fd, &name) {
                        self.config.insert(full, state);
                    }
                }
            }
        }
    }
}

/// Mode and hash of a file, the target of a link, the bare type of anything else; none where there is nothing.
fn state(folder: impl rustix::fd::AsFd, name: &[u8]) -> Option<BString> {
    let folder = folder.as_fd();
    let stat = beneath::stat(folder, name).ok()?;
    let state = match stat.file_type() {
        FileType::RegularFile => {
            let bytes = beneath::read_small(folder, name, LIMIT).unwrap_or_default();
            let hash = Kind::Blob.hash(&bytes).ok()?;
            format!("{:o} {} {hash}", stat.mode & 0o7777, stat.size).into()
        }
        FileType::Symlink => [
            b"link ",
            beneath::read_link(folder, name).unwrap_or_default().as_slice(),
        ]
        .concat()
        .into(),
        other => format!("{other:?}").to_lowercase().into(),
    };
    Some(state)
}
