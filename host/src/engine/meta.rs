//! Attributes: owner, times, permissions, in this order, and no call that would change nothing
//! (spec: attributes, order and conditions).

use std::os::fd::OwnedFd;

use arsync_core::{
    flist::entry::{FileKind, mode},
    ports::{AttrStep, Attrs, Stat},
};
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fchmod, fchown,
        fstat, futimens, openat, statat, utimensat,
    },
    io::{self, Errno},
};

use super::{fds, to_stat};

/// What attributes are set on.
#[derive(Clone, Copy)]
pub enum Handle<'a> {
    /// An open file.
    File(&'a OwnedFd),
    /// A name in a directory; a symlink there is not followed.
    Name(&'a OwnedFd, &'a [u8]),
}

/// Sets what differs from `standing`, which the file has now. Returns whether anything was changed.
pub fn apply(on: Handle<'_>, standing: &Stat, attrs: &Attrs) -> Result<bool, (AttrStep, Errno)> {
    apply_around(on, standing, attrs, || false, |_, _| None)
}

/// The same with what belongs between the steps: `after_owner` says whether it changed anything; `before_mode`
/// gets the permissions now and those wanted, and returns the new ones if it changed something.
pub fn apply_around(
    on: Handle<'_>,
    standing: &Stat,
    attrs: &Attrs,
    after_owner: impl FnOnce() -> bool,
    before_mode: impl FnOnce(u32, Option<u32>) -> Option<u32>,
) -> Result<bool, (AttrStep, Errno)> {
    let mut perms = standing.mode & mode::PERMS;
    let mut wanted = attrs.mode.map(|m| m & mode::PERMS);

    let uid = attrs.uid.filter(|&uid| uid != standing.uid);
    let gid = attrs.gid.filter(|&gid| gid != standing.gid);
    let chown = uid.is_some() || gid.is_some();
    if chown {
        set_owner(on, uid, gid).map_err(|e| (AttrStep::Owner { owner: uid.is_some() }, e))?;
        if perms & 0o6000 != 0 && !standing.is_dir() {
            // The kernel takes the set-id bits away; they are put back below.
            wanted = wanted.or(Some(perms));
            perms = mode_of(on).map_err(|e| (AttrStep::Mode, e))? & mode::PERMS;
        }
    }

    let mut changed = after_owner();
    let mtime = attrs.mtime.filter(|&time| time != (standing.mtime, standing.nsec));
    let times = mtime.is_some() || attrs.atime.is_some();
    if times {
        set_times(on, mtime, attrs.atime).map_err(|e| (AttrStep::Times, e))?;
    }

    if let Some(now) = before_mode(perms, wanted) {
        changed = true;
        perms = now;
    }
    // The permissions of symlinks cannot be changed on Linux.
    let wanted = wanted.filter(|&m| m != perms && standing.kind() != FileKind::Symlink);
    if let Some(bits) = wanted {
        set_mode(on, bits, standing.kind()).map_err(|e| (AttrStep::Mode, e))?;
    }
    Ok(changed || chown || times || wanted.is_some())
}

fn mode_of(on: Handle<'_>) -> io::Result<u32> {
    Ok(stat_of(on)?.mode)
}

/// What something has now.
pub fn stat_of(on: Handle<'_>) -> io::Result<Stat> {
    Ok(to_stat(&match on {
        Handle::File(file) => fstat(file)?,
        Handle::Name(dir, name) => statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?,
    }))
}

fn set_owner(on: Handle<'_>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    // The all-ones id means "leave alone" to the kernel: it cannot be set.
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::INVAL);
    }
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    match on {
        Handle::File(file) => fchown(file, uid, gid),
        Handle::Name(dir, name) => chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
    }
}

