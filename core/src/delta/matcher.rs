//! Searches a new file for the blocks of a basis file (sender side).
//!
//! The caller owns the bytes: it shows a part of the file to [`Matcher::next`] and is told how many bytes are
//! literal and which block follows them. Any matches that cover the file are valid on the wire; this search
//! finds those that the reference finds: of equal blocks it prefers the one after the last match, then the highest; in
//! place the one at the same place, then those that are still there.

use alloc::{boxed::Box, collections::BTreeMap, vec, vec::Vec};

use super::{
    SumHead,
    index::Index,
    sift::{Candidate, Scan, Sifting},
    windows::Windows,
};
use crate::{
    checksum::{Digest, LANES, TransferSums, weak},
    limits::FILE_PIECE,
};

/// After so many bytes without a block more of the file is looked at together, so that several can share the work.
const WIDE_AFTER: u64 = 1 << 20;
const WIDE: usize = 2 << 20;
/// Windows of which the strong sums are worth making together.
const WORTH_LANES: usize = 3;

/// What a part of the file consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step {
    /// Bytes at the front of the buffer that are in no block.
    pub literal: usize,
    /// The block that follows them; its length is that of the head.
    pub block: Option<u32>,
}

/// What was sifted beforehand.
#[derive(Debug, Default)]
struct Sifted {
    /// The first window and the one behind the last, in the new file.
    from: u64,
    end: u64,
    found: Vec<Candidate>,
    /// Of those found, the first that was not looked at.
    next: usize,
}

impl Sifted {
    /// The next candidate behind `offset`, seen from there, and its sum.
    fn next(&mut self, offset: u64) -> Option<(usize, u32)> {
        loop {
            let Candidate { at, sum } = *self.found.get(self.next)?;
            self.next += 1;
            if let Some(at) = (self.from + at as u64).checked_sub(offset) {
                return Some((usize::try_from(at).ok()?, sum));
            }
        }
    }
}

/// Counters of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MatchStats {
    /// Blocks that were found.
    pub matches: u64,
    /// Positions whose weak sum some block has.
    pub hash_hits: u64,
    /// Of those, the ones where no strong sum was equal.
    pub false_alarms: u64,
}

/// The search for one file.
#[derive(Debug)]
pub struct Matcher {
    head: SumHead,
    sums: TransferSums,
    weak: Vec<u32>,
    strong: Vec<u8>,
    /// Bytes of a strong sum.
    width: usize,
    /// Blocks of full length; a shorter last one is not in here.
    index: Index,
    windows: Box<Windows>,
    ahead: Ahead,
    sifted: Sifted,
    /// Bytes without a block since the last one.
    unmatched: u64,
    /// The block after the last match.
    want: u32,
    in_place: Option<InPlace>,
    stats: MatchStats,
}

/// Strong sums of windows that follow one another, made together.
#[derive(Debug, Default)]
struct Ahead {
    /// Where the first one is in the new file.
    offset: u64,
    sums: Vec<Digest>,
}

impl Ahead {
    /// The sum of the window of `len` bytes at an offset, if it was made.
    fn get(&self, offset: u64, len: usize) -> Option<Digest> {
        let behind = offset.checked_sub(self.offset).filter(|behind| behind.is_multiple_of(len as u64))?;
        self.sums.get(usize::try_from(behind / len as u64).ok()?).copied()
    }
}

/// Which basis blocks are still readable by a receiver that overwrites the basis.
#[derive(Debug)]
pub(crate) struct InPlace {
    /// Bit per block that was matched at its own place, so that it is never overwritten.
    kept: Vec<u64>,
    /// For the last of several equal blocks, one of the others that was kept.
    stand_ins: BTreeMap<u32, u32>,
}

impl InPlace {
    /// Of a basis of so many blocks.
    pub(crate) fn new(count: u32) -> Self {
        Self { kept: vec![0; (count as usize).div_ceil(64)], stand_ins: BTreeMap::new() }
    }

