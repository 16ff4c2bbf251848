//! One configuration, served by stock rsync and by arsync: what their clients see is the same.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, lchown, symlink},
        net::UnixDatagram,
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    daemon::Daemon,
    needs::{needs, needs_root},
    peers::{Outcome, Program, command, run},
};

const PROGRAMS: [Program; 2] = [Program::Stock, Program::Arsync];
/// Somebody who is neither root nor whoever runs the tests.
const OTHER: u32 = 4_000_001;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A configuration: DIR in it is the directory, PROGRAM who serves.
fn config(program: Program, dir: &Path, text: &str) -> String {
    let ids = if is_root() { "uid = root\ngid = root\n" } else { "" };
    let text = text.replace("DIR", dir.to_str().unwrap()).replace("PROGRAM", &format!("{program:?}"));
    format!("use chroot = no\n{ids}log file = {}/log.{program:?}\n{text}", dir.display())
}

/// Has each program serve a configuration, and `check` see the daemon.
fn each(dir: &Path, text: &str, check: impl Fn(Program, &Daemon)) {
    for program in PROGRAMS {
        check(program, &Daemon::with(program, dir, &config(program, dir, text)));
    }
}

fn stock(dir: &Path, words: &[&str]) -> Outcome {
    run(command("rsync", dir).args(words))
}

/// The first line of what a client says.
fn first(outcome: &Outcome) -> &str {
    outcome.stderr.lines().next().unwrap_or_default()
}

/// Waits for something that another process does.
fn eventually(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory `d` with a few files in it.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/a"), "a").unwrap();
    dir
}

/// Names go through UTF-8 if the client asks for it, and a module can insist on that.
#[test]
fn a_charset_belongs_to_a_module() {
    let dir = bench();
    fs::write(dir.path().join("café"), "x").unwrap();
    let text = "read only = no\npath = DIR/d\n[none]\n[latin]\ncharset = ISO-8859-1\n\
                [force]\ncharset = ISO-8859-1\nrefuse options = no-iconv\n[torn]\nrefuse options = no-iconv\n";
    each(dir.path(), text, |program, daemon| {
        let latin = dir.path().join("d").join(OsStr::from_bytes(b"caf\xe9"));
        for module in ["latin/", "force/"] {
            let put = stock(dir.path(), &["--iconv=UTF-8", "café", &daemon.url(module)]);
            assert_eq!((put.code, &*put.stderr), (Some(0), ""), "{program:?}");
            assert!(latin.exists(), "{program:?}");
            let got = stock(dir.path(), &["-r", "--iconv=UTF-8", &daemon.url(module), "got"]);
            assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program:?}");
            assert!(dir.path().join("got/café").exists(), "{program:?}");
            fs::remove_dir_all(dir.path().join("got")).unwrap();
            fs::remove_file(&latin).unwrap();
        }
        // Without the option, names are bytes.
        let put = stock(dir.path(), &["café", &daemon.url("latin/")]);
        assert_eq!((put.code, &*put.stderr), (Some(0), ""), "{program:?}");
        fs::remove_file(dir.path().join("d/café")).unwrap();
        for (module, option, refused) in [
            ("none/", "--iconv=UTF-8", "--iconv"),
            ("torn/", "--iconv=UTF-8", "--iconv"),
            ("torn/", "--no-iconv", "--no-iconv"),
            ("force/", "--no-iconv", "--no-iconv"),
            ("force/", "-t", "--no-iconv"),
        ] {
            let put = stock(dir.path(), &[option, "café", &daemon.url(module)]);
            let text = format!("rsync: The server is configured to refuse {refused}");
            assert_eq!((put.code, first(&put)), (Some(4), &*text), "{program:?} {module} {option}");
        }
    });
}

