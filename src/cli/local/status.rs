//! What is known of a home: from its running engine, or from its last checkpoint.

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
use crate::runtime::progress::SourceProgress;
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
            if info.http.is_some() {
                let body = client::get(&info, "/status").await?;
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
pub(super) fn lag(source: &SourceProgress) -> Option<u64> {
    let lags = source.lags();
    (!lags.is_empty()).then(|| lags.values().sum())
}

/// Partitions without a record for longer than `idle_timeout` that hold the watermark back.
pub(super) fn held_by(source: &SourceProgress, def: &SourceDef) -> Vec<u32> {
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
