//! What arsync's daemon lets its clients do, and what it does not.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use rustix::process::{Signal, kill_process};

use crate::{
    daemon::Daemon,
    needs::needs_root,
    peers::{ARSYNC, Outcome, Program, command, fake_shell, run},
};

/// The first lines of all configurations here.
fn head(dir: &Path) -> String {
    let ids = if rustix::process::geteuid().is_root() { "uid = root\ngid = root\n" } else { "" };
    format!("use chroot = no\n{ids}log file = {}/log\n", dir.display())
}

/// A daemon of arsync: `body` follows the usual beginning, and DIR in it is the directory.
fn serve(dir: &Path, body: &str) -> Daemon {
    let body = body.replace("DIR", dir.to_str().unwrap());
    Daemon::with(Program::Arsync, dir, &format!("{}{body}", head(dir)))
}

/// Both clients, one after the other.
const CLIENTS: [&str; 2] = ["rsync", ARSYNC];

fn client(program: &str, dir: &Path, env: &[(&str, &str)], words: &[&str]) -> Outcome {
    run(command(program, dir).envs(env.iter().copied()).args(words))
}

fn first_error(ended: &Outcome) -> (i32, &str) {
    (ended.code.unwrap(), ended.stderr.lines().next().unwrap_or_default())
}

/// What the daemon answers to bytes.
fn answer(daemon: &Daemon, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(sent).unwrap();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut out = Vec::new();
    let _ = stream.read_to_end(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

const GREETING: &str = "@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n";

#[test]
fn modules_are_listed_to_both_clients() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("motd"), "Be welcome\n").unwrap();
    let daemon = serve(
        dir.path(),
        "motd file = DIR/motd\n[one]\npath = DIR\ncomment = the first\n[two]\nlist = no\n[a_name_of_17_bytes]\n",
    );
    for program in CLIENTS {
        let listed = client(program, dir.path(), &[], &[&daemon.url("")]);
        assert_eq!(listed.stdout, "Be welcome\n\none            \tthe first\na_name_of_17_bytes\t\n");
        assert_eq!((listed.code, &*listed.stderr), (Some(0), ""));
    }
}

/// Each pattern stands for 500 paths of 4000 bytes.
#[test]
fn patterns_that_match_too_much_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("m")).unwrap();
    for n in 0..500 {
        fs::write(dir.path().join(format!("m/{n}")), "").unwrap();
    }
    let daemon = serve(dir.path(), "[m]\npath = DIR/m\n");
    let pattern = daemon.url(&format!("m/{}*", "./".repeat(2000)));
    let ask = |times| {
        let mut words = vec![&*pattern; times];
        words.push("out/");
        client("rsync", dir.path(), &[], &words)
    };
    let few = ask(2);
    assert_eq!((few.code, &*few.stderr), (Some(0), ""));
    assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 500);
    assert_eq!(first_error(&ask(140)), (4, "the patterns of the request match too many files"));
}

#[test]
fn lines_that_are_no_request_are_answered_as_the_reference_answers() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = serve(dir.path(), "[m]\npath = DIR\n");
    let after = |sent: &str| answer(&daemon, sent.as_bytes()).strip_prefix(GREETING).unwrap().to_owned();
    assert_eq!(after("HELLO\n"), "@ERROR: protocol startup error\n");
    assert_eq!(after("@RSYNCD: 31\n"), "@ERROR: your client omitted the subprotocol value: @RSYNCD: 31\n");
    assert_eq!(after("@RSYNCD: 32.0\n"), "@ERROR: your client omitted the digest name list: @RSYNCD: 32.0\n");
    assert_eq!(after("@RSYNCD: 31.0\n#foo\n"), "@ERROR: Unknown command '#foo'\n");
    assert_eq!(after("@RSYNCD: 31.0\n#early_input=0\n"), "@ERROR: invalid early_input length\n");
    assert_eq!(after("@RSYNCD: 31.0\n M\n"), "@ERROR: Unknown module ' M'\n");
    assert_eq!(after("@RSYNCD: 31.0\n#early_input=2\nabm\n"), "@RSYNCD: OK\n");
    let forged = b"@RSYNCD: 31.0 md5\nm\n--server\0--sender\0-r\0.\0m/x\n2026/01/01 00:00:00 [1] forged\0\0";
    for sent in [
        &b""[..],
        forged,
        b"@RSYNCD: 31.0\0\n",
        &[b'x'; 5000],
        b"@RSYNCD: 31.0\nm\n--server\0-x\0\xff\0.\0m\0\0",
    ] {
        let got = answer(&daemon, sent);
        assert!(got.starts_with(GREETING), "{got:?}");
    }
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("forged") && !log.contains("\n2026/01/01"), "{log}");
}

