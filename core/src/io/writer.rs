//! Typed writes into a stream that may be framed.

#[cfg(feature = "alloc")]
use alloc::rc::Rc;

use embedded_io_async::Write;

#[cfg(feature = "alloc")]
use super::Tape;
use crate::{
    error::Error,
    limits::MAX_FRAME,
    mux::{Header, MsgTag},
    version::ProtocolVersion,
    wire::{Encoded, int, ndx::NdxState, varint},
};

/// Length of a frame header.
const HEADER: usize = 4;

/// Collects values in a buffer of the caller's, as data frames once [`WireWriter::start_framing`] was called,
/// and hands full buffers to the transport. Nothing reaches the peer for sure before [`WireWriter::flush`].
///
/// The methods are not cancel-safe: a session whose write was dropped must be given up.
#[derive(Debug)]
pub struct WireWriter<W, B> {
    inner: W,
    buf: B,
    len: usize,
    /// Where the header of the open data frame stands.
    open: Option<usize>,
    framed: bool,
    count: u64,
    /// Of the bytes written those of headers and messages.
    overhead: u64,
    #[cfg(feature = "alloc")]
    tape: Option<Rc<dyn Tape>>,
    /// What is written goes to the tape only.
    #[cfg(feature = "alloc")]
    diverted: bool,
}

impl<W: Write, B: AsRef<[u8]> + AsMut<[u8]>> WireWriter<W, B> {
    /// A writer without framing. `buf` is used in its whole length, which does not change: give it a `Vec` that is
    /// filled with zeros, not one with mere capacity. At least 64 bytes, the longest single value with the header of its
    /// frame; frames are as long as the buffer, and 64 KiB is a good size.
    pub const fn new(inner: W, buf: B) -> Self {
        Self {
            inner,
            buf,
            len: 0,
            open: None,
            framed: false,
            count: 0,
            overhead: 0,
            #[cfg(feature = "alloc")]
            tape: None,
            #[cfg(feature = "alloc")]
            diverted: false,
        }
    }

    /// From here on stream data is recorded too; messages and frame headers are not.
    #[cfg(feature = "alloc")]
    pub fn set_tape(&mut self, tape: Rc<dyn Tape>) {
        self.tape = Some(tape);
    }

    /// While this is on, stream data goes to the tape instead of the peer (`--only-write-batch`).
    #[cfg(feature = "alloc")]
    pub const fn divert(&mut self, on: bool) {
        self.diverted = on && self.tape.is_some();
    }

    /// True if `data` was for the tape only.
    #[cfg(feature = "alloc")]
    fn record(&self, data: &[u8]) -> bool {
        if let Some(tape) = &self.tape {
            tape.record(data);
        }
        self.diverted
    }

    #[cfg(not(feature = "alloc"))]
    const fn record(&self, _data: &[u8]) -> bool {
        false
    }

    /// From here on the stream consists of frames.
    /// What was written before must have been flushed, since messages overtake the buffer.
    pub fn start_framing(&mut self) {
        debug_assert!(self.len == 0);
        self.framed = true;
        self.open = None;
    }

    /// From here on the stream has no frames (a `--files-from` list at protocol 30).
    pub fn stop_framing(&mut self) {
        self.close_frame(0);
        self.framed = false;
    }

    /// True once framing is on: messages can be sent.
    pub const fn is_framed(&self) -> bool {
        self.framed
    }

    /// Bytes written so far, headers and messages included; also those still in the buffer.
    pub const fn count(&self) -> u64 {
        self.count + self.len as u64
    }

    /// Stream data written so far.
    pub const fn data_count(&self) -> u64 {
        self.count() - self.overhead
    }

    /// Counts from here on: what went before belongs to no session (the lines of a daemon, the handshake).
    pub const fn restart_count(&mut self) {
        self.count = 0;
        self.overhead = 0;
    }

    /// The transport.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Nothing waits to be handed to the transport.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Closes the open frame; `more` bytes of it follow outside of the buffer.
    #[allow(clippy::cast_possible_truncation, reason = "frames are cut to their limit, texts checked before")]
    fn close_frame(&mut self, more: usize) {
        let Some(start) = self.open.take() else { return };
        let len = self.len - start - HEADER + more;
        let header = Header { tag: MsgTag::Data, len: len as u32 }.encode();
        if let Some(slot) = self.buf.as_mut().get_mut(start..start + HEADER) {
            slot.copy_from_slice(&header);
        }
    }

    async fn spill(&mut self) -> Result<(), Error<W::Error>> {
        self.close_frame(0);
        let full = self.buf.as_ref().get(..self.len).unwrap_or_default();
        if !full.is_empty() {
            self.inner.write_all(full).await.map_err(Error::Io)?;
        }
        self.count += self.len as u64;
        self.len = 0;
        Ok(())
    }

    fn open_frame(&mut self) {
        if self.framed && self.open.is_none() {
            self.open = Some(self.len);
            self.len += HEADER;
            self.overhead += HEADER as u64;
        }
    }

    fn room(&self) -> usize {
        self.buf.as_ref().len() - self.len
    }

    fn put(&mut self, data: &[u8]) {
        let end = self.len + data.len();
        if let Some(slot) = self.buf.as_mut().get_mut(self.len..end) {
            slot.copy_from_slice(data);
        }
        self.len = end;
    }

    /// Stream data.
    pub async fn bytes(&mut self, mut data: &[u8]) -> Result<(), Error<W::Error>> {
        if self.record(data) {
            return Ok(());
        }
        while !data.is_empty() {
            if self.room() <= HEADER {
                self.spill().await?;
            }
            self.open_frame();
            let n = data.len().min(self.room());
            let (now, later) = data.split_at(n);
            self.put(now);
            data = later;
        }
        Ok(())
    }

