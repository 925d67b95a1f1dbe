//! Features that read the same rows share one state group: one preparation, one buffer per key,
//! equal value columns, frames and slots once, and an output projection per feature. Features
//! that disagree about which of several rows of equal time is the newest do not share: a probe
//! of one would depend on the other.
//! Called by `runtime` and `batch` with plans of equal `sharing`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::assemble::result_schema;
use super::dataflow::{
    FeaturePlan, FrameExtent, FrameSpec, Preparation, Projection, SlotSpec, TieBreak, TrailingSpec,
    WindowSpec,
};
use crate::error::{Error, Result};

/// One operator and the features it computes.
#[derive(Clone, Debug)]
pub struct StateGroup {
    pub preparation: Preparation,
    pub window: WindowSpec,
    pub members: Vec<Member>,
}

/// A feature and how its rows come out of the group's result batches.
#[derive(Clone, Debug)]
pub struct Member {
    pub plan: FeaturePlan,
    pub output: Projection,
}

/// Groups plans that can share state, in the order of their first members. Trailing windows share
/// when (source, filter, key) are equal; group windows when their shapes are too
/// and neither has a HAVING.
/// Failed expressions that several members share are counted for the first of them.
pub fn merge(plans: Vec<FeaturePlan>) -> Result<Vec<StateGroup>> {
    let mut groups: Vec<StateGroup> = Vec::new();
    for plan in plans {
        match groups.iter_mut().find(|group| group.takes(&plan)) {
            Some(group) => group.join(plan)?,
            None => groups.push(StateGroup::of(plan)),
        }
    }
    Ok(groups)
}

impl StateGroup {
    /// A group of one.
    pub fn of(plan: FeaturePlan) -> Self {
        Self {
            preparation: plan.preparation.clone(),
            window: plan.window.clone(),
            members: vec![Member { output: plan.output.clone(), plan }],
        }
    }

    fn takes(&self, plan: &FeaturePlan) -> bool {
        let same_rows = self.members.iter().all(|m| m.plan.sharing == plan.sharing);
        same_rows
            && match (&self.window, &plan.window) {
                (WindowSpec::Trailing(_), WindowSpec::Trailing(_)) => {
                    let wanted = newest_row_order(plan);
                    let agrees = |member: &Member| match (newest_row_order(&member.plan), &wanted) {
                        (Some(ours), Some(theirs)) => ours == *theirs,
                        _ => true,
                    };
                    self.members.iter().all(agrees)
                }
                (WindowSpec::Group(a), WindowSpec::Group(b)) => {
                    a.shape == b.shape && a.having.is_none() && b.having.is_none()
                }
                _ => false,
            }
    }

    fn join(&mut self, plan: FeaturePlan) -> Result<()> {
        let before = self.window.clone();
        let values = self.add_values(&plan);
        let joined = match (&mut self.window, &plan.window) {
            (WindowSpec::Trailing(ours), WindowSpec::Trailing(theirs)) => {
                join_trailing(ours, theirs, &values)
            }
            (WindowSpec::Group(ours), WindowSpec::Group(theirs)) => Joined {
                slots: theirs
                    .slots
                    .iter()
                    .map(|slot| position(&mut ours.slots, remap(slot, 0, &values)))
                    .collect(),
                carried: Vec::new(),
            },
            _ => return Err(Error::internal("state groups of different kinds")),
        };
        let value_types = self.value_types();
        match &mut self.window {
            WindowSpec::Trailing(spec) => spec.value_types = value_types,
            WindowSpec::Group(spec) => spec.value_types = value_types,
            WindowSpec::Chain(_) => return Err(Error::internal("a shared window over windows")),
        }
        // The layout grew: older members read the same columns at new places.
        let own = identity(&before);
        for member in &mut self.members {
            member.output = reindex(&member.output, &places(&before, &self.window, &own)?)?;
        }
        let output = reindex(&plan.output, &places(&plan.window, &self.window, &joined)?)?;
        self.members.push(Member { plan, output });
        Ok(())
    }

    /// Number of columns of the step batch before the value columns.
    fn fixed_columns(&self) -> usize {
        self.window.key_types().len() + 3
    }

    fn value_types(&self) -> Vec<arrow::datatypes::DataType> {
        let fields = self.preparation.projection.schema.fields();
        fields.iter().skip(self.fixed_columns()).map(|f| f.data_type().clone()).collect()
    }

    /// Adds the value columns of `plan` that are new; where each of its columns is now.
    fn add_values(&mut self, plan: &FeaturePlan) -> Vec<usize> {
        let fixed = self.fixed_columns();
        let theirs = &plan.preparation.projection;
        let ours = &mut self.preparation.projection;
        let mut fields: Vec<_> = ours.schema.fields().iter().cloned().collect();
        let mut places = Vec::new();
        for (expression, field) in theirs.expressions.iter().zip(theirs.schema.fields()).skip(fixed)
        {
            let equal =
                |(other, known): (&Arc<dyn PhysicalExpr>, &Arc<arrow::datatypes::Field>)| {
                    other == expression && known.data_type() == field.data_type()
                };
            let found = ours.expressions.iter().zip(&fields).skip(fixed).position(equal);
            places.push(found.unwrap_or_else(|| {
                let index = ours.expressions.len() - fixed;
                let renamed = field.as_ref().clone().with_name(format!("v{index}"));
                ours.expressions.push(expression.clone());
                fields.push(Arc::new(renamed));
                index
            }));
        }
        ours.schema = Arc::new(arrow::datatypes::Schema::new(fields));
        places
    }
}

