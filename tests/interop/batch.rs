//! Batch files: written by either program, read by either, over every version.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::SystemTime};

use crate::{
    details::set_xattr,
    needs::needs_root,
    peers::{self, Program},
    snapshot::{Snapshot, difference, snapshot},
    unprivileged,
};

const PAIRS: [(Program, Program); 3] = [
    (Program::Arsync, Program::Arsync),
    (Program::Arsync, Program::Stock),
    (Program::Stock, Program::Arsync),
];
const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];

/// A directory with a source, and two equal destinations with an older state.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("src/d/e")).unwrap();
    let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    fs::write(at("src/d/big"), &text).unwrap();
    fs::write(at("src/a"), "hello\n").unwrap();
    fs::write(at("src/d/e/empty"), "").unwrap();
    fs::hard_link(at("src/a"), at("src/hl")).unwrap();
    std::os::unix::fs::symlink("d/big", at("src/link")).unwrap();
    // A whole second, which every version can carry.
    for name in ["a", "link", "d/big", "d/e/empty", "d/e", "d", "."] {
        let mut touch = Command::new("touch");
        let status = touch.args(["-h", "-d", "2020-02-02T02:02:02Z"]).arg(at("src").join(name)).status();
        assert!(status.unwrap().success());
    }
    for name in ["one", "two"] {
        fs::create_dir_all(at(name).join("d")).unwrap();
        fs::write(at(name).join("d/big"), text.replace("line 7777\n", "something else\n")).unwrap();
        fs::write(at(name).join("extra"), "x").unwrap();
    }
    dir
}

fn run(program: Program, dir: &Path, words: &[&str]) -> (i32, String, String) {
    let out = peers::run(peers::command(program.path(), dir).args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    (out.code.unwrap_or(-1), out.stdout, out.stderr)
}

fn tree(dir: &tempfile::TempDir, name: &str) -> Snapshot {
    snapshot(&dir.path().join(name), SystemTime::now())
}

#[test]
fn batches_are_interchangeable() {
    for protocol in 27..=32 {
        for compress in [false, true] {
            for (writer, reader) in PAIRS {
                let dir = bench();
                let protocol = format!("--protocol={protocol}");
                let mut words = vec!["-aHi", "--delete", &protocol];
                words.extend(compress.then_some("-z"));
                let write = [&words[..], &["--write-batch=batch", "src/", "one/"]].concat();
                let (code, _, err) = run(writer, dir.path(), &write);
                assert_eq!((code, err.as_str()), (0, ""), "{writer:?} {write:?}");
                words.retain(|w| !w.starts_with("--protocol"));
                let read = [&words[..], &["--read-batch=batch", "two/"]].concat();
                let (code, _, err) = run(reader, dir.path(), &read);
                assert_eq!((code, err.as_str()), (0, ""), "{reader:?} {read:?} of {writer:?}, {protocol}");
                let source = tree(&dir, "src");
                assert_eq!(difference(&source, &tree(&dir, "one")), None, "{writer:?} {write:?}");
                let got = difference(&source, &tree(&dir, "two"));
                assert_eq!(got, None, "{reader:?} {read:?} of {writer:?}, {protocol}");
            }
        }
    }
}

/// Nobody is there who could object: ACLs and attributes are recorded in every version.
#[test]
fn attributes_are_recorded_in_every_version() {
    for (protocol, long, code) in [(28, false, 0), (28, true, 23), (29, true, 0), (30, true, 0)] {
        for (writer, reader) in PAIRS {
            let dir = bench();
            let protocol = format!("--protocol={protocol}");
            let value = if long { "v".repeat(50) } else { "v".to_owned() };
            let set = |program: &str, words: &[&str]| {
                let status = Command::new(program).args(words).arg(dir.path().join("src/a")).status();
                assert!(status.unwrap().success(), "{program}");
            };
            set("setfattr", &["-n", "user.a", "-v", &value]);
            set("setfacl", &["-m", "u:1234:r"]);
            let write = ["-aAX", &protocol, "--write-batch=batch", "src/", "one/"];
            let (written, _, err) = run(writer, dir.path(), &write);
            assert_eq!(written, code, "{writer:?} {protocol}: {err}");
            let missing = err
                .lines()
                .filter(|l| l.starts_with("Missing abbreviated xattr value, user.a, for "))
                .count();
            assert_eq!(missing, usize::from(code != 0) * 2, "{writer:?} {protocol}: {err}");
            let (read, _, err) = run(reader, dir.path(), &["-aAX", "--read-batch=batch", "two/"]);
            if code == 0 {
                assert_eq!(read, 0, "{reader:?} of {writer:?}, {protocol}: {err}");
                let acl =
                    Command::new("getfacl").args(["-cnp"]).arg(dir.path().join("two/a")).output().unwrap();
                assert!(
                    String::from_utf8_lossy(&acl.stdout).contains("user:1234:r--"),
                    "{reader:?} {protocol}"
                );
                let name = ["--only-values", "-n", "user.a"];
                let got = Command::new("getfattr").args(name).arg(dir.path().join("two/a")).output().unwrap();
                assert_eq!(got.stdout, value.as_bytes(), "{reader:?} of {writer:?}, {protocol}");
            }
        }
    }
}

/// The process at the other end of a recorded local copy knows that permissions are not wanted, though ACLs are.
#[test]
fn acls_without_permissions() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        let (code, _, err) = run(program, dir.path(), &["-a", "src/a", "one/"]);
        assert_eq!((code, err.as_str()), (0, ""), "{program:?}");
        fs::set_permissions(dir.path().join("one/a"), PermissionsExt::from_mode(0o600)).unwrap();
        let words = ["-aAi", "--no-p", "--write-batch=batch", "src/a", "one/"];
        assert_eq!(run(program, dir.path(), &words).1, "", "{program:?}");
    }
}

