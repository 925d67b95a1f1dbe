//! What a checkpoint holds of an engine, and back: lanes, sources and carried rows as a
//! [`Draft`], and from a recovered manifest the state that a pipeline continues from.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::manifest::{GroupState, Manifest, SourceState};
use crate::checkpoint::recover::Recovered;
use crate::checkpoint::state_file;
use crate::checkpoint::store::{Draft, StateDraft};
use crate::error::{Error, Result};
use crate::model::epoch::Epoch;
use crate::model::key::Shard;
use crate::model::time::EventTime;
use crate::offline::writer::PreparedFile;
use crate::runtime::lane::{CellId, LaneGroup};
use crate::runtime::outputs::OutputId;
use crate::runtime::pipeline::Pipeline;
use crate::source::admit::AdmissionState;
use crate::state::snapshot::{Snapshot, SnapshotTable};

use arrow::array::RecordBatch;

/// A consistent cut through an engine.
pub struct Cut<'a> {
    pub epoch: Epoch,
    pub generation: u64,
    pub pipeline: &'a Pipeline,
    /// (lane, cell, state).
    pub state: Vec<(usize, CellId, Snapshot)>,
    /// (source, admission).
    pub admission: Vec<(usize, AdmissionState)>,
    pub carried: Vec<(OutputId, Vec<RecordBatch>)>,
    pub prepared: Vec<PreparedFile>,
    pub ended: bool,
}

/// Group name of carried rows.
const CARRIED: &str = "carried";

/// A cut as the checkpoint store takes it.
pub fn draft(cut: Cut<'_>) -> Result<Draft> {
    let pipeline = cut.pipeline;
    let mut draft = Draft {
        epoch: cut.epoch,
        generation: cut.generation,
        prepared: cut.prepared,
        ..Draft::default()
    };
    for (number, admission) in &cut.admission {
        let def = &pipeline.sources[*number].def;
        let positions = admission.partitions.iter().map(|p| (p.partition, p.next_offset));
        let delay = def.watermark.delay_us;
        let lowest = admission.partitions.iter().map(|p| p.watermark_now(delay)).min();
        let lowest = lowest.filter(|t| *t > EventTime::NEG_INFINITY).map(|t| t.0);
        let state = SourceState {
            positions: positions.collect(),
            admission: to_json(admission)?,
            watermark: lowest,
            ended: cut.ended,
        };
        draft.sources.insert(def.name.clone(), state);
    }
    for (number, group) in pipeline.groups.iter().enumerate() {
        let watermarks = cut.state.iter().filter(|(_, id, _)| id.group == number);
        let watermark = watermarks.filter_map(|(_, _, s)| s.watermark).min();
        draft.groups.insert(
            group_name(group),
            GroupState { fingerprint: fingerprint(group), features: features(group), watermark },
        );
    }
    for (lane, id, snapshot) in &cut.state {
        draft.state.push(StateDraft {
            group: group_name(&pipeline.groups[id.group]),
            part: format!("lane{lane}-partition{}", id.partition),
            bytes: state_file::encode(snapshot)?,
        });
    }
    for (id, batches) in &cut.carried {
        let table = |rows: &RecordBatch| SnapshotTable {
            name: "rows",
            shard: Shard::KeyGroup(0),
            rows: rows.clone(),
        };
        let tables = batches.iter().map(table).collect();
        let bytes = state_file::encode(&Snapshot { format: 1, watermark: None, tables })?;
        let part = output_name(pipeline, *id);
        draft.state.push(StateDraft { group: CARRIED.to_owned(), part, bytes });
    }
    Ok(draft)
}

fn to_json(admission: &AdmissionState) -> Result<serde_json::Value> {
    serde_json::to_value(admission).map_err(|e| Error::internal(format!("admission state: {e}")))
}

/// Features and versions of a group, by name.
fn features(group: &LaneGroup) -> BTreeMap<String, u32> {
    let members = group.group.members.iter();
    members.map(|m| (m.plan.feature.clone(), m.plan.version)).collect()
}

/// The fingerprints of all members, in order of name.
fn fingerprint(group: &LaneGroup) -> String {
    let members = group.group.members.iter();
    let mut all: Vec<_> = members.map(|m| (&m.plan.feature, &m.plan.fingerprint)).collect();
    all.sort();
    all.into_iter().map(|(_, fingerprint)| fingerprint.as_str()).collect::<Vec<_>>().join("+")
}

/// The name of a group in manifests: its members, shortened.
pub fn group_name(group: &LaneGroup) -> String {
    let members = features(group);
    let text: Vec<_> = members.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    let text = text.join("+");
    match members.keys().next() {
        Some(first) => format!("{first}-{:016x}", xxh3_64(text.as_bytes())),
        None => text,
    }
}

