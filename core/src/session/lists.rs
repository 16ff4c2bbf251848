//! The file lists of a session and their numbering, incremental recursion included
//! (spec: index bases, incremental recursion).

use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::cell::{Cell, RefCell};

use crate::{
    error::ProtocolError,
    flist::entry::{EntryFlags, EntryRef, FileList, NewEntry},
    names::below,
    ports::Source,
    wire::ndx::NDX_FLIST_OFFSET,
};

/// How many directories ahead are announced to those who read them.
const UPCOMING: usize = 48;

/// What the index of an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Numbering {
    /// Places in the sorted list.
    #[default]
    Sorted,
    /// Places in the order of transmission: names sort differently on both sides where they are converted.
    Transmitted,
}

/// One list with its first index. The entries do not change any more; marks on them do.
#[derive(Debug)]
pub struct Segment {
    /// The entries in the order in which they are handled.
    pub list: FileList,
    /// Position of each entry by its place in the order of transmission, where that is what indexes count.
    positions: Option<Vec<u32>>,
    /// Index of the first entry.
    pub start: i32,
    /// Entries of all lists before this one.
    pub before: u64,
    /// Number of the directory whose contents these are; `None` for the first list.
    pub dir: Option<u32>,
    /// Number of the list's first directory; its directories are numbered in a row.
    pub first_dir: u32,
    /// How many directories it holds.
    pub dir_count: u32,
    marks: RefCell<Vec<EntryFlags>>,
    /// Transfers that were requested and are not over.
    pub in_progress: Cell<u32>,
    /// Transfers that wait to be requested again.
    pub to_redo: Cell<u32>,
    /// The generator is through with it.
    pub generated: Cell<bool>,
    /// Error bits that came with it, until the generator has taken note of them.
    pub errors: Cell<u32>,
}

impl Segment {
    /// The entry with index `ndx`, if it is in this list.
    pub fn get(&self, ndx: i32) -> Option<EntryRef<'_>> {
        self.position(ndx).and_then(|i| self.list.get(i))
    }
    /// The generator is through with it and waits for nothing of it.
    pub fn is_settled(&self) -> bool {
        self.generated.get() && self.in_progress.get() == 0 && self.to_redo.get() == 0
    }
    /// The place of an index among the entries of all lists.
    pub fn place(&self, ndx: i32) -> u64 {
        self.before + u64::try_from(ndx - self.start).unwrap_or(0)
    }
    /// The position of an index in the order in which entries are handled.
    pub fn position(&self, ndx: i32) -> Option<usize> {
        let place = usize::try_from(ndx - self.start).ok()?;
        match &self.positions {
            Some(positions) => positions.get(place).map(|p| *p as usize),
            None => Some(place),
        }
    }
    /// The index of the entry at a position.
    #[allow(clippy::cast_possible_truncation, reason = "a list ends below 2^31")]
    pub fn ndx_at(&self, position: usize) -> i32 {
        let place = match (&self.positions, self.list.entries.get(position)) {
            (Some(_), Some(entry)) => entry.place as usize,
            _ => position,
        };
        self.start + place as i32
    }
    /// The turn of an index: it grows in the order in which entries are handled, through all lists.
    #[allow(clippy::cast_possible_truncation, reason = "a list ends below 2^31")]
    pub fn turn(&self, ndx: i32) -> i32 {
        self.position(ndx).map_or(ndx, |position| self.start + position as i32)
    }
    /// Index behind the last entry.
    #[allow(clippy::cast_possible_truncation, reason = "a list ends below 2^31")]
    pub fn end(&self) -> i32 {
        self.start + self.list.len() as i32
    }
    /// Marks of the entry with index `ndx`.
    pub fn marks(&self, ndx: i32) -> EntryFlags {
        let position = usize::try_from(ndx - self.start).unwrap_or(usize::MAX);
        self.marks.borrow().get(position).copied().unwrap_or_default()
    }
    /// Adds a mark.
    pub fn mark(&self, ndx: i32, flag: EntryFlags) {
        let mut marks = self.marks.borrow_mut();
        if marks.is_empty() {
            marks.resize(self.list.len(), EntryFlags::empty());
        }
        if let Some(m) = usize::try_from(ndx - self.start).ok().and_then(|i| marks.get_mut(i)) {
            *m |= flag;
        }
    }
}

