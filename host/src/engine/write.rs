//! Files being received: created, filled, and put in place (spec: getting file data in place).
//!
//! [`Shared`] is what all of that needs to know, and may be used from any thread. An [`Output`] is one file on
//! its way: small ones stay in memory until they are complete, so that a new file costs open, write, times,
//! rename and close, and what else its attributes demand.

use alloc::{borrow::Cow, sync::Arc};
use core::ops::Range;
use std::{
    os::fd::OwnedFd,
    sync::{Mutex, OnceLock, PoisonError},
};

use arsync_core::{
    flist::entry::mode,
    limits::FILE_PIECE,
    names::RelName,
    options::SessionOptions,
    ports::{AttrStep, Attrs, BackupBy, CommitStep, Create, Destination, Extended, PortError, WriteMode},
};
use rustix::{
    fs::{
        AtFlags, FallocateFlags, Mode, OFlags, fallocate, fstat, fsync, ftruncate, mkdirat, openat, statat,
        unlinkat,
    },
    io::{self, Errno},
};

use super::{
    backup::{self, Backups},
    behind::Behind,
    beneath::Tree,
    confine::Confinement,
    copy::{Holes, Pace, append_from, copy_contents, copy_paced, write_at},
    extended::Setter,
    fake,
    meta::{Handle, chmod_at},
    named::NamedDir,
    port,
    reading::Reading,
    temp::Temp,
    to_stat,
};

/// Data buffers kept for the next files.
const SPARE_BUFFERS: usize = 4;

/// A name in an open directory, possibly made up.
#[derive(Debug, Clone)]
pub struct Spot<'n> {
    /// The directory.
    pub dir: Arc<OwnedFd>,
    /// One component, or `.`.
    pub name: Cow<'n, [u8]>,
}

/// Where partial files are kept (`--partial-dir`).
#[derive(Debug)]
enum PartialDir {
    None,
    /// Below the directory of each file.
    Relative(Vec<u8>),
    Absolute(AbsolutePartialDir),
}

/// One directory for the partial files of all directories. As with a relative one, a symlink in its place makes way.
#[derive(Debug)]
struct AbsolutePartialDir {
    parent: NamedDir,
    name: Box<[u8]>,
    open: OnceLock<Arc<OwnedFd>>,
}

impl AbsolutePartialDir {
    fn new(confinement: &Confinement, tree: &Tree, path: &[u8]) -> Self {
        let kept = path.iter().rposition(|&b| b != b'/').map_or(1, |last| last + 1);
        let at = memchr::memrchr(b'/', &path[..kept]).unwrap_or(0) + 1;
        let name = if at == kept { &b"."[..] } else { &path[at..kept] };
        Self {
            parent: NamedDir::new(confinement, tree.root(), &path[..at]),
            name: name.into(),
            open: OnceLock::new(),
        }
    }

    /// The directory, as a name in its parent.
    fn spot(&self, tree: &Tree) -> io::Result<Spot<'static>> {
        Ok(Spot { dir: Arc::new(self.parent.open(tree.root()?)?), name: self.name.to_vec().into() })
    }

    fn open(&self, tree: &Tree, confinement: &Confinement) -> io::Result<Arc<OwnedFd>> {
        if let Some(dir) = self.open.get() {
            return Ok(dir.clone());
        }
        let at = self.spot(tree)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(&at.dir, &*at.name, flags, Mode::empty())?;
        confinement.admits(&dir)?;
        Ok(self.open.get_or_init(|| Arc::new(dir)).clone())
    }
}

/// What putting files in place depends on, for one session.
#[derive(Debug)]
pub struct Shared {
    tree: Tree,
    temp_dir: Option<Arc<OwnedFd>>,
    confinement: Confinement,
    reading: Reading,
    partial: PartialDir,
    backups: Backups,
    sparse: bool,
    preallocate: bool,
    fsync: bool,
    write_devices: bool,
    euid: u32,
    super_user: bool,
    setter: Setter,
    /// Temporaries are for the owner alone until their ACL is set.
    private: bool,
    buffers: Mutex<Vec<Vec<u8>>>,
    not_reserved: Mutex<Vec<(Vec<u8>, PortError)>>,
}

