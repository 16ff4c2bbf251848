//! Directories: made, itemized, opened for as long as they change, and closed again (spec: directories).

use alloc::vec::Vec;

use super::{
    decide,
    generator::{Generator, Outlet},
    standing::report_attrs,
};
use crate::{
    error::{Error, Role},
    flist::entry::{EntryFlags, EntryRef, FileKind},
    item::ItemFlags,
    names::RelName,
    ports::{AttrStep, Attrs, Notice, Observer, Op, Place, PortError, Stat, Step, Target},
};

/// What directories get when their contents do not change any more, kept for each of them until the end: their names
/// share a buffer.
#[derive(Default)]
pub(super) struct Retouches {
    dirs: Vec<Retouch>,
    names: Vec<u8>,
}

struct Retouch {
    /// Where the name begins; it ends where the next one begins.
    name: usize,
    /// For whoever looks for a fault.
    number: i32,
    mtime: Option<(i64, u32)>,
    mode: Option<u32>,
    /// The directory had another time before anything was put into it. Otherwise a time that cannot be set is no failure, as
    /// in the reference: nothing of what was asked for is missing but what the transfer itself has changed.
    differed: bool,
}

impl Retouches {
    fn push(
        &mut self,
        name: &[u8],
        number: i32,
        mtime: Option<(i64, u32)>,
        mode: Option<u32>,
        differed: bool,
    ) {
        self.dirs.push(Retouch { name: self.names.len(), number, mtime, mode, differed });
        self.names.extend_from_slice(name);
    }

    /// The last one, and its name.
    fn pop(&mut self, name: &mut Vec<u8>) -> Option<Retouch> {
        let last = self.dirs.pop()?;
        name.clear();
        name.extend(self.names.drain(last.name..));
        Some(last)
    }
}

