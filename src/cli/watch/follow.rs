//! Following one task to its end.

use std::{
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

use super::super::{
    cx::Cx,
    error::{CmdError, printed},
    interrupt::{INTERRUPTED, on_interrupt},
};
use crate::{
    daemon::{Bookmark, Feed, Line, News, Since},
    refs::Stored,
    render::{Form, Out, Pulse, Reporter, Stream, waits},
    task::{CloneName, Task, TaskId},
};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a task that waits is asked what for.
const ASK: Duration = Duration::from_secs(1);

/// A watcher: how it shows what it sees, and where it has got to.
pub(super) struct Watch<'a> {
    pub(super) cx: &'a Cx,
    pub(super) form: Form,
    pub(super) stream: Stream,
    pub(super) pulse: Pulse,
    line: Line,
    place: Arc<Mutex<Place>>,
}

/// Where a watcher is, for when it is interrupted.
pub(super) enum Place {
    /// It has not found its task yet, or looks at many: how to come back.
    Around(String),
    /// What it has seen of a task.
    At {
        task: TaskId,
        clone: CloneName,
        at: Bookmark,
    },
}

impl Place {
    fn of(task: &Task, at: Bookmark) -> Self {
        Self::At {
            task: task.id.clone(),
            clone: task.clone.clone(),
            at,
        }
    }
}

impl<'a> Watch<'a> {
    /// A watcher that prints to `stream`. With `starts`, a daemon that is gone is started again.
    pub(super) fn new(cx: &'a Cx, form: Form, stream: Stream, starts: bool) -> Result<Self, CmdError> {
        let place = Arc::new(Mutex::new(Place::Around("git khlone watch".to_owned())));
        let pulse = Pulse::still(cx.out, "");
        let (out, seen, moving) = (cx.out, Arc::clone(&place), pulse.clone());
        let stops = cx.stops();
        on_interrupt(INTERRUPTED, move || leave(out, &seen, &moving, stops()));
        pulse.begin();
        Ok(Self {
            cx,
            form,
            stream,
            pulse,
            line: Line::new(cx.daemon()?, starts),
            place,
        })
    }

    /// Follows a task to its end, and gives it as it is then.
    pub(super) fn task(&mut self, stored: &Stored, since: Option<Since>) -> Result<Stored, CmdError> {
        let (cx, task) = (self.cx, &stored.task);
        let ledger = cx.ledger();
        let mut feed = Feed::of(stored, since);
        self.is_at(Place::of(task, feed.at()));
        let mut report = Reporter::new(task, task.clone.to_string(), self.form, self.stream.width());
        let (mut said, mut status) = (String::new(), task.status);
        self.pulse.say(report.summary());
        loop {
            let patience = if status.is_waiting() { ASK } else { PATIENCE };
            let attempt = feed.at().attempt;
            let news = if task.status.is_over() {
                feed.look(&ledger, Duration::ZERO)?
            } else {
                feed.next(&ledger, &mut self.line, patience)?
            };
            status = news.status;
            self.show(stored, &mut report, &news, feed.at())?;
            if feed.at().attempt > attempt {
                let next = report.attempt(feed.at().attempt);
                self.print(&next)?;
            }
            if news.over {
                break;
            }
            if status.is_waiting() {
                self.say_what_it_waits_for(&task.id, &mut said)?;
            } else {
                self.pulse.say(report.summary());
            }
        }
        let ended = ledger.task(&task.id)?;
        let mut last = report.finish();
        if self.form == Form::Json {
            last.push_str(&report.end(ended.task.status, ended.task.outcome));
        }
        self.print(&last)?;
        self.pulse.clear();
        Ok(ended)
    }

    fn show(
        &self,
        stored: &Stored,
        report: &mut Reporter,
        news: &News,
        at: Bookmark,
    ) -> Result<(), CmdError> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let text = report.events(&news.events);
        self.print(&text)?;
        *place = Place::of(&stored.task, at);
        Ok(())
    }

    /// What an interrupt tells from here on.
    pub(super) fn is_at(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Prints lines above the one that moves.
    pub(super) fn print(&self, text: &str) -> Result<(), CmdError> {
        if text.is_empty() {
            return Ok(());
        }
        let print = || printed(self.cx.out.lines(self.stream, text));
        Ok(self.pulse.aside(print)?)
    }

    fn say_what_it_waits_for(&self, id: &TaskId, said: &mut String) -> Result<(), CmdError> {
        let ledger = self.cx.ledger();
        let stored = ledger.task(id)?;
        let Some(wait) = self.cx.ground().waits(&stored.task, &ledger.heads()?) else {
            return Ok(());
        };
        let mut text = format!("{id} {}", waits(&wait));
        if !self.line.is_up() {
            text.push_str("; no daemon runs: git khlone daemon start");
        }
        self.pulse.say(text.clone());
        if text != *said && !self.pulse.is_seen() {
            self.cx.out.note(&format!("… {text}"));
        }
        *said = text;
        Ok(())
    }
}

/// Says what goes on, and where to go on from. Nobody waits long for a reader that does not read.
fn leave(out: Out, place: &Mutex<Place>, pulse: &Pulse, is_stopped: bool) {
    let deadline = Instant::now() + Duration::from_millis(300);
    let place = loop {
        match place.try_lock() {
            Ok(place) => break Some(place),
            Err(TryLockError::Poisoned(place)) => break Some(place.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            // What was printed is not known.
            Err(TryLockError::WouldBlock) => break None,
        }
    };
    pulse.clear();
    let (who, next) = match place.as_deref() {
        Some(Place::At { task, clone, .. }) if is_stopped => (
            format!("{clone} is stopped with this command"),
            format!("git khlone resume {task}"),
        ),
        Some(Place::At { task, clone, at }) => (
            format!("{clone} keeps running"),
            format!("git khlone watch {task} --since {at}"),
        ),
        Some(Place::Around(back)) => ("what runs keeps running".to_owned(), back.clone()),
        None => (
            "what runs keeps running".to_owned(),
            "git khlone watch".to_owned(),
        ),
    };
    out.note(&format!("· left; {who}"));
    out.note(&format!("  next: {next}"));
}
