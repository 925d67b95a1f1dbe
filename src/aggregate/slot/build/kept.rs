//! Slots of everything that does not follow from the sums of one argument: which calls share a
//! state, and what it reads.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::super::bits::Bits;
use super::super::joint::JointSums;
use super::super::own::{Maker, OwnRule};
use super::super::ranked::{Between, Rank, Ranked, Ranking};
use super::super::rows::Lens;
use super::super::series::{Series, WIDTH_MAX};
use super::super::sliding::Output;
use super::super::tallies::Tallies;
use super::super::value::{Float, Physical};
use super::{Argument, Make, argument, output, refuse};
use crate::aggregate::joint::{Pairs, Powers};
use crate::aggregate::kind::{AggregateKind as K, AggregateSpec};
use crate::aggregate::own::Own;
use crate::aggregate::series::Call;
use crate::aggregate::sketch::Form;
use crate::error::{Error, Result};

/// Kinds whose calls over the same columns share a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ranked,
    Bits,
    Pairs,
    Powers,
    Sketch(Form),
    /// Rows where one of the first so many columns is NULL do not count.
    Series(usize),
}

fn family(spec: &AggregateSpec) -> Family {
    let function = spec.kind.function();
    match spec.kind {
        K::Median | K::PercentileCont | K::PercentileDisc | K::Mode => Family::Ranked,
        K::BitAnd | K::BitOr | K::BitXor => Family::Bits,
        K::Skewness | K::Kurtosis => Family::Powers,
        K::ApproxDistinct => Family::Sketch(Form::Distinct),
        K::ApproxPercentile | K::ApproxMedian => Family::Sketch(Form::Quantiles),
        kind if kind >= K::CovarPop && kind <= K::RegrSxy => Family::Pairs,
        K::ArgMin | K::ArgMax => Family::Series(0),
        _ if function.counts_nulls() => Family::Series(0),
        _ => Family::Series(function.arguments.len()),
    }
}

/// Whether two calls read the same rows of the same columns.
pub fn shares(a: &AggregateSpec, b: &AggregateSpec) -> bool {
    (a.argument, &a.more, a.filter) == (b.argument, &b.more, b.filter) && family(a) == family(b)
}

/// One slot for calls that share a state.
pub fn kept<M: Make>(
    slots: &[(usize, &AggregateSpec)],
    columns: &[Argument],
    make: &M,
) -> Result<M::Made> {
    let spec = slots[0].1;
    let of = argument(spec, columns)?;
    let mut outputs =
        slots.iter().map(|(slot, spec)| output(*slot, spec)).collect::<Result<Vec<Output>>>()?;
    let filter = filter(spec, columns)?;
    let (lens, physical) = (of.lens, Physical::of(&of.data_type));
    let kinds = || slots.iter().map(|(_, spec)| spec.kind).collect::<Vec<_>>();
    match family(spec) {
        Family::Ranked => ranked(slots, of, filter, outputs, make),
        Family::Bits if of.data_type.is_integer() => {
            Ok(make.make(Bits { lens, filter, results: kinds() }, outputs))
        }
        Family::Sketch(form) if form == Form::Distinct || physical == Physical::Float => {
            let fraction = |spec: &AggregateSpec| {
                spec.constants.first().map_or(0.5, crate::aggregate::datum::Datum::as_f64)
            };
            let results = slots.iter().map(|(_, spec)| fraction(spec)).collect();
            Ok(make.make(Tallies { lens, physical, filter, form, results }, outputs))
        }
        Family::Powers if physical == Physical::Float => {
            let of = PhantomData::<Powers>;
            let rule = JointSums { lenses: [lens, lens], filter, results: kinds(), of };
            Ok(make.make(rule, outputs))
        }
        Family::Pairs => {
            let other = second(spec, columns)?;
            let double = [physical, Physical::of(&other.data_type)] == [Physical::Float; 2];
            if !double {
                return Err(refuse(spec, &of.data_type));
            }
            let of = PhantomData::<Pairs>;
            let rule = JointSums { lenses: [lens, other.lens], filter, results: kinds(), of };
            Ok(make.make(rule, outputs))
        }
        Family::Series(required) => {
            let lists = |output: &Output| output.codec.data_type().is_nested();
            for (output, (_, spec)) in outputs.iter_mut().zip(slots) {
                let element = spec.kind.function().gives == crate::aggregate::table::Gives::First;
                output.whole_lists = lists(output) && !element;
            }
            let rule = series(slots, columns, filter, required)?;
            Ok(make.make(rule, outputs))
        }
        _ => Err(refuse(spec, &of.data_type)),
    }
}

