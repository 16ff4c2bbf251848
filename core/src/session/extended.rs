//! ACLs and extended attributes in the conversations: read at the sender, compared and requested by the
//! generator, answered by the sender, taken by the receiver, and set (spec: ACLs; extended attributes).
//!
//! Entries hold numbers of the tables in [`State`]. The receiving side keeps its own form of each attribute
//! set, with the names that it uses and the values that it knows.

use alloc::{rc::Rc, vec::Vec};
use core::cell::RefCell;

use embedded_io_async::BufRead;

use super::{
    Inbox, Shared, decide,
    dest_side::DestSide,
    goodbye::ItemHeader,
    io_error,
    mask::KnownMask,
    names::{NameRules, stored_names},
    standing::report_attrs,
};
use crate::{
    error::{Error, ProtocolError, Role},
    filter::Scope,
    flist::{
        Tables,
        acl::{Acl, Kind},
        entry::{EntryRef, FileKind, FileList, mode},
        xattr::{self, Value, ValueDigest, ValueSums, Xattr},
    },
    io::{ChunkWrite, WireReader, WireWriter},
    item::ItemFlags,
    names::{RelName, below},
    ports::{
        Attrs, Extended, Notice, Observer, Op, Place, PortError, Source, SourcePath, Stat, Target,
        XattrChange,
    },
    setup::CompatFlags,
};

/// What a session knows about ACLs and attribute sets.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// As they travel.
    pub(crate) tables: Rc<Tables>,
    receiving: RefCell<Receiving>,
    pub(super) masks: RefCell<Vec<KnownMask>>,
}

#[derive(Debug, Default)]
struct Receiving {
    names: Option<Rc<NameRules>>,
    sets: Vec<Rc<Vec<Held>>>,
    /// The item in the generator's hands differs: its set, and the attributes whose values are wanted. The
    /// attributes are set when the sender's answer is there.
    pending: Option<(u32, Vec<u32>)>,
    /// The attributes of what stands in the place of that item cannot be read: the generator leaves them as they are.
    unread: bool,
}

/// An attribute as the receiving side wants it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Number on the wire.
    pub(super) item: u32,
    pub(super) name: Vec<u8>,
    value: HeldValue,
}

#[derive(Debug, Clone)]
enum HeldValue {
    Known(Vec<u8>),
    Short { len: u32, sum: ValueDigest, requested: bool },
}

impl Held {
    pub(super) fn is(&self, value: &[u8], sums: ValueSums) -> bool {
        match &self.value {
            HeldValue::Known(known) => known == value,
            HeldValue::Short { len, sum, .. } => {
                u32::try_from(value.len()) == Ok(*len) && sums.digest(value) == *sum
            }
        }
    }

    pub(super) fn is_short(&self) -> bool {
        matches!(self.value, HeldValue::Short { .. })
    }
}

impl State {
    /// Says what holds for names at the destination.
    pub(super) fn receive<O>(&self, shared: &Shared<'_, O>, scope: &Scope, root: bool) {
        let names = NameRules::new(shared.options, scope, root);
        self.receiving.borrow_mut().names = Some(Rc::new(names));
    }

    /// Takes over what came with a list: ids are mapped, names are those used here.
    pub(super) fn prepare(&self, mut map: impl FnMut(u32, bool) -> u32) {
        for kind in [Kind::Access, Kind::Default] {
            self.tables.acls(kind).borrow_mut().map_ids(&mut map);
        }
        let receiving = &mut *self.receiving.borrow_mut();
        let Some(names) = &receiving.names else { return };
        let table = self.tables.xattrs.borrow();
        while receiving.sets.len() < table.len() {
            let number = u32::try_from(receiving.sets.len() + 1).unwrap_or(u32::MAX);
            let set = table.get(number).map_or(&[][..], Vec::as_slice);
            let mut held: Vec<Held> = (1..)
                .zip(set)
                .filter_map(|(item, xattr)| {
                    let value = match &xattr.value {
                        Value::Plain(value) => HeldValue::Known(value.clone()),
                        Value::Digest { len, sum } => {
                            HeldValue::Short { len: *len, sum: *sum, requested: false }
                        }
                    };
                    Some(Held { item, name: names.accepted(&xattr.name)?, value })
                })
                .collect();
            held.sort_by(|a, b| a.name.cmp(&b.name));
            receiving.sets.push(Rc::new(held));
        }
    }

