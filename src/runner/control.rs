//! The runner's control socket: how anyone but the brain reaches a run. It speaks the daemon's frames ([`crate::rpc`]):
//! `hello` and `ping` tell who it is, `cancel` ends the run. Runners of earlier builds know `cancel` alone, in the same
//! form and without `hello`, so that is how it is asked.
//!
//! The socket lies in the user's private run folder, which no sandbox shows. Its path stands in the attempt's
//! folder, in `control.json`.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::net::sockopt::socket_peercred;
use serde_json::{Value, json};

use crate::{
    process::Tried,
    rpc::{
        Call, Frame, Greeting, PROTOCOL, Refusal,
        codes::{Code, RpcError},
        line, parse, request, response,
    },
    task::TaskId,
};

/// How long callers may hold up the runner at a time, all of them together: it keeps the limits of its brain meanwhile.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long the runner may take to answer; what it is told stands in the ledger besides.
const ANSWER: Duration = Duration::from_secs(1);
/// The longest request.
const LINE: usize = 4096;

/// The listening end.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    socket: PathBuf,
}

impl Control {
    /// Listens, and says where in the attempt's folder.
    pub(super) fn listen(run_dir: &Path, dir: &Path, task: &TaskId, n: u32) -> io::Result<Self> {
        let socket = run_dir.join(format!("{task}-{n}.sock"));
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).tried("remove", &socket);
            }
            _ => {}
        }
        // Recorded before it is there: whoever buries a killed runner must find it.
        let record = dir.join("control.json");
        let text = json!({"format": 1, "socket": socket}).to_string();
        fs::write(&record, text).tried("write", &record)?;
        let listener = UnixListener::bind(&socket).tried("listen at", &socket)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, socket })
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Answers whoever waits; true if someone asked to cancel.
    pub(super) fn answer(&self) -> bool {
        let mut cancel = false;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline
            && let Ok((stream, _)) = self.listener.accept()
        {
            match serve(&stream, deadline) {
                Ok(asked) => cancel |= asked,
                Err(error) => tracing::debug!(%error, "a caller of the control socket went away"),
            }
        }
        cancel
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.socket));
    }
}

