//! Exact sums of doubles. Values that are not finite are counted apart, so they stop mattering
//! once they leave. The rules for them (semantics §3): any NaN gives NaN; +inf with −inf gives
//! NaN; one sign of inf gives that inf for SUM and AVG; anything not finite gives NaN for VAR and
//! STDDEV, also when VAR_SAMP would have too few finite values.

use super::{Divisor, implement_moments, variance, variance_wide, without_shared_zeros};
use crate::aggregate::encoding::{finish, read_count, read_scaled, write_count, write_scaled};
use crate::aggregate::exact_sum::{ExactSum, LIMBS, LOWEST, NARROW_EVERY, WIDE, scale, split};
use crate::aggregate::rounding::{round_i128, round_quotient};
use crate::aggregate::wide::{
    Int, add_shifted, significant_bits, sub_shifted, to_magnitude, trailing_zeros,
};
use crate::error::Result;

/// How many values were not finite, by what they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NotFinite {
    nan: u64,
    positive: u64,
    negative: u64,
}

/// The counters, allocated only while there is something to count.
#[derive(Clone, Debug, Default)]
struct Special(Option<Box<NotFinite>>);

impl Special {
    #[cold]
    fn add(&mut self, x: f64) {
        *self.0.get_or_insert_default().slot(x) += 1;
    }

    #[cold]
    fn sub(&mut self, x: f64) {
        let counts = self.0.get_or_insert_default();
        *counts.slot(x) -= 1;
        self.tidy();
    }

    fn merge(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            let own = self.0.get_or_insert_default();
            own.nan += other.nan;
            own.positive += other.positive;
            own.negative += other.negative;
        }
    }

    fn unmerge(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            let own = self.0.get_or_insert_default();
            own.nan -= other.nan;
            own.positive -= other.positive;
            own.negative -= other.negative;
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        if self.0.as_ref().is_some_and(|counts| **counts == NotFinite::default()) {
            self.0 = None;
        }
    }

    #[inline]
    fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |counts| counts.nan + counts.positive + counts.negative)
    }

    /// What SUM and AVG are, if it is not the finite values that decide.
    #[inline]
    fn sum(&self) -> Option<f64> {
        let counts = self.0.as_ref()?;
        Some(match (counts.nan, counts.positive, counts.negative) {
            (0, 1.., 0) => f64::INFINITY,
            (0, 0, 1..) => f64::NEG_INFINITY,
            _ => f64::NAN,
        })
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        if self.0.is_some() { size_of::<NotFinite>() } else { 0 }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let none = NotFinite::default();
        let counts = self.0.as_deref().unwrap_or(&none);
        for count in [counts.nan, counts.positive, counts.negative] {
            write_count(count, out);
        }
    }

    fn read(input: &mut &[u8]) -> Result<Self> {
        let nan = read_count(input)?;
        let (positive, negative) = (read_count(input)?, read_count(input)?);
        let mut special = Self(Some(Box::new(NotFinite { nan, positive, negative })));
        special.tidy();
        Ok(special)
    }
}

impl NotFinite {
    fn slot(&mut self, x: f64) -> &mut u64 {
        if x.is_nan() {
            &mut self.nan
        } else if x > 0.0 {
            &mut self.positive
        } else {
            &mut self.negative
        }
    }
}

/// n and Σx of doubles: SUM and AVG.
#[derive(Clone, Debug, Default)]
pub struct FloatSums {
    finite: u64,
    sum: ExactSum,
    special: Special,
}

impl FloatSums {
    #[inline]
    pub fn add(&mut self, x: f64) {
        if x.is_finite() {
            self.finite += 1;
            self.sum.add(x);
        } else {
            self.special.add(x);
        }
    }

