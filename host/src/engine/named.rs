//! Directories for writing that an option names: where they are is decided when the session begins.
//!
//! A peer can send symlinks, and one of them may come into the way of such a path, or take the place of the directory
//! itself. So symlinks count that were there at the start; what was missing then is made and entered without
//! following any.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, openat},
    io::{self, Errno},
};

use super::{backup::is_linked, confine::Confinement};

/// A directory that is opened for use with the `…at` calls alone.
const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory by the path that an option gave.
#[derive(Debug)]
pub struct NamedDir {
    /// As the user gave it; relative to the destination.
    path: Vec<u8>,
    confinement: Confinement,
    /// What of it existed at the start, and how much of the path that was.
    start: io::Result<(OwnedFd, usize)>,
}

impl NamedDir {
    /// Finds it from the root of the destination, if that exists.
    pub fn new(confinement: &Confinement, root: io::Result<impl AsFd>, path: &[u8]) -> Self {
        let find = |root: &dyn AsFd| {
            let mut end = path.len();
            loop {
                let part = if end == 0 { &b"."[..] } else { &path[..end] };
                match confinement.open_dir(root.as_fd(), part) {
                    // What is no directory makes way for one, or the making says so.
                    Err(Errno::NOENT | Errno::NOTDIR) if end > 0 => end = above(path, end),
                    found => return Ok((found?, end)),
                }
            }
        };
        let start = root.and_then(|root| find(&root));
        Self { path: path.to_vec(), confinement: confinement.clone(), start }
    }

    /// As the user gave it.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Opens it.
    pub fn open(&self, root: &OwnedFd) -> io::Result<OwnedFd> {
        self.walk(root, false)
    }

    /// Opens it; what is missing of it is made.
    pub fn make(&self, root: &OwnedFd) -> io::Result<OwnedFd> {
        self.confinement.admits_new(root, &self.path)?;
        self.walk(root, true)
    }

    fn walk(&self, root: &OwnedFd, makes: bool) -> io::Result<OwnedFd> {
        let absolute = self.path.starts_with(b"/");
        let (mut here, rest) = match &self.start {
            Ok((dir, end)) if is_linked(dir) => (openat(dir, ".", DIR, Mode::empty())?, &self.path[*end..]),
            // What there was has been removed meanwhile.
            Ok(_) if absolute => (openat(CWD, "/", DIR, Mode::empty())?, &self.path[..]),
            Ok(_) => (openat(root, ".", DIR, Mode::empty())?, &self.path[..]),
            Err(error) => return Err(*error),
        };
        for part in rest.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            let open = || openat(&here, part, DIR | OFlags::NOFOLLOW, Mode::empty());
            here = match open() {
                Err(Errno::NOENT) if makes => {
                    match mkdirat(&here, part, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    open()?
                }
                other => other?,
            };
        }
        self.confinement.admits(&here)?;
        Ok(here)
    }
}

/// Where a path ends without its last component.
fn above(path: &[u8], end: usize) -> usize {
    let path = &path[..end];
    let kept = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
    match memchr::memrchr(b'/', &path[..kept]) {
        // The root is part of an absolute path.
        Some(0) if kept > 1 => 1,
        Some(slash) => slash,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{ffi::OsStrExt, fs::symlink},
        path::Path,
    };

    use super::*;
    use crate::vouched::Trust;

    fn dir(path: &Path) -> OwnedFd {
        openat(CWD, path, DIR, Mode::empty()).unwrap()
    }

    #[test]
    fn a_link_counts_if_it_was_there_at_the_start() {
        let tmp = tempfile::tempdir().unwrap();
        let path = |name: &str| tmp.path().join(name);
        for name in ["dst/old", "outside"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        symlink("../outside", path("dst/link")).unwrap();
        let root = dir(&path("dst"));
        let named = |name: &[u8]| NamedDir::new(&Confinement::new(None, Trust::Own), Ok(&root), name);
        let absolute = path("dst/later");
        let [linked, new, below, gone, whole] =
            [&b"link/x"[..], b"new//y/", b"link", b"old", absolute.as_os_str().as_bytes()].map(named);
        // What a peer does then.
        fs::remove_dir(path("dst/old")).unwrap();
        fs::remove_file(path("dst/link")).unwrap();
        for name in ["new", "link", "old", "later"] {
            symlink("../outside", path("dst").join(name)).unwrap();
        }
        let same = |found: OwnedFd, expected: &str| {
            assert_eq!(super::super::fds::path_of(found).unwrap(), path(expected).as_os_str().as_bytes());
        };
        assert_eq!(linked.open(&root).unwrap_err(), Errno::NOENT);
        same(linked.make(&root).unwrap(), "outside/x");
        same(below.open(&root).unwrap(), "outside");
        for named in [new, gone, whole] {
            assert_eq!(named.open(&root).unwrap_err(), Errno::NOTDIR);
            assert_eq!(named.make(&root).unwrap_err(), Errno::NOTDIR);
        }
        assert_eq!(fs::read_dir(path("outside")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_missing_is_made() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("dst/a")).unwrap();
        let root = dir(&tmp.path().join("dst"));
        let all = ["b", "a/b/c/", "a//d", "../up/e", "f/../g"].map(str::as_bytes);
        for name in all.into_iter().chain([tmp.path().join("h/i").as_os_str().as_bytes()]) {
            let named = NamedDir::new(&Confinement::new(None, Trust::Own), Ok(&root), name);
            assert_eq!(named.open(&root).unwrap_err(), Errno::NOENT);
            named.make(&root).unwrap();
            named.open(&root).unwrap();
        }
        for made in ["dst/b", "dst/a/b/c", "dst/a/d", "up/e", "dst/f", "dst/g", "h/i"] {
            assert!(tmp.path().join(made).is_dir(), "{made}");
        }
    }

    #[test]
    fn paths_get_shorter_by_one_component() {
        for (path, ends) in [("a//b/c/", &[4, 2, 0][..]), ("/a/b", &[2, 1, 0]), ("a", &[0]), ("/", &[0])] {
            let mut end = path.len();
            for expected in ends {
                end = above(path.as_bytes(), end);
                assert_eq!(end, *expected, "{path}");
            }
        }
    }
}
