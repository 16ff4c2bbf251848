//! From the first byte to the seed: what both ends agree on before the first file list.
//!
//! Order (spec: order of everything on the wire): version words, compatibility flags, algorithm names, seed.
//! A daemon connection has its own greeting in place of the version words.
//!
//! | from | what | form | there if |
//! |---|---|---|---|
//! | both | highest version | i32 LE, 20 to 40; less than 27 is refused here | always, unless a daemon was greeted |
//! | server | [`CompatFlags`] | varint | protocol ≥ 30 |
//! | both | names of checksums, best first | vstring of at most 255 bytes, separated by spaces | flag `VARINT_FLIST_FLAGS`, and no choice of the user |
//! | both | names of compressors | the same | as above, with compression |
//! | server | seed | i32 LE, not 0 | always |
//!
//! Each side writes before it waits: the version at once, its names as soon as the flags are known. The version is its own highest one,
//! not what will be spoken: that is the smaller of the two, so that one direction of a recording alone does not tell it. Nothing here is
//! framed.
//!
//! | what the peer did | error | exit code |
//! |---|---|---|
//! | no version (a banner of its shell), or one that is not spoken | [`VersionMismatch`](ProtocolError::VersionMismatch) | 2 |
//! | incremental recursion that the client did not offer | [`UnofferedIncRecursion`](ProtocolError::UnofferedIncRecursion) | 1 |
//! | names of more than 255 bytes | [`OutOfRange`](ProtocolError::OutOfRange), [`Limit::Negotiation`] | 4 |
//! | no name in common | [`NoCommonAlgorithm`](ProtocolError::NoCommonAlgorithm) | 4 |
//! | closed the stream | [`Error::Eof`] | 12 |
//!
//! A vstring is its length (one byte up to 127, else two: `80` plus the high bits, the low bits; at most 32767) and its bytes. As
//! recorded, a server of protocol 32 answers:
//!
//! ```text
//! 20 00 00 00 | 81 ff | 23 78 78 68 31 32 38 20 … 6e 6f 6e 65 | 05 00 00 00
//! version 32    flags   35 bytes: xxh128 xxh3 xxh64 md5 md4 sha1 none   seed 5
//! ```

pub mod compat;
pub mod daemon;
pub mod negotiate;

use embedded_io_async::{BufRead, Write};

pub use compat::{Capabilities, CompatFlags};
use negotiate::NameList;

use crate::{
    checksum::{ChecksumKind, TransferSums},
    error::{Error, Limit, ProtocolError},
    io::{MessageSink, WireReader, WireWriter},
    token::CompressKind,
    trace::event,
    version::ProtocolVersion,
};

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Side {
    /// The process that the user started.
    Client,
    /// The process that the client started.
    Server,
}

/// What one side brings to the handshake. The defaults named here are those of [`Handshake::new`]; a session takes
/// `SessionOptions::handshake`, which says here what its options say.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// Which end.
    pub side: Side,
    /// Highest version offered.
    pub max_protocol: ProtocolVersion,
    /// Server: the letters of the client's `-e`. Client: exactly those sent to the server, with `i` only where
    /// `SessionOptions::forbids_inc_recursion` does not forbid it.
    pub capabilities: Capabilities,
    /// Server: incremental recursion is allowed by its own options. Default: no.
    pub allow_inc_recurse: bool,
    /// Server: the seed to announce; must not be 0, and should differ from session to session. Default: 1.
    pub seed: i32,
    /// Transfer and file-list checksum given by the user or the command line (`--checksum-choice`, which the server is told); `None`:
    /// to be negotiated, in a half of it: that of the version, MD5 or below 30 MD4. Default: `None`.
    pub checksum: Option<(Option<ChecksumKind>, Option<ChecksumKind>)>,
    /// Compression wanted; both sides hold the same, since the server is told. Default: none.
    pub compress: Compress,
    /// Checksum names offered, in order. Default: all of [`ChecksumKind::CANONICAL`]; a client does not offer `none`.
    pub checksum_names: NameList,
    /// Compressor names offered, in order. Default: those of this build ([`CompressKind::CANONICAL`]); a client does not offer `none`.
    pub compress_names: NameList,
    /// The order of the names is the user's (a client then waits for the server's list and names its choice
    /// only, since servers differ in whose order they follow). Default: no.
    pub own_order: bool,
}

