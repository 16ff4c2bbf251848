//! Messages from the peer: checked by role, texts to the observer, numbers to the session's state.

use alloc::vec::Vec;

use super::{Event, Shared};
use crate::{
    error::ProtocolError,
    exit::ExitCode,
    flist::entry::FileKind,
    io::{MessageFault, MessageSink},
    item::{BasisType, ItemFlags},
    limits::MAX_TEXT,
    mux::{Header, MsgTag},
    ports::{ItemEvent, Observer},
    setup::Side,
};

/// The sink of a session's reader.
#[derive(Debug)]
pub struct Inbox<'a, O> {
    shared: Option<&'a Shared<'a, O>>,
    /// Which role reads.
    sender: bool,
    header: Header,
    payload: Vec<u8>,
}

impl<'a, O: Observer> Inbox<'a, O> {
    /// A sink for a handshake, in which there are no messages. The session that follows attaches it to its state.
    pub const fn unattached() -> Self {
        Self {
            shared: None,
            sender: false,
            header: Header { tag: MsgTag::Noop, len: 0 },
            payload: Vec::new(),
        }
    }

    /// Connects the sink with the session, and with the role that reads.
    pub(super) const fn attach(&mut self, shared: &'a Shared<'a, O>, sender: bool) {
        (self.shared, self.sender) = (Some(shared), sender);
    }

    /// A message more than there can be.
    fn superfluous(&self) -> Result<(), MessageFault> {
        let Header { tag, len } = self.header;
        Err(ProtocolError::BadMessage { tag, len }.into())
    }

    fn int(&self) -> i32 {
        self.payload.first_chunk().map_or(0, |b| i32::from_le_bytes(*b))
    }
}

impl<O: Observer> MessageSink for Inbox<'_, O> {
    fn begin(&mut self, header: Header) -> Result<(), MessageFault> {
        use MsgTag as T;
        self.header = header;
        self.payload.clear();
        let Header { tag, len } = header;
        let client = self.shared.is_none_or(|s| s.side == Side::Client);
        let fits = match tag {
            T::ErrorXfer | T::Info | T::Error | T::Warning | T::ErrorUtf8 => {
                if len as usize >= MAX_TEXT {
                    return Err(ProtocolError::MessageTooLong { tag, len }.into());
                }
                true
            }
            T::Deleted => {
                if len as usize >= MAX_TEXT {
                    return Err(ProtocolError::MessageTooLong { tag, len }.into());
                }
                self.sender
            }
            T::Success => self.sender && len == 4,
            // A sender has no use for them, and takes them (stock binary).
            T::NoSend | T::IoError => len == 4,
            T::IoTimeout => client && len == 4,
            T::Noop => len == 0,
            T::ErrorExit => len == 0 || len == 4,
            T::Data | T::ErrorSocket | T::Log | T::Client | T::Redo | T::Stats => false,
        };
        if fits { Ok(()) } else { Err(ProtocolError::BadMessage { tag, len }.into()) }
    }

    fn part(&mut self, bytes: &[u8]) {
        self.payload.extend_from_slice(bytes);
    }

    fn end(&mut self) -> Result<(), MessageFault> {
        use MsgTag as T;
        let value = self.int();
        let Some(shared) = self.shared else {
            return match self.header.tag {
                T::ErrorExit => Err(MessageFault::PeerExit(ExitCode::from_wire(value))),
                _ => Ok(()),
            };
        };
        match self.header.tag {
            T::ErrorXfer => {
                shared.transfer_error.set(true);
                shared.observer.peer_text(T::ErrorXfer, &self.payload);
            }
            tag if tag.is_text() => shared.observer.peer_text(tag, &self.payload),
            T::IoError | T::NoSend if self.sender => {}
            T::IoError => shared.add_io_error(value as u32 & 7),
            T::Success => {
                let mut waiting = shared.successes.borrow_mut();
                // More than there are files is a peer that repeats itself.
                let most = shared.stats.borrow().listed.total();
                if shared.options.transfer.remove_source.is_none() {
                    // Nobody asked.
                } else if waiting.len() as u64 > most {
                    return self.superfluous();
                } else {
                    waiting.push_back(value);
                }
            }
            T::NoSend if !shared.takes_refusals() => return self.superfluous(),
            T::NoSend => shared.event(Event::Failed(value)),
            T::IoTimeout if (1..=86_400).contains(&value) => shared.observer.lower_timeout(value as u32),
            T::Deleted if shared.is_client() => {
                let (name, kind) = match self.payload.strip_suffix(b"\0") {
                    Some(dir) => (dir, FileKind::Dir),
                    None => (self.payload.as_slice(), FileKind::Regular),
                };
                // As the reference, which takes the name for one of this side.
                let name = shared.text_to_wire(name.to_vec());
                shared.observer.item(&ItemEvent {
                    entry: None,
                    name: &name,
                    flags: ItemFlags::DELETED,
                    link: None,
                    basis: BasisType::Name,
                    transfer: None,
                    kind,
                    perms: 0,
                });
            }
            T::ErrorExit => {
                let code = ExitCode::from_wire(value);
                shared.peer_exit.set(Some(code.0));
                if code.0 != 0 {
                    // It has said why.
                    shared.observer.peer_exit(code);
                }
                return Err(MessageFault::PeerExit(code));
            }
            _ => {}
        }
        Ok(())
    }
}
