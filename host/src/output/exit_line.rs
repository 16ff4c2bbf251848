//! The last line of a run that failed.

use arsync_core::{error::Role, exit::ExitCode};

use crate::cli::help::COMPATIBLE_VERSION;

/// `rsync error: TEXT (code N) at FILE(LINE) [ROLE=VERSION]` and a newline; empty for code 0.
#[track_caller]
pub(crate) fn exit_line(code: ExitCode, role: Role) -> Vec<u8> {
    let kind = match code {
        ExitCode::OK => return Vec::new(),
        ExitCode::VANISHED => "warning",
        _ => "error",
    };
    let line = core::panic::Location::caller().line();
    let text = code.text();
    format!("rsync {kind}: {text} (code {}) at main.rs({line}) [{role}={COMPATIBLE_VERSION}]\n", code.0)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vanished_files_are_a_warning() {
        let line = String::from_utf8(exit_line(ExitCode::PARTIAL, Role::Sender)).unwrap();
        let (head, tail) = line.split_once(" at ").unwrap();
        assert_eq!(
            head,
            "rsync error: some files/attrs were not transferred (see previous errors) (code 23)"
        );
        assert!(tail.ends_with(") [sender=3.5.0]\n"));
        assert!(
            exit_line(ExitCode::VANISHED, Role::Sender).starts_with(b"rsync warning: some files vanished")
        );
        assert!(exit_line(ExitCode::OK, Role::Sender).is_empty());
    }
}
