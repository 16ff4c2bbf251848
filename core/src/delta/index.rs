//! Finds the blocks that have a given weak sum.
//!
//! Three levels, so that the common answer "none" is cheap: a bitmap over the mixed weak sum that stays in the
//! cache, a table of ranges by the top bits of the mixed sum, and the entries sorted by mixed sum. Blocks with
//! equal sums are one entry; at most [`MAX_CANDIDATES`] entries share a weak sum.

use alloc::{vec, vec::Vec};
use core::ops::Range;

/// Different blocks that are tried for one weak sum.
const MAX_CANDIDATES: usize = 1024;
/// Bitmap bits per block: about one probe in 100 of a file without matches looks further.
const BITS_PER_BLOCK: usize = 64;
/// A bitmap of more bits than this (1 MiB) no longer fits the cache; then 8 bits per block have to do.
const CACHED_BITS: usize = 1 << 23;

/// Which of several equal blocks stands for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    First,
    /// The one that an in-place update can use for longest.
    Last,
}

#[derive(Debug)]
pub(super) struct Index {
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
    pub(super) fn new(weak: &[u32], strong: &[u8], width: usize, keep: Keep) -> Self {
        let mut entries: Vec<u64> =
            weak.iter().enumerate().map(|(i, &w)| u64::from(mix(w)) << 32 | i as u64).collect();
        entries.sort_unstable();
        collapse(&mut entries, strong, width, keep);

        let blocks = entries.len().max(64);
        let wanted = (blocks * BITS_PER_BLOCK).min(CACHED_BITS).max(blocks * 8).next_power_of_two();
        let bit_shift = shift(wanted.ilog2().min(31));
        let mut bitmap = vec![0u64; 1 << (32 - bit_shift - 6)];
        for entry in &entries {
            let bit = (entry >> 32) as u32 >> bit_shift;
            bitmap[(bit >> 6) as usize] |= 1 << (bit & 63);
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
        Self { bitmap, bit_shift, ranges, range_shift, entries }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bitmap by itself, for inner loops.
    #[inline(always)]
    pub(super) fn probe(&self) -> Probe<'_> {
        Probe { bitmap: &self.bitmap, shift: self.bit_shift }
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

/// The first level.
#[derive(Clone, Copy)]
pub(super) struct Probe<'a> {
    bitmap: &'a [u64],
    shift: u32,
}

impl Probe<'_> {
    /// False: no block has this weak sum.
    #[inline(always)]
    pub(super) fn may_have(self, weak: u32) -> bool {
        let bit = mix(weak) >> self.shift;
        // The array has 2^(32 - shift) bits; `get` only spares the panic branch.
        self.bitmap.get((bit >> 6) as usize).is_some_and(|word| word >> (bit & 63) & 1 != 0)
    }
}

/// Leaves one entry for all blocks with equal sums, and a bounded number for each weak sum.
fn collapse(entries: &mut Vec<u64>, strong: &[u8], width: usize, keep: Keep) {
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
            group.sort_unstable_by(|&a, &b| {
                let order = sum(a).cmp(sum(b));
                order.then(if keep == Keep::First { a.cmp(&b) } else { b.cmp(&a) })
            });
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

    fn blocks(index: &Index, weak: u32) -> Vec<u32> {
        assert!(index.probe().may_have(weak) || index.candidates(weak).is_empty());
        index.candidates(weak).map(|p| index.block(p)).collect()
    }

    #[test]
    fn equal_blocks_are_one_candidate() {
        let weak = [5, 9, 5, 5, 9];
        let strong = *b"aabbaaccbb";
        let first = Index::new(&weak, &strong, 2, Keep::First);
        assert_eq!(blocks(&first, 5), [0, 3]);
        assert_eq!(blocks(&first, 9), [1]);
        assert_eq!(blocks(&first, 6), []);
        let last = Index::new(&weak, &strong, 2, Keep::Last);
        assert_eq!(blocks(&last, 5), [2, 3]);
        assert_eq!(blocks(&last, 9), [4]);
    }

    #[test]
    fn candidates_of_one_weak_sum_are_bounded() {
        let weak = vec![7; 3000];
        let strong: Vec<u8> = (0..3000u16).flat_map(u16::to_be_bytes).collect();
        let index = Index::new(&weak, &strong, 2, Keep::First);
        assert_eq!(blocks(&index, 7).len(), 1024);
    }

    #[test]
    fn nothing_is_found_without_blocks() {
        let index = Index::new(&[], &[], 16, Keep::First);
        assert!(index.is_empty());
        assert_eq!(blocks(&index, 0), []);
    }
}
