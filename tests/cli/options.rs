//! Each option is tried: what it tells a server, what it leaves behind or says, and how a bad value is refused. The cases
//! stand in `options.txt`; the table of the program says which there must be.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
};

use crate::{
    ARSYNC,
    compat::{Row, rows},
    run_as, run_with,
};

const CASES: &str = include_str!("options.txt");

/// The lines of one kind, in their columns.
fn cases(kind: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    CASES.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix(": ")).map(|line| {
        let columns: Vec<_> = line.split(" | ").collect();
        assert_eq!(columns.len(), 3, "{line}");
        columns
    })
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the cases find: a source, a copy of its large file, lists, remote shells, and a daemon that only greets.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["src/sub", "old", "odd"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    for (name, content) in [
        ("src/file", "content"),
        ("src/note.o", "o"),
        ("src/x.tmp", "t"),
        ("src/sub/inner", "i"),
        ("src/.rsync-filter", "- *.tmp\n"),
        ("list", "file\n"),
        ("rules", "*.o\n"),
    ] {
        fs::write(at(name), content).unwrap();
    }
    let large: Vec<u8> = (0..1_234_567u32).map(|i| ((i * 7 + i / 256 * 13) % 251) as u8).collect();
    fs::write(at("src/big"), &large).unwrap();
    fs::write(at("old/big"), &large).unwrap();
    fs::write(at("odd").join(std::ffi::OsStr::from_bytes(b"raw\xff")), "x").unwrap();
    symlink("outside", at("src/link")).unwrap();
    symlink("/rsyncd-munged/real", at("src/munged")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("src/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    for name in ["rec", "ssh"] {
        script(&at(name), "for word; do printf '%s\\n' \"$word\"; done > argv");
    }
    script(&at("sh"), "shift\nexec /bin/sh -c \"$*\"");
    let greeting = "@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\\nWelcome text\\n@RSYNCD: EXIT\\n";
    script(&at("daemon"), &format!("printf '{greeting}'\ncat > /dev/null"));
    dir
}

/// What a server is told; `None`: it was not started.
fn told(words: &[&str], operands: [&str; 2]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("list"), "file\n").unwrap();
    script(&dir.path().join("rec"), "shift 3\nfor word; do printf '%s\\n' \"$word\"; done > argv");
    let words = [words, &["-e", "./rec"], &operands].concat();
    run_as(ARSYNC, dir.path(), &words);
    let argv = fs::read_to_string(dir.path().join("argv")).ok()?;
    Some(argv.lines().collect::<Vec<_>>().join("·"))
}

const PUSH: [&str; 2] = ["src/", "h:d"];
const PULL: [&str; 2] = ["h:s", "d"];

