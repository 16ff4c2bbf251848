//! Peers that stop, lie or talk nonsense: every run ends soon, with a message and a documented code; nothing appears
//! outside the destination, and nothing incomplete under a final name.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    details::{self, BOTH},
    peers::{ARSYNC, Outcome, Program, command, fake_shell, run, run_within, script},
    snapshot::{Snapshot, snapshot},
    tree,
};

/// Exit codes that rsync's manual page gives.
const DOCUMENTED: [i32; 20] = [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 25, 30, 35];

/// No run may last longer.
const SOON: Duration = Duration::from_secs(2);

/// A recorded session of stock rsync with itself.
struct Recording {
    /// What the client wrote.
    to_server: Vec<u8>,
    /// What the server wrote.
    to_client: Vec<u8>,
    /// Arguments of the server, behind the program's name.
    server_args: String,
}

struct Lab {
    dir: tempfile::TempDir,
    /// Times from here on are those of the test itself, however long it takes.
    since: SystemTime,
}

impl Lab {
    fn new() -> Self {
        let since = SystemTime::now();
        let dir = tempfile::Builder::new().prefix("arsync-bad-").tempdir().unwrap();
        tree::small(&dir.path().join("src"));
        Self { dir, since }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Records a transfer of `src/` with these options; `pull`: the server sends.
    fn record(&self, options: &[&str], sources: &str, pull: bool) -> Recording {
        let rec = self.path().join("rec");
        fs::create_dir_all(&rec).unwrap();
        fs::create_dir_all(self.path().join("dst")).unwrap();
        let tap = script(
            &rec.join("tap"),
            // The first tee lives until the client ends, so the shell must not wait for it.
            "shift; shift\nprintf '%s' \"$*\" > rec/args\nmkfifo rec/in\nexec 3<&0\n\
             tee rec/c2s <&3 >rec/in &\nrsync \"$@\" <rec/in 3<&- | tee rec/s2c 3<&-",
        );
        let mut line = command("rsync", self.path());
        line.args(options).arg("--checksum-seed=77").arg("-e").arg(tap);
        match pull {
            true => line.arg(format!("fake:{sources}")).arg("recorded/"),
            false => line.arg(sources).arg("fake:dst/in/"),
        };
        let outcome = run_within(&mut line, Duration::from_secs(20));
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let recording = Recording {
            to_server: fs::read(rec.join("c2s")).unwrap(),
            to_client: fs::read(rec.join("s2c")).unwrap(),
            server_args: fs::read_to_string(rec.join("args")).unwrap(),
        };
        for dir in ["rec", "recorded", "dst"] {
            let _ = fs::remove_dir_all(self.path().join(dir));
        }
        assert!(recording.to_server.len() > 20 && recording.to_client.len() > 20);
        recording
    }

    /// Runs a client whose server says these bytes and nothing else.
    fn client(&self, program: &str, options: &[&str], sources: &str, pull: bool, says: &[u8]) -> Outcome {
        fs::write(self.path().join("says"), says).unwrap();
        fs::create_dir_all(self.path().join("dst")).unwrap();
        // The peer reads on, so that the end of its own speech is what the client sees first.
        let peer = script(&self.path().join("peer"), "cat says; exec 1>&-; cat >/dev/null");
        let mut line = command(program, self.path());
        line.args(options).arg("--checksum-seed=77").arg("-e").arg(peer);
        match pull {
            true => line.arg(format!("fake:{sources}")).arg("dst/in/"),
            false => line.arg(sources).arg("fake:dst/in/"),
        };
        run_within(&mut line, Duration::from_secs(20))
    }

    /// Runs a server whose client says these bytes and nothing else.
    fn server(&self, program: &str, args: &str, says: &[u8]) -> Outcome {
        fs::write(self.path().join("says"), says).unwrap();
        fs::create_dir_all(self.path().join("dst")).unwrap();
        // The code that matters is the server's.
        let wrapped = format!("{{ cat says; }} | {{ '{program}' {args}; echo $? > code; }} | cat >/dev/null");
        let mut line = command("sh", self.path());
        line.arg("-c").arg(wrapped);
        let mut outcome = run_within(&mut line, Duration::from_secs(20));
        if outcome.code.is_some() {
            outcome.code =
                fs::read_to_string(self.path().join("code")).ok().and_then(|c| c.trim().parse().ok());
        }
        outcome
    }

    /// Everything but the destination and what the test itself writes.
    fn outside(&self) -> Snapshot {
        let mut all = snapshot(self.path(), self.since);
        all.retain(|name, _| {
            !name.is_empty()
                && !name.starts_with(b"dst")
                && !["says", "peer", "code", "rec"].iter().any(|own| name == own.as_bytes())
        });
        all
    }

    /// What is wrong with the state that a run left, which is removed.
    fn judge(&self, outcome: &Outcome, outside: &Snapshot, what: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |text: String| faults.push(format!("{what}: {text}"));
        if outcome.elapsed > SOON {
            fault(format!("took {:?}", outcome.elapsed));
        }
        if outcome.panicked() {
            fault(format!("panic or kill: {:?} {}", outcome.code, outcome.stderr));
        }
        if let Some(code) = outcome.code
            && !DOCUMENTED.contains(&code)
        {
            fault(format!("exit code {code}"));
        }
        if outcome.code != Some(0) && outcome.stderr.trim().is_empty() {
            fault(format!("exit code {:?} without a message", outcome.code));
        }
        if self.outside() != *outside {
            fault("something changed outside the destination".into());
        }
        for name in self.incomplete() {
            fault(format!("{} is incomplete or a leftover", name.display()));
        }
        let _ = fs::remove_dir_all(self.path().join("dst"));
        faults
    }

    /// Regular files of the destination that are not what the source has under that name.
    fn incomplete(&self) -> Vec<PathBuf> {
        fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => walk(&entry.path(), out),
                    kind if kind.is_file() => out.push(entry.path()),
                    _ => {}
                }
            }
        }
        let mut files = Vec::new();
        let root = self.path().join("dst/in");
        walk(&self.path().join("dst"), &mut files);
        files.retain(|path| {
            let source = path.strip_prefix(&root).map(|name| self.path().join("src").join(name));
            source.is_err() || fs::read(source.unwrap()).ok() != fs::read(path).ok()
        });
        files
    }
}

