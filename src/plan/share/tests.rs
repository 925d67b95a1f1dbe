//! Merged features give the rows they give alone.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, SchemaRef};

use super::{StateGroup, merge};
use crate::plan::assemble::result_schema;
use crate::plan::dataflow::{FeaturePlan, WindowSpec};
use crate::plan::fixture::plan;

const A: &str = "SELECT user_id, AVG(amount) OVER w AS a, amount - MAX(amount) OVER w AS b, \
                 COUNT(*) OVER v AS c FROM transactions WHERE amount > 0 \
                 WINDOW w AS (PARTITION BY user_id ORDER BY event_time \
                 RANGE INTERVAL '1' HOUR PRECEDING), \
                 v AS (PARTITION BY user_id ORDER BY event_time, txn_id ROWS 3 PRECEDING)";
const B: &str = "SELECT user_id, SUM(txn_id) OVER v AS s, MAX(amount) OVER w AS m, txn_id AS t, \
                 COUNT(*) OVER v AS n FROM transactions WHERE amount > 0 \
                 WINDOW w AS (PARTITION BY user_id ORDER BY event_time \
                 RANGE INTERVAL '1' HOUR PRECEDING), \
                 v AS (PARTITION BY user_id ORDER BY event_time, txn_id ROWS 3 PRECEDING)";

fn group(sqls: &[&str]) -> Vec<StateGroup> {
    merge(sqls.iter().map(|sql| plan(sql).unwrap()).collect()).unwrap()
}

/// A result batch whose cell in a column says which slot or value it is, whatever the layout.
fn result(window: &WindowSpec, text: &dyn Fn(&str) -> f64) -> RecordBatch {
    let schema: SchemaRef = result_schema(window);
    let columns = schema.fields().iter().map(|field| {
        let value = text(field.name());
        let array: ArrayRef = match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from(vec![value as i64])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![value])),
            _ => Arc::new(TimestampMicrosecondArray::from(vec![value as i64]).with_timezone("UTC")),
        };
        array
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// The number standing for a column: the same for the same thing in every layout.
fn number(slots: &[String], values: &[String], name: &str) -> f64 {
    let text = match name.split_at(1) {
        ("a", index) => &slots[index.parse::<usize>().unwrap()],
        ("v", index) => &values[index.parse::<usize>().unwrap()],
        _ => name,
    };
    (xxhash_rust::xxh3::xxh3_64(text.as_bytes()) % 1_000) as f64
}

/// Texts of the slots and values of a merged group, by the expressions behind them.
fn texts(group: &StateGroup, plans: &[FeaturePlan]) -> (Vec<String>, Vec<String>) {
    let fixed = group.window.key_types().len() + 3;
    let values: Vec<String> = group.preparation.projection.expressions[fixed..]
        .iter()
        .map(|expression| {
            let of = |plan: &FeaturePlan| {
                let own = &plan.preparation.projection.expressions[fixed..];
                let at = own.iter().position(|other| other == expression)?;
                Some(plan.description.values[at].clone())
            };
            plans.iter().find_map(of).unwrap()
        })
        .collect();
    let WindowSpec::Trailing(spec) = &group.window else { panic!("trailing") };
    let slots = spec
        .slots
        .iter()
        .map(|slot| {
            let argument = slot.aggregate.argument.map_or("*", |at| values[at].as_str());
            format!("{:?} {argument} {:?}", slot.aggregate.kind, spec.frames[slot.frame].extent)
        })
        .collect();
    (slots, values)
}

#[test]
fn equal_columns_frames_and_slots_are_kept_once() {
    let groups = group(&[A, B]);
    assert_eq!(groups.len(), 1);
    let WindowSpec::Trailing(spec) = &groups[0].window else { panic!("trailing") };
    assert_eq!(spec.value_types, [DataType::Float64, DataType::Int64], "amount, txn_id");
    assert_eq!(spec.frames.len(), 2);
    assert_eq!(spec.slots.len(), 4, "AVG, MAX and COUNT (shared), SUM");
    assert_eq!(spec.carried, [0, 1]);
    assert_eq!(spec.frames[1].ties[0].column, 1, "the tie-breaker moved with its column");
}

#[test]
fn outputs_of_a_merged_group_are_those_of_each_feature_alone() {
    let plans = [plan(A).unwrap(), plan(B).unwrap()];
    let merged = merge(plans.to_vec()).unwrap().remove(0);
    let (slots, values) = texts(&merged, &plans);
    let together = result(&merged.window, &|name| number(&slots, &values, name));
    for (member, own) in merged.members.iter().zip(&plans) {
        let alone = StateGroup::of(own.clone());
        let (slots, values) = texts(&alone, &plans);
        let single = result(&alone.window, &|name| number(&slots, &values, name));
        assert_eq!(
            member.output.evaluate(&together).unwrap(),
            own.output.evaluate(&single).unwrap()
        );
    }
}

#[test]
fn merging_does_not_depend_on_how_often_a_feature_comes() {
    let groups = group(&[A, B, A]);
    let WindowSpec::Trailing(spec) = &groups[0].window else { panic!("trailing") };
    assert_eq!((spec.slots.len(), groups[0].members.len()), (4, 3));
}

#[test]
fn features_that_disagree_about_the_newest_row_do_not_share() {
    let over = |what: &str, order: &str, frame: &str| {
        format!(
            "SELECT user_id, {what} OVER (PARTITION BY user_id ORDER BY event_time{order} \
             {frame}) AS x FROM transactions WHERE amount > 0"
        )
    };
    let range = "RANGE INTERVAL '1' HOUR PRECEDING";
    let sizes =
        |sqls: &[&str]| group(sqls).iter().map(|group| group.members.len()).collect::<Vec<_>>();
    let last = over("amount - MAX(amount)", "", range);
    let count = over("COUNT(*)", "", range);
    let tied = over("COUNT(*)", ", txn_id", "ROWS 3 PRECEDING");
    let other = over("SUM(amount)", ", txn_id DESC", "ROWS 3 PRECEDING");
    // COUNT over a time asks for no row in particular.
    assert_eq!(sizes(&[&tied, &last, &count, &other]), [2, 1, 1]);
    assert_eq!(sizes(&[&last, &count, &tied]), [2, 1]);
}

#[test]
fn other_rows_or_another_grid_are_another_group() {
    let other_filter = A.replace("amount > 0", "amount > 1");
    let tumble = |size: &str| {
        format!(
            "SELECT user_id, COUNT(*) AS n FROM TUMBLE(transactions, event_time, \
             INTERVAL '{size}') \
             WHERE amount > 0 GROUP BY user_id, window_start, window_end"
        )
    };
    let sum = tumble("1 hour").replace("COUNT(*)", "SUM(amount)");
    let groups = group(&[A, &other_filter, &tumble("1 hour"), &tumble("2 hours"), &sum]);
    assert_eq!(groups.iter().map(|g| g.members.len()).collect::<Vec<_>>(), [1, 1, 2, 1]);
    let WindowSpec::Group(spec) = &groups[2].window else { panic!("group") };
    assert_eq!(spec.slots.len(), 2);
}