/// Below protocol 29 a file says nothing of `-d`, and a reader's own choice stays.
#[test]
fn what_a_reader_of_old_recordings_is_told() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        let words = ["-dtv", "--protocol=28", "--write-batch=batch", "src/", "one/"];
        assert_eq!(run(Program::Stock, dir.path(), &words).0, 0);
        let told = |words: &[&str]| {
            let (code, out, err) =
                run(program, dir.path(), &[words, &["--read-batch=batch", "two/"]].concat());
            assert_eq!((code, err.as_str()), (0, ""), "{program:?} {words:?}");
            out.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(told(&["-dtv"]), "receiving file list ... done", "{program:?}");
        assert_eq!(told(&["-tv"]), "skipping non-regular file \"link\"", "{program:?}");
        let (_, out, _) = run(program, dir.path(), &["-dtivv", "--read-batch=batch", "two/"]);
        assert!(!out.contains("uptodate"), "{program:?}: {out}");
    }
}

#[test]
fn recordings_alone_change_nothing_and_hold_everything() {
    for (writer, reader) in PAIRS {
        let dir = bench();
        let before = tree(&dir, "one");
        let (code, out, _) =
            run(writer, dir.path(), &["-aHi", "--stats", "--only-write-batch=batch", "src/", "one/"]);
        assert_eq!(code, 0);
        assert!(out.contains("(BATCH ONLY)"), "{out}");
        assert_eq!(difference(&before, &tree(&dir, "one")), None);
        let (code, out, _) = run(reader, dir.path(), &["-aHi", "--delete", "--read-batch=batch", "two/"]);
        assert_eq!(code, 0, "{out}");
        assert_eq!(difference(&tree(&dir, "src"), &tree(&dir, "two")), None);
    }
}

#[test]
fn recorded_local_runs_show_as_much_as_others() {
    let all = ["./", "a", "hl", "link -> d/big", "d/", "d/big", "d/e/", "d/e/empty"];
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        let shown = |words: &[&str]| {
            let words = [words, &["--write-batch=batch", "src/", "one/"]].concat();
            let (code, out, err) = run(program, dir.path(), &words);
            assert_eq!((code, err.as_str()), (0, ""), "{program:?} {words:?}");
            let names = out.lines().filter(|line| all.iter().any(|name| line.ends_with(name)));
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shown(&["-di", "--protocol=28"]), [">f????????? a", ">f????????? hl"], "{program:?}");
        fs::remove_file(dir.path().join("one/a")).unwrap();
        assert_eq!(shown(&["-dt", "--progress"]), ["./", "a", "hl", "d/"], "{program:?}");
        let unchanged = [".d          ./", ".f          a", ".f          hl"];
        assert_eq!(shown(&["-dtivv"])[..3], unchanged, "{program:?}");
    }
}

