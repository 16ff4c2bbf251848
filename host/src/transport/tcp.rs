//! TCP.

use core::net::{IpAddr, SocketAddr};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use compio::net::{TcpSocket, TcpStream, ToSocketAddrsAsync};
use rustix::net::sockopt::set_tcp_nodelay;

use super::{
    Error, ReadAhead, WriteQueue, duplex,
    stream::{Sharing, Stream},
};

/// Whom to connect to, and from where.
#[derive(Debug, Clone, Copy)]
pub struct TcpAddress<'a> {
    /// Name or address.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Only IPv4 (`Some(4)`) or only IPv6 (`Some(6)`).
    pub family: Option<u8>,
    /// Local address (`--address`).
    pub bind: Option<IpAddr>,
}

/// A TCP connection.
#[derive(Debug)]
pub struct TcpTransport {
    reader: ReadAhead,
    writer: WriteQueue,
}

impl TcpTransport {
    /// Connects to the first address of the host that accepts; returns the error of the last one otherwise.
    pub async fn connect(address: TcpAddress<'_>) -> Result<Self, Error> {
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for target in (address.host, address.port).to_socket_addrs_async().await? {
            let wanted = match (address.family, address.bind) {
                (Some(4), _) | (None, Some(IpAddr::V4(_))) => target.is_ipv4(),
                (Some(6), _) | (None, Some(IpAddr::V6(_))) => target.is_ipv6(),
                _ => true,
            };
            if wanted {
                match connect_one(target, address.bind).await {
                    Ok(stream) => return Self::from_stream(&stream),
                    Err(error) => failure = error,
                }
            }
        }
        Err(Error(failure))
    }

    /// A connection that was accepted.
    pub fn from_stream(stream: &TcpStream) -> Result<Self, Error> {
        Self::open(stream.as_fd().try_clone_to_owned()?, Sharing::Own)
    }

    /// A connected socket, as inherited from a super-server. Its flags stay as they are.
    pub fn from_socket(socket: OwnedFd) -> Result<Self, Error> {
        Self::open(socket, Sharing::Inherited)
    }

    fn open(socket: OwnedFd, sharing: Sharing) -> Result<Self, Error> {
        // Output is gathered here already; what is flushed is waited for.
        let _ = set_tcp_nodelay(&socket, true);
        let stream = Stream::new(socket, sharing)?;
        Ok(Self { reader: ReadAhead::new(stream.clone()), writer: WriteQueue::new(stream) })
    }

    /// Both directions. The peer sees the end when the writer is closed, not when it is dropped.
    pub fn into_split(self) -> (ReadAhead, WriteQueue) {
        (self.reader, self.writer)
    }
}

async fn connect_one(target: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4().await? } else { TcpSocket::new_v6().await? };
    if let Some(local) = bind {
        socket.bind(SocketAddr::new(local, 0)).await?;
    }
    socket.connect(target).await
}

duplex!(TcpTransport);
