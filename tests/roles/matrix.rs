//! Protocols, directions, options and pipe sizes.

use arsync_core::{
    checksum::ChecksumKind,
    exit::ExitCode,
    options::{AltDestKind, Append, Compress, DeleteWhen, RemoveSource, SessionOptions},
    setup::Capabilities,
    token::CompressKind,
};

use crate::{
    fake::{Dest, Fs, Node},
    session::{Door, Outcome, Setup, all_capabilities, run, run_alone, run_counted},
};

/// Pseudo-random bytes.
pub fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 11) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub fn file(data: Vec<u8>) -> Node {
    Node { mode: 0o100_644, mtime: 1_500_000_000, nsec: 5, data, ..Node::default() }
}

pub fn dir(mode: u32) -> Node {
    Node { mode: 0o040_000 | mode, mtime: 1_400_000_000, ..Node::default() }
}

/// A small tree with everything in it.
pub fn source() -> Fs {
    let fs = Fs::new();
    fs.put("empty-file", file(Vec::new()));
    fs.put("one", Node { uid: 1, gid: 2, ..file(b"1".to_vec()) });
    fs.put("text", Node { mode: 0o100_600, uid: 5000, ..file(b"All good people. ".repeat(300)) });
    fs.put("noise", file(noise(1, 9000)));
    fs.put("edited", file(noise(2, 6000)));
    fs.put(
        "link",
        Node { mode: 0o120_777, mtime: 1_300_000_000, target: b"d/inner".to_vec(), ..Node::default() },
    );
    fs.put("fifo", Node { mode: 0o010_644, mtime: 1_300_000_001, ..Node::default() });
    fs.put("null", Node { mode: 0o020_666, mtime: 1_300_000_002, rdev: (1, 3), ..Node::default() });
    fs.put("d", dir(0o750));
    fs.put("d/inner", Node { gid: 7, ..file(noise(3, 1500)) });
    fs.put("d/deep", dir(0o755));
    fs.put("d/deep/er", dir(0o700));
    fs.put("d/deep/er/grown", file(noise(4, 3000)));
    fs.put("e", dir(0o755));
    fs.put("f", dir(0o711));
    fs.put("f/\u{e9}\n", file(b"odd name".to_vec()));
    fs.link("d/hard", "one");
    fs.link("f/hard2", "one");
    fs.put("h1", file(noise(5, 2100)));
    fs.link("d/deep/h2", "h1");
    fs
}

/// An older state of the tree, with things that are not in the source.
pub fn old() -> Fs {
    let fs = Fs::new();
    let mut edited = noise(2, 6000);
    edited[3000] ^= 1;
    edited.drain(100..130);
    fs.put("edited", Node { mtime: 1_000_000_000, ..file(edited) });
    fs.put("noise", file(noise(1, 9000)));
    fs.put("text", Node { mtime: 1, ..file(b"All bad people. ".repeat(20)) });
    fs.put("one", Node { uid: 3, mtime: 7, ..file(b"2".to_vec()) });
    fs.put("d", dir(0o700));
    fs.put("d/deep", dir(0o755));
    fs.put("d/deep/er", dir(0o755));
    fs.put("d/deep/er/grown", file(noise(4, 1000)));
    fs.put("link", Node { mode: 0o120_777, target: b"elsewhere".to_vec(), ..Node::default() });
    fs.put("extra", file(b"extra".to_vec()));
    fs.put("d/extra", file(b"extra".to_vec()));
    fs.put("gone", dir(0o755));
    fs.put("gone/sub", dir(0o755));
    fs.put("gone/sub/x", file(b"x".to_vec()));
    fs.put("f", file(b"a file in the way of a directory".to_vec()));
    fs
}

/// `-a`
pub fn archive() -> SessionOptions {
    let mut o = SessionOptions::default();
    o.preserve.links = true;
    o.preserve.perms = true;
    o.preserve.times = true;
    o.preserve.owner = true;
    o.preserve.group = true;
    o.preserve.devices = true;
    o.preserve.specials = true;
    o.select.recursive = true;
    o.select.implied_dirs = true;
    o.transfer.suffix = b"~".to_vec();
    o
}

