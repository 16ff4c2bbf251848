//! The peer in fixed memory at one end, the roles of this crate at the other.

use core::convert::Infallible;

use arsync_core::{
    exit::ExitCode,
    io::{WireReader, WireWriter},
    rt::join2,
    session::Inbox,
    setup::{Capabilities, Side, exchange},
    tiny::{Command, Config, Memory, Summary, ram::RamStore, run},
    version::ProtocolVersion,
};

use crate::{
    fake::{Fs, Node},
    matrix::{archive, door, file, noise, old, source},
    session::{Setup, Watch, handshake, one_end, pipes},
};

/// `args` of the server's command line; the tiny end is the server if `serves`, and sends if `sends`.
fn between(
    protocol: u8,
    (serves, sends): (bool, bool),
    capacity: usize,
    store: &mut RamStore,
    fs: &Fs,
    change: impl Fn(&mut Setup),
) -> (Summary, Result<ExitCode, arsync_core::error::Error<Infallible>>) {
    let mut setup = Setup {
        protocol,
        push: serves != sends,
        options: archive(),
        capabilities: Capabilities::parse(b".LsfxCIvu"),
        args: vec![Vec::new()],
        names: None,
        capacity,
        rules: Vec::new(),
        charsets: None,
    };
    change(&mut setup);
    let mut command = Command::parse([&b"--server"[..], b"-logDtpre.LsfxCIvu", b".", b"/"]);
    command.sender = sends;
    let ((r1, w1), (mut r2, mut w2)) = pipes(capacity);
    let mut memory = Box::new(Memory::<64, 2048, 64, 2048>::new());
    let config = Config { max_protocol: ProtocolVersion::new(protocol).unwrap(), ..Config::default() };
    let (tiny_side, side) = if serves { (Side::Server, Side::Client) } else { (Side::Client, Side::Server) };
    let watch = Watch::default();
    let tiny = async { Ok::<_, ()>(run((r1, w1), tiny_side, &command, store, &mut memory, &config).await) };
    let big = async {
        let agreed = {
            let mut r = WireReader::new(&mut r2, Inbox::<Watch>::unattached());
            let mut w = WireWriter::new(&mut w2, vec![0; 1024]);
            exchange(&mut r, &mut w, &handshake(&setup, side)).await.map_err(drop)?
        };
        Ok(one_end(&setup, side, agreed, fs, &door(fs), &watch, (r2, w2)).await.0)
    };
    let (tiny, big) =
        arsync_core::io::duplex::run(join2(tiny, big)).expect("no deadlock").expect("an agreement");
    (tiny.unwrap_or_else(|e| panic!("{protocol} serves={serves} sends={sends}: {e}")), big)
}

/// Regular files and directories: path, permissions and type, time, content.
fn plain(fs: &Fs) -> Vec<(Vec<u8>, u32, i64, Vec<u8>)> {
    let kept = |node: &Node| matches!(node.mode & 0o170_000, 0o100_000 | 0o040_000);
    let all = fs.all().into_iter().filter(|(path, (node, _))| !path.is_empty() && kept(node));
    all.map(|(path, (node, _))| (path, node.mode, node.mtime, node.data)).collect()
}

fn stored(store: &RamStore) -> Vec<(Vec<u8>, u32, i64, Vec<u8>)> {
    let mut all: Vec<_> =
        store.files.iter().map(|f| (f.path.clone(), f.meta.mode, f.meta.mtime, f.data.clone())).collect();
    all.sort();
    all
}

#[test]
fn it_receives_what_the_sender_of_this_crate_sends() {
    for protocol in 27..=32 {
        for serves in [true, false] {
            // Below 30 all requests are written before an answer is read.
            for capacity in [if protocol < 30 { 2000 } else { 64 }, 100_000] {
                let mut store = RamStore::new();
                let (summary, big) =
                    between(protocol, (serves, false), capacity, &mut store, &source(), |_| ());
                assert_eq!((summary.failed, big), (0, Ok(ExitCode::OK)), "{protocol} serves={serves}");
                assert_eq!(stored(&store), plain(&source()), "{protocol} serves={serves}");
            }
        }
    }
}

#[test]
fn it_sends_what_the_receiver_of_this_crate_wants() {
    let mut store = RamStore::new();
    store.dir("d");
    store.dir("d/deep");
    store.file("edited", &noise(2, 6000), 1_500_000_000);
    store.file("noise", &noise(1, 9000), 1_500_000_000);
    store.file("d/inner", &noise(3, 1500), 1_500_000_000);
    store.file("empty", b"", 3);
    for protocol in 27..=32 {
        for serves in [true, false] {
            for (whole, start) in [(true, Fs::new()), (false, old()), (false, Fs::new())] {
                let fs = start.copied();
                let (summary, big) =
                    between(protocol, (serves, true), 256, &mut store.clone(), &fs, |setup| {
                        setup.options.transfer.whole_file = Some(whole);
                    });
                let what = format!("{protocol} serves={serves} whole={whole}");
                assert_eq!((summary.failed, big), (0, Ok(ExitCode::OK)), "{what}");
                let there = plain(&fs);
                for file in stored(&store) {
                    assert!(there.contains(&file), "{what}: {}", file.0.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn it_finds_the_blocks_that_the_receiver_has() {
    let old = noise(8, 30_000);
    let mut new = b"in front".to_vec();
    new.extend_from_slice(&old[..12_345]);
    new.extend_from_slice(&old[12_400..]);
    let mut store = RamStore::new();
    store.file("f", &new, 1_600_000_000);
    for protocol in 27..=32 {
        let fs = Fs::new();
        fs.put("f", file(old.clone()));
        let (summary, big) = between(protocol, (true, true), 1000, &mut store.clone(), &fs, |setup| {
            setup.options.transfer.whole_file = Some(false);
        });
        assert_eq!((big, summary.files), (Ok(ExitCode::OK), 1));
        assert_eq!(fs.all()[&b"f"[..]].0.data, new);
        // All blocks of 700 bytes but the one that lost something.
        assert_eq!(summary.matched, 30_000 - 700, "{protocol}");
    }
}
