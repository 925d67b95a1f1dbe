//! Tests of `moments` against rational arithmetic, bit by bit.

use num_bigint::BigInt;

use super::*;
use crate::aggregate::oracle::{self, Random, bits, for_seeds, units};

fn bytes<M: Moments>(state: &M) -> Vec<u8> {
    let mut out = Vec::new();
    state.encode(&mut out);
    out
}

fn state_of<M: Moments>(values: &[M::Value]) -> M {
    let mut state = M::default();
    values.iter().for_each(|x| state.add(*x));
    state
}

/// A history of additions and removals; `check` sees the state and what is present.
fn come_and_go<M: Moments>(
    random: &mut Random,
    values: Vec<M::Value>,
    check: impl Fn(&M, &[M::Value]),
) {
    let (mut state, mut present) = (M::default(), Vec::new());
    for x in values {
        if present.len() > 2 && random.below(5) < 2 {
            state.sub(present.swap_remove(random.below(present.len() as u64) as usize));
        }
        state.add(x);
        present.push(x);
        if random.below(4) == 0 {
            check(&state, &present);
        }
    }
    check(&state, &present);
    let mut shuffled = present.clone();
    random.shuffle(&mut shuffled);
    let cut = random.below(shuffled.len() as u64 + 1) as usize;
    let (mut left, right) = (state_of::<M>(&shuffled[..cut]), state_of::<M>(&shuffled[cut..]));
    let before = bytes(&left);
    left.merge(&right);
    assert_eq!(bytes(&left), bytes(&state), "merged");
    check(&left, &present);
    check(&M::decode(&bytes(&state)).unwrap(), &present);
    assert_eq!(bytes(&M::decode(&bytes(&state)).unwrap()), bytes(&state));
    left.unmerge(&right);
    assert_eq!(bytes(&left), before, "unmerged");
    present.into_iter().for_each(|x| state.sub(x));
    assert_eq!(bytes(&state), bytes(&M::default()), "emptied");
}

fn check_float(state: &FloatMoments, present: &[f64]) {
    let exact: Vec<BigInt> = present.iter().map(|x| units(*x)).collect();
    let [sum, avg, var_pop, var_samp] = oracle::moments(&exact, -1074, &1.into());
    assert_eq!(state.count(), present.len() as u64);
    assert_eq!(bits(state.sum()), bits(sum), "sum of {present:?}");
    assert_eq!(bits(state.avg()), bits(avg), "avg of {present:?}");
    assert_eq!(bits(state.var_pop()), bits(var_pop), "var_pop of {present:?}");
    assert_eq!(bits(state.var_samp()), bits(var_samp), "var_samp of {present:?}");
    assert_eq!(bits(state.stddev_pop()), bits(var_pop.map(f64::sqrt)));
    assert_eq!(bits(state.stddev_samp()), bits(var_samp.map(f64::sqrt)));
}

#[test]
fn float_moments_are_the_rounded_rationals_in_any_history() {
    for_seeds(|random| {
        let count = 1 + random.below(60);
        let values = random.floats(count);
        come_and_go::<FloatMoments>(random, values, check_float);
    });
}

#[test]
fn float_sums_agree_with_moments_in_any_history() {
    for_seeds(|random| {
        let count = 1 + random.below(60);
        let values = random.floats(count);
        come_and_go::<FloatSums>(random, values, |state, present| {
            let moments = state_of::<FloatMoments>(present);
            assert_eq!(bits(state.sum()), bits(moments.sum()));
            assert_eq!(bits(state.avg()), bits(moments.avg()));
        });
    });
}

