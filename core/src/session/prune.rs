//! `--prune-empty-dirs`: chains of directories without files are dropped on the receiving side.

use alloc::vec::Vec;

use crate::{
    filter::Scope,
    flist::entry::{EntryFlags, FileList},
};

/// Clears directories below which there is nothing but directories. A directory that the receiver's rules
/// exclude stays, with those above it. The root is never pruned. The list must be sorted.
pub(super) fn prune_empty_dirs(list: &mut FileList, scope: &Scope) {
    let mut keep = Vec::from_iter((0..list.len()).map(|_| false));
    // Positions of the directories on the way to the current entry.
    let mut open: Vec<usize> = Vec::new();
    for i in 0..list.len() {
        let Some(entry) = list.get(i).filter(|e| e.entry.is_active()) else { continue };
        let name = entry.name();
        while let Some(&top) = open.last() {
            let inside = list.get(top).is_some_and(|d| {
                d.name() == b"." || name.strip_prefix(d.name()).is_some_and(|r| r.first() == Some(&b'/'))
            });
            if inside {
                break;
            }
            open.pop();
        }
        let holds = if entry.entry.is_dir() { scope.check(name, true, false).is_excluded() } else { true };
        if holds {
            for &dir in &open {
                if let Some(k) = keep.get_mut(dir) {
                    *k = true;
                }
            }
            if let Some(k) = keep.get_mut(i) {
                *k = true;
            }
        }
        if entry.entry.is_dir() {
            open.push(i);
        }
    }
    for (i, keep) in keep.into_iter().enumerate() {
        let prune = !keep && list.get(i).is_some_and(|e| e.entry.is_dir() && e.name() != b".");
        if let Some(e) = list.entries.get_mut(i).filter(|_| prune) {
            e.flags |= EntryFlags::CLEARED;
        }
    }
}
