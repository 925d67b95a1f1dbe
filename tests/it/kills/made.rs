//! The records of the kill harness and what must become of each, by the words of the contract
//! (semantics, "Sources and time"); nothing of the engine judges here.

use skewless::model::time::EventTime;

pub const PARTITIONS: u64 = 8;
pub const USERS: u64 = 20;
const SECOND: i64 = 1_000_000;
const DELAY: i64 = 5 * SECOND;
const MAX_FUTURE: i64 = 3_600 * SECOND;
/// 2026-02-25.
const BEGIN: i64 = 1_772_000_000 * SECOND;

/// Knuth's 64-bit linear congruential generator (The Art of Computer Programming, vol. 2, 3.3.4).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// An admitted record.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub partition: u64,
    pub offset: i64,
    pub id: i64,
    pub user: i64,
    pub amount: Option<i64>,
    pub time: i64,
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub struct Log {
    next: [i64; PARTITIONS as usize],
    newest: [Option<i64>; PARTITIONS as usize],
    pub admitted: Vec<Row>,
    /// (partition, offset, reason).
    pub dead: Vec<(u64, i64, &'static str)>,
}

impl Log {
    pub fn len(&self) -> usize {
        self.admitted.len() + self.dead.len()
    }

    /// The next record: its partition, text and timestamp (ms).
    pub fn make(&mut self, dice: &mut Dice) -> (u64, String, i64) {
        let id = self.len() as i64;
        let (partition, user) = (dice.below(PARTITIONS), dice.below(USERS) as i64);
        let now = BEGIN + id * SECOND / 20;
        let time = match dice.below(60) {
            0 => now - 30 * SECOND,
            1 => now + 7_200 * SECOND,
            // Whole and half seconds: equal times are common.
            _ => now.div_euclid(SECOND / 2) * (SECOND / 2) - dice.below(9) as i64 * SECOND / 2,
        };
        let amount = (dice.below(15) > 0).then(|| dice.below(2_000) as i64 - 500);
        let shown = amount.map_or("null".to_owned(), |amount| amount.to_string());
        let text = EventTime(time);
        let offset = self.next[partition as usize];
        self.next[partition as usize] += 1;
        let (message, reason) = match dice.below(80) {
            0 => (format!("{{\"id\":{id},\"user_id\":{user}"), Some("decode")),
            1 => (format!("{{\"id\":{id},\"event_time\":\"{text}\"}}"), Some("decode")),
            2 => (String::new(), Some("decode")),
            3 => {
                let amount = "\"amount\":\"much\"";
                let start = format!("{{\"id\":{id},\"user_id\":{user},{amount}");
                (format!("{start},\"event_time\":\"{text}\"}}"), Some("decode"))
            }
            _ => {
                let start = format!("{{\"id\":{id},\"user_id\":{user},\"amount\":{shown}");
                (format!("{start},\"event_time\":\"{text}\"}}"), None)
            }
        };
        // Kafka counts in milliseconds.
        let timestamp = now / 1_000;
        let newest = &mut self.newest[partition as usize];
        let reason = reason
            .or((time - timestamp * 1_000 > MAX_FUTURE).then_some("future"))
            .or(newest.is_some_and(|newest| time < newest - DELAY).then_some("late"));
        match reason {
            Some(reason) => self.dead.push((partition, offset, reason)),
            None => {
                *newest = Some(newest.map_or(time, |newest| newest.max(time)));
                self.admitted.push(Row { partition, offset, id, user, amount, time });
            }
        }
        (partition, message, timestamp)
    }
}
