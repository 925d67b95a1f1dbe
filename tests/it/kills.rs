//! The real program, killed again and again: a real Kafka with eight partitions, a real Redis,
//! final rows, archive and dead letters as Parquet. It dies at random moments, also while it
//! recovers, and at every named place of `failpoint`; between two lives the offsets of its
//! consumer group are set to rubbish. At the end nothing is lost, nothing is there twice, and
//! every row is the one that plain DataFusion computes from the admitted records.
//!
//! `SKEWLESS_KILLS` says how often (default 8), `SKEWLESS_KILL_SEED` what is random.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use skewless::failpoint::PLACES;

use crate::poll;

mod expected;
mod made;
mod reader;

use made::{Dice, Log, PARTITIONS, USERS};

const LIMIT: Duration = Duration::from_secs(60);
/// How long a place is waited for; then the engine is killed where it is.
const PLACE_LIMIT: Duration = Duration::from_secs(3);

fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: eval \"$(scripts/services env)\" after scripts/services up")
    })
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A home, its topic and its stores.
struct Stage {
    directory: tempfile::TempDir,
    broker: String,
    redis: String,
    topic: String,
    producer: BaseProducer,
}

impl Stage {
    fn new() -> Self {
        let (broker, redis) = (service("KAFKA"), service("REDIS"));
        let topic = format!("kills-{}", std::process::id());
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &broker);
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        // The records are of another year: the broker would delete them under a long run.
        let new = NewTopic::new(&topic, PARTITIONS as i32, TopicReplication::Fixed(1))
            .set("retention.ms", "-1");
        let options = AdminOptions::new().operation_timeout(Some(LIMIT));
        futures::executor::block_on(admin.create_topics([&new], &options)).unwrap();
        let producer = config.create().unwrap();
        Self { directory: tempfile::tempdir().unwrap(), broker, redis, topic, producer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn define(&self) {
        let Self { broker, redis, topic, .. } = self;
        let at = |name: &str| self.path(name).display().to_string();
        let (history, dead, store) = (at("history"), at("dead"), at("store"));
        let online = |name: &str| {
            format!(
                "WITH ('online' = '{redis}', 'online.key' = '{topic}:{name}:{{user_id}}',
                       'offline' = '{store}', 'offline.interval' = '300 milliseconds')"
            )
        };
        let (recent, ever, windows) = (online("recent"), online("ever"), online("windows"));
        let sql = format!(
            "CREATE SOURCE events (
                id BIGINT NOT NULL, user_id BIGINT NOT NULL, amount BIGINT,
                event_time TIMESTAMP NOT NULL,
                WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds'
            ) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json',
                    'properties.bootstrap.servers' = '{broker}',
                    'properties.group.id' = '{topic}', 'history' = '{history}',
                    'archive' = 'true', 'dead_letter' = '{dead}');
            CREATE FEATURE recent {recent} AS
            SELECT user_id, id, COUNT(*) OVER w AS n, SUM(amount) OVER w AS s,
                   MAX(amount) OVER w AS m, AVG(amount) OVER w AS a
            FROM events WINDOW w AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW);
            CREATE FEATURE ever {ever} AS
            SELECT user_id, id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS n,
                   SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time
                                     ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s
            FROM events;
            CREATE FEATURE windows {windows} AS
            SELECT user_id, window_end, COUNT(*) AS n, SUM(amount) AS s, MIN(amount) AS l
            FROM TUMBLE(events, event_time, INTERVAL '4 seconds') GROUP BY user_id, window_end;"
        );
        std::fs::write(self.path("events.sql"), sql).unwrap();
        let applied = self.command(&["apply", "events.sql"]).output().unwrap();
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // A long run wants a copy of the program, which nobody builds anew meanwhile.
        let built = || env!("CARGO_BIN_EXE_skewless").to_owned();
        let mut command = Command::new(std::env::var("SKEWLESS_BIN").unwrap_or_else(|_| built()));
        command.arg("--home").arg(self.path("home")).args(arguments).stdin(Stdio::null());
        command.env_remove("SKEWLESS_HOME").current_dir(self.directory.path());
        command
    }

    fn engine(&self, arguments: &[&str], failpoint: Option<&str>) -> Child {
        let run = ["run", "--no-http", "--lanes", "3", "--checkpoint-interval", "0.1"];
        let mut command = self.command(&[&run[..], arguments].concat());
        if let Some(failpoint) = failpoint {
            command.env("SKEWLESS_FAILPOINT", failpoint);
        }
        command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn send(&self, log: &mut Log, dice: &mut Dice, count: u64) {
        for _ in 0..count {
            let (partition, text, timestamp) = log.make(dice);
            let record = BaseRecord::<str, str>::to(&self.topic)
                .partition(partition as i32)
                .timestamp(timestamp);
            self.producer.send(record.payload(&text)).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(LIMIT).unwrap();
    }

    /// What a consumer group remembers is information for others: it must not matter.
    fn spoil_offsets(&self, dice: &mut Dice) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.broker)
            .set("group.id", &self.topic)
            .create()
            .unwrap();
        let mut offsets = TopicPartitionList::new();
        for partition in 0..PARTITIONS as i32 {
            let offset = Offset::Offset(dice.below(10_000) as i64);
            offsets.add_partition_offset(&self.topic, partition, offset).unwrap();
        }
        consumer.commit(&offsets, CommitMode::Sync).unwrap();
    }
}

