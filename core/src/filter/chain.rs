//! The rules in force inside one directory: the main list, and for each per-directory file the rules of the directories
//! from the top to here.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use super::{
    list::Shared,
    load::{Context, DirMerge, Directory, Item, Loader, Wanted},
    parse::{FilterError, FilterWarning},
    rule::{FilterSide, Name, Perishable},
};
use crate::ports::PortError;

/// What a list says about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// An include rule matched first.
    Include,
    /// An exclude rule matched first.
    Exclude,
    /// No rule matched; counts as included.
    None,
}

impl Verdict {
    /// True for [`Self::Exclude`].
    pub fn is_excluded(self) -> bool {
        self == Self::Exclude
    }
}

/// The rule that decided about a name, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// It is an include rule.
    pub include: bool,
    /// Its pattern, without a slash at the end; `None`: it was read from a file.
    pub pattern: Option<&'a [u8]>,
    /// The pattern has a slash at the end.
    pub directory: bool,
    /// Name of the per-directory file that it came from.
    pub file: Option<&'a [u8]>,
    /// It is one of those that `-C` stands for.
    pub cvs: bool,
}

/// The rules that one directory's file adds, and those of the directories above it.
#[derive(Debug)]
struct Node {
    items: Vec<Item>,
    parent: Option<Arc<Self>>,
}

/// A per-directory file and its rules in force.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub merge: Arc<DirMerge>,
    rules: Option<Arc<Node>>,
    /// The directories between the path of its name and the first directory were not looked at yet.
    unsettled: bool,
}

impl Slot {
    pub(super) fn new(merge: Arc<DirMerge>) -> Self {
        Self { unsettled: merge.name.contains(&b'/'), merge, rules: None }
    }
}

/// The rules for the names of one directory. Clones share everything.
#[derive(Debug, Clone)]
pub struct Scope {
    shared: Arc<Shared>,
    items: Arc<[Item]>,
    slots: Arc<[Slot]>,
    side: FilterSide,
    /// Without a slash in front or behind.
    cwd: Arc<[u8]>,
}

impl Scope {
    pub(super) fn new(
        shared: Arc<Shared>,
        items: Vec<Item>,
        slots: Vec<Slot>,
        side: FilterSide,
        cwd: &[u8],
    ) -> Self {
        Self { shared, items: items.into(), slots: slots.into(), side, cwd: trim(cwd).into() }
    }

    /// The same rules with another directory that names are relative to (the next argument of the sender).
    pub fn with_cwd(&self, cwd: &[u8]) -> Self {
        Self { cwd: trim(cwd).into(), ..self.clone() }
    }

    /// The directory that names are relative to, without a slash in front or behind.
    pub fn cwd(&self) -> &[u8] {
        &self.cwd
    }

    /// What the rules say about a name below the transfer root.
    pub fn check(&self, name: &[u8], is_dir: bool, perishable: Perishable) -> Verdict {
        if self.is_veiled(name, is_dir) {
            return Verdict::Exclude;
        }
        self.evaluate(Name::new(name, is_dir, false, &self.cwd), perishable)
    }

