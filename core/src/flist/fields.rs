//! Fields of an entry that stand together and have a bounded length, as pure functions.
//!
//! An entry is a dozen numbers of a few bytes each. Each of them read on its own would pass through the layers of the
//! reader; read together, they cost one look at the bytes at hand.

#![warn(clippy::indexing_slicing)]

use super::{Format, kind::FileKind, xmit};
use crate::{
    error::{Limit, NameFault, ProtocolError},
    version::ProtocolVersion,
    wire::{Decoded, int, varint},
};

/// Longest [`start`]: a flag word, the length of the common part, and that of the rest.
pub(super) const MAX_START: usize = 5 + 1 + 5;
/// Longest [`Numbers::decode`]: a longint, three varlongs, a varint and an int.
pub(super) const MAX_NUMBERS: usize = 12 + 3 * 9 + 5 + 4;

/// Why a group of fields has no value.
enum Stop {
    /// The bytes at hand end too early.
    Short,
    Fault(ProtocolError),
}

impl From<ProtocolError> for Stop {
    fn from(fault: ProtocolError) -> Self {
        Self::Fault(fault)
    }
}

/// A place in the bytes at hand.
struct Cursor<'a> {
    bytes: &'a [u8],
    used: usize,
}

impl<'a> Cursor<'a> {
    /// Runs `fields` over the bytes at hand.
    fn decode<T>(bytes: &'a [u8], fields: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Decoded<T> {
        let mut cursor = Self { bytes, used: 0 };
        match fields(&mut cursor) {
            Ok(value) => Ok(Some((value, cursor.used))),
            Err(Stop::Short) => Ok(None),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    fn take<T>(&mut self, decoder: impl FnOnce(&[u8]) -> Decoded<T>) -> Result<T, Stop> {
        let (value, used) = decoder(self.bytes.get(self.used..).unwrap_or_default())?.ok_or(Stop::Short)?;
        self.used += used;
        Ok(value)
    }
    fn u8(&mut self) -> Result<u8, Stop> {
        self.take(int::decode_u8)
    }
    fn i32(&mut self) -> Result<i32, Stop> {
        self.take(int::decode_i32)
    }
    fn varint(&mut self) -> Result<i32, Stop> {
        self.take(varint::decode_varint)
    }
    fn varlong(&mut self, min: usize) -> Result<i64, Stop> {
        self.take(|b| varint::decode_varlong(b, min))
    }
    /// varint from protocol 30 on, i32 LE before.
    fn varint30(&mut self, protocol: ProtocolVersion) -> Result<i32, Stop> {
        if protocol.has_varints() { self.varint() } else { self.i32() }
    }
    /// A size: varlong(3) from protocol 30 on, longint before.
    fn size(&mut self, protocol: ProtocolVersion) -> Result<i64, Stop> {
        if protocol.has_varints() { self.varlong(3) } else { self.take(int::decode_longint) }
    }
    /// A modification time: varlong(4) from protocol 30 on, u32 LE before.
    fn mtime(&mut self, protocol: ProtocolVersion) -> Result<i64, Stop> {
        if protocol.has_varints() { self.varlong(4) } else { Ok(i64::from(self.i32()? as u32)) }
    }

    /// The flag word of an entry; `Err`: the error bits of the end marker that stands in its place.
    fn flags(&mut self, f: &Format) -> Result<Result<u32, u32>, Stop> {
        if f.varint_flags {
            let flags = self.varint()? as u32;
            return Ok(if flags == 0 { Err(self.varint()? as u32) } else { Ok(flags) });
        }
        let mut flags = u32::from(self.u8()?);
        if flags == 0 {
            return Ok(Err(0));
        }
        if f.protocol.has_extended_flags() && flags & xmit::EXTENDED != 0 {
            flags |= u32::from(self.u8()?) << 8;
            if flags == xmit::IO_ERROR_END && f.safe_end {
                return Ok(Err(self.varint()? as u32));
            }
        }
        Ok(Ok(flags))
    }
}

/// What comes first: an entry, or the end of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Entry {
        flags: u32,
        /// Bytes that the name has in common with the last one.
        shared: usize,
        /// Bytes of the name that follow.
        rest: usize,
    },
    End {
        io_error: u32,
    },
}

