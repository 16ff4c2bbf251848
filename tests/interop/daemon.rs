//! Clients and daemons, stock rsync and arsync at either end: over TCP, over a remote shell, over a program in place of a
//! socket.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    matrix::{Bench, Link, Urls, check},
    peers::{ARSYNC, Outcome, Program, command, fake_shell, run, script},
    remote_cases,
};

/// A daemon, which ends with this value.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
    pub(crate) config: PathBuf,
}

impl Daemon {
    /// Stock rsync serves `dir` as the modules `all` (writable), `private` (for joe, whose password is `secret`) and
    /// `hidden`.
    fn start(dir: &Path) -> Self {
        Self::of(Program::Stock, dir)
    }

    /// A program serves the same modules.
    pub(crate) fn of(program: Program, dir: &Path) -> Self {
        let secrets = dir.join("secrets");
        fs::write(&secrets, "joe:secret\n").unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(dir.join("motd"), "Be welcome\n").unwrap();
        let ids = if rustix::process::geteuid().is_root() { "uid = root\ngid = root\n" } else { "" };
        let shown = dir.display();
        Self::with(
            program,
            dir,
            &format!(
                "use chroot = no\nmunge symlinks = no\n{ids}motd file = {shown}/motd\nlog file = {shown}/log\n\
                 [all]\npath = {shown}\nread only = no\ncomment = everything\n\
                 [private]\npath = {shown}\nauth users = joe\nsecrets file = {shown}/secrets\n\
                 [strict]\npath = {shown}\nread only = no\nrefuse options = delete\n\
                 [hidden]\npath = {shown}\nlist = no\n"
            ),
        )
    }

    /// A program serves what a configuration says.
    pub(crate) fn with(program: Program, dir: &Path, text: &str) -> Self {
        Self::with_words(program, dir, text, &[])
    }

    /// The same, with further words of the command line.
    pub(crate) fn with_words(program: Program, dir: &Path, text: &str, words: &[&str]) -> Self {
        Self::by("env", program, dir, text, words)
    }

