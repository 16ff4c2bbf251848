//! The session of a daemon's client: what a server does, over a connection on which all was said that comes before.

use arsync_core::{exit::ExitCode, filter::Veil};

use super::{Batch, Names, Prepared, run_session};
use crate::{
    cli::resolve::Resolved,
    output::visitor::Visitor,
    session::{Greeted, Opening, Refusal},
};

/// A client that is in a module.
pub(crate) struct Visit {
    /// The connection.
    pub(crate) greeted: Greeted,
    /// Who it is.
    pub(crate) visitor: Visitor,
    /// Where the module is, as this process sees it.
    pub(crate) root: Vec<u8>,
    /// What the module hides.
    pub(crate) veil: Option<Veil>,
    /// The client is only told why there is no session.
    pub(crate) refusal: Option<Refusal>,
}

impl Visit {
    /// Path and name of the module, for messages.
    pub(super) fn place(&self) -> (Vec<u8>, Vec<u8>) {
        (self.root.clone(), self.visitor.module.clone())
    }

    pub(super) fn into_parts(self) -> (Opening, Option<Veil>) {
        (Opening::Greeted(self.greeted), self.veil)
    }
}

/// Runs it. `names`: the charset of the module's names, opened.
pub(crate) fn serve(resolved: &Resolved, names: Option<Names>, mut visit: Visit) -> ExitCode {
    let refusal = visit.refusal.take();
    let prepared = Prepared { batch: Batch::None, names, identity: None, refusal, visit: Some(visit) };
    run_session(resolved, prepared, &[])
}
