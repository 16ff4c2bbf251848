//! Numbers of the wire as pure functions between bytes and values (spec: integers).
//!
//! A decoder gets the bytes at hand and answers `Ok(None)` when they end too early, or the value with the
//! number of bytes it took. Nothing here is longer than 16 bytes. Only what no value can begin with is an error: a varint or varlong of
//! too many bytes ([`VarintOverflow`](crate::error::ProtocolError::VarintOverflow)) and an index that leaves its range
//! ([`BadNdx`](crate::error::ProtocolError::BadNdx)). Ranges of what a number stands for are checked where it is used.

pub mod int;
pub mod ndx;
pub mod varint;

/// Up to 16 encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encoded {
    buf: [u8; 16],
    len: u8,
}

impl Encoded {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf[..usize::from(self.len)]
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Self {
        let mut out = Self::default();
        for &b in bytes {
            out.push(b);
        }
        out
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.buf[usize::from(self.len)] = byte;
        self.len += 1;
    }
}

/// Outcome of a decoder: value and number of bytes taken, or `None`: more bytes are needed.
pub type Decoded<T> = Result<Option<(T, usize)>, crate::error::ProtocolError>;