/// A directory of some list, kept until the end.
#[derive(Debug, Clone)]
pub struct DirRecord {
    list: Rc<FileList>,
    position: u32,
    /// A list for it came or was sent.
    pub listed: bool,
    /// Index of the entry in its own list.
    pub ndx: i32,
    announced: Cell<bool>,
}

impl DirRecord {
    /// The directory's entry.
    ///
    /// # Panics
    /// Never: the position was made together with the list.
    pub fn entry(&self) -> EntryRef<'_> {
        self.list.get(self.position as usize).expect("recorded with its list")
    }
}

/// What an index stands for.
#[derive(Debug, Clone)]
pub enum Found {
    /// Entry `ndx` of a list.
    Entry(Rc<Segment>),
    /// The directory whose contents a list holds (index `start - 1`).
    Parent(DirRecord),
}

/// Entries that must lie in lists behind the current one before a sender waits for an index. The reference's receiver
/// stops asking when it runs out of them.
pub const LOOKAHEAD: usize = 1000;

/// All lists that are alive, oldest first, and all directories.
#[derive(Debug, Default)]
pub struct Lists {
    segments: VecDeque<Rc<Segment>>,
    dirs: Vec<DirRecord>,
    next_start: i32,
    /// No further list will come.
    pub complete: bool,
    incremental: bool,
    numbering: Numbering,
    /// Numbers of the directories in the order in which they are handled, where that is not the order of their numbers.
    dirs_in_turn: Vec<u32>,
    /// Entries of all lists, freed ones included.
    pub total: u64,
}

#[allow(clippy::cast_possible_truncation, reason = "a list ends below 2^31")]
impl Lists {
    /// No lists yet.
    pub fn new(incremental: bool, numbering: Numbering) -> Self {
        Self { incremental, numbering, next_start: i32::from(incremental), ..Self::default() }
    }

    /// Index that the first entry of the next list will have.
    pub const fn next_start(&self) -> i32 {
        self.next_start
    }

    /// Adds a sorted list. `dir`: whose contents it holds.
    pub fn push(&mut self, list: FileList, dir: Option<u32>) -> Rc<Segment> {
        let first_dir = self.dirs.len() as u32;
        let start = self.next_start;
        let transmitted = self.numbering == Numbering::Transmitted;
        if self.incremental {
            let mut copies = FileList::new();
            let mut places = Vec::new();
            for (i, e) in list.entries.iter().enumerate().filter(|(_, e)| e.is_dir()) {
                places.push(if transmitted { e.place } else { i as u32 });
                let extra = list.extra(e);
                let copy = copies.push(&NewEntry {
                    name: list.name(e),
                    size: e.size,
                    mtime: e.mtime,
                    nsec: e.nsec,
                    mode: e.mode,
                    uid: e.uid,
                    gid: e.gid,
                    flags: e.flags,
                    base: e.base,
                });
                if (extra.acl, extra.default_acl, extra.xattrs, extra.original) != (0, 0, 0, None) {
                    let kept = copies.extra_mut(copy);
                    (kept.acl, kept.default_acl) = (extra.acl, extra.default_acl);
                    (kept.xattrs, kept.original) = (extra.xattrs, extra.original);
                }
            }
            let copies = Rc::new(copies);
            // In the order of their numbers; without conversion that is the order of the list.
            let mut numbered: Vec<u32> = (0..places.len() as u32).collect();
            numbered.sort_by_key(|&i| places.get(i as usize));
            for &position in &numbered {
                let place = places.get(position as usize).copied().unwrap_or_default();
                self.dirs.push(DirRecord {
                    list: copies.clone(),
                    position,
                    listed: false,
                    ndx: start + place as i32,
                    announced: Cell::new(false),
                });
            }
            if transmitted {
                self.dirs_in_turn.resize(self.dirs.len(), 0);
                for (number, &position) in (first_dir..).zip(&numbered) {
                    if let Some(slot) = self.dirs_in_turn.get_mut((first_dir + position) as usize) {
                        *slot = number;
                    }
                }
            }
        }
        let positions = transmitted.then(|| {
            let mut positions: Vec<u32> = (0..list.len() as u32).collect();
            positions.sort_by_key(|&i| list.entries.get(i as usize).map(|e| e.place));
            positions
        });
        let segment = Rc::new(Segment {
            start,
            before: self.total,
            dir,
            first_dir,
            dir_count: self.dirs.len() as u32 - first_dir,
            marks: RefCell::new(Vec::new()),
            in_progress: Cell::new(0),
            to_redo: Cell::new(0),
            generated: Cell::new(false),
            errors: Cell::new(0),
            positions,
            list,
        });
        self.total += segment.list.len() as u64;
        self.next_start = segment.end() + i32::from(self.incremental);
        self.segments.push_back(segment.clone());
        segment
    }

