//! `a ASOF JOIN b MATCH_CONDITION (a.t > b.t) ON a.k = b.k` in plain SQL.
//!
//! DataFusion parses the join and cannot plan it. [`encode`] writes it as a table function whose
//! arguments are both sides and both conditions; [`AsofPlanner`] reads that back, plans the left
//! side with the keys and the time it is matched by as further columns, and leaves the rest to
//! `asof_table`. Called by `reference` and `adhoc`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result as DfResult, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, Query, SetExpr, Spanned, TableFactor, TableFunctionArgs,
    TableWithJoins,
};

use crate::batch::asof_table::{AsofTable, Right};
use crate::batch::history::History;
use crate::error::{Error, Result, Span};
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN, SYSTEM_COLUMNS};
use crate::operator::operator::Bound;
use crate::plan::dataflow::{FeaturePlan, TimeColumns};
use crate::sql::parser::parse_query;
use crate::sql::relations::table;

/// The table function that an encoded join is.
const FUNCTION: &str = "__asof_join";

/// Rewrites the ASOF joins of one FROM item; names of right sides that may be features or sources
/// are added to `names`.
pub fn encode(from: &mut TableWithJoins, names: &mut BTreeSet<String>) -> Result<()> {
    let is_asof = |join: &Join| matches!(join.join_operator, JoinOperator::AsOf { .. });
    let Some(last) = from.joins.iter().rposition(is_asof) else { return Ok(()) };
    let rest = from.joins.split_off(last + 1);
    let Some(join) = from.joins.pop() else { return Ok(()) };
    encode(from, names)?;
    let JoinOperator::AsOf { match_condition, constraint } = join.join_operator else {
        return Ok(());
    };
    let on = match constraint {
        JoinConstraint::On(on) => Some(on),
        JoinConstraint::None => None,
        other => {
            let what = match other {
                JoinConstraint::Natural => "a NATURAL ASOF JOIN",
                _ => "USING in an ASOF JOIN",
            };
            return Err(Error::not_yet(what)
                .with_hint("write ON a.key = b.key")
                .with_span(span_of(join.relation.span())));
        }
    };
    let left =
        std::mem::replace(from, TableWithJoins { relation: table(FUNCTION), joins: Vec::new() });
    let mut args = vec![SqlExpr::Subquery(all_of(left)?), right_of(join.relation, names)?];
    args.push(match_condition);
    args.extend(on);
    let arg = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let args = args.into_iter().map(arg).collect();
    let mut relation = table(FUNCTION);
    if let TableFactor::Table { args: place, .. } = &mut relation {
        *place = Some(TableFunctionArgs { args, settings: None });
    }
    *from = TableWithJoins { relation, joins: rest };
    Ok(())
}

/// `SELECT * FROM …`: tables in it are found by whoever looks for tables.
fn all_of(from: TableWithJoins) -> Result<Box<Query>> {
    let mut query = parse_query("SELECT * FROM x")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![from];
    }
    Ok(query)
}

/// The right side: `name` or `name.alias` for what may be a feature or a source, which must not
/// be looked up as a table; a sub-query for all else.
fn right_of(relation: TableFactor, names: &mut BTreeSet<String>) -> Result<SqlExpr> {
    if let TableFactor::Table { name, alias, args: None, .. } = &relation
        && let [part] = name.0.as_slice()
        && let Some(ident) = part.as_ident()
        && ident.quote_style != Some('\'')
        && alias.as_ref().is_none_or(|alias| alias.columns.is_empty())
    {
        names.insert(fold(ident));
        return Ok(match alias {
            None => SqlExpr::Identifier(ident.clone()),
            Some(alias) => SqlExpr::CompoundIdentifier(vec![ident.clone(), alias.name.clone()]),
        });
    }
    Ok(SqlExpr::Subquery(all_of(TableWithJoins { relation, joins: Vec::new() })?))
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn span_of(span: datafusion::sql::sqlparser::tokenizer::Span) -> Span {
    Span { start: (span.start.line, span.start.column), end: (span.end.line, span.end.column) }
}

/// What the name on the right side of a join stands for.
#[derive(Clone)]
pub enum Named {
    Feature {
        plan: Arc<FeaturePlan>,
        /// The event-time column of its source, by which its time may be called too.
        event_time: String,
        history: History,
    },
    /// The admitted history of a source, in log order.
    Source(Arc<dyn datafusion::catalog::TableProvider>),
}

/// Plans encoded joins.
#[derive(Clone)]
pub struct AsofPlanner {
    pub names: BTreeMap<String, Named>,
}

impl std::fmt::Debug for AsofPlanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names.keys()).finish()
    }
}

