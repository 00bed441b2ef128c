//! As much HTTP/1.1 as the clients need: one request a connection, answers that end with it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// A request.
pub(super) struct Incoming {
    pub(super) post: bool,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// Reads a request; `None` if the client goes away.
pub(super) fn read(stream: &mut TcpStream) -> Option<Incoming> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "transfer-encoding" => chunked = value.contains("chunked"),
            "expect" => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?,
            _ => {}
        }
    }
    let body = if chunked {
        chunks(&mut reader)?
    } else {
        exactly(&mut reader, length)?
    };
    Some(Incoming {
        post: method == "POST",
        path,
        body,
    })
}

fn exactly(reader: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        body.extend(exactly(reader, size)?);
        exactly(reader, 2)?;
        if size == 0 {
            return Some(body);
        }
    }
}

/// Answers with one document.
pub(super) fn respond(stream: &mut TcpStream, status: u16, body: &Value) {
    let wait = body["retry_after"].as_u64().or((status == 429).then_some(1));
    let wait = wait.map_or(String::new(), |wait| format!("retry-after: {wait}\r\n"));
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\n{wait}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    drop(stream.write_all(format!("{head}{body}").as_bytes()));
}

/// Answers with server-sent events.
pub(super) fn stream(stream: &mut TcpStream, events: &[(&str, Value)]) {
    let mut text = String::from(STREAM_HEAD);
    for (name, data) in events {
        if !name.is_empty() {
            text.push_str(&format!("event: {name}\n"));
        }
        let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
        text.push_str(&format!("data: {data}\n\n"));
    }
    drop(stream.write_all(text.as_bytes()));
}

/// Begins a stream that promises more than it gives, and breaks off.
pub(super) fn cut(stream: &mut TcpStream) {
    let head = STREAM_HEAD.replace("connection: close", "content-length: 100000");
    drop(stream.write_all(format!("{head}: one\n\n").as_bytes()));
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\nconnection: close\r\n\r\n";

/// Whether the client is still there; waits for its next byte for a moment.
pub(super) fn is_open(stream: &mut TcpStream) -> bool {
    let patience = Some(Duration::from_millis(50));
    stream.set_read_timeout(patience).is_ok() && !matches!(stream.read(&mut [0; 64]), Ok(0))
}
