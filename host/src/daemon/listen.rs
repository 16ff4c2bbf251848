//! A daemon on its own: sockets, and a process for each connection.

use core::{net::SocketAddr, time::Duration};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Seek, Write},
    net::ToSocketAddrs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::OpenOptionsExt,
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    rc::Rc,
};

use arsync_core::{error::Role, exit::ExitCode};
use compio::{
    net::{TcpListener, TcpStream},
    runtime::spawn,
};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    net::{
        AddressFamily, SocketFlags, SocketType, bind, listen, socket_with,
        sockopt::{set_ipv6_v6only, set_socket_reuseaddr},
    },
    process::{Signal, WaitOptions, wait},
};

use super::{
    config::{Config, Param, expand},
    journal::Journal,
    privileges::{self, Half, divide, leave_terminal, lock_range, silence},
    stop,
};
use crate::{
    cli::{asked::DaemonCli, help::COMPATIBLE_VERSION},
    output::{exit_line::exit_line, strerror},
    ring,
    session::interrupt,
    transport::{Sharing, Stream, set_socket_options},
};

/// Port of daemons.
const PORT: u16 = 873;
/// What is waited for: three signals that end a daemon, and the one that tells of the end of a child.
const SIGNALS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::CHILD];

/// The file that tells the number of the process; removed when the daemon ends.
struct PidFile {
    path: PathBuf,
    /// Its lock says that the process lives.
    file: File,
}

/// Runs until a signal comes.
pub(super) fn run(cli: &DaemonCli, config: &Config, path: &Path, name: &OsStr) -> ExitCode {
    if !cli.no_detach {
        match divide() {
            Ok(Half::Parent(_)) => return ExitCode::OK,
            Ok(Half::Child) => {
                leave_terminal();
                if let Err(error) = silence(&privileges::Stream::ALL) {
                    return stop(&format!("rsync: /dev/null: {error}\n"), ExitCode::IPC);
                }
            }
            Err(errno) => return stop(&format!("rsync: fork failed: {errno}\n"), ExitCode::IPC),
        }
    }
    // Before anything is there that a signal's default effect would leave behind.
    let signals = match interrupt::collect(&SIGNALS.map(Signal::as_raw)) {
        Ok(signals) => signals,
        Err(error) => return stop(&format!("rsync: pipe failed: {error}\n"), ExitCode::IPC),
    };
    let globals = &config.globals;
    let journal = || Journal::open(cli.log_file.as_deref(), globals);
    let pid_file = match globals.text(Param::PidFile).map(PidFile::create).transpose() {
        Ok(pid_file) => pid_file,
        Err(text) => {
            journal().warn(&text);
            return stop(&format!("{text}\n"), ExitCode::FILE_IO);
        }
    };
    let port = u16::try_from(cli.port).ok().filter(|port| *port > 0);
    let port = port.or_else(|| u16::try_from(globals.int(Param::Port)).ok().filter(|port| *port > 0));
    let port = port.unwrap_or(PORT);
    let code = match sockets(cli, config, port) {
        Ok(sockets) => {
            journal().say(format!("rsyncd version {COMPATIBLE_VERSION} starting, listening on port {port}"));
            let again = Rc::new(Again::new(cli, path, name));
            let (given, values) = (cli.log_file.clone(), globals.clone());
            // Opened for each line, so that the file can be renamed meanwhile.
            let told: Rc<dyn Fn(&str)> =
                Rc::new(move |text| Journal::open(given.as_deref(), &values).warn(text));
            accept_all(sockets, signals, &again, &told)
        }
        Err(text) => {
            journal().warn(&text);
            stop(&format!("{text}\n"), ExitCode::SOCKET_IO)
        }
    };
    if code != ExitCode::OK && code != ExitCode::SOCKET_IO {
        journal().warn(exit_line(code, Role::ReceiverSide).trim_ascii_end());
    }
    drop(pid_file);
    code
}