/// Answers the frames of a caller until it asks to cancel, says no more, or the time is over.
fn serve(mut stream: &UnixStream, deadline: Instant) -> io::Result<bool> {
    stream.set_nonblocking(false)?;
    let ours = rustix::process::geteuid();
    if socket_peercred(stream)?.uid != ours {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    loop {
        let read = read_line(stream, deadline)?;
        if read.is_empty() {
            return Ok(false);
        }
        let frames = read.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        for frame in frames.filter(|frame| !frame.is_empty()) {
            let (answer, cancel) = answer(frame);
            let answered = answer.map_or(Ok(()), |answer| {
                stream.set_write_timeout(Some(left(deadline)?))?;
                stream.write_all(&line(&answer))
            });
            // What was asked counts, also where its caller has no more time for the answer.
            if cancel {
                return Ok(true);
            }
            answered?;
        }
    }
}

/// The answer to a frame, where it wants one, and whether it asks to cancel.
fn answer(frame: &[u8]) -> (Option<Value>, bool) {
    let one = |call: Result<Call, Box<Refusal>>| match call {
        Err(refusal) => (Some(response(&refusal.id, Err(refusal.error))), false),
        Ok(call) => {
            let cancel = call.method == "cancel";
            let result = result(&call.method);
            (call.id.map(|id| response(&id, result)), cancel)
        }
    };
    match parse(frame) {
        Frame::One(call) => one(call),
        Frame::Batch(calls) => {
            let (answers, cancels): (Vec<_>, Vec<_>) = calls.into_iter().map(one).unzip();
            let answers: Vec<_> = answers.into_iter().flatten().collect();
            let cancel = cancels.contains(&true);
            ((!answers.is_empty()).then(|| json!(answers)), cancel)
        }
    }
}

fn result(method: &str) -> Result<Value, RpcError> {
    match method {
        "hello" | "ping" => Ok(json!(Greeting {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        })),
        "cancel" => Ok(json!({})),
        _ => Err(RpcError::new(
            Code::Method,
            format!("there is no method `{method}`"),
        )),
    }
}

/// One line, within its limits of length and time: a caller that sends a byte now and then gets no longer.
fn read_line(mut stream: &UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut chunk = [0; LINE];
    while line.len() < LINE && !line.ends_with(b"\n") {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            n => line.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(line)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// Removes the socket that a killed runner left.
pub fn bury(dir: &Path) {
    if let Some(socket) = socket_of(dir) {
        drop(fs::remove_file(socket));
    }
}

fn socket_of(dir: &Path) -> Option<PathBuf> {
    let record = fs::read(dir.join("control.json")).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    record["socket"].as_str().map(PathBuf::from)
}

/// Asks the runner of an attempt to cancel it. False if no runner listens.
///
/// # Errors
/// If the runner does not answer in time.
pub(super) fn cancel(dir: &Path) -> io::Result<bool> {
    let Some(socket) = socket_of(dir) else {
        return Ok(false);
    };
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return Ok(false);
    };
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(&request(Some(1), "cancel", &json!({})))?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE as u64)).read_line(&mut answer)?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    Ok(answer.get("result").is_some())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn callers_that_dribble_hold_up_nothing_and_a_cancel_is_heard() {
        let dir = tempfile::tempdir().unwrap();
        let id = TaskId::from_entropy(1);
        let control = Control::listen(dir.path(), dir.path(), &id, 1).unwrap();
        let socket = control.socket.clone();
        let connect = || UnixStream::connect(&socket).unwrap();
        let mut slow: Vec<_> = (0..8).map(|_| connect()).collect();
        thread::scope(|scope| {
            let dribble = scope.spawn(move || {
                // Each byte comes within the time of a single read.
                while slow.iter_mut().any(|stream| stream.write_all(b" ").is_ok()) {
                    thread::park_timeout(PATIENCE / 4);
                }
            });
            let began = Instant::now();
            assert!(!control.answer());
            assert!(began.elapsed() < PATIENCE * 4, "{:?}", began.elapsed());
            let asked = scope.spawn(|| cancel(dir.path()));
            let began = Instant::now();
            while !control.answer() {
                assert!(began.elapsed() < Duration::from_secs(30), "a cancel is not heard");
            }
            drop(control);
            drop(asked.join());
            dribble.join().unwrap();
        });
    }

    #[test]
    fn frames_are_the_daemons_and_the_form_of_earlier_builds_is_understood() {
        let cancels = |frame: &str| answer(frame.as_bytes());
        // As every build so far has asked.
        let (told, cancel) = cancels(r#"{"jsonrpc":"2.0","id":1,"method":"cancel"}"#);
        assert_eq!(
            (told, cancel),
            (Some(json!({"jsonrpc": "2.0", "id": 1, "result": {}})), true)
        );
        let (hello, cancel) =
            cancels(r#"{"jsonrpc":"2.0","id":"a","method":"hello","params":{"protocol":1,"token":"x"}}"#);
        let hello = hello.unwrap();
        assert_eq!(
            (&hello["id"], &hello["result"]["protocol"]),
            (&json!("a"), &json!(1))
        );
        assert!(!cancel && hello["result"]["pid"] == std::process::id());
        let code = |frame: &str| cancels(frame).0.unwrap()["error"]["code"].clone();
        assert_eq!(code("{"), -32700);
        assert_eq!(code(&"[".repeat(4000)), -32700);
        assert_eq!(code(r#"{"jsonrpc":"1.0","method":"cancel","id":1}"#), -32600);
        assert_eq!(code(r#"{"jsonrpc":"2.0","method":"attach","id":1}"#), -32601);
        let (told, cancel) =
            cancels(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"cancel"}]"#);
        assert!(cancel && told.unwrap().as_array().unwrap().len() == 1);
        assert_eq!(cancels(r#"{"jsonrpc":"2.0","method":"ping"}"#), (None, false));
    }

    #[test]
    fn a_runner_of_an_earlier_build_hears_a_cancel() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("old.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let text = json!({"format": 1, "socket": socket}).to_string();
        fs::write(dir.path().join("control.json"), text).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                BufReader::new(&stream).read_line(&mut asked).unwrap();
                // It reads one line and looks for its method and id, nothing else.
                let asked: Value = serde_json::from_str(&asked).unwrap();
                assert_eq!(asked["method"], "cancel");
                let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {}});
                stream.write_all(format!("{answer}\n").as_bytes()).unwrap();
            });
            assert!(cancel(dir.path()).unwrap());
        });
    }
}
