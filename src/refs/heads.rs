//! Every task's head, quickly. What was read once is kept in `<common>/khlone/heads`, by the id of its tag: an id
//! is its content, so the file is never wrong, at worst short. Losing it costs the next listing some time.

use std::{collections::HashMap, io, path::PathBuf};

use git2::{Odb, Oid};

use super::{Ledger, LedgerError, Site, TaskHead, listing, names, tag, unfinished::Glance};
use crate::{
    process::kept,
    task::{TaskId, ZoneId},
};

/// What the file begins with; one that begins otherwise is none.
const HEADER: &[u8] = b"git-khlone heads 3\n";
/// So many tags read one by one are not worth writing the file again.
const FEW: usize = 32;
/// From so many on, one listing of all is cheaper than to read them one by one.
const MANY: usize = 256;

impl Ledger<'_> {
    /// Every task's head, in order of arrival.
    ///
    /// # Errors
    /// If git cannot read refs. A tag that is not ours is skipped, with a warning in the log.
    pub fn heads(&self) -> Result<Vec<TaskHead>, LedgerError> {
        let heads = self.heads_kept(self.tags()?.into_iter().map(|(_, tag)| tag))?;
        Ok(in_order(heads.into_iter().map(|(_, head)| head).collect()))
    }

    /// The heads of tasks that are not over, in order of arrival. Their number is what this costs, and not that of all
    /// tasks there ever were.
    ///
    /// # Errors
    /// As [`Ledger::heads`].
    pub fn open_heads(&self) -> Result<Vec<TaskHead>, LedgerError> {
        let mut glance = Glance::take(self.site).map_err(LedgerError::unreadable)?;
        let heads = self.heads_at(std::mem::take(&mut glance.tags))?;
        let (done, open): (Vec<_>, Vec<_>) = heads.into_iter().partition(|(_, head)| head.status.is_over());
        let done: Vec<Oid> = done.into_iter().map(|(tag, _)| tag).collect();
        glance.keep(self.site, &done);
        Ok(in_order(open.into_iter().map(|(_, head)| head).collect()))
    }

    /// Every task with the tag that its ref points at, in the order of ids.
    ///
    /// # Errors
    /// If refs cannot be read.
    pub fn tags(&self) -> Result<Vec<(TaskId, Oid)>, LedgerError> {
        self.tags_below(names::TASKS)
    }

    /// Every zone with the tag that its ref points at, in the order of ids.
    ///
    /// # Errors
    /// If refs cannot be read.
    pub fn zone_tags(&self) -> Result<Vec<(ZoneId, Oid)>, LedgerError> {
        let refs = listing::below(self.repo.common_dir(), names::ZONES).map_err(LedgerError::unreadable)?;
        let zone = |(name, tag): (String, Oid)| {
            Some((name.strip_prefix(names::ZONES)?.to_owned().try_into().ok()?, tag))
        };
        let mut zones: Vec<_> = refs.into_iter().filter_map(zone).collect();
        zones.sort();
        Ok(zones)
    }

    /// The same of those whose full ref name begins with `prefix`.
    pub(super) fn tags_below(&self, prefix: &str) -> Result<Vec<(TaskId, Oid)>, LedgerError> {
        let refs = listing::below(self.repo.common_dir(), prefix)
            .map_err(LedgerError::unreadable)?
            .into_iter();
        let task = |(name, tag): (String, Oid)| Some((name.strip_prefix(names::TASKS)?.parse().ok()?, tag));
        Ok(refs.filter_map(task).collect())
    }

    /// The full name of every ref below `prefix`, also of one that is damaged or names another.
    pub(super) fn ref_names(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let mut names = Vec::new();
        listing::each(self.repo.common_dir(), prefix, |name, _| {
            names.push(name.to_owned())
        })
        .map_err(LedgerError::unreadable)?;
        Ok(names)
    }

    /// What each of `tags` says of its task.
    ///
    /// # Errors
    /// As [`Ledger::heads`].
    pub fn heads_at(&self, tags: Vec<Oid>) -> Result<Vec<(Oid, TaskHead)>, LedgerError> {
        if tags.len() > MANY {
            return self.heads_kept(tags.into_iter());
        }
        let odb = self.repo.git().odb()?;
        Ok(tags.into_iter().filter_map(|tag| read(&odb, tag)).collect())
    }

    /// The same by what is kept of all tags: `tags` are all, or most.
    fn heads_kept(&self, tags: impl Iterator<Item = Oid>) -> Result<Vec<(Oid, TaskHead)>, LedgerError> {
        let odb = self.repo.git().odb()?;
        let mut kept = Kept::read(self.site);
        let (mut heads, mut fresh) = (Vec::new(), 0);
        for tag in tags {
            if let Some(head) = kept.heads.remove(&tag) {
                heads.push((tag, head));
                continue;
            }
            fresh += 1;
            heads.extend(read(&odb, tag));
        }
        if fresh > FEW + heads.len() / 8
            && let Err(error) = kept.replace(&heads)
        {
            tracing::debug!(%error, "the next listing reads every tag again");
        }
        Ok(heads)
    }
}

