//! The order of a file list, which is also its numbering, and what happens to equal names
//! (spec: sorting, duplicates, indexes).

use alloc::vec::Vec;
use core::cmp::Ordering;

pub use super::compare::compare;
use super::entry::{Entry, EntryFlags, FileList};
use crate::version::ProtocolVersion;

fn compare_entries(list: &FileList, a: &Entry, b: &Entry, protocol: ProtocolVersion) -> Ordering {
    if protocol.has_dir_slash_order() {
        compare(list.name(a), a.is_dir(), list.name(b), b.is_dir())
    } else {
        list.name(a).cmp(list.name(b))
    }
}

/// Sorts a list into transfer order; entries of equal name keep their order of transmission.
pub fn sort(list: &mut FileList, protocol: ProtocolVersion) {
    let mut entries = core::mem::take(&mut list.entries);
    if !entries.is_sorted_by(|a, b| compare_entries(list, a, b, protocol) != Ordering::Greater) {
        entries.sort_by(|a, b| compare_entries(list, a, b, protocol));
    }
    list.entries = entries;
}

/// Clears what the receiving side drops: later entries of a name, and a file that has a directory's name.
/// The slots stay. `dropped` is told each position.
pub fn clear_duplicates(
    list: &mut FileList,
    protocol: ProtocolVersion,
    mut dropped: impl FnMut(&FileList, usize),
) {
    let mut drops: Vec<usize> = Vec::new();
    let mut prev: Option<usize> = None;
    for i in 0..list.len() {
        let Some(entry) = list.entries.get(i).copied() else { break };
        if !entry.is_active() {
            continue;
        }
        let same = prev.and_then(|p| list.entries.get(p).map(|e| (p, *e))).filter(|(_, e)| {
            list.name(e) == list.name(&entry)
                && (e.is_dir() == entry.is_dir() || !protocol.has_dir_slash_order())
        });
        if let Some((p, kept)) = same {
            let keep_new = entry.is_dir() && !kept.is_dir();
            if kept.is_dir() && entry.is_dir() {
                merge_dir_flags(list, p, entry.flags);
            }
            if keep_new {
                drops.push(p);
                prev = Some(i);
            } else {
                drops.push(i);
            }
            continue;
        }
        prev = Some(i);
    }
    if protocol.has_dir_slash_order() {
        // A directory displaces a file of the same name, which sorts elsewhere.
        for i in 0..list.len() {
            let Some(dir) = list.entries.get(i).filter(|e| e.is_dir() && e.is_active()).copied() else {
                continue;
            };
            let name = list.name(&dir);
            if name == b"." {
                continue;
            }
            if let Ok(found) =
                list.entries.binary_search_by(|e| compare(list.name(e), e.is_dir(), name, false))
            {
                let first = (0..=found).rev().take_while(|&k| {
                    list.entries.get(k).is_some_and(|e| !e.is_dir() && list.name(e) == name)
                });
                drops.extend(first);
            }
        }
    }
    drops.sort_unstable();
    drops.dedup();
    for i in drops {
        if let Some(e) = list.entries.get_mut(i) {
            e.flags |= EntryFlags::CLEARED;
        }
        dropped(list, i);
    }
}

/// Two directories of one name: content and top are joined, "implied" stays only if both are.
fn merge_dir_flags(list: &mut FileList, position: usize, other: EntryFlags) {
    if let Some(e) = list.entries.get_mut(position) {
        e.flags |= other & (EntryFlags::CONTENT_DIR | EntryFlags::TOP_DIR);
        if !other.contains(EntryFlags::IMPLIED_DIR) {
            e.flags.remove(EntryFlags::IMPLIED_DIR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::entry::NewEntry, *};
    use std::string::String;

    fn list(names: &[&str]) -> FileList {
        let mut l = FileList::new();
        for n in names {
            let (name, mode) = n.strip_suffix('/').map_or((*n, 0o100_644), |d| (d, 0o040_755));
            l.push(&NewEntry { name: name.as_bytes(), mode, ..NewEntry::default() });
        }
        l
    }

    fn sorted(names: &[&str], version: u8) -> Vec<String> {
        let mut l = list(names);
        sort(&mut l, ProtocolVersion::new(version).unwrap());
        (0..l.len()).map(|i| String::from_utf8(l.get(i).unwrap().name().to_vec()).unwrap()).collect()
    }

    #[test]
    fn order_as_observed() {
        let names = ["d1/f1", "empty/", "lnk", "d1/sub/g", "./", "a.txt", "d1/", "hard1", "d1/sub/", "fifo1"];
        let want = [".", "a.txt", "fifo1", "hard1", "lnk", "d1", "d1/f1", "d1/sub", "d1/sub/g", "empty"];
        assert_eq!(sorted(&names, 32), want);
        assert_eq!(sorted(&["foo/", "foo-bar/", "foo.x"], 29), ["foo.x", "foo-bar", "foo"]);
        assert_eq!(sorted(&["foo-bar", "foo"], 29), ["foo", "foo-bar"]);
        assert_eq!(sorted(&["foo/", "foo-bar/", "b"], 28), ["b", "foo", "foo-bar"]);
    }

    #[test]
    fn the_first_of_equal_names_stays_and_directories_win() {
        let v = ProtocolVersion::MAX;
        let mut l = list(&["./", "x", "a", "d/", "d/p", "./", "x", "zz", "d/", "d/q", "d/p", "x/"]);
        sort(&mut l, v);
        clear_duplicates(&mut l, v, |_, _| ());
        let active: Vec<_> = l.entries.iter().filter(|e| e.is_active()).map(|e| l.name(e)).collect();
        assert_eq!(active, [&b"."[..], b"a", b"zz", b"d", b"d/p", b"d/q", b"x"]);
    }
}
