//! Paths that the operator has named: a symlink on the way is followed only if it belongs to root or to this user, so
//! that nobody else can lead this process somewhere (`--insecure-links`).

use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsFd, OwnedFd};

use arsync_core::options::SessionOptions;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat},
    io::{self, Errno},
    process::geteuid,
};

use super::beneath::{MAX_LINKS, components};

/// A link of somebody else was met since the last [`take_refusal`]. Paths are opened on any thread, and before there is
/// a session that could be told.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether a link was not followed since the last call.
pub fn take_refusal() -> bool {
    REFUSED.swap(false, Ordering::Relaxed)
}

/// Which symlinks are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those of root and of this user.
    Owners,
    /// All (`--insecure-links`).
    #[default]
    All,
}

impl Trust {
    /// As these options want it.
    pub fn of(options: &SessionOptions) -> Self {
        if options.select.insecure_links { Self::All } else { Self::Owners }
    }

    /// Opens a path, the last component included. Another user's link ends as `ELOOP`.
    pub fn open(self, base: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let base = base.as_fd();
        if self == Self::All {
            return openat(base, path, flags, Mode::empty());
        }
        // Nearly always there is no link at all.
        match openat2(base, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            // EPERM, EAGAIN: see `beneath`.
            Err(Errno::LOOP | Errno::NOSYS | Errno::PERM | Errno::AGAIN) => walk(base, path, flags),
            other => other,
        }
    }
}

/// What the kernel does, one component at a time.
fn walk(base: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = || openat(CWD, "/", dir, Mode::empty());
    let mut here = if path.starts_with(b"/") { root()? } else { openat(base, ".", dir, Mode::empty())? };
    let mut todo = components(path);
    let mut followed = 0;
    while let Some(part) = todo.pop() {
        let found = openat(&here, &*part, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&found)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                followed += 1;
                if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
                    REFUSED.store(true, Ordering::Relaxed);
                    return Err(Errno::LOOP);
                }
                if followed > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&here, &*part, Vec::new())?.into_bytes();
                if target.starts_with(b"/") {
                    here = root()?;
                }
                todo.extend(components(&target));
            }
            _ if todo.is_empty() => return openat(&here, &*part, flags | OFlags::NOFOLLOW, Mode::empty()),
            FileType::Directory => here = found,
            _ => return Err(Errno::NOTDIR),
        }
    }
    openat(here, ".", flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{lchown, symlink},
    };

    use super::*;

    #[test]
    fn links_of_others_are_not_followed() {
        if !geteuid().is_root() {
            return;
        }
        let tmp = tempfile::tempdir().unwrap();
        let path = |name: &str| tmp.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        symlink("a", path("own")).unwrap();
        symlink(path("a"), path("absolute")).unwrap();
        symlink("own/b/..", path("theirs")).unwrap();
        lchown(path("theirs"), Some(1), Some(1)).unwrap();
        let base: OwnedFd = fs::File::open(tmp.path()).unwrap().into();
        let open = |trust: Trust, path: &str| {
            trust.open(&base, path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY).map(drop)
        };
        for path in [".", "a/b", "own/b", "absolute/b", "own/../a/./b/..", "own/b/../../absolute"] {
            assert_eq!(open(Trust::Owners, path), Ok(()), "{path}");
        }
        take_refusal();
        for path in ["theirs", "theirs/b", "own/../theirs"] {
            assert_eq!(open(Trust::Owners, path), Err(Errno::LOOP), "{path}");
            assert!(take_refusal(), "{path}");
            assert_eq!(open(Trust::All, path), Ok(()), "{path}");
        }
        assert_eq!(open(Trust::Owners, "own/none"), Err(Errno::NOENT));
        assert!(!take_refusal());
    }
}
