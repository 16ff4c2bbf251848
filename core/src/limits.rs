//! Every bound on a size that the peer controls, with its reason (spec: limits for untrusted input).

/// Longest path name on the wire, bytes, the terminating NUL of the reference included.
pub const MAX_PATH: usize = 4096;
/// Longest filter rule or text message, bytes (exclusive).
pub const MAX_TEXT: usize = MAX_PATH + 1024;
/// Longest string in the algorithm negotiation, bytes.
pub const MAX_NEGOTIATION: usize = 255;
/// Largest payload of a frame, bytes: the length field has 24 bits.
pub const MAX_FRAME: usize = 0x00ff_ffff;
/// Largest number of entries of an ACL.
pub const MAX_ACL_ENTRIES: u32 = 65_536;
/// Largest number of extended attributes of one file.
pub const MAX_XATTRS: u32 = 65_536;
/// Longest name of an extended attribute, its NUL included.
pub const MAX_XATTR_NAME: u32 = 4096;
/// Largest value of an extended attribute, bytes (the reference caps it at the same size).
pub const MAX_XATTR_VALUE: u32 = 128 << 20;
/// Largest sum of names and values of the attributes of one file, bytes.
pub const MAX_XATTR_SET: u64 = 512 << 20;
/// Largest deletion count in the deletion statistics.
pub const MAX_DELETED: i32 = 1 << 28;
/// Memory is reserved in steps of at most this many bytes, never by an announced size.
pub const RESERVE_STEP: usize = 64 << 10;
/// Largest literal that is taken in one piece, bytes.
pub const LITERAL_PIECE: usize = 32 << 10;
/// Largest record of compressed data, bytes: its length has 14 bits.
pub const MAX_COMPRESSED_RECORD: usize = 16_383;
