//! Test material: seeded randomness and a naive rational arithmetic to judge the exact states by.
//! It shares no code with them.

use num_bigint::BigInt;
use num_traits::{One, Signed, Zero};

/// How many random cases a property test runs; `SKEWLESS_CASES` scales it.
pub fn cases() -> u64 {
    std::env::var("SKEWLESS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(256)
}

/// Runs `test` on seeds 0, 1, …; a failure names its seed.
pub fn for_seeds(test: impl Fn(&mut Random) + std::panic::RefUnwindSafe) {
    for seed in 0..cases() {
        let run = std::panic::catch_unwind(|| test(&mut Random::new(seed)));
        if let Err(cause) = run {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(cause);
        }
    }
}

/// xorshift64*: small, seeded, good enough to find trouble.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A finite double of the given character, 0..CHARACTERS.
    pub fn float(&mut self, character: u64) -> f64 {
        let sign = if self.below(2) == 0 { 1.0 } else { -1.0 };
        let unit = self.next() as f64 / u64::MAX as f64;
        match character {
            0 => self.below(1_000_000) as f64 / 100.0,
            1 => sign * unit,
            2 => sign * 10f64.powf(unit * 12.0 - 6.0),
            3 => sign * f64::from_bits(self.below(1 << 52)),
            4 => sign * f64::MAX * (0.5 + unit / 2.0),
            5 => sign * 2f64.powi(self.below(140) as i32 - 70),
            6 => 1e16 + self.below(10) as f64,
            7 => sign * self.below(3) as f64,
            8 => sign * 2f64.powi(self.below(600) as i32 - 1074),
            _ => loop {
                let x = f64::from_bits(self.next());
                if x.is_finite() {
                    break x;
                }
            },
        }
    }

    /// Doubles of one character, or of several.
    pub fn floats(&mut self, count: u64) -> Vec<f64> {
        let (first, mixed) = (self.below(CHARACTERS), self.below(3) == 0);
        (0..count)
            .map(|_| {
                let character = if mixed { self.below(CHARACTERS) } else { first };
                self.float(character)
            })
            .collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

pub const CHARACTERS: u64 = 10;

/// `x * 2^1074`, a whole number for every finite double.
pub fn units(x: f64) -> BigInt {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as u32 & 0x7ff;
    let fraction = bits & ((1u64 << 52) - 1);
    let whole = if exponent == 0 {
        BigInt::from(fraction)
    } else {
        BigInt::from(fraction | 1 << 52) << (exponent - 1)
    };
    if x < 0.0 { -whole } else { whole }
}

/// `numerator / denominator * 2^exponent` to the nearest double, ties to even.
pub fn nearest(numerator: &BigInt, denominator: &BigInt, exponent: i64) -> f64 {
    if numerator.is_zero() {
        return 0.0;
    }
    let sign = if numerator.is_negative() != denominator.is_negative() { -1.0 } else { 1.0 };
    let (mut a, mut b) = (numerator.abs(), denominator.abs());
    if exponent > 0 {
        a <<= exponent as u64;
    } else {
        b <<= exponent.unsigned_abs();
    }
    let mut lead = a.bits() as i64 - b.bits() as i64;
    let at_least = |e: i64| {
        if e >= 0 { a >= &b << (e as u64) } else { &a << (-e as u64) >= b }
    };
    if !at_least(lead) {
        lead -= 1;
    }
    let unit = (lead - 52).max(-1074);
    if lead > 1023 {
        return sign * f64::INFINITY;
    }
    let (a, b) = if unit >= 0 { (a, b << (unit as u64)) } else { (a << (-unit as u64), b) };
    let (mut floor, twice) = (&a / &b, (&a % &b) * 2u8);
    if twice > b || (twice == b && floor.bit(0)) {
        floor += BigInt::one();
    }
    let floor = u64::try_from(floor).expect("54 bits at most") as f64;
    let power = if unit >= -1022 {
        f64::from_bits(((unit + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (unit + 1074))
    };
    sign * (floor * power)
}

/// (SUM, AVG, VAR_POP, VAR_SAMP) of whole numbers times `2^exponent / ten`, by the definition.
pub fn moments(values: &[BigInt], exponent: i64, ten: &BigInt) -> [Option<f64>; 4] {
    let n = BigInt::from(values.len());
    let sum: BigInt = values.iter().sum();
    let squares: BigInt = values.iter().map(|x| x * x).sum();
    let spread = &n * squares - &sum * &sum;
    let square = ten * ten;
    let some = !values.is_empty();
    [
        some.then(|| nearest(&sum, ten, exponent)),
        some.then(|| nearest(&sum, &(&n * ten), exponent)),
        some.then(|| nearest(&spread, &(&n * &n * &square), 2 * exponent)),
        (values.len() > 1)
            .then(|| nearest(&spread, &(&n * (&n - BigInt::one()) * &square), 2 * exponent)),
    ]
}

/// Bits, so that -0 and NaN compare as what they are.
pub fn bits(x: Option<f64>) -> Option<u64> {
    x.map(f64::to_bits)
}
