//! What stands at the destination: whether it is what it should be, what of it differs, and how that is set and told
//! (spec: decision for one file).

use super::{
    Shared,
    decide::{self, Quick},
    dest_side::DestSide,
    generator::{Generator, Outlet},
};
use crate::{
    error::{Error, Role},
    flist::entry::{EntryRef, FileKind, mode},
    item::ItemFlags,
    names::RelName,
    options::RemoveSource,
    ports::{AttrStep, Attrs, Notice, Observer, Place, PortError, Stat, Step, Target},
};

impl<T: Target, O: Observer> DestSide<'_, T, O> {
    /// What lends its permissions to a file that takes its place, or is made from it: without `-p` only what can be read, which
    /// the reference has to open. It then takes the permissions of the inode, also where `--fake-super` keeps others.
    pub(super) async fn lends_mode(&self, at: Place<'_>, stat: Option<Stat>) -> Option<Stat> {
        let mut stat = stat?;
        let (euid, preserve) = (self.rights.euid, &self.shared.options.preserve);
        let unasked = preserve.perms || euid == 0 || !stat.is_regular();
        let readable = unasked || stat.uid == euid && stat.mode & 0o400 != 0;
        if preserve.fake_super
            && !preserve.perms
            && stat.is_regular()
            && let Ok(own) = self.target.inode_mode(at).await
        {
            stat.mode = stat.mode & mode::TYPE | own & mode::PERMS;
        }
        (readable || self.target.open_basis(at).await.is_ok()).then_some(stat)
    }

    /// The mode that a file gets with its data. Without `-p` it has the permissions of what it is made from, or else of
    /// what it replaces.
    pub(super) async fn received_mode(
        &self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        made_from: Option<Place<'_>>,
        replaced: Option<Stat>,
    ) -> u32 {
        let options = self.shared.options;
        let mut model = match made_from {
            Some(at) => self.lends_mode(at, self.target.stat(at, false).await.ok().flatten()).await,
            None => None,
        };
        if model.is_none() {
            model = self.lends_mode(Place::Dest(name), replaced).await;
        }
        let model = model.filter(|stat| decide::holds_data(stat, options));
        let mask = self.mask(Role::Receiver, name).await;
        decide::dest_mode(entry.entry.mode, model.as_ref(), options, mask)
    }

    /// Whether what stands somewhere, which has the type of an entry, is the same but for its attributes, as far as that can be
    /// seen without data: the target of a symlink, the number of a device.
    pub(super) async fn is_same_thing(&self, entry: EntryRef<'_>, at: Place<'_>, stat: &Stat) -> bool {
        match stat.kind() {
            FileKind::Symlink => {
                self.target.read_link(at).await.is_ok_and(|link| link == entry.link_target())
            }
            FileKind::Block | FileKind::Char => stat.rdev == entry.extra().rdev,
            _ => true,
        }
    }

    /// All attributes that a complete item gets.
    pub(super) fn attrs(&self, entry: EntryRef<'_>, wanted_mode: u32) -> Attrs {
        decide::wanted(entry.entry, &entry.extra(), wanted_mode, self.shared.options, &self.rights, true)
    }

    /// The attributes of a file that is not complete: without times, by which a later run would take it for complete.
    pub(super) fn attrs_without_times(&self, entry: EntryRef<'_>, wanted_mode: u32) -> Attrs {
        decide::wanted(entry.entry, &entry.extra(), wanted_mode, self.shared.options, &self.rights, false)
    }
}

