//! Messages from the peer: their lengths are checked, their numbers kept, their texts dropped.

use crate::{
    error::ProtocolError,
    exit::ExitCode,
    io::{MessageFault, MessageSink},
    limits::MAX_TEXT,
    mux::{Header, MsgTag},
};

/// The sink of a tiny session.
#[derive(Debug)]
pub(super) struct Inbox {
    header: Header,
    word: [u8; 4],
    got: usize,
    /// This side sends files.
    pub(super) sender: bool,
    /// Error bits of the sender.
    pub(super) io_error: u32,
    /// The peer reported an error of a file.
    pub(super) transfer_error: bool,
    /// The sender will not send this index.
    pub(super) no_send: Option<i32>,
}

impl Inbox {
    pub(super) const fn new(sender: bool) -> Self {
        Self {
            header: Header { tag: MsgTag::Noop, len: 0 },
            word: [0; 4],
            got: 0,
            sender,
            io_error: 0,
            transfer_error: false,
            no_send: None,
        }
    }
}

impl MessageSink for Inbox {
    fn begin(&mut self, header: Header) -> Result<(), MessageFault> {
        use MsgTag as T;
        let Header { tag, len } = header;
        self.header = header;
        self.word = [0; 4];
        self.got = 0;
        let fits = match tag {
            T::ErrorXfer | T::Info | T::Error | T::Warning | T::ErrorUtf8 | T::Deleted => {
                if len as usize >= MAX_TEXT {
                    return Err(ProtocolError::MessageTooLong { tag, len }.into());
                }
                tag != T::Deleted || self.sender
            }
            T::Success => self.sender && len == 4,
            T::NoSend | T::IoError => !self.sender && len == 4,
            T::IoTimeout => len == 4,
            T::Noop => len == 0,
            T::ErrorExit => len == 0 || len == 4,
            T::Data | T::ErrorSocket | T::Log | T::Client | T::Redo | T::Stats => false,
        };
        if fits { Ok(()) } else { Err(ProtocolError::BadMessage { tag, len }.into()) }
    }

    fn part(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if let Some(slot) = self.word.get_mut(self.got) {
                *slot = byte;
                self.got += 1;
            }
        }
    }

    fn end(&mut self) -> Result<(), MessageFault> {
        let value = i32::from_le_bytes(self.word);
        match self.header.tag {
            MsgTag::ErrorXfer => self.transfer_error = true,
            MsgTag::IoError => self.io_error |= value as u32 & 7,
            MsgTag::NoSend => self.no_send = Some(value),
            MsgTag::ErrorExit => {
                return Err(MessageFault::PeerExit(ExitCode::from_wire(value)));
            }
            _ => {}
        }
        Ok(())
    }
}