/// A file on its way.
#[derive(Debug)]
pub struct Output {
    file: Arc<OwnedFd>,
    temp: Option<Temp>,
    mode: WriteMode,
    /// Name below the destination.
    name: Box<[u8]>,
    /// The directory of the name.
    dir: Arc<OwnedFd>,
    /// Where `buf` belongs in the file.
    offset: u64,
    buf: Vec<u8>,
    /// Writes what is much, from a certain point on.
    behind: Option<Behind>,
    /// Why nothing more can be written, which whoever wrote has heard.
    fault: Option<Errno>,
    holes: Holes,
    /// The length may differ from what was written: older content, a hole at the end, reserved space.
    truncate: bool,
    /// What is set at the end beside the plain attributes.
    extended: Option<Extended>,
}

/// A file that has come this far is written by a thread of its own, bytes.
const BEHIND_FROM: u64 = 4 << 20;

/// Files up to this size are read and written in one piece, bytes.
pub const SMALL: usize = FILE_PIECE;

impl Shared {
    /// For a destination tree. A temporary directory that cannot be opened is an error.
    pub fn new(tree: Tree, options: &SessionOptions, super_user: bool) -> io::Result<Self> {
        let transfer = &options.transfer;
        let confinement = Confinement::of(&options.select);
        let temp_dir = match (&transfer.temp_dir, tree.root()) {
            (Some(path), Ok(root)) => Some(Arc::new(confinement.open_dir(root, path)?)),
            _ => None,
        };
        let partial = match &transfer.partial_dir {
            Some(dir) if dir.starts_with(b"/") => {
                PartialDir::Absolute(AbsolutePartialDir::new(&confinement, &tree, dir))
            }
            Some(dir) => PartialDir::Relative(dir.clone()),
            None => PartialDir::None,
        };
        Ok(Self {
            temp_dir,
            partial,
            backups: Backups::new(options, &confinement, &tree),
            tree,
            confinement,
            reading: Reading::new(options),
            sparse: transfer.sparse,
            preallocate: transfer.preallocate,
            fsync: transfer.fsync,
            write_devices: options.select.write_devices,
            euid: rustix::process::geteuid().as_raw(),
            super_user,
            setter: Setter::new(options.preserve.fake_super),
            private: options.preserve.acls,
            buffers: Mutex::default(),
            not_reserved: Mutex::default(),
        })
    }

    /// The destination.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The backups.
    pub fn backups(&self) -> &Backups {
        &self.backups
    }

    /// How attributes are set.
    pub fn setter(&self) -> &Setter {
        &self.setter
    }

    /// Owners may be changed.
    pub fn is_super(&self) -> bool {
        self.super_user
    }

    /// What paths that options name must not lead out of.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// How files are opened for their contents.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// A temporary directory is in use.
    pub fn has_temp_dir(&self) -> bool {
        self.temp_dir.is_some()
    }

    /// Names of files for which `--preallocate` failed since the last call: a warning each.
    pub fn take_not_reserved(&self) -> Vec<(Vec<u8>, PortError)> {
        core::mem::take(&mut self.not_reserved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the partial file of a name stands, if its directory exists.
    pub fn partial_spot<'n>(&self, name: RelName<'n>) -> io::Result<Spot<'n>> {
        let dir = match &self.partial {
            PartialDir::None => return Err(Errno::NOENT),
            PartialDir::Relative(dir) => self.tree.dir(&join(name.parent(), dir))?,
            PartialDir::Absolute(dir) => dir.open(&self.tree, &self.confinement)?,
        };
        Ok(Spot { dir, name: name.base().into() })
    }