    /// A message between data frames; `payload` shorter than 16 MiB. Only where framing is on. It overtakes the
    /// data that is still in the buffer, as it does in the reference.
    #[allow(clippy::cast_possible_truncation, reason = "frames are cut to their limit, texts checked before")]
    pub async fn message(&mut self, tag: MsgTag, payload: &[u8]) -> Result<(), Error<W::Error>> {
        debug_assert!(self.framed && payload.len() <= MAX_FRAME);
        let header = Header { tag, len: payload.len() as u32 }.encode();
        self.inner.write_all(&header).await.map_err(Error::Io)?;
        if !payload.is_empty() {
            self.inner.write_all(payload).await.map_err(Error::Io)?;
        }
        self.count += (HEADER + payload.len()) as u64;
        self.overhead += (HEADER + payload.len()) as u64;
        Ok(())
    }

    /// Hands everything to the transport and flushes it.
    pub async fn flush(&mut self) -> Result<(), Error<W::Error>> {
        self.spill().await?;
        self.inner.flush().await.map_err(Error::Io)
    }

    /// Hands everything to the transport, which starts to write it.
    #[cfg(feature = "alloc")]
    pub async fn kick(&mut self) -> Result<(), Error<W::Error>>
    where
        W: super::ChunkWrite,
    {
        self.spill().await?;
        self.inner.kick();
        Ok(())
    }

    /// An encoded number.
    pub async fn encoded(&mut self, e: Encoded) -> Result<(), Error<W::Error>> {
        self.bytes(e.as_slice()).await
    }
    /// One byte.
    pub async fn u8(&mut self, v: u8) -> Result<(), Error<W::Error>> {
        self.bytes(&[v]).await
    }
    /// u16 LE.
    pub async fn u16(&mut self, v: u16) -> Result<(), Error<W::Error>> {
        self.bytes(&v.to_le_bytes()).await
    }
    /// i32 LE.
    pub async fn i32(&mut self, v: i32) -> Result<(), Error<W::Error>> {
        self.bytes(&v.to_le_bytes()).await
    }
    /// varint.
    pub async fn varint(&mut self, v: i32) -> Result<(), Error<W::Error>> {
        self.encoded(varint::encode_varint(v)).await
    }
    /// varint for protocol ≥ 30, else i32 LE.
    pub async fn varint30(&mut self, p: ProtocolVersion, v: i32) -> Result<(), Error<W::Error>> {
        if p.has_varints() { self.varint(v).await } else { self.i32(v).await }
    }
    /// varlong(min) for protocol ≥ 30, else longint.
    pub async fn varlong30(&mut self, p: ProtocolVersion, v: i64, min: usize) -> Result<(), Error<W::Error>> {
        if p.has_varints() {
            self.encoded(varint::encode_varlong(v, min)).await
        } else {
            self.encoded(int::encode_longint(v)).await
        }
    }
    /// An index.
    pub async fn ndx(&mut self, state: &mut NdxState, ndx: i32) -> Result<(), Error<W::Error>> {
        self.encoded(state.encode(ndx)).await
    }
    /// A vstring of at most 32767 bytes.
    #[allow(clippy::cast_possible_truncation, reason = "frames are cut to their limit, texts checked before")]
    pub async fn vstring(&mut self, s: &[u8]) -> Result<(), Error<W::Error>> {
        if s.len() > 0x7f {
            self.u8(0x80 | (s.len() >> 8) as u8).await?;
        }
        self.u8(s.len() as u8).await?;
        self.bytes(s).await
    }

    /// Stream data that is handed over instead of copied.
    #[cfg(feature = "alloc")]
    pub async fn chunk(&mut self, chunk: bytes::Bytes) -> Result<(), Error<W::Error>>
    where
        W: super::ChunkWrite,
    {
        if chunk.len() < 4096 {
            return self.bytes(&chunk).await;
        }
        if self.record(&chunk) {
            return Ok(());
        }
        if self.room() < HEADER {
            self.spill().await?;
        }
        self.open_frame();
        self.close_frame(chunk.len());
        self.spill().await?;
        self.count += chunk.len() as u64;
        self.inner.write_chunk(chunk).await.map_err(Error::Io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::block_on_ready;

    #[test]
    fn values_share_a_frame_and_messages_overtake_it() {
        let mut out = alloc::vec::Vec::new();
        let mut w = WireWriter::new(&mut out, [0u8; 64]);
        block_on_ready(async {
            w.start_framing();
            w.u8(1).await.unwrap();
            w.u16(0x800c).await.unwrap();
            w.message(MsgTag::Success, &2i32.to_le_bytes()).await.unwrap();
            w.u8(9).await.unwrap();
            w.flush().await.unwrap();
        });
        assert_eq!(w.count(), 16);
        assert_eq!(out, [4, 0, 0, 0x6b, 2, 0, 0, 0, 4, 0, 0, 7, 1, 0x0c, 0x80, 9]);
    }

    #[test]
    fn long_strings_take_two_length_bytes() {
        let mut out = alloc::vec::Vec::new();
        let mut w = WireWriter::new(&mut out, [0u8; 512]);
        block_on_ready(async {
            w.vstring(&[b'x'; 300]).await.unwrap();
            w.flush().await.unwrap();
        });
        assert_eq!(out.get(..3), Some(&[0x81, 0x2c, b'x'][..]));
    }
}
