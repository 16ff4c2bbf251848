//! Options that have to do with the surroundings of a transfer: logs, speed, devices, identity.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::{
    needs::needs_root,
    peers::{self, Outcome, Program},
};

fn run(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let out = peers::run(peers::command(program.path(), dir).args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    out
}

/// A source with a file, a link and a directory, and a destination that differs in most.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("src/d")).unwrap();
    fs::write(at("src/a"), "hi\n").unwrap();
    fs::write(at("src/d/b"), "y\n").unwrap();
    std::os::unix::fs::symlink("a", at("src/l")).unwrap();
    let copied = run(Program::Stock, dir.path(), &["-a", "src/", "dst/"]);
    assert_eq!(copied.code, Some(0));
    fs::set_permissions(at("dst/a"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(at("dst/d/b")).unwrap();
    fs::remove_file(at("dst/l")).unwrap();
    fs::write(at("dst/old"), "").unwrap();
    for (time, name) in
        [("2020-02-02", "src/d"), ("2020-02-02", "src"), ("2001-01-01", "dst/d"), ("2001-01-01", "dst")]
    {
        let status = std::process::Command::new("touch").args(["-d", time]).arg(at(name)).status();
        assert!(status.unwrap().success());
    }
    dir
}

/// With recursion in steps, the roots of a transfer share the rule files of the first of them, which hold for later
/// arguments too.
#[test]
fn rule_files_of_several_roots() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        for (root, rule) in [("one", "c*"), ("two", ""), ("three", "d*")] {
            fs::create_dir(dir.path().join(root)).unwrap();
            for letter in ["c", "d"] {
                fs::write(dir.path().join(format!("{root}/{letter}.{root}")), "").unwrap();
            }
            if !rule.is_empty() {
                fs::write(dir.path().join(root).join(".rules"), rule).unwrap();
            }
        }
        let sent = |words: &[&str]| {
            let words = [&["-rn", "--out-format=%n", "--filter=:- .rules"], words, &["new"]].concat();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(0), "{program:?} {words:?}");
            let files = out.stdout.lines().filter(|line| line.contains(".t") || line.contains(".o"));
            files.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sent(&["one/", "two/", "three/"]), "d.one d.three d.two", "{program:?}");
        assert_eq!(sent(&["two/", "one/"]), "c.one c.two d.one d.two", "{program:?}");
        assert_eq!(sent(&["one/", "two", "two/c.two"]), "d.one two/d.two", "{program:?}");
        assert_eq!(sent(&["--no-i-r", "one/", "two/"]), "c.two d.one d.two", "{program:?}");
    }
}

/// The texts of a log without time and process, which must have their form; figures and places are left out.
fn log(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (time, rest) = line.split_once(" [").unwrap_or_else(|| panic!("{line}"));
        assert_eq!(time.len(), "2026/11/24 19:44:45".len(), "{line}");
        assert!(time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'/' | b':' | b' ')), "{line}");
        let (pid, text) = rest.split_once("] ").unwrap_or_else(|| panic!("{line}"));
        assert!(pid.bytes().all(|b| b.is_ascii_digit()), "{line}");
        let text = text.split(" at main.").next().unwrap_or_default();
        let figures =
            text.starts_with("sent ") || text.starts_with("total size") || text.contains("File list");
        if figures { text.split(' ').next().unwrap_or_default().to_owned() } else { text.to_owned() }
    };
    text.lines().map(line).collect()
}

#[test]
fn logs_say_what_those_of_the_reference_say() {
    let lines: &[&[&str]] = &[
        &["-a", "--log-file=log", "src/", "dst/"],
        &["-ai", "--log-file=log", "src/", "dst/"],
        &["-avi", "--delete", "--log-file=log", "src/", "dst/"],
        &["-aq", "--delete", "--log-file=log", "src/", "dst/"],
        &["-an", "--delete", "--log-file=log", "src/", "dst/"],
        &["-a", "--delete", "--log-file=log", "--log-file-format=%n", "src/", "dst/"],
        &["-a", "--log-file=log", "--log-file-format=%o %i [%L] %l %B %a %%", "src/", "dst/"],
        &["-a", "--log-file=log", "--log-file-format=", "src/", "dst/"],
        &["-a", "--log-file=log", "src/missing", "src/d", "dst/"],
        &["-a", "--delete", "--log-file=log", "-e", "SHELL", "-M--log-file=DIR/log2", "src/", "h:DIR/dst/"],
        &["-avi", "--delete", "--log-file=log", "-e", "SHELL", "-M--log-file=DIR/log2", "src/", "h:DIR/dst/"],
        &["-a", "--delete", "--log-file=log", "-e", "SHELL", "-M--log-file=DIR/log2", "h:DIR/src/", "dst/"],
    ];
    for words in lines {
        let [expected, got] = [Program::Stock, Program::Arsync].map(|program| {
            let dir = bench();
            let shell = peers::fake_shell(dir.path());
            let fill = |w: &&str| {
                w.replace("SHELL", shell.to_str().unwrap()).replace("DIR", dir.path().to_str().unwrap())
            };
            let mut words: Vec<String> = words.iter().map(fill).collect();
            words.push(format!("--rsync-path={}", program.path()));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run(program, dir.path(), &words);
            let clean = |line: String| line.replace(dir.path().to_str().unwrap(), "DIR");
            ["log", "log2"].map(|name| log(&dir.path().join(name)).into_iter().map(clean).collect::<Vec<_>>())
        });
        assert!(expected[0].len() > 1, "{words:?}");
        assert_eq!(expected, got, "{words:?}");
    }
}

