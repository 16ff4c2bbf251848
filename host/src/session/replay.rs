//! A client that reads a batch file: the receiving side, with the file in place of a sender.

use std::{cell::RefCell, rc::Rc};

use arsync_core::{
    charset::Conversion,
    error::{Error, Role},
    exit::ExitCode,
    options::SessionOptions,
    session::{self, Inbox, Outbox, Rules},
    setup::{CompatFlags, Side},
    stats::Stats,
};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{
    OtherEnd, Speak,
    batch::Replayed,
    entrance::DestEntrance,
    local::Ended,
    wire::{self, FRAME_BUFFER, Fault, Reader, Writer},
};
use crate::{output::message::Roots, ring, transport::PipeTransport};

/// What a replay gets.
pub(crate) struct ReplayRun<'a, O> {
    /// The options, made those of the file.
    pub(crate) options: &'a SessionOptions,
    /// The file.
    pub(crate) batch: Replayed,
    /// The destination.
    pub(crate) dest: Vec<u8>,
    /// Rules of the command line.
    pub(crate) rules: Rules,
    /// Who is told.
    pub(crate) observer: &'a O,
    /// Told the directories, for messages with full paths.
    pub(crate) roots: &'a RefCell<Roots>,
    /// Names or items are shown.
    pub(crate) shows: bool,
    /// Names are converted.
    pub(crate) conversion: Option<Conversion>,
}

/// Runs it.
pub(crate) fn run_replay<O: Speak>(run: ReplayRun<'_, O>) -> Ended {
    let protocol = run.batch.agreed.protocol;
    let failed = |reason| Ended {
        code: ExitCode::IPC,
        reason: Some(reason),
        complete: false,
        stats: Stats::default(),
        protocol,
    };
    let (runtime, _) = match ring::runtime::build() {
        Ok(built) => built,
        Err(error) => return failed(format!("cannot start the I/O runtime: {error}")),
    };
    let (options, agreed) = (run.options, run.batch.agreed);
    let outbox = Rc::new(Outbox::new());
    let mut shared = wire::shared(options, agreed, run.observer, Side::Client, outbox);
    let links = agreed.flags.contains(CompatFlags::SYMLINK_ICONV);
    shared.conversion = run.conversion.map(|conversion| conversion.with_links(links));
    let ended = runtime.block_on(async {
        // Nobody hears what a receiving side asks for.
        let nobody = openat(CWD, c"/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let pipe = match nobody
            .map_err(Into::into)
            .and_then(|w| PipeTransport::from_fds(run.batch.file.into(), w))
        {
            Ok(pipe) => pipe,
            Err(error) => return failed(format!("cannot use the batch file: {error}")),
        };
        let (reader, writer) = pipe.into_split();
        let result: Result<(), Fault> = match super::check_protocol(options, protocol, OtherEnd::Twin) {
            Ok(()) => {
                let entrance = DestEntrance {
                    dest: Some(run.dest),
                    options,
                    observer: run.observer,
                    roots: run.roots,
                    shows: run.shows,
                };
                let r: Reader<'_, O> = Reader::new(reader, Inbox::unattached());
                let w: Writer = Writer::new(writer, vec![0; FRAME_BUFFER]);
                session::run_receiver(&shared, &entrance, run.rules, None, r, w).await
            }
            Err(fault) => Err(fault),
        };
        let stats = *shared.stats.borrow();
        match result {
            Ok(()) => {
                let code = shared.partial_code();
                Ended { code, reason: None, complete: true, stats, protocol }
            }
            Err(error) => {
                let reason = wire::reason(&error, stats.read, Role::Receiver);
                let code =
                    if matches!(&error, Error::Io(_)) { ExitCode::STREAM_IO } else { error.exit_code() };
                Ended { code, reason, complete: false, stats, protocol }
            }
        }
    });
    core::mem::forget(runtime);
    ended
}
