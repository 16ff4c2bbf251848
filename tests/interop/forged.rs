//! Senders that make up what they say: a pulling client ends with the code of stock rsync, and says the same.

use std::{fs, path::Path};

use crate::peers::{ARSYNC, command, run, script};

const FILE: u32 = 0o100_644;
const DIR: u32 = 0o040_755;
const LINK: u32 = 0o120_777;

/// Flags of an entry: no ids, and another byte of flags follows.
const IDS: u8 = 0x18;
const MORE: u8 = 4;

/// An entry of nine bytes and time 1: flags, name, length, time, mode.
fn entry(flags: &[u8], name: &[u8], mode: u32, rest: &[u8]) -> Vec<u8> {
    let name_len = [u8::try_from(name.len()).unwrap()];
    [flags, &name_len, name, &[0, 9, 0, 0, 1, 0, 0], &mode.to_le_bytes(), rest].concat()
}

fn root() -> Vec<u8> {
    entry(&[IDS | 1], b".", DIR, b"")
}

fn file(name: &[u8]) -> Vec<u8> {
    entry(&[IDS], name, FILE, b"")
}

/// A list of the root and these entries.
fn list(entries: &[Vec<u8>]) -> Vec<u8> {
    [&root()[..], &entries.concat(), &[0]].concat()
}

/// What is said of the file `f` of a list of the root and it: four words in front of its data.
fn head(words: [i32; 4]) -> Vec<u8> {
    [&list(&[file(b"f")])[..], &[2, 0, 0x80], &words.map(i32::to_le_bytes).concat()].concat()
}

/// A sender of protocol 32 without negotiation, which says this in one frame.
fn sender(dir: &Path, incremental: bool, data: &[u8]) -> String {
    let mut said = vec![32, 0, 0, 0, 0x2a | u8::from(incremental), 7, 0, 0, 0];
    said.extend_from_slice(&(7 << 24 | u32::try_from(data.len()).unwrap()).to_le_bytes());
    said.extend_from_slice(data);
    fs::write(dir.join("said"), said).unwrap();
    script(&dir.join("sender"), "cat \"${0%/*}/said\"\nexec cat >/dev/null").to_str().unwrap().to_owned()
}

/// Incremental recursion, what is said, options, the code, and the message.
type Forged<'a> = (bool, Vec<u8>, &'a str, i32, &'a str);

