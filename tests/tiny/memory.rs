//! Two of them in one thread, and one against what nobody should send.

use arsync_core::{
    error::{Error, Limit, NameFault, ProtocolError},
    exit::ExitCode,
    io::duplex::{pipe, run as poll},
    mux::MsgTag,
    rt::{block_on_ready, join2},
    setup::Side,
    tiny::{Bound, Command, Config, Fault, Memory, Store as _, Summary, ram::RamStore, run, serve},
    version::ProtocolVersion,
};

use crate::noise;

type Small = Memory<32, 512, 64, 2048>;

fn config(protocol: u8, checksums: &str) -> Config<'_> {
    Config { max_protocol: ProtocolVersion::new(protocol).unwrap(), seed: 77, checksums }
}

/// Both ends; `args`: those of the server. Returns what the server says and what the client says.
fn between(
    protocol: u8,
    args: &[&str],
    server: &mut RamStore,
    client: &mut RamStore,
    checksums: &str,
) -> (Result<Summary, Fault<core::convert::Infallible>>, Result<Summary, Fault<core::convert::Infallible>>) {
    let ((r1, w1), (r2, w2)) = (pipe(4096, 100), pipe(4096, 33));
    let there = Command::parse(args.iter().map(|a| a.as_bytes()));
    let mut here = there.clone();
    here.sender = !there.sender;
    let (mut m1, mut m2) = (Small::new(), Small::new());
    let (c1, c2) = (config(protocol, checksums), config(32, ""));
    let (mut a, mut b) = (None, None);
    poll(join2(
        async {
            a = Some(run((r1, w2), Side::Server, &there, server, &mut m1, &c1).await);
            Ok::<_, ()>(())
        },
        async {
            b = Some(run((r2, w1), Side::Client, &here, client, &mut m2, &c2).await);
            Ok(())
        },
    ))
    .expect("no deadlock")
    .unwrap();
    (a.unwrap(), b.unwrap())
}

fn files() -> RamStore {
    let mut store = RamStore::new();
    store.dir("log");
    store.file("log/a", b"hello", 1_500_000_000);
    store.file("log/b", &noise(2, 40_000), 1_500_000_001);
    store.file("log/empty", b"", 1_500_000_002);
    store.file("top", &noise(3, 700), 3_000_000_000);
    store
}

