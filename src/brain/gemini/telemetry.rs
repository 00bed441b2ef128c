//! Why the model stopped: the stream says nothing of it, and an answer that was cut off (`MAX_TOKENS`) or withheld
//! (`SAFETY`) ends as a success there. What the CLI writes into its telemetry file says it of each request.
//!
//! The file is the clone's own and goes when it has been read; nothing leaves the machine by it. Where the user's
//! settings say anything of telemetry, theirs stand, and the reason is not known.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    contract::{Job, Launch},
    model::Vars,
};

/// Any of these is the user's own word.
const OWN: [&str; 5] = [
    "GEMINI_TELEMETRY_ENABLED",
    "GEMINI_TELEMETRY_TARGET",
    "GEMINI_TELEMETRY_OUTFILE",
    "GEMINI_TELEMETRY_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Has the CLI write the file, unless the user has telemetry of their own.
pub(super) fn ask_for(job: &Job<'_>, launch: &mut Launch) -> std::io::Result<()> {
    if OWN.iter().any(|name| (job.vars)(name).is_some()) || settings(job.vars, job.work_dir).any(says) {
        return Ok(());
    }
    let folder = job.state_dir.join("telemetry");
    launch.keeps(folder.clone())?;
    let file = folder.join("log");
    launch
        .env("GEMINI_TELEMETRY_ENABLED", "true")
        .env("GEMINI_TELEMETRY_TARGET", "local")
        .env("GEMINI_TELEMETRY_LOG_PROMPTS", "false")
        .env("GEMINI_TELEMETRY_OUTFILE", &file);
    launch.aside = Some(file);
    Ok(())
}

fn settings(vars: Vars<'_>, work_dir: &Path) -> impl Iterator<Item = PathBuf> {
    let home = vars("HOME").map(PathBuf::from);
    let folders = home.into_iter().chain([work_dir.to_owned()]);
    let system = vars("GEMINI_CLI_SYSTEM_SETTINGS_PATH").map(PathBuf::from);
    let system = system.unwrap_or_else(|| "/etc/gemini-cli/settings.json".into());
    folders
        .map(|folder| folder.join(".gemini/settings.json"))
        .chain([system])
}

fn says(file: PathBuf) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else {
        return false;
    };
    let options = jsonc_parser::ParseOptions::default();
    let settings = jsonc_parser::parse_to_serde_value::<Option<Value>>(&text, &options);
    settings
        .ok()
        .flatten()
        .is_some_and(|settings| settings.get("telemetry").is_some())
}

#[derive(Deserialize)]
struct Record {
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    finish_reasons: Vec<String>,
    #[serde(default)]
    role: String,
}

/// What speaks against the last answer of the conversation itself, if its end does. The file is one document after
/// the other, each from a line `{` to a line `}`.
pub(super) fn cut_short(text: &str) -> Option<&'static str> {
    let documents: Vec<_> = text.split("\n}\n").collect();
    let mut told = documents
        .into_iter()
        .rev()
        .filter(|document| document.contains("\"finish_reasons\""));
    let last = told.find_map(|document| {
        let record: Record = serde_json::from_str(&format!("{document}\n}}")).ok()?;
        (record.attributes.role == "main").then_some(record.attributes)
    })?;
    // One of each piece of the stream; only the last piece has a reason.
    match last.finish_reasons.last()?.as_str() {
        "length" => Some("the answer was cut off: the model came to its limit of output (MAX_TOKENS)"),
        "content_filter" => Some("the provider withheld the answer (SAFETY)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(role: &str, reason: &str) -> String {
        let record = serde_json::json!({"body": "x", "attributes": {"event.name": "gemini_cli.api_response",
            "finish_reasons": ["stop", reason], "role": role, "nested": {"a": [{}]}}});
        format!("{}\n", serde_json::to_string_pretty(&record).unwrap())
    }

    #[test]
    fn the_last_answer_of_the_conversation_counts() {
        let metric = "{\n  \"metrics\": [\n    {}\n  ]\n}\n";
        let end = |records: &[String]| cut_short(&records.concat());
        assert_eq!(end(&[]), None);
        assert_eq!(end(&[metric.to_owned()]), None);
        assert!(
            end(&[
                record("main", "stop"),
                record("main", "length"),
                metric.to_owned()
            ])
            .unwrap()
            .contains("MAX_TOKENS")
        );
        assert!(
            end(&[record("main", "content_filter"), record("utility_router", "stop")])
                .unwrap()
                .contains("SAFETY")
        );
        assert_eq!(end(&[record("main", "length"), record("main", "stop")]), None);
        // One that was torn says nothing.
        assert!(
            end(&[
                record("main", "length"),
                "{\n  \"attributes\": {\"finish_reasons\"".to_owned()
            ])
            .is_some()
        );
        assert_eq!(cut_short("\u{fffd}}\n}\n\n}\n"), None);
    }
}
