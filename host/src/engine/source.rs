//! The sender's files: [`FileSource`].
//!
//! Names come from the user and from directory listings. Where no option lets the sender follow symlinks, the
//! directory part of a name must hold none: one that appears between listing and reading is refused.

use alloc::{rc::Rc, sync::Arc};
use core::cell::{Cell, RefCell};
use std::{
    os::fd::OwnedFd,
    time::{SystemTime, UNIX_EPOCH},
};

use arsync_core::{
    checksum::{ChecksumKind, Digest},
    delta::{Candidate, Sifting},
    flist::{
        acl::{Acl, Kind},
        entry::mode,
    },
    options::{FilesFrom, SessionOptions},
    ports::{Child, PortError, Source, SourcePath, Stat},
};
use rustix::{
    fs::{
        Access, Advice, AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, accessat, fadvise, fstat, openat,
        readlinkat, seek, statat, unlinkat,
    },
    io::{self, Errno},
};

use super::{
    absolute, acl,
    ahead::{Ahead, Read, Turn},
    beneath::{At, Links, Tree},
    confine::Confinement,
    copy::{Pace, read_full},
    digest::{self, Digests, digest_file, digests_ahead},
    fake,
    ids::Names,
    listing::{children, cost_of_names},
    meta::Handle,
    port,
    reading::Reading,
    sifting, to_stat, xattr,
};

/// Files from this size on are announced to the kernel as read in order.
const ADVISE_FROM: u64 = 1 << 20;

/// To open a directory costs as much as to look at so many names.
const OPENING: u64 = 8;

/// The file system as a [`Source`].
#[derive(Debug)]
pub struct FileSource {
    bases: RefCell<Vec<Base>>,
    /// Absolute paths of the bases, shared with whoever shows them.
    paths: Rc<RefCell<Vec<Vec<u8>>>>,
    names: Names,
    ways: Ways,
    /// What names of a list must not lead out of.
    listed: Confinement,
    /// The same for filter files.
    confinement: Confinement,
    /// Nothing at all may be outside.
    confine_all: bool,
    /// What cannot be read is not there.
    readable_only: bool,
    copy_devices: bool,
    fake: bool,
    pace: Option<Arc<Pace>>,
    ahead: Ahead<(u32, Box<[u8]>), io::Result<Listing>>,
    /// Names in a directory, as far as those read last tell.
    typical: Cell<u64>,
    digests: Digests<(u32, Box<[u8]>)>,
}

/// A directory that was read.
#[derive(Debug)]
struct Listing {
    dir: Arc<OwnedFd>,
    children: Vec<Child>,
    error: Option<Errno>,
}

#[derive(Debug)]
struct Base {
    path: Vec<u8>,
    tree: Arc<Tree>,
}

/// A file open for reading.
#[derive(Debug)]
pub struct SourceFile(OwnedFd);

/// How names lead to files.
#[derive(Debug, Clone, Copy)]
struct Ways {
    /// Names may lead through symlinks.
    through_links: bool,
    /// A name that is a symlink stands for its target, when it is opened.
    follow_files: bool,
    /// The same for a directory, when it is read.
    follow_dirs: bool,
    reading: Reading,
    /// A directory is entered before it is read, which asks for more than to read its names (stock binary).
    enters_dirs: bool,
}

impl Ways {
    fn links(self, name: &[u8]) -> Links {
        let typed = name.starts_with(b"/") || name.split(|&b| b == b'/').any(|c| c == b"..");
        if self.through_links || typed { Links::Any } else { Links::Never }
    }
}

/// Opens files below one directory.
#[derive(Debug, Clone)]
pub struct Reader {
    tree: Arc<Tree>,
    ways: Ways,
    /// What names must not lead out of.
    listed: Confinement,
    pace: Option<Arc<Pace>>,
}

impl Reader {
    /// Opens a file for reading.
    pub fn open(&self, name: &[u8]) -> io::Result<OwnedFd> {
        self.open_file(name, self.ways.follow_files)
    }

    /// The speed that copies keep to.
    pub fn pace(&self) -> Option<&Pace> {
        self.pace.as_deref()
    }

