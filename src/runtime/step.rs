//! Moves the parts of an engine one at a time, in an order that a test chooses: the same ingest,
//! lanes, committer and online task as in production, without threads and without waiting. Two
//! runs with the same moves over the same world are equal, which [`Steps::trace`] lets a test see.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime::Runtime;
use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;
use crate::model::epoch::Epoch;
use crate::model::time::EventTime;
use crate::runtime::assemble::{Parts, Queues, Start, assemble};
use crate::runtime::committer::{Event, Request, Stop};

mod awake;
mod damage;
mod oracle;
mod tests;
mod world;

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A source obeys a command or reads a little.
    Ingest(usize),
    /// A lane handles one message.
    Lane(usize),
    /// The committer takes one message.
    Collect,
    /// The epoch being written is written to its end.
    Write,
    /// One batch of current values goes to its store.
    Online,
    /// Stores are asked whether they still know us.
    Look,
    /// The checkpoint interval is over.
    Tick,
    /// Serving time of a source is a little after its newest event.
    Refresh(usize),
}

/// An engine that moves only when told to.
pub struct Steps {
    parts: Parts,
    runtime: Runtime,
    trace: Xxh3,
    finished: bool,
}

/// Nobody must wait for room: there is one thread.
const QUEUES: Queues = Queues { lane: 1 << 14, commit: 1 << 16, online: 1 << 16 };

impl Steps {
    /// `runtime` is a current-thread one.
    pub fn new(start: Start, runtime: Runtime) -> Result<Self> {
        let mut parts = assemble(start, QUEUES)?;
        parts.online.reseed.without_pause();
        Ok(Self { parts, runtime, trace: Xxh3::new(), finished: false })
    }

    /// Every kind of move, the frequent ones first.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves: Vec<Move> = (0..self.parts.lanes.len()).map(Move::Lane).collect();
        moves.extend((0..self.parts.ingest.len()).map(Move::Ingest));
        moves.extend((0..self.parts.ingest.len()).map(Move::Refresh));
        moves.extend([Move::Collect, Move::Online, Move::Write, Move::Tick, Move::Look]);
        moves
    }

    /// Makes one move; one that is not possible now changes nothing.
    pub fn step(&mut self, chosen: Move) -> Result<()> {
        match chosen {
            Move::Ingest(source) => {
                self.parts.ingest[source].turn(Duration::ZERO, Duration::ZERO)?;
            }
            Move::Lane(lane) => {
                self.parts.lanes[lane].turn()?;
            }
            Move::Collect => {
                if self.parts.committer.has_room()
                    && let Ok(message) = self.parts.messages.try_recv()
                {
                    self.parts.committer.on_event(Event::Message(message))?;
                }
            }
            Move::Write => {
                self.finished |= self.runtime.block_on(self.parts.committer.settle())?;
            }
            Move::Online => {
                self.runtime.block_on(self.parts.online.turn());
            }
            Move::Look => self.runtime.block_on(self.parts.online.look())?,
            Move::Tick => self.parts.committer.on_event(Event::Tick)?,
            Move::Refresh(source) => {
                let newest = self.parts.progress.sources[source].newest_event.load(Relaxed);
                let ahead = (self.trace.digest() % 8) as i64 * 500_000;
                if newest > i64::MIN {
                    self.parts.ingest[source].refresh(EventTime(newest + ahead))?;
                }
            }
        }
        self.trace.update(format!("{chosen:?} {}\n", self.parts.committer.epoch().0).as_bytes());
        Ok(())
    }

    /// Reads until every partition has come this far.
    pub fn read_to(&mut self, ends: &[usize]) -> Result<()> {
        let there = |steps: &Self| {
            let read = steps.parts.ingest[0].intake.positions();
            let mut ends = ends.iter().enumerate();
            ends.all(|(p, end)| {
                let at = read.iter().find(|at| at.partition as usize == p);
                at.map_or(0, |at| at.offset) >= *end as i64
            })
        };
        while !there(self) {
            for chosen in self.moves() {
                self.step(chosen)?;
            }
        }
        Ok(())
    }

    /// Everything read so far reaches its store.
    pub fn deliver(&mut self) -> Result<()> {
        for lane in &mut self.parts.lanes {
            while lane.turn()? {}
        }
        while self.runtime.block_on(self.parts.online.turn()) {}
        Ok(())
    }

    /// Closes every window and stops; then moves everything in turn until all is done.
    pub fn finish(&mut self) -> Result<Epoch> {
        self.parts.committer.on_event(Event::Request(Request::Stop(Stop::Finalise)))?;
        while !self.finished {
            for chosen in self.moves() {
                self.step(chosen)?;
            }
        }
        for source in 0..self.parts.ingest.len() {
            let newest = self.parts.progress.sources[source].newest_event.load(Relaxed);
            let last = newest.saturating_add((self.trace.digest() % 30) as i64 * 500_000);
            let last = EventTime(last.max(self.refreshed(source)));
            self.parts.ingest[source].refresh(last)?;
        }
        // Stores that came back empty meanwhile are filled before the end is looked at.
        for _ in 0..3 {
            self.step(Move::Look)?;
            for source in 0..self.parts.ingest.len() {
                self.step(Move::Ingest(source))?;
            }
            self.deliver()?;
        }
        Ok(self.parts.committer.epoch())
    }

    /// The serving time that values of a source have been refreshed to, µs.
    pub fn refreshed(&self, source: usize) -> i64 {
        self.parts.progress.sources[source].refreshed.load(Relaxed)
    }

    /// Hash of every move so far and what the committer had committed after it.
    pub fn trace(&self) -> u64 {
        self.trace.digest()
    }

    /// Counters of everything read in this life.
    pub fn conserved(&self) -> bool {
        self.parts.progress.totals().conserved()
    }
}
