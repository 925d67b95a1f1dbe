//! The naive aggregates as scalar functions over `ARRAY_AGG` lists, for the SQL oracle: frames
//! and groups are stock DataFusion's, only the arithmetic over the collected list is `exact`'s.
//! `oracle_first(rn, x)` and `oracle_last(rn, x)` take two parallel lists and give the x of the
//! smallest or greatest rn. Called by `oracle` only.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;

use super::exact::{Input, aggregate};
use super::value::{Val, value};

const NAMES: [&str; 8] =
    ["sum", "avg", "min", "max", "var_pop", "var_samp", "stddev_pop", "stddev_samp"];

/// Registers `oracle_<name>`, `oracle_<name>_distinct`, `oracle_first` and `oracle_last`.
pub fn register(ctx: &SessionContext) {
    for name in NAMES {
        for distinct in [false, true] {
            ctx.register_udf(ScalarUDF::from(ListAggregate::new(name, distinct)));
        }
    }
    for name in ["first", "last"] {
        ctx.register_udf(ScalarUDF::from(ListAggregate::new(name, false)));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListAggregate {
    aggregate: &'static str,
    distinct: bool,
    name: String,
    signature: Signature,
}

impl ListAggregate {
    fn new(aggregate: &'static str, distinct: bool) -> Self {
        let name = format!("oracle_{aggregate}{}", if distinct { "_distinct" } else { "" });
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { aggregate, distinct, name, signature }
    }

    fn positional(&self) -> bool {
        matches!(self.aggregate, "first" | "last")
    }

    fn over(&self, args: &[ArrayRef], row: usize, element: &DataType) -> Val {
        let lists: Vec<Vec<Val>> = args.iter().map(|a| list(a.as_ref(), row)).collect();
        if !self.positional() {
            return aggregate(self.aggregate, self.distinct, input(element), &lists[0]);
        }
        let at = lists[0].iter().enumerate().map(|(i, v)| match v {
            Val::Int(rn) => (*rn, i),
            other => panic!("a row number {other:?}"),
        });
        let found = if self.aggregate == "first" { at.min() } else { at.max() };
        found.map_or(Val::Null, |(_, i)| lists[1][i].clone())
    }
}

/// What kind of number a type is.
pub fn input(element: &DataType) -> Input {
    match element {
        t if t.is_signed_integer() => Input::Signed,
        t if t.is_unsigned_integer() => Input::Unsigned,
        DataType::Decimal128(p, s) => Input::Decimal(*p, *s),
        t if t.is_floating() => Input::Float,
        _ => Input::Other,
    }
}

/// The type of an aggregate's result, as the contract has it.
pub fn output(name: &str, element: &DataType) -> DataType {
    match (name, input(element)) {
        ("min" | "max" | "first" | "last" | "first_value" | "last_value", _) => element.clone(),
        ("count", _) => DataType::Int64,
        ("sum", Input::Signed) => DataType::Int64,
        ("sum", Input::Unsigned) => DataType::UInt64,
        ("sum", Input::Decimal(p, s)) => DataType::Decimal128((p + 10).min(38), s),
        ("avg", Input::Decimal(p, s)) => DataType::Decimal128((p + 4).min(38), (s + 4).min(38)),
        _ => DataType::Float64,
    }
}

fn list(array: &dyn Array, row: usize) -> Vec<Val> {
    if array.is_null(row) {
        return Vec::new();
    }
    let items = array.as_list::<i32>().value(row);
    (0..items.len()).map(|i| value(items.as_ref(), i)).collect()
}

fn element(list: &DataType) -> Result<DataType> {
    match list {
        DataType::List(field) => Ok(field.data_type().clone()),
        other => exec_err!("expected a list, got {other}"),
    }
}

impl ScalarUDFImpl for ListAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(output(self.aggregate, &element(&args[usize::from(self.positional())])?))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let element = element(arrays[usize::from(self.positional())].data_type())?;
        let result = output(self.aggregate, &element);
        let rows = arrays[0].len();
        if rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(&result)));
        }
        let scalars = (0..rows).map(|row| scalar(self.over(&arrays, row, &element), &result));
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(scalars)?))
    }
}

/// A value as a scalar of a type.
pub fn scalar(value: Val, data_type: &DataType) -> ScalarValue {
    use DataType as T;
    match (value, data_type) {
        (Val::Null, t) => ScalarValue::try_from(t).unwrap(),
        (Val::Int(x), T::Int8) => ScalarValue::Int8(Some(x as i8)),
        (Val::Int(x), T::Int16) => ScalarValue::Int16(Some(x as i16)),
        (Val::Int(x), T::Int32) => ScalarValue::Int32(Some(x as i32)),
        (Val::Int(x), T::Int64) => ScalarValue::Int64(Some(x as i64)),
        (Val::Int(x), T::UInt8) => ScalarValue::UInt8(Some(x as u8)),
        (Val::Int(x), T::UInt16) => ScalarValue::UInt16(Some(x as u16)),
        (Val::Int(x), T::UInt32) => ScalarValue::UInt32(Some(x as u32)),
        (Val::Int(x), T::UInt64) => ScalarValue::UInt64(Some(x as u64)),
        (Val::Int(x), T::Date32) => ScalarValue::Date32(Some(x as i32)),
        (Val::Dec(x, _), T::Decimal128(p, s)) => ScalarValue::Decimal128(Some(x), *p, *s),
        (Val::Float(x), _) => ScalarValue::Float64(Some(x)),
        (Val::Real(x), _) => ScalarValue::Float32(Some(x)),
        (Val::Bool(x), _) => ScalarValue::Boolean(Some(x)),
        (Val::Text(x), T::Utf8View) => ScalarValue::Utf8View(Some(x)),
        (Val::Text(x), _) => ScalarValue::Utf8(Some(x)),
        (Val::Bytes(x), _) => ScalarValue::Binary(Some(x)),
        (Val::Time(x), T::Timestamp(_, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(x), zone.clone())
        }
        (value, t) => panic!("{value:?} is no {t}"),
    }
}

/// Row numbers as an array column.
pub fn row_numbers(rows: usize) -> ArrayRef {
    Arc::new(arrow::array::PrimitiveArray::<Int64Type>::from_iter_values(0..rows as i64))
}
