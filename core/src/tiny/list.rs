//! A file list in fixed memory, and its wire form.

use core::cmp::Ordering;

use embedded_io_async::{BufRead, Write};
use heapless::VecView;

use super::{Bound, Command, Fault, inbox::Inbox};
use crate::{
    checksum::Digest,
    error::{Error, Limit, NameFault, ProtocolError},
    flist::{
        compare::compare,
        kind::{FileKind, mode},
        xmit,
    },
    io::{WireReader, WireWriter},
    limits::MAX_PATH,
    names::RelName,
    setup::{Agreed, CompatFlags},
    version::ProtocolVersion,
};

/// An entry: 32 bytes, its name lies in the arena.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listed {
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) mode: u32,
    /// Sender: number in the store.
    pub(super) id: u32,
    name_at: u16,
    name_len: u16,
    /// Position in order of transmission.
    sent: u16,
    pub(super) state: State,
}

/// What became of an entry at the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Open,
    /// Its data did not match its checksum.
    Redo,
    /// The name of an earlier entry.
    Duplicate,
}

impl Listed {
    pub(super) const fn new(id: u32, size: u64, mtime: i64, mode: u32) -> Self {
        Self { size, mtime, mode, id, name_at: 0, name_len: 0, sent: 0, state: State::Open }
    }
    pub(super) const fn is_dir(&self) -> bool {
        self.mode & mode::TYPE == mode::DIR
    }
    pub(super) const fn is_regular(&self) -> bool {
        self.mode & mode::TYPE == mode::REGULAR
    }
}

/// The list of a session, in memory that the caller lent.
#[derive(Debug)]
pub(super) struct List<'m> {
    pub(super) entries: &'m mut VecView<Listed>,
    names: &'m mut VecView<u8>,
}

impl<'m> List<'m> {
    pub(super) fn new(entries: &'m mut VecView<Listed>, names: &'m mut VecView<u8>) -> Self {
        entries.clear();
        names.clear();
        Self { entries, names }
    }

    pub(super) fn name(&self, entry: &Listed) -> &[u8] {
        let at = usize::from(entry.name_at);
        self.names.get(at..at + usize::from(entry.name_len)).unwrap_or_default()
    }

    fn get(&self, position: usize) -> Option<(&Listed, &[u8])> {
        self.entries.get(position).map(|e| (e, self.name(e)))
    }

    /// Appends an entry whose name was just put behind the arena from `name_at` on.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "lengths of the memory that a session is lent, below 2^31"
    )]
    fn close(&mut self, name_at: usize, mut entry: Listed) -> Result<(), Bound> {
        entry.name_at = u16::try_from(name_at).map_err(|_| Bound::Names)?;
        entry.name_len = u16::try_from(self.names.len() - name_at).map_err(|_| Bound::Names)?;
        entry.sent = u16::try_from(self.entries.len()).map_err(|_| Bound::Files)?;
        self.entries.push(entry).map_err(|_| Bound::Files)
    }

    /// Sender: an entry of the store.
    pub(super) fn push(&mut self, name: &[u8], entry: Listed) -> Result<(), Bound> {
        let at = self.names.len();
        self.names.extend_from_slice(name).map_err(|_| Bound::Names)?;
        self.close(at, entry)
    }

    /// Puts the entries into the order of their indexes.
    pub(super) fn sort(&mut self, protocol: ProtocolVersion) {
        let names = &*self.names;
        let name = |e: &Listed| {
            let at = usize::from(e.name_at);
            names.get(at..at + usize::from(e.name_len)).unwrap_or_default()
        };
        let by_name = |a: &Listed, b: &Listed| -> Ordering {
            let order = if protocol.has_dir_slash_order() {
                compare(name(a), a.is_dir(), name(b), b.is_dir())
            } else {
                name(a).cmp(name(b))
            };
            order.then(a.sent.cmp(&b.sent))
        };
        super::shell_sort(self.entries, |a, b| by_name(a, b).is_lt());
    }

    /// Receiver: later entries of one name are never acted upon.
    pub(super) fn clear_duplicates(&mut self) {
        for i in 1..self.entries.len() {
            let (Some((a, name_a)), Some((b, name_b))) = (self.get(i - 1), self.get(i)) else { return };
            if name_a == name_b
                && a.is_dir() == b.is_dir()
                && let Some(entry) = self.entries.get_mut(i)
            {
                entry.state = State::Duplicate;
            }
        }
    }
}

/// Everything that decides which fields an entry has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format<'a> {
    pub(super) agreed: &'a Agreed,
    pub(super) command: &'a Command,
}

