//! Names below a root, reached through directory descriptors that cannot be led outside.
//!
//! [`Tree`] turns a path into the descriptor of its parent directory and a base name. Parents are opened with
//! `openat2` (or component by component where the kernel lacks it) under a symlink policy, and kept in a small
//! cache; the caller then works on (parent, base) without following links. Must not know what the names mean.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use arsync_core::names::RelName;
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat},
    io::{self, Errno},
};

use super::{confine::Confinement, fds::affordable};

/// What is done with symlinks in the directory part of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// None is followed.
    Never,
    /// Followed while they stay below the root (`--keep-dirlinks`).
    Inside,
    /// Followed (paths and trees that the user vouches for).
    Any,
}

/// Directories kept open per tree. Generator and receiver each work in one directory and its parents.
const CACHED: usize = 32;
/// Symlinks followed in one name, as in the kernel.
const MAX_LINKS: u32 = 40;
const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory and everything below it.
#[derive(Debug)]
pub struct Tree {
    root: Option<Arc<OwnedFd>>,
    links: Links,
    /// Where links that are followed anywhere must not lead out of.
    bounds: Confinement,
    cache: Mutex<Cache>,
    no_openat2: AtomicBool,
}

#[derive(Debug, Default)]
struct Cache {
    entries: Vec<Entry>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    path: Box<[u8]>,
    dir: Arc<OwnedFd>,
    used: u64,
}

/// A name in an open directory.
#[derive(Debug, Clone)]
pub struct At<'n> {
    /// The directory.
    pub dir: Arc<OwnedFd>,
    /// One component, or `.`.
    pub name: &'n [u8],
}

impl Tree {
    /// The tree below an open directory.
    pub fn new(root: OwnedFd, links: Links) -> Self {
        Self {
            root: Some(Arc::new(root)),
            links,
            bounds: Confinement::default(),
            cache: Mutex::default(),
            no_openat2: AtomicBool::new(false),
        }
    }

    /// A tree whose root does not exist (dry run): every name is missing.
    pub fn absent() -> Self {
        Self {
            root: None,
            links: Links::Never,
            bounds: Confinement::default(),
            cache: Mutex::default(),
            no_openat2: AtomicBool::new(true),
        }
    }

    /// The same tree, of which no link leads out of a larger one.
    #[must_use]
    pub fn within(self, bounds: Confinement) -> Self {
        Self { bounds, ..self }
    }

    /// The root directory.
    pub fn root(&self) -> io::Result<&Arc<OwnedFd>> {
        self.root.as_ref().ok_or(Errno::NOENT)
    }

    /// The policy for symlinks.
    pub fn links(&self) -> Links {
        self.links
    }

    /// The open parent directory of a name, and its base name.
    pub fn at<'n>(&self, name: RelName<'n>) -> io::Result<At<'n>> {
        let (dir, base) = name.split();
        let dir = match dir {
            None => self.root()?.clone(),
            Some(path) => self.dir(path)?,
        };
        Ok(At { dir, name: base })
    }

    /// An open directory, good for `*at` calls only (`O_PATH`), by the policy of the tree.
    pub fn dir(&self, path: &[u8]) -> io::Result<Arc<OwnedFd>> {
        self.dir_with(path, self.links)
    }

    /// The same with another policy; a path must always be asked for with the same one.
    pub fn dir_with(&self, path: &[u8], links: Links) -> io::Result<Arc<OwnedFd>> {
        if path.is_empty() || path == b"." {
            return self.root().cloned();
        }
        if let Some(dir) = self.cache().get(path) {
            return Ok(dir);
        }
        let dir = Arc::new(self.open_with(path, DIR, links)?);
        self.cache().put(path, dir.clone());
        Ok(dir)
    }

    /// Puts a directory that is open already into the cache.
    pub fn remember(&self, path: &[u8], dir: Arc<OwnedFd>) {
        if !path.is_empty() && path != b"." {
            self.cache().put(path, dir);
        }
    }

    /// Drops what is cached for a path and everything below it: it was removed or replaced.
    pub fn forget(&self, path: &[u8]) {
        self.cache().entries.retain(|e| {
            let below = e.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
            !below
        });
    }

    /// The same for a name that is no directory: only where symlinks are followed can it be cached.
    pub fn forget_link(&self, path: &[u8]) {
        if self.links != Links::Never {
            self.forget(path);
        }
    }

    /// Opens a path, its last component included, under a symlink policy. Escapes end as `ELOOP`.
    pub fn open_with(&self, path: &[u8], flags: OFlags, links: Links) -> io::Result<OwnedFd> {
        let root = self.root()?;
        let path = if path.is_empty() { &b"."[..] } else { path };
        let flags = flags | OFlags::CLOEXEC;
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match links {
            Links::Any => return self.bounds.open_file(root, path, flags),
            Links::Never => resolve |= ResolveFlags::NO_SYMLINKS,
            Links::Inside => {}
        }
        if !self.no_openat2.load(Ordering::Relaxed) {
            match openat2(root, path, flags, Mode::empty(), resolve) {
                Err(Errno::NOSYS) => self.no_openat2.store(true, Ordering::Relaxed),
                // EPERM: a sandbox that does not know the call. EAGAIN: a rename raced with a `..`.
                Err(Errno::PERM | Errno::AGAIN) => {}
                Err(Errno::XDEV) => return Err(Errno::LOOP),
                other => return other,
            }
        }
        walk(root, path, flags, links)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn get(&mut self, path: &[u8]) -> Option<Arc<OwnedFd>> {
        let entry = self.entries.iter_mut().find(|e| *e.path == *path)?;
        self.clock += 1;
        entry.used = self.clock;
        Some(entry.dir.clone())
    }

    fn put(&mut self, path: &[u8], dir: Arc<OwnedFd>) {
        self.clock += 1;
        let entry = Entry { path: path.into(), dir, used: self.clock };
        if let Some(old) = self.entries.iter_mut().find(|e| *e.path == *path) {
            *old = entry;
        } else if self.entries.len() < affordable(CACHED) {
            self.entries.push(entry);
        } else if let Some(oldest) = self.entries.iter_mut().min_by_key(|e| e.used) {
            *oldest = entry;
        }
    }
}