pub fn door(fs: &Fs) -> Door {
    Door { dest: Dest::new(fs, b""), single_name: None }
}

/// What the destination should be.
pub struct Want {
    /// Nothing that is not in the source may be left.
    pub exact: bool,
    pub links: bool,
    pub nsec: bool,
    /// Modification times are those of the source.
    pub times: bool,
}

/// The first difference between the trees.
pub fn difference(source: &Fs, dest: &Fs, want: &Want) -> Option<String> {
    let (source, dest) = (source.all(), dest.all());
    for (path, (node, leader)) in &source {
        let shown = path.escape_ascii();
        let Some((there, there_leader)) = dest.get(path) else { return Some(format!("{shown} is missing")) };
        let mut expected = node.clone();
        // Equal seconds are left alone.
        if !want.nsec && there.nsec != node.nsec {
            expected.nsec = 0;
        }
        if !want.times {
            (expected.mtime, expected.nsec) = (there.mtime, there.nsec);
        }
        expected.atime = there.atime;
        if expected != *there {
            let (a, b) = (expected.data.len(), there.data.len());
            let data = if expected.data == there.data { "same" } else { "other" };
            expected.data = Vec::new();
            let there = Node { data: Vec::new(), ..there.clone() };
            return Some(format!(
                "{shown}: {there:?} with {b} bytes, {data} data, not {expected:?} with {a}"
            ));
        }
        if want.links && leader != there_leader {
            return Some(format!("{shown} is linked with {}", there_leader.escape_ascii()));
        }
    }
    let extra = dest.keys().find(|path| want.exact && !source.contains_key(*path));
    extra.map(|path| format!("{} should not be there", path.escape_ascii()))
}

/// One row of the matrix.
struct Row {
    name: &'static str,
    options: SessionOptions,
    /// Starts from the older state.
    onto_old: bool,
    /// Files whose old version changes while they are received.
    decay: &'static [&'static str],
    exact: bool,
}

fn row(name: &'static str, onto_old: bool, change: impl FnOnce(&mut SessionOptions)) -> Row {
    let mut options = archive();
    change(&mut options);
    let exact = !onto_old || options.delete.when.is_some();
    Row { name, options, onto_old, decay: &[], exact }
}

fn delta(o: &mut SessionOptions) {
    o.select.ignore_times = true;
    o.transfer.whole_file = Some(false);
    // The old tree has a file in the way of a directory.
    o.delete.force = true;
}

fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("-a", false, |_| ()),
        row("-a onto old", true, |_| ()),
        row("-aH", false, |o| o.preserve.hard_links = 1),
        row("-aH onto old", true, |o| o.preserve.hard_links = 1),
        row("-a --no-inc-recursive", true, |o| o.no_inc_recursive = true),
        row("-aH --no-inc-recursive", true, |o| (o.preserve.hard_links, o.no_inc_recursive) = (1, true)),
        row("-ac", true, |o| o.select.checksum = true),
        row("-aI", true, delta),
        row("-aI --inplace", true, |o| {
            delta(o);
            o.transfer.inplace = true;
        }),
        row("-aI --partial-dir", true, |o| {
            delta(o);
            o.transfer.partial_dir = Some(b".~p~".to_vec());
        }),
        row("-aI --delay-updates", true, |o| {
            delta(o);
            o.transfer.delay_updates = true;
            o.transfer.partial_dir = Some(b".~tmp~".to_vec());
        }),
        row("-aI -B 300", true, |o| {
            delta(o);
            o.transfer.block_size = 300;
        }),
        row("-aI, sha1", true, |o| {
            delta(o);
            o.transfer.checksum_choice = Some((Some(ChecksumKind::Sha1), Some(ChecksumKind::Md4)));
        }),
        row("-a, none", true, |o| {
            o.transfer.checksum_choice = Some((Some(ChecksumKind::None), Some(ChecksumKind::Md5)));
            o.transfer.whole_file = Some(true);
        }),
        row("-a --append", true, |o| (o.transfer.append, o.transfer.inplace) = (Append::Trust, true)),
        row("-a --append-verify", true, |o| (o.transfer.append, o.transfer.inplace) = (Append::Verify, true)),
        row("-a --numeric-ids", true, |o| o.preserve.numeric_ids = true),
        row("-aU", true, |o| o.preserve.atimes = 1),
        row("-ab", true, |o| o.transfer.backup = true),
        row("-rt", true, |o| {
            *o = SessionOptions::default();
            (o.select.recursive, o.preserve.times, o.select.implied_dirs) = (true, true, true);
        }),
    ];
    for (name, kind) in [
        ("-aIz zlib", Some(CompressKind::Zlib)),
        ("-aIz zlibx", Some(CompressKind::Zlibx)),
        ("-aIz zstd", Some(CompressKind::Zstd)),
        ("-aIz lz4", Some(CompressKind::Lz4)),
        ("-aIz", None),
    ] {
        rows.push(row(name, true, |o| {
            delta(o);
            o.transfer.compress = kind.map_or(Compress::Negotiate, Compress::Explicit);
        }));
    }
    for (name, when) in [
        ("--delete", DeleteWhen::Default),
        ("--delete-before", DeleteWhen::Before),
        ("--delete-during", DeleteWhen::During),
        ("--delete-delay", DeleteWhen::Delay),
        ("--delete-after", DeleteWhen::After),
    ] {
        rows.push(row(name, true, |o| {
            o.delete.when = Some(when);
            o.report.items = true;
        }));
    }
    rows.push(row("--delete --delay-updates", true, |o| {
        o.delete.when = Some(DeleteWhen::Default);
        o.transfer.delay_updates = true;
        o.transfer.partial_dir = Some(b".~tmp~".to_vec());
    }));
    for (name, links, inc) in [
        ("redo", 0, true),
        ("redo --no-inc-recursive", 0, false),
        ("redo -H", 1, true),
        ("redo -H --no-inc-recursive", 1, false),
    ] {
        let mut r = row(name, true, |o| {
            delta(o);
            o.preserve.hard_links = links;
            o.no_inc_recursive = !inc;
        });
        r.decay = &["edited", "noise", "d/deep/er/grown"];
        rows.push(r);
    }
    rows
}

fn setup(protocol: u8, push: bool, options: SessionOptions, capacity: usize) -> Setup {
    Setup {
        protocol,
        push,
        options,
        capabilities: all_capabilities(),
        args: vec![b"./".to_vec()],
        names: None,
        capacity,
        rules: Vec::new(),
        charsets: None,
    }
}

/// Both ends agree that all is well.
pub fn expect_codes(outcome: &Outcome, code: ExitCode) -> Option<String> {
    let fine = |end: &Result<ExitCode, _>| matches!(end, Ok(c) if *c == code || *c == ExitCode::OK);
    let some = outcome.client.as_ref().ok() == Some(&code) || outcome.server.as_ref().ok() == Some(&code);
    if fine(&outcome.client) && fine(&outcome.server) && some {
        return None;
    }
    Some(format!(
        "client {:?}, server {:?}; {:?} {:?}",
        outcome.client,
        outcome.server,
        outcome.client_watch.notices.borrow(),
        outcome.server_watch.notices.borrow()
    ))
}

fn try_row(row: &Row, setup: &Setup) -> Option<String> {
    let source = source();
    let dest = if row.onto_old { old() } else { Fs::new() };
    for path in row.decay {
        dest.decay(path);
    }
    let mut door = door(&dest);
    door.dest.partial = row.options.transfer.partial_dir.clone();
    let outcome = match run(setup, &source, &door) {
        Ok(outcome) => outcome,
        Err(deadlock) => return Some(format!("{deadlock:?}")),
    };
    if let Some(fault) = expect_codes(&outcome, ExitCode::OK) {
        return Some(fault);
    }
    result_of(row, setup.protocol, &source, &dest)
}