    /// Checks an announcement `-101 - dir` and notes that the list of that directory is there.
    pub fn announce(&mut self, ndx: i32) -> Result<u32, ProtocolError> {
        let count = self.dirs.len() as u32;
        if !self.incremental || self.complete || self.segments.is_empty() {
            return Err(ProtocolError::UnexpectedList { got: ndx });
        }
        let dir = i64::from(NDX_FLIST_OFFSET) - i64::from(ndx);
        let record = usize::try_from(dir)
            .ok()
            .and_then(|d| self.dirs.get_mut(d))
            .ok_or(ProtocolError::BadDirNdx { got: dir as i32, count })?;
        if !record.entry().entry.is_active() {
            return Err(ProtocolError::ClearedDir(dir as u32));
        }
        if core::mem::replace(&mut record.listed, true) {
            return Err(ProtocolError::DuplicateList(dir as u32));
        }
        Ok(dir as u32)
    }

    /// Number of directories known.
    pub fn dir_count(&self) -> u32 {
        self.dirs.len() as u32
    }

    /// A directory by its number.
    pub fn dir(&self, number: u32) -> Option<&DirRecord> {
        self.dirs.get(number as usize)
    }

    /// The number of the directory of which index `ndx` stands in front of its list; of one list it is the index.
    pub fn dir_number(&self, ndx: i32) -> i32 {
        if !self.incremental {
            return ndx;
        }
        let after = self.segments.partition_point(|s| s.start <= ndx);
        self.segments.get(after).and_then(|s| s.dir).map_or(0, |dir| dir as i32)
    }

    /// The number of the directory that is number `turn` in the order in which they are handled.
    pub fn dir_in_turn(&self, turn: u32) -> Option<u32> {
        match self.numbering {
            Numbering::Sorted => (turn < self.dir_count()).then_some(turn),
            Numbering::Transmitted => self.dirs_in_turn.get(turn as usize).copied(),
        }
    }

    /// The next directories of `pending` (ranges of turns, the last one first), in their order, for whoever puts them in
    /// front of all that this has returned before; none where that changes little.
    pub fn upcoming(&self, pending: &[(u32, u32)]) -> Vec<DirRecord> {
        let dirs = || {
            let turns = pending.iter().rev().flat_map(|&(next, end)| next..end).take(UPCOMING);
            let dirs = turns.filter_map(|turn| self.dir_in_turn(turn).and_then(|number| self.dir(number)));
            dirs.filter(|d| !d.entry().is_root())
        };
        let (mut all, mut fresh, mut first) = (0, 0, 0);
        for dir in dirs() {
            first += usize::from(fresh == all && !dir.announced.get());
            fresh += usize::from(!dir.announced.get());
            all += 1;
        }
        let count = match first {
            // Behind what was announced already, which therefore comes along: not for each single one.
            0 if fresh >= UPCOMING / 2 || all < UPCOMING && fresh > 0 => all,
            _ => first,
        };
        dirs().take(count).inspect(|d| d.announced.set(true)).cloned().collect()
    }

    /// What an index stands for.
    pub fn find(&self, ndx: i32) -> Result<Found, ProtocolError> {
        let bad = || ProtocolError::BadNdx {
            got: ndx,
            first: self.segments.front().map_or(0, |s| s.start - i32::from(self.incremental)),
            last: self.segments.back().map_or(-1, |s| s.end() - 1),
        };
        let after = self.segments.partition_point(|s| s.start <= ndx);
        if let Some(segment) = after.checked_sub(1).and_then(|i| self.segments.get(i))
            && ndx < segment.end()
        {
            return Ok(Found::Entry(segment.clone()));
        }
        let next = self.segments.get(after).filter(|s| self.incremental && s.start - 1 == ndx);
        match next {
            Some(segment) => {
                let dir = match segment.dir {
                    Some(d) => self.dirs.get(d as usize),
                    // The first list: index 0 is its `.` entry, if it begins with one.
                    None => self
                        .dir_in_turn(0)
                        .and_then(|number| self.dir(number))
                        .filter(|d| d.entry().is_root()),
                };
                dir.cloned().map(Found::Parent).ok_or_else(bad)
            }
            None => Err(bad()),
        }
    }

