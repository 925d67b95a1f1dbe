//! MIN and MAX: floats in the one float order (−inf < … < +inf < NaN, one zero), everything else
//! by the stock functions. Statistics of files never answer for floats, because they leave NaN
//! out; nor is a top-k plan offered, because it compares floats its own way.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs, Volatility,
};

use super::distinct::for_each_float;
use super::numeric::{counts, one_argument};
use crate::aggregate::extreme::Extreme;
use crate::aggregate::kind::AggregateKind;
use crate::error::Error;
use crate::model::key::{from_ordered_bits, ordered_bits};

/// MIN or MAX.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct MinMax {
    kind: AggregateKind,
    stock: Arc<AggregateUDF>,
    signature: Signature,
}

impl MinMax {
    pub fn new(kind: AggregateKind) -> Self {
        let stock = if kind == AggregateKind::Max { max_udaf() } else { min_udaf() };
        Self { kind, stock, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn is_max(&self) -> bool {
        self.kind == AggregateKind::Max
    }
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

impl AggregateUDFImpl for MinMax {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [input] => Ok(vec![self.kind.argument_type(input)?]),
            _ => Err(one_argument(self.kind).into()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [input] => Ok(self.kind.argument_type(input)?),
            _ => Err(one_argument(self.kind).into()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.stock.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_float(args.return_type()) {
            return self.stock.accumulator(args);
        }
        let output = args.return_type().clone();
        Ok(Box::new(FloatExtreme { best: none(self.is_max()), max: self.is_max(), output }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_float(args.return_type()) {
            return self.stock.create_sliding_accumulator(args);
        }
        let queue = if self.is_max() { Extreme::max() } else { Extreme::min() };
        let output = args.return_type().clone();
        Ok(Box::new(SlidingFloatExtreme { queue, first: 0, end: 0, output }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        is_float(args.return_type()) || self.stock.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let max = self.is_max();
        match args.return_type() {
            DataType::Float32 => Ok(Box::new(FloatGroups::<Float32Type>::new(max))),
            DataType::Float64 => Ok(Box::new(FloatGroups::<Float64Type>::new(max))),
            _ => self.stock.create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        if is_float(statistics.return_type) {
            return None;
        }
        self.stock.value_from_stats(statistics)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.stock.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.stock.inner().set_monotonicity(data_type)
    }
}

/// What stands for "no value yet": beyond every ordered float, so that any value replaces it.
fn none(max: bool) -> i64 {
    if max { i64::MIN } else { i64::MAX }
}

fn better(max: bool, a: i64, b: i64) -> i64 {
    if max { a.max(b) } else { a.min(b) }
}

fn scalar(best: Option<i64>, output: &DataType) -> ScalarValue {
    let value = best.map(from_ordered_bits);
    match output {
        DataType::Float32 => ScalarValue::Float32(value.map(|x| x as f32)),
        _ => ScalarValue::Float64(value),
    }
}

/// MIN or MAX of floats that only come.
#[derive(Debug)]
struct FloatExtreme {
    best: i64,
    max: bool,
    output: DataType,
}

impl Accumulator for FloatExtreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let max = self.max;
        for_each_float(&values[0], |x| self.best = better(max, self.best, ordered_bits(x)))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let best = (self.best != none(self.max)).then_some(self.best);
        Ok(scalar(best, &self.output))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// MIN or MAX of floats that come and go in the same order.
#[derive(Debug)]
struct SlidingFloatExtreme {
    queue: Extreme<i64>,
    /// Number of the oldest value there, and of the next to come; NULLs are not numbered.
    first: u64,
    end: u64,
    output: DataType,
}

impl Accumulator for SlidingFloatExtreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each_float(&values[0], |x| {
            self.queue.push_back(self.end, ordered_bits(x));
            self.end += 1;
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.first += (values[0].len() - values[0].null_count()) as u64;
        assert!(self.first <= self.end, "more values leave a frame than have entered it");
        self.queue.drop_before(self.first);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(scalar(self.queue.front().copied(), &self.output))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        Err(Error::internal("a sliding MIN or MAX cannot be merged").into())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.queue.size_bytes()
    }
}

/// MIN or MAX of floats, one per group.
struct FloatGroups<T> {
    best: Vec<i64>,
    max: bool,
    argument: PhantomData<fn() -> T>,
}

impl<T> FloatGroups<T> {
    fn new(max: bool) -> Self {
        Self { best: Vec::new(), max, argument: PhantomData }
    }
}

impl<T: ArrowPrimitiveType<Native: Into<f64> + FromDouble>> GroupsAccumulator for FloatGroups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.best.resize(total, none(self.max));
        let values = values[0].as_primitive::<T>();
        assert_eq!(values.len(), groups.len(), "one group for each row");
        for (row, group) in groups.iter().enumerate() {
            if counts(values, filter, row) {
                let best = &mut self.best[*group];
                *best = better(self.max, *best, ordered_bits(values.value(row).into()));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(states, groups, None, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let results = emit.take_needed(&mut self.best).into_iter().map(|best| {
            (best != none(self.max)).then(|| T::Native::from_double(from_ordered_bits(best)))
        });
        Ok(Arc::new(results.collect::<PrimitiveArray<T>>()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let states =
            (0..values.len()).map(|row| counts(values, filter, row).then(|| values.value(row)));
        Ok(vec![Arc::new(states.collect::<PrimitiveArray<T>>())])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.best.capacity() * size_of::<i64>()
    }
}

/// Back from a double that was widened before, so nothing is lost.
trait FromDouble {
    fn from_double(x: f64) -> Self;
}

impl FromDouble for f32 {
    fn from_double(x: f64) -> Self {
        x as f32
    }
}

impl FromDouble for f64 {
    fn from_double(x: f64) -> Self {
        x
    }
}
