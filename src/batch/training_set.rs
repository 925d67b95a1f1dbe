//! Features at the times of labels: which passes over which histories answer them, and the rows
//! that come out. `cli` brings the labels and writes the rows.
//!
//! Features over the same rows of a source (equal WHERE and key) are one pass: one shuffle, one
//! sort, shared state; all passes of a source are one scan of its history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use crate::batch::fan;
use crate::batch::history::{History, HistoryKind};
use crate::batch::labels::{key_column, time_column, whole};
use crate::batch::map_exec::MapExec;
use crate::batch::point_in_time::{Found, Pass, Requests, pass_schema, run};
use crate::batch::requests::{Asked, Layout};
use crate::error::{Error, Result};
use crate::model::batch::{TIMESTAMP_COLUMN, timestamp_type};
use crate::model::time::EventTime;
use crate::operator::answer::Status;
use crate::operator::operator::Bound;
use crate::plan::dataflow::{FeaturePlan, Preparation, Projection, TimeColumns};
use crate::plan::reach::Reach;
use crate::plan::share::{StateGroup, merge};
use crate::sql::diagnostic::suggestion;

/// One feature and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub plan: FeaturePlan,
    /// Numbers of output columns.
    pub columns: Vec<usize>,
    /// One array per key column, of its type: a key per request.
    pub keys: Vec<ArrayRef>,
    /// What the keys were made of; features with equal texts have equal keys.
    pub key_names: Vec<String>,
}

/// How values are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub bound: Bound,
    /// Count only rows whose `_timestamp` is at most the request's time and this, µs.
    pub known_lag_us: Option<i64>,
}

/// The values of features at `times`, one [`Found`] per entry of `wanted`. `histories` has the
/// history of every source that is read.
///
/// # Errors
/// `Usage` if rows without a timestamp are to be judged by what was known; what reading and
/// computing give.
pub async fn features_at(
    context: &SessionContext,
    wanted: &[Wanted],
    histories: &BTreeMap<String, History>,
    times: &TimestampMicrosecondArray,
    lookup: Lookup,
    done: &Arc<AtomicU64>,
) -> Result<Vec<Found>> {
    let mut passes = Vec::new();
    // For each pass, for each of its readers, the number of the feature.
    let mut readers: Vec<Vec<usize>> = Vec::new();
    for (source, history) in histories {
        let shapes = shapes_of(source, wanted, lookup)?;
        if shapes.is_empty() {
            continue;
        }
        if lookup.known_lag_us.is_some() {
            check_timestamps(source, history)?;
        }
        let requests = Requests { keys: Vec::new(), times: times.clone() };
        let (from, to) = span(source, wanted, &requests);
        let admitted = history.admitted(context, from, to).await?;
        let copies = fan::copies(admitted, shapes.len())?;
        for (shape, admitted) in shapes.into_iter().zip(copies) {
            readers.push(shape.readers.clone());
            passes.push(shape.pass(admitted, &requests, lookup)?);
        }
    }
    let found = run(context, passes, done).await?;
    let mut all: Vec<Option<Found>> = vec![None; wanted.len()];
    for (readers, found) in readers.iter().zip(found) {
        for (feature, found) in readers.iter().zip(found) {
            all[*feature] = Some(found);
        }
    }
    let all: Option<Vec<Found>> = all.into_iter().collect();
    all.ok_or_else(|| Error::internal("a feature without a pass"))
}

fn check_timestamps(source: &str, history: &History) -> Result<()> {
    match history.kind {
        HistoryKind::Archive | HistoryKind::Log { timestamps: true } => Ok(()),
        _ => Err(Error::usage(format!(
            "the history of source '{source}' does not say when its rows arrived ('{}')",
            TIMESTAMP_COLUMN
        ))
        .with_hint("leave --known-at out, or keep an archive: 'archive' = 'true'")),
    }
}

/// Event times that can matter: from the first label's reach to the last label.
fn span(
    source: &str,
    wanted: &[Wanted],
    requests: &Requests,
) -> (Option<EventTime>, Option<EventTime>) {
    let Some((oldest, newest)) = requests.span() else { return (None, None) };
    let own = wanted.iter().filter(|wanted| wanted.plan.source == source);
    let back = own.map(|wanted| match wanted.plan.reach() {
        Reach::Frame(us) => Some(us),
        // Whether there was anything at all is part of the answer.
        Reach::Ttl(_) | Reach::Unlimited => None,
    });
    let back = back.collect::<Option<Vec<i64>>>().and_then(|all| all.into_iter().max());
    let to = EventTime(newest.0.saturating_add(1));
    (back.map(|us| oldest.saturating_sub(us)), Some(to))
}

