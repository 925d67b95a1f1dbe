//! Shapes of every aggregate in every kind of window: one shape for each kind and family, judged
//! by the naive model. Called by `shapes`.

use super::data::{B, D, F, I, J, K, S as TEXT, SEQ, T};
use super::shape::{S, Shape, plain};
use crate::harness::model::{Call, Except, Frame, Model, Windows};

/// Every kind of window with the name of its shapes.
pub fn kinds() -> Vec<(&'static str, Windows)> {
    let frame = |frame: Frame| Windows::Trailing(vec![frame]);
    vec![
        ("range", frame(Frame::Range(Some(10 * S)))),
        ("rows", frame(Frame::Rows(Some(4), Some(SEQ)))),
        ("unbounded", frame(Frame::Range(None))),
        ("rows_unbounded", frame(Frame::Rows(None, None))),
        ("lag", frame(Frame::Lag(Some(10 * S), 2 * S))),
        ("lag_rows", frame(Frame::RowsLag(Some(5), 1, None))),
        ("except_row", frame(Frame::Except(Some(10 * S), Except::CurrentRow))),
        ("except_ties", frame(Frame::Except(Some(10 * S), Except::Ties))),
        ("newest", frame(Frame::Newest(Some(10 * S), 3))),
        ("newest_of_others", frame(Frame::NewestExcept(Some(10 * S), Except::CurrentRow, 3))),
        ("tumble", Windows::Group { size: 10 * S, slide: 10 * S, offset: 0 }),
        ("hop", Windows::Group { size: 10 * S, slide: 4 * S, offset: S }),
        ("cumulate", Windows::Cumulate { step: 2 * S, size: 10 * S }),
        ("session", Windows::Session { gap: 4 * S }),
        ("months", Windows::Months(1)),
        ("days", Windows::Days { zone: "Europe/Paris" }),
        ("count", Windows::Count(3)),
    ]
}

type Form = (&'static str, usize, &'static [usize], &'static [f64]);

fn of((name, column, more, constants): Form) -> Call {
    Call { more, constants, ..plain(name, Some(column), 0) }
}

const LISTS: [Form; 9] = [
    ("first_n", TEXT, &[], &[2.0]),
    ("last_n", I, &[], &[3.0]),
    ("last_distinct_n", TEXT, &[], &[2.0]),
    ("array_agg", F, &[], &[]),
    ("nth_value", TEXT, &[], &[2.0]),
    ("nth_value", I, &[], &[-1.0]),
    ("string_agg", T, &[], &[]),
    ("arg_min", TEXT, &[F], &[]),
    ("arg_max", I, &[D], &[]),
];
const RANKS: [Form; 10] = [
    ("median", F, &[], &[]),
    ("median", D, &[], &[]),
    ("percentile_cont", F, &[], &[0.9]),
    ("percentile_cont", J, &[], &[0.25]),
    ("percentile_disc", I, &[], &[0.3]),
    ("percentile_disc", TEXT, &[], &[0.5]),
    ("mode", J, &[], &[]),
    ("mode", TEXT, &[], &[]),
    ("bool_and", B, &[], &[]),
    ("bool_or", B, &[], &[]),
];
const BITS: [Form; 7] = [
    ("bit_and", I, &[], &[]),
    ("bit_or", J, &[], &[]),
    ("bit_xor", I, &[], &[]),
    ("approx_distinct", SEQ, &[], &[]),
    ("approx_percentile_cont", F, &[], &[0.9]),
    ("approx_median", I, &[], &[]),
    ("approx_top_k", TEXT, &[], &[2.0]),
];
const PAIRS: [Form; 14] = [
    ("covar_pop", F, &[J], &[]),
    ("covar_samp", J, &[F], &[]),
    ("corr", J, &[SEQ], &[]),
    ("regr_slope", J, &[F], &[]),
    ("regr_intercept", F, &[J], &[]),
    ("regr_count", F, &[J], &[]),
    ("regr_r2", F, &[J], &[]),
    ("regr_avgx", F, &[J], &[]),
    ("regr_avgy", F, &[J], &[]),
    ("regr_sxx", J, &[F], &[]),
    ("regr_syy", J, &[F], &[]),
    ("regr_sxy", J, &[F], &[]),
    ("skewness", J, &[], &[]),
    ("kurtosis", F, &[], &[]),
];
const CATEGORIES: [Form; 11] = [
    ("count_cate", I, &[TEXT], &[]),
    ("sum_cate", I, &[TEXT], &[]),
    ("sum_cate", F, &[B], &[]),
    ("avg_cate", D, &[J], &[]),
    ("min_cate", F, &[TEXT], &[]),
    ("max_cate", TEXT, &[SEQ], &[]),
    ("top_n_key_count_cate", I, &[TEXT], &[2.0]),
    ("top_n_key_sum_cate", J, &[TEXT], &[2.0]),
    ("top_n_key_avg_cate", J, &[SEQ], &[1.0]),
    ("top_n_key_min_cate", TEXT, &[J], &[3.0]),
    ("top_n_key_max_cate", F, &[SEQ], &[2.0]),
];
const BAGS: [Form; 6] = [
    ("topn_frequency", TEXT, &[], &[2.0]),
    ("top", F, &[], &[3.0]),
    ("top1_ratio", J, &[], &[]),
    ("entropy", TEXT, &[], &[]),
    ("histogram", F, &[], &[-10.0, 0.0, 10.5]),
    ("histogram", J, &[], &[0.0]),
];
const TRENDS: [Form; 5] = [
    ("ew_avg", J, &[], &[0.25]),
    ("ew_avg_time", F, &[], &[60.0]),
    ("drawdown", F, &[], &[]),
    ("delta", F, &[], &[]),
    ("slope", J, &[], &[]),
];

/// The calls of a family.
fn families() -> Vec<(&'static str, Vec<Call>)> {
    let calls = |forms: &[Form]| forms.iter().copied().map(of).collect::<Vec<_>>();
    let mut lists = calls(&LISTS);
    lists.push(Call { distinct: true, ..plain("array_agg", Some(J), 0) });
    lists.push(Call { ignore_nulls: true, ..of(("last_n", F, &[], &[2.0])) });
    let mut ranks = calls(&RANKS);
    ranks.push(Call { distinct: true, ..plain("median", Some(J), 0) });
    let mut trends = calls(&TRENDS);
    trends.push(plain("time_since_last", None, 0));
    vec![
        ("lists", lists),
        ("ranks", ranks),
        ("bits", calls(&BITS)),
        ("pairs", calls(&PAIRS)),
        ("categories", calls(&CATEGORIES)),
        ("bags", calls(&BAGS)),
        ("trends", trends),
    ]
}

pub fn shapes() -> Vec<Shape> {
    let mut all = Vec::new();
    for (kind, windows) in kinds() {
        for (family, calls) in families() {
            let model = Model { keys: vec![K], calls, windows: windows.clone(), condition: None };
            // Stock SQL has neither these aggregates nor, mostly, these windows.
            let shape = Shape::structured(&format!("{kind}_of_{family}"), model);
            all.push(Shape { in_stock: false, ..shape });
        }
    }
    all
}
