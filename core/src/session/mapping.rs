//! Users and groups of the sender as ids of this machine.

use alloc::vec::Vec;

use super::Shared;
use crate::{
    error::Role,
    exit::ExitCode,
    flist::ids::{IdMap, IdRules, MapFault},
    ports::{Notice, Observer, Target},
};

/// Ids of the sender to ids here, for users and groups.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    pub(super) users: IdMap,
    pub(super) groups: IdMap,
}

impl Mapping {
    /// From `--usermap` and `--groupmap`; a fault was reported when this fails.
    pub(super) fn new<T: Target, O: Observer>(shared: &Shared<'_, O>, target: &T) -> Result<Self, ExitCode> {
        let p = &shared.options.preserve;
        let parse = |list: &Option<Vec<u8>>, group: bool| -> Result<IdRules, ExitCode> {
            let Some(list) = list else { return Ok(IdRules::default()) };
            let lookup = |name: &[u8]| if group { target.group_id(name) } else { target.user_id(name) };
            let unknown =
                |name: &[u8]| shared.report(Role::ReceiverSide, &Notice::UnknownMapName { name, group });
            IdRules::parse(list, lookup, unknown).map_err(|fault| {
                let (kind, text) = match &fault {
                    MapFault::NoColon(t) => ("No colon found in", t),
                    MapFault::NoName(t) => ("No name found after colon", t),
                    MapFault::BadNumber(t) => ("Invalid number in", t),
                };
                shared.report(Role::ReceiverSide, &Notice::BadMap { what: kind, text, group });
                ExitCode::SYNTAX
            })
        };
        Ok(Self {
            users: IdMap::new(parse(&p.usermap, false)?, !p.numeric_ids),
            groups: IdMap::new(parse(&p.groupmap, true)?, !p.numeric_ids),
        })
    }
}
