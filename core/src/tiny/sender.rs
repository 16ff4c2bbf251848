//! The sender: lists the store, answers requests.

use embedded_io_async::{BufRead, Write};

use super::{
    Bound, Fault, Store,
    list::{Listed, encode_end, skip},
    search::{BlockSum, Blocks, STRONG},
    session::Session,
    store::{Meta, StoreEntry},
};
use crate::{
    checksum::{Digest, Hasher, Rolling, TransferSums},
    delta::SumHead,
    error::{Error, Limit, ProtocolError},
    item::ItemFlags,
    mux::MsgTag,
    names::RelName,
    setup::{CompatFlags, Side},
    wire::ndx::{NDX_DEL_STATS, NDX_DONE},
};

/// Longest literal in one record, bytes.
const LITERAL: usize = 32 << 10;
/// A basis in the partial directory (spec: basis_type).
const PARTIAL_DIR: u8 = 0x81;
/// A keep-alive of protocol 29: this index past the end, with these flags.
const KEEP_ALIVE: u16 = 0x2000;

pub(super) async fn send<R, W, S>(s: &mut Session<'_, R, W>, store: &mut S) -> Result<(), Fault<R::Error>>
where
    R: BufRead,
    W: Write<Error = R::Error>,
    S: Store,
{
    if s.side == Side::Server {
        match s.r.i32().await? {
            0 => {}
            1.. => return Err(Fault::Unsupported),
            len => {
                let (what, got) = (Limit::FilterRule, i64::from(len));
                return Err(ProtocolError::OutOfRange { what, got, max: 0 }.into());
            }
        }
    }
    s.send_list(store).await?;
    s.w.flush().await?;
    if s.list.entries.is_empty() && s.side == Side::Server {
        return Ok(());
    }
    let mut phase = 0;
    let last = if s.agreed.protocol.has_item_flags() { 2 } else { 1 };
    loop {
        match s.read_ndx().await? {
            NDX_DONE => {
                phase += 1;
                if phase > last {
                    break;
                }
                s.write_ndx(NDX_DONE).await?;
                s.w.flush().await?;
            }
            NDX_DEL_STATS => {
                s.echo_deletions().await?;
            }
            ndx => s.answer(store, ndx, phase).await?,
        }
    }
    s.write_ndx(NDX_DONE).await?;
    if s.side == Side::Server {
        s.statistics().await?;
    }
    s.w.flush().await?;
    s.goodbye().await
}

/// The directory that an argument is relative to and what of it is meant.
struct Argument<'a> {
    /// Full path; empty: the root.
    path: &'a [u8],
    /// Its contents, not itself.
    contents: bool,
}

impl<'a> Argument<'a> {
    fn new(text: &'a [u8]) -> Option<Self> {
        let (mut path, mut contents) = (text, text.is_empty());
        loop {
            if path == b"." {
                path = b"";
            } else if let Some(rest) = path.strip_suffix(b"/").or_else(|| path.strip_suffix(b"/.")) {
                path = rest;
            } else {
                break;
            }
            contents = true;
        }
        (path.is_empty() || RelName::new(path).is_some()).then_some(Self { path, contents })
    }

    /// How much of a full path goes before the names of the transfer.
    fn prefix(&self) -> usize {
        if self.contents {
            return if self.path.is_empty() { 0 } else { self.path.len() + 1 };
        }
        memchr::memrchr(b'/', self.path).map_or(0, |i| i + 1)
    }

