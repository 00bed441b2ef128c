//! An object folder between a clone's private git and the repository: packed inside the sandbox, indexed by the host.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use super::{alternates, import::ImportError};
use crate::{
    guard::sandbox::{self, Confinement, Streams},
    process::{Cmd, Finished, ProcessError, is_shortage, temp, was_killed},
    refs::{Oid, Site, packed_objects},
};

/// How long packing and indexing may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// The list of the objects of a large import.
const LIST: usize = 2 << 30;
/// The pack without objects.
const EMPTY_PACK: &str = "029d08823bd8a8eab510ad6ac75c823cfd3ed31e";
/// Takes the ids that exist of those on stdin (`ID ^` for what is known already) and packs what is new. Where a step is
/// killed it ends as that did: half a list would look like commits that are not there.
const PACK: &str = "unless_killed() { code=$?; test $code -le 128 || exit $code; }
    ids=$(git cat-file --batch-check='%(rest)%(objectname)') || unless_killed
    ids=$(printf '%s\\n' \"$ids\" | sed '/ missing$/d') || unless_killed
    printf '%s\\n' \"$ids\" |
    git -c pack.threads=1 -c pack.writeBitmaps=false pack-objects --revs --local --stdout -q";

/// An object folder of our own that borrows from a repository's. In that one, a `git gc` of the user's would take the
/// unfinished pack for a leftover and remove it under `index-pack`.
pub(super) struct Nest {
    dir: tempfile::TempDir,
    common: PathBuf,
}

impl Nest {
    /// One that borrows from the repository at `common`.
    pub(super) fn make(site: &Site, common: &Path) -> io::Result<Self> {
        let tmp = site.pack_temp()?;
        let dir = tempfile::Builder::new().prefix("import-").tempdir_in(tmp)?;
        let borrowed = alternates::lines([common.join("objects").as_path()]);
        std::fs::create_dir(dir.path().join("info"))?;
        File::create(dir.path().join("info/alternates"))?.write_all(&borrowed)?;
        let common = common.to_owned();
        Ok(Self { dir, common })
    }

    /// The folder of its packs.
    pub(super) fn packs(&self) -> PathBuf {
        self.dir.path().join("pack")
    }

    /// git of the repository, which sees what is in here as well.
    pub(super) fn git(&self) -> Cmd {
        Cmd::git(&self.common).env("GIT_OBJECT_DIRECTORY", self.dir.path())
    }

    /// Takes the objects that `wanted` asks of the git folder `from`: packed inside, indexed and held to `strict` outside.
    /// Gives the pack's hash, if there is anything in it.
    pub(super) fn fill(
        &self,
        from: &Path,
        confinement: &Confinement,
        lock: Option<BorrowedFd<'_>>,
        (wanted, strict): (&str, &str),
    ) -> Result<Option<String>, ImportError> {
        let mut inside = confinement.for_git(false);
        inside.env.push(("GIT_DIR".into(), from.into()));
        sandbox::set_up(|| self.pack(&inside, lock, (wanted, strict)))?
    }

    /// Adds to the pack `brought` what `tips` need and the repository has, but no ref of it names: an import that was killed,
    /// say, left it, and a `git gc --prune=now` may be about to delete it. Gives the hash of the pack that has it all.
    pub(super) fn complete(
        &self,
        tips: &[Oid],
        brought: Option<String>,
    ) -> Result<Option<String>, ImportError> {
        let tips: String = tips.iter().map(|oid| format!("{oid}\n")).collect();
        let unnamed = self.run(
            &[
                "rev-list",
                "--objects",
                "--exclude-promisor-objects",
                "--ignore-missing",
                "--stdin",
                "--not",
                "--exclude=refs/khlone/*",
                "--all",
            ],
            tips.into_bytes(),
        )?;
        let mut lines = unnamed
            .lines()
            .filter_map(|line| super::refnames::parse_oid(line.get(..40)?));
        let has = match &brought {
            Some(hash) => packed_objects(&self.packs(), &format!("pack-{hash}"))?,
            None => BTreeSet::new(),
        };
        if lines.all(|oid| has.contains(&oid)) {
            return Ok(brought);
        }
        let base = self.packs().join("pack");
        std::fs::create_dir_all(self.packs())?;
        let packed = self.run(
            &[
                "-c",
                "pack.threads=1",
                "-c",
                "pack.packSizeLimit=0",
                "pack-objects",
                "-q",
                "--delta-base-offset",
                &base.to_string_lossy(),
            ],
            unnamed.into_bytes(),
        )?;
        named_pack(&packed).map_err(ImportError::Disk)
    }

    /// What git of the repository prints; where it fails and was not killed, the objects are to blame.
    fn run(&self, args: &[&str], input: Vec<u8>) -> Result<String, ImportError> {
        let git = self
            .git()
            .args(args)
            .input(input)
            .capture(LIST)
            .patience(PATIENCE);
        let done = git.finish()?;
        if !done.status.success() {
            return Err(refusal((None, true), &done, String::new()));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// One try of [`Self::fill`]: what came of it, and whether the packing could begin.
    fn pack(
        &self,
        inside: &Confinement,
        lock: Option<BorrowedFd<'_>>,
        (wanted, strict): (&str, &str),
    ) -> Result<(Result<Option<String>, ImportError>, bool), ImportError> {
        let mut input = temp::file()?;
        input.write_all(wanted.as_bytes())?;
        input.rewind()?;
        let mut said = temp::file()?;
        let argv = ["sh", "-c", PACK].map(Into::into);
        let mut packing = inside.start(
            &argv,
            Streams {
                stdin: Stdio::from(input),
                stdout: Stdio::piped(),
                stderr: Stdio::from(said.try_clone()?),
                lock,
            },
        )?;
        let stream = packing
            .child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        let indexed = self
            .git()
            .args(["index-pack", strict, "--stdin"])
            .stdin(stream)
            .patience(PATIENCE)
            .finish()?;
        let ended = packing.wait(Duration::from_secs(30))?;
        let said = tail(&mut said);
        let has_begun = ended.is_none_or(|status| packing.has_started(status, said.as_bytes()));
        let packed = ended.is_some_and(|status| status.success());
        if packed && indexed.status.success() {
            let name = named_pack(&String::from_utf8_lossy(&indexed.stdout)).map_err(ImportError::Disk);
            return Ok((name, has_begun));
        }
        let refused = refusal((ended, packed), &indexed, said);
        Ok((Err(refused), has_begun))
    }
}

/// Why nothing came of it.
fn refusal((ended, packed): (Option<ExitStatus>, bool), indexed: &Finished, inner: String) -> ImportError {
    // Whoever was killed has refused nothing. Where the stream is refused, its writer gets SIGPIPE.
    let is_piped = |status: &ExitStatus| status.code() == Some(128 + rustix::process::Signal::PIPE.as_raw());
    let was_refused = packed || ended.as_ref().is_some_and(is_piped);
    let status = ended.filter(|status| !is_piped(status));
    let killed = status
        .into_iter()
        .chain([indexed.status])
        .find(|status| was_killed(*status));
    if let Some(status) = killed {
        let (program, stderr) = ("git pack-objects".to_owned(), inner);
        return ImportError::Git(ProcessError::Failed {
            program,
            status,
            stderr,
        });
    }
    let outer = String::from_utf8_lossy(&indexed.stderr).trim().to_owned();
    if is_shortage(&outer) {
        return ImportError::Disk(io::Error::other(outer));
    }
    ImportError::Refused(if was_refused || inner.is_empty() {
        outer
    } else {
        inner
    })
}

/// The hash of the pack that `index-pack` has named; none if nothing is in it.
fn named_pack(printed: &str) -> io::Result<Option<String>> {
    let hash = printed
        .split_whitespace()
        .last()
        .filter(|hash| super::refnames::is_hex_oid(hash));
    let hash = hash.ok_or_else(|| io::Error::other(format!("index-pack said `{printed}`")))?;
    Ok((hash != EMPTY_PACK).then(|| hash.to_owned()))
}

/// The end of what a process of the sandbox said.
fn tail(said: &mut File) -> String {
    let length = said.metadata().map_or(0, |data| data.len());
    let _from_start = said.seek(io::SeekFrom::Start(length.saturating_sub(2000)));
    let mut bytes = Vec::new();
    drop(said.take(2000).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim().to_owned()
}