    /// The same, started by a program that then is what it starts.
    pub(crate) fn by(starter: &str, program: Program, dir: &Path, text: &str, words: &[&str]) -> Self {
        let config = dir.join(format!("{program:?}.conf"));
        fs::write(&config, text).unwrap();
        // Another process may take the port in between: then the next one is tried.
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let mut starter = starter.split(' ');
            let mut child = Command::new(starter.next().unwrap())
                .args(starter)
                .arg(program.path())
                .args(["--daemon", "--no-detach", "--address=127.0.0.1"])
                .args(words)
                .arg(format!("--port={port}"))
                .arg(format!("--config={}", config.display()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(10) && child.try_wait().unwrap().is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return Self { child, port, config };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("no daemon of {program:?} could be started");
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("rsync://127.0.0.1:{}/{rest}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run of arsync with these words, and these variables in its environment.
pub(crate) fn arsync(dir: &Path, env: &[(&str, &str)], words: &[&str]) -> Outcome {
    run(command(ARSYNC, dir).envs(env.iter().copied()).args(words))
}

macro_rules! versions {
    ($($push:ident $pull:ident $protocol:literal),*) => {$(
        #[test]
        fn $push() {
            let bench = Bench::new();
            let daemons = both(&bench);
            check(&bench, &Link::DaemonPush(urls(&daemons)), $protocol, &cases($protocol));
        }
        #[test]
        fn $pull() {
            let bench = Bench::new();
            let daemons = both(&bench);
            check(&bench, &Link::DaemonPull(urls(&daemons)), $protocol, &cases($protocol));
        }
    )*};
}

versions! {
    push_to_27 pull_from_27 27,
    push_to_29 pull_from_29 29,
    push_to_30 pull_from_30 30,
    push_to_32 pull_from_32 32
}

fn both(bench: &Bench) -> [Daemon; 2] {
    [Program::Stock, Program::Arsync].map(|program| Daemon::of(program, bench.path()))
}

fn urls([stock, own]: &[Daemon; 2]) -> Urls {
    Urls { stock: stock.url("all"), own: own.url("all") }
}

/// What the wire changes with; the rest is as with a remote shell.
fn cases(protocol: u8) -> Vec<crate::cases::Case> {
    let mut cases = remote_cases(protocol);
    cases.retain(|case| case.every);
    cases
}

const LIST: &str = "Be welcome\n\nall            \teverything\nprivate        \t\nstrict         \t\n";

#[test]
fn modules_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let port = format!("--port={}", daemon.port);
    for words in [&[&daemon.url("")[..]][..], &["-v", &port, "127.0.0.1::"], &[&port, "127.0.0.1::", "dst"]] {
        let listed = arsync(dir.path(), &[], words);
        assert_eq!((listed.code, &*listed.stdout, &*listed.stderr), (Some(0), LIST, ""), "{words:?}");
    }
    let silent = arsync(dir.path(), &[], &["--no-motd", &daemon.url("")]);
    assert_eq!((silent.code, &*silent.stdout), (Some(0), ""));
    assert!(!dir.path().join("dst").exists());
}

#[test]
fn refusals_have_the_texts_and_codes_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let refused = |env: &[(&str, &str)], words: &[&str]| {
        let ended = arsync(dir.path(), env, words);
        (ended.code.unwrap(), ended.stderr.lines().next().unwrap_or_default().to_owned())
    };
    let url = |rest: &str| daemon.url(rest);
    fs::write(dir.path().join("a"), "a").unwrap();
    assert_eq!(refused(&[], &[&url("other/")]), (5, "@ERROR: Unknown module 'other'".into()));
    assert_eq!(
        refused(&[("RSYNC_PASSWORD", "wrong")], &[&url("private/")]),
        (5, "@ERROR: auth failed on module private".into())
    );
    assert_eq!(refused(&[], &["a", &url("hidden/")]), (1, "ERROR: module is read only".into()));
    assert_eq!(
        refused(&[], &["-r", "--delete", "./", &url("strict/x/")]),
        (4, "rsync: The server is configured to refuse --delete".into())
    );
    assert_eq!(
        refused(&[], &["--password-file=none", &url("private/")]),
        (1, "rsync: [Receiver] could not open password file none: No such file or directory (2)".into())
    );
    assert_eq!(
        refused(&[], &["rsync://127.0.0.1:1/all"]),
        (10, "rsync: [Receiver] failed to connect to 127.0.0.1 (127.0.0.1): Connection refused (111)".into())
    );
    assert_eq!(
        refused(&[("RSYNC_CONNECT_PROG", "echo %H says hi")], &["h::all"]),
        (5, "rsync: server sent \"h says hi\" rather than greeting".into())
    );
    // Without the greeting being read, the connection would be reset.
    assert_eq!(
        refused(&[("RSYNC_CONNECT_PROG", "read x")], &["h::all"]),
        (5, "rsync: did not see server greeting".into())
    );
    assert_eq!(
        refused(
            &[("RSYNC_CONNECT_PROG", "echo '@RSYNCD: 31.0 md9'; read x; read x; echo '@RSYNCD: AUTHREQD x'")],
            &["h::all"]
        ),
        (4, "Failed to negotiate a daemon auth checksum choice.".into())
    );
    assert_eq!(
        refused(&[("RSYNC_CONNECT_PROG", "nc %H")], &["a;b::all"]),
        (4, "unsafe host characters for RSYNC_CONNECT_PROG".into())
    );
}

#[test]
fn a_password_opens_a_module() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    fs::write(dir.path().join("word"), "\nsecret\n").unwrap();
    fs::set_permissions(dir.path().join("word"), fs::Permissions::from_mode(0o600)).unwrap();
    let url = daemon.url("private/motd").replace("rsync://", "rsync://joe@");
    for protocol in 27..=32 {
        let version = format!("--protocol={protocol}");
        let given = arsync(dir.path(), &[("RSYNC_PASSWORD", "secret")], &[&version, &url, "got"]);
        assert_eq!((given.code, &*given.stderr), (Some(0), ""), "{protocol}");
        assert_eq!(fs::read(dir.path().join("got")).unwrap(), b"Be welcome\n");
        fs::remove_file(dir.path().join("got")).unwrap();
    }
    let filed = arsync(dir.path(), &[], &["--password-file=word", &url, "got"]);
    assert_eq!((filed.code, &*filed.stderr), (Some(0), ""));
    // The user comes from the environment, where the first variable hides the second.
    let plain = daemon.url("private/motd");
    for (env, code) in
        [(&[("USER", "joe")][..], 0), (&[("LOGNAME", "joe")], 0), (&[("USER", ""), ("LOGNAME", "joe")], 5)]
    {
        let env: Vec<_> = env.iter().copied().chain([("RSYNC_PASSWORD", "secret")]).collect();
        assert_eq!(arsync(dir.path(), &env, &[&plain, "got"]).code, Some(code), "{env:?}");
    }
}

#[test]
fn a_daemon_can_be_reached_through_a_shell_or_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    fs::create_dir_all(dir.path().join("from/sub")).unwrap();
    fs::write(dir.path().join("from/sub/a b"), "text").unwrap();
    let config = daemon.config.display();
    let path = format!("--rsync-path=rsync --config={config}");
    let shell = fake_shell(dir.path());
    let shell = shell.to_str().unwrap();
    for extra in ["-a", "-as", "-a --protocol=29", "-as --protocol=29"] {
        let mut words: Vec<&str> = extra.split(' ').collect();
        words.extend(["--no-motd", "-e", shell, &path, "h::all/from/", "got"]);
        let pulled = arsync(dir.path(), &[], &words);
        assert_eq!((pulled.code, &*pulled.stdout, &*pulled.stderr), (Some(0), "", ""), "{extra}");
        assert_eq!(fs::read(dir.path().join("got/sub/a b")).unwrap(), b"text", "{extra}");
        fs::remove_dir_all(dir.path().join("got")).unwrap();
    }
    // A daemon that finds a socket at its input answers there, and asks who is at the other end.
    for (client, server) in [(ARSYNC, "rsync"), (ARSYNC, ARSYNC), ("rsync", ARSYNC)] {
        for words in ["--server --daemon", "--daemon"] {
            let dot = if words == "--daemon" { "" } else { " ." };
            let program = format!("{server} {words} --config={config}{dot}");
            let mut push = command(client, dir.path());
            let pushed = run(push.env("RSYNC_CONNECT_PROG", &program).args(["-r", "from/", "h::all/put/"]));
            assert_eq!((pushed.code, &*pushed.stderr), (Some(0), ""), "{client} {program}");
            assert_eq!(fs::read(dir.path().join("put/sub/a b")).unwrap(), b"text");
            fs::remove_dir_all(dir.path().join("put")).unwrap();
        }
    }
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert_eq!(log.matches(" connect from localhost (127.0.0.1)").count(), 6, "{log}");
}

/// A connection that breaks before the session is a stream that broke off, not a socket that failed.
#[test]
fn a_connection_that_is_reset_early() {
    let dir = tempfile::tempdir().unwrap();
    for program in ["rsync", ARSYNC] {
        for greets in [false, true] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let url = format!("rsync://127.0.0.1:{}/m", listener.local_addr().unwrap().port());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                if greets {
                    stream.write_all(b"@RSYNCD: 31.0\n").unwrap();
                }
                // What nobody has read makes the end of a connection a reset.
                while stream.peek(&mut [0; 64]).unwrap() < if greets { 43 } else { 1 } {
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let out = run(command(program, dir.path()).arg(&url));
            server.join().unwrap();
            let line = "rsync: [Receiver] safe_read failed to read 1 bytes: Connection reset by peer (104)";
            assert_eq!((out.code, out.stderr.lines().next()), (Some(12), Some(line)), "{program} {greets}");
        }
    }
}

/// A super-server that hands over the listening socket instead of a connection.
#[test]
fn a_socket_without_a_peer_is_no_client() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("conf"), format!("log file = {}/log\n", dir.path().display())).unwrap();
    for program in ["rsync", ARSYNC] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = std::os::fd::OwnedFd::from(listener);
        let out = run(command(program, dir.path()).args(["--daemon", "--config=conf"]).stdin(socket));
        assert_eq!(out.code, Some(10), "{program} {out:?}");
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        let line = "rsync: [Receiver] getpeername on fd0 failed: Transport endpoint is not connected (107)";
        assert!(log.contains(line), "{program} {log}");
        fs::remove_file(dir.path().join("log")).unwrap();
    }
}

