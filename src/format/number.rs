//! Numbers as they are written: a checked token and its exact conversions to integers, floats
//! and decimals. Never goes through a float unless a float is asked for.

use super::rejection::Problem;

/// The largest integer up to which every integer is an exact double.
const FLOAT_EXACT_MAX: i128 = 1 << 53;
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A number that follows the JSON grammar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    /// As written, sign included.
    pub text: &'a [u8],
    negative: bool,
    /// All digits without the point, if [`Self::exact`].
    mantissa: u64,
    /// Power of ten of the last digit.
    exponent: i32,
    /// Whether all digits fit in `mantissa`.
    exact: bool,
    /// Written without point and exponent.
    plain: bool,
}

/// Reads the number at the start of `bytes`; `None` if there is none by the JSON grammar
/// (`-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`). It ends where the grammar ends.
#[inline]
pub(crate) fn scan_number(bytes: &[u8]) -> Option<Number<'_>> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut at = start;
    let (mut mantissa, mut plain) = (0u64, true);
    at = digits(bytes, at, &mut mantissa);
    let whole = at - start;
    if whole == 0 || (whole > 1 && bytes.get(start) == Some(&b'0')) {
        return None;
    }
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        let end = digits(bytes, at + 1, &mut mantissa);
        fraction = end - at - 1;
        if fraction == 0 {
            return None;
        }
        (at, plain) = (end, false);
    }
    let exact = whole + fraction <= 19;
    let mut exponent = -i32::try_from(fraction).unwrap_or(i32::MAX);
    if let Some(b'e' | b'E') = bytes.get(at) {
        let (power, end) = power(bytes, at + 1)?;
        exponent = exponent.saturating_add(power);
        (at, plain) = (end, false);
    }
    Some(Number { text: bytes.get(..at)?, negative, mantissa, exponent, exact, plain })
}

#[inline]
fn digits(bytes: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// The exponent behind `e`: (its value, saturated; where it ends).
fn power(bytes: &[u8], mut at: usize) -> Option<(i32, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let start = at;
    let mut value = 0i32;
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        value = value.saturating_mul(10).saturating_add(i32::from(digit));
        at += 1;
    }
    (at > start).then_some((if negative { -value } else { value }, at))
}

