//! Of one task: all that it is, what its brain got of the environment, what happened in it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    query::{EnvView, Ground, LogView, Query, QueryError, TaskDetail, TaskDocument, crew_of, nothing, task},
    refs::Stored,
    runner,
};

/// So much of what an attempt wrote to stderr is told.
const ERRORS: usize = 2000;

/// A question about one task.
macro_rules! about_task {
    ($(#[doc = $doc:literal])+ $name:ident, $method:literal, $answer:ty, $by:expr) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The task, by the beginning of its id, or a clone, whose newest it is; else the newest of the zone.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub task: Option<String>,
            /// In which zone, by its branch; else the one that is checked out.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub zone: Option<String>,
        }

        impl Query for $name {
            const METHOD: &'static str = $method;
            type Answer = $answer;

            fn answer(&self, ground: &Ground<'_>) -> Result<Self::Answer, QueryError> {
                let stored = task(ground, self.task.as_deref(), self.zone.as_deref())?;
                $by(ground, &stored)
            }
        }
    };
}

about_task!(
    /// What `show` tells of a task.
    Show,
    "query.show",
    TaskDetail,
    detail
);

about_task!(
    /// What `show --env` tells.
    Env,
    "query.env",
    EnvView,
    env
);

about_task!(
    /// What `log` tells: of the last attempt.
    Log,
    "query.log",
    LogView,
    log
);

fn detail(ground: &Ground<'_>, stored: &Stored) -> Result<TaskDetail, QueryError> {
    let ledger = ground.ledger();
    let text = |path: &str| -> Result<Option<String>, QueryError> {
        Ok(ledger
            .file(stored, path)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let answer = match text("artifacts/answer")? {
        Some(answer) => Some(answer),
        None => text("artifacts/summary")?,
    };
    let last = stored.task.last_attempt().map_or(0, |attempt| attempt.n);
    let effects = |n: u32| -> Result<Option<Value>, QueryError> {
        let text = text(&format!("attempts/{n}/effects.json"))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    };
    let earlier = stored.task.first_of_last()..last;
    let earlier: Result<Vec<_>, _> = earlier.map(effects).collect();
    let stderr = text(&format!("attempts/{last}/stderr.log"))?;
    Ok(TaskDetail {
        stderr: stderr.map(|text| last_lines(&text).to_owned()),
        prompt: text("prompt.md")?.unwrap_or_default(),
        answer,
        clone_branch: crew_of(ground, stored)
            .map(|member| member.branch)
            .unwrap_or_default(),
        effects: effects(last)?,
        earlier: earlier?.into_iter().flatten().collect(),
        task: TaskDocument(stored.task.clone()),
    })
}

/// The end of a text, in whole lines where it has some.
fn last_lines(text: &str) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(ERRORS));
    let end = &text[from..];
    match end.split_once('\n') {
        Some((_, whole)) if from > 0 && !whole.is_empty() => whole,
        _ => end,
    }
}

fn env(_: &Ground<'_>, stored: &Stored) -> Result<EnvView, QueryError> {
    EnvView::of(&stored.task).ok_or_else(|| {
        let id = &stored.task.id;
        nothing(format!("{id} has not run yet"), format!("git khlone await {id}"))
    })
}

fn log(ground: &Ground<'_>, stored: &Stored) -> Result<LogView, QueryError> {
    let ledger = ground.ledger();
    let n = stored.task.last_attempt().map_or(0, |attempt| attempt.n);
    let transcript = match ledger.transcript(stored, n)? {
        Some(bytes) => bytes,
        // Still under way, or died: what the spool has.
        None => runner::transcript_of(&ground.site.layout().attempt(&stored.task.id, n)).unwrap_or_default(),
    };
    let history = ledger.file(stored, "history.jsonl")?.unwrap_or_default();
    Ok(LogView::new(&stored.task, &history, &transcript))
}
