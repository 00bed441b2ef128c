//! What destructive verbs saved: `refs/khlone/undo/<n>/state`, a tag of a tree with `undo.json` and whatever
//! files go with it, and `refs/khlone/undo/<n>/<clone>`, the tip that a clone's branch had.
//!
//! Commits that only the worktree of a clone named (HEAD on no branch, a rebase half done) are the parents of a commit
//! of ours, `refs/khlone/undo/<n>/<clone>.kept`.
//!
//! A landing is saved the same way, before the zone's branch moves: `refs/khlone/undo/<n>/landed` is where it goes. Of
//! landings the newest [`LANDINGS`] are kept, since only the last of a zone can be undone by moving its branch.
//!
//! The tips are written first and the state last, so that a state always has its tips; tips without a state are
//! left over from a kill and harm nobody. The verb goes on only when all of it is durable.

use git2::{ObjectType, Oid};
use serde::{Deserialize, Serialize};

use super::{
    Crew, Kind, Ledger, LedgerError, ObjectSink, Pack, TreeEdit, Zone, delete_ref, ledger::now, names::UNDO,
    tag, update_ref,
};
use crate::task::{CloneName, FORMAT, Landed, TaskId, ZoneId, parse_versioned};

/// The end of the name of a ref that keeps what a clone's worktree had besides its branch.
pub const KEPT: &str = ".kept";

/// The end of the name of the ref that keeps the commit to which a landing moved its zone.
pub const LANDED: &str = "landed";
/// So many landings are kept.
const LANDINGS: usize = 50;

/// `undo.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Version of the document.
    pub format: u32,
    /// Its number, in the order of saving.
    pub n: u64,
    /// What was done, in the words of the command line.
    pub verb: String,
    /// The saved state that was brought back then, if that is what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<u64>,
    /// Seconds since the epoch.
    pub at: i64,
    /// The zone, as it was.
    pub zone: Zone,
    /// Its clones that were touched.
    pub clones: Vec<KeptClone>,
    /// The landing that was made, or taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landing: Option<KeptLanding>,
}

/// A landing, or its undoing, as it was about to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLanding {
    /// What stands in the documents of its tasks.
    pub landed: Landed,
    /// Those tasks.
    pub tasks: Vec<TaskId>,
    /// It was taken back: the zone's branch went from the new commit to the old one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_back: bool,
}

/// A clone as a verb found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptClone {
    /// Its document.
    pub crew: Crew,
    /// Where its branch stood, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<String>,
    /// Where the verb left its branch, if it did not take it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// The work tree's snapshot, in `<clone>/work` of the state's tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<String>,
    /// What was staged, as a tree, in `<clone>/index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Ignored files that were kept, in `<clone>/ignored`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<KeptFile>,
    /// The files of its worktree's git folder, HEAD among them, in `<clone>/git`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub git: Vec<KeptFile>,
    /// The commits that those name and its branch has not, kept by `refs/khlone/undo/<n>/<clone>.kept`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<String>,
    /// What its index had in conflict, in `<clone>/git`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<KeptFile>,
    /// Its index, byte for byte, in `<clone>/git`: what is staged, and what git was told of each file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_index: Option<KeptFile>,
    /// Permissions that git does not know, and empty folders, in `<clone>/modes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modes: Option<KeptFile>,
    /// What was moved aside as it is, to a folder of the site (`refs::Layout::apart`) under its number in this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<KeptApart>,
    /// Ignored files and folders that were not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

/// Something that no object can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptApart {
    /// Where it was.
    pub origin: Origin,
    /// Its path there, as documents have it.
    pub path: String,
}

/// What something was moved out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The worktree.
    Worktree,
    /// The worktree's own git folder.
    Git,
    /// It is the clone's private git folder.
    Private,
}

/// An ignored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Its path, as documents have it.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// Its bytes.
    pub blob: String,
}

/// What is about to be changed.
#[derive(Debug)]
pub struct Saving<'a> {
    /// By which verb.
    pub verb: &'a str,
    /// The saved state that is about to be brought back.
    pub undoes: Option<u64>,
    /// Of which zone.
    pub zone: &'a Zone,
    /// Its clones, as they stand.
    pub clones: Vec<KeptClone>,
}

