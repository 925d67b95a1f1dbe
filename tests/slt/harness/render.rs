//! Result rows as the text of `.slt` files: one row a line, cells separated by one space. Floats
//! are the shortest text that reads back to the same bits (so `-0.0` and `0.0` differ), times are
//! RFC 3339, text with spaces or quotes is a JSON string. Called by `run`.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;

use super::value::{Val, rows};

/// Lines of all rows.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let types: Vec<DataType> = batches.first().map_or(Vec::new(), |b| {
        b.schema().fields().iter().map(|f| f.data_type().clone()).collect()
    });
    rows(batches)
        .iter()
        .map(|row| row.iter().zip(&types).map(|(v, t)| cell(v, t)).collect::<Vec<_>>().join(" "))
        .collect()
}

/// The column letters (`I` integers, `R` floats and decimals, `B` booleans, `T` the rest).
pub fn letters(batch: &RecordBatch) -> String {
    let letter = |t: &DataType| match t {
        t if t.is_integer() => 'I',
        t if t.is_numeric() => 'R',
        DataType::Boolean => 'B',
        _ => 'T',
    };
    batch.schema().fields().iter().map(|f| letter(f.data_type())).collect()
}

fn cell(value: &Val, data_type: &DataType) -> String {
    match value {
        Val::Null => "NULL".into(),
        Val::Int(days) if *data_type == DataType::Date32 => {
            skewless::model::time::EventTime(*days as i64 * 86_400_000_000).date()
        }
        Val::Int(x) => x.to_string(),
        Val::Dec(x, s) => decimal(*x, *s),
        Val::Float(x) => format!("{x:?}"),
        Val::Real(x) => format!("{x:?}"),
        Val::Bool(x) => x.to_string(),
        Val::Time(us) => skewless::model::time::EventTime(*us).to_string(),
        Val::Bytes(b) => b.iter().map(|x| format!("{x:02x}")).collect(),
        Val::List(items) => {
            let DataType::List(item) = data_type else { panic!("a list of type {data_type}") };
            let cells: Vec<_> = items.iter().map(|v| cell(v, item.data_type())).collect();
            format!("[{}]", cells.join(","))
        }
        Val::Map(items) => {
            let DataType::Map(entries, _) = data_type else { panic!("a map of type {data_type}") };
            let DataType::Struct(fields) = entries.data_type() else { panic!("{entries}") };
            let pair = |pair: &[Val]| {
                let [key, value] = [0, 1].map(|i| cell(&pair[i], fields[i].data_type()));
                format!("{key}:{value}")
            };
            format!("{{{}}}", items.chunks(2).map(pair).collect::<Vec<_>>().join(","))
        }
        Val::Text(s) if s.is_empty() => "(empty)".into(),
        Val::Text(s) if s.contains(|c: char| c.is_whitespace() || c == '"') || s == "NULL" => {
            format!("{s:?}")
        }
        Val::Text(s) => s.clone(),
    }
}

fn decimal(digits: i128, scale: i8) -> String {
    if scale <= 0 {
        return digits.to_string();
    }
    let scale = scale as usize;
    let text = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, part) = text.split_at(text.len() - scale);
    format!("{}{whole}.{part}", if digits < 0 { "-" } else { "" })
}
