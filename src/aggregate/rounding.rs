//! From exact numbers to `f64`: to nearest, ties to even, once. Beyond the range ±inf; a zero is
//! +0. Fast paths are exact too: they only ever drop bits after having looked at them.
//! Called by `exact_sum` and `moments`.

use super::wide::{bit_length, divide, shift_left, trailing_zeros};

/// `±(quotient + ε) * 2^exponent` rounded, where 0 < ε < 1 if `sticky`, else ε = 0. A sticky
/// quotient must have at least 55 bits.
pub fn round_bits(negative: bool, quotient: u128, sticky: bool, exponent: i32) -> f64 {
    let length = 128 - quotient.leading_zeros() as i32;
    if length == 0 {
        return 0.0;
    }
    // Exponent of the leading bit, and the bits that a double keeps there.
    let lead = length - 1 + exponent;
    let kept = if lead >= -1022 { 53 } else { 53 + (lead + 1022) };
    if lead > 1023 {
        return signed(negative, f64::INFINITY.to_bits());
    }
    if kept < 0 {
        return 0.0;
    }
    let drop = length - kept;
    let mantissa = if drop <= 0 {
        (quotient << -drop) as u64
    } else {
        let half = 1u128 << (drop - 1);
        let rest = quotient & (half | (half - 1));
        let floor = if drop == 128 { 0 } else { (quotient >> drop) as u64 };
        let up = rest > half || (rest == half && (sticky || floor & 1 == 1));
        floor + u64::from(up)
    };
    // A mantissa that rounded up to the next power of two carries into the exponent.
    let bits = if kept == 53 { (((lead + 1022) as u64) << 52) + mantissa } else { mantissa };
    signed(negative && bits != 0, bits)
}

fn signed(negative: bool, bits: u64) -> f64 {
    f64::from_bits(bits | u64::from(negative) << 63)
}

/// `value * 2^exponent` rounded.
#[inline]
pub fn round_i128(value: i128, exponent: i32) -> f64 {
    if value == 0 {
        return 0.0;
    }
    // The leading bit of the result must be that of a normal double, so that scaling is exact.
    let magnitude = value.unsigned_abs();
    let lead = 127 - magnitude.leading_zeros() as i32 + exponent;
    if (-1022..=1022).contains(&lead) && exponent >= -1022 {
        return value as f64 * f64::from_bits(((exponent + 1023) as u64) << 52);
    }
    round_bits(value < 0, magnitude, false, exponent)
}

/// `±numerator / denominator * 2^exponent` rounded; the denominator is not zero.
#[inline]
pub fn round_quotient(negative: bool, numerator: &[u64], denominator: u64, exponent: i32) -> f64 {
    let length = bit_length(numerator) as i32;
    if length == 0 {
        return 0.0;
    }
    if length <= 53 && denominator < 1 << 53 && (-900..=900).contains(&exponent) {
        // Both are doubles, so one division rounds once, and scaling a normal double is exact.
        let value = numerator[0] as f64 / denominator as f64;
        let value = value * f64::from_bits(((exponent + 1023) as u64) << 52);
        return if negative { -value } else { value };
    }
    // So many leading bits that the quotient has 63 or 64: what is below cannot change its floor
    // (floor(floor(x / 2^k) / d) = floor(x / 2^k / d)), only whether something is left over.
    let taken = 64 - denominator.leading_zeros() as i32 + 63;
    let shift = length - taken;
    let (top, lost) = leading(numerator, shift);
    let quotient = top / u128::from(denominator);
    let sticky = lost || quotient * u128::from(denominator) != top;
    round_u64(negative, quotient as u64, sticky, exponent + shift)
}

/// (floor(numerator / 2^shift), whether bits were lost); the result has at most 127 bits.
#[inline]
fn leading(numerator: &[u64], shift: i32) -> (u128, bool) {
    let at = |i: usize| numerator.get(i).copied().unwrap_or(0);
    if shift <= 0 {
        return ((u128::from(at(1)) << 64 | u128::from(at(0))) << -shift, false);
    }
    let (word, bit) = (shift as usize / 64, shift as u32 % 64);
    let low = u128::from(at(word + 1)) << 64 | u128::from(at(word));
    let top = if bit == 0 { low } else { low >> bit | u128::from(at(word + 2)) << (128 - bit) };
    let lost = numerator[..word].iter().any(|limb| *limb != 0) || at(word) << 1 << (63 - bit) != 0;
    (top, lost)
}

/// [`round_bits`] for a quotient with at least 62 bits in one limb.
#[inline]
fn round_u64(negative: bool, quotient: u64, sticky: bool, exponent: i32) -> f64 {
    let lead = 63 - quotient.leading_zeros() as i32 + exponent;
    if !(-1022..=1022).contains(&lead) || !(-1022..=1023).contains(&exponent) {
        return round_bits(negative, u128::from(quotient), sticky, exponent);
    }
    // The conversion rounds once; a sticky bit in the lowest place stands for all that is below
    // (at least 9 bits are dropped, so it never is the last bit kept nor the tie itself).
    let rounded = (quotient | u64::from(sticky)) as f64;
    let value = rounded * f64::from_bits(((exponent + 1023) as u64) << 52);
    if negative { -value } else { value }
}

/// `±numerator / denominator * 2^exponent` rounded, for any sizes; the denominator is not zero.
pub fn round_ratio(negative: bool, numerator: &[u64], denominator: &[u64], exponent: i32) -> f64 {
    if let [denominator] = denominator {
        return round_quotient(negative, numerator, *denominator, exponent);
    }
    let length = bit_length(numerator) as i32;
    if length == 0 {
        return 0.0;
    }
    // Scale so that the quotient has 65 or 66 bits.
    let shift = length - bit_length(denominator) as i32 - 65;
    let (quotient, remainder) = if shift <= 0 {
        divide(&shift_left(numerator, -shift as usize), denominator)
    } else {
        divide(numerator, &shift_left(denominator, shift as usize))
    };
    let at = |i: usize| quotient.get(i).copied().unwrap_or(0);
    let quotient = u128::from(at(1)) << 64 | u128::from(at(0));
    round_bits(negative, quotient, trailing_zeros(&remainder).is_some(), exponent + shift)
}

#[cfg(test)]
mod tests;
