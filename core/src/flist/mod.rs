//! File lists: entries, their wire form, their order, and the numbering of several lists.
//!
//! (spec: file list.) A list is entries, an end marker, and, if it is the only one of the session, the names of ids (and below protocol
//! 30 an i32 with error bits, see [`ids`]). What an entry has is decided by the options of both ends ([`Format`]); nothing
//! in the stream says it. "As before" means the last entry that was sent, in whichever list of the connection.
//!
//! | field | there if | form |
//! |---|---|---|
//! | flags | always | varint, if the handshake says so (never 0; `04` stands for "none"); else one byte, and from 28 on a second one if bit 2 is set |
//! | common bytes with the last name | flag `0x20` | byte |
//! | length of the rest, and the rest | always | byte, or varint (30) / i32 with flag `0x40`; bytes; the whole name below 4096 |
//! | number of the hard-link group | `-H`, 30, flag `0x200` without `0x1000` | varint; see below |
//! | size | always | varlong(3), below 30 longint; bytes, not negative |
//! | mtime | not `0x80` | varlong(4), below 30 u32; seconds since 1970 |
//! | nanoseconds | flag `0x2000` (31) | varint, 0 to 999999999; without the flag 0 |
//! | crtime | `-N`, not `0x20000` | varlong(4), seconds |
//! | mode | not `0x02` | i32, type bits included: those of Linux ([`kind::mode`]) |
//! | atime | `-U`, no directory, not `0x4000` | varlong(4), seconds |
//! | uid; name | `-o`, not `0x08`; name: `0x400` (30) | varint, below 30 i32; byte length and bytes |
//! | gid; name | `-g`, not `0x10`; name: `0x800` (30) | the same |
//! | device number | `--devices` and a device; `--specials`, a fifo or socket, below 31 | major, if not `0x100`, and minor: varints; 28, 29: i32, minor one byte with `0x800`; 27: i32 of both as Linux numbers devices, if not `0x04` |
//! | target | `-l`, a symlink | length, varint or below 30 i32, below 4096; bytes |
//! | device and inode | `-H`; 28, 29: flag `0x200`; 27: every regular file | longints; device plus 1, in 28 and 29 if not `0x400`; inode |
//! | digest | `-c`, a regular file; 27: every entry | as long as the algorithm's, unseeded |
//! | ACLs | `-A` (30), no symlink | see [`acl`] |
//! | attributes | `-X` (30) | see [`xattr`] |
//!
//! | flag | versions | set: |
//! |---|---|---|
//! | `0x01` | all | a directory, and an argument; of anything else, and `0x40` of a directory in 27, a filler where flags would be 0 |
//! | `0x02`, `0x08`, `0x10`, `0x80` | all | mode, uid, gid, mtime as before |
//! | `0x04` | 27 | device number as before |
//! | `0x04` | 28 | one-byte flags: the second byte follows. Varint flags: filler |
//! | `0x20`, `0x40` | all | the name has common bytes; its length is a number and no byte |
//! | `0x100` | 28 | major as before; of a directory (30), see below |
//! | `0x200` | 28 | no directory, in a hard-link group |
//! | `0x400`, `0x800` | 28, 29 | device of the group as before; minor is one byte |
//! | `0x400`, `0x800` | 30 | name of the user, of the group follows: with incremental recursion, where the id comes for the first time |
//! | `0x1000` | 30 | with `0x200`: the first of its group |
//! | `0x2000` | 31 | nanoseconds follow |
//! | `0x4000` | 28 | atime as before |
//! | `0x20000` | varint flags | crtime equals mtime |
//!
//! Directories from 30 on: neither `0x01` nor `0x100`: what it holds is in the transfer; `0x01`: the same, and it is an argument; both:
//! it is only on the way to an argument (`-R`); `0x100`: what it holds is not in the transfer. See [`entry::EntryFlags`].
//!
//! The number of a hard-link group is the place of its first member, counted in the order of transmission from the list's first
//! index on. If that is a place in this list, nothing follows but ACLs and attributes: the fields from the size to the digest are those of the
//! first member, and count as "before" for the next entry. A number from an earlier list is followed by all fields.
//!
//! The end is a byte 0; with varint flags a varint with error bits follows (`session::io_error`), else `04 10` and the varint stand in its
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