#[test]
fn a_log_that_cannot_be_opened_does_no_harm() {
    let dir = bench();
    let out = run(Program::Arsync, dir.path(), &["-a", "--log-file=/nonexistent/log", "src/", "dst/"]);
    assert_eq!(out.code, Some(0));
    let text = "rsync: [client] failed to open log-file /nonexistent/log: No such file or directory (2)\n";
    let note = "Ignoring \"log file\" setting.\n";
    assert_eq!((out.stderr.as_str(), out.stdout.as_str()), (text, note));
    for program in [Program::Stock, Program::Arsync] {
        for (option, stdout) in [("-q", ""), ("-r", note)] {
            let out = run(program, dir.path(), &[option, "--log-file=/nonexistent/log"]);
            assert_eq!((out.code, out.stdout.as_str()), (Some(1), stdout), "{program:?} {option}");
            assert!(out.stderr.starts_with(text), "{program:?} {option}: {out:?}");
        }
    }
}

/// A file that `--ignore-existing` protects in the place of a directory cannot say what is forbidden to new files; it
/// keeps what `--fake-super` noted down.
#[test]
fn a_file_in_the_place_of_a_directory_stays_as_it_is() {
    const NOTED: &[u8] = b"100644 0,0 7:8";
    for program in [Program::Stock, Program::Arsync] {
        for (options, warned) in [(&["-rt"][..], true), (&["-rtn"], true), (&["-rtp", "--fake-super"], false)]
        {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("src/x")).unwrap();
            fs::create_dir(dir.path().join("dst")).unwrap();
            fs::write(dir.path().join("src/x/f"), "text").unwrap();
            let there = dir.path().join("dst/x");
            fs::write(&there, "old").unwrap();
            rustix::fs::setxattr(&there, "user.rsync.%stat", NOTED, rustix::fs::XattrFlags::empty()).unwrap();
            let words = [options, &["--ignore-existing", "src/", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            let warning = "default_perms_for_dir: sys_acl_get_file(x, ACL_TYPE_DEFAULT): Permission denied, \
                           falling back on umask\n";
            let reason = "rsync: [generator] recv_generator: failed to stat";
            assert!(out.stderr.contains(reason), "{program:?} {options:?}: {out:?}");
            assert_eq!(out.stderr.starts_with(warning), warned, "{program:?} {options:?}: {out:?}");
            let mut value = [0; 100];
            let len = rustix::fs::getxattr(&there, "user.rsync.%stat", &mut value).unwrap();
            assert_eq!(&value[..len], NOTED, "{program:?} {options:?}");
        }
    }
}

#[test]
fn a_local_copy_keeps_to_its_speed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    for name in ["one", "two"] {
        fs::write(dir.path().join("src").join(name), vec![7u8; 300 << 10]).unwrap();
    }
    let start = Instant::now();
    let out = run(Program::Arsync, dir.path(), &["-r", "--bwlimit=400", "src/", "dst/"]);
    let took = start.elapsed();
    assert_eq!(out.code, Some(0));
    assert!((Duration::from_millis(1200)..Duration::from_secs(30)).contains(&took), "{took:?}");
    assert_eq!(fs::read(dir.path().join("dst/two")).unwrap(), vec![7u8; 300 << 10]);
}

/// Makes a device node that any file system of the kernel has: the null device.
fn null(path: &Path) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o640), makedev(1, 3)).unwrap();
}

