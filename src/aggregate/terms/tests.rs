//! Exact sums of products against big rationals.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::*;
use crate::aggregate::oracle::{for_seeds, nearest};

fn exact(x: f64) -> BigRational {
    BigRational::from_float(x).unwrap()
}

#[test]
fn sums_of_products_are_exact_in_any_order_and_after_taking_back() {
    for_seeds(|random| {
        let mut sum = Terms::default();
        let mut expected = exact(0.0);
        let mut held: Vec<(f64, f64)> = Vec::new();
        let (left, right) = (random.floats(60), random.floats(60));
        for pair in left.into_iter().zip(right) {
            let leaves = !held.is_empty() && random.below(3) == 0;
            let at = random.below(held.len().max(1) as u64) as usize;
            let (x, y) = if leaves { held.swap_remove(at) } else { pair };
            if !leaves {
                held.push(pair);
            }
            let ((a, m, e), (b, n, f)) = (split(x), split(y));
            let product = u128::from(m) * u128::from(n);
            let limbs = [product as u64, (product >> 64) as u64, 0];
            sum.change((a != b) != leaves, &limbs, e + f);
            let term = exact(x) * exact(y);
            if leaves {
                expected -= term
            } else {
                expected += term
            }
            let three = BigInt::from(3);
            assert_eq!(
                sum.value().over(&Scaled::whole(3)).to_bits(),
                (nearest(expected.numer(), &(expected.denom() * three), 0) + 0.0).to_bits()
            );
        }
        let mut bytes = Vec::new();
        sum.encode(&mut bytes);
        let mut input = bytes.as_slice();
        let mut read = Terms::decode(&mut input).unwrap();
        assert!(input.is_empty());
        let mut again = Vec::new();
        read.encode(&mut again);
        assert_eq!(bytes, again);
        read.merge(&sum, true);
        assert!(read.value().is_zero());
        read.merge(&sum, false);
        assert!(read.value().minus(&sum.value()).is_zero());
        let twice = read.value().plus(&sum.value());
        assert!(twice.minus(&sum.value().by(2)).is_zero());
    });
}
