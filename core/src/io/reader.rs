//! Typed reads from a stream that may be framed.

#[cfg(feature = "alloc")]
use alloc::rc::Rc;

use embedded_io_async::BufRead;

#[cfg(feature = "alloc")]
use super::Tape;
use crate::{
    error::{Error, Limit, ProtocolError},
    exit::ExitCode,
    mux::{Header, MsgTag},
    version::ProtocolVersion,
    wire::{Decoded, int, ndx::NdxState, varint},
};

/// Why a message ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MessageFault {
    /// It breaks the protocol.
    Protocol(ProtocolError),
    /// It asks for the end (`MSG_ERROR_EXIT`).
    PeerExit(ExitCode),
}

impl From<ProtocolError> for MessageFault {
    fn from(e: ProtocolError) -> Self {
        Self::Protocol(e)
    }
}

/// Takes the messages that lie between data frames.
pub trait MessageSink {
    /// A message begins; its length may be refused here, before anything of it is read.
    fn begin(&mut self, header: Header) -> Result<(), MessageFault>;
    /// Some of its payload.
    fn part(&mut self, bytes: &[u8]);
    /// All of it was given.
    fn end(&mut self) -> Result<(), MessageFault>;
}

/// Passes over all messages: for what is not framed yet, and for who looks at data only.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMessages;

impl MessageSink for NoMessages {
    fn begin(&mut self, _: Header) -> Result<(), MessageFault> {
        Ok(())
    }
    fn part(&mut self, _: &[u8]) {}
    fn end(&mut self) -> Result<(), MessageFault> {
        Ok(())
    }
}

/// Reads values from a transport, taking off the framing once [`WireReader::start_framing`] was called.
///
/// All methods are cancel-safe only where they say so; a session whose read was dropped must be given up.
#[derive(Debug)]
pub struct WireReader<R, S> {
    inner: R,
    sink: S,
    framed: bool,
    /// Payload left in the current data frame.
    left: usize,
    /// Bytes at hand in the last slice the transport lent.
    at_hand: usize,
    /// Bytes taken from the transport, headers included.
    count: u64,
    /// Of them those of headers and messages.
    overhead: u64,
    #[cfg(feature = "alloc")]
    tape: Option<Rc<dyn Tape>>,
    /// Stream data at hand that is on the tape already.
    #[cfg(feature = "alloc")]
    taped: usize,
}

impl<R: BufRead, S: MessageSink> WireReader<R, S> {
    /// A reader without framing.
    pub const fn new(inner: R, sink: S) -> Self {
        Self {
            inner,
            sink,
            framed: false,
            left: 0,
            at_hand: 0,
            count: 0,
            overhead: 0,
            #[cfg(feature = "alloc")]
            tape: None,
            #[cfg(feature = "alloc")]
            taped: 0,
        }
    }

    /// From here on stream data is recorded too; messages and frame headers are not.
    #[cfg(feature = "alloc")]
    pub fn set_tape(&mut self, tape: Rc<dyn Tape>) {
        self.tape = Some(tape);
        self.taped = 0;
    }

    /// From here on the stream consists of frames.
    pub fn start_framing(&mut self) {
        self.framed = true;
        self.left = 0;
    }

    /// From here on the stream has no frames (a `--files-from` list at protocol 30).
    pub fn stop_framing(&mut self) {
        self.framed = false;
    }

    /// True once framing is on.
    pub const fn is_framed(&self) -> bool {
        self.framed
    }

    /// Bytes read so far, headers and messages included.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// As [`WireReader::count`], with all of the frame that is being read.
    pub const fn count_of_frames(&self) -> u64 {
        self.count + self.left as u64
    }

    /// Stream data read so far.
    pub const fn data_count(&self) -> u64 {
        self.count - self.overhead
    }

    /// Counts from here on: what came before belongs to no session (the lines of a daemon, the handshake).
    pub const fn restart_count(&mut self) {
        self.count = 0;
        self.overhead = 0;
    }

    /// The sink.
    pub const fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The transport.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// True if bytes are at hand. They may be messages or a part of a value: whoever owes the peer something must
    /// not take this as a promise that the next value comes without waiting.
    pub const fn has_buffered(&self) -> bool {
        self.at_hand > 0
    }

    fn take(&mut self, n: usize) {
        self.inner.consume(n);
        self.count += n as u64;
        self.at_hand = self.at_hand.saturating_sub(n);
    }