#[test]
fn refusals_have_the_texts_and_codes_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("a"), "a").unwrap();
    let daemon = serve(
        dir.path(),
        "[ro]\npath = DIR/d\n[wo]\npath = DIR/d\nread only = no\nwrite only = yes\n\
         [strict]\npath = DIR/d\nread only = no\nrefuse options = delete c\n\
         [none]\n[gone]\npath = DIR/gone\n[away]\npath = DIR/d\nhosts deny = *\n\
         [secret]\npath = DIR/d\nhosts allow = 192.0.2.1\nlist = no\n",
    );
    for program in CLIENTS {
        let of = |words: &[&str]| {
            let ended = client(program, dir.path(), &[], words);
            let (code, text) = first_error(&ended);
            (code, text.to_owned())
        };
        let url = |rest: &str| daemon.url(rest);
        assert_eq!(of(&[&url("other/")]), (5, "@ERROR: Unknown module 'other'".into()));
        assert_eq!(of(&[&url("secret/")]), (5, "@ERROR: Unknown module 'secret'".into()));
        assert_eq!(of(&[&url("none/")]), (5, "@ERROR: no path setting.".into()));
        assert_eq!(of(&[&url("gone/")]), (5, "@ERROR: chdir failed".into()));
        let (code, text) = of(&[&url("away/")]);
        assert_eq!(code, 5);
        assert!(
            text.starts_with("@ERROR: access denied to away from ") && text.ends_with("(127.0.0.1)"),
            "{text}"
        );
        assert_eq!(of(&["a", &url("ro/")]), (1, "ERROR: module is read only".into()));
        assert_eq!(of(&[&url("wo/x"), "got"]), (1, "ERROR: module is write only".into()));
        assert_eq!(
            of(&["--remove-source-files", &url("ro/x"), "got"]),
            (1, "ERROR: --remove-source-files cannot be used with a read-only module".into())
        );
        assert_eq!(
            of(&["--remove-sent-files", &url("ro/x"), "got"]),
            (1, "ERROR: --remove-sent-files cannot be used with a read-only module".into())
        );
        assert_eq!(
            of(&["-r", "--delete", "d/", &url("strict/")]),
            (4, "rsync: The server is configured to refuse --delete".into())
        );
        // Stock rsync's own daemon loses the exit code on a pull.
        assert_eq!(
            of(&["-rc", &url("strict/"), "got"]),
            (4, "rsync: The server is configured to refuse --checksum (-c)".into())
        );
        assert_eq!(
            of(&["-M--bogus", "a", &url("strict/")]),
            (4, "rsync: on remote machine: --bogus: unknown option".into())
        );
        let thwarted = (4, "rsync: Attempt to hack rsync thwarted!".into());
        assert_eq!(of(&["-M--daemon", "a", &url("strict/")]), thwarted);
        let invalid = (4, "rsync: invalid arguments".into());
        assert_eq!(of(&["-M--version", "a", &url("strict/")]), invalid);
        let (code, text) = of(&[&url("ro/nope"), "got"]);
        assert_eq!(code, 23);
        assert_eq!(text, "rsync: [sender] link_stat \"nope\" (in ro) failed: No such file or directory (2)");
    }
}

