//! Lists as they arrive, and what is done to one before it is used.

use alloc::vec::Vec;

use embedded_io_async::BufRead;
use hashbrown::HashSet;

use super::{Entrance, Shared, decide::group_allowed, guard::Guard, io_error};
use crate::{
    error::{Error, Limit, NameFault, ProtocolError, Role},
    exit::ExitCode,
    flist::{
        Format,
        decode::{Decoder, Foreign},
        encode::IdNames,
        entry::{Entry, EntryFlags, EntryRef, FileKind, FileList, Original},
        ids::{IdMap, IdRules, MapFault},
        order,
    },
    io::{MessageSink, WireReader},
    names::RelName,
    options::FilesFrom,
    ports::{Notice, Observer, Step, Target},
    setup::CompatFlags,
    wire::ndx::{NDX_FLIST_OFFSET, NdxState},
};

#[derive(Debug, Default)]
pub(super) struct Mapping {
    users: IdMap,
    groups: IdMap,
    /// Ids of users and of groups of which it was told what they became.
    told: [HashSet<u32>; 2],
}

impl Mapping {
    /// Tells what an id became, once.
    fn tell<O: Observer>(
        &mut self,
        shared: &Shared<'_, O>,
        group: bool,
        id: u32,
        names: &impl IdNames,
        to: u32,
    ) {
        let p = &shared.options.preserve;
        // Numbers that nothing maps are no news.
        if p.numeric_ids && if group { &p.groupmap } else { &p.usermap }.is_none() {
            return;
        }
        let [users, groups] = &mut self.told;
        if if group { groups } else { users }.insert(id) {
            let name = if p.numeric_ids { None } else { name_of(names, id, group) };
            shared.step(Role::ReceiverSide, &Step::IdMapped { group, id, name: name.as_deref(), to });
        }
    }

    /// From `--usermap` and `--groupmap`; a fault was reported when this fails.
    pub(super) fn new<O: Observer>(
        shared: &Shared<'_, O>,
        entrance: &impl Entrance,
    ) -> Result<Self, ExitCode> {
        let p = &shared.options.preserve;
        let parse = |list: &Option<Vec<u8>>, group: bool| -> Result<IdRules, ExitCode> {
            let Some(list) = list else { return Ok(IdRules::default()) };
            let lookup = |name: &[u8]| if group { entrance.group_id(name) } else { entrance.user_id(name) };
            let unknown =
                |name: &[u8]| shared.report(Role::ReceiverSide, &Notice::UnknownMapName { name, group });
            IdRules::parse(list, lookup, unknown).map_err(|fault| {
                let (kind, text) = match &fault {
                    MapFault::NoColon(t) => ("No colon found in", t),
                    MapFault::NoName(t) => ("No name found after colon", t),
                    MapFault::BadNumber(t) => ("Invalid number in", t),
                    MapFault::TooLarge(t) => {
                        shared.report(Role::ReceiverSide, &Notice::IdTooLarge(t));
                        return ExitCode::SYNTAX;
                    }
                };
                shared.report(Role::ReceiverSide, &Notice::BadMap { what: kind, text, group });
                ExitCode::SYNTAX
            })
        };
        // On one machine a name leads back to its id: only rules need to know it.
        let by_name = |list: &Option<Vec<u8>>| !(p.numeric_ids || shared.local && list.is_none());
        let named_zero = shared.local || shared.agreed.flags.contains(CompatFlags::ID0_NAMES);
        Ok(Self {
            users: IdMap::new(parse(&p.usermap, false)?, by_name(&p.usermap), named_zero),
            groups: IdMap::new(parse(&p.groupmap, true)?, by_name(&p.groupmap), named_zero),
            told: Default::default(),
        })
    }
}

/// Tells the names of a list that arrived.
pub(super) fn received_names<O: Observer>(shared: &Shared<'_, O>, role: Role, list: &FileList) {
    if !shared.observer.follows_steps() {
        return;
    }
    for entry in (0..list.len()).filter_map(|i| list.get(i)) {
        shared.step(role, &Step::ReceivedName(entry.name()));
    }
    shared.step(role, &Step::ReceivedNames(list.len()));
}

