//! io_uring: that the transports use it, and that everything works where it is refused.

use std::{fs, path::Path};

use crate::{
    cases,
    matrix::{Bench, Link, check},
    peers::{ARSYNC, command, deny_io_uring, fake_shell, run, script},
    tree,
};

/// Half of the matrix, without a ring at either end.
#[test]
fn push_without_io_uring() {
    let bench = Bench::without_ring();
    let cases: Vec<_> = cases::all().into_iter().filter(|case| case.every).collect();
    check(&bench, &Link::Push(bench.fake()), 32, &cases);
    check(&bench, &Link::Push(bench.fake()), 28, &cases);
}

#[test]
fn pull_without_io_uring() {
    let bench = Bench::without_ring();
    let cases: Vec<_> = cases::all().into_iter().filter(|case| case.every).collect();
    check(&bench, &Link::Pull(bench.fake()), 32, &cases);
    check(&bench, &Link::Pull(bench.fake()), 28, &cases);
}

#[test]
fn local_without_io_uring() {
    let bench = Bench::without_ring();
    let cases: Vec<_> = cases::all().into_iter().filter(|case| case.every).collect();
    check(&bench, &Link::Local, 32, &cases);
}

/// The refusal is real: a ring cannot be had in such a process.
#[test]
fn the_refusal_refuses() {
    let dir = tempfile::tempdir().unwrap();
    tree::small(&dir.path().join("src"));
    let trace = |denied: bool| {
        let log = dir.path().join(format!("trace-{denied}"));
        let mut line = command("strace", dir.path());
        line.args(["-f", "-e", "trace=io_uring_setup,epoll_create1", "-o"]).arg(&log);
        line.arg(ARSYNC).args(["-a", "-e"]).arg(fake_shell(dir.path()));
        line.arg(format!("--rsync-path={ARSYNC}")).args(["src/", "fake:dst"]);
        if denied {
            deny_io_uring(&mut line);
        }
        let outcome = run(&mut line);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        fs::read_to_string(log).unwrap()
    };
    let (free, denied) = (trace(false), trace(true));
    assert!(free.lines().any(|l| l.contains("io_uring_setup(") && !l.contains("= -1")), "{free}");
    assert!(!denied.lines().any(|l| l.contains("io_uring_setup(") && !l.contains("= -1")), "{denied}");
    assert!(denied.contains("EPERM"), "{denied}");
}

/// Calls that move bytes between the two programs, as strace sees them: those on a socket, or on a standard stream
/// that is a pipe or a socket.
fn wire_calls(log: &Path) -> Vec<String> {
    const MOVING: [&str; 10] = [
        "read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg", "splice", "sendfile",
    ];
    let text = fs::read_to_string(log).unwrap();
    let of_arsync = |line: &&str| {
        let call = line.split_once(' ').map_or(*line, |(_, rest)| rest.trim_start());
        let Some((name, rest)) = call.split_once('(') else { return false };
        let fd = rest.split(['>', ',']).next().unwrap_or_default();
        MOVING.contains(&name) && (fd.contains("<socket:") || fd.contains("<UNIX") || fd.contains("<TCP"))
    };
    text.lines().filter(of_arsync).map(str::to_owned).collect()
}

/// Bytes of both ends go through the ring: no plain read or write of the sockets between them is seen.
#[test]
fn transports_read_and_write_through_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    tree::source(&dir.path().join("src"));
    for (name, words) in [("push", ["src/", "fake:dst-push"]), ("pull", ["fake:src/", "dst-pull"])] {
        let (client, server) =
            (dir.path().join(format!("{name}-client")), dir.path().join(format!("{name}-server")));
        // Each end is traced by itself, so that the shell between them is not.
        let traced = |log: &Path| {
            format!("strace -y -e trace=desc,network,io_uring_enter -o '{}' '{ARSYNC}'", log.display())
        };
        let remote = script(&dir.path().join("traced"), &format!("exec {} \"$@\"", traced(&server)));
        let mut line = command("sh", dir.path());
        line.arg("-c").arg(format!(
            "exec {} -a -e '{}' --rsync-path='{}' {} {}",
            traced(&client),
            fake_shell(dir.path()).display(),
            remote.display(),
            words[0],
            words[1]
        ));
        let outcome = run(&mut line);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        for log in [client, server] {
            let plain = wire_calls(&log);
            let entered = fs::read_to_string(&log).unwrap().matches("io_uring_enter(").count();
            assert!(plain.is_empty(), "{name}: plain calls on the wire: {:#?}", &plain[..plain.len().min(5)]);
            assert!(entered > 3, "{name}: {entered} entries into the ring");
        }
    }
}

/// Each name of a side is asked for once, however many directories are read ahead, and in lists of any kind.
#[test]
fn what_is_read_ahead_is_not_read_twice() {
    let dir = tempfile::tempdir().unwrap();
    // Names of the destination alone concern nobody unless they may have to go.
    fs::create_dir_all(dir.path().join("dst/d7")).unwrap();
    for file in 0..500 {
        fs::write(dir.path().join(format!("dst/d7/other-{file}")), "").unwrap();
    }
    for n in 0..300 {
        let sub = dir.path().join(format!("src/d{n}"));
        fs::create_dir_all(&sub).unwrap();
        for file in 0..10 {
            fs::write(sub.join(format!("f{file}")), "").unwrap();
        }
    }
    let again = |traced: bool, option: &str| {
        let log = dir.path().join("trace");
        let mut line = command(if traced { "strace" } else { ARSYNC }, dir.path());
        if traced {
            line.args(["-f", "-e", "trace=newfstatat,statx", "-o"]).arg(&log).arg(ARSYNC);
        }
        let outcome = run(line.args(["-a", option, "src/", "dst/"]));
        assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
        fs::read_to_string(log).unwrap_or_default()
    };
    again(false, "-v");
    for option in ["-t", "--no-inc-recursive", "--delete"] {
        let trace = again(true, option);
        let calls = trace.lines().filter(|line| line.contains("newfstatat(") || line.contains("statx("));
        // 3,000 files and 300 directories on each side, directories of the destination twice.
        let all = if option == "--delete" { 7_100..7_800 } else { 6_600..7_300 };
        let count = calls.count();
        assert!(all.contains(&count), "{option}: {count} calls");
    }
}
