//! Options that are parsed and resolved but not carried out yet. They are refused by name, last of all checks,
//! so that nothing that was asked for is silently left undone.

use arsync_core::exit::ExitCode;

use super::{failure::Failure, resolve::Resolved};

/// Something that a command line can ask for and this build cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unbuilt {
    /// `--daemon`
    Daemon,
    /// `--confine-root`
    ConfineRoot,
}

/// What this build cannot do.
pub(crate) const UNBUILT: &[Unbuilt] = &[Unbuilt::Daemon, Unbuilt::ConfineRoot];

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
    let cli = &r.cli;
    let (asked, name) = match item {
        // Daemon mode never gets as far as a session.
        Unbuilt::Daemon => (false, "--daemon"),
        Unbuilt::ConfineRoot => (cli.confine_root.is_some(), "--confine-root"),
    };
    asked.then_some(name)
}
