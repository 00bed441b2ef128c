//! The Messages protocol.

use serde_json::{Value, json};

use super::{
    Protocol, chat,
    scenario::{Entry, Seen, Stop, Turn},
};

pub(super) struct Messages;

impl Protocol for Messages {
    fn read(&self, body: &Value) -> Seen {
        let messages = body["messages"].as_array().into_iter().flatten();
        let users = messages.filter(|message| message["role"] == "user");
        let entries = users.flat_map(|message| match &message["content"] {
            Value::Array(blocks) => blocks.iter().filter_map(entry).collect(),
            content => chat::texts(content)
                .into_iter()
                .map(Entry::Prompt)
                .collect::<Vec<_>>(),
        });
        let tools = body["tools"].as_array().into_iter().flatten();
        let tools = tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned));
        Seen::of(entries, tools.collect(), body)
    }

    fn whole(&self, turn: &Turn, seen: &Seen) -> Value {
        json!({"id": id(seen), "type": "message", "role": "assistant", "model": "claude-opus-5-5",
            "content": [block(turn, seen)], "stop_reason": reason(turn), "stop_sequence": null,
            "usage": usage(34)})
    }

    fn stream(&self, turn: &Turn, seen: &Seen) -> Vec<(&'static str, Value)> {
        let mut message = self.whole(turn, seen);
        message["content"] = json!([]);
        message["stop_reason"] = Value::Null;
        message["usage"] = usage(1);
        let block = block(turn, seen);
        let (start, delta) = match turn {
            Turn::Say(text) | Turn::Stop(text, _) => (
                json!({"type": "text", "text": ""}),
                json!({"type": "text_delta", "text": text}),
            ),
            Turn::Write { .. } | Turn::Run(_) | Turn::Later(_) | Turn::Ask(_) => (
                json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}),
                json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}),
            ),
        };
        let end = json!({"stop_reason": reason(turn), "stop_sequence": null});
        let events = [
            ("message_start", json!({"message": message})),
            ("content_block_start", json!({"index": 0, "content_block": start})),
            ("content_block_delta", json!({"index": 0, "delta": delta})),
            ("content_block_stop", json!({"index": 0})),
            ("message_delta", json!({"delta": end, "usage": usage(34)})),
            ("message_stop", json!({})),
        ];
        let typed = events.into_iter().map(|(kind, mut data)| {
            data["type"] = kind.into();
            (kind, data)
        });
        typed.collect()
    }
}

fn entry(block: &Value) -> Option<Entry<'_>> {
    match block["type"].as_str() {
        Some("tool_result") => Some(Entry::ToolResult),
        Some("text") => block["text"].as_str().map(Entry::Prompt),
        _ => None,
    }
}

fn id(seen: &Seen) -> String {
    format!("msg_{:06}_{:06}", seen.prompts, seen.rounds)
}

fn block(turn: &Turn, seen: &Seen) -> Value {
    let (name, input) = match turn {
        Turn::Say(text) | Turn::Stop(text, _) => return json!({"type": "text", "text": text}),
        Turn::Write { path, content } => ("Write", json!({"file_path": path, "content": content})),
        Turn::Ask(text) => ("AskUserQuestion", Seen::questions(text)),
        Turn::Run(command) | Turn::Later(command) => {
            let later = matches!(turn, Turn::Later(_));
            let input = json!({"command": command, "description": "scripted", "run_in_background": later});
            ("Bash", input)
        }
    };
    json!({"type": "tool_use", "id": format!("toolu_{:06}_{:06}", seen.prompts, seen.rounds), "name": name, "input": input})
}

fn reason(turn: &Turn) -> &'static str {
    match turn {
        Turn::Say(_) => "end_turn",
        Turn::Stop(_, Stop::Length) => "max_tokens",
        Turn::Stop(_, Stop::Withheld) => "refusal",
        Turn::Write { .. } | Turn::Run(_) | Turn::Later(_) | Turn::Ask(_) => "tool_use",
    }
}

fn usage(output: u64) -> Value {
    json!({"input_tokens": 1200, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 200, "output_tokens": output})
}
