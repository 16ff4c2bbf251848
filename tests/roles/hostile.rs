//! Peers that break the rules: the session ends with the error of that rule, and nothing outside of the
//! destination was touched.

use core::convert::Infallible;
use std::rc::Rc;

use arsync_core::{
    checksum::ChecksumKind,
    error::{Error, Limit, NameFault, ProtocolError},
    exit::ExitCode,
    io::{WireReader, WireWriter, Write, duplex},
    mux::{Header, MsgTag},
    options::{RemoveSource, SessionOptions},
    session::{Inbox, Outbox, Shared, SourceArgs, run_receiver, run_sender},
    setup::{Agreed, CompatFlags, Side},
    version::ProtocolVersion,
};

use crate::{
    fake::{Fs, Node},
    matrix::{dir, door, file, source},
    session::{Setup, Watch, all_capabilities, rules},
};

fn agreed(protocol: u8, incremental: bool) -> Agreed {
    let mut flags = CompatFlags::empty();
    if protocol >= 30 {
        flags = CompatFlags::VARINT_FLIST_FLAGS | CompatFlags::SAFE_FLIST;
        flags.set(CompatFlags::INC_RECURSE, incremental);
    }
    Agreed {
        protocol: ProtocolVersion::new(protocol).expect("a version"),
        flags,
        transfer_sum: ChecksumKind::Md5,
        list_sum: ChecksumKind::Md5,
        implied_sum: false,
        compress: None,
        seed: 1,
    }
}

/// `-rl`: neither ids nor times travel beyond what every entry has.
fn options() -> SessionOptions {
    let mut o = SessionOptions::default();
    (o.select.recursive, o.preserve.links, o.select.implied_dirs) = (true, true, true);
    o
}

fn setup(push: bool) -> Setup {
    Setup {
        protocol: 32,
        push,
        options: options(),
        capabilities: all_capabilities(),
        args: Vec::new(),
        names: None,
        capacity: usize::MAX,
        rules: Vec::new(),
        charsets: None,
    }
}

fn frame(tag: MsgTag, payload: &[u8]) -> Vec<u8> {
    let mut out = Header { tag, len: payload.len() as u32 }.encode().to_vec();
    out.extend_from_slice(payload);
    out
}

/// What is outside of `out` before the sessions.
fn world() -> Fs {
    let fs = Fs::new();
    fs.put("out", dir(0o755));
    fs.put("out/f", file(b"old".to_vec()));
    fs.put("secret", file(b"secret".to_vec()));
    fs
}

/// A client that pulls gets these bytes and then the end of the stream.
fn pull_from(agreed: Agreed, stream: &[u8], fs: &Fs) -> (Result<(), Error<Infallible>>, Watch) {
    pull_asking(agreed, stream, fs, &options(), &[], &[])
}

/// As [`pull_from`], for a client that asked for these paths and has these rules.
fn pull_asking(
    agreed: Agreed,
    stream: &[u8],
    fs: &Fs,
    options: &SessionOptions,
    paths: &[&str],
    texts: &[&str],
) -> (Result<(), Error<Infallible>>, Watch) {
    let watch = Watch::default();
    let mut shared = Shared::new(options, agreed, &watch, Side::Client, Rc::new(Outbox::new()));
    shared.requested = paths.iter().map(|p| p.as_bytes().to_vec()).collect();
    let mut setup = setup(false);
    setup.rules = texts.iter().map(|t| (*t).into()).collect();
    let mut door = door(fs);
    door.dest.root = b"out".to_vec();
    let (reader, mut peer) = duplex::pipe(usize::MAX, usize::MAX);
    let (_sink, writer) = duplex::pipe(usize::MAX, usize::MAX);
    let result = duplex::run(async {
        peer.write_all(stream).await.unwrap_or_else(|never| match never {});
        drop(peer);
        let r = WireReader::new(reader, Inbox::unattached());
        let w = WireWriter::new(writer, vec![0; 1024]);
        run_receiver(&shared, &door, rules(&setup, Side::Client), None, r, w).await
    });
    (result.expect("no deadlock"), watch)
}

