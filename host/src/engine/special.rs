//! Symlinks, devices, fifos, sockets and hard links, put in place atomically where something stands
//! (spec: symlinks, devices, specials, hard links).

use alloc::sync::Arc;
use std::os::fd::OwnedFd;

use arsync_core::flist::entry::mode;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, linkat, makedev, mknodat, openat, symlinkat, unlinkat},
    io::{self, Errno},
};

use super::{fake, temp::Temp};

/// How something takes its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The name is free.
    New,
    /// Under a temporary name, renamed over what stands there.
    Over,
    /// What stands there is removed first (a temporary directory is in use).
    After,
}

/// Makes something under `name`.
fn put(
    dir: &Arc<OwnedFd>,
    name: &[u8],
    how: Put,
    make: impl Fn(&OwnedFd, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    match how {
        Put::New => make(dir, name),
        Put::After => {
            match unlinkat(dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
            make(dir, name)
        }
        Put::Over => Temp::special(dir, name, make)?.rename(dir, name).map_err(|(error, _unlinked)| error),
    }
}

/// A symlink.
pub fn symlink(dir: &Arc<OwnedFd>, name: &[u8], target: &[u8], how: Put) -> io::Result<()> {
    put(dir, name, how, |d, n| symlinkat(target, d, n))
}

/// A device, fifo or socket with the permissions of `file_mode`, less the umask.
pub fn node(dir: &Arc<OwnedFd>, name: &[u8], file_mode: u32, rdev: (u32, u32), how: Put) -> io::Result<()> {
    let kind = FileType::from_raw_mode(file_mode);
    let perms = Mode::from_raw_mode(file_mode & mode::PERMS);
    let dev = match kind {
        FileType::CharacterDevice | FileType::BlockDevice => makedev(rdev.0, rdev.1),
        _ => 0,
    };
    put(dir, name, how, |d, n| mknodat(d, n, kind, perms, dev))
}

/// Fake-super: a regular file that stands for something else: a symlink, whose target is its contents, or a
/// device, fifo or socket, which is empty.
pub fn placeholder(dir: &Arc<OwnedFd>, name: &[u8], link: Option<&[u8]>, how: Put) -> io::Result<()> {
    put(dir, name, how, |d, n| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(d, n, flags, Mode::from_raw_mode(0o600))?;
        match link {
            None => Ok(()),
            Some(target) => fake::write_link(&file, target),
        }
    })
}

/// A hard link to `old_name` in `old_dir`; a symlink there is linked itself.
pub fn hard_link(
    old_dir: &OwnedFd,
    old_name: &[u8],
    dir: &Arc<OwnedFd>,
    name: &[u8],
    how: Put,
) -> io::Result<()> {
    let make = |d: &OwnedFd, n: &[u8]| linkat(old_dir, old_name, d, n, AtFlags::empty());
    if how != Put::Over {
        return put(dir, name, how, make);
    }
    let temp = Temp::special(dir, name, make)?;
    temp.rename_link(dir, name)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{FileTypeExt, MetadataExt},
        path::Path,
    };

    use super::*;

    fn open(dir: &Path) -> Arc<OwnedFd> {
        Arc::new(fs::File::open(dir).unwrap().into())
    }

    #[test]
    fn replacing_leaves_exactly_the_new_thing() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = open(tmp.path());
        for how in [Put::Over, Put::After] {
            fs::write(tmp.path().join("x"), "old").unwrap();
            symlink(&dir, b"x", b"target", how).unwrap();
            assert_eq!(fs::read_link(tmp.path().join("x")).unwrap(), Path::new("target"));
            node(&dir, b"x", 0o010_600, (0, 0), how).unwrap();
            assert!(fs::symlink_metadata(tmp.path().join("x")).unwrap().file_type().is_fifo());
            node(&dir, b"x", 0o140_600, (0, 0), how).unwrap();
            assert!(fs::symlink_metadata(tmp.path().join("x")).unwrap().file_type().is_socket());
            fs::write(tmp.path().join("y"), "linked").unwrap();
            hard_link(&dir, b"y", &dir, b"x", how).unwrap();
            assert_eq!(fs::metadata(tmp.path().join("x")).unwrap().nlink(), 2);
            // Renaming a link over another of the same file does nothing, not even to the temporary.
            hard_link(&dir, b"y", &dir, b"x", how).unwrap();
            assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 2);
            fs::remove_file(tmp.path().join("y")).unwrap();
            fs::remove_file(tmp.path().join("x")).unwrap();
        }
    }

    #[test]
    fn a_new_name_must_be_free() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = open(tmp.path());
        symlink(&dir, b"x", b"a", Put::New).unwrap();
        assert_eq!(symlink(&dir, b"x", b"b", Put::New), Err(Errno::EXIST));
        assert_eq!(hard_link(&dir, b"none", &dir, b"y", Put::Over), Err(Errno::NOENT));
    }
}