/// What is asked of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Compress {
    /// No compression.
    #[default]
    Off,
    /// `-z`: the algorithm is negotiated (zlib with peers that cannot negotiate).
    Negotiate,
    /// A named algorithm.
    Explicit(CompressKind),
}

impl Handshake {
    /// A handshake with the default offers of this build.
    pub fn new(side: Side, max_protocol: ProtocolVersion, capabilities: Capabilities) -> Self {
        let server = side == Side::Server;
        let offer = |name: &&str| server || *name != "none";
        Self {
            side,
            max_protocol,
            capabilities,
            allow_inc_recurse: false,
            seed: 1,
            checksum: None,
            compress: Compress::Off,
            checksum_names: negotiate::join(ChecksumKind::CANONICAL.iter().map(|k| k.name()).filter(offer)),
            compress_names: negotiate::join(CompressKind::CANONICAL.iter().map(|k| k.name()).filter(offer)),
            own_order: false,
        }
    }
}

/// What both ends know after the handshake.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Agreed {
    /// Version spoken.
    pub protocol: ProtocolVersion,
    /// Compatibility flags; empty below protocol 30.
    pub flags: CompatFlags,
    /// Checksum of blocks and whole files.
    pub transfer_sum: ChecksumKind,
    /// Checksum in the file list (`-c`).
    pub list_sum: ChecksumKind,
    /// The transfer checksum was neither chosen nor negotiated: its seed has the place of its era.
    pub implied_sum: bool,
    /// Compressor in use.
    pub compress: Option<CompressKind>,
    /// Checksum seed, as the server sent it; 0 from a server is taken as "unseeded".
    pub seed: i32,
}

impl Agreed {
    /// What holds without any negotiation.
    pub const fn implied(protocol: ProtocolVersion, flags: CompatFlags, seed: i32) -> Self {
        let sum = if protocol.has_varints() { ChecksumKind::Md5 } else { ChecksumKind::Md4 };
        Self { protocol, flags, transfer_sum: sum, list_sum: sum, implied_sum: true, compress: None, seed }
    }

    /// Takes checksums that the user named, for transfer and list; `None`: what is implied.
    pub(crate) fn choose(&mut self, choice: Option<(Option<ChecksumKind>, Option<ChecksumKind>)>) {
        if let Some((transfer, list)) = choice {
            self.implied_sum = transfer.is_none();
            self.transfer_sum = transfer.unwrap_or(self.transfer_sum);
            self.list_sum = list.unwrap_or(self.list_sum);
        }
    }

    /// Incremental recursion is in use.
    pub const fn inc_recurse(&self) -> bool {
        self.flags.contains(CompatFlags::INC_RECURSE)
    }
    /// File-list flags are varints.
    pub const fn varint_flags(&self) -> bool {
        self.flags.contains(CompatFlags::VARINT_FLIST_FLAGS)
    }
    /// A file list may end with an error word.
    pub const fn safe_flist(&self) -> bool {
        self.protocol.has_safe_flist() || self.flags.contains(CompatFlags::SAFE_FLIST)
    }
    /// The transfer checksum with its seeding rules.
    pub fn sums(&self) -> TransferSums {
        let old_md4 = self.implied_sum && !self.protocol.has_varints();
        let md5_seed_after = self.implied_sum
            && self.protocol.has_varints()
            && !self.flags.contains(CompatFlags::CHKSUM_SEED_FIX);
        TransferSums::new(self.transfer_sum, self.seed, old_md4, md5_seed_after)
    }
}

/// Writes the own version word. The peer's may be read before or after.
pub async fn send_version<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
    writer: &mut WireWriter<W, B>,
    max: ProtocolVersion,
) -> Result<(), Error<W::Error>> {
    writer.i32(i32::from(max.number())).await?;
    writer.flush().await
}

