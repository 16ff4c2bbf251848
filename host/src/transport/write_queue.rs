//! The writing side of a connection: a queue of owned pieces and one write of several of them under way.

use alloc::{boxed::Box, collections::VecDeque};
use core::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{io, time::Instant};

use bytes::{Buf, Bytes, BytesMut};
use compio::runtime::Runtime;
use embedded_io_async::{ErrorType, Write};

use super::{Activity, Error, stream::Stream};

/// A caller waits while more than this is queued, bytes.
const HIGH_WATER: usize = 1 << 20;
/// Pieces of one write, and their bytes.
const MAX_PIECES: usize = 64;
const MAX_BYTES: usize = 1 << 20;
/// Chunks below this size are copied, bytes: a piece of their own would cost more.
const MIN_CHUNK: usize = 4 << 10;
/// The open tail becomes a piece when it has this size, bytes.
const TAIL: usize = 64 << 10;
/// Queued bytes that start a write without being asked, so that the peer has something to do.
const EAGER: usize = 128 << 10;

type Writing = Pin<Box<dyn Future<Output = io::Result<usize>>>>;

/// Queues what is written and hands it to the kernel in large pieces.
///
/// `write` copies small data into an open piece; [`WriteQueue::write_chunk`] takes large data without copying.
/// Nothing is sure to reach the peer before `flush`. Every future may be dropped at any time: what was accepted
/// stays queued. After an error everything fails with the same one. Dropping the queue drops what it holds.
pub struct WriteQueue {
    stream: Stream,
    /// Small data, not yet a piece.
    tail: BytesMut,
    queue: VecDeque<Bytes>,
    /// Bytes in `queue`.
    queued: usize,
    in_flight: Option<Writing>,
    failed: Option<Failure>,
    activity: Activity,
    throttle: Option<Throttle>,
}

/// A limit of the bytes per second (`--bwlimit`).
struct Throttle {
    /// Bytes per second.
    rate: u64,
    /// When what was written so far should have been.
    due: Instant,
    /// Until then.
    sleeping: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Throttle {
    /// Largest single write, bytes.
    fn piece(&self) -> usize {
        usize::try_from(self.rate / 8).unwrap_or(usize::MAX).max(512)
    }

    fn wrote(&mut self, bytes: usize) {
        let now = Instant::now();
        let micros = (bytes as u64).saturating_mul(1_000_000) / self.rate;
        self.due = self.due.max(now) + Duration::from_micros(micros);
        self.sleeping = Some(Box::pin(compio::time::sleep_until(self.due)));
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleeping) = &mut self.sleeping else { return Poll::Ready(()) };
        if sleeping.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleeping = None;
        Poll::Ready(())
    }
}

/// An error that can be returned more than once.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Os(i32),
    Other(io::ErrorKind),
}

