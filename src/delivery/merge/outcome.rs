//! What came of a merge: a tree, or what is in conflict and how.

use bstr::{BString, ByteSlice};
use git2::Oid;

use super::{MergeError, failed, read_oid};
use crate::process::Finished;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// The merged tree.
    Clean(Oid),
    /// Some files need a hand.
    Conflict(Conflict),
}

/// What two sides did not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The tree as far as they agree, with git's markers in files of which both changed the same lines.
    pub tree: Oid,
    /// The files that need a hand.
    pub files: Vec<Conflicted>,
    /// What git says about them, a line each.
    pub texts: Vec<String>,
}

/// A file in conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicted {
    /// Where.
    pub path: BString,
    /// Of which kinds, in git's words: `contents`, `modify/delete`, `rename/rename`.
    pub kinds: Vec<String>,
}

impl Conflict {
    /// Each file, with the kind where it is another than both having changed the same lines.
    pub fn names(&self) -> Vec<BString> {
        let name = |file: &Conflicted| match file.kinds.as_slice() {
            [] => file.path.clone(),
            [only] if only == "contents" => file.path.clone(),
            kinds => BString::from([file.path.as_slice(), b" (", kinds.join(", ").as_bytes(), b")"].concat()),
        };
        self.files.iter().map(name).collect()
    }
}

/// Reads what `git merge-tree -z --name-only` said.
pub(super) fn read(done: &Finished, (ours, theirs): (Oid, Oid)) -> Result<Merged, MergeError> {
    let mut words = done.stdout.split_str(b"\0");
    match done.status.code() {
        Some(0) => Ok(Merged::Clean(read_oid("merge-tree", words.next())?)),
        Some(1) => Ok(Merged::Conflict(conflict(words)?)),
        _ if done.stderr.contains_str("unrelated histories") => Err(MergeError::Unrelated(ours, theirs)),
        _ => Err(failed("git merge-tree", done).into()),
    }
}

/// A tree; paths up to an empty word; then messages: a count, so many paths, a kind, a text.
fn conflict<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Conflict, MergeError> {
    let tree = read_oid("merge-tree", words.next())?;
    let paths = words.by_ref().take_while(|word| !word.is_empty());
    let mut files: Vec<_> = paths
        .map(|path| Conflicted {
            path: path.into(),
            kinds: Vec::new(),
        })
        .collect();
    let mut texts = Vec::new();
    while let Some(Ok(count)) = words.next().and_then(|word| word.to_str().ok()).map(str::parse) {
        let paths: Vec<_> = words.by_ref().take(count).collect();
        let (Some(kind), Some(text)) = (words.next(), words.next()) else {
            break;
        };
        let kind = kind.to_str_lossy();
        let Some(kind) = kind
            .strip_prefix("CONFLICT (")
            .and_then(|kind| kind.strip_suffix(')'))
        else {
            continue;
        };
        texts.push(text.to_str_lossy().trim_end().to_owned());
        for file in files
            .iter_mut()
            .filter(|file| paths.contains(&file.path.as_slice()))
        {
            if !file.kinds.iter().any(|known| known == kind) {
                file.kinds.push(kind.to_owned());
            }
        }
    }
    Ok(Conflict { tree, files, texts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_kinds_and_texts_are_read() {
        let words = "4b825dc642cb6eb9a060e54bf8d69288fbee4904\0a\0dir/b\0\0\
            1\0a\0Auto-merging\0Auto-merging a\n\0\
            1\0a\0CONFLICT (contents)\0CONFLICT (content): Merge conflict in a\n\0\
            2\0dir/b\0dir/c\0CONFLICT (rename/delete)\0CONFLICT (rename/delete): dir/c renamed\n\0";
        let found = conflict(words.as_bytes().split_str(b"\0")).unwrap();
        assert_eq!(found.names(), ["a", "dir/b (rename/delete)"]);
        let texts = [
            "CONFLICT (content): Merge conflict in a",
            "CONFLICT (rename/delete): dir/c renamed",
        ];
        assert_eq!(found.texts, texts);
    }
}
