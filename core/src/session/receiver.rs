//! The receiver: takes lists and file data, and tells the generator what became of them.

use alloc::{rc::Rc, vec::Vec};
use core::pin::pin;

use embedded_io_async::BufRead;

use super::{
    Event, Inbox, Shared,
    completion::{Complete, Completions, unverified},
    dest_side::DestSide,
    extended,
    goodbye::{ItemHeader, read_del_stats, read_stats},
    incoming_list::{ListReader, outside, prepare, received_names},
    lists::{DirRecord, Found, Segment},
    transfer::{FileContext, Incoming, Sink},
};
use crate::{
    delta::SumHead,
    error::{Error, ProtocolError, Role},
    exit::ExitCode,
    flist::entry::{EntryFlags, EntryRef, FileList, mode},
    io::WireReader,
    item::{BasisType, ItemFlags},
    names::RelName,
    options::Append,
    ports::{
        BackupBy, Create, Destination, FileTransfer, ItemEvent, Notice, Observer, Op, Place, PortError, Step,
        Target, WriteMode,
    },
    rt::poll_once,
    setup::CompatFlags,
    trace::event,
    wire::ndx::{NDX_DEL_STATS, NDX_DONE, NDX_FLIST_EOF},
};

/// What is known of a file before its data comes.
struct Opened<'a, 'n, T: Target> {
    /// Where the file is that the sender matched against.
    basis: Place<'n>,
    /// Something stands at the name.
    replaces: bool,
    /// Type and permissions that the file will have.
    wanted_mode: u32,
    write_mode: WriteMode,
    /// Where the data goes.
    sink: Sink<'a, T>,
}

/// Takes lists and file data from the sender.
pub(super) struct Receiver<'a, 'r, 'i, R, T, O> {
    pub(super) side: &'a DestSide<'a, T, O>,
    pub(super) r: &'r mut WireReader<R, Inbox<'i, O>>,
    pub(super) lists: ListReader,
    pub(super) incoming: Incoming,
    completions: Completions<'a, T, O>,
    phase: u8,
    /// Lists that are marked as done and still needed.
    pub(super) held: usize,
    /// Entries of the first list.
    first_count: usize,
    /// What was read before.
    begins_at: u64,
}

