//! The sites of this machine: where other repositories are, so that `repo@branch` finds them.
//!
//! One small file a site under `KHLONE_HOME/sites`. A registry, no truth: losing it loses no task, and an entry whose
//! repository is gone or has become another site counts for nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    process::file::replace,
    refs::{Layout, Repo, Site},
    task::FORMAT,
};

/// A site that was used on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Known {
    /// Version of the document.
    pub format: u32,
    /// Its id.
    pub site_uuid: String,
    /// Its common git folder.
    pub common: PathBuf,
    /// Its name: the path of its main work tree, or of the bare repository.
    pub path: PathBuf,
}

/// Remembers a site, if it is new or has moved.
///
/// # Errors
/// If the folder cannot be written.
pub fn remember(folder: &Path, repo: &Repo, site: &Site) -> io::Result<()> {
    let known = Known {
        format: FORMAT,
        site_uuid: site.owner().site_uuid.clone(),
        common: repo.common_dir().to_owned(),
        path: repo
            .main_work_dir()
            .unwrap_or_else(|| repo.common_dir().to_owned()),
    };
    let file = folder.join(format!("{}.json", known.site_uuid));
    let text = serde_json::to_vec_pretty(&known)?;
    if fs::read(&file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    replace(&file, &text)
}

/// Every site whose repository is still there, by path.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<Known>> {
    let mut sites = known(folder)?;
    sites.retain(|known| Layout::of(&known.common).site_file().is_file());
    Ok(sites)
}

/// Every site that was ever used on this machine, by path.
///
/// # Errors
/// If the folder cannot be read.
pub fn known(folder: &Path) -> io::Result<Vec<Known>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut sites = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            sites.extend(read(&path));
        }
    }
    sites.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sites)
}

/// One entry. It may vanish in this moment, and a bad one must not hide the others.
fn read(path: &Path) -> Option<Known> {
    let known = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice::<Known>(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error),
    };
    known
        .map_err(
            |error| tracing::warn!(path = %path.display(), %error, "an entry of the registry is not used"),
        )
        .ok()
}

/// The sites that `name` means: `repo` or `org/repo` is the end of a site's path, without `.git`.
pub fn named(sites: Vec<Known>, name: &str) -> Vec<Known> {
    let wanted: PathBuf = name.into();
    let is_it =
        |known: &Known| known.path.ends_with(&wanted) || known.path.with_extension("").ends_with(&wanted);
    sites.into_iter().filter(is_it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_entry_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put(
            "good.json",
            r#"{"format":1,"site_uuid":"s","common":"/c","path":"/p"}"#,
        );
        put("torn.json", "{\"format\":1,");
        put(".tmpA1b2C3", "being written");
        fs::create_dir(dir.path().join("folder.json")).unwrap();
        std::os::unix::fs::symlink("gone", dir.path().join("vanished.json")).unwrap();
        let known = known(dir.path()).unwrap();
        assert_eq!(
            known.iter().map(|it| it.site_uuid.as_str()).collect::<Vec<_>>(),
            ["s"]
        );
    }

    #[test]
    fn a_name_is_the_end_of_a_path() {
        let known = |path: &str| Known {
            format: 1,
            site_uuid: path.into(),
            common: path.into(),
            path: path.into(),
        };
        let sites = vec![
            known("/src/acme/web"),
            known("/src/other/web"),
            known("/srv/api.git"),
        ];
        let found = |name: &str| named(sites.clone(), name).len();
        assert_eq!(
            (found("web"), found("acme/web"), found("api"), found("eb")),
            (2, 1, 1, 0)
        );
    }
}
