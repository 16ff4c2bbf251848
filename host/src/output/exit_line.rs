//! tmp
use arsync_core::{error::Role, exit::ExitCode};
pub(crate) fn exit_line(code: ExitCode, role: Role) -> Vec<u8> {
    let kind = if code == ExitCode::VANISHED { "warning" } else { "error" };
    format!("rsync {kind}: {} (code {}) at main.rs(1) [{}=3.5.0]\n", code.text(), code.0, role.name()).into_bytes()
}
