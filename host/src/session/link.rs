//! How a client reaches the other side: a program's standard streams, or a socket.

use core::{net::IpAddr, time::Duration};
use std::{
    cell::RefCell,
    ffi::{OsStr, OsString},
    net::ToSocketAddrs,
    os::unix::ffi::OsStringExt,
};

use arsync_core::{error::Role, exit::ExitCode, mux::MsgTag, setup::Side};

use super::{Handshaken, Speak};
use crate::{
    output::{exit_line::exit_line, strerror},
    transport::{
        self, NotConnected, Proxy, ProxyFault, ReadAhead, RemoteShell, SocketComplaint, SshConnection,
        TcpAddress, TcpTransport, WriteQueue, set_socket_options, within,
    },
};

/// The other side.
pub(crate) enum Link {
    /// A program: its argument vector.
    Program(Vec<Vec<u8>>),
    /// A remote shell that starts a daemon: its argument vector, and the port that is told to it.
    DaemonShell(Vec<Vec<u8>>, u32),
    /// A program in place of a socket (`RSYNC_CONNECT_PROG`): the command text.
    Connector(Vec<u8>),
    /// A socket.
    Tcp(TcpCall),
}

/// A connection that is to be made.
pub(crate) struct TcpCall {
    /// Name or address.
    pub(crate) host: Vec<u8>,
    /// Port.
    pub(crate) port: u32,
    /// 4 or 6.
    pub(crate) family: Option<u8>,
    /// `--address`
    pub(crate) address: Option<Vec<u8>>,
    /// `--sockopts`
    pub(crate) options: Option<Vec<u8>>,
    /// Seconds of `--contimeout`; 0: no limit.
    pub(crate) limit: u32,
    /// The way there (`RSYNC_PROXY`).
    pub(crate) proxy: Option<Proxy>,
}

/// Both directions, and the program if its exit code counts.
pub(crate) type Opened = (ReadAhead, WriteQueue, Option<RemoteShell>);

/// A connection that could not be made.
pub(crate) struct Unreachable {
    /// The exit code.
    pub(crate) code: ExitCode,
    /// Why; none where the exit code says it all.
    pub(crate) reason: Option<String>,
}

fn unreachable<T>(code: ExitCode, reason: impl Into<Option<String>>) -> Result<T, Unreachable> {
    Err(Unreachable { code, reason: reason.into() })
}

impl Link {
    /// Opens it. The observer is told what ends nothing.
    pub(crate) async fn open<O: Speak>(&self, role: Role, observer: &O) -> Result<Opened, Unreachable> {
        match self {
            Self::Program(command) => spawn(command, &[], role),
            Self::DaemonShell(command, port) => {
                let port = OsString::from(port.to_string());
                spawn(command, &[(OsStr::new("RSYNC_PORT"), &port)], role)
            }
            Self::Connector(text) => {
                let shell = std::env::var_os("RSYNC_SHELL").map_or(b"/bin/sh".to_vec(), OsString::into_vec);
                let command = [shell, b"-c".to_vec(), text.clone()].map(OsString::from_vec);
                let (reader, writer, _) = started(SshConnection::spawn_on_socket(&command), &command, role)?;
                Ok((reader, writer, None))
            }
            Self::Tcp(call) => call.dial(role, observer).await,
        }
    }

    /// Failures of reading and writing are those of a socket.
    pub(crate) const fn is_socket(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Connector(_))
    }
}

fn spawn(command: &[Vec<u8>], env: &[(&OsStr, &OsStr)], role: Role) -> Result<Opened, Unreachable> {
    let command: Vec<OsString> = command.iter().cloned().map(OsString::from_vec).collect();
    started(SshConnection::spawn(&command, env), &command, role)
}

fn started(
    connection: Result<SshConnection, transport::Error>,
    command: &[OsString],
    role: Role,
) -> Result<Opened, Unreachable> {
    match connection {
        Ok(shell) => {
            let (reader, writer, child) = shell.into_split();
            Ok((reader, writer, Some(child)))
        }
        Err(error) => {
            let program = command.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
            let why = strerror::suffix(error.0.raw_os_error().unwrap_or(0));
            // In the reference its own process says the first, and the one that waits for it the second.
            let ended = String::from_utf8_lossy(&exit_line(ExitCode::IPC, role)).into_owned();
            let closed = format!("rsync: connection unexpectedly closed (0 bytes received so far) [{role}]");
            let text = format!("rsync: [{role}] Failed to exec {program}{why}\n{ended}{closed}");
            unreachable(ExitCode::IPC, text)
        }
    }
}

