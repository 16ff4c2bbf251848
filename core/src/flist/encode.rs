//! Entries to bytes. The state runs through all lists of a connection.

use alloc::{rc::Rc, vec::Vec};

use hashbrown::{HashMap, HashSet, hash_map::Entry as Slot};

use super::{
    Format, Tables,
    acl::Kind,
    entry::{Entry, EntryFlags, EntryRef, FileKind, mode},
    xmit,
};
use crate::{
    charset::Conversion,
    wire::{Encoded, int::encode_longint, varint},
};

/// Gives the names of ids of this machine.
pub trait IdNames {
    /// Name of a user.
    fn user(&self, uid: u32) -> Option<Vec<u8>>;
    /// Name of a group.
    fn group(&self, gid: u32) -> Option<Vec<u8>>;
}

/// Running state of the sender's side.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    /// The last name as it travelled, and the current one.
    name: Vec<u8>,
    wire_name: Vec<u8>,
    mode: u32,
    mtime: i64,
    atime: i64,
    uid: u32,
    gid: u32,
    rdev: u32,
    rdev_major: u32,
    dev: u64,
    any_sent: bool,
    links: HashMap<(u64, u64), i32>,
    /// Ids in order of first use, for the lists behind a single file list.
    users: Vec<u32>,
    groups: Vec<u32>,
    users_seen: HashSet<u32>,
    groups_seen: HashSet<u32>,
    /// The ACLs and attribute sets that entries refer to.
    pub tables: Rc<Tables>,
    /// Names and targets are converted; those that cannot be were kept out of the lists.
    pub conversion: Option<Conversion>,
}

/// Whom an id belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    User,
    Group,
}

/// What of an entry follows its flags and its name, beside what the flags say.
struct Sent {
    rdev: bool,
    atime: bool,
    /// The entry has several names.
    linked: bool,
    /// Index of the first of them, from protocol 30 on; `None`: it is the first.
    first_link: Option<i32>,
    user_name: Option<Vec<u8>>,
    group_name: Option<Vec<u8>>,
}

fn put(out: &mut Vec<u8>, e: Encoded) {
    out.extend_from_slice(e.as_slice());
}

