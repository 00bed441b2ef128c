//! What a sandboxed process sees of the file system, as an ordered list of mounts.
//!
//! Starts from the whole machine read-only, covers the places where people keep what is theirs (HOME, other homes,
//! temp and run folders), then uncovers, by exact path, what the task needs. The deepest path decides; of equal
//! paths the more restrictive one. Pure but for looking up which paths exist and where links lead.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// One mount; the order of the variants is their order on equal paths, the last one decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A link, for a path whose own name is a link in a covered folder.
    Link(PathBuf),
    /// The host's path, writable.
    Writable(PathBuf),
    /// The host's path, read-only.
    ReadOnly(PathBuf),
    /// An empty folder in memory.
    Empty,
    /// An empty folder in memory in which only what is mounted there can be written.
    Sealed,
    /// An empty file that swallows what is written.
    Void,
}

/// The mounts of one sandbox.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    list: Vec<(PathBuf, Kind)>,
}

impl Mounts {
    /// Shows `path` writable at its own place, where it exists.
    pub(super) fn writable(&mut self, path: &Path) {
        self.show(path, Kind::Writable);
    }

    /// Shows `path` read-only at its own place, where it exists.
    pub(super) fn read_only(&mut self, path: &Path) {
        self.show(path, Kind::ReadOnly);
    }

    /// Shows the link at `path` where it lies in something covered: it leads on as outside, and shows nothing by itself.
    pub(super) fn link(&mut self, path: &Path) {
        if let (true, Ok(real)) = (path.is_symlink() && self.covers(path), path.canonicalize()) {
            self.list.push((path.to_owned(), Kind::Link(real)));
        }
    }

    /// Shows the host's `source` at `place`.
    pub(super) fn place(&mut self, source: &Path, place: &Path, writable: bool) {
        let source = source.to_owned();
        let kind = if writable {
            Kind::Writable(source)
        } else {
            Kind::ReadOnly(source)
        };
        self.list.push((place.to_owned(), kind));
    }

    /// Covers `path` with nothing, where it exists.
    pub(super) fn hide(&mut self, path: &Path) {
        let Ok(real) = path.canonicalize() else { return };
        if real == Path::new("/") {
            return;
        }
        let kind = if real.is_dir() { Kind::Empty } else { Kind::Void };
        self.list.push((real, kind));
    }

    /// Covers `path` with nothing that can be written: what a process leaves there must not seem to have arrived.
    pub(super) fn seal(&mut self, path: &Path) {
        match path.canonicalize() {
            Ok(real) if real.is_dir() && real != Path::new("/") => self.list.push((real, Kind::Sealed)),
            _ => self.hide(path),
        }
    }

    /// True if `path` is a mount itself.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.list.iter().any(|(place, _)| place == path)
    }

    /// True if something in `folder`, or a folder around it, is shown by a mount.
    pub(super) fn shows_within(&self, folder: &Path) -> bool {
        let is_shown = |kind: &Kind| matches!(kind, Kind::Writable(_) | Kind::ReadOnly(_) | Kind::Link(_));
        self.list
            .iter()
            .any(|(place, kind)| is_shown(kind) && (place.starts_with(folder) || folder.starts_with(place)))
    }

    /// True if `path` lies in something covered and is not shown by a mount of its own or above it.
    pub(super) fn covers(&self, path: &Path) -> bool {
        let deepest = self
            .list
            .iter()
            .filter(|(place, _)| path.starts_with(place))
            .max_by(|a, b| order(a).cmp(&order(b)));
        deepest.is_some_and(|(place, kind)| match kind {
            Kind::Empty | Kind::Sealed | Kind::Void => true,
            // Another folder stands in for it.
            Kind::Writable(source) | Kind::ReadOnly(source) => source != place,
            Kind::Link(_) => false,
        })
    }

    /// The arguments of bubblewrap, parents before what lies in them.
    pub(super) fn into_args(mut self) -> Vec<OsString> {
        self.list.sort_by(|a, b| order(a).cmp(&order(b)));
        let mut args: Vec<OsString> = Vec::with_capacity(self.list.len() * 3);
        let mut sealed = Vec::new();
        let count = self.list.len();
        for at in 0..count {
            let (place, kind) = &self.list[at];
            // Of equal places the last one decides, and an earlier mount would only be hidden by it.
            if self.list.get(at + 1).is_some_and(|(next, _)| next == place) || self.is_read_only_anyway(at) {
                continue;
            }
            let (option, source) = match kind {
                Kind::Link(target) => ("--symlink", Some(target.as_path())),
                Kind::Writable(source) => ("--bind", Some(source.as_path())),
                Kind::ReadOnly(source) => ("--ro-bind", Some(source.as_path())),
                Kind::Empty | Kind::Sealed => ("--tmpfs", None),
                Kind::Void => ("--dev-bind", Some(Path::new("/dev/null"))),
            };
            args.push(option.into());
            args.extend(source.map(|source| source.as_os_str().to_owned()));
            args.push(place.as_os_str().to_owned());
            if *kind == Kind::Sealed {
                sealed.extend(["--remount-ro".into(), place.as_os_str().to_owned()]);
            }
        }
        // Only now: what is mounted in them needs its mount points made.
        args.extend(sealed);
        args
    }

    /// True if nothing above the mount differs from the machine itself, all of which is read-only; or if the nearest
    /// one above shows the same already. `/dev` and `/proc` are a sandbox's own.
    fn is_read_only_anyway(&self, at: usize) -> bool {
        let (place, kind) = &self.list[at];
        let above = self.list[..at]
            .iter()
            .rev()
            .find(|(other, _)| other != place && place.starts_with(other));
        let shown = |(other, above): &(PathBuf, Kind)| *above == Kind::ReadOnly(other.clone());
        let own = ["/dev", "/proc"].iter().any(|own| place.starts_with(own));
        !own && *kind == Kind::ReadOnly(place.clone()) && above.is_none_or(shown)
    }

    fn show(&mut self, path: &Path, kind: fn(PathBuf) -> Kind) {
        let Ok(real) = path.canonicalize() else { return };
        if real == Path::new("/") {
            return;
        }
        if path.is_symlink() && self.covers(path) {
            self.list.push((path.to_owned(), Kind::Link(real.clone())));
        }
        self.list.push((real.clone(), kind(real)));
    }
}

