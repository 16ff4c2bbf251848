//! The receiver: reads the list, asks for what is missing, writes what comes.
//!
//! From protocol 30 on one file is requested at a time, so that nothing has to be remembered between requests. Below 30
//! a sender that cannot open a file stays silent about it; there all requests go out first (22 bytes each, which the
//! transport has to hold), and what has not come when the phase ends will not come.

use embedded_io_async::{BufRead, Write};
use heapless::Vec;

use super::{
    Bound, Fault, PATH_MAX, Store,
    list::{Format, Listed, State},
    sender::find,
    session::Session,
    store::{Meta, StoreError},
};
use crate::{
    checksum::{Digest, Hasher, weak},
    delta::SumHead,
    error::ProtocolError,
    item::ItemFlags,
    mux::MsgTag,
    names::RelName,
    setup::Side,
    wire::ndx::{NDX_DEL_STATS, NDX_DONE},
};

type Path = Vec<u8, PATH_MAX>;

/// What came from the sender.
enum Answer {
    Done,
    /// An item, and how its data went.
    Item(i32, Received),
    /// The sender will not send this index.
    Refused(i32),
}

/// How the data of a file went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    /// The item carried none.
    Nothing,
    Committed,
    /// The checksum does not match.
    Wrong,
    /// The store would not take it; this was reported.
    Failed,
}

/// A request on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The file whose blocks were offered.
    basis: Option<u32>,
    head: SumHead,
}

/// What stands in place of an entry.
enum Standing {
    Missing,
    Same(u32, Meta),
    Differs(u32, Meta),
}