#[allow(clippy::cast_possible_truncation, reason = "the length of a name, or a field as the version has it")]
impl Encoder {
    /// The state before the first entry.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            name: Vec::new(),
            wire_name: Vec::new(),
            mode: 0,
            mtime: 0,
            atime: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
            rdev_major: 0,
            dev: 0,
            any_sent: false,
            links: HashMap::new(),
            users: Vec::new(),
            groups: Vec::new(),
            users_seen: HashSet::new(),
            groups_seen: HashSet::new(),
            tables: Rc::default(),
            conversion: None,
        }
    }

    fn varint30(&self, out: &mut Vec<u8>, v: u32) {
        if self.format.protocol.has_varints() {
            put(out, varint::encode_varint(v as i32));
        } else {
            out.extend_from_slice(&v.to_le_bytes());
        }
    }

    fn varlong30(&self, out: &mut Vec<u8>, v: i64, min: usize) {
        if self.format.protocol.has_varints() {
            put(out, varint::encode_varlong(v, min));
        } else {
            put(out, encode_longint(v));
        }
    }

    /// Appends one entry. `index`: its transmission index (`ndx_start` of its list plus the number of entries
    /// sent before it in the list); `list_start`: that `ndx_start`. `names`: for ids with inline names.
    ///
    /// The order on the wire: flags, name, group of hard links, numbers, ids, device, target of a symlink, device and inode of
    /// a hard link, checksum, ACLs, extended attributes.
    pub fn entry(
        &mut self,
        e: EntryRef<'_>,
        index: i32,
        list_start: i32,
        names: &dyn IdNames,
        out: &mut Vec<u8>,
    ) {
        let p = self.format.protocol;
        let (flags, sent) = self.compare(e, index, names);
        let flags = self.flags_and_name(e, flags, out);
        if let Some(first) = sent.first_link {
            put(out, varint::encode_varint(first));
            if first >= list_start {
                // All else is that of the first one, which is in this list.
                self.extended(e, names, out);
                return;
            }
        }
        self.numbers(e, flags, &sent, out);
        self.ids(e, flags, &sent, out);
        if sent.rdev {
            self.rdev(e, flags, out);
        }
        if self.format.links && e.entry.kind() == FileKind::Symlink {
            self.link_target(e, out);
        }
        if sent.linked && !p.has_link_groups() {
            let (dev, ino) = e.extra().dev_ino;
            if flags & xmit::SAME_DEV_PRE30 == 0 || !p.has_extended_flags() {
                put(out, encode_longint(dev.wrapping_add(1) as i64));
            }
            put(out, encode_longint(ino as i64));
        }
        if let Some(len) = self.format.checksum_len
            && (e.entry.is_regular() || !p.has_extended_flags())
        {
            let sum = e.checksum();
            out.extend_from_slice(sum);
            out.resize(out.len() + len.saturating_sub(sum.len()), 0);
        }
        self.extended(e, names, out);
    }

    /// Compares an entry with the one before, whose place it takes: the flags that say what is the same, those of the name
    /// left out, and which other fields follow.
    fn compare(&mut self, e: EntryRef<'_>, index: i32, names: &dyn IdNames) -> (u32, Sent) {
        let f = self.format;
        let p = f.protocol;
        let entry = e.entry;
        let extra = e.extra();
        let is_dir = entry.is_dir();
        let mut flags = if is_dir { self.dir_flags(entry) } else { 0 };
        if entry.mode == self.mode {
            flags |= xmit::SAME_MODE;
        }
        self.mode = entry.mode;
        let (rdev_flags, rdev) = self.compare_rdev(e);
        flags |= rdev_flags;

        let mut user_name = None;
        if !f.owner || (entry.uid == self.uid && self.any_sent) {
            flags |= xmit::SAME_UID;
        } else {
            self.uid = entry.uid;
            user_name = self.id_name(entry.uid, Account::User, names);
            if user_name.is_some() {
                flags |= xmit::USER_NAME;
            }
        }
        let mut group_name = None;
        if !f.group || (entry.gid == self.gid && self.any_sent) {
            flags |= xmit::SAME_GID;
        } else {
            self.gid = entry.gid;
            group_name = self.id_name(entry.gid, Account::Group, names);
            if group_name.is_some() {
                flags |= xmit::GROUP_NAME;
            }
        }
        self.any_sent = true;

        if entry.mtime == self.mtime {
            flags |= xmit::SAME_TIME;
        }
        self.mtime = entry.mtime;
        if p.has_nanoseconds() && entry.nsec != 0 {
            flags |= xmit::MOD_NSEC;
        }
        let atime = f.atimes && !is_dir;
        if atime {
            // The one flag byte of protocol 27 does not hold this flag.
            if extra.atime == self.atime && p.has_extended_flags() {
                flags |= xmit::SAME_ATIME;
            }
            self.atime = extra.atime;
        }
        if f.crtimes && extra.crtime == entry.mtime {
            flags |= xmit::CRTIME_EQ_MTIME;
        }

        let linked = f.hard_links
            && !is_dir
            && if p.has_extended_flags() {
                entry.flags.contains(EntryFlags::HLINKED)
            } else {
                entry.is_regular()
            };
        let mut first_link = None;
        if linked && p.has_extended_flags() {
            flags |= xmit::HLINKED;
            if p.has_link_groups() {
                match self.links.entry(extra.dev_ino) {
                    Slot::Occupied(first) => first_link = Some(*first.get()),
                    Slot::Vacant(slot) => {
                        slot.insert(index);
                        flags |= xmit::HLINK_FIRST;
                    }
                }
            } else if extra.dev_ino.0 == self.dev {
                flags |= xmit::SAME_DEV_PRE30;
            } else {
                self.dev = extra.dev_ino.0;
            }
        }
        (flags, Sent { rdev, atime, linked, first_link, user_name, group_name })
    }

    /// What the flags of a directory say about its contents.
    fn dir_flags(&self, entry: &Entry) -> u32 {
        let tells_contents = self.format.protocol.has_no_content_dirs();
        let implied = entry.flags.contains(EntryFlags::IMPLIED_DIR);
        let mut flags = 0;
        if entry.flags.contains(EntryFlags::TOP_DIR) || (implied && tells_contents) {
            flags |= xmit::TOP_DIR;
        }
        if tells_contents && (implied || !entry.flags.contains(EntryFlags::CONTENT_DIR)) {
            flags |= xmit::NO_CONTENT_DIR;
        }
        flags
    }

    /// The flags of a device number, and whether an entry has one. Those of special files are sent without a meaning.
    fn compare_rdev(&mut self, e: EntryRef<'_>) -> (u32, bool) {
        let f = self.format;
        let p = f.protocol;
        let kind = e.entry.kind();
        let sent = (f.devices && kind.is_device())
            || (f.specials && kind.is_special() && !p.specials_have_no_rdev());
        let (major, minor) = rdev_of(e);
        let mut flags = 0;
        if !p.has_extended_flags() {
            let word = native_rdev(major, minor);
            if !sent {
                self.rdev = 0;
            } else if kind.is_special() || word == self.rdev {
                flags |= xmit::SAME_RDEV_PRE28;
            } else {
                self.rdev = word;
            }
        } else if sent {
            if kind.is_special() || major == self.rdev_major {
                flags |= xmit::SAME_RDEV_MAJOR;
            } else {
                self.rdev_major = major;
            }
            if !p.has_varints() && minor <= 0xff {
                flags |= xmit::RDEV_MINOR_8_PRE30;
            }
        }
        (flags, sent)
    }

    /// Appends the flags, in the form of the version, and the name behind what it has in common with the one before. Returns
    /// the flags with those of the name.
    fn flags_and_name(&mut self, e: EntryRef<'_>, mut flags: u32, out: &mut Vec<u8>) -> u32 {
        let is_dir = e.entry.is_dir();
        let mut converted = core::mem::take(&mut self.wire_name);
        let name = if let Some(conversion) = &self.conversion {
            converted.clear();
            let fits = conversion.name_to_wire(e.name(), &mut converted);
            debug_assert!(fits.is_ok(), "a name that cannot travel");
            &converted
        } else {
            e.name()
        };
        let shared = name.iter().zip(&self.name).take(255).take_while(|(a, b)| a == b).count();
        let rest = name.get(shared..).unwrap_or_default();
        if shared > 0 {
            flags |= xmit::SAME_NAME;
        }
        if rest.len() > 255 {
            flags |= xmit::LONG_NAME;
        }
        // An entry without flags would be the end of the list: one that means nothing here is set.
        if self.format.varint_flags {
            let word = if flags == 0 { xmit::EXTENDED } else { flags };
            put(out, varint::encode_varint(word as i32));
        } else if self.format.protocol.has_extended_flags() {
            if flags == 0 && !is_dir {
                flags |= xmit::TOP_DIR;
            }
            if flags & 0xff00 != 0 || flags == 0 {
                out.extend_from_slice(&((flags | xmit::EXTENDED) as u16).to_le_bytes());
            } else {
                out.push(flags as u8);
            }
        } else {
            if flags & 0xff == 0 {
                flags |= if is_dir { xmit::LONG_NAME } else { xmit::TOP_DIR };
            }
            out.push(flags as u8);
        }
        if shared > 0 {
            out.push(shared as u8);
        }
        if flags & xmit::LONG_NAME != 0 {
            self.varint30(out, rest.len() as u32);
        } else {
            out.push(rest.len() as u8);
        }
        out.extend_from_slice(rest);
        self.name.truncate(shared);
        self.name.extend_from_slice(rest);
        self.wire_name = converted;
        flags
    }

    /// Appends size, times and mode.
    fn numbers(&self, e: EntryRef<'_>, flags: u32, sent: &Sent, out: &mut Vec<u8>) {
        let f = self.format;
        let (entry, extra) = (e.entry, e.extra());
        self.varlong30(out, entry.size as i64, 3);
        if flags & xmit::SAME_TIME == 0 {
            if f.protocol.has_varints() {
                put(out, varint::encode_varlong(entry.mtime, 4));
            } else {
                out.extend_from_slice(&(entry.mtime as u32).to_le_bytes());
            }
        }
        if flags & xmit::MOD_NSEC != 0 {
            put(out, varint::encode_varint(entry.nsec as i32));
        }
        if f.crtimes && flags & xmit::CRTIME_EQ_MTIME == 0 {
            put(out, varint::encode_varlong(extra.crtime, 4));
        }
        if flags & xmit::SAME_MODE == 0 {
            out.extend_from_slice(&entry.mode.to_le_bytes());
        }
        if sent.atime && flags & xmit::SAME_ATIME == 0 {
            put(out, varint::encode_varlong(extra.atime, 4));
        }
    }

    /// Appends owner and group.
    fn ids(&self, e: EntryRef<'_>, flags: u32, sent: &Sent, out: &mut Vec<u8>) {
        if self.format.owner && flags & xmit::SAME_UID == 0 {
            self.varint30(out, e.entry.uid);
            if let Some(name) = &sent.user_name {
                put_name(out, name);
            }
        }
        if self.format.group && flags & xmit::SAME_GID == 0 {
            self.varint30(out, e.entry.gid);
            if let Some(name) = &sent.group_name {
                put_name(out, name);
            }
        }
    }

    /// Appends a device number.
    fn rdev(&self, e: EntryRef<'_>, flags: u32, out: &mut Vec<u8>) {
        let p = self.format.protocol;
        let (major, minor) = rdev_of(e);
        if !p.has_extended_flags() {
            if flags & xmit::SAME_RDEV_PRE28 == 0 {
                out.extend_from_slice(&native_rdev(major, minor).to_le_bytes());
            }
            return;
        }
        if flags & xmit::SAME_RDEV_MAJOR == 0 {
            self.varint30(out, major);
        }
        if p.has_varints() {
            put(out, varint::encode_varint(minor as i32));
        } else if flags & xmit::RDEV_MINOR_8_PRE30 != 0 {
            out.push(minor as u8);
        } else {
            out.extend_from_slice(&minor.to_le_bytes());
        }
    }

    /// Appends the target of a symlink.
    fn link_target(&self, e: EntryRef<'_>, out: &mut Vec<u8>) {
        let converted = self.conversion.as_ref().map(|conversion| {
            let mut target = Vec::new();
            let fits = conversion.link_to_wire(e.link_target(), &mut target);
            debug_assert!(fits.is_ok(), "a target that cannot travel");
            target
        });
        let target = converted.as_deref().unwrap_or_else(|| e.link_target());
        self.varint30(out, target.len() as u32);
        out.extend_from_slice(target);
    }

    /// The last fields: ACLs and extended attributes.
    fn extended(&mut self, e: EntryRef<'_>, names: &dyn IdNames, out: &mut Vec<u8>) {
        let extra = e.extra();
        if self.format.acls && !e.entry.is_symlink() {
            self.acl(Kind::Access, extra.acl, names, out);
            if e.entry.is_dir() {
                self.acl(Kind::Default, extra.default_acl, names, out);
            }
        }
        if self.format.xattrs {
            self.xattrs(extra.xattrs, out);
        }
    }

    /// Notes an id that is sent; gives the name that follows it, the first time in a session with several lists.
    pub(super) fn id_name(&mut self, id: u32, account: Account, names: &dyn IdNames) -> Option<Vec<u8>> {
        let (seen, list) = match account {
            Account::User => (&mut self.users_seen, &mut self.users),
            Account::Group => (&mut self.groups_seen, &mut self.groups),
        };
        if self.format.numeric_ids || !seen.insert(id) {
            return None;
        }
        if !self.format.inc_recurse {
            list.push(id);
            return None;
        }
        match account {
            Account::User => names.user(id),
            Account::Group => names.group(id),
        }
    }

    /// Appends the end of a list. `io_error`: the error bits to report with it, 0 for none. Returns the bits
    /// that this form cannot carry and that must go another way (`MSG_IO_ERROR` at protocol 30, the word
    /// behind the id lists below).
    pub fn end(&self, io_error: u32, out: &mut Vec<u8>) -> u32 {
        if self.format.varint_flags {
            out.push(0);
            put(out, varint::encode_varint(io_error as i32));
            return 0;
        }
        if io_error != 0 && self.format.safe_end {
            out.extend_from_slice(&(xmit::IO_ERROR_END as u16).to_le_bytes());
            put(out, varint::encode_varint(io_error as i32));
            return 0;
        }
        out.push(0);
        io_error
    }

    /// Appends the id lists of a session with one list (nothing with incremental recursion or
    /// `--numeric-ids`). Ids come in reverse order of their first use.
    pub fn id_lists(&self, names: &dyn IdNames, out: &mut Vec<u8>) {
        let f = self.format;
        if f.inc_recurse || f.numeric_ids {
            return;
        }
        type Lookup<'a> = &'a dyn Fn(u32) -> Option<Vec<u8>>;
        let lists: [(bool, &Vec<u32>, Lookup<'_>); 2] = [
            (f.owner || f.acls, &self.users, &|id| names.user(id)),
            (f.group || f.acls, &self.groups, &|id| names.group(id)),
        ];
        for (_, ids, lookup) in lists.iter().filter(|(on, ..)| *on) {
            for &id in ids.iter().rev().filter(|id| **id != 0) {
                if let Some(name) = lookup(id) {
                    self.varint30(out, id);
                    put_name(out, &name);
                }
            }
            self.varint30(out, 0);
            if f.id0_names {
                put_name(out, &lookup(0).unwrap_or_default());
            }
        }
    }
}

