//! Rows come back exactly once, whatever step the process dies at.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::SessionContext;

use super::*;
use crate::model::batch::timestamp_type;
use crate::model::time::DAY_US;
use crate::offline::faulty::{Death, Fuse};
use crate::offline::{archive, reader};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("event_time", timestamp_type(), true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn rows(values: &[(i64, Option<i64>)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter(values.iter().map(|v| v.1));
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(values.iter().map(|v| v.0))),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values(values.iter().map(|v| format!("n{}", v.0)))),
        ],
    )
    .unwrap()
}

fn writer(location: &Location) -> DatedWriter {
    DatedWriter::new(DatedSpec {
        location: location.clone(),
        schema: schema(),
        day: DayOf::columns(&schema(), &["event_time"], false).unwrap(),
        writer: "l00".to_owned(),
        metadata: vec![("who".to_owned(), "test".to_owned())],
    })
}

/// The ids a plain reader sees, sorted.
async fn ids(location: &Location) -> Vec<i64> {
    let context = SessionContext::new();
    reader::register(&context, "t", location, schema()).await.unwrap();
    let query = context.sql("SELECT id FROM t ORDER BY id").await.unwrap();
    let batches = query.collect().await.unwrap();
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[tokio::test]
async fn rows_go_to_their_day_and_appear_only_when_published() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::at_path(&folder.path().join("a b%/v1")).unwrap();
    let stores = Stores::default();
    let mut writer = writer(&location);
    writer.write(&rows(&[(1, Some(0)), (2, Some(DAY_US)), (3, Some(-1)), (4, None)])).unwrap();
    writer.write(&rows(&[(5, Some(1))])).unwrap();
    assert_eq!((writer.rows(), writer.save(false).1.len()), (5, 5));
    assert!(writer.bytes() > 0);
    let prepared = writer.prepare(Epoch(7)).await.unwrap();
    assert_eq!((writer.rows(), writer.bytes()), (0, 0));
    assert_eq!(ids(&location).await, [0i64; 0]);
    publish(&stores, &prepared).await.unwrap();
    publish(&stores, &prepared).await.unwrap();
    assert_eq!(ids(&location).await, [1, 2, 3, 4, 5]);
    let paths: Vec<_> =
        reader::files(&location).await.unwrap().into_iter().map(|f| f.path).collect();
    assert_eq!(
        paths,
        [
            "date=1969-12-31/part-0000000007-l00-1.parquet",
            "date=1970-01-01/part-0000000007-l00-2.parquet",
            "date=1970-01-02/part-0000000007-l00-3.parquet",
            "date=__HIVE_DEFAULT_PARTITION__/part-0000000007-l00-0.parquet",
        ]
    );
    // A reader gets the declared types, and exactly the declared columns.
    let context = SessionContext::new();
    reader::register(&context, "T x", &location, schema()).await.unwrap();
    let query = context.sql("SELECT * FROM \"T x\" WHERE name = 'n4'").await.unwrap();
    let batches = query.collect().await.unwrap();
    let found: Vec<_> = batches.iter().filter(|batch| batch.num_rows() > 0).collect();
    assert_eq!((found.len(), found[0].num_rows()), (1, 1));
    assert_eq!(found[0].schema().fields(), schema().fields());
    let footer = archive::read_metadata(&location, &paths[0]).await.unwrap();
    assert_eq!(footer, [("who".to_owned(), "test".to_owned())]);
}

#[tokio::test]
async fn what_was_prepared_and_not_committed_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::at_path(folder.path()).unwrap();
    let mut writer = writer(&location);
    writer.write(&rows(&[(1, Some(0))])).unwrap();
    let committed = writer.prepare(Epoch(1)).await.unwrap();
    writer.write(&rows(&[(2, Some(0))])).unwrap();
    writer.stage(Epoch(2)).await.unwrap();
    writer.write(&rows(&[(3, Some(0))])).unwrap();
    let early = writer.take_staged();
    assert_eq!((early.len(), writer.rows()), (1, 1));
    assert_eq!(abort_after(&location, Epoch(1), 1).await.unwrap(), 1);
    publish(&Stores::default(), &committed).await.unwrap();
    assert_eq!(ids(&location).await, [1]);
    assert!(!any_published(&Stores::default(), &early).await.unwrap());
    let error = publish(&Stores::default(), &early).await.unwrap_err();
    assert!(error.message().contains("is gone"), "{error}");
}

#[tokio::test]
async fn dying_at_any_step_and_recovering_gives_each_row_once() {
    for death in [Death::Before, Death::Halfway, Death::After] {
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let location = Location::at_path(folder.path()).unwrap();
            let fuse = Fuse::new(at, death);
            let dying = fuse.wrap(location.clone());
            let stores = Stores::default();
            stores.insert(dying.clone());
            let all = rows(&[(1, Some(0)), (2, Some(DAY_US)), (3, Some(0))]);
            let mut first = writer(&dying);
            first.write(&all).unwrap();
            let prepared = first.prepare(Epoch(1)).await;
            if let Ok(prepared) = &prepared {
                let _ = publish(&stores, prepared).await;
            }
            // Recovery, with dying no more: committed iff prepare was done (the manifest).
            let stores = Stores::default();
            if let Ok(prepared) = &prepared {
                publish(&stores, prepared).await.unwrap();
            } else {
                abort_after(&location, Epoch(0), 1).await.unwrap();
                let mut again = writer(&location);
                again.write(&all).unwrap();
                publish(&stores, &again.prepare(Epoch(1)).await.unwrap()).await.unwrap();
            }
            assert_eq!(ids(&location).await, [1, 2, 3], "{death:?} at {at}");
            if !fuse.blown() {
                assert!(at >= 4, "two files are put and renamed");
                break;
            }
        }
    }
}
