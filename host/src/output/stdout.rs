//! Standard output, written in pieces.

use std::time::Instant;

use arsync_core::exit::ExitCode;

use super::clib;
use crate::{cli::asked::OutBuf, ending};

/// stdout that is no terminal is written in pieces of about this size, bytes.
const BLOCK: usize = 32 << 10;
/// Lines do not wait longer than this for the block to fill, ms.
const PATIENCE: u128 = 50;

/// stdout with the buffering that was asked for.
#[derive(Debug)]
pub(super) struct Stdout {
    buffer: Vec<u8>,
    mode: Option<OutBuf>,
    terminal: bool,
    flushed: Instant,
    /// Nobody reads any more.
    broken: bool,
}

impl Stdout {
    /// With this buffering; none: by what stdout is.
    pub(super) fn new(mode: Option<OutBuf>) -> Self {
        let terminal = clib::is_terminal();
        Self { buffer: Vec::new(), mode, terminal, flushed: Instant::now(), broken: false }
    }

    /// Takes a text. That it cannot be written ends the run, unless it is written in blocks.
    pub(super) fn write(&mut self, text: &[u8]) {
        self.take(text);
        if self.broken && (self.terminal || matches!(self.mode, Some(OutBuf::None | OutBuf::Line))) {
            ending::end("", ExitCode::MESSAGE_IO);
        }
    }

    /// Takes progress or statistics: line by line, nobody looks what becomes of them.
    pub(super) fn write_aside(&mut self, text: &[u8]) {
        if self.terminal || self.mode != Some(OutBuf::Line) {
            self.write(text);
        } else {
            self.take(text);
            // What comes next is tried, and noticed, again.
            self.broken = false;
        }
    }

    fn take(&mut self, text: &[u8]) {
        self.buffer.extend_from_slice(text);
        let due = match self.mode {
            Some(OutBuf::None) => true,
            Some(OutBuf::Line) => text.contains(&b'\n'),
            Some(OutBuf::Block) => self.buffer.len() >= BLOCK,
            None => {
                self.terminal || self.buffer.len() >= BLOCK || self.flushed.elapsed().as_millis() >= PATIENCE
            }
        };
        if due {
            self.flush();
        }
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() && !self.broken {
            match rustix::io::write(rustix::stdio::stdout(), rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                        rustix::stdio::stdout(),
                        rustix::event::PollFlags::OUT,
                    )];
                    self.broken = rustix::event::poll(&mut fds, None).is_err();
                }
                Err(_) => self.broken = true,
            }
        }
        self.buffer.clear();
        self.flushed = Instant::now();
    }
}