#[test]
fn devices_are_copied_as_files() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        null(&dir.path().join("src/null"));
        let out = run(program, dir.path(), &["-ai", "--copy-devices", "src/", "dst/"]);
        assert_eq!(out.stdout.lines().last(), Some(">f+++++++++ null"), "{program:?}: {out:?}");
        let meta = fs::symlink_metadata(dir.path().join("dst/null")).unwrap();
        assert!(meta.is_file(), "{program:?}");
        assert_eq!((meta.len(), meta.mode() & 0o777), (0, 0o640), "{program:?}");
        // The clock of a machine may be set meanwhile.
        let age = meta.modified().unwrap().elapsed().unwrap_or_else(|ahead| ahead.duration());
        assert!(age < Duration::from_secs(60), "{program:?}: {age:?}");
    }
}

#[test]
fn devices_are_written_to() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        let shell = peers::fake_shell(dir.path());
        fs::write(dir.path().join("file"), "data\n").unwrap();
        let node = dir.path().join("null");
        null(&node);
        let out = run(program, dir.path(), &["-i", "--write-devices", "file", "null"]);
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), ">f.sT...... file\n"), "{program:?}");
        let meta = fs::symlink_metadata(&node).unwrap();
        assert!(meta.file_type().is_char_device(), "{program:?}");
        assert_eq!(meta.mode() & 0o777, 0o640, "{program:?}");
        let (shell, path) = (shell.display().to_string(), format!("--rsync-path={}", program.path()));
        let there = format!("h:{}", node.display());
        let out = run(program, dir.path(), &["-i", "--write-devices", "-e", &shell, &path, "file", &there]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert!(fs::symlink_metadata(&node).unwrap().file_type().is_char_device(), "{program:?}");
        // Without the option a file takes the place of the device.
        let out = run(program, dir.path(), &["-i", "file", "null"]);
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), ">f+++++++++ file\n"), "{program:?}");
        assert_eq!(fs::read(&node).unwrap(), b"data\n");
    }
}

#[test]
fn another_identity_owns_the_copies() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(dir.path().join("file"), "data\n").unwrap();
        for (identity, name, ids) in [("daemon:bin", "new", (1, 2)), ("1", "number", (1, 1))] {
            let out = run(program, dir.path(), &["-t", &format!("--copy-as={identity}"), "file", name]);
            assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?}");
            let meta = fs::metadata(dir.path().join(name)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), ids, "{program:?} {identity}");
        }
        let out = run(program, dir.path(), &["-t", "--copy-as=nobody-at-all", "file", "other"]);
        assert_eq!(out.code, Some(1), "{program:?}");
        assert!(out.stderr.contains("Invalid copy-as user: nobody-at-all\n"), "{program:?}: {out:?}");
        let out = run(program, dir.path(), &["-t", "--copy-as=daemon:no-group", "file", "other"]);
        assert!(out.stderr.contains("Invalid copy-as group: no-group\n"), "{program:?}: {out:?}");
    }
}

#[test]
fn aliases_of_options_are_known() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        let file = "rsync alias --mine -ain --delete\nrsync alias -Y --exclude=d\n";
        fs::write(dir.path().join(".popt"), file).unwrap();
        let out = run(program, dir.path(), &["--mine", "-Y", "src/", "dst/"]);
        let lines = "*deleting   old\n.d..t...... ./\n.f...p..... a\ncL+++++++++ l -> a\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), lines), "{program:?}");
    }
}

#[test]
fn a_receiving_server_does_not_take_the_session_for_a_list_of_names() {
    let dir = bench();
    let shell = peers::fake_shell(dir.path()).display().to_string();
    let path = format!("--rsync-path={}", peers::ARSYNC);
    let there = format!("h:{}/new/", dir.path().display());
    let words = ["-a", "-e", &shell, &path, "-M--files-from=-", "src/", &there];
    let command = &mut peers::command(Program::Arsync.path(), dir.path());
    let out = peers::run_within(command.args(words), Duration::from_secs(20));
    assert!(!out.panicked() && out.code != Some(0), "{out:?}");
    assert!(out.stderr.contains("no list of names on its standard input"), "{out:?}");
}

#[test]
fn directories_with_attributes_keep_no_right_that_they_were_opened_with() {
    // Seen at the stock binary: without attributes the owner keeps what the directory was opened with.
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        for name in ["s", "s/with", "s/without", "d"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let with = dir.path().join("s/with");
        rustix::fs::setxattr(&with, "user.a", b"1", rustix::fs::XattrFlags::empty()).unwrap();
        let mode = |name: &str, mode| {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        for (name, bits) in [("", 0o777), ("d", 0o777), ("s/with", 0o670), ("s/without", 0o670)] {
            mode(name, bits);
        }
        let (shell, path) =
            (peers::fake_shell(dir.path()).display().to_string(), format!("--rsync-path={}", program.path()));
        let there = format!("h:{}/d", dir.path().display());
        let words = ["-rpX", "-M--copy-as=daemon:bin", "-e", &shell, &path, "s/with", "s/without", &there];
        let out = run(program, dir.path(), &words);
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?}");
        let bits = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!((bits("d/with"), bits("d/without")), (0o670, 0o770), "{program:?}");
    }
}

