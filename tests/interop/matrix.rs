//! The same input for stock rsync at both ends, and for every pair with arsync in it: tree, exit code and output must
//! be equal.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use crate::{
    cases::Case,
    peers::{Outcome, Program, command, deny_io_uring, fake_shell, run},
    snapshot::{Snapshot, difference, snapshot},
    tree,
};

/// How the ends are connected.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// Both in one process.
    Local,
    /// The client sends.
    Push(Shell),
    /// The client receives.
    Pull(Shell),
    /// The client sends to a module of a daemon, which is the directory of the bench.
    DaemonPush(Urls),
    /// The client receives from one.
    DaemonPull(Urls),
}

/// The same module at both daemons.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    pub(crate) stock: String,
    pub(crate) own: String,
}

impl Urls {
    fn of(&self, server: Program) -> &str {
        match server {
            Program::Stock => &self.stock,
            Program::Arsync => &self.own,
        }
    }
}

/// A remote shell: the words of `-e`, and the name of the machine.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) command: OsString,
    pub(crate) host: &'static str,
}

/// A directory with the source tree, and everything that runs need.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    /// io_uring is refused to both ends.
    without_ring: bool,
}

/// What a run made.
pub(crate) struct Made {
    pub(crate) outcome: Outcome,
    pub(crate) tree: Snapshot,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("arsync-interop-").tempdir().unwrap();
        tree::source(&dir.path().join("src"));
        fs::write(dir.path().join("rules"), "*.o\n# comment\n; comment\n\n+ keep*\n- /dates/\n").unwrap();
        Self { dir, without_ring: false }
    }

    /// The same, with io_uring denied to every program that is run.
    pub(crate) fn without_ring() -> Self {
        Self { without_ring: true, ..Self::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn fake(&self) -> Shell {
        Shell { command: fake_shell(self.path()).into(), host: "fake" }
    }

    /// The command line of a run; the destination is `dst` in `side`, which is made.
    fn line(
        &self,
        case: &Case,
        link: &Link,
        client: Program,
        server: Program,
        protocol: u8,
        side: &Path,
    ) -> Command {
        let mut line = command(client.path(), self.path());
        // With a seed of its own each time, one run in some thousands takes one block for another at first, and says so.
        line.args(["-i", "--checksum-seed=1"]).args(case.options).arg(format!("--protocol={protocol}"));
        let dest = side.join("dst").into_os_string();
        let remote = |path: &OsString, shell: &Shell| {
            let mut word = OsString::from(shell.host);
            word.push(":");
            word.push(path);
            word
        };
        let sources = case.sources.iter().map(|name| self.path().join(name).into_os_string());
        let shell = match link {
            Link::Local | Link::DaemonPush(_) | Link::DaemonPull(_) => None,
            Link::Push(shell) | Link::Pull(shell) => Some(shell),
        };
        if let Some(shell) = shell {
            let mut path = OsString::from("--rsync-path=");
            path.push(server.path());
            line.arg("-e").arg(&shell.command).arg(path);
        }
        match link {
            Link::Local => line.args(sources).arg(dest),
            Link::Push(shell) => line.args(sources).arg(remote(&dest, shell)),
            Link::Pull(shell) => line.args(sources.map(|s| remote(&s, shell))).arg(dest),
            Link::DaemonPush(urls) => {
                let url = urls.of(server);
                let name = side.file_name().unwrap().to_string_lossy();
                line.args(sources).arg(format!("{url}/{name}/dst"))
            }
            Link::DaemonPull(urls) => {
                let url = urls.of(server);
                line.args(case.sources.iter().map(|name| format!("{url}/{name}"))).arg(dest)
            }
        };
        line
    }

    /// Runs one pair.
    pub(crate) fn make(
        &self,
        case: &Case,
        link: &Link,
        client: Program,
        server: Program,
        protocol: u8,
    ) -> Made {
        let side = tempfile::Builder::new().prefix("side-").tempdir_in(self.path()).unwrap();
        if case.onto {
            tree::before(&side.path().join("dst"));
        }
        let start = SystemTime::now();
        let mut line = self.line(case, link, client, server, protocol, side.path());
        if self.without_ring {
            deny_io_uring(&mut line);
        }
        let mut outcome = run(&mut line);
        // The name of the directory differs from run to run.
        let place = side.path().to_string_lossy().into_owned();
        if let Link::DaemonPush(_) = link {
            // Below a module the directory has its name alone.
            let name = side.path().file_name().unwrap().to_string_lossy();
            outcome.stdout = outcome.stdout.replace(&*place, "SIDE").replace(&*name, "SIDE");
        }
        outcome.stdout = outcome.stdout.replace(&place, "SIDE");
        outcome.stderr = outcome.stderr.replace(&place, "SIDE");
        // The root of the comparison holds backups too; its own date is that of the test.
        let mut tree = snapshot(side.path(), start);
        tree.remove(b"".as_slice());
        Made { outcome, tree }
    }
}

/// Compares what a pair made with what stock rsync made.
fn compare(expected: &Made, got: &Made, protocol: u8) -> Result<(), String> {
    let mut text = String::new();
    if expected.outcome.code != got.outcome.code {
        text.push_str(&format!(
            "    exit code: expected {:?}, got {:?}\n    stderr: {}\n",
            expected.outcome.code,
            got.outcome.code,
            got.outcome.stderr.trim_end()
        ));
    }
    if got.outcome.panicked() {
        text.push_str(&format!("    panic or kill: {}\n", got.outcome.stderr.trim_end()));
    }
    if let Some(difference) = difference(&expected.tree, &got.tree) {
        text.push_str(&format!("    tree:\n{difference}\n"));
    }
    if let Some(difference) =
        lines(&figures(&expected.outcome.stdout, protocol), &figures(&got.outcome.stdout, protocol))
    {
        text.push_str(&format!("    stdout:\n{difference}\n"));
    }
    if expected.outcome.stderr.is_empty() != got.outcome.stderr.is_empty() {
        text.push_str(&format!(
            "    stderr: expected {:?}\n            got      {:?}\n",
            expected.outcome.stderr, got.outcome.stderr
        ));
    }
    if text.is_empty() { Ok(()) } else { Err(text) }
}

/// The lines that two correct runs share: without the figures that depend on how bytes were cut into frames.
///
/// Below protocol 29 nothing about items goes over the wire: both processes at the destination print theirs, as it
/// happens, and stock rsync forgets the names of what was deleted.
fn figures(stdout: &str, protocol: u8) -> String {
    const VARYING: [&str; 6] =
        ["Total bytes ", "File list ", "sent ", "total size is ", "Literal data", "Matched data"];
    let mut lines: Vec<_> =
        stdout.lines().filter(|line| !VARYING.iter().any(|start| line.starts_with(start))).collect();
    if protocol < 29 {
        for line in &mut lines {
            if line.starts_with("*deleting ") || line.starts_with("deleting ") {
                *line = "deleting";
            }
        }
        // Who made the root, and so whether it is new, depends on which of the two came first.
        lines.retain(|line| !line.ends_with(" ./"));
        lines.sort_unstable();
    }
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// The first lines that differ.
fn lines(expected: &str, got: &str) -> Option<String> {
    if expected == got {
        return None;
    }
    let (a, b): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    // Items and messages come from different processes of rsync: only the order within each kind is settled.
    let item = |line: &str| line.len() > 11 && line.as_bytes()[11] == b' ' && !line.starts_with('*');
    let of_kind = |lines: &[&str], items: bool| -> Vec<String> {
        lines.iter().filter(|line| item(line) == items).map(|line| (*line).to_owned()).collect()
    };
    let mut equal = true;
    for items in [true, false] {
        let (a, b) = (of_kind(&a, items), of_kind(&b, items));
        let mut sorted = (a.clone(), b.clone());
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        if a != b && sorted.0 == sorted.1 {
            let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(0);
            return Some(format!(
                "      another order, from line {at}: expected {:?}, got {:?}",
                a[at], b[at]
            ));
        }
        equal &= a == b;
    }
    if equal {
        return None;
    }
    let missing =
        a.iter().filter(|line| !b.contains(line)).take(5).map(|line| format!("      missing {line:?}"));
    let extra =
        b.iter().filter(|line| !a.contains(line)).take(5).map(|line| format!("      extra   {line:?}"));
    Some(missing.chain(extra).collect::<Vec<_>>().join("\n"))
}

/// Every pair that has arsync in it.
const PAIRS: [(Program, Program); 3] = [
    (Program::Arsync, Program::Arsync),
    (Program::Arsync, Program::Stock),
    (Program::Stock, Program::Arsync),
];

/// Runs these cases over one connection with one protocol version, and panics with all differences.
pub(crate) fn check(bench: &Bench, link: &Link, protocol: u8, cases: &[Case]) {
    let only = std::env::var("ARSYNC_CASE").ok();
    let mut failures = Vec::new();
    let mut runs = 0;
    for case in cases.iter().filter(|case| case.protocols.contains(&protocol)) {
        let name = format!("{} {}", case.options.join(" "), case.sources.join(" "));
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let expected = bench.make(case, link, Program::Stock, Program::Stock, protocol);
        let pairs = match link {
            Link::Local => &PAIRS[..1],
            _ => &PAIRS[..],
        };
        for &(client, server) in pairs {
            let got = bench.make(case, link, client, server, protocol);
            runs += 1;
            if let Err(text) = compare(&expected, &got, protocol) {
                let before = if case.onto { "onto an older state" } else { "fresh" };
                failures.push(format!("  {client:?} client, {server:?} server: {name} ({before})\n{text}"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "protocol {protocol}: {} of {runs} runs differ from stock rsync\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(runs > 0 || only.is_some(), "no case was run");
}

/// The path of a program by name.
pub(crate) fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; tests/run says how to get it"))
}