fn report(faults: &[String], runs: usize) {
    assert!(
        faults.is_empty(),
        "{} faults in {runs} runs:\n{}",
        faults.len(),
        faults[..faults.len().min(20)].join("\n")
    );
}

/// A recorded session from both sides, cut at every 97th byte: the exit code is stock's.
fn cut_everywhere(options: &[&str], pull: bool) {
    let lab = Lab::new();
    let recording = lab.record(options, "src/", pull);
    let outside = lab.outside();
    let (mut faults, mut runs) = (Vec::new(), 0);
    for client in [true, false] {
        let bytes = if client { &recording.to_client } else { &recording.to_server };
        for len in (0..bytes.len()).step_by(97) {
            let run = |program| match client {
                true => lab.client(program, options, "src/", pull, &bytes[..len]),
                false => lab.server(program, &recording.server_args, &bytes[..len]),
            };
            let expected = run("rsync");
            let _ = fs::remove_dir_all(lab.path().join("dst"));
            let got = run(ARSYNC);
            runs += 1;
            let side = if client { "client" } else { "server" };
            let what = format!("{side} of {options:?}, cut at {len} of {}", bytes.len());
            // Where the cut is seen first differs between one process and three: then "connection closed" is as good.
            if got.code != expected.code && (got.code != Some(12) || expected.code == Some(0)) {
                faults.push(format!(
                    "{what}: exit code {:?}, stock has {:?}\n  arsync: {}\n  stock:  {}",
                    got.code,
                    expected.code,
                    got.stderr.trim(),
                    expected.stderr.trim()
                ));
            }
            faults.extend(lab.judge(&got, &outside, &what));
        }
    }
    report(&faults, runs);
}

