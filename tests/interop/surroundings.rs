//! What surrounds a run: signals, streams that take nothing, directories that are gone.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{
    details::{BOTH, children, run, tree},
    needs::needs,
    peers::{self, Program, fake_shell},
};

/// Without the place in the program.
fn without_place(text: &str) -> String {
    let line = |line: &str| match (line.find(" at "), line.find(") [")) {
        (Some(from), Some(to)) => format!("{}{}", &line[..from], &line[to + 1..]),
        _ => line.into(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A local copy that is slow; a signal comes when something has been written.
fn signalled(program: Program, signal: Signal) -> (Option<i32>, String, Vec<String>) {
    let dir = tree(&["src", "dst"], &[]);
    fs::write(dir.path().join("src/file"), vec![7; 4 << 20]).unwrap();
    let mut child = peers::command(program.path(), dir.path())
        .args(["-a", "--bwlimit=500", "src/", "dst/"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while children(&dir.path().join("dst")).is_empty() && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(&child), signal).unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let code = child.wait().unwrap().code();
    // A process of the reference may still be removing its file.
    let killed = Instant::now();
    while !children(&dir.path().join("dst")).is_empty() && killed.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(1));
    }
    (code, without_place(&text), children(&dir.path().join("dst")))
}

#[test]
fn a_signal_leaves_nothing_behind_and_is_named() {
    for program in BOTH {
        for (signal, code, last) in [
            (Signal::USR1, 19, "rsync error: received SIGUSR1 (code 19) [sender=3.5.0]"),
            (Signal::TERM, 20, "rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20) [sender=3.5.0]"),
        ] {
            let (got, text, left) = signalled(program, signal);
            assert_eq!(got, Some(code), "{program:?} {signal:?}");
            // The process of the reference that writes can be ended before it knows what to remove.
            assert!(program == Program::Stock || left.is_empty(), "{signal:?}: {left:?}");
            assert!(text.lines().any(|line| line == last), "{program:?} {signal:?}: {text}");
        }
    }
}

/// The other signal of its own user; the reference ends with code 0, as if it were complete.
#[test]
fn a_second_user_signal_is_no_success() {
    let (code, text, left) = signalled(Program::Arsync, Signal::USR2);
    assert_eq!((code, left), (Some(19), Vec::new()));
    assert_eq!(text, "rsync error: received SIGUSR1 (code 19) [sender=3.5.0]");
}

/// Who cannot say what goes wrong does nothing more.
#[test]
fn without_a_stderr_that_takes_anything_a_run_ends() {
    for program in BOTH {
        for (words, shown) in [
            (&["-a", "src/", "nosuch", "dst/"][..], &[][..]),
            (&["-a", "--nosuch", "src/", "dst/"], &[]),
            (&["-a"], &[]),
            (&["-a", "src/", "dst/"], &["file"]),
        ] {
            let dir = tree(&["src", "dst"], &["src/file=x"]);
            let full = fs::File::options().write(true).open("/dev/full").unwrap();
            let status = peers::command(program.path(), dir.path())
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(full)
                .status()
                .unwrap();
            let code = if shown.is_empty() { 13 } else { 0 };
            assert_eq!(status.code(), Some(code), "{program:?} {words:?}");
            assert_eq!(children(&dir.path().join("dst")), shown, "{program:?} {words:?}");
        }
    }
}

/// A stdout that takes nothing ends a run that writes line by line; in blocks it is not noticed, nor what is said in the
/// end line by line.
#[test]
fn a_full_stdout_counts_where_it_is_not_written_in_blocks() {
    for program in BOTH {
        for (outbuf, what, code) in [
            ("--outbuf=N", "-v", 13),
            ("--outbuf=L", "-v", 13),
            ("--outbuf=B", "-v", 0),
            ("--outbuf=N", "--stats", 13),
            ("--outbuf=L", "--stats", 0),
            ("--outbuf=N", "--info=progress2", 13),
            ("--outbuf=L", "--info=progress2", 0),
        ] {
            let dir = tree(&["src", "dst"], &["src/file=x"]);
            let full = fs::File::options().write(true).open("/dev/full").unwrap();
            let out = peers::command(program.path(), dir.path())
                .args(["-a", what, outbuf, "src/", "dst/"])
                .stdin(Stdio::null())
                .stdout(full)
                .stderr(Stdio::piped())
                .output()
                .unwrap();
            assert_eq!(out.status.code(), Some(code), "{program:?} {outbuf} {what}");
            let text = without_place(&String::from_utf8(out.stderr).unwrap());
            let last = "rsync error: errors with program diagnostics (code 13) [sender=3.5.0]";
            assert_eq!(text.lines().any(|line| line == last), code == 13, "{program:?} {outbuf}: {text}");
        }
    }
}

/// Nothing begins in a directory that is gone.
#[test]
fn a_deleted_working_directory_ends_a_run() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/file=x"]);
        let at = |name: &str| dir.path().join(name).display().to_string();
        for words in [&["-a", &at("src/"), &at("dst/")][..], &[&at("src/")], &["--server", ".", &at("dst")]] {
            fs::create_dir(dir.path().join("gone")).unwrap();
            let script = "rmdir ../gone; exec \"$0\" \"$@\"";
            let out = Command::new("sh")
                .args(["-c", script, program.path()])
                .args(words)
                .current_dir(dir.path().join("gone"))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let text = without_place(&String::from_utf8(out.stderr).unwrap());
            let lines = "rsync: [Receiver] getcwd(): No such file or directory (2)\n\
                 rsync error: errors selecting input/output files, dirs (code 3) [Receiver=3.5.0]";
            assert_eq!((out.status.code(), &*text), (Some(3), lines), "{program:?} {words:?}");
            assert_eq!(children(&dir.path().join("dst")), [""; 0], "{program:?} {words:?}");
        }
    }
}

