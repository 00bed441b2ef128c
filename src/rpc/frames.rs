//! Frames from a stream: lines, bounded in length and in time.
//!
//! A client that sends one byte and falls silent, or a line without end, costs a bounded buffer and a bounded
//! wait. Reading is cancel safe: what has arrived stays in the buffer.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::MAX_FRAME;

/// Above this, an emptied buffer is given back.
const KEPT: usize = 16 << 10;

/// Why there is no further frame.
#[derive(Debug)]
pub(crate) enum End {
    /// The other side has closed.
    Closed,
    /// A frame is longer than it may be.
    TooLong,
    /// Nothing arrived for as long as we wait.
    Silent,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the first byte of a frame.
    pub(crate) idle: Duration,
    /// For the rest of a frame that has begun, from its last byte on.
    pub(crate) rest: Duration,
}

/// A stream cut into frames.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    stream: R,
    buffer: Vec<u8>,
    searched: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            searched: 0,
        }
    }

    /// The next frame, its newline taken off. Blank lines are passed over.
    pub(crate) async fn next(&mut self, patience: Patience) -> Result<Vec<u8>, End> {
        loop {
            while let Some(frame) = self.take() {
                if !frame.trim_ascii().is_empty() {
                    return Ok(frame);
                }
            }
            if self.buffer.len() >= MAX_FRAME {
                return Err(End::TooLong);
            }
            let wait = if self.buffer.is_empty() {
                patience.idle
            } else {
                patience.rest
            };
            match timeout(wait, self.fill()).await {
                Err(_elapsed) => return Err(End::Silent),
                Ok(Ok(0) | Err(_)) => return Err(End::Closed),
                Ok(Ok(_)) => {}
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(4 << 10);
        self.stream.read_buf(&mut self.buffer).await
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let Some(end) = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
        else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + end;
        let rest = self.buffer.split_off(end + 1);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        frame.truncate(end);
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        self.searched = 0;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_secs(60),
        rest: Duration::from_millis(50),
    };

    fn block<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn frames_come_apart_wherever_they_were_cut() {
        block(async {
            let (mut near, far) = tokio::io::duplex(8);
            let mut frames = Frames::new(far);
            let writer = async move { near.write_all(b"one\n\n  \ntwo two two two\nrest").await.unwrap() };
            let reader = async {
                assert_eq!(frames.next(PATIENCE).await.unwrap(), b"one");
                assert_eq!(frames.next(PATIENCE).await.unwrap(), b"two two two two");
                assert!(matches!(frames.next(PATIENCE).await, Err(End::Closed)));
            };
            tokio::join!(writer, reader);
        });
    }

    #[test]
    fn one_byte_and_silence_and_no_end_are_cut_off() {
        block(async {
            let (mut near, far) = tokio::io::duplex(1 << 16);
            near.write_all(b"{").await.unwrap();
            assert!(matches!(Frames::new(far).next(PATIENCE).await, Err(End::Silent)));
            let endless = tokio::io::repeat(b'x');
            assert!(matches!(
                Frames::new(endless).next(PATIENCE).await,
                Err(End::TooLong)
            ));
        });
    }
}
