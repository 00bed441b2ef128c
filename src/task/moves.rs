//! Every change of a task's state, with the fields that follow from it.
//!
//! `status`, `outcome`, `reasons`, `question`, `dismissed`, `hold`, `cancel`, `next`, `parked_until`, `import` and an attempt's `recovery` say
//! together where a task stands, so they are set here and nowhere else (`tests/it/layers.rs` holds it). A move that
//! the state machine does not have changes nothing. [`Task::mend`] brings documents in order that were written before
//! this was so.

use super::{Death, Event, How, IllegalMove, Import, Outcome, Retry, Status, Task};

/// What happens to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// A runner claims it for its next attempt.
    Start,
    /// It waits for a limit, until then where that is known.
    Park {
        /// Seconds since the epoch.
        until: Option<i64>,
        /// Which limit.
        why: String,
    },
    /// The end of the limit that it is parked for is known now.
    ParkUntil(i64),
    /// The limit is over.
    Unpark,
    /// A task that it waits for was not done.
    Skip {
        /// Which.
        why: String,
    },
    /// It is to be stopped: at once, or by its runner.
    Cancel {
        /// By whom.
        why: String,
    },
    /// An interrupted one is to be cancelled once its last attempt is recovered.
    CancelRecovered,
    /// The brain has ended, and all of it is written down; branch and notes are still to come.
    End(Ending),
    /// All has come; with the reason where the branch could not follow.
    Conclude {
        /// What stands in the branch's way.
        diverged: Option<String>,
    },
    /// It ends without a brain's end.
    Fail {
        /// As what.
        outcome: Outcome,
        /// Why, the cause first.
        reasons: Vec<String>,
    },
    /// Its runner died.
    Die,
    /// A person wants it tried once more.
    Again(How),
    /// A try to recover its last attempt begins at this time, seconds since the epoch.
    Recover(i64),
    /// That try failed.
    RecoverLater {
        /// When, seconds since the epoch.
        now: i64,
        /// Why.
        why: String,
    },
    /// What its last attempt left is found and written down.
    Examined {
        /// What is known of its death.
        death: Death,
        /// The branch move that is still to come.
        import: Option<Import>,
    },
    /// Its last attempt is recovered, the branch as far as it can be.
    Recovered,
    /// The next attempt may begin.
    GoOn,
    /// The next attempt begins then.
    Rest {
        /// Seconds since the epoch.
        until: i64,
        /// Why not now.
        why: String,
    },
    /// A person has to look.
    Hold {
        /// Why.
        why: String,
    },
    /// A person takes it off the list of what needs them: at this time, seconds since the epoch.
    Dismiss(i64),
    /// It is put back on that list.
    Recall,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What the evidence proves.
    pub outcome: Outcome,
    /// The evidence, in words.
    pub reasons: Vec<String>,
    /// What the brain asked.
    pub question: Option<String>,
    /// The branch move that is still to come.
    pub import: Option<Import>,
    /// When the limit ends that it ran into, seconds since the epoch.
    pub limited_until: Option<i64>,
}

