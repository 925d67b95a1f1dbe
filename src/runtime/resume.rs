//! From the last checkpoint to an engine that can start, as its only owner: reads what the stores
//! remember, commits the epoch with which this engine takes over, and only then lets go of what
//! others prepared. The order matters and is the same for every driver.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::checkpoint::recover::Recovered;
use crate::checkpoint::store::CheckpointStore;
use crate::error::Result;
use crate::failpoint;
use crate::model::batch::Position;
use crate::model::epoch::Epoch;
use crate::online::store::Mark;
use crate::runtime::assemble::OpenSource;
use crate::runtime::lane::CellId;
use crate::runtime::online::Target;
use crate::runtime::outputs::Outputs;
use crate::runtime::pipeline::Pipeline;
use crate::runtime::saved::{self, Parked};
use crate::state::snapshot::Snapshot;

/// What an engine resumes from.
pub struct Resume<'a> {
    pub pipeline: Arc<Pipeline>,
    /// Positioned by [`CheckpointStore::latest`].
    pub checkpoints: &'a mut CheckpointStore,
    pub recovered: Option<&'a Recovered>,
    pub targets: &'a BTreeMap<usize, Target>,
    /// Whether a source is defined, run or not.
    pub defined: &'a (dyn Fn(&str) -> bool + Sync),
}

/// What it resumes with.
pub struct Resumed {
    pub sources: Vec<OpenSource>,
    pub outputs: Outputs,
    pub state: Vec<(CellId, Snapshot)>,
    pub parked: Parked,
    /// The epoch with which this engine has taken over.
    pub epoch: Epoch,
    pub generation: u64,
}

/// Where an output must not clash with what another engine writes.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub generation: u64,
    /// What was prepared for later epochs is nobody's.
    pub committed: Epoch,
}

/// Takes over and restores. `open` opens the sources where the manifest left them; `outputs` opens
/// the outputs and drops what nobody committed.
///
/// # Errors
/// `Fenced` if another engine commits or has claimed a store meanwhile; whatever the stores say.
pub async fn resume(
    from: Resume<'_>,
    open: impl AsyncFnOnce() -> Result<Vec<OpenSource>>,
    outputs: impl AsyncFnOnce(Owner) -> Result<Outputs>,
) -> Result<Resumed> {
    let manifest = from.recovered.map(|recovered| &recovered.manifest);
    let committed = from.recovered.map_or(Epoch(0), Recovered::epoch);
    let marks = marks(from.targets).await?;
    let newest = marks.values().map(|mark| mark.generation).max().unwrap_or(0);
    let mut generation = newest.max(manifest.map_or(0, |m| m.generation)) + 1;
    if failpoint::broken("reuse the generation") {
        generation = 1;
    }
    failpoint::pass("recover.before_load")?;
    let sources = open().await?;
    let epoch = committed.next();
    let starts: Vec<_> = sources.iter().map(OpenSource::start).collect();
    let draft = saved::taken_over(manifest, epoch, generation, &from.pipeline, starts)?;
    // From here on no other engine can commit to these checkpoints.
    from.checkpoints.commit(draft).await?;
    match restore(&from, Owner { generation, committed }, sources, outputs).await {
        Ok(resumed) => Ok(resumed),
        Err(error) => Err(from.checkpoints.overtaken_or(error, generation).await),
    }
}

/// What follows the takeover.
async fn restore(
    from: &Resume<'_>,
    owner: Owner,
    mut sources: Vec<OpenSource>,
    outputs: impl AsyncFnOnce(Owner) -> Result<Outputs>,
) -> Result<Resumed> {
    let Owner { generation, committed } = owner;
    failpoint::pass("takeover.after")?;
    for target in from.targets.values() {
        target.store.claim(&target.feature, generation).await?;
    }
    // Only now nobody else writes there any more.
    let marks = self::marks(from.targets).await?;
    for (number, source) in sources.iter_mut().enumerate() {
        source.hold_until(&held_positions(&from.pipeline, number, &marks));
    }
    for (feature, mark) in &marks {
        let source = &mut sources[from.pipeline.features[*feature].source];
        source.refreshed = source.refreshed.max(mark.refreshed);
    }
    let mut outputs = outputs(owner).await?;
    let restored = match from.recovered {
        Some(recovered) => saved::restore(recovered, &from.pipeline).await?,
        None => saved::Restored::default(),
    };
    for (id, rows) in &restored.carried {
        outputs.take(*id, rows)?;
    }
    failpoint::pass("recover.after_load")?;
    let manifest = from.recovered.map(|recovered| &recovered.manifest);
    let parked = manifest.map(|m| Parked::of(m, &from.pipeline, from.defined));
    Ok(Resumed {
        sources,
        outputs,
        state: restored.cells,
        parked: parked.unwrap_or_default(),
        epoch: committed.next(),
        generation,
    })
}

/// What the stores remember of earlier writers, by number of the feature.
async fn marks(targets: &BTreeMap<usize, Target>) -> Result<HashMap<usize, Mark>> {
    let mut marks = HashMap::new();
    for (number, target) in targets {
        if let Some(mark) = target.store.mark(&target.feature).await? {
            marks.insert(*number, mark);
        }
    }
    Ok(marks)
}

/// The newest positions of a source that its features' stores may hold rows up to.
fn held_positions(
    pipeline: &Pipeline,
    source: usize,
    marks: &HashMap<usize, Mark>,
) -> Vec<Position> {
    let own = marks.iter().filter(|(feature, _)| pipeline.features[**feature].source == source);
    let mut newest: BTreeMap<u32, i64> = BTreeMap::new();
    for (partition, offset) in own.flat_map(|(_, mark)| &mark.positions) {
        let known = newest.entry(*partition).or_insert(*offset);
        *known = (*known).max(*offset);
    }
    newest.into_iter().map(|(partition, offset)| Position { partition, offset }).collect()
}
