//! Message codes and the frame header (spec: multiplexing).

use crate::error::ProtocolError;

/// Added to a message code in the top byte of a frame header.
const BASE: u32 = 7;

/// Code of a frame; in its header 7 more.
///
/// A number in a payload is an i32 LE, and the payload then 4 bytes long. Texts and names take the whole payload, fewer than
/// [`MAX_TEXT`](crate::limits::MAX_TEXT) bytes; a text brings its own newline. Other lengths, and codes that do not come to the
/// role that reads them, are [`BadMessage`](ProtocolError::BadMessage), too long texts
/// [`MessageTooLong`](ProtocolError::MessageTooLong): `session::Inbox` checks both, a header alone says nothing of it. "Sibling only": rsync's
/// two receiving processes tell it each other, and a peer never. Where no version is named, the code exists from 27 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum MsgTag {
    /// Stream data, of any length; empty: a keep-alive (protocol ≥ 31).
    Data = 0,
    /// Text: an error that makes the run end with code 23; below protocol 30 every error.
    ErrorXfer = 1,
    /// Text for stdout; below protocol 30 warnings too.
    Info = 2,
    /// Text: error (protocol ≥ 30).
    Error = 3,
    /// Text: warning (protocol ≥ 30).
    Warning = 4,
    /// Sibling only: error text that must not go to the peer.
    ErrorSocket = 5,
    /// Sibling only: log file.
    Log = 6,
    /// Sibling only: client output.
    Client = 7,
    /// Sibling only: error text in UTF-8.
    ErrorUtf8 = 8,
    /// Sibling only: i32 index to redo.
    Redo = 9,
    /// Sibling only: i64 in native byte order, bytes read.
    Stats = 10,
    /// i32 error bits, sender to receiving side (protocol ≥ 30): 1 something could not be read, 2 a file vanished, 4 the
    /// limit of deletions was reached; other bits are ignored.
    IoError = 22,
    /// i32 seconds, daemon to client, right behind the seed (protocol ≥ 31): its time limit. Outside of 1 to 86400 it is
    /// ignored.
    IoTimeout = 33,
    /// Empty keep-alive (protocol 30; later an empty [`Self::Data`]).
    Noop = 42,
    /// Empty, or i32 exit code, 0 to 255 (protocol ≥ 31): the peer fails and ends; an empty one answers it.
    ErrorExit = 86,
    /// i32 index that is safely at the destination, generator to sender (with `--remove-source-files`).
    Success = 100,
    /// Name that was deleted, server to the client that sends (protocol ≥ 29); a directory's ends in NUL.
    Deleted = 101,
    /// i32 index that was asked for and will not come, sender to receiving side (protocol ≥ 30; before, nothing comes).
    NoSend = 102,
}

impl MsgTag {
    /// The code, without the 7.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The message of a code; `None`: there is none.
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
    /// The four bytes. A longer `len` than 24 bits is cut.
    pub const fn encode(self) -> [u8; 4] {
        (((BASE + self.tag as u32) << 24) | (self.len & 0x00ff_ffff)).to_le_bytes()
    }

    /// Header from its four bytes. A code that does not exist is [`UnknownTag`](ProtocolError::UnknownTag).
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