impl<'a, 'r, 'i, R, T, O> Receiver<'a, 'r, 'i, R, T, O>
where
    R: BufRead,
    T: Target,
    O: Observer,
{
    pub(super) fn new(
        side: &'a DestSide<'a, T, O>,
        r: &'r mut WireReader<R, Inbox<'i, O>>,
        lists: ListReader,
    ) -> Result<Self, ProtocolError> {
        let incoming = Incoming::new(side.shared.options, &side.shared.agreed)?;
        let first_count = side.lists.borrow().oldest().map_or(0, |list| list.list.len());
        let completions = Completions::new(side);
        let begins_at = r.count();
        Ok(Self { side, r, lists, incoming, completions, phase: 0, held: 0, first_count, begins_at })
    }

    pub(super) fn shared(&self) -> &'a Shared<'a, O> {
        self.side.shared
    }

    fn step(&self, step: &Step<'_>) {
        self.shared().step(Role::Receiver, step);
    }

    fn takes_on(&self, ndx: i32, entry: EntryRef<'_>) {
        let name = self.side.local_name(entry);
        self.step(&Step::Item { name: name.bytes(), base: 0, ndx });
    }

    /// One further list, or the mark that none will come.
    pub(super) async fn list_item(&mut self, ndx: i32) -> Result<(), Error<R::Error>> {
        let shared = self.shared();
        if ndx == NDX_FLIST_EOF {
            let mut lists = self.side.lists.borrow_mut();
            if !shared.agreed.inc_recurse() || lists.complete {
                return Err(ProtocolError::UnexpectedList { got: ndx }.into());
            }
            lists.complete = true;
            self.step(&Step::ListsEnd);
            shared.wake_generator.notify();
            return Ok(());
        }
        let dir = self.side.lists.borrow_mut().announce(ndx)?;
        let start = self.side.lists.borrow().next_start();
        self.step(&Step::ReceivingList(dir));
        let (mut list, errors) = self.lists.read(self.r, shared, start).await?;
        shared.replay.has_read(self.r.count() - self.begins_at);
        self.lists.report_foreign(shared, Role::Receiver);
        received_names(shared, Role::Receiver, &list);
        self.lists.guard.check(shared, &mut list, true)?;
        self.take_list(dir, list, errors)
    }

    /// Takes the second list, which was read before the destination was known.
    pub(super) fn second_list(
        &mut self,
        ndx: i32,
        list: FileList,
        errors: u32,
    ) -> Result<(), Error<R::Error>> {
        let dir = self.side.lists.borrow_mut().announce(ndx)?;
        self.take_list(dir, list, errors)
    }

    fn take_list(&mut self, dir: u32, mut list: FileList, errors: u32) -> Result<(), Error<R::Error>> {
        let shared = self.shared();
        let start = self.side.lists.borrow().next_start();
        {
            let lists = self.side.lists.borrow();
            let parent = lists.dir(dir).map(|d| d.entry().rel_name());
            for entry in (0..list.len()).filter_map(|i| list.get(i)) {
                let name = entry.rel_name();
                // A name without counterpart is in no directory.
                if entry.name().is_empty() || name == RelName::ROOT || Some(name.parent()) != parent {
                    return Err(outside(shared, Role::Receiver, entry.name()).into());
                }
            }
        }
        prepare(
            shared,
            Some(self.side.target),
            &mut self.lists.mapping,
            &self.lists.decoder,
            &mut list,
            start,
        );
        if shared.options.list_only {
            let lists = self.side.lists.borrow();
            super::run::show_list(shared, &list, lists.dir(dir).map(DirRecord::entry));
        }
        let segment = self.side.lists.borrow_mut().push(list, Some(dir));
        if !shared.options.delete.ignore_errors {
            shared.add_list_errors(&segment, errors);
        }
        shared.wake_generator.notify();
        Ok(())
    }

    /// Takes everything up to the sender's last mark, then the statistics.
    pub(super) async fn run(&mut self) -> Result<(), Error<R::Error>> {
        let shared = self.shared();
        let protocol = shared.agreed.protocol;
        let last_phase = if protocol.has_item_flags() { 2 } else { 1 };
        self.step(&Step::Starts { count: self.first_count });
        loop {
            match self.next_ndx().await? {
                NDX_DONE => {
                    self.completions.end_all().await?;
                    if shared.options.read_batch {
                        self.end_of_recording().await;
                    }
                    if shared.agreed.inc_recurse() && self.list_ends() {
                        continue;
                    }
                    self.phase += 1;
                    if self.phase == 2 && shared.options.transfer.delay_updates {
                        promote_delayed(self.side, Role::Receiver).await;
                    }
                    if self.phase > last_phase {
                        self.step(&Step::Ends);
                        break;
                    }
                    self.step(&Step::Phase(self.phase));
                    shared.event(Event::PhaseEnd(self.phase - 1));
                }
                NDX_DEL_STATS => {
                    self.del_stats().await?;
                }
                ndx if ndx < 0 => self.list_item(ndx).await?,
                ndx => {
                    let header = ItemHeader::read(self.r, protocol).await?;
                    let keep_alive = !protocol.has_varints()
                        && self.side.lists.borrow().oldest().is_some_and(|s| s.end() == ndx);
                    if keep_alive {
                        continue;
                    }
                    self.item(ndx, header).await?;
                }
            }
        }
        if shared.is_client() {
            let mut stats = *shared.stats.borrow();
            read_stats(self.r, protocol, &mut stats).await?;
            *shared.stats.borrow_mut() = stats;
        }
        shared.event(Event::Finished);
        Ok(())
    }

    /// The oldest list that was not marked before is; true if others are behind it, whose marks come.
    fn list_ends(&mut self) -> bool {
        let mut lists = self.side.lists.borrow_mut();
        let unmarked = lists.len() - self.held;
        if unmarked == 0 {
            return false;
        }
        self.held += 1;
        // Whoever recorded a batch may have been done with a list from which a link waits here for a later one.
        while self.held > 0
            && lists.oldest().is_some_and(|l| !self.shared().options.read_batch || l.is_settled())
        {
            lists.free_oldest();
            self.side.freed.set(self.side.freed.get() + 1);
            self.held -= 1;
        }
        unmarked > 1
    }

    /// What comes next. Completions under way are reported before anything is waited for: the peer may wait for what
    /// the generator asks for behind them.
    async fn next_ndx(&mut self) -> Result<i32, Error<R::Error>> {
        let mut next = pin!(self.r.ndx(&mut self.lists.read_ndx));
        if !self.completions.is_empty() {
            if let Some(ndx) = poll_once(next.as_mut()).await {
                return ndx;
            }
            self.completions.end_all().await?;
        }
        next.await
    }

    /// What the sender still says until it closes; the end of the stream is no error here.
    pub(super) async fn goodbye(&mut self) -> Result<(), Error<R::Error>> {
        let protocol = self.shared().agreed.protocol;
        if protocol.has_extended_goodbye() {
            loop {
                match self.r.ndx(&mut self.lists.read_ndx).await {
                    Ok(NDX_DONE) | Err(Error::Eof) => break,
                    Ok(NDX_DEL_STATS) => {
                        self.del_stats().await?;
                    }
                    Ok(got) => return Err(ProtocolError::BadGoodbye { got }.into()),
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }

    async fn del_stats(&mut self) -> Result<(), Error<R::Error>> {
        let counts = read_del_stats(self.r).await?;
        let shared = self.shared();
        // What was deleted while a batch was recorded is not what is deleted now.
        if !shared.options.read_batch {
            shared.stats.borrow_mut().deleted = counts;
        }
        Ok(())
    }

    fn failed(&self, op: Op, name: &[u8], other: &[u8], error: PortError) {
        self.shared().report(Role::Receiver, &Notice::Failed { op, name, base: None, other, error });
    }

    fn show(&self, entry: EntryRef<'_>, header: &ItemHeader, file_mode: u32, transfer: Option<FileTransfer>) {
        let perms = file_mode & mode::PERMS;
        self.shared().show_item(&ItemEvent { transfer, perms, ..ItemEvent::of_header(entry, header) });
    }

    async fn item(&mut self, ndx: i32, header: ItemHeader) -> Result<(), Error<R::Error>> {
        let found = self.side.lists.borrow().find(ndx)?;
        let is_transfer = header.flags.contains(ItemFlags::TRANSFER);
        let segment = match found {
            Found::Parent(dir) => {
                if is_transfer {
                    return Err(ProtocolError::NotRegular { ndx }.into());
                }
                self.takes_on(ndx, dir.entry());
                let has_xattrs = extended::read_reply(self.r, self.shared(), dir.entry(), &header).await?;
                if has_xattrs && !self.is_hidden(dir.entry()) {
                    self.shared().standing_for_answer(ndx).await;
                    self.side.set_xattrs(dir.entry(), Role::Receiver).await;
                }
                self.shared().count_created(dir.entry(), header.flags);
                self.show(dir.entry(), &header, dir.entry().entry.mode, None);
                return Ok(());
            }
            Found::Entry(segment) => segment,
        };
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        if !entry.entry.is_active() {
            return Err(ProtocolError::ClearedNdx { ndx }.into());
        }
        self.takes_on(ndx, entry);
        let has_xattrs = extended::read_reply(self.r, self.shared(), entry, &header).await?;
        self.shared().count_created(entry, header.flags);
        if !is_transfer {
            if has_xattrs && !self.is_hidden(entry) {
                self.shared().standing_for_answer(segment.turn(ndx)).await;
                self.side.set_xattrs(entry, Role::Receiver).await;
            }
            self.show(entry, &header, entry.entry.mode, None);
            return Ok(());
        }
        if !entry.entry.is_regular() {
            return Err(ProtocolError::NotRegular { ndx }.into());
        }
        if self.phase == 2 {
            return Err(ProtocolError::LatePhase { phase: self.phase }.into());
        }
        let redo = segment.marks(ndx).contains(EntryFlags::REDO);
        self.shared().stats.borrow_mut().add_transferred(entry.entry);
        let options = self.shared().options;
        let resend = segment.marks(ndx).contains(EntryFlags::SENT);
        if options.read_batch && !options.dry_run {
            segment.mark(ndx, EntryFlags::SENT);
        }
        if self.is_hidden(entry) {
            // The generator asked for nothing of that name.
            return self.discard(ndx, &segment, entry).await;
        }
        if options.read_batch && entry.entry.flags.contains(EntryFlags::HLINKED) {
            self.completions.end_all().await?;
        }
        if options.read_batch && !self.shared().wants(ndx, segment.turn(ndx), redo).await {
            let name = self.side.local_name(entry);
            let notice = Notice::SkippingBatched { name: name.bytes(), resend };
            self.shared().report(Role::Receiver, &notice);
            return self.discard(ndx, &segment, entry).await;
        }
        if options.dry_run {
            self.show(entry, &header, entry.entry.mode, None);
            // The data is recorded, or was.
            if options.read_batch || (options.batch_only && self.shared().is_client()) {
                self.discard(ndx, &segment, entry).await?;
            }
            // With one list nothing waits for what is only recorded, and the links to it are left to the replay.
            if options.batch_only && self.shared().agreed.inc_recurse() {
                self.shared().event(Event::Success(ndx));
            }
            return Ok(());
        }
        self.file(ndx, &segment, entry, &header, redo).await
    }

    /// A daemon hides what stands at the entry's name.
    fn is_hidden(&self, entry: EntryRef<'_>) -> bool {
        self.side.scope.is_veiled(self.side.local_name(entry).bytes(), entry.entry.is_dir())
    }

    /// Which file the sender matched against.
    async fn basis_place<'n>(
        &self,
        header: &ItemHeader,
        name: RelName<'n>,
        sibling: &'n [u8],
        redo: bool,
    ) -> Result<Place<'n>, Error<R::Error>> {
        let transfer = &self.shared().options.transfer;
        if !self.shared().agreed.protocol.has_item_flags() {
            // The kind of basis does not travel: it is the backup of a file that is written in place, or the
            // partial file, or what stands there, or the alternate file, whichever there is first.
            if self.side.keeps_backup_blindly() && !redo {
                self.side.target.make_backup_dirs(name).await;
                let backup = self.side.target.stat(Place::Backup(name), false).await;
                if matches!(backup, Ok(Some(s)) if s.is_regular()) {
                    return Ok(Place::Backup(name));
                }
            }
            if transfer.partial_dir.is_some() && !redo {
                let partial = self.side.target.stat(Place::Partial(name), false).await;
                if matches!(partial, Ok(Some(s)) if s.is_regular()) {
                    return Ok(Place::Partial(name));
                }
            }
            if !transfer.alt_dests.is_empty() && !redo {
                let standing = self.side.target.stat(Place::Dest(name), false).await;
                if matches!(standing, Ok(None)) {
                    return Ok(Place::Alt(0, name));
                }
            }
            return Ok(Place::Dest(name));
        }
        match header.basis {
            BasisType::Name => Ok(Place::Dest(name)),
            BasisType::Fuzzy | BasisType::FuzzyAlt(_) if self.side.scope.is_veiled(sibling, false) => {
                Ok(Place::Dest(name))
            }
            BasisType::PartialDir => Ok(Place::Partial(name)),
            BasisType::Backup => Ok(Place::Backup(name)),
            BasisType::AltDest(n) => {
                if usize::from(n) >= transfer.alt_dests.len() {
                    return Err(ProtocolError::BadBasisDir(n).into());
                }
                Ok(Place::Alt(n, name))
            }
            BasisType::Fuzzy | BasisType::FuzzyAlt(_) if transfer.fuzzy == 0 => {
                Err(self.shared().refuse(Role::Receiver, ProtocolError::UnexpectedFuzzy, sibling).into())
            }
            BasisType::Fuzzy => Ok(Place::Dest(RelName::new(sibling).unwrap_or(name))),
            BasisType::FuzzyAlt(n) => {
                if usize::from(n) >= transfer.alt_dests.len() {
                    return Err(ProtocolError::BadBasisDir(n).into());
                }
                Ok(Place::Alt(n, RelName::new(sibling).unwrap_or(name)))
            }
        }
    }

    /// Finds the basis, decides about the mode, and makes what is written to.
    async fn open<'n>(
        &self,
        entry: EntryRef<'n>,
        header: &ItemHeader,
        head: &SumHead,
        sibling: &'n [u8],
        redo: bool,
    ) -> Result<Opened<'a, 'n, T>, Error<R::Error>>
    where
        'a: 'n,
    {
        let shared = self.shared();
        let transfer = &shared.options.transfer;
        let target = self.side.target;
        let name = self.side.local_name(entry);
        let place = self.basis_place(header, name, sibling, redo).await?;
        // Another file has come to wait there.
        let taken = matches!(place, Place::Partial(_)) && self.side.is_taken(name);
        let place = if taken { Place::Dest(name) } else { place };
        let append = if redo { Append::Off } else { transfer.append.under(shared.agreed.protocol) };
        // What the generator found missing a moment ago need not be asked for again; what it could not read may have
        // to be backed up.
        let new = header.flags.contains(ItemFlags::IS_NEW) && !redo;
        let standing = if new && !transfer.backup {
            None
        } else {
            target.stat(Place::Dest(name), false).await.ok().flatten()
        };
        let is_dir = standing.as_ref().is_some_and(crate::ports::Stat::is_dir);
        if is_dir {
            shared.report(Role::Receiver, &Notice::ReceiveIsDir(name.bytes()));
        }
        let basis = if head.count > 0 && !taken { target.open_basis(place).await.ok() } else { None };
        if let Some((_, size)) = &basis {
            let name = place.name().bytes();
            self.step(&Step::Mapped { name, base: 0, size: *size });
        }
        // What resembled the file may have made way for something else since.
        let lost = basis.is_none() && (header.basis == BasisType::Fuzzy || taken);
        let made_from = match place {
            Place::Dest(at) if at == name => None,
            Place::Backup(_) if head.count == 0 => None,
            other => Some(other),
        };
        let replaced = standing.filter(|_| !(new && place == Place::Dest(name)));
        let wanted_mode = self.side.received_mode(entry, name, made_from, replaced).await;
        let partial_in_place = header.basis == BasisType::PartialDir
            && !taken
            && shared.agreed.flags.contains(CompatFlags::INPLACE_PARTIAL_DIR);
        let write_mode = if transfer.inplace {
            WriteMode::InPlace
        } else if partial_in_place {
            WriteMode::PartialInPlace
        } else {
            WriteMode::Temporary
        };
        let create = Create {
            name,
            mode: write_mode,
            file_mode: wanted_mode,
            size: entry.entry.size,
            append_from: if append == Append::Off { 0 } else { head.basis_len() },
        };
        let output = if is_dir { None } else { self.side.create(&create).await };
        // Only what is written to can hold blocks that stay where they are. Zeros that stay become holes with `--sparse`:
        // they are written like the rest.
        let in_place = write_mode != WriteMode::Temporary
            && (place == Place::Dest(name) || place == Place::Partial(name))
            && !transfer.sparse;
        // For what is thrown away nothing is read.
        let basis = basis.map(|(basis, _)| basis).filter(|_| output.is_some());
        let sink = Sink { target, output, basis, lost, in_place, append, literal: 0, torn: None };
        Ok(Opened { basis: place, replaces: standing.is_some(), wanted_mode, write_mode, sink })
    }

    /// Receives the data of a file, compares its checksum, and puts it into its place.
    async fn file(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        entry: EntryRef<'_>,
        header: &ItemHeader,
        redo: bool,
    ) -> Result<(), Error<R::Error>> {
        let shared = self.shared();
        let name = self.side.local_name(entry);
        let after = shared.options.report.after_transfer;
        let count_before = self.r.data_count();
        let head = self.incoming.head(self.r).await?;
        let sibling = sibling_name(name, header.xname.as_deref().unwrap_or_default());
        let opened = self.open(entry, header, &head, &sibling, redo).await?;
        let Opened { basis: place, replaces, wanted_mode, write_mode, mut sink } = opened;
        if !after && sink.output.is_some() {
            self.show(entry, header, wanted_mode, None);
        }
        let context = FileContext::new(shared, entry, ndx, segment, &self.side.lists.borrow());
        let received = match self.incoming.receive(self.r, head, &mut sink, &context).await {
            Ok(received) => received,
            Err(error) => {
                if let Some(output) = sink.torn.or(sink.output.filter(|_| sink.literal > 0)) {
                    self.keep_interrupted(entry, wanted_mode, output).await;
                }
                return Err(error);
            }
        };
        context.progress(received.size, 0, true);
        if let Some(error) = received.write_error {
            self.failed(Op::Write, name.bytes(), &[], error);
            if let Some(torn) = sink.torn {
                self.keep_interrupted(entry, wanted_mode, torn).await;
            }
            return Err(Error::Exit(ExitCode::FILE_IO));
        }
        if after && sink.output.is_some() {
            let sum = received.sum;
            let figures = FileTransfer { sent: 0, received: self.r.data_count() - count_before, sum };
            self.show(entry, header, wanted_mode, Some(figures));
        }
        let Some(output) = sink.output else {
            shared.event(Event::Failed(ndx));
            return Ok(());
        };
        if received.matches_sum {
            let attrs = self.side.attrs(entry, wanted_mode);
            let file = Complete { name, attrs, basis: place, replaces };
            return self.complete(ndx, segment, entry, &file, output).await;
        }
        unverified(self.side, entry, name, wanted_mode, write_mode, output, redo).await?;
        event!("file {} failed its checksum, asked for again: {}", ndx, !redo);
        if redo {
            shared.event(Event::Failed(ndx));
        } else {
            segment.mark(ndx, EntryFlags::REDO);
            shared.event(Event::Redo(ndx));
        }
        Ok(())
    }

    /// Puts a verified file into its place, or begins to where that can go on by itself.
    async fn complete(
        &mut self,
        ndx: i32,
        segment: &Segment,
        entry: EntryRef<'_>,
        file: &Complete<'_>,
        mut output: T::Output,
    ) -> Result<(), Error<R::Error>> {
        let to = file.destination(self.side);
        self.side.attach(&mut output, entry, false).await;
        let keeps_partials = self.shared().options.transfer.partial_dir.is_some();
        if to == (Destination::Final { backup: false }) && !keeps_partials {
            match self.completions.begin(ndx, file.name, output, &file.attrs, entry.entry.size) {
                Ok(()) => return Ok(self.completions.make_room().await?),
                Err(at_once) => output = at_once,
            }
        }
        let placed = file.put(self.side, output, to).await?;
        if placed && to == Destination::Partial {
            segment.mark(ndx, EntryFlags::DONE);
            return Ok(());
        }
        self.shared().event(if placed { Event::Success(ndx) } else { Event::Failed(ndx) });
        Ok(())
    }

    /// The session ends in the middle of a file: with `--partial` what has come of it is kept. Whatever fails here, the
    /// session has its reason already.
    async fn keep_interrupted(&self, entry: EntryRef<'_>, wanted_mode: u32, mut output: T::Output) {
        let transfer = &self.shared().options.transfer;
        if !transfer.partial || transfer.inplace {
            return self.side.target.discard(output).await;
        }
        let to = match transfer.partial_dir {
            Some(_) => Destination::Partial,
            None => Destination::KeptPartial { backup: transfer.backup },
        };
        let attrs = self.side.attrs_without_times(entry, wanted_mode);
        self.side.attach(&mut output, entry, false).await;
        let _ = self.side.target.commit(output, &attrs, to).await;
    }
}

