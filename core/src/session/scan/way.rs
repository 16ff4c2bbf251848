//! `-R`: the directories on the way to each argument, which are in the transfer too.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use hashbrown::{HashMap, HashSet};

use super::Scanner;
use crate::{
    error::{Error, Role},
    filter::Scope,
    flist::entry::{EntryFlags, FileList},
    names::below,
    ports::{Notice, Observer, Op, Source, SourcePath, Stat, Step},
    session::{argument::common_components, extended},
};

/// What is remembered from one argument of `-R` to the next.
#[derive(Default)]
pub(super) struct Relative {
    /// The last directory whose way is in a list, with its base.
    last_parent: (u32, Vec<u8>),
    /// With one list: the directories on the way to the last argument, and the rules inside each.
    way: Vec<(Vec<u8>, Scope)>,
    /// With several lists: the arguments inside a directory, by base and directory, for each time that it is listed for
    /// their sake.
    pub(super) inside: HashMap<(u32, Vec<u8>), VecDeque<Arguments>>,
    /// Directories that were named with a slash.
    pub(super) slashed: HashSet<Vec<u8>>,
    dot_root_sent: bool,
}

/// Arguments that one listing of a directory is for.
pub(super) type Arguments = Vec<Box<Named>>;

/// An argument of `-R`, for the lists of the directories on the way to it.
pub(super) struct Named {
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) flags: EntryFlags,
}

/// Where the first of several components of a name ends.
pub(super) fn end_of_first(name: &[u8]) -> Option<usize> {
    let first = name.len() - below(name).len();
    memchr::memchr(b'/', below(name)).map(|end| first + end)
}

impl<S: Source, O: Observer> Scanner<'_, S, O> {
    /// Whether rules leave out an argument. Those around the argument before are still in force (stock binary).
    pub(super) fn is_excluded_argument(&self, scope: &Scope, name: &[u8], dir: bool) -> bool {
        match self.relative.way.last() {
            Some((_, around)) => self.is_excluded(&around.with_cwd(scope.cwd()), name, dir),
            None => self.is_excluded(scope, name, dir),
        }
    }

    /// The directory in front of the names that begin with `./`, once, whatever becomes of these.
    pub(super) async fn dot_root(&mut self, base: u32, list: &mut FileList) {
        if core::mem::replace(&mut self.relative.dot_root_sent, true) {
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

    /// Lists the directory that is the first `end` bytes of an argument's name, unless it was the last one that was
    /// listed so, and keeps the argument for the list of that directory.
    pub(super) async fn on_the_way(&mut self, base: u32, end: usize, named: Box<Named>, list: &mut FileList) {
        let way = (base, named.name.get(..end).unwrap_or_default().to_vec());
        if self.relative.last_parent != way {
            let path = SourcePath { base, name: below(&way.1) };
            match self.source.stat(path, true).await {
                Ok(stat) => self.implied(list, base, &way.1, &stat).await,
                Err(error) => return self.gone_or_failed(Op::ReadlinkStat, path, error),
            }
            self.relative.inside.entry(way.clone()).or_default().push_back(Vec::new());
            self.relative.last_parent = way.clone();
        }
        if let Some(arguments) = self.relative.inside.get_mut(&way).and_then(VecDeque::back_mut) {
            arguments.push(named);
        }
    }

    /// An argument of `-R`, or the next directory on the way to it, for the list of the directory `dir`.
    pub(super) async fn argument_inside<E>(
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

    /// Filter state around an argument of `-R`: the rule files of all directories on the way to it are read, those that it
    /// has in common with the argument before only once.
    pub(super) async fn enter_way<E>(
        &mut self,
        outer: &mut Scope,
        base: u32,
        name: &[u8],
    ) -> Result<(), Error<E>> {
        // A name without a way leaves that of the argument before (stock binary).
        if let Some(parent) = memchr::memrchr(b'/', name).and_then(|end| name.get(..end)) {
            let leads_on = |rest: &[u8]| matches!(rest, [] | [b'/', ..]);
            let is_on_it = |dir: &[u8]| parent.strip_prefix(dir).is_some_and(leads_on);
            self.relative.way.truncate(self.relative.way.iter().take_while(|(dir, _)| is_on_it(dir)).count());
        }
        let mut entered = 0;
        if let Some((dir, around)) = self.relative.way.last() {
            (entered, *outer) = (dir.len(), around.with_cwd(outer.cwd()));
        }
        while let Some(next) = name.get(entered + 1..).and_then(|rest| memchr::memchr(b'/', rest)) {
            entered += 1 + next;
            let dir = name.get(..entered).unwrap_or_default();
            *outer = self.enter_scope(outer, base, dir).await?;
            self.relative.way.push((dir.to_vec(), outer.clone()));
        }
        Ok(())
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
    pub(super) async fn implied_dirs(&mut self, base: u32, name: &[u8], list: &mut FileList) {
        let options = self.shared.options;
        if !options.select.implied_dirs && !self.shared.agreed.protocol.has_no_content_dirs() {
            return;
        }
        let Some(end) = memchr::memrchr(b'/', name).filter(|&i| i > 0) else { return };
        let parent = name.get(..end).unwrap_or_default().to_vec();
        let shared_len = common_components(&parent, &self.relative.last_parent.1);
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
        self.relative.last_parent = (base, parent);
    }
}
