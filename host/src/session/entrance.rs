//! The destination argument: what it means, once the first list is there (spec: destination).

use std::{
    cell::RefCell,
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

use arsync_core::{
    error::Role,
    exit::ExitCode,
    flist::entry::FileKind,
    mux::MsgTag,
    options::SessionOptions,
    ports::{Notice, PortError, Step},
    session::{Entered, Entrance, FirstList},
};
use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, mkdirat, stat, statat},
    io::Errno,
};

use super::Speak;
use crate::{
    ending,
    engine::{Confinement, IdNames, SetupError, TreeTarget, absolute},
    output::{
        message::{Roots, as_given},
        strerror,
    },
    vouched::{self, Trust},
};

/// A destination that is opened or made when it is entered.
pub(crate) struct DestEntrance<'a, O> {
    /// The argument.
    pub(crate) dest: Option<Vec<u8>>,
    /// The options.
    pub(crate) options: &'a SessionOptions,
    /// Who is told.
    pub(crate) observer: &'a O,
    /// Told the directory, for messages with full paths.
    pub(crate) roots: &'a RefCell<Roots>,
    /// Texts of what was made are shown (names or items are).
    pub(crate) shows: bool,
}

impl<O: Speak> DestEntrance<'_, O> {
    /// Opens a directory that the options admit. The links on the way to it must be of somebody who is trusted, except
    /// below a module, which a daemon does not leave anyway.
    fn open_dir(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let select = &self.options.select;
        let trust = Trust::of(select.insecure_links || self.roots.borrow().module.is_some());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = vouched::open_at(CWD, path, flags, Mode::empty(), trust)?;
        // A directory that may not be searched cannot be entered, although it can be opened.
        accessat(&dir, ".", Access::EXEC_OK, AtFlags::EACCESS)?;
        if select.confine_all {
            Confinement::of(select).admits(&dir)?;
        }
        Ok(dir)
    }

    /// Makes a directory whose parent the options admit.
    fn make_dir(&self, path: &[u8]) -> Result<(), Errno> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let (parent, name) = match memchr::memrchr(b'/', path) {
            Some(0) => (&b"/"[..], &path[1..]),
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b"."[..], path),
        };
        mkdirat(self.open_dir(parent)?, name, Mode::from_raw_mode(0o777))
    }

    /// What is said of a directory that cannot be made.
    fn not_made(&self, path: &[u8], errno: Errno) -> ExitCode {
        match errno {
            Errno::LOOP => self.os_error(ExitCode::FILE_SELECT, "change_dir#2", path, " failed", errno),
            _ => self.os_error(ExitCode::FILE_IO, "mkdir", path, " failed", errno),
        }
    }

    fn error(&self, code: ExitCode, text: &[u8]) -> ExitCode {
        self.observer.say(MsgTag::Error, Role::ReceiverSide, text);
        code
    }

    /// `rsync: [Receiver] TEXT "FULL" WHAT: ERR`
    fn os_error(&self, code: ExitCode, what: &str, path: &[u8], tail: &str, errno: Errno) -> ExitCode {
        let mut text = b"rsync: [Receiver] ".to_vec();
        text.extend_from_slice(what.as_bytes());
        text.push(b' ');
        let roots = self.roots.borrow();
        // Below a module the path is shown as it was asked for.
        text.extend(match roots.module {
            Some(_) => roots.quoted_below(&roots.start, path),
            None => [b"\"", &as_given(&absolute(b"."), path)[..], b"\""].concat(),
        });
        drop(roots);
        text.extend_from_slice(tail.as_bytes());
        text.extend_from_slice(strerror::suffix(errno.raw_os_error()).as_bytes());
        self.error(code, &text)
    }

    fn info(&self, text: Vec<u8>) {
        if self.shows {
            self.observer.say(MsgTag::Info, Role::ReceiverSide, &text);
        }
    }

    /// Whether the directory for backups is there. What is there must be one.
    fn backup_dir_exists(&self, dest: Option<&OwnedFd>, name: &[u8]) -> Result<bool, ExitCode> {
        let found = match dest {
            Some(dest) => statat(dest, name, AtFlags::empty()),
            None if name.starts_with(b"/") => stat(name),
            None => return Ok(false),
        };
        match found {
            Ok(st) if FileType::from_raw_mode(st.st_mode) == FileType::Directory => Ok(true),
            Ok(_) => {
                let text = [b"The backup-dir is not a directory: ", name].concat();
                Err(self.error(ExitCode::SYNTAX, &text))
            }
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => {
                let why = strerror::text(errno.raw_os_error());
                let text = [b"Failed to stat ", name, b": ", why.as_bytes()].concat();
                Err(self.error(ExitCode::FILE_IO, &text))
            }
        }
    }

    fn target(&self, dir: Option<OwnedFd>, path: &[u8]) -> Result<TreeTarget, ExitCode> {
        self.roots.borrow_mut().dest = absolute(path);
        if dir.is_some() && path != b"." {
            self.observer.step(Role::ReceiverSide, &Step::WorksIn { base: None });
        }
        if let Some(backup) = self.options.transfer.backup_dir.as_deref() {
            let found = self.backup_dir_exists(dir.as_ref(), backup)?;
            let notice = Notice::BackupDir { dir: backup, new: !found };
            self.observer.notice(Role::ReceiverSide, &notice);
        }
        let missing = dir.is_none();
        let mut target = TreeTarget::new(dir, self.options).map_err(|fault| {
            let SetupError::TempDir(error) = fault;
            let dir = self.options.transfer.temp_dir.clone().unwrap_or_default();
            self.temp_dir_fault(path, &dir, error)
        })?;
        if missing {
            target = target.without_root(&absolute(path), self.options);
        }
        for (number, error) in target.missing_alternates() {
            let kind = match self.options.transfer.alt_dest_kind {
                Some(arsync_core::options::AltDestKind::Copy) => "--copy-dest",
                Some(arsync_core::options::AltDestKind::Link) => "--link-dest",
                _ => "--compare-dest",
            };
            let dir = self.options.transfer.alt_dests.get(number).cloned().unwrap_or_default();
            let full = as_given(&absolute(path), &dir);
            let exists = stat(&full[..]).is_ok();
            let what = match error.0 {
                20 if exists => "is not a dir",
                // A symlink of somebody else is on the way, or it leads out of where it may lead.
                40 if exists => "is not to be used",
                _ => "does not exist",
            };
            // Where a module lies is not shown to its clients.
            let in_module = self.roots.borrow().module.as_ref().is_some_and(|(root, _)| root.len() > 1);
            let shown = if in_module { dir } else { full };
            let text = [kind.as_bytes(), b" arg ", what.as_bytes(), b": ", &shown].concat();
            self.observer.say(MsgTag::Warning, Role::ReceiverSide, &text);
        }
        Ok(target.at_path(absolute(path)))
    }

    /// Why the temporary directory of a destination could not be opened.
    fn temp_dir_fault(&self, dest: &[u8], dir: &[u8], error: PortError) -> ExitCode {
        let (what, code, why) = match (error.0, stat(&as_given(&absolute(dest), dir)[..])) {
            (2, _) => ("The temp-dir does not exist: ", ExitCode::SYNTAX, None),
            _ if dir.is_empty() => ("The temp-dir does not exist: ", ExitCode::SYNTAX, None),
            (_, Err(errno)) => ("Failed to stat temp-dir ", ExitCode::FILE_IO, Some(errno)),
            (20, Ok(_)) => ("The temp-dir is not a directory: ", ExitCode::SYNTAX, None),
            (_, Ok(_)) => ("cannot use the temp-dir: ", ExitCode::FILE_IO, None),
        };
        let why = why.map(|errno| format!(": {}", strerror::text(errno.raw_os_error())));
        self.error(code, &[what.as_bytes(), dir, why.unwrap_or_default().as_bytes()].concat())
    }

    fn entered(&self, dir: OwnedFd, path: &[u8], created: bool) -> Result<Entered<TreeTarget>, ExitCode> {
        let target = self.target(Some(dir), path)?;
        Ok(Entered { target, single_name: None, missing_root: false, created_root: created })
    }

    fn nothing(&self, path: &[u8]) -> Result<Entered<TreeTarget>, ExitCode> {
        Ok(Entered {
            target: self.target(None, path)?,
            single_name: None,
            missing_root: true,
            created_root: false,
        })
    }

    /// `--mkpath`: makes the directories of a path.
    fn make_path(&self, dest: &[u8], many: bool) -> Result<(), ExitCode> {
        let end = if many { dest.len() } else { memchr::memrchr(b'/', dest).unwrap_or(0) };
        let path = dest.get(..end).unwrap_or_default();
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let mut made = 0u32;
        for end in memchr::memchr_iter(b'/', path).chain([path.len()]).filter(|&i| i > 0) {
            let part = path.get(..end).unwrap_or_default();
            let errno = match stat(part) {
                Ok(st) if FileType::from_raw_mode(st.st_mode) == FileType::Directory => continue,
                // As the reference, which opens the directories on the way one by one.
                Ok(_) => match path.get(end..).unwrap_or_default().iter().filter(|&&b| b == b'/').count() {
                    0 => Errno::EXIST,
                    1 => Errno::NOTDIR,
                    _ => Errno::LOOP,
                },
                Err(errno) => errno,
            };
            if errno != Errno::NOENT {
                return Err(self.os_error(ExitCode::FILE_IO, "mkdir", dest, " failed", errno));
            }
            made += 1;
            if !self.options.dry_run {
                self.make_dir(part).map_err(|e| self.not_made(dest, e))?;
            }
        }
        if made > 0 {
            let noun = if made == 1 { "directory" } else { "directories" };
            self.info([format!("created {made} {noun} for ").as_bytes(), path].concat());
        }
        Ok(())
    }

    /// The one file of the list takes the destination's last component as its name.
    fn single(&self, dest: &[u8]) -> Result<Entered<TreeTarget>, ExitCode> {
        let (dir, name) = match memchr::memrchr(b'/', dest) {
            Some(0) => (&b"/"[..], dest.get(1..).unwrap_or_default()),
            Some(i) => (dest.get(..i).unwrap_or_default(), dest.get(i + 1..).unwrap_or_default()),
            None => (&b"."[..], dest),
        };
        let name = name.to_vec();
        match self.open_dir(dir) {
            Ok(fd) => {
                let target = self.target(Some(fd), dir)?;
                Ok(Entered { target, single_name: Some(name), missing_root: false, created_root: false })
            }
            Err(_) if self.options.dry_run && self.options.select.mkpath => {
                let target = self.target(None, dir)?;
                Ok(Entered { target, single_name: Some(name), missing_root: true, created_root: false })
            }
            Err(errno) => Err(self.os_error(ExitCode::FILE_SELECT, "change_dir#3", dir, " failed", errno)),
        }
    }
}

