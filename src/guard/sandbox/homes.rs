//! Which places of a machine are somebody's own, and what of them a tool needs.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::mounts::Mounts;

/// Toolchains under HOME: programs and what they load, no settings and no credentials.
const TOOLCHAINS: [&str; 47] = [
    ".cargo/bin",
    ".rustup",
    ".pyenv",
    ".rbenv",
    ".nodenv",
    ".goenv",
    ".jenv",
    ".nvm",
    ".fnm",
    ".volta",
    ".asdf",
    ".rvm",
    ".sdkman",
    ".bun/bin",
    ".deno/bin",
    ".dotnet",
    ".ghcup",
    ".opam",
    ".elan",
    ".juliaup",
    ".swiftly",
    ".pixi",
    ".npm-global",
    ".npm-packages",
    ".yarn/bin",
    ".poetry",
    ".linuxbrew",
    ".nix-profile",
    ".local/bin",
    ".local/lib",
    ".local/pipx",
    ".local/share/claude",
    ".local/share/fnm",
    ".local/share/mise",
    ".local/share/pipx",
    ".local/share/pnpm",
    ".local/share/rtx",
    ".local/share/uv",
    ".local/state/nix",
    ".opencode/bin",
    "go/bin",
    "go/pkg/mod/golang.org",
    "miniconda3",
    "anaconda3",
    "miniforge3",
    "mambaforge",
    "bin",
];

/// Variables that name the folder of a toolchain.
pub(super) const TOOLCHAIN_VARIABLES: [&str; 22] = [
    "RUSTUP_HOME",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "NODENV_ROOT",
    "GOENV_ROOT",
    "NVM_DIR",
    "NVM_BIN",
    "FNM_DIR",
    "FNM_MULTISHELL_PATH",
    "VOLTA_HOME",
    "ASDF_DIR",
    "ASDF_DATA_DIR",
    "MISE_DATA_DIR",
    "SDKMAN_DIR",
    "JAVA_HOME",
    "GOROOT",
    "DOTNET_ROOT",
    "ANDROID_HOME",
    "CONDA_PREFIX",
    "VIRTUAL_ENV",
    "HOMEBREW_PREFIX",
    "PNPM_HOME",
];

/// Covers what belongs to people and to the running session.
pub(super) fn cover(mounts: &mut Mounts, home: &Path) {
    for place in ["/home", "/root", "/run", "/media", "/mnt"] {
        mounts.hide(Path::new(place));
    }
    if let Some(own) = passwd_home() {
        mounts.hide(&own);
    }
    mounts.hide(home);
    for needed in ["/run/current-system", "/run/opengl-driver", "/home/linuxbrew"] {
        mounts.read_only(Path::new(needed));
    }
    // Often a link into /run; without it no name is resolved.
    mounts.read_only(Path::new("/etc/resolv.conf"));
}

/// Shows again the toolchains: the known ones under HOME, those named by the environment, those on `PATH`, and the
/// folder of the program that is started.
pub(super) fn uncover(
    mounts: &mut Mounts,
    home: &Path,
    env: &[(OsString, OsString)],
    program: Option<&OsString>,
) {
    for toolchain in TOOLCHAINS {
        mounts.read_only(&home.join(toolchain));
    }
    let var = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    for name in TOOLCHAIN_VARIABLES
        .iter()
        .chain(&super::environment::CERTIFICATES)
    {
        if let Some(value) = var(name) {
            show_covered(mounts, home, Path::new(value));
        }
    }
    let path: Vec<PathBuf> = var("PATH").map_or(Vec::new(), |path| std::env::split_paths(path).collect());
    for folder in &path {
        show_covered(mounts, home, folder);
    }
    let program = program.and_then(|program| find(Path::new(program), &path));
    if let Some((named, real)) = program.and_then(|named| Some((named.clone(), named.canonicalize().ok()?))) {
        show_covered(mounts, home, &package_of(&real));
        for link in links(&named) {
            mounts.link(&link);
        }
    }
}

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// The folders of programs: on `PATH`, of toolchains that variables name, and of the program that is started.
pub(super) fn programs(env: &[(OsString, OsString)], program: Option<&OsString>) -> Vec<PathBuf> {
    let var = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let path: Vec<PathBuf> = var("PATH").map_or(Vec::new(), |path| std::env::split_paths(path).collect());
    let started = program.and_then(|program| find(Path::new(program), &path)?.canonicalize().ok());
    let named = TOOLCHAIN_VARIABLES
        .iter()
        .filter_map(|name| var(name).map(PathBuf::from));
    let started = started.iter().map(|program| package_of(program));
    started.chain(named).chain(path.iter().cloned()).collect()
}