/// A pass without its rows.
struct Shape {
    layout: Layout,
    preparation: Preparation,
    asked: Vec<Asked>,
    keys: Vec<ArrayRef>,
    /// Numbers of the features, in the order of the readers.
    readers: Vec<usize>,
}

/// The passes over one source.
fn shapes_of(source: &str, wanted: &[Wanted], lookup: Lookup) -> Result<Vec<Shape>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, feature) in wanted.iter().enumerate().filter(|(_, w)| w.plan.source == source) {
        let same = |group: &Vec<usize>| {
            let first = &wanted[group[0]];
            first.plan.sharing == feature.plan.sharing && first.key_names == feature.key_names
        };
        match groups.iter_mut().find(|group| same(group)) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups.into_iter().map(|group| Shape::of(&group, wanted, lookup)).collect()
}

impl Shape {
    fn of(features: &[usize], wanted: &[Wanted], lookup: Lookup) -> Result<Self> {
        let plans = features.iter().map(|i| wanted[*i].plan.clone()).collect();
        let (mut asked, mut readers) = (Vec::new(), Vec::new());
        let mut rows: Option<Joint> = None;
        let first = &wanted[features[0]];
        for group in merge(plans)? {
            let rows = rows.get_or_insert_with(|| Joint::of(&group));
            let mut own = Vec::new();
            for member in &group.members {
                let same = |i: &&usize| wanted[**i].plan.feature == member.plan.feature;
                let number = *features
                    .iter()
                    .find(same)
                    .ok_or_else(|| Error::internal("a member that nobody asked for"))?;
                readers.push(number);
                own.push(member.reader(&group.window).select(&wanted[number].columns)?);
            }
            let values = rows.add(&group);
            asked.push(Asked { window: group.window, values, readers: own });
        }
        let rows = rows.ok_or_else(|| Error::internal("a pass without features"))?;
        let layout = Layout {
            key_types: first.plan.window.key_types().to_vec(),
            bound: lookup.bound,
            by_knowledge: lookup.known_lag_us.is_some(),
        };
        Ok(Self { layout, preparation: rows.preparation, asked, keys: first.keys.clone(), readers })
    }

    fn pass(
        self,
        admitted: Arc<dyn ExecutionPlan>,
        requests: &Requests,
        lookup: Lookup,
    ) -> Result<Pass> {
        let Self { layout, mut preparation, asked, keys, .. } = self;
        let values = preparation.projection.schema.fields().iter().skip(layout.key_types.len() + 3);
        let values: Vec<DataType> = values.map(|field| field.data_type().clone()).collect();
        let schema = pass_schema(&layout, &values);
        if layout.by_knowledge {
            add_timestamp(&mut preparation.projection, &admitted.schema())?;
        }
        let (lag, time) = (lookup.known_lag_us, layout.key_types.len());
        let out = schema.clone();
        let map = move |rows: &RecordBatch| {
            let rows = preparation.evaluate(rows)?;
            let rows = match lag {
                Some(lag) => known(&rows, time, lag)?,
                None => rows,
            };
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let columns = rows.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(out.clone(), columns, &options)?)
        };
        let rows = Arc::new(MapExec::new("PrepareExec", admitted, schema, Arc::new(map)));
        let requests = Requests { keys, times: requests.times.clone() };
        Ok(Pass { layout, rows, asked, requests })
    }
}

/// The rows of several state groups over the same rows: every value column once.
struct Joint {
    preparation: Preparation,
    fixed: usize,
}

impl Joint {
    fn of(group: &StateGroup) -> Self {
        let fixed = group.window.key_types().len() + 3;
        Self { preparation: group.preparation.clone(), fixed }
    }

    /// Where the value columns of a group are.
    fn add(&mut self, group: &StateGroup) -> Vec<usize> {
        let ours = &mut self.preparation.projection;
        let theirs = &group.preparation.projection;
        let mut fields: Vec<_> = ours.schema.fields().iter().cloned().collect();
        let own = theirs.expressions.iter().zip(theirs.schema.fields()).skip(self.fixed);
        let mut places = Vec::new();
        for (expression, field) in own {
            let known = ours.expressions.iter().zip(&fields).skip(self.fixed);
            let mut known = known.map(|(e, f)| (e, f.data_type()));
            let at = known.position(|known| known == (expression, field.data_type()));
            places.push(at.unwrap_or_else(|| {
                ours.expressions.push(expression.clone());
                fields.push(field.clone());
                fields.len() - 1 - self.fixed
            }));
        }
        ours.schema = Arc::new(Schema::new(fields));
        places
    }
}

