//! Digest of a whole file.

use core::{cell::RefCell, hash::Hash};
use std::os::fd::OwnedFd;

use arsync_core::checksum::{ChecksumKind, Digest, Hasher};
use rustix::io;

use super::{ahead::Ahead, copy::read_full};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;
/// Digests that may wait to be asked for.
const KEPT: usize = 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Hashes a file from its start to its end, unseeded. `size`: what it is expected to hold; there the end is not
/// looked for.
pub fn digest_file(file: &OwnedFd, size: u64, kind: ChecksumKind) -> io::Result<Digest> {
    BUFFER.with_borrow_mut(|buf| {
        buf.resize(PIECE, 0);
        let mut hash = Hasher::new(kind);
        let mut offset = 0;
        loop {
            let wanted = usize::try_from(size.saturating_sub(offset)).unwrap_or(PIECE).min(PIECE);
            // An empty file is not read: that would set its access time.
            let n = if wanted == 0 { 0 } else { read_full(file, offset, &mut buf[..wanted])? };
            hash.update(&buf[..n]);
            offset += n as u64;
            if n < wanted || offset == size {
                return Ok(hash.finish());
            }
        }
    })
}

/// What makes digests on every processor; who asks for them waits most of the time.
pub fn digests_ahead<K: Hash + Eq + Clone + Send + 'static>() -> Ahead<K, Digest> {
    let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    Ahead::with_threads(if cores == 1 { 0 } else { cores.min(16) }).keeping(KEPT)
}
