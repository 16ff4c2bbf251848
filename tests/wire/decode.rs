//! Reads both directions of a session from the outside, with the decoders of the roles.

use core::{convert::Infallible, ops::Range};

use arsync_core::{
    delta::SumHead,
    error::{Error, Limit, ProtocolError},
    flist::{
        Format, Tables,
        decode::Decoder,
        encode::{Encoder, IdNames},
        entry::FileList,
        ids::IdTable,
        order, xattr,
    },
    io::{BufRead, ErrorType, MessageFault, MessageSink, Read, WireReader, WireWriter},
    item::ItemFlags,
    limits::MAX_TEXT,
    mux::{Header, MsgTag},
    options::{Append, FilesFrom},
    rt::block_on_ready,
    session::{
        goodbye::{ItemHeader, read_del_stats, read_stats},
        lists::{Found, Lists, Numbering},
    },
    setup::{self, Agreed, CompatFlags, Handshake, Side, negotiate},
    stats::{Counts, Stats},
    token::{Token, TokenDecoder},
    version::ProtocolVersion,
    wire::ndx::{NDX_DEL_STATS, NDX_DONE, NDX_FLIST_EOF, NDX_FLIST_OFFSET, NdxState},
};

use crate::{command::Command, corpus::Case, greeting::prelude};

/// Why a session was not read to its end.
#[derive(Debug)]
pub enum Fault {
    /// A decoder refused something, or the stream ended inside a value.
    Wire(Error<Infallible>),
    /// The values do not agree with each other or with what is known of the session.
    Check(#[allow(dead_code, reason = "shown by Debug")] String),
}

impl From<Error<Infallible>> for Fault {
    fn from(e: Error<Infallible>) -> Self {
        Self::Wire(e)
    }
}

impl From<ProtocolError> for Fault {
    fn from(e: ProtocolError) -> Self {
        Self::Wire(e.into())
    }
}

/// Fails with a text unless a condition holds.
macro_rules! ensure {
    ($cond:expr, $($text:tt)+) => {
        if !$cond {
            return Err($crate::decode::Fault::Check(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

/// The messages of one direction.
#[derive(Debug, Default)]
pub struct Log {
    pub messages: Vec<(MsgTag, Vec<u8>)>,
}

impl MessageSink for Log {
    fn begin(&mut self, header: Header) -> Result<(), MessageFault> {
        let Header { tag, len } = header;
        if (tag.is_text() || tag == MsgTag::Deleted) && len as usize >= MAX_TEXT {
            return Err(ProtocolError::MessageTooLong { tag, len }.into());
        }
        let fits = match tag {
            MsgTag::Success | MsgTag::NoSend | MsgTag::IoError | MsgTag::IoTimeout => len == 4,
            MsgTag::ErrorExit => matches!(len, 0 | 4),
            MsgTag::Noop => len == 0,
            _ => tag.is_text() || tag == MsgTag::Deleted,
        };
        if !fits {
            return Err(ProtocolError::BadMessage { tag, len }.into());
        }
        self.messages.push((tag, Vec::new()));
        Ok(())
    }

    fn part(&mut self, bytes: &[u8]) {
        if let Some((_, payload)) = self.messages.last_mut() {
            payload.extend_from_slice(bytes);
        }
    }

    fn end(&mut self) -> Result<(), MessageFault> {
        Ok(())
    }
}

/// A transport that lends a recording in pieces.
#[derive(Debug)]
pub struct Pieces<'a> {
    data: &'a [u8],
    piece: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(data: &'a [u8], piece: usize) -> Self {
        Self { data, piece }
    }
}

impl ErrorType for Pieces<'_> {
    type Error = Infallible;
}

impl Read for Pieces<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        self.data.read(buf).await
    }
}

impl BufRead for Pieces<'_> {
    async fn fill_buf(&mut self) -> Result<&[u8], Infallible> {
        Ok(&self.data[..self.data.len().min(self.piece)])
    }
    fn consume(&mut self, n: usize) {
        self.data = &self.data[n..];
    }
}

pub type Reader<'a> = WireReader<Pieces<'a>, Log>;

/// One direction with the place where its frames begin.
pub struct Stream<'a> {
    raw: &'a [u8],
    pub reader: Reader<'a>,
    /// What lies in front of the reader's first byte.
    skipped: usize,
    frames: Option<Vec<Range<usize>>>,
}

