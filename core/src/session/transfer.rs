//! The data of one file, out of the sender and into the receiver.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use bytes::{Bytes, BytesMut};
use embedded_io_async::BufRead;

use super::{
    Inbox, Shared, io_error,
    lists::{Lists, Segment},
    search::Search,
};
use crate::{
    checksum::{Digest, Hasher, TransferSums},
    delta::{MatchStats, Matcher, SumHead},
    error::{Error, ProtocolError, Role},
    flist::entry::EntryRef,
    io::{ChunkWrite, WireReader, WireWriter},
    limits::{FILE_PIECE, LITERAL_PIECE},
    options::{Append, SessionOptions},
    ports::{FileProgress, Notice, Observer, Op, PortError, Source, Step, Target},
    rt::yield_now,
    setup::Agreed,
    token::{Token, TokenDecoder, TokenEncoder},
};

/// Files up to this size are copied into the frame buffer instead of being handed over.
const COPIED: u64 = 64 << 10;

/// Bytes of which a user is told first.
const FIRST_SHOWN: u64 = 32 << 10;
/// What stands for bytes that are not there; not in a future, which would hold them while it waits.
static ZEROS: [u8; 4096] = [0; 4096];

/// Facts about the file in transfer, for messages and progress.
pub(super) struct FileContext<'a, 's, O> {
    pub shared: &'a Shared<'s, O>,
    pub entry: EntryRef<'a>,
    pub ndx: i32,
    index: u64,
    /// Entries that were listed until now, and whether these are all.
    pub known: u64,
    pub complete: bool,
    /// Files transferred, this one included.
    pub transfers: u64,
}

impl<'a, 's, O> FileContext<'a, 's, O> {
    pub(super) fn new(
        shared: &'a Shared<'s, O>,
        entry: EntryRef<'a>,
        ndx: i32,
        segment: &Segment,
        lists: &Lists,
    ) -> Self {
        let transfers = shared.stats.borrow().transferred;
        let index = segment.place(ndx);
        Self { shared, entry, ndx, index, known: lists.total, complete: lists.complete, transfers }
    }
}

impl<O: Observer> FileContext<'_, '_, O> {
    /// A file that is sent is first shown when a little of it is through.
    pub(super) fn first_progress(&self, start: u64, size: u64) {
        if size > start {
            self.progress(size.min(start + FIRST_SHOWN), start, false);
        }
    }

    /// A file that came as a whole, all at once.
    pub(super) fn all_progress(&self, size: u64) {
        self.first_progress(0, size);
        if size > 0 {
            self.progress(size, 0, false);
        }
        self.progress(size, 0, true);
    }

    /// What was found of a file in its basis.
    pub(super) fn sending_sum(&self, found: MatchStats) {
        let MatchStats { matches, hash_hits, false_alarms } = found;
        self.shared.step(Role::Sender, &Step::SendingSum { false_alarms, hash_hits, matches });
    }

    /// A search ended with this.
    pub(super) fn searched(&self, found: MatchStats, literal: u64, matched: u64) {
        self.sending_sum(found);
        let mut stats = self.shared.stats.borrow_mut();
        stats.literal += literal;
        stats.matched += matched;
        stats.matches += found.matches;
        stats.hash_hits += found.hash_hits;
        stats.false_alarms += found.false_alarms;
    }

    fn received(&self, step: &Step<'_>) {
        self.shared.step(Role::Receiver, step);
    }

    pub(super) fn progress(&self, done: u64, start: u64, finished: bool) {
        if self.shared.options.report.progress && self.shared.is_client() {
            self.shared.observer.progress(&FileProgress {
                name: crate::names::below(self.entry.name()),
                size: self.entry.entry.size,
                done,
                start,
                finished,
                transfers: self.transfers,
                index: self.index,
                known: self.known,
                complete: self.complete,
                total_size: self.shared.stats.borrow().total_size,
            });
        }
    }
}

/// How a file is to be sent.
pub(super) struct SendPlan {
    pub head: SumHead,
    pub matcher: Option<Box<Matcher>>,
    pub append: Append,
}

/// Buffers that the transport gives back when it has written them.
#[derive(Default)]
struct ChunkPool(VecDeque<Bytes>);

