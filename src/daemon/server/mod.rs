//! Connections: who may speak, how long, how much at once.
//!
//! One task a connection, which alone writes to it, so that a client that does not read stalls itself and holds
//! one answer. Requests that must wait run beside the reading, a bounded number at a time.

pub(in crate::daemon) mod again;
pub(in crate::daemon) mod changes;
pub(in crate::daemon) mod enqueue;
pub(in crate::daemon) mod methods;
mod queries;
pub(in crate::daemon) mod reading;
pub(in crate::daemon) mod watching;

use std::{io, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use rustix::process::{Resource, getrlimit};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use super::{
    Code, RpcError,
    protocol::{
        self, Call, Frame, Refusal,
        frames::{End, Frames, Patience},
    },
    shared::{Attendant, Part, Shared},
};
use crate::zone::Caller;
use methods::{Handled, Reply};

/// The first message must come at once: its sender has nothing to wait for.
const GREETING: Patience = Patience {
    idle: Duration::from_secs(5),
    rest: Duration::from_secs(5),
};
/// A connection that asks nothing for this long is closed.
const ESTABLISHED: Patience = Patience {
    idle: Duration::from_mins(10),
    rest: Duration::from_secs(30),
};
/// An answer that is not read for this long closes the connection.
const WRITE: Duration = Duration::from_secs(30);
/// Requests of one connection under way at once; the next is read when one is done.
const IN_FLIGHT: usize = 32;
/// How long to wait after a connection that could not be accepted: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Connections at once; further ones wait in the backlog.
const CONNECTIONS: usize = 512;

/// Accepts connections for as long as it is polled.
pub(crate) async fn serve(listener: &UnixListener, shared: &Rc<Shared>) {
    let places = Arc::new(Semaphore::new(capacity()));
    let mut pause = PAUSE.0;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                pause = PAUSE.0;
                shared.trouble(Part::Callers, None);
                welcome(stream, shared, place);
            }
            Err(error) => {
                // Out of files: what is connected goes on, and new ones wait in the backlog.
                let problem = format!("callers cannot be heard: {}", with_limit(&error));
                if shared.trouble(Part::Callers, Some(problem)) {
                    tracing::warn!(%error, "cannot accept");
                    shared.wake.notify_one();
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// An error with the limit that it ran into, where that is the number of open files.
pub(super) fn with_limit(error: &io::Error) -> String {
    if error.raw_os_error() != Some(rustix::io::Errno::MFILE.raw_os_error()) {
        return error.to_string();
    }
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    format!("{error}; the limit is {limit} (ulimit -Hn)")
}

/// As many connections as leave files for the ledger and for starting runners.
fn capacity() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let files = limit
        .and_then(|files| usize::try_from(files).ok())
        .unwrap_or(usize::MAX);
    (files / 2).saturating_sub(8).clamp(2, CONNECTIONS)
}

fn welcome(stream: UnixStream, shared: &Rc<Shared>, place: OwnedSemaphorePermit) {
    let ours = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred().ok();
    if peer.map(|peer| peer.uid()) != Some(ours) {
        tracing::warn!("a caller of another user was sent away");
        return;
    }
    let (read, write) = stream.into_split();
    let connection = Connection {
        shared: Rc::clone(shared),
        frames: Frames::new(read),
        out: write,
        caller: Caller::of(peer.and_then(|peer| peer.pid())),
        greeted: false,
        attends: None,
        waiting: JoinSet::new(),
        long: Arc::new(Semaphore::new(1)),
    };
    tokio::task::spawn_local(async move {
        let _place = place;
        let shared = Rc::clone(&connection.shared);
        shared.connections.set(shared.connections.get() + 1);
        connection.run().await;
        shared.connections.set(shared.connections.get() - 1);
        shared.touch();
    });
}

struct Connection {
    shared: Rc<Shared>,
    frames: Frames<OwnedReadHalf>,
    out: OwnedWriteHalf,
    caller: Caller,
    greeted: bool,
    /// Set while it keeps a daemon that leaves with its last user.
    attends: Option<Attendant>,
    /// Requests that wait for something.
    waiting: JoinSet<Option<Outgoing>>,
    /// Who makes a long answer holds it until that is sent.
    long: Arc<Semaphore>,
}

/// An answer that is made when it is about to be sent.
struct Outgoing {
    make: Box<dyn FnOnce() -> (Vec<u8>, Option<OwnedSemaphorePermit>)>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Longest answer to a batch; what does not fit must be asked alone.
const BATCH_ANSWER: usize = protocol::MAX_FRAME;

/// Whether the connection goes on.
type GoesOn = bool;

impl Connection {
    async fn run(mut self) {
        loop {
            let patience = if self.greeted { ESTABLISHED } else { GREETING };
            let goes_on = tokio::select! {
                done = self.waiting.join_next(), if !self.waiting.is_empty() => self.settle(done).await,
                frame = self.frames.next(patience), if self.waiting.len() < IN_FLIGHT => match frame {
                    Ok(frame) => self.take(&frame).await,
                    Err(end) => self.end(&end).await,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn take(&mut self, frame: &[u8]) -> GoesOn {
        self.shared.touch();
        match protocol::parse(frame) {
            Frame::One(Err(refusal)) => self.send(&refuse(&refusal)).await,
            Frame::One(Ok(call)) => {
                let id = call.id.clone();
                match self.handle(call) {
                    Err(error) => {
                        self.send(&protocol::response(&id.unwrap_or_default(), Err(error)))
                            .await;
                        false
                    }
                    Ok(Handled::Now(result)) => match id {
                        Some(id) => self.send(&protocol::response(&id, result)).await,
                        None => true,
                    },
                    Ok(Handled::Later(future)) => self.begin(id, future, None),
                    Ok(Handled::Long(future)) => self.begin(id, future, Some(Arc::clone(&self.long))),
                }
            }
            Frame::Batch(calls) => self.batch(calls).await,
        }
    }

    fn begin(
        &mut self,
        id: Option<Value>,
        future: Pin<Box<dyn Future<Output = Reply>>>,
        long: Option<Arc<Semaphore>>,
    ) -> GoesOn {
        self.waiting.spawn_local(async move {
            let place = take_place(long).await;
            let reply = future.await;
            let id = id?;
            let make = move || {
                let (mut response, room) = reply.response(&id);
                response.push('\n');
                (response.into_bytes(), room)
            };
            Some(Outgoing {
                make: Box::new(make),
                _place: place,
            })
        });
        true
    }

    /// All calls of a batch are begun in their order and answered together.
    async fn batch(&mut self, calls: Vec<Result<Call, Box<Refusal>>>) -> GoesOn {
        let mut begun = Vec::with_capacity(calls.len());
        for call in calls {
            match call {
                Err(refusal) => begun.push((Some(refusal.id), Handled::Now(Err(refusal.error)))),
                Ok(call) => match (call.id.clone(), self.handle(call)) {
                    (id, Ok(handled)) => begun.push((id, handled)),
                    (id, Err(error)) => {
                        self.send(&protocol::response(&id.unwrap_or_default(), Err(error)))
                            .await;
                        return false;
                    }
                },
            }
        }
        let long = Arc::clone(&self.long);
        self.waiting.spawn_local(async move {
            let place = take_place(Some(long)).await;
            let answers = answer_batch(begun).await?;
            Some(Outgoing {
                make: Box::new(move || (answers, None)),
                _place: place,
            })
        });
        true
    }

    /// Begins a call; an error ends the connection.
    fn handle(&mut self, call: Call) -> Result<Handled, RpcError> {
        self.shared.requests.set(self.shared.requests.get() + 1);
        if call.method == "hello" {
            let greeting = methods::hello(&self.shared, call.params)?;
            self.greeted = true;
            return Ok(Handled::Now(Ok(greeting)));
        }
        if !self.greeted {
            return Err(RpcError::new(
                Code::Unauthenticated,
                "say `hello` with the daemon's token first",
            ));
        }
        match call.method.as_str() {
            "attend" => {
                self.attends = Attendant::of(&self.shared);
                Ok(Handled::Now(Ok(json!(self.attends.is_some()))))
            }
            "leave" => {
                self.attends = None;
                Ok(Handled::Now(Ok(json!(self.shared.is_stopping()))))
            }
            _ => Ok(methods::handle(&self.shared, call, self.caller)),
        }
    }

    async fn settle(&mut self, done: Option<Result<Option<Outgoing>, tokio::task::JoinError>>) -> GoesOn {
        match done {
            Some(Ok(Some(outgoing))) => {
                let Outgoing { make, _place } = outgoing;
                let (line, _room) = make();
                self.write(&line).await
            }
            Some(Ok(None)) | None => true,
            Some(Err(error)) => {
                tracing::error!(%error, "a request broke");
                false
            }
        }
    }

    async fn end(&mut self, end: &End) -> GoesOn {
        match end {
            End::Silent => !self.waiting.is_empty() || self.attends.is_some(),
            End::TooLong => {
                let message = format!("a frame is at most {} bytes", protocol::MAX_FRAME);
                let error = RpcError::new(Code::Parse, message);
                self.send(&protocol::response(&Value::Null, Err(error))).await;
                false
            }
            // Who has only closed its writing side still gets what it has asked for.
            End::Closed => {
                self.attends = None;
                let rest = async {
                    while let Some(done) = self.waiting.join_next().await {
                        if !self.settle(Some(done)).await {
                            return;
                        }
                    }
                };
                drop(timeout(WRITE, rest).await);
                false
            }
        }
    }

    async fn send(&mut self, answer: &Value) -> GoesOn {
        self.write(&protocol::line(answer)).await
    }

    async fn write(&mut self, line: &[u8]) -> GoesOn {
        matches!(timeout(WRITE, self.out.write_all(line)).await, Ok(Ok(())))
    }
}

async fn take_place(places: Option<Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    places?.acquire_owned().await.ok()
}

/// The frame that answers a batch; `None` if there were only notifications in it.
async fn answer_batch(begun: Vec<(Option<Value>, Handled)>) -> Option<Vec<u8>> {
    let mut frame = vec![b'['];
    for (id, handled) in begun {
        let reply = match handled {
            Handled::Now(result) => Reply::Whole(result),
            Handled::Later(future) | Handled::Long(future) => future.await,
        };
        let Some(id) = id else { continue };
        let (mut answer, _room) = reply.response(&id);
        if frame.len() + answer.len() > BATCH_ANSWER {
            let error = RpcError::new(Code::Refused, "the batch's answer is too long; ask this alone");
            answer = protocol::response(&id, Err(error)).to_string();
        }
        if frame.len() > 1 {
            frame.push(b',');
        }
        frame.extend(answer.into_bytes());
    }
    frame.extend(b"]\n");
    (frame.len() > 3).then_some(frame)
}

fn refuse(refusal: &Refusal) -> Value {
    protocol::response(&refusal.id, Err(refusal.error.clone()))
}
