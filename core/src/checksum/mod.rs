//! Checksums.

/// Algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ChecksumKind {
    /// `xxh128`
    Xxh128,
    /// `xxh3`
    Xxh3,
    /// `xxh64`
    Xxh64,
    /// `md5`
    Md5,
    /// `md4`
    Md4,
    /// `sha1`
    Sha1,
    /// `none`
    None,
}

/// Digest of up to 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    bytes: [u8; 20],
    len: u8,
}
