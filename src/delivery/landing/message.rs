//! The message of a merge or a squash.
//!
//! A squash is about what was asked for: its subject is the task's title, its body the rest of the prompt, then what its
//! commits say, oldest first, as git's own squash has it. Whose work it was stands in the trailers at the end.

use bstr::ByteSlice;

use super::{Kind, LandError, Landing};
use crate::refs::{Oid, Repo};

/// Whose work a commit is.
const MARKS: [&str; 3] = ["Khlone-Task: ", "Khlone-Clone: ", "Co-authored-by: "];

/// The message for what lands by `commits`, newest first.
pub(super) fn message(
    repo: &Repo,
    landing: &Landing<'_>,
    kind: Kind,
    commits: &[Oid],
) -> Result<String, LandError> {
    let said = commits.iter().rev().map(|oid| {
        let commit = repo.git().find_commit(*oid)?;
        Ok(commit.message_bytes().to_str_lossy().into_owned())
    });
    let said: Vec<String> = said.collect::<Result<_, git2::Error>>()?;
    Ok(match (kind, said.as_slice()) {
        (Kind::Squash, [only]) => only.clone(),
        (Kind::Squash, many) => squash(landing.about, many),
        _ => {
            let subjects: Vec<_> = said.iter().map(|text| format!("* {}\n", subject(text))).collect();
            format!(
                "Merge branch '{}' into {}\n\n{}\n\n{}",
                landing.branch,
                landing.zone,
                landing.what,
                subjects.concat()
            )
        }
    })
}

fn squash(about: Option<&str>, said: &[String]) -> String {
    let about = about.or_else(|| said.last().map(|text| subject(text)));
    let mut text = format!("{}\n\n", about.unwrap_or_default().trim_end());
    let mut trailers: Vec<&str> = Vec::new();
    for message in said {
        let (body, own) = parted(message);
        let mut lines = body.trim_end().lines();
        text.push_str(&format!("* {}\n", lines.next().unwrap_or_default()));
        for line in lines {
            text.push_str(&format!("{}\n", format!("  {line}").trim_end()));
        }
        for line in own {
            if !trailers.contains(&line) {
                trailers.push(line);
            }
        }
    }
    if !trailers.is_empty() {
        text.push_str(&format!("\n{}\n", trailers.join("\n")));
    }
    text
}

fn subject(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

/// A message without the trailers at its end, and those that say whose work it is.
fn parted(message: &str) -> (&str, Vec<&str>) {
    let Some((body, last)) = message.trim_end().rsplit_once("\n\n") else {
        return (message, Vec::new());
    };
    let is_trailer = |line: &str| {
        let name = line.split_once(": ").map(|(name, _)| name);
        name.is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
    };
    if !last.lines().all(is_trailer) {
        return (message, Vec::new());
    }
    let own = last
        .lines()
        .filter(|line| MARKS.iter().any(|mark| line.starts_with(mark)));
    (body, own.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_squash_is_about_the_task_and_keeps_whose_work_it_was() {
        let task = "Khlone-Task: t-a\nKhlone-Clone: foreman.1\nCo-authored-by: foreman.1 on claude <x@y>\n";
        let one = format!("add the form\n\nIt posts.\n\nKhlone-Task: of no trailer\nbut text.\n\n{task}");
        let two =
            "add login\n\nSigned-off-by: A <a@b>\nKhlone-Task: t-b\nKhlone-Clone: foreman.1\n".to_owned();
        let said = [one, two, "no trailer".to_owned()];
        let text = squash(Some("add login\n\nby mail and by key\n"), &said);
        assert_eq!(
            text,
            "add login\n\nby mail and by key\n\n* add the form\n\n  It posts.\n\n  Khlone-Task: of no trailer\n  but \
             text.\n* add login\n* no trailer\n\nKhlone-Task: t-a\nKhlone-Clone: foreman.1\nCo-authored-by: foreman.1 on \
             claude <x@y>\nKhlone-Task: t-b\n"
        );
        assert!(squash(None, &said).starts_with("no trailer\n\n* add the form"));
    }
}