/// Of the patterns of `dont compress` one has an effect, and with compressors that know how to store.
#[test]
fn one_pattern_switches_compression_off() {
    let dir = bench();
    let text = "some words that are worth compressing\n".repeat(4000);
    fs::write(dir.path().join("d/a"), &text).unwrap();
    let modules = "path = DIR/d\n[plain]\n[gz]\ndont compress = *.gz a\n[all]\ndont compress = *.gz *\n";
    each(dir.path(), modules, |program, daemon| {
        let received = |compressor: &str, module: &str| {
            let _ = fs::remove_file(dir.path().join("got"));
            let choice = format!("--zc={compressor}");
            let got = stock(dir.path(), &["-z", &choice, "--zl=9", "--stats", &daemon.url(module), "got"]);
            assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program:?}");
            assert_eq!(fs::read_to_string(dir.path().join("got")).unwrap(), text);
            let line =
                got.stdout.lines().find_map(|line| line.strip_prefix("Total bytes received: ")).unwrap();
            line.replace(',', "").parse::<usize>().unwrap()
        };
        for compressor in ["zlib", "zlibx"] {
            assert!(received(compressor, "plain/a") < 5000, "{program:?} {compressor}");
            assert!(received(compressor, "gz/a") < 5000, "{program:?} {compressor}");
            assert!(received(compressor, "all/a") > text.len(), "{program:?} {compressor}");
        }
        for compressor in ["lz4", "zstd"] {
            assert!(received(compressor, "all/a") < 5000, "{program:?} {compressor}");
        }
    });
    // The peer's decompressor has seen stored data and matched blocks in one stream.
    each(dir.path(), modules, |program, daemon| {
        for compressor in ["zlib", "zlibx"] {
            fs::write(dir.path().join("got"), [&text[..50_000], "other", &text[60_000..]].concat()).unwrap();
            let choice = format!("--zc={compressor}");
            let got = stock(dir.path(), &["-z", &choice, "--no-W", "-I", &daemon.url("all/a"), "got"]);
            assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program:?}");
            assert_eq!(fs::read_to_string(dir.path().join("got")).unwrap(), text);
        }
    });
}

/// What a daemon allows is the most that a client gets, whatever it asks for.
#[test]
fn a_daemon_limits_the_bandwidth() {
    let dir = bench();
    fs::write(dir.path().join("d/a"), vec![b'x'; 150_000]).unwrap();
    for program in PROGRAMS {
        let text = config(program, dir.path(), "[m]\npath = DIR/d\n");
        let limited = Daemon::with_words(program, dir.path(), &text, &["--bwlimit=100"]);
        for (daemon, slow) in [(&limited, true), (&Daemon::with(program, dir.path(), &text), false)] {
            let _ = fs::remove_file(dir.path().join("got"));
            let got = stock(dir.path(), &["--bwlimit=10m", &daemon.url("m/a"), "got"]);
            assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program:?}");
            // 150 KB at 100 KiB a second.
            assert_eq!(got.elapsed > Duration::from_millis(900), slow, "{program:?} {:?}", got.elapsed);
        }
    }
}

/// Whether this process may have a mount namespace of its own.
fn has_namespaces() -> bool {
    is_root() && Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success())
}

