//! The search for blocks of a basis that is on this machine: its bytes are compared, and no sums are made.

use alloc::vec::Vec;
use core::ops::Range;

use super::search::Find;
use crate::{
    checksum::TransferSums,
    delta::{
        InPlace, MatchStats, Matcher, Step, SumHead,
        anchors::{Anchors, Blocks, KEY, Traits},
        window_len,
    },
    ports::Target,
};

/// Blocks that follow one another are read together, bytes.
const AHEAD: usize = 256 << 10;
/// Where the first anchor of a long block is likely, bytes.
const HEAD: usize = 1 << 10;
/// Bytes that may be compared in vain, besides as many as were searched, before sums do better.
const IN_VAIN: u64 = 4 << 20;

/// A file that can be read.
pub(super) trait Basis {
    /// As [`Target::read_basis`], or with `on` [`Target::read_on`]; what cannot be read is not there.
    async fn read(&self, offset: u64, buf: &mut Vec<u8>, on: bool) -> usize;
    /// As [`Target::sum_blocks`].
    async fn sum_blocks(&self, head: &SumHead, sums: &TransferSums, first: u32, out: &mut Vec<u8>) -> u32;
}

/// An open basis of a target.
pub(super) struct Opened<'a, T: Target> {
    pub target: &'a T,
    pub file: &'a T::Basis,
}

impl<T: Target> Basis for Opened<'_, T> {
    async fn read(&self, offset: u64, buf: &mut Vec<u8>, on: bool) -> usize {
        let read = if on {
            self.target.read_on(self.file, offset, buf).await
        } else {
            self.target.read_basis(self.file, offset, buf).await
        };
        read.unwrap_or(0)
    }

    async fn sum_blocks(&self, head: &SumHead, sums: &TransferSums, first: u32, out: &mut Vec<u8>) -> u32 {
        self.target.sum_blocks(self.file, head, sums, first, out).await
    }
}

/// A search by bytes; by sums where blocks of the basis are too much alike, or have nothing to be recognised by.
pub(super) struct Alike<B> {
    basis: Piece<B>,
    sums: TransferSums,
    bytes: Option<ByBytes>,
    /// Of use without `bytes`.
    matcher: Matcher,
}

impl<B: Basis> Alike<B> {
    /// `in_place`: the basis is overwritten meanwhile. `buf`: a buffer of any content, which [`Alike::into_buffer`] gives back.
    pub(super) async fn new(
        basis: B,
        head: SumHead,
        sums: TransferSums,
        in_place: bool,
        buf: Vec<u8>,
    ) -> Self {
        let mut basis = Piece { basis, head, buf, len: 0, from: 0 };
        let bytes = basis.blocks().await.map(|blocks| ByBytes {
            head,
            blocks,
            want: 0,
            in_place: in_place.then(|| InPlace::new(head.count)),
            stats: MatchStats::default(),
            in_vain: 0,
        });
        let matcher = match bytes {
            Some(_) => Matcher::new(SumHead::EMPTY, Vec::new(), Vec::new(), sums, false),
            None => basis.matcher(sums, in_place).await,
        };
        Self { basis, sums, bytes, matcher }
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.basis.buf
    }
}

impl<B: Basis> Find for Alike<B> {
    fn head(&self) -> &SumHead {
        &self.basis.head
    }

    fn stats(&self) -> MatchStats {
        self.bytes.as_ref().map_or_else(|| self.matcher.stats(), |bytes| bytes.stats)
    }

    fn window_len(&self) -> usize {
        window_len(self.basis.head.block_len, &self.sums)
    }

    async fn next(&mut self, buf: &[u8], offset: u64, last: bool) -> Step {
        if let Some(bytes) = &mut self.bytes {
            if bytes.in_vain <= IN_VAIN.saturating_add(offset) {
                return bytes.next(&mut self.basis, buf, offset, last).await;
            }
            let mut matcher = self.basis.matcher(self.sums, bytes.in_place.is_some()).await;
            matcher.resume(bytes.want, bytes.in_place.take(), bytes.stats);
            self.matcher = matcher;
            self.bytes = None;
        }
        self.matcher.next(buf, offset, last)
    }
}

