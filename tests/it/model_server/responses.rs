//! The Responses protocol.

use serde_json::{Value, json};

use super::{
    Protocol, chat,
    scenario::{Entry, Seen, Stop, Turn},
};

pub(super) struct Responses;

impl Protocol for Responses {
    fn read(&self, body: &Value) -> Seen {
        let items = body["input"].as_array().into_iter().flatten();
        let entries = items.flat_map(|item| match (item["type"].as_str(), item["role"].as_str()) {
            (Some("function_call_output" | "custom_tool_call_output"), _) => vec![Entry::ToolResult],
            (_, Some("user")) => chat::texts(&item["content"])
                .into_iter()
                .map(Entry::Prompt)
                .collect(),
            _ => Vec::new(),
        });
        let tools = body["tools"].as_array().into_iter().flatten();
        let tools = tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned));
        Seen::of(entries, tools.collect(), body)
    }

    fn whole(&self, turn: &Turn, seen: &Seen) -> Value {
        let (status, why) = match turn {
            Turn::Stop(_, Stop::Length) => ("incomplete", json!({"reason": "max_output_tokens"})),
            Turn::Stop(_, Stop::Withheld) => ("incomplete", json!({"reason": "content_filter"})),
            _ => ("completed", Value::Null),
        };
        json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "incomplete_details": why, "model": "fake-model",
            "output": [item(turn, seen)], "usage": {"input_tokens": 1200, "output_tokens": 34, "total_tokens": 1234,
            "input_tokens_details": {"cached_tokens": 200}, "output_tokens_details": {"reasoning_tokens": 4}}})
    }

    fn stream(&self, turn: &Turn, seen: &Seen) -> Vec<(&'static str, Value)> {
        let (whole, item) = (self.whole(turn, seen), item(turn, seen));
        let event = |kind: &'static str, mut data: Value| {
            data["type"] = kind.into();
            (kind, data)
        };
        vec![
            event("response.created", json!({"response": {"id": "resp_1"}})),
            event(
                "response.output_item.added",
                json!({"output_index": 0, "item": item}),
            ),
            event(
                "response.output_item.done",
                json!({"output_index": 0, "item": item}),
            ),
            event(
                if matches!(turn, Turn::Stop(..)) {
                    "response.incomplete"
                } else {
                    "response.completed"
                },
                json!({"response": whole}),
            ),
        ]
    }
}

fn item(turn: &Turn, seen: &Seen) -> Value {
    let id = format!("call_{}_{}", seen.prompts, seen.rounds + 1);
    match turn {
        Turn::Say(text) | Turn::Stop(text, _) => {
            json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}]})
        }
        Turn::Write { content, .. } if seen.tool(&["apply_patch"]).is_some() => {
            let lines: String = content.lines().map(|line| format!("+{line}\n")).collect();
            let patch = format!("*** Begin Patch\n*** Add File: hello.txt\n{lines}*** End Patch\n");
            json!({"type": "custom_tool_call", "id": "ct_1", "call_id": id, "name": "apply_patch", "input": patch})
        }
        Turn::Write { content, .. } => run(&id, &format!("printf '{content}' > hello.txt"), seen),
        Turn::Ask(text) => {
            json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": "request_user_input",
            "arguments": Seen::questions(text).to_string()})
        }
        Turn::Run(command) | Turn::Later(command) => run(&id, command, seen),
    }
}

fn run(id: &str, command: &str, seen: &Seen) -> Value {
    let (name, arguments) = match seen.tool(&["exec_command", "shell_command", "shell"]) {
        Some("exec_command") => {
            // What takes longer goes on behind the model's back.
            let wait = if command.starts_with("sleep ") {
                1000
            } else {
                30_000
            };
            ("exec_command", json!({"cmd": command, "yield_time_ms": wait}))
        }
        Some("shell") => ("shell", json!({"command": ["bash", "-lc", command]})),
        _ => ("shell_command", json!({"command": command})),
    };
    json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": name, "arguments": arguments.to_string()})
}
