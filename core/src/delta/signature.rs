//! The sums of the blocks of a basis file.

use alloc::vec::Vec;

use super::SumHead;
use crate::checksum::{TransferSums, weak};

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
    let strong = (head.s2length as usize).min(sums.digest_len());
    let blocks = data.len().div_ceil(head.block_len as usize);
    debug_assert!(u64::from(first_block) + blocks as u64 <= u64::from(head.count));
    out.reserve(blocks * (4 + strong));
    for block in data.chunks(head.block_len as usize) {
        out.extend_from_slice(&weak(block).to_le_bytes());
        out.extend_from_slice(&sums.block(block).as_bytes()[..strong]);
    }
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
}
