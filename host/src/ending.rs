//! Ends of the process that its session does not choose: a signal, a limit of time, nobody to tell.

use std::{
    io::{ErrorKind, Write},
    sync::{Mutex, PoisonError},
};

use arsync_core::{error::Role, exit::ExitCode};

use crate::{engine::temp, output::exit_line::exit_line};

/// Who is named in the last line.
static ROLE: Mutex<Role> = Mutex::new(Role::Client);

/// From here on the process has this role.
pub(crate) fn takes_role(role: Role) {
    *ROLE.lock().unwrap_or_else(PoisonError::into_inner) = role;
}

/// The destination is entered: the reference divides into a generator, which stays, and a receiver, which reads.
pub(crate) fn divides() {
    let mut role = ROLE.lock().unwrap_or_else(PoisonError::into_inner);
    if *role == Role::ReceiverSide {
        *role = Role::Generator;
    }
}

/// The role of the process as it is now.
pub(crate) fn role() -> Role {
    *ROLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which of its parts reads what the peer says.
pub(crate) fn reading_role() -> Role {
    match role() {
        Role::Generator => Role::Receiver,
        other => other,
    }
}

/// Ends the program at once: temporaries disappear, and the reason is said.
#[track_caller]
pub(crate) fn end(reason: &str, code: ExitCode) -> ! {
    temp::unlink_all();
    let line = exit_line(code, role());
    let _ = std::io::stderr().write_all(&[reason.as_bytes(), &line].concat());
    std::process::exit(i32::from(code.0));
}

/// Writes to stderr. A program that cannot say what goes wrong does not go on.
pub(crate) fn write_stderr(bytes: &[u8]) {
    match std::io::stderr().lock().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => end("", ExitCode::MESSAGE_IO),
        _ => {}
    }
}
