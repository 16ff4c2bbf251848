//! Finds the blocks that have a given weak sum.
//!
//! Four levels, so that the common answer "none" is cheap: a bitmap indexed by the weak sum as it is, which takes
//! no arithmetic; a smaller one over the mixed sum; a table of ranges by the top bits of the mixed sum; and the
//! entries sorted by mixed sum. Blocks with equal sums are one entry; at most [`MAX_CANDIDATES`] entries share a
//! weak sum.

#![allow(
    clippy::cast_possible_truncation,
    reason = "an entry is a weak sum and the number of a block, 32 bits each"
)]

use alloc::{vec, vec::Vec};
use core::ops::Range;

use super::windows::{ROW, Windows};

/// Different blocks that are tried for one weak sum.
const MAX_CANDIDATES: usize = 1024;
/// Words of the first bitmap: one per block, so that one position in 64 of a file without matches looks further,
/// but no more than the upper half of a weak sum tells apart. 512 KiB still fit the cache.
const MAX_WORDS: usize = 1 << 16;
/// Bits per block of the second bitmap, which one in 16 of those passes.
const BITS_PER_BLOCK: usize = 16;

#[derive(Debug)]
pub(super) struct Index {
    /// Bit `s1 % 64` of word `s2 & mask`, where s1 and s2 are the halves of the weak sum.
    words: Vec<u64>,
    mask: usize,
    /// Bit `mix(weak) >> bit_shift`.
    bitmap: Vec<u64>,
    bit_shift: u32,
    /// First entry of each value of `mix(weak) >> range_shift`, and the number of entries.
    ranges: Vec<u32>,
    range_shift: u32,
    /// Mixed weak sum in the upper half, block number in the lower one; sorted by the upper half.
    entries: Vec<u64>,
}

/// A bijection that spreads the weak sum into the top bits.
#[inline(always)]
fn mix(weak: u32) -> u32 {
    weak.wrapping_mul(0x9e37_79b1)
}

/// The prefix of the mixed sum that an array of 2^`bits` places is indexed with; `bits` is 1..=31.
fn shift(bits: u32) -> u32 {
    32 - bits
}

