//! Connections on the runtime of the calling thread: pipes and standard streams, a remote shell, TCP.
//!
//! Every transport is a [`ReadAhead`] and a [`WriteQueue`], whatever is behind them, so that the session is
//! compiled once. Both implement the traits of `embedded-io-async`. A transport must be made inside a compio
//! runtime; outside, its constructor fails. Knows no protocol.

mod activity;
mod interruption;
mod pipe;
mod proxy;
mod read_ahead;
mod socket_options;
mod ssh;
mod stream;
mod tcp;
mod write_queue;

use std::io;

pub use self::{
    activity::Activity,
    pipe::PipeTransport,
    proxy::{BadProxy, Proxy, ProxyFault},
    read_ahead::ReadAhead,
    socket_options::{SocketComplaint, set_socket_options},
    ssh::{RemoteShell, SshConnection},
    tcp::{NotConnected, TcpAddress, TcpTransport, within},
    write_queue::WriteQueue,
};
pub(crate) use self::{
    interruption::{interrupt, is_interrupted},
    stream::{Sharing, Stream},
};

/// A failed read or write, or a connection that could not be made.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] pub io::Error);

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind as E;
        match self.0.kind() {
            io::ErrorKind::NotFound => E::NotFound,
            io::ErrorKind::PermissionDenied => E::PermissionDenied,
            io::ErrorKind::ConnectionRefused => E::ConnectionRefused,
            io::ErrorKind::ConnectionReset => E::ConnectionReset,
            io::ErrorKind::ConnectionAborted => E::ConnectionAborted,
            io::ErrorKind::NotConnected => E::NotConnected,
            io::ErrorKind::AddrInUse => E::AddrInUse,
            io::ErrorKind::AddrNotAvailable => E::AddrNotAvailable,
            io::ErrorKind::BrokenPipe => E::BrokenPipe,
            io::ErrorKind::AlreadyExists => E::AlreadyExists,
            io::ErrorKind::InvalidInput => E::InvalidInput,
            io::ErrorKind::InvalidData => E::InvalidData,
            io::ErrorKind::TimedOut => E::TimedOut,
            io::ErrorKind::Interrupted => E::Interrupted,
            io::ErrorKind::Unsupported => E::Unsupported,
            io::ErrorKind::OutOfMemory => E::OutOfMemory,
            io::ErrorKind::WriteZero => E::WriteZero,
            _ => E::Other,
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(error: rustix::io::Errno) -> Self {
        Self(error.into())
    }
}

/// Gives a transport with fields `reader` and `writer` its two directions and the traits of both.
macro_rules! duplex {
    ($transport:ty) => {
        impl $transport {
            /// Both directions, borrowed.
            pub fn split(&mut self) -> (&mut crate::transport::ReadAhead, &mut crate::transport::WriteQueue) {
                (&mut self.reader, &mut self.writer)
            }
        }

        impl embedded_io_async::ErrorType for $transport {
            type Error = crate::transport::Error;
        }

        impl embedded_io_async::Read for $transport {
            async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
                embedded_io_async::Read::read(&mut self.reader, buf).await
            }
        }

        impl embedded_io_async::BufRead for $transport {
            async fn fill_buf(&mut self) -> Result<&[u8], Self::Error> {
                embedded_io_async::BufRead::fill_buf(&mut self.reader).await
            }

            fn consume(&mut self, amt: usize) {
                embedded_io_async::BufRead::consume(&mut self.reader, amt);
            }
        }

        impl embedded_io_async::Write for $transport {
            async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
                embedded_io_async::Write::write(&mut self.writer, buf).await
            }

            async fn flush(&mut self) -> Result<(), Self::Error> {
                embedded_io_async::Write::flush(&mut self.writer).await
            }
        }
    };
}
use duplex;

#[cfg(test)]
mod tests;
