//! Simulation: an engine is moved in random order, dies at random changes of files and at random
//! moves, its store of current values forgets everything or does not answer; at the end every
//! output is what the log says. `SKEWLESS_SEEDS=from..to` runs others than the first fifty.

use std::process::Command;

use arrow::array::TimestampMicrosecondArray;
use arrow::util::display::array_value_to_string;

use super::oracle::{Expected, Made, SECOND, judge};
use super::world::{Log, World};
use super::{Move, Steps};
use crate::error::{Error, Kind};
use crate::model::time::EventTime;
use crate::offline::faulty::{Death, Fuse};

pub(super) const SQL: &str = "
CREATE SOURCE events (
    user_id BIGINT NOT NULL, amount BIGINT, event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds'
) WITH ('connector' = 'kafka', 'topic' = 'events', 'properties.bootstrap.servers' = 'nowhere:1',
        'format' = 'json', 'history' = 's3://world/history/', 'archive' = 'true' PARTITIONED);
CREATE FEATURE recent WITH ('online' = 'redis://nowhere/', 'ttl' = '13 seconds') AS
SELECT user_id, COUNT(*) OVER w AS n, SUM(amount) OVER w AS s, MAX(amount) OVER w AS m
FROM events WINDOW w AS (PARTITION BY user_id ORDER BY event_time
    RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW);
CREATE FEATURE ever WITH ('online' = 'redis://nowhere/') AS
SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS n,
       SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time
                         ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s
FROM events;
CREATE FEATURE paced WITH ('online' = 'redis://nowhere/') AS
SELECT user_id, COUNT(step) OVER w AS n, SUM(step) OVER w AS s
FROM (SELECT user_id, event_time, amount - LAG(amount) OVER
             (PARTITION BY user_id ORDER BY event_time) AS step FROM events) AS steps
WINDOW w AS (PARTITION BY user_id ORDER BY event_time
    RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW);
CREATE FEATURE windows WITH ('online' = 'redis://nowhere/') AS
SELECT user_id, window_end, COUNT(*) AS n, SUM(amount) AS s
FROM TUMBLE(events, event_time, INTERVAL '4 seconds') GROUP BY user_id, window_end;
CREATE FEATURE brief WITH ('online' = 'redis://nowhere/', 'ttl' = '5 seconds') AS
SELECT user_id, window_end, COUNT(*) AS n, SUM(amount) AS s
FROM TUMBLE(events, event_time, INTERVAL '4 seconds') GROUP BY user_id, window_end;
";

/// Knuth's 64-bit linear congruential generator (The Art of Computer Programming, vol. 2, 3.3.4).
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A log with disorder within and beyond the delay, broken messages and clocks that run ahead.
fn make_log(dice: &mut Dice, by_user: bool) -> Vec<Vec<(Made, i64)>> {
    let partitions = 1 + dice.below(3);
    let mut log = vec![Vec::new(); partitions];
    let start = 1_772_000_000 * SECOND;
    for i in 0..(40 + dice.below(120)) as i64 {
        let user = dice.below(5) as i64;
        let now = start + i * SECOND / 2;
        let made = match dice.below(20) {
            0 => Made::Broken,
            1 => Made::Event { user, amount: 1, time: now + 7_200 * SECOND },
            2 => Made::Event { user, amount: 2, time: now - 30 * SECOND },
            _ => {
                let time = now - dice.below(4) as i64 * SECOND;
                Made::Event { user, amount: dice.below(50) as i64 - 10, time }
            }
        };
        let partition = if by_user { user as usize } else { dice.below(64) } % partitions;
        log[partition].push((made, now));
    }
    log
}

pub(super) fn messages(log: &[Vec<(Made, i64)>]) -> Log {
    let text = |made: &Made| match made {
        Made::Broken => b"{\"user_id\":".to_vec(),
        Made::Event { user, amount, time } => format!(
            "{{\"user_id\":{user},\"amount\":{amount},\"event_time\":\"{}\"}}",
            EventTime(*time)
        )
        .into_bytes(),
    };
    let partition = |all: &Vec<(Made, i64)>| all.iter().map(|(m, at)| (text(m), *at)).collect();
    Log { partitions: log.iter().map(partition).collect(), visible: vec![0; log.len()] }
}

