//! What a checkpoint holds of an engine, and back: lanes, sources and carried rows as a
//! [`Draft`], and from a recovered manifest the state that a pipeline continues from.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::source::SourceDef;
use crate::checkpoint::manifest::{GroupState, Manifest, MemberState, SourceState, StateFile};
use crate::checkpoint::recover::Recovered;
use crate::checkpoint::state_file;
use crate::checkpoint::store::{Draft, StateDraft};
use crate::error::{Error, Result};
use crate::limits::STATE_CHAIN_MAX;
use crate::model::epoch::Epoch;
use crate::model::key::Shard;
use crate::model::time::EventTime;
use crate::offline::writer::PreparedFile;
use crate::plan::dataflow::FeaturePlan;
use crate::runtime::lane::{CellId, CellState, LaneGroup};
use crate::runtime::outputs::{Carried, OutputId};
use crate::runtime::pipeline::Pipeline;
use crate::source::admit::{AdmissionState, Floors};
use crate::state::overlay::overlay;
use crate::state::snapshot::{Snapshot, SnapshotTable};

use arrow::array::RecordBatch;

/// A consistent cut through an engine.
pub struct Cut {
    pub epoch: Epoch,
    pub generation: u64,
    pub pipeline: Arc<Pipeline>,
    /// (lane, cell).
    pub state: Vec<(usize, CellState)>,
    /// (source, its partitions, admission).
    pub admission: Vec<(usize, usize, AdmissionState)>,
    /// By source: when its newest record was read, µs of wall time; 0 = none was.
    pub read_at: Vec<i64>,
    pub parked: Arc<Parked>,
    pub ended: bool,
}

/// The state files of the last epoch, each part's in the order in which they lie over each other.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    parts: BTreeMap<(String, String), Vec<StateFile>>,
    newest: u64,
}

impl Chain {
    /// Whether the next epoch should hold all state of operators again: nothing to add to, or what
    /// was added has become as long or as large as what it was added to.
    pub fn wants_whole(&self) -> bool {
        let added = |files: &Vec<StateFile>| files.iter().skip(1).map(|f| f.bytes).sum::<u64>();
        let first = |files: &Vec<StateFile>| files.first().map_or(0, |f| f.bytes);
        let parts = self.parts.iter().filter(|((group, _), _)| group != CARRIED);
        let parts: Vec<_> = parts.map(|(_, files)| files).collect();
        let (added, first) = (parts.iter().copied().map(added), parts.iter().copied().map(first));
        parts.is_empty()
            || parts.iter().any(|files| files.len() > STATE_CHAIN_MAX)
            || added.sum::<u64>() > first.sum::<u64>()
    }

    /// Whether the rows that an output carries lie in too many files to add one more.
    pub fn wants_whole_rows(&self, pipeline: &Pipeline, id: OutputId) -> bool {
        self.of(CARRIED, &output_name(pipeline, id)).len() > STATE_CHAIN_MAX
    }

    /// Forgets the files of rows that have been written, or are written anew.
    pub fn go_on_with(&mut self, pipeline: &Pipeline, carried: &[Carried]) {
        let added = carried.iter().filter(|carried| carried.adds);
        let stays: Vec<String> = added.map(|c| output_name(pipeline, c.id)).collect();
        self.parts.retain(|(group, part), _| group != CARRIED || stays.contains(part));
    }

    /// Takes the files of a new epoch; `adds`: on top of those before.
    pub fn extend(&mut self, adds: &[bool], files: Vec<StateFile>) {
        assert_eq!(adds.len(), files.len(), "one file per part");
        self.newest = files.iter().map(|file| file.bytes).sum();
        for (adds, file) in adds.iter().zip(files) {
            let part = self.parts.entry((file.group.clone(), file.part.clone())).or_default();
            if !adds {
                part.clear();
            }
            part.push(file);
        }
    }

    /// Bytes of state that the last epoch wrote.
    pub fn newest_bytes(&self) -> u64 {
        self.newest
    }

    /// Bytes of state that a restart reads.
    pub fn bytes(&self) -> u64 {
        self.parts.values().flatten().map(|file| file.bytes).sum()
    }