fn check(cases: &[Forged<'_>]) {
    let dir = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (incremental, data, options, code, message) in cases {
        for program in ["rsync", ARSYNC] {
            let shell = sender(dir.path(), *incremental, data);
            let mut words = vec!["-rlt", "-e", &shell];
            words.extend(options.split_whitespace());
            // Rules and what is asked for; what the client says otherwise is of no interest.
            words.extend(["h:d/", "out/"]);
            let out = run(command(program, dir.path()).args(&words));
            let first = out.stderr.lines().find(|line| line.contains(&message[..message.len().min(12)]));
            // The code of stock rsync is that of the process which ends first, and one of them only lost the others.
            let is_code =
                out.code == Some(*code) || program == "rsync" && matches!(out.code, Some(10 | 12 | 19));
            if !is_code || first.is_none_or(|line| !line.ends_with(message)) {
                faults.push(format!("{program} {incremental} {message:?} {code}: {out:?}"));
            }
            let _ = fs::remove_dir_all(dir.path().join("out"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn names_that_are_refused_are_told() {
    let name = |name: &[u8]| list(&[file(name)]);
    let later = |name: &[u8]| {
        [&list(&[entry(&[IDS], b"d", DIR, b"")])[..], &[0xff, 0x65], &file(name), &[0]].concat()
    };
    let root_file = [entry(&[IDS | 1], b".", FILE, b""), vec![0]].concat();
    check(&[
        (false, name(b"../x"), "", 4, "ABORTING due to unsafe pathname from sender: ../x"),
        (true, name(b"../x"), "", 4, "ABORTING due to unsafe pathname from sender: ../x"),
        (false, name(b"/x"), "", 4, "ABORTING due to unsafe pathname from sender: /x"),
        (true, name(b"../\x01\xff"), "", 4, r"ABORTING due to unsafe pathname from sender: ../\#001\#377"),
        (false, name(b"d/x"), "", 2, "ABORTING due to invalid path from sender: d/x"),
        (true, name(b"d/x"), "", 4, "ABORTING due to invalid path from sender: d/x"),
        (true, later(b"e/x"), "", 4, "ABORTING due to invalid path from sender: e/x"),
        (true, later(b"x"), "", 4, "ABORTING due to invalid path from sender: /x"),
        (false, name(b"foo"), "--exclude=foo", 4, "ERROR: rejecting excluded file-list name: foo"),
        (true, name(b"foo"), "--exclude=foo", 4, "ERROR: rejecting excluded file-list name: foo"),
        (false, name(b""), "", 4, "ERROR: rejecting unrequested file-list name: "),
        (false, root_file, "", 2, "ERROR: rejecting non-directory transfer-root entry: ."),
    ]);
}

#[test]
fn values_of_entries_that_are_refused() {
    let bad_mode = |mode| list(&[entry(&[IDS], b"f", mode, b"")]);
    let target = |len: &[u8]| list(&[entry(&[IDS], b"l", LINK, len)]);
    let group = list(&[[&[IDS | MORE, 2, 1, b'f', 5][..]].concat()]);
    let nanoseconds = [IDS | MORE, 0x20, 1, b'f', 0, 9, 0, 0, 1, 0, 0, 0xf0, 0xff, 0xff, 0xff, 0x7f];
    let far = "wire value modtime_nsec out of range: 2147483647 not in [0,999999999] [Receiver]";
    check(&[
        (false, bad_mode(0o170_644), "", 2, "invalid file mode 0170644 for f [Receiver]"),
        (true, bad_mode(0), "", 2, "invalid file mode 00 for f [Receiver]"),
        (false, target(&[0xf0, 0xff, 0xff, 0xff, 0xff]), "", 22, "overflow: linkname_len=-1"),
        (true, target(&[0xd0, 0, 0x10]), "", 22, "overflow: linkname_len=1052672"),
        (false, group.clone(), "-H", 2, "hard-link reference out of range: 5 (1)"),
        (true, group, "-H", 2, "hard-link reference out of range: 5 (2)"),
        (false, list(&[nanoseconds.to_vec()]), "", 2, far),
    ]);
}

/// A root with an empty record of an ACL or of attributes, and the file `f` with this one.
fn records(empty: &[u8], record: &[u8]) -> Vec<u8> {
    [entry(&[IDS | 1], b".", DIR, empty), entry(&[IDS], b"f", FILE, record), vec![0]].concat()
}

#[test]
fn acls_that_are_refused() {
    let acl = |record: &[u8]| records(&[0, 0, 0, 0], record);
    let minus_one = [0xf0, 0xff, 0xff, 0xff, 0xff];
    let count = "wire value ACL count out of range: -1 not in [0,65536] [Receiver]";
    check(&[
        (false, acl(&[5]), "-A", 12, "recv_acl_index: ACL_TYPE_ACCESS ACL index 5 > 1"),
        (false, acl(&minus_one), "-A", 12, "recv_acl_index: ACL_TYPE_ACCESS ACL index -1 > 1"),
        (false, acl(&[0, 1, 99]), "-A", 12, "recv_acl_access: value out of range: 63"),
        (false, acl(&[0, 0x10, 1, 5, 0x3f]), "-A", 12, "recv_acl_access: value out of range: f"),
        (false, acl(&[&[0, 0x10], &minus_one[..]].concat()), "-A", 2, count),
    ]);
}

#[test]
fn attributes_that_are_refused() {
    let attributes = |record: &[u8]| records(&[0, 0], record);
    let minus_one = [0xf0, 0xff, 0xff, 0xff, 0xff];
    let behind = |start: &[u8]| attributes(&[start, &minus_one].concat());
    let no_end = r"Invalid xattr name received (missing trailing \0).";
    let count = "wire value xattr count out of range: -1 not in [0,65536] [Receiver]";
    let name = "wire size xattr name_len out of range: 4097 > 4096 [Receiver]";
    let value = "wire size xattr datum_len out of range: -1 > 2147483647 [Receiver]";
    let long = "xattr datum_len exceeds per-value limit [Receiver]";
    check(&[
        (false, attributes(&[5]), "-X", 12, "receive_xattr: xa index 5 out of range for f"),
        (false, behind(&[0]), "-X", 2, count),
        (false, attributes(&[0, 1, 0, 3, b'a', b'b', b'c']), "-X", 11, no_end),
        (false, attributes(b"\0\x01\x06\x03user.aabc"), "-X", 11, no_end),
        (false, attributes(&[0, 1, 0x90, 1, 3]), "-X", 2, name),
        (false, behind(&[0, 1, 7]), "-X", 2, value),
        (false, attributes(&[0, 1, 7, 0xf0, 0xff, 0xff, 0xff, 0x7f]), "-X", 2, long),
    ]);
}

#[test]
fn blocks_of_compressed_data_that_are_refused() {
    let says = |bytes: &[u8]| [&head([0; 4])[..], bytes].concat();
    let none = "invalid token number in compressed stream";
    check(&[
        (false, says(&[0x80, 0]), "-z", 2, "Invalid block index 0 (count=0) [receiver]"),
        (false, says(&[0xc5, 2, 0, 0]), "-z", 2, "Invalid block index 5 (count=0) [receiver]"),
        (false, says(&[0x20, 7, 0, 0, 0]), "-z", 2, "Invalid block index 7 (count=0) [receiver]"),
        (false, says(&[0x20, 0xff, 0xff, 0xff, 0xff]), "-z", 2, none),
        (false, says(&[0x20, 0xff, 0xff, 0xff, 0x7f]), "-z", 2, none),
    ]);
}

#[test]
fn words_about_files_that_are_refused() {
    let token = |n: i32| [head([0; 4]), n.to_le_bytes().to_vec()].concat();
    let says = |bytes: &[u8]| [&list(&[file(b"f")])[..], bytes].concat();
    check(&[
        (false, head([-1, 700, 16, 0]), "", 2, "Invalid checksum count -1 [receiver]"),
        (false, head([1, -700, 16, 0]), "", 2, "Invalid block length -700 [receiver]"),
        (false, head([1, 1 << 20, 16, 0]), "", 2, "Invalid block length 1048576 [receiver]"),
        (false, head([3, 0, 16, 0]), "", 2, "Invalid zero block length [receiver]"),
        (false, head([1, 700, 99, 0]), "", 2, "Invalid checksum length 99 [receiver]"),
        (false, head([1, 700, 16, 800]), "", 2, "Invalid remainder length 800 [receiver]"),
        (false, token(-1), "", 2, "Invalid block index 0 (count=0) [receiver]"),
        (false, says(&[1, 0, 0x80]), "", 2, "received request to transfer non-regular file: 0 [receiver]"),
        (true, says(&[0xff, 0x65]), "", 2, "Invalid dir index: -102 (-101 - -101) [receiver]"),
        (
            false,
            says(&[2, 0, 0x98, 0x83, 3, b'a', b'b', b'c', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            "",
            2,
            "refusing malicious fuzzy operation for abc",
        ),
    ]);
}