    fn names(&self) -> Option<Rc<NameRules>> {
        self.receiving.borrow().names.clone()
    }

    pub(super) fn set(&self, number: u32) -> Option<Rc<Vec<Held>>> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.receiving.borrow().sets.get(at).cloned()
    }

    /// The set's attributes are left to whoever gets the sender's answer.
    pub(super) fn is_pending(&self, number: u32) -> bool {
        self.receiving.borrow().pending.as_ref().is_some_and(|(set, _)| *set == number)
    }

    /// The values to ask for with the current item, which are noted as asked for.
    fn request(&self, number: u32) -> Vec<u32> {
        let receiving = &mut *self.receiving.borrow_mut();
        let Some((set, wanted)) = &receiving.pending else { return Vec::new() };
        let held = usize::try_from(number).ok().and_then(|n| receiving.sets.get_mut(n.checked_sub(1)?));
        let Some(held) = held.filter(|_| *set == number && !wanted.is_empty()) else { return Vec::new() };
        let mut numbers = Vec::new();
        for xattr in Rc::make_mut(held).iter_mut().filter(|x| wanted.contains(&x.item)) {
            if let HeldValue::Short { requested: requested @ false, .. } = &mut xattr.value {
                *requested = true;
                numbers.push(xattr.item);
            }
        }
        numbers.sort_unstable();
        numbers
    }

    /// A value that was found on this side.
    fn learn(&self, number: u32, item: u32, value: Vec<u8>) {
        let receiving = &mut *self.receiving.borrow_mut();
        let held = usize::try_from(number).ok().and_then(|n| receiving.sets.get_mut(n.checked_sub(1)?));
        if let Some(found) = held.and_then(|set| Rc::make_mut(set).iter_mut().find(|x| x.item == item)) {
            found.value = HeldValue::Known(value);
        }
    }

    /// A value that was asked for, or, where the stream is a recording (`replay`), one that was asked for then.
    fn supply(&self, number: u32, item: u32, value: Vec<u8>, replay: bool) -> Result<(), ProtocolError> {
        let receiving = &mut *self.receiving.borrow_mut();
        let held = usize::try_from(number).ok().and_then(|n| receiving.sets.get_mut(n.checked_sub(1)?));
        let found = held.and_then(|set| Rc::make_mut(set).iter_mut().find(|x| x.item == item));
        match found.map(|x| &mut x.value) {
            Some(slot) if replay || matches!(slot, HeldValue::Short { requested: true, .. }) => {
                *slot = HeldValue::Known(value);
                Ok(())
            }
            _ => Err(ProtocolError::BadTableIndex("xattr reply")),
        }
    }
}

pub(super) fn value_sums<O>(shared: &Shared<'_, O>) -> ValueSums {
    ValueSums::new(shared.agreed.protocol, shared.agreed.seed)
}

/// Values or requests stand behind an item header with these flags.
fn list_follows<O>(shared: &Shared<'_, O>, flags: ItemFlags) -> bool {
    let agreed = &shared.agreed;
    let left_out = agreed.protocol.omits_xattrs_of_links()
        && !agreed.flags.contains(CompatFlags::AVOID_XATTR_OPTIM)
        && flags.contains(ItemFlags::XNAME_FOLLOWS | ItemFlags::LOCAL_CHANGE);
    // Where flags do not travel, nobody can expect anything behind them.
    let told = shared.local || agreed.protocol.has_item_flags();
    shared.options.preserve.xattrs > 0
        && told
        && flags.contains(ItemFlags::REPORT_XATTR)
        && !shared.options.asks_for_nothing()
        && !left_out
}