    fn of(&self, group: &str, part: &str) -> &[StateFile] {
        let found = self.parts.get(&(group.to_owned(), part.to_owned()));
        found.map_or(&[], Vec::as_slice)
    }
}

/// What a manifest holds of sources that do not run now: handed on as it is, so that they can
/// continue another time.
#[derive(Clone, Debug, Default)]
pub struct Parked {
    sources: BTreeMap<String, SourceState>,
    groups: BTreeMap<String, GroupState>,
    state: Vec<StateFile>,
}

impl Parked {
    /// Sources of `manifest` that are `defined` and that `pipeline` does not read.
    pub fn of(manifest: &Manifest, pipeline: &Pipeline, defined: impl Fn(&str) -> bool) -> Self {
        let runs = |name: &str| pipeline.sources.iter().any(|source| source.def.name == name);
        let parked = |name: &str| !runs(name) && defined(name);
        let sources = manifest.sources.iter().filter(|(name, _)| parked(name));
        let groups = manifest.groups.iter().filter(|(_, group)| parked(&group.source));
        let groups: BTreeMap<String, GroupState> =
            groups.map(|(name, group)| (name.clone(), group.clone())).collect();
        let members = groups.values().flat_map(|group| &group.members);
        let mut carried: Vec<String> =
            members.map(|(name, member)| feature_part(name, member.version)).collect();
        let sources: BTreeMap<String, SourceState> =
            sources.map(|(name, source)| (name.clone(), source.clone())).collect();
        carried.extend(sources.keys().flat_map(|name| [archive_part(name), dead_part(name)]));
        let ours = |file: &&StateFile| match file.group.as_str() {
            CARRIED => carried.contains(&file.part),
            group => groups.contains_key(group),
        };
        let state = manifest.state.iter().filter(ours).cloned().collect();
        Self { sources, groups, state }
    }
}

/// Group name of carried rows.
const CARRIED: &str = "carried";

/// A cut as the checkpoint store takes it, with the rows that no file holds yet, the files that
/// hold the others, and the state files to add to.
pub fn draft(
    cut: Cut,
    carried: &[Carried],
    prepared: Vec<PreparedFile>,
    chain: &Chain,
) -> Result<Draft> {
    let pipeline = &cut.pipeline;
    let mut draft = Draft {
        epoch: cut.epoch,
        generation: cut.generation,
        prepared,
        sources: cut.parked.sources.clone(),
        groups: cut.parked.groups.clone(),
        kept: cut.parked.state.clone(),
        ..Draft::default()
    };
    for (number, partitions, admission) in &cut.admission {
        let def = &pipeline.sources[*number].def;
        let mut state = source_state(def, *partitions, admission, cut.ended)?;
        state.read_at = cut.read_at.get(*number).copied().filter(|at| *at > 0);
        draft.sources.insert(def.name.clone(), state);
    }
    for (number, group) in pipeline.groups.iter().enumerate() {
        let cells = cut.state.iter().filter(|(_, cell)| cell.id.group == number);
        let watermark = cells.filter_map(|(_, cell)| cell.snapshot.watermark).min();
        let source = pipeline.sources[group.source].def.name.clone();
        let state = GroupState { source, members: members(group), watermark };
        draft.groups.insert(group_name(group), state);
    }
    for (lane, CellState { id, snapshot, adds }) in &cut.state {
        let group = group_name(&pipeline.groups[id.group]);
        let part = format!("lane{lane}-partition{}", id.partition);
        if *adds {
            draft.kept.extend_from_slice(chain.of(&group, &part));
        }
        let bytes = state_file::encode(snapshot)?;
        draft.state.push(StateDraft { group, part, bytes, adds: *adds });
    }
    for Carried { id, adds, rows } in carried {
        let part = output_name(pipeline, *id);
        if *adds {
            draft.kept.extend_from_slice(chain.of(CARRIED, &part));
        }
        if rows.is_empty() {
            continue;
        }
        let table = |rows: &RecordBatch| SnapshotTable {
            name: "rows",
            shard: Shard::KeyGroup(0),
            rows: rows.clone(),
        };
        let tables = rows.iter().map(table).collect();
        let bytes = state_file::encode(&Snapshot { format: 1, tables, ..Snapshot::default() })?;
        draft.state.push(StateDraft { group: CARRIED.to_owned(), part, bytes, adds: *adds });
    }
    Ok(draft)
}

