//! What the generator asks for, done in this process; and what both outlets share.

mod early;

use self::early::{OPEN, Started};
use alloc::{boxed::Box, collections::VecDeque, rc::Rc, vec::Vec};
use core::{cell::Cell, convert::Infallible};

use super::{
    Event,
    alike::{Alike, Opened},
    basis::basis_place,
    completion::{Complete, report_commit, unverified},
    dest_side::DestSide,
    generator::{Outlet, Request},
    io_error,
    item_lines::{is_worth_a_line, name_line},
    lists::{Found, LOOKAHEAD, Segment},
    local::LocalLists,
    receiver::{promote_delayed, sibling_name},
    search::Search,
    sender::remove_source,
    transfer::FileContext,
};
use crate::{
    checksum::ChecksumKind,
    copying::{CopyEnd, LocalCopy},
    delta::{MatchStats, SumHead},
    error::{Error, Role},
    exit::ExitCode,
    flist::entry::{EntryFlags, EntryRef},
    item::{BasisType, ItemFlags},
    limits::FILE_PIECE,
    mux::MsgTag,
    names::below,
    options::Append,
    ports::{
        Create, Destination, FileTransfer, ItemEvent, Notice, Observer, Op, Place, PortError, Source,
        SourcePath, Step, Target, WriteMode,
    },
    stats::Counts,
};

/// After this many items what was written is pushed out and the receiver gets its turn.
pub(super) const TURN: u32 = 512;

/// Copies in this process: the sender's files are at hand.
pub(super) struct LocalOutlet<'a, S, T: Target, O, C> {
    side: &'a DestSide<'a, T, O>,
    source: &'a S,
    copier: &'a C,
    lists: LocalLists<'a, S, O>,
    buf: Vec<u8>,
    /// What was read of a basis.
    old: Vec<u8>,
    dones: u8,
    /// Files that were begun.
    copies: u64,
    /// Items and copies that wait for their turn, behind the generator as a remote sender would be.
    queue: VecDeque<Job<T::Basis>>,
    /// Bases that are open for copies under way.
    open: usize,
    /// Error bits of the sender that the destination does not know of yet.
    sender_faults: Cell<u32>,
}

/// A basis, and what becomes of it.
struct OpenBasis<B> {
    file: B,
    /// Of the file, bytes.
    len: u64,
    /// Its blocks may stay where they are.
    in_place: bool,
    /// It is what is written to.
    overwritten: bool,
}

/// Something that the local outlet does in order.
enum Job<B> {
    /// Shows an item of a list.
    Item { ndx: i32, of: Found, flags: ItemFlags, xname: Option<Vec<u8>> },
    /// Copies a file.
    Copy { ndx: i32, segment: Rc<Segment>, request: Request, started: Option<Started<B>> },
}

/// Jobs that may wait; then they are done before more are taken.
const QUEUE: usize = 1024;

impl<'a, S: Source, T: Target, O: Observer, C: LocalCopy<S, T>> LocalOutlet<'a, S, T, O, C> {
    pub(super) fn new(
        side: &'a DestSide<'a, T, O>,
        source: &'a S,
        copier: &'a C,
        lists: LocalLists<'a, S, O>,
    ) -> Self {
        side.shared.step(Role::Sender, &Step::Starts { count: 0 });
        let count = side.lists.borrow().oldest().map_or(0, |list| list.list.len());
        side.shared.step(Role::Receiver, &Step::Starts { count });
        Self {
            side,
            source,
            copier,
            lists,
            buf: Vec::new(),
            old: Vec::new(),
            dones: 0,
            copies: 0,
            queue: VecDeque::new(),
            open: 0,
            sender_faults: Cell::new(0),
        }
    }

    /// Makes as many lists as a sender has made when it comes to a file of this one: with `-U` because reading it changes the
    /// time under all of its names, with `--progress` to show how many there are.
    async fn list_ahead(&mut self, list: i32) -> Result<(), Error<Infallible>> {
        let options = self.side.shared.options;
        if options.preserve.atimes == 0 && !options.report.progress {
            return Ok(());
        }
        loop {
            {
                let lists = self.side.lists.borrow();
                if lists.complete || lists.ahead_of(list) >= LOOKAHEAD {
                    return Ok(());
                }
            }
            self.lists.fill(self.side).await?;
        }
    }