    /// The oldest list.
    pub fn oldest(&self) -> Option<Rc<Segment>> {
        self.segments.front().cloned()
    }

    /// Number of lists alive.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// No list is alive.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// List number `i` of those alive, oldest first.
    pub fn get(&self, i: usize) -> Option<Rc<Segment>> {
        self.segments.get(i).cloned()
    }

    /// The list that starts first behind `start`.
    pub fn after(&self, start: i32) -> Option<Rc<Segment>> {
        let i = self.segments.partition_point(|s| s.start <= start);
        self.segments.get(i).cloned()
    }

    /// Frees the oldest list.
    pub fn free_oldest(&mut self) -> Option<Rc<Segment>> {
        self.segments.pop_front()
    }

    /// Entries in lists that start behind `ndx`'s list.
    pub fn ahead_of(&self, ndx: i32) -> usize {
        self.segments.iter().rev().take_while(|s| s.start > ndx).map(|s| s.list.len()).sum()
    }

    /// What a receiver knows of when its sender takes on a file of the list that starts here: so many entries, and whether
    /// they are all.
    pub fn known_at(&self, start: i32) -> (u64, bool) {
        let mut behind = 0;
        let current = self.segments.partition_point(|s| s.start < start);
        for (n, segment) in self.segments.iter().enumerate().skip(current) {
            if n > current {
                behind += segment.list.len();
            }
            if behind >= LOOKAHEAD {
                let all = self.complete && n + 1 == self.segments.len();
                return (segment.before + segment.list.len() as u64, all);
            }
        }
        (self.total, self.complete)
    }
}

/// Tells the source which directories will be read soon.
pub(super) fn announce_reads<S: Source>(source: &S, dirs: &[DirRecord]) {
    // Each call puts its directories in front.
    for same in dirs.chunk_by(|a, b| a.entry().entry.base == b.entry().entry.base).rev() {
        if let Some(first) = same.first() {
            let mut names = same.iter().map(|d| below(d.entry().name()));
            source.will_read(first.entry().entry.base, &mut names);
        }
    }
}

