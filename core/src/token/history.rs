//! What the `zlib` compressor knows of matched blocks: data that enters the window without being sent.

use alloc::vec::Vec;

/// Size of the deflate window, bytes; nothing further back can be referred to.
const WINDOW: usize = 1 << 15;
/// The reference inserts a block in pieces of at most this many bytes.
const PIECE: usize = 0xffff;

/// The end of the matched data since the last literal, to be put in the window before the next one.
#[derive(Debug, Default)]
pub(super) struct History {
    data: Vec<u8>,
    /// Protocol ≥ 31. Before, each piece of a long block is taken from its start.
    advances: bool,
}

impl History {
    pub(super) fn new(advances: bool) -> Self {
        Self { data: Vec::new(), advances }
    }

    pub(super) fn clear(&mut self) {
        self.data.clear();
    }

    /// Adds one whole block.
    pub(super) fn push(&mut self, block: &[u8]) {
        for piece in block.chunks(PIECE) {
            let piece = if self.advances { piece } else { &block[..piece.len()] };
            let piece = &piece[piece.len().saturating_sub(WINDOW)..];
            // Moving the window down is done rarely: blocks may be much smaller than it.
            if self.data.len() + piece.len() > 3 * WINDOW {
                let keep = WINDOW - piece.len();
                self.data.drain(..self.data.len() - keep);
            }
            self.data.extend_from_slice(piece);
        }
    }

    /// What to insert now, if anything; it is forgotten here.
    pub(super) fn take(&mut self, insert: impl FnOnce(&[u8])) {
        if !self.data.is_empty() {
            insert(&self.data[self.data.len().saturating_sub(WINDOW)..]);
            self.data.clear();
        }
    }
}
