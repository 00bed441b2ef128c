//! One line for a shell prompt, asked for at every prompt: it must cost next to nothing.
//!
//! The line is kept in `<common>/khlone/prompt` with the time stamps of all that it was made from: the folders and
//! files of the refs. While they stand, nothing else is read. It starts nothing, makes no site, and is silent about
//! whatever goes wrong: a prompt is no place for errors.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::super::cx::{Cx, repo_at};
use crate::{
    process::file::{self, replace},
    query::Parts,
    refs::{Layout, branch_ref},
    render::Out,
    task::FORMAT,
};

/// What changed this short a time ago may have changed again within one tick of the file system's clock.
const RACY: Duration = Duration::from_millis(50);

/// How long it may be looked into what has landed, of which nothing is known yet.
const LOOK: Duration = Duration::from_millis(50);

/// `prompt`.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    made_from: Vec<(PathBuf, Stamp)>,
    line: String,
}

/// When a file or folder was last changed, and how large it is; `None` if it is not there.
type Stamp = Option<(i64, i64, u64)>;

/// The line, ended; nothing where there is nothing to tell.
pub(super) fn segment(dir: &Path) -> Option<String> {
    let repo = repo_at(dir).ok()?;
    let path = Layout::of(repo.common_dir()).prompt();
    // Opening a site would make its folder.
    if !path.parent()?.is_dir() {
        return None;
    }
    let kept = file::read(&path).ok();
    let kept: Option<Kept> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let is_current =
        |kept: &Kept| kept.format == FORMAT && kept.made_from.iter().all(|(path, then)| stamp(path) == *then);
    if let Some(kept) = kept.filter(is_current) {
        return Some(kept.line);
    }
    let kept = make(&Cx::open(dir, Out::new(false)).ok()?)?;
    if !is_racy(&kept) {
        keep(&path, &kept);
    }
    Some(kept.line)
}

fn make(cx: &Cx) -> Option<Kept> {
    let (ledger, common) = (cx.ledger(), cx.repo.common_dir());
    let zones = ledger.readable_zones().ok()?;
    let mut paths: Vec<_> = ["refs/khlone/tasks", "refs/khlone/zones", "packed-refs"]
        .map(PathBuf::from)
        .into();
    for zone in &zones {
        paths.push(branch_ref(&zone.zone.branch).into());
        paths.extend(zone.crew.values().map(|member| branch_ref(&member.branch).into()));
    }
    // Stamps first: what changes while we count shows in the next prompt.
    let made_from = paths.into_iter().map(|path| {
        let path = common.join(path);
        let stamp = stamp(&path);
        (path, stamp)
    });
    let made_from = made_from.collect();
    let heads = ledger.heads().ok()?;
    let damaged = ledger.damaged(&heads, &zones).ok()?.len();
    let ground = cx.ground();
    let parts = Parts::within(&ground, LOOK).ok()?;
    let counts = [
        ("!", damaged + parts.needs_you.len()),
        ("▶", parts.under_way.len()),
        ("…", parts.waiting.len()),
    ];
    let told = counts.iter().filter(|(_, count)| *count > 0);
    let words: Vec<_> = told.map(|(mark, count)| format!("{mark}{count}")).collect();
    let line = if words.is_empty() {
        String::new()
    } else {
        format!("{}\n", words.join(" "))
    };
    Some(Kept {
        format: FORMAT,
        made_from,
        line,
    })
}

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.size()))
}

fn is_racy(kept: &Kept) -> bool {
    let changed = kept
        .made_from
        .iter()
        .filter_map(|(path, _)| fs::metadata(path).ok()?.modified().ok());
    let age = |time| SystemTime::now().duration_since(time).unwrap_or_default();
    changed.map(age).any(|age| age < RACY)
}

fn keep(path: &Path, kept: &Kept) {
    let text = serde_json::to_vec(kept).map_err(std::io::Error::from);
    if let Err(error) = text.and_then(|text| replace(path, &text)) {
        tracing::debug!(%error, "the next prompt counts again");
    }
}
