//! Chat completions.

use serde_json::{Value, json};

use super::{
    Protocol,
    scenario::{Entry, Seen, Stop, Turn},
};

pub(super) struct Chat;

impl Protocol for Chat {
    fn read(&self, body: &Value) -> Seen {
        let messages = body["messages"].as_array().into_iter().flatten();
        let entries = messages.flat_map(|message| match message["role"].as_str() {
            Some("tool") => vec![Entry::ToolResult],
            Some("user") => texts(&message["content"])
                .into_iter()
                .map(Entry::Prompt)
                .collect(),
            _ => Vec::new(),
        });
        let tools = body["tools"].as_array().into_iter().flatten();
        let tools = tools.filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned));
        Seen::of(entries, tools.collect(), body)
    }

    fn whole(&self, turn: &Turn, seen: &Seen) -> Value {
        let mut message = delta(turn, seen);
        message["role"] = "assistant".into();
        json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "fake-model",
            "choices": [{"index": 0, "message": message, "finish_reason": reason(turn)}], "usage": usage()})
    }

    fn stream(&self, turn: &Turn, seen: &Seen) -> Vec<(&'static str, Value)> {
        let chunk = |delta: Value, reason: Value, usage: Value| {
            let choices = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
            (
                "",
                json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "fake-model",
                "choices": choices, "usage": usage}),
            )
        };
        vec![
            chunk(
                json!({"role": "assistant", "content": ""}),
                Value::Null,
                Value::Null,
            ),
            chunk(delta(turn, seen), Value::Null, Value::Null),
            chunk(json!({}), reason(turn).into(), usage()),
            ("", "[DONE]".into()),
        ]
    }
}

/// The texts of a message, which is one text or a list of parts.
pub(super) fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => Vec::new(),
    }
}

fn delta(turn: &Turn, seen: &Seen) -> Value {
    let (name, arguments) = match turn {
        Turn::Say(text) | Turn::Stop(text, _) => return json!({"content": text}),
        Turn::Write { path, content } => ("write", json!({"filePath": path, "content": content})),
        Turn::Ask(text) => ("question", Seen::questions(text)),
        Turn::Run(command) | Turn::Later(command) => {
            ("bash", json!({"command": command, "description": "scripted"}))
        }
    };
    let id = format!("call_{}", seen.rounds + 1);
    json!({"tool_calls": [{"index": 0, "id": id, "type": "function",
        "function": {"name": name, "arguments": arguments.to_string()}}]})
}

fn reason(turn: &Turn) -> &'static str {
    match turn {
        Turn::Say(_) => "stop",
        Turn::Stop(_, Stop::Length) => "length",
        Turn::Stop(_, Stop::Withheld) => "content_filter",
        Turn::Write { .. } | Turn::Run(_) | Turn::Later(_) | Turn::Ask(_) => "tool_calls",
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234,
        "prompt_tokens_details": {"cached_tokens": 200}, "completion_tokens_details": {"reasoning_tokens": 4}})
}