fn set_times(on: Handle<'_>, mtime: Option<(i64, u32)>, atime: Option<i64>) -> io::Result<()> {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps {
        last_access: atime.map_or(omit, |tv_sec| Timespec { tv_sec, tv_nsec: 0 }),
        last_modification: mtime.map_or(omit, |(tv_sec, nsec)| Timespec { tv_sec, tv_nsec: nsec.into() }),
    };
    match on {
        Handle::File(file) => futimens(file, &times),
        Handle::Name(dir, name) => utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// Sets permissions.
pub fn set_mode(on: Handle<'_>, bits: u32, kind: FileKind) -> io::Result<()> {
    match on {
        Handle::File(file) => fchmod(file, Mode::from_raw_mode(bits)),
        Handle::Name(dir, name) => chmod_at(dir, name, bits, kind),
    }
}

/// `chmod` of a name without following a symlink, which `fchmodat` cannot do.
pub fn chmod_at(dir: &OwnedFd, name: &[u8], bits: u32, kind: FileKind) -> io::Result<()> {
    let bits = Mode::from_raw_mode(bits);
    let base = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Opening a device or a fifo may have effects of its own.
    if matches!(kind, FileKind::Regular | FileKind::Dir) {
        let flags = base | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        match openat(dir, name, flags, Mode::empty()) {
            Ok(file) => return fchmod(&file, bits),
            Err(Errno::LOOP) => return Err(Errno::LOOP),
            // It may be closed to its owner.
            Err(_) => {}
        }
    }
    let file = openat(dir, name, base | OFlags::PATH, Mode::empty())?;
    chmodat(fds::proc()?, fds::link(&file), bits, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
        path::Path,
    };

    use super::*;
    use crate::needs::needs_root;

    fn apply_name(dir: &Path, name: &str, attrs: &Attrs) -> Result<bool, (AttrStep, Errno)> {
        let dir: OwnedFd = fs::File::open(dir).unwrap().into();
        let st = to_stat(&statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap());
        apply(Handle::Name(&dir, name.as_bytes()), &st, attrs)
    }

    #[test]
    fn only_differences_count_as_changes() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("f"), "x").unwrap();
        fs::set_permissions(tmp.path().join("f"), fs::Permissions::from_mode(0o644)).unwrap();
        let attrs = Attrs { mode: Some(0o100_640), mtime: Some((1_000, 5)), ..Attrs::default() };
        assert_eq!(apply_name(tmp.path(), "f", &attrs), Ok(true));
        assert_eq!(apply_name(tmp.path(), "f", &attrs), Ok(false));
        let meta = fs::metadata(tmp.path().join("f")).unwrap();
        assert_eq!((meta.mode(), meta.mtime(), meta.mtime_nsec()), (0o100_640, 1_000, 5));
    }

    #[test]
    fn a_symlink_gets_times_but_neither_it_nor_its_target_gets_permissions() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("f"), "x").unwrap();
        fs::set_permissions(tmp.path().join("f"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("f", tmp.path().join("l")).unwrap();
        let attrs = Attrs { mode: Some(0o120_644), mtime: Some((7, 0)), ..Attrs::default() };
        assert_eq!(apply_name(tmp.path(), "l", &attrs), Ok(true));
        assert_eq!(fs::symlink_metadata(tmp.path().join("l")).unwrap().mtime(), 7);
        assert_eq!(fs::metadata(tmp.path().join("f")).unwrap().mode(), 0o100_600);
        let dir: OwnedFd = fs::File::open(tmp.path()).unwrap().into();
        assert!(chmod_at(&dir, b"l", 0o644, FileKind::Regular).is_err());
        assert_eq!(fs::metadata(tmp.path().join("f")).unwrap().mode(), 0o100_600);
    }

    #[test]
    fn set_id_bits_survive_a_change_of_owner() {
        if !needs_root("nobody else can give files away") {
            return;
        }
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("f"), "x").unwrap();
        fs::set_permissions(tmp.path().join("f"), fs::Permissions::from_mode(0o6755)).unwrap();
        let attrs = Attrs { uid: Some(7), gid: Some(8), ..Attrs::default() };
        assert_eq!(apply_name(tmp.path(), "f", &attrs), Ok(true));
        let meta = fs::metadata(tmp.path().join("f")).unwrap();
        assert_eq!((meta.mode(), meta.uid(), meta.gid()), (0o106_755, 7, 8));
    }

    #[test]
    fn the_impossible_id_fails_at_the_owner_step() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("f"), "x").unwrap();
        let attrs = Attrs { uid: Some(u32::MAX), mtime: Some((7, 0)), ..Attrs::default() };
        assert_eq!(apply_name(tmp.path(), "f", &attrs), Err((AttrStep::Owner { owner: true }, Errno::INVAL)));
        assert_ne!(fs::metadata(tmp.path().join("f")).unwrap().mtime(), 7);
    }
}