/// The whole handshake of a pipe transport (remote shell, local pipe): version words, flags, names, seed.
/// Framing is not started here but by the session that follows. Errors: see [`crate::setup`]. Not cancel-safe.
pub async fn exchange<R, S, W, B>(
    reader: &mut WireReader<R, S>,
    writer: &mut WireWriter<W, B>,
    handshake: &Handshake,
) -> Result<Agreed, Error<R::Error>>
where
    R: BufRead,
    S: MessageSink,
    W: Write<Error = R::Error>,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    send_version(writer, handshake.max_protocol).await?;
    let peer = reader.i32().await?;
    let protocol = ProtocolVersion::agree(handshake.max_protocol, peer)?;
    after_version(reader, writer, handshake, protocol).await
}

/// The handshake behind the version words (or behind a daemon's `@RSYNCD: OK` and arguments, where `protocol` comes from
/// [`daemon::Greeting::agree`]). Errors: see [`crate::setup`]. Not cancel-safe.
pub async fn after_version<R, S, W, B>(
    reader: &mut WireReader<R, S>,
    writer: &mut WireWriter<W, B>,
    handshake: &Handshake,
    protocol: ProtocolVersion,
) -> Result<Agreed, Error<R::Error>>
where
    R: BufRead,
    S: MessageSink,
    W: Write<Error = R::Error>,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    settle(reader, writer, handshake, protocol).await.map(|(agreed, _)| agreed)
}

/// The names that the peer offered; `None`: it was not asked.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    /// Checksums.
    pub checksums: Option<NameList>,
    /// Compressors.
    pub compressors: Option<NameList>,
}

/// As [`after_version`], for who wants to tell what the peer offered.
pub async fn settle<R, S, W, B>(
    reader: &mut WireReader<R, S>,
    writer: &mut WireWriter<W, B>,
    handshake: &Handshake,
    protocol: ProtocolVersion,
) -> Result<(Agreed, Offers), Error<R::Error>>
where
    R: BufRead,
    S: MessageSink,
    W: Write<Error = R::Error>,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    let mut flags = CompatFlags::empty();
    if protocol.has_varints() {
        if handshake.side == Side::Server {
            flags = handshake.capabilities.answer();
            let inc =
                handshake.allow_inc_recurse && handshake.capabilities.contains(Capabilities::INC_RECURSE);
            flags.set(CompatFlags::INC_RECURSE, inc);
            send_flags(writer, handshake.capabilities, flags).await?;
            if handshake.capabilities.contains(Capabilities::BYTE_FLAGS) {
                flags |= CompatFlags::VARINT_FLIST_FLAGS;
            }
        } else {
            let bits = reader.varint().await? as u32;
            flags = CompatFlags::from_bits_truncate(bits);
            if flags.contains(CompatFlags::INC_RECURSE)
                && !handshake.capabilities.contains(Capabilities::INC_RECURSE)
            {
                return Err(ProtocolError::UnofferedIncRecursion.into());
            }
        }
    }
    let negotiated = flags.contains(CompatFlags::VARINT_FLIST_FLAGS)
        && (handshake.side == Side::Client
            || handshake.capabilities.contains(Capabilities::VARINT_FLIST_FLAGS));
    let implied = if protocol.has_varints() { ChecksumKind::Md5 } else { ChecksumKind::Md4 };
    let mut agreed = Agreed::implied(protocol, flags, 0);
    agreed.choose(handshake.checksum);
    match handshake.compress {
        Compress::Off => {}
        Compress::Explicit(kind) => agreed.compress = (kind != CompressKind::None).then_some(kind),
        Compress::Negotiate => agreed.compress = Some(CompressKind::Zlib),
    }
    let ask_checksum = handshake.checksum.is_none();
    let ask_compress = handshake.compress == Compress::Negotiate;
    let mut peer = Offers::default();
    if negotiated {
        peer = exchange_names(reader, writer, handshake, ask_checksum, ask_compress).await?;
        if let Some(theirs) = &peer.checksums {
            let kind =
                pick(handshake, &handshake.checksum_names, theirs, ChecksumKind::from_name, "checksum")?;
            (agreed.transfer_sum, agreed.list_sum, agreed.implied_sum) = (kind, kind, false);
        }
        if let Some(theirs) = &peer.compressors {
            let kind =
                pick(handshake, &handshake.compress_names, theirs, CompressKind::from_name, "compress")?;
            agreed.compress = (kind != CompressKind::None).then_some(kind);
        }
    } else {
        let has = |names: &NameList, name: &str| {
            negotiate::split(names).any(|n| n.eq_ignore_ascii_case(name.as_bytes()))
        };
        if ask_checksum && !has(&handshake.checksum_names, implied.name()) {
            return Err(ProtocolError::NoCommonAlgorithm { what: "checksum" }.into());
        }
        if ask_compress && !has(&handshake.compress_names, CompressKind::Zlib.name()) {
            return Err(ProtocolError::NoCommonAlgorithm { what: "compress" }.into());
        }
    }
    if handshake.side == Side::Server {
        writer.i32(handshake.seed).await?;
        writer.flush().await?;
        agreed.seed = handshake.seed;
    } else {
        agreed.seed = reader.i32().await?;
    }
    event!(
        "protocol {}, flags {:x}, checksum {}, compression {:?}",
        agreed.protocol.number(),
        agreed.flags.bits(),
        agreed.transfer_sum.name(),
        agreed.compress,
    );
    Ok((agreed, peer))
}

