//! `skewless online rebuild`: the running engine writes every value of a feature anew; without
//! one, this process takes the home over for as long as it writes what the last checkpoint holds.
//! A store never goes back in time: a value newer than the checkpoint stays.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::catalog::feature::{FeatureDef, OnlineStoreDef};
use crate::checkpoint::store::CheckpointStore;
use crate::cli::engine::{Rebuilt, RunOptions};
use crate::cli::local::LocalEngine;
use crate::error::{Error, Result};
use crate::limits::BATCH_ROWS;
use crate::model::time::EventTime;
use crate::offline::store::Stores;
use crate::online::redis::RedisStore;
use crate::online::store::{Basis, OnlineFeature, OnlineStore, Version};
use crate::runtime::lane::{Lane, Outlet};
use crate::runtime::pipeline::Pipeline;
use crate::runtime::saved;

impl LocalEngine {
    pub(super) async fn rebuild_store(&self, feature: &str) -> Result<Rebuilt> {
        let catalog = self.catalog()?;
        let def = self.effective(catalog.feature(feature)?);
        if let Some(running) = self.home.running()? {
            crate::serve::client::rebuild(&running, feature).await?;
            return Ok(Rebuilt::Begun);
        }
        let url = check_store(&def)?;
        let _lock = self.home.lock()?;
        let checkpoint =
            CheckpointStore::open(&self.checkpoint_url()?, Arc::new(Stores::default()));
        let mut checkpoints = checkpoint?;
        let recovered = checkpoints.latest().await?;
        let recovered = recovered.ok_or_else(|| {
            Error::usage(format!("'{feature}' has no state: no checkpoint was taken yet"))
                .with_hint("start it: skewless run")
        })?;
        let planned = self.planned(&catalog, &RunOptions::default(), Some(&recovered))?;
        let pipeline = Arc::new(Pipeline::build(planned)?);
        let number = pipeline.feature(feature);
        let number = number.ok_or_else(|| Error::internal("a feature that is not planned"))?;
        let of = OnlineFeature::of(&pipeline.features[number].plan, &def.options.online_key)?;
        let store = RedisStore::open(url)?;
        // As an engine that starts: the only owner of checkpoints and store, then a writer.
        let mark = store.mark(&of).await?.unwrap_or_default();
        let generation = mark.generation.max(recovered.manifest.generation) + 1;
        let epoch = recovered.epoch().next();
        let before = Some(&recovered.manifest);
        let draft = saved::taken_over(before, epoch, generation, &pipeline, Vec::new())?;
        checkpoints.commit(draft).await?;
        store.claim(&of, generation).await?;
        let restored = saved::restore(&recovered, &pipeline).await?;
        let source = pipeline.features[number].source;
        let rows = current_rows(&pipeline, restored, number, mark.refreshed)?;
        let positions = recovered.manifest.sources.get(&pipeline.sources[source].def.name);
        let positions: Vec<(u32, i64)> =
            positions.map_or_else(Vec::new, |s| s.positions.iter().map(|p| (*p.0, *p.1)).collect());
        let basis = Basis { positions, refreshed: None };
        let (mut sequence, mut written) = (0, 0);
        for batch in rows {
            for start in (0..batch.num_rows()).step_by(BATCH_ROWS) {
                let part = batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start));
                sequence += 1;
                let version = Version { generation, epoch: epoch.0, sequence };
                written += store.write(&of, &part, version, &basis).await?.applied;
            }
        }
        Ok(Rebuilt::Written(written))
    }
}

/// The store of a feature that can be filled.
///
/// # Errors
/// `Usage` for a feature whose values are not kept outside the engine.
pub(super) fn check_store(def: &FeatureDef) -> Result<&str> {
    match &def.options.online {
        OnlineStoreDef::Redis(url) => Ok(url),
        _ => Err(Error::usage(format!("'{}' has no online store to fill", def.name))
            .with_hint("its values are served from the engine's own state")),
    }
}

/// Every current value of one feature, for no earlier serving time than the store knows.
fn current_rows(
    pipeline: &Pipeline,
    restored: saved::Restored,
    feature: usize,
    refreshed: Option<EventTime>,
) -> Result<Vec<RecordBatch>> {
    struct Values(usize, Vec<RecordBatch>);
    impl Outlet for Values {
        fn finals(&mut self, _: usize, _: RecordBatch) -> Result<()> {
            Ok(())
        }

        fn current(&mut self, feature: usize, rows: RecordBatch) -> Result<()> {
            if feature == self.0 {
                self.1.push(rows);
            }
            Ok(())
        }
    }
    let source = pipeline.features[feature].source;
    let mut lane = Lane::new(pipeline.groups.clone());
    for (id, snapshot) in &restored.cells {
        lane.restore(*id, snapshot)?;
    }
    let mut values = Values(feature, Vec::new());
    if let Some(at) = refreshed {
        lane.refresh(source, at);
    }
    lane.touch(source);
    lane.flush_current(source, &mut values)?;
    Ok(values.1)
}