#[test]
fn streams_of_a_pull_cut_anywhere() {
    cut_everywhere(&["-a"], true);
}

#[test]
fn streams_of_a_push_cut_anywhere() {
    cut_everywhere(&["-a"], false);
}

#[test]
fn streams_of_an_old_pull_cut_anywhere() {
    cut_everywhere(&["-a", "--protocol=29"], true);
}

#[test]
fn streams_of_a_compressed_push_cut_anywhere() {
    cut_everywhere(&["-az", "--protocol=30"], false);
}

/// One byte of a recording changed, at every 61st place, to three other values.
fn damage_everywhere(options: &[&str], pull: bool) {
    let lab = Lab::new();
    let recording = lab.record(options, "src/", pull);
    let outside = lab.outside();
    let (mut faults, mut runs) = (Vec::new(), 0);
    for client in [true, false] {
        let bytes = if client { &recording.to_client } else { &recording.to_server };
        for at in (0..bytes.len()).step_by(if bytes.len() > 4000 { 61 } else { 7 }) {
            for flip in [0xFF, 0x01, 0x80] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                let got = match client {
                    true => lab.client(ARSYNC, options, "src/", pull, &bytes),
                    false => lab.server(ARSYNC, &recording.server_args, &bytes),
                };
                runs += 1;
                let side = if client { "client" } else { "server" };
                let what =
                    format!("{side} of {options:?}, byte {at} of {} changed by {flip:02x}", bytes.len());
                // A name or an attribute may have become another valid one: content is judged elsewhere.
                faults.extend(
                    lab.judge(&got, &outside, &what)
                        .into_iter()
                        .filter(|fault| !fault.contains("is incomplete")),
                );
            }
        }
    }
    report(&faults, runs);
}

#[test]
fn streams_of_a_pull_damaged_anywhere() {
    damage_everywhere(&["-a"], true);
}

#[test]
fn streams_of_a_push_damaged_anywhere() {
    damage_everywhere(&["-a"], false);
}

#[test]
fn streams_of_an_old_compressed_pull_damaged_anywhere() {
    damage_everywhere(&["-az", "--protocol=29"], true);
}

#[test]
fn garbage_instead_of_a_version() {
    let lab = Lab::new();
    let outside = lab.outside();
    let recording = lab.record(&["-a"], "src/", true);
    let mut faults = Vec::new();
    for says in [
        b"".as_slice(),
        b"\0",
        b"Welcome to this machine!\n",
        b"stty: standard input: Inappropriate ioctl for device\n",
        &[0; 64],
        &[0xFF; 64],
        &[0, 0, 0, 0x80],
        b"@RSYNCD: 31.0\n",
    ] {
        for pull in [false, true] {
            let got = lab.client(ARSYNC, &["-a"], "src/", pull, says);
            let what = format!("client, pull {pull}, {:?}", says.escape_ascii().to_string());
            if !matches!(got.code, Some(2 | 12)) {
                faults.push(format!("{what}: exit code {:?}: {}", got.code, got.stderr.trim()));
            }
            faults.extend(lab.judge(&got, &outside, &what));
        }
        let got = lab.server(ARSYNC, &recording.server_args, says);
        let what = format!("server, {:?}", says.escape_ascii().to_string());
        if !matches!(got.code, Some(2 | 12)) {
            faults.push(format!("{what}: exit code {:?}: {}", got.code, got.stderr.trim()));
        }
        faults.extend(lab.judge(&got, &outside, &what));
    }
    report(&faults, 24);
}

/// Frames of a protocol 29 sender begin at byte 8, behind version and seed.
const FRAMES: usize = 8;

