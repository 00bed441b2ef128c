//! Deltas in a pack: what keeps fifty versions of one large folder small.
//!
//! A tree is compared entry by entry, a file line by line, with an earlier object of the same pack that looks like
//! its last version: one that begins (and, of a tree, ends) alike. A wrong guess costs space, never content: the
//! format is git's own (`gitformat-pack(5)`), and a delta that saves less than half is not used.

use std::collections::HashMap;

use super::Kind;

/// Objects outside these sizes are stored whole.
const SIZES: std::ops::Range<usize> = 128..256 << 10;
/// So many bytes of earlier objects are remembered.
const MEMORY: usize = 4 << 20;
/// The longest chain of deltas, as git's own default.
const DEPTH: u8 = 50;
/// How much of a file's beginning must be alike.
const BEGINNING: usize = 48;
/// Longer lines are cut.
const PIECE: usize = 4096;
/// A shorter piece costs more to copy than to write.
const WORTH: usize = 8;

/// The objects of a pack that a later one may be built on.
#[derive(Debug, Default)]
pub(super) struct Bases {
    by_looks: HashMap<Vec<u8>, Base>,
    size: usize,
}

#[derive(Debug)]
struct Base {
    bytes: Vec<u8>,
    offset: u64,
    depth: u8,
}

impl Bases {
    /// A delta for an object and the offset of what it is built on; the object at `offset` is remembered.
    pub(super) fn compress(&mut self, kind: Kind, bytes: &[u8], offset: u64) -> Option<(u64, Vec<u8>)> {
        let looks = looks(kind, bytes)?;
        let mut depth = 0;
        let mut found = None;
        if let Some(base) = self.by_looks.get(&looks).filter(|base| base.depth < DEPTH)
            && let Some(delta) = delta(kind, &base.bytes, bytes)
        {
            depth = base.depth + 1;
            found = Some((base.offset, delta));
        }
        if self.size + bytes.len() > MEMORY {
            self.by_looks.clear();
            self.size = 0;
        }
        self.size += bytes.len();
        let bytes = bytes.to_vec();
        if let Some(old) = self.by_looks.insert(looks, Base { bytes, offset, depth }) {
            self.size = self.size.saturating_sub(old.bytes.len());
        }
        found
    }
}

/// What an object and its next version have in common; none for what is never built on.
fn looks(kind: Kind, bytes: &[u8]) -> Option<Vec<u8>> {
    if !SIZES.contains(&bytes.len()) {
        return None;
    }
    match kind {
        Kind::Blob => Some(bytes[..bytes.len().min(BEGINNING)].to_vec()),
        Kind::Tree => {
            let name = |entry: &[u8]| entry.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
            let (first, last) = (pieces(kind, bytes).next()?, pieces(kind, bytes).last()?);
            Some([name(first)?, vec![0], name(last)?].concat())
        }
        Kind::Commit | Kind::Tag => None,
    }
}