/// Length byte and at most 255 bytes.
#[allow(clippy::cast_possible_truncation, reason = "the length of a name, or a field as the version has it")]
pub(super) fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    let name = name.get(..255).unwrap_or(name);
    out.push(name.len() as u8);
    out.extend_from_slice(name);
}

/// Major and minor of a device, zeros of a special file.
fn rdev_of(e: EntryRef<'_>) -> (u32, u32) {
    if e.entry.kind().is_device() { e.extra().rdev } else { (0, 0) }
}

/// The low 32 bits of Linux' encoding of a device number, as protocol 27 sends it.
const fn native_rdev(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12)
}

/// Inverse of [`native_rdev`].
pub(super) const fn split_native_rdev(word: u32) -> (u32, u32) {
    ((word >> 8) & 0xfff, (word & 0xff) | ((word >> 12) & !0xff))
}

const _: () = assert!(mode::SYMLINK == 0o120_000);

#[cfg(test)]
mod tests {
    use super::{
        super::entry::{FileList, NewEntry},
        *,
    };
    use crate::{
        charset::tests::latin1,
        options::SessionOptions,
        setup::{Agreed, CompatFlags},
        version::ProtocolVersion,
    };

    struct NoNames;
    impl IdNames for NoNames {
        fn user(&self, _: u32) -> Option<Vec<u8>> {
            None
        }
        fn group(&self, _: u32) -> Option<Vec<u8>> {
            None
        }
    }

