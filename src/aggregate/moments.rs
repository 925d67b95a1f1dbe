//! The exact sums behind SUM, AVG, VAR and STDDEV: n, S = Σx and, where asked for, Q = Σx².
//! `…Sums` keep n and S, `…Moments` Q too; `Float…` for doubles, `Int…` for integers of up to 64
//! bits of either sign, `Decimal…` for unscaled 128-bit decimals. States never overflow and never
//! round; every result is rounded once from the exact rational, so it does not depend on order,
//! batches, merges or retractions (semantics §3). NULLs are the caller's to skip.
//! Called by operators and by `udaf`.
//!
//! Every type has the same shape: `add`, `sub`, `merge`, `unmerge`, `count`, `encode`, `decode`,
//! and the results as `Option` (`None` is SQL NULL). `sub` takes back what was added before.

mod decimal;
mod float;
mod int;

use std::fmt;

pub use decimal::{DecimalMoments, DecimalSums, avg_type, sum_type};
pub use float::{FloatMoments, FloatSums};
pub use int::{IntMoments, IntSums};

use super::rounding::{round_quotient, round_ratio};
use super::wide::{bit_length, difference, multiply, power, shift_left};
use crate::error::Result;

/// A result that its type cannot hold: NULL, and counted as `numeric_overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// What the states have in common, for code that is generic over them.
///
/// # Contract
/// - The value of a state is the multiset added less the multiset taken out, whatever the order.
/// - Equal states encode to equal bytes.
pub trait Moments: Clone + Default + fmt::Debug + Send + Sync + 'static {
    /// One value: `f64`, or the integer or unscaled decimal as `i128`.
    type Value: Copy;

    fn add(&mut self, x: Self::Value);
    fn sub(&mut self, x: Self::Value);
    fn merge(&mut self, other: &Self);
    fn unmerge(&mut self, other: &Self);
    /// Values held.
    fn count(&self) -> u64;
    fn encode(&self, out: &mut Vec<u8>);
    /// # Errors
    /// `Data` if the bytes are not what `encode` writes.
    fn decode(bytes: &[u8]) -> Result<Self>;
    /// Bytes held outside itself.
    fn heap_bytes(&self) -> usize;
}

/// Implements [`Moments`] by the inherent methods of the same names.
macro_rules! implement_moments {
    ($type:ty, $value:ty) => {
        impl super::Moments for $type {
            type Value = $value;

            #[inline]
            fn add(&mut self, x: $value) {
                self.add(x);
            }
            #[inline]
            fn sub(&mut self, x: $value) {
                self.sub(x);
            }
            fn merge(&mut self, other: &Self) {
                self.merge(other);
            }
            fn unmerge(&mut self, other: &Self) {
                self.unmerge(other);
            }
            fn count(&self) -> u64 {
                self.count()
            }
            fn encode(&self, out: &mut Vec<u8>) {
                self.encode(out);
            }
            fn decode(bytes: &[u8]) -> Result<Self> {
                Self::decode(bytes)
            }
            #[inline]
            fn heap_bytes(&self) -> usize {
                self.heap_bytes()
            }
        }
    };
}
use implement_moments;

/// Which variance: over the population (n²) or a sample (n (n − 1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Divisor {
    Population,
    Sample,
}

impl Divisor {
    /// What (n Q − S²) is divided by; `None` if it is NULL for so few values.
    #[inline]
    fn of(self, n: u64) -> Option<u128> {
        let n = u128::from(n);
        match self {
            Self::Population => (n > 0).then(|| n * n),
            Self::Sample => (n > 1).then(|| n * (n - 1)),
        }
    }
}

/// `(n Q − S²) / (divisor 10^(2 scale)) * 2^exponent` rounded once, for sums of usual size:
/// |S| < 2^128, 0 <= Q < 2^256.
#[inline]
fn variance(n: u64, divisor: u128, sum: u128, squares: [u64; 4], scale: i32, exponent: i32) -> f64 {
    let mut spread = [0u64; 5];
    let mut carry = 0;
    for i in 0..4 {
        (spread[i], carry) = squares[i].carrying_mul(n, carry);
    }
    spread[4] = carry;
    let square = square(sum);
    let mut borrow = false;
    for i in 0..5 {
        let term = if i < 4 { square[i] } else { 0 };
        (spread[i], borrow) = spread[i].borrowing_sub(term, borrow);
    }
    // 10^(2 scale) = 5^(2 scale) 2^(2 scale).
    let fives = match scale {
        0 => Some(1),
        1..=13 => 5u64.checked_pow(2 * scale as u32),
        _ => None,
    };
    let denominator = u64::try_from(divisor).ok().zip(fives).and_then(|(d, f)| d.checked_mul(f));
    match denominator {
        Some(denominator) if !borrow => {
            round_quotient(false, &spread, denominator, exponent - 2 * scale)
        }
        _ => {
            let sum = [sum as u64, (sum >> 64) as u64];
            variance_wide(n, divisor, &sum, &squares, scale, exponent)
        }
    }
}

#[inline]
fn square(x: u128) -> [u64; 4] {
    let (low, high) = (x as u64, (x >> 64) as u64);
    let (a, carry) = low.carrying_mul(low, 0);
    let (b, c) = low.carrying_mul(high, 0);
    // 2 * low * high, one limb up.
    let (b2, c2, top) = (b << 1, c << 1 | b >> 63, c >> 63);
    let (b, up) = b2.overflowing_add(carry);
    let (c, d) = high.carrying_mul_add(high, c2, u64::from(up));
    [a, b, c, d.wrapping_add(top)]
}

/// [`variance`] for sums of any size.
#[cold]
#[inline(never)]
fn variance_wide(
    n: u64,
    divisor: u128,
    sum: &[u64],
    squares: &[u64],
    scale: i32,
    exponent: i32,
) -> f64 {
    let (negative, mut spread) = difference(&multiply(squares, &[n]), &multiply(sum, sum));
    let mut denominator = vec![divisor as u64, (divisor >> 64) as u64];
    let tens = power(5, 2 * scale.unsigned_abs());
    if scale < 0 {
        spread = multiply(&spread, &tens);
    } else {
        denominator = multiply(&denominator, &tens);
    }
    if bit_length(&denominator) <= 64 {
        denominator.truncate(1);
    }
    round_ratio(negative, &spread, &denominator, exponent - 2 * scale)
}

/// `S / n` of a 128-bit sum in units of `2^exponent`, rounded once.
#[inline]
fn mean(sum: i128, n: u64, exponent: i32) -> f64 {
    let magnitude = sum.unsigned_abs();
    let limbs = [magnitude as u64, (magnitude >> 64) as u64];
    round_quotient(sum < 0, &limbs, n, exponent)
}

/// Magnitudes S and Q in units of 2^lowest and 2^(2 lowest) without the zero limbs they share.
fn without_shared_zeros(sum: &mut Vec<u64>, squares: &mut Vec<u64>) -> i32 {
    let zeros = |x: &[u64]| x.iter().take_while(|limb| **limb == 0).count();
    let limbs = if sum.is_empty() { zeros(squares) / 2 } else { zeros(sum) };
    let limbs = limbs.min(zeros(squares) / 2);
    sum.drain(..limbs.min(sum.len()));
    squares.drain(..2 * limbs);
    64 * limbs as i32
}

/// `magnitude * 10^digits`.
fn times_ten_to(magnitude: &[u64], digits: u32) -> Vec<u64> {
    shift_left(&multiply(magnitude, &power(5, digits)), digits as usize)
}

#[cfg(test)]
mod tests;
