//! One entry of a file list, and the compact storage of a list.

use alloc::vec::Vec;
use core::ops::Range;

use bitflags::bitflags;

use crate::names::{RelName, below};

pub use super::kind::{FileKind, mode};

bitflags! {
    /// Local facts about an entry (none of these bits travels as such).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct EntryFlags: u16 {
        /// Directory: a source argument whose contents are sent (XMIT_TOP_DIR).
        const TOP_DIR = 0x0001;
        /// Directory: its contents are in the transfer; deletion inside is allowed.
        const CONTENT_DIR = 0x0002;
        /// Directory: parent of an argument under `-R`, its contents are not in the transfer.
        const IMPLIED_DIR = 0x0004;
        /// Dropped as a duplicate, or for a string that cannot be converted: the slot stays, the entry is never acted upon.
        const CLEARED = 0x0008;
        /// Member of a hard-link group (`Extra::link_group`).
        const HLINKED = 0x0010;
        /// First member of its group in transmission order.
        const HLINK_FIRST = 0x0020;
        /// The sender has sent this file's data once, or a replay has read it.
        const SENT = 0x0040;
        /// A mount point: a directory on another device, sent without contents.
        const MOUNT_DIR = 0x0080;
        /// The receiver asked for a redo.
        const REDO = 0x0100;
        /// The destination took it over (success reported).
        const DONE = 0x0200;
        /// Contents of this directory are skipped (failed mkdir and the like).
        const SKIP_CONTENTS = 0x0400;
        /// The directory was created by this run, early, and still has to be itemized.
        const CREATED = 0x0800;
        /// Receiver: its group may not be set by this process, which is no member of it.
        const SKIP_GROUP = 0x1000;
        /// Sender: a directory whose contents are listed for its own sake, whatever others of its name add to its flags.
        const OWN_CONTENTS = 0x2000;
        /// Its name is one below the root of the transfer ([`RelName`]): the list has checked it.
        const CLEAN_NAME = 0x4000;
    }
}

/// Position of a byte string in the list's arena. The offset has 48 bits: the names of a few ten million files have more than
/// 4 GiB, and no memory has more than 256 TiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    offset_low: u32,
    offset_high: u16,
    len: u16,
}

impl Span {
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of an offset")]
    fn new(offset: usize, len: usize) -> Self {
        let offset = offset as u64;
        let len = u16::try_from(len).expect("names are shorter than 64 KiB");
        Self { offset_low: offset as u32, offset_high: (offset >> 32) as u16, len }
    }

    #[allow(clippy::cast_possible_truncation, reason = "it was a place in memory")]
    const fn range(self) -> Range<usize> {
        let start = ((self.offset_high as u64) << 32 | self.offset_low as u64) as usize;
        start..start + self.len as usize
    }
}

/// Index of an [`Extra`]; most entries have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraIndex(u32);

impl ExtraIndex {
    /// No extra.
    pub const NONE: Self = Self(u32::MAX);
}

/// The fields that every entry has. 56 bytes; the name lies in the list's arena. Their wire form: [`crate::flist`].
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Length, bytes, 0..=2^63 - 1; of a symlink that of its target, of a device 0, of a directory whatever the sender has.
    pub size: u64,
    /// Modification time, seconds since 1970; below protocol 30 it arrived as u32.
    pub mtime: i64,
    name: Span,
    /// Local facts.
    pub flags: EntryFlags,
    /// Nanoseconds of the modification time, 0..=999999999; below protocol 31 always 0.
    pub nsec: u32,
    /// File type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Owner: what arrived, until it is mapped ([`crate::flist::ids`]); 0 where `-o` is off.
    pub uid: u32,
    /// Group, in the same way; 0 where `-g` is off.
    pub gid: u32,
    extra: ExtraIndex,
    /// Place in the order of transmission, counted in its list.
    pub place: u32,
    /// Sender: number of the directory (source argument) that the name is relative to.
    pub base: u32,
}

