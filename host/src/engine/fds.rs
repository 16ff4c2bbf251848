//! Open files: by what the kernel shows of them below `/proc`, also for a process that has changed its root; and how
//! many may be kept.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::OnceLock,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat, readlinkat},
    io::{self, Errno},
    process::{Resource, getrlimit},
};

/// Files that are open in any session, whatever is kept.
const NEEDED: u64 = 16;
/// With so many files at most, everything that is worth keeping can be kept.
const AMPLE: u64 = 256;

/// The process has changed its root: `/proc` has no path any more.
static JAILED: AtomicBool = AtomicBool::new(false);

/// How many of so many files may be kept open that can be opened again: fewer where the process is short of them
/// (`ulimit -n`).
pub fn affordable(wanted: usize) -> usize {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    let limit = *LIMIT.get_or_init(|| getrlimit(Resource::Nofile).current.unwrap_or(AMPLE));
    share(wanted, limit)
}

fn share(wanted: usize, limit: u64) -> usize {
    let spare = limit.clamp(NEEDED, AMPLE) - NEEDED;
    (wanted as u64 * spare / (AMPLE - NEEDED)).max(1) as usize
}

/// Has the process change its root, and keeps what will be needed of `/proc`.
pub fn enter_jail(change_root: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    proc()?;
    change_root()?;
    JAILED.store(true, Ordering::Relaxed);
    Ok(())
}

/// The directory `/proc`, in which [`link`] has a meaning. What is in it for this process is looked up each time: a daemon
/// divides after it was opened, and the new process has files of its own.
pub fn proc() -> io::Result<&'static OwnedFd> {
    static PROC: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || openat(CWD, "/proc", flags, Mode::empty()).ok();
    PROC.get_or_init(open).as_ref().ok_or(Errno::NOENT)
}

/// Where an open file is.
pub fn path_of(file: impl AsFd) -> io::Result<Vec<u8>> {
    // It stays open until the kernel has answered.
    Ok(readlinkat(proc()?, link(&file), Vec::new())?.into_bytes())
}

/// The name of an open file below [`proc`]. It stands for the file itself.
pub fn link(file: impl AsFd) -> String {
    format!("self/fd/{}", file.as_fd().as_raw_fd())
}

/// A path to a name in an open directory, which also works for directories opened with `O_PATH`. None of its components
/// but the last can be a symlink that somebody put there; below a changed root one can, and leads nowhere but below it.
pub fn path_in(dir: &OwnedFd, name: &[u8]) -> io::Result<Vec<u8>> {
    if JAILED.load(Ordering::Relaxed) {
        return Ok([&path_of(dir)?[..], b"/", name].concat());
    }
    Ok([format!("/proc/{}/", link(dir)).as_bytes(), name].concat())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn what_is_kept_shrinks_with_the_limit() {
        for (limit, kept) in [(0, 1), (16, 1), (20, 1), (32, 2), (64, 6), (136, 16), (256, 32), (1 << 20, 32)]
        {
            assert_eq!(share(32, limit), kept, "{limit}");
        }
        assert_eq!(share(64, u64::MAX), 64);
    }

    #[test]
    fn open_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap();
        fs::write(place.join("f"), "x").unwrap();
        let file: OwnedFd = fs::File::open(place.join("f")).unwrap().into();
        assert_eq!(path_of(&file).unwrap(), place.join("f").as_os_str().as_bytes());
        let dir: OwnedFd = fs::File::open(&place).unwrap().into();
        let name = path_in(&dir, b"f").unwrap();
        assert_eq!(fs::read(std::ffi::OsStr::from_bytes(&name)).unwrap(), b"x");
    }
}
