//! What a directory of the destination held when it was read, so that its names need not be asked for one by
//! one: read ahead of the generator, or by it when it looks for what to delete.
//!
//! Only facts that cannot change without a call of this process on the same name are given: those about files and
//! symlinks with one link, each once. Whoever changes a name drops what is known about it.

use alloc::sync::Arc;
use core::cell::RefCell;

use arsync_core::{
    names::RelName,
    options::{DeleteWhen, SessionOptions},
    ports::{Child, Stat, Turn},
};
use bytes::Bytes;
use rustix::fs::OFlags;

use super::{
    ahead::{Ahead, Read},
    listing::children,
    write::Shared,
};

/// Directories read, for one tree.
#[derive(Debug)]
pub struct Visits {
    ahead: Ahead<Box<[u8]>, Visit>,
    current: RefCell<Current>,
    enabled: bool,
    /// Directories are listed when they are visited, and at no other time.
    listed: bool,
}

/// What is sure about the names of a directory, in their order.
type Facts = Vec<(Bytes, Option<Stat>)>;

/// What was found in a directory: all of it where that is wanted, and what is sure of it.
#[derive(Debug, Default)]
struct Visit {
    children: Vec<Child>,
    facts: Facts,
}

/// The directory being visited.
#[derive(Debug, Default)]
struct Current {
    dir: Vec<u8>,
    facts: Facts,
    /// The name behind the last one asked for.
    next: usize,
}

impl Current {
    fn new(dir: &[u8], facts: Facts) -> Self {
        Self { dir: dir.to_vec(), facts, next: 0 }
    }

    fn take(&mut self, name: &[u8]) -> Option<Stat> {
        let at = match self.facts.get(self.next) {
            Some((next, _)) if next == name => self.next,
            _ => self.facts.binary_search_by(|c| (*c.0).cmp(name)).ok()?,
        };
        self.next = at + 1;
        self.facts[at].1.take()
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
        Self { ahead: Ahead::new(), current: RefCell::default(), enabled, listed: enabled && listed }
    }

    /// Has directories read that will be visited soon.
    pub fn announce<'n>(
        &self,
        shared: &Arc<Shared>,
        turn: Turn,
        dirs: &mut dyn Iterator<Item = RelName<'n>>,
    ) {
        if !self.enabled || !self.ahead.is_useful() {
            return;
        }
        let listed = self.listed;
        self.ahead.announce(
            turn,
            dirs.map(|dir| {
                let (shared, dir) = (shared.clone(), Box::<[u8]>::from(dir.bytes()));
                let key = dir.clone();
                let read = Read::new(move || read(&shared, &dir, listed));
                (key, read)
            }),
        );
    }

    /// What is known about a name.
    pub fn stat(&self, name: RelName<'_>) -> Option<Stat> {
        if !self.enabled {
            return None;
        }
        let (dir, base) = name.split();
        let dir = dir.unwrap_or(b".");
        let mut current = self.current.borrow_mut();
        if current.dir != dir {
            let read = if self.ahead.is_useful() { self.ahead.take(&dir.into()) } else { None };
            *current = Current::new(dir, read.unwrap_or_default().facts);
        }
        current.take(base)
    }

    /// The children of a directory that was read ahead.
    pub fn list(&self, dir: RelName<'_>) -> Option<Vec<Child>> {
        if !self.listed || !self.ahead.is_useful() {
            return None;
        }
        let Visit { children, facts } = self.ahead.take(&dir.bytes().into())?;
        *self.current.borrow_mut() = Current::new(dir.bytes(), facts);
        Some(children)
    }

    /// A directory was read just now.
    pub fn visited(&self, dir: RelName<'_>, children: &[Child]) {
        let mut current = self.current.borrow_mut();
        if self.listed && current.dir != dir.bytes() {
            *current = Current::new(dir.bytes(), facts(children));
        }
    }

    /// A name is about to be changed.
    pub fn forget(&self, name: RelName<'_>) {
        if !self.enabled {
            return;
        }
        let (dir, base) = name.split();
        let mut current = self.current.borrow_mut();
        if current.dir == dir.unwrap_or(b".") {
            if let Ok(at) = current.facts.binary_search_by(|c| (*c.0).cmp(base)) {
                current.facts[at].1 = None;
            }
        } else if current.dir.strip_prefix(name.bytes()).is_some_and(|r| r.first().is_none_or(|&b| b == b'/'))
        {
            *current = Current::default();
        }
    }
}

/// Of files and symlinks with one link, all is sure.
fn facts(children: &[Child]) -> Facts {
    let fact = |child: &Child| {
        let stat = child.stat.ok()?;
        let sure = stat.nlink == 1 && !stat.is_dir();
        sure.then(|| (child.name.clone(), Some(stat)))
    };
    let mut facts: Facts = children.iter().filter_map(fact).collect();
    facts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    facts
}

/// A whole directory, or nothing; `listed`: with the children themselves. One that cannot be entered yet may be opened
/// before it is visited.
fn read(shared: &Shared, dir: &[u8], listed: bool) -> Option<Visit> {
    let tree = shared.tree();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let dir = tree.open_with(dir, flags, tree.links()).ok()?;
    match children(&dir, false) {
        (found, None) if found.iter().all(|child| child.stat.is_ok()) => {
            let facts = facts(&found);
            Some(Visit { children: if listed { found } else { Vec::new() }, facts })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(visits.stat(name("x/f")).map(|s| s.size), Some(3));
        assert_eq!(visits.stat(name("x/f")), None);
        assert_eq!(visits.stat(name("x/twice")), None);
        assert_eq!(visits.stat(name("x/d")), None);
        assert_eq!(visits.stat(name("x/none")), None);
        visits.forget(name("x/b"));
        assert_eq!(visits.stat(name("x/b")), None);
        visits.visited(name("y"), &found);
        visits.visited(name("x"), &found);
        visits.forget(name("x"));
        assert_eq!(visits.stat(name("x/f")), None);
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
