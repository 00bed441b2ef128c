//! What was found out of two commits, in a file of the site's: a line each, `<commit> <tip> y` or `n`, and a check value.
//! Lines are only ever appended; one that was cut short or changed is passed over. Where it cannot be written, it is
//! found out again.

use std::{collections::HashMap, fs, io::Write, path::PathBuf};

use git2::Oid;

use crate::process::file::{append, read_text};

/// A longer file begins anew: most of what it says is of tips that have moved on.
const LARGEST: u64 = 1 << 20;

/// The file and what it says.
#[derive(Debug)]
pub(super) struct Known {
    path: PathBuf,
    answers: HashMap<(Oid, Oid), bool>,
}

impl Known {
    pub(super) fn read(path: PathBuf) -> Self {
        if fs::metadata(&path).is_ok_and(|meta| meta.len() > LARGEST) {
            drop(fs::remove_file(&path));
        }
        let text = read_text(&path).unwrap_or_default();
        let answers = text.lines().filter_map(|line| {
            let (line, check) = line.rsplit_once(' ')?;
            if check != check_of(line) {
                return None;
            }
            let mut words = line.split(' ');
            let (commit, tip) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            match words.next()? {
                "y" => Some(((commit, tip), true)),
                "n" => Some(((commit, tip), false)),
                _ => None,
            }
        });
        Self {
            answers: answers.collect(),
            path,
        }
    }

    pub(super) fn get(&self, commit: Oid, tip: Oid) -> Option<bool> {
        self.answers.get(&(commit, tip)).copied()
    }

    pub(super) fn put(&mut self, commit: Oid, tip: Oid, answer: bool) {
        self.answers.insert((commit, tip), answer);
        let line = format!("{commit} {tip} {}", if answer { 'y' } else { 'n' });
        let line = format!("{line} {}\n", check_of(&line));
        drop(append(&self.path).and_then(|mut file| file.write_all(line.as_bytes())));
    }
}

fn check_of(line: &str) -> String {
    format!("{:08x}", crc32fast::hash(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_and_what_is_cut_short_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("merged");
        let oid = |digit: &str| digit.repeat(40).parse::<Oid>().unwrap();
        let mut known = Known::read(path.clone());
        known.put(oid("1"), oid("2"), true);
        known.put(oid("1"), oid("3"), false);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 2]).unwrap();
        let known = Known::read(path.clone());
        assert_eq!(known.get(oid("1"), oid("2")), Some(true));
        assert_eq!(known.get(oid("1"), oid("3")), None);
        fs::write(&path, text.replace(" y ", " n ")).unwrap();
        assert_eq!(Known::read(path).get(oid("1"), oid("2")), None);
    }
}