impl ChunkPool {
    fn take(&mut self, len: usize) -> BytesMut {
        let reuse = self.0.front().is_some_and(Bytes::is_unique);
        let free = if reuse { self.0.pop_front().and_then(|b| b.try_into_mut().ok()) } else { None };
        let mut buf = free.unwrap_or_else(|| BytesMut::with_capacity(FILE_PIECE));
        buf.resize(len, 0);
        buf
    }
    fn lend(&mut self, chunk: &Bytes) {
        if self.0.len() < 16 {
            self.0.push_back(chunk.clone());
        }
    }
}

/// What the sender keeps from file to file.
pub(super) struct Outgoing {
    sums: TransferSums,
    tokens: TokenEncoder,
    pool: ChunkPool,
    window: Vec<u8>,
    out: Vec<u8>,
}

/// Reads a source file; after an error or an early end it goes on with zeros, so that the announced length
/// is kept, and remembers that the checksum must be spoiled.
struct Reading<'a, 's, S: Source, O> {
    source: &'a S,
    file: &'a S::File,
    context: &'a FileContext<'a, 's, O>,
    failed: bool,
}

impl<S: Source, O: Observer> Reading<'_, '_, S, O> {
    async fn fill(&mut self, offset: u64, buf: &mut [u8]) {
        if !self.failed {
            let error = match self.source.read_at(self.file, offset, buf).await {
                Ok(n) if n == buf.len() => return,
                Ok(n) => {
                    buf.get_mut(n..).unwrap_or_default().fill(0);
                    PortError::NO_DATA
                }
                Err(error) => {
                    buf.fill(0);
                    error
                }
            };
            self.failed = true;
            let entry = self.context.entry;
            self.context.shared.add_io_error(io_error::GENERAL);
            self.context.shared.report(
                Role::Sender,
                &Notice::Failed {
                    op: Op::ReadErrors,
                    name: crate::names::below(entry.name()),
                    base: Some(entry.entry.base),
                    other: &[],
                    error,
                },
            );
        } else {
            buf.fill(0);
        }
    }

    fn seal(&self, hasher: Hasher) -> Digest {
        let sum = hasher.finish();
        if !self.failed {
            return sum;
        }
        let mut wrong = [0u8; Digest::MAX_LEN];
        let len = sum.as_bytes().len();
        if sum.as_bytes().iter().all(|&b| b == 0)
            && let Some(last) = len.checked_sub(1).and_then(|i| wrong.get_mut(i))
        {
            *last = 1;
        }
        Digest::from_slice(wrong.get(..len).unwrap_or_default()).unwrap_or_default()
    }
}

impl Outgoing {
    pub(super) fn new(options: &SessionOptions, agreed: &Agreed) -> Result<Self, ProtocolError> {
        let tokens = TokenEncoder::new(agreed.compress, options.transfer.compress_level, agreed.protocol)?;
        Ok(Self {
            sums: agreed.sums(),
            tokens: if options.transfer.stored { tokens.storing() } else { tokens },
            pool: ChunkPool::default(),
            window: Vec::new(),
            out: Vec::new(),
        })
    }

    /// Sends tokens and checksum of one file of `size` bytes; returns the checksum.
    pub(super) async fn send<W, S, O>(
        &mut self,
        w: &mut WireWriter<W, Vec<u8>>,
        source: &S,
        file: &S::File,
        size: u64,
        plan: SendPlan,
        context: &FileContext<'_, '_, O>,
    ) -> Result<Digest, Error<W::Error>>
    where
        W: ChunkWrite,
        S: Source,
        O: Observer,
    {
        self.tokens.start_file();
        let mut reading = Reading { source, file, context, failed: false };
        let mut hasher = self.sums.file_hasher();
        let mut start = 0;
        if plan.append != Append::Off {
            start = plan.head.basis_len().min(size);
            if plan.append == Append::Verify {
                self.hash_prefix(&mut reading, start, &mut hasher).await;
            }
        }
        match plan.matcher {
            Some(matcher) => self.send_delta(w, &mut reading, size, matcher, &mut hasher).await?,
            None => {
                self.send_whole(w, &mut reading, start, size, &mut hasher).await?;
                context.sending_sum(MatchStats::default());
            }
        }
        self.out.clear();
        self.tokens.end(&mut self.out);
        let sum = reading.seal(hasher);
        self.out.extend_from_slice(sum.as_bytes());
        w.bytes(&self.out).await?;
        context.progress(size, start, true);
        Ok(sum)
    }

