//! Sketches forget exactly and keep within their bounds.

use super::*;
use crate::aggregate::oracle::for_seeds;

#[test]
fn estimates_of_distinct_values_stay_within_four_standard_errors() {
    for n in [0u64, 1, 2, 10, 100, 1_000, 10_000, 30_000, 60_000, 100_000, 300_000] {
        let mut sketch = Buckets::default();
        for x in 0..n {
            let bucket = Form::Distinct.bucket(&Datum::Int(x as i64));
            sketch.add(Form::Distinct, bucket, 1);
            if x % 3 == 0 {
                sketch.add(Form::Distinct, bucket, 1);
            }
        }
        let error = sketch.distinct().abs_diff(n) as f64;
        assert!(error <= (n as f64 * 0.0325).max(if n <= 10 { 0.0 } else { 2.0 }), "{n}: {error}");
    }
}

#[test]
fn quantiles_stay_within_their_bound_of_the_exact_value() {
    for_seeds(|random| {
        let mut values = random.floats(200);
        values.retain(|x| x.abs() >= f64::MIN_POSITIVE || *x == 0.0);
        if values.is_empty() {
            return;
        }
        let mut sketch = Buckets::default();
        for x in &values {
            sketch.add(Form::Quantiles, Form::Quantiles.bucket(&Datum::float(*x)), 1);
        }
        values.sort_by(f64::total_cmp);
        for p in [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0] {
            let place = ((p * values.len() as f64).ceil() as usize).max(1) - 1;
            let (exact, found) = (values[place], sketch.quantile(p).unwrap());
            let bound = exact.abs() / 128.0;
            assert!((found - exact).abs() <= bound, "p {p}: {found:e} for {exact:e}");
        }
    });
}

#[test]
fn values_that_leave_leave_nothing_behind() {
    for form in [Form::Distinct, Form::Quantiles] {
        for_seeds(|random| {
            let values = random.floats(60);
            let buckets: Vec<i32> = values.iter().map(|x| form.bucket(&Datum::float(*x))).collect();
            let (stay, leave) = buckets.split_at(30);
            let mut sketch = Buckets::default();
            let mut mixed = buckets.clone();
            random.shuffle(&mut mixed);
            mixed.iter().for_each(|bucket| sketch.add(form, *bucket, 1));
            leave.iter().for_each(|bucket| sketch.sub(form, *bucket, 1));
            let mut expected = Buckets::default();
            stay.iter().for_each(|bucket| expected.add(form, *bucket, 1));
            let bytes = |sketch: &Buckets| {
                let mut bytes = Vec::new();
                sketch.encode(&mut bytes);
                bytes
            };
            assert_eq!(bytes(&sketch), bytes(&expected));
            assert_eq!(sketch.distinct(), expected.distinct());
            let again = Buckets::decode(form, &mut bytes(&sketch).as_slice()).unwrap();
            assert_eq!(again.distinct(), expected.distinct());
            assert_eq!(again.quantile(0.3), expected.quantile(0.3));
        });
    }
}

#[test]
fn what_is_not_finite_has_buckets_of_its_own() {
    let of = |x: f64| middle(Form::Quantiles.bucket(&Datum::float(x)));
    assert!(of(f64::NAN).is_nan());
    assert_eq!(of(f64::INFINITY), f64::INFINITY);
    assert_eq!(of(f64::NEG_INFINITY), f64::NEG_INFINITY);
    assert_eq!(of(0.0).to_bits(), 0);
    assert_eq!(of(5e-324), 0.0);
}