fn sorted(store: &RamStore) -> Vec<arsync_core::tiny::ram::RamFile> {
    let mut files = store.files.clone();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

#[test]
fn every_protocol_and_checksum_both_ways() {
    for protocol in 27..=32 {
        for checksums in ["", "md5", "xxh64", "sha1", "md4"] {
            for pull in [true, false] {
                let (mut from, mut to) = (files(), RamStore::new());
                let mut args = vec!["--server", "-logDtpre.LsfxCIvu", ".", "/"];
                if pull {
                    args.insert(1, "--sender");
                }
                if protocol < 30 && !checksums.is_empty() && checksums != "md4" {
                    continue;
                }
                let checksums = if protocol < 30 { "" } else { checksums };
                let (server, client) = if pull {
                    between(protocol, &args, &mut from, &mut to, checksums)
                } else {
                    between(protocol, &args, &mut to, &mut from, checksums)
                };
                let what = format!("{protocol} {checksums} pull={pull}");
                let (server, client) = (server.expect(&what), client.expect(&what));
                assert_eq!((server.failed, client.failed), (0, 0), "{what}");
                assert_eq!((server.files, client.files), (4, 4), "{what}");
                assert_eq!(sorted(&to), sorted(&from), "{what}");
            }
        }
    }
}

#[test]
fn a_spoiled_basis_is_sent_again() {
    for protocol in [30, 32] {
        let (mut from, mut to) = (files(), files());
        let mut changed = noise(2, 40_000);
        changed[30_000] ^= 1;
        to.files.retain(|f| f.path != b"log/b");
        to.file("log/b", &changed, 1);
        to.decay = true;
        let args = ["--server", "-tre.LsfxCIvu", ".", "/"];
        let (server, client) = between(protocol, &args, &mut to, &mut from, "");
        let (server, client) = (server.unwrap(), client.unwrap());
        assert_eq!((server.failed, server.files, client.files), (0, 1, 2));
        assert_eq!(to.get("log/b").unwrap().data, noise(2, 40_000));
    }
}

#[test]
fn a_file_that_cannot_be_read_or_kept_does_not_end_the_session() {
    for protocol in 27..=32 {
        let (mut from, mut to) = (files(), RamStore::new());
        from.broken = Some(b"log/a".to_vec());
        let args = ["--server", "-tre.LsfxCIvu", ".", "/"];
        let (server, client) = between(protocol, &args, &mut to, &mut from, "");
        assert_eq!(client.unwrap().exit_code(), ExitCode::PARTIAL, "{protocol}");
        // Below 30 the sender has no word for it.
        assert_eq!(server.unwrap().files, 3, "{protocol}");
        assert!(to.get("log/a").is_none() && to.get("log/b").is_some());

        let (mut from, mut to) = (files(), RamStore::new());
        to.capacity = 10_000;
        let (server, client) = between(protocol, &args, &mut to, &mut from, "");
        let (server, client) = (server.unwrap(), client.unwrap());
        assert_eq!((server.failed, server.files), (1, 3), "{protocol}");
        assert_eq!(client.exit_code(), if server.protocol > 0 { client.exit_code() } else { ExitCode::OK });
        assert!(to.get("log/b").is_none() && to.get("top").is_some());
    }
}

#[test]
fn lists_beyond_the_bounds_are_refused() {
    let args = ["--server", "-tre.LsfxCIvu", ".", "/"];
    let mut many = RamStore::new();
    for i in 0..40 {
        many.file(&format!("f{i}"), b"x", 1);
    }
    let mut long = RamStore::new();
    for i in 0..3 {
        long.file(&format!("{i}{}", "n".repeat(250)), b"x", 1);
    }
    for (mut store, bound) in [(many, Bound::Files), (long, Bound::Names)] {
        // The sender meets its own bounds first.
        let (_, client) = between(32, &args, &mut RamStore::new(), &mut store.clone(), "");
        assert_eq!(client, Err(Fault::Full(bound)));
        // A receiver that is smaller than its peer.
        let ((r1, w1), (r2, w2)) = (pipe(4096, 100), pipe(4096, 33));
        let command = Command::parse(args.iter().map(|a| a.as_bytes()));
        let mut here = command.clone();
        here.sender = true;
        let (mut large, mut small) = (Box::new(Memory::<64, 4096, 64, 1024>::new()), Small::new());
        let (mut a, mut b) = (None, None);
        let mut empty = RamStore::new();
        poll(join2(
            async {
                a = Some(
                    run((r1, w2), Side::Server, &command, &mut empty, &mut small, &config(32, "")).await,
                );
                Ok::<_, ()>(())
            },
            async {
                b = Some(run((r2, w1), Side::Client, &here, &mut store, &mut large, &config(32, "")).await);
                Ok(())
            },
        ))
        .expect("no deadlock")
        .unwrap();
        assert_eq!(a, Some(Err(Fault::Full(bound))));
        assert_eq!(b, Some(Err(Fault::Session(Error::PeerExit(ExitCode::MALLOC)))));
        assert!(empty.files.is_empty());
    }
}

/// One end against bytes.
fn feed(bytes: &[u8]) -> (Result<Summary, Fault<arsync_core::io::ErrorKind>>, RamStore) {
    let mut store = files();
    let mut out = Vec::new();
    let mut memory = Small::new();
    struct Sink<'a>(&'a mut Vec<u8>);
    impl arsync_core::io::ErrorType for Sink<'_> {
        type Error = arsync_core::io::ErrorKind;
    }
    impl arsync_core::io::Write for Sink<'_> {
        async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
            self.0.extend_from_slice(buf);
            Ok(buf.len())
        }
        async fn flush(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    struct From<'a>(&'a [u8]);
    impl arsync_core::io::ErrorType for From<'_> {
        type Error = arsync_core::io::ErrorKind;
    }
    impl arsync_core::io::Read for From<'_> {
        async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
            let n = buf.len().min(self.0.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    impl arsync_core::io::BufRead for From<'_> {
        async fn fill_buf(&mut self) -> Result<&[u8], Self::Error> {
            Ok(self.0)
        }
        fn consume(&mut self, n: usize) {
            self.0 = &self.0[n..];
        }
    }
    let result =
        block_on_ready(serve(From(bytes), Sink(&mut out), &mut store, &mut memory, &config(32, "md5")));
    (result, store)
}

const PUSH: &[u8] = b"rsync\0--server\0-tre.LsfxCIu\0.\0/image/\0\0\x20\0\0\0";
const PULL: &[u8] = b"rsync\0--server\0--sender\0-tre.LsfxCIu\0.\0/log/\0\0\x20\0\0\0";