impl RelationPlanner for AsofPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        match Encoded::of(&relation) {
            None => Ok(RelationPlanning::Original(Box::new(relation))),
            Some(encoded) => {
                let plan = self.plan(encoded, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
            }
        }
    }
}

/// The parts of an encoded join.
struct Encoded {
    left: TableWithJoins,
    right: SqlExpr,
    match_condition: SqlExpr,
    on: Option<SqlExpr>,
}

impl Encoded {
    fn of(relation: &TableFactor) -> Option<Self> {
        let TableFactor::Table { name, args: Some(args), .. } = relation else { return None };
        let [part] = name.0.as_slice() else { return None };
        if part.as_ident()?.value != FUNCTION {
            return None;
        }
        let arg = |arg: &FunctionArg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        };
        let mut args = args.args.iter().map(arg).collect::<Option<Vec<_>>>()?.into_iter();
        let left = from_of(&args.next()?)?;
        Some(Self { left, right: args.next()?, match_condition: args.next()?, on: args.next() })
    }
}

/// The FROM item of an encoded sub-query.
fn from_of(expr: &SqlExpr) -> Option<TableWithJoins> {
    let SqlExpr::Subquery(query) = expr else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    select.from.first().cloned()
}

/// The right side, resolved.
struct RightSide {
    /// Its columns as SQL sees them.
    schema: DFSchemaRef,
    kind: RightKind,
}

enum RightKind {
    Feature {
        plan: Arc<FeaturePlan>,
        event_time: String,
        history: History,
    },
    /// A relation; `ordered`: its last columns are partition and offset.
    Relation {
        plan: LogicalPlan,
        ordered: bool,
    },
}

/// Columns of one side matched with the other.
struct Matched {
    left_keys: Vec<Expr>,
    right_keys: Vec<Expr>,
    left_time: Expr,
    right_time: Expr,
    bound: Bound,
}

impl AsofPlanner {
    fn plan(
        &self,
        encoded: Encoded,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<LogicalPlan> {
        let left = match encoded.left.joins.is_empty() {
            true => encoded.left.relation,
            false => {
                TableFactor::NestedJoin { table_with_joins: Box::new(encoded.left), alias: None }
            }
        };
        let left = context.plan(left)?;
        let right = self.right(&encoded.right, context)?;
        let mut sides = Sides { left: left.schema().clone(), right: &right, context };
        let matched = sides.matched(&encoded.match_condition, encoded.on.as_ref())?;
        joined(left, &right, matched)
    }

    fn right(
        &self,
        expr: &SqlExpr,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RightSide> {
        let (name, alias) = match expr {
            SqlExpr::Identifier(name) => (name, name),
            SqlExpr::CompoundIdentifier(parts) if parts.len() == 2 => (&parts[0], &parts[1]),
            other => {
                let from = from_of(other).ok_or_else(|| damaged("its right side"))?;
                let plan = context.plan(from.relation)?;
                let schema = plan.schema().clone();
                return Ok(RightSide {
                    schema,
                    kind: RightKind::Relation { plan, ordered: false },
                });
            }
        };
        let qualifier = TableReference::bare(fold(alias));
        match self.names.get(&fold(name)) {
            Some(Named::Feature { plan, event_time, history }) => {
                let schema = DFSchema::try_from_qualified_schema(qualifier, plan.schema())?;
                let kind = RightKind::Feature {
                    plan: plan.clone(),
                    event_time: event_time.clone(),
                    history: history.clone(),
                };
                Ok(RightSide { schema: Arc::new(schema), kind })
            }
            Some(Named::Source(table)) => {
                let source = provider_as_source(table.clone());
                let plan = LogicalPlanBuilder::scan(qualifier, source, None)?.build()?;
                let fields = plan.schema().iter().map(|(q, f)| (q.cloned(), f.clone()));
                let system = |name: &String| SYSTEM_COLUMNS.contains(&name.as_str());
                let own = fields.filter(|(_, field)| !system(field.name()));
                let schema = DFSchema::new_with_metadata(own.collect(), Default::default())?;
                let kind = RightKind::Relation { plan, ordered: true };
                Ok(RightSide { schema: Arc::new(schema), kind })
            }
            None => {
                let mut factor = table(FUNCTION);
                if let TableFactor::Table { name: place, alias: own, .. } = &mut factor {
                    *place = ObjectName::from(vec![name.clone()]);
                    if !std::ptr::eq(name, alias) {
                        *own = Some(datafusion::sql::sqlparser::ast::TableAlias {
                            explicit: true,
                            name: alias.clone(),
                            columns: vec![],
                            at: None,
                        });
                    }
                }
                let plan = context.plan(factor)?;
                let schema = plan.schema().clone();
                Ok(RightSide { schema, kind: RightKind::Relation { plan, ordered: false } })
            }
        }
    }
}

/// Both sides while their conditions are read.
struct Sides<'a> {
    left: DFSchemaRef,
    right: &'a RightSide,
    context: &'a mut dyn RelationPlannerContext,
}

impl Sides<'_> {
    fn matched(&mut self, match_condition: &SqlExpr, on: Option<&SqlExpr>) -> DfResult<Matched> {
        let (left_time, right_time, bound) = self.times(match_condition)?;
        let mut pairs = Vec::new();
        if let Some(on) = on {
            self.keys(on, &mut pairs)?;
        }
        let (left_keys, right_keys) = match &self.right.kind {
            RightKind::Feature { plan, .. } => in_key_order(plan, pairs)?,
            RightKind::Relation { .. } => pairs.into_iter().unzip(),
        };
        Ok(Matched { left_keys, right_keys, left_time, right_time, bound })
    }