impl<'a> Stream<'a> {
    pub fn new(raw: &'a [u8], skipped: usize, piece: usize) -> Self {
        let data = Pieces::new(raw.get(skipped..).unwrap_or_default(), piece);
        let reader = WireReader::new(data, Log::default());
        Self { raw, reader, skipped, frames: None }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> usize {
        self.skipped + self.reader.count() as usize
    }

    fn start_framing(&mut self) {
        self.reader.start_framing();
        let mut at = self.position();
        let mut frames = Vec::new();
        while let Some(&[a, b, c, tag]) = self.raw.get(at..at + 4) {
            let start = at + 4;
            at = start + u32::from_le_bytes([a, b, c, 0]) as usize;
            if tag == 7 {
                frames.push(start..at.min(self.raw.len()));
            }
        }
        self.frames = Some(frames);
    }

    /// The stream data in a range of the recording.
    fn payload(&self, range: Range<usize>) -> Vec<u8> {
        let Some(frames) = &self.frames else { return self.raw[range].to_vec() };
        let parts = frames.iter().map(|f| f.start.max(range.start)..f.end.min(range.end));
        parts.filter(|p| p.start < p.end).flat_map(|p| &self.raw[p]).copied().collect()
    }

    /// Nothing is left but messages.
    async fn at_end(&mut self) -> Result<bool, Fault> {
        let end = match self.reader.fill().await {
            Ok(_) => return Ok(false),
            Err(e) => e,
        };
        if end == Error::Eof && self.position() == self.raw.len() { Ok(true) } else { Err(end.into()) }
    }

    pub fn messages(&mut self) -> &[(MsgTag, Vec<u8>)] {
        &self.reader.sink().messages
    }
}

/// Length of the argument vector in front of the version word of a session with `-s`, and its words.
fn secluded_words(c2s: &[u8]) -> Option<(usize, Vec<String>)> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        let rest = c2s.get(at..)?;
        let len = rest.iter().position(|&b| b == 0)?;
        at += len + 1;
        if len == 0 {
            return Some((at, words));
        }
        words.push(String::from_utf8_lossy(&rest[..len]).into_owned());
    }
}

