//! A server on its standard streams, started by a client's remote shell.

use std::{
    cell::{Cell, RefCell},
    os::fd::OwnedFd,
    rc::Rc,
};

use arsync_core::{
    charset::Conversion,
    error::{Error, Role},
    exit::ExitCode,
    mux::MsgTag,
    options::SessionOptions,
    rt::{Either, select2},
    session::{self, Inbox, Outbox, Rules, SourceArgs},
    setup::{Agreed, Capabilities, Side},
    stats::Stats,
    version::ProtocolVersion,
};

use super::{
    OtherEnd, Speak, TWIN_LETTERS,
    entrance::DestEntrance,
    local::Ended,
    watchdog::expire,
    wire::{self, FRAME_BUFFER, Fault, Meeting, Reader, Writer},
};
use crate::{
    ending,
    output::message::Roots,
    ring,
    transport::{self, Activity, PipeTransport, ReadAhead, WriteQueue},
};

/// What a server's run gets.
pub(crate) struct ServerRun<'a, O> {
    /// The options.
    pub(crate) options: &'a SessionOptions,
    /// What the server does.
    pub(crate) role: ServerRole,
    /// Letters of the client.
    pub(crate) client_info: Option<Vec<u8>>,
    /// What holds for the client's rules.
    pub(crate) rules: Rules,
    /// Who is told.
    pub(crate) observer: &'a O,
    /// Told the directories, for messages with full paths.
    pub(crate) roots: &'a RefCell<Roots>,
    /// Most that is written, KiB per second; 0: no limit.
    pub(crate) bwlimit: u64,
    /// Queue for messages to the peer.
    pub(crate) outbox: Rc<Outbox>,
    /// Names or items are shown.
    pub(crate) shows: bool,
    /// Names are converted.
    pub(crate) conversion: Option<Conversion>,
    /// Told what was agreed on, once it is known.
    pub(crate) agreement_known: &'a dyn Fn(&Agreed),
    /// The connection.
    pub(crate) opening: Opening,
}

/// Where the client is.
pub(crate) enum Opening {
    /// At the standard streams; nothing was said yet.
    Stdio,
    /// Behind a daemon's greeting and arguments.
    Greeted(Greeted),
}

/// A connection on which a daemon has spoken.
pub(crate) struct Greeted {
    /// What is read, and what is written; they may be one socket.
    pub(crate) streams: (OwnedFd, OwnedFd),
    /// What was read and belongs to the session.
    pub(crate) early: Vec<u8>,
    /// The version agreed on.
    pub(crate) protocol: ProtocolVersion,
    /// Seconds of silence that end the session, which the client must know of; 0: none.
    pub(crate) timeout: u32,
}

/// Both directions, and of a greeted client the version agreed on and the seconds of silence that end its session.
type Opened = (ReadAhead, WriteQueue, Option<(ProtocolVersion, u32)>);

impl Opening {
    fn open(self) -> Result<Opened, transport::Error> {
        match self {
            Self::Stdio => {
                let (reader, writer) = PipeTransport::from_stdio()?.into_split();
                Ok((reader, writer, None))
            }
            Self::Greeted(Greeted { streams: (read, write), early, protocol, timeout }) => {
                let (mut reader, writer) = PipeTransport::from_fds(read, write)?.into_split();
                reader.put_back(early);
                Ok((reader, writer, Some((protocol, timeout))))
            }
        }
    }
}

/// What the server does.
pub(crate) enum ServerRole {
    /// Sends these.
    Sender(SourceArgs),
    /// Receives into this destination; the names of a `--files-from` list on this machine go to the sender.
    Receiver(Option<Vec<u8>>, Option<Vec<Vec<u8>>>),
    /// Says why there is no session, once a client can hear it.
    Refuser(Refusal),
}

/// Why a client of a daemon is turned away behind its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What it is told.
    pub(crate) texts: Vec<Vec<u8>>,
    /// The exit code.
    pub(crate) code: ExitCode,
    /// The client waits for names of a list first.
    pub(crate) names_awaited: bool,
}

/// Runs it.
pub(crate) fn run_server<O: Speak>(mut run: ServerRun<'_, O>) -> Ended {
    let failed = |code, reason| Ended {
        code,
        reason: Some(reason),
        complete: false,
        stats: Stats::default(),
        protocol: ProtocolVersion::MAX,
    };
    let (runtime, _) = match ring::runtime::build() {
        Ok(built) => built,
        Err(error) => return failed(ExitCode::IPC, format!("cannot start the I/O runtime: {error}")),
    };
    let role = if matches!(run.role, ServerRole::Sender(_)) { Role::Sender } else { Role::ReceiverSide };
    let ended = runtime.block_on(async {
        let opening = core::mem::replace(&mut run.opening, Opening::Stdio);
        let (mut reader, mut writer, greeted) = match opening.open() {
            Ok(opened) => opened,
            Err(error) => return failed(ExitCode::IPC, format!("cannot use the standard streams: {error}")),
        };
        let activity = Activity::default();
        reader.watch(activity.clone());
        writer.watch(activity.clone());
        writer.limit(run.bwlimit);
        let timeout = Cell::new(run.options.timeout);
        let outbox = run.outbox.clone();
        let read = Cell::new(0u64);
        let stats = Cell::new(Stats::default());
        let protocol = Cell::new(ProtocolVersion::MAX);
        let conversation = converse(run, (reader, writer, greeted), &stats, &protocol, &read);
        match select2(conversation, expire(&activity, &timeout, &outbox)).await {
            Either::A(Ok(code)) => {
                let (stats, protocol) = (stats.get(), protocol.get());
                Ended { code, reason: None, complete: true, stats, protocol }
            }
            Either::A(Err(error)) => {
                let reason = wire::reason(&error, read.get(), ending::reading_role());
                let code = match &error {
                    Error::Io(_) => ExitCode::STREAM_IO,
                    other => other.exit_code(),
                };
                let (stats, protocol) = (stats.get(), protocol.get());
                Ended { code, reason, complete: false, stats, protocol }
            }
            Either::B(()) => failed(
                ExitCode::TIMEOUT,
                format!("[{}] io timeout after {} seconds -- exiting", role.name(), timeout.get()),
            ),
        }
    });
    core::mem::forget(runtime);
    ended
}