    /// The parent directory of a path, open, and the last component.
    fn at<'n>(&self, path: &'n [u8]) -> io::Result<At<'n>> {
        let end = path.iter().rposition(|&b| b != b'/').map_or(0, |i| i + 1);
        let name = if path.starts_with(b"/") && end == 0 { &b"/"[..] } else { &path[..end] };
        let (dir, base) = match memchr::memrchr(b'/', name) {
            Some(0) => return Ok(At { dir: self.tree.root()?.clone(), name }),
            Some(slash) => (self.tree.dir_with(&name[..slash], self.ways.links(name))?, &name[slash + 1..]),
            None => (self.tree.root()?.clone(), name),
        };
        self.listed.admits(&dir)?;
        Ok(At { dir, name: if base.is_empty() { b"." } else { base } })
    }

    fn open_file(&self, name: &[u8], follow: bool) -> io::Result<OwnedFd> {
        let file = if follow && self.ways.follow_files {
            // By its whole path, as a directory is.
            self.ways.reading.open(self.tree.root()?, name, true)?
        } else {
            let at = self.at(name)?;
            self.ways.reading.open(&at.dir, at.name, follow)?
        };
        self.listed.admits(&file)?;
        Ok(file)
    }

    fn list(&self, name: &[u8], fakes: bool) -> io::Result<Listing> {
        let dir = Arc::new(self.open_dir(name)?);
        self.listed.admits(&*dir)?;
        if self.ways.enters_dirs {
            // A directory that cannot be searched is of no use: said once, not for each name in it.
            accessat(&dir, ".", Access::EXEC_OK, AtFlags::EACCESS)?;
        }
        let (children, error) = children(&dir, fakes);
        Ok(Listing { dir, children, error })
    }

    /// Opens a directory that is to be read.
    fn open_dir(&self, name: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if self.ways.follow_dirs {
            // By its whole path: after 40 symlinks on the way the system ends what leads around in a circle.
            let name = if name.is_empty() { &b"."[..] } else { name };
            return openat(self.tree.root()?, name, flags, Mode::empty());
        }
        let at = self.at(name)?;
        let named = at.name != b"." && !name.ends_with(b"/");
        openat(&at.dir, at.name, if named { flags | OFlags::NOFOLLOW } else { flags }, Mode::empty())
    }
}

impl FileSource {
    /// For a session with these options.
    pub fn new(options: &SessionOptions) -> Self {
        let select = &options.select;
        let follow_files = select.copy_links || select.copy_unsafe_links;
        let follow_dirs = follow_files || select.copy_dirlinks;
        let confinement = Confinement::of(select);
        // Where links are to be followed they may lead anywhere, as those below a root of the transfer (stock binary).
        let from_list = select.files_from != FilesFrom::None;
        Self {
            bases: RefCell::default(),
            paths: Rc::default(),
            names: Names::new(options.preserve.nameless_ids),
            ways: Ways {
                through_links: follow_dirs || select.relative,
                follow_files,
                follow_dirs,
                enters_dirs: !rustix::process::geteuid().is_root() && !follow_dirs && !from_list,
                reading: Reading::new(options),
            },
            listed: match (from_list && !follow_dirs, select.confine_all) {
                (true, _) => confinement.clone(),
                (false, true) => confinement.through_all_links(),
                (false, false) => Confinement::default().through_all_links(),
            },
            confinement,
            confine_all: select.confine_all,
            readable_only: select.ignore_nonreadable,
            copy_devices: select.copy_devices,
            fake: options.preserve.fake_super,
            pace: None,
            ahead: Ahead::new(),
            typical: Cell::default(),
            digests: digests_ahead(),
        }
    }

    /// Reads no more than so many KiB per second from here on; 0: no limit.
    pub fn limit(&mut self, kib_per_second: u64) {
        self.pace = Pace::new(kib_per_second).map(Arc::new);
    }

    /// The absolute paths of the registered directories, by number; it grows with them.
    pub fn base_paths(&self) -> Rc<RefCell<Vec<Vec<u8>>>> {
        self.paths.clone()
    }

    /// What reads files below a registered directory, on any thread.
    pub fn reader(&self, base: u32) -> io::Result<Reader> {
        let tree = self.bases.borrow().get(base as usize).map(|b| b.tree.clone()).ok_or(Errno::NOENT)?;
        Ok(Reader { tree, ways: self.ways, listed: self.listed.clone(), pace: self.pace.clone() })
    }