/// What is wrong with the destination.
fn result_of(row: &Row, protocol: u8, source: &Fs, dest: &Fs) -> Option<String> {
    if row.name == "-rt" {
        let same = dest
            .get("noise")
            .zip(source.get("noise"))
            .is_some_and(|(a, b)| a.data == b.data && a.mtime == b.mtime);
        return (!same).then(|| "noise differs".to_owned());
    }
    let want = Want {
        exact: row.exact && !row.options.transfer.backup,
        links: row.options.preserve.hard_links > 0,
        nsec: protocol >= 31,
        times: true,
    };
    if row.options.transfer.append != Append::Off {
        // Files that are not longer than the old ones are left alone.
        let (there, from) = (dest.get("text")?.data, source.get("text")?.data);
        let old = old().get("text")?.data;
        let trusted = [&old[..], &from[old.len()..]].concat();
        let verified = row.options.transfer.append == Append::Verify || protocol < 30;
        let text = if verified { from } else { trusted };
        let grown = dest.get("d/deep/er/grown")
            == source
                .get("d/deep/er/grown")
                .map(|n| Node { nsec: if protocol < 31 { 0 } else { n.nsec }, ..n });
        return (!grown || there != text || dest.get("one") != self::old().get("one"))
            .then(|| "appended files differ".to_owned());
    }
    difference(source, dest, &want)
}

#[test]
fn every_combination_ends_and_leaves_equal_trees() {
    let mut faults = Vec::new();
    let mut runs = 0;
    for protocol in 27..=32 {
        for push in [true, false] {
            for row in rows() {
                for capacity in [1, 7, 4096, usize::MAX] {
                    runs += 1;
                    let setup = setup(protocol, push, row.options.clone(), capacity);
                    if let Some(fault) = try_row(&row, &setup) {
                        let way = if push { "push" } else { "pull" };
                        faults.push(format!("{} {way} p{protocol} capacity {capacity}: {fault}", row.name));
                    }
                }
            }
        }
    }
    println!("roles: {runs} runs, {} failed", faults.len());
    for fault in &faults {
        println!("{fault}");
    }
    assert!(faults.is_empty());
}

#[test]
fn copies_in_one_process_leave_equal_trees() {
    let mut faults = Vec::new();
    for row in rows() {
        // Nothing is decided from the protocol but what a modern peer has.
        let source = source();
        let dest = if row.onto_old { old() } else { Fs::new() };
        let mut door = door(&dest);
        door.dest.partial = row.options.transfer.partial_dir.clone();
        let fault = match run_alone(&setup(32, true, row.options.clone(), 0), &source, &door) {
            Ok(code) if code == ExitCode::OK => result_of(&row, 32, &source, &dest),
            other => Some(format!("{other:?}")),
        };
        faults.extend(fault.map(|fault| format!("{}: {fault}", row.name)));
    }
    assert_eq!(faults, [""; 0]);
}

/// More files than bases are open at once. Of each, the last of five blocks of 700 bytes is another one.
#[test]
fn within_one_process_blocks_are_counted_for_those_who_hear_of_them() {
    let tree = |last: u32| {
        let fs = Fs::new();
        for n in 0..150 {
            fs.put(format!("f{n}"), file([noise(n, 2800), noise(last + n, 700)].concat()));
        }
        fs
    };
    for (hears, inplace, literal) in
        [(true, false, 700), (true, true, 700), (false, true, 700), (false, false, 3500)]
    {
        let (source, dest) = (tree(1000), tree(5000));
        let mut options = archive();
        options.transfer.whole_file = Some(false);
        options.select.ignore_times = true;
        options.transfer.inplace = inplace;
        options.report.stats = hears;
        let (code, stats) = run_counted(&setup(32, true, options, 0), &source, &door(&dest)).unwrap();
        assert_eq!(code, ExitCode::OK);
        for n in 0..150 {
            let name = format!("f{n}");
            assert_eq!(dest.get(&name).map(|n| n.data), source.get(&name).map(|n| n.data));
        }
        let expected = (150 * literal, 150 * (3500 - literal));
        assert_eq!((stats.literal, stats.matched), expected, "hears {hears} in place {inplace}");
    }
}

