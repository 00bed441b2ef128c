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
    time::Duration,
};

use serde_json::{Value, json};

use crate::task::TaskId;

/// How long one caller may hold up the runner.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long the runner may take to answer; what it is told stands in the ledger besides.
const ANSWER: Duration = Duration::from_secs(1);
/// The longest request.
const LINE: u64 = 4096;

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
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Recorded before it is there: whoever buries a killed runner must find it.
        fs::write(
            dir.join("control.json"),
            json!({"format": 1, "socket": socket}).to_string(),
        )?;
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, socket })
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Answers whoever waits; true if someone asked to cancel.
    pub(super) fn answer(&self) -> bool {
        let mut cancel = false;
        while let Ok((stream, _)) = self.listener.accept() {
            match serve(stream) {
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

fn serve(stream: UnixStream) -> io::Result<bool> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE)).read_line(&mut line)?;
    let request: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
    let cancel = request["method"] == "cancel";
    let mut answer = json!({"jsonrpc": "2.0", "id": request["id"]});
    if cancel {
        answer["result"] = json!({});
    } else {
        answer["error"] = json!({"code": -32601, "message": "method not found"});
    }
    (&stream).write_all(format!("{answer}\n").as_bytes())?;
    Ok(cancel)
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
    BufReader::new(stream.take(LINE)).read_line(&mut answer)?;
    Ok(answer.contains("\"result\""))
}
