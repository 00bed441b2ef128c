//! What `--json` answers: a JSON Schema for each verb, made from the values that are printed.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};

use super::config::ConfigView;
use crate::{
    query::{
        BrainList, CrewList, DiffView, Document, EnvView, LogView, NeedsList, SiteList, StatusView,
        TaskDetail, TaskList, ZoneList,
    },
    render::{
        DaemonView,
        report::{EventLine, StateLine},
        view::{
            AdoptedView, AuditView, DismissedView, DispatchedView, DoctorView, EndedList, ErrorView,
            FsckView, GcView, HoldingList, LandedView, LogLines, MovedView, PathView, RedactedView,
            RolledBackView, StartedList, StartedView, StoppedView, TrustList, TrustedView, UninstalledView,
            UnitView, UpdatedView,
        },
        zones::{OpenedView, PrunedView, RemovedView, RepairView, UndoList, UndoneView},
    },
};

/// The forms of an answer, each a document.
macro_rules! forms {
    ($generator:ident: $($view:ty),+) => {
        vec![$($generator.subschema_for::<Document<$view>>()),+]
    };
}

/// The schema of every verb's answer, by verb, and that of errors as `error`. Of `watch` it is the schema of a line.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    // Of a task that was queued, or with `--await` ended.
    let dispatching: fn(&mut SchemaGenerator) -> _ = |g| forms!(g: DispatchedView, TaskDetail);
    vec![
        one_of("act", dispatching),
        one_of("ask", dispatching),
        one_of("audit", |g| forms!(g: AuditView)),
        one_of("await", |g| forms!(g: TaskDetail, EndedList)),
        one_of("cancel", |g| forms!(g: MovedView)),
        one_of("config", |g| forms!(g: ConfigView, PathView)),
        one_of(
            "daemon",
            |g| forms!(g: StartedView, StartedList, UnitView, StoppedView, DaemonView, LogLines),
        ),
        one_of("diff", |g| forms!(g: DiffView)),
        one_of("dismiss", |g| forms!(g: DismissedView)),
        one_of("doctor", |g| forms!(g: DoctorView)),
        one_of("error", |g| forms!(g: ErrorView)),
        one_of("fsck", |g| forms!(g: FsckView)),
        one_of("gc", |g| forms!(g: GcView)),
        one_of("land", |g| forms!(g: LandedView)),
        one_of(
            "list",
            |g| forms!(g: TaskList, NeedsList, CrewList, ZoneList, SiteList, BrainList),
        ),
        one_of("log", |g| forms!(g: LogView)),
        one_of("path", |g| forms!(g: PathView)),
        one_of("redact", |g| forms!(g: RedactedView)),
        one_of("reply", dispatching),
        one_of("resume", |g| forms!(g: MovedView, TaskDetail)),
        one_of("retry", |g| forms!(g: MovedView, TaskDetail)),
        one_of("rollback", |g| forms!(g: RolledBackView)),
        one_of("show", |g| forms!(g: TaskDetail, EnvView)),
        one_of("sites", |g| forms!(g: HoldingList, AdoptedView)),
        one_of("status", |g| forms!(g: StatusView)),
        one_of("trust", |g| forms!(g: TrustedView, TrustList)),
        one_of("undo", |g| forms!(g: UndoneView, UndoList)),
        one_of("uninstall", |g| forms!(g: UninstalledView)),
        one_of("update", |g| forms!(g: UpdatedView)),
        one_of("watch", |g| forms!(g: EventLine<'static>, StateLine<'static>)),
        one_of(
            "zone",
            |g| forms!(g: OpenedView, RemovedView, RepairView, PrunedView),
        ),
    ]
}

/// The schema of an answer that has one of several forms, as it is written, not as it might be read.
fn one_of(
    verb: &'static str,
    forms: impl FnOnce(&mut SchemaGenerator) -> Vec<Schema>,
) -> (&'static str, Schema) {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let forms = forms(&mut generator);
    let schema = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("git khlone {verb}"),
        "anyOf": forms,
        "$defs": generator.take_definitions(true),
    });
    (verb, schema)
}
