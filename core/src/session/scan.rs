//! From source arguments to file lists: what the sender offers (spec: building the list).

mod arguments;
mod way;

use alloc::vec::Vec;

use hashbrown::{HashMap, HashSet};

use self::way::Relative;

use super::{Shared, extended, guard::MUNGE_PREFIX, io_error, lists::DirRecord, rules};
use crate::{
    checksum::{ChecksumKind, Digest},
    error::{Error, Role},
    exit::ExitCode,
    filter::{FilterList, FilterSide, Perishable, Scope},
    flist::entry::{EntryFlags, FileKind, FileList, NewEntry, Original},
    limits::MAX_PATH,
    names::{below, inside, is_unsafe_link},
    ports::{Child, Notice, Observer, Op, PortError, Source, SourcePath, Stat, Step},
};

/// After how many entries each the making of a list is told of.
const COUNTED: usize = 100;

/// What the sender was asked for.
#[derive(Debug, Default)]
pub struct SourceArgs {
    /// The arguments, or the names of a `--files-from` list (then below `base`): paths as they are written behind the
    /// options of a command line, `dir/` for the contents of a directory. What is called for each is told at [`Source`].
    pub names: Vec<Vec<u8>>,
    /// The one source argument of a `--files-from` run; otherwise `None`.
    pub base: Option<Vec<u8>>,
}

/// What a symlink is in the transfer.
enum Link {
    /// Itself, with its target.
    Kept(Vec<u8>),
    /// What it leads to.
    Followed(Stat),
}

/// Makes file lists from the sender's tree.
pub(super) struct Scanner<'a, S, O> {
    shared: &'a Shared<'a, O>,
    pub(super) source: &'a S,
    root_scope: Scope,
    /// Filter state around a directory that will be entered, where it is not the root's.
    scopes: HashMap<(u32, Vec<u8>), Scope>,
    /// Device of each argument that is a directory, by base and name, for `-x`.
    devices: HashMap<(u32, Vec<u8>), u64>,
    relative: Relative,
    /// The rule files of the root of the transfer were read.
    root_entered: bool,
    /// Files of several names that were read for `-cU`, by device and inode.
    digested: HashSet<(u64, u64)>,
}

impl<'a, S: Source, O: Observer> Scanner<'a, S, O> {
    pub(super) fn new(shared: &'a Shared<'a, O>, source: &'a S, filters: &FilterList) -> Self {
        Self {
            shared,
            source,
            root_scope: filters.scope(FilterSide::Sender, b""),
            scopes: HashMap::new(),
            devices: HashMap::new(),
            relative: Relative::default(),
            root_entered: false,
            digested: HashSet::new(),
        }
    }

