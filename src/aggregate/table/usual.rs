//! The aggregates that SQL engines have: sums, ranks, lists, pairs. Part of `table`.

use super::Constant as C;
use super::Gives as G;
use super::Law as L;
use super::Takes as T;
use super::{Function, function};
use crate::aggregate::kind::AggregateKind as K;

pub const USUAL: &[Function] = &[
    function(
        K::Count,
        &["count"],
        &[T::Any],
        G::Whole,
        L::Sums,
        "count(*), count(x)",
        "rows, or rows where x is not NULL",
    )
    .distinct(true),
    function(K::Sum, &["sum"], &[T::Number], G::Sum, L::Sums, "sum(x)", "exact sum").distinct(true),
    function(
        K::Avg,
        &["avg", "mean"],
        &[T::Number],
        G::Mean,
        L::Sums,
        "avg(x)",
        "exact sum divided by the number, rounded once",
    )
    .distinct(true),
    function(K::Min, &["min"], &[T::Ordered], G::First, L::Ranks, "min(x)", "smallest value")
        .distinct(false),
    function(K::Max, &["max"], &[T::Ordered], G::First, L::Ranks, "max(x)", "greatest value")
        .distinct(false),
    function(
        K::VarPop,
        &["var_pop", "var_population"],
        &[T::Number],
        G::Double,
        L::Sums,
        "var_pop(x)",
        "variance of all",
    )
    .distinct(true),
    function(
        K::VarSamp,
        &["var", "var_sample", "var_samp"],
        &[T::Number],
        G::Double,
        L::Sums,
        "var_samp(x)",
        "variance of a sample; NULL below two values",
    )
    .distinct(true),
    function(
        K::StddevPop,
        &["stddev_pop"],
        &[T::Number],
        G::Double,
        L::Sums,
        "stddev_pop(x)",
        "square root of var_pop",
    )
    .distinct(true),
    function(
        K::StddevSamp,
        &["stddev", "stddev_samp"],
        &[T::Number],
        G::Double,
        L::Sums,
        "stddev_samp(x)",
        "square root of var_samp",
    )
    .distinct(true),
    function(
        K::FirstValue,
        &["first_value"],
        &[T::Any],
        G::First,
        L::Rows,
        "first_value(x)",
        "x of the first row in the total order",
    ),
    function(
        K::LastValue,
        &["last_value"],
        &[T::Any],
        G::First,
        L::Rows,
        "last_value(x)",
        "x of the last row in the total order",
    ),
    function(
        K::BoolAnd,
        &["bool_and", "every"],
        &[T::Boolean],
        G::Boolean,
        L::Ranks,
        "bool_and(x)",
        "whether all are true",
    )
    .distinct(false),
    function(
        K::BoolOr,
        &["bool_or"],
        &[T::Boolean],
        G::Boolean,
        L::Ranks,
        "bool_or(x)",
        "whether one is true",
    )
    .distinct(false),
    function(
        K::BitAnd,
        &["bit_and"],
        &[T::Integer],
        G::First,
        L::Counts,
        "bit_and(x)",
        "the bits that all have",
    )
    .distinct(false),
    function(
        K::BitOr,
        &["bit_or"],
        &[T::Integer],
        G::First,
        L::Counts,
        "bit_or(x)",
        "the bits that one has",
    )
    .distinct(false),
    function(
        K::BitXor,
        &["bit_xor"],
        &[T::Integer],
        G::First,
        L::Counts,
        "bit_xor(x)",
        "the bits that an odd number have",
    ),
    function(
        K::Median,
        &["median"],
        &[T::Fractional],
        G::First,
        L::Ranks,
        "median(x)",
        "the middle value, or the mean of the two in the middle",
    )
    .distinct(true),
    function(
        K::PercentileCont,
        &["percentile_cont", "quantile_cont", "quantile"],
        &[T::Float],
        G::First,
        L::Ranks,
        "percentile_cont(x, p)",
        "the value below which the fraction p lies, between two values in proportion",
    )
    .with(&[C::Fraction], 0)
    .distinct(true),
    function(
        K::PercentileDisc,
        &["percentile_disc", "quantile_disc"],
        &[T::Ordered],
        G::First,
        L::Ranks,
        "percentile_disc(x, p)",
        "the first value with at least the fraction p up to it",
    )
    .with(&[C::Fraction], 0)
    .distinct(true),
    function(
        K::Mode,
        &["mode"],
        &[T::Ordered],
        G::First,
        L::Ranks,
        "mode(x)",
        "the value that is there most often; the smallest of equals",
    ),
    function(
        K::NthValue,
        &["nth_value"],
        &[T::Any],
        G::First,
        L::Rows,
        "nth_value(x, n)",
        "x of the n-th row in the total order, from the end if n is negative",
    )
    .with(&[C::Place], 0),
    function(
        K::ArrayAgg,
        &["array_agg"],
        &[T::Any],
        G::List,
        L::Rows,
        "array_agg(x)",
        "all x in the total order, or that of ORDER BY",
    )
    .distinct(true),
    function(
        K::StringAgg,
        &["string_agg", "listagg"],
        &[T::Text],
        G::Text,
        L::Values,
        "string_agg(x, separator)",
        "all x in the total order, or that of ORDER BY, joined",
    )
    .with(&[C::Text], 0)
    .distinct(true),
    function(
        K::CovarPop,
        &["covar_pop"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "covar_pop(y, x)",
        "covariance of all pairs",
    ),
    function(
        K::CovarSamp,
        &["covar_samp", "covar"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "covar_samp(y, x)",
        "covariance of a sample; NULL below two pairs",
    ),
    function(
        K::Corr,
        &["corr"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "corr(y, x)",
        "correlation of Pearson; NULL below two pairs or if one side does not vary",
    ),
    function(
        K::RegrSlope,
        &["regr_slope"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_slope(y, x)",
        "slope of the line of least squares through (x, y)",
    ),
    function(
        K::RegrIntercept,
        &["regr_intercept"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_intercept(y, x)",
        "where that line crosses x = 0",
    ),
    function(
        K::RegrCount,
        &["regr_count"],
        &[T::Double, T::Double],
        G::Unsigned,
        L::Sums,
        "regr_count(y, x)",
        "pairs without NULL",
    ),
    function(
        K::RegrR2,
        &["regr_r2"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_r2(y, x)",
        "square of the correlation",
    ),
    function(
        K::RegrAvgx,
        &["regr_avgx"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_avgx(y, x)",
        "mean of x over the pairs",
    ),
    function(
        K::RegrAvgy,
        &["regr_avgy"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_avgy(y, x)",
        "mean of y over the pairs",
    ),
    function(
        K::RegrSxx,
        &["regr_sxx"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_sxx(y, x)",
        "sum of squares of x about its mean",
    ),
    function(
        K::RegrSyy,
        &["regr_syy"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_syy(y, x)",
        "sum of squares of y about its mean",
    ),
    function(
        K::RegrSxy,
        &["regr_sxy"],
        &[T::Double, T::Double],
        G::Double,
        L::Sums,
        "regr_sxy(y, x)",
        "sum of products of x and y about their means",
    ),
    function(
        K::Skewness,
        &["skewness"],
        &[T::Double],
        G::Double,
        L::Sums,
        "skewness(x)",
        "skewness of a sample (adjusted Fisher-Pearson); NULL below three values or where all \
         are equal",
    ),
    function(
        K::Kurtosis,
        &["kurtosis"],
        &[T::Double],
        G::Double,
        L::Sums,
        "kurtosis(x)",
        "excess kurtosis of a sample; NULL below four values or where all \
         are equal",
    ),
];
