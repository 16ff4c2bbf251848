//! Removal of what the sender does not have: which names, in which order, and its limits (spec: deletion).

use alloc::{boxed::Box, vec::Vec};

use super::{
    generator::{Generator, Outlet},
    io_error,
    lists::Segment,
    rules,
};
use crate::{
    error::{Error, Role},
    filter::{Perishable, Scope},
    flist::{
        entry::{EntryFlags, EntryRef, FileKind, FileList},
        order,
    },
    names::RelName,
    options::DeleteWhen,
    ports::{Attrs, BackupBy, DeleteWhy, Doomed, Notice, Observer, Op, Place, PortError, Stat, Step, Target},
    version::ProtocolVersion,
};

/// Counters and what is put off.
#[derive(Debug, Default)]
pub(super) struct State {
    notice_given: bool,
    /// Removals so far, for the limit.
    removed: u64,
    /// Removals that the limit stopped.
    stopped: u64,
    /// `--delete-delay`: found while walking, removed at the end.
    delayed: Vec<Vec<u8>>,
    summary_given: bool,
    /// A pass over all directories is under way, whose user sees what is looked at: so many names until now.
    scanned: Option<u64>,
}

/// Something to be removed: its name, what it is, and what became of it if it was removed already.
type Extra = (Vec<u8>, Stat, Option<Result<(), PortError>>);

/// A directory being emptied.
struct Frame {
    name: Vec<u8>,
    mode: u32,
    /// Children still to be removed, the last one first.
    left: Vec<Extra>,
    all_gone: bool,
    scope: Scope,
}

/// What is done with the top of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Top {
    /// Reported and counted like everything below it.
    Deleted,
    /// Makes room for another item: neither reported nor counted.
    Room,
}

/// True if the list holds the name, as whatever type; with `relative` also as an absolute argument gives it.
fn listed(list: &FileList, name: &[u8], relative: bool, protocol: ProtocolVersion) -> bool {
    holds(list, name, protocol) || (relative && holds(list, &[b"/", name].concat(), protocol))
}

fn holds(list: &FileList, name: &[u8], protocol: ProtocolVersion) -> bool {
    let is_name = |i: usize| list.entries.get(i).filter(|e| list.name(e) == name);
    [false, true].into_iter().any(|dir| {
        let found = list.entries.binary_search_by(|e| {
            if protocol.has_dir_slash_order() {
                order::compare(list.name(e), e.is_dir(), name, dir)
            } else {
                list.name(e).cmp(name)
            }
        });
        // Several entries may have the name; pruned ones do not keep anything.
        found.is_ok_and(|i| {
            let before = (0..i).rev().map_while(is_name);
            let rest = (i..list.len()).map_while(is_name);
            before.chain(rest).any(|e| e.is_active())
        })
    })
}