#[test]
fn the_log_has_the_lines_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/a"), "12").unwrap();
    let daemon = serve(dir.path(), "reverse lookup = no\n[m]\npath = DIR/d\ntransfer logging = yes\n");
    let pulled = client("rsync", dir.path(), &[], &[&daemon.url("m/a"), "got"]);
    assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
    // The last line is written when the client has left already.
    let lines = || -> Vec<String> {
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        log.lines().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect()
    };
    let wait_for = |sessions: usize| {
        for _ in 0..200 {
            if lines().iter().filter(|line| line.starts_with("sent ")).count() == sessions {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        lines()
    };
    let lines = wait_for(1);
    assert!(lines[0].starts_with("rsyncd version 3.5.0 starting, listening on port "), "{}", lines[0]);
    let from = "UNDETERMINED (127.0.0.1)";
    // The test looked first whether somebody listens.
    let rest: Vec<&String> = lines.iter().skip_while(|line| !line.starts_with("rsync allowed")).collect();
    assert_eq!(rest[0], &format!("rsync allowed access on module m from {from}"));
    assert_eq!(rest[1], &format!("rsync on m/a from {from}"));
    assert_eq!(rest[2], "building file list");
    assert_eq!(rest[3], "send UNDETERMINED [127.0.0.1] m () a 2");
    assert!(rest[4].starts_with("sent ") && rest[4].ends_with(" total size 2"), "{}", rest[4]);
    // A session that ended well has nothing to add.
    assert_eq!(client("rsync", dir.path(), &[], &[&daemon.url("m/a"), "got"]).code, Some(0));
    assert!(!wait_for(2).contains(&String::new()));
}

#[test]
fn passwords_open_modules() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secrets"), "joe:secret\nann:word\n").unwrap();
    fs::set_permissions(dir.path().join("secrets"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/a"), "a").unwrap();
    let daemon = serve(
        dir.path(),
        "secrets file = DIR/secrets\npath = DIR/d\n[m]\nauth users = joe:rw ann\n\
         [hard]\nauth users = joe\nauth digest = sha256\n",
    );
    let url = |user: &str, module: &str| daemon.url(module).replace("rsync://", &format!("rsync://{user}@"));
    for program in CLIENTS {
        for protocol in 27..=32 {
            let version = format!("--protocol={protocol}");
            let words = [&*version, &url("joe", "m/a"), "got"];
            let got = client(program, dir.path(), &[("RSYNC_PASSWORD", "secret")], &words);
            assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program} {protocol}");
        }
        let refused = "@ERROR: auth failed on module m";
        for (user, word) in [("joe", "wrong"), ("bob", "secret"), ("ann", "secret")] {
            let got = client(program, dir.path(), &[("RSYNC_PASSWORD", word)], &[&url(user, "m/a"), "got"]);
            assert_eq!(first_error(&got), (5, refused));
        }
        let put = |user: &str, word: &str| {
            client(program, dir.path(), &[("RSYNC_PASSWORD", word)], &["got", &url(user, "m/new")])
        };
        assert_eq!(put("joe", "secret").code, Some(0));
        assert_eq!(first_error(&put("ann", "word")), (1, "ERROR: module is read only"));
    }
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains(" for bob: no matching rule\n") && log.contains(" for joe: password mismatch\n"));
    let weak = answer(&daemon, b"@RSYNCD: 31.0 md5\nhard\n");
    assert!(weak.ends_with("@ERROR: auth failed on module hard\n"), "{weak}");
}

#[test]
fn hidden_names_cannot_be_read_written_or_deleted() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["d/open/a", "d/open/key.pem", "d/shut/a", "src/open/key.pem", "src/shut/a", "src/open/b"] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.to_str().unwrap()).unwrap();
    }
    let daemon = serve(dir.path(), "[m]\npath = DIR/d\nread only = no\nexclude = *.pem /shut/\n");
    for program in CLIENTS {
        let got = client(program, dir.path(), &[], &["-r", &daemon.url("m/"), "got"]);
        assert_eq!((got.code, &*got.stderr), (Some(0), ""));
        assert!(dir.path().join("got/open/a").exists());
        assert!(!dir.path().join("got/open/key.pem").exists() && !dir.path().join("got/shut").exists());
        for path in ["m/open/key.pem", "m/shut/a", "m/shut/", "m/shut"] {
            let got = client(program, dir.path(), &[], &["-r", &daemon.url(path), "stolen"]);
            assert_eq!(got.code, Some(23), "{path}: {}", got.stderr);
            assert!(!dir.path().join("stolen").join("a").exists(), "{path}");
        }
        let put = client(program, dir.path(), &[], &["-r", "--delete", "src/", &daemon.url("m/")]);
        assert_eq!(put.code, Some(23), "{}", put.stderr);
        assert!(
            put.stderr.contains("ERROR: daemon refused to receive file \"open/key.pem\""),
            "{}",
            put.stderr
        );
        assert!(put.stderr.contains("ERROR: daemon refused to receive directory \"shut\""), "{}", put.stderr);
        let kept = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(kept("d/open/key.pem").ends_with("d/open/key.pem"));
        assert!(kept("d/shut/a").ends_with("d/shut/a"));
        assert!(kept("d/open/b").ends_with("src/open/b"));
        assert!(!dir.path().join("d/open/a").exists());
        let into = client(program, dir.path(), &[], &["-r", "src/", &daemon.url("m/shut/")]);
        assert_eq!(first_error(&into), (3, "ERROR: daemon has excluded destination \"shut/\""));
        let dest = client(program, dir.path(), &[], &["-r", "--backup-dir=shut", "src/", &daemon.url("m/")]);
        assert_eq!(first_error(&dest), (4, "Your options have been rejected by the server."));
        fs::write(dir.path().join("d/open/a"), "").unwrap();
    }
}

