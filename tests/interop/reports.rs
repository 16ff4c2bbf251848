//! What scripts read: the lines about a tree with everything in it, byte for byte those of stock rsync.
//!
//! Left out are rates, process numbers, the moment of the run, and counts of bytes on the wire.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::{XattrFlags, setxattr};

use crate::{
    peers::{self, Outcome, Program},
    tree::{self, DATE, Tree, noise},
};

/// All escapes of a line of items whose values two runs share, but for those that `masked` takes out.
const EVERYTHING: &str = "--out-format=%i|%n|%L|%l|%M|%U|%G|%B|%C|%b|%c|%o|%f|%h|%p|%t|%u|%a|%m";
/// Places of `%b`, `%c`, `%p` and `%t` in it.
const VARYING: [usize; 4] = [9, 10, 14, 15];
/// How many there are.
const FIELDS: usize = 19;

/// The tree of the matrix, and what names and attributes it has none of: some 300 entries.
fn source(root: &Path) {
    tree::source(root);
    let t = Tree::new(root);
    for n in 0..120 {
        t.file_at(
            format!("many/{}/f{n:03}", n % 7),
            &noise(200 + n, n as usize * 37),
            DATE + 1000 * n as i64,
            n as i64,
        );
    }
    for name in [
        &b"\x01\x02\x7f"[..],
        b" leading",
        b"trailing ",
        b"%n %i",
        b"back\\#012x",
        b"\xc3\xa9\xff",
        b"\r",
        b"a, b",
    ] {
        t.file([b"odd/", name].concat(), name);
    }
    t.file_at("odd/1800", b"before all epochs", -5_364_662_400, 0);
    t.link("odd/link\nof lines", "target\nof lines");
    t.file("odd/sticky", b"");
    t.mode("odd/sticky", 0o7777);
    // Where the file system has none, neither program has anything to copy.
    let _ = setxattr(t.at("odd/sticky"), "user.note", b"value", XattrFlags::empty());
    let _ = setxattr(t.at("many"), "user.note", b"of a directory", XattrFlags::empty());
    t.close();
}

/// The older state of the matrix, with other things among what the source adds.
fn before(root: &Path) {
    tree::before(root);
    let t = Tree::new(root);
    for n in (0..120).step_by(3) {
        t.file_at(
            format!("many/{}/f{n:03}", n % 7),
            &noise(200 + n, n as usize * 37),
            DATE + 1000 * n as i64,
            0,
        );
    }
    for n in (0..120).step_by(9) {
        t.file(format!("many/{}/f{n:03}", n % 7), b"other");
    }
    for name in [&b"odd/\x03"[..], b"odd/new\nline", b"many/3/extra", b"odd/\xff"] {
        t.file(name, b"not in the source");
    }
    t.file("odd/sticky", b"");
    t.mode("odd/sticky", 0o600);
    t.close();
}

/// How the ends are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Local,
    Push,
    Pull,
}

struct Bench {
    dir: tempfile::TempDir,
    shell: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("arsync-reports-").tempdir().unwrap();
        source(&dir.path().join("src"));
        let shell = peers::fake_shell(dir.path());
        Self { dir, shell }
    }

    /// Runs in a directory of its own, with `dst` in it if something is to be there before.
    fn run(&self, words: &[&str], onto: bool, link: Link, client: Program, server: Program) -> Outcome {
        let side = tempfile::Builder::new().prefix("side-").tempdir_in(self.dir.path()).unwrap();
        let here = side.path().display().to_string();
        if onto {
            before(&side.path().join("dst"));
        }
        let mut line = peers::command(client.path(), side.path());
        line.args(words).arg("-e").arg(&self.shell).arg(format!("--rsync-path={}", server.path()));
        let source = format!("{}/src/", self.dir.path().display());
        let lists = words.contains(&"--list-only");
        match link {
            Link::Local => line.arg(source),
            Link::Push => line.args(["../src/".to_owned(), format!("h:{here}/dst/")]),
            Link::Pull => line.arg(format!("h:{source}")),
        };
        if link != Link::Push && !lists {
            line.arg("dst/");
        }
        let mut out = peers::run(&mut line);
        for text in [&mut out.stdout, &mut out.stderr] {
            *text = text.replace(&here, "SIDE");
        }
        out
    }
}

/// A number that differs from run to run, in front of `after`, is taken out.
fn masked(line: &str, words: &[&str]) -> String {
    let starts = |heads: &[&str]| heads.iter().any(|head| line.starts_with(head));
    if starts(&["Total bytes ", "File list ", "sent "]) {
        return line.split_once(':').map_or("sent", |(head, _)| head).to_owned();
    }
    if let Some((size, _)) = line.split_once("  speedup is ") {
        return size.to_owned();
    }
    if let Some((text, _)) = line.split_once(" at main.") {
        return text.to_owned();
    }
    let mut fields: Vec<_> = line.split('|').collect();
    if words.contains(&EVERYTHING) && fields.len() == FIELDS {
        for place in VARYING {
            fields[place] = "*";
        }
        return fields.join("|");
    }
    line.to_owned()
}

