//! Results worked out by hand.

use super::*;
use crate::aggregate::datum::Datum as D;

fn call(kind: K, constants: &[D]) -> Call {
    Call {
        kind,
        constants: constants.into(),
        order: [].into(),
        distinct: false,
        ignore_nulls: false,
        input: DataType::Int64,
    }
}

fn ints(values: &[i64]) -> Vec<D> {
    values.iter().map(|x| D::Int(*x)).collect()
}

fn doubles(values: &[f64]) -> Vec<D> {
    values.iter().map(|x| D::float(*x)).collect()
}

fn list(values: &[i64]) -> Outcome {
    Outcome::Many(ints(values).into())
}

#[test]
fn rows_are_picked_by_their_place() {
    let rows = ints(&[3, 1, 4, 1, 5]);
    let of = |kind, n| call(kind, &[D::Int(n)]).evaluate(&rows, 1);
    assert_eq!(of(K::NthValue, 2), Outcome::One(D::Int(1)));
    assert_eq!(of(K::NthValue, -2), Outcome::One(D::Int(1)));
    assert_eq!(of(K::NthValue, 6), Outcome::NULL);
    assert_eq!(of(K::FirstN, 2), list(&[3, 1]));
    assert_eq!(of(K::LastN, 2), list(&[1, 5]));
    assert_eq!(of(K::LastN, 9), list(&[3, 1, 4, 1, 5]));
    assert_eq!(of(K::LastDistinctN, 3), list(&[4, 1, 5]));
    assert_eq!(of(K::Lag, 1), Outcome::One(D::Int(1)));
    assert_eq!(of(K::Lag, 5), Outcome::NULL);
    let default = call(K::Lag, &[D::Int(5), D::Int(7)]);
    assert_eq!(default.evaluate(&rows, 1), Outcome::One(D::Int(7)));
    assert_eq!(call(K::ArrayAgg, &[]).evaluate(&[], 1), Outcome::NULL);
}

#[test]
fn lists_follow_order_distinct_and_nulls() {
    let rows = [D::Int(1), D::Int(9), D::Null, D::Int(8), D::Int(2), D::Null, D::Int(1), D::Int(9)];
    let mut of = call(K::ArrayAgg, &[]);
    of.order = [Direction { descending: true, nulls_first: true }].into();
    let all = [D::Int(2), D::Int(1), D::Int(1), D::Null];
    assert_eq!(of.evaluate(&rows, 2), Outcome::Many(all.into()));
    of.ignore_nulls = true;
    assert_eq!(of.evaluate(&rows, 2), list(&[2, 1, 1]));
    of.distinct = true;
    assert_eq!(of.evaluate(&rows, 2), list(&[2, 1]));
    let by = call(K::ArgMax, &[]);
    let rows = ints(&[1, 5, 2, 7, 3, 7]);
    assert_eq!(by.evaluate(&rows, 2), Outcome::One(D::Int(2)));
    let by = call(K::ArgMin, &[]);
    assert_eq!(by.evaluate(&rows, 2), Outcome::One(D::Int(1)));
    let joined = call(K::StringAgg, &[D::text(", ")]);
    let texts = [D::text("a"), D::text("b")];
    assert_eq!(joined.evaluate(&texts, 1), Outcome::One(D::text("a, b")));
}

#[test]
fn categories_come_in_ascending_order() {
    let rows = ints(&[1, 7, 2, 5, 3, 7, 4, 6]);
    let of = |kind| call(kind, &[D::Int(2)]).evaluate(&rows, 2);
    assert_eq!(of(K::CountCate), list(&[5, 1, 6, 1, 7, 2]));
    assert_eq!(of(K::SumCate), list(&[5, 2, 6, 4, 7, 4]));
    assert_eq!(of(K::TopNKeyMaxCate), list(&[6, 4, 7, 3]));
    assert_eq!(call(K::MinCate, &[]).evaluate(&rows, 2), list(&[5, 2, 6, 4, 7, 1]));
    let overflow = ints(&[i64::MAX, 1, i64::MAX, 1]);
    assert_eq!(call(K::SumCate, &[]).evaluate(&overflow, 2), Outcome::Overflow);
    let rows = ints(&[5, 1, 5, 2, 1, 9]);
    let of = |kind| call(kind, &[D::Int(2)]).evaluate(&rows, 1);
    assert_eq!(of(K::TopNFrequency), list(&[1, 5]));
    assert_eq!(of(K::Top), list(&[9, 5]));
    assert_eq!(of(K::Top1Ratio), Outcome::One(D::float(2.0 / 6.0)));
    let even = call(K::Entropy, &[]).evaluate(&ints(&[1, 2, 3, 4]), 1);
    assert_eq!(even, Outcome::One(D::float(2.0)));
    let edges = call(K::Histogram, &[D::Int(1), D::Int(5)]);
    assert_eq!(edges.evaluate(&ints(&[0, 1, 4, 5, 9]), 1), list(&[1, 2, 2]));
}

#[test]
fn trends_are_those_of_the_textbook() {
    let rows = doubles(&[1.0, 8.0, 5.0, 2.0, 10.0, 4.0]);
    let of = |kind, constants: &[D]| call(kind, constants).evaluate(&rows, 1);
    assert_eq!(of(K::Drawdown, &[]), Outcome::One(D::float(0.75)));
    assert_eq!(of(K::Delta, &[]), Outcome::One(D::float(-6.0)));
    for strange in [[f64::NAN, 1.0, 0.5], [1.0, f64::NAN, 0.5], [1.0, f64::INFINITY, 0.5]] {
        let fall = call(K::Drawdown, &[]).evaluate(&doubles(&strange), 1);
        assert_eq!(fall, Outcome::One(D::float(f64::NAN)), "{strange:?}");
    }
    // (1/32 + 8/16 + 5/8 + 2/4 + 10/2 + 4) / (1/32 + 1/16 + 1/8 + 1/4 + 1/2 + 1)
    let expected = (0.03125 + 0.5 + 0.625 + 0.5 + 5.0 + 4.0) / 1.96875;
    assert_eq!(of(K::EwAvg, &[D::float(0.5)]), Outcome::One(D::float(expected)));
    let second = |s: i64| D::Int(s * SECOND);
    let timed = [D::float(8.0), second(0), D::float(2.0), second(10), D::float(2.0), second(10)];
    let half = call(K::EwAvgTime, &[D::Int(10)]).evaluate(&timed, 2);
    assert_eq!(half, Outcome::One(D::float((4.0 + 2.0 + 2.0) / 2.5)));
    let line = [D::float(1.0), second(5), D::float(3.0), second(6), D::float(5.0), second(7)];
    assert_eq!(call(K::Slope, &[]).evaluate(&line, 2), Outcome::One(D::float(2.0)));
    let times = [second(3), second(8)];
    assert_eq!(call(K::TimeSinceLast, &[]).evaluate(&times, 1), Outcome::One(D::float(5.0)));
    assert_eq!(call(K::TimeSinceLast, &[]).evaluate(&times[..1], 1), Outcome::NULL);
}

const SECOND: i64 = 1_000_000;
