//! The log of `--log-file` and of a daemon: `YYYY/MM/DD HH:MM:SS [PID] TEXT` in a file (spec: log file lines), or
//! lines for the system's log.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write},
    os::unix::net::UnixDatagram,
};

use rustix::fs::OFlags;

use super::{
    escape::{Charset, escape},
    time::Local,
};
use crate::vouched::{self, Trust};

/// Where the system's log listens.
const SYSTEM_LOG: &str = "/dev/log";
/// Priorities of lines there.
const WARNING: i32 = 4;
const INFO: i32 = 6;

/// An open log.
#[derive(Debug)]
pub(crate) struct LogFile {
    sink: Sink,
    charset: Charset,
}

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
    pub(crate) fn open(path: &[u8], trust: Trust, charset: Charset) -> io::Result<Self> {
        let file = vouched::file(path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, 0o644, trust)?;
        Ok(Self { sink: Sink::File(RefCell::new(file)), charset })
    }

    /// The system's log.
    pub(crate) fn system(facility: i32, tag: Vec<u8>, charset: Charset) -> Self {
        let socket = UnixDatagram::unbound().and_then(|s| s.connect(SYSTEM_LOG).map(|()| s)).ok();
        Self { sink: Sink::System { socket, facility, tag }, charset }
    }

    /// Adds a text, each of its lines with time and process. Empty lines are layout and left out.
    pub(crate) fn add(&self, now: i64, text: &[u8]) {
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        self.write(INFO, now, &lines);
    }

    /// Adds a text as one line, whatever is in it: parts of it may come from somebody who would like to write lines of
    /// his own.
    pub(crate) fn line(&self, now: i64, text: &[u8]) {
        self.write(INFO, now, &[text]);
    }

    /// The same for what went wrong.
    pub(crate) fn warn(&self, now: i64, text: &[u8]) {
        self.write(WARNING, now, &[text]);
    }

    fn write(&self, priority: i32, now: i64, lines: &[&[u8]]) {
        let at = Local::at(now);
        let file = match &self.sink {
            Sink::File(file) => file,
            Sink::System { socket, facility, tag } => {
                let Some(socket) = socket else { return };
                let head = format!("<{}>{} ", facility * 8 + priority, at.in_mail());
                for line in lines {
                    let mut out = [head.as_bytes(), tag].concat();
                    out.extend(format!("[{}]: ", std::process::id()).bytes());
                    escape(line, self.charset, &mut out);
                    let _ = socket.send(&out);
                }
                return;
            }
        };
        let head = format!(
            "{:04}/{:02}/{:02} {:02}:{:02}:{:02} [{}] ",
            at.year,
            at.month,
            at.day,
            at.hour,
            at.minute,
            at.second,
            std::process::id()
        );
        let mut out = Vec::new();
        for line in lines {
            out.extend_from_slice(head.as_bytes());
            escape(line, self.charset, &mut out);
            out.push(b'\n');
        }
        // A log that cannot be written must not stop the transfer, and there is nowhere else to say so.
        let _ = file.borrow_mut().write_all(&out);
    }
}