/// Decodes a flag word and the lengths of the name.
pub(super) fn start(bytes: &[u8], f: &Format) -> Decoded<Start> {
    Cursor::decode(bytes, |c| {
        let flags = match c.flags(f)? {
            Ok(flags) => flags,
            Err(io_error) => return Ok(Start::End { io_error }),
        };
        let shared = if flags & xmit::SAME_NAME != 0 { usize::from(c.u8()?) } else { 0 };
        let rest = if flags & xmit::LONG_NAME != 0 {
            usize::try_from(c.varint30(f.protocol)?).map_err(|_| ProtocolError::Name(NameFault::Overflow))?
        } else {
            usize::from(c.u8()?)
        };
        Ok(Start::Entry { flags, shared, rest })
    })
}

/// Values that an entry may have in common with the last one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Running {
    pub(super) mode: u32,
    pub(super) mtime: i64,
    pub(super) atime: i64,
}

/// The numbers between the name and the owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) size: u64,
    pub(super) nsec: u32,
    pub(super) crtime: i64,
    pub(super) kind: FileKind,
    pub(super) running: Running,
}

impl Numbers {
    /// `last`: the values of the entry before.
    pub(super) fn decode(bytes: &[u8], f: &Format, flags: u32, last: Running) -> Decoded<Self> {
        let p = f.protocol;
        Cursor::decode(bytes, |c| {
            let Running { mut mode, mut mtime, mut atime } = last;
            let size = c.size(p)?;
            let size = u64::try_from(size).map_err(|_| out_of_range(Limit::FileLength, size, i64::MAX))?;
            if flags & xmit::SAME_TIME == 0 {
                mtime = c.mtime(p)?;
            }
            let mut nsec = 0;
            if flags & xmit::MOD_NSEC != 0 && p.has_nanoseconds() {
                let n = c.varint()?;
                if !(0..=999_999_999).contains(&n) {
                    return Err(out_of_range(Limit::Nanoseconds, i64::from(n), 999_999_999).into());
                }
                nsec = n as u32;
            }
            let with_crtime = f.crtimes && flags & xmit::CRTIME_EQ_MTIME == 0;
            let crtime = if with_crtime { c.varlong(4)? } else { mtime };
            if flags & xmit::SAME_MODE == 0 {
                mode = c.i32()? as u32;
            }
            let kind = FileKind::from_mode(mode)
                .filter(|k| *k != FileKind::Missing || f.missing_args)
                .ok_or(ProtocolError::BadMode(mode))?;
            if f.atimes && kind != FileKind::Dir && flags & xmit::SAME_ATIME == 0 {
                atime = c.varlong(4)?;
            }
            Ok(Self { size, nsec, crtime, kind, running: Running { mode, mtime, atime } })
        })
    }
}

