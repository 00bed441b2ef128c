//! The ids of tags that say of a task that it is over, in `<common>/khlone/over`: of ten thousand tasks, the few that
//! are open are found without a look at the others' objects.
//!
//! An id is its content, so what the file says is never out of date, at worst short.

use std::{io, path::PathBuf};

use git2::Oid;

use super::Site;
use crate::process::kept;

/// What the file begins with; one that begins otherwise is none.
const HEADER: &[u8] = b"git-khlone over 1\n";
/// Bytes of an id.
const ID: usize = 20;

/// The ids, in order.
#[derive(Debug)]
pub(super) struct Over {
    path: PathBuf,
    ids: Vec<u8>,
}

impl Over {
    pub(super) fn read(site: &Site) -> Self {
        let path = site.layout().over();
        let ids = kept::read(&path, HEADER).filter(|ids| ids.len().is_multiple_of(ID));
        Self {
            path,
            ids: ids.unwrap_or_default(),
        }
    }

    /// Whether `tag` is one of them.
    pub(super) fn has(&self, tag: Oid) -> bool {
        let (ids, _) = self.ids.as_chunks::<ID>();
        ids.binary_search_by(|id| id.as_slice().cmp(tag.as_bytes()))
            .is_ok()
    }

    /// Has the file hold exactly `tags` from now on.
    pub(super) fn replace(&self, tags: impl Iterator<Item = Oid>) -> io::Result<()> {
        let mut tags: Vec<Oid> = tags.collect();
        tags.sort_unstable();
        tags.dedup();
        let ids: Vec<_> = tags.iter().map(Oid::as_bytes).collect();
        kept::write(&self.path, HEADER, &ids.concat())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::refs::tests::scratch;

    #[test]
    fn exactly_what_was_put_in_is_found_and_torn_files_hold_nothing() {
        let (_dir, _repo, site) = scratch();
        let id = |n: u32| Oid::hash_object(git2::ObjectType::Blob, &n.to_be_bytes()).unwrap();
        assert!(!Over::read(&site).has(id(0)));
        let edges = [Oid::ZERO_SHA1, Oid::from_bytes(&[0xff; 20]).unwrap()];
        for count in [0, 1, 2, 3000] {
            Over::read(&site)
                .replace((0..count).map(id).chain(edges))
                .unwrap();
            let over = Over::read(&site);
            assert!((0..count).all(|n| over.has(id(n))) && edges.iter().all(|edge| over.has(*edge)));
            assert!(!(count..count + 3000).any(|n| over.has(id(n))));
        }
        let file = site.layout().over();
        let whole = fs::read(&file).unwrap();
        for cut in [0, 3, HEADER.len(), HEADER.len() + 20, whole.len() - 1] {
            fs::write(&file, &whole[..cut]).unwrap();
            assert!(!Over::read(&site).has(id(1)), "{cut}");
        }
        let mut changed = whole;
        changed[HEADER.len() + 50] ^= 1;
        fs::write(&file, changed).unwrap();
        assert!(!Over::read(&site).has(id(1)));
    }
}
