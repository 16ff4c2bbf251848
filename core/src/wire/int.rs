//! Fixed-width integers, and the longint of protocols below 30.
//!
//! | name | bytes | layout, and what it is used for |
//! |---|---|---|
//! | byte | 1 | lengths up to 255, list flags, the basis type of an item |
//! | shortint | 2 | u16 LE: the flags of an item |
//! | int | 4 | i32 LE, two's complement: versions, the seed, plain tokens, sum heads, modes |
//! | longint | 4 or 12 | 64 bits below protocol 30: sizes, device and inode, statistics |
//!
//! ```
//! use arsync_core::wire::int::{decode_longint, encode_longint};
//!
//! assert_eq!(encode_longint(19_040).as_slice(), [0x60, 0x4a, 0, 0]);
//! assert_eq!(encode_longint(1 << 31).as_slice(), [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80, 0, 0, 0, 0]);
//! assert_eq!(decode_longint(&[0x60, 0x4a, 0, 0, 9]), Ok(Some((19_040, 4))));
//! assert_eq!(decode_longint(&[0xff; 4]), Ok(None)); // more bytes are needed
//! ```

use super::{Decoded, Encoded};

/// byte: one, 0..=255.
pub fn decode_u8(b: &[u8]) -> Decoded<u8> {
    Ok(b.first().map(|&v| (v, 1)))
}

/// shortint: u16 LE.
pub fn decode_u16(b: &[u8]) -> Decoded<u16> {
    Ok(b.first_chunk().map(|c| (u16::from_le_bytes(*c), 2)))
}

/// int: i32 LE.
pub fn decode_i32(b: &[u8]) -> Decoded<i32> {
    Ok(b.first_chunk().map(|c| (i32::from_le_bytes(*c), 4)))
}

/// longint: i32 LE for 0..=0x7fffffff, else `ff ff ff ff` and i64 LE. Any other negative first word is
/// taken as it is. There is no error: callers refuse negative sizes.
pub fn decode_longint(b: &[u8]) -> Decoded<i64> {
    let Some((word, _)) = decode_i32(b)? else { return Ok(None) };
    if word != -1 {
        return Ok(Some((i64::from(word), 4)));
    }
    Ok(b.get(4..).and_then(|r| r.first_chunk()).map(|c| (i64::from_le_bytes(*c), 12)))
}

/// See [`decode_longint`].
pub fn encode_longint(v: i64) -> Encoded {
    if let Ok(small) = i32::try_from(v)
        && small >= 0
    {
        return Encoded::from_slice(&small.to_le_bytes());
    }
    let mut out = Encoded::from_slice(&[0xff; 4]);
    for b in v.to_le_bytes() {
        out.push(b);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longint_is_short_below_two_gib() {
        assert_eq!(encode_longint(0x7fff_ffff).as_slice(), [0xff, 0xff, 0xff, 0x7f]);
        let long = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80, 0, 0, 0, 0];
        assert_eq!(encode_longint(0x8000_0000).as_slice(), long);
        assert_eq!(decode_longint(&long).unwrap(), Some((0x8000_0000, 12)));
        assert_eq!(decode_longint(&long[..11]).unwrap(), None);
    }
}