/// An ORDER BY column after the event time: its expression, descending, NULLs first.
type TieOrder = (Arc<dyn PhysicalExpr>, bool, bool);

/// The tie-breakers that say which row is the newest of a key, if the plan asks for that row.
fn newest_row_order(plan: &FeaturePlan) -> Option<Vec<TieOrder>> {
    let WindowSpec::Trailing(spec) = &plan.window else { return None };
    let positional = |frame: &FrameSpec| matches!(frame.extent, FrameExtent::Rows { .. });
    if spec.carried.is_empty() && !spec.frames.iter().any(positional) {
        return None;
    }
    let endless = FrameExtent::Rows { preceding: None, until: 0 };
    let mut frames = spec.frames.iter();
    let anchor = frames.clone().find(|frame| frame.extent == endless);
    let anchor = anchor.or_else(|| frames.find(|frame| !frame.ties.is_empty()));
    let expressions = &plan.preparation.projection.expressions[spec.key_types.len() + 3..];
    let order = |tie: &TieBreak| (expressions[tie.column].clone(), tie.descending, tie.nulls_first);
    Some(anchor.map(|frame| frame.ties.iter().map(order).collect()).unwrap_or_default())
}

/// Where the slots and carried values of one plan are in the group's window.
struct Joined {
    slots: Vec<usize>,
    /// Positions in `TrailingSpec::carried`.
    carried: Vec<usize>,
}

fn identity(window: &WindowSpec) -> Joined {
    match window {
        WindowSpec::Trailing(spec) => Joined {
            slots: (0..spec.slots.len()).collect(),
            carried: (0..spec.carried.len()).collect(),
        },
        WindowSpec::Group(spec) => {
            Joined { slots: (0..spec.slots.len()).collect(), carried: Vec::new() }
        }
        WindowSpec::Chain(_) => Joined { slots: Vec::new(), carried: Vec::new() },
    }
}

fn join_trailing(ours: &mut TrailingSpec, theirs: &TrailingSpec, values: &[usize]) -> Joined {
    let frames: Vec<usize> = theirs
        .frames
        .iter()
        .map(|frame| {
            let ties = frame.ties.iter();
            let ties = ties.map(|tie| TieBreak { column: values[tie.column], ..*tie }).collect();
            position(&mut ours.frames, FrameSpec { ties, ..frame.clone() })
        })
        .collect();
    let slots = theirs
        .slots
        .iter()
        .map(|slot| position(&mut ours.slots, remap(slot, frames[slot.frame], values)))
        .collect();
    let carried =
        theirs.carried.iter().map(|&value| position(&mut ours.carried, values[value])).collect();
    Joined { slots, carried }
}

fn remap(slot: &SlotSpec, frame: usize, values: &[usize]) -> SlotSpec {
    SlotSpec { frame, aggregate: slot.aggregate.moved(values) }
}

/// The index of `wanted`, added at the end if it is new.
fn position<T: PartialEq>(list: &mut Vec<T>, wanted: T) -> usize {
    match list.iter().position(|known| *known == wanted) {
        Some(index) => index,
        None => {
            list.push(wanted);
            list.len() - 1
        }
    }
}

/// For every column of a result batch of `from`, its (index, name) in a result batch of `to`.
fn places(from: &WindowSpec, to: &WindowSpec, joined: &Joined) -> Result<Vec<(usize, String)>> {
    let keys = from.key_types().len();
    let (fixed, from_carried, to_carried) = match (from, to) {
        (WindowSpec::Trailing(from), WindowSpec::Trailing(to)) => {
            (keys + 1, from.carried.len(), to.carried.len())
        }
        (WindowSpec::Group(_), WindowSpec::Group(_)) => (keys + 2, 0, 0),
        _ => return Err(Error::internal("state groups of different kinds")),
    };
    let names = result_schema(to);
    let mut indices: Vec<usize> = (0..fixed).collect();
    indices.extend(joined.carried.iter().take(from_carried).map(|at| fixed + at));
    indices.extend(joined.slots.iter().map(|at| fixed + to_carried + at));
    Ok(indices.into_iter().map(|index| (index, names.field(index).name().clone())).collect())
}

fn reindex(output: &Projection, places: &[(usize, String)]) -> Result<Projection> {
    let mut expressions = Vec::with_capacity(output.expressions.len());
    for expression in &output.expressions {
        let moved = expression.clone().transform_up(|part| {
            let Some(column) = part.downcast_ref::<Column>() else {
                return Ok(Transformed::no(part));
            };
            let (index, name) = &places[column.index()];
            Ok(Transformed::yes(Arc::new(Column::new(name, *index)) as Arc<dyn PhysicalExpr>))
        })?;
        expressions.push(moved.data);
    }
    Ok(Projection { expressions, schema: output.schema.clone() })
}

#[cfg(test)]
mod tests;