/// The process at the destination tells what was asked for, which no other machine is told.
#[test]
fn recorded_local_runs_tell_what_they_do() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        let at = |name: &str| dir.path().join(name);
        for (name, size) in [("src/file-2.txt", 5000), ("three/file-1.txt", 4000)] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), vec![b'x'; size]).unwrap();
        }
        let words = ["-y", "--debug=fuzzy2", "--write-batch=batch", "src/file-2.txt", "three/"];
        let (code, out, err) = run(program, dir.path(), &words);
        let lines =
            "fuzzy distance for file-1.txt = 1.00001\nfuzzy basis selected for file-2.txt: file-1.txt\n";
        assert_eq!((code, out.as_str(), err.as_str()), (0, lines, ""), "{program:?}");
    }
}

#[test]
fn the_script_replays_the_batch() {
    let dir = bench();
    let own = Program::Arsync;
    let (code, _, _) =
        run(own, dir.path(), &["-aH", "--delete", "--exclude=e", "--write-batch=batch", "src/", "one/"]);
    assert_eq!(code, 0);
    let script = Command::new("sh").args(["./batch.sh", "two/"]).current_dir(dir.path()).output().unwrap();
    assert!(script.status.success(), "{script:?}");
    assert_eq!(difference(&tree(&dir, "one"), &tree(&dir, "two")), None);
    assert!(!dir.path().join("two/d/e").exists());
}

/// Names that end with NUL may hold newlines, and with them what a shell takes for the end of the rules.
#[test]
fn rules_bring_no_commands_into_the_script() {
    for program in BOTH {
        for words in [&["-r0", "--exclude-from=rules"][..], &["-r", "--exclude=x\n#E#\ntouch planted\n"]] {
            let dir = bench();
            fs::write(dir.path().join("rules"), "- x\n#E#\ntouch planted\n\0- y\0").unwrap();
            let words = [words, &["--write-batch=batch", "src/", "one/"]].concat();
            let (code, _, err) = run(program, dir.path(), &words);
            let text = "cannot write a filter rule containing a newline to the batch replay script\n";
            assert_eq!((code, err.starts_with(text)), (1, true), "{program:?} {words:?}: {err}");
            let script = fs::read_to_string(dir.path().join("batch.sh")).unwrap_or_default();
            assert!(!script.contains("planted"), "{program:?}: {script}");
        }
    }
}

#[test]
fn what_a_batch_has_too_much_or_too_little_is_said() {
    let dir = bench();
    let own = Program::Arsync;
    let run = |words: &[&str]| run(own, dir.path(), words);
    assert_eq!(run(&["-aH", "--write-batch=batch", "src/", "new/"]).0, 0);
    let (code, out, _) = run(&["-aH", "--read-batch=batch", "new/"]);
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "(Skipping batched update for \"hl\")\n(Skipping batched update for \"d/big\")\n\
         (Skipping batched update for \"d/e/empty\")\n"
    );
    // A batch of two programs that were alike holds no data.
    assert_eq!(run(&["-aH", "--write-batch=none", "src/", "new/"]).0, 0);
    fs::write(dir.path().join("new/d/big"), "short").unwrap();
    let (code, _, err) = run(&["-aH", "--read-batch=none", "new/"]);
    assert_eq!(code, 23);
    assert!(err.starts_with("(No batched update for \"d/big\")\n"), "{err}");
}

#[test]
fn data_that_was_recorded_again_is_a_resend() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for place in ["src", "old", "new"] {
            fs::create_dir(at(place)).unwrap();
        }
        fs::write(at("src/f"), [b'x'; 9000]).unwrap();
        // What stands there is not the beginning of the file.
        fs::write(at("old/f"), [b'o'; 5000]).unwrap();
        fs::write(at("new/f"), [b'x'; 5000]).unwrap();
        let run = |words: &[&str]| run(program, dir.path(), words);
        assert_eq!(run(&["-rt", "--append-verify", "--write-batch=batch", "src/", "old/"]).0, 0);
        for (options, code, said) in [
            ("-rtn", 0, "(Skipping batched update for \"f\")\n"),
            ("-rt", 0, "(Skipping batched update for resend of \"f\")\n"),
        ] {
            let out = run(&[options, "--append-verify", "--read-batch=batch", "new/"]);
            assert_eq!((out.0, out.1.as_str()), (code, said), "{program:?} {options} {out:?}");
        }
    }
}