/// Runs the handshake as each side against the recording of the other one. What each side writes must be what
/// was recorded.
pub fn handshake<'a>(
    case: &'a Case,
    command: &Command,
    piece: usize,
) -> Result<(Agreed, Stream<'a>, Stream<'a>), Fault> {
    let prelude = if case.is_daemon() { prelude(case)? } else { None };
    let (mut skipped, answered_before) = prelude.map_or((0, 0), |prelude| (prelude.c2s, prelude.s2c));
    if command.secluded {
        let (len, words) = secluded_words(&case.c2s).ok_or(Fault::Wire(Error::Eof))?;
        ensure!(
            words == crate::corpus::strings(case.handshake("stdin_args")),
            "secluded arguments: {words:?}"
        );
        skipped = len;
    }
    let mut c2s = Stream::new(&case.c2s, skipped, piece);
    let mut s2c = Stream::new(&case.s2c, answered_before, piece);
    let side = |side: Side| {
        let (who, number) =
            if side == Side::Client { ("client", "client_version") } else { ("server", "server_version") };
        let version = case.handshake(number).as_u64().unwrap_or(32) as u8;
        let version = ProtocolVersion::new(version).expect("a version");
        let mut h = Handshake::new(side, version, command.capabilities);
        h.checksum = command.options.transfer.checksum_choice;
        h.compress = command.compress;
        h.allow_inc_recurse = case.handshake("inc_recurse") == true;
        h.seed = case.handshake("seed").as_i64().unwrap_or(1) as i32;
        if let Some(names) = case.handshake(&format!("{who}_checksums")).as_str() {
            h.checksum_names = negotiate::join(names.split(' '));
        }
        if let Some(names) = case.handshake(&format!("{who}_compressors")).as_str() {
            h.compress_names = negotiate::join(names.split(' '));
        }
        h
    };
    let known = prelude.map(|prelude| prelude.protocol);
    let as_client = exchange(&mut s2c.reader, &side(Side::Client), known);
    let as_server = exchange(&mut c2s.reader, &side(Side::Server), known);
    let ((client, sent), (server, answered)) = (as_client?, as_server?);
    ensure!(case.c2s[skipped..c2s.position()] == sent, "client's handshake differs: {sent:x?}");
    ensure!(
        case.s2c[answered_before..s2c.position()] == answered,
        "server's handshake differs: {answered:x?}"
    );
    for agreed in [&client, &server] {
        let number = |key: &str| case.handshake(key).as_i64();
        let name = |key: &str| case.handshake(key).as_str();
        ensure!(
            number("protocol") == Some(agreed.protocol.number().into()),
            "protocol {:?}",
            agreed.protocol
        );
        let flags = number("compat_flags").map(|n| CompatFlags::from_bits_retain(n as u32));
        ensure!(flags.unwrap_or_default() == agreed.flags, "flags {:?}", agreed.flags);
        ensure!(number("seed") == Some(agreed.seed.into()), "seed {}", agreed.seed);
        ensure!(name("transfer_checksum") == Some(agreed.transfer_sum.name()), "{:?}", agreed.transfer_sum);
        ensure!(name("pre_transfer_checksum") == Some(agreed.list_sum.name()), "{:?}", agreed.list_sum);
        ensure!(name("compress") == agreed.compress.map(|c| c.name()), "{:?}", agreed.compress);
    }
    let pull = case.is_pull();
    s2c.start_framing();
    if client.protocol.has_varints() || (pull && command.options.transfer.remove_source.is_some()) {
        c2s.start_framing();
    }
    Ok((client, c2s, s2c))
}

/// `known`: the version that a daemon and its client have agreed on in their greetings.
fn exchange(
    reader: &mut Reader<'_>,
    handshake: &Handshake,
    known: Option<ProtocolVersion>,
) -> Result<(Agreed, Vec<u8>), Fault> {
    let mut out = Vec::new();
    let mut writer = WireWriter::new(&mut out, [0u8; 1024]);
    let agreed = match known {
        Some(protocol) => block_on_ready(setup::after_version(reader, &mut writer, handshake, protocol))?,
        None => block_on_ready(setup::exchange(reader, &mut writer, handshake))?,
    };
    block_on_ready(writer.flush())?;
    Ok((agreed, out))
}

/// Filter rules: i32 length and bytes each, ended by a zero.
pub async fn rules(s: &mut Stream<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    let mut rules = Vec::new();
    loop {
        let len = s.reader.i32().await?;
        if len == 0 {
            return Ok(rules);
        }
        let range = || ProtocolError::OutOfRange {
            what: Limit::FilterRule,
            got: len.into(),
            max: MAX_TEXT as i64 - 1,
        };
        let len = usize::try_from(len).ok().filter(|n| *n < MAX_TEXT).ok_or_else(range)?;
        let mut rule = Vec::new();
        s.reader.append(len, &mut rule).await?;
        rules.push(rule);
    }
}

/// The names of `--files-from`: each ends in NUL, an empty one ends the list; unframed below protocol 31.
async fn names(s: &mut Stream<'_>, protocol: ProtocolVersion) -> Result<Vec<Vec<u8>>, Fault> {
    let framed = s.frames.is_some();
    if framed && !protocol.has_framed_files_from() {
        s.reader.stop_framing();
    }
    let mut names = Vec::new();
    loop {
        let mut name = Vec::new();
        loop {
            match s.reader.u8().await? {
                0 => break,
                b => name.push(b),
            }
        }
        if name.is_empty() {
            break;
        }
        names.push(name);
    }
    if framed && !protocol.has_framed_files_from() {
        s.start_framing();
    }
    Ok(names)
}