    /// Terms `a = b`, ANDed.
    fn keys(&mut self, on: &SqlExpr, pairs: &mut Vec<(Expr, Expr)>) -> DfResult<()> {
        match on {
            SqlExpr::Nested(inner) => self.keys(inner, pairs),
            SqlExpr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.keys(left, pairs)?;
                self.keys(right, pairs)
            }
            SqlExpr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                pairs.push(match self.right_side(right) {
                    Some(theirs) => (self.left_side(left)?, theirs),
                    None => match self.right_side(left) {
                        Some(theirs) => (self.left_side(right)?, theirs),
                        None => return Err(wrong_on(on).into()),
                    },
                });
                Ok(())
            }
            other => Err(wrong_on(other).into()),
        }
    }

    /// Label time, the right side's time, and whether they may be equal.
    fn times(&mut self, condition: &SqlExpr) -> DfResult<(Expr, Expr, Bound)> {
        let inner = match condition {
            SqlExpr::Nested(inner) => inner,
            other => other,
        };
        let SqlExpr::BinaryOp { left, op, right } = inner else {
            return Err(wrong_match(condition).into());
        };
        let forward = self.right_time(right);
        let (label, time, op) = match forward {
            Some(time) => (left, time, op.clone()),
            None => {
                let Some(time) = self.right_time(left) else {
                    return Err(wrong_match(condition).into());
                };
                let flipped = match op {
                    BinaryOperator::Lt => BinaryOperator::Gt,
                    BinaryOperator::LtEq => BinaryOperator::GtEq,
                    BinaryOperator::Gt => BinaryOperator::Lt,
                    BinaryOperator::GtEq => BinaryOperator::LtEq,
                    other => other.clone(),
                };
                (right, time, flipped)
            }
        };
        let bound = match op {
            BinaryOperator::Gt => Bound::Strict,
            BinaryOperator::GtEq => Bound::Inclusive,
            BinaryOperator::Lt | BinaryOperator::LtEq => {
                return Err(Error::not_supported("an ASOF JOIN that looks ahead")
                    .with_hint("values are those known before a label: MATCH_CONDITION (a.t > b.t)")
                    .with_span(span_of(condition.span()))
                    .into());
            }
            _ => return Err(wrong_match(condition).into()),
        };
        Ok((self.left_side(label)?, time, bound))
    }

    fn left_side(&mut self, expr: &SqlExpr) -> DfResult<Expr> {
        let schema = self.left.clone();
        self.context.sql_to_expr(expr.clone(), &schema)
    }

    /// An expression over the right side; names that the left side has too are the left side's
    /// unless they are qualified.
    fn right_side(&mut self, expr: &SqlExpr) -> Option<Expr> {
        let found = self.context.sql_to_expr(expr.clone(), &self.right.schema).ok()?;
        let qualified = matches!(expr, SqlExpr::CompoundIdentifier(_));
        let constant = found.column_refs().is_empty();
        let left = !qualified && self.left_side(expr).is_ok();
        (!constant && !left).then_some(found)
    }

    /// The time of the right side: for a feature, its time column by any of its names.
    fn right_time(&mut self, expr: &SqlExpr) -> Option<Expr> {
        let RightKind::Feature { plan, event_time, .. } = &self.right.kind else {
            return self.right_side(expr);
        };
        let (column, qualified) = match expr {
            SqlExpr::Identifier(name) => (fold(name), false),
            SqlExpr::CompoundIdentifier(parts) if parts.len() == 2 => {
                let (qualifier, _) = self.right.schema.qualified_field(0);
                if qualifier.is_none_or(|q| q.table() != fold(&parts[0])) {
                    return None;
                }
                (fold(&parts[1]), true)
            }
            _ => return None,
        };
        let own = match &plan.time_column {
            TimeColumns::Event(name) => name,
            TimeColumns::Window { end, .. } => end,
        };
        let named = column == *own || column == *event_time || column == "event_time";
        let other = !qualified && self.left_side(expr).is_ok();
        (named && !other).then(|| Expr::Column(Column::new_unqualified(own)))
    }
}

