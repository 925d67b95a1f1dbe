//! The exact sum of finite `f64` values: adding, subtracting and merging in any order gives the
//! same value, the same bits and the same bytes. It never rounds before [`ExactSum::round`].
//! Values that are not finite are counted one level up (`moments`). Called by `moments` and by
//! operators that need a bare sum.
//!
//! The value is `acc * 2^anchor` in 128 bits while it fits, which takes a range of magnitudes of
//! about 2^70; beyond that it moves to a boxed integer of 2176 bits in units of 2^-1074 (a
//! superaccumulator: Neal, "Fast exact summation using small and large superaccumulators",
//! arXiv:1505.05571, with full carries instead of lazy ones), and comes back when it fits again.

use super::encoding::{finish, read_scaled, write_scaled};
use super::rounding::{round_i128, round_quotient};
use super::wide::{Int, add_shifted, significant_bits, sub_shifted, to_magnitude, trailing_zeros};
use crate::error::Result;

/// Exponent of the lowest bit of any double.
pub(super) const LOWEST: i32 = -1074;
/// Limbs for |sum| < 2^1101, that is 2^77 times the greatest double, in units of 2^-1074.
pub(super) const LIMBS: usize = 34;
/// Anchor while the value is wide: no exponent is near it, so the fast path misses by itself.
pub(super) const WIDE: i32 = i32::MAX / 2;
/// A wide state looks every so many steps whether it fits inline again.
pub(super) const NARROW_EVERY: u8 = 64;

/// An exact sum of finite doubles; the default is zero.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    acc: i128,
    anchor: i32,
    wide: Option<Box<Wide>>,
}

#[derive(Clone, Debug)]
struct Wide {
    value: Int<LIMBS>,
    steps: u8,
}

impl ExactSum {
    /// Adds a finite value.
    #[inline]
    pub fn add(&mut self, x: f64) {
        debug_assert!(x.is_finite(), "an exact sum takes finite values only");
        let (mantissa, exponent) = split(x);
        let shift = exponent - self.anchor;
        if (shift as u32) <= 72 {
            // |mantissa| < 2^53, so the term is below 2^125.
            if let Some(acc) = self.acc.checked_add(i128::from(mantissa) << shift) {
                self.acc = acc;
                return;
            }
        }
        self.combine::<false>(i128::from(mantissa), exponent);
    }

    /// Takes a finite value out again.
    #[inline]
    pub fn sub(&mut self, x: f64) {
        self.add(-x);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.combine_sum::<false>(other);
    }

    /// Takes another sum out again.
    pub fn unmerge(&mut self, other: &Self) {
        self.combine_sum::<true>(other);
    }

    /// To the nearest double, ties to even; ±inf beyond the range; a zero is +0.
    #[inline]
    pub fn round(&self) -> f64 {
        match &self.wide {
            None => round_i128(self.acc, self.anchor),
            Some(wide) => {
                let (negative, magnitude) = to_magnitude(wide.value.limbs());
                round_quotient(negative, &magnitude, 1, LOWEST)
            }
        }
    }

    /// The sum divided by `n` (not zero), rounded once.
    #[inline]
    pub fn round_mean(&self, n: u64) -> f64 {
        match &self.wide {
            None => {
                let magnitude = self.acc.unsigned_abs();
                let limbs = [magnitude as u64, (magnitude >> 64) as u64];
                round_quotient(self.acc < 0, &limbs, n, self.anchor)
            }
            Some(wide) => {
                let (negative, magnitude) = to_magnitude(wide.value.limbs());
                round_quotient(negative, &magnitude, n, LOWEST)
            }
        }
    }

    pub fn is_zero(&self) -> bool {
        match &self.wide {
            None => self.acc == 0,
            Some(wide) => wide.value.is_zero(),
        }
    }

