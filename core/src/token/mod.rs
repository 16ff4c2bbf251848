//! Token stream.

/// Compressor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CompressKind {
    /// `zstd`
    Zstd,
    /// `lz4`
    Lz4,
    /// `zlibx`
    Zlibx,
    /// `zlib`
    Zlib,
    /// `none`
    None,
}
