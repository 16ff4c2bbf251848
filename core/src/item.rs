//! The item flag word that travels with each index, and its 11-character text (spec: iflags bits, per-file request).
//!
//! What is said of an item, by the generator and, as an echo, by the sender:
//!
//! | field | there if | form |
//! |---|---|---|
//! | index | always | [`ndx`](crate::wire::ndx) |
//! | flags | protocol ≥ 29; before, each index is a [`TRANSFER`](ItemFlags::TRANSFER) | u16 LE: [`ItemFlags`] |
//! | basis | [`BASIS_TYPE_FOLLOWS`](ItemFlags::BASIS_TYPE_FOLLOWS) | byte: [`BasisType`] |
//! | name | [`XNAME_FOLLOWS`](ItemFlags::XNAME_FOLLOWS) | vstring, 0 to 4095 bytes |
//! | wanted attributes | [`REPORT_XATTR`](ItemFlags::REPORT_XATTR), with `-X`, no dry run | see `flist::xattr` |
//! | sum head | [`TRANSFER`](ItemFlags::TRANSFER), no dry run | 16 bytes: [`SumHead`](crate::delta::SumHead) |
//! | generator: sums of the blocks | the same | see there |
//! | sender: tokens, sum of the file | the same | [`token`](crate::token), [`checksum`](crate::checksum) |

use bitflags::bitflags;

bitflags! {
    /// What happens to an item. Bits 0..=15 travel as u16 LE after an index (protocol ≥ 29);
    /// the bits above are local. `0x0200` has no meaning; whatever came is echoed.
    ///
    /// ```
    /// use arsync_core::item::ItemFlags;
    ///
    /// // A new file that is transferred: bytes 00 a0.
    /// let flags = ItemFlags::TRANSFER | ItemFlags::IS_NEW;
    /// assert_eq!(flags.to_wire().to_le_bytes(), [0x00, 0xa0]);
    /// // `>f.st......`: 0c 80.
    /// let flags = ItemFlags::from_wire(u16::from_le_bytes([0x0c, 0x80]));
    /// assert_eq!(flags, ItemFlags::TRANSFER | ItemFlags::REPORT_SIZE | ItemFlags::REPORT_TIME);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ItemFlags: u32 {
        /// atime will be changed
        const REPORT_ATIME = 0x0001;
        /// content or value change
        const REPORT_CHANGE = 0x0002;
        /// size differs (regular files)
        const REPORT_SIZE = 0x0004;
        /// the time of a symlink cannot be set (same bit as the size)
        const REPORT_TIMEFAIL = 0x0004;
        /// mtime differs, or will be left at "now"
        const REPORT_TIME = 0x0008;
        /// permission bits differ
        const REPORT_PERMS = 0x0010;
        /// owner differs
        const REPORT_OWNER = 0x0020;
        /// group differs
        const REPORT_GROUP = 0x0040;
        /// ACL differs
        const REPORT_ACL = 0x0080;
        /// extended attributes differ
        const REPORT_XATTR = 0x0100;
        /// creation time differs
        const REPORT_CRTIME = 0x0400;
        /// a basis type byte follows: [`BasisType`]
        const BASIS_TYPE_FOLLOWS = 0x0800;
        /// a vstring of at most 4095 bytes follows: the name of a fuzzy basis, or (with `LOCAL_CHANGE`) that of the file which
        /// was linked to, empty if there was nothing to do
        const XNAME_FOLLOWS = 0x1000;
        /// nothing of that name existed
        const IS_NEW = 0x2000;
        /// changed by the generator alone
        const LOCAL_CHANGE = 0x4000;
        /// file data is wanted
        const TRANSFER = 0x8000;
        /// local: the peer gave no details (protocol < 29)
        const MISSING_DATA = 0x1_0000;
        /// local: the item was deleted
        const DELETED = 0x2_0000;
        /// local: matched an alternate item
        const MATCHED = 0x4_0000;
        /// bits that the peer may set without a meaning here are kept and echoed
        const _ = !0;
    }
}

impl ItemFlags {
    /// Flags that make an entry worth mentioning on the wire.
    pub const SIGNIFICANT: Self = Self::from_bits_retain(
        !(Self::BASIS_TYPE_FOLLOWS.bits() | Self::XNAME_FOLLOWS.bits() | Self::LOCAL_CHANGE.bits()) & 0xffff,
    );

    /// True if a flag is set that makes the item count as changed.
    pub const fn is_significant(self) -> bool {
        self.intersects(Self::SIGNIFICANT)
    }

    /// The 16 bits that travel.
    #[allow(clippy::cast_possible_truncation, reason = "the upper half does not travel")]
    pub const fn to_wire(self) -> u16 {
        (self.bits() & 0xffff) as u16
    }

    /// Flags from the wire.
    pub const fn from_wire(bits: u16) -> Self {
        Self::from_bits_retain(bits as u32)
    }
}

/// Kind of basis that a request names (spec: basis_type). Wire: one byte, protocol ≥ 29; any is legal here, and the session
/// refuses a directory that does not exist ([`BadBasisDir`](crate::error::ProtocolError::BadBasisDir)) and a fuzzy basis that nobody
/// allowed ([`UnexpectedFuzzy`](crate::error::ProtocolError::UnexpectedFuzzy)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BasisType {
    /// 0x00..=0x7f: the same name below alternate directory number n.
    AltDest(u8),
    /// 0x80: the destination file itself.
    #[default]
    Name,
    /// 0x81: the file in the partial directory.
    PartialDir,
    /// 0x82: the backup of the destination file.
    Backup,
    /// 0x83: another file of the same destination directory, named by xname.
    Fuzzy,
    /// 0x84..: xname in the same directory below alternate directory number n.
    FuzzyAlt(u8),
}

