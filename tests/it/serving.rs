//! HTTP of a running engine, asked by raw sockets and by the commands: values by every kind of
//! key, statements over current values, Feast's requests, metrics read by a parser of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::poll;
use crate::process::Process;

const LIMIT: Duration = Duration::from_secs(60);

const DEFINITIONS: &str = "
CREATE SOURCE clicks (
    user_id BIGINT NOT NULL, shop VARCHAR, amount DOUBLE, price DECIMAL(10, 2), paid BOOLEAN,
    day DATE, seen TIMESTAMP, event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH ('connector' = 'file', 'path' = 'clicks.ndjson', 'format' = 'json');
CREATE FEATURE by_user AS
SELECT user_id, COUNT(*) OVER w AS clicks, SUM(amount) OVER w AS total
FROM clicks
WINDOW w AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
CREATE FEATURE by_user_shop WITH ('log' = 'sample 100%') AS
SELECT user_id, shop, COUNT(*) OVER w AS n
FROM clicks
WINDOW w AS (PARTITION BY user_id, shop ORDER BY event_time
             RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
CREATE FEATURE by_all AS
SELECT price, paid, day, seen, COUNT(*) OVER w AS n
FROM clicks
WINDOW w AS (PARTITION BY price, paid, day, seen ORDER BY event_time
             RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
CREATE FEATURE \"of everyone\" AS
SELECT COUNT(*) OVER w AS n
FROM clicks
WINDOW w AS (ORDER BY event_time
             RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
";

/// Four clicks; the last one of user 1 half an hour after the first. One is late.
const CLICKS: &str = r#"{"user_id":1,"shop":"a/b &=é","amount":1.5,"price":1.50,"paid":true,"day":"2026-03-01","seen":"2026-03-01T09:00:00.000001Z","event_time":"2026-03-01T10:00:00Z"}
{"user_id":2,"shop":"north","amount":0.25,"price":2.00,"paid":false,"day":"2026-03-01","seen":"2026-03-01T09:00:00Z","event_time":"2026-03-01T10:10:00Z"}
{"user_id":1,"shop":"north","amount":2.5,"price":1.50,"paid":true,"day":"2026-03-01","seen":"2026-03-01T09:00:00.000001Z","event_time":"2026-03-01T10:30:00Z"}
{"user_id":1,"shop":"north","amount":9,"price":1.50,"paid":true,"day":"2026-03-01","seen":"2026-03-01T09:00:00Z","event_time":"2026-03-01T09:00:00Z"}
"#;

fn skewless(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.arg("--home").arg(home).env_remove("SKEWLESS_HOME").env_remove("SKEWLESS_LOG");
    command.env_remove("SKEWLESS_TOKEN").current_dir(home.parent().unwrap()).stdin(Stdio::null());
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    skewless(home).args(arguments).output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(err));
    String::from_utf8(out.clone()).unwrap()
}

/// A running engine; stopped when dropped.
struct Engine {
    _directory: tempfile::TempDir,
    home: std::path::PathBuf,
    address: String,
    process: Process,
}

impl Engine {
    /// Starts one over the clicks and waits until it has read them.
    fn start(arguments: &[&str]) -> Self {
        Self::started(DEFINITIONS, arguments)
    }

    fn started(definitions: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        std::fs::write(directory.path().join("clicks.ndjson"), CLICKS).unwrap();
        std::fs::write(directory.path().join("clicks.sql"), definitions).unwrap();
        let mut command = skewless(&home);
        command.args(["run", "clicks.sql", "--http", "127.0.0.1:0"]).args(arguments);
        command.args(["--checkpoint-interval", "1"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = Process(child.unwrap());
        let address = poll::until("the engine announces itself", LIMIT, || {
            let text = std::fs::read_to_string(home.join("engine.json")).ok()?;
            let info: Value = serde_json::from_str(&text).ok()?;
            Some(info["http"].as_str()?.to_owned())
        });
        Self { _directory: directory, home, address, process }
    }

    /// The same, once every click has been read.
    fn ready(arguments: &[&str]) -> Self {
        let engine = Self::start(arguments);
        engine.wait();
        engine
    }

    fn wait(&self) {
        poll::until("all clicks are read", LIMIT, || {
            let (_, body) = self.get("/status");
            (serde_json::from_str::<Value>(&body).ok()?["sources"][0]["read"] == 4).then_some(())
        });
    }

    fn send(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let host = &self.address;
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"))
    }

    #[track_caller]
    fn value(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (host, body) = (&self.address, body.to_string());
        let (status, answer) = self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        (status, serde_json::from_str(&answer).unwrap())
    }
}

const AT: &str = "2026-03-01T10:30:00Z";

#[test]
fn values_are_found_by_every_kind_of_key() {
    let engine = Engine::ready(&[]);
    let one = engine.value(&format!("/features/by_user/1?at={AT}"));
    let expected = json!({
        "feature": "by_user", "key": {"user_id": 1}, "as_of": AT,
        "values": {"clicks": 2, "total": 4.0}, "status": "PRESENT",
    });
    assert_eq!(one, expected);
    // An hour after the first click it still counts, a µs later it does not.
    let at = |at: &str| engine.value(&format!("/features/by_user/1?at={at}"))["values"].clone();
    assert_eq!(at("2026-03-01T11:00:00Z"), json!({"clicks": 2, "total": 4.0}));
    assert_eq!(at("2026-03-01T11:00:00.000001Z"), json!({"clicks": 1, "total": 2.5}));
    let pair =
        engine.value(&format!("/features/by_user_shop?shop=a%2Fb+%26%3D%C3%A9&user_id=1&at={AT}"));
    assert_eq!(pair["key"], json!({"user_id": 1, "shop": "a/b &=é"}));
    assert_eq!(pair["values"], json!({"n": 1}));
    let all = engine.value(&format!(
        "/features/by_all?price=1.5&paid=true&day=2026-03-01\
         &seen=2026-03-01T10:00:00.000001%2B01:00&at={AT}"
    ));
    let key = json!({
        "price": 1.5, "paid": true, "day": "2026-03-01", "seen": "2026-03-01T09:00:00.000001Z"
    });
    assert_eq!((&all["key"], &all["values"]), (&key, &json!({"n": 2})));
    let everyone = engine.value(&format!("/features/of%20everyone?at={AT}"));
    assert_eq!(everyone["values"], json!({"n": 3}));
    assert_eq!(everyone["key"], json!({}));
    let several = engine.value(&format!("/features/by_user?user_id=2&user_id=7&user_id=1&at={AT}"));
    let told: Vec<_> =
        several.as_array().unwrap().iter().map(|e| e["values"]["clicks"].clone()).collect();
    assert_eq!(told, [json!(1), json!(0), json!(2)]);
    assert_eq!(several[1]["status"], "NOT_FOUND");
}

#[test]
fn what_state_does_not_hold_is_refused_with_advice() {
    let engine = Engine::ready(&[]);
    for (path, status, says) in [
        ("/features/by_user/1?at=2026-03-01T10:00:00Z", 400, "training-set"),
        ("/features/by_user/one", 400, "user_id"),
        ("/features/by_user/", 404, "no such path"),
        ("/features/by_user_shop/1", 400, "shop"),
        ("/features/by_user_shop?user_id=1&store=north", 400, "shop"),
        ("/features/by_usr/1", 404, "did you mean 'by_user'?"),
        ("/features/by_all?price=1.555&paid=true&day=2026-03-01&seen=now", 400, "seen"),
        ("/features/of%20everyone/1", 400, "global entity"),
    ] {
        // What state has let go of follows the watermark, which may come a moment after the rows.
        let body = poll::until(path, LIMIT, || {
            let (got, body) = engine.get(path);
            (got == status).then_some(body)
        });
        assert!(body.contains(says), "{path}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(error["error"]["kind"].is_string() && error["error"]["message"].is_string());
    }
}

#[test]
fn commands_on_the_home_of_a_running_engine_ask_it() {
    let engine = Engine::ready(&[]);
    let home = &engine.home;
    let rows = run(
        home,
        &["sql", "--format", "csv", "-e", "SELECT user_id, shop FROM by_user_shop ORDER BY 1, 2"],
    );
    assert_eq!(stdout(&rows), "user_id,shop\n1,a/b &=é\n1,north\n2,north\n");
    let joined = run(
        home,
        &[
            "sql",
            "--format",
            "csv",
            "-e",
            "SELECT u.user_id, u.clicks >= 0 AS known, count(s.shop) AS shops FROM by_user u \
         JOIN by_user_shop s ON u.user_id = s.user_id GROUP BY 1, 2 ORDER BY 1",
        ],
    );
    assert_eq!(stdout(&joined), "user_id,known,shops\n1,true,2\n2,true,1\n");
    let at = ["get", "by_user", "1", "--at", AT, "--format", "json"];
    let expected = format!(
        "{{\"feature\":\"by_user\",\"key\":{{\"user_id\":1}},\"as_of\":\"{AT}\",\
         \"values\":{{\"clicks\":2,\"total\":4.0}},\"status\":\"PRESENT\"}}\n"
    );
    assert_eq!(stdout(&run(home, &at)), expected);
    // A change that cannot be made, by a command and over HTTP: nothing has changed.
    let refused = run(home, &["sql", "-e", "DROP SOURCE clicks"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let (status, answer) = engine.post("/sql", &json!({"sql": "DROP SOURCE clicks"}));
    assert_eq!((status, &answer["error"]["kind"]), (400, &json!("usage")), "{answer}");
    // One that can.
    stdout(&run(home, &["sql", "-e", "DROP FEATURE by_all"]));
    let (status, answer) = engine.post("/sql", &json!({"sql": "SELECT * FROM by_all"}));
    assert_eq!(status, 400, "{answer}");
    let (status, answer) = engine.post("/sql", &json!({"sql": "SELECT user_id, shop FROM by_user_shop ORDER BY 1, 2 LIMIT 1; SHOW CREATE by_user"}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["results"][0]["rows"], json!([{"user_id": 1, "shop": "a/b &=é"}]));
    assert_eq!(answer["results"][0]["columns"][1], json!({"name": "shop", "type": "VARCHAR"}));
    assert!(answer["results"][1]["text"].as_str().unwrap().starts_with("CREATE FEATURE by_user"));
    let (status, answer) = engine.post("/sql", &json!({"sql": "SELECT nope FROM by_user"}));
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("nope"), "{answer}");
}

#[test]
fn current_values_over_sql_are_those_of_each_entity() {
    let engine = Engine::ready(&[]);
    // The sum over all entities of a count at serving time equals the single answers then: both
    // are zero or more, and a click is never counted for somebody else.
    let query =
        json!({"sql": "SELECT count(*) AS entities, max(clicks) <= 2 AS sane FROM by_user"});
    let (status, answer) = engine.post("/sql", &query);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["results"][0]["rows"], json!([{"entities": 2, "sane": true}]));
    let (_, text) = engine.get("/status");
    assert!(text.contains("\"by_user_shop\""), "{text}");
}

/// The exchange of Feast 0.67's remote online store, recorded: what it sends for one feature view
/// of two features and three entities, and the parts of the answer it reads.
#[test]
fn a_feast_client_finds_everything_it_reads() {
    let engine = Engine::ready(&[]);
    let request = json!({
        "features": ["by_user:clicks", "by_user:total"], "entities": {"user_id": [1, 7, 2]},
    });
    let (status, answer) = engine.post("/get-online-features", &request);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["metadata"]["feature_names"], json!(["user_id", "clicks", "total"]));
    assert_eq!(answer["results"][0]["values"], json!([1, 7, 2]));
    let found = json!(["PRESENT", "NOT_FOUND", "PRESENT"]);
    assert_eq!(answer["results"][1]["statuses"], found);
    assert_eq!(answer["results"][2]["statuses"], found);
    let times = &answer["results"][1]["event_timestamps"];
    let expected = json!([AT, "1970-01-01T00:00:00Z", "2026-03-01T10:10:00Z"]);
    assert_eq!(times, &expected);
    assert_eq!(answer["results"].as_array().unwrap().len(), 3);
    let several = json!({
        "features": ["by_user_shop:n", "by_user:clicks"],
        "entities": {"user_id": [1, "2"], "shop": ["north", "north"]}, "full_feature_names": true,
    });
    let (status, answer) = engine.post("/get-online-features", &several);
    assert_eq!(status, 200, "{answer}");
    let names = json!(["shop", "user_id", "by_user_shop__n", "by_user__clicks"]);
    assert_eq!(answer["metadata"]["feature_names"], names);
    assert_eq!(answer["results"][1]["values"], json!([1, 2]));
    let (status, answer) = engine.post("/get-online-features", &json!({"features": ["by_user:x"]}));
    assert_eq!(status, 400, "{answer}");
}

#[test]
fn what_was_served_is_in_the_log_after_the_engine_has_stopped() {
    let mut engine = Engine::ready(&[]);
    for user in 1..=3 {
        engine.value(&format!("/features/by_user_shop?user_id={user}&shop=north&at={AT}"));
    }
    let pid = engine.process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(engine.process.wait().unwrap().success());
    let folder = engine.home.join("log/by_user_shop/date=2026-03-01");
    let mut told = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::open(entry.unwrap().path()).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
        for batch in reader.unwrap().build().unwrap() {
            let text = arrow::util::pretty::pretty_format_batches(&[batch.unwrap()]).unwrap();
            told.extend(text.to_string().lines().skip(3).map(str::to_owned));
        }
    }
    told.retain(|line| line.starts_with("| "));
    assert_eq!(told.len(), 3, "{told:#?}");
    let squeezed = told[2].split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = "| 3 | north | 2026-03-01T10:30:00Z | NOT_FOUND | 1 | 0 |";
    assert_eq!(squeezed, expected, "{told:#?}");
}

/// Starts one of the example's services; its address.
fn service(script: &str, reads: &str) -> (Process, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/serving").join(script);
    let mut command = Command::new("python3");
    command.arg(path).arg(reads).arg("0").stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    (Process(child), line.trim().trim_start_matches("http://").to_owned())
}

fn score(address: &str, query: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET /score?{query} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// The features of the example over the clicks, in Redis.
fn user_spend(redis: &str) -> String {
    let over = |hours: u32| {
        format!(
            "(PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '{hours}' HOUR \
             PRECEDING AND CURRENT ROW)"
        )
    };
    format!(
        "{}CREATE FEATURE user_spend WITH ('online' = '{redis}') AS
         SELECT user_id, COUNT(*) OVER {} AS txn_count_30m, AVG(amount) OVER {} AS avg_amount_1h,
                MAX(amount) OVER {} AS max_amount_24h FROM clicks;",
        DEFINITIONS,
        over(1),
        over(1),
        over(24)
    )
}

#[test]
fn the_services_of_the_example_score_alike_over_http_and_from_redis() {
    let redis = std::env::var("REDIS")
        .unwrap_or_else(|_| panic!("REDIS is not set: eval \"$(scripts/services env)\""));
    // A database of its own: the key of the example is fixed.
    let redis = format!("{}/9", redis.trim_end_matches('/'));
    let client = redis::Client::open(redis.as_str()).unwrap();
    redis::cmd("FLUSHDB").exec(&mut client.get_connection().unwrap()).unwrap();
    let engine = Engine::started(&user_spend(&redis), &[]);
    engine.wait();
    let (_http, http) = service("score_http.py", &format!("http://{}", engine.address));
    let (_redis, from_redis) = service("score_redis.py", &redis);
    // Both have user 2 as of her only click for as long as no hour has passed.
    let expected = json!({"txn_count_30m": 1, "avg_amount_1h": 0.25, "max_amount_24h": 0.25});
    poll::until("user 2 is in Redis", LIMIT, || {
        let (_, answer) = score(&from_redis, "user_id=2&amount=250");
        (answer["features"] == expected).then_some(())
    });
    let (status, stored) = score(&from_redis, "user_id=2&amount=250");
    assert_eq!((status, &stored["as_of"]), (200, &json!("2026-03-01T10:10:00Z")));
    let (status, asked) = score(&http, "user_id=2&amount=250");
    assert_eq!((status, &asked["features"]), (200, &expected));
    assert_eq!(asked["score"], stored["score"]);
    for address in [&http, &from_redis] {
        let (status, unknown) = score(address, "user_id=77&amount=1");
        assert_eq!((status, &unknown["score"]), (200, &json!(0.5)), "{unknown}");
        assert_eq!(score(address, "user_id=2").0, 400);
    }
    // An engine that computes another feature reads this one from Redis.
    let other = Engine::started(&user_spend(&redis), &["--feature", "by_user"]);
    other.wait();
    let answer = other.value("/features/user_spend?user_id=2&user_id=77");
    assert_eq!(answer[0]["as_of"], "2026-03-01T10:10:00Z");
    assert_eq!(answer[0]["values"], expected);
    assert_eq!(answer[1]["status"], "NOT_FOUND");
    let (status, answer) = other.get(&format!("/features/user_spend/2?at={AT}"));
    assert_eq!(status, 501, "{answer}");
    let got = run(&other.home, &["get", "user_spend", "2", "--format", "json"]);
    assert!(stdout(&got).contains("\"txn_count_30m\":1"), "{got:?}");
}

/// Name, labels, value.
type Sample = (String, Vec<(String, String)>, f64);

/// Reads the Prometheus text format by its published grammar: HELP and TYPE before the samples of
/// a family, all samples of a family together, names and labels well formed, values numbers.
fn parse_metrics(text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let (mut family, mut kind, mut seen) = (String::new(), String::new(), Vec::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
            assert!(!seen.contains(&family), "the family {family} comes twice");
            assert!(help.len() > family.len() + 1, "no help: {line}");
            seen.push(family.clone());
            kind.clear();
            continue;
        }
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, of) = typed.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&of), "{line}");
            assert_eq!(of == "counter", name.ends_with("_total"), "{line}");
            kind = of.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
            None => (series, ""),
        };
        let base = match kind.as_str() {
            "histogram" => {
                name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count")
            }
            _ => name,
        };
        assert_eq!(base, family, "{line}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let mut pairs = Vec::new();
        let mut rest = labels;
        while !rest.is_empty() {
            let (label, quoted) = rest.split_once("=\"").unwrap();
            let mut end = 0;
            while quoted.as_bytes()[end] != b'"' {
                end += if quoted.as_bytes()[end] == b'\\' { 2 } else { 1 };
            }
            pairs.push((label.to_owned(), quoted[..end].to_owned()));
            rest = quoted[end + 1..].trim_start_matches(',');
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        samples.push((name.to_owned(), pairs, value));
    }
    samples
}

#[test]
fn metrics_are_well_formed_complete_and_conserved() {
    let engine = Engine::ready(&[]);
    poll::until("a checkpoint is committed", LIMIT, || {
        let (_, text) = engine.get("/metrics");
        text.contains("\nskewless_checkpoint_age_seconds ").then_some(())
    });
    engine.get("/features/by_user/1");
    let (status, text) = engine.get("/metrics");
    assert_eq!(status, 200);
    let samples = parse_metrics(&text);
    let one = |name: &str, label: &str| {
        let found: Vec<f64> = samples
            .iter()
            .filter(|(n, labels, _)| {
                n == name && (label.is_empty() || labels.iter().any(|(_, v)| v == label))
            })
            .map(|(_, _, value)| *value)
            .collect();
        assert!(!found.is_empty(), "no {name} {label} in\n{text}");
        found.iter().sum::<f64>()
    };
    let read = one("skewless_records_read_total", "clicks");
    assert_eq!(read, 4.0);
    assert_eq!(one("skewless_records_total", "clicks"), read);
    assert_eq!(one("skewless_records_total", "late"), 1.0);
    assert_eq!(one("skewless_records_total", "admitted"), 3.0);
    assert_eq!(one("skewless_rejected_total", "decode"), 0.0);
    assert!(one("skewless_watermark_seconds", "clicks") > 1.7e9);
    assert_eq!(
        one("skewless_partition_watermark_seconds", "0"),
        one("skewless_watermark_seconds", "")
    );
    assert!(one("skewless_lanes", "") >= 1.0);
    assert!(one("skewless_keys", "") >= 2.0);
    assert!(one("skewless_state_bytes", "") > 0.0);
    assert!(one("skewless_checkpoint_epoch", "") >= 1.0);
    assert!(one("skewless_checkpoint_duration_seconds", "") >= 0.0);
    assert!(one("skewless_http_request_duration_seconds_count", "features") >= 1.0);
    for (name, label) in [
        ("skewless_final_rows_total", "by_user"),
        ("skewless_online_writes_total", "by_user"),
        ("skewless_online_errors_total", ""),
        ("skewless_expression_errors_total", "of everyone"),
        ("skewless_null_keys_total", ""),
        ("skewless_newest_event_seconds", "clicks"),
        ("skewless_http_connections", ""),
        ("skewless_http_turned_away_total", ""),
    ] {
        one(name, label);
    }
    // Buckets only grow, and the last one is the count.
    let buckets: Vec<f64> = samples
        .iter()
        .filter(|(n, l, _)| n.ends_with("_bucket") && l.iter().any(|(_, v)| v == "features"))
        .map(|(_, _, value)| *value)
        .collect();
    assert!(buckets.is_sorted(), "{buckets:?}");
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/serving.md"));
    let page = page.unwrap();
    for family in text.lines().filter_map(|l| l.strip_prefix("# HELP ")) {
        let name = family.split(' ').next().unwrap();
        assert!(page.contains(&format!("`{name}")), "docs/serving.md does not name {name}");
    }
}

#[test]
fn tokens_are_read_from_files_and_asked_of_everybody() {
    let keep = tempfile::tempdir().unwrap();
    let tokens = keep.path().join("tokens");
    std::fs::write(&tokens, "# the model server\nread-0123456789abcdef\n").unwrap();
    let engine = Engine::start(&["--read-tokens", tokens.to_str().unwrap()]);
    assert_eq!(engine.get("/health").0, 200);
    assert_eq!(engine.get("/features/by_user/1").0, 401);
    let status = || {
        let mut command = skewless(&engine.home);
        command.arg("status");
        command
    };
    let refused = status().output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("SKEWLESS_TOKEN"), "{refused:?}");
    let allowed = status().env("SKEWLESS_TOKEN", "read-0123456789abcdef").output().unwrap();
    assert!(stdout(&allowed).contains("clicks"));
}