#[test]
fn batch_files_that_cannot_be_used_are_refused() {
    let dir = bench();
    let own = Program::Arsync;
    let run = |words: &[&str]| run(own, dir.path(), words);
    let first = |err: &str| err.lines().next().unwrap_or_default().to_owned();
    assert_eq!(run(&["-a", "--write-batch=batch", "src/", "new/"]).0, 0);
    let (code, _, err) = run(&["-rlptgoD", "--read-batch=/dev/null", "x/"]);
    assert_eq!(
        (code, first(&err).as_str()),
        (11, "Batch file \"/dev/null\" is neither a regular file nor a FIFO")
    );
    let (code, _, err) = run(&["-t", "--read-batch=batch", "x/"]);
    let text = "Incompatible options specified for inc-recursive batch file.";
    assert_eq!((code, first(&err).as_str()), (1, text));
    let (code, _, err) = run(&["-a", "--protocol=30", "--read-batch=batch", "x/"]);
    let text = "The protocol version in the batch file is too new (32 > 30).";
    assert_eq!((code, first(&err).as_str()), (2, text));
    let (code, _, err) = run(&["-a", "--cc=xxh64", "--write-batch=batch", "src/", "x/"]);
    let text = "Your --checksum-choice value (xxh64) was refused by the server.";
    assert_eq!((code, first(&err).as_str()), (4, text));
    let whole = fs::read(dir.path().join("batch")).unwrap();
    for cut in [3, 10, 200, whole.len() / 2] {
        fs::write(dir.path().join("cut"), &whole[..cut]).unwrap();
        let (code, _, err) = run(&["-a", "--read-batch=cut", "y/"]);
        assert_eq!(code, 12, "{cut}: {err}");
        fs::remove_dir_all(dir.path().join("y")).unwrap_or_default();
    }
}

/// Directories come with the list of what is in them, and the mark that ends a list comes when the one behind it was walked.
#[test]
fn items_are_recorded_in_the_order_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["d/e/f", "g/h", "i"] {
        fs::create_dir_all(dir.path().join("src").join(name)).unwrap();
    }
    std::os::unix::fs::symlink("d", dir.path().join("src/d/e/link")).unwrap();
    // Not that of the destination, which is made within the same tick of the clock.
    fs::File::open(dir.path().join("src")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    // Bytes sent and received are told at the end.
    let statistics = 15;
    for words in [vec!["-a", "src/"], vec!["-aH", "src"], vec!["-a", "src/d"], vec!["-a", "src/d", "src/g"]] {
        let [stock, own] = [Program::Stock, Program::Arsync].map(|program| {
            let write = [&words[..], &["--checksum-seed=7", "--write-batch=batch", "one/"]].concat();
            fs::remove_dir_all(dir.path().join("one")).unwrap_or_default();
            fs::create_dir(dir.path().join("one")).unwrap();
            let (code, _, err) = run(program, dir.path(), &write);
            assert_eq!((code, err.as_str()), (0, ""), "{program:?} {write:?}");
            let mut recorded = fs::read(dir.path().join("batch")).unwrap();
            recorded.truncate(recorded.len() - statistics);
            recorded
        });
        assert_eq!(stock, own, "{words:?}");
    }
}

