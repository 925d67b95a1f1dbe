//! Features at the times of labels: definitions and histories found, labels read, rows written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use datafusion::datasource::memory::MemorySourceConfig;

use crate::batch::backfill::streams;
use crate::batch::history::History;
use crate::batch::label_files;
use crate::batch::training_set::{
    Lookup, Naming, at_or_after, choices, chosen_columns, features_at, present, training_rows,
    training_schema,
};
use crate::cli::engine::{Counts, TrainingSetOptions, TrainingSetSummary};
use crate::cli::local::LocalEngine;
use crate::cli::local::query::plain_session;
use crate::cli::progress::{ProgressLine, ProgressNow};
use crate::cli::signal::Stop;
use crate::error::{Error, Result};
use crate::offline::output::OutputTarget;
use crate::operator::operator::Bound;
use crate::plan::dataflow::FeaturePlan;

/// Between two looks at the progress.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

impl LocalEngine {
    pub(super) async fn write_training_set(
        &self,
        options: &TrainingSetOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<TrainingSetSummary> {
        let target = OutputTarget::open(&options.out, options.overwrite).await?;
        let histories = Histories::default();
        let work = self.training_set_of(options, &target, &histories);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK) => {
                    progress.report(&histories.progress());
                    if stop.requested() {
                        return Err(Stop::interrupted());
                    }
                }
            }
        }
    }

    /// The plans of the features asked for, with the columns wanted of each.
    fn chosen(&self, options: &TrainingSetOptions) -> Result<Vec<(FeaturePlan, Vec<usize>)>> {
        let catalog = self.catalog()?;
        let mut chosen = Vec::new();
        for choice in choices(&options.features)? {
            let def = catalog.feature(&choice.feature)?;
            let mut plan = self.plan_of(&catalog, def)?;
            if let Some(ttl_us) = options.ttl_us {
                plan = plan.with_ttl(ttl_us);
            }
            let columns = chosen_columns(&plan, &choice)?;
            chosen.push((plan, columns));
        }
        for (key, _) in &options.keys {
            let known = chosen.iter().any(|(plan, _)| plan.key_columns.contains(key));
            if !known {
                return Err(Error::usage(format!("--key {key}=…: no feature has that key"))
                    .with_hint("write --key <key column of the feature>=<column of the labels>"));
            }
        }
        Ok(chosen)
    }

    async fn training_set_of(
        &self,
        options: &TrainingSetOptions,
        target: &OutputTarget,
        progress: &Histories,
    ) -> Result<TrainingSetSummary> {
        let chosen = self.chosen(options)?;
        let catalog = self.catalog()?;
        let mut histories = BTreeMap::new();
        for (plan, _) in &chosen {
            if !histories.contains_key(&plan.source) {
                let source = catalog.source(&plan.source)?;
                let history = self.history(source).await?;
                histories.insert(plan.source.clone(), history);
            }
        }
        progress.watch(&histories);
        let context = plain_session();
        let labels = label_files::read(&context, &options.labels).await?;
        let times = labels.times(&options.time)?;
        let wanted = chosen
            .into_iter()
            .map(|(plan, columns)| labels.wanted(plan, columns, &options.keys))
            .collect::<Result<Vec<_>>>()?;
        let naming = Naming { full_names: options.full_names, status: options.status };
        let schema = training_schema(&labels.schema, &wanted, naming)?;
        let bound = if options.inclusive { Bound::Inclusive } else { Bound::Strict };
        let lookup = Lookup { bound, known_lag_us: options.known_lag_us };
        let found =
            features_at(&context, &wanted, &histories, &times, lookup, &progress.answered).await?;
        let rows = training_rows(&labels, &found, &schema, naming)?;
        let rows = MemorySourceConfig::try_new_exec(&[rows], schema.clone(), None)?;
        let metadata = vec![("skewless.training_set".to_owned(), options.features.join(","))];
        let written = target.write(schema, streams(&context, rows.as_ref())?, &metadata).await?;
        let features = wanted.iter().zip(&found);
        let histories = histories.iter().map(|(source, history)| {
            let counts = history.counts();
            let counts = Counts {
                read: counts.read,
                admitted: counts.admitted,
                late: counts.late,
                future: counts.future,
                rejected: counts.rejected(),
            };
            (source.clone(), history.kind.to_string(), counts)
        });
        Ok(TrainingSetSummary {
            rows: written.rows,
            files: written.files,
            histories: histories.collect(),
            present: features.map(|(w, f)| (w.plan.feature.clone(), present(f))).collect(),
            at_or_after: at_or_after(&found, &times),
        })
    }
}

/// How far the work is, seen from outside.
#[derive(Default)]
struct Histories {
    reading: std::sync::Mutex<Vec<History>>,
    answered: Arc<AtomicU64>,
}

impl Histories {
    fn watch(&self, histories: &BTreeMap<String, History>) {
        let mut reading = self.reading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reading.extend(histories.values().cloned());
    }

    fn progress(&self) -> ProgressNow {
        let reading = self.reading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let rows = reading.iter().map(|history| history.counts().read).sum();
        let note = Some(format!("{} answers", self.answered.load(Relaxed)));
        ProgressNow { rows, note, ..ProgressNow::default() }
    }
}
