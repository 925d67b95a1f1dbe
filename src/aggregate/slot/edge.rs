//! FIRST_VALUE and LAST_VALUE: the value of the first or last row of a frame that counts.

use std::marker::PhantomData;

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::{Column, Value};
use crate::aggregate::encoding::take;
use crate::error::Result;

/// The first or last value of a column, NULLs included unless told otherwise.
#[derive(Clone, Debug)]
pub(super) struct Edge<V> {
    pub lens: Lens,
    /// Only rows where this boolean column is true count.
    pub filter: Option<Lens>,
    pub ignore_nulls: bool,
    pub last: bool,
    pub of: PhantomData<V>,
}

/// Where the row is, and its value.
pub(super) type Found<P, V> = Option<(P, Option<V>)>;

impl<V: Value> Edge<V> {
    fn encode(&self, value: Option<&Option<V>>, out: &mut Vec<u8>) {
        match value {
            None => out.push(0),
            Some(None) => out.push(1),
            Some(Some(value)) => {
                out.push(2);
                value.encode(out);
            }
        }
    }

    fn decode(&self, input: &mut &[u8]) -> Result<Option<Option<V>>> {
        Ok(match take(input, 1)?[0] {
            0 => None,
            1 => Some(None),
            _ => Some(Some(V::decode(input)?)),
        })
    }
}

impl<V: Value> Accumulate for Edge<V> {
    type Value = Option<V>;
    type State = Found<u64, V>;
    type Cell = Found<Place, V>;
    const LEAVES: bool = false;

    fn state(&self) -> Self::State {
        None
    }

    fn clear(&self, state: &mut Self::State) {
        *state = None;
    }

    #[inline]
    fn read(&self, rows: &Rows, row: &[u64]) -> Option<Option<V>> {
        if let Some(filter) = &self.filter
            && !(is_valid(row, filter) && row[filter.at] != 0)
        {
            return None;
        }
        let value = is_valid(row, &self.lens).then(|| V::read(rows, row, self.lens.at));
        (value.is_some() || !self.ignore_nulls).then_some(value)
    }

    #[inline]
    fn enter(&self, state: &mut Self::State, seq: u64, value: Option<V>) {
        if self.last || state.is_none() {
            *state = Some((seq, value));
        }
    }

    #[inline]
    fn leave(&self, _: &mut Self::State, _: Option<V>) {}

    #[inline]
    fn settle(
        &self,
        state: &mut Self::State,
        lo: u64,
        hi: u64,
        read: impl Fn(u64) -> Option<Option<V>>,
    ) {
        if state.as_ref().is_some_and(|found| found.0 < lo) {
            *state = if self.last {
                None
            } else {
                (lo..hi).find_map(|seq| read(seq).map(|value| (seq, value)))
            };
        }
    }

    fn insert(&self, state: &mut Self::State, seq: u64, value: Option<Option<V>>) {
        if let Some(found) = state
            && found.0 >= seq
        {
            found.0 += 1;
        }
        let Some(value) = value else { return };
        let better = |found: &(u64, Option<V>)| {
            if self.last { seq > found.0 } else { seq < found.0 }
        };
        if state.as_ref().is_none_or(better) {
            *state = Some((seq, value));
        }
    }

    fn shift(&self, state: &mut Self::State) {
        if let Some(found) = state {
            found.0 += 1;
        }
    }

    #[inline]
    fn emit(&self, state: &Self::State, columns: &mut [Column]) -> u64 {
        for column in columns {
            match state {
                Some((_, Some(value))) => value.push(column),
                _ => column.push_null(),
            }
        }
        0
    }

    fn cell(&self) -> Self::Cell {
        None
    }

    fn add(&self, cell: &mut Self::Cell, place: Place, value: Option<V>) {
        let better = |found: &(Place, Option<V>)| {
            if self.last { place > found.0 } else { place < found.0 }
        };
        if cell.as_ref().is_none_or(better) {
            *cell = Some((place, value));
        }
    }

    fn enter_cell(&self, state: &mut Self::State, seq: u64, cell: &Self::Cell) {
        if let Some((_, value)) = cell {
            self.enter(state, seq, value.clone());
        }
    }

    fn leave_cell(&self, _: &mut Self::State, _: &Self::Cell) {}

    fn read_cell(&self, cell: &Self::Cell) -> Option<Option<V>> {
        cell.as_ref().map(|found| found.1.clone())
    }

    fn encode_state(&self, state: &Self::State, out: &mut Vec<u8>) {
        self.encode(state.as_ref().map(|found| &found.1), out);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Self::State> {
        Ok(self.decode(input)?.map(|value| (0, value)))
    }

    fn encode_cell(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        self.encode(cell.as_ref().map(|found| &found.1), out);
        if let Some(((time, partition, offset), _)) = cell {
            out.extend_from_slice(&time.to_le_bytes());
            out.extend_from_slice(&partition.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<Self::Cell> {
        let Some(value) = self.decode(input)? else { return Ok(None) };
        let time = i64::decode(input)?;
        let mut partition = [0; 4];
        partition.copy_from_slice(take(input, 4)?);
        let place = (time, u32::from_le_bytes(partition), i64::decode(input)?);
        Ok(Some((place, value)))
    }

    fn state_bytes(&self, state: &Self::State) -> usize {
        let value = state.as_ref().and_then(|found| found.1.as_ref());
        size_of::<Self::State>() + value.map_or(0, V::heap_bytes)
    }

    #[inline]
    fn touch(&self, state: &Self::State) -> u64 {
        state.as_ref().map_or(0, |found| found.0)
    }
}
