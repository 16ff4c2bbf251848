//! The matrix through a real sshd, started for the test: own configuration, own keys, a free port on 127.0.0.1.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    cases::{self, Case},
    matrix::{Bench, Link, Shell, check, which},
};

/// A running sshd; killed when dropped.
struct Sshd {
    child: Child,
    shell: Shell,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(path: &Path) {
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(status.success(), "ssh-keygen failed");
}

fn start(dir: &Path) -> Sshd {
    let dir = dir.join("ssh");
    fs::create_dir(&dir).unwrap();
    if crate::tree::is_root() {
        // Started as root, sshd wants the empty directory that otherwise its service makes.
        fs::create_dir_all("/run/sshd").unwrap();
    }
    key(&dir.join("host_key"));
    key(&dir.join("user_key"));
    fs::rename(dir.join("user_key.pub"), dir.join("authorized_keys")).unwrap();
    // Somebody may take the port between our look and sshd's start: then another one is tried.
    for _ in 0..5 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let d = dir.display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {d}/host_key\nAuthorizedKeysFile {d}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PubkeyAuthentication yes\nPermitRootLogin yes\nPrintMotd no\nPermitUserRC no\nLogLevel ERROR\n\
             MaxStartups 100\nUseDNS no\nSetEnv SHLVL=1\n"
        );
        fs::write(dir.join("sshd_config"), config).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new(which("sshd"))
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let command = format!(
            "ssh -F none -p {port} -i {d}/user_key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR"
        );
        let mut sshd = Sshd { child, shell: Shell { command: command.into(), host: "127.0.0.1" } };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) && sshd.child.try_wait().unwrap().is_none() {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return sshd;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("sshd does not start: {}", fs::read_to_string(dir.join("log")).unwrap_or_default());
}

/// What differs over ssh is the connection, not the options: a few that move much, in both directions, suffice.
fn chosen() -> Vec<Case> {
    const CHOSEN: [&[&str]; 7] =
        [&["-a"], &["-aH"], &["-az"], &["-as"], &["-aI", "--no-whole-file"], &["-a", "--delete"], &["-ac"]];
    let chosen: Vec<_> = cases::all().into_iter().filter(|case| CHOSEN.contains(&case.options)).collect();
    assert!(chosen.len() > CHOSEN.len());
    chosen
}

#[test]
fn push_through_ssh() {
    let bench = Bench::new();
    let sshd = start(bench.path());
    check(&bench, &Link::Push(sshd.shell.clone()), 32, &chosen());
    check(&bench, &Link::Push(sshd.shell.clone()), 29, &chosen()[..4]);
}

#[test]
fn pull_through_ssh() {
    let bench = Bench::new();
    let sshd = start(bench.path());
    check(&bench, &Link::Pull(sshd.shell.clone()), 32, &chosen());
    check(&bench, &Link::Pull(sshd.shell.clone()), 29, &chosen()[..4]);
}