impl Number<'_> {
    /// As an integer of any width up to 64 bits. A number with a point or an exponent counts if
    /// it is integral and at most 2^53 in size.
    #[inline]
    pub(crate) fn integer(&self) -> Result<i128, Problem> {
        if self.plain && self.exact {
            let value = i128::from(self.mantissa);
            return Ok(if self.negative { -value } else { value });
        }
        let value = self.scaled(0)?;
        if !self.plain && value.abs() > FLOAT_EXACT_MAX {
            return Err(Problem::Inexact);
        }
        Ok(value)
    }

    /// The value times 10^scale, if that is an integer of at most 38 digits.
    pub(crate) fn scaled(&self, scale: i32) -> Result<i128, Problem> {
        let (value, rest) = self.split(scale)?;
        if rest { Err(Problem::Fraction) } else { Ok(value) }
    }

    /// The value times 10^scale, rounded down to an integer.
    pub(crate) fn floored(&self, scale: i32) -> Result<i128, Problem> {
        let (value, rest) = self.split(scale)?;
        Ok(if rest && self.negative { value - 1 } else { value })
    }

    /// The value times 10^scale: (integer part towards zero, whether something was cut).
    fn split(&self, scale: i32) -> Result<(i128, bool), Problem> {
        let end = self.text.iter().position(|b| matches!(b, b'e' | b'E'));
        let written = end.and_then(|end| self.text.get(..end)).unwrap_or(self.text);
        let digits = || written.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0');
        let count = digits().count();
        let leading = digits().take_while(|d| *d == 0).count();
        if leading == count {
            return Ok((0, false));
        }
        // Digits kept in front of the (moved) point; the last of `count` has power `exponent`.
        let kept = i64::try_from(count).unwrap_or(i64::MAX)
            + i64::from(self.exponent.saturating_add(scale));
        let significant = kept - i64::try_from(leading).unwrap_or(i64::MAX);
        if significant > 38 {
            return Err(Problem::Overflow);
        }
        let mut value = 0i128;
        let mut rest = false;
        let mut seen = 0i64;
        for digit in digits() {
            if seen < kept {
                value = value * 10 + i128::from(digit);
            } else {
                rest |= digit != 0;
            }
            seen += 1;
        }
        while seen < kept {
            value *= 10;
            seen += 1;
        }
        Ok((if self.negative { -value } else { value }, rest))
    }

    /// As the nearest double, ties to even; may be infinite.
    #[inline]
    pub(crate) fn double(&self) -> f64 {
        // W. D. Clinger, "How to read floating point numbers accurately", PLDI 1990: both
        // operands are exact doubles, so the one operation rounds correctly.
        let power = POWERS.get(self.exponent.unsigned_abs() as usize);
        if let (true, Some(power)) = (self.exact && self.mantissa <= 1 << 53, power) {
            let mantissa = self.mantissa as f64;
            let value = if self.exponent < 0 { mantissa / power } else { mantissa * power };
            return if self.negative { -value } else { value };
        }
        self.parse().unwrap_or(f64::NAN)
    }

    /// As the nearest 32-bit float, rounded once from the text; may be infinite.
    pub(crate) fn single(&self) -> f32 {
        self.parse().unwrap_or(f32::NAN)
    }

    fn parse<T: std::str::FromStr>(&self) -> Option<T> {
        std::str::from_utf8(self.text).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number<'_> {
        let number = scan_number(text.as_bytes()).unwrap();
        assert_eq!(number.text, text.as_bytes());
        number
    }

    #[test]
    fn only_the_json_grammar_is_a_number() {
        for bad in ["", "-", "+1", ".5", "1.", "01", "-01", "1e", "1e+", "1.e5", "NaN", "x"] {
            let whole = scan_number(bad.as_bytes()).is_some_and(|n| n.text.len() == bad.len());
            assert!(!whole, "{bad}");
        }
    }

    #[test]
    fn integers_are_exact_to_the_last_digit() {
        assert_eq!(number("-9223372036854775808").integer(), Ok(i128::from(i64::MIN)));
        assert_eq!(number("18446744073709551615").integer(), Ok(i128::from(u64::MAX)));
        assert_eq!(number("1.0").integer(), Ok(1));
        assert_eq!(number("1e3").integer(), Ok(1_000));
        assert_eq!(number("1200e-2").integer(), Ok(12));
        assert_eq!(number("9007199254740992.0").integer(), Ok(1 << 53));
        assert_eq!(number("9007199254740993.0").integer(), Err(Problem::Inexact));
        assert_eq!(number("1.9").integer(), Err(Problem::Fraction));
        assert_eq!(number("1e400").integer(), Err(Problem::Overflow));
        assert_eq!(number("0e999999999999").integer(), Ok(0));
        assert_eq!(number("1e-999999999999").integer(), Err(Problem::Fraction));
        assert_eq!(number(&"9".repeat(50)).integer(), Err(Problem::Overflow));
    }

    #[test]
    fn decimals_take_their_digits_from_the_text() {
        assert_eq!(number("1.23").scaled(2), Ok(123));
        assert_eq!(number("-1.2300").scaled(2), Ok(-123));
        assert_eq!(number("1.234").scaled(2), Err(Problem::Fraction));
        assert_eq!(number("0.00000000000000000000000000000000000001").scaled(38), Ok(1));
        assert_eq!(number(&"9".repeat(38)).scaled(0), Ok(10i128.pow(38) - 1));
        assert_eq!(number("1700000000.1234567").floored(6), Ok(1_700_000_000_123_456));
        assert_eq!(number("-0.0000001").floored(6), Ok(-1));
    }

    #[test]
    fn floats_are_correctly_rounded() {
        for text in ["0.1", "123456.789", "1e22", "1e23", "8.41e21", "9007199254740993", "5e-324"] {
            assert_eq!(number(text).double().to_bits(), text.parse::<f64>().unwrap().to_bits());
        }
        assert_eq!(number("1e999").double(), f64::INFINITY);
        assert_eq!(number("0.1").single(), 0.1f32);
    }
}
