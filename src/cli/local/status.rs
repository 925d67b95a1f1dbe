//! What is known of a home: from its running engine, or from its last checkpoint.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use crate::catalog::feature::{FeatureDef, OfflineStoreDef, OnlineStoreDef};
use crate::catalog::source::SourceDef;
use crate::cli::engine::{
    CheckpointStatus, Counts, FeatureStatus, RunningEngine, SourceStatus, Status,
};
use crate::cli::local::LocalEngine;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::runtime::progress::{Progress, SourceProgress};
use crate::runtime::saved;
use crate::runtime::supervisor::Running;
use crate::serve::client;
use crate::sql::printer::redacted_url;

/// Where current values go, without secrets.
pub(super) fn online_text(def: &FeatureDef) -> String {
    match &def.options.online {
        OnlineStoreDef::Embedded => "embedded".to_owned(),
        OnlineStoreDef::Redis(url) => redacted_url(url),
        OnlineStoreDef::None => "none".to_owned(),
    }
}

fn offline_text(def: &FeatureDef) -> String {
    match &def.options.offline {
        OfflineStoreDef::Home => "home".to_owned(),
        OfflineStoreDef::Url(url) => redacted_url(url),
        OfflineStoreDef::None => "none".to_owned(),
    }
}

fn connector(def: &SourceDef) -> String {
    format!("{:?}", def.options.connector).to_lowercase()
}

impl LocalEngine {
    pub(super) async fn status_now(&self) -> Result<Status> {
        let home = self.home.path().display().to_string();
        if let Some(info) = self.home.running()? {
            if let Some(address) = &info.http {
                let body = client::get(address, "/status").await?;
                let status: Status = serde_json::from_str(&body)
                    .map_err(|e| Error::data(format!("the engine's status: {e}")))?;
                let running = RunningEngine { pid: info.pid, address: info.http.clone() };
                return Ok(Status { running: Some(running), ..status });
            }
            let running = Some(RunningEngine { pid: info.pid, address: None });
            return Ok(Status { home, running, ..self.stored_status().await? });
        }
        Ok(Status { home, ..self.stored_status().await? })
    }

    /// From the catalog and the last checkpoint.
    async fn stored_status(&self) -> Result<Status> {
        let catalog = self.catalog()?;
        let manifest = self.last_manifest().await?;
        let mut status = Status::default();
        for def in catalog.sources() {
            let mut source = SourceStatus {
                name: def.name.clone(),
                connector: connector(def),
                ..SourceStatus::default()
            };
            if let Some(manifest) = &manifest
                && let Some(admission) = saved::admission(manifest, &def.name)?
            {
                source.partitions = admission.partitions.len() as u32;
                for partition in &admission.partitions {
                    source.counts.read += partition.counts.read;
                    source.counts.admitted += partition.counts.admitted;
                    source.counts.late += partition.counts.late;
                    source.counts.future += partition.counts.future;
                    source.counts.rejected += partition.counts.rejected();
                }
                let saved = manifest.sources.get(&def.name);
                source.watermark =
                    saved.and_then(|s| s.watermark).map(|t| EventTime(t).to_string());
                if saved.is_some_and(|s| s.ended) {
                    source.note = Some("ended".to_owned());
                }
            }
            status.sources.push(source);
        }
        for entry in catalog.feature_entries() {
            let def = self.effective(&entry.def);
            status.features.push(FeatureStatus {
                name: def.name.clone(),
                version: def.version,
                source: entry.reads.join(", "),
                online: online_text(&def),
                offline: offline_text(&def),
                ..FeatureStatus::default()
            });
        }
        status.checkpoint =
            manifest.map(|m| CheckpointStatus { epoch: m.epoch, at: String::new() });
        Ok(status)
    }
}

/// The status of a running engine as JSON.
pub(super) fn running_status(running: &Running, home: &str) -> serde_json::Value {
    let progress = &running.progress;
    let mut status = Status {
        home: home.to_owned(),
        running: Some(RunningEngine { pid: std::process::id(), address: None }),
        ..Status::default()
    };
    for (source, of) in progress.sources.iter().zip(&running.pipeline.sources) {
        let totals = source.totals();
        let watermark = source.watermark.load(Relaxed);
        status.sources.push(SourceStatus {
            name: source.name.clone(),
            connector: connector(&of.def),
            partitions: source.partitions().len() as u32,
            lag: lag(source),
            watermark: (watermark != i64::MIN).then(|| EventTime(watermark).to_string()),
            held_by: held_by(source, &of.def),
            counts: Counts {
                read: totals.read,
                admitted: totals.admitted,
                late: totals.late,
                future: totals.future,
                rejected: totals.rejected,
            },
            note: source.note(),
        });
    }
    for (feature, of) in progress.features.iter().zip(&running.pipeline.features) {
        status.features.push(FeatureStatus {
            name: feature.name.clone(),
            version: of.def.version,
            source: of.plan.source.clone(),
            online: online_text(&of.def),
            offline: offline_text(&of.def),
            keys: None,
            final_rows: Some(feature.final_rows.load(Relaxed)),
        });
    }
    let at = progress.checkpoint_at.load(Relaxed);
    if at > 0 {
        let epoch = progress.epoch.load(Relaxed);
        status.checkpoint = Some(CheckpointStatus { epoch, at: EventTime(at).to_string() });
    }
    serde_json::to_value(status).unwrap_or_default()
}

/// Records behind the ends last seen.
fn lag(source: &SourceProgress) -> Option<u64> {
    let lags = source.lags();
    (!lags.is_empty()).then(|| lags.values().sum())
}

