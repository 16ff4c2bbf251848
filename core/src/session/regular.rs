//! Regular files: whether one is requested, and from which basis (spec: decision for one file).

use alloc::{rc::Rc, vec::Vec};

use super::{
    basis::{Alternate, basis_place},
    decide,
    generator::{Generator, Outlet, Request, sends_whole_files},
    links::Missing,
    lists::Segment,
    receiver::sibling_name,
};
use crate::{
    error::{Error, Role},
    flist::entry::{EntryFlags, EntryRef, mode},
    item::{BasisType, ItemFlags},
    names::RelName,
    options::{AltDestKind, Append, RemoveSource},
    ports::{BackupBy, Notice, Observer, Op, Place, PortError, Stat, Target},
};

impl<T, O, L> Generator<'_, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    /// A regular file.
    pub(super) async fn regular(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        redo: bool,
    ) -> Result<(), Error<L::Error>> {
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        let options = self.options();
        let name = self.side.local_name(entry);
        // What cannot be looked at may be elsewhere.
        let (mut stat, unseen) = match self.standing(name).await {
            Ok(stat) => (stat, None),
            Err(error) => (None, Some(error)),
        };
        if !redo && self.skips_by_existence(entry, stat.as_ref(), unseen.is_some()).await {
            return self.no_leader(ndx, entry).await;
        }
        let linked = entry.entry.flags.contains(EntryFlags::HLINKED);
        if linked && !redo && !self.leads(ndx, segment, entry).await? {
            return Ok(());
        }
        if !redo && self.is_unwanted(entry, name, stat.as_ref()) {
            return self.no_leader(ndx, entry).await;
        }
        let mut like = stat;
        if let Some(other) = stat.filter(|s| !decide::holds_data(s, options)) {
            // A copy made here takes the permissions of whatever it replaces, if that is no directory (stock binary).
            let bits = mode::REGULAR | other.mode & mode::PERMS;
            like = (!other.is_dir()).then_some(Stat { mode: bits, ..other });
            if !self.make_way(name, &other, "regular file").await? {
                return self.blocked(ndx, segment, entry).await;
            }
            stat = None;
        }
        let wanted_mode = decide::dest_mode(
            entry.entry.mode,
            like.as_ref(),
            options,
            self.side.mask(Role::Generator, name).await,
        );
        let consults = !redo
            && match options.transfer.alt_dest_kind {
                None => false,
                Some(AltDestKind::Copy) => stat.is_none(),
                Some(_) => true,
            };
        let mut alternate = if consults { self.alternate(entry, name, wanted_mode).await } else { None };
        if let (Some(standing), Some(found)) = (&stat, &alternate)
            && !self.remove_superseded(name, standing, found).await
        {
            alternate = None;
        }
        if linked
            && options.transfer.alt_dest_kind == Some(AltDestKind::Compare)
            && alternate.as_ref().is_some_and(Alternate::is_complete)
        {
            return self.superfluous(ndx, segment, entry).await;
        }
        if let Some(alternate) = &alternate
            && self.use_alternate(ndx, entry, name, alternate, stat.as_ref(), wanted_mode).await?
        {
            if options.transfer.remove_source == Some(RemoveSource::All) {
                self.outlet.success(ndx, entry).await?;
            }
            if linked {
                self.leader_becomes(segment, entry, alternate);
                self.leader_done(entry).await?;
            }
            return Ok(());
        }
        if alternate.as_ref().is_some_and(Alternate::is_complete) {
            // What stood here has made way for the alternate file, which could neither be linked nor copied.
            stat = None;
        }
        let Some(standing) = stat else {
            // What could not be copied is no basis, either.
            let alternate = alternate.as_ref().filter(|a| !a.has_content());
            return self.request_new(ndx, segment, alternate, unseen, redo).await;
        };
        if !redo && self.is_same(entry, Place::Dest(name), &standing).await {
            self.stands(ndx, entry, name, wanted_mode, &standing).await?;
            if linked {
                self.leader_stands(entry).await?;
            }
            return Ok(());
        }
        self.request_update(ndx, segment, entry, &standing, wanted_mode, redo).await
    }

    /// `--max-size`, `--min-size` and `--update`: whether a file is left alone, which is told.
    fn is_unwanted(&self, entry: EntryRef<'_>, name: RelName<'_>, standing: Option<&Stat>) -> bool {
        let select = &self.options().select;
        let shown = entry.rel_name().bytes();
        let is_newer = |s: &Stat| {
            select.update && s.is_regular() && decide::is_newer(entry.entry, s, select.modify_window)
        };
        let why = if select.max_size.is_some_and(|max| entry.entry.size > max) {
            Notice::OverMaxSize(shown)
        } else if select.min_size.is_some_and(|min| entry.entry.size < min) {
            Notice::UnderMinSize(shown)
        } else if standing.is_some_and(is_newer) {
            Notice::Newer(name.bytes())
        } else {
            return false;
        };
        self.report(&why);
        true
    }

    /// Requests a file that stands with other content: from the partial file, the backup of what stands, or that itself.
    async fn request_update(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        entry: EntryRef<'_>,
        standing: &Stat,
        wanted_mode: u32,
        redo: bool,
    ) -> Result<(), Error<L::Error>> {
        let options = self.options();
        let name = self.side.local_name(entry);
        let append = options.transfer.append != Append::Off && !redo;
        if append && standing.size >= entry.entry.size {
            return self.no_leader(ndx, entry).await;
        }
        let mut basis = (BasisType::Name, standing.size);
        if let Some(len) = self.partial_basis(name).await {
            basis = (BasisType::PartialDir, len);
        } else if options.transfer.inplace && options.transfer.backup && !options.dry_run && !redo {
            // What is there is copied to the backup, which is also what the sender's blocks refer to.
            let whole_seconds = !self.shared().agreed.protocol.has_nanoseconds();
            let summed = !sends_whole_files(self.shared());
            if !self.back_up(name, BackupBy::Copy { whole_seconds, summed }).await? {
                return self.no_leader(ndx, entry).await;
            }
            if self.shared().agreed.protocol.has_item_flags() {
                basis = (BasisType::Backup, standing.size);
            }
        }
        if !options.dry_run && !sends_whole_files(self.shared()) {
            self.takes_fuzzy(name);
        }
        let doing = ItemFlags::TRANSFER | self.change_flag(redo);
        let mut flags = self.flags_of(entry, wanted_mode, Some(standing), doing);
        flags |= self.side.extended_flags(entry, wanted_mode, Some(Place::Dest(name))).await;
        self.side.learn_values(entry, Place::Dest(name)).await;
        self.request(ndx, segment, flags, Some(basis), None, redo).await
    }

    /// Requests a file that is not there: from the partial file, an alternate one, or one of a similar name. `unseen`: why
    /// it is not known to be missing; it is then not made from nothing.
    pub(super) async fn request_new(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        alternate: Option<&Alternate>,
        unseen: Option<PortError>,
        redo: bool,
    ) -> Result<(), Error<L::Error>> {
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        let name = self.side.local_name(entry);
        let options = self.options();
        let doing = ItemFlags::TRANSFER | self.change_flag(redo);
        let new = doing | ItemFlags::IS_NEW | self.side.extended_flags(entry, 0, None).await;
        if let Some(len) = self.partial_basis(name).await {
            return self.request(ndx, segment, new, Some((BasisType::PartialDir, len)), None, redo).await;
        }
        // Appending looks at the length of any basis (stock binary).
        let append = options.transfer.append != Append::Off && !redo;
        let complete = |size: u64| append && size >= entry.entry.size;
        if let Some(alternate) = alternate {
            if complete(alternate.stat.size) {
                return self.no_leader(ndx, entry).await;
            }
            let wanted =
                decide::dest_mode(entry.entry.mode, Some(&alternate.stat), options, self.side.rights.umask);
            let mut flags = self.flags_of(entry, wanted, Some(&alternate.stat), doing);
            let at = Place::Alt(alternate.number, name);
            flags |= self.side.extended_flags(entry, wanted, Some(at)).await;
            self.side.learn_values(entry, at).await;
            let basis = (BasisType::AltDest(alternate.number), alternate.stat.size);
            return self.request(ndx, segment, flags, Some(basis), None, redo).await;
        }
        if options.transfer.fuzzy > 0
            && !redo
            && !self.side.missing_root
            && let Some((kind, file, size)) = self.fuzzy_basis(entry, name).await
        {
            if complete(size) {
                return self.no_leader(ndx, entry).await;
            }
            return self.request(ndx, segment, new, Some((kind, size)), Some(file), redo).await;
        }
        if let Some(error) = unseen {
            self.failed(Op::GeneratorStat, entry.rel_name().bytes(), error);
            return self.no_leader(ndx, entry).await;
        }
        if !redo && self.waits_for_others(ndx, segment, entry) {
            return Ok(());
        }
        self.request(ndx, segment, new, None, None, redo).await
    }

    /// Whether a missing file is put off, because a later member of its link group may have something to start from.
    fn waits_for_others(&mut self, ndx: i32, segment: &Rc<Segment>, entry: EntryRef<'_>) -> bool {
        let linked = entry.entry.flags.contains(EntryFlags::HLINKED);
        let group = if linked { self.groups.get_mut(&entry.extra().link_group) } else { None };
        match group {
            Some(group) if !group.closed => {
                group.put_off(ndx, segment, Missing::New);
                true
            }
            _ => false,
        }
    }

    /// `-c` marks transferred files as changed; one that is asked for again was marked before.
    fn change_flag(&self, redo: bool) -> ItemFlags {
        if self.options().select.checksum && !redo { ItemFlags::REPORT_CHANGE } else { ItemFlags::empty() }
    }

    pub(super) async fn partial_basis(&self, name: RelName<'_>) -> Option<u64> {
        let options = self.options();
        options.transfer.partial_dir.as_ref()?;
        if self.side.missing_root || self.side.is_taken(name) {
            return None;
        }
        let stat = self.side.target.stat(Place::Partial(name), false).await.ok()??;
        stat.is_regular().then_some(stat.size)
    }

    /// What a file could be made from cannot be read, which is told: the file counts as new.
    async fn lacks_basis(&self, entry: EntryRef<'_>, request: &Request) -> bool {
        let options = self.options();
        let reads = request.basis_len.is_some()
            && !options.asks_for_nothing()
            && !options.read_batch
            && !sends_whole_files(self.shared());
        // Whom no permission stops need not try.
        if !reads || self.side.rights.euid == 0 {
            return false;
        }
        let name = self.side.local_name(entry);
        let sibling = sibling_name(name, request.xname.as_deref().unwrap_or_default());
        let place = basis_place(request, name, &sibling);
        match self.side.target.open_basis(place).await {
            Ok(_) => false,
            Err(error) => {
                self.failed(Op::OpenBasis, &self.side.basis_path(place), error);
                true
            }
        }
    }

    pub(super) async fn request(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        flags: ItemFlags,
        basis: Option<(BasisType, u64)>,
        xname: Option<Vec<u8>>,
        redo: bool,
    ) -> Result<(), Error<L::Error>> {
        let append = if redo { Append::Off } else { self.options().transfer.append };
        let fresh = segment.get(ndx).is_some_and(|e| self.is_fresh(self.side.local_name(e).parent().bytes()));
        let mut request = Request { flags, redo, append, fresh, ..Request::default() };
        if let Some((kind, len)) = basis {
            request.basis = kind;
            request.basis_len = Some(len);
            if kind != BasisType::Name {
                request.flags |= ItemFlags::BASIS_TYPE_FOLLOWS;
            }
        }
        if xname.is_some() {
            request.flags |= ItemFlags::XNAME_FOLLOWS;
            request.xname = xname;
        }
        if let Some(entry) = segment.get(ndx)
            && self.lacks_basis(entry, &request).await
        {
            if !redo && self.waits_for_others(ndx, segment, entry) {
                return Ok(());
            }
            let doing = ItemFlags::TRANSFER | ItemFlags::IS_NEW | self.change_flag(redo);
            let flags = doing | self.side.extended_flags(entry, 0, None).await;
            request = Request { flags, redo, append, fresh, ..Request::default() };
        }
        // The receiver answers for what it only records, too.
        let answered = !self.options().asks_for_nothing();
        if answered {
            segment.in_progress.set(segment.in_progress.get() + 1);
            self.in_progress += 1;
            if let Some(entry) =
                segment.get(ndx).filter(|e| self.walked && e.entry.flags.contains(EntryFlags::HLINKED))
            {
                self.late.push((ndx, entry.extra().link_group));
            }
        }
        self.outlet.request(ndx, segment, request).await?;
        if !answered
            && let Some(entry) = segment.get(ndx).filter(|e| e.entry.flags.contains(EntryFlags::HLINKED))
        {
            self.leader_done(entry).await?;
        }
        Ok(())
    }
}
