//! `git khlone uninstall`: plain git is left.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
};
use crate::{
    daemon,
    render::{Pulse, view::UninstalledView},
    upkeep::uninstall::{Wish, check, uninstall},
    worktree::place::Ground,
    zone::trust_store,
};

/// Remove git-khlone from this repository
///
/// Worktrees and branches of clones, tasks, notes and saved states go, and plain git is left. Everything that was
/// stored goes into one bundle first, from which git fetches it again. The program itself stays.
#[derive(Args, Debug)]
pub(super) struct UninstallArgs {
    /// Leave the branches of clones
    #[arg(long)]
    keep_branches: bool,
    /// Also with tasks that are not over, and work that is not landed or not committed: all of it goes into the bundle
    #[arg(long)]
    force: bool,
    /// Where the bundle goes, else beside the repository
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

/// Takes everything away.
pub(super) fn run(cx: &Cx, args: UninstallArgs) -> Result<ExitCode, CmdError> {
    let named = args.bundle.is_some();
    let bundle = args.bundle.unwrap_or_else(|| usual_bundle(cx));
    let wish = Wish {
        bundle: &bundle,
        named,
        keep_branches: args.keep_branches,
        force: args.force,
    };
    let ledger = cx.ledger();
    check(&ledger, &wish)?;
    daemon::stop(&cx.daemon()?)?;
    let pulse = Pulse::new(cx.out, "saving everything into one bundle");
    let gone = uninstall(&ledger, &wish)?;
    pulse.clear();
    forget(cx)?;
    let back = gone.back.join(" && ");
    printed(cx.out.answer(&UninstalledView::of(gone)))?;
    if !back.is_empty() {
        cx.out.done(&format!("saved; this brings it back:\n{back}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// `<repository>.khlone.bundle`, beside it.
fn usual_bundle(cx: &Cx) -> PathBuf {
    let ground = Ground::of(cx.repo.common_dir(), cx.repo.main_work_dir().as_deref());
    let mut name = ground.name.clone();
    name.push(".khlone.bundle");
    let folder = ground.parent.unwrap_or(ground.top);
    folder.join(name)
}

/// What this machine remembers of the repository, besides the machine's own settings.
fn forget(cx: &Cx) -> Result<(), CmdError> {
    trust_store(&cx.paths).revoke(cx.repo.common_dir())?;
    let uuid = &cx.site.owner().site_uuid;
    let entry = cx.registry().join(format!("{uuid}.json"));
    let cache = cx.paths.khlone_home.join("cache").join(uuid);
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let removed = gone(fs::remove_file(&entry)).and_then(|()| crate::worktree::erase::erase(&cache));
    removed.map_err(|source| CliError::Io {
        what: cx.paths.khlone_home.display().to_string(),
        source,
    })?;
    Ok(())
}