    /// The path lies below the argument; the rest of it behind the slash.
    fn below<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if self.path.is_empty() { Some(path) } else { path.strip_prefix(self.path)?.strip_prefix(b"/") }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "lengths of the memory that a session is lent, below 2^31"
)]
impl<R: BufRead, W: Write<Error = R::Error>> Session<'_, R, W> {
    async fn send_list<S: Store>(&mut self, store: &mut S) -> Result<(), Fault<R::Error>> {
        let command = self.command;
        let mut any = false;
        for text in command.paths() {
            any = true;
            self.argument(store, text).await?;
        }
        if !any && (command.recursive || command.dirs) {
            self.argument(store, b"").await?;
        }
        let io_error = self.summary.failed > 0;
        let format = super::list::Format { agreed: &self.agreed, command };
        encode_end(&mut self.w, format, io_error).await?;
        self.list.sort(self.agreed.protocol);
        self.summary.protocol = self.agreed.protocol.number();
        Ok(())
    }

    async fn argument<S: Store>(&mut self, store: &mut S, text: &[u8]) -> Result<(), Fault<R::Error>> {
        let Some(argument) = Argument::new(text) else {
            return Ok(self.failed("no such file or directory", text).await?);
        };
        let root = Meta::dir(0);
        let found = if argument.path.is_empty() { Some((0, root)) } else { find(store, argument.path).await };
        let Some((id, meta)) = found else {
            return Ok(self.failed("no such file or directory", text).await?);
        };
        let is_dir = meta.mode & 0o170_000 == 0o040_000;
        if !is_dir && argument.contents {
            return Ok(self.failed("not a directory", text).await?);
        }
        let (recursive, dirs) = (self.command.recursive, self.command.dirs);
        if is_dir && !recursive && !dirs {
            return Ok(self.tell(MsgTag::Info, "skipping directory", text).await?);
        }
        let prefix = argument.prefix();
        let name = if argument.contents { b"." } else { argument.path.get(prefix..).unwrap_or_default() };
        self.list_one(store, name, id, &meta, true).await?;
        if !is_dir || !(recursive || argument.contents) {
            return Ok(());
        }
        for id in 0.. {
            let entry = match store.entry(id).await {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => return Ok(self.failed(error.0, text).await?),
            };
            let StoreEntry { path, meta } = entry;
            let wanted = argument.below(path).is_some_and(|rest| recursive || !rest.contains(&b'/'));
            if wanted {
                let name = path.get(prefix..).unwrap_or_default();
                self.push(name, id, &meta)?;
                self.encode_newest(store, false).await?;
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8], id: u32, meta: &Meta) -> Result<(), Fault<R::Error>> {
        let Meta { size, mtime, mode } = *meta;
        self.list.push(name, Listed::new(id, size, mtime, mode)).map_err(Fault::Full)
    }

    async fn list_one<S: Store>(
        &mut self,
        store: &mut S,
        name: &[u8],
        id: u32,
        meta: &Meta,
        top: bool,
    ) -> Result<(), Fault<R::Error>> {
        self.push(name, id, meta)?;
        self.encode_newest(store, top).await
    }

    async fn encode_newest<S: Store>(&mut self, store: &mut S, top: bool) -> Result<(), Fault<R::Error>> {
        let Some(entry) = self.list.entries.last().copied() else { return Ok(()) };
        let mut digest = Digest::zero(self.agreed.list_sum.digest_len());
        if self.command.checksums && entry.is_regular() {
            // Zeros stand for a file that cannot be read.
            if let Some(sum) =
                hash_file(store, entry.id, Hasher::new(self.agreed.list_sum), self.window).await
            {
                digest = sum;
            }
        }
        let format = super::list::Format { agreed: &self.agreed, command: self.command };
        Ok(self.list.encode_newest(&mut self.w, format, top, &digest).await?)
    }

    async fn echo_deletions(&mut self) -> Result<(), Error<R::Error>> {
        let counts = self.read_deletions().await?;
        if self.side == Side::Server {
            self.write_ndx(NDX_DEL_STATS).await?;
            for count in counts {
                self.w.varint(count).await?;
            }
        }
        Ok(())
    }

    async fn statistics(&mut self) -> Result<(), Error<R::Error>> {
        let p = self.agreed.protocol;
        let total = self.list.entries.iter().filter(|e| e.is_regular()).map(|e| e.size).sum::<u64>();
        let counts = [self.r.count(), self.w.count(), total, 0, 0];
        // The times of a device without a clock are 0.
        for count in counts.iter().take(if p.has_item_flags() { 5 } else { 3 }) {
            self.w.varlong30(p, *count as i64, 3).await?;
        }
        Ok(())
    }

    async fn goodbye(&mut self) -> Result<(), Fault<R::Error>> {
        let p = self.agreed.protocol;
        let rounds = if p.has_extended_goodbye() { 2 } else { 1 };
        for round in 0..rounds {
            loop {
                match self.read_ndx().await? {
                    NDX_DONE => break,
                    NDX_DEL_STATS if p.has_extended_goodbye() => self.echo_deletions().await?,
                    got => return Err(ProtocolError::BadGoodbye { got }.into()),
                }
            }
            if round + 1 < rounds {
                self.write_ndx(NDX_DONE).await?;
                self.w.flush().await?;
            }
        }
        Ok(())
    }

    /// One request of the generator.
    async fn answer<S: Store>(&mut self, store: &mut S, ndx: i32, phase: u8) -> Result<(), Fault<R::Error>> {
        let p = self.agreed.protocol;
        let count = self.list.entries.len() as i32;
        let mut flags = ItemFlags::TRANSFER;
        let (mut basis, mut name_len) = (None, None);
        if p.has_item_flags() {
            let word = self.r.u16().await?;
            if ndx == count && word == KEEP_ALIVE && !p.has_varints() {
                return Ok(());
            }
            flags = ItemFlags::from_wire(word);
            if flags.contains(ItemFlags::BASIS_TYPE_FOLLOWS) {
                basis = Some(self.r.u8().await?);
            }
            if flags.contains(ItemFlags::XNAME_FOLLOWS) {
                let len = self.r.vstring_len().await?;
                let room = self.window.get_mut(..len).ok_or(Fault::Full(Bound::Window))?;
                self.r.exact(room).await?;
                name_len = Some(len);
            }
        }
        let Some(entry) = usize::try_from(ndx).ok().and_then(|i| self.list.entries.get(i)).copied() else {
            return Err(ProtocolError::BadNdx { got: ndx, first: 0, last: count - 1 }.into());
        };
        let transfer = flags.contains(ItemFlags::TRANSFER);
        if transfer && !entry.is_regular() {
            return Err(ProtocolError::NotRegular { ndx }.into());
        }
        if transfer && phase == 2 {
            return Err(ProtocolError::LatePhase { phase }.into());
        }
        let data = transfer && !self.command.dry_run;
        // The name has to be sent before the window is used for data.
        let head = if data && name_len.is_none() { Some(self.read_sums().await?) } else { None };
        let readable = !data || store.read_at(entry.id, 0, &mut [0]).await.is_ok();
        if !readable {
            if head.is_none() {
                self.read_sums().await?;
            }
            return self.cannot_send(ndx, &entry).await;
        }
        self.write_ndx(ndx).await?;
        if p.has_item_flags() {
            self.w.u16(flags.to_wire()).await?;
            if let Some(basis) = basis {
                self.w.u8(basis).await?;
            }
            if let Some(len) = name_len {
                self.w.vstring(self.window.get(..len).unwrap_or_default()).await?;
            }
        }
        if data {
            let head = match head {
                Some(head) => head,
                None => self.read_sums().await?,
            };
            let partial =
                self.agreed.flags.contains(CompatFlags::INPLACE_PARTIAL_DIR) && basis == Some(PARTIAL_DIR);
            let in_place = partial || (self.command.in_place && matches!(basis, None | Some(0x80)));
            self.w.bytes(&head.encode()).await?;
            self.send_data(store, &entry, head, in_place).await?;
        }
        Ok(self.w.flush().await?)
    }

    async fn cannot_send(&mut self, ndx: i32, entry: &Listed) -> Result<(), Fault<R::Error>> {
        self.summary.failed += 1;
        let mut name = heapless::Vec::<u8, 64>::new();
        let full = self.list.name(entry);
        let _ = name.extend_from_slice(full.get(..full.len().min(64)).unwrap_or_default());
        self.tell(MsgTag::ErrorXfer, "cannot be read", &name).await?;
        if self.agreed.protocol.has_io_messages() {
            self.w.message(MsgTag::IoError, &1i32.to_le_bytes()).await?;
            self.w.message(MsgTag::NoSend, &ndx.to_le_bytes()).await?;
        }
        Ok(self.w.flush().await?)
    }

    /// The header and the sums behind it. What does not fit is read and forgotten: the file then goes whole.
    async fn read_sums(&mut self) -> Result<SumHead, Fault<R::Error>> {
        let sums = self.agreed.sums();
        let mut bytes = [0; 16];
        self.r.exact(&mut bytes).await?;
        let head = SumHead::decode(&bytes, self.agreed.protocol, sums.digest_len())?;
        self.sums.clear();
        let strong = head.s2length as usize;
        let fits = head.count as usize <= self.sums.capacity()
            && head.block_len as usize <= self.window.len() / 2
            && strong > 0;
        for block in 0..head.count {
            let weak = self.r.i32().await? as u32;
            let mut sum = BlockSum { weak, block, strong: [0; STRONG] };
            let kept = strong.min(STRONG);
            self.r.exact(sum.strong.get_mut(..kept).unwrap_or_default()).await?;
            skip(&mut self.r, strong - kept).await?;
            if fits {
                let _ = self.sums.push(sum);
            }
        }
        Ok(head)
    }

    /// Tokens and the checksum of the file.
    async fn send_data<S: Store>(
        &mut self,
        store: &mut S,
        entry: &Listed,
        head: SumHead,
        in_place: bool,
    ) -> Result<(), Error<R::Error>> {
        let sums = self.agreed.sums();
        let mut reader = Source { id: entry.id, offset: 0, end: false, failed: false };
        let mut hasher = sums.file_hasher();
        let blocks = Blocks::new(head, self.sums);
        let output = &mut self.w;
        let (bytes, matched) = if blocks.is_empty() {
            (whole(output, &mut reader, store, self.window, &mut hasher).await?, 0)
        } else {
            let search = Search { blocks, sums, in_place };
            search.run(output, &mut reader, store, self.window, &mut hasher).await?
        };
        self.w.i32(0).await?;
        let mut digest = hasher.finish();
        if reader.failed {
            // A wrong checksum on purpose: the receiver must not keep what it has.
            digest = Digest::zero(sums.digest_len());
            self.summary.failed += 1;
            self.tell(MsgTag::ErrorXfer, "read error", b"").await?;
        } else {
            self.summary.files += 1;
            self.summary.bytes += bytes;
            self.summary.matched += matched;
        }
        self.w.bytes(digest.as_bytes()).await
    }
}

