//! Small wide-integer arithmetic: what the exact states need beyond 128 bits, and no more.
//!
//! [`Int`] is a fixed number of 64-bit limbs in two's complement, little endian; the slice
//! functions work on the same layout where the length is known only at run time; magnitudes
//! (`Vec<u64>`, unsigned) serve the exact fallbacks of `rounding`. Nothing here rounds.
//! Called by `exact_sum`, `moments` and `rounding` only.

use std::cmp::Ordering;

/// A signed integer of `64 * L` bits in two's complement, least significant limb first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int<const L: usize>([u64; L]);

impl<const L: usize> Default for Int<L> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<const L: usize> Int<L> {
    pub const ZERO: Self = Self([0; L]);

    #[inline]
    pub fn from_i128(x: i128) -> Self {
        let mut limbs = [(x >> 127) as u64; L];
        limbs[0] = x as u64;
        limbs[1] = (x >> 64) as u64;
        Self(limbs)
    }

    /// `x * 2^shift` for `shift < 64 L - 128`.
    #[inline]
    pub fn from_u128_shifted(x: u128, shift: u32) -> Self {
        assert!((shift as usize) < 64 * L - 128, "shift {shift} leaves no room in {L} limbs");
        let (word, bit) = ((shift / 64) as usize, shift % 64);
        let low = x << bit;
        let mut limbs = [0; L];
        limbs[word] = low as u64;
        limbs[word + 1] = (low >> 64) as u64;
        limbs[word + 2] = ((x >> 64) as u64 >> 1) >> (63 - bit);
        Self(limbs)
    }

    pub fn limbs(&self) -> &[u64; L] {
        &self.0
    }

    pub fn limbs_mut(&mut self) -> &mut [u64; L] {
        &mut self.0
    }

    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|limb| *limb == 0)
    }

    #[inline]
    pub fn is_negative(&self) -> bool {
        self.0[L - 1] >> 63 != 0
    }

    #[inline]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        let (mut out, mut carry) = (self.0, false);
        for (limb, term) in out.iter_mut().zip(&other.0) {
            (*limb, carry) = limb.carrying_add(*term, carry);
        }
        let overflow = (self.0[L - 1] ^ out[L - 1]) & (other.0[L - 1] ^ out[L - 1]);
        (overflow >> 63 == 0).then_some(Self(out))
    }

    #[inline]
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        let (mut out, mut borrow) = (self.0, false);
        for (limb, term) in out.iter_mut().zip(&other.0) {
            (*limb, borrow) = limb.borrowing_sub(*term, borrow);
        }
        let overflow = (self.0[L - 1] ^ other.0[L - 1]) & (self.0[L - 1] ^ out[L - 1]);
        (overflow >> 63 == 0).then_some(Self(out))
    }

    /// `self * 2^shift`, `None` if it does not fit.
    pub fn checked_shl(&self, shift: u32) -> Option<Self> {
        if significant_bits(&self.0) + shift as usize >= 64 * L {
            return None;
        }
        let mut out = Self::ZERO;
        add_shifted(&mut out.0, &self.0, shift as usize);
        Some(out)
    }

    /// `self / 2^shift`, rounded down; exact when the low bits are zero.
    pub fn shr(&self, shift: u32) -> Self {
        let (word, bit) = ((shift / 64) as usize, shift % 64);
        let sign = if self.is_negative() { u64::MAX } else { 0 };
        let at = |i: usize| if i < L { self.0[i] } else { sign };
        let mut out = [0; L];
        for (i, limb) in out.iter_mut().enumerate() {
            let (low, high) = (at(i + word), at(i + word + 1));
            *limb = if bit == 0 { low } else { low >> bit | high << (64 - bit) };
        }
        Self(out)
    }

    pub fn to_i128(self) -> Option<i128> {
        (significant_bits(&self.0) <= 127)
            .then(|| (u128::from(self.0[0]) | u128::from(self.0[1]) << 64) as i128)
    }
}

