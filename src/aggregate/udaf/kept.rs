//! Functions that keep their arguments and are evaluated by the slots that features use, over one
//! frame: whatever a group or a frame holds. State: one list per argument.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, ReversedUDAF, Signature, Volatility,
};
use datafusion::physical_expr::expressions::{CastExpr, Literal};
use datafusion::physical_plan::PhysicalExpr;

use crate::aggregate::datum::Datum;
use crate::aggregate::kind::{AggregateKind, AggregateSpec, Direction, check_constants, result_of};
use crate::aggregate::slot::{Argument, Codec, Lens, Physical, Rows, Run, sliding};
use crate::error::Error;

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    kind: AggregateKind,
    aliases: Vec<String>,
    signature: Signature,
}

impl Kept {
    pub fn new(kind: AggregateKind) -> Self {
        let aliases = kind.aliases().iter().map(|alias| (*alias).to_owned()).collect();
        Self { kind, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// Column arguments of a call with so many arguments.
    fn columns(&self) -> usize {
        self.kind.function().arguments.len()
    }

    fn check(&self, arguments: usize) -> Result<()> {
        let function = self.kind.function();
        if arguments < self.columns() + function.constants.len() - function.optional {
            return Err(Error::usage(format!("{} takes more arguments", self.kind))
                .with_hint(format!("write {}", usage(self.kind)))
                .into());
        }
        Ok(())
    }
}

/// How a call is written where there is no event time to fill in.
fn usage(kind: AggregateKind) -> String {
    let function = kind.function();
    if !function.ends_in_time() {
        return function.usage.to_owned();
    }
    let (head, rest) = function.usage.split_once('(').unwrap_or((function.usage, ")"));
    let rest = rest.trim_end_matches(')');
    let mut parts: Vec<&str> = rest.split(", ").filter(|part| !part.is_empty()).collect();
    parts.insert(function.arguments.len() - 1, "time");
    format!("{head}({})", parts.join(", "))
}

impl AggregateUDFImpl for Kept {
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
        self.check(types.len())?;
        let columns = self.columns();
        let widened = types.iter().enumerate().map(|(i, input)| match i < columns {
            true => self.kind.widened(i, input),
            false => Ok(input.clone()),
        });
        Ok(widened.collect::<crate::error::Result<_>>()?)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.check(types.len())?;
        Ok(result_of(self.kind, false, &types[..self.columns()])?)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let columns = args.input_fields.iter().take(self.columns());
        let ordering = args.ordering_fields.iter();
        let list = |(i, field): (usize, &FieldRef)| {
            let item = Field::new_list_field(field.data_type().clone(), true);
            let name = format_state_name(args.name, &format!("kept{i}"));
            Arc::new(Field::new(name, DataType::List(item.into()), true))
        };
        Ok(columns.chain(ordering).enumerate().map(list).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let columns = self.columns();
        self.check(args.expr_fields.len())?;
        let constants = args.exprs[columns..].iter().map(constant).collect::<Result<Vec<_>>>()?;
        check_constants(self.kind, &constants)?;
        let mut types: Vec<DataType> =
            args.expr_fields[..columns].iter().map(|field| field.data_type().clone()).collect();
        let direction = |sort: &datafusion::physical_expr::PhysicalSortExpr| Direction {
            descending: sort.options.descending,
            nulls_first: sort.options.nulls_first,
        };
        let order: Vec<Direction> = args.order_bys.iter().map(direction).collect();
        for sort in args.order_bys {
            types.push(sort.expr.data_type(args.schema)?);
        }
        let output = result_of(self.kind, args.is_distinct, &types[..columns])?;
        let spec = AggregateSpec {
            more: (1..types.len()).collect(),
            order,
            constants,
            distinct: args.is_distinct,
            ..AggregateSpec::plain(self.kind, Some(0), types[0].clone(), output)
        };
        let kept = vec![Vec::new(); types.len()];
        Ok(Box::new(KeptAccumulator {
            spec,
            types,
            constants: args.exprs.len() - columns,
            kept,
            gone: 0,
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        if self.kind.function().is_ordered() {
            AggregateOrderSensitivity::Beneficial
        } else {
            AggregateOrderSensitivity::Insensitive
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        if self.kind.function().is_ordered() {
            ReversedUDAF::NotSupported
        } else {
            ReversedUDAF::Identical
        }
    }

    fn supports_within_group_clause(&self) -> bool {
        false
    }
}

/// The value of a constant argument.
fn constant(expression: &Arc<dyn PhysicalExpr>) -> Result<Datum> {
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        return constant(cast.expr());
    }
    let Some(literal) = expression.downcast_ref::<Literal>() else {
        return Err(Error::usage(format!("{expression} must be a constant")).into());
    };
    Ok(datum(literal.value())?)
}

/// A constant of SQL as a value.
///
/// # Errors
/// `Usage` for what is no number, text, boolean or time.
pub fn datum(scalar: &ScalarValue) -> crate::error::Result<Datum> {
    if scalar.is_null() {
        return Ok(Datum::Null);
    }
    let array = match scalar.data_type() {
        DataType::Decimal128(..) => scalar.cast_to(&DataType::Float64)?.to_array()?,
        _ => scalar.to_array()?,
    };
    let kept = Table::new(&[array])?;
    let rows = kept.rows();
    Ok(Datum::read(&rows, rows.row(0), &kept.columns[0].lens, kept.physical[0]))
}

/// The values of columns, row by row.
///
/// # Errors
/// `NotSupported` for a type that no column can have.
pub fn rows_of(columns: &[ArrayRef]) -> crate::error::Result<Vec<Vec<Datum>>> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let kept = Table::new(columns)?;
    let rows = kept.rows();
    let value = |row: u64| {
        let columns = kept.columns.iter().zip(&kept.physical);
        columns.map(|(c, physical)| Datum::read(&rows, rows.row(row), &c.lens, *physical)).collect()
    };
    Ok((0..columns[0].len() as u64).map(value).collect())
}

#[derive(Debug)]
struct KeptAccumulator {
    spec: AggregateSpec,
    /// Of arguments, then of what ORDER BY sorts by.
    types: Vec<DataType>,
    constants: usize,
    /// Per column, the arrays that came.
    kept: Vec<Vec<ArrayRef>>,
    /// Rows that have left again, oldest first.
    gone: usize,
}

impl KeptAccumulator {
    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(self.types.len());
        for (arrays, data_type) in self.kept.iter().zip(&self.types) {
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            let all = match arrays.as_slice() {
                [] => arrow::array::new_empty_array(data_type),
                arrays => concat(arrays)?,
            };
            columns.push(all.slice(self.gone, all.len() - self.gone));
        }
        Ok(columns)
    }

    fn keep<'a>(&mut self, values: impl Iterator<Item = &'a ArrayRef>) {
        for (kept, values) in self.kept.iter_mut().zip(values) {
            kept.push(values.clone());
        }
    }
}

impl Accumulator for KeptAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = self.types.len() - self.spec.order.len();
        let (arguments, rest) = values.split_at(columns);
        let order = rest.iter().skip(self.constants);
        self.keep(arguments.iter().chain(order));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.gone += values[0].len();
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns = self.columns()?;
        // What has left need not be carried along.
        self.kept = columns.iter().map(|column| vec![column.clone()]).collect();
        self.gone = 0;
        Ok(evaluate(&self.spec, &columns)?)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |column: ArrayRef| {
            let item = Arc::new(Field::new_list_field(column.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([column.len()]);
            let list = ListArray::try_new(item, offsets, column, None)?;
            Ok(ScalarValue::List(Arc::new(list)))
        };
        self.columns()?.into_iter().map(list).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let values: Vec<ArrayRef> =
                states.iter().map(|state| state.as_list::<i32>().value(row)).collect();
            self.keep(values.iter());
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let arrays = self.kept.iter().flatten();
        size_of_val(self) + arrays.map(|array| array.get_array_memory_size()).sum::<usize>()
    }
}

/// The result over rows, by a slot of one state.
fn evaluate(spec: &AggregateSpec, columns: &[ArrayRef]) -> crate::error::Result<ScalarValue> {
    let kept = Table::new(columns)?;
    let rows = kept.rows();
    let end = columns[0].len() as u64;
    let mut slots = sliding(&[(0, spec)], &kept.columns, true)?;
    let run = Run { rows, state: 0, fresh: true, was: (0, 0), results: 0..1 };
    let mut out = [None];
    for slot in &mut slots {
        slot.resize(1);
        slot.slide(std::slice::from_ref(&run), (&[0], &[end]));
        slot.take(&mut out)?;
    }
    let [result] = out;
    let result = result.ok_or_else(|| Error::internal("a slot without a result"))?;
    Ok(ScalarValue::try_from_array(&result, 0)?)
}

/// Columns as slots read them: a word of validity bits, then the values.
struct Table {
    columns: Vec<Argument>,
    physical: Vec<Physical>,
    words: Vec<u64>,
    stride: usize,
    texts: Vec<Arc<[u8]>>,
}

impl Table {
    fn new(arrays: &[ArrayRef]) -> crate::error::Result<Self> {
        let (mut columns, mut physical, mut stride) = (Vec::new(), Vec::new(), 1);
        for (i, array) in arrays.iter().enumerate() {
            let lens = Lens { at: stride, valid_word: 0, valid_bit: i as u32 };
            columns.push(Argument { lens, data_type: array.data_type().clone() });
            physical.push(Physical::of(array.data_type()));
            stride += physical[i].words();
        }
        let rows = arrays[0].len();
        let mut table =
            Self { columns, physical, words: vec![0; rows * stride], stride, texts: Vec::new() };
        for (i, array) in arrays.iter().enumerate() {
            table.fill(i, array)?;
        }
        Ok(table)
    }

    fn fill(&mut self, column: usize, array: &ArrayRef) -> crate::error::Result<()> {
        let codec = Codec::new(array.data_type())?;
        let Self { words, stride, texts, .. } = self;
        let (stride, at) = (*stride, self.columns[column].lens.at);
        let nulls = array.logical_nulls();
        for row in 0..array.len() {
            let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            words[row * stride] |= u64::from(valid) << column;
        }
        match codec.physical() {
            Physical::Wide => codec.wide(array, |row, value| {
                words[row * stride + at] = value as u64;
                words[row * stride + at + 1] = (value >> 64) as u64;
            }),
            Physical::Bytes if !array.data_type().is_null() => {
                codec.bytes(array, |row, bytes| {
                    words[row * stride + at] = texts.len() as u64;
                    texts.push(bytes.into());
                })?
            }
            Physical::Bytes => {}
            _ => codec.words(array, |row, word| words[row * stride + at] = word),
        }
        Ok(())
    }

    fn rows(&self) -> Rows<'_> {
        Rows { words: &self.words, stride: self.stride, first: 0, texts: &self.texts, order: None }
    }
}
