//! Tests of partitions that appear, with a log in memory.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::source::admit::tests::source as definition;
use crate::source::admit::{Admitted, Judgement};
use crate::source::intake::Intake;
use crate::source::records::{Messages, Records};
use crate::source::source::{Chunk, Polled};

/// A log that grows by whole partitions; `oldest` is the first offset of each.
struct Growing {
    known: Vec<u32>,
    there: Vec<(u32, i64)>,
}

fn at(partition: u32, offset: i64) -> Position {
    Position { partition, offset }
}

impl Source for Growing {
    fn partitions(&self) -> Vec<u32> {
        self.known.clone()
    }

    fn starts(&mut self) -> Result<Vec<Position>> {
        self.known = self.there.iter().map(|(partition, _)| *partition).collect();
        // As with 'scan.startup.mode' = 'latest-offset'.
        Ok(self.known.iter().map(|partition| at(*partition, 1_000)).collect())
    }

    fn oldest(&mut self) -> Result<Vec<Position>> {
        Ok(self.there.iter().map(|(partition, offset)| at(*partition, *offset)).collect())
    }

    fn ends(&mut self) -> Result<Vec<Position>> {
        Ok(Vec::new())
    }

    fn seek(&mut self, _positions: &[Position]) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, _rows_max: usize, _timeout: Duration) -> Result<Polled> {
        Ok(Polled::default())
    }

    fn gained(&mut self) -> Result<Vec<Position>> {
        let new = self.there.iter().filter(|(partition, _)| !self.known.contains(partition));
        Ok(new.map(|(partition, offset)| at(*partition, *offset)).collect())
    }

    fn add(&mut self, gained: &[Position]) -> Result<()> {
        self.known.extend(gained.iter().map(|p| p.partition));
        Ok(())
    }
}

fn log(there: &[(u32, i64)]) -> Growing {
    Growing { known: Vec::new(), there: there.to_vec() }
}

fn intake() -> Intake {
    Intake::new(Arc::new(definition(10, i64::MAX)), Judgement::Stream, None).unwrap()
}

/// Takes messages of these times at ascending offsets; the times admitted.
fn take(intake: &mut Intake, partition: u32, first: i64, times: &[i64]) -> Admitted {
    let mut messages = Messages::default();
    for (n, time) in (0..).zip(times) {
        messages.push(first + n, Some(format!("{{\"id\":{n},\"t\":{time}}}").as_bytes()), 1_000);
    }
    let next_offset = first + times.len() as i64;
    let mut out = Vec::new();
    let chunk = Chunk { partition, records: Records::Messages(messages), next_offset };
    intake.take(&chunk, &mut out).unwrap();
    out.remove(0)
}

#[test]
fn a_partition_that_appears_has_a_floor_at_the_watermark_of_the_source() {
    let (def, mut intake) = (definition(10, i64::MAX), intake());
    let mut source = log(&[(0, 0), (1, 0)]);
    resume(&def, &mut source, intake.admission_mut(), None).unwrap();
    let none = adopt_partitions(&def, &mut source, intake.admission_mut()).unwrap();
    assert!(none.is_empty());
    take(&mut intake, 0, 1_000, &[500]);
    take(&mut intake, 1, 1_000, &[300]);
    source.there.push((2, 40));
    let gained = adopt_partitions(&def, &mut source, intake.admission_mut()).unwrap();
    assert_eq!(gained, [at(2, 40)]);
    assert_eq!(source.partitions(), [0, 1, 2]);
    // 300 - 10 is the floor: it is the partition's watermark before its first record, so the
    // source's own did not go back.
    assert_eq!(intake.admission().watermark(2), EventTime(290));
    assert_eq!(intake.admission().lowest_watermark([0, 1, 2]), EventTime(290));
    let state = intake.admission().snapshot();
    assert_eq!(state.partitions[2].next_offset, 40);
    assert_eq!(state.partitions[2].floors, [Floor { from_offset: 40, time: 290 }]);
    let admitted = take(&mut intake, 2, 40, &[289, 290, 100, 301]);
    assert_eq!((admitted.counts.admitted, admitted.counts.late), (2, 2));
    // A second look finds nothing new.
    let again = adopt_partitions(&def, &mut source, intake.admission_mut()).unwrap();
    assert!(again.is_empty());
}