/// Lines of the process that decides. Those of the sender come from another one, in between as it happens.
fn is_message(line: &str) -> bool {
    const HEADS: [&str; 8] = [
        "deleting ",
        "*deleting ",
        "*deleting|",
        "could not make way ",
        "cannot delete ",
        "skipping non-regular ",
        "created directory ",
        "rsync: ",
    ];
    HEADS.iter().any(|head| line.starts_with(head))
}

/// What must be equal: messages, other lines, errors, and the code.
fn facts(out: &Outcome, words: &[&str]) -> (Vec<String>, Vec<String>, Vec<String>, Option<i32>) {
    let lines = |text: &str| text.lines().map(|line| masked(line, words)).collect::<Vec<_>>();
    let (messages, others) = lines(&out.stdout).into_iter().partition(|line| is_message(line));
    (messages, others, lines(&out.stderr), out.code)
}

fn first_difference(expected: &[String], got: &[String]) -> Option<String> {
    let at = (0..expected.len().max(got.len())).find(|&i| expected.get(i) != got.get(i))?;
    Some(format!("    line {at}: expected {:?}, got {:?}", expected.get(at), got.get(at)))
}

/// Runs the lines over all connections and pairs; panics with everything that differs.
fn check(link: Link, table: &[(&[&str], bool)]) {
    const PAIRS: [(Program, Program); 3] = [
        (Program::Arsync, Program::Arsync),
        (Program::Arsync, Program::Stock),
        (Program::Stock, Program::Arsync),
    ];
    let bench = Bench::new();
    let mut faults = Vec::new();
    for &(words, onto) in table {
        let expected = facts(&bench.run(words, onto, link, Program::Stock, Program::Stock), words);
        assert!(expected.1.len() > 10, "{words:?}: {expected:?}");
        for &(client, server) in if link == Link::Local { &PAIRS[..1] } else { &PAIRS[..] } {
            let got = facts(&bench.run(words, onto, link, client, server), words);
            let differing = [
                first_difference(&expected.0, &got.0),
                first_difference(&expected.1, &got.1),
                first_difference(&expected.2, &got.2),
                (expected.3 != got.3)
                    .then(|| format!("    code: expected {:?}, got {:?}", expected.3, got.3)),
            ];
            let differing: Vec<_> = differing.into_iter().flatten().collect();
            if !differing.is_empty() {
                faults.push(format!(
                    "  {client:?} client, {server:?} server: {words:?}\n{}",
                    differing.join("\n")
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{link:?}: {} differ\n{}", faults.len(), faults.join("\n"));
}

/// Transfers.
const TRANSFERS: &[(&[&str], bool)] = &[
    (&["-ai"], false),
    (&["-ai"], true),
    (&["-avn", "--delete"], true),
    (&["-av", "--delete", "--force"], true),
    (&["-a", "--stats", "-i", "--delete", "--force"], true),
    (&["-a", "--stats", "--no-h", "-i"], false),
    (&["-aHAX", "-ii"], true),
    (&["-aHAX", "-ii"], false),
    (&["-ai", "--no-inc-recursive", "--delete", "--force"], true),
    (&["-aH", "--delete", "--force", EVERYTHING], true),
    (&["-an", EVERYTHING], true),
    (&["-rltii", "--size-only"], true),
];

/// Listings; the destination is not looked at.
const LISTINGS: &[(&[&str], bool)] = &[
    (&["--list-only"], false),
    (&["-r", "--list-only"], false),
    (&["-a", "--list-only"], false),
    (&["-a", "--list-only", "--no-h"], false),
    (&["-aU", "-hh", "--list-only", "--exclude=names"], false),
    (&["-r", "--no-inc-recursive", "--list-only"], false),
];

#[test]
fn local_reports() {
    check(Link::Local, TRANSFERS);
    check(Link::Local, LISTINGS);
}

#[test]
fn push_reports() {
    check(Link::Push, TRANSFERS);
}

#[test]
fn pull_reports() {
    check(Link::Pull, TRANSFERS);
    check(Link::Pull, LISTINGS);
}

/// Directories that several arguments share, and such as stand alone.
#[test]
fn listings_of_several_arguments() {
    let bench = Bench::new();
    for words in [
        &["-r", "--list-only", "src/hard", "src/hard2/", "src/many"][..],
        &["-r", "--list-only", "src/hard/", "src/links/", "src/hard/"],
        &["-rR", "--list-only", "src/./many/3", "src/deep"],
        &["-rR", "--no-implied-dirs", "--list-only", "src/./many/3", "src/deep"],
        &["-rx", "--list-only", "src"],
        &["-rm", "--list-only", "src/dirs", "src/hard"],
        &["-rd", "--list-only", "src/text/short", "src/dirs/empty", "src/dirs"],
    ] {
        let [expected, got] = [Program::Stock, Program::Arsync].map(|program| {
            let out = peers::run(peers::command(program.path(), bench.dir.path()).args(words));
            (out.code, out.stdout, out.stderr)
        });
        assert_eq!(expected, got, "{words:?}");
        assert!(expected.1.lines().count() > 1, "{words:?}");
    }
}

/// The tables in which matches are searched differ, and so do the entries looked at.
fn without_hits(line: &str) -> String {
    let words = line.split(' ').filter(|word| !word.starts_with("hash_hits="));
    words.collect::<Vec<_>>().join(" ")
}

/// The lines of `--debug` about facts that both programs have, in the order of their sources.
#[test]
fn steps_are_those_of_the_reference() {
    const WORDS: &[&[&str]] = &[
        &["-a", "--debug=genr", "--delete"],
        &["-a", "--debug=send"],
        &["-a", "--debug=del3", "--delete", "--force"],
        &["-a", "--debug=time2"],
        &["-a", "--debug=proto,nstr2"],
        &["-az", "--zc=zlib", "--debug=nstr2"],
        &["-a", "--no-whole-file", "--debug=deltasum2"],
        &["-a", "--debug=flist3"],
        &["-a", "--debug=cmd2"],
        &["-a", "--debug=chdir"],
    ];
    // What describes the works of the reference alone (docs/COMPAT.md).
    let own_to_it = |line: &str| {
        const PARTS: [&str; 8] = [
            "FILE_STRUCT_LEN",
            "] expand ",
            "] flist start=",
            "] i=",
            "waiting on ",
            "[generator] receiving flist",
            "[generator] flist_eof",
            "[generator] make_file",
        ];
        PARTS.iter().any(|part| line.contains(part))
    };
    let bench = Bench::new();
    for words in WORDS {
        let steps = |client: Program| {
            let out = bench.run(words, true, Link::Push, client, Program::Stock);
            let mut lines: Vec<_> = out
                .stdout
                .lines()
                .filter(|line| !own_to_it(line))
                .map(without_hits)
                .map(|line| masked(&line, &[]))
                .collect();
            lines.retain(|line| !is_message(line));
            lines
        };
        let (expected, got) = (steps(Program::Stock), steps(Program::Arsync));
        assert_eq!(first_difference(&expected, &got), None, "push {words:?}");
        let pulled = |client: Program| {
            let out = bench.run(words, true, Link::Pull, client, Program::Stock);
            let mut lines: Vec<_> = out
                .stdout
                .lines()
                .filter(|line| !own_to_it(line) && !line.starts_with("generator starting"))
                .map(without_hits)
                .collect();
            // Two processes of the reference say these, in any order, and some of them both.
            lines.sort_unstable();
            lines.dedup();
            lines
        };
        assert_eq!(
            first_difference(&pulled(Program::Stock), &pulled(Program::Arsync)),
            None,
            "pull {words:?}"
        );
    }
}

/// A name that is no UTF-8 comes out of a listing as it goes into a script.
#[test]
fn raw_names_are_escaped_alike() {
    let bench = Bench::new();
    let raw = OsStr::from_bytes(b"\xff\xfe\x80raw");
    assert!(fs::exists(bench.dir.path().join("src/names").join(raw)).unwrap());
    for (words, shown) in [(&["-8"][..], "\u{fffd}\u{fffd}\u{fffd}raw"), (&[], "\\#377\\#376\\#200raw")] {
        let words = [words, &["-r", "--list-only", "src/names/"]].concat();
        let out = peers::run(peers::command(Program::Arsync.path(), bench.dir.path()).args(&words));
        assert!(out.stdout.contains(shown), "{words:?}: {}", out.stdout);
    }
}

/// What the destination of a local copy says on stderr comes from a process that does not know the terminal; other
/// lines, and those of the sender, are the client's.
#[test]
fn errors_of_a_local_destination_are_escaped_as_by_a_server() {
    for (words, shown, told) in [
        (&["-r"][..], "\\#303\\#251", "é"),
        (&["-r", "--protocol=29"], "\\#303\\#251", "é"),
        (&["-r", "-8"], "é", "é"),
        (&["-r", "--stderr=client"], "é", "é"),
    ] {
        for program in [Program::Stock, Program::Arsync] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            fs::create_dir_all(at("dst/é/in")).unwrap();
            fs::create_dir(at("src")).unwrap();
            fs::write(at("src/é"), "file").unwrap();
            let words = [words, &["src/", "è", "dst/"]].concat();
            let out = peers::run(peers::command(program.path(), dir.path()).args(&words));
            assert_eq!(out.code, Some(23), "{program:?} {words:?}: {out:?}");
            assert_eq!(
                out.stdout,
                format!("cannot delete non-empty directory: {told}\n"),
                "{program:?} {words:?}"
            );
            for line in [
                format!("could not make way for new regular file: {shown}\n"),
                format!(
                    "rsync: [sender] link_stat \"{}/è\" failed: No such file or directory (2)\n",
                    at("").display()
                ),
            ] {
                let line = line.replace("//", "/");
                assert!(out.stderr.contains(&line), "{program:?} {words:?}: {} without {line}", out.stderr);
            }
        }
    }
}