/// Partitions without a record for longer than `idle_timeout` that hold the watermark back.
fn held_by(source: &SourceProgress, def: &SourceDef) -> Vec<u32> {
    let now = clock::wall_now().0;
    let lowest = source.watermark.load(Relaxed);
    let partitions = source.partitions();
    let ahead = partitions.values().any(|p| p.watermark.0 > lowest);
    let idle = partitions.into_iter().filter(|(_, p)| {
        ahead && p.watermark.0 <= lowest && now - p.last_record_at > def.options.idle_timeout_us
    });
    idle.map(|(partition, _)| partition).collect()
}

/// Ready once every partition has reached the end seen at the start.
pub(super) fn ready(running: &Running) -> Result<()> {
    if running.is_finished() {
        return Err(Error::unavailable("the engine is stopping"));
    }
    for (source, of) in running.progress.sources.iter().zip(&running.pipeline.sources) {
        if !source.caught_up() {
            return Err(Error::unavailable(format!("source '{}' is catching up", source.name)));
        }
        if let Some(partition) = held_by(source, &of.def).first() {
            return Err(Error::unavailable(format!(
                "partition {partition} of source '{}' is idle and holds the watermark back",
                source.name
            )));
        }
    }
    Ok(())
}

/// Prometheus text.
pub(super) fn metrics(running: &Running) -> String {
    let mut out = String::new();
    let progress = &running.progress;
    let _ = writeln!(out, "# TYPE skewless_records_total counter");
    for source in &progress.sources {
        let counts = [
            ("admitted", &source.admitted),
            ("late", &source.late),
            ("future", &source.future),
            ("decode", &source.decode),
            ("event_time", &source.event_time),
        ];
        for (verdict, count) in counts {
            let name = label(&source.name);
            let count = count.load(Relaxed);
            let _ = writeln!(
                out,
                "skewless_records_total{{source=\"{name}\",verdict=\"{verdict}\"}} {count}"
            );
        }
    }
    let _ = writeln!(out, "# TYPE skewless_watermark_seconds gauge");
    for source in &progress.sources {
        let watermark = source.watermark.load(Relaxed);
        if watermark != i64::MIN {
            let (name, seconds) = (label(&source.name), watermark as f64 / 1e6);
            let _ = writeln!(out, "skewless_watermark_seconds{{source=\"{name}\"}} {seconds}");
        }
    }
    lag_metrics(progress, &mut out);
    let _ = writeln!(out, "# TYPE skewless_watermark_held_by gauge");
    for (source, of) in progress.sources.iter().zip(&running.pipeline.sources) {
        for partition in held_by(source, &of.def) {
            let name = label(&source.name);
            let _ = writeln!(
                out,
                "skewless_watermark_held_by{{source=\"{name}\",partition=\"{partition}\"}} 1"
            );
        }
    }
    let _ = writeln!(out, "# TYPE skewless_final_rows_total counter");
    for feature in &progress.features {
        let (name, rows) = (label(&feature.name), feature.final_rows.load(Relaxed));
        let _ = writeln!(out, "skewless_final_rows_total{{feature=\"{name}\"}} {rows}");
    }
    let _ = writeln!(out, "# TYPE skewless_online_writes_total counter");
    for feature in &progress.features {
        let (name, rows) = (label(&feature.name), feature.current_writes.load(Relaxed));
        let _ = writeln!(out, "skewless_online_writes_total{{feature=\"{name}\"}} {rows}");
    }
    let _ = writeln!(out, "# TYPE skewless_expression_errors_total counter");
    for feature in &running.pipeline.features {
        let (name, errors) = (label(&feature.def.name), feature.plan.errors.get());
        let _ = writeln!(out, "skewless_expression_errors_total{{feature=\"{name}\"}} {errors}");
    }
    let state: u64 = progress.state_bytes.iter().map(|b| b.load(Relaxed)).sum();
    let keys: u64 = progress.keys.iter().map(|k| k.load(Relaxed)).sum();
    let epoch = progress.epoch.load(Relaxed);
    let errors = progress.online_errors.load(Relaxed);
    let nulls = progress.null_keys.load(Relaxed);
    let _ = write!(
        out,
        "# TYPE skewless_state_bytes gauge\nskewless_state_bytes {state}\n\
         # TYPE skewless_keys gauge\nskewless_keys {keys}\n\
         # TYPE skewless_checkpoint_epoch gauge\nskewless_checkpoint_epoch {epoch}\n\
         # TYPE skewless_online_errors_total counter\nskewless_online_errors_total {errors}\n\
         # TYPE skewless_null_keys_total counter\nskewless_null_keys_total {nulls}\n"
    );
    out
}

/// What is left to read, and what was passed over because it was deleted unread.
fn lag_metrics(progress: &Progress, out: &mut String) {
    let _ = writeln!(out, "# TYPE skewless_source_lag gauge");
    for source in &progress.sources {
        for (partition, lag) in source.lags() {
            let name = label(&source.name);
            let _ = writeln!(
                out,
                "skewless_source_lag{{source=\"{name}\",partition=\"{partition}\"}} {lag}"
            );
        }
    }
    let _ = writeln!(out, "# TYPE skewless_skipped_offsets_total counter");
    for source in &progress.sources {
        let (name, skipped) = (label(&source.name), source.lag.skipped());
        let _ = writeln!(out, "skewless_skipped_offsets_total{{source=\"{name}\"}} {skipped}");
    }
}

/// A label value: `\`, `"` and line ends escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
