//! The destination tree: [`TreeTarget`], the port `Target` on Linux.
//!
//! Finds out where a [`Place`] is and calls what does the work: [`write`](super::write) for file data,
//! [`special`], [`meta`], [`backup`](super::backup). Decides nothing.

use alloc::sync::Arc;
use core::cell::RefCell;
use std::{
    collections::HashSet,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use arsync_core::{
    checksum::{ChecksumKind, Digest, TransferSums},
    copying::CopyStep,
    delta::SumHead,
    flist::acl::{Acl, Kind},
    names::RelName,
    options::SessionOptions,
    ports::{
        AttrStep, Attrs, BackupBy, Child, CommitStep, Create, Destination, Doomed, Extended, ExtendedFailure,
        MayGo, Place, PortError, Rights, Stat, Target,
    },
};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, fstat, mkdirat, readlinkat, seek, statat, unlinkat,
    },
    io::{self, Errno},
    process::{getegid, geteuid, getgroups},
};

use super::{
    acl,
    ahead::Turn,
    backup::move_file,
    beneath::{Links, Tree},
    block_sums::Summing,
    completions::Completions,
    copy::read_full,
    digest::{self, Digests, KEPT, digest_file, digests_ahead},
    draft::Draft,
    fake,
    forward::Forward,
    ids::Names,
    listing::children,
    meta::{Handle, chmod_at},
    port,
    reading::Reading,
    removal::Removals,
    source::read_limited,
    special::{self, Put},
    to_stat,
    visit::{Known, Visits},
    write::{Shared, Spot},
    xattr,
};

/// A destination tree.
#[derive(Debug)]
pub struct TreeTarget {
    shared: Arc<Shared>,
    alternates: Vec<Result<Tree, Errno>>,
    /// Where a dry run without a destination looks too.
    working_dir: Option<Tree>,
    names: Names,
    rights: Rights,
    keep_dirlinks: bool,
    path: Vec<u8>,
    visits: Visits,
    removals: Removals,
    digests: Digests<Box<[u8]>>,
    /// Digests will be asked for (`-c`).
    checksums: bool,
    summing: Summing,
    /// Where there is a second processor.
    completions: Option<Completions>,
    /// Directories made by this run.
    made: RefCell<HashSet<Box<[u8]>>>,
}

/// Why a target cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The directory of `--temp-dir` cannot be opened.
    #[error("cannot open the temporary directory: errno {}", .0.0)]
    TempDir(PortError),
}

/// A basis file.
#[derive(Debug)]
pub struct Basis(Forward);

impl TreeTarget {
    /// The tree below an open directory; `None` if there is none yet (dry run): everything is missing then.
    /// Call it before other threads start: the umask is read by setting it.
    pub fn new(root: Option<OwnedFd>, options: &SessionOptions) -> Result<Self, SetupError> {
        let keep_dirlinks = options.select.keep_dirlinks;
        let links = if options.select.keeps_links_in_paths() { Links::Inside } else { Links::Never };
        let tree = root.map_or_else(Tree::absent, |root| Tree::new(root, links));
        let euid = geteuid().as_raw();
        let mut groups: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(|g| g.as_raw()).collect();
        groups.push(getegid().as_raw());
        let rights = Rights {
            super_user: options.preserve.fake_super || options.preserve.super_user.unwrap_or(euid == 0),
            euid,
            groups,
            umask: super::umask(),
        };
        let shared =
            Shared::new(tree, options, rights.super_user).map_err(|e| SetupError::TempDir(port(e)))?;
        let open = |path: &Vec<u8>| alternate(&shared, shared.tree().root()?.as_fd(), path, options);
        let alternates = options.transfer.alt_dests.iter().map(open).collect();
        let removals = Removals::new(&rights, !options.preserve.fake_super);
        Ok(Self {
            shared: Arc::new(shared),
            alternates,
            working_dir: None,
            names: Names::new(options.preserve.nameless_ids),
            rights,
            keep_dirlinks,
            path: Vec::new(),
            visits: Visits::new(options),
            removals,
            digests: digests_ahead().at_most(KEPT),
            checksums: options.select.checksum,
            summing: Summing::new(),
            completions: Completions::new(),
            made: RefCell::default(),
        })
    }