/// A daemon splits an argument where a blank and the module's name stand; a name that looks so is still one name.
#[test]
fn names_with_blanks_arrive_whole() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    fs::create_dir_all(dir.path().join("odd all")).unwrap();
    fs::write(dir.path().join("odd all/f"), "1").unwrap();
    fs::write(dir.path().join("plain name"), "2").unwrap();
    let words = ["-a", &daemon.url("all/odd all/f"), &daemon.url("all/plain name"), "got/"];
    let pulled = arsync(dir.path(), &[], &words);
    assert_eq!((pulled.code, &*pulled.stderr), (Some(0), ""));
    assert_eq!(fs::read(dir.path().join("got/f")).unwrap(), b"1");
    assert_eq!(fs::read(dir.path().join("got/plain name")).unwrap(), b"2");
}

/// What is told of the arguments shows where one ends.
#[test]
fn arguments_are_told_in_quotes() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    fs::create_dir(dir.path().join("src")).unwrap();
    for program in ["rsync", ARSYNC] {
        let words = ["-ri", "--debug=cmd", "--protocol=29", "src/", &daemon.url("all/put/")];
        let out = run(command(program, dir.path()).args(words));
        let line = "sending daemon args: --server -r \"--log-format=%i\" . all/put/  (5 args)\n";
        assert!(out.stdout.contains(line), "{program}: {out:?}");
    }
}