    /// A name may be a symlink that stands for its target.
    fn follows(&self, path: SourcePath<'_>, wanted: bool) -> bool {
        wanted
            && (self.ways.follow_dirs
                || self.ways.links(path.name) == Links::Any
                || path.name.ends_with(b"/"))
    }

    fn at<'n>(&self, path: SourcePath<'n>) -> io::Result<At<'n>> {
        self.reader(path.base)?.at(path.name)
    }

    /// Where a file is that is to be removed: symlinks on the way count only while they stay below the base.
    fn removed_at<'n>(&self, path: SourcePath<'n>) -> io::Result<At<'n>> {
        let reader = self.reader(path.base)?;
        let slash = memchr::memrchr(b'/', path.name).filter(|_| self.ways.through_links);
        let Some(slash) = slash else { return reader.at(path.name) };
        let dir =
            reader.tree.open_with(&path.name[..slash], OFlags::PATH | OFlags::DIRECTORY, Links::Inside)?;
        reader.listed.admits(&dir)?;
        Ok(At { dir: Arc::new(dir), name: &path.name[slash + 1..] })
    }

    fn open_file(&self, path: SourcePath<'_>, follow: bool) -> io::Result<OwnedFd> {
        self.reader(path.base)?.open_file(path.name, follow)
    }

    fn open_for_sending(&self, path: SourcePath<'_>) -> io::Result<(OwnedFd, Stat)> {
        let file = self.open_file(path, self.ways.follow_files)?;
        let mut stat = to_stat(&fstat(&file)?);
        match FileType::from_raw_mode(stat.mode) {
            FileType::BlockDevice | FileType::CharacterDevice if self.copy_devices => {
                stat.size = seek(&file, SeekFrom::End(0)).unwrap_or(0);
            }
            FileType::RegularFile if stat.size >= ADVISE_FROM => {
                let _ = fadvise(&file, 0, None, Advice::Sequential);
            }
            _ => {}
        }
        Ok((file, stat))
    }

    /// `--copy-devices`: a device counts as a regular file of the length that it has.
    fn device_as_file(&self, dir: &OwnedFd, name: &[u8], stat: &mut Stat) {
        if !self.copy_devices || !stat.kind().is_device() {
            return;
        }
        stat.mode = (stat.mode & mode::PERMS) | mode::REGULAR;
        // When its contents changed last cannot be known.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
        (stat.mtime, stat.nsec) = (now, 0);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = openat(dir, name, flags, Mode::empty());
        stat.size = opened.and_then(|file| seek(&file, SeekFrom::End(0))).unwrap_or(0);
    }

    fn list(&self, path: SourcePath<'_>) -> io::Result<(Vec<Child>, Option<Errno>)> {
        let reader = self.reader(path.base)?;
        let listing = if self.ahead.is_useful()
            && let Some(read) = self.ahead.take(&(path.base, path.name.into()))
        {
            read?
        } else {
            reader.list(path.name, self.fake)?
        };
        let Listing { dir, mut children, error } = listing;
        self.typical.set((3 * self.typical.get() + children.len() as u64) / 4);
        if self.readable_only {
            children.retain(|child| {
                !child.stat.as_ref().is_ok_and(|stat| is_unreadable(&dir, &child.name, stat))
            });
        }
        if self.copy_devices {
            for child in &mut children {
                if let Ok(stat) = &mut child.stat {
                    self.device_as_file(&dir, &child.name, stat);
                }
            }
        }
        reader.tree.remember(path.name, dir);
        Ok((children, error))
    }
}

impl Source for FileSource {
    type File = SourceFile;

