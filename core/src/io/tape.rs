//! A copy of the stream, taken while it is written or read.

use core::fmt::Debug;

/// Takes down the bytes of one direction of a session, without framing and messages (spec: batch files).
pub trait Tape: Debug {
    /// The next bytes of the stream.
    fn record(&self, bytes: &[u8]);
}