/// Header and sums of a basis.
#[derive(Debug)]
pub struct Sums {
    pub head: SumHead,
    /// Weak and strong sum of each block; `None`: only the header is sent (`--append`).
    pub blocks: Option<Vec<(u32, Vec<u8>)>>,
}

/// One item of the generator.
#[derive(Debug)]
pub struct Request {
    pub ndx: i32,
    pub header: ItemHeader,
    /// Numbers of the attributes asked for, where a list of them belongs to the item.
    pub xattrs: Option<Vec<u32>>,
    pub sums: Option<Sums>,
    /// The sender answered it.
    pub answered: bool,
}

/// What the receiving side sent.
#[derive(Debug, Default)]
pub struct Requests {
    pub rules: Vec<Vec<u8>>,
    pub names: Vec<Vec<u8>>,
    pub items: Vec<Request>,
    pub dones: usize,
    pub deleted: Option<Counts>,
}

/// What both readers know of a session.
pub struct Context<'a> {
    pub case: &'a Case,
    pub command: &'a Command,
    pub agreed: Agreed,
}

impl Context<'_> {
    fn protocol(&self) -> ProtocolVersion {
        self.agreed.protocol
    }
    /// A list of attributes stands behind this header.
    fn has_xattrs(&self, header: &ItemHeader) -> bool {
        let left_out = self.protocol().number() >= 31
            && !self.agreed.flags.contains(CompatFlags::AVOID_XATTR_OPTIM)
            && header.flags.contains(ItemFlags::XNAME_FOLLOWS | ItemFlags::LOCAL_CHANGE);
        let options = &self.command.options;
        options.preserve.xattrs > 0
            && header.flags.contains(ItemFlags::REPORT_XATTR)
            && !options.dry_run
            && !left_out
    }
    pub async fn head(&self, s: &mut Stream<'_>) -> Result<SumHead, Fault> {
        let mut bytes = [0; 16];
        s.reader.exact(&mut bytes).await?;
        Ok(SumHead::decode(&bytes, self.protocol(), self.agreed.transfer_sum.digest_len())?)
    }
}

/// Reads what the receiving side sent, to the last byte.
pub async fn requests(cx: &Context<'_>, s: &mut Stream<'_>, out: &mut Requests) -> Result<(), Fault> {
    let protocol = cx.protocol();
    let options = &cx.command.options;
    if cx.case.is_pull() {
        out.rules = rules(s).await?;
    }
    if (options.select.files_from == FilesFrom::Wire) == cx.case.is_pull()
        && options.select.files_from != FilesFrom::None
    {
        out.names = names(s, protocol).await?;
    }
    let mut state = NdxState::new(protocol);
    while !s.at_end().await? {
        match s.reader.ndx(&mut state).await? {
            NDX_DONE => out.dones += 1,
            NDX_DEL_STATS => out.deleted = Some(read_del_stats(&mut s.reader).await?),
            ndx if ndx < 0 => return Err(ProtocolError::UnexpectedList { got: ndx }.into()),
            ndx => {
                let header = ItemHeader::read(&mut s.reader, protocol).await?;
                let xattrs = match cx.has_xattrs(&header) {
                    true => Some(xattr::read_request(&mut s.reader).await?),
                    false => None,
                };
                let mut sums = None;
                if header.flags.contains(ItemFlags::TRANSFER) && !options.dry_run {
                    let head = cx.head(s).await?;
                    let again = out.items.iter().any(|r| r.ndx == ndx && r.sums.is_some());
                    let mut blocks = None;
                    if options.transfer.append == Append::Off || again {
                        let mut all = Vec::new();
                        for _ in 0..head.count {
                            let weak = s.reader.i32().await? as u32;
                            let mut strong = Vec::new();
                            s.reader.append(head.s2length as usize, &mut strong).await?;
                            all.push((weak, strong));
                        }
                        blocks = Some(all);
                    }
                    sums = Some(Sums { head, blocks });
                }
                out.items.push(Request { ndx, header, xattrs, sums, answered: false });
            }
        }
    }
    Ok(())
}

