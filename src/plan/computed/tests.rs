//! Computed columns over stored columns, in any order of declaration.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::{compile_computed, infer};
use crate::catalog::source::{ColumnDef, ColumnKind, SourceDef};
use crate::error::Result;
use crate::model::batch::timestamp_type;
use crate::plan::fixture::{ROWS, admitted, floats, longs, transactions};
use crate::sql::parser::parse_expr;

fn with(columns: &[(&str, DataType, &str)]) -> SourceDef {
    let mut source = transactions();
    for (name, data_type, expression) in columns {
        source.columns.insert(
            0,
            ColumnDef {
                name: (*name).to_owned(),
                data_type: data_type.clone(),
                nullable: true,
                kind: ColumnKind::Computed((*expression).to_owned()),
            },
        );
    }
    source
}

fn stored(source: &SourceDef) -> RecordBatch {
    let all = admitted(vec![
        ("amount", floats([Some(1500.0), Some(2.0), None, Some(1000.5)])),
        ("txn_id", longs([Some(1), Some(i64::MAX), None, Some(4)])),
    ]);
    let names = source.stored_schema();
    let indices: Vec<usize> =
        names.fields().iter().map(|f| all.schema().index_of(f.name()).unwrap()).collect();
    all.project(&indices).unwrap()
}

#[test]
fn computed_columns_may_use_each_other_and_fail_row_by_row() {
    let source = with(&[
        ("is_big", DataType::Boolean, "amount > 1000"),
        ("next", DataType::Int64, "txn_id + 1"),
        ("after", DataType::Int64, "CASE WHEN is_big THEN next * 10 END"),
    ]);
    let computed = compile_computed(&source).unwrap().unwrap();
    let batch = computed.projection.evaluate(&stored(&source)).unwrap();
    assert_eq!(batch.schema(), source.schema());
    assert_eq!(batch.num_rows(), ROWS);
    let after: Vec<_> = batch.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(after, [Some(20), None, None, Some(50)]);
    let next = batch.column_by_name("next").unwrap();
    assert_eq!((next.is_null(1), next.is_null(0)), (true, false));
    assert!(computed.errors.get() > 0);
}

#[test]
fn a_source_without_computed_columns_needs_nothing() {
    assert!(compile_computed(&transactions()).unwrap().is_none());
}

#[test]
fn computed_columns_in_a_circle_are_refused() {
    let source = with(&[("a", DataType::Int64, "b + 1"), ("b", DataType::Int64, "a + 1")]);
    let error = compile_computed(&source).unwrap_err();
    assert!(
        error.message().contains("computed columns of transactions depend on each other: "),
        "{error}"
    );
}

fn inferred(text: &str) -> Result<(DataType, bool)> {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("amount", DataType::Float64, true),
        Field::new("at", timestamp_type(), false),
    ]);
    infer(&parse_expr(text).unwrap(), &schema)
}

#[test]
fn types_and_nullability_are_inferred() {
    assert_eq!(inferred("amount > 1000").unwrap(), (DataType::Boolean, true));
    assert_eq!(inferred("id IS NULL").unwrap(), (DataType::Boolean, false));
    assert_eq!(inferred("id + 1").unwrap(), (DataType::Int64, true), "it can overflow");
    assert_eq!(inferred("date_trunc('day', at)").unwrap().0, timestamp_type());
    assert_eq!(inferred("CAST(id AS VARCHAR)").unwrap(), (DataType::Utf8, false));
    assert_eq!(inferred("upper('x')").unwrap().0, DataType::Utf8);
}

#[test]
fn expressions_over_other_rows_or_the_clock_are_refused() {
    for (text, expected) in [
        ("SUM(amount)", "not supported: SUM in a computed column: it sees one row only"),
        (
            "now()",
            "not supported: now in a computed column: its value changes with the time of \
             evaluation",
        ),
        ("(SELECT 1)", "not supported: a sub-query in a computed column"),
        ("amuont", "no such column: amuont"),
        ("uper('x')", "no such function: uper"),
        (
            "row_number() OVER ()",
            "not supported: ROW_NUMBER in a computed column: it sees one row only",
        ),
    ] {
        assert_eq!(inferred(text).unwrap_err().message(), expected);
    }
}

#[test]
fn metadata_columns_can_be_used() {
    let mut source = with(&[("part2", DataType::Int64, "part + 1")]);
    source.columns.push(ColumnDef {
        name: "part".to_owned(),
        data_type: DataType::Int32,
        nullable: false,
        kind: ColumnKind::Metadata(crate::catalog::source::MetadataField::Partition),
    });
    assert!(compile_computed(&source).unwrap().is_some());
    let _ = Arc::new(source);
}
