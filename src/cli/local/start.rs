//! From the definitions of a home and its last checkpoint to a running engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::feature::{FeatureDef, OfflineStoreDef, OnlineStoreDef};
use crate::catalog::persist;
use crate::catalog::registry::Catalog;
use crate::catalog::source::SourceDef;
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::recover::Recovered;
use crate::checkpoint::store::CheckpointStore;
use crate::cli::engine::{RunOptions, Until};
use crate::cli::local::LocalEngine;
use crate::cli::local::bootstrap::{Bootstrapped, bootstrap};
use crate::error::{Error, Result};
use crate::format::dead_letter::dead_letter_schema;
use crate::model::key::KEY_GROUPS;
use crate::offline::archive;
use crate::offline::layout::{self, DayOf, segment};
use crate::offline::store::{Location, Stores};
use crate::offline::writer::{DatedSpec, DatedWriter, abort_after};
use crate::online::redis::RedisStore;
use crate::online::store::{OnlineFeature, OnlineStore};
use crate::runtime::assemble::{OpenSource, Opening, Start};
use crate::runtime::committer::Stop;
use crate::runtime::memory::Budget;
use crate::runtime::online::Target;
use crate::runtime::outputs::{DeadLetters, Output, Outputs};
use crate::runtime::pipeline::{Pipeline, Planned};
use crate::runtime::resume::{Owner, Resume, resume};
use crate::runtime::saved;
use crate::runtime::supervisor::{Running, start};
use crate::source::dead_topic::DeadTopic;
use crate::source::open::open_source;

/// An engine that has begun.
pub(super) struct Resumed {
    pub running: Arc<Running>,
    /// What recovery had to pass over.
    pub warnings: Vec<String>,
    /// What features that began with history took in.
    pub notes: Vec<String>,
}

impl LocalEngine {
    /// Directory of the dead letters of a source.
    pub(super) fn dead_letter_url(&self, def: &SourceDef) -> String {
        let folder = segment(&def.name);
        match &def.options.dead_letter {
            Some(url) if def.options.dead_letter_topic().is_none() => {
                format!("{}/{folder}", url.trim_end_matches('/'))
            }
            _ => self.home.dead_letter().join(folder).display().to_string(),
        }
    }

    fn offline_url(&self, def: &FeatureDef) -> Option<String> {
        match &def.options.offline {
            OfflineStoreDef::Home => Some(self.home.offline().display().to_string()),
            OfflineStoreDef::Url(url) => Some(url.clone()),
            OfflineStoreDef::None => None,
        }
    }

    /// Directory of the final rows of a feature; `None` = not kept.
    pub(super) fn final_rows_url(&self, def: &FeatureDef) -> Option<String> {
        let folder = crate::offline::layout::feature_folder(&def.name, def.version);
        self.offline_url(def).map(|url| format!("{}/{folder}", url.trim_end_matches('/')))
    }

    /// Where the checkpoints of the home are.
    ///
    /// # Errors
    /// `Usage` for another place than they are in already.
    pub(super) fn checkpoint_url(&self) -> Result<String> {
        let known = self.home.checkpoints_elsewhere()?;
        let Some(wanted) = &self.options.checkpoints else {
            return Ok(known.unwrap_or_else(|| self.home.checkpoints().display().to_string()));
        };
        // As one text, however it is written.
        let wanted = Location::resolve(wanted)?.url().to_owned();
        let own = self.home.checkpoints();
        let own = own.exists().then(|| own.display().to_string());
        match known.or(own) {
            Some(other) if Location::resolve(&other)?.url() != wanted => {
                Err(Error::usage(format!("the checkpoints of this home are in {other}"))
                    .with_hint(format!("leave --checkpoints {wanted} away, or use a new --home")))
            }
            _ => Ok(wanted),
        }
    }

