//! The caller's end: a blocking connection to the daemon of a site.
//!
//! No async runtime: a command that only wakes the daemon pays for one connect and one write.

pub(in crate::daemon) mod ask;
pub(in crate::daemon) mod attend;
pub(in crate::daemon) mod lift;
pub(in crate::daemon) mod line;
mod replace;
pub(in crate::daemon) mod start;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    sockopt::{Timeout, set_socket_timeout, socket_peercred},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::process::is_stopped;

use super::{DaemonError, Greeting, MAX_ANSWER, PROTOCOL, Place, RpcError, life::place::Record, protocol};

/// How long connecting and writing may take; the daemon is on this machine.
const REACH: Duration = Duration::from_secs(2);
/// After so long without an answer it is looked whether the daemon is stopped.
const LOOK: Duration = Duration::from_millis(500);
/// How long an answer may take unless the caller says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that has shown the daemon's token.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    place: Place,
    pid: u32,
    next: u64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<RpcError>,
}

impl Client {
    /// Connects to the living daemon and shakes hands.
    ///
    /// # Errors
    /// [`DaemonError::NotRunning`] if nobody listens, and what the handshake brings.
    pub fn connect(place: &Place) -> Result<Self, DaemonError> {
        Self::connect_within(place, PATIENCE)
    }

    fn connect_within(place: &Place, patience: Duration) -> Result<Self, DaemonError> {
        let record = place.record()?.ok_or(DaemonError::NotRunning)?;
        let stream = reach(place, &record)?;
        let mut client = Self {
            stream: BufReader::new(stream),
            place: place.clone(),
            pid: record.process.pid,
            next: 0,
        };
        let _greeting: Greeting = client.call("hello", &hello(&record), patience)?;
        Ok(client)
    }

    /// The daemon's pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Calls `method` and waits at most `patience` for its result.
    ///
    /// # Errors
    /// [`DaemonError::Rpc`] with the daemon's own error, else what became of the connection.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &Value,
        patience: Duration,
    ) -> Result<T, DaemonError> {
        self.next += 1;
        let id = self.next;
        let stream = self.stream.get_mut();
        stream
            .write_all(&protocol::request(Some(id), method, params))
            .map_err(|_| DaemonError::HungUp)?;
        stream
            .set_read_timeout(Some(patience.min(LOOK)))
            .map_err(|_| DaemonError::HungUp)?;
        loop {
            let answer = self.read(patience)?;
            if answer.id != json!(id) && !answer.id.is_null() {
                continue;
            }
            return match (answer.error, answer.result) {
                (Some(error), _) => Err(error.into()),
                (None, result) => Ok(serde_json::from_value(result.unwrap_or_default())?),
            };
        }
    }

    /// The connection itself, without time limits, and what has been read of it already.
    pub(crate) fn into_stream(self) -> (UnixStream, Vec<u8>) {
        let read = self.stream.buffer().to_vec();
        let stream = self.stream.into_inner();
        let _unlimited = stream
            .set_read_timeout(None)
            .and_then(|()| stream.set_write_timeout(None));
        (stream, read)
    }

    fn read(&mut self, patience: Duration) -> Result<Answer, DaemonError> {
        let mut line = Vec::new();
        let deadline = Instant::now() + patience;
        let mut limited = self.stream.by_ref().take(MAX_ANSWER as u64);
        loop {
            match limited.read_until(b'\n', &mut line) {
                Ok(_) if line.ends_with(b"\n") => return Ok(serde_json::from_slice(&line)?),
                Err(error) if is_timeout(&error) && is_stopped(self.pid) => {
                    return Err(DaemonError::Stopped { pid: self.pid });
                }
                // What has come of the line so far is in it.
                Err(error) if is_timeout(&error) && Instant::now() < deadline => {}
                Err(error) if is_timeout(&error) => {
                    return Err(DaemonError::Silent {
                        pid: self.pid,
                        patience,
                        beat: self.place.last_beat(),
                    });
                }
                Ok(_) | Err(_) => return Err(DaemonError::HungUp),
            }
        }
    }
}

/// Has the living daemon look at the ledger, and hears from it that it will: a connection alone may be to one that
/// is just dying.
///
/// # Errors
/// [`DaemonError::NotRunning`] if nobody listens, [`DaemonError::HungUp`] if it went before it answered.
pub(crate) fn wake(place: &Place, patience: Duration) -> Result<u32, DaemonError> {
    let mut client = Client::connect_within(place, patience)?;
    let _will_look: bool = client.call("wake", &json!({}), patience)?;
    Ok(client.pid())
}

fn hello(record: &Record) -> Value {
    json!({ "protocol": PROTOCOL, "token": record.token })
}

/// Connects to the socket of `record` and checks who is at the other end.
fn reach(place: &Place, record: &Record) -> Result<UnixStream, DaemonError> {
    let path = &record.socket;
    let io = |errno: rustix::io::Errno| DaemonError::io(path, errno.into());
    check_socket(path)?;
    // Close-on-exec at birth; the send timeout also bounds a connect to a full backlog.
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(io)?;
    set_socket_timeout(&socket, Timeout::Send, Some(REACH)).map_err(io)?;
    let address = SocketAddrUnix::new(path).map_err(io)?;
    connect(&socket, &address).map_err(|errno| match errno {
        rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT => DaemonError::NotRunning,
        rustix::io::Errno::AGAIN => DaemonError::Silent {
            pid: record.process.pid,
            patience: REACH,
            beat: place.last_beat(),
        },
        errno => io(errno),
    })?;
    let peer = socket_peercred(&socket).map_err(io)?;
    let (pid, uid) = (peer.pid.as_raw_nonzero().get(), peer.uid.as_raw());
    if uid != rustix::process::geteuid().as_raw() || u32::try_from(pid) != Ok(record.process.pid) {
        return Err(DaemonError::Stranger {
            path: path.clone(),
            pid,
            uid,
        });
    }
    Ok(UnixStream::from(socket))
}

/// A connect follows links; what is at `path` must be a socket of ours itself.
fn check_socket(path: &Path) -> Result<(), DaemonError> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DaemonError::NotRunning),
        Err(source) => Err(DaemonError::io(path, source)),
        Ok(meta) if meta.uid() != rustix::process::geteuid().as_raw() || !meta.file_type().is_socket() => {
            Err(DaemonError::NotOurs {
                path: path.to_owned(),
                uid: meta.uid(),
            })
        }
        Ok(_) => Ok(()),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
