//! Rows for any declared schema: what a column holds follows from its name and type.
//!
//! | column | values |
//! |---|---|
//! | event time | from 2026-01-01 in steps of 1 s / `rate` (100 ms without), see below |
//! | `txn_id`, `id`, `…event_id`, `…order_id` | the row number |
//! | other `…_id`, `user`, `card` | one of 10,000, few of them often |
//! | `category`, `merchant_category` | eight words, few of them often |
//! | `amount`, `price`, `total`, `fee`, `cost` | about log-normal around 30, whole cents |
//! | `lat`, `lon`, `latitude`, `longitude` | within Europe |
//! | `is_…` | true for one in a hundred |
//! | anything else | by type; NULL one time in a hundred where the column allows it |
//!
//! One event time in four is held back by less than the watermark's delay, one in a thousand by
//! more than that: those rows are late.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::{START_US, below};
use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::format::column::{Column, Values};
use crate::format::rejection::Problem;
use crate::model::time::{DAY_US, SECOND_US};

/// Time between rows without a rate.
const STEP_US: i64 = 100_000;
const ENTITIES: u64 = 10_000;
pub(super) const CATEGORIES: [&str; 8] =
    ["grocery", "fuel", "restaurant", "online", "travel", "electronics", "pharmacy", "atm"];

/// What a column is made of, decided once from its name and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    EventTime,
    Sequence,
    Entity,
    Category,
    Amount,
    /// Hundred-thousandths of a degree: from, to.
    Degrees(i64, i64),
    Rare,
    Any,
}

/// Makes rows of declared columns.
pub(super) struct Named {
    shapes: Vec<Shape>,
    step_us: i64,
    delay_us: i64,
}

impl Named {
    pub(super) fn new(def: &SourceDef, columns: &[Column], rate: Option<u64>) -> Self {
        let event_time = &def.watermark.column;
        let shape = |c: &Column| shape(c.field.name(), &c.values, c.field.name() == event_time);
        let step_us = rate.map_or(STEP_US, |rate| (SECOND_US / rate.cast_signed().max(1)).max(1));
        let delay_us = def.watermark.delay_us;
        Self { shapes: columns.iter().map(shape).collect(), step_us, delay_us }
    }

    /// Appends row n.
    pub(super) fn row(
        &self,
        n: u64,
        random: &mut ChaCha8Rng,
        columns: &mut [Column],
    ) -> Result<()> {
        let time_us = self.time_us(n, random);
        for (column, shape) in columns.iter_mut().zip(&self.shapes) {
            fill(column, *shape, n, time_us, random)
                .map_err(|p| Error::internal(format!("generated value: {p:?}")))?;
        }
        Ok(())
    }

    /// The event time of row n: in steps, sometimes held back.
    fn time_us(&self, n: u64, random: &mut ChaCha8Rng) -> i64 {
        let on_time = START_US.saturating_add(n.cast_signed().saturating_mul(self.step_us));
        let (pick, extent) = (random.next_u32(), random.next_u64());
        let held = if pick % 1_000 == 0 {
            let beyond = self.delay_us.saturating_mul(10).max(60 * SECOND_US);
            self.delay_us + 1 + below(extent, beyond)
        } else if pick % 4 == 1 && self.delay_us > 0 {
            below(extent, self.delay_us)
        } else {
            0
        };
        on_time - held
    }
}

/// In `0..count`, small numbers much more often: about a power law, without any libm.
fn skewed(random: u64, count: u64) -> u64 {
    let unit = (random >> 40) as f64 / (1u64 << 24) as f64;
    ((unit * unit * unit) * count as f64) as u64
}

/// About log-normal: 2^x with x the sum of uniforms, linear between powers, so that the bits are
/// the same everywhere. Whole cents, half of them below 30.00.
fn cents(random: &mut ChaCha8Rng) -> i64 {
    let bell: u64 = (0..4).map(|_| u64::from(random.next_u32() >> 16)).sum();
    // 16.16 fixed point in 0..4, stretched to −6..6 around 0.
    let x = bell.cast_signed() * 3 - (6 << 16);
    let (whole, part) = (x >> 16, x & 0xffff);
    let scaled = 3_000i64 * ((1 << 16) + part);
    let value = if whole >= 0 { scaled << whole } else { scaled >> -whole };
    (value >> 16).max(1)
}

