//! Programs and connections.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The binary under test.
pub(crate) const ARSYNC: &str = env!("CARGO_BIN_EXE_arsync");

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Arsync,
    Stock,
}

impl Program {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Arsync => ARSYNC,
            Self::Stock => "rsync",
        }
    }
}

/// What a run left behind, apart from the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// Nothing in it looks like a bug in the program itself.
    pub(crate) fn panicked(&self) -> bool {
        self.stderr.contains("panicked") || matches!(self.code, Some(101) | None)
    }
}

/// Longest run; a program that is still alive then is killed and counts as hung.
const LIMIT: Duration = Duration::from_secs(120);

/// A command in a fixed environment, in `dir`, with nothing on stdin.
pub(crate) fn command(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env("HOME", dir)
        .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|path| ("LLVM_PROFILE_FILE", path)))
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    run_within(command, LIMIT)
}

/// Runs it; after `limit` the whole process group is killed, and the code is `None`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Outcome {
    // Files, not pipes: a grandchild that outlives the program must not keep the test waiting.
    let (mut out, mut err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let start = Instant::now();
    let mut child = command
        .process_group(0)
        .stdout(out.try_clone().unwrap())
        .stderr(err.try_clone().unwrap())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let mut pause = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > limit {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    };
    let elapsed = start.elapsed();
    let read = |file: &mut fs::File| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (read(&mut out), read(&mut err));
    Outcome { code: status.and_then(|s| s.code()), stdout, stderr, elapsed }
}

/// An executable script.
pub(crate) fn script(path: &Path, body: &str) -> PathBuf {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// A remote shell that runs the command on this machine, with the splitting that a real one does.
pub(crate) fn fake_shell(dir: &Path) -> PathBuf {
    script(&dir.join("fake-rsh"), "shift\nexec /bin/sh -c \"$*\"")
}

/// Denies io_uring to the command and to everything that it starts, as container profiles do: `io_uring_setup` fails
/// with EPERM.
pub(crate) fn deny_io_uring(command: &mut Command) {
    const SYS_IO_URING_SETUP: u32 = 425;
    // Statement and jump codes of classic BPF.
    const LOAD_WORD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let code = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let program = [
        code(LOAD_WORD, 0, 0, 0),
        code(JUMP_EQUAL, 0, 1, SYS_IO_URING_SETUP),
        code(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | 1),
        code(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let mut program = program;
        let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
        // SAFETY: both calls only read their arguments, and `program` outlives them. prctl is async-signal-safe.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) == 0
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: the closure allocates nothing and makes two system calls.
    unsafe {
        command.pre_exec(install);
    }
}
