//! What a brain prints, in any pieces, becomes events that can be written down; nothing in it panics.
//! The first byte chooses the brain, the second the length of the pieces.

#![no_main]

use git_khlone::brain::{self, Session};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [which, length, printed @ ..] = data else { return };
    let brains: Vec<_> = brain::all().collect();
    let session = Session::New("00000000-0000-4000-8000-000000000000".to_owned());
    let mut translator = brains[usize::from(*which) % brains.len()].translator(&session);
    let mut events = Vec::new();
    for piece in printed.chunks(usize::from(*length).max(1)) {
        events.extend(translator.stdout(piece));
        events.extend(translator.stderr(piece));
    }
    events.extend(translator.finish(Some(0)));
    for event in &events {
        let line = serde_json::to_vec(event).expect("an event is JSON");
        let again: brain::Event = serde_json::from_slice(&line).expect("which reads back");
        assert_eq!(&again, event);
    }
});
