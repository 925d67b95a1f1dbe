//! Output appears whole, is read back equal, and replaces only what it may.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]))
}

/// A stream of two batches (none if `count` is 0), then perhaps an error.
fn stream(from: i64, count: i64, fails: bool) -> SendableRecordBatchStream {
    let batch = |values: Vec<i64>| {
        RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(values))])
            .map_err(datafusion::error::DataFusionError::from)
    };
    let half = count / 2;
    let mut items = Vec::new();
    if count > 0 {
        items.push(batch((from..from + half).collect()));
        items.push(batch((from + half..from + count).collect()));
    }
    if fails {
        items.push(Err(Error::data("the input broke").into()));
    }
    Box::pin(RecordBatchStreamAdapter::new(schema(), futures::stream::iter(items)))
}

async fn values(path: &str) -> Vec<i64> {
    use arrow::array::AsArray;
    let context = SessionContext::new();
    let frame = context.read_parquet(path, ParquetReadOptions::default()).await.unwrap();
    let batches = frame.collect().await.unwrap();
    let column =
        |b: &RecordBatch| b.column(0).as_primitive::<arrow::datatypes::Int64Type>().clone();
    batches.iter().flat_map(|b| column(b).values().to_vec()).collect()
}

fn names(folder: &FsPath) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_directory_has_a_part_per_stream_with_rows() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/out");
    let target = OutputTarget::open(out.to_str().unwrap(), false).await.unwrap();
    let streams = vec![stream(0, 10, false), stream(0, 0, false), stream(10, 5, false)];
    let summary = target.write(schema(), streams, &Vec::new()).await.unwrap();
    assert_eq!((summary.rows, summary.files), (15, 2));
    assert_eq!(names(&out), ["part-00000.parquet", "part-00002.parquet"]);
    assert_eq!(names(&folder.path().join("deep")), ["out"]);
    let mut read = values(out.to_str().unwrap()).await;
    read.sort_unstable();
    assert_eq!(read, (0..15).collect::<Vec<_>>());
    let sizes = names(&out).iter().map(|n| out.join(n).metadata().unwrap().len()).sum::<u64>();
    assert_eq!(summary.bytes, sizes);
}

#[tokio::test]
async fn a_single_file_keeps_the_order_of_its_stream() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.parquet");
    let target = OutputTarget::open(out.to_str().unwrap(), false).await.unwrap();
    let summary = target.write(schema(), vec![stream(0, 100, false)], &Vec::new()).await.unwrap();
    assert_eq!((summary.rows, summary.files), (100, 1));
    assert_eq!(values(out.to_str().unwrap()).await, (0..100).collect::<Vec<_>>());
    // Several streams are merged; none is lost.
    let target = OutputTarget::open(out.to_str().unwrap(), true).await.unwrap();
    let streams = (0..4).map(|i| stream(i * 10, 10, false)).collect();
    target.write(schema(), streams, &Vec::new()).await.unwrap();
    let mut read = values(out.to_str().unwrap()).await;
    read.sort_unstable();
    assert_eq!(read, (0..40).collect::<Vec<_>>());
    let error = OutputTarget::open(out.to_str().unwrap(), false).await.unwrap_err();
    assert!(error.to_string().contains("--overwrite"), "{error}");
    assert_eq!(names(folder.path()), ["out.parquet"]);
}

#[tokio::test]
async fn a_failing_stream_leaves_nothing_and_the_old_output_in_place() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out", "out.parquet"] {
        let out = folder.path().join(name);
        let url = out.to_str().unwrap();
        let target = OutputTarget::open(url, true).await.unwrap();
        target.write(schema(), vec![stream(0, 4, false)], &Vec::new()).await.unwrap();
        let streams = vec![stream(9, 4, false), stream(20, 4, true)];
        let error = target.write(schema(), streams, &Vec::new()).await.unwrap_err();
        assert_eq!(error.message(), "the input broke");
        assert_eq!(values(url).await, [0, 1, 2, 3]);
    }
    assert_eq!(names(folder.path()), ["out", "out.parquet"]);
}

#[tokio::test]
async fn existing_output_is_replaced_only_when_told_and_foreign_files_never() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let url = out.to_str().unwrap();
    let target = OutputTarget::open(url, false).await.unwrap();
    target.write(schema(), vec![stream(0, 4, false)], &Vec::new()).await.unwrap();
    let error = OutputTarget::open(url, false).await.unwrap_err();
    assert!(error.to_string().contains("--overwrite"), "{error}");
    let target = OutputTarget::open(url, true).await.unwrap();
    target.write(schema(), vec![stream(7, 2, false)], &Vec::new()).await.unwrap();
    assert_eq!(values(url).await, [7, 8]);
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    let error = OutputTarget::open(url, true).await.unwrap_err();
    assert!(error.message().contains("notes.txt"), "{error}");
    let file = folder.path().join("x.parquet");
    std::fs::create_dir(&file).unwrap();
    assert!(OutputTarget::open(file.to_str().unwrap(), true).await.is_err());
}

#[tokio::test]
async fn no_rows_still_give_a_file_with_the_columns() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out", "out.parquet"] {
        let url = folder.path().join(name).to_str().unwrap().to_owned();
        let target = OutputTarget::open(&url, false).await.unwrap();
        let summary = target.write(schema(), vec![stream(0, 0, false)], &Vec::new()).await.unwrap();
        assert_eq!((summary.rows, summary.files), (0, 1));
        let context = SessionContext::new();
        let frame = context.read_parquet(&url, ParquetReadOptions::default()).await.unwrap();
        assert_eq!(frame.schema().fields().len(), 1);
    }
}

#[tokio::test]
async fn objects_are_replaced_and_the_other_old_ones_go() {
    let store = Arc::new(object_store::memory::InMemory::new());
    let prefix = object_store::path::Path::from("a/out");
    let location = Location::on_object_store(store, "s3://bucket", prefix);
    let mut target = OutputTarget { location, single: false, overwrite: false };
    let streams = vec![stream(0, 4, false), stream(4, 4, false)];
    assert_eq!(target.write(schema(), streams, &Vec::new()).await.unwrap().rows, 8);
    assert!(target.write(schema(), vec![stream(0, 4, false)], &Vec::new()).await.is_err());
    target.overwrite = true;
    let summary = target.write(schema(), vec![stream(0, 4, false)], &Vec::new()).await.unwrap();
    let listed = target.location.files().list("").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].path.as_str(), listed[0].bytes), ("part-00000.parquet", summary.bytes));
}
