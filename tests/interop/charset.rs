//! Names that are converted (`--iconv`): the same result as between two stock programs, in every pairing.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::peers::{self, Outcome, Program};

/// A charset in which Cyrillic letters have another order than in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Koi8,
}
use Charset::{Koi8, Utf8};

impl Charset {
    const fn name(self) -> &'static str {
        match self {
            Utf8 => "utf-8",
            Koi8 => "koi8-r",
        }
    }

    fn encode(self, name: &str) -> Vec<u8> {
        if self == Utf8 {
            return name.into();
        }
        let byte = |c| match c {
            'ю' => 0xc0,
            'а' => 0xc1,
            'б' => 0xc2,
            'ц' => 0xc3,
            'г' => 0xc7,
            'я' => 0xd1,
            'в' => 0xd7,
            c => u8::try_from(c).unwrap(),
        };
        name.chars().map(byte).collect()
    }

    fn path(self, dir: &Path, name: &str) -> PathBuf {
        dir.join(OsStr::from_bytes(&self.encode(name)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Local,
    Push,
    Pull,
}
use Direction::{Local, Pull, Push};

/// A source in a charset, whose order in the file system is neither that of UTF-8 nor that of KOI8-R.
fn source(dir: &Path, charset: Charset) {
    let at = |name: &str| charset.path(dir, name);
    fs::create_dir(dir).unwrap();
    for (number, name) in ["в", "ю", "z", "а", "я", "ц.txt"].iter().enumerate() {
        fs::write(at(name), format!("{number}\n")).unwrap();
    }
    for top in ["ю_", "в_", "а_", "e", "г_"] {
        fs::create_dir(at(top)).unwrap();
        for inner in ["я", "ю", "б", "m"] {
            let dir = format!("{top}/{inner}");
            fs::create_dir(at(&dir)).unwrap();
            for file in ["ц", "а"] {
                fs::write(at(&format!("{dir}/{file}")), format!("{dir}/{file}\n")).unwrap();
            }
        }
    }
    std::os::unix::fs::symlink(OsStr::from_bytes(&charset.encode("юа")), at("цв")).unwrap();
    fs::hard_link(at("в"), at("а_/бб")).unwrap();
    let status =
        Command::new("find").arg(dir).args(["-exec", "touch", "-hd", "2020-02-02", "{}", "+"]).status();
    assert!(status.unwrap().success());
}

/// Content, target or nothing, and the number of links, by path.
type Tree = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

/// Everything below a directory.
fn tree(root: &Path) -> Tree {
    fn walk(root: &Path, dir: &Path, out: &mut Tree) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let links = std::os::unix::fs::MetadataExt::nlink(&meta);
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let data = if meta.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_vec()
            } else if meta.is_dir() {
                walk(root, &path, out);
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            out.insert(name, (data, if meta.is_dir() { 0 } else { links }));
        }
    }
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}

/// What a run is made of.
struct Case<'a> {
    direction: Direction,
    sender: Charset,
    receiver: Charset,
    words: &'a [&'a str],
    /// The source argument below the working directory.
    source: &'a [u8],
    /// Changes the source and the destination before the run.
    prepare: &'a dyn Fn(&Path),
}

