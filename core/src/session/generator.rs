//! The generator: walks the lists, decides about each item, changes what needs no data, asks for the rest.
//!
//! It is the same in a remote and in a local run; the [`Outlet`] makes the difference.

use alloc::{rc::Rc, vec::Vec};

use hashbrown::{HashMap, HashSet};

use super::{
    Event, Shared,
    dest_side::DestSide,
    directories::Retouches,
    incoming_list::{is_refused_orphan, lacks_parent},
    links::{Group, Joins},
    lists::{Found, Segment},
    special::Made,
};
use crate::{
    error::{Error, NameFault, ProtocolError, Role},
    filter::Scope,
    flist::entry::{EntryFlags, EntryRef, FileKind, mode},
    item::{BasisType, ItemFlags},
    mux::MsgTag,
    names::{RelName, is_unsafe_link},
    options::{Append, DeleteWhen},
    ports::{BackupBy, DeleteWhy, ItemEvent, Notice, Observer, Op, Place, PortError, Stat, Step, Target},
    stats::Counts,
};

/// Entries that must be known of the lists that are not done, the next one among them, before that is walked with `-H`.
const LINK_LOOKAHEAD: usize = 500;

/// Entries after which is looked whether more can be announced.
const STRIDE: usize = 64;

/// How a file is requested.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub flags: ItemFlags,
    pub basis: BasisType,
    pub xname: Option<Vec<u8>>,
    /// Where the basis is and how large; `None`: nothing to compare with.
    pub basis_len: Option<u64>,
    /// Sent with full-length sums, without append mode.
    pub redo: bool,
    /// The directory was made by this run.
    pub fresh: bool,
    pub append: Append,
}

/// Where items and requests go: to a remote sender, or to the copying in this process.
pub(super) trait Outlet {
    /// Error of the transport.
    type Error;
    /// Mentions an item that needs no data.
    async fn item(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        flags: ItemFlags,
        xname: Option<&[u8]>,
    ) -> Result<(), Error<Self::Error>>;
    /// Asks for data. The outcome comes as an event.
    async fn request(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        request: Request,
    ) -> Result<(), Error<Self::Error>>;
    /// `NDX_DONE`.
    async fn done(&mut self) -> Result<(), Error<Self::Error>>;
    /// `NDX_DEL_STATS`.
    async fn del_stats(&mut self, counts: &Counts) -> Result<(), Error<Self::Error>>;
    /// The item is safely in place (`--remove-source-files`).
    async fn success(&mut self, ndx: i32, entry: EntryRef<'_>) -> Result<(), Error<Self::Error>>;
    /// Queued messages go out; called between items.
    async fn pump(&mut self) -> Result<(), Error<Self::Error>>;
    /// What was asked for so far is on its way before any message that follows.
    async fn settle(&mut self) -> Result<(), Error<Self::Error>>;
    /// Everything written reaches the peer.
    async fn flush_all(&mut self) -> Result<(), Error<Self::Error>>;
    /// Waits until an event or a list has come. Everything written is flushed first.
    async fn wait(&mut self) -> Result<(), Error<Self::Error>>;
}

pub(super) struct Generator<'a, T, O, L> {
    pub(super) side: &'a DestSide<'a, T, O>,
    pub(super) outlet: L,
    pub(super) groups: HashMap<u32, Group>,
    /// First index that was not yet looked at for link groups.
    pub(super) grouped_to: i32,
    pub(super) redo: Vec<(i32, Rc<Segment>)>,
    /// Lists for which DONE was written.
    pub(super) lists_done: u64,
    pub(super) phases_ended: u8,
    pub(super) receiver_finished: bool,
    pub(super) in_progress: u32,
    /// Without incremental recursion: the DONE behind the list was written, and the members of link groups, with their
    /// groups, that were asked for behind it.
    pub(super) walked: bool,
    pub(super) late: Vec<(i32, u32)>,
    /// A directory that is skipped with everything below it.
    pub(super) skipped: Option<Vec<u8>>,
    /// Directories made by this run: their contents need no look.
    pub(super) fresh: HashSet<Vec<u8>>,
    /// Directories whose time or mode is set at the end.
    pub(super) retouch: Retouches,
    pub(super) deleting: super::deletion::State,
    pub(super) scopes: Vec<(Vec<u8>, Scope)>,
    pub(super) fuzzy: super::basis::FuzzyDirs,
    lookout: super::lookout::Lookout,
}