/// As [`pull_from`], with everything in one frame; the world outside of the destination stays as it was.
fn pull(protocol: u8, incremental: bool, stream: &[u8]) -> Error<Infallible> {
    let fs = world();
    let (result, _) = pull_from(agreed(protocol, incremental), &frame(MsgTag::Data, stream), &fs);
    let outside: Vec<_> = fs.all().into_iter().filter(|(path, _)| !path.starts_with(b"out")).collect();
    let before: Vec<_> = world().all().into_iter().filter(|(path, _)| !path.starts_with(b"out")).collect();
    assert_eq!(outside, before);
    assert_eq!(fs.get("out/f").map(|n| n.data), Some(b"old".to_vec()), "nothing half done is left");
    result.expect_err("the peer broke a rule")
}

/// An entry of protocol 32 without ids: flags 0x18, name, length, mtime 1, mode.
fn entry(name: &str, len: u8, mode: u32) -> Vec<u8> {
    let mut out = vec![0x18, name.len() as u8];
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&[0, len, 0, 0, 1, 0, 0]);
    out.extend_from_slice(&mode.to_le_bytes());
    out
}

const FILE: u32 = 0o100_644;
const DIR: u32 = 0o040_755;

/// A list of `.` and the file `f` (index 1), and its end.
fn list() -> Vec<u8> {
    [entry(".", 0, DIR), entry("f", 9, FILE), vec![0, 0]].concat()
}

fn name(fault: NameFault) -> Error<Infallible> {
    ProtocolError::Name(fault).into()
}

#[test]
fn names_outside_of_the_destination_end_the_session() {
    for bad in ["../x", "/secret", "d/../../secret", "..", "./.."] {
        let stream = [entry(".", 0, DIR), entry(bad, 9, FILE), vec![0, 0]].concat();
        assert_eq!(pull(32, false, &stream), name(NameFault::Unsafe), "{bad}");
        assert_eq!(pull(32, true, &stream), name(NameFault::Unsafe), "{bad}");
    }
}

#[test]
fn nothing_is_written_through_a_link_of_the_sender() {
    let mut link = entry("l", 1, 0o120_777);
    link.extend_from_slice(&[7]);
    link.extend_from_slice(b"../outs");
    let stream = [entry(".", 0, DIR), link.clone(), entry("l/x", 9, FILE), vec![0, 0]].concat();
    assert_eq!(pull(32, false, &stream), name(NameFault::WrongDirectory));
    assert_eq!(pull(32, true, &stream), name(NameFault::Outside));
    // The same in a list that is announced for a directory.
    let stream =
        [entry("d", 0, DIR), vec![0, 0], vec![0xff, 0x64], entry("l/x", 9, FILE), vec![0, 0]].concat();
    assert_eq!(pull(32, true, &stream), name(NameFault::Outside));
}

#[test]
fn the_root_must_be_a_directory() {
    let stream = [entry(".", 9, FILE), vec![0, 0]].concat();
    assert_eq!(pull(32, false, &stream), name(NameFault::RootNotDir));
}