impl WriteQueue {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            tail: BytesMut::new(),
            queue: VecDeque::new(),
            queued: 0,
            activity: Activity::default(),
            in_flight: None,
            failed: None,
            throttle: None,
        }
    }

    /// Counts completed writes there.
    pub fn watch(&mut self, activity: Activity) {
        self.activity = activity;
    }

    /// Writes no more than so many KiB per second from here on; 0: no limit.
    pub fn limit(&mut self, kib_per_second: u64) {
        let rate = kib_per_second.saturating_mul(1024);
        self.throttle = (rate > 0).then(|| Throttle { rate, due: Instant::now(), sleeping: None });
    }

    /// Bytes that were accepted and have not reached the kernel.
    pub fn queued(&self) -> usize {
        self.queued + self.tail.len()
    }

    /// Takes ownership of data; waits while too much is queued.
    pub async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.room().await?;
        if chunk.len() < MIN_CHUNK {
            self.append(&chunk);
        } else {
            self.seal();
            self.push(chunk);
        }
        self.start_if_worth_it();
        Ok(())
    }

    /// Submits what is queued without waiting for it.
    pub fn kick(&mut self) {
        self.seal();
        // Whoever waits for the queue polls again, with its own waker.
        let _ = self.poll_progress(&mut Context::from_waker(Waker::noop()));
        let _ = Runtime::try_with_current(|runtime| {
            // Flushing may swallow a wake-up that was under way.
            if runtime.flush() {
                runtime.waker().wake();
            }
        });
    }

    /// Writes everything and ends this direction.
    pub async fn close(mut self) -> Result<(), Error> {
        self.flush().await?;
        self.stream.shut_down_writing();
        Ok(())
    }

    fn append(&mut self, data: &[u8]) {
        if self.tail.capacity() - self.tail.len() < data.len() {
            self.tail.reserve(TAIL.max(data.len()));
        }
        self.tail.extend_from_slice(data);
        if self.tail.len() >= TAIL {
            self.seal();
        }
    }

    /// Makes the tail a piece.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.push(piece);
        }
    }

    fn push(&mut self, piece: Bytes) {
        self.queued += piece.len();
        self.queue.push_back(piece);
    }

    fn start_if_worth_it(&mut self) {
        if self.in_flight.is_none() && self.queued >= EAGER {
            self.kick();
        }
    }

    async fn room(&mut self) -> Result<(), Error> {
        poll_fn(|cx| {
            loop {
                self.check()?;
                if self.queued <= HIGH_WATER {
                    return Poll::Ready(Ok(()));
                }
                if self.poll_progress(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn check(&self) -> Result<(), Error> {
        match self.failed {
            None => Ok(()),
            Some(Failure::Os(code)) => Err(Error(io::Error::from_raw_os_error(code))),
            Some(Failure::Other(kind)) => Err(Error(kind.into())),
        }
    }

    /// Drives the write under way, or starts one. Ready when it is done, when nothing is queued, or when the
    /// queue has failed.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.failed.is_some() || (self.in_flight.is_none() && self.queue.is_empty()) {
            return Poll::Ready(());
        }
        let mut writing = match self.in_flight.take() {
            Some(writing) => writing,
            None => {
                if let Some(throttle) = &mut self.throttle
                    && throttle.poll_due(cx).is_pending()
                {
                    return Poll::Pending;
                }
                Box::pin(self.stream.clone().write(self.next_pieces()))
            }
        };
        match writing.as_mut().poll(cx) {
            Poll::Pending => {
                self.in_flight = Some(writing);
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => self.failed = Some(Failure::Other(io::ErrorKind::WriteZero)),
            Poll::Ready(Ok(n)) => {
                self.activity.moved(true);
                if let Some(throttle) = &mut self.throttle {
                    throttle.wrote(n);
                }
                self.advance(n);
            }
            Poll::Ready(Err(error)) => {
                self.failed = Some(match error.raw_os_error() {
                    Some(code) => Failure::Os(code),
                    None => Failure::Other(error.kind()),
                });
            }
        }
        Poll::Ready(())
    }

    /// The next write: the first pieces of the queue, which stay there until they are written.
    fn next_pieces(&self) -> Vec<Bytes> {
        let limit = self.throttle.as_ref().map_or(MAX_BYTES, Throttle::piece);
        let mut left = self.stream.piece().min(MAX_BYTES).min(limit);
        let mut pieces = Vec::with_capacity(self.queue.len().min(MAX_PIECES));
        for piece in self.queue.iter().take(MAX_PIECES) {
            if left == 0 {
                break;
            }
            let n = piece.len().min(left);
            pieces.push(piece.slice(..n));
            left -= n;
        }
        pieces
    }

    /// Drops what was written from the front of the queue.
    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(first) = self.queue.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.queue.pop_front();
        }
    }
}

impl ErrorType for WriteQueue {
    type Error = Error;
}

impl arsync_core::io::ChunkWrite for WriteQueue {
    async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), Error> {
        Self::write_chunk(self, chunk).await
    }

    fn kick(&mut self) {
        Self::kick(self);
    }
}

impl Write for WriteQueue {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.room().await?;
        self.append(buf);
        self.start_if_worth_it();
        Ok(buf.len())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.seal();
        poll_fn(|cx| {
            loop {
                self.check()?;
                if self.queue.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                if self.poll_progress(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl fmt::Debug for WriteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteQueue")
            .field("queued", &self.queued())
            .field("in_flight", &self.in_flight.is_some())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
