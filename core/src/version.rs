//! The negotiated protocol version and what each version can do, by name (spec: version exchange; differences by version).
//!
//! It travels once, as an i32 LE at the start of either direction ([`crate::setup`]), or as decimal digits in a daemon's greeting.
//! 32 changes nothing behind the handshake: it is 31, whose greeting must name digests.

use core::ops::RangeInclusive;

use crate::error::ProtocolError;

/// A protocol version between 27 and 32, both included.
///
/// Version comparisons happen in this file only; everything else asks a named question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProtocolVersion(u8);

impl ProtocolVersion {
    /// Oldest version spoken.
    pub const MIN: Self = Self(27);
    /// Newest version spoken.
    pub const MAX: Self = Self(32);

    /// What a peer may announce; anything else is no rsync. Versions that are newer than [`Self::MAX`] come down to it, those
    /// below [`Self::MIN`] are not spoken here.
    pub const PLAUSIBLE: RangeInclusive<i32> = 20..=40;

    /// A version from its number, if it is one that this crate speaks.
    pub const fn new(number: u8) -> Option<Self> {
        if number >= Self::MIN.0 && number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The spoken version that is nearest to a number.
    pub fn nearest(number: u8) -> Self {
        Self(number.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The version that two sides speak, from the maximum of each (spec: version exchange).
    ///
    /// What is not [`PLAUSIBLE`](Self::PLAUSIBLE), or older than what is spoken here, is
    /// [`VersionMismatch`](ProtocolError::VersionMismatch).
    pub fn agree(own_max: Self, peer_max: i32) -> Result<Self, ProtocolError> {
        match u8::try_from(peer_max) {
            Ok(peer) if Self::PLAUSIBLE.contains(&peer_max) && peer >= Self::MIN.0 => {
                Ok(Self(peer.min(own_max.0)))
            }
            _ => Err(ProtocolError::VersionMismatch { got: peer_max }),
        }
    }

    /// The number as sent.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// ≥ 28: second flag byte, split device numbers, hard-link flags.
    pub const fn has_extended_flags(self) -> bool {
        self.0 >= 28
    }
    /// ≥ 29: item flags follow each index; third phase; five statistics.
    pub const fn has_item_flags(self) -> bool {
        self.0 >= 29
    }
    /// ≥ 29: filter rules carry prefixes and modifiers.
    pub const fn has_filter_modifiers(self) -> bool {
        self.0 >= 29
    }
    /// ≥ 29: directories sort as if they ended in a slash, files before directories.
    pub const fn has_dir_slash_order(self) -> bool {
        self.0 >= 29
    }
    /// ≥ 29: deletions are reported by a message of their own.
    pub const fn has_deleted_message(self) -> bool {
        self.0 >= 29
    }
    /// ≥ 29: more than one alternate directory, fuzzy matching, alternates with `--inplace`, pruning.
    pub const fn has_basis_type(self) -> bool {
        self.0 >= 29
    }
    /// ≥ 30: varint integers, delta-coded indexes, 64-bit times, compat flags, framed in both directions.
    pub const fn has_varints(self) -> bool {
        self.0 >= 30
    }
    /// A modification time as it arrives at the other end: below 30 as an unsigned number of 32 bits, below 31 in whole
    /// seconds.
    pub const fn carried_time(self, (seconds, nsec): (i64, u32)) -> (i64, u32) {
        let seconds = if self.0 >= 30 { seconds } else { seconds & 0xffff_ffff };
        (seconds, if self.has_nanoseconds() { nsec } else { 0 })
    }
    /// ≥ 30: the client says in letters what it can do, and the server answers with flags.
    pub const fn has_capabilities(self) -> bool {
        self.0 >= 30
    }
    /// ≥ 30: hard-link group numbers instead of device and inode.
    pub const fn has_link_groups(self) -> bool {
        self.0 >= 30
    }
    /// ≥ 30: perishable rules travel.
    pub const fn has_perishable(self) -> bool {
        self.0 >= 30
    }
    /// ≥ 30: `MSG_ERROR`, `MSG_WARNING`, `MSG_IO_ERROR`, `MSG_NO_SEND`, `MSG_NOOP`.
    pub const fn has_io_messages(self) -> bool {
        self.0 >= 30
    }
    /// ≥ 30: two flag bits describe what a directory entry stands for.
    pub const fn has_no_content_dirs(self) -> bool {
        self.0 >= 30
    }
    /// ≥ 30: names may come without the directories that they are in.
    pub const fn has_names_without_parents(self) -> bool {
        self.0 >= 30
    }
    /// ≥ 31: nanoseconds of mtimes.
    pub const fn has_nanoseconds(self) -> bool {
        self.0 >= 31
    }
    /// ≥ 31: a file list may always end with an error word.
    pub const fn has_safe_flist(self) -> bool {
        self.0 >= 31
    }
    /// ≥ 31: fourth DONE, deletion statistics, `MSG_ERROR_EXIT` and `MSG_IO_TIMEOUT` on the wire.
    pub const fn has_extended_goodbye(self) -> bool {
        self.0 >= 31
    }
    /// ≥ 31: no attribute list behind the items of links, unless the flags say otherwise.
    pub const fn omits_xattrs_of_links(self) -> bool {
        self.0 >= 31
    }
    /// ≥ 31: names of `--files-from` travel inside frames.
    pub const fn has_framed_files_from(self) -> bool {
        self.0 >= 31
    }
    /// ≥ 31: fifos and sockets carry no device number.
    pub const fn specials_have_no_rdev(self) -> bool {
        self.0 >= 31
    }
    /// ≥ 31: stored blocks of matched data advance through blocks over 64 KiB (`zlib` token history).
    pub const fn zlib_history_advances(self) -> bool {
        self.0 >= 31
    }
    /// Largest block length, bytes: 2^17, before protocol 30: 2^29.
    pub const fn max_block_length(self) -> u32 {
        if self.0 >= 30 { 1 << 17 } else { 1 << 29 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_carry_less_of_a_time() {
        let times = [(-304_214_400, 250_000_000), (7_258_118_400, 500_000_000), (1_700_000_000, 1)];
        let carried = |version| times.map(|time| ProtocolVersion(version).carried_time(time));
        assert_eq!(carried(31), times);
        assert_eq!(carried(30), [(-304_214_400, 0), (7_258_118_400, 0), (1_700_000_000, 0)]);
        assert_eq!(carried(29), [(3_990_752_896, 0), (2_963_151_104, 0), (1_700_000_000, 0)]);
    }

    #[test]
    fn versions_that_are_not_spoken_have_a_nearest() {
        let nearest = [0, 20, 26, 27, 30, 32, 40].map(|number| ProtocolVersion::nearest(number).number());
        assert_eq!(nearest, [27, 27, 27, 27, 30, 32, 32]);
    }

    #[test]
    fn the_smaller_maximum_wins() {
        assert_eq!(ProtocolVersion::agree(ProtocolVersion::MAX, 29).unwrap().number(), 29);
        assert_eq!(ProtocolVersion::agree(ProtocolVersion(30), 40).unwrap().number(), 30);
        assert_eq!(
            ProtocolVersion::agree(ProtocolVersion::MAX, 41),
            Err(ProtocolError::VersionMismatch { got: 41 })
        );
        assert!(ProtocolVersion::agree(ProtocolVersion::MAX, 0x6c65_4820).is_err());
    }
}