fn time_text(time: i64) -> String {
    let array = TimestampMicrosecondArray::from(vec![time]).with_timezone("UTC");
    array_value_to_string(&array, 0).unwrap()
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// An engine that is believed dead and is not: it slept, and moves now and then.
struct Sleeper {
    steps: Steps,
    fuse: Fuse,
}

impl Sleeper {
    /// It may end: by its fuse, or because it learns that another has taken over.
    fn stir(sleeper: &mut Option<Self>, dice: &mut Dice) {
        let Some(Self { steps, fuse }) = sleeper else { return };
        for _ in 0..dice.below(30) {
            let all = steps.moves();
            let chosen = all[dice.below(all.len())];
            match steps.step(chosen) {
                Ok(()) => {}
                Err(error) => {
                    let allowed = fuse.blown() || error.kind() == Kind::Fenced;
                    assert!(allowed, "a sleeper at {chosen:?}: {error}");
                    *sleeper = None;
                    return;
                }
            }
        }
    }
}

/// What happens around an engine.
fn happen(world: &World, sleeper: &mut Option<Sleeper>, dice: &mut Dice) {
    if dice.one_in(6) {
        let mut log = world.log.lock().unwrap();
        let partition = dice.below(log.partitions.len());
        let visible = log.visible[partition] + dice.below(8);
        log.visible[partition] = visible.min(log.partitions[partition].len());
    }
    let mut values = world.values.lock().unwrap();
    if dice.one_in(300) {
        values.forget();
        // Who owns it is forgotten as well: a sleeper would write what nobody holds against it.
        *sleeper = None;
    }
    if dice.one_in(3_000) {
        values.failures = 1;
    }
    if dice.one_in(40) {
        values.echoes = 1;
    }
    if dice.one_in(60) {
        values.arrive(dice.below(8));
    }
    drop(values);
    if dice.one_in(25) {
        Sleeper::stir(sleeper, dice);
    }
}

/// Makes some moves; false if the process died.
fn live(
    world: &World,
    steps: &mut Steps,
    fuse: &Fuse,
    sleeper: &mut Option<Sleeper>,
    dice: &mut Dice,
) -> bool {
    for _ in 0..50 + dice.below(700) {
        happen(world, sleeper, dice);
        let all = steps.moves();
        let chosen = match all[dice.below(all.len())] {
            // An epoch takes a while to write, and checkpoints are not that frequent.
            Move::Tick | Move::Write | Move::Look if !dice.one_in(4) => continue,
            chosen => chosen,
        };
        match steps.step(chosen) {
            Ok(()) => {}
            Err(_) if fuse.blown() => return false,
            Err(error) => panic!("{chosen:?}: {error}"),
        }
        assert!(steps.conserved(), "read = admitted + late + future + rejected");
    }
    true
}

/// One simulation; what it did as a number, or what went wrong.
fn simulate(seed: u64) -> Result<u64, String> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66);
    let by_user = dice.one_in(3);
    let made = make_log(&mut dice, by_user);
    let option = if by_user { ", 'partitioned.by' = 'user_id'" } else { "" };
    let sql = SQL.replace(" PARTITIONED", option);
    let world = World::new(&sql, messages(&made), seed);
    let mut trace = seed;
    let mut sleeper = None;
    for life in 0..2 + dice.below(4) {
        let death = [Death::Before, Death::Halfway, Death::After][dice.below(3)];
        let at = if life == 0 { 8 + dice.below(80) } else { dice.below(80) };
        let fuse = Fuse::new(at, death);
        let runtime = runtime();
        let lanes = 1 + dice.below(3);
        let mut meddle = || Sleeper::stir(&mut sleeper, &mut dice);
        let start = match runtime.block_on(world.start(&fuse, lanes, &mut meddle)) {
            Ok(start) => start,
            Err(_) if fuse.blown() => continue,
            // The sleeper committed once more: whoever starts again finds that epoch.
            Err(error) if error.kind() == Kind::Fenced => continue,
            Err(error) => return Err(format!("recovery: {error}")),
        };
        let mut steps = Steps::new(start, runtime).map_err(|e| e.to_string())?;
        let alive = live(&world, &mut steps, &fuse, &mut sleeper, &mut dice);
        trace = trace.rotate_left(7) ^ steps.trace();
        if alive && dice.one_in(2) {
            sleeper = Some(Sleeper { steps, fuse });
        }
    }
    drop(sleeper);
    let (last, refreshed) = finish(&world, &mut dice)?;
    trace ^= last;
    let runtime = runtime();
    trace ^= xxhash_rust::xxh3::xxh3_64(runtime.block_on(world.listing()).as_bytes());
    let wrong = runtime.block_on(differences(&world, &made, refreshed));
    match wrong.as_slice() {
        [] => Ok(trace),
        all => Err(all.join("\n")),
    }
}