impl Ledger<'_> {
    /// Saves the state that a verb is about to change: durable when this returns. `files` go into the state's
    /// tree; their new objects are in `pack`.
    ///
    /// # Errors
    /// If the disk refuses; the verb must not go on then.
    pub fn save_undo(
        &self,
        pack: &mut Pack,
        files: &mut TreeEdit,
        saving: Saving<'_>,
    ) -> Result<Undo, LedgerError> {
        let Saving {
            verb,
            undoes,
            zone,
            clones,
        } = saving;
        let undo = Undo {
            clones,
            ..self.new_undo((verb, undoes), zone)?
        };
        for kept in &undo.clones {
            if let Some(tip) = kept.tip.as_ref().and_then(|tip| tip.parse().ok()) {
                update_ref(self.repo, &tip_ref(undo.n, &kept.crew.name), None, tip)?;
            }
        }
        files.json("undo.json", &undo)?;
        let tree = files.apply(self.repo, None, pack)?;
        let tag = pack.put(Kind::Tag, &tag::undo_tag(undo.n, verb, tree, undo.at))?;
        let mut holders = Vec::new();
        for kept in undo.clones.iter().filter(|kept| !kept.commits.is_empty()) {
            let holder = pack.put(Kind::Commit, &holder(kept, tree, undo.at))?;
            holders.push((kept_ref(undo.n, &kept.crew.name), holder));
        }
        pack.publish()?;
        for (name, holder) in holders {
            update_ref(self.repo, &name, None, holder)?;
        }
        update_ref(self.repo, &state_ref(undo.n), None, tag)?;
        Ok(undo)
    }

    /// Saves a landing that is about to be made, or taken back: durable when this returns.
    ///
    /// # Errors
    /// If the disk refuses; the branch must not move then.
    pub fn save_landing(
        &self,
        what: (&str, Option<u64>),
        zone: &Zone,
        landing: KeptLanding,
    ) -> Result<Undo, LedgerError> {
        let mut pack = Pack::begin(self.site)?;
        let new = landing.landed.new.parse()?;
        let undo = Undo {
            landing: Some(landing),
            ..self.new_undo(what, zone)?
        };
        let mut files = TreeEdit::default();
        files.json("undo.json", &undo)?;
        let tree = files.apply(self.repo, None, &mut pack)?;
        let tag = pack.put(Kind::Tag, &tag::undo_tag(undo.n, &undo.verb, tree, undo.at))?;
        pack.publish()?;
        update_ref(self.repo, &landed_ref(undo.n), None, new)?;
        update_ref(self.repo, &state_ref(undo.n), None, tag)?;
        let old = self.undos()?.into_iter().map(|(undo, _)| undo);
        for undo in old.filter(|undo| undo.landing.is_some()).skip(LANDINGS) {
            self.forget_undo(&undo)?;
        }
        Ok(undo)
    }

    fn new_undo(&self, (verb, undoes): (&str, Option<u64>), zone: &Zone) -> Result<Undo, LedgerError> {
        let last = self.undo_numbers()?.into_iter().max().unwrap_or(0);
        Ok(Undo {
            format: FORMAT,
            n: last + 1,
            verb: verb.to_owned(),
            undoes,
            at: now(),
            zone: zone.clone(),
            clones: Vec::new(),
            landing: None,
        })
    }

    /// Every saved state, newest first, with its tree.
    ///
    /// # Errors
    /// If git cannot read, or a document is newer or broken.
    pub fn undos(&self) -> Result<Vec<(Undo, Oid)>, LedgerError> {
        let mut numbers = self.undo_numbers()?;
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let mut undos = Vec::new();
        for n in numbers {
            let name = state_ref(n);
            let Some(tag) = self.repo.ref_target(&name)? else {
                continue;
            };
            let tree = self
                .repo
                .git()
                .find_object(tag, None)?
                .peel(ObjectType::Tree)?
                .id();
            let bytes = self.file_at(tree, "undo.json")?.unwrap_or_default();
            let undo = parse_versioned("undo.json", &bytes)
                .map_err(|source| LedgerError::Format { name, source })?;
            undos.push((undo, tree));
        }
        Ok(undos)
    }

    /// Forgets a saved state.
    ///
    /// # Errors
    /// If git refuses; what is left is still a whole state or tips alone.
    pub fn forget_undo(&self, undo: &Undo) -> Result<(), LedgerError> {
        let tips = undo.clones.iter().map(|kept| tip_ref(undo.n, &kept.crew.name));
        let kept = undo.clones.iter().map(|kept| kept_ref(undo.n, &kept.crew.name));
        let own = [state_ref(undo.n), landed_ref(undo.n)];
        for name in own.into_iter().chain(tips).chain(kept) {
            if let Some(oid) = self.repo.ref_target(&name)? {
                delete_ref(self.repo, &name, oid)?;
            }
        }
        Ok(())
    }

    /// Takes a zone's ref away, if it is still as `stored` has it.
    ///
    /// # Errors
    /// If the zone changed meanwhile, or git refuses.
    pub fn remove_zone(&self, id: &ZoneId, stored: &super::StoredZone) -> Result<(), LedgerError> {
        Ok(delete_ref(self.repo, &super::zone_ref(id), stored.tag())?)
    }

    /// The numbers in use, also those of tips without a state.
    fn undo_numbers(&self) -> Result<Vec<u64>, LedgerError> {
        let mut numbers = Vec::new();
        for name in self.repo.git().references_glob(&format!("{UNDO}*"))?.names() {
            let number: Option<u64> = name?
                .strip_prefix(UNDO)
                .and_then(|rest| rest.split('/').next()?.parse().ok());
            numbers.extend(number);
        }
        // What stands there is of a state that is gone, and nothing of another's may come to it.
        let apart = std::fs::read_dir(self.site.layout().apart())
            .into_iter()
            .flatten()
            .flatten();
        numbers.extend(apart.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()));
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

fn state_ref(n: u64) -> String {
    format!("{UNDO}{n}/state")
}

fn landed_ref(n: u64) -> String {
    format!("{UNDO}{n}/{LANDED}")
}

fn tip_ref(n: u64, clone: &CloneName) -> String {
    format!("{UNDO}{n}/{clone}")
}

fn kept_ref(n: u64, clone: &CloneName) -> String {
    format!("{UNDO}{n}/{clone}{KEPT}")
}

/// The commit that keeps what a clone's worktree had.
fn holder(kept: &KeptClone, tree: Oid, at: i64) -> Vec<u8> {
    let mut text = format!("tree {tree}\n");
    for commit in &kept.commits {
        text.push_str(&format!("parent {commit}\n"));
    }
    let who = format!("git-khlone <git-khlone@localhost> {at} +0000");
    text.push_str(&format!(
        "author {who}\ncommitter {who}\n\nkept of {}\n",
        kept.crew.name
    ));
    text.into_bytes()
}