/// The search by bytes.
struct ByBytes {
    head: SumHead,
    blocks: Blocks,
    /// The block after the last match.
    want: u32,
    in_place: Option<InPlace>,
    stats: MatchStats,
    /// Bytes of windows that were compared and were other ones.
    in_vain: u64,
}

impl ByBytes {
    /// As [`Matcher::next`].
    async fn next<B: Basis>(&mut self, basis: &mut Piece<B>, buf: &[u8], offset: u64, last: bool) -> Step {
        let len = self.head.block_len as usize;
        let Some(end) = buf.len().checked_sub(len) else {
            return self.finish(basis, buf, offset, last, 0).await;
        };
        let window = |start: usize| buf.get(start..).and_then(|rest| rest.get(..len)).unwrap_or_default();
        for block in self.likely(offset).into_iter().flatten() {
            let fits = self.blocks.traits(block).is_some_and(|traits| traits.fit(window(0)));
            if fits && self.is(basis, block, window(0), offset).await {
                self.stats.hash_hits += 1;
                return self.matched(0, block, offset);
            }
        }
        let (mut anchors, mut floor) = (self.blocks.anchors_of(buf), 0);
        while let Some(mut hit) = self.blocks.hit(&mut anchors, &mut floor).filter(|hit| hit.floor <= end) {
            self.stats.hash_hits += 1;
            while let Some((start, places)) = self.blocks.window(buf, &mut hit) {
                if let Some(block) = self.among(basis, places, window(start), offset + start as u64).await {
                    return self.matched(start, block, offset);
                }
            }
            self.stats.false_alarms += 1;
        }
        self.finish(basis, buf, offset, last, end + 1).await
    }

    /// Nothing before `decided` starts a full block and nothing from there on is long enough for one.
    async fn finish<B: Basis>(
        &mut self,
        basis: &mut Piece<B>,
        buf: &[u8],
        offset: u64,
        last: bool,
        decided: usize,
    ) -> Step {
        if !last {
            return Step { literal: decided, block: None };
        }
        // The short last block matches only at the very end of the file.
        let block = self.head.count.saturating_sub(1);
        let (_, len) = self.head.block_range(block);
        if len < self.head.block_len
            && let Some(literal) = buf.len().checked_sub(len as usize)
            && self.is(basis, block, buf.get(literal..).unwrap_or_default(), offset + literal as u64).await
        {
            self.stats.hash_hits += 1;
            return self.matched(literal, block, offset);
        }
        Step { literal: buf.len(), block: None }
    }

    /// In place the block at the same offset, and the one after the last match.
    fn likely(&self, at: u64) -> [Option<u32>; 2] {
        let len = u64::from(self.head.block_len);
        let aligned = self.in_place.is_some() && at.is_multiple_of(len);
        [aligned.then(|| u32::try_from(at / len).ok()).flatten(), Some(self.want)]
    }

    /// The block that a window is, of those at `places`: a likely one, else the highest.
    async fn among<B: Basis>(
        &mut self,
        basis: &mut Piece<B>,
        places: Range<usize>,
        window: &[u8],
        at: u64,
    ) -> Option<u32> {
        let alike = self.blocks.traits(self.blocks.block(places.start)?).copied();
        for block in self.likely(at).into_iter().flatten() {
            if self.blocks.traits(block).copied() == alike && self.is(basis, block, window, at).await {
                return Some(block);
            }
        }
        for place in places.rev() {
            let block = self.blocks.block(place)?;
            if self.is(basis, block, window, at).await {
                return Some(block);
            }
        }
        None
    }