/// Bits of a two's complement number without its sign: 0 for 0 and −1, 3 for 4…7 and −8…−5.
pub fn significant_bits(limbs: &[u64]) -> usize {
    let sign = limbs.last().map_or(0, |top| (*top as i64 >> 63) as u64);
    for (i, limb) in limbs.iter().enumerate().rev() {
        if *limb != sign {
            return 64 * i + 64 - (limb ^ sign).leading_zeros() as usize;
        }
    }
    0
}

/// Zero bits below the lowest one bit; `None` for zero.
pub fn trailing_zeros(limbs: &[u64]) -> Option<usize> {
    let i = limbs.iter().position(|limb| *limb != 0)?;
    Some(64 * i + limbs[i].trailing_zeros() as usize)
}

/// `target += source * 2^shift`, both two's complement; the caller knows that it fits.
pub fn add_shifted(target: &mut [u64], source: &[u64], shift: usize) {
    combine::<false>(target, source, shift);
}

/// `target -= source * 2^shift`, both two's complement; the caller knows that it fits.
pub fn sub_shifted(target: &mut [u64], source: &[u64], shift: usize) {
    combine::<true>(target, source, shift);
}

fn combine<const SUB: bool>(target: &mut [u64], source: &[u64], shift: usize) {
    let (word, bit) = (shift / 64, shift % 64);
    let sign = source.last().map_or(0, |top| (*top as i64 >> 63) as u64);
    let (mut carry, mut below) = (false, 0u64);
    for (i, limb) in target.iter_mut().skip(word).enumerate() {
        let here = source.get(i).copied().unwrap_or(sign);
        let term = if bit == 0 { here } else { here << bit | below >> (64 - bit) };
        below = here;
        (*limb, carry) =
            if SUB { limb.borrowing_sub(term, carry) } else { limb.carrying_add(term, carry) };
        if i > source.len() {
            // Only sign limbs from here on: stop as soon as they change nothing.
            let nothing = if sign == 0 { !carry } else { carry };
            if nothing {
                return;
            }
        }
    }
}

/// (is negative, magnitude without leading zero limbs) of a two's complement number.
pub fn to_magnitude(limbs: &[u64]) -> (bool, Vec<u64>) {
    let negative = limbs.last().is_some_and(|top| top >> 63 != 0);
    let mut out = limbs.to_vec();
    if negative {
        let mut carry = true;
        for limb in &mut out {
            (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
        }
    }
    trim(&mut out);
    (negative, out)
}

/// The magnitude of an `i128`.
pub fn magnitude_of(x: u128) -> Vec<u64> {
    let mut out = vec![x as u64, (x >> 64) as u64];
    trim(&mut out);
    out
}

fn trim(magnitude: &mut Vec<u64>) {
    while magnitude.last() == Some(&0) {
        magnitude.pop();
    }
}

/// Position of the highest one bit plus one; 0 for zero.
pub fn bit_length(magnitude: &[u64]) -> usize {
    match magnitude.iter().rposition(|limb| *limb != 0) {
        Some(i) => 64 * i + 64 - magnitude[i].leading_zeros() as usize,
        None => 0,
    }
}

/// The product of two magnitudes (schoolbook).
pub fn multiply(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut out = vec![0; a.len() + b.len()];
    for (i, x) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, y) in b.iter().enumerate() {
            (out[i + j], carry) = x.carrying_mul_add(*y, out[i + j], carry);
        }
        out[i + b.len()] = carry;
    }
    trim(&mut out);
    out
}

/// `magnitude * 2^shift`.
pub fn shift_left(magnitude: &[u64], shift: usize) -> Vec<u64> {
    let mut out = vec![0; magnitude.len() + shift / 64 + 1];
    add_shifted(&mut out, &[magnitude, &[0]].concat(), shift);
    trim(&mut out);
    out
}

/// (a − b is negative, |a − b|).
pub fn difference(a: &[u64], b: &[u64]) -> (bool, Vec<u64>) {
    let negative = compare(a, b) == Ordering::Less;
    let (big, small) = if negative { (b, a) } else { (a, b) };
    let (mut out, mut borrow) = (big.to_vec(), false);
    for (i, limb) in out.iter_mut().enumerate() {
        (*limb, borrow) = limb.borrowing_sub(small.get(i).copied().unwrap_or(0), borrow);
    }
    trim(&mut out);
    (negative, out)
}