    /// As [`Self::check`], with the rule that decided.
    pub fn decision(&self, name: &[u8], is_dir: bool, perishable: Perishable) -> Option<Decision<'_>> {
        if self.is_veiled(name, is_dir) {
            return Some(Decision {
                include: false,
                pattern: None,
                directory: false,
                file: None,
                cvs: false,
            });
        }
        let name = Name::new(name, is_dir, false, &self.cwd)?;
        self.decide(&self.items, &name, perishable)
    }

    /// True if a daemon hides the name, or a directory on the way to it.
    pub fn is_veiled(&self, name: &[u8], is_dir: bool) -> bool {
        let veil = self.shared.config.veil.as_ref();
        veil.is_some_and(|veil| veil.hides_in(&self.cwd, name, is_dir))
    }

    /// What the rules with modifier `x` say about the name of an extended attribute.
    pub fn check_xattr(&self, name: &[u8]) -> Verdict {
        self.evaluate(Name::new(name, false, true, &self.cwd), Perishable::Counts)
    }

    /// As [`Self::check`] for a name and all directories in front of it: the first exclusion wins. For a daemon's list,
    /// which must hide what an argument reaches inside a hidden directory.
    pub fn check_path(&self, name: &[u8], is_dir: bool) -> Verdict {
        for at in memchr::memchr_iter(b'/', name) {
            if self.check(&name[..at], true, Perishable::Counts).is_excluded() {
                return Verdict::Exclude;
            }
        }
        self.check(name, is_dir, Perishable::Counts)
    }

    /// True if a rule for names of extended attributes was read so far.
    pub fn has_xattr_rules(&self) -> bool {
        self.shared.xattr_rules.load(Ordering::Relaxed)
    }

    /// True if entering a directory changes nothing, so that no file needs to be read.
    pub fn is_constant(&self) -> bool {
        self.slots.is_empty()
    }

    /// The scope for the names inside a directory, given below the transfer root; empty or `.`: the root itself.
    ///
    /// `read` gets paths as [`Wanted::path`] has them; none: the file cannot be read.
    pub fn enter(
        &self,
        dir: &[u8],
        read: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Self, FilterError> {
        if self.is_constant() {
            return Ok(self.clone());
        }
        self.entering(dir).run(read)
    }

    /// As [`Self::enter`], for callers that cannot read at once.
    pub fn entering(&self, dir: &[u8]) -> Entering {
        Entering::new(self, dir, false)
    }

    /// The scope to begin with, once the first directory is known: for a per-directory file whose name has a path, the
    /// directories from there down to (and without) the first directory are looked at, and their rules hold for all
    /// that follows. Without this, [`Self::enter`] does so for the directory it enters.
    pub fn settle(
        &self,
        first_dir: &[u8],
        read: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Self, FilterError> {
        if !self.is_unsettled() {
            return Ok(self.clone());
        }
        self.settling(first_dir).run(read)
    }

    /// True if the directories above the first one were not looked at yet ([`Self::settle`]).
    pub fn is_unsettled(&self) -> bool {
        self.slots.iter().any(|slot| slot.unsettled)
    }

    /// The same rules, with nothing above the first directory still to be looked at.
    pub fn settled(&self) -> Self {
        let settled = |slot: &Slot| Slot { unsettled: false, ..slot.clone() };
        Self { slots: self.slots.iter().map(settled).collect(), ..self.clone() }
    }

    /// As [`Self::settle`], for callers that cannot read at once.
    pub fn settling(&self, first_dir: &[u8]) -> Entering {
        Entering::new(self, first_dir, true)
    }

    fn evaluate(&self, name: Option<Name<'_>>, perishable: Perishable) -> Verdict {
        match name.and_then(|name| self.decide(&self.items, &name, perishable)) {
            Some(decision) if decision.include => Verdict::Include,
            Some(_) => Verdict::Exclude,
            None => Verdict::None,
        }
    }

    fn decide<'a>(
        &'a self,
        items: &'a [Item],
        name: &Name<'_>,
        perishable: Perishable,
    ) -> Option<Decision<'a>> {
        self.decide_in(items, name, perishable, None)
    }

    fn decide_in<'a>(
        &'a self,
        items: &'a [Item],
        name: &Name<'_>,
        perishable: Perishable,
        file: Option<&'a DirMerge>,
    ) -> Option<Decision<'a>> {
        for item in items {
            match item {
                Item::Rule(rule) => {
                    if !rule.sides.elided(self.side) && rule.matches(name, perishable) {
                        return Some(Decision {
                            include: rule.include,
                            pattern: (!rule.from_file && file.is_none()).then_some(&*rule.pattern.text),
                            directory: rule.pattern.directory,
                            file: file.map(|merge| merge.name.strip_prefix(b"/").unwrap_or(&merge.name)),
                            cvs: rule.cvs && file.is_none(),
                        });
                    }
                }
                Item::DirMerge(slot, merge) => {
                    if merge.sides.elided(self.side) {
                        continue;
                    }
                    let mut node = self.slots.get(*slot).and_then(|slot| slot.rules.as_deref());
                    while let Some(rules) = node {
                        let decided = self.decide_in(&rules.items, name, perishable, Some(merge));
                        if decided.is_some() {
                            return decided;
                        }
                        node = rules.parent.as_deref();
                    }
                }
                Item::Cvs(_) => {}
            }
        }
        None
    }
}

/// Without slashes in front and behind.
pub(super) fn trim(path: &[u8]) -> &[u8] {
    let path = &path[path.iter().take_while(|&&b| b == b'/').count()..];
    &path[..path.len() - path.iter().rev().take_while(|&&b| b == b'/').count()]
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match (dir, name) {
        (b"", name) => name.to_vec(),
        (dir, b"") => dir.to_vec(),
        _ => [dir, b"/", name].concat(),
    }
}

/// A directory that is being entered: files are asked for one after the other.
///
/// While [`Self::wanted`] names a file, give it to [`Self::supply`]; then [`Self::finish`].
#[derive(Debug)]
pub struct Entering {
    scope: Scope,
    slots: Vec<Slot>,
    /// Something differs from the scope that this started with.
    changed: bool,
    /// The directory, below the transfer root.
    dir: Vec<u8>,
    settle_only: bool,
    /// The slot whose files are being read.
    slot: usize,
    /// Directories above that are still to be looked at for this slot, the next one last; absolute, without a slash in
    /// front.
    above: Vec<Vec<u8>>,
    /// What is being read.
    reading: Option<(Loader, Directory, bool)>,
    warnings: Vec<FilterWarning>,
}