    #[inline]
    pub fn sub(&mut self, x: f64) {
        if x.is_finite() {
            self.finite -= 1;
            self.sum.sub(x);
        } else {
            self.special.sub(x);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.finite += other.finite;
        self.sum.merge(&other.sum);
        self.special.merge(&other.special);
    }

    pub fn unmerge(&mut self, other: &Self) {
        self.finite -= other.finite;
        self.sum.unmerge(&other.sum);
        self.special.unmerge(&other.special);
    }

    /// Values held, finite or not.
    #[inline]
    pub fn count(&self) -> u64 {
        self.finite + self.special.count()
    }

    /// NULL if there are no values.
    #[inline]
    pub fn sum(&self) -> Option<f64> {
        self.special.sum().or_else(|| (self.finite > 0).then(|| self.sum.round()))
    }

    /// NULL if there are no values.
    #[inline]
    pub fn avg(&self) -> Option<f64> {
        let finite = || (self.finite > 0).then(|| self.sum.round_mean(self.finite));
        self.special.sum().or_else(finite)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        write_count(self.finite, out);
        self.special.encode(out);
        self.sum.encode(out);
    }

    /// # Errors
    /// `Data` if the bytes are not what [`Self::encode`] writes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let input = &mut bytes;
        let (finite, special) = (read_count(input)?, Special::read(input)?);
        let sum = ExactSum::read(input)?;
        finish(input)?;
        Ok(Self { finite, sum, special })
    }

    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.sum.heap_bytes() + self.special.heap_bytes()
    }

    /// Bytes held, itself included.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.heap_bytes()
    }
}

implement_moments!(FloatSums, f64);

/// Exponent of the lowest bit of a square.
const SQUARE_LOWEST: i32 = 2 * LOWEST;
/// Limbs for Q < 2^2139, that is 2^91 times the greatest square, in units of 2^-2148.
const SQUARE_LIMBS: usize = 67;

/// n, Σx and Σx² of doubles: SUM, AVG, VAR and STDDEV. S is `sum * 2^anchor` and Q is
/// `squares * 4^anchor` while both fit.
#[derive(Clone, Debug, Default)]
pub struct FloatMoments {
    sum: i128,
    squares: Int<4>,
    finite: u64,
    anchor: i32,
    special: Special,
    wide: Option<Box<Wide>>,
}

#[derive(Clone, Debug)]
struct Wide {
    sum: Int<LIMBS>,
    squares: Int<SQUARE_LIMBS>,
    steps: u8,
}

impl FloatMoments {
    #[inline]
    pub fn add(&mut self, x: f64) {
        if x.is_finite() {
            self.finite += 1;
            self.step::<false>(x);
        } else {
            self.special.add(x);
        }
    }