    /// What a report says about a file of which `sent` bytes were copied. The checksum, which nothing else needs
    /// here, is made only for a report that shows it.
    async fn figures(&self, entry: EntryRef<'_>, sent: u64) -> FileTransfer {
        let shared = self.side.shared;
        let kind = shared.agreed.transfer_sum;
        let mut figures = FileTransfer { sent, ..FileTransfer::default() };
        if shared.options.report.checksums && kind != ChecksumKind::None {
            let path = SourcePath { base: entry.entry.base, name: below(entry.name()) };
            figures.sum = self.source.digest(path, kind).await.unwrap_or_default();
        }
        figures
    }

    fn show(
        &self,
        entry: EntryRef<'_>,
        flags: ItemFlags,
        basis: BasisType,
        link: Option<&[u8]>,
        transfer: Option<FileTransfer>,
    ) {
        let event = ItemEvent { link, basis, transfer, ..ItemEvent::of(entry, flags) };
        self.side.shared.observer.item(&event);
    }

    fn step(&self, role: Role, step: &Step<'_>) {
        self.side.shared.step(role, step);
    }

    /// The file is open at the sender.
    fn mapped(&self, entry: EntryRef<'_>, size: u64) {
        let (name, base) = (below(entry.name()), entry.entry.base);
        self.step(Role::Sender, &Step::Mapped { name, base, size });
        self.step(Role::Sender, &Step::Matching { name, base });
    }

    /// Both other roles come to an item.
    fn takes_on(&self, ndx: i32, entry: EntryRef<'_>) {
        let base = entry.entry.base;
        self.step(Role::Sender, &Step::Item { name: below(entry.name()), base, ndx });
        self.step(Role::Receiver, &Step::Item { name: self.side.local_name(entry).bytes(), base, ndx });
    }

    /// Tells why a file cannot be sent.
    fn not_opened(&self, entry: EntryRef<'_>, error: PortError) {
        let (name, base) = (below(entry.name()), entry.entry.base);
        if error.is_not_found() {
            self.sender_fault(io_error::VANISHED);
            self.side.shared.report(Role::Sender, &Notice::Vanished { name, base, dir: false });
        } else {
            self.sender_fault(io_error::GENERAL);
            self.failed(Role::Sender, Op::SendOpen, name, Some(base), error);
        }
    }

    /// The destination hears of what the sender could not read when everything was sent.
    fn sender_fault(&self, bits: u32) {
        self.sender_faults.set(self.sender_faults.get() | bits);
    }

    fn failed(&self, role: Role, op: Op, name: &[u8], base: Option<u32>, error: PortError) {
        let other = if op == Op::Rename { name } else { &[] };
        self.side.shared.report(role, &Notice::Failed { op, name, base, other, error });
    }

