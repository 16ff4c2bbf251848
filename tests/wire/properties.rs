//! What must hold for any input: where a stream is cut means nothing, what is written is read back, names have one
//! order, patterns mean what their definition says.

use core::cmp::Ordering;

use arsync_core::{
    filter::wildmatch,
    flist::{
        Format,
        decode::Decoder,
        encode::{Encoder, IdNames},
        entry::{FileList, NewEntry},
        order,
    },
    io::{WireReader, WireWriter},
    mux::{Header, MsgTag},
    options::SessionOptions,
    rt::block_on_ready,
    setup::{Agreed, CompatFlags},
    version::ProtocolVersion,
    wire::ndx::NdxState,
};
use proptest::prelude::*;

use crate::decode::{Log, Pieces};

fn version() -> impl Strategy<Value = ProtocolVersion> {
    (27u8..=32).prop_map(|n| ProtocolVersion::new(n).expect("a version"))
}

// --- values in frames ---------------------------------------------------------------------------------------------

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Byte(u8),
    Short(u16),
    Int(i32),
    Varint(i32),
    Varlong(i64),
    Index(i32),
    Text(Vec<u8>),
}

fn item() -> impl Strategy<Value = Item> {
    // Numbers of every length, not mostly long ones.
    let any_length = (any::<i64>(), 0u32..64).prop_map(|(n, shift)| n >> shift);
    prop_oneof![
        any::<u8>().prop_map(Item::Byte),
        any::<u16>().prop_map(Item::Short),
        any::<i32>().prop_map(Item::Int),
        any_length.clone().prop_map(|n| Item::Varint(n as i32)),
        any_length.clone().prop_map(Item::Varlong),
        prop_oneof![-1i32..600, -5000i32..100_000, 0..i32::MAX].prop_map(Item::Index),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Item::Text),
    ]
}

fn write(items: &[Item], protocol: ProtocolVersion) -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = WireWriter::new(&mut out, [0u8; 64]);
    let mut state = NdxState::new(protocol);
    block_on_ready(async {
        for item in items {
            match item {
                Item::Byte(v) => w.u8(*v).await?,
                Item::Short(v) => w.u16(*v).await?,
                Item::Int(v) => w.i32(*v).await?,
                Item::Varint(v) => w.varint30(protocol, *v).await?,
                Item::Varlong(v) => w.varlong30(protocol, *v, 3).await?,
                Item::Index(v) => w.ndx(&mut state, *v).await?,
                Item::Text(v) => w.vstring(v).await?,
            }
        }
        w.flush().await
    })
    .expect("written");
    out
}

/// Reads values of the kinds of `like`; `None` where the stream is refused.
fn read(like: &[Item], protocol: ProtocolVersion, r: &mut WireReader<Pieces<'_>, Log>) -> Option<Vec<Item>> {
    let mut state = NdxState::new(protocol);
    block_on_ready(async {
        let mut out = Vec::new();
        for item in like {
            out.push(match item {
                Item::Byte(_) => Item::Byte(r.u8().await.ok()?),
                Item::Short(_) => Item::Short(r.u16().await.ok()?),
                Item::Int(_) => Item::Int(r.i32().await.ok()?),
                Item::Varint(_) => Item::Varint(r.varint30(protocol).await.ok()?),
                Item::Varlong(_) => Item::Varlong(r.varlong30(protocol, 3).await.ok()?),
                Item::Index(_) => Item::Index(r.ndx(&mut state).await.ok()?),
                Item::Text(_) => {
                    let (len, mut text) = (r.vstring_len().await.ok()?, Vec::new());
                    r.append(len, &mut text).await.ok()?;
                    Item::Text(text)
                }
            });
        }
        Some(out)
    })
}

