//! The end of an engine: signals under load and with a store that does not answer, memory that is
//! used up, checkpoints that live elsewhere and who may write them, stores filled again.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::poll;
use crate::process::Process;
use crate::proxy::Proxy;

const LIMIT: Duration = Duration::from_secs(60);

struct Stage {
    directory: tempfile::TempDir,
}

/// Card transactions for ever, as fast as possible.
const ENDLESS: &str = "
    CREATE SOURCE payments (
        user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
        WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds'
    ) WITH ('connector' = 'datagen');";

fn spend(online: &str) -> String {
    format!(
        "CREATE FEATURE spend WITH ('online' = '{online}') AS
         SELECT user_id, COUNT(*) OVER w AS n, SUM(amount) OVER w AS total FROM payments
         WINDOW w AS (PARTITION BY user_id ORDER BY event_time
                      RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW);"
    )
}

impl Stage {
    fn new(definitions: &str) -> Self {
        let stage = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::write(stage.path("all.sql"), definitions).unwrap();
        stage.succeeds(&["apply", "all.sql"]);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command_in(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
        command.arg("--home").arg(self.path(home)).args(arguments).stdin(Stdio::null());
        command.env_remove("SKEWLESS_HOME").current_dir(self.directory.path());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command_in("home", arguments).output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let output = self.output(arguments);
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}\n{out}\n{said}");
        (out, said)
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
        said
    }

    fn start(&self, arguments: &[&str]) -> Engine {
        self.start_in("home", arguments)
    }

    fn start_in(&self, home: &str, arguments: &[&str]) -> Engine {
        let mut command = self.command_in(home, &["run", "--http", "127.0.0.1:0"]);
        let child = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        Engine { child: Process(child) }
    }

