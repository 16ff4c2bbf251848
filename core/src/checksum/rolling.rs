//! The weak checksum of a block, which can be moved along a file byte by byte.
//!
//! Bytes are signed. With n bytes b: s1 = Σ b\[i\], s2 = Σ (n − i)·b\[i\], both modulo 2^16; the sum is
//! s1 | s2 << 16, sent as u32 LE (spec: weak rolling checksum).

#![allow(clippy::cast_possible_truncation, reason = "a weak sum is made of two halves of 16 bits, and wraps")]

/// Bytes per step of a sum: as many 16-bit lanes, two or four vectors.
const ROW: usize = 32;
/// What a signed byte is moved by to become an unsigned one, which is cheaper to widen.
const BIAS: u8 = 0x80;

/// The weak sum of a block; it has no seed.
pub fn weak(block: &[u8]) -> u32 {
    Rolling::new(block).value()
}

/// The weak sum of a window that moves along a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolling {
    s1: u32,
    s2: u32,
}

impl Rolling {
    /// The sum of a first window.
    #[inline]
    pub fn new(block: &[u8]) -> Self {
        let (rows, rest) = block.as_chunks::<ROW>();
        let (mut s1, mut s2) = row_sums(rows);
        for &b in rest {
            s1 = s1.wrapping_add(signed(b));
            s2 = s2.wrapping_add(s1);
        }
        Self { s1, s2 }
    }

    /// Moves the window of `len` bytes by one: `old` leaves in front, `new` enters behind.
    #[inline(always)]
    pub fn roll(&mut self, old: u8, new: u8, len: u32) {
        self.s1 = self.s1.wrapping_add(signed(new)).wrapping_sub(signed(old));
        self.s2 = self.s2.wrapping_add(self.s1).wrapping_sub(len.wrapping_mul(signed(old)));
    }

    /// The sum as sent.
    #[inline(always)]
    pub fn value(self) -> u32 {
        self.s1 & 0xffff | self.s2 << 16
    }
}

impl From<u32> for Rolling {
    /// Goes on from a sum as sent.
    fn from(sum: u32) -> Self {
        Self { s1: sum & 0xffff, s2: sum >> 16 }
    }
}

/// Both halves of the sum of whole rows.
///
/// Both are modulo 2^16, so that each column of the rows can be summed up in a lane of 16 bits, whatever the length:
/// `column` is Σ b, `running` the sum of all its values, in which the byte of row r of R counts R − r times. Within
/// a row, a byte of column c counts c times less than one of the first.
#[inline(always)]
fn row_sums(rows: &[[u8; ROW]]) -> (u32, u32) {
    let (mut column, mut running) = ([0u16; ROW], [0u16; ROW]);
    for row in rows {
        for c in 0..ROW {
            column[c] = column[c].wrapping_add(u16::from(row[c] ^ BIAS));
            running[c] = running[c].wrapping_add(column[c]);
        }
    }
    // What the bias has added: to s1 once for each of the n bytes, to s2 1 + 2 + ... + n times.
    let n = rows.len() as u64 * ROW as u64;
    let bias = u32::from(BIAS);
    let mut s1 = (n as u32).wrapping_mul(bias).wrapping_neg();
    let mut s2 = ((n * (n + 1) / 2) as u32).wrapping_mul(bias).wrapping_neg();
    for (c, (column, running)) in (0u32..).zip(column.into_iter().zip(running)) {
        let column = u32::from(column);
        s1 = s1.wrapping_add(column);
        s2 = s2.wrapping_add(u32::from(running) * ROW as u32).wrapping_sub(column * c);
    }
    (s1, s2)
}

#[inline(always)]
fn signed(b: u8) -> u32 {
    i32::from(b as i8) as u32
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn sums_are_those_observed() {
        let a: Vec<u8> = (0..700u32).map(|i| (7 * i + 3) as u8).collect();
        let b: Vec<u8> = (0..700u32).map(|i| (13 * i + 9) as u8).collect();
        assert_eq!(weak(&a).to_le_bytes(), [0xda, 0xfe, 0x0c, 0x76]);
        assert_eq!(weak(&b).to_le_bytes(), [0x3e, 0x00, 0x74, 0x66]);
        assert_eq!(weak(b""), 0);
        assert_eq!(weak(&[0xff]), 0xffff_ffff);
    }

    #[test]
    fn sums_of_any_length_are_those_of_the_definition() {
        let data: Vec<u8> = (0..140_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        for len in [0, 1, 31, 32, 33, 63, 64, 95, 700, 65_536, 131_072, 139_999] {
            let (mut s1, mut s2) = (0i64, 0i64);
            for (i, &b) in data[1..].iter().take(len).enumerate() {
                s1 += i64::from(b as i8);
                s2 += (len - i) as i64 * i64::from(b as i8);
            }
            assert_eq!(weak(&data[1..1 + len]), s1 as u16 as u32 | u32::from(s2 as u16) << 16, "{len}");
        }
    }

    #[test]
    fn rolling_equals_summing_anew() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for len in [1, 2, 63, 64, 65, 200] {
            let mut rolling = Rolling::new(&data[..len]);
            for i in 0..data.len() - len {
                assert_eq!(rolling.value(), weak(&data[i..i + len]));
                rolling.roll(data[i], data[i + len], len as u32);
            }
        }
    }
}
