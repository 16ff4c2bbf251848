//! The weak sums of many windows at once.
//!
//! A rolling sum depends on the one before it, which keeps a loop over positions from being vectorised. Here the
//! sums of [`ROW`] neighbours follow from the [`ROW`] before them, by the total of the [`ROW`] changes in between;
//! all those totals are found beforehand by adding pairs, pairs of pairs and so on. Both halves of the sum are
//! modulo 2^16, so 16-bit lanes do.

#![allow(clippy::cast_possible_truncation, reason = "sums are made in lanes of 16 bits")]

/// Windows of one [`Windows::fill`].
pub(super) const RUN: usize = 256;
/// Windows that follow from as many before them.
pub(super) const ROW: usize = 8;
/// One row more than a run: the sums behind its end.
const LEN: usize = RUN + ROW;

type Lanes = [u16; LEN];

/// The sums of [`RUN`] windows, and of the one after them.
#[derive(Debug)]
pub(super) struct Windows {
    s1: Lanes,
    s2: Lanes,
    /// What is added to get to the next window; nothing behind the run.
    change: Lanes,
    /// The part of s2 that the byte in front has.
    front: Lanes,
    /// Changes of two and four neighbours; kept only because making them anew means zeroing them.
    two: Lanes,
    four: Lanes,
}

impl Windows {
    pub(super) fn new() -> Self {
        let zero = [0; LEN];
        Self { s1: zero, s2: zero, change: zero, front: zero, two: zero, four: zero }
    }

    /// `sum` is that of the first window, `len` bytes long; `old` leave one by one and `new` enter.
    #[inline]
    pub(super) fn fill(&mut self, sum: u32, old: &[u8; RUN], new: &[u8; RUN], len: u32) {
        let len = len as u16;
        for i in 0..RUN {
            let byte = signed(old[i]);
            self.change[i] = signed(new[i]).wrapping_sub(byte);
            self.front[i] = byte.wrapping_mul(len);
        }
        let (two, four) = (&mut self.two, &mut self.four);
        accumulate(sum as u16, &self.change, two, four, &mut self.s1);
        for i in 0..RUN {
            // s2 gains the whole new s1 and loses the byte in front, which was counted `len` times.
            self.change[i] = self.s1[i + 1].wrapping_sub(self.front[i]);
        }
        accumulate((sum >> 16) as u16, &self.change, two, four, &mut self.s2);
    }

    /// The sum of the window at `i`, which is at most [`RUN`].
    pub(super) fn sum(&self, i: usize) -> u32 {
        u32::from(self.s1[i]) | u32::from(self.s2[i]) << 16
    }

    /// Both halves of the sums of the run, in rows.
    #[inline(always)]
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[u16; ROW], &[u16; ROW])> {
        self.s1[..RUN].as_chunks::<ROW>().0.iter().zip(self.s2[..RUN].as_chunks::<ROW>().0)
    }
}

/// `sums[i]` is `first` and the changes before `i`; those behind the run count as nothing.
#[inline(always)]
fn accumulate(first: u16, change: &Lanes, two: &mut Lanes, four: &mut Lanes, sums: &mut Lanes) {
    for i in 0..LEN - 1 {
        two[i] = change[i].wrapping_add(change[i + 1]);
    }
    for i in 0..LEN - 3 {
        four[i] = two[i].wrapping_add(two[i + 2]);
    }
    let mut row = [first; ROW];
    for i in 1..ROW {
        row[i] = row[i - 1].wrapping_add(change[i - 1]);
    }
    sums[..ROW].copy_from_slice(&row);
    for at in (0..RUN).step_by(ROW) {
        for i in 0..ROW {
            row[i] = row[i].wrapping_add(four[at + i]).wrapping_add(four[at + i + 4]);
        }
        sums[at + ROW..at + 2 * ROW].copy_from_slice(&row);
    }
}

#[inline(always)]
fn signed(byte: u8) -> u16 {
    i16::from(byte as i8) as u16
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::checksum::weak;

    #[test]
    fn sums_of_a_run_are_those_of_its_windows() {
        let data: Vec<u8> =
            (0..80_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).chain([0x80; 4000]).collect();
        let mut windows = Windows::new();
        for len in [1, 7, 64, 700, 2048, 70_000] {
            let mut sum = weak(&data[..len]);
            for pos in (0..data.len() - len - RUN).step_by(RUN).take(20) {
                let at = |from: usize| data[from..from + RUN].try_into().unwrap();
                windows.fill(sum, at(pos), at(pos + len), len as u32);
                for i in 0..=RUN {
                    assert_eq!(windows.sum(i), weak(&data[pos + i..][..len]), "{len} {pos} {i}");
                }
                sum = windows.sum(RUN);
            }
        }
    }
}