    async fn hash_prefix<S: Source, O: Observer>(
        &mut self,
        reading: &mut Reading<'_, '_, S, O>,
        end: u64,
        hasher: &mut Hasher,
    ) {
        let mut offset = 0;
        while offset < end {
            let n = usize::try_from(end - offset).unwrap_or(FILE_PIECE).min(FILE_PIECE);
            self.window.resize(n, 0);
            reading.fill(offset, &mut self.window).await;
            hasher.update(&self.window);
            offset += n as u64;
        }
    }

    async fn send_whole<W: ChunkWrite, S: Source, O: Observer>(
        &mut self,
        w: &mut WireWriter<W, Vec<u8>>,
        reading: &mut Reading<'_, '_, S, O>,
        start: u64,
        size: u64,
        hasher: &mut Hasher,
    ) -> Result<(), Error<W::Error>> {
        let mut offset = start;
        reading.context.first_progress(start, size);
        while offset < size {
            let n = usize::try_from(size - offset).unwrap_or(FILE_PIECE).min(FILE_PIECE);
            if self.tokens.is_plain() && size > COPIED {
                let mut buf = self.pool.take(n);
                reading.fill(offset, &mut buf).await;
                hasher.update(&buf);
                let chunk = buf.freeze();
                self.pool.lend(&chunk);
                let mut at = 0;
                while at < n {
                    let piece = (n - at).min(LITERAL_PIECE);
                    #[allow(clippy::cast_possible_truncation, reason = "a piece is no longer than a chunk")]
                    w.i32(piece as i32).await?;
                    w.chunk(chunk.slice(at..at + piece)).await?;
                    at += piece;
                }
            } else {
                self.window.resize(n, 0);
                reading.fill(offset, &mut self.window).await;
                hasher.update(&self.window);
                self.out.clear();
                self.tokens.literal(&self.window, &mut self.out);
                w.bytes(&self.out).await?;
            }
            offset += n as u64;
            reading.context.shared.stats.borrow_mut().literal += n as u64;
            reading.context.progress(offset, start, false);
        }
        Ok(())
    }

    async fn send_delta<W: ChunkWrite, S: Source, O: Observer>(
        &mut self,
        w: &mut WireWriter<W, Vec<u8>>,
        reading: &mut Reading<'_, '_, S, O>,
        size: u64,
        matcher: Box<Matcher>,
        hasher: &mut Hasher,
    ) -> Result<(), Error<W::Error>> {
        let window = core::mem::take(&mut self.window);
        let mut search = Search::new(matcher, size, window, reading.context);
        loop {
            let (from, room) = search.room();
            reading.fill(from, room).await;
            hasher.update(room);
            search.sift(reading.source);
            loop {
                let found = search.next().await;
                self.out.clear();
                if !found.literal.is_empty() {
                    self.tokens.literal(found.literal, &mut self.out);
                }
                if let Some(block) = &found.block {
                    self.tokens.block(block.number, block.data, &mut self.out);
                }
                let ends = found.block.is_none();
                w.bytes(&self.out).await?;
                if ends {
                    break;
                }
            }
            if !search.goes_on() {
                break;
            }
        }
        (self.window, _) = search.finish();
        Ok(())
    }
}

/// Where the receiver puts the data of a file.
pub(super) struct Sink<'a, T: Target> {
    pub target: &'a T,
    /// `None`: the data is read and dropped.
    pub output: Option<T::Output>,
    pub basis: Option<T::Basis>,
    /// The basis was another file, which is gone: its bytes count as zeros, and the checksum will tell.
    pub lost: bool,
    /// The output is the basis itself.
    pub in_place: bool,
    pub append: Append,
    /// Bytes that came as such until now.
    pub literal: u64,
    /// What could not be written any further.
    pub torn: Option<T::Output>,
}

