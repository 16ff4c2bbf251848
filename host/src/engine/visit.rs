//! What names of the destination stand for, read ahead of the generator: those that it will ask for, or whole
//! directories where it looks for what to delete.
//!
//! Only facts that cannot change without a call of this process on the same name are given: those about files and
//! symlinks with one link, and that a name is not there, each once. Whoever changes a name drops what is known about it.
//!
//! That names are not there matters in a directory that is being filled: to look one up waits for those who make others.

use alloc::{collections::VecDeque, sync::Arc};
use core::cell::{Cell, RefCell};
use std::{os::fd::OwnedFd, sync::OnceLock};

use arsync_core::{
    names::RelName,
    options::{DeleteWhen, SessionOptions},
    ports::{ANNOUNCED, Child, Stat},
};
use rustix::fs::{AtFlags, OFlags, statat};

use super::{
    ahead::{Ahead, Read, Turn},
    listing::{self, children, cost_of_names},
    to_stat,
    write::Shared,
};

/// Names of which none is there after which the rest of a part is not looked at, and the directory is listed instead.
const ABSENT: usize = 16;
/// The most names that such a directory may have, for the list to be worth it.
const FEW: usize = 4096;
/// Names that are announced before they are asked for, and as many again for what is looked at in parts. What lies behind so
/// many was passed over: nobody asks for names of a directory that this run has made.
const AHEAD: u64 = 2 * ANNOUNCED;

/// What was read ahead of one tree.
#[derive(Debug)]
pub struct Visits {
    ahead: Ahead<u64, Visit>,
    /// Announced and not asked for yet, in order.
    pending: RefCell<VecDeque<Part>>,
    next: Cell<u64>,
    /// Names announced.
    announced: Cell<u64>,
    /// The directory of the last names announced, and what was in it.
    latest: RefCell<(Box<[u8]>, Standing)>,
    current: RefCell<Current>,
    enabled: bool,
    /// Directories are listed when they are gone through, and at no other time.
    listed: bool,
    /// Times of access count, which reading changes.
    atimes: bool,
}

/// What is read in one go: some names of a directory, or all of it.
#[derive(Debug)]
struct Part {
    number: u64,
    dir: Box<[u8]>,
    names: Option<Arc<Names>>,
    /// Names announced up to here, with those of this part.
    upto: u64,
    /// Other names of the directory were changed meanwhile.
    changed: bool,
}

impl Part {
    fn holds(&self, dir: &[u8], base: &[u8]) -> bool {
        *self.dir == *dir && self.names.as_ref().is_none_or(|names| names.find(base, 0).is_some())
    }
}

