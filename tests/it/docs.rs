//! What is generated into the repository is what the program says today.
//!
//! `KHLONE_BLESS=1 cargo test --test it docs` writes it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use git_khlone::{cli, config, daemon, process::Cmd, task::Class};

use crate::{schema, scratch::Scratch};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Holds a generated file to its content, or writes it.
pub(crate) fn hold(path: &Path, content: &[u8]) {
    if std::env::var_os("KHLONE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let found = fs::read(path).unwrap_or_default();
    assert!(
        found == content,
        "{} is stale: KHLONE_BLESS=1 cargo test --test it docs",
        path.strip_prefix(root()).unwrap().display()
    );
}

#[test]
fn the_manual_is_current() {
    let folder = root().join("man");
    let pages = cli::pages(&cli::command()).unwrap();
    for page in &pages {
        hold(&folder.join(&page.name), &page.roff);
    }
    let wanted: BTreeSet<PathBuf> = pages.iter().map(|page| folder.join(&page.name)).collect();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if wanted.contains(&path) {
            continue;
        }
        assert!(
            std::env::var_os("KHLONE_BLESS").is_some(),
            "{} is of no verb",
            path.display()
        );
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_schema_is_current() {
    let schema = format!("{:#}\n", config::json_schema());
    hold(&root().join("schema/khlone.yml.json"), schema.as_bytes());
}

#[test]
fn the_table_of_errors_is_current() {
    let mut text = String::from(
        "# Exit codes and errors\n\n<!-- Generated: KHLONE_BLESS=1 cargo test --test it docs -->\n\n\
         Every error names its cause on stderr, then a next step that can be pasted. With `--json` the error is a JSON\n\
         document on stderr. A command that waits for a task ends with the code of its outcome.\n\n\
         | exit code | class | meaning |\n|---|---|---|\n| 0 | | Done. |\n",
    );
    for class in Class::ALL {
        let word = serde_json::to_value(class).unwrap();
        let word = word.as_str().unwrap().to_owned();
        writeln!(text, "| {} | `{word}` | {} |", class.exit_code(), class.meaning()).unwrap();
    }
    text += "\n## JSON-RPC\n\nThe daemon's errors, one to one with exit codes.\n\n\
             | code | reason | exit code | meaning |\n|---|---|---|---|\n";
    for code in daemon::Code::ALL {
        let (number, word, exit) = (code.number(), code.word(), code.class().exit_code());
        writeln!(
            text,
            "| {number} | `{word}` | {exit} | {} |",
            code.meaning().trim()
        )
        .unwrap();
    }
    hold(&root().join("docs/errors.md"), text.as_bytes());
}

/// git turns `git khlone --help` into `man git-khlone`; man finds the page through the program's place on `PATH`.
#[test]
fn git_opens_the_manual_once_it_is_installed() {
    if !crate::tools::has("man-db") {
        return;
    }
    let scratch = Scratch::new();
    let bin = scratch.path().join("opt/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_git-khlone"), bin.join("git-khlone")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |args: &[&str]| {
        let git = Cmd::new(args[0])
            .args(&args[1..])
            .dir(scratch.path())
            .env("PATH", &path);
        let git = git
            .env("HOME", scratch.path())
            .env("SHELL", "/usr/bin/fish")
            .env("MANPAGER", "cat")
            .env("MANWIDTH", "80")
            .env("COLUMNS", "80");
        let done = git.env("MANPATH", "").finish().unwrap();
        (
            done.status.success(),
            String::from_utf8(done.stdout).unwrap(),
            String::from_utf8(done.stderr).unwrap(),
        )
    };
    let (ok, report, told) = run(&["git", "khlone", "doctor"]);
    let missing = "`git khlone --help` has no manual, or an older one\n  next: git khlone doctor --fix\n";
    assert!(ok && report.contains(missing), "{report}{told}");
    let missing = "fish does not complete `git khlone`\n  next: git khlone doctor --fix\n";
    assert!(report.contains(missing), "{report}");
    let (ok, report, told) = run(&["git", "khlone", "doctor", "--fix"]);
    assert!(ok && told.contains("share/man/man1"), "{told}");
    assert!(told.contains("fish/conf.d/git-khlone.fish"), "{told}");
    assert!(!report.contains("--fix"), "{report}");
    // A page of another version is replaced, and what is as it should be is left alone.
    fs::write(scratch.path().join("opt/share/man/man1/git-khlone-act.1"), "old").unwrap();
    let (ok, report, told) = run(&["git", "khlone", "doctor"]);
    assert!(
        ok && report.contains("has no manual, or an older one"),
        "{report}{told}"
    );
    let (ok, _, told) = run(&["git", "khlone", "man", "--install"]);
    assert!(ok && told.contains("share/man/man1"), "{told}");
    let (ok, _, told) = run(&["git", "khlone", "doctor", "--fix"]);
    assert!(ok && !told.contains("✓"), "{told}");
    assert!(
        !told.contains("MANPATH"),
        "man should find them by itself: {told}"
    );
    for (args, heading) in [
        (&["git", "khlone", "--help"][..], "GIT-KHLONE(1)"),
        (&["man", "git-khlone-act"][..], "GIT-KHLONE-ACT(1)"),
    ] {
        let (ok, page, told) = run(args);
        assert!(
            ok && page.contains(heading) && page.contains("EXIT STATUS"),
            "{args:?}: {page}{told}"
        );
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    }
}

/// A schema for each verb, and a page with every field of all of them.
#[test]
fn the_forms_of_answers_are_current() {
    let folder = root().join("schema/output");
    let mut known: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (verb, schema) in cli::schemas() {
        let name = format!("{verb}.json");
        hold(
            &folder.join(&name),
            format!("{:#}\n", schema.as_value()).as_bytes(),
        );
        names.insert(name);
        if verb == schema::SETTINGS {
            continue;
        }
        for (field, (kinds, meanings)) in schema::fields(schema.as_value()) {
            let entry = known.entry(field).or_default();
            entry.0.extend(kinds);
            entry.1.extend(meanings);
        }
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "schema/output/{name} is of no verb");
    }
    let mut text = String::from(JSON_HEAD);
    for (field, (kinds, meanings)) in known {
        let kinds = kinds.into_iter().collect::<Vec<_>>().join(" or ");
        let meanings: Vec<_> = meanings.iter().map(|meaning| in_a_cell(meaning)).collect();
        writeln!(text, "| `{field}` | {kinds} | {} |", meanings.join("<br>")).unwrap();
    }
    hold(&root().join("docs/json.md"), text.as_bytes());
}

const JSON_HEAD: &str = "\
# Answers in JSON

<!-- Generated: KHLONE_BLESS=1 cargo test --test it docs -->

Every verb but `completions`, `help` and `man` answers in JSON with `--json`: one document on stdout, and of `watch` one a line.
An error is a document of the same kind on stderr. `git khlone config --schema=VERB` prints the schema of
a verb's answer; they are in `schema/output`, that of an error as `error.json`, and that of an event in
`schema/event.json`.

- `format` is the version of the documents. It grows when a field goes or changes its meaning. New fields come without
  notice: ignore those that you do not know.
- A field that is absent does not apply. One that is `null` is not known.
- Times are seconds since the epoch, but for `time` of an event, which is in milliseconds.
- Commits are whole ids; paths are relative to the top of the work tree, or absolute.
- The next step is always in `next`, as a command that can be pasted.

| field | is | means |
|---|---|---|
";

/// A text as one cell of a table.
pub(crate) fn in_a_cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// What the documents tell one to type is a command, with options that there are.
#[test]
fn commands_in_the_documents_are_commands() {
    let mut wrong = Vec::new();
    let folder = fs::read_dir(root().join("docs")).unwrap();
    let pages = folder.map(|entry| entry.unwrap().path());
    let own = ["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    for page in pages
        .chain(own)
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
    {
        let text = fs::read_to_string(&page).unwrap();
        let whole = in_blocks(&text).chain(text.split('`').skip(1).step_by(2));
        for line in whole.flat_map(|text| text.split(" && ")) {
            let Some(words) = command(line) else {
                continue;
            };
            if let Err(error) = cli::command().try_get_matches_from(&words)
                && error.use_stderr()
            {
                let name = page.file_name().unwrap().to_string_lossy().into_owned();
                let told = error.to_string();
                wrong.push(format!(
                    "{name}: {words:?}: {}",
                    told.lines().next().unwrap_or_default()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The lines of blocks of code that are typed.
fn in_blocks(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.flat_map(|block| {
        let is_typed = |line: &&str| !block.starts_with("console") || line.starts_with("$ ");
        block.lines().filter(is_typed)
    })
}

/// The words of a whole command line of ours; not of a part of one, and not of one with a shell's words around it.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line
        .trim()
        .trim_start_matches("$ ")
        .replace("...", "")
        .replace('…', "x");
    let line = line.replace('\n', " ");
    let rest = line.strip_prefix("git khlone")?;
    let plain = rest.split_once(" > ").map_or(rest, |(command, _)| command);
    let plain = plain.split(" | ").next().unwrap_or(plain);
    let plain = plain.split(" 2>").next().unwrap_or(plain);
    let is_part = rest.chars().next().is_some_and(|next| next != ' ');
    let words = (!is_part).then(|| shlex::split(&plain.replace(['[', ']'], "")))??;
    let words: Vec<_> = words
        .into_iter()
        .take_while(|word| !word.starts_with('#'))
        .collect();
    // `[VERB]`, `act|ask`: a form, no command.
    let is_form = words.first().is_some_and(|verb| verb.contains(['|', 'V']));
    (!is_form).then(|| std::iter::once("git-khlone".to_owned()).chain(words).collect())
}

/// The symptoms that one looks for are the words that the program says.
#[test]
fn quoted_symptoms_are_what_the_program_says() {
    let sources = crate::layers::sources("src");
    let sources: Vec<_> = sources
        .iter()
        .map(|source| source.text.replace("\\\n", " "))
        .collect();
    let page = include_str!("../../docs/troubleshooting.md");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let quoted = rows.flat_map(|row| {
        row.split(" | ")
            .next()
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2)
    });
    // A state of a task is quoted with its outcome.
    let states = |text: &str| text.split(": ").map(str::to_owned).collect::<Vec<_>>();
    let unsaid: Vec<_> = quoted
        .flat_map(states)
        .filter(|words| !sources.iter().any(|text| text.contains(words.as_str())))
        .collect();
    assert!(unsaid.is_empty(), "the program does not say {unsaid:#?}");
}

/// A next step is a command; what else there is to say stands behind `#`, where pasting it does no harm.
#[test]
fn next_steps_begin_with_a_command() {
    // What a program says of itself, or the whole of which is made elsewhere.
    const ELSEWHERE: [&str; 8] = [
        "{again} ",
        "{land}    # ",
        "{force}    # ",
        "{instead}    # ",
        " --clone ",
        "{} --version",
        "add --hooks skip",
        "bisect",
    ];
    const COMMANDS: [&str; 15] = [
        "cp", "git", "npm", "rm", "kill", "export", "chmod", "cd", "ls", "df", "ps", "mv", "env", "command",
        "sudo",
    ];
    // `hint.clone()`, `of_clone("land", …)`, `ADOPT`: made, or held, elsewhere.
    const MADE: [&str; 10] = [
        "ADOPT",
        "of_clone(",
        "way_out(",
        "hint.clone()",
        "instead.clone()",
        "again.clone()",
        "next.clone()",
        "damaged.next.clone()",
        "*",
        "first_brain()",
    ];
    let first = regex::Regex::new(r#"(?:Some\(|format!\(|=> |^)\s*"((?:[^"\\]|\\.)*)"#).unwrap();
    let mut prose = Vec::new();
    for (path, step) in next_steps() {
        let (mut goes_on, mut is_read) = (false, false);
        for line in step.lines() {
            let line = line.trim();
            let literal = first.captures(line).map(|found| found[1].to_owned());
            let begins = literal.filter(|_| !goes_on);
            goes_on = line.ends_with('\\');
            let Some(text) = begins.filter(|text| !text.is_empty()) else {
                continue;
            };
            is_read = true;
            let word = text.split(' ').next().unwrap_or_default();
            let is_known = COMMANDS.contains(&word) || ELSEWHERE.iter().any(|known| text.starts_with(known));
            if !is_known {
                prose.push(format!("{}: {text}", path.display()));
            }
        }
        if !is_read && !MADE.iter().any(|made| step.starts_with(&format!("=> {made}"))) {
            prose.push(format!("{}: no text to read in: {step}", path.display()));
        }
    }
    assert!(prose.is_empty(), "{prose:#?}");
}

/// Every next step that stands in an `explain!`, with its file; nothing explains itself in another way but what passes
/// on what another has said.
fn next_steps() -> Vec<(PathBuf, String)> {
    const PASS_ON: [&str; 2] = ["src/refs/zones.rs", "src/rpc/codes.rs"];
    let (mut steps, mut by_hand) = (Vec::new(), Vec::new());
    for source in crate::layers::sources("src") {
        let is_the_macro = source.path == Path::new("src/task/explain.rs");
        if !is_the_macro && source.text.contains(" Explain for ") {
            by_hand.push(source.path.display().to_string());
        }
        for block in source.text.split("\nexplain!").skip(1).filter(|_| !is_the_macro) {
            let found = steps_of(block);
            assert!(
                !found.is_empty() || !block.split("\n}\n").next().unwrap().contains("=>"),
                "{}: nothing read",
                source.path.display()
            );
            steps.extend(found.into_iter().map(|step| (source.path.clone(), step)));
        }
    }
    assert_eq!(by_hand, PASS_ON, "use explain!, whose next steps are read here");
    assert!(steps.len() > 100, "only {} next steps found", steps.len());
    steps
}

/// Of what stands behind `explain!`: `(Error: Class, STEP);`, or ` {`, arms `Variant => STEP,` and the end.
fn steps_of(block: &str) -> Vec<String> {
    if let Some(plain) = block.strip_prefix('(') {
        let plain = plain.split(");\n").next().unwrap();
        return plain
            .split_once(", ")
            .map(|(_, step)| format!("=> {step}"))
            .into_iter()
            .collect();
    }
    let mut arms: Vec<String> = Vec::new();
    for line in block.split("\n}\n").next().unwrap().lines() {
        let (text, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        // An arm, or a class with its only arm; what is deeper goes on with the last.
        let begins = indent == 12 && text.starts_with(|first: char| first.is_ascii_uppercase());
        let is_class = indent <= 8;
        match arms.last_mut() {
            Some(last) if !begins && !is_class => *last += &format!("\n{text}"),
            _ => arms.push(text.to_owned()),
        }
    }
    let step = |arm: String| {
        arm.split_once("=>")
            .map(|(_, step)| format!("=> {}", step.trim()))
    };
    arms.into_iter().filter_map(step).collect()
}
