//! Symlinks, devices and special files: what needs no data but a call (spec: non-regular files).

use super::{
    decide,
    generator::{Generator, Outlet},
};
use crate::{
    error::{Error, Role},
    flist::entry::{EntryRef, FileKind},
    item::ItemFlags,
    names::RelName,
    options::{AltDestKind, RemoveSource},
    ports::{BackupBy, Notice, Observer, Op, Place, Stat, Step, Target},
};

/// What became of an item that needs no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It is there.
    There,
    /// A directory to compare with has it.
    Superfluous,
    /// It could not be made, which was reported.
    Failed,
}

impl<T, O, L> Generator<'_, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    /// Symlinks, devices, fifos, sockets.
    pub(super) async fn special(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        stat: Option<Stat>,
    ) -> Result<Made, Error<L::Error>> {
        let options = self.options();
        let kind = entry.entry.kind();
        let target = self.side.target;
        let what = match kind {
            FileKind::Symlink => "symlink",
            FileKind::Block | FileKind::Char => "device file",
            _ => "special file",
        };
        let wanted_mode = decide::dest_mode(
            entry.entry.mode,
            stat.as_ref(),
            options,
            self.side.mask(Role::Generator, name).await,
        );
        if let Some(stat) = stat.filter(|s| s.kind() == kind)
            && self.side.is_same_thing(entry, Place::Dest(name), &stat).await
        {
            self.stands(ndx, entry, name, wanted_mode, &stat).await?;
            return Ok(Made::There);
        }
        let alternate = if stat.is_none() && options.transfer.alt_dest_kind.is_some() {
            self.alternate(entry, name, wanted_mode).await
        } else {
            None
        };
        if let Some(alt) = alternate.as_ref().filter(|a| a.is_complete()) {
            if options.transfer.alt_dest_kind == Some(AltDestKind::Compare) {
                return Ok(Made::Superfluous);
            }
            self.report_unchanged(entry, false);
            if options.transfer.alt_dest_kind == Some(AltDestKind::Link) {
                let from = Place::Alt(alt.number, name);
                if options.dry_run || target.hard_link(from, name, false).await.is_ok() {
                    let flags = ItemFlags::LOCAL_CHANGE;
                    if self.tells_given(flags) {
                        self.mention_given(ndx, entry, flags, Some(b"")).await?;
                    }
                    return Ok(Made::There);
                }
            }
        }
        let mut replace = false;
        if let Some(old) = &stat {
            if old.is_dir() {
                if !self.make_way(name, old, what).await? {
                    return Ok(Made::Failed);
                }
            } else {
                if options.transfer.backup && !self.back_up(name, BackupBy::Link).await? {
                    return Ok(Made::Failed);
                }
                replace = true;
            }
        }
        // A device replaced by one of the same type counts as a change of something that exists.
        let before = stat
            .as_ref()
            .filter(|s| s.kind() == kind || (kind.is_special() && s.kind().is_special()))
            .or(alternate.as_ref().map(|a| &a.stat));
        let changes = alternate.as_ref().is_none_or(|a| !a.is_complete());
        let mut doing = ItemFlags::LOCAL_CHANGE;
        doing.set(ItemFlags::REPORT_CHANGE, changes);
        let mut flags = self.flags_of(entry, wanted_mode, before, doing);
        let against = alternate.as_ref().map_or(Place::Dest(name), |a| Place::Alt(a.number, name));
        flags |= self.side.extended_flags(entry, wanted_mode, before.map(|_| against)).await;
        if !changes {
            flags.remove(ItemFlags::REPORT_TIME);
        }
        if !options.dry_run {
            if !self.put(entry, name, wanted_mode, replace).await {
                return Ok(Made::Failed);
            }
            if let Ok(Some(now)) = target.stat(Place::Dest(name), false).await {
                self.set_attrs(entry, name, wanted_mode, &now, true, false).await;
            }
        }
        if changes {
            self.mention(ndx, entry, flags, None).await?;
        } else if self.tells_given(flags) {
            self.mention_given(ndx, entry, flags, None).await?;
        }
        let removes = match options.transfer.remove_source {
            Some(RemoveSource::All) => true,
            Some(RemoveSource::Sent) => kind == FileKind::Symlink,
            None => false,
        };
        if removes {
            self.outlet.success(ndx, entry).await?;
        }
        Ok(Made::There)
    }

    /// Makes the item, in place of what stands there where that is to be replaced. False: it cannot be made, which was reported.
    async fn put(&self, entry: EntryRef<'_>, name: RelName<'_>, wanted_mode: u32, replace: bool) -> bool {
        let (target, link) = (self.side.target, entry.link_target());
        let (op, made) = if entry.entry.is_symlink() {
            (Op::Symlink, target.make_symlink(name, link, replace).await)
        } else {
            let rdev = entry.extra().rdev;
            self.step(&Step::MakingNode { name: name.bytes(), mode: wanted_mode, rdev });
            (Op::Mknod, target.make_node(name, wanted_mode, rdev, replace).await)
        };
        if let Err(error) = made {
            self.report(&Notice::Failed { op, name: name.bytes(), base: None, other: link, error });
        }
        made.is_ok()
    }
}