/// A file that is read from its beginning to its end.
struct Source {
    id: u32,
    offset: u64,
    end: bool,
    failed: bool,
}

impl Source {
    /// Fills the buffer, unless the file ends before; returns how much came.
    async fn fill<S: Store>(&mut self, store: &mut S, buf: &mut [u8]) -> usize {
        let mut have = 0;
        while have < buf.len() && !self.end {
            let room = buf.get_mut(have..).unwrap_or_default();
            match store.read_at(self.id, self.offset, room).await {
                Ok(0) => self.end = true,
                Ok(n) => {
                    let n = n.min(room.len());
                    have += n;
                    self.offset += n as u64;
                }
                Err(_) => (self.end, self.failed) = (true, true),
            }
        }
        have
    }
}

async fn literal<W: Write>(
    w: &mut crate::io::WireWriter<W, &mut [u8]>,
    hasher: &mut Hasher,
    data: &[u8],
) -> Result<(), Error<W::Error>> {
    hasher.update(data);
    for piece in data.chunks(LITERAL) {
        w.i32(i32::try_from(piece.len()).unwrap_or(i32::MAX)).await?;
        w.bytes(piece).await?;
    }
    Ok(())
}

/// A file without any block sums.
async fn whole<W: Write, S: Store>(
    w: &mut crate::io::WireWriter<W, &mut [u8]>,
    source: &mut Source,
    store: &mut S,
    window: &mut [u8],
    hasher: &mut Hasher,
) -> Result<u64, Error<W::Error>> {
    loop {
        let n = source.fill(store, window).await;
        if n == 0 {
            return Ok(source.offset);
        }
        literal(w, hasher, window.get(..n).unwrap_or_default()).await?;
    }
}