fn name_of(names: &impl IdNames, id: u32, group: bool) -> Option<Vec<u8>> {
    if group { names.group(id) } else { names.user(id) }
}

/// Keeps the ids that a local copy shows before they are mapped.
fn keep_originals(list: &mut FileList) {
    for position in 0..list.len() {
        let Some(&Entry { mtime, uid, gid, .. }) = list.entries.get(position) else { continue };
        list.extra_mut(position).original.get_or_insert(Original { mtime, uid, gid });
    }
}

/// Maps ids, applies `--chmod`, sorts, drops duplicates: what the receiving side does with a list. `names`: those of the
/// ids where the list comes from.
pub(super) fn prepare<T: Target, O: Observer>(
    shared: &Shared<'_, O>,
    target: Option<&T>,
    mapping: &mut Mapping,
    names: &impl IdNames,
    list: &mut FileList,
    start: i32,
) {
    let options = shared.options;
    let p = &options.preserve;
    if let Some(target) = target {
        let told = shared.observer.follows_steps();
        let rights = target.rights();
        if shared.local && (p.usermap.is_some() || p.groupmap.is_some()) {
            keep_originals(list);
        }
        for e in &mut list.entries {
            let (uid, gid) = (e.uid, e.gid);
            if p.owner {
                e.uid = mapping.users.map(uid, |id| names.user(id), |name| target.user_id(name));
                if told {
                    mapping.tell(shared, false, uid, names, e.uid);
                }
            }
            if p.group {
                e.gid = mapping.groups.map(gid, |id| names.group(id), |name| target.group_id(name));
                // In a local run the list is the sender's, who knows nothing of it.
                e.flags.set(EntryFlags::SKIP_GROUP, !shared.local && !group_allowed(e.gid, &rights));
                if told {
                    mapping.tell(shared, true, gid, names, e.gid);
                }
            }
        }
        // Without names and with several lists, those who are named by an ACL stay who they are, whatever owners become.
        shared.extended.prepare(|id, user| {
            if p.numeric_ids && shared.agreed.inc_recurse() {
                id
            } else if user {
                mapping.users.map(id, |id| names.user(id), |name| target.user_id(name))
            } else {
                mapping.groups.map(id, |id| names.group(id), |name| target.group_id(name))
            }
        });
    }
    if !shared.local {
        for e in &mut list.entries {
            e.mode = shared.chmodded(e.mode);
        }
    }
    let protocol = shared.agreed.protocol;
    order::sort(list, protocol);
    drop_duplicates(shared, list, start);
    if !shared.local {
        let mut stats = shared.stats.borrow_mut();
        list.entries.iter().for_each(|entry| stats.add_received(entry));
    }
}

/// Clears the later entries of a name in a sorted list, of which the first has index `start`, and tells of them. With
/// several lists those that both receiving processes of the reference read are told of by each: all but the first one and,
/// where that has a single entry, the second one.
pub(super) fn drop_duplicates<O: Observer>(shared: &Shared<'_, O>, list: &mut FileList, start: i32) {
    const BEHIND_ONE_ENTRY: i32 = 3;
    let tellers = if start > BEHIND_ONE_ENTRY { 2 } else { 1 };
    order::clear_duplicates(list, shared.agreed.protocol, |list, position| {
        let Some(entry) = list.get(position) else { return };
        #[allow(clippy::cast_possible_truncation, reason = "a list ends below 2^31")]
        let ndx = (start as u32).wrapping_add(position as u32);
        for _ in 0..tellers {
            shared.report(Role::ReceiverSide, &Notice::Duplicate { name: entry.name(), ndx });
        }
    });
}

