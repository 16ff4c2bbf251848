//! Tells the destination which names and digests the generator will ask for, a little ahead of it.

use alloc::{rc::Rc, vec::Vec};

use hashbrown::HashSet;

use super::{
    dest_side::DestSide,
    lists::{DirRecord, Segment},
};
use crate::{
    names::RelName,
    options::SessionOptions,
    ports::{ANNOUNCED, Observer, Target},
};

/// Directories made by this run, by their names at the destination.
type Fresh = HashSet<Vec<u8>>;

/// Names of one directory that are announced together.
const TOGETHER: usize = 128;

/// How far announcements are.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// The list of the next entry to announce, and its position there.
    next: Option<(Rc<Segment>, usize)>,
    /// Its place among the entries of all lists.
    place: u64,
}

impl Lookout {
    /// The generator is at this position of this list: announces what comes next.
    pub fn arrive<T: Target, O: Observer>(
        &mut self,
        side: &DestSide<'_, T, O>,
        fresh: &Fresh,
        segment: &Rc<Segment>,
        position: usize,
    ) {
        if side.missing_root || side.single_name.is_some() || !side.target.reads_ahead() {
            return;
        }
        let here = segment.before + position as u64;
        if self.place > here + ANNOUNCED / 2 {
            return;
        }
        let (mut list, mut from) = match self.next.take() {
            Some(next) if self.place >= here => next,
            _ => {
                self.place = here;
                if position == 0 {
                    announce_dir(side, segment);
                }
                (segment.clone(), position)
            }
        };
        loop {
            let room = usize::try_from((here + ANNOUNCED).saturating_sub(self.place)).unwrap_or(0);
            let to = list.list.len().min(from + room);
            announce_names(side, fresh, &list, from, to);
            self.place += (to - from) as u64;
            from = to;
            if from < list.list.len() {
                break;
            }
            let Some(next) = side.lists.borrow().after(list.start) else { break };
            announce_dir(side, &next);
            (list, from) = (next, 0);
        }
        self.next = Some((list, from));
    }
}

/// The directory whose contents are a list.
fn announce_dir<T: Target, O: Observer>(side: &DestSide<'_, T, O>, list: &Segment) {
    let lists = side.lists.borrow();
    if let Some(dir) = list.dir.and_then(|number| lists.dir(number)).map(DirRecord::entry)
        && dir.entry.is_active()
    {
        side.target.will_list(side.local_name(dir));
    }
}

/// Entries of one list, from one position to another: those that are no directories, by their directory. Of directories
/// made by this run nothing will be asked.
fn announce_names<T: Target, O: Observer>(
    side: &DestSide<'_, T, O>,
    fresh: &Fresh,
    list: &Segment,
    from: usize,
    to: usize,
) {
    let in_lists = side.shared.agreed.inc_recurse();
    let digests = wants_digests(side.shared.options);
    let mut names = Vec::with_capacity(TOGETHER.min(to - from));
    let mut files = Vec::new();
    let (mut dir, mut is_fresh): (&[u8], _) = (b"", true);
    for entry in (from..to).filter_map(|i| list.list.get(i)).filter(|e| e.entry.is_active()) {
        let name = side.local_name(entry);
        if entry.entry.is_dir() {
            if !in_lists {
                side.target.will_list(name);
            }
            continue;
        }
        let (parent, base) = name.split();
        let parent = parent.unwrap_or(b".");
        if names.len() == TOGETHER || parent != dir {
            ask(side, dir, &mut names);
            is_fresh = is_within(fresh, name);
            dir = parent;
        }
        if !is_fresh {
            names.push(base);
            if digests && entry.entry.is_regular() {
                files.push((name, entry.entry.size));
            }
        }
    }
    ask(side, dir, &mut names);
    if !files.is_empty() {
        side.target.will_digest(&mut files.into_iter(), side.shared.agreed.list_sum);
    }
}

/// `-c`: reading changes times of access, which are looked at before.
fn wants_digests(options: &SessionOptions) -> bool {
    options.select.checksum && !options.select.ignore_existing && options.preserve.atimes == 0
}

/// A name is in a directory made by this run, or below one.
fn is_within(fresh: &Fresh, mut name: RelName<'_>) -> bool {
    while name != RelName::ROOT {
        name = name.parent();
        if fresh.contains(name.bytes()) {
            return true;
        }
    }
    false
}

fn ask<T: Target, O: Observer>(side: &DestSide<'_, T, O>, dir: &[u8], names: &mut Vec<&[u8]>) {
    if let Some(dir) = RelName::new(dir).filter(|_| !names.is_empty()) {
        side.target.will_ask(dir, names);
    }
    names.clear();
}
