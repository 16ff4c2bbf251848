//! Backups of what is replaced or deleted (spec: backups).

use alloc::sync::Arc;
use std::{
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
};

use arsync_core::{
    flist::{acl::Kind, entry::FileKind},
    names::{RelName, is_unsafe_link},
    options::SessionOptions,
    ports::{AttrStep, Attrs, BackupBy, Extended, Stat},
};
use rustix::{
    fs::{AtFlags, Mode, OFlags, fstat, linkat, mkdirat, openat, readlinkat, renameat, statat, unlinkat},
    io::{self, Errno},
};

use super::{
    acl,
    beneath::{At, Links, Tree},
    confine::Confinement,
    copy::{Holes, copy_contents},
    fake,
    meta::{self, Handle},
    named::NamedDir,
    port,
    special::{self, Put},
    temp::Temp,
    to_stat,
    write::{Shared, Spot},
    xattr,
};

/// Where backups go.
#[derive(Debug)]
pub struct Backups {
    suffix: Vec<u8>,
    dir: Option<BackupDir>,
    copies: Copies,
    /// `--safe-links`: a symlink that leads out has no backup.
    only_safe_links: bool,
}

#[derive(Debug)]
struct BackupDir {
    named: NamedDir,
    tree: Mutex<Option<Arc<Tree>>>,
}

/// What is kept of the original by a copy made for `--inplace`, and by a backup directory.
#[derive(Debug)]
struct Copies {
    perms: bool,
    times: bool,
    /// Of directories.
    dir_times: bool,
    atimes: bool,
    owner: bool,
    group: bool,
    /// What copies carry, and what backup directories do: as the reference has it.
    files: Carried,
    dirs: Carried,
}

/// Extended attributes that a copy keeps of its original.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    acls: bool,
    xattrs: bool,
    /// ACLs that the backup's directory hands down are taken away.
    plain: bool,
}

impl Carried {
    /// Everything: the copy takes the place of the original.
    const ALL: Self = Self { acls: true, xattrs: true, plain: false };

    fn carry(self, from: Handle<'_>, to: Handle<'_>) {
        if self.plain {
            // What the directory hands down is not the original's.
            for name in [&b"system.posix_acl_access"[..], b"system.posix_acl_default"] {
                let _ = xattr::remove(to, name);
            }
        }
        if self.acls || self.xattrs {
            xattr::copy(from, to, |name| {
                let system = name.starts_with(b"system.");
                self.acls && system || self.xattrs && !system
            });
        }
    }
}

impl Backups {
    /// `tree`: the destination.
    pub fn new(options: &SessionOptions, confinement: &Confinement, tree: &Tree) -> Self {
        let transfer = &options.transfer;
        let preserve = &options.preserve;
        Self {
            only_safe_links: options.select.safe_links && preserve.links,
            suffix: transfer.suffix.clone(),
            dir: transfer.backup_dir.as_ref().map(|path| BackupDir {
                named: NamedDir::new(confinement, tree.root(), path),
                tree: Mutex::default(),
            }),
            copies: Copies {
                perms: preserve.perms,
                times: preserve.times,
                dir_times: preserve.times && !preserve.omit_dir_times,
                atimes: preserve.atimes > 0,
                owner: preserve.owner,
                group: preserve.group,
                files: Carried {
                    acls: false,
                    xattrs: preserve.xattrs > 0 || preserve.fake_super,
                    plain: preserve.acls,
                },
                dirs: Carried { acls: preserve.acls, xattrs: false, plain: preserve.acls },
            },
        }
    }

