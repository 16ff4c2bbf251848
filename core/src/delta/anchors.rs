//! Finds where blocks of a basis may be in a file, by the bytes of both: for files on one machine.
//!
//! An *anchor* is a place that the few bytes behind it mark as one, wherever they are: some in a hundred of all places.
//! Equal blocks have equal anchors. So the first anchor of each block, recognised by the [`KEY`] bytes there, is all
//! that a search has to know of the block, and only the anchors of the new file are looked up: a window that starts
//! behind one anchor and holds the next one can be no other block than those that begin with this anchor. What is found is
//! a possibility, and the bytes have to be compared.

#![allow(clippy::cast_possible_truncation, reason = "marks and keys are the low bits of products")]

use alloc::{boxed::Box, vec, vec::Vec};
use core::ops::Range;

/// Bytes that an anchor is recognised by.
pub(crate) const KEY: usize = 32;
/// Places that are looked at together.
const RUN: usize = 256;
/// Anchors that a block of random bytes has at least, on average: one in 10^19 of them has none.
const PER_BLOCK: u32 = 44;
/// The rarest anchors, places: each one is looked up, which takes as long as looking at so many places.
const RAREST: u32 = 128;
/// Blocks that begin and end alike. Where more do, comparing bytes is not worth it.
const MAX_ALIKE: usize = 16;
/// Bits of the filter for each block: what passes costs some cache misses.
const BITS_PER_BLOCK: usize = 64;

/// What makes a place an anchor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchors {
    /// A mark is below it.
    below: i16,
}

impl Anchors {
    /// Shorter blocks would need anchors that are not rare.
    pub(crate) const SHORTEST_BLOCK: u32 = 700;

    /// For blocks of so many bytes, [`Self::SHORTEST_BLOCK`] at least.
    pub(crate) fn new(block_len: u32) -> Self {
        let every = (block_len / PER_BLOCK).clamp(1, RAREST);
        Self { below: i16::MIN.wrapping_add((0x1_0000 / every) as i16) }
    }

    /// The anchors of `data` that have a whole key behind them, in order.
    pub(crate) fn of(self, data: &[u8]) -> AnchorsOf<'_> {
        AnchorsOf { anchors: self, data, run: 0, end: 0, found: Box::new([0; RUN]), count: 0, next: 0 }
    }

    /// What is one begins with these words. Those of all values spread over all values, and zeros make no anchor.
    #[inline(always)]
    fn is_one(self, first: [u8; 2], second: [u8; 2]) -> bool {
        let product = |word: [u8; 2], by: u16| u16::from_le_bytes(word).wrapping_mul(by);
        (product(first, 0x9e37).wrapping_add(product(second, 0x79b1)) as i16) < self.below
    }

    /// 1 for each place that is an anchor, of every second place.
    #[inline(always)]
    fn every_second(self, words: &[[u8; 2]]) -> [u8; RUN / 2] {
        let words = &words[..=RUN / 2];
        let mut found = [0; RUN / 2];
        for i in 0..RUN / 2 {
            found[i] = u8::from(self.is_one(words[i], words[i + 1]));
        }
        found
    }
}

/// See [`Anchors::of`].
#[derive(Debug)]
pub(crate) struct AnchorsOf<'a> {
    anchors: Anchors,
    data: &'a [u8],
    /// The places from here to `end` were looked at last.
    run: usize,
    end: usize,
    /// The anchors among them, of which the first `next` were given. On the heap: a search holds this while it waits.
    found: Box<[u8; RUN]>,
    count: usize,
    next: usize,
}

impl AnchorsOf<'_> {
    /// Looks at the next places; false: there are none.
    fn look(&mut self) -> bool {
        self.run = self.end;
        (self.next, self.count) = (0, 0);
        let Some(rest) = self.data.get(self.run..).filter(|rest| rest.len() >= KEY) else { return false };
        let Some(run) = rest.first_chunk::<{ RUN + KEY - 1 }>() else {
            for (i, place) in rest.windows(KEY).enumerate() {
                if self.anchors.is_one([place[0], place[1]], [place[2], place[3]]) {
                    self.push(i);
                }
            }
            self.end = self.data.len();
            return true;
        };
        self.end += RUN;
        let even = self.anchors.every_second(run.as_chunks().0);
        let odd = self.anchors.every_second(run[1..].as_chunks().0);
        let words = even.as_chunks().0.iter().zip(odd.as_chunks().0).enumerate();
        for (word, (&even, &odd)) in words {
            let mut bits = u64::from_le_bytes(even) | u64::from_le_bytes(odd) << 4;
            while bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                self.push(16 * word + bit / 4);
                bits &= bits - 1;
            }
        }
        true
    }

    #[inline(always)]
    fn push(&mut self, place: usize) {
        self.found[self.count % RUN] = place as u8;
        self.count += 1;
    }
}

impl Iterator for AnchorsOf<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.next == self.count {
            if !self.look() {
                return None;
            }
        }
        self.next += 1;
        Some(self.run + usize::from(self.found[self.next - 1]))
    }
}

/// What [`KEY`] bytes are recognised by.
#[inline]
fn key(bytes: &[u8; KEY]) -> u64 {
    const SECRET: [u64; 4] =
        [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];
    let word = |i: usize| {
        let bytes = bytes.as_chunks::<8>().0;
        u64::from_le_bytes(bytes[i]) ^ SECRET[i]
    };
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    fold(fold(word(0), word(1)) ^ SECRET[3], fold(word(2), word(3)) ^ SECRET[0])
}