/// Links that an operator or a client put there, arguments and options: nothing reaches what is outside.
#[test]
fn nothing_leads_out_of_a_module() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for name in ["d/in", "outside", "src"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::write(root.join("outside/secret"), "secret").unwrap();
    fs::write(root.join("d/in/a"), "a").unwrap();
    fs::write(root.join("src/new"), "new").unwrap();
    symlink("../outside", root.join("d/out")).unwrap();
    symlink(root.join("outside/secret"), root.join("d/file")).unwrap();
    let daemon = serve(root, "[m]\npath = DIR/d\nread only = no\nmunge symlinks = no\n");
    let above = format!("m/../{}", "outside/secret");
    for program in CLIENTS {
        for words in [
            &["-r", "m/out/"][..],
            &["m/out/secret"],
            &["-rL", "m/"],
            &["-L", "m/file"],
            &["-rk", "m/"],
            &["--copy-unsafe-links", "-r", "m/"],
            &["-R", "m/out/secret"],
            &["m/out/*"],
            &[&above],
        ] {
            let (path, options) = words.split_last().unwrap();
            let url = daemon.url(path);
            let all: Vec<&str> = options.iter().copied().chain([&*url, "got/"]).collect();
            client(program, root, &[], &all);
            let found = fs::read_to_string(root.join("got/secret"))
                .or_else(|_| fs::read_to_string(root.join("got/file")));
            assert!(found.is_err(), "{program} {words:?}");
            assert!(!root.join("got/out/secret").exists(), "{program} {words:?}");
            let _ = fs::remove_dir_all(root.join("got"));
        }
        for words in [
            &["src/new", "m/out/"][..],
            &["src/new", "m/out/new"],
            &["-r", "src/", "m/out/sub/"],
            &["-r", "--mkpath", "src/", "m/out/x/y/"],
            &["-rb", "--backup-dir=../outside/b", "-I", "src/", "m/in/"],
            &["-r", "--temp-dir=/out", "src/", "m/in/"],
            &["-rK", "src/", "m/out/"],
        ] {
            let (path, options) = words.split_last().unwrap();
            let url = daemon.url(path);
            let all: Vec<&str> = options.iter().copied().chain([&*url]).collect();
            client(program, root, &[], &all);
            let names: Vec<_> =
                fs::read_dir(root.join("outside")).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["secret"], "{program} {words:?}");
        }
        assert_eq!(fs::read_to_string(root.join("outside/secret")).unwrap(), "secret");
        let list =
            client(program, root, &[], &["-r", "--files-from=:/../outside/secret", &daemon.url("m/"), "got"]);
        assert_ne!(list.code, Some(0));
        assert!(!list.stdout.contains("secret\n") && !list.stderr.contains("\"secret\""), "{}", list.stderr);
    }
}

#[test]
fn symlinks_are_munged_where_the_root_is_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("d")).unwrap();
    fs::create_dir_all(dir.path().join("src")).unwrap();
    symlink("/etc/passwd", dir.path().join("src/l")).unwrap();
    let daemon = serve(dir.path(), "[m]\npath = DIR/d\nread only = no\n");
    for program in CLIENTS {
        assert_eq!(client(program, dir.path(), &[], &["-rl", "src/", &daemon.url("m/")]).code, Some(0));
        assert_eq!(fs::read_link(dir.path().join("d/l")).unwrap(), Path::new("/rsyncd-munged//etc/passwd"));
        assert_eq!(client(program, dir.path(), &[], &["-rl", &daemon.url("m/"), "got"]).code, Some(0));
        assert_eq!(fs::read_link(dir.path().join("got/l")).unwrap(), Path::new("/etc/passwd"));
        fs::remove_dir_all(dir.path().join("got")).unwrap();
        fs::remove_file(dir.path().join("d/l")).unwrap();
    }
}