impl PidFile {
    fn create(path: &[u8]) -> Result<Self, String> {
        let path = expand(path, &super::connection::environment);
        let path = Path::new(OsStr::from_bytes(&path)).to_owned();
        let fail = |what: &str, why: String| format!("failed to {what} pid file {}: {why}", path.display());
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path);
        let mut file = options.map_err(|e| fail("create", strerror::of(&e)))?;
        if !lock_range(&file, 0, 4) {
            return Err(fail("lock", "another process holds it".to_owned()));
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|e| fail("write", strerror::of(&e)))?;
        Ok(Self { path, file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The sockets of all addresses; those of both families are opened on their own.
fn sockets(cli: &DaemonCli, config: &Config, port: u16) -> Result<Vec<OwnedFd>, String> {
    let globals = &config.globals;
    let name = cli.address.as_deref().or_else(|| globals.text(Param::Address));
    let name = name.map(String::from_utf8_lossy);
    let all: Vec<SocketAddr> = match &name {
        Some(name) => (&**name, port)
            .to_socket_addrs()
            .map_err(|e| format!("rsync: getaddrinfo: bind address {name}: {e}"))?
            .collect(),
        None => vec![
            SocketAddr::new(core::net::Ipv4Addr::UNSPECIFIED.into(), port),
            SocketAddr::new(core::net::Ipv6Addr::UNSPECIFIED.into(), port),
        ],
    };
    let options = cli.sockopts.as_deref().or_else(|| globals.text(Param::SocketOptions));
    let options = options.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    let backlog = globals.int(Param::ListenBacklog);
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for address in all {
        let wanted = match cli.ip_version {
            Some(4) => address.is_ipv4(),
            Some(6) => address.is_ipv6(),
            _ => true,
        };
        if !wanted {
            continue;
        }
        match open(address, &options, backlog) {
            Ok(socket) => found.push(socket),
            Err(errno) => {
                failures.push(format!(
                    "bind() failed: {} (address-family {address})",
                    strerror::of(&errno.into())
                ));
            }
        }
    }
    if found.is_empty() {
        failures.push(format!("unable to bind any inbound sockets on port {port}"));
        return Err(failures.join("\n"));
    }
    Ok(found)
}

fn open(address: SocketAddr, options: &str, backlog: i32) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    let _ = set_socket_options(socket.as_fd(), options);
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, backlog)?;
    Ok(socket)
}

/// How this program is started for a connection.
struct Again {
    name: OsString,
    words: Vec<OsString>,
}

impl Again {
    fn new(cli: &DaemonCli, path: &Path, name: &OsStr) -> Self {
        let config = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut words = vec![OsString::from("--daemon")];
        let mut add = |option: &str, value: &[u8]| {
            words.push(OsString::from_vec([option.as_bytes(), b"=", value].concat()));
        };
        add("--config", config.as_os_str().as_bytes());
        for setting in &cli.dparams {
            add("--dparam", setting);
        }
        if let Some(file) = &cli.log_file {
            let file = std::path::absolute(OsStr::from_bytes(file)).map(PathBuf::into_os_string);
            add("--log-file", file.unwrap_or_default().as_bytes());
        }
        if let Some(format) = &cli.log_file_format {
            add("--log-file-format", format);
        }
        if let Some(dir) = &cli.temp_dir {
            add("--temp-dir", dir);
        }
        if cli.bwlimit != 0 {
            add("--bwlimit", cli.bwlimit.to_string().as_bytes());
        }
        if let Some(protocol) = cli.protocol {
            add("--protocol", protocol.to_string().as_bytes());
        }
        Self { name: name.to_owned(), words }
    }

    fn start(&self, socket: OwnedFd) -> io::Result<()> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(&self.name).args(&self.words);
        command.stdin(socket).stdout(Stdio::null()).stderr(Stdio::null());
        // It is waited for by `reap`.
        command.spawn().map(drop)
    }
}

/// Accepts connections until a signal comes.
fn accept_all(
    sockets: Vec<OwnedFd>,
    signals: OwnedFd,
    again: &Rc<Again>,
    told: &Rc<dyn Fn(&str)>,
) -> ExitCode {
    let Ok((runtime, _)) = ring::runtime::build() else { return ExitCode::IPC };
    let code = runtime.block_on(async {
        for socket in sockets {
            // The task ends with the runtime.
            spawn(accept(socket, again.clone(), told.clone())).detach();
        }
        until_ended(signals).await
    });
    core::mem::forget(runtime);
    code
}

/// Waits for children that have ended, until a signal ends the daemon, and says with which code.
async fn until_ended(signals: OwnedFd) -> ExitCode {
    const NUMBER: usize = size_of::<i32>();
    let Ok(signals) = Stream::new(signals, Sharing::Own) else { return ExitCode::IPC };
    loop {
        // The numbers are written in one piece each, and the buffer holds whole ones.
        let (Ok(1..), numbers) = signals.clone().read(Vec::with_capacity(64 * NUMBER)).await else {
            return ExitCode::IPC;
        };
        for number in numbers.as_chunks::<NUMBER>().0 {
            match Signal::from_named_raw(i32::from_ne_bytes(*number)) {
                Some(Signal::TERM) => return ExitCode::OK,
                Some(Signal::CHILD) => while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {},
                _ => return ExitCode::SIGNAL,
            }
        }
    }
}

/// Accepts the connections of one socket.
async fn accept(socket: OwnedFd, again: Rc<Again>, told: Rc<dyn Fn(&str)>) {
    let listener = match TcpListener::from_std(socket.into()) {
        Ok(listener) => listener,
        Err(error) => return told(&format!("cannot listen: {error}")),
    };
    loop {
        let started = match listener.accept().await {
            Ok((stream, _)) => inherited(&stream).and_then(|socket| again.start(socket)),
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            told(&format!("cannot serve a connection: {}", strerror::of(&error)));
            // Out of descriptors or processes: that does not pass at once.
            compio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// The accepted socket for a child, which waits for it without a runtime.
fn inherited(stream: &TcpStream) -> io::Result<OwnedFd> {
    let socket = stream.as_fd().try_clone_to_owned()?;
    let flags = fcntl_getfl(&socket)?;
    fcntl_setfl(&socket, flags - OFlags::NONBLOCK)?;
    Ok(socket)
}
