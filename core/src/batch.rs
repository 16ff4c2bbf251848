//! Batch files: the stream from the sender to the receiving side, behind a short header (spec: batch files).
//!
//! | field | form | there if |
//! |---|---|---|
//! | options | i32 LE: [`StreamFlags`] | always |
//! | version | i32 LE, 27 to 32 | always |
//! | compatibility flags | varint: [`CompatFlags`] | protocol ≥ 30 |
//! | seed | i32 LE | always |
//! | stream | from the first file list on, without frames and messages: lists, items with their data, DONEs | always |
//! | statistics | see [`read_stats`](crate::session::goodbye::read_stats) | always |
//! | the sender's last DONE | [`ndx`](crate::wire::ndx) | protocol ≥ 31 |
//!
//! Algorithms are not recorded: MD5 (below protocol 30 MD4) and zlib, or those that the reader's options name. As recorded, with `-rt`:
//!
//! ```
//! use arsync_core::{batch::{Opening, StreamFlags}, version::ProtocolVersion};
//!
//! let file = [0x81, 0, 0, 0, 0x20, 0, 0, 0, 0x81, 0xff, 7, 0, 0, 0]; // behind the version: flags, seed 7
//! let opening = Opening::decode(*file.first_chunk().expect("eight bytes"));
//! assert_eq!(opening.flags, StreamFlags::RECURSE | StreamFlags::DIRS);
//! assert_eq!(opening.protocol(ProtocolVersion::MAX), Ok(ProtocolVersion::MAX));
//! ```

use alloc::vec::Vec;

use bitflags::bitflags;

use crate::{
    options::{Append, Compress, SessionOptions},
    setup::{Agreed, CompatFlags},
    token::CompressKind,
    version::ProtocolVersion,
    wire::varint,
};

bitflags! {
    /// Options that give the stream its form, i32 LE. A reader takes them over: bits 0 to 6 of a file below protocol 29, 0 to 8 of
    /// one of 29, all from 30 on; higher ones have no meaning.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct StreamFlags: u32 {
        /// `-r`
        const RECURSE = 1 << 0;
        /// `-o`
        const OWNER = 1 << 1;
        /// `-g`
        const GROUP = 1 << 2;
        /// `-l`
        const LINKS = 1 << 3;
        /// `--devices`
        const DEVICES = 1 << 4;
        /// `-H`
        const HARD_LINKS = 1 << 5;
        /// `-c`
        const CHECKSUM = 1 << 6;
        /// `-d`, or implied by `-r`
        const DIRS = 1 << 7;
        /// `-z`
        const COMPRESS = 1 << 8;
        /// `--iconv`
        const ICONV = 1 << 9;
        /// `-A`
        const ACLS = 1 << 10;
        /// `-X`
        const XATTRS = 1 << 11;
        /// `--inplace`, also where another option implies it
        const INPLACE = 1 << 12;
        /// `--append`
        const APPEND = 1 << 13;
        /// `--append-verify`
        const APPEND_VERIFY = 1 << 14;
    }
}

/// Names of the flags, lowest bit first, as messages show them.
const NAMES: [&str; 15] = [
    "--recurse (-r)",
    "--owner (-o)",
    "--group (-g)",
    "--links (-l)",
    "--devices (-D)",
    "--hard-links (-H)",
    "--checksum (-c)",
    "--dirs (-d)",
    "--compress (-z)",
    "--iconv",
    "--acls (-A)",
    "--xattrs (-X)",
    "--inplace",
    "--append",
    "--append-verify",
];

impl StreamFlags {
    /// The state of the options. `iconv`: names are converted.
    pub fn of(options: &SessionOptions, iconv: bool) -> Self {
        let (preserve, select, transfer) = (&options.preserve, &options.select, &options.transfer);
        let states = [
            select.recursive,
            preserve.owner,
            preserve.group,
            preserve.links,
            preserve.devices,
            preserve.hard_links > 0,
            select.checksum,
            select.dirs,
            transfer.compress != Compress::Off,
            iconv,
            preserve.acls,
            preserve.xattrs > 0,
            transfer.inplace,
            transfer.append == Append::Trust,
            transfer.append == Append::Verify,
        ];
        let bits = states.iter().enumerate().fold(0, |bits, (i, on)| bits | (u32::from(*on) << i));
        Self::from_bits_truncate(bits)
    }