    /// Appends the canonical bytes: equal sums give equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.wide {
            None => write_scaled(&Int::<2>::from_i128(self.acc), self.anchor, out),
            Some(wide) => write_scaled(&wide.value, LOWEST, out),
        }
    }

    /// Reads the bytes of exactly one sum.
    ///
    /// # Errors
    /// `Data` if the bytes are not what [`Self::encode`] writes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let sum = Self::read(&mut bytes)?;
        finish(bytes)?;
        Ok(sum)
    }

    /// Reads a sum and moves `input` past it.
    pub(super) fn read(input: &mut &[u8]) -> Result<Self> {
        let (value, exponent) = read_scaled::<LIMBS>(input, LOWEST)?;
        if let Some(acc) = value.to_i128() {
            return Ok(Self { acc, anchor: if acc == 0 { 0 } else { exponent }, wide: None });
        }
        let mut wide = Wide { value: Int::ZERO, steps: 0 };
        add_shifted(wide.value.limbs_mut(), value.limbs(), (exponent - LOWEST) as usize);
        Ok(Self { acc: 0, anchor: WIDE, wide: Some(Box::new(wide)) })
    }

    /// Bytes held, itself included.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.heap_bytes()
    }

    /// Bytes held outside itself.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        if self.wide.is_some() { size_of::<Wide>() } else { 0 }
    }

    /// Any step that the fast path does not take: `self ± mantissa * 2^exponent`.
    #[cold]
    #[inline(never)]
    fn combine<const SUB: bool>(&mut self, mantissa: i128, exponent: i32) {
        if mantissa == 0 {
            return;
        }
        if self.wide.is_none() {
            if let Some((acc, anchor)) = self.inline::<SUB>(mantissa, exponent) {
                (self.acc, self.anchor) = (acc, anchor);
                return;
            }
            self.widen();
        }
        self.combine_wide::<SUB>(Int::<2>::from_i128(mantissa).limbs(), exponent);
    }

    /// The result in 128 bits, if it fits: at the lower of the two exponents, else at the lowest
    /// bit that is set in either.
    fn inline<const SUB: bool>(&self, mantissa: i128, exponent: i32) -> Option<(i128, i32)> {
        let lower = if self.acc == 0 { exponent } else { self.anchor.min(exponent) };
        let at = |anchor: i32| {
            let acc = scale(self.acc, self.anchor - anchor)?;
            let term = scale(mantissa, exponent - anchor)?;
            let acc = if SUB { acc.checked_sub(term) } else { acc.checked_add(term) };
            Some((acc?, anchor))
        };
        at(lower).or_else(|| {
            let own = self.anchor + self.acc.trailing_zeros() as i32;
            at(own.min(exponent + mantissa.trailing_zeros() as i32))
        })
    }

    fn combine_sum<const SUB: bool>(&mut self, other: &Self) {
        match &other.wide {
            None => self.combine::<SUB>(other.acc, other.anchor),
            Some(wide) => {
                self.widen();
                self.combine_wide::<SUB>(wide.value.limbs(), LOWEST);
            }
        }
    }

    fn combine_wide<const SUB: bool>(&mut self, limbs: &[u64], exponent: i32) {
        let Some(wide) = &mut self.wide else { return };
        let shift = (exponent - LOWEST) as usize;
        if SUB {
            sub_shifted(wide.value.limbs_mut(), limbs, shift);
        } else {
            add_shifted(wide.value.limbs_mut(), limbs, shift);
        }
        wide.steps += 1;
        if wide.steps >= NARROW_EVERY {
            self.narrow();
        }
    }

    fn widen(&mut self) {
        if self.wide.is_some() {
            return;
        }
        let mut value = Int::ZERO;
        if self.acc != 0 {
            let acc = Int::<2>::from_i128(self.acc);
            add_shifted(value.limbs_mut(), acc.limbs(), (self.anchor - LOWEST) as usize);
        }
        self.wide = Some(Box::new(Wide { value, steps: 0 }));
        (self.acc, self.anchor) = (0, WIDE);
    }

    fn narrow(&mut self) {
        let Some(wide) = &mut self.wide else { return };
        wide.steps = 0;
        let zeros = trailing_zeros(wide.value.limbs()).unwrap_or(0);
        if significant_bits(wide.value.limbs()).saturating_sub(zeros) <= 120
            && let Some(acc) = wide.value.shr(zeros as u32).to_i128()
        {
            *self = Self { acc, anchor: LOWEST + zeros as i32, wide: None };
        }
    }
}

/// (signed mantissa, exponent) of a finite double: `x = mantissa * 2^exponent`.
#[inline]
pub(super) fn split(x: f64) -> (i64, i32) {
    let bits = x.to_bits();
    let biased = (bits >> 52 & 0x7ff) as i32;
    let mantissa = (bits & ((1 << 52) - 1) | u64::from(biased != 0) << 52) as i64;
    (if bits >> 63 != 0 { -mantissa } else { mantissa }, biased.max(1) - 1075)
}

/// `x * 2^by` for `by` of either sign, `None` if it does not fit or is not whole.
pub(super) fn scale(x: i128, by: i32) -> Option<i128> {
    if x == 0 || by == 0 {
        return Some(x);
    }
    if by < 0 {
        return (x.trailing_zeros() as i32 >= -by).then(|| x >> -by);
    }
    let room = (x ^ (x >> 127)).leading_zeros() as i32;
    (by < room).then(|| x << by)
}

#[cfg(test)]
mod tests;
