//! The block sums of the peer's old file, and the search for its blocks in a window.

use heapless::VecView;

use crate::{
    checksum::{TransferSums, weak},
    delta::SumHead,
};

/// Bytes of a strong sum that are kept. With the weak sum they make a false match unlikely enough, and the checksum of
/// the whole file finds the rest.
pub(super) const STRONG: usize = 8;

/// The sums of one block, 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSum {
    pub(super) weak: u32,
    pub(super) block: u32,
    pub(super) strong: [u8; STRONG],
}

/// Sorted by weak sum, then by position.
pub(super) struct Blocks<'a> {
    pub(super) head: SumHead,
    sums: &'a [BlockSum],
    strong_len: usize,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(head: SumHead, sums: &'a mut VecView<BlockSum>) -> Self {
        super::shell_sort(sums, |a, b| (a.weak, a.block) < (b.weak, b.block));
        Self { head, sums, strong_len: (head.s2length as usize).min(STRONG) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Length of a full block.
    pub(super) fn block_len(&self) -> usize {
        self.head.block_len as usize
    }

    /// Length of the last block.
    pub(super) fn last_len(&self) -> usize {
        if self.head.remainder == 0 { self.block_len() } else { self.head.remainder as usize }
    }

    /// The block with the content of `window`, whose weak sum is `value`. `lowest`: the offset in the old file below
    /// which blocks are gone already (a receiver that writes in place).
    pub(super) fn find(&self, value: u32, window: &[u8], sums: &TransferSums, lowest: u64) -> Option<u32> {
        let first = self.sums.partition_point(|s| s.weak < value);
        let mut strong = None;
        for sum in self.sums.get(first..)?.iter().take_while(|s| s.weak == value) {
            let (at, len) = self.head.block_range(sum.block);
            if len as usize != window.len() || at < lowest {
                continue;
            }
            let digest = strong.get_or_insert_with(|| sums.block(window));
            if digest.as_bytes().get(..self.strong_len) == sum.strong.get(..self.strong_len) {
                return Some(sum.block);
            }
        }
        None
    }

    /// The last block, if it is a short one and `tail` is its content.
    pub(super) fn find_tail(&self, tail: &[u8], sums: &TransferSums, lowest: u64) -> Option<u32> {
        if self.head.remainder == 0 || tail.len() != self.last_len() {
            return None;
        }
        self.find(weak(tail), tail, sums, lowest)
    }
}