impl Index {
    /// `strong` holds `width` bytes per block. Only as many blocks as `weak` has are indexed.
    pub(super) fn new(weak: &[u32], strong: &[u8], width: usize) -> Self {
        let mut entries: Vec<u64> =
            weak.iter().enumerate().map(|(i, &w)| u64::from(mix(w)) << 32 | i as u64).collect();
        entries.sort_unstable();
        collapse(&mut entries, strong, width);

        let blocks = entries.len().max(64);
        let mask = blocks.next_power_of_two().min(MAX_WORDS) - 1;
        let mut words = vec![0u64; mask + 1];
        let bit_shift = shift((blocks * BITS_PER_BLOCK).next_power_of_two().ilog2().min(31));
        let mut bitmap = vec![0u64; 1 << (32 - bit_shift - 6)];
        for entry in &entries {
            let bit = (entry >> 32) as u32 >> bit_shift;
            bitmap[(bit >> 6) as usize] |= 1 << (bit & 63);
            let weak = weak[*entry as u32 as usize];
            words[(weak >> 16) as usize & mask] |= 1 << (weak & 63);
        }

        let range_shift = shift(entries.len().max(2).next_power_of_two().ilog2().min(24));
        let mut ranges = vec![0u32; (1 << (32 - range_shift)) + 1];
        for entry in &entries {
            ranges[((entry >> 32) as u32 >> range_shift) as usize + 1] += 1;
        }
        let mut total = 0;
        for n in &mut ranges {
            total += *n;
            *n = total;
        }
        Self { words, mask, bitmap, bit_shift, ranges, range_shift, entries }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first window from `from` on whose sum some block may have.
    #[inline(never)]
    pub(super) fn first(&self, windows: &Windows, from: usize) -> Option<usize> {
        // The end in terms of the mask spares the bounds check of each word.
        let words = &self.words[..=self.mask];
        for (row, (s1, s2)) in windows.rows().enumerate().skip(from / ROW) {
            for i in 0..ROW {
                let word = words[usize::from(s2[i]) & self.mask];
                if word >> (s1[i] & 63) & 1 != 0 {
                    let at = row * ROW + i;
                    if at >= from && self.mixed(windows.sum(at)) {
                        return Some(at);
                    }
                }
            }
        }
        None
    }

    /// False: no block has this weak sum.
    #[inline]
    pub(super) fn may_have(&self, weak: u32) -> bool {
        self.words[(weak >> 16) as usize & self.mask] >> (weak & 63) & 1 != 0 && self.mixed(weak)
    }

    fn mixed(&self, weak: u32) -> bool {
        let bit = mix(weak) >> self.bit_shift;
        self.bitmap[(bit >> 6) as usize] >> (bit & 63) & 1 != 0
    }

    /// Places of the blocks with this weak sum, for [`Self::block`].
    #[inline]
    pub(super) fn candidates(&self, weak: u32) -> Range<usize> {
        let key = mix(weak);
        let range = (key >> self.range_shift) as usize;
        let (mut from, to) = (self.ranges[range] as usize, self.ranges[range + 1] as usize);
        let mut entries = &self.entries[from..to];
        if entries.len() > 16 {
            let skip = entries.partition_point(|e| ((e >> 32) as u32) < key);
            from += skip;
            entries = &entries[skip..];
        } else {
            let skip = entries.iter().take_while(|&&e| ((e >> 32) as u32) < key).count();
            from += skip;
            entries = &entries[skip..];
        }
        let len = entries.iter().take_while(|&&e| (e >> 32) as u32 == key).count();
        from..from + len
    }

    /// The block number at a place.
    #[inline]
    pub(super) fn block(&self, place: usize) -> u32 {
        self.entries[place] as u32
    }
}

/// Leaves one entry for all blocks with equal sums, the last of them, which an in-place update can use for longest; and
/// a bounded number for each weak sum.
fn collapse(entries: &mut Vec<u64>, strong: &[u8], width: usize) {
    let sum = |entry: u64| {
        let block = entry as u32 as usize;
        &strong[block * width..][..width]
    };
    let (mut from, mut filled) = (0, 0);
    while from < entries.len() {
        let key = entries[from] >> 32;
        let mut to = from + 1;
        while to < entries.len() && entries[to] >> 32 == key {
            to += 1;
        }
        if to - from > 1 {
            let group = &mut entries[from..to];
            group.sort_unstable_by(|&a, &b| sum(a).cmp(sum(b)).then(b.cmp(&a)));
        }
        let start = filled;
        for at in from..to {
            let entry = entries[at];
            if filled > start && sum(entries[filled - 1]) == sum(entry) {
                continue;
            }
            if filled - start == MAX_CANDIDATES {
                break;
            }
            entries[filled] = entry;
            filled += 1;
        }
        from = to;
    }
    entries.truncate(filled);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checksum::weak, delta::windows::RUN};

    fn blocks(index: &Index, weak: u32) -> Vec<u32> {
        assert!(index.may_have(weak) || index.candidates(weak).is_empty());
        index.candidates(weak).map(|p| index.block(p)).collect()
    }

    #[test]
    fn equal_blocks_are_one_candidate() {
        let weak = [5, 9, 5, 5, 9];
        let strong = *b"aabbaaccbb";
        let index = Index::new(&weak, &strong, 2);
        assert_eq!(blocks(&index, 5), [2, 3]);
        assert_eq!(blocks(&index, 9), [4]);
        assert_eq!(blocks(&index, 6), []);
    }

    #[test]
    fn candidates_of_one_weak_sum_are_bounded() {
        let weak = vec![7; 3000];
        let strong: Vec<u8> = (0..3000u16).flat_map(u16::to_be_bytes).collect();
        let index = Index::new(&weak, &strong, 2);
        assert_eq!(blocks(&index, 7).len(), 1024);
    }

    #[test]
    fn the_first_window_with_a_known_sum_is_found() {
        let (len, data): (usize, Vec<u8>) =
            (50, (0..RUN as u32 + 50).map(|i| ((i * i * 7) >> 3) as u8).collect());
        let mut windows = Windows::new();
        let at = |from: usize| data[from..from + RUN].try_into().unwrap();
        windows.fill(weak(&data[..len]), at(0), at(len), len as u32);
        for place in [0, 1, 7, 8, 100, 255] {
            let index = Index::new(&[weak(&data[place..place + len])], b"a", 1);
            assert_eq!(index.first(&windows, 0), Some(place));
            assert_eq!(index.first(&windows, place), Some(place));
            assert_eq!(index.first(&windows, place + 1), None);
        }
    }

    #[test]
    fn nothing_is_found_without_blocks() {
        let index = Index::new(&[], &[], 16);
        assert!(index.is_empty());
        assert_eq!(blocks(&index, 0), []);
    }
}