    /// Does half of what waits if it has become much, so that copies under way go on while more is decided.
    async fn turn(&mut self) -> Result<(), Error<Infallible>> {
        if self.queue.len() >= QUEUE {
            self.drain_to(QUEUE / 2).await?;
        }
        if self.open >= OPEN {
            while self.open > OPEN / 2 && self.oldest().await? {}
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), Error<Infallible>> {
        self.drain_to(0).await
    }

    /// Does what waits until no more than `left` jobs are left.
    async fn drain_to(&mut self, left: usize) -> Result<(), Error<Infallible>> {
        while self.queue.len() > left && self.oldest().await? {}
        Ok(())
    }

    /// Does the oldest of what waits; false: there is nothing.
    async fn oldest(&mut self) -> Result<bool, Error<Infallible>> {
        let Some(job) = self.queue.pop_front() else { return Ok(false) };
        match job {
            Job::Item { ndx, of: Found::Entry(segment), flags, xname } => {
                if let Some(entry) = segment.get(ndx) {
                    self.takes_on(ndx, entry);
                    self.show(entry, flags, BasisType::Name, xname.as_deref(), None);
                    self.side.set_answered(entry, flags).await;
                }
            }
            Job::Item { ndx, of: Found::Parent(dir), flags, xname } => {
                self.takes_on(ndx, dir.entry());
                self.show(dir.entry(), flags, BasisType::Name, xname.as_deref(), None);
                self.side.set_answered(dir.entry(), flags).await;
            }
            Job::Copy { ndx, segment, request, started } => {
                self.transfer(ndx, &segment, &request, started).await?;
            }
        }
        Ok(true)
    }

    async fn transfer(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        request: &Request,
        started: Option<Started<T::Basis>>,
    ) -> Result<(), Error<Infallible>> {
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        self.takes_on(ndx, entry);
        self.copies += 1;
        if self.side.shared.options.dry_run {
            self.show(entry, request.flags, request.basis, None, None);
            return Ok(());
        }
        let mut context = FileContext::new(self.side.shared, entry, ndx, segment, &self.side.lists.borrow());
        // Those that wait are counted already, and so are lists that no receiver would have yet.
        context.transfers = self.copies;
        if self.side.shared.options.report.progress {
            (context.known, context.complete) = self.side.lists.borrow().known_at(segment.start);
        }
        let (end, counted) = match started {
            Some(started) => self.finish(&context, started).await,
            None => (CopyEnd::Refused, false),
        };
        let whole = self.side.without_taken(self.side.local_name(entry), request);
        let request = whole.as_ref().unwrap_or(request);
        let event = match end {
            CopyEnd::Refused => self.copy(&context, request).await?,
            end if self.finish_early(&context, request, end, counted).await? => Event::Success(ndx),
            _ => Event::Failed(ndx),
        };
        if !matches!(event, Event::Failed(_)) {
            self.step(Role::Sender, &Step::Sent { name: below(entry.name()), base: entry.entry.base });
        }
        if matches!(event, Event::Success(_)) && self.side.delays(self.side.local_name(entry)) {
            segment.mark(ndx, EntryFlags::DONE);
            return Ok(());
        }
        self.side.shared.event(event);
        Ok(())
    }

    /// Copies the data and puts the file in place. Returns what came of it.
    async fn copy(
        &mut self,
        context: &FileContext<'_, '_, O>,
        request: &Request,
    ) -> Result<Event, Error<Infallible>> {
        let (entry, ndx) = (context.entry, context.ndx);
        let shared = self.side.shared;
        let options = shared.options;
        let transfer = &options.transfer;
        let target = self.side.target;
        let name = self.side.local_name(entry);
        let path = SourcePath { base: entry.entry.base, name: below(entry.name()) };
        let (file, stat) = match self.source.open(path).await {
            Ok(opened) => opened,
            Err(error) => {
                self.not_opened(entry, error);
                return Ok(Event::Failed(ndx));
            }
        };
        if request.append != Append::Off && stat.size < entry.entry.size {
            shared.report(Role::Sender, &Notice::Diminished { name: path.name, base: path.base });
            return Ok(Event::Failed(ndx));
        }
        let after = options.report.after_transfer;
        self.mapped(entry, stat.size);
        if !after {
            self.show(entry, request.flags, request.basis, None, None);
        }
        let standing = if !request.flags.contains(ItemFlags::IS_NEW) {
            target.stat(Place::Dest(name), false).await.ok().flatten()
        } else {
            None
        };
        if self.side.keeps_backup_blindly() && !request.redo {
            target.make_backup_dirs(name).await;
        }
        let whole = transfer.whole_file.unwrap_or(true) || shared.agreed.transfer_sum == ChecksumKind::None;
        let sibling = sibling_name(name, request.xname.as_deref().unwrap_or_default());
        let place = basis_place(request, name, &sibling);
        let made_from = match request.basis {
            BasisType::Name => None,
            BasisType::Backup if whole => None,
            _ => Some(place),
        };
        let wanted_mode = self.side.received_mode(entry, name, made_from, standing).await;
        let write_mode = match request.basis {
            _ if transfer.inplace => WriteMode::InPlace,
            BasisType::PartialDir => WriteMode::PartialInPlace,
            _ => WriteMode::Temporary,
        };
        let append = request.append.under(shared.agreed.protocol);
        let start = match (append, request.basis_len) {
            (Append::Off, _) | (_, None) => 0,
            (_, Some(len)) => len.min(stat.size),
        };
        let other_start =
            append == Append::Verify && start > 0 && !self.same_start(&file, place, start).await;
        let create =
            Create { name, mode: write_mode, file_mode: wanted_mode, size: stat.size, append_from: start };
        let basis = self.open_basis(request, place, write_mode).await;
        let Some(mut output) = self.side.create(&create).await else {
            // A sender would have sent it.
            shared.stats.borrow_mut().literal += stat.size.saturating_sub(start);
            return Ok(Event::Failed(ndx));
        };
        let copied = match basis {
            Some(basis) => {
                // On the heap: few files are searched, and every local run would hold it.
                Box::pin(self.delta(&file, stat.size, &basis, Some(&mut output), context)).await
            }
            None => {
                let copied = self.whole(&file, start, stat.size, &mut output, context).await;
                context.sending_sum(MatchStats::default());
                copied
            }
        };
        context.progress(stat.size, start, true);
        let fault = match copied {
            Ok(fault) => fault,
            Err(error) => {
                target.discard(output).await;
                self.failed(Role::Receiver, Op::Write, name.bytes(), None, error);
                return Err(Error::Exit(ExitCode::FILE_IO));
            }
        };
        if let Some(error) = fault {
            self.sender_fault(io_error::GENERAL);
            self.failed(Role::Sender, Op::ReadErrors, path.name, Some(path.base), error);
        }
        if after {
            let figures = self.figures(entry, stat.size - start).await;
            self.show(entry, request.flags, request.basis, None, Some(figures));
        }
        if fault.is_some() {
            unverified(self.side, entry, name, wanted_mode, write_mode, output, request.redo).await?;
            return Ok(if request.redo { Event::Failed(ndx) } else { Event::Redo(ndx) });
        }
        if other_start {
            let shown = entry.rel_name().bytes();
            let again = Notice::FailedVerification { name: shown, kept: "retained", again: true };
            shared.report(Role::Receiver, &again);
            self.leave(entry, wanted_mode, output).await;
            return Ok(Event::Redo(ndx));
        }
        let attrs = self.side.attrs(entry, wanted_mode);
        let complete = Complete { name, attrs, basis: place, replaces: standing.is_some() };
        let to = complete.destination(self.side);
        self.side.attach(&mut output, entry, false).await;
        let placed = complete.put(self.side, output, to).await?;
        Ok(if placed { Event::Success(ndx) } else { Event::Failed(ndx) })
    }

    /// Opens what the blocks of a file are looked for in, unless it is copied as a whole.
    async fn open_basis(
        &self,
        request: &Request,
        place: Place<'_>,
        write_mode: WriteMode,
    ) -> Option<OpenBasis<T::Basis>> {
        let append = request.append.under(self.side.shared.agreed.protocol);
        if request.basis_len.is_none_or(|len| len == 0) || append != Append::Off || self.copies_whole(request)
        {
            return None;
        }
        let (file, len) = self.side.target.open_basis(place).await.ok()?;
        // Only what is written to can hold blocks that stay where they are.
        let in_place = write_mode != WriteMode::Temporary
            && matches!(request.basis, BasisType::Name | BasisType::PartialDir | BasisType::Backup);
        // A backup keeps what is written over.
        let overwritten = in_place && request.basis != BasisType::Backup;
        Some(OpenBasis { file, len, in_place, overwritten })
    }

    /// Leaves what was written in place, without the time of what is complete.
    async fn leave(&self, entry: EntryRef<'_>, mode: u32, mut output: T::Output) {
        let attrs = self.side.attrs_without_times(entry, mode);
        self.side.attach(&mut output, entry, false).await;
        let _ = self.side.target.commit(output, &attrs, Destination::Final { backup: false }).await;
        self.side.report_failures(Role::Receiver);
    }

    /// Reads a piece. After an error or an early end it goes on with zeros: the file keeps its length, and its data is known
    /// to be wrong.
    async fn read(&self, file: &S::File, offset: u64, piece: &mut [u8], fault: &mut Option<PortError>) {
        if fault.is_none() {
            let read = self.source.read_at(file, offset, piece).await;
            if read == Ok(piece.len()) {
                return;
            }
            *fault = Some(read.err().unwrap_or(PortError::NO_DATA));
            piece.get_mut(read.unwrap_or(0)..).unwrap_or_default().fill(0);
        } else {
            piece.fill(0);
        }
    }

    /// The whole data from `start` on. Returns the first fault in reading; an error is one in writing.
    async fn whole(
        &mut self,
        file: &S::File,
        start: u64,
        size: u64,
        output: &mut T::Output,
        context: &FileContext<'_, '_, O>,
    ) -> Result<Option<PortError>, PortError> {
        let mut buf = core::mem::take(&mut self.buf);
        let mut fault = None;
        let mut offset = start;
        context.first_progress(start, size);
        while offset < size {
            let n = usize::try_from(size - offset).unwrap_or(FILE_PIECE).min(FILE_PIECE);
            if buf.len() < n {
                buf.resize(n, 0);
            }
            let piece = buf.get_mut(..n).unwrap_or_default();
            self.read(file, offset, piece, &mut fault).await;
            self.side.target.write(output, piece).await?;
            offset += n as u64;
            context.progress(offset, start, false);
        }
        self.buf = buf;
        context.shared.stats.borrow_mut().literal += size - start;
        Ok(fault)
    }

    /// Whether both files have the same first `len` bytes (`--append-verify`).
    async fn same_start(&mut self, file: &S::File, place: Place<'_>, len: u64) -> bool {
        let Ok((basis, _)) = self.side.target.open_basis(place).await else { return false };
        let mut old = Vec::new();
        let mut offset = 0;
        while offset < len {
            let n = usize::try_from(len - offset).unwrap_or(FILE_PIECE).min(FILE_PIECE);
            old.resize(n, 0);
            self.buf.resize(self.buf.len().max(n), 0);
            let new = self.buf.get_mut(..n).unwrap_or_default();
            let read = self.source.read_at(file, offset, new).await;
            let found = self.side.target.read_basis(&basis, offset, &mut old).await;
            if read != Ok(n) || found != Ok(n) || *new != *old {
                return false;
            }
            offset += n as u64;
        }
        true
    }

    /// The data by comparison with a basis (`--no-whole-file`); without an output the comparison alone. Returns the first
    /// fault in reading; an error is one in writing.
    async fn delta(
        &mut self,
        file: &S::File,
        size: u64,
        basis: &OpenBasis<T::Basis>,
        mut output: Option<&mut T::Output>,
        context: &FileContext<'_, '_, O>,
    ) -> Result<Option<PortError>, PortError> {
        let shared = context.shared;
        let target = self.side.target;
        let agreed = &shared.agreed;
        let digest_len = agreed.transfer_sum.digest_len();
        let block = shared.options.transfer.block_size;
        // Nothing verifies what is left in place, so that the sums have to be beyond doubt there.
        let Some(head) = SumHead::for_basis(basis.len, block, agreed.protocol, basis.in_place, digest_len)
        else {
            let Some(output) = output else { return Ok(None) };
            return self.whole(file, 0, size, output, context).await;
        };
        let name = self.side.local_name(context.entry).bytes();
        self.step(Role::Generator, &Step::Mapped { name, base: 0, size: basis.len });
        self.step(Role::Generator, &Step::SendingSums(context.ndx));
        self.step(Role::Generator, &Step::Sums(head));
        let sums = agreed.sums();
        let opened = Opened { target, file: &basis.file };
        let old = core::mem::take(&mut self.old);
        let finder = Alike::new(opened, head, sums, basis.overwritten, old).await;
        let mut search = Search::new(finder, size, core::mem::take(&mut self.buf), context);
        let mut fault = None;
        loop {
            let (from, room) = search.room();
            self.read(file, from, room, &mut fault).await;
            if output.is_none() && fault.is_some() {
                return Ok(fault);
            }
            loop {
                let found = search.next().await;
                let Some(output) = output.as_deref_mut() else {
                    if found.block.is_none() {
                        break;
                    }
                    continue;
                };
                if !found.literal.is_empty() {
                    target.write(output, found.literal).await?;
                }
                let Some(block) = found.block else { break };
                // Zeros that stay become holes with `--sparse`.
                let stays = basis.in_place && !shared.options.transfer.sparse && block.at == block.basis_at;
                let put = if stays {
                    target.keep(output, block.data.len() as u64).await
                } else {
                    // The bytes are at hand: they are those of the source.
                    target.write(output, block.data).await
                };
                put?;
            }
            if !search.goes_on() {
                break;
            }
        }
        let finder;
        (self.buf, finder) = search.finish();
        self.old = finder.into_buffer();
        Ok(fault)
    }
}

impl<S: Source, T: Target, O: Observer, C: LocalCopy<S, T>> Outlet for LocalOutlet<'_, S, T, O, C> {
    type Error = Infallible;

