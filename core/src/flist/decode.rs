//! Bytes to entries. The state runs through all lists of a connection.

#![warn(clippy::indexing_slicing)]

use alloc::{rc::Rc, vec::Vec};

use embedded_io_async::BufRead;
use hashbrown::HashMap;

use super::{
    Format, Tables,
    acl::Kind,
    encode::{Account, IdNames, split_native_rdev},
    entry::{EntryFlags, FileKind, FileList, NewEntry, mode},
    fields::{self, MAX_NUMBERS, MAX_START, Numbers, Running, Start, out_of_range},
    ids::IdTable,
    xmit,
};
use crate::{
    charset::Conversion,
    error::{Error, Limit, NameFault, ProtocolError},
    io::{MessageSink, WireReader},
    limits::MAX_PATH,
    names,
    ports::PortError,
    trace::event,
};

/// Running state of the receiving side.
#[derive(Debug)]
pub struct Decoder {
    format: Format,
    raw_name: Vec<u8>,
    clean_name: Vec<u8>,
    running: Running,
    uid: u32,
    gid: u32,
    rdev: u32,
    rdev_major: u32,
    dev: i64,
    /// Groups of protocols below 30: device and inode to number.
    groups: HashMap<(i64, i64), u32>,
    /// Groups that lists before the current one have declared.
    known_groups: hashbrown::HashSet<u32>,
    scratch: Vec<u8>,
    /// Names that came with user ids.
    pub users: IdTable,
    /// Names that came with group ids.
    pub group_names: IdTable,
    /// Below protocol 30: the name of the directory that opened the running delete hierarchy.
    hierarchy: Option<Vec<u8>>,
    recursive: bool,
    /// The ACLs and attribute sets that entries refer to.
    pub tables: Rc<Tables>,
    /// Names and targets are converted.
    pub conversion: Option<Conversion>,
    /// Strings that could not be converted, since this was last emptied. Their entries were dropped.
    pub foreign: Vec<Foreign>,
}

/// A string that has no counterpart in the charset of this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The name of the entry: as it travelled if it is what could not be converted, else converted.
    pub name: Vec<u8>,
    /// The target of the symlink is what could not be converted.
    pub link: bool,
    /// Why.
    pub error: PortError,
}

/// How one item of a list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Entry,
    End { io_error: u32 },
}

