//! Entry points for fuzzing: each takes any bytes and must neither panic nor hang nor use memory without bound.
//!
//! They run over the committed corpus as a normal test (`tests/fuzz`), and for longer under cargo-fuzz
//! (`tests/fuzz/README.md`). Where a decoder is fed in pieces of one byte and in one piece, both must say the same.

use alloc::{format, string::String, vec::Vec};
use core::convert::Infallible;

use embedded_io_async::{BufRead, ErrorType, Read};

use crate::{
    batch::{self, StreamFlags},
    checksum::ChecksumKind,
    chmod::Chmod,
    delta::SumHead,
    error::{Error, ProtocolError},
    filter::{FilterConfig, FilterList, FilterSide, Perishable, Syntax, Verdict, wildmatch},
    flist::{Format, decode::Decoder, order},
    io::{MessageFault, MessageSink, WireReader, WireWriter},
    limits::MAX_TEXT,
    mux::Header,
    names,
    options::SessionOptions,
    ports::PortError,
    rt::block_on_ready,
    setup::{
        Agreed, Capabilities, CompatFlags, Compress, Handshake, Side,
        daemon::{self, AuthDigest},
        exchange,
    },
    tiny,
    token::{CompressKind, Token, TokenDecoder},
    version::ProtocolVersion,
    wire::{int, ndx::NdxState, varint},
};

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 17] = [
    ("integers", integers),
    ("mux", mux),
    ("setup", setup),
    ("greeting", greeting),
    ("batch", batch),
    ("flist", flist),
    ("filter_rules", filter_rules),
    ("rule_files", rule_files),
    ("wildmatch", wildmatch_pair),
    ("tokens_plain", |data| tokens(data, CompressKind::None)),
    ("tokens_zlib", |data| tokens(data, CompressKind::Zlib)),
    ("tokens_zstd", |data| tokens(data, CompressKind::Zstd)),
    ("tokens_lz4", |data| tokens(data, CompressKind::Lz4)),
    ("sum_head", sum_head),
    ("option_strings", option_strings),
    ("tiny", tiny_session),
    ("tiny_daemon", tiny_daemon),
];

/// Bytes as a transport, lent in pieces.
struct Pieces<'a> {
    data: &'a [u8],
    piece: usize,
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
        Ok(self.data.get(..self.data.len().min(self.piece)).unwrap_or_default())
    }
    fn consume(&mut self, n: usize) {
        self.data = self.data.get(n..).unwrap_or_default();
    }
}

/// Counts what comes between data frames.
#[derive(Default)]
struct Count {
    messages: usize,
    bytes: usize,
}

impl MessageSink for Count {
    fn begin(&mut self, header: Header) -> Result<(), MessageFault> {
        let Header { tag, len } = header;
        if len as usize >= MAX_TEXT {
            return Err(ProtocolError::MessageTooLong { tag, len }.into());
        }
        self.messages += 1;
        Ok(())
    }
    fn part(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
    fn end(&mut self) -> Result<(), MessageFault> {
        Ok(())
    }
}

fn reader(data: &[u8], piece: usize) -> WireReader<Pieces<'_>, Count> {
    WireReader::new(Pieces { data, piece }, Count::default())
}

