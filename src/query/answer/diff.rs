//! A diff, for programs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `diff --json`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DiffView {
    /// The files that differ; one that was renamed is one that went and one that came.
    pub files: Vec<ChangedFile>,
    /// What `git apply` takes, bytes that are not UTF-8 replaced; absent with `--stat` and `--name-only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// A file that differs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedFile {
    /// The path, from the top of the work tree.
    path: String,
    /// Lines added; `null` in a binary file.
    insertions: Option<u64>,
    /// Lines taken away; `null` in a binary file.
    deletions: Option<u64>,
}

impl ChangedFile {
    /// The files in what `git diff --numstat -z` prints, without renames.
    pub fn of_numstat(text: &[u8]) -> Vec<Self> {
        let lines = text.split(|byte| *byte == 0);
        lines
            .filter_map(|line| {
                let line = String::from_utf8_lossy(line);
                let mut fields = line.splitn(3, '\t');
                let mut count = || fields.next().map(|count| count.parse().ok());
                let (insertions, deletions) = (count()?, count()?);
                Some(Self {
                    path: fields.next()?.to_owned(),
                    insertions,
                    deletions,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::ChangedFile;

    #[test]
    fn files_are_read_from_numstat() {
        let files = ChangedFile::of_numstat(b"1\t2\ta\tb \n.txt\0-\t-\tbin\0");
        let file = |path: &str, insertions, deletions| ChangedFile {
            path: path.to_owned(),
            insertions,
            deletions,
        };
        assert_eq!(
            files,
            [file("a\tb \n.txt", Some(1), Some(2)), file("bin", None, None)]
        );
        assert_eq!(ChangedFile::of_numstat(b""), []);
    }
}
