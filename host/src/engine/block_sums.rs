//! Sums of the blocks of a basis file, made on every processor.

use alloc::sync::Arc;
use core::{cell::Cell, num::NonZero};
use std::{os::fd::OwnedFd, thread};

use arsync_core::{
    checksum::TransferSums,
    delta::{SumHead, append_block_sums, blocks_at_a_time},
};

use super::{aside::Aside, copy::read_full};

/// What a thread is started for, bytes: a few milliseconds of work, a hundred times what its start costs.
const SHARE: u64 = 8 << 20;
/// Threads at most; more would only wait for memory.
const THREADS: usize = 8;
/// What is summed up aside, so that a receiver goes on meanwhile, bytes; with less the threads are in each other's way.
const ASIDE: u64 = 1 << 20;
/// Larger blocks, which only old protocols have, are not kept in memory several times.
const LARGE_BLOCK: u32 = 1 << 20;

thread_local! {
    /// What was read last, kept for the next file.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Who makes block sums.
#[derive(Debug)]
pub struct Summing {
    threads: usize,
    aside: Aside,
}

/// Blocks of one basis that are to be summed up.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    file: &'a OwnedFd,
    head: &'a SumHead,
    sums: &'a TransferSums,
}

impl Summing {
    /// On all processors.
    pub fn new() -> Self {
        Self::with_threads(thread::available_parallelism().map_or(1, NonZero::get).min(THREADS))
    }

    /// On so many threads, the caller's included.
    fn with_threads(threads: usize) -> Self {
        Self { threads, aside: Aside::default() }
    }

    /// Appends the sums of blocks from `first` on, in wire form; returns the block behind them.
    pub fn blocks(
        &self,
        file: &OwnedFd,
        head: &SumHead,
        sums: &TransferSums,
        first: u32,
        out: &mut Vec<u8>,
    ) -> u32 {
        Blocks { file, head, sums }.spread(self.threads, first, out)
    }

    /// The same, where much is to be done on another thread, while other tasks of this one go on.
    pub async fn blocks_aside(
        &self,
        file: &Arc<OwnedFd>,
        head: &SumHead,
        sums: &TransferSums,
        first: u32,
        out: &mut Vec<u8>,
    ) -> u32 {
        let threads = self.threads;
        if u64::from(head.count.saturating_sub(first)) * u64::from(head.block_len) >= ASIDE {
            let (file, head, sums) = (file.clone(), *head, *sums);
            let made = self.aside.run(move || {
                let mut made = Vec::new();
                let next = Blocks { file: &file, head: &head, sums: &sums }.spread(threads, first, &mut made);
                (made, next)
            });
            if let Some((made, next)) = made.await {
                out.extend_from_slice(&made);
                return next;
            }
        }
        self.blocks(file, head, sums, first, out)
    }
}

impl Blocks<'_> {
    /// On so many threads at most.
    fn spread(self, threads: usize, first: u32, out: &mut Vec<u8>) -> u32 {
        let (blocks, head) = (self, self.head);
        let piece = blocks_at_a_time(head, self.sums);
        let pieces = SHARE.div_ceil(u64::from(piece) * u64::from(head.block_len.max(1)));
        let share = piece.saturating_mul(u32::try_from(pieces).unwrap_or(1));
        let threads = if head.block_len > LARGE_BLOCK { 1 } else { threads };
        let until = |start: u32| start.saturating_add(share).min(head.count);
        thread::scope(|scope| {
            let (mut end, mut others) = (until(first), Vec::new());
            while others.len() + 1 < threads && end < head.count {
                let start = end;
                let make = move || blocks.sums(start, until(start));
                let Ok(other) = thread::Builder::new().spawn_scoped(scope, make) else { break };
                others.push(other);
                end = until(start);
            }
            blocks.append_sums(first, until(first), out);
            let mut done = until(first);
            for other in others {
                // Whatever a thread could not do is left to be asked for.
                let Ok(sums) = other.join() else { return done };
                out.extend_from_slice(&sums);
                done = until(done);
            }
            done
        })
    }

    fn sums(self, first: u32, end: u32) -> Vec<u8> {
        let mut out = Vec::new();
        self.append_sums(first, end, &mut out);
        out
    }

    fn append_sums(self, first: u32, end: u32, out: &mut Vec<u8>) {
        let mut data = BUFFER.take();
        let mut next = first;
        while next < end {
            let start = next;
            next = start.saturating_add(blocks_at_a_time(self.head, self.sums)).min(end);
            let (offset, len) = self.head.span(start, next);
            if data.len() < len {
                data.resize(len, 0);
            }
            let data = &mut data[..len];
            let got = read_full(self.file, offset, data).unwrap_or(0);
            data[got..].fill(0);
            append_block_sums(self.head, self.sums, start, data, out);
        }
        if data.len() <= LARGE_BLOCK as usize {
            BUFFER.set(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use arsync_core::{checksum::ChecksumKind, version::ProtocolVersion};

    use super::*;

    fn all(threads: usize, file: &OwnedFd, head: &SumHead, sums: &TransferSums) -> (Vec<u32>, Vec<u8>) {
        let blocks = Blocks { file, head, sums };
        let (mut ends, mut out) = (vec![0], Vec::new());
        while ends.last().is_some_and(|&next| next < head.count) {
            ends.push(blocks.spread(threads, *ends.last().unwrap(), &mut out));
        }
        (ends, out)
    }

    #[test]
    fn every_number_of_threads_makes_the_same_sums() {
        let data: Vec<u8> =
            (0..(37u32 << 20) + 1234).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data).unwrap();
        let file = OwnedFd::from(file);
        let sums = TransferSums::new(ChecksumKind::Xxh64, 7, false, false);
        let head = SumHead::for_basis(data.len() as u64, 1 << 17, ProtocolVersion::MAX, false, 8).unwrap();
        let mut expected = Vec::new();
        append_block_sums(&head, &sums, 0, &data, &mut expected);
        assert_eq!(expected.len(), 297 * 6);
        let shares = [0, 64, 128, 192, 256, 297];
        assert_eq!(all(1, &file, &head, &sums), (shares.to_vec(), expected.clone()));
        assert_eq!(all(2, &file, &head, &sums), (vec![0, 128, 256, 297], expected.clone()));
        assert_eq!(all(9, &file, &head, &sums), (vec![0, 297], expected.clone()));

        let (runtime, _) = crate::ring::runtime::build().unwrap();
        let (file, mut out) = (Arc::new(file), vec![9]);
        let next =
            runtime.block_on(Summing::with_threads(9).blocks_aside(&file, &head, &sums, 200, &mut out));
        assert_eq!((next, &out[..1], &out[1..]), (297, &[9][..], &expected[200 * 6..]));
    }

    #[test]
    fn what_is_missing_counts_as_zeros() {
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        let sums = TransferSums::new(ChecksumKind::Xxh64, 7, false, false);
        let head = SumHead { count: 2, block_len: 700, s2length: 8, remainder: 5 };
        let mut expected = Vec::new();
        append_block_sums(&head, &sums, 0, &[0; 705], &mut expected);
        assert_eq!(all(2, &file, &head, &sums).1, expected);
    }
}