/// The arguments that a daemon is sent, against what stock rsync sends: both speak to a program that notes them.
#[test]
fn arguments_are_those_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    for version in ["32.0 md5", "30.0", "29.0"] {
        let noted = dir.path().join("noted");
        let daemon = script(
            &dir.path().join("daemon"),
            &format!("echo '@RSYNCD: {version}'; echo '@RSYNCD: OK'; timeout 0.3 cat > {}", noted.display()),
        );
        for line in [
            "-avz --backup-dir=b\\ c -b src/ h::m/d",
            "-rlt --delete --suffix=a\\ b --partial-dir=.p src h::m",
            "-a h::m/x h::m/y\\ m/z got",
            "-aR --no-implied-dirs h::-x got",
            "-e. -as h::m/a\\ b got",
        ] {
            let words: Vec<String> = line
                .replace("\\ ", "\0")
                .split(' ')
                .filter(|word| *word != "-e.")
                .map(|word| word.replace('\0', " "))
                .collect();
            if words.iter().any(|word| word == "-as") && version == "29.0" {
                // Stock rsync sends its arguments twice there.
                continue;
            }
            let sent = |program: &str| {
                run(command(program, dir.path())
                    .env("RSYNC_CONNECT_PROG", daemon.to_str().unwrap())
                    .arg("--timeout=20")
                    .args(&words));
                fs::read(&noted).unwrap()
            };
            let (stock, own) = (sent("rsync"), sent(ARSYNC));
            // What follows the arguments belongs to the session.
            let arguments = |bytes: &[u8]| {
                let end: &[u8] = if version == "29.0" { b"\n\n" } else { b"\0\0" };
                let at = bytes.windows(2).position(|w| w == end).unwrap_or(bytes.len());
                String::from_utf8_lossy(&bytes[..at]).into_owned()
            };
            assert_eq!(arguments(&own), arguments(&stock), "{version}: {line}");
        }
    }
}