impl<T, O, L> Generator<'_, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    /// A symlink that stands, still or to the end, where the source has a directory: what it leads to may be wanted under
    /// its own name.
    async fn is_protected_link(&self, name: RelName<'_>) -> bool {
        let select = &self.options().select;
        if !select.keeps_links_in_paths() || select.keep_dirlinks || name == RelName::ROOT {
            return false;
        }
        let stat = self.side.target.stat(Place::Dest(name), false).await;
        stat.ok().flatten().is_some_and(|stat| stat.kind() == FileKind::Symlink)
    }

    /// A lone directory that takes the name of the destination is new: beside it stands what is not its own.
    fn is_alone(&self) -> bool {
        self.side.single_name.is_some()
    }

    /// Whether there is a directory of which something could be deleted. `during`: its item was handled before.
    async fn would_look_through(&self, dir: RelName<'_>, during: bool) -> bool {
        let options = self.options();
        if during {
            // A dry run does not make it.
            return !(options.dry_run && (self.is_alone() || self.is_new_dir(dir)));
        }
        if self.is_alone() {
            return false;
        }
        let follow = options.select.keep_dirlinks;
        let stat = self.side.target.stat(Place::Dest(dir), follow).await;
        stat.ok().flatten().is_some_and(|stat| stat.is_dir())
    }

    /// Removes what is extraneous in one directory, or notes it for later.
    pub(super) async fn delete_in(
        &mut self,
        dir: EntryRef<'_>,
        segment: &Segment,
    ) -> Result<(), Error<L::Error>> {
        if !dir.entry.flags.contains(EntryFlags::CONTENT_DIR) {
            return Ok(());
        }
        let shared = self.shared();
        let name = dir.rel_name();
        let when = self.delete_when();
        let during = matches!(when, Some(DeleteWhen::During | DeleteWhen::Delay));
        if during && self.is_skipped(name.bytes()) {
            return Ok(());
        }
        let is_new = self.is_new_dir(name);
        // Afterwards a directory that was made is one like any other.
        let told = !during && !self.is_alone() && (!is_new || when == Some(DeleteWhen::After));
        if told && dir.entry.flags.contains(EntryFlags::TOP_DIR) {
            self.report(&Notice::DeletingIn(name.bytes()));
        }
        if shared.io_error.get() & io_error::GENERAL != 0 && !shared.options.delete.ignore_errors {
            if !self.deleting.notice_given && self.would_look_through(name, during).await {
                self.deleting.notice_given = true;
                self.report(&Notice::DeletionSkipped);
            }
            return Ok(());
        }
        if self.is_alone() || self.is_protected_link(name).await {
            return Ok(());
        }
        self.step(&Step::DeleteIn(name.bytes()));
        self.step(&Step::Entering { dir: name.bytes(), base: None });
        if is_new && !told {
            return Ok(());
        }
        let scope = self.dest_scope(name).await?;
        let Some(children) = self.children(name, &scope).await else { return Ok(()) };
        self.tell_scanned(children.len());
        self.read_links(&children).await;
        let (protocol, relative) = (shared.agreed.protocol, shared.options.select.relative);
        let delayed = self.delete_when() == Some(DeleteWhen::Delay);
        let one_device = shared.options.select.one_file_system > 0;
        let top_dev = match one_device {
            true => self.side.target.stat(Place::Dest(name), true).await.ok().flatten().map(|s| s.dev),
            false => None,
        };
        if !delayed && !one_device {
            let extra =
                |c: &&(Vec<u8>, Stat)| c.1.is_dir() && !listed(&segment.list, &c.0, relative, protocol);
            self.announce_removal(children.iter().rev().filter(extra).map(|c| (&*c.0, &c.1)), &scope);
        }
        for (child, stat) in children.into_iter().rev() {
            if listed(&segment.list, &child, relative, protocol) {
                continue;
            }
            if one_device && stat.is_dir() && top_dev.is_some_and(|d| d != stat.dev) {
                self.report(&Notice::MountPoint(&child));
                continue;
            }
            if delayed {
                self.deleting.delayed.push(child);
            } else {
                self.delete_tree(child, stat, &scope, Top::Deleted).await?;
            }
        }
        Ok(())
    }

    /// Whoever lists a directory reads its symlinks, in the reference: with `-U` their times of access have changed when
    /// the generator comes to them, which it shows.
    async fn read_links(&self, children: &[(Vec<u8>, Stat)]) {
        if self.options().preserve.atimes == 0 {
            return;
        }
        for (child, _) in children.iter().filter(|(_, stat)| stat.kind() == FileKind::Symlink) {
            if let Some(name) = RelName::new(child) {
                // One that cannot be read keeps its time.
                let _ = self.side.target.read_link(Place::Dest(name)).await;
            }
        }
    }

    /// One pass over all directories of the list.
    pub(super) async fn delete_everywhere(&mut self) -> Result<(), Error<L::Error>> {
        if self.options().list_only || self.side.missing_root {
            // A listing has no destination; what is open in its place is none of its business. Nor is there anything in
            // a destination that a dry run does not make.
            return Ok(());
        }
        let only = self.side.lists.borrow().oldest();
        let Some(segment) = only else { return Ok(()) };
        self.deleting.scanned = (self.shared().is_client() && !self.shared().local).then_some(0);
        self.scopes.clear();
        for position in 0..segment.list.len() {
            let Some(dir) = segment.list.get(position) else { continue };
            if dir.entry.is_dir() && dir.entry.is_active() {
                self.delete_in(dir, &segment).await?;
            }
            self.outlet.pump().await?;
        }
        if self.deleting.scanned.take().is_some() {
            self.report(&Notice::DeletionScanned);
        }
        Ok(())
    }

    /// `--delete-delay`: removes what was found.
    pub(super) async fn delete_delayed(&mut self) -> Result<(), Error<L::Error>> {
        self.scopes.clear();
        for name in core::mem::take(&mut self.deleting.delayed) {
            let Some(rel) = RelName::new(&name) else { continue };
            let Ok(Some(stat)) = self.side.target.stat(Place::Dest(rel), false).await else { continue };
            // Rule files that came in the meantime have no say about a name that was found, only about what is in it.
            let scope = match stat.is_dir() {
                true => self.dest_scope(rel.parent()).await?,
                false => self.side.scope.clone(),
            };
            self.delete_tree(name, stat, &scope, Top::Deleted).await?;
            self.outlet.pump().await?;
        }
        Ok(())
    }

    /// An argument that is missing at the sender (`--delete-missing-args`).
    pub(super) async fn delete_missing(&mut self, name: RelName<'_>) -> Result<(), Error<L::Error>> {
        let Ok(Some(stat)) = self.side.target.stat(Place::Dest(name), false).await else { return Ok(()) };
        let scope = self.dest_scope(name.parent()).await?;
        if rules::is_excluded(
            self.side.shared,
            Role::Generator,
            &scope,
            name.bytes(),
            stat.is_dir(),
            Perishable::Counts,
        ) {
            return Ok(());
        }
        if stat.is_dir() && !self.options().may_empty_dirs() && self.holds_something(name, &stat).await? {
            return Ok(());
        }
        self.delete_tree(name.bytes().to_vec(), stat, &scope, Top::Deleted).await.map(drop)
    }

    /// There is something in a directory that goes only if it is empty, which is reported.
    async fn holds_something(&mut self, name: RelName<'_>, stat: &Stat) -> Result<bool, Error<L::Error>> {
        self.open_to_writing(name, stat).await;
        // What cannot be looked at does not count: the removal itself says what is wrong.
        let found = self.side.target.list(name).await.unwrap_or_default();
        let found: Vec<_> = found.into_iter().map(|child| Doomed { child, removed: None }).collect();
        if found.iter().all(|found| found.child.stat.is_err()) {
            return Ok(false);
        }
        // Rules are asked for those who follow what they decide.
        let inside = self.dest_scope(name).await?;
        self.sorted_out(name, found, &inside, Perishable::Ignored);
        self.report(&Notice::NotEmpty(name.bytes()));
        Ok(true)
    }

    /// Removes a directory that is in the way. `with_contents`: it need not be empty.
    pub(super) async fn remove_tree_for_room(
        &mut self,
        name: RelName<'_>,
        stat: &Stat,
        with_contents: bool,
    ) -> Result<bool, Error<L::Error>> {
        let scope = self.dest_scope(name.parent()).await?;
        if with_contents {
            return self.delete_tree(name.bytes().to_vec(), *stat, &scope, Top::Room).await;
        }
        if self.holds_something(name, stat).await? {
            return Ok(false);
        }
        if self.shared().options.dry_run {
            return Ok(true);
        }
        match self.side.target.remove_dir(Place::Dest(name)).await {
            Ok(()) => Ok(true),
            Err(PortError::NOT_EMPTY) => {
                self.report(&Notice::NotEmpty(name.bytes()));
                Ok(false)
            }
            Err(error) => {
                self.failed(Op::Rmdir, name.bytes(), error);
                Ok(false)
            }
        }
    }

    /// `Deletions stopped due to --max-delete limit`, once.
    pub(super) fn deletion_summary(&mut self) {
        if self.deleting.stopped > 0 && !core::mem::replace(&mut self.deleting.summary_given, true) {
            self.shared().add_io_error(io_error::DEL_LIMIT);
            self.report(&Notice::MaxDelete { skipped: self.deleting.stopped });
        }
    }

    fn is_new_dir(&self, name: RelName<'_>) -> bool {
        self.side.missing_root || self.is_fresh(name.bytes())
    }

    /// Filter state inside a directory of the destination, by its own filter files.
    async fn dest_scope(&mut self, dir: RelName<'_>) -> Result<Scope, Error<L::Error>> {
        let root = self.side.scope.clone();
        if root.is_constant() {
            return Ok(root);
        }
        let bytes = dir.bytes();
        while let Some((known, _)) = self.scopes.last() {
            let holds = known == b"."
                || known == bytes
                || bytes.strip_prefix(known.as_slice()).is_some_and(|r| r.first() == Some(&b'/'));
            if holds {
                break;
            }
            self.scopes.pop();
        }
        let mut levels = Vec::from([&b"."[..]]);
        if bytes != b"." {
            levels.extend(memchr::memchr_iter(b'/', bytes).filter_map(|end| bytes.get(..end)));
            levels.push(bytes);
        }
        for level in levels {
            if self.scopes.iter().any(|(known, _)| known == level) {
                continue;
            }
            let outer = self.scopes.last().map_or_else(|| root.clone(), |(_, s)| s.clone());
            let target = self.side.target;
            let read = async |path: Vec<u8>| target.read_small(&path, 1 << 20).await;
            let scope = rules::enter(self.shared(), Role::Generator, outer.entering(level), read).await?;
            self.scopes.push((level.to_vec(), scope));
        }
        Ok(self.scopes.last().map_or(root, |(_, s)| s.clone()))
    }

    /// Children of a destination directory that the filters do not protect, in list order.
    async fn children(&self, dir: RelName<'_>, scope: &Scope) -> Option<Vec<(Vec<u8>, Stat)>> {
        let found = self.found_in(dir).await?;
        let (children, _) = self.sorted_out(dir, found, scope, Perishable::Counts);
        Some(children.into_iter().map(|(name, stat, _)| (name, stat)).collect())
    }

    async fn found_in(&self, dir: RelName<'_>) -> Option<Vec<Doomed>> {
        match self.side.target.list(dir).await {
            Ok(found) => Some(found.into_iter().map(|child| Doomed { child, removed: None }).collect()),
            // A symlink in place of the directory is not followed (ELOOP).
            Err(PortError::NOT_FOUND | PortError::LOOP) => None,
            // What `--ignore-existing` leaves in its place is looked through by who comes to its list only (stock binary).
            Err(PortError::NOT_DIR) if !self.shared().agreed.inc_recurse() => None,
            Err(error) => {
                self.unseen(Op::OpenDir, dir.bytes(), error);
                None
            }
        }
    }

    /// Something of the destination cannot be looked at: what is extraneous is not known any more.
    pub(super) fn unseen(&self, op: Op, name: &[u8], error: PortError) {
        self.shared().add_io_error(io_error::GENERAL);
        self.failed(op, name, error);
    }

    /// The part of what was found that the filters do not protect, in list order, and whether something is
    /// protected.
    fn sorted_out(
        &self,
        dir: RelName<'_>,
        found: Vec<Doomed>,
        scope: &Scope,
        perishable: Perishable,
    ) -> (Vec<Extra>, bool) {
        let mut protected = false;
        let mut out = Vec::with_capacity(found.len());
        for Doomed { child, removed } in found {
            let name = if dir == RelName::ROOT {
                child.name.to_vec()
            } else {
                [dir.bytes(), b"/", &child.name].concat()
            };
            let stat = match child.stat {
                Ok(stat) => stat,
                Err(error) => {
                    if !error.is_not_found() {
                        self.unseen(Op::ReadlinkStat, &name, error);
                    }
                    continue;
                }
            };
            if rules::is_excluded(self.side.shared, Role::Generator, scope, &name, stat.is_dir(), perishable)
            {
                protected = true;
                continue;
            }
            out.push((name, stat, removed));
        }
        if self.shared().agreed.protocol.has_dir_slash_order() {
            out.sort_by(|a, b| order::compare(&a.0, a.1.is_dir(), &b.0, b.1.is_dir()));
        } else {
            out.sort_by(|a, b| a.0.cmp(&b.0));
        }
        (out, protected)
    }

    fn limit_reached(&mut self) -> bool {
        let limit = self.shared().options.delete.max_delete;
        if limit.is_some_and(|max| self.deleting.removed >= u64::from(max)) {
            self.deleting.stopped += 1;
            return true;
        }
        false
    }

    fn count_deleted(&mut self, name: &[u8], mode: u32) {
        self.deleting.removed += 1;
        if self.shared().options.counts_deletions() {
            let kind = FileKind::from_mode(mode).unwrap_or(FileKind::Missing);
            self.shared().stats.borrow_mut().deleted.add(kind);
        }
        self.show_deletion(name, mode);
    }

    /// Removes one name with everything below it. True if it is gone.
    async fn delete_tree(
        &mut self,
        name: Vec<u8>,
        stat: Stat,
        scope: &Scope,
        top: Top,
    ) -> Result<bool, Error<L::Error>> {
        if top == Top::Deleted {
            self.step(&Step::DeleteItem { name: &name, mode: stat.mode, why: DeleteWhy::Extraneous });
        }
        if !stat.is_dir() {
            return self.delete_file(&name, &stat, None).await;
        }
        if top == Top::Deleted {
            self.step(&Step::DeleteContents { name: &name, why: DeleteWhy::Extraneous });
        }
        let mut stack = Vec::new();
        stack.extend(self.open_frame(name, &stat, scope).await?);
        loop {
            let Some(frame) = stack.last_mut() else { return Ok(true) };
            if let Some((child, stat, removed)) = frame.left.pop() {
                if stat.is_dir() {
                    self.step(&Step::DeleteContents { name: &child, why: DeleteWhy::Inside });
                    let scope = frame.scope.clone();
                    stack.extend(self.open_frame(child, &stat, &scope).await?);
                } else {
                    self.step(&Step::DeleteItem { name: &child, mode: stat.mode, why: DeleteWhy::Inside });
                    let gone = self.delete_file(&child, &stat, removed).await?;
                    if let Some(frame) = stack.last_mut() {
                        frame.all_gone &= gone;
                    }
                }
                continue;
            }
            let Some(done) = stack.pop() else { return Ok(true) };
            let is_top = stack.is_empty();
            if !is_top {
                self.step(&Step::DeleteItem { name: &done.name, mode: done.mode, why: DeleteWhy::Inside });
            }
            let gone = self.close_frame(&done, is_top, top).await;
            match stack.last_mut() {
                Some(outer) => outer.all_gone &= gone,
                None => return Ok(gone),
            }
        }
    }

    /// What its owner may not write to does not get in the way of a removal, as long as the owner is the user.
    pub(super) async fn open_to_writing(&self, name: RelName<'_>, stat: &Stat) {
        let rights = &self.side.rights;
        if rights.super_user
            || stat.uid != rights.euid
            || stat.mode & 0o200 != 0
            || self.shared().options.dry_run
        {
            return;
        }
        let attrs = Attrs { mode: Some(stat.mode | 0o200), ..Attrs::default() };
        // A failure shows in the removal.
        let _ = self.side.target.set_attrs(Place::Dest(name), stat, &attrs).await;
    }

    /// Looks into a directory that is to be removed. What cannot be looked at counts as empty: the removal itself says
    /// what is wrong.
    async fn open_frame(
        &mut self,
        name: Vec<u8>,
        stat: &Stat,
        scope: &Scope,
    ) -> Result<Option<Frame>, Error<L::Error>> {
        let Some(rel) = RelName::new(&name) else { return Ok(None) };
        self.open_to_writing(rel, stat).await;
        self.step(&Step::Entering { dir: &name, base: None });
        let scope = if scope.is_constant() { scope.clone() } else { self.dest_scope(rel).await? };
        let (left, protected) = if let Some(found) = self.side.target.removed_in(rel) {
            self.sorted_out(rel, found, &scope, Perishable::Ignored)
        } else {
            self.sorted_out(rel, self.found_in(rel).await.unwrap_or_default(), &scope, Perishable::Ignored)
        };
        self.tell_scanned(left.len());
        self.announce_removal(left.iter().rev().filter(|c| c.1.is_dir()).map(|c| (&*c.0, &c.1)), &scope);
        Ok(Some(Frame { mode: stat.mode, name, left, all_gone: !protected, scope }))
    }

    /// In a pass over all directories: so many names were looked at in the next one.
    fn tell_scanned(&mut self, names: usize) {
        if let Some(before) = self.deleting.scanned {
            let here = names as u64;
            self.deleting.scanned = Some(before + here);
            self.report(&Notice::DeletionScan { before, here });
        }
    }

    /// Lets the target go ahead in directories that will be removed, where nothing but the rules at hand decides
    /// what goes.
    fn announce_removal<'n>(&self, dirs: impl Iterator<Item = (&'n [u8], &'n Stat)>, scope: &Scope) {
        let options = self.options();
        let rights = &self.side.rights;
        let plain = scope.is_constant()
            && options.delete.max_delete.is_none()
            && !options.dry_run
            && !options.transfer.backup
            // Who goes ahead knows types only.
            && !options.report.permissions
            && !self.shared().observer.follows_steps();
        if !plain {
            return;
        }
        let open = |stat: &Stat| rights.super_user || stat.uid != rights.euid || stat.mode & 0o200 != 0;
        let mut names = dirs.filter(|(_, stat)| open(stat)).filter_map(|(name, _)| RelName::new(name));
        let scope = scope.clone();
        let may_go = move |name: &[u8]| !scope.check(name, false, Perishable::Ignored).is_excluded();
        self.side.target.will_remove(&mut names, Box::new(may_go));
    }

    /// Removes the directory whose contents were handled. True if it is gone.
    async fn close_frame(&mut self, frame: &Frame, is_top: bool, top: Top) -> bool {
        let room = is_top && top == Top::Room;
        if !frame.all_gone {
            self.report(&Notice::NotEmpty(&frame.name));
            if is_top {
                return false;
            }
        }
        if !room && self.limit_reached() {
            return false;
        }
        let Some(rel) = RelName::new(&frame.name) else { return false };
        if !self.shared().options.dry_run {
            match self.side.target.remove_dir(Place::Dest(rel)).await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => return true,
                Err(PortError::NOT_EMPTY) => {
                    self.report(&Notice::NotEmpty(&frame.name));
                    return false;
                }
                Err(error) => {
                    self.failed(Op::Rmdir, &frame.name, error);
                    return false;
                }
            }
        }
        if !room {
            self.count_deleted(&frame.name, frame.mode);
        }
        // In a dry run the directory goes, but what had to stay in it counts for those around it (stock binary).
        frame.all_gone
    }

    /// Removes one file, unless that happened already.
    async fn delete_file(
        &mut self,
        name: &[u8],
        stat: &Stat,
        removed: Option<Result<(), PortError>>,
    ) -> Result<bool, Error<L::Error>> {
        let Some(rel) = RelName::new(name) else { return Ok(false) };
        let options = self.shared().options;
        if removed.is_none() {
            self.open_to_writing(rel, stat).await;
        }
        if self.limit_reached() {
            return Ok(false);
        }
        let backs_up = options.transfer.backup && !self.has_backup_suffix(name);
        let result = match removed {
            Some(removed) => removed.map_err(|e| (Op::Unlink, e)),
            None if backs_up => self.make_backup(rel, BackupBy::Rename).await.map_err(|e| (Op::Backup, e)),
            None if options.dry_run => Ok(()),
            None => self.side.target.remove_file(Place::Dest(rel)).await.map_err(|e| (Op::Unlink, e)),
        };
        match result {
            Ok(()) => {}
            Err((_, error)) if error.is_not_found() => return Ok(true),
            Err((op, error)) => {
                self.failed(op, name, error);
                return Ok(false);
            }
        }
        self.count_deleted(name, stat.mode);
        Ok(true)
    }
}
