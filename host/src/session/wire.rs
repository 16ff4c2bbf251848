//! One end of a session over a transport, whatever the transport is.

use alloc::rc::Rc;
use std::io::ErrorKind;

use arsync_core::{
    checksum::ChecksumKind,
    error::{Error, Limit, ProtocolError, Role},
    io::{WireReader, WireWriter},
    options::{Compress, SessionOptions},
    session::{Inbox, Outbox, Shared},
    setup::{self, Agreed, Capabilities, Handshake, Side, negotiate},
    token::CompressKind,
    version::ProtocolVersion,
};

use super::{Handshaken, OtherEnd, Speak};
use crate::{
    output::strerror,
    transport::{self, ReadAhead, WriteQueue},
};

/// Control bytes are collected in a buffer of this size before they go to the transport.
pub(crate) const FRAME_BUFFER: usize = 64 << 10;

/// The typed reader of a session.
pub(crate) type Reader<'a, O> = WireReader<ReadAhead, Inbox<'a, O>>;
/// The typed writer of a session.
pub(crate) type Writer = WireWriter<WriteQueue, Vec<u8>>;
/// How a session over a transport fails.
pub(crate) type Fault = Error<transport::Error>;

/// Why a session ended, for the user; none where the exit code says it all or it was said. `read`: bytes that had come.
pub(crate) fn reason(fault: &Fault, read: u64, role: Role) -> Option<String> {
    match fault {
        Error::Exit(_) | Error::PeerExit(_) => None,
        Error::Eof => {
            Some(format!("rsync: connection unexpectedly closed ({read} bytes received so far) [{role}]"))
        }
        Error::Io(error) => {
            // A pipe breaks for who writes to it.
            let what = if error.0.kind() == ErrorKind::BrokenPipe { "write" } else { "read" };
            let why = error.0.raw_os_error().map_or_else(|| format!(": {error}"), strerror::suffix);
            Some(format!("rsync: [{role}] {what} error{why}"))
        }
        Error::Protocol(fault) => Some(fault_text(fault, role)),
        other => Some(other.to_string()),
    }
}

/// What a peer did wrong, as `role` says it.
pub(crate) fn fault_text(fault: &ProtocolError, role: Role) -> String {
    if let ProtocolError::OutOfRange { what: Limit::FilterRule, .. } = fault {
        let line = line!();
        return format!("[{role}] buffer overflow: recv_rules (file=main.rs, line={line})");
    }
    if fault.names_role() { format!("{fault} [{role}]") } else { fault.to_string() }
}

/// The handshake that goes with the options.
pub(crate) fn handshake(
    side: Side,
    options: &SessionOptions,
    capabilities: Capabilities,
    receiving: bool,
) -> Handshake {
    let mut handshake = options.handshake(side, capabilities, receiving);
    if options.checksum_seed == 0 {
        handshake.seed = random_seed();
    }
    handshake
}

/// A seed that differs from run to run and is not 0.
fn random_seed() -> i32 {
    let mut bytes = [0u8; 4];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    i32::from_ne_bytes(bytes) | 1
}

/// What both ends agree on, and the state that the roles share.
pub(crate) fn shared<'a, O: Speak>(
    options: &'a SessionOptions,
    agreed: Agreed,
    observer: &'a O,
    side: Side,
    outbox: Rc<Outbox>,
) -> Shared<'a, O> {
    let shared = Shared::new(options, agreed, observer, side, outbox);
    shared.umask.set(crate::engine::umask());
    shared
}

/// What is known of a session before its first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meeting {
    /// A batch file is written.
    pub(crate) recording: bool,
    /// Who is there.
    pub(crate) other: OtherEnd,
}

/// Runs the handshake over the two directions of a transport. Options that the version cannot carry end it as
/// soon as the version is known, at both ends.
pub(crate) async fn shake_hands<O: Speak>(
    reader: &mut Reader<'_, O>,
    writer: &mut Writer,
    handshake: Handshake,
    options: &SessionOptions,
    observer: &O,
    meeting: Meeting,
) -> Result<Agreed, Fault> {
    setup::send_version(writer, handshake.max_protocol).await?;
    let remote = reader.i32().await?;
    let protocol = ProtocolVersion::agree(handshake.max_protocol, remote)?;
    observer.handshake(handshake.side, &Handshaken::Versions { remote, negotiated: protocol });
    after_version(reader, writer, handshake, options, observer, meeting, protocol).await
}

/// The handshake where the version is known already (behind a daemon's greeting).
pub(crate) async fn after_version<O: Speak>(
    reader: &mut Reader<'_, O>,
    writer: &mut Writer,
    mut handshake: Handshake,
    options: &SessionOptions,
    observer: &O,
    meeting: Meeting,
    protocol: ProtocolVersion,
) -> Result<Agreed, Fault> {
    if meeting.recording {
        // A batch file has no room for names of algorithms.
        let sum = if protocol.has_varints() { ChecksumKind::Md5 } else { ChecksumKind::Md4 };
        handshake.checksum_names = negotiate::join([sum.name()]);
        handshake.compress_names = negotiate::join([CompressKind::Zlib.name()]);
        handshake.own_order = false;
    }
    // The peer checks the same at this point, and would be gone.
    super::check_protocol(options, protocol, meeting.other)?;
    let (agreed, offers) = setup::settle(reader, writer, &handshake, protocol).await?;
    let sum = agreed.transfer_sum.name();
    let theirs = offers.checksums.as_deref();
    let own = &handshake.checksum_names;
    let sums = Handshaken::Names { what: "checksum", own, theirs, chosen: sum };
    observer.handshake(handshake.side, &sums);
    if handshake.compress != Compress::Off {
        let chosen = agreed.compress.unwrap_or(CompressKind::None).name();
        let theirs = offers.compressors.as_deref();
        let own = &handshake.compress_names;
        observer.handshake(handshake.side, &Handshaken::Names { what: "compress", own, theirs, chosen });
    }
    Ok(agreed)
}