#[test]
fn servers_are_told_what_those_of_rsync_are() {
    let mut faults = Vec::new();
    for columns in cases("wire") {
        let words: Vec<_> = columns[0].split('·').collect();
        let got = [told(&words, PUSH), told(&words, PULL)].map(|told| told.unwrap_or("-".into()));
        if got != columns[1..] {
            faults.push(format!("{words:?}\n  expected {:?}\n  got      {got:?}", &columns[1..]));
        }
        // It is this option that makes the difference.
        let without = &words[..words.len() - 1];
        let others = [told(without, PUSH), told(without, PULL)].map(|told| told.unwrap_or("-".into()));
        if others == columns[1..] {
            faults.push(format!("{words:?} says the same without its last word"));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// A letter is its option.
#[test]
fn letters_say_what_names_say() {
    let rows = rows();
    let mut tried = 0;
    for columns in cases("wire") {
        let mut words: Vec<_> = columns[0].split('·').collect();
        let last = words.pop().unwrap();
        let Some(long) = last.strip_prefix("--") else { continue };
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let Some(letter) = rows.iter().find(|row| row.long == name).and_then(|row| row.short) else {
            continue;
        };
        let letter = format!("-{letter}");
        words.push(&letter);
        words.extend(value);
        let got = [told(&words, PUSH), told(&words, PULL)].map(|told| told.unwrap_or("-".into()));
        assert_eq!(got, columns[1..], "{words:?}");
        tried += 1;
    }
    assert!(tried > 30, "{tried} letters");
}

/// Whether one fact holds after a run; `Err` says what is found instead.
fn holds(dir: &Path, fact: &str, (code, out, err): &(i32, String, String)) -> Result<(), String> {
    let (kind, value) = fact.split_once(':').unwrap();
    let (path, wanted) = value.split_once('=').unwrap_or((value, ""));
    let text = || fs::read_to_string(dir.join(path)).unwrap_or_default();
    let found = match kind {
        "out" => return if out.contains(value) { Ok(()) } else { Err(format!("stdout {out:?}")) },
        "not" => return if out.contains(value) { Err(format!("stdout {out:?}")) } else { Ok(()) },
        "err" => return if err.contains(value) { Ok(()) } else { Err(format!("stderr {err:?}")) },
        "code" => return if value == code.to_string() { Ok(()) } else { Err(format!("code {code}, {err}")) },
        "has" => fs::symlink_metadata(dir.join(value)).is_ok(),
        "lacks" => fs::symlink_metadata(dir.join(value)).is_err(),
        "mode" => {
            let mode = fs::metadata(dir.join(path)).map(|m| m.permissions().mode() & 0o7777);
            mode.is_ok_and(|mode| format!("{mode:04o}") == wanted)
        }
        "link" => fs::read_link(dir.join(path)).is_ok_and(|target| target == Path::new(wanted)),
        "text" => text().contains(wanted),
        "line" => text().lines().any(|line| line == wanted),
        other => panic!("no such fact: {other}"),
    };
    if found { Ok(()) } else { Err("not so".into()) }
}

/// `KIND:VALUE KIND:VALUE …`; values may hold blanks.
fn facts(text: &str) -> Vec<String> {
    const KINDS: [&str; 10] = ["out", "not", "err", "code", "has", "lacks", "mode", "link", "text", "line"];
    let mut found: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let begins = word.split_once(':').is_some_and(|(kind, _)| KINDS.contains(&kind));
        match found.last_mut() {
            Some(last) if !begins => {
                last.push(' ');
                last.push_str(word);
            }
            _ => found.push(word.to_owned()),
        }
    }
    found
}

#[test]
fn options_do_what_they_are_for() {
    let mut faults = Vec::new();
    for columns in cases("run") {
        let dir = bench();
        let place = dir.path().to_str().unwrap();
        let mut outcome = (0, String::new(), String::new());
        for line in columns[1].split(" && ") {
            let word = |w: &str| match w {
                // The one word with a character that stands for a blank elsewhere.
                "--sockopts=NO_SUCH" => w.to_owned(),
                _ => w.replace('_', " ").replace("DIR", place).replace("SELF", ARSYNC),
            };
            let words: Vec<_> = line.split(' ').map(word).collect();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let greets = line.contains("rsync://host");
            outcome = run_with(dir.path(), &words, greets.then_some(("RSYNC_CONNECT_PROG", "./daemon")));
        }
        for fact in facts(columns[2]) {
            if let Err(instead) = holds(dir.path(), &fact, &outcome) {
                faults.push(format!("{}\n  {fact}: {instead}", columns[1]));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Code and first line, without the place in the program; of what rsync 3.5.0 says, and of what is installed.
#[test]
fn bad_values_are_refused_as_by_rsync() {
    let mut faults = Vec::new();
    for columns in cases("bad") {
        for program in [ARSYNC, "rsync"] {
            let dir = bench();
            let words: Vec<_> = ["-a"].into_iter().chain(columns[0].split(' ')).collect();
            let output = run_as(program, dir.path(), &words);
            let err = String::from_utf8_lossy(&output.stderr).replace(dir.path().to_str().unwrap(), "DIR");
            let first = err.lines().next().unwrap_or_default();
            let first = first.split(" at main.").next().unwrap_or_default();
            let code = output.status.code().unwrap_or(-1).to_string();
            if [code.as_str(), first] != columns[1..] {
                faults.push(format!(
                    "{program}: {}\n  expected {:?}\n  got {code} {first:?}",
                    columns[0],
                    &columns[1..]
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// An option at the end of the line that lacks its value is named; nothing is done.
#[test]
fn missing_values_are_named() {
    let dir = bench();
    let mut tried = 0;
    for row in rows().iter().filter(|row| row.takes_value) {
        let spellings =
            [(!row.long.is_empty()).then(|| format!("--{}", row.long)), row.short.map(|c| format!("-{c}"))];
        for spelling in spellings.into_iter().flatten() {
            let (code, out, err) = run_with(dir.path(), &["src/", "dst", &spelling], None);
            let expected = format!("rsync: {spelling}: missing argument");
            // Those of a daemon's table are read by it, where the others are unknown.
            let daemon = ["config", "dparam"].contains(&row.long.as_str());
            if !daemon {
                assert_eq!((code, out.as_str(), err.lines().next()), (1, "", Some(expected.as_str())));
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "{tried} spellings");
    assert!(!dir.path().join("dst").exists());
}

/// The table of the program names the cases that there must be: a new spelling without one fails here.
#[test]
fn every_spelling_has_a_case() {
    let mut tried = BTreeSet::new();
    for columns in cases("wire") {
        let last = columns[0].rsplit('·').next().unwrap();
        tried.insert(last.split('=').next().unwrap().to_owned());
    }
    tried.extend(cases("run").map(|columns| columns[0].to_owned()));
    let spelling = |row: &Row| match row.short {
        Some(letter) if row.long.is_empty() => format!("-{letter}"),
        _ => format!("--{}", row.long),
    };
    let rows = rows();
    let missing: Vec<_> = rows.iter().map(spelling).filter(|name| !tried.contains(name)).collect();
    assert!(missing.is_empty(), "no case in tests/cli/options.txt: {missing:?}");
    let known: BTreeSet<_> =
        rows.iter().map(spelling).chain(rows.iter().filter_map(|r| Some(format!("-{}", r.short?)))).collect();
    let unknown: Vec<_> = tried.difference(&known).collect();
    assert!(unknown.is_empty(), "cases of what is no option: {unknown:?}");
}
