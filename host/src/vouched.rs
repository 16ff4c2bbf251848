//! Files and directories that the operator names, on a command line or in `rsyncd.conf`.
//!
//! Whoever can write in a directory on the way could put a symlink there and lead a privileged process elsewhere. So a
//! symlink counts only if root or the user of this process made it; `--insecure-links` and `insecure links` believe
//! them all. The way is gone one component at a time, through descriptors: what was judged is what is used.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{
    collections::VecDeque,
    fs::File,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, openat, readlinkat},
    io::{self, Errno},
};

/// A link of somebody else was met since the last [`take_refusal`]. Paths are opened on any thread, and before there is
/// a session that could be told.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether a link was not followed since the last call.
pub(crate) fn take_refusal() -> bool {
    REFUSED.swap(false, Ordering::Relaxed)
}

/// Whose symlinks are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those of root and of this process's user.
    #[default]
    Own,
    /// Everybody's.
    All,
}

impl Trust {
    /// `insecure`: what `--insecure-links` says.
    pub(crate) fn of(insecure: bool) -> Self {
        if insecure { Self::All } else { Self::Own }
    }
}

/// A directory on the way.
const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Symlinks followed in one path, as in the kernel.
const MAX_LINKS: u32 = 40;

/// Opens a file for reading, from the working directory.
pub(crate) fn read(path: &[u8], trust: Trust) -> std::io::Result<File> {
    file(path, OFlags::RDONLY, 0, trust)
}

/// Opens a file with these flags, from the working directory. `mode`: that of a new one.
pub(crate) fn file(path: &[u8], flags: OFlags, mode: u32, trust: Trust) -> std::io::Result<File> {
    Ok(open_at(CWD, path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(mode), trust)?.into())
}

/// Opens a path that begins at a directory. Fails with `ELOOP` where somebody else's symlink is on the way, and with
/// `EISDIR` where a file is wanted and the path ends in a slash.
pub(crate) fn open_at(
    base: impl AsFd,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    trust: Trust,
) -> io::Result<OwnedFd> {
    if path.is_empty() {
        return Err(Errno::INVAL);
    }
    if trust == Trust::All {
        return openat(base, path, flags, mode);
    }
    let asks_for_file = !flags.intersects(OFlags::PATH | OFlags::DIRECTORY);
    let mut way = Way { here: None, parts: VecDeque::new(), links: 0 };
    way.prepend(path)?;
    loop {
        let at = way.here.as_ref().map_or(base.as_fd(), AsFd::as_fd);
        let Some(part) = way.parts.pop_front() else { return openat(at, ".", flags, mode) };
        let is_last = way.parts.is_empty();
        let part = match &*part {
            b"" if is_last && asks_for_file => return Err(Errno::ISDIR),
            b"" => b"."[..].into(),
            _ => part,
        };
        let (wanted, mode) = if is_last { (flags, mode) } else { (DIR, Mode::empty()) };
        let opened = match openat(at, &*part, wanted | OFlags::NOFOLLOW, mode).and_then(no_link(wanted)) {
            // A symlink, or something that is no directory.
            Err(error @ (Errno::LOOP | Errno::NOTDIR)) => match target(at, &part)? {
                Target::None => return Err(error),
                Target::Path(path) => {
                    way.count()?;
                    way.prepend(&path)?;
                    continue;
                }
                Target::Kernel => openat(at, &*part, wanted, mode),
            },
            other => other,
        }?;
        if is_last {
            return Ok(opened);
        }
        way.here = Some(opened);
    }
}

/// `ELOOP` for a symlink that was opened itself, as `O_PATH` does it alone.
fn no_link(flags: OFlags) -> impl Fn(OwnedFd) -> io::Result<OwnedFd> {
    let may_be = flags.contains(OFlags::PATH) && !flags.contains(OFlags::DIRECTORY);
    move |opened| {
        let is_link = may_be && FileType::from_raw_mode(fstat(&opened)?.st_mode) == FileType::Symlink;
        if is_link { Err(Errno::LOOP) } else { Ok(opened) }
    }
}

/// What is still to be gone.
struct Way {
    /// How far this is; none: where it began.
    here: Option<OwnedFd>,
    parts: VecDeque<Box<[u8]>>,
    links: u32,
}

