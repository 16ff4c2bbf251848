//! A copy within this machine: both ends in one process.

use core::convert::Infallible;
use std::{cell::RefCell, rc::Rc};

use arsync_core::{
    charset::Conversion,
    checksum::ChecksumKind,
    error::{Error, ProtocolError},
    exit::ExitCode,
    filter::FilterList,
    options::SessionOptions,
    rt::block_on_ready,
    session::{self, Outbox, SourceArgs},
    setup::{Agreed, CompatFlags, Side, negotiate},
    stats::Stats,
    version::ProtocolVersion,
};

use super::{Handshaken, OtherEnd, Speak, entrance::DestEntrance, wire};
use crate::{engine::Workers, output::message::Roots};

/// How a session ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: ExitCode,
    /// The text of a failure that nobody has reported yet.
    pub(crate) reason: Option<String>,
    /// It came to its end, whatever was left out, and whatever the remote shell says then.
    pub(crate) complete: bool,
    /// The counters.
    pub(crate) stats: Stats,
    /// The protocol version spoken.
    pub(crate) protocol: ProtocolVersion,
}

/// What a local run gets.
pub(crate) struct LocalRun<'a, O> {
    /// The options.
    pub(crate) options: &'a SessionOptions,
    /// The sources.
    pub(crate) args: SourceArgs,
    /// The destination; none for a listing.
    pub(crate) dest: Option<Vec<u8>>,
    /// Rules of the sender.
    pub(crate) filters: FilterList,
    /// Rules of the receiving side.
    pub(crate) dest_filters: FilterList,
    /// Who is told.
    pub(crate) observer: &'a O,
    /// Told the directories, for messages with full paths.
    pub(crate) roots: &'a RefCell<Roots>,
    /// Names or items are shown.
    pub(crate) shows: bool,
    /// Most that is copied, KiB per second; 0: no limit.
    pub(crate) bwlimit: u64,
    /// A listing leaves out names that cannot be converted.
    pub(crate) conversion: Option<Conversion>,
    /// Told what was agreed on, before anything is shown.
    pub(crate) agreement_known: &'a dyn Fn(&Agreed),
}

/// What two ends of this build agree on.
fn agreement(options: &SessionOptions) -> Result<Agreed, ProtocolError> {
    let protocol = options.max_protocol();
    let handshake = wire::handshake(Side::Client, options, arsync_core::setup::Capabilities::empty(), true);
    let implied = if protocol.has_varints() { ChecksumKind::Md5 } else { ChecksumKind::Md4 };
    let (transfer, list) = match options.transfer.checksum_choice {
        Some(halves) => halves,
        None if !protocol.has_varints() => (None, None),
        None => {
            let names = &handshake.checksum_names;
            let sum = negotiate::choose(names, names, ChecksumKind::from_name, "checksum")?;
            (Some(sum), Some(sum))
        }
    };
    let mut flags = CompatFlags::all();
    let incremental = handshake.allow_inc_recurse && protocol.has_varints();
    flags.set(CompatFlags::INC_RECURSE, incremental);
    Ok(Agreed {
        protocol,
        flags,
        transfer_sum: transfer.unwrap_or(implied),
        list_sum: list.unwrap_or(implied),
        implied_sum: false,
        compress: None,
        seed: handshake.seed,
    })
}

/// As in a session with a peer: nothing was negotiated, and it is known nevertheless.
fn tell_agreement<O: Speak>(observer: &O, agreed: &Agreed) {
    let remote = i32::from(agreed.protocol.number());
    let versions = Handshaken::Versions { remote, negotiated: agreed.protocol };
    let chosen = agreed.transfer_sum.name();
    let sums = Handshaken::Names { what: "checksum", own: b"", theirs: None, chosen };
    for side in [Side::Client, Side::Server] {
        observer.handshake(side, &versions);
        observer.handshake(side, &sums);
    }
}

/// Runs it.
pub(crate) fn run_local<O: Speak>(run: LocalRun<'_, O>) -> Ended {
    let protocol = run.options.max_protocol();
    let unbegun = |code, reason: String| {
        let stats = Stats::default();
        Ended { code, reason: Some(reason), complete: false, stats, protocol }
    };
    if let Err(fault) = super::check_protocol::<Infallible>(run.options, protocol, OtherEnd::Twin) {
        return unbegun(ExitCode::PROTOCOL, fault.to_string());
    }
    let agreed = match agreement(run.options) {
        Ok(agreed) => agreed,
        Err(fault) => return unbegun(fault.exit_code(), fault.to_string()),
    };
    tell_agreement(run.observer, &agreed);
    (run.agreement_known)(&agreed);
    let mut shared = wire::shared(run.options, agreed, run.observer, Side::Client, Rc::new(Outbox::new()));
    shared.local = true;
    shared.conversion = run.conversion.map(|conversion| conversion.with_links(true));
    let mut source = super::file_source(run.options, run.roots);
    source.limit(run.bwlimit);
    let entrance = DestEntrance {
        dest: run.dest,
        options: run.options,
        observer: run.observer,
        roots: run.roots,
        shows: run.shows,
    };
    let result = block_on_ready(session::run_local(
        &shared,
        &source,
        &entrance,
        &run.filters,
        &run.dest_filters,
        &run.args,
        &Workers::default(),
    ));
    let complete = result.is_ok();
    let (code, reason) = match result {
        Ok(()) => (shared.partial_code(), None),
        Err(Error::Exit(code)) => (code, None),
        Err(other) => (other.exit_code(), Some(other.to_string())),
    };
    let stats = *shared.stats.borrow();
    Ended { code, reason, complete, stats, protocol: agreed.protocol }
}
