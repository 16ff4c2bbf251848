//! `--fake-super`: owner, group, type and special bits kept in an attribute instead of the inode
//! (spec: storage of fake-super).

use core::fmt::Write as _;
use std::os::fd::OwnedFd;

use arsync_core::{
    flist::entry::{FileKind, mode},
    limits::MAX_PATH,
    ports::{AttrStep, Attrs, Stat},
};
use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
};

use super::{
    copy::{Holes, write_at},
    meta::{self, Handle},
    source::read_limited,
    xattr,
};

/// The attribute.
pub const ATTRIBUTE: &[u8] = b"user.rsync.%stat";

/// What the attribute says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    mode: u32,
    rdev: (u32, u32),
    uid: u32,
    gid: u32,
}

impl Kept {
    fn of(stat: &Stat) -> Self {
        let rdev = if stat.kind().is_device() { stat.rdev } else { (0, 0) };
        Self { mode: stat.mode, rdev, uid: stat.uid, gid: stat.gid }
    }

    /// `MODE MAJOR,MINOR UID:GID`; what follows does not matter.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let mut parts = text.split_ascii_whitespace();
        let mode = u32::from_str_radix(parts.next()?, 8).ok()?;
        let (major, minor) = parts.next()?.split_once(',')?;
        let (uid, gid) = parts.next()?.split_once(':')?;
        Some(Self {
            mode,
            rdev: (major.parse().ok()?, minor.parse().ok()?),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
        })
    }

    fn format(&self) -> Vec<u8> {
        let mut text = String::new();
        let _ = write!(text, "{:o} {},{} {}:{}", self.mode, self.rdev.0, self.rdev.1, self.uid, self.gid);
        text.into_bytes()
    }
}

/// Only regular files and directories stand for something else.
fn can_keep(stat: &Stat) -> bool {
    stat.is_regular() || stat.is_dir()
}

/// Replaces what the inode says by what the attribute says. An attribute that cannot be understood is an error.
/// A directory stays one, and nothing else becomes one.
pub fn overlay(on: Handle<'_>, follow: bool, stat: &mut Stat) -> Result<(), Errno> {
    if !can_keep(stat) {
        return Ok(());
    }
    let Ok(Some(text)) = xattr::find(on, follow, ATTRIBUTE) else { return Ok(()) };
    let kept = Kept::parse(&text).ok_or(Errno::UCLEAN)?;
    let kept_kind = FileKind::from_mode(kept.mode).filter(|k| *k != FileKind::Missing);
    let fits = kept_kind.is_some_and(|kind| (kind == FileKind::Dir) == stat.is_dir());
    let kind = if fits { kept.mode & mode::TYPE } else { stat.mode & mode::TYPE };
    stat.mode = kind | kept.mode & mode::PERMS;
    stat.rdev = kept.rdev;
    stat.uid = kept.uid;
    stat.gid = kept.gid;
    Ok(())
}

/// Makes a new file stand for a symlink.
pub fn write_link(file: &OwnedFd, target: &[u8]) -> Result<(), Errno> {
    write_at(file, 0, target, Holes::Written)?;
    let on = Handle::File(file);
    let made = meta::stat_of(on)?;
    let kept = Kept { mode: mode::SYMLINK | 0o777, ..Kept::of(&made) };
    xattr::set(on, ATTRIBUTE, &kept.format())
}

/// The target of a file that stands for a symlink: no more of its text than a target can be.
pub fn read_link(dir: &OwnedFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    let mut stat = meta::stat_of(Handle::File(&file))?;
    overlay(Handle::File(&file), false, &mut stat)?;
    if stat.kind() != FileKind::Symlink {
        return Err(Errno::INVAL);
    }
    let mut target = read_limited(&file, MAX_PATH - 1)?;
    target.truncate(memchr::memchr(0, &target).unwrap_or(target.len()));
    Ok(target)
}

/// Permissions of the inode itself.
pub fn real_perms(wanted: u32, is_dir: bool) -> u32 {
    wanted & 0o777 | if is_dir { 0o700 } else { 0o600 }
}

