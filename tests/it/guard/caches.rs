//! Caches of package managers that a sandbox writes, the user's own being read only.

use git_khlone::guard::sandbox::{
    caches,
    environment::{Environment, Wanted},
};

use super::Stage;
use crate::tools;

/// What builds of the usual kinds do when they meet a dependency for the first time, with nothing but local files.
const BUILDS: [(&str, &str); 4] = [
    (
        "cargo",
        "cargo init -q --lib --name dep dep; git init -q dep; git -C dep add -A; git -C dep -c user.name=x -c user.email=x commit -qm dep
         cargo init -q --vcs none --name app app; cd app; printf 'dep = { git = \"file://%s\" }\\n' \"$(cd ../dep; pwd)\" >> Cargo.toml
         cargo build -q --offline 2>/dev/null || cargo build -q; test -x target/debug/app; test -d \"$CARGO_HOME/git/db\"",
    ),
    (
        "npm",
        "mkdir p q; printf '{\"name\":\"p\",\"version\":\"1.0.0\"}' > p/package.json; printf '{\"name\":\"q\",\"version\":\"1.0.0\"}' > q/package.json
         (cd p; npm pack --silent >/dev/null); cd q; npm install --silent --no-audit --no-fund --offline ../p/p-1.0.0.tgz; rm -rf node_modules
         npm ci --silent --no-audit --no-fund --offline; test -d node_modules/p; test -d \"$npm_config_cache/_cacache\"",
    ),
    (
        "env -- go version >/dev/null; python3",
        "mkdir -p proxy/example.com/dep/@v app; cd proxy/example.com/dep/@v; echo v1.0.0 > list; echo '{\"Version\":\"v1.0.0\"}' > v1.0.0.info
         printf 'module example.com/dep\n' > v1.0.0.mod; (python3 -c 'import zipfile; z = zipfile.ZipFile(\"v1.0.0.zip\", \"w\"); p = \"example.com/dep@v1.0.0/\"; z.writestr(p + \"go.mod\", \"module example.com/dep\\n\"); z.writestr(p + \"d.go\", \"package dep\\nfunc A() int { return 1 }\\n\"); z.close()')
         cd ../../../..; export GOPROXY=$(echo file://$PWD/proxy | sed 's/ /%20/g') GOSUMDB=off; cd app; printf 'module app\n' > go.mod; printf 'package main\nimport \"example.com/dep\"\nfunc main() { println(dep.A()) }\n' > main.go
         go get example.com/dep@v1.0.0; go build -o out .; test -x out; test -d \"$GOMODCACHE/example.com\"; go clean -modcache",
    ),
    (
        "python3 -m pip",
        "mkdir w; cd w; mkdir x-1.0.dist-info; echo 'A = 1' > x.py; printf 'Metadata-Version: 2.1\\nName: x\\nVersion: 1.0\\n' > x-1.0.dist-info/METADATA
         printf 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n' > x-1.0.dist-info/WHEEL; : > x-1.0.dist-info/RECORD
         python3 -m zipfile -c ../x-1.0-py3-none-any.whl x.py x-1.0.dist-info; cd ..; python3 -m venv v; v/bin/pip install -q --no-index ./x-1.0-py3-none-any.whl; v/bin/python -c 'import x'",
    ),
];

#[test]
fn toolchains_build_with_new_dependencies() {
    let Some(mut stage) = Stage::new() else { return };
    let caches = stage.scratch.path().join("khlone home/cache/site");
    let home = stage.scratch.path().join("home");
    stage.confinement.read_only = caches::prepare(&caches, &home).unwrap();
    stage.confinement.writable = vec![caches.clone()];
    let wanted = Wanted {
        caches: Some(&caches),
        set: &[("HOME", home.as_os_str())],
        ..Wanted::default()
    };
    let mut host: Vec<_> = std::env::vars_os().collect();
    // These tests have a HOME of their own; the toolchain's folder is found by name then.
    if let (None, Some(real)) = (std::env::var_os("RUSTUP_HOME"), std::env::home_dir()) {
        host.push(("RUSTUP_HOME".into(), real.join(".rustup").into()));
    }
    stage.confinement.env = Environment::build(host, &wanted).vars;
    for (tool, script) in BUILDS {
        if stage
            .inside(&format!("set -e; {tool} --version"))
            .status
            .success()
        {
            stage.brain(&format!("set -e\n{script}"));
        } else {
            tools::skip(&format!("`{tool} --version` does not work in the sandbox"));
        }
    }
    let planted =
        stage.inside("echo x >> \"$CARGO_HOME/config.toml\" || echo x > \"$NPM_CONFIG_USERCONFIG\"");
    assert!(!planted.status.success(), "settings of the tools can be written");
}
