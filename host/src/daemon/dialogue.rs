//! The lines before a session, over plain descriptors: no runtime exists yet, since the process may still change
//! its root and its user.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
    io::Errno,
};

/// Bytes read at once. More than this is never waiting before a session begins.
const BUFFER: usize = 4096;
/// What a descriptor that was reported writable takes without blocking, bytes.
const PIECE: usize = 4096;

/// Why the dialogue is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// The peer has left, or sent what no peer sends.
    Closed,
    /// It took too long.
    Late,
}

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Dialogue {
    input: OwnedFd,
    output: OwnedFd,
    buffer: Vec<u8>,
    at: usize,
    /// Until when all must be said.
    deadline: Option<Instant>,
}

impl Dialogue {
    pub(super) fn new(input: OwnedFd, output: OwnedFd) -> Self {
        Self { input, output, buffer: Vec::new(), at: 0, deadline: None }
    }

    /// Gives what follows so much time; `None`: as much as it takes.
    pub(super) fn allow(&mut self, seconds: Option<u32>) {
        self.deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    }

    /// The descriptor that is read.
    pub(super) const fn input(&self) -> &OwnedFd {
        &self.input
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Gone> {
        if self.at == self.buffer.len() {
            self.fill()?;
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        Ok(byte)
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Gone> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// One line without its end, at most so long.
    pub(super) fn line(&mut self, max: usize) -> Result<Vec<u8>, Gone> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(line),
                b'\r' => {}
                0 => return Err(Gone::Closed),
                _ if line.len() == max => return Err(Gone::Closed),
                byte => line.push(byte),
            }
        }
    }

    /// A string up to this byte; what is longer than `max` is cut.
    pub(super) fn string(&mut self, end: u8, max: usize) -> Result<Vec<u8>, Gone> {
        let mut string = Vec::new();
        loop {
            let byte = self.byte()?;
            if byte == end {
                return Ok(string);
            }
            if string.len() < max {
                string.push(byte);
            }
        }
    }

    /// Sends it all.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Gone> {
        while !bytes.is_empty() {
            wait(&self.output, PollFlags::OUT, self.deadline)?;
            let piece = bytes.get(..PIECE).unwrap_or(bytes);
            match rustix::io::write(&self.output, piece) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return Err(Gone::Closed),
            }
        }
        Ok(())
    }

    /// The descriptors, and what was read and not used.
    pub(super) fn into_parts(self) -> (OwnedFd, OwnedFd, Vec<u8>) {
        let rest = self.buffer.get(self.at..).unwrap_or_default().to_vec();
        (self.input, self.output, rest)
    }

    fn fill(&mut self) -> Result<(), Gone> {
        self.buffer.resize(BUFFER, 0);
        self.at = 0;
        let read = loop {
            if let Err(gone) = wait(&self.input, PollFlags::IN, self.deadline) {
                break Err(gone);
            }
            match rustix::io::read(&self.input, &mut self.buffer) {
                Ok(0) => break Err(Gone::Closed),
                Ok(n) => break Ok(n),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => break Err(Gone::Closed),
            }
        };
        self.buffer.truncate(read.unwrap_or(0));
        read.map(drop)
    }
}

/// Waits until the descriptor is ready.
fn wait(fd: &OwnedFd, what: PollFlags, deadline: Option<Instant>) -> Result<(), Gone> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Gone::Late);
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(fd, what)], left.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(_) => return Err(Gone::Closed),
        }
    }
}

/// Reads until the peer has closed its side: a connection that is closed with unread input takes back what was sent.
pub(super) fn linger(socket: &OwnedFd, seconds: u32) {
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
    let deadline = Instant::now() + Duration::from_secs(seconds.into());
    let mut waste = [0; BUFFER];
    while wait(socket, PollFlags::IN, Some(deadline)).is_ok() {
        match rustix::io::read(socket, &mut waste) {
            Ok(0) => return,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (Dialogue, OwnedFd) {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        (Dialogue::new(here.try_clone().unwrap(), here), there)
    }

    #[test]
    fn lines_and_strings_are_cut_out_and_the_rest_is_kept() {
        let (mut dialogue, there) = pair();
        rustix::io::write(&there, b"@RSYNCD: 31.0\r\nmod\n--server\0long string\0\0rest").unwrap();
        assert_eq!(dialogue.line(20).unwrap(), b"@RSYNCD: 31.0");
        assert_eq!(dialogue.line(20).unwrap(), b"mod");
        assert_eq!(dialogue.string(0, 20).unwrap(), b"--server");
        assert_eq!(dialogue.string(0, 4).unwrap(), b"long");
        assert_eq!(dialogue.string(0, 4).unwrap(), b"");
        assert_eq!(dialogue.into_parts().2, b"rest");
    }

    #[test]
    fn what_no_peer_sends_ends_the_dialogue() {
        for text in [&b"a\0b\n"[..], b"123456\n", b""] {
            let (mut dialogue, there) = pair();
            rustix::io::write(&there, text).unwrap();
            drop(there);
            assert_eq!(dialogue.line(5), Err(Gone::Closed), "{text:?}");
        }
    }

    #[test]
    fn patience_ends() {
        let (mut dialogue, _there) = pair();
        dialogue.allow(Some(0));
        assert_eq!(dialogue.line(5), Err(Gone::Late));
        // A peer that reads nothing.
        assert_eq!(dialogue.send(&[0; 10]), Err(Gone::Late));
    }
}
