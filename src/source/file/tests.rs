//! Tests of the file source: listing, order, replay, growth.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, Schema};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::catalog::source::ColumnKind;
use crate::model::batch::timestamp_type;
use crate::source::admit::Judgement;
use crate::source::admit::tests::source as definition;
use crate::source::conformance::{check_source, read_all};
use crate::source::intake::Intake;

fn open(path: &Path) -> Result<FileSource> {
    FileSource::open(path.to_string_lossy().into_owned(), Format::Json, None, 1_000)
}

fn parquet_file(path: &Path, ids: std::ops::Range<i64>) {
    let times: TimestampMicrosecondArray = ids.clone().map(Some).collect();
    let batch = RecordBatch::try_from_iter([
        ("extra", Arc::new(StringArray::from_iter_values(ids.clone().map(|i| i.to_string()))) as _),
        ("t", Arc::new(times.with_data_type(timestamp_type())) as _),
        ("id", Arc::new(Int64Array::from_iter_values(ids)) as _),
    ])
    .unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// ndjson, CSV and Parquet files below one directory; 60 rows in all.
fn mixed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let lines: String = (0..20).map(|i| format!("{{\"id\":{i},\"t\":{i}}}\n")).collect();
    std::fs::write(at("a.ndjson"), lines).unwrap();
    std::fs::create_dir(at("b")).unwrap();
    let rows: String = (20..40).map(|i| format!("{i},\"x\ny\",{i}\r\n")).collect();
    std::fs::write(at("b/part.csv"), format!("t,note,id\r\n{rows}")).unwrap();
    parquet_file(&at("c.parquet"), 40..60);
    std::fs::write(at("_SUCCESS"), "").unwrap();
    std::fs::write(at(".hidden.json"), "{}").unwrap();
    dir
}

#[test]
fn the_contract_holds_over_files_of_all_formats() {
    let dir = mixed();
    let mut source = open(dir.path()).unwrap();
    assert_eq!(source.files().len(), 3);
    check_source(&mut source, 60);
}

#[test]
fn rows_of_all_formats_are_admitted_in_order() {
    let dir = mixed();
    let mut def = definition(0, 0);
    def.options.connector = crate::catalog::source::Connector::File;
    def.options.path = Some(dir.path().to_string_lossy().into_owned());
    assert!(def.columns.iter().all(|c| c.kind == ColumnKind::Physical));
    let mut source = FileSource::new(&def).unwrap();
    let mut intake = Intake::new(Arc::new(def), Judgement::Stream, None).unwrap();
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    let mut out = Vec::new();
    let polled = source.poll(1_000, Duration::ZERO).unwrap();
    assert!(polled.end_of_input);
    for chunk in &polled.chunks {
        intake.take(chunk, &mut out).unwrap();
    }
    let column = |name: &str| -> Vec<i64> {
        out.iter()
            .flat_map(|a| a.rows[name].as_primitive::<Int64Type>().values().to_vec())
            .collect()
    };
    assert_eq!(column("id"), (0..60).collect::<Vec<_>>());
    assert_eq!(column("_offset"), (0..60).collect::<Vec<_>>());
    assert_eq!(intake.admission().counts().admitted, 60);
}

#[test]
fn a_glob_selects_and_a_missing_path_is_an_error() {
    let dir = mixed();
    let mut source = open(&dir.path().join("*.ndjson")).unwrap();
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    assert_eq!(read_all(&mut source, 100)[&0].len(), 20);
    let error = open(&dir.path().join("none.json")).err().unwrap();
    assert!(error.message().contains("there is no file at"), "{error}");
    assert!(open(&dir.path().join("*.nothing")).is_err());
    assert!(FileSource::open("ftp://x/y".to_owned(), Format::Json, None, 10).is_err());
}

#[test]
fn a_directory_grows_only_at_its_end() {
    let dir = mixed();
    let mut source = open(dir.path()).unwrap();
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    read_all(&mut source, 100);
    std::fs::write(dir.path().join("d.json"), "{\"id\":60}\n\n").unwrap();
    assert_eq!(source.ends().unwrap()[0].offset, 61);
    let more = source.poll(10, Duration::ZERO).unwrap();
    assert_eq!(more.chunks[0].records.offset(0), 60);
    std::fs::write(dir.path().join("aa.json"), "{}").unwrap();
    let error = source.ends().unwrap_err();
    assert!(error.message().contains("grow only at its end"), "{error}");
    assert!(error.message().contains("aa.json"), "{error}");
}

#[test]
fn a_position_beyond_the_files_is_an_error() {
    let dir = mixed();
    let mut source = open(dir.path()).unwrap();
    let error = source.seek(&[Position { partition: 0, offset: 61 }]).unwrap_err();
    assert!(error.message().contains("60 rows, but 61 were read"), "{error}");
}

#[test]
fn a_file_that_does_not_fit_is_named_with_its_column() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let text = RecordBatch::try_from_iter([
        ("id", Arc::new(StringArray::from(vec!["1"])) as _),
        ("t", Arc::new(StringArray::from(vec!["1"])) as _),
    ])
    .unwrap();
    let file = std::fs::File::create(&path).unwrap();
    let schema: Arc<Schema> = text.schema();
    let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
    writer.write(&text).unwrap();
    writer.close().unwrap();
    let mut source = open(&path).unwrap();
    source.seek(&[Position { partition: 0, offset: 0 }]).unwrap();
    let polled = source.poll(10, Duration::ZERO).unwrap();
    let mut def = definition(0, 0);
    def.options.connector = crate::catalog::source::Connector::File;
    let mut intake = Intake::new(Arc::new(def), Judgement::Stream, None).unwrap();
    let error = intake.take(&polled.chunks[0], &mut Vec::new()).unwrap_err();
    assert!(error.message().contains("x.parquet: column 'id' is Utf8"), "{error}");
}

#[test]
fn compressed_text_is_refused_and_an_empty_csv_has_no_header() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.json.gz"), "x").unwrap();
    let mut source = open(dir.path()).unwrap();
    assert!(source.ends().unwrap_err().message().contains("not supported yet"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.csv"), "").unwrap();
    let error = open(dir.path()).unwrap().ends().unwrap_err();
    assert!(error.message().contains("header line is missing"), "{error}");
}
