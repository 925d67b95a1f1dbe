//! The one table of aggregates: names, arguments, results, what DISTINCT and the total order have
//! to do with them, and a line of documentation. The planner, the DataFusion functions, SHOW
//! FUNCTIONS, completion and `docs/sql-reference.md` are derived from it.

use super::kind::AggregateKind as K;

/// What a column argument may be, and what it is widened to before it is aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Anything, as it is.
    Any,
    /// Numbers, text, bytes, booleans, dates and times: what MIN compares.
    Ordered,
    /// Numbers, widened without rounding: BIGINT, unsigned BIGINT, DOUBLE or DECIMAL.
    Number,
    /// Numbers as DOUBLE; integers beyond 2^53 and decimals are rounded to it.
    Double,
    /// REAL and DECIMAL as they are, other numbers as DOUBLE.
    Fractional,
    /// REAL as it is, other numbers as DOUBLE.
    Float,
    Integer,
    Boolean,
    Text,
    /// TIMESTAMP; in a feature it may be left out and is the event time.
    Time,
}

/// A constant argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// Between 0 and 1.
    Fraction,
    /// At least 1.
    Count,
    /// A whole number, not 0.
    Place,
    /// A finite number above 0.
    Positive,
    Text,
    /// A value of the first argument's type, or NULL.
    Value,
    /// One or more ascending finite numbers.
    Edges,
}

/// The type of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    Whole,
    Unsigned,
    Double,
    /// The type of the first (widened) argument.
    First,
    /// As the contract has it for SUM and AVG.
    Sum,
    Mean,
    Boolean,
    Text,
    /// A list of the first argument.
    List,
    Counts,
    /// A map from the last column argument to BIGINT, SUM, AVG or the first argument.
    CountsBy,
    SumsBy,
    MeansBy,
    FirstsBy,
}

/// How the result follows from the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// From exact sums: rows are added and taken back.
    Sums,
    /// From the values in their order of size.
    Ranks,
    /// From the rows in the total order; NULLs count, IGNORE NULLS leaves them out.
    Rows,
    /// From the rows that are not NULL, in the total order.
    Values,
    /// From the rows that are not NULL, whatever their order.
    Bag,
    /// From counts that rows add to and are taken back from.
    Counts,
}

/// One aggregate.
#[derive(Debug)]
pub struct Function {
    pub kind: K,
    /// Its own name first, as DataFusion knows it.
    pub names: &'static [&'static str],
    pub arguments: &'static [Takes],
    pub constants: &'static [Constant],
    /// How many of the constants may be left out, from the last.
    pub optional: usize,
    pub gives: Gives,
    pub law: Law,
    /// Whether DISTINCT changes anything (`Some(true)`), nothing, or is refused (`None`).
    pub distinct: Option<bool>,
    /// How it is written.
    pub usage: &'static str,
    pub doc: &'static str,
}

const fn function(
    kind: K,
    names: &'static [&'static str],
    arguments: &'static [Takes],
    gives: Gives,
    law: Law,
    usage: &'static str,
    doc: &'static str,
) -> Function {
    let (constants, distinct): (&[Constant], _) = (&[], None);
    Function { kind, names, arguments, constants, optional: 0, gives, law, distinct, usage, doc }
}

impl Function {
    const fn with(mut self, constants: &'static [Constant], optional: usize) -> Self {
        self.constants = constants;
        self.optional = optional;
        self
    }

    const fn distinct(mut self, changes: bool) -> Self {
        self.distinct = Some(changes);
        self
    }

    /// Whether the call counts NULLs and takes IGNORE NULLS.
    pub fn counts_nulls(&self) -> bool {
        self.law == Law::Rows
    }

    /// Whether the result depends on the total order.
    pub fn is_ordered(&self) -> bool {
        matches!(self.law, Law::Rows | Law::Values)
    }

    /// Whether its last argument may be left out in a feature: it is the event time.
    pub fn ends_in_time(&self) -> bool {
        self.arguments.last() == Some(&Takes::Time)
    }
}

use Constant as C;
use Gives as G;
use Law as L;
use Takes as T;