pub(super) fn out_of_range(what: Limit, got: i64, max: i64) -> ProtocolError {
    ProtocolError::OutOfRange { what, got, max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{options::SessionOptions, setup::Agreed, setup::CompatFlags};

    fn format(protocol: u8, varint_flags: bool) -> Format {
        let protocol = ProtocolVersion::new(protocol).unwrap();
        let flags = if varint_flags { CompatFlags::VARINT_FLIST_FLAGS } else { CompatFlags::SAFE_FLIST };
        let mut options = SessionOptions::default();
        options.preserve.atimes = 1;
        Format::new(&options, &Agreed::implied(protocol, flags, 0))
    }

    #[test]
    fn the_start_of_an_entry_and_of_the_end() {
        let entry = |flags, shared, rest| Start::Entry { flags, shared, rest };
        let table: [(u8, bool, &[u8], Start); 7] = [
            // As recorded: a top directory, names of owner and group follow.
            (32, true, &[0x8c, 0x01, 1], entry(0x0c01, 0, 1)),
            (32, true, &[0x20, 7, 255], entry(xmit::SAME_NAME, 7, 255)),
            (32, true, &[0x40, 0x81, 0x2c], entry(xmit::LONG_NAME, 0, 300)),
            (32, true, &[0, 3], Start::End { io_error: 3 }),
            (29, false, &[0x44, 0x02, 0x2c, 1, 0, 0], entry(0x0244, 0, 300)),
            (29, false, &[0], Start::End { io_error: 0 }),
            (30, false, &[0x04, 0x10, 1], Start::End { io_error: 1 }),
        ];
        for (protocol, varint_flags, bytes, expected) in table {
            let f = format(protocol, varint_flags);
            assert_eq!(start(bytes, &f), Ok(Some((expected, bytes.len()))), "{bytes:02x?}");
            for short in 0..bytes.len() {
                assert_eq!(start(bytes.get(..short).unwrap(), &f), Ok(None), "{bytes:02x?} to {short}");
            }
        }
        let negative = start(&[0x40, 0xf0, 0xff, 0xff, 0xff, 0xff], &format(32, true));
        assert_eq!(negative, Err(ProtocolError::Name(NameFault::Overflow)));
    }

    #[test]
    fn numbers_as_recorded() {
        // The directory of the module's description, at protocols 32 and 29.
        let new: &[u8] = &[0, 0, 0x10, 0x57, 5, 0x0a, 0x23, 0xed, 0x41, 0, 0];
        let old: &[u8] = &[0, 0x10, 0, 0, 0x1e, 0x71, 0x5d, 0x54, 0xed, 0x41, 0, 0];
        for (f, bytes, mtime) in [(format(32, true), new, 0x5723_0a05), (format(29, false), old, 0x545d_711e)]
        {
            let (n, used) = Numbers::decode(bytes, &f, 0, Running::default()).unwrap().unwrap();
            assert_eq!((used, n.size, n.nsec, n.kind), (bytes.len(), 4096, 0, FileKind::Dir));
            assert_eq!((n.running.mtime, n.running.mode, n.crtime), (mtime, 0o040_755, mtime));
            for short in 0..bytes.len() {
                assert!(
                    Numbers::decode(bytes.get(..short).unwrap(), &f, 0, Running::default())
                        .unwrap()
                        .is_none()
                );
            }
        }
    }

    #[test]
    fn numbers_refer_to_the_last_entry() {
        let last = Running { mode: 0o100_644, mtime: 1_700_000_000, atime: 5 };
        let same = xmit::SAME_TIME | xmit::SAME_MODE | xmit::MOD_NSEC;
        let bytes = [0, 1, 0, 0x80, 0x80, 0, 7, 0, 0, 0];
        let (n, used) = Numbers::decode(&bytes, &format(32, true), same, last).unwrap().unwrap();
        assert_eq!((used, n.size, n.nsec, n.kind), (9, 1, 128, FileKind::Regular));
        assert_eq!((n.running.mtime, n.running.mode, n.running.atime), (1_700_000_000, 0o100_644, 7));
    }

    #[test]
    fn a_fault_is_seen_before_what_follows_has_arrived() {
        let fault = |bytes: &[u8], flags| {
            Numbers::decode(bytes, &format(32, true), flags, Running::default()).unwrap_err()
        };
        let size = fault(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0);
        assert_eq!(size, out_of_range(Limit::FileLength, -1, i64::MAX));
        let nsec = fault(&[0, 0, 0, 0xf0, 0, 0xca, 0x9a, 0x3b], xmit::SAME_TIME | xmit::MOD_NSEC);
        assert_eq!(nsec, out_of_range(Limit::Nanoseconds, 1_000_000_000, 999_999_999));
        assert_eq!(fault(&[0, 0, 0, 9, 0, 0, 0], xmit::SAME_TIME), ProtocolError::BadMode(9));
    }
}
