//! Inputs that misbehave, through the program and a real Kafka: transactions that abort, records
//! deleted unread, partitions that appear, a network that breaks, dead letters and their way back.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::poll;
use crate::process::Process;
use crate::proxy::Proxy;

const LIMIT: Duration = Duration::from_secs(60);

/// A home, a topic and the definitions over it.
struct Stage {
    directory: tempfile::TempDir,
    broker: String,
    topic: String,
}

/// Message `n`: its second of the day is `n`.
fn message(n: u32) -> String {
    let time = format!("2026-03-01T{:02}:{:02}:{:02}Z", n / 3600, n / 60 % 60, n % 60);
    format!(r#"{{"user_id":{},"amount":{}.25,"event_time":"{time}"}}"#, n % 7, n % 100)
}

impl Stage {
    fn new(partitions: i32) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let broker = std::env::var("KAFKA").unwrap_or_else(|_| {
            panic!("KAFKA is not set: eval \"$(scripts/services env)\" after scripts/services up")
        });
        let topic = format!("faults-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let stage = Self { directory: tempfile::tempdir().unwrap(), broker, topic };
        let new = NewTopic::new(&stage.topic, partitions, TopicReplication::Fixed(1));
        stage.ask(|admin, options| {
            futures::executor::block_on(admin.create_topics([&new], options)).unwrap();
        });
        stage
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        config
    }

    fn ask(&self, question: impl FnOnce(&AdminClient<DefaultClientContext>, &AdminOptions)) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let options = AdminOptions::new()
            .request_timeout(Some(Duration::from_secs(20)))
            .operation_timeout(Some(Duration::from_secs(20)));
        question(&admin, &options);
    }

    fn send(&self, partition: i32, messages: impl Iterator<Item = String>) {
        let producer: BaseProducer =
            self.config().set("queue.buffering.max.messages", "1000000").create().unwrap();
        for message in messages {
            let record = BaseRecord::<str, str>::to(&self.topic).partition(partition);
            producer.send(record.payload(&message)).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }

    /// Removes the records of partition 0 before `offset`, as retention does.
    fn delete_before(&self, offset: i64) {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(&self.topic, 0, Offset::Offset(offset)).unwrap();
        self.ask(|admin, options| {
            futures::executor::block_on(admin.delete_records(&before, options)).unwrap();
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Applies the source, with more columns and options, and a feature over it.
    fn define(&self, columns: &str, options: &str) {
        self.define_at(&self.broker, columns, options);
    }

    fn define_at(&self, broker: &str, columns: &str, options: &str) {
        let (topic, history) = (&self.topic, self.path("history").display().to_string());
        let sql = format!(
            "CREATE SOURCE payments (
                user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL, {columns}
                WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
            ) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json',
                    'properties.bootstrap.servers' = '{broker}',
                    'properties.statistics.interval.ms' = '100',
                    'properties.topic.metadata.refresh.interval.ms' = '200',
                    'history' = '{history}', 'archive' = 'true' {options});
            CREATE FEATURE spend AS
            SELECT user_id, COUNT(*) OVER w AS n, SUM(amount) OVER w AS total FROM payments
            WINDOW w AS (PARTITION BY user_id ORDER BY event_time
                         RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW);"
        );
        std::fs::write(self.path("payments.sql"), sql).unwrap();
        self.succeeds(&["apply", "payments.sql"]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
        command.arg("--home").arg(self.path("home")).args(arguments).stdin(Stdio::null());
        command.env_remove("SKEWLESS_HOME").current_dir(self.directory.path());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output and standard error of a command that succeeds.
    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let output = self.output(arguments);
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}\n{out}\n{said}");
        (out, said)
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        text(&output.stderr)
    }

    /// Reads to what is there now; says what became of the records.
    #[track_caller]
    fn run_now(&self) -> String {
        self.succeeds(&["run", "--until", "now", "--no-http"]).1
    }

    fn query(&self, sql: &str) -> String {
        self.succeeds(&["sql", "--format", "csv", "-e", sql]).0
    }

    fn start(&self) -> Process {
        let arguments = ["run", "--http", "127.0.0.1:0", "--checkpoint-interval", "0.2"];
        Process(self.command(&arguments).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The source in the status of the running engine, once it answers.
    fn status(&self) -> Option<serde_json::Value> {
        let output = self.output(&["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        status["running"]["address"].as_str()?;
        Some(status["sources"][0].clone())
    }

    fn wait_for(&self, what: &str, is: impl Fn(&serde_json::Value) -> bool) {
        poll::until(what, LIMIT, || self.status().filter(&is));
    }

    /// The newest manifest, as text.
    fn manifest(&self) -> String {
        let entries = std::fs::read_dir(self.path("home/checkpoints")).unwrap();
        let names = entries.map(|entry| entry.unwrap().path());
        let manifests = names.filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("manifest-") && name.ends_with(".json")
        });
        std::fs::read_to_string(manifests.max().unwrap()).unwrap()
    }

    /// Final rows of the stream and of a backfill over the archive are equal.
    #[track_caller]
    fn equals_backfill(&self, rows: u64) {
        self.succeeds(&["run", "--until", "end", "--no-http"]);
        let arguments = ["backfill", "spend", "--out", "again", "--overwrite", "--compare"];
        let (out, _) = self.succeeds(&arguments);
        assert!(out.contains(&format!("parity: {rows} rows compared, 0 different")), "{out}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signal(engine: &Child, name: &str) {
    let pid = engine.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Stops an engine as Ctrl-C does; what it said.
fn interrupt(mut engine: Process) -> String {
    signal(&engine, "-INT");
    ended(&mut engine, true)
}

fn ended(engine: &mut Child, well: bool) -> String {
    let mut stderr = engine.stderr.take().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    let status = engine.wait().unwrap();
    assert_eq!(status.success(), well, "{said}");
    said
}

#[test]
fn what_an_aborted_transaction_wrote_is_never_read_and_an_open_one_waits() {
    let stage = Stage::new(1);
    stage.define("", "");
    let writer = |id: &str| -> BaseProducer {
        let producer: BaseProducer = stage
            .config()
            .set("transactional.id", format!("{}-{id}", stage.topic))
            .create()
            .unwrap();
        producer.init_transactions(LIMIT).unwrap();
        producer
    };
    let write = |producer: &BaseProducer, from: u32, to: u32| {
        producer.begin_transaction().unwrap();
        for n in from..to {
            let text = message(n);
            let record = BaseRecord::<str, str>::to(&stage.topic).partition(0);
            producer.send(record.payload(&text)).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    };
    let first = writer("first");
    write(&first, 0, 3);
    first.commit_transaction(LIMIT).unwrap();
    write(&first, 3, 5);
    first.abort_transaction(LIMIT).unwrap();
    write(&first, 5, 6);
    first.commit_transaction(LIMIT).unwrap();
    write(&first, 6, 9);
    first.abort_transaction(LIMIT).unwrap();
    let said = stage.run_now();
    assert!(said.contains("4 read = 4 admitted"), "{said}");
    // Neither are records of an open transaction, nor what stands behind them.
    let second = writer("second");
    write(&second, 9, 11);
    stage.send(0, (11..12).map(message));
    let said = stage.run_now();
    assert!(said.contains("0 read = 0 admitted"), "{said}");
    second.commit_transaction(LIMIT).unwrap();
    let said = stage.run_now();
    assert!(said.contains("3 read = 3 admitted"), "{said}");
    stage.equals_backfill(7);
}

#[test]
fn records_deleted_unread_are_an_error_that_names_them_or_a_gap_that_is_recorded() {
    let stage = Stage::new(1);
    stage.define("", "");
    stage.send(0, (0..10).map(message));
    assert!(stage.run_now().contains("10 read = 10 admitted"));
    stage.send(0, (10..20).map(message));
    stage.delete_before(15);
    for _ in 0..2 {
        let said = stage.fails(&["run", "--until", "now", "--no-http"]);
        let expected = format!(
            "topic '{}', partition 0: offset 10 is wanted, but the earliest one left is 15",
            stage.topic
        );
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("'on_gap' = 'skip'"), "{said}");
    }
    stage.define("", ", 'on_gap' = 'skip'");
    assert!(stage.run_now().contains("5 read = 5 admitted"));
    let manifest = stage.manifest();
    let compact: String = manifest.split_whitespace().collect();
    assert!(compact.contains(r#""gaps":[{"from":10,"partition":0,"to":15}]"#), "{manifest}");

    // The same while the engine runs: it is suspended while records come and go.
    let engine = stage.start();
    stage.wait_for("the engine runs", |_| true);
    signal(&engine, "-STOP");
    stage.send(0, (20..30).map(message));
    stage.delete_before(28);
    signal(&engine, "-CONT");
    stage.wait_for("what is left is read", |source| source["admitted"].as_u64() >= Some(2));
    let said = interrupt(engine);
    // What the client had asked for before it was suspended may still have been answered.
    assert!(said.contains("read = "), "{said}");
    let last = stage.query("SELECT max(\"amount\") AS last FROM payments");
    assert_eq!(last, "last\n29.25\n");
}

#[test]
fn a_partition_that_appears_is_read_with_a_floor_that_the_manifest_holds() {
    let stage = Stage::new(1);
    stage.define("part INT METADATA FROM 'partition',", "");
    stage.send(0, (0..600).map(message));
    let engine = stage.start();
    stage.wait_for("all is read", |source| source["read"] == 600);
    stage.ask(|admin, options| {
        let more = NewPartitions::new(&stage.topic, 2);
        futures::executor::block_on(admin.create_partitions([&more], options)).unwrap();
    });
    // The watermark is at second 539: what is older is late, in the new partition too.
    poll::until("the partition can be written to", LIMIT, || {
        let producer: BaseProducer = stage.config().create().unwrap();
        let metadata = producer.client().fetch_metadata(Some(&stage.topic), LIMIT).unwrap();
        (metadata.topics()[0].partitions().len() == 2).then_some(())
    });
    stage.send(1, [100, 538, 539, 650, 580].into_iter().map(message));
    stage.wait_for("the new partition is read", |source| source["read"] == 605);
    stage.wait_for("its lag is known", |source| source["lag"] == 0);
    let said = interrupt(engine);
    // 580 is late behind 650.
    assert!(said.contains("605 read = 602 admitted + 3 late"), "{said}");
    let manifest = stage.manifest();
    let compact: String = manifest.split_whitespace().collect();
    assert!(compact.contains(r#""floors":[{"from_offset":0,"time":"#), "{manifest}");
    let rows = stage.query("SELECT part, count(*) AS n FROM payments GROUP BY part ORDER BY part");
    assert_eq!(rows, "part,n\n0,600\n1,2\n");
    stage.equals_backfill(602);
}

#[test]
fn time_goes_on_without_an_idle_partition_where_the_source_says_so() {
    let stage = Stage::new(3);
    stage.define("", ", 'idle' = 'advance', 'idle_timeout' = '1 second'");
    stage.send(0, (0..600).map(message));
    stage.send(1, [5, 10].into_iter().map(message));
    let engine = stage.start();
    // Partition 1 is at second 10 less a minute, partition 2 has never had a record.
    let watermark = |at: &'static str| {
        move |source: &serde_json::Value| source["watermark"].as_str() == Some(at)
    };
    stage.wait_for("time goes on", watermark("2026-03-01T00:08:59Z"));
    let compact: String = stage.manifest().split_whitespace().collect();
    assert_eq!(compact.matches(r#""floors":[{"from_offset":"#).count(), 2, "{compact}");
    // What the idle ones bring behind it is late.
    stage.send(1, [100, 538, 539, 620].into_iter().map(message));
    stage.wait_for("partition 1 is read", |source| source["read"] == 606);
    let said = interrupt(engine);
    assert!(said.contains("606 read = 604 admitted + 2 late"), "{said}");
    // The others are idle at the last barrier too and come up to partition 1. Their floors stay:
    // nobody is idle from here on, and no record has come yet.
    stage.define("", ", 'idle' = 'advance', 'idle_timeout' = '1 hour'");
    let engine = stage.start();
    stage.wait_for("time is where it was", watermark("2026-03-01T00:09:20Z"));
    stage.send(2, [10, 700].into_iter().map(message));
    stage.wait_for("partition 2 is read", |source| source["read"] == 2);
    let said = interrupt(engine);
    assert!(said.contains("2 read = 1 admitted + 1 late"), "{said}");
    stage.equals_backfill(605);
}

#[test]
fn a_partition_that_ends_with_the_marker_of_a_transaction_can_be_idle() {
    let stage = Stage::new(2);
    stage.define("", ", 'idle' = 'advance', 'idle_timeout' = '1 second'");
    stage.send(0, (0..600).map(message));
    let engine = stage.start();
    stage.wait_for("the engine runs", |source| source["read"] == 600);
    let writer: BaseProducer =
        stage.config().set("transactional.id", format!("{}-idle", stage.topic)).create().unwrap();
    writer.init_transactions(LIMIT).unwrap();
    writer.begin_transaction().unwrap();
    let text = message(5);
    let record = BaseRecord::<str, str>::to(&stage.topic).partition(1);
    writer.send(record.payload(&text)).unwrap();
    writer.flush(LIMIT).unwrap();
    writer.commit_transaction(LIMIT).unwrap();
    stage.wait_for("time goes on", |source| source["watermark"] == "2026-03-01T00:08:59Z");
    interrupt(engine);
}

#[test]
fn an_idle_partition_is_waited_for_otherwise() {
    let stage = Stage::new(3);
    stage.define("", ", 'idle_timeout' = '1 second'");
    stage.send(0, (0..600).map(message));
    stage.send(1, [5].into_iter().map(message));
    let engine = stage.start();
    stage.wait_for("it is named", |source| source["held_by"] == serde_json::json!([2]));
    let said = interrupt(engine);
    assert!(said.contains("601 read = 601 admitted"), "{said}");
    assert!(!stage.manifest().contains("from_offset"));
}

/// A generator of small numbers; the test prints its seed.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn a_network_that_breaks_and_a_broker_that_comes_late_cost_nothing() {
    let seed = 11;
    let mut state = seed;
    let stage = Stage::new(2);
    let proxy = Proxy::before(&stage.broker);
    proxy.down();
    stage.define_at(&proxy.address, "", "");
    let engine = stage.start();
    poll::pause(Duration::from_secs(1));
    proxy.up();
    stage.wait_for("the engine runs", |_| true);
    let (rounds, each) = (12, 500);
    for round in 0..rounds {
        match random(&mut state) % 4 {
            0 => proxy.cut(),
            1 => proxy.tear_after(1 + random(&mut state) as usize % 5),
            2 => proxy.delay(Duration::from_millis(random(&mut state) % 60)),
            _ => proxy.down(),
        }
        let from = round * each;
        stage.send(0, (from..from + each).filter(|n| n % 2 == 0).map(message));
        stage.send(1, (from..from + each).filter(|n| n % 2 == 1).map(message));
        proxy.up();
    }
    // As long as nothing can be reached, the status says what is waited for.
    proxy.down();
    stage.wait_for("trouble is told", |source| source["note"].is_string());
    let all = u64::from(rounds * each);
    proxy.delay(Duration::ZERO);
    proxy.up();
    stage.wait_for(&format!("seed {seed}: all is read"), |source| source["read"] == all);
    stage.wait_for("the trouble is over", |source| source["note"].is_null());
    let said = interrupt(engine);
    let grouped = "6,000 read = 6,000 admitted";
    assert!(said.contains(grouped), "seed {seed}: {said}");
    assert!(proxy.accepted() > 3, "seed {seed}: {} connections", proxy.accepted());
    stage.equals_backfill(all);
}

#[test]
fn keys_headers_and_tombstones_come_as_they_are() {
    let stage = Stage::new(1);
    stage.define("k VARCHAR METADATA FROM 'key', h VARCHAR METADATA FROM 'headers',", "");
    let producer: BaseProducer = stage.config().create().unwrap();
    let headers = || OwnedHeaders::new().insert(Header { key: "from", value: Some("till 7") });
    let (first, second) = (message(1), message(2));
    let to = || BaseRecord::<str, str>::to(&stage.topic).partition(0);
    producer.send(to().payload(&first).key("k1").headers(headers())).unwrap();
    producer.send(to().key("gone").headers(headers())).unwrap();
    producer.send(to().payload(&second)).unwrap();
    producer.send(to().payload("").key("empty")).unwrap();
    producer.flush(LIMIT).unwrap();
    let said = stage.run_now();
    assert!(said.contains("4 read = 2 admitted + 0 late + 0 future + 2 rejected"), "{said}");
    let rows = stage.query("SELECT k, h FROM payments ORDER BY event_time");
    assert_eq!(rows, "k,h\nk1,\"[[\"\"from\"\",\"\"till 7\"\"]]\"\n,\n");
    let (letters, _) = stage.succeeds(&["dead-letters", "payments", "--format", "ndjson"]);
    let letters: Vec<serde_json::Value> =
        letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0]["offset"], 1);
    assert_eq!(letters[0]["reason"], "decode");
    assert_eq!(letters[0]["message"], "the value is null (a tombstone)");
    assert_eq!(letters[0]["key"], "gone");
    assert_eq!(letters[0]["headers"], "[[\"from\",\"till 7\"]]");
    assert!(letters[0]["raw"].is_null());
    assert_eq!((&letters[1]["key"], &letters[1]["raw"]), (&"empty".into(), &"".into()));
}

/// Broken, late and good messages; the broken ones are repaired and sent again, once.
fn broken_and_back(dead_letters: &str) {
    let stage = Stage::new(2);
    stage.define("", dead_letters);
    stage.send(0, (0..300).map(message));
    stage.send(1, (0..300).map(message));
    stage.send(0, ["{\"user_id\":", "{\"amount\":1}"].into_iter().map(str::to_owned));
    stage.send(1, std::iter::once(message(1)));
    let said = stage.run_now();
    assert!(said.contains("603 read = 600 admitted + 1 late + 0 future + 2 rejected"), "{said}");
    let query = "SELECT reason, count(*) AS n FROM DEAD_LETTERS(payments) GROUP BY reason
                 ORDER BY reason";
    assert_eq!(stage.query(query), "reason,n\ndecode,2\nlate,1\n");
    let (summary, _) =
        stage.succeeds(&["dead-letters", "payments", "--summary", "--format", "csv"]);
    assert!(summary.starts_with("reason,letters,partitions,oldest,newest,example\ndecode,2,1,"));
    let (table, _) = stage.succeeds(&["dead-letters", "payments", "--reason", "late"]);
    assert!(table.contains("before the partition's watermark") && table.contains("(1 row)"));

    let line = |partition: u32, offset: u32, raw: &str| {
        format!("{{\"partition\":{partition},\"offset\":{offset},\"raw\":{raw}}}\n")
    };
    let write = |text: &str| std::fs::write(stage.path("repaired.ndjson"), text).unwrap();
    let replay = ["dead-letters", "payments", "--replay", "repaired.ndjson"];
    // What would be a dead letter again is refused, all of it.
    write(&(line(0, 300, &message(290)) + &line(1, 300, &message(1))));
    let said = stage.fails(&replay);
    assert!(said.contains("1 of 2 messages would be dead letters again; nothing was sent"));
    assert!(said.contains("line 2: late:") && said.contains("cannot enter the stream again"));
    write(&(line(0, 300, &message(290)) + &line(0, 301, "\"still broken\"")));
    assert!(stage.fails(&replay).contains("line 2: decode: not JSON"));
    write(&line(0, 7, &message(290)));
    assert!(stage.fails(&replay).contains("has no dead letter at partition 0, offset 7"));

    write(&(line(0, 300, &message(290)) + &line(0, 301, &message(291))));
    let dry = [&replay[..], &["--dry-run"]].concat();
    assert!(stage.succeeds(&dry).1.contains("2 messages would be sent"));
    let said = stage.succeeds(&replay).1;
    assert!(said.contains("2 messages sent to topic") && said.contains("0 are there already"));
    for _ in 0..2 {
        let said = stage.succeeds(&replay).1;
        assert!(said.contains("0 messages sent") && said.contains("2 are there already"), "{said}");
    }
    assert!(stage.run_now().contains("2 read = 2 admitted"));
    stage.equals_backfill(602);
}

#[test]
fn dead_letters_are_listed_and_summarised_and_repaired_ones_go_back_once() {
    broken_and_back("");
}

#[test]
fn dead_letters_in_a_topic_are_read_and_repaired_as_those_in_files() {
    let dead = format!("dead-{}", std::process::id());
    broken_and_back(&format!(", 'dead_letter' = 'kafka:{dead}'"));
}

#[test]
fn too_many_dead_letters_stop_every_run_at_the_same_record() {
    let stage = Stage::new(1);
    stage.define("", ", 'dead_letter.max_ratio' = '0.1'");
    let broken =
        |n: u32| if n >= 400 && n.is_multiple_of(4) { "broken".to_owned() } else { message(n) };
    stage.send(0, (0..2_000).map(broken));
    // 400 good ones, then one in four: more than a tenth from the first multiple of 4 on where
    // (n - 400) / 4 + 1 is more than a tenth of n + 1.
    let stop =
        (400u32..2_000).find(|n| n.is_multiple_of(4) && ((n - 400) / 4 + 1) * 10 > n + 1).unwrap();
    let expected = format!("the newest is offset {stop}, decode:");
    for interval in ["60", "0.1", "0.1"] {
        let arguments = ["run", "--until", "now", "--no-http", "--checkpoint-interval", interval];
        let said = stage.fails(&arguments);
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("'dead_letter.max_ratio' = 0.1"), "{said}");
    }
    stage.define("", ", 'dead_letter.max_ratio' = '0.3'");
    stage.run_now();
    assert_eq!(stage.query("SELECT count(*) AS n FROM payments"), "n\n1600\n");
    let counted = stage.query("SELECT count(*) AS n FROM DEAD_LETTERS(payments)");
    assert_eq!(counted, "n\n400\n");
}

/// Not a check: prints records per second of the consumer alone, from a real broker.
#[test]
#[ignore = "a measurement"]
fn records_per_second_of_the_consumer() {
    use skewless::source::source::Source;
    let stage = Stage::new(1);
    let count = 500_000;
    stage.send(0, (0..count).map(message));
    let sql = format!(
        "CREATE SOURCE s (user_id BIGINT, event_time TIMESTAMP,
             WATERMARK FOR event_time AS event_time)
         WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{}')",
        stage.topic, stage.broker
    );
    let statements = skewless::sql::parser::parse_statements(&sql).unwrap();
    let [skewless::sql::ast::Statement::CreateSource(create)] = statements.as_slice() else {
        panic!("one source");
    };
    let none = |_: &str| None;
    let def = skewless::catalog::define::source_def(create, &none, &|e, s| {
        skewless::plan::computed::infer(e, s)
    });
    let mut source = skewless::source::kafka::KafkaSource::new(&def.unwrap(), None).unwrap();
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    let started = skewless::clock::monotonic();
    let mut rows = 0;
    while rows < count as usize {
        rows += source.poll(8_192, Duration::from_millis(20)).unwrap().rows();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{rows} records in {seconds:.2} s: {:.0} a second", rows as f64 / seconds);
}