    /// Whether a block that is at `basis` is still there when `output` is written.
    pub(crate) fn usable(&self, block: u32, basis: u64, output: u64) -> bool {
        basis >= output || self.kept[block as usize / 64] >> (block % 64) & 1 != 0
    }

    /// A block stays where it is.
    pub(crate) fn keep(&mut self, block: u32) {
        self.kept[block as usize / 64] |= 1 << (block % 64);
    }
}

/// How much of a file is best searched at a time for blocks of so many bytes.
pub(crate) fn window_len(block_len: u32, sums: &TransferSums) -> usize {
    let len = block_len as usize;
    // At most a group of the longest blocks of today's protocol.
    let group = if sums.has_lanes() { (LANES * len).min(8 * FILE_PIECE) } else { 0 };
    FILE_PIECE.max(4 * len).max(group)
}

impl Matcher {
    /// `weak` has `head.count` sums and `strong` `head.count * head.s2length` bytes; a basis without sums (append
    /// mode, whole files) is given as [`SumHead::EMPTY`]. `in_place`: the receiver overwrites the basis while it
    /// reads it.
    pub fn new(head: SumHead, weak: Vec<u32>, strong: Vec<u8>, sums: TransferSums, in_place: bool) -> Self {
        let width = head.s2length as usize;
        debug_assert!(weak.len() == head.count as usize && strong.len() == weak.len() * width);
        let short_last = head.remainder != 0 && head.remainder != head.block_len;
        let full = weak.len() - usize::from(short_last && !weak.is_empty());
        let index = Index::new(&weak[..full], &strong, width);
        let windows = Box::new(Windows::new());
        let in_place = in_place.then(|| InPlace::new(head.count));
        Self {
            head,
            sums,
            weak,
            strong,
            width,
            index,
            windows,
            ahead: Ahead::default(),
            sifted: Sifted::default(),
            unmatched: 0,
            want: 0,
            in_place,
            stats: MatchStats::default(),
        }
    }

    /// The header of the sums.
    pub const fn head(&self) -> &SumHead {
        &self.head
    }

    /// The counters so far.
    pub fn stats(&self) -> MatchStats {
        self.stats
    }

    /// How much of the file is best shown at a time, bytes: several blocks.
    pub fn window_len(&self) -> usize {
        let len = window_len(self.head.block_len, &self.sums);
        if self.unmatched >= WIDE_AFTER { len.max(WIDE) } else { len }
    }

    /// Goes on with the search of another: where it is, and what it counted.
    pub(crate) fn resume(&mut self, want: u32, in_place: Option<InPlace>, stats: MatchStats) {
        (self.want, self.in_place, self.stats) = (want, in_place, stats);
    }