/// Refuses a name that is not in the directory of its list. One without a directory is told as if it were in the root (stock
/// binary).
pub(super) fn outside<O: Observer>(shared: &Shared<'_, O>, role: Role, name: &[u8]) -> ProtocolError {
    let root: &[u8] = if name.contains(&b'/') { b"" } else { b"/" };
    shared.refuse(role, ProtocolError::Name(NameFault::Outside), &[root, name].concat())
}

/// In a session with one list each entry's directory must be in the list (spec: checks, directory parts).
fn check_parents<O: Observer>(shared: &Shared<'_, O>, list: &FileList) -> Result<(), ProtocolError> {
    let (options, protocol) = (shared.options, shared.agreed.protocol);
    if !protocol.has_names_without_parents() {
        return Ok(());
    }
    let mut last: &[u8] = b"";
    for e in list.entries.iter().filter(|e| !list.name(e).is_empty()) {
        let name = list.name(e);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let Some(dir) = memchr::memrchr(b'/', name).and_then(|i| name.get(..i)) else { continue };
        if dir == last
            || (options.select.relative
                && (!options.select.implied_dirs || options.select.files_from != FilesFrom::None))
        {
            continue;
        }
        if !is_listed(list, dir, protocol) && e.kind() != FileKind::Missing {
            return Err(shared.refuse(Role::Generator, ProtocolError::Name(NameFault::WrongDirectory), name));
        }
        last = dir;
    }
    Ok(())
}

/// Whether a sorted list has this directory.
fn is_listed(list: &FileList, dir: &[u8], protocol: crate::version::ProtocolVersion) -> bool {
    let found = list.entries.binary_search_by(|other| {
        let name = list.name(other);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if protocol.has_dir_slash_order() {
            order::compare(name, other.is_dir(), dir, true)
        } else {
            name.cmp(dir)
        }
    });
    found.is_ok()
}

/// Whether the directory of an argument that is missing at the sender is not in the list.
pub(super) fn lacks_parent<O>(shared: &Shared<'_, O>, list: &FileList, entry: EntryRef<'_>) -> bool {
    let dir = entry.rel_name().parent();
    entry.entry.kind() == FileKind::Missing
        && !shared.agreed.inc_recurse()
        && dir != RelName::ROOT
        && !is_listed(list, dir.bytes(), shared.agreed.protocol)
}

/// Below protocol 30 a name without its directory is refused when its turn comes, as in the reference, also where `--no-implied-dirs`
/// has asked for such names.
pub(super) fn is_refused_orphan<O>(shared: &Shared<'_, O>, list: &FileList, entry: EntryRef<'_>) -> bool {
    let protocol = shared.agreed.protocol;
    if protocol.has_names_without_parents() || shared.local || entry.entry.kind() == FileKind::Missing {
        return false;
    }
    let dir = entry.rel_name().parent();
    dir != RelName::ROOT && !is_listed(list, dir.bytes(), protocol)
}

/// Reads lists; used before and beside the receiver's main loop.
pub(super) struct ListReader {
    pub(super) decoder: Decoder,
    pub(super) read_ndx: NdxState,
    pub(super) mapping: Mapping,
    pub(super) guard: Guard,
}

impl ListReader {
    pub(super) fn new<O>(shared: &Shared<'_, O>, guard: Guard) -> Self {
        let format = Format::new(shared.options, &shared.agreed);
        let mut decoder = Decoder::new(format, shared.options.select.recursive);
        decoder.tables = shared.extended.tables.clone();
        decoder.conversion.clone_from(&shared.conversion);
        let read_ndx = NdxState::new(shared.agreed.protocol);
        Self { decoder, read_ndx, mapping: Mapping::default(), guard }
    }

    async fn decode<R: BufRead, S: MessageSink, O: Observer>(
        &mut self,
        r: &mut WireReader<R, S>,
        shared: &Shared<'_, O>,
        role: Role,
        start: i32,
    ) -> Result<(FileList, u32), Error<R::Error>> {
        let read = self.decoder.list(r, start).await;
        if let Err(Error::Protocol(fault)) = read
            && matches!(
                fault,
                ProtocolError::Name(_)
                    | ProtocolError::BadMode(_)
                    | ProtocolError::OutOfRange { what: Limit::XattrIndex, .. }
            )
            && fault != ProtocolError::Name(NameFault::Overflow)
        {
            shared.refuse(role, fault, self.decoder.raw_name());
        }
        read
    }