/// Files are transferred as a whole, whatever they could be made from.
pub(super) fn sends_whole_files<O>(shared: &Shared<'_, O>) -> bool {
    let transfer = &shared.options.transfer;
    let local = shared.local && transfer.append == Append::Off;
    transfer.whole_file.unwrap_or(local) || shared.agreed.transfer_sum == crate::checksum::ChecksumKind::None
}

/// Says how files are transferred: for a listing, too.
pub(super) fn report_method<O: Observer>(shared: &Shared<'_, O>) {
    shared.report(Role::Generator, &Notice::DeltaTransmission(!sends_whole_files(shared)));
}

impl<'a, T, O, L> Generator<'a, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    pub(super) fn new(side: &'a DestSide<'a, T, O>, outlet: L) -> Self {
        Self {
            side,
            outlet,
            groups: HashMap::new(),
            grouped_to: i32::MIN,
            redo: Vec::new(),
            lists_done: 0,
            phases_ended: 0,
            receiver_finished: false,
            in_progress: 0,
            walked: false,
            late: Vec::new(),
            skipped: None,
            fresh: HashSet::new(),
            retouch: Retouches::default(),
            deleting: super::deletion::State::default(),
            scopes: Vec::new(),
            fuzzy: super::basis::FuzzyDirs::default(),
            lookout: super::lookout::Lookout::default(),
        }
    }

    pub(super) fn shared(&self) -> &'a Shared<'a, O> {
        self.side.shared
    }

    pub(super) fn options(&self) -> &'a crate::options::SessionOptions {
        self.side.shared.options
    }

    pub(super) fn report(&self, notice: &Notice<'_>) {
        self.shared().report(Role::Generator, notice);
    }

    pub(super) fn step(&self, step: &Step<'_>) {
        self.shared().step(Role::Generator, step);
    }

    fn takes_on(&self, ndx: i32, entry: EntryRef<'_>) {
        let name = self.side.local_name(entry);
        self.step(&Step::Item { name: name.bytes(), base: entry.entry.base, ndx });
    }

    pub(super) fn failed(&self, op: Op, name: &[u8], error: PortError) {
        self.report(&Notice::Failed { op, name, base: None, other: &[], error });
    }

    /// The time of deletions that is in force (spec: deletion, when).
    pub(super) fn delete_when(&self) -> Option<DeleteWhen> {
        self.options().delete.when.map(|when| match when {
            DeleteWhen::Default if self.shared().agreed.protocol.has_varints() => DeleteWhen::During,
            DeleteWhen::Default => DeleteWhen::Before,
            when => when,
        })
    }

    /// The whole walk, through all phases up to the last DONE.
    pub(super) async fn run(&mut self) -> Result<(), Error<L::Error>> {
        let protocol = self.shared().agreed.protocol;
        let incremental = self.shared().agreed.inc_recurse();
        let when = self.delete_when();
        self.step(&Step::Starts { count: 0 });
        if when == Some(DeleteWhen::Before) {
            self.delete_everywhere().await?;
        }
        // A listing has said it in front of its names.
        if !self.options().list_only {
            report_method(self.shared());
        }
        if incremental {
            self.walk_incremental().await?;
        } else {
            let only = self.side.lists.borrow().oldest();
            if let Some(segment) = only {
                self.note_groups(&segment);
                self.walk(&segment).await?;
            }
            self.outlet.done().await?;
            self.walked = true;
        }
        self.step(&Step::Phase(1));
        // The end of phase 0 comes back when the sender has answered everything.
        while self.phases_ended < 1 {
            self.wait_events().await?;
        }
        self.redo_pending().await?;
        // The sender takes no request behind the next DONE.
        while self.awaits_late_leader() {
            self.wait_events().await?;
            self.redo_pending().await?;
        }
        self.step(&Step::Phase(2));
        self.outlet.done().await?;
        let delayed = self.options().transfer.delay_updates;
        let late_delete = matches!(when, Some(DeleteWhen::Delay | DeleteWhen::After));
        if protocol.has_item_flags() {
            self.step(&Step::Phase(3));
            if delayed {
                while self.phases_ended < 2 {
                    self.wait_events().await?;
                }
                if protocol.has_extended_goodbye() && !late_delete {
                    self.send_del_stats().await?;
                }
            }
            self.outlet.done().await?;
        }
        if protocol.has_extended_goodbye() && !late_delete && !delayed {
            self.send_del_stats().await?;
            self.outlet.done().await?;
        }
        while !self.receiver_finished {
            self.wait_events().await?;
        }
        match when {
            Some(DeleteWhen::After) => self.delete_everywhere().await?,
            Some(DeleteWhen::Delay) => self.delete_delayed().await?,
            _ => {}
        }
        if protocol.has_extended_goodbye() && (late_delete || delayed) {
            if late_delete {
                self.send_del_stats().await?;
            }
            self.outlet.done().await?;
        }
        self.deletion_summary();
        if let 1.. = self.in_progress
            && self.expects_answers()
        {
            self.report(&Notice::Unanswered(self.in_progress));
        }
        for (name, error) in self.side.target.take_not_reserved() {
            self.failed(Op::Fallocate, &name, error);
        }
        self.retouch_dirs().await;
        self.step(&Step::Ends);
        self.outlet.pump().await?;
        self.outlet.done().await?;
        self.outlet.flush_all().await
    }

    /// The sender says of each file that was asked for whether it comes, and the receiver tells of it.
    pub(super) fn expects_answers(&self) -> bool {
        let options = self.options();
        let tells = self.shared().agreed.protocol.has_io_messages();
        tells && !self.shared().local && !options.read_batch && !options.batch_only
    }

    async fn send_del_stats(&mut self) -> Result<(), Error<L::Error>> {
        if self.options().counts_deletions() {
            let deleted = self.shared().stats.borrow().deleted;
            self.outlet.del_stats(&deleted).await?;
        }
        Ok(())
    }

    /// The lists whose members of link groups are known when the next one is walked, as in the reference: from the oldest
    /// that is not done on, until they have enough entries. The sender may have sent more.
    pub(super) fn lists_for_links(&self) -> (Vec<Rc<Segment>>, usize) {
        let lists = self.side.lists.borrow();
        let first = self.lists_done.saturating_sub(self.side.freed.get());
        let (mut known, mut entries) = (Vec::new(), 0);
        for at in usize::try_from(first).unwrap_or(usize::MAX).. {
            let Some(list) = lists.get(at).filter(|_| entries < LINK_LOOKAHEAD) else { break };
            entries += list.list.len();
            known.push(list);
        }
        (known, entries)
    }

    /// Enough is known for links into later lists. The sender sends more than that behind the list of the last item that it
    /// was told of, so that it is not waited for in vain.
    fn sees_far_enough(&self) -> bool {
        self.side.lists.borrow().complete || self.lists_for_links().1 >= LINK_LOOKAHEAD
    }

    /// Before anything is read behind the first lists: whether the walk begins with waiting for more of them.
    pub(super) fn begins_with_waiting(&self) -> bool {
        self.shared().agreed.inc_recurse()
            && self.options().preserve.hard_links > 0
            && !self.sees_far_enough()
    }

    async fn walk_incremental(&mut self) -> Result<(), Error<L::Error>> {
        let mut last = i32::MIN;
        let known_at_start = {
            let lists = self.side.lists.borrow();
            lists.get(lists.len().saturating_sub(1)).map(|newest| newest.start)
        };
        loop {
            let next = loop {
                let (next, complete) = {
                    let lists = self.side.lists.borrow();
                    let next = if last == i32::MIN { lists.oldest() } else { lists.after(last) };
                    (next, lists.complete)
                };
                match next {
                    Some(segment) => break Some(segment),
                    None if complete => break None,
                    None => self.wait_events().await?,
                }
            };
            let Some(segment) = next else { break };
            if self.options().preserve.hard_links > 0 {
                // Links into later lists are found when these are known, as in the reference.
                self.shared().replay.look_ahead(true);
                while !self.sees_far_enough() && !self.shared().replay.receiver_waits()
                    || self.shared().replay.is_held_back()
                {
                    self.wait_events().await?;
                }
                self.shared().replay.look_ahead(false);
                self.note_known_groups(&segment);
            }
            self.take_list_errors(&segment);
            self.walk(&segment).await?;
            if known_at_start == Some(segment.start) {
                // The reference waits for the next list here. Its messages overtake what is not written yet.
                self.outlet.settle().await?;
            }
            segment.generated.set(true);
            last = segment.start;
            self.redo_pending().await?;
            self.finish_lists(true).await?;
        }
        while self.lists_done < self.lists_known() {
            self.redo_pending().await?;
            self.finish_lists(false).await?;
            if self.lists_done < self.lists_known() {
                self.wait_events().await?;
            }
        }
        Ok(())
    }

    /// What could not be read stops deletions from the list on that lacks it. With `-H` the lists that must be known then are
    /// heard of too.
    fn take_list_errors(&self, segment: &Rc<Segment>) {
        self.shared().add_io_error(segment.errors.take());
        if self.options().preserve.hard_links > 0 {
            for list in self.lists_for_links().0 {
                self.shared().add_io_error(list.errors.take());
            }
        }
    }

    fn lists_known(&self) -> u64 {
        self.side.freed.get() + self.side.lists.borrow().len() as u64
    }

    /// Writes DONE for the oldest lists that are complete. With `keep_current` the one that was walked last is kept open: a
    /// directory of it comes with the list behind it, and the DONE of the newest is the end of the phase.
    async fn finish_lists(&mut self, keep_current: bool) -> Result<(), Error<L::Error>> {
        loop {
            let Some(at) = self.lists_done.checked_sub(self.side.freed.get()) else {
                // The sender closed a list that was not yet reported done.
                return Err(ProtocolError::UnexpectedList { got: crate::wire::ndx::NDX_DONE }.into());
            };
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let (segment, current) = {
                let lists = self.side.lists.borrow();
                (lists.get(at), lists.get(at + 1).is_none_or(|next| !next.generated.get()))
            };
            let Some(segment) = segment else { return Ok(()) };
            if !segment.is_settled() || (current && keep_current) {
                return Ok(());
            }
            self.lists_done += 1;
            self.outlet.done().await?;
        }
    }

    async fn walk(&mut self, segment: &Rc<Segment>) -> Result<(), Error<L::Error>> {
        if self.options().list_only {
            return Ok(());
        }
        self.lookout.arrive(self.side, &self.fresh, segment, 0);
        let incremental = self.shared().agreed.inc_recurse();
        let during = matches!(self.delete_when(), Some(DeleteWhen::During | DeleteWhen::Delay));
        if incremental {
            let parent = self.side.lists.borrow().find(segment.start - 1).ok();
            if let Some(Found::Parent(dir)) = parent {
                let entry = dir.entry();
                if entry.entry.is_active() {
                    self.takes_on(segment.start - 1, entry);
                    self.directory(segment.start - 1, entry).await?;
                    self.shared().replay.passed(segment.start - 1);
                    if during {
                        self.delete_in(entry, segment).await?;
                    }
                }
            }
        }
        let mut last_parent = None;
        for position in 0..segment.list.len() {
            if position % STRIDE == 0 {
                self.lookout.arrive(self.side, &self.fresh, segment, position);
            }
            let ndx = segment.ndx_at(position);
            let Some(entry) = segment.list.get(position).filter(|e| e.entry.is_active()) else { continue };
            // Where a dry run has no destination, the reference looks at no place.
            if !self.side.missing_root && is_refused_orphan(self.shared(), &segment.list, entry) {
                self.retouch_dirs().await;
                return Err(self
                    .shared()
                    .refuse(Role::Generator, ProtocolError::Name(NameFault::WrongDirectory), entry.name())
                    .into());
            }
            let parent = entry.rel_name().parent();
            if last_parent.replace(parent) != Some(parent)
                && lacks_parent(self.shared(), &segment.list, entry)
            {
                self.report(&Notice::ParentAbsent(parent.bytes()));
            }
            if entry.entry.is_dir() {
                self.takes_on(ndx, entry);
                if incremental {
                    continue;
                }
                self.directory(ndx, entry).await?;
                if during {
                    self.delete_in(entry, segment).await?;
                }
            } else {
                self.item(ndx, segment, false).await?;
            }
            self.shared().replay.passed(segment.turn(ndx));
            self.take_events().await?;
            self.outlet.pump().await?;
            if position == 0 && !incremental {
                // As the reference, which has nothing to write with here; later its messages overtake items.
                self.outlet.settle().await?;
            }
        }
        self.forget_fresh(segment);
        Ok(())
    }

    /// Nothing asks any more whether this directory is one that the run has made; of a million, that is memory.
    fn forget_fresh(&mut self, segment: &Segment) {
        let lists = self.side.lists.borrow();
        let dir = segment.dir.filter(|_| segment.dir_count == 0).and_then(|number| lists.dir(number));
        if let Some(dir) = dir {
            self.fresh.remove(self.side.local_name(dir.entry()).bytes());
        }
    }

    /// Handles what the receiver reported, without waiting.
    async fn take_events(&mut self) -> Result<(), Error<L::Error>> {
        loop {
            let event = self.shared().events.borrow_mut().pop_front();
            let Some(event) = event else { return Ok(()) };
            match event {
                Event::Success(ndx) => self.arrived(ndx).await?,
                Event::Failed(ndx) => self.gave_up(ndx).await?,
                Event::Redo(ndx) => {
                    let found = self.side.lists.borrow().find(ndx);
                    if let Ok(Found::Entry(segment)) = found {
                        segment.to_redo.set(segment.to_redo.get() + 1);
                        self.less_in_progress(ndx, &segment);
                        self.redo.push((ndx, segment));
                    }
                }
                Event::Leads(ndx) => self.takes_over(ndx).await?,
                Event::PhaseEnd(phase) => self.phases_ended = phase + 1,
                Event::Finished => self.receiver_finished = true,
            }
        }
    }

    async fn wait_events(&mut self) -> Result<(), Error<L::Error>> {
        self.outlet.pump().await?;
        if self.shared().events.borrow().is_empty() {
            self.outlet.wait().await?;
        }
        self.take_events().await?;
        self.redo_if_early().await?;
        if self.shared().agreed.inc_recurse() {
            self.finish_lists(true).await?;
        }
        Ok(())
    }

    /// With several lists redos are asked for before the DONE of their list.
    async fn redo_if_early(&mut self) -> Result<(), Error<L::Error>> {
        if self.shared().agreed.inc_recurse() { self.redo_pending().await } else { Ok(()) }
    }

    pub(super) fn less_in_progress(&mut self, ndx: i32, segment: &Segment) {
        self.late.retain(|(late, _)| *late != ndx);
        segment.in_progress.set(segment.in_progress.get().saturating_sub(1));
        self.in_progress = self.in_progress.saturating_sub(1);
    }

    pub(super) async fn redo_pending(&mut self) -> Result<(), Error<L::Error>> {
        for (ndx, segment) in core::mem::take(&mut self.redo) {
            segment.to_redo.set(segment.to_redo.get().saturating_sub(1));
            // What has been received once may be there, whoever made the directory.
            if let Some(entry) = segment.get(ndx) {
                self.fresh.remove(self.side.local_name(entry).parent().bytes());
            }
            self.item(ndx, &segment, true).await?;
        }
        Ok(())
    }

    /// A file is in place.
    async fn arrived(&mut self, ndx: i32) -> Result<(), Error<L::Error>> {
        let found = self.side.lists.borrow().find(ndx);
        let Ok(Found::Entry(segment)) = found else { return Ok(()) };
        self.less_in_progress(ndx, &segment);
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        if self.options().transfer.remove_source.is_some() {
            self.outlet.success(ndx, entry).await?;
        }
        if entry.entry.flags.contains(EntryFlags::HLINKED) {
            self.leader_arrived(entry).await?;
        }
        Ok(())
    }

    /// A file will not come. Another member of its link group takes over, from protocol 30 on: before that the generator is
    /// not told.
    async fn gave_up(&mut self, ndx: i32) -> Result<(), Error<L::Error>> {
        let found = self.side.lists.borrow().find(ndx)?;
        let Found::Entry(segment) = found else { return Ok(()) };
        self.less_in_progress(ndx, &segment);
        let takes_over = self.shared().agreed.protocol.has_io_messages();
        let Some(entry) = segment.get(ndx).filter(|_| takes_over) else { return Ok(()) };
        self.no_leader(ndx, entry).await
    }

    pub(super) fn is_fresh(&self, dir: &[u8]) -> bool {
        self.fresh.contains(dir)
    }

    /// Whether an entry is in the directory that is skipped. That is forgotten at the first entry behind it that is not in
    /// it, as in the reference: a member of a link group, or, below protocol 29, a name that is listed between the directory
    /// and what is in it.
    pub(super) fn skips(&mut self, name: &[u8]) -> bool {
        let skipped = self.is_skipped(name);
        if !skipped {
            self.skipped = None;
        }
        skipped
    }

    pub(super) fn is_skipped(&self, name: &[u8]) -> bool {
        self.skipped.as_ref().is_some_and(|dir| {
            dir.as_slice() == b"."
                || name.strip_prefix(dir.as_slice()).is_some_and(|r| matches!(r.first(), None | Some(b'/')))
        })
    }

    /// A daemon hides the name: nothing of it is touched, which is told.
    pub(super) fn is_refused(&self, name: RelName<'_>, dir: bool) -> bool {
        let refused = self.side.scope.is_veiled(name.bytes(), dir);
        if refused {
            self.report(&Notice::RefusedByDaemon { name: name.bytes(), dir });
        }
        refused
    }

    /// Anything but a directory.
    pub(super) async fn item(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        redo: bool,
    ) -> Result<(), Error<L::Error>> {
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        let options = self.options();
        let name = self.side.local_name(entry);
        self.takes_on(ndx, entry);
        self.side.created_root.set(false);
        if entry.entry.flags.contains(EntryFlags::HLINKED)
            && let Some(group) = self.groups.get_mut(&entry.extra().link_group)
        {
            group.closed |= segment.turn(ndx) >= group.last;
        }
        if self.skips(name.bytes()) || self.is_refused(name, false) {
            return self.no_leader(ndx, entry).await;
        }
        let shown = entry.rel_name();
        let kind = entry.entry.kind();
        if kind == FileKind::Missing {
            return self.delete_missing(name).await;
        }
        self.need_parents(name).await;
        // Asked for whatever becomes of the entry: that its directory is missing is told of here.
        self.side.mask(Role::Generator, name).await;
        if kind == FileKind::Regular {
            return self.regular(ndx, segment, redo).await;
        }
        // Where nothing can be looked at, making the item says why; it may not be wanted at all.
        let found = self.standing(name).await;
        let (stat, unseen) = (found.unwrap_or_default(), found.is_err());
        if self.skips_by_existence(entry, stat.as_ref(), unseen).await {
            return self.no_leader(ndx, entry).await;
        }
        let preserved = match kind {
            FileKind::Symlink => options.preserve.links,
            FileKind::Block | FileKind::Char => {
                options.preserve.devices && !options.select.drop_devices && self.side.rights.super_user
            }
            _ => options.preserve.specials && !options.select.drop_devices,
        };
        if !preserved {
            self.report(&Notice::NonRegular(shown.bytes()));
            return self.no_leader(ndx, entry).await;
        }
        if kind == FileKind::Symlink
            && options.select.safe_links
            && is_unsafe_link(entry.link_target(), shown.bytes())
        {
            self.report(&Notice::IgnoringUnsafe { name: shown.bytes(), target: entry.link_target() });
            return self.no_leader(ndx, entry).await;
        }
        if entry.entry.flags.contains(EntryFlags::HLINKED) {
            let id = entry.extra().link_group;
            let leader = self.groups.get(&id).and_then(|g| g.done.clone());
            if let Some((leader, leader_shown)) = leader {
                return self.link(ndx, entry, (&leader, &leader_shown), Joins::AtOnce).await;
            }
        }
        match self.special(ndx, entry, name, stat).await? {
            Made::Superfluous => self.superfluous(ndx, segment, entry).await,
            Made::Failed => self.blocked(ndx, segment, entry).await,
            Made::There if entry.entry.flags.contains(EntryFlags::HLINKED) => self.leader_done(entry).await,
            Made::There => Ok(()),
        }
    }

    /// False: there is no backup, which was reported. A dry run says what would be done.
    pub(super) async fn back_up(&mut self, name: RelName<'_>, by: BackupBy) -> Result<bool, Error<L::Error>> {
        match self.make_backup(name, by).await {
            Ok(()) => {
                self.side.report_failures(Role::Generator);
                Ok(true)
            }
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => {
                self.failed(Op::Backup, name.bytes(), error);
                Ok(false)
            }
        }
    }

    /// A backup, as far as there is one of a symlink that leads out.
    pub(super) async fn make_backup(&self, name: RelName<'_>, by: BackupBy) -> Result<(), PortError> {
        let options = self.options();
        if options.select.safe_links
            && options.preserve.links
            && let Ok(target) = self.side.target.read_link(Place::Dest(name)).await
            && is_unsafe_link(&target, name.bytes())
        {
            self.report(&Notice::NoUnsafeBackup { name: name.bytes(), target: &target });
        }
        if !options.dry_run {
            self.side.target.back_up(name, by).await?;
        }
        self.report(&Notice::BackedUp(name.bytes()));
        Ok(())
    }

    // ----- making room --------------------------------------------------------------------------------

    /// Removes what is in the way of an item of another type. False: it stays, which was reported.
    pub(super) async fn make_way(
        &mut self,
        name: RelName<'_>,
        stat: &Stat,
        kind: &'static str,
    ) -> Result<bool, Error<L::Error>> {
        let options = self.options();
        let may_empty = options.may_empty_dirs();
        let why = DeleteWhy::InTheWay { of: kind, with_contents: may_empty };
        self.step(&Step::DeleteItem { name: name.bytes(), mode: stat.mode, why });
        if stat.is_dir() {
            self.step(&Step::DeleteContents { name: name.bytes(), why });
        } else {
            self.open_to_writing(name, stat).await;
        }
        if stat.is_dir() {
            if self.remove_tree_for_room(name, stat, may_empty).await? {
                return Ok(true);
            }
        } else if options.transfer.backup && !self.has_backup_suffix(name.bytes()) {
            if self.back_up(name, BackupBy::Rename).await? {
                return Ok(true);
            }
        } else if options.dry_run {
            return Ok(true);
        } else {
            match self.side.target.remove_file(Place::Dest(name)).await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_not_found() => return Ok(true),
                Err(error) => self.failed(Op::Unlink, name.bytes(), error),
            }
        }
        self.report(&Notice::NoWay { kind, name: name.bytes() });
        Ok(false)
    }

    pub(super) fn has_backup_suffix(&self, name: &[u8]) -> bool {
        let transfer = &self.options().transfer;
        transfer.backup_dir.is_none() && !transfer.suffix.is_empty() && name.ends_with(&transfer.suffix)
    }

    /// Shows a deletion, here or at the peer.
    pub(super) fn show_deletion(&self, name: &[u8], stat_mode: u32) {
        let kind = FileKind::from_mode(stat_mode).unwrap_or(FileKind::Missing);
        let shared = self.shared();
        let travels = shared.agreed.protocol.has_deleted_message();
        if shared.is_client() || shared.options.report.logs || !travels {
            shared.observer.item(&ItemEvent {
                entry: None,
                name,
                flags: ItemFlags::DELETED,
                link: None,
                basis: BasisType::Name,
                transfer: None,
                kind,
                // In a local copy the reference's user sees what a sender hears: names, where there is a message for them.
                perms: if shared.local && travels { 0 } else { shared.chmodded(stat_mode) & mode::PERMS },
            });
        }
        // Where there is no message for it, the client gets the line that this side makes.
        if travels && !shared.is_client() {
            let mut payload = shared.text_to_wire(name.to_vec());
            if kind == FileKind::Dir {
                payload.push(0);
            }
            shared.outbox.push(MsgTag::Deleted, payload);
        }
    }
}
