//! varint and varlong(m), protocol ≥ 30.
//!
//! The leading one-bits of the first byte count the extra bytes; these are the low-order bytes, little-endian,
//! and the remaining bits of the first byte are the most significant ones. A varlong(m) has m - 1 low bytes more
//! than that. A varint has 1 to 5 bytes, a varlong(m) m to 9; a first byte that announces more ends the session.
//! Redundant forms are legal, but not made.
//!
//! | where | form |
//! |---|---|
//! | compatibility flags, list flags, error bits, lengths of names and targets, nanoseconds, ids, device numbers, group numbers, counts | varint |
//! | sizes, statistics | varlong(3), bytes and milliseconds |
//! | times | varlong(4), seconds since 1970 |
//!
//! ```
//! use arsync_core::{error::ProtocolError, wire::varint::{decode_varint, encode_varint, encode_varlong}};
//!
//! assert_eq!(encode_varint(127).as_slice(), [0x7f]);
//! assert_eq!(encode_varint(128).as_slice(), [0x80, 0x80]);
//! assert_eq!(encode_varint(511).as_slice(), [0x81, 0xff]); // all nine compatibility flags
//! assert_eq!(encode_varint(16_384).as_slice(), [0xc0, 0, 0x40]);
//! assert_eq!(encode_varint(-1).as_slice(), [0xf0, 0xff, 0xff, 0xff, 0xff]);
//! assert_eq!(decode_varint(&[0xf8, 0, 0, 0, 0, 0]), Err(ProtocolError::VarintOverflow));
//!
//! assert_eq!(encode_varlong(4096, 3).as_slice(), [0, 0, 0x10]); // a size
//! assert_eq!(encode_varlong(1_700_000_000, 4).as_slice(), [0x65, 0, 0xf1, 0x53]); // a time
//! ```

#![allow(clippy::cast_possible_truncation, reason = "the bits and bytes that are left were counted")]

use super::{Decoded, Encoded};
use crate::error::ProtocolError;

/// A varint: 1..=5 bytes, negative numbers as their u32 pattern; bits above these 32 are dropped. A first byte of `f8` and
/// more is [`VarintOverflow`](ProtocolError::VarintOverflow).
pub fn decode_varint(b: &[u8]) -> Decoded<i32> {
    let Some(&first) = b.first() else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some((i32::from(first), 1)));
    }
    let extra = first.leading_ones() as usize;
    if extra > 4 {
        return Err(ProtocolError::VarintOverflow);
    }
    let Some(low) = b.get(1..=extra) else { return Ok(None) };
    let mut bytes = [0u8; 8];
    for (to, from) in bytes.iter_mut().zip(low) {
        *to = *from;
    }
    if let Some(top) = bytes.get_mut(extra) {
        *top = first & ((1u16 << (8 - extra)) - 1) as u8;
    }
    Ok(Some((u64::from_le_bytes(bytes) as u32 as i32, extra + 1)))
}

/// See [`decode_varint`].
pub fn encode_varint(v: i32) -> Encoded {
    let bytes = v.to_le_bytes();
    let mut k = 4;
    while k > 1 && bytes[k - 1] == 0 {
        k -= 1;
    }
    encode_tail(&bytes[..k], 1)
}

/// A varlong with at least `min` bytes (1..=8), up to 9, two's complement. One that announces more than 9 is
/// [`VarintOverflow`](ProtocolError::VarintOverflow).
pub fn decode_varlong(b: &[u8], min: usize) -> Decoded<i64> {
    let Some(&first) = b.first() else { return Ok(None) };
    let extra = if first == 0xff { 8 } else { first.leading_ones() as usize };
    let low_len = min - 1 + extra;
    if low_len > 8 {
        return Err(ProtocolError::VarintOverflow);
    }
    let Some(low) = b.get(1..=low_len) else { return Ok(None) };
    let mut bytes = [0u8; 9];
    for (to, from) in bytes.iter_mut().zip(low) {
        *to = *from;
    }
    if let Some(top) = bytes.get_mut(low_len) {
        *top = first & ((1u16 << (8 - extra.min(8))) - 1) as u8;
    }
    let mut word = [0u8; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = from;
    }
    Ok(Some((i64::from_le_bytes(word), low_len + 1)))
}

/// See [`decode_varlong`].
pub fn encode_varlong(v: i64, min: usize) -> Encoded {
    let bytes = v.to_le_bytes();
    let mut k = 8;
    while k > min && bytes[k - 1] == 0 {
        k -= 1;
    }
    encode_tail(&bytes[..k], min)
}

/// `bytes`: the significant bytes, at least `min` of them. The last one moves to the front, merged with the
/// count of bytes beyond `min` where it fits beside it.
fn encode_tail(bytes: &[u8], min: usize) -> Encoded {
    let extra = bytes.len() - min;
    let top = bytes[bytes.len() - 1];
    let mut out = Encoded::default();
    let marker = |n: usize| !(0xffu32 >> n) as u8;
    if u32::from(top) < 1 << (7 - extra.min(7)) {
        out.push(top | marker(extra));
        for &b in &bytes[..bytes.len() - 1] {
            out.push(b);
        }
    } else {
        out.push(marker(extra + 1));
        for &b in bytes {
            out.push(b);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_the_specification() {
        let table: [(i32, &[u8]); 12] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 0x80]),
            (256, &[0x81, 0]),
            (511, &[0x81, 0xff]),
            (16383, &[0xbf, 0xff]),
            (16384, &[0xc0, 0, 0x40]),
            (65535, &[0xc0, 0xff, 0xff]),
            (2_097_152, &[0xe0, 0, 0, 0x20]),
            (268_435_456, &[0xf0, 0, 0, 0, 0x10]),
            (0x7fff_ffff, &[0xf0, 0xff, 0xff, 0xff, 0x7f]),
            (-1, &[0xf0, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (value, bytes) in table {
            assert_eq!(encode_varint(value).as_slice(), bytes, "{value}");
            assert_eq!(decode_varint(bytes).unwrap(), Some((value, bytes.len())));
            assert_eq!(decode_varint(&bytes[..bytes.len() - 1]).unwrap(), None);
        }
        assert_eq!(decode_varint(&[0xf8, 0, 0, 0, 0, 0]), Err(ProtocolError::VarintOverflow));
    }

    #[test]
    fn varlongs_of_the_specification() {
        let table: [(usize, i64, &[u8]); 11] = [
            (3, 0, &[0, 0, 0]),
            (3, 1, &[0, 1, 0]),
            (3, 4096, &[0, 0, 0x10]),
            (3, 0x7f_ffff, &[0x7f, 0xff, 0xff]),
            (3, 0x80_0000, &[0x80, 0, 0, 0x80]),
            (3, 0xffff_ffff, &[0xc0, 0xff, 0xff, 0xff, 0xff]),
            (3, 1_000_000_000_000, &[0xe0, 0, 0x10, 0xa5, 0xd4, 0xe8]),
            (3, i64::MAX, &[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            (4, 1_700_000_000, &[0x65, 0, 0xf1, 0x53]),
            (4, 1 << 32, &[0x81, 0, 0, 0, 0]),
            (4, -1, &[0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (min, value, bytes) in table {
            assert_eq!(encode_varlong(value, min).as_slice(), bytes, "{value}");
            assert_eq!(decode_varlong(bytes, min).unwrap(), Some((value, bytes.len())));
            assert_eq!(decode_varlong(&bytes[..bytes.len() - 1], min).unwrap(), None);
        }
        assert_eq!(decode_varlong(&[0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0], 3), Err(ProtocolError::VarintOverflow));
    }
}