fn second<'a>(spec: &AggregateSpec, columns: &'a [Argument]) -> Result<&'a Argument> {
    let column = spec.more.first().and_then(|column| columns.get(*column));
    column.ok_or_else(|| Error::internal(format!("{} has no second argument", spec.kind)))
}

/// Where the FILTER of a call lies.
pub fn filter(spec: &AggregateSpec, columns: &[Argument]) -> Result<Option<Lens>> {
    match spec.filter {
        None => Ok(None),
        Some(column) => match columns.get(column) {
            Some(column) if column.data_type == DataType::Boolean => Ok(Some(column.lens)),
            _ => Err(Error::internal("a FILTER column is not boolean")),
        },
    }
}

/// The slot of a registered aggregate.
pub fn own<M: Make>(
    (slot, spec): (usize, &AggregateSpec),
    own: &Own,
    columns: &[Argument],
    make: &M,
) -> Result<M::Made> {
    let arguments = arguments(spec, columns)?;
    let types = arguments.iter().map(|of| of.data_type.clone()).collect();
    let read = arguments.iter().map(|of| (of.lens, Physical::of(&of.data_type))).collect();
    let maker = Arc::new(Maker { own: own.clone(), types, output: spec.output.clone() });
    let rule = OwnRule { columns: read, filter: filter(spec, columns)?, maker };
    Ok(make.make(rule, vec![output(slot, spec)?]))
}

/// The columns that a call reads.
fn arguments<'a>(spec: &AggregateSpec, columns: &'a [Argument]) -> Result<Vec<&'a Argument>> {
    let named = spec.argument.iter().chain(&spec.more);
    let found = named.map(|column| {
        columns.get(*column).ok_or_else(|| Error::internal("an argument that is no column"))
    });
    found.collect()
}

fn ranked<M: Make>(
    slots: &[(usize, &AggregateSpec)],
    of: &Argument,
    filter: Option<Lens>,
    outputs: Vec<Output>,
    make: &M,
) -> Result<M::Made> {
    let fraction = |spec: &AggregateSpec| spec.constants.first().map_or(0.5, |p| p.as_f64());
    let ranking = |(_, spec): &(usize, &AggregateSpec)| Ranking {
        rank: match spec.kind {
            K::Median => Rank::Median,
            K::PercentileCont => Rank::Cont(fraction(spec)),
            K::PercentileDisc => Rank::Disc(fraction(spec)),
            _ => Rank::Mode,
        },
        distinct: spec.distinct,
    };
    let results: Vec<Ranking> = slots.iter().map(ranking).collect();
    let physical = Physical::of(&of.data_type);
    let refused = slots.iter().find(|(_, spec)| {
        let between = match spec.kind {
            K::Median => matches!(physical, Physical::Float | Physical::Wide),
            K::PercentileCont => physical == Physical::Float,
            _ => true,
        };
        !between || Physical::of(&spec.output) != physical || of.data_type.is_nested()
    });
    if let Some((_, spec)) = refused {
        return Err(refuse(spec, &of.data_type));
    }
    fn typed<V: Between, M: Make>(
        lens: Lens,
        filter: Option<Lens>,
        results: Vec<Ranking>,
        outputs: Vec<Output>,
        make: &M,
    ) -> M::Made {
        make.make(Ranked { lens, filter, results, of: PhantomData::<V> }, outputs)
    }
    let lens = of.lens;
    Ok(match physical {
        Physical::Int => typed::<i64, M>(lens, filter, results, outputs, make),
        Physical::UInt => typed::<u64, M>(lens, filter, results, outputs, make),
        Physical::Float => typed::<Float, M>(lens, filter, results, outputs, make),
        Physical::Wide => typed::<i128, M>(lens, filter, results, outputs, make),
        Physical::Bytes => typed::<Arc<[u8]>, M>(lens, filter, results, outputs, make),
    })
}

fn series(
    slots: &[(usize, &AggregateSpec)],
    columns: &[Argument],
    filter: Option<Lens>,
    required: usize,
) -> Result<Series> {
    let spec = slots[0].1;
    let arguments = arguments(spec, columns)?;
    let read: Vec<_> = arguments.iter().map(|of| (of.lens, Physical::of(&of.data_type))).collect();
    if read.len() > WIDTH_MAX {
        return Err(Error::not_yet(format!("{} ordered by so many columns", spec.kind))
            .with_hint(format!("at most {WIDTH_MAX} columns, arguments included")));
    }
    let call = |(_, spec): &(usize, &AggregateSpec)| Call {
        kind: spec.kind,
        constants: spec.constants.as_slice().into(),
        order: spec.order.as_slice().into(),
        distinct: spec.distinct,
        ignore_nulls: spec.ignore_nulls,
        input: spec.input.clone(),
    };
    Ok(Series { columns: read, required, filter, calls: slots.iter().map(call).collect() })
}
