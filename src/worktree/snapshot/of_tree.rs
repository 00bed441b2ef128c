//! A manifest put together again from a snapshot's tree: what was not ignored, without stat keys, so that the next look
//! reads every file.

use std::{collections::BTreeMap, sync::Arc};

use bstr::BString;
use git2::{ObjectType, Oid};

use super::{Entry, EntryKind, Folder, Manifest, Marker, StatKey, decode, manifest::join};
use crate::refs::Repo;

impl Manifest {
    /// What a snapshot's tree tells of a work tree.
    ///
    /// # Errors
    /// If git cannot read it.
    pub fn of_tree(repo: &Repo, tree: Oid) -> Result<Self, git2::Error> {
        let git = repo.git();
        let odb = git.odb()?;
        let mut folders = BTreeMap::new();
        let mut waiting = vec![(BString::default(), tree)];
        while let Some((path, tree)) = waiting.pop() {
            let mut folder = Folder {
                path: path.clone(),
                tree: Some(tree),
                ..Folder::default()
            };
            for entry in &git.find_tree(tree)? {
                let (name, marker) = decode(entry.name_bytes());
                let (oid, mode) = (entry.id(), entry.filemode_raw());
                let is_folder = entry.kind() == Some(ObjectType::Tree);
                if is_folder {
                    waiting.push((join(&path, &name), oid));
                }
                let kind = kind(is_folder, mode, marker);
                let size = if is_folder {
                    0
                } else {
                    odb.read_header(oid)?.0 as u64
                };
                folder.entries.push(Entry {
                    name: name.clone(),
                    kind,
                    ignored: false,
                    stat: StatKey {
                        size,
                        mode: u32::try_from(mode).unwrap_or_default(),
                        ..StatKey::default()
                    },
                    oid: (!is_folder && kind != EntryKind::Large).then_some(oid),
                    doubtful: true,
                    encoded: name != entry.name_bytes(),
                });
            }
            folder.entries.sort_by(|a, b| a.name.cmp(&b.name));
            folders.insert(path, Arc::new(folder));
        }
        Ok(Self {
            folders: folders.into_values().collect(),
            ..Self::default()
        })
    }
}

fn kind(is_folder: bool, mode: i32, marker: Option<Marker>) -> EntryKind {
    match marker {
        _ if is_folder => EntryKind::Folder,
        Some(Marker::Fifo) => EntryKind::Fifo,
        Some(Marker::Socket) => EntryKind::Socket,
        Some(Marker::Device) => EntryKind::Device,
        Some(Marker::Large) => EntryKind::Large,
        Some(Marker::Repository) => EntryKind::Repository,
        Some(Marker::Unreadable) => EntryKind::Unreadable,
        None | Some(Marker::Name) if mode == 0o120_000 => EntryKind::Symlink,
        None | Some(Marker::Name) => EntryKind::File,
    }
}

#[cfg(test)]
mod tests {
    use crate::worktree::{effects::differences, snapshot::Manifest, testing::Lab};

    #[test]
    fn what_a_tree_tells_is_what_was_seen() {
        let mut lab = Lab::new(&[("a", "1\n"), ("dir/b", "2\n"), (".gitignore", "*.log\n")]);
        lab.write("new", "3\n");
        lab.write("x.log", "ignored\n");
        let seen = lab.receipt(None).snapshot;
        lab.publish();
        let told = Manifest::of_tree(&lab.repo, seen.tree).unwrap();
        let found = differences(&told, &seen.manifest, &lab.repo);
        assert!(found.files.is_empty(), "{found:?}");
        assert_eq!(found.ignored.len(), 1);
        lab.write("dir/b", "");
        let later = lab.receipt(Some(&told)).snapshot;
        let found = differences(&told, &later.manifest, &lab.repo).files;
        assert!(
            found.len() == 1 && found[0].path == "dir/b" && found[0].truncated,
            "{found:?}"
        );
    }
}
