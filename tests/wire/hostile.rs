//! Streams that are cut, spoiled or made up: each decoder must answer with an error, never panic or hang.

use std::path::Path;

use arsync_core::{
    delta::SumHead,
    error::{Error, Limit, NameFault, ProtocolError},
    flist::{
        Format,
        decode::Decoder,
        entry::FileList,
        xattr::{read_request, read_value},
    },
    io::{WireReader, WireWriter},
    item::ItemFlags,
    mux::MsgTag,
    options::SessionOptions,
    rt::block_on_ready,
    session::{
        goodbye::{ItemHeader, read_del_stats},
        lists::{Lists, Numbering},
    },
    setup::{Agreed, Capabilities, CompatFlags, Handshake, Side, exchange},
    token::{CompressKind, Token, TokenDecoder},
    version::ProtocolVersion,
};

use crate::{
    check::decode,
    corpus::Case,
    decode::{Fault, Log, Pieces, Reader},
};

fn case(name: &str) -> Case {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    Case::load(&corpus.join(name), &corpus.join("_trees"))
}

fn version(n: u8) -> ProtocolVersion {
    ProtocolVersion::new(n).expect("a version")
}

fn reader(bytes: &[u8]) -> Reader<'_> {
    WireReader::new(Pieces::new(bytes, 3), Log::default())
}

fn stream(case: &mut Case, from_client: bool) -> &mut Vec<u8> {
    if from_client { &mut case.c2s } else { &mut case.s2c }
}

const CUT: [&str; 5] =
    ["delta-push-p32", "hardlinks-pull-p28", "z-zlib-pull-p31", "acls-push-p30", "xattrs-update-pull-p31"];