/// Takes the data of files as it is read.
pub trait Files {
    /// The basis of a request for an entry, looked up by its sums.
    fn basis(&mut self, name: &[u8], request: &Request) -> Result<Vec<u8>, Fault>;
    /// A file is complete. `sum`: its whole-file checksum; true if the content has it.
    fn file(&mut self, name: &[u8], content: Vec<u8>, kept: usize, sum: &[u8]) -> Result<bool, Fault>;
}

/// What the sender sent.
#[derive(Default)]
pub struct Replies {
    pub rules: Vec<Vec<u8>>,
    /// The lists in transfer order, with first index and directory.
    pub lists: Vec<(FileList, i32)>,
    pub users: IdTable,
    pub groups: IdTable,
    pub io_error: u32,
    pub transfers: usize,
    pub stats: Option<Stats>,
    /// Indexes whose last transfer had the wrong checksum.
    pub broken: Vec<i32>,
    /// Lists that were encoded again and gave the same bytes.
    pub same_lists: usize,
}

struct Names<'a>(&'a IdTable, &'a IdTable);

impl IdNames for Names<'_> {
    fn user(&self, uid: u32) -> Option<Vec<u8>> {
        self.0.name(uid).map(<[u8]>::to_vec)
    }
    fn group(&self, gid: u32) -> Option<Vec<u8>> {
        self.1.name(gid).map(<[u8]>::to_vec)
    }
}

/// Both codecs of the lists of a session.
struct ListCodec {
    decoder: Decoder,
    encoder: Encoder,
    format: Format,
}

impl ListCodec {
    /// Reads a list, sorts it, and encodes it again.
    async fn list(&mut self, s: &mut Stream<'_>, out: &mut Replies, start: i32) -> Result<FileList, Fault> {
        let before = s.position();
        let (mut list, io_error) = self.decoder.list(&mut s.reader, start).await?;
        self.decoder.id_lists(&mut s.reader).await?;
        let mut late = 0;
        if !self.format.protocol.has_varints() {
            late = s.reader.i32().await?;
        }
        out.io_error |= io_error | late as u32;
        for i in 0..list.len() {
            let extra = list.extra(&list.entries[i]);
            if self.format.protocol.has_link_groups() && list.entries[i].flags.contains(LINKED) {
                list.extra_mut(i).dev_ino = (1, extra.link_group.into());
            }
        }
        let mut bytes = Vec::new();
        let names = Names(&self.decoder.users, &self.decoder.group_names);
        for i in 0..list.len() {
            let entry = list.get(i).expect("an entry");
            self.encoder.entry(entry, start + i as i32, start, &names, &mut bytes);
        }
        self.encoder.end(io_error, &mut bytes);
        self.encoder.id_lists(&names, &mut bytes);
        if !self.format.protocol.has_varints() {
            bytes.extend_from_slice(&late.to_le_bytes());
        }
        let read = s.payload(before..s.position());
        let differs =
            read.iter().zip(&bytes).position(|(a, b)| a != b).unwrap_or(read.len().min(bytes.len()));
        ensure!(
            read == bytes,
            "list at {start} encodes differently from byte {differs}: {:x?} became {:x?}",
            &read[differs.saturating_sub(30)..read.len().min(differs + 12)],
            &bytes[differs.saturating_sub(30)..bytes.len().min(differs + 12)]
        );
        out.same_lists += 1;
        order::sort(&mut list, self.format.protocol);
        order::clear_duplicates(&mut list, self.format.protocol, |_, _| ());
        Ok(list)
    }
}

const LINKED: arsync_core::flist::entry::EntryFlags = arsync_core::flist::entry::EntryFlags::HLINKED;

