//! Exact sums of integers of up to 64 bits, signed or unsigned, given as `i128`. 2^63 values fit.

use super::{Divisor, Overflow, implement_moments, mean, variance};
use crate::aggregate::encoding::{finish, read_count, read_scaled, write_count, write_scaled};
use crate::aggregate::wide::Int;
use crate::error::Result;

/// n and Σx of integers: SUM and AVG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntSums {
    sum: i128,
    count: u64,
}

impl IntSums {
    /// Adds an integer of at most 64 bits, signed or not.
    #[inline]
    pub fn add(&mut self, x: i128) {
        debug_assert!(x.unsigned_abs() >> 64 == 0, "an integer of more than 64 bits");
        self.sum += x;
        self.count += 1;
    }

    #[inline]
    pub fn sub(&mut self, x: i128) {
        self.sum -= x;
        self.count -= 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    pub fn unmerge(&mut self, other: &Self) {
        self.sum -= other.sum;
        self.count -= other.count;
    }

    #[inline]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The exact sum; NULL if there are no values.
    #[inline]
    pub fn sum(&self) -> Option<i128> {
        (self.count > 0).then_some(self.sum)
    }

    /// SUM as BIGINT.
    ///
    /// # Errors
    /// [`Overflow`] if it is beyond BIGINT.
    #[inline]
    pub fn sum_i64(&self) -> Result<Option<i64>, Overflow> {
        self.sum().map(i64::try_from).transpose().map_err(|_| Overflow)
    }

    /// SUM as unsigned BIGINT.
    ///
    /// # Errors
    /// [`Overflow`] if it is beyond it.
    #[inline]
    pub fn sum_u64(&self) -> Result<Option<u64>, Overflow> {
        self.sum().map(u64::try_from).transpose().map_err(|_| Overflow)
    }

    /// NULL if there are no values.
    #[inline]
    pub fn avg(&self) -> Option<f64> {
        (self.count > 0).then(|| mean(self.sum, self.count, 0))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        write_count(self.count, out);
        write_scaled(&Int::<2>::from_i128(self.sum), 0, out);
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
        let (sum, exponent) = read_scaled::<2>(input, 0)?;
        let limbs = sum.limbs();
        let sum = (u128::from(limbs[0]) | u128::from(limbs[1]) << 64) as i128;
        Ok(Self { sum: sum << exponent, count })
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

implement_moments!(IntSums, i128);

/// n, Σx and Σx² of integers: SUM, AVG, VAR and STDDEV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntMoments {
    sums: IntSums,
    squares: Int<4>,
}

impl IntMoments {
    /// Adds an integer of at most 64 bits, signed or not.
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
    fn step<const SUB: bool>(&mut self, squares: &Int<4>) {
        let result =
            if SUB { self.squares.checked_sub(squares) } else { self.squares.checked_add(squares) };
        assert!(result.is_some(), "more than 2^63 squares of 64-bit integers");
        self.squares = result.unwrap_or_default();
    }

    #[inline]
    pub fn count(&self) -> u64 {
        self.sums.count
    }

    /// The exact sum; NULL if there are no values.
    #[inline]
    pub fn sum(&self) -> Option<i128> {
        self.sums.sum()
    }

    /// SUM as BIGINT.
    ///
    /// # Errors
    /// [`Overflow`] if it is beyond BIGINT.
    #[inline]
    pub fn sum_i64(&self) -> Result<Option<i64>, Overflow> {
        self.sums.sum_i64()
    }

    /// SUM as unsigned BIGINT.
    ///
    /// # Errors
    /// [`Overflow`] if it is beyond it.
    #[inline]
    pub fn sum_u64(&self) -> Result<Option<u64>, Overflow> {
        self.sums.sum_u64()
    }

    /// NULL if there are no values.
    #[inline]
    pub fn avg(&self) -> Option<f64> {
        self.sums.avg()
    }

    /// NULL if there are no values.
    #[inline]
    pub fn var_pop(&self) -> Option<f64> {
        self.variance(Divisor::Population)
    }

    /// NULL if there are fewer than two values.
    #[inline]
    pub fn var_samp(&self) -> Option<f64> {
        self.variance(Divisor::Sample)
    }

    /// NULL if there are no values.
    #[inline]
    pub fn stddev_pop(&self) -> Option<f64> {
        self.var_pop().map(f64::sqrt)
    }

    /// NULL if there are fewer than two values.
    #[inline]
    pub fn stddev_samp(&self) -> Option<f64> {
        self.var_samp().map(f64::sqrt)
    }

    #[inline]
    fn variance(&self, divisor: Divisor) -> Option<f64> {
        let by = divisor.of(self.count())?;
        let sum = self.sums.sum.unsigned_abs();
        Some(variance(self.count(), by, sum, *self.squares.limbs(), 0, 0))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        self.sums.encode(out);
        write_scaled(&self.squares, 0, out);
    }

    /// # Errors
    /// `Data` if the bytes are not what [`Self::encode`] writes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let sums = IntSums::read(&mut bytes)?;
        let (odd, exponent) = read_scaled::<4>(&mut bytes, 0)?;
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

implement_moments!(IntMoments, i128);

#[inline]
fn square(x: i128) -> Int<4> {
    let x = u128::from(x.unsigned_abs() as u64);
    Int::from_u128_shifted(x * x, 0)
}