/// Adds the record's own timestamp as the last column.
fn add_timestamp(projection: &mut Projection, admitted: &SchemaRef) -> Result<()> {
    let at = admitted.index_of(TIMESTAMP_COLUMN)?;
    let column = Arc::new(Column::new(TIMESTAMP_COLUMN, at)) as Arc<dyn PhysicalExpr>;
    projection.expressions.push(column);
    let mut fields: Vec<_> = projection.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(TIMESTAMP_COLUMN, timestamp_type(), true)));
    projection.schema = Arc::new(Schema::new(fields));
    Ok(())
}

/// Replaces the timestamp in the last column by the first time at which the row counts; rows
/// without a timestamp never do.
fn known(rows: &RecordBatch, time: usize, lag_us: i64) -> Result<RecordBatch> {
    let last = rows.num_columns() - 1;
    let arrived = rows.column(last).as_primitive::<TimestampMicrosecondType>();
    let times = rows.column(time).as_primitive::<TimestampMicrosecondType>();
    let known = arrived.iter().zip(times.values());
    let known = known.map(|(arrived, time)| Some(arrived?.saturating_sub(lag_us).max(*time)));
    let known = TimestampMicrosecondArray::from_iter(known).with_timezone("UTC");
    let keep = BooleanArray::from_iter((0..known.len()).map(|row| Some(known.is_valid(row))));
    let mut columns = rows.columns().to_vec();
    columns[last] = Arc::new(known);
    Ok(filter_record_batch(&RecordBatch::try_new(rows.schema(), columns)?, &keep)?)
}

/// A feature as it was asked for: `name`, or columns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureChoice {
    pub feature: String,
    /// `None` = every value column.
    pub columns: Option<Vec<String>>,
}

/// `A`, `B:column`, … as choices, features in the order of their first mention.
pub fn choices(texts: &[String]) -> Result<Vec<FeatureChoice>> {
    let mut all: Vec<FeatureChoice> = Vec::new();
    for text in texts {
        let (feature, column) = match text.split_once(':') {
            Some((feature, column)) => (feature.trim(), Some(column.trim())),
            None => (text.trim(), None),
        };
        if feature.is_empty() || column == Some("") {
            return Err(Error::usage(format!("'{text}' names no feature"))
                .with_hint("write feature, or feature:column"));
        }
        let at = all.iter().position(|choice| choice.feature == feature).unwrap_or_else(|| {
            let columns = column.map(|_| Vec::new());
            all.push(FeatureChoice { feature: feature.to_owned(), columns });
            all.len() - 1
        });
        match (&mut all[at].columns, column) {
            (Some(columns), Some(column)) => columns.push(column.to_owned()),
            // The whole feature includes each of its columns.
            (columns, None) => *columns = None,
            (None, Some(_)) => {}
        }
    }
    Ok(all)
}