fn output_name(pipeline: &Pipeline, id: OutputId) -> String {
    match id {
        OutputId::Feature(number) => {
            let feature = &pipeline.features[number].def;
            format!("feature-{}@{}", feature.name, feature.version)
        }
        OutputId::Archive(number) => format!("archive-{}", pipeline.sources[number].def.name),
        OutputId::Dead(number) => format!("dead-{}", pipeline.sources[number].def.name),
    }
}

/// The group of a manifest that a feature belongs to: features of one old group stay together,
/// new ones share only among themselves.
pub fn start_of(manifest: Option<&Manifest>, feature: &str, version: u32) -> String {
    let Some(manifest) = manifest else { return String::new() };
    let groups = manifest.groups.iter();
    let mut found = groups.filter(|(_, group)| group.features.get(feature) == Some(&version));
    found.next().map_or_else(|| format!("epoch {}", manifest.epoch), |(name, _)| name.clone())
}

/// What a pipeline continues from.
#[derive(Debug, Default)]
pub struct Restored {
    pub cells: Vec<(CellId, Snapshot)>,
    pub carried: Vec<(OutputId, RecordBatch)>,
}

/// Reads the state of the pipeline's groups and carried rows.
pub async fn restore(recovered: &Recovered, pipeline: &Pipeline) -> Result<Restored> {
    let mut restored = Restored::default();
    let names: Vec<String> = pipeline.groups.iter().map(group_name).collect();
    check_groups(&recovered.manifest, pipeline, &names)?;
    for file in &recovered.manifest.state {
        if file.group == CARRIED {
            let Some(id) = output_id(pipeline, &file.part) else { continue };
            let snapshot = state_file::decode(&recovered.state(file).await?)?;
            restored.carried.extend(snapshot.tables.into_iter().map(|t| (id, t.rows)));
            continue;
        }
        let Some(group) = names.iter().position(|name| *name == file.group) else { continue };
        let partition = file.part.rsplit_once("partition").and_then(|(_, p)| p.parse().ok());
        let partition = partition
            .ok_or_else(|| Error::data(format!("{}: unknown part '{}'", file.path, file.part)))?;
        let snapshot = state_file::decode(&recovered.state(file).await?)?;
        restored.cells.push((CellId { group, partition }, snapshot));
    }
    Ok(restored)
}

fn check_groups(manifest: &Manifest, pipeline: &Pipeline, names: &[String]) -> Result<()> {
    for (name, saved) in &manifest.groups {
        let Some(number) = names.iter().position(|n| n == name) else {
            refuse_orphans(saved, pipeline)?;
            continue;
        };
        if saved.fingerprint != fingerprint(&pipeline.groups[number]) {
            let features: Vec<_> = saved.features.keys().cloned().collect();
            return Err(Error::usage(format!(
                "the saved state of {} belongs to another definition",
                features.join(", ")
            ))
            .with_hint("apply the definition as a new version (`skewless apply --replace`)"));
        }
    }
    Ok(())
}

/// A group that runs with other members than it was saved with cannot use its state; running
/// without it would go on from the saved positions as if nothing had come before.
fn refuse_orphans(saved: &GroupState, pipeline: &Pipeline) -> Result<()> {
    let runs = |name: &str, version: u32| {
        pipeline.features.iter().any(|f| f.def.name == name && f.def.version == version)
    };
    let kept = saved.features.iter().find(|(name, version)| runs(name, **version));
    let Some((kept, _)) = kept else { return Ok(()) };
    let gone = saved.features.iter().filter(|(name, version)| !runs(name, **version));
    let gone: Vec<&str> = gone.map(|(name, _)| name.as_str()).collect();
    Err(Error::not_yet(format!(
        "running '{kept}' without {}: they share saved state",
        gone.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
    ))
    .with_hint("run them together, or start from a new --home"))
}

fn output_id(pipeline: &Pipeline, name: &str) -> Option<OutputId> {
    let features = (0..pipeline.features.len()).map(OutputId::Feature);
    let archives = (0..pipeline.sources.len()).map(OutputId::Archive);
    let dead = (0..pipeline.sources.len()).map(OutputId::Dead);
    features.chain(archives).chain(dead).find(|id| output_name(pipeline, *id) == name)
}

/// The admission state of a source in a manifest.
pub fn admission(manifest: &Manifest, source: &str) -> Result<Option<AdmissionState>> {
    let Some(saved) = manifest.sources.get(source) else { return Ok(None) };
    let state = serde_json::from_value(saved.admission.clone());
    let state = state.map_err(|e| Error::data(format!("admission state of '{source}': {e}")))?;
    Ok(Some(state))
}

/// The newest event time admitted, over all partitions.
pub fn newest_event(admission: &AdmissionState) -> Option<EventTime> {
    admission.partitions.iter().filter_map(|p| p.newest).max().map(EventTime)
}