#[test]
fn frames_that_no_peer_may_send() {
    let lab = Lab::new();
    let outside = lab.outside();
    let recording = lab.record(&["-a", "--protocol=29"], "src/", true);
    let start = &recording.to_client[..FRAMES];
    let frame = |tag: u8, len: u32, payload: &[u8]| {
        let mut out = start.to_vec();
        out.extend(((u32::from(tag) + 7) << 24 | len).to_le_bytes());
        out.extend_from_slice(payload);
        out
    };
    let mut faults = Vec::new();
    for (what, says) in [
        ("unknown tag", frame(99, 4, b"abcd")),
        ("tag below the base", [start, &[4, 0, 0, 3, 1, 2, 3, 4]].concat()),
        ("huge text", frame(2, 0xFF_FFFF, &[b'x'; 9000])),
        ("redo from a sender", frame(9, 4, &[0; 4])),
        ("odd length of an error word", frame(22, 3, &[0; 3])),
        ("name of 2^31-1 bytes", frame(0, 6, &[0x40, 0xFF, 0xFF, 0xFF, 0x7F, b'a'])),
        ("negative name length", frame(0, 6, &[0x40, 0xFF, 0xFF, 0xFF, 0xFF, b'a'])),
        ("prefix without a name before", frame(0, 3, &[0x20, 200, 1])),
    ] {
        let got = lab.client(ARSYNC, &["-a", "--protocol=29"], "src/", true, &says);
        if !matches!(got.code, Some(2 | 12 | 22)) {
            faults.push(format!("{what}: exit code {:?}: {}", got.code, got.stderr.trim()));
        }
        faults.extend(lab.judge(&got, &outside, what));
    }
    report(&faults, 8);
}

/// What stays when a session has failed is not waited for.
#[test]
fn a_remote_shell_that_does_not_end() {
    let dir = tempfile::tempdir().unwrap();
    for (name, said, line) in [
        ("tag", r"printf '\40\0\0\0\0\1\0\0\0\0\0\0\377'", "unexpected tag -8 [Receiver]"),
        ("end", "exec >&-", "rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]"),
    ] {
        let shell = script(&dir.path().join(name), &format!("{said}\nexec sleep 30"));
        for program in ["rsync", ARSYNC] {
            let shell = shell.to_str().unwrap();
            let out = run(command(program, dir.path()).args(["-r", "-e", shell, "h:x/", "out/"]));
            assert_eq!((out.code, out.stderr.lines().next()), (Some(12), Some(line)), "{program} {name}");
            assert!(out.elapsed < Duration::from_secs(20), "{program} {name} {:?}", out.elapsed);
        }
    }
}

/// A sender that answers with another name than was asked for.
#[test]
fn names_that_lead_out_of_the_destination() {
    let lab = Lab::new();
    fs::write(lab.path().join("src/evil-name-0"), "evil").unwrap();
    let outside = lab.outside();
    let (mut faults, mut runs) = (Vec::new(), 0);
    for protocol in ["--protocol=29", "--protocol=32"] {
        let options = ["-t", protocol];
        let recording = lab.record(&options, "src/evil-name-0", true);
        let evil: [&[u8]; 9] = [
            b"../evilname",
            b"../../evil0",
            b"/tmp/evil-0",
            b"x/../../evl",
            b"./../evil-0",
            b"evil-name/.",
            b"x/y/z/../..",
            b"evil//name0",
            b"other-name-",
        ];
        for evil in evil {
            let mut says = recording.to_client.clone();
            let at = says.windows(11).position(|w| w == b"evil-name-0").expect("the name is in the stream");
            says[at..at + 11].copy_from_slice(evil);
            let got = lab.client(ARSYNC, &options, "src/evil-name-0", true, &says);
            let _ = fs::remove_dir_all(lab.path().join("dst"));
            let stock = lab.client("rsync", &options, "src/evil-name-0", true, &says);
            let _ = fs::remove_dir_all(lab.path().join("dst"));
            let what = format!("{protocol} {}", evil.escape_ascii());
            if got.code != stock.code || got.code == Some(0) {
                faults.push(format!(
                    "{what}: exit code {:?}: {}\n  stock: {:?}: {}",
                    got.code, got.stderr, stock.code, stock.stderr
                ));
            }
            faults.extend(lab.judge(&got, &outside, &what));
            runs += 1;
        }
    }
    assert!(!Path::new("/tmp/evil-0").exists());
    report(&faults, runs);
}

