//! The diff stat of a finished act, as git prints it, of two snapshots: what stands under another name in a
//! snapshot is shown under its own, and no name reaches the terminal as it is.

use std::path::Path;

use git2::{Delta, Diff, DiffDelta, Patch};

use super::super::{counted, cut, one_line, width};
use crate::worktree::snapshot::{Marker, decode};

/// So many files are named.
const MOST: usize = 20;
/// Columns for the names and for the bars at most.
const NAMES: usize = 50;
const BARS: usize = 20;

/// One changed file.
struct Line {
    name: String,
    change: Change,
}

enum Change {
    Lines { added: usize, removed: usize },
    Other(&'static str),
}

/// The diff stat of two snapshots, cut after twenty files; empty if nothing differs.
///
/// # Errors
/// If git cannot compare.
pub fn diff_stat(mut diff: Diff<'_>) -> Result<String, git2::Error> {
    diff.find_similar(None)?;
    let lines: Result<Vec<_>, _> = (0..diff.deltas().len()).map(|at| line(&diff, at)).collect();
    Ok(render(&lines?))
}

fn line(diff: &Diff<'_>, at: usize) -> Result<Line, git2::Error> {
    let patch = Patch::from_diff(diff, at)?;
    let delta = diff.get_delta(at);
    let (name, marker) = delta.as_ref().map(name).unwrap_or_default();
    let change = match (marker, patch) {
        (Some(Marker::Large), _) => Change::Other("too large to keep"),
        (Some(Marker::Name) | None, Some(patch)) => {
            let (_, added, removed) = patch.line_stats()?;
            Change::Lines { added, removed }
        }
        (Some(Marker::Name) | None, None) => Change::Other("binary"),
        (Some(_), _) => Change::Other("no plain file"),
    };
    Ok(Line { name, change })
}

/// What a file is called in the work tree, and why its snapshot calls it otherwise.
fn name(delta: &DiffDelta<'_>) -> (String, Option<Marker>) {
    let own = |path: Option<&Path>| {
        let mut last = None;
        let parts = path.into_iter().flat_map(Path::iter).map(|part| {
            let (name, marker) = decode(part.as_encoded_bytes());
            last = marker;
            one_line(&name.to_string())
        });
        (parts.collect::<Vec<_>>().join("/"), last)
    };
    let (new, marker) = own(delta.new_file().path());
    match delta.status() {
        Delta::Renamed => (format!("{} => {new}", own(delta.old_file().path()).0), marker),
        _ => (new, marker),
    }
}

fn render(lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let shown = &lines[..lines.len().min(MOST)];
    let names = shown
        .iter()
        .map(|line| width(&line.name))
        .max()
        .unwrap_or(0)
        .min(NAMES);
    let most = shown.iter().map(|line| line.change.count()).max().unwrap_or(0);
    let digits = most.to_string().len();
    let mut text = String::new();
    for Line { name, change } in shown {
        let name = cut(name, names);
        let pad = names - width(&name);
        let what = match change {
            Change::Lines { added, removed } => {
                let scale = |count: usize| {
                    if most <= BARS {
                        count
                    } else {
                        (count * BARS).div_ceil(most)
                    }
                };
                let bars = "+".repeat(scale(*added)) + &"-".repeat(scale(*removed));
                format!("{:>digits$} {bars}", added + removed)
            }
            Change::Other(word) => (*word).to_owned(),
        };
        text.push_str(&format!(" {name}{:pad$} | {}\n", "", what.trim_end()));
    }
    if lines.len() > MOST {
        text.push_str(&format!(" … {} more files\n", lines.len() - MOST));
    }
    text + &summary(lines)
}

fn summary(lines: &[Line]) -> String {
    let count = |of: fn(&Change) -> usize| lines.iter().map(|line| of(&line.change)).sum::<usize>();
    let (added, removed) = (count(Change::added), count(Change::removed));
    let mut text = format!(" {} changed", counted(lines.len(), "file"));
    if added > 0 {
        text.push_str(&format!(", {}(+)", counted(added, "insertion")));
    }
    if removed > 0 {
        text.push_str(&format!(", {}(-)", counted(removed, "deletion")));
    }
    text + "\n"
}

impl Change {
    fn added(&self) -> usize {
        match self {
            Self::Lines { added, .. } => *added,
            Self::Other(_) => 0,
        }
    }

    fn removed(&self) -> usize {
        match self {
            Self::Lines { removed, .. } => *removed,
            Self::Other(_) => 0,
        }
    }

    fn count(&self) -> usize {
        self.added() + self.removed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        refs::{Kind, MemorySink, ObjectSink, Repo, TreeEntry, encode_tree},
        worktree::snapshot::encode,
    };

    #[test]
    fn files_are_shown_under_their_own_names() {
        let dir = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(dir.path()).unwrap();
        let repo = Repo::open(dir.path()).unwrap();
        let odb = repo.git().odb().unwrap();
        let blob = |text: &[u8]| odb.write(git2::ObjectType::Blob, text).unwrap();
        let entry = |name: Vec<u8>, text: &[u8]| TreeEntry {
            mode: 0o100_644,
            name,
            oid: blob(text),
        };
        let mut entries = vec![
            entry(b"a\nb\x1b[31m".to_vec(), b"x\n"),
            entry(encode(b"big.bin", Marker::Large).to_vec(), b"size 1\n"),
            entry(encode(b".gitmodules", Marker::Name).to_vec(), b"x\ny\n"),
            entry(encode(b"pipe", Marker::Fifo).to_vec(), b""),
            entry("修正.txt".into(), &b"line\n".repeat(100)),
        ];
        let tree = encode_tree(&mut entries);
        let made = odb.write(git2::ObjectType::Tree, &tree).unwrap();
        assert_eq!(MemorySink::default().put(Kind::Tree, &tree).unwrap(), made);
        let tree = repo.git().find_tree(made).unwrap();
        let diff = repo.git().diff_tree_to_tree(None, Some(&tree), None).unwrap();
        insta::assert_snapshot!(diff_stat(diff).unwrap(), @r"
         pipe           | no plain file
         big.bin        | too large to keep
         .gitmodules    |   2 +
         a\nb\u{1b}[31m |   1 +
         修正.txt       | 100 ++++++++++++++++++++
         5 files changed, 103 insertions(+)
        ");
    }
}