impl Way {
    /// Puts a path in front of what is to be gone.
    fn prepend(&mut self, path: &[u8]) -> io::Result<()> {
        if path.starts_with(b"/") {
            self.here = Some(openat(CWD, "/", DIR, Mode::empty())?);
        }
        // A slash at the end asks for a directory: a part without a name, which is no file.
        if path.ends_with(b"/") {
            self.parts.push_front(b""[..].into());
        }
        for part in path.split(|&b| b == b'/').rev().filter(|part| !part.is_empty()) {
            self.parts.push_front(part.into());
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS { Err(Errno::LOOP) } else { Ok(()) }
    }
}

/// Where a name leads.
enum Target {
    /// It is no symlink.
    None,
    /// To this path, from the directory of the link.
    Path(Vec<u8>),
    /// To what the kernel alone knows: an open file in `/proc`.
    Kernel,
}

/// Where a symlink leads that can be trusted.
fn target(dir: impl AsFd, name: &[u8]) -> io::Result<Target> {
    let link = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&link)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(Target::None);
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        REFUSED.store(true, Ordering::Relaxed);
        return Err(Errno::LOOP);
    }
    if fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
        return Ok(Target::Kernel);
    }
    Ok(Target::Path(readlinkat(&link, "", Vec::new())?.into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Read,
        os::unix::{ffi::OsStrExt, fs::symlink},
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::needs::needs_root;

    /// Somebody who is neither root nor whoever runs the tests.
    const OTHER: u32 = 4_000_001;

    fn text(path: &Path, trust: Trust) -> Result<String, i32> {
        let mut text = String::new();
        read(path.as_os_str().as_bytes(), trust)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map(|_| text)
            .map_err(|error| error.raw_os_error().unwrap())
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        fs::create_dir_all(dir.join("d/e")).unwrap();
        fs::write(dir.join("d/e/f"), "text").unwrap();
        (tmp, dir)
    }

    #[test]
    fn own_links_lead_on() {
        let (_tmp, dir) = place();
        for (target, name) in [
            ("d", "relative"),
            ("relative/e", "chain"),
            ("../d/e/../e/f", "d/up"),
            ("round", "round"),
            ("nowhere", "dangling"),
            ("d//", "slash"),
        ] {
            symlink(target, dir.join(name)).unwrap();
        }
        symlink(dir.join("d"), dir.join("absolute")).unwrap();
        for name in
            ["d/e/f", "slash/e/f", "relative/e/f", "chain/f", "d/up", "absolute/../absolute/e/./f", "d//e/f"]
        {
            assert_eq!(text(&dir.join(name), Trust::Own).as_deref(), Ok("text"), "{name}");
        }
        for (name, error) in [
            ("round", Errno::LOOP),
            ("dangling", Errno::NOENT),
            ("d/e/f/", Errno::NOTDIR),
            ("d/e/", Errno::ISDIR),
            ("slash", Errno::ISDIR),
            ("slash/", Errno::ISDIR),
            ("d/e/f/g", Errno::NOTDIR),
            ("chain/g", Errno::NOENT),
            ("", Errno::ISDIR),
        ] {
            assert_eq!(text(&dir.join(name), Trust::Own), Err(error.raw_os_error()), "{name}");
        }
    }

    #[test]
    fn a_new_file_is_made_where_a_link_says() {
        let (_tmp, dir) = place();
        symlink("d/new", dir.join("link")).unwrap();
        let path = dir.join("link");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        drop(file(path.as_os_str().as_bytes(), flags, 0o600, Trust::Own).unwrap());
        assert!(fs::symlink_metadata(dir.join("d/new")).unwrap().is_file());
    }

    /// As a shell's `<(command)` names it.
    #[test]
    fn an_open_file_can_be_named() {
        let (_tmp, dir) = place();
        let file = File::open(dir.join("d/e/f")).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        assert_eq!(text(Path::new(&format!("/dev/fd/{number}")), Trust::Own).as_deref(), Ok("text"));
    }

    #[test]
    fn links_of_others_are_followed_on_request_only() {
        if !needs_root("nobody else can give files away") {
            return;
        }
        let (_tmp, dir) = place();
        symlink("d", dir.join("theirs")).unwrap();
        symlink("theirs", dir.join("own")).unwrap();
        std::os::unix::fs::lchown(dir.join("theirs"), Some(OTHER), None).unwrap();
        symlink("f", dir.join("d/e/last")).unwrap();
        std::os::unix::fs::lchown(dir.join("d/e/last"), Some(OTHER), None).unwrap();
        for name in ["theirs/e/f", "own/e/f", "d/e/last"] {
            assert_eq!(text(&dir.join(name), Trust::Own), Err(Errno::LOOP.raw_os_error()), "{name}");
            assert_eq!(text(&dir.join(name), Trust::All).as_deref(), Ok("text"), "{name}");
        }
    }
}