#[test]
fn indexes_must_be_those_of_a_list() {
    // Index 7, flags TRANSFER.
    let stream = [list(), vec![8, 0, 0x80]].concat();
    assert_eq!(pull(32, false, &stream), ProtocolError::BadNdx { got: 7, first: 0, last: 1 }.into());
    // Data for the directory.
    let stream = [list(), vec![1, 0, 0x80]].concat();
    assert_eq!(pull(32, false, &stream), ProtocolError::NotRegular { ndx: 0 }.into());
    // The same in front of a list that holds its contents.
    let lists = [entry("d", 0, DIR), vec![0, 0, 0xff, 0x64], entry("d/x", 9, FILE), vec![0, 0]].concat();
    let stream = [lists, vec![3, 0, 0x80]].concat();
    assert_eq!(pull(32, true, &stream), ProtocolError::NotRegular { ndx: 2 }.into());
    // A duplicate: the second `f` has index 2.
    let twice = [entry(".", 0, DIR), entry("f", 9, FILE), entry("f", 9, FILE), vec![0, 0]].concat();
    let stream = [twice, vec![3, 0, 0x80]].concat();
    assert_eq!(pull(32, false, &stream), ProtocolError::ClearedNdx { ndx: 2 }.into());
    // Data after both phases.
    let stream = [list(), vec![0, 0, 2, 0, 0x80]].concat();
    assert_eq!(pull(32, false, &stream), ProtocolError::LatePhase { phase: 2 }.into());
    // Something else than the goodbye: three marks, statistics, index 1.
    let stream = [list(), vec![0, 0, 0], vec![0; 15], vec![2, 0, 0x80]].concat();
    assert_eq!(pull(32, false, &stream), ProtocolError::BadGoodbye { got: 1 }.into());
}

#[test]
fn lists_must_be_announced_for_directories_that_want_one() {
    let first = [entry("d", 0, DIR), vec![0, 0]].concat();
    // Directory 0 is `d`; -101, then -101 again, as a delta of 0.
    let again = [first.clone(), vec![0xff, 0x64, 0, 0], vec![0xff, 0xfe, 0, 0]].concat();
    assert_eq!(pull(32, true, &again), ProtocolError::DuplicateList(0).into());
    let unknown = [first, vec![0xff, 0x70]].concat();
    assert_eq!(pull(32, true, &unknown), ProtocolError::BadDirNdx { got: 12, count: 1 }.into());
    let never = [list(), vec![0xff, 0x64, 0, 0]].concat();
    assert_eq!(pull(32, false, &never), ProtocolError::UnexpectedList { got: -101 }.into());
}

/// The answer to a request for `f`: index, flags TRANSFER, sum head.
fn answer(head: [i32; 4]) -> Vec<u8> {
    let mut out = [list(), vec![2, 0, 0x80]].concat();
    head.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    out
}

#[test]
fn data_must_stay_inside_of_its_bounds() {
    let block = |head, n: i32| pull(32, false, &[answer(head), n.to_le_bytes().to_vec()].concat());
    assert_eq!(block([0; 4], -1), ProtocolError::BadBlock { got: 0, count: 0 }.into());
    assert_eq!(block([1, 700, 2, 3], -3), ProtocolError::BadBlock { got: 2, count: 1 }.into());
    assert_eq!(
        block([1, 700, 2, 3], i32::MIN),
        ProtocolError::BadBlock { got: 0x7fff_ffff, count: 1 }.into()
    );
    let range = |what, got, max| ProtocolError::OutOfRange { what, got, max }.into();
    assert_eq!(block([-1, 700, 2, 0], 0), range(Limit::SumCount, -1, 0x7fff_ffff));
    assert_eq!(block([1, 1 << 18, 2, 0], 0), range(Limit::BlockLength, 1 << 18, 1 << 17));
    assert_eq!(block([1, 0, 2, 0], 0), range(Limit::ZeroBlockLength, 0, 1 << 17));
    // A literal of 2 GiB of which a few bytes come.
    let literal = [answer([0; 4]), 0x7fff_ffffi32.to_le_bytes().to_vec(), b"few".to_vec()].concat();
    assert_eq!(pull(32, false, &literal), Error::Eof);
}

#[test]
fn a_block_without_a_basis_ends_the_session() {
    let fs = world();
    fs.remove("out/f");
    let stream = [answer([1, 700, 2, 3]), (-1i32).to_le_bytes().to_vec()].concat();
    let (result, _) = pull_from(agreed(32, false), &frame(MsgTag::Data, &stream), &fs);
    assert_eq!(result, Err(ProtocolError::NoBasis.into()));
    assert_eq!(fs.get("out/f"), None);
}

