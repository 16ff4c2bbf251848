//! The header of the block sums of a basis file (spec: sum_head).

#![allow(clippy::cast_possible_truncation, reason = "lengths are bounded by the largest block")]

use crate::{
    error::{Limit, ProtocolError},
    version::ProtocolVersion,
};

/// Blocks up to this many bytes squared are cut in blocks of this size.
const SMALLEST_BLOCK: u32 = 700;

/// How a basis file is cut into blocks.
///
/// Wire, behind the header of an item whose data is wanted, from the generator to the sender and echoed by the sender, all versions:
/// four i32 LE, in the order of the fields.
/// Block `i` starts at `i * block_len`; all have `block_len` bytes but the last one, which has `remainder`
/// bytes if that is not 0. All zero: there is no basis. After the generator's header come `count` times the
/// weak sum (u32 LE) and the first `s2length` bytes of the strong sum; with `--append` none, the head says how much there is.
///
/// ```
/// use arsync_core::{delta::SumHead, version::ProtocolVersion};
///
/// // 27 blocks of 700 bytes, the last of 264, with two bytes of each strong sum.
/// let bytes = [27, 0, 0, 0, 0xbc, 2, 0, 0, 2, 0, 0, 0, 8, 1, 0, 0];
/// let head = SumHead::decode(&bytes, ProtocolVersion::MAX, 16)?;
/// assert_eq!(head, SumHead { count: 27, block_len: 700, s2length: 2, remainder: 264 });
/// assert_eq!(head.encode(), bytes);
/// assert_eq!((head.basis_len(), head.block_range(26)), (18_464, (18_200, 264)));
/// # Ok::<(), arsync_core::error::ProtocolError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SumHead {
    /// Number of blocks, 0..=2^31 - 1.
    pub count: u32,
    /// Bytes per block, 0..=2^17 (protocol < 30: 2^29); 0 only without blocks.
    pub block_len: u32,
    /// Bytes of each strong sum that are sent, 0..=length of the digest.
    pub s2length: u32,
    /// Bytes of the last block, 0: it is a full one; at most `block_len`.
    pub remainder: u32,
}

impl SumHead {
    /// No basis.
    pub const EMPTY: Self = Self { count: 0, block_len: 0, s2length: 0, remainder: 0 };