impl Entering {
    fn new(scope: &Scope, dir: &[u8], settle_only: bool) -> Self {
        let dir = trim(dir);
        let mut entering = Self {
            scope: scope.clone(),
            slots: scope.slots.to_vec(),
            changed: false,
            dir: if dir == b"." { Vec::new() } else { dir.to_vec() },
            settle_only,
            slot: 0,
            above: Vec::new(),
            reading: None,
            warnings: Vec::new(),
        };
        entering.advance();
        entering
    }

    /// The file to be read next.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.reading.as_ref().and_then(|(loader, ..)| loader.wanted())
    }

    /// The contents of the wanted file, or why it cannot be read, which may not matter.
    pub fn supply(&mut self, contents: Result<Vec<u8>, PortError>) -> Result<(), FilterError> {
        let Some((mut loader, dir, above)) = self.reading.take() else { return Ok(()) };
        let mut cx = Context {
            shared: &self.scope.shared,
            slots: &mut self.slots,
            dir: Some(&dir),
            side: Some(self.scope.side),
            keep_sides: false,
            from0: self.scope.shared.config.from0,
        };
        loader.supply(&mut cx, contents)?;
        if loader.wanted().is_some() {
            self.reading = Some((loader, dir, above));
            return Ok(());
        }
        self.warnings.append(&mut loader.warnings);
        let slot = &mut self.slots[self.slot];
        if !loader.items.is_empty() || loader.cleared {
            self.changed = true;
            let parent = if loader.cleared { None } else { slot.rules.take() };
            slot.rules = match loader.items {
                items if items.is_empty() => parent,
                items => Some(Arc::new(Node { items, parent })),
            };
        }
        self.slot += usize::from(!above);
        self.advance();
        Ok(())
    }

    /// Rules that were left out because they are too long.
    pub fn take_warnings(&mut self) -> Vec<FilterWarning> {
        core::mem::take(&mut self.warnings)
    }

    /// The scope of the directory, once no file is wanted.
    pub fn finish(self) -> Scope {
        debug_assert!(self.wanted().is_none());
        if self.changed { Scope { slots: self.slots.into(), ..self.scope } } else { self.scope }
    }

    fn run(mut self, read: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Result<Scope, FilterError> {
        while let Some(wanted) = self.wanted() {
            let contents = read(&wanted.path).ok_or(PortError::NOT_FOUND);
            self.supply(contents)?;
        }
        Ok(self.finish())
    }

    /// Asks for the next file, if there is one.
    fn advance(&mut self) {
        let (absolute, shown, is_above) = loop {
            let Some(slot) = self.slots.get_mut(self.slot) else { return };
            if core::mem::take(&mut slot.unsettled) {
                self.changed = true;
                let first = join(&self.scope.cwd, &self.dir);
                self.above = above(&slot.merge.name, &first);
            }
            if slot.merge.no_inherit && slot.rules.is_some() {
                self.changed = true;
                slot.rules = None;
            }
            let base = slot.merge.base();
            if let Some(dir) = self.above.pop() {
                let path = [b"/", &*join(&dir, base)].concat();
                break (dir, path, true);
            }
            if !self.settle_only {
                break (join(&self.scope.cwd, &self.dir), join(&self.dir, base), false);
            }
            self.slot += 1;
        };
        let merge = self.slots[self.slot].merge.clone();
        let base = merge.base();
        let name = [b"/", &*join(&absolute, base)].concat();
        let relative_base = match (is_above, &*self.dir) {
            (true, _) if absolute.is_empty() => b"/".to_vec(),
            (true, _) => [b"/", &*absolute, b"/"].concat(),
            (false, b"") => Vec::new(),
            (false, dir) => [dir, b"/"].concat(),
        };
        let plain_base = if is_above { relative_base.clone() } else { Vec::new() };
        let mut loader = Loader::default();
        loader.directory_file(shown, name, &merge);
        self.reading = Some((loader, Directory { absolute, relative_base, plain_base }, is_above));
    }
}

/// The directories from the path of a per-directory file down to (and without) `first`, the topmost last. None if the
/// path is not above it. Paths are absolute without the slash in front.
fn above(name: &[u8], first: &[u8]) -> Vec<Vec<u8>> {
    let path = &name[..name.iter().rposition(|&b| b == b'/').unwrap_or(0)];
    let components = |path: &[u8]| {
        path.split(|&b| b == b'/')
            .filter(|c| !matches!(c, [] | [b'.']))
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    let first = components(first);
    let mut top = if name.starts_with(b"/") { Vec::new() } else { first.clone() };
    for component in components(path) {
        if component == b".." {
            top.pop();
        } else {
            top.push(component);
        }
    }
    if !first.starts_with(&top) {
        return Vec::new();
    }
    (top.len()..first.len()).rev().map(|n| first[..n].join(&b'/')).collect()
}