async fn converse<O: Speak>(
    run: ServerRun<'_, O>,
    (reader, writer, greeted): Opened,
    stats: &Cell<Stats>,
    protocol: &Cell<ProtocolVersion>,
    read: &Cell<u64>,
) -> Result<ExitCode, Fault> {
    let options = run.options;
    let sends = matches!(run.role, ServerRole::Sender(_));
    let shared;
    let mut r: Reader<'_, O> = Reader::new(reader, Inbox::unattached());
    let mut w: Writer = Writer::new(writer, vec![0; FRAME_BUFFER]);
    let info = run.client_info.as_deref().unwrap_or_default();
    let mut handshake = wire::handshake(Side::Server, options, Capabilities::parse(info), !sends);
    if let Some((version, sub)) = Capabilities::sub_protocol(info) {
        handshake.max_protocol = pre_release(handshake.max_protocol, version, sub);
    }
    let capabilities = handshake.capabilities;
    let other = if info == TWIN_LETTERS { OtherEnd::Twin } else { OtherEnd::Stranger };
    let meeting = Meeting { recording: false, other };
    let agreed = match greeted {
        None => wire::shake_hands(&mut r, &mut w, handshake, options, run.observer, meeting).await,
        Some((protocol, _)) => {
            wire::after_version(&mut r, &mut w, handshake, options, run.observer, meeting, protocol).await
        }
    };
    read.set(r.count());
    let agreed = agreed?;
    // What was said so far is not part of the session that both sides account for.
    r.restart_count();
    w.restart_count();
    read.set(0);
    protocol.set(agreed.protocol);
    (run.agreement_known)(&agreed);
    if let Some((_, seconds)) = greeted
        && seconds > 0
        && agreed.protocol.has_extended_goodbye()
    {
        run.outbox.push(MsgTag::IoTimeout, seconds.to_le_bytes().to_vec());
    }
    let mut state = wire::shared(options, agreed, run.observer, Side::Server, run.outbox);
    let links = agreed.protocol.has_varints() && capabilities.contains(Capabilities::SYMLINK_ICONV);
    state.conversion = run.conversion.map(|conversion| conversion.with_links(links));
    shared = state;
    let result = match run.role {
        ServerRole::Sender(args) => {
            let source = super::file_source(options, run.roots);
            session::run_sender(&shared, &source, run.rules, &args, r, w).await
        }
        ServerRole::Receiver(dest, names) => {
            let entrance =
                DestEntrance { dest, options, observer: run.observer, roots: run.roots, shows: run.shows };
            session::run_receiver(&shared, &entrance, run.rules, names.as_deref(), r, w).await
        }
        ServerRole::Refuser(refusal) => refuse(&shared, &refusal, w).await,
    };
    stats.set(*shared.stats.borrow());
    read.set(shared.stats.borrow().read);
    result.map(|()| shared.partial_code())
}

/// Tells a client that its request is refused, and why.
async fn refuse<O: Speak>(
    shared: &session::Shared<'_, O>,
    refusal: &Refusal,
    mut w: Writer,
) -> Result<(), Fault> {
    w.start_framing();
    if refusal.names_awaited {
        w.u8(0).await?;
    }
    for text in &refusal.texts {
        shared.observer.say(MsgTag::Error, Role::ReceiverSide, text);
    }
    shared.observer.ending(refusal.code, None);
    while let Some((tag, payload)) = shared.outbox.pop() {
        w.message(tag, &payload).await?;
    }
    if shared.agreed.protocol.has_extended_goodbye() {
        w.message(MsgTag::ErrorExit, &i32::from(refusal.code.0).to_le_bytes()).await?;
    }
    w.flush().await?;
    Err(Error::Exit(refusal.code))
}

/// What a server offers to a client of a pre-release (spec: version exchange, sub-protocol).
fn pre_release(own: ProtocolVersion, version: u32, sub: u32) -> ProtocolVersion {
    let lower = |n: u32| u8::try_from(n).ok().and_then(ProtocolVersion::new).unwrap_or(ProtocolVersion::MIN);
    let number = u32::from(own.number());
    if version < number {
        return if sub != 0 { lower(version.saturating_sub(1)) } else { own };
    }
    let sub = if version > number { 0 } else { sub };
    if sub == 0 { own } else { lower(number - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pre_releases_lower_the_offer_as_observed() {
        let offers = |version, sub| pre_release(ProtocolVersion::MAX, version, sub).number();
        assert_eq!(offers(31, 5), 30);
        assert_eq!(offers(32, 5), 31);
        assert_eq!(offers(33, 5), 32);
        assert_eq!(offers(31, 0), 32);
    }
}
