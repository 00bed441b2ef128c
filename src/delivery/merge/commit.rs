//! A commit made again without a work tree: as the repository's user, synced, never signed.

use bstr::ByteSlice;
use git2::{ObjectType, Oid};

use super::{MergeError, failed, read_oid, synced, written};
use crate::refs::Repo;

/// Makes `original` again with other files and one other parent: author, message and encoding stay as they are
/// to the byte; the committer is the repository's user, now. A signature does not fit any more and goes.
///
/// # Errors
/// [`MergeError::Nobody`] if git knows no user.
pub fn replay(repo: &Repo, original: Oid, tree: Oid, parent: Oid) -> Result<Oid, MergeError> {
    let who = identity(repo)?.ok_or(MergeError::Nobody)?;
    let odb = repo.git().odb()?;
    let raw = odb.read(original)?;
    if raw.kind() != ObjectType::Commit {
        return Err(MergeError::Unreadable("cat-file"));
    }
    let text = rewritten(raw.data(), tree, parent, &who);
    let done = written(|| {
        let write = synced(repo.common_dir()).args(["hash-object", "-t", "commit", "-w", "--stdin"]);
        write.input(text.clone())
    })?;
    if !done.status.success() {
        return Err(failed("git hash-object", &done).into());
    }
    read_oid("hash-object", Some(&done.stdout))
}

/// Who makes commits here: `Ann <ann@example.com>`; nothing if git knows no user.
pub fn committer(repo: &Repo) -> Option<String> {
    let line = identity(repo).ok().flatten()?;
    let end = line.rfind_byte(b'>')?;
    Some(line[..=end].to_str_lossy().into_owned())
}

/// The repository's user and the time, as a commit has them.
fn identity(repo: &Repo) -> Result<Option<Vec<u8>>, MergeError> {
    let who = synced(repo.common_dir())
        .args(["var", "GIT_COMMITTER_IDENT"])
        .finish()?;
    Ok(who.status.success().then(|| who.stdout.trim_end().to_vec()))
}

/// Whether git refuses since it knows no user.
pub(in crate::delivery) fn is_nobody(stderr: &[u8]) -> bool {
    let signs: [&[u8]; 3] = [b"tell me who you are", b"empty ident name", b"auto-detect email"];
    signs.into_iter().any(|sign| stderr.contains_str(sign))
}

/// The bytes of a commit with another tree, parent and committer.
fn rewritten(raw: &[u8], tree: Oid, parent: Oid, committer: &[u8]) -> Vec<u8> {
    let (head, message) = raw.split_once_str(b"\n\n").unwrap_or((raw, b""));
    let header = |name: &[u8]| {
        let mut lines = head.split_str(b"\n").filter(|line| line.starts_with(name));
        lines.next().map(<[u8]>::to_vec)
    };
    let mut lines = vec![
        format!("tree {tree}").into_bytes(),
        format!("parent {parent}").into_bytes(),
    ];
    lines.extend(header(b"author "));
    lines.push([b"committer ", committer].concat());
    lines.extend(header(b"encoding "));
    [lines.join(&b'\n'), message.to_vec()].join(b"\n\n".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replayed_commit_keeps_author_message_and_encoding_and_no_signature() {
        let raw = b"tree 1111111111111111111111111111111111111111\n\
            parent 2222222222222222222222222222222222222222\n\
            author B\xf6b <b@x> 1 +0100\ncommitter C <c@x> 2 +0000\nencoding latin1\n\
            gpgsig -----BEGIN\n author not me\n -----END\n\nsubject\n\nauthor in the body \xe4\n";
        let tree = Oid::from_str("3333333333333333333333333333333333333333").unwrap();
        let parent = Oid::from_str("4444444444444444444444444444444444444444").unwrap();
        let text = rewritten(raw, tree, parent, b"Ann <a@x> 9 +0000");
        let expected = b"tree 3333333333333333333333333333333333333333\n\
            parent 4444444444444444444444444444444444444444\n\
            author B\xf6b <b@x> 1 +0100\ncommitter Ann <a@x> 9 +0000\nencoding latin1\n\n\
            subject\n\nauthor in the body \xe4\n";
        assert_eq!(text.as_bstr(), expected.as_bstr());
    }
}
