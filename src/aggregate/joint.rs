//! The exact sums behind COVAR, CORR and REGR_* (n, Σx, Σy, Σx², Σy², Σxy of pairs) and behind
//! SKEWNESS and KURTOSIS (n, Σx … Σx⁴). COVAR, the averages and the sums of squares are rounded
//! once from the exact rational; the others are these operations in DOUBLE on rounded moments, in
//! this order:
//!
//! - `corr = covar_pop / stddev_pop(x) / stddev_pop(y)`, cut to [−1, 1];
//! - `regr_slope = covar_pop / var_pop(x)`, `regr_intercept = avg(y) − slope · avg(x)`,
//!   `regr_r2 = corr · corr`;
//! - `skewness = m3 / (m2 · √m2) · √(n (n − 1)) / (n − 2)`;
//! - `kurtosis = ((n + 1) · (m4 / (m2 · m2) − 3) + 6) · (n − 1) / ((n − 2) · (n − 3))`, with the
//!   central moments m2, m3, m4 of the population.
//!
//! A value that is not finite makes every result NaN, while it is there; REGR_COUNT counts it.

use super::encoding::{read_count, write_count};
use super::kind::AggregateKind as K;
use super::terms::{Scaled, Terms, split};
use super::wide::multiply;
use crate::error::Result;

/// A state of exact sums over rows of doubles.
///
/// # Contract
/// As [`super::moments::Moments`].
pub trait Joint: Clone + Default + std::fmt::Debug + Send + Sync + 'static {
    fn change(&mut self, row: [f64; 2], take_back: bool);
    fn merge(&mut self, other: &Self, take_back: bool);
    /// `None` is NULL.
    fn result(&self, kind: K) -> Option<f64>;
    /// Rows held.
    fn count(&self) -> u64;
    fn encode(&self, out: &mut Vec<u8>);
    /// # Errors
    /// `Data` if the bytes are damaged.
    fn decode(input: &mut &[u8]) -> Result<Self>;
    fn heap_bytes(&self) -> usize;
}

/// How many rows are finite, how many not, and sums over the finite ones.
#[derive(Clone, Debug)]
struct Sums<const N: usize> {
    finite: u64,
    special: u64,
    sums: [Terms; N],
}

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Self { finite: 0, special: 0, sums: std::array::from_fn(|_| Terms::default()) }
    }
}

impl<const N: usize> Sums<N> {
    fn count(&mut self, finite: bool, take_back: bool) {
        let counter = if finite { &mut self.finite } else { &mut self.special };
        *counter = counter.wrapping_add(if take_back { u64::MAX } else { 1 });
        if self.finite == 0 {
            // The sums are zero: small again.
            self.sums = Self::default().sums;
        }
    }

    fn merge(&mut self, other: &Self, take_back: bool) {
        let sign = if take_back { u64::MAX } else { 1 };
        self.finite = self.finite.wrapping_add(other.finite.wrapping_mul(sign));
        self.special = self.special.wrapping_add(other.special.wrapping_mul(sign));
        for (own, other) in self.sums.iter_mut().zip(&other.sums) {
            own.merge(other, take_back);
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write_count(self.finite, out);
        write_count(self.special, out);
        self.sums.iter().for_each(|sum| sum.encode(out));
    }

    fn decode(input: &mut &[u8]) -> Result<Self> {
        let mut state =
            Self { finite: read_count(input)?, special: read_count(input)?, ..Self::default() };
        for sum in &mut state.sums {
            *sum = Terms::decode(input)?;
        }
        Ok(state)
    }

    fn heap_bytes(&self) -> usize {
        self.sums.iter().map(Terms::heap_bytes).sum()
    }
}

/// Pairs (y, x).
#[derive(Clone, Debug, Default)]
pub struct Pairs(Sums<5>);

const Y: usize = 0;
const X: usize = 1;
const YY: usize = 2;
const XX: usize = 3;
const XY: usize = 4;

impl Pairs {
    fn n(&self) -> Scaled {
        Scaled::whole(self.0.finite)
    }

    /// n Σab − Σa Σb.
    fn spread(&self, product: usize, a: usize, b: usize) -> Scaled {
        let sums = &self.0.sums;
        let both = sums[product].value().by(self.0.finite);
        both.minus(&sums[a].value().times(&sums[b].value()))
    }

    fn over_population(&self, product: usize, a: usize, b: usize) -> f64 {
        self.spread(product, a, b).over(&self.n().times(&self.n()))
    }

    fn mean(&self, of: usize) -> f64 {
        self.0.sums[of].value().over(&self.n())
    }

    fn corr(&self) -> Option<f64> {
        let (x, y) = (self.over_population(XX, X, X), self.over_population(YY, Y, Y));
        if self.0.finite < 2 || x == 0.0 || y == 0.0 {
            return None;
        }
        let corr = self.over_population(XY, X, Y) / x.sqrt() / y.sqrt();
        Some(corr.clamp(-1.0, 1.0))
    }

