//! `git khlone man`: the manual, made from the command line's own definition.
//!
//! git turns `git khlone --help` into `man git-khlone`, so the pages have to be where man looks: beside the folder
//! of the program, in `../share/man/man1`, which man derives from `PATH`.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::{
    error::{CmdError, printed},
    examples::examples,
    install::{InstallError, Placed},
};
use crate::{process::Cmd, render::Out, task::Class};

const PROGRAM: &str = "git-khlone";

/// Print a page of the manual, or install all of them
///
/// Without --install the page goes to stdout as man reads it: git khlone man act | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The verb that the page is about; without it, the page of git-khlone itself
    #[arg(value_name = "VERB", conflicts_with = "install")]
    verb: Vec<String>,
    /// Put every page into ../share/man/man1 of the program's folder
    #[arg(long)]
    install: bool,
}

/// A page of the manual.
#[derive(Debug)]
pub struct Page {
    /// Its file name: `git-khlone-act.1`.
    pub name: String,
    /// What man reads.
    pub roff: Vec<u8>,
}

/// Prints a page or installs all.
pub(super) fn run(out: Out, command: &Command, args: &ManArgs) -> Result<ExitCode, CmdError> {
    if args.install {
        install(out, command)?;
        return Ok(ExitCode::SUCCESS);
    }
    let pages = pages(command).map_err(InstallError::Program)?;
    let wanted = std::iter::once(PROGRAM).chain(args.verb.iter().map(String::as_str));
    let wanted = wanted.collect::<Vec<_>>().join("-");
    let is_it = |page: &&Page| page.name.rsplit_once('.').is_some_and(|(name, _)| name == wanted);
    let page = pages.iter().find(is_it).ok_or(InstallError::NoPage(wanted))?;
    printed(out.text(&String::from_utf8_lossy(&page.roff)))?;
    Ok(ExitCode::SUCCESS)
}

/// Every page: one for the program and one for each verb that is not hidden.
///
/// # Errors
/// None in practice: the pages are written to memory.
pub fn pages(command: &Command) -> io::Result<Vec<Page>> {
    let mut root = command.clone().disable_help_subcommand(true);
    root.build();
    let mut pages = vec![page(&root, PROGRAM)?, glossary()?];
    add_verbs(&root, PROGRAM, &mut pages)?;
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

fn add_verbs(command: &Command, prefix: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("{prefix}-{}", verb.get_name());
        pages.push(page(verb, &name)?);
        add_verbs(verb, &name, pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<Page> {
    let version = format!("git-khlone {}", env!("CARGO_PKG_VERSION"));
    let command = command.clone().display_name(name.to_owned());
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(version)
        .manual("git-khlone manual");
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    synopsis(&mut roff, command.clone())?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        man.render_subcommands_section(&mut roff)?;
    }
    let mut more = Roff::new();
    show_examples(&mut more, name);
    if name == PROGRAM {
        files(&mut more);
    }
    exit_status(&mut more);
    see_also(&mut more, name);
    more.to_writer(&mut roff)?;
    Ok(Page {
        name: format!("{name}.1"),
        roff: once(PREAMBLE, &String::from_utf8_lossy(&roff)).into_bytes(),
    })
}

/// The words of git-khlone, from the page that the repository has of them.
fn glossary() -> io::Result<Page> {
    let name = "git-khlone-glossary";
    let mut roff = Roff::new();
    let version = format!("git-khlone {}", env!("CARGO_PKG_VERSION"));
    let title = ["GIT-KHLONE-GLOSSARY", "7", "", &version, "git-khlone manual"];
    roff.control("TH", title);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - the words of git khlone"))]);
    roff.control("SH", ["DESCRIPTION"]);
    for line in GLOSSARY.lines() {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        match cells.as_slice() {
            ["word", _] | ["---|---" | ""] => {}
            [word, meaning] => {
                roff.control("TP", []);
                roff.text([bold(*word)]);
                roff.text([roman(meaning.replace('`', ""))]);
            }
            _ if line.starts_with('#') => {}
            _ => {
                roff.text([roman(line)]);
            }
        }
    }
    see_also(&mut roff, name);
    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    Ok(Page {
        name: format!("{name}.7"),
        roff: once(PREAMBLE, &String::from_utf8_lossy(&text)).into_bytes(),
    })
}

const GLOSSARY: &str = include_str!("../../docs/glossary.md");

/// What every section begins with: how an apostrophe is written in groff and elsewhere.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// `text` with `part` at its beginning only.
fn once(part: &str, text: &str) -> String {
    format!("{part}{}", text.replace(part, ""))
}

/// One line as in the help; the arguments one by one would fill the page.
fn synopsis(page: &mut Vec<u8>, mut command: Command) -> io::Result<()> {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(usage)]);
    roff.to_writer(page)
}

