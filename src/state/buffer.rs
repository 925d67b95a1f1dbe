//! The rows of one key in the total order (time, partition, offset), in one allocation. Rows come
//! mostly at the end and leave at the front. A row has a number that it keeps while rows leave;
//! a row put in the middle moves those after it by one. Called by `operator::trailing_window`.

use std::sync::Arc;

use crate::aggregate::slot::{FrameOrder, Rows, place_of};

/// Rows in order. `stride` (words per row) is the same in every call.
#[derive(Clone, Debug, Default)]
pub struct RowBuffer {
    words: Vec<u64>,
    /// Words at the front that are gone.
    head: usize,
    /// Number of the first row.
    first: u64,
}

impl RowBuffer {
    /// Number of the first row.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number after the last row.
    #[inline]
    pub fn end(&self, stride: usize) -> u64 {
        self.first + ((self.words.len() - self.head) / stride) as u64
    }

    pub fn is_empty(&self) -> bool {
        self.words.len() == self.head
    }

    /// The words of all rows.
    #[inline]
    pub fn words(&self) -> &[u64] {
        &self.words[self.head..]
    }

    /// The words of one row.
    #[inline]
    pub fn row(&self, stride: usize, number: u64) -> &[u64] {
        let at = self.head + (number - self.first) as usize * stride;
        &self.words[at..at + stride]
    }

    #[inline]
    pub fn time(&self, stride: usize, number: u64) -> i64 {
        self.words[self.head + (number - self.first) as usize * stride] as i64
    }

    /// As slots see the rows.
    #[inline]
    pub fn rows<'a>(
        &'a self,
        stride: usize,
        texts: &'a [Arc<[u8]>],
        order: Option<&'a FrameOrder>,
    ) -> Rows<'a> {
        Rows { words: self.words(), stride, first: self.first, texts, order }
    }

    /// Appends rows that are known to come last.
    pub fn extend(&mut self, rows: &[u64]) {
        self.words.extend_from_slice(rows);
    }

    /// Puts a row in its place among the rows from number `from` on; returns its number.
    #[inline]
    pub fn insert(&mut self, stride: usize, row: &[u64], from: u64) -> u64 {
        let end = self.end(stride);
        if end == self.first || place_of(&self.words[self.words.len() - stride..]) < place_of(row) {
            self.words.extend_from_slice(row);
            return end;
        }
        let place = place_of(row);
        let number = self.partition_point(stride, from, |other| place_of(other) < place);
        let at = self.head + (number - self.first) as usize * stride;
        self.words.splice(at..at, row.iter().copied());
        number
    }

    /// The first row from number `from` on for which `before` is false; `before` is true for a
    /// prefix of them.
    #[inline]
    pub fn partition_point(
        &self,
        stride: usize,
        from: u64,
        before: impl Fn(&[u64]) -> bool,
    ) -> u64 {
        let (mut low, mut high) = (from.max(self.first), self.end(stride));
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.row(stride, middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The words of the rows before number `number`, which are about to be dropped.
    pub fn before(&self, stride: usize, number: u64) -> &[u64] {
        let rows = number.saturating_sub(self.first) as usize;
        &self.words[self.head..self.head + rows * stride]
    }

    /// Drops the rows before number `number`. Memory is given back at half, so a row is moved
    /// O(1) times.
    pub fn drop_before(&mut self, stride: usize, number: u64) {
        if number <= self.first {
            return;
        }
        self.head += (number - self.first) as usize * stride;
        self.first = number;
        assert!(self.head <= self.words.len(), "rows are dropped that are not there");
        if self.head * 2 > self.words.len() {
            self.words.drain(..self.head);
            self.head = 0;
            if self.words.capacity() > 4 * self.words.len().max(8 * stride) {
                self.words.shrink_to(2 * self.words.len());
            }
        }
    }

    /// Forgets everything but the allocation; numbers begin at 0 again.
    pub fn clear(&mut self) {
        self.words.clear();
        (self.head, self.first) = (0, 0);
    }

    /// Words allocated.
    pub fn capacity(&self) -> usize {
        self.words.capacity()
    }
}

#[cfg(test)]
mod tests;
