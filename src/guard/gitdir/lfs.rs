//! Files under Git LFS: what a brain's commits name comes home with them.
//!
//! Inside, `git lfs` finds what the repository has through the borrowed objects, and stores what is new in the private
//! git folder. From there each file is copied into the repository's own store, if it is what its name says: the name is
//! the hash of the content, so nothing can be planted under a name that something else has. Nothing is executed, and
//! nothing that is there is replaced.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::guard::beneath::{Beneath, Entry};

/// Where the files stand in a git folder.
const STORE: &str = "lfs/objects";
/// The most entries of one folder that are looked at.
const MOST: usize = 100_000;

/// Copies what is new in the private git folder `private` into the store `store` of the repository, and takes it away
/// there. Gives what was refused, in words.
///
/// # Errors
/// When the disk does not let us; what was copied until then is whole.
pub fn bring_home(private: &Path, store: &Path) -> io::Result<Vec<String>> {
    let private = Beneath::open(private)?;
    let mut refused = Vec::new();
    for path in files(&private)? {
        let name = path.rsplit('/').next().unwrap_or_default();
        let place = store.join(&name[..2]).join(&name[2..4]).join(name);
        if let (false, Some(mut file)) = (place.exists(), private.file(&path)?)
            && !take(&mut file, name, &place)?
        {
            refused.push(format!("{path}: is not what its name says"));
            continue;
        }
        private.remove(&path)?;
    }
    Ok(refused)
}

/// The files that could be in a store: `aa/bb/aabb…`.
fn files(private: &Beneath) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for (a, _) in private.list(STORE, MOST)?.into_iter().filter(is_shelf) {
        for (b, _) in private
            .list(&format!("{STORE}/{a}"), MOST)?
            .into_iter()
            .filter(is_shelf)
        {
            let shelf = format!("{STORE}/{a}/{b}");
            let names = private.list(&shelf, MOST)?.into_iter();
            let names = names.filter(|(name, entry)| {
                *entry == Entry::File
                    && name.len() == 64
                    && is_hex(name)
                    && name.starts_with(&format!("{a}{b}"))
            });
            found.extend(names.map(|(name, _)| format!("{shelf}/{name}")));
        }
    }
    Ok(found)
}

fn is_shelf((name, entry): &(String, Entry)) -> bool {
    *entry == Entry::Folder && name.len() == 2 && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Copies a file to `place` if its content has the hash `name`.
fn take(from: &mut File, name: &str, place: &Path) -> io::Result<bool> {
    let shelf = place.parent().unwrap_or(place);
    fs::create_dir_all(shelf)?;
    let mut copy = tempfile::NamedTempFile::new_in(shelf)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    loop {
        let n = from.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        hash.update(&chunk[..n]);
        copy.write_all(&chunk[..n])?;
    }
    let is: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if is != name {
        return Ok(false);
    }
    copy.as_file().sync_all()?;
    copy.persist(place).map_err(|error| error.error)?;
    File::open(shelf)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_what_its_name_says_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (private, store) = (dir.path().join("git"), dir.path().join("store"));
        let name = |content: &str| -> String {
            Sha256::digest(content)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        let put = |name: &str, content: &str| {
            let shelf = private.join(STORE).join(&name[..2]).join(&name[2..4]);
            fs::create_dir_all(&shelf).unwrap();
            fs::write(shelf.join(name), content).unwrap();
        };
        let (good, forged) = (name("good"), name("something that the user has"));
        put(&good, "good");
        put(&forged, "forged");
        let linked = name("linked");
        put(&linked, "");
        let link = private
            .join(STORE)
            .join(&linked[..2])
            .join(&linked[2..4])
            .join(&linked);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let refused = bring_home(&private, &store).unwrap();
        assert_eq!(refused.len(), 1, "{refused:?}");
        let at = |name: &str| store.join(&name[..2]).join(&name[2..4]).join(name);
        assert_eq!(fs::read_to_string(at(&good)).unwrap(), "good");
        assert!(!at(&forged).exists() && !at(&linked).exists());
        assert_eq!(
            bring_home(&private, &store).unwrap().len(),
            1,
            "the good one is not there any more"
        );
    }
}