/// Where a module lies is not told with what an option names and does not exist (text: stock binary).
#[test]
fn missing_directories_of_options_are_named_as_the_client_named_them() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["d", "src"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let daemon = serve(dir.path(), "[m]\npath = DIR/d\nread only = no\n");
    for program in CLIENTS {
        let words = ["-r", "--compare-dest=../none", "src/", &daemon.url("m/x/")];
        let out = client(program, dir.path(), &[], &words);
        assert_eq!(out.stderr, "--compare-dest arg does not exist: ../none\n", "{program}: {out:?}");
    }
}

/// Nor with files in such directories that cannot be read.
#[test]
fn files_of_alternate_directories_are_named_from_the_module() {
    if !needs_root("a daemon that serves as somebody else") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["d/alt", "d/to", "src"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    for (name, text) in [("src/f", "new"), ("d/alt/f", "other")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::set_permissions(dir.path().join("d/alt/f"), fs::Permissions::from_mode(0o000)).unwrap();
    std::os::unix::fs::chown(dir.path().join("d/to"), Some(65534), Some(65534)).unwrap();
    let daemon = serve(dir.path(), "[m]\npath = DIR/d\nread only = no\nuid = 65534\ngid = 65534\n");
    for program in CLIENTS {
        let words = ["-r", "--no-whole-file", "--compare-dest=../alt", "src/", &daemon.url("m/to/")];
        let out = client(program, dir.path(), &[], &words);
        let told =
            "rsync: [generator] failed to open \"/to/../alt/f\" (in m), continuing: Permission denied (13)";
        assert_eq!(out.stderr.lines().next(), Some(told), "{program}: {out:?}");
        fs::remove_file(dir.path().join("d/to/f")).unwrap();
    }
}

#[test]
fn a_module_can_be_the_root_of_its_process() {
    if !needs_root("nobody else may change the root") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["d/inner", "d/beside", "src"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("d/inner/a"), "a").unwrap();
    fs::write(dir.path().join("d/beside/b"), "b").unwrap();
    symlink("../beside", dir.path().join("d/inner/up")).unwrap();
    symlink("/etc", dir.path().join("d/etc")).unwrap();
    fs::write(dir.path().join("src/new"), "new").unwrap();
    let daemon = serve(
        dir.path(),
        "use chroot = yes\nread only = no\n[whole]\npath = DIR/d\n[part]\npath = DIR/d/./inner\nmunge symlinks = no\n\
         [plain]\npath = DIR/d\nuid = nobody\ngid = *\n",
    );
    for program in CLIENTS {
        let got = client(program, dir.path(), &[], &["-a", &daemon.url("whole/inner/a"), "got/"]);
        assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program}");
        assert_eq!(
            client(program, dir.path(), &[], &["-aL", &daemon.url("whole/etc"), "got/"]).code,
            Some(23)
        );
        assert!(!dir.path().join("got/etc/passwd").exists());
        let got = client(program, dir.path(), &[], &["-a", &daemon.url("part/a"), "got/"]);
        assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program}");
        client(program, dir.path(), &[], &["-a", &daemon.url("part/up/b"), "got/"]);
        assert!(!dir.path().join("got/b").exists(), "{program}");
        assert_eq!(client(program, dir.path(), &[], &["-r", "src/", &daemon.url("part/")]).code, Some(0));
        assert_eq!(fs::read_to_string(dir.path().join("d/inner/new")).unwrap(), "new");
        let denied = client(program, dir.path(), &[], &["src/new", &daemon.url("plain/n")]);
        assert_eq!(denied.code, Some(23), "{}", denied.stderr);
        fs::set_permissions(dir.path().join("d"), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(client(program, dir.path(), &[], &["src/new", &daemon.url("plain/n")]).code, Some(0));
        assert_ne!(fs::metadata(dir.path().join("d/n")).unwrap().uid(), 0);
        fs::set_permissions(dir.path().join("d"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(dir.path().join("d/n")).unwrap();
        fs::remove_dir_all(dir.path().join("got")).unwrap();
    }
}

#[test]
fn what_a_module_imposes() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["d", "src", "f"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("src/a"), "a").unwrap();
    fs::set_permissions(dir.path().join("src/a"), fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = serve(
        dir.path(),
        "read only = no\n[m]\npath = DIR/d\nincoming chmod = F640\noutgoing chmod = F444\nmax verbosity = 0\n\
         [fake]\npath = DIR/f\nfake super = yes\n",
    );
    for program in CLIENTS {
        let _ = fs::remove_file(dir.path().join("d/a"));
        let put = client(program, dir.path(), &[], &["-pvv", "src/a", &daemon.url("m/")]);
        assert_eq!(put.code, Some(0), "{}", put.stderr);
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode("d/a"), 0o640);
        assert_eq!(client(program, dir.path(), &[], &["-p", &daemon.url("m/a"), "got"]).code, Some(0));
        assert_eq!(mode("got"), 0o444);
        fs::remove_file(dir.path().join("got")).unwrap();
        let put =
            client(program, dir.path(), &[], &["-a", "--no-o", "--no-g", "/dev/null", &daemon.url("fake/")]);
        assert_eq!(put.code, Some(0), "{}", put.stderr);
        assert!(fs::metadata(dir.path().join("f/null")).unwrap().is_file());
        fs::remove_file(dir.path().join("f/null")).unwrap();
    }
}

#[test]
fn what_cannot_be_read_can_be_left_out() {
    if !needs_root("only root can serve as another user") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    for (name, mode) in [("open", 0o644), ("shut", 0o600)] {
        fs::write(dir.path().join("d").join(name), name).unwrap();
        fs::set_permissions(dir.path().join("d").join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let daemon = serve(
        dir.path(),
        "path = DIR/d\nuid = nobody\ngid = nogroup\n[loud]\n[quiet]\nignore nonreadable = yes\n",
    );
    for program in CLIENTS {
        for (module, code) in [("loud/", 23), ("quiet/", 0)] {
            let got = client(program, dir.path(), &[], &["-r", &daemon.url(module), "got"]);
            assert_eq!(got.code, Some(code), "{program} {module}: {}", got.stderr);
            assert!(dir.path().join("got/open").exists() && !dir.path().join("got/shut").exists());
            fs::remove_dir_all(dir.path().join("got")).unwrap();
        }
    }
}

#[test]
fn hooks_run_around_a_transfer() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/a"), "a").unwrap();
    let daemon = serve(
        dir.path(),
        "path = DIR/d\n[m]\nearly exec = cat > DIR/early\n\
         pre-xfer exec = echo $RSYNC_MODULE_NAME $RSYNC_REQUEST $RSYNC_ARG1 > DIR/pre\n\
         post-xfer exec = echo $RSYNC_EXIT_STATUS $RSYNC_RAW_STATUS > DIR/tmp; mv DIR/tmp DIR/post\n\
         [no]\npre-xfer exec = echo go away; exit 3\n[early]\nearly exec = exit 1\n",
    );
    fs::write(dir.path().join("input"), "hello").unwrap();
    for program in CLIENTS {
        let words = ["--early-input=input", &daemon.url("m/a"), "got"];
        let got = client(program, dir.path(), &[], &words);
        assert_eq!((got.code, &*got.stderr), (Some(0), ""));
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        assert_eq!(text("early"), "hello");
        assert_eq!(text("pre"), "m m/a --server\n");
        for _ in 0..400 {
            if dir.path().join("post").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        assert_eq!(text("post"), "0 0\n");
        fs::remove_file(dir.path().join("post")).unwrap();
        let got = client(program, dir.path(), &[], &[&daemon.url("no/a"), "got"]);
        assert_eq!(first_error(&got), (4, "pre-xfer exec returned failure (768):"));
        assert!(got.stderr.lines().nth(1).is_some_and(|line| line == "go away"), "{}", got.stderr);
        let got = client(program, dir.path(), &[], &[&daemon.url("early/a"), "got"]);
        assert_eq!(first_error(&got), (5, "@ERROR: early exec failed"));
    }
}

/// What a process ignores, the programs that it starts ignore too: nobody would hear of the end of a hook.
#[test]
fn hooks_are_heard_of_where_the_parent_ignored_the_ends_of_its_children() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "a").unwrap();
    let text = format!(
        "{}path = {}\n[m]\npre-xfer exec = /bin/true\n[no]\npre-xfer exec = /bin/false\n",
        head(dir.path()),
        dir.path().display()
    );
    let daemon = Daemon::by("env --ignore-signal=CHLD", Program::Arsync, dir.path(), &text, &[]);
    for program in CLIENTS {
        let got = client(program, dir.path(), &[], &[&daemon.url("m/a"), "got"]);
        assert_eq!((got.code, &*got.stderr), (Some(0), ""), "{program}");
        let got = client(program, dir.path(), &[], &[&daemon.url("no/a"), "got"]);
        assert_eq!(first_error(&got), (4, "pre-xfer exec returned failure (256)"), "{program}");
    }
}

/// Below a changed root there are no names but those of the converter.
#[test]
fn a_converter_knows_names() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("a"), "a").unwrap();
    std::os::unix::fs::chown(dir.path().join("a"), Some(1), Some(1)).unwrap();
    let script =
        "while read what name; do case $what in usr) echo 4711;; grp) echo 4712;; *) echo;; esac; done";
    fs::write(dir.path().join("names"), script).unwrap();
    let daemon = serve(
        dir.path(),
        "[m]\npath = DIR/d\nread only = no\nuse chroot = yes\nname converter = . DIR/names\n\
         [n]\npath = DIR/d\nread only = no\nuse chroot = yes\n",
    );
    for program in CLIENTS {
        for (module, ids) in [("m/", (4711, 4712)), ("n/", (1, 1))] {
            let put = client(program, dir.path(), &[], &["-a", "a", &daemon.url(module)]);
            assert_eq!((put.code, &*put.stderr), (Some(0), ""));
            let meta = fs::metadata(dir.path().join("d/a")).unwrap();
            assert_eq!((meta.uid(), meta.gid()), ids, "{program} {module}");
        }
    }
}

