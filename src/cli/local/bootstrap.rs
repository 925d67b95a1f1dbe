//! New features that begin with their source's history: reads it in order of event time up to
//! where the stream goes on, before the engine starts.

use std::time::Duration;

use futures::StreamExt;

use crate::batch::history::History;
use crate::batch::in_order::in_order;
use crate::checkpoint::manifest::Manifest;
use crate::cli::local::query::plain_session;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::epoch::Epoch;
use crate::runtime::bootstrap::{Filled, Filling, Finals, wanted};
use crate::runtime::lane::CellId;
use crate::runtime::outputs::{OutputId, Outputs};
use crate::runtime::pipeline::Pipeline;
use crate::runtime::saved;
use crate::state::snapshot::Snapshot;

/// Between two lines about long work.
const REPORT: Duration = Duration::from_secs(5);

/// Features that now have what their source admitted before.
pub(super) struct Bootstrapped {
    pub features: Vec<usize>,
    pub filled: Filled,
}

impl Bootstrapped {
    /// `user_spend: 12345 rows of history; goes on from 0:5000, 1:4800`, of all its features.
    pub fn in_words(&self, pipeline: &Pipeline) -> String {
        let names = self.features.iter().map(|f| pipeline.features[*f].def.name.as_str());
        let joins = self.filled.joins.iter().map(|(p, offset)| format!("{p}:{offset}"));
        format!(
            "{}: {} rows of history; goes on from {} (partition:offset)",
            names.collect::<Vec<_>>().join(", "),
            self.filled.rows,
            joins.collect::<Vec<_>>().join(", "),
        )
    }

    pub fn take_state(&mut self) -> Vec<(CellId, Snapshot)> {
        std::mem::take(&mut self.filled.state)
    }
}

/// Fills the state of what begins with history; final rows go to `outputs`, for `epoch`.
///
/// # Errors
/// The history is not the engine's own, or not whole.
pub(super) async fn bootstrap(
    pipeline: &std::sync::Arc<Pipeline>,
    manifest: &Manifest,
    outputs: &mut Outputs,
    epoch: Epoch,
) -> Result<Vec<Bootstrapped>> {
    let mut done = Vec::new();
    for (source, groups) in wanted(pipeline, manifest) {
        let def = &pipeline.sources[source].def;
        let features = groups.iter().flat_map(|g| &pipeline.groups[*g].features);
        let features: Vec<usize> = features.copied().flatten().collect();
        let history = History::find(def, super::definitions::compute(def)?).await?;
        let history = history.with_floors(saved::floors(manifest, &def.name)?);
        let pending = outputs.waiting(OutputId::Archive(source));
        let mut rows = in_order(&plain_session(), &history, pending).await?;
        let mut filling = Filling::new(pipeline.clone(), manifest, source, groups)?;
        let (mut read, mut reported) = (0, clock::monotonic());
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            read += batch.num_rows();
            // Operators compute: not on a thread that answers requests.
            let step = tokio::task::spawn_blocking(move || -> Result<(Filling, Finals)> {
                let finals = filling.take(&batch)?;
                Ok((filling, finals))
            });
            let finals;
            (filling, finals) =
                step.await.map_err(|e| Error::internal(format!("bootstrap: {e}")))??;
            put(outputs, &finals, epoch).await?;
            if reported.elapsed() >= REPORT {
                reported = clock::monotonic();
                tracing::info!("history of '{}': {read} rows taken in", def.name);
            }
        }
        let mut filled = filling.finish()?;
        put(outputs, &std::mem::take(&mut filled.finals), epoch).await?;
        done.push(Bootstrapped { features, filled });
    }
    Ok(done)
}

async fn put(outputs: &mut Outputs, finals: &Finals, epoch: Epoch) -> Result<()> {
    for (feature, rows) in finals {
        outputs.take(OutputId::Feature(*feature), rows)?;
    }
    outputs.stage_large(epoch).await
}
