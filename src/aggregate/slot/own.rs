//! The slot of an aggregate that the program around has registered (`aggregate::own`). Rows enter
//! and leave its states; where windows slide over panes, the states of panes are merged.

use std::sync::Arc;

use arrow::datatypes::DataType;

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::{Column, Physical};
use crate::aggregate::datum::Datum;
use crate::aggregate::encoding::{read_count, take, write_count};
use crate::aggregate::own::{Accumulator, Own, fitting, saved};
use crate::error::Result;

/// An aggregate over columns of the rows.
#[derive(Clone, Debug)]
pub(super) struct OwnRule {
    pub columns: Vec<(Lens, Physical)>,
    pub filter: Option<Lens>,
    pub maker: Arc<Maker>,
}

/// Makes states.
#[derive(Debug)]
pub(super) struct Maker {
    pub own: Own,
    pub types: Vec<DataType>,
    pub output: DataType,
}

impl Maker {
    fn fresh(&self) -> Box<dyn Accumulator> {
        self.own.0.accumulator(&self.types)
    }
}

/// What enters and leaves.
pub(super) enum Entered {
    Row(Vec<Datum>),
    /// A pane, by its bytes.
    Saved(Vec<u8>),
}

/// A state of the aggregate.
#[derive(Debug)]
pub(super) struct Held {
    maker: Arc<Maker>,
    state: Box<dyn Accumulator>,
    /// A pane has left: the state is made anew from those that stay.
    stale: bool,
    /// The aggregate has not read its own bytes: there is no result.
    broken: bool,
}

impl Held {
    fn new(maker: &Arc<Maker>) -> Self {
        Self { maker: maker.clone(), state: maker.fresh(), stale: false, broken: false }
    }

    fn merge(&mut self, bytes: &[u8]) {
        self.broken |= self.state.merge(bytes).is_err();
    }

    fn take(&mut self, value: &Entered) {
        match value {
            Entered::Row(row) => self.state.add(row),
            Entered::Saved(bytes) => self.merge(bytes),
        }
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        let mut copy = Self::new(&self.maker);
        copy.merge(&saved(self.state.as_ref()));
        copy.stale = self.stale;
        copy.broken |= self.broken;
        copy
    }
}

impl Accumulate for OwnRule {
    type Value = Entered;
    type State = Held;
    type Cell = Held;
    const LEAVES: bool = true;

    fn state(&self) -> Held {
        Held::new(&self.maker)
    }

    fn clear(&self, state: &mut Held) {
        *state = Held::new(&self.maker);
    }

    fn read(&self, rows: &Rows, row: &[u64]) -> Option<Entered> {
        let passes = |filter: &Lens| is_valid(row, filter) && row[filter.at] != 0;
        if !self.filter.as_ref().is_none_or(passes) {
            return None;
        }
        let value = |(lens, physical): &(Lens, Physical)| Datum::read(rows, row, lens, *physical);
        Some(Entered::Row(self.columns.iter().map(value).collect()))
    }

    fn enter(&self, state: &mut Held, _: u64, value: Entered) {
        state.take(&value);
    }

    fn leave(&self, state: &mut Held, value: Entered) {
        if let Entered::Row(row) = value {
            state.state.retract(&row);
        }
    }

    fn settle(&self, state: &mut Held, lo: u64, hi: u64, read: impl Fn(u64) -> Option<Entered>) {
        if state.stale {
            self.clear(state);
            (lo..hi).filter_map(read).for_each(|value| state.take(&value));
        }
    }

    fn insert(&self, state: &mut Held, _: u64, value: Option<Entered>) {
        value.iter().for_each(|value| state.take(value));
    }

    fn shift(&self, _: &mut Held) {}

    fn emit(&self, state: &Held, columns: &mut [Column]) -> u64 {
        let value = match state.broken {
            true => None,
            false => fitting(state.state.value(), &self.maker.output),
        };
        let shown = value.as_ref().unwrap_or(&Datum::Null);
        columns.iter_mut().for_each(|column| column.push_datum(shown));
        u64::from(value.is_none())
    }

    fn cell(&self) -> Held {
        self.state()
    }

    fn add(&self, cell: &mut Held, _: Place, value: Entered) {
        cell.take(&value);
    }

    fn enter_cell(&self, state: &mut Held, _: u64, cell: &Held) {
        state.merge(&saved(cell.state.as_ref()));
    }

    fn leave_cell(&self, state: &mut Held, _: &Held) {
        state.stale = true;
    }

    fn read_cell(&self, cell: &Held) -> Option<Entered> {
        Some(Entered::Saved(saved(cell.state.as_ref())))
    }

    fn encode_state(&self, state: &Held, out: &mut Vec<u8>) {
        let bytes = saved(state.state.as_ref());
        write_count(bytes.len() as u64, out);
        out.extend(bytes);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Held> {
        let length = read_count(input)?;
        let mut held = self.state();
        held.state.merge(take(input, length as usize)?)?;
        Ok(held)
    }

    fn encode_cell(&self, cell: &Held, out: &mut Vec<u8>) {
        self.encode_state(cell, out);
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<Held> {
        self.decode_state(input)
    }

    fn state_bytes(&self, state: &Held) -> usize {
        size_of::<Held>() + size_of_val(state.state.as_ref()) + state.state.heap_bytes()
    }

    fn touch(&self, state: &Held) -> u64 {
        u64::from(state.stale)
    }
}
