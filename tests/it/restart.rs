//! Runs that follow one another on one home: what is dropped, left out or added between them must
//! not disturb what goes on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub struct Folder {
    directory: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn skewless(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
        command.arg("--home").arg(self.path("home")).env_remove("SKEWLESS_HOME");
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command.args(arguments).output().unwrap()
    }

    #[track_caller]
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.skewless(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}\n{stdout}\n{stderr}");
        stdout
    }

    #[track_caller]
    pub fn fails(&self, arguments: &[&str], expected: &str) {
        let output = self.skewless(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} succeeded");
        assert!(stderr.contains(expected), "{stderr}");
    }

    /// Runs to what is there now, with a checkpoint.
    fn run_now(&self, more: &[&str]) {
        self.succeeds(&[&["run", "--until", "now", "--no-http"], more].concat());
    }

    /// The final rows of a feature are those of a backfill, bit for bit, and there are some.
    #[track_caller]
    pub fn equals_backfill(&self, feature: &str) {
        let out = format!("backfill-{feature}/");
        let arguments = ["backfill", feature, "--out", &out, "--overwrite", "--compare"];
        let text = self.succeeds(&arguments);
        let line = text.lines().last().unwrap();
        assert!(line.ends_with("rows compared, 0 different"), "{text}");
        assert!(!line.starts_with("parity: 0 rows"), "{text}");
    }
}

/// Rows `from..to` of a source, in order of time, three users.
pub fn append(file: &Path, from: u32, to: u32) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    for i in from..to {
        let (user, minute, second) = (i * 7 % 3, i / 60, i % 60);
        writeln!(
            file,
            r#"{{"user_id":{user},"amount":{}.5,"event_time":"2026-03-01T1{}:{:02}:{second:02}Z"}}"#,
            i * 13 % 29,
            minute / 60,
            minute % 60,
        )
        .unwrap();
    }
}

pub fn source(name: &str) -> String {
    format!(
        "CREATE SOURCE {name} (
            user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
            WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds'
        ) WITH ('connector' = 'file', 'path' = '{name}.ndjson', 'format' = 'json');\n"
    )
}

pub fn trailing(name: &str, source: &str, aggregates: &str, frame: &str) -> String {
    format!(
        "CREATE FEATURE {name} AS SELECT user_id, {aggregates} FROM {source}
         WINDOW w AS (PARTITION BY user_id ORDER BY event_time {frame});\n"
    )
}

pub const MINUTE: &str = "RANGE BETWEEN INTERVAL '1 minute' PRECEDING AND CURRENT ROW";
pub const HOUR: &str = "RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW";
pub const EVER: &str = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";

#[test]
fn a_dropped_feature_leaves_the_state_it_shared_to_the_others() {
    let folder = Folder::new();
    let definitions = [
        source("clicks"),
        trailing("a", "clicks", "SUM(amount) OVER w AS s", MINUTE),
        trailing("b", "clicks", "MAX(amount) OVER w AS m, STDDEV(amount) OVER w AS d", HOUR),
        trailing("c", "clicks", "AVG(amount) OVER w AS a, VAR_POP(amount) OVER w AS v", EVER),
        trailing("d", "clicks", "AVG(amount) OVER w AS a", EVER),
        "CREATE FEATURE per_minute AS SELECT user_id, COUNT(*) AS n, window_end
         FROM TUMBLE(clicks, event_time, INTERVAL '1 minute') GROUP BY user_id, window_end;\n"
            .to_owned(),
        "CREATE FEATURE per_minute_sum AS SELECT user_id, VAR_POP(amount) AS n, window_end
         FROM TUMBLE(clicks, event_time, INTERVAL '1 minute') GROUP BY user_id, window_end;\n"
            .to_owned(),
    ];
    std::fs::write(folder.path("all.sql"), definitions.concat()).unwrap();
    append(&folder.path("clicks.ndjson"), 0, 400);
    folder.succeeds(&["apply", "all.sql"]);
    folder.run_now(&[]);
    append(&folder.path("clicks.ndjson"), 400, 500);
    folder.fails(&["run", "--until", "now", "--no-http", "--feature", "a"], "without 'b'");
    folder.succeeds(&["sql", "-e", "DROP FEATURE b; DROP FEATURE c; DROP FEATURE per_minute_sum"]);
    folder.run_now(&[]);
    append(&folder.path("clicks.ndjson"), 500, 900);
    folder.succeeds(&["run", "--until", "end", "--no-http"]);
    for feature in ["a", "d", "per_minute"] {
        folder.equals_backfill(feature);
    }
}

#[test]
fn a_source_left_out_of_a_run_continues_where_it_was() {
    let folder = Folder::new();
    let definitions = [
        source("clicks"),
        source("views"),
        trailing("of_clicks", "clicks", "SUM(amount) OVER w AS s", HOUR),
        trailing("of_views", "views", "SUM(amount) OVER w AS s", HOUR),
    ];
    std::fs::write(folder.path("all.sql"), definitions.concat()).unwrap();
    let both = |from, to| {
        append(&folder.path("clicks.ndjson"), from, to);
        append(&folder.path("views.ndjson"), from, to);
    };
    both(0, 300);
    folder.succeeds(&["apply", "all.sql"]);
    folder.run_now(&[]);
    both(300, 600);
    folder.run_now(&["--feature", "of_clicks"]);
    folder.run_now(&["--feature", "of_views"]);
    both(600, 700);
    folder.succeeds(&["run", "--until", "end", "--no-http"]);
    folder.equals_backfill("of_clicks");
    folder.equals_backfill("of_views");
}
