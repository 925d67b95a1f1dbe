//! `dead_letter.max_ratio`: how many of a partition's newest records were not admitted, and
//! whether that is too many. Counted record by record, so that the decision is a property of the
//! log: it does not depend on time, on how records were cut into chunks, or on restarts. Called
//! by `admit`, which keeps the window as part of its state.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Records that are looked back on.
pub const RATIO_WINDOW: u32 = 1_000;
/// Nothing is decided on fewer: one broken record at the start of a partition is no pattern.
pub const RATIO_RECORDS_MIN: u32 = 100;

/// The newest verdicts of a partition, at most [`RATIO_WINDOW`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Lengths of runs, oldest first: admitted, not admitted, admitted, …
    runs: VecDeque<u32>,
    /// Verdicts in all runs; those of the odd ones.
    records: u32,
    refused: u32,
}

impl Recent {
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// (not admitted, of so many).
    pub fn share(&self) -> (u32, u32) {
        (self.refused, self.records)
    }

    /// Adds a verdict and forgets what is older than the window.
    pub fn push(&mut self, admitted: bool) {
        self.records += 1;
        self.refused += u32::from(!admitted);
        // The runs alternate and the first one is of admitted records, perhaps of length 0.
        let last_admitted = self.runs.len() % 2 == 1;
        match self.runs.back_mut() {
            Some(last) if last_admitted == admitted => *last += 1,
            Some(_) => self.runs.push_back(1),
            None if admitted => self.runs.push_back(1),
            None => self.runs.extend([0, 1]),
        }
        if self.records > RATIO_WINDOW {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.records -= 1;
        match self.runs.front_mut() {
            Some(admitted) if *admitted > 0 => *admitted -= 1,
            _ => {
                self.refused -= 1;
                if let Some(refused) = self.runs.get_mut(1) {
                    *refused -= 1;
                    if *refused == 0 {
                        self.runs.drain(..2);
                    }
                }
            }
        }
    }

    /// Whether more than `max_ratio` of them were not admitted.
    pub fn exceeds(&self, max_ratio: f64) -> bool {
        self.records >= RATIO_RECORDS_MIN
            && f64::from(self.refused) > max_ratio * f64::from(self.records)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    use super::*;

    #[test]
    fn the_window_holds_what_a_plain_list_of_verdicts_holds() {
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let (mut recent, mut list) = (Recent::default(), Vec::new());
            // From nearly all admitted to nearly none.
            for step in 0..5_000u32 {
                let admitted = random.next_u32() % 5_000 >= step;
                recent.push(admitted);
                list.push(admitted);
                let newest = &list[list.len().saturating_sub(RATIO_WINDOW as usize)..];
                let refused = newest.iter().filter(|admitted| !**admitted).count() as u32;
                assert_eq!(recent.share(), (refused, newest.len() as u32), "seed {seed}");
                assert_eq!(recent.runs.iter().sum::<u32>(), newest.len() as u32, "seed {seed}");
            }
            let text = serde_json::to_string(&recent).unwrap();
            assert_eq!(serde_json::from_str::<Recent>(&text).unwrap(), recent);
        }
    }

    #[test]
    fn exactly_the_ratio_is_tolerated_and_one_more_is_not() {
        let mut recent = Recent::default();
        for at in 0..99 {
            recent.push(at % 2 == 0);
            assert!(!recent.exceeds(0.0), "nothing is decided on fewer than 100");
        }
        recent.push(false);
        assert_eq!(recent.share(), (50, 100));
        assert!(!recent.exceeds(0.5) && recent.exceeds(0.49));
        recent.push(false);
        assert!(recent.exceeds(0.5));
    }
}
