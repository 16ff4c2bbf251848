//! How files are opened for their contents: waiting for nobody, and on request without a trace.

use std::os::fd::OwnedFd;

use arsync_core::options::SessionOptions;
use rustix::{
    fs::{Mode, OFlags, openat},
    io::{self, Errno},
};

/// How files are opened in a session.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Access times stay.
    quiet: bool,
}

impl Reading {
    /// Access times are those that the system sets.
    pub const LOUD: Self = Self { quiet: false };

    /// As these options want it.
    pub fn new(options: &SessionOptions) -> Self {
        let preserve = &options.preserve;
        Self { quiet: preserve.open_noatime || preserve.atimes > 1 }
    }

    /// Opens a name in a directory. Access times stay only where this user may ask for that: the owner of the file.
    pub fn open(self, dir: &OwnedFd, name: &[u8], follow: bool) -> io::Result<OwnedFd> {
        // A fifo that took the place of the file must not hold up the session.
        let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        if self.quiet {
            match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
                Err(Errno::PERM) => {}
                opened => return opened,
            }
        }
        openat(dir, name, flags, Mode::empty())
    }
}