#[test]
fn nan_and_infinities_decide_while_they_are_there_and_not_after() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let cases = [
        (vec![nan], nan),
        (vec![inf, inf], inf),
        (vec![-inf], -inf),
        (vec![inf, -inf], nan),
        (vec![inf, nan], nan),
    ];
    for (special, expected) in cases {
        let (mut sums, mut moments) = (FloatSums::default(), FloatMoments::default());
        for x in [1.5, 2.25, 1e300].iter().chain(&special) {
            sums.add(*x);
            moments.add(*x);
        }
        for state in [moments.clone(), FloatMoments::decode(&bytes(&moments)).unwrap()] {
            assert_eq!(bits(state.sum()), bits(Some(expected)), "{special:?}");
            assert_eq!(bits(state.avg()), bits(Some(expected)));
            assert_eq!(bits(state.var_pop()), bits(Some(nan)));
            assert_eq!(bits(state.stddev_samp()), bits(Some(nan)));
            assert_eq!(state.count(), 3 + special.len() as u64);
        }
        assert_eq!(bits(sums.sum()), bits(Some(expected)));
        for x in &special {
            sums.sub(*x);
            moments.sub(*x);
        }
        assert_eq!(bytes(&moments), bytes(&state_of::<FloatMoments>(&[1.5, 2.25, 1e300])));
        assert_eq!(bytes(&sums), bytes(&state_of::<FloatSums>(&[1.5, 2.25, 1e300])));
        check_float(&moments, &[1.5, 2.25, 1e300]);
    }
    let empty = FloatMoments::default();
    assert_eq!((empty.sum(), empty.avg(), empty.var_pop(), empty.var_samp()), Default::default());
    assert_eq!(state_of::<FloatMoments>(&[-0.0]).sum().map(f64::to_bits), Some(0));
}

#[test]
fn usual_data_stays_inline_and_wide_data_comes_back() {
    let mut random = Random::new(7);
    let mut state = FloatMoments::default();
    let values: Vec<f64> = (0..100_000).map(|_| random.float(0)).collect();
    values.iter().for_each(|x| state.add(*x));
    assert_eq!(state.heap_bytes(), 0);
    state.add(1e200);
    assert!(state.heap_bytes() > 0);
    state.sub(1e200);
    values.iter().take(99_900).for_each(|x| state.sub(*x));
    assert_eq!(state.heap_bytes(), 0);
    check_float(&state, &values[99_900..]);
}

fn random_integer(random: &mut Random, character: u64) -> i128 {
    match character {
        0 => i128::from(random.below(1000)) - 500,
        1 => i128::from(i64::MAX) - i128::from(random.below(3)),
        2 => i128::from(i64::MIN) + i128::from(random.below(3)),
        3 => i128::from(u64::MAX) - i128::from(random.below(3)),
        _ => i128::from(random.next() as i64),
    }
}

#[test]
fn integer_moments_are_exact_at_the_extremes_of_their_types() {
    for_seeds(|random| {
        let count = 1 + random.below(60);
        let mix = random.below(6);
        let values: Vec<i128> = (0..count)
            .map(|_| {
                let character = if mix == 5 { random.below(5) } else { mix };
                random_integer(random, character)
            })
            .collect();
        come_and_go::<IntMoments>(random, values.clone(), |state, present| {
            let exact: Vec<BigInt> = present.iter().map(|x| BigInt::from(*x)).collect();
            let [_, avg, var_pop, var_samp] = oracle::moments(&exact, 0, &1.into());
            let sum: i128 = present.iter().sum();
            assert_eq!(state.sum(), Some(sum));
            assert_eq!(state.sum_i64(), i64::try_from(sum).map(Some).map_err(|_| Overflow));
            assert_eq!(state.sum_u64(), u64::try_from(sum).map(Some).map_err(|_| Overflow));
            assert_eq!(bits(state.avg()), bits(avg), "avg of {present:?}");
            assert_eq!(bits(state.var_pop()), bits(var_pop), "var_pop of {present:?}");
            assert_eq!(bits(state.var_samp()), bits(var_samp), "var_samp of {present:?}");
            assert_eq!(bits(state.stddev_samp()), bits(var_samp.map(f64::sqrt)));
        });
        come_and_go::<IntSums>(random, values, |state, present| {
            assert_eq!(state.sum(), Some(present.iter().sum()));
        });
    });
}

