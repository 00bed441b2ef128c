//! New objects on their way into the repository: one kept pack, fsynced before anything names it.
//!
//! Written by hand, since neither git2 nor gix syncs what it writes. The `.keep` file stands before the index
//! does, so `git gc --prune=now` at any moment leaves the pack alone until a ref names its objects; `git gc
//! --auto` does not count kept packs. A [`Pack`] of the ledger lives until the refs that need it have moved; until then
//! the site's record says that its writer is at work, and the pack is not joined with others ([`super::packs`]).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::ZlibEncoder};
use git2::Oid;

use super::{
    Kind, ObjectSink, Sharing, Site,
    delta::{Bases, distance},
    packs::record::{Mark, Record},
};
use crate::process::{FileLock, fault::point};

/// Bodies up to this size never touch a temporary file.
const IN_MEMORY: usize = 4 << 20;

/// A pack under construction.
#[derive(Debug)]
pub struct Pack {
    pack_dir: PathBuf,
    temp_dir: PathBuf,
    body: tempfile::SpooledTempFile,
    size: u64,
    objects: BTreeMap<Oid, Place>,
    bases: Bases,
    /// One for all objects: its state is 300 KB, and freed between the small things that stay it leaves a hole that
    /// the next one does not fit in any more, so that a pack of many trees would take that much for each of them.
    deflate: ZlibEncoder<Vec<u8>>,
    keeping: Option<Keeping>,
}

/// What a pack of the ledger needs: a place in the site's record, settled when its writer is done.
#[derive(Debug)]
struct Keeping {
    record: Record,
    published: Vec<String>,
    _writing: FileLock,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        for stem in &self.published {
            if let Err(error) = self.record.settle(stem, Mark::Kept) {
                tracing::warn!(%error, %stem, "a pack stays by itself");
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    crc: u32,
}

impl Pack {
    /// Begins a pack of the ledger. It is to live until the refs that need its objects have moved.
    ///
    /// # Errors
    /// If the site's folder cannot be written.
    pub fn begin(site: &Site) -> io::Result<Self> {
        let record = Record::open(site)?;
        let pack = Self::unkept(record.pack_dir().to_owned(), site.pack_temp()?)?;
        let keeping = Keeping {
            record,
            published: Vec::new(),
            _writing: FileLock::wait_shared(&site.layout().packs_lock())?,
        };
        Ok(Self {
            keeping: Some(keeping),
            ..pack
        })
    }

    /// Begins a pack that goes to `pack_dir` without a `.keep`, by way of `temp_dir` on the same disk.
    pub(super) fn unkept(pack_dir: PathBuf, temp_dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&temp_dir)?;
        Ok(Self {
            pack_dir,
            body: tempfile::SpooledTempFile::new_in(IN_MEMORY, &temp_dir),
            temp_dir,
            size: 0,
            objects: BTreeMap::new(),
            bases: Bases::default(),
            deflate: ZlibEncoder::new(Vec::new(), Compression::fast()),
            keeping: None,
        })
    }

    /// Whether the object is already in this pack.
    pub fn contains(&self, oid: Oid) -> bool {
        self.objects.contains_key(&oid)
    }

    /// Makes everything put so far durable and readable, and starts over empty. Gives the pack's name, unless it
    /// would have been empty.
    ///
    /// Order: data synced, `.keep`, data in place, index in place, folder synced. Killed in between, either
    /// nothing is visible or all of it is.
    ///
    /// # Errors
    /// If the disk refuses; nothing of the pack is visible then.
    pub fn publish(&mut self) -> io::Result<Option<String>> {
        if self.objects.is_empty() {
            return Ok(None);
        }
        point("pack", "");
        let sharing = self.keeping.as_ref().map(|keeping| keeping.record.sharing());
        let sharing = sharing.unwrap_or_default();
        make_dirs(&self.pack_dir, sharing)?;
        let mut data = tempfile::NamedTempFile::new_in(&self.temp_dir)?;
        let checksum = self.write_data(data.as_file_mut())?;
        let mut index = tempfile::NamedTempFile::new_in(&self.temp_dir)?;
        self.write_index(index.as_file_mut(), checksum.as_slice())?;

        let name = new_stem()?;
        let stem = self.pack_dir.join(&name);
        if let Some(keeping) = &mut self.keeping {
            keeping.record.begin(&name)?;
            keeping.published.push(name.clone());
            keep(&keeping.record, &stem.with_extension("keep"), &self.temp_dir)?;
        }
        point("pack-kept", &name);
        persist(data, &stem.with_extension("pack"), sharing)?;
        persist(index, &stem.with_extension("idx"), sharing)?;
        point("pack-installed", &name);
        sync_dir(&self.pack_dir)?;
        point("pack-synced", &name);

        self.objects.clear();
        self.bases = Bases::default();
        self.size = 0;
        self.body = tempfile::SpooledTempFile::new_in(IN_MEMORY, &self.temp_dir);
        Ok(Some(name))
    }

    fn write_data(&mut self, file: &mut File) -> io::Result<gix::ObjectId> {
        let count = u32::try_from(self.objects.len()).map_err(io::Error::other)?;
        let mut out = Hashing::new(BufWriter::new(file));
        out.write_all(b"PACK\0\0\0\x02")?;
        out.write_all(&count.to_be_bytes())?;
        self.body.seek(SeekFrom::Start(0))?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let n = self.body.read(&mut chunk)?;
            if n == 0 {
                break;
            }
            out.write_all(&chunk[..n])?;
        }
        out.seal()
    }