/// Names in ascending order, in one buffer.
#[derive(Debug, Default)]
struct Names {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    fn new<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        let mut all = Self::default();
        for name in names {
            all.text.extend_from_slice(name);
            all.ends.push(all.text.len());
        }
        all
    }

    const fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, at: usize) -> Option<&[u8]> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..*self.ends.get(at)?)
    }

    /// The position of a name, which is likely this one.
    fn find(&self, name: &[u8], likely: usize) -> Option<usize> {
        if self.get(likely) == Some(name) {
            return Some(likely);
        }
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.get(middle)?.cmp(name) {
                core::cmp::Ordering::Less => from = middle + 1,
                core::cmp::Ordering::Greater => to = middle,
                core::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

/// All names of a directory at a certain moment, once somebody has listed them; `None`: too many, or an error.
type Standing = Arc<OnceLock<Option<Arc<Names>>>>;

/// What was found: a whole directory where that was wanted, and what is sure about names.
#[derive(Debug, Default)]
struct Visit {
    children: Vec<Child>,
    names: Arc<Names>,
    facts: Vec<Option<Stat>>,
    /// All names that were there.
    standing: Option<Arc<Names>>,
}

/// The directory in which the generator is, as far as it is known.
#[derive(Debug, Default)]
struct Current {
    dir: Box<[u8]>,
    names: Arc<Names>,
    facts: Vec<Option<Stat>>,
    /// The position behind the last name asked for.
    next: usize,
    /// All names that were there before.
    standing: Option<Arc<Names>>,
    /// Of the names from here on, those that were not there still are not.
    from: Vec<u8>,
}

/// What is known about a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known {
    /// It is there.
    There(Stat),
    /// It is not.
    Absent,
}

impl Current {
    /// Names are asked for from `first` on.
    fn new(dir: &[u8], visit: Visit, first: &[u8]) -> Self {
        let Visit { names, facts, standing, .. } = visit;
        Self { dir: dir.into(), names, facts, next: 0, standing, from: first.to_vec() }
    }

    /// Goes on with names of the same directory, or another one.
    fn go_on(&mut self, dir: &[u8], visit: Visit, first: &[u8]) {
        let from = if *self.dir == *dir { core::mem::take(&mut self.from) } else { Vec::new() };
        *self = Self::new(dir, visit, first.max(&from));
    }

    /// What is known about a name, once; outer `None`: nothing was asked about it.
    fn take(&mut self, dir: &[u8], base: &[u8]) -> Option<Option<Known>> {
        if *self.dir != *dir {
            return None;
        }
        let asked = self.names.find(base, self.next);
        let fact = asked.and_then(|at| {
            self.next = at + 1;
            self.facts.get_mut(at).and_then(Option::take)
        });
        let stood = |standing: &Arc<Names>| standing.find(base, 0).is_some();
        let absent = *self.from <= *base && self.standing.as_ref().is_some_and(|standing| !stood(standing));
        if absent {
            // The smallest name behind this one.
            self.from.clear();
            self.from.extend_from_slice(base);
            self.from.push(0);
        }
        match fact {
            Some(stat) => Some(Some(Known::There(stat))),
            None if absent => Some(Some(Known::Absent)),
            None => asked.map(|_| None),
        }
    }
}

impl Visits {
    /// For a session with these options. Nothing is known where names stand for other files than their own, or
    /// where files move.
    pub fn new(options: &SessionOptions) -> Self {
        let enabled = !options.transfer.backup
            && !options.preserve.fake_super
            && !options.select.keeps_links_in_paths()
            && !options.list_only;
        let listed =
            matches!(options.delete.when, Some(DeleteWhen::Default | DeleteWhen::During | DeleteWhen::Delay));
        Self {
            ahead: Ahead::new(),
            pending: RefCell::default(),
            next: Cell::default(),
            announced: Cell::default(),
            latest: RefCell::default(),
            current: RefCell::default(),
            enabled,
            listed: enabled && listed,
            atimes: options.preserve.atimes > 0,
        }
    }

    /// Announcements are of use.
    pub fn are_useful(&self) -> bool {
        self.enabled && self.ahead.is_useful()
    }

    /// Has a directory read that will be gone through soon, where directories are listed.
    pub fn announce_dir(&self, shared: &Arc<Shared>, dir: RelName<'_>) {
        if self.listed && self.are_useful() {
            let (shared, name) = (shared.clone(), Box::<[u8]>::from(dir.bytes()));
            self.announce(dir, None, listing::TOGETHER, move || read(&shared, &name));
        }
    }

    /// Has names of a directory looked at that will be asked for soon, where directories are not listed anyway.
    pub fn announce_names(&self, shared: &Arc<Shared>, dir: RelName<'_>, names: &[&[u8]]) {
        if self.listed || !self.are_useful() {
            return;
        }
        // Of equal type, the lists hold them in this order; what is not is looked at in several parts.
        for names in names.chunk_by(|a, b| a < b) {
            let names = Arc::new(Names::new(names.iter().copied()));
            let (shared, name, asked) = (shared.clone(), Box::<[u8]>::from(dir.bytes()), names.clone());
            let (count, standing) = (names.len() as u64, self.standing(dir));
            self.announce(dir, Some(names), count, move || look(&shared, &name, asked, &standing));
        }
    }

    /// What is in a directory: the same for all names of it that are announced one after the other.
    fn standing(&self, dir: RelName<'_>) -> Standing {
        let mut latest = self.latest.borrow_mut();
        if *latest.0 != *dir.bytes() {
            *latest = (dir.bytes().into(), Standing::default());
        }
        latest.1.clone()
    }

    fn announce(
        &self,
        dir: RelName<'_>,
        names: Option<Arc<Names>>,
        count: u64,
        run: impl FnOnce() -> Option<Visit> + Send + 'static,
    ) {
        let number = self.next.get();
        self.next.set(number + 1);
        let upto = self.announced.get() + names.as_ref().map_or(1, |names| names.len() as u64);
        self.announced.set(upto);
        let mut pending = self.pending.borrow_mut();
        pending.push_back(Part { number, dir: dir.bytes().into(), names, upto, changed: false });
        while let Some(passed) = pending.pop_front_if(|part| part.upto + AHEAD < upto) {
            self.ahead.drop_until(&passed.number);
        }
        let cost = cost_of_names(count);
        self.ahead.announce(Turn::Last, core::iter::once((number, Read::costing(cost, Box::new(run) as _))));
    }

    /// The first part for which this holds, and what was found; parts before it are passed over.
    fn take(&self, is_wanted: impl Fn(&Part) -> bool) -> Option<(Part, Option<Visit>)> {
        let mut pending = self.pending.borrow_mut();
        let at = pending.iter().position(is_wanted)?;
        let part = pending.drain(..=at).next_back()?;
        let mut visit = self.ahead.take(&part.number);
        if let Some(visit) = visit.as_mut().filter(|_| part.changed) {
            visit.standing = None;
        }
        Some((part, visit))
    }

    /// What is known about a name; about the root nothing.
    pub fn stat(&self, name: RelName<'_>) -> Option<Known> {
        if !self.enabled || name == RelName::ROOT {
            return None;
        }
        let (dir, base) = name.split();
        let dir = dir.unwrap_or(b".");
        let mut current = self.current.borrow_mut();
        if let Some(known) = current.take(dir, base) {
            return known;
        }
        let (part, visit) = self.take(|part| part.holds(dir, base))?;
        let unknown = || Visit { names: part.names.unwrap_or_default(), ..Visit::default() };
        current.go_on(dir, visit.unwrap_or_else(unknown), base);
        current.take(dir, base).flatten()
    }

    /// The children of a directory that was read ahead.
    pub fn list(&self, dir: RelName<'_>) -> Option<Vec<Child>> {
        if !self.listed || !self.ahead.is_useful() {
            return None;
        }
        let (_, visit) = self.take(|part| *part.dir == *dir.bytes())?;
        let mut visit = visit?;
        let children = core::mem::take(&mut visit.children);
        *self.current.borrow_mut() = Current::new(dir.bytes(), visit, b"");
        Some(children)
    }

    /// A directory was read just now.
    pub fn visited(&self, dir: RelName<'_>, children: &[Child]) {
        let mut current = self.current.borrow_mut();
        if self.listed && *current.dir != *dir.bytes() {
            *current = Current::new(dir.bytes(), sure(children), b"");
        }
    }

    /// A symlink or a file is about to be read, which shows in its time of access.
    pub fn reads(&self, name: RelName<'_>) {
        if self.atimes {
            self.forget(name);
        }
    }

    /// A name is about to be changed.
    pub fn forget(&self, name: RelName<'_>) {
        if !self.enabled {
            return;
        }
        let (dir, base) = name.split();
        let dir = dir.unwrap_or(b".");
        let is_below = |dir: &[u8]| {
            dir.strip_prefix(name.bytes()).is_some_and(|rest| rest.first().is_none_or(|&b| b == b'/'))
        };
        let mut current = self.current.borrow_mut();
        if is_below(&current.dir) {
            *current = Current::default();
        } else {
            current.take(dir, base);
        }
        let mut pending = self.pending.borrow_mut();
        pending.retain(|part| !part.holds(dir, base) && !is_below(&part.dir));
        if *current.dir != *dir {
            // Where it is, the names behind the last one asked for are all that counts.
            pending.iter_mut().filter(|part| *part.dir == *dir).for_each(|part| part.changed = true);
        }
        let mut latest = self.latest.borrow_mut();
        if is_below(&latest.0) || *latest.0 == *dir && *current.dir != *dir {
            *latest = Default::default();
        }
    }
}

/// Of files and symlinks with one link, all is sure.
fn sure_of(stat: Stat) -> Option<Stat> {
    (stat.nlink == 1 && !stat.is_dir()).then_some(stat)
}

/// What is sure about children.
fn sure(children: &[Child]) -> Visit {
    let fact = |child: &'_ Child| (child.name.clone(), child.stat.ok().and_then(sure_of));
    let mut facts: Vec<_> = children.iter().map(fact).collect();
    facts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let names = Arc::new(Names::new(facts.iter().map(|(name, _)| &**name)));
    let facts = facts.into_iter().map(|(_, stat)| stat).collect();
    Visit { children: Vec::new(), standing: Some(names.clone()), names, facts }
}

/// One that cannot be entered yet may be opened before it is gone through.
fn open(shared: &Shared, dir: &[u8]) -> Option<OwnedFd> {
    let tree = shared.tree();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::NOCTTY;
    tree.open_with(dir, flags, tree.links()).ok()
}

/// A whole directory, or nothing.
fn read(shared: &Shared, dir: &[u8]) -> Option<Visit> {
    match children(&open(shared, dir)?, false) {
        (found, None) if found.iter().all(|child| child.stat.is_ok()) => {
            let visit = sure(&found);
            Some(Visit { children: found, ..visit })
        }
        _ => None,
    }
}

/// Names of a directory.
fn look(
    shared: &Shared,
    dir: &[u8],
    names: Arc<Names>,
    standing: &OnceLock<Option<Arc<Names>>>,
) -> Option<Visit> {
    let dir = open(shared, dir)?;
    let mut facts = Vec::with_capacity(names.len());
    let mut absent = 0;
    while let Some(name) = names.get(facts.len()) {
        if absent == ABSENT {
            standing.get_or_init(|| all_names(&dir));
        }
        match standing.get() {
            Some(Some(all)) if all.find(name, 0).is_none() => {
                facts.push(None);
                continue;
            }
            Some(None) if absent >= ABSENT => break,
            _ => {}
        }
        let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        absent = if stat.is_some() { 0 } else { absent + 1 };
        facts.push(stat.and_then(|stat| sure_of(to_stat(&stat))));
    }
    Some(Visit { children: Vec::new(), names, facts, standing: standing.get().cloned().flatten() })
}

/// The names in a directory, if they are few.
fn all_names(dir: &OwnedFd) -> Option<Arc<Names>> {
    let mut found = listing::names(dir, FEW).ok()??;
    found.sort_unstable();
    Some(Arc::new(Names::new(found.iter().map(|name| &**name))))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{
        super::beneath::{Links, Tree},
        *,
    };

    fn child(name: &str, mode: u32, nlink: u32) -> Child {
        let stat = Stat { mode, nlink, size: 3, ..Stat::default() };
        Child { name: Bytes::copy_from_slice(name.as_bytes()), stat: Ok(stat) }
    }

    fn name(name: &str) -> RelName<'_> {
        RelName::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn facts_are_given_once_and_only_those_that_are_sure() {
        let mut options = SessionOptions::default();
        options.delete.when = Some(DeleteWhen::During);
        let visits = Visits::new(&options);
        let file = 0o100_644;
        let found =
            [child("f", file, 1), child("b", file, 1), child("twice", file, 2), child("d", 0o040_755, 1)];
        visits.visited(name("x"), &found);
        let size = |path: &str| match visits.stat(name(path)) {
            Some(Known::There(stat)) => Some(stat.size),
            _ => None,
        };
        assert_eq!(size("x/f"), Some(3));
        assert_eq!(["x/f", "x/twice", "x/d", "w/none"].map(|path| visits.stat(name(path))), [None; 4]);
        visits.forget(name("x/b"));
        assert_eq!(visits.stat(name("x/b")), None);
        visits.visited(name("y"), &found);
        visits.visited(name("x"), &found);
        visits.forget(name("x"));
        assert_eq!(visits.stat(name("x/f")), None);
    }

    /// Of names behind the last one that was asked for or changed.
    #[test]
    fn what_was_not_there_is_known_once() {
        let mut options = SessionOptions::default();
        options.delete.when = Some(DeleteWhen::During);
        let visits = Visits::new(&options);
        let absent = |path: &str| visits.stat(name(path)) == Some(Known::Absent);
        let found = [child("d", 0o040_755, 1), child("f", 0o100_644, 1)];
        visits.visited(name("x"), &found);
        assert_eq!(["x/c", "x/c", "x/d", "x/b", "x/e"].map(absent), [true, false, false, false, true]);
        // What is removed was there: it says nothing about others.
        visits.forget(name("x/f"));
        assert!(absent("x/ea"));
        visits.forget(name("x/h"));
        visits.forget(name("w/z"));
        assert_eq!(["x/g", "x/h", "x/i", "y/j"].map(absent), [false, false, true, false]);
        visits.visited(name("y"), &found);
        visits.forget(name("y"));
        assert!(!absent("y/a"));
        visits.visited(RelName::ROOT, &found);
        assert_eq!([".", "a"].map(absent), [false, true]);
    }

    /// Announces names of a directory of which none is there.
    fn announce_absent(visits: &Visits, dir: &str, names: &[&str]) {
        let names = Arc::new(Names::new(names.iter().map(|name| name.as_bytes())));
        let (facts, standing) = (vec![None; names.len()], Some(Arc::default()));
        let visit = Visit { facts, names: names.clone(), standing, ..Visit::default() };
        visits.announce(name(dir), Some(names), 1, move || Some(visit));
    }

    #[test]
    fn what_others_make_meanwhile_counts_as_unknown() {
        let mut visits = Visits::new(&SessionOptions::default());
        visits.ahead = Ahead::with_threads(1).helping();
        let absent = |path: &str| visits.stat(name(path)) == Some(Known::Absent);
        announce_absent(&visits, "x", &["a", "c"]);
        announce_absent(&visits, "x", &["e"]);
        announce_absent(&visits, "y", &["a", "c"]);
        announce_absent(&visits, "y", &["g"]);
        // The directory in which the generator is: what lies behind the name.
        assert!(absent("x/a"));
        visits.forget(name("x/b"));
        assert_eq!(["x/c", "x/d", "x/c", "x/e"].map(absent), [true, true, false, true]);
        // Another one: nothing.
        visits.forget(name("y/b"));
        assert_eq!(["y/a", "y/c", "y/g"].map(absent), [false; 3]);
    }

    #[test]
    fn a_directory_with_few_names_is_listed_where_none_is_found() {
        let tmp = tempfile::tempdir().unwrap();
        let dir: OwnedFd = std::fs::File::open(tmp.path()).unwrap().into();
        let shared = Shared::new(Tree::new(dir, Links::Never), &SessionOptions::default(), false).unwrap();
        std::fs::write(tmp.path().join("n30"), b"abc").unwrap();
        let texts: Vec<_> = (10..99).map(|n| format!("n{n}")).collect();
        let names = || Arc::new(Names::new(texts.iter().map(|name| name.as_bytes())));
        let look = |standing: &Standing| look(&shared, b".", names(), standing).unwrap();
        let standing = Standing::default();
        let visit = look(&standing);
        assert_eq!((visit.facts.len(), visit.facts.iter().flatten().count()), (89, 1));
        assert_eq!(visit.facts[20].map(|stat| stat.size), Some(3));
        assert_eq!(visit.standing.map(|all| (all.len(), all.find(b"n30", 0))), Some((1, Some(0))));
        // Others know it from then on.
        std::fs::write(tmp.path().join("n10"), b"").unwrap();
        assert_eq!(look(&standing).facts[0], None);
        // One with many is not.
        let visit = look(&Arc::new(OnceLock::from(None)));
        assert_eq!((visit.facts.len(), visit.standing.is_none()), (17, true));
    }

    /// Announces a file of three bytes under each name.
    fn announce(visits: &Visits, dir: &str, names: &[&str]) {
        let names = Arc::new(Names::new(names.iter().map(|name| name.as_bytes())));
        let stat = Stat { mode: 0o100_644, nlink: 1, size: 3, ..Stat::default() };
        let visit = Visit { facts: vec![Some(stat); names.len()], names: names.clone(), ..Visit::default() };
        visits.announce(name(dir), Some(names), 1, move || Some(visit));
    }

    #[test]
    fn parts_are_found_by_their_names_and_those_before_them_are_passed_over() {
        let mut visits = Visits::new(&SessionOptions::default());
        visits.ahead = Ahead::with_threads(1).helping();
        let known = |path: &str| visits.stat(name(path)).is_some();
        announce(&visits, "x", &["a", "c", "e"]);
        announce(&visits, "y", &["b"]);
        announce(&visits, "x", &["g", "i"]);
        announce(&visits, "z", &["a"]);
        assert_eq!(["x/c", "x/c", "x/b", "x/e", "x/a"].map(known), [true, false, false, true, true]);
        // Another directory in between changes nothing; `y/b` was skipped.
        assert_eq!(["w/a", "x/i", "y/b", "x/g"].map(known), [false, true, false, true]);
        assert_eq!(visits.pending.borrow().len(), 1);
        assert!(known("z/a"));
    }

    #[test]
    fn what_nobody_asks_for_does_not_pile_up() {
        let mut visits = Visits::new(&SessionOptions::default());
        visits.ahead = Ahead::with_threads(1).helping();
        for n in 0..5000 {
            announce(&visits, &n.to_string(), &["a", "b"]);
        }
        assert_eq!(visits.pending.borrow().len(), 513);
        assert_eq!(
            ["10/a", "4487/a", "4999/b"].map(|path| visits.stat(name(path)).is_some()),
            [false, true, true]
        );
        assert_eq!(visits.pending.borrow().len(), 0);
    }

    #[test]
    fn what_is_changed_before_its_turn_is_not_known_any_more() {
        let mut visits = Visits::new(&SessionOptions::default());
        visits.ahead = Ahead::with_threads(1).helping();
        let known = |path: &str| visits.stat(name(path)).is_some();
        for dir in ["x", "y", "y/sub", "yy", "."] {
            announce(&visits, dir, &["a", "b"]);
        }
        assert!(known("x/a"));
        visits.forget(name("x/b"));
        visits.forget(name("y"));
        visits.forget(name("b"));
        assert_eq!(["x/b", "y/a", "y/sub/a", "yy/a", "a"].map(known), [false, false, false, true, false]);
    }

    #[test]
    fn nothing_is_known_without_a_reason() {
        let found = [child("f", 0o100_644, 1)];
        let plain = Visits::new(&SessionOptions::default());
        plain.visited(name("x"), &found);
        assert_eq!(plain.stat(name("x/f")), None);
        let mut options = SessionOptions::default();
        options.delete.when = Some(DeleteWhen::During);
        options.transfer.backup = true;
        let moving = Visits::new(&options);
        moving.visited(name("x"), &found);
        assert_eq!(moving.stat(name("x/f")), None);
    }
}