/// The next directory to list, depth first, with those of the same name that follow it.
pub(super) fn next_directory(pending: &mut Vec<(u32, u32)>, lists: &Lists) -> Option<(u32, Vec<DirRecord>)> {
    let number = loop {
        let top = pending.last_mut()?;
        if top.0 >= top.1 {
            pending.pop();
            continue;
        }
        let number = lists.dir_in_turn(top.0)?;
        top.0 += 1;
        if lists.dir(number).is_some_and(|d| !d.entry().is_root()) {
            break number;
        }
    };
    let first = lists.dir(number)?.clone();
    let mut same = Vec::from([first.clone()]);
    while let Some(top) = pending.last_mut() {
        let next = lists.dir_in_turn(top.0).filter(|_| top.0 < top.1).and_then(|number| lists.dir(number));
        let Some(twin) = next.filter(|d| d.entry().name() == first.entry().name()) else { break };
        same.push(twin.clone());
        top.0 += 1;
    }
    Some((number, same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flist::order, version::ProtocolVersion};

    /// A list in the order of transmission, then sorted.
    fn list(names: &[&str]) -> FileList {
        let mut list = FileList::new();
        for name in names {
            let (name, mode) = name.strip_suffix('/').map_or((*name, 0o100_644), |dir| (dir, 0o040_755));
            list.push(&NewEntry { name: name.as_bytes(), mode, ..NewEntry::default() });
        }
        order::sort(&mut list, ProtocolVersion::MAX);
        list
    }

    #[test]
    fn indexes_count_places_of_the_order_that_both_sides_have() {
        for (numbering, indexes) in
            [(Numbering::Sorted, [1, 2, 3, 4, 5]), (Numbering::Transmitted, [2, 5, 1, 4, 3])]
        {
            let mut lists = Lists::new(true, numbering);
            // Handled as: . a c b d
            let segment = lists.push(list(&["c", "./", "d/", "b/", "a"]), None);
            let found: Vec<i32> = (0..5).map(|position| segment.ndx_at(position)).collect();
            assert_eq!(found, indexes);
            for (position, ndx) in indexes.into_iter().enumerate() {
                assert_eq!(segment.position(ndx), Some(position));
                assert_eq!(segment.get(ndx).unwrap().name(), [&b"."[..], b"a", b"c", b"b", b"d"][position]);
                assert_eq!(usize::try_from(segment.turn(ndx)).unwrap(), 1 + position);
            }
        }
    }

    #[test]
    fn directories_have_the_numbers_of_transmission_and_are_handled_in_order() {
        let mut lists = Lists::new(true, Numbering::Transmitted);
        lists.push(list(&["c", "./", "d/", "b/", "a"]), None);
        let name = |number: u32| lists.dir(number).map(|d| d.entry().name().to_vec()).unwrap();
        assert_eq!([name(0), name(1), name(2)], [b".".to_vec(), b"d".to_vec(), b"b".to_vec()]);
        let turns: Vec<_> = (0..4).map(|turn| lists.dir_in_turn(turn)).collect();
        assert_eq!(turns, [Some(0), Some(2), Some(1), None]);
        assert!(matches!(lists.find(0), Ok(Found::Parent(dir)) if dir.entry().name() == b"."));
        let dir = lists.announce(NDX_FLIST_OFFSET - 2).unwrap();
        let segment = lists.push(list(&["b/y", "b/x"]), Some(dir));
        assert_eq!((segment.start, segment.ndx_at(0), segment.ndx_at(1)), (7, 8, 7));
        assert!(matches!(lists.find(6), Ok(Found::Parent(dir)) if dir.entry().name() == b"b"));
    }

    #[test]
    fn a_dropped_directory_gets_no_list() {
        let mut lists = Lists::new(true, Numbering::Transmitted);
        let mut dropped = list(&["x/"]);
        dropped.entries[0].flags |= EntryFlags::CLEARED;
        lists.push(dropped, None);
        assert_eq!(lists.announce(NDX_FLIST_OFFSET), Err(ProtocolError::ClearedDir(0)));
    }

    #[test]
    fn directories_are_announced_in_their_order_and_now_and_then() {
        let mut lists = Lists::new(true, Numbering::Sorted);
        let names: Vec<_> = (0..100).map(|n| alloc::format!("d{n:02}/")).collect();
        let first = lists.push(list(&names.iter().map(|n| &**n).collect::<Vec<_>>()), None);
        let mut pending = Vec::from([(first.first_dir, first.first_dir + first.dir_count)]);
        let announced = |lists: &Lists, pending: &[(u32, u32)]| -> Option<(usize, Vec<u8>, Vec<u8>)> {
            let dirs = lists.upcoming(pending);
            let name = |d: Option<&DirRecord>| Some(d?.entry().name().to_vec());
            Some((dirs.len(), name(dirs.first())?, name(dirs.last())?))
        };
        assert_eq!(announced(&lists, &pending), Some((48, b"d00".to_vec(), b"d47".to_vec())));
        assert_eq!(announced(&lists, &pending), None);
        // Half of them are still in front of those that come to them.
        pending[0].0 += 23;
        assert_eq!(announced(&lists, &pending), None);
        pending[0].0 += 1;
        assert_eq!(announced(&lists, &pending), Some((48, b"d24".to_vec(), b"d71".to_vec())));
        // What is in front of all comes at once.
        let below = lists.push(list(&["d23/x/", "d23/y/", "d23/f"]), Some(23));
        pending.push((below.first_dir, below.first_dir + below.dir_count));
        assert_eq!(announced(&lists, &pending), Some((2, b"d23/x".to_vec(), b"d23/y".to_vec())));
        pending.pop();
        // The last ones are not waited for.
        pending[0].0 = first.first_dir + 60;
        assert_eq!(announced(&lists, &pending), Some((40, b"d60".to_vec(), b"d99".to_vec())));
        assert_eq!(announced(&lists, &pending), None);
    }
}
