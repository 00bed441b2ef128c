//! A model provider on loopback that speaks the four protocols which coding CLIs speak.
//!
//! What it answers follows from the request alone: the newest prompt names a scenario (`SCENARIO=write`), and the
//! number of tool results after it says which turn is due. So retries, kills and resumes need no state here; only
//! scenarios that fail a given number of times count.

mod chat;
mod generate;
mod http;
mod messages;
mod refusals;
mod responses;
mod scenario;

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use self::{
    http::Incoming,
    scenario::{Fault, Seen, Turn},
};

/// How long a hung request is held at most.
const HANG: Duration = Duration::from_mins(2);

/// Runs until it is dropped.
pub(crate) struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    failures: Mutex<HashMap<String, u32>>,
    requests: Mutex<Vec<Value>>,
}

/// One protocol.
trait Protocol {
    /// What the request says.
    fn read(&self, body: &Value) -> Seen;
    /// The answer as one document.
    fn whole(&self, turn: &Turn, seen: &Seen) -> Value;
    /// The answer as server-sent events: optional name, data.
    fn stream(&self, turn: &Turn, seen: &Seen) -> Vec<(&'static str, Value)>;
}

impl ModelServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if server.over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), server) = (stream, Arc::clone(&server)) else {
                    continue;
                };
                std::thread::spawn(move || server.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies of all requests so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// One request a connection.
    fn serve(&self, mut stream: TcpStream) {
        let Some(request) = http::read(&mut stream) else {
            return;
        };
        let Some(protocol) = protocol(&request.path) else {
            let known = request.path.ends_with("/models");
            let body = json!({"data": [], "models": [], "input_tokens": 100, "totalTokens": 100});
            return http::respond(&mut stream, if known || request.post { 200 } else { 404 }, &body);
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let seen = protocol.read(&body);
        self.requests.lock().unwrap().push(body.clone());
        match self.fault(&seen) {
            Some(Fault::Status(status)) => http::respond(&mut stream, status, &error(status)),
            Some(Fault::Refused(why)) => {
                let (status, body) = why.answer(&request.path);
                http::respond(&mut stream, status, &body);
            }
            Some(Fault::Hang) => self.hang(&mut stream),
            Some(Fault::Cut) => http::cut(&mut stream),
            None => answer(protocol, &request, &body, &seen, &mut stream),
        }
    }

    /// The fault that is due, if one is.
    fn fault(&self, seen: &Seen) -> Option<Fault> {
        let (fault, times) = scenario::fault(seen)?;
        let mut failures = self.failures.lock().unwrap();
        let count = failures.entry(seen.prompt.clone()).or_default();
        *count += 1;
        (*count <= times).then_some(fault)
    }

    fn hang(&self, stream: &mut TcpStream) {
        let start = std::time::Instant::now();
        while start.elapsed() < HANG && !self.over.load(Ordering::SeqCst) && http::is_open(stream) {}
    }
}

fn answer(protocol: &dyn Protocol, request: &Incoming, body: &Value, seen: &Seen, stream: &mut TcpStream) {
    let turn = scenario::turn(seen);
    let streams = body["stream"] == true || request.path.contains(":stream");
    if streams {
        http::stream(stream, &protocol.stream(&turn, seen));
    } else {
        http::respond(stream, 200, &protocol.whole(&turn, seen));
    }
}

fn protocol(path: &str) -> Option<&'static dyn Protocol> {
    let path = path.split('?').next().unwrap_or_default();
    if path.ends_with("/chat/completions") {
        Some(&chat::Chat)
    } else if path.ends_with("/responses") {
        Some(&responses::Responses)
    } else if path.ends_with("/messages") {
        Some(&messages::Messages)
    } else if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
        Some(&generate::Generate)
    } else {
        None
    }
}

/// An error that every protocol's client understands.
fn error(status: u16) -> Value {
    let (word, kind) = match status {
        401 => ("UNAUTHENTICATED", "authentication_error"),
        404 => ("NOT_FOUND", "not_found_error"),
        429 => ("RESOURCE_EXHAUSTED", "rate_limit_error"),
        503 | 529 => ("UNAVAILABLE", "overloaded_error"),
        _ => ("INTERNAL", "api_error"),
    };
    let message = format!("scripted failure {status}");
    json!({"type": "error", "error": {"code": status, "status": word, "type": kind, "message": message}})
}