/// All of them, in the order of [`K`].
pub static TABLE: &[Function] = &[
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
        "skewness of a sample (adjusted Fisher-Pearson); NULL below three values",
    ),
    function(
        K::Kurtosis,
        &["kurtosis"],
        &[T::Double],
        G::Double,
        L::Sums,
        "kurtosis(x)",
        "excess kurtosis of a sample; NULL below four values",
    ),
    function(
        K::ArgMin,
        &["arg_min", "min_by"],
        &[T::Any, T::Ordered],
        G::First,
        L::Values,
        "arg_min(x, by)",
        "x of the row with the smallest by; the first of equals",
    ),
    function(
        K::ArgMax,
        &["arg_max", "max_by"],
        &[T::Any, T::Ordered],
        G::First,
        L::Values,
        "arg_max(x, by)",
        "x of the row with the greatest by; the first of equals",
    ),
    function(
        K::FirstN,
        &["first_n"],
        &[T::Any],
        G::List,
        L::Rows,
        "first_n(x, n)",
        "x of the first n rows, in the total order",
    )
    .with(&[C::Count], 0),
    function(
        K::LastN,
        &["last_n"],
        &[T::Any],
        G::List,
        L::Rows,
        "last_n(x, n)",
        "x of the last n rows, in the total order",
    )
    .with(&[C::Count], 0),
    function(
        K::LastDistinctN,
        &["last_distinct_n"],
        &[T::Ordered],
        G::List,
        L::Values,
        "last_distinct_n(x, n)",
        "the last n different x, each where it is last",
    )
    .with(&[C::Count], 0),
    function(
        K::CountCate,
        &["count_cate"],
        &[T::Any, T::Ordered],
        G::CountsBy,
        L::Bag,
        "count_cate(x, category)",
        "count of x by category",
    ),
    function(
        K::SumCate,
        &["sum_cate"],
        &[T::Number, T::Ordered],
        G::SumsBy,
        L::Bag,
        "sum_cate(x, category)",
        "sum of x by category",
    ),
    function(
        K::AvgCate,
        &["avg_cate"],
        &[T::Number, T::Ordered],
        G::MeansBy,
        L::Bag,
        "avg_cate(x, category)",
        "mean of x by category",
    ),
    function(
        K::MinCate,
        &["min_cate"],
        &[T::Ordered, T::Ordered],
        G::FirstsBy,
        L::Bag,
        "min_cate(x, category)",
        "smallest x by category",
    ),
    function(
        K::MaxCate,
        &["max_cate"],
        &[T::Ordered, T::Ordered],
        G::FirstsBy,
        L::Bag,
        "max_cate(x, category)",
        "greatest x by category",
    ),
    function(
        K::TopNKeyCountCate,
        &["top_n_key_count_cate"],
        &[T::Any, T::Ordered],
        G::CountsBy,
        L::Bag,
        "top_n_key_count_cate(x, category, n)",
        "of the n greatest categories",
    )
    .with(&[C::Count], 0),
    function(
        K::TopNKeySumCate,
        &["top_n_key_sum_cate"],
        &[T::Number, T::Ordered],
        G::SumsBy,
        L::Bag,
        "top_n_key_sum_cate(x, category, n)",
        "of the n greatest categories",
    )
    .with(&[C::Count], 0),
    function(
        K::TopNKeyAvgCate,
        &["top_n_key_avg_cate"],
        &[T::Number, T::Ordered],
        G::MeansBy,
        L::Bag,
        "top_n_key_avg_cate(x, category, n)",
        "avg_cate of the n greatest categories",
    )
    .with(&[C::Count], 0),
    function(
        K::TopNKeyMinCate,
        &["top_n_key_min_cate"],
        &[T::Ordered, T::Ordered],
        G::FirstsBy,
        L::Bag,
        "top_n_key_min_cate(x, category, n)",
        "min_cate of the n greatest categories",
    )
    .with(&[C::Count], 0),
    function(
        K::TopNKeyMaxCate,
        &["top_n_key_max_cate"],
        &[T::Ordered, T::Ordered],
        G::FirstsBy,
        L::Bag,
        "top_n_key_max_cate(x, category, n)",
        "max_cate of the n greatest categories",
    )
    .with(&[C::Count], 0),
    function(
        K::TopNFrequency,
        &["topn_frequency"],
        &[T::Ordered],
        G::List,
        L::Bag,
        "topn_frequency(x, n)",
        "the n most frequent x; the smaller of equals first",
    )
    .with(&[C::Count], 0),
    function(
        K::Top,
        &["top"],
        &[T::Ordered],
        G::List,
        L::Bag,
        "top(x, n)",
        "the n greatest x, from the greatest",
    )
    .with(&[C::Count], 0),
    function(
        K::Top1Ratio,
        &["top1_ratio"],
        &[T::Ordered],
        G::Double,
        L::Bag,
        "top1_ratio(x)",
        "share of the most frequent x",
    ),
    function(
        K::Entropy,
        &["entropy"],
        &[T::Ordered],
        G::Double,
        L::Bag,
        "entropy(x)",
        "entropy of the frequencies of x, in bits",
    ),
    function(
        K::EwAvg,
        &["ew_avg"],
        &[T::Double],
        G::Double,
        L::Values,
        "ew_avg(x, alpha)",
        "mean in which each row weighs (1 - alpha) times the one after it",
    )
    .with(&[C::Fraction], 0),
    function(
        K::EwAvgTime,
        &["ew_avg_time"],
        &[T::Double, T::Time],
        G::Double,
        L::Values,
        "ew_avg_time(x, half_life)",
        "mean in which a row half_life seconds before the last one weighs half",
    )
    .with(&[C::Positive], 0),
    function(
        K::Drawdown,
        &["drawdown"],
        &[T::Double],
        G::Double,
        L::Values,
        "drawdown(x)",
        "greatest fall from a value to a later one, as a share of the former",
    ),
    function(
        K::Histogram,
        &["histogram"],
        &[T::Number],
        G::Counts,
        L::Bag,
        "histogram(x, edge, …)",
        "counts below the first edge, between edges, from the last on",
    )
    .with(&[C::Edges], 0),
    function(
        K::TimeSinceLast,
        &["time_since_last"],
        &[T::Time],
        G::Double,
        L::Bag,
        "time_since_last()",
        "seconds from the row before the last to the last row",
    ),
    function(
        K::Delta,
        &["delta"],
        &[T::Double],
        G::Double,
        L::Values,
        "delta(x)",
        "the last x less the one before it",
    ),
    function(
        K::Slope,
        &["slope"],
        &[T::Double, T::Time],
        G::Double,
        L::Bag,
        "slope(x)",
        "slope of the line of least squares of x over time, per second",
    ),
    function(
        K::Lag,
        &["lag"],
        &[T::Any],
        G::First,
        L::Rows,
        "lag(x, n, default)",
        "x of the row n (1) rows before in the total order, default where there is none",
    )
    .with(&[C::Count, C::Value], 2),
    function(
        K::ApproxDistinct,
        &["approx_distinct"],
        &[T::Any],
        G::Unsigned,
        L::Counts,
        "approx_distinct(x)",
        "number of different x, by HyperLogLog; standard error 0.8 %",
    )
    .distinct(false),
    function(
        K::ApproxPercentile,
        &["approx_percentile_cont", "approx_quantile"],
        &[T::Double],
        G::Double,
        L::Counts,
        "approx_percentile_cont(x, p)",
        "percentile_disc within 1 % of its value",
    )
    .with(&[C::Fraction], 0),
    function(
        K::ApproxMedian,
        &["approx_median"],
        &[T::Double],
        G::Double,
        L::Counts,
        "approx_median(x)",
        "the middle value within 1 % of it",
    ),
    function(
        K::ApproxTopK,
        &["approx_top_k"],
        &[T::Ordered],
        G::List,
        L::Bag,
        "approx_top_k(x, k)",
        "the k most frequent x; exact today",
    )
    .with(&[C::Count], 0),
    function(
        K::Rate,
        &["rate"],
        &[T::Number],
        G::Double,
        L::Sums,
        "rate(x)",
        "sum of x per second of the window's length",
    ),
    function(
        K::RowNumber,
        &["row_number"],
        &[],
        G::Unsigned,
        L::Sums,
        "row_number()",
        "place of the row in the total order, from 1",
    ),
    function(
        K::Rank,
        &["rank"],
        &[],
        G::Unsigned,
        L::Sums,
        "rank()",
        "place of the first row of equal event time",
    ),
    function(
        K::DenseRank,
        &["dense_rank"],
        &[],
        G::Unsigned,
        L::Sums,
        "dense_rank()",
        "number of different event times up to the row",
    ),
];