/// What is known of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traits {
    key: u64,
    /// Where its first anchor is in it.
    at: u32,
    /// Of its last bytes.
    tail: u32,
}

impl Traits {
    /// Of a block, by the [`KEY`] bytes at its first anchor and its last ones.
    pub(crate) fn new(at: u32, anchor: &[u8; KEY], tail: &[u8; KEY]) -> Self {
        Self { key: key(anchor), at, tail: key(tail) as u32 }
    }

    /// False: the window is another block.
    pub(crate) fn fit(&self, window: &[u8]) -> bool {
        let anchor = window.get(self.at as usize..).and_then(<[u8]>::first_chunk);
        let tail = window.last_chunk();
        anchor.is_some_and(|bytes| key(bytes) == self.key)
            && tail.is_some_and(|bytes| key(bytes) as u32 == self.tail)
    }
}

/// The blocks of a basis, by their first anchors.
#[derive(Debug)]
pub(crate) struct Blocks {
    anchors: Anchors,
    len: usize,
    /// Of each block.
    traits: Vec<Traits>,
    /// Numbers of the blocks, by key; of equal keys those whose anchor is farthest in come first, and then the lower block.
    order: Vec<u32>,
    /// Bit `key >> shift` for each key.
    filter: Vec<u64>,
    shift: u32,
}

/// An anchor of the new file that is the first one of some block.
#[derive(Debug)]
pub(crate) struct Hit {
    /// Where it is.
    at: usize,
    /// The first window that has no anchor before it.
    pub(crate) floor: usize,
    places: Range<usize>,
}

impl Blocks {
    /// None where too many blocks cannot be told from one another.
    pub(crate) fn new(anchors: Anchors, block_len: u32, traits: Vec<Traits>) -> Option<Self> {
        let mut order: Vec<u32> = (0..u32::try_from(traits.len()).ok()?).collect();
        let of = |block: u32| traits[block as usize];
        order.sort_unstable_by_key(|&block| {
            let it = of(block);
            (it.key, core::cmp::Reverse(it.at), it.tail, block)
        });
        if order.windows(MAX_ALIKE + 1).any(|group| of(group[0]) == of(group[MAX_ALIKE])) {
            return None;
        }
        let bits = (traits.len().max(64) * BITS_PER_BLOCK).next_power_of_two().ilog2();
        let shift = 64 - bits;
        let mut filter = vec![0u64; 1 << (bits - 6)];
        for block in &traits {
            let bit = (block.key >> shift) as usize;
            filter[bit / 64] |= 1 << (bit % 64);
        }
        Some(Self { anchors, len: block_len as usize, traits, order, filter, shift })
    }

    /// What is known of a block; none of the short last one.
    pub(crate) fn traits(&self, block: u32) -> Option<&Traits> {
        self.traits.get(block as usize)
    }

    /// The anchors of a part of the new file, for [`Self::hit`].
    pub(crate) fn anchors_of<'d>(&self, data: &'d [u8]) -> AnchorsOf<'d> {
        self.anchors.of(data)
    }

    /// The next anchor that is the first one of some block. `floor`: the first window that has none of those before it,
    /// which moves on.
    pub(crate) fn hit(&self, anchors: &mut AnchorsOf<'_>, floor: &mut usize) -> Option<Hit> {
        loop {
            let at = anchors.next()?;
            let floor = core::mem::replace(floor, at + 1);
            let key = key(anchors.data.get(at..)?.first_chunk()?);
            let bit = (key >> self.shift) as usize;
            if self.filter[bit / 64] >> (bit % 64) & 1 != 0 {
                let of = |block: u32| self.traits[block as usize].key;
                let start = self.order.partition_point(|&block| of(block) < key);
                let len = self.order[start..].partition_point(|&block| of(block) == key);
                if len > 0 {
                    return Some(Hit { at, floor, places: start..start + len });
                }
            }
        }
    }

    /// The block at a place.
    pub(crate) fn block(&self, place: usize) -> Option<u32> {
        self.order.get(place).copied()
    }

    /// The next window that may be a block, and the places of the blocks that it may be, which have equal traits; the
    /// first window comes first, and of its blocks the lowest.
    pub(crate) fn window(&self, data: &[u8], hit: &mut Hit) -> Option<(usize, Range<usize>)> {
        loop {
            let blocks = self.order.get(hit.places.clone())?;
            let at = self.traits(*blocks.first()?)?.at;
            let alike = blocks.partition_point(|&block| self.traits[block as usize].at == at);
            let first = hit.places.start;
            hit.places.start += alike;
            // A window that begins before the floor has another first anchor.
            let Some(start) = hit.at.checked_sub(at as usize).filter(|&start| start >= hit.floor) else {
                continue;
            };
            let Some(tail) = data.get(start..start + self.len).and_then(<[u8]>::last_chunk) else { continue };
            let tail = key(tail) as u32;
            let of = |block: u32| self.traits[block as usize].tail;
            let from = blocks[..alike].partition_point(|&block| of(block) < tail);
            let len = blocks[from..alike].partition_point(|&block| of(block) == tail);
            if len > 0 {
                return Some((start, first + from..first + from + len));
            }
        }
    }
}
