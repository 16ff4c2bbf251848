//! Pipes, standard streams and any other pair of descriptors.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

use super::{
    Error, ReadAhead, WriteQueue, duplex,
    stream::{Sharing, Stream},
};

/// A connection over two descriptors.
///
/// # Examples
///
/// ```
/// use arsync::transport::PipeTransport;
/// use embedded_io_async::{Read, Write};
///
/// compio::runtime::Runtime::new()?.block_on(async {
///     let (mut left, mut right) = PipeTransport::create_pipe()?;
///     left.write_all(b"@RSYNCD: 32.0\n").await?;
///     left.flush().await?;
///     let mut line = [0; 14];
///     right.read_exact(&mut line).await.unwrap();
///     assert_eq!(&line, b"@RSYNCD: 32.0\n");
///     Ok(())
/// })
/// # .map_err(|e: arsync::transport::Error| e.0)
/// # ?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PipeTransport {
    reader: ReadAhead,
    writer: WriteQueue,
}

impl PipeTransport {
    /// Standard input and output of the process. Their flags, which other processes share, stay as they are.
    pub fn from_stdio() -> Result<Self, Error> {
        let read = rustix::stdio::stdin().try_clone_to_owned()?;
        let write = rustix::stdio::stdout().try_clone_to_owned()?;
        Self::open(read, write, Sharing::Inherited)
    }

    /// Any two descriptors that bytes can be read from and written to; they may be one socket, twice. Their
    /// flags stay as they are.
    pub fn from_fds(read: OwnedFd, write: OwnedFd) -> Result<Self, Error> {
        Self::open(read, write, Sharing::Inherited)
    }

    /// Two connected transports.
    pub fn create_pipe() -> Result<(Self, Self), Error> {
        let (left_read, right_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (right_read, left_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let left = Self::open(left_read, left_write, Sharing::Own)?;
        let right = Self::open(right_read, right_write, Sharing::Own)?;
        Ok((left, right))
    }

    fn open(read: OwnedFd, write: OwnedFd, sharing: Sharing) -> Result<Self, Error> {
        let reader = ReadAhead::new(Stream::new(read, sharing)?);
        let writer = WriteQueue::new(Stream::new(write, sharing)?);
        Ok(Self { reader, writer })
    }

    /// Both directions.
    pub fn into_split(self) -> (ReadAhead, WriteQueue) {
        (self.reader, self.writer)
    }
}

duplex!(PipeTransport);
