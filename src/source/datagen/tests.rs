//! Tests of the generator: determinism, shapes, admission of what it makes.

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimestampMicrosecondType};

use super::named::CATEGORIES;
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

/// A stream of Nexmark with all of its columns.
fn nexmark(generator: Generator, rows: u64) -> SourceDef {
    let mut def = definition(4 * SECOND_US, 0);
    let column = |field: &&str| ColumnDef {
        name: (*field).to_owned(),
        data_type: Generator::data_type(field),
        nullable: true,
        kind: ColumnKind::Physical,
    };
    def.columns = generator.fields().iter().map(column).collect();
    def.watermark.column = "date_time".to_owned();
    def.options.connector = Connector::Datagen;
    def.options.generator = generator;
    def.options.datagen_rows = Some(rows);
    def
}

fn numbers(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch[column].as_primitive::<Int64Type>().values().to_vec()
}

fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch[column].as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

/// How many of a thousand.
fn share(of: impl Iterator<Item = bool>, count: usize) -> usize {
    of.filter(|is| *is).count() * 1_000 / count
}

#[test]
fn the_streams_of_nexmark_have_its_proportions() {
    for generator in Generator::NEXMARK {
        check_source(&mut DatagenSource::new(&nexmark(generator, 500)).unwrap(), 500);
    }
    let make = |generator: Generator, rows: u64| {
        DatagenSource::new(&nexmark(generator, rows)).unwrap().generate(0, rows).unwrap()
    };
    // 100,000 events are ten seconds.
    let persons = make(Generator::NexmarkPerson, 2_000);
    let auctions = make(Generator::NexmarkAuction, 6_000);
    let bids = make(Generator::NexmarkBid, 92_000);
    for (batch, column) in [(&persons, "id"), (&auctions, "id")] {
        let expected: Vec<i64> = (1_000..1_000 + batch.num_rows() as i64).collect();
        assert_eq!(numbers(batch, column), expected);
    }
    for batch in [&persons, &auctions, &bids] {
        let (rows, times) = (batch.num_rows(), times(batch, "date_time"));
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(*first < START_US && *first > START_US - 3 * SECOND_US, "{first}");
        assert!((START_US + 9_990_000..START_US + 10 * SECOND_US).contains(last), "{last}");
        let back = share(times.windows(2).map(|pair| pair[1] < pair[0]), rows);
        assert!((70..130).contains(&back), "{back}");
    }
    let hot = |ids: &[i64], place: i64| share(ids.iter().map(|id| id % 100 == place), ids.len());
    let (auction, bidder) = (numbers(&bids, "auction"), numbers(&bids, "bidder"));
    assert!((490..530).contains(&hot(&auction, 0)), "{}", hot(&auction, 0));
    assert!((740..780).contains(&hot(&bidder, 1)), "{}", hot(&bidder, 1));
    let seller = numbers(&auctions, "seller");
    assert!((730..790).contains(&hot(&seller, 0)), "{}", hot(&seller, 0));
    assert!(seller.iter().all(|id| (1_000..3_010).contains(id)));
    assert!(auction.iter().all(|id| (1_000..7_010).contains(id)));
    let expires = times(&auctions, "expires").into_iter().zip(times(&auctions, "date_time"));
    let lengths: Vec<i64> = expires.map(|(expires, begins)| expires - begins).collect();
    assert!(lengths.iter().all(|length| (1..=333_400).contains(length)));
    // A sixth of the prices for each power of ten.
    let price = numbers(&bids, "price");
    for power in 2..8 {
        let from = 10i64.pow(power);
        let within = share(price.iter().map(|p| (from..10 * from).contains(p)), price.len());
        assert!((155..180).contains(&within), "10^{power}: {within}");
    }
    let channel = bids["channel"].as_string::<i32>();
    let big = channel.iter().flatten().map(|name| !name.starts_with("channel-"));
    assert!((490..510).contains(&share(big, channel.len())));
}

#[test]
fn bids_at_a_rate_take_that_long_and_show_only_the_columns_declared() {
    let mut def = nexmark(Generator::NexmarkBid, 920);
    def.options.datagen_rate = Some(46);
    let all = DatagenSource::new(&def).unwrap().generate(0, 920).unwrap();
    let last = times(&all, "date_time").into_iter().max().unwrap();
    assert!((START_US + 19 * SECOND_US..START_US + 20 * SECOND_US).contains(&last), "{last}");
    def.columns.retain(|column| ["price", "date_time"].contains(&column.name.as_str()));
    def.columns.reverse();
    let few = DatagenSource::new(&def).unwrap().generate(0, 920).unwrap();
    assert_eq!(few.num_columns(), 2);
    for column in ["price", "date_time"] {
        assert_eq!(few[column].as_ref(), all[column].as_ref());
    }
}