/// With `-H` the walk begins when more lists are known, which are told when the replay waits for it: what is recorded in
/// front of that cannot find what the walk makes.
#[test]
fn attributes_that_are_recorded_in_front_of_everything() {
    let missing =
        |name: &str| format!("rsync: [receiver] stat \"/two/{name}\" failed: No such file or directory (2)");
    for (writer, reader) in [(Program::Stock, Program::Stock)].into_iter().chain(PAIRS) {
        for (options, source, lost) in [
            ("-aHX", "src", Some("src")),
            ("-aHX", "src/d", Some("d")),
            ("-aHX", "src/", None),
            // A file that is waited for comes first.
            ("-aHX", "src/d/", None),
        ] {
            let dir = bench();
            for name in [".", "d", "d/e"] {
                let status = Command::new("setfattr")
                    .args(["-n", "user.a", "-v", "value"])
                    .arg(dir.path().join("src").join(name))
                    .status();
                assert!(status.unwrap().success());
            }
            for name in ["one", "two"] {
                fs::remove_dir_all(dir.path().join(name)).unwrap();
                fs::create_dir(dir.path().join(name)).unwrap();
            }
            let write = [options, "--write-batch=batch", source, "one/"];
            let (code, _, err) = run(writer, dir.path(), &write);
            assert_eq!((code, err.as_str()), (0, ""), "{writer:?} {write:?}");
            let (code, out, err) = run(reader, dir.path(), &[options, "-i", "--read-batch=batch", "two/"]);
            let told = err.lines().next().unwrap_or_default().replace(&*dir.path().to_string_lossy(), "");
            let context = format!("{reader:?} of {writer:?}, {source}: {out}{err}");
            assert_eq!(code, if lost.is_some() { 23 } else { 0 }, "{context}");
            let expected = lost.map_or_else(String::new, missing);
            assert_eq!(told, expected, "{context}");
            if let Some(name) = lost {
                assert!(out.contains(&format!("cd+++++++++ {name}/\n")), "{context}");
                let mut attributes = Command::new("getfattr");
                let got = attributes.args(["-d", name]).current_dir(dir.path().join("two")).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&got.stdout), "", "{context}");
            }
        }
    }
}

/// A recording without a transfer holds the values of attributes; with one list, links wait for a replay.
#[test]
fn recordings_alone_are_those_of_the_reference() {
    // Bytes sent and received are told at the end, below protocol 30 in five numbers of four bytes before the last mark.
    let statistics = 24;
    let value = "v".repeat(50);
    for words in
        [["-aX", "--no-i-r"], ["-aHX", "--no-i-r"], ["-rtHi", "--protocol=29"], ["-aHi", "--protocol=28"]]
    {
        let dir = bench();
        fs::create_dir(dir.path().join("src/new")).unwrap();
        // What stands has the value for all names behind it with these attributes.
        for name in ["src/known", "src/later", "one/known", "two/known"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let with_a = ["src/a", "src/d", "src/new", "src/d/big"].map(|name| (name, "user.a"));
        let with_b = ["src/known", "src/later", "one/known", "two/known"].map(|name| (name, "user.b"));
        for (name, attribute) in with_a.into_iter().chain(with_b) {
            let set = ["-n", attribute, "-v", &value];
            let status = Command::new("setfattr").args(set).arg(dir.path().join(name)).status();
            assert!(status.unwrap().success());
        }
        let has_value = |name: &str| {
            let mut attributes = Command::new("getfattr");
            let get = attributes.args(["--only-values", "-n", "user.a"]).arg(dir.path().join(name));
            get.output().unwrap().stdout == value.as_bytes()
        };
        let [stock, own] = [Program::Stock, Program::Arsync].map(|program| {
            let write = ["--checksum-seed=7", "--only-write-batch=batch", "src/", "one/"];
            let (code, out, err) = run(program, dir.path(), &[&words[..], &write].concat());
            assert_eq!((code, err.as_str()), (0, ""), "{program:?} {words:?}");
            assert!(!has_value("one/d"), "{program:?} {words:?}");
            assert!(!out.contains("hf"), "{program:?} {words:?}: {out}");
            let mut recorded = fs::read(dir.path().join("batch")).unwrap();
            recorded.truncate(recorded.len() - statistics);
            recorded
        });
        assert!(stock == own, "{words:?}: {} and {} bytes", stock.len(), own.len());
        let (code, _, err) = run(Program::Stock, dir.path(), &[words[0], "--read-batch=batch", "two/"]);
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
        let wanted = words[0].contains('X');
        for name in ["two/d", "two/new", "two/d/big"] {
            assert_eq!(has_value(name), wanted, "{words:?} {name}");
        }
    }
}

/// The other process of a recorded local run knows the rules without deletions too: what they protect makes no room.
#[test]
fn rules_protect_what_is_in_the_way() {
    for program in [Program::Stock, Program::Arsync] {
        for (rule, kept) in [("--old-dirs", true), ("--exclude=inner", true), ("-r", false)] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("src")).unwrap();
            fs::create_dir_all(dir.path().join("one/name/inner")).unwrap();
            fs::write(dir.path().join("src/name"), "text").unwrap();
            let write = ["-r", rule, "--force", "--write-batch=batch", "src/", "one/"];
            let (code, _, err) = run(program, dir.path(), &write[usize::from(rule == "--old-dirs")..]);
            assert_eq!(code, if kept { 23 } else { 0 }, "{program:?} {rule}: {err}");
            assert_eq!(dir.path().join("one/name/inner").exists(), kept, "{program:?} {rule}");
        }
    }
}

