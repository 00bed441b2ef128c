//! `git khlone land`: a clone's work into its zone's branch.

mod others;

use std::{path::Path, process::ExitCode};

use clap::{Args, ValueEnum};

use others::{Zone, besides, instead, others};

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    target::{Target, crew_of, target},
};
use crate::{
    config::{Attribution, Party},
    delivery::{
        advance::standing,
        landing::{HookUse, Landing, Policy, Style, Voice, land},
        merged::Judge,
    },
    guard::secrets::{cleaner::Cleaner, redact::Redactor},
    refs::{Crew, Oid, Stored, branch_ref},
    render::{Pulse, view::LandedView},
    task::{Outcome, Status, ZoneAddress, ZoneId, of_clone},
    worktree::{
        carry::{changes, listed},
        checkout::Checkout,
    },
    zone::Place,
};

/// Bring a clone's work into its zone's branch
#[derive(Args, Debug)]
pub(super) struct LandArgs {
    /// Task or clone, else the newest task of the zone
    #[arg(value_name = "TASK|CLONE")]
    target: Option<String>,
    /// In which zone, else the branch that is checked out
    #[arg(short = 'z', long, value_name = "BRANCH")]
    pub(super) zone: Option<ZoneAddress>,
    /// Make a merge commit even where a fast-forward would do
    #[arg(long)]
    no_ff: bool,
    /// Make one commit of all of it
    #[arg(long, conflicts_with = "no_ff")]
    squash: bool,
    /// Make its commits anew, one by one, on the zone's tip
    #[arg(long, conflicts_with_all = ["no_ff", "squash"])]
    rebase: bool,
    /// `run` your git hooks though it changes them, or `skip` those that can reject, as git's --no-verify
    #[arg(long, value_name = "run|skip")]
    hooks: Option<Hooks>,
}

/// What becomes of hooks.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum Hooks {
    Run,
    Skip,
}

/// Only commits land: says so where the clone's worktree has more.
fn tell_of_uncommitted(cx: &Cx, member: &Crew) {
    let place = member.path.as_ref().map(Path::new).filter(|place| place.is_dir());
    let checkout = place.and_then(|place| Checkout::linked_at(cx.repo.common_dir(), place));
    let files = checkout
        .and_then(|checkout| changes(&checkout, true).ok())
        .unwrap_or_default();
    if !files.is_empty() {
        cx.out.note(&format!(
            "note: {} has work that is in no commit and has not landed: {}",
            member.name,
            listed(&files)
        ));
    }
}

/// Before the first landing of a site: who stands in the commits.
fn tell_of_attribution(cx: &Cx, attribution: Attribution) {
    let told = cx.site.dir().join("attribution-told");
    if told.exists() {
        return;
    }
    let me = cx.repo.user().map(|(name, email)| format!("{name} <{email}>"));
    let me = me.unwrap_or_else(|| "git-khlone, since git knows no user".to_owned());
    let name = |party| match party {
        Party::You => me.as_str(),
        Party::Khlone => "git-khlone",
    };
    let or_not = |is_set: bool, line: &str| {
        if is_set {
            line.to_owned()
        } else {
            format!("no {line}")
        }
    };
    cx.out.note(&format!(
        "note: commits for clones: author {}, committer {}, {}; what lands: {} (`attribution` in khlone.yml)",
        name(attribution.author),
        name(attribution.committer),
        or_not(attribution.co_author, "Co-authored-by"),
        or_not(attribution.sign_off, "Signed-off-by"),
    ));
    if let Err(error) = std::fs::write(told, "") {
        tracing::debug!(%error, "it is told again");
    }
}

/// What is to be landed.
struct What {
    member: Crew,
    /// The zone's branch.
    zone: String,
    up_to: Option<Oid>,
    /// What that is called.
    name: String,
    /// What it is about, if one task.
    about: Option<String>,
}

/// A task's title and the rest of its prompt, as a commit's message may have it: what would be lost in a commit for ever,
/// or fill it, stays in the task.
fn about(cx: &Cx, stored: &Stored) -> Result<String, CmdError> {
    const MOST: usize = 4000;
    let prompt = cx.ledger().file(stored, "prompt.md")?.unwrap_or_default();
    let mut cleaner = Cleaner::new(&Redactor::default());
    let mut prompt = cleaner.push(&prompt);
    prompt.push_str(&cleaner.finish().0);
    let prompt = prompt.trim();
    let title = stored.task.title.as_str();
    // One that was cut stands below whole.
    let rest = prompt.strip_prefix(title).map_or(prompt, str::trim_start);
    let end = rest.floor_char_boundary(MOST.min(rest.len()));
    let cut = if end < rest.len() { "…" } else { "" };
    Ok(format!("{title}\n\n{}{cut}", &rest[..end]))
}