/// A megabyte that does not repeat itself, in `src/f`.
fn megabyte() -> tempfile::TempDir {
    let dir = details::tree(&["src", "dst"], &[]);
    let mut state = 1u64;
    let data: Vec<u8> = (0..1 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    fs::write(dir.path().join("src/f"), data).unwrap();
    fs::set_permissions(dir.path().join("src/f"), fs::Permissions::from_mode(0o640)).unwrap();
    dir
}

/// A pull of that file.
fn pull_megabyte(program: Program, dir: &Path, shell: &Path, options: &[&str]) -> Command {
    let mut pull = command(program.path(), dir);
    let path = format!("--rsync-path={}", program.path());
    pull.args(["-a", "-e", shell.to_str().unwrap(), &path]).args(options);
    pull.args([&format!("h:{}/src/", dir.display()), "dst/"]);
    pull
}

/// What stands in `dst`: names, and of files permissions, seconds of their time if it says that they are partial, and
/// whether they are a beginning of the source of some length.
fn kept(dir: &Path) -> Vec<String> {
    let source = fs::read(dir.join("src/f")).unwrap();
    let mut kept: Vec<_> = snapshot(&dir.join("dst"), SystemTime::now())
        .keys()
        .map(|name| dir.join("dst").join(OsStr::from_bytes(name)))
        .filter(|path| path.is_file())
        .map(|path| {
            let (meta, data) = (fs::metadata(&path).unwrap(), fs::read(&path).unwrap());
            let good = data.len() > 256 << 10 && data.len() < 1 << 20 && source.starts_with(&data);
            let name = path.strip_prefix(dir.join("dst")).unwrap().display().to_string();
            format!("{name} {:o} {} {good}", meta.permissions().mode() & 0o7777, meta.mtime() == 0)
        })
        .collect();
    kept.sort();
    kept
}

/// Options, and what of a file is kept that did not come to its end.
const KEPT: [(&[&str], &[&str]); 4] = [
    (&[], &[]),
    (&["--partial"], &["f 640 true true"]),
    (&["--partial-dir=.part"], &[".part/f 640 false true"]),
    (&["--delay-updates"], &[".~tmp~/f 640 false true"]),
];

/// Has a pull interrupted when a part of its file is there. `victim`: who is killed, by the client's process and that
/// of the server, and how.
fn interrupted(code: i32, victim: impl Fn(Pid, Pid) -> (Pid, Signal)) {
    for program in BOTH {
        for (options, left) in KEPT {
            let dir = megabyte();
            let at = |name: &str| dir.path().join(name);
            let shell = script(&at("rsh"), "shift\necho $$ >pid\nexec \"$@\"");
            let mut pull = pull_megabyte(program, dir.path(), &shell, options);
            let mut pull = pull.arg("--bwlimit=400").stderr(Stdio::null()).spawn().unwrap();
            let arrived = || {
                let files = fs::read_dir(at("dst")).unwrap();
                files
                    .map(|file| file.unwrap().metadata().map_or(0, |meta| meta.len()))
                    .any(|len| len > 256 << 10)
            };
            let start = Instant::now();
            while !arrived() && start.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(1));
            }
            let server = fs::read_to_string(at("pid")).unwrap().trim().parse().unwrap();
            let (process, signal) = victim(Pid::from_child(&pull), Pid::from_raw(server).unwrap());
            kill_process(process, signal).unwrap();
            let killed = Instant::now();
            assert_eq!(pull.wait().unwrap().code(), Some(code), "{program:?} {options:?}");
            // The receiver of the reference is a process of its own.
            while kept(dir.path()) != left && killed.elapsed() < SOON {
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(kept(dir.path()), left, "{program:?} {options:?}");
        }
    }
}

