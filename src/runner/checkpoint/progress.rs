//! How far a run has come, by its events: the session, the tools that are open, the results so far.
//!
//! Fed by the living run for its checkpoints, and by recovery with the transcript of a dead one.

use crate::{
    brain::Event,
    refs::Kind,
    task::{OpenTool, ToolEnd},
};

/// So many results are kept; the rest is counted.
const RESULTS: usize = 40;
/// More open calls than this are no longer told apart.
const OPEN: usize = 64;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::runner) struct Progress {
    pub(in crate::runner) session: Option<String>,
    pub(in crate::runner) open: Vec<OpenTool>,
    pub(in crate::runner) results: Vec<ToolEnd>,
    pub(in crate::runner) ended: u64,
    /// The last call, as a digest of tool and input.
    pub(in crate::runner) last_call: Option<String>,
}

impl Progress {
    /// Takes note of an event; true at the boundary of a tool.
    pub(in crate::runner) fn note(&mut self, event: &Event, clean: &dyn Fn(&str) -> String) -> bool {
        match event {
            Event::Session { id, .. } => {
                self.session = Some(clean(id));
                false
            }
            Event::ToolCall {
                id,
                tool,
                paths,
                input,
            } => {
                let told = digest(&[&[tool.as_str(), input.as_str()], as_strs(paths).as_slice()].concat());
                self.last_call = Some(format!("{} {told}", clean(tool)));
                if self.open.len() == OPEN {
                    self.open.remove(0);
                }
                self.open.push(OpenTool {
                    id: clean(id),
                    tool: clean(tool),
                    input: told,
                    paths: paths.iter().map(|path| clean(path)).collect(),
                });
                true
            }
            Event::ToolResult {
                id, tool, ok, exit, ..
            } => {
                let id = clean(id);
                let call = self.open.iter().position(|open| open.id == id);
                let name = call.map(|at| self.open.remove(at).tool);
                if self.results.len() == RESULTS {
                    self.results.remove(0);
                }
                self.ended += 1;
                self.results.push(ToolEnd {
                    id,
                    tool: name.unwrap_or_else(|| clean(tool)),
                    ok: *ok,
                    exit: *exit,
                });
                true
            }
            _ => false,
        }
    }
}

fn as_strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn digest(words: &[&str]) -> String {
    let oid = Kind::Blob.hash(words.join("\0").as_bytes());
    oid.map(|oid| oid.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_open_until_its_result() {
        let call = |id: &str| Event::ToolCall {
            id: id.to_owned(),
            tool: "Bash".to_owned(),
            paths: Vec::new(),
            input: "make".to_owned(),
        };
        let mut progress = Progress::default();
        let clean = |text: &str| text.to_owned();
        assert!(progress.note(&call("1"), &clean) && progress.note(&call("2"), &clean));
        let ended = Event::ToolResult {
            id: "1".to_owned(),
            tool: String::new(),
            ok: false,
            exit: Some(2),
            paths: Vec::new(),
            output: String::new(),
        };
        assert!(progress.note(&ended, &clean));
        assert_eq!((progress.open.len(), progress.ended), (1, 1));
        assert_eq!(
            (progress.open[0].id.as_str(), progress.results[0].tool.as_str()),
            ("2", "Bash")
        );
        assert_eq!(
            progress.last_call,
            Some(format!("Bash {}", progress.open[0].input))
        );
    }
}