impl<T: Target> Sink<'_, T> {
    /// Appends data, if there is an output.
    async fn write(&mut self, data: &[u8], fault: &mut Option<PortError>) {
        if let Some(out) = &mut self.output
            && let Err(error) = self.target.write(out, data).await
        {
            self.give_up(error, fault);
        }
    }

    /// What comes from here on is dropped. The first fault counts.
    fn give_up(&mut self, error: PortError, fault: &mut Option<PortError>) {
        fault.get_or_insert(error);
        self.torn = self.output.take().or(self.torn.take());
    }
}

/// How the data of a file arrived.
pub(super) struct Received {
    pub matches_sum: bool,
    pub sum: Digest,
    /// The first write error; everything behind it was dropped.
    pub write_error: Option<PortError>,
    /// Of the file, bytes.
    pub size: u64,
}

/// What the receiver keeps from file to file.
pub(super) struct Incoming {
    sums: TransferSums,
    tokens: TokenDecoder,
    copy: Vec<u8>,
    agreed: Agreed,
    feeds_history: bool,
}

impl Incoming {
    pub(super) fn new(options: &SessionOptions, agreed: &Agreed) -> Result<Self, ProtocolError> {
        Ok(Self {
            sums: agreed.sums(),
            tokens: TokenDecoder::new(agreed.compress, options.transfer.compress_level, agreed.protocol)?,
            copy: Vec::new(),
            agreed: *agreed,
            feeds_history: agreed.compress == Some(crate::token::CompressKind::Zlib),
        })
    }

    /// Reads the echoed sum head.
    pub(super) async fn head<'i, R: BufRead, O: Observer>(
        &self,
        r: &mut WireReader<R, Inbox<'i, O>>,
    ) -> Result<SumHead, Error<R::Error>> {
        let mut bytes = [0u8; 16];
        r.exact(&mut bytes).await?;
        Ok(SumHead::decode(&bytes, self.agreed.protocol, self.agreed.transfer_sum.digest_len())?)
    }

    /// Takes tokens and checksum of one file.
    pub(super) async fn receive<'i, R, T, O>(
        &mut self,
        r: &mut WireReader<R, Inbox<'i, O>>,
        head: SumHead,
        sink: &mut Sink<'_, T>,
        context: &FileContext<'_, '_, O>,
    ) -> Result<Received, Error<R::Error>>
    where
        R: BufRead,
        T: Target,
        O: Observer,
    {
        self.tokens.start_file(head.count);
        let mut hasher = self.sums.file_hasher();
        let mut write_error = None;
        let mut offset = 0u64;
        let mut matched = 0u64;
        let mut turn = FILE_PIECE as u64;
        let start = if sink.append == Append::Off { 0 } else { head.basis_len() };
        if start > 0 {
            if sink.append == Append::Verify {
                self.hash_basis(sink, start, &mut hasher).await;
            }
            offset = start;
        }
        loop {
            let input = r.fill().await?;
            let (used, token) = self.tokens.decode(input)?;
            match token {
                Token::NeedInput => {}
                Token::Literal(data) => {
                    context.progress(offset, start, false);
                    context.received(&Step::Data { len: data.len(), at: offset });
                    hasher.update(data);
                    sink.literal += data.len() as u64;
                    offset += data.len() as u64;
                    sink.write(data, &mut write_error).await;
                }
                Token::Blocks { first, count } => {
                    context.progress(offset, start, false);
                    r.consume(used);
                    let from = head.block_range(first).0;
                    let (last_at, last_len) = head.block_range(first + count - 1);
                    let len = last_at + u64::from(last_len) - from;
                    for block in first..first + count {
                        let (start, len) = head.block_range(block);
                        context.received(&Step::Block { block, len, from: start, at: offset + start - from });
                    }
                    if sink.output.is_some() && sink.basis.is_none() && !sink.lost {
                        return Err(ProtocolError::NoBasis.into());
                    }
                    if let Some(basis) = &sink.basis {
                        let piece = if self.feeds_history { head.block_len as usize } else { FILE_PIECE };
                        let copied = copy_basis(
                            sink.target,
                            basis,
                            sink.output.as_mut(),
                            CopyRange { from, len, to: offset, in_place: sink.in_place, piece },
                            &mut self.copy,
                            &mut hasher,
                            if self.feeds_history { Some(&mut self.tokens) } else { None },
                        )
                        .await;
                        if let Err(e) = copied {
                            sink.give_up(e, &mut write_error);
                        }
                    }
                    if sink.basis.is_none() && (sink.lost || self.feeds_history) {
                        // Where nothing is written, what follows may still point back to these bytes.
                        for at in (0..len).step_by(ZEROS.len()) {
                            let n = usize::try_from(len - at).map_or(ZEROS.len(), |n| n.min(ZEROS.len()));
                            let zeros = ZEROS.get(..n).unwrap_or_default();
                            if self.feeds_history {
                                self.tokens.matched(zeros);
                            }
                            hasher.update(zeros);
                            sink.write(zeros, &mut write_error).await;
                        }
                    }
                    matched += len;
                    offset += len;
                    if matched >= turn {
                        turn = matched + FILE_PIECE as u64;
                        yield_now().await;
                    }
                    continue;
                }
                Token::End => {
                    r.consume(used);
                    break;
                }
            }
            r.consume(used);
        }
        let mut sum = [0u8; Digest::MAX_LEN];
        let len = self.sums.digest_len();
        r.exact(sum.get_mut(..len).unwrap_or_default()).await?;
        context.received(&Step::GotSum);
        let theirs = Digest::from_slice(sum.get(..len).unwrap_or_default()).unwrap_or_default();
        {
            let mut stats = context.shared.stats.borrow_mut();
            stats.literal += sink.literal;
            stats.matched += matched;
        }
        let matches_sum = hasher.finish() == theirs;
        Ok(Received { matches_sum, sum: theirs, write_error, size: offset })
    }

    async fn hash_basis<T: Target>(&mut self, sink: &Sink<'_, T>, end: u64, hasher: &mut Hasher) {
        let Some(basis) = &sink.basis else { return };
        let mut offset = 0;
        while offset < end {
            let n = usize::try_from(end - offset).unwrap_or(FILE_PIECE).min(FILE_PIECE);
            self.copy.resize(n, 0);
            let got = sink.target.read_basis(basis, offset, &mut self.copy).await.unwrap_or(0);
            if got == 0 {
                return;
            }
            hasher.update(self.copy.get(..got).unwrap_or_default());
            offset += got as u64;
        }
    }
}