#[test]
fn a_basis_that_was_not_offered_is_refused() {
    // BASIS_TYPE_FOLLOWS: alternate directory 3; fuzzy with a name.
    let head = [0; 16];
    let alternate = [list(), vec![2, 0, 0x88, 3], head.to_vec()].concat();
    assert_eq!(pull(32, false, &alternate), ProtocolError::BadBasisDir(3).into());
    let fuzzy = [list(), vec![2, 0, 0x98, 0x83, 9], b"../secret".to_vec(), head.to_vec()].concat();
    assert_eq!(pull(32, false, &fuzzy), ProtocolError::UnexpectedFuzzy.into());
    // With `-yy`, but without the first alternate directory.
    let fs = world();
    let mut options = options();
    options.transfer.fuzzy = 2;
    let fuzzy = [list(), vec![2, 0, 0x98, 0x84, 1], b"f".to_vec(), head.to_vec()].concat();
    let (result, _) = pull_asking(agreed(32, false), &frame(MsgTag::Data, &fuzzy), &fs, &options, &[], &[]);
    assert_eq!(result, Err(ProtocolError::BadBasisDir(0).into()));
    let long = [list(), vec![2, 0, 0x90, 0x90, 0]].concat();
    assert_eq!(
        pull(32, false, &long),
        ProtocolError::OutOfRange { what: Limit::Vstring, got: 4096, max: 4095 }.into()
    );
}

#[test]
fn messages_must_suit_the_role() {
    let refused = |tag, payload: &[u8]| {
        let fs = world();
        let stream = [frame(MsgTag::Data, &list()), frame(tag, payload)].concat();
        pull_from(agreed(32, false), &stream, &fs).0.expect_err("refused")
    };
    let bad = |tag, len| Error::Protocol(ProtocolError::BadMessage { tag, len });
    assert_eq!(refused(MsgTag::Success, &[0; 4]), bad(MsgTag::Success, 4));
    assert_eq!(refused(MsgTag::Deleted, b"f"), bad(MsgTag::Deleted, 1));
    assert_eq!(refused(MsgTag::Redo, &[1, 0, 0, 0]), bad(MsgTag::Redo, 4));
    assert_eq!(refused(MsgTag::Stats, &[0; 8]), bad(MsgTag::Stats, 8));
    assert_eq!(refused(MsgTag::NoSend, &[1, 0]), bad(MsgTag::NoSend, 2));
    let text = ProtocolError::MessageTooLong { tag: MsgTag::Info, len: 6000 };
    assert_eq!(refused(MsgTag::Info, &[b'a'; 6000]), text.into());
    // One byte of the number is the code, as with a process that ends; none is 0.
    for (payload, code) in [(&[23, 0, 0, 0][..], 23), (&[44, 1, 0, 0], 44), (&[0; 4], 0), (&[], 0)] {
        assert_eq!(refused(MsgTag::ErrorExit, payload), Error::PeerExit(ExitCode(code)));
    }
}

/// What a session comes to whose sender says of these indexes that no file will come, and then nothing but marks.
/// The notices are of what was asked for in vain.
fn refusing(indexes: &[i32]) -> (Result<(), Error<Infallible>>, Vec<String>) {
    let refusals: Vec<u8> =
        indexes.iter().flat_map(|ndx| frame(MsgTag::NoSend, &ndx.to_le_bytes())).collect();
    let rest = [vec![0; 3], vec![0; 15], vec![0]].concat();
    let stream = [frame(MsgTag::Data, &list()), refusals, frame(MsgTag::Data, &rest)].concat();
    let fs = world();
    let (result, watch) = pull_from(agreed(32, false), &stream, &fs);
    assert_eq!(fs.get("out/f").map(|n| n.data), Some(b"old".to_vec()));
    let notices = watch.notices.borrow();
    (result, notices.iter().filter(|n| n.contains("Unanswered")).cloned().collect())
}

