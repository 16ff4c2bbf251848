//! The sums of the blocks of a basis file.

#![allow(clippy::cast_possible_truncation, reason = "the number of lanes")]

use alloc::vec::Vec;

use super::SumHead;
use crate::{
    checksum::{Digest, LANES, TransferSums, weak},
    limits::FILE_PIECE,
};

/// Bytes of a basis that are read and summed up at a time, about.
const PIECE: u32 = FILE_PIECE as u32;
/// At most, if that takes a group of blocks.
const LARGEST_PIECE: u32 = 8 * PIECE;

/// Appends the sums of consecutive blocks in wire form: for each the weak sum (u32 LE) and the first
/// `s2length` bytes of the strong one.
///
/// `data` starts at block `first_block` and holds whole blocks; the last block of the file may be a short one.
pub fn append_block_sums(
    head: &SumHead,
    sums: &TransferSums,
    first_block: u32,
    data: &[u8],
    out: &mut Vec<u8>,
) {
    if head.block_len == 0 {
        return;
    }
    let width = (head.s2length as usize).min(sums.digest_len());
    let len = head.block_len as usize;
    let blocks = data.len().div_ceil(len);
    debug_assert!(u64::from(first_block) + blocks as u64 <= u64::from(head.count));
    out.reserve(blocks * (4 + width));
    let mut append = |block: &[u8], strong: &Digest| {
        out.extend_from_slice(&weak(block).to_le_bytes());
        out.extend_from_slice(&strong.as_bytes()[..width]);
    };
    let mut groups = data.chunks_exact(len * LANES);
    for group in &mut groups {
        let blocks = core::array::from_fn(|i| &group[i * len..][..len]);
        for (block, strong) in blocks.into_iter().zip(sums.blocks(blocks)) {
            append(block, &strong);
        }
    }
    for block in groups.remainder().chunks(len) {
        append(block, &sums.block(block));
    }
}

/// How many blocks are best read and summed up together, where there are as many.
pub fn blocks_at_a_time(head: &SumHead, sums: &TransferSums) -> u32 {
    let len = head.block_len.max(1);
    let group = if sums.has_lanes() { LANES as u32 } else { 1 };
    (PIECE / len / group * group).max(group.min(LARGEST_PIECE / len)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::ChecksumKind;

    #[test]
    fn wire_form_is_that_of_the_worked_example() {
        let basis: Vec<u8> =
            (0..700u32).map(|i| (7 * i + 3) as u8).chain((0..700u32).map(|i| (13 * i + 9) as u8)).collect();
        let head = SumHead { count: 2, block_len: 700, s2length: 2, remainder: 0 };
        let sums = TransferSums::new(ChecksumKind::Md5, 1, false, false);
        let mut out = Vec::new();
        append_block_sums(&head, &sums, 0, &basis, &mut out);
        assert_eq!(out, [0xda, 0xfe, 0x0c, 0x76, 0xf0, 0x8c, 0x3e, 0x00, 0x74, 0x66, 0x18, 0x76]);
    }

    #[test]
    fn groups_of_blocks_have_the_sums_of_single_blocks() {
        let basis: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let head = SumHead { count: 29, block_len: 700, s2length: 5, remainder: 400 };
        let sums = TransferSums::new(ChecksumKind::Md5, 77, false, false);
        let (mut together, mut single) = (Vec::new(), Vec::new());
        append_block_sums(&head, &sums, 0, &basis, &mut together);
        for (n, block) in (0..).zip(basis.chunks(700)) {
            append_block_sums(&head, &sums, n, block, &mut single);
        }
        assert_eq!((together.len(), &together), (29 * 9, &single));
    }

    #[test]
    fn as_many_blocks_are_taken_as_fit_the_cache() {
        let at_a_time = |kind, block_len| {
            let sums = TransferSums::new(kind, 0, false, true);
            blocks_at_a_time(&SumHead { block_len, ..SumHead::EMPTY }, &sums)
        };
        let md5 = |block_len| at_a_time(ChecksumKind::Md5, block_len);
        assert_eq!([700, 16 << 10, 32 << 10, 48 << 10].map(md5), [184, 8, 8, 8]);
        assert_eq!([128 << 10, 512 << 10, 1 << 29].map(md5), [8, 2, 1]);
        let xxh = |block_len| at_a_time(ChecksumKind::Xxh128, block_len);
        assert_eq!([700, 16 << 10, 32 << 10, 48 << 10].map(xxh), [187, 8, 4, 2]);
        assert_eq!([128 << 10, 512 << 10, 1 << 29].map(xxh), [1, 1, 1]);
    }
}
