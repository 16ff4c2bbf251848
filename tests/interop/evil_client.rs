//! Clients that say to a `--server` what no rsync says: scripted streams of protocol 31, of which each part is sent
//! when the server has answered the one before.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    details::BOTH,
    peers::{Outcome, Program, command, run_within},
};

/// No server may last longer.
const LIMIT: Duration = Duration::from_secs(20);

const DIR: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;
/// Ends a list, a phase, the session.
const END: &[u8] = b"\0";
/// The MD5 sum of `abc`.
const SUM: [u8; 16] =
    [0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0, 0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72];

/// The version.
fn hello() -> Vec<u8> {
    31u32.to_le_bytes().to_vec()
}

fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
    let header = (u32::from(tag) + 7) << 24 | u32::try_from(payload.len()).unwrap();
    [&header.to_le_bytes(), payload].concat()
}

fn data(parts: &[&[u8]]) -> Vec<u8> {
    frame(0, &parts.concat())
}

/// An entry without ids: flags 0x18, name, length, mtime 1, mode.
fn entry(name: &[u8], len: u8, mode: u32) -> Vec<u8> {
    let start = [0x18, u8::try_from(name.len()).unwrap()];
    [&start, name, &[0, len, 0, 0, 1, 0, 0], &mode.to_le_bytes()].concat()
}

fn link(name: &[u8], target: &[u8]) -> Vec<u8> {
    [&entry(name, 0, LINK)[..], &[u8::try_from(target.len()).unwrap()], target].concat()
}

/// The list of the root and these entries.
fn list(entries: &[&[u8]]) -> Vec<u8> {
    data(&[&entry(b".", 0, DIR), &entries.concat(), END])
}

/// `abc` for the entry that is so far behind the one before (the first is -1), with this sum.
fn abc(step: u8, sum: [u8; 16]) -> Vec<u8> {
    [&[step, 0, 0x80][..], &[0; 16], &[3, 0, 0, 0], b"abc", &[0; 4], &sum].concat()
}

/// What a sender says behind its last file.
fn ends() -> Vec<u8> {
    data(&[&[0; 5]])
}

/// A directory with `dst`, in which `secret` holds `old`, and `outside`, in which it holds `secret`.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("arsync-evil-").tempdir().unwrap();
        for (file, text) in [("dst/secret", "old"), ("outside/secret", "secret")] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Nothing but the secret is outside, as it was.
    fn is_untouched(&self) -> bool {
        let names: Vec<_> =
            fs::read_dir(self.path("outside")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names == ["secret"] && self.text("outside/secret").as_deref() == Some("secret")
    }

    /// Runs a server with these words behind `--server`. Each part is said when nothing more has come from the server for a
    /// while; `%` in a word is the directory.
    fn serve(&self, program: Program, words: &[&str], parts: &[Vec<u8>]) -> Outcome {
        for (number, part) in parts.iter().enumerate() {
            fs::write(self.path(&format!("part{number}")), part).unwrap();
        }
        let root = self.dir.path().to_str().unwrap();
        let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('%', root))).collect();
        let says: Vec<_> = (0..parts.len()).map(|number| format!("cat part{number}")).collect();
        // The code that matters is the server's.
        let line = format!(
            "{{ {}; }} | {{ '{}' --server {}; echo $? >code; }} >/dev/null",
            says.join("; sleep 0.2; "),
            program.path(),
            words.join(" ")
        );
        let mut outcome = run_within(command("sh", self.dir.path()).arg("-c").arg(line), LIMIT);
        outcome.code = outcome.code.and_then(|_| self.text("code")?.trim().parse().ok());
        outcome
    }
}

/// A symlink that the client sends takes the place of the directory for backups: what is replaced would go outside. The
/// reference puts it there.
#[test]
fn no_backup_goes_where_a_link_of_the_client_leads() {
    for (dir, is_there) in [("bk", false), ("bk", true), ("%/dst/bk", false), ("bk/deep", false)] {
        let place = Place::new();
        if is_there {
            fs::create_dir(place.path("dst/bk")).unwrap();
        }
        let words = ["-rlbte.LsfxC", "--force", "--backup-dir", dir, ".", "dst/"];
        let parts = [
            [hello(), list(&[&link(b"bk", b"../outside"), &entry(b"secret", 3, FILE)])].concat(),
            data(&[&abc(3, SUM)]),
            ends(),
        ];
        let out = place.serve(Program::Arsync, &words, &parts);
        assert_eq!(out.code, Some(11), "{dir}: {out:?}");
        assert!(out.stderr.contains("make_backup(secret) failed"), "{dir}: {out:?}");
        assert_eq!(place.text("dst/secret").as_deref(), Some("old"), "{dir}");
        assert_eq!(fs::read_link(place.path("dst/bk")).unwrap(), Path::new("../outside"));
        assert!(place.is_untouched(), "{dir}");
    }
}

