//! Reading a file that others may be writing: bounded, never following a link, and honest about what moved.

use std::{
    fs::File,
    io::{self, Read},
};

use git2::Oid;
use rustix::fd::BorrowedFd;

use super::{beneath, stat::StatKey};

/// Files longer than this are known by size and times alone: hashing them would take seconds a snapshot.
const HASH_LIMIT: u64 = 512 << 20;
const TRIES: usize = 3;

/// The content of a file.
#[derive(Debug)]
pub(in crate::worktree) enum Content {
    /// All of it.
    Bytes(Vec<u8>),
    /// Too long to keep: its blob id, unless it is even too long to hash.
    Large(Option<Oid>),
}

/// A file that was read.
#[derive(Debug)]
pub(in crate::worktree) struct Taken {
    /// What was in it.
    pub(in crate::worktree) content: Content,
    /// What the file system said of it before the reading.
    pub(in crate::worktree) stat: StatKey,
    /// It changed each time it was read.
    pub(in crate::worktree) torn: bool,
}

/// Reads the regular file `name`, keeping at most `limit` bytes.
pub(in crate::worktree) fn read(folder: BorrowedFd<'_>, name: &[u8], limit: u64) -> io::Result<Taken> {
    let mut tries = 1;
    loop {
        let (file, stat) = beneath::open_file(folder, name)?;
        let content = read_once(&file, &stat, limit)?;
        let torn = beneath::stat_open(&file)? != stat;
        if !torn || tries == TRIES {
            return Ok(Taken { content, stat, torn });
        }
        tries += 1;
    }
}

fn read_once(file: &File, stat: &StatKey, limit: u64) -> io::Result<Content> {
    if stat.size > limit {
        return large(file, stat);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stat.size).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return large(file, &beneath::stat_open(file)?);
    }
    Ok(Content::Bytes(bytes))
}

fn large(mut file: &File, stat: &StatKey) -> io::Result<Content> {
    use std::io::Seek;
    if stat.size > HASH_LIMIT {
        return Ok(Content::Large(None));
    }
    file.rewind()?;
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(format!("blob {}\0", stat.size).as_bytes());
    let mut rest = file.take(stat.size);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match rest.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let id = hasher.try_finalize().map_err(io::Error::other)?;
    Ok(Content::Large(Oid::from_bytes(id.as_bytes()).ok()))
}