#[test]
fn a_file_that_was_asked_for_and_never_comes_is_told_of() {
    assert_eq!(refusing(&[]), (Ok(()), vec!["generator: Unanswered(1)".to_owned()]));
}

#[test]
fn a_file_that_will_not_come_must_be_in_a_list() {
    // The directory, and twice a file.
    assert_eq!(refusing(&[0, 1, 1]), (Ok(()), Vec::new()));
    for ndx in [2, 99, -7, i32::MAX, i32::MIN] {
        let unknown = ProtocolError::BadNdx { got: ndx, first: 0, last: 1 };
        assert_eq!(refusing(&[1, ndx]).0, Err(unknown.into()), "{ndx}");
    }
}

#[test]
fn refusals_without_end_are_a_fault() {
    let bad = ProtocolError::BadMessage { tag: MsgTag::NoSend, len: 4 };
    assert_eq!(refusing(&[1; 100]).0, Err(bad.into()));
}

#[test]
fn a_wrong_checksum_twice_leaves_the_old_file() {
    // Both answers carry the literal "new" and a checksum of zeros; then the three marks of the phases.
    let mut once = vec![2, 0, 0x80];
    once.extend_from_slice(&[0; 16]);
    once.extend_from_slice(&[3, 0, 0, 0]);
    once.extend_from_slice(b"new");
    once.extend_from_slice(&[0; 4 + 16]);
    let mut again = once.clone();
    again.splice(0..1, [0xfe, 0, 0]);
    let stream = [list(), once, vec![0], again, vec![0, 0], vec![0; 15], vec![0]].concat();
    let fs = world();
    let (result, watch) = pull_from(agreed(32, false), &frame(MsgTag::Data, &stream), &fs);
    assert_eq!(result, Ok(()));
    assert_eq!(fs.get("out/f").map(|n| n.data), Some(b"old".to_vec()));
    let notices = watch.notices.borrow();
    let failed = notices.iter().filter(|n| n.contains("FailedVerification"));
    assert_eq!(failed.count(), 2, "{notices:?}");
}

/// A server that sends gets these bytes as its client's requests.
fn serve(protocol: u8, incremental: bool, requests: &[u8], max_alloc: u64) -> Error<Infallible> {
    let options = SessionOptions { max_alloc, ..options() };
    serve_from(&source(), &options, agreed(protocol, incremental), &frame(MsgTag::Data, requests))
}

/// The same with these files and options, and whole frames.
fn serve_from(fs: &Fs, options: &SessionOptions, agreed: Agreed, requests: &[u8]) -> Error<Infallible> {
    let watch = Watch::default();
    let shared = Shared::new(options, agreed, &watch, Side::Server, Rc::new(Outbox::new()));
    fs.put("zero", Node { mode: FILE, ..Node::default() });
    let (reader, mut peer) = duplex::pipe(usize::MAX, usize::MAX);
    let (_sink, writer) = duplex::pipe(usize::MAX, usize::MAX);
    let result = duplex::run(async {
        // No filter rules.
        let stream = [&frame(MsgTag::Data, &[0; 4]), requests].concat();
        peer.write_all(&stream).await.unwrap_or_else(|never| match never {});
        drop(peer);
        let r = WireReader::new(reader, Inbox::unattached());
        let w = WireWriter::new(writer, vec![0; 1024]);
        let args = SourceArgs { names: vec![b"./".to_vec()], base: None };
        run_sender(&shared, fs, rules(&setup(false), Side::Server), &args, r, w).await
    });
    result.expect("no deadlock").expect_err("the peer broke a rule")
}