/// Shows a folder that lies in a covered place; never a home itself or the root of a covered place.
fn show_covered(mounts: &mut Mounts, home: &Path, folder: &Path) {
    let Ok(real) = folder.canonicalize() else { return };
    let is_home = home.starts_with(&real) || passwd_home().is_some_and(|own| own.starts_with(&real));
    if folder.is_absolute() && !is_home && real.components().count() > 2 && mounts.covers(&real) {
        mounts.read_only(folder);
    }
}

/// A program as it is found.
fn find(program: &Path, path: &[PathBuf]) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned());
    }
    let mut found = path.iter().map(|folder| folder.join(program));
    found.find(|file| file.is_file())
}

/// Every link on the way to a file, in its own folder's real place: the file's own, those of its folders, and those that
/// they lead to.
fn links(path: &Path) -> Vec<PathBuf> {
    let (mut links, mut at) = (Vec::new(), PathBuf::from("/"));
    let mut rest: Vec<OsString> = names(path);
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match std::fs::read_link(&next) {
            Ok(_) if links.len() == MOST_LINKS => return links,
            Ok(target) => {
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest.extend(names(&target));
                links.push(next);
            }
            Err(_) => at = next,
        }
    }
    links
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter(|part| {
        matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::ParentDir
        )
    });
    names.map(|part| part.as_os_str().to_owned()).collect()
}

/// The folder that a program needs whole: the outermost `node_modules` around it, else the one it lies in.
fn package_of(program: &Path) -> PathBuf {
    let modules = program
        .ancestors()
        .filter(|folder| folder.file_name().is_some_and(|name| name == "node_modules"))
        .last();
    modules.or_else(|| program.parent()).unwrap_or(program).to_owned()
}

/// The home that the user database gives this user, which need not be `$HOME`.
fn passwd_home() -> Option<PathBuf> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let uid = rustix::process::getuid().as_raw().to_string();
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    let home = PathBuf::from(line.split(':').nth(5)?);
    // Users of services have `/`, `/bin` or `/usr/...` here, which is nobody's own.
    (home.components().count() > 1
        && !["/bin", "/sbin", "/usr", "/etc", "/dev", "/lib"]
            .iter()
            .any(|s| home.starts_with(s)))
    .then_some(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_on_the_way_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["bin", "real/npm/bin", "real/npm/lib"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("real/npm/lib/run.js"), "").unwrap();
        let link = |from: &str, to: &Path| std::os::unix::fs::symlink(to, root.join(from)).unwrap();
        link("tools", Path::new("real"));
        link("real/npm/bin/codex", Path::new("../lib/run.js"));
        link("bin/codex", &root.join("tools/npm/bin/codex"));
        let found = links(&root.join("bin/codex"));
        assert_eq!(
            found,
            ["bin/codex", "tools", "real/npm/bin/codex"].map(|path| root.join(path))
        );
        link("round", Path::new("round"));
        assert_eq!(links(&root.join("round")).len(), MOST_LINKS);
    }

    #[test]
    fn a_package_is_shown_whole() {
        let cli = Path::new("/h/n/lib/node_modules/@a/cli/node_modules/x/bin/run.js");
        assert_eq!(package_of(cli), Path::new("/h/n/lib/node_modules"));
        assert_eq!(package_of(Path::new("/opt/b/brain")), Path::new("/opt/b"));
    }
}
