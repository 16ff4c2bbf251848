//! Connects what was asked for with what does it: transport, roles, engine; and the outcome with an exit code.

pub(crate) mod batch;
mod client;
mod daemon_client;
mod entrance;
pub(crate) mod filters;
pub(crate) mod interrupt;
mod link;
mod local;
pub(crate) mod names;
mod password;
mod replay;
mod server;
mod watchdog;
pub(crate) mod wire;

use core::cell::RefCell;
use std::net::IpAddr;

use arsync_core::{
    error::{Error, ProtocolError, Role},
    mux::MsgTag,
    options::{AltDestKind, Append, SessionOptions},
    ports::Observer,
    setup::Side,
    version::ProtocolVersion,
};

use crate::{
    engine::{FileSource, Identity},
    output::{message::Roots, strerror},
};

pub(crate) use self::{
    client::{ClientRole, ClientRun, capabilities as client_capabilities, run_client},
    daemon_client::{Args, DaemonCall},
    entrance::DestEntrance,
    link::{Link, TcpCall},
    local::{Ended, LocalRun, run_local},
    password::Password,
    replay::{ReplayRun, run_replay},
    server::{Greeted, Opening, Refusal, ServerRole, ServerRun, run_server},
    wire::FRAME_BUFFER,
};

/// An observer that also takes ready-made texts (those that no role has a notice for).
pub(crate) trait Speak: Observer {
    /// Shows a text, without its final newline, as the message of that kind would be.
    fn say(&self, tag: MsgTag, role: Role, text: &[u8]);
    /// Told what the two ends say to each other before a session begins.
    fn handshake(&self, _side: Side, _fact: &Handshaken<'_>) {}
}

/// What became known in a handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Handshaken<'a> {
    /// The peer's version, and the one that is spoken.
    Versions { remote: i32, negotiated: ProtocolVersion },
    /// Names of algorithms for `what`: the own ones, those of the peer, and the choice.
    Names { what: &'static str, own: &'a [u8], theirs: Option<&'a [u8]>, chosen: &'a str },
    /// The address of the host that took a connection.
    Reached { host: &'a str, address: IpAddr },
    /// What carries the bytes.
    Transport(&'a str),
}

/// Takes another identity, or says why it cannot be had.
pub(crate) fn assume(identity: &Identity, role: Role) -> Result<(), String> {
    identity.assume().map_err(|(call, errno)| {
        format!("rsync: [{role}] {call} failed{}", strerror::suffix(errno.raw_os_error()))
    })
}

/// The sender's files; the directories of its arguments are noted for messages.
pub(crate) fn file_source(options: &SessionOptions, roots: &RefCell<Roots>) -> FileSource {
    let source = FileSource::new(options);
    roots.borrow_mut().bases = source.base_paths();
    source
}

/// What is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherEnd {
    /// Another program, which knows of each version what everybody knows.
    Stranger,
    /// This program, or what it has recorded: extended attributes travel in every version (stock binary).
    Twin,
}

/// What a client says of itself to a server of its own below protocol 30, where no other client says anything.
pub(crate) const TWIN_LETTERS: &[u8] = b".t";

/// Options that the version agreed on cannot carry (spec: what p and options imply).
pub(crate) fn check_protocol<E>(
    options: &SessionOptions,
    protocol: ProtocolVersion,
    other: OtherEnd,
) -> Result<(), Error<E>> {
    let negotiated = protocol.number();
    let needs = |option, needs| -> Result<(), Error<E>> {
        Err(ProtocolError::OptionNeedsProtocol { option, needs, negotiated }.into())
    };
    if !protocol.has_varints() && other == OtherEnd::Stranger {
        if options.preserve.acls {
            return needs("--acls", 30);
        }
        if options.preserve.xattrs > 0 {
            return needs("--xattrs", 30);
        }
    }
    if !protocol.has_basis_type() {
        if options.transfer.fuzzy > 0 {
            return needs("--fuzzy", 29);
        }
        let transfer = &options.transfer;
        if let Some(kind) = transfer.alt_dest_kind.filter(|_| !transfer.alt_dests.is_empty()) {
            let [several, in_place] = match kind {
                AltDestKind::Compare => {
                    ["Using more than one --compare-dest option", "--compare-dest with --inplace"]
                }
                AltDestKind::Copy => ["Using more than one --copy-dest option", "--copy-dest with --inplace"],
                AltDestKind::Link => ["Using more than one --link-dest option", "--link-dest with --inplace"],
            };
            if transfer.alt_dests.len() > 1 {
                return needs(several, 29);
            }
            if transfer.inplace || transfer.append != Append::Off {
                return needs(in_place, 29);
            }
        }
        if options.select.prune_empty_dirs {
            return needs("--prune-empty-dirs", 29);
        }
    }
    Ok(())
}
