//! Framing of the stream: a [`Header`] of four bytes, then so many bytes of data or of a message.
//!
//! The header is a u32 LE: 24 bits of length, and above them the code plus 7 (spec: multiplexing).
//! Boundaries of [`MsgTag::Data`] frames mean nothing: a value may be split by one, and any number may share a
//! frame; an empty one is a keep-alive. Messages stand between data frames, never inside. The stream to the client
//! is framed at every version, that to the server from protocol 30 on (before: only in a pull with
//! `--remove-source-files`), both from behind the seed. Names of `--files-from` travel between frames, not in them, below protocol 31.
//!
//! ```
//! use arsync_core::mux::{Header, MsgTag};
//!
//! // 219 bytes of data; a directory `zz` was deleted (its name ends in NUL); exit code 23 follows.
//! assert_eq!(Header { tag: MsgTag::Data, len: 219 }.encode(), [0xdb, 0, 0, 7]);
//! assert_eq!(Header { tag: MsgTag::Deleted, len: 3 }.encode(), [3, 0, 0, 0x6c]);
//! assert_eq!(Header::decode([4, 0, 0, 0x5d]), Ok(Header { tag: MsgTag::ErrorExit, len: 4 }));
//! assert!(Header::decode([4, 0, 0, 0x41]).is_err()); // no such code
//! ```

mod tag;

pub use tag::{Header, MsgTag};
