//! Exact sums of decimals, given as their unscaled 128-bit integers. 2^63 values fit whatever
//! their digits; only a result can be too big for its type, and then says so. Precision and
//! scale are those of the input type; the state does not know them.

use super::{Divisor, Overflow, implement_moments, times_ten_to, variance, variance_wide};
use crate::aggregate::encoding::{finish, read_count, read_scaled, write_count, write_scaled};
use crate::aggregate::wide::{Int, bit_length, divide_by_limb, magnitude_of, to_magnitude};
use crate::error::Result;

/// The greatest precision of a decimal.
const PRECISION_MAX: u8 = 38;
/// The greatest scale of a decimal.
const SCALE_MAX: i8 = 38;

/// The type of SUM over DECIMAL(precision, scale).
pub fn sum_type(precision: u8, scale: i8) -> (u8, i8) {
    (PRECISION_MAX.min(precision.saturating_add(10)), scale)
}

/// The type of AVG over DECIMAL(precision, scale).
pub fn avg_type(precision: u8, scale: i8) -> (u8, i8) {
    (PRECISION_MAX.min(precision.saturating_add(4)), SCALE_MAX.min(scale.saturating_add(4)))
}

/// n and Σx of decimals: SUM and AVG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecimalSums {
    sum: Int<3>,
    count: u64,
}

impl DecimalSums {
    #[inline]
    pub fn add(&mut self, x: i128) {
        self.count += 1;
        self.step::<false>(&Int::from_i128(x));
    }

    #[inline]
    pub fn sub(&mut self, x: i128) {
        self.count -= 1;
        self.step::<true>(&Int::from_i128(x));
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.step::<false>(&other.sum);
    }

    pub fn unmerge(&mut self, other: &Self) {
        self.count -= other.count;
        self.step::<true>(&other.sum);
    }

    #[inline]
    fn step<const SUB: bool>(&mut self, sum: &Int<3>) {
        let result = if SUB { self.sum.checked_sub(sum) } else { self.sum.checked_add(sum) };
        assert!(result.is_some(), "more than 2^63 decimals");
        self.sum = result.unwrap_or_default();
    }

    #[inline]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// SUM as the unscaled integer of [`sum_type`]; NULL if there are no values.
    ///
    /// # Errors
    /// [`Overflow`] if it has more digits than its type.
    pub fn sum(&self, precision: u8, scale: i8) -> Result<Option<i128>, Overflow> {
        if self.count == 0 {
            return Ok(None);
        }
        let (negative, magnitude) = to_magnitude(self.sum.limbs());
        fit(negative, &magnitude, sum_type(precision, scale).0).map(Some)
    }

    /// AVG as the unscaled integer of [`avg_type`], rounded half away from zero; NULL if there
    /// are no values.
    ///
    /// # Errors
    /// [`Overflow`] if it has more digits than its type.
    pub fn avg(&self, precision: u8, scale: i8) -> Result<Option<i128>, Overflow> {
        if self.count == 0 {
            return Ok(None);
        }
        let (to_precision, to_scale) = avg_type(precision, scale);
        let up = (to_scale - scale) as u32;
        let small = self.sum.to_i128().and_then(|sum| sum.checked_mul(10i128.pow(up)));
        if let Some(sum) = small {
            let (magnitude, n) = (sum.unsigned_abs(), u128::from(self.count));
            let (floor, rest) = (magnitude / n, magnitude % n);
            let rounded = floor + u128::from(rest >= n - rest);
            return fit(sum < 0, &magnitude_of(rounded), to_precision).map(Some);
        }
        let (negative, magnitude) = to_magnitude(self.sum.limbs());
        let (floor, rest) = divide_by_limb(&times_ten_to(&magnitude, up), self.count);
        let mut rounded = Int::<4>::ZERO;
        rounded.limbs_mut()[..floor.len()].copy_from_slice(&floor);
        if rest >= self.count - rest {
            rounded = rounded.checked_add(&Int::from_i128(1)).ok_or(Overflow)?;
        }
        fit(negative, rounded.limbs(), to_precision).map(Some)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        write_count(self.count, out);
        write_scaled(&self.sum, 0, out);
    }

    /// # Errors
    /// `Data` if the bytes are not what [`Self::encode`] writes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let sums = Self::read(&mut bytes)?;
        finish(bytes)?;
        Ok(sums)
    }

    fn read(input: &mut &[u8]) -> Result<Self> {
        let count = read_count(input)?;
        let (odd, exponent) = read_scaled::<3>(input, 0)?;
        Ok(Self { sum: odd.checked_shl(exponent as u32).unwrap_or_default(), count })
    }

    #[inline]
    pub fn heap_bytes(&self) -> usize {
        0
    }

    /// Bytes held, itself included.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
    }
}