fn pick<T: PartialEq>(
    handshake: &Handshake,
    own: &NameList,
    theirs: &NameList,
    parse: impl Fn(&[u8]) -> Option<T>,
    what: &'static str,
) -> Result<T, ProtocolError> {
    match handshake.side {
        Side::Client => negotiate::choose(own, theirs, parse, what),
        Side::Server => negotiate::choose(theirs, own, parse, what),
    }
}

async fn send_flags<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
    writer: &mut WireWriter<W, B>,
    capabilities: Capabilities,
    flags: CompatFlags,
) -> Result<(), Error<W::Error>> {
    if capabilities.contains(Capabilities::BYTE_FLAGS) {
        #[allow(clippy::cast_possible_truncation, reason = "the flags of a byte")]
        writer.u8((flags | CompatFlags::VARINT_FLIST_FLAGS).bits() as u8).await
    } else {
        writer.varint(flags.bits() as i32).await
    }
}

/// Sends the own lists and reads the peer's; checksum first, then compression, each only if asked for.
async fn exchange_names<R, S, W, B>(
    reader: &mut WireReader<R, S>,
    writer: &mut WireWriter<W, B>,
    handshake: &Handshake,
    checksum: bool,
    compress: bool,
) -> Result<Offers, Error<R::Error>>
where
    R: BufRead,
    S: MessageSink,
    W: Write<Error = R::Error>,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    let asked = [(checksum, &handshake.checksum_names), (compress, &handshake.compress_names)];
    let late = handshake.side == Side::Client && handshake.own_order;
    if !late {
        for (_, names) in asked.iter().filter(|(on, _)| *on) {
            writer.vstring(if names.is_empty() { b"INVALID" } else { names }).await?;
        }
        writer.flush().await?;
    }
    let mut theirs = [None, None];
    for (slot, (_, _)) in theirs.iter_mut().zip(&asked).filter(|(_, (on, _))| *on) {
        *slot = Some(reader.vstring::<{ crate::limits::MAX_NEGOTIATION }>(Limit::Negotiation).await?);
    }
    let [checksums, compressors] = theirs;
    if late {
        for ((_, own), peer) in asked.iter().zip([&checksums, &compressors]) {
            let Some(peer) = peer else { continue };
            let choice = negotiate::split(own)
                .find(|n| negotiate::split(peer).any(|p| p.eq_ignore_ascii_case(n)))
                .unwrap_or(b"INVALID");
            writer.vstring(choice).await?;
        }
        writer.flush().await?;
    }
    Ok(Offers { checksums, compressors })
}
