//! `skewless status`: what is defined, how far it is, and what holds it back.

use std::fmt::Write as _;

use crate::cli::args::{ResultFormat, StatusArgs};
use crate::cli::command::Session;
use crate::cli::engine::{FeatureStatus, SourceStatus, Status};
use crate::cli::script::Failure;
use crate::cli::table::aligned;
use crate::error::{Error, Result};

pub async fn run(args: &StatusArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let status = session.engine.status().await?;
    let text = match args.format {
        ResultFormat::Table => as_text(&status),
        ResultFormat::Json | ResultFormat::Ndjson => as_json(&status)?,
        ResultFormat::Csv => {
            let refused = Error::not_supported("a status as CSV: it is several tables");
            return Err(refused.with_hint("use --format json").into());
        }
    };
    session.console.write(&text)?;
    Ok(())
}

fn as_json(status: &Status) -> Result<String> {
    let json = serde_json::to_string(status).map_err(|e| Error::internal(e.to_string()))?;
    Ok(format!("{json}\n"))
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

fn table<const N: usize>(headers: [&str; N], numeric: [bool; N], rows: Vec<[String; N]>) -> String {
    let headers = headers.map(str::to_owned);
    aligned(&headers, &numeric, &rows.into_iter().flatten().collect::<Vec<_>>())
}

pub fn as_text(status: &Status) -> String {
    let mut out = format!("home        {}\n", status.home);
    let _ = match &status.running {
        Some(engine) => writeln!(
            out,
            "engine      running, process {}, HTTP {}",
            engine.pid,
            engine.address.as_deref().unwrap_or("off"),
        ),
        None => writeln!(out, "engine      not running"),
    };
    let _ = match &status.checkpoint {
        Some(last) if last.at.is_empty() => writeln!(out, "checkpoint  {}", last.epoch),
        Some(last) => writeln!(out, "checkpoint  {} at {}", last.epoch, last.at),
        None => writeln!(out, "checkpoint  none yet"),
    };
    out.push('\n');
    out.push_str(&sources(&status.sources));
    out.push('\n');
    out.push_str(&features(&status.features));
    for source in &status.sources {
        if let Some(note) = &source.note {
            let _ = writeln!(out, "\nsource {}: {note}", source.name);
        }
    }
    out
}

fn sources(sources: &[SourceStatus]) -> String {
    if sources.is_empty() {
        return "no sources\n".to_owned();
    }
    let row = |s: &SourceStatus| {
        let held: Vec<String> = s.held_by.iter().map(u32::to_string).collect();
        [
            s.name.clone(),
            s.connector.clone(),
            s.partitions.to_string(),
            or_dash(s.lag),
            or_dash(s.watermark.as_ref()),
            if held.is_empty() { "-".to_owned() } else { held.join(",") },
            s.counts.read.to_string(),
            s.counts.admitted.to_string(),
            s.counts.late.to_string(),
            s.counts.future.to_string(),
            s.counts.rejected.to_string(),
        ]
    };
    let headers = [
        "source",
        "connector",
        "partitions",
        "lag",
        "watermark",
        "held by",
        "read",
        "admitted",
        "late",
        "future",
        "rejected",
    ];
    let (t, f) = (true, false);
    let numeric = [f, f, t, t, f, f, t, t, t, t, t];
    table(headers, numeric, sources.iter().map(row).collect())
}

fn features(features: &[FeatureStatus]) -> String {
    if features.is_empty() {
        return "no features\n".to_owned();
    }
    let row = |f: &FeatureStatus| {
        [
            f.name.clone(),
            f.version.to_string(),
            f.source.clone(),
            f.online.clone(),
            f.offline.clone(),
            or_dash(f.keys),
            or_dash(f.final_rows),
        ]
    };
    let headers = ["feature", "version", "source", "online", "offline", "keys", "final rows"];
    let numeric = [false, true, false, false, false, true, true];
    table(headers, numeric, features.iter().map(row).collect())
}