impl Entry {
    /// The type; `Missing` for mode 0.
    pub fn kind(&self) -> FileKind {
        FileKind::from_mode(self.mode).unwrap_or(FileKind::Missing)
    }
    /// Directory?
    pub const fn is_dir(&self) -> bool {
        self.mode & mode::TYPE == mode::DIR
    }
    /// Regular file?
    pub const fn is_regular(&self) -> bool {
        self.mode & mode::TYPE == mode::REGULAR
    }
    /// Symbolic link?
    pub const fn is_symlink(&self) -> bool {
        self.mode & mode::TYPE == mode::SYMLINK
    }
    /// Not dropped.
    pub const fn is_active(&self) -> bool {
        !self.flags.contains(EntryFlags::CLEARED)
    }
}

/// Fields that only some entries have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extra {
    /// Target of a symlink.
    pub link: Span,
    /// Whole-file checksum (`-c`): as many bytes as the algorithm's digest has, all 0 for a file that could not be read.
    pub sum: Span,
    /// Major and minor of a device; (0, 0) for everything else.
    pub rdev: (u32, u32),
    /// Number of the hard-link group (with [`EntryFlags::HLINKED`]): from protocol 30 on the place of the first member in
    /// the order of transmission, before, one that this side has counted.
    pub link_group: u32,
    /// Device and inode, for hard links of protocols below 30 and at the sender.
    pub dev_ino: (u64, u64),
    /// Access time, seconds (`-U`).
    pub atime: i64,
    /// Creation time, seconds (`-N`).
    pub crtime: i64,
    /// Number of the access ACL in the session's table plus one; 0: none.
    pub acl: u32,
    /// Number of the default ACL plus one; 0: none.
    pub default_acl: u32,
    /// Number of the xattr set plus one; 0: none.
    pub xattrs: u32,
    /// Where a local copy sets something else: what the source has, which is what is shown.
    pub original: Option<Original>,
}

/// What the one list of a local copy would lack, having what the destination gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Original {
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A list of entries with their names in one buffer.
#[derive(Debug, Default, Clone)]
pub struct FileList {
    /// The entries; after [`crate::flist::order::sort`] in transfer order.
    pub entries: Vec<Entry>,
    extras: Vec<Extra>,
    bytes: Vec<u8>,
}

/// What a new entry consists of.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewEntry<'a> {
    /// Full name below the transfer root.
    pub name: &'a [u8],
    /// See [`Entry`].
    pub size: u64,
    /// See [`Entry`].
    pub mtime: i64,
    /// See [`Entry`].
    pub nsec: u32,
    /// See [`Entry`].
    pub mode: u32,
    /// See [`Entry`].
    pub uid: u32,
    /// See [`Entry`].
    pub gid: u32,
    /// See [`Entry`].
    pub flags: EntryFlags,
    /// See [`Entry`].
    pub base: u32,
}

/// An entry together with the list that holds its strings.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    /// The list.
    pub list: &'a FileList,
    /// The entry, one of the list's.
    pub entry: &'a Entry,
}

impl<'a> EntryRef<'a> {
    /// Full name.
    pub fn name(&self) -> &'a [u8] {
        self.list.bytes_of(self.entry.name)
    }
    /// Full name, as checked by the decoder or made by the scan.
    pub fn rel_name(&self) -> RelName<'a> {
        match self.entry.flags.contains(EntryFlags::CLEAN_NAME) {
            true => RelName::checked(below(self.name())),
            false => RelName::ROOT,
        }
    }
    /// The root of the transfer; `/.` where `-R` was asked for `/`.
    pub fn is_root(&self) -> bool {
        matches!(self.name(), b"." | b"/.")
    }
    /// The extra fields, or their defaults.
    pub fn extra(&self) -> Extra {
        self.list.extra(self.entry)
    }
    /// Target of a symlink; empty for others.
    pub fn link_target(&self) -> &'a [u8] {
        self.list.bytes_of(self.extra().link)
    }
    /// Whole-file checksum; empty if there is none.
    pub fn checksum(&self) -> &'a [u8] {
        self.list.bytes_of(self.extra().sum)
    }
}

