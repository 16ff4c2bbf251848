//! From source arguments to file lists: what the sender offers (spec: building the list).

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use hashbrown::HashMap;

use super::{
    Shared,
    argument::{ArgKind, clamp_name, common_components, join, split_argument},
    extended,
    guard::MUNGE_PREFIX,
    io_error,
    lists::DirRecord,
    rules,
};
use crate::{
    checksum::{ChecksumKind, Digest},
    error::{Error, Role},
    exit::ExitCode,
    filter::{FilterList, FilterSide, Scope},
    flist::entry::{EntryFlags, FileKind, FileList, NewEntry, Original},
    limits::MAX_PATH,
    names::{inside, is_unsafe_link},
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

/// Name below the base directory: a leading slash of `-R` is not part of it.
pub(super) fn below(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"/").unwrap_or(name)
}

/// Where the first of several components of a name ends.
fn end_of_first(name: &[u8]) -> Option<usize> {
    let first = name.len() - below(name).len();
    memchr::memchr(b'/', below(name)).map(|end| first + end)
}

/// Arguments that one listing of a directory is for.
type Arguments = Vec<Box<Named>>;

/// Makes file lists from the sender's tree.
pub(super) struct Scanner<'a, S, O> {
    shared: &'a Shared<'a, O>,
    pub(super) source: &'a S,
    root_scope: Scope,
    /// Filter state around a directory that will be entered, where it is not the root's.
    scopes: HashMap<(u32, Vec<u8>), Scope>,
    /// Of the argument before, under `-R`.
    last_parent: (u32, Vec<u8>),
    /// With `-R` and one list: the directories on the way to the last argument, and the rules inside each.
    way: Vec<(Vec<u8>, Scope)>,
    /// Device of each argument that is a directory, by base and name, for `-x`.
    devices: HashMap<(u32, Vec<u8>), u64>,
    /// Directories that were named with a slash under `-R`.
    slashed: hashbrown::HashSet<Vec<u8>>,
    dot_root_sent: bool,
    /// The rule files of the root of the transfer were read.
    root_entered: bool,
    /// With `-R` and several lists: the arguments inside a directory, by base and directory, for each time that it is
    /// listed for their sake.
    inside: HashMap<(u32, Vec<u8>), VecDeque<Arguments>>,
    /// Files of several names that were read for `-cU`, by device and inode.
    digested: hashbrown::HashSet<(u64, u64)>,
}

/// An argument of `-R`, for the lists of the directories on the way to it.
struct Named {
    name: Vec<u8>,
    stat: Stat,
    flags: EntryFlags,
}

