//! Exact sums of products of doubles, wide as their terms need, and the arithmetic that turns
//! them into results: the base of COVAR, CORR, REGR, SKEWNESS and KURTOSIS (`joint`).

use super::encoding::{read_count, take, write_count};
use super::rounding::round_ratio;
use super::wide::{
    add_shifted, bit_length, compare, difference, multiply, shift_left, sub_shifted, to_magnitude,
};
use crate::error::{Error, Result};

/// A finite double as (negative, m, e) with value ±m 2^e.
#[inline]
pub fn split(x: f64) -> (bool, u64, i32) {
    let bits = x.to_bits();
    let (mantissa, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    match exponent {
        0 => (bits >> 63 != 0, mantissa, -1074),
        _ => (bits >> 63 != 0, mantissa | 1 << 52, exponent - 1075),
    }
}

/// An exact sum: a two's complement number in units of 2^(64 low) that always has a limb and more
/// of room above its terms.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    low: i32,
    limbs: Vec<u64>,
}

/// Limbs above a term: its carry, and the sum of up to 2^63 of its like.
const ROOM: usize = 3;

impl Terms {
    /// Adds (or takes back) ± `magnitude` 2^exponent.
    #[inline]
    pub fn change(&mut self, negative: bool, magnitude: &[u64], exponent: i32) {
        let bottom = exponent.div_euclid(64);
        if self.limbs.is_empty() {
            self.low = bottom;
        }
        if bottom < self.low {
            let more = (self.low - bottom) as usize;
            self.limbs.splice(0..0, std::iter::repeat_n(0, more));
            self.low = bottom;
        }
        let shift = (exponent - 64 * self.low) as usize;
        let needed = shift / 64 + magnitude.len() + ROOM;
        if self.limbs.len() < needed {
            let sign = self.limbs.last().map_or(0, |top| (*top as i64 >> 63) as u64);
            self.limbs.resize(needed, sign);
        }
        if negative {
            sub_shifted(&mut self.limbs, magnitude, shift);
        } else {
            add_shifted(&mut self.limbs, magnitude, shift);
        }
    }

    /// Adds another sum, or takes it back.
    pub fn merge(&mut self, other: &Self, take_back: bool) {
        let (negative, mut magnitude) = to_magnitude(&other.limbs);
        if !magnitude.is_empty() {
            magnitude.push(0);
            self.change(negative != take_back, &magnitude, 64 * other.low);
        }
    }

    /// The exact value.
    pub fn value(&self) -> Scaled {
        let (negative, magnitude) = to_magnitude(&self.limbs);
        Scaled { negative, magnitude, exponent: 64 * self.low }
    }

    pub fn heap_bytes(&self) -> usize {
        self.limbs.capacity() * 8
    }

    /// Canonical bytes: sign and number of limbs (LEB128), place of the lowest, limbs.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (negative, magnitude) = to_magnitude(&self.limbs);
        let zeros = magnitude.iter().take_while(|limb| **limb == 0).count();
        let kept = &magnitude[zeros..];
        write_count((kept.len() as u64) << 1 | u64::from(negative), out);
        if !kept.is_empty() {
            out.extend_from_slice(&((self.low + zeros as i32) as i16).to_le_bytes());
            out.extend(kept.iter().flat_map(|limb| limb.to_le_bytes()));
        }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// `Data` if the bytes are damaged.
    pub fn decode(input: &mut &[u8]) -> Result<Self> {
        let head = read_count(input)?;
        let mut sum = Self::default();
        if head >> 1 == 0 {
            return Ok(sum);
        }
        let place = take(input, 2)?;
        let low = i16::from_le_bytes([place[0], place[1]]);
        let length = usize::try_from(head >> 1).ok().filter(|length| *length < 1 << 12);
        let length = length.ok_or_else(|| Error::data("an exact sum beyond its range"))?;
        let mut limbs = Vec::with_capacity(length + 1);
        for bytes in take(input, 8 * length)?.chunks_exact(8) {
            let mut limb = [0; 8];
            limb.copy_from_slice(bytes);
            limbs.push(u64::from_le_bytes(limb));
        }
        limbs.push(0);
        sum.change(head & 1 == 1, &limbs, 64 * i32::from(low));
        Ok(sum)
    }
}

/// ± magnitude · 2^exponent.
#[derive(Clone, Debug)]
pub struct Scaled {
    negative: bool,
    magnitude: Vec<u64>,
    exponent: i32,
}

impl Scaled {
    pub fn whole(n: u64) -> Self {
        Self { negative: false, magnitude: if n == 0 { vec![] } else { vec![n] }, exponent: 0 }
    }

    pub fn is_zero(&self) -> bool {
        bit_length(&self.magnitude) == 0
    }

    pub fn times(&self, other: &Self) -> Self {
        Self {
            negative: self.negative != other.negative,
            magnitude: multiply(&self.magnitude, &other.magnitude),
            exponent: self.exponent + other.exponent,
        }
    }

    pub fn by(&self, n: u64) -> Self {
        self.times(&Self::whole(n))
    }

    pub fn minus(&self, other: &Self) -> Self {
        let exponent = match (self.is_zero(), other.is_zero()) {
            (true, _) => other.exponent,
            (_, true) => self.exponent,
            _ => self.exponent.min(other.exponent),
        };
        let at = |x: &Self| match x.is_zero() {
            true => Vec::new(),
            false => shift_left(&x.magnitude, (x.exponent - exponent) as usize),
        };
        let (a, b) = (at(self), at(other));
        if self.negative == other.negative {
            let (less, magnitude) = difference(&a, &b);
            return Self { negative: self.negative != less, magnitude, exponent };
        }
        let mut magnitude = if compare(&a, &b).is_lt() { b.clone() } else { a.clone() };
        magnitude.push(0);
        add_shifted(
            &mut magnitude,
            &[if compare(&a, &b).is_lt() { a } else { b }, vec![0]].concat(),
            0,
        );
        Self { negative: self.negative, magnitude, exponent }
    }

    pub fn plus(&self, other: &Self) -> Self {
        self.minus(&Self { negative: !other.negative, ..other.clone() })
    }

    /// `self / divisor`, rounded once; the divisor is a whole number above 0.
    pub fn over(&self, divisor: &Self) -> f64 {
        let mut denominator = shift_left(&divisor.magnitude, divisor.exponent.max(0) as usize);
        let mut numerator = self.magnitude.clone();
        let trim = |x: &mut Vec<u64>| {
            while x.last() == Some(&0) {
                x.pop();
            }
        };
        trim(&mut denominator);
        trim(&mut numerator);
        round_ratio(self.negative, &numerator, &denominator, self.exponent)
    }
}

#[cfg(test)]
mod tests;
