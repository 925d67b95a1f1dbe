//! Tests of dead letters as messages, against librdkafka's mock cluster.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::*;
use crate::format::dead_letter::{DeadLetter, DeadLetterBuilder};
use crate::format::rejection::{Reason, Rejection};
use crate::source::admit::tests::source as definition;

fn letters(count: i64) -> RecordBatch {
    let mut builder = DeadLetterBuilder::new(1_000);
    let rejection = Rejection { reason: Reason::Late, message: "too late".to_owned() };
    for offset in 0..count {
        let fine = offset % 2 == 0;
        builder.push(&DeadLetter {
            source: "events",
            partition: 3,
            offset,
            timestamp: fine.then_some(EventTime(1_000_000)),
            rejection: &rejection,
            event_time: fine.then_some(EventTime(2_000_000)),
            key: fine.then_some(b"\xff".as_slice()),
            headers: fine.then_some("[]"),
            raw: fine.then_some(b"raw\0\xfe".as_slice()),
        });
    }
    builder.finish().unwrap().unwrap()
}

#[test]
fn a_letter_is_the_record_itself_with_its_place_as_key_and_the_reason_in_headers() {
    let cluster = MockCluster::new(1).unwrap();
    let mut def = definition(0, 0);
    assert!(DeadTopic::open(&def).unwrap().is_none());
    let servers = cluster.bootstrap_servers();
    def.options.properties = vec![("bootstrap.servers".to_owned(), servers.clone())];
    def.options.dead_letter = Some("kafka:dead".to_owned());
    cluster.create_topic("dead", 1, 1).unwrap();
    let topic = DeadTopic::open(&def).unwrap().unwrap();
    topic.send(&[letters(2), letters(1)]).unwrap();
    topic.send(&[]).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &servers).set("group.id", "t");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("dead", 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let message = consumer.poll(Duration::from_secs(20)).expect("a message").unwrap();
        let headers = message.headers().unwrap();
        let headers: Vec<(String, Vec<u8>)> = headers
            .iter()
            .map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()))
            .collect();
        seen.push((
            String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
            message.payload().map(<[u8]>::to_vec),
            headers,
        ));
    }
    let text = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let full = vec![
        text("reason", "late"),
        text("message", "too late"),
        text("headers", "[]"),
        text("timestamp", "1970-01-01T00:00:01Z"),
        text("event_time", "1970-01-01T00:00:02Z"),
        ("key".to_owned(), b"\xff".to_vec()),
    ];
    let expected = vec![
        ("events/3/0".to_owned(), Some(b"raw\0\xfe".to_vec()), full.clone()),
        ("events/3/1".to_owned(), None, full[..2].to_vec()),
        ("events/3/0".to_owned(), Some(b"raw\0\xfe".to_vec()), full),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn letters_that_are_not_taken_are_an_error_and_can_be_sent_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("dead", 1, 1).unwrap();
    let mut def = definition(0, 0);
    def.options.properties = vec![
        ("bootstrap.servers".to_owned(), cluster.bootstrap_servers()),
        ("message.timeout.ms".to_owned(), "500".to_owned()),
    ];
    def.options.dead_letter = Some("kafka:dead".to_owned());
    let topic = DeadTopic::open(&def).unwrap().unwrap();
    cluster.broker_down(1).unwrap();
    let error = topic.send(&[letters(5)]).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Unavailable);
    assert!(error.message().contains("5 of 5 dead letters"), "{error}");
    assert!(error.message().contains("'dead'"), "{error}");
    cluster.broker_up(1).unwrap();
    // The brokers come back while it is tried again.
    let again = (0..20).find_map(|_| topic.send(&[letters(5)]).ok());
    assert!(again.is_some());
}