#[test]
fn cut_streams_end_in_an_error() {
    for name in CUT {
        let whole = case(name);
        for from_client in [true, false] {
            let len = if from_client { whole.c2s.len() } else { whole.s2c.len() };
            for cut in (0..len).step_by(97) {
                let mut case = case(name);
                stream(&mut case, from_client).truncate(cut);
                match decode(&case, usize::MAX) {
                    Err(Fault::Wire(Error::Eof) | Fault::Check(_)) => {}
                    other => panic!("{name} cut at {cut}, client {from_client}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn spoiled_bytes_never_panic() {
    for name in CUT {
        let mut case = case(name);
        let mut errors = 0;
        let mut spoil = |case: &mut Case, from_client: bool, at: usize, with: u8| {
            stream(case, from_client)[at] ^= with;
            errors += usize::from(decode(case, usize::MAX).is_err());
            stream(case, from_client)[at] ^= with;
        };
        for with in [0x01, 0x80, 0xff] {
            for at in (0..case.c2s.len().min(3000)).step_by(7) {
                spoil(&mut case, true, at, with);
            }
            for at in (0..case.s2c.len().min(3000)).step_by(7) {
                spoil(&mut case, false, at, with);
            }
        }
        assert!(errors > 100, "{name}: {errors} errors");
        decode(&case, usize::MAX).expect("every byte is back in place");
    }
}

fn start(peer: &[u8]) -> Result<Agreed, Error<core::convert::Infallible>> {
    let handshake = Handshake::new(Side::Client, ProtocolVersion::MAX, Capabilities::VARINT_FLIST_FLAGS);
    let mut out = Vec::new();
    let mut writer = WireWriter::new(&mut out, [0u8; 256]);
    block_on_ready(exchange(&mut reader(peer), &mut writer, &handshake))
}

#[test]
fn a_banner_is_no_version() {
    let error = start(b"Hello, user\n").unwrap_err();
    assert_eq!(error, ProtocolError::VersionMismatch { got: 0x6c6c_6548 }.into());
    assert_eq!(start(&[41, 0, 0, 0]).unwrap_err(), ProtocolError::VersionMismatch { got: 41 }.into());
}

#[test]
fn incremental_recursion_must_have_been_offered() {
    assert_eq!(start(&[32, 0, 0, 0, 0x81, 0xff]).unwrap_err(), ProtocolError::UnofferedIncRecursion.into());
}

#[test]
fn lists_of_names_have_a_length_and_a_common_name() {
    let mut long = vec![32, 0, 0, 0, 0x81, 0xfe, 0x81, 0x00];
    long.resize(600, b'a');
    let limit = ProtocolError::OutOfRange { what: Limit::Negotiation, got: 256, max: 255 };
    assert_eq!(start(&long).unwrap_err(), limit.into());
    let foreign = [32, 0, 0, 0, 0x81, 0xfe, 3, b'f', b'o', b'o'];
    assert_eq!(start(&foreign).unwrap_err(), ProtocolError::NoCommonAlgorithm { what: "checksum" }.into());
}

#[test]
fn frames_need_a_known_tag_and_a_fitting_length() {
    let framed = |bytes: &[u8]| {
        let mut r = reader(bytes);
        r.start_framing();
        block_on_ready(r.u8()).unwrap_err()
    };
    assert_eq!(framed(&[1, 0, 0, 0xff, 0]), ProtocolError::UnknownTag { tag: 248 }.into());
    assert_eq!(framed(&[1, 0, 0, 6, 0]), ProtocolError::UnknownTag { tag: -1 }.into());
    let long = ProtocolError::MessageTooLong { tag: MsgTag::Info, len: 5120 };
    assert_eq!(framed(&[0, 0x14, 0, 9]), long.into());
    let short = ProtocolError::BadMessage { tag: MsgTag::NoSend, len: 3 };
    assert_eq!(framed(&[3, 0, 0, 0x6d, 0, 0, 0]), short.into());
    let sibling = ProtocolError::BadMessage { tag: MsgTag::Redo, len: 4 };
    assert_eq!(framed(&[4, 0, 0, 0x10, 0, 0, 0, 0]), sibling.into());
    // Empty frames for ever end with the stream, not with the stack.
    let empty: Vec<u8> = [0, 0, 0, 7].repeat(100_000);
    assert_eq!(framed(&empty), Error::Eof);
}

fn format(protocol: u8) -> Format {
    let mut options = SessionOptions::default();
    options.preserve.links = true;
    options.preserve.hard_links = 1;
    let agreed = Agreed {
        protocol: version(protocol),
        flags: if protocol < 30 { CompatFlags::empty() } else { CompatFlags::VARINT_FLIST_FLAGS },
        transfer_sum: arsync_core::checksum::ChecksumKind::Md5,
        list_sum: arsync_core::checksum::ChecksumKind::Md5,
        implied_sum: false,
        compress: None,
        seed: 1,
    };
    Format::new(&options, &agreed)
}

fn list(protocol: u8, bytes: &[u8]) -> Result<FileList, Error<core::convert::Infallible>> {
    let mut decoder = Decoder::new(format(protocol), true);
    block_on_ready(decoder.list(&mut reader(bytes), 0)).map(|(list, _)| list)
}

/// An entry of protocol 32: flags 0x18 (ids do not travel), name, length 6, mtime 1, mode.
fn entry(name: &[u8], mode: u32) -> Vec<u8> {
    let mut out = vec![0x18, name.len() as u8];
    out.extend_from_slice(name);
    out.extend_from_slice(&[0, 6, 0, 0, 1, 0, 0]);
    out.extend_from_slice(&mode.to_le_bytes());
    out
}

#[test]
fn names_that_leave_the_destination_are_refused() {
    let bad = |name: &[u8]| list(32, &entry(name, 0o100_644)).unwrap_err();
    let unsafe_name: Error<_> = ProtocolError::Name(NameFault::Unsafe).into();
    for name in [&b"../x"[..], b"a/../x", b"..", b"/x", b"a/.."] {
        assert_eq!(bad(name), unsafe_name, "{}", name.escape_ascii());
    }
    assert_eq!(bad(b"a\0b"), ProtocolError::Name(NameFault::Nul).into());
    assert_eq!(bad(b""), ProtocolError::Name(NameFault::Unrequested).into());
    assert_eq!(bad(b"."), ProtocolError::Name(NameFault::RootNotDir).into());
}

#[test]
fn lengths_in_entries_have_limits() {
    let overflow: Error<_> = ProtocolError::Name(NameFault::Overflow).into();
    // LONG_NAME with 4096 bytes, and with a negative length.
    assert_eq!(list(32, &[0x58, 0x90, 0, 0]).unwrap_err(), overflow);
    assert_eq!(list(32, &[0x58, 0xf0, 0xff, 0xff, 0xff, 0xff]).unwrap_err(), overflow);
    assert_eq!(list(28, &[0x58, 0, 0x10, 0, 0]).unwrap_err(), overflow);
    // A prefix longer than the last name.
    assert_eq!(list(32, &[0x38, 1, 1, b'a']).unwrap_err(), overflow);
    // A symlink whose target has 4096 bytes.
    let mut link = entry(b"l", 0o120_777);
    link.extend_from_slice(&[0x90, 0]);
    let target = ProtocolError::OutOfRange { what: Limit::LinkTarget, got: 4096, max: 4095 };
    assert_eq!(list(32, &link).unwrap_err(), target.into());
    // A negative file length.
    let length = [0x18, 1, b'a', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x80];
    let negative = ProtocolError::OutOfRange { what: Limit::FileLength, got: i64::MIN, max: i64::MAX };
    assert_eq!(list(28, &length).unwrap_err(), negative.into());
}

#[test]
fn values_in_entries_have_ranges() {
    for mode in [0o170_644, 0, 0o644] {
        assert_eq!(list(32, &entry(b"a", mode)).unwrap_err(), ProtocolError::BadMode(mode).into());
    }
    // MOD_NSEC with 10^9.
    let nsec = [0xa0, 0x18, 1, b'a', 0, 6, 0, 0, 1, 0, 0, 0xf0, 0, 0xca, 0x9a, 0x3b];
    let range = ProtocolError::OutOfRange { what: Limit::Nanoseconds, got: 1_000_000_000, max: 999_999_999 };
    assert_eq!(list(32, &nsec).unwrap_err(), range.into());
    // HLINKED without HLINK_FIRST in a list that starts at 5: its own number, a later one, one below 0, and one of an earlier
    // list, none of which has declared the group.
    let later = [&[5][..], &[7], &[0xf0, 0xff, 0xff, 0xff, 0xff], &[2]];
    for (number, got) in later.into_iter().zip([5, 7, -1, 2]) {
        let group = [&[0x82, 0x18, 1, b'a'], number].concat();
        let mut decoder = Decoder::new(format(32), true);
        let undeclared = block_on_ready(decoder.list(&mut reader(&group), 5)).map(drop);
        let range = ProtocolError::OutOfRange { what: Limit::HardLink, got, max: 5 };
        assert_eq!(undeclared, Err(range.into()));
    }
    // A varint of six bytes.
    assert_eq!(list(32, &[0xf8, 0, 0, 0, 0, 0]).unwrap_err(), ProtocolError::VarintOverflow.into());
}

/// A list of one file with an ACL record or an attribute record behind it, as protocol 32 has them.
fn with_record(acls: bool, record: &[u8]) -> Error<core::convert::Infallible> {
    let mut format = format(32);
    (format.acls, format.xattrs) = (acls, !acls);
    let mut decoder = Decoder::new(format, true);
    let bytes = [&entry(b"a", 0o100_644), record, &[0, 0, 0, 0]].concat();
    block_on_ready(decoder.list(&mut reader(&bytes), 0)).map(drop).unwrap_err()
}

#[test]
fn acl_records_have_ranges() {
    let range = |what, got, max| ProtocolError::OutOfRange { what, got, max }.into();
    // An item of an empty table, and a negative one.
    assert_eq!(with_record(true, &[1]), range(Limit::AclIndex, 1, 0));
    assert_eq!(with_record(true, &[0xf0, 0xff, 0xff, 0xff, 0xff]), range(Limit::AclIndex, -1, 0));
    // Permissions of 8; of a named entry with the bits 0x20; 65537 entries; -1 entries.
    assert_eq!(with_record(true, &[0, 2, 8]), range(Limit::AclAccess, 8, 7));
    assert_eq!(with_record(true, &[0, 0x10, 1, 5, 0x20]), range(Limit::AclAccess, 8, 7));
    assert_eq!(with_record(true, &[0, 0x10, 0xc1, 1, 0]), range(Limit::AclCount, 65_537, 65_536));
    assert_eq!(
        with_record(true, &[0, 0x10, 0xf0, 0xff, 0xff, 0xff, 0xff]),
        range(Limit::AclCount, -1, 65_536)
    );
}

#[test]
fn attribute_records_have_ranges() {
    let range = |what, got, max| ProtocolError::OutOfRange { what, got, max }.into();
    let name: Error<_> = ProtocolError::BadXattrName.into();
    assert_eq!(with_record(false, &[1]), range(Limit::XattrIndex, 1, 0));
    // 65537 attributes; a name of no length, of 4097 bytes; a value of -1 bytes and of 128 MiB and one.
    assert_eq!(with_record(false, &[0, 0xc1, 1, 0]), range(Limit::XattrCount, 65_537, 65_536));
    assert_eq!(with_record(false, &[0, 1, 0, 0]), name);
    assert_eq!(with_record(false, &[0, 1, 0x90, 1]), range(Limit::XattrName, 4097, 4096));
    assert_eq!(
        with_record(false, &[0, 1, 2, 0xf0, 0xff, 0xff, 0xff, 0xff]),
        range(Limit::XattrValue, -1, 134_217_728)
    );
    assert_eq!(
        with_record(false, &[0, 1, 2, 0xe8, 1, 0, 0]),
        range(Limit::XattrValue, 134_217_729, 134_217_728)
    );
    // Four values of 128 MiB, of which only digests travel: with their names they are more than 512 MiB.
    let large = [&[2, 0xe8, 0, 0, 0][..], b"a\0", &[0; 16]].concat();
    assert_eq!(
        with_record(false, &[&[0, 5][..], &large.repeat(4)].concat()),
        range(Limit::XattrTotal, 536_870_920, 536_870_912)
    );
    // Names end in their only NUL.
    assert_eq!(with_record(false, &[0, 1, 2, 0, b'a', b'b']), name);
    assert_eq!(with_record(false, &[0, 1, 3, 0, b'a', 0, 0]), name);
}

#[test]
fn sum_heads_have_ranges() {
    let head = |words: [i32; 4], protocol| {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        SumHead::decode(bytes[..].try_into().expect("16 bytes"), version(protocol), 16)
    };
    let range = |what, got, max| Err(ProtocolError::OutOfRange { what, got, max });
    assert_eq!(head([-1, 700, 2, 0], 32), range(Limit::SumCount, -1, 0x7fff_ffff));
    assert_eq!(head([1, 1 << 17 | 1, 2, 0], 32), range(Limit::BlockLength, 131_073, 131_072));
    assert!(head([1, 1 << 17 | 1, 2, 0], 29).is_ok());
    assert_eq!(head([1, 0, 2, 0], 32), range(Limit::ZeroBlockLength, 0, 131_072));
    assert_eq!(head([1, 700, 17, 0], 32), range(Limit::ChecksumLength, 17, 16));
    assert_eq!(head([1, 700, 2, 701], 32), range(Limit::Remainder, 701, 700));
}

#[test]
fn block_numbers_must_lie_in_the_basis() {
    let mut plain = TokenDecoder::new(None, None, version(32)).expect("plain");
    plain.start_file(3);
    assert_eq!(plain.decode(&[0xfc, 0xff, 0xff, 0xff]), Err(ProtocolError::BadBlock { got: 3, count: 3 }));
    plain.start_file(3);
    assert_eq!(plain.decode(&[0, 0, 0, 0x80]), Err(ProtocolError::BadBlock { got: 0x7fff_ffff, count: 3 }));
    for kind in [CompressKind::Zlib, CompressKind::Zlibx, CompressKind::Zstd, CompressKind::Lz4] {
        let mut tokens = TokenDecoder::new(Some(kind), None, version(32)).expect("codec");
        let mut fails = |bytes: &[u8]| {
            tokens.start_file(3);
            let mut input = bytes;
            loop {
                match tokens.decode(input) {
                    Ok((_, Token::NeedInput)) => return None,
                    Ok((used, _)) => input = &input[used..],
                    Err(e) => return Some(e),
                }
            }
        };
        let behind = ProtocolError::BadBlock { got: 3, count: 3 };
        assert_eq!(fails(&[0x20, 3, 0, 0, 0]), Some(behind));
        assert_eq!(fails(&[0x20, 0xff, 0xff, 0xff, 0xff]), Some(ProtocolError::BadToken));
        assert_eq!(fails(&[0x21, 0, 0, 0, 0, 3, 0]), Some(behind));
        assert_eq!(fails(&[0x83]), Some(behind));
        assert_eq!(fails(&[0x01]), Some(ProtocolError::BadToken));
        // What decompresses to nothing sensible.
        let junk = fails(&[0x40, 8, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8, 0x40, 1, 0]);
        assert!(matches!(junk, Some(ProtocolError::Inflate { .. })), "{kind:?}: {junk:?}");
    }
}

#[test]
fn items_and_counts_have_limits() {
    // XNAME_FOLLOWS with 4096 bytes.
    let bytes = [0, 0x90, 0x90, 0];
    let error = block_on_ready(ItemHeader::read(&mut reader(&bytes), version(32))).unwrap_err();
    assert_eq!(error, ProtocolError::OutOfRange { what: Limit::Vstring, got: 4096, max: 4095 }.into());
    let header = block_on_ready(ItemHeader::read(&mut reader(&[]), version(28))).expect("nothing to read");
    assert!(header.flags.contains(ItemFlags::TRANSFER));
    let bytes = [0, 0xf0, 1, 0, 0, 0x10, 0, 0, 0];
    let error = block_on_ready(read_del_stats(&mut reader(&bytes))).unwrap_err();
    assert_eq!(
        error,
        ProtocolError::OutOfRange { what: Limit::Deleted, got: 0x1000_0001, max: 0x1000_0000 }.into()
    );
}

#[test]
fn requests_for_attributes_have_numbers() {
    let request = |bytes: &[u8]| block_on_ready(read_request(&mut reader(bytes)));
    assert_eq!(request(&[2, 3, 0]), Ok(vec![2, 5]));
    // A number below 0; a list without an end; more numbers than a file may have attributes.
    let below: Error<_> = ProtocolError::BadTableIndex("xattr request").into();
    assert_eq!(request(&[1, 0xf0, 0xfe, 0xff, 0xff, 0xff]), Err(below));
    assert_eq!(request(&[1, 1]), Err(Error::Eof));
    let many = ProtocolError::OutOfRange { what: Limit::XattrCount, got: 65_537, max: 65_536 };
    assert_eq!(request(&[1; 70_000]), Err(many.into()));
    // A value of -1 bytes.
    let value =
        block_on_ready(read_value(&mut reader(&[1, 0xf0, 0xff, 0xff, 0xff, 0xff]), 0, &mut Vec::new()));
    assert_eq!(
        value,
        Err(ProtocolError::OutOfRange { what: Limit::XattrValue, got: -1, max: 134_217_728 }.into())
    );
}

#[test]
fn lists_are_announced_once_and_for_known_directories() {
    let mut lists = Lists::new(true, Numbering::Sorted);
    assert_eq!(lists.announce(-101), Err(ProtocolError::UnexpectedList { got: -101 }));
    let mut bytes = entry(b"d", 0o040_755);
    bytes.extend_from_slice(&[0, 0]);
    lists.push(list(32, &bytes).expect("one directory"), None);
    assert_eq!(lists.announce(-101), Ok(0));
    assert_eq!(lists.announce(-101), Err(ProtocolError::DuplicateList(0)));
    assert_eq!(lists.announce(-113), Err(ProtocolError::BadDirNdx { got: 12, count: 1 }));
    assert_eq!(lists.announce(i32::MIN), Err(ProtocolError::BadDirNdx { got: 2_147_483_547, count: 1 }));
}