    /// Recovers the home, which is locked, and starts its engine.
    pub(super) async fn resume(&self, options: &RunOptions) -> Result<Resumed> {
        let catalog = self.catalog()?;
        let stores = Arc::new(Stores::default());
        let url = self.checkpoint_url()?;
        let mut checkpoints = CheckpointStore::open(&url, stores.clone())?;
        let recovered = checkpoints.latest().await?;
        let planned = self.planned(&catalog, options, recovered.as_ref())?;
        let pipeline = Arc::new(Pipeline::build(planned)?);
        refuse_ended(&pipeline, recovered.as_ref())?;
        let targets = online_targets(&pipeline).await?;
        let from = Resume {
            pipeline: pipeline.clone(),
            checkpoints: &mut checkpoints,
            recovered: recovered.as_ref(),
            targets: &targets,
            defined: &|name: &str| catalog.source(name).is_ok(),
        };
        let open = async || open_sources(&pipeline, recovered.as_ref(), options.until).await;
        let outputs = async |owner| self.outputs(&pipeline, owner).await;
        let mut resumed = resume(from, open, outputs).await?;
        let mut filled = match &recovered {
            Some(recovered) => {
                let (outputs, epoch) = (&mut resumed.outputs, resumed.epoch.next());
                bootstrap(&pipeline, &recovered.manifest, outputs, epoch).await?
            }
            None => Vec::new(),
        };
        for bootstrapped in &mut filled {
            resumed.state.extend(bootstrapped.take_state());
        }
        self.record_starts(catalog, &pipeline, &resumed.sources, &filled)?;
        let notes = filled.iter().map(|filled| filled.in_words(&pipeline)).collect();
        let parts = Start {
            targets,
            sources: resumed.sources,
            state: resumed.state,
            outputs: resumed.outputs,
            checkpoints,
            epoch: resumed.epoch,
            parked: resumed.parked,
            generation: resumed.generation,
            lanes: lanes(options),
            checkpoint_interval: checkpoint_interval(options, &pipeline),
            at_end: options.until.map(|until| match until {
                Until::End => Stop::Finalise,
                Until::Now => Stop::Checkpoint,
            }),
            pipeline,
        };
        let running = start(parts, Budget::new(options.memory))?;
        let warnings = recovered.map_or_else(Vec::new, |r| r.warnings);
        Ok(Resumed { running: Arc::new(running), warnings, notes })
    }

    /// The features to run, planned, each with the group of state it continues.
    pub(super) fn planned(
        &self,
        catalog: &Catalog,
        options: &RunOptions,
        recovered: Option<&Recovered>,
    ) -> Result<Vec<Planned>> {
        for name in &options.features {
            catalog.feature(name)?;
        }
        let mut planned = Vec::new();
        for def in catalog.features() {
            if !options.features.is_empty() && !options.features.contains(&def.name) {
                continue;
            }
            let plan = self.plan_of(catalog, def)?;
            let source = catalog.source(&plan.source)?.clone();
            let manifest = recovered.map(|r| &r.manifest);
            let from_history = def.options.bootstrap;
            let start = saved::start_of(manifest, &def.name, def.version, from_history);
            let (feature, query) = (Some(self.effective(def)), def.query.clone());
            planned.push(Planned { feature, plan, query, source, start });
        }
        if planned.is_empty() {
            return Err(Error::usage(format!(
                "{} defines no features",
                self.home.path().display()
            ))
            .with_hint("apply a file first: skewless apply FILE"));
        }
        if let Some(recovered) = recovered {
            let retired = self.retired(catalog, &planned, &recovered.manifest)?;
            planned.extend(retired);
        }
        Ok(planned)
    }

    /// Members of saved groups that were dropped or replaced while others of the group go on.
    fn retired(
        &self,
        catalog: &Catalog,
        planned: &[Planned],
        manifest: &Manifest,
    ) -> Result<Vec<Planned>> {
        let runs = planned.iter().map(|p| (p.plan.feature.as_str(), p.plan.version)).collect();
        let reads = |name: &str| planned.iter().any(|p| p.source.name == name);
        let defined = |name: &str| catalog.feature(name).ok().map(|def| def.version);
        let retired = saved::retired(manifest, &runs, reads, defined)?;
        let planned = retired.into_iter().map(|saved::Retired { name, state, start }| {
            let plan = self.plan_retired(catalog, &name, state.version, &state.query)?;
            let source = catalog.source(&plan.source)?.clone();
            Ok(Planned { feature: None, plan, query: state.query, source, start })
        });
        planned.collect()
    }

    async fn outputs(&self, pipeline: &Pipeline, owner: Owner) -> Result<Outputs> {
        let writer = layout::engine(owner.generation);
        let mut outputs = Outputs { features: Vec::new(), archives: Vec::new(), dead: Vec::new() };
        for feature in &pipeline.features {
            let Some(url) = self.offline_url(&feature.def) else {
                outputs.features.push(None);
                continue;
            };
            let store = Location::resolve(&url)?;
            let spec = DatedSpec::of(&feature.plan, &store, &writer)?;
            let interval = feature.def.options.offline_interval_us;
            outputs.features.push(Some(output(spec, interval, owner).await?));
        }
        let interval = crate::limits::OFFLINE_INTERVAL_US;
        for source in &pipeline.sources {
            let def = &source.def;
            outputs.archives.push(match (&def.options.history, def.options.archive) {
                (Some(url), true) => {
                    let location = Location::resolve(url)?;
                    archive::check_directory(&def.name, &location).await?;
                    let spec = archive::spec(def, location, &writer)?;
                    Some(output(spec, interval, owner).await?)
                }
                _ => None,
            });
            let of = def.clone();
            let topic = tokio::task::spawn_blocking(move || DeadTopic::open(&of)).await;
            let topic = topic.map_err(|e| Error::internal(format!("dead letters: {e}")))??;
            if let Some(topic) = topic {
                outputs.dead.push(DeadLetters::Topic(topic, Vec::new()));
                continue;
            }
            let schema = dead_letter_schema();
            let day = DayOf::columns(&schema, &["event_time", "timestamp"], false)?;
            let location = Location::resolve(&self.dead_letter_url(def))?;
            let spec =
                DatedSpec { location, schema, day, writer: writer.clone(), metadata: vec![] };
            let files = output(spec, interval, owner).await?;
            outputs.dead.push(DeadLetters::Files(Box::new(files)));
        }
        Ok(outputs)
    }