/// What `--fake-super` keeps of an ACL brings no permissions, and goes with directories of backups.
#[test]
fn kept_acls_are_attributes() {
    const ACCESS: &str = "system.posix_acl_access";
    const KEPT: &str = "user.rsync.%aacl";
    /// `user::rwx user:1000:rwx group::r-x mask::rwx other::r-x` as the system has it.
    const REAL: &[u8] = b"\x02\0\0\0\
        \x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\
        \x10\0\x07\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
    /// `user:1000:rwx group::r-x mask::rwx` as it is kept; the rest is the mode's.
    const PART: &[u8] = b"\x80\0\0\0\x05\0\0\0\x07\0\0\0\x80\0\0\0\xe8\x03\0\0\x07\0\0\x80";
    /// The same with everything.
    const ALL: &[u8] = b"\x07\0\0\0\x05\0\0\0\x07\0\0\0\x05\0\0\0\xe8\x03\0\0\x07\0\0\x80";
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let set = |name: &str, attribute: &str, value: &[u8]| {
            rustix::fs::setxattr(at(name), attribute, value, rustix::fs::XattrFlags::empty())
                .unwrap_or_else(|e| panic!("attributes are needed in {}: {e}", dir.path().display()));
        };
        let get = |name: &str, attribute: &str| {
            let mut value = vec![0u8; 100];
            let len = rustix::fs::getxattr(at(name), attribute, &mut value[..]).ok()?;
            value.truncate(len);
            Some(value)
        };
        for (tree, text) in [("src", "new text"), ("dst", "old")] {
            fs::create_dir_all(at(tree).join("d")).unwrap();
            fs::write(at(tree).join("d/f"), text).unwrap();
            fs::write(at(tree).join("same"), "").unwrap();
            set(&format!("{tree}/d"), ACCESS, REAL);
        }
        set("dst/d", KEPT, PART);
        set("src/same", ACCESS, REAL);
        fs::set_permissions(at("dst/same"), fs::Permissions::from_mode(0o470)).unwrap();
        let shell = peers::fake_shell(dir.path());
        let (path, from) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/src/", dir.path().display()));
        let words =
            ["-rpAi", "--size-only", "--fake-super", "--backup-dir=../bak", "-e", shell.to_str().unwrap()];
        let out = run(program, dir.path(), &[&words[..], &[&path, &from, "dst/"]].concat());
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let same: Vec<&str> = out.stdout.lines().filter(|line| line.ends_with("same")).collect();
        assert_eq!(same, [".f...p...a. same"], "{program:?}: {out:?}");
        assert_eq!(get("dst/same", KEPT).as_deref(), Some(PART), "{program:?}");
        let backup = [ACCESS, KEPT].map(|attribute| get("bak/d", attribute));
        assert_eq!(backup, [None, Some(ALL.to_vec())], "{program:?}");
    }
}

/// With incremental recursion a new directory gets its sticky bit behind its ACL, which lacks what the mode says of its group
/// then, unless attributes come too, and it is set once more.
#[test]
fn the_acl_of_a_new_sticky_directory() {
    const ACCESS: &str = "system.posix_acl_access";
    /// `user::r-- user:4242:rwx group::r-- mask::r-- other::---`
    const ACL: &[u8] = b"\x02\0\0\0\
        \x01\0\x04\0\xff\xff\xff\xff\x02\0\x07\0\x92\x10\0\0\x04\0\x04\0\xff\xff\xff\xff\
        \x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    if !needs_root("a directory that its owner may not write") {
        return;
    }
    let cases: [(&[&str], bool); 4] =
        [(&["-aAX"], true), (&["-aA"], false), (&["-aA", "--no-i-r"], true), (&["-aAX", "--no-i-r"], true)];
    for (program, (words, whole)) in
        [Program::Stock, Program::Arsync].into_iter().flat_map(|program| cases.map(|case| (program, case)))
    {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("src/d")).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(at("src/d"), "user.a", b"1", flags).unwrap();
        rustix::fs::setxattr(at("src/d"), ACCESS, ACL, flags).unwrap();
        fs::set_permissions(at("src/d"), fs::Permissions::from_mode(0o1440)).unwrap();
        let shell = peers::fake_shell(dir.path());
        let path = format!("--rsync-path={}", program.path());
        let to = format!("h:{}", at("dst").display());
        let out =
            run(program, dir.path(), &[words, &["-e", shell.to_str().unwrap(), &path, "src/", &to]].concat());
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let mut value = [0; 100];
        let len = rustix::fs::getxattr(at("dst/d"), ACCESS, &mut value[..]).unwrap();
        let mut expected = ACL.to_vec();
        if !whole {
            // The rights of the group.
            expected[22] = 0;
        }
        assert_eq!(&value[..len], expected, "{program:?} {words:?}");
    }
}

