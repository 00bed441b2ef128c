//! `git khlone watch`: what clones do, as they do it.

mod follow;
mod many;

use std::process::ExitCode;

use clap::Args;

use follow::{Place, Watch};

use super::{
    cx::Cx,
    error::{CliError, CmdError},
    target::{Target, target},
    wait,
};
use crate::{
    daemon::Since,
    refs::{Stored, TaskHead},
    render::{Form, Stream},
    task::{CloneName, Mode, ZoneAddress, ZoneId, watch_zone},
};

/// Watch what clones do, as they do it
///
/// Ctrl-c leaves, and the clone works on; what it says is where to go on from. A task is watched to its end, and
/// the exit code is its outcome's. A clone is watched until nothing runs or waits for it; a zone or the whole
/// repository until ctrl-c, with the tasks that begin meanwhile.
#[derive(Args, Debug)]
#[expect(
    clippy::option_option,
    reason = "the zone that is named, the one here, or none"
)]
pub(super) struct WatchArgs {
    /// Task or clone, else the task that runs in the zone, or its newest
    #[arg(value_name = "CLONE|TASK")]
    target: Option<String>,
    /// Everything in this zone, or in the one that is checked out; with a clone, where to find it
    #[arg(short = 'z', long, value_name = "BRANCH", num_args = 0..=1)]
    zone: Option<Option<ZoneAddress>>,
    /// Everything in this repository
    #[arg(long, conflicts_with_all = ["target", "zone"])]
    all: bool,
    /// Go on from here: bytes of the last attempt, or attempt:bytes
    #[arg(long, value_name = "OFFSET")]
    since: Option<Since>,
    /// Print the events as they are stored, one JSON object a line
    #[arg(long)]
    raw: bool,
}

impl WatchArgs {
    /// The zone's address, if there is one.
    pub(super) fn address(&self) -> Option<&ZoneAddress> {
        self.zone.as_ref().and_then(Option::as_ref)
    }
}

/// Watches.
pub(super) fn run(cx: &Cx, args: &WatchArgs) -> Result<ExitCode, CmdError> {
    let form = match (args.raw, cx.out.is_json()) {
        (true, _) => Form::Raw,
        (false, true) => Form::Json,
        (false, false) => Form::Lines,
    };
    let mut watch = Watch::new(cx, form, Stream::Stdout, false)?;
    let whole_zone = args.zone.is_some() && args.target.is_none();
    if args.all || whole_zone {
        if args.since.is_some() || args.raw {
            return Err(CliError::usage(
                "--since and --raw are about one task",
                "git khlone watch TASK --since OFFSET",
            )
            .into());
        }
        let (only, back) = if args.all {
            (None, "git khlone watch --all".to_owned())
        } else {
            let place = cx.place(args.address())?;
            let back = watch_zone(&place.branch);
            (Some(place.zone), back)
        };
        watch.is_at(Place::Around(back));
        return many::follow(&mut watch, only.as_ref());
    }
    match (&args.target, target(cx, args.target.as_deref(), args.address())?) {
        (Some(_), Target::Clone(place, member)) => clone(&mut watch, &place.zone, &member.name, args.since),
        (Some(_), Target::Task(stored)) => one(&mut watch, &stored, args.since),
        (None, _) => {
            let zone = cx.place(args.address())?.zone;
            let stored = current(cx, |head| head.zone == zone)?;
            one(&mut watch, &stored, args.since)
        }
    }
}

/// Watches a task that was just queued: its events beside the answer, which is stdout's.
pub(super) fn dispatched(cx: &Cx, stored: &Stored) -> Result<ExitCode, CmdError> {
    let form = if cx.out.is_json() { Form::Json } else { Form::Lines };
    let ended = Watch::new(cx, form, Stream::Stderr, true)?.task(stored, None)?;
    // An act's words were shown as it said them, and stdout has its id.
    let answer = match stored.task.mode {
        Mode::Ask => wait::Answer::Wanted,
        Mode::Act => wait::Answer::Told,
    };
    wait::tell(cx, &ended, answer)
}

/// Watches one task to its end.
fn one(watch: &mut Watch<'_>, stored: &Stored, since: Option<Since>) -> Result<ExitCode, CmdError> {
    let ended = watch.task(stored, since)?;
    wait::tell(watch.cx, &ended, wait::Answer::Told)
}

/// Watches a clone until nothing runs or waits for it.
fn clone(
    watch: &mut Watch<'_>,
    zone: &ZoneId,
    name: &CloneName,
    mut since: Option<Since>,
) -> Result<ExitCode, CmdError> {
    let cx = watch.cx;
    let its = |head: &TaskHead| head.zone == *zone && head.clone == *name;
    loop {
        let stored = current(cx, its)?;
        let code = one(watch, &stored, since.take())?;
        let open = |head: &TaskHead| its(head) && !head.status.is_over();
        if !cx.ledger().heads()?.iter().any(open) {
            return Ok(code);
        }
    }
}

/// The task to look at: one that runs, else the next to run, else the newest.
fn current(cx: &Cx, its: impl Fn(&TaskHead) -> bool) -> Result<Stored, CmdError> {
    let ledger = cx.ledger();
    let heads: Vec<_> = ledger.heads()?.into_iter().filter(its).collect();
    let waiting = || {
        let waits = heads.iter().filter(|head| !head.status.is_over());
        waits.min_by_key(|head| head.queue_position())
    };
    let running = heads.iter().rfind(|head| head.status.is_active());
    match running.or_else(waiting).or(heads.last()) {
        Some(head) => Ok(ledger.task(&head.id)?),
        None => Err(CliError::nothing(
            "there is no task to watch here yet",
            "git khlone act \"what is to be done\" --watch",
        )
        .into()),
    }
}