    /// Where the backup of a name stands, if its directory exists.
    pub fn spot<'n>(&self, shared: &Shared, name: RelName<'n>) -> io::Result<Spot<'n>> {
        let at = match &self.dir {
            None => shared.tree().at(name)?,
            Some(dir) => dir.open(shared.tree().root()?)?.at(name)?,
        };
        Ok(Spot { dir: at.dir, name: [at.name, &self.suffix].concat().into() })
    }

    /// The same; the directories are made.
    fn prepare<'n>(&self, shared: &Shared, name: RelName<'n>) -> io::Result<Spot<'n>> {
        if let Some(dir) = &self.dir {
            dir.make(shared, name, &self.copies)?;
        }
        self.spot(shared, name)
    }

    /// Makes the directories in which the backup of `name` would be. As in the reference, none behind a `..`.
    pub fn make_dirs(&self, shared: &Shared, name: RelName<'_>) -> io::Result<()> {
        match &self.dir {
            Some(dir) if !dir.named.path().split(|&b| b == b'/').any(|part| part == b"..") => {
                dir.make(shared, name, &self.copies)
            }
            _ => Ok(()),
        }
    }

    /// Gives what stands at `name` its backup name.
    pub fn back_up(&self, shared: &Shared, name: RelName<'_>, by: BackupBy) -> io::Result<()> {
        let from = shared.tree().at(name)?;
        let stat = to_stat(&statat(&from.dir, from.name, AtFlags::SYMLINK_NOFOLLOW)?);
        let to = self.prepare(shared, name)?;
        if let BackupBy::Copy { whole_seconds, summed } = by
            && stat.is_regular()
        {
            let mut shown = stat;
            if shared.setter().is_fake() {
                fake::overlay(Handle::Name(&from.dir, from.name), false, &mut shown)?;
            }
            let mut attrs = self.copies.attrs(&shown, shared);
            attrs.mtime = attrs.mtime.map(|(sec, nsec)| (sec, if whole_seconds { 0 } else { nsec }));
            // As the reference makes one, which then has these permissions.
            let private = if summed { 0o600 } else { stat.mode & 0o700 };
            return self.keep_copy(shared, name, (&from, &stat), &to, &attrs, private);
        }
        if self.only_safe_links && stat.kind() == FileKind::Symlink {
            let target = readlinkat(&from.dir, from.name, Vec::new())?;
            if is_unsafe_link(target.to_bytes(), name.bytes()) {
                shared.tree().forget_link(name.bytes());
                return match by {
                    BackupBy::Rename => unlinkat(&from.dir, from.name, AtFlags::empty()),
                    BackupBy::Link | BackupBy::Copy { .. } => Ok(()),
                };
            }
        }
        make_way(&to)?;
        if by != BackupBy::Rename
            && linkat(&from.dir, from.name, &to.dir, &*to.name, AtFlags::empty()).is_ok()
        {
            return Ok(());
        }
        shared.tree().forget_link(name.bytes());
        match renameat(&from.dir, from.name, &to.dir, &*to.name) {
            // Also what can neither be linked nor renamed (`chattr +i`).
            Err(error)
                if error == Errno::XDEV
                    || error == Errno::PERM && by == BackupBy::Link && stat.is_regular() =>
            {
                copy(&from.dir, from.name, &stat, &to, &all_of(&stat), Carried::ALL)?;
                match by {
                    BackupBy::Rename => unlinkat(&from.dir, from.name, AtFlags::empty()),
                    BackupBy::Link | BackupBy::Copy { .. } => Ok(()),
                }
            }
            other => other,
        }
    }

    /// Makes `to` a copy of a file that is about to be written in place. Attributes that cannot be set are noted as a failure; the
    /// copy has the permissions `private` then, and is a backup nevertheless (stock binary).
    fn keep_copy(
        &self,
        shared: &Shared,
        name: RelName<'_>,
        (from, stat): (&At<'_>, &Stat),
        to: &Spot<'_>,
        attrs: &Attrs,
        private: u32,
    ) -> io::Result<()> {
        let original = open_to_copy(&from.dir, from.name)?;
        let (file, temp) = Temp::create(&to.dir, &to.name, true, 0o600)?;
        copy_contents(&original, &file, stat.size, Holes::Written)?;
        let copy = Handle::File(&file);
        self.copies.files.carry(Handle::File(&original), copy);
        let made = to_stat(&fstat(&file)?);
        let dir = self.dir.as_ref().map_or_else(Vec::new, |dir| [dir.named.path(), b"/"].concat());
        let path = [&dir, name.bytes(), &self.suffix].concat();
        if let Err((step, error)) = shared.setter().apply(copy, &path, &made, attrs, None) {
            shared.setter().fail(step.op(), &path, &[], port(error));
            let private = Attrs { mode: Some(private), ..Attrs::default() };
            meta::apply(copy, &made, &private).map_err(|(_, error)| error)?;
        }
        temp.rename(&to.dir, &to.name).map_err(|(error, _unlinked)| error)
    }
}

