//! An in-memory pipe with a chosen capacity and piece size, and a loop that finds deadlocks.

use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::{
    cell::RefCell,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use embedded_io_async::{BufRead, ErrorType, Read, Write};

#[derive(Debug, Default)]
struct Shared {
    bytes: VecDeque<u8>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    capacity: usize,
    piece: usize,
}

/// Reading end; EOF once the writing end is dropped.
#[derive(Debug)]
pub struct PipeReader {
    shared: Rc<RefCell<Shared>>,
    lent: Vec<u8>,
    pos: usize,
}

/// Writing end.
#[derive(Debug)]
pub struct PipeWriter(Rc<RefCell<Shared>>);

/// A pipe that holds `capacity` bytes and hands out at most `piece` bytes at a time.
pub fn pipe(capacity: usize, piece: usize) -> (PipeReader, PipeWriter) {
    let shared = Rc::new(RefCell::new(Shared { capacity, piece, ..Shared::default() }));
    (PipeReader { shared: shared.clone(), lent: Vec::new(), pos: 0 }, PipeWriter(shared))
}

impl ErrorType for PipeReader {
    type Error = Infallible;
}
impl ErrorType for PipeWriter {
    type Error = Infallible;
}

impl BufRead for PipeReader {
    async fn fill_buf(&mut self) -> Result<&[u8], Infallible> {
        if self.pos == self.lent.len() {
            self.lent.clear();
            self.pos = 0;
            let (shared, lent) = (&self.shared, &mut self.lent);
            poll_fn(|cx| {
                let mut s = shared.borrow_mut();
                if s.bytes.is_empty() && !s.closed {
                    s.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                let n = s.bytes.len().min(s.piece);
                lent.extend(s.bytes.drain(..n));
                if let Some(w) = s.writer.take() {
                    w.wake();
                }
                Poll::Ready(())
            })
            .await;
        }
        Ok(self.lent.get(self.pos..).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.pos += n;
    }
}

impl Read for PipeReader {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let have = self.fill_buf().await?;
        let n = have.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), have.get(..n)) {
            to.copy_from_slice(from);
        }
        self.consume(n);
        Ok(n)
    }
}

impl Write for PipeWriter {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|cx| {
            let mut s = self.0.borrow_mut();
            let room = s.capacity.saturating_sub(s.bytes.len());
            if room == 0 && !buf.is_empty() {
                s.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let n = room.min(buf.len());
            s.bytes.extend(buf.get(..n).unwrap_or_default());
            if let Some(w) = s.reader.take() {
                w.wake();
            }
            Poll::Ready(Ok(n))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl super::ChunkWrite for PipeWriter {}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        let mut s = self.0.borrow_mut();
        s.closed = true;
        if let Some(w) = s.reader.take() {
            w.wake();
        }
    }
}

struct Flag(AtomicBool);

impl alloc::task::Wake for Flag {
    fn wake(self: alloc::sync::Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Both ends wait for each other and nothing can wake them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Deadlock;

/// Polls a future (usually two sessions joined) until it ends, or until it waits and nothing woke it.
pub fn run<F: Future>(future: F) -> Result<F::Output, Deadlock> {
    let flag = alloc::sync::Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    while flag.0.swap(false, Ordering::Relaxed) {
        if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(out);
        }
    }
    Err(Deadlock)
}
