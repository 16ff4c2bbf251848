//! The reading side of a connection: two buffers, one lent to the caller, one being filled.

use alloc::boxed::Box;
use core::{
    fmt,
    future::{Future, poll_fn, ready},
    pin::Pin,
    task::{Context, Poll},
};
use std::io;

use embedded_io_async::{BufRead, ErrorType, Read};

use super::{
    Activity, Error,
    interruption::{self, is_interrupted},
    stream::Stream,
};

/// Size of each of the two buffers, bytes. Larger ones fall out of the L2 cache.
const BUFFER: usize = 256 << 10;

type Reading = Pin<Box<dyn Future<Output = (io::Result<usize>, Vec<u8>)>>>;

/// Reads ahead by one buffer and lends what came without copying it.
///
/// Every future of it may be dropped at any time: the read under way is kept here and nothing is lost.
/// An error is returned once; afterwards the stream is at its end.
pub struct ReadAhead {
    /// What is being consumed, from `pos` on.
    ready: Vec<u8>,
    pos: usize,
    /// Owns the other buffer.
    in_flight: Option<Reading>,
    spare: Vec<u8>,
    stream: Stream,
    eof: bool,
    activity: Activity,
}

impl ReadAhead {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            ready: Vec::new(),
            pos: 0,
            in_flight: None,
            spare: Vec::new(),
            stream,
            eof: false,
            activity: Activity::default(),
        }
    }

    /// Puts bytes in front that somebody else has read from the stream.
    pub fn put_back(&mut self, bytes: Vec<u8>) {
        debug_assert!(self.in_flight.is_none() && self.buffered().is_empty(), "the stream was read already");
        self.ready = bytes;
        self.pos = 0;
    }

    /// Counts completed reads there.
    pub fn watch(&mut self, activity: Activity) {
        self.activity = activity;
    }

    /// What is there already and can be had without waiting.
    pub fn buffered(&self) -> &[u8] {
        &self.ready[self.pos..]
    }

    fn start(&mut self) -> Reading {
        let mut buf = core::mem::take(&mut self.spare);
        buf.clear();
        buf.reserve_exact(BUFFER);
        Box::pin(self.stream.clone().read(buf))
    }

    /// Makes `ready` hold unread bytes, unless the stream is at its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pos < self.ready.len() || self.eof {
            return Poll::Ready(Ok(()));
        }
        if is_interrupted() {
            return self.interrupted();
        }
        let mut reading = match self.in_flight.take() {
            Some(reading) => reading,
            None => self.start(),
        };
        let Poll::Ready((done, buf)) = reading.as_mut().poll(cx) else {
            self.in_flight = Some(reading);
            return if interruption::watch(cx) { self.interrupted() } else { Poll::Pending };
        };
        self.spare = core::mem::replace(&mut self.ready, buf);
        self.pos = 0;
        self.activity.moved(false);
        match done {
            Ok(0) => self.end(),
            Ok(_) if self.stream.is_plain() => {}
            Ok(_) => {
                // The kernel fills the other buffer while this one is consumed.
                let mut next = self.start();
                self.in_flight = Some(match next.as_mut().poll(cx) {
                    Poll::Pending => next,
                    Poll::Ready(done) => Box::pin(ready(done)),
                });
            }
            Err(error) => {
                self.end();
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn interrupted(&mut self) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Err(io::ErrorKind::Interrupted.into()))
    }

    fn end(&mut self) {
        self.ready.clear();
        self.eof = true;
    }
}

impl ErrorType for ReadAhead {
    type Error = Error;
}

impl Read for ReadAhead {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        let ready = self.fill_buf().await?;
        let n = ready.len().min(buf.len());
        buf[..n].copy_from_slice(&ready[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for ReadAhead {
    async fn fill_buf(&mut self) -> Result<&[u8], Error> {
        poll_fn(|cx| self.poll_fill(cx)).await?;
        Ok(&self.ready[self.pos..])
    }

    fn consume(&mut self, amt: usize) {
        debug_assert!(amt <= self.ready.len() - self.pos, "more consumed than was lent");
        self.pos = self.ready.len().min(self.pos + amt);
    }
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead")
            .field("buffered", &self.buffered().len())
            .field("in_flight", &self.in_flight.is_some())
            .field("eof", &self.eof)
            .finish_non_exhaustive()
    }
}
