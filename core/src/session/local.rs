//! A session with both ends in this process: one list, no wire, the decisions of a session with two ends.

use alloc::vec::Vec;
use core::convert::Infallible;

use hashbrown::HashMap;

use super::{
    Shared,
    dest_side::DestSide,
    generator::{Generator, report_method},
    incoming_list::{Mapping, drop_duplicates, prepare, received_names},
    lists::{DirRecord, Lists, Numbering, announce_reads, next_directory},
    outlet::LocalOutlet,
    prune::prune_empty_dirs,
    run::{Entrance, FirstList, show_list},
    scan::{Scanner, SourceArgs},
    sender::Names,
};
use crate::{
    copying::LocalCopy,
    error::{Error, ProtocolError, Role},
    filter::{FilterList, FilterSide, Scope},
    flist::{
        entry::{EntryFlags, FileList},
        order,
    },
    ports::{Notice, Observer, Source, Step, Target},
    stats::Stats,
};

/// Entries of lists that a local run makes ahead of the generator, for a destination that reads ahead.
const LISTED_AHEAD: u64 = 512;

/// The sender's lists of a local run, made on demand.
pub(super) struct LocalLists<'a, S, O> {
    shared: &'a Shared<'a, O>,
    scanner: Scanner<'a, S, O>,
    /// The second list, where the first alone did not tell what the destination is.
    early: Option<(FileList, u32)>,
    pending: Vec<(u32, u32)>,
    mapping: Mapping,
    links: LinkGroups,
}

impl<'a, S: Source, O: Observer> LocalLists<'a, S, O> {
    /// Makes the next list, or as many as hold what the destination reads ahead; or notes the end of lists.
    pub(super) async fn fill<T: Target>(
        &mut self,
        side: &DestSide<'_, T, O>,
    ) -> Result<(), Error<Infallible>> {
        let before = side.lists.borrow().total;
        loop {
            self.next(side).await?;
            let lists = side.lists.borrow();
            if lists.complete || !side.target.reads_ahead() || lists.total - before >= LISTED_AHEAD {
                return Ok(());
            }
        }
    }

    /// The next list; or the end of lists is noted.
    async fn next<T: Target>(&mut self, side: &DestSide<'_, T, O>) -> Result<(), Error<Infallible>> {
        let (number, same) = {
            match next_directory(&mut self.pending, &side.lists.borrow()) {
                Some(next) => next,
                None => return Ok(()),
            }
        };
        let (mut list, errors) = match self.early.take() {
            Some(early) => early,
            None => list_apart(self.shared, &mut self.scanner, &same).await?,
        };
        let start = side.lists.borrow().next_start();
        self.shared.step(Role::Receiver, &Step::ReceivingList(number));
        received_names(self.shared, Role::Receiver, &list);
        count_listed(self.shared, &list);
        prepare(
            self.shared,
            Some(side.target),
            &mut self.mapping,
            &Names(self.scanner.source),
            &mut list,
            start,
        );
        self.links.number(&mut list);
        let segment = side.lists.borrow_mut().push(list, Some(number));
        self.shared.add_list_errors(&segment, errors);
        self.pending.push((segment.first_dir, segment.first_dir + segment.dir_count));
        self.announce(side);
        self.end_if_done(side);
        Ok(())
    }

    /// The end of lists is noted as soon as no directory is left.
    pub(super) fn end_if_done<T: Target>(&self, side: &DestSide<'_, T, O>) {
        let mut lists = side.lists.borrow_mut();
        if next_directory(&mut self.pending.clone(), &lists).is_none() {
            lists.complete = true;
            self.shared.step(Role::Sender, &Step::ListsEnd);
            self.shared.step(Role::Receiver, &Step::ListsEnd);
        }
    }

    /// Tells the source which directories come soon.
    fn announce<T: Target>(&self, side: &DestSide<'_, T, O>) {
        announce_reads(self.scanner.source(), &side.lists.borrow().upcoming(&self.pending));
    }
}

/// Numbers of link groups by device and inode, where no wire numbers them.
#[derive(Debug, Default)]
struct LinkGroups(HashMap<(u64, u64), u32>);