impl<T, O, L> Generator<'_, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    /// What stands at the destination under this name. The contents of directories made by this run are known
    /// to be missing.
    pub(super) async fn standing(&self, name: RelName<'_>) -> Result<Option<Stat>, PortError> {
        if self.side.missing_root {
            return Ok(None);
        }
        if let (Some(dir), _) = name.split() {
            if self.fresh.contains(dir) {
                return Ok(None);
            }
        } else if self.fresh.contains(&b"."[..]) && name != RelName::ROOT {
            return Ok(None);
        }
        self.side.target.stat(Place::Dest(name), false).await
    }

    /// Sends or shows an item that needs no data, if it is worth it.
    pub(super) async fn mention(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        flags: ItemFlags,
        xname: Option<&[u8]>,
    ) -> Result<(), Error<L::Error>> {
        let flags = if xname.is_some() { flags | ItemFlags::XNAME_FOLLOWS } else { flags };
        let wanted = self.options().report.unchanged;
        if flags.is_significant() || wanted || xname.is_some_and(|x| !x.is_empty()) {
            self.outlet.item(ndx, entry, flags, xname).await?;
        }
        Ok(())
    }

    /// Flags of an item: compared with what stands there, or new.
    pub(super) fn flags_of(
        &self,
        entry: EntryRef<'_>,
        wanted_mode: u32,
        stat: Option<&Stat>,
        doing: ItemFlags,
    ) -> ItemFlags {
        match stat {
            Some(stat) => decide::changes(
                entry.entry,
                &entry.extra(),
                wanted_mode,
                stat,
                doing,
                self.options(),
                &self.side.rights,
            ),
            None => doing | ItemFlags::IS_NEW,
        }
    }

    /// Sets attributes of something in place, and its `times` if asked to; whether that changed anything, or `None`: it
    /// failed, which was reported.
    /// `same_extended`: its ACL and extended attributes were found to be those wanted.
    pub(super) async fn set_attrs(
        &self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        wanted_mode: u32,
        stat: &Stat,
        times: bool,
        same_extended: bool,
    ) -> Option<bool> {
        let wants_atime = times;
        // What was not transferred keeps its nanoseconds where the window says that the times are equal; digests
        // that are equal set them exactly.
        let select = &self.options().select;
        let exact = select.checksum && entry.entry.is_regular();
        let theirs = (entry.entry.mtime, entry.entry.nsec);
        let times =
            times && (exact || !decide::same_time(select.modify_window, theirs, (stat.mtime, stat.nsec)));
        let mut attrs = self.side.attrs(entry, wanted_mode);
        attrs.mtime = attrs.mtime.filter(|&time| times && time != (stat.mtime, stat.nsec));
        // It travels in whole seconds; an exact time comes with one that has none but these.
        let exact_too = exact && attrs.mtime.is_some();
        // A file whose digest was made has been read.
        let was_read = select.checksum && entry.entry.is_regular();
        attrs.atime =
            attrs.atime.filter(|&time| wants_atime && (time != stat.atime || exact_too || was_read));
        if self.options().dry_run {
            return Some(self.side.would_change(entry, name, wanted_mode, stat, &attrs).await);
        }
        self.tell_owner(name, stat, &attrs);
        let at = Place::Dest(name);
        // A new owner or mode changes what was found.
        let stays = attrs.uid.is_none_or(|uid| uid == stat.uid)
            && attrs.gid.is_none_or(|gid| gid == stat.gid)
            && attrs.mode.is_none_or(|m| (m ^ stat.mode) & mode::PERMS == 0);
        let extended =
            if same_extended && stays { None } else { self.side.generator_extended(entry, name).await };
        let nothing = stays && attrs.mtime.is_none() && attrs.atime.is_none();
        let set = match extended {
            Some(extended) => self.side.target.set_extended(at, stat, &attrs, &extended).await,
            None if nothing && !self.options().preserve.fake_super => Ok(false),
            None => self.side.target.set_attrs(at, stat, &attrs).await,
        };
        self.side.report_failures(Role::Generator);
        match set {
            Ok(changed) => Some(changed),
            Err((step, error)) => {
                report_attrs(self.shared(), Role::Generator, name.bytes(), step, error);
                // As the reference: a time that cannot be set counts as a change.
                (step == AttrStep::Times).then_some(true)
            }
        }
    }

    fn tell_owner(&self, name: RelName<'_>, stat: &Stat, attrs: &Attrs) {
        for (group, from, to) in [(false, stat.uid, attrs.uid), (true, stat.gid, attrs.gid)] {
            if let Some(to) = to.filter(|to| *to != from) {
                self.step(&Step::OwnerSet { group, name: name.bytes(), from, to });
            }
        }
    }

    /// Something stands already: its attributes are set, and it is told.
    pub(super) async fn stands(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        wanted_mode: u32,
        stat: &Stat,
    ) -> Result<(), Error<L::Error>> {
        let mut flags = self.flags_of(entry, wanted_mode, Some(stat), ItemFlags::empty());
        let here = Place::Dest(name);
        flags |= self.side.acl_flag(entry, wanted_mode, here).await;
        self.open_to_reading(name, wanted_mode, stat).await;
        flags |= self.side.xattr_flag(entry, Some(here)).await;
        let same_extended = !flags.intersects(ItemFlags::REPORT_ACL | ItemFlags::REPORT_XATTR);
        // `-J` is also about a file that stands for a symlink.
        let times = !(entry.entry.is_symlink() && self.options().preserve.omit_link_times);
        if self.options().preserve.atimes > 0
            && self.options().select.checksum
            && entry.entry.is_regular()
            && decide::is_seen_again(flags, stat, self.options())
            && let Ok(Some(read)) = self.side.target.stat(here, false).await
        {
            // By then it has the time at which it was digested.
            flags.set(ItemFlags::REPORT_ATIME, read.atime != entry.extra().atime);
        }
        let changed = self.set_attrs(entry, name, wanted_mode, stat, times, same_extended).await;
        if !self.options().dry_run {
            // An owner that could not be set takes no bits away.
            let seen = match entry.entry.is_dir() || changed.is_none() {
                true => stat.mode,
                false => decide::seen_after_chown(&mut flags, wanted_mode, stat, self.options()),
            };
            if changed.is_some() {
                self.side.acl_brings_mode(&mut flags, wanted_mode, seen);
            }
        }
        if let Some(changed) = changed {
            self.report_unchanged(entry, changed);
        }
        self.mention(ndx, entry, flags, None).await?;
        if self.options().transfer.remove_source == Some(RemoveSource::All) {
            self.outlet.success(ndx, entry).await?;
        }
        Ok(())
    }

    /// Its owner may not read the attributes of what stands; with the permissions that it gets, that is possible.
    async fn open_to_reading(&self, name: RelName<'_>, wanted_mode: u32, stat: &Stat) {
        let (options, rights) = (self.options(), &self.side.rights);
        let opens = !stat.mode & wanted_mode & 0o400 != 0;
        if !opens
            || options.preserve.xattrs == 0
            || options.dry_run
            || rights.super_user
            || stat.uid != rights.euid
            || stat.kind() == FileKind::Symlink
        {
            return;
        }
        let attrs = Attrs { mode: Some(wanted_mode), ..Attrs::default() };
        // A failure shows when all is set.
        let _ = self.side.target.set_attrs(Place::Dest(name), stat, &attrs).await;
    }

    /// What was not transferred, for `-vv`.
    pub(super) fn report_unchanged(&self, entry: EntryRef<'_>, changed: bool) {
        let name = self.side.local_name(entry).bytes();
        self.report(&if changed { Notice::AttrsChanged(name) } else { Notice::UpToDate(name) });
    }

    /// `--existing` and `--ignore-existing`. `unseen`: it is not known whether there is anything.
    pub(super) async fn skips_by_existence(
        &self,
        entry: EntryRef<'_>,
        stat: Option<&Stat>,
        unseen: bool,
    ) -> bool {
        let options = self.options();
        let shown = self.side.local_name(entry);
        match stat {
            None if options.select.existing && !unseen => {
                self.report(&Notice::NotCreating { name: shown.bytes(), dir: false });
                true
            }
            Some(stat) if options.select.ignore_existing => {
                let explains = self.shared().observer.explains_existing();
                let why = if explains { self.existing_reason(entry, stat).await } else { "" };
                self.report(&Notice::Exists { name: shown.bytes(), why });
                true
            }
            _ => false,
        }
    }

    async fn existing_reason(&self, entry: EntryRef<'_>, stat: &Stat) -> &'static str {
        let options = self.options();
        if entry.entry.kind() != stat.kind() {
            return " (type change)";
        }
        if entry.entry.is_regular()
            && !self.is_same(entry, Place::Dest(self.side.local_name(entry)), stat).await
        {
            return if options.select.checksum { " (sum change)" } else { " (file change)" };
        }
        let at = Place::Dest(self.side.local_name(entry));
        if !self.side.is_same_thing(entry, at, stat).await {
            return " (file change)";
        }
        let wanted_mode = decide::dest_mode(entry.entry.mode, Some(stat), options, self.side.rights.umask);
        let same = decide::unchanged_attrs(
            entry.entry,
            &entry.extra(),
            wanted_mode,
            stat,
            options,
            &self.side.rights,
        );
        let same = same && self.side.same_extended(entry, wanted_mode, at).await;
        if same { " (uptodate)" } else { " (attr change)" }
    }

    /// The quick check, with digests where `-c` asks for them.
    pub(super) async fn is_same(&self, entry: EntryRef<'_>, at: Place<'_>, stat: &Stat) -> bool {
        match decide::quick_check(entry.entry, stat, self.options()) {
            Quick::Same => true,
            Quick::Different => false,
            Quick::Digest => {
                let kind = self.shared().agreed.list_sum;
                match self.side.target.digest(at, kind).await {
                    Ok(sum) => sum.as_bytes() == entry.checksum(),
                    Err(_) => entry.checksum().iter().all(|&b| b == 0),
                }
            }
        }
    }
}

/// Reports an attribute that could not be set.
pub(super) fn report_attrs<O: Observer>(
    shared: &Shared<'_, O>,
    role: Role,
    name: &[u8],
    step: AttrStep,
    error: PortError,
) {
    shared.report(role, &Notice::Failed { op: step.op(), name, base: None, other: &[], error });
}
