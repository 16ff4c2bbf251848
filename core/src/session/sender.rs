//! The sender: offers the lists, answers each request in the order of arrival.

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::pin::pin;

use embedded_io_async::BufRead;

use super::{
    Inbox, Shared,
    argument::clamp_name,
    extended,
    goodbye::{ItemHeader, read_del_stats, stats_bytes, write_del_stats, write_stats},
    io_error,
    lists::{Found, LOOKAHEAD, Lists, Segment, announce_reads, next_directory},
    scan::{Scanner, SourceArgs},
    transfer::{Outgoing, SendPlan},
};
use crate::{
    charset::Toward,
    delta::{Matcher, SumHead},
    error::{Error, ProtocolError, Role},
    filter::FilterList,
    flist::{
        Format,
        encode::{Encoder, IdNames},
        entry::{EntryFlags, EntryRef, FileList},
        order,
    },
    io::{ChunkWrite, WireReader, WireWriter},
    item::{BasisType, ItemFlags},
    limits::MAX_PATH,
    mux::MsgTag,
    names::below,
    options::Append,
    ports::{FileTransfer, ItemEvent, Notice, Observer, Op, Source, SourcePath, Step},
    rt::{Either, poll_once, select2},
    setup::Side,
    trace::event,
    wire::ndx::{NDX_DEL_STATS, NDX_DONE, NDX_FLIST_EOF, NDX_FLIST_OFFSET, NdxState},
};

/// The names of the ids on the machine of a source.
pub(super) struct Names<'a, S>(pub(super) &'a S);

impl<S: Source> IdNames for Names<'_, S> {
    fn user(&self, uid: u32) -> Option<Vec<u8>> {
        self.0.user_name(uid)
    }
    fn group(&self, gid: u32) -> Option<Vec<u8>> {
        self.0.group_name(gid)
    }
}

pub(super) struct Sender<'a, R, W, S, O> {
    shared: &'a Shared<'a, O>,
    source: &'a S,
    r: WireReader<R, Inbox<'a, O>>,
    w: WireWriter<W, Vec<u8>>,
    scanner: Scanner<'a, S, O>,
    encoder: Encoder,
    lists: Lists,
    read_ndx: NdxState,
    write_ndx: NdxState,
    /// Directories whose lists are still to be sent: ranges of directory numbers, innermost last.
    pending: Vec<(u32, u32)>,
    outgoing: Outgoing,
    /// Error bits already reported to the receiving side.
    reported_errors: u32,
    /// Those met with the first list.
    first_errors: u32,
    scratch: Vec<u8>,
    /// Bytes written and read, once the goodbye begins.
    before_goodbye: Option<(u64, u64)>,
    /// Attribute values that go behind the echo of the current item.
    xattrs: Vec<u8>,
}

