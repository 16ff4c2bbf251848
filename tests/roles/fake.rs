//! A file system in memory that can fail: source and target of the sessions under test.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use arsync_core::{
    checksum::{ChecksumKind, Digest, Hasher},
    copying::CopyStep,
    flist::entry::FileKind,
    names::RelName,
    ports::{
        AttrStep, Attrs, BackupBy, Child, CommitStep, Create, Destination, Place, PortError, Rights, Source,
        SourcePath, Stat, Target, WriteMode,
    },
};

const EEXIST: PortError = PortError(17);
const EISDIR: PortError = PortError(21);
pub const ENOSPC: PortError = PortError(28);
pub const EACCES: PortError = PortError(13);

/// A call that may be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Stat,
    Open,
    Read,
    ReadBasis,
    Create,
    Write,
    Commit,
    MakeDir,
    Remove,
    Xattr,
}

/// What lies behind a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub nsec: u32,
    pub atime: i64,
    pub rdev: (u32, u32),
    pub data: Vec<u8>,
    pub target: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    /// Inode numbers by path; the root is the empty path.
    names: BTreeMap<Vec<u8>, u64>,
    nodes: HashMap<u64, Node>,
    next: u64,
    bases: Vec<Vec<u8>>,
    calls: HashMap<Call, u32>,
    faults: Vec<(Call, u32, PortError)>,
    /// Files that get another byte when a new version of them is begun.
    decaying: Vec<Vec<u8>>,
    clock: i64,
    /// Value of `user.a` of each file of a source.
    note: Option<Vec<u8>>,
}

/// A file system. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Fs(Rc<RefCell<State>>);

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(b"", |i| &path[..i])
}