/// Reads what the sender sent, to the last byte.
pub async fn replies(
    cx: &Context<'_>,
    s: &mut Stream<'_>,
    requests: &mut Requests,
    files: &mut impl Files,
    out: &mut Replies,
) -> Result<(), Fault> {
    let protocol = cx.protocol();
    let options = &cx.command.options;
    let pull = cx.case.is_pull();
    if !pull && options.push_sends_filters(protocol) {
        out.rules = rules(s).await?;
    }
    let format = Format::new(options, &cx.agreed);
    let mut codec = ListCodec {
        decoder: Decoder::new(format, options.select.recursive),
        encoder: Encoder::new(format),
        format,
    };
    codec.encoder.tables = codec.decoder.tables.clone();
    let conversion = cx.command.names.as_ref().map(|[sender, _]| sender.clone());
    let numbering = if conversion.is_some() { Numbering::Transmitted } else { Numbering::Sorted };
    codec.encoder.conversion.clone_from(&conversion);
    codec.decoder.conversion = conversion;
    let tables = codec.decoder.tables.clone();
    let incremental = cx.agreed.inc_recurse();
    let mut lists = Lists::new(incremental, numbering);
    let list = codec.list(s, out, lists.next_start()).await?;
    out.lists.push((list.clone(), lists.next_start()));
    let empty = list.is_empty();
    lists.push(list, None);
    lists.complete = !incremental;
    let mut state = NdxState::new(protocol);
    if empty && pull {
        if incremental {
            let ndx = s.reader.ndx(&mut state).await?;
            ensure!(ndx == NDX_FLIST_EOF, "{ndx} behind an empty list");
        }
        ensure!(s.at_end().await?, "data behind an empty list");
        return Ok(());
    }
    let level = options.transfer.compress_level;
    let mut tokens = TokenDecoder::new(cx.agreed.compress, level, protocol)?;
    let phases = if protocol.has_item_flags() { 3 } else { 2 };
    let mut phase = 0;
    while phase < phases {
        match s.reader.ndx(&mut state).await? {
            NDX_DONE => {
                if incremental {
                    lists.free_oldest();
                }
                if !incremental || lists.is_empty() {
                    phase += 1;
                }
            }
            NDX_FLIST_EOF => {
                ensure!(!lists.complete, "a second end of lists");
                lists.complete = true;
            }
            NDX_DEL_STATS => {
                let counts = read_del_stats(&mut s.reader).await?;
                ensure!(Some(counts) == requests.deleted, "deletion counts {counts:?}");
            }
            ndx if ndx <= NDX_FLIST_OFFSET => {
                let dir = lists.announce(ndx)?;
                let list = codec.list(s, out, lists.next_start()).await?;
                out.lists.push((list.clone(), lists.next_start()));
                lists.push(list, Some(dir));
            }
            ndx if ndx < 0 => return Err(ProtocolError::BadNdx { got: ndx, first: 0, last: 0 }.into()),
            ndx => reply(cx, s, ndx, &lists, requests, &mut tokens, &tables, files, out).await?,
        }
    }
    ensure!(lists.complete, "the end of lists is missing");
    if pull {
        let mut stats = Stats::default();
        read_stats(&mut s.reader, protocol, &mut stats).await?;
        out.stats = Some(stats);
    }
    if protocol.has_extended_goodbye() {
        let mut ndx = s.reader.ndx(&mut state).await?;
        if ndx == NDX_DEL_STATS {
            let counts = read_del_stats(&mut s.reader).await?;
            ensure!(Some(counts) == requests.deleted, "deletion counts {counts:?}");
            ndx = s.reader.ndx(&mut state).await?;
        }
        if ndx != NDX_DONE {
            return Err(ProtocolError::BadGoodbye { got: ndx }.into());
        }
    }
    ensure!(s.at_end().await?, "data behind the end");
    (out.users, out.groups) = (codec.decoder.users, codec.decoder.group_names);
    Ok(())
}