// ----- the sender -----------------------------------------------------------------------------------------

/// Gives the newest entry its ACLs and attributes. False: they cannot be read, which was reported; the entry
/// must go.
pub(super) async fn attach<S: Source, O: Observer>(
    shared: &Shared<'_, O>,
    source: &S,
    list: &mut FileList,
    path: SourcePath<'_>,
    scope: &Scope,
) -> bool {
    let p = &shared.options.preserve;
    let is_there = list.entries.last().is_some_and(|entry| entry.kind() != FileKind::Missing);
    if !p.acls && p.xattrs == 0 || !is_there {
        return true;
    }
    match read_all(shared, source, list, path, scope).await {
        Ok(()) => true,
        Err((op, xattr, error)) => {
            shared.add_io_error(io_error::GENERAL);
            let notice = Notice::Failed { op, name: path.name, base: Some(path.base), other: &xattr, error };
            shared.report(Role::Sender, &notice);
            list.pop();
            false
        }
    }
}

async fn read_all<S: Source, O: Observer>(
    shared: &Shared<'_, O>,
    source: &S,
    list: &mut FileList,
    path: SourcePath<'_>,
    scope: &Scope,
) -> Result<(), (Op, Vec<u8>, PortError)> {
    let p = &shared.options.preserve;
    let tables = &shared.extended.tables;
    let position = list.len().saturating_sub(1);
    let Some(entry) = list.entries.get(position).copied() else { return Ok(()) };
    let follow = !entry.is_symlink();
    if p.acls && !entry.is_symlink() {
        let read = source.acl(path, follow, Kind::Access).await;
        let acl = read.map_err(|e| (Op::GetAcl(Kind::Access), Vec::new(), e))?.unwrap_or_default();
        let number = tables.acls(Kind::Access).borrow_mut().intern(&acl.stripped(entry.mode));
        list.extra_mut(position).acl = number;
        if entry.is_dir() {
            let read = source.acl(path, follow, Kind::Default).await;
            let acl = read.map_err(|e| (Op::GetAcl(Kind::Default), Vec::new(), e))?.unwrap_or_default();
            let number = tables.acls(Kind::Default).borrow_mut().intern(&acl);
            list.extra_mut(position).default_acl = number;
        }
    }
    if p.xattrs > 0 {
        let rules = NameRules::new(shared.options, scope, true);
        let names = source.xattr_names(path).await;
        let mut set: Vec<Xattr> = Vec::new();
        for name in names.map_err(|e| (Op::ListXattrs, Vec::new(), e))? {
            let Some(sent) = rules.sent(&name) else { continue };
            let value = source.xattr(path, &name).await;
            let value = value.map_err(|e| (Op::GetXattr, name.clone(), e))?;
            set.push(Xattr { name: sent.to_vec(), value: Value::of(value, value_sums(shared)) });
        }
        set.sort_by(|a, b| a.name.cmp(&b.name));
        set.dedup_by(|a, b| a.name == b.name);
        list.extra_mut(position).xattrs = tables.xattrs.borrow_mut().intern(set);
    }
    Ok(())
}

/// The value now of an attribute by the name under which it travels; empty if it cannot be read, which is reported.
async fn current_value<S: Source, O: Observer>(
    shared: &Shared<'_, O>,
    source: &S,
    entry: EntryRef<'_>,
    name: &[u8],
) -> Vec<u8> {
    let path = SourcePath { base: entry.entry.base, name: below(entry.name()) };
    let mut failure = None;
    for stored in stored_names(name, shared.options.preserve.fake_super) {
        match source.xattr(path, &stored).await {
            Ok(value) => return value,
            Err(error) => {
                failure.get_or_insert((stored, error));
            }
        }
    }
    if let Some((xattr, error)) = failure {
        let (op, base) = (Op::GetXattr, Some(path.base));
        shared.report(Role::Sender, &Notice::Failed { op, name: path.name, base, other: &xattr, error });
        shared.report(Role::Sender, &Notice::XattrGone { name: path.name, xattr: &xattr });
    }
    Vec::new()
}

