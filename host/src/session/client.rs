//! The client of a remote shell or a daemon: connects, shakes hands, runs one role, and folds the exit codes.

use core::time::Duration;
use std::{
    cell::{Cell, RefCell},
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    rc::Rc,
};

use arsync_core::{
    charset::Conversion,
    error::{Error, Role},
    exit::ExitCode,
    options::SessionOptions,
    rt::{Either, select2},
    session::{self, Inbox, Outbox, Rules, SourceArgs},
    setup::{Agreed, Capabilities, CompatFlags, Side},
    stats::Stats,
    version::ProtocolVersion,
};

use super::{
    Handshaken, OtherEnd, Speak,
    batch::Recording,
    daemon_client::{self, Admission, DaemonCall},
    entrance::DestEntrance,
    link::{Link, Unreachable},
    local::Ended,
    watchdog::expire,
    wire::{self, FRAME_BUFFER, Fault, Meeting, Reader, Writer},
};
use crate::{
    ending,
    engine::Identity,
    output::message::Roots,
    ring,
    transport::{self, Activity, RemoteShell},
};

/// What a client's run gets.
pub(crate) struct ClientRun<'a, O> {
    /// The options.
    pub(crate) options: &'a SessionOptions,
    /// How the other side is reached.
    pub(crate) link: Link,
    /// Who is there.
    pub(crate) other: OtherEnd,
    /// What is said first, if a daemon is there.
    pub(crate) daemon: Option<DaemonCall<'a>>,
    /// Strings that go first through the connection (`-s`).
    pub(crate) stream_args: Option<Vec<Vec<u8>>>,
    /// The client sends.
    pub(crate) role: ClientRole,
    /// What a pulling client asked for, where its sender may send nothing else.
    pub(crate) requested: Vec<Vec<u8>>,
    /// The client's filter rules.
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
    /// Seconds of `--timeout`; the peer may lower it.
    pub(crate) timeout: Rc<Cell<u32>>,
    /// Taken once the remote shell runs.
    pub(crate) identity: Option<Identity>,
    /// A batch file that is written.
    pub(crate) recording: Option<&'a Recording>,
    /// Names are converted.
    pub(crate) conversion: Option<Conversion>,
    /// Told what was agreed on, once it is known.
    pub(crate) agreement_known: &'a dyn Fn(&Agreed),
}

/// What the client does.
pub(crate) enum ClientRole {
    /// Sends these.
    Push(SourceArgs),
    /// Receives into this destination; the names of a local `--files-from` list go to the sender.
    Pull(Option<Vec<u8>>, Option<Vec<Vec<u8>>>),
}

/// Letters that this build sends as a client.
pub(crate) fn capabilities(options: &SessionOptions, receiving: bool) -> Capabilities {
    let mut all = Capabilities::SYMLINK_TIMES
        | Capabilities::SYMLINK_ICONV
        | Capabilities::SAFE_FLIST
        | Capabilities::AVOID_XATTR_OPTIM
        | Capabilities::CHKSUM_SEED_FIX
        | Capabilities::INPLACE_PARTIAL_DIR
        | Capabilities::VARINT_FLIST_FLAGS
        | Capabilities::ID0_NAMES;
    all.set(Capabilities::INC_RECURSE, !options.forbids_inc_recursion(receiving));
    all
}

/// Runs it. An error is an end without a summary, of which everything is said already.
pub(crate) fn run_client<O: Speak>(run: ClientRun<'_, O>) -> Result<Ended, ExitCode> {
    let (runtime, driver) = match ring::runtime::build() {
        Ok(built) => built,
        Err(error) => return Ok(failed(ExitCode::IPC, format!("cannot start the I/O runtime: {error}"))),
    };
    run.observer.handshake(Side::Client, &Handshaken::Transport(driver.name()));
    let ended = runtime.block_on(connected(run));
    // In-flight reads of a child that still lives would delay the end.
    core::mem::forget(runtime);
    ended
}

fn failed(code: ExitCode, reason: String) -> Ended {
    let (stats, protocol) = (Stats::default(), ProtocolVersion::MAX);
    Ended { code, reason: Some(reason), complete: false, stats, protocol }
}

async fn connected<O: Speak>(run: ClientRun<'_, O>) -> Result<Ended, ExitCode> {
    let role = match run.role {
        ClientRole::Push(_) => Role::Sender,
        ClientRole::Pull(..) => Role::ReceiverSide,
    };
    let (mut reader, mut writer, child) = match run.link.open(role, run.observer).await {
        Ok(opened) => opened,
        Err(Unreachable { code, reason }) => return reason.map(|text| failed(code, text)).ok_or(code),
    };
    if let Some(identity) = &run.identity
        && let Err(text) = super::assume(identity, role)
    {
        return Ok(failed(ExitCode::SYNTAX, text));
    }
    let activity = Activity::default();
    reader.watch(activity.clone());
    writer.watch(activity.clone());
    writer.limit(run.bwlimit);
    let timeout = run.timeout.clone();
    let outbox = run.outbox.clone();
    let socket = run.link.is_socket();
    let known = Known::default();
    let conversation = converse(run, reader, writer, role, &known);
    let result = match select2(conversation, expire(&activity, &timeout, &outbox)).await {
        Either::A(result) => result,
        Either::B(()) => {
            let text = format!("[{}] io timeout after {} seconds -- exiting", role.name(), timeout.get());
            return Ok(failed(ExitCode::TIMEOUT, text));
        }
    };
    finish(result, child, socket, &known).await
}