#[allow(clippy::too_many_arguments)]
async fn reply(
    cx: &Context<'_>,
    s: &mut Stream<'_>,
    ndx: i32,
    lists: &Lists,
    requests: &mut Requests,
    tokens: &mut TokenDecoder,
    tables: &Tables,
    files: &mut impl Files,
    out: &mut Replies,
) -> Result<(), Fault> {
    let header = ItemHeader::read(&mut s.reader, cx.protocol()).await?;
    let request = requests.items.iter_mut().find(|r| r.ndx == ndx && !r.answered);
    let Some(request) = request else { return Err(Fault::Check(format!("{ndx} was not requested"))) };
    request.answered = true;
    ensure!(header == request.header, "{ndx}: {header:?} for {:?}", request.header);
    if let Some(wanted) = &request.xattrs {
        let set = match lists.find(ndx) {
            Ok(Found::Entry(list)) => list.get(ndx).map_or(0, |e| e.extra().xattrs),
            Ok(Found::Parent(dir)) => dir.entry().extra().xattrs,
            Err(e) => return Err(e.into()),
        };
        let sums = xattr::ValueSums::new(cx.protocol(), cx.agreed.seed);
        let (mut last, mut value) = (0, Vec::new());
        for &item in wanted {
            let got = xattr::read_value(&mut s.reader, last, &mut value).await?;
            ensure!(got == Some(item), "{ndx}: attribute {got:?} instead of {item}");
            tables.xattrs.borrow_mut().answer(set, item)?;
            let listed = tables.xattrs.borrow().get(set).map(|set| set[item as usize - 1].value.clone());
            ensure!(
                Some(xattr::Value::of(value.clone(), sums)) == listed,
                "{ndx}: value of attribute {item}"
            );
            last = item;
        }
        let end = xattr::read_value(&mut s.reader, last, &mut value).await?;
        ensure!(end.is_none(), "{ndx}: attribute {end:?} was not asked for");
    }
    let name = match lists.find(ndx) {
        Ok(Found::Entry(list)) => {
            let entry = list.get(ndx).expect("found");
            ensure!(entry.entry.is_active(), "{ndx} was dropped as a duplicate");
            ensure!(
                entry.entry.is_regular() || !header.flags.contains(ItemFlags::TRANSFER),
                "transfer of {ndx}, which is no file"
            );
            entry.name().to_vec()
        }
        Ok(Found::Parent(dir)) => dir.entry().name().to_vec(),
        Err(_) if lists.is_empty() => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    let Some(sums) = request.sums.as_ref().filter(|_| !cx.command.only_write_batch) else { return Ok(()) };
    let head = cx.head(s).await?;
    ensure!(head == sums.head, "{ndx}: {head:?} for {:?}", sums.head);
    let basis = files.basis(&name, request)?;
    let append = cx.command.options.transfer.append != Append::Off && sums.blocks.is_none();
    let mut content = if append { basis[..head.basis_len() as usize].to_vec() } else { Vec::new() };
    let kept = content.len();
    tokens.start_file(head.count);
    loop {
        let input = s.reader.fill().await?;
        let (used, token) = tokens.decode(input)?;
        match token {
            Token::NeedInput => {}
            Token::Literal(data) => content.extend_from_slice(data),
            Token::Blocks { first, count } => {
                for block in first..first + count {
                    let (at, len) = head.block_range(block);
                    let data = &basis[at as usize..][..len as usize];
                    content.extend_from_slice(data);
                    tokens.matched(data);
                }
            }
            Token::End => {
                s.reader.consume(used);
                break;
            }
        }
        s.reader.consume(used);
    }
    let mut sum = vec![0; cx.agreed.sums().digest_len()];
    s.reader.exact(&mut sum).await?;
    out.transfers += 1;
    out.broken.retain(|n| *n != ndx);
    if !files.file(&name, content, kept, &sum)? {
        out.broken.push(ndx);
    }
    Ok(())
}
