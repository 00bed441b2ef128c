//! The machine's unix sockets that stand outside of the covered places.
//!
//! A read-only mount does not keep a process from connecting to a socket, and neither does a network namespace of its
//! own where the socket has a path. So what is bound when a sandbox starts is covered: the folder it stands in, so that
//! one bound anew in it is covered too; the socket alone where the folder is also needed for something else. The folders
//! of well-known services are covered in any case.
//!
//! Not covered: a socket bound later in a folder that held none, and one that a process of another network namespace
//! bound (a container's), unless a service's folder holds it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::{Path, PathBuf},
};

use super::mounts::Mounts;

/// Where services keep their state, sockets among it; nothing that a task needs.
const SERVICES: [&str; 14] = [
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/incus",
    "/var/lib/libvirt",
    "/var/lib/lxc",
    "/var/lib/lxd",
    "/var/lib/mysql",
    "/var/lib/postgresql",
    "/var/lib/private",
    "/var/lib/samba",
    "/var/snap/lxd",
    "/var/snap/microk8s",
    "/var/spool",
];
/// The sandbox has its own.
const OWN: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Programs and settings of the system: of these, a socket alone is covered.
const SYSTEM: [&str; 10] = [
    "/bin", "/boot", "/etc", "/gnu", "/lib", "/lib64", "/nix", "/sbin", "/snap", "/usr",
];

/// Covers the sockets that are bound now. `needed` are paths that must stay to be seen besides those already shown.
pub(super) fn cover(mounts: &mut Mounts, needed: &[PathBuf]) {
    for folder in SERVICES {
        let folder = Path::new(folder);
        if !is_needed(mounts, folder, needed) {
            mounts.seal(folder);
        }
    }
    let table = std::fs::read("/proc/net/unix").unwrap_or_default();
    let is_socket = |path: &Path| path.metadata().is_ok_and(|meta| meta.file_type().is_socket());
    for path in paths(&table) {
        if let Ok(real) = path.canonicalize()
            && is_socket(&real)
        {
            cover_one(mounts, &real, needed);
        }
    }
}

fn cover_one(mounts: &mut Mounts, socket: &Path, needed: &[PathBuf]) {
    let is_own = OWN.iter().any(|own| socket.starts_with(own));
    // Named by itself, it is meant to be reached.
    if is_own || mounts.covers(socket) || mounts.has(socket) {
        return;
    }
    let Some(folder) = socket.parent() else { return };
    if is_needed(mounts, folder, needed) {
        mounts.hide(socket);
    } else {
        mounts.seal(folder);
    }
}

/// Whether `folder` holds, or lies in, something that must be seen.
fn is_needed(mounts: &Mounts, folder: &Path, needed: &[PathBuf]) -> bool {
    let is_broad =
        folder.components().count() <= 2 || matches!(folder.to_str(), Some("/var/lib" | "/var/run"));
    let is_system = SYSTEM.iter().any(|system| folder.starts_with(system));
    is_broad
        || is_system
        || mounts.shows_within(folder)
        || needed
            .iter()
            .any(|path| path.starts_with(folder) || folder.starts_with(path))
}

/// The paths in a table of the form of `/proc/net/unix`. Listed are those that listen and those that take datagrams;
/// the accepted ends of a connection have the path of the one that listens.
fn paths(table: &[u8]) -> BTreeSet<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let mut rest = line;
            for _ in 0..7 {
                rest = rest.trim_ascii_start();
                let end = rest.iter().position(|byte| *byte == b' ')?;
                rest = &rest[end..];
            }
            let path = rest.get(1..).filter(|path| path.starts_with(b"/"))?;
            Some(PathBuf::from(OsStr::from_bytes(path)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 4242 /srv/my app/s
0000000000000000: 00000003 00000000 00000000 0001 03    7
0000000000000000: 00000002 00000000 00000000 0002 01 99999 @abstract
0000000000000000: 00000002 00000000 00000000 0002 01 99999 relative/s
0000000000000000: 00000002 00000000 00000000 0002 01    12 /opt/d
";

    #[test]
    fn paths_are_read_whole() {
        let found = paths(TABLE);
        assert_eq!(found, BTreeSet::from(["/opt/d".into(), "/srv/my app/s".into()]));
        assert_eq!(paths(b""), BTreeSet::new());
        assert_eq!(paths(b"x\n1 2\n\n        \n"), BTreeSet::new());
    }

    #[test]
    fn a_folder_is_covered_unless_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let bind = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            path
        };
        let (alone, twin) = (bind("alone/s"), bind("alone/t"));
        let (in_tree, beside) = (bind("repo/sub/s"), bind("tools/s"));
        let mut mounts = Mounts::default();
        mounts.place(&root.join("repo"), &root.join("repo"), true);
        let needed = [root.join("tools/bin/cc")];
        for socket in [&alone, &twin, &in_tree, &beside] {
            cover_one(&mut mounts, socket, &needed);
        }
        for socket in [&alone, &twin, &in_tree, &beside] {
            assert!(mounts.covers(socket), "{}", socket.display());
        }
        assert!(mounts.covers(&root.join("alone")) && !mounts.has(&twin));
        assert!(!mounts.covers(&root.join("repo/sub")) && !mounts.covers(&root.join("tools")));
        let mut named = Mounts::default();
        named.read_only(&alone);
        cover_one(&mut named, &alone, &[]);
        assert!(!named.covers(&alone), "what the user names stays");
    }
}