impl Task {
    /// Makes a move; gives the states that it passed through, the last of which it is in now.
    ///
    /// # Errors
    /// [`IllegalMove`] where the machine has no such move; nothing has changed then.
    pub fn make(&mut self, to: Move) -> Result<Vec<Status>, IllegalMove> {
        let path = self.path(&to)?;
        if let Some(last) = path.last() {
            self.status = *last;
        }
        match to {
            Move::Start => {
                // A word that comes in this moment counts.
                let cancel = self.cancel;
                self.clear();
                self.asks_nothing();
                self.cancel = cancel;
            }
            Move::Park { until, why } => {
                self.clear();
                self.outcome = Some(Outcome::Limited);
                self.reasons = vec![why];
                self.parked_until = until;
            }
            Move::ParkUntil(until) => self.parked_until = Some(until),
            Move::Unpark => self.clear(),
            Move::Skip { why } => {
                self.clear();
                self.reasons = vec![why];
            }
            Move::Cancel { why } if self.status.is_over() => self.over(Outcome::Cancelled, vec![why]),
            Move::Cancel { .. } => self.cancel = true,
            Move::CancelRecovered => {
                self.cancel = true;
                self.hold = None;
                self.forget_recovery();
            }
            Move::End(ending) => {
                self.cancel = false;
                self.outcome = Some(ending.outcome);
                self.reasons = ending.reasons;
                self.question = ending.question;
                self.import = ending.import;
                let is_limited = ending.outcome == Outcome::Limited;
                self.parked_until = ending.limited_until.filter(|_| is_limited);
            }
            Move::Conclude { diverged } => self.conclude(diverged),
            Move::Fail { outcome, reasons } => self.over(outcome, reasons),
            Move::Die => {}
            Move::Again(how) => self.again(how),
            Move::Recover(now) => self.recovery_is(|before| Retry::begin(before, now)),
            Move::RecoverLater { now, why } => {
                self.recovery_is(|before| Retry::failed(before, now, why.clone()));
            }
            Move::Examined { death, import } => {
                self.import = import;
                if let Some(last) = self.attempts.last_mut() {
                    last.died = Some(death);
                }
            }
            Move::Recovered => {
                self.forget_recovery();
                self.import = None;
                if let Some(death) = self.attempts.last_mut().and_then(|last| last.died.as_mut()) {
                    death.open = false;
                }
            }
            Move::GoOn => {
                // What was asked for is the next attempt's.
                let next = self.next;
                self.clear();
                self.next = next;
            }
            Move::Rest { until, why } => {
                self.forget_recovery();
                self.parked_until = Some(until);
                self.reasons = vec![why];
            }
            Move::Hold { why } => {
                self.forget_recovery();
                self.next = None;
                if !self.ended() {
                    self.parked_until = None;
                    self.reasons = vec![why.clone()];
                }
                self.hold = Some(why);
            }
            Move::Dismiss(now) => self.dismissed = Some(now),
            Move::Recall => self.dismissed = None,
        }
        Ok(path)
    }

    /// The states that a move leads through.
    fn path(&self, to: &Move) -> Result<Vec<Status>, IllegalMove> {
        let from = self.status;
        let events: &[Event] = match to {
            Move::Start => &[Event::Start],
            Move::Park { .. } => &[Event::Park],
            Move::Unpark => &[Event::Unpark],
            Move::Skip { .. } => &[Event::Skip],
            Move::Cancel { .. } => &[Event::Cancel],
            Move::End(_) => &[Event::End],
            Move::Conclude { diverged } => {
                let recorded = self.outcome.unwrap_or(Outcome::Crashed);
                let outcome = diverged.as_ref().map_or(recorded, |_| Outcome::Diverged);
                // Where the runner died that had written the end down, it is resumed there.
                return match from {
                    Status::Interrupted => along(from, &[Event::Start, Event::End, outcome.event()]),
                    _ => along(from, &[outcome.event()]),
                };
            }
            Move::Fail { .. } => &[Event::Fail],
            Move::Die => &[Event::Die],
            Move::Again(_) if !self.is_open() => &[Event::Again],
            // What is left changes how the task waits, and not its state.
            Move::ParkUntil(_) => return stays(from, &[Status::Parked], Event::Park),
            Move::Dismiss(_) | Move::Recall => {
                const OVER: [Status; 4] = [Status::Done, Status::Failed, Status::Cancelled, Status::Skipped];
                return stays(from, &OVER, Event::Dismiss);
            }
            Move::Recover(_) => {
                return stays(from, &[Status::Interrupted, Status::Finishing], Event::Continue);
            }
            Move::Again(_)
            | Move::CancelRecovered
            | Move::RecoverLater { .. }
            | Move::Examined { .. }
            | Move::Recovered
            | Move::GoOn
            | Move::Rest { .. }
            | Move::Hold { .. } => return stays(from, &[Status::Interrupted], Event::Continue),
        };
        along(from, events)
    }

    /// Interrupted, with an attempt that is not recovered.
    fn is_open(&self) -> bool {
        self.status == Status::Interrupted && !self.is_recovered()
    }

