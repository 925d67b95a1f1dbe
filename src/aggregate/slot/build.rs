//! From aggregate specifications to slots: which share a state, and which value type each reads.

mod kept;

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::accumulate::Accumulate;
use super::best::Best;
use super::codec::Codec;
use super::count::Count;
use super::edge::Edge;
use super::paned::{PaneSlot, Paned};
use super::rows::Lens;
use super::sliding::{Output, Sliding, Slot};
use super::sum::{
    FloatNumber, IntNumber, Number, Sum, SumForm, SumResult, SumResults, UIntNumber, WideNumber,
};
use super::unique::{NoSums, Tally, Unique};
use super::value::{Float, Physical, Value};
use crate::aggregate::kind::{AggregateKind, AggregateSpec};
use crate::aggregate::moments::{
    DecimalMoments, DecimalSums, FloatMoments, FloatSums, IntMoments, IntSums, Moments,
};
use crate::error::{Error, Result};

/// A value column as slots see it.
#[derive(Clone, Debug)]
pub struct Argument {
    pub lens: Lens,
    pub data_type: DataType,
}

/// Slots over the rows of one frame. `slots` are (number of the result, what to compute);
/// `unbounded` frames never lose a row.
///
/// # Errors
/// `NotSupported` for an aggregate over a type it has no meaning for.
pub fn sliding(
    slots: &[(usize, &AggregateSpec)],
    columns: &[Argument],
    unbounded: bool,
) -> Result<Vec<Box<dyn Slot>>> {
    build(slots, columns, unbounded, &MakeSliding)
}

/// Slots over panes.
///
/// # Errors
/// As [`sliding`].
pub fn paned(
    slots: &[(usize, &AggregateSpec)],
    columns: &[Argument],
) -> Result<Vec<Box<dyn PaneSlot>>> {
    build(slots, columns, false, &MakePaned)
}

/// Wraps a rule into the kind of slot asked for.
trait Make {
    type Made;
    fn make<A: Accumulate>(&self, rule: A, outputs: Vec<Output>) -> Self::Made;
}

struct MakeSliding;
struct MakePaned;

impl Make for MakeSliding {
    type Made = Box<dyn Slot>;
    fn make<A: Accumulate>(&self, rule: A, outputs: Vec<Output>) -> Self::Made {
        Box::new(Sliding::new(rule, outputs))
    }
}

impl Make for MakePaned {
    type Made = Box<dyn PaneSlot>;
    fn make<A: Accumulate>(&self, rule: A, outputs: Vec<Output>) -> Self::Made {
        Box::new(Paned::new(rule, outputs))
    }
}

/// How much of the sums the results of one state need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Count,
    Sums,
    Moments,
}

fn depth(kind: AggregateKind) -> Option<Depth> {
    use AggregateKind as K;
    match kind {
        K::Count => Some(Depth::Count),
        K::Sum | K::Avg => Some(Depth::Sums),
        K::VarPop | K::VarSamp | K::StddevPop | K::StddevSamp => Some(Depth::Moments),
        _ => None,
    }
}

fn build<M: Make>(
    slots: &[(usize, &AggregateSpec)],
    columns: &[Argument],
    unbounded: bool,
    make: &M,
) -> Result<Vec<M::Made>> {
    let mut made = Vec::new();
    let mut done = vec![false; slots.len()];
    for i in 0..slots.len() {
        if done[i] {
            continue;
        }
        let spec = slots[i].1;
        if let Some(own) = &spec.own {
            made.push(kept::own(slots[i], own, columns, make)?);
            continue;
        }
        if !is_single(spec) && depth(spec.kind).is_none() {
            let mut shared = Vec::new();
            for j in i..slots.len() {
                let other = slots[j].1;
                if !is_single(other) && depth(other.kind).is_none() && kept::shares(spec, other) {
                    done[j] = true;
                    shared.push(slots[j]);
                }
            }
            made.push(kept::kept(&shared, columns, make)?);
            continue;
        }
        if depth(spec.kind).is_none() {
            made.push(single(slots[i], columns, unbounded, make)?);
            continue;
        }
        // Everything that counts or sums this argument shares one state.
        let mut shared = Vec::new();
        for j in i..slots.len() {
            let other = slots[j].1;
            if depth(other.kind).is_some()
                && other.argument == spec.argument
                && (other.distinct == spec.distinct || spec.argument.is_none())
            {
                done[j] = true;
                shared.push(slots[j]);
            }
        }
        made.push(sums(&shared, columns, make)?);
    }
    Ok(made)
}