fn order(mount: &(PathBuf, Kind)) -> (usize, &Path, &Kind) {
    (mount.0.components().count(), &mount.0, &mount.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(mounts: Mounts) -> String {
        let args = mounts.into_args();
        let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn deeper_paths_come_later_and_the_stricter_one_wins() {
        let mut mounts = Mounts::default();
        mounts.place(
            Path::new("/h/u/.b/settings"),
            Path::new("/h/u/.b/settings"),
            false,
        );
        mounts.place(Path::new("/h/u/.b"), Path::new("/h/u/.b"), true);
        mounts.list.push(("/h".into(), Kind::Empty));
        mounts.place(Path::new("/h/x"), Path::new("/h/x"), false);
        mounts.place(Path::new("/h/x"), Path::new("/h/x"), true);
        assert_eq!(
            words(mounts),
            "--tmpfs /h --ro-bind /h/x /h/x --bind /h/u/.b /h/u/.b --ro-bind /h/u/.b/settings /h/u/.b/settings"
        );
    }

    #[test]
    fn what_is_sealed_closes_when_all_is_in_place() {
        let mut mounts = Mounts::default();
        mounts.list.push(("/h/repo".into(), Kind::Sealed));
        mounts.place(
            Path::new("/h/repo/.git/objects"),
            Path::new("/h/repo/.git/objects"),
            false,
        );
        mounts.list.push(("/h".into(), Kind::Empty));
        assert!(mounts.covers(Path::new("/h/repo/a")));
        assert_eq!(
            words(mounts),
            "--tmpfs /h --tmpfs /h/repo --ro-bind /h/repo/.git/objects /h/repo/.git/objects --remount-ro /h/repo"
        );
    }

    #[test]
    fn what_is_read_only_anyway_is_no_mount() {
        let mut mounts = Mounts::default();
        for place in ["/x", "/dev/kvm", "/h/t", "/h/t/u", "/h/t/w", "/h/t/w/u"] {
            mounts.place(Path::new(place), Path::new(place), place == "/h/t/w");
        }
        mounts.list.push(("/h".into(), Kind::Empty));
        assert_eq!(
            words(mounts),
            "--tmpfs /h --ro-bind /dev/kvm /dev/kvm --ro-bind /h/t /h/t --bind /h/t/w /h/t/w --ro-bind /h/t/w/u /h/t/w/u"
        );
    }

    #[test]
    fn covered_is_what_the_deepest_mount_covers() {
        let mut mounts = Mounts::default();
        mounts.list.push(("/h".into(), Kind::Empty));
        mounts.place(Path::new("/h/u/repo"), Path::new("/h/u/repo"), true);
        assert!(mounts.covers(Path::new("/h/u/.ssh")));
        assert!(!mounts.covers(Path::new("/h/u/repo/src")));
        assert!(!mounts.covers(Path::new("/usr")));
    }
}