#[test]
fn a_partition_that_appeared_while_the_engine_was_away_starts_at_its_oldest_record() {
    let (def, mut first) = (definition(10, i64::MAX), intake());
    let mut source = log(&[(0, 0)]);
    let starts = resume(&def, &mut source, first.admission_mut(), None).unwrap();
    assert_eq!(starts, [at(0, 1_000)]);
    take(&mut first, 0, 1_000, &[500]);
    let text = serde_json::to_string(&first.admission().snapshot()).unwrap();
    let state: AdmissionState = serde_json::from_str(&text).unwrap();

    let mut grown = log(&[(0, 0), (1, 7)]);
    let mut second = intake();
    let starts = resume(&def, &mut grown, second.admission_mut(), Some(&state)).unwrap();
    assert_eq!(starts, [at(0, 1_001), at(1, 7)]);
    assert_eq!(second.admission().watermark(1), EventTime(490));
    // The floor is part of the log from now on: a third run has it too.
    let state = second.admission().snapshot();
    let mut third = intake();
    let starts = resume(&def, &mut grown, third.admission_mut(), Some(&state)).unwrap();
    assert_eq!(starts, [at(0, 1_001), at(1, 7)]);
    assert_eq!(third.admission().snapshot(), state);
}

#[test]
fn without_a_watermark_there_is_no_floor() {
    // Partition 1 has not had a record: the source has no watermark, nothing was closed.
    let (def, mut intake) = (definition(10, i64::MAX), intake());
    let mut source = log(&[(0, 0), (1, 0)]);
    resume(&def, &mut source, intake.admission_mut(), None).unwrap();
    take(&mut intake, 0, 1_000, &[500]);
    source.there.push((2, 0));
    adopt_partitions(&def, &mut source, intake.admission_mut()).unwrap();
    let state = intake.admission().snapshot();
    assert!(state.partitions[2].floors.is_empty());
    let mut again = log(&[(0, 0), (1, 0), (2, 0), (3, 0)]);
    let mut resumed = super::tests::intake();
    resume(&def, &mut again, resumed.admission_mut(), Some(&state)).unwrap();
    assert!(resumed.admission().snapshot().partitions[3].floors.is_empty());
}

#[test]
fn growth_ends_partitioned_by_with_advice() {
    let mut def = definition(0, 0);
    def.options.partitioned_by = vec!["id".to_owned()];
    let mut intake = intake();
    let mut source = log(&[(0, 0)]);
    resume(&def, &mut source, intake.admission_mut(), None).unwrap();
    let state = intake.admission().snapshot();
    source.there.push((1, 0));
    let error = adopt_partitions(&def, &mut source, intake.admission_mut()).unwrap_err();
    assert!(error.message().contains("has 2 partitions, it had 1"), "{error}");
    assert!(error.hint().unwrap().contains("drop the option"), "{error}");
    let resumed = resume(&def, &mut source, intake.admission_mut(), Some(&state));
    assert!(resumed.unwrap_err().message().contains("'partitioned.by' = 'id'"));
}

#[test]
fn a_partition_that_is_gone_is_an_error() {
    let (def, mut intake) = (definition(0, 0), intake());
    let mut source = log(&[(0, 0), (1, 0)]);
    resume(&def, &mut source, intake.admission_mut(), None).unwrap();
    let state = intake.admission().snapshot();
    source.there.pop();
    let error = resume(&def, &mut source, intake.admission_mut(), Some(&state)).unwrap_err();
    assert!(error.message().contains("partition 1 was read before"), "{error}");
}
