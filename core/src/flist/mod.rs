//! File lists: entries, their wire form, their order, and the numbering of several lists.
//!
//! A list is entries, an end marker, and, if it is the only one of the session, the names of ids (and below protocol
//! 30 an i32 with error bits). What an entry has is decided by the options of both ends ([`Format`]); nothing
//! in the stream says it. "As before" means the last entry that was sent, in whichever list of the connection.
//!
//! | field | there if | form |
//! |---|---|---|
//! | flags | always | varint, if the handshake says so (never 0; `04` stands for "none"); else one byte, and from 28 on a second one if bit 2 is set |
//! | common bytes with the last name | flag `0x20` | byte |
//! | length of the rest, and the rest | always | byte, or varint (30) / i32 with flag `0x40`; bytes |
//! | number of the hard-link group | 30, flag `0x200` without `0x1000` | varint; of a group of this list: nothing follows up to the digest |
//! | size | always | varlong(3), below 30 longint |
//! | mtime | not `0x80` | varlong(4), below 30 u32 |
//! | nanoseconds | flag `0x2000` (31) | varint, 0 to 999999999 |
//! | crtime | `-N`, not `0x20000` | varlong(4) |
//! | mode | not `0x02` | i32, type bits included |
//! | atime | `-U`, no directory, not `0x4000` | varlong(4) |
//! | uid; name | `-o`, not `0x08`; name: `0x400` (30) | varint, below 30 i32; byte length and bytes |
//! | gid; name | `-g`, not `0x10`; name: `0x800` (30) | the same |
//! | device number | devices; fifos and sockets below 31 | major, if not `0x100`, and minor: varints; 28, 29: i32, minor one byte with `0x800`; 27: i32 |
//! | target | `-l`, a symlink | length, varint or below 30 i32, below 4096; bytes |
//! | device and inode | `-H` below 30 | longints; device plus 1 |
//! | digest | `-c`, a regular file | as long as the algorithm's |
//! | ACLs, attributes | `-A`, `-X` (30) | see [`acl`], [`xattr`] |
//!
//! The end is a byte 0; with varint flags a varint with error bits follows, else `04 10` and the varint stand in its
//! place if there are errors and the other end understands it (30 with a flag, 31).
//!
//! As recorded, protocol 32: flags `8c 01` (a top directory, names of owner and group follow), name, size 4096, mtime,
//! mode, uid 0 `root`, gid 0 `root`:
//!
//! ```text
//! 8c 01 | 01 2e | 00 00 10 | 57 05 0a 23 | ed 41 00 00 | 00 04 72 6f 6f 74 | 00 04 72 6f 6f 74
//! ```
//!
//! The same directory at protocol 29: `01 | 01 2e | 00 10 00 00 | 1e 71 5d 54 | ed 41 00 00 | 00 00 00 00 | 00 00 00 00`.
//!
//! After it was received a list is sorted ([`order`]), on both ends; an index is a place in the sorted list.
//! Where names are converted (`charset`) the two sides sort differently, and it is a place in the order of transmission.

#[cfg(feature = "alloc")]
pub mod acl;
pub mod compare;
#[cfg(feature = "alloc")]
pub mod decode;
#[cfg(feature = "alloc")]
pub mod encode;
#[cfg(feature = "alloc")]
pub mod entry;
#[cfg(feature = "alloc")]
mod fields;
#[cfg(feature = "alloc")]
mod format;
#[cfg(feature = "alloc")]
pub mod ids;
pub mod kind;
#[cfg(feature = "alloc")]
pub mod order;
#[cfg(feature = "alloc")]
pub mod xattr;
pub(crate) mod xmit;

#[cfg(feature = "alloc")]
pub use format::{Format, Tables};