#[test]
fn connections_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = serve(
        dir.path(),
        "lock file = DIR/lock\n[m]\npath = DIR\nmax connections = 1\n[off]\npath = DIR\nmax connections = -1\n",
    );
    let mut first = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port)).unwrap();
    first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    first.write_all(b"@RSYNCD: 31.0 md5\nm\n").unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"@RSYNCD: OK\n") {
        let mut byte = [0];
        first.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    let full = "@ERROR: max connections (1) reached -- try again later\n";
    assert!(answer(&daemon, b"@RSYNCD: 31.0 md5\nm\n").ends_with(full));
    drop(first);
    let mut last = String::new();
    for _ in 0..200 {
        last = answer(&daemon, b"@RSYNCD: 31.0 md5\nm\n");
        if last.ends_with("@RSYNCD: OK\n") {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(last.ends_with("@RSYNCD: OK\n"), "{last}");
    let off = "@ERROR: max connections (-1) reached -- try again later\n";
    assert!(answer(&daemon, b"@RSYNCD: 31.0 md5\noff\n").ends_with(off));
}

#[test]
fn proxies_name_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let body = "proxy protocol = yes\nproxy protocol hosts = 127.0.0.0/8\nreverse lookup = no\n\
                [m]\npath = DIR\nhosts allow = 192.0.2.1\n";
    let daemon = serve(dir.path(), body);
    let named = answer(&daemon, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 873\r\n@RSYNCD: 31.0 md5\nm\n");
    assert_eq!(named, format!("{GREETING}@RSYNCD: OK\n"));
    let other = answer(&daemon, b"PROXY TCP4 192.0.2.9 192.0.2.2 1 873\r\n@RSYNCD: 31.0 md5\nm\n");
    assert!(other.ends_with("@ERROR: access denied to m from UNDETERMINED (192.0.2.9)\n"), "{other}");
    assert_eq!(answer(&daemon, b"@RSYNCD: 31.0 md5\nm\n"), "");
}

#[test]
fn slow_clients_are_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = serve(dir.path(), "timeout = 1\n[m]\npath = DIR\n");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, GREETING);
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("daemon handshake timeout -- exiting"), "{log}");
}

