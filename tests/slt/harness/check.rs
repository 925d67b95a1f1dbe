//! Final rows against an oracle's rows: types, then raw bits as multisets. The engine's rows are
//! taken as they are; only the oracle's floats are made canonical (semantics §3). Called by `run`
//! and the random trials.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use skewless::plan::dataflow::FeaturePlan;
use skewless::runtime::lane::LaneGroup;

use super::value::{Val, difference, multiset, rows};

/// One text type and one timestamp type: what the contract distinguishes.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Timestamp(_, None) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        other => other.clone(),
    }
}

/// Column types of the oracle and of the engine, in order.
pub fn same_types(oracle: &Schema, ours: &Schema) -> Result<(), String> {
    let types = |s: &Schema| -> Vec<DataType> {
        s.fields().iter().map(|f| plain_type(f.data_type())).collect()
    };
    let (expected, actual) = (types(oracle), types(ours));
    match expected == actual {
        true => Ok(()),
        false => Err(format!("column types\n  oracle   {expected:?}\n  skewless {actual:?}")),
    }
}

/// An oracle's rows as sorted texts.
pub fn canonical(rows: Vec<Vec<Val>>) -> Vec<String> {
    let canonical = |row: Vec<Val>| row.into_iter().map(Val::canonical).collect();
    multiset(&rows.into_iter().map(canonical).collect::<Vec<_>>())
}

/// Final rows against the oracle's sorted texts.
pub fn same_rows(name: &str, expected: &[String], finals: &[RecordBatch]) -> Result<(), String> {
    match difference((name, "skewless"), expected, &multiset(&rows(finals)), 4) {
        Some(text) => Err(text),
        None => Ok(()),
    }
}

/// State groups of plans over one source as lanes see them; features are numbered as given.
pub fn lane_groups(
    plans: &[&FeaturePlan],
    partitioned_by: &[String],
) -> skewless::error::Result<Arc<Vec<LaneGroup>>> {
    let groups = skewless::plan::share::merge(plans.iter().map(|p| (*p).clone()).collect())?;
    let place = |name: &str| plans.iter().position(|p| p.feature == name).unwrap();
    let groups = groups.into_iter().map(|group| {
        let features = group.members.iter().map(|m| Some(place(&m.plan.feature)));
        let features: Vec<Option<usize>> = features.collect();
        let queries = vec![String::new(); features.len()];
        let keys = &group.members[0].plan.key_columns;
        let by_partition =
            !partitioned_by.is_empty() && partitioned_by.iter().all(|c| keys.contains(c));
        let online = vec![false; features.len()];
        let follow = skewless::operator::follow::Follow::default();
        LaneGroup { source: 0, by_partition, group, features, queries, online, follow }
    });
    Ok(Arc::new(groups.collect()))
}
