//! What both roles share: the beginning, the numbers, the end.

use embedded_io_async::{BufRead, Write};
use heapless::{Vec, VecView};

use super::{
    Bound, Command, CommandFault, Fault, Memory, Parts, Store, command::ARG_MAX, inbox::Inbox, list::List,
    receiver, search::BlockSum, sender,
};
use crate::{
    error::{Error, Limit, ProtocolError},
    exit::ExitCode,
    io::{WireReader, WireWriter},
    limits::MAX_DELETED,
    mux::MsgTag,
    setup::{Agreed, Compress, Handshake, Side, after_version, exchange, negotiate},
    version::ProtocolVersion,
    wire::ndx::NdxState,
};

/// What a device decides for itself.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config<'a> {
    /// Highest protocol version spoken.
    pub max_protocol: ProtocolVersion,
    /// Seed of the block checksums, unless the client names one; not 0. Should differ from session to session.
    pub seed: i32,
    /// Names of the checksums offered, separated by spaces; none: all. Without `md4` no
    /// session below protocol 30 is possible. On processors of 32 bits `md5` is the fastest.
    pub checksums: &'a str,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Self { max_protocol: ProtocolVersion::MAX, seed: 1, checksums: "" }
    }
}

/// How a session went that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Summary {
    /// This side sent files.
    pub sender: bool,
    /// Files sent, or received and committed.
    pub files: u32,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Bytes of them that were not sent, because the receiver had them.
    pub matched: u64,
    /// Entries that could not be transferred.
    pub failed: u32,
    /// Protocol version spoken.
    pub protocol: u8,
}

impl Summary {
    /// The exit code for this outcome.
    pub const fn exit_code(&self) -> ExitCode {
        if self.failed > 0 { ExitCode::PARTIAL } else { ExitCode::OK }
    }
}

/// The state of a session behind the handshake.
pub(super) struct Session<'m, R, W> {
    pub(super) r: WireReader<R, Inbox>,
    pub(super) w: WireWriter<W, &'m mut [u8]>,
    pub(super) side: Side,
    pub(super) agreed: Agreed,
    pub(super) command: &'m Command,
    pub(super) list: List<'m>,
    pub(super) sums: &'m mut VecView<BlockSum>,
    pub(super) window: &'m mut [u8],
    pub(super) ndx_in: NdxState,
    pub(super) ndx_out: NdxState,
    pub(super) summary: Summary,
}

/// Serves one session on a stream whose first bytes are the argument vector of `rsync --server`.
///
/// Not cancel-safe. After a fault the stream is to be given up, or drained until it is silent.
pub async fn serve<R, W, S, const F: usize, const N: usize, const B: usize, const V: usize>(
    from: R,
    to: W,
    store: &mut S,
    memory: &mut Memory<F, N, B, V>,
    config: &Config<'_>,
) -> Result<Summary, Fault<R::Error>>
where
    R: BufRead,
    W: Write<Error = R::Error>,
    S: Store,
{
    let mut r = WireReader::new(from, Inbox::new(false));
    let mut command = Command::new();
    read_arguments(&mut r, &mut command, 0, true).await?;
    if command.secluded {
        command.secluded = false;
        read_arguments(&mut r, &mut command, 0, true).await?;
    }
    if command.fault() == Some(CommandFault::NotServer) {
        return Err(Fault::NoCommand);
    }
    let (parts, output) = memory.parts();
    let w = WireWriter::new(to, output);
    start((r, w), Side::Server, None, &command, store, parts, config).await
}

