//! An aggregate that the program around has registered, as a DataFusion function for ad-hoc SQL:
//! the same accumulator as in features. State: its saved bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ReversedUDAF, Signature, Volatility,
};

use super::kept::rows_of;
use crate::aggregate::own::{self, Own, fitting, saved};
use crate::aggregate::slot::{Codec, Column};
use crate::error::Error;

/// The function.
pub fn function(own: &Own) -> AggregateUDF {
    let signature = Signature::variadic_any(Volatility::Immutable);
    AggregateUDF::new_from_impl(OwnFunction { own: own.clone(), signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OwnFunction {
    own: Own,
    signature: Signature,
}

impl AggregateUDFImpl for OwnFunction {
    fn name(&self) -> &str {
        self.own.0.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(self.own.0.result(types)?)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "saved");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            let told = format!("{} does not take DISTINCT", self.name());
            return Err(Error::usage(told).into());
        }
        let types: Vec<DataType> =
            args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let state = self.own.0.accumulator(&types);
        Ok(Box::new(OwnAccumulator { state, result: self.own.0.result(&types)? }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

#[derive(Debug)]
struct OwnAccumulator {
    state: Box<dyn own::Accumulator>,
    result: DataType,
}

impl Accumulator for OwnAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        rows_of(values)?.iter().for_each(|row| self.state.add(row));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        rows_of(values)?.iter().for_each(|row| self.state.retract(row));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let codec = Codec::new(&self.result)?;
        let mut column = Column::new(codec.physical());
        column.push_datum(&fitting(self.state.value(), &self.result).unwrap_or_default());
        ScalarValue::try_from_array(&codec.finish(&mut column)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(saved(self.state.as_ref())))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let saved = states[0].as_binary::<i32>();
        for row in (0..saved.len()).filter(|row| saved.is_valid(*row)) {
            self.state.merge(saved.value(row))?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + size_of_val(self.state.as_ref()) + self.state.heap_bytes()
    }
}