    async fn enter(&self, dir: &[u8]) -> Result<u32, PortError> {
        let path = if dir.is_empty() { &b"."[..] } else { dir };
        let mut bases = self.bases.borrow_mut();
        let number = match bases.iter().position(|b| b.path == path) {
            Some(known) => known,
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let root = openat(CWD, path, flags, Mode::empty()).map_err(port)?;
                accessat(&root, ".", Access::EXEC_OK, AtFlags::EACCESS).map_err(port)?;
                if self.confine_all {
                    self.confinement.admits(&root).map_err(port)?;
                }
                bases.push(Base {
                    path: path.to_vec(),
                    tree: Arc::new(Tree::new(root, Links::Never).within(self.listed.clone())),
                });
                self.paths.borrow_mut().push(absolute(path));
                bases.len() - 1
            }
        };
        u32::try_from(number).map_err(|_| PortError(Errno::MFILE.raw_os_error()))
    }

    fn base_path(&self, base: u32) -> Vec<u8> {
        self.paths.borrow().get(base as usize).cloned().unwrap_or_default()
    }

    async fn stat(&self, path: SourcePath<'_>, follow: bool) -> Result<Stat, PortError> {
        let at = self.at(path).map_err(port)?;
        let flags = if follow {
            self.listed.admits_target(&at.dir, at.name).map_err(port)?;
            AtFlags::empty()
        } else {
            AtFlags::SYMLINK_NOFOLLOW
        };
        let mut stat = to_stat(&statat(&at.dir, at.name, flags).map_err(port)?);
        if self.fake {
            fake::overlay(Handle::Name(&at.dir, at.name), follow, &mut stat).map_err(port)?;
        }
        if self.readable_only && is_unreadable(&at.dir, at.name, &stat) {
            return Err(PortError::NOT_FOUND);
        }
        self.device_as_file(&at.dir, at.name, &mut stat);
        Ok(stat)
    }

    async fn read_link(&self, path: SourcePath<'_>) -> Result<Vec<u8>, PortError> {
        let at = self.at(path).map_err(port)?;
        match readlinkat(&at.dir, at.name, Vec::new()) {
            Err(Errno::INVAL) if self.fake => fake::read_link(&at.dir, at.name).map_err(port),
            link => Ok(link.map_err(port)?.into_bytes()),
        }
    }

    async fn read_dir(&self, path: SourcePath<'_>) -> Result<(Vec<Child>, Option<PortError>), PortError> {
        let (found, error) = self.list(path).map_err(port)?;
        Ok((found, error.map(port)))
    }

    fn will_read(&self, base: u32, dirs: &mut dyn Iterator<Item = &[u8]>) {
        let Ok(reader) = self.reader(base) else { return };
        if !self.ahead.is_useful() {
            return;
        }
        let fake = self.fake;
        let cost = cost_of_names(self.typical.get() + OPENING);
        self.ahead.announce(
            Turn::Next,
            dirs.map(|name| {
                let (reader, name) = (reader.clone(), Box::<[u8]>::from(name));
                let key = (base, name.clone());
                let read = Read::costing(cost, Box::new(move || Some(reader.list(&name, fake))) as _);
                (key, read)
            }),
        );
    }

    async fn read_small(&self, path: SourcePath<'_>, limit: usize) -> Result<Vec<u8>, PortError> {
        let at = self.at(path).map_err(port)?;
        // A filter file may be a pipe that the user's shell fills.
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = self.confinement.open_file(&at.dir, at.name, flags).map_err(port)?;
        read_limited(&file, limit).map_err(port)
    }

    async fn open(&self, path: SourcePath<'_>) -> Result<(SourceFile, Stat), PortError> {
        let (file, stat) = self.open_for_sending(path).map_err(port)?;
        Ok((SourceFile(file), stat))
    }

    async fn read_at(&self, file: &SourceFile, offset: u64, buf: &mut [u8]) -> Result<usize, PortError> {
        let n = read_full(&file.0, offset, buf).map_err(port)?;
        if let Some(pace) = &self.pace {
            pace.copied(n as u64);
        }
        Ok(n)
    }

    fn sift(&self, sifting: &Sifting<'_>) -> Vec<Candidate> {
        sifting::sift(sifting)
    }

    fn will_digest(&self, base: u32, files: &mut dyn Iterator<Item = (&[u8], u64)>, kind: ChecksumKind) {
        let Ok(reader) = self.reader(base) else { return };
        if !self.digests.is_useful() {
            return;
        }
        self.digests.forget();
        let read = |(name, size): (&[u8], u64)| {
            let (reader, name) = (reader.clone(), Box::<[u8]>::from(name));
            let key = (base, name.clone());
            let job = digest::job(kind, size, move || {
                let file = reader.open(&name).ok()?;
                // Devices are sized in another way.
                let stat = to_stat(&fstat(&file).ok()?);
                stat.is_regular().then_some((file, stat.size))
            });
            (key, job)
        };
        self.digests.announce(Turn::Next, &mut files.map(read));
    }

    async fn digest(&self, path: SourcePath<'_>, kind: ChecksumKind) -> Result<Digest, PortError> {
        if let Some(sum) = self.digests.take(&(path.base, path.name.into())) {
            return Ok(sum);
        }
        let (file, stat) = self.open_for_sending(path).map_err(port)?;
        digest_file(&file, stat.size, kind).map_err(port)
    }

    async fn may_remove(&self, path: SourcePath<'_>) -> Result<(), PortError> {
        self.removed_at(path).map(drop).map_err(port)
    }

    async fn remove(&self, path: SourcePath<'_>) -> Result<(), PortError> {
        let at = self.removed_at(path).map_err(port)?;
        unlinkat(&at.dir, at.name, AtFlags::empty()).map_err(port)
    }

    async fn acl(&self, path: SourcePath<'_>, follow: bool, kind: Kind) -> Result<Option<Acl>, PortError> {
        let at = self.at(path).map_err(port)?;
        acl::read(Handle::Name(&at.dir, at.name), self.follows(path, follow), kind, self.fake).map_err(port)
    }

    async fn xattr_names(&self, path: SourcePath<'_>) -> Result<Vec<Vec<u8>>, PortError> {
        let at = self.at(path).map_err(port)?;
        xattr::names(Handle::Name(&at.dir, at.name)).map_err(port)
    }

    async fn xattr(&self, path: SourcePath<'_>, name: &[u8]) -> Result<Vec<u8>, PortError> {
        let at = self.at(path).map_err(port)?;
        xattr::get(Handle::Name(&at.dir, at.name), false, name).map_err(port)
    }

    fn user_name(&self, uid: u32) -> Option<Vec<u8>> {
        self.names.user(uid)
    }

    fn group_name(&self, gid: u32) -> Option<Vec<u8>> {
        self.names.group(gid)
    }
}

