//! A remote shell, or any other program that is spoken to over its standard input and output.

use core::fmt;
use std::{
    ffi::{OsStr, OsString},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::ExitStatus,
};

use compio::process::{Child, Command};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
};

use super::{
    Error, ReadAhead, WriteQueue, duplex,
    stream::{Sharing, Stream},
};

/// A connection to a child process. Its standard error is ours.
pub struct SshConnection {
    reader: ReadAhead,
    writer: WriteQueue,
    child: Child,
}

/// The child process of a connection whose directions were taken out.
pub struct RemoteShell {
    child: Child,
}

impl SshConnection {
    /// Starts a program with arguments; `env` is added to its environment.
    ///
    /// The child gets one socket pair for its input and one for its output: faster than pipes, and one direction
    /// can end without the other. Its ends block; ours are nobody else's.
    pub fn spawn(command: &[OsString], env: &[(&OsStr, &OsStr)]) -> Result<Self, Error> {
        let Some((program, args)) = command.split_first() else {
            return Err(Error(io::ErrorKind::InvalidInput.into()));
        };
        let (write, child_in) = pair()?;
        let (read, child_out) = pair()?;
        let start = |mut command: Command, child_in, child_out| {
            command.args(args).envs(env.iter().copied());
            let Ok(_) = command.stdin(child_in);
            let Ok(_) = command.stdout(child_out);
            // The command holds the child's ends; while it lives no end of file can come.
            command.spawn()
        };
        let ends = (child_in.try_clone()?, child_out.try_clone()?);
        let child = match start(Command::new(program), ends.0, ends.1) {
            // A script that names no interpreter is one for a shell, as for every shell.
            Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c".as_ref(), "exec \"$0\" \"$@\"".as_ref(), program.as_os_str()]);
                start(shell, child_in, child_out)
            }
            started => started,
        }?;
        Ok(Self {
            reader: ReadAhead::new(Stream::new(read, Sharing::Own)?),
            writer: WriteQueue::new(Stream::new(write, Sharing::Own)?),
            child,
        })
    }

    /// Starts a program with one connection of TCP as its input and output, as a super-server does: a daemon
    /// answers on the socket that it finds at its input, and asks for the address of its client.
    pub fn spawn_on_socket(command: &[OsString]) -> Result<Self, Error> {
        let Some((program, args)) = command.split_first() else {
            return Err(Error(io::ErrorKind::InvalidInput.into()));
        };
        let (own, childs) = loopback()?;
        let mut command = Command::new(program);
        command.args(args);
        let Ok(_) = command.stdin(childs.try_clone()?);
        let Ok(_) = command.stdout(childs);
        let child = command.spawn()?;
        drop(command);
        let stream = Stream::new(own, Sharing::Own)?;
        Ok(Self { reader: ReadAhead::new(stream.clone()), writer: WriteQueue::new(stream), child })
    }

    /// Process id of the child.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes both directions and waits for the child's end.
    pub async fn wait(self) -> Result<ExitStatus, Error> {
        let (reader, writer, shell) = self.into_split();
        drop((reader, writer));
        shell.wait().await
    }

    /// Both directions and the child. The child sees the end of its input when the writer is dropped.
    pub fn into_split(self) -> (ReadAhead, WriteQueue, RemoteShell) {
        (self.reader, self.writer, RemoteShell { child: self.child })
    }
}

impl RemoteShell {
    /// Process id of the child.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the child.
    pub fn kill(&mut self) -> Result<(), Error> {
        Ok(self.child.kill()?)
    }

    /// Waits for the child's end.
    pub async fn wait(self) -> Result<ExitStatus, Error> {
        Ok(self.child.wait().await?)
    }

    /// Takes back what a remote shell may have done to our standard error, which it shares: non-blocking, it
    /// would lose messages.
    pub fn restore_stderr() {
        let stderr = rustix::stdio::stderr();
        if let Ok(flags) = fcntl_getfl(stderr)
            && flags.contains(OFlags::NONBLOCK)
        {
            let _ = fcntl_setfl(stderr, flags - OFlags::NONBLOCK);
        }
    }
}

fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Two ends of a connection on this machine, and nobody else's.
fn loopback() -> Result<(OwnedFd, OwnedFd), Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let own = TcpStream::connect(listener.local_addr()?)?;
    loop {
        let (accepted, peer) = listener.accept()?;
        // Anybody on this machine may call.
        if peer == own.local_addr()? {
            // Output is gathered already; what is flushed is waited for.
            own.set_nodelay(true)?;
            accepted.set_nodelay(true)?;
            return Ok((own.into(), accepted.into()));
        }
    }
}

impl fmt::Debug for SshConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshConnection").field("child", &self.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for RemoteShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteShell").field(&self.id()).finish()
    }
}

duplex!(SshConnection);
