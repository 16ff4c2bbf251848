//! On compio: the kernel owns a buffer while it fills it (io_uring), so the transport has two of them.

use std::{cell::Cell, future::Future, os::fd::OwnedFd, pin::Pin, task::Poll};

use arsync_core::io::{BufRead, ErrorKind, ErrorType, Read, Write};
use compio::{
    BufResult,
    io::{AsyncRead, AsyncWriteExt},
    runtime::fd::AsyncFd,
};

const BUFFER: usize = 256 << 10;

type Reading = Pin<Box<dyn Future<Output = BufResult<usize, Vec<u8>>>>>;

/// Reads into one buffer while the other one is decoded. The operation lives here and not in the future of
/// `fill_buf`, so nothing is lost when that is dropped.
struct Reader {
    fd: AsyncFd<OwnedFd>,
    ready: Vec<u8>,
    at: usize,
    under_way: Cell<Option<Reading>>,
    end: bool,
}

impl Reader {
    fn start(&self, mut buf: Vec<u8>) -> Reading {
        buf.clear();
        buf.reserve_exact(BUFFER);
        let fd = self.fd.clone();
        Box::pin(async move { (&fd).read(buf).await })
    }
}

impl ErrorType for Reader {
    type Error = ErrorKind;
}

impl BufRead for Reader {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        if self.at == self.ready.len() && !self.end {
            let mut reading = self.under_way.take().unwrap_or_else(|| self.start(Vec::new()));
            let BufResult(result, buf) = std::future::poll_fn(|cx| reading.as_mut().poll(cx)).await;
            let old = std::mem::replace(&mut self.ready, buf);
            self.at = 0;
            if result.map_err(|_| ErrorKind::Other)? == 0 {
                self.end = true;
                self.ready.clear();
            } else {
                // An operation is handed to the kernel when its future is polled for the first time.
                let mut next = self.start(old);
                let first = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
                self.under_way.set(Some(match first {
                    Poll::Pending => next,
                    Poll::Ready(done) => Box::pin(std::future::ready(done)),
                }));
            }
        }
        Ok(&self.ready[self.at..])
    }
    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

impl Read for Reader {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let have = self.fill_buf().await?;
        let n = have.len().min(buf.len());
        buf[..n].copy_from_slice(&have[..n]);
        self.consume(n);
        Ok(n)
    }
}

struct Writer(AsyncFd<OwnedFd>);

impl ErrorType for Writer {
    type Error = ErrorKind;
}

impl Write for Writer {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        // A borrowed slice cannot be given to the kernel. A sender hands its data over instead (`ChunkWrite`).
        let BufResult(result, _) = (&self.0).write_all(buf.to_vec()).await;
        result.map(|()| buf.len()).map_err(|_| ErrorKind::Other)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

fn main() {
    let runtime = compio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut child = runtimes::server(&runtimes::path()).spawn().expect("rsync is installed");
        let from: OwnedFd = child.stdout.take().expect("it is piped").into();
        let to: OwnedFd = child.stdin.take().expect("it is piped").into();
        let reader = Reader {
            fd: AsyncFd::new(from).expect("a pipe"),
            ready: Vec::new(),
            at: 0,
            under_way: Cell::new(None),
            end: false,
        };
        runtimes::pull(reader, Writer(AsyncFd::new(to).expect("a pipe"))).await;
        assert!(child.wait().expect("it ends").success());
    });
}