impl IdNames for Decoder {
    fn user(&self, uid: u32) -> Option<Vec<u8>> {
        self.users.name(uid).map(<[u8]>::to_vec)
    }
    fn group(&self, gid: u32) -> Option<Vec<u8>> {
        self.group_names.name(gid).map(<[u8]>::to_vec)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a list ends below 2^31")]
impl Decoder {
    /// The state before the first entry. `recursive`: `-r` is in force (matters below protocol 30).
    pub fn new(format: Format, recursive: bool) -> Self {
        Self {
            format,
            raw_name: Vec::new(),
            clean_name: Vec::new(),
            running: Running::default(),
            uid: 0,
            gid: 0,
            rdev: 0,
            rdev_major: 0,
            dev: 0,
            groups: HashMap::new(),
            known_groups: hashbrown::HashSet::new(),
            scratch: Vec::new(),
            users: IdTable::default(),
            group_names: IdTable::default(),
            hierarchy: None,
            recursive,
            tables: Rc::default(),
            conversion: None,
            foreign: Vec::new(),
        }
    }

    /// Reads one list up to and including its end marker. `list_start`: index of its first entry, 0 for the only list of a session; with
    /// incremental recursion 1 for the first, and one more than the index behind the last entry for each further one.
    /// Returns the entries in transmission order ([`order::sort`](super::order::sort) gives them their indexes) and the error bits of the
    /// end marker.
    ///
    /// | what the peer did | error |
    /// |---|---|
    /// | a name of 4096 bytes or more, or with more common bytes than the last one has | [`NameFault::Overflow`] |
    /// | `..`, a slash in front without `-R`, a NUL, an empty name | [`NameFault::Unsafe`], [`Nul`](NameFault::Nul), [`Unrequested`](NameFault::Unrequested) |
    /// | `.` that is no directory | [`NameFault::RootNotDir`] |
    /// | a mode without a type | [`ProtocolError::BadMode`] |
    /// | a size, nanoseconds, the length of a target, a group, an ACL or attributes out of range | [`ProtocolError::OutOfRange`] |
    /// | a number outside of the tables of ACLs and attributes | [`ProtocolError::OutOfRange`] |
    pub async fn list<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        list_start: i32,
    ) -> Result<(FileList, u32), Error<R::Error>> {
        let has_extended = self.format.acls || self.format.xattrs;
        let mut list = FileList::new();
        loop {
            match self.entry(r, &mut list, list_start).await? {
                Item::Entry if has_extended => self.extended(r, &mut list).await?,
                Item::Entry => {}
                Item::End { io_error } => {
                    for e in &list.entries {
                        if e.flags.contains(EntryFlags::HLINK_FIRST) {
                            self.known_groups.insert(list.extra(e).link_group);
                        }
                    }
                    event!("list of {} entries received, error bits {}", list.len(), io_error);
                    return Ok((list, io_error & 7));
                }
            }
            if list.len() >= i32::MAX as usize - list_start.max(0) as usize {
                return Err(out_of_range(Limit::Entries, list.len() as i64, i64::from(i32::MAX)).into());
            }
        }
    }

    /// The name of the last entry that was read, as it came, with nothing checked.
    pub fn raw_name(&self) -> &[u8] {
        &self.raw_name
    }

    /// Reads the id lists of a session with one list; nothing where there are none. Below protocol 30 the caller then reads
    /// the i32 with error bits.
    pub async fn id_lists<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
    ) -> Result<(), Error<R::Error>> {
        let f = self.format;
        if f.inc_recurse || f.numeric_ids {
            return Ok(());
        }
        for (on, table) in [(f.owner || f.acls, &mut self.users), (f.group || f.acls, &mut self.group_names)]
        {
            if !on {
                continue;
            }
            loop {
                let id = r.varint30(f.protocol).await? as u32;
                if id == 0 && !f.id0_names {
                    break;
                }
                self.scratch.clear();
                let len = r.u8().await?;
                r.append(usize::from(len), &mut self.scratch).await?;
                table.insert(id, &self.scratch);
                if id == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the rest of the name of an entry.
    async fn name<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        shared: usize,
        rest: usize,
    ) -> Result<(), Error<R::Error>> {
        if shared > self.raw_name.len() || shared + rest >= MAX_PATH {
            return Err(ProtocolError::Name(NameFault::Overflow).into());
        }
        self.raw_name.truncate(shared);
        r.append(rest, &mut self.raw_name).await?;
        let Some(conversion) = &self.conversion else {
            names::clean(&self.raw_name, self.format.relative, &mut self.clean_name)?;
            return Ok(());
        };
        // An empty name of the peer's is a fault, one that cannot be converted an entry without a name.
        let mut name = Vec::new();
        match conversion.name_from_wire(&self.raw_name, &mut name) {
            Ok(()) => names::clean(&name, self.format.relative, &mut self.clean_name)?,
            Err(error) => {
                self.clean_name.clear();
                self.foreign.push(Foreign { name: self.raw_name.clone(), link: false, error });
            }
        }
        Ok(())
    }

    /// What every new entry begins with.
    fn new_flags(&self) -> EntryFlags {
        if self.clean_name.is_empty() { EntryFlags::CLEARED } else { EntryFlags::empty() }
    }

    /// Converts the target of a symlink in `scratch`. False: it cannot be.
    fn convert_link(&mut self) -> bool {
        let Some(conversion) = &self.conversion else { return true };
        let mut target = Vec::new();
        let converted = conversion.link_from_wire(&self.scratch, &mut target);
        if let Err(error) = converted {
            self.foreign.push(Foreign { name: self.clean_name.clone(), link: true, error });
            return false;
        }
        self.scratch = target;
        true
    }

    /// Facts about directories that the flags carry.
    fn dir_flags(&mut self, flags: u32) -> EntryFlags {
        let top = flags & xmit::TOP_DIR != 0;
        if self.format.protocol.has_no_content_dirs() {
            return match (top, flags & xmit::NO_CONTENT_DIR != 0) {
                (false, false) => EntryFlags::CONTENT_DIR,
                (true, false) => EntryFlags::CONTENT_DIR | EntryFlags::TOP_DIR,
                (true, true) => EntryFlags::IMPLIED_DIR,
                (false, true) => EntryFlags::empty(),
            };
        }
        let name = &self.clean_name;
        if top {
            // Without `-r` its contents are there too (`-d dir/`), but nothing below them.
            if self.recursive {
                self.hierarchy = Some(name.clone());
            }
            return EntryFlags::CONTENT_DIR | EntryFlags::TOP_DIR;
        }
        let below = match &self.hierarchy {
            None => false,
            Some(_) if !self.format.relative => true,
            Some(top) if top == b"." => true,
            Some(top) => name.strip_prefix(top.as_slice()).is_some_and(|r| r.first() == Some(&b'/')),
        };
        if below {
            EntryFlags::CONTENT_DIR
        } else {
            self.hierarchy = None;
            EntryFlags::empty()
        }
    }

    /// Reads all fields of an entry, in their order, but ACLs and extended attributes.
    async fn entry<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        list: &mut FileList,
        list_start: i32,
    ) -> Result<Item, Error<R::Error>> {
        let f = self.format;
        let p = f.protocol;
        let start = r.decode_up_to::<MAX_START, _>(|b| fields::start(b, &f)).await?;
        let (flags, shared, rest) = match start {
            Start::Entry { flags, shared, rest } => (flags, shared, rest),
            Start::End { io_error } => return Ok(Item::End { io_error }),
        };
        self.name(r, shared, rest).await?;

        let grouped = f.hard_links && p.has_link_groups() && flags & xmit::HLINKED != 0;
        let index = list_start + list.len() as i32;
        let mut group = index;
        if grouped && flags & xmit::HLINK_FIRST == 0 {
            group = r.varint().await?;
            if group < 0 || group >= index {
                return Err(out_of_range(Limit::HardLink, i64::from(group), i64::from(index)).into());
            }
            if group >= list_start {
                self.abbreviated(list, (group - list_start) as usize, group as u32)?;
                return Ok(Item::Entry);
            }
            if !self.known_groups.contains(&(group as u32)) {
                return Err(out_of_range(Limit::HardLink, i64::from(group), i64::from(list_start)).into());
            }
        }

        let last = self.running;
        let numbers = r.decode_up_to::<MAX_NUMBERS, _>(|b| Numbers::decode(b, &f, flags, last)).await?;
        self.running = numbers.running;
        let kind = numbers.kind;
        let is_dir = kind == FileKind::Dir;
        if f.owner && flags & xmit::SAME_UID == 0 {
            self.uid = r.varint30(p).await? as u32;
            if flags & xmit::USER_NAME != 0 && p.has_varints() {
                self.inline_name(r, self.uid, Account::User).await?;
            }
        }
        if f.group && flags & xmit::SAME_GID == 0 {
            self.gid = r.varint30(p).await? as u32;
            if flags & xmit::GROUP_NAME != 0 && p.has_varints() {
                self.inline_name(r, self.gid, Account::Group).await?;
            }
        }
        let mut rdev = (0, 0);
        if (f.devices && kind.is_device()) || (f.specials && kind.is_special() && !p.specials_have_no_rdev())
        {
            rdev = self.rdev(r, flags).await?;
            if kind.is_special() {
                rdev = (0, 0);
            }
        } else if !p.has_extended_flags() {
            self.rdev = 0;
        }
        let mut has_target = f.links && kind == FileKind::Symlink;
        if has_target {
            self.link_target(r).await?;
        }

        let mut entry_flags = self.new_flags();
        if has_target && !self.convert_link() {
            entry_flags |= EntryFlags::CLEARED;
            has_target = false;
        }
        if is_dir {
            entry_flags |= self.dir_flags(flags);
        }
        if self.clean_name == b"." && !is_dir {
            return Err(ProtocolError::Name(NameFault::RootNotDir).into());
        }
        let position = list.push(&NewEntry {
            name: &self.clean_name,
            size: if kind.is_device() { 0 } else { numbers.size },
            mtime: self.running.mtime,
            nsec: numbers.nsec,
            mode: self.running.mode,
            uid: self.uid,
            gid: self.gid,
            flags: entry_flags,
            base: 0,
        });
        if has_target {
            let span = list.store(&self.scratch);
            list.extra_mut(position).link = span;
        }
        if rdev != (0, 0) {
            list.extra_mut(position).rdev = rdev;
        }
        if f.atimes && !is_dir {
            list.extra_mut(position).atime = self.running.atime;
        }
        if f.crtimes {
            list.extra_mut(position).crtime = numbers.crtime;
        }
        if grouped && !is_dir {
            self.mark_linked(list, position, group as u32, flags & xmit::HLINK_FIRST != 0);
        }
        if f.hard_links && !p.has_link_groups() {
            let has_id = if p.has_extended_flags() {
                flags & xmit::HLINKED != 0 && !is_dir
            } else {
                kind == FileKind::Regular
            };
            if has_id {
                self.device_and_inode(r, flags, list, position).await?;
            }
        }
        if let Some(len) = f.checksum_len
            && (kind == FileKind::Regular || !p.has_extended_flags())
        {
            self.scratch.clear();
            r.append(len, &mut self.scratch).await?;
            if kind == FileKind::Regular {
                let span = list.store(&self.scratch);
                list.extra_mut(position).sum = span;
            }
        }
        Ok(Item::Entry)
    }

    /// The last fields of the newest entry: ACLs and extended attributes.
    async fn extended<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        list: &mut FileList,
    ) -> Result<(), Error<R::Error>> {
        let position = list.len().saturating_sub(1);
        let Some(entry) = list.entries.get(position).copied() else { return Ok(()) };
        if self.format.acls && !entry.is_symlink() {
            let number = self.acl(r, Kind::Access).await?;
            list.extra_mut(position).acl = number;
            if entry.is_dir() {
                let number = self.acl(r, Kind::Default).await?;
                list.extra_mut(position).default_acl = number;
            }
        }
        if self.format.xattrs {
            let number = self.xattrs(r).await?;
            list.extra_mut(position).xattrs = number;
        }
        Ok(())
    }