    #[test]
    fn names_and_targets_travel_in_utf8() {
        let mut options = SessionOptions::default();
        options.preserve.links = true;
        let agreed = Agreed::implied(ProtocolVersion::MAX, CompatFlags::VARINT_FLIST_FLAGS, 1);
        let mut encoder = Encoder::new(Format::new(&options, &agreed));
        encoder.conversion = Some(latin1(true));
        let mut list = FileList::new();
        list.push(&NewEntry { name: b"caf\xe9", mode: 0o100_644, ..NewEntry::default() });
        let link = list.push(&NewEntry { name: b"caf\xea", mode: 0o120_777, ..NewEntry::default() });
        let target = list.store(b"\xe9");
        list.extra_mut(link).link = target;
        let mut out = Vec::new();
        for i in 0..2 {
            encoder.entry(list.get(i).unwrap(), i as i32, 0, &NoNames, &mut out);
        }
        let file = [0x80, 0x98, 0x05, 0x63, 0x61, 0x66, 0xc3, 0xa9, 0, 0, 0, 0xa4, 0x81, 0, 0];
        // The prefix counts bytes of the converted names: one byte of the last letter is shared.
        let link = [0x80, 0xb8, 0x04, 0x01, 0xaa, 0, 0, 0, 0xff, 0xa1, 0, 0, 0x02, 0xc3, 0xa9];
        assert_eq!(out, [file, link].concat());
    }
}