/// Whatever a crowd of clients leaves unsaid or says too much of, the next one is served.
#[test]
fn a_crowd_that_says_too_little_or_too_much_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "a").unwrap();
    let daemon = serve(dir.path(), "path = DIR\n[m]\n[auth]\nauth users = joe\nsecrets file = DIR/none\n");
    let mut crowd = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port)).unwrap();
        // Half a greeting, or no arguments.
        let said = if number % 2 == 0 { "@RSYNC" } else { "@RSYNCD: 31.0 md5\nm\n" };
        stream.write_all(said.as_bytes()).unwrap();
        crowd.push(stream);
    }
    // More arguments than there may be, and one without an end.
    let flood = [&b"@RSYNCD: 31.0 md5\nm\n"[..], &b"--server\0".repeat(16_001), b"\0"].concat();
    assert!(answer(&daemon, &flood).ends_with("@RSYNCD: OK\n"));
    let endless = [&b"@RSYNCD: 31.0 md5\nm\n"[..], &vec![b'x'; 4 << 20]].concat();
    assert!(answer(&daemon, &endless).ends_with("@RSYNCD: OK\n"));
    // Nobody has a name that long.
    let long = [&b"@RSYNCD: 31.0 md5\nauth\njoe "[..], &vec![b'x'; 1 << 20], b"\n"].concat();
    assert!(!answer(&daemon, &long).contains("@ERROR"));
    for program in CLIENTS {
        let got = client(program, dir.path(), &[], &[&daemon.url("m/a"), "got"]);
        assert_eq!((got.code, &*got.stderr), (Some(0), ""));
    }
    drop(crowd);
}

