//! `git khlone reply`: the answer to what a task asked, as the next task of its clone.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    dispatch::{Ready, Then, new_id},
    error::CmdError,
    prompt::PromptArgs,
    target,
};
use crate::zone::{Order, clone_of, refuse_open, zone_named};

/// Answer a task: its clone goes on in the same session
///
/// The answer is the next task of the same clone, in the same session of its brain, and runs before those that wait. It
/// may do what the task might: the answer to an act is an act, that to an ask an ask.
#[derive(Args, Debug)]
pub(super) struct ReplyArgs {
    /// Task to answer
    #[arg(value_name = "TASK")]
    task: String,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Wait for the answer's task to end
    #[arg(long = "await", conflicts_with = "watch")]
    wait: bool,
    /// Watch it to its end: what it does goes to stderr
    #[arg(long)]
    watch: bool,
}

/// Queues the answer.
pub(super) fn run(cx: &Cx, args: ReplyArgs) -> Result<ExitCode, CmdError> {
    let asked = target::task(cx, Some(&args.task), None)?.task;
    refuse_open(&asked)?;
    let place = zone_named(&cx.repo, &asked.branch)?;
    let ready = Ready::at(cx, &place, false)?;
    let who = clone_of(&asked);
    let order = Order::reply(&asked, &who, new_id()?, args.prompt.read()?);
    let then = match (args.wait, args.watch) {
        (true, _) => Then::Await,
        (_, true) => Then::Watch,
        _ => Then::Leave,
    };
    ready.send(cx, &order, then)
}