/// What the command line names.
fn what(cx: &Cx, args: &LandArgs) -> Result<What, CmdError> {
    Ok(match target(cx, args.target.as_deref(), args.zone.as_ref())? {
        Target::Task(stored) => {
            let task = &stored.task;
            let zone = Zone {
                id: &task.zone,
                branch: &task.branch,
            };
            if !task.status.is_over() {
                let wait = format!("git khlone await {}", task.id);
                return Err(CliError::refused(
                    format!("{} is {}; there is nothing to land yet", task.id, task.status),
                    instead(cx, zone, wait)?,
                )
                .into());
            }
            let name = crate::refs::pin_ref(
                &task.id,
                task.last_attempt().map_or(0, |attempt| attempt.n),
                "head-after",
            );
            let up_to = cx.repo.ref_target(&name).map_err(CliError::from)?;
            if up_to.is_none() || task.status == Status::Skipped {
                let show = format!("git khlone show {}", task.id);
                return Err(CliError::nothing(
                    format!("{} has no commits to land", task.id),
                    instead(cx, zone, show)?,
                )
                .into());
            }
            if args.target.is_none() && task.status != Status::Done {
                let word = task.outcome.map_or(task.status.as_str(), Outcome::told);
                let also = besides(cx, zone, &task.clone)?;
                return Err(CliError::refused(
                    format!("the newest task, {}, is not done: {word}", task.id),
                    format!("git khlone land {}    # lands what it left{also}", task.id),
                )
                .into());
            }
            What {
                member: crew_of(cx, &stored)?,
                zone: task.branch.clone(),
                up_to,
                name: format!("{} ({}): {}", task.id, task.clone, task.title),
                about: Some(about(cx, &stored)?),
            }
        }
        Target::Clone(place, member) => What {
            name: member.name.to_string(),
            member: *member,
            zone: place.branch,
            up_to: None,
            about: None,
        },
    })
}

/// Lands it.
pub(super) fn run(cx: &Cx, args: &LandArgs) -> Result<ExitCode, CmdError> {
    cx.refuse_other_checkout()?;
    let what = what(cx, args)?;
    let (member, zone) = (what.member, what.zone);
    let style = match args {
        LandArgs { squash: true, .. } => Style::Squash,
        LandArgs { rebase: true, .. } => Style::Rebase,
        LandArgs { no_ff: true, .. } => Style::NoFf,
        _ => Style::Auto,
    };
    let hooks = match args.hooks {
        None => HookUse::Guard,
        Some(Hooks::Run) => HookUse::Run,
        Some(Hooks::Skip) => HookUse::Skip,
    };
    let place = Place {
        zone: ZoneId::of_branch(&zone),
        branch: zone.clone(),
        // A clone's worktree has no say in it.
        inside: cx.place(None).ok().and_then(|here| here.inside),
    };
    let config = cx.config(&place)?.config;
    let landing = Landing {
        zone: &zone,
        branch: &member.branch,
        up_to: what.up_to,
        style,
        what: &what.name,
        about: what.about.as_deref(),
    };
    let policy = Policy::of(&cx.repo, &landing, &config, hooks)?;
    tell_of_attribution(cx, config.attribution);
    let pulse = Pulse::new(cx.out, "landing");
    let ledger = cx.ledger();
    let voice = Voice {
        said: &|text| pulse.aside(|| cx.out.note(text)),
        signs: &|| pulse.clear(),
    };
    let landed = land(&ledger, &landing, (&policy, &voice));
    pulse.clear();
    let landed = landed?;
    let heads = ledger.heads()?;
    printed(
        cx.out
            .answer(&LandedView::of(&zone, &member.branch, &landed, &heads)),
    )?;
    if !landed.rewritten.is_empty() {
        let n = landed.rewritten.len();
        let commits = if n == 1 { "commit" } else { "commits" };
        let why = policy.signs.map_or("", |_| ", signed");
        let where_to = landed
            .tasks
            .first()
            .map(|id| format!("; git khlone --json show {id} has old and new"));
        cx.out.note(&format!(
            "{n} {commits} made anew{why}{}",
            where_to.unwrap_or_default()
        ));
    }
    if args.target.is_none() && landed.old == landed.new {
        let zone = Zone {
            id: &place.zone,
            branch: &place.branch,
        };
        for other in others(cx, zone, Some(&member.name))? {
            cx.out.note(&other.what(zone));
            cx.out.note(&format!("  {}", other.command(zone)));
        }
    }
    if let Some(n) = landed.undo {
        cx.out.note(&format!("git khlone undo {n} takes it back"));
    }
    tell_of_uncommitted(cx, &member);
    Ok(ExitCode::SUCCESS)
}
