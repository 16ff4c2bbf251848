//! The log of `--log-file`: `YYYY/MM/DD HH:MM:SS [PID] TEXT` (spec: log file lines).

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::Path,
};

use super::{
    escape::{Charset, escape},
    time::Local,
};

/// An open log.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: RefCell<File>,
    charset: Charset,
    /// Format of the lines of items; empty: no such lines.
    pub(crate) format: Vec<u8>,
}

impl LogFile {
    /// Opens a log at its end, or begins one.
    pub(crate) fn open(path: &[u8], format: Vec<u8>, charset: Charset) -> io::Result<Self> {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let file = OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
        Ok(Self { file: RefCell::new(file), charset, format })
    }

    /// Adds a text, each of its lines with time and process. Empty lines are layout and left out.
    pub(crate) fn add(&self, now: i64, text: &[u8]) {
        let at = Local::at(now);
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
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            out.extend_from_slice(head.as_bytes());
            escape(line, self.charset, &mut out);
            out.push(b'\n');
        }
        // A log that cannot be written must not stop the transfer, and there is nowhere else to say so.
        let _ = self.file.borrow_mut().write_all(&out);
    }
}
