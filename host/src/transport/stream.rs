//! One descriptor to read from or write to, on the ring where that is right.

use alloc::rc::Rc;
use std::{
    io::{self, IsTerminal},
    os::fd::OwnedFd,
};

use bytes::Bytes;
use compio::{
    BufResult,
    driver::{
        ToSharedFd,
        op::{Interest, PollOnce},
    },
    io::{AsyncRead, AsyncWrite},
    runtime::{Runtime, fd::AsyncFd, submit},
};
use rustix::{
    fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat},
    net::{Shutdown, shutdown},
    pipe::fcntl_setpipe_size,
};

/// Capacity asked for pipes, bytes: what an unprivileged user may have.
const PIPE_SIZE: usize = 1 << 20;
/// What fits into a pipe or socket that was reported writable, bytes: a longer write could block.
const SAFE_PIECE: usize = 4096;

/// Who else uses the open file behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: its flags may be changed.
    Own,
    /// Perhaps other processes: its flags are theirs too.
    Inherited,
}

/// A descriptor, cheap to clone.
#[derive(Debug, Clone)]
pub enum Stream {
    /// Read and written by the runtime. `piece`: largest write, bytes.
    Driven { fd: AsyncFd<OwnedFd>, piece: usize },
    /// A regular file or a device. The ring reads those at offset 0 always, and epoll refuses them, so plain
    /// system calls are used; they do not wait for a peer.
    Plain(Rc<OwnedFd>),
}

impl Stream {
    pub fn new(fd: OwnedFd, sharing: Sharing) -> io::Result<Self> {
        let polling = Runtime::try_with_current(|r| r.driver_type().is_polling())
            .map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "no compio runtime on this thread"))?;
        match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::Fifo => {
                // Where the limit of the user is reached the pipe stays as it is.
                let _ = fcntl_setpipe_size(&fd, PIPE_SIZE);
            }
            FileType::Socket => {}
            _ if fd.is_terminal() => {}
            _ => return Ok(Self::Plain(Rc::new(fd))),
        }
        let mut piece = usize::MAX;
        if polling {
            let flags = fcntl_getfl(&fd)?;
            if sharing == Sharing::Own {
                fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
            } else if !flags.contains(OFlags::NONBLOCK) {
                piece = SAFE_PIECE;
            }
        }
        Ok(Self::Driven { fd: AsyncFd::new(fd)?, piece })
    }

    /// Largest write that makes sense, bytes.
    pub fn piece(&self) -> usize {
        match self {
            Self::Driven { piece, .. } => *piece,
            Self::Plain(_) => usize::MAX,
        }
    }

    /// True if reading never waits for a peer: reading ahead would gain nothing.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Reads once, up to the capacity of the buffer.
    pub async fn read(self, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        match self {
            Self::Plain(fd) => {
                buf.resize(buf.capacity(), 0);
                let done = rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut *buf));
                buf.truncate(done.unwrap_or(0));
                (done.map_err(Into::into), buf)
            }
            Self::Driven { fd, .. } => loop {
                buf.clear();
                let BufResult(done, back) = (&fd).read(buf).await;
                buf = back;
                match retry(done, &fd, Interest::Readable).await {
                    Some(done) => return (done, buf),
                    None => continue,
                }
            },
        }
    }

    /// Writes once; a part of the data may be left.
    pub async fn write(self, mut pieces: Vec<Bytes>) -> io::Result<usize> {
        match self {
            Self::Plain(fd) => {
                let slices: Vec<_> = pieces.iter().map(|p| io::IoSlice::new(p)).collect();
                Ok(rustix::io::retry_on_intr(|| rustix::io::writev(&fd, &slices))?)
            }
            Self::Driven { fd, .. } => loop {
                let BufResult(done, back) = (&fd).write_vectored(pieces).await;
                pieces = back;
                match retry(done, &fd, Interest::Writable).await {
                    Some(done) => return done,
                    None => continue,
                }
            },
        }
    }

    /// Tells the peer that nothing more is written, where others hold the descriptor too.
    pub fn shut_down_writing(&self) {
        if let Self::Driven { fd, .. } = self {
            // No socket: the end comes with the last descriptor.
            let _ = shutdown(fd, Shutdown::Write);
        }
    }
}

/// Passes a result on, or waits until another attempt makes sense: somebody who shares the descriptor may have
/// made it non-blocking.
async fn retry(
    done: io::Result<usize>,
    fd: &AsyncFd<OwnedFd>,
    interest: Interest,
) -> Option<io::Result<usize>> {
    match &done {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let BufResult(ready, _) = submit(PollOnce::new(fd.to_shared_fd(), interest)).await;
            ready.err().map(Err)
        }
        _ => Some(done),
    }
}