    /// The flags that a file of this version speaks of.
    const fn known(protocol: ProtocolVersion) -> Self {
        if protocol.has_varints() {
            Self::all()
        } else if protocol.has_item_flags() {
            Self::from_bits_truncate(0x1ff)
        } else {
            Self::from_bits_truncate(0x7f)
        }
    }

    /// Makes the options those of the file. Returns what was changed: on or off, and the name.
    /// `iconv`: names are converted, which cannot be changed. `raised`: options that are more than just on, for
    /// the reference another state than the one of the file.
    pub fn reconcile(
        self,
        options: &mut SessionOptions,
        iconv: bool,
        raised: Self,
        protocol: ProtocolVersion,
    ) -> Result<Vec<(bool, &'static str)>, BatchFault> {
        let mut changes = Vec::new();
        let different = ((self ^ Self::of(options, iconv)) | (self & raised)) & Self::known(protocol);
        for (flag, name) in Self::all().iter().zip(NAMES) {
            if !different.contains(flag) {
                continue;
            }
            let on = self.contains(flag);
            if flag == Self::ICONV {
                return Err(if on { BatchFault::NeedsIconv } else { BatchFault::HasNoIconv });
            }
            changes.push((on, name));
            flag.set_option(options, on);
        }
        if !protocol.has_item_flags() {
            // What was asked for beside `-r` stays.
            options.select.dirs = options.select.recursive || raised.contains(Self::DIRS);
        }
        Ok(changes)
    }

    fn set_option(self, options: &mut SessionOptions, on: bool) {
        let (preserve, select, transfer) =
            (&mut options.preserve, &mut options.select, &mut options.transfer);
        match self {
            Self::RECURSE => select.recursive = on,
            Self::OWNER => preserve.owner = on,
            Self::GROUP => preserve.group = on,
            Self::LINKS => preserve.links = on,
            Self::DEVICES => preserve.devices = on,
            Self::HARD_LINKS => preserve.hard_links = u8::from(on),
            Self::CHECKSUM => select.checksum = on,
            Self::DIRS => select.dirs = on,
            Self::COMPRESS => transfer.compress = if on { Compress::Negotiate } else { Compress::Off },
            Self::ACLS => preserve.acls = on,
            Self::XATTRS => preserve.xattrs = u8::from(on),
            Self::INPLACE => transfer.inplace = on,
            Self::APPEND if on => transfer.append = Append::Trust,
            Self::APPEND_VERIFY if on => transfer.append = Append::Verify,
            Self::APPEND if transfer.append == Append::Trust => transfer.append = Append::Off,
            Self::APPEND_VERIFY if transfer.append == Append::Verify => transfer.append = Append::Off,
            _ => {}
        }
    }
}

/// Why a batch file cannot be replayed with these options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BatchFault {
    /// It was recorded with `--iconv`.
    NeedsIconv,
    /// It was recorded without `--iconv`.
    HasNoIconv,
    /// It was recorded with incremental recursion, which an option forbids.
    NoIncRecursion,
    /// Its version is none that this side may speak.
    TooNew {
        /// The version of the file.
        version: i32,
        /// The newest one allowed.
        max: u8,
    },
    /// Its version is older than any that is known.
    Implausible {
        /// The version of the file.
        version: i32,
    },
}

/// What stands in front of the stream, up to the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Opening {
    /// The options.
    pub flags: StreamFlags,
    /// The version as it stands there.
    pub version: i32,
}

impl Opening {
    /// Length in the file.
    pub const LEN: usize = 8;

    /// Flags and version, each i32 LE. Neither is checked: see [`Self::protocol`].
    pub const fn decode(bytes: [u8; Self::LEN]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        let flags = StreamFlags::from_bits_truncate(u32::from_le_bytes([a, b, c, d]));
        Self { flags, version: i32::from_le_bytes([e, f, g, h]) }
    }

    /// The version to read the rest with. Above `max` it is [`TooNew`](BatchFault::TooNew), below 27
    /// [`Implausible`](BatchFault::Implausible).
    pub fn protocol(&self, max: ProtocolVersion) -> Result<ProtocolVersion, BatchFault> {
        let version = self.version;
        if version > i32::from(max.number()) {
            return Err(BatchFault::TooNew { version, max: max.number() });
        }
        let known = u8::try_from(version).ok().and_then(ProtocolVersion::new);
        known.ok_or(BatchFault::Implausible { version })
    }
}

