//! Digest of a whole file.

use std::os::fd::OwnedFd;

use arsync_core::checksum::{ChecksumKind, Digest, Hasher};
use rustix::io;

use super::copy::read_full;

/// Hashes a file from its start to its end, unseeded.
pub fn digest_file(file: &OwnedFd, kind: ChecksumKind) -> io::Result<Digest> {
    let mut hash = Hasher::new(kind);
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