/// `--delay-updates`: moves the finished files to their names, in list order.
pub(super) async fn promote_delayed<T: Target, O: Observer>(side: &DestSide<'_, T, O>, role: Role) {
    let segments: Vec<Rc<Segment>> = {
        let lists = side.lists.borrow();
        (0..lists.len()).filter_map(|i| lists.get(i)).collect()
    };
    for segment in segments {
        for position in 0..segment.list.len() {
            let ndx = segment.ndx_at(position);
            let delayed = segment.marks(ndx).contains(EntryFlags::DONE);
            if let Some(entry) = segment.list.get(position).filter(|_| delayed) {
                let name = side.local_name(entry);
                let placed = promote(side, role, name).await;
                side.shared.event(if placed { Event::Success(ndx) } else { Event::Failed(ndx) });
                side.target.tidy_partial_dir(name).await;
            }
        }
    }
}

/// Puts one delayed file in place; false: it failed, which was reported.
async fn promote<T: Target, O: Observer>(side: &DestSide<'_, T, O>, role: Role, name: RelName<'_>) -> bool {
    let failed = |op, other, error| {
        let notice = Notice::Failed { op, name: name.bytes(), base: None, other, error };
        side.shared.report(role, &notice);
        false
    };
    let backup = side.shared.options.transfer.backup;
    if backup && matches!(side.target.stat(Place::Dest(name), false).await, Ok(Some(_))) {
        if let Err(error) = side.target.back_up(name, BackupBy::Link).await {
            return failed(Op::Backup, &[], error);
        }
        side.shared.report(role, &Notice::BackedUp(name.bytes()));
    }
    match side.target.promote_partial(name).await {
        Ok(()) => true,
        Err(error) => failed(Op::RenamePartial, &partial_name(side, name), error),
    }
}

/// Where a file waits for its name.
fn partial_name<T, O: Observer>(side: &DestSide<'_, T, O>, name: RelName<'_>) -> Vec<u8> {
    let partial = side.shared.options.transfer.partial_dir.as_deref().unwrap_or_default();
    let (dir, base) = name.split();
    match dir {
        Some(dir) if !partial.starts_with(b"/") => [dir, b"/", partial, b"/", base].concat(),
        _ => [partial, b"/", base].concat(),
    }
}

/// Another name of the same directory; only the last component of what the peer says counts.
pub(super) fn sibling_name(name: RelName<'_>, xname: &[u8]) -> Vec<u8> {
    let leaf = xname.rsplit(|&b| b == b'/').next().unwrap_or_default();
    match name.split().0 {
        Some(dir) => [dir, b"/", leaf].concat(),
        None => leaf.to_vec(),
    }
}