impl<T, O, L> Generator<'_, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    /// A directory: made if missing, itemized, its attributes set.
    pub(super) async fn directory(&mut self, ndx: i32, entry: EntryRef<'_>) -> Result<(), Error<L::Error>> {
        let options = self.options();
        let name = self.side.local_name(entry);
        if self.skips(name.bytes()) {
            return Ok(());
        }
        let shown = name.bytes();
        if self.is_refused(name, true) {
            self.report(&Notice::SkippingContents);
            self.skipped = Some(shown.to_vec());
            return Ok(());
        }
        let found = self.standing(name).await;
        // What cannot be looked at is taken for missing, though not by `--existing`: making it says what is wrong.
        let unseen = found.is_err();
        let mut stat = found.unwrap_or_default();
        if options.select.keep_dirlinks
            && stat.is_some_and(|s| s.kind() == FileKind::Symlink)
            && let Ok(Some(behind)) = self.side.target.stat(Place::Dest(name), true).await
            && behind.is_dir()
        {
            stat = Some(behind);
        }
        if options.select.existing && stat.is_none() && !unseen {
            self.report(&Notice::NotCreating { name: shown, dir: true });
            // With lists that follow, what would be in the destination itself is told of by name.
            if name != RelName::ROOT || !self.shared().agreed.inc_recurse() {
                self.skipped = Some(shown.to_vec());
            }
            return Ok(());
        }
        let unlisted = entry.entry.flags.contains(EntryFlags::IMPLIED_DIR) && !options.select.implied_dirs;
        if unlisted || stat.is_none() {
            self.need_parents(name).await;
        }
        // Asked for whatever becomes of the entry: that its directory is missing is told of here.
        self.side.mask(Role::Generator, name).await;
        if unlisted {
            // It is made when something in it needs it.
            return Ok(());
        }
        if options.select.ignore_existing && stat.is_some_and(|s| !s.is_dir()) {
            self.report(&Notice::Exists { name: shown, why: " (type change)" });
            if decide::keeps_time(FileKind::Dir, options) && !options.dry_run {
                // As the reference does: what is protected takes the time of the directory it stands for.
                let mtime = Some((entry.entry.mtime, entry.entry.nsec));
                let number = self.side.lists.borrow().dir_number(ndx);
                self.retouch.push(shown, number, mtime, None, true);
            }
            return Ok(());
        }
        // Behind other entries it counts as standing: they are in it (stock binary).
        let mut created = self.side.created_root.replace(false) && name == RelName::ROOT;
        if created {
            self.fresh.insert(shown.to_vec());
        }
        let mut existed = stat.filter(Stat::is_dir);
        let mut in_the_way = None;
        if let Some(other) = stat.filter(|s| !s.is_dir()) {
            if !self.make_way(name, &other, "directory").await? {
                self.report(&Notice::SkippingContents);
                self.skipped = Some(shown.to_vec());
                return Ok(());
            }
            in_the_way = Some(other.kind());
            stat = None;
        }
        let before = existed.as_ref().filter(|_| !created);
        let wanted_mode =
            decide::dest_mode(entry.entry.mode, before, options, self.side.mask(Role::Generator, name).await);
        let missing = stat.is_none();
        created |= missing;
        let mut late = None;
        let doing = if created { ItemFlags::LOCAL_CHANGE } else { ItemFlags::empty() };
        let alternate = if created && options.transfer.alt_dest_kind.is_some() {
            self.alternate(entry, name, wanted_mode).await
        } else {
            None
        };
        let before = if created { alternate.as_ref().map(|a| &a.stat) } else { existed.as_ref() };
        let mut flags = self.flags_of(entry, wanted_mode, before, doing);
        let against = alternate.as_ref().map_or(Place::Dest(name), |a| Place::Alt(a.number, name));
        flags |= self.side.extended_flags(entry, wanted_mode, before.map(|_| against)).await;
        if let Some(alternate) = &alternate {
            let complete = alternate.is_complete();
            if !decide::keeps_time(FileKind::Dir, options) {
                flags.set(ItemFlags::REPORT_TIME, !complete);
            }
            if complete {
                self.report(&Notice::UpToDate(&[shown, b"/"].concat()));
            }
            if options.dry_run && options.preserve.xattrs > 0 && name != RelName::ROOT {
                self.tell_lost_xattrs(name, in_the_way).await;
            }
        }
        if self.names_later() {
            late = Some(flags | ItemFlags::LOCAL_CHANGE);
        } else if alternate.is_none_or(|a| !a.is_complete()) || self.tells_given(flags) {
            self.mention(ndx, entry, flags, None).await?;
        }
        if missing {
            if options.dry_run {
                self.fresh.insert(shown.to_vec());
                return Ok(());
            }
            if let Err(error) = self.make(name, wanted_mode).await {
                self.failed(Op::GeneratorMkdir, shown, error);
                self.report(&Notice::SkippingContents);
                self.skipped = Some(shown.to_vec());
                return Ok(());
            }
            self.fresh.insert(shown.to_vec());
            existed = self.side.target.stat(Place::Dest(name), false).await.ok().flatten();
        }
        if let Some(stat) = existed {
            let handed_down = if created && !options.preserve.perms { stat.mode & 0o2000 } else { 0 };
            let modes = (wanted_mode, handed_down);
            let changed = self.dir_attrs(ndx, entry, name, modes, &stat, created).await;
            // A new one has the permissions already that the mask keeps from one that is made by the reference.
            if let Some(flags) = late
                && (changed || missing && self.is_masked(name, wanted_mode).await)
            {
                self.outlet.item(ndx, entry, flags, None).await?;
            }
        }
        Ok(())
    }

    /// Makes a directory, under `-R` with what is missing on the way to it.
    async fn make(&self, name: RelName<'_>, wanted_mode: u32) -> Result<(), PortError> {
        let options = self.options();
        // As the reference: the sticky bit is there from the beginning, unless the directory gets a time and its contents
        // come in a list of their own. An ACL that comes in between depends on it.
        let in_advance = decide::keeps_time(FileKind::Dir, options) && self.shared().agreed.inc_recurse();
        let bits = if in_advance { 0o777 } else { 0o1777 };
        let first_mode = self.side.while_filled(wanted_mode) & bits;
        let made = self.side.target.make_dir(name, first_mode).await;
        if options.select.relative
            && made.is_err_and(PortError::is_not_found)
            && self.make_parents(name).await.is_ok()
        {
            return self.side.target.make_dir(name, first_mode).await;
        }
        made
    }

    /// A dry run fails as the reference does, which begins with a copy of the alternate's attributes, dry run or not. What
    /// is in the way of the directory, but for a symlink, gets them there.
    async fn tell_lost_xattrs(&self, name: RelName<'_>, in_the_way: Option<FileKind>) {
        let (op, error) = match in_the_way {
            None => match self.blocked_way(name.parent()).await {
                None => (Op::CopyXattrs, PortError::NOT_FOUND),
                Some(error) => (Op::ReachForXattrs, error),
            },
            Some(FileKind::Symlink) => (Op::CopyXattrs, PortError::LOOP),
            Some(_) => return,
        };
        self.failed(op, name.bytes(), error);
    }

    /// The mask, or the default ACL of the directory around it, forbids some of the permissions to what is made there.
    async fn is_masked(&self, name: RelName<'_>, mode: u32) -> bool {
        self.options().preserve.perms && mode & 0o777 & !self.plain_dir_mode(name.parent()).await != 0
    }

    /// Below protocol 29 a directory is named when attributes of it were set, unless items are shown here.
    pub(super) fn names_later(&self) -> bool {
        !self.shared().agreed.protocol.has_item_flags() && !self.options().dry_run && !self.itemizes_here()
    }

    /// Attributes of a directory now, and what must be set again when its contents are complete. Returns
    /// whether any differed and could be set. `handed_down`: what a new one has from a set-group-ID parent. It stays,
    /// unless the mode is set once more at the end (stock binary).
    pub(super) async fn dir_attrs(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        (wanted_mode, handed_down): (u32, u32),
        stat: &Stat,
        created: bool,
    ) -> bool {
        let options = self.options();
        if options.dry_run {
            return false;
        }
        let keeps = decide::keeps_time(FileKind::Dir, options);
        let opened = self.side.while_filled(wanted_mode);
        // Of one that stands the time is set at once too, which says whether it may be; not of one that is being filled.
        // What belongs to another user cannot be opened, in all likelihood: that is tried behind everything else.
        let (first, later) = match stat.uid == self.side.rights.euid || options.preserve.fake_super {
            true => (opened, None),
            false => (wanted_mode, Some(opened).filter(|&opened| opened != wanted_mode)),
        };
        let set = self.set_attrs(entry, name, first | handed_down, stat, !created, false).await;
        let stays = match later {
            Some(mode) => {
                let now = Stat { mode: wanted_mode | handed_down, ..*stat };
                !self.opens_to_its_user(name, &now, mode | handed_down).await
            }
            None => false,
        };
        let time = keeps.then_some((entry.entry.mtime, entry.entry.nsec));
        // As the reference does: only the right to write is taken away again, or all where attributes come behind the item.
        let pending = self.shared().extended.is_pending(entry.extra().xattrs);
        let complete = match pending && !options.preserve.perms {
            true => decide::mode_with_attributes(entry.entry.mode, stat),
            false => wanted_mode,
        };
        let withdrawn = complete & 0o200 == 0 || pending;
        let final_mode =
            (self.side.while_filled(complete) != complete && withdrawn && !stays).then_some(complete);
        let window = options.select.modify_window;
        let differs = time.is_some_and(|time| !decide::same_time(window, time, (stat.mtime, stat.nsec)));
        if time.is_some() || final_mode.is_some() {
            let number = self.side.lists.borrow().dir_number(ndx);
            self.retouch.push(name.bytes(), number, time, final_mode, differs && created);
        }
        // Permissions that are taken away at the end count as well.
        let closes = first != wanted_mode && (stat.mode ^ wanted_mode) & 0o7777 != 0;
        // Behind a failure nothing more is set.
        set.is_some_and(|changed| changed || differs || closes)
    }

    /// Gives a directory the permissions that it has while it is filled; false: it cannot get them, which was reported.
    async fn opens_to_its_user(&self, name: RelName<'_>, stat: &Stat, mode: u32) -> bool {
        let attrs = Attrs { mode: Some(mode), ..Attrs::default() };
        let opened = self.side.target.set_attrs(Place::Dest(name), stat, &attrs).await;
        if let Err((_, error)) = opened {
            self.failed(Op::ModifyPermissions, name.bytes(), error);
        }
        opened.is_ok()
    }

    /// Why a dry run finds no way into a directory; none: it is there, or is the root.
    async fn blocked_way(&self, dir: RelName<'_>) -> Option<PortError> {
        let target = self.side.target;
        let found = target.stat(Place::Dest(dir), false).await;
        if dir == RelName::ROOT || matches!(found, Ok(Some(stat)) if stat.is_dir()) {
            return None;
        }
        match target.stat(Place::Dest(dir), true).await {
            Ok(Some(_)) | Err(PortError::NOT_DIR | PortError::LOOP) => Some(PortError::LOOP),
            _ => Some(PortError::NOT_FOUND),
        }
    }

    /// Without implied directories the parents of a name may be missing.
    pub(super) async fn need_parents(&self, name: RelName<'_>) {
        let options = self.options();
        if !options.select.relative || options.select.implied_dirs || options.dry_run {
            return;
        }
        if name.split().0.is_none() {
            return;
        }
        let parent = name.parent();
        let found = self.side.target.stat(Place::Dest(parent), true).await;
        if !matches!(found, Ok(Some(_)))
            && let Err(error) = self.make_parents(name).await
        {
            self.failed(Op::GeneratorMkdir, parent.bytes(), error);
        }
    }

    /// Makes what is missing of the directories that lead to a name.
    async fn make_parents(&self, name: RelName<'_>) -> Result<(), PortError> {
        let bytes = name.bytes();
        let mut made = Ok(());
        for end in memchr::memchr_iter(b'/', bytes) {
            let Some(dir) = bytes.get(..end).and_then(RelName::new) else { continue };
            made = match self.side.target.stat(Place::Dest(dir), false).await {
                Ok(Some(_)) => Ok(()),
                _ => {
                    let mode = self.plain_dir_mode(dir.parent()).await;
                    self.side.target.make_dir(dir, mode).await
                }
            };
        }
        made
    }

    /// Mode of a directory that nobody describes: what the system gives, by a default ACL or by the mask.
    async fn plain_dir_mode(&self, parent: RelName<'_>) -> u32 {
        match self.side.target.inherited_acl(parent).await {
            Ok(Some(acl)) => acl.permissions() & 0o777,
            _ => 0o777 & !self.side.rights.umask,
        }
    }

    /// Times (and withheld modes) of directories, once nothing below them changes any more.
    pub(super) async fn retouch_dirs(&mut self) {
        let (mut retouches, mut name) = (core::mem::take(&mut self.retouch), Vec::new());
        while let Some(Retouch { number, mtime: time, mode: file_mode, differed, .. }) =
            retouches.pop(&mut name)
        {
            self.step(&Step::TouchUp { name: &name, number });
            let Some(name) = RelName::new(&name) else { continue };
            let Ok(Some(stat)) = self.side.target.stat(Place::Dest(name), false).await else { continue };
            let window = self.options().select.modify_window;
            let time = time.filter(|t| !decide::same_time(window, *t, (stat.mtime, stat.nsec)));
            let attrs = Attrs { mtime: time, mode: file_mode, ..Default::default() };
            if attrs == Attrs::default() {
                continue;
            }
            if let Err((step, error)) = self.side.target.set_attrs(Place::Dest(name), &stat, &attrs).await
                && (differed || step != AttrStep::Times)
            {
                report_attrs(self.shared(), Role::Generator, name.bytes(), step, error);
            }
        }
    }
}