    #[inline]
    pub fn sub(&mut self, x: f64) {
        if x.is_finite() {
            self.finite -= 1;
            self.step::<true>(x);
        } else {
            self.special.sub(x);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.finite += other.finite;
        self.special.merge(&other.special);
        self.combine_moments::<false>(other);
    }

    pub fn unmerge(&mut self, other: &Self) {
        self.finite -= other.finite;
        self.special.unmerge(&other.special);
        self.combine_moments::<true>(other);
    }

    /// Values held, finite or not.
    #[inline]
    pub fn count(&self) -> u64 {
        self.finite + self.special.count()
    }

    /// NULL if there are no values.
    #[inline]
    pub fn sum(&self) -> Option<f64> {
        self.special.sum().or_else(|| {
            (self.finite > 0).then(|| match &self.wide {
                None => round_i128(self.sum, self.anchor),
                Some(wide) => wide.mean(1),
            })
        })
    }

    /// NULL if there are no values.
    #[inline]
    pub fn avg(&self) -> Option<f64> {
        self.special.sum().or_else(|| {
            (self.finite > 0).then(|| match &self.wide {
                None => super::mean(self.sum, self.finite, self.anchor),
                Some(wide) => wide.mean(self.finite),
            })
        })
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
        if self.special.0.is_some() {
            return Some(f64::NAN);
        }
        let by = divisor.of(self.finite)?;
        Some(match &self.wide {
            None => {
                let (sum, squares) = (self.sum.unsigned_abs(), *self.squares.limbs());
                variance(self.finite, by, sum, squares, 0, 2 * self.anchor)
            }
            Some(wide) => wide.variance(self.finite, by),
        })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        write_count(self.finite, out);
        self.special.encode(out);
        match &self.wide {
            None => {
                write_scaled(&Int::<2>::from_i128(self.sum), self.anchor, out);
                write_scaled(&self.squares, 2 * self.anchor, out);
            }
            Some(wide) => {
                write_scaled(&wide.sum, LOWEST, out);
                write_scaled(&wide.squares, SQUARE_LOWEST, out);
            }
        }
    }

    /// # Errors
    /// `Data` if the bytes are not what [`Self::encode`] writes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let input = &mut bytes;
        let (finite, special) = (read_count(input)?, Special::read(input)?);
        let (sum, sum_exponent) = read_scaled::<LIMBS>(input, LOWEST)?;
        let (squares, exponent) = read_scaled::<SQUARE_LIMBS>(input, SQUARE_LOWEST)?;
        finish(input)?;
        let mut wide = Wide { sum: Int::ZERO, squares: Int::ZERO, steps: 0 };
        add_shifted(wide.sum.limbs_mut(), sum.limbs(), (sum_exponent - LOWEST) as usize);
        let shift = (exponent - SQUARE_LOWEST) as usize;
        add_shifted(wide.squares.limbs_mut(), squares.limbs(), shift);
        let mut moments = Self { finite, special, anchor: WIDE, ..Self::default() };
        moments.wide = Some(Box::new(wide));
        moments.narrow();
        Ok(moments)
    }

    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.special.heap_bytes() + if self.wide.is_some() { size_of::<Wide>() } else { 0 }
    }

    /// Bytes held, itself included.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.heap_bytes()
    }

    #[inline]
    fn step<const SUB: bool>(&mut self, x: f64) {
        let (mantissa, exponent) = split(x);
        let shift = exponent - self.anchor;
        let square = u128::from(mantissa.unsigned_abs()) * u128::from(mantissa.unsigned_abs());
        if (shift as u32) < 64 {
            // The term is below 2^117, its square below 2^234.
            let term = i128::from(mantissa) << shift;
            let terms = Int::<4>::from_u128_shifted(square, 2 * shift as u32);
            let (sum, squares) = if SUB {
                (self.sum.checked_sub(term), self.squares.checked_sub(&terms))
            } else {
                (self.sum.checked_add(term), self.squares.checked_add(&terms))
            };
            if let (Some(sum), Some(squares)) = (sum, squares) {
                (self.sum, self.squares) = (sum, squares);
                return;
            }
        }
        let square = Int::from_u128_shifted(square, 0);
        self.combine::<SUB>(i128::from(mantissa), &square, exponent);
    }

    /// Any step that the fast path does not take: S ± `sum * 2^anchor`, Q ± `squares * 4^anchor`.
    #[cold]
    #[inline(never)]
    fn combine<const SUB: bool>(&mut self, sum: i128, squares: &Int<4>, anchor: i32) {
        if sum == 0 && squares.is_zero() {
            return;
        }
        if self.wide.is_none() {
            if let Some((sum, squares, anchor)) = self.inline::<SUB>(sum, squares, anchor) {
                (self.sum, self.squares, self.anchor) = (sum, squares, anchor);
                return;
            }
            self.widen();
        }
        let sum = Int::<2>::from_i128(sum);
        self.combine_wide::<SUB>(sum.limbs(), squares.limbs(), anchor);
    }

    /// The result inline, if it fits: at the lower of the two anchors, else at the highest anchor
    /// that loses no bit of either.
    fn inline<const SUB: bool>(
        &self,
        sum: i128,
        squares: &Int<4>,
        anchor: i32,
    ) -> Option<(i128, Int<4>, i32)> {
        let empty = self.sum == 0 && self.squares.is_zero();
        let at = |to: i32| {
            let own = scale(self.sum, self.anchor - to)?;
            let own_squares = scale_squares(&self.squares, 2 * (self.anchor - to))?;
            let (sum, squares) =
                (scale(sum, anchor - to)?, scale_squares(squares, 2 * (anchor - to))?);
            Some(if SUB {
                (own.checked_sub(sum)?, own_squares.checked_sub(&squares)?, to)
            } else {
                (own.checked_add(sum)?, own_squares.checked_add(&squares)?, to)
            })
        };
        let lower = if empty { anchor } else { self.anchor.min(anchor) };
        at(lower).or_else(|| {
            let own = self.anchor + shared_zeros(self.sum, &self.squares);
            at(own.min(anchor + shared_zeros(sum, squares)))
        })
    }

    fn combine_moments<const SUB: bool>(&mut self, other: &Self) {
        match &other.wide {
            None => self.combine::<SUB>(other.sum, &other.squares, other.anchor),
            Some(wide) => {
                self.widen();
                self.combine_wide::<SUB>(wide.sum.limbs(), wide.squares.limbs(), LOWEST);
            }
        }
    }

    fn combine_wide<const SUB: bool>(&mut self, sum: &[u64], squares: &[u64], anchor: i32) {
        let Some(wide) = &mut self.wide else { return };
        let shift = (anchor - LOWEST) as usize;
        if SUB {
            sub_shifted(wide.sum.limbs_mut(), sum, shift);
            sub_shifted(wide.squares.limbs_mut(), squares, 2 * shift);
        } else {
            add_shifted(wide.sum.limbs_mut(), sum, shift);
            add_shifted(wide.squares.limbs_mut(), squares, 2 * shift);
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
        let mut wide = Box::new(Wide { sum: Int::ZERO, squares: Int::ZERO, steps: 0 });
        if self.sum != 0 || !self.squares.is_zero() {
            let shift = (self.anchor - LOWEST) as usize;
            let sum = Int::<2>::from_i128(self.sum);
            add_shifted(wide.sum.limbs_mut(), sum.limbs(), shift);
            add_shifted(wide.squares.limbs_mut(), self.squares.limbs(), 2 * shift);
        }
        (self.sum, self.squares, self.anchor) = (0, Int::ZERO, WIDE);
        self.wide = Some(wide);
    }

    /// Moves inline if both sums fit with some room.
    fn narrow(&mut self) {
        let Some(wide) = &mut self.wide else { return };
        wide.steps = 0;
        let of_sum = trailing_zeros(wide.sum.limbs());
        let of_squares = trailing_zeros(wide.squares.limbs()).map(|zeros| zeros / 2);
        let zeros = match (of_sum, of_squares) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(-LOWEST as usize),
        };
        let fits = significant_bits(wide.sum.limbs()).saturating_sub(zeros) <= 120
            && significant_bits(wide.squares.limbs()).saturating_sub(2 * zeros) <= 248;
        if !fits {
            return;
        }
        if let Some(sum) = wide.sum.shr(zeros as u32).to_i128() {
            let limbs = *wide.squares.shr(2 * zeros as u32).limbs();
            self.squares = Int::ZERO;
            self.squares.limbs_mut().copy_from_slice(&limbs[..4]);
            (self.sum, self.anchor) = (sum, LOWEST + zeros as i32);
            self.wide = None;
        }
    }
}

