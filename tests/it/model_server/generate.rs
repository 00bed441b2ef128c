//! The `generateContent` protocol.

use serde_json::{Value, json};

use super::{
    Protocol,
    scenario::{Entry, Seen, Stop, Turn},
};

pub(super) struct Generate;

impl Protocol for Generate {
    fn read(&self, body: &Value) -> Seen {
        let contents = body["contents"].as_array().into_iter().flatten();
        let users = contents.filter(|content| content["role"] != "model");
        let parts = users.flat_map(|content| content["parts"].as_array().into_iter().flatten());
        let entries = parts.filter_map(|part| {
            if part.get("functionResponse").is_some() {
                Some(Entry::ToolResult)
            } else {
                part["text"].as_str().map(Entry::Prompt)
            }
        });
        let tools = body["tools"].as_array().into_iter().flatten();
        let tools = tools.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten());
        let tools = tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned));
        let wants_json = body["generationConfig"]["responseMimeType"] == "application/json";
        Seen {
            wants_json,
            ..Seen::of(entries, tools.collect(), body)
        }
    }

    fn whole(&self, turn: &Turn, _seen: &Seen) -> Value {
        let part = match turn {
            Turn::Say(text) | Turn::Stop(text, _) => json!({"text": text}),
            Turn::Write { path, content } => {
                json!({"functionCall": {"name": "write_file", "args": {"file_path": path, "content": content}}})
            }
            Turn::Ask(text) => json!({"functionCall": {"name": "ask_user", "args": Seen::questions(text)}}),
            Turn::Run(command) | Turn::Later(command) => json!({"functionCall": {"name": "run_shell_command",
                "args": {"command": command, "description": "scripted"}}}),
        };
        let reason = match turn {
            Turn::Stop(_, Stop::Length) => "MAX_TOKENS",
            Turn::Stop(_, Stop::Withheld) => "SAFETY",
            _ => "STOP",
        };
        json!({"candidates": [{"index": 0, "finishReason": reason, "content": {"role": "model", "parts": [part]}}],
            "modelVersion": "fake-model", "responseId": "r1",
            "usageMetadata": {"promptTokenCount": 1200, "candidatesTokenCount": 30, "thoughtsTokenCount": 4,
                "cachedContentTokenCount": 200, "totalTokenCount": 1234}})
    }

    fn stream(&self, turn: &Turn, seen: &Seen) -> Vec<(&'static str, Value)> {
        let whole = self.whole(turn, seen);
        let (Turn::Say(text) | Turn::Stop(text, _)) = turn else {
            return vec![("", whole)];
        };
        // In two pieces, as the real one does.
        let cut = text.find(' ').unwrap_or(0);
        let piece = |text: &str| {
            let mut piece = whole.clone();
            piece["candidates"][0]["content"]["parts"][0] = json!({"text": text});
            piece
        };
        let mut first = piece(&text[..cut]);
        first["candidates"][0]["finishReason"].take();
        vec![("", first), ("", piece(&text[cut..]))]
    }
}
