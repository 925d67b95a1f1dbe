//! Scalar functions that give NULL for a row they fail on, and count it, instead of failing the
//! batch (semantics §2). `lenient` puts them into plans; nobody else calls them.
//!
//! A failing batch is halved until the failing rows stand alone, so k bad rows among n cost
//! O(k log n) evaluations and a batch without bad rows costs none.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, concat};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Schema, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};

use crate::plan::dataflow::canonical;

/// How many expressions failed on a row (`expression_errors{feature}`); clones count together.
/// It is no part of what an expression is: two expressions that differ in it are equal.
#[derive(Clone, Debug, Default)]
pub struct ErrorCounter(Arc<AtomicU64>);

impl ErrorCounter {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn add(&self, rows: u64) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }

    /// Forgets what planning itself counted.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl PartialEq for ErrorCounter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ErrorCounter {}

impl Hash for ErrorCounter {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What is evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `+ − * / %` with overflow checks, and matching of regular expressions.
    Binary(Operator),
    Negative,
    Cast(DataType),
    Function(Arc<ScalarUDF>),
    /// One zero and one NaN; never fails.
    Canonical,
}

/// A function that is NULL where `operation` fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checked {
    pub operation: Operation,
    name: String,
    signature: Signature,
    errors: ErrorCounter,
}

impl Checked {
    /// The call of `operation` on `args` (already of the types it takes).
    pub fn call(operation: Operation, args: Vec<Expr>, errors: &ErrorCounter) -> Expr {
        let name = match &operation {
            Operation::Binary(op) => format!("checked {op}"),
            Operation::Negative => "checked negate".to_owned(),
            Operation::Cast(to) => format!("checked cast {to}"),
            Operation::Function(function) => function.name().to_owned(),
            Operation::Canonical => "canonical".to_owned(),
        };
        let signature = match args.len() {
            0 => Signature::nullary(Volatility::Immutable),
            n => Signature::any(n, Volatility::Immutable),
        };
        let errors = errors.clone();
        ScalarUDF::new_from_impl(Self { operation, name, signature, errors }).call(args)
    }

    /// The checked function behind a scalar function, if it is one.
    pub fn of(function: &ScalarUDF) -> Option<&Self> {
        function.inner().downcast_ref::<Self>()
    }

    fn evaluate(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &self.operation {
            Operation::Function(function) => function.invoke_with_args(args),
            Operation::Binary(op) => {
                let (operands, batch) = operands(&args)?;
                let [left, right] = <[_; 2]>::try_from(operands)
                    .map_err(|_| DataFusionError::Internal(format!("{op} takes two operands")))?;
                let exact = BinaryExpr::new(left, *op, right).with_fail_on_overflow(true);
                self.fit_precision(exact.evaluate(&batch)?)
            }
            Operation::Negative => match args.args.first() {
                Some(ColumnarValue::Scalar(scalar)) => {
                    Ok(ColumnarValue::Scalar(scalar.arithmetic_negate()?))
                }
                Some(ColumnarValue::Array(array)) => {
                    Ok(ColumnarValue::Array(arrow::compute::kernels::numeric::neg(array)?))
                }
                None => Err(DataFusionError::Internal("negation takes an operand".to_owned())),
            },
            Operation::Cast(to) => self.cast(first(args)?, to),
            Operation::Canonical => Ok(match first(args)? {
                ColumnarValue::Array(array) => ColumnarValue::Array(canonical(array)),
                ColumnarValue::Scalar(scalar) => {
                    let array = canonical(scalar.to_array()?);
                    ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
                }
            }),
        }
    }