#[test]
fn a_sender_takes_messages_that_are_for_a_receiver() {
    let served = |tag, payload: &[u8]| {
        let stream = [frame(tag, payload), frame(MsgTag::Data, &[0])].concat();
        serve_from(&source(), &options(), agreed(32, false), &stream)
    };
    let bad = |tag, len| Error::Protocol(ProtocolError::BadMessage { tag, len });
    for tag in [MsgTag::IoError, MsgTag::NoSend] {
        assert_eq!(served(tag, &[1, 0, 0, 0]), Error::Eof);
        assert_eq!(served(tag, &[1, 0]), bad(tag, 2));
    }
    assert_eq!(served(MsgTag::IoTimeout, &[1, 0, 0, 0]), bad(MsgTag::IoTimeout, 4));
}

#[test]
fn sources_are_removed_only_where_that_was_asked_for() {
    let success = |ndx: i32| frame(MsgTag::Success, &ndx.to_le_bytes());
    let files = |fs: &Fs| fs.all().len();
    // Index 1 is a file, 0 the root, 99 nothing; then a mark, so that all are looked at, and the end of the stream.
    let mark = frame(MsgTag::Data, &[0]);
    let mut options = options();
    let fs = source();
    let before = files(&fs) + 1;
    let stream = [success(1), success(99), mark.clone()].concat();
    assert_eq!(serve_from(&fs, &options, agreed(32, false), &stream), Error::Eof);
    assert_eq!(files(&fs), before, "nobody asked for it");
    options.transfer.remove_source = Some(RemoveSource::All);
    let stream = [success(0), success(1), mark.clone()].concat();
    assert_eq!(serve_from(&fs, &options, agreed(32, false), &stream), Error::Eof);
    assert_eq!(files(&fs), before - 1, "a file, and no directory");
    let repeated = vec![success(1); 23].concat();
    let bad = ProtocolError::BadMessage { tag: MsgTag::Success, len: 4 };
    assert_eq!(serve_from(&fs, &options, agreed(32, false), &repeated), bad.into());
    let stream = [success(99), mark].concat();
    let error = serve_from(&fs, &options, agreed(32, false), &stream);
    assert!(matches!(error, Error::Protocol(ProtocolError::BadNdx { got: 99, first: 0, .. })), "{error:?}");
}

#[test]
fn attributes_that_are_asked_for_must_be_there() {
    let mut options = options();
    options.preserve.xattrs = 1;
    // REPORT_XATTR for the file 1, which has none: number 1, then 0.
    let request = frame(MsgTag::Data, &[2, 0, 0x01, 1, 0]);
    let error = serve_from(&source(), &options, agreed(32, false), &request);
    assert_eq!(error, ProtocolError::BadTableIndex("xattr request").into());
}

#[test]
fn requests_must_be_for_files_of_a_list() {
    // 22 entries: indexes 0 to 21.
    let far = serve(32, false, &[200, 0, 0x80], 0);
    assert!(matches!(far, Error::Protocol(ProtocolError::BadNdx { got: 199, first: 0, .. })), "{far:?}");
    assert_eq!(serve(32, false, &[1, 0, 0x80], 0), ProtocolError::NotRegular { ndx: 0 }.into());
    // The index in front of the first of several lists stands for the root.
    assert_eq!(serve(32, true, &[1, 0, 0x80], 0), ProtocolError::NotRegular { ndx: 0 }.into());
    assert_eq!(serve(32, true, &[0xff, 0x64], 0), ProtocolError::UnexpectedList { got: -101 }.into());
    // Both phases end; then a request for file 1.
    assert_eq!(serve(32, false, &[0, 0, 2, 0, 0x80], 0), ProtocolError::LatePhase { phase: 2 }.into());
    // All phases end; then something else than the goodbye.
    assert_eq!(serve(32, false, &[0, 0, 0, 2, 0, 0x80], 0), ProtocolError::BadGoodbye { got: 1 }.into());
    assert_eq!(serve(32, false, &[0, 0, 0, 0xff, 0x64], 0), ProtocolError::BadGoodbye { got: -101 }.into());
}