/// What is known of a session, however it ends.
#[derive(Default)]
struct Known {
    stats: Cell<Stats>,
    /// Once it was agreed on.
    protocol: Cell<Option<ProtocolVersion>>,
    /// Bytes read from the peer.
    read: Cell<u64>,
}

async fn converse<O: Speak>(
    run: ClientRun<'_, O>,
    reader: transport::ReadAhead,
    writer: transport::WriteQueue,
    role: Role,
    known: &Known,
) -> Result<Option<ExitCode>, Fault> {
    let pushes = matches!(run.role, ClientRole::Push(_));
    let options = run.options;
    let shared;
    let mut r: Reader<'_, O> = Reader::new(reader, Inbox::unattached());
    let mut w: Writer = Writer::new(writer, vec![0; FRAME_BUFFER]);
    if let Some(strings) = &run.stream_args {
        for string in strings {
            w.bytes(string).await?;
            w.u8(0).await?;
        }
    }
    let handshake = wire::handshake(Side::Client, options, capabilities(options, !pushes), !pushes);
    let meeting = Meeting { recording: run.recording.is_some(), other: run.other };
    let shaken = match &run.daemon {
        None => wire::shake_hands(&mut r, &mut w, handshake, options, run.observer, meeting).await,
        Some(call) => match daemon_client::call(call, &mut r, &mut w, run.observer, role).await? {
            Admission::Listed => return Ok(None),
            Admission::Admitted(agreed) => {
                // What was said to a daemon is not counted.
                r.restart_count();
                wire::after_version(&mut r, &mut w, handshake, options, run.observer, meeting, agreed).await
            }
        },
    };
    RemoteShell::restore_stderr();
    known.read.set(r.count());
    let agreed = shaken?;
    // The statistics of the session begin here.
    r.restart_count();
    w.restart_count();
    known.read.set(0);
    known.protocol.set(Some(agreed.protocol));
    (run.agreement_known)(&agreed);
    let mut state = wire::shared(options, agreed, run.observer, Side::Client, run.outbox);
    state.requested = run.requested;
    let links = agreed.flags.contains(CompatFlags::SYMLINK_ICONV);
    state.conversion = run.conversion.map(|conversion| conversion.with_links(links));
    state.tape = run.recording.map(Recording::tape);
    shared = state;
    let result = match run.role {
        ClientRole::Push(args) => {
            let source = super::file_source(options, run.roots);
            session::run_sender(&shared, &source, run.rules, &args, r, w).await
        }
        ClientRole::Pull(dest, names) => {
            let entrance =
                DestEntrance { dest, options, observer: run.observer, roots: run.roots, shows: run.shows };
            session::run_receiver(&shared, &entrance, run.rules, names.as_deref(), r, w).await
        }
    };
    known.stats.set(*shared.stats.borrow());
    known.read.set(shared.stats.borrow().read);
    result.map(|()| Some(shared.partial_code()))
}

/// Longest wait for the end of a remote shell behind a session that failed: it may have a code to tell, and a hostile
/// one never ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The exit code: the larger one of the own and the remote shell's (spec: failing end).
async fn finish(
    result: Result<Option<ExitCode>, Fault>,
    child: Option<RemoteShell>,
    socket: bool,
    known: &Known,
) -> Result<Ended, ExitCode> {
    let (stats, read) = (known.stats.get(), known.read.get());
    let protocol = known.protocol.get().unwrap_or(ProtocolVersion::MAX);
    let role = ending::reading_role();
    let status = match child {
        // Whoever has interrupted the session does not wait for the other side.
        Some(child) if !transport::is_interrupted() => {
            let patience = result.is_err().then_some(FAREWELL);
            transport::within(patience, child.wait()).await.and_then(Result::ok)
        }
        _ => None,
    };
    let theirs = status
        .map_or(0, |s: ExitStatus| s.code().unwrap_or_else(|| if s.signal().is_some() { 12 } else { 0 }));
    let theirs = u8::try_from(theirs).unwrap_or(u8::MAX);
    match result {
        // What was left out counts only where the other side has nothing to say.
        Ok(Some(code)) => {
            let code = if theirs == 0 { code } else { ExitCode(theirs) };
            Ok(Ended { code, reason: None, complete: true, stats, protocol })
        }
        // A list of modules was shown, whatever the program that showed it thinks of that.
        Ok(None) => Err(ExitCode::OK),
        Err(error) => {
            let code = error.exit_code();
            let reason = match &error {
                // It closed its end, whichever side noticed first.
                Error::Io(e) if e.0.kind() == std::io::ErrorKind::BrokenPipe => {
                    wire::reason(&Error::Eof, read, role)
                }
                other => wire::reason(other, read, role),
            };
            let code = if matches!(&error, Error::Io(_)) && !socket { ExitCode::STREAM_IO } else { code };
            // A peer that only lost this side has nothing to say about the reason.
            let own = matches!(&error, Error::Protocol(_) | Error::Exit(_));
            let code = if theirs > code.0 && !own { ExitCode(theirs) } else { code };
            Ok(Ended { code, reason, complete: false, stats, protocol })
        }
    }
}