    async fn raw_fill(&mut self) -> Result<&[u8], Error<R::Error>> {
        let buf = self.inner.fill_buf().await.map_err(Error::Io)?;
        if buf.is_empty() {
            return Err(Error::Eof);
        }
        self.at_hand = buf.len();
        Ok(buf)
    }

    async fn header(&mut self) -> Result<Header, Error<R::Error>> {
        let mut bytes = [0u8; 4];
        for slot in &mut bytes {
            *slot = *self.raw_fill().await?.first().ok_or(Error::Eof)?;
            self.take(1);
            self.overhead += 1;
        }
        Ok(Header::decode(bytes)?)
    }

    /// Reads frame headers and messages until there is stream data. Returns at once where there is some.
    async fn next_data_frame(&mut self) -> Result<(), Error<R::Error>> {
        while self.left == 0 {
            let header = self.header().await?;
            if header.tag == MsgTag::Data {
                self.left = header.len as usize;
            } else {
                self.message(header).await?;
            }
        }
        Ok(())
    }

    async fn message(&mut self, header: Header) -> Result<(), Error<R::Error>> {
        let fault = |f| match f {
            MessageFault::Protocol(p) => Error::Protocol(p),
            MessageFault::PeerExit(c) => Error::PeerExit(c),
        };
        self.sink.begin(header).map_err(fault)?;
        let mut left = header.len as usize;
        while left > 0 {
            self.raw_fill().await?;
            let buf = self.inner.fill_buf().await.map_err(Error::Io)?;
            let n = buf.len().min(left);
            self.sink.part(buf.get(..n).unwrap_or_default());
            self.take(n);
            self.overhead += n as u64;
            left -= n;
        }
        self.sink.end().map_err(fault)
    }

    /// Waits for stream data or for a message, whichever comes first: true if there is stream data, false if a message
    /// was taken. For roles that act on messages while no data is due.
    pub async fn event(&mut self) -> Result<bool, Error<R::Error>> {
        if !self.framed {
            return self.raw_fill().await.map(|_| true);
        }
        if self.left == 0 {
            let header = self.header().await?;
            if header.tag != MsgTag::Data {
                self.message(header).await?;
                return Ok(false);
            }
            self.left = header.len as usize;
        }
        Ok(self.left > 0)
    }

    /// At least one byte of the stream, as many as are at hand. Follow with [`WireReader::consume`].
    pub async fn fill(&mut self) -> Result<&[u8], Error<R::Error>> {
        if self.framed {
            self.next_data_frame().await?;
        }
        let left = if self.framed { self.left } else { usize::MAX };
        let buf = self.inner.fill_buf().await.map_err(Error::Io)?;
        if buf.is_empty() {
            return Err(Error::Eof);
        }
        self.at_hand = buf.len();
        let data = buf.get(..left.min(buf.len())).unwrap_or_default();
        #[cfg(feature = "alloc")]
        if let Some(tape) = &self.tape
            && let Some(new) = data.get(self.taped..).filter(|new| !new.is_empty())
        {
            tape.record(new);
            self.taped = data.len();
        }
        Ok(data)
    }

    /// Takes `n` bytes of the last [`WireReader::fill`].
    pub fn consume(&mut self, n: usize) {
        self.take(n);
        #[cfg(feature = "alloc")]
        {
            self.taped = self.taped.saturating_sub(n);
        }
        if self.framed {
            self.left -= n;
        }
    }

    /// A value of up to 16 bytes that a pure decoder understands.
    pub async fn decode<T>(&mut self, f: impl FnMut(&[u8]) -> Decoded<T>) -> Result<T, Error<R::Error>> {
        self.decode_up_to::<16, T>(f).await
    }

    /// A value, or several together, of up to `N` bytes.
    pub async fn decode_up_to<const N: usize, T>(
        &mut self,
        mut f: impl FnMut(&[u8]) -> Decoded<T>,
    ) -> Result<T, Error<R::Error>> {
        let buf = self.fill().await?;
        if let Some((value, used)) = f(buf)? {
            self.consume(used);
            return Ok(value);
        }
        // The value straddles two slices or frames: collect it byte by byte.
        let mut carry = [0u8; N];
        let mut have = 0;
        while let Some(slot) = carry.get_mut(have) {
            *slot = *self.fill().await?.first().ok_or(Error::Eof)?;
            self.consume(1);
            have += 1;
            if let Some((value, _)) = f(carry.get(..have).unwrap_or_default())? {
                return Ok(value);
            }
        }
        Err(ProtocolError::VarintOverflow.into())
    }

