//! What is linked into the program may be shipped with it.

use git_khlone::process::Cmd;
use spdx::{Expression, ParseMode};

/// Those that ask for no more than that their text goes along, as `packaging/licences` sees to.
const ALLOWED: [&str; 8] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

#[test]
fn every_crate_that_is_linked_has_a_licence_that_goes_with_ours() {
    let tree = Cmd::new(env!("CARGO"))
        .dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .output()
        .unwrap();
    let tree = String::from_utf8(tree).unwrap();
    assert!(tree.lines().count() > 100, "{tree}");
    for line in tree.lines() {
        let (package, licence) = line.split_once('|').unwrap();
        let licence = licence.trim_end_matches(" (*)");
        let expression = Expression::parse_mode(licence, ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{package}: {licence}: {error}"));
        let may = expression.evaluate(|asked| {
            let id = asked.license.id().map(|id| id.name);
            id.is_some_and(|id| ALLOWED.contains(&id))
        });
        assert!(may, "{package}: {licence}");
    }
}
