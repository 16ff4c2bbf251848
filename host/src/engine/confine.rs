//! `--confine-root`: paths that options name, and names of a `--files-from` list, must not lead out of a directory. With
//! or without one, symlinks on the way must be of somebody who is trusted (`vouched.rs`).
//!
//! What was opened is asked where it is, so that no link and no race can pretend otherwise. The roots of the transfer
//! are the operator's choice and may be anywhere.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
    sync::Arc,
};

use arsync_core::options::Select;
use rustix::{
    fs::{Mode, OFlags, openat},
    io::{self, Errno},
};

use super::fds;
use crate::vouched::{self, Trust};

/// The directory that must not be left, if there is one, and whose symlinks are followed.
#[derive(Debug, Clone, Default)]
pub struct Confinement {
    root: Option<Arc<[u8]>>,
    trust: Trust,
}

impl Confinement {
    /// What a session's options ask for.
    pub fn of(select: &Select) -> Self {
        Self::new(select.confine_root.as_deref(), Trust::of(select.insecure_links))
    }

    /// `root`: absolute path; `/` confines nothing. One that cannot be resolved admits nothing.
    pub(crate) fn new(root: Option<&[u8]>, trust: Trust) -> Self {
        let resolved = root.map(|root| {
            let path = Path::new(OsStr::from_bytes(root));
            path.canonicalize().map_or_else(|_| root.to_vec(), |path| path.into_os_string().into_vec())
        });
        Self { root: resolved.filter(|root| root != b"/").map(Arc::from), trust }
    }

    /// Fails with `ELOOP`, as a link that must not be followed does, if the file is outside.
    pub fn admits(&self, file: impl AsFd) -> io::Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let path = fds::path_of(file)?;
        match path.strip_prefix(&**root) {
            Some(rest) if rest.is_empty() || rest.starts_with(b"/") => Ok(()),
            _ => Err(Errno::LOOP),
        }
    }

    /// The same, whoever the links belong to.
    #[must_use]
    pub fn through_all_links(&self) -> Self {
        Self { trust: Trust::All, ..self.clone() }
    }

    /// The same for what a name stands for, links followed.
    pub fn admits_target(&self, dir: &OwnedFd, name: &[u8]) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        if self.trust == Trust::Own {
            vouched::open_at(dir, name, flags, Mode::empty(), self.trust)?;
        }
        if self.root.is_none() {
            return Ok(());
        }
        self.admits(openat(dir, name, flags, Mode::empty())?)
    }

    /// Opens a directory for use with the `…at` calls.
    pub fn open_dir(&self, base: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = vouched::open_at(base, path, flags, Mode::empty(), self.trust)?;
        self.admits(&dir)?;
        Ok(dir)
    }

    /// Opens a file.
    pub fn open_file(&self, base: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let file = vouched::open_at(base, path, flags, Mode::empty(), self.trust)?;
        self.admits(&file)?;
        Ok(file)
    }

    /// Whether a directory may be made at a path: what exists of it is inside, and what is missing does not lead up.
    pub fn admits_new(&self, base: &OwnedFd, path: &[u8]) -> io::Result<()> {
        if self.root.is_none() && self.trust == Trust::All {
            return Ok(());
        }
        let (mut here, mut missing) = (path, &[][..]);
        loop {
            let at = if here.is_empty() { &b"."[..] } else { here };
            match self.open_dir(base, at) {
                // What is no directory makes way for one, or the making says so.
                Err(Errno::NOENT | Errno::NOTDIR) if !here.is_empty() => {}
                Err(error) => return Err(error),
                Ok(_) if self.root.is_some() && missing.split(|&b| b == b'/').any(|part| part == b"..") => {
                    return Err(Errno::LOOP);
                }
                Ok(_) => return Ok(()),
            }
            let end = memchr::memrchr(b'/', here).map_or(0, |slash| slash.max(1));
            let end = if end == here.len() { 0 } else { end };
            (here, missing) = path.split_at(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn what_leads_out_is_refused_however_it_does() {
        let tmp = tempfile::tempdir().unwrap();
        let path = |name: &str| tmp.path().join(name);
        for dir in ["jail/in", "jailbreak"] {
            fs::create_dir_all(path(dir)).unwrap();
        }
        symlink("../jailbreak", path("jail/out")).unwrap();
        let open = |name: &str| {
            openat(CWD, path(name), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .unwrap()
        };
        let base = open("jail");
        let confined = Confinement::new(Some(path("jail").as_os_str().as_bytes()), Trust::Own);
        assert!(confined.open_dir(&base, b"in").is_ok());
        assert!(confined.open_dir(&base, b".").is_ok());
        for outside in [&b"out"[..], b"..", b"../jailbreak", path("jailbreak").as_os_str().as_bytes(), b"/"] {
            assert_eq!(confined.open_dir(&base, outside).unwrap_err(), Errno::LOOP, "{outside:?}");
        }
        for (name, fine) in [
            ("new", true),
            ("in/a/b", true),
            ("in/a/../../../x", false),
            ("out/new", false),
            ("../new", false),
            ("/nowhere/new", false),
        ] {
            assert_eq!(confined.admits_new(&base, name.as_bytes()).is_ok(), fine, "{name}");
        }
        assert!(Confinement::new(None, Trust::Own).open_dir(&base, b"/").is_ok());
        assert!(Confinement::new(Some(b"/"), Trust::Own).admits_new(&base, b"../new").is_ok());
    }
}