/// What cannot be backed up is not replaced.
#[test]
fn a_backup_directory_that_is_a_link_to_nothing_ends_the_run() {
    for program in BOTH {
        let place = Place::new();
        symlink("outside/none", place.path("link")).unwrap();
        let words = ["-rlbte.LsfxC", "--backup-dir=%/link", ".", "dst/"];
        let parts = [[hello(), list(&[&entry(b"secret", 3, FILE)])].concat(), data(&[&abc(2, SUM)]), ends()];
        let out = place.serve(program, &words, &parts);
        assert_eq!(out.code, Some(11), "{program:?}: {out:?}");
        assert_eq!(place.text("dst/secret").as_deref(), Some("old"), "{program:?}");
        assert!(place.is_untouched(), "{program:?}");
    }
}

/// A symlink in the place of an absolute directory for partial files makes way for a directory, whoever made it.
#[test]
fn no_partial_file_goes_where_a_link_leads() {
    for program in BOTH {
        for (dir, made, entries) in [
            ("%/dst/.p", "dst/.p", vec![link(b".p", b"../outside")]),
            ("%/link", "link", vec![]),
            ("%/link/", "link", vec![]),
        ] {
            let place = Place::new();
            symlink("outside", place.path("link")).unwrap();
            let step = u8::try_from(entries.len()).unwrap() + 2;
            let mut all: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            let secret = entry(b"secret", 3, FILE);
            all.push(&secret);
            let words = ["-rlte.LsfxC", "--partial-dir", dir, ".", "dst/"];
            // The second time is the last.
            let again = [&[0xfe, 0, 0][..], &abc(0, [0; 16])[1..]].concat();
            let parts = [
                [hello(), list(&all)].concat(),
                data(&[&abc(step, [0; 16]), END]),
                data(&[&again]),
                data(&[&[0; 4]]),
            ];
            let out = place.serve(program, &words, &parts);
            let kept = place.text(&format!("{made}/secret"));
            assert_eq!(kept.as_deref(), Some("abc"), "{program:?} {dir}: {out:?}");
            assert!(fs::symlink_metadata(place.path(made)).unwrap().is_dir(), "{program:?} {dir}");
            assert_eq!(place.text("dst/secret").as_deref(), Some("old"), "{program:?} {dir}");
            assert!(place.is_untouched(), "{program:?} {dir}");
        }
    }
}

/// Names and kinds that a receiver does not take, and the code of both programs.
#[test]
fn lists_that_no_sender_makes() {
    let d = entry(b"d", 0, DIR);
    let cases: [(&str, Vec<u8>, i32); 14] = [
        ("above", entry(b"../outside/x", 3, FILE), 4),
        ("above, hidden", entry(b"d/../../outside/x", 3, FILE), 4),
        ("absolute", entry(b"/tmp/x", 3, FILE), 4),
        ("the root", entry(b".", 3, FILE), 2),
        ("above itself", entry(b"..", 3, FILE), 4),
        ("only slashes", entry(b"//", 3, FILE), 4),
        ("two slashes", entry(b"d//x", 3, FILE), 2),
        ("below nothing", entry(b"n/x", 3, FILE), 2),
        ("below a file", [entry(b"f", 3, FILE), entry(b"f/x", 3, FILE)].concat(), 2),
        ("below a link", [link(b"l", b"../outside"), entry(b"l/x", 3, FILE)].concat(), 2),
        ("no kind", entry(b"f", 3, 0), 2),
        ("every kind", entry(b"f", 3, 0o170_000), 2),
        ("an unknown kind", entry(b"f", 3, 0o130_644), 2),
        ("more than a mode", entry(b"f", 3, u32::MAX), 2),
    ];
    for program in BOTH {
        for (what, entries, code) in &cases {
            for letters in ["-rlte.LsfxC", "-rlKte.LsfxC"] {
                let place = Place::new();
                let all = [hello(), list(&[&d, entries]), data(&[&abc(4, SUM)]), ends()].concat();
                let out = place.serve(program, &[letters, ".", "dst/"], &[all]);
                assert_eq!(out.code, Some(*code), "{program:?} {letters} {what}: {out:?}");
                assert!(out.stderr.contains(&format!("(code {code})")), "{program:?} {what}: {out:?}");
                assert!(place.is_untouched(), "{program:?} {letters} {what}");
                assert_eq!(place.text("dst/secret").as_deref(), Some("old"), "{program:?} {what}");
                assert!(!place.path("dst/x").exists() && !place.path("dst/f/x").exists(), "{what}");
            }
        }
    }
}