impl Format<'_> {
    fn protocol(&self) -> ProtocolVersion {
        self.agreed.protocol
    }
    fn id0_names(&self) -> bool {
        self.agreed.flags.contains(CompatFlags::ID0_NAMES)
    }
    fn digest_len(&self, kind: FileKind) -> Option<usize> {
        let has = kind == FileKind::Regular || !self.protocol().has_extended_flags();
        (self.command.checksums && has).then(|| self.agreed.list_sum.digest_len())
    }
}

// --- out -----------------------------------------------------------------------------------------------------------

#[allow(
    clippy::cast_possible_truncation,
    reason = "lengths of the memory that a session is lent, below 2^31"
)]
impl List<'_> {
    /// Writes the newest entry. All belong to user and group 0. `top`: what an argument names; `digest`: with `-c`.
    pub(super) async fn encode_newest<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        w: &mut WireWriter<W, B>,
        f: Format<'_>,
        top: bool,
        digest: &Digest,
    ) -> Result<(), Error<W::Error>> {
        let p = f.protocol();
        let Some(last) = self.entries.len().checked_sub(1) else { return Ok(()) };
        let Some((e, name)) = self.get(last) else { return Ok(()) };
        let (before, prev_name) = match last.checked_sub(1).and_then(|i| self.get(i)) {
            Some((before, name)) => (Some(before), name),
            None => (None, &b""[..]),
        };
        let kind = FileKind::from_mode(e.mode).unwrap_or(FileKind::Regular);
        let shared = name.iter().zip(prev_name).take(255).take_while(|(a, b)| a == b).count();
        let rest = name.get(shared..).unwrap_or_default();
        let mut flags = 0;
        if e.is_dir() && top {
            flags |= xmit::TOP_DIR;
        }
        if e.is_dir() && !top && !f.command.recursive && p.has_no_content_dirs() {
            flags |= xmit::NO_CONTENT_DIR;
        }
        if e.mode == before.map_or(0, |b| b.mode) {
            flags |= xmit::SAME_MODE;
        }
        if !f.command.owner || before.is_some() {
            flags |= xmit::SAME_UID;
        }
        if !f.command.group || before.is_some() {
            flags |= xmit::SAME_GID;
        }
        if e.mtime == before.map_or(0, |b| b.mtime) {
            flags |= xmit::SAME_TIME;
        }
        if shared > 0 {
            flags |= xmit::SAME_NAME;
        }
        if rest.len() > 255 {
            flags |= xmit::LONG_NAME;
        }
        if f.agreed.varint_flags() {
            w.varint(if flags == 0 { xmit::EXTENDED } else { flags } as i32).await?;
        } else if p.has_extended_flags() {
            if flags == 0 && !e.is_dir() {
                flags |= xmit::TOP_DIR;
            }
            if flags & 0xff00 != 0 || flags == 0 {
                w.u16((flags | xmit::EXTENDED) as u16).await?;
            } else {
                w.u8(flags as u8).await?;
            }
        } else {
            if flags & 0xff == 0 {
                flags |= if e.is_dir() { xmit::LONG_NAME } else { xmit::TOP_DIR };
            }
            w.u8(flags as u8).await?;
        }
        if shared > 0 {
            w.u8(shared as u8).await?;
        }
        if flags & xmit::LONG_NAME != 0 {
            w.varint30(p, rest.len() as i32).await?;
        } else {
            w.u8(rest.len() as u8).await?;
        }
        w.bytes(rest).await?;
        w.varlong30(p, e.size as i64, 3).await?;
        if flags & xmit::SAME_TIME == 0 {
            if p.has_varints() {
                w.varlong30(p, e.mtime, 4).await?;
            } else {
                w.i32(e.mtime as i32).await?;
            }
        }
        if flags & xmit::SAME_MODE == 0 {
            w.i32(e.mode as i32).await?;
        }
        if f.command.atimes && !e.is_dir() {
            w.encoded(crate::wire::varint::encode_varlong(e.mtime, 4)).await?;
        }
        if flags & xmit::SAME_UID == 0 {
            w.varint30(p, 0).await?;
        }
        if flags & xmit::SAME_GID == 0 {
            w.varint30(p, 0).await?;
        }
        if f.command.hard_links && !p.has_extended_flags() && e.is_regular() {
            // Protocol 27 carries device and inode of every regular file: each is an inode of its own.
            w.varlong30(p, 2, 3).await?;
            w.varlong30(p, i64::from(e.id) + 1, 3).await?;
        }
        if let Some(len) = f.digest_len(kind) {
            let zeros = Digest::zero(len);
            w.bytes(if e.is_regular() { digest } else { &zeros }.as_bytes()).await?;
        }
        Ok(())
    }
}

