//! Questions about many keys at once to the lanes of a running engine: split by the lane that owns
//! each key, asked together, answered in the order of the request.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take, take_record_batch};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::operator::answer::Answered;
use crate::operator::operator::{Bound, Probed};
use crate::runtime::exchange::{group_of, lane_of};
use crate::runtime::lane::CellId;
use crate::runtime::supervisor::{Running, gone};
use crate::runtime::task::Question;

impl Running {
    /// `f(key, t)` of a feature for each of `rows` keys: its output columns, one row per key, in
    /// order.
    pub async fn probe_keys(
        &self,
        feature: usize,
        keys: &[ArrayRef],
        rows: usize,
        at: EventTime,
        bound: Bound,
    ) -> Result<Answered> {
        let of = &self.pipeline.features[feature];
        let group = &self.pipeline.groups[of.group];
        let probed = if group.by_partition {
            self.probe_partitions(feature, keys, rows, at, bound).await?
        } else {
            self.probe_lanes(feature, keys, rows, at, bound).await?
        };
        let reader = group.group.members[of.member].reader(&group.group.window);
        reader.answer(&probed, &vec![at; rows])
    }

    /// Every key is asked in the lane of its key group.
    async fn probe_lanes(
        &self,
        feature: usize,
        keys: &[ArrayRef],
        rows: usize,
        at: EventTime,
        bound: Bound,
    ) -> Result<Probed> {
        let lanes = self.questions.len();
        let cell = CellId { group: self.pipeline.features[feature].group, partition: 0 };
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); lanes];
        for row in 0..rows {
            let lane = if keys.is_empty() { 0 } else { lane_of(group_of(keys, row)?, lanes) };
            places[lane].push(u32::try_from(row).map_err(|_| too_many())?);
        }
        let mut waiting = Vec::new();
        for (lane, rows) in places.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let rows = UInt32Array::from(rows.clone());
            let part = keys.iter().map(|key| take(key, &rows, None));
            let part = part.collect::<Result<Vec<_>, _>>()?;
            waiting.push(self.put(lane, cell, part, rows.len(), at, bound)?);
        }
        let mut parts = Vec::with_capacity(waiting.len());
        let mut known = Vec::with_capacity(rows);
        for answer in waiting {
            let probed = answer.await.map_err(|_| gone())??;
            known.extend(probed.present.into_iter().zip(probed.newest));
            parts.push(probed.rows);
        }
        let Some(first) = parts.first() else {
            // Nothing was asked; an empty question still says what an answer looks like.
            return self.put(0, cell, keys.to_vec(), 0, at, bound)?.await.map_err(|_| gone())?;
        };
        let together = concat_batches(&first.schema(), &parts)?;
        // The i-th row of `together` belongs to the request order[i].
        let mut back = vec![0u32; rows];
        for (i, row) in places.into_iter().flatten().enumerate() {
            back[row as usize] = i as u32;
        }
        let (present, newest) = back.iter().map(|i| known[*i as usize]).unzip();
        let rows = take_record_batch(&together, &UInt32Array::from(back))?;
        Ok(Probed { rows, present, newest })
    }

    /// The keys say nothing about their partition: every cell is asked for all of them, and the
    /// one that knows a key answers for it.
    async fn probe_partitions(
        &self,
        feature: usize,
        keys: &[ArrayRef],
        rows: usize,
        at: EventTime,
        bound: Bound,
    ) -> Result<Probed> {
        let of = &self.pipeline.features[feature];
        let mut waiting = Vec::new();
        for partition in self.progress.sources[of.source].partitions().into_keys() {
            let lane = partition as usize % self.questions.len();
            let cell = CellId { group: of.group, partition };
            waiting.push(self.put(lane, cell, keys.to_vec(), rows, at, bound)?);
        }
        let mut cells = Vec::with_capacity(waiting.len());
        for answer in waiting {
            cells.push(answer.await.map_err(|_| gone())??);
        }
        if cells.is_empty() {
            return Err(Error::unavailable("no partition has been read yet"));
        }
        let owner = |row: usize| cells.iter().position(|cell| cell.newest[row].is_some());
        let owners: Vec<Option<usize>> = (0..rows).map(owner).collect();
        let batches: Vec<&RecordBatch> = cells.iter().map(|cell| &cell.rows).collect();
        let from: Vec<(usize, usize)> =
            owners.iter().enumerate().map(|(row, cell)| (cell.unwrap_or(0), row)).collect();
        let rows = interleave_record_batch(&batches, &from)?;
        let own = |row: usize| &cells[from[row].0];
        let present = (0..from.len()).map(|row| own(row).present[row]).collect();
        let newest = (0..from.len()).map(|row| own(row).newest[row]).collect();
        Ok(Probed { rows, present, newest })
    }

    /// Puts a question to a lane.
    fn put(
        &self,
        lane: usize,
        cell: CellId,
        keys: Vec<ArrayRef>,
        rows: usize,
        at: EventTime,
        bound: Bound,
    ) -> Result<oneshot::Receiver<Result<Probed>>> {
        let (reply, answer) = oneshot::channel();
        let question = Question::Probe { cell, keys, times: vec![at; rows], bound, reply };
        self.questions[lane].send(question).map_err(|_| gone())?;
        Ok(answer)
    }
}

fn too_many() -> Error {
    Error::usage("too many keys in one question")
}
