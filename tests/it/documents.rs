//! Every document of the ledger reads its golden file and writes it again to the byte, fields of later versions
//! included; a newer format is refused with its number.

use std::{fs, path::Path};

use git_khlone::{
    refs::{Crew, Zone},
    task::{Checkpoint, Effects, FormatError, Task, Transition, parse_versioned},
    worktree::receipt::ReceiptDocument,
};
use serde::{Serialize, de::DeserializeOwned};

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/documents")
        .join(name);
    fs::read_to_string(path).unwrap()
}

fn keeps<T: Serialize + DeserializeOwned>(name: &'static str) {
    let text = golden(name);
    let document: T = parse_versioned(name, text.as_bytes()).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&document).unwrap() + "\n",
        text,
        "{name}"
    );
    let newer = text.replacen("\"format\": 1", "\"format\": 2", 1);
    let refused = parse_versioned::<T>(name, newer.as_bytes()).err().unwrap();
    assert!(
        matches!(refused, FormatError::Newer { found: 2, .. }),
        "{name}: {refused}"
    );
    assert!(refused.to_string().contains("format 2"), "{refused}");
}

#[test]
fn documents_read_back_to_the_byte_and_newer_ones_are_refused() {
    keeps::<Task>("task.json");
    keeps::<Zone>("zone.json");
    keeps::<Crew>("crew.json");
    keeps::<Effects>("effects.json");
    keeps::<ReceiptDocument>("receipt.json");
    keeps::<Checkpoint>("checkpoint.json");
    let line = golden("transition.json");
    let transition: Transition = serde_json::from_str(&line).unwrap();
    assert_eq!(serde_json::to_string_pretty(&transition).unwrap() + "\n", line);
}