impl LinkGroups {
    fn number(&mut self, list: &mut FileList) {
        for i in 0..list.len() {
            let linked = list.entries.get(i).is_some_and(|e| e.flags.contains(EntryFlags::HLINKED));
            if linked {
                let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
                let extra = list.extra_mut(i);
                extra.link_group = *self.0.entry(extra.dev_ino).or_insert(next);
            }
        }
    }
}

fn count_listed<O>(shared: &Shared<'_, O>, list: &FileList) {
    let mut stats = shared.stats.borrow_mut();
    for entry in (0..list.len()).filter_map(|i| list.get(i)) {
        stats.add_listed(entry.entry);
        let (_, base) = entry.rel_name().split();
        stats.flist_bytes += base.len() as u64 + LISTED_BYTES;
    }
}

/// About what an entry takes in a file list, beside its name.
const LISTED_BYTES: u64 = 12;
/// About what a transferred file takes beside its data: item, sum head, end of the tokens, checksum.
const SENT_BYTES: u64 = 44;
/// About what the request of a file takes: item and sum head.
const REQUEST_BYTES: u64 = 19;

/// Counts what two processes would have said to each other: who reads the numbers of a local run expects that order.
fn count_as_sent(stats: &mut Stats) {
    stats.written = stats.flist_bytes + stats.literal + SENT_BYTES * stats.transferred;
    stats.read = REQUEST_BYTES * (stats.transferred + 1);
}

/// Runs both ends in this process: no wire, the same decisions. `filters` are the rules of the sender, `dest_filters` those of
/// the receiving side; `copier` copies whole files ([`InTurn`](super::InTurn) where there is nothing faster). The exit code: as
/// for [`run_receiver`].
///
/// Not cancel-safe.
pub async fn run_local<'a, S, N, O, C>(
    shared: &'a Shared<'a, O>,
    source: &'a S,
    entrance: &N,
    filters: &FilterList,
    dest_filters: &FilterList,
    args: &SourceArgs,
    copier: &C,
) -> Result<(), Error<Infallible>>
where
    S: Source,
    N: Entrance,
    O: Observer,
    C: LocalCopy<S, N::Target>,
{
    // The reference builds the rules for its server even when there is none.
    if filters.wire_rules(shared.agreed.protocol, FilterSide::Sender).is_err() {
        return Err(ProtocolError::FilterTooModern.into());
    }
    shared.report(Role::Sender, &Notice::ListStart);
    let mut scanner = Scanner::new(shared, source, filters);
    let mut list = FileList::new();
    scanner.arguments(args, &mut list).await?;
    let incremental = shared.agreed.inc_recurse();
    let start = i32::from(incremental);
    count_listed(shared, &list);
    shared.report(Role::Sender, &Notice::ListDone(list.len()));
    shared.step(Role::Sender, &Step::ListMade);
    if !incremental {
        shared.step(Role::Sender, &Step::ListsEnd);
    }
    shared.step(Role::Sender, &Step::ListSent);
    let mut facts = FirstList::of(&list, shared, dest_filters);
    if shared.options.list_only {
        // Nothing is written, but what options name is looked at.
        Mapping::new(shared, entrance).map_err(Error::Exit)?;
        entrance.enter(&facts).await.map_err(Error::Exit)?;
        report_method(shared);
        let scope = dest_filters.scope(FilterSide::Receiver, b"");
        let listed = list_local(shared, scanner, list, &scope).await;
        if listed.is_ok() {
            shared.report(Role::Sender, &Notice::DeltaTotals(&shared.stats.borrow()));
        }
        count_as_sent(&mut shared.stats.borrow_mut());
        return listed;
    }
    let early = match incremental && facts.count == 1 {
        true => list_of_only_directory(shared, &mut scanner, &list).await?,
        false => None,
    };
    facts.count += early.as_ref().map_or(0, |(list, _)| list.len());
    received_names(shared, Role::ReceiverSide, &list);
    let mut mapping = Mapping::new(shared, entrance).map_err(Error::Exit)?;
    shared.step(Role::ReceiverSide, &Step::Destination { count: facts.count });
    let entered = match entrance.enter(&facts).await {
        Ok(entered) => entered,
        Err(code) => {
            // A sender looks through its list whatever becomes of the destination.
            order::sort(&mut list, shared.agreed.protocol);
            drop_duplicates(shared, &mut list, start);
            return Err(Error::Exit(code));
        }
    };
    let scope = dest_filters.scope(FilterSide::Receiver, &entered.target.root_path());
    shared.extended.receive(shared, &scope, entered.target.rights().super_user);
    prepare(shared, Some(&entered.target), &mut mapping, &Names(source), &mut list, start);
    let mut links = LinkGroups::default();
    links.number(&mut list);
    if shared.options.select.prune_empty_dirs {
        prune_empty_dirs(&mut list, &scope);
    }
    let mut lists = Lists::new(incremental, Numbering::Sorted);
    let first = lists.push(list, None);
    lists.complete = !incremental;
    let side = DestSide::new(shared, &entered, scope, lists);
    let pending = Vec::from([(first.first_dir, first.first_dir + first.dir_count)]);
    let mut local = LocalLists { shared, scanner, early, pending, mapping, links };
    local.announce(&side);
    if local.early.is_some() {
        local.next(&side).await?;
    } else if incremental {
        local.end_if_done(&side);
    }
    let outlet = LocalOutlet::new(&side, source, copier, local);
    let ended = Generator::new(&side, outlet).run().await;
    count_as_sent(&mut shared.stats.borrow_mut());
    ended
}

