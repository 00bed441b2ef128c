//! Which untracked files are ignored, and which tracked files git may hold in another form than the disk.
//!
//! Rules come from `info/exclude`, `core.excludesFile` and every `.gitignore`, and from the attribute files of
//! the same places. They form a chain from a folder up to the top; a folder without such files adds nothing.
//! Attributes are judged on the safe side: a pattern that converts anywhere counts, whatever overrides it.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use gix::{
    attrs::{StateRef, parse::Kind as Line},
    glob::{
        Pattern,
        pattern::Case,
        search::pattern::{List, Mapping},
        wildmatch,
    },
    ignore::search::Ignore,
};

use super::sources::Sources;

/// Attribute and ignore files are read up to here.
pub(super) const RULES_LIMIT: u64 = 8 << 20;

/// In what way git's copy of a file may differ from the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Conversion {
    /// Not at all.
    None,
    /// Line ends or `$Id$`: any difference shows in the size.
    Size,
    /// A filter or an encoding: only reading tells.
    Any,
}

/// The rules that hold in a folder.
#[derive(Debug, Default)]
pub(super) struct Rules {
    parent: Option<Arc<Rules>>,
    base: BString,
    ignore: Vec<List<Ignore>>,
    attributes: Vec<(Pattern, Conversion)>,
    macros: Vec<(BString, Conversion)>,
    everywhere: Option<Conversion>,
    case: Case,
}

impl Rules {
    /// The rules above the top folder.
    pub(super) fn top(sources: &Sources) -> Arc<Self> {
        let mut rules = Self {
            ignore: vec![
                parse_ignore(&sources.exclude, b""),
                parse_ignore(&sources.user_exclude, b""),
            ],
            everywhere: sources.autocrlf.then_some(Conversion::Size),
            case: if sources.ignore_case {
                Case::Fold
            } else {
                Case::Sensitive
            },
            ..Self::default()
        };
        for bytes in &sources.attributes {
            rules.add_attributes(bytes);
        }
        Arc::new(rules)
    }

    /// The rules of the folder `path`, given its own `.gitignore` and attribute files.
    pub(super) fn below(
        self: &Arc<Self>,
        path: &[u8],
        ignore: Option<&[u8]>,
        attributes: &[Vec<u8>],
    ) -> Arc<Self> {
        if ignore.is_none() && attributes.is_empty() {
            return Arc::clone(self);
        }
        let mut base = BString::from(path);
        if !base.is_empty() {
            base.push(b'/');
        }
        let mut rules = Self {
            parent: Some(Arc::clone(self)),
            ignore: ignore
                .map(|bytes| parse_ignore(bytes, &base))
                .into_iter()
                .collect(),
            base,
            case: self.case,
            ..Self::default()
        };
        for bytes in attributes {
            rules.add_attributes(bytes);
        }
        Arc::new(rules)
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |rules| rules.parent.as_deref())
    }

    /// Whether an untracked name in this folder is ignored. The folders above are known not to be.
    pub(super) fn ignores(&self, path: &[u8], folder: bool) -> bool {
        let path = path.as_bstr();
        let name = path.rfind_byte(b'/').map(|at| at + 1);
        self.chain()
            .flat_map(|rules| &rules.ignore)
            .find_map(|list| {
                gix::ignore::search::pattern_matching_relative_path(list, path, name, Some(folder), self.case)
            })
            .is_some_and(|found| !found.pattern.is_negative())
    }

    /// In what way git's copy of a tracked file may differ from the disk.
    pub(super) fn conversion(&self, path: &[u8]) -> Conversion {
        let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
        let path = path.as_bstr();
        let mut found = Conversion::None;
        for rules in self.chain() {
            found = found.max(rules.everywhere.unwrap_or(Conversion::None));
            let Some(relative) = path.strip_prefix(rules.base.as_slice()) else {
                continue;
            };
            let relative = BStr::new(relative);
            let name = relative.rfind_byte(b'/').map(|at| at + 1);
            for (pattern, conversion) in &rules.attributes {
                if *conversion > found
                    && pattern.matches_repo_relative_path(relative, name, Some(false), self.case, mode)
                {
                    found = *conversion;
                }
            }
        }
        found
    }

    fn add_attributes(&mut self, bytes: &[u8]) {
        for line in gix::attrs::parse(bytes).flatten() {
            let (kind, assignments, _) = line;
            let conversion = assignments
                .flatten()
                .map(|it| self.converts(it.name.as_str().as_bytes(), it.state))
                .max()
                .unwrap_or(Conversion::None);
            match kind {
                _ if conversion == Conversion::None => {}
                Line::Pattern(pattern) => self.attributes.push((pattern, conversion)),
                Line::Macro(name) => self.macros.push((name.as_ref().as_str().into(), conversion)),
            }
        }
    }

    fn converts(&self, name: &[u8], state: StateRef<'_>) -> Conversion {
        if matches!(state, StateRef::Unset | StateRef::Unspecified) {
            return Conversion::None;
        }
        match name {
            b"filter" | b"working-tree-encoding" => Conversion::Any,
            b"text" | b"eol" | b"crlf" | b"ident" => Conversion::Size,
            _ => self
                .chain()
                .flat_map(|rules| &rules.macros)
                .filter(|(known, _)| known == name)
                .map(|(_, conversion)| *conversion)
                .max()
                .unwrap_or(Conversion::None),
        }
    }
}

fn parse_ignore(bytes: &[u8], base: &[u8]) -> List<Ignore> {
    List {
        patterns: gix::ignore::parse(bytes, false)
            .map(|(pattern, sequence_number, value)| Mapping {
                pattern,
                value,
                sequence_number,
            })
            .collect(),
        source: None,
        base: (!base.is_empty()).then(|| base.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(exclude: &str, attributes: &str) -> Arc<Rules> {
        Rules::top(&Sources {
            exclude: exclude.into(),
            attributes: vec![attributes.into()],
            ..Sources::default()
        })
    }

    #[test]
    fn the_nearest_ignore_file_wins() {
        let top = top("*.log\n/build/\n", "");
        let below = top.below(b"sub", Some(b"!keep.log\n/only-here\n"), &[]);
        assert!(top.ignores(b"a.log", false) && top.ignores(b"sub/x.log", false));
        assert!(top.ignores(b"build", true) && !top.ignores(b"build", false));
        assert!(!below.ignores(b"sub/keep.log", false) && below.ignores(b"sub/other.log", false));
        assert!(below.ignores(b"sub/only-here", false) && !below.ignores(b"sub/deep/only-here", false));
    }

    #[test]
    fn conversions_are_judged_on_the_safe_side() {
        let top = top(
            "",
            "[attr]big filter=lfs -text\n*.png big\n*.txt text=auto\n*.bin -text -filter\n",
        );
        let below = top.below(b"sub", None, &[b"*.c ident\n*.png -filter\n".to_vec()]);
        assert_eq!(top.conversion(b"sub/a.png"), Conversion::Any);
        assert_eq!(below.conversion(b"sub/a.png"), Conversion::Any);
        assert_eq!(below.conversion(b"sub/deep/a.txt"), Conversion::Size);
        assert_eq!(below.conversion(b"sub/a.c"), Conversion::Size);
        assert_eq!(top.conversion(b"a.bin"), Conversion::None);
    }
}
