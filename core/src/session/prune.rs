//! `--prune-empty-dirs`: chains of directories without files are dropped on the receiving side.

use alloc::vec::Vec;

use crate::{
    filter::{Perishable, Scope},
    flist::entry::{Entry, EntryFlags, FileList},
};

/// Clears directories below which there is nothing but directories. A directory that the receiver's rules
/// exclude stays, with those above it. The root is never pruned. The list must be sorted.
///
/// As in the reference, whatever is no directory counts as a file in the directory before it: also a name whose own directory
/// is not in the list, and a duplicate that was cleared, unless nothing follows it.
pub(super) fn prune_empty_dirs(list: &mut FileList, scope: &Scope) {
    let end = list.entries.iter().rposition(Entry::is_active).map_or(0, |last| last + 1);
    let mut keep = Vec::from_iter((0..end).map(|_| false));
    // Positions of the directories on the way to the current entry.
    let mut open: Vec<usize> = Vec::new();
    for i in 0..end {
        let Some(entry) = list.get(i) else { continue };
        if !entry.entry.is_active() {
            mark(&mut keep, &open);
            continue;
        }
        let name = entry.name();
        while let Some(&top) = open.last().filter(|_| entry.entry.is_dir()) {
            let inside = list.get(top).is_some_and(|d| {
                d.is_root() || name.strip_prefix(d.name()).is_some_and(|r| r.first() == Some(&b'/'))
            });
            if inside {
                break;
            }
            open.pop();
        }
        let holds = if entry.entry.is_dir() {
            scope.check(name, true, Perishable::Counts).is_excluded()
        } else {
            true
        };
        if holds {
            mark(&mut keep, &open);
            mark(&mut keep, &[i]);
        }
        if entry.entry.is_dir() {
            open.push(i);
        }
    }
    for (i, keep) in keep.into_iter().enumerate() {
        let prune = !keep && list.get(i).is_some_and(|e| e.entry.is_dir() && !e.is_root());
        if let Some(e) = list.entries.get_mut(i).filter(|_| prune) {
            e.flags |= EntryFlags::CLEARED;
        }
    }
}

fn mark(keep: &mut [bool], positions: &[usize]) {
    for &at in positions {
        if let Some(keep) = keep.get_mut(at) {
            *keep = true;
        }
    }
}