impl<'a, S: Source, O: Observer> Scanner<'a, S, O> {
    pub(super) fn new(shared: &'a Shared<'a, O>, source: &'a S, filters: &FilterList) -> Self {
        Self {
            shared,
            source,
            root_scope: filters.scope(FilterSide::Sender, b""),
            scopes: HashMap::new(),
            last_parent: (0, Vec::new()),
            way: Vec::new(),
            devices: HashMap::new(),
            slashed: hashbrown::HashSet::new(),
            dot_root_sent: false,
            root_entered: false,
            inside: HashMap::new(),
            digested: hashbrown::HashSet::new(),
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
        let Some(decision) = scope.decision(below(name), dir, false) else { return false };
        self.shared.report(Role::Sender, &Notice::Filtered { name, dir, decision });
        !decision.include
    }

    /// Whether rules leave out an argument. Those around the argument before are still in force (stock binary).
    fn is_excluded_argument(&self, scope: &Scope, name: &[u8], dir: bool) -> bool {
        match self.way.last() {
            Some((_, around)) => self.is_excluded(&around.with_cwd(scope.cwd()), name, dir),
            None => self.is_excluded(scope, name, dir),
        }
    }

    /// Whether rules leave out what cannot be looked at, as a file or as a directory.
    fn is_excluded_as_any(&self, scope: &Scope, name: &[u8]) -> bool {
        self.is_excluded(scope, name, false) || self.is_excluded(scope, name, true)
    }

    /// The entries of all arguments that are known from the start. The names of a `--files-from` list stay below
    /// the one directory that was named, which must be there.
    pub(super) async fn arguments<E>(
        &mut self,
        args: &SourceArgs,
        list: &mut FileList,
    ) -> Result<(), Error<E>> {
        let Some(base) = args.base.as_deref() else {
            for name in &args.names {
                self.argument(name, None, list).await?;
            }
            return Ok(());
        };
        if let Err(error) = self.source.enter(base).await {
            let notice = Notice::Failed { op: Op::ChangeDir, name: base, base: None, other: &[], error };
            self.shared.report(Role::Sender, &notice);
            return Err(Error::Exit(ExitCode::FILE_SELECT));
        }
        for name in &args.names {
            self.argument(&clamp_name(name), Some(base), list).await?;
        }
        Ok(())
    }

    /// The directory in front of the names that begin with `./`, once, whatever becomes of these.
    async fn dot_root(&mut self, base: u32, list: &mut FileList) {
        if core::mem::replace(&mut self.dot_root_sent, true) {
            return;
        }
        let select = &self.shared.options.select;
        if !select.recursive && !select.dirs {
            if select.implied_dirs {
                self.shared.report(Role::Sender, &Notice::SkippingDirectory(b"."));
            }
            return;
        }
        let scope = self.root_scope.with_cwd(&self.source.base_path(base));
        if let Ok(root) = self.source.stat(SourcePath { base, name: b"." }, true).await
            && !self.is_excluded(&scope, b".", true)
        {
            self.implied(list, base, b".", &root).await;
        }
    }

    /// The entries of one argument, appended to `list`. With incremental recursion directories are not
    /// entered, but for the contents of a `dir/` argument.
    pub(super) async fn argument<E>(
        &mut self,
        arg: &[u8],
        base_dir: Option<&[u8]>,
        list: &mut FileList,
    ) -> Result<(), Error<E>> {
        let options = self.shared.options;
        let select = &options.select;
        let argument = match split_argument(arg, select.relative) {
            Ok(a) => a,
            Err(name) => {
                self.shared.report(Role::Sender, &Notice::DotDotInRelative(&name));
                return Err(Error::Exit(ExitCode::SYNTAX));
            }
        };
        let dir = base_dir.map_or_else(|| argument.dir.clone(), |base| join(base, &argument.dir));
        let base = match self.source.enter(&dir).await {
            Ok(base) => base,
            Err(error) => {
                let (base, name) = match base_dir {
                    Some(base) => (self.source.enter(base).await.ok(), &argument.dir),
                    None => (None, &dir),
                };
                let notice = Notice::Failed { op: Op::ChangeDir, name, base, other: &[], error };
                self.shared.add_io_error(io_error::GENERAL);
                self.shared.report(Role::Sender, &notice);
                return Ok(());
            }
        };
        if !dir.is_empty() && list.entries.last().is_none_or(|last| last.base != base) {
            self.shared.step(Role::Sender, &Step::WorksIn { base: Some(base) });
        }
        if argument.dot_root {
            self.dot_root(base, list).await;
        }
        let (name, follow) = (argument.name, argument.kind != ArgKind::Plain || select.copy_links);
        let path = SourcePath { base, name: below(&name) };
        let mut found = self.source.stat(path, follow).await;
        if select.relative
            && argument.kind == ArgKind::Slash
            && !select.copy_links
            && found.map_or_else(
                |error| base_dir.is_none() || select.copy_dirlinks || error.leads_nowhere(),
                |stat| !stat.is_dir(),
            )
        {
            // Only a directory is meant by the slash.
            found = self.source.stat(path, false).await;
        }
        let stat = match found {
            Ok(stat) => stat,
            Err(error) if error.is_not_found() && options.delete.missing_args => {
                self.missing(base, name, list).await;
                return Ok(());
            }
            Err(error) if error.is_not_found() && select.ignore_missing_args => return Ok(()),
            Err(error) => {
                if !error.is_not_found() {
                    self.shared.add_io_error(io_error::GENERAL);
                }
                self.failed(Op::LinkStat, path, error);
                return Ok(());
            }
        };
        let dot_dir = argument.kind == ArgKind::DotDir;
        let mut scope = self.root_scope.with_cwd(&self.source.base_path(base));
        if scope.is_veiled(below(&name), stat.is_dir()) {
            self.failed(Op::LinkStat, path, PortError::NOT_FOUND);
            return Ok(());
        }
        if !dot_dir && self.is_excluded_argument(&scope, &name, stat.is_dir()) {
            return Ok(());
        }
        if stat.is_dir() && !select.recursive && !select.dirs {
            self.shared.report(Role::Sender, &Notice::SkippingDirectory(&name));
            return Ok(());
        }
        if select.one_file_system > 0 && stat.is_dir() {
            let top = Some(below(&name)).filter(|&name| name != b".").unwrap_or_default();
            self.devices.insert((base, top.to_vec()), stat.dev);
        }
        if select.relative && argument.kind == ArgKind::Slash {
            self.slashed.insert(name.clone());
        }
        let enters = select.recursive || (select.dirs && argument.kind != ArgKind::Plain);
        let flags = if enters { EntryFlags::TOP_DIR | EntryFlags::CONTENT_DIR } else { EntryFlags::empty() };
        if select.relative
            && self.shared.agreed.inc_recurse()
            && let Some(end) = end_of_first(&name)
        {
            self.on_the_way(base, end, Box::new(Named { name, stat, flags }), list).await;
            return Ok(());
        }
        if select.relative {
            self.implied_dirs(base, &name, list).await;
            self.enter_way(&mut scope, base, &name).await?;
        }
        let Some(position) = self.item(list, path, &name, stat, flags, &scope, true).await? else {
            return Ok(());
        };
        let Some(entry) = list.entries.get(position).copied() else { return Ok(()) };
        if !entry.is_dir() || !enters {
            return Ok(());
        }
        if self.shared.agreed.inc_recurse() {
            if dot_dir {
                let scope = self.enter_argument(&scope, base, &name).await?;
                self.children(base, &name, &scope, list).await?;
            }
            return Ok(());
        }
        // Depth first: all children of a directory, then the contents of each of its directories.
        let mut stack = Vec::from([(name, scope, 0u32)]);
        while let Some((dir, scope, depth)) = stack.pop() {
            if depth > 0 && !select.recursive {
                continue;
            }
            let scope = self.enter_scope(&scope, base, &dir).await?;
            let from = list.len();
            self.children(base, &dir, &scope, list).await?;
            let dirs: Vec<_> = (from..list.len())
                .rev()
                .filter_map(|i| list.get(i))
                .filter(|e| e.entry.is_dir() && e.entry.flags.contains(EntryFlags::CONTENT_DIR))
                .map(|e| (e.name().to_vec(), scope.clone(), depth + 1))
                .collect();
            self.source.will_read(base, &mut dirs.iter().rev().map(|(name, ..)| below(name)));
            stack.extend(dirs);
        }
        Ok(())
    }

    /// An argument that is not there, which is to be deleted at the destination. Under `-R` the directories on the way to it
    /// may be missing too, which is told.
    async fn missing(&mut self, base: u32, name: Vec<u8>, list: &mut FileList) {
        if self.shared.options.select.relative {
            if self.shared.agreed.inc_recurse()
                && let Some(end) = end_of_first(&name)
            {
                let (stat, flags) = (Stat::default(), EntryFlags::empty());
                return self.on_the_way(base, end, Box::new(Named { name, stat, flags }), list).await;
            }
            self.implied_dirs(base, &name, list).await;
        }
        if self.can_travel(base, &name, None) {
            list.push(&NewEntry { name: &name, base, ..NewEntry::default() });
        }
    }

    /// Lists the directory that is the first `end` bytes of an argument's name, unless it was the last one that was
    /// listed so, and keeps the argument for the list of that directory.
    async fn on_the_way(&mut self, base: u32, end: usize, named: Box<Named>, list: &mut FileList) {
        let way = (base, named.name.get(..end).unwrap_or_default().to_vec());
        if self.last_parent != way {
            let path = SourcePath { base, name: below(&way.1) };
            match self.source.stat(path, true).await {
                Ok(stat) => self.implied(list, base, &way.1, &stat).await,
                Err(error) => return self.gone_or_failed(Op::ReadlinkStat, path, error),
            }
            self.inside.entry(way.clone()).or_default().push_back(Vec::new());
            self.last_parent = way.clone();
        }
        if let Some(arguments) = self.inside.get_mut(&way).and_then(VecDeque::back_mut) {
            arguments.push(named);
        }
    }

    /// The contents of directories of equal name (one, or several arguments' directories merged).
    pub(super) async fn directory<E>(&mut self, dirs: &[DirRecord]) -> Result<FileList, Error<E>> {
        let mut list = FileList::new();
        let mut before = None;
        for dir in dirs {
            let entry = dir.entry();
            let key = (entry.entry.base, entry.name().to_vec());
            let (base, own) = (key.0, entry.entry.flags.contains(EntryFlags::OWN_CONTENTS));
            let named = match self.inside.get_mut(&key) {
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

    /// An argument of `-R`, or the next directory on the way to it, for the list of the directory `dir`.
    async fn argument_inside<E>(
        &mut self,
        base: u32,
        dir: &[u8],
        argument: Box<Named>,
        scope: &Scope,
        list: &mut FileList,
    ) -> Result<(), Error<E>> {
        let rest = dir.len() + 1;
        let next = argument.name.get(rest..).and_then(|name| memchr::memchr(b'/', name)).map(|i| rest + i);
        let is_dir = next.is_some() || argument.stat.is_dir();
        let name = argument.name.get(..next.unwrap_or(argument.name.len())).unwrap_or_default().to_vec();
        if let Some(end) = next {
            self.on_the_way(base, end, argument, list).await;
        } else {
            let path = SourcePath { base, name: below(&name) };
            if !self.is_excluded(scope, &name, is_dir) {
                self.item(list, path, &name, argument.stat, argument.flags, scope, true).await?;
            }
        }
        if !scope.is_constant() && is_dir {
            self.scopes.insert((base, name), scope.clone());
        }
        Ok(())
    }

    /// Filter state inside a directory whose contents an argument names. With several lists all of them that are the
    /// root of the transfer share the rule files of the first one, which hold for all later arguments too (stock binary).
    async fn enter_argument<E>(&mut self, outer: &Scope, base: u32, name: &[u8]) -> Result<Scope, Error<E>> {
        if below(name) != b"." {
            return self.enter_scope(outer, base, name).await;
        }
        if !self.root_entered {
            self.root_scope = self.enter_scope(outer, base, name).await?;
            self.root_entered = true;
        }
        Ok(self.root_scope.with_cwd(&self.source.base_path(base)))
    }

    /// Filter state around an argument of `-R`: the rule files of all directories on the way to it are read, those that it
    /// has in common with the argument before only once.
    async fn enter_way<E>(&mut self, outer: &mut Scope, base: u32, name: &[u8]) -> Result<(), Error<E>> {
        // A name without a way leaves that of the argument before (stock binary).
        if let Some(parent) = memchr::memrchr(b'/', name).and_then(|end| name.get(..end)) {
            let leads_on = |rest: &[u8]| matches!(rest, [] | [b'/', ..]);
            let is_on_it = |dir: &[u8]| parent.strip_prefix(dir).is_some_and(leads_on);
            self.way.truncate(self.way.iter().take_while(|(dir, _)| is_on_it(dir)).count());
        }
        let mut entered = 0;
        if let Some((dir, around)) = self.way.last() {
            (entered, *outer) = (dir.len(), around.with_cwd(outer.cwd()));
        }
        while let Some(next) = name.get(entered + 1..).and_then(|rest| memchr::memchr(b'/', rest)) {
            entered += 1 + next;
            let dir = name.get(..entered).unwrap_or_default();
            *outer = self.enter_scope(outer, base, dir).await?;
            self.way.push((dir.to_vec(), outer.clone()));
        }
        Ok(())
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
        let typed = self.slashed.contains(dir);
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
            if !scope.check(below(&name), false, false).is_excluded() {
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

    /// Appends a directory that is in the transfer for the sake of what is in it.
    async fn implied(&self, list: &mut FileList, base: u32, dir: &[u8], stat: &Stat) {
        if !self.can_travel(base, dir, None) {
            return;
        }
        self.shared.step(Role::Sender, &Step::MakeFile { name: dir, inside: true });
        self.push(list, base, dir, stat, EntryFlags::IMPLIED_DIR, None);
        let path = SourcePath { base, name: below(dir) };
        extended::attach(self.shared, self.source, list, path, &self.root_scope).await;
    }

    /// The parents of a name under `-R`, each once in a row of arguments.
    async fn implied_dirs(&mut self, base: u32, name: &[u8], list: &mut FileList) {
        let options = self.shared.options;
        if !options.select.implied_dirs && !self.shared.agreed.protocol.has_no_content_dirs() {
            return;
        }
        let Some(end) = memchr::memrchr(b'/', name).filter(|&i| i > 0) else { return };
        let parent = name.get(..end).unwrap_or_default().to_vec();
        let shared_len = common_components(&parent, &self.last_parent.1);
        if shared_len == parent.len() {
            return;
        }
        let ends =
            memchr::memchr_iter(b'/', &parent).chain([parent.len()]).filter(|&i| i > 0 && i > shared_len);
        for end in ends.collect::<Vec<_>>() {
            let dir = parent.get(..end).unwrap_or_default();
            let path = SourcePath { base, name: below(dir) };
            match self.source.stat(path, true).await {
                Ok(stat) => self.implied(list, base, dir, &stat).await,
                Err(error) => self.gone_or_failed(Op::ReadlinkStat, path, error),
            }
        }
        self.last_parent = (base, parent);
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
            let left_out = || !is_argument && self.is_excluded_as_any(scope, name);
            let link = match self.source.read_link(path).await {
                Ok(link) => link,
                Err(error) => {
                    if !left_out() {
                        self.shared.add_io_error(io_error::GENERAL);
                        self.failed(Op::ReadlinkStat, path, error);
                    }
                    return Ok(None);
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
                Some(Ok(found)) if select.copy_links || unsafe_link || is_dir => stat = found,
                Some(Err(error)) if select.copy_links || unsafe_link => {
                    if left_out() {
                        return Ok(None);
                    }
                    self.shared.add_io_error(io_error::GENERAL);
                    if error.is_not_found() {
                        let notice = Notice::NoReferent { name: path.name, base: path.base };
                        self.shared.report(Role::Sender, &notice);
                    } else {
                        self.failed(Op::ReadlinkStat, path, error);
                    }
                    return Ok(None);
                }
                _ => target = Some(link),
            }
            if target.as_ref().is_some_and(Vec::is_empty) {
                self.shared.add_io_error(io_error::GENERAL);
                self.shared.report(Role::Sender, &Notice::EmptyLink { name: path.name, base: path.base });
                return Ok(None);
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
