//! `--delay-updates`: which files wait for their names in the partial directory.

use alloc::vec::Vec;
use core::cell::RefCell;

use hashbrown::HashMap;

use super::{dest_side::DestSide, generator::Request};
use crate::{
    item::BasisType,
    names::RelName,
    options::{SessionOptions, Transfer},
};

/// The files that wait where several of one base name would have one place.
#[derive(Debug)]
pub(super) struct Delayed {
    /// Files of several directories meet in the partial directory.
    meet: bool,
    /// Who waits, by the base name.
    waiting: RefCell<HashMap<Vec<u8>, Vec<u8>>>,
}

impl Delayed {
    pub(super) fn new(options: &SessionOptions) -> Self {
        Self { meet: do_meet(&options.transfer), waiting: RefCell::default() }
    }
}

/// A path of its own for each directory has no `..`.
fn do_meet(transfer: &Transfer) -> bool {
    let leads_elsewhere =
        |path: &Vec<u8>| path.first() == Some(&b'/') || path.split(|&b| b == b'/').any(|part| part == b"..");
    transfer.delay_updates && transfer.partial_dir.as_ref().is_some_and(leads_elsewhere)
}

impl<T, O> DestSide<'_, T, O> {
    /// Another file waits in this one's place. Stock rsync puts the data of one into both.
    pub(super) fn is_taken(&self, name: RelName<'_>) -> bool {
        let waiting = self.delayed.waiting.borrow();
        waiting.get(name.base()).is_some_and(|other| other != name.bytes())
    }

    /// The request for a file without what was to be its basis, if another file has come to wait there.
    pub(super) fn without_taken(&self, name: RelName<'_>, request: &Request) -> Option<Request> {
        let taken = request.basis == BasisType::PartialDir && self.is_taken(name);
        taken.then(|| Request { basis: BasisType::Name, basis_len: None, ..request.clone() })
    }

    /// Whether this file, which is complete, is to wait. If its place is taken, it gets its name at once.
    pub(super) fn delays(&self, name: RelName<'_>) -> bool {
        if !self.shared.options.transfer.delay_updates || self.is_taken(name) {
            return false;
        }
        if self.delayed.meet {
            self.delayed.waiting.borrow_mut().insert(name.base().to_vec(), name.bytes().to_vec());
        }
        true
    }
}
