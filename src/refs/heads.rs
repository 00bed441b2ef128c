//! Every task's head, quickly. What was read once is kept in `<common>/khlone/heads`, by the id of its tag: an id
//! is its content, so the file is never wrong, at worst short. Losing it costs the next listing some time.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::PathBuf,
};

use git2::Oid;

use super::{Ledger, LedgerError, Site, TaskHead, names, tag};

/// The first line of the file; one with another line is none.
const HEADER: &str = "git-khlone heads 1";
/// So many tags read one by one are not worth writing the file again.
const FEW: usize = 32;

impl Ledger<'_> {
    /// Every task's head, in order of arrival.
    ///
    /// # Errors
    /// If git cannot read refs. A tag that is not ours is skipped, with a warning in the log.
    pub fn heads(&self) -> Result<Vec<TaskHead>, LedgerError> {
        let odb = self.repo.git().odb()?;
        let mut kept = Kept::read(self.site);
        let mut heads = Vec::new();
        let mut fresh = 0;
        for reference in self.repo.git().references_glob(&format!("{}*", names::TASKS))? {
            let Some(oid) = reference?.target() else { continue };
            if let Some(head) = kept.heads.remove(&oid) {
                heads.push((oid, head));
                continue;
            }
            fresh += 1;
            match odb.read(oid).map(|object| tag::parse_head(object.data())) {
                Ok(Some(head)) => heads.push((oid, head)),
                Ok(None) | Err(_) => tracing::warn!(%oid, "a task's tag cannot be read"),
            }
        }
        if fresh > FEW + heads.len() / 8
            && let Err(error) = kept.replace(&heads)
        {
            tracing::debug!(%error, "the next listing reads every tag again");
        }
        let mut heads: Vec<_> = heads.into_iter().map(|(_, head)| head).collect();
        heads.sort_by(|a, b| (a.seq, &a.id).cmp(&(b.seq, &b.id)));
        Ok(heads)
    }
}

struct Kept {
    path: PathBuf,
    heads: HashMap<Oid, TaskHead>,
}

impl Kept {
    fn read(site: &Site) -> Self {
        let path = site.dir().join("heads");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        let heads = match lines.next() {
            Some(HEADER) => lines.filter_map(parse).collect(),
            _ => HashMap::new(),
        };
        Self { path, heads }
    }

    fn replace(&self, heads: &[(Oid, TaskHead)]) -> io::Result<()> {
        let mut text = format!("{HEADER}\n");
        for (oid, head) in heads {
            text.push_str(&format!("{oid} {}\n", serde_json::to_string(head)?));
        }
        let folder = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn parse(line: &str) -> Option<(Oid, TaskHead)> {
    let (oid, head) = line.split_once(' ')?;
    Some((oid.parse().ok()?, serde_json::from_str(head).ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::refs::{Kind, ObjectSink, Pack, tests::scratch, update_ref};

    const TAG: &str = "object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ntype tree\ntag t-0000000000\n\
        tagger git-khlone <git-khlone@localhost> 1 +0000\n\ndone: act x (foreman.1)\n\nKhlone-Status: done\n\
        Khlone-Outcome: done\nKhlone-Mode: act\nKhlone-Zone: main\nKhlone-Clone: foreman.1\nKhlone-Seq: 7\n\
        Khlone-Priority: 0\nKhlone-Updated: 1\nKhlone-Site: s\nKhlone-Title: a\tb\n";

    #[test]
    fn what_is_kept_is_what_the_tags_say() {
        let (_dir, repo, site) = scratch();
        let ledger = Ledger::new(&repo, &site);
        let mut pack = Pack::begin(&site).unwrap();
        pack.put(Kind::Tree, b"").unwrap();
        let ids: Vec<String> = (0..50).map(|n| format!("t-{n:0>10}")).collect();
        let tags: Vec<Oid> = ids
            .iter()
            .map(|id| {
                pack.put(Kind::Tag, TAG.replace("t-0000000000", id).as_bytes())
                    .unwrap()
            })
            .collect();
        pack.publish().unwrap();
        for (id, tag) in ids.iter().zip(&tags) {
            update_ref(&repo, &format!("{}{id}", names::TASKS), None, *tag).unwrap();
        }
        let first = ledger.heads().unwrap();
        assert_eq!(first.len(), 50);
        assert_eq!((first[0].seq, first[0].title.as_str()), (7, "a\tb"));
        let file = site.dir().join("heads");
        assert!(file.is_file());
        assert_eq!(ledger.heads().unwrap(), first);
        // A ref that moved on is read anew, whatever is kept of its former tag.
        update_ref(&repo, &format!("{}{}", names::TASKS, ids[0]), Some(tags[0]), {
            let tag = TAG.replace("Khlone-Seq: 7", "Khlone-Seq: 8");
            let oid = pack.put(Kind::Tag, tag.as_bytes()).unwrap();
            pack.publish().unwrap();
            oid
        })
        .unwrap();
        assert_eq!(ledger.heads().unwrap()[49].seq, 8);
        for torn in ["", "git-khlone heads 1\n\u{0}", "git-khlone heads 9\nx"] {
            fs::write(&file, torn).unwrap();
            assert_eq!(ledger.heads().unwrap().len(), 50);
        }
    }
}