impl Copies {
    fn attrs(&self, stat: &Stat, shared: &Shared) -> Attrs {
        Attrs {
            mode: Some(stat.mode),
            mtime: self.times.then_some((stat.mtime, stat.nsec)),
            atime: self.atimes.then_some(stat.atime),
            ..self.owners(stat, shared)
        }
    }

    fn owners(&self, stat: &Stat, shared: &Shared) -> Attrs {
        Attrs {
            uid: (self.owner && shared.is_super()).then_some(stat.uid),
            gid: self.group.then_some(stat.gid),
            ..Attrs::default()
        }
    }

    /// Makes the new directory `on` look `like` the real one, if that is a directory.
    fn dress(&self, shared: &Shared, name: RelName<'_>, like: Handle<'_>, on: Handle<'_>) -> io::Result<()> {
        let mut real = meta::stat_of(like)?;
        if !real.is_dir() {
            return Ok(());
        }
        let fake = shared.setter().is_fake();
        Carried { acls: self.dirs.acls && !fake, ..self.dirs }.carry(like, on);
        let made = meta::stat_of(on)?;
        if fake {
            // What cannot be understood was told of when the directory itself was looked at.
            let _ = fake::overlay(like, false, &mut real);
        }
        // The owner must be able to put backups there.
        let needed = if fake || rustix::process::geteuid().is_root() { 0 } else { 0o300 };
        // Without `-p` a new directory keeps the group bit that it has from the one above.
        let inherited = if self.perms { 0 } else { made.mode & 0o2000 };
        let attrs = Attrs {
            mode: Some(real.mode | needed | inherited),
            // It stays as long as no backup comes.
            mtime: self.dir_times.then_some((real.mtime, real.nsec)),
            ..self.owners(&real, shared)
        };
        if fake {
            let kept = |kind| acl::read(like, false, kind, true).ok().flatten().unwrap_or_default();
            let acls = Extended {
                acl: Some(kept(Kind::Access).for_mode(real.mode)),
                default_acl: Some(kept(Kind::Default)),
                ..Extended::default()
            };
            let acls = self.dirs.acls.then_some(&acls);
            let applied = shared.setter().apply(on, name.bytes(), &made, &attrs, acls);
            return applied.map(drop).map_err(|(_, error)| error);
        }
        apply_what_is_allowed(on, &made, &attrs)
    }
}

impl BackupDir {
    fn open(&self, root: &OwnedFd) -> io::Result<Arc<Tree>> {
        let mut known = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = known.as_ref().filter(|tree| tree.root().is_ok_and(|dir| is_linked(dir))) {
            return Ok(tree.clone());
        }
        let dir = self.named.open(root)?;
        Ok(known.insert(Arc::new(Tree::new(dir, Links::Never))).clone())
    }

    /// Makes the backup directory and below it what leads to `name`, with the permissions of the real directories, and
    /// their owners where those are preserved. Times would not outlive the first backup.
    fn make(&self, shared: &Shared, name: RelName<'_>, copies: &Copies) -> io::Result<()> {
        let root = shared.tree().root()?;
        let tree = match self.open(root) {
            Err(Errno::NOENT) => {
                self.named.make(root)?;
                self.open(root)?
            }
            other => other?,
        };
        let parent = name.parent();
        if parent == RelName::ROOT || is_there(&tree, parent.bytes()) {
            return Ok(());
        }
        let path = parent.bytes();
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(end, _)| end);
        for end in ends.chain([path.len()]) {
            let Some(part) = RelName::new(&path[..end]) else { return Err(Errno::INVAL) };
            let at = tree.at(part)?;
            match mkdirat(&at.dir, at.name, Mode::from_raw_mode(0o777)) {
                Err(Errno::EXIST) if is_there(&tree, part.bytes()) => continue,
                Err(Errno::EXIST) => {
                    unlinkat(&at.dir, at.name, AtFlags::empty())?;
                    mkdirat(&at.dir, at.name, Mode::from_raw_mode(0o777))?;
                }
                other => other?,
            }
            tree.forget(part.bytes());
            let original = shared.tree().at(part)?;
            copies.dress(
                shared,
                part,
                Handle::Name(&original.dir, original.name),
                Handle::Name(&at.dir, at.name),
            )?;
        }
        Ok(())
    }
}

