//! What happened in a task.

use jiff::tz::TimeZone;

use super::super::{Story, Stream, View, clock, one_line};
use crate::query::{LogView, Step};

impl View for LogView {
    fn plain(&self) -> String {
        let (mut text, zone) = (String::new(), TimeZone::system());
        for (n, step) in self.history.iter().enumerate() {
            let time = clock(step.at.saturating_mul(1000), &zone);
            let state = step.to.as_str();
            let line = if adds_nothing(step, self.history.get(n + 1)) {
                format!("{time}  {state}")
            } else {
                format!("{time}  {state:<11} {}", one_line(&step.reason))
            };
            text.push_str(&format!("{line}\n"));
        }
        text.push('\n');
        let mut story = Story::new(self.clone.to_string(), Stream::Stdout.width(), TimeZone::system());
        for record in &self.events {
            text.push_str(&story.tell(record));
        }
        text.push_str(&story.finish());
        text
    }
}

/// Whether a step's reason is the status's own word, or what the next step says anyhow: that of `finishing` is the
/// outcome.
fn adds_nothing(step: &Step, next: Option<&Step>) -> bool {
    let reason = step.reason.as_str();
    let follows = |next: &Step| next.to.as_str() == reason || next.reason == reason;
    reason.is_empty() || reason == step.to.as_str() || next.is_some_and(follows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Status;

    #[test]
    fn an_end_is_told_once() {
        let step = |to, reason: &str| Step {
            at: 0,
            from: None,
            to,
            by: "runner".to_owned(),
            generation: 1,
            reason: reason.to_owned(),
        };
        for (finishing, end, adds) in [
            ("failed", step(Status::Failed, "failed"), false),
            ("no-op", step(Status::Done, "no-op"), false),
            ("timeout", step(Status::Failed, "timeout"), false),
            ("done", step(Status::Failed, "diverged"), true),
        ] {
            let before = step(Status::Finishing, finishing);
            assert_eq!(adds_nothing(&before, Some(&end)), !adds, "{finishing}");
        }
        // One whose runner died there has said no more.
        assert!(!adds_nothing(&step(Status::Finishing, "failed"), None));
        let parked = step(Status::Parked, "until 12:30");
        assert!(!adds_nothing(&parked, Some(&step(Status::Queued, ""))));
    }
}