struct Search<'a> {
    blocks: Blocks<'a>,
    sums: TransferSums,
    in_place: bool,
}

impl Search<'_> {
    /// Returns the length of the file and how much of it was matched.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "lengths of the memory that a session is lent, below 2^31"
    )]
    async fn run<W: Write, S: Store>(
        &self,
        w: &mut crate::io::WireWriter<W, &mut [u8]>,
        source: &mut Source,
        store: &mut S,
        window: &mut [u8],
        hasher: &mut Hasher,
    ) -> Result<(u64, u64), Error<W::Error>> {
        let block_len = self.blocks.block_len();
        let mut matched = 0u64;
        // window[unsent..at] are literals, window[at..have] is what the search has not seen.
        let (mut unsent, mut at, mut have) = (0, 0, 0);
        let mut rolling: Option<Rolling> = None;
        loop {
            if have - at < block_len && !source.end {
                literal(w, hasher, window.get(unsent..at).unwrap_or_default()).await?;
                window.copy_within(at..have, 0);
                have -= at;
                (unsent, at) = (0, 0);
                have += source.fill(store, window.get_mut(have..).unwrap_or_default()).await;
            }
            if have - at < block_len {
                break;
            }
            let here = window.get(at..at + block_len).unwrap_or_default();
            let sum = *rolling.get_or_insert_with(|| Rolling::new(here));
            let written = source.offset - (have - at) as u64;
            let lowest = if self.in_place { written } else { 0 };
            if let Some(block) = self.blocks.find(sum.value(), here, &self.sums, lowest) {
                literal(w, hasher, window.get(unsent..at).unwrap_or_default()).await?;
                hasher.update(here);
                w.i32(-(block as i32) - 1).await?;
                matched += block_len as u64;
                at += block_len;
                unsent = at;
                rolling = None;
                continue;
            }
            rolling = match (window.get(at), window.get(at + block_len).filter(|_| at + block_len < have)) {
                (Some(&old), Some(&new)) => {
                    let mut next = sum;
                    next.roll(old, new, self.blocks.head.block_len);
                    Some(next)
                }
                // The byte that enters is not read yet.
                _ => None,
            };
            at += 1;
        }
        // Only the short last block can lie in what is left, and only at its end.
        let last_len = self.blocks.last_len().min(have - at);
        let tail = window.get(have - last_len..have).unwrap_or_default();
        let lowest = if self.in_place { source.offset - last_len as u64 } else { 0 };
        if let Some(block) = self.blocks.find_tail(tail, &self.sums, lowest) {
            literal(w, hasher, window.get(unsent..have - last_len).unwrap_or_default()).await?;
            hasher.update(tail);
            w.i32(-(block as i32) - 1).await?;
            matched += last_len as u64;
        } else {
            literal(w, hasher, window.get(unsent..have).unwrap_or_default()).await?;
        }
        Ok((source.offset, matched))
    }
}

/// The number and the attributes of a path.
pub(super) async fn find<S: Store>(store: &mut S, path: &[u8]) -> Option<(u32, Meta)> {
    for id in 0.. {
        let entry = store.entry(id).await.ok()??;
        if entry.path == path {
            return Some((id, entry.meta));
        }
    }
    None
}

/// The digest of a file; none if it cannot be read.
pub(super) async fn hash_file<S: Store>(
    store: &mut S,
    id: u32,
    mut hasher: Hasher,
    window: &mut [u8],
) -> Option<Digest> {
    let mut source = Source { id, offset: 0, end: false, failed: false };
    loop {
        let n = source.fill(store, window).await;
        if n == 0 {
            return (!source.failed).then(|| hasher.finish());
        }
        hasher.update(window.get(..n).unwrap_or_default());
    }
}
