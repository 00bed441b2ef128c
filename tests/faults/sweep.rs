//! Every verb at every point: the fault strikes, the verb is run again, a daemon brings all to an end, the oracle
//! looks.

use std::{
    collections::BTreeMap,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use crate::{
    churn::meanwhile,
    inject::{Fault, Place, places},
    oracle::{Journal, Untouched, gather, judge, locks},
    rig::Rig,
    tools::has,
    transitions::{REQUIRED, transition},
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

/// How many faults the short form injects.
const SHORT: usize = 120;
/// In one chunk of so many, git packs and prunes meanwhile.
const CHURNED: usize = 4;
/// The long form strikes each of the transitions that are required so often.
const LEAST: usize = 20;
/// Workers at once; most of the time is spent in waiting for a disk.
const WORKERS: usize = 6;
/// So many places go to a worker at a time.
const CHUNK: usize = 12;
/// Rounds of the long form that may be needed beyond the first, as not every place is reached every time.
const ROUNDS: u64 = 12;

/// A place to strike, and where in a task's life that is expected to be.
#[derive(Debug, Clone)]
struct Target {
    verb: Verb,
    at: &'static str,
    place: Place,
}

/// What all workers found.
#[derive(Debug, Default)]
struct Tally {
    /// Faults, by transition and kind.
    struck: BTreeMap<(&'static str, Fault), usize>,
    /// Those that struck while git packed and pruned.
    churned: usize,
    acks: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn faults(&self) -> usize {
        self.struck.values().sum()
    }

    fn at(&self, at: &str) -> usize {
        let here = self.struck.iter().filter(|((other, _), _)| *other == at);
        here.map(|(_, count)| count).sum()
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
fn one(place: &Place, rig: &Rig, scene: &Scene, churned: bool) -> Option<(&'static str, usize, Vec<String>)> {
    rig.restore();
    let mut journal = scene.journal.clone();
    let mut strike = || {
        let (struck, at) = scene.strike(rig, Some(place), &mut journal);
        if !struck.hit {
            rig.stop();
            return None;
        }
        Some((at, scene.again(rig)))
    };
    let (at, mut wrong) = if churned {
        meanwhile(rig, scene.verb, strike)
    } else {
        strike()
    }?;
    rig.stop();
    // What a killed writer left where nobody writes again.
    if !locks(&rig.common()).is_empty() {
        rig.pass_time();
        rig.ok(&["zone", "repair"]);
    }
    let held = std::mem::take(&mut *rig.held.lock().unwrap());
    // Who was asked had it tried again.
    journal.again += held.len();
    let evidence = gather(rig, scene.untouched.as_ref());
    wrong.extend(judge(&journal, &evidence));
    // Whatever was killed and whatever the machine was short of: it goes on without a person.
    let held = held.into_iter();
    wrong.extend(held.map(|why| format!("a person was asked: {why}\n{}", rig.log())));
    Some((at, journal.acks(), wrong))
}

/// Sites that are ready to be struck, by their verb.
type Stages = Mutex<Vec<(Rig, Scene)>>;

/// A site for the verb: one that stands ready, or a new one.
fn stage(stages: &Stages, verb: Verb) -> (Rig, Scene) {
    let mut ready = stages.lock().unwrap();
    if let Some(at) = ready.iter().position(|(_, scene)| scene.verb == verb) {
        return ready.swap_remove(at);
    }
    drop(ready);
    let rig = Rig::new();
    let scene = Scene::set(&rig, verb);
    (rig, scene)
}

/// Strikes at some targets of one verb.
fn work(targets: &[Target], churned: bool, stages: &Stages, tally: &Mutex<Tally>) {
    let mut ready = None;
    for Target { verb, place, at } in targets {
        let (rig, scene) = ready.get_or_insert_with(|| stage(stages, *verb));
        let result = catch_unwind(AssertUnwindSafe(|| one(place, rig, scene, churned)));
        let mut tally = tally.lock().unwrap();
        let place_of = |at: &str| {
            let loops = if churned { ", git packing" } else { "" };
            format!("{verb:?} {place} ({at}{loops})")
        };
        match result {
            Ok(Some((at, acks, wrong))) => {
                *tally.struck.entry((at, place.fault)).or_default() += 1;
                tally.churned += usize::from(churned);
                tally.acks += acks;
                let wrong = wrong.into_iter().map(|what| format!("{}: {what}", place_of(at)));
                tally.tell(wrong.collect());
            }
            Ok(None) => {}
            Err(panic) => {
                let what = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                tally.tell(vec![format!("{}: {what}", place_of(at))]);
                ready = None;
            }
        }
    }
    stages.lock().unwrap().extend(ready);
}

/// Every place of every verb, as runs without a fault show them.
fn survey(stages: &Stages) -> Vec<Target> {
    let only = std::env::var("KHLONE_ONLY").unwrap_or_default();
    let verbs = Verb::ALL.into_iter();
    let verbs = verbs.filter(|verb| only.is_empty() || only.split(' ').next() == Some(&format!("{verb:?}")));
    let targets = Mutex::new(Vec::new());
    in_parallel(verbs.collect(), |verb| {
        let (rig, scene) = stage(stages, verb);
        let (calm, _) = scene.strike(&rig, None, &mut Journal::default());
        rig.stop();
        let found = places(&calm, verb.faults()).into_iter();
        let found = found.map(|(place, passed)| Target {
            verb,
            at: transition(
                verb,
                scene.task.as_ref(),
                &calm.passed[..passed.min(calm.passed.len())],
            ),
            place,
        });
        let found = found.filter(|target| format!("{verb:?} {}", target.place).starts_with(&only));
        targets.lock().unwrap().extend(found);
        stages.lock().unwrap().push((rig, scene));
    });
    let mut targets = targets.into_inner().unwrap();
    targets.sort_by_key(|target| (target.verb, target.place.to_string()));
    targets
}

/// Runs `step` for each item, on as many threads as there are workers.
pub(crate) fn in_parallel<T: Send>(items: Vec<T>, step: impl Fn(T) + Sync) {
    let items = Mutex::new(items);
    let next = || items.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(item) = next() {
                    step(item);
                }
            });
        }
    });
}

