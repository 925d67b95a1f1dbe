//! The check of the laws, on an aggregate that keeps them and on others of which each breaks one.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use arrow::array::{Float64Array, Int64Array};

use super::*;

/// Which law an aggregate breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    Nothing,
    Determinism,
    Bag,
    Retract,
    Merge,
    Types,
}

/// The sum of whole numbers; NULL without any.
#[derive(Debug)]
pub struct Total {
    pub name: &'static str,
    pub breaks: Breaks,
}

#[derive(Debug)]
struct State {
    breaks: Breaks,
    rows: i64,
    sum: i64,
}

static CALLS: AtomicI64 = AtomicI64::new(0);

impl Aggregate for Total {
    fn name(&self) -> &str {
        self.name
    }

    fn result(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Int64] => Ok(DataType::Int64),
            other => Err(Error::usage(format!("{} takes one BIGINT, not {other:?}", self.name))),
        }
    }

    fn accumulator(&self, _: &[DataType]) -> Box<dyn Accumulator> {
        Box::new(State { breaks: self.breaks, rows: 0, sum: 0 })
    }
}

impl Accumulator for State {
    fn add(&mut self, row: &[Datum]) {
        let Datum::Int(x) = row[0] else { return };
        self.rows += 1;
        self.sum = match self.breaks {
            Breaks::Bag => 2 * self.sum + x,
            Breaks::Determinism => self.sum + x + CALLS.fetch_add(1, Relaxed),
            _ => self.sum + x,
        };
    }

    fn retract(&mut self, row: &[Datum]) {
        let Datum::Int(x) = row[0] else { return };
        self.rows -= 1;
        self.sum -= if self.breaks == Breaks::Retract { x / 2 } else { x };
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let damaged = || Error::data("a total of another length");
        let (rows, sum) = saved.split_at_checked(8).ok_or_else(damaged)?;
        let word = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).map_err(|_| damaged());
        self.rows += word(rows)?;
        self.sum += if self.breaks == Breaks::Merge { 0 } else { word(sum)? };
        Ok(())
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.rows.to_le_bytes());
        out.extend(self.sum.to_le_bytes());
    }

    fn value(&self) -> Datum {
        match (self.rows, self.breaks) {
            (0, _) => Datum::Null,
            (_, Breaks::Types) => Datum::float(0.5),
            _ => Datum::Int(self.sum),
        }
    }
}

fn rows() -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(vec![Some(3), None, Some(-8), Some(3), Some(100)]))]
}

#[test]
fn an_aggregate_that_keeps_the_laws_passes() {
    let total = Total { name: "total", breaks: Breaks::Nothing };
    check(&total, &rows()).unwrap();
    check(&total, &[Arc::new(Int64Array::from(Vec::<i64>::new()))]).unwrap();
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let error = check(&total, &[floats]).unwrap_err();
    assert!(error.message().contains("takes one BIGINT"), "{error}");
}

#[test]
fn each_law_that_is_broken_is_named() {
    for (breaks, law) in [
        (Breaks::Determinism, "determinism: the same rows give two states"),
        (Breaks::Types, "types: Float(4602678819172646912) is no BIGINT"),
        (Breaks::Bag, "bags: rows that enter backwards give another state"),
        (Breaks::Retract, "retracting: the rows before row 1 have left a trace"),
        (Breaks::Merge, "merging: the rows before row 0 and the others"),
    ] {
        let error = check(&Total { name: "broken", breaks }, &rows()).unwrap_err();
        let told = format!("aggregate broken does not keep the law of {law}");
        assert_eq!(error.message(), told, "{breaks:?}");
    }
}

#[test]
fn values_outside_of_their_type_are_none() {
    let int = |x: i64| Datum::Int(x);
    for (value, output, fits) in [
        (int(127), DataType::Int8, true),
        (int(128), DataType::Int8, false),
        (int(-1), DataType::Int64, true),
        (Datum::UInt(1), DataType::Int64, false),
        (Datum::UInt(70_000), DataType::UInt16, false),
        (Datum::Null, DataType::Utf8, true),
        (Datum::text("é"), DataType::Utf8, true),
        (Datum::Bytes(vec![0xff].into()), DataType::Utf8, false),
        (Datum::Bytes(vec![0xff].into()), DataType::Binary, true),
        (Datum::float(1.0), DataType::Decimal128(10, 2), false),
    ] {
        assert_eq!(fitting(value.clone(), &output).is_some(), fits, "{value:?} {output}");
    }
}
