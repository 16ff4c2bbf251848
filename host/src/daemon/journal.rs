//! The log of a daemon, whatever it is at the moment: the global one, or that of the module.

use std::{
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::config::{Param, Values, expand};
use crate::{output::log_file::LogFile, vouched::Trust};

/// Where a daemon writes down what happens.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    log: Rc<LogFile>,
    /// The file of `--log-file`, which stands for all others.
    given: Option<Vec<u8>>,
    /// The file in use; none: the system's log.
    file: Option<Vec<u8>>,
}

impl Journal {
    /// The one that `values` name; `given`: that of the command line.
    pub(super) fn open(given: Option<&[u8]>, values: &Values) -> Self {
        let file = given.map(<[u8]>::to_vec).or_else(|| named(values));
        Self { log: open(file.as_deref(), values), given: given.map(<[u8]>::to_vec), file }
    }

    /// The one of a module, if it has another.
    pub(super) fn switch(&mut self, values: &Values) {
        let file = self.given.clone().or_else(|| named(values));
        if file.is_none() || file != self.file {
            self.log = open(file.as_deref(), values);
            self.file = file;
        }
    }

    /// The open log.
    pub(super) fn log(&self) -> Rc<LogFile> {
        self.log.clone()
    }

    /// Writes a line.
    pub(super) fn say(&self, text: impl AsRef<[u8]>) {
        self.log.line(now(), text.as_ref());
    }

    /// Writes a line about something that went wrong.
    pub(super) fn warn(&self, text: impl AsRef<[u8]>) {
        self.log.warn(now(), text.as_ref());
    }
}

fn named(values: &Values) -> Option<Vec<u8>> {
    let variable = |name: &str| std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec);
    values.text(Param::LogFile).map(|file| expand(file, &variable))
}

fn open(file: Option<&[u8]>, values: &Values) -> Rc<LogFile> {
    let opened = file.and_then(|file| LogFile::open(file, Trust::Own).ok());
    Rc::new(opened.unwrap_or_else(|| {
        let tag = values.text(Param::SyslogTag).unwrap_or(b"rsyncd").to_vec();
        LogFile::system(values.int(Param::SyslogFacility), tag)
    }))
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed())
}