/// Messages that a receiving server does not take from its client, and those that end the session.
#[test]
fn messages_that_no_sender_sends() {
    let int = |value: i32| value.to_le_bytes().to_vec();
    let invalid = |tag: u8, len: usize| format!("invalid multi-message {tag}:{len} [");
    let cases: [(u8, Vec<u8>, i32, String); 14] = [
        (100, int(1), 12, invalid(100, 4)),
        (101, b"x".to_vec(), 12, invalid(101, 1)),
        (102, b"ab".to_vec(), 12, invalid(102, 2)),
        (102, int(5), 2, "File-list index 5 not in ".into()),
        (102, int(-101), 2, "File-list index -101 not in ".into()),
        (33, int(1), 12, invalid(33, 4)),
        (22, b"abc".to_vec(), 12, invalid(22, 3)),
        (42, b"x".to_vec(), 12, invalid(42, 1)),
        (86, b"ab".to_vec(), 12, invalid(86, 2)),
        (86, int(23), 23, String::new()),
        (9, int(1), 12, invalid(9, 4)),
        (10, vec![0; 8], 12, invalid(10, 8)),
        (3, vec![b'a'; 5120], 12, "multiplexing overflow 3:5120".into()),
        (50, b"x".to_vec(), 12, "unexpected tag 50 [".into()),
    ];
    for program in BOTH {
        for (tag, payload, code, text) in &cases {
            let place = Place::new();
            let parts = [
                [hello(), list(&[&entry(b"f", 3, FILE)])].concat(),
                frame(*tag, payload),
                [data(&[&abc(2, SUM)]), ends()].concat(),
            ];
            let out = place.serve(program, &["-rlte.LsfxC", ".", "dst/"], &parts);
            let what = format!("{program:?} {tag} {}", payload[..payload.len().min(9)].escape_ascii());
            assert_eq!(out.code, Some(*code), "{what}: {out:?}");
            // What the reference says may go to its client instead.
            assert!(program == Program::Stock || out.stderr.contains(text), "{what}: {out:?}");
        }
    }
}

/// Terminals are not told what to do.
#[test]
fn texts_of_a_client_have_no_control_codes() {
    let place = Place::new();
    let parts = [
        [hello(), list(&[&entry(b"f", 3, FILE)])].concat(),
        frame(4, b"\x1b[31mred\x1b]0;title\x07\r\x9b\n"),
        [data(&[&abc(2, SUM)]), ends()].concat(),
    ];
    let out = place.serve(Program::Arsync, &["-rlte.LsfxC", ".", "dst/"], &parts);
    assert_eq!(out.stderr, "\\#033[31mred\\#033]0;title\\#007\\#015\\#233\n");
    assert_eq!(out.code, Some(0));
}

/// The reference ends with code 0 when a sender never sends what it was asked for, or leaves a file as it is whose sum
/// was wrong.
#[test]
fn a_sender_that_ends_without_a_file_is_no_success() {
    let wrong = data(&[&abc(2, [0; 16])]);
    for (letters, first, text) in [
        (&["-rlte.LsfxC"][..], Vec::new(), "old"),
        (&["-rlte.LsfxC"], wrong.clone(), "old"),
        (&["-rlte.LsfxC", "--inplace"], wrong, "abc"),
    ] {
        let place = Place::new();
        let words = [letters, &[".", "dst/"]].concat();
        let mut parts = vec![[hello(), list(&[&entry(b"secret", 3, FILE)])].concat(), first];
        parts.extend(vec![data(&[END]); 5]);
        let out = place.serve(Program::Arsync, &words, &parts);
        assert_eq!(
            (out.code, &*out.stderr),
            (Some(23), "ERROR: 1 requested file was not sent\n"),
            "{letters:?}"
        );
        assert_eq!(place.text("dst/secret").as_deref(), Some(text));
    }
}

/// A server that is watched while it gets as much as it takes.
struct Flood {
    child: Child,
    /// Its output where nobody reads it.
    _unread: Option<ChildStdout>,
}

/// How a flood ends.
#[derive(Debug)]
struct Drained {
    /// Bytes that were taken.
    taken: usize,
    /// Most memory that was resident, MiB.
    peak: usize,
    code: Option<i32>,
    elapsed: Duration,
}

