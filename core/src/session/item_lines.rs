//! How items are shown: what an observer gets of them, and the lines that stand for them where they do not travel
//! (below protocol 29).

use alloc::vec::Vec;

use super::goodbye::ItemHeader;
use crate::{
    flist::entry::{EntryRef, mode},
    item::{BasisType, ItemFlags},
    names::{RelName, below},
    options::SessionOptions,
    ports::ItemEvent,
};

impl<'a> ItemEvent<'a> {
    /// An item of a file list, without data.
    pub(crate) fn of(entry: EntryRef<'a>, flags: ItemFlags) -> Self {
        Self {
            entry: Some(entry),
            name: below(entry.name()),
            flags,
            link: None,
            basis: BasisType::Name,
            transfer: None,
            kind: entry.entry.kind(),
            perms: entry.entry.mode & mode::PERMS,
        }
    }

    /// The same with what travelled about it. A name is that of a link's target only where something was made.
    pub(crate) fn of_header(entry: EntryRef<'a>, header: &'a ItemHeader) -> Self {
        let made = header.flags.contains(ItemFlags::LOCAL_CHANGE);
        let link = header.xname.as_deref().filter(|_| made);
        Self { link, basis: header.basis, ..Self::of(entry, header.flags) }
    }
}

/// The line with the name of something that changed, as it is at the destination.
pub(super) fn name_line(name: RelName<'_>, entry: EntryRef<'_>, link: Option<&[u8]>) -> Vec<u8> {
    let name = name.bytes();
    let link = link.filter(|link| !link.is_empty());
    match (entry.entry.is_dir(), link, entry.link_target()) {
        (true, ..) => [name, b"/\n"].concat(),
        (false, Some(link), _) => [name, b" => ", link, b"\n"].concat(),
        (false, None, b"") => [name, b"\n"].concat(),
        (false, None, target) => [name, b" -> ", target, b"\n"].concat(),
    }
}

/// Whether such a line is due: it tells of what was made, and of directories whose attributes were set.
pub(super) fn is_worth_a_line(entry: EntryRef<'_>, flags: ItemFlags, options: &SessionOptions) -> bool {
    let told =
        if entry.entry.is_dir() { flags.is_significant() } else { flags.contains(ItemFlags::LOCAL_CHANGE) };
    options.report.names && told
}