    /// Decides about the front of `buf`, which is at `offset` (bytes) of the new file. `last`: `buf` ends the
    /// file.
    ///
    /// With a block, the caller sends `literal` bytes and the block and calls again with what is behind it.
    /// Without one, it sends `literal` bytes; unless `last`, fewer than twice `block_len` bytes are then undecided (in
    /// place, zeros may wait for the next block; else fewer than `block_len`) and must be shown again with more data behind
    /// them. Each call sums up one block anew, so buffers should be several blocks long.
    pub fn next(&mut self, buf: &[u8], offset: u64, last: bool) -> Step {
        let len = self.head.block_len as usize;
        if self.index.is_empty() {
            return self.finish(buf, offset, last, 0);
        }
        if buf.len() < len {
            return self.finish(buf, offset, last, 0);
        }
        let windows = buf.len() + 1 - len;
        let Some(mut scan) = Scan::new(buf, 0, windows, len) else {
            return self.finish(buf, offset, last, windows);
        };
        if let Some(block) = self.expected(buf, offset, scan.sum()) {
            return self.found(buf, 0, block, offset, last);
        }
        while let Some((at, sum)) = self.sifted.next(offset) {
            if let Some(block) = self.search(&buf[at..at + len], sum, offset + at as u64) {
                return self.found(buf, at, block, offset, last);
            }
        }
        let sifted = usize::try_from(self.sifted.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if sifted > 0 {
            let Some(rest) = Scan::new(buf, sifted, windows, len) else {
                return self.finish(buf, offset, last, windows);
            };
            scan = rest;
        }
        while let Some(Candidate { at, sum }) = scan.next(&self.index, &mut self.windows, buf) {
            if let Some(block) = self.search(&buf[at..at + len], sum, offset + at as u64) {
                return self.found(buf, at, block, offset, last);
            }
        }
        self.finish(buf, offset, last, windows)
    }

    /// A part of [`Self::next`] that may be done beforehand, in pieces at the same time, where much of the file was in no
    /// block: the same `buf` is sifted, and what that finds is given to [`Self::sifted`].
    pub fn sifting<'a>(&'a self, buf: &'a [u8]) -> Option<Sifting<'a>> {
        let sifting = Sifting::new(&self.index, buf, self.head.block_len.max(1) as usize);
        let worth = self.unmatched >= WIDE_AFTER && sifting.windows() >= WIDE / 2;
        (worth && !self.index.is_empty()).then_some(sifting)
    }

    /// What was sifted: all windows of a `buf` of `len` bytes at `offset` of the new file.
    pub fn sifted(&mut self, offset: u64, len: usize, found: Vec<Candidate>) {
        let windows = (len + 1).saturating_sub(self.head.block_len as usize);
        self.sifted = Sifted { from: offset, end: offset + windows as u64, found, next: 0 };
    }

    /// The window at `at` is this block, unless zeros that go on are better left where they are: in place, a block of zeros
    /// between two places where blocks of the basis begin gives way to the next of these, if that block is zeros on both
    /// sides.
    fn found(&mut self, buf: &[u8], at: usize, block: u32, offset: u64, last: bool) -> Step {
        let Some((skip, aligned)) = self.zeros_ahead(block, offset + at as u64) else {
            return self.matched(at, block, offset);
        };
        let len = self.head.block_len as usize;
        match buf.get(at + skip..).and_then(|rest| rest.get(..len)) {
            Some(window) if buf.get(at..at + len) == Some(window) => self.matched(at + skip, aligned, offset),
            // More has to be seen.
            None if !last && at > 0 => self.undecided(at),
            _ => self.matched(at, aligned, offset),
        }
    }

    /// For a block of zeros that was found at `output`: how far it is to the next place where a block of the basis begins,
    /// and that block, if it is zeros too and another place.
    fn zeros_ahead(&self, block: u32, output: u64) -> Option<(usize, u32)> {
        let len = u64::from(self.head.block_len);
        if self.in_place.is_none() || self.weak[block as usize] != 0 || output.is_multiple_of(len) {
            return None;
        }
        let aligned = u32::try_from(output.div_ceil(len)).ok()?;
        let (basis, full) = self.head.block_range(aligned);
        let zeros = self.weak.get(aligned as usize) == Some(&0) && full == self.head.block_len;
        Some((usize::try_from(basis - output).ok()?, aligned)).filter(|_| zeros && self.alike(aligned, block))
    }

    /// Both blocks have the same strong sum.
    fn alike(&self, one: u32, other: u32) -> bool {
        let strong = |block: u32| self.strong.get(block as usize * self.width..)?.get(..self.width);
        strong(one) == strong(other)
    }

    /// Nothing before `decided` starts a full block and nothing from there on is long enough for one.
    fn finish(&mut self, buf: &[u8], offset: u64, last: bool, decided: usize) -> Step {
        if last {
            if let Some((literal, block)) = self.short_last(buf, offset) {
                return self.matched(literal, block, offset);
            }
            return self.undecided(buf.len());
        }
        // Without full blocks nothing was looked at, but the tail may still become the short last block.
        let undecided = (self.head.block_len as usize).saturating_sub(1);
        self.undecided(decided.max(buf.len().saturating_sub(undecided)))
    }

    fn undecided(&mut self, literal: usize) -> Step {
        self.unmatched += literal as u64;
        Step { literal, block: None }
    }

    /// The short last block, which matches only at the very end of the file.
    fn short_last(&mut self, buf: &[u8], offset: u64) -> Option<(usize, u32)> {
        let block = self.head.count.checked_sub(1)?;
        let (_, len) = self.head.block_range(block);
        let literal = buf.len().checked_sub(len as usize)?;
        if len == self.head.block_len || weak(&buf[literal..]) != self.weak[block as usize] {
            return None;
        }
        self.stats.hash_hits += 1;
        let found = self.usable(block, offset + literal as u64)
            && self.same(block, &self.sums.block(&buf[literal..]));
        self.stats.false_alarms += u64::from(!found);
        found.then_some((literal, block))
    }

    /// The block that is likely at the front of the buffer: in place the one at the same offset, else the one
    /// after the last match.
    fn expected(&mut self, buf: &[u8], offset: u64, sum: u32) -> Option<u32> {
        let head = self.head;
        let len = u64::from(head.block_len);
        let full = |block: u32| head.block_range(block).1 == head.block_len;
        let aligned = (self.in_place.is_some() && offset.is_multiple_of(len))
            .then(|| u32::try_from(offset / len).ok())
            .flatten()
            .filter(|&b| b < head.count);
        let mut digest = None;
        for block in [aligned, Some(self.want).filter(|&b| b < head.count)].into_iter().flatten() {
            if self.weak[block as usize] == sum && full(block) && self.usable(block, offset) {
                let sum = match digest {
                    Some(sum) => sum,
                    None => *digest.insert(self.sum_ahead(buf, offset)),
                };
                if self.same(block, &sum) {
                    self.stats.hash_hits += 1;
                    return Some(block);
                }
            }
        }
        None
    }

    /// The strong sum of the window at the front of the buffer. What follows a match mostly matches too: where that
    /// is cheap, the sums of the windows behind it are made on the way.
    fn sum_ahead(&mut self, buf: &[u8], offset: u64) -> Digest {
        let len = self.head.block_len as usize;
        if let Some(sum) = self.ahead.get(offset, len) {
            return sum;
        }
        let windows = buf.len() / len;
        if windows < WORTH_LANES || !self.sums.has_lanes() {
            return self.sums.block(&buf[..len]);
        }
        // Lanes without a window of their own repeat the last one.
        let sums = self.sums.blocks(core::array::from_fn(|i| &buf[i.min(windows - 1) * len..][..len]));
        self.ahead.offset = offset;
        self.ahead.sums.clear();
        self.ahead.sums.extend_from_slice(&sums[..windows.min(LANES)]);
        sums[0]
    }

    /// A block equal to `window`, which is at `output` of the new file.
    #[inline(never)]
    fn search(&mut self, window: &[u8], sum: u32, output: u64) -> Option<u32> {
        let places = self.index.candidates(sum);
        if places.is_empty() {
            return None;
        }
        self.stats.hash_hits += 1;
        let mut digest: Option<Digest> = None;
        let aligned = if self.in_place.is_some() && output.is_multiple_of(u64::from(self.head.block_len)) {
            u32::try_from(output / u64::from(self.head.block_len)).ok()
        } else {
            None
        };
        let preferred = [aligned, Some(self.want)].into_iter().flatten().filter(|&b| {
            b < self.head.count
                && self.weak[b as usize] == sum
                && self.head.block_range(b).1 == self.head.block_len
        });
        for block in preferred.chain(places.map(|place| self.index.block(place))) {
            // The cheap test first: a block that was overwritten is not worth hashing for.
            let Some(block) = self.still_there(block, output) else { continue };
            let made = || self.ahead.get(output, window.len()).unwrap_or_else(|| self.sums.block(window));
            let digest = digest.get_or_insert_with(made);
            if self.same(block, digest) {
                return Some(block);
            }
        }
        self.stats.false_alarms += 1;
        None
    }

    fn matched(&mut self, literal: usize, block: u32, offset: u64) -> Step {
        let (basis, _) = self.head.block_range(block);
        if self.in_place.is_some() && basis == offset + literal as u64 {
            // Equal blocks are found by the last of them.
            let mut alike =
                self.index.candidates(self.weak[block as usize]).map(|place| self.index.block(place));
            let last = alike.find(|&last| self.alike(last, block)).filter(|&last| last != block);
            if let Some(in_place) = &mut self.in_place {
                in_place.keep(block);
                in_place.stand_ins.extend(last.map(|last| (last, block)));
            }
        }
        self.want = block + 1;
        self.unmatched = 0;
        self.stats.matches += 1;
        Step { literal, block: Some(block) }
    }

    /// The block, or an equal one, if it is not overwritten yet.
    fn still_there(&self, block: u32, output: u64) -> Option<u32> {
        if self.usable(block, output) {
            return Some(block);
        }
        self.in_place.as_ref()?.stand_ins.get(&block).copied()
    }

    fn usable(&self, block: u32, output: u64) -> bool {
        match &self.in_place {
            None => true,
            Some(in_place) => in_place.usable(block, self.head.block_range(block).0, output),
        }
    }

    fn same(&self, block: u32, digest: &Digest) -> bool {
        let at = block as usize * self.width;
        digest.as_bytes().get(..self.width) == self.strong.get(at..at + self.width)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{checksum::ChecksumKind, delta::append_block_sums, version::ProtocolVersion};

    fn matcher(basis: &[u8], block: u32, in_place: bool) -> (SumHead, Matcher) {
        matcher_with(ChecksumKind::Xxh64, basis, block, in_place)
    }

    fn matcher_with(kind: ChecksumKind, basis: &[u8], block: u32, in_place: bool) -> (SumHead, Matcher) {
        let sums = TransferSums::new(kind, 5, false, false);
        let head = SumHead::for_basis(basis.len() as u64, block, ProtocolVersion::MAX, true, 8).unwrap();
        let mut wire = Vec::new();
        append_block_sums(&head, &sums, 0, basis, &mut wire);
        let mut weak = Vec::new();
        let mut strong = Vec::new();
        for entry in wire.chunks_exact(12) {
            weak.push(u32::from_le_bytes(entry[..4].try_into().unwrap()));
            strong.extend_from_slice(&entry[4..]);
        }
        (head, Matcher::new(head, weak, strong, sums, in_place))
    }

    /// Literal bytes as one-element vectors would be noise: `Err(len)` is a literal, `Ok(n)` a block.
    fn tokens(
        m: &mut Matcher,
        head: &SumHead,
        file: &[u8],
        mut chunk: impl FnMut() -> usize,
    ) -> Vec<Result<u32, usize>> {
        let (mut pos, mut seen) = (0, 0);
        let mut out = Vec::new();
        loop {
            let last = seen == file.len();
            let step = m.next(&file[pos..seen], pos as u64, last);
            let blocks = if m.in_place.is_some() { 2 } else { 1 };
            let undecided = seen - pos - step.literal;
            assert!(last || step.block.is_some() || undecided < blocks * head.block_len.max(1) as usize);
            if step.literal > 0 {
                out.push(Err(step.literal));
                pos += step.literal;
            }
            match step.block {
                Some(block) => {
                    pos += head.block_range(block).1 as usize;
                    out.push(Ok(block));
                }
                None if last => break,
                None => seen = (seen + chunk().max(1)).min(file.len()),
            }
        }
        assert_eq!(pos, file.len());
        out
    }

    /// Rebuilds the file as a receiver does, in place or not.
    fn apply(
        tokens: &[Result<u32, usize>],
        head: &SumHead,
        basis: &[u8],
        file: &[u8],
        in_place: bool,
    ) -> Vec<u8> {
        let mut old = basis.to_vec();
        let mut out = Vec::new();
        for token in tokens {
            let at = out.len();
            match *token {
                Err(len) => out.extend_from_slice(&file[at..at + len]),
                Ok(block) => {
                    let (from, len) = head.block_range(block);
                    out.extend_from_slice(&old[from as usize..from as usize + len as usize]);
                }
            }
            if in_place {
                old.resize(old.len().max(out.len()), 0);
                old[at..out.len()].copy_from_slice(&out[at..]);
            }
        }
        out
    }

    fn run(basis: &[u8], file: &[u8], block: u32) -> Vec<Result<u32, usize>> {
        let (head, mut m) = matcher(basis, block, false);
        tokens(&mut m, &head, file, || usize::MAX / 2)
    }

    #[test]
    fn unchanged_and_shifted_files_are_all_blocks() {
        let basis: Vec<u8> = (0..100).map(|i: u32| (i * i % 251) as u8).collect();
        assert_eq!(run(&basis, &basis, 30), [Ok(0), Ok(1), Ok(2), Ok(3)]);
        let shifted = [b"xyz", &basis[..]].concat();
        assert_eq!(run(&basis, &shifted, 30), [Err(3), Ok(0), Ok(1), Ok(2), Ok(3)]);
        assert_eq!(run(&basis, &basis[40..], 30), [Err(20), Ok(2), Ok(3)]);
        assert_eq!(run(&basis, b"", 30), []);
        assert_eq!(run(b"", b"abc", 30), [Err(3)]);
    }

    #[test]
    fn short_final_block_matches_only_at_end() {
        let basis = b"abcdefgh123";
        assert_eq!(run(basis, b"123abcdefgh", 8), [Err(3), Ok(0)]);
        assert_eq!(run(basis, b"zz123", 8), [Err(2), Ok(1)]);
        assert_eq!(run(b"123", b"abcdefgh123", 8), [Err(8), Ok(0)]);
    }

    #[test]
    fn runs_continue_with_the_next_block_among_equal_ones() {
        let basis = [0u8; 40];
        assert_eq!(run(&basis, &basis, 10), [Ok(0), Ok(1), Ok(2), Ok(3)]);
        assert_eq!(run(&basis, &[0; 60], 10), [Ok(0), Ok(1), Ok(2), Ok(3), Ok(3), Ok(3)]);
    }

    #[test]
    fn in_place_uses_no_block_that_is_overwritten() {
        let basis: Vec<u8> = (0..40).collect();
        // Everything moved towards the end: all blocks but none are gone when they are needed.
        let file = [&[99; 10][..], &basis[..30]].concat();
        let (head, mut m) = matcher(&basis, 10, true);
        assert_eq!(tokens(&mut m, &head, &file, || 1000), [Err(40)]);
        // Towards the front: all of them are there.
        let (head, mut m) = matcher(&basis, 10, true);
        assert_eq!(tokens(&mut m, &head, &basis[10..], || 1000), [Ok(1), Ok(2), Ok(3)]);
        // Block 0 stays where it is, so it can be used again later.
        let file = [&basis[..10], &basis[..10]].concat();
        let (head, mut m) = matcher(&basis, 10, true);
        assert_eq!(tokens(&mut m, &head, &file, || 1000), [Ok(0), Ok(0)]);
    }

    /// What the reference does, shown by its `--debug=deltasum2`: blocks of zeros give way to the next place on the grid.
    #[test]
    fn in_place_zeros_come_back_to_the_grid() {
        let run_by = |chunk: usize, basis: &[u8], file: &[u8]| {
            let (head, mut m) = matcher(basis, 10, true);
            tokens(&mut m, &head, file, || chunk)
        };
        let run = |basis: &[u8], file: &[u8]| run_by(1000, basis, file);
        let (zeros, junk) = ([0; 50], (1..=50).collect::<Vec<u8>>());
        let join = |parts: &[&[u8]]| parts.concat();
        let shifted = join(&[&junk[..3], &zeros[..47]]);
        assert_eq!(run(&zeros, &shifted), [Err(10), Ok(1), Ok(2), Ok(3), Ok(4)]);
        // More than a block waits for the end of the next one.
        assert_eq!(run_by(16, &zeros, &shifted), [Err(3), Err(7), Ok(1), Ok(2), Ok(3), Ok(4)]);
        // The zeros end before the block on the grid does.
        assert_eq!(run(&zeros, &join(&[&junk[..3], &zeros[..12], &junk[..35]])), [Err(3), Ok(1), Err(37)]);
        assert_eq!(run(&zeros, &join(&[&junk[..3], &zeros[..17], &junk[..30]])), [Err(10), Ok(1), Err(30)]);
        // The block on the grid is no zeros: any other one does.
        let basis = join(&[&junk[..40], &zeros[..10]]);
        assert_eq!(run(&basis, &join(&[&junk[10..23], &zeros[..12]])), [Ok(1), Err(3), Ok(4), Err(2)]);
    }

    /// Of equal blocks the last one is looked for; where it is overwritten, one that was kept does.
    #[test]
    fn in_place_a_kept_block_stands_in_for_its_equals() {
        let (a, b) = ((1..=10).collect::<Vec<u8>>(), (11..=20).collect::<Vec<u8>>());
        let (head, mut m) = matcher(&[&a[..], &a, &b].concat(), 10, true);
        let file = [&a[..], &b, &b, &a, &b].concat();
        assert_eq!(tokens(&mut m, &head, &file, || 1000), [Ok(0), Ok(2), Ok(2), Ok(0), Ok(2)]);
    }

    #[test]
    fn what_is_sifted_beforehand_changes_nothing() {
        let noise = |len: u32, by: u32| {
            (0..len).map(|i| (i.wrapping_mul(by) >> 13) as u8 ^ (i >> 11) as u8).collect()
        };
        let (basis, junk): (Vec<u8>, Vec<u8>) = (noise(200_000, 2_654_435_761), noise(3 << 20, 0x85eb_ca6b));
        let parts = [&junk[..], &basis[5000..100_000], &junk[..1 << 20], &basis[100_300..], &junk[..70_000]];
        let file = parts.concat();
        let (head, mut plain) = matcher(&basis, 1000, false);
        let (_, mut sifted) = matcher(&basis, 1000, false);
        let mut wanted: Vec<Result<u32, usize>> = Vec::new();
        for token in tokens(&mut plain, &head, &file, || 1 << 21) {
            match (wanted.last_mut(), token) {
                (Some(Err(literal)), Err(more)) => *literal += more,
                _ => wanted.push(token),
            }
        }
        let (mut pos, mut seen, mut literal, mut found, mut times) = (0, 0, 0, Vec::new(), 0);
        loop {
            let last = seen == file.len();
            let step = sifted.next(&file[pos..seen], pos as u64, last);
            pos += step.literal;
            literal += step.literal;
            match step.block {
                Some(block) => {
                    found.extend((literal > 0).then_some(Err(core::mem::take(&mut literal))));
                    found.push(Ok(block));
                    pos += 1000;
                }
                None if last => break,
                None => {
                    seen = (seen + (1 << 21)).min(file.len());
                    if let Some(sifting) = sifted.sifting(&file[pos..seen]) {
                        let candidates = sifting.sift(0..sifting.windows());
                        sifted.sifted(pos as u64, seen - pos, candidates);
                        times += 1;
                    }
                }
            }
        }
        found.extend((literal > 0).then_some(Err(literal)));
        assert_eq!((found, times), (wanted, 1));
        assert_eq!((sifted.stats(), sifted.stats().matches), (plain.stats(), 194));
    }

    #[test]
    fn counters_tell_matches_from_false_alarms() {
        let (head, mut m) = matcher(b"abcdabcd", 4, false);
        tokens(&mut m, &head, b"abcdxabcd", || 100);
        assert_eq!(m.stats(), MatchStats { matches: 2, hash_hits: 2, false_alarms: 0 });
        // Same weak sum, other bytes: (1, 3, 1) and (2, 1, 2).
        let (head, mut m) = matcher(&[1, 3, 1], 3, false);
        tokens(&mut m, &head, &[2, 1, 2], || 100);
        assert_eq!(m.stats(), MatchStats { matches: 0, hash_hits: 1, false_alarms: 1 });
    }

    proptest! {
        #[test]
        fn applying_the_tokens_gives_the_file(
            basis in prop::collection::vec(0u8..3, 0..200),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..20, prop::collection::vec(0u8..4, 0..12)), 0..6),
            block in 1u32..20,
            chunks in prop::collection::vec(1usize..40, 1..10),
            in_place: bool,
        ) {
            let mut file = basis.clone();
            for (at, cut, new) in edits {
                let at = at.index(file.len() + 1);
                let end = (at + cut).min(file.len());
                file.splice(at..end, new);
            }
            let (head, mut m) = matcher(&basis, block, in_place);
            let mut sizes = chunks.iter().cycle();
            let found = tokens(&mut m, &head, &file, || *sizes.next().unwrap());
            // Sums that are made ahead change nothing.
            let (head, mut lanes) = matcher_with(ChecksumKind::Md5, &basis, block, in_place);
            let mut sizes = chunks.iter().cycle();
            prop_assert_eq!(&tokens(&mut lanes, &head, &file, || *sizes.next().unwrap()), &found);
            prop_assert_eq!(lanes.stats(), m.stats());
            prop_assert_eq!(apply(&found, &head, &basis, &file, in_place), file);
        }

        /// Files of several runs of windows, whose blocks are equal, periodic or moved.
        #[test]
        fn repetitive_files_are_rebuilt(
            period in prop::collection::vec(any::<u8>(), 1..9),
            len in 300usize..3000,
            spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            shift in 0usize..40,
            block in 1u32..80,
            chunks in prop::collection::vec(1usize..900, 1..5),
            in_place: bool,
        ) {
            let basis: Vec<u8> = period.iter().copied().cycle().take(len).collect();
            let mut file = [&vec![7; shift], &basis[shift..]].concat();
            file.extend_from_slice(&basis[..len / 3]);
            for (at, byte) in spoilt {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let (head, mut m) = matcher(&basis, block, in_place);
            let mut sizes = chunks.iter().cycle();
            let found = tokens(&mut m, &head, &file, || *sizes.next().unwrap());
            // Sums that are made ahead change nothing.
            let (head, mut lanes) = matcher_with(ChecksumKind::Md5, &basis, block, in_place);
            let mut sizes = chunks.iter().cycle();
            prop_assert_eq!(&tokens(&mut lanes, &head, &file, || *sizes.next().unwrap()), &found);
            prop_assert_eq!(lanes.stats(), m.stats());
            prop_assert_eq!(apply(&found, &head, &basis, &file, in_place), file);
        }

        /// The runs of windows find what a search position by position finds.
        #[test]
        fn no_block_is_missed(
            basis in prop::collection::vec(0u8..4, 600..1500),
            start in 0usize..500,
            junk in prop::collection::vec(4u8..255, 0..1200),
            block in 20u32..60,
        ) {
            let file = [&junk[..], &basis[start..]].concat();
            let (head, mut m) = matcher(&basis, block, false);
            let found = tokens(&mut m, &head, &file, || usize::MAX / 2);
            let len = block as usize;
            let (mut pos, mut literal, mut wanted) = (0, 0, Vec::new());
            while pos < file.len() {
                let rest = &file[pos..];
                let equal = basis
                    .chunks(len)
                    .position(|b| rest.starts_with(b) && (b.len() == len || b.len() == rest.len()));
                match equal {
                    Some(n) => {
                        wanted.extend((literal > 0).then_some(Err(literal)));
                        wanted.push(Ok(n as u32));
                        pos += basis.chunks(len).nth(n).unwrap().len();
                        literal = 0;
                    }
                    None => {
                        pos += 1;
                        literal += 1;
                    }
                }
            }
            wanted.extend((literal > 0).then_some(Err(literal)));
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn an_unchanged_file_has_no_literals(
            basis in prop::collection::vec(0u8..3, 1..200), block in 1u32..20, in_place: bool,
        ) {
            let (head, mut m) = matcher(&basis, block, in_place);
            prop_assert!(tokens(&mut m, &head, &basis, || 37).iter().all(Result::is_ok));
        }
    }
}
