//! What output needs to know about a client of a daemon.

use std::rc::Rc;

use super::{format::DaemonView, log_file::LogFile};

/// A client, and the log in which it is written down.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The log of the module.
    pub(crate) log: Rc<LogFile>,
    /// Format of the lines of items there; empty: there are none.
    pub(crate) format: Vec<u8>,
    /// Address of the client.
    pub(crate) address: Vec<u8>,
    /// Its name.
    pub(crate) host: Vec<u8>,
    /// Name of the module.
    pub(crate) module: Vec<u8>,
    /// Path of the module.
    pub(crate) path: Vec<u8>,
    /// Who it said to be; empty: nobody was asked.
    pub(crate) user: Vec<u8>,
    /// It is only told why there is no session.
    pub(crate) refused: bool,
}

impl Visitor {
    /// The part that formats use.
    pub(crate) fn view(&self) -> DaemonView<'_> {
        DaemonView {
            address: &self.address,
            host: &self.host,
            module: &self.module,
            path: &self.path,
            user: &self.user,
        }
    }
}
