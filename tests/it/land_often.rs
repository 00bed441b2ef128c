//! One landing after another, and two at once.

use crate::stage::Stage;

/// Each style after each other, where a person goes on beside the clone and where not: what never touched the same lines
/// always lands.
#[test]
fn one_landing_after_another_sees_what_the_one_before_brought() {
    let stage = Stage::new();
    let styles = [
        &["land"][..],
        &["land", "--squash"],
        &["land", "--no-ff"],
        &["land", "--rebase"],
    ];
    let order = [0, 0, 1, 0, 2, 0, 3, 1, 1, 2, 1, 3, 2, 2, 3, 3, 0];
    let mut mine = String::new();
    for (step, style) in order.into_iter().enumerate() {
        stage.act(&format!("echo {step} > theirs; echo {step} >> log"));
        if step % 3 != 0 {
            mine.push_str(&format!("{step}\n"));
            stage.work.commit(&[("mine", &mine)], "mine");
        }
        let landed = stage.run(styles[style]);
        let told = format!("{step}: {:?}: {}", styles[style], landed.err);
        assert_eq!(landed.code, 0, "{told}");
        let files = ["theirs", "log"].map(|name| stage.work.git(&["show", &format!("main:{name}")]));
        let log: String = (0..=step).map(|step| format!("{step}\n")).collect();
        assert_eq!(files, [step.to_string(), log.trim_end().to_owned()], "{told}");
        assert_eq!(stage.work.status(), "", "{told}");
    }
}

/// Of two landings of the same work one brings it, and the other finds it there, whatever it saw of the first on its way.
#[test]
fn the_second_of_two_landings_at_once_finds_the_work_landed() {
    let stage = Stage::new();
    for step in 0..8 {
        stage.act(&format!(
            "for n in $(seq 40); do echo {step} > new{step}-$n; done; echo {step} > old"
        ));
        let both = std::thread::scope(|scope| {
            let land = || scope.spawn(|| stage.run(&["land", "foreman.1"]));
            let both = [land(), land()];
            both.map(|landing| landing.join().unwrap())
        });
        for landed in both {
            assert_eq!(landed.code, 0, "{step}: {}", landed.err);
        }
        assert_eq!(stage.work.status(), "");
    }
}