    /// Whether a window at `at` of the new file is a block that is still there.
    async fn is<B: Basis>(&mut self, basis: &mut Piece<B>, block: u32, window: &[u8], at: u64) -> bool {
        let (from, _) = self.head.block_range(block);
        if self.in_place.as_ref().is_some_and(|in_place| !in_place.usable(block, from, at)) {
            return false;
        }
        // Whole blocks, so that the next piece begins where this one ends.
        let ahead = if block == self.want { AHEAD / window.len().max(1) * window.len() } else { 0 };
        let same = basis.bytes(from, window.len(), ahead).await == Some(window);
        if !same {
            self.in_vain += window.len() as u64;
        }
        same
    }

    fn matched(&mut self, literal: usize, block: u32, offset: u64) -> Step {
        let (basis, _) = self.head.block_range(block);
        if let Some(in_place) = &mut self.in_place
            && basis == offset + literal as u64
        {
            in_place.keep(block);
        }
        self.want = block + 1;
        self.stats.matches += 1;
        Step { literal, block: Some(block) }
    }
}

/// The basis, a piece of which is in memory.
struct Piece<B> {
    basis: B,
    head: SumHead,
    buf: Vec<u8>,
    /// Bytes of the piece, and where it is in the file.
    len: usize,
    from: u64,
}

impl<B: Basis> Piece<B> {
    /// Bytes of the file. What has to be read is read together with `ahead` bytes behind it. None if they are not there.
    async fn bytes(&mut self, offset: u64, len: usize, ahead: usize) -> Option<&[u8]> {
        let there = |from: u64, filled: usize| {
            let at = usize::try_from(offset.checked_sub(from)?).ok()?;
            (at.checked_add(len)? <= filled).then_some(at)
        };
        if there(self.from, self.len).is_none() {
            self.buf.resize(len + ahead, 0);
            self.len = self.basis.read(offset, &mut self.buf, ahead > 0).await;
            self.from = offset;
        }
        let at = there(self.from, self.len)?;
        self.buf.get(at..at + len)
    }

    /// What the blocks are recognised by, if they can be.
    async fn blocks(&mut self) -> Option<Blocks> {
        let len = self.head.block_len;
        let full = self.head.count - u32::from(self.head.remainder != 0 && self.head.remainder != len);
        if full == 0 || len < Anchors::SHORTEST_BLOCK {
            return None;
        }
        let anchors = Anchors::new(len);
        let mut traits = Vec::with_capacity(full as usize);
        for block in 0..full {
            traits.push(self.traits(anchors, block).await?);
        }
        Blocks::new(anchors, len, traits)
    }

    /// None of a block without an anchor.
    async fn traits(&mut self, anchors: Anchors, block: u32) -> Option<Traits> {
        let (from, len) = self.head.block_range(block);
        let len = len as usize;
        // Short blocks are read many at a time, of long ones what is needed.
        let (mut seen, ahead) = if len > AHEAD / 16 { (HEAD, 0) } else { (len, AHEAD) };
        loop {
            let front = self.bytes(from, seen, ahead).await?;
            if let Some(at) = anchors.of(front).next() {
                let anchor = *front.get(at..)?.first_chunk::<KEY>()?;
                let tail = self.bytes(from + (len - KEY) as u64, KEY, 0).await?;
                return Some(Traits::new(u32::try_from(at).ok()?, &anchor, tail.first_chunk()?));
            }
            if seen == len {
                return None;
            }
            seen = (4 * seen).min(len);
        }
    }

    /// The search by sums.
    async fn matcher(&self, sums: TransferSums, in_place: bool) -> Matcher {
        let (mut weak, mut strong, mut wire) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0;
        while next < self.head.count {
            wire.clear();
            next = self.basis.sum_blocks(&self.head, &sums, next, &mut wire).await;
            for record in wire.chunks(4 + self.head.s2length as usize) {
                if let Some((w, s)) = record.split_first_chunk::<4>() {
                    weak.push(u32::from_le_bytes(*w));
                    strong.extend_from_slice(s);
                }
            }
        }
        Matcher::new(self.head, weak, strong, sums, in_place)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{boxed::Box, vec};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        checksum::ChecksumKind, delta::append_block_sums, rt::block_on_ready, version::ProtocolVersion,
    };