fn kill(engine: &mut Child) -> String {
    // It may have died by itself.
    let _ = engine.kill();
    engine.wait().unwrap();
    let mut said = String::new();
    engine.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

/// What became of the lives of an engine.
#[derive(Debug, Default)]
struct Deaths {
    /// By place, how often it died there.
    places: BTreeMap<&'static str, usize>,
    at_random: usize,
    in_recovery: usize,
    /// It failed at a place and went on, or was killed before it came there.
    elsewhere: usize,
}

/// One life that ends before its time.
fn live(stage: &Stage, log: &mut Log, dice: &mut Dice, life: usize, deaths: &mut Deaths) {
    // `catalog.mid_replace` is passed only where definitions change.
    let places: Vec<_> = PLACES.iter().filter(|p| !p.starts_with("catalog.")).copied().collect();
    let turn = life % (places.len() + 8);
    let Some(place) = places.get(turn).copied() else {
        let early = turn.is_multiple_of(3);
        let most = if early { 250 } else { 1_500 };
        let mut engine = stage.engine(&[], None);
        stage.send(log, dice, 120);
        poll::pause(Duration::from_millis(dice.below(most)));
        let ended = engine.try_wait().unwrap();
        let said = kill(&mut engine);
        assert!(ended.is_none(), "life {life} ended by itself: {said}");
        deaths.in_recovery += usize::from(early);
        deaths.at_random += usize::from(!early);
        return;
    };
    let recovery = place.starts_with("recover.") || place.starts_with("takeover.");
    let passage = 1 + if recovery { 0 } else { dice.below(12) };
    let how = if dice.below(4) == 0 { "error" } else { "crash" };
    let mut engine = stage.engine(&[], Some(&format!("{place}@{passage}={how}")));
    let started = skewless::clock::monotonic();
    while started.elapsed() < PLACE_LIMIT && engine.try_wait().unwrap().is_none() {
        stage.send(log, dice, 12);
        poll::pause(Duration::from_millis(60));
    }
    let ended = engine.try_wait().unwrap();
    let said = kill(&mut engine);
    match ended {
        Some(_) => {
            assert!(said.contains(&format!("failpoint {place}")), "life {life}, {place}: {said}");
            *deaths.places.entry(place).or_default() += 1;
        }
        None => deaths.elsewhere += 1,
    }
}

#[test]
fn killed_at_any_moment_and_place_it_loses_repeats_and_changes_nothing() {
    let kills = number("SKEWLESS_KILLS", 8) as usize;
    let seed = number("SKEWLESS_KILL_SEED", 1);
    println!("seed {seed}");
    let stage = Stage::new();
    let (mut dice, mut log, mut deaths) = (Dice::new(seed), Log::default(), Deaths::default());
    stage.send(&mut log, &mut dice, 200);
    stage.define();
    let stop = Arc::new(AtomicBool::new(false));
    let readers = reader::start(&stage.redis, &stage.topic, &stop);
    for life in 0..kills {
        // A short run does not begin with the same places every time.
        live(&stage, &mut log, &mut dice, life + 5 * seed as usize, &mut deaths);
        stage.spoil_offsets(&mut dice);
    }
    let mut last = stage.engine(&["--until", "end"], None);
    let mut said = String::new();
    last.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(last.wait().unwrap().success(), "{said}");
    stop.store(true, Relaxed);
    let reads: u64 = readers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let verdict = runtime.block_on(expected::compare(stage.directory.path(), &log));
    let shown = reader::latest(&stage.redis, &stage.topic);
    let online = runtime.block_on(expected::current(&log, shown));
    let wrong = reader::differences(&stage.redis, &stage.topic, &online);
    println!(
        "{kills} kills: {deaths:?}; {} records; {} rows compared, {} lost, {} twice, {} different; \
         {reads} reads of current values, 0 went back; {} current values, {} different",
        log.len(),
        verdict.rows,
        verdict.lost,
        verdict.twice,
        verdict.different,
        online.len(),
        wrong.len(),
    );
    let bad = verdict.lost + verdict.twice + verdict.different;
    assert!(bad == 0, "seed {seed}: {:?}", verdict.examples);
    assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
    // A release build knows no places.
    assert!(kills < 8 || !deaths.places.is_empty(), "no place was reached: {deaths:?}");
    assert!(verdict.rows > 300 && online.len() == 3 * USERS as usize && reads > 0);
}

/// Every published Parquet file below a folder.
fn published(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            found.extend(published(&entry.path()));
        } else if name.ends_with(".parquet") {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}
