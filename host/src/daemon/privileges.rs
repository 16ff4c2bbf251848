//! What only a process as a whole can do: to change its root, to divide in two, and to hold a part of a file.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Pid, WaitOptions, chroot, waitpid},
    stdio,
};

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Input,
    Output,
    Errors,
}

impl Stream {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Errors];
}

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

/// Divides the process, which must have one thread only: `EAGAIN` otherwise.
#[allow(unsafe_code)]
pub(super) fn divide() -> rustix::io::Result<Half> {
    // A lock that another thread holds would never be released in the new process.
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(rustix::io::Errno::AGAIN);
    }
    // SAFETY: there is no other thread, which was asked above and is so by design: daemons divide before they have a
    // runtime. So nothing in the new process waits for a thread that it does not have.
    let number = unsafe { libc::fork() };
    match number {
        0 => Ok(Half::Child),
        // The number is that of a process, or -1.
        number => match Pid::from_raw(number).filter(|_| number > 0) {
            Some(pid) => Ok(Half::Parent(pid)),
            None => Err(rustix::io::Errno::from_io_error(&std::io::Error::last_os_error())
                .unwrap_or(rustix::io::Errno::AGAIN)),
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

/// Puts `/dev/null` in the place of standard streams.
pub(super) fn silence(streams: &[Stream]) -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for stream in streams {
        match stream {
            Stream::Input => stdio::dup2_stdin(&null),
            Stream::Output => stdio::dup2_stdout(&null),
            Stream::Errors => stdio::dup2_stderr(&null),
        }?;
    }
    Ok(())
}

/// Takes the open file behind a standard stream and leaves `/dev/null` in its place.
pub(super) fn take_stream(stream: Stream) -> std::io::Result<OwnedFd> {
    let open = match stream {
        Stream::Input => stdio::stdin(),
        Stream::Output => stdio::stdout(),
        Stream::Errors => stdio::stderr(),
    };
    // Not among the standard streams, and not for the programs that this one starts.
    let taken = fcntl_dupfd_cloexec(open, 3)?;
    silence(&[stream])?;
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