/// One session whose command is known. `stream` is what comes from the peer and what goes there. For a client `command` is what the server was called with, but with
/// [`Command::sender`] turned around: it says what this side does. Its paths say where in the store this side
/// works: without any at the root, wherever the peer's files are. The server must not have been offered lists in pieces
/// (`i` in its `-e`).
///
/// What is neither a file nor a directory is passed over. A directory is made before what is in it, and told once more, with
/// its time, at the end; the root is not.
///
/// Not cancel-safe.
pub async fn run<R, W, S, const F: usize, const N: usize, const B: usize, const V: usize>(
    stream: (R, W),
    side: Side,
    command: &Command,
    store: &mut S,
    memory: &mut Memory<F, N, B, V>,
    config: &Config<'_>,
) -> Result<Summary, Fault<R::Error>>
where
    R: BufRead,
    W: Write<Error = R::Error>,
    S: Store,
{
    let (from, to) = stream;
    let (parts, output) = memory.parts();
    let (r, w) = (WireReader::new(from, Inbox::new(false)), WireWriter::new(to, output));
    start((r, w), side, None, command, store, parts, config).await
}

/// Arguments, each ended by the byte `end`, up to an empty one. `program`: the first is the name of the program.
pub(super) async fn read_arguments<R: BufRead>(
    r: &mut WireReader<R, Inbox>,
    command: &mut Command,
    end: u8,
    program: bool,
) -> Result<(), Fault<R::Error>> {
    let mut arg = Vec::<u8, ARG_MAX>::new();
    let (mut first, mut too_long, mut total) = (program, false, 0u32);
    loop {
        let byte = r.u8().await?;
        total += 1;
        // The reference takes 1000 arguments; a stream without any NUL is no command.
        if total > 64 << 10 {
            return Err(Fault::NoCommand);
        }
        if byte != end {
            too_long |= arg.push(byte).is_err();
            continue;
        }
        if arg.is_empty() {
            return Ok(());
        }
        if first && (too_long || !arg.ends_with(b"rsync")) {
            // Line noise must not be taken for a session.
            return Err(Fault::NoCommand);
        }
        if too_long {
            command.full(Bound::Path);
        } else if !first {
            command.push(&arg);
        }
        (first, too_long) = (false, false);
        arg.clear();
    }
}

/// The session behind the arguments. `version`: the one that a daemon and its client have agreed on in their
/// greetings; without it, the version words come first.
pub(super) async fn start<'m, R, W, S>(
    (mut r, mut w): (WireReader<R, Inbox>, WireWriter<W, &'m mut [u8]>),
    side: Side,
    version: Option<ProtocolVersion>,
    command: &'m Command,
    store: &mut S,
    parts: Parts<'m>,
    config: &Config<'_>,
) -> Result<Summary, Fault<R::Error>>
where
    R: BufRead,
    W: Write<Error = R::Error>,
    S: Store,
{
    r.sink().sender = command.sender;
    let mut handshake = Handshake::new(side, config.max_protocol, command.capabilities);
    handshake.seed = if command.seed != 0 { command.seed } else { config.seed };
    handshake.checksum = command.checksum;
    if !config.checksums.is_empty() {
        handshake.checksum_names = negotiate::join(config.checksums.split(' '));
    }
    if command.compress {
        // A peer that wants it offers no `none`: the negotiation fails and says why.
        handshake.compress = Compress::Negotiate;
        handshake.compress_names = negotiate::join(["none"]);
    }
    let agreed = match version {
        Some(version) => after_version(&mut r, &mut w, &handshake, version).await?,
        None => exchange(&mut r, &mut w, &handshake).await?,
    };
    let (both, server) = (agreed.protocol.has_varints(), side == Side::Server);
    if server || both {
        w.start_framing();
    }
    if !server || both {
        r.start_framing();
    }
    let mut session = Session {
        r,
        w,
        side,
        agreed,
        command,
        list: List::new(parts.entries, parts.names),
        sums: parts.sums,
        window: parts.window,
        ndx_in: NdxState::new(agreed.protocol),
        ndx_out: NdxState::new(agreed.protocol),
        summary: Summary { sender: command.sender, protocol: agreed.protocol.number(), ..Summary::default() },
    };
    let result = match command.fault().filter(|_| server) {
        Some(CommandFault::Full(bound)) => Err(Fault::Full(bound)),
        Some(_) => Err(Fault::Unsupported),
        None if command.sender => sender::send(&mut session, store).await,
        None => receiver::receive(&mut session, store).await,
    };
    match result {
        Ok(()) => Ok(session.summary),
        Err(fault) => {
            session.last_words(&fault).await;
            Err(fault)
        }
    }
}