impl TcpCall {
    async fn dial<O: Speak>(&self, role: Role, observer: &O) -> Result<Opened, Unreachable> {
        let host = String::from_utf8_lossy(&self.host);
        let Ok(port) = u16::try_from(self.port) else {
            return unreachable(ExitCode::SOCKET_IO, format!("rsync: invalid port {}", self.port));
        };
        let limit = (self.limit > 0).then(|| Duration::from_secs(self.limit.into()));
        let Some(proxy) = &self.proxy else {
            return self.connect(&host, port, limit, role, observer).await;
        };
        let Ok(proxy_port) = proxy.port.parse() else {
            let text = format!("rsync: getaddrinfo: {} {}: no such port", proxy.host, proxy.port);
            return unreachable(ExitCode::SOCKET_IO, text);
        };
        let (mut reader, mut writer, none) =
            self.connect(&proxy.host, proxy_port, limit, role, observer).await?;
        let asking = proxy.open(&mut reader, &mut writer, &host, port);
        let asked = within(limit, asking)
            .await
            .ok_or(Unreachable { code: ExitCode::CONNECT_TIMEOUT, reason: None })?;
        match asked {
            Ok(()) => Ok((reader, writer, none)),
            Err(fault) => unreachable(ExitCode::SOCKET_IO, of_proxy(&fault, role)),
        }
    }

    async fn connect<O: Speak>(
        &self,
        host: &str,
        port: u16,
        limit: Option<Duration>,
        role: Role,
        observer: &O,
    ) -> Result<Opened, Unreachable> {
        let bind = self.address.as_deref().map(|name| local_address(name, self.family)).transpose()?;
        let address = TcpAddress { host, port, family: self.family, bind };
        let options = self.options.as_deref().map(String::from_utf8_lossy);
        let complaints = RefCell::new(Vec::new());
        let connected = TcpTransport::dial(address, limit, &|socket| {
            let list = options.as_deref().unwrap_or_default();
            complaints.borrow_mut().extend(set_socket_options(socket, list));
        })
        .await;
        for complaint in complaints.into_inner() {
            observer.say(MsgTag::Error, role, text_of(&complaint, role).as_bytes());
        }
        match connected {
            Ok((transport, address)) => {
                observer.handshake(Side::Client, &Handshaken::Reached { host, address });
                let (reader, writer) = transport.into_split();
                Ok((reader, writer, None))
            }
            Err(fault) => not_connected(&fault, host, port, role),
        }
    }
}

fn not_connected<T>(fault: &NotConnected, host: &str, port: u16, role: Role) -> Result<T, Unreachable> {
    let text = match fault {
        NotConnected::Timeout => return unreachable(ExitCode::CONNECT_TIMEOUT, None),
        NotConnected::Lookup(error) => format!("rsync: getaddrinfo: {host} {port}: {}", why(error)),
        NotConnected::Refused(failures) if failures.is_empty() => {
            format!("rsync: {host} has no address of the wanted family")
        }
        NotConnected::Refused(failures) => {
            let lines = failures.iter().map(|(address, error)| {
                let errno = strerror::suffix(error.raw_os_error().unwrap_or(0));
                format!("rsync: [{}] failed to connect to {host} ({address}){errno}", role.name())
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    unreachable(ExitCode::SOCKET_IO, text)
}

fn of_proxy(fault: &ProxyFault, role: Role) -> String {
    let failed = |what: &str, error: &std::io::Error| match error.raw_os_error() {
        Some(errno) => format!("rsync: [{}] failed to {what} proxy{}", role.name(), strerror::suffix(errno)),
        None => format!("rsync: [{}] failed to {what} proxy: it closed the connection", role.name()),
    };
    match fault {
        ProxyFault::Write(error) => failed("write to", error),
        ProxyFault::Read(error) => failed("read from", error),
        ProxyFault::Refused(status) => format!("bad response from proxy -- {status}"),
    }
}

/// The address that `--address` names.
fn local_address(name: &[u8], family: Option<u8>) -> Result<IpAddr, Unreachable> {
    let name = String::from_utf8_lossy(name);
    let fits = |a: &IpAddr| match family {
        Some(4) => a.is_ipv4(),
        Some(6) => a.is_ipv6(),
        _ => true,
    };
    match (&*name, 0).to_socket_addrs().map(|mut all| all.find_map(|a| Some(a.ip()).filter(fits))) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => {
            unreachable(ExitCode::SOCKET_IO, format!("rsync: {name} has no address of the wanted family"))
        }
        Err(error) => unreachable(ExitCode::SOCKET_IO, format!("rsync: getaddrinfo {name}: {}", why(&error))),
    }
}

/// The reason of a failed lookup alone.
fn why(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once("address information: ").map_or(text.clone(), |(_, reason)| reason.to_owned())
}

fn text_of(complaint: &SocketComplaint, role: Role) -> String {
    match complaint {
        SocketComplaint::Unknown(name) => format!("Unknown socket option {name}"),
        SocketComplaint::NoValue(name) => format!("syntax error -- {name} does not take a value"),
        SocketComplaint::Refused(name, errno) => {
            let why = strerror::suffix(errno.raw_os_error());
            format!("rsync: [{}] failed to set socket option {name}{why}", role.name())
        }
    }
}