/// Sender: reads the request behind an item header; `answer` is what goes back behind the echoed header.
pub(super) async fn read_request<R: BufRead, S: Source, O: Observer>(
    r: &mut WireReader<R, Inbox<'_, O>>,
    shared: &Shared<'_, O>,
    source: &S,
    entry: EntryRef<'_>,
    header: &ItemHeader,
    answer: &mut Vec<u8>,
) -> Result<(), Error<R::Error>> {
    answer.clear();
    if !list_follows(shared, header.flags) {
        return Ok(());
    }
    let numbers = xattr::read_request(r).await?;
    let set = entry.extra().xattrs;
    let mut last = 0;
    for item in numbers {
        let name = shared.extended.tables.xattrs.borrow_mut().answer(set, item)?.to_vec();
        let value = current_value(shared, source, entry, &name).await;
        xattr::encode_value(item, last, &value, answer);
        last = item;
    }
    answer.push(0);
    Ok(())
}

/// Sender: takes a request that nobody waits for any more.
pub(super) async fn skip_request<R: BufRead, O: Observer>(
    r: &mut WireReader<R, Inbox<'_, O>>,
    shared: &Shared<'_, O>,
    header: &ItemHeader,
) -> Result<(), Error<R::Error>> {
    if list_follows(shared, header.flags) {
        xattr::read_request(r).await?;
    }
    Ok(())
}

// ----- the receiving side ---------------------------------------------------------------------------------

/// Generator: writes the request behind an item header.
pub(super) async fn write_request<W: ChunkWrite, O: Observer>(
    w: &mut WireWriter<W, Vec<u8>>,
    shared: &Shared<'_, O>,
    entry: EntryRef<'_>,
    flags: ItemFlags,
) -> Result<(), Error<W::Error>> {
    if !list_follows(shared, flags) {
        return Ok(());
    }
    let mut out = Vec::new();
    xattr::encode_request(&shared.extended.request(entry.extra().xattrs), &mut out);
    w.bytes(&out).await
}

/// A link to the leader of its group has the leader's attributes, whatever the answer says.
const fn is_link(flags: ItemFlags) -> bool {
    flags.contains(ItemFlags::XNAME_FOLLOWS.union(ItemFlags::LOCAL_CHANGE))
}

/// Receiver: takes the answer behind an item header. True: there was one, and the attributes are to be set.
pub(super) async fn read_reply<R: BufRead, O: Observer>(
    r: &mut WireReader<R, Inbox<'_, O>>,
    shared: &Shared<'_, O>,
    entry: EntryRef<'_>,
    header: &ItemHeader,
) -> Result<bool, Error<R::Error>> {
    if !list_follows(shared, header.flags) {
        return Ok(false);
    }
    let set = entry.extra().xattrs;
    let mut last = 0;
    loop {
        let mut value = Vec::new();
        let Some(item) = xattr::read_value(r, last, &mut value).await? else {
            // What is only recorded changes nothing.
            return Ok(!is_link(header.flags) && !shared.options.dry_run);
        };
        shared.extended.supply(set, item, value, shared.options.read_batch)?;
        last = item;
    }
}

