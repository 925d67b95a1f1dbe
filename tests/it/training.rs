//! Training sets and ASOF joins through the binary: files in, files out, what is refused.

use std::path::Path;
use std::process::{Command, Output, Stdio};

const DEFINITIONS: &str = "
CREATE SOURCE clicks (
    user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH ('connector' = 'file', 'path' = 'clicks.ndjson', 'format' = 'json');
CREATE FEATURE clicks_1h AS
SELECT user_id, COUNT(*) OVER w AS clicks, SUM(amount) OVER w AS amount
FROM clicks
WINDOW w AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
CREATE FEATURE recent WITH ('ttl' = '15 minutes') AS
SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time
                               ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) AS last_10
FROM clicks;
";
const CLICKS: &str = r#"{"user_id":1,"amount":1.5,"event_time":"2026-03-01T10:00:00Z"}
{"user_id":2,"amount":0.5,"event_time":"2026-03-01T10:10:00Z"}
{"user_id":1,"amount":2.5,"event_time":"2026-03-01T10:30:00Z"}
{"user_id":1,"amount":9,"event_time":"2026-03-01T09:00:00Z"}
not json
"#;
/// In no order, with a time that is an event's, a NULL key, an unknown one.
const LABELS: &str = "customer,label_time,y
1,2026-03-01T10:30:00Z,0
2,2026-03-01T10:40:00Z,1
,2026-03-01T10:40:00Z,1
7,2026-03-01T10:40:00Z,0
1,2026-03-01T09:30:00Z,1
";

fn home() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("clicks.ndjson", CLICKS);
    write("clicks.sql", DEFINITIONS);
    write("labels.csv", LABELS);
    let home = directory.path().join("home");
    succeeded(&run(&home, &["apply", "clicks.sql"]));
    (directory, home)
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.arg("--home").arg(home).env_remove("SKEWLESS_HOME").env_remove("SKEWLESS_LOG");
    command.current_dir(home.parent().unwrap()).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[track_caller]
fn sql(home: &Path, statement: &str) -> String {
    let output = run(home, &["sql", "--format", "csv", "-e", statement]);
    succeeded(&output);
    text(&output.stdout)
}

const LINE: [&str; 9] = [
    "training-set",
    "--labels",
    "labels.csv",
    "--time",
    "label_time",
    "--key",
    "user_id=customer",
    "--out",
    "train.parquet",
];

#[test]
fn a_training_set_has_every_label_once_with_what_was_known_before_it() {
    let (_keep, home) = home();
    let features = ["--features", "clicks_1h,recent:last_10", "--status"];
    let output = run(&home, &[&LINE[..], &features].concat());
    succeeded(&output);
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(said.contains("leakage: 0 labels"), "{said}");
    assert!(said.contains("5 read = 3 admitted + 1 late"), "{said}");
    let rows = sql(
        &home,
        "SELECT customer, y, clicks, amount, clicks_1h__status, last_10, recent__status \
         FROM 'train.parquet'",
    );
    // The click at 09:00 came late; that at 10:30 is the label's own time.
    let expected = "customer,y,clicks,amount,clicks_1h__status,last_10,recent__status
1,0,1,1.5,PRESENT,,EXPIRED
2,1,1,0.5,PRESENT,,EXPIRED
,1,0,,NOT_FOUND,,NOT_FOUND
7,0,0,,NOT_FOUND,,NOT_FOUND
1,1,0,,NOT_FOUND,,NOT_FOUND
";
    assert_eq!(rows, expected);
    // What is there is kept unless told otherwise.
    let again = run(&home, &[&LINE[..], &features].concat());
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
    let more = ["--inclusive", "--overwrite", "--full-names"];
    let output = run(&home, &[&LINE[..], &features[..2], &more].concat());
    succeeded(&output);
    assert!(text(&output.stderr).contains("leakage: 1 labels"), "{}", text(&output.stderr));
    let rows = sql(&home, "SELECT clicks_1h__amount, recent__last_10 FROM 'train.parquet' LIMIT 1");
    assert_eq!(rows, "clicks_1h__amount,recent__last_10\n4.0,2\n");
}

#[test]
fn what_a_training_set_cannot_be_is_said_before_anything_is_read() {
    let (_keep, home) = home();
    for (arguments, expected) in [
        (&["--features", "clicks_2h"][..], "clicks_1h"),
        (&["--features", "clicks_1h:click"], "did you mean"),
        (&["--features", "clicks_1h", "--known-at"], "does not say when its rows arrived"),
        (&["--features", "clicks_1h", "--key", "shop=customer"], "no feature has that key"),
    ] {
        let output = run(&home, &[&LINE[..], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
    assert!(!home.parent().unwrap().join("train.parquet").exists());
}

#[test]
fn an_asof_join_reads_files_and_writes_files() {
    let (_keep, home) = home();
    let join = "FROM 'labels.csv' l \
                ASOF JOIN clicks_1h f MATCH_CONDITION (l.label_time > f.event_time) \
                    ON l.customer = f.user_id \
                ASOF JOIN clicks c MATCH_CONDITION (l.label_time >= c.event_time) \
                    ON l.customer = c.user_id";
    let found = sql(&home, &format!("SELECT l.y, f.clicks, f.amount, c.amount AS last {join}"));
    let expected = "y,clicks,amount,last\n0,1,1.5,2.5\n1,1,0.5,0.5\n1,0,,\n0,0,,\n1,0,,\n";
    assert_eq!(found, expected);
    let copy = format!("COPY (SELECT l.*, f.clicks {join}) TO 'joined.parquet'");
    sql(&home, &copy);
    let found = sql(&home, "SELECT customer, clicks FROM 'joined.parquet'");
    assert_eq!(found, "customer,clicks\n1,1\n2,1\n,0\n7,0\n1,0\n");
}