    /// The same; the directory is made (0700), a non-directory in its place is removed.
    fn make_partial_spot<'n>(&self, name: RelName<'n>) -> io::Result<Spot<'n>> {
        match self.partial_spot(name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            other => return other,
        }
        let at = match &self.partial {
            PartialDir::None => return Err(Errno::NOENT),
            PartialDir::Absolute(dir) => dir.spot(&self.tree)?,
            PartialDir::Relative(_) => self.partial_dir_spot(name)?,
        };
        let private = Mode::from_raw_mode(0o700);
        match mkdirat(&at.dir, &*at.name, private) {
            Err(Errno::EXIST) => {
                unlinkat(&at.dir, &*at.name, AtFlags::empty())?;
                mkdirat(&at.dir, &*at.name, private)?;
            }
            other => other?,
        }
        self.partial_spot(name)
    }

    /// The relative partial directory itself, as a name in its parent.
    fn partial_dir_spot(&self, name: RelName<'_>) -> io::Result<Spot<'static>> {
        let PartialDir::Relative(dir) = &self.partial else { return Err(Errno::NOENT) };
        let path = join(name.parent(), dir);
        let (parent, base) = match memchr::memrchr(b'/', &path) {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b"."[..], &path[..]),
        };
        Ok(Spot { dir: self.tree.dir(parent)?, name: base.to_vec().into() })
    }

    /// Removes the partial directory of a name if it is relative and empty.
    pub fn tidy_partial_dir(&self, name: RelName<'_>) {
        if let (PartialDir::Relative(dir), Ok(spot)) = (&self.partial, self.partial_dir_spot(name)) {
            self.tree.forget(&join(name.parent(), dir));
            let _ = unlinkat(&spot.dir, &*spot.name, AtFlags::REMOVEDIR);
        }
    }

    /// Permissions of a new temporary. Those it will have, where nobody can read it with them who may not read
    /// it in the end, whoever will own it: group and others are treated alike. Else only the owner's.
    fn creation_mode(&self, file_mode: u32) -> u32 {
        let perms = file_mode & mode::PERMS;
        let perms = if self.setter.is_fake() { fake::real_perms(perms, false) } else { perms };
        let alike = perms & !0o777 == 0 && perms >> 3 & 7 == perms & 7;
        // Where the owner cannot be set, the permissions are not set either.
        let fails = self.super_user && self.euid != 0 && !self.setter.is_fake();
        if alike && !self.private && !fails { perms } else { (perms | 0o200) & 0o700 }
    }

    /// Starts a file.
    pub fn create(&self, create: &Create<'_>) -> io::Result<Output> {
        let at = self.tree.at(create.name)?;
        let in_place = |file: OwnedFd, offset| Output {
            file: Arc::new(file),
            temp: None,
            mode: create.mode,
            name: create.name.bytes().into(),
            dir: at.dir.clone(),
            offset,
            buf: Vec::new(),
            behind: None,
            fault: None,
            holes: if self.sparse { Holes::Punched } else { Holes::Written },
            truncate: true,
            extended: None,
        };
        let mut out = match create.mode {
            WriteMode::Temporary => {
                let (dir, hidden) = match &self.temp_dir {
                    Some(dir) => (dir, false),
                    None => (&at.dir, true),
                };
                let (file, temp) = Temp::create(dir, at.name, hidden, self.creation_mode(create.file_mode))?;
                Output {
                    temp: Some(temp),
                    holes: if self.sparse { Holes::Skipped } else { Holes::Written },
                    truncate: self.sparse,
                    ..in_place(file, 0)
                }
            }
            WriteMode::InPlace => in_place(self.open_in_place(&at.dir, at.name)?, create.append_from),
            WriteMode::PartialInPlace => {
                let spot = self.make_partial_spot(create.name)?;
                in_place(self.open_in_place(&spot.dir, &spot.name)?, create.append_from)
            }
        };
        if self.preallocate && create.size > 0 {
            self.reserve(&mut out, create.size);
        }
        let expected = FILE_PIECE.min(usize::try_from(create.size).unwrap_or(FILE_PIECE));
        out.buf = self.spare_buffer();
        out.buf.reserve_exact(expected);
        Ok(out)
    }

    fn reserve(&self, out: &mut Output, size: u64) {
        let flags = if self.sparse { FallocateFlags::empty() } else { FallocateFlags::KEEP_SIZE };
        out.truncate = true;
        match fallocate(&out.file, flags, 0, size) {
            Ok(()) if self.sparse => out.holes = Holes::Punched,
            Ok(()) => {}
            Err(error) => {
                let mut failed = self.not_reserved.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((out.name.to_vec(), port(error)));
            }
        }
    }

    /// Opens a target for writing; a file that forbids its owner to write is opened nevertheless.
    fn open_in_place(&self, dir: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
        let mut flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        if !self.write_devices {
            // A fifo that somebody puts there after it was looked at would be waited for.
            flags |= OFlags::NONBLOCK;
        }
        let private = Mode::from_raw_mode(0o600);
        match openat(dir, name, flags | OFlags::CREATE, private) {
            Err(Errno::ACCESS) => {}
            other => return other,
        }
        // A sticky directory can forbid O_CREAT on a file that may be written.
        match openat(dir, name, flags, Mode::empty()) {
            Err(Errno::ACCESS) => {}
            other => return other,
        }
        let stat = to_stat(&statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
        if !stat.is_regular() || stat.uid != self.euid || stat.mode & 0o200 != 0 {
            return Err(Errno::ACCESS);
        }
        let perms = stat.mode & mode::PERMS;
        chmod_at(dir, name, perms | 0o200, stat.kind())?;
        let opened = openat(dir, name, flags, Mode::empty());
        chmod_at(dir, name, perms, stat.kind())?;
        opened
    }

    /// Copies all data of an open file into a new output.
    pub fn copy(&self, from: &OwnedFd, create: &Create<'_>, pace: Option<&Pace>) -> io::Result<Output> {
        let mut out = self.create(create)?;
        out.copy_all(from, pace)?;
        Ok(out)
    }

    /// An empty buffer.
    pub fn spare_buffer(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// A buffer that is not needed any more.
    pub fn give_back(&self, mut buf: Vec<u8>) {
        buf.clear();
        let mut spare = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push(buf);
        }
    }

    /// A complete file may be made under its final name: nothing asks for another place or for protection first.
    pub fn takes_final_names(&self) -> bool {
        !self.has_temp_dir() && !self.private
    }

    /// Completes a file: data, length, flush, backup, attributes, name, in this order.
    pub fn commit(&self, mut out: Output, attrs: &Attrs, to: Destination) -> Result<(), (CommitStep, Errno)> {
        let done = self.commit_steps(&mut out, attrs, to);
        self.give_back(core::mem::take(&mut out.buf));
        done
    }

    fn commit_steps(
        &self,
        out: &mut Output,
        attrs: &Attrs,
        to: Destination,
    ) -> Result<(), (CommitStep, Errno)> {
        match out.fault {
            // What has come is kept as it is.
            Some(_) if !matches!(to, Destination::Final { .. }) => {
                let _ = out.behind.take().map(Behind::finish);
            }
            Some(error) => return Err((CommitStep::Write, error)),
            None => out.finish().map_err(|e| (CommitStep::Write, e))?,
        }
        let mut stat = to_stat(&fstat(&out.file).map_err(|e| (CommitStep::Sync, e))?);
        // What is written in place is as new as the end of its transfer, even if no byte of it changed and its own time
        // cannot be set.
        let touch = out.mode == WriteMode::InPlace;
        if out.truncate && stat.is_regular() && (stat.size != out.offset || self.preallocate || touch) {
            ftruncate(&out.file, out.offset).map_err(|e| (CommitStep::Sync, e))?;
            // Its time has changed with that.
            stat = to_stat(&fstat(&out.file).map_err(|e| (CommitStep::Sync, e))?);
        }
        if self.fsync {
            fsync(&out.file).map_err(|e| (CommitStep::Sync, e))?;
        }
        let name = RelName::new(&out.name).ok_or((CommitStep::Rename, Errno::INVAL))?;
        let mut attrs = *attrs;
        if out.mode == WriteMode::InPlace {
            if matches!(to, Destination::KeptPartial { .. }) {
                attrs.mtime = None;
            }
            let on = Handle::File(&out.file);
            return applied(self.setter.apply(on, &out.name, &stat, &attrs, out.extended.as_ref()));
        }
        let target = match to {
            Destination::Partial => self.make_partial_spot(name).map_err(|e| (CommitStep::PartialDir, e))?,
            Destination::Final { backup } | Destination::KeptPartial { backup } => {
                if backup {
                    match self.backups.back_up(self, name, BackupBy::Link) {
                        Ok(()) => {}
                        Err(Errno::NOENT) if !self.stands(name) => {}
                        Err(error) => return Err((CommitStep::Backup, error)),
                    }
                }
                if matches!(to, Destination::KeptPartial { .. }) {
                    // So that no later run takes it for complete.
                    attrs.mtime = Some((0, 0));
                }
                Spot { dir: out.dir.clone(), name: name.base().into() }
            }
        };
        let (on, path) = (Handle::File(&out.file), out.path());
        let set = self.setter.apply(on, &path, &stat, &attrs, out.extended.as_ref());
        let moved = match out.temp.take() {
            Some(temp) => self.place(temp, out, &target, &attrs),
            None if to == Destination::Partial => Ok(()),
            None => {
                self.partial_spot(name).and_then(|from| backup::move_file(&from, &target.dir, &target.name))
            }
        };
        moved.map_err(|e| (CommitStep::Rename, e))?;
        self.tree.forget_link(name.bytes());
        applied(set)
    }

    /// Something has this name.
    fn stands(&self, name: RelName<'_>) -> bool {
        let at = self.tree.at(name);
        at.and_then(|at| statat(&at.dir, at.name, AtFlags::SYMLINK_NOFOLLOW)).is_ok()
    }

    /// Renames a temporary to its place, or copies it to another file system.
    fn place(&self, temp: Temp, out: &Output, to: &Spot<'_>, attrs: &Attrs) -> io::Result<()> {
        let _unlinked_at_the_end = match temp.rename(&to.dir, &to.name) {
            Ok(()) => return Ok(()),
            Err((Errno::XDEV, temp)) => temp,
            Err((error, _unlinked)) => return Err(error),
        };
        let (copy, temp) = Temp::create(&to.dir, &to.name, true, 0o600)?;
        copy_contents(
            &out.file,
            &copy,
            out.offset,
            if self.sparse { Holes::Skipped } else { Holes::Written },
        )?;
        let stat = to_stat(&fstat(&copy)?);
        // What fails here failed on the first temporary too, and is reported from there.
        let on = Handle::File(&copy);
        let _ = self.setter.apply(on, &out.name, &stat, attrs, out.extended.as_ref());
        if self.fsync {
            fsync(&copy)?;
        }
        temp.rename(&to.dir, &to.name).map_err(|(error, _unlinked)| error)
    }

    /// Small files may be written in one piece: nothing asks for holes, reserved space or a flush.
    pub fn takes_small_files(&self) -> bool {
        !self.sparse && !self.preallocate && !self.fsync
    }

    /// A complete small file in one call: temporary, data, attributes, rename.
    pub fn put(
        &self,
        create: &Create<'_>,
        data: &[u8],
        attrs: &Attrs,
        extended: Option<&Extended>,
        to: Destination,
    ) -> Result<(), (CommitStep, Errno)> {
        // The data is at hand: no buffer is needed.
        let create = Create { size: 0, ..*create };
        let mut out = self.create(&create).map_err(|e| (CommitStep::Create, e))?;
        out.extended = extended.cloned();
        self.fill(out, data, attrs, to)
    }

    /// Writes all data of a file, and completes it.
    fn fill(
        &self,
        mut out: Output,
        data: &[u8],
        attrs: &Attrs,
        to: Destination,
    ) -> Result<(), (CommitStep, Errno)> {
        write_at(&out.file, 0, data, out.holes).map_err(|e| (CommitStep::Write, e))?;
        out.offset = data.len() as u64;
        self.commit(out, attrs, to)
    }

    /// A complete small file where nothing is yet: under its final name at once, in one write, and removed if anything
    /// fails; in place it stays. In a directory that this run has made, a temporary name would cost a third of the whole
    /// copy and protect against a kill within microseconds only.
    pub fn put_fresh(
        &self,
        create: &Create<'_>,
        data: &[u8],
        attrs: &Attrs,
    ) -> Result<(), (CommitStep, Errno)> {
        let at = self.tree.at(create.name).map_err(|e| (CommitStep::Create, e))?;
        let mode = self.creation_mode(create.file_mode);
        let (file, guard) =
            Temp::create_named(&at.dir, at.name, mode).map_err(|e| (CommitStep::Create, e))?;
        let guard = if create.mode == WriteMode::InPlace {
            guard.keep();
            None
        } else {
            Some(guard)
        };
        write_at(&file, 0, data, Holes::Written).map_err(|e| (CommitStep::Write, e))?;
        let stat = to_stat(&fstat(&file).map_err(|e| (CommitStep::Sync, e))?);
        let set = self.setter.apply(Handle::File(&file), create.name.bytes(), &stat, attrs, None);
        if let Some(guard) = guard {
            guard.keep();
        }
        applied(set)
    }

    /// The complete data of a small file over what it holds (`--inplace`). A file with more names is an error of
    /// [`CommitStep::Create`], and stays as it is.
    pub fn put_over(
        &self,
        create: &Create<'_>,
        data: &[u8],
        attrs: &Attrs,
    ) -> Result<(), (CommitStep, Errno)> {
        let create = Create { size: 0, ..*create };
        let out = self.create(&create).map_err(|e| (CommitStep::Create, e))?;
        let st = fstat(&out.file).map_err(|e| (CommitStep::Create, e))?;
        if st.st_nlink != 1 || !to_stat(&st).is_regular() {
            return Err((CommitStep::Create, Errno::MLINK));
        }
        self.fill(out, data, attrs, Destination::Final { backup: false })
    }

    /// Device contents may be written (`--write-devices`).
    pub fn writes_devices(&self) -> bool {
        self.write_devices
    }
}

