//! Tests of `wide` against num-bigint.

use num_bigint::{BigInt, BigUint};

use super::*;
use crate::aggregate::oracle::{Random, for_seeds};

fn random_limbs(random: &mut Random, length: usize) -> Vec<u64> {
    (0..length)
        .map(|_| match random.below(4) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << random.below(64),
            _ => random.next(),
        })
        .collect()
}

fn unsigned(limbs: &[u64]) -> BigUint {
    limbs.iter().rev().fold(BigUint::default(), |x, limb| (x << 64) + *limb)
}

fn signed(limbs: &[u64]) -> BigInt {
    let negative = limbs.last().is_some_and(|top| top >> 63 != 0);
    let value = BigInt::from(unsigned(limbs));
    if negative { value - (BigInt::from(1) << (64 * limbs.len())) } else { value }
}

#[test]
fn division_gives_quotient_and_remainder() {
    for_seeds(|random| {
        for _ in 0..20 {
            let (m, n) = (random.below(8) as usize, random.below(6) as usize + 1);
            let (a, mut b) = (random_limbs(random, m), random_limbs(random, n));
            b[0] |= 1;
            let (quotient, remainder) = divide(&a, &b);
            assert_eq!(unsigned(&quotient), unsigned(&a) / unsigned(&b), "{a:x?} / {b:x?}");
            assert_eq!(unsigned(&remainder), unsigned(&a) % unsigned(&b), "{a:x?} % {b:x?}");
        }
    });
}

#[test]
fn magnitudes_multiply_subtract_and_shift() {
    for_seeds(|random| {
        let (m, n) = (random.below(8) as usize, random.below(8) as usize);
        let (a, b) = (random_limbs(random, m), random_limbs(random, n));
        let shift = random.below(200) as usize;
        assert_eq!(unsigned(&multiply(&a, &b)), unsigned(&a) * unsigned(&b));
        assert_eq!(unsigned(&shift_left(&a, shift)), unsigned(&a) << shift);
        let (negative, size) = difference(&a, &b);
        let size = BigInt::from(unsigned(&size));
        let expected = BigInt::from(unsigned(&a)) - BigInt::from(unsigned(&b));
        assert_eq!(if negative { -size } else { size }, expected);
        assert_eq!(bit_length(&a) as u64, unsigned(&a).bits());
    });
}

#[test]
fn shifted_sums_are_those_of_signed_integers() {
    for_seeds(|random| {
        let mut target = [0u64; 12];
        let mut expected = BigInt::default();
        for _ in 0..30 {
            let length = random.below(4) as usize + 1;
            let source = random_limbs(random, length);
            let shift = random.below(380) as usize;
            let term = signed(&source) << shift;
            if random.below(2) == 0 {
                add_shifted(&mut target, &source, shift);
                expected += term;
            } else {
                sub_shifted(&mut target, &source, shift);
                expected -= term;
            }
            assert_eq!(signed(&target), expected);
            let (negative, size) = to_magnitude(&target);
            assert_eq!(negative, expected < BigInt::default());
            assert_eq!(BigInt::from(unsigned(&size)), expected.magnitude().clone().into());
        }
    });
}

#[test]
fn fixed_integers_shift_and_check_their_range() {
    for_seeds(|random| {
        let limbs = random_limbs(random, 4);
        let a = Int::<4>([limbs[0], limbs[1], limbs[2], limbs[3]]);
        let limbs = random_limbs(random, 4);
        let b = Int::<4>([limbs[0], limbs[1], limbs[2], limbs[3]]);
        let shift = random.below(255) as u32;
        let check = |got: Option<Int<4>>, expected: BigInt| {
            // Never wrong; the most negative number may be refused.
            match got {
                Some(got) => assert_eq!(signed(got.limbs()), expected),
                None => assert!(expected.bits() >= 256, "{expected}"),
            }
        };
        check(a.checked_add(&b), signed(a.limbs()) + signed(b.limbs()));
        check(a.checked_sub(&b), signed(a.limbs()) - signed(b.limbs()));
        check(a.checked_shl(shift), signed(a.limbs()) << shift);
        assert_eq!(signed(a.shr(shift).limbs()), signed(a.limbs()) >> shift);
        let x = u128::from(random.next()) << 64 | u128::from(random.next());
        let shift = random.below(128) as u32;
        let product = Int::<5>::from_u128_shifted(x, shift);
        assert_eq!(signed(product.limbs()), BigInt::from(x) << shift);
        let y = x as i128 >> random.below(128);
        assert_eq!(Int::<3>::from_i128(y).to_i128(), Some(y));
    });
}