impl Flood {
    /// `reads`: its output is read.
    fn new(place: &Place, words: &[&str], reads: bool) -> Self {
        let mut child = Command::new(Program::Arsync.path())
            .arg("--server")
            .args(words)
            .current_dir(place.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut unread = child.stdout.take();
        if let Some(mut out) = unread.take_if(|_| reads) {
            thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        }
        Self { child, _unread: unread }
    }

    fn peak(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.map_or(0, |peak| peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024)
    }

    /// Says the beginning, then the unit again and again, up to so many bytes.
    fn drain(mut self, begin: &[u8], unit: &[u8], total: usize) -> Drained {
        let start = Instant::now();
        let mut input = self.child.stdin.take().unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let (begin, many) = (begin.to_vec(), unit.repeat(65536 / unit.len() + 1));
        let counted = taken.clone();
        let writer = thread::spawn(move || {
            let mut fine = input.write_all(&begin).is_ok();
            while fine && counted.load(Ordering::Relaxed) < total {
                fine = input.write_all(&many).is_ok();
                counted.fetch_add(if fine { many.len() } else { 0 }, Ordering::Relaxed);
            }
        });
        let mut peak = 0;
        while start.elapsed() < LIMIT && self.child.try_wait().unwrap().is_none() && !writer.is_finished() {
            peak = peak.max(self.peak());
            thread::sleep(Duration::from_millis(5));
        }
        peak = peak.max(self.peak());
        while start.elapsed() < LIMIT && self.child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.try_wait().unwrap().and_then(|status| status.code());
        let _ = self.child.kill();
        let _ = self.child.wait();
        writer.join().unwrap();
        Drained { taken: taken.load(Ordering::Relaxed), peak, code, elapsed: start.elapsed() }
    }
}

/// Floods of valid and invalid messages, requests and data cost no memory that grows with them.
#[test]
fn floods_cost_no_memory() {
    const MANY: usize = 32 << 20;
    let one = 1i32.to_le_bytes();
    let receives = [hello(), list(&[&entry(b"f", 3, FILE)])].concat();
    let sends = [hello(), data(&[&[0; 4]])].concat();
    let (to, from) = (["-rlte.LsfxC", ".", "dst/"], ["--sender", "-rlte.LsfxC", ".", "dst/"]);
    let wrong = data(&[&[0xfe, 0, 0], &abc(0, [0; 16])[1..]]);
    for (what, words, begin, unit) in [
        ("nothing", &to[..], &receives, frame(42, b"")),
        ("empty data", &to, &receives, frame(0, b"")),
        ("texts", &to, &receives, frame(2, b"text\n")),
        ("wrong sums", &to, &[&receives[..], &data(&[&abc(2, [0; 16])])].concat(), wrong),
        ("successes", &from, &sends, frame(100, &one)),
        ("deletions", &from, &sends, frame(101, &[b'x'; 100])),
    ] {
        let place = Place::new();
        let total = if what == "wrong sums" { MANY / 16 } else { MANY };
        let flood = Flood::new(&place, words, true);
        let drained = flood.drain(begin, &unit, total);
        assert!(drained.taken >= total, "{what}: {drained:?}");
        assert!(drained.peak > 0 && drained.peak < 16, "{what}: {drained:?}");
        assert!(drained.code.is_some(), "{what}: {drained:?}");
        assert!(place.is_untouched(), "{what}");
    }
    // Of files that are gone or will not come, more than there are.
    let removes = ["--sender", "--remove-source-files", "-rlte.LsfxC", ".", "dst/"];
    for (words, begin, tag) in [(&removes[..], &sends, 100), (&to, &receives, 102)] {
        let place = Place::new();
        let drained = Flood::new(&place, words, true).drain(begin, &frame(tag, &one), MANY);
        assert_eq!(drained.code, Some(12), "{tag}: {drained:?}");
        assert!(drained.taken < MANY / 8, "{tag}: {drained:?}");
    }
}

/// A client that writes and does not read: requests and answers fill both directions, and then the time is up.
#[test]
fn a_client_that_does_not_read_is_waited_for_as_long_as_the_timeout() {
    let entries: Vec<Vec<u8>> = (0..60_000).map(|n| entry(format!("f{n:05}").as_bytes(), 3, FILE)).collect();
    let many: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let begin = [hello(), list(&many)].concat();
    let place = Place::new();
    let flood = Flood::new(&place, &["-rlte.LsfxC", "--timeout=1", ".", "dst/"], false);
    let drained = flood.drain(&begin, &data(&[&[0xfe, 0, 0], &abc(0, [0; 16])[1..]]), 1 << 30);
    assert_eq!(drained.code, Some(30), "{drained:?}");
    assert!(drained.elapsed < Duration::from_secs(10), "{drained:?}");

    let place = Place::new();
    fs::write(place.path("dst/large"), vec![7; 8 << 20]).unwrap();
    let request = data(&[&[2, 0, 0x80], &[0; 16]]);
    let again = data(&[&[0xfe, 0, 0, 0, 0x80], &[0; 16]]);
    let flood = Flood::new(&place, &["--sender", "-rlte.LsfxC", "--timeout=1", ".", "dst/"], false);
    let drained = flood.drain(&[hello(), data(&[&[0; 4]]), request].concat(), &again, 1 << 30);
    assert_eq!(drained.code, Some(30), "{drained:?}");
    assert!(drained.elapsed < Duration::from_secs(10), "{drained:?}");
}
