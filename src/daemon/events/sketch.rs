//! What refs stand at, in a few kilobytes however many there are, from which one who knows what they stand at now can
//! tell which of them have moved, up to some dozens: an invertible Bloom lookup table. Pure.
//!
//! Each entry, a ref and what it stands at, is added to four cells, one in each part. The difference of two sketches
//! has only the entries that differ; a cell that has a single one gives it away, and with it taken out others have a
//! single one. Where too many differ no such cell is left, and that is seen: the answer is none, never a wrong one. The
//! numbers are part of the cursor's form: other ones are another form.

use std::fmt::Write;

/// Cells of a part, and parts. Some 80 entries in 132 cells come apart.
const WIDTH: usize = 33;
const PARTS: usize = 4;
/// Hexadecimal digits of a cell.
const DIGITS: usize = 48;

/// A ref and what it stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) value: u64,
}

impl Entry {
    fn hash(self) -> u64 {
        mix(mix(self.key) ^ self.value)
    }

    fn check(self) -> u32 {
        let mixed = mix(self.hash() ^ 0x5bd1_e995_9e37_79b9);
        u32::try_from(mixed >> 32).unwrap_or(0)
    }

    /// Its cell in each part.
    fn cells(self) -> [usize; PARTS] {
        let mut hash = self.hash();
        let mut part = 0;
        [(); PARTS].map(|()| {
            hash = mix(hash);
            let cell = usize::try_from(hash % WIDTH as u64).unwrap_or(0);
            part += WIDTH;
            part - WIDTH + cell
        })
    }
}

/// The end of splitmix64: every bit of the input counts in every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The entries whose cell this is, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    count: u32,
    key: u64,
    value: u64,
    check: u32,
}

impl Cell {
    fn toggle(&mut self, entry: Entry, by: u32) {
        self.count = self.count.wrapping_add(by);
        self.key ^= entry.key;
        self.value ^= entry.value;
        self.check ^= entry.check();
    }
}

/// What all refs stand at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sketch(Vec<Cell>);

impl Sketch {
    pub(super) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut sketch = Self(vec![Cell::default(); WIDTH * PARTS]);
        for entry in entries {
            sketch.toggle(entry, 1);
        }
        sketch
    }

    fn toggle(&mut self, entry: Entry, by: u32) {
        for at in entry.cells() {
            self.0[at].toggle(entry, by);
        }
    }

    /// The keys of the entries that are in one of two sketches alone; `None` where they are too many to be told.
    pub(super) fn differing(&self, other: &Self) -> Option<Vec<u64>> {
        let cells = self.0.iter().zip(&other.0).map(|(a, b)| Cell {
            count: a.count.wrapping_sub(b.count),
            key: a.key ^ b.key,
            value: a.value ^ b.value,
            check: a.check ^ b.check,
        });
        let mut rest = Self(cells.collect());
        let mut keys = Vec::new();
        // Each entry that comes apart empties a cell; what somebody made up may go on for longer.
        while keys.len() <= WIDTH * PARTS {
            let Some((entry, count)) = rest.single() else {
                let is_all = rest.0.iter().all(|cell| *cell == Cell::default());
                return is_all.then_some(keys);
            };
            rest.toggle(entry, count.wrapping_neg());
            keys.push(entry.key);
        }
        None
    }

    /// An entry that is alone in a cell, with whose it is.
    fn single(&self) -> Option<(Entry, u32)> {
        self.0.iter().enumerate().find_map(|(at, cell)| {
            let Cell {
                count,
                key,
                value,
                check,
            } = *cell;
            let entry = Entry { key, value };
            let is_one = count == 1 || count == 1_u32.wrapping_neg();
            (is_one && entry.check() == check && entry.cells().contains(&at)).then_some((entry, count))
        })
    }

    /// As text.
    pub(super) fn write(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * DIGITS);
        for Cell {
            count,
            key,
            value,
            check,
        } in &self.0
        {
            let _infallible = write!(text, "{count:08x}{key:016x}{value:016x}{check:08x}");
        }
        text
    }

    /// Reads what [`Sketch::write`] has written.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() != WIDTH * PARTS * DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = |at: usize, digits: usize| u64::from_str_radix(text.get(at..at + digits)?, 16).ok();
        let cell = |n: usize| {
            let at = n * DIGITS;
            Some(Cell {
                count: u32::try_from(number(at, 8)?).ok()?,
                key: number(at + 8, 16)?,
                value: number(at + 24, 16)?,
                check: u32::try_from(number(at + 40, 8)?).ok()?,
            })
        };
        (0..WIDTH * PARTS).map(cell).collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(keys: impl IntoIterator<Item = u64>, value: u64) -> impl Iterator<Item = Entry> {
        keys.into_iter().map(move |key| Entry { key, value })
    }

    #[test]
    fn a_few_changes_among_very_many_are_told_and_many_are_not() {
        let old = Sketch::of(entries(0..100_000, 1));
        let new = Sketch::of(entries(0..99_990, 1).chain(entries(99_990..100_005, 2)));
        let mut keys = new.differing(&old).unwrap();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys, (99_990..100_005).collect::<Vec<_>>());
        assert_eq!(old.differing(&old), Some(Vec::new()));
        assert_eq!(Sketch::of(entries(0..90_000, 1)).differing(&old), None);
    }

    #[test]
    fn twenty_changes_are_told_wherever_they_are() {
        for start in 0..500 {
            let keys = || (0..200).map(|n| mix(start * 1000 + n));
            let old = Sketch::of(entries(keys(), 1));
            let new = Sketch::of(entries(keys().skip(20), 1).chain(entries(keys().take(20), 2)));
            assert_eq!(new.differing(&old).map(|keys| keys.len()), Some(40), "{start}");
        }
    }

    #[test]
    fn what_is_made_up_ends() {
        let one = Cell {
            count: 1,
            ..Cell::default()
        };
        for cell in [
            one,
            Cell { check: 7, ..one },
            Cell {
                count: 9,
                key: 3,
                value: 4,
                check: 5,
            },
        ] {
            assert_eq!(Sketch(vec![cell; WIDTH * PARTS]).differing(&Sketch::of([])), None);
        }
    }

    proptest! {
        #[test]
        fn the_answer_is_right_or_none(
            same in proptest::collection::btree_set(any::<u64>(), 0..300),
            gone in proptest::collection::btree_set(any::<u64>(), 0..60),
            came in proptest::collection::btree_set(any::<u64>(), 0..60),
        ) {
            let old = Sketch::of(entries(same.iter().chain(&gone).copied(), 1));
            let new = Sketch::of(entries(same.iter().copied(), 1).chain(entries(came.iter().copied(), 2)));
            let told = new.differing(&Sketch::read(&old.write()).unwrap());
            if let Some(mut told) = told {
                told.sort_unstable();
                let mut differ: Vec<_> = gone.into_iter().chain(came).collect();
                differ.sort_unstable();
                prop_assert_eq!(told, differ);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}|[0-9a-f]{6336}") {
            if let Some(sketch) = Sketch::read(&text) {
                let _none = sketch.differing(&Sketch::of([]));
                prop_assert_eq!(sketch.write(), text);
            }
        }
    }
}
