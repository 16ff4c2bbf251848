//! Source arguments one by one: what each of them adds to the first list.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Scanner, SourceArgs,
    way::{Named, end_of_first},
};
use crate::{
    error::{Error, Role},
    exit::ExitCode,
    filter::Scope,
    flist::entry::{Entry, EntryFlags, FileList, NewEntry},
    names::below,
    ports::{Notice, Observer, Op, PortError, Source, SourcePath, Stat, Step},
    session::{
        argument::{ArgKind, Argument, clamp_name, join, split_argument},
        io_error,
    },
};

impl<S: Source, O: Observer> Scanner<'_, S, O> {
    /// The entries of all arguments that are known from the start. The names of a `--files-from` list stay below
    /// the one directory that was named, which must be there.
    pub(in crate::session) async fn arguments<E>(
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

    /// The entries of one argument, appended to `list`. With incremental recursion directories are not
    /// entered, but for the contents of a `dir/` argument.
    pub(in crate::session) async fn argument<E>(
        &mut self,
        arg: &[u8],
        base_dir: Option<&[u8]>,
        list: &mut FileList,
    ) -> Result<(), Error<E>> {
        let select = &self.shared.options.select;
        let argument = match split_argument(arg, select.relative) {
            Ok(a) => a,
            Err(name) => {
                self.shared.report(Role::Sender, &Notice::DotDotInRelative(&name));
                return Err(Error::Exit(ExitCode::SYNTAX));
            }
        };
        let Some(base) = self.argument_base(&argument, base_dir, list).await else { return Ok(()) };
        if argument.dot_root {
            self.dot_root(base, list).await;
        }
        let Some(stat) = self.argument_stat(&argument, base, base_dir.is_some(), list).await else {
            return Ok(());
        };
        let (name, kind) = (argument.name, argument.kind);
        let mut scope = self.root_scope.with_cwd(&self.source.base_path(base));
        if !self.wants_argument(&name, kind, base, &stat, &scope) {
            return Ok(());
        }
        if select.one_file_system > 0 && stat.is_dir() {
            let top = Some(below(&name)).filter(|&name| name != b".").unwrap_or_default();
            self.devices.insert((base, top.to_vec()), stat.dev);
        }
        if kind == ArgKind::Slash {
            self.relative.slashed.insert(name.clone());
        }
        let enters = select.recursive || (select.dirs && kind != ArgKind::Plain);
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
        let path = SourcePath { base, name: below(&name) };
        let Some(position) = self.item(list, path, &name, stat, flags, &scope, true).await? else {
            return Ok(());
        };
        if !enters || !list.entries.get(position).is_some_and(Entry::is_dir) {
            return Ok(());
        }
        if !self.shared.agreed.inc_recurse() {
            return self.tree(base, name, scope, list).await;
        }
        if kind == ArgKind::DotDir {
            let scope = self.enter_argument(&scope, base, &name).await?;
            self.children(base, &name, &scope, list).await?;
        }
        Ok(())
    }

    /// Enters the directory that an argument's name counts from. `None`: it cannot be entered, which was reported.
    async fn argument_base(
        &self,
        argument: &Argument,
        base_dir: Option<&[u8]>,
        list: &FileList,
    ) -> Option<u32> {
        let dir = base_dir.map_or_else(|| argument.dir.clone(), |base| join(base, &argument.dir));
        match self.source.enter(&dir).await {
            Ok(base) => {
                if !dir.is_empty() && list.entries.last().is_none_or(|last| last.base != base) {
                    self.shared.step(Role::Sender, &Step::WorksIn { base: Some(base) });
                }
                Some(base)
            }
            Err(error) => {
                let (base, name) = match base_dir {
                    Some(base) => (self.source.enter(base).await.ok(), &argument.dir),
                    None => (None, &dir),
                };
                let notice = Notice::Failed { op: Op::ChangeDir, name, base, other: &[], error };
                self.shared.add_io_error(io_error::GENERAL);
                self.shared.report(Role::Sender, &notice);
                None
            }
        }
    }

    /// What an argument names. `None`: there is nothing, which was reported, passed over or listed as missing, as the
    /// options want it. `listed`: it comes from a `--files-from` list.
    async fn argument_stat(
        &mut self,
        argument: &Argument,
        base: u32,
        listed: bool,
        list: &mut FileList,
    ) -> Option<Stat> {
        let options = self.shared.options;
        let select = &options.select;
        let path = SourcePath { base, name: below(&argument.name) };
        let follow = argument.kind != ArgKind::Plain || select.copy_links;
        let mut found = self.source.stat(path, follow).await;
        if argument.kind == ArgKind::Slash
            && !select.copy_links
            && found.map_or_else(
                |error| !listed || select.copy_dirlinks || error.leads_nowhere(),
                |stat| !stat.is_dir(),
            )
        {
            // Only a directory is meant by the slash.
            found = self.source.stat(path, false).await;
        }
        match found {
            Ok(stat) => return Some(stat),
            Err(error) if error.is_not_found() && options.delete.missing_args => {
                self.missing(base, &argument.name, list).await;
            }
            Err(error) if error.is_not_found() && select.ignore_missing_args => {}
            Err(error) => {
                if !error.is_not_found() {
                    self.shared.add_io_error(io_error::GENERAL);
                }
                self.failed(Op::LinkStat, path, error);
            }
        }
        None
    }

    /// Whether rules and options let an argument into the list; if not, that is told as far as rsync does.
    fn wants_argument(&self, name: &[u8], kind: ArgKind, base: u32, stat: &Stat, scope: &Scope) -> bool {
        if scope.is_veiled(below(name), stat.is_dir()) {
            let path = SourcePath { base, name: below(name) };
            self.failed(Op::LinkStat, path, PortError::NOT_FOUND);
            return false;
        }
        if kind != ArgKind::DotDir && self.is_excluded_argument(scope, name, stat.is_dir()) {
            return false;
        }
        let select = &self.shared.options.select;
        if stat.is_dir() && !select.recursive && !select.dirs {
            self.shared.report(Role::Sender, &Notice::SkippingDirectory(name));
            return false;
        }
        true
    }

    /// All that is in a directory, for one list: depth first, all children of a directory, then the contents of each of
    /// its directories.
    async fn tree<E>(
        &mut self,
        base: u32,
        name: Vec<u8>,
        scope: Scope,
        list: &mut FileList,
    ) -> Result<(), Error<E>> {
        let mut stack = Vec::from([(name, scope)]);
        while let Some((dir, scope)) = stack.pop() {
            let scope = self.enter_scope(&scope, base, &dir).await?;
            let from = list.len();
            self.children(base, &dir, &scope, list).await?;
            let dirs: Vec<_> = (from..list.len())
                .rev()
                .filter_map(|i| list.get(i))
                .filter(|e| e.entry.is_dir() && e.entry.flags.contains(EntryFlags::CONTENT_DIR))
                .map(|e| (e.name().to_vec(), scope.clone()))
                .collect();
            self.source.will_read(base, &mut dirs.iter().rev().map(|(name, _)| below(name)));
            stack.extend(dirs);
        }
        Ok(())
    }

    /// An argument that is not there, which is to be deleted at the destination. Under `-R` the directories on the way to it
    /// may be missing too, which is told.
    async fn missing(&mut self, base: u32, name: &[u8], list: &mut FileList) {
        if self.shared.options.select.relative {
            if self.shared.agreed.inc_recurse()
                && let Some(end) = end_of_first(name)
            {
                let named = Named { name: name.to_vec(), stat: Stat::default(), flags: EntryFlags::empty() };
                return self.on_the_way(base, end, Box::new(named), list).await;
            }
            self.implied_dirs(base, name, list).await;
        }
        if self.can_travel(base, name, None) {
            list.push(&NewEntry { name, base, ..NewEntry::default() });
        }
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
}