    async fn item(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        flags: ItemFlags,
        xname: Option<&[u8]>,
    ) -> Result<(), Error<Infallible>> {
        let shared = self.side.shared;
        if !shared.agreed.protocol.has_item_flags() {
            if is_worth_a_line(entry, flags, shared.options) {
                let line = name_line(self.side.local_name(entry), entry, xname);
                shared.observer.peer_text(MsgTag::Info, &line);
            }
            return Ok(());
        }
        self.side.shared.count_created(entry, flags);
        self.side.fetch_xattrs(self.source, entry, flags).await;
        let of = self.side.lists.borrow().find(ndx)?;
        self.queue.push_back(Job::Item { ndx, of, flags, xname: xname.map(<[u8]>::to_vec) });
        self.turn().await
    }

    async fn request(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        mut request: Request,
    ) -> Result<(), Error<Infallible>> {
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        if !self.side.shared.agreed.protocol.has_item_flags() {
            request.flags = ItemFlags::TRANSFER | ItemFlags::MISSING_DATA;
        }
        self.list_ahead(segment.start).await?;
        self.side.shared.count_created(entry, request.flags);
        self.side.fetch_xattrs(self.source, entry, request.flags).await;
        self.side.shared.stats.borrow_mut().add_transferred(entry.entry);
        let started = self.start_early(ndx, segment, &request).await;
        self.queue.push_back(Job::Copy { ndx, segment: segment.clone(), request, started });
        self.turn().await
    }

