//! JSON-RPC 2.0, one message a line: reading requests from frames and writing answers.
//!
//! Pure. A frame is at most [`MAX_FRAME`] bytes and nests at most [`MAX_DEPTH`] levels; a batch holds at most
//! [`MAX_BATCH`] requests. What is over is answered with an error, never parsed.

pub(crate) mod codes;
pub(crate) mod frames;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use codes::{Code, RpcError};

/// The version of the handshake and the methods.
pub const PROTOCOL: u32 = 1;
/// Longest frame, its newline included.
pub const MAX_FRAME: usize = 1 << 20;
/// Deepest nesting of a frame.
pub const MAX_DEPTH: usize = 32;
/// Longest answer. It may be longer than a request, a log say, but not without bound.
pub const MAX_ANSWER: usize = 64 * MAX_FRAME;
/// Most requests in one batch.
pub const MAX_BATCH: usize = 64;

/// One call: a request, or with no id a notification, which gets no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What the answer names; none for a notification.
    pub id: Option<Value>,
    /// What is to be done.
    pub method: String,
    /// Its parameters.
    pub params: Value,
}

/// What a frame holds.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// One call, or what is wrong with it.
    One(Result<Call, Box<Refusal>>),
    /// Several, answered together.
    Batch(Vec<Result<Call, Box<Refusal>>>),
}

/// A message that is no call, and the id to answer it with: `null` where it had no legible one.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The message's own.
    pub id: Value,
    /// What is wrong with it.
    pub error: RpcError,
}

/// The parameters of `hello`, which must come first on every connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The newest protocol that the caller speaks.
    pub(crate) protocol: u32,
    /// The daemon's token.
    pub(crate) token: String,
}

/// The answer to `hello`, `ping` and the head of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Greeting {
    /// The protocol that both will speak.
    pub protocol: u32,
    /// The daemon's build.
    pub version: String,
    /// Its process.
    pub pid: u32,
}

/// Reads one frame, its newline taken off.
pub fn parse(frame: &[u8]) -> Frame {
    let refuse = |code, message: &str| {
        Box::new(Refusal {
            id: Value::Null,
            error: RpcError::new(code, message),
        })
    };
    if is_deeper_than(frame, MAX_DEPTH) {
        let message = format!("nested deeper than {MAX_DEPTH} levels");
        return Frame::One(Err(refuse(Code::Parse, &message)));
    }
    match serde_json::from_slice(frame) {
        Err(error) => Frame::One(Err(refuse(Code::Parse, &format!("no JSON: {error}")))),
        Ok(Value::Array(calls)) if calls.is_empty() || calls.len() > MAX_BATCH => {
            let message = format!("a batch holds 1 to {MAX_BATCH} requests");
            Frame::One(Err(refuse(Code::InvalidRequest, &message)))
        }
        Ok(Value::Array(calls)) => Frame::Batch(calls.into_iter().map(call).collect()),
        Ok(value) => Frame::One(call(value)),
    }
}

fn call(value: Value) -> Result<Call, Box<Refusal>> {
    let Value::Object(mut fields) = value else {
        let error = RpcError::new(Code::InvalidRequest, "a request is an object");
        return Err(Box::new(Refusal {
            id: Value::Null,
            error,
        }));
    };
    let id = fields.remove("id");
    let legible = match &id {
        None | Some(Value::Null | Value::String(_) | Value::Number(_)) => id.clone().unwrap_or_default(),
        Some(_) => Value::Null,
    };
    let refuse = |message: &str| {
        Box::new(Refusal {
            id: legible.clone(),
            error: RpcError::new(Code::InvalidRequest, message),
        })
    };
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(refuse("`jsonrpc` must be \"2.0\""));
    }
    if id.as_ref().is_some_and(|id| *id != legible) {
        return Err(refuse("`id` must be a string, a number or null"));
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return Err(refuse("`method` must be a string"));
    };
    let params = fields.remove("params").unwrap_or_else(|| json!({}));
    if !params.is_object() {
        return Err(refuse("`params` must be an object"));
    }
    Ok(Call { id, method, params })
}

/// Whether arrays and objects in `frame` nest deeper than `limit`, told without parsing.
fn is_deeper_than(frame: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in frame {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// The response to the call with `id`.
pub(crate) fn response(id: &Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    }
}

/// The response to the call with `id` whose result is written already.
pub(crate) fn written(id: &Value, result: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}

/// A request, or with no id a notification, as one line.
pub(crate) fn request(id: Option<u64>, method: &str, params: &Value) -> Vec<u8> {
    let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let (Some(id), Some(fields)) = (id, message.as_object_mut()) {
        fields.insert("id".to_owned(), json!(id));
    }
    line(&message)
}

/// One message as a frame.
pub(crate) fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(frame: &[u8]) -> i32 {
        match parse(frame) {
            Frame::One(Err(refusal)) => refusal.error.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_notifications_and_batches() {
        let Frame::One(Ok(call)) = parse(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#) else {
            panic!()
        };
        assert_eq!((call.id, call.method.as_str()), (Some(json!(1)), "ping"));
        let Frame::One(Ok(call)) = parse(br#"{"jsonrpc":"2.0","method":"wake","params":{}}"#) else {
            panic!()
        };
        assert_eq!(call.id, None);
        let Frame::Batch(calls) = parse(br#"[{"jsonrpc":"2.0","method":"a"},1]"#) else {
            panic!()
        };
        assert!(calls[0].is_ok() && calls[1].is_err());
    }

    #[test]
    fn garbage_has_its_code() {
        assert_eq!(code(b"{"), -32700);
        assert_eq!(code(b"\xff\xfe"), -32700);
        assert_eq!(code(b"[]"), -32600);
        assert_eq!(code(b"7"), -32600);
        assert_eq!(code(br#"{"jsonrpc":"1.0","method":"x"}"#), -32600);
        assert_eq!(code(br#"{"jsonrpc":"2.0","method":7}"#), -32600);
        assert_eq!(code(br#"{"jsonrpc":"2.0","method":"x","id":{}}"#), -32600);
        assert_eq!(code("[".repeat(100_000).as_bytes()), -32700);
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        let text = "[{\\\"".repeat(1000);
        let frame = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{{"m":"{text}"}}}}"#);
        assert!(matches!(parse(frame.as_bytes()), Frame::One(Ok(_))));
    }

    proptest! {
        #[test]
        fn no_frame_panics(frame in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _frame = parse(&frame);
        }

        #[test]
        fn what_we_write_we_read(id in any::<u64>(), method in "[a-z]{1,12}") {
            let bytes = request(Some(id), &method, &json!({"k": [1]}));
            let Frame::One(Ok(call)) = parse(&bytes[..bytes.len() - 1]) else { panic!() };
            prop_assert_eq!(call, Call { id: Some(json!(id)), method, params: json!({"k": [1]}) });
        }
    }
}
