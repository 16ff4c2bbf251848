//! The item header that travels in both directions, the deletion statistics, and the closing statistics (spec: end of session).
//! Their place in the session: [`crate::session`].

use alloc::vec::Vec;

use embedded_io_async::{BufRead, Write};

use crate::{
    error::{Error, Limit, ProtocolError},
    io::{MessageSink, WireReader, WireWriter},
    item::{BasisType, ItemFlags},
    limits::{MAX_DELETED, MAX_PATH},
    stats::{Counts, Stats},
    version::ProtocolVersion,
    wire::{int, varint},
};

/// What follows an index (spec: per-file request).
///
/// Wire, protocol ≥ 29: flags as u16 LE, then a basis byte and a vstring of at most 4095 bytes where the flags
/// say so. Below: nothing, each index is a transfer. The sender echoes all of it. What follows: [`crate::item`].
///
/// Examples, behind the index: `00 a0`: a new file ([`ItemFlags::IS_NEW`], [`ItemFlags::TRANSFER`]), a [`SumHead`] of
/// zeros follows; `08 00`: the time of a directory; `00 70 06 73 75 62 2f 68 33`: a hard link to `sub/h3` was made.
///
/// [`SumHead`]: crate::delta::SumHead
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ItemHeader {
    /// What happens to the item.
    pub flags: ItemFlags,
    /// Which file serves as the basis; without its byte [`BasisType::Name`].
    pub basis: BasisType,
    /// Name of the basis (fuzzy) or of the target of a hard link, as it travelled: nothing of it was checked but that it has at
    /// most 4095 bytes.
    pub xname: Option<Vec<u8>>,
}

impl ItemHeader {
    /// Reads what follows an index. A longer name than 4095 bytes is [`OutOfRange`](ProtocolError::OutOfRange).
    pub async fn read<R: BufRead, S: MessageSink>(
        r: &mut WireReader<R, S>,
        protocol: ProtocolVersion,
    ) -> Result<Self, Error<R::Error>> {
        if !protocol.has_item_flags() {
            return Ok(Self { flags: ItemFlags::TRANSFER | ItemFlags::MISSING_DATA, ..Self::default() });
        }
        let flags = ItemFlags::from_wire(r.u16().await?);
        let mut header = Self { flags, ..Self::default() };
        if flags.contains(ItemFlags::BASIS_TYPE_FOLLOWS) {
            header.basis = BasisType::from_wire(r.u8().await?);
        }
        if flags.contains(ItemFlags::XNAME_FOLLOWS) {
            let len = r.vstring_len().await?;
            if len >= MAX_PATH {
                return Err(ProtocolError::OutOfRange {
                    what: Limit::Vstring,
                    got: len as i64,
                    max: MAX_PATH as i64 - 1,
                }
                .into());
            }
            let mut name = Vec::new();
            r.append(len, &mut name).await?;
            header.xname = Some(name);
        }
        Ok(header)
    }

    /// Writes what follows an index.
    pub async fn write<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        w: &mut WireWriter<W, B>,
        protocol: ProtocolVersion,
    ) -> Result<(), Error<W::Error>> {
        if !protocol.has_item_flags() {
            return Ok(());
        }
        w.u16(self.flags.to_wire()).await?;
        if self.flags.contains(ItemFlags::BASIS_TYPE_FOLLOWS) {
            w.u8(self.basis.to_wire()).await?;
        }
        if self.flags.contains(ItemFlags::XNAME_FOLLOWS) {
            w.vstring(self.xname.as_deref().unwrap_or_default()).await?;
        }
        Ok(())
    }
}

/// Reads the five counts behind `NDX_DEL_STATS`: varints, 0..=2^28 each, of files, directories, symlinks, devices and
/// specials; others are [`OutOfRange`](ProtocolError::OutOfRange). Protocol ≥ 31, if the generator deletes, before any of its DONEs behind
/// the first; a server that sends gives them back. Example, index included: `ff 02 | 01 01 00 00 00`.
pub async fn read_del_stats<R: BufRead, S: MessageSink>(
    r: &mut WireReader<R, S>,
) -> Result<Counts, Error<R::Error>> {
    let mut counts = [0u64; 5];
    for slot in &mut counts {
        let n = r.varint().await?;
        if !(0..=MAX_DELETED).contains(&n) {
            return Err(ProtocolError::OutOfRange {
                what: Limit::Deleted,
                got: i64::from(n),
                max: i64::from(MAX_DELETED),
            }
            .into());
        }
        *slot = n as u64;
    }
    let [files, dirs, symlinks, devices, specials] = counts;
    Ok(Counts { files, dirs, symlinks, devices, specials })
}

/// Writes the five counts behind `NDX_DEL_STATS`.
pub async fn write_del_stats<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
    w: &mut WireWriter<W, B>,
    c: &Counts,
) -> Result<(), Error<W::Error>> {
    for n in [c.files, c.dirs, c.symlinks, c.devices, c.specials] {
        w.varint(i32::try_from(n).unwrap_or(MAX_DELETED).min(MAX_DELETED)).await?;
    }
    Ok(())
}

/// The closing statistics: what the sender read, wrote, and the size of all files; then two durations.
pub(super) fn stats_bytes(protocol: ProtocolVersion, sizes: [u64; 3], stats: &Stats) -> Vec<u8> {
    // The list took some time: a peer takes 0 for a sender that does not tell.
    let durations = [stats.flist_build_ms.max(1), stats.flist_transfer_ms];
    let durations = if protocol.has_item_flags() { &durations[..] } else { &[] };
    let mut out = Vec::new();
    for value in sizes.iter().chain(durations).map(|v| *v as i64) {
        let encoded = if protocol.has_varints() {
            varint::encode_varlong(value, 3)
        } else {
            int::encode_longint(value)
        };
        out.extend_from_slice(encoded.as_slice());
    }
    out
}

/// Writes the statistics of a server that is the sender.
pub async fn write_stats<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
    w: &mut WireWriter<W, B>,
    protocol: ProtocolVersion,
    read: u64,
    stats: &Stats,
) -> Result<(), Error<W::Error>> {
    let bytes = stats_bytes(protocol, [read, w.count(), stats.total_size], stats);
    w.bytes(&bytes).await
}

/// Reads the statistics of a server that is the sender; what it read is what this side wrote.
///
/// Wire, behind the sender's last DONE but that of the goodbye: bytes read, bytes written, size of all files, and from protocol 29 on
/// the milliseconds that the list took to build and to send: varlong(3), below 30 longint. No value is checked. Example, protocol 32:
/// `00 48 00 | 00 9d 00 | 00 0d 00 | 00 01 00 | 00 00 00`.
pub async fn read_stats<R: BufRead, S: MessageSink>(
    r: &mut WireReader<R, S>,
    protocol: ProtocolVersion,
    stats: &mut Stats,
) -> Result<(), Error<R::Error>> {
    stats.written = r.varlong30(protocol, 3).await? as u64;
    stats.read = r.varlong30(protocol, 3).await? as u64;
    stats.total_size = r.varlong30(protocol, 3).await? as u64;
    if protocol.has_item_flags() {
        stats.flist_build_ms = r.varlong30(protocol, 3).await? as u64;
        stats.flist_transfer_ms = r.varlong30(protocol, 3).await? as u64;
    }
    Ok(())
}