/// Whether a directory still has a name: a deletion in the destination may remove backup directories that stand there.
pub fn is_linked(dir: &OwnedFd) -> bool {
    fstat(dir).is_ok_and(|stat| stat.st_nlink > 0)
}

/// Whether a directory of backups exists.
fn is_there(tree: &Tree, path: &[u8]) -> bool {
    match tree.dir(path) {
        Ok(dir) if is_linked(&dir) => true,
        Ok(_removed) => {
            tree.forget(path);
            tree.dir(path).is_ok()
        }
        Err(_) => false,
    }
}

/// Removes an older backup.
fn make_way(to: &Spot<'_>) -> io::Result<()> {
    match unlinkat(&to.dir, &*to.name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => unlinkat(&to.dir, &*to.name, AtFlags::REMOVEDIR),
        other => other,
    }
}

/// Sets attributes; an owner that this process may not give away stays.
fn apply_what_is_allowed(on: Handle<'_>, standing: &Stat, attrs: &Attrs) -> io::Result<()> {
    match meta::apply(on, standing, attrs) {
        Err((AttrStep::Owner { .. }, Errno::PERM)) => {
            let attrs = Attrs { uid: None, gid: None, ..*attrs };
            meta::apply(on, standing, &attrs)
        }
        other => other,
    }
    .map(drop)
    .map_err(|(_, error)| error)
}

fn open_to_copy(dir: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// Makes `to` a copy of a non-directory.
pub fn copy(
    dir: &OwnedFd,
    name: &[u8],
    stat: &Stat,
    to: &Spot<'_>,
    attrs: &Attrs,
    carried: Carried,
) -> io::Result<()> {
    match stat.kind() {
        FileKind::Regular => {
            let from = open_to_copy(dir, name)?;
            let (file, temp) = Temp::create(&to.dir, &to.name, true, 0o600)?;
            copy_contents(&from, &file, stat.size, Holes::Written)?;
            carried.carry(Handle::File(&from), Handle::File(&file));
            let made = to_stat(&fstat(&file)?);
            apply_what_is_allowed(Handle::File(&file), &made, attrs)?;
            return temp.rename(&to.dir, &to.name).map_err(|(error, _unlinked)| error);
        }
        FileKind::Symlink => {
            let target = readlinkat(dir, name, Vec::new())?;
            make_way(to)?;
            special::symlink(&to.dir, &to.name, target.to_bytes(), Put::New)?;
        }
        FileKind::Dir | FileKind::Missing => return Err(Errno::ISDIR),
        _ => {
            make_way(to)?;
            special::node(&to.dir, &to.name, stat.mode, stat.rdev, Put::New)?;
        }
    }
    carried.carry(Handle::Name(dir, name), Handle::Name(&to.dir, &to.name));
    let made = to_stat(&statat(&to.dir, &*to.name, AtFlags::SYMLINK_NOFOLLOW)?);
    apply_what_is_allowed(Handle::Name(&to.dir, &to.name), &made, attrs)
}

/// Moves a non-directory, across file systems if need be.
pub fn move_file(from: &Spot<'_>, dir: &Arc<OwnedFd>, name: &[u8]) -> io::Result<()> {
    match renameat(&from.dir, &*from.name, dir, name) {
        Err(Errno::XDEV) => {}
        other => return other,
    }
    let stat = to_stat(&statat(&from.dir, &*from.name, AtFlags::SYMLINK_NOFOLLOW)?);
    let to = Spot { dir: dir.clone(), name: name.into() };
    copy(&from.dir, &from.name, &stat, &to, &all_of(&stat), Carried::ALL)?;
    unlinkat(&from.dir, &*from.name, AtFlags::empty())
}

/// The attributes of a file, all of them.
fn all_of(stat: &Stat) -> Attrs {
    Attrs {
        mode: Some(stat.mode),
        uid: Some(stat.uid),
        gid: Some(stat.gid),
        mtime: Some((stat.mtime, stat.nsec)),
        ..Attrs::default()
    }
}