/// What `tag` says of its task; `None`, with a warning in the log, if it is not one of ours.
fn read(odb: &Odb<'_>, tag: Oid) -> Option<(Oid, TaskHead)> {
    let object = odb.read(tag).ok();
    let head = object.and_then(|object| tag::parse_head(object.data()));
    if head.is_none() {
        tracing::warn!(%tag, "a task's tag cannot be read");
    }
    head.map(|head| (tag, head))
}

fn in_order(mut heads: Vec<TaskHead>) -> Vec<TaskHead> {
    heads.sort_by(|a, b| (a.seq, &a.id).cmp(&(b.seq, &b.id)));
    heads
}

struct Kept {
    path: PathBuf,
    heads: HashMap<Oid, TaskHead>,
}

impl Kept {
    fn read(site: &Site) -> Self {
        let path = site.layout().heads();
        let text = kept::read(&path, HEADER).unwrap_or_default();
        let heads = String::from_utf8_lossy(&text).lines().filter_map(parse).collect();
        Self { path, heads }
    }

    fn replace(&self, heads: &[(Oid, TaskHead)]) -> io::Result<()> {
        let mut text = String::new();
        for (oid, head) in heads {
            text.push_str(&format!("{oid} {}\n", serde_json::to_string(head)?));
        }
        kept::write(&self.path, HEADER, text.as_bytes())
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

    /// `count` tasks; every tenth is queued, the others are done.
    fn tasks(repo: &crate::refs::Repo, site: &Site, count: usize) {
        let mut pack = Pack::begin(site).unwrap();
        pack.put(Kind::Tree, b"").unwrap();
        let mut refs = String::new();
        for n in 0..count {
            let id = format!("t-{n:0>10}");
            let mut text = TAG
                .replace("t-0000000000", &id)
                .replace("Khlone-Seq: 7", &format!("Khlone-Seq: {n}"));
            if n % 10 == 0 {
                text = text.replace("Khlone-Status: done", "Khlone-Status: queued");
            }
            let tag = pack.put(Kind::Tag, text.as_bytes()).unwrap();
            refs.push_str(&format!("create {}{id} {tag}\n", names::TASKS));
        }
        pack.publish().unwrap();
        let git = crate::process::Cmd::git(repo.common_dir());
        git.args(["update-ref", "--stdin"]).input(refs).output().unwrap();
    }

    #[test]
    fn the_open_ones_are_those_of_the_whole_listing_whatever_is_kept() {
        let (_dir, repo, site) = scratch();
        let ledger = Ledger::new(&repo, &site);
        tasks(&repo, &site, 500);
        let expected: Vec<_> = ledger
            .heads()
            .unwrap()
            .into_iter()
            .filter(|head| !head.status.is_over())
            .collect();
        assert_eq!(expected.len(), 50);
        assert_eq!(ledger.open_heads().unwrap(), expected);
        let file = site.layout().over();
        assert!(fs::metadata(&file).unwrap().len() > 450 * 20);
        assert_eq!(ledger.open_heads().unwrap(), expected);
        let git = crate::process::Cmd::git(repo.common_dir());
        git.args(["pack-refs", "--all"]).output().unwrap();
        assert_eq!(ledger.open_heads().unwrap(), expected);
        // Now `packed-refs` is not read at all, as long as it stays.
        let packed = repo.common_dir().join("packed-refs");
        let unfinished = site.layout().unfinished();
        let kept = fs::read(&unfinished).unwrap();
        assert!(kept.len() < 8 << 10, "{}", kept.len());
        assert_eq!(ledger.open_heads().unwrap(), expected);
        // One that was written by another hand, of the same length even, is.
        let text = fs::read_to_string(&packed).unwrap();
        let tags = ledger.tags().unwrap();
        let fewer = text.replace(&tags[0].1.to_string(), &tags[1].1.to_string());
        fs::write(&packed, &fewer).unwrap();
        assert_eq!(ledger.open_heads().unwrap(), expected[1..]);
        fs::write(&packed, &text).unwrap();
        assert_eq!(ledger.open_heads().unwrap(), expected);
        // One that is over is queued again: its tag is another one.
        let (done, _) = &ledger.tags().unwrap()[1];
        let (name, old) = (names::task_ref(done), ledger.tags().unwrap()[1].1);
        let mut pack = Pack::begin(&site).unwrap();
        let text = TAG
            .replace("t-0000000000", done.as_str())
            .replace("Khlone-Status: done", "Khlone-Status: queued");
        let again = pack.put(Kind::Tag, text.as_bytes()).unwrap();
        pack.publish().unwrap();
        update_ref(&repo, &name, Some(old), again).unwrap();
        assert_eq!(ledger.open_heads().unwrap().len(), 51);
        update_ref(&repo, &name, Some(again), old).unwrap();
        for spoilt in ["", "git-khlone over 1\n", "git-khlone over 9\nx"] {
            fs::write(&file, spoilt).unwrap();
            fs::remove_file(site.layout().heads()).unwrap();
            fs::write(&unfinished, spoilt).unwrap();
            assert_eq!(ledger.open_heads().unwrap(), expected);
            assert_eq!(ledger.open_heads().unwrap(), expected);
        }
    }

    #[test]
    fn whatever_stands_in_the_place_of_what_is_kept_the_answer_is_the_same() {
        let (_dir, repo, site) = scratch();
        let ledger = Ledger::new(&repo, &site);
        tasks(&repo, &site, 300);
        let git = crate::process::Cmd::git(repo.common_dir());
        git.args(["pack-refs", "--all"]).output().unwrap();
        let look = || (ledger.heads().unwrap(), ledger.open_heads().unwrap());
        let expected = look();
        assert_eq!((expected.0.len(), expected.1.len()), (300, 30));
        let layout = site.layout();
        for path in [layout.heads(), layout.over(), layout.unfinished()] {
            assert_eq!(look(), expected);
            let whole = fs::read(&path).unwrap();
            for at in (0..whole.len()).step_by(whole.len() / 40) {
                let mut other = whole.clone();
                other[at] ^= 1;
                fs::write(&path, other).unwrap();
                assert_eq!(look(), expected, "{} at {at}", path.display());
            }
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            fs::remove_file(&path).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            assert_eq!(look(), expected, "{} as a pipe", path.display());
        }
    }

    #[test]
    fn an_older_counter_gives_no_place_twice_and_a_pipe_is_refused() {
        let (_dir, repo, site) = scratch();
        let ledger = Ledger::new(&repo, &site);
        tasks(&repo, &site, 11);
        assert_eq!(ledger.next_seq().unwrap(), 11);
        for older in ["", "7", "00000000000000000003\n"] {
            fs::write(site.layout().counter(), older).unwrap();
            assert_eq!(ledger.next_seq().unwrap(), 11, "{older}");
        }
        assert_eq!(ledger.next_seq().unwrap(), 12);
        let path = site.layout().counter();
        fs::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(
            ledger
                .next_seq()
                .unwrap_err()
                .to_string()
                .contains("not a regular file")
        );
    }

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
        let file = site.layout().heads();
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
        for torn in ["", "git-khlone heads 3\n\u{0}", "git-khlone heads 9\nx"] {
            fs::write(&file, torn).unwrap();
            assert_eq!(ledger.heads().unwrap().len(), 50);
        }
    }
}