/// Cuts a stream into frames of these lengths; before each a message, and now and then an empty frame.
fn framed(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut out, mut messages, mut at) = (Vec::new(), Vec::new(), 0);
    let mut put = |tag, payload: &[u8]| {
        out.extend_from_slice(&Header { tag, len: payload.len() as u32 }.encode());
        out.extend_from_slice(payload);
    };
    for (n, cut) in cuts.iter().cycle().enumerate() {
        if at == stream.len() {
            break;
        }
        let text = format!("message {n}\n").into_bytes();
        put(MsgTag::Info, &text);
        messages.push(text);
        if n % 3 == 0 {
            put(MsgTag::Data, &[]);
        }
        let end = (at + cut).min(stream.len());
        put(MsgTag::Data, &stream[at..end]);
        at = end;
    }
    (out, messages)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn frames_messages_and_pieces_change_no_value(
        items in prop::collection::vec(item(), 1..30),
        cuts in prop::collection::vec(1usize..50, 1..8),
        piece in 1usize..70,
        protocol in version(),
    ) {
        let (stream, messages) = framed(&write(&items, protocol), &cuts);
        let mut r = WireReader::new(Pieces::new(&stream, piece), Log::default());
        r.start_framing();
        prop_assert_eq!(read(&items, protocol, &mut r), Some(items));
        let heard: Vec<Vec<u8>> = r.sink().messages.iter().map(|(_, text)| text.clone()).collect();
        prop_assert_eq!(heard, messages);
    }

    #[test]
    fn a_cut_stream_is_never_read_as_a_whole_one(
        items in prop::collection::vec(item(), 1..10),
        piece in 1usize..20,
        missing in 1usize..8,
        protocol in version(),
    ) {
        let stream = write(&items, protocol);
        let cut = &stream[..stream.len().saturating_sub(missing)];
        let mut r = WireReader::new(Pieces::new(cut, piece), Log::default());
        prop_assert_eq!(read(&items, protocol, &mut r), None);
    }
}

// --- file lists ---------------------------------------------------------------------------------------------------

struct NoNames;

impl IdNames for NoNames {
    fn user(&self, _: u32) -> Option<Vec<u8>> {
        None
    }
    fn group(&self, _: u32) -> Option<Vec<u8>> {
        None
    }
}

fn format(protocol: ProtocolVersion, varint_flags: bool) -> Format {
    let mut options = SessionOptions::default();
    let p = &mut options.preserve;
    (p.times, p.perms, p.owner, p.group, p.numeric_ids) = (true, true, true, true, true);
    let mut agreed = Agreed::implied(protocol, CompatFlags::empty(), 1);
    if protocol.has_varints() && varint_flags {
        agreed.flags = CompatFlags::VARINT_FLIST_FLAGS;
    }
    Format::new(&options, &agreed)
}

/// Name, is a directory, permissions, size, time, nanoseconds, owner, group.
type Row = (String, bool, u32, u64, i64, u32, u32, u32);

