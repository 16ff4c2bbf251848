//! Every bound on a size that the peer controls, with its reason (spec: limits for untrusted input).
//!
//! The same in all versions. What is larger is [`OutOfRange`](crate::error::ProtocolError::OutOfRange) where nothing else is said, and the
//! [`Limit`](crate::error::Limit) in it decides on the exit code.

/// Longest path name on the wire, bytes, the terminating NUL of the reference included (exclusive): names of entries
/// ([`NameFault::Overflow`](crate::error::NameFault::Overflow), code 22), targets of symlinks, names beside items.
pub const MAX_PATH: usize = 4096;
/// Longest filter rule (code 22) or text message ([`MessageTooLong`](crate::error::ProtocolError::MessageTooLong), code 12), bytes
/// (exclusive).
pub const MAX_TEXT: usize = MAX_PATH + 1024;
/// Longest string in the algorithm negotiation, bytes; a longer one ends with code 4.
pub const MAX_NEGOTIATION: usize = 255;
/// Largest payload of a frame, bytes: the length field has 24 bits, so no peer can exceed it.
pub const MAX_FRAME: usize = 0x00ff_ffff;
/// Largest number of entries of an ACL.
pub const MAX_ACL_ENTRIES: u32 = 65_536;
/// Largest number of extended attributes of one file.
pub const MAX_XATTRS: u32 = 65_536;
/// Longest name of an extended attribute, bytes, its NUL included.
pub const MAX_XATTR_NAME: u32 = 4096;
/// Largest value of an extended attribute, bytes (the reference caps it at the same size).
pub const MAX_XATTR_VALUE: u32 = 128 << 20;
/// Largest sum of names and values of the attributes of one file, bytes.
pub const MAX_XATTR_SET: u64 = 512 << 20;
/// Largest deletion count in the deletion statistics.
pub const MAX_DELETED: i32 = 1 << 28;
/// Memory is reserved in steps of at most this many bytes, never by an announced size.
pub const RESERVE_STEP: usize = 64 << 10;
/// Bytes of a file that are read and worked on at a time: together with what is made of them they stay in a second-level
/// cache of 512 KiB. What falls out of it costs several times as much on a machine whose memory is busy.
pub const FILE_PIECE: usize = 128 << 10;
/// Largest literal that is taken in one piece, bytes.
pub const LITERAL_PIECE: usize = 32 << 10;
/// Largest record of compressed data, bytes: its length has 14 bits.
pub const MAX_COMPRESSED_RECORD: usize = 16_383;

/// Most answers and refusals of a sender that wait for the generator at once, by the number of entries listed so far. An entry
/// is asked for once at a time, and may take over the lead of its link group meanwhile; a few marks of phases come on top.
#[cfg(feature = "alloc")]
pub(crate) const fn unseen_answers(entries: u64) -> u64 {
    entries.saturating_mul(2).saturating_add(8)
}