#[test]
fn sums_must_stay_inside_of_their_bounds() {
    let request = |head: [i32; 4], max_alloc| {
        let mut bytes = vec![2, 0, 0x80];
        head.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        serve(32, false, &bytes, max_alloc)
    };
    let range = |what, got, max| ProtocolError::OutOfRange { what, got, max }.into();
    assert_eq!(request([-1, 700, 2, 0], 0), range(Limit::SumCount, -1, 0x7fff_ffff));
    assert_eq!(request([1, 700, 17, 0], 0), range(Limit::ChecksumLength, 17, 16));
    assert_eq!(request([1, 700, 2, 701], 0), range(Limit::Remainder, 701, 700));
    // More sums than memory is allowed for; and, without a limit, more than will come.
    let bytes = 0x7fff_ffffi64 * 32;
    assert_eq!(request([i32::MAX, 700, 16, 0], 1 << 30), range(Limit::Alloc, bytes, 1 << 30));
    assert_eq!(request([i32::MAX, 700, 16, 0], 0), Error::Eof);
}

#[test]
fn rules_have_a_length_and_a_form() {
    let fs = source();
    let send = |rule: &[u8]| {
        let options = options();
        let watch = Watch::default();
        let shared = Shared::new(&options, agreed(32, false), &watch, Side::Server, Rc::new(Outbox::new()));
        let (reader, mut peer) = duplex::pipe(usize::MAX, usize::MAX);
        let (_sink, writer) = duplex::pipe(usize::MAX, usize::MAX);
        let result = duplex::run(async {
            peer.write_all(&frame(MsgTag::Data, rule)).await.unwrap_or_else(|never| match never {});
            drop(peer);
            let r = WireReader::new(reader, Inbox::unattached());
            let w = WireWriter::new(writer, vec![0; 1024]);
            let args = SourceArgs { names: vec![b"./".to_vec()], base: None };
            run_sender(&shared, &fs, rules(&setup(false), Side::Server), &args, r, w).await
        });
        result.expect("no deadlock").expect_err("refused")
    };
    let range = |got| ProtocolError::OutOfRange { what: Limit::FilterRule, got, max: 5119 }.into();
    assert_eq!(send(&[0, 0x14, 0, 0]), range(5120));
    assert_eq!(send(&[0xff, 0xff, 0xff, 0xff]), range(-1));
    let unknown = [&[5, 0, 0, 0][..], b"what?", &[0; 4]].concat();
    assert_eq!(send(&unknown), Error::Exit(ExitCode::SYNTAX));
}

/// What a client that asked for `paths` with `texts` as its rules says to one entry `foo` of the sender.
fn reply_to(paths: &[&str], texts: &[&str], trust: bool) -> Error<Infallible> {
    let mut o = options();
    o.trust_sender = trust;
    let mut stream = entry("foo", 1, FILE);
    stream.extend_from_slice(&[0, 0]);
    let framed = frame(MsgTag::Data, &stream);
    pull_asking(agreed(32, false), &framed, &world(), &o, paths, texts).0.expect_err("the stream ends early")
}

#[test]
fn names_that_nobody_asked_for_are_refused() {
    let fault = |e: Error<Infallible>| match e {
        Error::Protocol(ProtocolError::Name(fault)) => Some(fault),
        _ => None,
    };
    assert_eq!(fault(reply_to(&["dir/other"], &[], false)), Some(NameFault::Unrequested));
    assert_eq!(fault(reply_to(&["dir/"], &["- foo"], false)), Some(NameFault::Excluded));
    assert_eq!(fault(reply_to(&["dir/"], &["H foo"], false)), Some(NameFault::Excluded));
    for (paths, texts, trust) in [
        (["dir/other"], ["- foo"], true),
        (["dir/"], ["P foo"], false),
        (["foo"], ["- bar"], false),
        (["f*"], [": .rules"], false),
    ] {
        assert_eq!(fault(reply_to(&paths, &texts, trust)), None, "{paths:?} {texts:?}");
    }
    assert_eq!(NameFault::Unrequested.to_string(), "ERROR: rejecting unrequested file-list name");
}
