//! The part of a search that looks at every position: which windows have a weak sum that some block has.
//!
//! It needs nothing of what was found before, so that ranges of a file can be sifted at the same time.

#![allow(clippy::cast_possible_truncation, reason = "a window is as long as a block, below 2^29")]

use alloc::vec::Vec;
use core::ops::Range;

use super::{
    index::Index,
    windows::{RUN, Windows},
};
use crate::checksum::Rolling;

/// A window whose weak sum some block may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Candidate {
    /// Where it begins, bytes from the start of the part that is sifted.
    pub(super) at: usize,
    pub(super) sum: u32,
}

/// A part of a file that is to be sifted ([`Source::sift`](crate::ports::Source::sift)).
#[derive(Debug)]
pub struct Sifting<'a> {
    index: &'a Index,
    data: &'a [u8],
    len: usize,
}

impl<'a> Sifting<'a> {
    /// `len`: that of the blocks, not 0.
    pub(super) const fn new(index: &'a Index, data: &'a [u8], len: usize) -> Self {
        Self { index, data, len }
    }

    /// The number of windows, which begin at 0, 1 and so on.
    pub const fn windows(&self) -> usize {
        (self.data.len() + 1).saturating_sub(self.len)
    }

    /// Those of a range that may be blocks, in order. Each call sums up one block anew, so that ranges should be several
    /// blocks long.
    pub fn sift(&self, range: Range<usize>) -> Vec<Candidate> {
        let (mut found, mut windows) = (Vec::new(), Windows::new());
        let end = range.end.min(self.windows());
        if let Some(mut scan) = Scan::new(self.data, range.start, end, self.len) {
            while let Some(candidate) = scan.next(self.index, &mut windows, self.data) {
                found.push(candidate);
            }
        }
        found
    }
}

/// A scan of the windows of some data.
#[derive(Debug)]
pub(super) struct Scan {
    /// Of a window.
    len: usize,
    /// The window that is not looked at any more.
    end: usize,
    /// The first window of the run, and its sum.
    at: usize,
    rolling: Rolling,
    /// The window of the run that is looked at next. None: their sums are not made yet.
    next: Option<usize>,
}

impl Scan {
    /// From one window up to another one, of `len` bytes each; None without any.
    pub(super) fn new(data: &[u8], from: usize, end: usize, len: usize) -> Option<Self> {
        let first = data.get(from..)?.get(..len).filter(|_| from < end)?;
        Some(Self { len, end, at: from, rolling: Rolling::new(first), next: None })
    }

    /// The sum of the first window.
    pub(super) fn sum(&self) -> u32 {
        self.rolling.value()
    }

    /// The next window whose weak sum some block may have. `data` is what the scan was begun with.
    #[inline]
    pub(super) fn next(&mut self, index: &Index, windows: &mut Windows, data: &[u8]) -> Option<Candidate> {
        loop {
            if let Some(from) = self.next {
                if let Some(i) = index.first(windows, from) {
                    self.next = Some(i + 1);
                    return Some(Candidate { at: self.at + i, sum: windows.sum(i) });
                }
                (self.next, self.at, self.rolling) = (None, self.at + RUN, Rolling::from(windows.sum(RUN)));
            }
            let run = |from: usize| data.get(from..).and_then(<[u8]>::first_chunk::<RUN>);
            match (run(self.at), run(self.at + self.len)) {
                (Some(old), Some(new)) if self.at + RUN <= self.end => {
                    windows.fill(self.rolling.value(), old, new, self.len as u32);
                    self.next = Some(0);
                }
                _ => return self.one_by_one(index, data),
            }
        }
    }

    fn one_by_one(&mut self, index: &Index, data: &[u8]) -> Option<Candidate> {
        while self.at < self.end {
            let (at, sum) = (self.at, self.rolling.value());
            self.at += 1;
            if let (Some(&old), Some(&new)) = (data.get(at), data.get(at + self.len)) {
                self.rolling.roll(old, new, self.len as u32);
            }
            if index.may_have(sum) {
                return Some(Candidate { at, sum });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::weak;

    #[test]
    fn ranges_have_the_candidates_of_the_whole() {
        let data: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let places = [0, 1, 255, 256, 1000, 1001, 2999, 4300, 4950];
        let sums: Vec<u32> = places.iter().map(|&at| weak(&data[at..at + 50])).collect();
        let strong: Vec<u8> = (0..9).collect();
        let index = Index::new(&sums, &strong, 1);
        let sifting = Sifting::new(&index, &data, 50);
        assert_eq!(sifting.windows(), 4951);
        let whole = sifting.sift(0..4951);
        let found: Vec<_> = whole.iter().filter(|c| sums.contains(&c.sum)).map(|c| c.at).collect();
        let known: Vec<_> = (0..4951).filter(|&at| sums.contains(&weak(&data[at..at + 50]))).collect();
        assert_eq!(found, known);
        for cut in [1, 255, 256, 1000, 1001, 4950] {
            let mut parts = sifting.sift(0..cut);
            parts.extend(sifting.sift(cut..9999));
            assert_eq!(parts, whole, "{cut}");
        }
        assert_eq!(Sifting::new(&index, &data[..49], 50).sift(0..9), []);
    }
}
