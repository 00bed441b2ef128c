//! What lies in ignored folders: looked at one after another, in a fixed order and up to a limit, so that two
//! walks over the same tree stop at the same place.

use std::{collections::VecDeque, sync::Arc};

use bstr::BString;

use super::{
    beneath,
    manifest::{Entry, EntryKind, Folder, join},
    scan::{PATH, classify, list},
    walk::{Found, Known, Walk},
};

impl Walk<'_> {
    /// Fills in what lies in the ignored folders.
    pub(super) fn look_at_ignored(&self, found: &mut Vec<Found>) {
        let mut queue: VecDeque<BString> = found
            .iter()
            .flat_map(|it| {
                it.folder
                    .entries
                    .iter()
                    .map(move |entry| (&it.folder.path, entry))
            })
            .filter(|(_, entry)| entry.ignored && entry.kind == EntryKind::Folder)
            .map(|(path, entry)| join(path, &entry.name))
            .filter(|path| found.binary_search_by(|it| it.folder.path.cmp(path)).is_err())
            .collect();
        let mut left = self.ignored;
        while let Some(path) = queue.pop_front() {
            let folder = self.list_ignored(path, &mut left);
            let deeper = folder
                .entries
                .iter()
                .filter(|entry| entry.kind == EntryKind::Folder);
            queue.extend(
                deeper
                    .map(|entry| join(&folder.path, &entry.name))
                    .filter(|path| path.len() < PATH),
            );
            found.push(Found {
                known: Some(vec![Known::Unread; folder.entries.len()]),
                folder: Arc::new(folder),
                ..Found::default()
            });
        }
        found.sort_unstable_by(|a, b| a.folder.path.cmp(&b.folder.path));
    }

    fn list_ignored(&self, path: BString, left: &mut usize) -> Folder {
        let mut folder = Folder {
            path,
            cut: true,
            ..Folder::default()
        };
        if *left == 0 {
            return folder;
        }
        let Ok((dir, names)) = self.root.folder(&folder.path).and_then(list) else {
            return folder;
        };
        let Some(rest) = left.checked_sub(names.len()) else {
            *left = 0;
            return folder;
        };
        *left = rest;
        let Ok(fd) = dir.fd() else {
            return folder;
        };
        for name in names {
            let Ok(stat) = beneath::stat(fd, &name) else {
                continue;
            };
            folder.entries.push(Entry {
                kind: classify(fd, &name, &stat),
                name,
                ignored: true,
                stat,
                oid: None,
                doubtful: stat.is_recent(self.started),
                encoded: false,
            });
        }
        folder.cut = false;
        folder
    }
}
