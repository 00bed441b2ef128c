//! What the disk refuses is told with the path and what was tried there.

use std::fs;

use crate::stage::Stage;

#[test]
fn an_error_of_the_disk_names_its_path() {
    for (name, verb) in [
        ("attempts", "make the folder"),
        ("clones", "make the folder"),
        ("tmp", "make"),
    ] {
        let stage = Stage::new();
        stage.act("echo n > n");
        drop(stage.run(&["daemon", "stop"]));
        let place = stage.work.0.join(".git/khlone").join(name);
        fs::rename(&place, stage.path().join("aside")).unwrap();
        fs::write(&place, "").unwrap();
        let said = match name {
            "tmp" => stage.run(&["land"]).err,
            "clones" => stage.run(&["update", "foreman.1"]).err,
            _ => {
                stage
                    .run(&["act", "--who", "@shell", "--await", "echo m > m"])
                    .err
                    + &fs::read_to_string(stage.work.0.join(".git/khlone/daemon.log")).unwrap()
            }
        };
        let told = said.contains(&format!("cannot {verb}")) && said.contains(place.to_str().unwrap());
        assert!(told, "{name}: {said}");
    }
}
