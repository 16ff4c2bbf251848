//! What the examples have in common: the session itself, which does not know what it runs on.
//!
//! Each program pulls a directory from stock rsync, `rsync --server --sender` at the other end of two pipes, with
//! [`arsync_core::tiny`] as the client. Only the adapter from the runtime's streams to the two traits of a transport
//! differs.

use std::{
    os::fd::OwnedFd,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use arsync_core::{
    io::{BufRead, ErrorKind, ErrorType, Read, Write},
    setup::Side,
    tiny::{Command, Config, Memory, ram::RamStore, run},
};
use futures_lite::{AsyncBufReadExt as _, AsyncWriteExt as _, io::BufReader};

/// Options of the session and capabilities of this side.
pub const OPTIONS: &str = "-tre.LsfxCIvu";

/// The directory to pull.
pub fn path() -> String {
    std::env::args().nth(1).unwrap_or_else(|| ".".into())
}

/// The other end: stock rsync, sending a directory.
pub fn server(path: &str) -> std::process::Command {
    let mut command = std::process::Command::new("rsync");
    command.args(["--server", "--sender", OPTIONS, ".", path]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Pulls over any transport, and prints what came.
pub async fn pull<R, W>(from: R, to: W)
where
    R: BufRead,
    W: Write<Error = R::Error>,
    R::Error: std::fmt::Debug,
{
    let command = Command::parse([&b"--server"[..], OPTIONS.as_bytes(), b".", b"/"]);
    let mut store = RamStore::new();
    let mut memory = Box::new(Memory::<4096, 60_000, 256, 65_536>::new());
    let summary = run((from, to), Side::Client, &command, &mut store, &mut memory, &Config::default()).await;
    let summary = summary.expect("a session without faults");
    assert_eq!(summary.failed, 0);
    println!("{} files, {} bytes, protocol {}", summary.files, summary.bytes, summary.protocol);
}

/// Starts the server with pipes for the reactor of `async-io`, which works under any executor.
pub fn start(path: &str) -> std::io::Result<(Child, Lines<BufReader<PipeOut>>, Lines<PipeIn>)> {
    let mut child = server(path).spawn()?;
    let out: ChildStdout = child.stdout.take().expect("it is piped");
    let input: ChildStdin = child.stdin.take().expect("it is piped");
    let out = async_io::Async::new(OwnedFd::from(out).into())?;
    let input = async_io::Async::new(OwnedFd::from(input).into())?;
    Ok((child, Lines(BufReader::with_capacity(64 << 10, out)), Lines(input)))
}

/// The reading end of the server's output.
pub type PipeOut = async_io::Async<std::fs::File>;
/// The writing end of its input.
pub type PipeIn = async_io::Async<std::fs::File>;

/// A stream of the `futures` family as a transport.
pub struct Lines<T>(pub T);

impl<T> ErrorType for Lines<T> {
    type Error = ErrorKind;
}

impl<T: futures_lite::AsyncBufRead + Unpin> Read for Lines<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        futures_lite::AsyncReadExt::read(&mut self.0, buf).await.map_err(|_| ErrorKind::Other)
    }
}

impl<T: futures_lite::AsyncBufRead + Unpin> BufRead for Lines<T> {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        self.0.fill_buf().await.map_err(|_| ErrorKind::Other)
    }
    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl<T: futures_lite::AsyncWrite + Unpin> Write for Lines<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(buf).await.map_err(|_| ErrorKind::Other)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().await.map_err(|_| ErrorKind::Other)
    }
}