fn show_examples(roff: &mut Roff, name: &str) {
    let own = name.trim_start_matches(PROGRAM).trim_start_matches('-');
    let examples = examples(own);
    if examples.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    for (what, line) in examples {
        roff.control("TP", []);
        roff.text([roman(format!("{what}:"))]);
        roff.text([bold(*line)]);
    }
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    let codes = Class::ALL.map(|class| (class.exit_code().to_string(), class.meaning()));
    let good = [("0".to_owned(), "Done.")];
    for (code, meaning) in good.into_iter().chain(codes) {
        roff.control("TP", []);
        roff.text([bold(code)]);
        roff.text([roman(meaning)]);
    }
}

fn files(roff: &mut Roff) {
    let files = [
        (
            "khlone.yml",
            "Settings of a repository, at the top of the work tree. git khlone config shows what counts.",
        ),
        (
            "$XDG_CONFIG_HOME/khlone/config.yml",
            "Settings of the user, of the same shape.",
        ),
        (
            "<repository>.khlone/",
            "Worktrees of clones, beside the repository.",
        ),
        ("refs/khlone/*", "Tasks and zones, as git objects."),
    ];
    roff.control("SH", ["FILES"]);
    for (path, what) in files {
        roff.control("TP", []);
        roff.text([bold(path)]);
        roff.text([roman(what)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    let variables = [
        (
            "KHLONE_HOME",
            "Where trust, rate limits and tool caches are kept, instead of ~/.khlone.",
        ),
        (
            "KHLONE_DAEMON",
            "never: each command runs its task itself, follows it to its end and leaves no process, as CI and \
             containers want it; a task whose command is ended early is stopped with it and can be resumed. auto, as \
             without it: a daemon runs tasks in the background.",
        ),
        (
            "KHLONE_LOG",
            "What the daemon and its runners log, as a filter of tracing (info; debug).",
        ),
    ];
    for (name, what) in variables {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(what)]);
    }
}

fn see_also(roff: &mut Roff, name: &str) {
    roff.control("SH", ["SEE ALSO"]);
    let own = if name == PROGRAM { "git-worktree" } else { PROGRAM };
    let mut words = vec![bold(own), roman("(1), ")];
    if name == PROGRAM {
        words.extend([bold("git-khlone-glossary"), roman("(7), ")]);
    }
    words.extend([bold("git"), roman("(1)")]);
    roff.text(words);
}

/// The folder of the pages.
fn folder() -> Result<PathBuf, InstallError> {
    Ok(prefix()?.join("share/man/man1"))
}

/// What the program was installed below: `/usr` for `/usr/bin/git-khlone`. Seen from the folder on `PATH` that this
/// program was found in, since that is the one man knows, and a link in it may lead anywhere.
pub(super) fn prefix() -> Result<PathBuf, InstallError> {
    let program = std::env::current_exe().and_then(|path| path.canonicalize());
    let program = program.map_err(InstallError::Program)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| {
        folder
            .join(PROGRAM)
            .canonicalize()
            .is_ok_and(|found| found == program)
    });
    let bin = on_path
        .or_else(|| program.parent().map(Path::to_owned))
        .unwrap_or_default();
    Ok(bin.parent().unwrap_or(&bin).to_owned())
}

/// Every page, where man looks for it.
pub(super) fn placed(command: &Command) -> Result<Vec<Placed>, InstallError> {
    let folder = folder()?;
    let root = folder.parent().unwrap_or(&folder);
    let placed = |page: Page| {
        let section = page.name.rsplit_once('.').map_or("1", |(_, section)| section);
        Placed {
            path: root.join(format!("man{section}")).join(&page.name),
            bytes: page.roff,
        }
    };
    let pages = pages(command).map_err(InstallError::Program)?;
    Ok(pages.into_iter().map(placed).collect())
}

/// Puts every page in place.
pub(super) fn install(out: Out, command: &Command) -> Result<(), InstallError> {
    let (folder, pages) = (folder()?, placed(command)?);
    for page in &pages {
        page.put("man --install")?;
    }
    out.done(&format!("{} pages in {}", pages.len(), folder.display()));
    let page = folder.join(format!("{PROGRAM}.1"));
    let found = Cmd::new("man").args(["--where", PROGRAM]).output();
    match found {
        Ok(found) if Path::new(String::from_utf8_lossy(&found).trim()) == page => {}
        Ok(_) | Err(_) => {
            let root = folder.parent().unwrap_or(&folder).display();
            out.note(&format!("  man does not look there yet: export MANPATH={root}:"));
        }
    }
    Ok(())
}