/// The numbers of the output columns that a choice names.
pub fn chosen_columns(plan: &FeaturePlan, choice: &FeatureChoice) -> Result<Vec<usize>> {
    let Some(names) = &choice.columns else {
        let all = plan.value_columns.iter().map(|name| Ok(plan.schema().index_of(name)?));
        return all.collect();
    };
    let time = match &plan.time_column {
        TimeColumns::Event(name) => vec![name],
        TimeColumns::Window { start, end } => vec![start, end],
    };
    let known: Vec<&String> = plan.value_columns.iter().chain(time).collect();
    let column = |name: &String| {
        if known.contains(&name) {
            return Ok(plan.schema().index_of(name)?);
        }
        let error = Error::usage(format!("feature '{}' has no value '{name}'", plan.feature));
        Err(match suggestion(name, known.iter().map(|known| known.as_str())) {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    };
    names.iter().map(column).collect()
}

/// The labels of a training set, in memory.
#[derive(Clone, Debug)]
pub struct Labels {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

impl Labels {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn column(&self, name: &str) -> Result<ArrayRef> {
        let Ok(at) = self.schema.index_of(name) else {
            let error = Error::usage(format!("the labels have no column '{name}'"));
            let fields = self.schema.fields().iter();
            return Err(match suggestion(name, fields.map(|field| field.name().as_str())) {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        };
        let parts: Vec<ArrayRef> = self.batches.iter().map(|b| b.column(at).clone()).collect();
        whole(&parts, self.schema.field(at).data_type())
    }

    /// The times of the labels.
    pub fn times(&self, name: &str) -> Result<TimestampMicrosecondArray> {
        time_column(&self.column(name)?, name)
    }

    /// What is wanted of a feature; `renamed` says which label column a key column is, if not
    /// the one of its own name.
    pub fn wanted(
        &self,
        plan: FeaturePlan,
        columns: Vec<usize>,
        renamed: &[(String, String)],
    ) -> Result<Wanted> {
        let (mut keys, mut key_names) = (Vec::new(), Vec::new());
        for (key, data_type) in plan.key_columns.iter().zip(plan.window.key_types()) {
            let other = renamed.iter().find(|(name, _)| name == key).map(|(_, label)| label);
            let label = other.unwrap_or(key);
            let array = self.column(label).map_err(|error| match other {
                Some(_) => error,
                None => Error::usage(format!("{}, the key of '{}'", error.message(), plan.feature))
                    .with_hint(format!("say which it is: --key {key}=<column of the labels>")),
            })?;
            keys.push(key_column(&array, data_type, label)?);
            key_names.push(label.clone());
        }
        Ok(Wanted { plan, columns, keys, key_names })
    }
}

/// How the columns of a training set are named, and which there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// `feature__column` instead of `column`.
    pub full_names: bool,
    /// A status column per feature.
    pub status: bool,
}

/// The schema of a training set: the labels' columns, then those of the features.
pub fn training_schema(labels: &Schema, wanted: &[Wanted], naming: Naming) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = labels.fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut owners: Vec<String> = fields.iter().map(|_| "the labels".to_owned()).collect();
    for feature in wanted {
        let name = &feature.plan.feature;
        let owner = format!("feature '{name}'");
        let own = feature.columns.iter().map(|i| feature.plan.schema().field(*i));
        let own = own.map(|field| {
            let column = match naming.full_names {
                true => format!("{name}__{}", field.name()),
                false => field.name().clone(),
            };
            Field::new(column, field.data_type().clone(), true)
        });
        let mut own: Vec<Field> = own.collect();
        if naming.status {
            own.push(Field::new(format!("{name}__status"), DataType::Utf8, false));
        }
        for field in own {
            if let Some(at) = fields.iter().position(|known| known.name() == field.name()) {
                return Err(Error::usage(format!(
                    "two columns called '{}': {} and {owner}",
                    field.name(),
                    owners[at]
                ))
                .with_hint("--full-names writes feature__column"));
            }
            fields.push(field);
            owners.push(owner.clone());
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The rows of a training set, label by label; batches are cut as the labels are.
pub fn training_rows(
    labels: &Labels,
    found: &[Found],
    schema: &SchemaRef,
    naming: Naming,
) -> Result<Vec<RecordBatch>> {
    let mut statuses = Vec::new();
    for found in found.iter().filter(|_| naming.status) {
        statuses.push(StringArray::from_iter_values(found.status.iter().map(|s| s.name())));
    }
    let (mut batches, mut start) = (Vec::with_capacity(labels.batches.len()), 0);
    for batch in &labels.batches {
        let rows = batch.num_rows();
        let mut columns = batch.columns().to_vec();
        for (i, found) in found.iter().enumerate() {
            columns.extend(found.columns.iter().map(|column| column.slice(start, rows)));
            if let Some(status) = statuses.get(i) {
                columns.push(Arc::new(status.slice(start, rows)));
            }
        }
        start += rows;
        batches.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(batches)
}

/// The leakage guard: labels for which some feature saw a row (or the end of a window) at or
/// after the label's own time. Computed from what was found, so it is 0 for strict lookups only
/// if they are.
pub fn at_or_after(found: &[Found], times: &TimestampMicrosecondArray) -> u64 {
    let sees = |row: usize| {
        let time = times.is_valid(row).then(|| times.value(row));
        found.iter().any(|found| {
            found.newest.is_valid(row) && time.is_none_or(|time| found.newest.value(row) >= time)
        })
    };
    (0..times.len()).filter(|row| sees(*row)).count() as u64
}

/// Labels for which a feature has a value.
pub fn present(found: &Found) -> u64 {
    found.status.iter().filter(|status| **status == Status::Present).count() as u64
}

#[cfg(test)]
pub mod tests;