    /// One byte.
    pub async fn u8(&mut self) -> Result<u8, Error<R::Error>> {
        self.decode(int::decode_u8).await
    }
    /// u16 LE.
    pub async fn u16(&mut self) -> Result<u16, Error<R::Error>> {
        self.decode(int::decode_u16).await
    }
    /// i32 LE.
    pub async fn i32(&mut self) -> Result<i32, Error<R::Error>> {
        self.decode(int::decode_i32).await
    }
    /// varint.
    pub async fn varint(&mut self) -> Result<i32, Error<R::Error>> {
        self.decode(varint::decode_varint).await
    }
    /// varlong with a minimum of `min` bytes.
    pub async fn varlong(&mut self, min: usize) -> Result<i64, Error<R::Error>> {
        self.decode(|b| varint::decode_varlong(b, min)).await
    }
    /// longint.
    pub async fn longint(&mut self) -> Result<i64, Error<R::Error>> {
        self.decode(int::decode_longint).await
    }
    /// varint for protocol ≥ 30, else i32 LE.
    pub async fn varint30(&mut self, v: ProtocolVersion) -> Result<i32, Error<R::Error>> {
        if v.has_varints() { self.varint().await } else { self.i32().await }
    }
    /// varlong(min) for protocol ≥ 30, else longint.
    pub async fn varlong30(&mut self, v: ProtocolVersion, min: usize) -> Result<i64, Error<R::Error>> {
        if v.has_varints() { self.varlong(min).await } else { self.longint().await }
    }
    /// An index.
    pub async fn ndx(&mut self, state: &mut NdxState) -> Result<i32, Error<R::Error>> {
        self.decode(|b| state.decode(b)).await
    }
    /// Fills the whole of `out`.
    pub async fn exact(&mut self, out: &mut [u8]) -> Result<(), Error<R::Error>> {
        let mut done = 0;
        while done < out.len() {
            let buf = self.fill().await?;
            let n = buf.len().min(out.len() - done);
            if let (Some(to), Some(from)) = (out.get_mut(done..done + n), buf.get(..n)) {
                to.copy_from_slice(from);
            }
            self.consume(n);
            done += n;
        }
        Ok(())
    }
    /// Length of a vstring: one byte up to 127, else two bytes `80 + high, low`; 0..=32767.
    pub async fn vstring_len(&mut self) -> Result<usize, Error<R::Error>> {
        let first = self.u8().await?;
        Ok(if first & 0x80 == 0 {
            usize::from(first)
        } else {
            (usize::from(first & 0x7f) << 8) | usize::from(self.u8().await?)
        })
    }
    /// A vstring of at most `N` bytes.
    pub async fn vstring<const N: usize>(
        &mut self,
        what: Limit,
    ) -> Result<heapless::Vec<u8, N>, Error<R::Error>> {
        let len = self.vstring_len().await?;
        let mut out = heapless::Vec::new();
        if len > N {
            return Err(ProtocolError::OutOfRange { what, got: len as i64, max: N as i64 }.into());
        }
        let _ = out.resize(len, 0);
        self.exact(&mut out).await?;
        Ok(out)
    }
    /// Appends exactly `len` bytes to `out`; memory grows with what arrives.
    #[cfg(feature = "alloc")]
    pub async fn append(&mut self, len: usize, out: &mut alloc::vec::Vec<u8>) -> Result<(), Error<R::Error>> {
        let mut left = len;
        out.reserve(left.min(crate::limits::RESERVE_STEP));
        while left > 0 {
            let buf = self.fill().await?;
            let n = buf.len().min(left);
            out.extend_from_slice(buf.get(..n).unwrap_or_default());
            self.consume(n);
            left -= n;
        }
        Ok(())
    }

    /// Reads messages and drops stream data until the peer closes the stream or sends a fault.
    pub async fn drain(&mut self) -> Result<(), Error<R::Error>> {
        loop {
            match self.fill().await {
                Ok(buf) => {
                    let n = buf.len();
                    self.consume(n);
                }
                Err(Error::Eof) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}