#[test]
fn signals_end_a_daemon_and_its_number_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, code) in [(Signal::TERM, 0), (Signal::HUP, 20), (Signal::INT, 20)] {
        let mut daemon = serve(dir.path(), "pid file = DIR/pid\n");
        let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
        assert_eq!(pid, format!("{}\n", daemon.process().as_raw_nonzero()));
        let config = format!("--config={}", daemon.config.display());
        let second = client(ARSYNC, dir.path(), &[], &["--daemon", "--no-detach", "--port=1", &config]);
        assert_eq!(second.code, Some(11), "{}", second.stderr);
        assert!(second.stderr.starts_with("failed to lock pid file "), "{}", second.stderr);
        kill_process(daemon.process(), signal).unwrap();
        assert_eq!(daemon.wait(), Some(code), "{signal:?}");
        assert!(!dir.path().join("pid").exists());
    }
}

#[test]
fn a_shell_starts_a_daemon_for_one_client() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("from/sub")).unwrap();
    fs::write(dir.path().join("from/sub/a b"), "text").unwrap();
    let config = dir.path().join("c");
    let body = "[all]\npath = DIR\nread only = no\n".replace("DIR", dir.path().to_str().unwrap());
    fs::write(&config, format!("{}{body}", head(dir.path()))).unwrap();
    let path = format!("--rsync-path={ARSYNC} --config={}", config.display());
    let shell = fake_shell(dir.path());
    let shell = shell.to_str().unwrap();
    for program in CLIENTS {
        for extra in ["-a", "-as", "-a --protocol=29", "-as --protocol=29", "-az --protocol=27"] {
            let words: Vec<&str> = extra.split(' ').chain(["-e", shell, &path]).collect();
            let pulled = client(program, dir.path(), &[], &[&words[..], &["h::all/from/", "got"]].concat());
            assert_eq!(
                (pulled.code, &*pulled.stdout, &*pulled.stderr),
                (Some(0), "", ""),
                "{program} {extra}"
            );
            assert_eq!(fs::read(dir.path().join("got/sub/a b")).unwrap(), b"text", "{program} {extra}");
            let pushed =
                client(program, dir.path(), &[], &[&words[..], &["from/", "h::all/got/put/"]].concat());
            assert_eq!((pushed.code, &*pushed.stderr), (Some(0), ""), "{program} {extra}");
            assert_eq!(fs::read(dir.path().join("got/put/sub/a b")).unwrap(), b"text", "{program} {extra}");
            fs::remove_dir_all(dir.path().join("got")).unwrap();
        }
        let none = format!("--rsync-path={ARSYNC} --config=/nonexistent");
        let failed = client(program, dir.path(), &[], &["-e", shell, &none, "h::"]);
        assert_eq!(failed.code, Some(5));
        assert!(failed.stderr.contains("Failed to parse config file: /nonexistent\n"), "{}", failed.stderr);
    }
}

#[test]
fn a_daemon_detaches_from_whoever_starts_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c");
    fs::write(&config, format!("{}pid file = {}/pid\n", head(dir.path()), dir.path().display())).unwrap();
    // Ended as soon as it says who it is, and after serving.
    for early in [true, true, true, true, true, true, true, true, true, true, false] {
        // The one before may still hold its port.
        let port =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let words = [
            "--daemon",
            &format!("--config={}", config.display()),
            &format!("--port={port}"),
            "--address=127.0.0.1",
        ];
        let started = client(ARSYNC, dir.path(), &[], &words);
        assert_eq!((started.code, &*started.stderr), (Some(0), ""));
        let pid = within_10_seconds(|| {
            let text = fs::read_to_string(dir.path().join("pid")).unwrap_or_default();
            text.strip_suffix('\n').map(|pid| pid.parse().unwrap())
        });
        if !early {
            within_10_seconds(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        }
        kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        within_10_seconds(|| (!dir.path().join("pid").exists()).then_some(()));
    }
}

/// What is there at last.
fn within_10_seconds<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it does not happen");
}
