//! Tests of the producer against librdkafka's mock cluster.

use std::collections::BTreeMap;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::*;
use crate::catalog::source::{Format, SourceDef};
use crate::source::admit::tests::source as definition;
use crate::source::conformance::read_all;
use crate::source::file::FileSource;
use crate::source::kafka::KafkaSource;

fn options(servers: &str) -> ProduceOptions {
    ProduceOptions {
        topic: "out".to_owned(),
        key: Some("user".to_owned()),
        partitions: None,
        pace: Pace::Unlimited,
        event_time: None,
        properties: vec![("bootstrap.servers".to_owned(), servers.to_owned())],
    }
}

fn cluster(partitions: i32) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("out", partitions, 1).unwrap();
    cluster
}

fn read_back(servers: &str) -> BTreeMap<u32, Vec<(i64, Vec<u8>)>> {
    let mut def: SourceDef = definition(0, 0);
    def.options.topic = Some("out".to_owned());
    def.options.properties = options(servers).properties;
    let mut source = KafkaSource::new(&def, None).unwrap();
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    read_all(&mut source, 1_000)
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, FileSource) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_string_lossy().into_owned();
    let source = FileSource::open(path, Format::Json, None, 1 << 20).unwrap();
    (dir, source)
}

#[test]
fn lines_are_sent_as_they_are_and_equal_keys_share_a_partition() {
    let cluster = cluster(4);
    let servers = cluster.bootstrap_servers();
    let lines: Vec<String> = (0..100)
        .map(|n| format!("{{\"n\": {n}, \"user\":\"u{}\"}}", n % 10))
        .chain(["{broken".to_owned()])
        .collect();
    let (_dir, mut source) = file("x.ndjson", &lines.join("\n"));
    let produced = produce(&mut source, &options(&servers), |_| true).unwrap();
    assert_eq!(produced, Produced { rows: 101, errors: 0, first_error: None });
    let log = read_back(&servers);
    let mut back: Vec<String> = Vec::new();
    let mut homes: BTreeMap<String, u32> = BTreeMap::new();
    for (partition, records) in &log {
        for (_, raw) in records {
            let text = String::from_utf8(raw.clone()).unwrap();
            if let Some(user) = find_field(raw, "user") {
                let home = homes.entry(String::from_utf8(user).unwrap()).or_insert(*partition);
                assert_eq!(home, partition);
            }
            back.push(text);
        }
    }
    assert!(homes.values().collect::<std::collections::BTreeSet<_>>().len() > 1);
    back.sort();
    let mut lines = lines;
    lines.sort();
    assert_eq!(back, lines);
    // murmur2 of Kafka's Java client: "u0" … are where that client puts them.
    assert_eq!(homes["u1"], java_partition("u1", 4));
}

/// `toPositive(murmur2(key)) % partitions`, as in org.apache.kafka.common.utils.Utils.
fn java_partition(key: &str, partitions: u32) -> u32 {
    let (m, data) = (0x5bd1_e995u32, key.as_bytes());
    let mut h = 0x9747_b28cu32 ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(m);
        k = (k ^ (k >> 24)).wrapping_mul(m);
        h = h.wrapping_mul(m) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * at);
        }
        h = h.wrapping_mul(m);
    }
    h = (h ^ (h >> 13)).wrapping_mul(m);
    ((h ^ (h >> 15)) & 0x7fff_ffff) % partitions
}

#[test]
fn csv_rows_become_json_objects() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let (_dir, mut source) = file("x.csv", "id,zip,ok,user\n1,01234,true,\"7\"\n2.5,,x,8\n");
    produce(&mut source, &options(&servers), |_| true).unwrap();
    let log = read_back(&servers);
    let texts: Vec<_> =
        log[&0].iter().map(|(_, raw)| String::from_utf8(raw.clone()).unwrap()).collect();
    assert_eq!(
        texts,
        [
            r#"{"id":1,"zip":"01234","ok":true,"user":"7"}"#,
            r#"{"id":2.5,"zip":null,"ok":"x","user":8}"#,
        ]
    );
}

#[test]
fn sending_stops_when_the_caller_says_so_and_delivers_what_was_taken() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let (_dir, mut source) = file("x.json", &"{}\n".repeat(20_000));
    let produced = produce(&mut source, &options(&servers), |_| false).unwrap();
    assert_eq!(produced.rows, BATCH_ROWS as u64);
    assert_eq!(read_back(&servers)[&0].len(), BATCH_ROWS);
}

#[test]
fn another_partition_count_than_the_topic_has_is_refused() {
    let (_dir, mut source) = file("x.json", "{}\n");
    let cluster = cluster(2);
    let servers = cluster.bootstrap_servers();
    let three = ProduceOptions { partitions: Some(3), ..options(&servers) };
    let error = produce(&mut source, &three, |_| true).unwrap_err();
    assert!(error.message().contains("has 2 partitions, not 3"), "{error}");
}

#[test]
fn event_times_are_read_in_any_unit() {
    let expected = Some(EventTime(1_700_000_000_000_000));
    for text in ["2023-11-14T22:13:20Z", "1700000000", "1700000000000", "1700000000000000"] {
        assert_eq!(event_time(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(event_time(b"soon"), None);
}
