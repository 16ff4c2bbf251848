//! Options that are parsed and resolved but not carried out yet. They are refused by name, last of all checks,
//! so that nothing that was asked for is silently left undone.

use arsync_core::{exit::ExitCode, options::AltDestKind};

use super::{
    failure::Failure,
    operands::{Reach, Route},
    parse::alt_dest_name,
    resolve::Resolved,
};

/// Something that a command line can ask for and this build cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unbuilt {
    /// `--iconv`
    Iconv,
    /// `--read-batch`
    ReadBatch,
    /// `--write-batch`
    WriteBatch,
    /// `--only-write-batch`
    OnlyWriteBatch,
    /// `--daemon`
    Daemon,
    /// Daemon connections as a client.
    DaemonClient,
    /// `--copy-as`
    CopyAs,
    /// `--confine-root`
    ConfineRoot,
    /// `--early-input`
    EarlyInput,
    /// `--write-devices`
    WriteDevices,
    /// `--copy-devices`
    CopyDevices,
    /// `--munge-links`
    MungeLinks,
    /// `--fuzzy`
    Fuzzy,
    /// `--log-file`
    LogFile,
    /// `--stop-at`, `--stop-after`
    Stop,
    /// `--bwlimit`
    Bwlimit,
    /// `--compare-dest`, `--copy-dest`, `--link-dest`
    AltDest,
    /// `--delay-updates`
    DelayUpdates,
    /// `--files-from`
    FilesFrom,
}

/// What this build cannot do.
pub(crate) const UNBUILT: &[Unbuilt] = &[
    Unbuilt::Iconv,
    Unbuilt::ReadBatch,
    Unbuilt::WriteBatch,
    Unbuilt::OnlyWriteBatch,
    Unbuilt::Daemon,
    Unbuilt::DaemonClient,
    Unbuilt::CopyAs,
    Unbuilt::ConfineRoot,
    Unbuilt::EarlyInput,
    Unbuilt::WriteDevices,
    Unbuilt::CopyDevices,
    Unbuilt::MungeLinks,
    Unbuilt::Fuzzy,
    Unbuilt::LogFile,
    Unbuilt::Stop,
    Unbuilt::Bwlimit,
    Unbuilt::AltDest,
    Unbuilt::DelayUpdates,
    Unbuilt::FilesFrom,
];

/// Refuses what this build cannot do.
pub(crate) fn check(r: &Resolved) -> Result<(), Failure> {
    let role = r.route.role();
    match UNBUILT.iter().find_map(|item| asked_for(*item, r)) {
        Some(name) => Err(refusal(name, role)),
        None => Ok(()),
    }
}

/// The refusal of something by name.
pub(crate) fn refusal(name: &str, role: arsync_core::error::Role) -> Failure {
    Failure::plain(
        format!("rsync: {name} is not supported by this build of arsync yet"),
        ExitCode::UNSUPPORTED,
        role,
    )
}

/// The name under which the item was asked for.
fn asked_for(item: Unbuilt, r: &Resolved) -> Option<&'static str> {
    let (cli, opts) = (&r.cli, &r.opts);
    let daemon = r.route.machine().is_some_and(|m| m.reach != Reach::Shell);
    let (asked, name) = match item {
        Unbuilt::Iconv => (r.iconv.is_some(), "--iconv"),
        Unbuilt::ReadBatch => (matches!(r.route, Route::Batch { .. }), "--read-batch"),
        Unbuilt::WriteBatch => (r.write_batch.is_some(), "--write-batch"),
        Unbuilt::OnlyWriteBatch => (r.only_write_batch.is_some(), "--only-write-batch"),
        // Daemon mode never gets as far as a session.
        Unbuilt::Daemon => (false, "--daemon"),
        Unbuilt::DaemonClient => (daemon, "a connection to a daemon"),
        Unbuilt::CopyAs => (cli.copy_as.is_some(), "--copy-as"),
        Unbuilt::ConfineRoot => (cli.confine_root.is_some(), "--confine-root"),
        Unbuilt::EarlyInput => (cli.early_input.is_some(), "--early-input"),
        Unbuilt::WriteDevices => (cli.write_devices, "--write-devices"),
        Unbuilt::CopyDevices => (cli.copy_devices, "--copy-devices"),
        Unbuilt::MungeLinks => (cli.munge_links, "--munge-links"),
        Unbuilt::Fuzzy => (cli.fuzzy > 0, "--fuzzy"),
        Unbuilt::LogFile => (cli.log_file.is_some(), "--log-file"),
        Unbuilt::Stop => (cli.stop_at.is_some(), "--stop-at"),
        Unbuilt::Bwlimit => (cli.bwlimit.is_some_and(|kib| kib > 0), "--bwlimit"),
        Unbuilt::AltDest => {
            let kind = opts.transfer.alt_dest_kind;
            (kind.is_some(), alt_dest_name(kind.unwrap_or(AltDestKind::Compare)))
        }
        Unbuilt::DelayUpdates => (cli.delay_updates, "--delay-updates"),
        Unbuilt::FilesFrom => (cli.files_from.is_some(), "--files-from"),
    };
    asked.then_some(name)
}