    /// Whether its last attempt has ended, and only its conclusion is still to come.
    pub fn ended(&self) -> bool {
        matches!(self.status, Status::Interrupted | Status::Finishing) && self.outcome.is_some()
    }

    /// Forgets everything that a state before has left.
    fn clear(&mut self) {
        self.outcome = None;
        self.reasons.clear();
        self.hold = None;
        self.cancel = false;
        self.next = None;
        self.parked_until = None;
        self.import = None;
        self.forget_recovery();
    }

    /// What was asked or dismissed of it was an earlier attempt's.
    fn asks_nothing(&mut self) {
        self.question = None;
        self.dismissed = None;
    }

    fn over(&mut self, outcome: Outcome, reasons: Vec<String>) {
        self.clear();
        self.outcome = Some(outcome);
        self.reasons = reasons;
    }

    fn conclude(&mut self, diverged: Option<String>) {
        let recorded = self.outcome.unwrap_or(Outcome::Crashed);
        let outcome = diverged.as_ref().map_or(recorded, |_| Outcome::Diverged);
        let mut reasons = std::mem::take(&mut self.reasons);
        reasons.extend(diverged);
        let until = self.parked_until.filter(|_| self.status == Status::Parked);
        self.over(outcome, reasons);
        self.parked_until = until;
    }

    fn again(&mut self, how: How) {
        // What a dead attempt left to do, a branch move above all, is done before the next one.
        let is_open = self.status == Status::Interrupted;
        self.asks_nothing();
        if !is_open {
            self.clear();
        } else if !self.ended() {
            self.parked_until = None;
        }
        self.next = (!self.attempts.is_empty()).then_some(how);
        self.hold = None;
        self.cancel = false;
        self.forget_recovery();
    }

    fn recovery_is(&mut self, of: impl FnOnce(Option<&Retry>) -> Retry) {
        if let Some(last) = self.attempts.last_mut() {
            last.recovery = Some(of(last.recovery.as_ref()));
        }
    }

    fn forget_recovery(&mut self) {
        if let Some(last) = self.attempts.last_mut() {
            last.recovery = None;
        }
    }

    /// Brings a document in order that says what cannot be true together: the state counts.
    pub fn mend(&mut self) {
        self.outcome = self.status.outcome(self.outcome);
        if self.status != Status::Interrupted {
            self.hold = None;
        }
        if self.status.is_over() {
            self.cancel = false;
            self.next = None;
            self.parked_until = None;
        }
    }

    /// What cannot be true together.
    pub fn contradiction(&self) -> Option<String> {
        let mut mended = self.clone();
        mended.mend();
        if mended != *self {
            return Some(format!(
                "it is {}, and its other fields say otherwise",
                self.status
            ));
        }
        if self.import.is_some() && self.status.is_over() {
            return Some("it is over, but a branch move is still to come".to_owned());
        }
        let end = self
            .outcome
            .map(|outcome| Status::Finishing.next(outcome.event()));
        match (self.status, end) {
            (Status::Done, None) => Some("it is done without an outcome".to_owned()),
            (Status::Done | Status::Failed | Status::Cancelled, Some(end)) if end != Ok(self.status) => {
                let outcome = self.outcome.map_or("nothing", Outcome::as_str);
                Some(format!("it is {} with the outcome {outcome}", self.status))
            }
            _ => None,
        }
    }
}

impl Status {
    /// The outcome of a task in this state, of which `stored` was written down.
    pub fn outcome(self, stored: Option<Outcome>) -> Option<Outcome> {
        match self {
            Self::Cancelled => Some(Outcome::Cancelled),
            Self::Skipped => None,
            _ => stored,
        }
    }
}

fn stays(from: Status, allowed: &[Status], event: Event) -> Result<Vec<Status>, IllegalMove> {
    let is_allowed = allowed.contains(&from);
    is_allowed.then(Vec::new).ok_or(IllegalMove { from, event })
}

fn along(from: Status, events: &[Event]) -> Result<Vec<Status>, IllegalMove> {
    let mut at = from;
    let steps = events.iter().map(|event| {
        at = at.next(*event)?;
        Ok(at)
    });
    steps.collect()
}

#[cfg(test)]
mod tests;