/// The client of a sender that ends in the middle names who has read from it.
#[test]
fn a_lost_connection_is_told_by_who_reads() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &[]);
        fs::write(dir.path().join("src/file"), vec![7; 4 << 20]).unwrap();
        let shell = dir.path().join("rsh");
        fs::write(&shell, "#!/bin/sh\n(sleep 1; kill -9 $$) &\nshift\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("--rsync-path={}", program.path());
        let from = format!("h:{}/src/", dir.path().display());
        let words = ["-a", "--bwlimit=400", "-e", shell.to_str().unwrap(), &path, &from, "dst/"];
        let out = run(program, dir.path(), &words);
        let text = without_place(&out.stderr);
        let told = |line: &str| text.lines().any(|told| told == line);
        assert_eq!(out.code, Some(12), "{program:?}: {text}");
        assert!(
            told("rsync error: error in rsync protocol data stream (code 12) [receiver=3.5.0]"),
            "{program:?}: {text}"
        );
        assert!(text.contains("received so far) [receiver]\n"), "{program:?}: {text}");
        assert_eq!(children(&dir.path().join("dst")), [""; 0], "{program:?}");
    }
}

/// Where no message carries a deletion its line has the permissions, also in a local copy.
#[test]
fn local_deletions_of_old_protocols_show_permissions() {
    for program in BOTH {
        for (protocol, lines) in [
            ("--protocol=28", "*deleting   rwxrwxrwx link\n*deleting   rw------- file\n"),
            ("--protocol=29", "*deleting   --------- link\n*deleting   --------- file\n"),
        ] {
            let dir = tree(&["src", "dst"], &["dst/file"]);
            symlink("x", dir.path().join("dst/link")).unwrap();
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(dir.path().join("dst/file"), mode).unwrap();
            let out = run(
                program,
                dir.path(),
                &["-r", protocol, "--delete", "--out-format=%i %B %n", "src/", "dst/"],
            );
            assert_eq!((out.code, &*out.stdout), (Some(0), lines), "{program:?} {protocol}");
        }
    }
}