/// The list behind a first one of a single entry, if that is a directory: it decides whether there is more than one entry.
async fn list_of_only_directory<S: Source, O: Observer>(
    shared: &Shared<'_, O>,
    scanner: &mut Scanner<'_, S, O>,
    first: &FileList,
) -> Result<Option<(FileList, u32)>, Error<Infallible>> {
    let mut lists = Lists::new(true, Numbering::Sorted);
    let first = lists.push(first.clone(), None);
    let mut pending = Vec::from([(first.first_dir, first.first_dir + first.dir_count)]);
    match next_directory(&mut pending, &lists) {
        Some((_, same)) => list_apart(shared, scanner, &same).await.map(Some),
        None => Ok(None),
    }
}

/// The list of a directory, and the error bits that the destination hears of with it.
async fn list_apart<S: Source, O: Observer>(
    shared: &Shared<'_, O>,
    scanner: &mut Scanner<'_, S, O>,
    dirs: &[DirRecord],
) -> Result<(FileList, u32), Error<Infallible>> {
    let known = shared.io_error.replace(0);
    let list = scanner.directory(dirs).await;
    let errors = shared.io_error.replace(known);
    Ok((list?, errors))
}

async fn list_local<S: Source, O: Observer>(
    shared: &Shared<'_, O>,
    mut scanner: Scanner<'_, S, O>,
    mut list: FileList,
    scope: &Scope,
) -> Result<(), Error<Infallible>> {
    let incremental = shared.agreed.inc_recurse();
    let protocol = shared.agreed.protocol;
    let mut lists = Lists::new(incremental, Numbering::Sorted);
    order::sort(&mut list, protocol);
    drop_duplicates(shared, &mut list, lists.next_start());
    if shared.options.select.prune_empty_dirs {
        prune_empty_dirs(&mut list, scope);
    }
    show_list(shared, &list, None);
    let first = lists.push(list, None);
    let mut pending = Vec::from([(first.first_dir, first.first_dir + first.dir_count)]);
    if !incremental {
        return Ok(());
    }
    while let Some((number, same)) = next_directory(&mut pending, &lists) {
        let mut list = scanner.directory(&same).await?;
        count_listed(shared, &list);
        order::sort(&mut list, protocol);
        drop_duplicates(shared, &mut list, lists.next_start());
        show_list(shared, &list, same.first().map(DirRecord::entry));
        let segment = lists.push(list, Some(number));
        pending.push((segment.first_dir, segment.first_dir + segment.dir_count));
        lists.free_oldest();
    }
    Ok(())
}