/// Joins paths; `.` and `..` are resolved by text.
fn join(base: &[u8], name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in base.split(|&b| b == b'/').chain(name.split(|&b| b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

impl Fs {
    /// An empty file system with a root directory.
    pub fn new() -> Self {
        let fs = Self::default();
        fs.0.borrow_mut().clock = 2_000_000_000;
        fs.put("", Node { mode: 0o040_755, mtime: 900_000_000, ..Node::default() });
        fs
    }

    /// A copy that does not share anything; faults are left behind.
    pub fn copied(&self) -> Self {
        let s = self.0.borrow();
        let state = State {
            names: s.names.clone(),
            nodes: s.nodes.clone(),
            next: s.next,
            clock: s.clock,
            ..State::default()
        };
        Self(Rc::new(RefCell::new(state)))
    }

    /// The `nth` call (from 1) of a kind fails.
    pub fn fail(&self, call: Call, nth: u32, error: PortError) {
        self.0.borrow_mut().faults.push((call, nth, error));
    }

    /// How often this was called.
    pub fn count(&self, call: Call) -> u32 {
        self.0.borrow().calls.get(&call).copied().unwrap_or_default()
    }

    /// Gives each file of this source the extended attribute `user.a`.
    pub fn note(&self, value: Vec<u8>) {
        self.0.borrow_mut().note = Some(value);
    }

    /// When a file is begun to be received its old version changes.
    pub fn decay(&self, path: &str) {
        self.0.borrow_mut().decaying.push(path.as_bytes().to_vec());
    }

    pub fn put(&self, path: impl AsRef<[u8]>, node: Node) -> u64 {
        let mut s = self.0.borrow_mut();
        s.next += 1;
        let ino = s.next;
        s.nodes.insert(ino, node);
        s.names.insert(path.as_ref().to_vec(), ino);
        ino
    }

    pub fn link(&self, path: &str, existing: &str) {
        let mut s = self.0.borrow_mut();
        let ino = s.names[existing.as_bytes()];
        s.names.insert(path.as_bytes().to_vec(), ino);
    }

    pub fn get(&self, path: &str) -> Option<Node> {
        let s = self.0.borrow();
        s.names.get(path.as_bytes()).map(|ino| s.nodes[ino].clone())
    }

    pub fn change(&self, path: &str, f: impl FnOnce(&mut Node)) {
        let mut s = self.0.borrow_mut();
        let ino = s.names[path.as_bytes()];
        f(s.nodes.get_mut(&ino).expect("node"));
    }

    pub fn remove(&self, path: &str) {
        self.0.borrow_mut().names.remove(path.as_bytes());
    }

    /// All paths with their nodes, and for each the first path with the same inode.
    pub fn all(&self) -> BTreeMap<Vec<u8>, (Node, Vec<u8>)> {
        let s = self.0.borrow();
        let mut first: HashMap<u64, Vec<u8>> = HashMap::new();
        let entries = s.names.iter().map(|(path, ino)| {
            let leader = first.entry(*ino).or_insert_with(|| path.clone()).clone();
            (path.clone(), (s.nodes[ino].clone(), leader))
        });
        entries.collect()
    }

    fn call(&self, call: Call) -> Result<(), PortError> {
        let mut s = self.0.borrow_mut();
        let count = s.calls.entry(call).or_default();
        *count += 1;
        let count = *count;
        s.faults.iter().find(|(c, nth, _)| *c == call && *nth == count).map_or(Ok(()), |f| Err(f.2))
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, PortError> {
        self.call(Call::Stat)?;
        self.stat_quietly(path)
    }

    fn stat_quietly(&self, path: &[u8]) -> Result<Stat, PortError> {
        let s = self.0.borrow();
        let ino = *s.names.get(path).ok_or(PortError::NOT_FOUND)?;
        let n = &s.nodes[&ino];
        let nlink = s.names.values().filter(|i| **i == ino).count() as u32;
        let size = if n.mode & 0o170_000 == 0o120_000 { n.target.len() } else { n.data.len() };
        Ok(Stat {
            mode: n.mode,
            size: size as u64,
            mtime: n.mtime,
            nsec: n.nsec,
            atime: n.atime,
            atime_nsec: 0,
            uid: n.uid,
            gid: n.gid,
            rdev: n.rdev,
            dev: 7,
            ino,
            nlink,
        })
    }

    fn followed(&self, path: &[u8]) -> Result<Stat, PortError> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let stat = self.lstat(&path)?;
            if stat.kind() != FileKind::Symlink {
                return Ok(stat);
            }
            path = join(parent(&path), &self.target_of(&path)?);
        }
        Err(PortError(40))
    }

    fn target_of(&self, path: &[u8]) -> Result<Vec<u8>, PortError> {
        let s = self.0.borrow();
        let ino = s.names.get(path).ok_or(PortError::NOT_FOUND)?;
        Ok(s.nodes[ino].target.clone())
    }

    fn children(&self, dir: &[u8]) -> Result<Vec<Child>, PortError> {
        if !self.stat_quietly(dir)?.is_dir() {
            return Err(PortError::NOT_DIR);
        }
        let names: Vec<Vec<u8>> = {
            let s = self.0.borrow();
            s.names.keys().filter(|p| !p.is_empty() && parent(p) == dir).cloned().collect()
        };
        // No order of a real directory is that of the names.
        let names = names.into_iter().rev();
        Ok(names
            .map(|path| Child {
                name: path[if dir.is_empty() { 0 } else { dir.len() + 1 }..].to_vec().into(),
                stat: self.stat_quietly(&path),
            })
            .collect())
    }

    fn data(&self, path: &[u8]) -> Result<Vec<u8>, PortError> {
        let s = self.0.borrow();
        let ino = s.names.get(path).ok_or(PortError::NOT_FOUND)?;
        Ok(s.nodes[ino].data.clone())
    }

    fn ino(&self, path: &[u8]) -> Result<u64, PortError> {
        self.0.borrow().names.get(path).copied().ok_or(PortError::NOT_FOUND)
    }

    fn read(&self, ino: u64, offset: u64, buf: &mut [u8]) -> usize {
        let s = self.0.borrow();
        let data = &s.nodes[&ino].data;
        let from = data.len().min(offset as usize);
        let n = buf.len().min(data.len() - from);
        buf[..n].copy_from_slice(&data[from..from + n]);
        n
    }

    /// Gives an inode a name. The directory must be there; directories are not replaced.
    fn place(&self, path: &[u8], ino: u64, replace: bool) -> Result<(), PortError> {
        if !self.stat_quietly(parent(path))?.is_dir() {
            return Err(PortError::NOT_DIR);
        }
        match self.stat_quietly(path) {
            Ok(stat) if stat.is_dir() => return Err(EISDIR),
            Ok(_) if !replace => return Err(EEXIST),
            _ => {}
        }
        self.0.borrow_mut().names.insert(path.to_vec(), ino);
        Ok(())
    }

    fn make(&self, mode: u32) -> u64 {
        let mut s = self.0.borrow_mut();
        s.next += 1;
        s.clock += 1;
        let (ino, mtime) = (s.next, s.clock);
        s.nodes.insert(ino, Node { mode, mtime, ..Node::default() });
        ino
    }

    fn with_node<T>(&self, ino: u64, f: impl FnOnce(&mut Node) -> T) -> T {
        f(self.0.borrow_mut().nodes.get_mut(&ino).expect("node"))
    }

    fn digest_of(&self, path: &[u8], kind: ChecksumKind) -> Result<Digest, PortError> {
        let mut hasher = Hasher::new(kind);
        hasher.update(&self.data(path)?);
        Ok(hasher.finish())
    }
}

impl Source for Fs {
    type File = u64;

    async fn enter(&self, dir: &[u8]) -> Result<u32, PortError> {
        let dir = join(b"", dir);
        if !self.followed(&dir)?.is_dir() {
            return Err(PortError::NOT_DIR);
        }
        let mut s = self.0.borrow_mut();
        let known = s.bases.iter().position(|b| *b == dir);
        Ok(known.unwrap_or_else(|| {
            s.bases.push(dir);
            s.bases.len() - 1
        }) as u32)
    }

    async fn stat(&self, path: SourcePath<'_>, follow: bool) -> Result<Stat, PortError> {
        let path = self.path(path);
        if follow { self.followed(&path) } else { self.lstat(&path) }
    }

    async fn read_link(&self, path: SourcePath<'_>) -> Result<Vec<u8>, PortError> {
        self.target_of(&self.path(path))
    }

    async fn read_dir(&self, path: SourcePath<'_>) -> Result<(Vec<Child>, Option<PortError>), PortError> {
        Ok((self.children(&self.path(path))?, None))
    }

    async fn read_small(&self, path: SourcePath<'_>, limit: usize) -> Result<Vec<u8>, PortError> {
        self.data(&self.path(path)).map(|mut d| {
            d.truncate(limit);
            d
        })
    }

    async fn open(&self, path: SourcePath<'_>) -> Result<(u64, Stat), PortError> {
        self.call(Call::Open)?;
        let path = self.path(path);
        Ok((self.ino(&path)?, self.stat_quietly(&path)?))
    }

    async fn read_at(&self, file: &u64, offset: u64, buf: &mut [u8]) -> Result<usize, PortError> {
        self.call(Call::Read)?;
        Ok(self.read(*file, offset, buf))
    }

    async fn digest(&self, path: SourcePath<'_>, kind: ChecksumKind) -> Result<Digest, PortError> {
        self.digest_of(&self.path(path), kind)
    }

    async fn remove(&self, path: SourcePath<'_>) -> Result<(), PortError> {
        self.call(Call::Remove)?;
        let path = self.path(path);
        self.0.borrow_mut().names.remove(&path).map(drop).ok_or(PortError::NOT_FOUND)
    }

    async fn xattr_names(&self, _path: SourcePath<'_>) -> Result<Vec<Vec<u8>>, PortError> {
        Ok(self.0.borrow().note.iter().map(|_| b"user.a".to_vec()).collect())
    }

    async fn xattr(&self, _path: SourcePath<'_>, _name: &[u8]) -> Result<Vec<u8>, PortError> {
        self.call(Call::Xattr)?;
        self.0.borrow().note.clone().ok_or(PortError::NO_DATA)
    }

    fn user_name(&self, uid: u32) -> Option<Vec<u8>> {
        (uid < 1000).then(|| format!("user{uid}").into_bytes())
    }

    fn group_name(&self, gid: u32) -> Option<Vec<u8>> {
        (gid < 1000).then(|| format!("group{gid}").into_bytes())
    }
}

impl Fs {
    fn path(&self, path: SourcePath<'_>) -> Vec<u8> {
        let base = self.0.borrow().bases[path.base as usize].clone();
        join(&base, path.name)
    }
}

/// A file that is complete; `None` once it is in its place.
type Late = Option<(Output, Attrs)>;

/// A destination directory in a file system.
#[derive(Debug, Clone)]
pub struct Dest {
    pub fs: Fs,
    /// The directory; nothing outside of it may change.
    pub root: Vec<u8>,
    pub alts: Vec<Vec<u8>>,
    /// `--partial-dir`, relative.
    pub partial: Option<Vec<u8>>,
    /// Files that are complete and get into their places late: every other one that may.
    pub late: Rc<RefCell<Vec<Late>>>,
}

/// A file being received.
#[derive(Debug)]
pub struct Output {
    ino: u64,
    position: u64,
    name: Vec<u8>,
    mode: WriteMode,
}

impl Dest {
    pub fn new(fs: &Fs, root: &[u8]) -> Self {
        let late = Rc::default();
        Self { fs: fs.clone(), root: root.to_vec(), alts: Vec::new(), partial: None, late }
    }

    fn at(&self, place: Place<'_>) -> Vec<u8> {
        match place {
            Place::Dest(name) | Place::WorkingDir(name) => join(&self.root, name.bytes()),
            Place::Alt(n, name) => join(&join(&self.root, &self.alts[usize::from(n)]), name.bytes()),
            Place::Partial(name) => {
                let dir = join(
                    &join(&self.root, name.parent().bytes()),
                    self.partial.as_deref().unwrap_or(b".~p~"),
                );
                join(&dir, name.base())
            }
            Place::Backup(name) => {
                let mut path = join(&self.root, name.bytes());
                path.push(b'~');
                path
            }
        }
    }

    fn apply(&self, ino: u64, attrs: &Attrs) -> bool {
        self.fs.with_node(ino, |n| {
            let before = n.clone();
            if let Some(mode) = attrs.mode {
                n.mode = (n.mode & 0o170_000) | (mode & 0o7777);
            }
            n.uid = attrs.uid.unwrap_or(n.uid);
            n.gid = attrs.gid.unwrap_or(n.gid);
            (n.mtime, n.nsec) = attrs.mtime.unwrap_or((n.mtime, n.nsec));
            n.atime = attrs.atime.unwrap_or(n.atime);
            *n != before
        })
    }

    fn new_node(
        &self,
        name: RelName<'_>,
        mode: u32,
        replace: bool,
        f: impl FnOnce(&mut Node),
    ) -> Result<(), PortError> {
        let ino = self.fs.make(mode);
        self.fs.with_node(ino, f);
        self.fs.place(&self.at(Place::Dest(name)), ino, replace)
    }
}

impl Target for Dest {
    type Basis = u64;
    type Output = Output;

    async fn stat(&self, at: Place<'_>, follow: bool) -> Result<Option<Stat>, PortError> {
        let path = self.at(at);
        let stat = if follow { self.fs.followed(&path) } else { self.fs.lstat(&path) };
        match stat {
            Ok(stat) => Ok(Some(stat)),
            Err(PortError::NOT_FOUND) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn stat_many(
        &self,
        names: &mut dyn Iterator<Item = RelName<'_>>,
        out: &mut Vec<Result<Option<Stat>, PortError>>,
    ) {
        for name in names {
            out.push(Target::stat(self, Place::Dest(name), false).await);
        }
    }

    async fn read_link(&self, at: Place<'_>) -> Result<Vec<u8>, PortError> {
        self.fs.target_of(&self.at(at))
    }

    async fn list(&self, dir: RelName<'_>) -> Result<Vec<Child>, PortError> {
        self.fs.children(&self.at(Place::Dest(dir)))
    }

    async fn list_at(&self, at: Place<'_>) -> Result<Vec<Child>, PortError> {
        self.fs.children(&self.at(at))
    }

    async fn read_small(&self, path: &[u8], limit: usize) -> Result<Vec<u8>, PortError> {
        self.fs.data(&join(&self.root, path)).map(|mut d| {
            d.truncate(limit);
            d
        })
    }

    async fn digest(&self, at: Place<'_>, kind: ChecksumKind) -> Result<Digest, PortError> {
        self.fs.digest_of(&self.at(at), kind)
    }

    async fn make_dir(&self, name: RelName<'_>, mode: u32) -> Result<(), PortError> {
        self.fs.call(Call::MakeDir)?;
        if self.fs.stat_quietly(&self.at(Place::Dest(name))).is_ok() {
            return Err(EEXIST);
        }
        self.new_node(name, 0o040_000 | mode, false, |_| ())
    }

    async fn make_symlink(&self, name: RelName<'_>, target: &[u8], replace: bool) -> Result<(), PortError> {
        self.new_node(name, 0o120_777, replace, |n| n.target = target.to_vec())
    }

    async fn make_node(
        &self,
        name: RelName<'_>,
        mode: u32,
        rdev: (u32, u32),
        replace: bool,
    ) -> Result<(), PortError> {
        self.new_node(name, mode, replace, |n| n.rdev = rdev)
    }

    async fn hard_link(
        &self,
        existing: Place<'_>,
        name: RelName<'_>,
        replace: bool,
    ) -> Result<(), PortError> {
        let ino = self.fs.ino(&self.at(existing))?;
        self.fs.place(&self.at(Place::Dest(name)), ino, replace)
    }

    async fn copy_local(
        &self,
        from: Place<'_>,
        create: &Create<'_>,
    ) -> Result<Output, (CopyStep, PortError)> {
        let data = self.fs.data(&self.at(from)).map_err(|e| (CopyStep::Open, e))?;
        let mut out = self.create(create).await.map_err(|e| (CopyStep::Create, e))?;
        self.write(&mut out, &data).await.map_err(|e| (CopyStep::Write, e))?;
        Ok(out)
    }

    async fn remove_file(&self, at: Place<'_>) -> Result<(), PortError> {
        self.fs.call(Call::Remove)?;
        let path = self.at(at);
        if self.fs.stat_quietly(&path)?.is_dir() {
            return Err(EISDIR);
        }
        self.fs.0.borrow_mut().names.remove(&path);
        Ok(())
    }

    async fn remove_dir(&self, at: Place<'_>) -> Result<(), PortError> {
        self.fs.call(Call::Remove)?;
        let path = self.at(at);
        if !self.fs.children(&path)?.is_empty() {
            return Err(PortError::NOT_EMPTY);
        }
        self.fs.0.borrow_mut().names.remove(&path);
        Ok(())
    }

    async fn back_up(&self, name: RelName<'_>, by: BackupBy) -> Result<(), PortError> {
        let (from, to) = (self.at(Place::Dest(name)), self.at(Place::Backup(name)));
        let mut ino = self.fs.ino(&from)?;
        if by != BackupBy::Rename {
            let copy = self.fs.with_node(ino, |n| n.clone());
            ino = self.fs.make(copy.mode);
            self.fs.with_node(ino, |n| *n = copy);
        }
        self.fs.place(&to, ino, true)?;
        if by == BackupBy::Rename {
            self.fs.0.borrow_mut().names.remove(&from);
        }
        Ok(())
    }

    async fn promote_partial(&self, name: RelName<'_>) -> Result<(), PortError> {
        let from = self.at(Place::Partial(name));
        let ino = self.fs.ino(&from)?;
        self.fs.place(&self.at(Place::Dest(name)), ino, true)?;
        self.fs.0.borrow_mut().names.remove(&from);
        Ok(())
    }

    async fn tidy_partial_dir(&self, name: RelName<'_>) {
        let dir = parent(&self.at(Place::Partial(name))).to_vec();
        if self.fs.children(&dir).is_ok_and(|c| c.is_empty()) {
            self.fs.0.borrow_mut().names.remove(&dir);
        }
    }

    async fn set_attrs(&self, at: Place<'_>, _: &Stat, attrs: &Attrs) -> Result<bool, (AttrStep, PortError)> {
        let ino = self.fs.ino(&self.at(at)).map_err(|e| (AttrStep::Times, e))?;
        Ok(self.apply(ino, attrs))
    }

    async fn open_basis(&self, at: Place<'_>) -> Result<(u64, u64), PortError> {
        let ino = self.fs.ino(&self.at(at))?;
        Ok((ino, self.fs.with_node(ino, |n| n.data.len() as u64)))
    }

    async fn read_basis(&self, basis: &u64, offset: u64, buf: &mut [u8]) -> Result<usize, PortError> {
        self.fs.call(Call::ReadBasis)?;
        Ok(self.fs.read(*basis, offset, buf))
    }

    async fn create(&self, create: &Create<'_>) -> Result<Output, PortError> {
        self.fs.call(Call::Create)?;
        let place = match create.mode {
            WriteMode::PartialInPlace => Place::Partial(create.name),
            _ => Place::Dest(create.name),
        };
        let name = self.at(place);
        let decays = {
            let mut s = self.fs.0.borrow_mut();
            let found = s.decaying.iter().position(|d| *d == name);
            found.map(|i| s.decaying.remove(i)).is_some()
        };
        if let Ok(old) = self.fs.ino(&name).and_then(|old| if decays { Ok(old) } else { Err(EACCES) }) {
            self.fs.with_node(old, |n| n.data.iter_mut().for_each(|b| *b ^= 0x55));
        }
        if !self.fs.stat_quietly(parent(&name))?.is_dir() {
            return Err(PortError::NOT_DIR);
        }
        let standing = if create.mode == WriteMode::Temporary { None } else { self.fs.ino(&name).ok() };
        let ino = match standing {
            Some(ino) => ino,
            None => {
                let ino = self.fs.make(0o100_000 | (create.file_mode & 0o777));
                if create.mode != WriteMode::Temporary {
                    self.fs.place(&name, ino, false)?;
                }
                ino
            }
        };
        Ok(Output {
            ino,
            position: create.append_from,
            name: create.name.bytes().to_vec(),
            mode: create.mode,
        })
    }

    async fn write(&self, out: &mut Output, data: &[u8]) -> Result<(), PortError> {
        self.fs.call(Call::Write)?;
        let at = out.position as usize;
        self.fs.with_node(out.ino, |n| {
            if n.data.len() < at + data.len() {
                n.data.resize(at + data.len(), 0);
            }
            n.data[at..at + data.len()].copy_from_slice(data);
        });
        out.position += data.len() as u64;
        Ok(())
    }

    async fn keep(&self, out: &mut Output, len: u64) -> Result<(), PortError> {
        out.position += len;
        Ok(())
    }

    async fn commit(
        &self,
        out: Output,
        attrs: &Attrs,
        to: Destination,
    ) -> Result<(), (CommitStep, PortError)> {
        self.fs.call(Call::Commit).map_err(|e| (CommitStep::Rename, e))?;
        self.fs.with_node(out.ino, |n| n.data.truncate(out.position as usize));
        let name = RelName::new(&out.name).expect("a clean name");
        let rename = |e| (CommitStep::Rename, e);
        let path = self.at(if to == Destination::Partial { Place::Partial(name) } else { Place::Dest(name) });
        match to {
            Destination::Partial => {
                let dir = parent(&path).to_vec();
                if self.fs.stat_quietly(&dir).is_err() {
                    let ino = self.fs.make(0o040_700);
                    self.fs.place(&dir, ino, false).map_err(|e| (CommitStep::PartialDir, e))?;
                }
            }
            Destination::Final { backup: true } | Destination::KeptPartial { backup: true }
                if self.fs.ino(&path).is_ok() =>
            {
                self.back_up(name, BackupBy::Link).await.map_err(|e| (CommitStep::Backup, e))?;
            }
            _ => {}
        }
        self.apply(out.ino, attrs);
        if out.mode == WriteMode::PartialInPlace && to != Destination::Partial {
            let partial = self.at(Place::Partial(name));
            self.fs.0.borrow_mut().names.remove(&partial);
        }
        self.fs.place(&path, out.ino, true).map_err(rename)
    }

    fn begin_commit(&self, out: Output, attrs: &Attrs) -> Result<u64, Output> {
        let mut late = self.late.borrow_mut();
        late.push(None);
        let begun = late.len() - 1;
        if begun % 2 == 1 {
            return Err(out);
        }
        late[begun] = Some((out, *attrs));
        Ok(begun as u64)
    }

    async fn end_commit(&self, begun: u64) -> Result<(), (CommitStep, PortError)> {
        let late = self.late.borrow_mut()[begun as usize].take();
        let (out, attrs) = late.expect("each is asked for once");
        self.commit(out, &attrs, Destination::Final { backup: false }).await
    }

    async fn discard(&self, _: Output) {}

    fn user_id(&self, name: &[u8]) -> Option<u32> {
        core::str::from_utf8(name.strip_prefix(b"user")?).ok()?.parse().ok()
    }

    fn group_id(&self, name: &[u8]) -> Option<u32> {
        core::str::from_utf8(name.strip_prefix(b"group")?).ok()?.parse().ok()
    }

    fn rights(&self) -> Rights {
        Rights { super_user: true, euid: 0, groups: vec![0], umask: 0o022 }
    }
}
