//! Watching is reading a file: stretches of an attempt's events by offset.
//!
//! The runner appends one canonical event a line to the attempt's spool, whose middle may be gone. A watcher says how far it has read and
//! gets whole lines from there; nobody remembers it in between, so a slow or dead one costs nothing.

pub(in crate::daemon) mod changes;
pub(in crate::daemon) mod feed;
mod sketch;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::runner::piece_at;

/// The file of an attempt's events in its folder.
const EVENTS: &str = "events.jsonl";

/// Longest event that is read; the runner writes none longer.
const MAX_EVENT: u64 = 8 << 20;

/// Whole lines of an attempt's events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    /// The lines, each ended.
    pub lines: Vec<u8>,
    /// Where the next stretch begins.
    pub next: u64,
}

impl Stretch {
    /// The events in it, each with the offset right after it. A line that is no event is passed over.
    pub(crate) fn events(&self) -> impl Iterator<Item = (Value, u64)> {
        let mut end = self.next - self.lines.len() as u64;
        let lines = self.lines.split_inclusive(|byte| *byte == b'\n');
        lines.filter_map(move |line| {
            end += line.len() as u64;
            Some((serde_json::from_slice(line).ok()?, end))
        })
    }
}

/// The events of attempt `n` of a task, below the site's attempts folder.
pub fn events_path(attempt_dir: &Path) -> PathBuf {
    attempt_dir.join(EVENTS)
}

/// Reads whole lines from `offset` on: about `most` bytes, one line at least if there is one. A missing file has
/// no lines yet; an offset beyond the end waits there.
///
/// Of an attempt that is under way (`follows`) also the tail of its spool is read: an offset in what is not kept any
/// more goes on after that. What else there is of one that is over is in its transcript, and counted by that.
///
/// # Errors
/// If the file cannot be read.
pub fn read_events(path: &Path, offset: u64, most: u64, follows: bool) -> io::Result<Stretch> {
    let nothing = Stretch {
        lines: Vec::new(),
        next: offset,
    };
    let piece = if follows {
        piece_at(path, offset)?
    } else {
        Some((0, path.to_owned()))
    };
    let Some((begin, piece)) = piece else {
        return Ok(nothing);
    };
    let mut file = match File::open(piece) {
        Ok(file) => file,
        // Not there yet, or just gone for a newer one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
        Err(error) => return Err(error),
    };
    let offset = offset.max(begin);
    file.seek(SeekFrom::Start(offset - begin))?;
    let mut lines = Vec::new();
    Read::by_ref(&mut file).take(most).read_to_end(&mut lines)?;
    match lines.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => lines.truncate(end + 1),
        None if lines.len() as u64 == most => {
            // One line longer than the stretch.
            BufReader::new(file.take(MAX_EVENT)).read_until(b'\n', &mut lines)?;
            if !lines.ends_with(b"\n") {
                lines.clear();
            }
        }
        // A line that is just being written.
        None => lines.clear(),
    }
    let next = offset + lines.len() as u64;
    Ok(Stretch { lines, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_from_any_offset() {
        let dir = tempfile::tempdir().unwrap();
        let path = events_path(dir.path());
        assert_eq!(
            read_events(&path, 7, 100, true).unwrap(),
            Stretch {
                lines: vec![],
                next: 7
            }
        );
        std::fs::write(&path, b"{\"a\":1}\n{\"b\":2}\n{\"torn").unwrap();
        let all = read_events(&path, 0, 100, true).unwrap();
        assert_eq!(
            (all.lines.as_slice(), all.next),
            (&b"{\"a\":1}\n{\"b\":2}\n"[..], 16)
        );
        assert_eq!(read_events(&path, 0, 10, true).unwrap().next, 8);
        assert_eq!(read_events(&path, 8, 100, true).unwrap().next, 16);
        assert_eq!(
            read_events(&path, 16, 100, true).unwrap(),
            Stretch {
                lines: vec![],
                next: 16
            }
        );
        assert_eq!(
            read_events(&path, 99, 100, true).unwrap(),
            Stretch {
                lines: vec![],
                next: 99
            }
        );
    }

    #[test]
    fn the_tail_is_read_on_from_the_head_and_what_is_gone_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = events_path(dir.path());
        let read = |offset| {
            let stretch = read_events(&path, offset, 100, true).unwrap();
            (String::from_utf8(stretch.lines).unwrap(), stretch.next)
        };
        std::fs::write(&path, b"1\n2\n").unwrap();
        assert_eq!(read(4), (String::new(), 4));
        std::fs::write(path.with_extension("tail-4"), b"3\n").unwrap();
        assert_eq!((read(2), read(4)), (("2\n".to_owned(), 4), ("3\n".to_owned(), 6)));
        assert_eq!(read(6), (String::new(), 6));
        std::fs::remove_file(path.with_extension("tail-4")).unwrap();
        std::fs::write(path.with_extension("tail-8"), b"5\n").unwrap();
        std::fs::write(path.with_extension("tail-10"), b"6\n7").unwrap();
        assert_eq!(
            (read(4), read(6)),
            (("5\n".to_owned(), 10), ("5\n".to_owned(), 10))
        );
        assert_eq!(
            (read(10), read(12)),
            (("6\n".to_owned(), 12), (String::new(), 12))
        );
    }

    #[test]
    fn each_event_knows_where_the_next_begins() {
        let stretch = Stretch {
            lines: b"torn\n{\"a\":1}\n{\"b\":2}\n".to_vec(),
            next: 121,
        };
        let ends: Vec<_> = stretch.events().map(|(_, end)| end).collect();
        assert_eq!(ends, [113, 121]);
    }

    #[test]
    fn a_line_longer_than_the_stretch_comes_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = events_path(dir.path());
        let long = format!("\"{}\"\n1\n", "x".repeat(5000));
        std::fs::write(&path, &long).unwrap();
        let stretch = read_events(&path, 0, 100, true).unwrap();
        assert_eq!(stretch.next, 5003);
        assert_eq!(read_events(&path, 5003, 100, true).unwrap().lines, b"1\n");
    }
}