impl<'a> Case<'a> {
    fn new(direction: Direction, sender: Charset, receiver: Charset, words: &'a [&'a str]) -> Self {
        Self { direction, sender, receiver, words, source: b"src/", prepare: &|_| () }
    }

    /// Runs it in a new directory; the result, and what is at the destination.
    fn run(&self, client: Program, server: Program) -> (Outcome, Tree) {
        let dir = tempfile::tempdir().unwrap();
        source(&dir.path().join("src"), self.sender);
        fs::create_dir(dir.path().join("dst")).unwrap();
        (self.prepare)(dir.path());
        // Made in the same tick of the clock, both directories would have the same time.
        let past = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::open(dir.path().join("src")).unwrap().set_times(past).unwrap();
        let (local, remote) =
            if self.direction == Pull { (self.receiver, self.sender) } else { (self.sender, self.receiver) };
        let mut command = peers::command(client.path(), dir.path());
        command.arg(format!("--iconv={},{}", local.name(), remote.name())).args(self.words);
        let far = |path: &[u8]| [b"h:", dir.path().as_os_str().as_bytes(), b"/", path].concat();
        let (mut from, mut to) = (self.source.to_vec(), b"dst/".to_vec());
        match self.direction {
            Local => {}
            Push => to = far(&to),
            Pull => from = far(&from),
        }
        if self.direction != Local {
            command.arg("-e").arg(peers::script(&dir.path().join("rsh"), "shift\nexec \"$@\""));
            command.arg(format!("--rsync-path={}", server.path()));
        }
        let out = peers::run(command.args([from, to].map(|path| OsStr::from_bytes(&path).to_owned())));
        assert!(!out.panicked(), "{:?} {client:?} {server:?}: {out:?}", self.words);
        (out, tree(&dir.path().join("dst")))
    }

    /// Every pairing gives what two stock programs give. Deletions and messages may stand elsewhere.
    fn check(&self) -> Tree {
        let lines = |text: &str| {
            let mut lines: Vec<String> =
                text.lines().filter(|line| !line.starts_with("rsync error:")).map(str::to_owned).collect();
            if text.contains("deleting") || text.contains("cannot") {
                lines.sort_unstable();
            }
            lines
        };
        let (wanted, wanted_tree) = self.run(Program::Stock, Program::Stock);
        for (client, server) in [
            (Program::Arsync, Program::Arsync),
            (Program::Arsync, Program::Stock),
            (Program::Stock, Program::Arsync),
        ] {
            if self.direction == Local && client != server {
                continue;
            }
            let what = format!("{:?} {:?} {client:?} {server:?}", self.words, self.direction);
            let (out, found) = self.run(client, server);
            assert_eq!(out.code, wanted.code, "{what}: {out:?}");
            assert_eq!(lines(&out.stdout), lines(&wanted.stdout), "{what}");
            assert_eq!(found, wanted_tree, "{what}");
        }
        wanted_tree
    }
}

fn everywhere(words: &[&str], prepare: &dyn Fn(Charset, &Path)) {
    for direction in [Local, Push, Pull] {
        for (sender, receiver) in [(Utf8, Koi8), (Koi8, Utf8)] {
            let prepare = |dir: &Path| prepare(receiver, dir);
            Case { prepare: &prepare, ..Case::new(direction, sender, receiver, words) }.check();
        }
    }
}

#[test]
fn a_tree_is_converted_whatever_the_order_of_names_on_both_sides() {
    for words in [&["-aiH"][..], &["-aiH", "--no-inc-recursive"], &["-aiHc", "--delay-updates"]] {
        everywhere(words, &|_, _| ());
    }
    let found = Case::new(Push, Utf8, Koi8, &["-aH"]).check();
    assert_eq!(found[&b"\xc0"[..]], (b"1\n".to_vec(), 1));
    assert_eq!(found[&b"\xc3\xd7"[..]].0, b"\xc0\xc1");
    assert_eq!(found[&b"\xc1_/\xc2\xc2"[..]], (b"0\n".to_vec(), 2));
    assert_eq!(found[&b"\xd7_/\xd1/\xc3"[..]].0, "в_/я/ц\n".as_bytes());
}

#[test]
fn every_version_converts_names() {
    for protocol in 27..=32 {
        let protocol = format!("--protocol={protocol}");
        for direction in [Push, Pull] {
            for (sender, receiver) in [(Utf8, Koi8), (Koi8, Utf8)] {
                Case::new(direction, sender, receiver, &["-aiH", &protocol]).check();
            }
        }
    }
}

#[test]
fn deletion_compares_names_of_the_destination() {
    let extra = |receiver: Charset, dir: &Path| {
        let at = |name: &str| receiver.path(&dir.join("dst"), name);
        fs::create_dir_all(at("я_/б")).unwrap();
        fs::create_dir_all(at("а_/ю")).unwrap();
        for name in ["гг", "я_/б/ц", "а_/ю/г", "а_/ю/а"] {
            fs::write(at(name), "old").unwrap();
        }
    };
    for when in ["--delete", "--delete-before", "--delete-delay", "--delete-after"] {
        everywhere(&["-ai", when], &extra);
    }
    let found = Case { prepare: &|dir| extra(Koi8, dir), ..Case::new(Pull, Utf8, Koi8, &["-a", "--delete"]) };
    let found = found.check();
    assert!(!found.contains_key(&b"\xc7\xc7"[..]) && found.contains_key(&b"\xc1_/\xc0/\xc1"[..]));
}