fn damaged(what: &str) -> DataFusionError {
    Error::internal(format!("an ASOF JOIN lost {what}")).into()
}

fn wrong_on(on: &SqlExpr) -> Error {
    Error::usage("ON of an ASOF JOIN takes equalities of the two sides, joined by AND")
        .with_hint("as in ON l.user_id = f.user_id")
        .with_span(span_of(on.span()))
}

fn wrong_match(condition: &SqlExpr) -> Error {
    Error::usage("MATCH_CONDITION compares a time of the left side with the right side's")
        .with_hint("as in MATCH_CONDITION (l.label_time > f.event_time); >= includes equal times")
        .with_span(span_of(condition.span()))
}

/// Left expressions in the order of the feature's key columns, each of them once.
fn in_key_order(
    plan: &FeaturePlan,
    mut pairs: Vec<(Expr, Expr)>,
) -> DfResult<(Vec<Expr>, Vec<Expr>)> {
    let is = |name: &String| {
        let name = name.clone();
        move |(_, right): &(Expr, Expr)| matches!(right, Expr::Column(c) if c.name == name)
    };
    let wrong = |what: String| -> DataFusionError {
        Error::usage(what)
            .with_hint(format!(
                "the key of '{}' is ({}): compare each of its columns once",
                plan.feature,
                plan.key_columns.join(", ")
            ))
            .into()
    };
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for key in &plan.key_columns {
        let Some(at) = pairs.iter().position(is(key)) else {
            return Err(wrong(format!("ON does not say what '{key}' is")));
        };
        let (ours, theirs) = pairs.remove(at);
        left.push(ours);
        right.push(theirs);
    }
    match pairs.first() {
        None => Ok((left, right)),
        Some((_, theirs)) => {
            Err(wrong(format!("ON compares {theirs}, which is not needed to find an entity")))
        }
    }
}

/// A scan of the join, its columns named as those of both sides.
fn joined(left: LogicalPlan, right: &RightSide, matched: Matched) -> DfResult<LogicalPlan> {
    let left_schema = left.schema().clone();
    let numbered = |prefix: &str, exprs: &[Expr]| {
        let named = exprs.iter().enumerate();
        named.map(|(i, e)| e.clone().alias(format!("{prefix}{i}"))).collect::<Vec<_>>()
    };
    let mut own: Vec<Expr> = left_schema.columns().into_iter().map(Expr::Column).collect();
    let keys = matched.left_keys.len();
    own.extend(numbered("__left_key", &matched.left_keys));
    own.push(matched.left_time.alias("__left_time"));
    let left = LogicalPlanBuilder::from(left).project(own)?.build()?;
    let right_side = match &right.kind {
        RightKind::Feature { plan, history, .. } => {
            Right::Feature { plan: plan.clone(), history: Box::new(history.clone()) }
        }
        RightKind::Relation { plan, ordered } => {
            let mut exprs = numbered("__right_key", &matched.right_keys);
            exprs.push(matched.right_time.alias("__right_time"));
            if *ordered {
                exprs.extend([PARTITION_COLUMN, OFFSET_COLUMN].map(|name| {
                    let (qualifier, _) = plan.schema().qualified_field(0);
                    Expr::Column(Column::new(qualifier.cloned(), name))
                }));
            }
            exprs.extend(right.schema.columns().into_iter().map(Expr::Column));
            let plan = LogicalPlanBuilder::from(plan.clone()).project(exprs)?.build()?;
            Right::Relation { plan, ordered: *ordered }
        }
    };
    let both = left_schema.iter().chain(right.schema.iter());
    let both: Vec<(Option<TableReference>, String, Field)> = both
        .enumerate()
        .map(|(i, (qualifier, field))| {
            let nullable = i >= left_schema.fields().len() || field.is_nullable();
            let column = Field::new(format!("c{i}"), field.data_type().clone(), nullable);
            (qualifier.cloned(), field.name().clone(), column)
        })
        .collect();
    let schema = Arc::new(Schema::new(both.iter().map(|(.., f)| f.clone()).collect::<Vec<_>>()));
    let left_columns = left_schema.fields().len();
    let table = AsofTable::new(left, left_columns, keys, right_side, matched.bound, schema);
    let scan = LogicalPlanBuilder::scan(FUNCTION, provider_as_source(Arc::new(table)), None)?;
    let renamed = both.into_iter().map(|(qualifier, name, field)| {
        let column = Column::new(Some(FUNCTION), field.name());
        Expr::Column(column).alias_qualified(qualifier, name)
    });
    scan.project(renamed.collect::<Vec<_>>())?.build()
}

#[cfg(test)]
pub mod tests;