fn row() -> impl Strategy<Value = Row> {
    let name = prop_oneof![
        6 => "[ab]{1,3}(/[ab]{1,3}){0,3}",
        1 => "[a]{250,260}/[ab]{250,260}",
        1 => "a{256}b?/[\u{80}-\u{ff}]{1,4}",
    ];
    let size = (any::<u64>(), 1u32..64).prop_map(|(n, shift)| n >> shift);
    let time = (0i64..=0xffff_ffff, 0u32..32).prop_map(|(n, shift)| n >> shift);
    let nsec = prop_oneof![Just(0), 0u32..1_000_000_000];
    (name, any::<bool>(), 1u32..0o10_000, size, time, nsec, 0u32..3, prop_oneof![0u32..3, Just(u32::MAX - 1)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_list_is_read_as_it_was_written(
        rows in prop::collection::vec(row(), 0..20),
        protocol in version(),
        varint_flags: bool,
        piece in 1usize..100,
    ) {
        let format = format(protocol, varint_flags);
        let mut list = FileList::new();
        for (name, dir, perms, size, mtime, nsec, uid, gid) in &rows {
            let mode = perms | if *dir { 0o040_000 } else { 0o100_000 };
            let (name, size, mtime, nsec, uid, gid) = (name.as_bytes(), *size, *mtime, *nsec, *uid, *gid);
            list.push(&NewEntry { name, size, mtime, nsec, mode, uid, gid, ..NewEntry::default() });
        }
        let (mut bytes, mut encoder) = (Vec::new(), Encoder::new(format));
        for i in 0..list.len() {
            encoder.entry(list.get(i).expect("an entry"), i as i32, 0, &NoNames, &mut bytes);
        }
        encoder.end(0, &mut bytes);
        let mut r = WireReader::new(Pieces::new(&bytes, piece), Log::default());
        let (read, io_error) =
            block_on_ready(Decoder::new(format, true).list(&mut r, 0)).expect("a list");
        prop_assert_eq!((io_error, r.count(), read.len()), (0, bytes.len() as u64, rows.len()));
        for (i, (name, _, _, size, mtime, nsec, uid, gid)) in rows.iter().enumerate() {
            let (entry, wanted) = (read.get(i).expect("an entry"), list.get(i).expect("an entry"));
            let e = entry.entry;
            prop_assert_eq!(entry.name(), name.as_bytes());
            prop_assert_eq!((e.mode, e.size, e.mtime), (wanted.entry.mode, *size, *mtime));
            prop_assert_eq!((e.uid, e.gid), (*uid, *gid));
            prop_assert_eq!(e.nsec, if protocol.has_nanoseconds() { *nsec } else { 0 });
        }
    }
}

// --- the order of names -------------------------------------------------------------------------------------------

/// The components of a name; true: on the way to something. A directory `.` is an empty item.
fn components(name: &str, dir: bool) -> Vec<(bool, Vec<u8>)> {
    if dir && name == "." {
        return vec![(false, Vec::new())];
    }
    let last = name.split('/').count() - 1;
    name.split('/').enumerate().map(|(i, c)| (i < last || dir, c.as_bytes().to_vec())).collect()
}

/// The order of protocol 29 and later, from its definition: component by component, files before directories, a
/// directory before what is in it, its name compared with its slash.
fn by_definition(a: &(String, bool), b: &(String, bool)) -> Ordering {
    let (a, b) = (components(&a.0, a.1), components(&b.0, b.1));
    for ((a_path, a), (b_path, b)) in a.iter().zip(&b) {
        let slash = |name: &Vec<u8>, path: bool| [&name[..], if path { b"/" } else { b"" }].concat();
        let order = a_path.cmp(b_path).then_with(|| slash(a, *a_path).cmp(&slash(b, *b_path)));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn names() -> impl Strategy<Value = Vec<(String, bool)>> {
    let component = "[a.~!-]{1,2}|\u{e9}|a\u{1}".prop_filter("no name", |c| c != "." && c != "..");
    let path = prop::collection::vec(component, 1..4).prop_map(|c| c.join("/"));
    let one = prop_oneof![12 => (path, any::<bool>()), 1 => Just((".".to_owned(), true))];
    prop::collection::vec(one, 1..10)
}

fn sorted(names: &[(String, bool)], protocol: ProtocolVersion) -> Vec<(String, bool)> {
    let mut list = FileList::new();
    for (name, dir) in names {
        let mode = if *dir { 0o040_755 } else { 0o100_644 };
        list.push(&NewEntry { name: name.as_bytes(), mode, ..NewEntry::default() });
    }
    order::sort(&mut list, protocol);
    (0..list.len())
        .map(|i| list.get(i).expect("an entry"))
        .map(|e| (String::from_utf8(e.name().to_vec()).expect("text"), e.entry.is_dir()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_order_is_total_and_that_of_the_definition(names in names()) {
        let compare =
            |a: &(String, bool), b: &(String, bool)| order::compare(a.0.as_bytes(), a.1, b.0.as_bytes(), b.1);
        for a in &names {
            for b in &names {
                prop_assert_eq!(compare(a, b), by_definition(a, b), "{:?} {:?}", a, b);
                prop_assert_eq!(compare(a, b), compare(b, a).reverse());
                prop_assert_eq!(compare(a, b) == Ordering::Equal, a == b, "{:?} {:?}", a, b);
                for c in &names {
                    if compare(a, b).is_le() && compare(b, c).is_le() {
                        prop_assert!(compare(a, c).is_le(), "{:?} {:?} {:?}", a, b, c);
                    }
                }
            }
        }
    }

    #[test]
    fn both_ends_sort_alike_whatever_the_order_of_arrival(
        names in names(), other in any::<prop::sample::Index>(), protocol in version(),
    ) {
        let mut turned = names.clone();
        turned.rotate_left(other.index(names.len()));
        turned.reverse();
        let (a, b) = (sorted(&names, protocol), sorted(&turned, protocol));
        if protocol.has_dir_slash_order() {
            let mut expected = names;
            expected.sort_by(by_definition);
            prop_assert_eq!(&a, &expected);
            prop_assert_eq!(a, b);
        } else {
            // Names alone count; of equal ones the first stays in front.
            let mut expected = names;
            expected.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            prop_assert_eq!(&a, &expected);
        }
    }
}

// --- patterns -----------------------------------------------------------------------------------------------------

enum Part {
    /// One byte of these.
    One(Vec<u8>),
    /// Any bytes but slashes.
    Star,
    /// Any bytes.
    Stars,
}

/// A pattern taken apart; `None`: it is broken and matches nothing.
fn parts(pattern: &[u8]) -> Option<Vec<Part>> {
    let every = |wanted: &dyn Fn(u8) -> bool| (0..=255).filter(|&b| wanted(b)).collect();
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some((&c, after)) = rest.split_first() {
        rest = after;
        out.push(match c {
            b'*' if rest.first() == Some(&b'*') => {
                rest = &rest[rest.iter().take_while(|&&b| b == b'*').count()..];
                Part::Stars
            }
            b'*' => Part::Star,
            b'?' => Part::One(every(&|b| b != b'/')),
            b'\\' => Part::One(vec![take(&mut rest)?]),
            b'[' => {
                let negated = matches!(rest.first(), Some(b'!' | b'^'));
                rest = &rest[usize::from(negated)..];
                let mut members = Vec::new();
                while members.is_empty() || rest.first() != Some(&b']') {
                    let from = escaped(&mut rest)?;
                    match rest {
                        [b'-', end, ..] if *end != b']' => {
                            rest = &rest[1..];
                            members.push((from, escaped(&mut rest)?));
                        }
                        _ => members.push((from, from)),
                    }
                }
                rest = &rest[1..];
                // The start of a range is a member even where the range is backwards, as the stock program has it.
                let inside = |b: u8| members.iter().any(|&(from, to)| from == b || (from <= b && b <= to));
                Part::One(every(&|b| b != b'/' && inside(b) != negated))
            }
            literal => Part::One(vec![literal]),
        });
    }
    Some(out)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    Some(first)
}

fn escaped(rest: &mut &[u8]) -> Option<u8> {
    match take(rest)? {
        b'\\' => take(rest),
        other => Some(other),
    }
}

/// Every way to divide the text is tried.
fn naive(parts: &[Part], text: &[u8]) -> bool {
    match parts {
        [] => text.is_empty(),
        [Part::One(set), rest @ ..] => {
            text.first().is_some_and(|b| set.contains(b)) && naive(rest, &text[1..])
        }
        [Part::Star, rest @ ..] => {
            (0..=text.len()).any(|n| !text[..n].contains(&b'/') && naive(rest, &text[n..]))
        }
        [Part::Stars, rest @ ..] => (0..=text.len()).any(|n| naive(rest, &text[n..])),
    }
}

const FRAGMENTS: &[&str] = &[
    "a", "b", "-", "]", "/", "*", "**", "***", "?", "[ab]", "[!a]", "[^b/]", "[]a]", "[!]-]", "[--b]",
    "[a-b-]", "[b-a]", "[\\]-a]", "[a-\\b]", "[/]", "\\a", "\\*", "[a", "[a-", "\\", "[",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    #[test]
    fn patterns_with_sets_agree_with_the_definition(
        pattern in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..7),
        text in "[ab/*-]{0,7}|[]ab\\\\/]{0,5}",
    ) {
        let pattern = pattern.concat();
        let expected = parts(pattern.as_bytes()).is_some_and(|p| naive(&p, text.as_bytes()));
        prop_assert_eq!(wildmatch(pattern.as_bytes(), text.as_bytes()), expected);
    }
}
