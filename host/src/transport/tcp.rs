//! TCP.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
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

/// Why there is no connection.
#[derive(Debug)]
pub enum NotConnected {
    /// The name has no address.
    Lookup(io::Error),
    /// Nobody answered in time.
    Timeout,
    /// No address accepted; none at all was of the wanted family if the list is empty.
    Refused(Vec<(IpAddr, io::Error)>),
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
        let dialed = Self::dial(address, None, &|_| ()).await;
        dialed.map(|(transport, _)| transport).map_err(|fault| match fault {
            NotConnected::Lookup(error) => Error(error),
            NotConnected::Timeout => Error(io::ErrorKind::TimedOut.into()),
            NotConnected::Refused(errors) => {
                let last = errors.into_iter().next_back().map(|(_, error)| error);
                Error(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
            }
        })
    }

    /// Connects to the first address of the host that accepts, each within `limit`. `prepare` is given every
    /// socket before it is connected. Returns the address too.
    pub async fn dial(
        address: TcpAddress<'_>,
        limit: Option<Duration>,
        prepare: &dyn Fn(BorrowedFd<'_>),
    ) -> Result<(Self, IpAddr), NotConnected> {
        let mut failures = Vec::new();
        let targets = (address.host, address.port).to_socket_addrs_async().await;
        for target in targets.map_err(NotConnected::Lookup)? {
            let wanted = match (address.family, address.bind) {
                (Some(4), _) | (None, Some(IpAddr::V4(_))) => target.is_ipv4(),
                (Some(6), _) | (None, Some(IpAddr::V6(_))) => target.is_ipv6(),
                _ => true,
            };
            if !wanted {
                continue;
            }
            let connecting = connect_one(target, address.bind, prepare);
            let connected = match limit {
                Some(limit) => {
                    compio::time::timeout(limit, connecting).await.map_err(|_| NotConnected::Timeout)?
                }
                None => connecting.await,
            };
            match connected.and_then(|stream| Self::from_stream(&stream).map_err(|error| error.0)) {
                Ok(transport) => return Ok((transport, target.ip())),
                Err(error) => failures.push((target.ip(), error)),
            }
        }
        Err(NotConnected::Refused(failures))
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

async fn connect_one(
    target: SocketAddr,
    bind: Option<IpAddr>,
    prepare: &dyn Fn(BorrowedFd<'_>),
) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4().await? } else { TcpSocket::new_v6().await? };
    prepare(socket.as_fd());
    if let Some(local) = bind {
        socket.bind(SocketAddr::new(local, 0)).await?;
    }
    socket.connect(target).await
}

duplex!(TcpTransport);