    /// One list. Its bytes count as those of the file list; what a replay reads was counted when it was recorded.
    pub(super) async fn read<R: BufRead, S: MessageSink, O: Observer>(
        &mut self,
        r: &mut WireReader<R, S>,
        shared: &Shared<'_, O>,
        start: i32,
    ) -> Result<(FileList, u32), Error<R::Error>> {
        let before = r.count_of_frames();
        let read = self.decode(r, shared, Role::Receiver, start).await?;
        if !shared.options.read_batch {
            shared.stats.borrow_mut().flist_bytes += r.count_of_frames() - before;
        }
        Ok(read)
    }

    /// The list behind a first one of a single entry; `None`: its number says something else.
    pub(super) async fn second<R: BufRead, S: MessageSink, O: Observer>(
        &mut self,
        r: &mut WireReader<R, S>,
        shared: &Shared<'_, O>,
        ndx: i32,
        start: i32,
    ) -> Result<Option<(FileList, u32)>, Error<R::Error>> {
        // It can only be that of the first directory.
        if ndx != NDX_FLIST_OFFSET {
            return Ok(None);
        }
        let (mut list, errors) = self.read(r, shared, start).await?;
        shared.step(Role::Receiver, &Step::ReceivingList(0));
        received_names(shared, Role::Receiver, &list);
        self.guard.check(shared, &mut list, false)?;
        Ok(Some((list, errors)))
    }

    /// Reports what could not be converted in the last list. Where names are compared with those that were asked for,
    /// the first name that is none ends the session.
    pub(super) fn report_foreign<O: Observer>(&mut self, shared: &Shared<'_, O>, role: Role) {
        for Foreign { name, link, error } in self.decoder.foreign.drain(..) {
            shared.add_io_error(io_error::GENERAL);
            if link {
                shared.report(role, &Notice::CannotConvertLink { name: &name, base: None, error });
            } else {
                shared.report(role, &Notice::CannotConvertName { name: &name, error });
                if self.guard.is_strict() {
                    return;
                }
            }
        }
    }

    /// The first list with everything that follows it. Ids are mapped later, when there is a target.
    pub(super) async fn first<R: BufRead, S: MessageSink, O: Observer>(
        &mut self,
        r: &mut WireReader<R, S>,
        shared: &Shared<'_, O>,
        start: i32,
    ) -> Result<FileList, Error<R::Error>> {
        let (mut list, errors) = self.decode(r, shared, Role::ReceiverSide, start).await?;
        self.report_foreign(shared, Role::ReceiverSide);
        received_names(shared, Role::ReceiverSide, &list);
        self.guard.check(shared, &mut list, false)?;
        self.decoder.id_lists(r).await?;
        let mut bits = errors;
        if !shared.agreed.protocol.has_varints() {
            bits |= r.i32().await? as u32 & 7;
        }
        if !shared.options.delete.ignore_errors {
            shared.add_io_error(bits);
        }
        if shared.agreed.inc_recurse() {
            for e in &list.entries {
                let name = list.name(e);
                if name.strip_prefix(b"/").unwrap_or(name).contains(&b'/') {
                    return Err(outside(shared, Role::ReceiverSide, name).into());
                }
            }
        }
        Ok(list)
    }
}

/// Checks and prepares the first list once there is a target.
pub(super) fn prepare_first<T: Target, O: Observer, E>(
    shared: &Shared<'_, O>,
    target: Option<&T>,
    lists: &mut ListReader,
    list: &mut FileList,
    start: i32,
) -> Result<(), Error<E>> {
    prepare(shared, target, &mut lists.mapping, &lists.decoder, list, start);
    if !shared.agreed.inc_recurse() {
        check_parents(shared, list)?;
    }
    Ok(())
}