fn source_state(
    def: &SourceDef,
    partitions: usize,
    admission: &AdmissionState,
    ended: bool,
) -> Result<SourceState> {
    let positions = admission.partitions.iter().map(|p| (p.partition, p.next_offset));
    let delay = def.watermark.delay_us;
    let lowest = admission.partitions.iter().map(|p| p.watermark_now(delay)).min();
    Ok(SourceState {
        positions: positions.collect(),
        partitions,
        admission: to_json(admission)?,
        watermark: lowest.filter(|t| *t > EventTime::NEG_INFINITY).map(|t| t.0),
        ended,
        read_at: None,
    })
}

/// The epoch with which an engine takes over: all that was, under a new generation, and for
/// sources that have not been read where they start.
pub fn taken_over(
    before: Option<&Manifest>,
    epoch: Epoch,
    generation: u64,
    pipeline: &Pipeline,
    starts: Vec<(usize, AdmissionState)>,
) -> Result<Draft> {
    let mut draft = Draft { epoch, generation, ..Draft::default() };
    if let Some(before) = before {
        draft.sources = before.sources.clone();
        draft.groups = before.groups.clone();
        draft.kept = before.state.clone();
        draft.extra = before.extra.clone();
    }
    for (source, (partitions, admission)) in pipeline.sources.iter().zip(starts) {
        if !draft.sources.contains_key(&source.def.name) {
            let state = source_state(&source.def, partitions, &admission, false)?;
            draft.sources.insert(source.def.name.clone(), state);
        }
    }
    Ok(draft)
}

fn to_json(admission: &AdmissionState) -> Result<serde_json::Value> {
    serde_json::to_value(admission).map_err(|e| Error::internal(format!("admission state: {e}")))
}

/// The members of a group, by name.
fn members(group: &LaneGroup) -> BTreeMap<String, MemberState> {
    let members = group.group.members.iter().zip(&group.queries);
    let state = |plan: &FeaturePlan, query: &String| MemberState {
        version: plan.version,
        fingerprint: plan.fingerprint.clone(),
        query: query.clone(),
    };
    members.map(|(m, query)| (m.plan.feature.clone(), state(&m.plan, query))).collect()
}

/// The name of a group in manifests: its members, shortened.
pub fn group_name(group: &LaneGroup) -> String {
    let members = members(group);
    let text = members.iter().map(|(name, member)| format!("{name}@{}", member.version));
    let text = text.collect::<Vec<_>>().join("+");
    match members.keys().next() {
        Some(first) => format!("{first}-{:016x}", xxh3_64(text.as_bytes())),
        None => text,
    }
}

fn output_name(pipeline: &Pipeline, id: OutputId) -> String {
    match id {
        OutputId::Feature(number) => {
            let feature = &pipeline.features[number].def;
            feature_part(&feature.name, feature.version)
        }
        OutputId::Archive(number) => archive_part(&pipeline.sources[number].def.name),
        OutputId::Dead(number) => dead_part(&pipeline.sources[number].def.name),
    }
}

fn feature_part(name: &str, version: u32) -> String {
    format!("feature-{name}@{version}")
}

fn archive_part(source: &str) -> String {
    format!("archive-{source}")
}

fn dead_part(source: &str) -> String {
    format!("dead-{source}")
}

/// The group of a manifest that a feature belongs to: features of one old group stay together,
/// new ones share only among themselves, those that begin with history apart from the others.
pub fn start_of(
    manifest: Option<&Manifest>,
    feature: &str,
    version: u32,
    from_history: bool,
) -> String {
    let Some(manifest) = manifest else { return String::new() };
    let member = |group: &GroupState| group.members.get(feature).map(|m| m.version);
    let mut found = manifest.groups.iter().filter(|(_, group)| member(group) == Some(version));
    found.next().map_or_else(
        || match from_history {
            true => format!("history up to epoch {}", manifest.epoch),
            false => format!("epoch {}", manifest.epoch),
        },
        |(name, _)| name.clone(),
    )
}