    fn slope(&self) -> Option<f64> {
        let x = self.over_population(XX, X, X);
        (self.0.finite > 1 && x != 0.0).then(|| self.over_population(XY, X, Y) / x)
    }
}

impl Joint for Pairs {
    fn change(&mut self, [y, x]: [f64; 2], take_back: bool) {
        let finite = y.is_finite() && x.is_finite();
        if finite {
            let ((a, m, e), (b, n, f)) = (split(y), split(x));
            let product = |m: u64, n: u64| {
                let product = u128::from(m) * u128::from(n);
                [product as u64, (product >> 64) as u64, 0]
            };
            let sums = &mut self.0.sums;
            sums[Y].change(a != take_back, &[m, 0], e);
            sums[X].change(b != take_back, &[n, 0], f);
            sums[YY].change(take_back, &product(m, m), 2 * e);
            sums[XX].change(take_back, &product(n, n), 2 * f);
            sums[XY].change((a != b) != take_back, &product(m, n), e + f);
        }
        self.0.count(finite, take_back);
    }

    fn merge(&mut self, other: &Self, take_back: bool) {
        self.0.merge(&other.0, take_back);
    }

    fn result(&self, kind: K) -> Option<f64> {
        if self.0.special > 0 {
            return Some(f64::NAN);
        }
        let n = self.0.finite;
        if n == 0 {
            return None;
        }
        match kind {
            K::CovarPop => Some(self.over_population(XY, X, Y)),
            K::CovarSamp => {
                (n > 1).then(|| self.spread(XY, X, Y).over(&self.n().times(&Scaled::whole(n - 1))))
            }
            K::Corr => self.corr(),
            K::RegrSlope => self.slope(),
            K::RegrIntercept => self.slope().map(|slope| self.mean(Y) - slope * self.mean(X)),
            K::RegrR2 => self.corr().map(|corr| corr * corr),
            K::RegrAvgx => Some(self.mean(X)),
            K::RegrAvgy => Some(self.mean(Y)),
            K::RegrSxx => Some(self.spread(XX, X, X).over(&self.n())),
            K::RegrSyy => Some(self.spread(YY, Y, Y).over(&self.n())),
            _ => Some(self.spread(XY, X, Y).over(&self.n())),
        }
    }

    fn count(&self) -> u64 {
        self.0.finite + self.0.special
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self> {
        Sums::decode(input).map(Self)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

/// Powers of x up to the fourth.
#[derive(Clone, Debug, Default)]
pub struct Powers(Sums<4>);

impl Powers {
    /// Σx^power.
    fn sum(&self, power: usize) -> Scaled {
        self.0.sums[power - 1].value()
    }

    /// The central moments of the population: m2, m3, m4.
    fn moments(&self) -> (f64, f64, f64) {
        let count = self.0.finite;
        let n = Scaled::whole(count);
        let (one, two, three, four) = (self.sum(1), self.sum(2), self.sum(3), self.sum(4));
        let n2 = n.times(&n);
        let square = one.times(&one);
        let m2 = two.by(count).minus(&square).over(&n2);
        let cube = square.times(&one);
        let m3 = three
            .times(&n2)
            .minus(&one.times(&two).by(count).by(3))
            .plus(&cube.by(2))
            .over(&n2.times(&n));
        let m4 = four
            .times(&n2.times(&n))
            .minus(&one.times(&three).times(&n2).by(4))
            .plus(&square.times(&two).by(count).by(6))
            .minus(&square.times(&square).by(3))
            .over(&n2.times(&n2));
        (m2, m3, m4)
    }
}

impl Joint for Powers {
    fn change(&mut self, [x, _]: [f64; 2], take_back: bool) {
        if x.is_finite() {
            let (negative, m, e) = split(x);
            let mut magnitude = vec![m];
            for (i, sum) in self.0.sums.iter_mut().enumerate() {
                let odd = i % 2 == 0 && negative;
                magnitude.push(0);
                sum.change(odd != take_back, &magnitude, (i as i32 + 1) * e);
                magnitude = multiply(&magnitude, &[m]);
            }
        }
        self.0.count(x.is_finite(), take_back);
    }

    fn merge(&mut self, other: &Self, take_back: bool) {
        self.0.merge(&other.0, take_back);
    }

    fn result(&self, kind: K) -> Option<f64> {
        if self.0.special > 0 {
            return Some(f64::NAN);
        }
        let least = if kind == K::Skewness { 3 } else { 4 };
        if self.0.finite < least {
            return None;
        }
        let (m2, m3, m4) = self.moments();
        if m2 == 0.0 {
            return None;
        }
        let n = self.0.finite as f64;
        Some(match kind {
            K::Skewness => m3 / (m2 * m2.sqrt()) * (n * (n - 1.0)).sqrt() / (n - 2.0),
            _ => {
                let excess = m4 / (m2 * m2) - 3.0;
                ((n + 1.0) * excess + 6.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0))
            }
        })
    }

    fn count(&self) -> u64 {
        self.0.finite + self.0.special
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self> {
        Sums::decode(input).map(Self)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}
