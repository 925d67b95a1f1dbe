//! The contract of `Source`, as tests that every source must pass. Used by the tests of each.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::batch::Position;

use super::source::Source;

type Log = BTreeMap<u32, Vec<(i64, Vec<u8>)>>;

/// Polls from where the source stands until its end.
pub(crate) fn read_all(source: &mut dyn Source, rows_max: usize) -> Log {
    let mut log = Log::new();
    for _ in 0..100_000 {
        let polled = source.poll(rows_max, Duration::from_millis(200)).unwrap();
        for chunk in &polled.chunks {
            let records = log.entry(chunk.partition).or_default();
            for at in 0..chunk.records.len() {
                let raw = chunk.records.raw(at).map(|raw| raw.into_owned()).unwrap_or_default();
                let offset = chunk.records.offset(at);
                assert!(records.last().is_none_or(|(last, _)| *last < offset), "offsets ascend");
                assert!(offset < chunk.next_offset, "the next offset is above all");
                records.push((offset, raw));
            }
        }
        if polled.end_of_input {
            return log;
        }
    }
    panic!("the source does not come to its end");
}

/// Checks the contract on a log of `rows` records that nobody writes to.
pub(crate) fn check_source(source: &mut dyn Source, rows: usize) {
    let starts = source.starts().unwrap();
    let ends = source.ends().unwrap();
    let partitions: Vec<u32> = starts.iter().map(|p| p.partition).collect();
    assert_eq!(partitions, source.partitions());
    assert_eq!(partitions, ends.iter().map(|p| p.partition).collect::<Vec<_>>());

    source.seek(&starts).unwrap();
    let whole = read_all(source, 1_000);
    assert_eq!(whole.values().map(Vec::len).sum::<usize>(), rows);
    let again = source.poll(10, Duration::from_millis(10)).unwrap();
    assert!(again.chunks.is_empty() && again.end_of_input, "an end stays an end");

    for rows_max in [1, 7] {
        source.seek(&starts).unwrap();
        assert_eq!(read_all(source, rows_max), whole, "{rows_max} rows at a time");
    }
    // From the middle of every partition: exactly the rest.
    let mut rest = whole.clone();
    let mut middle = Vec::new();
    for Position { partition, offset } in &starts {
        let records = rest.entry(*partition).or_default();
        let keep = records.split_off(records.len() / 2);
        let offset = keep.first().map_or(*offset, |(offset, _)| *offset);
        *records = keep;
        middle.push(Position { partition: *partition, offset });
    }
    rest.retain(|_, records| !records.is_empty());
    source.seek(&middle).unwrap();
    assert_eq!(read_all(source, 5), rest);
    // From the end: nothing.
    source.seek(&ends).unwrap();
    assert!(read_all(source, 5).values().all(Vec::is_empty));
}
