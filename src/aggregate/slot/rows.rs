//! How slots see the rows of one key: fixed-width groups of words, addressed by sequence number.
//! Made by the row buffers of `state`, read by every slot; it owns nothing.

use std::ops::Range;
use std::sync::Arc;

/// Where one column lies in a row: the word of its value, and the bit that says "not NULL".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lens {
    pub at: usize,
    pub valid_word: usize,
    pub valid_bit: u32,
}

/// The order of the rows of a frame where it differs from the order they are stored in: place
/// `start + i` of the frame is taken by row `rows[i]`; other places by the row of their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameOrder {
    pub start: u64,
    pub rows: Vec<u64>,
}

impl FrameOrder {
    /// The row at a place.
    #[inline]
    pub fn row(&self, place: u64) -> u64 {
        let i = place.wrapping_sub(self.start) as usize;
        self.rows.get(i).copied().unwrap_or(place)
    }
}

/// Consecutive rows of one key. A row is `stride` words; `first` is the number of the first one.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub words: &'a [u64],
    pub stride: usize,
    pub first: u64,
    /// What the numbers in text columns stand for.
    pub texts: &'a [Arc<[u8]>],
    pub order: Option<&'a FrameOrder>,
}

impl<'a> Rows<'a> {
    /// The words of the row at place `seq` of the frame.
    #[inline]
    pub fn row(&self, seq: u64) -> &'a [u64] {
        let row = match self.order {
            None => seq,
            Some(order) => order.row(seq),
        };
        let at = (row - self.first) as usize * self.stride;
        &self.words[at..at + self.stride]
    }

    /// The number after the last row.
    pub fn end(&self) -> u64 {
        self.first + (self.words.len() / self.stride) as u64
    }
}

/// Whether a row has a value in the column.
#[inline]
pub fn is_valid(row: &[u64], lens: &Lens) -> bool {
    row[lens.valid_word] >> lens.valid_bit & 1 != 0
}

/// A stretch of results for one key: how far its state had moved, and which entries of the
/// bounds `lo` and `hi` (numbers of rows, both ascending) it goes on with.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    pub rows: Rows<'a>,
    /// Which state moves.
    pub state: usize,
    /// The state starts empty, whatever it held.
    pub fresh: bool,
    /// The rows in the state, `[was.0, was.1)`.
    pub was: (u64, u64),
    pub results: Range<usize>,
}

/// The panes of one key in order of time, each with the number of its cell.
#[derive(Clone, Debug)]
pub struct PaneRun<'a> {
    pub cells: &'a [u32],
    /// Number of the first pane of `cells`.
    pub first: u64,
    pub state: usize,
    pub fresh: bool,
    pub was: (u64, u64),
    pub results: Range<usize>,
}
