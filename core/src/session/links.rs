//! Hard-link groups: which member leads, which wait for it, and what becomes of them (spec: hard links).

use alloc::{rc::Rc, vec::Vec};

use super::{
    Event,
    basis::{Alternate, Likeness},
    decide,
    generator::{Generator, Outlet},
    lists::{Found, Segment},
};
use crate::{
    error::{Error, Role},
    flist::entry::{EntryFlags, EntryRef, FileKind},
    item::ItemFlags,
    names::RelName,
    options::{AltDestKind, RemoveSource},
    ports::{BackupBy, Notice, Observer, Op, Place, Stat, Step, Target},
};

/// A hard-link group on its way (spec: hard links, choice of the leader).
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Turn of the last member known so far.
    pub(super) last: i32,
    /// The last member was looked at: nothing is put off any more.
    pub(super) closed: bool,
    pub(super) members: u32,
    pub(super) leader: Option<i32>,
    /// Members that were missing before there was a leader.
    pub(super) put_off: Vec<PutOff>,
    /// Members met while the leader is in transfer.
    pub(super) waiting: Vec<(i32, Rc<Segment>)>,
    /// The leader had to be transferred. In the reference it is still on its way then when the generator comes to the
    /// others, which wait for it.
    transferred: bool,
    /// The leader stood and gets other extended attributes. In the reference they come behind its item, when the others
    /// have been looked at.
    xattrs_come: bool,
    /// The leader is a copy of an alternate file that is the same. In the reference those that were put off are told of
    /// once more.
    copied: bool,
    /// Name at the destination of the finished leader, and the name to show.
    pub(super) done: Option<(Vec<u8>, Vec<u8>)>,
    /// The alternate file that a dry run would link the leader to.
    becomes: Option<Becomes>,
}

#[derive(Debug)]
struct Becomes {
    /// Device and inode.
    file: (u64, u64),
    path: Vec<u8>,
    /// Turns of the leader's list: the first, and the one behind the last.
    list: (i32, i32),
}

impl Becomes {
    /// Whether the reference still has the leader's list when it comes to this member: in that list, and at the first
    /// entry of the next one. Behind that it knows nothing but the path.
    fn is_known_to(&self, ndx: i32, segment: &Segment) -> bool {
        let (first, end) = self.list;
        first == segment.start || end + 1 == segment.start && ndx == segment.ndx_at(0)
    }
}

/// A member that is missing, met before the group had a leader.
#[derive(Debug)]
pub(super) struct PutOff {
    pub(super) ndx: i32,
    pub(super) segment: Rc<Segment>,
    pub(super) why: Missing,
}

/// Why a member is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is new.
    New,
    /// A directory to compare with has it: it is needed only if another member has to come.
    Superfluous,
    /// What stands in its place could not be removed. That is tried once more when there is something to link to.
    Blocked,
}

/// When a member is linked to its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joins {
    /// The leader was finished before.
    AtOnce,
    /// It waited for the leader.
    Later,
    /// It waited, and would have stayed away without the others.
    Superfluous,
}

impl Group {
    /// Puts a member off until the group has a leader.
    pub(super) fn put_off(&mut self, ndx: i32, segment: &Rc<Segment>, why: Missing) {
        self.leader = None;
        self.put_off.push(PutOff { ndx, segment: segment.clone(), why });
        segment.in_progress.set(segment.in_progress.get() + 1);
    }

    /// The member that leads when nothing better was found: the last of those that have to come. If none has to,
    /// nothing waits any more. `retry`: the last one without a place is tried once more then.
    fn last_resort(&mut self, retry: bool) -> Option<(i32, Rc<Segment>)> {
        if let Some(at) = self.put_off.iter().rposition(|p| p.why == Missing::New) {
            let chosen = self.put_off.remove(at);
            return Some((chosen.ndx, chosen.segment));
        }
        let blocked = self.put_off.iter().rposition(|p| p.why == Missing::Blocked).filter(|_| retry);
        let chosen = blocked.map(|at| self.put_off.remove(at));
        self.forgo();
        chosen.map(|chosen| (chosen.ndx, chosen.segment))
    }