/// So many targets, chosen by the seed: always of the transition that was struck least so far.
fn choose(mut targets: Vec<Target>, many: usize, tally: &Tally, seed: u64) -> Vec<Target> {
    shuffle(&mut targets, seed);
    let mut by_transition = BTreeMap::<_, Vec<_>>::new();
    for target in targets {
        by_transition.entry(target.at).or_default().push(target);
    }
    let mut counts: BTreeMap<_, _> = by_transition.keys().map(|at| (*at, tally.at(at))).collect();
    let mut chosen = Vec::new();
    while chosen.len() < many {
        let open = by_transition.iter().filter(|(_, left)| !left.is_empty());
        let Some(at) = open.map(|(at, _)| *at).min_by_key(|at| counts[at]) else {
            break;
        };
        chosen.extend(by_transition.get_mut(at).and_then(Vec::pop));
        *counts.get_mut(at).unwrap() += 1;
    }
    chosen
}

/// Strikes at the targets; at some of them while git packs and prunes.
fn sweep(mut targets: Vec<Target>, stages: &Stages, tally: &Mutex<Tally>, seed: u64) {
    targets.sort_by_key(|target| target.verb);
    let chunks = targets.chunk_by(|a, b| a.verb == b.verb);
    let mut chunks: Vec<_> = chunks.flat_map(|of_verb| of_verb.chunks(CHUNK)).collect();
    shuffle(&mut chunks, seed);
    let chunks = chunks.into_iter().enumerate();
    in_parallel(chunks.collect(), |(n, chunk)| {
        work(chunk, n % CHURNED == 0, stages, tally);
    });
}

pub(crate) fn shuffle<T>(items: &mut [T], mut seed: u64) {
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
    let stages = Stages::default();
    let targets = survey(&stages);
    let tally = Mutex::new(Tally::default());
    let many = wanted().unwrap_or(SHORT);
    for round in 0..ROUNDS {
        let missing = {
            let tally = tally.lock().unwrap();
            let rare: usize = REQUIRED.iter().map(|at| LEAST.saturating_sub(tally.at(at))).sum();
            let rare = if wanted() >= Some(LEAST * REQUIRED.len()) {
                rare
            } else {
                0
            };
            many.saturating_sub(tally.faults()).max(rare)
        };
        if missing == 0 || (wanted().is_none() && round > 0) {
            break;
        }
        let chosen = choose(targets.clone(), missing, &tally.lock().unwrap(), seed() + round);
        sweep(chosen, &stages, &tally, seed() + round);
    }
    let mut tally = tally.into_inner().unwrap();
    if let Some(wanted) = wanted() {
        drop(std::io::stderr().write_all(report(&tally).as_bytes()));
        if std::env::var_os("KHLONE_ONLY").is_none() && wanted >= LEAST * REQUIRED.len() {
            let rare = REQUIRED.iter().filter(|at| tally.at(at) < LEAST);
            let rare = rare.map(|at| format!("{at} was struck {} times only", tally.at(at)));
            tally.wrong.extend(rare.collect::<Vec<_>>());
            assert!(tally.faults() >= wanted, "only {} faults struck", tally.faults());
        }
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
    let (faults, churned) = (tally.faults(), tally.churned);
    let (acks, wrong) = (tally.acks, tally.wrong.len());
    text + &format!(
        "{faults} faults, {churned} of them while git packed and pruned, {acks} acknowledged tasks looked after, {wrong} wrong\n"
    )
}
