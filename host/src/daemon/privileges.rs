//! What only a process as a whole can do: to change its root, to divide in two, and to hold a part of a file.

use std::{
    fs::File,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::process::{Pid, WaitOptions, chroot, waitpid};

/// Makes a directory the root of this process, and its working directory.
pub(super) fn change_root(dir: &[u8]) -> rustix::io::Result<()> {
    chroot(dir)?;
    rustix::process::chdir("/")
}

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// The new one.
    Child,
    /// The old one, and the number of the new one.
    Parent(Pid),
}

/// Divides the process. There must be one thread only.
#[allow(unsafe_code)]
pub(super) fn divide() -> rustix::io::Result<Half> {
    // SAFETY: the callers do this before the first thread exists, so that no lock is held by anybody who is gone in
    // the new process.
    let number = unsafe { libc::fork() };
    match number {
        0 => Ok(Half::Child),
        number => match Pid::from_raw(number).filter(|_| number > 0) {
            Some(pid) => Ok(Half::Parent(pid)),
            None => Err(rustix::io::Errno::AGAIN),
        },
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// Its exit code; none: a signal ended it.
    pub(super) code: Option<i32>,
    /// The status as the kernel gives it.
    pub(super) raw: i32,
}

/// Waits for the end of a child.
pub(super) fn await_end(child: Pid) -> Death {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return Death { code: status.exit_status(), raw: status.as_raw() };
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Death { code: None, raw: -1 },
        }
    }
}

/// Leaves the terminal and the process group of whoever started this.
pub(super) fn leave_terminal() {
    // Only the leader of a group fails, and it has just been left.
    let _ = rustix::process::setsid();
}

/// Puts `/dev/null` in the place of a standard stream.
#[allow(unsafe_code)]
pub(super) fn silence(stream: RawFd) {
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    // SAFETY: the number of a standard stream may be taken over by another open file at any time; whoever writes to
    // the stream uses the number.
    unsafe { libc::dup2(null.as_raw_fd(), stream) };
}

/// Takes the open file behind a standard stream and leaves `/dev/null` in its place.
#[allow(unsafe_code)]
pub(super) fn take_stream(stream: RawFd) -> std::io::Result<OwnedFd> {
    // SAFETY: duplicating a number touches no memory; the new descriptor belongs to nobody else.
    let taken = unsafe {
        let copy = libc::fcntl(stream, libc::F_DUPFD_CLOEXEC, 3);
        if copy < 0 {
            return Err(std::io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(copy)
    };
    silence(stream);
    Ok(taken)
}

/// Takes the lock on a part of a file, if nobody else has it. It is held as long as the file is open here.
#[allow(unsafe_code)]
pub(super) fn lock_range(file: &File, start: i64, len: i64) -> bool {
    // SAFETY: an all-zero `flock` is a valid value; the call reads it and writes nothing else.
    unsafe {
        let mut range: libc::flock = core::mem::zeroed();
        range.l_type = libc::F_WRLCK as libc::c_short;
        range.l_whence = libc::SEEK_SET as libc::c_short;
        range.l_start = start;
        range.l_len = len;
        libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const range) == 0
    }
}