    /// Reads the name behind an id.
    pub(super) async fn inline_name<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        id: u32,
        account: Account,
    ) -> Result<(), Error<R::Error>> {
        self.scratch.clear();
        let len = r.u8().await?;
        r.append(usize::from(len), &mut self.scratch).await?;
        let table = match account {
            Account::User => &mut self.users,
            Account::Group => &mut self.group_names,
        };
        table.insert(id, &self.scratch);
        Ok(())
    }

    /// Reads the target of a symlink into `scratch`.
    async fn link_target<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
    ) -> Result<(), Error<R::Error>> {
        let len = r.varint30(self.format.protocol).await?;
        let len = usize::try_from(len).ok().filter(|n| *n < MAX_PATH).ok_or(out_of_range(
            Limit::LinkTarget,
            i64::from(len),
            MAX_PATH as i64 - 1,
        ))?;
        self.scratch.clear();
        r.append(len, &mut self.scratch).await?;
        Ok(())
    }

    /// Below protocol 30: reads what makes the newest entry a member of a group of hard links.
    async fn device_and_inode<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        flags: u32,
        list: &mut FileList,
        position: usize,
    ) -> Result<(), Error<R::Error>> {
        if flags & xmit::SAME_DEV_PRE30 == 0 || !self.format.protocol.has_extended_flags() {
            self.dev = r.longint().await?;
        }
        let ino = r.longint().await?;
        let next = self.groups.len() as u32;
        let known = self.groups.get(&(self.dev, ino)).copied();
        let group = known.unwrap_or(next);
        self.groups.insert((self.dev, ino), group);
        self.mark_linked(list, position, group, known.is_none());
        list.extra_mut(position).dev_ino = ((self.dev as u64).wrapping_sub(1), ino as u64);
        Ok(())
    }

    fn mark_linked(&self, list: &mut FileList, position: usize, group: u32, first: bool) {
        if let Some(e) = list.entries.get_mut(position) {
            e.flags |= EntryFlags::HLINKED;
            e.flags.set(EntryFlags::HLINK_FIRST, first);
        }
        list.extra_mut(position).link_group = group;
    }

    /// A later member of a group whose first member is in this list: its fields are copied, and become the
    /// values that the next entry may refer to.
    fn abbreviated(&mut self, list: &mut FileList, first: usize, group: u32) -> Result<(), ProtocolError> {
        let Some(from) = list.entries.get(first).copied() else {
            return Err(out_of_range(Limit::HardLink, first as i64, list.len() as i64));
        };
        let extra = list.extra(&from);
        let lost = self.format.links && from.is_symlink() && list.bytes_of(extra.link).is_empty();
        let lost_target = if lost { EntryFlags::CLEARED } else { EntryFlags::empty() };
        let position = list.push(&NewEntry {
            name: &self.clean_name,
            size: from.size,
            mtime: from.mtime,
            nsec: from.nsec,
            mode: from.mode,
            uid: from.uid,
            gid: from.gid,
            flags: self.new_flags() | lost_target,
            base: 0,
        });
        *list.extra_mut(position) = extra;
        if !from.is_dir() {
            self.mark_linked(list, position, group, false);
        }
        self.running.mode = from.mode;
        self.running.mtime = from.mtime;
        self.uid = from.uid;
        self.gid = from.gid;
        if self.format.atimes {
            self.running.atime = extra.atime;
        }
        if from.kind().is_device() {
            self.rdev_major = extra.rdev.0;
        }
        Ok(())
    }

    async fn rdev<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        flags: u32,
    ) -> Result<(u32, u32), Error<R::Error>> {
        let p = self.format.protocol;
        if !p.has_extended_flags() {
            if flags & xmit::SAME_RDEV_PRE28 == 0 {
                self.rdev = r.i32().await? as u32;
            }
            return Ok(split_native_rdev(self.rdev));
        }
        if flags & xmit::SAME_RDEV_MAJOR == 0 {
            self.rdev_major = r.varint30(p).await? as u32;
        }
        let minor = if p.has_varints() {
            r.varint().await? as u32
        } else if flags & xmit::RDEV_MINOR_8_PRE30 != 0 {
            u32::from(r.u8().await?)
        } else {
            r.i32().await? as u32
        };
        Ok((self.rdev_major, minor))
    }
}

