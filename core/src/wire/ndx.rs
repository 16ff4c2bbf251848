//! File indexes (NDX): i32 LE below protocol 30, delta-coded bytes from there on (spec: NDX).
//!
//! From 30 on, -1 is the byte `00`. A value of 0 and more is told by its distance *d* from the last such value of
//! the direction (at first -1); a value below -1 by the byte `ff` and then its absolute value in the same way (the
//! last one being 1 at first).
//!
//! | d | bytes |
//! |---|---|
//! | 1 to 253 | d |
//! | 0, 254 to 32767 | `fe`, then d as u16 **big-endian** |
//! | else | `fe`, then the (absolute) value itself: bits 24 to 30 with the top bit set, then bits 0 to 23 LE |
//!
//! Each direction has a state of its own, from its first index to its last, all lists and phases included.
//!
//! ```
//! use arsync_core::{version::ProtocolVersion, wire::ndx::{NDX_DONE, NDX_FLIST_EOF, NDX_FLIST_OFFSET, NdxState}};
//!
//! let mut state = NdxState::new(ProtocolVersion::MAX);
//! let mut bytes = |ndx| state.encode(ndx).as_slice().to_vec();
//! assert_eq!(bytes(0), [0x01]);
//! assert_eq!(bytes(5), [0x05]);
//! assert_eq!(bytes(NDX_DONE), [0x00]);
//! assert_eq!(bytes(600), [0xfe, 0x02, 0x53]); // 595 more
//! assert_eq!(bytes(500), [0xfe, 0x80, 0xf4, 0x01, 0x00]); // going back
//! assert_eq!(bytes(NDX_FLIST_OFFSET - 1), [0xff, 0x65]); // the list of directory 1
//! assert_eq!(bytes(NDX_FLIST_EOF), [0xff, 0xfe, 0x80, 0x02, 0x00, 0x00]);
//! ```

use super::{Decoded, Encoded};
use crate::version::ProtocolVersion;

/// End of a phase or list. From protocol 30 on the byte `00`, which leaves the state as it is.
pub const NDX_DONE: i32 = -1;
/// No further file lists; sender to receiving side, once, with incremental recursion (protocol ≥ 30).
pub const NDX_FLIST_EOF: i32 = -2;
/// Deletion statistics follow: five varints, see `session::goodbye::read_del_stats` (protocol ≥ 31).
pub const NDX_DEL_STATS: i32 = -3;
/// The value -101-k announces the list of directory number k, from 0 on, which follows at once; sender to receiving side, with
/// incremental recursion (protocol ≥ 30). Every smaller value is an announcement.
pub const NDX_FLIST_OFFSET: i32 = -101;

/// The running state of one direction; kept for the whole session.
#[derive(Debug, Clone, Copy)]
pub struct NdxState {
    delta_coded: bool,
    prev_positive: i32,
    prev_negative: i32,
}

impl NdxState {
    /// The state at the start of a session.
    pub const fn new(version: ProtocolVersion) -> Self {
        Self { delta_coded: version.has_varints(), prev_positive: -1, prev_negative: 1 }
    }

    /// Encodes an index and moves the state on.
    #[allow(clippy::cast_possible_truncation, reason = "the low bytes are meant")]
    pub fn encode(&mut self, ndx: i32) -> Encoded {
        if !self.delta_coded {
            return Encoded::from_slice(&ndx.to_le_bytes());
        }
        let mut out = Encoded::default();
        let (value, delta) = if ndx >= 0 {
            let d = ndx.wrapping_sub(self.prev_positive);
            self.prev_positive = ndx;
            (ndx, d)
        } else if ndx == NDX_DONE {
            out.push(0);
            return out;
        } else {
            out.push(0xff);
            let n = ndx.wrapping_neg();
            let d = n.wrapping_sub(self.prev_negative);
            self.prev_negative = n;
            (n, d)
        };
        match delta {
            1..=253 => out.push(delta as u8),
            0 | 254..=32767 => {
                out.push(0xfe);
                out.push((delta >> 8) as u8);
                out.push(delta as u8);
            }
            _ => {
                out.push(0xfe);
                out.push((value >> 24) as u8 | 0x80);
                out.push(value as u8);
                out.push((value >> 8) as u8);
                out.push((value >> 16) as u8);
            }
        }
        out
    }

    /// Decodes an index: 0..=2^31 - 1 or a negative one. The state moves on only when a value is returned. Whether there is
    /// such an entry is the caller's check; a distance that leads past 2^31 - 1 is
    /// [`BadNdx`](crate::error::ProtocolError::BadNdx).
    pub fn decode(&mut self, b: &[u8]) -> Decoded<i32> {
        if !self.delta_coded {
            return super::int::decode_i32(b);
        }
        let (negative, at) = match b.first() {
            None => return Ok(None),
            Some(0) => return Ok(Some((NDX_DONE, 1))),
            Some(0xff) => (true, 1),
            Some(_) => (false, 0),
        };
        let Some(&first) = b.get(at) else { return Ok(None) };
        let prev = if negative { self.prev_negative } else { self.prev_positive };
        let (value, used) = if first == 0xfe {
            let (Some(&hi), Some(&lo)) = (b.get(at + 1), b.get(at + 2)) else { return Ok(None) };
            if hi & 0x80 != 0 {
                let (Some(&b1), Some(&b2)) = (b.get(at + 3), b.get(at + 4)) else { return Ok(None) };
                (i64::from(i32::from_le_bytes([lo, b1, b2, hi & 0x7f])), 5)
            } else {
                (i64::from(prev) + i64::from(u16::from_be_bytes([hi, lo])), 3)
            }
        } else {
            (i64::from(prev) + i64::from(first), 1)
        };
        let Ok(value) = i32::try_from(value) else {
            return Err(crate::error::ProtocolError::BadNdx { got: i32::MAX, first: 0, last: i32::MAX });
        };
        if negative {
            self.prev_negative = value;
            Ok(Some((value.wrapping_neg(), at + used)))
        } else {
            self.prev_positive = value;
            Ok(Some((value, at + used)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: [(i32, &[u8]); 13] = [
        (0, &[1]),
        (1, &[1]),
        (5, &[4]),
        (258, &[0xfd]),
        (259, &[1]),
        (513, &[0xfe, 0, 0xfe]),
        (513, &[0xfe, 0, 0]),
        (-1, &[0]),
        (500, &[0xfe, 0x80, 0xf4, 1, 0]),
        (100_000, &[0xfe, 0x80, 0xa0, 0x86, 1]),
        (-2, &[0xff, 1]),
        (-101, &[0xff, 0x63]),
        (-3, &[0xff, 0xfe, 0x80, 3, 0, 0]),
    ];

    #[test]
    fn the_sequence_of_the_specification() {
        let v32 = ProtocolVersion::MAX;
        let (mut write, mut read) = (NdxState::new(v32), NdxState::new(v32));
        for (ndx, bytes) in SEQUENCE {
            assert_eq!(write.encode(ndx).as_slice(), bytes, "{ndx}");
            for cut in 0..bytes.len() {
                assert_eq!(read.decode(&bytes[..cut]).unwrap(), None);
            }
            assert_eq!(read.decode(bytes).unwrap(), Some((ndx, bytes.len())));
        }
    }

    #[test]
    fn old_protocols_use_plain_words() {
        let mut state = NdxState::new(ProtocolVersion::MIN);
        assert_eq!(state.encode(-1).as_slice(), [0xff; 4]);
        assert_eq!(state.decode(&[2, 0, 0, 0]).unwrap(), Some((2, 4)));
    }
}