/// Compares two magnitudes, leading zero limbs or not.
pub fn compare(a: &[u64], b: &[u64]) -> Ordering {
    let at = |x: &[u64], i: usize| x.get(i).copied().unwrap_or(0);
    for i in (0..a.len().max(b.len())).rev() {
        match at(a, i).cmp(&at(b, i)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

/// (quotient, remainder) of two magnitudes; the divisor is not zero.
/// Algorithm D of Knuth, The Art of Computer Programming 2, 4.3.1.
pub fn divide(a: &[u64], b: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    trim(&mut a);
    trim(&mut b);
    assert!(!b.is_empty(), "division by zero in exact arithmetic");
    if compare(&a, &b) == Ordering::Less {
        return (Vec::new(), a);
    }
    if b.len() == 1 {
        let (quotient, remainder) = divide_by_limb(&a, b[0]);
        return (quotient, magnitude_of(u128::from(remainder)));
    }
    let shift = b[b.len() - 1].leading_zeros() as usize;
    let b = shift_left(&b, shift);
    let mut rest = shift_left(&a, shift);
    rest.resize(a.len() + 1, 0);
    let mut quotient = vec![0; a.len() - b.len() + 1];
    for j in (0..quotient.len()).rev() {
        quotient[j] = divide_digit(&mut rest[j..=j + b.len()], &b);
    }
    trim(&mut quotient);
    let remainder = shift_right(&rest, shift);
    (quotient, remainder)
}

/// One digit of Algorithm D: `rest` (one limb longer than `b`) becomes `rest mod b`.
fn divide_digit(rest: &mut [u64], b: &[u64]) -> u64 {
    let n = b.len();
    let top = u128::from(rest[n]) << 64 | u128::from(rest[n - 1]);
    let (lead, next) = (u128::from(b[n - 1]), u128::from(b[n - 2]));
    let (mut digit, mut left) = (top / lead, top % lead);
    while digit >> 64 != 0 || digit * next > (left << 64 | u128::from(rest[n - 2])) {
        digit -= 1;
        left += lead;
        if left >> 64 != 0 {
            break;
        }
    }
    let mut digit = digit as u64;
    let (mut carry, mut borrow) = (0, false);
    for i in 0..n {
        let low;
        (low, carry) = digit.carrying_mul(b[i], carry);
        (rest[i], borrow) = rest[i].borrowing_sub(low, borrow);
    }
    (rest[n], borrow) = rest[n].borrowing_sub(carry, borrow);
    if borrow {
        digit -= 1;
        let mut carry = false;
        for i in 0..n {
            (rest[i], carry) = rest[i].carrying_add(b[i], carry);
        }
        rest[n] = rest[n].wrapping_add(u64::from(carry));
    }
    digit
}

/// (quotient, remainder) of a magnitude by one limb, not zero.
pub fn divide_by_limb(a: &[u64], b: u64) -> (Vec<u64>, u64) {
    let (mut out, mut rest) = (a.to_vec(), 0u64);
    for limb in out.iter_mut().rev() {
        let top = u128::from(rest) << 64 | u128::from(*limb);
        *limb = (top / u128::from(b)) as u64;
        rest = (top % u128::from(b)) as u64;
    }
    trim(&mut out);
    (out, rest)
}

fn shift_right(magnitude: &[u64], shift: usize) -> Vec<u64> {
    let at = |i: usize| magnitude.get(i).copied().unwrap_or(0);
    let mut out: Vec<u64> = (0..magnitude.len())
        .map(|i| if shift == 0 { at(i) } else { at(i) >> shift | at(i + 1) << (64 - shift) })
        .collect();
    trim(&mut out);
    out
}

/// `base^exponent` as a magnitude.
pub fn power(base: u64, exponent: u32) -> Vec<u64> {
    let mut out = vec![1];
    for _ in 0..exponent {
        out = multiply(&out, &[base]);
    }
    out
}

#[cfg(test)]
mod tests;
