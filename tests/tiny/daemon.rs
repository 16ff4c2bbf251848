//! The daemon in fixed memory against stock rsync, and against clients that are none.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use crate::stock::{example, text};

/// The example as a process; it ends with this value.
struct Daemon {
    process: Child,
    address: String,
}

impl Daemon {
    fn start(mode: &str) -> Self {
        let mut process = Command::new(example("memory_daemon"))
            .args(["127.0.0.1:0", mode])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().into() }
    }

    fn url(&self, path: &str) -> String {
        format!("rsync://{}/{path}", self.address)
    }

    fn rsync(&self, args: &[&str], path: &str, to: Option<&Path>) -> Output {
        Command::new("rsync").args(args).arg(self.url(path)).args(to).output().unwrap()
    }

    /// What it says to a client that sends these bytes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const GREETING: &str = "@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n";

#[test]
fn stock_pulls_from_a_module_in_memory_at_every_protocol() {
    let daemon = Daemon::start("ro");
    let temp = tempfile::tempdir().unwrap();
    for protocol in 27..=32 {
        let version = format!("--protocol={protocol}");
        for options in ["-a", "-ac", "-as"] {
            let to = temp.path().join(format!("{protocol}{options}"));
            let out = daemon.rsync(&[&version, options], "mem/", Some(&to));
            assert_eq!(out.status.code(), Some(0), "{protocol} {options}: {}", text(&out));
            assert_eq!(fs::read(to.join("hello.txt")).unwrap(), b"hello from memory\n");
            let last = fs::read_to_string(to.join("log/day-9")).unwrap();
            assert_eq!((last.lines().count(), last.lines().last()), (4500, Some("day 9, line 4499")));
            assert_eq!(fs::read_dir(to.join("log")).unwrap().count(), 9);
            let again = daemon.rsync(&[&version, options, "-i"], "mem/", Some(&to));
            assert_eq!(text(&again), "", "{protocol} {options}");
        }
        let one = temp.path().join(format!("{protocol}.one"));
        let out = daemon.rsync(&[&version, "-t"], "mem/log/day-3", Some(&one));
        assert_eq!(out.status.code(), Some(0), "{}", text(&out));
        assert_eq!(fs::read_to_string(&one).unwrap().lines().count(), 1500);
    }
}

#[test]
fn modules_are_listed_and_others_are_not_there() {
    let daemon = Daemon::start("ro");
    let out = daemon.rsync(&[], "", None);
    assert_eq!(
        (out.status.code(), text(&out)),
        (Some(0), "mem            \tfiles that are in memory\n".into())
    );
    let temp = tempfile::tempdir().unwrap();
    let out = daemon.rsync(&["-r"], "memory/", Some(temp.path()));
    assert_eq!(out.status.code(), Some(5));
    assert!(text(&out).starts_with("@ERROR: Unknown module 'memory'\n"), "{}", text(&out));
    let out = daemon.rsync(&["-r"], "mem/nothing", Some(temp.path()));
    assert_eq!(out.status.code(), Some(23), "{}", text(&out));
}

#[test]
fn only_a_writable_module_is_written_to() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("new");
    fs::write(&file, vec![b'n'; 100_000]).unwrap();
    let push = |daemon: &Daemon, version: &str| {
        Command::new("rsync").args(["-t", version]).arg(&file).arg(daemon.url("mem/")).output().unwrap()
    };
    let (shut, open) = (Daemon::start("ro"), Daemon::start("rw"));
    for version in ["--protocol=28", "--protocol=30", "--protocol=32"] {
        let refused = push(&shut, version);
        assert_ne!(refused.status.code(), Some(0));
        assert!(text(&refused).contains("module is read only"), "{version}: {}", text(&refused));
        let taken = push(&open, version);
        assert_eq!(taken.status.code(), Some(0), "{version}: {}", text(&taken));
        let back = temp.path().join("back");
        let out = open.rsync(&[version], "mem/new", Some(&back));
        assert_eq!(out.status.code(), Some(0), "{version}: {}", text(&out));
        assert_eq!(fs::read(&back).unwrap(), vec![b'n'; 100_000]);
    }
}

#[test]
fn a_client_that_breaks_the_rules_gets_the_answer_of_the_reference() {
    let daemon = Daemon::start("ro");
    let after = |request: &str| daemon.say(format!("{GREETING}{request}").as_bytes());
    let table = [
        (daemon.say(b"GET / HTTP/1.1\r\n\r\n"), "@ERROR: protocol startup error\n"),
        (daemon.say(b"@RSYNCD: 30\n"), "@ERROR: your client omitted the subprotocol value: @RSYNCD: 30\n"),
        (daemon.say(b"@RSYNCD: 32.0\n"), "@ERROR: your client omitted the digest name list: @RSYNCD: 32.0\n"),
        (after("#foo\n"), "@ERROR: Unknown command '#foo'\n"),
        (after("#early_input=0\n"), "@ERROR: invalid early_input length\n"),
        (after("#early_input=3\nabc#list\n"), "mem            \tfiles that are in memory\n@RSYNCD: EXIT\n"),
        (after("M\n"), "@ERROR: Unknown module 'M'\n"),
        (after("mem\n"), "@RSYNCD: OK\n"),
        (after(&format!("{}\n", "x".repeat(1024))), ""),
        (after("me\0m\n"), ""),
        (after("mem"), ""),
    ];
    for (answer, expected) in table {
        assert_eq!(answer, format!("{GREETING}{expected}"));
    }
    // Whoever came before, the next one is served.
    assert_eq!(daemon.rsync(&[], "", None).status.code(), Some(0));
}