#[test]
fn a_listing_names_everything_and_changes_nothing() {
    for protocol in 27..=32 {
        let (source, dest) = (source(), Fs::new());
        let mut options = archive();
        options.list_only = true;
        let outcome = run(&setup(protocol, false, options, 7), &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "p{protocol}");
        let mut listed = outcome.client_watch.listed.borrow().clone();
        listed.sort();
        let mut names: Vec<Vec<u8>> = source.all().into_keys().filter(|n| !n.is_empty()).collect();
        names.push(b".".to_vec());
        names.sort();
        assert_eq!(listed, names, "p{protocol}");
        assert_eq!(dest.all().len(), 1, "p{protocol}");
    }
}

#[test]
fn older_capabilities_are_understood() {
    let old = [
        Capabilities::empty(),
        Capabilities::INC_RECURSE | Capabilities::SYMLINK_TIMES,
        Capabilities::INC_RECURSE | Capabilities::SAFE_FLIST,
        all_capabilities() - Capabilities::VARINT_FLIST_FLAGS,
        all_capabilities() - Capabilities::ID0_NAMES,
        all_capabilities() - Capabilities::CHKSUM_SEED_FIX,
    ];
    for capabilities in old {
        for protocol in 30..=32 {
            for push in [true, false] {
                let row = row("-aIH", true, |o| {
                    delta(o);
                    o.preserve.hard_links = 1;
                });
                let mut setup = setup(protocol, push, row.options.clone(), 4096);
                setup.capabilities = capabilities;
                let fault = try_row(&row, &setup);
                assert!(fault.is_none(), "{capabilities:?} p{protocol} push {push}: {fault:?}");
            }
        }
    }
}

#[test]
fn nothing_changes_in_a_dry_run() {
    for protocol in 27..=32 {
        for push in [true, false] {
            for capacity in [1, 4096] {
                let (source, dest) = (source(), old());
                let before = dest.all();
                let mut options = archive();
                options.dry_run = true;
                options.delete.when = Some(DeleteWhen::Default);
                options.report.items = true;
                options.report.itemize = true;
                let outcome = run(&setup(protocol, push, options, capacity), &source, &door(&dest))
                    .expect("no deadlock");
                assert_eq!(expect_codes(&outcome, ExitCode::OK), None);
                assert_eq!(dest.all(), before, "p{protocol} push {push}");
                let items = outcome.client_watch.items.borrow();
                assert!(items.iter().any(|(name, _)| name == b"text"), "p{protocol} push {push}: {items:?}");
            }
        }
    }
}

#[test]
fn sent_files_are_removed_from_the_source() {
    for protocol in 27..=32 {
        for push in [true, false] {
            for capacity in [1, 7, usize::MAX] {
                let (source, dest) = (source(), old());
                let whole = source.copied();
                let mut options = archive();
                options.transfer.remove_source = Some(RemoveSource::All);
                let outcome = run(&setup(protocol, push, options, capacity), &source, &door(&dest))
                    .unwrap_or_else(|e| panic!("p{protocol} push {push} capacity {capacity}: {e:?}"));
                assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "p{protocol} push {push}");
                let want = Want { exact: false, links: false, nsec: protocol >= 31, times: true };
                assert_eq!(difference(&whole, &dest, &want), None, "p{protocol} push {push}");
                let left: Vec<_> =
                    source.all().into_iter().filter(|(_, (n, _))| n.mode >> 12 != 0o4).collect();
                assert!(left.is_empty(), "p{protocol} push {push}: {left:?}");
            }
        }
    }
}