#[test]
fn names_without_counterpart_are_left_out() {
    // Bytes that are no UTF-8, and a sign that KOI8-R does not have.
    let bad = |_: Charset, dir: &Path| {
        for name in [&b"bad\xff"[..], b"e/bad\xff\xfe"] {
            fs::write(dir.join("src").join(OsStr::from_bytes(name)), "x").unwrap();
        }
        fs::create_dir(dir.join("src").join(OsStr::from_bytes(b"dir\xff"))).unwrap();
        fs::write(dir.join("src").join(OsStr::from_bytes(b"dir\xff/x")), "x").unwrap();
        std::os::unix::fs::symlink(OsStr::from_bytes(b"t\xff"), dir.join("src/e/link")).unwrap();
    };
    let check = |direction, words: &[&str], prepare: &dyn Fn(&Path)| {
        Case { prepare, ..Case::new(direction, Utf8, Koi8, words) }.check();
    };
    for words in
        [&["-ai"][..], &["-ai", "--no-inc-recursive"], &["-ai", "--protocol=29"], &["-ai", "--delete"]]
    {
        for direction in [Local, Push, Pull] {
            check(direction, words, &|dir| bad(Utf8, dir));
        }
    }
    let snowman = |name: &'static str| move |dir: &Path| fs::write(dir.join("src").join(name), "x").unwrap();
    for words in [&["-ai"][..], &["-ai", "--no-inc-recursive"], &["-ai", "--trust-sender"]] {
        for direction in [Push, Pull] {
            check(direction, words, &snowman("\u{2603}"));
            let target = |dir: &Path| std::os::unix::fs::symlink("\u{2603}", dir.join("src/sign")).unwrap();
            check(direction, words, &target);
        }
    }
    // In a directory of its own list such a name ends the session, in a single list it does not.
    for direction in [Push, Pull] {
        check(direction, &["-ai", "--no-inc-recursive", "--trust-sender"], &snowman("e/\u{2603}"));
        for inside in [Program::Arsync, Program::Stock] {
            let prepare = snowman("e/\u{2603}");
            let case = Case { prepare: &prepare, ..Case::new(direction, Utf8, Koi8, &["-a"]) };
            assert_eq!(case.run(inside, Program::Arsync).0.code, Some(4));
        }
    }
    let prepare = |dir: &Path| bad(Utf8, dir);
    let (out, _) = Case { prepare: &prepare, ..Case::new(Push, Utf8, Koi8, &["-a"]) }
        .run(Program::Arsync, Program::Arsync);
    let why = "(Invalid or incomplete multibyte or wide character)";
    for line in ["filename: bad\\#377", "filename: dir\\#377", "filename: e/bad\\#377\\#376"] {
        assert!(out.stderr.contains(&format!("[sender] cannot convert {line} {why}\n")), "{out:?}");
    }
    assert!(out.stderr.contains("[sender] cannot convert symlink data for: \""), "{out:?}");
    assert_eq!(out.stderr.matches("cannot convert").count(), 4, "{out:?}");
}

#[test]
fn lists_of_names_and_arguments_are_converted_where_they_are_protected() {
    for secluded in ["-s", "--no-s"] {
        for (direction, lies, list) in
            [(Push, Utf8, "list"), (Push, Koi8, ":LIST"), (Pull, Utf8, "list"), (Pull, Koi8, ":LIST")]
        {
            // The client is on the side of UTF-8.
            let (sender, receiver) = if direction == Push { (Utf8, Koi8) } else { (Koi8, Utf8) };
            let write = |dir: &Path| {
                let names = lies.encode("в\nа_/я/ц\nгг\n");
                fs::write(dir.join("list"), names).unwrap();
            };
            // A path of the other side needs the directory; both sides run in it here.
            let option = format!("--files-from={}", list.replace("LIST", "list"));
            let words = ["-air", secluded, &option];
            Case { prepare: &write, ..Case::new(direction, sender, receiver, &words) }.check();
        }
        let named = Utf8.encode("src/а_/бб");
        Case { source: &named, ..Case::new(Pull, Koi8, Utf8, &["-ai", secluded]) }.check();
    }
}

