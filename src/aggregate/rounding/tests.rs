//! Tests of `rounding` against rational arithmetic.

use num_bigint::{BigInt, BigUint};

use super::*;
use crate::aggregate::oracle::{Random, for_seeds, nearest};

fn random_size(random: &mut Random, limbs: u64) -> Vec<u64> {
    let bits = random.below(64 * limbs) + 1;
    let mut out: Vec<u64> = (0..bits.div_ceil(64))
        .map(|_| match random.below(3) {
            0 => 0,
            1 => u64::MAX,
            _ => random.next(),
        })
        .collect();
    let top = out.len() - 1;
    out[top] = (out[top] & (u64::MAX >> (63 - (bits - 1) % 64))) | 1 << ((bits - 1) % 64);
    out
}

fn big(limbs: &[u64]) -> BigInt {
    limbs.iter().rev().fold(BigUint::default(), |x, limb| (x << 64) + *limb).into()
}

#[test]
fn ratios_are_rounded_once_over_the_whole_range_of_doubles() {
    for_seeds(|random| {
        for _ in 0..50 {
            let (numerator, denominator) = (random_size(random, 7), random_size(random, 4));
            let exponent = random.below(2700) as i32 - 1500;
            let negative = random.below(2) == 0;
            let got = round_ratio(negative, &numerator, &denominator, exponent);
            let signed = if negative { -big(&numerator) } else { big(&numerator) };
            let expected = nearest(&signed, &big(&denominator), i64::from(exponent));
            assert!(
                got.to_bits() == expected.to_bits() || (got == 0.0 && expected == 0.0),
                "{numerator:x?} / {denominator:x?} * 2^{exponent}: {got:e} not {expected:e}"
            );
            assert!(got != 0.0 || got.is_sign_positive(), "a zero is +0");
        }
    });
}

#[test]
fn halves_go_to_even_and_a_hair_more_goes_up() {
    for shift in [0i32, 1, 9, 10, 11, 60, 70] {
        for (odd, exponent) in [(0u128, 0), (1, 0), (1, -1100), (1, 900)] {
            // 54 bits: the last is the half.
            let x = ((1u128 << 52 | odd) << 1 | 1) << shift;
            let even = ((1u64 << 52) + 2 * odd as u64) as f64;
            let half = round_bits(false, x, false, exponent - shift - 1);
            let more = round_bits(false, x, shift > 0, exponent - shift - 1);
            let scaled =
                |y: f64| nearest(&BigInt::from(y as u64), &BigInt::from(1), exponent.into());
            if exponent == -1100 {
                continue;
            }
            assert_eq!(half, scaled(even));
            if shift > 0 {
                assert_eq!(more, scaled((1u64 << 52 | odd as u64) as f64 + 1.0));
            }
        }
    }
    let smallest = f64::from_bits(1);
    assert_eq!(round_bits(false, 1 << 60, false, -1075 - 60), 0.0);
    assert_eq!(round_bits(false, 1 << 60, true, -1075 - 60), smallest);
    assert_eq!(round_bits(true, 3 << 60, false, -1075 - 60), -2.0 * smallest);
    assert_eq!(round_i128(1, -1075), 0.0);
    assert_eq!(round_i128(-3, -1075), -2.0 * smallest);
    assert_eq!(round_i128((1 << 53) - 1, 971), f64::MAX);
    assert_eq!(round_i128((1 << 54) - 1, 970), f64::INFINITY);
    assert_eq!(round_i128(-(1 << 54) + 2, 970), f64::MIN);
}