#[test]
fn names_of_a_list_travel_to_the_sender() {
    for protocol in 27..=32 {
        for push in [true, false] {
            for capacity in [1, 7, usize::MAX] {
                let (source, dest) = (source(), Fs::new());
                let mut options = archive();
                options.select.recursive = false;
                options.select.dirs = true;
                options.select.relative = true;
                let mut setup = setup(protocol, push, options, capacity);
                setup.args = vec![b"./".to_vec()];
                setup.names = Some(vec![b"one".to_vec(), b"d/deep/er/grown".to_vec(), b"e".to_vec()]);
                let outcome = run(&setup, &source, &door(&dest)).expect("no deadlock");
                assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "p{protocol} push {push}");
                let mut names: Vec<Vec<u8>> = dest.all().into_keys().collect();
                names.retain(|n| !n.is_empty());
                let want = ["d", "d/deep", "d/deep/er", "d/deep/er/grown", "e", "one"]
                    .map(|n| n.as_bytes().to_vec());
                assert_eq!(names, want, "p{protocol} push {push}");
            }
        }
    }
}

#[test]
fn arguments_under_relative_bring_their_parents() {
    for protocol in 27..=32 {
        for push in [true, false] {
            let (source, dest) = (source(), Fs::new());
            let mut options = archive();
            options.select.relative = true;
            let mut setup = setup(protocol, push, options, 4096);
            setup.args = vec![b"d/deep/er".to_vec(), b"f/./hard2".to_vec()];
            let outcome = run(&setup, &source, &door(&dest)).expect("no deadlock");
            assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "p{protocol} push {push}");
            let names: Vec<Vec<u8>> = dest.all().into_keys().collect();
            let want =
                ["", "d", "d/deep", "d/deep/er", "d/deep/er/grown", "hard2"].map(|n| n.as_bytes().to_vec());
            assert_eq!(names, want, "p{protocol} push {push}");
            assert_eq!(dest.get("d").map(|n| n.mode), Some(0o040_750), "p{protocol} push {push}");
        }
    }
}

#[test]
fn files_of_other_directories_serve_as_they_are_asked() {
    for protocol in 27..=32 {
        for push in [true, false] {
            for kind in [AltDestKind::Copy, AltDestKind::Link, AltDestKind::Compare] {
                let (source, dest) = (source(), Fs::new());
                dest.put("out", dir(0o755));
                dest.put("alt", dir(0o755));
                for (path, (node, _)) in source.all() {
                    if !path.is_empty() {
                        dest.put(format!("alt/{}", String::from_utf8(path).expect("text")), node);
                    }
                }
                dest.change("alt/edited", |n| (n.data[7], n.mtime) = (0, 5));
                let mut options = archive();
                options.transfer.alt_dest_kind = Some(kind);
                options.transfer.whole_file = Some(false);
                options.transfer.alt_dests = vec![b"../alt".to_vec()];
                let mut door = door(&dest);
                door.dest.root = b"out".to_vec();
                door.dest.alts = vec![b"../alt".to_vec()];
                let outcome =
                    run(&setup(protocol, push, options, 4096), &source, &door).expect("no deadlock");
                assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "{kind:?} p{protocol} push {push}");
                assert_eq!(dest.get("out/edited").map(|n| n.data), source.get("edited").map(|n| n.data));
                let notices = [outcome.client_watch.notices.borrow(), outcome.server_watch.notices.borrow()];
                let again = notices.iter().any(|n| n.iter().any(|n| n.contains("FailedVerification")));
                assert!(!again, "{kind:?} p{protocol} push {push}: a second attempt was needed");
                let noise = dest.get("out/noise");
                if kind == AltDestKind::Compare {
                    assert_eq!(noise, None);
                } else {
                    assert_eq!(
                        noise.map(|n| n.data),
                        source.get("noise").map(|n| n.data),
                        "{kind:?} p{protocol}"
                    );
                }
            }
        }
    }
}

