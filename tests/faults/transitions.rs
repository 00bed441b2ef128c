//! Where in a task's life a fault struck, told by the points that were passed before it.

use git_khlone::task::TaskId;

use crate::verbs::Verb;

/// The transitions that the long form must strike often.
pub(crate) const REQUIRED: [&str; 11] = [
    "enqueue",
    "start",
    "checkpoint",
    "finish",
    "import",
    "note",
    "cancel",
    "resume",
    "rollback",
    "remove",
    "gc",
];

/// The transition in which `verb` is after passing these points.
pub(crate) fn transition(verb: Verb, task: Option<&TaskId>, passed: &[String]) -> &'static str {
    match verb {
        Verb::Enqueue => "enqueue",
        Verb::Cancel => "cancel",
        Verb::Resume => "resume",
        Verb::Retry => "retry",
        Verb::RetryFresh => "retry --fresh",
        Verb::Rollback => "rollback",
        Verb::Update => "update",
        Verb::Land => "land",
        Verb::Remove => "remove",
        Verb::Undo | Verb::UndoRollback | Verb::UndoLand => "undo",
        Verb::Mend => "repair",
        Verb::Fsck => "fsck",
        Verb::Gc => "gc",
        Verb::Run | Verb::Watched | Verb::CancelRunning => phase(verb, task, 1, passed),
        Verb::Recover | Verb::CancelDead | Verb::Complete => after_death(verb, task, passed),
    }
}

/// How far a runner came with attempt `n`.
fn phase(verb: Verb, task: Option<&TaskId>, n: u32, points: &[String]) -> &'static str {
    let passed = |what: &str| points.iter().any(|point| point.starts_with(what));
    let last = points.last().map_or("", String::as_str);
    let written = written(task, points).count();
    let home = passed(&format!(
        "ref-locked refs/khlone/pins/{}/{n}-head-after",
        name(task)
    ));
    match () {
        () if passed("ref-synced refs/notes") => "last word",
        () if last.contains("refs/notes") || passed("branch-moved refs/heads/khlone") => "note",
        () if home && written >= 3 => "import",
        () if verb == Verb::CancelRunning && written >= 2 => "cancel",
        () if home => "finish",
        () if last.starts_with("checkpoint") || (written >= 2 && last.starts_with("pack")) => "checkpoint",
        () if written >= 2 => "run",
        () => "start",
    }
}

/// How far a runner came that found a dead attempt: taken over, examined, decided, and then the next one.
fn after_death(verb: Verb, task: Option<&TaskId>, points: &[String]) -> &'static str {
    if verb == Verb::Complete {
        return match written(task, points).count() {
            0 | 1 => match points {
                _ if points
                    .iter()
                    .any(|point| point.starts_with("ref-synced refs/notes")) =>
                {
                    "last word"
                }
                _ if points.iter().any(|point| point.starts_with("branch-moved")) => "note",
                _ => "import",
            },
            _ => "last word",
        };
    }
    let decided = written(task, points).nth(2);
    match decided {
        Some(at) if verb == Verb::Recover => phase(verb, task, 2, &points[at + 1..]),
        _ if verb == Verb::CancelDead => "cancel",
        _ => "recover",
    }
}

fn name(task: Option<&TaskId>) -> &str {
    task.map_or("", TaskId::as_str)
}

/// Where the task was written.
fn written(task: Option<&TaskId>, points: &[String]) -> impl Iterator<Item = usize> {
    let wanted = format!("ref-synced refs/khlone/tasks/{}", name(task));
    let here = points.iter().enumerate();
    here.filter(move |(_, point)| **point == wanted).map(|(at, _)| at)
}
