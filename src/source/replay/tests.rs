//! Tests of replay, against librdkafka's mock cluster.

use rdkafka::mocking::MockCluster;

use super::*;
use crate::source::admit::tests::source as definition;
use crate::source::conformance::read_all;

fn at(partition: u32, offset: i64) -> Position {
    Position { partition, offset }
}

fn repaired(partition: u32, offset: i64) -> Repaired {
    let value = format!("{{\"id\":{offset}}}").into_bytes();
    Repaired { origin: at(partition, offset), key: Some(b"\xffk".to_vec()), value }
}

#[test]
fn messages_go_back_to_their_partition_and_are_found_by_their_origin() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", 3, 1).unwrap();
    let mut def = definition(0, 0);
    def.options.topic = Some("events".to_owned());
    def.options.properties = vec![("bootstrap.servers".to_owned(), cluster.bootstrap_servers())];
    let origins = || [at(1, 0), at(2, 0)].into_iter();
    assert!(replayed(&def, origins()).unwrap().is_empty());
    // Origins lie before what is replayed.
    let first: Vec<Repaired> = (0..3).map(|offset| repaired(1, offset)).collect();
    send(&def, &first).unwrap();
    send(&def, &[repaired(2, 0)]).unwrap();
    let found = replayed(&def, [at(1, 0), at(2, 0)].into_iter()).unwrap();
    assert_eq!(found, BTreeSet::from([at(1, 0), at(1, 1), at(1, 2), at(2, 0)]));
    assert_eq!(replayed(&def, [at(2, 0)].into_iter()).unwrap(), BTreeSet::from([at(2, 0)]));
    let mut log = KafkaSource::new(&def, None).unwrap();
    let starts = log.starts().unwrap();
    log.seek(&starts).unwrap();
    let all = read_all(&mut log, 100);
    assert_eq!(
        all[&1].iter().map(|(_, raw)| raw.clone()).collect::<Vec<_>>(),
        [b"{\"id\":0}".to_vec(), b"{\"id\":1}".to_vec(), b"{\"id\":2}".to_vec(),]
    );
    assert_eq!(all[&2].len(), 1);
    let missing = replayed(&def, [at(7, 0)].into_iter()).unwrap_err();
    assert!(missing.message().contains("has no partition 7"), "{missing}");
}

#[test]
fn only_our_header_of_this_topic_names_an_origin() {
    let of = |headers: &str| origin_of(headers, "events/");
    assert_eq!(of(r#"[["a","b"],["skewless.origin","events/3/17"]]"#), Some(at(3, 17)));
    assert_eq!(of(r#"[["skewless.origin","other/3/17"]]"#), None);
    assert_eq!(of(r#"[["x","skewless.origin"]]"#), None);
    assert_eq!(of(r#"[["skewless.origin",null]]"#), None);
    assert_eq!(of(r#"[["skewless.origin","events/3/x"]]"#), None);
}
