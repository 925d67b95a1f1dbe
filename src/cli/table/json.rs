//! Rows as JSON: integers and decimals as numbers in full, floats shortest (NaN and the infinities
//! as strings), times RFC 3339, bytes base64, NULL null. Any Arrow type can come out of a query;
//! what JSON has no word for is written as the text of a table cell.

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::ArrayFormatter;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Result;

/// Row `row` as one object, columns in order.
pub fn row(batch: &RecordBatch, row: usize, out: &mut String) -> Result<()> {
    let fields = batch.schema_ref().fields();
    object(fields.iter().map(|f| f.name().as_str()), batch.columns(), row, out)
}

/// A JSON string with its quotes.
pub fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn object<'a>(
    names: impl Iterator<Item = &'a str>,
    columns: &[arrow::array::ArrayRef],
    row: usize,
    out: &mut String,
) -> Result<()> {
    out.push('{');
    for (at, (name, column)) in names.zip(columns).enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&text(name));
        out.push(':');
        value(column.as_ref(), row, out)?;
    }
    out.push('}');
    Ok(())
}

/// One cell.
pub fn value(array: &dyn Array, row: usize, out: &mut String) -> Result<()> {
    use DataType as T;
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        T::Null => out.push_str("null"),
        T::Float32 => {
            let x = array.as_primitive::<Float32Type>().value(row);
            out.push_str(&float(f64::from(x), format!("{x:?}")));
        }
        T::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(row);
            out.push_str(&float(x, format!("{x:?}")));
        }
        T::List(_) => list(array.as_list::<i32>().value(row).as_ref(), out)?,
        T::LargeList(_) => list(array.as_list::<i64>().value(row).as_ref(), out)?,
        T::Map(..) => map(&array.as_map().value(row), out)?,
        T::Struct(fields) => {
            let names = fields.iter().map(|f| f.name().as_str());
            object(names, array.as_struct().columns(), row, out)?;
        }
        T::Binary => out.push_str(&base64(array.as_binary::<i32>().value(row))),
        T::LargeBinary => out.push_str(&base64(array.as_binary::<i64>().value(row))),
        T::BinaryView => out.push_str(&base64(array.as_binary_view().value(row))),
        other => {
            let options = super::options("null");
            let cell = ArrayFormatter::try_new(array, &options)?.value(row).try_to_string()?;
            let plain = other.is_integer() || other.is_decimal() || *other == T::Boolean;
            out.push_str(&if plain { cell } else { text(&cell) });
        }
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    text(&STANDARD.encode(bytes))
}

fn list(items: &dyn Array, out: &mut String) -> Result<()> {
    out.push('[');
    for item in 0..items.len() {
        if item > 0 {
            out.push(',');
        }
        value(items, item, out)?;
    }
    out.push(']');
    Ok(())
}

/// An object whose names are the text of the keys.
fn map(pairs: &StructArray, out: &mut String) -> Result<()> {
    let options = super::options("null");
    let keys = ArrayFormatter::try_new(pairs.column(0), &options)?;
    let mut before = "";
    out.push('{');
    for pair in 0..pairs.len() {
        out.push_str(before);
        before = ",";
        out.push_str(&text(&keys.value(pair).try_to_string()?));
        out.push(':');
        value(pairs.column(1), pair, out)?;
    }
    out.push('}');
    Ok(())
}

fn float(x: f64, shortest: String) -> String {
    match x {
        x if x.is_nan() => "\"NaN\"".to_owned(),
        x if x == f64::INFINITY => "\"inf\"".to_owned(),
        x if x == f64::NEG_INFINITY => "\"-inf\"".to_owned(),
        _ => shortest,
    }
}
