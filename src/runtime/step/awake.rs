//! Two engines at once. One falls asleep before some step on a file, another takes over and falls
//! asleep in its turn; the first wakes and goes on, then the second. Whoever was overtaken learns
//! it and stops, and neither harms what the other has written. `SKEWLESS_PAIRS=n` tries n pairs.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::damage::{live as to_the_end, small_log, small_world};
use super::tests::{Dice, differences, runtime};
use super::world::World;
use super::{Move, Steps};
use crate::error::{Kind, Result};
use crate::offline::faulty::{Death, Fuse};

/// An engine on a thread of its own that sleeps once.
struct Engine {
    thread: JoinHandle<Result<()>>,
    /// One message when it falls asleep; closed when it has ended.
    asleep: Receiver<()>,
    wake: Sender<()>,
}

impl Engine {
    /// Runs until it sleeps, before step `at` on files, or has ended.
    fn begin(world: &Arc<World>, at: usize, dice: u64) -> Self {
        let (falls, asleep) = channel();
        let (wake, woken) = channel();
        let woken = Mutex::new(woken);
        let fuse = Fuse::pausing(at, move || {
            falls.send(()).unwrap();
            woken.lock().unwrap().recv().unwrap();
        });
        let world = world.clone();
        let thread = std::thread::spawn(move || live(&world, &fuse, Dice(dice)));
        let engine = Self { thread, asleep, wake };
        engine.rest();
        engine
    }

    /// Until it sleeps or has ended; whether it sleeps.
    fn rest(&self) -> bool {
        self.asleep.recv().is_ok()
    }

    /// Runs to its end; whether it learned that another has taken over.
    fn end(self, who: &str) -> bool {
        // One that has ended does not listen.
        let _ = self.wake.send(());
        self.rest();
        match self.thread.join().unwrap() {
            Ok(()) => false,
            Err(error) if error.kind() == Kind::Fenced => true,
            Err(error) => panic!("{who}: {:?}: {error}", error.kind()),
        }
    }
}

/// Reads and commits for a while, then dies.
fn live(world: &World, fuse: &Fuse, mut dice: Dice) -> Result<()> {
    let runtime = runtime();
    let start = runtime.block_on(world.start(fuse, 2, &mut || {}))?;
    let mut steps = Steps::new(start, runtime)?;
    for _ in 0..4 {
        for _ in 0..3 {
            for chosen in [Move::Ingest(0), Move::Lane(0), Move::Lane(1), Move::Online] {
                steps.step(chosen)?;
            }
        }
        steps.step(Move::Tick)?;
        steps.step(Move::Ingest(0))?;
        // Enough for the barrier to come through; current values take their time.
        for _ in 0..40 {
            for chosen in [Move::Lane(0), Move::Lane(1), Move::Collect] {
                steps.step(chosen)?;
            }
            if dice.one_in(3) {
                steps.step(Move::Online)?;
            }
        }
        steps.step(Move::Write)?;
    }
    Ok(())
}

#[test]
fn an_engine_that_sleeps_anywhere_while_another_takes_over_does_no_harm() {
    let tries = std::env::var("SKEWLESS_PAIRS").map_or(200, |n| n.parse().unwrap());
    let (mut dice, mut learned) = (Dice(1), 0);
    for pair in 0..tries {
        let (first, second, seed) = (dice.below(150), dice.below(150), dice.below(1 << 30) as u64);
        let world = Arc::new(small_world());
        let told = format!("pair {pair}: asleep at {first}, {second}");
        let a = Engine::begin(&world, first, seed);
        let b = Engine::begin(&world, second, seed + 1);
        let a = a.end(&format!("{told}: the first"));
        let b = b.end(&format!("{told}: the second"));
        assert!(!(a && b), "{told}: both stopped");
        learned += usize::from(a) + usize::from(b);
        let fuse = Fuse::new(usize::MAX >> 1, Death::Before);
        let at = to_the_end(&world, &fuse).unwrap_or_else(|e| panic!("{told}: the last: {e}"));
        let wrong = runtime().block_on(differences(&world, &small_log(), at));
        assert!(wrong.is_empty(), "{told}: {wrong:?}");
    }
    assert!(learned > tries / 4, "{learned} of {tries} were overtaken");
}