impl<R: BufRead, W: Write<Error = R::Error>> Session<'_, R, W> {
    /// A text for the user of the peer, where messages can be sent. `name` may be empty.
    pub(super) async fn tell(&mut self, tag: MsgTag, text: &str, name: &[u8]) -> Result<(), Error<R::Error>> {
        if !self.w.is_framed() {
            return Ok(());
        }
        let mut line = Vec::<u8, 320>::new();
        for part in [&b"device: "[..], text.as_bytes(), if name.is_empty() { b"" } else { b": " }, name] {
            let room = line.capacity() - line.len() - 1;
            let _ = line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
        }
        let _ = line.push(b'\n');
        // Below protocol 30 there is one tag for all errors.
        let old = tag == MsgTag::Error && !self.agreed.protocol.has_io_messages();
        let tag = if old { MsgTag::ErrorXfer } else { tag };
        self.w.message(tag, &line).await
    }

    /// An entry failed: the session goes on and ends with code 23.
    pub(super) async fn failed(&mut self, text: &str, name: &[u8]) -> Result<(), Error<R::Error>> {
        self.summary.failed += 1;
        self.tell(MsgTag::ErrorXfer, text, name).await
    }

    /// Tells the peer why this side ends, as far as it can be told, and waits for its answer.
    async fn last_words(&mut self, fault: &Fault<R::Error>) {
        let (code, text, name) = match fault {
            Fault::Session(Error::Protocol(e)) => (e.exit_code(), "protocol error", Vec::new()),
            Fault::Full(bound) => (ExitCode::MALLOC, bound.text(), Vec::new()),
            Fault::Unsupported => match self.command.fault() {
                Some(CommandFault::Option(option)) => (ExitCode::UNSUPPORTED, "option not supported", option),
                Some(CommandFault::ReadOnly) => (ExitCode::SYNTAX, "module is read only", Vec::new()),
                _ => (ExitCode::UNSUPPORTED, "filter rules are not supported", Vec::new()),
            },
            Fault::Session(_) | Fault::NoCommand => return,
        };
        if !self.w.is_framed() {
            return;
        }
        let exit = self.agreed.protocol.has_extended_goodbye() && code != ExitCode::STREAM_IO;
        let said = async {
            self.tell(MsgTag::Error, text, &name).await?;
            if exit {
                self.w.message(MsgTag::ErrorExit, &i32::from(code.0).to_le_bytes()).await?;
            }
            self.w.flush().await?;
            if exit { self.r.drain().await } else { Ok(()) }
        };
        // The first fault is the one that counts.
        let _: Result<(), Error<R::Error>> = said.await;
    }

    pub(super) async fn read_ndx(&mut self) -> Result<i32, Error<R::Error>> {
        self.r.ndx(&mut self.ndx_in).await
    }

    pub(super) async fn write_ndx(&mut self, ndx: i32) -> Result<(), Error<R::Error>> {
        self.w.ndx(&mut self.ndx_out, ndx).await
    }

    /// The five counts behind `NDX_DEL_STATS`.
    pub(super) async fn read_deletions(&mut self) -> Result<[i32; 5], Error<R::Error>> {
        let mut counts = [0; 5];
        for count in &mut counts {
            *count = self.r.varint().await?;
            if !(0..=MAX_DELETED).contains(count) {
                let (what, got, max) = (Limit::Deleted, i64::from(*count), i64::from(MAX_DELETED));
                return Err(ProtocolError::OutOfRange { what, got, max }.into());
            }
        }
        Ok(counts)
    }
}