/// Without a log file, lines go to the system's log: a socket in the place of `/dev/log`, where only the daemon sees it.
#[test]
fn the_system_log_gets_lines() {
    if !needs("a mount namespace, for a socket in /dev", has_namespaces()) {
        return;
    }
    let dir = bench();
    let at = |name: &str| dir.path().join(name);
    // A `/dev` with the socket in it, and with the files of this test, which may be in `/dev/shm`.
    fs::create_dir_all(at("dev/shm")).unwrap();
    for name in ["null", "urandom"] {
        fs::write(at("dev").join(name), "").unwrap();
    }
    let script = format!(
        "set -e; mount --make-rprivate /; cd {0}; for n in null urandom; do mount --bind /dev/$n dev/$n; done; \
         if [ -d /dev/shm ]; then mount --rbind /dev/shm dev/shm; fi; mount --rbind dev /dev; exec \"$@\"",
        dir.path().display()
    );
    let mut all = Vec::new();
    for program in PROGRAMS {
        let _ = fs::remove_file(at("dev/log"));
        let log = UnixDatagram::bind(at("dev/log")).unwrap();
        log.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let text = "use chroot = no\nuid = root\ngid = root\nsyslog facility = local3\nsyslog tag = served\n\
                    [m]\npath = DIR/d\n[away]\npath = DIR/d\nhosts deny = *\n";
        let conf = at("syslog.conf");
        fs::write(&conf, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut child = command("unshare", dir.path())
            .args(["-m", "sh", "-c", &script, "sh", program.path(), "--daemon", "--no-detach"])
            .args(["--address=127.0.0.1", &format!("--port={port}"), &format!("--config={}", conf.display())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = Vec::new();
        let mut wait_for = |end: &str| {
            let mut buffer = [0; 1024];
            loop {
                let len = log.recv(&mut buffer).unwrap_or_else(|e| panic!("{program:?}: no {end:?}: {e}"));
                let line = String::from_utf8_lossy(&buffer[..len]).into_owned();
                let is_last = line.contains(end);
                lines.push(masked(&line));
                if is_last {
                    return;
                }
            }
        };
        wait_for("listening on port");
        assert_eq!(stock(dir.path(), &[&format!("rsync://127.0.0.1:{port}/m/a"), "got"]).code, Some(0));
        wait_for("total size");
        assert_eq!(stock(dir.path(), &[&format!("rsync://127.0.0.1:{port}/away/a"), "got"]).code, Some(5));
        wait_for("rsync denied");
        let _ = child.kill();
        let _ = child.wait();
        all.push(lines);
    }
    let [reference, own] = &all[..] else { unreachable!() };
    assert_eq!(own, reference);
    // Facility 19, priority 6.
    assert_eq!(own.first().unwrap(), "<158>served[N]: rsyncd version N.N.N starting, listening on port N");
    assert_eq!(own.last().unwrap(), "<158>served[N]: rsync denied on module away from localhost (N.N.N.N)");
}

/// A line for the system's log without its time, and with `N` for each number but the priority.
fn masked(line: &str) -> String {
    let (priority, rest) = line.split_once('>').unwrap();
    // `Nov  8 21:16:21 ` is 16 bytes long.
    let mut out = format!("{priority}>");
    // The reference ends its lines as those of a file.
    for c in rest[16..].trim_end().chars() {
        match c {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            other => out.push(other),
        }
    }
    out
}

/// `daemon chroot`, `daemon uid` and `daemon gid` hold before the first word is said.
#[test]
fn a_daemon_can_step_down_before_it_speaks() {
    if !needs_root("nobody else may change the root") {
        return;
    }
    let dir = bench();
    let at = |name: &str| dir.path().join(name);
    for (name, mode) in [("d", 0o777), ("d/a", 0o644)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(at("d/shut"), "s").unwrap();
    fs::set_permissions(at("d/shut"), fs::Permissions::from_mode(0o600)).unwrap();
    for program in PROGRAMS {
        // What the daemon opens for a connection is then below its root.
        let conf = "use chroot = no\ndaemon uid = 65534\ndaemon gid = 65533\n";
        let jailed =
            format!("{conf}daemon chroot = {}\n[m]\npath = /d\nread only = no\n", dir.path().display());
        let free = format!("{conf}[m]\npath = {}/d\nread only = no\n", dir.path().display());
        // With a hook the process divides behind its change of root. There is no shell that could run it.
        let divided = format!("{jailed}post-xfer exec = true\n");
        for text in [jailed, divided, free] {
            let daemon = Daemon::with(program, dir.path(), &text);
            let got = stock(dir.path(), &["-r", &daemon.url("m/"), "got"]);
            let why = "rsync: [sender] send_files failed to open \"shut\" (in m): Permission denied (13)";
            assert_eq!((got.code, first(&got)), (Some(23), why), "{program:?} {text}");
            assert_eq!(fs::read_to_string(at("got/a")).unwrap(), "a");
            fs::remove_dir_all(at("got")).unwrap();
            let put = stock(dir.path(), &["/dev/null", "--copy-devices", &daemon.url("m/new")]);
            assert_eq!((put.code, &*put.stderr), (Some(0), ""), "{program:?} {text}");
            let meta = fs::metadata(at("d/new")).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (65534, 65533), "{program:?} {text}");
            fs::remove_file(at("d/new")).unwrap();
        }
    }
}

/// As inetd starts it: the socket is standard input, and nothing listens.
#[test]
fn a_socket_as_standard_input_is_one_connection() {
    let dir = bench();
    for program in PROGRAMS {
        let conf = dir.path().join("inetd.conf");
        fs::write(&conf, config(program, dir.path(), "pid file = DIR/pid\n[m]\npath = DIR/d\n")).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("rsync://127.0.0.1:{}/m/a", listener.local_addr().unwrap().port());
        let mut client = command("rsync", dir.path()).args([&url, "got"]).spawn().unwrap();
        let (socket, _) = listener.accept().unwrap();
        let served = run(command(program.path(), dir.path())
            .args(["--daemon", &format!("--config={}", conf.display())])
            .stdin(std::os::fd::OwnedFd::from(socket)));
        assert_eq!((served.code, &*served.stdout, &*served.stderr), (Some(0), "", ""), "{program:?}");
        assert_eq!(client.wait().unwrap().code(), Some(0), "{program:?}");
        assert_eq!(fs::read_to_string(dir.path().join("got")).unwrap(), "a");
        fs::remove_file(dir.path().join("got")).unwrap();
        assert!(!dir.path().join("pid").exists(), "{program:?}");
    }
}

#[test]
fn hosts_are_let_in_by_both_lists() {
    let dir = bench();
    let text = "path = DIR/d\n[all]\n[not-me]\nhosts deny = 127.0.0.1\n[net]\nhosts deny = 127.0.0.0/8\n\
                [other]\nhosts deny = 192.0.2.0/24 ::1\n[both]\nhosts allow = 127.0.0.0/255.0.0.0\nhosts deny = *\n\
                [name]\nhosts deny = LOCALHOST\n[wild]\nhosts allow = loc*\n[bad]\nhosts deny = no-such-host.invalid\n\
                [hidden]\nhosts deny = *\nlist = no\n[group]\nhosts allow = @no-such-group\n\
                [ungroup]\nhosts deny = @no-such-group\n";
    each(dir.path(), text, |program, daemon| {
        for (module, enters) in [
            ("all", true),
            ("not-me", false),
            ("net", false),
            ("other", true),
            ("both", true),
            ("name", false),
            ("wild", true),
            ("bad", false),
            ("hidden", false),
            ("group", false),
            ("ungroup", true),
        ] {
            let got = stock(dir.path(), &[&daemon.url(&format!("{module}/"))]);
            let text = match module {
                "hidden" => "@ERROR: Unknown module 'hidden'".to_owned(),
                _ => format!("@ERROR: access denied to {module} from localhost (127.0.0.1)"),
            };
            let expected = if enters { (Some(0), "") } else { (Some(5), &*text) };
            assert_eq!((got.code, first(&got)), expected, "{program:?} {module}");
        }
    });
}

/// Whoever else can read or write the secrets could have made them.
#[test]
fn secrets_that_others_can_open_open_nothing() {
    let dir = bench();
    let secrets = dir.path().join("secrets");
    fs::write(&secrets, "joe:secret\n").unwrap();
    let text =
        "path = DIR/d\nauth users = joe\nsecrets file = DIR/secrets\n[strict]\n[lax]\nstrict modes = no\n";
    each(dir.path(), text, |program, daemon| {
        let cases = [(0o600, None, true), (0o640, None, true), (0o604, None, false), (0o602, None, false)];
        let owned = [(0o600, Some(OTHER), false)];
        for (mode, owner, strict_enters) in
            cases.into_iter().chain(owned).filter(|c| c.1.is_none() || is_root())
        {
            fs::set_permissions(&secrets, fs::Permissions::from_mode(mode)).unwrap();
            if is_root() {
                std::os::unix::fs::chown(&secrets, Some(owner.unwrap_or(0)), None).unwrap();
            }
            for (module, enters) in [("strict", strict_enters), ("lax", true)] {
                let url = daemon.url(&format!("{module}/")).replace("//", "//joe@");
                let got = run(command("rsync", dir.path()).env("RSYNC_PASSWORD", "secret").arg(url));
                let text = format!("@ERROR: auth failed on module {module}");
                let expected = if enters { (Some(0), "") } else { (Some(5), &*text) };
                assert_eq!((got.code, first(&got)), expected, "{program:?} {module} {mode:o} {owner:?}");
            }
        }
        let log = fs::read_to_string(dir.path().join(format!("log.{program:?}"))).unwrap();
        let line = "auth failed on module strict from localhost (127.0.0.1) for joe: ignoring secrets file";
        assert!(log.contains(line), "{program:?} {log}");
    });
}

/// Hooks see the connection, the request, and how it ended.
#[test]
fn hooks_see_the_same_variables() {
    let dir = bench();
    let dump = "(env | grep '^RSYNC_' | grep -v '^RSYNC_PID=' | sort; cat)";
    let text = format!(
        "path = DIR/d\n[m]\nearly exec = {dump} > DIR/early.PROGRAM\npre-xfer exec = {dump} > DIR/pre.PROGRAM\n\
         post-xfer exec = {dump} > DIR/tmp.PROGRAM; mv DIR/tmp.PROGRAM DIR/post.PROGRAM\n\
         [words]\nearly exec = test %RSYNC_USER_NAME% = joe && echo %RSYNC_MODULE_NAME%/%RSYNC_REQUEST% > DIR/words.PROGRAM\n\
         [killed]\nread only = no\npre-xfer exec = kill -9 $$\n[loud]\npre-xfer exec = echo heard by nobody\n\
         [after]\npost-xfer exec = exit 9\n"
    );
    each(dir.path(), &text, |program, daemon| {
        let at = |name: &str| dir.path().join(format!("{name}.{program:?}"));
        let text = |name: &str| fs::read_to_string(at(name)).unwrap_or_default();
        let place = dir.path().display();
        let common = format!(
            "RSYNC_HOST_ADDR=127.0.0.1\nRSYNC_HOST_NAME=localhost\nRSYNC_MODULE_NAME=m\nRSYNC_MODULE_PATH={place}/d\n"
        );
        fs::write(dir.path().join("input"), "early words\n").unwrap();
        for (path, code, raw) in [("m/a", 0, 0), ("m/nope", 23, 5888)] {
            let got = stock(dir.path(), &["--early-input=input", &daemon.url(path), "got"]);
            assert_eq!(got.code, Some(code), "{program:?}");
            eventually("the last hook", || at("post").exists());
            assert_eq!(
                text("early"),
                format!("{common}RSYNC_REQUEST=(NONE)\nRSYNC_USER_NAME=\nearly words\n"),
                "{program:?}"
            );
            let name = path.strip_prefix("m/").unwrap();
            assert_eq!(
                text("pre"),
                format!(
                    "RSYNC_ARG0=rsyncd\nRSYNC_ARG1=--server\nRSYNC_ARG2=--sender\nRSYNC_ARG3=-e.LsfxCIvu\n\
                     RSYNC_ARG4=.\nRSYNC_ARG5={name}\n{common}RSYNC_REQUEST={path}\nRSYNC_USER_NAME=\n"
                ),
                "{program:?}"
            );
            assert_eq!(
                text("post"),
                format!("RSYNC_EXIT_STATUS={code}\n{common}RSYNC_RAW_STATUS={raw}\nRSYNC_USER_NAME=\n"),
                "{program:?}"
            );
            fs::remove_file(at("post")).unwrap();
        }
        // An empty value is a word too, and what is not known yet stays as it is.
        let got = stock(dir.path(), &[&daemon.url("words/a"), "got"]);
        assert_eq!((got.code, first(&got)), (Some(5), "@ERROR: early exec failed"), "{program:?}");
        let put = stock(dir.path(), &["input", &daemon.url("killed/")]);
        assert_eq!((put.code, first(&put)), (Some(4), "pre-xfer exec returned failure (256)"), "{program:?}");
        for module in ["loud/a", "after/a"] {
            let got = stock(dir.path(), &[&daemon.url(module), "got"]);
            assert_eq!((got.code, &*got.stdout, &*got.stderr), (Some(0), "", ""), "{program:?} {module}");
        }
    });
}

/// A symlink of somebody else on the way to a file of the operator is not followed.
#[test]
fn files_of_the_operator_are_not_reached_through_links_of_others() {
    if !needs_root("nobody else can give links away") {
        return;
    }
    let dir = bench();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("real")).unwrap();
    for (name, text) in
        [("motd", "Be welcome\n"), ("secrets", "joe:secret\n"), ("rules", "a\n"), ("lock", "")]
    {
        fs::write(at("real").join(name), text).unwrap();
    }
    fs::set_permissions(at("real/secrets"), fs::Permissions::from_mode(0o600)).unwrap();
    for (link, owner) in [("own", 0), ("theirs", OTHER)] {
        symlink("real", at(link)).unwrap();
        lchown(at(link), Some(owner), None).unwrap();
    }
    for (link, fine) in [("own", true), ("theirs", false)] {
        let text = format!(
            "path = DIR/d\nmotd file = DIR/{link}/motd\n[auth]\nauth users = joe\nsecrets file = DIR/{link}/secrets\n\
             [rules]\nexclude from = DIR/{link}/rules\n[lock]\nmax connections = 4\nlock file = DIR/{link}/lock\n"
        );
        each(dir.path(), &text, |program, daemon| {
            let list = stock(dir.path(), &[&daemon.url("")]);
            assert_eq!(list.stdout.contains("Be welcome"), fine, "{program:?} {link}: {}", list.stdout);
            for module in ["auth/", "rules/", "lock/"] {
                let url = daemon.url(module).replace("//", "//joe@");
                let got = run(command("rsync", dir.path()).env("RSYNC_PASSWORD", "secret").arg(url));
                assert_eq!(got.code, Some(if fine { 0 } else { 5 }), "{program:?} {module}: {}", got.stderr);
            }
        });
        for program in PROGRAMS {
            let _ = fs::remove_file(at("real/log"));
            let text = format!(
                "use chroot = no\nlog file = {0}/{link}/log\n[m]\npath = {0}/d\n",
                dir.path().display()
            );
            let daemon = Daemon::with(program, dir.path(), &text);
            assert_eq!(stock(dir.path(), &[&daemon.url("m/")]).code, Some(0), "{program:?}");
            assert_eq!(at("real/log").exists(), fine, "{program:?} {link}");
        }
    }
}

/// Where a client's options may lead below a module that is no root.
#[test]
fn backups_and_temporaries_stay_in_the_destination() {
    let dir = bench();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("f"), "new").unwrap();
    let text = "[m]\npath = DIR/d\nread only = no\nmunge symlinks = no\n";
    each(dir.path(), text, |program, daemon| {
        for (option, made) in [("--backup-dir=../bak", "d/x/dst/bak/f"), ("--backup-dir=/bak", "d/bak/f")] {
            fs::create_dir_all(at("d/x/dst")).unwrap();
            fs::write(at("d/x/dst/f"), "old").unwrap();
            let put = stock(dir.path(), &["-bI", option, "f", &daemon.url("m/x/dst/")]);
            assert_eq!((put.code, &*put.stderr), (Some(0), ""), "{program:?} {option}");
            assert_eq!(fs::read_to_string(at(made)).unwrap(), "old", "{program:?} {option}");
            fs::remove_dir_all(at(made).parent().unwrap()).unwrap();
        }
        // Beside the destination there is no such directory for it.
        fs::create_dir_all(at("d/x/tmp")).unwrap();
        let put = stock(dir.path(), &["-I", "--temp-dir=../tmp", "f", &daemon.url("m/x/dst/")]);
        assert_eq!((put.code, first(&put)), (Some(1), "The temp-dir does not exist: tmp"), "{program:?}");
        fs::remove_dir_all(at("d/x")).unwrap();
    });
}

/// What no client says, said to both: the connection ends, and the next one is served.
#[test]
fn what_no_client_says_is_answered_alike() {
    let dir = bench();
    let hello = "@RSYNCD: 31.0 md5\n";
    let long = "x".repeat(5000);
    let cases: Vec<(Vec<u8>, Option<&str>)> = vec![
        (b"\xff\x80garbage\n".to_vec(), Some("protocol startup error")),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), Some("protocol startup error")),
        (b"@RSYNCD: 31.0".to_vec(), None),
        (format!("{hello}../m\n").into_bytes(), Some("Unknown module '../m'")),
        (format!("{hello}m/../../etc\n").into_bytes(), Some("Unknown module 'm/../../etc'")),
        (format!("{hello}/etc\n").into_bytes(), Some("Unknown module '/etc'")),
        (format!("{hello}m\0\n").into_bytes(), None),
        (format!("{hello}{long}\n").into_bytes(), None),
        (format!("{hello}#early_input=99999999\n").into_bytes(), Some("invalid early_input length")),
        (format!("{hello}#early_input=-1\n").into_bytes(), Some("invalid early_input length")),
        (format!("{hello}#bogus\n").into_bytes(), Some("Unknown command '#bogus'")),
        (format!("{hello}auth\njoe\n").into_bytes(), Some("auth failed on module auth")),
        (format!("{hello}auth\n\n").into_bytes(), Some("auth failed on module auth")),
    ];
    let text = "[m]\npath = DIR/d\n[auth]\npath = DIR/d\nauth users = joe\nsecrets file = DIR/none\n";
    each(dir.path(), text, |program, daemon| {
        for (sent, expected) in &cases {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = stream.write_all(sent);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got);
            let text = String::from_utf8_lossy(&got);
            let error = text.lines().find_map(|line| line.strip_prefix("@ERROR: "));
            let shown = String::from_utf8_lossy(&sent[..sent.len().min(40)]);
            assert_eq!(error, *expected, "{program:?} {shown:?}");
        }
        assert_eq!(stock(dir.path(), &[&daemon.url("m/")]).code, Some(0), "{program:?}");
    });
}