    fn sums() -> TransferSums {
        TransferSums::new(ChecksumKind::Xxh64, 5, false, false)
    }

    impl Basis for &[u8] {
        async fn read(&self, offset: u64, buf: &mut Vec<u8>, _on: bool) -> usize {
            let rest = self.get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            n
        }

        async fn sum_blocks(
            &self,
            head: &SumHead,
            sums: &TransferSums,
            first: u32,
            out: &mut Vec<u8>,
        ) -> u32 {
            assert_eq!(first, 0);
            append_block_sums(head, sums, 0, self, out);
            head.count
        }
    }

    fn head(basis: &[u8], block: u32) -> SumHead {
        SumHead::for_basis(basis.len() as u64, block, ProtocolVersion::MAX, true, 8).unwrap()
    }

    fn alike(basis: &[u8], block: u32, in_place: bool) -> Alike<&[u8]> {
        block_on_ready(Alike::new(basis, head(basis, block), sums(), in_place, Vec::new()))
    }

    fn by_sums(basis: &[u8], block: u32, in_place: bool) -> Box<Matcher> {
        let piece = Piece { basis, head: head(basis, block), buf: Vec::new(), len: 0, from: 0 };
        Box::new(block_on_ready(piece.matcher(sums(), in_place)))
    }

    /// `Err(len)` is a literal, `Ok(n)` a block.
    fn tokens(finder: &mut impl Find, file: &[u8], chunk: usize) -> Vec<Result<u32, usize>> {
        let (mut pos, mut seen, mut literal, mut out) = (0, 0, 0, Vec::new());
        loop {
            let last = seen == file.len();
            let step = block_on_ready(finder.next(&file[pos..seen], pos as u64, last));
            pos += step.literal;
            literal += step.literal;
            match step.block {
                Some(block) => {
                    out.extend((literal > 0).then_some(Err(core::mem::take(&mut literal))));
                    out.push(Ok(block));
                    pos += finder.head().block_range(block).1 as usize;
                }
                None if last => break,
                None => seen = (seen + chunk).min(file.len()),
            }
        }
        assert_eq!(pos, file.len());
        out.extend((literal > 0).then_some(Err(literal)));
        out
    }