#[test]
fn what_has_come_of_a_file_is_kept_when_the_sender_ends() {
    interrupted(12, |_, server| (server, Signal::KILL));
}

#[test]
fn what_has_come_of_a_file_is_kept_when_a_signal_comes() {
    interrupted(20, |client, _| (client, Signal::INT));
}

/// A limit of file sizes is an error of writing like a full disk, on both ends of a session and in a local copy.
#[test]
fn a_limit_of_file_sizes_leaves_nothing_behind() {
    for program in BOTH {
        let dir = details::tree(&["src", "dst"], &["dst/f=old"]);
        fs::write(dir.path().join("src/f"), vec![b'x'; 300_000]).unwrap();
        let shell = fake_shell(dir.path());
        let to = format!("h:{}/dst/", dir.path().display());
        let path = format!("--rsync-path={}", program.path());
        for way in [&["src/", "dst/"][..], &["-e", shell.to_str().unwrap(), &path, "src/", &to]] {
            // In units of 512 bytes.
            let limited = ["-c", "ulimit -f 100; exec \"$@\"", "sh", program.path(), "-t"];
            let mut line = command("/bin/sh", dir.path());
            let out = run(line.args(limited).arg("-r").args(way));
            assert_eq!(out.code, Some(11), "{program:?} {way:?}: {out:?}");
            let told = format!("write failed on \"{}/dst/f\": File too large (27)", dir.path().display());
            assert!(out.stderr.contains(&told), "{program:?} {way:?}: {out:?}");
            let names: Vec<_> =
                fs::read_dir(dir.path().join("dst")).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["f"], "{program:?} {way:?}");
            assert_eq!(fs::read(dir.path().join("dst/f")).unwrap(), b"old", "{program:?} {way:?}");
        }
        // What has come is kept where that is wanted.
        for (option, kept) in [("--partial-dir=.p", "dst/.p/f"), ("--partial", "dst/f")] {
            let limited = ["-c", "ulimit -f 100; exec \"$@\"", "sh", program.path(), "-rt", option];
            let way = ["-e", shell.to_str().unwrap(), &path, "src/", &to];
            let out = run(command("/bin/sh", dir.path()).args(limited).args(way));
            assert_eq!(out.code, Some(11), "{program:?} {option}: {out:?}");
            assert_eq!(fs::metadata(dir.path().join(kept)).unwrap().len(), 51_200, "{program:?} {option}");
            assert_eq!(fs::read(dir.path().join("dst/f")).unwrap() == b"old", kept != "dst/f", "{program:?}");
        }
    }
}

/// A remote shell that fails when all is done: the statistics are there nevertheless.
#[test]
fn totals_come_before_the_exit_code_of_the_remote_shell() {
    for program in BOTH {
        let dir = details::tree(&["src", "dst"], &["src/f=text"]);
        let shell = script(&dir.path().join("rsh"), "shift\n\"$@\"\nexit 127");
        let mut push = command(program.path(), dir.path());
        push.args(["-a", "--info=stats1", "-e", shell.to_str().unwrap()]);
        push.args([
            &format!("--rsync-path={}", program.path()),
            "src/",
            &format!("h:{}/dst/", dir.path().display()),
        ]);
        let out = run(&mut push);
        assert_eq!(out.code, Some(127), "{program:?}: {out:?}");
        assert!(out.stdout.contains("total size is 4  speedup is "), "{program:?}: {out:?}");
        assert!(
            out.stderr.starts_with("rsync error: remote command not found (code 127)"),
            "{program:?}: {out:?}"
        );
    }
}