    /// A decimal beyond its precision is an overflow too; the kernels notice i128 only.
    fn fit_precision(&self, value: ColumnarValue) -> Result<ColumnarValue> {
        let DataType::Decimal128(precision, _) = value.data_type() else { return Ok(value) };
        let (array, scalar) = match value {
            ColumnarValue::Array(array) => (array, false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let decimals = array.as_primitive::<Decimal128Type>();
        let fitted = decimals.null_if_overflow_precision(precision);
        self.errors.add((fitted.null_count() - decimals.null_count()) as u64);
        let fitted: ArrayRef = Arc::new(fitted.with_data_type(array.data_type().clone()));
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&fitted, 0)?)
        } else {
            ColumnarValue::Array(fitted)
        })
    }

    /// NULL, and counted, where the value does not fit the type.
    fn cast(&self, value: ColumnarValue, to: &DataType) -> Result<ColumnarValue> {
        let (array, scalar) = match value {
            ColumnarValue::Array(array) => (array, false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let options = CastOptions { safe: true, ..Default::default() };
        let cast = match (array.data_type(), to) {
            (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Timestamp(unit, zone))
                if *unit == TimeUnit::Microsecond =>
            {
                let nanos = array.as_primitive::<TimestampNanosecondType>();
                let micros = nanos.unary::<_, TimestampMicrosecondType>(|ns| ns.div_euclid(1_000));
                Arc::new(micros.with_timezone_opt(zone.clone())) as ArrayRef
            }
            _ => arrow::compute::cast_with_options(&array, to, &options)?,
        };
        let lost = cast.logical_null_count().saturating_sub(array.logical_null_count());
        self.errors.add(lost as u64);
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?)
        } else {
            ColumnarValue::Array(cast)
        })
    }

    /// Evaluates the two halves apart; a failing row alone is NULL.
    fn by_halves(&self, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
        let rows = args.number_rows;
        if rows == 1 {
            self.errors.add(1);
            return Ok(new_null_array(args.return_field.data_type(), 1));
        }
        let middle = rows / 2;
        let mut halves = Vec::with_capacity(2);
        for (start, length) in [(0, middle), (middle, rows - middle)] {
            let part = slice(args, start, length);
            halves.push(match self.evaluate(part.clone()) {
                Ok(value) => value.into_array(length)?,
                Err(_) => self.by_halves(&part)?,
            });
        }
        let halves: Vec<&dyn Array> = halves.iter().map(AsRef::as_ref).collect();
        Ok(concat(&halves)?)
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match (&self.operation, args) {
            (Operation::Binary(op), [left, right]) => format!("{left} {op} {right}"),
            (Operation::Negative, [operand]) => format!("(- {operand})"),
            (Operation::Cast(to), [operand]) => format!("CAST({operand} AS {to})"),
            (Operation::Canonical, [operand]) => operand.to_string(),
            _ => self.name.clone(),
        })
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal("return_field_from_args decides".to_owned()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let fields = args.arg_fields;
        let data_type = match (&self.operation, fields) {
            (Operation::Function(function), _) => {
                function.return_field_from_args(args)?.data_type().clone()
            }
            (Operation::Binary(op), [left, right]) => {
                BinaryTypeCoercer::new(left.data_type(), op, right.data_type()).get_result_type()?
            }
            (Operation::Cast(to), _) => to.clone(),
            (Operation::Canonical, [operand]) => return Ok(operand.clone()),
            (Operation::Negative, [operand]) => operand.data_type().clone(),
            _ => return Err(DataFusionError::Internal(format!("{} without operand", self.name))),
        };
        Ok(Arc::new(Field::new(&self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let error = match self.evaluate(args.clone()) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        match args.number_rows {
            // No row to blame: the function cannot do this at all. Planning tries this.
            0 => Err(error),
            rows if constant => {
                self.errors.add(rows as u64);
                Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(args.return_type())?))
            }
            _ => Ok(ColumnarValue::Array(self.by_halves(&args)?)),
        }
    }

    fn short_circuits(&self) -> bool {
        matches!(&self.operation, Operation::Function(function) if function.short_circuits())
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        match &self.operation {
            Operation::Function(function) => function.conditional_arguments(args),
            _ => None,
        }
    }
}

fn first(mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
    if args.args.is_empty() {
        return Err(DataFusionError::Internal("an operand is missing".to_owned()));
    }
    Ok(args.args.swap_remove(0))
}

fn slice(args: &ScalarFunctionArgs, start: usize, length: usize) -> ScalarFunctionArgs {
    let part = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, length)),
        scalar => scalar.clone(),
    };
    let mut sliced = args.clone();
    sliced.args = args.args.iter().map(part).collect();
    sliced.number_rows = length;
    sliced
}

/// The arguments as literals and columns of a batch, for expressions that only exist as
/// `PhysicalExpr`.
fn operands(args: &ScalarFunctionArgs) -> Result<(Vec<Arc<dyn PhysicalExpr>>, RecordBatch)> {
    let mut expressions: Vec<Arc<dyn PhysicalExpr>> = Vec::with_capacity(args.args.len());
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for value in &args.args {
        match value {
            ColumnarValue::Scalar(scalar) => {
                expressions.push(Arc::new(Literal::new(scalar.clone())));
            }
            ColumnarValue::Array(array) => {
                expressions.push(Arc::new(Column::new("operand", columns.len())));
                fields.push(Field::new("operand", array.data_type().clone(), true));
                columns.push(array.clone());
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
    let schema = Arc::new(Schema::new(fields));
    Ok((expressions, RecordBatch::try_new_with_options(schema, columns, &options)?))
}

#[cfg(test)]
mod tests;