    /// What is read.
    pub(super) fn source(&self) -> &'a S {
        self.source
    }

    /// The device of the innermost argument that a path is below.
    fn device_around(&self, path: SourcePath<'_>) -> Option<u64> {
        let mut name = path.name;
        loop {
            name = memchr::memrchr(b'/', name).map_or(&b""[..], |slash| &name[..slash]);
            let device = self.devices.get(&(path.base, name.to_vec()));
            if device.is_some() || name.is_empty() {
                return device.copied();
            }
        }
    }

    fn failed(&self, op: Op, path: SourcePath<'_>, error: PortError) {
        let notice = Notice::Failed { op, name: path.name, base: Some(path.base), other: &[], error };
        self.shared.report(Role::Sender, &notice);
    }

    /// What was there a moment ago cannot be read, or is there no more.
    fn gone_or_failed(&self, op: Op, path: SourcePath<'_>, error: PortError) {
        if error.is_not_found() {
            let SourcePath { base, name } = path;
            self.shared.add_io_error(io_error::VANISHED);
            self.shared.report(Role::Sender, &Notice::Vanished { name, base, dir: op == Op::OpenDir });
        } else {
            self.shared.add_io_error(io_error::GENERAL);
            self.failed(op, path, error);
        }
    }

    fn is_excluded(&self, scope: &Scope, name: &[u8], dir: bool) -> bool {
        let Some(decision) = scope.decision(below(name), dir, Perishable::Counts) else { return false };
        self.shared.report(Role::Sender, &Notice::Filtered { name, dir, decision });
        !decision.include
    }

    /// Whether rules leave out what cannot be looked at, as a file or as a directory.
    fn is_excluded_as_any(&self, scope: &Scope, name: &[u8]) -> bool {
        self.is_excluded(scope, name, false) || self.is_excluded(scope, name, true)
    }

    /// The contents of directories of equal name (one, or several arguments' directories merged).
    pub(super) async fn directory<E>(&mut self, dirs: &[DirRecord]) -> Result<FileList, Error<E>> {
        let mut list = FileList::new();
        let mut before = None;
        for dir in dirs {
            let entry = dir.entry();
            let key = (entry.entry.base, entry.name().to_vec());
            let (base, own) = (key.0, entry.entry.flags.contains(EntryFlags::OWN_CONTENTS));
            let named = match self.relative.inside.get_mut(&key) {
                Some(arguments) if !own => arguments.pop_front().unwrap_or_default(),
                _ => Vec::new(),
            };
            // What was read for the one before is not read again (stock binary: of three in a row, two are read).
            let enters = own && before != Some((base, true));
            before = Some((base, enters));
            if !enters && named.is_empty() {
                continue;
            }
            let outer = self.scopes.get(&key).cloned();
            let outer = outer.unwrap_or_else(|| self.root_scope.with_cwd(&self.source.base_path(base)));
            let scope = self.enter_scope(&outer, base, entry.name()).await?;
            for argument in named {
                self.argument_inside(base, entry.name(), argument, &scope, &mut list).await?;
            }
            if enters {
                self.children(base, entry.name(), &scope, &mut list).await?;
            }
        }
        for dir in dirs {
            self.scopes.remove(&(dir.entry().entry.base, dir.entry().name().to_vec()));
        }
        Ok(list)
    }

    /// Filter state inside a directory: its per-directory rule files are read. Those above the first directory that is
    /// entered hold for that one alone (stock binary).
    async fn enter_scope<E>(&mut self, outer: &Scope, base: u32, dir: &[u8]) -> Result<Scope, Error<E>> {
        if outer.is_unsettled() {
            self.root_scope = self.root_scope.settled();
        }
        self.shared.step(Role::Sender, &Step::Entering { dir: below(dir), base: Some(base) });
        if outer.is_constant() {
            return Ok(outer.clone());
        }
        let source = self.source;
        rules::enter(self.shared, Role::Sender, outer.entering(below(dir)), async |path: Vec<u8>| {
            source.read_small(SourcePath { base, name: &path }, 1 << 20).await
        })
        .await
    }

    /// The children of a directory, appended in the order of the file system.
    async fn children<E>(
        &mut self,
        base: u32,
        dir: &[u8],
        scope: &Scope,
        list: &mut FileList,
    ) -> Result<(), Error<E>> {
        // A name that was given with a slash may be a symlink to the directory.
        let typed = self.relative.slashed.contains(dir);
        let slashed = if typed { [below(dir), b"/"].concat() } else { Vec::new() };
        let path = SourcePath { base, name: below(dir) };
        let read = if typed { SourcePath { base, name: &slashed } } else { path };
        let (mut children, error) = match self.source.read_dir(read).await {
            Ok(read) => read,
            Err(error) => {
                self.gone_or_failed(Op::OpenDir, path, error);
                return Ok(());
            }
        };
        if let Some(error) = error {
            self.shared.add_io_error(io_error::GENERAL);
            self.failed(Op::ReadDir, path, error);
        }
        let recursive = self.shared.options.select.recursive;
        if self.shared.options.preserve.atimes > 0 && !scope.is_constant() {
            self.look_again(base, dir, &mut children).await;
        }
        if self.shared.options.select.checksum && self.shared.agreed.list_sum != ChecksumKind::None {
            self.announce_digests(base, dir, &children, scope);
        }
        let mut name = Vec::new();
        for child in &children {
            inside(&mut name, dir, &child.name);
            if name.len() >= MAX_PATH {
                self.shared.add_io_error(io_error::GENERAL);
                self.shared.report(Role::Sender, &Notice::TooLong(&name));
                continue;
            }
            let path = SourcePath { base, name: below(&name) };
            let stat = match child.stat {
                Ok(stat) => stat,
                Err(error) => {
                    if !self.is_excluded_as_any(scope, &name) {
                        self.gone_or_failed(Op::ReadlinkStat, path, error);
                    }
                    continue;
                }
            };
            let flags = if recursive { EntryFlags::CONTENT_DIR } else { EntryFlags::empty() };
            if let Some(position) = self.item(list, path, &name, stat, flags, scope, false).await? {
                let is_dir = list.entries.get(position).is_some_and(crate::flist::entry::Entry::is_dir);
                if is_dir && !scope.is_constant() {
                    self.scopes.insert((base, name.clone()), scope.clone());
                }
            }
        }
        Ok(())
    }

    /// A directory may have been read ahead of its rule files, whose time of access has changed since. None of its files
    /// is digested yet.
    async fn look_again(&self, base: u32, dir: &[u8], children: &mut [Child]) {
        let mut name = Vec::new();
        for child in children {
            inside(&mut name, dir, &child.name);
            if child.stat.as_ref().is_ok_and(Stat::is_regular)
                && let Ok(stat) = self.source.stat(SourcePath { base, name: below(&name) }, false).await
            {
                child.stat = Ok(stat);
            }
        }
    }

    /// Has the regular files of a directory digested that the filters let through.
    fn announce_digests(&self, base: u32, dir: &[u8], children: &[Child], scope: &Scope) {
        let mut files = Vec::new();
        for child in children {
            let Some(stat) = child.stat.ok().filter(Stat::is_regular) else { continue };
            let mut name = Vec::new();
            inside(&mut name, dir, &child.name);
            if !scope.check(below(&name), false, Perishable::Counts).is_excluded() {
                files.push((name, stat.size));
            }
        }
        let kind = self.shared.agreed.list_sum;
        self.source.will_digest(base, &mut files.iter().map(|(name, size)| (below(name), *size)), kind);
    }

    /// Whether the strings of an entry have a counterpart in the charset of the wire; if not, that is reported.
    fn can_travel(&self, base: u32, name: &[u8], target: Option<&[u8]>) -> bool {
        let Some(conversion) = &self.shared.conversion else { return true };
        let mut out = Vec::new();
        let notice = if let Err(error) = conversion.name_to_wire(name, &mut out) {
            Notice::CannotConvertName { name, error }
        } else if let Some(Err(error)) = target.map(|target| conversion.link_to_wire(target, &mut out)) {
            Notice::CannotConvertLink { name: below(name), base: Some(base), error }
        } else {
            return true;
        };
        self.shared.add_io_error(io_error::GENERAL);
        self.shared.report(Role::Sender, &notice);
        false
    }

    /// What becomes of a symlink, as the options want it. `None`: it is left out, which was reported.
    async fn link(
        &self,
        path: SourcePath<'_>,
        name: &[u8],
        scope: &Scope,
        is_argument: bool,
    ) -> Option<Link> {
        let select = &self.shared.options.select;
        let left_out = || !is_argument && self.is_excluded_as_any(scope, name);
        let link = match self.source.read_link(path).await {
            Ok(link) => link,
            Err(error) => {
                if !left_out() {
                    self.shared.add_io_error(io_error::GENERAL);
                    self.failed(Op::ReadlinkStat, path, error);
                }
                return None;
            }
        };
        let link = match link.strip_prefix(MUNGE_PREFIX).filter(|rest| !rest.is_empty()) {
            Some(rest) if select.munge_links => rest.to_vec(),
            _ => link,
        };
        let unsafe_link = select.copy_unsafe_links && is_unsafe_link(&link, name);
        let followed = match select.copy_links || unsafe_link || select.copy_dirlinks {
            true => Some(self.source.stat(path, true).await),
            false => None,
        };
        let is_dir = matches!(&followed, Some(Ok(found)) if found.is_dir());
        // Before any rule is asked: whatever a symlink leads to decides which rules it meets.
        if unsafe_link && !select.copy_links && !(select.copy_dirlinks && is_dir) {
            self.shared.report(Role::Sender, &Notice::CopyingUnsafe { name: path.name, target: &link });
        }
        match followed {
            Some(Ok(found)) if select.copy_links || unsafe_link || is_dir => {
                return Some(Link::Followed(found));
            }
            Some(Err(error)) if select.copy_links || unsafe_link => {
                if left_out() {
                    return None;
                }
                self.shared.add_io_error(io_error::GENERAL);
                if error.is_not_found() {
                    let notice = Notice::NoReferent { name: path.name, base: path.base };
                    self.shared.report(Role::Sender, &notice);
                } else {
                    self.failed(Op::ReadlinkStat, path, error);
                }
                return None;
            }
            _ => {}
        }
        if link.is_empty() {
            self.shared.add_io_error(io_error::GENERAL);
            self.shared.report(Role::Sender, &Notice::EmptyLink { name: path.name, base: path.base });
            return None;
        }
        Some(Link::Kept(link))
    }

    /// One found file: links followed where asked for, filtered, digested, appended. Returns its position.
    #[allow(clippy::too_many_arguments, reason = "what is known of one file")]
    async fn item<E>(
        &mut self,
        list: &mut FileList,
        path: SourcePath<'_>,
        name: &[u8],
        mut stat: Stat,
        mut dir_flags: EntryFlags,
        scope: &Scope,
        is_argument: bool,
    ) -> Result<Option<usize>, Error<E>> {
        let select = &self.shared.options.select;
        let mut target = None;
        if stat.kind() == FileKind::Symlink {
            match self.link(path, name, scope, is_argument).await {
                Some(Link::Kept(link)) => target = Some(link),
                Some(Link::Followed(found)) => stat = found,
                None => return Ok(None),
            }
        }
        if FileKind::from_mode(stat.mode).is_none() {
            return Ok(None);
        }
        if !is_argument && self.is_excluded(scope, name, stat.is_dir()) {
            return Ok(None);
        }
        if stat.is_dir()
            && select.one_file_system > 0
            && !is_argument
            && self.device_around(path).is_some_and(|dev| dev != stat.dev)
        {
            if select.one_file_system > 1 {
                self.shared.report(Role::Sender, &Notice::SkippingMountPoint(path.name));
                return Ok(None);
            }
            dir_flags = EntryFlags::MOUNT_DIR;
        }
        if !self.can_travel(path.base, name, target.as_deref()) {
            return Ok(None);
        }
        let sums = select.checksum && stat.is_regular();
        if sums && stat.nlink > 1 && self.shared.options.preserve.atimes > 0 {
            self.note_reading(path, &mut stat).await;
        }
        let digest = if sums { Some(self.digest(path).await?) } else { None };
        let inside = !is_argument || self.shared.agreed.inc_recurse() && below(name).contains(&b'/');
        self.shared.step(Role::Sender, &Step::MakeFile { name, inside });
        let flags = if stat.is_dir() { dir_flags } else { EntryFlags::empty() };
        let position = self.push(list, path.base, name, &stat, flags, digest);
        if let Some(target) = target {
            let span = list.store(&target);
            list.extra_mut(position).link = span;
        }
        Ok(extended::attach(self.shared, self.source, list, path, scope).await.then_some(position))
    }

    /// A file of several names whose digest was made under another shows that in its time of access.
    async fn note_reading(&mut self, path: SourcePath<'_>, stat: &mut Stat) {
        if !self.digested.insert((stat.dev, stat.ino))
            && let Ok(since) = self.source.stat(path, true).await
        {
            (stat.atime, stat.atime_nsec) = (since.atime, since.atime_nsec);
        }
    }

    /// The digest of a file, all zeros for one that cannot be read.
    async fn digest<E>(&self, path: SourcePath<'_>) -> Result<Digest, Error<E>> {
        let kind = self.shared.agreed.list_sum;
        if kind == ChecksumKind::None {
            self.shared.report(Role::Sender, &Notice::NoDigests);
            return Err(Error::Exit(ExitCode::UNSUPPORTED));
        }
        Ok(self.source.digest(path, kind).await.unwrap_or_else(|_| Digest::zero(kind.digest_len())))
    }

    fn push(
        &self,
        list: &mut FileList,
        base: u32,
        name: &[u8],
        stat: &Stat,
        mut flags: EntryFlags,
        digest: Option<Digest>,
    ) -> usize {
        let options = self.shared.options;
        let kind = stat.kind();
        let file_mode = self.shared.chmodded(stat.mode);
        let linked = options.preserve.hard_links > 0
            && match self.shared.agreed.protocol.has_extended_flags() {
                true => kind != FileKind::Dir && stat.nlink > 1,
                false => kind == FileKind::Regular,
            };
        flags.set(EntryFlags::HLINKED, linked);
        flags.set(EntryFlags::OWN_CONTENTS, flags.contains(EntryFlags::CONTENT_DIR));
        let size = match kind {
            FileKind::Regular | FileKind::Symlink | FileKind::Dir => stat.size,
            _ => 0,
        };
        let (mtime, nsec) = self.shared.listed_time(stat);
        if list.len().is_multiple_of(COUNTED) && !self.shared.agreed.inc_recurse() {
            self.shared.report(Role::Sender, &Notice::ListCount(list.len()));
        }
        let position = list.push(&NewEntry {
            name,
            size,
            mtime,
            nsec,
            mode: file_mode,
            uid: stat.uid,
            gid: stat.gid,
            flags,
            base,
        });
        if linked {
            list.extra_mut(position).dev_ino = (stat.dev, stat.ino);
        }
        if mtime != stat.mtime {
            let original = Original { mtime: stat.mtime, uid: stat.uid, gid: stat.gid };
            list.extra_mut(position).original = Some(original);
        }
        if kind.is_device() {
            list.extra_mut(position).rdev = stat.rdev;
        }
        if options.preserve.atimes > 0 && kind != FileKind::Dir {
            list.extra_mut(position).atime = stat.atime;
        }
        if let Some(sum) = digest {
            let span = list.store(sum.as_bytes());
            list.extra_mut(position).sum = span;
        }
        position
    }
}
