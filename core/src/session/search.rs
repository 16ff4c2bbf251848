//! The search for blocks of a basis in a file, one window after the other. Whoever searches reads, and does with what is
//! found what its other end wants.

use alloc::{boxed::Box, vec::Vec};

use super::transfer::FileContext;
use crate::{
    delta::{self, MatchStats, Matcher, SumHead},
    error::Role,
    ports::{Observer, Source, Step},
};

/// A search under way: [`Search::room`] is filled, then [`Search::next`] is called until it finds no block, as long
/// as it [goes on](Search::goes_on).
pub(super) struct Search<'a, 's, O, F> {
    context: &'a FileContext<'a, 's, O>,
    finder: F,
    /// Of the file.
    size: u64,
    window: Vec<u8>,
    /// Offset of the window in the file.
    base: u64,
    /// Bytes of the window that are decided, and that were read.
    pos: usize,
    filled: usize,
    /// Bytes without a block since the last block.
    unmatched: u64,
    literal: u64,
    matched: u64,
}

/// What is decided: bytes that are in no block, and the block behind them.
pub(super) struct Found<'w> {
    pub literal: &'w [u8],
    pub block: Option<FoundBlock<'w>>,
}

pub(super) struct FoundBlock<'w> {
    pub number: u32,
    /// Where it is in the file.
    pub at: u64,
    /// Where it is in the basis.
    pub basis_at: u64,
    pub data: &'w [u8],
}

/// Who finds the blocks: see [`Matcher`].
pub(super) trait Find {
    fn head(&self) -> &SumHead;
    fn stats(&self) -> MatchStats;
    fn window_len(&self) -> usize;
    async fn next(&mut self, buf: &[u8], offset: u64, last: bool) -> delta::Step;
}

/// Finds them by their sums. On the heap, for the sake of those who hold a search while they wait.
impl Find for Box<Matcher> {
    fn head(&self) -> &SumHead {
        Matcher::head(self)
    }

    fn stats(&self) -> MatchStats {
        Matcher::stats(self)
    }

    fn window_len(&self) -> usize {
        Matcher::window_len(self)
    }

    async fn next(&mut self, buf: &[u8], offset: u64, last: bool) -> delta::Step {
        Matcher::next(self, buf, offset, last)
    }
}

impl<'a, 's, O: Observer, F: Find> Search<'a, 's, O, F> {
    /// `window`: a buffer of any content, which [`Search::finish`] gives back with the finder.
    pub(super) fn new(finder: F, size: u64, window: Vec<u8>, context: &'a FileContext<'a, 's, O>) -> Self {
        // An empty file is not searched.
        if size > 0 {
            context
                .shared
                .step(Role::Sender, &Step::Searching { block_len: finder.head().block_len, len: size });
        }
        let (base, pos, filled) = (0, 0, 0);
        let (unmatched, literal, matched) = (0, 0, 0);
        Self { context, finder, size, window, base, pos, filled, unmatched, literal, matched }
    }

    /// What is to be read next: the offset in the file, and the place.
    pub(super) fn room(&mut self) -> (u64, &mut [u8]) {
        self.window.copy_within(self.pos..self.filled, 0);
        self.base += self.pos as u64;
        let have = self.filled - self.pos;
        let from = self.base + have as u64;
        let room = self.finder.window_len().saturating_sub(have);
        let n = usize::try_from(self.size - from).unwrap_or(usize::MAX).min(room);
        (self.pos, self.filled) = (0, have + n);
        if self.window.len() < self.filled {
            self.window.resize(self.filled, 0);
        }
        (from, self.window.get_mut(have..self.filled).unwrap_or_default())
    }

    /// What comes next. Without a block nothing more is decided before more is read.
    pub(super) async fn next(&mut self) -> Found<'_> {
        let rest = self.window.get(self.pos..self.filled).unwrap_or_default();
        let step = self.finder.next(rest, self.base + self.pos as u64, self.is_last()).await;
        let (literal, rest) = rest.split_at_checked(step.literal).unwrap_or_default();
        self.pos += literal.len();
        self.literal += literal.len() as u64;
        self.unmatched += literal.len() as u64;
        let Some(number) = step.block else { return Found { literal, block: None } };
        let (basis_at, len) = self.finder.head().block_range(number);
        let (at, before) = (self.base + self.pos as u64, core::mem::take(&mut self.unmatched));
        let found = Step::Match { at, block: number, len, literal: before };
        self.context.shared.step(Role::Sender, &found);
        let data = rest.get(..len as usize).unwrap_or_default();
        self.pos += data.len();
        self.matched += data.len() as u64;
        Found { literal, block: Some(FoundBlock { number, at, basis_at, data }) }
    }

    /// The window holds the end of the file.
    const fn is_last(&self) -> bool {
        self.base + self.filled as u64 == self.size
    }

    /// All of the window is looked at: is there more of the file?
    pub(super) fn goes_on(&self) -> bool {
        self.context.progress(self.base + self.pos as u64, 0, false);
        !self.is_last()
    }

    /// The end: tells and counts what was found.
    pub(super) fn finish(self) -> (Vec<u8>, F) {
        if self.size > 0 {
            self.context.shared.step(Role::Sender, &Step::Searched);
        }
        self.context.searched(self.finder.stats(), self.literal, self.matched);
        (self.window, self.finder)
    }
}

impl<O> Search<'_, '_, O, Box<Matcher>> {
    /// Has what was read sifted, where that is worth it.
    pub(super) fn sift(&mut self, source: &impl Source) {
        let rest = self.window.get(self.pos..self.filled).unwrap_or_default();
        if let Some(sifting) = self.finder.sifting(rest) {
            let found = source.sift(&sifting);
            self.finder.sifted(self.base + self.pos as u64, rest.len(), found);
        }
    }
}
