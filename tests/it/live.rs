//! Definitions that change under a running engine: features are added, replaced and dropped, a
//! change fails, and the features that are not concerned neither fail a reader nor lose a row.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use crate::poll;
use crate::process::Process;
use crate::restart::{EVER, Folder, HOUR, MINUTE, append, source, trailing};

const LIMIT: Duration = Duration::from_secs(60);

/// A running engine; killed when dropped.
struct Engine {
    child: Process,
    address: String,
}

impl Engine {
    fn start(folder: &Folder) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
        command.arg("--home").arg(folder.path("home")).env_remove("SKEWLESS_HOME");
        command.current_dir(folder.path("."));
        command.args(["run", "--http", "127.0.0.1:0", "--checkpoint-interval", "1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = Process(command.spawn().unwrap());
        let address = poll::until("the engine announces itself", LIMIT, || {
            let text = std::fs::read_to_string(folder.path("home/engine.json")).ok()?;
            let info: Value = serde_json::from_str(&text).ok()?;
            Some(info["http"].as_str()?.to_owned())
        });
        Self { child, address }
    }

    /// Waits until `feature` counts `n` rows of user 1.
    fn wait(&self, feature: &str, n: u64) {
        poll::until("the rows are read", LIMIT, || {
            let (status, body) = get(&self.address, &format!("/features/{feature}/1"));
            (status == 200 && count(&body)? == n).then_some(())
        });
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Tells a reader to stop when dropped, also by a panic.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The value `n` of an answer.
fn count(body: &str) -> Option<u64> {
    serde_json::from_str::<Value>(body).ok()?["values"]["n"].as_u64()
}

/// How many of the rows `0..to` are of user 1.
fn of_user_1(to: u32) -> u64 {
    (0..to).filter(|i| i * 7 % 3 == 1).count() as u64
}

/// Asks for `everything/1` until told to stop: every answer is one, and counts never go back.
fn read_on(address: &str, stop: &AtomicBool) -> u64 {
    let (mut newest, mut answers) = (0, 0);
    while !stop.load(Relaxed) {
        let (status, body) = get(address, "/features/everything/1");
        assert_eq!(status, 200, "{body}");
        let n = count(&body).unwrap();
        assert!(n >= newest, "{n} after {newest}");
        (newest, answers) = (n, answers + 1);
    }
    answers
}

fn definitions() -> String {
    [
        source("clicks"),
        trailing("everything", "clicks", "COUNT(*) OVER w AS n, SUM(amount) OVER w AS s", EVER),
        trailing("replaced", "clicks", "SUM(amount) OVER w AS s", MINUTE),
        trailing("dropped", "clicks", "MAX(amount) OVER w AS m", HOUR),
        "CREATE FEATURE per_minute AS SELECT user_id, VAR_POP(amount) AS v, window_end
         FROM TUMBLE(clicks, event_time, INTERVAL '1 minute') GROUP BY user_id, window_end;\n"
            .to_owned(),
    ]
    .concat()
}

#[test]
fn definitions_change_under_a_running_engine_without_disturbing_the_others() {
    let folder = Folder::new();
    let clicks = folder.path("clicks.ndjson");
    std::fs::write(folder.path("all.sql"), definitions()).unwrap();
    append(&clicks, 0, 400);
    folder.succeeds(&["apply", "all.sql"]);
    let engine = Engine::start(&folder);
    engine.wait("everything", of_user_1(400));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_on(&engine.address, &stop));
        let _ends = Ending(&stop);
        change(&folder);
        append(&clicks, 500, 900);
        // A file is read up to its end as it is when an engine starts, or goes on.
        let nudge = trailing("nudge", "clicks", "MIN(amount) OVER w AS m", HOUR);
        folder.succeeds(&["sql", "-e", &nudge]);
        engine.wait("everything", of_user_1(900));
        stop.store(true, Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    engine.stop();
    folder.succeeds(&["run", "--until", "end", "--no-http"]);
    for feature in ["everything", "per_minute", "past", "past_minutes"] {
        folder.equals_backfill(feature);
    }
    // Fresh state: rows from where they began, counted from one.
    for feature in ["added", "replaced"] {
        let text = folder.succeeds(&[
            "sql",
            "--format",
            "csv",
            "-e",
            &format!("SELECT user_id, MIN(n), MAX(n), COUNT(*) FROM HISTORY({feature}) GROUP BY 1"),
        ]);
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows.len(), 3, "{text}");
        for row in rows {
            let fields: Vec<u64> = row.split(',').map(|f| f.parse().unwrap()).collect();
            assert_eq!((fields[1], fields[2]), (1, fields[3]), "{text}");
            assert!(fields[3] >= 400 / 3 && fields[3] < 900 / 3, "{text}");
        }
    }
}

/// Adds, replaces and drops, with rows in between; and a change that cannot be made.
fn change(folder: &Folder) {
    let clicks = folder.path("clicks.ndjson");
    let added = trailing("added", "clicks", "COUNT(*) OVER w AS n", EVER);
    std::fs::write(folder.path("added.sql"), added).unwrap();
    let text = folder.succeeds(&["apply", "added.sql"]);
    assert!(text.contains("added     feature added"), "{text}");
    append(&clicks, 400, 450);
    let window = "SELECT user_id, SUM(amount) AS s, COUNT(DISTINCT amount) AS d, window_end
        FROM TUMBLE(clicks, event_time, INTERVAL '1 minute') GROUP BY user_id, window_end";
    let more = format!(
        "CREATE FEATURE past WITH ('bootstrap' = 'history') AS SELECT user_id,
         COUNT(*) OVER w AS n, STDDEV(amount) OVER w AS s FROM clicks
         WINDOW w AS (PARTITION BY user_id ORDER BY event_time {HOUR});
         CREATE FEATURE past_minutes WITH ('bootstrap' = 'history') AS {window};"
    );
    std::fs::write(folder.path("past.sql"), more).unwrap();
    let output = folder.skewless(&["apply", "past.sql"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("rows of history; goes on from 0:400 (partition:offset)"), "{text}");
    let replaced = trailing("replaced", "clicks", "COUNT(*) OVER w AS n", EVER);
    std::fs::write(folder.path("replaced.sql"), replaced).unwrap();
    folder.fails(&["apply", "replaced.sql"], "--replace");
    let text = folder.succeeds(&["apply", "replaced.sql", "--replace"]);
    assert!(text.contains("changed   feature replaced"), "{text}");
    append(&clicks, 450, 500);
    folder.succeeds(&["sql", "-e", "DROP FEATURE dropped"]);
    let unreachable = "CREATE FEATURE nowhere WITH ('online' = 'redis://127.0.0.1:1/') AS
        SELECT user_id, COUNT(*) OVER w AS n FROM clicks
        WINDOW w AS (PARTITION BY user_id ORDER BY event_time)";
    folder.fails(&["sql", "-e", unreachable], "nothing was changed");
    let text = folder.succeeds(&["sql", "-e", "SHOW FEATURES"]);
    assert!(!text.contains("nowhere") && !text.contains("dropped"), "{text}");
    // Nothing that runs is concerned.
    folder.succeeds(&["sql", "-e", &source("views")]);
    let all = ["everything", "per_minute", "replaced", "added", "past", "past_minutes"];
    let drops = all.map(|feature| format!("DROP FEATURE {feature};")).concat();
    std::fs::write(folder.path("none.sql"), drops).unwrap();
    folder.fails(&["apply", "none.sql"], "no feature left");
}
