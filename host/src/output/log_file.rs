//! The log of `--log-file` and of a daemon: `YYYY/MM/DD HH:MM:SS [PID] TEXT` in a file (spec: log file lines), or
//! lines for the system's log.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write},
    os::unix::net::UnixDatagram,
};

use arsync_core::error::Role;
use rustix::fs::OFlags;

use super::{
    escape::{Charset, escape},
    strerror,
    time::Local,
};
use crate::vouched::{self, Trust};

/// Where the system's log listens.
const SYSTEM_LOG: &str = "/dev/log";
/// Priorities of lines there.
const WARNING: i32 = 4;
const INFO: i32 = 6;

/// What is told of a log that cannot be opened: an error, and what comes of it.
pub(crate) fn unusable(role: Role, path: &[u8], error: &io::Error) -> (Vec<u8>, &'static [u8]) {
    let head = format!("rsync: [{role}] failed to open log-file ");
    let reason = strerror::suffix(error.raw_os_error().unwrap_or(5));
    ([head.as_bytes(), path, reason.as_bytes()].concat(), b"Ignoring \"log file\" setting.")
}

/// An open log.
#[derive(Debug)]
pub(crate) struct LogFile(Sink);

/// Where lines go.
#[derive(Debug)]
enum Sink {
    File(RefCell<File>),
    /// The system's log, if there is one.
    System {
        socket: Option<UnixDatagram>,
        facility: i32,
        tag: Vec<u8>,
    },
}

impl LogFile {
    /// Opens a log at its end, or begins one.
    pub(crate) fn open(path: &[u8], trust: Trust) -> io::Result<Self> {
        let file = vouched::file(path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, 0o644, trust)?;
        Ok(Self(Sink::File(RefCell::new(file))))
    }

    /// The system's log.
    pub(crate) fn system(facility: i32, tag: Vec<u8>) -> Self {
        let socket = UnixDatagram::unbound().and_then(|s| s.connect(SYSTEM_LOG).map(|()| s)).ok();
        Self(Sink::System { socket, facility, tag })
    }

    /// Adds a text as one line, whatever is in it: parts of it may come from somebody who would like to write lines of
    /// his own.
    pub(crate) fn line(&self, now: i64, text: &[u8]) {
        self.write(INFO, now, text);
    }

    /// The same for what went wrong.
    pub(crate) fn warn(&self, now: i64, text: &[u8]) {
        self.write(WARNING, now, text);
    }

    fn write(&self, priority: i32, now: i64, text: &[u8]) {
        let at = Local::at(now);
        let id = std::process::id();
        match &self.0 {
            Sink::File(file) => {
                let Local { year, month, day, hour, minute, second, .. } = at;
                let mut out =
                    format!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02} [{id}] ")
                        .into_bytes();
                escape(text, Charset::Log, &mut out);
                out.push(b'\n');
                // A log that cannot be written must not stop the transfer, and there is nowhere else to say so.
                let _ = file.borrow_mut().write_all(&out);
            }
            Sink::System { socket: Some(socket), facility, tag } => {
                let mut out = format!("<{}>{} ", facility * 8 + priority, at.in_mail()).into_bytes();
                out.extend(tag);
                out.extend(format!("[{id}]: ").bytes());
                escape(text, Charset::Log, &mut out);
                let _ = socket.send(&out);
            }
            Sink::System { socket: None, .. } => {}
        }
    }
}