    /// Version 2 of the index format (`gitformat-pack(5)`).
    fn write_index(&self, file: &mut File, checksum: &[u8]) -> io::Result<()> {
        let mut out = Hashing::new(BufWriter::new(file));
        out.write_all(b"\xfftOc\0\0\0\x02")?;
        let mut fanout = [0u32; 256];
        for oid in self.objects.keys() {
            fanout[usize::from(oid.as_bytes()[0])] += 1;
        }
        let mut total = 0;
        for count in fanout {
            total += count;
            out.write_all(&total.to_be_bytes())?;
        }
        for oid in self.objects.keys() {
            out.write_all(oid.as_bytes())?;
        }
        for place in self.objects.values() {
            out.write_all(&place.crc.to_be_bytes())?;
        }
        let mut large = Vec::new();
        for place in self.objects.values() {
            let small = u32::try_from(place.offset)
                .ok()
                .filter(|offset| offset >> 31 == 0);
            let word = match small {
                Some(offset) => offset,
                None => {
                    large.push(place.offset);
                    (1 << 31) | u32::try_from(large.len() - 1).map_err(io::Error::other)?
                }
            };
            out.write_all(&word.to_be_bytes())?;
        }
        for offset in large {
            out.write_all(&offset.to_be_bytes())?;
        }
        out.write_all(checksum)?;
        out.seal().map(drop)
    }
}

impl ObjectSink for Pack {
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<Oid> {
        let oid = kind.hash(bytes)?;
        if self.objects.contains_key(&oid) {
            return Ok(oid);
        }
        // 12 bytes of pack header stand before the first entry.
        let offset = 12 + self.size;
        let delta = self.bases.compress(kind, bytes, offset);
        let header = match &delta {
            Some((base, delta)) => [entry_header(OFS_DELTA, delta.len()), distance(offset - base)].concat(),
            None => entry_header(code(kind), bytes.len()),
        };
        // Nothing has been deflated since the reset, so the header stands before all of it.
        self.deflate.get_mut().extend(header);
        self.deflate
            .write_all(delta.as_ref().map_or(bytes, |(_, delta)| delta))?;
        let entry = self.deflate.reset(Vec::new())?;
        self.body.write_all(&entry)?;
        let place = Place {
            offset,
            crc: crc32fast::hash(&entry),
        };
        self.size += entry.len() as u64;
        self.objects.insert(oid, place);
        Ok(oid)
    }
}

