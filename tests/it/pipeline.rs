//! The whole pipeline against a real Kafka and a real Redis (`scripts/services`): messages in and
//! out of order, late, dated in the future, undecodable; current values in Redis, final rows as
//! Parquet, the same rows by backfill. Fails where the services are missing.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::poll;

const LIMIT: Duration = Duration::from_secs(60);

fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: eval \"$(scripts/services env)\" after scripts/services up")
    })
}

fn skewless(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.arg("--home").arg(home).args(arguments).stdin(Stdio::null());
    command.env_remove("SKEWLESS_HOME").current_dir(home.parent().unwrap());
    command
}

#[track_caller]
fn run(home: &Path, arguments: &[&str]) -> Output {
    let output = skewless(home, arguments).output().unwrap();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}\n{}\n{}",
        shown(&output.stdout),
        shown(&output.stderr)
    );
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Stops an engine the way Ctrl-C does, and waits for it.
fn interrupt(mut engine: Child) -> String {
    let pid = engine.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut stderr = engine.stderr.take().unwrap();
    let ended = engine.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert!(ended.success(), "{said}");
    said
}

fn definitions(directory: &Path, kafka: &str, redis: &str, topic: &str) -> String {
    let history = directory.join("history").display().to_string();
    format!(
        "CREATE SOURCE payments (
            user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
            part INT METADATA FROM 'partition',
            WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
        ) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json',
                'properties.bootstrap.servers' = '{kafka}',
                'history' = '{history}', 'archive' = 'true');
        CREATE FEATURE spend WITH ('online' = '{redis}', 'online.key' = '{topic}:{{user_id}}',
                                   'offline.interval' = '1 second') AS
        SELECT user_id, COUNT(*) OVER w AS n, SUM(amount) OVER w AS total,
               MAX(amount) OVER w AS largest, AVG(amount) OVER w10 AS recent
        FROM payments
        WINDOW w AS (PARTITION BY user_id ORDER BY event_time
                     RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW),
               w10 AS (PARTITION BY user_id ORDER BY event_time
                       ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);"
    )
}

/// 400 payments of 20 users, out of order within the minute allowed; then one of each kind that
/// is not admitted: late, in the future, broken, of a wrong type, without a user.
fn messages() -> (String, u64) {
    let mut lines = String::new();
    for i in 0..400i64 {
        let second = i * 5 - (i * 37 % 11) * 5;
        let time = skewless::model::time::EventTime(1_772_000_000_000_000 + second * 1_000_000);
        let (user, amount) = (i % 20, (i * 7919 % 1000) as f64 / 7.0);
        lines.push_str(&format!(
            "{{\"user_id\":{user},\"amount\":{amount},\"event_time\":\"{time}\"}}\n"
        ));
    }
    lines.push_str("{\"user_id\":3,\"amount\":1,\"event_time\":\"2026-02-01T00:00:00Z\"}\n");
    lines.push_str("{\"user_id\":3,\"amount\":1,\"event_time\":\"2200-01-01T00:00:00Z\"}\n");
    lines.push_str("{\"user_id\":3,\"amount\":\n");
    lines.push_str("{\"user_id\":3,\"amount\":\"x\",\"event_time\":\"2026-02-25T00:00:00Z\"}\n");
    lines.push_str("{\"amount\":1,\"event_time\":\"2026-02-25T00:00:00Z\"}\n");
    (lines, 400)
}

#[test]
fn kafka_to_redis_and_parquet_and_back_by_backfill_bit_for_bit() {
    let (kafka, redis) = (service("KAFKA"), service("REDIS"));
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    let topic = format!("payments-{}", std::process::id());
    let (lines, good) = messages();
    std::fs::write(directory.path().join("payments.ndjson"), lines).unwrap();
    let sql = definitions(directory.path(), &kafka, &redis, &topic);
    std::fs::write(directory.path().join("payments.sql"), sql).unwrap();

    run(
        &home,
        &[
            "produce",
            "payments.ndjson",
            "--topic",
            &topic,
            "--brokers",
            &kafka,
            "--key",
            "user_id",
            "--partitions",
            "4",
        ],
    );
    run(&home, &["apply", "payments.sql"]);
    let engine = skewless(&home, &["run", "--no-http"]);
    let engine = { engine }.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let client = redis::Client::open(redis.as_str()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let key = format!("{topic}:3");
    let fields: std::collections::BTreeMap<String, String> =
        poll::until("all payments of user 3 in Redis", LIMIT, || {
            let found: std::collections::BTreeMap<String, String> =
                redis::cmd("HGETALL").arg(&key).query(&mut connection).unwrap();
            (found.get("n").map(String::as_str) == Some("20")).then_some(found)
        });
    assert!(fields.contains_key("total") && fields.contains_key("_as_of:spend"), "{fields:?}");
    let said = interrupt(engine);
    let read = good + 5;
    assert!(said.contains(&format!("{read} read = {good} admitted")), "{said}");

    // A second run continues from the checkpoint, reads nothing twice, and closes every window.
    let ended = run(&home, &["run", "--until", "end", "--no-http"]);
    assert!(text(&ended.stderr).contains("0 read = 0 admitted"), "{}", text(&ended.stderr));
    let letters = run(
        &home,
        &[
            "sql",
            "--format",
            "csv",
            "-e",
            "SELECT reason, count(*) AS n FROM DEAD_LETTERS(payments) GROUP BY reason ORDER BY reason",
        ],
    );
    let expected = "reason,n\ndecode,3\nfuture,1\nlate,1\n";
    assert_eq!(text(&letters.stdout), expected);
    let compared = run(&home, &["backfill", "spend", "--out", "again", "--compare"]);
    let parity = format!("parity: {good} rows compared, 0 different");
    assert!(text(&compared.stdout).contains(&parity), "{}", text(&compared.stdout));
}

#[test]
fn a_source_that_is_not_partitioned_as_declared_is_refused_and_continues_without_the_option() {
    let (kafka, redis) = (service("KAFKA"), service("REDIS"));
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    let topic = format!("unpartitioned-{}", std::process::id());
    let (lines, good) = messages();
    std::fs::write(directory.path().join("payments.ndjson"), lines).unwrap();
    let produce = ["produce", "payments.ndjson", "--topic", &topic, "--brokers", &kafka];
    run(&home, &[&produce[..], &["--key", "event_time", "--partitions", "2"]].concat());
    let plain = definitions(directory.path(), &kafka, &redis, &topic);
    let declared =
        plain.replace("'archive' = 'true'", "'archive' = 'true', 'partitioned.by' = 'user_id'");
    for (name, sql) in [("declared.sql", &declared), ("plain.sql", &plain)] {
        std::fs::write(directory.path().join(name), sql).unwrap();
    }
    run(&home, &["apply", "declared.sql"]);
    let refused = skewless(&home, &["run", "--until", "now", "--no-http"]).output().unwrap();
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("user_id = ") && said.contains("comes in partitions"), "{said}");
    let published = std::fs::read_dir(directory.path().join("history"));
    let files = published.map(|entries| {
        entries
            .filter(|e| !e.as_ref().unwrap().file_name().to_string_lossy().starts_with(['_', '.']))
            .count()
    });
    assert_eq!(files.unwrap_or(0), 0, "the failed epoch published nothing");
    run(&home, &["apply", "plain.sql"]);
    run(&home, &["run", "--until", "end", "--no-http"]);
    let compared = run(&home, &["backfill", "spend", "--out", "again", "--compare"]);
    let (line, all) = (text(&compared.stdout), good as usize);
    let rows: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(line.contains(", 0 different") && rows > all / 2 && rows <= all, "{line}");
}

