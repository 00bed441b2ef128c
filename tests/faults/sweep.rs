//! Every verb at every point: the fault strikes, the verb is run again, a daemon brings all to an end, the oracle
//! looks.

use std::{
    collections::BTreeMap,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use crate::{
    inject::{Fault, Place, places},
    oracle::{Journal, Untouched, gather, judge},
    rig::Rig,
    tools::has,
    verbs::{Scene, Verb},
};

/// How many faults the long form must inject; nothing: the short form.
fn wanted() -> Option<usize> {
    std::env::var("KHLONE_FAULTS").ok()?.parse().ok()
}

fn seed() -> u64 {
    std::env::var("KHLONE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7)
}

/// Places to strike in one verb, for one worker at a time.
struct Part {
    verb: Verb,
    places: Vec<Place>,
}

/// What all workers found.
#[derive(Debug, Default)]
struct Tally {
    /// Faults, by transition and kind.
    struck: BTreeMap<(&'static str, Fault), usize>,
    acks: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn faults(&self) -> usize {
        self.struck.values().sum()
    }

    /// Keeps what is wrong; the long form says it at once, and how far it is.
    fn tell(&mut self, wrong: Vec<String>) {
        if wanted().is_some() {
            let mut text: String = wrong.iter().map(|what| format!("{what}\n")).collect();
            if self.faults().is_multiple_of(100) {
                text.push_str(&report(self));
            }
            drop(std::io::stderr().write_all(text.as_bytes()));
        }
        self.wrong.extend(wrong);
    }
}

/// One fault, and all that follows from it; nothing if the command was over before it could strike.
fn one(place: &Place, rig: &Rig, scene: &Scene) -> Option<(&'static str, usize, Vec<String>)> {
    rig.restore();
    let mut journal = scene.journal.clone();
    let (struck, at) = scene.strike(rig, Some(place), &mut journal);
    if !struck.hit {
        rig.stop();
        return None;
    }
    let mut wrong = scene.again(rig);
    let evidence = gather(rig, scene.untouched.as_ref());
    wrong.extend(judge(&journal, &evidence));
    Some((at, journal.acks(), wrong))
}

fn work(part: &Part, tally: &Mutex<Tally>, stage: &mut Option<(Rig, Scene)>) {
    for place in &part.places {
        if stage.as_ref().is_none_or(|(_, scene)| scene.verb != part.verb) {
            let rig = Rig::new();
            let scene = Scene::set(&rig, part.verb);
            *stage = Some((rig, scene));
        }
        let Some((rig, scene)) = stage.as_ref() else {
            return;
        };
        let result = catch_unwind(AssertUnwindSafe(|| one(place, rig, scene)));
        let mut tally = tally.lock().unwrap();
        let place_of = |at: &str| format!("{:?} {place} ({at})", part.verb);
        match result {
            Ok(Some((at, acks, wrong))) => {
                *tally.struck.entry((at, place.fault)).or_default() += 1;
                tally.acks += acks;
                let wrong = wrong.into_iter().map(|what| format!("{}: {what}", place_of(at)));
                tally.tell(wrong.collect());
            }
            Ok(None) => {}
            Err(panic) => {
                let what = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                tally.tell(vec![format!("{}: {what}", place_of("?"))]);
                *stage = None;
            }
        }
    }
}

/// Workers at once; most of the time is spent in waiting for a disk.
const WORKERS: usize = 6;
/// So many places go to a worker at a time.
const CHUNK: usize = 24;

/// Strikes every verb at `most` of its places, chosen by the seed.
fn sweep(most: impl Fn(Verb) -> usize + Sync, seed: u64) -> Tally {
    let only = std::env::var("KHLONE_ONLY").unwrap_or_default();
    let verbs = Verb::ALL
        .into_iter()
        .filter(|verb| format!("{verb:?}").starts_with(only.split(' ').next().unwrap()));
    let (tally, verbs) = (
        Mutex::new(Tally::default()),
        Mutex::new(verbs.collect::<Vec<_>>()),
    );
    let parts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let worker = || {
            let mut stage: Option<(Rig, Scene)> = None;
            loop {
                let part = parts.lock().unwrap().pop();
                if let Some(part) = part {
                    work(&part, &tally, &mut stage);
                    continue;
                }
                let Some(verb) = verbs.lock().unwrap().pop() else {
                    return;
                };
                let rig = Rig::new();
                let scene = Scene::set(&rig, verb);
                let (calm, _) = scene.strike(&rig, None, &mut Journal::default());
                let mut places = places(&calm, verb.faults());
                places.retain(|place| format!("{verb:?} {place}").starts_with(&only));
                shuffle(&mut places, seed);
                places.truncate(most(verb));
                let chunks = places.chunks(CHUNK).map(|chunk| Part {
                    verb,
                    places: chunk.to_vec(),
                });
                rig.stop();
                parts.lock().unwrap().extend(chunks);
                stage = Some((rig, scene));
            }
        };
        for _ in 0..WORKERS {
            scope.spawn(worker);
        }
    });
    tally.into_inner().unwrap()
}

fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for at in (1..items.len()).rev() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(seed >> 33).unwrap() % (at + 1);
        items.swap(at, other);
    }
}