/// What is written anew is what its inode is: what `--fake-super` kept of the file before goes with it.
#[test]
fn files_that_are_written_anew_lose_what_was_kept_of_them() {
    const KEPT: &str = "user.rsync.%stat";
    for program in [Program::Stock, Program::Arsync] {
        for (words, mode, kept) in [
            (&["-rt"][..], 0o600, ""),
            (&["-rtog"][..], 0o600, "100600 0,0 3:4"),
            (&["-rt", "--inplace"][..], 0o600, ""),
            (&["-rtp", "--inplace"][..], 0o644, ""),
            (&["-rtE", "--no-whole-file"][..], 0o600, ""),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            for (tree, text, mode) in [("src", "new text", 0o644), ("dst", "old", 0o600)] {
                fs::create_dir(at(tree)).unwrap();
                fs::write(at(tree).join("f"), text).unwrap();
                fs::set_permissions(at(tree).join("f"), fs::Permissions::from_mode(mode)).unwrap();
            }
            std::os::unix::fs::chown(at("src/f"), Some(3), Some(4)).unwrap();
            let none = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(at("dst/f"), KEPT, b"100751 0,0 5:6", none).unwrap();
            let out = run(program, dir.path(), &[words, &["--fake-super", "src/", "dst/"]].concat());
            assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
            let mut value = [0u8; 100];
            let len = rustix::fs::getxattr(at("dst/f"), KEPT, &mut value[..]).unwrap_or(0);
            let found = (fs::metadata(at("dst/f")).unwrap().mode() & 0o7777, &value[..len]);
            assert_eq!(found, (mode, kept.as_bytes()), "{program:?} {words:?}");
        }
    }
}

/// A special file has no attribute to keep anything in, which is told; its permissions are its own.
#[test]
fn fake_super_sets_the_permissions_of_special_files() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("src", 0o666), ("dst", 0o644)] {
            fs::create_dir(dir.path().join(name)).unwrap();
            let path = dir.path().join(name).join("p");
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let out = run(program, dir.path(), &["-a", "--usermap=*:7", "--fake-super", "src/", "dst/"]);
        let mode = fs::symlink_metadata(dir.path().join("dst/p")).unwrap().mode();
        assert_eq!((out.code, mode & 0o777), (Some(23), 0o666), "{program:?}: {out:?}");
    }
}