/// A line of progress that is shorter than the one before covers it.
#[test]
fn a_shorter_line_of_progress_covers_the_one_before() {
    for program in BOTH {
        let mut names: Vec<String> = (0..12).map(|n| format!("src/f{n:02}=x")).collect();
        names.push("src/f99=x".into());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let dir = tree(&["src"], &names);
        let shell = fake_shell(dir.path());
        let path = format!("--rsync-path={}", program.path());
        let to = format!("h:{}/dst/", dir.path().display());
        for to in ["dst/", &to] {
            let words = ["-a", "--info=progress2", "-e", shell.to_str().unwrap(), &path, "src/", to];
            let out = run(program, dir.path(), &words);
            let covering: Vec<&str> = out.stdout.split('\r').filter(|line| line.ends_with(") ")).collect();
            assert_eq!(covering.len(), 1, "{program:?} {to}: {out:?}");
            assert!(covering[0].ends_with("(xfr#4, to-chk=9/14) "), "{program:?} {to}: {covering:?}");
            fs::remove_dir_all(Path::new(dir.path()).join("dst")).unwrap();
        }
    }
}

/// A remote shell that cannot be started is told by the process that would have become it, and by the one that waits.
#[test]
fn a_remote_shell_that_cannot_be_started_is_told_twice() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &[]);
        let out = run(program, dir.path(), &["-a", "-e", "/nosuch/shell", "src/", "h:dst/"]);
        let text = without_place(&out.stderr);
        let mut lines: Vec<&str> = text.lines().collect();
        // The end is met while writing or while reading.
        lines.retain(|line| !line.starts_with("rsync: [sender] safe_write failed"));
        lines.retain(|line| !line.starts_with("rsync: connection unexpectedly closed (0 bytes"));
        let wanted = [
            "rsync: [sender] Failed to exec /nosuch/shell: No such file or directory (2)",
            "rsync error: error in IPC code (code 14) [sender=3.5.0]",
            "rsync error: error in IPC code (code 14) [sender=3.5.0]",
        ];
        assert_eq!((lines.len(), &lines[..2]), (3, &wanted[..2]), "{program:?}: {text}");
        // Whether the reference hears the code of its child depends on which of them is faster.
        if program == Program::Arsync || out.code != Some(12) {
            assert_eq!((out.code, lines[2]), (Some(14), wanted[2]), "{program:?}: {text}");
        }
    }
}

/// What may be executed and names no interpreter is read by a shell.
#[test]
fn a_remote_shell_need_not_name_its_interpreter() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/file=x"]);
        let shell = dir.path().join("rsh");
        fs::write(&shell, "shift\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("--rsync-path={}", program.path());
        let to = format!("h:{}/dst/", dir.path().display());
        let out = run(program, dir.path(), &["-a", "-e", shell.to_str().unwrap(), &path, "src/", &to]);
        assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?}");
        assert_eq!(children(&dir.path().join("dst")), ["file"], "{program:?}");
    }
}

#[test]
fn a_directory_in_place_of_a_file_of_rules_has_no_rules() {
    for program in BOTH {
        for rules in ["--exclude-from=src", "--include-from=src", "--filter=merge src"] {
            let dir = tree(&["src", "dst"], &["src/file=x"]);
            let out = run(program, dir.path(), &["-a", rules, "src/", "dst/"]);
            assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {rules}");
            assert_eq!(children(&dir.path().join("dst")), ["file"], "{program:?} {rules}");
        }
    }
}

/// Of several options that write a batch the last counts.
#[test]
fn the_last_option_that_writes_a_batch_counts() {
    for program in BOTH {
        for (words, batch, copied) in [
            (["--write-batch=a", "--only-write-batch=b"], "b", false),
            (["--only-write-batch=b", "--write-batch=a"], "a", true),
            (["--only-write-batch=b", "--only-write-batch=a"], "a", false),
        ] {
            let dir = tree(&["src", "dst"], &["src/file=x"]);
            let out = run(program, dir.path(), &[&["-a"][..], &words, &["src/", "dst/"]].concat());
            assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {words:?}");
            let script = format!("{batch}.sh");
            assert_eq!(children(dir.path()), [batch, &script, "dst", "src"], "{program:?} {words:?}");
            assert_eq!(dir.path().join("dst/file").exists(), copied, "{program:?} {words:?}");
        }
    }
}