const _: () = assert!(mode::DIR == 0o040_000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        io::NoMessages,
        options::SessionOptions,
        rt::block_on_ready,
        setup::{Agreed, CompatFlags},
        version::ProtocolVersion,
    };

    /// What the member of a group took over is what "as before" means in the next entry.
    #[test]
    fn links_within_a_list_set_what_came_before() {
        let mut options = SessionOptions::default();
        (options.preserve.devices, options.preserve.hard_links, options.preserve.atimes) = (true, 1, 1);
        let agreed = Agreed::implied(ProtocolVersion::MAX, CompatFlags::VARINT_FLIST_FLAGS, 1);
        let mut decoder = Decoder::new(Format::new(&options, &agreed), true);
        // 1:3, the first of a group; a block device 8:0 with other times; the link to the first; a device with
        // everything as before but its minor.
        let bytes: &[u8] = b"\x92\x18\x01a\0\0\0\0\x05\0\0\xa4\x21\0\0\0\x07\0\0\x01\x03\
                             \x18\x01b\0\0\0\0\x06\0\0\xa4\x61\0\0\0\x08\0\0\x08\0\
                             \x82\x18\x01c\0\
                             \xc0\x9a\x41\x01d\0\0\0\x09\
                             \0\0";
        let mut reader = WireReader::new(bytes, NoMessages);
        let (list, errors) = block_on_ready(decoder.list(&mut reader, 0)).unwrap();
        let facts = |i| {
            let e = list.get(i).unwrap();
            (e.name(), e.entry.mtime, e.entry.mode, e.extra().atime, e.extra().rdev)
        };
        assert_eq!(
            [facts(0), facts(1), facts(2), facts(3)],
            [
                (&b"a"[..], 5, 0o020_644, 7, (1, 3)),
                (b"b", 6, 0o060_644, 8, (8, 0)),
                (b"c", 5, 0o020_644, 7, (1, 3)),
                (b"d", 5, 0o020_644, 7, (1, 9)),
            ]
        );
        assert_eq!((errors, reader.count()), (0, bytes.len() as u64));
    }
}
