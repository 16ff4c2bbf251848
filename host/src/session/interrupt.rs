//! SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2: temporaries disappear, the program says why it ends and ends with code 20,
//! or 19 for the last two. A session that keeps partial files is told first, and ends by itself.
//!
//! The handler writes the signal's number into a pipe; whoever reads it does the rest, since almost nothing may be
//! done in a handler: a thread in a session, a task in a daemon. Children start with default handlers, as after
//! every exec.

use core::{
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
    time::Duration,
};
use std::{
    io::Read,
    os::fd::{IntoRawFd, OwnedFd},
    time::{SystemTime, UNIX_EPOCH},
};

use arsync_core::exit::ExitCode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{ending::end, engine::temp, transport};

static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(signal: libc::c_int) {
    let fd = PIPE.load(Ordering::Relaxed);
    let byte = signal.to_ne_bytes();
    // SAFETY: write is async-signal-safe; the buffer lives on this stack and the descriptor is never closed. `errno` is
    // this thread's own, and whoever is interrupted finds it as it was.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(fd, byte.as_ptr().cast(), byte.len());
        *errno = before;
    }
}

/// The first signal that came.
static CAME: AtomicI32 = AtomicI32::new(0);
/// The process is a server.
static SERVES: AtomicBool = AtomicBool::new(false);
/// How long a server outlives a signal of its own client, who tells its children that way that it ends, and with which code
/// is for itself to say.
const COURTESY: Duration = Duration::from_millis(200);

/// Ends the program as the signal asks for.
fn end_by(signal: libc::c_int) -> ! {
    let own = matches!(signal, libc::SIGUSR1 | libc::SIGUSR2);
    if own && SERVES.load(Ordering::SeqCst) {
        temp::unlink_all();
        std::thread::sleep(COURTESY);
    }
    end("", if own { ExitCode::SIGNAL1 } else { ExitCode::SIGNAL })
}

/// Ends the program at this time, seconds since 1970 (`--stop-at`, `--stop-after`). `Err`: nothing would.
pub(crate) fn stop_at(at: i64) -> std::io::Result<()> {
    let watcher = move || {
        loop {
            // In small steps: the clock may be set meanwhile.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
            let left = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
            if left == 0 {
                end("stopping at requested limit\n", ExitCode::TIMEOUT);
            }
            std::thread::sleep(Duration::from_secs(left.min(10)));
        }
    };
    std::thread::Builder::new().name("stop".into()).stack_size(64 << 10).spawn(watcher).map(drop)
}

/// How long a session may take to keep its partial file after a signal. Another signal ends it at once.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Watches for signals from here on. `keeps_partial`: a session runs that has something to do first; whoever runs it asks
/// [`end_if_interrupted`] behind it. Failing to set this up is no reason not to run: signals then have their default effect.
pub(crate) fn watch(keeps_partial: bool, serves: bool) {
    SERVES.store(serves, Ordering::SeqCst);
    let Ok(read) = open_pipe() else { return };
    let watcher = move || {
        let mut signals = std::fs::File::from(read);
        let mut bytes = [0u8; size_of::<libc::c_int>()];
        if signals.read_exact(&mut bytes).is_ok() {
            let signal = libc::c_int::from_ne_bytes(bytes);
            CAME.store(signal, Ordering::SeqCst);
            if keeps_partial {
                transport::interrupt();
                let _ = poll(&mut [PollFd::new(&signals, PollFlags::IN)], Some(&PATIENCE));
            }
            end_by(signal);
        }
    };
    if std::thread::Builder::new().name("signals".into()).stack_size(64 << 10).spawn(watcher).is_err() {
        return;
    }
    handle(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2]);
}

/// Has writes fail with EPIPE where nobody reads, and with EFBIG at a limit of file sizes, instead of ending the program, which
/// has to say so and to remove its temporaries.
pub(crate) fn prefer_errors() {
    // SAFETY: ignoring these signals changes nothing but that writes return errors.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Ends the program if a signal has come, whatever its session has ended with meanwhile.
pub(crate) fn end_if_interrupted() {
    let signal = CAME.load(Ordering::SeqCst);
    if signal != 0 {
        end_by(signal);
    }
}

/// Collects these signals from here on: their numbers come out of the descriptor, native byte order, four bytes each.
/// Called once in a process, and not together with [`watch`].
pub(crate) fn collect(signals: &[i32]) -> std::io::Result<OwnedFd> {
    let read = open_pipe()?;
    handle(signals);
    Ok(read)
}

/// The pipe that the handler writes to. A write never waits: who would read is who is interrupted. A full pipe holds
/// thousands of signals, and its reader is awake.
fn open_pipe() -> std::io::Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&write, rustix::fs::OFlags::NONBLOCK)?;
    // The writing end must outlive every handler.
    PIPE.store(write.into_raw_fd(), Ordering::Relaxed);
    Ok(read)
}

/// Sets the handler, but an ignored signal stays ignored (nohup). Not so the ends of children: whoever is started would
/// ignore them too, and could not wait for its own.
fn handle(signals: &[libc::c_int]) {
    for &signal in signals {
        // SAFETY: the handler is an extern "C" function of the right type that lives as long as the program.
        unsafe {
            let handler = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
            if libc::signal(signal, handler) == libc::SIG_IGN && signal != libc::SIGCHLD {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
    }
}
