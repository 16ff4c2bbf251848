//! The daemon: `--daemon`, alone on a port or for one connection, and `--server --daemon` behind a remote shell (spec:
//! daemon protocol and `rsyncd.conf`).
//!
//! [`listen`] accepts connections and starts this program again for each, with the socket in the place of its standard
//! input: one process per client, which can change its root and user for good. [`connection`] is the conversation
//! before a session, over plain descriptors; the session itself is that of any server.

mod access;
mod args;
mod auth;
mod config;
mod connection;
mod dialogue;
mod hooks;
mod impose;
mod journal;
mod listen;
mod lookup;
mod module;
mod place;
mod privileges;
mod proxy;
mod refuse;
mod slots;

use std::{
    ffi::OsStr,
    io::{IsTerminal, Write},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use arsync_core::{error::Role, exit::ExitCode};
use rustix::{
    fs::{FileType, fstat},
    io::Errno,
};

use self::{
    config::{Config, Param, Values},
    connection::{Plug, Server},
    journal::Journal,
    privileges::{Stream, change_root, silence, take_stream},
};
use crate::{
    cli::asked::DaemonCli,
    engine::{Identity, NoIdentity, enter_jail},
    output::{exit_line::exit_line, strerror},
};

/// The configuration of the machine.
const SYSTEM_CONFIG: &str = "/etc/rsyncd.conf";
/// That of a user, in his home directory.
const USER_CONFIG: &str = "rsyncd.conf";

/// Runs a daemon. `name`: what the program was called.
pub(crate) fn run(cli: &DaemonCli, name: &OsStr) -> ExitCode {
    let path = config_path(cli);
    let config = match Config::load(&path, &cli.dparams) {
        Ok(config) => config,
        Err(fault) => {
            let shown = path.display();
            let text = format!("{}\nFailed to parse config file: {shown}\n", fault.text());
            return stop(&text, ExitCode::SYNTAX);
        }
    };
    let journal = Journal::open(cli.log_file.as_deref(), &config.globals);
    for complaint in &config.complaints {
        journal.warn(complaint);
    }
    if cli.server {
        let streams = (take_stream(Stream::Input), take_stream(Stream::Output));
        let (Ok(input), Ok(output)) = streams else { return ExitCode::IPC };
        return connection::serve(Server { cli, config: &config, journal, plug: Plug::Shell }, input, output);
    }
    if is_socket(rustix::stdio::stdin()) {
        if let Err(errno @ Errno::NOTCONN) = rustix::net::getpeername(rustix::stdio::stdin()) {
            // One that listens, or that nobody has connected yet: there is no client on it.
            let why = strerror::suffix(errno.raw_os_error());
            journal.warn(format!("rsync: [Receiver] getpeername on fd0 failed{why}"));
            journal.warn(exit_line(ExitCode::SOCKET_IO, Role::ReceiverSide).trim_ascii_end());
            return ExitCode::SOCKET_IO;
        }
        let Ok(socket) = take_stream(Stream::Input) else { return ExitCode::IPC };
        // Nothing that is printed by accident may reach the client.
        let Ok(()) = silence(&[Stream::Output, Stream::Errors]) else { return ExitCode::IPC };
        let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
        // Output is gathered already; what is flushed is waited for.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        let Ok(output) = socket.try_clone() else { return ExitCode::IPC };
        return connection::serve(
            Server { cli, config: &config, journal, plug: Plug::Socket },
            socket,
            output,
        );
    }
    listen::run(cli, &config, &path, name)
}

/// Says why there is no daemon.
fn stop(text: &str, code: ExitCode) -> ExitCode {
    let line = exit_line(code, Role::ReceiverSide);
    let _ = std::io::stderr().lock().write_all(&[text.as_bytes(), &line].concat());
    code
}

/// The file to read. A user's daemon behind a shell has one of its own.
fn config_path(cli: &DaemonCli) -> PathBuf {
    match &cli.config {
        Some(path) => Path::new(OsStr::from_bytes(path)).to_owned(),
        None if cli.server && !rustix::process::geteuid().is_root() => USER_CONFIG.into(),
        None => SYSTEM_CONFIG.into(),
    }
}

fn is_socket(fd: impl AsFd) -> bool {
    let fd = fd.as_fd();
    !fd.is_terminal() && fstat(fd).is_ok_and(|st| FileType::from_raw_mode(st.st_mode) == FileType::Socket)
}

/// The address of the peer of a socket.
fn peer_address(socket: impl AsFd) -> String {
    let address = rustix::net::getpeername(socket).ok().flatten();
    let address = address.and_then(|address| core::net::SocketAddr::try_from(address).ok());
    address.map_or_else(|| "0.0.0.0".to_owned(), |address| address.ip().to_canonical().to_string())
}

/// The address of the client of a remote shell, as far as the shell says.
fn shell_address(input: impl AsFd) -> String {
    let said = ["REMOTE_HOST", "SSH_CONNECTION", "SSH_CLIENT", "SSH2_CLIENT"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    let address = said.map(|value| value.split(' ').next().unwrap_or_default().to_owned());
    address.filter(|text| text.parse::<core::net::IpAddr>().is_ok()).unwrap_or_else(|| peer_address(input))
}

/// Takes the root and the user of `daemon chroot`, `daemon uid` and `daemon gid`.
fn step_down(globals: &Values) -> Result<(), String> {
    if let Some(root) = globals.text(Param::DaemonChroot) {
        enter_jail(|| change_root(root))
            .map_err(|errno| format!("daemon chroot failed: {}", std::io::Error::from(errno)))?;
    }
    let (user, group) = (globals.text(Param::DaemonUid), globals.text(Param::DaemonGid));
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    let user =
        user.map_or_else(|| rustix::process::geteuid().as_raw().to_string().into_bytes(), <[u8]>::to_vec);
    let text = group.map_or_else(|| user.clone(), |group| [&user[..], b":", group].concat());
    let identity = Identity::parse(&text).map_err(|fault| match fault {
        NoIdentity::User(name) => format!("Invalid daemon uid: {}", String::from_utf8_lossy(name)),
        NoIdentity::Group(name) => format!("Invalid daemon gid: {}", String::from_utf8_lossy(name)),
        NoIdentity::Entry => "the groups of the daemon uid are not known".to_owned(),
    })?;
    identity.assume().map_err(|(call, errno)| format!("{call} failed: {}", std::io::Error::from(errno)))
}
