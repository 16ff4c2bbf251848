//! The lines that stand for items where these do not travel (below protocol 29).

use alloc::vec::Vec;

use crate::{flist::entry::EntryRef, item::ItemFlags, names::RelName, options::SessionOptions};

/// The line with the name of something that changed, as it is at the destination, where items do not travel (below
/// protocol 29).
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