fn framed(start: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = start.to_vec();
    out.extend_from_slice(&[payload.len() as u8, (payload.len() >> 8) as u8, 0, 7]);
    out.extend_from_slice(payload);
    out
}

/// One entry of a list at protocol 32 without varint flags: flags, name, length 5, time, mode.
fn entry(name: &[u8]) -> Vec<u8> {
    let mut out = vec![0x18, name.len() as u8];
    out.extend_from_slice(name);
    out.extend_from_slice(&[0, 5, 0, 0x65, 0, 0xf1, 0x53, 0xa4, 0x81, 0, 0]);
    out
}

#[test]
fn line_noise_is_no_command() {
    for bytes in [&b"hello\0"[..], b"\xff\xfe\xfd\0\0", b"login: \r\n\0\0", b"\0", b"ls\0-l\0\0"] {
        let (result, store) = feed(bytes);
        assert!(matches!(result, Err(Fault::NoCommand)), "{bytes:?}: {result:?}");
        assert_eq!(store.files.len(), 5);
    }
    // The first zero comes late, and a session follows.
    let mut late = vec![b'x'; 500];
    late.push(0);
    late.extend_from_slice(PULL);
    assert!(matches!(feed(&late).0, Err(Fault::NoCommand)));
    let (result, _) = feed(&noise(9, 200_000));
    assert!(matches!(result, Err(Fault::NoCommand)), "{result:?}");
    assert!(matches!(feed(&vec![b'x'; 70_000]).0, Err(Fault::NoCommand)));
    assert!(matches!(feed(b"").0, Err(Fault::Session(Error::Eof))));
}

