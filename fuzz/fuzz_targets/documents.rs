//! Documents and tags of the ledger, and receipts: whatever stands in git, reading it ends, and what was read is written
//! as it was.

#![no_main]

use git_khlone::{
    refs::{Crew, TaskHead, Zone},
    task::{Effects, Task, Transition, parse_versioned},
    worktree::receipt::{Receipt, ReceiptDocument},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn keeps<T: serde::Serialize + serde::de::DeserializeOwned>(data: &[u8]) {
    let Ok(document) = parse_versioned::<T>("a document", data) else { return };
    let value = serde_json::to_value(&document).expect("a document is JSON");
    let text = serde_json::to_vec(&value).expect("as text, too");
    let again: T = parse_versioned("a document", &text).expect("which reads back");
    assert_eq!(serde_json::to_value(&again).ok(), Some(value));
}

fuzz_target!(|data: &[u8]| {
    keeps::<Task>(data);
    keeps::<Zone>(data);
    keeps::<Crew>(data);
    keeps::<Effects>(data);
    keeps::<ReceiptDocument>(data);
    let _line: Result<Transition, _> = serde_json::from_slice(data);
    let _any: Result<Value, _> = serde_json::from_slice(data);
    let _head = TaskHead::parse(data);
    if let Ok(receipt) = Receipt::from_bytes(data) {
        assert_eq!(Receipt::from_bytes(&receipt.to_bytes()), Ok(receipt));
    }
});
