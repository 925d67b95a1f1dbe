//! COUNT: the stock function, which is exact, except that distinct floats are compared in the one
//! float order (all NaN equal, −0 = +0).

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};

use super::distinct::DistinctFloatCount;
use super::numeric::state_field;

/// COUNT, with one override.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Count {
    stock: Arc<AggregateUDF>,
}

impl Count {
    pub fn new() -> Self {
        Self { stock: count_udaf() }
    }
}

/// Whether the call counts the distinct values of one float.
fn counts_floats(distinct: bool, fields: &[FieldRef]) -> bool {
    let is_float =
        |field: &FieldRef| matches!(field.data_type(), DataType::Float32 | DataType::Float64);
    distinct && fields.len() == 1 && is_float(&fields[0])
}

impl AggregateUDFImpl for Count {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn signature(&self) -> &Signature {
        self.stock.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.stock.return_type(types)
    }

    fn is_nullable(&self) -> bool {
        self.stock.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if counts_floats(args.is_distinct, args.input_fields) {
            return Ok(vec![state_field(args.name)]);
        }
        self.stock.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if counts_floats(args.is_distinct, args.expr_fields) {
            return Ok(Box::new(DistinctFloatCount::default()));
        }
        self.stock.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if counts_floats(args.is_distinct, args.expr_fields) {
            return Ok(Box::new(DistinctFloatCount::default()));
        }
        self.stock.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !counts_floats(args.is_distinct, args.expr_fields)
            && self.stock.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.stock.create_groups_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.stock.default_value(data_type)
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        // A distinct count in a file's statistics may have compared floats by their bits.
        if statistics.is_distinct {
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