    /// Says where the tree is, for rules about absolute paths.
    pub fn at_path(mut self, path: Vec<u8>) -> Self {
        self.path = path;
        self
    }

    /// What jobs on other threads need.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Finds the other directories of a tree whose root does not exist yet: the alternate ones from where it would be (an
    /// absolute path), so that `..` is resolved by name.
    #[must_use]
    pub fn without_root(mut self, root: &[u8], options: &SessionOptions) -> Self {
        let open = |path: &Vec<u8>| {
            let mut parts: Vec<&[u8]> = Vec::new();
            let whole = if path.starts_with(b"/") { path.clone() } else { [root, b"/", path].concat() };
            for part in whole.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
                if part == b".." {
                    parts.pop();
                } else {
                    parts.push(part);
                }
            }
            let path = [b"/", parts.join(&b'/').as_slice()].concat();
            alternate(&self.shared, CWD, &path, options)
        };
        self.alternates = options.transfer.alt_dests.iter().map(open).collect();
        self.working_dir = alternate(&self.shared, CWD, b".", options).ok();
        self
    }

    /// Alternate directories that cannot be used, by number, with the reason. They count as empty.
    pub fn missing_alternates(&self) -> impl Iterator<Item = (usize, PortError)> + '_ {
        let error = |tree: &Result<Tree, Errno>| tree.as_ref().err().copied().map(port);
        self.alternates.iter().enumerate().filter_map(move |(n, tree)| Some((n, error(tree)?)))
    }

    fn is_fake(&self) -> bool {
        self.shared.setter().is_fake()
    }

    /// What attributes of a place are read from.
    fn spot_of<'n>(&self, place: Place<'n>) -> Result<Spot<'n>, PortError> {
        self.spot(place).map_err(port)
    }

    /// Sets attributes of a name.
    fn set(
        &self,
        at: Place<'_>,
        standing: &Stat,
        attrs: &Attrs,
        extended: Option<&Extended>,
    ) -> Result<bool, (AttrStep, PortError)> {
        let spot = match at {
            Place::Dest(name) if self.keep_dirlinks && standing.is_dir() => self.kept_dir(name),
            other => self.spot(other),
        };
        let spot = spot.map_err(|e| (AttrStep::Times, port(e)))?;
        let on = Handle::Name(&spot.dir, &spot.name);
        let set = self.shared.setter().apply(on, at.name().bytes(), standing, attrs, extended);
        set.map_err(|(step, error)| (step, port(error)))
    }

    fn tree(&self) -> &Tree {
        self.shared.tree()
    }

    fn alternate(&self, number: u8) -> io::Result<&Tree> {
        match self.alternates.get(usize::from(number)) {
            Some(Ok(tree)) => Ok(tree),
            Some(Err(_)) | None => Err(Errno::NOENT),
        }
    }

    fn spot<'n>(&self, place: Place<'n>) -> io::Result<Spot<'n>> {
        let at = match place {
            Place::Dest(name) => self.tree().at(name)?,
            Place::Alt(number, name) => self.alternate(number)?.at(name)?,
            Place::Partial(name) => return self.shared.partial_spot(name),
            Place::Backup(name) => return self.shared.backups().spot(&self.shared, name),
            Place::WorkingDir(name) => self.working_dir.as_ref().ok_or(Errno::NOENT)?.at(name)?,
        };
        Ok(Spot { dir: at.dir, name: at.name.into() })
    }

    /// A directory, for which a kept link to it may stand. The directory itself may be closed to its owner.
    fn kept_dir<'n>(&self, name: RelName<'n>) -> io::Result<Spot<'n>> {
        let spot = self.spot(Place::Dest(name))?;
        let found = statat(&spot.dir, &*spot.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
            return Ok(spot);
        }
        match self.tree().dir(name.bytes()) {
            Ok(dir) => Ok(Spot { dir, name: b"."[..].into() }),
            // It leads out: what does not follow it is set, on the link.
            Err(Errno::LOOP) => Ok(spot),
            Err(error) => Err(error),
        }
    }

    /// The directory to which a link leads that is not gone through, since it leads out. It is only looked at.
    fn kept_outside(&self, name: RelName<'_>) -> io::Result<Stat> {
        let spot = self.spot(Place::Dest(name))?;
        let stat = to_stat(&statat(&spot.dir, &*spot.name, AtFlags::empty())?);
        if stat.is_dir() { Ok(stat) } else { Err(Errno::LOOP) }
    }

    fn look(&self, place: Place<'_>, follow: bool) -> io::Result<Stat> {
        if let (Place::Dest(name), false) = (place, follow)
            && !self.is_made(name.split().0.unwrap_or(b"."))
            && let Some(known) = self.visits.stat(name)
        {
            return match known {
                Known::There(stat) => Ok(stat),
                Known::Absent => Err(Errno::NOENT),
            };
        }
        if follow && let Place::Dest(name) = place {
            let file = match self.tree().open_with(name.bytes(), OFlags::PATH, Links::Inside) {
                Err(Errno::LOOP) if self.keep_dirlinks => return self.kept_outside(name),
                opened => opened?,
            };
            let mut stat = to_stat(&fstat(&file)?);
            if self.is_fake() && stat.is_dir() {
                fake::overlay(Handle::Name(&file, b"."), false, &mut stat)?;
            }
            return Ok(stat);
        }
        let at = self.spot(place)?;
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let mut stat = to_stat(&statat(&at.dir, &*at.name, flags)?);
        if self.is_fake() {
            fake::overlay(Handle::Name(&at.dir, &at.name), follow, &mut stat)?;
        }
        if self.shared.writes_devices() && stat.kind().is_device() {
            stat.size = self.open(place).map_or(0, |(_, size)| size);
        }
        Ok(stat)
    }

    /// Opens a regular file for reading, or a device where those may be written.
    fn open(&self, place: Place<'_>) -> io::Result<(OwnedFd, u64)> {
        self.open_as(place, self.shared.reading())
    }

    fn open_as(&self, place: Place<'_>, reading: Reading) -> io::Result<(OwnedFd, u64)> {
        let at = self.spot(place)?;
        let file = reading.open(&at.dir, &at.name, false)?;
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok((file, stat.st_size.cast_unsigned())),
            FileType::BlockDevice | FileType::CharacterDevice if self.shared.writes_devices() => {
                let size = seek(&file, SeekFrom::End(0)).unwrap_or(0);
                Ok((file, size))
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn open_inside(&self, name: RelName<'_>, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
        self.tree().open_with(name.bytes(), flags | OFlags::NONBLOCK | OFlags::NOCTTY, links)
    }

    fn make_dir_exactly(&self, name: RelName<'_>, mode: u32) -> io::Result<()> {
        let at = self.tree().at(name)?;
        self.changing(name);
        let mode = if self.is_fake() { fake::real_perms(mode, true) } else { mode };
        mkdirat(&at.dir, at.name, Mode::from_raw_mode(mode & 0o1777))?;
        let made = to_stat(&statat(&at.dir, at.name, AtFlags::SYMLINK_NOFOLLOW)?);
        // The group bit that a parent hands down stays; the umask and a default ACL have no say.
        let wanted = (mode | made.mode & 0o2000) & 0o7777;
        if made.mode & 0o7777 == wanted {
            return Ok(());
        }
        chmod_at(&at.dir, at.name, wanted, made.kind())
    }

    /// This run has made the directory: what was read of it, if anything, was read while it was filled.
    fn is_made(&self, dir: &[u8]) -> bool {
        self.made.borrow().contains(dir)
    }

    /// Something of this name is made, replaced or removed: what is known about it does not hold any more.
    fn changing(&self, name: RelName<'_>) {
        self.tree().forget_link(name.bytes());
        self.visits.forget(name);
    }

    fn how(&self, name: RelName<'_>, replace: bool) -> Put {
        if !replace {
            self.visits.forget(name);
            return Put::New;
        }
        self.changing(name);
        if self.shared.has_temp_dir() { Put::After } else { Put::Over }
    }

    fn link(&self, existing: Place<'_>, name: RelName<'_>, replace: bool) -> io::Result<()> {
        let from = self.spot(existing)?;
        let at = self.tree().at(name)?;
        special::hard_link(&from.dir, &from.name, &at.dir, at.name, self.how(name, replace))
    }

    fn remove(&self, place: Place<'_>, flags: AtFlags) -> io::Result<()> {
        let at = self.spot(place)?;
        if let Place::Dest(name) = place {
            if flags.is_empty() {
                self.changing(name);
            } else {
                self.tree().forget(name.bytes());
                self.visits.forget(name);
            }
        }
        unlinkat(&at.dir, &*at.name, flags)
    }
}

impl Target for TreeTarget {
    type Basis = Basis;
    type Output = Draft;

    async fn stat(&self, at: Place<'_>, follow: bool) -> Result<Option<Stat>, PortError> {
        optional(self.look(at, follow))
    }

    async fn inode_mode(&self, at: Place<'_>) -> Result<u32, PortError> {
        let at = self.spot(at).map_err(port)?;
        Ok(statat(&at.dir, &*at.name, AtFlags::SYMLINK_NOFOLLOW).map_err(port)?.st_mode)
    }

    async fn stat_many(
        &self,
        names: &mut dyn Iterator<Item = RelName<'_>>,
        out: &mut Vec<Result<Option<Stat>, PortError>>,
    ) {
        // The parent is the same for all: it comes from the cache after the first.
        out.extend(names.map(|name| optional(self.look(Place::Dest(name), false))));
    }

    async fn read_link(&self, at: Place<'_>) -> Result<Vec<u8>, PortError> {
        if let Place::Dest(name) = at {
            self.visits.reads(name);
        }
        let at = self.spot(at).map_err(port)?;
        if self.is_fake() {
            // As the reference does: a real symlink is never the one wanted, and is replaced.
            return fake::read_link(&at.dir, &at.name).map_err(port);
        }
        Ok(readlinkat(&at.dir, &*at.name, Vec::new()).map_err(port)?.into_bytes())
    }

    fn reads_ahead(&self) -> bool {
        self.visits.are_useful() || self.checksums && self.digests.is_useful()
    }

    fn will_list(&self, dir: RelName<'_>) {
        self.visits.announce_dir(&self.shared, dir);
    }

    fn will_ask(&self, dir: RelName<'_>, names: &[&[u8]]) {
        self.visits.announce_names(&self.shared, dir, names);
    }

    async fn list(&self, name: RelName<'_>) -> Result<Vec<Child>, PortError> {
        if !self.is_made(name.bytes())
            && let Some(found) = self.visits.list(name)
        {
            return Ok(found);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let dir = self.open_inside(name, flags, self.tree().links()).map_err(port)?;
        match children(&dir, self.is_fake()) {
            (found, None) => {
                self.visits.visited(name, &found);
                Ok(found)
            }
            (_, Some(error)) => Err(port(error)),
        }
    }

    async fn list_at(&self, at: Place<'_>) -> Result<Vec<Child>, PortError> {
        let Place::Alt(number, name) = at else {
            return self.list(at.name()).await;
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tree = self.alternate(number).map_err(port)?;
        let dir = tree.open_with(name.bytes(), flags, tree.links()).map_err(port)?;
        Ok(children(&dir, self.is_fake()).0)
    }

    async fn read_small(&self, path: &[u8], limit: usize) -> Result<Vec<u8>, PortError> {
        let file = match RelName::new(path) {
            Some(name) => self.open_inside(name, OFlags::RDONLY, Links::Inside).map_err(port)?,
            None => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let root = self.tree().root().map_err(port)?;
                return read_limited(
                    &self.shared.confinement().open_file(root, path, flags).map_err(port)?,
                    limit,
                )
                .map_err(port);
            }
        };
        self.shared.confinement().admits(&file).map_err(port)?;
        read_limited(&file, limit).map_err(port)
    }

    fn will_digest(&self, files: &mut dyn Iterator<Item = (RelName<'_>, u64)>, kind: ChecksumKind) {
        if !self.digests.is_useful() {
            return;
        }
        let read = |(name, size): (RelName<'_>, u64)| {
            let (shared, key) = (self.shared.clone(), Box::<[u8]>::from(name.bytes()));
            let name = key.clone();
            let job = digest::job(kind, size, move || {
                let at = shared.tree().at(RelName::new(&name)?).ok()?;
                let file = shared.reading().open(&at.dir, at.name, false).ok()?;
                let stat = to_stat(&fstat(&file).ok()?);
                (stat.is_regular() && stat.size == size).then_some((file, size))
            });
            (key, job)
        };
        self.digests.announce(Turn::Last, &mut files.map(read));
    }

    async fn digest(&self, at: Place<'_>, kind: ChecksumKind) -> Result<Digest, PortError> {
        if let Place::Dest(name) = at
            && self.digests.is_useful()
            && let Some(sum) = self.digests.take(&name.bytes().into())
        {
            return Ok(sum);
        }
        let (file, size) = self.open(at).map_err(port)?;
        digest_file(&file, size, kind).map_err(port)
    }

    /// A set-group-ID bit that the new directory inherits from its parent stays, whatever `mode` says.
    async fn make_dir(&self, name: RelName<'_>, mode: u32) -> Result<(), PortError> {
        self.make_dir_exactly(name, mode).map_err(port)?;
        self.made.borrow_mut().insert(name.bytes().into());
        Ok(())
    }

    async fn make_symlink(&self, name: RelName<'_>, target: &[u8], replace: bool) -> Result<(), PortError> {
        let at = self.tree().at(name).map_err(port)?;
        let how = self.how(name, replace);
        if self.is_fake() {
            return special::placeholder(&at.dir, at.name, Some(target), how).map_err(port);
        }
        special::symlink(&at.dir, at.name, target, how).map_err(port)
    }

    async fn make_node(
        &self,
        name: RelName<'_>,
        mode: u32,
        rdev: (u32, u32),
        replace: bool,
    ) -> Result<(), PortError> {
        let at = self.tree().at(name).map_err(port)?;
        let how = self.how(name, replace);
        if self.is_fake() {
            return special::placeholder(&at.dir, at.name, None, how).map_err(port);
        }
        special::node(&at.dir, at.name, mode, rdev, how).map_err(port)
    }

    async fn hard_link(
        &self,
        existing: Place<'_>,
        name: RelName<'_>,
        replace: bool,
    ) -> Result<(), PortError> {
        self.link(existing, name, replace).map_err(port)
    }

    async fn copy_local(&self, from: Place<'_>, create: &Create<'_>) -> Result<Draft, (CopyStep, PortError)> {
        let failed = |step| move |error| (step, port(error));
        // As the reference, whose copies leave a trace.
        let (file, _) = self.open_as(from, Reading::LOUD).map_err(failed(CopyStep::Open))?;
        let mut out = self.shared.create(create).map_err(failed(CopyStep::Create))?;
        out.copy_all(&file, None).map_err(failed(CopyStep::Write))?;
        Ok(Draft::File(Box::new(out)))
    }

    async fn remove_file(&self, at: Place<'_>) -> Result<(), PortError> {
        self.remove(at, AtFlags::empty()).map_err(port)
    }

    fn will_remove(&self, dirs: &mut dyn Iterator<Item = RelName<'_>>, may_go: MayGo) {
        self.removals.announce(&self.shared, dirs, may_go);
    }

    fn removed_in(&self, dir: RelName<'_>) -> Option<Vec<Doomed>> {
        self.removals.take(dir)
    }

    async fn remove_dir(&self, at: Place<'_>) -> Result<(), PortError> {
        if let Place::Dest(name) = at {
            self.made.borrow_mut().remove(name.bytes());
        }
        self.remove(at, AtFlags::REMOVEDIR).map_err(port)
    }

    async fn back_up(&self, name: RelName<'_>, by: BackupBy) -> Result<(), PortError> {
        self.shared.backups().back_up(&self.shared, name, by).map_err(port)
    }

    async fn make_backup_dirs(&self, name: RelName<'_>) {
        // A failure shows when there is something to back up.
        let _ = self.shared.backups().make_dirs(&self.shared, name);
    }

    async fn promote_partial(&self, name: RelName<'_>) -> Result<(), PortError> {
        let from = self.spot(Place::Partial(name)).map_err(port)?;
        let to = self.tree().at(name).map_err(port)?;
        self.changing(name);
        move_file(&from, &to.dir, to.name).map_err(port)
    }

    async fn tidy_partial_dir(&self, name: RelName<'_>) {
        self.shared.tidy_partial_dir(name);
    }

    async fn set_attrs(
        &self,
        at: Place<'_>,
        standing: &Stat,
        attrs: &Attrs,
    ) -> Result<bool, (AttrStep, PortError)> {
        self.set(at, standing, attrs, None)
    }

    async fn acl(&self, at: Place<'_>, kind: Kind) -> Result<Option<Acl>, PortError> {
        let spot = self.spot_of(at)?;
        acl::read(Handle::Name(&spot.dir, &spot.name), false, kind, self.is_fake()).map_err(port)
    }

    async fn inherited_acl(&self, dir: RelName<'_>) -> Result<Option<Acl>, PortError> {
        let dir = self.tree().dir(dir.bytes()).map_err(port)?;
        acl::read(Handle::Name(&dir, b"."), false, Kind::Default, false).map_err(port)
    }

    async fn xattr_names(&self, at: Place<'_>) -> Result<Vec<Vec<u8>>, PortError> {
        let spot = self.spot_of(at)?;
        xattr::names(Handle::Name(&spot.dir, &spot.name)).map_err(port)
    }

    async fn xattr(&self, at: Place<'_>, name: &[u8]) -> Result<Vec<u8>, PortError> {
        let spot = self.spot_of(at)?;
        xattr::get(Handle::Name(&spot.dir, &spot.name), false, name).map_err(port)
    }

    async fn set_extended(
        &self,
        at: Place<'_>,
        standing: &Stat,
        attrs: &Attrs,
        extended: &Extended,
    ) -> Result<bool, (AttrStep, PortError)> {
        self.set(at, standing, attrs, Some(extended))
    }

    fn attach(&self, out: &mut Draft, extended: Extended) {
        out.attach(extended);
    }

    fn take_failures(&self) -> Vec<ExtendedFailure> {
        self.shared.setter().take_failures()
    }

    async fn open_basis(&self, at: Place<'_>) -> Result<(Basis, u64), PortError> {
        if let Place::Dest(name) = at {
            self.visits.reads(name);
        }
        let (file, size) = self.open(at).map_err(port)?;
        Ok((Basis(Forward::new(file)), size))
    }

    async fn read_basis(&self, basis: &Basis, offset: u64, buf: &mut [u8]) -> Result<usize, PortError> {
        read_full(basis.0.file(), offset, buf).map_err(port)
    }

    async fn read_on(&self, basis: &Basis, offset: u64, buf: &mut Vec<u8>) -> Result<usize, PortError> {
        basis.0.read(offset, buf).map_err(port)
    }

    async fn sum_blocks(
        &self,
        basis: &Basis,
        head: &SumHead,
        sums: &TransferSums,
        first: u32,
        out: &mut Vec<u8>,
    ) -> u32 {
        self.summing.blocks(basis.0.file(), head, sums, first, out)
    }

    async fn sum_blocks_aside(
        &self,
        basis: &Basis,
        head: &SumHead,
        sums: &TransferSums,
        first: u32,
        out: &mut Vec<u8>,
    ) -> u32 {
        self.summing.blocks_aside(basis.0.shared_file(), head, sums, first, out).await
    }

    async fn create(&self, create: &Create<'_>) -> Result<Draft, PortError> {
        let fresh = self.is_made(create.name.split().0.unwrap_or(b"."));
        Draft::start(&self.shared, create, fresh).map_err(port)
    }

    async fn write(&self, out: &mut Draft, data: &[u8]) -> Result<(), PortError> {
        out.write(&self.shared, data).map_err(port)
    }

    async fn copy_basis(
        &self,
        out: &mut Draft,
        basis: &Basis,
        offset: u64,
        len: usize,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Result<(), PortError> {
        out.write_from(&self.shared, basis.0.file(), offset..offset + len as u64, seen).map_err(port)
    }

    async fn keep(&self, out: &mut Draft, len: u64) -> Result<(), PortError> {
        out.keep(&self.shared, len).map_err(port)
    }

    async fn commit(
        &self,
        out: Draft,
        attrs: &Attrs,
        to: Destination,
    ) -> Result<(), (CommitStep, PortError)> {
        out.commit(&self.shared, attrs, to).map_err(|(step, error)| (step, port(error)))
    }

    fn begin_commit(&self, draft: Draft, attrs: &Attrs) -> Result<u64, Draft> {
        match &self.completions {
            Some(completions) => completions.begin(&self.shared, draft, attrs),
            None => Err(draft),
        }
    }

    async fn end_commit(&self, begun: u64) -> Result<(), (CommitStep, PortError)> {
        let ended = self.completions.as_ref().map_or(Ok(()), |completions| completions.end(begun));
        ended.map_err(|(step, error)| (step, port(error)))
    }

    async fn discard(&self, out: Draft) {
        drop(out);
    }

    fn user_id(&self, name: &[u8]) -> Option<u32> {
        self.names.uid(name)
    }

    fn group_id(&self, name: &[u8]) -> Option<u32> {
        self.names.gid(name)
    }

    fn root_path(&self) -> Vec<u8> {
        self.path.clone()
    }

    fn take_not_reserved(&self) -> Vec<(Vec<u8>, PortError)> {
        self.shared.take_not_reserved()
    }

    fn rights(&self) -> Rights {
        self.rights.clone()
    }
}

/// Opens an alternate directory. Names in it may lead through links, but not out of where options may lead; below a
/// module none is followed.
fn alternate(
    shared: &Shared,
    base: BorrowedFd<'_>,
    path: &[u8],
    options: &SessionOptions,
) -> io::Result<Tree> {
    let links = if options.select.confine_all { Links::Never } else { Links::Any };
    let bounds = shared.confinement();
    // An empty name adds nothing to that of the destination.
    let path = if path.is_empty() { b"." } else { path };
    Ok(Tree::new(bounds.open_dir(base, path)?, links).within(bounds.clone()))
}

fn optional(stat: io::Result<Stat>) -> Result<Option<Stat>, PortError> {
    match stat {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(port(error)),
    }
}

#[cfg(test)]
mod tests;