/// The last life: reads the log to its end and closes every window. Its trace, and the time
/// that values were refreshed to.
fn finish(world: &World, dice: &mut Dice) -> Result<(u64, i64), String> {
    let text = |error: Error| error.to_string();
    world.log.lock().unwrap().show_all();
    let fuse = Fuse::new(usize::MAX >> 1, Death::Before);
    let runtime = runtime();
    let start = runtime.block_on(world.start(&fuse, 2, &mut || {})).map_err(text)?;
    let mut steps = Steps::new(start, runtime).map_err(text)?;
    let ends = world.log.lock().unwrap().visible.clone();
    steps.read_to(&ends).map_err(text)?;
    if dice.one_in(3) {
        steps.deliver().map_err(text)?;
        world.values.lock().unwrap().forget();
    }
    steps.finish().map_err(text)?;
    let refreshed = steps.refreshed(0);
    for at in 0..8 {
        world.values.lock().unwrap().arrive(at);
    }
    Ok((steps.trace(), refreshed))
}

/// Everything that is not as the log says, values those of serving time `at`.
pub(super) async fn differences(world: &World, made: &[Vec<(Made, i64)>], at: i64) -> Vec<String> {
    let expected = judge(made);
    let pairs = [
        (
            "recent",
            world.finals("recent", &["user_id", "event_time", "n", "s", "m"]).await,
            expected.recent_rows(time_text),
        ),
        (
            "ever",
            world.finals("ever", &["user_id", "event_time", "n", "s"]).await,
            expected.ever_rows(time_text),
        ),
        (
            "paced",
            world.finals("paced", &["user_id", "event_time", "n", "s"]).await,
            expected.paced_rows(time_text),
        ),
        (
            "windows",
            world.finals("windows", &["user_id", "window_end", "n", "s"]).await,
            expected.window_rows(time_text),
        ),
        (
            "archive",
            world.published("history", &["_partition", "_offset"]).await,
            expected.archive.clone(),
        ),
        (
            "dead letters",
            world.published("dead", &["partition", "offset", "reason"]).await,
            expected.dead.clone(),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, found, expected) in pairs {
        if found != expected {
            let lost = expected.iter().filter(|row| !found.contains(row)).count();
            let strange = found.iter().filter(|row| !expected.contains(row)).count();
            let (found, expected) = (found.len(), expected.len());
            wrong.push(format!(
                "{name}: {found} rows, expected {expected}; {lost} lost, {strange} strange"
            ));
        }
    }
    let values = world.values.lock().unwrap();
    wrong.extend(values.complaints.iter().cloned());
    let held = values.held.iter().map(|(id, held)| (id.clone(), (held.as_of, held.values.clone())));
    let held: std::collections::BTreeMap<_, _> = held.collect();
    for (id, (since, value)) in expected.current(at) {
        // Values are written when they change: since then, or later.
        let right = |(as_of, shown): &(i64, String)| {
            *shown == value && (since..=since.max(at)).contains(as_of)
        };
        let found = held.get(&id);
        // State lets go of a key of which the frame has nothing left; a store that was emptied
        // since does not get it again.
        let gone = found.is_none() && value == Expected::PACED_EMPTY;
        if !gone && !found.is_some_and(right) {
            wrong.push(format!("{id:?} online: {found:?}, expected {value:?} since {since}"));
        }
    }
    wrong
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SKEWLESS_SEEDS") else {
        // Some rules matter in one life of a hundred only.
        return if std::env::var_os("SKEWLESS_SABOTAGE").is_some() { 0..1_000 } else { 0..50 };
    };
    let (from, to) = text.split_once("..").expect("SKEWLESS_SEEDS=from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn dying_anywhere_and_coming_back_changes_nothing_that_anybody_sees() {
    let mut failed = Vec::new();
    for seed in seeds() {
        if let Err(wrong) = simulate(seed) {
            failed.push(format!("seed {seed}: {wrong}"));
            // A rule was broken on purpose: one is enough.
            if std::env::var_os("SKEWLESS_SABOTAGE").is_some() {
                break;
            }
        }
    }
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 11, 42] {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
    assert_ne!(simulate(3), simulate(4));
}

/// Every rule that can be broken, and the test that notices.
const NOTICED: &[(&str, &str)] = &[
    ("admit late rows", SIMULATION),
    ("publish before the manifest", SIMULATION),
    ("keep what was not committed", SIMULATION),
    ("forget carried rows", SIMULATION),
    ("rows behind the barrier belong to this epoch", SIMULATION),
    ("restart without the admission state", SIMULATION),
    ("restart one record later", SIMULATION),
    ("restart one record earlier", SIMULATION),
    ("write older values over newer ones", SIMULATION),
    ("write online at once after a restart", SIMULATION),
    ("reuse the generation", SIMULATION),
    ("watermark of the fastest partition", SIMULATION),
    ("do not fill an empty store", SIMULATION),
    ("trust the stores after a restart", SIMULATION),
    (
        "commit behind the newest epoch",
        "checkpoint::store::tests::\
         an_engine_that_slept_while_its_epoch_was_collected_cannot_commit_it_again",
    ),
    ("collect what a successor has begun", AWAKE),
    ("drop what a successor has prepared", AWAKE),
    ("leave files to the cache", POWER_CUT),
    ("leave names to the cache", POWER_CUT),
    (
        "believe every manifest",
        "checkpoint::manifest::tests::every_truncation_and_every_flipped_bit_is_detected",
    ),
    (
        "believe every state file",
        "checkpoint::store::tests::\
         damaged_state_is_passed_over_only_when_nothing_of_its_epoch_is_visible",
    ),
];
const SIMULATION: &str =
    "runtime::step::tests::dying_anywhere_and_coming_back_changes_nothing_that_anybody_sees";
const POWER_CUT: &str =
    "checkpoint::store::tests::a_power_cut_at_any_moment_loses_and_repeats_nothing";
const AWAKE: &str = "runtime::step::awake::\
     an_engine_that_sleeps_anywhere_while_another_takes_over_does_no_harm";

#[test]
fn every_rule_that_is_broken_on_purpose_turns_a_test_red() {
    let rules: Vec<&str> = NOTICED.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(rules, crate::failpoint::RULES, "every rule has the test that notices");
    let program = std::env::current_exe().unwrap();
    let passes = |rule: &str, test: &str| {
        let mut command = Command::new(&program);
        command.args(["--exact", test]).env("SKEWLESS_SABOTAGE", rule);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("running 1 test"), "no test '{test}'");
        output.status.success()
    };
    let unnoticed: Vec<_> = NOTICED.iter().filter(|(rule, test)| passes(rule, test)).collect();
    assert!(unnoticed.is_empty(), "broken, and no test noticed: {unnoticed:?}");
}