impl<O: Speak> Entrance for DestEntrance<'_, O> {
    type Target = TreeTarget;

    fn user_id(&self, name: &[u8]) -> Option<u32> {
        IdNames::new(self.options.preserve.nameless_ids).uid(name)
    }

    fn group_id(&self, name: &[u8]) -> Option<u32> {
        IdNames::new(self.options.preserve.nameless_ids).gid(name)
    }

    async fn enter(&self, list: &FirstList) -> Result<Entered<TreeTarget>, ExitCode> {
        let entered = self.choose(list)?;
        ending::divides();
        Ok(entered)
    }
}

impl<O: Speak> DestEntrance<'_, O> {
    /// Enters what the destination's name stands for.
    fn choose(&self, list: &FirstList) -> Result<Entered<TreeTarget>, ExitCode> {
        let Some(dest) = self.dest.as_deref().filter(|_| !self.options.list_only) else {
            // A listing, or a server that was given no destination: nothing is written there.
            return match self.open_dir(b".") {
                Ok(fd) => self.entered(fd, b".", false),
                Err(e) => Err(self.os_error(ExitCode::FILE_SELECT, "change_dir#1", b".", " failed", e)),
            };
        };
        if dest.is_empty() {
            let text = b"Empty destination arg specified (use \".\" or see --old-args).";
            return Err(self.error(ExitCode::SYNTAX, text));
        }
        let mut dest = dest;
        while dest.len() > 1 && dest.ends_with(b"//") {
            dest = dest.get(..dest.len() - 1).unwrap_or(dest);
        }
        let many = list.count > 1;
        match stat(Path::new(OsStr::from_bytes(dest))) {
            Ok(st) if FileType::from_raw_mode(st.st_mode) == FileType::Directory => {
                match self.open_dir(dest) {
                    Ok(fd) => self.entered(fd, dest, false),
                    Err(e) => Err(self.os_error(ExitCode::FILE_SELECT, "change_dir#1", dest, " failed", e)),
                }
            }
            Ok(_) if many => Err(self.error(
                ExitCode::FILE_SELECT,
                b"ERROR: destination must be a directory when copying more than 1 file",
            )),
            Ok(_) if list.first == Some(FileKind::Dir) => {
                Err(self
                    .error(ExitCode::FILE_SELECT, b"ERROR: cannot overwrite non-directory with a directory"))
            }
            Ok(_) => self.single(dest),
            Err(errno) => {
                let slash = dest.ends_with(b"/");
                let makes_path = self.options.select.mkpath && (dest.contains(&b'/') || many);
                if makes_path {
                    self.make_path(dest, many || slash)?;
                }
                if errno != Errno::NOENT {
                    let what = "ERROR: cannot stat destination";
                    return Err(self.os_error(ExitCode::FILE_SELECT, what, dest, "", errno));
                }
                if makes_path {
                    if self.options.dry_run && !(many || slash) {
                        return self.single(dest);
                    }
                    if let Ok(fd) = self.open_dir(dest) {
                        return self.entered(fd, dest, false);
                    }
                }
                if !many && !slash {
                    return self.single(dest);
                }
                let shown = dest.strip_suffix(b"/").filter(|d| !d.is_empty()).unwrap_or(dest);
                if self.options.dry_run {
                    self.info([b"created directory ", shown].concat());
                    return self.nothing(dest);
                }
                self.make_dir(dest).map_err(|e| self.not_made(shown, e))?;
                self.info([b"created directory ", shown].concat());
                match self.open_dir(dest) {
                    Ok(fd) => self.entered(fd, dest, true),
                    Err(e) => Err(self.os_error(ExitCode::FILE_SELECT, "change_dir#1", dest, " failed", e)),
                }
            }
        }
    }
}