/// Round half away from zero, and NULL on more digits than `precision`, by the definition.
fn quotient(numerator: &BigInt, n: usize, precision: u8) -> Result<Option<i128>, Overflow> {
    let (twice, n) = (numerator.magnitude() * 2u8, n as u64);
    let rounded = (twice + n) / (2 * n);
    if rounded >= num_bigint::BigUint::from(10u8).pow(u32::from(precision)) {
        return Err(Overflow);
    }
    let value = i128::try_from(rounded).unwrap();
    Ok(Some(if numerator < &BigInt::default() { -value } else { value }))
}

#[test]
fn decimal_moments_are_exact_up_to_38_digits() {
    for_seeds(|random| {
        let precision = 1 + random.below(38) as u8;
        let scale = random.below(u64::from(precision) + 1) as i8;
        let limit = 10i128.pow(u32::from(precision));
        let count = 1 + random.below(40);
        let near = random.below(3) == 0;
        let values: Vec<i128> = (0..count)
            .map(|_| {
                let x = (i128::from(random.next()) << 64 | i128::from(random.next())) % limit;
                if near { limit - 1 - i128::from(random.below(3)).min(limit - 1) } else { x }
            })
            .collect();
        come_and_go::<DecimalMoments>(random, values, |state, present| {
            let exact: Vec<BigInt> = present.iter().map(|x| BigInt::from(*x)).collect();
            let ten = BigInt::from(10).pow(scale as u32);
            let [_, _, var_pop, var_samp] = oracle::moments(&exact, 0, &ten);
            let sum: BigInt = exact.iter().sum();
            let (sum_precision, _) = sum_type(precision, scale);
            assert_eq!(state.sum(precision, scale), quotient(&sum, 1, sum_precision));
            let (avg_precision, avg_scale) = avg_type(precision, scale);
            let scaled = &sum * BigInt::from(10).pow((avg_scale - scale) as u32);
            let avg = quotient(&scaled, present.len(), avg_precision);
            assert_eq!(state.avg(precision, scale), avg, "avg of {present:?}");
            assert_eq!(bits(state.var_pop(scale)), bits(var_pop), "var_pop of {present:?}");
            assert_eq!(bits(state.var_samp(scale)), bits(var_samp), "var_samp of {present:?}");
            let sums = state_of::<DecimalSums>(present);
            assert_eq!(sums.sum(precision, scale), state.sum(precision, scale));
            assert_eq!(sums.avg(precision, scale), state.avg(precision, scale));
        });
    });
}

#[test]
fn a_decimal_sum_past_38_digits_overflows_and_comes_back() {
    let greatest = 10i128.pow(38) - 1;
    let mut sums = state_of::<DecimalSums>(&[greatest, greatest]);
    assert_eq!(sums.sum(38, 0), Err(Overflow));
    assert_eq!(sums.avg(38, 0), Err(Overflow), "four more digits of scale do not fit");
    assert_eq!(sums.avg(38, 38), Ok(Some(greatest)));
    sums.sub(greatest);
    assert_eq!(sums.sum(38, 0), Ok(Some(greatest)));
    let half = state_of::<DecimalSums>(&[1, 0]);
    assert_eq!(half.avg(38, 38), Ok(Some(1)), "half away from zero");
    assert_eq!(state_of::<DecimalSums>(&[-1, 0]).avg(38, 38), Ok(Some(-1)));
    assert_eq!(DecimalSums::default().avg(10, 2), Ok(None));
}

#[test]
fn damaged_bytes_never_panic() {
    for_seeds(|random| {
        let mut encoded = bytes(&state_of::<FloatMoments>(&random.floats(5)));
        let at = random.below(encoded.len() as u64) as usize;
        encoded[at] ^= 1 << random.below(8);
        encoded.truncate(encoded.len() - random.below(3) as usize);
        if let Ok(state) = FloatMoments::decode(&encoded) {
            assert_eq!(bytes(&state), encoded);
            let _ = (state.sum(), state.avg(), state.stddev_samp());
        }
        let _ = IntMoments::decode(&encoded);
        let _ = DecimalMoments::decode(&encoded);
    });
}