fn applied(result: Result<bool, (AttrStep, Errno)>) -> Result<(), (CommitStep, Errno)> {
    result.map(drop).map_err(|(step, error)| (CommitStep::Attrs(step), error))
}

fn join(parent: RelName<'_>, dir: &[u8]) -> Vec<u8> {
    if parent == RelName::ROOT { dir.to_vec() } else { [parent.bytes(), b"/", dir].concat() }
}

impl Output {
    /// Takes all data of an open file.
    pub fn copy_all(&mut self, from: &OwnedFd, pace: Option<&Pace>) -> io::Result<()> {
        let size = fstat(from)?.st_size.cast_unsigned();
        self.offset = copy_paced(from, &self.file, size, self.holes, pace)?;
        Ok(())
    }

    /// Appends data.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if self.buf.len() + data.len() > FILE_PIECE {
            self.flush()?;
            if data.len() >= FILE_PIECE && self.behind.is_none() {
                let written = write_at(&self.file, self.offset, data, self.holes);
                self.noting(written)?;
                self.offset += data.len() as u64;
                return Ok(());
            }
        }
        self.buf.extend_from_slice(data);
        Ok(())
    }

    /// Appends what a file holds in a range and shows it to `seen`; what it does not hold any more is zeros.
    pub fn write_from(
        &mut self,
        from: &OwnedFd,
        range: Range<u64>,
        seen: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut offset = range.start;
        while offset < range.end {
            if self.buf.len() >= FILE_PIECE {
                self.flush()?;
            }
            let room = FILE_PIECE - self.buf.len();
            let len = usize::try_from(range.end - offset).unwrap_or(room).min(room);
            seen(append_from(from, offset, len, &mut self.buf));
            offset += len as u64;
        }
        Ok(())
    }

    /// Everything is in the file.
    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.behind.take().map_or(Ok(()), Behind::finish)
    }

    /// Below the destination.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// It is a temporary file that will get its name.
    pub fn is_temporary(&self) -> bool {
        self.mode == WriteMode::Temporary
    }

    /// Bytes that are in the file, or were left out as a hole.
    pub const fn written(&self) -> u64 {
        self.offset
    }

    /// Bytes that are still in memory.
    pub const fn unwritten(&self) -> usize {
        self.buf.len()
    }

    /// Has this set when the file is complete.
    pub fn attach(&mut self, extended: Extended) {
        self.extended = Some(extended);
    }

    /// The name as it is now, for messages.
    fn path(&self) -> Vec<u8> {
        let Some(temp) = &self.temp else { return self.name.to_vec() };
        match memchr::memrchr(b'/', &self.name) {
            Some(slash) => [&self.name[..=slash], temp.name()].concat(),
            None => temp.name().to_vec(),
        }
    }

    /// Skips what is already there.
    pub fn keep(&mut self, len: u64) -> io::Result<()> {
        self.flush()?;
        self.offset += len;
        Ok(())
    }

    /// Passes on the outcome of a write.
    fn noting<V>(&mut self, written: io::Result<V>) -> io::Result<V> {
        written.inspect_err(|&error| self.fault = Some(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.flush_buffer();
        self.noting(written)
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let (offset, len) = (self.offset, self.buf.len() as u64);
        if self.behind.is_none() && offset >= BEHIND_FROM && self.mode == WriteMode::Temporary {
            self.behind = Behind::start(self.file.clone(), self.holes);
        }
        match &self.behind {
            Some(behind) => self.buf = behind.write(offset, core::mem::take(&mut self.buf))?,
            None => {
                write_at(&self.file, offset, &self.buf, self.holes)?;
                self.buf.clear();
            }
        }
        self.offset += len;
        Ok(())
    }
}
