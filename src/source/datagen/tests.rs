//! Tests of the generator: determinism, shapes, admission of what it makes.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};

use super::*;
use crate::catalog::source::{ColumnDef, ColumnKind, Connector};
use crate::model::batch::timestamp_type;
use crate::source::admit::Judgement;
use crate::source::admit::tests::source as definition;
use crate::source::conformance::check_source;
use crate::source::intake::Intake;

fn cards(rows: u64) -> SourceDef {
    let mut def = definition(30 * SECOND_US, 0);
    let column = |name: &str, data_type: DataType, nullable: bool| ColumnDef {
        name: name.to_owned(),
        data_type,
        nullable,
        kind: ColumnKind::Physical,
    };
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
    def.columns = vec![
        column("txn_id", DataType::Int64, true),
        column("user_id", DataType::Int64, false),
        column("category", DataType::Utf8, true),
        column("amount", DataType::Float64, true),
        column("lat", DataType::Float64, true),
        column("t", timestamp_type(), false),
        column("money", DataType::Decimal128(5, 1), true),
        column("tags", list, true),
        column("day", DataType::Date32, false),
        column("raw", DataType::Binary, true),
        column("small", DataType::Int8, false),
        column("is_fraud", DataType::Boolean, true),
        column("device_id", DataType::Utf8, true),
    ];
    def.options.connector = Connector::Datagen;
    def.options.datagen_rows = Some(rows);
    def.options.datagen_seed = 7;
    def
}

#[test]
fn the_contract_holds_and_rows_depend_only_on_seed_and_number() {
    check_source(&mut DatagenSource::new(&cards(500)).unwrap(), 500);
    let mut one = DatagenSource::new(&cards(100)).unwrap();
    let mut two = DatagenSource::new(&cards(100)).unwrap();
    assert_eq!(one.generate(40, 10).unwrap(), two.generate(0, 100).unwrap().slice(40, 10));
    let mut other = cards(100);
    other.options.datagen_seed = 8;
    let mut other = DatagenSource::new(&other).unwrap();
    assert_ne!(one.generate(0, 10).unwrap(), other.generate(0, 10).unwrap());
}

#[test]
fn generated_rows_are_admitted_but_for_a_few_late_ones() {
    let def = Arc::new(cards(20_000));
    let mut source = DatagenSource::new(&def).unwrap();
    let mut intake = Intake::new(def, Judgement::Stream, None).unwrap();
    let mut out = Vec::new();
    let polled = source.poll(20_000, Duration::ZERO).unwrap();
    intake.take(&polled.chunks[0], &mut out).unwrap();
    let counts = out[0].counts;
    assert_eq!(counts.rejected() + counts.future, 0);
    assert!((5..60).contains(&counts.late), "{counts:?}");
    let rows = &out[0].rows;
    let amounts = rows["amount"].as_primitive::<Float64Type>();
    assert!(amounts.iter().flatten().all(|x| (0.01..3_000.0).contains(&x)));
    let below_30 = amounts.iter().flatten().filter(|x| *x < 30.0).count();
    assert!((8_000..12_000).contains(&below_30), "{below_30}");
    let users = rows["user_id"].as_primitive::<Int64Type>();
    let busy = users.iter().flatten().filter(|user| *user <= 100).count();
    assert!(busy > 2_000 && busy < 8_000, "{busy}");
    assert!(rows["category"].as_string::<i32>().iter().flatten().all(|c| CATEGORIES.contains(&c)));
}
