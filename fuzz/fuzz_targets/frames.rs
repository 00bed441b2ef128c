//! What arrives at the daemon's socket: each frame has its answer, and none is deeper or longer than it may be.

#![no_main]

use git_khlone::daemon::{Frame, MAX_BATCH, parse_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for frame in data.split(|byte| *byte == b'\n') {
        match parse_frame(frame) {
            Frame::One(Ok(call)) => assert!(call.id.is_none_or(|id| !id.is_object() && !id.is_array())),
            Frame::One(Err(refusal)) => assert!(refusal.error.code < 0),
            Frame::Batch(calls) => assert!((1..=MAX_BATCH).contains(&calls.len())),
        }
    }
});
