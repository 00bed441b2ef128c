//! The refs of the user's repository that a clone gets to see: heads, remotes, tags.
//!
//! Read as files, since a clone with twenty thousand refs must start within milliseconds; the repository's own
//! folder is trusted, and its ref storage was checked before. Refs of khlone, notes and the stash are not shown.

use std::{collections::BTreeMap, io, path::Path};

use super::refnames::{self, Packed, is_hex_oid, is_ref_name};

const SHOWN: [&str; 3] = ["refs/heads/", "refs/remotes/", "refs/tags/"];

/// Refs as they will be packed for a clone.
#[derive(Debug)]
pub(super) struct MainRefs {
    /// The text of the repository's `packed-refs`.
    packed: String,
    /// Loose refs, which override packed ones.
    loose: BTreeMap<String, String>,
    /// Refs that name another ref.
    symbolic: BTreeMap<String, String>,
    /// Refs besides, which are overridden by both.
    added: BTreeMap<String, String>,
}

impl MainRefs {
    /// Reads those of the repository at `common`.
    ///
    /// # Errors
    /// When its folders cannot be read.
    pub(super) fn read(common: &Path) -> io::Result<Self> {
        let packed = match std::fs::read(common.join("packed-refs")) {
            Ok(bytes) => refnames::text(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut refs = Self {
            packed,
            loose: BTreeMap::new(),
            symbolic: BTreeMap::new(),
            added: BTreeMap::new(),
        };
        for prefix in SHOWN {
            refs.walk(&common.join(prefix), prefix)?;
        }
        Ok(refs)
    }

    /// Adds a ref that the repository has not.
    pub(super) fn add(&mut self, name: &str, oid: &str) {
        self.added.insert(name.to_owned(), oid.to_owned());
    }

    /// Refs that name another ref, with that name.
    pub(super) fn symbolic(&self) -> impl Iterator<Item = (&str, &str)> {
        self.symbolic
            .iter()
            .map(|(name, target)| (name.as_str(), target.as_str()))
    }

    /// All of them as the text of a `packed-refs` file.
    pub(super) fn packed(&self) -> String {
        let packed = refnames::packed(&self.packed);
        let packed: Vec<Packed<'_>> = packed
            .into_iter()
            .filter(|entry| SHOWN.iter().any(|prefix| entry.name().starts_with(prefix)))
            .collect();
        // What goes before the packed ones, by name; a symbolic one only takes the place of what is packed.
        let loose = self.loose.iter().map(|(name, oid)| (name, Some(oid)));
        let symbolic = self.symbolic.keys().map(|name| (name, None));
        let added = self
            .added
            .iter()
            .filter(|(name, _)| !collides(name, &packed, &self.loose));
        let mut over: BTreeMap<&String, Option<&String>> =
            added.map(|(name, oid)| (name, Some(oid))).collect();
        over.extend(loose.chain(symbolic));
        let mut text = String::with_capacity(self.packed.len() + 100 * over.len() + 64);
        text.push_str(self.header());
        let mut over = over.into_iter().peekable();
        for entry in &packed {
            let mut replaced = false;
            while let Some((name, oid)) = over.next_if(|(name, _)| name.as_str() <= entry.name()) {
                replaced = name == entry.name();
                push(&mut text, name, oid);
            }
            if replaced {
                continue;
            }
            text.push_str(entry.line());
            text.push('\n');
            if let Some(peeled) = entry.peeled {
                text.extend(["^", peeled, "\n"]);
            }
        }
        for (name, oid) in over {
            push(&mut text, name, oid);
        }
        text
    }

    /// "peeled" promises that every tag object comes with what it peels to, which is not known of loose ones.
    fn header(&self) -> &'static str {
        let first = self.packed.lines().next();
        let peeled = first.is_some_and(|line| line.starts_with('#') && line.contains("peeled"));
        let mut besides = self.loose.keys().chain(self.added.keys());
        if peeled && !besides.any(|name| name.starts_with("refs/tags/")) {
            "# pack-refs with: peeled sorted \n"
        } else {
            "# pack-refs with: sorted \n"
        }
    }

    fn walk(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let name = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                self.walk(&entry.path(), &format!("{name}/"))?;
            } else if is_ref_name(&name) {
                self.take(name, &entry.path());
            }
        }
        Ok(())
    }

    fn take(&mut self, name: String, file: &Path) {
        // One that is deleted while we look, or damaged, is simply not there.
        let Ok(text) = std::fs::read_to_string(file) else {
            return;
        };
        let text = text.trim_end();
        match text.strip_prefix("ref: ") {
            Some(target) if is_ref_name(target) => drop(self.symbolic.insert(name, target.to_owned())),
            None if is_hex_oid(text) => drop(self.loose.insert(name, text.to_owned())),
            Some(_) | None => {}
        }
    }
}

fn push(text: &mut String, name: &str, oid: Option<&String>) {
    if let Some(oid) = oid {
        text.extend([oid, " ", name, "\n"]);
    }
}

/// True if a ref of that name, above it or below it exists: git cannot hold both.
fn collides(name: &str, packed: &[Packed<'_>], loose: &BTreeMap<String, String>) -> bool {
    let exists = |name: &str| refnames::find(packed, name).is_some() || loose.contains_key(name);
    let above = name.match_indices('/').any(|(at, _)| exists(&name[..at]));
    let below = format!("{name}/");
    let at = packed.partition_point(|other| other.name() < below.as_str());
    let packed_below = packed
        .get(at)
        .is_some_and(|other| other.name().starts_with(&below));
    let loose_below = loose
        .range(below.clone()..)
        .next()
        .is_some_and(|(other, _)| other.starts_with(&below));
    exists(name) || above || packed_below || loose_below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_beats_packed_and_own_ones_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put(
            "packed-refs",
            &format!(
                "# pack-refs with: peeled fully-peeled sorted \n{a} refs/heads/x\n{a} refs/khlone/t\n{a} refs/tags/v\n^{b}\n"
            ),
        );
        put("refs/heads/x", &format!("{b}\n"));
        put("refs/heads/d/e", &format!("{b}\n"));
        put("refs/remotes/origin/HEAD", "ref: refs/remotes/origin/main\n");
        let mut refs = MainRefs::read(dir.path()).unwrap();
        for own in [
            "refs/heads/x",
            "refs/heads/d",
            "refs/heads/x/y",
            "refs/heads/mine",
        ] {
            refs.add(own, &a);
        }
        assert_eq!(
            refs.packed(),
            format!(
                "# pack-refs with: peeled sorted \n{b} refs/heads/d/e\n{a} refs/heads/mine\n{b} refs/heads/x\n{a} refs/tags/v\n^{b}\n"
            )
        );
        assert_eq!(
            refs.symbolic().next(),
            Some(("refs/remotes/origin/HEAD", "refs/remotes/origin/main"))
        );
    }
}