/// The entries of a tree, the lines of anything else.
fn pieces(kind: Kind, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match kind {
            Kind::Tree => rest.iter().position(|byte| *byte == 0).map(|nul| nul + 21),
            Kind::Blob | Kind::Commit | Kind::Tag => rest
                .iter()
                .take(PIECE)
                .position(|byte| *byte == b'\n')
                .map(|end| end + 1),
        };
        let (piece, after) = rest.split_at(end.unwrap_or(PIECE).min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// `target` in terms of `base`, if that saves at least half of it.
fn delta(kind: Kind, base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut places = HashMap::new();
    let mut at = 0;
    for piece in pieces(kind, base) {
        places.entry(piece).or_insert(at);
        at += piece.len();
    }
    let mut out = Vec::new();
    size(base.len(), &mut out);
    size(target.len(), &mut out);
    let (mut copy, mut fresh) = (0..0, Vec::new());
    for piece in pieces(kind, target) {
        if copy.start < copy.end && base[copy.end..].starts_with(piece) {
            copy.end += piece.len();
            continue;
        }
        emit_copy(&mut copy, &mut out);
        match places.get(piece) {
            Some(&from) if piece.len() >= WORTH => {
                emit_fresh(&mut fresh, &mut out);
                copy = from..from + piece.len();
            }
            _ => fresh.extend_from_slice(piece),
        }
        if out.len() + fresh.len() > target.len() / 2 {
            return None;
        }
    }
    emit_copy(&mut copy, &mut out);
    emit_fresh(&mut fresh, &mut out);
    (out.len() <= target.len() / 2).then_some(out)
}

fn emit_fresh(fresh: &mut Vec<u8>, out: &mut Vec<u8>) {
    for chunk in fresh.chunks(127) {
        out.push(low(chunk.len()));
        out.extend_from_slice(chunk);
    }
    fresh.clear();
}

fn emit_copy(copy: &mut std::ops::Range<usize>, out: &mut Vec<u8>) {
    while copy.start < copy.end {
        let length = (copy.end - copy.start).min(0xffff);
        let command = out.len();
        out.push(0x80);
        for (number, bits) in [(copy.start, 0..4), (length, 4..6)] {
            let first = bits.start;
            for bit in bits {
                let byte = low(number >> (8 * (bit - first)));
                if byte != 0 {
                    out[command] |= 1 << bit;
                    out.push(byte);
                }
            }
        }
        copy.start += length;
    }
    *copy = 0..0;
}

/// Seven bits a byte, the lowest first.
fn size(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(low(number) | 0x80);
        number >>= 7;
    }
    out.push(low(number));
}

fn low(number: usize) -> u8 {
    u8::try_from(number & 0xff).unwrap_or(0)
}

/// How far back a base lies, as a pack's entry writes it: seven bits a byte, the highest first, each further byte
/// counting from one.
pub(super) fn distance(mut number: u64) -> Vec<u8> {
    let byte = |number: u64| u8::try_from(number & 0x7f).unwrap_or(0);
    let mut bytes = vec![byte(number)];
    number >>= 7;
    while number > 0 {
        number -= 1;
        bytes.push(byte(number) | 0x80);
        number >>= 7;
    }
    bytes.reverse();
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        process::Cmd,
        refs::{ObjectSink, Pack, tests::scratch},
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn git_reads_every_version(edits in prop::collection::vec((0..400_usize, "[a-z]{0,30}"), 1..40)) {
            let (_dir, repo, site) = scratch();
            let mut pack = Pack::begin(&site).unwrap();
            let mut lines: Vec<String> = (0..400).map(|n| format!("line number {n}")).collect();
            let mut wanted = Vec::new();
            for (at, text) in edits {
                let mut entries: Vec<_> = lines.iter().enumerate().map(|(n, line)| super::super::TreeEntry {
                    mode: 0o100_644, name: format!("f{n:04}").into_bytes(), oid: Kind::Blob.hash(line.as_bytes()).unwrap(),
                }).collect();
                for (kind, bytes) in [(Kind::Blob, lines.join("\n").into_bytes()), (Kind::Tree, super::super::encode_tree(&mut entries))] {
                    wanted.push((kind, pack.put(kind, &bytes).unwrap(), bytes));
                }
                lines[at] = text;
            }
            pack.publish().unwrap();
            let list: String = wanted.iter().map(|(_, oid, _)| format!("{oid}\n")).collect();
            let said = Cmd::git(repo.common_dir()).args(["cat-file", "--batch"]).input(list).output().unwrap();
            let whole: Vec<u8> = wanted.iter().flat_map(|(kind, oid, bytes)| {
                let word = if *kind == Kind::Blob { "blob" } else { "tree" };
                [format!("{oid} {word} {}\n", bytes.len()).as_bytes(), bytes, b"\n"].concat()
            }).collect();
            prop_assert!(said == whole);
        }
    }
}