/// Below protocol 31 there is no word for the end, so the client's own code says little: the lines in front of it tell.
#[test]
fn clients_of_old_versions_are_told_why_a_session_ends() {
    let text = "[m]\npath = DIR/d\nread only = no\n";
    let dir = bench();
    fs::create_dir(dir.path().join("s")).unwrap();
    fs::write(dir.path().join("s/f"), "f").unwrap();
    each(dir.path(), text, |program, daemon| {
        let module = daemon.url("m/");
        for (words, lines) in [
            (
                &["--usermap=x", "s/f", &*module][..],
                ["No colon found in --usermap: x", "rsync error: syntax or usage error (code 1) at "],
            ),
            (
                &["--temp-dir=none", "s/f", &module],
                ["The temp-dir does not exist: none", "rsync error: syntax or usage error (code 1) at "],
            ),
        ] {
            for protocol in ["--protocol=29", "--protocol=30"] {
                let out = stock(dir.path(), &[&["-a", protocol], words].concat());
                let told: Vec<_> = out.stderr.lines().take(2).collect();
                let is_told = told.iter().zip(lines).all(|(told, line)| told.starts_with(line));
                assert!(told.len() == 2 && is_told, "{program:?} {protocol} {words:?}: {out:?}");
            }
        }
        let words = ["-aR", "--no-implied-dirs", "--protocol=29", "s/f", &module];
        let out = stock(dir.path(), &words);
        assert!(first(&out).starts_with("ABORTING due to invalid path from sender"), "{program:?}: {out:?}");
    });
}