impl<'a, R, W, S, O> Sender<'a, R, W, S, O>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
    S: Source,
    O: Observer,
{
    pub(super) fn new(
        shared: &'a Shared<'a, O>,
        source: &'a S,
        filters: &FilterList,
        r: WireReader<R, Inbox<'a, O>>,
        w: WireWriter<W, Vec<u8>>,
    ) -> Result<Self, ProtocolError> {
        let agreed = &shared.agreed;
        let mut encoder = Encoder::new(Format::new(shared.options, agreed));
        encoder.tables = shared.extended.tables.clone();
        encoder.conversion.clone_from(&shared.conversion);
        Ok(Self {
            shared,
            source,
            r,
            w,
            scanner: Scanner::new(shared, source, filters),
            encoder,
            lists: Lists::new(agreed.inc_recurse(), shared.numbering()),
            read_ndx: NdxState::new(agreed.protocol),
            write_ndx: NdxState::new(agreed.protocol),
            pending: Vec::new(),
            outgoing: Outgoing::new(shared.options, agreed)?,
            reported_errors: 0,
            first_errors: 0,
            scratch: Vec::new(),
            before_goodbye: None,
            xattrs: Vec::new(),
        })
    }

    /// The whole conversation behind the handshake and the filter rules.
    pub(super) async fn run(&mut self, args: &SourceArgs) -> Result<(), Error<R::Error>> {
        self.shared.report(Role::Sender, &Notice::ListStart);
        let before = self.w.count();
        let mut list = FileList::new();
        self.scanner.arguments(args, &mut list).await?;
        if self.shared.options.select.files_from == crate::options::FilesFrom::Wire {
            self.names_from_peer(args, &mut list).await?;
        }
        self.shared.report(Role::Sender, &Notice::ListDone(list.len()));
        self.pump().await?;
        let empty = list.is_empty();
        let segment = self.send_list(list, None).await?;
        if self.shared.is_client() && self.says_errors_twice() {
            // A client's first list is on its way before errors of others can overtake it.
            self.w.kick().await?;
        }
        self.step(&Step::ListMade);
        self.step(&Step::ListSent);
        if self.shared.agreed.inc_recurse() {
            self.pending.push((segment.first_dir, segment.first_dir + segment.dir_count));
            if segment.list.len() == 1 {
                self.send_next_list().await?;
            }
            self.end_lists_if_done().await?;
        } else {
            self.lists.complete = true;
            self.step(&Step::ListsEnd);
        }
        self.shared.stats.borrow_mut().flist_bytes = self.w.count() - before;
        if empty && self.shared.side == Side::Server {
            self.pump().await?;
            return self.w.flush().await;
        }
        self.serve().await?;
        self.finish().await
    }

    fn step(&self, step: &Step<'_>) {
        self.shared.step(Role::Sender, step);
    }

    /// The writer, when the conversation is over.
    pub(super) const fn writer(&mut self) -> &mut WireWriter<W, Vec<u8>> {
        &mut self.w
    }

    /// Bytes written and read, for the statistics: all but the goodbye.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.before_goodbye.unwrap_or_else(|| (self.w.count(), self.r.count_of_frames()))
    }

    /// Writes what the observer queued for the peer.
    async fn pump(&mut self) -> Result<(), Error<R::Error>> {
        send_messages(self.shared, &mut self.w).await
    }

    /// The next index. Whatever the peer may wait for is flushed if it does not come at once; bytes at hand say
    /// nothing about that, they may be messages. What the observer queues meanwhile goes out.
    async fn next_index(&mut self) -> Result<i32, Error<R::Error>> {
        let Self { r, w, read_ndx, shared, .. } = self;
        let mut read = pin!(r.ndx(read_ndx));
        loop {
            if let Some(ndx) = poll_once(read.as_mut()).await {
                return ndx;
            }
            send_messages(shared, w).await?;
            w.flush().await?;
            match select2(read.as_mut(), shared.wake_generator.wait()).await {
                Either::A(ndx) => return ndx,
                Either::B(()) => {}
            }
        }
    }

    /// Names of `--files-from` that the receiving side sends, outside of frames below protocol 31.
    async fn names_from_peer(
        &mut self,
        args: &SourceArgs,
        list: &mut FileList,
    ) -> Result<(), Error<R::Error>> {
        let pause = self.r.is_framed() && !self.shared.agreed.protocol.has_framed_files_from();
        if pause {
            self.r.stop_framing();
        }
        self.read_names(args, list).await?;
        if pause {
            self.r.start_framing();
        }
        Ok(())
    }

    /// Each name ends in NUL, an empty one ends the list. What a name has beyond the longest path is dropped (stock binary).
    async fn read_names(&mut self, args: &SourceArgs, list: &mut FileList) -> Result<(), Error<R::Error>> {
        let base = args.base.clone().unwrap_or_default();
        loop {
            self.scratch.clear();
            loop {
                if !self.r.has_buffered() {
                    self.w.flush().await?;
                }
                match self.r.u8().await? {
                    0 => break,
                    b if self.scratch.len() < MAX_PATH - 1 => self.scratch.push(b),
                    _ => {}
                }
            }
            if self.scratch.is_empty() {
                return Ok(());
            }
            let conversion = self.shared.conversion.as_ref().filter(|c| c.name_lists);
            let name = match conversion {
                Some(conversion) => clamp_name(&conversion.text(Toward::Here, &self.scratch)),
                None => clamp_name(&self.scratch),
            };
            self.scanner.argument(&name, Some(&base), list).await?;
        }
    }

    /// Encodes a list, sorts it, and keeps it for requests.
    async fn send_list(
        &mut self,
        mut list: FileList,
        dir: Option<u32>,
    ) -> Result<Rc<Segment>, Error<R::Error>> {
        let names = Names(self.source);
        let start = self.lists.next_start();
        let mut out = core::mem::take(&mut self.scratch);
        out.clear();
        {
            let mut stats = self.shared.stats.borrow_mut();
            list.entries.iter().for_each(|entry| stats.add_listed(entry));
        }
        for (index, position) in (start..).zip(0..list.len()) {
            if let Some(entry) = list.get(position) {
                self.encoder.entry(entry, index, start, &names, &mut out);
            }
            if out.len() > 32 << 10 {
                self.w.bytes(&out).await?;
                out.clear();
            }
        }
        let met = self.shared.io_error.get();
        let errors = if self.shared.options.delete.ignore_errors { 0 } else { met };
        let news = if dir.is_none() { errors } else { errors & !self.reported_errors };
        let report = if news == 0 { 0 } else { errors };
        // What is kept from a list is not told later either.
        self.reported_errors |= met;
        if dir.is_none() {
            self.first_errors = met;
        }
        let left = self.encoder.end(report, &mut out);
        if dir.is_none() {
            self.encoder.id_lists(&names, &mut out);
        }
        let protocol = self.shared.agreed.protocol;
        if !protocol.has_varints() {
            out.extend_from_slice(&left.to_le_bytes());
        }
        self.w.bytes(&out).await?;
        self.scratch = out;
        let told = if self.says_errors_twice() { report } else { left };
        if told != 0 && protocol.has_io_messages() {
            self.w.message(MsgTag::IoError, &told.to_le_bytes()).await?;
        }
        event!("list of {} entries sent, error bits {}", list.len(), report);
        order::sort(&mut list, protocol);
        Ok(self.lists.push(list, dir))
    }

    /// Protocol 30 has errors of lists in a message even where the list said it. That of a server overtakes the first list,
    /// for whose directory nothing is deleted then.
    fn says_errors_twice(&self) -> bool {
        self.shared.agreed.inc_recurse() && !self.shared.agreed.protocol.has_safe_flist()
    }

    /// Sends the list of the next directory, depth first.
    async fn send_next_list(&mut self) -> Result<(), Error<R::Error>> {
        let next = next_directory(&mut self.pending, &self.lists);
        let Some((number, same)) = next else { return self.end_lists_if_done().await };
        let list = self.scanner.directory(&same).await?;
        self.pump().await?;
        let announcement = NDX_FLIST_OFFSET - i32::try_from(number).unwrap_or(0);
        self.w.ndx(&mut self.write_ndx, announcement).await?;
        let segment = self.send_list(list, Some(number)).await?;
        self.pending.push((segment.first_dir, segment.first_dir + segment.dir_count));
        self.end_lists_if_done().await
    }

    async fn end_lists_if_done(&mut self) -> Result<(), Error<R::Error>> {
        if self.lists.complete {
            return Ok(());
        }
        let more = self.pending.iter().any(|&(next, end)| {
            let mut dirs = (next..end).filter_map(|turn| self.lists.dir_in_turn(turn));
            dirs.any(|n| self.lists.dir(n).is_some_and(|d| !d.entry().is_root()))
        });
        if !more {
            self.lists.complete = true;
            self.step(&Step::ListsEnd);
            self.w.ndx(&mut self.write_ndx, NDX_FLIST_EOF).await?;
        } else {
            announce_reads(self.source, &self.lists.upcoming(&self.pending));
        }
        Ok(())
    }

    async fn look_ahead(&mut self, current: i32) -> Result<(), Error<R::Error>> {
        while !self.lists.complete && self.lists.ahead_of(current) < LOOKAHEAD {
            self.send_next_list().await?;
        }
        Ok(())
    }

    /// Answers requests until the last phase is over.
    async fn serve(&mut self) -> Result<(), Error<R::Error>> {
        let protocol = self.shared.agreed.protocol;
        let last_phase = if protocol.has_item_flags() { 2 } else { 1 };
        let mut phase = 0u8;
        self.step(&Step::Starts { count: 0 });
        let mut current = self.lists.oldest().map_or(0, |s| s.start);
        loop {
            self.look_ahead(current).await?;
            self.handle_successes().await?;
            self.pump().await?;
            match self.next_index().await? {
                NDX_DONE => {
                    self.handle_successes().await?;
                    if self.shared.agreed.inc_recurse() && self.lists.free_oldest().is_some() {
                        if let Some(next) = self.lists.oldest() {
                            current = current.max(next.start);
                            self.w.ndx(&mut self.write_ndx, NDX_DONE).await?;
                            continue;
                        }
                        if !self.lists.complete {
                            self.send_next_list().await?;
                            self.w.ndx(&mut self.write_ndx, NDX_DONE).await?;
                            continue;
                        }
                    }
                    phase += 1;
                    if phase > last_phase {
                        self.step(&Step::Ends);
                        let stats = *self.shared.stats.borrow();
                        self.shared.report(Role::Sender, &Notice::DeltaTotals(&stats));
                        return Ok(());
                    }
                    self.step(&Step::Phase(phase));
                    self.w.ndx(&mut self.write_ndx, NDX_DONE).await?;
                }
                NDX_DEL_STATS => self.del_stats().await?,
                ndx if ndx < 0 => return Err(ProtocolError::UnexpectedList { got: ndx }.into()),
                ndx => {
                    // A no-op of protocol 29 that keeps the connection alive: one index behind the list.
                    let single = self.lists.oldest();
                    let keep_alive = !protocol.has_varints() && single.is_some_and(|s| s.end() == ndx);
                    if keep_alive {
                        ItemHeader::read(&mut self.r, protocol).await?;
                        continue;
                    }
                    let found = self.lists.find(ndx)?;
                    if let Found::Entry(segment) = &found {
                        current = segment.start;
                        self.look_ahead(current).await?;
                    }
                    self.request(ndx, found, phase).await?;
                }
            }
        }
    }

    async fn del_stats(&mut self) -> Result<(), Error<R::Error>> {
        let counts = read_del_stats(&mut self.r).await?;
        self.shared.stats.borrow_mut().deleted = counts;
        if self.shared.side == Side::Server {
            self.w.ndx(&mut self.write_ndx, NDX_DEL_STATS).await?;
            write_del_stats(&mut self.w, &counts).await?;
        }
        Ok(())
    }

    fn takes_on(&self, ndx: i32, entry: EntryRef<'_>) {
        self.step(&Step::Item { name: below(entry.name()), base: entry.entry.base, ndx });
    }

    fn show(&self, entry: EntryRef<'_>, header: &ItemHeader, transfer: Option<FileTransfer>) {
        self.shared.show_item(&ItemEvent { transfer, ..ItemEvent::of_header(entry, header) });
    }

    async fn echo(&mut self, ndx: i32, header: &ItemHeader) -> Result<(), Error<R::Error>> {
        self.w.ndx(&mut self.write_ndx, ndx).await?;
        header.write(&mut self.w, self.shared.agreed.protocol).await?;
        self.w.bytes(&self.xattrs).await
    }

    async fn request(&mut self, ndx: i32, found: Found, phase: u8) -> Result<(), Error<R::Error>> {
        let protocol = self.shared.agreed.protocol;
        let options = self.shared.options;
        let header = ItemHeader::read(&mut self.r, protocol).await?;
        let segment = match found {
            Found::Parent(dir) => {
                if header.flags.contains(ItemFlags::TRANSFER) {
                    return Err(ProtocolError::NotRegular { ndx }.into());
                }
                self.takes_on(ndx, dir.entry());
                self.xattr_request(dir.entry(), &header).await?;
                self.shared.count_created(dir.entry(), header.flags);
                self.show(dir.entry(), &header, None);
                return self.echo(ndx, &header).await;
            }
            Found::Entry(segment) => segment,
        };
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        self.takes_on(ndx, entry);
        self.xattr_request(entry, &header).await?;
        self.shared.count_created(entry, header.flags);
        if !header.flags.contains(ItemFlags::TRANSFER) {
            self.show(entry, &header, None);
            return self.echo(ndx, &header).await;
        }
        if !entry.entry.is_regular() {
            return Err(ProtocolError::NotRegular { ndx }.into());
        }
        if phase == 2 {
            return Err(ProtocolError::LatePhase { phase }.into());
        }
        let again = segment.marks(ndx).contains(EntryFlags::SENT);
        self.shared.stats.borrow_mut().add_transferred(entry.entry);
        if options.asks_for_nothing() {
            self.show(entry, &header, None);
            return self.echo(ndx, &header).await;
        }
        let append = if again { Append::Off } else { self.append_mode() };
        // The sums of the basis count as received for this file.
        let read = self.r.data_count();
        let plan = self.read_sums(&header, append).await?;
        self.answer(ndx, &segment, entry, &header, plan, read).await
    }

    async fn xattr_request(
        &mut self,
        entry: EntryRef<'_>,
        header: &ItemHeader,
    ) -> Result<(), Error<R::Error>> {
        let answer = &mut self.xattrs;
        extended::read_request(&mut self.r, self.shared, self.source, entry, header, answer).await
    }

    fn append_mode(&self) -> Append {
        self.shared.options.transfer.append.under(self.shared.agreed.protocol)
    }

    async fn read_sums(&mut self, header: &ItemHeader, append: Append) -> Result<SendPlan, Error<R::Error>> {
        let agreed = &self.shared.agreed;
        let transfer = &self.shared.options.transfer;
        let mut bytes = [0u8; 16];
        self.r.exact(&mut bytes).await?;
        let head = SumHead::decode(&bytes, agreed.protocol, agreed.transfer_sum.digest_len())?;
        self.step(&Step::Sums(head));
        let mut plan = SendPlan { head, matcher: None, append };
        if append != Append::Off || head.count == 0 {
            return Ok(plan);
        }
        let limit = self.shared.options.max_alloc;
        if limit != 0 && head.table_bytes() > limit {
            return Err(ProtocolError::OutOfRange {
                what: crate::error::Limit::Alloc,
                got: i64::try_from(head.table_bytes()).unwrap_or(i64::MAX),
                max: i64::try_from(limit).unwrap_or(i64::MAX),
            }
            .into());
        }
        let (mut weak, mut strong) = (Vec::new(), Vec::new());
        for _ in 0..head.count {
            weak.push(self.r.i32().await? as u32);
            self.r.append(head.s2length as usize, &mut strong).await?;
        }
        // A block must not be used once the receiver may have overwritten it (spec: in-place).
        let in_place = (agreed.flags.contains(crate::setup::CompatFlags::INPLACE_PARTIAL_DIR)
            && header.basis == BasisType::PartialDir)
            || (transfer.inplace
                && if agreed.protocol.has_item_flags() {
                    header.basis == BasisType::Name
                } else {
                    !transfer.backup
                });
        plan.matcher = Some(Box::new(Matcher::new(head, weak, strong, agreed.sums(), in_place)));
        Ok(plan)
    }

    async fn answer(
        &mut self,
        ndx: i32,
        segment: &Segment,
        entry: EntryRef<'_>,
        header: &ItemHeader,
        plan: SendPlan,
        read: u64,
    ) -> Result<(), Error<R::Error>> {
        let after = self.shared.options.report.after_transfer;
        let path = SourcePath { base: entry.entry.base, name: below(entry.name()) };
        let (file, stat) = match self.source.open(path).await {
            Ok(opened) => opened,
            Err(error) => {
                let notice = if error.is_not_found() {
                    self.shared.add_io_error(io_error::VANISHED);
                    Notice::Vanished { name: path.name, base: path.base, dir: false }
                } else {
                    self.shared.add_io_error(io_error::GENERAL);
                    Notice::Failed {
                        op: Op::SendOpen,
                        name: path.name,
                        base: Some(path.base),
                        other: &[],
                        error,
                    }
                };
                self.shared.report(Role::Sender, &notice);
                return self.no_send(ndx).await;
            }
        };
        if plan.append != Append::Off && stat.size < entry.entry.size {
            self.shared.report(Role::Sender, &Notice::Diminished { name: path.name, base: path.base });
            return self.no_send(ndx).await;
        }
        segment.mark(ndx, EntryFlags::SENT);
        self.step(&Step::Mapped { name: path.name, base: path.base, size: stat.size });
        self.step(&Step::Matching { name: path.name, base: path.base });
        if !after {
            self.show(entry, header, None);
        }
        let written = self.w.data_count();
        self.echo(ndx, header).await?;
        // A dry run at the receiving side: the data is for the batch file alone.
        self.w.divert(self.shared.options.batch_only);
        self.w.bytes(&plan.head.encode()).await?;
        let context = super::transfer::FileContext::new(self.shared, entry, ndx, segment, &self.lists);
        let sum = self.outgoing.send(&mut self.w, self.source, &file, stat.size, plan, &context).await?;
        self.w.divert(false);
        self.step(&Step::Sent { name: path.name, base: path.base });
        self.pump().await?;
        if after {
            let (sent, received) = (self.w.data_count() - written, self.r.data_count() - read);
            let transfer = FileTransfer { sent, received, sum };
            self.show(entry, header, Some(transfer));
        }
        Ok(())
    }

    async fn no_send(&mut self, ndx: i32) -> Result<(), Error<R::Error>> {
        if self.shared.agreed.protocol.has_io_messages() {
            self.w.message(MsgTag::NoSend, &ndx.to_le_bytes()).await?;
        }
        Ok(())
    }

    /// Removes the sources of files that arrived (`--remove-source-files`).
    async fn handle_successes(&mut self) -> Result<(), Error<R::Error>> {
        if self.shared.options.transfer.remove_source.is_none() {
            self.shared.successes.borrow_mut().clear();
            return Ok(());
        }
        loop {
            let next = self.shared.successes.borrow_mut().pop_front();
            let Some(ndx) = next else { return Ok(()) };
            let Found::Entry(segment) = self.lists.find(ndx)? else { continue };
            let Some(entry) = segment.get(ndx) else { continue };
            if entry.entry.is_dir() {
                continue;
            }
            remove_source(self.shared, self.source, entry).await;
        }
    }

    /// The goodbye behind the last phase.
    async fn finish(&mut self) -> Result<(), Error<R::Error>> {
        let protocol = self.shared.agreed.protocol;
        let errors = self.shared.io_error.get();
        // What came with later lists is said once more.
        if errors & !self.first_errors != 0 && protocol.has_io_messages() {
            self.w.message(MsgTag::IoError, &errors.to_le_bytes()).await?;
        }
        self.pump().await?;
        self.w.ndx(&mut self.write_ndx, NDX_DONE).await?;
        if self.shared.side == Side::Server {
            let stats = *self.shared.stats.borrow();
            write_stats(&mut self.w, protocol, self.r.count_of_frames(), &stats).await?;
        }
        self.w.flush().await?;
        self.before_goodbye = Some(self.counts());
        if let Some(tape) = self.shared.tape.as_ref().filter(|_| self.shared.is_client()) {
            // A server would have said this; a reader of the batch expects it.
            let stats = *self.shared.stats.borrow();
            let (written, read) = self.counts();
            tape.record(&stats_bytes(protocol, [read, written, stats.total_size], &stats));
        }
        if protocol.has_extended_goodbye() {
            self.expect_done().await?;
            self.w.ndx(&mut self.write_ndx, NDX_DONE).await?;
            self.w.flush().await?;
        }
        self.expect_done().await?;
        self.handle_successes().await?;
        self.pump().await?;
        self.w.flush().await
    }

    async fn expect_done(&mut self) -> Result<(), Error<R::Error>> {
        loop {
            match self.r.ndx(&mut self.read_ndx).await? {
                NDX_DONE => return Ok(()),
                NDX_DEL_STATS if self.shared.agreed.protocol.has_extended_goodbye() => {
                    self.del_stats().await?;
                    self.w.flush().await?;
                }
                // A link that became possible late: it carries no data and is over already at the other side.
                ndx if ndx >= 0 && self.shared.agreed.protocol.has_item_flags() => {
                    let header = ItemHeader::read(&mut self.r, self.shared.agreed.protocol).await?;
                    if header.flags.contains(ItemFlags::TRANSFER) {
                        return Err(ProtocolError::BadGoodbye { got: ndx }.into());
                    }
                    extended::skip_request(&mut self.r, self.shared, &header).await?;
                }
                got => return Err(ProtocolError::BadGoodbye { got }.into()),
            }
        }
    }
}