#[test]
fn similar_names_serve_as_a_basis() {
    for protocol in 29..=32 {
        for push in [true, false] {
            let (source, dest) = (source(), Fs::new());
            dest.put("noise-old", file(noise(1, 8800)));
            let mut options = archive();
            options.transfer.fuzzy = 1;
            options.transfer.whole_file = Some(false);
            let outcome =
                run(&setup(protocol, push, options, 4096), &source, &door(&dest)).expect("no deadlock");
            assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "p{protocol} push {push}");
            assert_eq!(dest.get("noise").map(|n| n.data), source.get("noise").map(|n| n.data));
            let stats = if push { outcome.client_stats } else { outcome.server_stats };
            assert!(stats.matched > 8000, "p{protocol} push {push}: {} bytes matched", stats.matched);
        }
    }
}

#[test]
fn backups_keep_the_old_content() {
    for protocol in 27..=32 {
        for push in [true, false] {
            for (inplace, delayed) in [(false, false), (true, false), (false, true)] {
                let (source, dest) = (source(), old());
                let mut options = archive();
                options.transfer.backup = true;
                options.transfer.inplace = inplace;
                options.transfer.whole_file = Some(false);
                options.transfer.delay_updates = delayed;
                options.transfer.partial_dir = delayed.then(|| b".~tmp~".to_vec());
                let mut door = door(&dest);
                door.dest.partial = options.transfer.partial_dir.clone();
                let outcome =
                    run(&setup(protocol, push, options, 4096), &source, &door).expect("no deadlock");
                let what = format!("p{protocol} push {push} inplace {inplace} delayed {delayed}");
                assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "{what}");
                let same =
                    |a: &Fs, name, b: &Fs| a.get(name).map(|n| n.data) == b.get("edited").map(|n| n.data);
                assert!(same(&dest, "edited", &source), "{what}: the new file");
                assert!(same(&dest, "edited~", &old()), "{what}: the backup");
                let again = outcome
                    .client_watch
                    .notices
                    .borrow()
                    .iter()
                    .any(|n| n.contains("FailedVerification"))
                    || outcome.server_watch.notices.borrow().iter().any(|n| n.contains("FailedVerification"));
                assert!(!again, "{what}: a second attempt was needed");
            }
        }
    }
}

#[test]
fn many_lists_run_ahead_of_the_requests() {
    let source = Fs::new();
    for d in 0..40 {
        source.put(format!("d{d}"), dir(0o755));
        for f in 0..60 {
            source.put(format!("d{d}/f{f}"), file(noise(d * 100 + f, 20)));
        }
        source.link(&format!("d{d}/same"), "d0/f0");
    }
    for protocol in [29, 30, 32] {
        for push in [true, false] {
            for links in [0, 1] {
                for capacity in [7, usize::MAX] {
                    let dest = Fs::new();
                    let mut options = archive();
                    options.preserve.hard_links = links;
                    let outcome = run(&setup(protocol, push, options, capacity), &source, &door(&dest))
                        .expect("no deadlock");
                    assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "p{protocol} push {push}");
                    let want = Want { exact: true, links: links > 0, nsec: protocol >= 31, times: true };
                    assert_eq!(difference(&source, &dest, &want), None, "p{protocol} push {push}");
                }
            }
        }
    }
}

#[test]
fn rules_keep_names_out_and_protect_them() {
    for protocol in 27..=32 {
        for push in [true, false] {
            let (source, dest) = (source(), old());
            let mut options = archive();
            options.delete.when = Some(DeleteWhen::Default);
            let mut setup = setup(protocol, push, options, 7);
            setup.rules = vec![b"- extra".to_vec(), b"- /d/deep".to_vec()];
            let outcome = run(&setup, &source, &door(&dest)).expect("no deadlock");
            assert_eq!(expect_codes(&outcome, ExitCode::OK), None, "p{protocol} push {push}");
            assert!(dest.get("extra").is_some() && dest.get("d/extra").is_some());
            assert_eq!(dest.get("d/deep/er/grown").map(|n| n.data.len()), Some(1000));
            assert!(dest.get("gone").is_none() && dest.get("noise").is_some());
        }
    }
}
