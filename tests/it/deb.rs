//! The Debian package: what is in it is where git, man and the shells look for it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use git_khlone::process::Cmd;

use crate::{scratch::Scratch, tools};

/// Runs a command to its end, and gives what it says on stdout.
fn output(cmd: Cmd) -> String {
    String::from_utf8(cmd.output().unwrap()).unwrap()
}

#[test]
fn a_package_brings_everything_that_an_installation_has() {
    if !tools::has("dpkg-dev") {
        return;
    }
    let scratch = Scratch::new();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = Cmd::new(top.join("packaging/deb"))
        .arg(env!("CARGO_BIN_EXE_git-khlone"))
        .dir(top)
        .env("CARGO_TARGET_DIR", scratch.path())
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    let package = output(made);
    let package = package.trim();
    let name = format!("/git-khlone_{}_", env!("CARGO_PKG_VERSION"));
    assert!(package.contains(&name), "{package}");

    let field = |name: &str| output(Cmd::new("dpkg-deb").args(["-f", package, name]));
    assert_eq!(field("Version").trim(), env!("CARGO_PKG_VERSION"));
    let depends = field("Depends");
    for wanted in ["libc6 (>= ", "git (>= 1:2.40)"] {
        assert!(depends.contains(wanted), "{depends}");
    }
    let root = scratch.path().join("root");
    output(Cmd::new("dpkg-deb").args(["-x", package]).arg(&root));
    output(
        Cmd::new("dpkg-deb")
            .args(["-e", package])
            .arg(root.join("DEBIAN")),
    );
    output(
        Cmd::new("md5sum")
            .args(["--check", "--strict", "--quiet", "DEBIAN/md5sums"])
            .dir(&root),
    );

    let copyright = fs::read_to_string(root.join("usr/share/doc/git-khlone/copyright")).unwrap();
    for wanted in [
        "MIT License",
        "Apache License",
        "== libgit2-sys ",
        "linking exception",
    ] {
        assert!(
            copyright.to_lowercase().contains(&wanted.to_lowercase()),
            "{wanted}"
        );
    }
    let program = root.join("usr/bin/git-khlone");
    assert_eq!(program.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    // Its own manual and completions are found where the package puts them, so nothing is left to set up.
    for shell in ["bash", "zsh", "fish"] {
        let path = format!(
            "{}:{}",
            program.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let doctor = Cmd::new("git").args(["khlone", "doctor"]).dir(scratch.path());
        let doctor = doctor
            .env("PATH", path)
            .env("HOME", scratch.path())
            .env("SHELL", format!("/bin/{shell}"));
        let report = output(doctor);
        assert!(report.contains("sandbox  "), "{report}");
        assert!(!report.contains("--fix"), "{shell}: {report}");
    }
}