/// A copy that becomes a backup has what `--fake-super` keeps, in its attribute.
#[test]
fn backups_of_files_in_place_keep_their_owners_in_an_attribute() {
    const KEPT: &str = "user.rsync.%stat";
    for program in [Program::Stock, Program::Arsync] {
        for (kept, mode, expected) in
            [("", 0o640, "100440 0,0 1:1000"), ("100751 0,0 5:6", 0o751, "100751 0,0 5:6")]
        {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            for (tree, text) in [("src", "new text"), ("dst", "old")] {
                fs::create_dir(at(tree)).unwrap();
                fs::write(at(tree).join("f"), text).unwrap();
            }
            fs::set_permissions(at("dst/f"), fs::Permissions::from_mode(0o440)).unwrap();
            std::os::unix::fs::chown(at("dst/f"), Some(1), Some(1000)).unwrap();
            if !kept.is_empty() {
                let none = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(at("dst/f"), KEPT, kept.as_bytes(), none).unwrap();
            }
            let out = run(program, dir.path(), &["-ab", "--inplace", "--fake-super", "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?} {kept}: {out:?}");
            let mut value = [0u8; 100];
            let len = rustix::fs::getxattr(at("dst/f~"), KEPT, &mut value[..]).unwrap_or(0);
            let stat = fs::metadata(at("dst/f~")).unwrap();
            let found = (stat.mode() & 0o7777, stat.uid(), &value[..len]);
            assert_eq!(found, (mode, 0, expected.as_bytes()), "{program:?} {kept}");
        }
    }
}

/// `-J` is about symlinks that stand, also where `--fake-super` has files stand for them; new files have times.
#[test]
fn files_that_stand_for_symlinks_have_times_when_they_are_new() {
    const SOURCE: i64 = 1_577_836_800;
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("src")).unwrap();
        std::os::unix::fs::symlink("x", at("src/l")).unwrap();
        let touch = |path: &str, seconds: i64| {
            let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(CWD, at(path), &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
        };
        touch("src/l", SOURCE);
        let copied = || {
            let out = run(program, dir.path(), &["-rltUJ", "--fake-super", "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            let stat = fs::symlink_metadata(at("dst/l")).unwrap();
            assert!(stat.is_file(), "{program:?}");
            (stat.atime(), stat.mtime())
        };
        assert_eq!(copied(), (SOURCE, SOURCE), "{program:?}");
        touch("dst/l", 1_000_000_000);
        // Its target is read to be compared, which may change the other time.
        assert_eq!(copied().1, 1_000_000_000, "{program:?}");
    }
}

/// Nothing is written outside, and the link is none of what is copied.
#[test]
fn kept_directory_links_that_lead_out_of_the_destination() {
    let told = "rsync: [generator] failed to set permissions on \"/dst/d\": Too many levels of symbolic links (40)\n\
                rsync: [generator] recv_generator: failed to stat \"/dst/d/b\": Too many levels of symbolic links (40)\n\
                rsync: [generator] recv_generator: mkdir \"/dst/d/e\" failed: Too many levels of symbolic links (40)\n\
                *** Skipping any contents from this failed directory ***\n";
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("src/d/e")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        fs::set_permissions(at("outside"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir(at("dst/d")).unwrap();
        std::os::unix::fs::symlink("../outside", at("dst/d")).unwrap();
        let out = run(program, dir.path(), &["-rlpK", "src/", "dst/"]);
        let err = out.stderr.replace(&*dir.path().to_string_lossy(), "");
        let err = err.split("rsync error: ").next().unwrap_or_default();
        assert_eq!((out.code, err), (Some(23), told), "{program:?}");
        assert_eq!(fs::read_link(at("dst/d")).unwrap(), Path::new("../outside"), "{program:?}");
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0, "{program:?}");
        assert_eq!(fs::metadata(at("outside")).unwrap().permissions().mode() & 0o7777, 0o700, "{program:?}");
        assert_eq!(fs::read(at("dst/a")).unwrap(), b"hi\n", "{program:?}");
    }
}

/// Where the sticky bit comes or a set-id bit goes, everybody is kept out until the mode is set. It brings the mask back, not a
/// group with the permissions of the mask.
#[test]
fn a_group_beside_a_mask_waits_for_the_next_run() {
    const ACCESS: &str = "system.posix_acl_access";
    /// `user::rwx user:1000:r-x group::r-x mask::r-x other::r-x`
    const OPEN: &[u8] = b"\x02\0\0\0\
        \x01\0\x07\0\xff\xff\xff\xff\x02\0\x05\0\xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\
        \x10\0\x05\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mode =
            |name: &str, bits| fs::set_permissions(at(name), fs::Permissions::from_mode(bits)).unwrap();
        for name in ["src/sticky", "src/plain", "dst"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["src/file", "dst/file"] {
            fs::write(at(name), "").unwrap();
        }
        for name in ["src/sticky", "src/plain", "src/file"] {
            rustix::fs::setxattr(at(name), ACCESS, OPEN, rustix::fs::XattrFlags::empty())
                .unwrap_or_else(|e| panic!("ACLs are needed in {}: {e}", dir.path().display()));
        }
        mode("src/sticky", 0o1755);
        mode("dst/file", 0o4755);
        let group = |name: &str| {
            let mut value = [0u8; 100];
            rustix::fs::getxattr(at(name), ACCESS, &mut value[..]).unwrap();
            value.get(22).copied()
        };
        let groups = || ["dst/sticky", "dst/plain", "dst/file"].map(group);
        for expected in [[Some(0), Some(5), Some(0)], [Some(5); 3]] {
            let out = run(program, dir.path(), &["-rptA", "src/", "dst/"]);
            assert_eq!((out.code, groups()), (Some(0), expected), "{program:?}: {out:?}");
        }
        // Where it gets no time, a directory is made with its sticky bit.
        let out = run(program, dir.path(), &["-rpA", "src/", "dst/new/"]);
        assert_eq!((out.code, group("dst/new/sticky")), (Some(0), Some(5)), "{program:?}: {out:?}");
    }
}

/// A client compares what the sender lists with its own rules, unless it has named a file of rules of directories.
#[test]
fn rules_of_directories_that_were_dropped_count_as_unknown() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        fs::write(dir.path().join("list"), "d/b\n").unwrap();
        let shell = peers::fake_shell(dir.path()).display().to_string();
        let path = format!("--rsync-path={}", program.path());
        let from = format!("h:{}/src/", dir.path().display());
        for (rules, code) in [
            (&["--exclude=d"][..], 4),
            (&["--filter=dir-merge .rules", "--exclude=d"], 0),
            (&["--filter=dir-merge .rules", "--filter=!", "--exclude=d"], 0),
        ] {
            let words = [&["-r", "-e", &shell, &path, "--files-from=list"], rules, &[&from, "new/"]].concat();
            assert_eq!(run(program, dir.path(), &words).code, Some(code), "{program:?} {rules:?}");
        }
    }
}