/// A member of a saved group that is no longer defined while others of the group run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    pub name: String,
    pub state: MemberState,
    /// The group's name: what [`start_of`] gives for the members that run.
    pub start: String,
}

/// The retired members that running features need, given the features and sources that run and
/// the version of each feature that is defined.
///
/// # Errors
/// A feature has saved state, is defined, and its source would run on without it: it would miss
/// rows.
pub fn retired(
    manifest: &Manifest,
    runs: &BTreeMap<&str, u32>,
    reads: impl Fn(&str) -> bool,
    defined: impl Fn(&str) -> Option<u32>,
) -> Result<Vec<Retired>> {
    let mut found = Vec::new();
    for (start, group) in &manifest.groups {
        let kept = |(name, member): &(&String, &MemberState)| {
            runs.get(name.as_str()) == Some(&member.version)
        };
        for (name, member) in group.members.iter().filter(|m| !kept(m)) {
            if defined(name) == Some(member.version) && reads(&group.source) {
                return Err(Error::usage(format!(
                    "source '{}' cannot go on without '{name}', which has saved state: \
                     it would miss rows",
                    group.source
                ))
                .with_hint(format!("run it too (--feature {name}), or DROP FEATURE {name}")));
            }
        }
        if !group.members.iter().any(|m| kept(&m)) {
            continue;
        }
        for (name, member) in group.members.iter().filter(|m| !kept(m)) {
            let (name, state) = (name.clone(), member.clone());
            found.push(Retired { name, state, start: start.clone() });
        }
    }
    Ok(found)
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
    let mut cells: BTreeMap<(CellId, &str), Vec<Snapshot>> = BTreeMap::new();
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
        // Files of one part lie over each other in the order of the manifest.
        cells.entry((CellId { group, partition }, &file.part)).or_default().push(snapshot);
    }
    for ((id, _), parts) in cells {
        restored.cells.push((id, overlay(parts)?));
    }
    Ok(restored)
}

fn check_groups(manifest: &Manifest, pipeline: &Pipeline, names: &[String]) -> Result<()> {
    for (number, group) in pipeline.groups.iter().enumerate() {
        let Some(saved) = manifest.groups.get(&names[number]) else {
            let any = |saved: &&GroupState| {
                group.group.members.iter().any(|m| {
                    let saved = saved.members.get(&m.plan.feature);
                    saved.is_some_and(|saved| saved.version == m.plan.version)
                })
            };
            assert!(!manifest.groups.values().any(|g| any(&g)), "a saved group runs whole");
            continue;
        };
        let ours = members(group);
        let changed = saved.members.iter().find(|(name, member)| {
            ours.get(*name).is_none_or(|ours| ours.fingerprint != member.fingerprint)
        });
        if let Some((name, _)) = changed {
            return Err(Error::usage(format!(
                "the saved state of '{name}' belongs to another definition"
            ))
            .with_hint("apply the definition as a new version (`skewless apply --replace`)"));
        }
    }
    Ok(())
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

/// The floors of a source in a manifest: part of its log since an engine has set them.
pub fn floors(manifest: &Manifest, source: &str) -> Result<Floors> {
    Ok(admission(manifest, source)?.map(|state| state.floors()).unwrap_or_default())
}

/// Under `partitioned.by`, more partitions would spread keys anew.
pub fn refuse_repartitioned(manifest: &Manifest, def: &SourceDef, now: usize) -> Result<()> {
    let Some(saved) = manifest.sources.get(&def.name) else { return Ok(()) };
    if def.options.partitioned_by.is_empty() || saved.partitions == now {
        return Ok(());
    }
    Err(Error::data(format!(
        "source '{}' is declared 'partitioned.by', and its partitions have become {now} instead \
         of {}: keys may have moved",
        def.name, saved.partitions
    ))
    .with_hint(
        "drop the option from the source (CREATE OR REPLACE SOURCE …, or apply the file without \
         it): its state is kept",
    ))
}

/// The newest event time admitted, over all partitions.
pub fn newest_event(admission: &AdmissionState) -> Option<EventTime> {
    admission.partitions.iter().filter_map(|p| p.newest).max().map(EventTime)
}
