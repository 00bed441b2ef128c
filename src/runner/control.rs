//! The runner's control socket: how anyone but the brain reaches a run. Newline-delimited JSON-RPC 2.0; `cancel` is
//! its one verb.
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

use serde_json::{Value, json};

use crate::{process::Tried, task::TaskId};

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

fn serve(mut stream: &UnixStream, deadline: Instant) -> io::Result<bool> {
    stream.set_nonblocking(false)?;
    let line = read_line(stream, deadline)?;
    let request: Value = serde_json::from_slice(&line).unwrap_or(Value::Null);
    let cancel = request["method"] == "cancel";
    let mut answer = json!({"jsonrpc": "2.0", "id": request["id"]});
    if cancel {
        answer["result"] = json!({});
    } else {
        answer["error"] = json!({"code": -32601, "message": "method not found"});
    }
    // What was asked counts, also where its caller has no more time for the answer.
    let answered = left(deadline)
        .and_then(|left| stream.set_write_timeout(Some(left)))
        .and_then(|()| stream.write_all(format!("{answer}\n").as_bytes()));
    if !cancel {
        answered?;
    }
    Ok(cancel)
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
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"cancel\"}\n")?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE as u64)).read_line(&mut answer)?;
    Ok(answer.contains("\"result\""))
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
}