implement_moments!(FloatMoments, f64);

impl Wide {
    fn mean(&self, n: u64) -> f64 {
        let (negative, magnitude) = to_magnitude(self.sum.limbs());
        round_quotient(negative, &magnitude, n, LOWEST)
    }

    fn variance(&self, n: u64, by: u128) -> f64 {
        let (_, mut sum) = to_magnitude(self.sum.limbs());
        let (_, mut squares) = to_magnitude(self.squares.limbs());
        let dropped = without_shared_zeros(&mut sum, &mut squares);
        variance_wide(n, by, &sum, &squares, 0, 2 * (LOWEST + dropped))
    }
}

/// How far the anchor of (S, Q) can rise.
fn shared_zeros(sum: i128, squares: &Int<4>) -> i32 {
    let of_sum = if sum == 0 { i32::MAX } else { sum.trailing_zeros() as i32 };
    let of_squares = trailing_zeros(squares.limbs()).map_or(i32::MAX, |zeros| zeros as i32 / 2);
    of_sum.min(of_squares)
}

/// `squares * 2^by` for an even `by` of either sign, `None` if it does not fit or is not whole.
fn scale_squares(squares: &Int<4>, by: i32) -> Option<Int<4>> {
    match trailing_zeros(squares.limbs()) {
        None => Some(Int::ZERO),
        Some(_) if by >= 0 => squares.checked_shl(by as u32),
        Some(zeros) => (zeros as i32 >= -by).then(|| squares.shr(-by as u32)),
    }
}
