//! The streams of [Nexmark](https://github.com/nexmark/nexmark): persons, auctions and bids, in the
//! proportions of its generator and with its distributions; the values are our own. Of 50 events
//! the first is a person, three are auctions, 46 are bids. Identities follow from the number of the
//! event alone, so that a seller, or an auction that is bid for, is a row of the other source, if
//! that is long enough: as in the original some are named shortly before they come.
//!
//! | what | as there |
//! |---|---|
//! | event time | 10,000 events a second, or as many as make `rate` rows of this kind |
//! | held back | one event in ten, by up to 3 s |
//! | auction of a bid | half of them the first of the last 100, else of the last 100 or next 10 |
//! | bidder, seller | 3 of 4 the second, or first, of the last 100 persons, else of 1,000 |
//! | prices | 10^u for u uniform in 2 to 8: 1.00 to 1,000,000.00, in cents |
//! | channel | half of them four big ones, else one of 10,000, with its number in the URL |
//! | `expires` | on average when another 100 auctions have begun |
//! | `extra` | text that fills persons to 200 bytes and auctions to 500; 68 in bids |

use std::fmt::Write as _;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::{START_US, below};
use crate::catalog::source::Generator;
use crate::error::{Error, Result};
use crate::format::column::{Column, Values};
use crate::model::time::SECOND_US;

const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
const BIDS: u64 = 46;
const EVENTS: u64 = PERSONS + AUCTIONS + BIDS;
const EVENTS_PER_SECOND: u64 = 10_000;
const HELD_BACK_US: i64 = 3 * SECOND_US;
const FIRST_ID: i64 = 1_000;
const FIRST_CATEGORY: i64 = 10;
const CATEGORIES: i64 = 5;
/// One auction, seller and bidder in so many is hot.
const HOT: i64 = 100;
const AUCTIONS_OPEN: i64 = 100;
const PERSONS_ACTIVE: i64 = 1_000;
/// Persons and auctions that may be named before they are there.
const LEAD: i64 = 10;
const CHANNELS: i64 = 10_000;
const BIG_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const FIRST_NAMES: [&str; 8] =
    ["Ada", "Alan", "Barbara", "Donald", "Edgar", "Grace", "Jim", "Leslie"];
const LAST_NAMES: [&str; 8] =
    ["Baker", "Cook", "Fisher", "Gardener", "Mason", "Miller", "Potter", "Weaver"];
/// 10^(i/16) in millionths: powers without any libm, so that the bits are the same everywhere.
const POWERS: [i64; 17] = [
    1_000_000, 1_154_782, 1_333_521, 1_539_927, 1_778_279, 2_053_525, 2_371_374, 2_738_420,
    3_162_278, 3_651_741, 4_216_965, 4_869_675, 5_623_413, 6_493_816, 7_498_942, 8_659_643,
    10_000_000,
];

/// One row before it goes into columns: by field, a number or a text.
#[derive(Default)]
struct Row {
    numbers: [i64; 10],
    texts: [String; 10],
}

/// Makes the rows of one of the three streams.
pub(super) struct Nexmark {
    kind: Generator,
    /// By column: the field it shows.
    fields: Vec<usize>,
    /// Rows of this kind in [`EVENTS`] events, and where the first of them stands.
    share: u64,
    first: u64,
    events_per_second: u64,
    row: Row,
}

impl Nexmark {
    pub(super) fn new(kind: Generator, columns: &[Column], rate: Option<u64>) -> Result<Self> {
        let field = |column: &Column| {
            let name = column.field.name();
            let none = || Error::internal(format!("{} makes no column '{name}'", kind.name()));
            kind.field(name).ok_or_else(none)
        };
        let fields = columns.iter().map(field).collect::<Result<_>>()?;
        let (share, first) = match kind {
            Generator::NexmarkPerson => (PERSONS, 0),
            Generator::NexmarkAuction => (AUCTIONS, PERSONS),
            _ => (BIDS, PERSONS + AUCTIONS),
        };
        let needed = |rate: u64| rate.saturating_mul(EVENTS).div_ceil(share);
        let events_per_second = rate.map_or(EVENTS_PER_SECOND, needed);
        Ok(Self { kind, fields, share, first, events_per_second, row: Row::default() })
    }