impl BasisType {
    /// The byte as sent, behind an item word with [`ItemFlags::BASIS_TYPE_FOLLOWS`] (protocol ≥ 29).
    ///
    /// ```
    /// use arsync_core::item::BasisType;
    ///
    /// assert_eq!(BasisType::AltDest(1).to_wire(), 0x01);
    /// assert_eq!(BasisType::PartialDir.to_wire(), 0x81);
    /// assert_eq!(BasisType::from_wire(0x83), BasisType::Fuzzy);
    /// ```
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::AltDest(n) => n & 0x7f,
            Self::Name => 0x80,
            Self::PartialDir => 0x81,
            Self::Backup => 0x82,
            Self::Fuzzy => 0x83,
            Self::FuzzyAlt(n) => 0x84u8.saturating_add(n),
        }
    }

    /// The kind from its byte. Whether such a directory exists is the caller's check.
    pub const fn from_wire(byte: u8) -> Self {
        match byte {
            0..=0x7f => Self::AltDest(byte),
            0x80 => Self::Name,
            0x81 => Self::PartialDir,
            0x82 => Self::Backup,
            0x83 => Self::Fuzzy,
            n => Self::FuzzyAlt(n - 0x84),
        }
    }
}

/// What an item is, for the second letter of the itemize string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ItemKind {
    /// `f`
    File,
    /// `d`
    Dir,
    /// `L`
    Symlink,
    /// `D`
    Device,
    /// `S`
    Special,
}

/// What the itemize text depends on beside the flags.
#[derive(Debug, Clone, Copy)]
pub struct ItemizeView {
    /// Flags of the item.
    pub flags: ItemFlags,
    /// Its kind.
    pub kind: ItemKind,
    /// The data goes away from here to a remote receiver (`<` instead of `>`).
    pub sending: bool,
    /// mtimes are preserved (`-t`).
    pub times: bool,
    /// The receiver can set times of symlinks.
    pub symlink_times: bool,
}

/// The 11 characters `YXcstpoguax` (spec: itemize string).
pub fn itemize(view: ItemizeView) -> [u8; 11] {
    let f = view.flags;
    if f.contains(ItemFlags::DELETED) {
        return *b"*deleting  ";
    }
    let mut s = [b'.'; 11];
    s[0] = if f.contains(ItemFlags::LOCAL_CHANGE) {
        if f.contains(ItemFlags::XNAME_FOLLOWS) { b'h' } else { b'c' }
    } else if !f.contains(ItemFlags::TRANSFER) {
        b'.'
    } else if view.sending {
        b'<'
    } else {
        b'>'
    };
    s[1] = match view.kind {
        ItemKind::File => b'f',
        ItemKind::Dir => b'd',
        ItemKind::Symlink => b'L',
        ItemKind::Device => b'D',
        ItemKind::Special => b'S',
    };
    if f.contains(ItemFlags::IS_NEW) || f.contains(ItemFlags::MISSING_DATA) {
        let fill = if f.contains(ItemFlags::IS_NEW) { b'+' } else { b'?' };
        s[2..].fill(fill);
        return s;
    }
    let set = |flag: ItemFlags, c: u8| if f.contains(flag) { c } else { b'.' };
    s[2] = set(ItemFlags::REPORT_CHANGE, b'c');
    s[3] = if view.kind == ItemKind::Symlink { b'.' } else { set(ItemFlags::REPORT_SIZE, b's') };
    if f.contains(ItemFlags::REPORT_TIME) {
        let symlink_fails =
            view.kind == ItemKind::Symlink && (!view.symlink_times || f.contains(ItemFlags::REPORT_TIMEFAIL));
        s[4] = if !view.times || symlink_fails { b'T' } else { b't' };
    }
    s[5] = set(ItemFlags::REPORT_PERMS, b'p');
    s[6] = set(ItemFlags::REPORT_OWNER, b'o');
    s[7] = set(ItemFlags::REPORT_GROUP, b'g');
    s[8] = match (f.contains(ItemFlags::REPORT_ATIME), f.contains(ItemFlags::REPORT_CRTIME)) {
        (true, true) => b'b',
        (true, false) => b'u',
        (false, true) => b'n',
        (false, false) => b'.',
    };
    s[9] = set(ItemFlags::REPORT_ACL, b'a');
    s[10] = set(ItemFlags::REPORT_XATTR, b'x');
    if matches!(s[0], b'.' | b'h' | b'c') && s[2..].iter().all(|&c| c == b'.') {
        s[2..].fill(b' ');
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bits: u32, kind: ItemKind) -> [u8; 11] {
        itemize(ItemizeView {
            flags: ItemFlags::from_bits_retain(bits),
            kind,
            sending: false,
            times: true,
            symlink_times: true,
        })
    }

    #[test]
    fn texts_match_those_observed() {
        assert_eq!(&text(0xa000, ItemKind::File), b">f+++++++++");
        assert_eq!(&text(0x800c, ItemKind::File), b">f.st......");
        assert_eq!(&text(0x6000, ItemKind::Dir), b"cd+++++++++");
        assert_eq!(&text(0x0008, ItemKind::Dir), b".d..t......");
        assert_eq!(&text(0x4000, ItemKind::Dir), b"cd         ");
        assert_eq!(&text(0x5000, ItemKind::File), b"hf         ");
        assert_eq!(&text(0x8000, ItemKind::File), b">f.........");
        assert_eq!(&text(0x400a, ItemKind::Symlink), b"cLc.t......");
        assert_eq!(&text(0x2_0000, ItemKind::File), b"*deleting  ");
    }
}