    /// Members that were put off will not come.
    fn forgo(&mut self) {
        for PutOff { segment, .. } in self.put_off.drain(..) {
            segment.in_progress.set(segment.in_progress.get().saturating_sub(1));
        }
    }
}

impl<T, O, L> Generator<'_, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    /// Notes the members of link groups that are known when a list is walked.
    pub(super) fn note_known_groups(&mut self, walked: &Rc<Segment>) {
        for segment in self.lists_for_links().0 {
            self.note_groups(&segment);
        }
        // Those before it may have had enough entries.
        self.note_groups(walked);
    }

    /// Notes the members of link groups of a list.
    pub(super) fn note_groups(&mut self, segment: &Rc<Segment>) {
        if self.options().preserve.hard_links == 0 || segment.start < self.grouped_to {
            return;
        }
        self.grouped_to = segment.end();
        for (turn, entry) in (segment.start..).zip(&segment.list.entries) {
            if entry.flags.contains(EntryFlags::HLINKED) && entry.is_active() {
                let group = self.groups.entry(segment.list.extra(entry).link_group).or_default();
                group.last = turn;
                group.members += 1;
            }
        }
    }

    /// Whether this member of a link group is handled like a single file. If not it is linked, or waits.
    pub(super) async fn leads(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        entry: EntryRef<'_>,
    ) -> Result<bool, Error<L::Error>> {
        let id = entry.extra().link_group;
        let Some(group) = self.groups.get_mut(&id) else { return Ok(true) };
        if let Some((leader, shown)) = group.done.clone() {
            let joins = if group.transferred { Joins::Later } else { Joins::AtOnce };
            let becomes = group.becomes.as_ref().filter(|becomes| !becomes.is_known_to(ndx, segment));
            let shown = becomes.map_or(shown, |becomes| becomes.path.clone());
            self.link(ndx, entry, (&leader, &shown), joins).await?;
            return Ok(false);
        }
        if group.leader.is_some_and(|l| l != ndx) {
            group.waiting.push((ndx, segment.clone()));
            segment.in_progress.set(segment.in_progress.get() + 1);
            self.step(&Step::LinkWaits { ndx, name: self.side.local_name(entry).bytes(), group: id });
            return Ok(false);
        }
        group.leader = Some(ndx);
        Ok(true)
    }

    /// The leader stands, and its attributes were compared.
    pub(super) async fn leader_stands(&mut self, entry: EntryRef<'_>) -> Result<(), Error<L::Error>> {
        let xattrs_come = self.shared().extended.is_pending(entry.extra().xattrs);
        if let Some(group) = self.groups.get_mut(&entry.extra().link_group) {
            group.xattrs_come = xattrs_come;
        }
        self.leader_done(entry).await
    }

    /// The leader was copied from an alternate file that is the same.
    pub(super) fn leader_copied(&mut self, entry: EntryRef<'_>) {
        if entry.entry.flags.contains(EntryFlags::HLINKED)
            && let Some(group) = self.groups.get_mut(&entry.extra().link_group)
        {
            group.copied = true;
        }
    }

    /// The leader was transferred.
    pub(super) async fn leader_arrived(&mut self, entry: EntryRef<'_>) -> Result<(), Error<L::Error>> {
        if let Some(group) = self.groups.get_mut(&entry.extra().link_group) {
            group.transferred = true;
        }
        self.leader_done(entry).await
    }

    /// The leader is in place: the others are linked to it.
    pub(super) async fn leader_done(&mut self, entry: EntryRef<'_>) -> Result<(), Error<L::Error>> {
        let id = entry.extra().link_group;
        let leader = self.side.local_name(entry).bytes().to_vec();
        let shown = entry.rel_name().bytes().to_vec();
        let Some(group) = self.groups.get_mut(&id) else { return Ok(()) };
        if group.done.is_some() {
            return Ok(());
        }
        group.done = Some((leader.clone(), shown.clone()));
        let waiting = core::mem::take(&mut group.waiting);
        let put_off = core::mem::take(&mut group.put_off);
        let put_off = put_off.into_iter().rev().map(|p| {
            let joins = if p.why == Missing::Superfluous { Joins::Superfluous } else { Joins::Later };
            (p.ndx, p.segment, joins)
        });
        let waiting = waiting.into_iter().map(|(ndx, segment)| (ndx, segment, Joins::Later));
        for (ndx, segment, joins) in waiting.chain(put_off) {
            segment.in_progress.set(segment.in_progress.get().saturating_sub(1));
            if let Some(member) = segment.get(ndx) {
                self.link(ndx, member, (&leader, &shown), joins).await?;
            }
        }
        Ok(())
    }

    /// A member was skipped by a rule, or failed. If it would have led, another one takes its place: one that
    /// waits for it, or one that was put off.
    pub(super) async fn no_leader(&mut self, ndx: i32, entry: EntryRef<'_>) -> Result<(), Error<L::Error>> {
        self.find_leader(ndx, entry, true);
        Ok(())
    }

    /// `retry`: also among those that had no place before, as in the reference where the last member was skipped.
    fn find_leader(&mut self, ndx: i32, entry: EntryRef<'_>, retry: bool) {
        if !entry.entry.flags.contains(EntryFlags::HLINKED) {
            return;
        }
        let Some(group) = self.groups.get_mut(&entry.extra().link_group) else { return };
        if group.done.is_some() || group.leader.is_some_and(|leader| leader != ndx) {
            return;
        }
        let next = if !group.waiting.is_empty() {
            Some(group.waiting.remove(0))
        } else if group.closed {
            group.last_resort(retry)
        } else {
            None
        };
        group.leader = next.as_ref().map(|(ndx, _)| *ndx);
        if let Some((next, _)) = next {
            self.shared().events.borrow_mut().push_back(Event::Leads(next));
        }
    }

    /// A leader that was asked for behind the list is on its way, and another member would take over if it did not come.
    pub(super) fn awaits_late_leader(&self) -> bool {
        self.expects_answers()
            && self.late.iter().any(|(ndx, group)| {
                self.groups.get(group).is_some_and(|group| {
                    group.leader == Some(*ndx) && !(group.waiting.is_empty() && group.put_off.is_empty())
                })
            })
    }

    /// A member that waited leads its group now.
    pub(super) async fn takes_over(&mut self, ndx: i32) -> Result<(), Error<L::Error>> {
        let found = self.side.lists.borrow().find(ndx);
        let Ok(Found::Entry(segment)) = found else { return Ok(()) };
        segment.in_progress.set(segment.in_progress.get().saturating_sub(1));
        if let Some(entry) = segment.get(ndx) {
            // It waited, so that its own directory is none that is skipped.
            self.skips(self.side.local_name(entry).bytes());
        }
        self.regular(ndx, &segment, false).await
    }

    /// Makes one member a link to the finished leader, of which the name at the destination and the name to show are
    /// given.
    pub(super) async fn link(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        (leader, leader_shown): (&[u8], &[u8]),
        joins: Joins,
    ) -> Result<(), Error<L::Error>> {
        let options = self.options();
        let target = self.side.target;
        let name = self.side.local_name(entry);
        let Some(leader) = RelName::new(leader) else { return Ok(()) };
        // In a dry run without a destination, the reference looks for what waited where it works.
        let (here, stat) = match self.side.missing_root && joins != Joins::AtOnce {
            true => {
                let here = Place::WorkingDir(name);
                (here, target.stat(here, false).await.ok().flatten())
            }
            false => (Place::Dest(name), self.standing(name).await.ok().flatten()),
        };
        let becomes = self.groups.get(&entry.extra().link_group).and_then(|group| group.becomes.as_ref());
        let leads = match becomes {
            Some(alternate) => Some(alternate.file),
            None => target.stat(Place::Dest(leader), false).await.ok().flatten().map(|l| (l.dev, l.ino)),
        };
        if let Some(standing) = stat.filter(|s| leads == Some((s.dev, s.ino))) {
            return self.is_linked(ndx, entry, name, &standing).await;
        }
        let mut replace = false;
        if let Some(old) = stat.as_ref().filter(|_| !self.side.missing_root) {
            if old.is_dir() {
                if !self.make_way(name, old, "regular file").await? {
                    return Ok(());
                }
            } else {
                if options.transfer.backup && !self.back_up(name, BackupBy::Link).await? {
                    return Ok(());
                }
                replace = true;
            }
        }
        // What waited, or was said to be superfluous, comes as a new link; so does what is no regular file, unless it
        // is linked in the alternate directory too.
        let to_link = options.transfer.alt_dest_kind == Some(AltDestKind::Link);
        let compares = stat.is_none() && joins == Joins::AtOnce && (to_link || entry.entry.is_regular());
        let mask = self.side.mask(Role::Generator, name).await;
        let as_standing = |stat: Option<&Stat>| decide::dest_mode(entry.entry.mode, stat, options, mask);
        let alternate = if compares {
            self.same_as_alternate(entry, name, as_standing(stat.as_ref()), leads).await
        } else {
            None
        };
        // What stands in the way is shown as changed, whatever its kind.
        let before = stat.as_ref().or(alternate.as_ref().map(|a| &a.stat));
        let mode = as_standing(before);
        if !options.dry_run
            && let Err(error) = target.hard_link(Place::Dest(leader), name, replace).await
        {
            self.report(&Notice::Failed {
                op: Op::HardLink,
                name: name.bytes(),
                base: None,
                other: leader.bytes(),
                error,
            });
            return Ok(());
        }
        let copied = self.groups.get(&entry.extra().link_group).is_some_and(|group| group.copied);
        if copied && joins != Joins::AtOnce {
            self.report(&Notice::LinkedToCopy { name: name.bytes(), leader: leader_shown });
        }
        // As the reference, which looks at ACL and attributes when the link is there: they are the leader's.
        let extended = match &alternate {
            Some(a) => self.side.extended_flags(entry, mode, Some(Place::Alt(a.number, name))).await,
            None if stat.is_none() && joins != Joins::AtOnce && !options.dry_run => {
                self.side.new_link_flags(entry, mode, Place::Dest(name)).await
            }
            None => self.side.extended_flags(entry, mode, stat.map(|_| here)).await,
        };
        let mut flags = self.flags_of(entry, mode, before, ItemFlags::LOCAL_CHANGE) | extended;
        if stat.is_some_and(|s| s.kind() == FileKind::Symlink) {
            flags |= self.side.acl_instead_of_none(entry);
        }
        // A dry run has looked at what stands there and stays.
        if stat.is_some() && !options.dry_run {
            flags |= self.xattrs_on_the_way(entry);
        }
        if stat.is_none() && to_link && alternate.is_some() && !flags.is_significant() {
            // The directory to link to has the same group: nothing is new for a user.
            self.report_unchanged(entry, false);
            if options.report.unchanged && options.report.itemize {
                self.mention(ndx, entry, flags, Some(leader_shown)).await?;
            }
        } else {
            self.mention(ndx, entry, flags, Some(leader_shown)).await?;
        }
        // Of what was superfluous the source is gone already.
        if joins == Joins::Superfluous { Ok(()) } else { self.linked(ndx, entry).await }
    }

    /// A member that is the same file as its leader. What could not be set on that, or not yet as in a dry run, is told
    /// of each name.
    async fn is_linked(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        standing: &Stat,
    ) -> Result<(), Error<L::Error>> {
        let options = self.options();
        let wanted_mode = decide::dest_mode(
            entry.entry.mode,
            Some(standing),
            options,
            self.side.mask(Role::Generator, name).await,
        );
        let mut flags = self.flags_of(entry, wanted_mode, Some(standing), ItemFlags::LOCAL_CHANGE);
        if !options.preserve.times {
            flags.remove(ItemFlags::REPORT_TIME);
        }
        flags |= self.side.extended_flags(entry, wanted_mode, Some(Place::Dest(name))).await;
        flags |= self.xattrs_on_the_way(entry);
        self.mention_given(ndx, entry, flags, Some(b"")).await?;
        self.report(&Notice::UpToDate(name.bytes()));
        self.linked(ndx, entry).await
    }

    /// What is told of the attributes of a name whose leader still waits for them.
    fn xattrs_on_the_way(&self, entry: EntryRef<'_>) -> ItemFlags {
        match self.groups.get(&entry.extra().link_group) {
            Some(group) if group.xattrs_come => self.side.xattrs_as_of_leader(entry),
            _ => ItemFlags::empty(),
        }
    }

    /// The leader was linked to an alternate file, and was not told of yet: in the reference, the others are linked to it first.
    pub(super) async fn leader_linked(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        alternate: &Alternate,
    ) -> Result<(), Error<L::Error>> {
        if !entry.entry.flags.contains(EntryFlags::HLINKED) {
            return Ok(());
        }
        let found = self.side.lists.borrow().find(ndx);
        if let Ok(Found::Entry(segment)) = found {
            self.leader_becomes(&segment, entry, alternate);
            self.leader_done(entry).await?;
        }
        Ok(())
    }

    /// A dry run would link the leader to this alternate file.
    pub(super) fn leader_becomes(&mut self, segment: &Segment, entry: EntryRef<'_>, alternate: &Alternate) {
        let transfer = &self.options().transfer;
        let links = self.options().dry_run && transfer.alt_dest_kind == Some(AltDestKind::Link);
        if !links || !alternate.is_complete() {
            return;
        }
        let path = self.full_alternate_path(alternate.number, self.side.local_name(entry));
        if let Some(group) = self.groups.get_mut(&entry.extra().link_group) {
            let (file, list) = ((alternate.stat.dev, alternate.stat.ino), (segment.start, segment.end()));
            group.becomes = Some(Becomes { file, path, list });
        }
    }

    /// The alternate file that a missing member is compared with for what is shown. One to link to counts only if
    /// the leader is linked to it: this one is then a link that exists already.
    async fn same_as_alternate(
        &mut self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        wanted: u32,
        leader: Option<(u64, u64)>,
    ) -> Option<Alternate> {
        let transfer = &self.options().transfer;
        if transfer.alt_dest_kind? != AltDestKind::Link {
            return self.alternate(entry, name, wanted).await.filter(Alternate::has_content);
        }
        for number in 0..transfer.alt_dests.len() {
            let number = u8::try_from(number).ok()?;
            let Ok(Some(stat)) = self.side.target.stat(Place::Alt(number, name), false).await else {
                continue;
            };
            if leader == Some((stat.dev, stat.ino)) {
                return Some(Alternate { number, stat, likeness: Likeness::Content });
            }
        }
        None
    }

    /// A member that would have led cannot have its place.
    pub(super) async fn blocked(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        entry: EntryRef<'_>,
    ) -> Result<(), Error<L::Error>> {
        let linked = entry.entry.flags.contains(EntryFlags::HLINKED);
        let group = if linked { self.groups.get_mut(&entry.extra().link_group) } else { None };
        let would_lead = group.filter(|g| g.done.is_none() && g.leader.is_none_or(|leader| leader == ndx));
        match would_lead {
            Some(group) if !group.closed => group.put_off(ndx, segment, Missing::Blocked),
            // The last one was to lead those that are missing: files stay away with it (stock binary).
            Some(group) if entry.entry.is_regular() => group.forgo(),
            _ => {}
        }
        self.find_leader(ndx, entry, false);
        Ok(())
    }

    /// A missing item that a directory to compare with has: it stays away, unless another member of its link group has to
    /// come.
    pub(super) async fn superfluous(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        entry: EntryRef<'_>,
    ) -> Result<(), Error<L::Error>> {
        self.report_unchanged(entry, false);
        let flags = ItemFlags::empty();
        if entry.entry.is_regular() || self.tells_given(flags) {
            self.mention(ndx, entry, flags, None).await?;
        }
        if !entry.entry.flags.contains(EntryFlags::HLINKED) {
            return Ok(());
        }
        if entry.entry.is_regular() {
            self.linked(ndx, entry).await?;
        }
        let Some(group) = self.groups.get_mut(&entry.extra().link_group) else { return Ok(()) };
        group.put_off(ndx, segment, Missing::Superfluous);
        self.find_leader(ndx, entry, false);
        Ok(())
    }

    pub(super) async fn linked(&mut self, ndx: i32, entry: EntryRef<'_>) -> Result<(), Error<L::Error>> {
        if self.options().transfer.remove_source == Some(RemoveSource::All) {
            self.outlet.success(ndx, entry).await?;
        }
        Ok(())
    }
}