    /// Appends row n.
    pub(super) fn row(
        &mut self,
        n: u64,
        random: &mut ChaCha8Rng,
        columns: &mut [Column],
    ) -> Result<()> {
        let event = n / self.share * EVENTS + self.first + n % self.share;
        self.row.texts.iter_mut().for_each(String::clear);
        let held = match (random.next_u32() % 10, random.next_u64()) {
            (0, extent) => below(extent, HELD_BACK_US),
            _ => 0,
        };
        let time_us = self.time_us(event) - held;
        match self.kind {
            Generator::NexmarkPerson => person(&mut self.row, event, time_us, random),
            Generator::NexmarkAuction => {
                let horizon_us = self.time_us(AUCTIONS_OPEN.cast_unsigned() * EVENTS / AUCTIONS);
                let length_us = 1 + below(random.next_u64(), 2 * (horizon_us - START_US));
                auction(&mut self.row, event, (time_us, length_us), random);
            }
            _ => bid(&mut self.row, event, time_us, random),
        }
        for (column, field) in columns.iter_mut().zip(&self.fields) {
            match &mut column.values {
                Values::Int64(v) | Values::Timestamp(v) => v.push(self.row.numbers[*field]),
                Values::Text(v) => v.push(self.row.texts[*field].as_bytes()),
                other => return Err(Error::internal(format!("no such values here: {other:?}"))),
            }
            column.mark_valid();
        }
        Ok(())
    }

    fn time_us(&self, event: u64) -> i64 {
        let us = u128::from(event) * SECOND_US.cast_unsigned() as u128;
        let us = us / u128::from(self.events_per_second);
        START_US.saturating_add(i64::try_from(us).unwrap_or(i64::MAX))
    }
}

/// The number of the last person at an event, from 0.
fn last_person(event: u64) -> i64 {
    (event / EVENTS * PERSONS).cast_signed()
}

/// The number of the last auction at an event, from 0; −1 before the first.
fn last_auction(event: u64) -> i64 {
    let (epoch, place) = ((event / EVENTS).cast_signed(), (event % EVENTS).cast_signed());
    let begun = (place - PERSONS.cast_signed()).clamp(-1, AUCTIONS.cast_signed() - 1);
    epoch * AUCTIONS.cast_signed() + begun
}

fn draw(random: &mut ChaCha8Rng, bound: i64) -> i64 {
    below(random.next_u64(), bound)
}

fn pick<'a>(random: &mut ChaCha8Rng, from: &[&'a str]) -> &'a str {
    let at = draw(random, from.len() as i64) as usize;
    from.get(at).copied().unwrap_or_default()
}

/// A person who is about: one of the last ones, or soon to come.
fn some_person(event: u64, random: &mut ChaCha8Rng) -> i64 {
    let persons = last_person(event) + 1;
    let active = persons.min(PERSONS_ACTIVE);
    persons - active + draw(random, active + LEAD)
}

fn price(random: &mut ChaCha8Rng) -> i64 {
    let draw = random.next_u64();
    let (power, step) = ((draw >> 32) % 6, (draw >> 16) % 16);
    let part = (draw & 0xffff).cast_signed();
    let (low, high) = (POWERS[step as usize], POWERS[step as usize + 1]);
    let millionths = low + (((high - low) * part) >> 16);
    millionths * 10i64.pow(power as u32) / 10_000
}

/// Lower-case letters.
fn letters(random: &mut ChaCha8Rng, count: i64, text: &mut String) {
    let mut bits = 0u64;
    for i in 0..count {
        if i % 8 == 0 {
            bits = random.next_u64();
        }
        text.push(char::from(b'a' + (bits as u8) % 26));
        bits >>= 8;
    }
}

/// Words of letters, 3 to `longest` characters in all.
fn words(random: &mut ChaCha8Rng, longest: i64, text: &mut String) {
    let length = 3 + draw(random, longest - 3);
    let mut left = length;
    while left > 0 {
        let word = (1 + draw(random, 12)).min(left);
        letters(random, word, text);
        left -= word + 1;
        if left > 0 {
            text.push(' ');
        }
    }
}