/// Whether the result is one value of the argument that a hot slot follows.
fn is_single(spec: &AggregateSpec) -> bool {
    use AggregateKind as K;
    match spec.kind {
        K::Min | K::Max | K::BoolAnd | K::BoolOr => true,
        K::FirstValue | K::LastValue => spec.order.is_empty(),
        _ => false,
    }
}

fn output(slot: usize, spec: &AggregateSpec) -> Result<Output> {
    Ok(Output { slot, codec: Arc::new(Codec::new(&spec.output)?), whole_lists: false })
}

fn refuse(spec: &AggregateSpec, data_type: &DataType) -> Error {
    Error::not_supported(format!("{:?} of {data_type} giving {}", spec.kind, spec.output))
        .with_hint("cast the argument to a number, text or timestamp first")
}

fn argument<'a>(spec: &AggregateSpec, columns: &'a [Argument]) -> Result<&'a Argument> {
    let column = spec.argument.and_then(|column| columns.get(column));
    column.ok_or_else(|| Error::internal(format!("{:?} has no such argument column", spec.kind)))
}

/// MIN, MAX, FIRST_VALUE or LAST_VALUE.
fn single<M: Make>(
    (slot, spec): (usize, &AggregateSpec),
    columns: &[Argument],
    unbounded: bool,
    make: &M,
) -> Result<M::Made> {
    let of = argument(spec, columns)?;
    let outputs = vec![output(slot, spec)?];
    let physical = Physical::of(&of.data_type);
    let sort = |kind| !matches!(kind, AggregateKind::FirstValue | AggregateKind::LastValue);
    if Physical::of(&spec.output) != physical
        || (sort(spec.kind) && !Codec::new(&of.data_type)?.is_ordered())
    {
        return Err(refuse(spec, &of.data_type));
    }
    fn typed<V: Value, M: Make>(
        spec: &AggregateSpec,
        lens: Lens,
        filter: Option<Lens>,
        unbounded: bool,
        outputs: Vec<Output>,
        make: &M,
    ) -> M::Made {
        let of = PhantomData::<V>;
        match spec.kind {
            AggregateKind::Min
            | AggregateKind::Max
            | AggregateKind::BoolAnd
            | AggregateKind::BoolOr => {
                let max = matches!(spec.kind, AggregateKind::Max | AggregateKind::BoolOr);
                make.make(Best { lens, max, unbounded, of }, outputs)
            }
            _ => {
                let last = spec.kind == AggregateKind::LastValue;
                let ignore_nulls = spec.ignore_nulls;
                make.make(Edge { lens, filter, ignore_nulls, last, of }, outputs)
            }
        }
    }
    let filter = kept::filter(spec, columns)?;
    let lens = of.lens;
    Ok(match physical {
        Physical::Int => typed::<i64, M>(spec, lens, filter, unbounded, outputs, make),
        Physical::UInt => typed::<u64, M>(spec, lens, filter, unbounded, outputs, make),
        Physical::Float => typed::<Float, M>(spec, lens, filter, unbounded, outputs, make),
        Physical::Wide => typed::<i128, M>(spec, lens, filter, unbounded, outputs, make),
        Physical::Bytes => typed::<Arc<[u8]>, M>(spec, lens, filter, unbounded, outputs, make),
    })
}

