//! What a hostile brain tries, and what must be left of it: nothing outside its worktree has changed, nothing that it
//! planted has run on the host, nothing of it runs any more.
//!
//! Every attack is a shell script that runs as a brain does. Planted commands create a file in `$OWNED`, a folder
//! that does not exist inside: if one stands there afterwards, the host ran it.

use std::{
    collections::BTreeMap,
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::PermissionsExt,
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
};

use git_khlone::guard::{
    gitdir::{
        commit::{CommitPlan, Identity, commit},
        import::import,
    },
    sandbox::{Network, survivors::marked},
};

use super::Stage;

/// Every file below a folder with its mode and content, but for what is below `own`.
fn manifest(folder: &Path, own: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path == own {
                continue;
            }
            let data = path.symlink_metadata().unwrap();
            let content = if data.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if data.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            if data.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (data.permissions().mode(), content));
        }
    }
    found
}

/// The stage with things worth attacking around it.
struct Siege {
    stage: Stage,
    root: PathBuf,
    owned: tempfile::TempDir,
    _sockets: [UnixListener; 2],
    _in_tmp: tempfile::NamedTempFile,
}

impl Siege {
    fn new() -> Option<Self> {
        let mut stage = Stage::new()?;
        let root = stage.scratch.path();
        let home = root.join("home");
        for (name, text) in [
            (".ssh/id_ed25519", "canary-key"),
            (".bashrc", "canary"),
            (".gitconfig", "[user]\n\tname = canary\n"),
            (".config/git/config", ""),
            (".claude/settings.json", "{}"),
            (".khlone/trust/x.json", "{}"),
            (".local/share/keyrings/k", "canary-key"),
        ] {
            let path = home.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // Without blanks, since it is named in planted command lines.
        let owned = tempfile::Builder::new().prefix("owned").tempdir().unwrap();
        stage
            .main
            .git(&["worktree", "add", "-q", "-b", "other", "../other zone"]);
        stage.main.write("untracked", "the user's");
        fs::write(stage.common().join("hooks/pre-commit"), "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(
            stage.common().join("hooks/pre-commit"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        fs::create_dir_all(stage.common().join("khlone/attempts/t/1")).unwrap();
        let hidden = SocketAddr::from_abstract_name(root.as_os_str().as_bytes()).unwrap();
        let socket = UnixListener::bind(root.join("run/daemon.sock")).unwrap();
        for (name, value) in [
            ("MAIN", stage.main.0.clone()),
            ("ROOT", root.clone()),
            ("OWNED", owned.path().to_owned()),
            ("SIEGE", root.clone()),
        ] {
            stage.confinement.env.push((name.into(), value.into()));
        }
        let pid = std::process::id().to_string();
        stage.confinement.env.push(("HOST_PID".into(), pid.into()));
        stage.prepare();
        Some(Self {
            stage,
            root,
            owned,
            _sockets: [socket, UnixListener::bind_addr(&hidden).unwrap()],
            _in_tmp: tempfile::NamedTempFile::with_prefix("canary").unwrap(),
        })
    }

    /// All that must stay as it is: the repository but for what khlone itself keeps in it, other trees, HOME.
    fn surroundings(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let private = self.stage.private.git_dir();
        let mut all = manifest(&self.stage.main.0, &private);
        all.extend(manifest(&self.root.join("other zone"), &private));
        all.extend(manifest(&self.root.join("home"), &private));
        all
    }

    /// Runs an attack and everything of ours and of the user's that may stumble over it.
    fn withstand(&self, name: &str, script: &str) {
        let begun = std::time::Instant::now();
        self.stage.prepare();
        let before = self.surroundings();
        // Paths here have blanks in them; without splitting at blanks the scripts need no quotes.
        let done = self.stage.inside(&format!("IFS='\n'\n{script}"));
        let after = self.surroundings();
        for path in before.keys().chain(after.keys()) {
            assert_eq!(
                before.get(path),
                after.get(path),
                "{name}: {} changed",
                path.display()
            );
        }
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(
            !said.contains("canary-key") && !said.contains("ESCAPED"),
            "{name}: {said}"
        );

        let stage = &self.stage;
        let plan = CommitPlan {
            paths: vec![b"a.txt".to_vec()],
            links: Vec::new(),
            message: "m".into(),
            author: Identity::ours(),
            committer: Identity::ours(),
        };
        let scratch = tempfile::tempdir().unwrap();
        drop(commit(
            &stage.confinement,
            &stage.private.git_dir(),
            scratch.path(),
            &plan,
        ));
        drop(import(&stage.private, &stage.site(), &stage.confinement, None));
        stage.prepare();
        for work in [&stage.main, &stage.tree] {
            work.git(&["status", "--porcelain"]);
            work.git(&["diff", "HEAD", "--stat"]);
        }
        let owned: Vec<_> = fs::read_dir(self.owned.path()).unwrap().collect();
        assert!(owned.is_empty(), "{name}: ran on the host: {owned:?}");
        stage.main.git(&["fsck", "--strict"]);
        let left = marked("SIEGE", self.root.to_str().unwrap());
        assert!(left.is_empty(), "{name}: still running: {left:?}");
        assert!(
            begun.elapsed().as_secs() < 30,
            "{name}: took {:?}",
            begun.elapsed()
        );
        // The next attack starts from a clean tree.
        stage.tree.git(&["reset", "-q", "--hard"]);
        let _leftovers = stage.tree.try_git(&["clean", "-qffdx"]);
    }
}

const WRITES: [(&str, &str); 14] = [
    (
        "config of the repository",
        "echo '[core]\n\tfsmonitor = touch '$OWNED/x >> $MAIN/.git/config",
    ),
    (
        "its hooks",
        "mkdir -p $MAIN/.git/hooks; for h in pre-commit post-checkout fsmonitor-watchman; do printf '#!/bin/sh\\ntouch '$OWNED/x > $MAIN/.git/hooks/$h; chmod +x $MAIN/.git/hooks/$h; done",
    ),
    (
        "modes of its hooks",
        "chmod -x $MAIN/.git/hooks/pre-commit; chmod 777 $MAIN/.git; chmod 000 $MAIN/.git/objects; chown 1 $MAIN/a.txt; touch -d 2001-01-01 $MAIN/a.txt",
    ),
    (
        "its refs",
        "for r in HEAD ORIG_HEAD refs/heads/main packed-refs; do mkdir -p $MAIN/.git/refs/heads; echo 0000000000000000000000000000000000000000 > $MAIN/.git/$r; rm -f $MAIN/.git/$r; done; git push -q $MAIN/.git HEAD:refs/heads/evil; git --git-dir=$MAIN/.git update-ref refs/heads/evil HEAD",
    ),
    (
        "its objects",
        "rm -rf $MAIN/.git/objects/*; for f in $(find $MAIN/.git/objects -type f); do chmod u+w $f; echo x > $f; ln $f ./hard; echo x > hard; done",
    ),
    (
        "its info",
        "mkdir -p $MAIN/.git/info; echo '* filter=evil' > $MAIN/.git/info/attributes; echo x > $MAIN/.git/shallow; echo $ROOT > $MAIN/.git/objects/info/alternates",
    ),
    (
        "the worktree's folder",
        "for f in HEAD index commondir gitdir config.worktree; do echo x > $MAIN/.git/worktrees/wt/$f; done; rm -rf $MAIN/.git/worktrees",
    ),
    (
        "khlone's folder",
        "rm -rf $MAIN/.git/khlone; mkdir -p $MAIN/.git/khlone/attempts/t/1; echo x > $MAIN/.git/khlone/gitdirs/main.foreman.1/baseline; echo 'gitdir: /x' > $MAIN/.git/khlone/gitdirs/main.foreman.1/dot-git; echo x > $MAIN/.git/khlone/attempts/t/1/exit.json",
    ),
    (
        "the main checkout",
        "echo x > $MAIN/a.txt; rm -rf $MAIN/untracked; mv $MAIN/a.txt $MAIN/b.txt; echo x > $MAIN/.gitattributes",
    ),
    (
        "another zone",
        "echo x > \"$ROOT/other zone/a.txt\"; rm -f \"$ROOT/other zone/.git\"",
    ),
    (
        "the user's home",
        "for f in .bashrc .ssh/id_ed25519 .gitconfig .claude/settings.json .khlone/trust/x.json .config/git/config; do mkdir -p $(dirname ~/$f); echo x > ~/$f; done; mkdir -p ~/.ssh; cat ~/.ssh/*; cat ~/.local/share/keyrings/k; cat $ROOT/home/.ssh/id_ed25519",
    ),
    (
        "hard links out",
        "ln $MAIN/a.txt l; echo x > l; ln ~/.bashrc m; echo x >> m; cp -l $MAIN/.git/config c; echo x >> c",
    ),
    (
        "links out",
        "ln -s $MAIN m; ln -s ~/.ssh s; echo x > m/a.txt; echo x > m/.git/config; rm a.txt; ln -s $MAIN/a.txt a.txt; echo x > a.txt",
    ),
    (
        "its own place",
        "mv $PWD $PWD-moved; mv ../wt ../wt2; rmdir $PWD; echo x > ../planted; mkdir ../other",
    ),
];

pub(crate) const PLANTED: [(&str, &str); 24] = [
    (
        "the .git file written",
        "echo 'gitdir: '$PWD/evil > .git; git init -q evil; git -C evil config core.fsmonitor \"touch $OWNED/x\"",
    ),
    (
        "the .git file replaced",
        "git init -q evil; git -C evil config core.fsmonitor \"touch $OWNED/x\"; rm -f .git; mv evil/.git .git; ln -sfn evil/.git .git; cp -r evil/.git .git",
    ),
    (
        "the .git file moved",
        "mv .git x; mv -T x .git; git init -q --separate-git-dir=$PWD/sep .; git worktree repair",
    ),
    (
        "a file system monitor",
        "git config core.fsmonitor \"touch $OWNED/x\"; git config core.hooksPath $PWD/h; mkdir h; printf '#!/bin/sh\\ntouch '$OWNED/x > h/post-index-change; chmod +x h/*",
    ),
    (
        "hooks",
        "d=$(git rev-parse --git-dir); mkdir -p $d/hooks; for h in pre-commit post-commit pre-auto-gc reference-transaction post-index-change fsmonitor-watchman; do printf '#!/bin/sh\\ntouch '$OWNED/x > $d/hooks/$h; chmod +x $d/hooks/$h; done",
    ),
    (
        "filters",
        "echo '* filter=evil' > .gitattributes; git config filter.evil.clean \"touch $OWNED/x; cat\"; git config filter.evil.smudge \"touch $OWNED/x; cat\"; git config filter.evil.process \"touch $OWNED/x\"; echo x >> a.txt",
    ),
    (
        "diff drivers",
        "echo '* diff=evil' > .gitattributes; git config diff.external \"touch $OWNED/x\"; git config diff.evil.textconv \"touch $OWNED/x\"; git config diff.evil.command \"touch $OWNED/x\"; echo x >> a.txt",
    ),
    (
        "includes",
        "printf '[core]\\n\\tfsmonitor = touch '$OWNED/x > inc; git config include.path $PWD/inc; git config includeIf.gitdir:/.path $PWD/inc",
    ),
    (
        "programs",
        "for k in core.pager core.editor core.sshCommand core.askPass gpg.program credential.helper uploadpack.packObjectsHook core.alternateRefsCommand sequence.editor; do git config $k \"touch $OWNED/x\"; done; git config commit.gpgSign true; git config log.showSignature true",
    ),
    (
        "a second configuration",
        "d=$(git rev-parse --git-dir); git config extensions.worktreeConfig true; printf '[core]\\n\\tfsmonitor = touch '$OWNED/x > $d/config.worktree; git config extensions.relativeWorktrees true; git config core.worktree $MAIN; git config core.repositoryFormatVersion 1",
    ),
    (
        "another common folder",
        "d=$(git rev-parse --git-dir); git init -q evil; git -C evil config core.fsmonitor \"touch $OWNED/x\"; echo $PWD/evil/.git > $d/commondir; echo $PWD/.git > $d/gitdir",
    ),
    (
        "a promisor remote",
        "d=$(git rev-parse --git-dir); git config remote.p.url \"ext::sh -c touch% $OWNED/x\"; git config remote.p.promisor true; git config extensions.partialClone p; git config protocol.ext.allow always; t=$(git write-tree); c=$(printf 'tree 1234567890123456789012345678901234567890\\nauthor a <a> 1 +0000\\ncommitter a <a> 1 +0000\\n\\nx' | git hash-object -t commit -w --stdin --literally); git update-ref HEAD $c; git update-ref refs/heads/p $c",
    ),
    (
        "alternates",
        "d=$(git rev-parse --git-dir); git init -q other; (cd other; echo s > s; git add s; git -c user.name=x -c user.email=x commit -qm s); c=$(git -C other rev-parse HEAD); echo $PWD/other/.git/objects >> $d/objects/info/alternates; git update-ref refs/heads/borrowed $c; git update-ref HEAD $c; rm -rf other",
    ),
    (
        "an alternates folder elsewhere",
        "d=$(git rev-parse --git-dir); mv $d/objects/info $d/oi; ln -s $MAIN $d/objects/info; mv $d/info $d/i2; ln -s ~/.ssh $d/info; rm -rf $d/logs; ln -s $MAIN/.git/hooks $d/logs",
    ),
    (
        "replacements and grafts",
        "d=$(git rev-parse --git-dir); c=$(git commit-tree -m evil HEAD^{tree}); git replace HEAD $c; mkdir -p $d/info; echo $(git rev-parse HEAD) > $d/info/grafts; git rev-parse HEAD > $d/shallow",
    ),
    (
        "refs that lead away",
        "d=$(git rev-parse --git-dir); rm -rf $d/refs; ln -s $MAIN/.git/refs $d/refs; rm $d/packed-refs; ln -s /etc/passwd $d/packed-refs; rm $d/HEAD; ln -s $MAIN/.git/config $d/HEAD",
    ),
    (
        "a HEAD that never answers",
        "d=$(git rev-parse --git-dir); rm $d/HEAD; mkfifo $d/HEAD; rm -f $d/index; mkfifo $d/index $d/config.lock",
    ),
    (
        "names of refs",
        "d=$(git rev-parse --git-dir); h=$(git rev-parse HEAD); for n in '-x' '$(touch x)' 'a..b' 'x.lock'; do echo $h > \"$d/refs/heads/$n\"; done; printf '%s refs/heads/../../config\\n%s refs/heads/a\\tb\\n' $h $h >> $d/packed-refs; echo 'ref: ../../config' > $d/HEAD",
    ),
    (
        "a folder without rights",
        "d=$(git rev-parse --git-dir); mkdir -p $d/refs/heads/x/y $d/deep/$(printf 'd/%.0s' $(seq 300)); chmod 000 $d/refs/heads/x $d/deep; chmod 000 $d/objects/info",
    ),
    (
        "another ref format",
        "git refs migrate --ref-format=reftable 2>/dev/null || { d=$(git rev-parse --git-dir); mkdir $d/reftable; git config extensions.refStorage reftable; git config core.repositoryFormatVersion 1; echo 'ref: refs/heads/.invalid' > $d/HEAD; }",
    ),
    (
        "nested repositories",
        "git init -q n; git -C n config core.fsmonitor \"touch $OWNED/x\"; git -C n config filter.e.clean \"touch $OWNED/x\"; (cd n; echo y > y; git add y; git -c user.name=x -c user.email=x commit -qm y; echo '* filter=e' > .gitattributes); git add n; git commit -qm n; echo z > n/y",
    ),
    (
        "submodules",
        "printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = ext::sh -c touch% '$OWNED/x'\\n\\tupdate = !touch '$OWNED/x > .gitmodules; git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),x; git add .gitmodules; git commit -qm x; git config submodule.x.update \"!touch $OWNED/x\"; git config submodule.x.active true",
    ),
    (
        "poison for fsck",
        "printf '[submodule \"../../x\"]\\n\\tpath = -x\\n\\turl = -u./x\\n' > .gitmodules; head -c 5000 /dev/zero | tr '\\0' a > .gitattributes; git add -A; git commit -qm poison; ln -sf /etc/passwd .gitmodules; git add -A; git commit -qm link",
    ),
    (
        "trees that git would not make",
        "b=$(echo x | git hash-object -w --stdin); t=$(printf '100644 .git\\0%b' \"$(echo $b | sed 's/../\\\\x&/g')\" | git hash-object -t tree -w --stdin --literally); c=$(git commit-tree -m x $t -p HEAD); git update-ref HEAD $c",
    ),
];

const ESCAPES: [(&str, &str); 15] = [
    (
        "abstract sockets of the host",
        "python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX); s.connect(\"\\0\" + os.environ[\"SIEGE\"]); print(\"ESCAPED\")'; true",
    ),
    (
        "kernel switches",
        "for f in kernel/core_pattern kernel/modprobe vm/drop_caches kernel/hostname; do test -w /proc/sys/$f && echo ESCAPED $f; done; test -w /proc/sysrq-trigger && echo ESCAPED; echo b 2>/dev/null >/proc/sys/kernel/hotplug",
    ),
    (
        "processes of the host",
        "test -e /proc/$HOST_PID/environ && tr '\\0' '\\n' < /proc/$HOST_PID/environ | grep -q HOST_ONLY && echo ESCAPED; kill -0 $HOST_PID 2>/dev/null && [ $HOST_PID -gt 100 ] && echo ESCAPED; ls /proc/1/root/etc >/dev/null 2>&1; cat /proc/1/root$ROOT/home/.ssh/id_ed25519",
    ),
    (
        "mounts",
        "mount -o remount,rw / && echo ESCAPED; umount -l ~ && cat ~/.ssh/id_ed25519; mount --bind / /tmp && echo ESCAPED; umount -l $MAIN/.git && echo ESCAPED; umount -l .git && echo ESCAPED",
    ),
    (
        "a user namespace in it",
        "unshare -Urm sh -c 'umount -l ~; cat ~/.ssh/id_ed25519; mount -o remount,rw / && touch $OWNED/x && echo ESCAPED; umount -l $PWD/.git && echo ESCAPED; mount -o remount,rw,bind /etc && touch /etc/khlone-x && echo ESCAPED'",
    ),
    (
        "other namespaces",
        "nsenter -t 1 -a sh -c 'cat $ROOT/home/.ssh/id_ed25519' ; nsenter -t $HOST_PID -m true && echo ESCAPED; chroot /proc/1/root true && echo ESCAPED",
    ),
    (
        "devices",
        "mknod d b 254 0 && echo ESCAPED; mknod m c 1 1 && echo ESCAPED; for d in /dev/vda /dev/sda /dev/mem /dev/kmsg /dev/kvm /dev/fuse; do test -e $d && echo ESCAPED $d; done; true",
    ),
    (
        "capabilities",
        "grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | grep -v 0000000000000000 && echo ESCAPED; grep -q 'NoNewPrivs:.1' /proc/self/status || echo ESCAPED",
    ),
    (
        "sockets of the host",
        "test -e $ROOT/run/daemon.sock && echo ESCAPED; for s in /run/docker.sock /var/run/docker.sock /run/dbus/system_bus_socket /run/user/0/bus; do test -e $s && echo ESCAPED $s; done; true",
    ),
    (
        "temp folders of others",
        "ls -A /tmp | grep canary && echo ESCAPED; ls $ROOT | grep -v -e 'main repo' -e wt -e home -e run && echo ESCAPED; true",
    ),
    (
        "a daemon",
        "(setsid sh -c 'trap \"\" HUP INT TERM; sleep 300' >/dev/null 2>&1 </dev/null &); setsid -f sleep 300; nohup sleep 300 >/dev/null 2>&1 & true",
    ),
    (
        "a daemon twice forked",
        "sh -c '(sh -c \"(setsid sleep 300 &) &\" &) &' >/dev/null 2>&1 </dev/null; true",
    ),
    (
        "a daemon in namespaces of its own",
        "unshare -Urpf --kill-child=KILL sleep 300 >/dev/null 2>&1 & unshare -Ur setsid -f sleep 300; true",
    ),
    (
        "a stopped daemon",
        "sh -c 'kill -STOP $$; sleep 300' >/dev/null 2>&1 & sleep 300 >/dev/null 2>&1 & kill -STOP $!; true",
    ),
    (
        "a changed environment",
        "setsid -f env -i sleep 301; setsid -f env -u SIEGE sleep 301; true",
    ),
];

fn withstand_all(attacks: &[(&str, &str)]) {
    let Some(siege) = Siege::new() else { return };
    let siege = &siege;
    let powerless = move || {
        // As for a user who is not root: rights that a folder does not give are not had.
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective = rustix::thread::CapabilitySet::empty();
        rustix::thread::set_capabilities(None, sets).unwrap();
        for (name, script) in attacks {
            siege.withstand(name, script);
        }
    };
    std::thread::scope(|scope| {
        let ended = scope.spawn(powerless).join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn nothing_outside_can_be_written() {
    withstand_all(&WRITES);
}

#[test]
fn nothing_planted_runs_on_the_host() {
    withstand_all(&PLANTED);
}

#[test]
fn nobody_gets_out_and_nobody_stays() {
    withstand_all(&ESCAPES);
}

#[test]
fn a_commit_of_borrowed_objects_does_not_come_home() {
    let Some(siege) = Siege::new() else { return };
    let (_, script) = PLANTED.iter().find(|(name, _)| *name == "alternates").unwrap();
    siege.stage.inside(script);
    let stage = &siege.stage;
    let home = import(&stage.private, &stage.site(), &stage.confinement, None);
    assert!(home.is_err(), "{home:?}");
}

#[test]
fn without_a_network_there_is_none() {
    let Some(mut siege) = Siege::new() else { return };
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached");
    let bash = |siege: &Siege| {
        let argv = ["bash", "-c", &script].map(std::ffi::OsString::from);
        String::from_utf8(
            siege
                .stage
                .confinement
                .run(&argv, git_khlone::process::PATIENCE)
                .unwrap()
                .stdout,
        )
        .unwrap()
    };
    assert_eq!(bash(&siege), "reached\n");
    siege.stage.confinement.network = Network::None;
    assert_eq!(bash(&siege), "");
}