#[test]
fn moving_and_numbering_agree() {
    everywhere(&["-ai", "--remove-source-files"], &|_, _| ());
    everywhere(&["-aib"], &|receiver, dir| {
        fs::write(receiver.path(&dir.join("dst"), "ю"), "old contents").unwrap();
    });
    everywhere(&["-aim", "--exclude=m"], &|_, _| ());
    everywhere(&["-n", "-ai"], &|_, _| ());
    everywhere(&["-aiy"], &|receiver, dir| {
        fs::write(receiver.path(&dir.join("dst"), "ц.tx"), "3\n").unwrap();
    });
}

#[test]
fn charsets_are_those_of_the_c_library() {
    let dir = tempfile::tempdir().unwrap();
    source(&dir.path().join("src"), Utf8);
    for (words, code, text) in [
        ("--iconv=foo,utf8 src/ dst", 4, "iconv_open(\"UTF-8\", \"foo\") failed\n"),
        ("--iconv=utf8,foo src/ dst", 12, "iconv_open(\"UTF-8\", \"foo\") failed\n"),
        ("--server --iconv=foo -re.LsfxCIvu . dst", 4, "iconv_open(\"UTF-8\", \"foo\") failed\n"),
        ("--iconv=foo --no-iconv src/ dst", 0, ""),
        ("--iconv=foo --iconv=- src/ dst", 0, ""),
        ("--iconv=. src/ dst", 0, ""),
        ("--iconv=.,CP1251 --debug=iconv src/ dst2", 0, ""),
    ] {
        let words: Vec<_> = ["-r"].into_iter().chain(words.split(' ')).collect();
        for program in [Program::Arsync, Program::Stock] {
            let out = peers::run(peers::command(program.path(), dir.path()).args(&words));
            assert_eq!(out.code, Some(code), "{words:?}: {out:?}");
            assert!(out.stderr.contains(text), "{words:?}: {out:?}");
            if words.contains(&"--debug=iconv") {
                assert!(out.stdout.contains("[sender] charset: UTF-8\n"), "{out:?}");
            }
        }
    }
    for (variable, code) in [("foo", 4), ("", 0), ("-", 0), ("utf8", 0)] {
        let mut command = peers::command(Program::Arsync.path(), dir.path());
        let out = peers::run(command.env("RSYNC_ICONV", variable).args(["-r", "src/", "dst3"]));
        assert_eq!(out.code, Some(code), "{variable}: {out:?}");
    }
}

#[test]
fn a_batch_is_converted_for_each_reader() {
    for (writer, reader) in [
        (Program::Arsync, Program::Arsync),
        (Program::Arsync, Program::Stock),
        (Program::Stock, Program::Arsync),
    ] {
        let dir = tempfile::tempdir().unwrap();
        source(&dir.path().join("src"), Utf8);
        let run = |program: Program, words: &str| {
            let out = peers::run(peers::command(program.path(), dir.path()).args(words.split(' ')));
            assert!(!out.panicked(), "{words}: {out:?}");
            (out.code, out.stderr)
        };
        assert_eq!(run(writer, "-aH --iconv=utf-8,koi8-r --write-batch=b src/ one/").0, Some(0));
        assert_eq!(run(reader, "-aH --iconv=koi8-r --read-batch=b two/").0, Some(0));
        let (one, two) = (tree(&dir.path().join("one")), tree(&dir.path().join("two")));
        assert_eq!(one, two, "{writer:?} {reader:?}");
        assert_eq!(two[&b"\xc0"[..]].0, b"1\n");
        let (code, text) = run(reader, "-aH --read-batch=b three/");
        assert_eq!(code, Some(1));
        assert!(text.contains("Please specify the --iconv option to use this batch file.\n"), "{text}");
        assert_eq!(run(writer, "-aH --write-batch=plain src/ four/").0, Some(0));
        let (code, text) = run(reader, "-aH --iconv=utf-8 --read-batch=plain five/");
        assert_eq!(code, Some(1));
        assert!(text.contains("Do not specify the --iconv option to use this batch file.\n"), "{text}");
    }
}