/// What both ends of the recorded session had agreed on. The algorithms are those of the version, or those that
/// the options name.
pub fn agreement(protocol: ProtocolVersion, compat: u32, seed: i32, options: &SessionOptions) -> Agreed {
    let mut agreed = Agreed::implied(protocol, CompatFlags::from_bits_truncate(compat), seed);
    agreed.choose(options.transfer.checksum_choice);
    agreed.compress = match options.transfer.compress {
        Compress::Off => None,
        Compress::Negotiate => Some(CompressKind::Zlib),
        Compress::Explicit(kind) => Some(kind),
    };
    agreed
}

/// What a recording begins with, behind the flags.
pub(crate) fn opening_bytes(agreed: &Agreed) -> Vec<u8> {
    let mut out = Vec::from(i32::from(agreed.protocol.number()).to_le_bytes());
    if agreed.protocol.has_varints() {
        out.extend_from_slice(varint::encode_varint(agreed.flags.bits() as i32).as_slice());
    }
    out.extend_from_slice(&agreed.seed.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checksum::ChecksumKind, options::Select};

    fn archive() -> SessionOptions {
        let mut o = SessionOptions {
            select: Select { recursive: true, dirs: true, ..Select::default() },
            ..SessionOptions::default()
        };
        (o.preserve.owner, o.preserve.group, o.preserve.links, o.preserve.devices) = (true, true, true, true);
        o
    }

    #[test]
    fn flags_are_those_of_the_reference() {
        let bits = |change: &dyn Fn(&mut SessionOptions)| {
            let mut o = archive();
            change(&mut o);
            StreamFlags::of(&o, false).bits()
        };
        assert_eq!(bits(&|_| ()), 0x9f);
        assert_eq!(bits(&|o| o.preserve.hard_links = 1), 0xbf);
        assert_eq!(bits(&|o| o.select.checksum = true), 0xdf);
        assert_eq!(bits(&|o| o.preserve.devices = false), 0x8f);
        assert_eq!(bits(&|o| o.transfer.compress = Compress::Negotiate), 0x19f);
        assert_eq!(bits(&|o| (o.transfer.inplace, o.transfer.append) = (true, Append::Trust)), 0x309f);
        assert_eq!(bits(&|o| (o.transfer.inplace, o.transfer.append) = (true, Append::Verify)), 0x509f);
        assert_eq!(bits(&|o| o.preserve.xattrs = 1), 0x89f);
        assert_eq!(bits(&|o| o.preserve.acls = true), 0x49f);
        assert_eq!(StreamFlags::of(&archive(), true).bits(), 0x29f);
    }

    #[test]
    fn a_reader_takes_the_options_of_the_file_over() {
        let file = StreamFlags::from_bits_truncate(0xbf);
        let none = StreamFlags::empty();
        let mut o = archive();
        (o.preserve.devices, o.select.checksum) = (false, true);
        o.transfer.compress = Compress::Negotiate;
        let changes = file.reconcile(&mut o, false, none, ProtocolVersion::MAX).unwrap();
        assert_eq!(
            changes,
            [
                (true, "--devices (-D)"),
                (true, "--hard-links (-H)"),
                (false, "--checksum (-c)"),
                (false, "--compress (-z)")
            ]
        );
        assert_eq!(StreamFlags::of(&o, false), file);
        assert_eq!(file.reconcile(&mut o, true, none, ProtocolVersion::MAX), Err(BatchFault::HasNoIconv));
        let again =
            file.reconcile(&mut o, false, StreamFlags::RECURSE | StreamFlags::XATTRS, ProtocolVersion::MAX);
        assert_eq!(again, Ok(Vec::from([(true, "--recurse (-r)")])));
        // Older files do not speak of it.
        let p29 = ProtocolVersion::new(29).unwrap();
        assert_eq!(file.reconcile(&mut o, true, none, p29), Ok(Vec::new()));
    }

    #[test]
    fn a_recording_opens_as_observed() {
        let mut agreed = Agreed::implied(ProtocolVersion::MAX, CompatFlags::all(), 7);
        assert_eq!(opening_bytes(&agreed), [0x20, 0, 0, 0, 0x81, 0xff, 7, 0, 0, 0]);
        assert_eq!(agreed.transfer_sum, ChecksumKind::Md5);
        agreed = Agreed::implied(ProtocolVersion::new(29).unwrap(), CompatFlags::empty(), 7);
        assert_eq!(opening_bytes(&agreed), [0x1d, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(agreed.transfer_sum, ChecksumKind::Md4);
    }
}