/// An empty name of an alternate directory is the destination itself.
#[test]
fn an_empty_alternate_directory_is_the_destination() {
    for program in BOTH {
        for option in ["--compare-dest=", "--copy-dest=", "--link-dest="] {
            let dir = tree(&["src", "dst"], &["src/file=x"]);
            let out = run(program, dir.path(), &["-ai", option, "src/", "dst/"]);
            let lines = ">f+++++++++ file\n";
            assert_eq!((out.code, &*out.stdout, &*out.stderr), (Some(0), lines, ""), "{program:?} {option}");
        }
    }
}

/// Where a daemon leaves in the handshake, what it said before is not among the bytes received.
#[test]
fn a_daemon_that_leaves_in_the_handshake_has_sent_nothing() {
    for program in BOTH {
        let dir = tree(&["dst"], &[]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let from = format!("rsync://127.0.0.1:{}/module/", listener.local_addr().unwrap().port());
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"@RSYNCD: 29\n@RSYNCD: OK\n").unwrap();
            let (mut said, mut byte) = (Vec::new(), [0u8]);
            // The arguments end with an empty line.
            while !said.ends_with(b"\n\n") && stream.read(&mut byte).unwrap() > 0 {
                said.push(byte[0]);
            }
        });
        let out = run(program, dir.path(), &["-a", &from, "dst/"]);
        daemon.join().unwrap();
        let lines = "rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]\n\
             rsync error: error in rsync protocol data stream (code 12) [Receiver=3.5.0]";
        assert_eq!((out.code, &*without_place(&out.stderr)), (Some(12), lines), "{program:?}");
    }
}

/// Sources on several file systems: each is copied as far as its own goes.
#[test]
fn each_source_stays_on_its_own_file_system() {
    let namespace =
        || Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !needs("a mount namespace, for another file system", geteuid().is_root() && namespace()) {
        return;
    }
    let script = "set -e; mount --make-rprivate /; for d in b c; do mount -t tmpfs none src/$d; done; \
                  for d in a b c; do mkdir -p src/$d/in/deep; echo $d > src/$d/in/deep/f; done; \
                  mkdir src/c/m; mount -t tmpfs none src/c/m; echo m > src/c/m/hidden; exec \"$@\"";
    for program in BOTH {
        for words in [&["-rx"][..], &["-rx", "--no-i-r"], &["-rxR"]] {
            let dir = tree(&["src/a", "src/b", "src/c"], &[]);
            let mut line = peers::command("unshare", dir.path());
            line.args(["-m", "sh", "-c", script, "sh", program.path()]).args(words);
            line.args(["src/a", "src/b", "src/c", "dst/"]);
            let out = peers::run(&mut line);
            assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {words:?}");
            let to = dir.path().join(if words == ["-rxR"] { "dst/src" } else { "dst" });
            for name in ["a", "b", "c"] {
                let text = fs::read_to_string(to.join(name).join("in/deep/f"));
                assert_eq!(text.unwrap(), format!("{name}\n"), "{program:?} {words:?}");
            }
            assert!(children(&to.join("c/m")).is_empty(), "{program:?} {words:?}");
        }
    }
}

/// Many directories, and few files that may be open at once.
#[test]
fn few_open_files_are_enough_for_many_directories() {
    let dir = tree(&["src"], &[]);
    for n in 0..100 {
        fs::create_dir_all(dir.path().join(format!("src/{n}/a/b"))).unwrap();
        for name in ["f", "a/f", "a/b/f"] {
            fs::write(dir.path().join(format!("src/{n}/{name}")), n.to_string()).unwrap();
        }
    }
    let shell = fake_shell(dir.path());
    for program in BOTH {
        let to = format!("dst-{program:?}");
        let (path, remote) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/{to}/r/", dir.path().display()));
        let local = format!("{to}/l/");
        for way in [&["src/", &local][..], &["-e", shell.to_str().unwrap(), &path, "src/", &remote]] {
            let limited = ["-c", "ulimit -n 20; exec \"$@\"", "sh", program.path(), "-a", "--mkpath"];
            let out = peers::run(peers::command("/bin/sh", dir.path()).args(limited).args(way));
            assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {way:?}");
        }
        for place in ["l", "r"] {
            let text = fs::read_to_string(dir.path().join(format!("{to}/{place}/99/a/b/f")));
            assert_eq!(text.unwrap(), "99", "{program:?} {place}");
        }
    }
}