#[test]
fn an_unreachable_broker_is_named_and_the_command_fails() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    let sql = definitions(directory.path(), "127.0.0.1:1", "redis://127.0.0.1:1/", "nowhere");
    std::fs::write(directory.path().join("payments.sql"), sql).unwrap();
    run(&home, &["apply", "payments.sql"]);
    let output = skewless(&home, &["run", "--until", "now", "--no-http"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("127.0.0.1:1"), "{}", text(&output.stderr));
}

/// More payments, an hour after the others.
fn later_messages() -> String {
    let mut lines = String::new();
    for i in 0..200i64 {
        let time = skewless::model::time::EventTime(1_772_003_600_000_000 + i * 2_000_000);
        let (user, amount) = (i % 20, (i * 6007 % 1000) as f64 / 3.0);
        lines.push_str(&format!(
            "{{\"user_id\":{user},\"amount\":{amount},\"event_time\":\"{time}\"}}\n"
        ));
    }
    lines
}

#[test]
fn a_feature_that_begins_with_the_archive_has_run_from_the_start() {
    let (kafka, redis) = (service("KAFKA"), service("REDIS"));
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    let topic = format!("bootstrap-{}", std::process::id());
    std::fs::write(directory.path().join("payments.ndjson"), messages().0).unwrap();
    std::fs::write(directory.path().join("later.ndjson"), later_messages()).unwrap();
    let sql = definitions(directory.path(), &kafka, &redis, &topic);
    std::fs::write(directory.path().join("payments.sql"), sql).unwrap();
    let produce = |file: &str| {
        let target = ["produce", file, "--topic", &topic, "--brokers", &kafka];
        run(&home, &[&target[..], &["--key", "user_id", "--partitions", "4"]].concat());
    };
    produce("payments.ndjson");
    run(&home, &["apply", "payments.sql"]);
    // Killed with rows of the archive that are in the checkpoint and in no file.
    let mut engine = skewless(&home, &["run", "--no-http", "--checkpoint-interval", "1"]);
    let mut engine = engine.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    poll::until("a checkpoint carries rows of the archive", LIMIT, || {
        let files = std::fs::read_dir(home.join("checkpoints")).ok()?;
        let manifests = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
        let carries = |manifest: String| manifest.contains("archive-payments");
        manifests.into_iter().any(carries).then_some(())
    });
    engine.kill().unwrap();
    engine.wait().unwrap();
    produce("later.ndjson");
    let over = "OVER (PARTITION BY user_id ORDER BY event_time";
    let more = format!(
        "CREATE FEATURE lifetime WITH ('bootstrap' = 'history') AS
         SELECT user_id, COUNT(*) {over}) AS n, STDDEV(amount) {over}
             RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW) AS s FROM payments;
         CREATE FEATURE per_part WITH ('bootstrap' = 'history') AS
         SELECT part, SUM(amount) AS s, COUNT(*) AS n, window_end
         FROM HOP(payments, event_time, INTERVAL '1 minute', INTERVAL '5 minutes')
         GROUP BY part, window_end"
    );
    std::fs::write(directory.path().join("more.sql"), more).unwrap();
    run(&home, &["apply", "more.sql"]);
    run(&home, &["run", "--no-http", "--until", "end"]);
    for feature in ["spend", "lifetime", "per_part"] {
        let out = format!("{feature}.parquet");
        let compared = run(&home, &["backfill", feature, "--out", &out, "--compare"]);
        let said = text(&compared.stdout);
        let line = said.lines().last().unwrap();
        assert!(line.ends_with("rows compared, 0 different"), "{feature}: {said}");
        assert!(!line.starts_with("parity: 0 rows"), "{feature}: {said}");
    }
}
