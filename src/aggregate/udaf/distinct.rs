//! Accumulators over distinct values: SUM, AVG, VAR and STDDEV of them through `moments`, and the
//! COUNT of distinct floats. State bytes: for each value in order, its key (16 bytes, little
//! endian) and how often it is there (LEB128).

use std::marker::PhantomData;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::evaluate::{ArgumentOf, Call, Evaluate};
use super::numeric::for_each;
use crate::aggregate::distinct::Distinct;
use crate::aggregate::encoding::{read_count, take, write_count};
use crate::error::Error;
use crate::model::key::ordered_bits;

/// A numeric function over distinct values.
#[derive(Debug)]
pub struct DistinctNumeric<M, T> {
    values: Distinct<i128>,
    /// Holds each of `values` once.
    state: M,
    call: Call,
    argument: PhantomData<fn() -> T>,
}

impl<M: Evaluate, T: ArgumentOf<M>> DistinctNumeric<M, T> {
    pub fn new(call: Call) -> Self {
        Self { values: Distinct::new(), state: M::default(), call, argument: PhantomData }
    }
}

impl<M: Evaluate, T: ArgumentOf<M>> Accumulator for DistinctNumeric<M, T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each::<T>(&values[0], |x| {
            let key = M::key(x.into());
            if self.values.add(key) {
                self.state.add(M::of_key(key));
            }
        });
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each::<T>(&values[0], |x| {
            let key = M::key(x.into());
            if self.values.sub(&key) {
                self.state.sub(M::of_key(key));
            }
        });
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.state.evaluate(&self.call))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![encode(&self.values)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        merge(&mut self.values, &states[0], |key| self.state.add(M::of_key(key)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size_bytes() + self.state.heap_bytes()
    }
}

/// COUNT(DISTINCT x) of REAL or DOUBLE: all NaN are one value, and so are both zeros.
#[derive(Debug, Default)]
pub struct DistinctFloatCount {
    values: Distinct<i128>,
}

impl Accumulator for DistinctFloatCount {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each_float(&values[0], |x| {
            self.values.add(i128::from(ordered_bits(x)));
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each_float(&values[0], |x| {
            self.values.sub(&i128::from(ordered_bits(x)));
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.values.len() as i64)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![encode(&self.values)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        merge(&mut self.values, &states[0], |_| {})
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size_bytes()
    }
}

/// Calls `step` for every float that is not NULL, REAL widened.
pub fn for_each_float(values: &ArrayRef, mut step: impl FnMut(f64)) -> Result<()> {
    match values.data_type() {
        DataType::Float32 => for_each::<Float32Type>(values, |x| step(f64::from(x))),
        DataType::Float64 => for_each::<Float64Type>(values, step),
        other => return Err(Error::internal(format!("{other} is not a float")).into()),
    }
    Ok(())
}

fn encode(values: &Distinct<i128>) -> ScalarValue {
    let mut bytes = Vec::with_capacity(values.len() * 17);
    for (key, times) in values.sorted() {
        bytes.extend_from_slice(&key.to_le_bytes());
        write_count(times, &mut bytes);
    }
    ScalarValue::LargeBinary(Some(bytes))
}

/// Adds encoded multisets; `appeared` is called for each value that was not there before.
fn merge(
    values: &mut Distinct<i128>,
    states: &ArrayRef,
    mut appeared: impl FnMut(i128),
) -> Result<()> {
    for mut bytes in states.as_binary::<i64>().iter().flatten() {
        while !bytes.is_empty() {
            let mut key = [0; 16];
            key.copy_from_slice(take(&mut bytes, 16)?);
            let key = i128::from_le_bytes(key);
            if values.add_many(key, read_count(&mut bytes)?) {
                appeared(key);
            }
        }
    }
    Ok(())
}
