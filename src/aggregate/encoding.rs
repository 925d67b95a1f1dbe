//! The bytes of exact states: canonical, so that equal values give equal bytes, and checked when
//! read, so that damaged bytes are an error and never a panic. Layouts are part of checkpoints:
//! a change needs a new snapshot version. Called by `exact_sum`, `moments` and `udaf`.
//!
//! - count: LEB128, shortest form;
//! - scaled integer `m * 2^e`, m odd: u16 length of m in bytes, i16 e, m in two's complement,
//!   shortest form, all little endian; zero is the length 0 alone.

use super::wide::{Int, significant_bits, sub_shifted, trailing_zeros};
use crate::error::{Error, Result};

/// Appends an unsigned number.
pub fn write_count(mut x: u64, out: &mut Vec<u8>) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

/// Reads what [`write_count`] wrote and moves `input` past it.
pub fn read_count(input: &mut &[u8]) -> Result<u64> {
    let mut x = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        x |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let canonical = (byte != 0 || shift == 0) && (shift < 63 || byte <= 1);
            return if canonical { Ok(x) } else { Err(damaged("a count not in shortest form")) };
        }
    }
    Err(damaged("a count of more than 64 bits"))
}

/// Moves `input` past its first `length` bytes and returns them.
pub fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    match input.split_at_checked(length) {
        Some((head, tail)) => {
            *input = tail;
            Ok(head)
        }
        None => Err(damaged("it ends too early")),
    }
}

/// That nothing is left over.
pub fn finish(input: &[u8]) -> Result<()> {
    if input.is_empty() { Ok(()) } else { Err(damaged("bytes are left over")) }
}

/// Appends `limbs * 2^exponent`.
pub fn write_scaled<const L: usize>(value: &Int<L>, exponent: i32, out: &mut Vec<u8>) {
    let Some(zeros) = trailing_zeros(value.limbs()) else {
        out.extend_from_slice(&[0, 0]);
        return;
    };
    let odd = value.shr(zeros as u32);
    let length = significant_bits(odd.limbs()) / 8 + 1;
    out.extend_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(&((exponent + zeros as i32) as i16).to_le_bytes());
    out.extend(odd.limbs().iter().flat_map(|limb| limb.to_le_bytes()).take(length));
}

/// Reads what [`write_scaled`] wrote as (m, e), m odd, or (0, `lowest`). The value is a multiple
/// of `2^lowest` and `value / 2^lowest` fits.
pub fn read_scaled<const L: usize>(input: &mut &[u8], lowest: i32) -> Result<(Int<L>, i32)> {
    let length = usize::from(read_u16(input)?);
    if length == 0 {
        return Ok((Int::ZERO, lowest));
    }
    let exponent = i32::from(read_u16(input)? as i16);
    let bytes = take(input, length)?;
    let mut value = Int::<L>::ZERO;
    let negative = bytes[length - 1] & 0x80 != 0;
    if length > 8 * L {
        return Err(damaged("a sum beyond the range of its type"));
    }
    for (i, byte) in bytes.iter().enumerate() {
        value.limbs_mut()[i / 8] |= u64::from(*byte) << (8 * (i % 8));
    }
    if negative && length < 8 * L {
        // The missing leading ones: minus 2^(8 length).
        sub_shifted(value.limbs_mut(), &[1], 8 * length);
    }
    let bits = significant_bits(value.limbs());
    if bytes[0] & 1 == 0 || bits / 8 + 1 != length {
        return Err(damaged("a sum not in shortest form"));
    }
    if exponent < lowest || bits as i32 + exponent - lowest >= 64 * L as i32 {
        return Err(damaged("a sum beyond the range of its type"));
    }
    Ok((value, exponent))
}

fn read_u16(input: &mut &[u8]) -> Result<u16> {
    let bytes = take(input, 2)?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn damaged(what: &str) -> Error {
    Error::data(format!("the encoded state of an aggregate is damaged: {what}"))
        .with_hint("restore from an older checkpoint; the file has changed since it was written")
}
