//! The quick look at a folder that is known from the previous snapshot.
//!
//! Where a folder's own stat proves that no name came or went, and no rule that decides over ignoring has
//! changed, its entries are only compared with what was noted of them: no listing, no rules, no index. If none
//! differs, the previous folder itself is handed on.

use std::sync::Arc;

use rustix::fd::AsFd;

use super::{
    beneath,
    manifest::{EntryKind, Folder, join},
    scan::RULES,
    walk::{Found, Job, Known, Walk},
};

impl Walk<'_> {
    /// Looks at a folder as far as the previous snapshot knows it; nothing if that does not do.
    pub(super) fn glance(&self, job: &Job, inner: &mut Vec<Job>) -> Option<Found> {
        if !(job.listed && job.quiet) {
            return None;
        }
        let before = self.previous?.shared(&job.path)?;
        let fd = self.root.folder(&job.path).ok()?;
        let mut below = Vec::new();
        let mut changed: Option<(Folder, Vec<Known>)> = None;
        for (at, entry) in before.entries.iter().enumerate() {
            if matches!(entry.kind, EntryKind::Repository | EntryKind::Unreadable) {
                return None;
            }
            let stat = beneath::stat(fd.as_fd(), &entry.name).ok()?;
            let same = stat == entry.stat && !entry.doubtful;
            if entry.kind == EntryKind::Folder && !entry.ignored && stat.file_type().is_dir() {
                below.push(Job {
                    path: join(&job.path, &entry.name),
                    depth: job.depth + 1,
                    above: None,
                    listed: same,
                    quiet: true,
                });
            }
            if same {
                continue;
            }
            if stat.file_type() != entry.stat.file_type() || RULES.contains(&entry.name.as_slice()) {
                return None;
            }
            let (folder, known) = changed
                .get_or_insert_with(|| (Folder::clone(before), vec![Known::Previous; before.entries.len()]));
            let entry = &mut folder.entries[at];
            entry.stat = stat;
            entry.doubtful = stat.is_recent(self.started);
            if entry.is_file() || entry.kind == EntryKind::Symlink {
                entry.oid = None;
                entry.kind = if entry.kind == EntryKind::Large {
                    EntryKind::File
                } else {
                    entry.kind
                };
                known[at] = Known::Unread;
            }
        }
        inner.append(&mut below);
        Some(match changed {
            None => Found {
                folder: Arc::clone(before),
                ..Found::default()
            },
            Some((folder, known)) => Found {
                folder: Arc::new(folder),
                known: Some(known),
                ..Found::default()
            },
        })
    }
}
