//! What is parsed but not carried out yet is refused by name, so that nothing that was asked for is silently left
//! undone.

use arsync_core::{error::Role, exit::ExitCode};

use super::failure::Failure;

/// The refusal of `--daemon`.
pub(crate) fn daemon(role: Role) -> Failure {
    let text = "rsync: --daemon is not supported by this build of arsync yet".to_owned();
    Failure::plain(text, ExitCode::UNSUPPORTED, role)
}