/// As [`meta::apply_around`], but owner, type and special bits go to the attribute. `failed` is told when that
/// cannot be written.
pub fn apply(
    on: Handle<'_>,
    attrs: &Attrs,
    between: impl FnOnce() -> bool,
    before_mode: impl FnOnce() -> bool,
    failed: impl FnOnce(Errno),
) -> Result<bool, (AttrStep, Errno)> {
    let mut real = meta::stat_of(on).map_err(|e| (AttrStep::Mode, e))?;
    let mut changed = false;
    // Real special files are treated alike, though nothing can be kept there: that is told.
    if real.kind() != FileKind::Symlink {
        let mut now = real;
        // The attribute of what is closed to its owner can be neither read nor written.
        let open = real.mode | real_perms(0, real.is_dir());
        if open != real.mode && meta::set_mode(on, open & mode::PERMS, real.kind()).is_ok() {
            real.mode = open;
        }
        // What cannot be understood is replaced. What was received is what its inode is, also in place of another.
        if matches!(on, Handle::Name(..)) {
            let _ = overlay(on, false, &mut now);
        }
        let mut wanted = Kept::of(&now);
        if let Some(m) = attrs.mode {
            let kind = if m & mode::TYPE == 0 { now.mode & mode::TYPE } else { m & mode::TYPE };
            wanted.mode = kind | m & mode::PERMS;
        }
        let device = FileKind::from_mode(wanted.mode).is_some_and(FileKind::is_device);
        wanted.rdev = if device { attrs.rdev.unwrap_or(wanted.rdev) } else { (0, 0) };
        wanted.uid = attrs.uid.unwrap_or(wanted.uid);
        wanted.gid = attrs.gid.unwrap_or(wanted.gid);
        let perms = real_perms(wanted.mode, real.is_dir());
        let shows = Kept { mode: real.mode & mode::TYPE | perms, ..Kept::of(&real) };
        let stored = xattr::find(on, false, ATTRIBUTE).ok().flatten();
        let kept = if shows == wanted {
            // Of what belongs to another user that is tried in any case (stock binary).
            if stored.is_some() || !is_ours(&real) { xattr::remove(on, ATTRIBUTE) } else { Ok(()) }
        } else {
            let text = wanted.format();
            if stored.as_ref() == Some(&text) { Ok(()) } else { xattr::set(on, ATTRIBUTE, &text) }
        };
        changed |= wanted != Kept::of(&now);
        if let Err(error) = kept {
            failed(error);
        }
        changed |= between();
        changed |= times(on, &now, attrs)?;
        changed |= before_mode();
        if real.mode & mode::PERMS != perms {
            let set = meta::set_mode(on, perms, real.kind());
            // Whoever may not write the attribute may not do this either, in all likelihood: that is not told too.
            if kept.is_ok() {
                set.map_err(|e| (AttrStep::Mode, e))?;
            }
        }
        return Ok(changed);
    }
    changed |= between();
    changed |= times(on, &real, attrs)?;
    changed |= before_mode();
    Ok(changed)
}

/// The attributes of an inode can be written.
fn is_ours(real: &Stat) -> bool {
    let euid = rustix::process::geteuid();
    euid.is_root() || real.uid == euid.as_raw()
}

fn times(on: Handle<'_>, now: &Stat, attrs: &Attrs) -> Result<bool, (AttrStep, Errno)> {
    let only = Attrs { mtime: attrs.mtime, atime: attrs.atime, ..Attrs::default() };
    meta::apply(on, now, &only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_observed() {
        let device = Kept { mode: 0o020_644, rdev: (1, 3), uid: 0, gid: 0 };
        assert_eq!(device.format(), b"20644 1,3 0:0");
        assert_eq!(Kept::parse(b"20644 1,3 0:0"), Some(device));
        let file = Kept { mode: 0o104_775, rdev: (0, 0), uid: 1000, gid: 33 };
        assert_eq!(file.format(), b"104775 0,0 1000:33");
        assert_eq!(Kept::parse(b"104775 0,0 1000:33 more"), Some(file));
        for bad in [&b"junk"[..], b"", b"100644", b"100644 0 0:0", b"100948 0,0 0:0"] {
            assert_eq!(Kept::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_owner_can_always_reach_the_real_file() {
        assert_eq!(real_perms(0o104_444, false), 0o644);
        assert_eq!(real_perms(0o041_055, true), 0o755);
    }
}