impl FileList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No entries at all?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an entry and returns its position.
    pub fn push(&mut self, new: &NewEntry<'_>) -> usize {
        let name = self.store(new.name);
        let mut flags = new.flags;
        flags.set(EntryFlags::CLEAN_NAME, RelName::new(below(new.name)).is_some());
        let place = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry {
            size: new.size,
            mtime: new.mtime,
            name,
            flags,
            nsec: new.nsec,
            mode: new.mode,
            uid: new.uid,
            gid: new.gid,
            extra: ExtraIndex::NONE,
            place,
            base: new.base,
        });
        self.entries.len() - 1
    }

    /// Takes the newest entry away again.
    pub fn pop(&mut self) {
        self.entries.pop();
    }

    /// Stores a byte string of at most 65535 bytes.
    ///
    /// # Panics
    /// If the string is longer; the decoder's limits prevent that.
    pub fn store(&mut self, bytes: &[u8]) -> Span {
        let span = Span::new(self.bytes.len(), bytes.len());
        self.bytes.extend_from_slice(bytes);
        span
    }

    /// The bytes of a span of this list.
    pub fn bytes_of(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }

    /// Name of an entry of this list.
    pub fn name(&self, entry: &Entry) -> &[u8] {
        self.bytes_of(entry.name)
    }

    /// Replaces the name of the entry at `position`.
    pub fn rename(&mut self, position: usize, name: &[u8]) {
        let span = self.store(name);
        if let Some(e) = self.entries.get_mut(position) {
            e.name = span;
            e.flags.set(EntryFlags::CLEAN_NAME, RelName::new(below(name)).is_some());
        }
    }

    /// A view of the entry at `position`.
    pub fn get(&self, position: usize) -> Option<EntryRef<'_>> {
        self.entries.get(position).map(|entry| EntryRef { list: self, entry })
    }

    /// The extra fields of an entry of this list, or their defaults.
    pub fn extra(&self, entry: &Entry) -> Extra {
        self.extras.get(entry.extra.0 as usize).copied().unwrap_or_default()
    }

    /// The extra fields of the entry at `position`, made when missing.
    ///
    /// # Panics
    /// If there is no such entry.
    pub fn extra_mut(&mut self, position: usize) -> &mut Extra {
        let entry = self.entries.get_mut(position).expect("position of an entry");
        if entry.extra == ExtraIndex::NONE {
            entry.extra = ExtraIndex(u32::try_from(self.extras.len()).expect("fewer than 2^32 entries"));
            self.extras.push(Extra::default());
        }
        let index = entry.extra.0 as usize;
        self.extras.get_mut(index).expect("index made above")
    }

    /// Bytes of memory held, for statistics.
    pub fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.extras.capacity() * size_of::<Extra>()
            + self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn names_may_lie_behind_four_gigabytes() {
        assert_eq!(
            Span::new(0x0000_1234_89ab_cdef, 255).range(),
            0x0000_1234_89ab_cdef..0x0000_1234_89ab_ceee
        );
        assert_eq!(Span::new(7, 0).range(), 7..7);
    }

    #[test]
    fn names_are_checked_when_they_are_given_and_whatever_the_flags_claim() {
        let flags = EntryFlags::CLEAN_NAME;
        let mut list = FileList::new();
        for (name, known_as) in [
            (&b"a/b"[..], &b"a/b"[..]),
            (b"/a", b"a"),
            (b"a/../b", b"."),
            (b"..", b"."),
            (b"//a", b"."),
            (b"a\0b", b"."),
            (b"", b"."),
        ] {
            let at = list.push(&NewEntry { name, flags, ..NewEntry::default() });
            let entry = list.get(at).unwrap();
            assert_eq!((entry.name(), entry.rel_name().bytes()), (name, known_as));
            assert_eq!(entry.entry.flags.contains(flags), name == b"a/b" || name == b"/a");
        }
        for (name, known_as) in [(&b"../x"[..], &b"."[..]), (b"x", b"x"), (b"x/.", b".")] {
            list.rename(0, name);
            let entry = list.get(0).unwrap();
            assert_eq!((entry.name(), entry.rel_name().bytes()), (name, known_as));
            assert_eq!(entry.entry.flags.contains(flags), name == b"x");
        }
    }

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<Entry>() <= 56);
    }
}