    /// The four words.
    pub fn encode(&self) -> [u8; 16] {
        let mut out = [0; 16];
        let words = [self.count, self.block_len, self.s2length, self.remainder];
        for (at, word) in out.chunks_exact_mut(4).zip(words) {
            at.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// Reads and checks a header from the peer. `digest_len` is that of the transfer checksum.
    ///
    /// A field outside of its range is [`OutOfRange`](ProtocolError::OutOfRange), with the [`Limit`] of its name. The count is bounded
    /// by its type only: see [`Self::table_bytes`].
    pub fn decode(
        bytes: &[u8; 16],
        version: ProtocolVersion,
        digest_len: usize,
    ) -> Result<Self, ProtocolError> {
        let word = |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let field = |what: Limit, got: i32, max: u32| match u32::try_from(got) {
            Ok(value) if value <= max => Ok(value),
            _ => Err(ProtocolError::OutOfRange { what, got: got.into(), max: max.into() }),
        };
        let count = field(Limit::SumCount, word(0), i32::MAX as u32)?;
        let block_len = field(Limit::BlockLength, word(4), version.max_block_length())?;
        if count > 0 && block_len == 0 {
            return Err(ProtocolError::OutOfRange {
                what: Limit::ZeroBlockLength,
                got: 0,
                max: version.max_block_length().into(),
            });
        }
        let s2length = field(Limit::ChecksumLength, word(8), digest_len as u32)?;
        let remainder = field(Limit::Remainder, word(12), block_len)?;
        Ok(Self { count, block_len, s2length, remainder })
    }

    /// Length of the basis file, bytes.
    pub fn basis_len(&self) -> u64 {
        let full = u64::from(self.count) * u64::from(self.block_len);
        match self.remainder {
            0 => full,
            r => full.saturating_sub(u64::from(self.block_len.saturating_sub(r))),
        }
    }

    /// Offset and length of block `i`, bytes. Meaningful for `i < count`.
    pub fn block_range(&self, i: u32) -> (u64, u32) {
        let last = i.checked_add(1) == Some(self.count);
        let len = if last && self.remainder != 0 { self.remainder } else { self.block_len };
        (u64::from(i) * u64::from(self.block_len), len)
    }

    /// Offset and length of the blocks `first..end`, bytes. Meaningful for `first < end <= count`.
    pub fn span(&self, first: u32, end: u32) -> (u64, usize) {
        let (from, _) = self.block_range(first);
        let (last, len) = self.block_range(end.saturating_sub(1));
        (from, usize::try_from(last + u64::from(len) - from).unwrap_or(usize::MAX))
    }

    /// Memory that a table of these sums takes in the reference, bytes: what `--max-alloc` is compared with.
    pub fn table_bytes(&self) -> u64 {
        u64::from(self.count) * (16 + u64::from(self.s2length))
    }

    /// The header for a basis of `len` bytes. `block_size` is `--block-size`, 0: automatic; `redo`: the second
    /// attempt, with full-length sums. None if there would be more than 2^31 - 1 blocks.
    pub fn for_basis(
        len: u64,
        block_size: u32,
        version: ProtocolVersion,
        redo: bool,
        digest_len: usize,
    ) -> Option<Self> {
        if len == 0 {
            return Some(Self::EMPTY);
        }
        let block_len = match block_size {
            0 => block_length(len, version.max_block_length()),
            b => b.min(version.max_block_length()),
        };
        let count = u32::try_from(len.div_ceil(block_len.into())).ok().filter(|&n| n <= i32::MAX as u32)?;
        let longest = digest_len.min(16) as u32;
        let s2length = if redo { longest } else { strong_length(len, block_len).min(longest) };
        Some(Self { count, block_len, s2length, remainder: (len % u64::from(block_len)) as u32 })
    }
}

/// The square root of the length, rounded down to a multiple of 8, between 700 and `max`.
fn block_length(len: u64, max: u32) -> u32 {
    if len <= u64::from(SMALLEST_BLOCK).pow(2) {
        return SMALLEST_BLOCK;
    }
    let top = 1u64 << (len.ilog2() / 2);
    if top >= max.into() {
        return max;
    }
    let (mut bit, mut root) = (top, 0u64);
    while bit >= 8 {
        if (root | bit).pow(2) <= len {
            root |= bit;
        }
        bit >>= 1;
    }
    (root as u32).max(SMALLEST_BLOCK)
}

/// Enough bits that a false match is unlikely in a file of this length, in bytes, at least 2.
fn strong_length(len: u64, block_len: u32) -> u32 {
    let bits = (10 + 2 * len.ilog2() as i32 - block_len.ilog2() as i32).max(0);
    ((bits + 1 - 32 + 7) / 8).max(2) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const P32: ProtocolVersion = ProtocolVersion::MAX;

    fn p29() -> ProtocolVersion {
        ProtocolVersion::new(29).unwrap()
    }
    fn head(len: u64, version: ProtocolVersion) -> [u32; 4] {
        let h = SumHead::for_basis(len, 0, version, false, 16).unwrap();
        assert_eq!(h.basis_len(), len);
        [h.count, h.block_len, h.s2length, h.remainder]
    }

    #[test]
    fn headers_are_those_of_the_stock_program() {
        let table = [
            (1, [1, 700, 2, 1]),
            (700, [1, 700, 2, 0]),
            (490_000, [700, 700, 2, 0]),
            (490_001, [701, 700, 2, 1]),
            (600_000, [782, 768, 2, 192]),
            (1_000_000, [1000, 1000, 2, 0]),
            (1_048_576, [1024, 1024, 2, 0]),
            (10_000_000, [3165, 3160, 2, 1760]),
            (16_777_216, [4096, 4096, 2, 0]),
            (123_456_789, [11119, 11104, 3, 2517]),
            (1_073_741_824, [32768, 32768, 3, 0]),
            (10_000_000_000, [100_000, 100_000, 4, 0]),
            (17_179_869_184, [131_072, 131_072, 4, 0]),
        ];
        for (len, expected) in table {
            assert_eq!(head(len, P32), expected, "{len}");
            assert_eq!(head(len, p29()), expected, "{len} at 29");
        }
        assert_eq!(head(17_179_881_529, P32), [131_073, 131_072, 4, 12345]);
        assert_eq!(head(1_099_511_627_776, P32), [8_388_608, 131_072, 6, 0]);
        assert_eq!(head(1_099_511_627_776, p29()), [1_048_576, 1_048_576, 5, 0]);
    }

    #[test]
    fn redo_uses_full_sums_and_options_choose_the_block_size() {
        let redo = SumHead::for_basis(1405, 0, P32, true, 20).unwrap();
        assert_eq!(redo.encode(), [3, 0, 0, 0, 0xbc, 2, 0, 0, 0x10, 0, 0, 0, 5, 0, 0, 0]);
        let sized = SumHead::for_basis(1405, 1000, P32, false, 16).unwrap();
        assert_eq!((sized.count, sized.block_len, sized.remainder), (2, 1000, 405));
        assert_eq!(SumHead::for_basis(0, 0, P32, false, 16), Some(SumHead::EMPTY));
        assert_eq!(SumHead::for_basis(1 << 40, 500, P32, false, 16), None);
        assert_eq!(SumHead::for_basis(1405, 0, P32, true, 8).unwrap().s2length, 8);
    }

    #[test]
    fn block_ranges_end_with_the_remainder() {
        let h = SumHead { count: 2, block_len: 700, s2length: 2, remainder: 300 };
        assert_eq!(h.block_range(0), (0, 700));
        assert_eq!(h.block_range(1), (700, 300));
        assert_eq!(h.basis_len(), 1000);
        assert_eq!([h.span(0, 1), h.span(0, 2), h.span(1, 2)], [(0, 700), (0, 1000), (700, 300)]);
    }

    fn decode(words: [i32; 4], version: ProtocolVersion) -> Result<SumHead, Limit> {
        let mut bytes = [0; 16];
        for (at, word) in bytes.chunks_exact_mut(4).zip(words) {
            at.copy_from_slice(&word.to_le_bytes());
        }
        SumHead::decode(&bytes, version, 16).map_err(|e| match e {
            ProtocolError::OutOfRange { what, .. } => what,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn hostile_headers_are_refused() {
        assert_eq!(decode([-1, 700, 2, 0], P32), Err(Limit::SumCount));
        assert_eq!(decode([1, -1, 2, 0], P32), Err(Limit::BlockLength));
        assert_eq!(decode([1, 131_073, 2, 0], P32), Err(Limit::BlockLength));
        assert_eq!(decode([1, (1 << 29) + 1, 2, 0], p29()), Err(Limit::BlockLength));
        assert_eq!(decode([1, 0, 2, 0], P32), Err(Limit::ZeroBlockLength));
        assert_eq!(decode([1, 700, 17, 0], P32), Err(Limit::ChecksumLength));
        assert_eq!(decode([1, 700, -1, 0], P32), Err(Limit::ChecksumLength));
        assert_eq!(decode([1, 700, 2, 701], P32), Err(Limit::Remainder));
        assert_eq!(decode([1, 700, 2, -1], P32), Err(Limit::Remainder));
        assert_eq!(decode([0, 0, 0, 0], P32), Ok(SumHead::EMPTY));
        assert_eq!(
            decode([1, 1 << 29, 16, 1 << 29], p29()),
            Ok(SumHead { count: 1, block_len: 1 << 29, s2length: 16, remainder: 1 << 29 })
        );
    }
}