/// The first byte chooses, the rest is data.
fn choose(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

fn version(choice: u8) -> ProtocolVersion {
    ProtocolVersion::new(27 + choice % 6).unwrap_or(ProtocolVersion::MAX)
}

/// Numbers: what is decoded is encoded again and decoded to the same value.
pub fn integers(data: &[u8]) {
    let mut at = data;
    while let Ok(Some((value, used))) = varint::decode_varint(at) {
        let again = varint::encode_varint(value);
        assert_eq!(varint::decode_varint(again.as_slice()), Ok(Some((value, again.as_slice().len()))));
        at = at.get(used..).unwrap_or_default();
    }
    for min in 1..=8 {
        if let Ok(Some((value, _))) = varint::decode_varlong(data, min) {
            let again = varint::encode_varlong(value, min);
            let decoded = varint::decode_varlong(again.as_slice(), min);
            assert_eq!(decoded, Ok(Some((value, again.as_slice().len()))));
        }
    }
    let _ = int::decode_longint(data);
    for choice in [0, 5] {
        let (mut state, mut out, mut back) =
            (NdxState::new(version(choice)), NdxState::new(version(choice)), NdxState::new(version(choice)));
        let mut at = data;
        while let Ok(Some((ndx, used))) = state.decode(at) {
            let encoded = out.encode(ndx);
            assert_eq!(back.decode(encoded.as_slice()), Ok(Some((ndx, encoded.as_slice().len()))));
            at = at.get(used..).unwrap_or_default();
        }
    }
}

/// Frames: the stream data and the messages do not depend on the pieces.
pub fn mux(data: &[u8]) {
    let run = |piece| {
        let mut r = reader(data, piece);
        r.start_framing();
        let end = block_on_ready(r.drain());
        (end, r.count(), r.sink().messages, r.sink().bytes)
    };
    assert_eq!(run(usize::MAX), run(1));
}

/// The handshake of either side.
pub fn setup(data: &[u8]) {
    let (choice, data) = choose(data);
    let side = if choice & 1 == 0 { Side::Client } else { Side::Server };
    let mut handshake = Handshake::new(side, version(choice >> 1), Capabilities::all());
    handshake.allow_inc_recurse = choice & 0x40 != 0;
    if choice & 0x80 != 0 {
        handshake.compress = Compress::Negotiate;
    }
    let run = |piece| {
        let mut out = Vec::new();
        let mut w = WireWriter::new(&mut out, [0u8; 1024]);
        let mut r = reader(data, piece);
        let agreed = block_on_ready(exchange(&mut r, &mut w, &handshake));
        agreed.map(|a| (a.protocol, a.flags, a.transfer_sum, a.compress, a.seed))
    };
    assert_eq!(run(usize::MAX), run(1));
}

/// The lines before a session with a daemon, of either side.
pub fn greeting(data: &[u8]) {
    for line in data.split(|&b| b == b'\n') {
        if let daemon::Answer::AuthRequired(challenge) = daemon::Answer::parse(line) {
            for digest in AuthDigest::CANONICAL {
                assert!(!digest.answer(line, challenge).is_empty());
            }
        }
        let Ok(greeting) = daemon::Greeting::parse(line) else { continue };
        for own in (0..6).map(version) {
            let agreed = greeting.agree(own);
            assert!(agreed <= i32::from(own.number()));
            let _ = greeting.digest(agreed);
        }
    }
}

/// What stands in front of the stream of a batch file: options are made those of the file, once and for all.
pub fn batch(data: &[u8]) {
    let Some((bytes, rest)) = data.split_first_chunk() else { return };
    let opening = batch::Opening::decode(*bytes);
    let Ok(protocol) = opening.protocol(ProtocolVersion::MAX) else { return };
    let mut options = SessionOptions::default();
    let none = StreamFlags::empty();
    if opening.flags.reconcile(&mut options, false, none, protocol).is_err() {
        return;
    }
    let contradictory = opening.flags.contains(StreamFlags::APPEND | StreamFlags::APPEND_VERIFY);
    if !contradictory {
        assert_eq!(opening.flags.reconcile(&mut options, false, none, protocol), Ok(Vec::new()));
    }
    let compat = rest.first_chunk().map_or(0, |c| u32::from_le_bytes(*c));
    assert_eq!(batch::agreement(protocol, compat, 1, &options).protocol, protocol);
}

fn agreed(choice: u8) -> Agreed {
    let protocol = version(choice);
    let mut flags = CompatFlags::empty();
    if protocol.has_varints() {
        flags.set(CompatFlags::VARINT_FLIST_FLAGS, choice & 0x10 != 0);
        flags.set(CompatFlags::INC_RECURSE, choice & 0x20 != 0);
        flags.set(CompatFlags::ID0_NAMES, choice & 0x40 != 0);
        flags.set(CompatFlags::SAFE_FLIST, choice & 0x80 != 0);
    }
    Agreed {
        protocol,
        flags,
        transfer_sum: ChecksumKind::Md5,
        list_sum: ChecksumKind::Md5,
        implied_sum: false,
        compress: None,
        seed: 1,
    }
}

/// File lists, with the options that the second byte chooses.
pub fn flist(data: &[u8]) {
    let (first, data) = choose(data);
    let (second, data) = choose(data);
    let mut options = SessionOptions::default();
    let p = &mut options.preserve;
    (p.links, p.devices, p.specials) = (second & 1 != 0, second & 2 != 0, second & 2 != 0);
    (p.owner, p.group, p.hard_links) = (second & 4 != 0, second & 4 != 0, second >> 3 & 1);
    (p.atimes, p.acls, p.xattrs) = (second >> 4 & 1, second & 0x20 != 0, second >> 6 & 1);
    options.select.checksum = second & 0x80 != 0;
    let format = Format::new(&options, &agreed(first));
    let run = |piece| {
        let mut decoder = Decoder::new(format, true);
        let mut r = reader(data, piece);
        let list = block_on_ready(async {
            let (list, error) = decoder.list(&mut r, 0).await?;
            decoder.id_lists(&mut r).await?;
            Ok::<_, Error<Infallible>>((list, error))
        });
        list.map(|(mut list, error)| {
            order::sort(&mut list, format.protocol);
            order::clear_duplicates(&mut list, format.protocol, |_, _| ());
            let names: Vec<_> =
                list.entries.iter().map(|e| (list.name(e).to_vec(), e.mode, e.size)).collect();
            for (name, ..) in &names {
                let relative = names::RelName::new(name).is_some();
                assert!(relative, "{}", name.escape_ascii());
            }
            (names, error)
        })
    };
    assert_eq!(run(usize::MAX), run(1));
}

/// Filter rules in every syntax, and the ones of the wire.
pub fn filter_rules(data: &[u8]) {
    let mut read = |_: &[u8]| Err(PortError::NOT_FOUND);
    for rule in data.split(|&b| b == b'\n') {
        let mut list = FilterList::new(FilterConfig::default());
        let _ = list.add_filter(rule, &mut read);
        let _ = list.add_old(rule, true);
        let _ = list.add_words(rule, Syntax::Full, &mut read);
        for warning in list.take_warnings() {
            let _ = warning.message();
        }
    }
    let _ = FilterList::from_wire(data.split(|&b| b == b'\n'), ProtocolVersion::MAX, FilterConfig::default());
    if let Ok(chmod) = Chmod::parse(data) {
        let mode = chmod.apply(0o100_644, false, 0o022);
        assert_eq!(mode & 0o170_000, 0o100_000, "a change of permissions keeps the type");
    }
}

/// Files of rules, with 0xff between them; each is known by its number, in any directory. They are read as merge files,
/// which may name each other, and as those of directories, which cannot go before the rules that were typed.
pub fn rule_files(data: &[u8]) {
    /// Files that are handed out: files that name each other again and again are a tree without end.
    const MOST: usize = 500;
    let (choice, data) = choose(data);
    let files: Vec<&[u8]> = data.split(|&b| b == 0xff).collect();
    let mut handed_out = 0;
    let mut read = |path: &[u8]| {
        assert!(!path.is_empty() && !path.contains(&0), "{}", path.escape_ascii());
        handed_out += 1;
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let number = core::str::from_utf8(name).ok().and_then(|name| name.parse::<usize>().ok());
        number.filter(|_| handed_out <= MOST).and_then(|number| files.get(number)).map(|file| file.to_vec())
    };
    let config = || FilterConfig {
        from0: choice & 1 != 0,
        delete_excluded: choice & 2 != 0,
        ..FilterConfig::default()
    };
    let mut merged = FilterList::new(config());
    let mut whole = |path: &[u8]| read(path).ok_or(PortError::NOT_FOUND);
    let _ = merged.add_filter(b". 0", &mut whole);
    let _ = merged.add_from(b"1", choice & 4 != 0, &mut whole);
    for warning in merged.take_warnings() {
        let _ = warning.message();
    }
    let mut typed = FilterList::new(config());
    for rule in [&b"-sr hidden"[..], b"+sr shown", b": 0", b":C /top/1"] {
        assert_eq!(typed.add_filter(rule, &mut whole), Ok(()));
    }
    for side in [FilterSide::Sender, FilterSide::Receiver] {
        for list in [&merged, &typed] {
            let mut scope = list.scope(side, b"/top/src");
            for dir in [&b""[..], b"d", b"d/e"] {
                let Ok(inner) = scope.enter(dir, &mut read) else { break };
                let _ = inner.check(b"d/e/f", false, Perishable::Ignored);
                let _ = inner.check_xattr(b"user.x");
                scope = inner;
            }
        }
        let Ok(scope) = typed.scope(side, b"/top/src").enter(b"d", &mut read) else { continue };
        assert_eq!(scope.check(b"d/hidden", false, Perishable::Counts), Verdict::Exclude);
        assert_eq!(scope.check(b"d/shown", false, Perishable::Counts), Verdict::Include);
    }
}

/// A pattern and a text, with a zero between them.
pub fn wildmatch_pair(data: &[u8]) {
    let at = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (pattern, text) = (data.get(..at).unwrap_or_default(), data.get(at + 1..).unwrap_or_default());
    let _ = wildmatch(pattern, text);
    let mut clean = Vec::new();
    if names::clean(text, true, &mut clean).is_ok() {
        let mut again = Vec::new();
        assert_eq!(names::clean(&clean, true, &mut again), Ok(()));
        assert_eq!(clean, again);
    }
    let _ = names::is_unsafe_link(text, pattern);
}

/// The tokens of two files; the first byte is the number of blocks.
pub fn tokens(data: &[u8], kind: CompressKind) {
    let (blocks, data) = choose(data);
    let Ok(mut decoder) = TokenDecoder::new(Some(kind), None, ProtocolVersion::MAX) else { return };
    let mut input = data;
    let mut out = 0usize;
    for _ in 0..2 {
        decoder.start_file(blocks.into());
        // A record may decode to a lot; that it is handed out in bounded pieces is what counts.
        for _ in 0..100_000 {
            let (used, matched) = match decoder.decode(input) {
                Err(_) | Ok((_, Token::NeedInput)) => return,
                Ok((used, Token::End)) => {
                    input = input.get(used..).unwrap_or_default();
                    break;
                }
                Ok((used, Token::Literal(bytes))) => {
                    assert!(bytes.len() <= data.len().max(1 << 20));
                    out = out.wrapping_add(bytes.len());
                    (used, 0)
                }
                Ok((used, Token::Blocks { first, count })) => {
                    assert!(u64::from(first) + u64::from(count) <= u64::from(blocks));
                    (used, count)
                }
            };
            for _ in 0..matched {
                if decoder.wants_matched() {
                    decoder.matched(&[7; 700]);
                }
            }
            input = input.get(used..).unwrap_or_default();
        }
    }
}

/// The header of block sums.
pub fn sum_head(data: &[u8]) {
    for chunk in data.as_chunks::<16>().0 {
        for choice in 0..6 {
            if let Ok(head) = SumHead::decode(chunk, version(choice), 16) {
                assert_eq!(&head.encode(), chunk);
                let _ = head.table_bytes();
                if let Some(last) = head.count.checked_sub(1) {
                    let (at, len) = head.block_range(last);
                    assert!(at + u64::from(len) <= u64::from(head.count) * u64::from(head.block_len));
                }
            }
        }
    }
}

/// Command lines of a server, arguments separated by zeros.
pub fn option_strings(data: &[u8]) {
    let command = tiny::Command::parse(data.split(|&b| b == 0));
    let _ = command.fault();
    assert!(command.paths().all(|path| path.len() <= tiny::PATH_MAX));
    let _ = Capabilities::parse(data).answer();
    let _ = Capabilities::sub_protocol(data);
}

/// A whole session of the peer in fixed memory; it may only change what lies in its store, and there only complete
/// files.
pub fn tiny_session(data: &[u8]) {
    let mut store = store();
    let mut out = Vec::new();
    let mut memory = tiny::Memory::<16, 256, 16, 1024>::new();
    let config = tiny::Config::default();
    let from = Pieces { data, piece: usize::MAX };
    let result = block_on_ready(tiny::serve(from, &mut out, &mut store, &mut memory, &config));
    let _: String = format!("{result:?}");
    assert_complete(&store);
}

/// A connection to the daemon in fixed memory, from the greeting on.
pub fn tiny_daemon(data: &[u8]) {
    let mut store = store();
    let mut out = Vec::new();
    let mut memory = tiny::Memory::<16, 256, 16, 1024>::new();
    let (config, module) =
        (tiny::Config::default(), tiny::Module { name: "mem", comment: "", writable: true });
    let from = Pieces { data, piece: usize::MAX };
    let session = tiny::serve_daemon((from, &mut out), &module, &mut store, &mut memory, &config);
    let _: String = format!("{:?}", block_on_ready(session));
    assert_complete(&store);
}

fn store() -> tiny::ram::RamStore {
    let mut store = tiny::ram::RamStore::new();
    store.dir("log");
    store.file("log/a", b"hello", 1_600_000_000);
    store.file("log/b", &[b'x'; 3000], 1_600_000_001);
    store
}

fn assert_complete(store: &tiny::ram::RamStore) {
    for file in &store.files {
        assert!(names::RelName::new(&file.path).is_some(), "{}", file.path.escape_ascii());
        assert_eq!(file.meta.size, file.data.len() as u64);
    }
}
