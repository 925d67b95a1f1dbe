//! Names, types and refusals of aggregates.

use DataType as T;

use super::*;

#[test]
fn every_name_and_alias_is_found_in_any_case() {
    for (i, function) in TABLE.iter().enumerate() {
        let kind = function.kind;
        assert_eq!(kind as usize, i, "{kind:?} is not at its place in the table");
        assert_eq!(AggregateKind::from_name(&kind.to_string()), Some(kind));
        for name in function.names {
            assert_eq!(AggregateKind::from_name(name), Some(kind));
        }
    }
    let mut names: Vec<_> = TABLE.iter().flat_map(|function| function.names).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two aggregates of one name");
    assert_eq!(AggregateKind::from_name("no_such_aggregate"), None);
}

#[test]
fn results_have_the_types_of_the_contract() {
    use AggregateKind as K;
    let result = |kind, input| result_type(kind, false, &input).unwrap();
    assert_eq!(result(K::Sum, T::Int8), T::Int64);
    assert_eq!(result(K::Sum, T::UInt32), T::UInt64);
    assert_eq!(result(K::Sum, T::Float32), T::Float64);
    assert_eq!(result(K::Sum, T::Decimal128(10, 2)), T::Decimal128(20, 2));
    assert_eq!(result(K::Sum, T::Decimal128(38, 2)), T::Decimal128(38, 2));
    assert_eq!(result(K::Avg, T::Decimal128(10, 2)), T::Decimal128(14, 6));
    assert_eq!(result(K::Avg, T::Decimal128(38, 38)), T::Decimal128(38, 38));
    assert_eq!(result(K::Avg, T::Int64), T::Float64);
    assert_eq!(result(K::StddevSamp, T::Decimal128(10, 2)), T::Float64);
    assert_eq!(result(K::Count, T::Null), T::Int64);
    assert_eq!(result(K::Min, T::Float32), T::Float32);
    assert_eq!(result(K::Max, T::Utf8View), T::Utf8View);
    assert_eq!(result(K::Max, T::Boolean), T::Boolean);
    assert_eq!(result(K::LastValue, T::Binary), T::Binary);
    assert_eq!(result(K::Median, T::Int32), T::Float64);
    assert_eq!(result(K::Median, T::Decimal128(10, 2)), T::Decimal128(10, 2));
    assert_eq!(result(K::RegrCount, T::Int32), T::UInt64);
    assert_eq!(result(K::ArrayAgg, T::Utf8), T::List(Field::new("item", T::Utf8, true).into()));
    let sums = result_of(K::SumCate, false, &[T::Int32, T::Utf8]).unwrap();
    assert_eq!(sums, map_type(T::Utf8, T::Int64));
}

#[test]
fn what_has_no_meaning_is_refused_with_a_hint() {
    use AggregateKind as K;
    let list = T::new_list(T::Int64, true);
    for (kind, distinct, input) in [
        (K::Sum, false, T::Utf8),
        (K::Avg, false, T::Boolean),
        (K::VarPop, true, T::Date32),
        (K::Max, false, list.clone()),
        (K::Count, true, list),
        (K::FirstValue, true, T::Int64),
        (K::BitXor, true, T::Int64),
        (K::BitAnd, false, T::Float64),
        (K::Median, false, T::Utf8),
        (K::BoolAnd, false, T::Int64),
    ] {
        let error = result_type(kind, distinct, &input).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn constants_are_checked() {
    use AggregateKind as K;
    let ok = |kind, constants: &[Datum]| check_constants(kind, constants).is_ok();
    assert!(ok(K::PercentileCont, &[Datum::float(0.5)]));
    assert!(ok(K::PercentileCont, &[Datum::Int(1)]));
    assert!(!ok(K::PercentileCont, &[]));
    assert!(!ok(K::PercentileCont, &[Datum::float(1.5)]));
    assert!(!ok(K::PercentileCont, &[Datum::float(f64::NAN)]));
    assert!(ok(K::NthValue, &[Datum::Int(-1)]));
    assert!(!ok(K::NthValue, &[Datum::Int(0)]));
    assert!(!ok(K::FirstN, &[Datum::Int(0)]));
    assert!(!ok(K::FirstN, &[Datum::Int(1), Datum::Int(2)]));
    assert!(ok(K::Lag, &[]) && ok(K::Lag, &[Datum::Int(2), Datum::Null]));
    assert!(ok(K::Histogram, &[Datum::Int(1), Datum::float(2.5)]));
    assert!(!ok(K::Histogram, &[Datum::Int(3), Datum::float(2.5)]));
    assert!(!ok(K::Sum, &[Datum::Int(3)]));
}