    async fn done(&mut self) -> Result<(), Error<Infallible>> {
        // Nobody has to answer: the list or phase is over at once.
        let shared = self.side.shared;
        if shared.agreed.inc_recurse() {
            let mut lists = self.side.lists.borrow_mut();
            if lists.free_oldest().is_some() {
                self.side.freed.set(self.side.freed.get() + 1);
                if !lists.is_empty() || !lists.complete {
                    return Ok(());
                }
            }
        }
        self.drain().await?;
        let last = if shared.agreed.protocol.has_item_flags() { 2 } else { 1 };
        if self.dones == 1 && shared.options.transfer.delay_updates {
            promote_delayed(self.side, Role::Receiver).await;
        }
        for role in [Role::Sender, Role::Receiver] {
            match self.dones {
                dones if dones < last => shared.step(role, &Step::Phase(dones + 1)),
                dones if dones == last => {
                    shared.step(role, &Step::Ends);
                    if role == Role::Sender {
                        shared.report(role, &Notice::DeltaTotals(&shared.stats.borrow()));
                    }
                }
                _ => {}
            }
        }
        if self.dones < last {
            shared.event(Event::PhaseEnd(self.dones));
        } else if self.dones == last {
            shared.add_io_error(self.sender_faults.get());
            shared.event(Event::Finished);
        }
        self.dones = self.dones.saturating_add(1);
        Ok(())
    }