    /// Notes where the input of features that run for the first time starts.
    fn record_starts(
        &self,
        mut catalog: Catalog,
        pipeline: &Pipeline,
        sources: &[OpenSource],
        filled: &[Bootstrapped],
    ) -> Result<()> {
        let mut changed = false;
        for (number, feature) in pipeline.features.iter().enumerate() {
            if catalog.feature_entry(&feature.def.name)?.start.is_some() {
                continue;
            }
            let starts = sources[feature.source].starts.iter().map(|p| (p.partition, p.offset));
            let mut positions: BTreeMap<u32, i64> = starts.collect();
            if let Some(filled) = filled.iter().find(|f| f.features.contains(&number)) {
                positions.extend(&filled.filled.starts);
            }
            let start = serde_json::to_string(&positions)
                .map_err(|e| Error::internal(format!("positions: {e}")))?;
            catalog.set_start(&feature.def.name, start)?;
            changed = true;
        }
        if changed { persist::save(self.home.path(), &catalog) } else { Ok(()) }
    }
}

async fn output(spec: DatedSpec, interval_us: i64, owner: Owner) -> Result<Output> {
    spec.location.check_writable().await?;
    abort_after(&spec.location, owner.committed, owner.generation).await?;
    let interval = Duration::from_micros(u64::try_from(interval_us).unwrap_or(0));
    Ok(Output::new(DatedWriter::new(spec), interval))
}

fn refuse_ended(pipeline: &Pipeline, recovered: Option<&Recovered>) -> Result<()> {
    let Some(recovered) = recovered else { return Ok(()) };
    for source in &pipeline.sources {
        let name = &source.def.name;
        if recovered.manifest.sources.get(name).is_some_and(|saved| saved.ended) {
            return Err(Error::usage(format!(
                "source '{name}' has ended: every window was closed by `run --until end`"
            ))
            .with_hint(
                "use a new --home to stream it again, or --until now for runs to continue",
            ));
        }
    }
    Ok(())
}

fn lanes(options: &RunOptions) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    options.lanes.unwrap_or(cores).clamp(1, KEY_GROUPS)
}

/// The shortest of the option and the features' `offline.interval`.
fn checkpoint_interval(options: &RunOptions, pipeline: &Pipeline) -> Duration {
    let intervals = pipeline.features.iter().map(|f| f.def.options.offline_interval_us);
    let shortest = intervals.filter_map(|us| u64::try_from(us).ok()).min();
    let shortest = shortest.map_or(options.checkpoint_interval, Duration::from_micros);
    shortest.min(options.checkpoint_interval).max(Duration::from_millis(100))
}

/// Opens every source where the checkpoint left it, or at its start.
async fn open_sources(
    pipeline: &Arc<Pipeline>,
    recovered: Option<&Recovered>,
    until: Option<Until>,
) -> Result<Vec<OpenSource>> {
    let mut opened = Vec::new();
    for of in &pipeline.sources {
        let def = of.def.clone();
        let compute = super::definitions::compute(&def)?;
        let manifest = recovered.map(|recovered| recovered.manifest.clone());
        // Sources block: they have a thread of their own, also while they are opened.
        let open = tokio::task::spawn_blocking(move || -> Result<OpenSource> {
            let source = open_source(&def, None)?;
            let (manifest, until_end) = (manifest.as_ref(), until.is_some());
            OpenSource::open(source, Opening { def, compute, manifest, until_end })
        });
        let open = open.await.map_err(|e| Error::internal(format!("opening a source: {e}")))?;
        opened.push(open?);
    }
    Ok(opened)
}

/// Where current values are written, by number of the feature; one connection per URL.
async fn online_targets(pipeline: &Pipeline) -> Result<BTreeMap<usize, Target>> {
    let mut stores: BTreeMap<String, Arc<dyn OnlineStore>> = BTreeMap::new();
    let mut targets = BTreeMap::new();
    for (number, feature) in pipeline.features.iter().enumerate() {
        let OnlineStoreDef::Redis(url) = &feature.def.options.online else { continue };
        let store = match stores.get(url) {
            Some(store) => store.clone(),
            None => {
                let store: Arc<dyn OnlineStore> = Arc::new(RedisStore::open(url)?);
                store.ping().await?;
                stores.insert(url.clone(), store.clone());
                store
            }
        };
        let feature = OnlineFeature::of(&feature.plan, &feature.def.options.online_key)?;
        targets.insert(number, Target { feature, store });
    }
    Ok(targets)
}