/// A client's `-M--chmod` comes before what the module makes of permissions.
#[test]
fn permissions_are_changed_by_client_and_module() {
    let dir = bench();
    fs::set_permissions(dir.path().join("d/a"), fs::Permissions::from_mode(0o666)).unwrap();
    let id = format!(
        "uid = {}\ngid = {}\n",
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw()
    );
    let text = format!(
        "{id}read only = no\n[m]\npath = DIR/d\noutgoing chmod = o=r\nincoming chmod = o=r\n[plain]\npath = DIR/d\n"
    );
    each(dir.path(), &text, |program, daemon| {
        for (module, option, mode) in [
            ("m", "-M--chmod=g=,o=w", 0o604),
            ("m", "-M--chmod=u=r", 0o464),
            ("plain", "-M--chmod=g=,o=w", 0o602),
        ] {
            let pull = dir.path().join("got");
            let _ = fs::remove_file(&pull);
            let got = stock(dir.path(), &["-p", option, &daemon.url(&format!("{module}/a")), "got"]);
            assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program:?}");
            let got = stock(dir.path(), &["-p", option, "d/a", &daemon.url(&format!("{module}/b"))]);
            assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program:?}");
            let modes = [pull, dir.path().join("d/b")].map(|path| {
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                fs::remove_file(&path).unwrap();
                mode & 0o7777
            });
            assert_eq!(modes, [mode; 2], "{program:?} {module} {option}");
        }
    });
}
