//! Addresses, names and ids, from the command line, from documents and over RPC: what is accepted reads back as itself.

#![no_main]

use std::{fmt::Display, str::FromStr};

use git_khlone::{guard::gitdir::refnames::is_ref_name, task::{BrainName, CloneName, RoleName, TaskId, TaskPrefix, Who, ZoneAddress, ZoneId}};
use libfuzzer_sys::fuzz_target;

fn keeps<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(name) = text.parse::<T>() {
        let shown = name.to_string();
        assert!(shown.parse::<T>().is_ok_and(|again| again == name), "{shown:?} of {text:?}");
        assert!(!shown.contains(char::is_control), "nothing that a terminal acts upon");
    }
}

fuzz_target!(|text: &str| {
    keeps::<Who>(text);
    keeps::<ZoneAddress>(text);
    keeps::<TaskId>(text);
    keeps::<TaskPrefix>(text);
    keeps::<CloneName>(text);
    keeps::<RoleName>(text);
    keeps::<BrainName>(text);
    // Any branch has a zone id, and it is one component of a ref.
    let zone = ZoneId::of_branch(text);
    assert!(is_ref_name(&format!("refs/khlone/zones/{zone}")), "{zone}");
});
