//! Partitions that a log gains: they are read from their oldest record, with a floor at the
//! source's watermark, so that what they bring cannot reopen what was closed (semantics §1).
//! Called by the ingest thread at a barrier, before the snapshot, so that floor and position are
//! in that checkpoint; and when an engine resumes, for those that appeared meanwhile.

use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::model::batch::Position;
use crate::model::time::EventTime;

use super::admit::{Admission, AdmissionState, Floor};
use super::source::Source;

/// Begins to read the partitions that appeared since the last call; gives them.
pub fn adopt_partitions(
    def: &SourceDef,
    source: &mut dyn Source,
    admission: &mut Admission,
) -> Result<Vec<Position>> {
    let gained = source.gained()?;
    if gained.is_empty() {
        return Ok(gained);
    }
    let old = source.partitions();
    refuse_partitioned(def, old.len(), old.len() + gained.len())?;
    let watermark = admission.lowest_watermark(old);
    source.add(&gained)?;
    for position in &gained {
        begin(admission, *position, watermark);
    }
    Ok(gained)
}

/// Where reading goes on: the positions of `state` (if there is one), and for partitions that it
/// does not know their oldest record, with a floor.
pub fn resume(
    def: &SourceDef,
    source: &mut dyn Source,
    admission: &mut Admission,
    state: Option<&AdmissionState>,
) -> Result<Vec<Position>> {
    let mut positions = source.starts()?;
    let Some(state) = state.filter(|state| !state.partitions.is_empty()) else {
        for Position { partition, offset } in &positions {
            admission.begin(*partition, *offset);
        }
        return Ok(positions);
    };
    admission.restore(state);
    let there = |partition: u32| positions.iter().any(|p| p.partition == partition);
    if let Some(gone) = state.partitions.iter().find(|saved| !there(saved.partition)) {
        let (name, partition) = (&def.name, gone.partition);
        return Err(Error::data(format!(
            "source '{name}': partition {partition} was read before, and is not there any more"
        ))
        .with_hint("was the topic deleted and made anew? Then start with a fresh home"));
    }
    let known = |partition: u32| state.partitions.iter().find(|p| p.partition == partition);
    let old = state.partitions.len();
    if positions.len() > old {
        refuse_partitioned(def, old, positions.len())?;
    }
    let watermark = admission.lowest_watermark(state.partitions.iter().map(|p| p.partition));
    let mut oldest: Option<Vec<Position>> = None;
    for position in &mut positions {
        match known(position.partition) {
            Some(saved) => position.offset = saved.next_offset,
            None => {
                // All of it came while nobody looked: wherever a first run would have started.
                if oldest.is_none() {
                    oldest = Some(source.oldest()?);
                }
                let of = oldest.iter().flatten().find(|p| p.partition == position.partition);
                position.offset = of.map_or(position.offset, |p| p.offset);
                begin(admission, *position, watermark);
            }
        }
    }
    Ok(positions)
}

fn begin(admission: &mut Admission, position: Position, watermark: EventTime) {
    let Position { partition, offset } = position;
    admission.begin(partition, offset);
    if watermark > EventTime::NEG_INFINITY {
        admission.set_floor(partition, Floor { from_offset: offset, time: watermark.0 });
    }
}

/// Keys move when partitions are added, and then equal keys are in two of them.
fn refuse_partitioned(def: &SourceDef, old: usize, new: usize) -> Result<()> {
    if def.options.partitioned_by.is_empty() {
        return Ok(());
    }
    let (name, by) = (&def.name, def.options.partitioned_by.join(", "));
    Err(Error::data(format!(
        "source '{name}' has {new} partitions, it had {old}: 'partitioned.by' = '{by}' does not \
         hold any more, equal values are in several partitions now"
    ))
    .with_hint("drop the option 'partitioned.by'; rows are then exchanged by key"))
}

#[cfg(test)]
mod tests;