/// With `-HX` and incremental recursion, the attributes of an item in front of the first file are all set before a replay
/// looks at it, and finds nothing to do.
#[test]
fn what_comes_with_attributes_in_front_of_all_files_is_set_first() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["src", "one", "two"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("a"), "hello\n").unwrap();
            let status = Command::new("touch").args(["-d", "2020-02-02"]).arg(at(name).join("a")).status();
            assert!(status.unwrap().success());
            if name != "src" {
                fs::set_permissions(at(name).join("a"), fs::Permissions::from_mode(0o640)).unwrap();
                set_xattr(&at(name).join("a"), b"value");
            }
        }
        fs::write(at("src/b"), "x").unwrap();
        let (code, ..) = run(Program::Stock, dir.path(), &["-aHX", "--write-batch=batch", "src/", "one/"]);
        assert_eq!(code, 0);
        let (code, stdout, stderr) = run(program, dir.path(), &["-aHXvv", "--read-batch=batch", "two/"]);
        assert_eq!((code, &*stderr), (0, ""), "{program:?}: {stdout}");
        assert!(stdout.contains("\na is uptodate\n"), "{program:?}: {stdout}");
        assert_eq!(fs::metadata(at("two/a")).unwrap().permissions().mode() & 0o777, 0o644, "{program:?}");
    }
}

/// The end of a list that was recorded comes while a link waits here for a file behind it. The reference hangs here.
#[test]
fn links_wait_behind_the_recorded_end_of_their_list() {
    for recorder in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("src/.h/z")).unwrap();
        fs::create_dir(at("src/y")).unwrap();
        fs::write(at("src/l"), "data\n").unwrap();
        fs::hard_link(at("src/l"), at("src/.h/c")).unwrap();
        fs::create_dir_all(at("one/.h")).unwrap();
        let copied = Command::new("cp").args(["-p"]).arg(at("src/l")).arg(at("one/.h/c")).status();
        assert!(copied.unwrap().success());
        let out = run(recorder, dir.path(), &["-aH", "--write-batch=b", "src/", "one/"]);
        assert_eq!(out.0, 0, "{recorder:?}: {out:?}");
        let out = run(Program::Arsync, dir.path(), &["-aH", "--read-batch=b", "two/"]);
        let missing =
            "(No batched update for \".h/c\")\n(No batched update for \"l\")\nrsync error: some files";
        assert!(out.0 == 23 && out.2.starts_with(missing), "{recorder:?}: {out:?}");
    }
}

/// A member of a link group that takes over is wanted, though the generator has passed it.
#[test]
fn who_takes_over_a_link_group_gets_what_was_recorded_of_it() {
    if !needs_root("files of another user") {
        return;
    }
    for recorder in BOTH {
        for reader in BOTH {
            let dir = unprivileged::bench(Program::Arsync);
            let at = |name: &str| dir.path().join(name);
            for name in ["src/d", "one", "two"] {
                fs::create_dir_all(at(name)).unwrap();
            }
            for (name, text) in [("src/a", "data"), ("one/b", "old"), ("two/b", "old")] {
                fs::write(at(name), text).unwrap();
            }
            fs::hard_link(at("src/a"), at("src/b")).unwrap();
            for (program, words) in [
                (recorder, ["-rH", "--write-batch=b", "src/", "one/"]),
                (reader, ["-rH", "--read-batch=b", "two/", "-q"]),
            ] {
                let out = unprivileged::run_as_nobody(program, dir.path(), &words);
                assert_eq!(out.code, Some(23), "{recorder:?} {reader:?}: {out:?}");
                let names = ["b", "a"].map(|name| out.stderr.contains(&format!(".{name}.")));
                let missing = out.stderr.contains("batched update");
                assert_eq!((names, missing), ([true, true], false), "{recorder:?} {reader:?}: {out:?}");
            }
        }
    }
}