    fn status(&self) -> Option<serde_json::Value> {
        let output = self.output(&["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        status["running"]["address"].as_str()?;
        Some(status)
    }

    /// Waits until the running engine has read so much.
    fn wait_for_read(&self, records: u64) {
        poll::until("records", LIMIT, || {
            self.status().filter(|s| s["sources"][0]["read"].as_u64() >= Some(records))
        });
    }

    /// Waits until the running engine has committed this epoch.
    fn wait_for_epoch(&self, epoch: u64) {
        poll::until("a checkpoint", LIMIT, || {
            self.status().filter(|s| s["checkpoint"]["epoch"].as_u64() >= Some(epoch))
        });
    }
}

/// Killed when a test ends early.
struct Engine {
    child: Process,
}

impl Engine {
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Exit code and what was said.
    fn ended(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn redis_url() -> String {
    std::env::var("REDIS").unwrap_or_else(|_| {
        panic!("REDIS is not set: eval \"$(scripts/services env)\" after scripts/services up")
    })
}

#[test]
fn sigterm_under_load_takes_a_checkpoint_and_is_a_success() {
    let stage = Stage::new(&format!("{ENDLESS}{}", spend("embedded")));
    let mut engine = stage.start(&["--checkpoint-interval", "3600"]);
    stage.wait_for_read(20_000);
    engine.signal("-TERM");
    let (code, said) = engine.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("checkpoint 2"), "{said}");
    // What was read is in it: the next run goes on from there.
    let (out, _) = stage.succeeds(&["sql", "--format", "csv", "-e", "SELECT SUM(n) FROM spend"]);
    let sum: u64 = out.lines().last().unwrap().parse().unwrap();
    assert!(sum >= 20_000, "{out}");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let stage = Stage::new(&format!("{ENDLESS}{}", spend("embedded")));
    let mut engine = stage.start(&["--checkpoint-interval", "3600"]);
    stage.wait_for_read(1_000);
    engine.signal("-TERM");
    engine.signal("-INT");
    let (code, said) = engine.ended();
    // Where the checkpoint was faster there is nothing left to interrupt.
    assert!(code == Some(130) || code == Some(0), "{code:?}\n{said}");
}

#[test]
fn sigterm_with_a_store_that_does_not_answer_still_takes_a_checkpoint_in_time() {
    let address = redis_url();
    let address = address.trim_start_matches("redis://").trim_end_matches('/');
    let proxy = Proxy::plain(address);
    let stage = Stage::new(&format!("{ENDLESS}{}", spend(&format!("redis://{}/5", proxy.address))));
    let mut engine = stage.start(&["--checkpoint-interval", "3600", "--stop-timeout", "20"]);
    stage.wait_for_read(5_000);
    proxy.hold();
    // Lanes stand still once the queue before the store is full.
    poll::pause(Duration::from_secs(2));
    engine.signal("-TERM");
    let (code, said) = engine.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("checkpoint 2"), "{said}");
}

#[test]
fn a_stop_that_takes_too_long_is_an_error_that_names_the_last_checkpoint() {
    let address = redis_url();
    let address = address.trim_start_matches("redis://").trim_end_matches('/');
    let proxy = Proxy::plain(address);
    let stage = Stage::new(&format!("{ENDLESS}{}", spend(&format!("redis://{}/5", proxy.address))));
    let mut engine = stage.start(&["--checkpoint-interval", "3600", "--stop-timeout", "1"]);
    stage.wait_for_read(5_000);
    proxy.hold();
    poll::pause(Duration::from_secs(2));
    engine.signal("-TERM");
    let (code, said) = engine.ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not stopped within 1 s") && said.contains("checkpoint 1"), "{said}");
}

#[test]
fn state_beyond_its_memory_is_saved_and_the_engine_says_who_holds_it() {
    let stage = Stage::new(&format!("{ENDLESS}{}", spend("embedded")));
    let said = stage.fails(&["run", "--no-http", "--memory", "3MB"], 1);
    assert!(said.contains("of 3000 kB allowed: spend "), "{said}");
    assert!(said.contains("--memory"), "{said}");
    let (out, _) = stage.succeeds(&["sql", "--format", "csv", "-e", "SELECT SUM(n) FROM spend"]);
    let sum: u64 = out.lines().last().unwrap().parse().unwrap();
    assert!(sum > 10_000, "the checkpoint taken at the end holds what was read: {out}");
}

#[test]
fn checkpoints_elsewhere_are_remembered_and_two_engines_never_write_them() {
    let stage = Stage::new(&format!("{ENDLESS}{}", spend("embedded")));
    let url = format!("file://{}", stage.path("elsewhere/checkpoints").display());
    let interval = ["--checkpoint-interval", "0.2"];
    let mut first = stage.start(&[&["--checkpoints", url.as_str()], &interval[..]].concat());
    stage.wait_for_epoch(3);
    assert!(!stage.path("home/checkpoints").exists());
    // Another home with the same definitions takes over; the first stops at its next commit.
    let apply = ["apply", "all.sql"];
    assert!(stage.command_in("second", &apply).output().unwrap().status.success());
    let second = [&["--checkpoints", url.as_str()], &interval[..]].concat();
    // Where the first commits in the very moment between, the second is refused.
    let mut second = poll::until("a takeover", LIMIT, || {
        let mut engine = stage.start_in("second", &second);
        poll::until("one of two ends", LIMIT, || {
            let first = first.child.try_wait().unwrap().is_some();
            let second = engine.child.try_wait().unwrap();
            (first || second.is_some()).then_some(())
        });
        match engine.child.try_wait().unwrap() {
            None => Some(engine),
            Some(status) => {
                assert_eq!(status.code(), Some(75), "{}", engine.ended().1);
                None
            }
        }
    });
    let (code, said) = first.ended();
    assert_eq!(code, Some(75), "{said}");
    poll::until("a checkpoint of the second", LIMIT, || {
        let output = stage.command_in("second", &["status", "--format", "json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (status["checkpoint"]["epoch"].as_u64() > Some(6)).then_some(())
    });
    second.signal("-TERM");
    let (code, said) = second.ended();
    assert_eq!(code, Some(0), "{said}");
    // The first home knows where its checkpoints are, and keeps to it.
    let (out, _) = stage.succeeds(&["sql", "--format", "csv", "-e", "SELECT SUM(n) FROM spend"]);
    assert!(out.lines().last().unwrap().parse::<u64>().unwrap() > 0, "{out}");
    let said = stage.fails(&["run", "--no-http", "--checkpoints", "another"], 2);
    assert!(said.contains("the checkpoints of this home are in") && said.contains(&url), "{said}");
}

#[test]
fn a_store_is_filled_again_on_demand_with_and_without_an_engine() {
    let url = redis_url();
    let url = format!("{}/6", url.trim_end_matches('/'));
    let definitions = ENDLESS.replace("'datagen'", "'datagen', 'rows' = '20000'");
    let stage = Stage::new(&format!("{definitions}{}", spend(&url)));
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd("FLUSHDB").exec(&mut connection).unwrap();
    let keys = |connection: &mut redis::Connection| -> Vec<String> {
        let mut keys: Vec<String> = redis::cmd("KEYS").arg("spend:*").query(connection).unwrap();
        keys.sort();
        keys
    };
    let counts = |connection: &mut redis::Connection| -> Vec<(String, String)> {
        let keys = keys(connection).into_iter();
        keys.map(|key| {
            let n = redis::cmd("HGET").arg(&key).arg("n").query(connection).unwrap();
            (key, n)
        })
        .collect()
    };
    stage.succeeds(&["run", "--until", "now", "--no-http"]);
    let whole = counts(&mut connection);
    assert!(whole.len() > 10, "{} entities", whole.len());
    // Lost, and one mangled by somebody else.
    let spoil = |connection: &mut redis::Connection| {
        for (key, _) in &whole[1..] {
            redis::cmd("DEL").arg(key).exec(connection).unwrap();
        }
        redis::cmd("HSET").arg(&whole[0].0).arg("n").arg("-1").exec(connection).unwrap();
    };
    spoil(&mut connection);
    let (_, said) = stage.succeeds(&["online", "rebuild", "spend"]);
    assert!(said.contains("entities of 'spend' written from the last checkpoint"), "{said}");
    assert_eq!(counts(&mut connection), whole);
    // A running engine does it itself.
    let mut engine = stage.start(&[]);
    poll::until("the engine", LIMIT, || stage.status());
    poll::until("its own filling", LIMIT, || (counts(&mut connection) == whole).then_some(()));
    spoil(&mut connection);
    let (_, said) = stage.succeeds(&["online", "rebuild", "spend"]);
    assert!(said.contains("the running engine writes every value"), "{said}");
    poll::until("every value", LIMIT, || (counts(&mut connection) == whole).then_some(()));
    engine.signal("-TERM");
    assert_eq!(engine.ended().0, Some(0));
    stage.fails(&["online", "rebuild", "nobody"], 2);
}