/// A file or directory that this process may not read.
fn is_unreadable(dir: &OwnedFd, name: &[u8], stat: &Stat) -> bool {
    (stat.is_regular() || stat.is_dir()) && accessat(dir, name, Access::READ_OK, AtFlags::EACCESS).is_err()
}

/// The contents of a file, at most `limit` bytes.
pub fn read_limited(file: &OwnedFd, limit: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    while data.len() < limit {
        let done = data.len();
        data.resize(limit.min(done + (64 << 10)), 0);
        // A pipe or a terminal has no offsets; the user may have named one.
        let n = match read_full(file, done as u64, &mut data[done..]) {
            Err(Errno::SPIPE) => io::read(file, &mut data[done..])?,
            other => other?,
        };
        data.truncate(done + n);
        if n == 0 {
            break;
        }
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{ffi::OsStrExt, fs::symlink},
        path::Path,
    };

    use super::*;
    use crate::engine::testing::block_on;

    fn source(options: &SessionOptions, dir: &Path) -> FileSource {
        let source = FileSource::new(options);
        assert_eq!(block_on(source.enter(dir.as_os_str().as_bytes())), Ok(0));
        source
    }

    fn path(name: &str) -> SourcePath<'_> {
        SourcePath { base: 0, name: name.as_bytes() }
    }

    #[test]
    fn directories_are_listed_with_attributes_and_without_dots() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir(tmp.path().join("d")).unwrap();
        fs::write(tmp.path().join("d/f"), "12345").unwrap();
        symlink("f", tmp.path().join("d/l")).unwrap();
        let source = source(&SessionOptions::default(), tmp.path());
        let (mut found, error) = block_on(source.read_dir(path("d"))).unwrap();
        assert_eq!(error, None);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(found.len(), 2);
        assert_eq!((&*found[0].name, found[0].stat.unwrap().size), (&b"f"[..], 5));
        assert_eq!(found[1].stat.unwrap().mode & 0o170_000, 0o120_000);
        assert_eq!(block_on(source.read_link(path("d/l"))).unwrap(), b"f");
        assert_eq!(block_on(source.read_dir(path("d/f"))).unwrap_err(), PortError::NOT_DIR);
    }

    #[test]
    fn a_directory_of_many_names_is_complete() {
        let tmp = tempfile::tempdir().unwrap();
        for n in 0..3000 {
            fs::write(tmp.path().join(format!("{n:0200}")), "").unwrap();
        }
        let source = source(&SessionOptions::default(), tmp.path());
        assert_eq!(block_on(source.read_dir(path("."))).unwrap().0.len(), 3000);
    }

    #[test]
    fn reading_fills_the_buffer_up_to_the_end() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("f"), "0123456789").unwrap();
        let source = source(&SessionOptions::default(), tmp.path());
        let (file, stat) = block_on(source.open(path("f"))).unwrap();
        assert_eq!(stat.size, 10);
        let mut buf = [0; 8];
        assert_eq!(block_on(source.read_at(&file, 1, &mut buf)), Ok(8));
        assert_eq!(&buf, b"12345678");
        assert_eq!(block_on(source.read_at(&file, 8, &mut buf)), Ok(2));
        assert_eq!(block_on(source.read_at(&file, 10, &mut buf)), Ok(0));
        assert_eq!(block_on(source.read_small(path("f"), 4)).unwrap(), b"0123");
        // md5sum of 0123456789
        let md5 =
            [0x78, 0x1e, 0x5e, 0x24, 0x5d, 0x69, 0xb5, 0x66, 0x97, 0x9b, 0x86, 0xe2, 0x8d, 0x23, 0xf2, 0xc7];
        assert_eq!(block_on(source.digest(path("f"), ChecksumKind::Md5)).unwrap().as_bytes(), md5);
        block_on(source.remove(path("f"))).unwrap();
        assert_eq!(block_on(source.stat(path("f"), false)).unwrap_err(), PortError::NOT_FOUND);
    }

    #[test]
    fn symlinks_are_followed_only_where_options_say_so() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir(tmp.path().join("d")).unwrap();
        fs::write(tmp.path().join("d/f"), "x").unwrap();
        symlink("d", tmp.path().join("dl")).unwrap();
        symlink("d/f", tmp.path().join("fl")).unwrap();
        let plain = source(&SessionOptions::default(), tmp.path());
        assert_eq!(block_on(plain.open(path("fl"))).unwrap_err(), PortError(40));
        assert_eq!(block_on(plain.open(path("dl/f"))).unwrap_err(), PortError(40));
        assert!(block_on(plain.read_dir(path("dl"))).is_err());
        assert!(block_on(plain.stat(path("fl"), true)).unwrap().is_regular());
        let mut options = SessionOptions::default();
        options.select.copy_links = true;
        let copying = source(&options, tmp.path());
        assert!(block_on(copying.open(path("fl"))).is_ok());
        assert!(block_on(copying.open(path("dl/f"))).is_ok());
        assert_eq!(block_on(copying.read_dir(path("dl"))).unwrap().0.len(), 1);
    }

    /// What a chain of links that leads nowhere else would list for ever ends where the system ends it.
    #[test]
    fn links_in_a_circle_are_followed_forty_times() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir(tmp.path().join("d")).unwrap();
        symlink(".", tmp.path().join("d/l")).unwrap();
        let mut options = SessionOptions::default();
        options.select.copy_links = true;
        let source = source(&options, tmp.path());
        let mut name = String::from("d");
        for round in 0..=40 {
            assert_eq!(block_on(source.read_dir(path(&name))).unwrap().0.len(), 1, "{round}");
            name += "/l";
        }
        assert_eq!(block_on(source.read_dir(path(&name))).unwrap_err(), PortError(40));
    }

    #[test]
    fn bases_are_shared_and_typed_paths_may_climb() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir(tmp.path().join("d")).unwrap();
        fs::write(tmp.path().join("f"), "x").unwrap();
        let source = source(&SessionOptions::default(), &tmp.path().join("d"));
        assert_eq!(block_on(source.enter(b"/")), Ok(1));
        assert_eq!(block_on(source.enter(tmp.path().join("d").as_os_str().as_bytes())), Ok(0));
        assert!(block_on(source.open(path("../f"))).is_ok());
        assert!(block_on(source.stat(path(".."), false)).unwrap().is_dir());
        assert!(block_on(source.stat(path(""), false)).unwrap().is_dir());
        assert!(block_on(source.stat(path("../d/"), false)).unwrap().is_dir());
        assert!(block_on(source.stat(SourcePath { base: 1, name: b"/" }, false)).unwrap().is_dir());
        assert_eq!(block_on(source.enter(b"/no such directory")).unwrap_err(), PortError::NOT_FOUND);
    }
}
