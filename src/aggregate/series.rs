//! Results that need the rows of a frame as they are: lists, categories, order. A call is
//! evaluated over the values of all rows that count, oldest first in the total order, so that it
//! does not matter how they came or which have left. Called by `slot::series`.
//!
//! | file | what is in it |
//! |---|---|
//! | `series/list` | ARRAY_AGG, STRING_AGG, NTH_VALUE, FIRST_N, LAST_N, LAG, ARG_MIN, ARG_MAX |
//! | `series/category` | `*_CATE`, frequencies, ENTROPY, HISTOGRAM |
//! | `series/trend` | EW_AVG, DRAWDOWN, DELTA, SLOPE, TIME_SINCE_LAST |

mod category;
mod list;
mod trend;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::datum::Datum;
use super::kind::{AggregateKind as K, Direction};

/// One call over a series.
#[derive(Clone, Debug)]
pub struct Call {
    pub kind: K,
    pub constants: Arc<[Datum]>,
    /// Sorts by the last so many columns; empty = the total order.
    pub order: Arc<[Direction]>,
    pub distinct: bool,
    pub ignore_nulls: bool,
    /// Type of the first argument.
    pub input: DataType,
}

/// A result; NULL is one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    One(Datum),
    /// A list, or a map as keys and values in turn.
    Many(Arc<[Datum]>),
    /// It does not fit its type: NULL, and counted.
    Overflow,
}

impl Outcome {
    const NULL: Self = Self::One(Datum::Null);

    fn double(x: Option<f64>) -> Self {
        Self::One(x.map_or(Datum::Null, Datum::float))
    }
}

/// The rows of a series, in the order in which a call sees them.
struct View<'a> {
    values: Cow<'a, [Datum]>,
    width: usize,
}

impl View<'_> {
    fn rows(&self) -> impl DoubleEndedIterator<Item = &[Datum]> + ExactSizeIterator + Clone {
        self.values.chunks_exact(self.width)
    }

    /// The first argument of each row.
    fn first(&self) -> impl DoubleEndedIterator<Item = &Datum> + ExactSizeIterator + Clone {
        self.rows().map(|row| &row[0])
    }

    /// The first argument, a DOUBLE.
    fn doubles(&self) -> impl DoubleEndedIterator<Item = f64> + Clone {
        self.first().map(Datum::as_f64)
    }
}

impl Call {
    /// The result over `values`, `width` of them for each row.
    pub fn evaluate(&self, values: &[Datum], width: usize) -> Outcome {
        let view = self.view(values, width);
        match self.kind {
            K::CountCate
            | K::SumCate
            | K::AvgCate
            | K::MinCate
            | K::MaxCate
            | K::TopNKeyCountCate
            | K::TopNKeySumCate
            | K::TopNKeyAvgCate
            | K::TopNKeyMinCate
            | K::TopNKeyMaxCate => category::by_category(self, &view),
            K::TopNFrequency | K::ApproxTopK => category::most_frequent(self, &view),
            K::Top => category::greatest(self, &view),
            K::Top1Ratio => category::top_share(&view),
            K::Entropy => category::entropy(&view),
            K::Histogram => category::histogram(self, &view),
            K::EwAvg => trend::weighted(self, &view),
            K::EwAvgTime => trend::weighted_by_time(self, &view),
            K::Drawdown => trend::drawdown(&view),
            K::Delta => trend::delta(&view),
            K::Slope => trend::slope(&view),
            K::TimeSinceLast => trend::time_since_last(&view),
            _ => list::evaluate(self, &view),
        }
    }

    /// A whole constant.
    fn count(&self) -> usize {
        self.constants.first().map_or(1, Datum::as_count)
    }

    fn view<'a>(&self, values: &'a [Datum], width: usize) -> View<'a> {
        let nulls = self.ignore_nulls && values.iter().step_by(width).any(Datum::is_null);
        if self.order.is_empty() && !nulls {
            return View { values: Cow::Borrowed(values), width };
        }
        let mut rows: Vec<&[Datum]> = values.chunks_exact(width).collect();
        if nulls {
            rows.retain(|row| !row[0].is_null());
        }
        let keys = width - self.order.len();
        // Stable: rows that tie keep the total order.
        rows.sort_by(|a, b| self.compare(&a[keys..], &b[keys..]));
        View { values: Cow::Owned(rows.concat()), width }
    }

    fn compare(&self, a: &[Datum], b: &[Datum]) -> Ordering {
        for ((a, b), direction) in a.iter().zip(b).zip(self.order.iter()) {
            let nulls = if direction.nulls_first { Ordering::Less } else { Ordering::Greater };
            let ordering = match (a.is_null(), b.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) => nulls,
                (false, true) => nulls.reverse(),
                (false, false) if direction.descending => b.cmp(a),
                (false, false) => a.cmp(b),
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    }
}

#[cfg(test)]
mod tests;