impl<T: Target, O: Observer> DestSide<'_, T, O> {
    /// Local runs: the wanted values straight from the source.
    pub(super) async fn fetch_xattrs<S: Source>(&self, source: &S, entry: EntryRef<'_>, flags: ItemFlags) {
        let shared = self.shared;
        if !list_follows(shared, flags) {
            return;
        }
        let set = entry.extra().xattrs;
        for item in shared.extended.request(set) {
            let name = shared.extended.tables.xattrs.borrow().get(set).and_then(|set| {
                let at = usize::try_from(item).ok()?.checked_sub(1)?;
                set.get(at).map(|x| x.name.clone())
            });
            let value = current_value(shared, source, entry, &name.unwrap_or_default()).await;
            // It was asked for just now.
            let _ = shared.extended.supply(set, item, value, false);
        }
    }

    /// Sets the attributes of an item whose turn has come, where the generator left them.
    pub(super) async fn set_answered(&self, entry: EntryRef<'_>, flags: ItemFlags) {
        if list_follows(self.shared, flags) && !is_link(flags) {
            self.set_xattrs(entry, Role::Receiver).await;
        }
    }

    /// Flags for ACL and attributes, compared with what stands somewhere; `None`: the item is new. Notes which
    /// values are to be asked for.
    pub(super) async fn extended_flags(
        &self,
        entry: EntryRef<'_>,
        wanted_mode: u32,
        against: Option<Place<'_>>,
    ) -> ItemFlags {
        let acl = match against {
            Some(at) => self.acl_flag(entry, wanted_mode, at).await,
            None => ItemFlags::empty(),
        };
        acl | self.xattr_flag(entry, against).await
    }

    /// The part of [`Self::extended_flags`] for the ACL.
    pub(super) async fn acl_flag(&self, entry: EntryRef<'_>, wanted_mode: u32, at: Place<'_>) -> ItemFlags {
        let same = self.same_acls(entry, wanted_mode, at).await;
        if same { ItemFlags::empty() } else { ItemFlags::REPORT_ACL }
    }

    /// The part of [`Self::extended_flags`] for the attributes.
    pub(super) async fn xattr_flag(&self, entry: EntryRef<'_>, against: Option<Place<'_>>) -> ItemFlags {
        let mut flags = ItemFlags::empty();
        let number = entry.extra().xattrs;
        let mut pending = None;
        let mut unread = false;
        if self.shared.options.preserve.xattrs > 0 {
            let here = match against {
                Some(at) => self.attributes_at(at).await,
                None => Some(Vec::new()),
            };
            unread = here.is_none();
            let (differs, wanted) = self.compare_xattrs(number, &here.unwrap_or_default());
            flags.set(ItemFlags::REPORT_XATTR, differs);
            pending = differs.then_some((number, wanted));
        }
        let mut receiving = self.shared.extended.receiving.borrow_mut();
        (receiving.pending, receiving.unread) = (pending, unread);
        drop(receiving);
        flags
    }

    /// What comes in place of something that cannot have an ACL: one that says more than the mode is a change.
    pub(super) fn acl_instead_of_none(&self, entry: EntryRef<'_>) -> ItemFlags {
        let comes = self.shared.options.preserve.acls && !self.acl_of(entry, Kind::Access).is_trivial();
        if comes { ItemFlags::REPORT_ACL } else { ItemFlags::empty() }
    }

    /// [`Self::extended_flags`] of a new link: attributes are mentioned as with anything new, but the values are those
    /// that the link has.
    pub(super) async fn new_link_flags(
        &self,
        entry: EntryRef<'_>,
        wanted_mode: u32,
        at: Place<'_>,
    ) -> ItemFlags {
        let mut flags = self.extended_flags(entry, wanted_mode, Some(at)).await;
        flags.remove(ItemFlags::REPORT_ACL);
        let number = entry.extra().xattrs;
        if self.shared.extended.set(number).is_some_and(|set| !set.is_empty()) {
            flags |= ItemFlags::REPORT_XATTR;
            self.shared.extended.receiving.borrow_mut().pending.get_or_insert((number, Vec::new()));
        }
        flags
    }

    /// Attributes of a further name of a file that has just got them: as if they were still to come.
    pub(super) fn xattrs_as_of_leader(&self, entry: EntryRef<'_>) -> ItemFlags {
        let number = entry.extra().xattrs;
        self.shared.extended.receiving.borrow_mut().pending.get_or_insert((number, Vec::new()));
        ItemFlags::REPORT_XATTR
    }

    /// What a file that is to be replaced has of its set's values is known from here on, for all items with that set. A
    /// reader of a recorded stream relies on it: such values are not in it a second time (stock binary).
    pub(super) async fn learn_values(&self, entry: EntryRef<'_>, at: Place<'_>) {
        let number = entry.extra().xattrs;
        if self.shared.options.asks_for_nothing() {
            return;
        }
        let Some(set) = self.shared.extended.set(number) else { return };
        for xattr in set.iter().filter(|x| matches!(x.value, HeldValue::Short { requested: false, .. })) {
            if let Ok(value) = self.target.xattr(at, &xattr.name).await
                && xattr.is(&value, value_sums(self.shared))
            {
                self.shared.extended.learn(number, xattr.item, value);
            }
        }
    }

    /// As the reference shows what is not transferred: permissions that come with the ACL are not mentioned. One that
    /// `--fake-super` keeps in an attribute brings none.
    pub(super) fn acl_brings_mode(&self, flags: &mut ItemFlags, wanted_mode: u32, seen: u32) {
        if self.shared.options.preserve.fake_super {
            return;
        }
        if flags.contains(ItemFlags::REPORT_ACL) && (wanted_mode ^ seen) & 0o7000 == 0 {
            flags.remove(ItemFlags::REPORT_PERMS);
        }
    }

    /// ACL and attributes are those wanted.
    pub(super) async fn same_extended(&self, entry: EntryRef<'_>, wanted_mode: u32, at: Place<'_>) -> bool {
        self.same_acls(entry, wanted_mode, at).await
            && (self.shared.options.preserve.xattrs == 0
                || !self.differs_from(entry.extra().xattrs, at).await)
    }

    pub(super) fn failed(&self, op: Op, at: Place<'_>, xattr: &[u8], error: PortError) {
        let notice = Notice::Failed { op, name: at.name().bytes(), base: None, other: xattr, error };
        self.shared.report(Role::Generator, &notice);
    }

    /// A received ACL of an entry.
    fn acl_of(&self, entry: EntryRef<'_>, kind: Kind) -> Acl {
        let extra = entry.extra();
        let number = if kind == Kind::Access { extra.acl } else { extra.default_acl };
        let table = self.shared.extended.tables.acls(kind).borrow();
        table.get(number).cloned().unwrap_or_default().completed(kind, entry.entry.mode)
    }

    async fn same_acls(&self, entry: EntryRef<'_>, wanted_mode: u32, at: Place<'_>) -> bool {
        if !self.shared.options.preserve.acls || entry.entry.is_symlink() {
            return true;
        }
        let kinds: &[Kind] =
            if entry.entry.is_dir() { &[Kind::Access, Kind::Default] } else { &[Kind::Access] };
        for &kind in kinds {
            let here = match self.target.acl(at, kind).await {
                Ok(acl) => acl.unwrap_or_default(),
                Err(error) => {
                    self.failed(Op::GetTargetAcl(kind), at, &[], error);
                    continue;
                }
            };
            let wanted = self.acl_of(entry, kind);
            let same = match kind {
                Kind::Access => wanted.same_access(&here, wanted_mode),
                Kind::Default => wanted == here,
            };
            if !same {
                return false;
            }
        }
        true
    }

    /// Names of the attributes that count here.
    pub(super) async fn names_at(&self, at: Place<'_>) -> Vec<Vec<u8>> {
        let Some(rules) = self.shared.extended.names() else { return Vec::new() };
        let mut names = match self.target.xattr_names(at).await {
            Ok(names) => names,
            Err(error) => {
                if !error.is_not_found() {
                    self.failed(Op::ListXattrs, at, &[], error);
                }
                return Vec::new();
            }
        };
        names.retain(|name| rules.visible(name));
        names
    }

    /// A value that was not sent because something here has it.
    async fn value_here(&self, xattr: &Held, name: RelName<'_>) -> Option<Vec<u8>> {
        let alternates = self.shared.options.transfer.alt_dests.len();
        let places = (0..alternates).filter_map(|n| Some(Place::Alt(u8::try_from(n).ok()?, name)));
        for at in core::iter::once(Place::Dest(name)).chain(places) {
            if let Ok(value) = self.target.xattr(at, &xattr.name).await
                && xattr.is(&value, value_sums(self.shared))
            {
                return Some(value);
            }
        }
        None
    }

    /// What makes the attributes at `at` those of a set; `None`: something new, without any.
    async fn xattr_changes(&self, number: u32, name: RelName<'_>, at: Option<Place<'_>>) -> Vec<XattrChange> {
        let mut changes = Vec::new();
        let Some(set) = self.shared.extended.set(number) else { return changes };
        let mut here = match at {
            Some(at) => self.names_at(at).await,
            None => Vec::new(),
        };
        here.sort_unstable();
        for xattr in set.iter() {
            if let (Some(at), Ok(_)) = (at, here.binary_search(&xattr.name))
                && self
                    .target
                    .xattr(at, &xattr.name)
                    .await
                    .is_ok_and(|value| xattr.is(&value, value_sums(self.shared)))
            {
                continue;
            }
            let value = match &xattr.value {
                HeldValue::Known(value) => Some(value.clone()),
                HeldValue::Short { .. } => self.value_here(xattr, name).await,
            };
            if value.is_some() {
                changes.push(XattrChange { name: xattr.name.clone(), value });
            } else {
                let notice = Notice::XattrMissing { name: name.bytes(), xattr: &xattr.name };
                self.shared.report(Role::Receiver, &notice);
            }
        }
        for name in here {
            if set.binary_search_by(|x| x.name.cmp(&name)).is_err() {
                changes.push(XattrChange { name, value: None });
            }
        }
        changes
    }

    /// What is to be set beside the plain attributes. `at`: where the item stands; `None`: it is new.
    pub(super) async fn extended(
        &self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        at: Option<Place<'_>>,
        xattrs: bool,
    ) -> Option<Extended> {
        let p = &self.shared.options.preserve;
        if !p.acls && p.xattrs == 0 {
            return None;
        }
        let mut out = Extended::default();
        if p.acls && !entry.entry.is_symlink() {
            out.acl = Some(self.acl_of(entry, Kind::Access));
            out.default_acl = entry.entry.is_dir().then(|| self.acl_of(entry, Kind::Default));
        }
        if xattrs && p.xattrs > 0 {
            out.xattrs = self.xattr_changes(entry.extra().xattrs, name, at).await;
        }
        Some(out)
    }

    /// Dry run: whether setting attributes would change anything at once.
    pub(super) async fn would_change(
        &self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        wanted_mode: u32,
        stat: &Stat,
        attrs: &Attrs,
    ) -> bool {
        attrs.mode.is_some_and(|m| (m ^ stat.mode) & mode::PERMS != 0)
            || attrs.uid.is_some_and(|uid| uid != stat.uid)
            || attrs.gid.is_some_and(|gid| gid != stat.gid)
            || attrs.mtime.is_some_and(|time| time != (stat.mtime, stat.nsec))
            || attrs.atime.is_some()
            || !self.same_acls(entry, wanted_mode, Place::Dest(name)).await
    }

    /// What the generator sets on something in place: the attributes only where the sender has nothing to say
    /// about them.
    pub(super) async fn generator_extended(
        &self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
    ) -> Option<Extended> {
        let waits = self.shared.extended.is_pending(entry.extra().xattrs);
        let unread = self.shared.extended.receiving.borrow().unread;
        self.extended(entry, name, Some(Place::Dest(name)), !waits && !unread).await
    }

    /// Has the completion of a file set its ACL and attributes. `generator`: the attributes may have to wait for
    /// the sender's answer.
    pub(super) async fn attach(&self, out: &mut T::Output, entry: EntryRef<'_>, generator: bool) {
        let name = self.local_name(entry);
        let at = self.shared.options.transfer.inplace.then_some(Place::Dest(name));
        let waits = generator && self.shared.extended.is_pending(entry.extra().xattrs);
        if let Some(extended) = self.extended(entry, name, at, !waits).await {
            self.target.attach(out, extended);
        }
    }

    /// Sets the attributes of something in place, now that all values are known.
    pub(super) async fn set_xattrs(&self, entry: EntryRef<'_>, role: Role) {
        let name = self.local_name(entry);
        let at = Place::Dest(name);
        let stat = match self.target.stat(at, false).await {
            Ok(Some(stat)) => stat,
            missing => {
                // Making it failed, which was said by the generator.
                let error = missing.err().unwrap_or(PortError::NOT_FOUND);
                let notice =
                    Notice::Failed { op: Op::Stat, name: name.bytes(), base: None, other: &[], error };
                self.shared.report(role, &notice);
                return;
            }
        };
        if stat.kind() != entry.entry.kind() {
            return;
        }
        let mut extended = self.extended(entry, name, Some(at), true).await.unwrap_or_default();
        let attrs = self.attrs_with_xattrs(entry, &stat);
        let preserve = &self.shared.options.preserve;
        if !preserve.acls && extended.xattrs.is_empty() && attrs == Attrs::default() {
            return;
        }
        if preserve.fake_super {
            // It is in an attribute already, and stays there.
            (extended.acl, extended.default_acl) = (None, None);
        }
        match self.target.set_extended(at, &stat, &attrs, &extended).await {
            Ok(_) => {}
            Err((step, error)) => report_attrs(self.shared, role, name.bytes(), step, error),
        }
        self.report_failures(role);
    }

    /// The plain attributes that come with the extended ones. The generator has set them before, or tried to, unless the
    /// item of a batch comes first.
    fn attrs_with_xattrs(&self, entry: EntryRef<'_>, standing: &Stat) -> Attrs {
        let all = self.attrs(entry, entry.entry.mode);
        let uid = all.uid.filter(|&uid| uid != standing.uid);
        let gid = all.gid.filter(|&gid| gid != standing.gid);
        // A new owner takes set-id bits away.
        let owned = uid.is_some() || gid.is_some();
        let mode = self.mode_with_attributes(entry, standing);
        let mode = mode.filter(|m| owned || (m ^ standing.mode) & mode::PERMS != 0);
        Attrs { uid, gid, mode, ..self.exact_times(entry, standing) }
    }

    /// The mode that comes with the attributes of an item. A directory stays open to its owner for as long as it is filled,
    /// which with `-p` is the generator's business.
    fn mode_with_attributes(&self, entry: EntryRef<'_>, standing: &Stat) -> Option<u32> {
        let preserve = &self.shared.options.preserve;
        if entry.entry.is_symlink() && !preserve.fake_super {
            return None;
        }
        if preserve.perms {
            return (!entry.entry.is_dir()).then_some(entry.entry.mode);
        }
        let taken = decide::mode_with_attributes(entry.entry.mode, standing);
        Some(if entry.entry.is_dir() { self.while_filled(taken) } else { taken })
    }

    /// The mode of a directory for as long as its contents change: with the right to write for its owner. One that takes
    /// the name of the destination comes alone.
    pub(super) fn while_filled(&self, mode: u32) -> u32 {
        let filled = self.single_name.is_none() && !self.rights.super_user;
        if filled { mode | 0o700 } else { mode }
    }

    /// The times of an item whose attributes were not those wanted: they are made the same to the nanosecond then,
    /// whatever the window (stock binary).
    fn exact_times(&self, entry: EntryRef<'_>, standing: &Stat) -> Attrs {
        if (entry.entry.mtime, entry.entry.nsec) == (standing.mtime, standing.nsec) {
            return Attrs::default();
        }
        let all = self.attrs(entry, entry.entry.mode);
        Attrs { mtime: all.mtime, atime: all.atime.filter(|_| all.mtime.is_some()), ..Attrs::default() }
    }

    /// Reports what could not be set.
    pub(super) fn report_failures(&self, role: Role) {
        for f in self.target.take_failures() {
            let notice =
                Notice::Failed { op: f.op, name: &f.path, base: None, other: &f.xattr, error: f.error };
            self.shared.report(role, &notice);
        }
    }
}