#[test]
fn nothing_is_lost_doubled_or_left_wherever_the_fault_strikes() {
    if !has("strace") {
        return;
    }
    let mut tally = Tally::default();
    match wanted() {
        None => {
            let most = |verb| {
                if matches!(verb, Verb::Run | Verb::Enqueue) {
                    24
                } else {
                    10
                }
            };
            tally = sweep(most, seed());
        }
        Some(wanted) => {
            let mut round = 0;
            // A runner goes through most of a task's life.
            let most = |verb| if verb == Verb::Run { wanted / 4 } else { wanted / 8 };
            while tally.faults() < wanted && tally.wrong.is_empty() {
                let more = sweep(most, seed() + round);
                for (at, count) in more.struck {
                    *tally.struck.entry(at).or_default() += count;
                }
                tally.acks += more.acks;
                tally.wrong.extend(more.wrong);
                round += 1;
            }
        }
    }
    if wanted().is_some() {
        drop(std::io::stderr().write_all(report(&tally).as_bytes()));
    }
    assert!(
        tally.wrong.is_empty(),
        "seed {}:\n{}",
        seed(),
        tally.wrong.join("\n")
    );
}

/// A lost task, a task that is there twice, and one that ran twice, made by hand: the oracle must see each.
#[test]
fn the_oracle_sees_a_lost_and_a_doubled_task() {
    let rig = Rig::new();
    let mut journal = Journal::default();
    let id = rig.queue("kept", "echo kept > kept.txt");
    journal.ack(id.clone(), "kept");
    rig.recover();
    let untouched = Untouched::of(&rig);
    let judged = |journal: &Journal| judge(journal, &gather(&rig, Some(&untouched))).join("\n");
    assert_eq!(judged(&journal), "");
    rig.save();

    rig.work
        .git(&["update-ref", "-d", &format!("refs/khlone/tasks/{id}")]);
    assert!(judged(&journal).contains(&format!("{id} (kept) was acknowledged and is lost")));
    rig.restore();

    rig.queue("kept", "echo again > again.txt");
    rig.recover();
    assert!(judged(&journal).contains("kept was asked for once and is there 2 times"));
    rig.restore();

    let runs = rig.clone_tree("main").join("runs.txt");
    let twice = std::fs::read_to_string(&runs).unwrap() + &format!("{id} 1\n");
    std::fs::write(&runs, twice).unwrap();
    assert!(judged(&journal).contains(&format!("{id} ran 2 times in 1 attempts")));
    rig.restore();

    std::fs::write(rig.clone_tree("other").join("own.txt"), "touched\n").unwrap();
    std::fs::write(rig.common().join("index.lock"), "").unwrap();
    let seen = judged(&journal);
    assert!(
        seen.contains("own.txt is another") && seen.contains("a lock is left"),
        "{seen}"
    );
}

/// The figures, for the long form: what is printed is kept by nobody else.
fn report(tally: &Tally) -> String {
    let mut text = "transition   faults\n".to_owned();
    let mut by_transition = BTreeMap::<_, usize>::new();
    for ((at, _), count) in &tally.struck {
        *by_transition.entry(at).or_default() += count;
    }
    for (at, count) in by_transition {
        let of_it = tally.struck.iter().filter(|((other, _), _)| other == at);
        let kinds: Vec<_> = of_it
            .map(|((_, fault), count)| format!("{fault} {count}"))
            .collect();
        text.push_str(&format!("{at:12} {count:6}   {}\n", kinds.join(", ")));
    }
    let (faults, acks, wrong) = (tally.faults(), tally.acks, tally.wrong.len());
    text + &format!("{faults} faults, {acks} acknowledged tasks looked after, {wrong} wrong\n")
}