#[test]
fn hostile_lists_and_data_end_the_session_with_their_reason() {
    let name = |fault| Fault::Session(Error::Protocol(ProtocolError::Name(fault)));
    for (bad, fault) in [
        (&b"../x"[..], NameFault::Unsafe),
        (b"a/../x", NameFault::Unsafe),
        (b"/x", NameFault::Unsafe),
        (b"a\0b", NameFault::Nul),
        (b"", NameFault::Unrequested),
        (b".", NameFault::RootNotDir),
    ] {
        let mut list = entry(bad);
        list.push(0);
        assert_eq!(feed(&framed(PUSH, &list)).0, Err(name(fault)), "{bad:?}");
    }
    // The root as one more name of a file, whatever options say about hard links.
    let mut linked = entry(b"f");
    linked.extend_from_slice(&[0x1c, 0x02, 1, b'.', 0, 0]);
    assert_eq!(feed(&framed(PUSH, &linked)).0, Err(name(NameFault::RootNotDir)));
    // A name of 300 bytes is legal, but longer than what this store takes; one of 5000 is not legal.
    let mut long = vec![0x58, 0x81, 0x2c];
    long.extend_from_slice(&[b'n'; 300]);
    long.extend_from_slice(&[0, 5, 0, 0x65, 0, 0xf1, 0x53, 0xa4, 0x81, 0, 0, 0]);
    assert_eq!(feed(&framed(PUSH, &long)).0, Err(Fault::Full(Bound::Path)));
    assert_eq!(feed(&framed(PUSH, &[0x58, 0x93, 0x88])).0, Err(name(NameFault::Overflow)));
    // A reply for an index that was not requested, a block without a basis, a wrong checksum.
    let mut list = entry(b"f");
    list.push(0);
    let reply = |tail: &[u8]| {
        let mut all = list.clone();
        all.extend_from_slice(tail);
        framed(PUSH, &all)
    };
    let head = [0u8; 16];
    let mut block = vec![1, 0, 0xa0];
    block.extend_from_slice(&head);
    block.extend_from_slice(&[0xff; 4]);
    assert_eq!(feed(&reply(&block)).0, Err(Fault::Session(Error::Protocol(ProtocolError::NoBasis))));
    let bad = ProtocolError::BadNdx { got: 3, first: 0, last: 0 };
    assert_eq!(feed(&reply(&[4, 0, 0xa0])).0, Err(Fault::Session(Error::Protocol(bad))));
    // Data for a directory; a message that no sender has.
    let mut dir = entry(b"d");
    let type_at = dir.len() - 3;
    dir[type_at] = 0x41;
    dir.push(0);
    dir.extend_from_slice(&[1, 0, 0xa0]);
    let bad = ProtocolError::NotRegular { ndx: 0 };
    assert_eq!(feed(&framed(PUSH, &dir)).0, Err(Fault::Session(Error::Protocol(bad))));
    let success = [framed(PUSH, &list), vec![4, 0, 0, 0x6b, 0, 0, 0, 0]].concat();
    let bad = ProtocolError::BadMessage { tag: MsgTag::Success, len: 4 };
    assert_eq!(feed(&success).0, Err(Fault::Session(Error::Protocol(bad))));
    let (result, store) = feed(&reply(&block[..19]));
    assert_eq!(result, Err(Fault::Session(Error::Eof)));
    assert!(store.get("image/f").is_none());
    // Requests to a sender: not in the list, a directory, sums out of bounds.
    let request = |tail: &[u8]| framed(PULL, &[&[0, 0, 0, 0], tail].concat());
    let bad = ProtocolError::BadNdx { got: 99, first: 0, last: 3 };
    assert_eq!(feed(&request(&[100, 0, 0xa0])).0, Err(Fault::Session(Error::Protocol(bad))));
    let bad = ProtocolError::NotRegular { ndx: 0 };
    assert_eq!(feed(&request(&[1, 0, 0xa0])).0, Err(Fault::Session(Error::Protocol(bad))));
    let mut sums = vec![2, 0, 0x80];
    sums.extend_from_slice(&[1, 0, 0, 0, 1, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert!(matches!(
        feed(&request(&sums)).0,
        Err(Fault::Session(Error::Protocol(ProtocolError::OutOfRange { .. })))
    ));
    assert_eq!(feed(&request(&[2, 0, 0x90, 0xff, 0xff])).0, Err(Fault::Full(Bound::Window)));
    let bad = ProtocolError::OutOfRange { what: Limit::Deleted, got: -1, max: 1 << 28 };
    let deleted = request(&[0xff, 2, 0xf0, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(feed(&deleted).0, Err(Fault::Session(Error::Protocol(bad))));
}

#[test]
fn a_cut_line_leaves_the_old_files() {
    // Everything that a push of one file consists of, cut at every byte.
    let mut all = entry(b"a");
    all.push(0);
    all.extend_from_slice(&[1, 0, 0xa0]);
    all.extend_from_slice(&[0; 16]);
    all.extend_from_slice(&[5, 0, 0, 0]);
    all.extend_from_slice(b"HELLO\0\0\0\0");
    // md5 of HELLO
    all.extend_from_slice(&[
        0xeb, 0x61, 0xee, 0xad, 0x90, 0xe3, 0xb8, 0x99, 0xc6, 0xbc, 0xbe, 0x27, 0xac, 0x58, 0x16, 0x60,
    ]);
    all.extend_from_slice(&[0, 0, 0, 0]);
    let start = b"rsync\0--server\0-tre.LsfxCIu\0.\0/log/\0\0\x20\0\0\0";
    let whole = framed(start, &all);
    for cut in 0..whole.len() {
        let (result, store) = feed(&whole[..cut]);
        assert_eq!(result, Err(Fault::Session(Error::Eof)), "{cut}");
        let data = &store.get("log/a").unwrap().data;
        let complete = cut >= whole.len() - 4;
        assert_eq!(data, if complete { b"HELLO" } else { b"hello" }, "{cut}");
    }
    let (result, store) = feed(&whole);
    assert_eq!(result.map(|s| (s.files, s.failed)), Ok((1, 0)));
    assert_eq!(store.get("log/a").unwrap().meta.mtime, 1_700_000_000);
}

#[test]
fn noise_behind_a_handshake_never_panics() {
    for seed in 0..400 {
        for start in [PUSH, PULL] {
            let mut bytes = start.to_vec();
            bytes.extend_from_slice(&noise(seed + 1, 300));
            let (_, mut store) = feed(&bytes);
            assert!(block_on_ready(store.entry(0)).unwrap().is_some());
            // Framed, so that it gets further.
            feed(&framed(start, &noise(seed + 1, 300))).0.unwrap_err();
        }
    }
}

#[test]
fn memory_is_what_the_documentation_says() {
    assert!(size_of::<Memory<64, 2048, 128, 2048>>() <= 10 * 1024 + 256);
    assert_eq!(size_of::<arsync_core::tiny::Listed>(), 32);
    assert_eq!(size_of::<arsync_core::tiny::BlockSum>(), 16);
}