/// What `openat2` does, one component at a time.
fn walk(root: &OwnedFd, path: &[u8], flags: OFlags, links: Links) -> io::Result<OwnedFd> {
    if path.starts_with(b"/") {
        return Err(Errno::LOOP);
    }
    let mut todo: Vec<Vec<u8>> = components(path);
    let mut dirs: Vec<OwnedFd> = Vec::new();
    let mut followed = 0;
    while let Some(part) = todo.pop() {
        let here = dirs.last().unwrap_or(root);
        if part == b".." {
            dirs.pop().ok_or(Errno::LOOP)?;
            continue;
        }
        let found = openat(here, &*part, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Symlink => {
                followed += 1;
                let target = readlinkat(here, &*part, Vec::new())?.into_bytes();
                if links == Links::Never || followed > MAX_LINKS || target.starts_with(b"/") {
                    return Err(Errno::LOOP);
                }
                todo.extend(components(&target));
            }
            _ if todo.is_empty() => return openat(here, &*part, flags | OFlags::NOFOLLOW, Mode::empty()),
            FileType::Directory => dirs.push(found),
            _ => return Err(Errno::NOTDIR),
        }
    }
    openat(dirs.last().unwrap_or(root), ".", flags, Mode::empty())
}

/// The components of a path, last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&b| b == b'/').rev().filter(|c| !c.is_empty() && *c != b".").map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    fn tree(dir: &Path, links: Links, openat2: bool) -> Tree {
        let tree = Tree::new(fs::File::open(dir).unwrap().into(), links);
        tree.no_openat2.store(!openat2, Ordering::Relaxed);
        tree
    }

    fn sample() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("f"), "x").unwrap();
        symlink("../a", root.join("a/up")).unwrap();
        symlink("b", root.join("a/in")).unwrap();
        symlink("../..", root.join("a/out")).unwrap();
        symlink(root.join("a"), root.join("abs")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        dir
    }

    #[test]
    fn links_are_followed_as_far_as_the_policy_says_with_and_without_openat2() {
        let dir = sample();
        for openat2 in [true, false] {
            let never = tree(dir.path(), Links::Never, openat2);
            assert!(never.dir(b"a/b").is_ok());
            assert!(never.dir(b"a/../a").is_ok());
            for link in [&b"a/in"[..], b"a/up/b", b"a/out", b"abs", b"loop", b"a/../..", b"/"] {
                assert_eq!(never.dir(link).unwrap_err(), Errno::LOOP, "{openat2} {link:?}");
            }
            assert_eq!(never.dir(b"f").unwrap_err(), Errno::NOTDIR);
            assert_eq!(never.dir(b"f/x").unwrap_err(), Errno::NOTDIR);
            assert_eq!(never.dir(b"none").unwrap_err(), Errno::NOENT);

            let inside = tree(dir.path(), Links::Inside, openat2);
            assert!(inside.dir(b"a/in").is_ok());
            assert!(inside.dir(b"a/up/b").is_ok());
            for link in [&b"a/out"[..], b"abs", b"loop", b"a/../.."] {
                assert_eq!(inside.dir(link).unwrap_err(), Errno::LOOP, "{openat2} {link:?}");
            }
            let any = tree(dir.path(), Links::Any, openat2);
            assert!(any.dir(b"abs/b").is_ok());
        }
    }

    #[test]
    fn forgotten_directories_are_opened_again() {
        let dir = sample();
        let tree = tree(dir.path(), Links::Never, true);
        let first = tree.dir(b"a/b").unwrap();
        assert!(Arc::ptr_eq(&first, &tree.dir(b"a/b").unwrap()));
        tree.forget(b"a");
        assert!(!Arc::ptr_eq(&first, &tree.dir(b"a/b").unwrap()));
        tree.forget(b"a/bb");
        fs::remove_dir(dir.path().join("a/b")).unwrap();
        tree.forget(b"a/b");
        assert_eq!(tree.dir(b"a/b").unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn the_cache_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree(dir.path(), Links::Never, true);
        for n in 0..100 {
            fs::create_dir(dir.path().join(n.to_string())).unwrap();
            tree.dir(n.to_string().as_bytes()).unwrap();
            tree.dir(b"0").unwrap();
        }
        let cache = tree.cache();
        assert_eq!(cache.entries.len(), CACHED);
        assert!(cache.entries.iter().any(|e| *e.path == *b"0"));
    }

    #[test]
    fn an_absent_root_has_nothing() {
        let tree = Tree::absent();
        assert_eq!(tree.dir(b"a").unwrap_err(), Errno::NOENT);
        assert_eq!(tree.at(RelName::ROOT).unwrap_err(), Errno::NOENT);
    }
}
