//! The slot of everything that is computed from the rows of a frame as they are: it keeps their
//! values in the total order and evaluates when a result is due (`aggregate::series`). Calls over
//! the same columns share the rows.

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::{Column, Physical};
use crate::aggregate::datum::Datum;
use crate::aggregate::encoding::{read_count, take, write_count};
use crate::aggregate::series::{Call, Outcome};
use crate::error::Result;

/// Columns of one series.
pub(super) const WIDTH_MAX: usize = 4;

/// Values of one row; those beyond the width of the series are NULL.
pub(super) type Entry = [Datum; WIDTH_MAX];

#[derive(Clone, Debug)]
pub(super) struct Series {
    pub columns: Vec<(Lens, Physical)>,
    /// Rows where one of the first so many columns is NULL do not count.
    pub required: usize,
    pub filter: Option<Lens>,
    pub calls: Vec<Call>,
}

/// The rows of a frame that count: `width` values for each, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    values: Vec<Datum>,
    seqs: Vec<u64>,
    /// Rows before this one have left.
    head: usize,
}

impl Kept {
    fn rows(&self, width: usize) -> &[Datum] {
        &self.values[self.head * width..]
    }

    fn len(&self) -> usize {
        self.seqs.len() - self.head
    }

    fn push(&mut self, width: usize, seq: u64, value: Entry) {
        self.values.extend(value.into_iter().take(width));
        self.seqs.push(seq);
    }

    fn drop_first(&mut self, width: usize, rows: usize) {
        let first = self.head * width;
        self.values[first..first + rows * width].fill(Datum::Null);
        self.head += rows;
        if self.head > 16 && self.head * 2 > self.seqs.len() {
            self.values.drain(..self.head * width);
            self.seqs.drain(..self.head);
            self.head = 0;
        }
    }
}

/// The rows of a pane, in the total order.
pub(super) type PaneRows = Vec<(Place, Entry)>;

impl Series {
    fn width(&self) -> usize {
        self.columns.len()
    }
}

impl Accumulate for Series {
    type Value = Entry;
    type State = Kept;
    type Cell = PaneRows;
    const LEAVES: bool = true;

    fn state(&self) -> Kept {
        Kept::default()
    }

    fn clear(&self, state: &mut Kept) {
        *state = Kept::default();
    }

    fn read(&self, rows: &Rows, row: &[u64]) -> Option<Entry> {
        let passes = |filter: &Lens| is_valid(row, filter) && row[filter.at] != 0;
        if !self.filter.as_ref().is_none_or(passes) {
            return None;
        }
        let mut entry = Entry::default();
        for (i, (lens, physical)) in self.columns.iter().enumerate() {
            entry[i] = Datum::read(rows, row, lens, *physical);
            if i < self.required && entry[i].is_null() {
                return None;
            }
        }
        Some(entry)
    }

    fn enter(&self, state: &mut Kept, seq: u64, value: Entry) {
        state.push(self.width(), seq, value);
    }

    /// Rows leave oldest first.
    fn leave(&self, state: &mut Kept, _: Entry) {
        state.drop_first(self.width(), 1);
    }

    fn settle(&self, _: &mut Kept, _: u64, _: u64, _: impl Fn(u64) -> Option<Entry>) {}

    fn insert(&self, state: &mut Kept, seq: u64, value: Option<Entry>) {
        let head = state.head;
        let at = head + state.seqs[head..].partition_point(|other| *other < seq);
        state.seqs[at..].iter_mut().for_each(|other| *other += 1);
        if let Some(value) = value {
            let width = self.width();
            state.seqs.insert(at, seq);
            state.values.splice(at * width..at * width, value.into_iter().take(width));
        }
    }

    fn shift(&self, state: &mut Kept) {
        let head = state.head;
        state.seqs[head..].iter_mut().for_each(|seq| *seq += 1);
    }

    fn emit(&self, state: &Kept, columns: &mut [Column]) -> u64 {
        let rows = state.rows(self.width());
        let mut overflow = 0;
        for (call, column) in self.calls.iter().zip(columns) {
            match call.evaluate(rows, self.width()) {
                Outcome::One(value) => column.push_datum(&value),
                Outcome::Many(values) => column.push_list(values),
                Outcome::Overflow => {
                    column.push_null();
                    overflow += 1;
                }
            }
        }
        overflow
    }

    fn cell(&self) -> PaneRows {
        Vec::new()
    }

    fn add(&self, cell: &mut PaneRows, place: Place, value: Entry) {
        let at = match cell.last() {
            Some((last, _)) if *last > place => cell.partition_point(|(other, _)| *other < place),
            _ => cell.len(),
        };
        cell.insert(at, (place, value));
    }

    fn enter_cell(&self, state: &mut Kept, seq: u64, cell: &PaneRows) {
        cell.iter().for_each(|(_, value)| state.push(self.width(), seq, value.clone()));
    }

    fn leave_cell(&self, state: &mut Kept, cell: &PaneRows) {
        state.drop_first(self.width(), cell.len());
    }

    fn read_cell(&self, _: &PaneRows) -> Option<Entry> {
        None
    }

    fn encode_state(&self, state: &Kept, out: &mut Vec<u8>) {
        write_count(state.len() as u64, out);
        state.rows(self.width()).iter().for_each(|value| value.encode(out));
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Kept> {
        let mut state = Kept::default();
        for _ in 0..read_count(input)? {
            for _ in 0..self.width() {
                state.values.push(Datum::decode(input)?);
            }
            state.seqs.push(0);
        }
        Ok(state)
    }

    fn encode_cell(&self, cell: &PaneRows, out: &mut Vec<u8>) {
        write_count(cell.len() as u64, out);
        for ((time, partition, offset), values) in cell {
            out.extend_from_slice(&time.to_le_bytes());
            out.extend_from_slice(&partition.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
            values[..self.width()].iter().for_each(|value| value.encode(out));
        }
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<PaneRows> {
        let mut cell = Vec::new();
        for _ in 0..read_count(input)? {
            let mut head = [0; 20];
            head.copy_from_slice(take(input, 20)?);
            let [a, b, c, d, e, f, g, h, p, q, r, s, rest @ ..] = head;
            let time = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let place = (time, u32::from_le_bytes([p, q, r, s]), i64::from_le_bytes(rest));
            let mut entry = Entry::default();
            for value in entry.iter_mut().take(self.width()) {
                *value = Datum::decode(input)?;
            }
            cell.push((place, entry));
        }
        Ok(cell)
    }

    fn state_bytes(&self, state: &Kept) -> usize {
        let heap: usize = state.values.iter().map(Datum::heap_bytes).sum();
        let row = self.width() * size_of::<Datum>() + size_of::<u64>();
        size_of::<Kept>() + state.seqs.capacity() * row + heap
    }

    fn touch(&self, state: &Kept) -> u64 {
        state.seqs.len() as u64
    }
}
