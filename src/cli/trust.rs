//! `git khlone trust`: agree to exactly what this repository's `khlone.yml` runs, reveals or opens up.

use std::{
    io::{self, BufRead, IsTerminal},
    process::ExitCode,
};

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
};
use crate::{
    config::{self, Trust},
    guard::trust::{TrustError, Verdict, in_shell},
    render::view::{TrustList, TrustedView},
    zone::{trust_request, trust_store},
};

/// Trust this repository's khlone.yml
#[derive(Args, Debug)]
pub(super) struct TrustArgs {
    /// Agree without being asked, for automation
    #[arg(long)]
    yes: bool,
    /// List what is trusted on this machine
    #[arg(long, conflicts_with = "yes")]
    list: bool,
    /// Take the agreement for this repository back
    #[arg(long, conflicts_with_all = ["yes", "list"])]
    revoke: bool,
}

/// Lists, revokes or grants trust.
pub(super) fn run(cx: &Cx, args: &TrustArgs) -> Result<ExitCode, CmdError> {
    let store = trust_store(&cx.paths);
    if args.list {
        let grants = store.list()?;
        let is_empty = grants.is_empty();
        printed(cx.out.answer(&TrustList { grants }))?;
        if is_empty {
            cx.out.note("no repository is trusted on this machine");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.revoke {
        let had = store.revoke(cx.repo.common_dir())?;
        printed(cx.out.answer(&TrustedView { trusted: false }))?;
        cx.out.done(if had {
            "no longer trusted"
        } else {
            "was not trusted"
        });
        return Ok(ExitCode::SUCCESS);
    }
    let place = cx.place(None)?;
    let loaded = cx.config(&place)?;
    if loaded.config.trust == Trust::Never {
        return Err(TrustError::Never.into());
    }
    let request = trust_request(&cx.repo, &place, &loaded)?;
    if loaded.asks.is_empty() {
        printed(cx.out.answer(&TrustedView { trusted: false }))?;
        cx.out.note(&format!(
            "{} here asks for nothing that needs trust",
            config::FILE_NAME
        ));
        return Ok(ExitCode::SUCCESS);
    }
    if let Verdict::Untrusted { commands, changed } = store.check(&request)? {
        let what = if changed {
            "khlone.yml has changed and now asks for:"
        } else {
            "khlone.yml asks for:"
        };
        cx.out.note(what);
        for words in &commands {
            cx.out.note(&format!("  {}", in_shell(words)));
        }
        cx.out.note("exactly as they stand in:");
        for (path, id) in request.contents()? {
            cx.out.note(&format!("  {id} {}", in_shell(&[path])));
        }
        if !args.yes && !agreed(cx)? {
            return Err(CliError::refused("nothing is trusted", "git khlone trust --yes").into());
        }
        store.grant(&request, crate::refs::now())?;
    }
    printed(cx.out.answer(&TrustedView { trusted: true }))?;
    cx.out.done("trusted, exactly as it stands");
    Ok(ExitCode::SUCCESS)
}

fn agreed(cx: &Cx) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    cx.out
        .note(&format!("trust exactly this {}? [y/N]", config::FILE_NAME));
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|source| CliError::Io {
        what: "stdin".to_owned(),
        source,
    })?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