fn shape(name: &str, values: &Values, event_time: bool) -> Shape {
    let name = name.to_ascii_lowercase();
    let number = matches!(values, Values::Float32(_) | Values::Float64(_) | Values::Decimal(..));
    let identity = matches!(
        values,
        Values::Int32(_)
            | Values::Int64(_)
            | Values::UInt32(_)
            | Values::UInt64(_)
            | Values::Text(_)
    );
    let sequences = ["txn_id", "transaction_id", "id", "event_id", "order_id"];
    match name.as_str() {
        _ if event_time => Shape::EventTime,
        n if identity && sequences.contains(&n) => Shape::Sequence,
        n if identity && (n.ends_with("_id") || n == "user" || n == "card") => Shape::Entity,
        n if matches!(values, Values::Text(_)) && n.ends_with("category") => Shape::Category,
        "amount" | "price" | "total" | "fee" | "cost" if number => Shape::Amount,
        "lat" | "latitude" if number => Shape::Degrees(3_600_000, 6_000_000),
        "lon" | "longitude" if number => Shape::Degrees(-900_000, 3_000_000),
        n if matches!(values, Values::Boolean(_)) && n.starts_with("is_") => Shape::Rare,
        _ => Shape::Any,
    }
}

/// One value for row n.
fn fill(
    column: &mut Column,
    shape: Shape,
    n: u64,
    time_us: i64,
    random: &mut ChaCha8Rng,
) -> Result<(), Problem> {
    let draw = random.next_u64();
    if shape == Shape::Any && column.field.is_nullable() && draw % 100 == 99 {
        column.push_null();
        return Ok(());
    }
    let any = draw >> 8;
    let integer = match shape {
        Shape::Sequence => n,
        Shape::Entity => skewed(draw, ENTITIES) + 1,
        _ => any % 1_000,
    };
    // Hundredths or, for degrees, hundred-thousandths.
    let (number, scale) = match shape {
        Shape::Amount => (cents(random), 2),
        Shape::Degrees(from, to) => (from + below(any, to - from), 5),
        _ => (below(any, 100_000), 2),
    };
    match &mut column.values {
        Values::Boolean(v) => v.push(if shape == Shape::Rare {
            draw.is_multiple_of(100)
        } else {
            any.is_multiple_of(2)
        }),
        Values::Int8(v) => v.push((integer % 100) as i8),
        Values::Int16(v) => v.push(integer as i16),
        Values::Int32(v) => v.push((integer % (1 << 31)) as i32),
        Values::Int64(v) => v.push(integer.cast_signed()),
        Values::UInt8(v) => v.push((integer % 200) as u8),
        Values::UInt16(v) => v.push(integer as u16),
        Values::UInt32(v) => v.push((integer % (1 << 32)) as u32),
        Values::UInt64(v) => v.push(integer),
        Values::Float32(v) => v.push((number as f64 / 10f64.powi(scale)) as f32),
        Values::Float64(v) => v.push(number as f64 / 10f64.powi(scale)),
        Values::Decimal(v, precision, to) => {
            v.push(decimal(i128::from(number), scale, *precision, *to));
        }
        Values::Date(v) => v.push((time_us.div_euclid(DAY_US) - below(any, 365)) as i32),
        Values::Timestamp(v) => v.push(time_us),
        Values::Text(v) => v.push(word(shape, column.field.name(), integer, draw).as_bytes()),
        Values::Binary(v) => v.push(&draw.to_le_bytes()),
        Values::List(offsets, child) => {
            for _ in 0..any % 4 {
                fill(child, Shape::Any, n, time_us, random)?;
            }
            offsets.push(child.len() as i32);
        }
    }
    column.mark_valid();
    Ok(())
}

/// `number` / 10^`scale` in a column of another scale, cut to its precision.
fn decimal(number: i128, scale: i32, precision: u8, to: i8) -> i128 {
    let shift = i32::from(to) - scale;
    let power = 10i128.pow(shift.unsigned_abs().min(37));
    let value = if shift >= 0 { number.saturating_mul(power) } else { number / power };
    value % 10i128.pow(u32::from(precision))
}

fn word(shape: Shape, name: &str, integer: u64, draw: u64) -> String {
    match shape {
        Shape::Category => {
            let at = skewed(draw, CATEGORIES.len() as u64) as usize;
            CATEGORIES.get(at).copied().unwrap_or("other").to_owned()
        }
        Shape::Sequence | Shape::Entity => {
            format!("{}{integer}", name.trim_end_matches("_id").trim_end_matches("id"))
        }
        _ => format!("{name}_{}", skewed(draw, 50)),
    }
}
