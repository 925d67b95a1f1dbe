//! SUM, AVG, VAR and STDDEV over exact states: the function, one accumulator and one accumulator
//! of many groups, generic over the state (`moments`) and the Arrow type of the argument.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeBinaryBuilder};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type,
    UInt64Type,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::distinct::DistinctNumeric;
use super::evaluate::{ArgumentOf, Call, Evaluate};
use crate::aggregate::kind::{AggregateKind, result_type};
use crate::aggregate::moments::{
    DecimalMoments, DecimalSums, FloatMoments, FloatSums, IntMoments, IntSums,
};
use crate::error::Error;

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Numeric {
    kind: AggregateKind,
    aliases: Vec<String>,
    signature: Signature,
}

impl Numeric {
    pub fn new(kind: AggregateKind) -> Self {
        assert!(kind.is_numeric(), "{kind} is not computed from sums");
        let aliases = kind.aliases().iter().map(|alias| (*alias).to_owned()).collect();
        Self { kind, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn call(&self, args: &AccumulatorArgs) -> Result<Call> {
        let input = match args.expr_fields {
            [field] => self.kind.argument_type(field.data_type())?,
            _ => return Err(one_argument(self.kind).into()),
        };
        Ok(Call { kind: self.kind, input, output: args.return_type().clone() })
    }
}

/// That these functions take one argument.
pub fn one_argument(kind: AggregateKind) -> Error {
    Error::usage(format!("{kind} takes exactly one argument"))
        .with_hint(format!("write {kind}(x), with one expression in the parentheses"))
}

/// Calls `$make::<state, Arrow type>(arguments)` for the state that a call needs.
macro_rules! for_state {
    ($call:expr, $make:ident ( $($argument:expr),* )) => {
        match (&$call.input, $call.kind.needs_squares()) {
            (DataType::Int64, false) => Ok($make::<IntSums, Int64Type>($($argument),*)),
            (DataType::Int64, true) => Ok($make::<IntMoments, Int64Type>($($argument),*)),
            (DataType::UInt64, false) => Ok($make::<IntSums, UInt64Type>($($argument),*)),
            (DataType::UInt64, true) => Ok($make::<IntMoments, UInt64Type>($($argument),*)),
            (DataType::Float64, false) => Ok($make::<FloatSums, Float64Type>($($argument),*)),
            (DataType::Float64, true) => Ok($make::<FloatMoments, Float64Type>($($argument),*)),
            (DataType::Decimal128(..), false) => {
                Ok($make::<DecimalSums, Decimal128Type>($($argument),*))
            }
            (DataType::Decimal128(..), true) => {
                Ok($make::<DecimalMoments, Decimal128Type>($($argument),*))
            }
            (other, _) => {
                Err(Error::internal(format!("an argument of type {other} was not widened")).into())
            }
        }
    };
}

impl AggregateUDFImpl for Numeric {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
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
            [input] => Ok(result_type(self.kind, false, input)?),
            _ => Err(one_argument(self.kind).into()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![state_field(args.name)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let call = self.call(&args)?;
        if args.is_distinct {
            return for_state!(call, distinct(call));
        }
        for_state!(call, one(call))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let call = self.call(&args)?;
        for_state!(call, groups(call))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// The one state column of every function here: canonical bytes. Large, because the bytes of
/// many groups, or of many distinct values, may pass 2 GiB.
pub fn state_field(name: &str) -> FieldRef {
    Arc::new(Field::new(format_state_name(name, "exact"), DataType::LargeBinary, true))
}

fn one<M: Evaluate, T: ArgumentOf<M>>(call: Call) -> Box<dyn Accumulator> {
    Box::new(NumericAccumulator::<M, T> { state: M::default(), call, argument: PhantomData })
}

fn distinct<M: Evaluate, T: ArgumentOf<M>>(call: Call) -> Box<dyn Accumulator> {
    Box::new(DistinctNumeric::<M, T>::new(call))
}

fn groups<M: Evaluate, T: ArgumentOf<M>>(call: Call) -> Box<dyn GroupsAccumulator> {
    Box::new(NumericGroups::<M, T> { states: Vec::new(), heap: 0, call, argument: PhantomData })
}

/// One state: no GROUP BY, OVER, and what DataFusion adapts itself.
#[derive(Debug)]
struct NumericAccumulator<M, T> {
    state: M,
    call: Call,
    argument: PhantomData<fn() -> T>,
}

impl<M: Evaluate, T: ArgumentOf<M>> Accumulator for NumericAccumulator<M, T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each::<T>(&values[0], |x| self.state.add(x.into()));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each::<T>(&values[0], |x| self.state.sub(x.into()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.state.evaluate(&self.call))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut bytes = Vec::new();
        self.state.encode(&mut bytes);
        Ok(vec![ScalarValue::LargeBinary(Some(bytes))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for bytes in states[0].as_binary::<i64>().iter().flatten() {
            self.state.merge(&M::decode(bytes)?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.state.heap_bytes()
    }
}

/// Calls `step` for every value that is not NULL.
pub fn for_each<T: ArrowPrimitiveType>(values: &ArrayRef, mut step: impl FnMut(T::Native)) {
    let values = values.as_primitive::<T>();
    if values.null_count() == 0 {
        values.values().iter().for_each(|x| step(*x));
    } else {
        values.iter().flatten().for_each(step);
    }
}

/// One state per group.
struct NumericGroups<M, T> {
    states: Vec<M>,
    /// Bytes that the states hold outside themselves.
    heap: usize,
    call: Call,
    argument: PhantomData<fn() -> T>,
}

impl<M: Evaluate, T: ArgumentOf<M>> NumericGroups<M, T> {
    fn change(&mut self, group: usize, step: impl FnOnce(&mut M)) {
        let state = &mut self.states[group];
        let before = state.heap_bytes();
        step(state);
        self.heap = self.heap + state.heap_bytes() - before;
    }

    fn take(&mut self, emit: EmitTo) -> Vec<M> {
        let taken = emit.take_needed(&mut self.states);
        self.heap -= taken.iter().map(M::heap_bytes).sum::<usize>();
        taken
    }
}

impl<M: Evaluate, T: ArgumentOf<M>> GroupsAccumulator for NumericGroups<M, T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.states.resize_with(total, M::default);
        let values = values[0].as_primitive::<T>();
        assert_eq!(values.len(), groups.len(), "one group for each row");
        if values.null_count() == 0 && filter.is_none() {
            for (x, group) in values.values().iter().zip(groups) {
                self.change(*group, |state| state.add((*x).into()));
            }
            return Ok(());
        }
        for (row, group) in groups.iter().enumerate() {
            if counts(values, filter, row) {
                self.change(*group, |state| state.add(values.value(row).into()));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.states.resize_with(total, M::default);
        for (bytes, group) in states[0].as_binary::<i64>().iter().zip(groups) {
            if let Some(bytes) = bytes {
                let other = M::decode(bytes)?;
                self.change(*group, |state| {
                    if state.count() == 0 {
                        *state = other;
                    } else {
                        state.merge(&other);
                    }
                });
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let states = self.take(emit);
        Ok(M::evaluate_all(&states, &self.call))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let states = self.take(emit);
        let mut out = LargeBinaryBuilder::with_capacity(states.len(), states.len() * 16);
        let mut bytes = Vec::new();
        for state in &states {
            bytes.clear();
            state.encode(&mut bytes);
            out.append_value(&bytes);
        }
        Ok(vec![Arc::new(out.finish())])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let mut out = LargeBinaryBuilder::with_capacity(values.len(), values.len() * 16);
        let mut bytes = Vec::new();
        for row in 0..values.len() {
            if !counts(values, filter, row) {
                out.append_null();
                continue;
            }
            let mut state = M::default();
            state.add(values.value(row).into());
            bytes.clear();
            state.encode(&mut bytes);
            out.append_value(&bytes);
        }
        Ok(vec![Arc::new(out.finish())])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.states.capacity() * size_of::<M>() + self.heap
    }
}

/// Whether a row is not NULL and passes the filter.
pub fn counts(values: &dyn Array, filter: Option<&BooleanArray>, row: usize) -> bool {
    values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}
