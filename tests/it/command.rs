//! The binary as a person uses it: help, exit codes, where output goes, the piped shell, the demo.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::poll;

fn skewless(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.arg("--home").arg(home).env_remove("SKEWLESS_HOME").env_remove("SKEWLESS_LOG");
    command.current_dir(home.parent().unwrap());
    command
}

/// A home that does not exist yet, in a directory that goes away.
fn new_home() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    (directory, home)
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    skewless(home).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}\n{}", stdout(output), stderr(output));
}

const SOURCE: &str = "
CREATE SOURCE clicks (
    user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH ('connector' = 'file', 'path' = 'clicks.ndjson', 'format' = 'json');
";
const FEATURE: &str = "
CREATE FEATURE clicks_1h AS
SELECT user_id, COUNT(*) OVER w AS clicks, SUM(amount) OVER w AS amount
FROM clicks
WINDOW w AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
";
const CLICKS: &str = r#"{"user_id":1,"amount":1.5,"event_time":"2026-03-01T10:00:00Z"}
{"user_id":2,"amount":0.5,"event_time":"2026-03-01T10:10:00Z"}
{"user_id":1,"amount":2.5,"event_time":"2026-03-01T10:30:00Z"}
{"user_id":1,"amount":9,"event_time":"2026-03-01T09:00:00Z"}
not json
"#;

/// A home beside definitions and their data.
fn home_with_clicks() -> (tempfile::TempDir, std::path::PathBuf) {
    let (directory, home) = new_home();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("clicks.ndjson", CLICKS);
    write("clicks.sql", &format!("{SOURCE}{FEATURE}"));
    (directory, home)
}

#[test]
fn help_and_version_need_nothing_and_name_every_command() {
    let (_keep, home) = new_home();
    let help = run(&home, &["--help"]);
    succeeded(&help);
    for command in [
        "sql",
        "apply",
        "run",
        "backfill",
        "training-set",
        "get",
        "status",
        "dead-letters",
        "produce",
        "demo",
    ] {
        assert!(stdout(&help).contains(&format!("  {command} ")), "{command}: {}", stdout(&help));
    }
    let version = run(&home, &["--version"]);
    assert_eq!(stdout(&version), format!("skewless {}\n", env!("CARGO_PKG_VERSION")));
    assert!(!home.exists());
}

#[test]
fn wrong_arguments_and_what_is_not_built_have_exit_code_2() {
    let (_keep, home) = new_home();
    let training_set =
        ["training-set", "--labels", "l", "--time", "t", "--features", "f", "--out", "o"];
    let lines: [&[&str]; 4] = [
        &["no-such-command"],
        &["run", "--until", "later"],
        // There is no feature 'f'.
        &training_set,
        &["apply", "missing.sql"],
    ];
    for line in lines {
        let output = run(&home, line);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{line:?}");
        assert!(stderr(&output).contains("error: "), "{line:?}: {}", stderr(&output));
    }
}

#[test]
fn sql_prints_results_only_to_standard_output() {
    let (_keep, home) = new_home();
    let output = run(&home, &["sql", "-e", "SELECT 1 AS a, 'x' AS b", "--format", "csv"]);
    succeeded(&output);
    assert_eq!(stdout(&output), "a,b\n1,x\n");
    let output = run(&home, &["sql", "-e", "SELECT 1 +"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains('^'), "{}", stderr(&output));
}

#[test]
fn an_unknown_column_is_answered_with_the_one_that_was_meant() {
    let (directory, home) = home_with_clicks();
    let wrong = FEATURE.replace("SUM(amount)", "SUM(amont)");
    std::fs::write(directory.path().join("wrong.sql"), format!("{SOURCE}{wrong}")).unwrap();
    let output = run(&home, &["apply", "wrong.sql"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("wrong.sql:"), "{}", stderr(&output));
    assert!(stderr(&output).contains("amount"), "{}", stderr(&output));
    // All or nothing: the source before it was not kept either.
    let output = run(&home, &["sql", "-e", "SHOW SOURCES", "--format", "csv"]);
    assert!(!stdout(&output).contains("clicks"), "{}", stdout(&output));
}

#[test]
fn a_group_of_all_windows_is_what_sql_says_and_no_feature() {
    let (_directory, home) = home_with_clicks();
    succeeded(&run(&home, &["apply", "clicks.sql"]));
    let source = "TUMBLE(clicks, event_time, INTERVAL '1 second')";
    let all = format!("SELECT COUNT(*) AS n FROM (SELECT 1 AS one, * FROM {source})");
    let together =
        format!("SELECT one, COUNT(*) AS n FROM (SELECT 1 AS one, * FROM {source}) GROUP BY one");
    let count = |sql: &str| {
        let output = run(&home, &["sql", "--format", "csv", "-e", sql]);
        stdout(&output)
            .lines()
            .skip(1)
            .map(|line| line.rsplit(',').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let direct = format!("SELECT user_id, COUNT(*) AS n FROM {source} GROUP BY user_id ORDER BY 1");
    let plain = "SELECT user_id, COUNT(*) AS n FROM clicks GROUP BY user_id ORDER BY 1";
    assert_eq!(count(&direct), count(plain));
    assert_eq!(count(&all), count(&together));
    let feature = format!(
        "CREATE FEATURE wrong AS SELECT user_id, COUNT(*) AS n FROM {source} GROUP BY user_id"
    );
    let said = stderr(&run(&home, &["sql", "-e", &feature]));
    assert!(said.contains("GROUP BY leaves out the window"), "{said}");
}

#[test]
fn a_table_that_is_none_is_told_in_the_words_of_users() {
    let (_directory, home) = home_with_clicks();
    succeeded(&run(&home, &["apply", "clicks.sql"]));
    for (table, says) in [
        ("click", "there is no source or feature 'click'"),
        ("click", "did you mean 'clicks'?"),
        ("'nothing.parquet'", "there is no file 'nothing.parquet'"),
        ("'clicks.txt'", "files end in .parquet, .csv or .json"),
    ] {
        let output = run(&home, &["sql", "-e", &format!("SELECT * FROM {table}")]);
        assert_eq!(output.status.code(), Some(2), "{table}");
        let said = stderr(&output);
        assert!(said.contains(says) && !said.contains("datafusion"), "{table}: {said}");
    }
}

#[test]
fn definitions_run_and_backfill_agree_and_dead_letters_can_be_read() {
    let (_directory, home) = home_with_clicks();
    let first = run(&home, &["apply", "clicks.sql"]);
    succeeded(&first);
    assert!(stdout(&first).contains("added     feature clicks_1h"), "{}", stdout(&first));
    let second = run(&home, &["apply", "clicks.sql"]);
    assert!(stdout(&second).contains("unchanged feature clicks_1h"), "{}", stdout(&second));
    let ran = run(&home, &["run", "--until", "end", "--no-http"]);
    succeeded(&ran);
    let counts = "5 read = 3 admitted + 1 late + 0 future + 1 rejected";
    assert!(stderr(&ran).contains(counts), "{}", stderr(&ran));
    let query = "SELECT user_id, clicks, amount FROM HISTORY(clicks_1h) ORDER BY event_time";
    let rows = run(&home, &["sql", "-e", query, "--format", "csv"]);
    assert_eq!(stdout(&rows), "user_id,clicks,amount\n1,1,1.5\n2,1,0.5\n1,2,4.0\n");
    let query = "SELECT reason FROM DEAD_LETTERS(clicks) ORDER BY reason";
    let dead = run(&home, &["sql", "-e", query, "--format", "csv"]);
    assert_eq!(stdout(&dead), "reason\ndecode\nlate\n");
    let backfilled = run(&home, &["backfill", "clicks_1h", "--out", "back/", "--compare"]);
    succeeded(&backfilled);
    assert_eq!(stdout(&backfilled), "parity: 3 rows compared, 0 different\n");
    let got = run(&home, &["get", "clicks_1h", "1", "--format", "json"]);
    succeeded(&got);
    assert!(stdout(&got).contains("\"clicks\":2,\"amount\":4.0"), "{}", stdout(&got));
}

#[test]
fn the_piped_shell_prints_no_prompts_and_fails_on_the_first_error() {
    let (_keep, home) = new_home();
    let mut child = skewless(&home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = b"SELECT 1\nAS a;\nSELECT nope;\nSELECT 2 AS b;\n";
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(stdout(&output), " a\n---\n 1\n(1 row)\n");
    assert!(stderr(&output).contains("nope"), "{}", stderr(&output));
}

#[test]
fn the_demo_ends_with_its_parity_line() {
    let (_keep, home) = new_home();
    let output = run(&home, &["demo", "--rows", "5000"]);
    succeeded(&output);
    let out = stdout(&output);
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with("parity: ") && last.ends_with(" rows compared, 0 different"), "{out}");
    assert!(!last.contains("parity: 0 "), "{out}");
    let rest = home.join("demo");
    for kept in ["offline", "history", "backfill"] {
        assert!(rest.join(kept).is_dir(), "{kept} is missing");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_takes_a_checkpoint_and_stops() {
    let (directory, home) = home_with_clicks();
    let file = "'connector' = 'file', 'path' = 'clicks.ndjson', 'format' = 'json'";
    let endless = SOURCE.replace(file, "'connector' = 'datagen', 'rate' = '1000'");
    std::fs::write(directory.path().join("endless.sql"), format!("{endless}{FEATURE}")).unwrap();
    let mut child = skewless(&home)
        .args(["run", "endless.sql", "--no-http", "--checkpoint-interval", "60"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    poll::until("the engine runs", Duration::from_secs(60), || {
        home.join("engine.json").exists().then_some(())
    });
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let status =
        poll::until("the engine stops", Duration::from_secs(60), || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let checkpoints = std::fs::read_dir(home.join("checkpoints")).unwrap().count();
    assert!(checkpoints > 0, "no checkpoint was taken");
}