struct CopyRange {
    from: u64,
    len: u64,
    to: u64,
    in_place: bool,
    piece: usize,
}

/// Copies a range of the basis to the output. Bytes that the basis does not have any more become zeros; the
/// checksum will tell.
async fn copy_basis<T: Target>(
    target: &T,
    basis: &T::Basis,
    mut output: Option<&mut T::Output>,
    range: CopyRange,
    buf: &mut Vec<u8>,
    hasher: &mut Hasher,
    mut history: Option<&mut TokenDecoder>,
) -> Result<(), PortError> {
    let mut done = 0;
    while done < range.len {
        let n = usize::try_from(range.len - done).unwrap_or(range.piece).min(range.piece);
        let from = range.from + done;
        let stays = range.in_place && range.from == range.to;
        match (output.as_deref_mut(), &mut history) {
            (Some(out), None) if !stays => {
                target.copy_basis(out, basis, from, n, &mut |data| hasher.update(data)).await?;
            }
            (output, history) => {
                buf.resize(n, 0);
                let got = target.read_basis(basis, from, buf).await.unwrap_or(0);
                buf.get_mut(got..).unwrap_or_default().fill(0);
                hasher.update(buf);
                if let Some(tokens) = history {
                    tokens.matched(buf);
                }
                match output {
                    Some(out) if stays => target.keep(out, n as u64).await?,
                    Some(out) => target.write(out, buf).await?,
                    None => {}
                }
            }
        }
        done += n as u64;
        if done < range.len {
            // Nothing here waits; the generator asks for the next files meanwhile.
            yield_now().await;
        }
    }
    Ok(())
}
