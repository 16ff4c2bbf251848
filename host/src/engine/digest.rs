//! Digest of a whole file. The algorithms are core's; they come in as a [`NewHash`].

use std::os::fd::OwnedFd;

use arsync_core::checksum::{ChecksumKind, Digest};
use rustix::io;

use super::copy::read_full;

/// A running checksum.
pub trait FileHash {
    /// Takes more data.
    fn update(&mut self, data: &[u8]);
    /// The digest of all data.
    fn finish(self: Box<Self>) -> Digest;
}

/// Starts an unseeded checksum of a kind.
pub type NewHash = fn(ChecksumKind) -> Box<dyn FileHash>;

/// Hashes a file from its start to its end.
pub fn digest_file(file: &OwnedFd, kind: ChecksumKind, new: NewHash) -> io::Result<Digest> {
    let mut hash = new(kind);
    let mut buf = vec![0; 256 << 10];
    let mut offset = 0;
    loop {
        let n = read_full(file, offset, &mut buf)?;
        hash.update(&buf[..n]);
        if n < buf.len() {
            return Ok(hash.finish());
        }
        offset += n as u64;
    }
}