pub(super) async fn receive<R, W, S>(s: &mut Session<'_, R, W>, store: &mut S) -> Result<(), Fault<R::Error>>
where
    R: BufRead,
    W: Write<Error = R::Error>,
    S: Store,
{
    let p = s.agreed.protocol;
    if s.side == Side::Client {
        s.w.i32(0).await?;
        s.w.flush().await?;
    }
    let format = Format { agreed: &s.agreed, command: s.command };
    let io_error = s.list.decode(&mut s.r, format).await?;
    s.summary.failed += u32::from(io_error & 3 != 0);
    if s.list.entries.is_empty() && s.side == Side::Client {
        return Ok(());
    }
    s.list.sort(p);
    s.list.clear_duplicates();
    let destination = s.destination(store).await?;
    // Phases of the sender: the requests, the repeats, the late updates of others.
    let mut dones = 0;
    if p.has_io_messages() {
        s.request_each(store, &destination).await?;
    } else {
        for redo in [false, true] {
            s.request_all(store, &destination, redo).await?;
            s.write_ndx(NDX_DONE).await?;
            s.w.flush().await?;
            s.answers(store, &destination, redo).await?;
            dones += 1;
        }
    }
    s.end(store, &destination, dones).await
}

/// Where entries go.
struct Destination {
    /// Directory; empty: the root.
    dir: Path,
    /// The only entry, a file, gets this name instead of its own.
    single: bool,
}

fn append(path: &mut Path, part: &[u8]) -> Result<(), Bound> {
    path.extend_from_slice(part).map_err(|_| Bound::Path)
}

impl Destination {
    fn path(&self, name: &[u8]) -> Result<Path, Bound> {
        let mut path = self.dir.clone();
        if self.single || name == b"." {
            return Ok(path);
        }
        if !path.is_empty() {
            append(&mut path, b"/")?;
        }
        append(&mut path, name)?;
        Ok(path)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "lengths of the memory that a session is lent, below 2^31"
)]
impl<R: BufRead, W: Write<Error = R::Error>> Session<'_, R, W> {
    async fn destination<S: Store>(&mut self, store: &mut S) -> Result<Destination, Fault<R::Error>> {
        let text = self.command.paths().next().unwrap_or_default();
        let mut dir = text;
        while let Some(rest) = dir.strip_suffix(b"/").or_else(|| dir.strip_suffix(b"/.")) {
            dir = rest;
        }
        if dir == b"." {
            dir = b"";
        }
        if !dir.is_empty() && RelName::new(dir).is_none() {
            return Err(ProtocolError::Name(crate::error::NameFault::Unsafe).into());
        }
        let mut path = Path::new();
        append(&mut path, dir).map_err(Fault::Full)?;
        let one_file = matches!(&self.list.entries[..], [one] if !one.is_dir());
        let single = one_file && dir.len() == text.len() && !dir.is_empty() && {
            !matches!(find(store, dir).await, Some((_, meta)) if meta.mode & 0o170_000 == 0o040_000)
        };
        if !single && !dir.is_empty() && find(store, dir).await.is_none() && !self.command.dry_run {
            self.make_dir(store, dir, &Meta::dir(0)).await?;
        }
        Ok(Destination { dir: path, single })
    }

    async fn make_dir<S: Store>(
        &mut self,
        store: &mut S,
        path: &[u8],
        meta: &Meta,
    ) -> Result<(), Fault<R::Error>> {
        if let Err(StoreError(text)) = store.make_dir(path, meta).await {
            self.failed(text, path).await?;
        }
        Ok(())
    }

    fn entry(&self, position: usize) -> Option<Listed> {
        self.list.entries.get(position).copied()
    }

    fn path(&self, destination: &Destination, entry: &Listed) -> Result<Path, Fault<R::Error>> {
        destination.path(self.list.name(entry)).map_err(Fault::Full)
    }

    /// The attributes that the peer asked to preserve.
    fn meta(&self, entry: &Listed, size: u64) -> Meta {
        let c = self.command;
        let plain = if entry.is_dir() { 0o040_755 } else { 0o100_644 };
        let mode = if c.perms { entry.mode } else { plain };
        let times = c.times && !(entry.is_dir() && c.omit_dir_times);
        Meta { size, mtime: if times { entry.mtime } else { 0 }, mode }
    }

    /// From protocol 30 on: one file after the other.
    async fn request_each<S: Store>(
        &mut self,
        store: &mut S,
        destination: &Destination,
    ) -> Result<(), Fault<R::Error>> {
        for position in 0..self.list.entries.len() {
            let mut redo = false;
            while let Some(asked) = self.request(store, destination, position, redo).await? {
                self.w.flush().await?;
                match self.next_answer(store, destination, Some((position, asked))).await? {
                    Answer::Item(ndx, received) if usize::try_from(ndx) == Ok(position) => {
                        if received != Received::Wrong {
                            break;
                        }
                        if redo {
                            self.wrong(position).await?;
                            break;
                        }
                        redo = true;
                    }
                    Answer::Refused(ndx) if usize::try_from(ndx) == Ok(position) => {
                        self.summary.failed += 1;
                        break;
                    }
                    Answer::Item(got, _) | Answer::Refused(got) => return Err(self.bad_ndx(got)),
                    Answer::Done => return Err(self.bad_ndx(NDX_DONE)),
                }
            }
        }
        Ok(())
    }

    fn bad_ndx(&self, got: i32) -> Fault<R::Error> {
        ProtocolError::BadNdx { got, first: 0, last: self.list.entries.len() as i32 - 1 }.into()
    }

    async fn wrong(&mut self, position: usize) -> Result<(), Fault<R::Error>> {
        let Some(entry) = self.entry(position) else { return Ok(()) };
        let mut name = Path::new();
        let full = self.list.name(&entry);
        let _ = name.extend_from_slice(full.get(..full.len().min(PATH_MAX)).unwrap_or_default());
        Ok(self.failed("failed verification", &name).await?)
    }

    /// Below protocol 30: everything that one phase wants.
    async fn request_all<S: Store>(
        &mut self,
        store: &mut S,
        destination: &Destination,
        redo: bool,
    ) -> Result<(), Fault<R::Error>> {
        for position in 0..self.list.entries.len() {
            let wanted = if redo { State::Redo } else { State::Open };
            if self.entry(position).is_some_and(|e| e.state == wanted) {
                self.request(store, destination, position, redo).await?;
            }
        }
        Ok(())
    }

    /// Below protocol 30: what comes up to the end of a phase.
    async fn answers<S: Store>(
        &mut self,
        store: &mut S,
        destination: &Destination,
        redo: bool,
    ) -> Result<(), Fault<R::Error>> {
        loop {
            match self.next_answer(store, destination, None).await? {
                Answer::Done => return Ok(()),
                Answer::Item(ndx, Received::Wrong) => {
                    let position = usize::try_from(ndx).unwrap_or_default();
                    if redo {
                        self.wrong(position).await?;
                    } else if let Some(entry) = self.list.entries.get_mut(position) {
                        entry.state = State::Redo;
                    }
                }
                Answer::Item(..) => {}
                Answer::Refused(got) => return Err(self.bad_ndx(got)),
            }
        }
    }

    /// Compares an entry with what is there. With `-c` the digests of the list are not kept: equal content is found by
    /// its block sums, and nothing but those travels.
    async fn standing<S: Store>(&mut self, store: &mut S, path: &[u8], entry: &Listed) -> Standing {
        let Some((id, meta)) = find(store, path).await else { return Standing::Missing };
        if meta.mode & 0o170_000 != entry.mode & 0o170_000 {
            return Standing::Differs(id, meta);
        }
        let c = self.command;
        let same = entry.is_dir()
            || (meta.size == entry.size
                && !c.ignore_times
                && (c.size_only || (!c.checksums && c.times && meta.mtime == entry.mtime)));
        if same { Standing::Same(id, meta) } else { Standing::Differs(id, meta) }
    }

    /// Writes a request if the entry wants one; `None`: it does not. Directories are made here.
    async fn request<S: Store>(
        &mut self,
        store: &mut S,
        destination: &Destination,
        position: usize,
        redo: bool,
    ) -> Result<Option<Asked>, Fault<R::Error>> {
        let Some(entry) = self.entry(position).filter(|e| e.state != State::Duplicate) else {
            return Ok(None);
        };
        let path = self.path(destination, &entry)?;
        let standing = self.standing(store, &path, &entry).await;
        let (c, p) = (self.command, self.agreed.protocol);
        if matches!(standing, Standing::Missing) && c.existing {
            return Ok(None);
        }
        let mut flags = match &standing {
            Standing::Missing => ItemFlags::IS_NEW,
            Standing::Differs(_, old) | Standing::Same(_, old) => {
                let mut flags = ItemFlags::empty();
                flags.set(ItemFlags::REPORT_SIZE, old.size != entry.size && !entry.is_dir());
                flags.set(ItemFlags::REPORT_TIME, c.times && old.mtime != entry.mtime && !entry.is_dir());
                flags
            }
        };
        if entry.is_dir() {
            if !matches!(standing, Standing::Missing) || path.is_empty() {
                return Ok(None);
            }
            if !c.dry_run {
                let meta = self.meta(&entry, 0);
                self.make_dir(store, &path, &meta).await?;
            }
            if !p.has_item_flags() {
                return Ok(None);
            }
            self.write_item(position, flags | ItemFlags::LOCAL_CHANGE).await?;
            return Ok(Some(Asked { basis: None, head: SumHead::EMPTY }));
        }
        if !entry.is_regular() {
            self.tell(MsgTag::Info, "skipping non-regular file", &path).await?;
            return Ok(None);
        }
        let old = match standing {
            Standing::Missing => None,
            Standing::Same(id, old) => {
                let meta = self.meta(&entry, entry.size);
                if meta != old
                    && (c.perms || c.times)
                    && !c.dry_run
                    && !redo
                    && let Err(StoreError(text)) = store.set_meta(id, &meta).await
                {
                    self.failed(text, &path).await?;
                }
                if !redo {
                    return Ok(None);
                }
                Some((id, old))
            }
            Standing::Differs(id, old) => {
                let regular = old.mode & 0o170_000 == 0o100_000;
                if !regular {
                    self.failed("a directory is in the way", &path).await?;
                    return Ok(None);
                }
                if !redo && (c.ignore_existing || (c.update && old.mtime > entry.mtime)) {
                    return Ok(None);
                }
                Some((id, old))
            }
        };
        flags |= ItemFlags::TRANSFER;
        self.write_item(position, flags).await?;
        if c.dry_run {
            return Ok(Some(Asked { basis: None, head: SumHead::EMPTY }));
        }
        let basis = old.filter(|(_, old)| {
            S::KEEPS_OLD
                && !c.whole_file
                && p.has_io_messages()
                && old.size > 0
                && self.agreed.sums().digest_len() > 1
        });
        let head = match basis {
            Some((id, old)) => self.write_sums(store, id, old.size, redo).await?,
            None => {
                self.w.bytes(&SumHead::EMPTY.encode()).await?;
                SumHead::EMPTY
            }
        };
        Ok(Some(Asked { basis: basis.map(|(id, _)| id), head }))
    }

    async fn write_item(&mut self, position: usize, flags: ItemFlags) -> Result<(), Fault<R::Error>> {
        self.write_ndx(position as i32).await?;
        if self.agreed.protocol.has_item_flags() {
            self.w.u16(flags.to_wire()).await?;
        }
        Ok(())
    }

    /// The sums of the old file, in blocks that fit the window.
    async fn write_sums<S: Store>(
        &mut self,
        store: &mut S,
        id: u32,
        len: u64,
        redo: bool,
    ) -> Result<SumHead, Fault<R::Error>> {
        let (sums, p) = (self.agreed.sums(), self.agreed.protocol);
        let digest_len = sums.digest_len();
        let window = self.window.len() as u32;
        let mut head = SumHead::for_basis(len, 0, p, redo, digest_len);
        if head.is_none_or(|h| h.block_len > window) {
            head = SumHead::for_basis(len, window, p, redo, digest_len);
        }
        let head = head.unwrap_or(SumHead::EMPTY);
        self.w.bytes(&head.encode()).await?;
        for block in 0..head.count {
            let (offset, len) = head.block_range(block);
            let data = self.window.get_mut(..len as usize).unwrap_or_default();
            if !read_exact(store, id, offset, data).await {
                // Sums of something else: no block will be found, or the checksum of the file tells.
                data.fill(0);
            }
            self.w.bytes(&weak(data).to_le_bytes()).await?;
            let strong = sums.block(data);
            self.w.bytes(strong.as_bytes().get(..head.s2length as usize).unwrap_or_default()).await?;
        }
        Ok(head)
    }

    /// The next thing of the sender. `asked`: the only request that is open, with its position; else any may come.
    async fn next_answer<S: Store>(
        &mut self,
        store: &mut S,
        destination: &Destination,
        asked: Option<(usize, Asked)>,
    ) -> Result<Answer, Fault<R::Error>> {
        let p = self.agreed.protocol;
        loop {
            let data = self.r.event().await?;
            if let Some(ndx) = self.r.sink().no_send.take() {
                return Ok(Answer::Refused(ndx));
            }
            if !data {
                continue;
            }
            let ndx = self.read_ndx().await?;
            if ndx == NDX_DONE {
                return Ok(Answer::Done);
            }
            let mut flags = ItemFlags::TRANSFER;
            if p.has_item_flags() {
                flags = ItemFlags::from_wire(self.r.u16().await?);
                if flags.contains(ItemFlags::BASIS_TYPE_FOLLOWS) {
                    self.r.u8().await?;
                }
                if flags.contains(ItemFlags::XNAME_FOLLOWS) {
                    let len = self.r.vstring_len().await?;
                    super::list::skip(&mut self.r, len).await?;
                }
                // A keep-alive of protocol 29.
                if ndx == self.list.entries.len() as i32 && flags == ItemFlags::IS_NEW && !p.has_varints() {
                    continue;
                }
            }
            let position = usize::try_from(ndx).map_err(|_| self.bad_ndx(ndx))?;
            let Some(entry) = self.entry(position) else { return Err(self.bad_ndx(ndx)) };
            if !flags.contains(ItemFlags::TRANSFER) || self.command.dry_run {
                return Ok(Answer::Item(ndx, Received::Nothing));
            }
            if !entry.is_regular() || entry.state == State::Duplicate {
                return Err(ProtocolError::NotRegular { ndx }.into());
            }
            let asked = match asked {
                Some((expected, _)) if expected != position => return Err(self.bad_ndx(ndx)),
                Some((_, asked)) => asked,
                None => Asked { basis: None, head: SumHead::EMPTY },
            };
            let path = self.path(destination, &entry)?;
            let received = self.data(store, &path, &entry, asked).await?;
            return Ok(Answer::Item(ndx, received));
        }
    }

    /// Header, tokens and checksum of one file.
    async fn data<S: Store>(
        &mut self,
        store: &mut S,
        path: &[u8],
        entry: &Listed,
        asked: Asked,
    ) -> Result<Received, Fault<R::Error>> {
        let sums = self.agreed.sums();
        let mut bytes = [0; 16];
        self.r.exact(&mut bytes).await?;
        let head = SumHead::decode(&bytes, self.agreed.protocol, sums.digest_len())?;
        if head.count > asked.head.count || head.block_len > asked.head.block_len.max(1) {
            return Err(ProtocolError::BadBlock { got: head.count.into(), count: asked.head.count }.into());
        }
        let mut file = Incoming { offset: 0, matched: 0, hasher: sums.file_hasher(), error: None };
        file.error = store.begin(path, entry.size).await.err();
        let mut open = file.error.is_none();
        loop {
            match self.r.i32().await? {
                0 => break,
                len @ 1.. => {
                    let mut left = len as usize;
                    while left > 0 {
                        let buf = self.r.fill().await?;
                        let n = buf.len().min(left);
                        file.take(store, buf.get(..n).unwrap_or_default()).await;
                        self.r.consume(n);
                        left -= n;
                    }
                }
                token => {
                    let block = (!token) as u32;
                    let count = head.count;
                    let Some(basis) = asked.basis else { return Err(ProtocolError::NoBasis.into()) };
                    if block >= count {
                        return Err(ProtocolError::BadBlock { got: block.into(), count }.into());
                    }
                    let (at, len) = head.block_range(block);
                    let data = self.window.get_mut(..len as usize).unwrap_or_default();
                    if !read_exact(store, basis, at, data).await {
                        file.error.get_or_insert(StoreError("cannot read the old file"));
                    }
                    file.matched += u64::from(len);
                    file.take(store, data).await;
                }
            }
            if file.error.is_some() && core::mem::take(&mut open) {
                store.discard().await;
            }
        }
        let mut digest = [0; Digest::MAX_LEN];
        let digest = digest.get_mut(..sums.digest_len()).unwrap_or_default();
        self.r.exact(digest).await?;
        if let Some(StoreError(text)) = file.error {
            if open {
                store.discard().await;
            }
            self.failed(text, path).await?;
            return Ok(Received::Failed);
        }
        if file.hasher.finish().as_bytes() != &*digest {
            store.discard().await;
            return Ok(Received::Wrong);
        }
        let meta = self.meta(entry, file.offset);
        if let Err(StoreError(text)) = store.commit(path, &meta).await {
            self.failed(text, path).await?;
            return Ok(Received::Failed);
        }
        self.summary.files += 1;
        self.summary.bytes += file.offset;
        self.summary.matched += file.matched;
        Ok(Received::Committed)
    }

    /// The rest of the session once all files are there.
    async fn end<S: Store>(
        &mut self,
        store: &mut S,
        destination: &Destination,
        dones: u8,
    ) -> Result<(), Fault<R::Error>> {
        let p = self.agreed.protocol;
        // Of the phases: requests, repeats, (29) late updates, (31) late deletions.
        let own = 2 + u8::from(p.has_item_flags()) + u8::from(p.has_extended_goodbye());
        let phases = 2 + u8::from(p.has_item_flags());
        for _ in dones..own {
            self.write_ndx(NDX_DONE).await?;
        }
        self.w.flush().await?;
        for _ in dones..phases {
            self.expect_done().await?;
        }
        if self.side == Side::Client {
            for _ in 0..if p.has_item_flags() { 5 } else { 3 } {
                self.r.varlong30(p, 3).await?;
            }
        }
        if p.has_extended_goodbye() {
            self.expect_done().await?;
        }
        if self.r.sink().transfer_error || self.r.sink().io_error & 3 != 0 {
            self.summary.failed = self.summary.failed.max(1);
        }
        self.directory_times(store, destination).await?;
        self.write_ndx(NDX_DONE).await?;
        Ok(self.w.flush().await?)
    }

    async fn expect_done(&mut self) -> Result<(), Fault<R::Error>> {
        loop {
            match self.read_ndx().await? {
                NDX_DONE => return Ok(()),
                NDX_DEL_STATS => drop(self.read_deletions().await?),
                got => return Err(ProtocolError::BadGoodbye { got }.into()),
            }
        }
    }

    /// Directories get their times when nothing is written into them any more.
    async fn directory_times<S: Store>(
        &mut self,
        store: &mut S,
        destination: &Destination,
    ) -> Result<(), Fault<R::Error>> {
        let c = self.command;
        if c.dry_run || !c.times || c.omit_dir_times {
            return Ok(());
        }
        for position in 0..self.list.entries.len() {
            let Some(entry) = self.entry(position).filter(|e| e.is_dir() && e.state != State::Duplicate)
            else {
                continue;
            };
            let path = self.path(destination, &entry)?;
            if !path.is_empty() && find(store, &path).await.is_some() {
                let meta = self.meta(&entry, 0);
                self.make_dir(store, &path, &meta).await?;
            }
        }
        Ok(())
    }
}

/// A file that is being written.
struct Incoming {
    offset: u64,
    matched: u64,
    hasher: Hasher,
    error: Option<StoreError>,
}

impl Incoming {
    /// Hashes and writes; after an error only hashes.
    async fn take<S: Store>(&mut self, store: &mut S, data: &[u8]) {
        self.hasher.update(data);
        if self.error.is_none() {
            self.error = store.write_at(self.offset, data).await.err();
        }
        self.offset += data.len() as u64;
    }
}

async fn read_exact<S: Store>(store: &mut S, id: u32, mut offset: u64, mut buf: &mut [u8]) -> bool {
    while !buf.is_empty() {
        match store.read_at(id, offset, buf).await {
            Ok(n) if n > 0 && n <= buf.len() => {
                offset += n as u64;
                buf = buf.get_mut(n..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    true
}
