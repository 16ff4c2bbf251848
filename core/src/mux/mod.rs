//! Framing of the stream.

mod tag;

pub use tag::{Header, MsgTag};