/// All results that count or sum one argument.
fn sums<M: Make>(
    slots: &[(usize, &AggregateSpec)],
    columns: &[Argument],
    make: &M,
) -> Result<M::Made> {
    let spec = slots[0].1;
    let outputs = slots.iter().map(|(slot, spec)| output(*slot, spec)).collect::<Result<_>>()?;
    let deepest = slots.iter().filter_map(|(_, spec)| depth(spec.kind)).max();
    let depth = deepest.unwrap_or(Depth::Count);
    if spec.argument.is_none() || (depth == Depth::Count && !spec.distinct) {
        let lens = match spec.argument {
            Some(_) => Some(argument(spec, columns)?.lens),
            None => None,
        };
        for (_, spec) in slots {
            if spec.output != DataType::Int64 {
                return Err(refuse(spec, &spec.input));
            }
        }
        return Ok(make.make(Count { lens }, outputs));
    }
    let of = argument(spec, columns)?;
    let results = slots.iter().map(|(_, spec)| result(spec, &of.data_type));
    let results = results.collect::<Result<Vec<_>>>()?;
    let with = Sums { lens: of.lens, results, outputs, depth, make };
    let number = depth == Depth::Count || is_number(&of.data_type);
    match (Physical::of(&of.data_type), spec.distinct) {
        _ if !number => Err(refuse(spec, &of.data_type)),
        (Physical::Int, true) => Ok(with.unique::<i64, IntSums, IntMoments>()),
        (Physical::UInt, true) => Ok(with.unique::<u64, IntSums, IntMoments>()),
        (Physical::Float, true) => Ok(with.unique::<Float, FloatSums, FloatMoments>()),
        (Physical::Wide, true) => Ok(with.unique::<i128, DecimalSums, DecimalMoments>()),
        (Physical::Bytes, true) => Ok(with.unique::<Arc<[u8]>, NoSums, NoSums>()),
        (Physical::Int, false) => Ok(with.plain::<IntNumber, IntSums, IntMoments>()),
        (Physical::UInt, false) => Ok(with.plain::<UIntNumber, IntSums, IntMoments>()),
        (Physical::Float, false) => Ok(with.plain::<FloatNumber, FloatSums, FloatMoments>()),
        (Physical::Wide, false) => Ok(with.plain::<WideNumber, DecimalSums, DecimalMoments>()),
        (Physical::Bytes, false) => Err(refuse(spec, &of.data_type)),
    }
}

/// Everything a state of sums is made from.
struct Sums<'a, M> {
    lens: Lens,
    results: Vec<SumResult>,
    outputs: Vec<Output>,
    depth: Depth,
    make: &'a M,
}

impl<M: Make> Sums<'_, M> {
    fn plain<N, S, Q>(self) -> M::Made
    where
        N: Number,
        S: Moments<Value = N::Value> + SumResults,
        Q: Moments<Value = N::Value> + SumResults,
    {
        let (lens, results) = (self.lens, self.results);
        if self.depth == Depth::Moments {
            self.make.make(Sum { lens, results, of: PhantomData::<(N, Q)> }, self.outputs)
        } else {
            self.make.make(Sum { lens, results, of: PhantomData::<(N, S)> }, self.outputs)
        }
    }

    fn unique<V: Value, S: Tally<V>, Q: Tally<V>>(self) -> M::Made {
        let (lens, results, outputs) = (self.lens, self.results, self.outputs);
        match self.depth {
            Depth::Count => {
                self.make.make(Unique { lens, results, of: PhantomData::<(V, NoSums)> }, outputs)
            }
            Depth::Sums => {
                self.make.make(Unique { lens, results, of: PhantomData::<(V, S)> }, outputs)
            }
            Depth::Moments => {
                self.make.make(Unique { lens, results, of: PhantomData::<(V, Q)> }, outputs)
            }
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(data_type, DataType::Decimal128(..))
}

/// The result of a sum, after checking that its type is the one the state gives.
fn result(spec: &AggregateSpec, data_type: &DataType) -> Result<SumResult> {
    use AggregateKind as K;
    let form = match data_type {
        DataType::Decimal128(precision, scale) => SumForm::Decimal(*precision, *scale),
        _ if spec.output == DataType::UInt64 => SumForm::UInt,
        _ if Physical::of(data_type) == Physical::Float => SumForm::Float,
        _ => SumForm::Int,
    };
    let expected = match (spec.kind, form) {
        (K::Count, _) => Physical::Int,
        (K::Sum, SumForm::Int) => Physical::Int,
        (K::Sum, SumForm::UInt) => Physical::UInt,
        (K::Sum | K::Avg, SumForm::Decimal(..)) => Physical::Wide,
        _ => Physical::Float,
    };
    let sql_type = match (spec.kind, &spec.output) {
        (K::Count | K::Sum, DataType::Int64) => true,
        (K::Sum, DataType::UInt64 | DataType::Decimal128(..)) => true,
        (K::Avg, DataType::Decimal128(..)) => true,
        (kind, DataType::Float64) => kind != K::Count,
        _ => false,
    };
    if Physical::of(&spec.output) != expected || !sql_type {
        return Err(refuse(spec, data_type));
    }
    Ok(SumResult { kind: spec.kind, form })
}
