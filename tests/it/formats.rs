//! Old checkpoints load. Each directory below `tests/fixtures` is a home as some version left it
//! when it was killed: chains of changed state, rows that no final file holds yet, final files
//! before them. The program must give the values recorded then, go on from there, and end with
//! final rows that equal a backfill bit for bit.
//!
//! A change of the manifest's or a state file's layout gets a new number there, the old one stays
//! readable, and a new fixture is added (`docs/checkpoints.md`, "Formats"):
//! `SKEWLESS_WRITE_FIXTURE=tests/fixtures/NAME cargo test --test it -- formats`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::poll;

const LIMIT: Duration = Duration::from_secs(60);

/// Every kind of operator; few keys, some of which expire.
const DEFINITIONS: &str = include_str!("../fixtures/checkpoint-1/all.sql");

const FEATURES: [&str; 6] = ["recent", "ever", "tumbled", "hopped", "sessions", "busy"];

fn skewless(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.args(["--home", "home"]).args(arguments).stdin(Stdio::null());
    command.env_remove("SKEWLESS_HOME").current_dir(directory);
    command
}

#[track_caller]
fn succeeds(directory: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = skewless(directory, arguments).output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{arguments:?}\n{out}\n{said}");
    out.into_owned()
}

/// The current values of every feature, from the state.
fn values(directory: &Path) -> String {
    let mut all = String::new();
    for feature in FEATURES {
        let select = format!("SELECT * FROM {feature} ORDER BY 1");
        all += &format!("-- {feature}\n");
        all += &succeeds(directory, &["sql", "--format", "csv", "-e", &select]);
    }
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => assert!(std::fs::copy(&path, &target).is_ok(), "{}", path.display()),
        }
    }
}

/// What the newest manifest names more than once, and what it carries.
fn newest_manifest(home: &Path) -> serde_json::Value {
    let entries = std::fs::read_dir(home.join("checkpoints")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let newest = paths.filter(|path| path.extension().is_some_and(|e| e == "json")).max().unwrap();
    let text = std::fs::read_to_string(newest).unwrap();
    serde_json::from_str(text.split_once('\n').unwrap().1).unwrap()
}

/// A home killed in the middle, with what it knew.
fn write(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("all.sql"), DEFINITIONS).unwrap();
    succeeds(directory, &["apply", "all.sql"]);
    let run = ["run", "--http", "127.0.0.1:0", "--checkpoint-interval", "0.3", "--lanes", "2"];
    let mut engine = skewless(directory, &run).stderr(Stdio::null()).spawn().unwrap();
    poll::until("seven checkpoints", LIMIT, || {
        let status = skewless(directory, &["status", "--format", "json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["checkpoint"]["epoch"].as_u64() > Some(6)).then_some(())
    });
    engine.kill().unwrap();
    engine.wait().unwrap();
    std::fs::write(directory.join("values.csv"), values(directory)).unwrap();
    let _ = std::fs::remove_file(directory.join("home/lock"));
    let _ = std::fs::remove_file(directory.join("home/engine.json"));
}

#[test]
fn every_checkpoint_format_ever_written_is_restored_and_goes_on_bit_for_bit() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    if let Some(name) = std::env::var_os("SKEWLESS_WRITE_FIXTURE") {
        write(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name));
    }
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let fixture = entry.unwrap().path();
        let name = fixture.file_name().unwrap().to_string_lossy().into_owned();
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        copy(&fixture, directory);
        let manifest = newest_manifest(&directory.join("home"));
        let state = manifest["state"].as_array().unwrap();
        let of = |group: &str| state.iter().filter(|f| f["group"] == group).count();
        assert!(of("carried") > 1, "{name}: rows carried in a chain");
        let parts = state.iter().map(|f| (f["group"].as_str(), f["part"].as_str()));
        let parts: std::collections::BTreeSet<_> = parts.collect();
        assert!(state.len() > parts.len() + 2, "{name}: changes over whole state");
        let expected = std::fs::read_to_string(directory.join("values.csv")).unwrap();
        assert_eq!(values(directory), expected, "{name}");
        succeeds(directory, &["run", "--until", "end", "--no-http"]);
        for feature in FEATURES {
            let out = format!("{feature}-again/");
            let arguments = ["backfill", feature, "--out", &out, "--compare"];
            let text = succeeds(directory, &arguments);
            let line = text.lines().last().unwrap();
            assert!(line.ends_with("rows compared, 0 different"), "{name}: {text}");
            assert!(!line.starts_with("parity: 0 rows"), "{name}: {text}");
        }
        seen += 1;
    }
    assert!(seen > 0, "no fixtures");
}
