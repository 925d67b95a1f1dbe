//! One value of any column type, with the one order of the engine (semantics §3): what slots keep
//! whose results do not follow from sums. Constants of calls are of this type too.

use std::sync::Arc;

use super::encoding::take;
use super::slot::{Lens, Physical, Rows, is_valid};
use crate::error::{Error, Result};
use crate::model::key::{canonical_f64, from_ordered_bits, ordered_bits};

/// A value. Values of one column compare as SQL compares them, NULL before all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Datum {
    #[default]
    Null,
    Int(i64),
    UInt(u64),
    /// By its ordered bits: see [`Datum::float`].
    Float(i64),
    /// High and low word of an unscaled decimal.
    Wide(i64, u64),
    /// Text as UTF-8; nested values in Arrow's row format.
    Bytes(Arc<[u8]>),
}

impl Datum {
    pub fn float(x: f64) -> Self {
        Self::Float(ordered_bits(canonical_f64(x)))
    }

    pub fn wide(x: i128) -> Self {
        Self::Wide((x >> 64) as i64, x as u64)
    }

    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().into())
    }

    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The value of a column of a row.
    #[inline]
    pub fn read(rows: &Rows, row: &[u64], lens: &Lens, physical: Physical) -> Self {
        if !is_valid(row, lens) {
            return Self::Null;
        }
        let word = row[lens.at];
        match physical {
            Physical::Int => Self::Int(word as i64),
            Physical::UInt => Self::UInt(word),
            Physical::Float => Self::Float(ordered_bits(f64::from_bits(word))),
            Physical::Wide => Self::Wide(row[lens.at + 1] as i64, word),
            Physical::Bytes => Self::Bytes(rows.texts[word as usize].clone()),
        }
    }

    /// A DOUBLE, an integer rounded to one; NULL and other values are NaN.
    pub fn as_f64(&self) -> f64 {
        match self {
            Self::Float(bits) => from_ordered_bits(*bits),
            Self::Int(x) => *x as f64,
            Self::UInt(x) => *x as f64,
            _ => f64::NAN,
        }
    }

    /// A whole number, an unscaled decimal included.
    pub fn as_i128(&self) -> Option<i128> {
        match self {
            Self::Int(x) => Some((*x).into()),
            Self::UInt(x) => Some((*x).into()),
            Self::Wide(high, low) => Some(i128::from(*high) << 64 | i128::from(*low)),
            _ => None,
        }
    }

    /// A whole number at least 0 as a length; 0 for everything else.
    pub fn as_count(&self) -> usize {
        self.as_i128().and_then(|x| usize::try_from(x).ok()).unwrap_or(0)
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len() + 2 * size_of::<usize>(),
            _ => 0,
        }
    }

    /// Appends its bytes (part of checkpoints): a tag, then the value, little endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Int(x) => tagged(1, &x.to_le_bytes(), out),
            Self::UInt(x) => tagged(2, &x.to_le_bytes(), out),
            Self::Float(bits) => tagged(3, &bits.to_le_bytes(), out),
            Self::Wide(high, low) => {
                tagged(4, &low.to_le_bytes(), out);
                out.extend_from_slice(&high.to_le_bytes());
            }
            Self::Bytes(bytes) => {
                tagged(5, &(bytes.len() as u64).to_le_bytes(), out);
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// `Data` if the bytes are damaged.
    pub fn decode(input: &mut &[u8]) -> Result<Self> {
        let tag = take(input, 1)?[0];
        if tag == 0 {
            return Ok(Self::Null);
        }
        let word = eight(input)?;
        Ok(match tag {
            1 => Self::Int(word as i64),
            2 => Self::UInt(word),
            3 => Self::Float(word as i64),
            4 => Self::Wide(eight(input)? as i64, word),
            5 => Self::Bytes(take(input, word as usize)?.into()),
            other => return Err(Error::data(format!("a value of unknown kind {other}"))),
        })
    }
}

fn tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn eight(input: &mut &[u8]) -> Result<u64> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(take(input, 8)?);
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_bytes_and_keep_their_order() {
        let values = [
            Datum::Null,
            Datum::Int(-3),
            Datum::UInt(u64::MAX),
            Datum::float(-0.0),
            Datum::wide(-(1 << 100)),
            Datum::text("a"),
        ];
        for value in &values {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            assert_eq!(Datum::decode(&mut bytes.as_slice()).unwrap(), *value);
            bytes.pop();
            assert!(Datum::decode(&mut bytes.as_slice()).is_err());
        }
        assert_eq!(values[4].as_i128(), Some(-(1 << 100)));
        assert!(Datum::wide(-1) < Datum::wide(0) && Datum::wide(1 << 64) > Datum::wide(5));
        assert!(Datum::float(f64::NAN) > Datum::float(f64::INFINITY));
        assert_eq!(Datum::float(-0.0), Datum::float(0.0));
    }
}
