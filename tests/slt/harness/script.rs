//! Reads `.slt` files: sqllogictest's syntax with five records of our own. Called by `main`.
//!
//! ```text
//! statement ok                      a statement that must succeed
//! statement error <regex>           … that must fail with a message (and hint) that matches
//! query IRTB [rowsort]              a query and, after ----, its rows
//! rows <source> [partition <n>]     records appended to a partition's log, one a line, as JSON;
//!                                   `@<time> ` before one is its Kafka timestamp,
//!                                   `!` alone a null value
//! generate <source>                 the rows of a CREATE SOURCE … datagen statement, appended to
//!                                   partition 0 of a source's log
//! file <path>                       the statements of a file of the repository
//! oracle <feature>                  stock SQL for the automatic oracle, where it cannot
//!                                   rewrite the feature itself
//! oracle <feature> none <reason>    no automatic oracle for this feature
//! oracle <feature> auto             the automatic oracle, for a feature of a file
//! log fixed <reason>                what is asked depends on the layout of the log, so
//!                                   `stream-split` keeps it
//! ```
//! A record ends at an empty line; `#` starts a comment line between records.

/// One record and the line it starts at.
#[derive(Clone, Debug)]
pub struct Record {
    pub line: usize,
    pub kind: RecordKind,
}

#[derive(Clone, Debug)]
pub enum RecordKind {
    Ok {
        sql: String,
    },
    /// Statements that must succeed; no feature of them has an automatic oracle.
    File {
        sql: String,
    },
    Error {
        pattern: String,
        sql: String,
    },
    Query {
        types: String,
        rowsort: bool,
        sql: String,
        expected: Vec<String>,
    },
    Rows {
        source: String,
        partition: u32,
        records: Vec<LogRecord>,
    },
    /// The rows of a generated source.
    Generate {
        source: String,
        sql: String,
    },
    Oracle {
        feature: String,
        sql: Option<String>,
    },
    /// The automatic oracle judges a feature of a file too.
    Automatic {
        feature: String,
    },
    FixedLog,
}

/// A line of a `rows` record.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// Kafka timestamp as written.
    pub timestamp: Option<String>,
    /// `None` = a record without a value.
    pub value: Option<String>,
}

/// Parses a whole file.
pub fn parse(text: &str) -> Result<Vec<Record>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut records, mut at) = (Vec::new(), 0);
    while at < lines.len() {
        let line = lines[at].trim_end();
        if line.is_empty() || line.starts_with('#') {
            at += 1;
            continue;
        }
        let start = at + 1;
        at += 1;
        let from = at;
        while at < lines.len() && !lines[at].trim().is_empty() {
            at += 1;
        }
        let body = &lines[from..at];
        let kind = record(line, body).map_err(|e| format!("line {start}: {e}"))?;
        records.push(Record { line: start, kind });
    }
    Ok(records)
}

fn record(head: &str, body: &[&str]) -> Result<RecordKind, String> {
    let words: Vec<&str> = head.split_whitespace().collect();
    let sql = || body.join("\n");
    match words.as_slice() {
        ["statement", "ok"] => Ok(RecordKind::Ok { sql: sql() }),
        ["statement", "error", ..] => {
            let pattern = head["statement error".len()..].trim().to_owned();
            match pattern.is_empty() {
                true => Err("`statement error` without the message".into()),
                false => Ok(RecordKind::Error { pattern, sql: sql() }),
            }
        }
        ["file", path] => {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(root.join(path));
            Ok(RecordKind::File { sql: text.map_err(|e| format!("{path}: {e}"))? })
        }
        ["query", types, rest @ ..] => query(types, rest, body),
        ["rows", source] => rows(source, 0, body),
        ["rows", source, "partition", n] => {
            rows(source, n.parse().map_err(|e| format!("partition {n}: {e}"))?, body)
        }
        ["generate", source] => Ok(RecordKind::Generate { source: (*source).into(), sql: sql() }),
        ["oracle", feature, "none", ..] if words.len() > 3 => {
            Ok(RecordKind::Oracle { feature: (*feature).into(), sql: None })
        }
        ["oracle", feature, "auto"] => Ok(RecordKind::Automatic { feature: (*feature).into() }),
        ["oracle", feature] if !body.is_empty() => {
            Ok(RecordKind::Oracle { feature: (*feature).into(), sql: Some(sql()) })
        }
        ["log", "fixed", ..] if words.len() > 2 => Ok(RecordKind::FixedLog),
        _ => Err(format!("no record starts with: {head}")),
    }
}

fn query(types: &str, rest: &[&str], body: &[&str]) -> Result<RecordKind, String> {
    if let Some(odd) = types.chars().find(|c| !"IRTB".contains(*c)) {
        return Err(format!("no column type {odd}: I, R, T or B"));
    }
    let rowsort = match rest {
        [] => false,
        ["rowsort"] => true,
        _ => return Err(format!("no sort mode {rest:?}")),
    };
    let split = body.iter().position(|l| l.trim() == "----").ok_or("a query without ----")?;
    let expected = body[split + 1..].iter().map(|l| l.trim().to_owned()).collect();
    Ok(RecordKind::Query { types: types.into(), rowsort, sql: body[..split].join("\n"), expected })
}

fn rows(source: &str, partition: u32, body: &[&str]) -> Result<RecordKind, String> {
    let mut records = Vec::new();
    for line in body {
        let line = line.trim();
        let (timestamp, value) = match line.strip_prefix('@').and_then(|l| l.split_once(' ')) {
            Some((time, value)) => (Some(time.to_owned()), value.trim()),
            None => (None, line),
        };
        let value = (value != "!").then(|| value.to_owned());
        records.push(LogRecord { timestamp, value });
    }
    Ok(RecordKind::Rows { source: source.into(), partition, records })
}

/// The parser is checked on a text with every record.
pub fn self_check() -> Result<(), String> {
    let text = "# c\nstatement ok\nA\nB\n\nstatement error no such .*\nC\n\nrows s partition 2\n\
                {\"a\":1}\n@1970-01-01 {}\n!\n\nquery IR rowsort\nSELECT\n----\n1 2.0\n\n\
                oracle f none because\n\nlog fixed ties\n";
    let records = parse(text)?;
    let shown = format!("{records:?}");
    let parts =
        ["sql: \"A\\nB\"", "no such .*", "partition: 2", "\"1 2.0\"", "FixedLog", "value: None"];
    match parts.iter().find(|p| !shown.contains(**p)) {
        Some(lost) => Err(format!("{lost} is not in {shown}")),
        None if records.len() != 6 => Err(format!("{} records: {shown}", records.len())),
        None => match parse("query X\n----\n") {
            Ok(_) => Err("a query of type X was accepted".into()),
            Err(_) => Ok(()),
        },
    }
}
