//! The DataFusion session behind ad-hoc SQL, history scans and our own oracles, and the parts of
//! it that planning a feature shares: options, scalar functions, SQL types.
//!
//! Never used to run a feature: operators do that. Callers: `bind`, `computed`, `batch`, `cli`.

use std::sync::{Arc, PoisonError, RwLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::AggregateUDF;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer};
use datafusion::prelude::{SessionConfig, SessionContext};
use sqlparser::ast::DataType as SqlType;

use super::checked::ErrorCounter;
use super::lenient::Lenient;
use super::relation::{WindowFunctions, window_udfs};
use crate::aggregate::udaf;
use crate::error::Result;
use crate::model::batch::timestamp_type;

/// What a caller decides about a session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Plans depend on it: pin it where a plan's text matters.
    pub target_partitions: usize,
    pub batch_size: usize,
    /// Memory pool and spill directory; `None` = unbounded memory.
    pub runtime: Option<Arc<RuntimeEnv>>,
    /// Counts rows on which an expression failed.
    pub errors: ErrorCounter,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            target_partitions: 2,
            batch_size: 8_192,
            runtime: None,
            errors: ErrorCounter::default(),
        }
    }
}

/// A session with our types, the lenient rules and TUMBLE/HOP over whatever tables the caller
/// registers. `aggregates` override the built-in ones of the same names.
pub fn session(aggregates: Vec<Arc<AggregateUDF>>, options: &SessionOptions) -> SessionContext {
    let config = config()
        .with_target_partitions(options.target_partitions)
        .with_batch_size(options.batch_size);
    let mut builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_type_planner(Arc::new(Types))
        .with_relation_planners(vec![Arc::new(WindowFunctions)])
        .with_analyzer_rules(analyzer_rules(&options.errors))
        .with_optimizer_rules(optimizer_rules());
    if let Some(runtime) = &options.runtime {
        builder = builder.with_runtime_env(runtime.clone());
    }
    if let Some(functions) = builder.aggregate_functions() {
        functions.extend(aggregates);
        let own = super::registered::own_aggregates();
        functions.extend(own.iter().map(|own| Arc::new(udaf::own(own))));
    }
    if let Some(functions) = builder.scalar_functions() {
        functions.extend(window_udfs());
        functions.extend(super::scalar::all());
        functions.extend(super::registered::functions());
    }
    SessionContext::new_with_state(builder.build())
}

/// Type coercion, then the lenient rules.
pub(super) fn analyzer_rules(errors: &ErrorCounter) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    rules.push(Arc::new(Lenient { errors: errors.clone() }));
    rules
}

/// Everything but the split of COUNT(DISTINCT) into two aggregations: it would take our exact
/// aggregates apart.
fn optimizer_rules() -> Vec<Arc<dyn datafusion::optimizer::OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| rule.name() != "single_distinct_aggregation_to_group_by");
    rules
}

/// The options of every session: one text type, spans in errors, files read in declared order.
fn config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.enable_file_stream_work_stealing = false;
    config
}

static STATE: RwLock<Option<&'static SessionState>> = RwLock::new(None);

/// The functions and options that binding reads; another one after each registration.
pub(super) fn functions() -> &'static SessionState {
    let known = *STATE.read().unwrap_or_else(PoisonError::into_inner);
    known.unwrap_or_else(refresh)
}

/// Builds them anew. The few that are made stay for ever.
pub(super) fn refresh() -> &'static SessionState {
    let mut builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config())
        .with_type_planner(Arc::new(Types));
    if let Some(functions) = builder.scalar_functions() {
        functions.extend(super::scalar::all());
        functions.extend(super::registered::functions());
    }
    let state: &'static SessionState = Box::leak(Box::new(builder.build()));
    *STATE.write().unwrap_or_else(PoisonError::into_inner) = Some(state);
    state
}

pub(super) fn options() -> &'static ConfigOptions {
    functions().config_options()
}

/// SQL types as this engine holds them: every TIMESTAMP is µs UTC.
#[derive(Debug)]
pub(super) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> datafusion::common::Result<Option<FieldRef>> {
        let data_type = match sql_type {
            SqlType::Timestamp(..) | SqlType::Datetime(_) | SqlType::TimestampNtz(_) => {
                timestamp_type()
            }
            SqlType::Bytea | SqlType::Blob(_) | SqlType::Binary(_) | SqlType::Varbinary(_) => {
                DataType::Binary
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("type", data_type, true))))
    }
}

/// Parses, plans and runs one SELECT (or COPY, EXPLAIN) in a session of [`session`].
pub async fn sql(context: &SessionContext, text: &str) -> Result<datafusion::prelude::DataFrame> {
    let statement = super::relation::parse(context, text)?;
    statement_frame(context, statement).await
}

/// The same for a statement that is already parsed.
pub async fn statement_frame(
    context: &SessionContext,
    mut statement: datafusion::sql::parser::Statement,
) -> Result<datafusion::prelude::DataFrame> {
    super::relation::prepare(&mut statement)?;
    let plan = context
        .state()
        .statement_to_plan(statement)
        .await
        .map_err(super::expression::planning_error)?;
    context.execute_logical_plan(plan).await.map_err(super::expression::planning_error)
}

#[cfg(test)]
mod tests;
