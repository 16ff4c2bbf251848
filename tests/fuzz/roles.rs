//! Whole sessions against a peer that sends any bytes: the roles of core over a tree in memory.
//!
//! The first byte chooses options, the second the newest version; the rest is what the peer sends, as recorded in
//! `tests/vectors`. Whatever it is, the session must end, and nothing outside of the destination may change.

use std::{collections::BTreeMap, rc::Rc};

use arsync_core::{
    io::{WireReader, WireWriter, duplex},
    options::Compress,
    session::{Inbox, Outbox, Shared, SourceArgs, run_receiver, run_sender},
    setup::{Side, exchange},
};

use crate::{
    fake::{Dest, Fs, Node},
    session::{Door, Setup, Watch, all_capabilities, handshake, options_of, rules},
};

/// Targets by name, as [`arsync_core::fuzz::TARGETS`].
pub const TARGETS: [arsync_core::fuzz::Target; 3] = [
    ("receiver_client", |data| session(data, Side::Client, false)),
    ("receiver_server", |data| session(data, Side::Server, false)),
    ("sender_server", |data| session(data, Side::Server, true)),
];

fn node(mode: u32, data: &[u8]) -> Node {
    Node { mode, mtime: 1_600_000_000, data: data.to_vec(), ..Node::default() }
}

/// A tree with a source, a destination that has an older state of it, and something that is neither.
fn world() -> Fs {
    let fs = Fs::new();
    for dir in ["src", "src/d", "out", "out/d", "out/gone"] {
        fs.put(dir, node(0o040_755, b""));
    }
    fs.put("src/a", node(0o100_644, b"a small file"));
    fs.put("src/d/b", node(0o100_600, &[b'x'; 5000]));
    fs.put("out/a", node(0o100_644, b"an older file"));
    fs.put("out/d/b", node(0o100_600, &[b'y'; 5000]));
    fs.put("out/gone/c", node(0o100_644, b"c"));
    fs.put("secret", node(0o100_600, b"secret"));
    fs
}

/// Everything but the destination.
fn outside(fs: &Fs) -> BTreeMap<Vec<u8>, (Node, Vec<u8>)> {
    fs.all().into_iter().filter(|(path, _)| !path.is_empty() && !path.starts_with(b"out")).collect()
}

fn setup(choice: u8, version: u8, push: bool) -> Setup {
    let mut options = arsync_core::options::SessionOptions::default();
    let on = |bit: u8| choice >> bit & 1 != 0;
    let p = &mut options.preserve;
    (p.links, p.perms, p.times, p.devices, p.specials) = (true, true, true, true, true);
    (p.owner, p.group) = (true, true);
    (p.hard_links, p.xattrs, p.acls) = (u8::from(on(0)), u8::from(on(1)), on(2));
    (options.select.recursive, options.select.implied_dirs) = (true, true);
    options.select.checksum = on(3);
    if on(4) {
        options.delete.when = Some(arsync_core::options::DeleteWhen::During);
    }
    options.transfer.inplace = on(5);
    if on(6) {
        options.transfer.compress = Compress::Negotiate;
    }
    options.transfer.suffix = b"~".to_vec();
    Setup {
        protocol: 27 + version % 6,
        push,
        options,
        capabilities: all_capabilities(),
        args: vec![b"src/".to_vec()],
        names: None,
        capacity: usize::MAX,
        rules: Vec::new(),
        charsets: None,
    }
}

fn session(data: &[u8], side: Side, sender: bool) {
    let &[choice, version, ref stream @ ..] = data else { return };
    let setup = setup(choice, version, sender == (side == Side::Client));
    let options = options_of(&setup, sender);
    let (fs, watch) = (world(), Watch::default());
    let before = outside(&fs);
    let result = duplex::run(async {
        let mut r = WireReader::new(stream, Inbox::unattached());
        let mut w = WireWriter::new(Vec::new(), vec![0; 1024]);
        let agreed = exchange(&mut r, &mut w, &handshake(&setup, side)).await?;
        let shared = Shared::new(&options, agreed, &watch, side, Rc::new(Outbox::new()));
        let rules = rules(&setup, side);
        if sender {
            let args = SourceArgs { names: setup.args.clone(), base: None };
            run_sender(&shared, &fs, rules, &args, r, w).await
        } else {
            let dest = Dest::new(&fs, b"out");
            let door = Door { dest, single_name: None };
            run_receiver(&shared, &door, rules, None, r, w).await
        }
    });
    assert!(result.is_ok(), "nobody can move");
    assert_eq!(outside(&fs), before);
}
