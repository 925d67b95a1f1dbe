//! The state of an engine that does not run, read from its last checkpoint: lanes without threads
//! answer the same probes.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use async_trait::async_trait;

use crate::batch::adhoc::CurrentValues;
use crate::batch::history::{History, HistoryKind};
use crate::catalog::source::SourceDef;
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::recover::Recovered;
use crate::checkpoint::store::CheckpointStore;
use crate::cli::engine::RunOptions;
use crate::cli::local::LocalEngine;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::offline::store::{Location, Stores};
use crate::operator::answer::Answered;
use crate::operator::operator::Bound;
use crate::runtime::lane::Lane;
use crate::runtime::pipeline::Pipeline;
use crate::runtime::saved;
use crate::runtime::supervisor::Running;

/// State as the last checkpoint left it.
pub(super) struct SavedState {
    pub pipeline: Arc<Pipeline>,
    manifest: Manifest,
    lane: Lane,
}

impl LocalEngine {
    /// Where checkpoints are, if there can be some.
    fn checkpoints(&self) -> Result<Option<CheckpointStore>> {
        let url = self.checkpoint_url()?;
        if Location::resolve(&url)?.local().is_some_and(|path| !path.exists()) {
            return Ok(None);
        }
        CheckpointStore::open(&url, Arc::new(Stores::default())).map(Some)
    }

    async fn last_checkpoint(&self) -> Result<Option<Recovered>> {
        match self.checkpoints()? {
            Some(mut checkpoints) => checkpoints.latest().await,
            None => Ok(None),
        }
    }

    /// The newest manifest; its state is not looked at.
    pub(super) async fn newest_manifest(&self) -> Result<Option<Manifest>> {
        match self.checkpoints()? {
            Some(checkpoints) => checkpoints.newest().await,
            None => Ok(None),
        }
    }

    /// The history of a source, as this home knows it.
    pub(super) async fn history(&self, source: &Arc<SourceDef>) -> Result<History> {
        let history = History::find(source, super::definitions::compute(source)?).await?;
        match history.kind {
            HistoryKind::Log { .. } => match self.newest_manifest().await? {
                Some(manifest) => Ok(history.with_floors(saved::floors(&manifest, &source.name)?)),
                None => Ok(history),
            },
            _ => Ok(history),
        }
    }

    pub(super) async fn last_manifest(&self) -> Result<Option<Manifest>> {
        Ok(self.last_checkpoint().await?.map(|recovered| recovered.manifest))
    }

    /// Loads the saved state; `None` before the first checkpoint.
    pub(super) async fn saved_state(&self) -> Result<Option<SavedState>> {
        let Some(recovered) = self.last_checkpoint().await? else { return Ok(None) };
        let catalog = self.catalog()?;
        let all = RunOptions::default();
        let planned = self.planned(&catalog, &all, Some(&recovered))?;
        let pipeline = Arc::new(Pipeline::build(planned)?);
        let restored = saved::restore(&recovered, &pipeline).await?;
        let mut lane = Lane::new(pipeline.groups.clone());
        for (id, snapshot) in &restored.cells {
            lane.restore(*id, snapshot)?;
        }
        Ok(Some(SavedState { pipeline, manifest: recovered.manifest, lane }))
    }
}

impl SavedState {
    /// The number of a feature.
    pub fn feature(&self, name: &str) -> Result<usize> {
        let found = self.pipeline.feature(name);
        found.ok_or_else(|| Error::usage(format!("feature '{name}' has no saved state")))
    }

    /// "Now" of a feature: the newest event time its source had admitted.
    pub fn serving_time(&self, feature: usize) -> Result<Option<EventTime>> {
        let of = &self.pipeline.features[feature];
        let admission =
            saved::admission(&self.manifest, &self.pipeline.sources[of.source].def.name)?;
        Ok(admission.as_ref().and_then(saved::newest_event))
    }

    /// The watermark before which state is incomplete.
    pub fn horizon(&self, feature: usize) -> EventTime {
        let of = &self.pipeline.features[feature];
        let source = self.manifest.sources.get(&self.pipeline.sources[of.source].def.name);
        source.and_then(|s| s.watermark).map_or(EventTime::NEG_INFINITY, EventTime)
    }

    /// `f(key, at)` of one key: output rows and what is known of it.
    pub fn probe(&self, feature: usize, keys: &[ArrayRef], at: EventTime) -> Result<Answered> {
        let of = &self.pipeline.features[feature];
        let group = &self.pipeline.groups[of.group].group;
        let reader = group.members[of.member].reader(&group.window);
        let mut found: Option<Answered> = None;
        for id in self.lane.cells_of(of.group) {
            let probed = self.lane.probe(id, keys, &[at], Bound::Inclusive)?;
            let answered = reader.answer(&probed, &[at])?;
            if found.is_none() || answered.is_known() {
                found = Some(answered);
            }
        }
        found.ok_or_else(|| Error::internal("a group without an operator"))
    }

    /// Output rows of every key at one time.
    pub fn probe_all(&self, feature: usize, at: EventTime) -> Result<Vec<RecordBatch>> {
        let of = &self.pipeline.features[feature];
        let group = &self.pipeline.groups[of.group].group;
        let reader = group.members[of.member].reader(&group.window);
        let results = self.lane.probe_all(of.group, at)?;
        results.iter().map(|result| reader.present(result, at)).collect()
    }
}

/// Current values for plain SQL.
pub(super) struct Current {
    pub engine: LocalEngine,
}

#[async_trait]
impl CurrentValues for Current {
    async fn current(&self, feature: &str) -> Result<Vec<RecordBatch>> {
        if let Some(running) = &self.engine.running {
            return current_of(running, feature).await;
        }
        if let Some(elsewhere) = self.engine.home.running()? {
            return crate::serve::client::current_values(&elsewhere, feature).await;
        }
        let Some(state) = self.engine.saved_state().await? else { return Ok(Vec::new()) };
        let number = state.feature(feature)?;
        match state.serving_time(number)? {
            Some(at) => state.probe_all(number, at),
            None => Ok(Vec::new()),
        }
    }
}

/// Every entity of a feature that runs in this process, at serving time.
async fn current_of(running: &Running, feature: &str) -> Result<Vec<RecordBatch>> {
    let number = running.pipeline.feature(feature).ok_or_else(|| {
        Error::usage(format!("feature '{feature}' is not computed by the running engine"))
            .with_hint(format!("running: {}", running.pipeline.feature_names().join(", ")))
    })?;
    let source = &running.progress.sources[running.pipeline.features[number].source];
    match source.serving_time(clock::wall_now()) {
        Some(at) => running.probe_all(number, at).await,
        None => Ok(Vec::new()),
    }
}