/// Text of about `length` letters, 20 % more or less.
fn extra(random: &mut ChaCha8Rng, length: i64, text: &mut String) {
    if length > 0 {
        let count = length - length / 5 + draw(random, (2 * length / 5).max(1));
        letters(random, count, text);
    }
}

/// The bytes of the texts of a row.
fn text_bytes(row: &Row) -> i64 {
    row.texts.iter().map(|text| text.len() as i64).sum()
}

/// Fields as in [`crate::catalog::generator::PERSON`].
fn person(row: &mut Row, event: u64, time_us: i64, random: &mut ChaCha8Rng) {
    row.numbers[0] = FIRST_ID + last_person(event);
    let (first, last) = (pick(random, &FIRST_NAMES), pick(random, &LAST_NAMES));
    row.texts[1].extend([first, " ", last]);
    words(random, 7, &mut row.texts[2]);
    row.texts[2].push('@');
    words(random, 5, &mut row.texts[2]);
    row.texts[2].push_str(".com");
    row.texts[2].retain(|c| c != ' ');
    for i in 0..4 {
        let space = if i > 0 { " " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(row.texts[3], "{space}{:04}", draw(random, 10_000));
    }
    row.texts[4].push_str(pick(random, &CITIES));
    row.texts[5].push_str(pick(random, &STATES));
    row.numbers[6] = time_us;
    extra(random, 200 - 8 - text_bytes(row), &mut row.texts[7]);
}

/// Fields as in [`crate::catalog::generator::AUCTION`]; `times` are its time and its length.
fn auction(row: &mut Row, event: u64, times: (i64, i64), random: &mut ChaCha8Rng) {
    row.numbers[0] = FIRST_ID + last_auction(event);
    words(random, 20, &mut row.texts[1]);
    words(random, 100, &mut row.texts[2]);
    row.numbers[3] = price(random);
    row.numbers[4] = row.numbers[3] + price(random);
    row.numbers[5] = times.0;
    row.numbers[6] = times.0 + times.1;
    let hot = draw(random, 4) > 0;
    let seller = if hot { last_person(event) / HOT * HOT } else { some_person(event, random) };
    row.numbers[7] = FIRST_ID + seller;
    row.numbers[8] = FIRST_CATEGORY + draw(random, CATEGORIES);
    extra(random, 500 - 48 - text_bytes(row), &mut row.texts[9]);
}

/// Fields as in [`crate::catalog::generator::BID`].
fn bid(row: &mut Row, event: u64, time_us: i64, random: &mut ChaCha8Rng) {
    let last = last_auction(event);
    let auction = if draw(random, 2) > 0 {
        last / HOT * HOT
    } else {
        let oldest = (last - AUCTIONS_OPEN).max(0);
        oldest + draw(random, last - oldest + 1 + LEAD)
    };
    row.numbers[0] = FIRST_ID + auction;
    // The second of a hundred, where the hot seller is the first.
    let hot = draw(random, 4) > 0;
    let bidder = if hot { last_person(event) / HOT * HOT + 1 } else { some_person(event, random) };
    row.numbers[1] = FIRST_ID + bidder;
    row.numbers[2] = price(random);
    let (big, channel) = (draw(random, 2) > 0, draw(random, CHANNELS));
    let name = BIG_CHANNELS[channel as usize % BIG_CHANNELS.len()];
    // A channel has one address, whatever the seed.
    let mut address = ChaCha8Rng::seed_from_u64(channel.cast_unsigned());
    if big {
        row.texts[3].push_str(name);
        address = ChaCha8Rng::seed_from_u64(channel.cast_unsigned() % BIG_CHANNELS.len() as u64);
    } else {
        let _ = write!(row.texts[3], "channel-{channel}");
    }
    row.texts[4].push_str("https://www.nexmark.com/");
    for _ in 0..3 {
        letters(&mut address, 5, &mut row.texts[4]);
        row.texts[4].push('/');
    }
    row.texts[4].push_str("item.htm?query=1");
    if !big && draw(&mut address, 10) > 0 {
        let number = (channel as i32).reverse_bits().unsigned_abs();
        let _ = write!(row.texts[4], "&channel_id={number}");
    }
    row.numbers[5] = time_us;
    extra(random, 100 - 32, &mut row.texts[6]);
}
