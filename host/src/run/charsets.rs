//! The charset of this side's names, opened (`--iconv`).

use std::rc::Rc;

use arsync_core::{
    charset::{Charset, Conversion, Toward},
    error::Role,
    exit::ExitCode,
};

use crate::{
    cli::{
        failure::Failure,
        resolve::{self, Resolved},
    },
    engine::Iconv,
    output::clib,
};

/// An opened charset.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Its name, for the user.
    pub(super) name: Vec<u8>,
    /// Who tells it.
    pub(super) role: Role,
    /// The charset.
    pub(super) charset: Rc<dyn Charset>,
    /// Arguments and lists of names that go through the connection are converted on the way (`-s`).
    protected: bool,
}

impl Names {
    /// The charset of a session, if names are converted.
    pub(super) fn of(resolved: &Resolved) -> Result<Option<Self>, Failure> {
        let server = resolved.cli.server;
        let role = if server && resolved.secluded_args { Role::Server } else { resolved.route.role() };
        let Some(spec) = &resolved.iconv else { return Ok(None) };
        Self::open(spec, server, resolved.secluded_args, role)
    }

    /// The charset of a daemon's module.
    pub(crate) fn of_module(charset: &[u8]) -> Result<Option<Self>, Failure> {
        Self::open(charset, true, false, Role::Server)
    }

    /// The same where arguments came converted (`-s`).
    pub(crate) fn with_args(mut self, protected: bool) -> Self {
        self.protected = protected;
        self
    }

    /// The charset of a server that gets its arguments through the connection.
    pub(super) fn of_secluded(spec: &[u8]) -> Result<Option<Self>, Failure> {
        Self::open(spec, true, true, Role::Server)
    }

    fn open(spec: &[u8], server: bool, protected: bool, role: Role) -> Result<Option<Self>, Failure> {
        let Some(name) = resolve::own_charset(spec, server) else { return Ok(None) };
        let name = if matches!(name, b"" | b".") { clib::codeset() } else { name.to_vec() };
        let charset = Iconv::open(&name).map_err(|text| Failure::plain(text, ExitCode::UNSUPPORTED, role))?;
        Ok(Some(Self { name, role, charset: Rc::new(charset), protected }))
    }

    /// What a session does with it. Whether targets of symlinks are converted is known after the handshake.
    pub(super) fn conversion(&self) -> Conversion {
        Conversion::new(self.charset.clone(), false, self.protected)
    }

    /// Arguments that go or came through the connection.
    pub(super) fn args(&self, toward: Toward, args: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let conversion = self.conversion();
        args.into_iter().map(|arg| conversion.text(toward, &arg)).collect()
    }
}
