//! Tests of the Kafka source against librdkafka's mock cluster.

use std::sync::{Arc, Mutex};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaRespErr;

use super::*;
use crate::model::time::EventTime;
use crate::source::admit::tests::source as definition;
use crate::source::conformance::{check_source, read_all};

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", partitions, 1).unwrap();
    cluster
}

fn source_def(servers: &str) -> SourceDef {
    let mut def = definition(0, 0);
    def.options.topic = Some("events".to_owned());
    def.options.properties = vec![("bootstrap.servers".to_owned(), servers.to_owned())];
    def
}

fn open(cluster: &Cluster) -> KafkaSource {
    KafkaSource::new(&source_def(&cluster.bootstrap_servers()), None).unwrap()
}

fn send(cluster: &Cluster, partition: i32, count: i64) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for n in 0..count {
        let (payload, key) = (format!("{{\"id\":{n}}}"), format!("k{n}"));
        let record =
            BaseRecord::to("events").partition(partition).payload(&payload).key(&key).timestamp(n);
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

#[test]
fn the_contract_holds_over_several_partitions() {
    let cluster = cluster(3);
    for (partition, count) in [(0, 25), (2, 10)] {
        send(&cluster, partition, count);
    }
    check_source(&mut open(&cluster), 35);
}

#[test]
fn records_come_with_key_and_timestamp_and_null_values_stay_null() {
    let cluster = cluster(1);
    send(&cluster, 0, 2);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    producer.send(BaseRecord::<str, str>::to("events").partition(0).key("gone")).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let mut source = open(&cluster);
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    let mut chunks = Vec::new();
    loop {
        let polled = source.poll(100, Duration::from_millis(200)).unwrap();
        chunks.extend(polled.chunks);
        if polled.end_of_input {
            break;
        }
    }
    let records: Vec<_> =
        chunks.iter().flat_map(|c| (0..c.records.len()).map(move |at| (&c.records, at))).collect();
    assert_eq!(records.len(), 3);
    let (first, at) = records[1];
    assert_eq!(first.key(at), Some(b"k1".as_slice()));
    assert_eq!(first.timestamp(at), Some(EventTime(1_000)));
    let (last, at) = records[2];
    assert_eq!(last.raw(at), None);
    assert_eq!(last.key(at), Some(b"gone".as_slice()));
}

#[test]
fn reading_continues_behind_the_end_when_the_log_grows() {
    let cluster = cluster(1);
    send(&cluster, 0, 3);
    let mut source = open(&cluster);
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    assert_eq!(read_all(&mut source, 100)[&0].len(), 3);
    send(&cluster, 0, 4);
    assert_eq!(source.ends().unwrap()[0].offset, 7);
    assert_eq!(read_all(&mut source, 100)[&0].len(), 4);
    assert_eq!(source.ends().unwrap()[0].offset, 7);
    assert!(read_all(&mut source, 100).is_empty());
}

#[test]
fn an_offset_that_is_gone_is_an_error_that_names_it() {
    let cluster = cluster(2);
    send(&cluster, 1, 5);
    let mut source = open(&cluster);
    source.seek(&[Position { partition: 1, offset: 50 }]).unwrap();
    let error =
        (0..100).find_map(|_| source.poll(10, Duration::from_millis(200)).err()).expect("an error");
    assert_eq!(error.kind(), crate::error::Kind::Data);
    assert!(error.message().contains("partition 1: offset 50 was read before"), "{error}");
    assert!(error.message().contains("ends at 5"), "{error}");
}

#[test]
fn ends_are_heard_of_while_records_are_read_and_new_partitions_are_noticed() {
    let cluster = cluster(2);
    send(&cluster, 0, 50);
    let mut def = source_def(&cluster.bootstrap_servers());
    for name in ["statistics.interval.ms", "topic.metadata.refresh.interval.ms"] {
        def.options.properties.push((name.to_owned(), "50".to_owned()));
    }
    let mut source = KafkaSource::new(&def, None).unwrap();
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    let at = |partition, offset| Position { partition, offset };
    let (mut rows, mut heard) = (0, Vec::new());
    for _ in 0..200 {
        rows += source.poll(1, Duration::from_millis(50)).unwrap().rows();
        heard = source.ends_heard();
        if heard == [at(0, 50), at(1, 0)] && rows == 50 {
            break;
        }
    }
    assert_eq!(heard, [at(0, 50), at(1, 0)], "{rows} rows read");
    assert!(source.gained().unwrap().is_empty());
    assert_eq!(source.partitions(), [0, 1]);
}

#[test]
fn questions_that_are_not_answered_are_asked_again() {
    let cluster = cluster(1);
    send(&cluster, 0, 5);
    let mut source = open(&cluster);
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    assert_eq!(read_all(&mut source, 100)[&0].len(), 5);
    // As after an answer that did not come: everything is assigned anew, nothing is read twice.
    source.reassign = true;
    send(&cluster, 0, 4);
    assert_eq!(source.ends().unwrap()[0].offset, 9);
    assert_eq!(read_all(&mut source, 100)[&0].len(), 4);
}

#[test]
fn an_unreachable_broker_is_named_within_bounded_time() {
    let def = source_def("127.0.0.1:1");
    let error = connect_within(&def, Duration::from_millis(500)).err().unwrap();
    assert_eq!(error.kind(), crate::error::Kind::Unavailable);
    assert!(error.message().contains("127.0.0.1:1"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_missing_topic_is_named_with_advice() {
    let cluster = cluster(1);
    cluster.topic_error("events", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let def = source_def(&cluster.bootstrap_servers());
    let error = connect_within(&def, Duration::from_secs(5)).err().unwrap();
    assert!(error.message().contains("there is no topic 'events'"), "{error}");
    assert!(error.hint().unwrap().contains("skewless produce"), "{error}");
}

#[test]
fn trouble_while_running_is_reported_and_survived() {
    let cluster = cluster(1);
    send(&cluster, 0, 5);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let report: OnStatus = Arc::new(move |status| sink.lock().unwrap().push(status));
    let def = source_def(&cluster.bootstrap_servers());
    let mut source = KafkaSource::new(&def, Some(report)).unwrap();
    let starts = source.starts().unwrap();
    source.seek(&starts).unwrap();
    assert_eq!(read_all(&mut source, 100)[&0].len(), 5);
    cluster.broker_down(1).unwrap();
    for _ in 0..100 {
        source.poll(10, Duration::from_millis(100)).unwrap();
        if !seen.lock().unwrap().is_empty() {
            break;
        }
    }
    assert!(matches!(seen.lock().unwrap().first(), Some(SourceStatus::Down(_))));
    cluster.broker_up(1).unwrap();
    send(&cluster, 0, 2);
    let mut rows = 0;
    for _ in 0..100 {
        rows += source.poll(10, Duration::from_millis(100)).unwrap().rows();
        if rows == 2 {
            break;
        }
    }
    assert_eq!(rows, 2);
    assert_eq!(seen.lock().unwrap().last(), Some(&SourceStatus::Up));
}

#[test]
fn properties_that_would_break_replay_are_refused() {
    for (name, value) in [("auto.offset.reset", "latest"), ("enable.auto.commit", "true")] {
        let mut def = source_def("localhost:1");
        def.options.properties.push((name.to_owned(), value.to_owned()));
        let error = KafkaSource::new(&def, None).err().unwrap();
        assert!(error.message().contains(name), "{error}");
    }
    let mut def = source_def("localhost:1");
    def.options.properties.push(("no.such.setting".to_owned(), "1".to_owned()));
    let error = KafkaSource::new(&def, None).err().unwrap();
    assert!(error.message().contains("'properties.no.such.setting'"), "{error}");
    def.options.properties.clear();
    let error = KafkaSource::new(&def, None).err().unwrap();
    assert!(error.message().contains("bootstrap.servers"), "{error}");
}

#[test]
fn headers_become_a_json_text() {
    use rdkafka::message::{Header, OwnedHeaders};
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("x\"y") })
        .insert(Header { key: "a", value: Some(b"\xff".as_slice()) })
        .insert(Header { key: "b", value: None::<&str> });
    let text = String::from_utf8(record::headers_json(&headers)).unwrap();
    assert_eq!(text, r#"[["a","x\"y"],["a",{"base64":"/w=="}],["b",null]]"#);
}
