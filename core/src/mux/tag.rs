//! Message codes and the frame header (spec: multiplexing).

use crate::error::ProtocolError;

/// Added to a message code in the top byte of a frame header.
const BASE: u32 = 7;

/// Code of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum MsgTag {
    /// Stream data.
    Data = 0,
    /// Text: an error that makes the run end with code 23.
    ErrorXfer = 1,
    /// Text for stdout.
    Info = 2,
    /// Text: error (protocol ≥ 30).
    Error = 3,
    /// Text: warning (protocol ≥ 30).
    Warning = 4,
    /// Sibling only.
    ErrorSocket = 5,
    /// Sibling only: log file.
    Log = 6,
    /// Sibling only: client output.
    Client = 7,
    /// Sibling only: error text in UTF-8.
    ErrorUtf8 = 8,
    /// Sibling only: i32 index to redo.
    Redo = 9,
    /// Sibling only.
    Stats = 10,
    /// i32 error bits, sender to receiving side (protocol ≥ 30).
    IoError = 22,
    /// i32 seconds, daemon to client (protocol ≥ 31).
    IoTimeout = 33,
    /// Empty keep-alive (protocol 30).
    Noop = 42,
    /// Empty, or i32 exit code (protocol ≥ 31).
    ErrorExit = 86,
    /// i32 index that is safely at the destination, generator to sender.
    Success = 100,
    /// Name that was deleted; a directory's ends in NUL.
    Deleted = 101,
    /// i32 index that the sender will not send (protocol ≥ 30).
    NoSend = 102,
}

impl MsgTag {
    /// The code.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The message of a code.
    pub const fn from_number(n: u8) -> Option<Self> {
        Some(match n {
            0 => Self::Data,
            1 => Self::ErrorXfer,
            2 => Self::Info,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::ErrorSocket,
            6 => Self::Log,
            7 => Self::Client,
            8 => Self::ErrorUtf8,
            9 => Self::Redo,
            10 => Self::Stats,
            22 => Self::IoError,
            33 => Self::IoTimeout,
            42 => Self::Noop,
            86 => Self::ErrorExit,
            100 => Self::Success,
            101 => Self::Deleted,
            102 => Self::NoSend,
            _ => return None,
        })
    }

    /// True for the messages that carry a text for the user.
    pub const fn is_text(self) -> bool {
        matches!(
            self,
            Self::ErrorXfer
                | Self::Info
                | Self::Error
                | Self::Warning
                | Self::ErrorSocket
                | Self::Log
                | Self::Client
                | Self::ErrorUtf8
        )
    }
}

/// Header of a frame: u32 LE, `(7 + code) << 24 | length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Code.
    pub tag: MsgTag,
    /// Length of the payload, bytes, 0..=0xffffff.
    pub len: u32,
}

impl Header {
    /// The four bytes.
    pub const fn encode(self) -> [u8; 4] {
        (((BASE + self.tag as u32) << 24) | (self.len & 0x00ff_ffff)).to_le_bytes()
    }

    /// Header from its four bytes.
    pub fn decode(bytes: [u8; 4]) -> Result<Self, ProtocolError> {
        let word = u32::from_le_bytes(bytes);
        let code = i16::from(bytes[3]) - 7;
        let tag = u8::try_from(code).ok().and_then(MsgTag::from_number);
        let Some(tag) = tag else {
            return Err(ProtocolError::UnknownTag { tag: code });
        };
        Ok(Self { tag, len: word & 0x00ff_ffff })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_captured() {
        assert_eq!(Header { tag: MsgTag::Data, len: 40 }.encode(), [0x28, 0, 0, 7]);
        assert_eq!(Header::decode([3, 0, 0, 0x6c]), Ok(Header { tag: MsgTag::Deleted, len: 3 }));
        assert_eq!(Header::decode([4, 0, 0, 0x5d]), Ok(Header { tag: MsgTag::ErrorExit, len: 4 }));
        assert_eq!(Header::decode([0, 0, 0, 6]), Err(ProtocolError::UnknownTag { tag: -1 }));
        assert_eq!(Header::decode([0, 0, 0, 0xff]), Err(ProtocolError::UnknownTag { tag: 248 }));
    }
}
