//! The receiving side: what its two roles, generator and receiver, have in common.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::{Entered, Shared, delayed::Delayed, lists::Lists};
use crate::{
    filter::Scope,
    flist::entry::EntryRef,
    names::RelName,
    ports::{Rights, Target},
};

/// What the generator and the receiver of one side share.
pub(super) struct DestSide<'a, T, O> {
    pub shared: &'a Shared<'a, O>,
    pub target: &'a T,
    /// The rules of this side, at the transfer root.
    pub scope: Scope,
    pub rights: Rights,
    pub lists: RefCell<Lists>,
    /// Lists freed so far.
    pub freed: Cell<u64>,
    /// The one file takes this name at the destination.
    pub single_name: Option<Vec<u8>>,
    /// The destination directory does not exist (dry run): everything below it is new.
    pub missing_root: bool,
    /// The destination directory was made by this run and not itemized yet.
    pub created_root: Cell<bool>,
    pub delayed: Delayed,
}

impl<'a, T: Target, O> DestSide<'a, T, O> {
    /// The side behind an entered destination, with the lists that are known so far.
    pub(super) fn new(
        shared: &'a Shared<'a, O>,
        entered: &'a Entered<T>,
        scope: Scope,
        lists: Lists,
    ) -> Self {
        Self {
            shared,
            target: &entered.target,
            scope,
            rights: entered.target.rights(),
            lists: RefCell::new(lists),
            freed: Cell::new(0),
            single_name: entered.single_name.clone(),
            missing_root: entered.missing_root,
            created_root: Cell::new(entered.created_root),
            delayed: Delayed::new(shared.options),
        }
    }
}

impl<T, O> DestSide<'_, T, O> {
    /// The name at the destination.
    pub(super) fn local_name<'n>(&'n self, entry: EntryRef<'n>) -> RelName<'n> {
        self.single_name.as_deref().and_then(RelName::new).unwrap_or_else(|| entry.rel_name())
    }
}
