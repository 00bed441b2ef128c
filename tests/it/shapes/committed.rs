//! What a task says is changed is in its commit.

use crate::stage::Stage;

/// What the branch of the clone changed against main.
fn committed(stage: &Stage) -> String {
    let range = "main..khlone/main/foreman.1";
    stage.work.git(&[
        "log",
        "--no-renames",
        "--name-status",
        "--format=",
        "--reverse",
        range,
    ])
}

#[test]
fn files_links_and_folders_become_each_other() {
    let changes = [
        ("rm l; mkdir l; echo x > l/x", "D\tl\nA\tl/x"),
        ("rm a.txt; mkdir a.txt; echo x > a.txt/x", "D\ta.txt\nA\ta.txt/x"),
        ("rm l; echo x > l", "T\tl"),
        ("rm a.txt; ln -s l a.txt", "T\ta.txt"),
        ("rm -r d; echo x > d", "A\td\nD\td/one\nD\td/two"),
        ("rm -r d; ln -s a.txt d", "A\td\nD\td/one\nD\td/two"),
    ];
    let stage = Stage::with(&[("a.txt", "a\n"), ("d/one", "1\n"), ("d/two", "2\n")]);
    std::os::unix::fs::symlink("a.txt", stage.work.0.join("l")).unwrap();
    stage.work.commit(&[], "with a link");
    for (script, changed) in changes {
        let (said, task) = stage.act(script);
        assert_eq!(
            (said.code, committed(&stage).as_str()),
            (0, changed),
            "{script}: {}",
            said.err
        );
        stage.run(&["rollback", task["id"].as_str().unwrap()]).ok();
        assert_eq!(
            (stage.clone().status(), committed(&stage)),
            Default::default(),
            "{script}"
        );
    }
}
