//! Values in Redis when no event comes (`scripts/services`): counts fall to 0, `ttl` empties a
//! hash and lets it expire, through kills of the engine; HTTP, `get` and Redis say the same.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::poll;
use crate::process::Process;

const LIMIT: Duration = Duration::from_secs(60);

type Hash = BTreeMap<String, String>;

struct World {
    directory: tempfile::TempDir,
    redis: redis::Client,
    prefix: String,
}

struct Engine {
    _process: Process,
    address: String,
}

impl World {
    fn new() -> Self {
        let redis = std::env::var("REDIS")
            .unwrap_or_else(|_| panic!("REDIS is not set: eval \"$(scripts/services env)\""));
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path().file_name().unwrap().to_str().unwrap().to_owned();
        let over = "OVER (PARTITION BY user_id ORDER BY event_time";
        let brief = "RANGE BETWEEN INTERVAL '3 seconds' PRECEDING AND CURRENT ROW)";
        let sql = format!(
            "CREATE SOURCE clicks (
                user_id BIGINT NOT NULL, event_time TIMESTAMP NOT NULL,
                WATERMARK FOR event_time AS event_time - INTERVAL '1 hour'
             ) WITH ('connector' = 'file', 'path' = 'clicks.ndjson', 'format' = 'json');
             CREATE FEATURE brief WITH ('online' = '{redis}', 'refresh' = '200 milliseconds',
                                        'online.key' = '{prefix}:{{feature}}:{{key}}') AS
             SELECT user_id, COUNT(*) {over} {brief} AS n FROM clicks;
             CREATE FEATURE kept WITH ('online' = '{redis}', 'ttl' = '4 seconds',
                                       'online.key' = '{prefix}:{{feature}}:{{key}}') AS
             SELECT user_id, COUNT(*) {over}) AS ever FROM clicks;"
        );
        std::fs::write(directory.path().join("clicks.sql"), sql).unwrap();
        let redis = redis::Client::open(redis.as_str()).unwrap();
        Self { directory, redis, prefix }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn click(&self, user: i64, second: &str) {
        let path = self.path("clicks.ndjson");
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, r#"{{"user_id":{user},"event_time":"2026-03-01T10:00:{second}Z"}}"#)
            .unwrap();
    }

    fn skewless(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
        command.arg("--home").arg(self.path("home")).current_dir(self.directory.path());
        command.env_remove("SKEWLESS_HOME").stdin(Stdio::null());
        command
    }

    fn start(&self) -> Engine {
        let told = self.path("home").join("engine.json");
        let _ = std::fs::remove_file(&told);
        let mut command = self.skewless();
        command.args(["run", "clicks.sql", "--http", "127.0.0.1:0", "--checkpoint-interval", "1"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = Process(child.unwrap());
        let address = poll::until("the engine announces itself", LIMIT, || http_of(&told));
        Engine { _process: process, address }
    }

    fn hash(&self, feature: &str, user: i64) -> Hash {
        let key = format!("{}:{feature}:{user}", self.prefix);
        let mut connection = self.redis.get_connection().unwrap();
        redis::cmd("HGETALL").arg(key).query(&mut connection).unwrap()
    }

    fn expires(&self, feature: &str, user: i64) -> i64 {
        let key = format!("{}:{feature}:{user}", self.prefix);
        redis::cmd("PTTL").arg(key).query(&mut self.redis.get_connection().unwrap()).unwrap()
    }

    /// Waits until a field has a value (`None`: until it is gone); the hash then.
    fn until(&self, feature: &str, user: i64, field: &str, value: Option<&str>) -> Hash {
        poll::until(&format!("{field} of {user} is {value:?}"), LIMIT, || {
            let hash = self.hash(feature, user);
            (hash.get(field).map(String::as_str) == value).then_some(hash)
        })
    }

    fn get(&self, feature: &str, user: i64) -> Value {
        let user = user.to_string();
        let mut command = self.skewless();
        let output = command.args(["get", feature, &user, "--format", "json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn http_of(told: &Path) -> Option<String> {
    let info: Value = serde_json::from_str(&std::fs::read_to_string(told).ok()?).ok()?;
    Some(info["http"].as_str()?.to_owned())
}

fn ask(address: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_count_falls_to_0_without_events_and_stays_right_after_a_restart() {
    let world = World::new();
    world.click(1, "00");
    world.click(1, "01");
    let engine = world.start();
    let hash = world.until("brief", 1, "n", Some("2"));
    assert_eq!(hash["_as_of:brief"], "2026-03-01T10:00:01Z");
    // One row leaves, then the other one; nobody sends anything.
    let hash = world.until("brief", 1, "n", Some("0"));
    assert_eq!(hash["_status:brief"], "NOT_FOUND");
    let fell = hash["_as_of:brief"].clone();
    assert!(fell.as_str() > "2026-03-01T10:00:04", "{fell}");
    let answer = ask(&engine.address, "/features/brief/1");
    assert_eq!((&answer["values"]["n"], &answer["status"]), (&0.into(), &"NOT_FOUND".into()));
    // A count that has not fallen yet when the engine is killed falls after it is back.
    // (A file is read up to its end as an engine finds it at its start.)
    drop(engine);
    world.click(2, "20");
    let engine = world.start();
    world.until("brief", 2, "n", Some("1"));
    drop(engine);
    assert_eq!(world.hash("brief", 2)["n"], "1");
    let engine = world.start();
    world.until("brief", 2, "n", Some("0"));
    drop(engine);
    // An event from before that moment: nothing goes back, and what it changes is shown.
    let before = world.hash("brief", 1)["_as_of:brief"].clone();
    world.click(1, "02");
    let engine = world.start();
    poll::until("the late click is known", LIMIT, || {
        let then = ask(&engine.address, "/features/brief/1?at=2026-03-01T10:00:03Z");
        (then["values"]["n"] == 3).then_some(())
    });
    let hash = world.hash("brief", 1);
    assert!(hash["_as_of:brief"] >= before && hash["n"] == "0", "{hash:?} after {before}");
}

#[test]
fn an_expired_entity_is_expired_over_http_by_get_and_in_redis() {
    let world = World::new();
    world.click(1, "00");
    let engine = world.start();
    world.until("kept", 1, "ever", Some("1"));
    let left = world.expires("kept", 1);
    assert!((1..=4_001).contains(&left), "{left} ms");
    assert_eq!(world.expires("brief", 1), -1, "no ttl, no end");
    assert_eq!(ask(&engine.address, "/features/kept/1")["status"], "PRESENT");
    world.until("kept", 1, "_status:kept", Some("EXPIRED"));
    let answer = ask(&engine.address, "/features/kept/1");
    assert_eq!((&answer["values"]["ever"], &answer["status"]), (&Value::Null, &"EXPIRED".into()));
    assert_eq!(ask(&engine.address, "/features/kept/9")["status"], "NOT_FOUND");
    assert!(world.expires("kept", 1) > 0, "what is left goes too");
    // Without an engine Redis answers, and forgets by itself.
    drop(engine);
    let gone = poll::until("the engine is gone", LIMIT, || {
        let answer = world.get("kept", 1);
        (answer["status"] == "NOT_FOUND").then_some(answer)
    });
    assert_eq!(gone["values"]["ever"], Value::Null, "{gone}");
    let brief = world.get("brief", 1);
    assert_eq!((&brief["values"]["n"], &brief["status"]), (&0.into(), &"NOT_FOUND".into()));
}