implement_moments!(DecimalSums, i128);

/// n, Σx and Σx² of decimals: SUM, AVG, VAR and STDDEV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecimalMoments {
    sums: DecimalSums,
    squares: Int<5>,
}

impl DecimalMoments {
    #[inline]
    pub fn add(&mut self, x: i128) {
        self.sums.add(x);
        self.step::<false>(&square(x));
    }

    #[inline]
    pub fn sub(&mut self, x: i128) {
        self.sums.sub(x);
        self.step::<true>(&square(x));
    }

    pub fn merge(&mut self, other: &Self) {
        self.sums.merge(&other.sums);
        self.step::<false>(&other.squares);
    }

    pub fn unmerge(&mut self, other: &Self) {
        self.sums.unmerge(&other.sums);
        self.step::<true>(&other.squares);
    }

    #[inline]
    fn step<const SUB: bool>(&mut self, squares: &Int<5>) {
        let result =
            if SUB { self.squares.checked_sub(squares) } else { self.squares.checked_add(squares) };
        assert!(result.is_some(), "more than 2^63 squares of decimals");
        self.squares = result.unwrap_or_default();
    }

    #[inline]
    pub fn count(&self) -> u64 {
        self.sums.count
    }

    /// See [`DecimalSums::sum`].
    ///
    /// # Errors
    /// [`Overflow`] if it has more digits than its type.
    pub fn sum(&self, precision: u8, scale: i8) -> Result<Option<i128>, Overflow> {
        self.sums.sum(precision, scale)
    }

    /// See [`DecimalSums::avg`].
    ///
    /// # Errors
    /// [`Overflow`] if it has more digits than its type.
    pub fn avg(&self, precision: u8, scale: i8) -> Result<Option<i128>, Overflow> {
        self.sums.avg(precision, scale)
    }

    /// DOUBLE, rounded once; NULL if there are no values.
    pub fn var_pop(&self, scale: i8) -> Option<f64> {
        self.variance(Divisor::Population, scale)
    }

    /// DOUBLE, rounded once; NULL if there are fewer than two values.
    pub fn var_samp(&self, scale: i8) -> Option<f64> {
        self.variance(Divisor::Sample, scale)
    }

    /// The root of [`Self::var_pop`].
    pub fn stddev_pop(&self, scale: i8) -> Option<f64> {
        self.var_pop(scale).map(f64::sqrt)
    }

    /// The root of [`Self::var_samp`].
    pub fn stddev_samp(&self, scale: i8) -> Option<f64> {
        self.var_samp(scale).map(f64::sqrt)
    }

    fn variance(&self, divisor: Divisor, scale: i8) -> Option<f64> {
        let (n, by) = (self.count(), divisor.of(self.count())?);
        let limbs = self.squares.limbs();
        let scale = i32::from(scale);
        if let (Some(sum), 0) = (self.sums.sum.to_i128(), limbs[4]) {
            let squares = [limbs[0], limbs[1], limbs[2], limbs[3]];
            return Some(variance(n, by, sum.unsigned_abs(), squares, scale, 0));
        }
        let (_, sum) = to_magnitude(self.sums.sum.limbs());
        Some(variance_wide(n, by, &sum, limbs, scale, 0))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        self.sums.encode(out);
        write_scaled(&self.squares, 0, out);
    }

    /// # Errors
    /// `Data` if the bytes are not what [`Self::encode`] writes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let sums = DecimalSums::read(&mut bytes)?;
        let (odd, exponent) = read_scaled::<5>(&mut bytes, 0)?;
        finish(bytes)?;
        Ok(Self { sums, squares: odd.checked_shl(exponent as u32).unwrap_or_default() })
    }

    #[inline]
    pub fn heap_bytes(&self) -> usize {
        0
    }

    /// Bytes held, itself included.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
    }
}

implement_moments!(DecimalMoments, i128);

#[inline]
fn square(x: i128) -> Int<5> {
    let square = super::square(x.unsigned_abs());
    let mut out = Int::ZERO;
    out.limbs_mut()[..4].copy_from_slice(&square);
    out
}

/// The signed value, if it has at most `precision` digits.
fn fit(negative: bool, magnitude: &[u64], precision: u8) -> Result<i128, Overflow> {
    if bit_length(magnitude) > 127 {
        return Err(Overflow);
    }
    let at = |i: usize| magnitude.get(i).copied().unwrap_or(0);
    let value = (u128::from(at(1)) << 64 | u128::from(at(0))) as i128;
    if value >= 10i128.pow(u32::from(precision.min(PRECISION_MAX))) {
        return Err(Overflow);
    }
    Ok(if negative { -value } else { value })
}