    async fn del_stats(&mut self, _counts: &Counts) -> Result<(), Error<Infallible>> {
        Ok(())
    }

    async fn success(&mut self, ndx: i32, _entry: EntryRef<'_>) -> Result<(), Error<Infallible>> {
        if self.side.shared.options.dry_run {
            return Ok(());
        }
        let found = self.side.lists.borrow().find(ndx);
        if let Ok(Found::Entry(segment)) = found
            && let Some(entry) = segment.get(ndx)
        {
            remove_source(self.side.shared, self.source, entry).await;
        }
        Ok(())
    }

    async fn pump(&mut self) -> Result<(), Error<Infallible>> {
        Ok(())
    }

    async fn flush_all(&mut self) -> Result<(), Error<Infallible>> {
        self.drain().await
    }

    async fn settle(&mut self) -> Result<(), Error<Infallible>> {
        self.drain().await
    }

    async fn wait(&mut self) -> Result<(), Error<Infallible>> {
        if !self.side.lists.borrow().complete {
            return self.lists.fill(self.side).await;
        }
        self.drain().await?;
        if !self.side.shared.events.borrow().is_empty() {
            return Ok(());
        }
        if self.side.lists.borrow().complete {
            // Everything is done at once here: there is nothing that could still come.
            self.side.shared.report(Role::Generator, &Notice::Internal("a local run waits for nothing"));
            return Err(Error::Exit(ExitCode::IPC));
        }
        Ok(())
    }
}