    fn noise(len: usize, seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn blocks_are_found_wherever_they_are() {
        let basis = noise(10_000, 1);
        let run = |file: &[u8]| tokens(&mut alike(&basis, 1000, false), file, 3000);
        let all: Vec<_> = (0..10).map(Ok).collect();
        assert_eq!(run(&basis), all);
        assert_eq!(run(&[b"xyz", &basis[..]].concat())[..3], [Err(3), Ok(0), Ok(1)]);
        assert_eq!(run(&basis[1500..]), [Err(500), Ok(2), Ok(3), Ok(4), Ok(5), Ok(6), Ok(7), Ok(8), Ok(9)]);
        assert_eq!(run(&noise(5000, 2)), [Err(5000)]);
        assert_eq!(run(b""), []);
        let mut changed = basis.clone();
        changed[4321] ^= 1;
        let found = run(&changed);
        assert_eq!(found[3..6], [Ok(3), Err(1000), Ok(5)]);
    }

    #[test]
    fn the_short_last_block_is_found_at_the_end_only() {
        let basis = noise(2300, 3);
        let run = |file: &[u8]| tokens(&mut alike(&basis, 1000, false), file, 700);
        assert_eq!(run(&basis), [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(run(&[&basis[2000..], b"abc"].concat()), [Err(303)]);
        assert_eq!(run(&[b"abc", &basis[2000..]].concat()), [Err(3), Ok(2)]);
    }

    #[test]
    fn blocks_without_anchors_or_all_alike_are_found_by_sums() {
        let zeros = vec![0; 5000];
        let mut finder = alike(&zeros, 1000, false);
        assert!(finder.bytes.is_none());
        assert_eq!(tokens(&mut finder, &zeros, 2000), [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
        let same = noise(1000, 4).repeat(20);
        let mut finder = alike(&same, 1000, false);
        assert!(finder.bytes.is_none());
        assert_eq!(tokens(&mut finder, &same[..3000], 2000), [Ok(0), Ok(1), Ok(2)]);
        assert!(alike(&noise(5000, 4), 600, false).bytes.is_none());
        assert!(alike(&noise(500, 4), 700, false).bytes.is_none());
    }

    #[test]
    fn where_much_is_compared_in_vain_sums_go_on() {
        // Blocks that differ from those of the file in one byte, far from their anchors and ends.
        let basis = noise(100_000, 5);
        let mut file = Vec::new();
        for block in basis.chunks(10_000) {
            let mut block = block.to_vec();
            block[9000] ^= 1;
            file.extend_from_slice(&block);
        }
        let file = [&file.repeat(60)[..], &basis[..]].concat();
        let mut finder = alike(&basis, 10_000, false);
        finder.bytes.as_mut().unwrap().in_vain = IN_VAIN;
        let found = tokens(&mut finder, &file, 50_000);
        assert!(finder.bytes.is_none());
        assert_eq!(found[0], Err(6_000_000));
        assert_eq!(found[1..], (0..10).map(Ok).collect::<Vec<_>>());
        assert_eq!(finder.stats().matches, 10);
    }

    /// Blocks and pieces of them, noise and zeros, in any order.
    fn mixture(parts: &[(u8, usize, usize)], basis: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        for &(kind, at, len) in parts {
            let at = at % basis.len();
            match kind % 5 {
                0 => file.extend(noise(len, at as u32)),
                1 => file.extend(vec![0; len]),
                _ => file.extend_from_slice(&basis[at..(at + 3 * len).min(basis.len())]),
            }
        }
        file
    }

    proptest! {
        /// What is found is what the sums find.
        #[test]
        fn bytes_and_sums_find_the_same(
            seed: u32,
            parts in prop::collection::vec((any::<u8>(), any::<usize>(), 1usize..3000), 1..12),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            block in 700u32..1500,
            len in 5000usize..20_000,
            repeated in 0usize..2,
            chunk in 500usize..9000,
        ) {
            let mut basis = noise(len, seed);
            basis.extend_from_within(..repeated * len / 2);
            let mut file = mixture(&parts, &basis);
            for (at, byte) in changes {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let mut finder = alike(&basis, block, false);
            prop_assert!(finder.bytes.is_some());
            let wanted = tokens(&mut by_sums(&basis, block, false), &file, chunk);
            prop_assert_eq!(tokens(&mut finder, &file, chunk), wanted);
        }

        /// In place nothing is taken from what was overwritten.
        #[test]
        fn in_place_the_file_is_rebuilt(
            seed: u32,
            parts in prop::collection::vec((2u8..5, any::<usize>(), 1usize..3000), 1..12),
            block in 700u32..1500,
            len in 5000usize..20_000,
        ) {
            let basis = noise(len, seed);
            let file = mixture(&parts, &basis);
            let mut finder = alike(&basis, block, true);
            let mut old = basis.clone();
            old.resize(basis.len().max(file.len()), 0);
            let mut at = 0;
            for token in tokens(&mut finder, &file, 4000) {
                let data = match token {
                    Err(len) => file[at..at + len].to_vec(),
                    Ok(block) => {
                        let (from, len) = finder.head().block_range(block);
                        old[from as usize..][..len as usize].to_vec()
                    }
                };
                old[at..at + data.len()].copy_from_slice(&data);
                at += data.len();
            }
            prop_assert_eq!(&old[..at], &file[..]);
        }
    }
}
