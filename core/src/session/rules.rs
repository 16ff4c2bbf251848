//! The filter rules of a session: a client's own, or what a client sent (spec: wire exchange).

use alloc::vec::Vec;

use crate::{
    error::Error,
    filter::{CvsRules, Entering, FilterError, FilterList, FilterSide, Perishable, Scope},
    ports::{Notice, Observer, PortError},
    version::ProtocolVersion,
};

use super::Shared;

/// Where the rules of a session come from.
#[derive(Debug)]
pub enum Rules {
    /// A client has them, without those of the option `-C`.
    Own(FilterList),
    /// A server gets them from its client, behind those that it has itself.
    FromPeer(FilterList),
}

impl Rules {
    /// The list of a client, and the texts that its server is to get.
    pub(super) fn for_client(
        self,
        protocol: ProtocolVersion,
        side: FilterSide,
        cvs: bool,
    ) -> Result<(FilterList, Vec<Vec<u8>>), crate::error::ProtocolError> {
        let (Self::Own(mut list) | Self::FromPeer(mut list)) = self;
        let modern = protocol.has_filter_modifiers();
        let receiving = side == FilterSide::Receiver;
        // What the server adds by itself is added behind the exchange.
        let (before, behind) = match (receiving, modern) {
            (true, true) => (None, Some(CvsRules::AllForBothSides)),
            (false, true) => (Some(CvsRules::All), None),
            (_, false) => (Some(CvsRules::Patterns), Some(CvsRules::DirMerge)),
        };
        let add = |list: &mut FilterList, part: Option<CvsRules>| {
            if let Some(part) = part.filter(|_| cvs) {
                // Adding the built-in rules cannot fail.
                let _ = list.add_cvs(part);
            }
        };
        add(&mut list, before);
        let texts = list.wire_rules(protocol, side)?;
        add(&mut list, behind);
        Ok((list, texts))
    }

    /// The list of a server, from the texts of its client.
    pub(super) fn for_server(
        self,
        texts: &[Vec<u8>],
        protocol: ProtocolVersion,
        side: FilterSide,
        cvs: bool,
    ) -> Result<FilterList, FilterError> {
        let (Self::Own(mut list) | Self::FromPeer(mut list)) = self;
        list.add_from_wire(texts.iter().map(Vec::as_slice), protocol)?;
        if cvs {
            match (side, protocol.has_filter_modifiers()) {
                (FilterSide::Sender, _) => list.add_cvs(CvsRules::All)?,
                (FilterSide::Receiver, false) => list.add_cvs(CvsRules::DirMerge)?,
                (FilterSide::Receiver, true) => {}
            }
        }
        Ok(list)
    }
}

/// What the rules say about a name, told to the user where a rule decides.
pub(super) fn is_excluded<O: Observer>(
    shared: &Shared<'_, O>,
    role: crate::error::Role,
    scope: &Scope,
    name: &[u8],
    dir: bool,
    perishable: Perishable,
) -> bool {
    let Some(decision) = scope.decision(name, dir, perishable) else { return false };
    shared.report(role, &Notice::Filtered { name, dir, decision });
    !decision.include
}

/// Reads the files that a directory asks for until its scope is complete.
pub(super) async fn enter<O: Observer, E>(
    shared: &Shared<'_, O>,
    role: crate::error::Role,
    mut entering: Entering,
    read: impl AsyncFn(Vec<u8>) -> Result<Vec<u8>, PortError>,
) -> Result<Scope, Error<E>> {
    while let Some(wanted) = entering.wanted() {
        let contents = read(wanted.path.clone()).await;
        if let Err(fault) = entering.supply(contents) {
            shared.report(role, &Notice::FilterFault(&fault));
            return Err(Error::Exit(fault.exit_code()));
        }
    }
    for warning in entering.take_warnings() {
        shared.report(role, &Notice::FilterWarning(&warning));
    }
    Ok(entering.finish())
}