/// Extended attributes that differ bring the source's permissions with them, also without `-p`; the set-id bits of files stay at home.
#[test]
fn attributes_bring_permissions() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let set = |name: &str, value: &[u8]| {
            let path = std::ffi::CString::new(at(name).into_os_string().into_encoded_bytes()).unwrap();
            rustix::fs::setxattr(path, "user.a", value, rustix::fs::XattrFlags::empty()).unwrap();
        };
        for (name, from, to) in [("src/d", 0o1777, 0o700), ("src/other", 0o777, 0o700)] {
            for (name, bits) in [(name.to_owned(), from), (name.replace("src", "dst"), to)] {
                fs::create_dir_all(at(&name)).unwrap();
                fs::set_permissions(at(&name), fs::Permissions::from_mode(bits)).unwrap();
            }
        }
        fs::create_dir(at("src/new")).unwrap();
        fs::set_permissions(at("src/new"), fs::Permissions::from_mode(0o1770)).unwrap();
        for name in ["f", "same", "written"] {
            for (tree, bits) in [("src", 0o751), ("dst", 0o600)] {
                let path = at(&format!("{tree}/{name}"));
                fs::write(&path, if (tree, name) == ("src", "written") { "new" } else { "" }).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
            }
        }
        for name in ["src/d", "src/new", "src/f", "src/written"] {
            set(name, b"1");
        }
        let out = run(program, dir.path(), &["-rX", "--size-only", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let mode = |name: &str| fs::metadata(at("dst").join(name)).unwrap().mode() & 0o7777;
        let modes = ["d", "other", "new", "f", "same", "written"].map(mode);
        assert_eq!(modes, [0o1777, 0o700, 0o1770, 0o751, 0o600, 0o600], "{program:?}");

        set("src/f", b"2");
        fs::set_permissions(at("src/f"), fs::Permissions::from_mode(0o6711)).unwrap();
        fs::set_permissions(at("dst/f"), fs::Permissions::from_mode(0o640)).unwrap();
        let out = run(program, dir.path(), &["-rX", "--size-only", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let kept = if matches!(program, Program::Stock) { 0o6711 } else { 0o711 };
        assert_eq!(mode("f"), kept, "{program:?}");

        set("src", b"2");
        fs::set_permissions(at("src"), fs::Permissions::from_mode(0o2755)).unwrap();
        fs::set_permissions(at("dst"), fs::Permissions::from_mode(0o700)).unwrap();
        let out = run(program, dir.path(), &["-rX", "--size-only", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert_eq!(mode(""), 0o2755, "{program:?}");
    }
}

/// Options for the other side alone hold in a local copy, whose receiver is another process, and `--chmod` is one that
/// each side applies to what it has.
#[test]
fn options_for_the_other_side() {
    for program in [Program::Stock, Program::Arsync] {
        let dir = bench();
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
        fs::set_permissions(dir.path().join("src/a"), fs::Permissions::from_mode(0o666)).unwrap();
        let shell = peers::fake_shell(dir.path());
        let (shell, path) = (shell.to_str().unwrap(), format!("--rsync-path={}", program.path()));
        let there = |name: &str| format!("h:{}/{name}/", dir.path().display());
        for (from, to) in [
            ("src/".to_owned(), "one/".to_owned()),
            ("src/".to_owned(), there("two")),
            (there("src"), "three/".to_owned()),
        ] {
            let words = ["-a", "--chmod=F-w", "-M--chmod=Fo=", "-e", shell, &path, &from, &to];
            let out = run(program, dir.path(), &words);
            assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {from} {to}");
        }
        assert_eq!(["one/a", "two/a", "three/a"].map(mode), [0o460; 3], "{program:?}");
        let out = run(program, dir.path(), &["-a", "-M--bogus", "src/", "four/"]);
        let first = out.stderr.lines().next();
        assert_eq!((out.code, first), (Some(12), Some("rsync: on remote machine: --bogus: unknown option")));
        let out = run(program, dir.path(), &["-a", "-M--version", "src/", "four/"]);
        assert_eq!(out.code, Some(12), "{program:?}: {out:?}");
        assert!(out.stderr.contains("protocol version 32\n"), "{program:?}: {out:?}");
    }
}

/// Without `--fake-super`, what it noted down is an attribute like others: it goes where the source has none.
#[test]
fn notes_of_fake_super_are_attributes_to_others() {
    for program in [Program::Stock, Program::Arsync] {
        for (words, lines, left) in [
            (&["-aiX"][..], ".f...p....x f\n", 0),
            (&["-niaX"], ".f...p....x f\n", 2),
            (&["-aiX", "--fake-super"], ".f...pog..x f\n", 0),
            (&["-riX"], ".f........x f\n", 0),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            fs::create_dir(at("src")).unwrap();
            fs::write(at("src/f"), "text").unwrap();
            run(Program::Stock, dir.path(), &["-a", "src/", "dst"]);
            fs::set_permissions(at("src/f"), fs::Permissions::from_mode(0o640)).unwrap();
            let names = ["user.rsync.%stat", "user.rsync.%other"];
            for (name, value) in names.into_iter().zip(["100600 0,0 5:6", "x"]) {
                let none = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(at("dst/f"), name, value.as_bytes(), none).unwrap();
            }
            let out = run(program, dir.path(), &[words, &["--size-only", "src/", "dst/"]].concat());
            assert_eq!((out.code, out.stdout.as_str()), (Some(0), lines), "{program:?} {words:?}: {out:?}");
            let kept = |name: &&str| rustix::fs::getxattr(at("dst/f"), *name, &mut [0u8; 100]).is_ok();
            assert_eq!(names.iter().filter(|name| kept(name)).count(), left, "{program:?} {words:?}");
        }
    }
}

/// Links that lead around in a circle are followed as often as the system follows them in one path.
#[test]
fn links_in_a_circle_end() {
    for program in [Program::Stock, Program::Arsync] {
        for words in [&["-aL"][..], &["-ak"], &["-aL", "--no-inc-recursive"]] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("src/d")).unwrap();
            fs::write(dir.path().join("src/d/f"), "").unwrap();
            std::os::unix::fs::symlink(".", dir.path().join("src/d/l")).unwrap();
            let out = run(program, dir.path(), &[words, &["src/", "dst"]].concat());
            assert_eq!(out.code, Some(23), "{program:?} {words:?}: {out:?}");
            assert_eq!(
                out.stderr.matches("Too many levels of symbolic links (40)").count(),
                1,
                "{program:?}"
            );
            let last = dir.path().join("dst/d").join("l/".repeat(41));
            assert!(last.join("../f").is_file() && !last.join("f").exists(), "{program:?} {words:?}");
        }
    }
}

/// Of a file that stands for a symlink, no more is its target than a target can hold.
#[test]
fn files_that_stand_for_symlinks_with_too_much_in_them() {
    for program in [Program::Stock, Program::Arsync] {
        for (text, target) in [
            ("a\0b", Some("a".to_owned())),
            (&"x".repeat(5000), Some("x".repeat(4095))),
            ("", None),
            ("\0b", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            fs::create_dir(at("src")).unwrap();
            fs::write(at("src/l"), text).unwrap();
            let none = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(at("src/l"), "user.rsync.%stat", b"120777 0,0 0:0", none).unwrap();
            let out = run(program, dir.path(), &["-a", "--fake-super", "src/", "dst"]);
            assert_eq!(fs::read_to_string(at("dst/l")).ok(), target, "{program:?}");
            let empty = format!("skipping symlink with 0-length value: \"{}\"\n", at("src/l").display());
            let (code, told) = if target.is_some() { (0, String::new()) } else { (23, empty) };
            assert_eq!(out.code, Some(code), "{program:?}: {out:?}");
            assert!(out.stderr.starts_with(&told), "{program:?}: {out:?}");
        }
    }
}

/// What a symlink leads to that stands where the source has a directory is not looked through for deletions.
#[test]
fn deletions_do_not_follow_what_makes_way_for_a_directory() {
    for program in [Program::Stock, Program::Arsync] {
        for when in ["--delete-before", "--delete", "--delete-after"] {
            for words in
                [&["-aR", "--no-implied-dirs"][..], &["-aR", "--no-implied-dirs", "--no-i-r"], &["-a"]]
            {
                let dir = tempfile::tempdir().unwrap();
                let at = |name: &str| dir.path().join(name);
                for name in ["src/d", "dst/other"] {
                    fs::create_dir_all(at(name)).unwrap();
                    fs::write(at(name).join(&name[..3]), "").unwrap();
                }
                std::os::unix::fs::symlink("other", at("dst/d")).unwrap();
                let out = run(program, &at("src"), &[words, &[when, "d", "../dst/"]].concat());
                assert_eq!(out.code, Some(0), "{program:?} {when} {words:?}: {out:?}");
                assert!(
                    at("dst/other/dst").exists() && at("dst/d/src").exists(),
                    "{program:?} {when} {words:?}"
                );
                assert!(!at("dst/other/src").exists(), "{program:?} {when} {words:?}");
            }
        }
    }
}
