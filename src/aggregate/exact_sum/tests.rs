//! Tests of `exact_sum` against num-bigint.

use num_bigint::BigInt;

use super::*;
use crate::aggregate::oracle::{for_seeds, nearest, units};

fn bytes(sum: &ExactSum) -> Vec<u8> {
    let mut out = Vec::new();
    sum.encode(&mut out);
    out
}

fn sum_of(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::default();
    values.iter().for_each(|x| sum.add(*x));
    sum
}

#[test]
fn any_mix_of_magnitudes_is_summed_exactly_while_values_come_and_go() {
    for_seeds(|random| {
        let values = random.floats(120);
        let (mut sum, mut expected) = (ExactSum::default(), BigInt::default());
        let mut present = Vec::new();
        for x in values {
            if present.len() > 3 && random.below(5) < 2 {
                let gone: f64 = present.swap_remove(random.below(present.len() as u64) as usize);
                sum.sub(gone);
                expected -= units(gone);
            }
            sum.add(x);
            present.push(x);
            expected += units(x);
            let exact = nearest(&expected, &1.into(), -1074);
            assert_eq!(sum.round().to_bits(), exact.to_bits(), "{present:?}");
            let n = random.below(1000) + 1;
            let mean = nearest(&expected, &n.into(), -1074);
            assert_eq!(sum.round_mean(n).to_bits(), mean.to_bits(), "{present:?} / {n}");
        }
        while let Some(gone) = present.pop() {
            sum.sub(gone);
        }
        assert!(sum.is_zero());
        assert_eq!(bytes(&sum), [0, 0]);
        assert_eq!(sum.round().to_bits(), 0);
    });
}

#[test]
fn order_and_merging_change_neither_value_nor_bytes() {
    for_seeds(|random| {
        let mut values = random.floats(60);
        let forward = sum_of(&values);
        random.shuffle(&mut values);
        let cut = random.below(61) as usize;
        let (mut left, right) = (sum_of(&values[..cut]), sum_of(&values[cut..]));
        left.merge(&right);
        assert_eq!(bytes(&left), bytes(&forward));
        left.unmerge(&right);
        assert_eq!(bytes(&left), bytes(&sum_of(&values[..cut])));
        let read = ExactSum::decode(&bytes(&forward)).unwrap();
        assert_eq!(read.round().to_bits(), forward.round().to_bits());
        assert_eq!(bytes(&read), bytes(&forward));
        let mut zero = read;
        zero.unmerge(&forward);
        assert!(zero.is_zero());
    });
}

#[test]
fn a_wide_sum_comes_back_inline_and_counts_its_bytes() {
    let mut sum = sum_of(&[1e300, 1e-300, 1.0]);
    assert!(sum.heap_bytes() > 0);
    sum.sub(1e300);
    sum.sub(1e-300);
    for _ in 0..NARROW_EVERY {
        sum.add(0.5);
    }
    assert_eq!(sum.heap_bytes(), 0);
    assert_eq!(sum.round(), 33.0);
    assert_eq!(size_of::<ExactSum>(), 32);
}

#[test]
fn sums_beyond_the_range_are_infinite_and_come_back() {
    let mut sum = sum_of(&[f64::MAX; 1000]);
    assert_eq!(sum.round(), f64::INFINITY);
    assert_eq!(sum.round_mean(1000), f64::MAX);
    for _ in 0..1999 {
        sum.sub(f64::MAX);
    }
    assert_eq!(sum.round_mean(999), f64::MIN);
    sum.add(f64::MAX);
    sum.add(f64::from_bits(1));
    assert_eq!(sum.round(), f64::NEG_INFINITY);
}

#[test]
fn damaged_bytes_are_an_error() {
    for bad in [
        &[][..],
        &[1],
        &[1, 0, 0, 0],
        &[1, 0, 0, 0, 2],
        &[2, 0, 0, 0, 1, 0],
        &[1, 0, 0, 0x80, 1],
        &[1, 0, 0, 0x7f, 1],
        &[0, 0, 0],
    ] {
        assert!(ExactSum::decode(bad).is_err(), "{bad:?}");
    }
    for_seeds(|random| {
        let mut encoded = bytes(&sum_of(&random.floats(5)));
        let at = random.below(encoded.len() as u64) as usize;
        encoded[at] ^= 1 << random.below(8);
        if let Ok(sum) = ExactSum::decode(&encoded) {
            assert_eq!(bytes(&sum), encoded);
        }
    });
}