/// Files below `/sys` have less than they say; so has one that is truncated while it is read.
#[test]
fn a_file_that_has_less_than_it_says_is_no_success() {
    let file = "/sys/devices/system/cpu/online";
    if !needs("a file of /sys that is shorter than its size", fs::metadata(file).is_ok_and(|m| m.len() > 512))
    {
        return;
    }
    let ways = [
        ("", "discarded", "discarded", "old"),
        ("--no-W", "discarded", "discarded", "old"),
        ("--inplace", "retained", "retained", "new"),
        ("--partial", "discarded", "discarded", "new"),
        ("--partial-dir=.p", "discarded", "put into partial-dir", "old"),
    ];
    for (option, first, second, left) in ways {
        for program in BOTH {
            for remote in [false, true] {
                let dir = tree(&["dst"], &["dst/online=old"]);
                let shell = fake_shell(dir.path());
                let path = format!("--rsync-path={}", program.path());
                let far = format!("h:{file}");
                let mut words = vec!["-tv"];
                words.extend((!option.is_empty()).then_some(option));
                match remote {
                    true => words.extend(["-e", shell.to_str().unwrap(), &path, &far]),
                    false => words.push(file),
                }
                words.push("dst/");
                let out = run(program, dir.path(), &words);
                let what = format!("{program:?} {words:?}: {out:?}");
                assert_eq!(out.code, Some(23), "{what}");
                let read = format!("read errors mapping \"{file}\": No data available (61)");
                assert_eq!(out.stderr.matches(&read).count(), 2, "{what}");
                let told = format!("{}{}", out.stdout, out.stderr);
                for line in [
                    format!("WARNING: online failed verification -- update {first} (will try again)."),
                    format!("ERROR: online failed verification -- update {second}."),
                ] {
                    assert!(told.contains(&line), "{what}");
                }
                let stands = fs::read(dir.path().join("dst/online")).unwrap();
                assert_eq!(stands == b"old", left == "old", "{what}");
                assert_eq!(dir.path().join("dst/.p/online").exists(), option == "--partial-dir=.p", "{what}");
            }
        }
    }
}

/// With `-s` no shell expands what is asked for: the server does, on either side.
#[test]
fn a_server_expands_protected_wildcards() {
    for program in BOTH {
        let dir =
            tree(&["src/d/e", "src/.h"], &["src/a1", "src/a2", "src/b c", "src/[x]", "src/x", "src/d/a1"]);
        let shell = fake_shell(dir.path());
        let path = format!("--rsync-path={}", program.path());
        let at = dir.path().to_str().unwrap();
        for (pattern, code, expected) in [
            ("*", 0, "[x] a1 a2 b c x .h d"),
            ("a?", 0, "a1 a2"),
            ("[x]", 0, "x"),
            ("[ab]*", 0, "a1 a2 b c"),
            ("*/a1", 23, "a1"),
            ("d*/a1", 0, "a1"),
            ("*/a1/", 23, ""),
            ("b *", 0, "b c"),
            ("./*/", 0, ". a1 e"),
            (".h*", 0, ".h"),
            ("z*", 23, ""),
            ("a\\1", 23, ""),
        ] {
            let what = format!("h:{at}/src/{pattern}");
            let words = ["-s", "--list-only", "-e", shell.to_str().unwrap(), &path, &what];
            let out = run(program, dir.path(), &words);
            let names: Vec<&str> = out.stdout.lines().filter_map(|line| line.get(46..)).collect();
            assert_eq!(
                (out.code, &*names.join(" ")),
                (Some(code), expected),
                "{program:?} {pattern}: {out:?}"
            );
        }
        let to = format!("h:{at}/src/[d]/");
        let out = run(program, dir.path(), &["-s", "-e", shell.to_str().unwrap(), &path, "src/x", &to]);
        assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?}");
        assert!(dir.path().join("src/d/x").exists(), "{program:?}");
    }
}