/// Writes what stands behind the last entry.
pub(super) async fn encode_end<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
    w: &mut WireWriter<W, B>,
    f: Format<'_>,
    io_error: bool,
) -> Result<(), Error<W::Error>> {
    let p = f.protocol();
    let word = i32::from(io_error);
    if f.agreed.varint_flags() {
        w.u8(0).await?;
        w.varint(word).await?;
    } else if io_error && f.agreed.safe_flist() {
        w.u16(0x1004).await?;
        w.varint(word).await?;
    } else {
        w.u8(0).await?;
    }
    if !f.command.numeric_ids {
        for on in [f.command.owner, f.command.group] {
            if on {
                w.varint30(p, 0).await?;
                if f.id0_names() {
                    w.u8(0).await?;
                }
            }
        }
    }
    if !p.has_varints() {
        w.i32(word).await?;
    }
    Ok(())
}

// --- in ------------------------------------------------------------------------------------------------------------

fn out_of_range(what: Limit, got: i64, max: i64) -> ProtocolError {
    ProtocolError::OutOfRange { what, got, max }
}

/// Values that the next entry may refer to.
#[derive(Debug, Default)]
struct Before {
    mode: u32,
    mtime: i64,
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "lengths of the memory that a session is lent, below 2^31"
)]
impl List<'_> {
    /// Reads a whole list; returns the error bits of the sender.
    pub(super) async fn decode<R: BufRead>(
        &mut self,
        r: &mut WireReader<R, Inbox>,
        f: Format<'_>,
    ) -> Result<u32, Fault<R::Error>> {
        let p = f.protocol();
        let mut before = Before::default();
        let mut io_error = loop {
            let flags = if f.agreed.varint_flags() { r.varint().await? as u32 } else { r.u8().await?.into() };
            if flags == 0 {
                break if f.agreed.varint_flags() { r.varint().await? as u32 } else { 0 };
            }
            let mut flags = flags;
            if !f.agreed.varint_flags() && p.has_extended_flags() && flags & xmit::EXTENDED != 0 {
                flags |= u32::from(r.u8().await?) << 8;
                if flags == xmit::IO_ERROR_END && f.agreed.safe_flist() {
                    break r.varint().await? as u32;
                }
            }
            self.decode_entry(r, f, flags, &mut before).await?;
        };
        if !f.command.numeric_ids {
            for _ in [f.command.owner, f.command.group].into_iter().filter(|on| *on) {
                loop {
                    let id = r.varint30(p).await?;
                    if id != 0 || f.id0_names() {
                        let len = r.u8().await?;
                        skip(r, len.into()).await?;
                    }
                    if id == 0 {
                        break;
                    }
                }
            }
        }
        if !p.has_varints() {
            io_error |= r.i32().await? as u32;
        }
        Ok(io_error & 7)
    }

    /// Reads a name to the end of the arena.
    async fn decode_name<R: BufRead>(
        &mut self,
        r: &mut WireReader<R, Inbox>,
        p: ProtocolVersion,
        flags: u32,
    ) -> Result<usize, Fault<R::Error>> {
        let overflow = ProtocolError::Name(NameFault::Overflow);
        let shared = if flags & xmit::SAME_NAME != 0 { usize::from(r.u8().await?) } else { 0 };
        let rest = if flags & xmit::LONG_NAME != 0 {
            usize::try_from(r.varint30(p).await?).map_err(|_| overflow)?
        } else {
            usize::from(r.u8().await?)
        };
        let last = self.entries.last().copied().unwrap_or_default();
        if shared > usize::from(last.name_len) || shared + rest >= MAX_PATH {
            return Err(overflow.into());
        }
        let at = self.names.len();
        for i in 0..shared {
            let byte = self.names.get(usize::from(last.name_at) + i).copied().unwrap_or_default();
            self.names.push(byte).map_err(|_| Fault::Full(Bound::Names))?;
        }
        self.names.resize(at + shared + rest, 0).map_err(|_| Fault::Full(Bound::Names))?;
        r.exact(self.names.get_mut(at + shared..).unwrap_or_default()).await?;
        let name = self.names.get(at..).unwrap_or_default();
        if RelName::new(name).is_none() {
            let fault = match name {
                b"" => NameFault::Unrequested,
                name if name.contains(&0) => NameFault::Nul,
                _ => NameFault::Unsafe,
            };
            return Err(ProtocolError::Name(fault).into());
        }
        Ok(at)
    }

    async fn decode_entry<R: BufRead>(
        &mut self,
        r: &mut WireReader<R, Inbox>,
        f: Format<'_>,
        flags: u32,
        before: &mut Before,
    ) -> Result<(), Fault<R::Error>> {
        let (p, c) = (f.protocol(), f.command);
        let name_at = self.decode_name(r, p, flags).await?;
        if p.has_link_groups() && flags & xmit::HLINKED != 0 && flags & xmit::HLINK_FIRST == 0 {
            // One list, so the first of the group is in it, and all fields are its.
            let first = r.varint().await?;
            let count = self.entries.len();
            let from = usize::try_from(first).ok().and_then(|i| self.entries.get(i).copied());
            let from = from.ok_or(out_of_range(Limit::HardLink, first.into(), count as i64))?;
            (before.mode, before.mtime) = (from.mode, from.mtime);
            return self.close_checked(name_at, Listed { state: State::Open, ..from });
        }
        let size = r.varlong30(p, 3).await?;
        let size = u64::try_from(size).map_err(|_| out_of_range(Limit::FileLength, size, i64::MAX))?;
        if flags & xmit::SAME_TIME == 0 {
            before.mtime =
                if p.has_varints() { r.varlong(4).await? } else { i64::from(r.i32().await? as u32) };
        }
        if flags & xmit::MOD_NSEC != 0 && p.has_nanoseconds() {
            let nsec = r.varint().await?;
            if !(0..1_000_000_000).contains(&nsec) {
                return Err(out_of_range(Limit::Nanoseconds, nsec.into(), 999_999_999).into());
            }
        }
        if flags & xmit::SAME_MODE == 0 {
            before.mode = r.i32().await? as u32;
        }
        let kind = FileKind::from_mode(before.mode).filter(|kind| *kind != FileKind::Missing);
        let kind = kind.ok_or(ProtocolError::BadMode(before.mode))?;
        if c.atimes && kind != FileKind::Dir && flags & xmit::SAME_ATIME == 0 {
            r.varlong(4).await?;
        }
        for (on, same, named) in
            [(c.owner, xmit::SAME_UID, xmit::USER_NAME), (c.group, xmit::SAME_GID, xmit::GROUP_NAME)]
        {
            if on && flags & same == 0 {
                r.varint30(p).await?;
                if flags & named != 0 && p.has_varints() {
                    let len = r.u8().await?;
                    skip(r, len.into()).await?;
                }
            }
        }
        self.skip_special(r, f, flags, kind).await?;
        self.close_checked(name_at, Listed::new(0, size, before.mtime, before.mode))
    }

    /// Appends an entry of the peer, whose name lies behind the arena: the root is a directory.
    fn close_checked<E>(&mut self, name_at: usize, entry: Listed) -> Result<(), Fault<E>> {
        if self.names.get(name_at..) == Some(b".") && !entry.is_dir() {
            return Err(ProtocolError::Name(NameFault::RootNotDir).into());
        }
        self.close(name_at, entry).map_err(Fault::Full)
    }

    /// Fields of devices, links and hard links, and the digest: none of them is used.
    async fn skip_special<R: BufRead>(
        &self,
        r: &mut WireReader<R, Inbox>,
        f: Format<'_>,
        flags: u32,
        kind: FileKind,
    ) -> Result<(), Fault<R::Error>> {
        let (p, c) = (f.protocol(), f.command);
        if (c.devices && kind.is_device()) || (c.specials && kind.is_special() && !p.specials_have_no_rdev())
        {
            if !p.has_extended_flags() {
                if flags & xmit::SAME_RDEV_PRE28 == 0 {
                    r.i32().await?;
                }
            } else {
                if flags & xmit::SAME_RDEV_MAJOR == 0 {
                    r.varint30(p).await?;
                }
                if !p.has_varints() && flags & xmit::RDEV_MINOR_8_PRE30 != 0 {
                    r.u8().await?;
                } else {
                    r.varint30(p).await?;
                }
            }
        }
        if c.links && kind == FileKind::Symlink {
            let len = r.varint30(p).await?;
            let fits = usize::try_from(len).ok().filter(|n| *n < MAX_PATH);
            skip(r, fits.ok_or(out_of_range(Limit::LinkTarget, len.into(), MAX_PATH as i64 - 1))?).await?;
        }
        if c.hard_links && !p.has_link_groups() {
            let has_id = if p.has_extended_flags() {
                flags & xmit::HLINKED != 0 && kind != FileKind::Dir
            } else {
                kind == FileKind::Regular
            };
            if has_id {
                if flags & xmit::SAME_DEV_PRE30 == 0 || !p.has_extended_flags() {
                    r.longint().await?;
                }
                r.longint().await?;
            }
        }
        if let Some(len) = f.digest_len(kind) {
            skip(r, len).await?;
        }
        Ok(())
    }
}

/// Drops bytes of the stream.
pub(super) async fn skip<R: BufRead>(
    r: &mut WireReader<R, Inbox>,
    mut len: usize,
) -> Result<(), Error<R::Error>> {
    while len > 0 {
        let n = r.fill().await?.len().min(len);
        r.consume(n);
        len -= n;
    }
    Ok(())
}
