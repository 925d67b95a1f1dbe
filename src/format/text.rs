//! The lexical layer of JSON: white space, strings, literals, and skipping a value while
//! checking its syntax. Works on bytes that are known to be UTF-8; allocates nothing.

use crate::limits::JSON_DEPTH_MAX;

use super::number::{Number, scan_number};
use super::rejection::Fault;

/// A place in a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

/// A string without its quotes, as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a> {
    pub raw: &'a [u8],
    /// Whether `raw` must go through [`unescape`].
    pub escaped: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The lowest marked byte is the first quote, backslash or control character of the eight.
/// Source: <https://graphics.stanford.edu/~seander/bithacks.html>, "haszero" and "hasless".
#[inline]
fn special(word: u64) -> u64 {
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// White space, then `byte`.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != Some(byte) {
            return Err(Fault::Syntax(self.at, what));
        }
        self.at += 1;
        Ok(())
    }

    /// The string behind an opening quote that was just read.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted<'a>, Fault> {
        let start = self.at;
        let mut escaped = false;
        loop {
            while let Some(chunk) = self.rest().first_chunk::<8>() {
                let marks = special(u64::from_le_bytes(*chunk));
                if marks != 0 {
                    self.at += (marks.trailing_zeros() / 8) as usize;
                    break;
                }
                self.at += 8;
            }
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += self.escape_len()?;
                }
                Some(0..0x20) => {
                    return Err(Fault::Syntax(self.at, "a control character must be escaped"));
                }
                Some(_) => self.at += 1,
                None => return Err(Fault::Syntax(self.at, "expected '\"' at the end of a text")),
            }
        }
        let raw = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Quoted { raw, escaped })
    }

    /// Bytes of the escape at the cursor; surrogates must come in pairs.
    fn escape_len(&self) -> Result<usize, Fault> {
        let rest = self.rest();
        match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') => match hex4(rest, 2) {
                Some(0xD800..0xDC00) if matches!(low_surrogate(rest), Some(0xDC00..0xE000)) => {
                    Ok(12)
                }
                Some(0xD800..0xE000) => Err(Fault::Syntax(self.at, "a lone surrogate")),
                Some(_) => Ok(6),
                None => Err(Fault::Syntax(self.at, "expected four hex digits behind '\\u'")),
            },
            _ => Err(Fault::Syntax(self.at, "an unknown escape")),
        }
    }

    /// The number at the cursor.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Fault> {
        let number = scan_number(self.rest()).ok_or(Fault::Syntax(self.at, "expected a value"))?;
        self.at += number.text.len();
        self.end_of_word()?;
        Ok(number)
    }

    /// `true`, `false` or `null` at the cursor.
    #[inline]
    pub(crate) fn literal(&mut self, word: &'static str) -> Result<(), Fault> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(Fault::Syntax(self.at, "expected a value"));
        }
        self.at += word.len();
        self.end_of_word()
    }

    /// `1x`, `01` and `nullx` are not values.
    #[inline]
    fn end_of_word(&self) -> Result<(), Fault> {
        match self.peek() {
            Some(b) if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_') => {
                Err(Fault::Syntax(self.at, "expected the end of a value"))
            }
            _ => Ok(()),
        }
    }

    /// Skips the value at the cursor, checking syntax only. `depth` arrays and objects are open
    /// around it.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<(), Fault> {
        // One bit per open bracket, 1 = object: the depth limit keeps it in a word.
        let (mut open, mut depth_here) = (0u64, depth);
        const { assert!(JSON_DEPTH_MAX <= 64, "the brackets fit in one word") };
        loop {
            let mut closed = true;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.string()?;
                }
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(b @ (b'{' | b'[')) => {
                    depth_here += 1;
                    if depth_here > JSON_DEPTH_MAX {
                        return Err(Fault::Syntax(self.at, "nesting deeper than 64"));
                    }
                    open = open << 1 | u64::from(b == b'{');
                    self.at += 1;
                    self.skip_space();
                    let end = if b == b'{' { b'}' } else { b']' };
                    closed = self.peek() == Some(end);
                    if closed {
                        self.at += 1;
                        open >>= 1;
                        depth_here -= 1;
                    } else if b == b'{' {
                        self.skip_key()?;
                    }
                }
                _ => {
                    self.number()?;
                }
            }
            if closed && !self.skip_ends(&mut open, &mut depth_here, depth)? {
                return Ok(());
            }
        }
    }

    /// Behind a complete value: closes brackets and stops before the next value. `false` when
    /// the outermost value is complete.
    fn skip_ends(&mut self, open: &mut u64, here: &mut usize, depth: usize) -> Result<bool, Fault> {
        while *here > depth {
            let object = *open & 1 == 1;
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                    if object {
                        self.skip_key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if object => {}
                Some(b']') if !object => {}
                _ if object => return Err(Fault::Syntax(self.at, "expected ',' or '}'")),
                _ => return Err(Fault::Syntax(self.at, "expected ',' or ']'")),
            }
            self.at += 1;
            *open >>= 1;
            *here -= 1;
        }
        Ok(false)
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        self.expect(b'"', "expected a field name in double quotes")?;
        self.string()?;
        self.expect(b':', "expected ':'")?;
        self.skip_space();
        Ok(())
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, b| Some(value << 4 | char::from(*b).to_digit(16)?))
}

/// The code unit of a second `\uXXXX` right behind a first.
fn low_surrogate(escape: &[u8]) -> Option<u32> {
    if escape.get(6..8) == Some(b"\\u") { hex4(escape, 8) } else { None }
}

/// Appends the text that `raw`, already checked by [`Cursor::string`], stands for.
pub(crate) fn unescape(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = raw.iter().position(|b| *b == b'\\') {
        let (plain, escape) = raw.split_at(at);
        out.extend_from_slice(plain);
        let mut length = 2;
        let c = match escape.get(1) {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = hex4(escape, 2).unwrap_or(0);
                let paired = (0xD800..0xDC00).contains(&high);
                length = if paired { 12 } else { 6 };
                let low = low_surrogate(escape).filter(|_| paired).unwrap_or(0xDC00);
                let code =
                    if paired { 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00) } else { high };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            Some(other) => char::from(*other),
            None => break,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        raw = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(raw);
}