/// Writes what waits in the outbox for the peer; where nothing is framed no message can travel, and it is dropped.
pub(super) async fn send_messages<W: ChunkWrite, O>(
    shared: &Shared<'_, O>,
    w: &mut WireWriter<W, Vec<u8>>,
) -> Result<(), Error<W::Error>> {
    while let Some((tag, payload)) = shared.outbox.pop() {
        if w.is_framed() {
            w.message(tag, &payload).await?;
        }
    }
    Ok(())
}

/// Removes one source file whose copy is safe, unless it changed since it was listed.
pub(super) async fn remove_source<S: Source, O: Observer>(
    shared: &Shared<'_, O>,
    source: &S,
    entry: EntryRef<'_>,
) {
    let path = SourcePath { base: entry.entry.base, name: below(entry.name()) };
    let failed = |op, error| Notice::Failed { op, name: path.name, base: Some(path.base), other: &[], error };
    if let Err(error) = source.may_remove(path).await {
        shared.report(Role::Sender, &failed(Op::SenderRemoveParent, error));
        return;
    }
    let follow = shared.options.select.copy_links;
    match source.stat(path, follow).await {
        Ok(now) => {
            let (mtime, nsec) = shared.listed_time(&now);
            let same = (now.size == entry.entry.size || !entry.entry.is_regular())
                && mtime == entry.entry.mtime
                && (entry.entry.nsec == 0 || nsec == entry.entry.nsec);
            if !same {
                shared.report(Role::Sender, &Notice::SenderChanged(path.name));
                return;
            }
            match source.remove(path).await {
                Ok(()) => shared.report(Role::Sender, &Notice::SenderRemoved(path.name)),
                Err(error) => shared.report(Role::Sender, &failed(Op::SenderRemove, error)),
            }
        }
        Err(error) if error.is_not_found() => {
            shared.report(Role::Sender, &Notice::SenderRemovedBefore(path.name));
        }
        Err(error) => shared.report(Role::Sender, &failed(Op::SenderRemove, error)),
    }
}