/// An entry that is built on one before it.
const OFS_DELTA: u8 = 6;

fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    }
}

fn entry_header(code: u8, size: usize) -> Vec<u8> {
    let low = |bits: usize, mask: usize| u8::try_from(bits & mask).unwrap_or(0);
    let mut header = vec![(code << 4) | low(size, 0x0f)];
    let mut rest = size >> 4;
    while rest > 0 {
        if let Some(last) = header.last_mut() {
            *last |= 0x80;
        }
        header.push(low(rest, 0x7f));
        rest >>= 7;
    }
    header
}

/// A writer that ends in the SHA-1 of all it wrote.
struct Hashing<W: Write> {
    inner: W,
    hasher: gix::hash::Hasher,
}

impl<'a> Hashing<BufWriter<&'a mut File>> {
    fn new(inner: BufWriter<&'a mut File>) -> Self {
        Self {
            inner,
            hasher: gix::hash::hasher(gix::hash::Kind::Sha1),
        }
    }

    fn seal(mut self) -> io::Result<gix::ObjectId> {
        let checksum = self.hasher.try_finalize().map_err(io::Error::other)?;
        self.inner.write_all(checksum.as_slice())?;
        self.inner.flush()?;
        self.inner.get_ref().sync_all()?;
        Ok(checksum)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// In one step, as everything in that folder: a `git clone` that links it checks that it stays as it was.
pub(super) fn keep(record: &Record, path: &Path, temp_dir: &Path) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == record.word().as_bytes()) {
        return Ok(());
    }
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(temp_dir)?;
    file.write_all(record.word().as_bytes())?;
    record.sharing().adjust(file.path())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn persist(file: tempfile::NamedTempFile, to: &Path, sharing: Sharing) -> io::Result<()> {
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o444))?;
    sharing.adjust(file.path())?;
    file.persist(to).map_err(|error| error.error)?;
    Ok(())
}

/// A name for a pack that no pack has had: git names packs by their content, so that one that was forgotten and is written
/// again has the name of the old one, which a `git gc` may have listed for deletion and deletes whatever stands there by
/// then. Nothing reads a meaning out of the name.
pub(crate) fn new_stem() -> io::Result<String> {
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("pack-{hex}"))
}

/// Makes a folder and those above it; the names of new ones are durable, as what is put below them must be.
pub(super) fn make_dirs(dir: &Path, sharing: Sharing) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new("/"));
    make_dirs(parent, sharing)?;
    match sharing.make_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Who made it in the same instant may die before it syncs.
        _ => sync_dir(parent),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{process::Cmd, refs::tests::scratch};

    #[test]
    fn git_reads_what_we_pack_and_gc_leaves_it() {
        let (_dir, repo, site) = scratch();
        let mut pack = Pack::begin(&site).unwrap();
        let big = vec![7u8; 6 << 20];
        let small = pack.put(Kind::Blob, b"hello\n").unwrap();
        let large = pack.put(Kind::Blob, &big).unwrap();
        let empty = pack.put(Kind::Blob, b"").unwrap();
        assert_eq!(pack.put(Kind::Blob, b"hello\n").unwrap(), small);
        pack.publish().unwrap();
        let git = || Cmd::git(repo.common_dir());
        git().args(["gc", "-q", "--prune=now"]).output().unwrap();
        assert_eq!(
            git()
                .args(["cat-file", "blob", &small.to_string()])
                .output()
                .unwrap(),
            b"hello\n"
        );
        assert_eq!(
            git()
                .args(["cat-file", "-s", &large.to_string()])
                .output()
                .unwrap(),
            b"6291456\n"
        );
        assert_eq!(
            git()
                .args(["cat-file", "-s", &empty.to_string()])
                .output()
                .unwrap(),
            b"0\n"
        );
        git().args(["fsck", "--strict"]).output().unwrap();
    }
}
